//! What a process waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use agent_sandbox_core::action::{Action, Intent, Notice, Operation, Patch};
use agent_sandbox_core::event::{Outcome, Refusal};
use agent_sandbox_core::id::{ActionId, Key, Kind, Text, Uid, Version};
use agent_sandbox_core::object::{Claim, Json, Meta, Object, OwnerKind};
use agent_sandbox_core::patch::Change;
use agent_sandbox_core::time::Mono;

use super::claims::recorded;
use super::{AT_ONCE, SETTLED};
use crate::checkers::known::{Known, decided_on};
use crate::store::Store;

/// How long after a create without an answer nobody can tell whether it takes effect.
///
/// Source: a late write may take effect 15 s after it was sent, and who has failed often with the same name waits up to 45 s
/// before it tries that again.
const UNSURE: Duration = Duration::from_secs(60);

/// How long somebody may wait who was told that it will not work.
///
/// Source: ten times the longest back-off, and a half more.
const IN_VAIN: Duration = Duration::from_secs(450);

/// Whom a request is about: what it changes or makes something for, what that belongs to, and so on.
pub(super) type About = [Uid; 3];

/// A part of a sandbox that the server refuses to create.
#[derive(Clone, Debug)]
pub(super) struct RefusedPart {
    since: Mono,
    pub(super) key: Key,
    pub(super) why: Text,
}

/// How often something was tried in vain. What was under way together counts once.
#[derive(Clone, Copy, Debug, Default)]
struct Failures {
    times: u32,
    /// When it failed last.
    last: Mono,
    /// Up to when nobody tries it again, for certain.
    until: Mono,
}

impl Failures {
    /// Notes another failure of what was sent at some time, and returns how many there are.
    fn count(&mut self, sent: Mono, now: Mono, asked: Option<Duration>) -> u32 {
        let is_counted = self.times > 0 && sent < self.last && now < self.until;
        self.times += u32::from(!is_counted);
        let wait = asked.unwrap_or_else(|| shortest_backoff(self.times));
        (self.last, self.until) = (now, self.until.max(now + wait));
        self.times
    }
}

/// One process, and what it waits for.
#[derive(Clone, Debug, Default)]
pub(super) struct Seat {
    leads: bool,
    /// Kinds of which it has a list, and a watch that goes on.
    listed: [bool; Kind::ALL.len()],
    /// Requests that are not answered, and when they were sent.
    open: BTreeMap<ActionId, (About, Mono)>,
    /// How often something was tried in vain.
    failures: BTreeMap<(Uid, Intent), Failures>,
    /// Object → until when its process may wait before it tries again what it is about.
    held: BTreeMap<Uid, Mono>,
    /// The same for writes of the object itself.
    writes_held: BTreeMap<Uid, Mono>,
    /// Sandbox or Pod that somebody may yet make, although nobody has answered → until when: its name is not free for another.
    unsure: BTreeMap<(Kind, Key), Mono>,
    /// Claim or pool → since when the server refuses to create its sandbox, and of which name.
    refused: BTreeMap<Uid, (Mono, Key)>,
    /// Pool → from which Pod specs the server refuses to make its members, and until when its process may wait before it tries
    /// that again. From another it makes them at once.
    refused_makes: BTreeMap<Uid, Vec<(Json, Mono)>>,
    /// Member of which nobody knows whether it was made, nor whether it will be → its pool, and until when.
    lost_makes: BTreeMap<Key, (Uid, Mono)>,
    /// Claim on which the server refuses to record anything → until when its process may wait, unless its user changes it.
    barred: BTreeMap<Uid, Mono>,
    /// Sandbox, and the kind of a part that the server refuses to create for it.
    refused_parts: BTreeMap<(Uid, Kind), RefusedPart>,
    /// Pools of which it has told that something is wrong, and not that this is over.
    pub(super) warned: BTreeSet<Uid>,
    /// Until when it may wait before it does anything: it could not read something, or nobody can tell for whose sake it tried
    /// something in vain.
    waits_until: Mono,
    /// When it was looked last at what it has left.
    pub(super) looked: Mono,
    /// What is due, of which versions, and since when.
    pub(super) due: BTreeMap<(Uid, &'static str), (u64, Mono)>,
}

impl Seat {
    /// Returns whether a process leads, was shown everything, waits for no answer, and was not put off up to a moment.
    pub(super) fn waits_for_nothing(
        &self,
        process: u8,
        last: &[Version],
        until: Mono,
        known: &Known,
    ) -> bool {
        let is_shown =
            |kind: Kind| self.listed[kind.index()] && known.has_seen(process, kind, last[kind.index()]);
        self.leads
            && self.open.is_empty()
            && self.waits_until + AT_ONCE <= until
            && Kind::ALL.into_iter().all(is_shown)
    }

    /// Returns whether a process may wait up to a moment before it does anything about an object.
    pub(super) fn is_held(&self, uid: Uid, until: Mono) -> bool {
        let is_late = |held: &Mono| *held + AT_ONCE > until;
        self.held.get(&uid).is_some_and(is_late) || self.barred.get(&uid).is_some_and(is_late)
    }

    /// Returns whether a process may wait up to a moment before it makes a member of a pool from a Pod spec.
    pub(super) fn is_refused_make(&self, pool: Uid, spec: &Json, until: Mono) -> bool {
        let mut refused = self.refused_makes.get(&pool).into_iter().flatten();
        refused.any(|(refused, held)| refused == spec && *held + AT_ONCE > until)
    }

    /// Returns how many members of a pool may come up to a moment that nobody has seen, although nobody has answered.
    pub(super) fn lost_makes(&self, pool: Uid, store: &Store, until: Mono) -> usize {
        let is_seen = |key: &Key| {
            let holder = store.get(Kind::Sandbox, key);
            holder.is_some_and(|it| it.meta().owner_of_kind(Kind::Pool) == Some(pool))
        };
        let may_come = |(key, (of, held)): &(&Key, &(Uid, Mono))| {
            *of == pool && *held + AT_ONCE > until && !is_seen(key)
        };
        self.lost_makes.iter().filter(may_come).count()
    }

    /// Notes that the user of a claim has changed it: what could not be recorded on it is tried anew.
    pub(super) fn lift_bar(&mut self, claim: Uid) {
        self.barred.remove(&claim);
    }

    /// Notes that the server refuses to make members of a pool from this.
    fn refuse_make(&mut self, pool: Uid, spec: &Json, until: Mono) {
        let refused = self.refused_makes.entry(pool).or_default();
        match refused.iter_mut().find(|(refused, _)| refused == spec) {
            Some((_, held)) => *held = until.max(*held),
            None => refused.push((spec.clone(), until)),
        }
    }

    /// Returns whether a process may wait up to a moment before it writes an object.
    pub(super) fn is_unwritable(&self, uid: Uid, until: Mono) -> bool {
        let is_late = |held: &Mono| *held + AT_ONCE > until;
        self.writes_held.get(&uid).is_some_and(is_late) || self.barred.get(&uid).is_some_and(is_late)
    }

    /// Returns whether an earlier attempt may take a name up to a moment.
    pub(super) fn is_unsure(&self, kind: Kind, name: &Key, until: Mono) -> bool {
        self.unsure.get(&(kind, name.clone())).is_some_and(|unsure| *unsure + AT_ONCE > until)
    }

    /// Returns whether the server has refused to create the sandbox of a claim or a pool for some time before a moment.
    pub(super) fn is_refused(&self, uid: Uid, until: Mono) -> bool {
        self.refused.get(&uid).is_some_and(|(since, _)| *since + SETTLED < until)
    }

    /// Returns whether the server has refused to create the sandbox of a claim or a pool, however lately.
    pub(super) fn was_refused(&self, uid: Uid) -> bool {
        self.refused.contains_key(&uid)
    }

    /// Returns the parts of a sandbox that the server has refused for some time before a moment, the latest of each kind.
    pub(super) fn refused_parts(
        &self,
        sandbox: Uid,
        until: Mono,
    ) -> impl Iterator<Item = (Kind, &RefusedPart)> {
        let kinds = [Kind::VolumeClaim, Kind::Pod, Kind::Service].into_iter();
        let refused = kinds.filter_map(move |kind| Some((kind, self.refused_parts.get(&(sandbox, kind))?)));
        refused.filter(move |(_, refused)| refused.since + SETTLED < until)
    }

    /// Notes that something has come or gone: nobody can tell whether what is to have its name is refused.
    pub(super) fn forget_part(&mut self, kind: Kind, key: &Key) {
        self.refused_parts.retain(|(_, of), refused| *of != kind || refused.key != *key);
    }

    /// Notes whether the server refuses to create a part of a sandbox.
    fn note_part(&mut self, sandbox: Uid, action: &Action, outcome: &Outcome, now: Mono) {
        let Operation::Create(part) = &*action.operation else { return };
        let slot = (sandbox, part.kind());
        if part.meta().owner_of_kind(Kind::Sandbox) != Some(sandbox) {
            return;
        }
        if let Outcome::Refused(Refusal::Forbidden(why) | Refusal::Invalid(why)) = outcome {
            let since = self.refused_parts.get(&slot).map_or(now, |refused| refused.since);
            let refused = RefusedPart { since, key: part.key().clone(), why: why.clone() };
            self.refused_parts.insert(slot, refused);
        } else {
            self.refused_parts.remove(&slot);
        }
    }

    /// Begins anew with what it knows, and remembers what has failed.
    pub(super) fn begin(&mut self, leads: bool) {
        self.leads = leads;
        self.listed = Default::default();
        self.due.clear();
    }

    /// Notes whether a process has a list of a kind, and a watch that goes on.
    pub(super) fn note_list(&mut self, kind: Kind, is_listed: bool) {
        self.listed[kind.index()] = is_listed;
    }

    /// Notes a request.
    pub(super) fn on_sent(&mut self, action: &Action, about: About, now: Mono) {
        if let Operation::Notify(Notice { regarding, warning, .. }) = &*action.operation {
            let uid = regarding.uid.unwrap_or_default();
            _ = if *warning { self.warned.insert(uid) } else { self.warned.remove(&uid) };
        }
        self.touch(&about);
        self.open.insert(action.id, (about, now));
    }

    /// Notes that the sandbox of a claim or a pool has come or gone: nobody knows whether another is refused.
    pub(super) fn forget_refusal(&mut self, owner: Uid) {
        self.refused.remove(&owner);
    }

    /// Notes that something is done about these objects: what is due about them is due anew.
    fn touch(&mut self, about: &About) {
        self.due.retain(|(uid, _), _| !about.contains(uid));
    }

    /// Lets its process wait before it tries again.
    fn hold(&mut self, about: About, operation: &Operation, until: Mono) {
        for uid in about.into_iter().filter(|uid| *uid != Uid::default()) {
            let held = self.held.entry(uid).or_default();
            *held = until.max(*held);
            if !matches!(operation, Operation::Create(_)) {
                let held = self.writes_held.entry(uid).or_default();
                *held = until.max(*held);
            }
        }
    }

    /// Notes whether the server refuses to create somebody's sandbox.
    fn note_refusal(&mut self, owner: Uid, action: &Action, outcome: &Outcome, now: Mono) {
        if !matches!(action.intent, Intent::CreateClaimSandbox | Intent::CreateMember) {
            return;
        }
        match outcome {
            Outcome::Refused(Refusal::Forbidden(_) | Refusal::Invalid(_)) => {
                let key = action.operation.key();
                self.refused.entry(owner).or_insert_with(|| (now, key.clone())).1 = key.clone();
            }
            Outcome::Done(_) => _ = self.refused.remove(&owner),
            Outcome::Refused(Refusal::NamespaceEnding(_))
            | Outcome::Accepted
            | Outcome::Conflict
            | Outcome::AlreadyExists
            | Outcome::NotFound
            | Outcome::Throttled(_)
            | Outcome::Unknown => {}
        }
    }

    /// Notes that it sees a sandbox: what is there is not refused any more, and nor is a name that another has, or had.
    pub(super) fn see(&mut self, object: &Object) {
        if !self.refused_parts.is_empty() {
            // Were it one that has gone since, its process would not know that.
            self.forget_part(object.kind(), object.key());
            if let Some(owner) = object.meta().owner_of_kind(Kind::Sandbox) {
                self.refused_parts.remove(&(owner, object.kind()));
            }
        }
        if object.kind() == Kind::Sandbox && !self.refused.is_empty() {
            let owner = object.meta().owner.as_ref().map(|owner| owner.uid);
            self.refused.retain(|uid, (_, key)| Some(*uid) != owner && key != object.key());
        }
    }

    pub(super) fn on_answer(&mut self, action: &Action, outcome: &Outcome, is_missing: bool, now: Mono) {
        let Some((about, sent)) = self.open.remove(&action.id) else { return };
        self.touch(&about);
        if is_missing || !matches!(outcome, Outcome::Refused(_)) {
            self.note_refusal(about[0], action, outcome, now);
        }
        self.note_part(about[0], action, outcome, now);
        let slots = counted_for(action.intent).iter().map(|place| (about[*place], class(action.intent)));
        let is_create = matches!(*action.operation, Operation::Create(_));
        let wait = match outcome {
            Outcome::Done(_) | Outcome::Accepted if is_of_one_kind(action.intent) => {
                slots.for_each(|slot| _ = self.failures.remove(&slot));
                return;
            }
            Outcome::Done(_) | Outcome::Accepted | Outcome::AlreadyExists | Outcome::NotFound => return,
            Outcome::Conflict if !is_create => return,
            Outcome::Unknown if is_create => UNSURE,
            Outcome::Throttled(_) | Outcome::Unknown | Outcome::Conflict | Outcome::Refused(_) => {
                let asked = match outcome {
                    Outcome::Throttled(delay) => Some(*delay),
                    Outcome::Refused(Refusal::Invalid(_) | Refusal::NamespaceEnding(_)) => Some(IN_VAIN),
                    Outcome::Refused(Refusal::Forbidden(_))
                    | Outcome::Done(_)
                    | Outcome::Accepted
                    | Outcome::Conflict
                    | Outcome::AlreadyExists
                    | Outcome::NotFound
                    | Outcome::Unknown => None,
                };
                let at_least = asked.filter(|_| !matches!(outcome, Outcome::Refused(_)));
                let failures =
                    slots.map(|slot| self.failures.entry(slot).or_default().count(sent, now, at_least));
                let failures = failures.max().unwrap_or(0);
                asked.unwrap_or_default().max(backoff(failures))
            }
        };
        match &*action.operation {
            Operation::Get { .. } => self.waits_until = self.waits_until.max(now + wait),
            // What cannot be told is not told.
            Operation::Notify(_) => {}
            operation @ (Operation::Create(_) | Operation::Patch(_) | Operation::Delete { .. }) => {
                let makes = matches!(action.intent, Intent::CreateClaimSandbox | Intent::CreateMember);
                if makes || (action.intent == Intent::CreatePod && *outcome == Outcome::Unknown) {
                    let unsure = self.unsure.entry((operation.kind(), operation.key().clone())).or_default();
                    *unsure = (now + wait).max(*unsure);
                }
                // A queue goes on without those on whom nothing can be recorded.
                let is_alone = is_record(action.intent) && matches!(outcome, Outcome::Refused(_));
                let about = if is_alone { [about[0], Uid::default(), Uid::default()] } else { about };
                // It was gone already when this was sent, and so is what would tell whose it was.
                if is_of_owner(action.intent) && about[1] == Uid::default() && !is_alone {
                    self.waits_until = self.waits_until.max(now + wait);
                }
                if let Operation::Create(Object::Sandbox(made)) = operation
                    && action.intent == Intent::CreateMember
                    && is_refusal(outcome)
                {
                    self.refuse_make(about[0], &made.pod_spec, now + wait);
                } else if action.intent == Intent::CreateMember && *outcome == Outcome::Unknown {
                    self.lost_makes.insert(operation.key().clone(), (about[0], now + wait));
                } else if is_alone {
                    let held = self.barred.entry(about[0]).or_default();
                    *held = (now + wait).max(*held);
                } else {
                    self.hold(about, operation, now + wait);
                }
            }
        }
    }
}

/// Returns whether the server refuses what it was asked for, and may take something else.
const fn is_refusal(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused(Refusal::Forbidden(_) | Refusal::Invalid(_)))
}

/// Returns how long somebody waits at most who has failed so often.
///
/// Source: 50 ms at first and twice as long each time, half a minute at most, and up to a half more.
fn backoff(failures: u32) -> Duration {
    shortest_backoff(failures) * 3 / 2
}

fn shortest_backoff(failures: u32) -> Duration {
    let doubled = Duration::from_millis(50) * (1 << failures.saturating_sub(1).min(10));
    doubled.min(Duration::from_secs(30))
}

/// Returns the intent by which failures are counted: those of some are counted together.
fn class(intent: Intent) -> Intent {
    let together = [
        (Intent::RecordColdStart, Intent::RecordAssignment),
        (Intent::DeleteClaimSandbox, Intent::DeleteClaim),
        (Intent::MarkExpired, Intent::SetClaimStatus),
    ];
    together.into_iter().find(|(it, _)| *it == intent).map_or(intent, |(_, class)| class)
}

/// Returns whether something may be tried for the sake of what its subject belongs to, so that failures are counted there, too.
fn is_of_owner(intent: Intent) -> bool {
    let such = [
        Intent::DeleteMember,
        Intent::DeleteClaimSandbox,
        Intent::DeletePod,
        Intent::DeleteService,
        Intent::DeleteNetworkPolicy,
        Intent::LabelPod,
        Intent::LabelSandbox,
    ];
    is_record(intent) || such.contains(&intent)
}

/// Returns for which of those whom a request is about its failures are counted.
fn counted_for(intent: Intent) -> &'static [usize] {
    if intent == Intent::AdoptSandbox {
        // The claim for which it is tried is neither what is written nor its owner yet.
        &[0, 2]
    } else if is_of_owner(intent) {
        &[0, 1]
    } else {
        &[0]
    }
}

/// Returns whether it is written on a claim which sandbox it gets.
const fn is_record(intent: Intent) -> bool {
    matches!(intent, Intent::RecordAssignment | Intent::RecordColdStart)
}

/// Returns whether there is one reason only for which this is asked, so that a success ends all failures before.
fn is_of_one_kind(intent: Intent) -> bool {
    let such = [
        Intent::AdoptSandbox,
        Intent::CreateClaimSandbox,
        Intent::CreateMember,
        Intent::CreatePod,
        Intent::SetPoolStatus,
        Intent::StampFirstReady,
    ];
    such.contains(&intent)
}

/// Returns whom a request is about. A claim whose record is written stands in the queue of its pool.
pub(super) fn about(action: &Action, store: &Store) -> About {
    let operation = &*action.operation;
    let mut about = About::default();
    let (mut place, mut meta) = (0, None::<&Meta>);
    match operation {
        Operation::Create(object) => meta = Some(object.meta()),
        Operation::Patch(Patch { target, .. }) | Operation::Delete { target, .. } => {
            about[0] = target.uid.unwrap_or_default();
            meta = store.find(target.kind, about[0]).map(Object::meta);
            place = 1;
        }
        Operation::Get { .. } | Operation::Notify(_) => {}
    }
    while let Some(owner) = meta.and_then(|meta| meta.owner.as_ref()).filter(|_| place < about.len()) {
        about[place] = owner.uid;
        place += 1;
        let OwnerKind::Known(kind) = owner.kind else { break };
        meta = store.find(kind, owner.uid).map(Object::meta);
    }
    // One that has changed may have been in another pool's queue, and nobody can tell in which.
    if is_record(action.intent)
        && let Some(claim) = decided_on(action, store)
    {
        let pool = store.get(Kind::Pool, &claim.meta.key.sibling(claim.pool.clone()));
        about[1] = pool.map(Object::uid).unwrap_or_default();
    }
    if let (Intent::AdoptSandbox, Operation::Patch(patch)) = (action.intent, operation) {
        // The claim gets another one no sooner.
        let mut claims = patch
            .changes
            .iter()
            .filter_map(|change| if let Change::Owner(owner) = change { Some(owner.uid) } else { None });
        about[2] = claims.next_back().unwrap_or_default();
    }
    if action.intent == Intent::DeleteMember {
        // A claim that has recorded it waits for that, too.
        let mut claims = store.list(Kind::Claim).iter().filter_map(Object::as_claim);
        let waits = |claim: &&Claim| {
            recorded(claim).is_some_and(|name| claim.meta.key.sibling(name.clone()) == *operation.key())
        };
        about[2] = claims.find(waits).map(|claim| claim.meta.uid).unwrap_or_default();
    }
    about
}
