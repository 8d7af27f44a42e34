//! What a server says of itself while it runs: one line an event on standard error.
//!
//! An event has a stable, dotted name such as `server.started`, a sentence for people, and fields. Secrets never get here:
//! types that hold one show none. docs/metrics.md explains both forms of a line.

use std::{
    fmt::{self, Write as _},
    io::IsTerminal as _,
};

use serde::Deserialize;
use serde_json::{Map, Value};
use tracing::{Event, Level, Subscriber, field::Visit};
use tracing_subscriber::{
    EnvFilter, Layer as _, Registry,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    layer::SubscriberExt as _,
    registry::LookupSpan,
    reload,
    util::SubscriberInitExt as _,
};

use crate::world::{Timestamp, World};

#[cfg(feature = "otlp")]
mod otlp;

/// What a line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for what collects them.
    Json,
}

/// The log of this process. There is one.
pub struct Log {
    filter: reload::Handle<EnvFilter, Registry>,
    #[cfg(feature = "otlp")]
    traces: Option<otlp::Traces>,
}

impl Log {
    /// Begins to write events of this level ("info", or by module: "info,saoma::http=debug") in this form, and, where an
    /// address is given and they are built in, to send traces there.
    ///
    /// # Errors
    /// If the level is none, traces are not built in or cannot be set up.
    pub fn start(level: &str, format: Format, traces: &str) -> Result<Self, String> {
        let (filter, handle) = reload::Layer::new(filter(level)?);
        let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let lines = tracing_subscriber::fmt::layer()
            .event_format(format)
            .with_ansi(colours && format == Format::Text)
            .with_writer(std::io::stderr)
            .with_filter(filter);
        let registry = tracing_subscriber::registry().with(lines);
        #[cfg(feature = "otlp")]
        let (registry, traces) = {
            let traces = if traces.is_empty() { None } else { Some(otlp::Traces::to(traces)?) };
            (registry.with(traces.as_ref().map(otlp::Traces::layer)), traces)
        };
        #[cfg(not(feature = "otlp"))]
        if !traces.is_empty() {
            return Err(
                "log.traces is set, but this saoma was built without the feature `otlp`".to_owned()
            );
        }
        registry.try_init().map_err(|error| error.to_string())?;
        Ok(Self {
            filter: handle,
            #[cfg(feature = "otlp")]
            traces,
        })
    }

    /// From now on writes events of this level.
    ///
    /// # Errors
    /// If the level is none; the one before stays.
    pub fn set_level(&self, level: &str) -> Result<(), String> {
        let fresh = filter(level)?;
        let was = self.filter.with_current(ToString::to_string).unwrap_or_default();
        if was != fresh.to_string() {
            // Before it holds: where it grows quiet, this is the last that is heard.
            tracing::warn!(name: "settings.level", was, level, "the log's level changes");
        }
        self.filter.reload(fresh).map_err(|error| error.to_string())
    }

    /// Sends what is still on its way.
    pub fn finish(self) {
        #[cfg(feature = "otlp")]
        if let Some(traces) = self.traces {
            traces.finish();
        }
    }
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

fn filter(level: &str) -> Result<EnvFilter, String> {
    // What is no level would be a module's name: all of that one, and nothing of any other.
    for part in level.split(',').filter(|part| !part.contains('=')) {
        if !LEVELS.iter().any(|level| part.eq_ignore_ascii_case(level)) {
            return Err(format!("the log level {part:?} is none; {}", instead(part)));
        }
    }
    EnvFilter::try_new(level).map_err(|error| {
        format!(
            "the log level {level:?} is none ({error}); write error, warn, info, debug or trace"
        )
    })
}

fn instead(word: &str) -> String {
    let word = word.to_ascii_lowercase();
    let alike = LEVELS.map(|level| (strsim::jaro_winkler(&word, level), level));
    match alike.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((likeness, level)) if likeness > 0.8 => format!("did you mean {level}?"),
        _ => "write error, warn, info, debug or trace, and for a module of its own module=level"
            .to_owned(),
    }
}

/// Whether this is a level, or levels by module.
///
/// # Errors
/// What is wrong with it.
pub fn check_level(level: &str) -> Result<(), String> {
    filter(level).map(drop)
}

impl<S, N> FormatEvent<S, N> for Format
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let (time, meta) = (written(World::real().now()), event.metadata());
        // An event without a name of its own has its place in the source instead: then the module says more.
        let unnamed = meta.name().starts_with("event ") || meta.name() == "log event";
        let name = if unnamed { meta.target() } else { meta.name() };
        let mut fields = Fields::default();
        event.record(&mut fields);
        match self {
            Self::Text => {
                let level = meta.level();
                if writer.has_ansi_escapes() {
                    write!(
                        writer,
                        "\x1b[2m{time}\x1b[0m {}{level:>5}\x1b[0m {name}:",
                        colour(level)
                    )?;
                } else {
                    write!(writer, "{time} {level:>5} {name}:")?;
                }
                write!(writer, " {}", plain(&fields.message))?;
                for (key, value) in &fields.others {
                    match value {
                        Value::String(text) => write!(writer, " {key}={}", quoted(text))?,
                        value => write!(writer, " {key}={value}")?,
                    }
                }
                writeln!(writer)
            }
            Self::Json => {
                let mut line = Map::new();
                line.insert("time".to_owned(), time.into());
                line.insert("level".to_owned(), meta.level().as_str().to_lowercase().into());
                line.insert("event".to_owned(), name.into());
                line.insert("message".to_owned(), fields.message.into());
                for (key, value) in fields.others {
                    line.entry(key).or_insert(value);
                }
                writeln!(writer, "{}", Value::Object(line))
            }
        }
    }
}

/// As RFC 3339 has it, in UTC.
fn written(now: Timestamp) -> String {
    let now = jiff::Timestamp::from_millisecond(now.millis()).unwrap_or_default();
    format!("{now:.3}")
}

fn colour(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        _ => "\x1b[2m",
    }
}

/// The fields of one event.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(String, Value)>,
}

impl Fields {
    fn put(&mut self, field: &tracing::field::Field, value: Value) {
        self.others.push((field.name().to_owned(), value));
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.put(field, format!("{value:?}").into());
        }
    }

    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.put(field, value.into());
        }
    }

    fn record_bool(&mut self, field: &tracing::field::Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &tracing::field::Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &tracing::field::Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &tracing::field::Field, value: f64) {
        self.put(field, value.into());
    }
}

/// A text on one line of a terminal: what others sent must not begin lines of its own, nor speak to the terminal.
fn plain(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            // Writing to a String does not fail.
            let _ = write!(line, "{}", c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

fn quoted(text: &str) -> String {
    let bare = !text.is_empty() && !text.contains([' ', '"', '=']);
    if bare { plain(text) } else { format!("\"{}\"", plain(&text.replace('"', "\\\""))) }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written of what happens in there.
    pub(crate) fn written(format: Format, happens: impl FnOnce()) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let lines = tracing_subscriber::fmt::layer()
            .event_format(format)
            .with_ansi(false)
            .with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), happens);
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn two_things() {
        tracing::warn!(name: "store.prune", error = %"disk full\nERROR forged \u{1b}[31m", tries = 3, "old rows stay");
        tracing::info!("nobody named this");
    }

    #[test]
    fn a_line_for_people_has_name_sentence_and_fields_and_is_one_line() {
        let text = written(Format::Text, two_things);
        let lines: Vec<_> = text.lines().map(|line| line.split_once(' ').unwrap().1).collect();
        let forged = r#"error="disk full\nERROR forged \u{1b}[31m" tries=3"#;
        assert_eq!(lines[0], format!(" WARN store.prune: old rows stay {forged}"));
        assert_eq!(lines[1], " INFO saoma::log::tests: nobody named this");
    }

    #[test]
    fn a_line_for_machines_is_one_object() {
        let text = written(Format::Json, two_things);
        let line: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(line["event"], "store.prune");
        assert_eq!(line["level"], "warn");
        assert_eq!(line["message"], "old rows stay");
        assert_eq!(line["tries"], 3);
        let time: jiff::Timestamp = line["time"].as_str().unwrap().parse().unwrap();
        assert!(time > jiff::Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn a_level_that_is_none_is_refused() {
        assert!(check_level("info,saoma::http=debug").is_ok());
        assert!(check_level("warn,saoma=debug").is_ok() && check_level("OFF").is_ok());
        assert!(check_level("info,saoma=loud").unwrap_err().contains("loud"));
        for (level, near) in [("warning", "mean warn?"), ("info;debug", "mean info?")] {
            let said = check_level(level).unwrap_err();
            assert!(said.contains(level) && said.contains(near), "{said}");
        }
        for none in ["verbose", "2", "", "info,", "saoma::http"] {
            assert!(check_level(none).unwrap_err().contains("write error, warn"), "{none:?}");
        }
    }
}
