//! The one source of choice: everything that could go either way in a simulation is drawn here.
//!
//! A draw is a small number, and zero is always the harmless answer: deliver at once, no fault, nobody does anything.
//! Who draws says first what the decision is about ([`Choices::about`]). What was not harmless can be noted on a
//! [`Tape`] under that name. Playing the tape gives the same run; taking choices off it gives a calmer run that is often
//! still wrong in the same way, which is how failures are shrunk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agent_sandbox_core::time::Mono;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::tape::{Choice, Site, Tape};

/// A stream of choices.
#[derive(Clone, Debug)]
pub struct Choices {
    source: Source,
    /// Where the choice stands that comes next; `None` while nobody wants to know.
    place: Option<Box<Place>>,
}

#[derive(Clone, Debug)]
enum Source {
    Seed(Box<ChaCha8Rng>),
    /// Choices made before; what they do not name is harmless.
    Tape(Arc<Tape>),
    /// A fuzzer's input; past the end every choice is zero.
    Bytes {
        bytes: Arc<[u8]>,
        at: usize,
    },
}

/// What is decided, and what was decided so far.
#[derive(Clone, Debug, Default)]
struct Place {
    next: Choice,
    /// How many decisions there were about each site.
    decisions: BTreeMap<Site, u32>,
    tape: Tape,
    /// Whether the draws are part of one that is noted as a whole.
    is_within: bool,
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
        Self { source: Source::Seed(Box::new(ChaCha8Rng::seed_from_u64(seed))), place: None }
    }

    /// Returns the choices that a tape names; all others are harmless.
    pub fn from_tape(tape: impl Into<Arc<Tape>>) -> Self {
        Self { source: Source::Tape(tape.into()), place: Some(Box::default()) }
    }

    /// Returns choices read from a fuzzer's bytes; when they run out, every further choice is zero.
    pub fn from_bytes(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self { source: Source::Bytes { bytes: bytes.into(), at: 0 }, place: None }
    }

    /// Notes every choice from here on, so that [`Choices::tape`] has them.
    #[must_use]
    pub fn noted(mut self) -> Self {
        self.place.get_or_insert_default();
        self
    }

    /// Says what the next draws are about.
    pub fn about(&mut self, site: impl FnOnce() -> Site) -> &mut Self {
        if let Some(place) = &mut self.place
            && !place.is_within
        {
            let site = site();
            let decisions = place.decisions.entry(site.clone()).or_default();
            place.next = Choice { site, nth: *decisions, draw: 0 };
            *decisions += 1;
        }
        self
    }

    /// Says which of the draws about the same comes next: some are made only sometimes.
    pub(crate) fn draw_of(&mut self, draw: u32) -> &mut Self {
        if let Some(place) = &mut self.place
            && !place.is_within
        {
            place.next.draw = draw;
        }
        self
    }

    /// Notes another value than was drawn, because it was decided elsewhere.
    pub(crate) fn overrule(&mut self, draw: u32, value: u64) {
        if let Some(place) = &mut self.place
            && !place.is_within
        {
            place.tape.set(Choice { draw, ..place.next.clone() }, value);
        }
    }

    /// Returns whether the choices are those of a tape, which says everything that happens.
    pub const fn is_played(&self) -> bool {
        matches!(self.source, Source::Tape(_))
    }

    /// Draws a number below `n`.
    ///
    /// # Panics
    /// When `n` is zero: there is nothing to choose from.
    pub fn below(&mut self, n: u32) -> u32 {
        assert!(n > 0, "a choice among no possibilities");
        let played = self.played().map(|value| value.min(u64::from(n - 1)) as u32);
        let value = played.unwrap_or_else(|| self.draw(n));
        self.note(value.into());
        value
    }

    /// Draws whether something happens that happens in `per_mille` of 1000 cases; zero means that it does
    /// not.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        self.number(|choices| u64::from(choices.below(1000) >= 1000 - per_mille.min(1000))) > 0
    }

    /// Draws whether something happens that happens in one of so many cases, which a seed knows by this number.
    pub fn chance_of(&mut self, case: u32, cases: u32) -> bool {
        self.number(|choices| u64::from(choices.below(cases) == case)) > 0
    }

    /// Draws a number by several draws, of which only the outcome counts: it is what a tape names.
    pub fn number(&mut self, draw: impl FnOnce(&mut Self) -> u64) -> u64 {
        if let Some(value) = self.played() {
            self.note(value);
            return value;
        }
        let value = self.unnoted(draw);
        self.note(value);
        value
    }

    /// Draws what no tape names.
    pub(crate) fn unnoted<T>(&mut self, draw: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.place.as_mut().map(|place| std::mem::replace(&mut place.is_within, true));
        let value = draw(self);
        if let (Some(place), Some(before)) = (&mut self.place, before) {
            place.is_within = before;
        }
        value
    }

    /// Draws a moment by several draws; the beginning is harmless.
    pub fn moment(&mut self, draw: impl FnOnce(&mut Self) -> Mono) -> Mono {
        Mono::from_micros(self.number(|choices| draw(choices).micros()))
    }

    /// Draws a length of time by several draws; none is harmless.
    pub fn span(&mut self, draw: impl FnOnce(&mut Self) -> Duration) -> Duration {
        Duration::from_micros(self.number(|choices| draw(choices).as_micros() as u64))
    }

    /// Draws how many things of a kind there are, and returns their numbers. Each can be taken off a tape for itself.
    pub fn each(&mut self, site: &Site, count: impl FnOnce(&mut Self) -> u32) -> Vec<u32> {
        let numbers = match &self.source {
            Source::Tape(tape) => tape.numbers(site),
            Source::Seed(_) | Source::Bytes { .. } => (0..self.unnoted(count)).collect(),
        };
        if let Some(place) = &mut self.place {
            for number in &numbers {
                let site = site.clone().number(*number);
                place.decisions.insert(site.clone(), 1);
                place.tape.set(Choice { site, ..Choice::default() }, 1);
            }
        }
        numbers
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

    /// Returns every choice so far that was not harmless, if they were noted.
    pub fn tape(&self) -> Tape {
        self.place.as_ref().map(|place| place.tape.clone()).unwrap_or_default()
    }

    /// Returns what a tape says about the next choice.
    fn played(&self) -> Option<u64> {
        let (Source::Tape(tape), Some(place)) = (&self.source, &self.place) else { return None };
        Some(tape.get(&place.next))
    }

    fn draw(&mut self, n: u32) -> u32 {
        match &mut self.source {
            // The high half of the product is below n. Source: Lemire 2019, without the rejection: a bias of
            // 2^-32 is of no consequence here, and one draw is one word on every machine.
            Source::Seed(generator) => ((u64::from(generator.next_u32()) * u64::from(n)) >> 32) as u32,
            Source::Bytes { bytes, at } => take_bytes(bytes, at, n),
            Source::Tape(_) => 0,
        }
    }

    fn note(&mut self, value: u64) {
        if let Some(place) = &mut self.place
            && !place.is_within
        {
            if value > 0 {
                place.tape.set(place.next.clone(), value);
            }
            place.next.draw += 1;
        }
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
    fn a_tape_repeats_a_run() {
        let draw = |choices: &mut Choices| {
            let things = choices.each(&Site::deed("thing"), |choices| choices.below(9));
            let mut drawn: Vec<u64> = things.iter().map(|number| u64::from(*number)).collect();
            for number in 0..20 {
                choices.about(|| Site::deed("line").number(number % 3));
                drawn.push(choices.below(77).into());
                drawn.push(choices.chance(300).into());
                drawn.push(
                    choices.number(|choices| u64::from(choices.below(5)) * u64::from(choices.below(7))),
                );
            }
            drawn
        };
        let mut first = Choices::from_seed(3).noted();
        let drawn = draw(&mut first);
        let mut second = Choices::from_tape(first.tape());
        assert_eq!(draw(&mut second), drawn);
        assert_eq!(second.tape(), first.tape());
    }

    #[test]
    fn taking_a_choice_away_leaves_the_others_alone() {
        let mut tape = Tape::default();
        let choice = |number| Choice { site: Site::deed("line").number(number), nth: 0, draw: 0 };
        tape.set(choice(0), 5);
        tape.set(choice(1), 7);
        tape.set(choice(0), 0);
        let mut choices = Choices::from_tape(tape);
        let mut draw = |number| choices.about(|| Site::deed("line").number(number)).below(10);
        assert_eq!((draw(0), draw(1), draw(2)), (0, 7, 0));
    }

    #[test]
    fn a_tape_that_asks_for_too_much_gets_the_most_there_is() {
        let mut tape = Tape::default();
        tape.set(Choice::default(), 9);
        assert_eq!(Choices::from_tape(tape).below(3), 2);
    }

    #[test]
    fn zero_is_the_harmless_choice() {
        let mut calm = Choices::from_tape(Tape::default());
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
