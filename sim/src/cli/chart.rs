//! A small chart of bars, for a terminal.

use std::time::Duration;

use agent_sandbox_sim::span;

/// The eighths of a bar.
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// How wide the numbers on the left are.
const LABEL: usize = 8;

/// Draws one bar for each value, so many lines high, over an axis of time from zero to `length`.
pub(super) fn bars(values: &[f64], height: usize, length: Duration) -> Vec<String> {
    let most = values.iter().copied().fold(0.0, f64::max);
    let eighths = |value: f64| {
        let eighths = if most > 0.0 { value / most * (height * 8) as f64 } else { 0.0 };
        // What is more than nothing is seen.
        if value > 0.0 { (eighths.round() as usize).max(1) } else { 0 }
    };
    let bars: Vec<usize> = values.iter().map(|value| eighths(*value)).collect();
    let mut lines: Vec<String> = (0..height)
        .rev()
        .map(|row| {
            let label = if row + 1 == height { number(most) } else { String::new() };
            let line: String = bars.iter().map(|bar| EIGHTHS[bar.saturating_sub(row * 8).min(8)]).collect();
            format!("{label:>LABEL$} │{}", line.trim_end())
        })
        .collect();
    lines.push(format!("{:>LABEL$} └{}", 0, "─".repeat(values.len())));
    lines.push(axis(values.len(), length));
    lines
}

/// Writes a count: whole where it is large.
fn number(value: f64) -> String {
    if value >= 10.0 || value == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

/// Returns the times under a chart, at its thirds.
fn axis(width: usize, length: Duration) -> String {
    let mut line = " ".repeat(LABEL + 2);
    for third in 0..=3_u32 {
        let text = span::whole(length * third / 3);
        let place = LABEL + 2 + width * third as usize / 3;
        let place = if third == 3 { place.saturating_sub(text.len()) } else { place };
        while line.chars().count() < place {
            line.push(' ');
        }
        line.push_str(&text);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_high_as_their_values() {
        let drawn = bars(&[0.0, 1.0, 4.0, 8.0, 0.001, 0.0], 2, Duration::from_secs(90));
        assert_eq!(drawn[0], "     8.0 │   █");
        assert_eq!(drawn[1], "         │ ▂██▁");
        assert_eq!(drawn[2], "       0 └──────");
    }

    #[test]
    fn nothing_is_drawn_as_nothing() {
        assert_eq!(bars(&[0.0; 3], 1, Duration::from_secs(1))[0], "       0 │");
    }

    #[test]
    fn the_axis_has_the_beginning_and_the_end() {
        let axis = axis(60, Duration::from_secs(1200));
        assert_eq!(axis.trim(), "0s                  6m40s               13m20s        20m00s");
    }
}
