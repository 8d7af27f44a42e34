//! docs/performance.md out of what was measured: every number in it stands in bench/results.

use std::{collections::BTreeMap, fmt::Write as _, fs};

use serde_json::Value;

use crate::{
    Result,
    figures::ALL,
    measure::{median, number, round},
    plot::{Bar, bars},
    server::root,
};

/// A line of the table.
struct Row {
    what: &'static str,
    figure: &'static str,
    /// Where its number stands in a round, and the same of Node.
    saoma: &'static str,
    node: Option<&'static str>,
    unit: &'static str,
    /// What was to be reached.
    reach: Reach,
}

enum Reach {
    AtMost(f64),
    AtLeast(f64),
    /// So many times what Node does.
    TimesNode(f64),
    Reported,
}

const fn row(
    figure: &'static str,
    what: &'static str,
    saoma: &'static str,
    node: Option<&'static str>,
    unit: &'static str,
    reach: Reach,
) -> Row {
    Row { what, figure, saoma, node, unit, reach }
}

const ROWS: &[Row] = &[
    row(
        "memory",
        "user memory of a waiting page, by slope from 5,000 to 16,000",
        "/saoma/page_bytes",
        Some("/node/page_bytes"),
        "B",
        Reach::AtMost(512.0),
    ),
    row("memory", "of that its ticket", "/saoma/ticket_bytes", None, "B", Reach::Reported),
    row("memory", "of that its socket", "/saoma/socket_bytes", None, "B", Reach::AtMost(128.0)),
    row(
        "memory",
        "the kernel's slabs for both ends of a page's socket",
        "/saoma/kernel_bytes",
        Some("/node/kernel_bytes"),
        "B",
        Reach::Reported,
    ),
    row(
        "hold",
        "pages held at once, six processes",
        "/saoma/held",
        None,
        "",
        Reach::AtLeast(96_000.0),
    ),
    row("hold", "of them lost", "/saoma/lost", None, "", Reach::AtMost(0.0)),
    row(
        "hold",
        "user memory each, all of the servers' counted",
        "/saoma/user_bytes_each",
        None,
        "B",
        Reach::Reported,
    ),
    row(
        "waiting",
        "approve answered and page told, 15,000 waiting, decision durable, p50",
        "/saoma/push/approve_to_both/p50_ms",
        Some("/node/push/approve_to_both/p50_ms"),
        "ms",
        Reach::AtMost(0.5),
    ),
    row(
        "waiting",
        "the same, p99",
        "/saoma/push/approve_to_both/p99_ms",
        Some("/node/push/approve_to_both/p99_ms"),
        "ms",
        Reach::AtMost(1.5),
    ),
    row(
        "waiting",
        "of that from commit to frame, p50",
        "/saoma/push/commit_to_frame/p50_ms",
        None,
        "ms",
        Reach::AtMost(0.15),
    ),
    row(
        "waiting",
        "the same, p99",
        "/saoma/push/commit_to_frame/p99_ms",
        None,
        "ms",
        Reach::AtMost(0.4),
    ),
    row(
        "waiting",
        "the tap with no rest between two, p50",
        "/saoma/push_in_a_row/p50_ms",
        Some("/node/push_in_a_row/p50_ms"),
        "ms",
        Reach::Reported,
    ),
    row(
        "waiting",
        "the same, p99",
        "/saoma/push_in_a_row/p99_ms",
        Some("/node/push_in_a_row/p99_ms"),
        "ms",
        Reach::Reported,
    ),
    row(
        "waiting",
        "one write and fsync of the disk alone, p50",
        "/saoma/disk/p50_ms",
        None,
        "ms",
        Reach::Reported,
    ),
    row("waiting", "the same, p99", "/saoma/disk/p99_ms", None, "ms", Reach::Reported),
    row(
        "logins",
        "whole logins, ES256, rows durable",
        "/saoma/logins_per_s",
        Some("/node/logins_per_s"),
        "/s",
        Reach::TimesNode(6.0),
    ),
    row(
        "logins",
        "server processor time of each",
        "/saoma/server_cpu_us",
        Some("/node/server_cpu_us"),
        "µs",
        Reach::AtMost(230.0),
    ),
    row(
        "logins",
        "whole logins with RS256",
        "/saoma_rs256/logins_per_s",
        None,
        "/s",
        Reach::Reported,
    ),
    row(
        "logins",
        "server processor time of each",
        "/saoma_rs256/server_cpu_us",
        None,
        "µs",
        Reach::Reported,
    ),
    row(
        "waiting",
        "what 15,000 idle pages take of logins/s",
        "/saoma/cost_percent",
        Some("/node/cost_percent"),
        "%",
        Reach::AtMost(10.0),
    ),
    row(
        "waiting",
        "idle processor time with 16,400 waiting",
        "/saoma/idle_cpu_percent",
        None,
        "% of a core",
        Reach::AtMost(1.0),
    ),
    row(
        "restart",
        "15,000 pages back after a graceful restart",
        "/saoma/seconds",
        None,
        "s",
        Reach::AtMost(3.0),
    ),
    row(
        "open",
        "POST to 201, pool warm, upstream taking 3 s, p99",
        "/saoma/p99_ms",
        Some("/node/p99_ms"),
        "ms",
        Reach::AtMost(1.0),
    ),
    row(
        "open",
        "the same, with no rest between two",
        "/saoma_in_a_row/p99_ms",
        Some("/node_in_a_row/p99_ms"),
        "ms",
        Reach::Reported,
    ),
    row(
        "nodes",
        "two nodes through Redis, approve at one, page at the other, 10,000 waiting, p99",
        "/saoma/approve_to_both/p99_ms",
        Some("/node/approve_to_both/p99_ms"),
        "ms",
        Reach::AtMost(3.0),
    ),
    row(
        "start",
        "start to first 200, keys loaded, p50",
        "/saoma/p50_ms",
        Some("/node/p50_ms"),
        "ms",
        Reach::AtMost(20.0),
    ),
    row("size", "idle RSS", "/saoma/idle_rss", Some("/node/idle_rss"), "B", Reach::Reported),
    row(
        "size",
        "stripped binary",
        "/saoma/binary_bytes",
        Some("/node/binary_bytes"),
        "B",
        Reach::Reported,
    ),
    row(
        "picture",
        "a code's picture as WeChat gives it",
        "/saoma/as_is/bytes",
        None,
        "B",
        Reach::Reported,
    ),
    row("picture", "re-encoded", "/saoma/small/bytes", None, "B", Reach::Reported),
    row(
        "picture",
        "processor time of one code, fetched and re-encoded",
        "/saoma/small/server_cpu_ms_each",
        None,
        "ms",
        Reach::Reported,
    ),
    row(
        "picture",
        "everything a browser fetches for one sign-in page, before compression",
        "/saoma/page_bytes/all_before_compression",
        None,
        "B",
        Reach::Reported,
    ),
];

/// The results by figure.
type Results = BTreeMap<&'static str, Value>;

/// Writes docs/performance.md and its pictures.
pub(crate) fn write() -> Result<()> {
    let mut results = Results::new();
    for figure in ALL {
        let file = root().join("results").join(format!("{}.json", figure.name));
        if let Ok(text) = fs::read_to_string(file) {
            results.insert(figure.name, serde_json::from_str(&text)?);
        }
    }
    let docs = root().parent().ok_or("a crate without a folder above it")?.join("docs");
    fs::create_dir_all(docs.join("images"))?;
    for (name, title, unit, picked) in PLOTS {
        let bars_of: Vec<Bar> = picked
            .iter()
            .map(|(label, figure, path)| Bar {
                label: (*label).to_owned(),
                rounds: rounds(&results, figure, path),
            })
            .filter(|bar| !bar.rounds.is_empty())
            .collect();
        if !bars_of.is_empty() {
            fs::write(docs.join(format!("images/{name}.svg")), bars(title, unit, &bars_of))?;
        }
    }
    let page = include_str!("performance.md")
        .replace("{table}", &table(&results)?)
        .replace("{machine}", &machine(&results));
    fs::write(docs.join("performance.md"), page)?;
    Ok(())
}

/// A label, and where its rounds stand.
type Picked = (&'static str, &'static str, &'static str);

const PLOTS: &[(&str, &str, &str, &[Picked])] = &[
    (
        "bench-logins",
        "Whole logins",
        "a second",
        &[
            ("saoma, durable, ES256", "logins", "/saoma/logins_per_s"),
            ("saoma, durable, RS256", "logins", "/saoma_rs256/logins_per_s"),
            ("Node, in memory, ES256", "logins", "/node/logins_per_s"),
        ],
    ),
    (
        "bench-cpu",
        "Server processor time of a login",
        "µs",
        &[
            ("saoma, durable, ES256", "logins", "/saoma/server_cpu_us"),
            ("saoma, durable, RS256", "logins", "/saoma_rs256/server_cpu_us"),
            ("Node, in memory, ES256", "logins", "/node/server_cpu_us"),
        ],
    ),
    (
        "bench-memory",
        "User memory of a waiting page",
        "bytes",
        &[
            ("saoma: its ticket", "memory", "/saoma/ticket_bytes"),
            ("saoma: its socket", "memory", "/saoma/socket_bytes"),
            ("Node: both", "memory", "/node/page_bytes"),
        ],
    ),
    (
        "bench-push",
        "A tap, until phone and page know; 15,000 waiting",
        "ms",
        &[
            ("saoma, durable, p50", "waiting", "/saoma/push/approve_to_both/p50_ms"),
            ("saoma, durable, p99", "waiting", "/saoma/push/approve_to_both/p99_ms"),
            ("Node, in memory, p50", "waiting", "/node/push/approve_to_both/p50_ms"),
            ("Node, in memory, p99", "waiting", "/node/push/approve_to_both/p99_ms"),
        ],
    ),
];

/// A number of every round.
fn rounds(results: &Results, figure: &str, path: &str) -> Vec<f64> {
    let rounds =
        results.get(figure).and_then(|result| result.get("rounds")).and_then(Value::as_array);
    rounds.into_iter().flatten().filter_map(|round| round.pointer(path)?.as_f64()).collect()
}

fn table(results: &Results) -> Result<String> {
    let mut text =
        String::from("| figure | to reach | saoma | Node | command |\n|---|---|---|---|---|\n");
    for Row { what, figure, saoma, node, unit, reach } in ROWS {
        let own = rounds(results, figure, saoma);
        let node = node.map(|path| rounds(results, figure, path)).unwrap_or_default();
        let reach = match reach {
            Reach::Reported => "reported".to_owned(),
            reach if own.is_empty() => goal(reach, unit),
            reach => format!(
                "{}: {}",
                goal(reach, unit),
                if reached(reach, median(&own), median(&node)) {
                    "reached"
                } else {
                    "**not reached**"
                }
            ),
        };
        writeln!(
            text,
            "| {what} | {reach} | {} | {} | `./dev bench {figure}` |",
            shown(&own, unit),
            shown(&node, unit)
        )?;
    }
    Ok(text)
}

fn goal(reach: &Reach, unit: &str) -> String {
    match reach {
        Reach::AtMost(most) if *most <= 0.0 => "none".to_owned(),
        Reach::AtMost(most) => format!("{most} {unit} at most"),
        Reach::AtLeast(least) => format!("{least} {unit}").trim_end().to_owned(),
        Reach::TimesNode(times) => format!("{times} times Node"),
        Reach::Reported => String::new(),
    }
}

fn reached(reach: &Reach, own: f64, node: f64) -> bool {
    match reach {
        Reach::AtMost(most) => own <= *most,
        Reach::AtLeast(least) => own >= *least,
        Reach::TimesNode(times) => own >= times * node,
        Reach::Reported => true,
    }
}

/// The median, and the least and the most of the rounds.
fn shown(rounds: &[f64], unit: &str) -> String {
    let (Some(least), Some(most)) =
        (rounds.iter().copied().reduce(f64::min), rounds.iter().copied().reduce(f64::max))
    else {
        return String::new();
    };
    let middle = human(median(rounds));
    let text = if rounds.len() > 1 {
        format!("{middle} {unit} ({} to {})", human(least), human(most))
    } else {
        format!("{middle} {unit}")
    };
    text.replace("  ", " ").trim_end().to_owned()
}

fn human(value: f64) -> String {
    let rounded = round(value);
    if rounded.abs() < 10_000.0 {
        return rounded.to_string();
    }
    let digits = format!("{rounded:.0}");
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn machine(results: &Results) -> String {
    let first = results.values().next();
    let of = |name: &str| first.and_then(|result| result.pointer(&format!("/machine/{name}")));
    let text = |name: &str| of(name).and_then(Value::as_str).unwrap_or("unknown").to_owned();
    let count = |name: &str| of(name).and_then(Value::as_u64).map_or(0.0, number);
    let taken =
        first.and_then(|result| result.get("taken")).and_then(Value::as_str).unwrap_or("never");
    format!(
        "Taken on {taken}, on a machine with {} cores ({}), {} GiB of memory, Linux {}.",
        count("cores"),
        text("processor"),
        count("memory_gib"),
        text("kernel")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_shown_with_its_spread() {
        assert_eq!(shown(&[3.0, 1.0, 2.0], "ms"), "2 ms (1 to 3)");
        assert_eq!(shown(&[96_000.0], ""), "96,000");
        assert_eq!(shown(&[], "ms"), "");
    }

    #[test]
    fn what_was_not_reached_is_said() {
        let result = serde_json::json!({ "rounds": [{ "saoma": { "seconds": 4.0 } }] });
        let table = table(&Results::from([("restart", result)])).unwrap();
        let line = table.lines().find(|line| line.contains("graceful restart")).unwrap();
        assert!(line.contains("3 s at most: **not reached**") && line.contains("4 s"), "{line}");
    }

    #[test]
    fn every_line_is_of_a_figure_that_is_measured() {
        assert!(ROWS.iter().all(|row| ALL.iter().any(|figure| figure.name == row.figure)));
    }
}
