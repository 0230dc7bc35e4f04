//! How fast a pool may be refilled: not before a while after a member has left, and so many a second.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Mono;

/// How many members a second a pool may be refilled with.
///
/// **Unit**: millionths of a member a second; zero is for as many as there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rate(u64);

impl Rate {
    /// No limit.
    pub const UNLIMITED: Self = Self(0);

    /// Reads members a second, such as `20`, `0.5` or `1e3`; zero is for no limit. What is finer than a millionth counts
    /// as a millionth, since nothing that is asked for may come out as no limit.
    ///
    /// # Errors
    /// What a rate is, for a text that is none.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str =
            "a rate is a number of members a second, not negative and not infinite; 0 is for no limit";
        let number: f64 = text.parse().map_err(|_| WRONG)?;
        if !number.is_finite() || number < 0.0 {
            return Err(WRONG);
        }
        // What is too large for 64 bits comes out as the largest number.
        let millionths = (number * 1e6 + 0.5) as u64;
        Ok(Self(if number > 0.0 { millionths.max(1) } else { 0 }))
    }

    /// Returns the time for one member; zero where there is no limit.
    pub fn interval(self) -> Duration {
        if self.is_limited() { Duration::from_micros(micros_for(ONE, self)) } else { Duration::ZERO }
    }

    /// Returns most members in any such span; those of one second, and at least one, may come at once.
    pub fn most_within(self, span: Duration) -> u64 {
        if !self.is_limited() {
            return u64::MAX;
        }
        let come = span.as_micros().saturating_mul(u128::from(self.0));
        u64::try_from(self.capacity().saturating_add(come) / ONE).unwrap_or(u64::MAX)
    }

    /// Returns whether there is a limit.
    pub const fn is_limited(self) -> bool {
        self.0 > 0
    }

    /// Returns how much an empty bucket holds at most.
    fn capacity(self) -> u128 {
        (u128::from(self.0) * 1_000_000).max(ONE)
    }
}

/// One member. **Unit**: what a rate of one millionth a second gives in a microsecond, so that nothing is ever rounded.
const ONE: u128 = 1_000_000_000_000;

/// Returns how long it takes until so much has come together.
fn micros_for(amount: u128, rate: Rate) -> u64 {
    u64::try_from(amount.div_ceil(u128::from(rate.0))).unwrap_or(u64::MAX)
}

/// What one pool may still make, and from when on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pace {
    /// Until when nothing is made, because a member has left and the pool is short.
    held_until: Option<Mono>,
    /// What was left at a moment; a full bucket where nothing was taken yet.
    bucket: Option<(u128, Mono)>,
}

impl Pace {
    /// Makes the pool wait until then.
    pub(crate) const fn hold(&mut self, until: Mono) {
        self.held_until = Some(until);
    }

    /// Lets the pool go on at once.
    pub(crate) const fn release(&mut self) {
        self.held_until = None;
    }

    /// Returns until when the pool waits because it has lost a member, if it does.
    pub(crate) fn held(&self, now: Mono) -> Option<Mono> {
        self.held_until.filter(|until| *until > now)
    }

    /// Returns until when there is nothing left for another member, if there is not.
    pub(crate) fn spent(&self, rate: Rate, now: Mono) -> Option<Mono> {
        let missing = ONE.checked_sub(self.left(rate, now)?).filter(|missing| *missing > 0)?;
        Some(now + Duration::from_micros(micros_for(missing, rate)))
    }

    /// Counts a member that is made.
    pub(crate) fn spend(&mut self, rate: Rate, now: Mono) {
        self.bucket = self.left(rate, now).map(|left| (left.saturating_sub(ONE), now));
    }

    /// Returns what is left at this moment; `None` for no limit.
    pub(crate) fn left(&self, rate: Rate, now: Mono) -> Option<u128> {
        if !rate.is_limited() {
            return None;
        }
        let (left, at) = self.bucket.unwrap_or((rate.capacity(), now));
        let come = now.since(at).as_micros() * u128::from(rate.0);
        Some(left.saturating_add(come).min(rate.capacity()))
    }

    /// Returns until when nothing is made.
    pub(crate) const fn held_until(&self) -> Option<Mono> {
        self.held_until
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    /// RFL-010, RFL-011.
    #[test]
    fn a_full_bucket_is_taken_at_once_and_the_rest_comes_at_the_rate() {
        assert_eq!(made("2", 5), [0, 0, 500_000, 1_000_000, 1_500_000]);
        assert_eq!(made("0.5", 3), [0, 2_000_000, 4_000_000], "at least one at once");
    }

    /// RFL-011: a third of a second is no whole number of microseconds.
    #[test]
    fn nothing_drifts() {
        let made = made("3", 30_003);
        assert_eq!(made[30_002], 10_000_000_000, "30,000 after the first three, in 10,000 s");
    }

    /// RFL-010.
    #[test]
    fn an_idle_pool_saves_up_no_more_than_a_second() {
        let (mut pace, rate) = (Pace::default(), Rate::parse("2").unwrap());
        pace.spend(rate, Mono::default());
        let later = Mono::from_micros(3_600_000_000);
        pace.spend(rate, later);
        assert_eq!(pace.spent(rate, later), None);
        pace.spend(rate, later);
        assert_eq!(pace.spent(rate, later), Some(later + Duration::from_millis(500)));
    }

    /// RFL-012: the original guards against a grant that overflows and comes out negative.
    #[test]
    fn a_huge_rate_is_as_good_as_none() {
        assert_eq!(made("1e300", 1000), [0; 1000]);
        assert_eq!(made("0", 1000), [0; 1000]);
    }

    /// RFL-012.
    #[test]
    fn a_tiny_rate_is_not_no_limit() {
        assert_eq!(made("1e-300", 2), [0, 1_000_000_000_000]);
    }

    /// RFL-014.
    #[test]
    fn waiting_after_a_loss_costs_nothing() {
        let (mut pace, rate) = (Pace::default(), Rate::parse("1").unwrap());
        let until = Mono::from_micros(5_000_000);
        pace.hold(until);
        assert_eq!(pace.held(Mono::default()), Some(until));
        assert_eq!((pace.held(until), pace.spent(rate, until)), (None, None));
        pace.spend(rate, until);
        assert!(pace.spent(rate, until).is_some(), "and nothing was saved up beyond a second");
    }

    /// RFL-010.
    #[test]
    fn a_span_has_what_comes_in_it_and_a_full_bucket() {
        let most = |rate, millis| Rate::parse(rate).unwrap().most_within(Duration::from_millis(millis));
        assert_eq!([most("2", 0), most("2", 499), most("2", 500), most("0.5", 2000)], [2, 2, 3, 2]);
        assert_eq!(most("0", 0), u64::MAX);
    }

    /// CFG-007.
    #[test]
    fn what_is_no_rate_is_refused() {
        for text in ["", "many", "-1", "-0.1", "NaN", "inf", "+Inf", "1e999"] {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
        assert_eq!(Rate::parse("-0"), Ok(Rate::UNLIMITED));
        assert_eq!(Rate::parse("0.25").map(Rate::interval), Ok(Duration::from_secs(4)));
    }

    /// Returns when so many members are made, each as soon as it may be.
    fn made(rate: &str, count: usize) -> Vec<u64> {
        let (mut pace, rate, mut now) = (Pace::default(), Rate::parse(rate).unwrap(), Mono::default());
        let mut next = || {
            now = pace.spent(rate, now).unwrap_or(now);
            pace.spend(rate, now);
            now.micros()
        };
        (0..count).map(|_| next()).collect()
    }
}
