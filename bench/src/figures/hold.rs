//! As many pages at once as files allow: a server process and a process of pages for each so many.

use std::{
    net::SocketAddr,
    process::Stdio,
    rc::Rc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::Bench;
use crate::{
    Result,
    actors::{Book, Hands, SITE},
    crowd::Crowd,
    measure::{number, round as digits},
    server::{Kind, kernel_memory},
};

/// How many pages of each process sign in at the end.
const LOGINS: u32 = 500;
/// For how long all of them are held: every one is pinged once in it.
const HELD: Duration = Duration::from_secs(60);

/// Holds `pages` pages of each of `servers` servers.
pub(crate) async fn hold(bench: &Bench, servers: u32, pages: u32) -> Result<Value> {
    let (held_for, logins) = (bench.size.time(HELD), bench.size.count(LOGINS));
    let before = kernel_memory()?;
    let (mut running, mut holders) = (Vec::new(), Vec::new());
    for _ in 0..servers {
        let server = bench.server(bench.setup(Kind::Saoma)).await?;
        holders.push(Holder::start(server.address, pages, logins)?);
        running.push(server);
    }
    let begun = Instant::now();
    for holder in &mut holders {
        holder.says("all wait").await?;
    }
    let opened = begun.elapsed().as_secs_f64();
    tokio::time::sleep(held_for).await;
    let (mut user, mut held) = (0, 0);
    for server in &running {
        user += server.memory()?.anonymous;
        held += pages;
    }
    let kernel = kernel_memory()?.saturating_sub(before);
    let (mut lost, mut logins) = (0, 0);
    for holder in &mut holders {
        holder.stdin.write_all(b"finish\n").await?;
        let told: Value = serde_json::from_str(&holder.line().await?)?;
        let of =
            |name: &str| told.get(name).and_then(Value::as_u64).ok_or("a holder that does not say");
        lost += of("lost")?;
        logins += of("logins")?;
    }
    let each = number(u64::from(held));
    Ok(json!({ "saoma": {
        "held": held, "lost": lost, "seconds_held": held_for.as_secs(), "opened_in_s": digits(opened), "logins_afterwards": logins,
        "user_bytes_each": digits(number(user) / each), "kernel_bytes_each": digits(number(kernel) / each),
    }}))
}

struct Holder {
    _process: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Holder {
    fn start(server: SocketAddr, pages: u32, logins: u32) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["pages", &server.to_string(), &pages.to_string(), &logins.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdin = process.stdin.take().ok_or("a holder without ears")?;
        let stdout = process.stdout.take().ok_or("a holder without a mouth")?;
        Ok(Self { _process: process, stdin, lines: BufReader::new(stdout).lines() })
    }

    async fn line(&mut self) -> Result<String> {
        let line = tokio::time::timeout(Duration::from_secs(300), self.lines.next_line()).await??;
        Ok(line.ok_or("a holder that ended early")?)
    }

    async fn says(&mut self, hoped: &str) -> Result<()> {
        let line = self.line().await?;
        if line == hoped { Ok(()) } else { Err(format!("a holder said {line}").into()) }
    }
}

/// What each process of pages does: hold them until it is told to finish, then let some sign in.
#[expect(clippy::print_stdout, reason = "the process that started it reads along")]
pub(crate) async fn pages(server: SocketAddr, pages: u32, logins: u32) -> Result<()> {
    let mut crowd = Crowd::default();
    crowd.grow(server, pages).await?;
    println!("all wait");
    let mut told = BufReader::new(tokio::io::stdin()).lines();
    if told.next_line().await?.is_none() {
        return Ok(());
    }
    let lost = crowd.lost();
    let book = Rc::new(Book::default());
    let mut hands = Hands::new(server, SITE);
    for person in 0..logins.min(pages) {
        let mut held = crowd.take().await?;
        hands.finish(&held.page, &held.scene, &mut held.socket, person, &book).await?;
    }
    println!("{}", json!({ "lost": lost, "logins": book.logins() }));
    Ok(())
}
