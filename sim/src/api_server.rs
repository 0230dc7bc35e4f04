//! A model of the Kubernetes API server, as far as controllers can tell it from the real one.
//!
//! One store with one revision counter. Every write that changes something gets the next revision, which
//! becomes the object's version and a line in its kind's history, from which watches are fed. What is
//! modelled, and each point has a test here or below: names and identities, preconditions, generations, the two
//! halves of an object, deletion with grace, finalizers and three policies, a namespace that is going, lists by pages and as
//! of a version, compaction, and what is refused. What is not: admission, quota, field managers.
//! `tests/tests/apicheck.rs` asks it and a real server the same; docs/api-server-model.md says where they differ.

mod body;
mod defaults;
mod delete;
mod json_patch;
pub(crate) mod kept;
mod list;
mod numbering;
mod request;
mod stored;
mod validate;

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use agent_sandbox_core::action::{Intent, Notice, Operation, Part, Patch, Target};
use agent_sandbox_core::event::{Event, Outcome, Refusal};
use agent_sandbox_core::id::{Key, Kind, Text, Uid, Version};
use agent_sandbox_core::object::{ClaimStatus, Object, Phase, PoolStatus, SandboxStatus};
use agent_sandbox_core::patch::Change;
use agent_sandbox_core::time::Wall;

pub use self::body::body;
pub(crate) use self::defaults::policy as policy_defaults;
pub use self::delete::{Deletion, Dependents};
pub use self::kept::Kept;
pub use self::list::{Continue, Moment, Page};
pub use self::numbering::Numbering;
use self::numbering::Numbers;
pub use self::request::{Answer, Document, Refused, Request};
use self::stored::Marks;
pub(crate) use self::stored::Stored;
pub(crate) use self::validate::is_subdomain;
use crate::store::Store;

/// The API server: its objects, and what happened to them lately.
#[derive(Clone, Debug, Default)]
pub struct ApiServer {
    store: Store,
    numbers: Numbers,
    revision: u64,
    notices: u64,
    events: Arc<BTreeSet<Key>>,
    marks: Marks,
    /// The namespace that is going.
    ending: Option<Text>,
    histories: [Arc<History>; Kind::ALL.len()],
}

/// What happened to the objects of one kind, as far as it is kept.
#[derive(Clone, Debug, Default)]
struct History {
    changes: VecDeque<Line>,
    /// A watch that has not got this far cannot go on.
    compacted: Version,
    /// Up to here the changes are forgotten to save memory.
    trimmed: Version,
}

/// One line of a history.
#[derive(Clone, Debug)]
struct Line {
    /// Its revision.
    at: Version,
    /// What a watch shows.
    seen: Seen,
    /// What was there before.
    old: Option<Object>,
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

/// The changes that one request makes, in their order.
pub type Commits = [Option<Commit>; 2];

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

    /// Does what a request asks for, if its preconditions hold; returns the answer and the changes.
    pub fn handle(&mut self, operation: &Operation, by: Writer, now: Wall) -> (Outcome, Commits) {
        if let Some(namespace) = self.ending.as_ref().filter(|ending| operation.key().namespace == **ending)
            && matches!(operation, Operation::Create(_) | Operation::Notify(_))
        {
            let why = format!(
                "unable to create new content in namespace {namespace} because it is being terminated"
            );
            return (Outcome::Refused(Refusal::NamespaceEnding(why.into())), Commits::default());
        }
        match operation {
            Operation::Create(draft) => single(self.create(draft, by, now)),
            Operation::Patch(patch) => single(self.patch(patch, by)),
            Operation::Delete { target, version, propagation } => {
                self.delete(target, *version, (*propagation).into(), by)
            }
            Operation::Get { kind, key } => {
                let found = self.store.get(*kind, key);
                single((found.map_or(Outcome::NotFound, |object| Outcome::Done(object.clone())), None))
            }
            Operation::Notify(notice) => (self.notify(notice), Commits::default()),
        }
    }

    fn create(&mut self, draft: &Object, by: Writer, now: Wall) -> (Outcome, Option<Commit>) {
        if let Some(field) = validate::flaw(draft) {
            let why = format!("{} {:?} is invalid: {field}", draft.kind(), draft.key().name);
            return (Outcome::Refused(Refusal::Invalid(why.into())), None);
        }
        if self.store.get(draft.kind(), draft.key()).is_some() {
            return (Outcome::AlreadyExists, None);
        }
        let mut object = draft.clone();
        reset_status(&mut object);
        defaults::fill(&mut object);
        let uid = self.numbers.identity(draft);
        let meta = object.meta_mut();
        meta.uid = uid;
        meta.created = now.whole_seconds();
        meta.generation = i64::from(counts_generations(draft.kind()));
        meta.terminating = false;
        if draft.kind() == Kind::VolumeClaim {
            let mut kept = Kept { is_new: true, ..Kept::of(meta) };
            if !kept.has(kept::VOLUME) {
                kept.finalizers.push(kept::VOLUME.into());
            }
            kept.put(meta);
        }
        let commit = self.write(None, object, by);
        (Outcome::Done(commit.object().clone()), Some(commit))
    }

    /// Takes a Kubernetes Event, whose name is given once like any other.
    fn notify(&mut self, notice: &Notice) -> Outcome {
        let key = Key::new(&*notice.regarding.key.namespace, &*notice.name);
        // A search tells worlds apart by what is stored, and nobody reads Events.
        if self.numbering() == Numbering::Counted && !Arc::make_mut(&mut self.events).insert(key) {
            return Outcome::AlreadyExists;
        }
        self.notices += 1;
        Outcome::Accepted
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
        if patch.part == Part::Main && patch.changes.iter().any(Change::is_spec) {
            let before = object.clone();
            patch
                .changes
                .iter()
                .filter(|change| change.is_spec())
                .for_each(|change| change.apply(&mut object));
            defaults::fill(&mut object);
            if object != before && counts_generations(object.kind()) {
                object.meta_mut().generation += 1;
            }
        }
        kept::age(&mut object);
        if object == old {
            return (Outcome::Done(old), None);
        }
        let commit = self.write(Some(old), object, by);
        (Outcome::Done(commit.object().clone()), Some(commit))
    }

    /// Finds the object that a request names, or returns what the server says instead.
    fn check(&self, target: &Target, version: Option<Version>) -> Result<&Object, Outcome> {
        let named = target.uid.and_then(|uid| self.store.find(target.kind, uid));
        let named = named.filter(|object| *object.key() == target.key);
        let object = named.or_else(|| self.store.get(target.kind, &target.key)).ok_or(Outcome::NotFound)?;
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
        defaults::fill(&mut object);
        kept::age(&mut object);
        if delete::ends(&old, &object) {
            return self.erase(kind, key, by);
        }
        (object != old).then(|| self.write(Some(old), object, by))
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
        let line = Line { at: version, seen: Seen::Deleted(gone), old: Some(old.clone()) };
        self.history_mut(kind).changes.push_back(line);
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
        let line = Line { at: version, seen: Seen::Applied(object.clone()), old: before };
        self.history_mut(object.kind()).changes.push_back(line);
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
        self.lines_after(kind, cursor).next().map_or(Next::Nothing, |(at, seen)| Next::Seen(at, seen.clone()))
    }

    /// Returns what happened to the objects of a kind after `cursor`, as far as it is kept.
    pub fn lines_after(&self, kind: Kind, cursor: Version) -> impl Iterator<Item = (Version, &Seen)> {
        let changes = &self.histories[kind.index()].changes;
        let lines = changes.range(changes.partition_point(|line| line.at <= cursor)..);
        lines.map(|line| (line.at, &line.seen))
    }

    /// Returns whether a watch that has shown everything up to `cursor` has something left to show.
    pub fn is_behind(&self, kind: Kind, cursor: Version) -> bool {
        let history = &self.histories[kind.index()];
        cursor < history.compacted || history.changes.back().is_some_and(|line| line.at > cursor)
    }

    /// Drops the history of a kind: a watch that lags has lost its place.
    pub fn compact(&mut self, kind: Kind) {
        let history = self.history_mut(kind);
        history.compacted = history.changes.back().map_or(history.compacted, |line| line.at);
        history.changes.clear();
    }

    /// Forgets what every watch has shown. Nobody can tell: this is about memory only.
    pub fn trim(&mut self, kind: Kind, shown: Version) {
        let history = &self.histories[kind.index()];
        if history.changes.front().is_none_or(|line| line.at > shown) {
            return;
        }
        let history = self.history_mut(kind);
        while let Some(line) = history.changes.front().filter(|line| line.at <= shown) {
            history.trimmed = line.at;
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

/// An answer that comes of one change at most.
fn single((outcome, commit): (Outcome, Option<Commit>)) -> (Outcome, Commits) {
    (outcome, [commit, None])
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

#[cfg(test)]
mod tests;
