//! Pictures of numbers, as geometry: the templates draw it as SVG.
//!
//! Widths are shares of the whole and heights are pixels, so that a plot fits a desk and a phone without its letters growing
//! or shrinking with it.

/// A share of the whole width, as SVG writes it.
pub fn percent(share: f64) -> String {
    // Two places are a tenth of a pixel on the widest screen.
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    let text = format!("{:.2}", share * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// A share of a total; nothing of nothing.
pub fn share(part: u64, whole: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a bar is some hundred pixels long")]
    let share = |part: u64, whole: u64| part as f64 / whole as f64;
    if whole == 0 { 0.0 } else { share(part, whole) }
}

/// A number that a scale may end at, no less than `most`, and how many steps to it: 1, 2, 2.5 or 5 with noughts behind.
pub fn scale(most: u64) -> (u64, u64) {
    let most = most.max(4);
    let mut ten = 1_u64;
    loop {
        for (top, steps) in [(4, 4), (5, 5), (8, 4), (10, 5), (20, 4)] {
            if top * ten >= most {
                return (top * ten, steps);
            }
        }
        ten = ten.saturating_mul(10);
        if ten > u64::MAX / 40 {
            return (most, 1);
        }
    }
}

/// Columns side by side, each of one or more parts that stand upon another.
#[derive(Debug, Clone, PartialEq)]
pub struct Columns {
    /// How high the plot is, in pixels, without the labels below.
    pub height: u32,
    /// Lines across, from the bottom up: where, and what number.
    pub lines: Vec<(f64, u64)>,
    /// The columns, from the left.
    pub columns: Vec<Column>,
}

/// One column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its left edge and width, as shares of the plot's.
    pub x: String,
    /// How wide.
    pub width: String,
    /// Its middle, where a label stands.
    pub middle: String,
    /// Its parts from the bottom up: top and height in pixels, and which part of the whole it is, from 0.
    pub parts: Vec<(f64, f64, usize)>,
    /// Where a pointer is over it: the whole strip.
    pub strip: (String, String),
}

/// How much of a column's strip it fills.
const FILL: f64 = 0.72;

impl Columns {
    /// Columns of these numbers.
    pub fn of(numbers: &[Vec<u64>], height: u32) -> Self {
        let (top, steps) = scale(most(numbers));
        Self::drawn(numbers, height, top, steps)
    }

    /// The same without a scale: the highest fills the height.
    pub fn filled(numbers: &[Vec<u64>], height: u32) -> Self {
        Self::drawn(numbers, height, most(numbers).max(1), 1)
    }

    fn drawn(numbers: &[Vec<u64>], height: u32, top: u64, steps: u64) -> Self {
        let tall = f64::from(height);
        let y = |n: u64| tall * (1.0 - share(n, top));
        let lines = (0..=steps).map(|step| top / steps * step).map(|n| (tenth(y(n)), n)).collect();
        let count = u64::try_from(numbers.len()).unwrap_or(0);
        let column = |(at, parts): (usize, &Vec<u64>)| {
            let at = u64::try_from(at).unwrap_or(0);
            let (left, strip) = (share(at, count), share(1, count));
            let mut below = 0;
            let mut stacked = Vec::new();
            for (which, n) in parts.iter().enumerate().filter(|(_, n)| **n > 0) {
                let (bottom, upper) = (y(below), y(below + n));
                below += n;
                // What happened once among thousands is seen all the same.
                let high = (bottom - upper).max(1.5);
                stacked.push((tenth(bottom - high), tenth(high), which));
            }
            Column {
                x: percent(left + strip * (1.0 - FILL) / 2.0),
                width: percent(strip * FILL),
                middle: percent(left + strip / 2.0),
                parts: stacked,
                strip: (percent(left), percent(strip)),
            }
        };
        Self { height, lines, columns: numbers.iter().enumerate().map(column).collect() }
    }
}

/// A tenth of a pixel is as fine as anybody sees.
fn tenth(pixels: f64) -> f64 {
    (pixels * 10.0).round() / 10.0
}

fn most(numbers: &[Vec<u64>]) -> u64 {
    numbers.iter().map(|parts| parts.iter().sum()).max().unwrap_or(0)
}

/// A small line without scale or letters, as points in a box of 100 by 24.
pub fn spark(numbers: &[u64]) -> String {
    let most = numbers.iter().copied().max().unwrap_or(0);
    let last = u64::try_from(numbers.len().saturating_sub(1)).unwrap_or(0);
    let point = |(at, n): (usize, &u64)| {
        let x = 100.0 * share(u64::try_from(at).unwrap_or(0), last);
        format!("{x:.1},{:.1}", 22.0 - 20.0 * share(*n, most))
    };
    numbers.iter().enumerate().map(point).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_ends_at_a_number_that_people_read() {
        for (most, top) in
            [(0, 4), (4, 4), (5, 5), (9, 10), (11, 20), (37, 40), (412, 500), (5_001, 8_000)]
        {
            assert_eq!(scale(most).0, top, "{most}");
            assert!(scale(most).0.is_multiple_of(scale(most).1), "lines stand at whole numbers");
        }
    }

    #[test]
    fn columns_stand_side_by_side_and_their_parts_upon_another() {
        let plot = Columns::of(&[vec![3, 1], vec![0, 0]], 100);
        let [first, second] = plot.columns.as_slice() else { panic!("two columns") };
        assert_eq!(first.parts, [(25.0, 75.0, 0), (0.0, 25.0, 1)]);
        assert_eq!((first.strip.0.as_str(), second.strip.0.as_str()), ("0%", "50%"));
        assert_eq!(second.parts, [], "nothing is drawn of nothing");
        assert_eq!(plot.lines.first(), Some(&(100.0, 0)));
    }

    #[test]
    fn a_share_of_nothing_is_nothing() {
        assert_eq!(
            (percent(share(1, 0)), percent(f64::NAN), percent(1.0 / 3.0)),
            ("0%".to_owned(), "0%".to_owned(), "33.33%".to_owned())
        );
        assert_eq!(spark(&[0, 0]), "0.0,22.0 100.0,22.0");
    }
}
