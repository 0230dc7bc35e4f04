//! What a controller must offer to be put into the world: the same five functions that the machine has.
//!
//! Implement [`Controller`] for your own decision logic and every tool here works on it: the timed simulation
//! with its faults, the checkers, the stories. `examples/own_controller.rs` does it in some sixty lines.

use std::fmt::Debug;
use std::time::Duration;

use agent_sandbox_core::action::Action;
use agent_sandbox_core::config::Config;
use agent_sandbox_core::event::Event;
use agent_sandbox_core::id::Kind;
use agent_sandbox_core::machine::{Branch, Machine};
use agent_sandbox_core::object::Object;
use agent_sandbox_core::pace::Rate;
use agent_sandbox_core::time::{Mono, Now};

use crate::choices::Choices;
use crate::tape::{Site, Topic};

/// Decision logic without input and output: facts in, actions out.
///
/// The driver keeps one law: one `handle_*`, then [`Controller::poll_action`] until it returns `None`. Each
/// action is answered exactly once, by [`Event::ActionDone`], unless the process dies first.
pub trait Controller: Clone {
    /// What a new process needs to know.
    type Setup: Clone + Debug;

    /// Starts a process. It does not lead yet, and has seen nothing.
    fn start(setup: &Self::Setup, now: Now) -> Self;

    /// Takes in one fact.
    fn handle_event(&mut self, event: Event, now: Now);

    /// Runs every timer that is due. May be called too early, and must then change nothing.
    fn handle_timeout(&mut self, now: Now);

    /// Returns the next thing to do.
    fn poll_action(&mut self) -> Option<Action>;

    /// Returns when [`Controller::handle_timeout`] is wanted next.
    fn poll_timeout(&self) -> Option<Mono>;

    /// Draws other limits than the usual ones, so that what takes minutes happens within a short run, too.
    fn tune(_setup: &mut Self::Setup, _choices: &mut Choices) {}

    /// Returns how fast pools are refilled with this setup.
    fn pace(_setup: &Self::Setup) -> Pace {
        Pace::default()
    }

    /// Returns what it keeps to with this setup.
    fn promises(_setup: &Self::Setup) -> Promises {
        Promises::default()
    }

    /// Returns how long after it was sent a write may still take effect when its answer is missing.
    fn write_limit(_setup: &Self::Setup) -> Duration {
        Duration::from_secs(15)
    }

    /// Returns which branches of the logic were taken so far, one bit each, in the order of
    /// [`Controller::branches`].
    fn marks(&self) -> u64 {
        0
    }

    /// Returns the names of the branches, so that a campaign can say which it never reached.
    fn branches() -> Vec<&'static str> {
        Vec::new()
    }

    /// Returns what the logic would ask for if it looked at everything once more: nothing, if it forgets
    /// nothing.
    fn forgotten(&self) -> Vec<Action> {
        Vec::new()
    }

    /// Returns what the logic remembers otherwise than a process would that starts now and is shown these objects, in a
    /// sentence: nothing, if it forgets what is gone. Asked when everything is done.
    fn drift(&self, _list: &dyn Fn(Kind) -> Vec<Object>) -> Option<String> {
        None
    }
}

/// What a controller keeps to, as its setup says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Promises {
    /// How long a claim waits for a member that is starting.
    pub grace: Duration,
    /// How long a member that is not ready is left alone.
    pub patience: Duration,
    /// How long a member is left alone whose Pod has ended.
    pub ended_patience: Duration,
    /// For how long bad news about what has just begun is held back.
    pub settle: Duration,
    /// How long after it has told a pool's figures it tells them again, unless the pool was changed.
    pub figures_apart: Duration,
    /// How many requests are unanswered at most.
    pub in_flight_max: Option<usize>,
    /// Whether the Pods of new members say that an autoscaler may move them.
    pub evicts_members: Option<bool>,
    /// Whether a claim is noted to be seen first when a sandbox is recorded on it, or never.
    pub dates_claims: Option<bool>,
}

/// How fast a pool is refilled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// How long after a loss it makes no member.
    pub delay: Duration,
    /// How many members a second it makes at most.
    pub rate: Rate,
}

impl Pace {
    /// Returns how much longer this may make it take until pools with so many members are full. In a rollout each member
    /// that goes makes the others wait, and the next goes when its successor is ready.
    pub fn slack(&self, members: u32) -> Duration {
        /// Source: what a slow Pod takes to start.
        const START_MAX: Duration = Duration::from_secs(40);
        let is_paced = !self.delay.is_zero() || self.rate.is_limited();
        if is_paced { (self.delay + self.rate.interval() + START_MAX) * members } else { Duration::ZERO }
    }
}

/// Returns what was promised of a limit: what somebody has set up, or what the documents say.
fn promised<T: PartialEq>(set: T, usual: T, documented: T) -> T {
    if set == usual { documented } else { set }
}

impl Controller for Machine {
    type Setup = Config;

    fn start(setup: &Config, now: Now) -> Self {
        Self::new(setup.clone(), now)
    }

    fn tune(setup: &mut Config, choices: &mut Choices) {
        let secs = |choices: &mut Choices, list: &[u64]| Duration::from_secs(*choices.pick(list));
        setup.readiness_grace = secs(choices, &[300, 3, 20, 60]);
        setup.ended_grace = secs(choices, &[30, 1, 5]);
        setup.evict_members = choices.below(4) != 3;
        if Self::pace(setup) == Pace::default() {
            setup.replenish_delay = secs(choices, &[0, 0, 1, 5, 20]);
            setup.refill_rate = *choices.pick(&["0", "0", "0.3", "1", "2.5"].map(rate));
        }
        // Few at once hide races.
        setup.in_flight_max = *choices.pick(&[64, 64, 64, 64, 64, 64, 64, 64, 64, 1, 2, 8]);
        choices.about(|| Site::new(Topic::Setup, "claim-annotations"));
        setup.claim_annotations = choices.below(4) != 3;
    }

    fn handle_event(&mut self, event: Event, now: Now) {
        Self::handle_event(self, event, now);
    }

    fn handle_timeout(&mut self, now: Now) {
        Self::handle_timeout(self, now);
    }

    fn poll_action(&mut self) -> Option<Action> {
        Self::poll_action(self)
    }

    fn poll_timeout(&self) -> Option<Mono> {
        Self::poll_timeout(self).map(|(at, _)| at)
    }

    fn pace(setup: &Config) -> Pace {
        Pace { delay: setup.replenish_delay, rate: setup.refill_rate }
    }

    /// Where nobody has set anything up, users were promised what the documents say, whatever the usual limits have become.
    fn promises(setup: &Config) -> Promises {
        let (usual, secs) = (Config::default(), Duration::from_secs);
        Promises {
            grace: promised(setup.adopt_grace, usual.adopt_grace, secs(2)),
            patience: promised(setup.readiness_grace, usual.readiness_grace, secs(300)),
            ended_patience: promised(setup.ended_grace, usual.ended_grace, secs(30)),
            settle: promised(setup.settle, usual.settle, secs(1)),
            figures_apart: promised(setup.pool_status_interval, usual.pool_status_interval, secs(1)),
            in_flight_max: Some(promised(setup.in_flight_max, usual.in_flight_max, 64)),
            evicts_members: Some(promised(setup.evict_members, usual.evict_members, true)),
            dates_claims: Some(promised(setup.claim_annotations, usual.claim_annotations, true)),
        }
    }

    fn write_limit(setup: &Config) -> Duration {
        let usual = Config::default().write_margin;
        setup.write_timeout + promised(setup.write_margin, usual, Duration::from_secs(5))
    }

    fn marks(&self) -> u64 {
        self.reached()
    }

    fn branches() -> Vec<&'static str> {
        Branch::ALL.iter().map(|branch| branch.name()).collect()
    }

    fn forgotten(&self) -> Vec<Action> {
        // The places that are taken hide what waits for one: such a moment says nothing.
        if self.in_flight() < self.config().in_flight_max { Self::forgotten(self) } else { Vec::new() }
    }

    fn drift(&self, list: &dyn Fn(Kind) -> Vec<Object>) -> Option<String> {
        let (name, here, there) = Self::drift(self, list)?;
        Some(format!("{here} {name} are remembered, and a process that starts now remembers {there}"))
    }
}

fn rate(text: &str) -> Rate {
    Rate::parse(text).expect("the text is a rate")
}
