//! The machine: two ways in, two ways out.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;

use crate::action::{Action, Intent, Operation, Patch};
use crate::agenda::{Agenda, Item, Turn, Urgency};
use crate::config::Config;
use crate::event::Event;
use crate::id::{Kind, Text, Uid};
use crate::ledger::{Hold, Purpose, held};
use crate::mutant::Mutant;
use crate::names;
use crate::object::Object;
use crate::patch::Change;
use crate::rules::{For, RuleId, RuleSet, Verdict};
use crate::shared::Shared;
use crate::state::State;
use crate::time::{Mono, Now};
use crate::view::View;

mod answers;
mod duties;
mod mutants;
mod refill;

pub use crate::agenda::TimeoutReason;
pub use crate::rules::Branch;

/// Decides what a controller does. Feed it facts, do what it asks, answer each action once.
///
/// After each `handle_*` call, drain [`Machine::poll_action`] to `None`.
#[derive(Clone, Debug)]
pub struct Machine {
    config: Shared<Config>,
    state: State,
    agenda: Agenda,
    /// Rules that failed on a subject and wait before they try again.
    cooling: Shared<BTreeMap<(RuleId, Uid), Cooling>>,
    now: Now,
    /// How far the calendar was ahead of the process's own clock when everything was looked at. Unit: microseconds.
    calendar: i64,
    /// Set while this process leads.
    term: Option<u64>,
    names_given: u64,
    reached: u64,
}

/// Why a rule waits that has failed for an object.
#[derive(Clone, Debug)]
pub(crate) struct Cooling {
    pub(crate) failures: u32,
    /// How many of them were for good: what the server holds for invalid.
    pub(crate) refusals: u32,
    /// Until when nothing is asked for.
    pub(crate) until: Mono,
    /// The create that the server refused, and until when it is not asked for: one that is made from something else need
    /// not wait.
    pub(crate) refused: Option<(Arc<Operation>, Mono)>,
    /// The writes that the server has put off, and until when: that it takes others does not mean that it wants these.
    pub(crate) put_off: Vec<(Arc<Operation>, Mono)>,
}

impl Cooling {
    /// Returns until when something is not asked for.
    fn last(&self) -> Mono {
        let waiting = self.refused.iter().chain(&self.put_off);
        waiting.map(|(_, until)| *until).fold(self.until, Mono::max)
    }

    /// Returns until when a write is not asked for.
    fn holds_back(&self, operation: &Operation) -> Option<Mono> {
        let refused = self.refused.iter().filter(|(refused, _)| refused.makes_the_same(operation));
        let put_off = self.put_off.iter().filter(|(put_off, _)| put_off.is_to_the_same(operation));
        refused.chain(put_off).map(|(_, until)| *until).max()
    }
}

/// Most Kubernetes Events that wait to be written. They are for people; more of them at once nobody reads.
const NOTICES_MAX: usize = 1024;

/// A calendar that differs by this much from the process's own clock has been set anew; less is a clock that runs a little
/// faster or slower. Unit: microseconds.
///
/// Source: NTP daemons step a clock that is off by 128 ms or more, and slew it otherwise.
const CALENDAR_SET_BY: u64 = 100_000;

impl Machine {
    /// Returns a machine that knows nothing and does not lead.
    pub fn new(config: Config, now: Now) -> Self {
        Self {
            state: State::new(&config),
            config: config.into(),
            agenda: Agenda::default(),
            cooling: Shared::default(),
            now,
            calendar: now.calendar_ahead(),
            term: None,
            names_given: 0,
            reached: 0,
        }
    }

    /// Records one fact about the cluster.
    pub fn handle_event(&mut self, event: Event, now: Now) {
        self.tell_time(now);
        if self.is_missed(&event) {
            return;
        }
        match event {
            Event::Applied(object) => {
                self.state.observe(&object, now);
            }
            Event::Deleted(object) => self.state.bury(object.kind(), object.uid(), Some(object.version())),
            Event::Relisted { kind, objects, at } => {
                let was_active = self.is_active();
                self.state.relist(kind, &objects, at, now);
                if self.is_active() && !was_active {
                    self.state.touch_everything();
                    self.begin_paces();
                }
            }
            Event::Progress { kind, at } => self.state.progress(kind, at),
            Event::WatchLost { kind } => self.state.feeds[kind.index()].lost = true,
            Event::ActionDone { id, outcome } => self.on_action_done(id, outcome),
            Event::Leading { term } => self.on_leading(term),
            Event::Standby => {
                self.term = None;
                self.agenda.clear();
            }
        }
        self.schedule_touched();
    }

    /// Runs what is due; an early or spurious call changes nothing.
    pub fn handle_timeout(&mut self, now: Now) {
        self.tell_time(now);
        while let Some(item) = self.agenda.due(now.mono) {
            let urgency = self.urgency(&item);
            self.agenda.add(item, urgency);
        }
        self.drop_ghosts();
        self.schedule_touched();
    }

    /// Returns the next thing to do. Drain to `None` after each `handle_*` call.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<Action> {
        let most = self.config.in_flight_max + usize::from(self.has(Mutant::OneMoreInFlight));
        while self.is_active() && self.state.ledger.sent.len() < most {
            let (turn, urgency) = self.agenda.next()?;
            if let Some(action) = self.consider(turn, urgency) {
                if !self.has(Mutant::BackgroundStarves) {
                    self.agenda.took(urgency);
                }
                return Some(action);
            }
        }
        None
    }

    /// Returns when to call [`Self::handle_timeout`] next, and which timer asks.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Mono, TimeoutReason)> {
        self.agenda.timeout()
    }

    /// Returns whether it leads and has seen a complete list of every kind since.
    pub fn is_active(&self) -> bool {
        let extensions = self.config.extensions;
        self.term.is_some()
            && Kind::ALL
                .into_iter()
                .filter(|kind| extensions || !kind.is_extension())
                .all(|kind| self.state.feeds[kind.index()].listed || self.has(Mutant::WritesBeforeListed))
    }

    /// Returns the configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the branches reached so far.
    ///
    /// Shape: bit n stands for the n-th of [`Branch::ALL`].
    pub const fn reached(&self) -> u64 {
        self.reached
    }

    /// Returns how many actions are unanswered.
    pub fn in_flight(&self) -> usize {
        self.state.ledger.sent.len()
    }

    /// Gives back the room that is kept for what comes next: for those who keep many machines.
    pub fn shrink(&mut self) {
        self.agenda.shrink();
        self.state.shrink();
    }

    /// Returns what a pass over everything known would ask for beyond what is under way: nothing, after each drain
    /// that was not cut short by [`Config::in_flight_max`].
    pub fn forgotten(&self) -> Vec<Action> {
        let mut copy = self.clone();
        // What is due at this very moment is not forgotten: its timer has yet to be called.
        copy.handle_timeout(self.now);
        while copy.poll_action().is_some() {}
        copy.state.touch_everything();
        copy.schedule_touched();
        core::iter::from_fn(|| copy.poll_action()).collect()
    }

    /// Returns the first table that has another number of entries here than in a machine that starts now and is shown these
    /// objects: its name, the number here and the number there.
    ///
    /// There is none while nothing is under way and everything was shown. Before that some entries are about what is gone,
    /// and about writes whose fate is not known.
    pub fn drift(&self, list: impl Fn(Kind) -> Vec<Object>) -> Option<(&'static str, usize, usize)> {
        let mut fresh = Self::new((*self.config).clone(), self.now);
        fresh.handle_event(Event::Leading { term: self.term? }, self.now);
        for kind in Kind::ALL {
            let at = self.state.feeds[kind.index()].at;
            fresh.handle_event(Event::Relisted { kind, objects: list(kind), at }, self.now);
        }
        let failures = self.cooling.keys().filter(|(_, uid)| self.state.kind_of(*uid).is_none()).count();
        if failures > 0 {
            return Some(("failures of what is gone", failures, 0));
        }
        let tables = self.state.sizes().into_iter().zip(fresh.state.sizes());
        tables.map(|((name, here), (_, there))| (name, here, there)).find(|(_, here, there)| here != there)
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn agenda(&self) -> &Agenda {
        &self.agenda
    }

    /// Returns the term and how many names were given in it: what the next name follows from.
    pub(crate) fn naming(&self) -> (u64, u64) {
        (self.term.unwrap_or(0), self.names_given)
    }

    pub(crate) fn cooling(&self) -> impl Iterator<Item = (&(RuleId, Uid), &Cooling)> {
        self.cooling.iter()
    }

    // ----- What enters -----

    /// Takes in what the time is.
    ///
    /// Who waits for a moment of the calendar waits by the process's own clock, and what is over by the calendar waits for
    /// nothing. So when somebody sets the calendar, everything is looked at again.
    fn tell_time(&mut self, now: Now) {
        self.now = now;
        let ahead = now.calendar_ahead();
        if ahead.abs_diff(self.calendar) >= CALENDAR_SET_BY {
            self.calendar = ahead;
            if self.term.is_some() {
                self.state.touch_everything();
            }
        }
    }

    fn on_leading(&mut self, term: u64) {
        self.term = Some(term);
        self.names_given = 0;
        self.state.feeds = Default::default();
        // What went at the end of the last term no rule has looked at since.
        self.cooling.retain(|(_, uid), _| self.state.kind_of(*uid).is_some());
        self.state.touch_everything();
        self.resume_duties();
    }

    // ----- What leaves -----

    fn schedule_touched(&mut self) {
        for slot in core::mem::take(&mut self.state.settled) {
            if let Some(until) = self.state.ledger.drafts.get(&slot).and_then(|draft| draft.ghost_until) {
                self.agenda.arm(Item::repeat_create(slot.0, slot.1), until, TimeoutReason::Repeat);
            }
        }
        for (subject, kind) in core::mem::take(&mut self.state.freed) {
            self.free(subject, kind);
        }
        let mut touched = self.state.take_touched();
        self.hold_refills();
        for (kind, uid) in touched.drain(..) {
            if kind == Kind::Pool {
                self.release_refill(uid);
            }
            let mut by_urgency = [RuleSet::default(); 3];
            for who in For::ALL {
                let rules = RuleSet::of_kind(kind, who);
                if !rules.is_empty() {
                    let place = &mut by_urgency[self.urgency_of(who, uid) as usize];
                    *place = place.with(rules);
                }
            }
            self.agenda.add_rules(uid, by_urgency);
        }
        self.state.give_room(touched);
    }

    fn urgency(&self, item: &Item) -> Urgency {
        match item {
            Item::Rule(rule, uid) => self.urgency_of(rule.who(), *uid),
            Item::Look(..) | Item::RepeatWrite(_) | Item::RepeatCreate(..) | Item::Unbar(_) => Urgency::Claim,
            Item::Notice => Urgency::Background,
        }
    }

    fn urgency_of(&self, who: For, uid: Uid) -> Urgency {
        match who {
            For::Claims => Urgency::Claim,
            For::Pools => Urgency::Refill,
            For::Nobody => Urgency::Background,
            For::SandboxOwner => {
                let of_pool = self
                    .state
                    .sandboxes
                    .get(&uid)
                    .and_then(|entry| entry.sandbox.meta.owner_of_kind(Kind::Pool));
                if of_pool.is_some() { Urgency::Refill } else { Urgency::Claim }
            }
        }
    }

    /// Decides about one turn. Decided this late, nothing grows stale in a queue.
    fn consider(&mut self, turn: Turn, urgency: Urgency) -> Option<Action> {
        let item = match turn {
            Turn::Rules(uid, rules) => return self.run(uid, rules, urgency),
            Turn::Other(item) => item,
        };
        self.agenda.disarm(&item);
        match item {
            Item::Rule(rule, uid) => self.run(uid, RuleSet::of(rule), urgency),
            Item::Look(slot) => self.look(slot.0, slot.1.clone(), urgency),
            Item::RepeatWrite(uid) => self.repeat_write(uid),
            Item::RepeatCreate(slot) => self.repeat_create(&slot),
            Item::Unbar(claim) => {
                self.unbar(claim);
                None
            }
            Item::Notice => {
                let notice = self.state.notices.pop_front()?;
                if !self.state.notices.is_empty() {
                    self.agenda.add(Item::Notice, Urgency::Background);
                }
                let subject = notice.regarding.uid.unwrap_or_default();
                let operation = Operation::Notify(notice).into();
                let purpose = Purpose { rule: None, subject, intent: Intent::Notify, operation, urgency };
                Some(self.hand_out(purpose, 0))
            }
        }
    }

    /// Runs rules of one object until one of them acts; the others keep their turn.
    fn run(&mut self, uid: Uid, mut rules: RuleSet, urgency: Urgency) -> Option<Action> {
        let (rule, intent, operation) = self.first_to_act(uid, &mut rules)?;
        self.agenda.put_back(uid, rules, urgency);
        self.agenda.add(Item::Rule(rule, uid), urgency);
        if intent == Intent::CreateMember {
            self.names_given += 1;
            self.spend(uid);
        }
        let purpose = Purpose { rule: Some(rule), subject: uid, intent, operation, urgency };
        Some(self.hand_out(purpose, 0))
    }

    /// Asks rules of one object what to do until one of them acts, and leaves those that were not asked.
    ///
    /// They all see the same view: nothing changes until one acts.
    fn first_to_act(&mut self, uid: Uid, rules: &mut RuleSet) -> Option<(RuleId, Intent, Arc<Operation>)> {
        let reached = Cell::new(self.reached);
        let view = View::new(&self.state, &self.config, self.naming(), &reached);
        let armed = self.agenda.armed(uid);
        let mut act = None;
        while let Some(rule) = rules.first().filter(|_| act.is_none()) {
            let alone = RuleSet::of(rule);
            *rules = rules.without(alone);
            let item = Item::Rule(rule, uid);
            let cooling = self.cooling.get(&(rule, uid)).filter(|cooling| cooling.last() > self.now.mono);
            let verdict = match cooling {
                _ if self.is_skipped(rule) => Verdict::Quiet,
                Some(Cooling { until, .. }) if *until > self.now.mono => {
                    Verdict::Until(*until, TimeoutReason::Backoff)
                }
                Some(cooling) => match rule.run()(&view, uid, self.now) {
                    Verdict::Act(intent, operation) => cooling
                        .holds_back(&operation)
                        .filter(|until| *until > self.now.mono)
                        .map_or(Verdict::Act(intent, operation), |until| {
                            Verdict::Until(until, TimeoutReason::Backoff)
                        }),
                    verdict @ (Verdict::Quiet | Verdict::Until(..)) => verdict,
                },
                None => rule.run()(&view, uid, self.now),
            };
            if let Verdict::Until(at, reason) = verdict
                && !self.is_untimed(reason)
            {
                self.agenda.arm(item, at, reason);
                continue;
            }
            if !armed.and(alone).is_empty() {
                self.agenda.disarm(&item);
            }
            match verdict {
                Verdict::Quiet => {
                    if self.cooling.contains_key(&(rule, uid)) && self.state.kind_of(uid).is_none() {
                        self.cooling.remove(&(rule, uid));
                    }
                }
                Verdict::Until(..) => {}
                Verdict::Act(intent, operation) => act = Some((rule, intent, operation)),
            }
        }
        self.reached = reached.get();
        act
    }

    /// Records an action before it leaves, and shows the view what it may do.
    fn hand_out(&mut self, purpose: Purpose, lost: u32) -> Action {
        let (intent, operation, subject) = (purpose.intent, purpose.operation.clone(), purpose.subject);
        if let Some((uid, _)) = held(&operation, subject) {
            assert!(
                !matches!(self.state.ledger.holds.get(&uid), Some(Hold::Sent(_))),
                "{intent:?} meets a write on {uid}"
            );
        }
        let id = self.state.ledger.send(purpose, lost);
        match &*operation {
            Operation::Create(object) => {
                self.state.draft_changed(&(object.kind(), object.key().clone()), subject)
            }
            // The object's own rules wait for the answer, and nobody else asks whether it is being changed.
            Operation::Patch(patch) => {
                let uid = patch.target.uid.unwrap_or(subject);
                if patch.target.kind == Kind::Claim {
                    self.state.promise(uid, recorded(patch));
                }
                self.note_status_sent(intent, uid);
            }
            Operation::Delete { target, .. } => {
                self.state.hold_changed(target.kind, target.uid.unwrap_or(subject));
            }
            Operation::Get { kind, key } => {
                self.state.note_look(*kind, key);
                if *kind == Kind::Claim {
                    self.state.suspect(key);
                }
            }
            Operation::Notify(notice) => self.note_told(notice.warning, subject),
        }
        self.schedule_touched();
        Action { id, intent, operation: self.mutate(intent, operation) }
    }

    /// What a pool's owner is told once is not told again.
    fn note_told(&mut self, is_blocked: bool, pool: Uid) {
        if let Some(entry) = self.state.pools.get_mut(&pool) {
            entry.told_blocked = is_blocked;
        }
    }

    fn note_status_sent(&mut self, intent: Intent, uid: Uid) {
        if intent == Intent::SetPoolStatus
            && let Some(entry) = self.state.pools.get_mut(&uid)
        {
            entry.status_sent = Some(self.now.mono);
        }
        if intent == Intent::SetSandboxStatus
            && let Some(entry) = self.state.sandboxes.get_mut(&uid)
        {
            entry.status_sent = Some(self.now.mono);
        }
    }
}

/// Returns the sandbox that a patch records on a claim.
fn recorded(patch: &Patch) -> Option<Text> {
    patch.changes.iter().find_map(|change| {
        if let Change::Annotation(key, value) = change
            && &**key == names::SANDBOX_NAME
        {
            value.clone()
        } else {
            None
        }
    })
}

impl core::fmt::Display for Action {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?} {} {}", self.intent, self.operation.kind(), self.operation.key())
    }
}
