//! The way in for a fuzzer: bytes decide everything that a seed decides elsewhere.
//!
//! Each choice reads as few bytes as it needs, and a byte of zero is the harmless answer, so a change of one byte is
//! a change of one choice. When the bytes run out the rest is harmless: every input is a whole run.

use std::time::Duration;

use agent_sandbox_core::config::Config;
use agent_sandbox_core::machine::Machine;

use crate::choices::Choices;
use crate::faults::{Faults, Options};
use crate::run::{Judges, Observer, Report, run_with};
use crate::story::Story;

/// The bytes that say how large the world is; choices are read from those that follow.
const PREFIX: usize = 3;

/// How many lines of the story come with a violation.
const STORY_LINES: usize = 40;

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
    run_with::<Machine>(&options(prefix), Config::default(), Judges::All, choices, observer)
}

/// Returns the size of the world. What a fuzzer finds is found in small worlds, and more of them fit into a second.
fn options(prefix: &[u8]) -> Options {
    let number = |place: usize, n: u8| u32::from(prefix.get(place).copied().unwrap_or(0) % n);
    Options {
        seed: 0,
        claims: 1 + number(0, 8),
        pool: number(1, 4),
        duration: Duration::from_secs(10 + 10 * u64::from(number(2, 4))),
        faults: Faults::ALL,
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
