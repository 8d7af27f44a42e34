//! The servers under measurement as processes of their own, and what the kernel says of them.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::{
    net::TcpStream,
    process::{Child, Command},
};

use crate::{
    Result,
    actors::{ORIGIN, REDIRECT, RSA_SITE, SITE},
};

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Saoma,
    Node,
}

impl Kind {
    pub(crate) const BOTH: [Self; 2] = [Self::Saoma, Self::Node];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Saoma => "saoma",
            Self::Node => "node",
        }
    }
}

/// How a server is set up for one figure.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) kind: Kind,
    /// saoma's, where it is not the one beside this program.
    pub(crate) binary: Option<PathBuf>,
    pub(crate) wechat: String,
    /// How many codes lie ready.
    pub(crate) pool: u32,
    /// How long a code can be scanned.
    pub(crate) life: &'static str,
    pub(crate) tickets: String,
    /// The database, where it is not a file of the server's own.
    pub(crate) store: Option<String>,
    pub(crate) picture: &'static str,
}

impl Setup {
    pub(crate) fn new(kind: Kind, wechat: &str) -> Self {
        Self {
            kind,
            binary: None,
            wechat: wechat.to_owned(),
            pool: 64,
            life: "10m",
            tickets: "memory".to_owned(),
            store: None,
            picture: "as-is",
        }
    }
}

/// A running server, ended when dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) pid: u32,
    /// From the start of the process to its first 200.
    pub(crate) start: Duration,
    /// How long the one before it took to stop, where there was one.
    pub(crate) stop: Duration,
    setup: Setup,
    folder: PathBuf,
    child: Child,
}

impl Server {
    /// Starts a server with its files in `folder`, and waits for its first 200.
    pub(crate) async fn start(setup: Setup, folder: &Path, port: u16) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        fs::create_dir_all(folder)?;
        let mut command = match setup.kind {
            Kind::Saoma => {
                let file = folder.join("saoma.toml");
                fs::write(&file, settings(&setup, folder, port))?;
                let binary = setup.binary.clone().map_or_else(binary, Ok)?;
                let mut command = Command::new(binary);
                command.arg("serve").arg("--config").arg(file);
                command
            }
            Kind::Node => {
                let mut command = Command::new("node");
                command.arg(root().join("node/server.js")).env("PORT", port.to_string());
                command.env("WECHAT", &setup.wechat).env("POOL", setup.pool.to_string());
                command.env("NODE_ENV", "production").env("KEY", folder.join("key.pem"));
                if setup.tickets != "memory" {
                    command.env("REDIS", &setup.tickets);
                }
                command
            }
        };
        let log = fs::File::create(folder.join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        let begun = Instant::now();
        let child = command.spawn()?;
        let pid = child.id().ok_or("a server that ended at once")?;
        let mut server = Self {
            address,
            pid,
            start: Duration::ZERO,
            stop: Duration::ZERO,
            setup,
            folder: folder.to_owned(),
            child,
        };
        while !answers(address).await {
            if let Some(status) = server.child.try_wait()? {
                return Err(format!("a server did not start ({status}): {}", server.log()?).into());
            }
            if begun.elapsed() > Duration::from_secs(20) {
                return Err("a server did not answer within 20 s".into());
            }
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        server.start = begun.elapsed();
        Ok(server)
    }

    /// Asks it to stop, waits until it has, and starts it again on the same files.
    pub(crate) async fn restart(mut self) -> Result<Self> {
        let begun = Instant::now();
        self.stop().await?;
        let stop = begun.elapsed();
        let (setup, folder, port) = (self.setup.clone(), self.folder.clone(), self.address.port());
        drop(self);
        Ok(Self { stop, ..Self::start(setup, &folder, port).await? })
    }

    /// Asks it to stop and waits until it has.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        let asked = std::process::Command::new("kill").arg(self.pid.to_string()).status()?;
        if !asked.success() {
            return Err("a server could not be asked to stop".into());
        }
        tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await??;
        Ok(())
    }

    /// Where saoma's operators look.
    pub(crate) fn operators(&self) -> SocketAddr {
        SocketAddr::new(self.address.ip(), operators_port(self.address.port()))
    }

    /// What it wrote to its log.
    pub(crate) fn log(&self) -> Result<String> {
        Ok(fs::read_to_string(self.folder.join("log"))?)
    }

    /// Processor time used so far, its own and the kernel's on its behalf.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        cpu_of(self.pid)
    }

    /// Memory that is its own: not files, not the kernel's.
    pub(crate) fn memory(&self) -> Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let of = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.split_whitespace().next());
            Ok(kib.ok_or("no such line in /proc/PID/status")?.parse::<u64>()? * 1024)
        };
        Ok(Memory { rss: of("VmRSS:")?, anonymous: of("RssAnon:")? })
    }
}

/// How much memory a process has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) rss: u64,
    pub(crate) anonymous: u64,
}

/// Memory of the kernel's that sockets account for: its slabs and its buffers.
pub(crate) fn kernel_memory() -> Result<u64> {
    let info = fs::read_to_string("/proc/meminfo")?;
    let slab = info.lines().find_map(|line| line.strip_prefix("Slab:"));
    let kib =
        slab.and_then(|line| line.split_whitespace().next()).ok_or("no Slab in /proc/meminfo")?;
    Ok(kib.parse::<u64>()? * 1024)
}

/// Processor time of a process in hundredths of a second, as `/proc/PID/stat` counts it (proc(5), fields 14 and 15).
pub(crate) fn cpu_of(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").ok_or("no such line in /proc/PID/stat")?;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u64>);
    let ticks = ticks.sum::<std::result::Result<u64, _>>()?;
    Ok(Duration::from_millis(ticks * 10))
}

async fn answers(address: SocketAddr) -> bool {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let asked = async {
        let mut stream = TcpStream::connect(address).await?;
        stream
            .write_all(b"GET /oauth2/jwks HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")
            .await?;
        let mut status = [0; 12];
        stream.read_exact(&mut status).await?;
        Ok::<_, std::io::Error>(status.ends_with(b" 200"))
    };
    asked.await.unwrap_or(false)
}

fn operators_port(port: u16) -> u16 {
    port + 1000
}

/// The folder of this crate.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// saoma as it is shipped: built by `./dev bench` beside this program.
pub(crate) fn binary() -> Result<PathBuf> {
    let binary = std::env::current_exe()?.with_file_name("saoma");
    if binary.exists() {
        Ok(binary)
    } else {
        Err(format!("{} is not built; run ./dev bench", binary.display()).into())
    }
}

/// What holds in all figures: all that guards memory and time is on. Rates are counted and not kept, because one machine
/// plays everybody.
fn settings(setup: &Setup, folder: &Path, port: u16) -> String {
    let site = |id: &str, alg: &str| {
        format!(
            "[[site]]\nid = \"{id}\"\nname = \"Shop\"\nredirect_uris = [\"{REDIRECT}\"]\norigins = [\"{ORIGIN}\"]\nalg = \"{alg}\"\n"
        )
    };
    format!(
        "public_url = \"http://127.0.0.1:{port}\"\nlisten = \"127.0.0.1:{port}\"\nadmin_listen = \"127.0.0.1:{}\"\n\
         store = \"{}\"\ntickets = \"{}\"\ntrusted_proxies = [\"127.0.0.0/8\"]\n\
         [wechat]\nappid = \"wxbench\"\nsecret = \"bench\"\nbase_url = \"{}\"\npicture = \"{}\"\npool = {}\n\
         [ticket]\nlife = \"{}\"\n[keys]\nsecret = \"a long text that encrypts the signing keys at rest\"\n\
         [limits]\noff = true\n{}{}",
        operators_port(port),
        setup
            .store
            .clone()
            .unwrap_or_else(|| format!("sqlite:{}", folder.join("saoma.db").display())),
        setup.tickets,
        setup.wechat,
        setup.picture,
        setup.pool,
        setup.life,
        site(SITE, "ES256"),
        site(RSA_SITE, "RS256"),
    )
}
