//! The real binary as a process of its own, which can be killed.

use std::{
    io::{BufRead as _, BufReader},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
};

use saoma::try_it::actors::{Browser, Phone};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::support::{APPID, SECRET, SITES, Wechat};

/// `saoma serve`, with its files and a pretend WeChat in this process.
pub(crate) struct Process {
    pub(crate) url: String,
    pub(crate) wechat: Wechat,
    folder: TempDir,
    /// None while it is down.
    running: Option<Running>,
    log: Arc<Mutex<String>>,
    level: &'static str,
}

struct Running {
    child: Child,
    reading: JoinHandle<()>,
}

impl Process {
    /// Starts one that logs at `level`, and waits until it serves.
    pub(crate) async fn starts(level: &'static str) -> Self {
        Self::starts_with(level, "").await
    }

    /// The same with more settings: tables of their own.
    pub(crate) async fn starts_with(level: &'static str, more: &str) -> Self {
        Self::starts_at(level, more, "").await
    }

    /// The same where people reach it at another address than it listens at.
    pub(crate) async fn starts_at(level: &'static str, more: &str, public_url: &str) -> Self {
        let wechat = Wechat::starts().await;
        let folder = tempfile::tempdir().unwrap();
        let host = own_address();
        let url = format!("http://{host}:8080");
        let public_url = if public_url.is_empty() { &url } else { public_url };
        let settings = format!(
            "public_url = \"{public_url}\"\nlisten = \"{host}:8080\"\nadmin_listen = \"{host}:8081\"\nstore = \"sqlite:{}\"\n\
             [wechat]\nappid = \"{APPID}\"\nsecret = \"{SECRET}\"\nbase_url = \"{}\"\npool = 0\npicture = \"as-is\"\n{SITES}\n{more}",
            folder.path().join("saoma.db").display(),
            wechat.url,
        );
        std::fs::write(folder.path().join("saoma.toml"), settings).unwrap();
        let log = Arc::default();
        let running = serve(folder.path(), level, &log).await;
        Self { url, wechat, folder, running: Some(running), log, level }
    }

    /// Its settings are written anew, and it is asked to read them.
    pub(crate) fn is_given(&self, settings: &str) {
        std::fs::write(self.folder.path().join("saoma.toml"), settings).unwrap();
        let pid = self.running.as_ref().unwrap().child.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
    }

    /// Its settings as they are.
    pub(crate) fn settings(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("saoma.toml")).unwrap()
    }

    /// Another command of saoma's, with its settings, run to its end.
    pub(crate) fn saoma(&self, args: &[&str]) -> std::process::Output {
        self.saoma_with(args, [])
    }

    /// The same in an environment.
    pub(crate) fn saoma_with<const N: usize>(
        &self,
        args: &[&str],
        environment: [(&str, &str); N],
    ) -> std::process::Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_saoma"));
        command.args(args).arg("--config").arg(self.folder.path().join("saoma.toml"));
        command.env_clear().envs(environment).current_dir(self.folder.path()).output().unwrap()
    }

    /// The address of this machine that it has.
    pub(crate) fn host(&self) -> String {
        self.url.trim_start_matches("http://").trim_end_matches(":8080").to_owned()
    }

    /// Where operators reach it.
    pub(crate) fn operators(&self) -> String {
        self.url.replace(":8080", ":8081")
    }

    /// kill -9: no goodbye, nothing written down.
    pub(crate) async fn is_killed(&mut self) {
        self.running.as_mut().unwrap().child.kill().unwrap();
        self.is_over().await;
    }

    /// What an init system sends: it stops by itself.
    pub(crate) async fn is_asked_to_stop(&mut self) {
        let pid = self.running.as_ref().unwrap().child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let ended = self.is_over().await;
        assert!(ended.success(), "{ended}: {}", self.log());
    }

    async fn is_over(&mut self) -> ExitStatus {
        let Running { mut child, reading } = self.running.take().unwrap();
        // Elsewhere, because what it still asks of the pretend WeChat is answered here.
        let wait = move || {
            reading.join().unwrap();
            child.wait().unwrap()
        };
        tokio::task::spawn_blocking(wait).await.unwrap()
    }

    /// The same server again, with the files that the last one left.
    pub(crate) async fn starts_again(&mut self) {
        self.running = Some(serve(self.folder.path(), self.level, &self.log).await);
    }

    /// Everything it has logged, over all its lives.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn browser(&self) -> Browser {
        Browser::new(&self.url).unwrap()
    }

    pub(crate) fn phone(&self, person: &str) -> Phone {
        Phone::of(person, &self.url, &self.wechat.url)
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("saoma.db")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(Running { mut child, .. }) = self.running.take() {
            // It may be gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// An address of this machine that nobody else uses: all of 127.0.0.0/8 is Linux's loopback, and connections go out from
/// 127.0.0.1, so that a killed server finds its port free.
fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    Ipv4Addr::new(127, 100 + u8::try_from(next).unwrap(), high, low)
}

/// Starts the server of this folder, and returns once it serves.
async fn serve(folder: &Path, level: &str, log: &Arc<Mutex<String>>) -> Running {
    let mut child = Command::new(env!("CARGO_BIN_EXE_saoma"))
        .args(["serve", "--config"])
        .arg(folder.join("saoma.toml"))
        .env_clear()
        .envs((!level.is_empty()).then_some(("SAOMA_LOG", level)))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let (serves, served) = oneshot::channel();
    let kept = log.clone();
    let reading = thread::spawn(move || {
        let mut serves = Some(serves);
        for line in lines.map_while(Result::ok) {
            kept.lock().unwrap().extend([line.as_str(), "\n"]);
            if line.contains("saoma serves")
                && let Some(serves) = serves.take()
            {
                let _ = serves.send(());
            }
        }
    });
    assert!(served.await.is_ok(), "it does not start: {}", log.lock().unwrap());
    Running { child, reading }
}
