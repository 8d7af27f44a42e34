//! Real servers that tests start for themselves: each with files, a port and a password of its own, gone when dropped.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use base64::Engine as _;
use tempfile::TempDir;

mod gate;
mod postgres;
mod redis;

pub(crate) use gate::Gate;
pub(crate) use postgres::PostgresServer;
pub(crate) use redis::{RedisCluster, RedisServer};

/// A process that ends with its owner.
struct Daemon {
    child: Child,
}

impl Daemon {
    /// Starts it, and returns once it listens at `port`.
    fn starts(mut command: Command, port: u16) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut daemon = Self { child: child.spawn().unwrap() };
        for _ in 0..1000 {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return daemon;
            }
            if let Some(ended) = daemon.child.try_wait().unwrap() {
                panic!("{command:?} ended: {ended}");
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("{command:?} does not listen at {port}");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Asks it to stop, and waits until it has.
    fn stops(&mut self, signal: &str) {
        self.signal("CONT");
        self.signal(signal);
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port of this machine that nobody uses now.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn pem(what: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!("-----BEGIN {what}-----\n{}\n-----END {what}-----\n", lines.join("\n"))
}

/// A self-signed certificate for 127.0.0.1 with its key, as `server.crt` and `server.key`.
fn certificate(folder: &Path) {
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    fs::write(folder.join("server.crt"), pem("CERTIFICATE", made.cert.der())).unwrap();
    fs::write(folder.join("server.key"), pem("PRIVATE KEY", &made.signing_key.serialize_der()))
        .unwrap();
}
