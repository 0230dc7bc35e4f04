//! What is due of a sandbox is done at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use agent_sandbox_core::action::Operation;
use agent_sandbox_core::event::Outcome;
use agent_sandbox_core::id::{ActionId, Key, Kind, Uid, Version};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Object, Phase, Pod, Sandbox, Shutdown, ShutdownPolicy, Truth};
use agent_sandbox_core::time::{Mono, Wall};

use super::known::Known;
use super::{Checker, Class, INEXACT, Judgement, Property, as_sandbox};
use crate::api_server::Commit;
use crate::process;
use crate::reference::parts;
use crate::scene;
use crate::step::{Fact, Sent};
use crate::store::Store;

/// How long a process may know what is due, and do other things instead.
///
/// Source: whoever knows it does it in the same moment, unless it has failed before.
const SOON: Duration = Duration::from_millis(300);

/// How long something may wait at most that has failed once.
///
/// Source: the longest back-off is 30 s and up to a half more; ten times that for what the server holds for invalid.
const BACKS_OFF: Duration = Duration::from_secs(60);
const BACKS_OFF_FROM_INVALID: Duration = Duration::from_secs(600);

/// INV-12, INV-19, INV-22 and INV-23: who waits for a sandbox waits for whoever keeps it.
///
/// A process is judged when it decides something, whatever that is about: then it had the time. While it has as much under way
/// as it may have, something else may come first, so what it has known for how long counts anew.
#[derive(Clone, Debug)]
pub(super) struct ActsSoon {
    /// How many requests of a process are unanswered at most.
    most: Option<usize>,
    now: Mono,
    /// Whether a calendar was set anew while its process ran, so that nobody can tell what the time is for it.
    is_timeless: bool,
    /// Process → its requests without an answer, and for which sandbox each is.
    sent: BTreeMap<u8, BTreeMap<ActionId, Option<Uid>>>,
    /// Sandboxes of which something is due, or will be.
    due: BTreeSet<Uid>,
    /// Process and sandbox → what was due, and since when it is seen to know that.
    known: BTreeMap<(u8, Uid), (Due, Mono)>,
    /// Process → when it was looked last at what it knows. Nobody is late at a moment who was not when that began.
    looked: BTreeMap<u8, Mono>,
    /// Process and object → until when it may wait, because something about that has failed.
    waits: BTreeMap<(u8, Uid), Mono>,
    /// Process and name → until when what it makes or looks up may take, `None` while that is not answered.
    tries: BTreeMap<(u8, Kind, Key), Option<Mono>>,
    /// Name of a Pod → when it was given up last.
    freed: BTreeMap<Key, Version>,
}

/// What is to be done about a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// It says Ready, and its Pod is not.
    Bad,
    /// It says that it is not ready, and all of it is.
    Good,
    /// It is to run and has no Pod.
    Start,
    /// It is to have no Pod and has one.
    Stop,
    /// Its time is over, and it does not say so.
    Tell,
    /// It has said that its time is over, and is to go.
    End,
}

impl Due {
    const fn what(self) -> &'static str {
        match self {
            Self::Bad => "says that it is ready and is not",
            Self::Good => "is ready and does not say so",
            Self::Start => "is to run and has no Pod",
            Self::Stop => "is to have no Pod and has one",
            Self::Tell => "does not say that its time is over",
            Self::End => "has come to its end and is there",
        }
    }
}

impl ActsSoon {
    pub(super) const fn new(most: Option<usize>) -> Self {
        Self {
            most,
            now: Mono::from_micros(0),
            is_timeless: false,
            sent: BTreeMap::new(),
            due: BTreeSet::new(),
            known: BTreeMap::new(),
            looked: BTreeMap::new(),
            waits: BTreeMap::new(),
            tries: BTreeMap::new(),
            freed: BTreeMap::new(),
        }
    }

    /// Works out anew whether anything is due of a sandbox.
    fn look(&mut self, uid: Uid, store: &Store) {
        let sandbox = as_sandbox(store.find(Kind::Sandbox, uid)).filter(|sandbox| !sandbox.meta.terminating);
        let is_due =
            sandbox.is_some_and(|sandbox| sandbox.shutdown.is_some() || self.due(sandbox, store).is_some());
        if is_due {
            self.due.insert(uid);
        } else if self.due.remove(&uid) {
            self.known.retain(|(_, of), _| *of != uid);
        }
    }

    /// Returns what is due of a sandbox.
    fn due(&self, sandbox: &Sandbox, store: &Store) -> Option<Due> {
        let mut pods = store.owned_by(Kind::Pod, sandbox.meta.uid).filter_map(Object::as_pod);
        let is_kept = || store.owned_by(Kind::Pod, sandbox.meta.uid).any(|pod| !pod.meta().terminating);
        if let Some(shutdown) = sandbox.shutdown {
            return self.due_at_end(sandbox, shutdown, is_kept);
        }
        let ready = sandbox.status.condition(names::READY);
        let says_ready = ready.is_some_and(|ready| ready.status == Truth::True);
        let first = pods.next();
        let is_ready = first.is_some_and(is_ready) && pods.next().is_none();
        if says_ready && !is_ready {
            return Some(Due::Bad);
        }
        if sandbox.suspended {
            return is_kept().then_some(Due::Stop);
        }
        let has_parts = sandbox.service == Some(true) || sandbox.volume_claims.is_some();
        if is_ready && !says_ready && !has_parts {
            return Some(Due::Good);
        }
        let noted = sandbox.meta.annotation(names::POD_NAME);
        let is_elsewhere = noted.is_some_and(|noted| *noted != sandbox.meta.key.name);
        let is_free = !is_elsewhere && store.get(Kind::Pod, &sandbox.meta.key).is_none();
        (first.is_none() && is_free && !parts::lacks_volume_name(sandbox)).then_some(Due::Start)
    }

    fn due_at_end(&self, sandbox: &Sandbox, shutdown: Shutdown, is_kept: impl Fn() -> bool) -> Option<Due> {
        let today: Wall = scene::epoch() + self.now.since(Mono::default());
        if self.is_timeless || shutdown.at + INEXACT > today {
            return None;
        }
        if !sandbox.status.is_expired() {
            return Some(Due::Tell);
        }
        if is_kept() {
            return Some(Due::Stop);
        }
        (shutdown.policy == ShutdownPolicy::Delete).then_some(Due::End)
    }

    /// Returns whether a process knows that something is due, and nothing has failed that lets it wait.
    fn is_known(&self, process: u8, sandbox: &Object, due: Due, (known, store): (&Known, &Store)) -> bool {
        let uid = sandbox.uid();
        let may_wait = |uid: Uid| self.waits.get(&(process, uid)).is_some_and(|until| self.now < *until);
        let mut pods = store.owned_by(Kind::Pod, uid);
        let freed = || self.freed.get(sandbox.key());
        let is_free = || freed().is_none_or(|at| known.has_seen(process, Kind::Pod, *at));
        // It makes the Pod, for whatever sandbox of this name, or asks first whether the sandbox is there.
        let tries = |kind| {
            let until = self.tries.get(&(process, kind, sandbox.key().clone()));
            until.is_some_and(|until| until.is_none_or(|until| self.now < until))
        };
        known.knows(process, sandbox)
            && !may_wait(uid)
            && known.knows_children(process, uid, Kind::Pod)
            && pods.all(|pod| known.knows(process, pod) && !may_wait(pod.uid()))
            && !(due == Due::Start && (tries(Kind::Pod) || tries(Kind::Sandbox) || !is_free()))
    }

    /// Returns the first sandbox of which a process has known for too long what is due.
    fn late(&mut self, process: u8, known: &Known, store: &Store) -> Option<(Due, Key)> {
        let due: Vec<Uid> = self.due.iter().copied().collect();
        due.into_iter().find_map(|uid| {
            let object = store.find(Kind::Sandbox, uid)?;
            let due = self.due(as_sandbox(Some(object))?, store);
            let due = due.filter(|due| self.is_known(process, object, *due, (known, store)));
            let Some(due) = due else {
                self.known.remove(&(process, uid));
                return None;
            };
            let since = self.known.get(&(process, uid)).filter(|known| known.0 == due).map(|known| known.1);
            let since = since.unwrap_or(self.now);
            self.known.insert((process, uid), (due, since));
            (self.now.since(since) > SOON).then(|| (due, object.key().clone()))
        })
    }

    /// Judges a process that decides something, the first time at each moment.
    fn judge(&mut self, sent: &Sent, known: &Known, store: &Store) -> Judgement {
        let is_full = |under_way: &BTreeMap<_, _>| self.most.is_some_and(|most| under_way.len() >= most);
        if self.due.is_empty() || self.sent.get(&sent.process).is_some_and(is_full) {
            return Judgement::Silent;
        }
        if self.looked.insert(sent.process, self.now) == Some(self.now) {
            return Judgement::Silent;
        }
        let late = self.late(sent.process, known, store);
        Judgement::unless_broken(late.map(|(due, key)| {
            let (who, what, name) = (process::name(sent.process), due.what(), &key.name);
            format!(
                "{who} has known for more than {SOON:?} that sandbox {name} {what}, and does other things"
            )
        }))
    }

    /// Notes that a process does something about a sandbox: what it leaves after that it knows anew.
    fn touch(&mut self, sent: &Sent, store: &Store) {
        if let Some(uid) = keeper(&sent.action.operation, store) {
            self.known.remove(&(sent.process, uid));
        }
    }

    fn forget(&mut self, process: u8) {
        self.known.retain(|(whose, _), _| *whose != process);
    }
}

impl Checker for ActsSoon {
    fn property(&self) -> Property {
        Property {
            name: "acts-soon",
            about: "who knows what is due of a sandbox does that before anything that comes up later",
            class: Class::Safety,
        }
    }

    fn heeds(&self, commit: &Commit) -> bool {
        matches!(commit.object().kind(), Kind::Sandbox | Kind::Pod)
    }

    fn on_commit(&mut self, commit: &Commit, store: &Store) -> Judgement {
        let object = commit.object();
        if object.kind() == Kind::Sandbox {
            self.look(object.uid(), store);
        } else {
            if commit.new.is_none() {
                self.freed.insert(object.key().clone(), commit.version);
            }
            let owner = |object: &Object| object.meta().owner_of_kind(Kind::Sandbox);
            let owners = [commit.old.as_ref().and_then(owner), commit.new.as_ref().and_then(owner)];
            let wants = store.get(Kind::Sandbox, object.key()).map(Object::uid);
            owners.into_iter().chain([wants]).flatten().for_each(|uid| self.look(uid, store));
        }
        Judgement::Silent
    }

    fn on_clock(&mut self, at: Mono) {
        self.now = at;
    }

    fn on_action(&mut self, sent: &Sent, store: &Store) -> Judgement {
        if let Some((kind, key)) = tried(&sent.action.operation) {
            self.tries.insert((sent.process, kind, key.clone()), None);
        }
        let under_way = self.sent.entry(sent.process).or_default();
        under_way.insert(sent.action.id, keeper(&sent.action.operation, store));
        if self.most.is_some_and(|most| under_way.len() >= most) {
            self.forget(sent.process);
        }
        Judgement::Silent
    }

    fn on_fact(&mut self, fact: &Fact) {
        match fact {
            Fact::Answered { process, action, outcome } => {
                let under_way = self.sent.get_mut(process);
                let keeper = under_way.and_then(|under_way| under_way.remove(&action.id)).flatten();
                if let Some((kind, key)) = tried(&action.operation) {
                    let until = self.now + wait(outcome).unwrap_or_default();
                    self.tries.insert((*process, kind, key.clone()), Some(until));
                }
                if let Some(wait) = wait(outcome) {
                    let until = self.now + wait;
                    let about = subject(&action.operation).into_iter().chain(keeper);
                    self.waits.extend(about.map(|about| ((*process, about), until)));
                }
            }
            Fact::Leading { process, .. } | Fact::Deposed { process, .. } => self.forget(*process),
            Fact::Crashed { process, .. } => {
                self.forget(*process);
                self.sent.remove(process);
                self.waits.retain(|(whose, _), _| whose != process);
                self.tries.retain(|(whose, ..), _| whose != process);
            }
            Fact::CalendarSet(_) => self.is_timeless = true,
            Fact::Committed(_)
            | Fact::Sent(_)
            | Fact::Handled(_)
            | Fact::Ran(_)
            | Fact::Listed(..)
            | Fact::Relisted { .. }
            | Fact::WatchLost(..)
            | Fact::Started(_)
            | Fact::Shown { .. } => {}
        }
    }

    fn judges_decisions(&self) -> bool {
        true
    }

    fn on_decision(&mut self, sent: &Sent, known: &Known, store: &Store) -> Judgement {
        let judged = self.judge(sent, known, store);
        self.touch(sent, store);
        judged
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

/// Returns whether a Pod can be used, and will be.
fn is_ready(pod: &Pod) -> bool {
    !pod.meta.terminating && pod.phase == Phase::Running && pod.ready && !pod.ips.is_empty()
}

/// Returns the object that a request is about, or for which something is made.
fn subject(operation: &Operation) -> Option<Uid> {
    match operation {
        Operation::Create(object) => object.meta().owner.as_ref().map(|owner| owner.uid),
        Operation::Patch(patch) => patch.target.uid,
        Operation::Delete { target, .. } => target.uid,
        Operation::Get { .. } | Operation::Notify(_) => None,
    }
}

/// Returns the sandbox for which a request is. A Pod that is gone was that of its namesake.
fn keeper(operation: &Operation, store: &Store) -> Option<Uid> {
    if let Operation::Create(object) = operation {
        return object.meta().owner_of_kind(Kind::Sandbox);
    }
    let about = subject(operation);
    let pod = about.and_then(|uid| store.find(Kind::Pod, uid));
    let owner = pod.and_then(|pod| pod.meta().owner_of_kind(Kind::Sandbox));
    let namesake = || store.get(Kind::Sandbox, operation.key()).map(Object::uid);
    match operation.kind() {
        Kind::Pod => owner.or_else(namesake),
        Kind::Sandbox => about.or_else(namesake),
        Kind::Claim
        | Kind::Pool
        | Kind::Template
        | Kind::Service
        | Kind::VolumeClaim
        | Kind::NetworkPolicy => None,
    }
}

/// Returns the name of a Pod that a request makes, or of a sandbox that it looks up.
fn tried(operation: &Operation) -> Option<(Kind, &Key)> {
    match operation {
        Operation::Create(Object::Pod(pod)) => Some((Kind::Pod, &pod.meta.key)),
        Operation::Get { kind: Kind::Sandbox, key } => Some((Kind::Sandbox, key)),
        Operation::Create(_)
        | Operation::Get { .. }
        | Operation::Patch(_)
        | Operation::Delete { .. }
        | Operation::Notify(_) => None,
    }
}

/// Returns how long one may wait after an answer.
fn wait(outcome: &Outcome) -> Option<Duration> {
    match outcome {
        Outcome::Done(_) | Outcome::Accepted => None,
        Outcome::Throttled(delay) => Some(*delay + BACKS_OFF),
        Outcome::Refused(_) => Some(BACKS_OFF_FROM_INVALID),
        Outcome::Conflict | Outcome::AlreadyExists | Outcome::NotFound | Outcome::Unknown => Some(BACKS_OFF),
    }
}
