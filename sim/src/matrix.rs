//! The matrix of mutants: each known bug, and how it is found.
//!
//! A checker that has never caught anything proves nothing. So each planted defect is looked for as a real one would be,
//! by the harm that it does, and a seed counts only if the unbroken core passes it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use agent_sandbox_core::config::Config;
use agent_sandbox_core::machine::Machine;
use agent_sandbox_core::mutant::Mutant;

use crate::faults::{Faults, Options};
use crate::run::{Judges, run};
use crate::shrink::shrink;

/// One way to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Seeds in which nothing goes wrong: what costs too much, or never works at all, shows here.
    Calm,
    /// Seeds with a random part of all kinds of trouble.
    Swarm,
}

impl Engine {
    /// Returns the name used in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Calm => "calm",
            Self::Swarm => "swarm",
        }
    }

    /// Returns the run that belongs to a seed.
    pub fn options(self, seed: u64) -> Options {
        let faults = match self {
            Self::Calm => Faults::NONE,
            Self::Swarm => Faults::ALL,
        };
        Options { faults, ..Options::of_campaign(seed) }
    }
}

/// Every fourth seed is calm: most defects need trouble, and those that do not show at once.
const CALM_EVERY: u64 = 4;

/// How many steps, about, go into making one story shorter.
const STEPS_MAX: u64 = 500_000;

/// How a defect was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The property that it broke; the core's own assertions have none.
    pub checker: &'static str,
    /// What happened.
    pub what: String,
    /// Who found it.
    pub engine: Engine,
    /// With which run.
    pub options: Options,
    /// How many seeds were tried, this one included.
    pub seeds: u64,
    /// How long that took.
    pub time: Duration,
    /// How many steps its story has after shrinking.
    pub steps: u64,
}

/// Looks for a defect from a seed on, for so long; makes its story shorter with so many runs.
///
/// **Errors**: how many seeds were tried in vain.
pub fn find(mutant: Mutant, from: u64, budget: Duration, shrink_runs: usize) -> Result<Found, u64> {
    let started = Instant::now();
    let broken = Config { mutant: Some(mutant), ..Config::default() };
    let mut seeds = 0;
    while started.elapsed() < budget {
        let seed = from + seeds;
        seeds += 1;
        let engine = if seeds % CALM_EVERY == 0 { Engine::Calm } else { Engine::Swarm };
        let options = engine.options(seed);
        // What does no harm in half of the time is looked for by its form, too.
        let judges = if started.elapsed() < budget / 2 { Judges::Effects } else { Judges::All };
        let play = |config: &Config| run::<Machine>(&options, config.clone(), judges, &mut ());
        let report = catch_unwind(AssertUnwindSafe(|| play(&broken)));
        let (checker, what) = match &report {
            Ok(report) => match &report.broken {
                Some(broken) => (broken.violation.property.name, broken.violation.what.clone()),
                None => continue,
            },
            Err(_) => ("assertion", "the core met a state that it holds impossible".to_owned()),
        };
        if play(&Config::default()).broken.is_some() {
            continue;
        }
        let time = started.elapsed();
        let steps = report.map_or(0, |report| {
            // A defect that never comes to rest makes long runs, and few of them must do.
            let shrink_runs = shrink_runs.min((STEPS_MAX / report.steps.max(1)) as usize);
            let short = || shrink::<Machine>(&options, &broken, judges, report.clone(), shrink_runs);
            catch_unwind(AssertUnwindSafe(short)).map_or(report.steps, |short| short.steps)
        });
        return Ok(Found { checker, what, engine, options, seeds, time, steps });
    }
    Err(seeds)
}
