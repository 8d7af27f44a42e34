//! The command line; the only file that names concrete backends.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use saoma::{
    app::SharedApp,
    commands::{self, Out, backup, doctor, healthcheck, import, keys, person, sites},
    config::{self, Faults, Settings},
    console::access,
    http,
    log::{Format, Log},
    metrics, miniprogram, reload,
    run::{self, Doors, assemble},
    signals::{Hangups, asked_to_stop, tell_systemd},
    site,
    store::{Opens, SharedStore, postgres::Postgres, sqlite::Sqlite},
    tickets::{SharedTickets, memory::Memory, redis::Redis},
    tls,
    try_it::{self, Stage},
    waiting::Waiting,
    world::World,
};
use tokio::net::TcpListener;
use wechat::pretend::{self, Pretend};

/// What lives minutes lies among what lives moments: this one keeps sizes apart, and takes a fifth less for a waiting page.
#[cfg(all(feature = "jemalloc", target_os = "linux", target_arch = "x86_64"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Sign in with WeChat by scanning, for any website.
#[derive(Parser)]
#[command(name = "saoma", version, about, max_term_width = 100)]
struct Cli {
    /// The file with the settings; `saoma config` prints them all.
    #[arg(long, global = true, env = "SAOMA_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// What to log: error, warn, info, debug, trace, or by module.
    #[arg(long, global = true, env = "SAOMA_LOG", value_name = "LEVEL")]
    log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Try everything in one process: a pretend WeChat, a demo site, and a phone to hold. Needs no account; with --config
    /// the sites of that file take part.
    Try(Try),
    /// Run the server.
    Serve,
    /// Print every setting with its default and why it is so, or check the ones given with --config.
    Config {
        /// Check the settings instead, and say what is wrong.
        #[arg(long)]
        check: bool,
        /// Print the settings in force instead, each with where it came from; secrets are masked.
        #[arg(long, conflicts_with = "check")]
        in_force: bool,
        /// Those as JSON.
        #[arg(long, requires = "in_force")]
        json: bool,
    },
    /// Look at everything that can be wrong between this machine and WeChat; exit 0 if nothing is broken.
    Doctor(doctor::Given),
    /// Write the mini program, filled in, ready for WeChat's DevTools or for an upload without it.
    Miniprogram(miniprogram::Given),
    /// Run the pretend WeChat alone, for anyone's tests.
    Pretend(PretendArgs),
    /// Register sites, show and remove them; running servers see it within two seconds.
    #[command(subcommand)]
    Site(Box<sites::Command>),
    /// See who signs in, and what they may: groups, owners, invitations, blocks; running servers see it at once.
    #[command(subcommand)]
    Person(Box<person::Command>),
    /// Show the signing keys, or rotate them; running servers see it within two seconds.
    #[command(subcommand)]
    Keys(keys::Command),
    /// Bring people along from another mini program or an older login, and keep their accounts.
    Import(import::People),
    /// Copy the database to a file, consistent while a server runs on it.
    Backup {
        /// Where to; must not be there yet.
        file: PathBuf,
    },
    /// Put a backup in the database's place, and keep what stood there beside it. The server must be stopped.
    Restore {
        /// What `saoma backup` wrote.
        file: PathBuf,
    },
    /// Let yourself into the operators' console where scanning is no way: WeChat is away, or your phone is.
    #[command(subcommand)]
    Console(ConsoleCommand),
    /// Print all of saoma's HTTP as OpenAPI 3.1: what a server shows at /openapi.json.
    Openapi {
        /// That of the operators' listener.
        #[arg(long)]
        operators: bool,
    },
    /// Ask a running server whether it is alive; exit 0 if so.
    Healthcheck {
        /// Print what it answers as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write manual pages, one a command.
    Man {
        /// The folder for them.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Print completions of commands for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Subcommand)]
enum ConsoleCommand {
    /// Print a link that opens the console once, within ten minutes, for an hour. It is noted in the audit log.
    Link,
}

#[derive(Args)]
struct Try {
    /// Play one sign-in by itself, print each step and exit; 0 only if it truly happened.
    #[arg(long)]
    once: bool,
    /// Where saoma, the pretend WeChat with the phone, the demo site and the console listen on 127.0.0.1; 0 for any free
    /// port.
    #[arg(long, value_names = ["SAOMA", "WECHAT", "DEMO", "CONSOLE"], num_args = 4, default_values = ["8080", "9100", "8090", "8081"])]
    ports: Vec<u16>,
}

#[derive(Args)]
struct PretendArgs {
    /// Where it listens.
    #[arg(long, default_value = "127.0.0.1:9100")]
    listen: String,
    /// The AppID that it knows.
    #[arg(long, default_value = try_it::APPID)]
    appid: String,
    /// Its AppSecret.
    #[arg(long, default_value = "pretend", hide_default_value = true)]
    secret: String,
    /// What its codes hold: a URL with {path} and {scene}.
    #[arg(long, value_name = "URL")]
    phone_url: Option<String>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let (log, settings) = match start_log(&cli) {
        Ok(started) => started,
        Err(why) => return failed(&why),
    };
    metrics::count_panics();
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("cannot start: {error}")),
    };
    let done = runtime.block_on(async {
        match settings {
            Some(settings) => serve(settings, &cli, &log).await,
            None => run(cli).await,
        }
    });
    log.finish();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => failed(&why),
    }
}

/// One worker more than there are cores: each looks into SQLite where it is, and shares its core with the writer. In a crowd a
/// login costs 3 to 7 % less processor time so, by turns of a second at both (`./dev bench --against`); two more gain no more.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    tokio::runtime::Builder::new_multi_thread().worker_threads(cores + 1).enable_all().build()
}

/// The log, and for a server the settings, which say what it looks like.
fn start_log(cli: &Cli) -> Result<(Log, Option<Settings>), String> {
    let (level, format, traces, settings) = match cli.command {
        Command::Serve => {
            let settings = settings(cli.config.as_deref())?;
            let config::Log { level, format, traces } = settings.log.clone();
            (level, format, traces, Some(settings))
        }
        // What they have to say they print; the log is for what goes wrong.
        _ => ("warn".to_owned(), Format::Text, String::new(), None),
    };
    let level = cli.log.clone().unwrap_or(level);
    Ok((Log::start(&level, format, &traces)?, settings))
}

fn failed(why: &str) -> ExitCode {
    // The exit code says it where nobody reads.
    let _ = writeln!(std::io::stderr(), "saoma: {}", why.trim_end());
    ExitCode::FAILURE
}

/// What stands beside an answer, and is no part of it.
#[expect(clippy::print_stderr, reason = "who reads an answer by a script must not find it there")]
fn note(text: &str) {
    eprintln!("saoma: {text}");
}

fn say(text: &str) -> Result<(), String> {
    writeln!(Out, "{text}").map_err(|error| format!("cannot write to standard output: {error}"))
}

async fn run(cli: Cli) -> Result<(), String> {
    match cli.command {
        Command::Try(args) => play(cli.config.as_deref(), args).await,
        // Its settings were read before the log began.
        Command::Serve => Ok(()),
        Command::Config { in_force: true, json, .. } => {
            let lines = settings(cli.config.as_deref())?.in_force.0;
            if json {
                let row = |line: config::Line| serde_json::json!({ "name": line.name, "value": line.value, "source": line.source.to_string() });
                let rows: serde_json::Value = lines.into_iter().map(row).collect();
                return say(&format!("{rows:#}"));
            }
            let line =
                |line: &config::Line| format!("{} = {}  # {}", line.name, line.value, line.source);
            say(&lines.iter().map(line).collect::<Vec<_>>().join("\n"))
        }
        Command::Config { check: false, .. } => say(config::DEFAULTS.trim_end()),
        Command::Config { check: true, .. } => {
            let named = cli.config.as_deref();
            let faults = faults_of_what_is_named(&settings(named)?);
            if !faults.is_empty() {
                return Err(cannot_be_used(named, &Faults(faults)));
            }
            match settings_file(named) {
                Some(file) => say(&format!("{} can be used.", commands::whole(file).display())),
                None => say("The settings of the environment can be used; no file was read."),
            }
        }
        Command::Miniprogram(given) => {
            let mut settings = settings_from(cli.config.as_deref(), given.over(std::env::vars()))?;
            let unread = add_registered(&mut settings).await;
            let next = miniprogram::write(&settings, &given.out, given.force, given.lang);
            say(&next.map_err(|faults| format!("the mini program cannot be written:\n{faults}"))?)?;
            if let Err(why) = unread {
                note(&format!("its home page names the sites of the settings alone: {why}"));
            }
            Ok(())
        }
        Command::Doctor(given) => {
            let examined = doctor::run(&given, beside(cli.config.as_deref())).await?;
            if let Some(text) = examined.text {
                say(&text)?;
            }
            match examined.is_broken {
                true => Err("something is broken; see above".to_owned()),
                false => Ok(()),
            }
        }
        Command::Pretend(args) => pretend(args).await,
        Command::Site(command) => {
            let (settings, store, world) = match *command {
                sites::Command::Add(_) => opened_or_made(cli.config.as_deref()).await?,
                _ => opened(cli.config.as_deref()).await?,
            };
            say(sites::run(&settings, &store, &world, *command).await?.trim_end())
        }
        Command::Person(command) => {
            let (settings, store, world) = opened(cli.config.as_deref()).await?;
            say(person::run(&settings, &store, &world, *command).await?.trim_end())
        }
        Command::Keys(command) => {
            let (settings, store, world) = opened(cli.config.as_deref()).await?;
            say(keys::run(&settings, &store, &world, command).await?.trim_end())
        }
        Command::Import(given) => {
            let (settings, store, world) = opened_or_made(cli.config.as_deref()).await?;
            let done = import::people(&settings, &store, &world, &given).await?;
            say(&done.text)?;
            match done.refused {
                0 => Ok(()),
                refused => Err(format!("rows that were refused: {refused}; see above")),
            }
        }
        Command::Backup { file } => {
            say(&backup::make(&settings(cli.config.as_deref())?, &World::real(), &file).await?)
        }
        Command::Restore { file } => {
            say(&backup::restore(&settings(cli.config.as_deref())?, &World::real(), &file).await?)
        }
        Command::Healthcheck { json } => {
            let health = healthcheck::ask(&settings(cli.config.as_deref())?).await;
            if json {
                say(&health.json())?;
            }
            health.alive()
        }
        Command::Man { out } => std::fs::create_dir_all(&out)
            .and_then(|()| clap_mangen::generate_to(Cli::command(), &out))
            .map_err(|error| format!("{}: {error}", out.display())),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "saoma", &mut script);
            say(String::from_utf8_lossy(&script).trim_end())
        }
        Command::Console(ConsoleCommand::Link) => {
            let (settings, store, world) = opened(cli.config.as_deref()).await?;
            let link = access::make_link(&settings, &store, &world, Opens::Console).await;
            let link = link.map_err(|error| error.to_string())?;
            say(&format!(
                "{link}\n\nIt opens the console once, within ten minutes, for an hour, and is noted in the audit log.{}",
                from_elsewhere(&settings)
            ))
        }
        Command::Openapi { operators } => {
            let document = if operators { http::operators_document() } else { http::document() };
            say(&format!("{document:#}"))
        }
    }
}

/// Where settings are looked for unless a file is named.
const HERE: &str = "saoma.toml";
const PACKAGE: &str = "/etc/saoma/saoma.toml";

/// The file that was named; or saoma.toml here, or a package's. The package's folder is shut to strangers, who are told so
/// when it is read.
fn settings_file(named: Option<&Path>) -> Option<&Path> {
    let (here, package) = (Path::new(HERE), Path::new(PACKAGE));
    let usual = || {
        let there = package.try_exists().unwrap_or(true);
        if here.exists() { Some(here) } else { there.then_some(package) }
    };
    named.or_else(usual)
}

fn load(
    file: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Settings, Faults> {
    let file = settings_file(file);
    Settings::load(file, env).map_err(|faults| match file {
        Some(_) => faults,
        // Else it would seem that what stands in a file of another folder is missing.
        None => Faults(std::iter::once(no_file()).chain(faults.0).collect()),
    })
}

fn no_file() -> String {
    let here = commands::whole(Path::new(HERE));
    format!(
        "no file of settings was read: there is none at {}, and none at {PACKAGE}; give one with --config",
        here.display()
    )
}

fn settings(file: Option<&Path>) -> Result<Settings, String> {
    settings_from(file, std::env::vars())
}

fn settings_from(
    file: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Settings, String> {
    load(file, env).map_err(|faults| cannot_be_used(file, &faults))
}

/// What is wrong with settings, and which file was read: of two the one at hand goes first.
fn cannot_be_used(named: Option<&Path>, faults: &Faults) -> String {
    let read = settings_file(named).map(|file| format!(" ({})", commands::whole(file).display()));
    format!("the settings cannot be used{}:\n{faults}", read.unwrap_or_default())
}

/// What a server would stumble over at its start that the settings name: files, and addresses of backends.
fn faults_of_what_is_named(settings: &Settings) -> Vec<String> {
    let (store, tickets) = (&settings.store, &settings.tickets);
    let mut faults = run::check_files(settings);
    if store.after("sqlite:").is_none()
        && let Err(error) = Postgres::check(store.reveal())
    {
        faults.push(format!("store = {store:?}: {error}"));
    }
    if tickets.reveal() != "memory"
        && let Err(error) = Redis::check(tickets.reveal())
    {
        faults.push(format!("tickets = {tickets:?}: {error}"));
    }
    faults
}

/// The store that the settings name.
async fn open_store(settings: &Settings) -> Result<SharedStore, String> {
    let place = &settings.store;
    let opened: Result<SharedStore, _> = match place.after("sqlite:") {
        Some(file) => Sqlite::open(Path::new(file)).map(|store| Arc::new(store) as _),
        None => Postgres::open(place.reveal()).await.map(|store| Arc::new(store) as _),
    };
    opened.map_err(|error| format!("store = {place:?}: {error}"))
}

/// What a command needs that looks at a server or changes it. It makes no database of its own: in another folder than the
/// server's it would work on an empty one, and seem to do what it was asked for.
async fn opened(config: Option<&Path>) -> Result<(Settings, SharedStore, World), String> {
    let settings = settings(config)?;
    if let Some(file) = missing(&settings) {
        return Err(commands::no_database(file));
    }
    let store = open_store(&settings).await?;
    Ok((settings, store, World::real()))
}

/// The same for what may come before the first start of a server.
async fn opened_or_made(config: Option<&Path>) -> Result<(Settings, SharedStore, World), String> {
    let settings = settings(config)?;
    let made = missing(&settings).map(commands::whole);
    let store = open_store(&settings).await?;
    if let Some(file) = made {
        note(&format!("there was no database at {}, so one was made", file.display()));
    }
    Ok((settings, store, World::real()))
}

/// The database file that the settings name, if it is not there.
fn missing(settings: &Settings) -> Option<&Path> {
    let missing = |file: &&Path| file.try_exists().is_ok_and(|there| !there);
    settings.store.after("sqlite:").map(Path::new).filter(missing)
}

/// The short-lived store that the settings name.
async fn open_tickets(
    settings: &Settings,
    waiting: Arc<Waiting>,
    world: &World,
) -> Result<SharedTickets, String> {
    let place = &settings.tickets;
    if place.reveal() == "memory" {
        let memory = Memory::new(waiting);
        return Ok(Arc::new(match settings.store.after("sqlite:") {
            Some(file) => memory.spilling_beside(Path::new(file)),
            None => memory,
        }));
    }
    let redis = Redis::connect(place.reveal(), waiting, world).await;
    Ok(Arc::new(redis.map_err(|error| format!("tickets = {place:?}: {error}"))?))
}

/// The settings with what they name beside a server that may be running on it, changing nothing; no store where there is none
/// yet.
async fn beside(config: Option<&Path>) -> doctor::Loaded {
    let settings = load(config, std::env::vars())?;
    let (store, redis) = tokio::join!(store_beside(&settings), redis_beside(&settings));
    Ok((settings, store, redis))
}

/// Whether the Redis that the settings name answers as a server wants it to; none where tickets live in a server's memory.
async fn redis_beside(settings: &Settings) -> Option<Result<(), String>> {
    let place = settings.tickets.reveal();
    if place == "memory" {
        return None;
    }
    // Redis sets the clock of a world, and the doctor's is to be compared with WeChat's.
    let world = World::real();
    let connected = Redis::connect(place, Arc::default(), &world).await;
    Some(connected.map(drop).map_err(|error| error.to_string()))
}

async fn store_beside(settings: &Settings) -> Result<Option<SharedStore>, String> {
    let place = &settings.store;
    let opened: Result<Option<SharedStore>, _> = match place.after("sqlite:") {
        Some(file) => {
            Sqlite::beside(Path::new(file)).map(|store| store.map(|store| Arc::new(store) as _))
        }
        None => Postgres::beside(place.reveal()).await.map(|store| Some(Arc::new(store) as _)),
    };
    opened.map_err(|error| error.to_string())
}

/// Adds the sites that commands and the console registered to those of the settings, where the store is there: who makes the
/// mini program on a computer of their own has none.
async fn add_registered(settings: &mut Settings) -> Result<(), String> {
    let Some(store) = store_beside(settings).await? else { return Ok(()) };
    let kept = store.sites().await.map_err(|error| error.to_string())?;
    settings.sites = site::beside(std::mem::take(&mut settings.sites), kept);
    Ok(())
}

/// The backends that the settings name.
async fn build(settings: Settings) -> Result<SharedApp, String> {
    let waiting = Arc::new(Waiting::default());
    let world = World::real();
    let tickets = open_tickets(&settings, waiting.clone(), &world).await?;
    let store = open_store(&settings).await?;
    let built = assemble(settings, world, store, tickets, waiting).await;
    built.map_err(|error| error.to_string())
}

async fn serve(settings: Settings, cli: &Cli, log: &Log) -> Result<(), String> {
    // Taken before anybody may send them.
    let hangups = Hangups::open()?;
    let public = listen(&settings.listen.to_string(), "listen").await?;
    let operators = listen(&settings.admin_listen.to_string(), "admin_listen").await?;
    let app = build(settings).await?;
    // Whoever asks from now on finds tickets that have to be written down.
    let asked = asked_to_stop();
    let settings = &app.settings;
    if let Some(link) = access::offer_ownership(&app).await.map_err(|error| error.to_string())? {
        // Printed, not logged: whoever reads it first may own this server.
        say(&format!(
            "Nobody owns this server yet. Open this once, within a day, and scan:\n\n  {link}\n{}",
            from_elsewhere(settings)
        ))?;
    }
    let (tls, keeping) = tls::of(&app)?;
    let redirecting = redirect(&app).await?;
    tracing::info!(name: "server.started", listen = %settings.listen, public_url = settings.public_url,
        sites = settings.sites.len(), "saoma serves");
    let router = http::public(app.clone());
    let stop = async {
        asked.await;
        tracing::info!(name: "server.stopping", "saoma was asked to stop; who waits is written down");
        tell_systemd("STOPPING=1");
    };
    let doors = Doors { public, router, tls, operators: Some(operators) };
    let running = run::run(app.clone(), doors, || tell_systemd("READY=1"), stop);
    tokio::select! {
        ended = running => {
            ended.map_err(|error| error.to_string())?;
            tracing::info!(name: "server.stopped", "saoma has stopped");
            Ok(())
        }
        () = reload_at(hangups, &app, cli, log) => Ok(()),
        () = keeping => Ok(()),
        () = redirecting => Ok(()),
    }
}

/// Leads plain http to where people reach saoma, if the settings say where.
async fn redirect(app: &SharedApp) -> Result<impl Future<Output = ()> + use<>, String> {
    let settings = &app.settings;
    let listener = match settings.tls.redirect.as_str() {
        "" => None,
        address => Some(listen(address, "tls.redirect").await?),
    };
    let (router, door) = (http::to_https(&settings.public_url), http::Door::redirecting(settings));
    Ok(async move {
        match listener {
            Some(listener) => http::serve_at(door, listener, router, std::future::pending()).await,
            None => std::future::pending().await,
        }
    })
}

/// Reads the settings again whenever that is asked for, for as long as it is polled.
async fn reload_at(mut hangups: Hangups, app: &SharedApp, cli: &Cli, log: &Log) {
    loop {
        hangups.next().await;
        let loaded = load(cli.config.as_deref(), std::env::vars());
        reload::reload(app, log, cli.log.is_some(), loaded).await;
    }
}

/// How a browser on another machine gets to a console that listens on this one alone.
fn from_elsewhere(settings: &Settings) -> String {
    let listen = settings.admin_address();
    if settings.console.url.is_empty() && listen.ip().is_loopback() {
        let port = listen.port();
        format!("\nFrom another machine first: ssh -L {port}:{listen} THIS-MACHINE")
    } else {
        String::new()
    }
}

async fn listen(address: &str, setting: &str) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| {
        format!("{setting} = {address:?}: {error}; stop what uses it, or choose another")
    })
}

async fn play(config: Option<&Path>, args: Try) -> Result<(), String> {
    if std::env::var_os("SAOMA_WECHAT__APPID").is_some() {
        return Err(try_it::REAL_APPID.replace("remove wechat.appid", "unset SAOMA_WECHAT__APPID"));
    }
    let ports =
        if args.once { [0; 4] } else { <[u16; 4]>::try_from(args.ports).unwrap_or_default() };
    let stage = Stage::open(ports).await?;
    let folder =
        tempfile::tempdir().map_err(|error| format!("cannot make a folder to play in: {error}"))?;
    let store = format!("sqlite:{}", folder.path().join("try.db").display());
    let settings =
        stage.settings(config, &[("SAOMA_STORE", &store)]).map_err(|faults| faults.to_string())?;
    let pretend = stage.pretend(&settings);
    let addresses = stage.addresses();
    let app = build(settings).await?;
    if !args.once {
        let console = access::offer_ownership(&app).await.map_err(|error| error.to_string())?;
        say(&format!(
            "Everything runs, with a pretend WeChat.\n\n  1. Open the demo site  {}\n  2. Hold the phone      {}/phone  (in another tab)\n  3. Own the server      {}  (once, by a scan)\n\n  saoma itself           {}\n  What it tells sites    {}/.well-known/openid-configuration\n\nCtrl-C ends it, and nothing is kept.",
            addresses.demo,
            addresses.wechat,
            console.unwrap_or_default(),
            addresses.saoma,
            addresses.saoma
        ))?;
        return try_it::play(stage, &pretend, app, asked_to_stop())
            .await
            .map_err(|error| error.to_string());
    }
    try_it::play_once(stage, &pretend, app, Out).await
}

async fn pretend(args: PretendArgs) -> Result<(), String> {
    let listener = listen(&args.listen, "--listen").await?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let pretend = Pretend::new(pretend::Settings {
        appid: args.appid.clone(),
        secret: args.secret,
        phone_url: args.phone_url,
        ..pretend::Settings::default()
    });
    say(&format!(
        "A pretend WeChat answers at http://{address} for AppID {}. Its controls: http://{address}/pretend/",
        args.appid
    ))?;
    http::serve(listener, pretend.router(), asked_to_stop()).await;
    Ok(())
}
