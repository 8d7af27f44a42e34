//! What docs/performance.md claims, measured: `./dev bench` runs all of it, `./dev bench NAME` one figure.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod actors;
mod crowd;
mod figures;
mod measure;
mod plot;
mod report;
mod scrape;
mod server;
mod services;
mod stub;
mod wire;

use figures::{Bench, Size};

/// Anything that ends a measurement.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// Measures saoma, and the same in Node beside it.
#[derive(Parser)]
#[command(name = "./dev bench")]
struct Cli {
    /// Which figures; all, if none is named.
    #[arg(value_name = "NAME")]
    figures: Vec<String>,
    /// How often each is measured; its median counts.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// A fiftieth of everything, to see that each step still works; no number of it counts, and none is written down.
    #[arg(long)]
    short: bool,
    /// Only write docs/performance.md anew, from the results that are there.
    #[arg(long)]
    report: bool,
    /// Only compares with another build of saoma: whole logins, in turns of a second. Nothing is written down.
    #[arg(long, value_name = "FILE")]
    against: Option<std::path::PathBuf>,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// Holds pages of one server; the figure of many starts it once for each.
    #[command(hide = true)]
    Pages {
        /// The server.
        server: std::net::SocketAddr,
        /// How many.
        pages: u32,
        /// How many of them sign in at the end.
        logins: u32,
    },
    /// Holds a million pages, where the machine lets a process open so many files.
    Million {
        /// How many server processes.
        #[arg(long, default_value_t = 10)]
        servers: u32,
        /// How many pages of each.
        #[arg(long, default_value_t = 100_000)]
        pages: u32,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = runtime.map_err(Error::from).and_then(|runtime| {
        tokio::task::LocalSet::new().block_on(&runtime, async {
            match (cli.part, cli.against) {
                (Some(Part::Pages { server, pages, logins }), _) => {
                    figures::hold::pages(server, pages, logins).await
                }
                (Some(Part::Million { servers, pages }), _) => {
                    let bench = Bench::new(Size::Whole).await?;
                    say(&figures::hold::hold(&bench, servers, pages).await?.to_string());
                    Ok(())
                }
                (None, Some(other)) => figures::against::compare(other).await,
                (None, None) if cli.report => report::write(),
                (None, None) if cli.short => figures::run(&cli.figures, 1, Size::Short).await,
                (None, None) => figures::run(&cli.figures, cli.rounds, Size::Whole).await,
            }
        })
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("bench: {error}"));
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "who measures wants to see how far it is")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}
