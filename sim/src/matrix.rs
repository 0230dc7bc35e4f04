//! The matrix of mutants: each known bug, and how it is found.
//!
//! A checker that has never caught anything proves nothing. So each planted defect is looked for as a real one would be,
//! by the harm that it does, and a seed counts only if the unbroken core passes it.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use agent_sandbox_core::config::Config;
use agent_sandbox_core::machine::Machine;
use agent_sandbox_core::mutant::Mutant;

use crate::choices::Choices;
use crate::engines::{Engine, Writes};
use crate::faults::{Faults, Options};
use crate::run::{Case, Judges};
use crate::shrink::{Shrunk, shrink};
use crate::tale::{Sentence, tell};
use crate::tape::Tape;

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
    /// What was played.
    pub case: Case<Machine>,
    /// The shortest way to break the same property that was found.
    pub shrunk: Option<Shrunk>,
}

impl Found {
    /// Returns the sentences of its story; empty if there was none to shrink.
    pub fn story(&self) -> Vec<Sentence> {
        let Some(shrunk) = &self.shrunk else { return Vec::new() };
        tell(&self.case, &shrunk.report.tape)
    }

    /// Returns how many choices of its shortened story are not harmless.
    pub fn choices(&self) -> usize {
        self.shrunk.as_ref().map_or(0, |shrunk| shrunk.report.tape.len())
    }
}

/// Looks for a defect from a seed on, for so long, with one engine or with all; makes its story shorter with so many steps of the world.
///
/// **Errors**: how many runs were made in vain.
pub fn find(
    mutant: Mutant,
    with: Option<Engine>,
    from: u64,
    budget: Duration,
    shrink_steps: u64,
) -> Result<Found, u64> {
    let mut search = Search {
        started: Instant::now(),
        config: Config { mutant: Some(mutant), ..Config::default() },
        budget,
        shrink_steps,
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
    shrink_steps: u64,
    runs: u64,
}

impl Search {
    /// Makes one run, and says whether the defect shows in it, and does not without it.
    fn try_run(&mut self, engine: Engine, options: &Options, writes: &mut Writes) -> Option<Found> {
        self.runs += 1;
        // What does no harm in half of the time is looked for by its form, too.
        let judges = if self.started.elapsed() < self.budget / 2 { Judges::Effects } else { Judges::All };
        let case = |setup| Case::<Machine> { options: *options, setup, judges };
        let (case, right) = (case(self.config.clone()), case(Config::default()));
        let violation = case.play(options.choices(), writes).broken?.violation;
        if right.play(options.choices(), &mut ()).broken.is_some() {
            return None;
        }
        let time = self.started.elapsed();
        let passes = |tape: &Tape| right.play(Choices::from_tape(tape.clone()), &mut ()).broken.is_none();
        let shrunk = if self.shrink_steps > 0 {
            shrink(&case, options.choices(), self.shrink_steps, &passes)
        } else {
            None
        };
        let (checker, what) = (violation.property.name, violation.what);
        Some(Found { checker, what, engine, options: *options, runs: self.runs, time, case, shrunk })
    }
}
