//! Lengths of time as people write them: `500ms`, `90s`, `1h30m`.

use std::time::Duration;

/// The longest that is read: what is simulated must come to an end.
const SPAN_MAX: Duration = Duration::from_secs(30 * 86_400);

/// Reads a length of time: numbers with units, largest first; `0s` is none.
///
/// # Errors
/// What one looks like, for a text that is none; or that it is more than 30 days.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || "a duration looks like 500ms, 90s, 10m or 1h30m".to_owned();
    let (mut rest, mut total) = (text, Duration::ZERO);
    if text.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let millis = match &rest[..unit] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(wrong()),
        };
        rest = &rest[unit..];
        total += Duration::from_millis(number.checked_mul(millis).ok_or_else(wrong)?);
    }
    if total > SPAN_MAX { Err("more than 30 days (720h)".to_owned()) } else { Ok(total) }
}

/// Writes a length of time in whole seconds.
pub fn whole(span: Duration) -> String {
    let (hours, minutes, seconds) = (span.as_secs() / 3600, span.as_secs() / 60 % 60, span.as_secs() % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds:02}s"),
        _ => format!("{hours}h{minutes:02}m{seconds:02}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(parse("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse("0s"), Ok(Duration::ZERO));
        for wrong in ["", "1", "h", "1d", "-1s", "1 h", "99999999999999999999h", "18446744073709551615h"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(parse("721h").is_err() && parse("720h").is_ok());
    }

    #[test]
    fn whole_seconds_are_written_with_the_units_they_need() {
        let written = [5, 65, 3605].map(|seconds| whole(Duration::from_secs(seconds)));
        assert_eq!(written, ["5s", "1m05s", "1h00m05s"]);
    }
}
