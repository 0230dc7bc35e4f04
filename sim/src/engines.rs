//! Ways to look for a bug: each turns seeds into runs.
//!
//! A run is its [`Options`], whoever chose it, so whatever an engine finds is played again without it.

use std::ops::ControlFlow;

use agent_sandbox_core::action::{Intent, Operation};
use agent_sandbox_core::time::Mono;

use crate::controller::Controller;
use crate::faults::{Fault, Faults, Options};
use crate::fuzz;
use crate::plan::{Blow, Plan, Trick};
use crate::run::Observer;
use crate::step::{Fact, Step};
use crate::world::World;

/// One way to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Engine {
    /// A run with a random part of all kinds of trouble.
    Swarm,
    /// A run with a random part of the kinds that make processes disagree, and no others: more claims are served meanwhile.
    Races,
    /// A run in which nothing goes wrong: what costs too much, or never works at all, shows here.
    Calm,
    /// A small run without faults; then for each of its writes every [`Trick`], one run each.
    SingleFault,
    /// The same with two tricks: one on each of the hottest writes, the other on one of those that follow.
    Pairs,
    /// A run in which deliveries go by priorities that change a few times.
    Pct,
    /// A run whose choices are an input of the fuzzer's corpus, with some bytes changed.
    Bytes,
}

impl Engine {
    /// Every engine.
    pub const ALL: [Self; 7] =
        [Self::Swarm, Self::Races, Self::Calm, Self::SingleFault, Self::Pairs, Self::Pct, Self::Bytes];

    /// Returns the name used on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Swarm => "swarm",
            Self::Races => "races",
            Self::Calm => "calm",
            Self::SingleFault => "single-fault",
            Self::Pairs => "pairs",
            Self::Pct => "pct",
            Self::Bytes => "bytes",
        }
    }

    /// Returns the engine with a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|engine| engine.name() == name)
    }

    /// Returns whether this engine tries a seed where all of them look together.
    ///
    /// Each has some of the seeds, so that the time is divided among them in a way that no clock decides: the more runs a
    /// seed is, the fewer seeds it has.
    pub const fn has(self, seed: u64) -> bool {
        let (every, first) = match self {
            Self::Swarm => (1, 0),
            Self::Races => (4, 0),
            Self::Calm => (4, 3),
            Self::Pct => (4, 1),
            Self::Bytes => (8, 2),
            Self::SingleFault => (256, 38),
            Self::Pairs => (1024, 526),
        };
        seed % every == first
    }

    /// Makes every run that belongs to a seed, with these kinds of trouble at most, until `play` breaks off.
    ///
    /// `play` makes a run and shows it to the observer that it is given.
    pub fn try_seed(self, seed: u64, faults: Faults, play: &mut Play<'_>) -> ControlFlow<()> {
        let mut writes = Writes::none();
        match self {
            Self::Swarm => play(&Options { faults, ..Options::of_campaign(seed) }, &mut writes),
            Self::Races => Self::Swarm.try_seed(seed, faults.and(Faults::RACES), play),
            Self::Calm => play(&Options { faults: Faults::NONE, ..Options::of_campaign(seed) }, &mut writes),
            Self::Pct => {
                let plan = Plan::Priorities(1 + (seed / 4 % 3) as u8);
                let leaders = Faults::of(&[Fault::Crash, Fault::TwoLeaders, Fault::Failover]);
                let faults = faults.and(PEOPLE.or(leaders));
                play(&Options { faults, plan, ..Options::of_campaign(seed) }, &mut writes)
            }
            Self::Bytes => {
                let (input, change) =
                    ((seed / 8) as usize % fuzz::CORPUS.len(), seed / 8 / fuzz::CORPUS.len() as u64);
                let options = fuzz::options(input as u16, change);
                play(&Options { faults: options.faults.and(faults), ..options }, &mut writes)
            }
            Self::SingleFault => {
                let options = reference(seed, faults);
                let mut writes = Writes::until(Mono::default() + options.duration);
                play(&options, &mut writes)?;
                blows(writes.list.iter().map(|(request, _)| *request)).try_for_each(|blow| {
                    play(&Options { plan: Plan::Blows(blow, None), ..options }, &mut Writes::none())
                })
            }
            Self::Pairs => try_pairs(&reference(seed, faults), play),
        }
    }
}

/// Makes a run, shows it to an observer, and says whether there is to be another.
pub type Play<'a> = dyn FnMut(&Options, &mut Writes) -> ControlFlow<()> + 'a;

/// What users and the cluster do by themselves.
const PEOPLE: Faults = Faults::of(&[
    Fault::ClaimDeleted,
    Fault::ClaimRecreated,
    Fault::ClaimMoved,
    Fault::PoolScaled,
    Fault::PoolRecreated,
    Fault::PoolEdited,
    Fault::TemplateEdited,
    Fault::TemplateRecreated,
    Fault::PodDeleted,
    Fault::SandboxDeleted,
    Fault::SandboxTerminated,
    Fault::SandboxSuspended,
    Fault::SandboxExpired,
    Fault::SessionEnded,
    Fault::Inherited,
]);

/// How many of the hottest writes of a run are struck first in a pair.
const HOTTEST: usize = 20;

/// How many of the writes after the first blow are struck by the second.
const FOLLOWING: usize = 3;

/// Returns the small world in which single writes are struck: every other one has users who change their minds.
fn reference(seed: u64, faults: Faults) -> Options {
    let options = Options::of_campaign(seed);
    let calm = seed.count_ones() & 1 == 0;
    Options {
        claims: 1 + options.claims % 4,
        pool: options.pool.min(2),
        duration: options.duration.min(std::time::Duration::from_secs(20)),
        faults: if calm { Faults::NONE } else { faults.and(PEOPLE) },
        ..options
    }
}

fn try_pairs(options: &Options, play: &mut Play<'_>) -> ControlFlow<()> {
    let until = Mono::default() + options.duration;
    let mut writes = Writes::until(until);
    play(options, &mut writes)?;
    for first in blows(writes.hottest()) {
        let mut then = Writes::until(until);
        play(&Options { plan: Plan::Blows(first, None), ..*options }, &mut then)?;
        let after = then.list.iter().map(|(request, _)| *request).filter(|request| *request > first.request);
        for second in blows(after.take(FOLLOWING)) {
            play(&Options { plan: Plan::Blows(first, Some(second)), ..*options }, &mut Writes::none())?;
        }
    }
    ControlFlow::Continue(())
}

/// Returns every trick for every request.
fn blows(requests: impl Iterator<Item = u32>) -> impl Iterator<Item = Blow> {
    requests.flat_map(|request| Trick::ALL.map(|trick| Blow { trick, request }))
}

/// Notes which writes a run sends, while there is trouble.
#[derive(Debug)]
pub struct Writes {
    until: Mono,
    /// The number of the request, and how much hangs on it.
    list: Vec<(u32, u8)>,
}

impl Writes {
    fn none() -> Self {
        Self::until(Mono::default())
    }

    const fn until(until: Mono) -> Self {
        Self { until, list: Vec::new() }
    }

    /// Returns the requests on which most hangs, oldest first.
    fn hottest(&self) -> impl Iterator<Item = u32> + use<> {
        let mut list = self.list.clone();
        list.sort_by_key(|(request, heat)| (std::cmp::Reverse(*heat), *request));
        list.truncate(HOTTEST);
        list.sort_unstable();
        list.into_iter().map(|(request, _)| request)
    }
}

impl<C: Controller> Observer<C> for Writes {
    fn on_step(&mut self, at: Mono, _step: Step, facts: &[Fact], _world: &World<C>) {
        if at >= self.until {
            return;
        }
        for fact in facts {
            if let Fact::Sent(sent) = fact
                && !matches!(&*sent.action.operation, Operation::Get { .. } | Operation::Notify(_))
            {
                self.list.push((sent.request.0, heat(sent.action.intent)));
            }
        }
    }
}

/// The intents whose writes decide who has which sandbox.
const HOT: [Intent; 5] = [
    Intent::RecordAssignment,
    Intent::RecordColdStart,
    Intent::ClearAssignment,
    Intent::AdoptSandbox,
    Intent::CreateClaimSandbox,
];

/// The intents whose writes decide what there is.
const WARM: [Intent; 9] = [
    Intent::CreateMember,
    Intent::DeleteMember,
    Intent::MarkExpired,
    Intent::DeleteClaim,
    Intent::DeleteClaimSandbox,
    Intent::DeleteSandbox,
    Intent::CreatePod,
    Intent::AdoptPod,
    Intent::DeletePod,
];

/// Returns how much hangs on a write.
fn heat(intent: Intent) -> u8 {
    if HOT.contains(&intent) { 2 } else { u8::from(WARM.contains(&intent)) }
}

#[cfg(test)]
mod tests {
    use agent_sandbox_core::config::Config;
    use agent_sandbox_core::machine::Machine;

    use super::*;
    use crate::run::{Judges, run};

    /// Makes the runs of a seed, and returns what they were and how often each kind of trouble struck.
    fn runs(engine: Engine, seed: u64) -> (Vec<Options>, Vec<u64>) {
        let (mut list, mut struck) = (Vec::new(), vec![0; Fault::ALL.len()]);
        let _ = engine.try_seed(seed, Faults::ALL, &mut |options, writes| {
            let report = run::<Machine>(options, Config::default(), Judges::All, writes);
            assert_eq!(report.broken, None, "{options:?}");
            struck.iter_mut().zip(&report.struck).for_each(|(sum, count)| *sum += count);
            list.push(*options);
            ControlFlow::Continue(())
        });
        (list, struck)
    }

    #[test]
    fn every_engine_has_a_name_and_seeds_of_its_own() {
        for engine in Engine::ALL {
            assert_eq!(Engine::named(engine.name()), Some(engine));
            assert!((0..2048).any(|seed| engine.has(seed)));
        }
        let others = |seed: &u64| Engine::ALL[1..].iter().filter(|engine| engine.has(*seed)).count();
        assert_eq!((0..2048).map(|seed| others(&seed)).max(), Some(1));
    }

    #[test]
    fn each_write_of_a_reference_run_is_struck_in_every_way() {
        let (list, struck) = runs(Engine::SingleFault, 38);
        assert_eq!(list[0].plan, Plan::None);
        assert_eq!((list.len() - 1) % Trick::ALL.len(), 0);
        assert!(list.len() > 40, "{}", list.len());
        for fault in [Fault::Crash, Fault::LostAnswer, Fault::Refused, Fault::Touched, Fault::LateCommit] {
            assert!(struck[fault.index()] > 0, "{}", fault.name());
        }
    }

    #[test]
    fn pairs_strike_twice() {
        let (list, _) = runs(Engine::Pairs, 526);
        let twice = list.iter().filter(|options| matches!(options.plan, Plan::Blows(_, Some(_))));
        assert!(twice.count() > 100, "{}", list.len());
    }

    #[test]
    fn priorities_make_other_runs() {
        let options = Options::of_campaign(1);
        let hash =
            |plan| run::<Machine>(&Options { plan, ..options }, Config::default(), Judges::All, &mut ()).hash;
        assert_ne!(hash(Plan::None), hash(Plan::Priorities(1)));
        assert_eq!(hash(Plan::Priorities(2)), hash(Plan::Priorities(2)));
    }
}
