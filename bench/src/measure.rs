//! Numbers: times in a histogram, rounds and their median.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::Result;

/// Times of many events, to a thousandth of each.
pub(crate) struct Times(Histogram<u64>);

impl Times {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(Histogram::new_with_bounds(1, 600_000_000_000, 3)?))
    }

    pub(crate) fn add(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The time that this share of the events did not exceed, in milliseconds.
    pub(crate) fn at(&self, share: f64) -> f64 {
        let nanos = self.0.value_at_quantile(share);
        Duration::from_nanos(nanos).as_secs_f64() * 1e3
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// What is written down of it.
    pub(crate) fn json(&self) -> Value {
        json!({
            "count": self.count(), "p50_ms": round(self.at(0.50)), "p90_ms": round(self.at(0.90)),
            "p99_ms": round(self.at(0.99)), "max_ms": round(self.at(1.0)),
        })
    }
}

/// Four digits that count: more would be noise.
pub(crate) fn round(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return 0.0;
    }
    let digits = 3.0 - value.abs().log10().floor();
    let scale = 10_f64.powf(digits.max(0.0));
    (value * scale).round() / scale
}

/// The middle of some rounds; of an even number the mean of the two in the middle.
pub(crate) fn median(rounds: &[f64]) -> f64 {
    let mut sorted = rounds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) =
        (sorted.get(sorted.len().saturating_sub(1) / 2), sorted.get(sorted.len() / 2));
    match (low, high) {
        (Some(low), Some(high)) => low.midpoint(*high),
        _ => 0.0,
    }
}

/// A count as a number to calculate with; counts of a benchmark are far below 2^53.
pub(crate) fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!(median(&[]).abs() < 1e-9);
    }

    #[test]
    fn numbers_keep_four_digits() {
        assert!((round(0.123_456) - 0.1235).abs() < 1e-9);
        assert!((round(1234.56) - 1235.0).abs() < 1e-9);
    }

    #[test]
    fn times_are_told_by_their_share() {
        let mut times = Times::new().unwrap();
        (1..=1000).for_each(|n| times.add(Duration::from_micros(n)));
        assert!((times.at(0.5) - 0.5).abs() < 0.01 && (times.at(0.99) - 0.99).abs() < 0.01);
    }
}
