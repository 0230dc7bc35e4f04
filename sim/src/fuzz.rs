//! The way in for a fuzzer: bytes decide everything that a seed decides elsewhere.
//!
//! Each choice reads as few bytes as it needs, and a byte of zero is the harmless answer, so a change of one byte is
//! a change of one choice. When the bytes run out the rest is harmless: every input is a whole run.

use std::time::Duration;

use agent_sandbox_core::config::Config;
use agent_sandbox_core::machine::Machine;

use crate::choices::Choices;
use crate::faults::{Faults, Options};
use crate::plan::Plan;
use crate::run::{Judges, Observer, Report, run_with};
use crate::story::Story;

/// The bytes that say how large the world is; choices are read from those that follow.
const PREFIX: usize = 3;

/// How many lines of the story come with a violation.
const STORY_LINES: usize = 40;

/// The inputs that are part of the repository: together they reach every branch and kind of trouble that a fuzzer has reached.
pub const CORPUS: [&[u8]; 12] = [
    include_bytes!("../../fuzz/corpus/world/04016cd1da966d23445fe1b7a4cc1b8dda647db1"),
    include_bytes!("../../fuzz/corpus/world/24773de8e406005488250f9cdc85231dcc5a8d7d"),
    include_bytes!("../../fuzz/corpus/world/63e0099ce70c2dbfde45e06e71870b4e0fbb5c1a"),
    include_bytes!("../../fuzz/corpus/world/6982914788f659669af964085a5176deaee3a6b1"),
    include_bytes!("../../fuzz/corpus/world/743b12443d11429ff3d932909c6172648d41212e"),
    include_bytes!("../../fuzz/corpus/world/759c2409c34dec6f89e017f99879a6e762ef391d"),
    include_bytes!("../../fuzz/corpus/world/8293d1a69ba41b6f1403e7555f1a04d889df301e"),
    include_bytes!("../../fuzz/corpus/world/af25b3e5029dc689f05e618dbf2bb2cf667f489b"),
    include_bytes!("../../fuzz/corpus/world/c9ef34c1a0825f93c2dabaa1e8ff3baf4e3d810c"),
    include_bytes!("../../fuzz/corpus/world/f2bbef61da02a1e95d78cf474f91c40ebbe3c771"),
    include_bytes!("../../fuzz/corpus/world/f3e7ce3dc6bfd2b2f768662960c852b8e0118c58"),
    include_bytes!("../../fuzz/corpus/world/f4574fb77cd095cb2998409e5a5152d438b03cd8"),
];

/// Plays the world that the bytes describe, and requires that every property holds.
///
/// # Panics
/// When one does not, with the end of the story.
pub fn check(bytes: &[u8]) {
    let Some(broken) = play(bytes, &mut ()).broken else { return };
    let mut story = Story::last(STORY_LINES);
    play(bytes, &mut story);
    let lines: Vec<&str> = story.lines().collect();
    let (name, what) = (broken.violation.property.name, &broken.violation.what);
    panic!("{name} broke at step {}: {what}\n{}", broken.step, lines.join("\n"));
}

/// Plays the world that the bytes describe.
pub fn play(bytes: &[u8], observer: &mut dyn Observer<Machine>) -> Report {
    let (prefix, rest) = bytes.split_at(bytes.len().min(PREFIX));
    let choices = Choices::from_bytes(rest.to_vec());
    run_with::<Machine>(&options_of(prefix), Config::default(), Judges::All, choices, observer)
}

/// Returns the world of an input of the corpus, some of whose bytes the seed changes.
pub fn options(input: u16, seed: u64) -> Options {
    Options { seed, plan: Plan::Bytes(input), ..options_of(&CORPUS[usize::from(input)][..PREFIX]) }
}

/// Returns the bytes from which the choices of such a world are read: with seed zero those of the input, else with some
/// of them changed and perhaps with the end of another input, as a fuzzer does.
pub fn choices(input: u16, seed: u64) -> Vec<u8> {
    let mut bytes = CORPUS[usize::from(input)][PREFIX..].to_vec();
    if seed == 0 {
        return bytes;
    }
    let mut choices = Choices::from_seed(seed);
    let other = &choices.pick(&CORPUS)[PREFIX..];
    if choices.chance(250) {
        let cut = choices.below(bytes.len().min(other.len()) as u32) as usize;
        bytes.truncate(cut);
        bytes.extend(&other[cut..]);
    }
    for _ in 0..1 + choices.below(1 + bytes.len() as u32 / 32) {
        let place = choices.below(bytes.len() as u32) as usize;
        bytes[place] = choices.below(256) as u8;
    }
    bytes
}

/// Returns the size of the world. What a fuzzer finds is found in small worlds, and more of them fit into a second.
fn options_of(prefix: &[u8]) -> Options {
    let number = |place: usize, n: u8| u32::from(prefix.get(place).copied().unwrap_or(0) % n);
    Options {
        seed: 0,
        claims: 1 + number(0, 8),
        pool: number(1, 4),
        duration: Duration::from_secs(10 + 10 * u64::from(number(2, 4))),
        faults: Faults::ALL,
        plan: Plan::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bytes_are_a_calm_world() {
        let report = play(&[], &mut ());
        assert_eq!(report.broken, None);
        assert!(report.struck.iter().all(|count| *count == 0) && report.stats.claims == 1, "{report:?}");
    }

    #[test]
    fn a_seed_changes_some_bytes_of_an_input_and_zero_none() {
        for (number, input) in (0..).zip(CORPUS) {
            assert_eq!(choices(number, 0), input[PREFIX..]);
            assert_ne!(choices(number, 1), input[PREFIX..]);
            assert_eq!(choices(number, 1), choices(number, 1));
        }
    }

    #[test]
    fn bytes_decide_what_happens() {
        // Any fixed noise will do: these are the digits of an LCG.
        let noise: Vec<u8> = (0..4000_u32)
            .scan(1_u32, |state, _| {
                *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                Some((*state >> 24) as u8)
            })
            .collect();
        let (first, second) = (play(&noise, &mut ()), play(&noise, &mut ()));
        assert_eq!((first.hash, first.broken), (second.hash, None));
        assert!(first.struck.iter().filter(|count| **count > 0).count() > 5, "{:?}", first.struck);
    }
}
