//! The matrix of mutants: each known bug, and how it is found.
//!
//! A checker that has never caught anything proves nothing. So each planted defect is looked for as a real one would be,
//! by the harm that it does, and a seed counts only if the unbroken core passes it.

use std::ops::ControlFlow;
use std::time::Duration;

use agent_sandbox_core::config::Config;
use agent_sandbox_core::machine::Machine;
use agent_sandbox_core::mutant::Mutant;
use cpu_time::ThreadTime;

use crate::engines::{Engine, Writes};
use crate::faults::{Faults, Options};
use crate::run::{Case, Judges};
use crate::saved::Saved;
use crate::shrink::{Shrunk, shrink};
use crate::tale::{Sentence, tell};

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
    /// How long that took. **Unit**: time of the processor, so that others on the machine do not count.
    pub time: Duration,
    /// How long it took to make the story shorter, likewise.
    pub shrink_time: Duration,
    /// What was played.
    pub case: Case<Machine>,
    /// The shortest way to break the same property that was found.
    pub shrunk: Option<Shrunk>,
    /// A later find, if its story is shorter.
    pub shorter: Option<Box<Self>>,
}

impl Found {
    /// Returns the find whose story is the shortest.
    pub fn told(&self) -> &Self {
        self.shorter.as_ref().map_or(self, |shorter| shorter)
    }

    /// Returns the sentences of its story; empty if there was none to shrink.
    pub fn story(&self) -> Vec<Sentence> {
        let Some(saved) = self.saved() else { return Vec::new() };
        tell(&saved.case(), &saved.tape)
    }

    /// Returns what its story is played from, if there was one to shrink.
    pub fn saved(&self) -> Option<Saved> {
        let shrunk = self.shrunk.as_ref()?;
        let (options, tape, mutant) = (shrunk.options, shrunk.report.tape.clone(), self.case.setup.mutant);
        Some(Saved { options, judges_all: matches!(self.case.judges, Judges::All), mutant, tape })
    }

    /// Returns how many choices of its shortened story are not harmless.
    pub fn choices(&self) -> usize {
        self.shrunk.as_ref().map_or(0, |shrunk| shrunk.report.tape.len())
    }
}

/// How many sentences a story may have, so that no shorter one is looked for.
///
/// Source: the goal for the median of all defects.
const SENTENCES_MAX: usize = 12;

/// How many finds are shrunk for a shorter story, and how long the others are looked for.
///
/// Source: guesses, not measured.
const FINDS_MAX: usize = 4;
const LOOKS_ON_FOR: Duration = Duration::from_secs(10);

/// Looks for a defect from a seed on, for so much time of the processor, with one engine or with all; makes its story shorter with so many steps of the world.
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
        started: ThreadTime::now(),
        config: Config { mutant: Some(mutant), ..Config::default() },
        budget,
        shrink_steps,
        runs: 0,
    };
    let mut finds = Finds { first: None, shortest: usize::MAX, count: 0 };
    for seed in from.. {
        let due =
            Engine::ALL.into_iter().filter(|engine| with.map_or(engine.has(seed), |only| only == *engine));
        for engine in due {
            let over = engine.try_seed(seed, Faults::ALL, &mut |options, writes| {
                if let Some(found) = search.try_run(engine, options, writes) {
                    finds.add(found);
                }
                let ends = match &finds.first {
                    Some(first) => finds.will_do() || search.started.elapsed() > first.time + LOOKS_ON_FOR,
                    None => search.started.elapsed() > search.budget,
                };
                if ends { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            if over.is_break() {
                return finds.first.ok_or(search.runs);
            }
        }
    }
    Err(search.runs)
}

/// The first find, with the one that has the shortest story.
struct Finds {
    first: Option<Found>,
    shortest: usize,
    count: usize,
}

impl Finds {
    fn add(&mut self, found: Found) {
        self.count += 1;
        let length = found.story().len();
        // What could not be told is no story.
        let length = if length == 0 { usize::MAX } else { length };
        let is_shorter = length < self.shortest;
        self.shortest = self.shortest.min(length);
        match &mut self.first {
            None => self.first = Some(found),
            Some(first) if is_shorter => first.shorter = Some(Box::new(found)),
            Some(_) => {}
        }
    }

    /// Returns whether there is a short story, or no hope for one.
    fn will_do(&self) -> bool {
        let is_shrunk = self.first.as_ref().is_some_and(|first| first.shrunk.is_some());
        !is_shrunk || self.shortest <= SENTENCES_MAX || self.count >= FINDS_MAX
    }
}

/// A search for one defect.
struct Search {
    started: ThreadTime,
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
        let shrunk = if self.shrink_steps > 0 {
            shrink(&case, options.choices(), self.shrink_steps, Some(right.setup))
        } else {
            None
        };
        let shrink_time = self.started.elapsed() - time;
        let (checker, what) = (violation.property.name, violation.what);
        Some(Found {
            checker,
            what,
            engine,
            options: *options,
            runs: self.runs,
            time,
            shrink_time,
            case,
            shrunk,
            shorter: None,
        })
    }
}
