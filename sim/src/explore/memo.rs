//! The machine, with a memory: what it does in one situation on one event is worked out once.
//!
//! Many situations of the world hold the same situation of the machine. So the world holds a [`Memo`], a number that
//! names one, and the [`Machines`] behind it hold each machine once, with what was ever asked of it. Nothing is left
//! out: a machine is a function of what it knows and of the event, and its fingerprint covers what it knows.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use agent_sandbox_core::action::Action;
use agent_sandbox_core::config::Config;
use agent_sandbox_core::event::Event;
use agent_sandbox_core::fingerprint::{Digest, Sight, Walk};
use agent_sandbox_core::id::{ActionId, Kind, Uid, Version};
use agent_sandbox_core::machine::{Machine, TimeoutReason};
use agent_sandbox_core::object::Object;
use agent_sandbox_core::time::{Mono, Now};

use super::fingerprints::Fingerprints;
use super::scope::{FAR, Scope};
use crate::controller::Controller;

/// Every situation of a machine that a search has met.
#[derive(Debug)]
pub(super) struct Machines {
    config: Config,
    far: Duration,
    version_mask: u64,
    generation_max: usize,
    young: Generation,
    /// What was not asked for since is forgotten with the next generation.
    old: Generation,
    met: u64,
    worked: u64,
    reached: u64,
    nothing: Rc<[Action]>,
}

/// What is remembered of one stretch of a search.
#[derive(Debug, Default)]
struct Generation {
    /// In the order in which they were met.
    known: Vec<Rc<Known>>,
    /// Fingerprint of a machine → its place in `known`.
    machines: Fingerprints,
    /// Fingerprint of a machine and an event → place in `reactions`.
    asked: Fingerprints,
    reactions: Vec<Reaction>,
}

impl Generation {
    fn machine(&self, fingerprint: u64) -> Option<&Rc<Known>> {
        self.machines.get(fingerprint).map(|place| &self.known[place as usize])
    }

    fn reaction(&self, asked: u64) -> Option<&Reaction> {
        self.asked.get(asked).map(|place| &self.reactions[place as usize])
    }

    fn add_machine(&mut self, fingerprint: u64, known: Rc<Known>) {
        self.machines.insert(fingerprint, self.known.len() as u32);
        self.known.push(known);
    }

    fn add_reaction(&mut self, asked: u64, reaction: Reaction) {
        self.asked.insert(asked, self.reactions.len() as u32);
        self.reactions.push(reaction);
    }
}

/// One situation of a machine.
#[derive(Debug)]
struct Known {
    number: u64,
    machine: Machine,
    /// The moment of this situation, on the clock of the world in which it was met first.
    now: Now,
    /// The canonical fingerprint.
    fingerprint: u64,
    /// Actions under way: the machine's own name, and what each asks for. The world knows it by that.
    sent: Vec<(ActionId, Digest)>,
    timeout: Option<(Mono, TimeoutReason)>,
}

/// What a machine does on one event.
#[derive(Clone, Debug)]
struct Reaction {
    next: Rc<Known>,
    actions: Rc<[Action]>,
}

/// A machine in one situation.
#[derive(Clone)]
pub(super) struct Memo {
    machines: Rc<RefCell<Machines>>,
    known: Rc<Known>,
    /// The moment of this situation, on the clock of the world.
    at: Mono,
    drained: u32,
    actions: Rc<[Action]>,
}

impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memo({})", self.known.number)
    }
}

/// What happens to a machine.
enum Input {
    Event(Event),
    Timeout,
    /// Nothing, but it is later.
    Passed,
}

impl Machines {
    /// Returns an empty memory for machines with one configuration.
    ///
    /// `version_mask` says which bits of a version stand for a state; after `generation_max` machines a new generation
    /// begins.
    pub(super) fn new(scope: &Scope, version_mask: u64, generation_max: usize) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self {
            config: scope.config(),
            far: FAR,
            version_mask,
            generation_max,
            young: Generation::default(),
            old: Generation::default(),
            met: 0,
            worked: 0,
            reached: 0,
            nothing: Rc::default(),
        }))
    }

    /// Returns how many situations of a machine were met; those that were forgotten and met again count again.
    pub(super) const fn met(&self) -> u64 {
        self.met
    }

    /// Returns how many times a machine had to work.
    pub(super) const fn worked(&self) -> u64 {
        self.worked
    }

    /// Returns the branches of the rules that any machine took, as in [`Machine::reached`].
    pub(super) const fn reached(&self) -> u64 {
        self.reached
    }

    /// Begins a new generation: what nobody asked for since the last one began is forgotten, unless it is in use.
    ///
    /// A search that goes breadth first asks for a machine within a few moves, or never again.
    pub(super) fn age(&mut self) {
        self.old = std::mem::take(&mut self.young);
    }

    fn keep(&mut self, mut machine: Machine, now: Now, sent: Vec<(ActionId, Digest)>) -> Rc<Known> {
        self.reached |= machine.reached();
        let mut walk = Walk::new(Sight { now: now.mono, far: self.far, version_mask: self.version_mask });
        machine.visit(&mut walk, |id| {
            let sent = sent.iter().find(|(own, _)| *own == id);
            sent.map_or_else(|| unreachable!("an action that was never sent"), |(_, digest)| *digest)
        });
        let exact = walk.exact_fingerprint();
        if let Some(known) = self.young.machine(exact) {
            return known.clone();
        }
        let known = if let Some(known) = self.old.machine(exact) {
            known.clone()
        } else {
            machine.shrink();
            let timeout = machine.poll_timeout();
            let number = self.met;
            self.met += 1;
            Rc::new(Known { number, machine, now, fingerprint: walk.fingerprint(), sent, timeout })
        };
        if self.young.known.len() >= self.generation_max {
            self.age();
        }
        self.young.add_machine(exact, known.clone());
        known
    }

    /// Names an action after what it asks for: the machine never has the same under way twice.
    fn digest_of(&self, action: &Action) -> Digest {
        let sight = Sight { now: Mono::default(), far: Duration::ZERO, version_mask: self.version_mask };
        let mut walk = Walk::new(sight);
        walk.number(action.intent as u64);
        walk.operation(&action.operation);
        walk.digest()
    }

    fn react(&mut self, known: &Known, elapsed: Duration, input: Input) -> Reaction {
        let mut walk = Walk::new(Sight { now: Mono::default(), far: Duration::ZERO, version_mask: u64::MAX });
        walk.number(known.number);
        walk.number(elapsed.as_micros() as u64);
        match &input {
            Input::Event(event) => walk.event(event),
            Input::Timeout => walk.number(100),
            Input::Passed => walk.number(101),
        }
        let asked = walk.exact_fingerprint();
        if let Some(reaction) = self.young.reaction(asked) {
            return reaction.clone();
        }
        let reaction = match self.old.reaction(asked) {
            Some(reaction) => reaction.clone(),
            None => self.work_out(known, elapsed, input),
        };
        self.young.add_reaction(asked, reaction.clone());
        reaction
    }

    fn work_out(&mut self, known: &Known, elapsed: Duration, input: Input) -> Reaction {
        self.worked += 1;
        let (mut machine, mut sent) = (known.machine.clone(), known.sent.clone());
        let wall =
            agent_sandbox_core::time::Wall::from_micros(known.now.wall.micros() + elapsed.as_micros() as i64);
        let now = Now { mono: known.now.mono + elapsed, wall };
        match input {
            Input::Event(Event::ActionDone { id, outcome }) => {
                let Some(place) = sent.iter().position(|(_, digest)| digest.canonical() == id.0) else {
                    unreachable!("an answer to an action that was never sent")
                };
                let id = sent.swap_remove(place).0;
                machine.handle_event(Event::ActionDone { id, outcome }, now);
            }
            Input::Event(event) => machine.handle_event(event, now),
            Input::Timeout => machine.handle_timeout(now),
            Input::Passed => {}
        }
        let mut actions = Vec::new();
        while let Some(mut action) = machine.poll_action() {
            let digest = self.digest_of(&action);
            sent.push((action.id, digest));
            action.id = ActionId(digest.canonical());
            actions.push(action);
        }
        let next = self.keep(machine, now, sent);
        let actions = if actions.is_empty() { self.nothing.clone() } else { actions.into() };
        Reaction { next, actions }
    }
}

impl Memo {
    /// Returns the fingerprint of the machine at the moment at which it was told something last.
    pub(super) fn fingerprint(&self) -> u64 {
        self.known.fingerprint
    }

    /// Returns the version of the newest list or bookmark of a kind.
    pub(super) fn listed_at(&self, kind: Kind) -> Version {
        self.known.machine.listed_at(kind)
    }

    /// Visits what a list as of `at` can tell the machine.
    pub(super) fn visit_list(&self, kind: Kind, at: Version, walk: &mut Walk) {
        self.known.machine.visit_list(kind, at, walk);
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, now: Mono) {
        if now != self.at {
            self.ask(Input::Passed, now);
        }
    }

    fn ask(&mut self, input: Input, now: Mono) {
        let reaction = self.machines.borrow_mut().react(&self.known, now.since(self.at), input);
        (self.known, self.at, self.drained, self.actions) = (reaction.next, now, 0, reaction.actions);
    }
}

/// What a search must know about a controller, beyond what every driver does.
pub(super) trait Searchable: Controller {
    /// Returns whether a state of an object would tell the controller anything.
    fn is_news(&self, object: &Object) -> bool;

    /// Returns whether a bookmark would tell the controller anything.
    fn is_progress(&self, kind: Kind, at: Version) -> bool;

    /// Returns whether the controller takes an object to be there.
    fn knows(&self, kind: Kind, uid: Uid) -> bool;

    /// Returns when and why the controller wants to be woken.
    fn timeout(&self) -> Option<(Mono, TimeoutReason)>;

    /// Notes that it is later.
    fn pass(&mut self, now: Mono);
}

impl Searchable for Machine {
    fn is_news(&self, object: &Object) -> bool {
        Self::is_news(self, object)
    }

    fn is_progress(&self, kind: Kind, at: Version) -> bool {
        Self::is_progress(self, kind, at)
    }

    fn knows(&self, kind: Kind, uid: Uid) -> bool {
        Self::knows(self, kind, uid)
    }

    fn timeout(&self) -> Option<(Mono, TimeoutReason)> {
        self.poll_timeout()
    }

    fn pass(&mut self, _now: Mono) {}
}

impl Searchable for Memo {
    fn is_news(&self, object: &Object) -> bool {
        self.known.machine.is_news(object)
    }

    fn is_progress(&self, kind: Kind, at: Version) -> bool {
        self.known.machine.is_progress(kind, at)
    }

    fn knows(&self, kind: Kind, uid: Uid) -> bool {
        self.known.machine.knows(kind, uid)
    }

    fn timeout(&self) -> Option<(Mono, TimeoutReason)> {
        let known = &self.known;
        known.timeout.map(|(at, reason)| (self.at + at.since(known.now.mono), reason))
    }

    fn pass(&mut self, now: Mono) {
        Self::pass(self, now);
    }
}

impl Controller for Memo {
    type Setup = Rc<RefCell<Machines>>;

    fn start(setup: &Self::Setup, now: Now) -> Self {
        let mut machines = setup.borrow_mut();
        let machine = Machine::new(machines.config.clone(), now);
        let known = machines.keep(machine, now, Vec::new());
        Self { machines: setup.clone(), known, at: now.mono, drained: 0, actions: machines.nothing.clone() }
    }

    fn handle_event(&mut self, event: Event, now: Now) {
        self.ask(Input::Event(event), now.mono);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.ask(Input::Timeout, now.mono);
    }

    fn poll_action(&mut self) -> Option<Action> {
        let action = self.actions.get(self.drained as usize)?.clone();
        self.drained += 1;
        Some(action)
    }

    fn poll_timeout(&self) -> Option<Mono> {
        self.timeout().map(|(at, _)| at)
    }

    fn write_limit(setup: &Self::Setup) -> Duration {
        Machine::write_limit(&setup.borrow().config)
    }
}
