//! What each process knows for certain, as far as an onlooker can tell.

use std::collections::{BTreeMap, BTreeSet};

use agent_sandbox_core::action::{Action, Intent, Operation, Part};
use agent_sandbox_core::event::Outcome;
use agent_sandbox_core::id::{Key, Kind, Text, Uid, Version};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Claim, Object, Pool, Sandbox, Template, Truth, Update};
use agent_sandbox_core::patch::Change;
use agent_sandbox_core::time::Wall;

use super::{as_claim, as_pool, as_sandbox};
use crate::api_server::{Commit, Seen};
use crate::reference::pools;
use crate::step::{Fact, Sent};
use crate::store::Store;

/// A decision can be judged only by what its process knew: from lists, from watches, and from answers to its own writes.
/// What is said to be known here is known; what is not may be, as when a write of the process itself is under way.
#[derive(Clone, Debug, Default)]
pub struct Known {
    processes: BTreeMap<u8, Process>,
    /// Kind → when an object of it was removed last.
    removed: [Version; Kind::ALL.len()],
    /// Owner → when it lost one of its sandboxes or Pods last.
    parted: BTreeMap<Uid, Version>,
    /// Name of a sandbox → how many claims record or show it.
    recorded: BTreeMap<Text, u32>,
    /// Name of a sandbox → when a claim stopped to record or show it last.
    dropped: BTreeMap<Text, Version>,
    /// Pool → its claims that record nothing, by age.
    waiting: BTreeMap<Key, BTreeSet<(Wall, Uid)>>,
    /// Claims that have recorded something at some time.
    served: BTreeSet<Uid>,
}

/// One process since it runs.
#[derive(Clone, Debug, Default)]
struct Process {
    /// Kind → up to where a list or a watch has shown it everything.
    seen: [Version; Kind::ALL.len()],
    /// Object → its version in the latest answer about it.
    told: BTreeMap<Uid, Version>,
    /// Objects about which it has sent a write that is not known to have been made.
    open: BTreeSet<Uid>,
    /// Objects of which the server has refused it a write: it may wait before it tries again.
    barred: BTreeSet<Uid>,
    /// Pools and templates that it was shown.
    met: BTreeSet<Uid>,
    /// Names of which the server has told it, when it asked, that nobody has them, and it was shown nobody new who has.
    absent: BTreeSet<(Kind, Key)>,
    /// Names of sandboxes that it has wanted to record on a claim, and not found done so far.
    promised: BTreeSet<Text>,
    /// Objects that it deletes, and the server has not said no.
    leaving: BTreeSet<Uid>,
    /// Pods that it makes, by their sandbox and name: nobody has seen them, and the server has not answered.
    making: BTreeSet<(Uid, Key)>,
    /// What it has decided: objects, and the versions on which that was.
    decided: BTreeSet<(Uid, Option<Version>)>,
}

/// Where a member stands that its pool could give away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// It is ready.
    Ready,
    /// It has an address, and is not ready.
    Reachable,
    /// It has none yet.
    Starting,
}

impl Known {
    /// Notes what processes are shown and told.
    pub(super) fn on_fact(&mut self, fact: &Fact) {
        if let Fact::Answered { process, action, outcome } = fact
            && !matches!(outcome, Outcome::Done(_) | Outcome::Accepted)
            && let Some(uid) = deleted(&action.operation)
        {
            self.processes.entry(*process).or_default().leaving.remove(&uid);
        }
        if let Fact::Answered { process, action, outcome: _ } = fact
            && let Some(pod) = made_pod(&action.operation)
        {
            self.processes.entry(*process).or_default().making.remove(&pod);
        }
        self.note_names(fact);
        match fact {
            Fact::Shown { process, kind, upto: at, .. } | Fact::Relisted { process, kind, at, .. } => {
                self.processes.entry(*process).or_default().seen[kind.index()] = *at;
            }
            Fact::Answered { process, action, outcome: outcome @ (Outcome::Done(_) | Outcome::Accepted) } => {
                let known = self.processes.entry(*process).or_default();
                if let Outcome::Done(object) = outcome {
                    known.told.insert(object.uid(), object.version());
                }
                if let Some((uid, _)) = subject(&action.operation) {
                    known.open.remove(&uid);
                }
                if let Some(name) = recorded_by(&action.operation) {
                    known.promised.remove(name);
                }
            }
            Fact::Answered { process, action, outcome: Outcome::Refused(_) } => {
                if let Some((uid, _)) = subject(&action.operation) {
                    self.processes.entry(*process).or_default().barred.insert(uid);
                }
            }
            // It lists anew, and remembers what was refused to it.
            Fact::Leading { process, .. } | Fact::Deposed { process, .. } => {
                let known = self.processes.entry(*process).or_default();
                known.seen = Default::default();
                known.leaving.clear();
                known.making.clear();
            }
            Fact::Crashed { process, .. } => {
                self.processes.remove(process);
            }
            Fact::Sent(_)
            | Fact::Committed(_)
            | Fact::Handled(_)
            | Fact::Answered { .. }
            | Fact::Listed(..)
            | Fact::WatchLost(..)
            | Fact::Started(_)
            | Fact::CalendarSet(_)
            | Fact::Ran(_) => {}
        }
    }

    /// Notes which names nobody has, as a process is told, and which names somebody has.
    fn note_names(&mut self, fact: &Fact) {
        match fact {
            Fact::Answered { process, action, outcome: Outcome::NotFound } => {
                if let Operation::Get { kind, key } = &*action.operation {
                    self.processes.entry(*process).or_default().absent.insert((*kind, key.clone()));
                }
            }
            Fact::Answered { process, outcome: Outcome::Done(object), .. }
            | Fact::Shown { process, line: Some(Seen::Applied(object)), .. } => {
                self.processes.entry(*process).or_default().meet(object);
            }
            Fact::Relisted { process, objects, .. } => {
                let known = self.processes.entry(*process).or_default();
                objects.iter().for_each(|object| known.meet(object));
            }
            Fact::Answered { .. }
            | Fact::Shown { .. }
            | Fact::Leading { .. }
            | Fact::Deposed { .. }
            | Fact::Crashed { .. }
            | Fact::Sent(_)
            | Fact::Committed(_)
            | Fact::Handled(_)
            | Fact::Listed(..)
            | Fact::WatchLost(..)
            | Fact::Started(_)
            | Fact::CalendarSet(_)
            | Fact::Ran(_) => {}
        }
    }

    /// Notes a change of the store.
    pub(super) fn on_commit(&mut self, commit: &Commit) {
        if commit.new.is_none() {
            self.removed[commit.object().kind().index()] = commit.version;
        }
        let owner = |object: &Object| object.meta().owner.as_ref().map(|owner| owner.uid);
        let before = commit.old.as_ref().and_then(owner);
        if let Some(owner) = before.filter(|before| commit.new.as_ref().and_then(owner) != Some(*before)) {
            self.parted.insert(owner, commit.version);
        }
        if let Some(pod) = commit.new.as_ref().filter(|new| new.kind() == Kind::Pod) {
            // Whoever makes it too may see this one before it is answered.
            let is_other = |(_, key): &(Uid, Key)| key != pod.key();
            self.processes.values_mut().for_each(|known| known.making.retain(is_other));
        }
        let claims = [as_claim(commit.old.as_ref()), as_claim(commit.new.as_ref())];
        if let [None, None] = claims {
            return;
        }
        let [old, new] = claims.map(|claim| claim.map(records).unwrap_or_default());
        for name in old.difference(&new) {
            self.dropped.insert((*name).clone(), commit.version);
            match self.recorded.get_mut(*name) {
                Some(count) if *count > 1 => *count -= 1,
                _ => _ = self.recorded.remove(*name),
            }
        }
        for name in new.difference(&old) {
            *self.recorded.entry((*name).clone()).or_default() += 1;
        }
        let place = |claim: &Claim| {
            (claim.meta.key.sibling(claim.pool.clone()), (claim.meta.created, claim.meta.uid))
        };
        let waits = |claim: &&Claim| records(claim).is_empty();
        if let Some((pool, entry)) = claims[0].filter(waits).map(place)
            && let Some(waiting) = self.waiting.get_mut(&pool)
        {
            waiting.remove(&entry);
        }
        if let Some((pool, entry)) = claims[1].filter(waits).map(place) {
            self.waiting.entry(pool).or_default().insert(entry);
        }
        match claims[1] {
            Some(claim) if !new.is_empty() => _ = self.served.insert(claim.meta.uid),
            Some(_) => {}
            None => _ = self.served.remove(&commit.object().uid()),
        }
    }

    /// Notes a request.
    pub(super) fn on_sent(&mut self, sent: &Sent) {
        let known = self.processes.entry(sent.process).or_default();
        if let Some(name) = recorded_by(&sent.action.operation) {
            known.promised.insert(name.clone());
        }
        known.making.extend(made_pod(&sent.action.operation));
        if let Some((uid, version)) = subject(&sent.action.operation) {
            known.open.insert(uid);
            known.leaving.extend(deleted(&sent.action.operation));
            known.decided.insert((uid, version));
        }
    }

    /// Returns whether a request is a new decision, and not the same again. What a status is to say, and whether something is
    /// to go, is decided anew each time.
    pub(super) fn is_new(&self, sent: &Sent) -> bool {
        let is_anew = match &*sent.action.operation {
            Operation::Patch(patch) => patch.part == Part::Status,
            Operation::Delete { .. } => true,
            Operation::Create(_) | Operation::Get { .. } | Operation::Notify(_) => false,
        };
        if is_anew {
            return true;
        }
        let known = self.processes.get(&sent.process);
        let decided = subject(&sent.action.operation).zip(known);
        decided.is_none_or(|(decision, known)| !known.decided.contains(&decision))
    }

    /// Returns whether a process knows how an object stands at this moment, and does nothing about it.
    pub fn knows(&self, process: u8, object: &Object) -> bool {
        let is_left_alone =
            |known: &Process| !known.open.contains(&object.uid()) && !known.barred.contains(&object.uid());
        self.sees(process, object) && self.processes.get(&process).is_some_and(is_left_alone)
    }

    /// Returns whether a process was shown how an object stands at this moment, whatever it does about it.
    pub(super) fn sees(&self, process: u8, object: &Object) -> bool {
        self.processes.get(&process).is_some_and(|known| {
            object.version() <= known.seen[object.kind().index()]
                || known.told.get(&object.uid()) == Some(&object.version())
        })
    }

    /// Returns whether a process knows all that an owner has left of this kind.
    pub(super) fn knows_children(&self, process: u8, owner: Uid, kind: Kind) -> bool {
        self.parted.get(&owner).is_none_or(|at| self.has_seen(process, kind, *at))
    }

    /// Returns whether a process has a Pod for a sandbox under way, which may be there soon.
    pub(super) fn makes_pod(&self, process: u8, sandbox: Uid) -> bool {
        let known = self.processes.get(&process);
        known.is_some_and(|known| known.making.iter().any(|(owner, _)| *owner == sandbox))
    }

    /// Returns whether a process was shown everything of a kind up to a version.
    pub fn has_seen(&self, process: u8, kind: Kind, at: Version) -> bool {
        self.processes.get(&process).is_some_and(|known| at <= known.seen[kind.index()])
    }

    /// Returns whether a process knows that nobody has a name: so it is, and it was shown the last object of that kind go.
    pub(super) fn knows_absent(&self, process: u8, (kind, key): (Kind, &Key), store: &Store) -> bool {
        store.get(kind, key).is_none() && self.has_seen(process, kind, self.removed[kind.index()])
    }

    /// Returns whether the server has told a process that nobody has a name, since it was shown somebody who had it.
    pub(super) fn was_told_absent(&self, process: u8, kind: Kind, key: &Key) -> bool {
        self.processes.get(&process).is_some_and(|known| known.absent.contains(&(kind, key.clone())))
    }

    /// Returns the claims of a pool that record nothing, the oldest first.
    pub(super) fn waiting(&self, pool: &Key) -> impl Iterator<Item = &(Wall, Uid)> {
        self.waiting.get(pool).into_iter().flatten()
    }

    /// Returns whether a claim has never recorded anything.
    pub(super) fn was_never_served(&self, claim: Uid) -> bool {
        !self.served.contains(&claim)
    }

    /// Returns the pool of a claim, if a process knows it and its template as they are, and whether the pool judges its
    /// members by that.
    pub(super) fn pool_of<'a>(
        &self,
        process: u8,
        claim: &Claim,
        store: &'a Store,
    ) -> Option<(&'a Pool, &'a Template)> {
        let pool = store.get(Kind::Pool, &claim.meta.key.sibling(claim.pool.clone()))?;
        self.settled_pool(process, pool, store)
    }

    /// Returns a pool that lives with its template, if a process knows both as they are.
    pub(super) fn settled_pool<'a>(
        &self,
        process: u8,
        object: &'a Object,
        store: &'a Store,
    ) -> Option<(&'a Pool, &'a Template)> {
        let pool = as_pool(Some(object)).filter(|pool| !pool.meta.terminating)?;
        let template = store.get(Kind::Template, &pool.meta.key.sibling(pool.template.clone()))?;
        let is_known = self.knows(process, object) && self.knows(process, template);
        let Object::Template(template) = template else { return None };
        is_known.then_some((pool, template))
    }

    /// Returns where a member stands, if a process knows that, and knows that it may give it away.
    pub(super) fn stand(&self, process: u8, member: &Object, store: &Store) -> Option<Stand> {
        let sandbox = as_sandbox(Some(member))?;
        let is_sound = !sandbox.meta.terminating && !sandbox.suspended && !sandbox.status.is_expired();
        if !self.is_free(process, &sandbox.meta.key.name) || !is_sound || !self.knows(process, member) {
            return None;
        }
        self.state(process, sandbox, store)
    }

    /// Returns whether a process knows that no claim has a sandbox of this name, or is to get it.
    pub(super) fn is_free(&self, process: u8, name: &Text) -> bool {
        !self.recorded.contains_key(name)
            && self.dropped.get(name).is_none_or(|at| self.has_seen(process, Kind::Claim, *at))
            && self.processes.get(&process).is_some_and(|known| !known.promised.contains(name))
    }

    /// Returns whether a claim records or shows a sandbox of this name.
    pub(super) fn is_recorded(&self, name: &Text) -> bool {
        self.recorded.contains_key(name)
    }

    /// Returns whether a process has wanted to record a sandbox of this name, and nobody can tell whether it still does.
    pub(super) fn is_unsure(&self, process: u8, name: &Text) -> bool {
        let is_promised = self.processes.get(&process).is_some_and(|known| known.promised.contains(name));
        is_promised && !self.is_recorded(name)
    }

    /// Returns whether a process knows a sandbox with all of its Pods.
    pub(super) fn knows_whole(&self, process: u8, object: &Object, store: &Store) -> bool {
        self.knows(process, object)
            && self.knows_children(process, object.uid(), Kind::Pod)
            && store.owned_by(Kind::Pod, object.uid()).all(|pod| self.knows(process, pod))
    }

    /// Returns whether a process knows that a member is going, or makes it go.
    pub(super) fn is_leaving(&self, process: u8, member: &Object) -> bool {
        let sends = self.processes.get(&process).is_some_and(|known| known.leaving.contains(&member.uid()));
        sends || (member.meta().terminating && self.knows(process, member))
    }

    /// Returns how far a sandbox's Pod has come, if it has at most one and a process knows that.
    fn state(&self, process: u8, sandbox: &Sandbox, store: &Store) -> Option<Stand> {
        if !self.knows_children(process, sandbox.meta.uid, Kind::Pod) {
            return None;
        }
        let mut pods = store.owned_by(Kind::Pod, sandbox.meta.uid);
        let Some(object) = pods.next() else { return Some(Stand::Starting) };
        let pod = object.as_pod().filter(|pod| !pod.meta.terminating && !pod.phase.is_terminal())?;
        if pods.next().is_some() || !self.knows(process, object) {
            return None;
        }
        Some(if pod.ips.is_empty() {
            Stand::Starting
        } else if pod.ready && says_ready(sandbox) {
            Stand::Ready
        } else {
            Stand::Reachable
        })
    }
}

impl Process {
    /// Notes that somebody has a name. A late line or list that shows one who had it before the server said that nobody has it
    /// is no news.
    fn meet(&mut self, object: &Object) {
        if ![Kind::Pool, Kind::Template].contains(&object.kind()) {
            return;
        }
        if self.met.insert(object.uid()) {
            self.absent.remove(&(object.kind(), object.key().clone()));
        }
    }
}

/// Returns whether a pool replaces members that are like this.
pub(super) fn is_stale(member: &Sandbox, pool: &Pool, store: &Store) -> bool {
    pool.update == Update::Recreate && pools::is_stale(member, pool, store)
}

/// Returns whether a sandbox says that it is ready, of its present spec.
pub(super) fn says_ready(sandbox: &Sandbox) -> bool {
    sandbox.status.condition(names::READY).is_some_and(|condition| {
        condition.status == Truth::True && condition.observed == sandbox.meta.generation
    })
}

/// Returns what a request records on a claim as the sandbox that it will get from its pool.
pub(super) fn assigned<'a>(sent: &'a Sent, store: &'a Store) -> Option<(&'a Claim, &'a Object)> {
    if sent.action.intent != Intent::RecordAssignment {
        return None;
    }
    let claim = decided_on(&sent.action, store)?;
    let name = recorded_by(&sent.action.operation)?;
    Some((claim, store.get(Kind::Sandbox, &claim.meta.key.sibling(name.clone()))?))
}

/// Returns the member that a pool lets go by a request.
pub(super) fn deleted_member<'a>(sent: &Sent, store: &'a Store) -> Option<&'a Object> {
    let uid = deleted(&sent.action.operation).filter(|_| sent.action.intent == Intent::DeleteMember)?;
    store.find(Kind::Sandbox, uid)
}

/// Returns the claim that a request is about, if it still is as it was when that was decided.
pub(super) fn decided_on<'a>(action: &Action, store: &'a Store) -> Option<&'a Claim> {
    let (uid, version) = subject(&action.operation)?;
    as_claim(store.find(Kind::Claim, uid)).filter(|claim| Some(claim.meta.version) == version)
}

/// Returns which object a request changes or deletes, and on which version that was decided.
pub(super) fn subject(operation: &Operation) -> Option<(Uid, Option<Version>)> {
    let (target, version) = match operation {
        Operation::Patch(patch) => (&patch.target, patch.version),
        Operation::Delete { target, version, .. } => (target, *version),
        Operation::Create(_) | Operation::Get { .. } | Operation::Notify(_) => return None,
    };
    target.uid.map(|uid| (uid, version))
}

/// Returns the Pod that a request makes, by its sandbox and name.
fn made_pod(operation: &Operation) -> Option<(Uid, Key)> {
    let Operation::Create(pod) = operation else { return None };
    let sandbox = pod.meta().owner_of_kind(Kind::Sandbox).filter(|_| pod.kind() == Kind::Pod)?;
    Some((sandbox, pod.key().clone()))
}

fn deleted(operation: &Operation) -> Option<Uid> {
    if let Operation::Delete { target, .. } = operation { target.uid } else { None }
}

fn recorded_by(operation: &Operation) -> Option<&Text> {
    let Operation::Patch(patch) = operation else { return None };
    patch.changes.iter().find_map(|change| {
        if let Change::Annotation(key, Some(name)) = change
            && &**key == names::SANDBOX_NAME
        {
            Some(name)
        } else {
            None
        }
    })
}

/// Returns the names of the sandboxes that a claim records or shows, in whatever way.
fn records(claim: &Claim) -> BTreeSet<&Text> {
    let shown = claim.status.sandbox.as_ref().map(|bound| &bound.name);
    let noted = [claim.meta.annotation(names::SANDBOX_NAME), claim.meta.label(names::LEGACY_SANDBOX_NAME)];
    noted.into_iter().flatten().chain(shown).collect()
}
