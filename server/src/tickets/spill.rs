//! Pictures of waiting tickets: in a file that has no name and is gone with the process.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::Picture;

/// How large one file grows. A file is gone when nothing in it is wanted any more, so that small ones free room sooner.
const LARGEST: u32 = 16 * 1024 * 1024;

type Shared = Arc<Mutex<File>>;

/// Where pictures are put away.
pub(super) struct Spill {
    folder: PathBuf,
    /// The file that is being filled, and how far it is.
    filling: Mutex<Option<(Shared, u32)>>,
}

/// Where one picture lies; dropping the last of a file's frees its room.
#[derive(Clone)]
pub(super) struct Spilled {
    file: Shared,
    at: u32,
    len: u32,
}

impl Spill {
    /// Files in this folder.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, filling: Mutex::default() }
    }

    /// Puts a picture away.
    pub(super) fn put(&self, picture: &Picture) -> io::Result<Spilled> {
        let bytes = picture.packed();
        let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        let (file, at) = self.room(len)?;
        turned(&file, at)?.write_all(&bytes)?;
        Ok(Spilled { file, at, len })
    }

    /// A place of this length: in the file that is being filled, or at the start of the next.
    fn room(&self, len: u32) -> io::Result<(Shared, u32)> {
        let mut filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((file, end)) = filling.as_mut()
            && *end < LARGEST
        {
            let at = *end;
            *end = at.saturating_add(len);
            return Ok((file.clone(), at));
        }
        let file = Arc::new(Mutex::new(tempfile::tempfile_in(&self.folder)?));
        *filling = Some((file.clone(), len));
        Ok((file, 0))
    }
}

/// The file, ready to be read or written at a place.
fn turned(file: &Mutex<File>, at: u32) -> io::Result<MutexGuard<'_, File>> {
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    file.seek(SeekFrom::Start(u64::from(at)))?;
    Ok(file)
}

impl Spilled {
    /// The picture again.
    pub(super) fn read(&self) -> io::Result<Picture> {
        let mut bytes = vec![0; usize::try_from(self.len).map_err(io::Error::other)?];
        turned(&self.file, self.at)?.read_exact(&mut bytes)?;
        Picture::unpacked(bytes.into()).map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn what_is_put_away_comes_back_and_old_files_go() {
        let folder = tempfile::tempdir().unwrap();
        let spill = Spill::new(folder.path().to_owned());
        let picture = |n: u8| Picture {
            content_type: "image/png".to_owned(),
            bytes: Bytes::from(vec![n; 5 * 1024 * 1024]),
        };
        let spilled: Vec<Spilled> = (0..6).map(|n| spill.put(&picture(n)).unwrap()).collect();
        for (n, spilled) in (0..).zip(&spilled) {
            assert_eq!(spilled.read().unwrap(), picture(n));
        }
        let first = Arc::downgrade(&spilled[0].file);
        assert!(!Arc::ptr_eq(&spilled[0].file, &spilled[5].file));
        drop(spilled);
        assert!(first.upgrade().is_none(), "a full file goes with its last picture");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "none ever has a name");
    }
}
