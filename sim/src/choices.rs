//! The one source of choice: everything that could go either way in a simulation is drawn here.
//!
//! A draw is a small number, and zero is always the harmless answer: deliver at once, no fault, the first of
//! the list. All draws are kept on a *tape*. Playing the tape back gives the same run; making its numbers
//! smaller gives a calmer run that is often still wrong in the same way, which is how failures are shrunk.

use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of choices that remembers what it answered.
#[derive(Clone, Debug)]
pub struct Choices {
    source: Source,
    tape: Vec<u32>,
}

#[derive(Clone, Debug)]
enum Source {
    Seed(Box<ChaCha8Rng>),
    /// Draws made before; past the end every choice is zero.
    Tape {
        tape: Arc<[u32]>,
        at: usize,
    },
    /// A fuzzer's input; past the end every choice is zero.
    Bytes {
        bytes: Arc<[u8]>,
        at: usize,
    },
}

/// Quantiles of the exponential distribution with mean 1000, from the 1st to the 127th of 128; the first is
/// zero.
///
/// Source: `-1000 * ln(1 - (i + 0.5) / 64)` for i in 0..64, rounded: integers, so that every machine agrees.
const EXPONENTIAL: [u32; 64] = [
    0, 24, 40, 56, 73, 90, 107, 125, 143, 161, 179, 198, 217, 237, 257, 277, 298, 319, 341, 363, 386, 409,
    433, 458, 483, 508, 535, 562, 589, 618, 647, 678, 709, 741, 774, 809, 845, 882, 920, 960, 1002, 1045,
    1091, 1138, 1188, 1241, 1297, 1356, 1418, 1485, 1556, 1633, 1717, 1808, 1908, 2019, 2144, 2287, 2454,
    2655, 2906, 3243, 3753, 4852,
];

impl Choices {
    /// Returns the choices that belong to a seed.
    pub fn from_seed(seed: u64) -> Self {
        Self::new(Source::Seed(Box::new(ChaCha8Rng::seed_from_u64(seed))))
    }

    /// Returns the choices that were made before; when they run out, every further choice is zero.
    pub fn from_tape(tape: impl Into<Arc<[u32]>>) -> Self {
        Self::new(Source::Tape { tape: tape.into(), at: 0 })
    }

    /// Returns choices read from a fuzzer's bytes; when they run out, every further choice is zero.
    pub fn from_bytes(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self::new(Source::Bytes { bytes: bytes.into(), at: 0 })
    }

    const fn new(source: Source) -> Self {
        Self { source, tape: Vec::new() }
    }

    /// Draws a number below `n`.
    ///
    /// # Panics
    /// When `n` is zero: there is nothing to choose from.
    pub fn below(&mut self, n: u32) -> u32 {
        assert!(n > 0, "a choice among no possibilities");
        let value = match &mut self.source {
            // The high half of the product is below n. Source: Lemire 2019, without the rejection: a bias of
            // 2^-32 is of no consequence here, and one draw is one word on every machine.
            Source::Seed(generator) => ((u64::from(generator.next_u32()) * u64::from(n)) >> 32) as u32,
            Source::Tape { tape, at } => {
                let value = tape.get(*at).copied().unwrap_or(0);
                *at += 1;
                value.min(n - 1)
            }
            Source::Bytes { bytes, at } => take_bytes(bytes, at, n),
        };
        self.tape.push(value);
        value
    }

    /// Draws whether something happens that happens in `per_mille` of 1000 cases; zero means that it does
    /// not.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1000) >= 1000 - per_mille.min(1000)
    }

    /// Draws a duration between two others, in 1000 equal steps.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let step = self.below(1001);
        least + most.saturating_sub(least) * step / 1000
    }

    /// Draws a duration that is mostly short and sometimes five times the mean, as waiting times are.
    pub fn around(&mut self, mean: Duration) -> Duration {
        let quantile = EXPONENTIAL[self.below(EXPONENTIAL.len() as u32) as usize];
        mean * quantile / 1000
    }

    /// Draws one element of a list that is not empty.
    ///
    /// # Panics
    /// When the list is empty.
    pub fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        let index = self.below(u32::try_from(list.len()).unwrap_or(u32::MAX));
        &list[index as usize]
    }

    /// Returns every draw so far, oldest first.
    pub fn tape(&self) -> &[u32] {
        &self.tape
    }
}

/// Reads as few bytes as `n` needs, so that a fuzzer's change of one byte changes one choice.
fn take_bytes(bytes: &[u8], at: &mut usize, n: u32) -> u32 {
    let width = match n {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    };
    let value = (0..width)
        .fold(0, |value: u32, index| value << 8 | u32::from(bytes.get(*at + index).copied().unwrap_or(0)));
    *at += width;
    value % n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_choices_every_time() {
        let draw = |seed| {
            let mut choices = Choices::from_seed(seed);
            (0..100).map(|n| choices.below(n + 1)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn a_seed_gives_these_choices_on_every_machine() {
        let mut choices = Choices::from_seed(1);
        let drawn: Vec<_> = (0..8).map(|_| choices.below(1000)).collect();
        assert_eq!(drawn, [549, 402, 984, 80, 211, 596, 386, 219]);
    }

    #[test]
    fn a_tape_repeats_a_run_and_then_answers_zero() {
        let mut first = Choices::from_seed(3);
        let drawn: Vec<_> = (0..50).map(|_| first.below(77)).collect();
        let mut second = Choices::from_tape(first.tape().to_vec());
        let again: Vec<_> = (0..52).map(|_| second.below(77)).collect();
        assert_eq!(again[..50], drawn);
        assert_eq!(again[50..], [0, 0]);
    }

    #[test]
    fn a_tape_that_asks_for_too_much_gets_the_most_there_is() {
        assert_eq!(Choices::from_tape(vec![9]).below(3), 2);
    }

    #[test]
    fn zero_is_the_harmless_choice() {
        let mut calm = Choices::from_tape(vec![]);
        assert!(!calm.chance(999));
        assert_eq!(calm.around(Duration::from_secs(9)), Duration::ZERO);
        assert_eq!(calm.between(Duration::from_secs(1), Duration::from_secs(2)), Duration::from_secs(1));
    }

    #[test]
    fn chance_keeps_its_promise() {
        let mut choices = Choices::from_seed(5);
        let hits = (0..10_000).filter(|_| choices.chance(100)).count();
        assert!((900..1100).contains(&hits), "{hits}");
        assert!((0..100).all(|_| choices.chance(1000)) && !(0..100).any(|_| choices.chance(0)));
    }

    #[test]
    fn bytes_become_choices() {
        let mut choices = Choices::from_bytes(vec![5, 1, 2, 0]);
        assert_eq!(
            (choices.below(10), choices.below(1000), choices.below(4), choices.below(4)),
            (5, 258, 0, 0)
        );
    }
}
