//! How long something takes, and how often something comes: values of a scenario file, and draws from them.

use std::borrow::Cow;
use std::fmt::Display;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer};

use crate::choices::Choices;
use crate::span;

/// A length of time, written like `500ms`, `90s` or `1h30m`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        span::parse(&text).map(Self).map_err(|why| told(&text, why))
    }
}

impl JsonSchema for Span {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^([0-9]+(ms|s|m|h))+$", "examples": ["500ms", "1h30m"] })
    }
}

/// How many a second, above zero.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct PerSecond(pub f64);

/// Most a second that a file may ask for.
///
/// Source: ten times the largest load that the original's own stress test makes.
const PER_SECOND_MAX: f64 = 3000.0;

impl<'de> Deserialize<'de> for PerSecond {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number: Option<f64> = text.parse().ok().filter(|number| (1e-6..=PER_SECOND_MAX).contains(number));
        let why = || format!("a number a second, from 0.000001 to {PER_SECOND_MAX}, is needed");
        number.map(Self).ok_or_else(|| told(&text, why()))
    }
}

impl JsonSchema for PerSecond {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "PerSecond".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 1e-6, "maximum": PER_SECOND_MAX })
    }
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub u32);

/// Most claims or members that a file may ask for.
pub(super) const COUNT_MAX: u32 = 100_000;

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = text.parse().ok().filter(|number| *number <= COUNT_MAX);
        let why = || format!("a whole number from 0 to {COUNT_MAX} is needed");
        number.map(Self).ok_or_else(|| told(&text, why()))
    }
}

impl JsonSchema for Count {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Count".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 0, "maximum": COUNT_MAX })
    }
}

fn told<E: Error>(text: &str, why: impl Display) -> E {
    E::custom(format!("{text:?} does not fit: {why}"))
}

/// How long something takes: always the same, or drawn from a distribution.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Delay {
    /// Always as long.
    Fixed(Span),
    /// Each length between two is as likely as any other.
    Uniform {
        /// The shortest.
        least: Span,
        /// The longest.
        most: Span,
    },
    /// Mostly short and sometimes long, as the times between independent events are.
    Exponential {
        /// The mean.
        mean: Span,
    },
    /// As start times mostly are: half take no longer than the median, one in a hundred longer than `p99`.
    Lognormal {
        /// Half take longer.
        median: Span,
        /// One in a hundred takes longer.
        p99: Span,
    },
    /// As measured: lengths at percentiles, with straight lines between them.
    Percentiles {
        /// The shortest.
        least: Span,
        /// Half take longer.
        p50: Span,
        /// One in ten takes longer.
        p90: Span,
        /// One in a hundred takes longer.
        p99: Span,
        /// The longest.
        most: Span,
    },
}

/// How finely a distribution is drawn from. **Unit**: steps between 0 and 1.
const STEPS: u32 = 1 << 20;

/// The quantile of the standard normal distribution at 0.99.
const NORMAL_P99: f64 = 2.326_347_874_040_841;

impl Delay {
    /// Draws a length; zero on the tape is the shortest.
    pub fn draw(&self, choices: &mut Choices) -> Duration {
        if let Self::Fixed(span) = self {
            return span.0;
        }
        self.at((f64::from(choices.below(STEPS)) + 0.5) / f64::from(STEPS))
    }

    /// Returns the longest that can be drawn.
    pub fn longest(&self) -> Duration {
        self.at(1.0 - 0.5 / f64::from(STEPS))
    }

    /// Returns the length that a part of all draws, from 0 to 1, does not exceed.
    fn at(&self, part: f64) -> Duration {
        let seconds = match self {
            Self::Fixed(span) => return span.0,
            Self::Uniform { least, most } => between(part, 0.0, 1.0, *least, *most),
            Self::Exponential { mean } => -mean.0.as_secs_f64() * libm::log(1.0 - part),
            Self::Lognormal { median, p99 } => {
                let sigma = libm::log(p99.0.as_secs_f64() / median.0.as_secs_f64()) / NORMAL_P99;
                median.0.as_secs_f64() * libm::exp(sigma * normal(part))
            }
            Self::Percentiles { least, p50, p90, p99, most } => match part {
                ..0.5 => between(part, 0.0, 0.5, *least, *p50),
                0.5..0.9 => between(part, 0.5, 0.9, *p50, *p90),
                0.9..0.99 => between(part, 0.9, 0.99, *p90, *p99),
                _ => between(part, 0.99, 1.0, *p99, *most),
            },
        };
        Duration::from_micros((seconds * 1e6) as u64)
    }

    /// Returns what is wrong with it, if anything is.
    pub(super) fn wrong(&self) -> Option<&'static str> {
        match self {
            Self::Fixed(_) | Self::Exponential { .. } => None,
            Self::Uniform { least, most } => (least > most).then_some("most must not be below least"),
            Self::Lognormal { median, p99 } => {
                (median.0.is_zero() || median > p99).then_some("median must be above 0s and p99 not below it")
            }
            Self::Percentiles { least, p50, p90, p99, most } => {
                let rises = [least, p50, p90, p99, most].is_sorted();
                (!rises).then_some("least, p50, p90, p99 and most must not fall")
            }
        }
    }
}

/// Returns the seconds on the straight line between two points.
fn between(part: f64, from: f64, to: f64, least: Span, most: Span) -> f64 {
    let (least, most) = (least.0.as_secs_f64(), most.0.as_secs_f64());
    least + (most - least) * (part - from) / (to - from)
}

/// Returns a quantile of the standard normal distribution, right to nine digits.
///
/// Source: P. J. Acklam's rational approximations. They and `libm` give the same number on every machine, which
/// the functions of an operating system do not.
fn normal(part: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969683028665376e+01,
        2.209460984245205e+02,
        -2.759285104469687e+02,
        1.38357751867269e2,
        -3.066479806614716e+01,
        2.506628277459239e+00,
    ];
    const B: [f64; 6] = [
        -5.447609879822406e+01,
        1.615858368580409e+02,
        -1.556989798598866e+02,
        6.680131188771972e+01,
        -1.328068155288572e+01,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784894002430293e-03,
        -3.223964580411365e-01,
        -2.400758277161838e+00,
        -2.549732539343734e+00,
        4.374664141464968e+00,
        2.938163982698783e+00,
    ];
    const D: [f64; 5] =
        [7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00, 3.754408661907416e+00, 1.0];
    const TAIL: f64 = 0.02425;
    let tail = |part: f64| {
        let x = libm::sqrt(-2.0 * libm::log(part));
        polynomial(&C, x) / polynomial(&D, x)
    };
    if part < TAIL {
        tail(part)
    } else if part > 1.0 - TAIL {
        -tail(1.0 - part)
    } else {
        let middle = part - 0.5;
        middle * polynomial(&A, middle * middle) / polynomial(&B, middle * middle)
    }
}

fn polynomial(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().fold(0.0, |sum, coefficient| sum * x + coefficient)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Span {
        Span(Duration::from_millis(millis))
    }

    #[test]
    fn quantiles_of_the_normal_distribution_are_those_of_the_tables() {
        for (part, quantile) in
            [(0.5, 0.0), (0.975, 1.959_963_985), (0.99, NORMAL_P99), (0.001, -3.090_232_306)]
        {
            assert!((normal(part) - quantile).abs() < 1e-8, "{part}");
        }
    }

    #[test]
    fn draws_have_the_percentiles_that_were_asked_for() {
        let delays = [
            Delay::Lognormal { median: ms(2000), p99: ms(9000) },
            Delay::Percentiles {
                least: ms(0),
                p50: ms(2000),
                p90: ms(5000),
                p99: ms(9000),
                most: ms(20_000),
            },
        ];
        for delay in delays {
            let mut choices = Choices::from_seed(1);
            let mut drawn: Vec<Duration> = (0..100_000).map(|_| delay.draw(&mut choices)).collect();
            drawn.sort_unstable();
            for (place, millis) in [(50_000, 2000.0), (99_000, 9000.0)] {
                let got = drawn[place].as_secs_f64() * 1e3;
                assert!((got / millis - 1.0).abs() < 0.02, "{delay:?}: {got} at {place}");
            }
            assert!(drawn[99_999] <= delay.longest());
        }
    }

    #[test]
    fn means_are_those_that_were_asked_for() {
        for delay in [Delay::Exponential { mean: ms(500) }, Delay::Uniform { least: ms(200), most: ms(800) }]
        {
            let mut choices = Choices::from_seed(2);
            let total: f64 = (0..100_000).map(|_| delay.draw(&mut choices).as_secs_f64()).sum();
            assert!((total / 100_000.0 / 0.5 - 1.0).abs() < 0.02, "{delay:?}: {total}");
        }
    }

    #[test]
    fn the_harmless_draw_is_the_shortest() {
        let delay = Delay::Uniform { least: ms(200), most: ms(800) };
        let shortest = delay.draw(&mut Choices::from_tape(crate::tape::Tape::default()));
        assert!((200..=201).contains(&shortest.as_millis()), "{shortest:?}");
    }

    #[test]
    fn delays_that_make_no_sense_are_told() {
        assert!(Delay::Uniform { least: ms(2), most: ms(1) }.wrong().is_some());
        assert!(Delay::Lognormal { median: ms(0), p99: ms(1) }.wrong().is_some());
        assert!(Delay::Fixed(ms(0)).wrong().is_none());
    }
}
