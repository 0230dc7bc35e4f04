//! Lengths of time as Go writes them, for flags that the original has, too.

use std::time::Duration;

/// What each unit is in nanoseconds.
const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads `0`, `30s`, `1m30s`, `1.5h`. What Go would take with a minus in front is none: no flag of ours has a use for it.
///
/// # Errors
/// How a length of time is written, for a text that is none.
pub fn parse(text: &str) -> Result<Duration, &'static str> {
    const WRONG: &str = "a length of time looks like 500ms, 30s, 1m30s or 1.5h, and is not negative";
    let text = text.strip_prefix('+').unwrap_or(text);
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut rest, mut nanos) = (text, 0_u128);
    loop {
        let (amount, after) = amount(rest).ok_or(WRONG)?;
        let (unit, each) = UNITS.into_iter().find(|(unit, _)| word(after) == *unit).ok_or(WRONG)?;
        nanos = amount.nanos(each).and_then(|more| nanos.checked_add(more)).ok_or(WRONG)?;
        rest = &after[unit.len()..];
        if rest.is_empty() {
            // Go counts nanoseconds in 63 bits.
            let nanos = i64::try_from(nanos).map_err(|_| WRONG)?;
            return Ok(Duration::from_nanos(nanos.unsigned_abs()));
        }
    }
}

/// Reads a length of time that is not nothing.
///
/// # Errors
/// As [`parse`], and for nothing.
pub fn parse_some(text: &str) -> Result<Duration, &'static str> {
    let span = parse(text)?;
    if span.is_zero() { Err("it must be longer than nothing") } else { Ok(span) }
}

/// A number with a decimal point: all digits as one number, and how many of them stand after the point.
struct Amount {
    digits: u128,
    places: u32,
}

impl Amount {
    fn nanos(&self, each: u128) -> Option<u128> {
        Some(self.digits.checked_mul(each)? / 10_u128.checked_pow(self.places)?)
    }
}

/// Splits the number off that a text begins with.
fn amount(text: &str) -> Option<(Amount, &str)> {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}").parse().ok()?;
    Some((Amount { digits, places: u32::try_from(fraction.len()).ok()? }, rest))
}

/// Returns the letters that a text begins with.
fn word(text: &str) -> &str {
    let end = text.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(text.len());
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// OPS-060.
    #[test]
    fn lengths_of_time_are_written_as_in_go() {
        let spans = [
            ("0", 0),
            ("0s", 0),
            ("300ms", 300),
            ("+30s", 30_000),
            ("1m30s", 90_000),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("1h0.25m5.s", 3_620_000),
            ("1000000us", 1000),
        ];
        for (text, millis) in spans {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    /// OPS-060.
    #[test]
    fn other_texts_are_none() {
        for text in
            ["", "30", "s", ".", ".s", "1d", "-1s", "1.5.5s", "1 s", "1s ", "1e3s", "9999999999h", "m5s"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse_some("0").is_err() && parse_some("1ns").is_ok());
    }
}
