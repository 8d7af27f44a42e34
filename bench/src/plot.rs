//! Bars as SVG: the median of the rounds, and a line from the least to the most.

use std::fmt::Write as _;

use crate::measure::{median, round};

/// One bar.
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) rounds: Vec<f64>,
}

const WIDTH: f64 = 640.0;
const LABEL: f64 = 210.0;
const NUMBER: f64 = 90.0;
const ROW: f64 = 34.0;

/// A picture of some bars that share a unit.
pub(crate) fn bars(title: &str, unit: &str, bars: &[Bar]) -> String {
    let most = bars.iter().flat_map(|bar| bar.rounds.iter().copied()).fold(0.0, f64::max);
    let scale = (WIDTH - LABEL - NUMBER) / most.max(f64::MIN_POSITIVE);
    let height = bars.iter().fold(52.0, |height, _| height + ROW);
    let mut rows = String::new();
    let mut y = 44.0;
    for Bar { label, rounds } in bars {
        let value = median(rounds);
        let least = rounds.iter().copied().fold(f64::INFINITY, f64::min).min(value);
        let greatest = rounds.iter().copied().fold(0.0, f64::max);
        let (end, middle) = (LABEL + value * scale, y + 10.0);
        // Text never fails to be written.
        let _ = writeln!(
            rows,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <rect class=\"bar\" x=\"{LABEL}\" y=\"{y}\" width=\"{:.1}\" height=\"20\" rx=\"3\"/>\
             <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle}\" y2=\"{middle}\"/>\
             <text x=\"{:.1}\" y=\"{}\">{}</text>",
            LABEL - 10.0,
            y + 15.0,
            escaped(label),
            value * scale,
            LABEL + least * scale,
            LABEL + greatest * scale,
            end.max(LABEL + greatest * scale) + 8.0,
            y + 15.0,
            round(value),
        );
        y += ROW;
    }
    let title = format!("{} ({})", escaped(title), escaped(unit));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\">\n\
         <style>text{{font:14px system-ui,sans-serif;fill:#1d2a26}}.title{{font-weight:600}}.bar{{fill:#0b6b50}}line{{stroke:#d08a00;stroke-width:3}}\
         @media(prefers-color-scheme:dark){{text{{fill:#e6efeb}}.bar{{fill:#3fae8c}}}}</style>\n\
         <text class=\"title\" x=\"10\" y=\"24\">{title}</text>\n{rows}</svg>\n"
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_bar_fills_its_room_and_words_are_escaped() {
        let bar =
            |label: &str, rounds: &[f64]| Bar { label: label.to_owned(), rounds: rounds.to_vec() };
        let drawn = bars("a < b", "ms", &[bar("one", &[1.0, 2.0, 3.0]), bar("two", &[4.0])]);
        assert!(drawn.contains("a &lt; b (ms)"));
        assert!(drawn.contains("width=\"340.0\"") && drawn.contains("width=\"170.0\""), "{drawn}");
    }
}
