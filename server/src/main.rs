//! The command line; the only file that names concrete backends.

use std::{
    io::IsTerminal as _,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use saoma::{
    app::SharedApp,
    commands::{keys, person, sites},
    config::{self, Settings},
    doctor::{self, Doctor, plan},
    http, miniprogram,
    run::{self, assemble},
    store::{SharedStore, sqlite::Sqlite},
    tickets::{SharedTickets, memory::Memory},
    try_it::{self, Stage},
    waiting::Waiting,
    world::World,
};
use tokio::{net::TcpListener, signal};
use tracing_subscriber::EnvFilter;
use wechat::pretend::{self, Pretend};

/// Sign in with WeChat by scanning, for any website.
#[derive(Parser)]
#[command(name = "saoma", version, about, max_term_width = 100)]
struct Cli {
    /// The file with the settings; `saoma config` prints them all.
    #[arg(long, global = true, env = "SAOMA_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// What to log: error, warn, info, debug, trace, or by module.
    #[arg(long, global = true, env = "SAOMA_LOG", default_value = "info", value_name = "LEVEL")]
    log: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Try everything in one process: a pretend WeChat, a demo site, and a phone to hold. Needs no account.
    Try(Try),
    /// Run the server.
    Serve,
    /// Print every setting with its default and why it is so, or check the ones given with --config.
    Config {
        /// Check the settings instead, and say what is wrong.
        #[arg(long)]
        check: bool,
    },
    /// Look at everything that can be wrong between this machine and WeChat; exit 0 if nothing is broken.
    Doctor(DoctorArgs),
    /// Write the mini program, filled in, ready for WeChat's DevTools or for an upload without it.
    Miniprogram(miniprogram::Given),
    /// Run the pretend WeChat alone, for anyone's tests.
    Pretend(PretendArgs),
    /// Register sites, show and remove them; running servers see it within two seconds.
    #[command(subcommand)]
    Site(SiteCommand),
    /// See who signs in, and what they may: groups, owners, invitations, blocks; running servers see it at once.
    #[command(subcommand)]
    Person(Box<person::Command>),
    /// Show the signing keys, or rotate them; running servers see it within two seconds.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Ask a running server whether it is alive; exit 0 if so.
    Healthcheck,
}

#[derive(Subcommand)]
enum SiteCommand {
    /// Register a site, and say what to paste into the application.
    Add(Box<sites::New>),
    /// List all sites, those of the settings among them.
    List,
    /// Show one.
    Show {
        /// Its client_id.
        id: String,
    },
    /// Forget one, and end every sign-in there.
    Remove {
        /// Its client_id.
        id: String,
    },
    /// Invite people to one: print one-time links, each for one person.
    Invite {
        /// Its client_id.
        id: String,
        /// How many.
        #[arg(long, default_value_t = 1)]
        count: u32,
        /// How long the links wait.
        #[command(flatten)]
        life: person::Life,
    },
    /// Make a fresh secret for one.
    Secret {
        /// Its client_id.
        id: String,
        /// End the ones before it.
        #[arg(long)]
        alone: bool,
    },
}

#[derive(Subcommand)]
enum KeysCommand {
    /// List the keys with the part each plays.
    List,
    /// Let the next keys sign from now on.
    Rotate,
}

#[derive(Args)]
struct Try {
    /// Play one sign-in by itself, print each step and exit; 0 only if it truly happened.
    #[arg(long)]
    once: bool,
    /// Where saoma, the pretend WeChat with the phone, and the demo site listen on 127.0.0.1; 0 for any free port.
    #[arg(long, value_names = ["SAOMA", "WECHAT", "DEMO"], num_args = 3, default_values = ["8080", "9100", "8090"])]
    ports: Vec<u16>,
}

#[derive(Args)]
struct DoctorArgs {
    /// Print the findings as JSON.
    #[arg(long)]
    json: bool,
    /// Do not hold a silent WebSocket for a minute.
    #[arg(long)]
    quick: bool,
    /// Wait for one real phone, and print each stage of its sign-in.
    #[arg(long, conflicts_with_all = ["json", "plan"])]
    scan: bool,
    /// Where the code to scan is written.
    #[arg(long, value_name = "FILE", default_value = "saoma-scan.png")]
    picture: PathBuf,
    /// Print a text for an issue: what was found, without names, addresses and secrets.
    #[arg(long, conflicts_with = "json")]
    report: bool,
    /// Print the owner's road from zero, with waiting times.
    #[arg(long)]
    plan: bool,
    /// In which language the road is printed.
    #[arg(long, env = "LANG", hide_env = true, value_parser = |locale: &str| Ok::<_, String>(plan::Lang::of(locale)), default_value = "en")]
    lang: plan::Lang,
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
    let trying = matches!(cli.command, Command::Try(_));
    let level = if trying && std::env::var_os("SAOMA_LOG").is_none() && cli.log == "info" {
        "warn"
    } else {
        &cli.log
    };
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("cannot start: {error}")),
    };
    match runtime.block_on(run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => failed(&why),
    }
}

#[expect(clippy::print_stderr, reason = "a command says why it failed where people read it")]
fn failed(why: &str) -> ExitCode {
    eprintln!("saoma: {}", why.trim_end());
    ExitCode::FAILURE
}

#[expect(clippy::print_stdout, reason = "a command prints what it was asked for")]
fn say(text: &str) {
    println!("{text}");
}

async fn run(cli: Cli) -> Result<(), String> {
    match cli.command {
        Command::Try(args) => play(args).await,
        Command::Serve => serve(&settings(cli.config.as_deref())?).await,
        Command::Config { check: false } => {
            say(config::DEFAULTS.trim_end());
            Ok(())
        }
        Command::Config { check: true } => {
            settings(cli.config.as_deref())?;
            say("The settings can be used.");
            Ok(())
        }
        Command::Miniprogram(given) => {
            let settings = settings_from(cli.config.as_deref(), given.over(std::env::vars()))?;
            let next = miniprogram::write(&settings, &given.out, given.force);
            say(&next.map_err(|faults| format!("the mini program cannot be written:\n{faults}"))?);
            Ok(())
        }
        Command::Doctor(args) => examine(cli.config.as_deref(), args).await,
        Command::Pretend(args) => pretend(args).await,
        Command::Site(command) => {
            let settings = settings(cli.config.as_deref())?;
            say(site(&settings, command).await?.trim_end());
            Ok(())
        }
        Command::Person(command) => {
            let settings = settings(cli.config.as_deref())?;
            let (store, world) = (open_store(&settings)?, World::real());
            say(person::run(&settings, &store, &world, *command).await?.trim_end());
            Ok(())
        }
        Command::Keys(command) => {
            let settings = settings(cli.config.as_deref())?;
            let (store, world) = (open_store(&settings)?, World::real());
            let text = match command {
                KeysCommand::List => keys::list(&store, &world).await?,
                KeysCommand::Rotate => keys::rotate(&settings, &store, &world).await?,
            };
            say(text.trim_end());
            Ok(())
        }
        Command::Healthcheck => healthcheck(&settings(cli.config.as_deref())?).await,
    }
}

async fn site(settings: &Settings, command: SiteCommand) -> Result<String, String> {
    let (store, world) = (open_store(settings)?, World::real());
    match command {
        SiteCommand::Add(new) => sites::add(settings, &store, &world, *new).await,
        SiteCommand::List => sites::list(settings, &store).await,
        SiteCommand::Show { id } => sites::show(settings, &store, &id).await,
        SiteCommand::Remove { id } => sites::remove(settings, &store, &world, &id).await,
        SiteCommand::Invite { id, count, life } => {
            sites::invite(settings, &store, &world, &id, (count, life.time)).await
        }
        SiteCommand::Secret { id, alone } => {
            sites::secret(settings, &store, &world, &id, alone).await
        }
    }
}

fn settings(file: Option<&Path>) -> Result<Settings, String> {
    settings_from(file, std::env::vars())
}

fn settings_from(
    file: Option<&Path>,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Settings, String> {
    let here = Path::new("saoma.toml");
    let file = file.or_else(|| here.exists().then_some(here));
    Settings::load(file, env).map_err(|faults| format!("the settings cannot be used:\n{faults}"))
}

/// The store that the settings name.
fn open_store(settings: &Settings) -> Result<SharedStore, String> {
    let file = settings.store.strip_prefix("sqlite:").unwrap_or_default();
    let store = Sqlite::open(Path::new(file))
        .map_err(|error| format!("store = {:?}: {error}", settings.store))?;
    Ok(Arc::new(store))
}

/// The folder of the database.
fn data_folder(settings: &Settings) -> PathBuf {
    let file = settings.store.strip_prefix("sqlite:").map(Path::new);
    match file.and_then(Path::parent).filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => folder.to_owned(),
        None => PathBuf::from("."),
    }
}

/// The backends that the settings name.
async fn build(settings: Settings) -> Result<SharedApp, String> {
    let waiting = Arc::new(Waiting::default());
    let store = open_store(&settings)?;
    let tickets: SharedTickets =
        Arc::new(Memory::new(waiting.clone()).spilling_to(data_folder(&settings)));
    assemble(settings, World::real(), store, tickets, waiting)
        .await
        .map_err(|error| error.to_string())
}

async fn examine(config: Option<&Path>, args: DoctorArgs) -> Result<(), String> {
    if args.plan {
        say(&plan::text(args.lang));
        return Ok(());
    }
    let here = Path::new("saoma.toml");
    let file = config.or_else(|| here.exists().then_some(here));
    let (settings, found, scanned) = match Settings::load(file, std::env::vars()) {
        Err(faults) => (None, doctor::unusable(&faults.0), Vec::new()),
        Ok(settings) => {
            let path = settings.store.strip_prefix("sqlite:").unwrap_or_default();
            let store = Sqlite::beside(Path::new(path))
                .map(|store| store.map(|store| Arc::new(store) as SharedStore))
                .map_err(|error| error.to_string());
            let (world, hold) = (World::real(), (!args.quick).then_some(doctor::HOLD));
            let (roots, dns) = (doctor::Roots::Machine, doctor::Dns::Machine);
            let doctor = Doctor { settings, world, store, roots, dns, hold };
            let scanned = if args.scan {
                doctor.scan(&args.picture, std::io::stdout()).await?
            } else {
                Vec::new()
            };
            let found = if args.scan && !args.report { Vec::new() } else { doctor.examine().await };
            (Some(doctor.settings), found, scanned)
        }
    };
    if args.report {
        say(&doctor::report::markdown(settings.as_ref(), &found, &scanned));
    } else if args.json {
        say(&format!("{:#}", doctor::json(&found)));
    } else if !args.scan || settings.is_none() {
        say(&doctor::text(&found));
    }
    if doctor::is_broken(&found) {
        Err("something is broken; see above".to_owned())
    } else {
        Ok(())
    }
}

async fn serve(settings: &Settings) -> Result<(), String> {
    let public = listen(&settings.listen.to_string(), "listen").await?;
    let operators = listen(&settings.admin_listen.to_string(), "admin_listen").await?;
    let app = build(settings.clone()).await?;
    tracing::info!(name: "server.started", listen = %settings.listen, public_url = settings.public_url,
        sites = settings.sites.len(), "saoma serves");
    let router = http::public(app.clone());
    run::run(app, public, router, Some(operators), asked_to_stop())
        .await
        .map_err(|error| error.to_string())
}

async fn listen(address: &str, setting: &str) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| {
        format!("{setting} = {address:?}: {error}; stop what uses it, or choose another")
    })
}

/// Done at Ctrl-C, or when the system asks.
async fn asked_to_stop() {
    let interrupted = signal::ctrl_c();
    #[cfg(unix)]
    {
        let Ok(mut terminated) = signal::unix::signal(signal::unix::SignalKind::terminate()) else {
            let _ = interrupted.await;
            return;
        };
        tokio::select! {
            _ = interrupted => {}
            _ = terminated.recv() => {}
        }
    }
    #[cfg(not(unix))]
    let _ = interrupted.await;
}

async fn play(args: Try) -> Result<(), String> {
    if std::env::var_os("SAOMA_WECHAT__APPID").is_some() {
        return Err("`try` plays with a pretend WeChat and takes no real AppID; unset SAOMA_WECHAT__APPID, or run `saoma serve`".to_owned());
    }
    let ports =
        if args.once { [0; 3] } else { <[u16; 3]>::try_from(args.ports).unwrap_or_default() };
    let stage = Stage::open(ports).await?;
    let folder =
        tempfile::tempdir().map_err(|error| format!("cannot make a folder to play in: {error}"))?;
    let store = format!("sqlite:{}", folder.path().join("try.db").display());
    let settings =
        stage.settings(&[("SAOMA_STORE", &store)]).map_err(|faults| faults.to_string())?;
    let pretend = stage.pretend();
    let addresses = stage.addresses();
    let app = build(settings).await?;
    if !args.once {
        say(&format!(
            "Everything runs, with a pretend WeChat.\n\n  1. Open the demo site  {}\n  2. Hold the phone      {}/phone  (in another tab)\n\n  saoma itself           {}\n  What it tells sites    {}/.well-known/openid-configuration\n\nCtrl-C ends it, and nothing is kept.",
            addresses.demo, addresses.wechat, addresses.saoma, addresses.saoma
        ));
        return try_it::play(stage, &pretend, app, asked_to_stop())
            .await
            .map_err(|error| error.to_string());
    }
    let (done, stop) = tokio::sync::oneshot::channel::<()>();
    let stopped = async move {
        let _ = stop.await;
    };
    let playing = try_it::play(stage, &pretend, app, stopped);
    let once = async {
        let world = World::real();
        let limit = world.sleep_until(world.now() + Duration::from_secs(60));
        let played = tokio::select! {
            played = try_it::once::play(&addresses, &world, std::io::stdout()) => played,
            () = limit => Err("a minute has passed and nobody is signed in".to_owned()),
        };
        let _ = done.send(());
        played
    };
    let (ended, played) = tokio::join!(playing, once);
    played.and(ended.map_err(|error| error.to_string()))
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
    ));
    http::serve(listener, pretend.router(), asked_to_stop()).await;
    Ok(())
}

async fn healthcheck(settings: &Settings) -> Result<(), String> {
    let url = format!("http://{}/healthz", settings.listen);
    let client = reqwest::Client::builder().timeout(Duration::from_secs(3)).build();
    let answer = client.map_err(|error| error.to_string())?.get(&url).send().await;
    match answer {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => Err(format!("{url} answers {}", answer.status())),
        Err(error) => Err(format!("{url} does not answer: {error}")),
    }
}
