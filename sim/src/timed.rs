//! The timed simulation: a virtual clock, a queue of what is planned, and one stream of choices that decides
//! how long everything takes and what goes wrong.
//!
//! Every step that the world opens up (a request to handle, a line of a watch to show, a Pod to start) gets a
//! moment drawn for it. Lines of one watch stay in order; everything else may overtake everything else.
//! Without faults a watch shows a change before the answer to the request that made it arrives, so nothing
//! that a process sees is old.

mod aftermath;
mod blows;
mod conditions;
mod order;
mod outages;
mod reactions;
mod trouble;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use agent_sandbox_core::id::{Kind, Uid};
use agent_sandbox_core::time::Mono;

use self::conditions::Cluster;
pub use self::conditions::{Conditions, Stay};
use crate::choices::Choices;
use crate::controller::Controller;
use crate::faults::{Fault, Faults, Options, Rates};
use crate::plan::Plan;
use crate::scene::{self, Scene};
use crate::step::{Fact, PodStep, Step};
use crate::tape::{Site, Topic};
use crate::workload::Workload;
use crate::world::World;

use self::order::Order;

/// How many places there are for controller processes: one that leads, and one that may take over or be a
/// rival.
const PLACES: u8 = 2;

/// How often a watch sends a bookmark.
///
/// Source: `bookmarkFrequency` of the API server's watch cache.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);

/// A world with a clock that runs by itself.
#[derive(Clone, Debug)]
pub struct Timed<C: Controller> {
    world: World<C>,
    choices: Choices,
    rates: Rates,
    queue: BinaryHeap<Reverse<Planned>>,
    planned: u64,
    lanes: Vec<Lane>,
    struck: [u64; Fault::ALL.len()],
    heals_at: Mono,
    /// Until when the server fails, and until when it puts everything off.
    fails_until: Mono,
    throttles_until: Mono,
    /// Until when no image can be pulled.
    registry_down_until: Mono,
    /// Until when the server refuses to create each kind.
    refuses_until: [Mono; Kind::ALL.len()],
    /// As what it refuses them.
    refuses_as: [Fault; Kind::ALL.len()],
    facts: Vec<Fact>,
    /// What the cluster is like, where a scenario says so.
    cluster: Option<Box<Cluster>>,
    /// What is done on purpose.
    plan: Plan,
    /// By what deliveries go, when a plan says so.
    order: Option<Order>,
}

/// What is planned for one place where a process runs.
#[derive(Clone, Debug, Default)]
struct Lane {
    /// The moment for which a timer is planned.
    timer: Option<Mono>,
    /// The kinds whose next line has a moment already.
    armed: [bool; Kind::ALL.len()],
    /// Until when the process stands still.
    paused_until: Mono,
    /// Until when each watch shows nothing.
    lag_until: [Mono; Kind::ALL.len()],
}

/// Something that will happen at a moment; those of one moment happen in the order in which they were
/// planned.
#[derive(Clone, Copy, Debug)]
struct Planned {
    at: Mono,
    number: u64,
    what: What,
}

/// What will happen.
#[derive(Clone, Copy, Debug)]
enum What {
    Step(Step),
    /// Somebody takes the lead, if nobody has it.
    Elect,
    /// This place takes the lead, if nobody has it.
    TakeOver(u8),
    /// Another place is to lead too.
    Rival,
    /// This place leads too.
    RivalLeads(u8),
    /// A Pod that was stuck goes on, unless its pool is to replace it.
    Unstick(Uid, PodStep),
    /// Of two leaders one gives up, or dies.
    EndRivalry,
    /// The leader is told to stop, and another takes over.
    Failover,
    /// A watch falls behind for a while; perhaps the server then forgets what it has missed.
    Lag {
        process: u8,
        kind: Kind,
        length: Duration,
        compact: bool,
    },
    /// Something that strikes several at once, with a number that says whom.
    Outage(Fault, u32),
    /// The n-th Pod is not ready for a while.
    Flap(u32),
    /// The Pod of the n-th member ends.
    EndMember(u32),
    /// The n-th Pod of a sandbox that is nobody's ends, well or badly.
    End(u32),
    /// The n-th Pod of a claim's sandbox ends, well or badly.
    EndSession(u32),
    /// A bookmark, and then the next.
    Bookmark(u8, Kind),
    /// So many nodes go, with their Pods.
    LoseNodes(u32),
    /// The leader dies.
    CrashLeader,
    /// The user of a claim deletes it by a line of the script, if it was not served.
    GiveUp(Uid, u32),
}

impl PartialEq for Planned {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Planned {}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Planned {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl<C: Controller> Timed<C> {
    /// Draws everything that is decided before the first step, and plans it.
    pub fn new(options: &Options, controller: C::Setup, mut choices: Choices) -> Self {
        let rates = Rates::draw(options.faults, &mut choices);
        let workload = Workload::draw(options, &rates, &mut choices);
        let order = match options.plan {
            Plan::Priorities(changes) => Some(Order::draw(changes, &mut choices)),
            // A tape names the priorities, if there are any.
            Plan::None | Plan::Blows(..) if choices.is_played() => {
                Some(Order::draw(order::CHANGES_OF_TAPE, &mut choices))
            }
            Plan::None | Plan::Blows(..) | Plan::Bytes(_) => None,
        };
        let timed = Self::of(&workload, rates, options.duration, controller, choices);
        Self { plan: options.plan, order, ..timed }
    }

    /// Plans a workload that is given, without trouble.
    pub fn scripted(workload: &Workload, controller: C::Setup, mut choices: Choices) -> Self {
        let rates = Rates::draw(Faults::NONE, &mut choices);
        Self::of(workload, rates, Duration::ZERO, controller, choices)
    }

    /// Plans a workload in a cluster that a scenario describes, without any other trouble.
    pub fn under(
        conditions: Arc<Conditions>,
        workload: &Workload,
        duration: Duration,
        controller: C::Setup,
        mut choices: Choices,
    ) -> Self {
        let rates = Rates::draw(Faults::NONE, &mut choices);
        let mut timed = Self::of(workload, rates, duration, controller, choices);
        timed.cluster = Some(Box::new(Cluster::new(conditions)));
        timed.plan_conditions();
        timed
    }

    fn of(
        workload: &Workload,
        rates: Rates,
        trouble: Duration,
        mut controller: C::Setup,
        mut choices: Choices,
    ) -> Self {
        if rates.has(Fault::Tuned) {
            choices.about(|| Site::new(Topic::Setup, ""));
            C::tune(&mut controller, &mut choices);
        }
        let last = workload.times.iter().copied().max().unwrap_or_default();
        let script = workload.script.clone();
        let scene = Scene { controller, processes: PLACES, script, epoch: scene::epoch() };
        let mut timed = Self {
            world: World::new(Arc::new(scene)),
            choices,
            rates,
            queue: BinaryHeap::new(),
            planned: 0,
            lanes: vec![Lane::default(); usize::from(PLACES)],
            struck: [0; Fault::ALL.len()],
            heals_at: (Mono::default() + trouble).max(last),
            fails_until: Mono::default(),
            throttles_until: Mono::default(),
            registry_down_until: Mono::default(),
            refuses_until: Default::default(),
            refuses_as: [Fault::Refused; Kind::ALL.len()],
            facts: Vec::new(),
            cluster: None,
            plan: Plan::None,
            order: None,
        };
        timed.plan(Mono::default(), What::Step(Step::Start(0)));
        for (line, at) in (0..).zip(&workload.times) {
            timed.plan(*at, What::Step(Step::User(line)));
        }
        let is_tuned = timed.rates.has(Fault::Tuned) && !timed.choices.is_played();
        timed.struck[Fault::Tuned.index()] += u64::from(is_tuned);
        for (fault, often) in &workload.trouble {
            timed.struck[fault.index()] += u64::from(*often);
        }
        for process in 0..PLACES {
            for kind in Kind::ALL {
                timed.plan(Mono::default() + BOOKMARK_EVERY, What::Bookmark(process, kind));
            }
        }
        timed.plan_trouble(workload);
        timed
    }

    /// Makes the next step, if it comes before `until`; returns it with its moment.
    ///
    /// What it brought about is in [`Timed::facts`] until the next call.
    pub fn next(&mut self, until: Mono) -> Option<(Mono, Step)> {
        loop {
            self.facts.clear();
            let Some(what) = self.next_planned(until) else { return self.idle(until) };
            match self.step_of(what) {
                Some(step) if self.world.apply(step, &mut self.facts) => {
                    self.react(step);
                    return Some((self.world.clock(), step));
                }
                Some(step) => self.pass_over(step),
                None => {}
            }
        }
    }

    /// Takes what is planned next and moves the clock on to it.
    fn next_planned(&mut self, until: Mono) -> Option<What> {
        loop {
            let next = self.queue.peek().map(|Reverse(next)| *next).filter(|next| next.at <= until);
            let Some(order) = &mut self.order else {
                let next = next?;
                self.queue.pop();
                self.world.advance(next.at);
                return Some(next.what);
            };
            if let Some(what) = order.release(self.world.clock(), next.map(|next| next.at)) {
                return Some(what);
            }
            let next = next?;
            self.queue.pop();
            self.world.advance(next.at);
            let is_whose = |request| self.world.request(request).map(|request| request.process);
            let What::Step(step) = next.what else { return Some(next.what) };
            let queue = order::queue(step, is_whose);
            if !queue.is_some_and(|(process, queue)| order.holds(next, process, queue)) {
                return Some(next.what);
            }
        }
    }

    fn idle(&mut self, until: Mono) -> Option<(Mono, Step)> {
        self.world.advance(until);
        None
    }

    /// Ends all trouble: nothing goes wrong from here on, and one process leads. One that stands still wakes up when it would
    /// have, and finds all that has waited for it.
    pub fn heal(&mut self) {
        self.rates.heal();
        self.fails_until = Mono::default();
        self.throttles_until = Mono::default();
        for lane in &mut self.lanes {
            lane.lag_until = [Mono::default(); Kind::ALL.len()];
        }
        for what in self.order.take().into_iter().flat_map(Order::all) {
            self.plan_now(what);
        }
        self.plan_now(What::EndRivalry);
        self.plan_now(What::Elect);
    }

    /// Returns up to when nothing happens, `until` at most: this very moment where nobody can tell, because messages are held
    /// back or a process stands still.
    pub fn quiet_until(&self, until: Mono) -> Mono {
        let clock = self.world.clock();
        if self.order.as_ref().is_some_and(Order::holds_any)
            || self.lanes.iter().any(|lane| lane.paused_until > clock)
        {
            return clock;
        }
        self.queue.peek().map_or(until, |Reverse(next)| next.at.min(until))
    }

    /// Returns when trouble should end: users have done what they do.
    pub const fn heals_at(&self) -> Mono {
        self.heals_at
    }

    /// Returns what the last step brought about.
    pub fn facts(&self) -> &[Fact] {
        &self.facts
    }

    /// Returns the world.
    pub const fn world(&self) -> &World<C> {
        &self.world
    }

    /// Returns the choices made so far.
    pub const fn choices(&self) -> &Choices {
        &self.choices
    }

    /// Returns how often each kind of trouble has struck, in the order of [`Fault::ALL`].
    pub const fn struck(&self) -> &[u64; Fault::ALL.len()] {
        &self.struck
    }

    fn plan(&mut self, at: Mono, what: What) {
        self.queue.push(Reverse(Planned { at, number: self.planned, what }));
        self.planned += 1;
    }

    fn plan_in(&mut self, after: Duration, what: What) {
        self.plan(self.world.clock() + after, what);
    }

    fn plan_now(&mut self, what: What) {
        self.plan_in(Duration::ZERO, what);
    }

    fn plan_step(&mut self, after: Duration, step: Step) {
        self.plan_in(after, What::Step(step));
    }

    /// Draws whether a kind of trouble strikes, and counts it.
    fn strikes(&mut self, fault: Fault) -> bool {
        let strikes = self.rates.has(fault) && self.choices.chance(self.rates.of(fault));
        self.struck[fault.index()] += u64::from(strikes);
        strikes
    }
}
