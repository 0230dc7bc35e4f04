//! A seed is a story that can be told again, word for word.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use agent_sandbox_core::config::Config;
use agent_sandbox_core::machine::Machine;
use agent_sandbox_sim::choices::Choices;
use agent_sandbox_sim::faults::Options;
use agent_sandbox_sim::run::{Judges, run, run_with};
use agent_sandbox_sim::trace::{Recorded, Recording, Traces};

/// How many seeds are told twice.
const SEEDS: u64 = 200;

#[test]
fn two_hundred_seeds_give_the_same_traces_twice_byte_for_byte() {
    for seed in 0..SEEDS {
        let (first, second) = (told(seed), told(seed));
        assert_eq!(first, second, "seed {seed}");
        assert!(first.bytes > 0, "seed {seed} has no trace");
    }
}

#[test]
fn a_tape_tells_the_story_of_its_seed() {
    for seed in 0..100 {
        let options = Options::of_campaign(seed);
        let choices = Choices::from_seed(seed).noted();
        let first = run_with::<Machine>(&options, Config::default(), Judges::Effects, choices, &mut ());
        let choices = Choices::from_tape(first.tape.clone());
        let second = run_with::<Machine>(&options, Config::default(), Judges::Effects, choices, &mut ());
        assert_eq!((first.hash, first.steps), (second.hash, second.steps), "seed {seed}");
    }
}

/// Whoever wants to look into a violation records it: that must be the same run, the limits that it draws included.
#[test]
fn a_run_that_is_recorded_is_the_run_that_is_not() {
    for seed in 0..50 {
        let options = Options::of_campaign(seed);
        let plain = run::<Machine>(&options, Config::default(), Judges::Effects, &mut ());
        let recorded = told(seed);
        assert_eq!((recorded.story, recorded.steps), (plain.hash, plain.steps), "seed {seed}");
    }
}

/// What is compared: the hash of every byte of every trace, their number, and the hash and number of the steps.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    hash: u64,
    bytes: u64,
    story: u64,
    steps: u64,
}

fn told(seed: u64) -> Told {
    let ink = Arc::new(Mutex::new(Ink { hash: 0xcbf2_9ce4_8422_2325, bytes: 0 }));
    let pen = ink.clone();
    let traces = Traces::new(move |_| Ok(Box::new(Pen(pen.clone()))));
    let recording = Recording { config: Config::default(), traces: traces.clone() };
    let report = run::<Recorded>(&Options::of_campaign(seed), recording, Judges::Effects, &mut ());
    traces.finish().expect("nothing fails in memory");
    let ink = ink.lock().expect("no other thread");
    Told { hash: ink.hash, bytes: ink.bytes, story: report.hash, steps: report.steps }
}

struct Ink {
    hash: u64,
    bytes: u64,
}

struct Pen(Arc<Mutex<Ink>>);

impl Write for Pen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut ink = self.0.lock().expect("no other thread");
        ink.bytes += bytes.len() as u64;
        ink.hash = bytes
            .iter()
            .fold(ink.hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
