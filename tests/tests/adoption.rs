//! Whatever users do, however late everybody learns of it and whoever dies in between: no sandbox is two claims', and
//! no claim has two.
//!
//! proptest makes up the order in which things happen in the simulator's world, and makes a story that goes wrong as
//! short as it can. The stories are the same in every run; `PROPTEST_RNG_SEED=7 PROPTEST_CASES=10000` asks for others.

use std::sync::Arc;
use std::time::Duration;

use agent_sandbox_core::config::Config;
use agent_sandbox_core::id::Kind;
use agent_sandbox_core::machine::Machine;
use agent_sandbox_core::mutant::Mutant;
use agent_sandbox_core::time::Mono;
use agent_sandbox_sim::checkers::{Checkers, Stage, Violation};
use agent_sandbox_sim::run::Observer;
use agent_sandbox_sim::scene::{self, Act, Deed, Scene};
use agent_sandbox_sim::step::{Fact, PodStep, Step};
use agent_sandbox_sim::story::Story;
use agent_sandbox_sim::world::World;
use proptest::prelude::*;
use proptest::test_runner::{self, FileFailurePersistence, RngSeed, TestError, TestRunner};

/// Members of the pool when a story begins.
const POOL: u32 = 2;

/// Claims that users make. A name can be used again.
const CLAIMS: u8 = 3;

/// Processes that there may be at a time.
const PLACES: u8 = 2;

/// Most lines of a made-up story. Source: enough for a claim's life to be interrupted twice.
const MOVES_MAX: usize = 40;

/// How many lines of what happened are shown of a story that goes wrong: a screen.
const SHOWN: usize = 40;

/// Lines of a whole failure that a person can look at in one go.
const SCREEN: usize = 70;

/// Most stories that it may take to find a mutant. Source: five times what the slowest of six seeds took.
const CASES_OF_MUTANT: u32 = 20_000;

/// How long everything is given to settle when the story is over. Source: the simulator's own bound.
const SETTLES_WITHIN: Duration = Duration::from_secs(300);

/// One line of a made-up story.
#[derive(Clone, Debug)]
enum Move {
    /// A user creates a claim.
    Claim(u8),
    /// A user deletes a claim.
    Release(u8),
    /// A user deletes one of the sandboxes.
    Destroy(u8),
    /// A user changes the size of the pool.
    Scale(u8),
    /// So often the n-th of the things that can happen next does happen; what is passed over comes late.
    Go { nth: u8, times: u8 },
    /// The n-th of the things that can go wrong does.
    Fail(u8),
    /// A process dies.
    Crash(u8),
    /// A process leads, whoever else does, and lists everything at once.
    Lead(u8),
}

#[test]
fn no_order_of_events_gives_a_sandbox_to_two_claims_or_two_to_one() {
    if let Err(failure) = search(None, test_runner::Config::default().cases) {
        panic!("{}", told(failure));
    }
}

#[test]
fn a_broken_core_is_found_and_its_story_fits_on_a_screen() {
    for mutant in [Mutant::AdoptWithoutLock, Mutant::AbandonOnConflict] {
        let Err(TestError::Fail(why, story)) = search(Some(mutant), CASES_OF_MUTANT) else {
            panic!("{} is not found", mutant.name());
        };
        let lines = story.len() + why.message().lines().count();
        assert!(lines <= SCREEN, "{}: {lines} lines: {story:#?}", mutant.name());
    }
}

/// Tells a failure: what is broken, the last things that happened, and the story that leads there.
fn told(failure: TestError<Vec<Move>>) -> String {
    match failure {
        TestError::Fail(why, moves) => {
            let moves: Vec<_> = moves.iter().map(|what| format!("    {what:?}")).collect();
            format!("{why}\nthe story:\n{}", moves.join("\n"))
        }
        TestError::Abort(why) => why.to_string(),
    }
}

/// Plays made-up stories until one goes wrong, and shortens that.
fn search(mutant: Option<Mutant>, cases: u32) -> Result<(), TestError<Vec<Move>>> {
    let config = test_runner::Config::with_source_file(file!());
    let config = test_runner::Config {
        cases,
        rng_seed: match config.rng_seed {
            RngSeed::Random => RngSeed::Fixed(1),
            chosen @ RngSeed::Fixed(_) => chosen,
        },
        // A mutant's failures are no regressions.
        failure_persistence: match mutant {
            None => Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
            Some(_) => None,
        },
        ..config
    };
    let setup = Config { mutant, ..Config::default() };
    TestRunner::new(config).run(&prop::collection::vec(any_move(), 1..MOVES_MAX), |moves| {
        play(&moves, &setup, &mut ()).map_err(|violation| {
            let mut story = Story::last(SHOWN);
            let _ = play(&moves, &setup, &mut story);
            let lines: Vec<_> = story.lines().collect();
            TestCaseError::fail(format!("{}\n{}", violation.what, lines.join("\n")))
        })
    })
}

fn any_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        4 => (0..CLAIMS).prop_map(Move::Claim),
        2 => (0..CLAIMS).prop_map(Move::Release),
        1 => any::<u8>().prop_map(Move::Destroy),
        1 => (0..4_u8).prop_map(Move::Scale),
        6 => (prop_oneof![Just(0), any::<u8>()], 1..12_u8).prop_map(|(nth, times)| Move::Go { nth, times }),
        3 => any::<u8>().prop_map(Move::Fail),
        1 => (0..PLACES).prop_map(Move::Crash),
        1 => (0..PLACES).prop_map(Move::Lead),
    ]
}

/// Plays a story from a full pool to the point where everything should be done.
fn play(moves: &[Move], setup: &Config, observer: &mut dyn Observer<Machine>) -> Result<(), Violation> {
    let mut play = Play::begin(moves, setup, observer);
    play.settle()?;
    for (line, what) in (2..).zip(moves) {
        play.make(what, Step::User(line))?;
    }
    play.end()
}

struct Play<'a> {
    world: World<Machine>,
    checkers: Checkers,
    observer: &'a mut dyn Observer<Machine>,
}

impl<'a> Play<'a> {
    fn begin(moves: &[Move], setup: &Config, observer: &'a mut dyn Observer<Machine>) -> Self {
        let given = [scene::finished_template(), scene::pool("pool", POOL)].map(Act::Create);
        let script = given.into_iter().chain(moves.iter().map(act)).map(Deed::new).collect();
        let scene = Scene { controller: setup.clone(), processes: PLACES, script, epoch: scene::epoch() };
        let mut play =
            Self { world: World::new(Arc::new(scene)), checkers: Checkers::of_effects(), observer };
        play.checkers.on_stage(Stage::Trouble);
        for line in 0..2 {
            play.step(Step::User(line)).expect("to create something breaks nothing");
        }
        play
    }

    fn make(&mut self, what: &Move, user: Step) -> Result<(), Violation> {
        match *what {
            Move::Claim(_) | Move::Release(_) | Move::Destroy(_) | Move::Scale(_) => self.step(user),
            Move::Go { nth, times } => (0..times).try_for_each(|_| self.pick(&self.next(), nth)),
            Move::Fail(nth) => self.pick(&self.faults(), nth),
            Move::Crash(process) => self.step(Step::Crash(process)),
            Move::Lead(process) => {
                let begin = [Step::Start(process), Step::Lead(process)];
                let lists = Kind::ALL.map(|kind| [Step::List(process, kind), Step::Relist(process, kind)]);
                begin.into_iter().chain(lists.into_iter().flatten()).try_for_each(|step| self.step(step))
            }
        }
    }

    fn pick(&mut self, steps: &[Step], nth: u8) -> Result<(), Violation> {
        steps.get(usize::from(nth) % steps.len().max(1)).map_or(Ok(()), |step| self.step(*step))
    }

    fn step(&mut self, step: Step) -> Result<(), Violation> {
        let mut facts = Vec::<Fact>::new();
        self.world.apply(step, &mut facts);
        self.observer.on_step(self.world.clock(), step, &facts, &self.world);
        self.checkers.on_clock(self.world.clock());
        facts.iter().try_for_each(|fact| self.checkers.on_fact(fact, self.world.server().store()))
    }

    /// Returns what happens next by itself, users left out.
    fn next(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        self.world.enabled(&mut steps);
        steps.retain(|step| !matches!(step, Step::User(_)));
        steps
    }

    /// Returns what may go wrong. A Pod that has failed stays so, and its claim could never be served.
    fn faults(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        self.world.faults(&mut steps);
        steps.retain(|step| !matches!(step, Step::Pod(_, PodStep::Fail | PodStep::Succeed)));
        steps
    }

    /// Lets everything happen that happens by itself, until nothing does for a while.
    fn settle(&mut self) -> Result<(), Violation> {
        let until = self.world.clock() + SETTLES_WITHIN;
        while let Some(step) = self.soonest(until) {
            self.step(step)?;
        }
        Ok(())
    }

    /// Returns what happens now, or else the timer that is due first.
    fn soonest(&self, until: Mono) -> Option<Step> {
        let next = self.next();
        let due = |step: &Step| {
            let now = self.world.clock();
            let Step::Timer(process) = step else { return now };
            self.world.timer_due(*process).unwrap_or_default().max(now)
        };
        next.into_iter().min_by_key(due).filter(|step| due(step) <= until)
    }

    /// One process leads, nothing goes wrong any more, and in the end everybody has what they asked for.
    fn end(mut self) -> Result<(), Violation> {
        self.checkers.on_stage(Stage::Healing);
        let leaders: Vec<u8> =
            (0..PLACES).filter(|process| self.world.process(*process).is_leading()).collect();
        leaders.into_iter().skip(1).try_for_each(|process| self.step(Step::Depose(process)))?;
        self.settle()?;
        self.checkers.at_rest(self.world.server().store())
    }
}

/// Returns what a user does; nothing where the line is about somebody else.
fn act(what: &Move) -> Act {
    let claim = |number: u8| format!("claim-{number}");
    match *what {
        Move::Claim(number) => Act::Create(scene::claim(claim(number), "pool")),
        Move::Release(number) => Act::Delete(Kind::Claim, scene::key(claim(number))),
        Move::Destroy(number) => Act::DeleteAny(Kind::Sandbox, number.into()),
        Move::Scale(replicas) => Act::Scale(scene::key("pool"), replicas.into()),
        Move::Go { .. } | Move::Fail(_) | Move::Crash(_) | Move::Lead(_) => {
            Act::DeleteAny(Kind::Template, u32::MAX)
        }
    }
}
