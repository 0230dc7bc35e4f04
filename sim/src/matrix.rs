//! The matrix of mutants: each known bug, and how it is found.
//!
//! A checker that has never caught anything proves nothing. So each planted defect is looked for as a real one would be,
//! by the harm that it does, and a seed counts only if the unbroken core passes it.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use agent_sandbox_core::config::Config;
use agent_sandbox_core::machine::Machine;
use agent_sandbox_core::mutant::Mutant;

use crate::engines::{Engine, Writes};
use crate::faults::{Faults, Options};
use crate::run::{Judges, run};
use crate::shrink::shrink;

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
    /// How many runs were made, this one included.
    pub runs: u64,
    /// How long that took.
    pub time: Duration,
    /// How many steps its story has after shrinking.
    pub steps: u64,
}

/// Looks for a defect from a seed on, for so long, with one engine or with all; makes its story shorter with so many runs.
///
/// **Errors**: how many runs were made in vain.
pub fn find(
    mutant: Mutant,
    with: Option<Engine>,
    from: u64,
    budget: Duration,
    shrink_runs: usize,
) -> Result<Found, u64> {
    let mut search = Search {
        started: Instant::now(),
        config: Config { mutant: Some(mutant), ..Config::default() },
        budget,
        shrink_runs,
        runs: 0,
    };
    let mut found = None;
    for seed in from.. {
        let due =
            Engine::ALL.into_iter().filter(|engine| with.map_or(engine.has(seed), |only| only == *engine));
        for engine in due {
            let over = engine.try_seed(seed, Faults::ALL, &mut |options, writes| {
                found = search.try_run(engine, options, writes);
                let goes_on = found.is_none() && search.started.elapsed() < search.budget;
                if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            if over.is_break() {
                return found.ok_or(search.runs);
            }
        }
    }
    Err(search.runs)
}

/// A search for one defect.
struct Search {
    started: Instant,
    config: Config,
    budget: Duration,
    shrink_runs: usize,
    runs: u64,
}

impl Search {
    /// Makes one run, and says whether the defect shows in it, and does not without it.
    fn try_run(&mut self, engine: Engine, options: &Options, writes: &mut Writes) -> Option<Found> {
        self.runs += 1;
        // What does no harm in half of the time is looked for by its form, too.
        let judges = if self.started.elapsed() < self.budget / 2 { Judges::Effects } else { Judges::All };
        let report =
            catch_unwind(AssertUnwindSafe(|| run::<Machine>(options, self.config.clone(), judges, writes)));
        let (checker, what) = match &report {
            Ok(report) => {
                let broken = report.broken.as_ref()?;
                (broken.violation.property.name, broken.violation.what.clone())
            }
            Err(_) => ("assertion", "the core met a state that it holds impossible".to_owned()),
        };
        if run::<Machine>(options, Config::default(), judges, &mut ()).broken.is_some() {
            return None;
        }
        let time = self.started.elapsed();
        let steps = report.map_or(0, |report| {
            // A defect that never comes to rest makes long runs, and few of them must do.
            let runs = self.shrink_runs.min((STEPS_MAX / report.steps.max(1)) as usize);
            let short = || shrink::<Machine>(options, &self.config, judges, report.clone(), runs);
            catch_unwind(AssertUnwindSafe(short)).map_or(report.steps, |short| short.steps)
        });
        Some(Found { checker, what, engine, options: *options, runs: self.runs, time, steps })
    }
}
