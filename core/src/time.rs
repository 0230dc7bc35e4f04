//! Two clocks that cannot be mixed: one for intervals, one for the calendar.

use alloc::format;
use alloc::string::String;
use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment on the process's own monotonic clock.
///
/// Unit: microseconds since an arbitrary start. Comparable within one process only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mono(u64);

impl Mono {
    /// Returns the moment `micros` microseconds after the clock's start.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Returns the microseconds since the clock's start.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// Returns how long ago `earlier` was; zero when it lies ahead.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Mono {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// A moment on the calendar, as Kubernetes writes it.
///
/// Unit: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Wall(i64);

const MICROS: i64 = 1_000_000;
const DAY_SECONDS: i64 = 86_400;

impl Wall {
    /// Returns the moment `micros` microseconds after the epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Returns the microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Returns how long ago `earlier` was; zero when it lies ahead.
    pub const fn since(self, earlier: Self) -> Duration {
        let micros = self.0.saturating_sub(earlier.0);
        Duration::from_micros(if micros > 0 { micros as u64 } else { 0 })
    }

    /// Returns this moment without its fraction of a second, as `metav1.Time` stores it.
    pub const fn whole_seconds(self) -> Self {
        Self(self.0.div_euclid(MICROS) * MICROS)
    }

    /// Reads an RFC 3339 time in UTC or with an offset; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() < 20 || bytes[4] != b'-' || bytes[7] != b'-' || !matches!(bytes[10], b'T' | b't') {
            return None;
        }
        let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
        let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
        let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
        let (fraction, zone) = split_fraction(text.get(19..)?)?;
        let offset = zone_offset_seconds(zone)?;
        let days = days_from_civil(year, month, day);
        let seconds = days * DAY_SECONDS + hour * 3600 + minute * 60 + second - offset;
        Some(Self(seconds * MICROS + fraction))
    }

    /// Writes the whole seconds, as `metav1.Time` does: `2026-11-24T14:30:35Z`.
    pub fn rfc3339(self) -> String {
        let seconds = self.0.div_euclid(MICROS);
        let (year, month, day) = civil_from_days(seconds.div_euclid(DAY_SECONDS));
        let rest = seconds.rem_euclid(DAY_SECONDS);
        let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }

    /// Writes six digits of a second, as `metav1.MicroTime` does: `2026-11-24T14:30:35.000120Z`.
    pub fn rfc3339_micros(self) -> String {
        let mut text = self.rfc3339();
        text.pop();
        format!("{text}.{:06}Z", self.0.rem_euclid(MICROS))
    }
}

/// Splits `.123Z` into microseconds and the zone.
fn split_fraction(rest: &str) -> Option<(i64, &str)> {
    let Some(digits) = rest.strip_prefix('.') else { return Some((0, rest)) };
    let end = digits.find(|c: char| !c.is_ascii_digit())?;
    let (digits, zone) = digits.split_at(end);
    let mut micros = 0;
    for place in 0..6 {
        micros = micros * 10 + i64::from(digits.as_bytes().get(place).map_or(0, |digit| digit - b'0'));
    }
    (end > 0).then_some((micros, zone))
}

fn zone_offset_seconds(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    Some(sign * (hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60))
}

/// Days since the epoch of a proleptic Gregorian date.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

impl Add<Duration> for Wall {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl Sub for Wall {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

/// Both clocks, read at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// For intervals: time limits, back-off, grace.
    pub mono: Mono,
    /// For what users read and write: conditions, annotations, and when something ends.
    pub wall: Wall,
}

impl Now {
    /// Returns how far the calendar is ahead of the process's own clock. Unit: microseconds.
    pub(crate) const fn calendar_ahead(self) -> i64 {
        self.wall.micros().wrapping_sub_unsigned(self.mono.micros())
    }

    /// Returns when the process's own clock will show this moment of the calendar, if nobody sets the calendar meanwhile.
    pub fn mono_at(self, at: Wall) -> Mono {
        self.mono + (at - self.wall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_survives_being_written_and_read() {
        for text in ["1970-01-01T00:00:00Z", "2000-02-29T23:59:59Z", "2026-11-24T14:30:35Z"] {
            assert_eq!(Wall::parse(text).map(Wall::rfc3339).as_deref(), Some(text));
        }
        let micros = "2026-11-24T14:30:35.000120Z";
        assert_eq!(Wall::parse(micros).map(Wall::rfc3339_micros).as_deref(), Some(micros));
    }

    #[test]
    fn nanoseconds_and_offsets_are_understood() {
        assert_eq!(Wall::parse("1970-01-01T01:00:00.123456789+01:00"), Some(Wall::from_micros(123_456)));
    }

    #[test]
    fn other_texts_are_no_times() {
        for text in ["", "unknown", "2026-11-24", "2026-11-24T14:30:35", "2026-11-24T14:30:35.Z"] {
            assert_eq!(Wall::parse(text), None, "{text}");
        }
    }
}
