//! A PostgreSQL of a test's own.

use std::{os::unix::fs::PermissionsExt as _, sync::OnceLock};

use super::{
    Command, Daemon, Duration, Path, PathBuf, TempDir, certificate, free_port, fs, thread,
};

const PASSWORD: &str = "p%40ss word";

/// `postgres` with an empty database directory.
pub(crate) struct PostgresServer {
    folder: TempDir,
    port: u16,
    running: Option<Daemon>,
}

impl PostgresServer {
    pub(crate) fn starts() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::write(folder.path().join("password"), PASSWORD).unwrap();
        certificate(folder.path());
        // PostgreSQL reads no key that others may read.
        let key = folder.path().join("server.key");
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        if is_root() {
            let owned = Command::new("chown").args(["-R", "postgres"]).arg(folder.path()).status();
            assert!(owned.unwrap().success(), "there is no user postgres; install postgresql");
        }
        let made = program("initdb")
            .args(["--no-sync", "--username=saoma", "--auth=scram-sha-256", "--encoding=UTF8"])
            .arg(format!("--pwfile={}", folder.path().join("password").display()))
            .arg("-D")
            .arg(&data)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut server = Self { folder, port: free_port(), running: None };
        server.starts_again();
        server
    }

    /// With the files that the last life left.
    pub(crate) fn starts_again(&mut self) {
        let folder = self.folder.path();
        let mut command = program("postgres");
        command.current_dir(folder).arg("-D").arg(folder.join("data"));
        for (name, value) in [
            ("listen_addresses", "127.0.0.1"),
            ("port", &self.port.to_string()),
            ("unix_socket_directories", ""),
            ("max_connections", "300"),
            // A machine that loses power is not what is tried here.
            ("fsync", "off"),
            ("ssl", "on"),
            ("ssl_cert_file", &folder.join("server.crt").display().to_string()),
            ("ssl_key_file", &folder.join("server.key").display().to_string()),
        ] {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        self.running = Some(Daemon::starts(command, self.port));
        // It listens a moment before it answers.
        for _ in 0..1000 {
            if self.client("pg_isready").arg("-q").status().unwrap().success() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("postgres listens and does not answer");
    }

    /// What is in it stays.
    pub(crate) fn stops(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.stops("INT");
        }
    }

    /// A fresh database of this name.
    pub(crate) fn database(&self, name: &str) -> String {
        let made = self.client("createdb").arg(name).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        self.url(name)
    }

    pub(crate) fn url(&self, database: &str) -> String {
        let password = PASSWORD.replace('%', "%25").replace(' ', "%20");
        format!("postgres://saoma:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// The certificate to trust it by.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("server.crt")
    }

    fn client(&self, name: &str) -> Command {
        let mut command = Command::new(bin().join(name));
        command.args(["-h", "127.0.0.1", "-U", "saoma", "-p", &self.port.to_string()]);
        command.env("PGPASSWORD", PASSWORD).env("PGDATABASE", "postgres");
        command
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.stops("QUIT");
        }
    }
}

/// A program of the server's, which refuses to run as root.
fn program(name: &str) -> Command {
    let path = bin().join(name);
    if !is_root() {
        return Command::new(path);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(path);
    command
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Debian keeps the programs of each version apart, outside of PATH.
fn bin() -> &'static Path {
    static BIN: OnceLock<PathBuf> = OnceLock::new();
    BIN.get_or_init(|| {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
        let found = versions.map(|version| version.unwrap().path().join("bin"));
        found
            .filter(|bin| bin.join("initdb").exists())
            .max()
            .unwrap_or_else(|| panic!("PostgreSQL is not installed; `./dev test` installs it"))
    })
}
