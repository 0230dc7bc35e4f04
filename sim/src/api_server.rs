//! A model of the Kubernetes API server, as far as controllers can tell it from the real one.
//!
//! One store with one revision counter. Every write that changes something gets the next revision, which
//! becomes the object's version and a line in its kind's history, from which watches are fed. What is
//! modelled, and each point has a test below: names and identities, preconditions, generations, the two
//! halves of an object, graceful deletion of Pods, finalizers of others, a namespace that is going, compaction. What is
//! not: admission, quota, field managers.
//! `tests/tests/apicheck.rs` asks it and a real server the same; docs/api-server-model.md says where they differ.

pub(crate) mod finalizers;
mod numbering;
mod stored;

use std::collections::VecDeque;
use std::sync::Arc;

use agent_sandbox_core::action::{Intent, Operation, Part, Patch, Propagation, Target};
use agent_sandbox_core::event::{Event, Outcome, Refusal};
use agent_sandbox_core::id::{Key, Kind, Text, Uid, Version};
use agent_sandbox_core::object::{ClaimStatus, Object, Phase, PoolStatus, SandboxStatus};
use agent_sandbox_core::patch::Change;
use agent_sandbox_core::time::Wall;

pub use self::numbering::Numbering;
use self::numbering::Numbers;
use self::stored::Marks;
pub(crate) use self::stored::Stored;
use crate::store::Store;

/// The API server: its objects, and what happened to them lately.
#[derive(Clone, Debug, Default)]
pub struct ApiServer {
    store: Store,
    numbers: Numbers,
    revision: u64,
    notices: u64,
    marks: Marks,
    /// The namespace that is going.
    ending: Option<Text>,
    histories: [Arc<History>; Kind::ALL.len()],
}

/// What happened to the objects of one kind, as far as it is kept.
#[derive(Clone, Debug, Default)]
struct History {
    /// Each with its revision.
    changes: VecDeque<(Version, Seen)>,
    /// A watch that has not got this far cannot go on.
    compacted: Version,
}

/// One line of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The object looks like this.
    Applied(Object),
    /// The object is gone; it carries the version of its deletion.
    Deleted(Object),
}

impl Seen {
    /// Returns the object.
    pub const fn object(&self) -> &Object {
        match self {
            Self::Applied(object) | Self::Deleted(object) => object,
        }
    }

    /// Returns the object's version.
    pub fn version(&self) -> Version {
        self.object().version()
    }
}

impl From<Seen> for Event {
    fn from(seen: Seen) -> Self {
        match seen {
            Seen::Applied(object) => Self::Applied(object),
            Seen::Deleted(object) => Self::Deleted(object),
        }
    }
}

/// What comes next on a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// The watch has shown everything.
    Nothing,
    /// This happened, at this revision.
    Seen(Version, Seen),
    /// 410 Gone: what comes next was compacted away.
    Compacted,
}

/// Who wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// A controller process.
    Process {
        /// Which one.
        process: u8,
        /// The term in which it decided.
        term: u64,
        /// What for.
        intent: Intent,
    },
    /// Somebody with kubectl.
    User,
    /// The scheduler.
    Scheduler,
    /// The kubelet of some node.
    Kubelet,
    /// The garbage collector.
    Collector,
}

/// One change of the store.
#[derive(Clone, Debug)]
pub struct Commit {
    /// Its revision.
    pub version: Version,
    /// The object before; `None` when it was created.
    pub old: Option<Object>,
    /// The object after; `None` when it is gone.
    pub new: Option<Object>,
    /// Who did it; `None` where nobody can tell, as in a watch log.
    pub by: Option<Writer>,
}

impl Commit {
    /// Returns whether it changes something about the object; to come and to go changes everything.
    pub fn changes<'a, T: PartialEq>(&'a self, what: impl Fn(&'a Object) -> T) -> bool {
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => what(old) != what(new),
            (old, new) => old.is_some() || new.is_some(),
        }
    }

    /// Returns the object after the change, or before it where nothing is left.
    ///
    /// # Panics
    /// When the commit is about no object at all, which nothing makes.
    pub fn object(&self) -> &Object {
        self.new.as_ref().or(self.old.as_ref()).expect("a commit is about an object")
    }

    /// Returns whether the object was there before, alive, and is gone or terminating after.
    pub fn ends_life(&self) -> bool {
        let live = |object: &Option<Object>| object.as_ref().is_some_and(|object| !object.meta().terminating);
        live(&self.old) && !live(&self.new)
    }
}

impl ApiServer {
    /// Returns a server that stores nothing.
    pub fn new(numbering: Numbering) -> Self {
        Self { numbers: Numbers::new(numbering), ..Self::default() }
    }

    /// Returns how identities and versions are chosen.
    pub const fn numbering(&self) -> Numbering {
        self.numbers.numbering
    }

    /// Returns what is stored.
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// Returns the revision of the latest change.
    pub const fn revision(&self) -> Version {
        Version(self.revision)
    }

    /// Reads a list of a kind, or sends a bookmark: returns the latest revision.
    pub fn read(&mut self, kind: Kind) -> Version {
        self.numbers.list(kind, self.revision);
        self.revision()
    }

    /// Returns the version that a list or a bookmark of a kind as of a revision has.
    pub fn version_of_list(&self, kind: Kind, revision: Version) -> Version {
        self.numbers.version_of_list(kind, revision.0)
    }

    /// Returns how many Kubernetes Events were written.
    pub const fn notices(&self) -> u64 {
        self.notices
    }

    /// Does what a request asks for, if its preconditions hold; returns the answer and the change, if there
    /// was one.
    pub fn handle(&mut self, operation: &Operation, by: Writer, now: Wall) -> (Outcome, Option<Commit>) {
        if let Some(namespace) = self.ending.as_ref().filter(|ending| operation.key().namespace == **ending)
            && matches!(operation, Operation::Create(_) | Operation::Notify(_))
        {
            let why = format!(
                "unable to create new content in namespace {namespace} because it is being terminated"
            );
            return (Outcome::Refused(Refusal::NamespaceEnding(why.into())), None);
        }
        match operation {
            Operation::Create(draft) => self.create(draft, by, now),
            Operation::Patch(patch) => self.patch(patch, by),
            Operation::Delete { target, version, propagation } => {
                self.delete(target, *version, *propagation, by)
            }
            Operation::Get { kind, key } => {
                let found = self.store.get(*kind, key);
                (found.map_or(Outcome::NotFound, |object| Outcome::Done(object.clone())), None)
            }
            Operation::Notify(_) => {
                self.notices += 1;
                (Outcome::Accepted, None)
            }
        }
    }

    fn create(&mut self, draft: &Object, by: Writer, now: Wall) -> (Outcome, Option<Commit>) {
        if self.store.get(draft.kind(), draft.key()).is_some() {
            return (Outcome::AlreadyExists, None);
        }
        let mut object = draft.clone();
        reset_status(&mut object);
        let uid = self.numbers.identity(draft);
        let meta = object.meta_mut();
        meta.uid = uid;
        meta.created = now.whole_seconds();
        meta.generation = i64::from(counts_generations(draft.kind()));
        meta.terminating = false;
        let commit = self.write(None, object, by);
        (Outcome::Done(commit.object().clone()), Some(commit))
    }

    fn patch(&mut self, patch: &Patch, by: Writer) -> (Outcome, Option<Commit>) {
        let mut target = patch.target.clone();
        if patch.part == Part::Status {
            // The server puts the stored metadata in the place of the patch's, whose uid nobody looks at any more.
            target.uid = None;
        }
        let old = match self.check(&target, patch.version) {
            Ok(object) => object.clone(),
            Err(outcome) => return (outcome, None),
        };
        let mut object = old.clone();
        for change in patch.changes.iter().filter(|change| part_of(change) == patch.part && !change.is_spec())
        {
            change.apply(&mut object);
        }
        if patch.part == Part::Main {
            let before = object.clone();
            patch
                .changes
                .iter()
                .filter(|change| change.is_spec())
                .for_each(|change| change.apply(&mut object));
            if object != before && counts_generations(object.kind()) {
                object.meta_mut().generation += 1;
            }
        }
        if object == old {
            return (Outcome::Done(old), None);
        }
        let commit = self.write(Some(old), object, by);
        (Outcome::Done(commit.object().clone()), Some(commit))
    }

    fn delete(
        &mut self,
        target: &Target,
        version: Option<Version>,
        propagation: Propagation,
        by: Writer,
    ) -> (Outcome, Option<Commit>) {
        let old = match self.check(target, version) {
            Ok(object) => object.clone(),
            Err(outcome) => return (outcome, None),
        };
        let commit = match propagation {
            // A request that names no policy leaves it at the one under way.
            Propagation::Background if old.meta().terminating => None,
            Propagation::Background => self.delete_now(target.kind, &target.key, by),
            Propagation::Foreground => self.update(target.kind, &target.key, by, terminate),
        };
        match commit {
            None => (Outcome::Done(old), None),
            Some(commit) => {
                let left = commit.new.clone().or_else(|| self.last_words(target.kind));
                (left.map_or(Outcome::Accepted, Outcome::Done), Some(commit))
            }
        }
    }

    /// Returns what the answer to a delete shows of the object that was just removed; of most kinds nothing.
    ///
    /// Source: `ReturnDeletedObject` in the registries of Pods and Services.
    fn last_words(&self, kind: Kind) -> Option<Object> {
        if !matches!(kind, Kind::Pod | Kind::Service) {
            return None;
        }
        let (_, Seen::Deleted(gone)) = self.histories[kind.index()].changes.back()? else { return None };
        let mut gone = gone.clone();
        if kind == Kind::Pod {
            terminate(&mut gone);
        }
        Some(gone)
    }

    /// Deletes whatever holds a name: a Pod that runs is terminating first, everything else goes at once.
    pub fn delete_now(&mut self, kind: Kind, key: &Key, by: Writer) -> Option<Commit> {
        let old = self.store.get(kind, key)?;
        if !ends_gracefully(old) {
            return self.remove(kind, key, by);
        }
        self.update(kind, key, by, terminate)
    }

    /// Finds the object that a request names, or returns what the server says instead.
    fn check(&self, target: &Target, version: Option<Version>) -> Result<&Object, Outcome> {
        let object = self.store.get(target.kind, &target.key).ok_or(Outcome::NotFound)?;
        let same = target.uid.is_none_or(|uid| uid == object.uid())
            && version.is_none_or(|version| version == object.version());
        if same { Ok(object) } else { Err(Outcome::Conflict) }
    }

    /// Changes an object as those do who always act on its newest state: users, the scheduler, kubelets.
    pub fn update(
        &mut self,
        kind: Kind,
        key: &Key,
        by: Writer,
        change: impl FnOnce(&mut Object),
    ) -> Option<Commit> {
        let old = self.store.get(kind, key)?.clone();
        let mut object = old.clone();
        change(&mut object);
        (object != old).then(|| self.write(Some(old), object, by))
    }

    /// Takes an object away at once, whatever it says about grace; what bears a finalizer stays.
    pub fn remove(&mut self, kind: Kind, key: &Key, by: Writer) -> Option<Commit> {
        if finalizers::bears_one(self.store.get(kind, key)?.meta()) {
            return self.update(kind, key, by, finalizers::leave);
        }
        self.erase(kind, key, by)
    }

    /// Takes the finalizer off an object, and the object away if nothing else keeps it.
    pub fn release(&mut self, kind: Kind, uid: Uid) -> Option<Commit> {
        let object = self.store.find(kind, uid)?;
        let key = object.key().clone();
        if finalizers::is_last(object.meta()) {
            return self.erase(kind, &key, Writer::User);
        }
        self.update(kind, &key, Writer::User, |object| {
            object.meta_mut().annotations.remove(finalizers::FINALIZER);
        })
    }

    /// Deletes a namespace: from now on nothing is created in it.
    pub fn end_namespace(&mut self, namespace: &Text) {
        self.ending = Some(namespace.clone());
    }

    /// Returns the namespace that was deleted.
    pub const fn ending(&self) -> Option<&Text> {
        self.ending.as_ref()
    }

    fn erase(&mut self, kind: Kind, key: &Key, by: Writer) -> Option<Commit> {
        let old = self.store.remove(kind, key)?;
        self.marks.forget(&self.numbers, &old);
        let version = self.next_revision();
        let gone = self.gone(version, &old);
        self.history_mut(kind).changes.push_back((version, Seen::Deleted(gone)));
        Some(Commit { version, old: Some(old), new: None, by: Some(by) })
    }

    /// Returns what a watch shows of an object that is removed.
    fn gone(&self, version: Version, old: &Object) -> Object {
        let mut gone = old.clone();
        gone.meta_mut().version = self.numbers.version(version.0, Some(old), old);
        gone
    }

    fn write(&mut self, old: Option<Object>, mut object: Object, by: Writer) -> Commit {
        let version = self.next_revision();
        object.meta_mut().version = self.numbers.version(version.0, old.as_ref(), &object);
        let before = self.store.put(object.clone());
        before.iter().for_each(|before| self.marks.forget(&self.numbers, before));
        self.marks.add(&self.numbers, &object);
        self.history_mut(object.kind()).changes.push_back((version, Seen::Applied(object.clone())));
        Commit { version, old, new: Some(object), by: Some(by) }
    }

    fn next_revision(&mut self) -> Version {
        self.revision += 1;
        Version(self.revision)
    }

    fn history_mut(&mut self, kind: Kind) -> &mut History {
        Arc::make_mut(&mut self.histories[kind.index()])
    }

    /// Returns what a watch that has shown everything up to `cursor` shows next.
    pub fn next(&self, kind: Kind, cursor: Version) -> Next {
        let history = &self.histories[kind.index()];
        if cursor < history.compacted {
            return Next::Compacted;
        }
        self.lines_after(kind, cursor)
            .next()
            .map_or(Next::Nothing, |(at, seen)| Next::Seen(*at, seen.clone()))
    }

    /// Returns what happened to the objects of a kind after `cursor`, as far as it is kept.
    pub fn lines_after(&self, kind: Kind, cursor: Version) -> impl Iterator<Item = &(Version, Seen)> {
        let changes = &self.histories[kind.index()].changes;
        changes.range(changes.partition_point(|(at, _)| *at <= cursor)..)
    }

    /// Returns whether a watch that has shown everything up to `cursor` has something left to show.
    pub fn is_behind(&self, kind: Kind, cursor: Version) -> bool {
        let history = &self.histories[kind.index()];
        cursor < history.compacted || history.changes.back().is_some_and(|(at, _)| *at > cursor)
    }

    /// Drops the history of a kind: a watch that lags has lost its place.
    pub fn compact(&mut self, kind: Kind) {
        let history = self.history_mut(kind);
        history.compacted = history.changes.back().map_or(history.compacted, |(at, _)| *at);
        history.changes.clear();
    }

    /// Forgets what every watch has shown. Nobody can tell: this is about memory only.
    pub fn trim(&mut self, kind: Kind, shown: Version) {
        let history = &self.histories[kind.index()];
        if history.changes.front().is_none_or(|(at, _)| *at > shown) {
            return;
        }
        let history = self.history_mut(kind);
        while history.changes.front().is_some_and(|(at, _)| *at <= shown) {
            history.changes.pop_front();
        }
    }
}

/// Returns the identity that the server gives to the object that it makes as number `serial`.
///
/// The bits of version and variant are those of a random UUID.
pub const fn uid_of_serial(serial: u64) -> Uid {
    Uid::from_bits(0x0000_0000_0000_4000_8000_0000_0000_0000 | serial as u128)
}

/// Marks an object that is there until somebody has done what is left to do: the end counts as a change of the spec.
pub(crate) fn terminate(object: &mut Object) {
    let counts = counts_generations(object.kind());
    let meta = object.meta_mut();
    meta.generation += i64::from(counts && !meta.terminating);
    meta.terminating = true;
}

/// Returns whether the server counts the states of the spec in `metadata.generation`.
const fn counts_generations(kind: Kind) -> bool {
    !matches!(kind, Kind::Service | Kind::VolumeClaim)
}

/// A create sets no status, except on Pods, whose first status the server writes itself.
pub(crate) fn reset_status(object: &mut Object) {
    match object {
        Object::Claim(claim) => Arc::make_mut(claim).status = ClaimStatus::default(),
        Object::Pool(pool) => Arc::make_mut(pool).status = PoolStatus::default(),
        Object::Sandbox(sandbox) => Arc::make_mut(sandbox).status = SandboxStatus::default(),
        Object::Pod(pod) => {
            let pod = Arc::make_mut(pod);
            pod.spec = None;
            pod.phase = Phase::Pending;
            pod.ready = false;
            pod.scheduled = None;
            pod.ips.clear();
        }
        Object::Template(_) | Object::Service(_) | Object::VolumeClaim(_) | Object::NetworkPolicy(_) => {}
    }
}

const fn part_of(change: &Change) -> Part {
    match change {
        Change::ClaimStatus(_) | Change::PoolStatus(_) | Change::SandboxStatus(_) => Part::Status,
        Change::Label(..)
        | Change::Annotation(..)
        | Change::Owner(_)
        | Change::CoOwners(_)
        | Change::PodLabel(..)
        | Change::PodAnnotation(..)
        | Change::Spec(_) => Part::Main,
    }
}

/// Returns whether the object stays, terminating, until its kubelet has stopped it.
///
/// Source: `podStrategy.CheckGracefulDelete`: no grace before a Pod is scheduled nor after it has ended.
fn ends_gracefully(object: &Object) -> bool {
    match object {
        Object::Pod(pod) => !pod.node.is_empty() && !pod.phase.is_terminal(),
        Object::VolumeClaim(_) => true,
        Object::Claim(_)
        | Object::Pool(_)
        | Object::Template(_)
        | Object::Sandbox(_)
        | Object::Service(_)
        | Object::NetworkPolicy(_) => false,
    }
}

#[cfg(test)]
mod tests;
