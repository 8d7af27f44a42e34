//! The figures, each measured in rounds: saoma and Node take turns in every one.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    Result, report, say,
    server::{Kind, Server, Setup, root},
    stub::Stub,
};

pub(crate) mod against;
pub(crate) mod hold;
mod large;
mod memory;
mod nodes;
mod restart;
mod short;
mod waiting;

/// A figure by its name.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// Whether more than one round says anything more.
    repeats: bool,
}

/// All of them, in the order in which they are measured.
pub(crate) const ALL: &[Figure] = &[
    Figure { name: "start", what: "from the start of the process to the first 200", repeats: true },
    Figure {
        name: "open",
        what: "opening a page while WeChat takes 3 s for a code",
        repeats: true,
    },
    Figure { name: "memory", what: "memory of a page that waits", repeats: true },
    Figure { name: "logins", what: "whole logins", repeats: true },
    Figure {
        name: "waiting",
        what: "15,000 pages that wait: what they cost, and how soon one is told",
        repeats: true,
    },
    Figure { name: "restart", what: "15,000 pages back after a restart", repeats: true },
    Figure { name: "nodes", what: "two nodes through Redis", repeats: true },
    Figure { name: "hold", what: "96,000 pages at once", repeats: false },
    Figure { name: "picture", what: "what re-encoding a code takes", repeats: false },
    Figure { name: "size", what: "the binary, and a server that does nothing", repeats: false },
];

/// How much of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// What the figures say.
    Whole,
    /// A fiftieth of the pages and a tenth of the time: enough to see that every step still works, and for no number.
    Short,
}

impl Size {
    pub(crate) fn count(self, whole: u32) -> u32 {
        match self {
            Self::Whole => whole,
            Self::Short => whole.div_ceil(50),
        }
    }

    pub(crate) fn time(self, whole: Duration) -> Duration {
        match self {
            Self::Whole => whole,
            Self::Short => whole / 10,
        }
    }
}

/// What the figures share.
pub(crate) struct Bench {
    pub(crate) stub: Stub,
    pub(crate) size: Size,
    folder: tempfile::TempDir,
}

/// The folder of this program: /tmp may be memory, and a database there would be safe for nothing.
fn beside() -> Result<PathBuf> {
    Ok(std::env::current_exe()?.parent().map(PathBuf::from).unwrap_or_default())
}

/// How many servers were started: each has a port of its own, since the one before may not be gone yet.
static SERVERS: AtomicU16 = AtomicU16::new(0);

impl Bench {
    pub(crate) async fn new(size: Size) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(beside()?)?;
        Ok(Self { stub: Stub::start().await?, size, folder })
    }

    /// A setup that asks the stub.
    pub(crate) fn setup(&self, kind: Kind) -> Setup {
        Setup::new(kind, &self.stub.url)
    }

    /// A fresh server with files of its own.
    pub(crate) async fn server(&self, setup: Setup) -> Result<Server> {
        let n = SERVERS.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder.path().join(n.to_string());
        let warm = setup.pool.min(256);
        let minted = self.stub.codes();
        let server = Server::start(setup, &folder, 18_000 + n % 900).await?;
        // A pool that fills is no part of any figure.
        for _ in 0..100 {
            if self.stub.codes() >= minted + u64::from(warm) {
                break;
            }
            pause(50).await;
        }
        pause(200).await;
        Ok(server)
    }

    /// A folder for more than one server.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Waits so many milliseconds for what goes on elsewhere.
pub(crate) async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// Measures the named figures, writes each down, and then the page about them. A short run writes nothing.
pub(crate) async fn run(names: &[String], rounds: u32, size: Size) -> Result<()> {
    if let Some(unknown) = names.iter().find(|name| ALL.iter().all(|figure| figure.name != *name)) {
        let known: Vec<_> =
            ALL.iter().map(|figure| format!("{}  {}", figure.name, figure.what)).collect();
        return Err(format!("{unknown} is no figure; there are:\n{}", known.join("\n")).into());
    }
    let mut failed = Vec::new();
    for figure in ALL {
        if !names.is_empty() && !names.iter().any(|name| name == figure.name) {
            continue;
        }
        let mut measured = Vec::new();
        let rounds = if figure.repeats { rounds } else { 1 };
        for n in 0..rounds {
            say(&format!("== {} ({}), round {}", figure.name, figure.what, n + 1));
            match round(figure.name, size).await {
                Ok(value) => {
                    say(&format!("{value:#}"));
                    measured.push(value);
                }
                // The others are measured all the same; what is missing is missing from the page.
                Err(error) => {
                    say(&format!("{} failed: {error}", figure.name));
                    failed.push(figure.name);
                }
            }
        }
        if !measured.is_empty() && size == Size::Whole {
            write_down(figure, &measured)?;
        }
    }
    if size == Size::Whole {
        report::write()?;
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", ")).into()) }
}

async fn round(name: &str, size: Size) -> Result<Value> {
    let bench = Bench::new(size).await?;
    match name {
        "start" => short::start(&bench).await,
        "open" => short::open(&bench).await,
        "memory" => memory::round(&bench).await,
        "logins" => short::logins(&bench).await,
        "waiting" => waiting::round(&bench).await,
        "restart" => restart::round(&bench).await,
        "nodes" => nodes::round(&bench).await,
        "hold" => hold::hold(&bench, 6, size.count(16_000)).await,
        "picture" => large::picture(&bench).await,
        "size" => large::size(&bench).await,
        _ => Err(format!("{name} is no figure").into()),
    }
}

fn write_down(figure: &Figure, rounds: &[Value]) -> Result<()> {
    let folder = root().join("results");
    fs::create_dir_all(&folder)?;
    let body = json!({
        "figure": figure.name,
        "what": figure.what,
        "command": format!("./dev bench {}", figure.name),
        "taken": jiff::Zoned::now().date().to_string(),
        "machine": machine(),
        "rounds": rounds,
    });
    fs::write(folder.join(format!("{}.json", figure.name)), format!("{body:#}\n"))?;
    Ok(())
}

/// What it was measured on.
fn machine() -> Value {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let memory = read("/proc/meminfo");
    let kib = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = kib.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    json!({
        "processor": model.map(|(_, model)| model), "cores": cores, "memory_gib": kib.map(|kib| kib.div_ceil(1024 * 1024)),
        "kernel": read("/proc/sys/kernel/osrelease").trim().split('-').next(), "load_before": read("/proc/loadavg").split(' ').next(),
    })
}
