//! Redis and PostgreSQL for a figure, as they are installed here; ended when dropped.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::sleep,
};

use crate::Result;

pub(crate) struct Service {
    pub(crate) url: String,
    _process: Child,
    _folder: Option<tempfile::TempDir>,
}

impl Service {
    /// A Redis that keeps everything in memory alone.
    pub(crate) async fn redis() -> Result<Self> {
        let port = fresh_port();
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.arg("--port").arg(port.to_string());
        let url = format!("redis://127.0.0.1:{port}/0");
        Self::start(command, port, url, "apt-get install redis-server").await
    }

    /// A PostgreSQL with a folder of its own in `beside`; its commits are durable.
    pub(crate) async fn postgres(beside: &Path) -> Result<Self> {
        let port = fresh_port();
        let own = tempfile::Builder::new().prefix("bench-postgres-").tempdir_in(beside)?;
        let folder = own.path();
        let data = folder.join("data");
        if is_root()? {
            chown(folder).await?;
        }
        let mut made = postgres("initdb")?;
        made.args(["--no-sync", "--username=saoma", "--auth=trust", "--encoding=UTF8", "-D"]);
        let made = made.arg(&data).current_dir(folder).output().await?;
        if !made.status.success() {
            return Err(format!("initdb: {}", String::from_utf8_lossy(&made.stderr)).into());
        }
        let mut command = postgres("postgres")?;
        command.current_dir(folder).arg("-D").arg(&data);
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories="] {
            command.args(["-c", setting]);
        }
        command.arg("-c").arg(format!("port={port}"));
        let url = format!("postgres://saoma@127.0.0.1:{port}/postgres");
        let mut service = Self::start(command, port, url, "apt-get install postgresql").await?;
        service._folder = Some(own);
        let ready = || {
            let mut ready = Command::new(bin()?.join("pg_isready"));
            Ok::<_, crate::Error>(
                ready.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]).status(),
            )
        };
        // It listens a moment before it answers.
        for _ in 0..250 {
            if ready()?.await?.success() {
                return Ok(service);
            }
            sleep(Duration::from_millis(20)).await;
        }
        Err("PostgreSQL does not answer".into())
    }

    async fn start(mut command: Command, port: u16, url: String, install: &str) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let process = command.spawn().map_err(|error| format!("{error}; install it: {install}"))?;
        for _ in 0..250 {
            if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return Ok(Self { url, _process: process, _folder: None });
            }
            sleep(Duration::from_millis(20)).await;
        }
        Err(format!("nothing listens on port {port}").into())
    }
}

/// A port that no service of this run had: the one before may not be gone yet, and would be taken for the new one.
fn fresh_port() -> u16 {
    static USED: AtomicU16 = AtomicU16::new(0);
    17_300 + USED.fetch_add(1, Ordering::Relaxed) % 600
}

/// PostgreSQL refuses to run as root.
fn postgres(program: &str) -> Result<Command> {
    let path = bin()?.join(program);
    if !is_root()? {
        return Ok(Command::new(path));
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(path);
    Ok(command)
}

async fn chown(folder: &Path) -> Result<()> {
    let owned = Command::new("chown").arg("postgres").arg(folder).status().await?;
    if owned.success() { Ok(()) } else { Err("there is no user postgres".into()) }
}

fn is_root() -> Result<bool> {
    Ok(fs::metadata("/proc/self")?.uid() == 0)
}

/// Debian keeps the programs of each version apart, outside of PATH.
fn bin() -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let found = versions.filter_map(|version| Some(version.ok()?.path().join("bin")));
    let newest = found.filter(|bin| bin.join("initdb").exists()).max();
    newest.ok_or_else(|| "PostgreSQL is not installed: apt-get install postgresql".into())
}
