//! Nodes, Redis, PostgreSQL and a pretend WeChat, with gates between them.

use std::{
    fs::File,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use saoma::http;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use wechat::pretend::{self, Pretend};

use crate::servers::{Gate, PostgresServer, RedisServer};

const APPID: &str = "wx1234567890abcdef";
const SECRET: &str = "fedcba0987654321fedcba0987654321";

/// Where the third node's clock stands: a minute ahead of everybody's.
const SKEW: &str = "+60s";

pub(crate) struct Stage {
    /// Where browsers and phones find saoma: a proxy before all nodes, as nginx is.
    pub(crate) url: String,
    pub(crate) wechat: String,
    pub(crate) redis: RedisServer,
    pub(crate) postgres: PostgresServer,
    database: String,
    folder: TempDir,
    nodes: Vec<Node>,
}

struct Node {
    listen: SocketAddr,
    admin: SocketAddr,
    /// Between this node and Redis.
    gate: Gate,
    /// By how much its clock differs.
    skew: Option<&'static str>,
    child: Option<Child>,
}

impl Stage {
    pub(crate) async fn opens() -> Self {
        let pretend = Pretend::new(pretend::Settings {
            appid: APPID.to_owned(),
            secret: SECRET.to_owned(),
            ..pretend::Settings::default()
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wechat = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(http::serve(listener, pretend.router(), std::future::pending()));
        let (redis, postgres) = (RedisServer::starts(), PostgresServer::starts());
        let database = postgres.database("saoma");
        let mut nodes = Vec::new();
        for skew in [None, None, Some(SKEW)] {
            let gate = Gate::before(&[redis.address()]).await;
            let (listen, admin) = (free_address(), free_address());
            nodes.push(Node { listen, admin, gate, skew, child: None });
        }
        let listens: Vec<SocketAddr> = nodes.iter().map(|node| node.listen).collect();
        let front = Gate::before(&listens).await;
        let url = format!("http://{}", front.address);
        let folder = tempfile::tempdir().unwrap();
        let mut stage = Self { url, wechat, redis, postgres, database, folder, nodes };
        for node in 0..stage.nodes() {
            stage.starts(node).await;
        }
        stage
    }

    pub(crate) fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Starts a node, and returns once it serves.
    pub(crate) async fn starts(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        let settings = format!(
            "public_url = \"{}\"\nlisten = \"{}\"\nadmin_listen = \"{}\"\nstore = \"{}\"\ntickets = \"{}\"\n\
             [wechat]\nappid = \"{APPID}\"\nsecret = \"{SECRET}\"\nbase_url = \"{}\"\npool = 16\npicture = \"as-is\"\ntoken = \"plain\"\n\
             [limits]\noff = true\n\
             [[site]]\nid = \"blog\"\nname = \"My blog\"\nredirect_uris = [\"https://blog.example.com/callback\"]\nalg = \"ES256\"\n",
            self.url,
            node.listen,
            node.admin,
            self.database,
            self.redis.url_through(node.gate.address),
            self.wechat,
        );
        let file = self.folder.path().join(format!("{number}.toml"));
        std::fs::write(&file, settings).unwrap();
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join(format!("{number}.log")))
            .unwrap();
        let binary = env!("CARGO_BIN_EXE_saoma");
        let mut command = Command::new(binary);
        command.args(["serve", "--config"]).arg(&file).env("SAOMA_LOG", "info");
        if let Some(skew) = node.skew {
            // The system's answer is another for this process: no clock is a setting of saoma's.
            command.env("LD_PRELOAD", faketime()).env("FAKETIME", skew);
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        node.child =
            Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let serves = async {
            let mut tick = tokio::time::interval(Duration::from_millis(20));
            while TcpStream::connect(node.listen).await.is_err() {
                tick.tick().await;
            }
        };
        let started = tokio::time::timeout(Duration::from_secs(30), serves).await;
        assert!(started.is_ok(), "node {number} does not start: {}", self.log(number));
    }

    /// kill -9.
    pub(crate) async fn kills(&mut self, number: usize) {
        self.ends(number, "KILL").await;
    }

    /// Asked to stop, and started again.
    pub(crate) async fn restarts(&mut self, number: usize) {
        self.ends(number, "TERM").await;
        self.starts(number).await;
    }

    async fn ends(&mut self, number: usize, signal: &str) {
        let mut child = self.nodes[number].child.take().unwrap();
        let pid = child.id().to_string();
        assert!(
            Command::new("kill").args([&format!("-{signal}"), &pid]).status().unwrap().success()
        );
        // Elsewhere: what it still asks of the pretend WeChat is answered here.
        tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
    }

    pub(crate) fn cuts_off(&self, number: usize) {
        self.nodes[number].gate.shuts();
    }

    pub(crate) fn joins(&self, number: usize) {
        self.nodes[number].gate.opens();
    }

    /// Without a word: new connections are as ever.
    pub(crate) fn deadens(&self, number: usize) {
        self.nodes[number].gate.deadens();
    }

    /// How many persons and how many WeChat identities the database holds.
    pub(crate) async fn persons(&self) -> (i64, i64) {
        let (client, talking) =
            tokio_postgres::connect(&self.database, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(talking);
        let sql = "SELECT (SELECT count(*) FROM persons), (SELECT count(*) FROM identities)";
        let row = client.query_one(sql, &[]).await.unwrap();
        (row.get(0), row.get(1))
    }

    fn log(&self, number: usize) -> String {
        std::fs::read_to_string(self.folder.path().join(format!("{number}.log")))
            .unwrap_or_default()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for child in self.nodes.iter_mut().filter_map(|node| node.child.as_mut()) {
            // It may be gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            for number in 0..self.nodes.len() {
                let log = self.log(number);
                let last: Vec<_> = log.lines().rev().take(40).collect();
                eprintln!(
                    "node {number} said last:\n{}",
                    last.into_iter().rev().collect::<Vec<_>>().join("\n")
                );
            }
        }
    }
}

/// Debian's libfaketime, for programs with threads.
fn faketime() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap().map(|folder| folder.unwrap().path());
    let mut found = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    let found = found.find(|library| library.exists());
    found.unwrap_or_else(|| panic!("libfaketime is not installed; `./dev test` installs it"))
}

fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
