//! What saoma counts by itself, read where its operators read it.

use std::net::Ipv4Addr;

use crate::{
    Result,
    server::Server,
    wire::{Http, Request},
};

/// A histogram of saoma's: how many events did not exceed each bound, in seconds.
pub(crate) struct Buckets(Vec<(f64, f64)>);

/// What saoma says of itself now.
pub(crate) async fn gauge(server: &Server, name: &str) -> Result<f64> {
    let text = metrics(server).await?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(line.ok_or_else(|| format!("no {name} in /metrics"))?.parse()?)
}

async fn metrics(server: &Server) -> Result<String> {
    let request = Request {
        method: "GET",
        path: "/metrics",
        address: Ipv4Addr::LOCALHOST,
        headers: "",
        body: "",
    };
    let answer = Http::new(server.operators()).call(request).await?;
    answer.hoped(200)?;
    Ok(String::from_utf8(answer.body)?)
}

impl Buckets {
    /// Reads the one of this name.
    pub(crate) async fn read(server: &Server, name: &str) -> Result<Self> {
        Self::parsed(&metrics(server).await?, name)
    }

    fn parsed(text: &str, name: &str) -> Result<Self> {
        let begin = format!("{name}_bucket{{le=\"");
        let mut buckets = Vec::new();
        for line in text.lines().filter_map(|line| line.strip_prefix(&begin)) {
            let (bound, count) = line.split_once("\"} ").ok_or("a bucket without a count")?;
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse()? };
            buckets.push((bound, count.parse()?));
        }
        if buckets.is_empty() {
            Err(format!("no {name} in /metrics").into())
        } else {
            Ok(Self(buckets))
        }
    }

    /// How many events there were.
    pub(crate) fn count(&self) -> f64 {
        self.0.last().map_or(0.0, |(_, count)| *count)
    }

    /// The time that this share of the events did not exceed, in milliseconds: on a straight line between the bounds around
    /// it, as Prometheus draws it.
    pub(crate) fn at_ms(&self, share: f64) -> f64 {
        let wanted = self.count() * share;
        let mut below = (0.0, 0.0);
        for (bound, count) in &self.0 {
            if *count >= wanted {
                let within = (wanted - below.1) / (count - below.1).max(1.0);
                // Beyond the last bound nothing is known but that it was exceeded.
                let top = if bound.is_finite() { *bound } else { below.0 };
                return (below.0 + (top - below.0) * within) * 1e3;
            }
            below = (*bound, *count);
        }
        below.0 * 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_lies_between_the_bounds_around_it() {
        let text = "# HELP a_seconds b\na_seconds_sum 1\na_seconds_bucket{le=\"0.001\"} 10\na_seconds_bucket{le=\"0.002\"} 90\n\
                    a_seconds_bucket{le=\"+Inf\"} 100\nab_seconds_bucket{le=\"+Inf\"} 7\n";
        let read = Buckets::parsed(text, "a_seconds").unwrap();
        assert!((read.count() - 100.0).abs() < 1e-9);
        assert!((read.at_ms(0.05) - 0.5).abs() < 1e-9);
        assert!((read.at_ms(0.5) - 1.5).abs() < 1e-9);
        assert!((read.at_ms(0.99) - 2.0).abs() < 1e-9);
        assert!(Buckets::parsed(text, "b_seconds").is_err());
    }
}
