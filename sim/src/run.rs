//! One run from a seed to a verdict: trouble, healing, rest.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use agent_sandbox_core::action::Intent;
use agent_sandbox_core::id::Kind;
use agent_sandbox_core::time::Mono;

use crate::checkers::{Checker, Checkers, Class, Property, Stage, Violation};
use crate::choices::Choices;
use crate::controller::{Controller, Pace, Promises};
use crate::faults::Options;
use crate::process;
use crate::stats::Stats;
use crate::step::{Fact, Step};
use crate::tape::Tape;
use crate::timed::Timed;
use crate::watch_law::{self, WatchLaw};
use crate::world::World;

/// How long after the trouble everything must be done, unless pools are refilled slowly.
///
/// Source: a late write may take effect 15 s after it was sent, a slow Pod takes up to 40 s to start, and the longest back-off
/// is two minutes, that of a create which the server held for invalid three times in two minutes of trouble; each may come
/// after the other.
const SETTLES_WITHIN: Duration = Duration::from_secs(300);

/// How long it must be quiet then.
///
/// Source: twenty of the longest back-offs.
const QUIET_FOR: Duration = Duration::from_secs(600);

/// Most steps at one moment, but for lines of watches. More means that the controller spins.
const STEPS_AT_ONCE_MAX: u32 = 200_000;

/// How long nothing happens at least where it is judged what is left undone.
///
/// Source: requests, answers and lines of watches take some ten milliseconds each.
const LULL: Duration = Duration::from_millis(250);

/// How often it is asked, at most, whether a controller has forgotten something. **Unit**: steps.
///
/// Source: a full pass costs as much as some ten steps in a small world, and grows with the number of
/// objects.
const FORGOTTEN_EVERY: u64 = 64;

/// The property that [`Controller::forgotten`] answers for.
const FORGETS_NOTHING: Property = Property {
    name: "forgets-nothing",
    about: "a second look at everything asks for nothing more",
    class: Class::Safety,
};

/// The property that [`Controller::drift`] answers for.
const KEEPS_NOTHING: Property = Property {
    name: "keeps-nothing",
    about: "when everything is done a process remembers what one does that has just started",
    class: Class::Liveness,
};

/// The property that the core's own assertions stand for.
const ASSERTION: Property = Property {
    name: "assertion",
    about: "nothing is met that the core or the simulator holds impossible",
    class: Class::Safety,
};

/// Returns what a panic says: that an assertion of the core does not hold.
pub(crate) fn asserted(panic: &(dyn Any + Send)) -> Violation {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let what = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned();
    Violation { property: ASSERTION, what }
}

/// Sees every step of a run, with what it brought about.
pub trait Observer<C: Controller> {
    /// Takes in one step. `world` is as it is after the step.
    fn on_step(&mut self, at: Mono, step: Step, facts: &[Fact], world: &World<C>);
}

/// Looks at nothing.
impl<C: Controller> Observer<C> for () {
    fn on_step(&mut self, _at: Mono, _step: Step, _facts: &[Fact], _world: &World<C>) {}
}

/// What came out of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was broken, and when; `None` when nothing was.
    pub broken: Option<Broken>,
    /// Figures.
    pub stats: Stats,
    /// How often each kind of trouble struck, in the order of [`Fault::ALL`](crate::faults::Fault::ALL).
    pub struck: Vec<u64>,
    /// How many steps there were.
    pub steps: u64,
    /// How much virtual time has passed.
    pub elapsed: Duration,
    /// Each property with the number of occasions on which it was at stake.
    pub checked: Vec<(Property, u64)>,
    /// Branches taken, one bit each.
    pub marks: u64,
    /// A number that stands for every step: two runs with the same number took the same steps.
    pub hash: u64,
    /// Every choice that was not harmless, if the choices were noted ([`Choices::noted`]).
    pub tape: Tape,
}

/// A violation with its place in the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// What was broken.
    pub violation: Violation,
    /// The number of the step that broke it, the first being 1.
    pub step: u64,
    /// The virtual time.
    pub at: Mono,
}

/// Which checkers judge a run.
#[derive(Clone, Copy, Debug)]
pub enum Judges {
    /// All of them.
    All,
    /// Those of effects only: a mutant must be found by the harm that it does.
    Effects,
    /// Those with these names.
    Named(&'static [&'static str]),
    /// Those that this makes, for each run anew.
    Own(fn() -> Vec<Box<dyn Checker>>),
}

impl Judges {
    /// Returns whether a property is judged for which a controller answers itself; `is_effect` says whether it does harm.
    fn has(self, property: &Property, is_effect: bool) -> bool {
        match self {
            Self::All => true,
            Self::Effects => is_effect,
            Self::Own(_) => false,
            Self::Named(names) => names.contains(&property.name),
        }
    }

    fn checkers(self, Occasion { seed, is_calm }: Occasion, promises: Promises, pace: Pace) -> Checkers {
        let of_setup = |checkers: Checkers| checkers.and_of_setup(promises, pace);
        let ours = |checkers: Checkers| {
            let of_making = checkers.and_of_orders(promises).and_of_sandboxes(promises);
            of_setup(of_making.and_of_wire(Some(seed)).and_of_time(promises, pace))
        };
        match self {
            Self::Effects if is_calm => ours(Checkers::of_calm_effects()),
            Self::Effects => ours(Checkers::of_effects()),
            Self::Named(names) => ours(Checkers::of_calm()).only(names),
            Self::Own(make) => of_setup(Checkers::new(make())),
            Self::All if is_calm => ours(Checkers::of_calm()),
            Self::All => ours(Checkers::all()),
        }
    }
}

/// What of a run says who judges it.
#[derive(Clone, Copy, Debug)]
struct Occasion {
    /// Where its choices came from.
    seed: u64,
    /// Whether nothing goes wrong in it.
    is_calm: bool,
}

impl Occasion {
    fn of(options: &Options) -> Self {
        Self { seed: options.seed, is_calm: options.is_calm() }
    }
}

/// Everything about a run but its choices.
#[derive(Debug)]
pub struct Case<C: Controller> {
    /// How large the world is.
    pub options: Options,
    /// How each controller process is set up.
    pub setup: C::Setup,
    /// Who judges.
    pub judges: Judges,
}

impl<C: Controller> Case<C> {
    /// Runs the choices to the end, or to the first violation.
    pub fn play(&self, choices: Choices, observer: &mut dyn Observer<C>) -> Report {
        run_with(&self.options, self.setup.clone(), self.judges, choices, observer)
    }

    /// Runs the choices to the first violation, or for as long as the limits say: then nothing was broken so far.
    pub(crate) fn play_within(&self, limits: Limits, choices: Choices) -> Report {
        let timed = Timed::<C>::new(&self.options, self.setup.clone(), choices);
        let limits = limits.and(slack_of(&self.options, &timed));
        play(timed, Occasion::of(&self.options), self.judges, limits, &mut ())
    }
}

/// How long a run may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How many steps it has at most.
    pub steps: u64,
    /// How long after the trouble everything must be done, unless pools are refilled slowly.
    pub settles_within: Duration,
    /// How long it must be quiet then.
    pub quiet_for: Duration,
}

impl Limits {
    /// Those of every run that is judged.
    pub(crate) const WHOLE: Self =
        Self { steps: u64::MAX, settles_within: SETTLES_WITHIN, quiet_for: QUIET_FOR };

    /// Returns the same with more time to settle.
    fn and(self, slack: Duration) -> Self {
        Self { settles_within: self.settles_within + slack, ..self }
    }
}

impl<C: Controller> Clone for Case<C> {
    fn clone(&self) -> Self {
        let Self { options, setup, judges } = self;
        Self { options: *options, setup: setup.clone(), judges: *judges }
    }
}

/// Runs a seed to its end, or to the first violation.
pub fn run<C: Controller>(
    options: &Options,
    controller: C::Setup,
    judges: Judges,
    observer: &mut dyn Observer<C>,
) -> Report {
    run_with(options, controller, judges, options.choices(), observer)
}

/// Runs the choices of a tape, of bytes or of a seed to the end, or to the first violation.
pub fn run_with<C: Controller>(
    options: &Options,
    controller: C::Setup,
    judges: Judges,
    choices: Choices,
    observer: &mut dyn Observer<C>,
) -> Report {
    let timed = Timed::<C>::new(options, controller, choices);
    let limits = Limits::WHOLE.and(slack_of(options, &timed));
    play(timed, Occasion::of(options), judges, limits, observer)
}

/// Returns how much longer than usual it may take until everything is done.
fn slack_of<C: Controller>(options: &Options, timed: &Timed<C>) -> Duration {
    // A pool is scaled up to twice its size.
    C::pace(&timed.world().scene().controller).slack(2 * options.pool)
}

/// Runs what a scenario has set up to its end, or to the first violation. Everything must be done `slack` later than
/// usual after the end, at the latest.
pub fn run_scene<C: Controller>(
    timed: Timed<C>,
    is_calm: bool,
    slack: Duration,
    judges: Judges,
    observer: &mut dyn Observer<C>,
) -> Report {
    play(timed, Occasion { seed: 0, is_calm }, judges, Limits::WHOLE.and(slack), observer)
}

fn play<C: Controller>(
    timed: Timed<C>,
    occasion: Occasion,
    judges: Judges,
    limits: Limits,
    observer: &mut dyn Observer<C>,
) -> Report {
    let setup = &timed.world().scene().controller;
    let checkers = judges.checkers(occasion, C::promises(setup), C::pace(setup));
    let mut run = Run {
        timed,
        checkers,
        watches: WatchLaw::default(),
        limits,
        stats: Stats::default(),
        judges,
        steps: 0,
        steps_at_once: 0,
        remembered: 0,
        kept: 0,
        look_again_at: FORGOTTEN_EVERY,
        last: Mono::default(),
        hash: 0xcbf2_9ce4_8422_2325,
        observer,
    };
    let broken = run.play().err().flatten();
    let world = run.timed.world();
    let alive = |place: &process::Process<C>| place.controller.as_ref().map_or(0, Controller::marks);
    Report {
        broken,
        struck: run.timed.struck().to_vec(),
        steps: run.steps,
        elapsed: world.clock().since(Mono::default()),
        checked: run
            .checkers
            .counts()
            .chain([
                (FORGETS_NOTHING, run.remembered),
                (KEEPS_NOTHING, run.kept),
                (watch_law::PROPERTY, run.watches.judged()),
            ])
            .collect(),
        marks: world.processes().fold(0, |marks, place| marks | place.marks | alive(place)),
        hash: run.hash,
        tape: run.timed.choices().tape(),
        stats: run.stats,
    }
}

struct Run<'a, C: Controller> {
    timed: Timed<C>,
    checkers: Checkers,
    watches: WatchLaw,
    limits: Limits,
    stats: Stats,
    judges: Judges,
    steps: u64,
    steps_at_once: u32,
    remembered: u64,
    kept: u64,
    look_again_at: u64,
    last: Mono,
    hash: u64,
    observer: &'a mut dyn Observer<C>,
}

impl<C: Controller> Run<'_, C> {
    /// Runs to the end. The error is what was broken, or nothing if the steps were used up.
    fn play(&mut self) -> Result<(), Option<Broken>> {
        self.checkers.on_stage(Stage::Trouble);
        self.play_until(self.timed.heals_at())?;
        self.timed.heal();
        self.checkers.on_stage(Stage::Healing);
        let settled = self.timed.heals_at() + self.limits.settles_within;
        self.play_until(settled)?;
        self.judge_rest()?;
        self.checkers.on_stage(Stage::Rest);
        self.play_until(settled + self.limits.quiet_for)?;
        self.judge_rest()?;
        Ok(self.judge_drift()?)
    }

    fn play_until(&mut self, until: Mono) -> Result<(), Option<Broken>> {
        while let Some((at, step)) = self.next(until)? {
            self.steps += 1;
            // What a watch has held back comes all at once, however much it is.
            let is_shown = matches!(step, Step::Deliver(..));
            self.steps_at_once = if at == self.last { self.steps_at_once + u32::from(!is_shown) } else { 0 };
            self.last = at;
            self.mix(at, step);
            self.checkers.on_clock(at);
            let world = self.timed.world();
            self.observer.on_step(at, step, self.timed.facts(), world);
            for fact in self.timed.facts() {
                self.stats.on_fact(at, fact);
                let judged = self.watches.on_fact(fact);
                let judged = judged.and_then(|()| self.checkers.on_fact(fact, world.server().store()));
                judged.map_err(|violation| Broken { violation, step: self.steps, at })?;
            }
            if self.steps >= self.look_again_at {
                let store = self.timed.world().server().store();
                let objects: usize = Kind::ALL.into_iter().map(|kind| store.list(kind).len()).sum();
                self.look_again_at = self.steps + FORGOTTEN_EVERY.max(4 * objects as u64);
                self.judge_memory()?;
            }
            let quiet = self.timed.quiet_until(until);
            if quiet.since(at) >= LULL {
                let judged = self.checkers.on_lull(quiet, self.timed.world().server().store());
                // It is late by then, and nothing that happens now has brought that about.
                judged.map_err(|violation| Broken { violation, step: self.steps, at: quiet })?;
            }
            if self.steps_at_once > STEPS_AT_ONCE_MAX {
                return Err(Some(self.broken(spinning(STEPS_AT_ONCE_MAX))));
            }
            if self.steps >= self.limits.steps {
                return Err(None);
            }
        }
        Ok(())
    }

    /// Makes the next step. The core's own assertions are a property as well: what they say ends the run, not the program.
    fn next(&mut self, until: Mono) -> Result<Option<(Mono, Step)>, Broken> {
        let timed = &mut self.timed;
        catch_unwind(AssertUnwindSafe(|| timed.next(until))).map_err(|panic| {
            self.steps += 1;
            self.broken(asserted(&*panic))
        })
    }

    fn judge_rest(&mut self) -> Result<(), Broken> {
        let store = self.timed.world().server().store();
        let judged = self.checkers.at_rest(store);
        judged.map_err(|violation| self.broken(violation))?;
        self.judge_memory()
    }

    /// Judges that no controller that leads remembers what is gone, or misses what is there.
    fn judge_drift(&mut self) -> Result<(), Broken> {
        if !self.judges.has(&KEEPS_NOTHING, true) {
            return Ok(());
        }
        let world = self.timed.world();
        let list = |kind| world.server().store().list(kind).to_vec();
        for (process, place) in (0..).zip(world.processes()).filter(|(_, place)| place.is_leading()) {
            if let Some(drift) = place.controller.as_ref().and_then(|controller| controller.drift(&list)) {
                let what = format!("in {} {drift}", process::name(process));
                return Err(self.broken(Violation { property: KEEPS_NOTHING, what }));
            }
            self.kept += 1;
        }
        Ok(())
    }

    /// Judges that no controller has forgotten to do something: nothing is decided by which event came last.
    fn judge_memory(&mut self) -> Result<(), Broken> {
        if !self.judges.has(&FORGETS_NOTHING, false) {
            return Ok(());
        }
        for place in self.timed.world().processes() {
            let forgotten = place.controller.as_ref().map(Controller::forgotten).unwrap_or_default();
            if let Some(action) = forgotten.first() {
                let what = format!("looked at again, the state asks for {action}");
                return Err(self.broken(Violation { property: FORGETS_NOTHING, what }));
            }
            self.remembered += 1;
        }
        Ok(())
    }

    fn broken(&self, violation: Violation) -> Broken {
        Broken { violation, step: self.steps, at: self.timed.world().clock() }
    }

    /// FNV-1a over what tells one run from another: when which step was made, and what was asked and stored.
    fn mix(&mut self, at: Mono, step: Step) {
        let mut hash = self.hash;
        let mut eat = |value: u64| hash = (hash ^ value).wrapping_mul(0x0000_0100_0000_01b3);
        eat(at.micros());
        eat(number_of(step));
        for fact in self.timed.facts() {
            if let Fact::Sent(sent) = fact {
                eat(u64::from(sent.request.0) << 8 | sent.action.intent as u64);
            }
            if let Fact::Committed(commit) = fact {
                eat(commit.version.0 << 8 | commit.object().kind() as u64);
            }
        }
        self.hash = hash;
    }
}

/// Returns a number that tells steps apart.
fn number_of(step: Step) -> u64 {
    use std::hash::{Hash, Hasher};
    /// Only what is written to it counts: no key, no state of the process.
    struct Fold(u64);
    impl Hasher for Fold {
        fn finish(&self) -> u64 {
            self.0
        }
        fn write(&mut self, bytes: &[u8]) {
            for byte in bytes {
                self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
    }
    let mut fold = Fold(0xcbf2_9ce4_8422_2325);
    step.hash(&mut fold);
    fold.finish()
}

/// Returns that more than `most` steps were made at one moment.
pub(crate) fn spinning(most: u32) -> Violation {
    let property = Property { name: "no-spinning", about: "time goes on", class: Class::Liveness };
    Violation { property, what: format!("more than {most} steps at one moment: the controller spins") }
}

/// Returns the intents with the number of requests sent for each, those that were never sent left out.
pub fn sent_by_intent(stats: &Stats) -> impl Iterator<Item = (Intent, u64)> {
    Intent::ALL.into_iter().zip(stats.sent).filter(|(_, count)| *count > 0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use agent_sandbox_core::action::{Action, Operation};
    use agent_sandbox_core::config::Config;
    use agent_sandbox_core::event::Event;
    use agent_sandbox_core::id::{ActionId, Key};
    use agent_sandbox_core::machine::Machine;
    use agent_sandbox_core::time::Now;

    use super::*;
    use crate::faults::Faults;

    #[test]
    fn the_tape_of_a_run_with_all_kinds_of_trouble_can_be_read_again() {
        for seed in 0..20 {
            let options = Options::of_campaign(seed);
            let choices = options.choices().noted();
            let report = run_with::<Machine>(&options, Config::default(), Judges::All, choices, &mut ());
            assert_eq!(report.tape.to_string().parse(), Ok(report.tape), "{options:?}");
        }
    }

    #[test]
    fn a_run_without_faults_keeps_every_promise() {
        for seed in 0..20 {
            let options = Options { faults: Faults::NONE, ..Options::of_campaign(seed) };
            let report = run::<Machine>(&options, Config::default(), Judges::All, &mut ());
            assert_eq!(report.broken, None, "{options:?}");
        }
    }

    /// Reads the same object over and over.
    #[derive(Clone, Debug)]
    struct Insatiable;

    impl Controller for Insatiable {
        type Setup = ();

        fn start(_setup: &(), _now: Now) -> Self {
            Self
        }

        fn handle_event(&mut self, _event: Event, _now: Now) {}

        fn poll_action(&mut self) -> Option<Action> {
            let operation = Operation::Get { kind: Kind::Pool, key: Key::new("default", "pool") };
            Some(Action { id: ActionId(1), intent: Intent::Look, operation: Arc::new(operation) })
        }

        fn handle_timeout(&mut self, _now: Now) {}

        fn poll_timeout(&self) -> Option<Mono> {
            None
        }
    }

    #[test]
    fn a_controller_that_never_has_enough_ends_the_run_and_not_the_program() {
        let report = run::<Insatiable>(&Options::of_campaign(1), (), Judges::All, &mut ());
        let broken = report.broken.expect("it asks for ever");
        assert_eq!(broken.violation.property.name, ASSERTION.name);
        assert!(broken.violation.what.contains("Look of pool"), "{}", broken.violation.what);
    }
}
