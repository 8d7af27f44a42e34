//! A Redis of a test's own: in memory alone, so that one that starts again has forgotten everything.

use std::net::{Ipv4Addr, SocketAddr};

use super::{Command, Daemon, PathBuf, TempDir, certificate, free_port};

const PASSWORD: &str = "letmein-7";

pub(crate) struct RedisServer {
    folder: TempDir,
    port: u16,
    tls_port: u16,
    running: Option<Daemon>,
}

impl RedisServer {
    pub(crate) fn starts() -> Self {
        let folder = tempfile::tempdir().unwrap();
        certificate(folder.path());
        let mut server = Self { folder, port: free_port(), tls_port: free_port(), running: None };
        server.starts_again();
        server
    }

    pub(crate) fn starts_again(&mut self) {
        let folder = self.folder.path();
        let mut command = Command::new("redis-server");
        command.current_dir(folder);
        let (port, tls_port) = (self.port.to_string(), self.tls_port.to_string());
        for (name, value) in [
            ("--port", port.as_str()),
            ("--tls-port", &tls_port),
            ("--tls-cert-file", "server.crt"),
            ("--tls-key-file", "server.key"),
            ("--tls-auth-clients", "no"),
            ("--bind", "127.0.0.1"),
            ("--requirepass", PASSWORD),
            ("--save", ""),
            ("--appendonly", "no"),
            ("--databases", "64"),
        ] {
            command.args([name, value]);
        }
        self.running = Some(Daemon::starts(command, self.port));
    }

    /// Everything in it is lost.
    pub(crate) fn stops(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.stops("TERM");
        }
    }

    /// It answers nobody until it goes on.
    pub(crate) fn pauses(&self) {
        self.running.iter().for_each(|running| running.signal("STOP"));
    }

    pub(crate) fn goes_on(&self) {
        self.running.iter().for_each(|running| running.signal("CONT"));
    }

    pub(crate) fn url(&self, database: u32) -> String {
        format!("redis://:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Its URL for who reaches it by a proxy.
    pub(crate) fn url_through(&self, proxy: SocketAddr) -> String {
        format!("redis://:{PASSWORD}@{proxy}/0")
    }

    pub(crate) fn tls_url(&self) -> String {
        let roots = self.certificate();
        format!("rediss://:{PASSWORD}@127.0.0.1:{}/?sslrootcert={}", self.tls_port, roots.display())
    }

    fn certificate(&self) -> PathBuf {
        self.folder.path().join("server.crt")
    }
}

/// Three masters that share the slots of one cluster.
pub(crate) struct RedisCluster {
    _folder: TempDir,
    ports: Vec<u16>,
    _running: Vec<Daemon>,
}

impl RedisCluster {
    pub(crate) fn starts() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports: Vec<u16> = (0..3).map(|_| free_port()).collect();
        let running = ports.iter().map(|port| {
            let mut command = Command::new("redis-server");
            command.current_dir(folder.path());
            let (own, bus, nodes) =
                (port.to_string(), free_port().to_string(), format!("nodes-{port}.conf"));
            for (name, value) in [
                ("--port", own.as_str()),
                ("--bind", "127.0.0.1"),
                ("--cluster-enabled", "yes"),
                ("--cluster-port", &bus),
                ("--cluster-config-file", &nodes),
                ("--requirepass", PASSWORD),
                ("--save", ""),
                ("--appendonly", "no"),
            ] {
                command.args([name, value]);
            }
            Daemon::starts(command, *port)
        });
        let running = running.collect();
        let mut create = Command::new("redis-cli");
        create.args(["--no-auth-warning", "-a", PASSWORD, "--cluster", "create"]);
        create.args(ports.iter().map(|port| format!("127.0.0.1:{port}"))).arg("--cluster-yes");
        let made = create.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
        Self { _folder: folder, ports, _running: running }
    }

    /// Forgets everything.
    pub(crate) fn empties(&self) {
        for port in &self.ports {
            let mut flush = Command::new("redis-cli");
            flush.args(["--no-auth-warning", "-a", PASSWORD, "-p", &port.to_string(), "FLUSHALL"]);
            assert!(flush.output().unwrap().status.success());
        }
    }

    pub(crate) fn url(&self) -> String {
        let places: Vec<_> = self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("redis://:{PASSWORD}@{}/?cluster=true", places.join(","))
    }
}
