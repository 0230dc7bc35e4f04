//! The machine: two ways in, two ways out.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::time::Duration;

use crate::action::{Action, Intent, Notice, Operation, Target};
use crate::agenda::{Agenda, Item, Urgency};
use crate::config::Config;
use crate::event::{Event, Outcome, Refusal};
use crate::id::{ActionId, Key, Kind, Uid};
use crate::ledger::{Hold, Lost, Purpose, Sent, Stage, held};
use crate::names;
use crate::object::Object;
use crate::patch::Change;
use crate::shared::Shared;
use crate::rules::{For, RULES, RuleId, Verdict};
use crate::state::State;
use crate::time::{Mono, Now};
use crate::view::View;

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
    /// Set while this process leads.
    term: Option<u64>,
    names_given: u64,
    reached: u64,
}

#[derive(Clone, Copy, Debug)]
struct Cooling {
    failures: u32,
    until: Mono,
}

/// Most Kubernetes Events that wait to be written. They are for people; more of them at once nobody reads.
const NOTICES_MAX: usize = 1024;

impl Machine {
    /// Returns a machine that knows nothing and does not lead.
    pub fn new(config: Config, now: Now) -> Self {
        Self {
            config: config.into(),
            state: State::default(),
            agenda: Agenda::default(),
            cooling: Shared::default(),
            now,
            term: None,
            names_given: 0,
            reached: 0,
        }
    }

    /// Records one fact about the cluster.
    pub fn handle_event(&mut self, event: Event, now: Now) {
        self.now = now;
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
        self.now = now;
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
        while self.is_active() && self.state.ledger.sent.len() < self.config.in_flight_max {
            let (item, urgency) = self.agenda.next()?;
            self.agenda.disarm(&item);
            if let Some(action) = self.consider(item, urgency) {
                self.agenda.took(urgency);
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
                .all(|kind| self.state.feeds[kind.index()].listed)
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

    /// Returns what a pass over everything known would ask for beyond what is under way: nothing, after each drain
    /// that was not cut short by [`Config::in_flight_max`].
    pub fn forgotten(&self) -> Vec<Action> {
        let mut copy = self.clone();
        copy.state.touch_everything();
        copy.schedule_touched();
        core::iter::from_fn(|| copy.poll_action()).collect()
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

    pub(crate) fn cooling(&self) -> impl Iterator<Item = (RuleId, Uid, u32, Mono)> {
        self.cooling.iter().map(|((rule, uid), cooling)| (*rule, *uid, cooling.failures, cooling.until))
    }

    // ----- What enters -----

    fn on_leading(&mut self, term: u64) {
        self.term = Some(term);
        self.names_given = 0;
        self.state.feeds = Default::default();
        self.state.touch_everything();
    }

    fn on_action_done(&mut self, id: ActionId, outcome: Outcome) {
        let Some(sent) = self.state.ledger.sent.remove(&id) else { return };
        match &*sent.purpose.operation.clone() {
            Operation::Create(object) => {
                self.on_create_done(object.kind(), object.key().clone(), sent, outcome)
            }
            Operation::Patch(_) | Operation::Delete { .. } => self.on_write_done(sent, outcome),
            Operation::Get { kind, key } => self.on_look_done(*kind, key, &sent, outcome),
            Operation::Notify(_) => {}
        }
        self.agenda_add_full();
    }

    /// A free place in flight may be what the agenda waited for; items that could not be taken are still in it.
    fn agenda_add_full(&mut self) {
        if !self.state.notices.is_empty() {
            self.agenda.add(Item::Notice, Urgency::Background);
        }
    }

    fn on_create_done(&mut self, kind: Kind, key: Key, sent: Sent, outcome: Outcome) {
        let slot = (kind, key);
        let subject = sent.purpose.subject;
        let Some(mut draft) = self.state.ledger.drafts.remove(&slot) else { return };
        match outcome {
            Outcome::Done(object) => {
                self.succeeded(&sent.purpose);
                draft.stage = Stage::Ghost;
                self.keep_draft(slot, draft);
                self.observe_own(&object);
                self.announce(&sent.purpose, &object);
            }
            Outcome::AlreadyExists | Outcome::Conflict => {
                draft.stage = Stage::Taken;
                let urgency = sent.purpose.urgency;
                self.state.ledger.drafts.insert(slot.clone(), draft);
                self.agenda.add(Item::Look(slot.0, slot.1), urgency);
            }
            Outcome::Unknown if !self.is_mutant_lost_answer() => {
                draft.lost += 1;
                let limit = self.config.write_timeout + self.config.write_margin;
                draft.ghost_until = Some(self.now.mono + limit);
                draft.stage = Stage::Unsettled(self.now.mono + self.backoff(draft.lost));
                self.keep_draft(slot, draft);
            }
            outcome => {
                let delay = self.failed(&sent.purpose, &outcome);
                // This attempt did not happen, but an earlier one may have.
                draft.stage = if draft.ghost_until.is_some() {
                    Stage::Unsettled(self.now.mono + delay)
                } else {
                    Stage::Ghost
                };
                self.keep_draft(slot, draft);
            }
        }
        self.state.recount_if_pool(subject);
    }

    /// Keeps a create for as long as an attempt may still land, and arms what must happen next.
    fn keep_draft(&mut self, slot: (Kind, Key), draft: crate::ledger::Draft) {
        let retry = match draft.stage {
            Stage::Unsettled(at) => Some(at),
            Stage::Sent(_) | Stage::Taken | Stage::Ghost => draft.ghost_until,
        };
        let Some(at) = retry else { return };
        self.agenda.arm(Item::RepeatCreate(slot.0, slot.1.clone()), at, TimeoutReason::Repeat);
        self.state.ledger.drafts.insert(slot, draft);
    }

    fn on_write_done(&mut self, sent: Sent, outcome: Outcome) {
        let Some((uid, base)) = held(&sent.purpose.operation, sent.purpose.subject) else { return };
        let kind = sent.purpose.operation.kind();
        self.state.ledger.holds.remove(&uid);
        match outcome {
            Outcome::Done(object) => {
                self.succeeded(&sent.purpose);
                self.observe_own(&object);
                self.announce(&sent.purpose, &object);
            }
            Outcome::Accepted | Outcome::NotFound => {
                self.succeeded(&sent.purpose);
                if !self.is_mutant_own_write() {
                    self.state.bury(kind, uid, None);
                }
            }
            Outcome::Conflict | Outcome::AlreadyExists => {
                let known = self.state.version(kind, uid);
                if let Some(base) = base.filter(|base| known.is_some_and(|known| known <= *base)) {
                    self.state.ledger.holds.insert(uid, Hold::Stale(base));
                    let key = sent.purpose.operation.key().clone();
                    self.agenda.add(Item::Look(kind, key), sent.purpose.urgency);
                }
            }
            Outcome::Unknown if !self.is_mutant_lost_answer() => self.lose(uid, sent, None),
            outcome => {
                let delay = self.failed(&sent.purpose, &outcome);
                if sent.lost > 0 {
                    // This attempt did not happen, but an earlier one may have.
                    self.lose(uid, sent, Some(delay));
                }
            }
        }
        if !matches!(self.state.ledger.holds.get(&uid), Some(Hold::Unsettled(_))) {
            self.state.promise(uid, None);
        }
        self.state.hold_changed(uid);
    }

    /// Keeps a write whose answer was lost, unless evidence has settled it meanwhile.
    fn lose(&mut self, uid: Uid, sent: Sent, delay: Option<Duration>) {
        let kind = sent.purpose.operation.kind();
        let base = held(&sent.purpose.operation, uid).and_then(|held| held.1);
        if self.state.version(kind, uid).is_none_or(|known| base.is_some_and(|base| known > base)) {
            return;
        }
        let times = sent.lost + u32::from(delay.is_none());
        let retry_at = self.now.mono + delay.unwrap_or_else(|| self.backoff(times));
        self.agenda.arm(Item::RepeatWrite(uid), retry_at, TimeoutReason::Repeat);
        self.state.ledger.holds.insert(uid, Hold::Unsettled(Lost { purpose: sent.purpose, times, retry_at }));
    }

    fn on_look_done(&mut self, kind: Kind, key: &Key, sent: &Sent, outcome: Outcome) {
        let slot = (kind, key.clone());
        self.state.ledger.looks.remove(&slot);
        match outcome {
            Outcome::Done(object) => {
                self.succeeded(&sent.purpose);
                let (uid, version) = (object.uid(), object.version());
                self.state.take_answer(&object, self.now);
                self.after_look(&slot, Some((uid, version)));
            }
            Outcome::NotFound => {
                self.succeeded(&sent.purpose);
                self.state.note_absence(kind, key);
                self.after_look(&slot, None);
            }
            outcome => {
                let delay = self.failed(&sent.purpose, &outcome);
                if sent.purpose.rule.is_none() {
                    let at = self.now.mono + delay;
                    self.agenda.arm(Item::Look(kind, key.clone()), at, TimeoutReason::Backoff);
                }
            }
        }
        if let Some(kind) = self.state.kind_of(sent.purpose.subject) {
            self.state.touch(kind, sent.purpose.subject);
        }
    }

    /// What a look says about the writes that asked for it.
    fn after_look(&mut self, slot: &(Kind, Key), found: Option<(Uid, crate::id::Version)>) {
        if let Some(mut draft) = self.state.ledger.drafts.remove(slot) {
            let subject = draft.purpose.subject;
            if draft.stage == Stage::Taken {
                draft.stage = Stage::Ghost;
            }
            if draft.stage == Stage::Ghost {
                self.keep_draft(slot.clone(), draft);
            } else {
                self.state.ledger.drafts.insert(slot.clone(), draft);
            }
            self.state.recount_if_pool(subject);
        }
        let Some(&holder) = self.state.names.get(slot) else { return };
        let Some(Hold::Stale(base)) = self.state.ledger.holds.get(&holder) else { return };
        match found {
            // The server refused our version and shows the same one: it was busy, not newer. Decide again.
            Some((uid, version)) if uid == holder && version == *base => {
                self.state.ledger.holds.remove(&holder);
                self.state.hold_changed(holder);
            }
            // It was there when we wrote, and is not there now.
            None => self.state.bury(slot.0, holder, None),
            Some(_) => {}
        }
    }

    /// Own writes are visible at once: the answer is the newest version.
    fn observe_own(&mut self, object: &Object) {
        if !self.is_mutant_own_write() {
            self.state.take_answer(object, self.now);
        }
    }

    fn succeeded(&mut self, purpose: &Purpose) {
        if let Some(rule) = purpose.rule {
            self.cooling.remove(&(rule, purpose.subject));
        }
    }

    /// Notes a failure and returns how long to wait.
    fn failed(&mut self, purpose: &Purpose, outcome: &Outcome) -> Duration {
        let Some(rule) = purpose.rule else { return self.config.backoff_min };
        let slot = (rule, purpose.subject);
        let failures = self.cooling.get(&slot).map_or(0, |cooling| cooling.failures) + 1;
        let delay = match outcome {
            Outcome::Throttled(delay) => *delay,
            // Until the object changes; and now and then, since what is wrong may be elsewhere.
            Outcome::Refused(Refusal::Invalid(_)) => self.config.backoff_max * 10,
            Outcome::Refused(Refusal::Forbidden(_))
            | Outcome::Unknown
            | Outcome::Done(_)
            | Outcome::Accepted
            | Outcome::Conflict
            | Outcome::AlreadyExists
            | Outcome::NotFound => self.backoff(failures),
        };
        self.cooling.insert(slot, Cooling { failures, until: self.now.mono + delay });
        if let Some(kind) = self.state.kind_of(purpose.subject) {
            self.state.touch(kind, purpose.subject);
        }
        delay
    }

    /// Doubles with each failure, spread by up to a half so that many do not come back together.
    fn backoff(&self, failures: u32) -> Duration {
        let doubled = self.config.backoff_min.saturating_mul(1 << failures.saturating_sub(1).min(16));
        let capped = doubled.min(self.config.backoff_max);
        let jitter =
            names::mix(self.term.unwrap_or(0), self.state.ledger.sent.len() as u64, u64::from(failures))
                % 512;
        capped + capped * u32::try_from(jitter).unwrap_or(0) / 1024
    }

    /// Queues the Kubernetes Event that tells what an action has done.
    fn announce(&mut self, purpose: &Purpose, object: &Object) {
        let (reason, action, note) = match purpose.intent {
            Intent::AdoptSandbox => {
                ("SandboxAdopted", "Adoption", format!("Adopted warm pool Sandbox {:?}", &*object.key().name))
            }
            Intent::CreateClaimSandbox => {
                ("SandboxProvisioned", "Provisioning", format!("Created Sandbox {:?}", &*object.key().name))
            }
            _ => return,
        };
        let Some(entry) = self.state.claims.get(&purpose.subject) else { return };
        if !self.config.claim_events || self.state.notices.len() >= NOTICES_MAX {
            return;
        }
        let meta = &entry.claim.meta;
        let suffix = names::mix(meta.uid.bits() as u64, object.uid().bits() as u64, object.version().0);
        self.state.notices.push_back(Notice {
            name: format!("{}.{suffix:016x}", meta.key.name).into(),
            regarding: Target { kind: Kind::Claim, key: meta.key.clone(), uid: Some(meta.uid) },
            reporter: names::CLAIM_REPORTER.into(),
            reason: reason.into(),
            action: action.into(),
            note: note.into(),
        });
    }

    // ----- What leaves -----

    fn schedule_touched(&mut self) {
        let mut touched = self.state.take_touched();
        touched.sort_unstable();
        touched.dedup();
        for (kind, uid) in touched {
            for (_, rule, who, _) in RULES.iter().filter(|(of, ..)| *of == kind) {
                self.agenda.add(Item::Rule(*rule, uid), self.urgency_of(*who, uid));
            }
        }
    }

    fn urgency(&self, item: &Item) -> Urgency {
        match item {
            Item::Rule(rule, uid) => {
                let who =
                    RULES.iter().find(|(_, id, ..)| id == rule).map_or(For::Nobody, |(_, _, who, _)| *who);
                self.urgency_of(who, *uid)
            }
            Item::Look(..) | Item::RepeatWrite(_) | Item::RepeatCreate(..) => Urgency::Claim,
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

    /// Decides about one item. Decided this late, nothing grows stale in a queue.
    fn consider(&mut self, item: Item, urgency: Urgency) -> Option<Action> {
        match item {
            Item::Rule(rule, uid) => self.run(rule, uid, urgency),
            Item::Look(kind, key) => self.look(kind, key, urgency),
            Item::RepeatWrite(uid) => self.repeat_write(uid),
            Item::RepeatCreate(kind, key) => self.repeat_create(&(kind, key)),
            Item::Notice => {
                let notice = self.state.notices.pop_front()?;
                if !self.state.notices.is_empty() {
                    self.agenda.add(Item::Notice, Urgency::Background);
                }
                let subject = notice.regarding.uid.unwrap_or_default();
                Some(self.send(None, subject, Intent::Notify, Operation::Notify(notice), urgency))
            }
        }
    }

    fn run(&mut self, rule: RuleId, uid: Uid, urgency: Urgency) -> Option<Action> {
        let item = Item::Rule(rule, uid);
        if let Some(cooling) = self.cooling.get(&(rule, uid)).filter(|cooling| cooling.until > self.now.mono)
        {
            self.agenda.arm(item, cooling.until, TimeoutReason::Backoff);
            return None;
        }
        let (_, _, _, run) = RULES.iter().find(|(_, id, ..)| *id == rule)?;
        let reached = Cell::new(self.reached);
        let view = View::new(&self.state, &self.config, self.naming(), &reached);
        let verdict = run(&view, uid, self.now);
        self.reached = reached.get();
        match verdict {
            Verdict::Quiet => {
                if self.state.kind_of(uid).is_none() {
                    self.cooling.remove(&(rule, uid));
                }
                None
            }
            Verdict::Until(at, reason) => {
                self.agenda.arm(item, at, reason);
                None
            }
            Verdict::Act(intent, operation) => {
                self.agenda.add(item, urgency);
                Some(self.send(Some(rule), uid, intent, operation, urgency))
            }
        }
    }

    fn send(
        &mut self,
        rule: Option<RuleId>,
        subject: Uid,
        intent: Intent,
        operation: Operation,
        urgency: Urgency,
    ) -> Action {
        if intent == Intent::CreateMember {
            self.names_given += 1;
        }
        self.hand_out(Purpose { rule, subject, intent, operation: Arc::new(operation), urgency }, 0)
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
            Operation::Create(_) => self.state.recount_if_pool(subject),
            Operation::Patch(patch) => {
                let uid = patch.target.uid.unwrap_or(subject);
                let recorded = patch.changes.iter().find_map(|change| match change {
                    Change::Annotation(key, Some(value)) if &**key == names::SANDBOX_NAME => {
                        Some(value.clone())
                    }
                    _ => None,
                });
                if patch.target.kind == Kind::Claim {
                    self.state.promise(uid, recorded);
                } else {
                    self.state.hold_changed(uid);
                }
                self.note_status_sent(intent, uid);
            }
            Operation::Delete { target, .. } => self.state.hold_changed(target.uid.unwrap_or(subject)),
            Operation::Get { .. } | Operation::Notify(_) => {}
        }
        self.schedule_touched();
        Action { id, intent, operation: self.mutate(intent, operation) }
    }

    fn note_status_sent(&mut self, intent: Intent, uid: Uid) {
        if intent == Intent::SetPoolStatus
            && let Some(entry) = self.state.pools.get_mut(&uid)
        {
            entry.status_sent = Some(self.now);
        }
        if intent == Intent::SetSandboxStatus
            && let Some(entry) = self.state.sandboxes.get_mut(&uid)
        {
            entry.status_sent = Some(self.now);
        }
    }

    // ----- The ledger's own duties -----

    /// Reads a name because a write was refused, if that is still needed.
    fn look(&mut self, kind: Kind, key: Key, urgency: Urgency) -> Option<Action> {
        let slot = (kind, key);
        let ledger = &self.state.ledger;
        let is_stale = self
            .state
            .names
            .get(&slot)
            .is_some_and(|uid| matches!(ledger.holds.get(uid), Some(Hold::Stale(_))));
        let is_taken = ledger.drafts.get(&slot).is_some_and(|draft| draft.stage == Stage::Taken);
        if ledger.looks.contains_key(&slot) || !(is_stale || is_taken) {
            return None;
        }
        let subject = self.state.names.get(&slot).copied().unwrap_or_default();
        let (kind, key) = slot;
        Some(self.send(None, subject, Intent::Look, Operation::Get { kind, key }, urgency))
    }

    fn repeat_write(&mut self, uid: Uid) -> Option<Action> {
        let Some(Hold::Unsettled(lost)) = self.state.ledger.holds.get(&uid) else { return None };
        if lost.retry_at > self.now.mono {
            self.agenda.arm(Item::RepeatWrite(uid), lost.retry_at, TimeoutReason::Repeat);
            return None;
        }
        let lost = lost.clone();
        Some(self.hand_out(lost.purpose, lost.times))
    }

    fn repeat_create(&mut self, slot: &(Kind, Key)) -> Option<Action> {
        let draft = self.state.ledger.drafts.get(slot)?.clone();
        let item = Item::RepeatCreate(slot.0, slot.1.clone());
        match draft.stage {
            Stage::Unsettled(at) if at > self.now.mono => {
                self.agenda.arm(item, at, TimeoutReason::Repeat);
                None
            }
            Stage::Unsettled(_) if self.is_wanted(&draft.purpose) => {
                Some(self.hand_out(draft.purpose, draft.lost))
            }
            Stage::Unsettled(_) => {
                // Nobody wants it any more; what may still land is counted until it cannot.
                let draft = crate::ledger::Draft { stage: Stage::Ghost, ..draft };
                self.state.ledger.drafts.remove(slot);
                self.keep_draft(slot.clone(), draft);
                None
            }
            Stage::Ghost => {
                self.drop_ghosts();
                None
            }
            Stage::Sent(_) | Stage::Taken => None,
        }
    }

    /// Returns whether the object for which something was to be created is still there to have it.
    fn is_wanted(&self, purpose: &Purpose) -> bool {
        let Some(kind) = self.state.kind_of(purpose.subject) else { return false };
        crate::view::object(&self.state, kind, purpose.subject)
            .is_some_and(|object| !object.meta().terminating)
    }

    /// Forgets attempts that can no longer land.
    fn drop_ghosts(&mut self) {
        let now = self.now.mono;
        let gone: Vec<_> = self
            .state
            .ledger
            .drafts
            .iter()
            .filter(|(_, draft)| {
                draft.stage == Stage::Ghost && draft.ghost_until.is_none_or(|until| until <= now)
            })
            .map(|(slot, draft)| (slot.clone(), draft.purpose.subject))
            .collect();
        for (slot, subject) in gone {
            self.state.ledger.drafts.remove(&slot);
            self.state.recount_if_pool(subject);
        }
    }

    // ----- Mutants -----

    #[cfg(feature = "mutants")]
    fn is_mutant(&self, mutant: crate::mutant::Mutant) -> bool {
        self.config.mutant == Some(mutant)
    }

    fn is_mutant_own_write(&self) -> bool {
        #[cfg(feature = "mutants")]
        return self.is_mutant(crate::mutant::Mutant::OwnWriteInvisible);
        #[cfg(not(feature = "mutants"))]
        false
    }

    fn is_mutant_lost_answer(&self) -> bool {
        #[cfg(feature = "mutants")]
        return self.is_mutant(crate::mutant::Mutant::LostAnswerIsFailure);
        #[cfg(not(feature = "mutants"))]
        false
    }

    #[cfg(not(feature = "mutants"))]
    #[expect(clippy::unused_self, reason = "the mutants' build reads the configuration")]
    fn mutate(&self, _intent: Intent, operation: Arc<Operation>) -> Arc<Operation> {
        operation
    }

    #[cfg(feature = "mutants")]
    fn mutate(&self, intent: Intent, operation: Arc<Operation>) -> Arc<Operation> {
        use crate::mutant::Mutant;
        let mut changed = (*operation).clone();
        match (&mut changed, intent) {
            (Operation::Delete { target, version }, _)
                if self.is_mutant(Mutant::DeleteWithoutPreconditions) =>
            {
                (target.uid, *version) = (None, None);
            }
            (Operation::Patch(patch), Intent::AdoptSandbox) if self.is_mutant(Mutant::AdoptWithoutLock) => {
                patch.version = None;
            }
            _ => return operation,
        }
        Arc::new(changed)
    }
}

impl core::fmt::Display for Action {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?} {} {}", self.intent, self.operation.kind(), self.operation.key().to_string())
    }
}
