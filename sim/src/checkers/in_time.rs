//! What is due is done, and soon.
//!
//! Everything else says what must not be done, or what must have been done in the end. Whoever does the right thing a
//! minute too late is noticed here alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use agent_sandbox_core::action::{Action, Intent, Notice, Operation, Patch};
use agent_sandbox_core::event::{Outcome, Refusal};
use agent_sandbox_core::id::{ActionId, Key, Kind, Text, Uid, Version};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Meta, Object, OwnerKind};
use agent_sandbox_core::patch::Change;
use agent_sandbox_core::time::{Mono, Wall};

use super::known::{Known, decided_on};
use super::{Checker, Class, Judgement, Property, as_claim};
use crate::api_server::{Commit, Seen};
use crate::controller::{Pace, Promises};
use crate::process;
use crate::scene;
use crate::step::{Fact, Sent};
use crate::store::Store;

mod claims;
mod pools;

/// How far the calendar of a process is off at most, and a little.
///
/// Source: `clock-skew` is up to 5 s.
const INEXACT: Duration = Duration::from_secs(7);

/// How often it is looked at what nothing is left undone of, at most: more would only cost time.
const LOOKED_EVERY: Duration = Duration::from_secs(1);

/// How long something may be left that is to be done at once.
///
/// Source: whoever waits for nothing does it at the same moment; a little is for what an onlooker sees later.
const AT_ONCE: Duration = Duration::from_millis(300);

/// How long something may be left that is told a second later, since it may pass.
///
/// Source: bad news about what starts is held back for a second.
const SETTLED: Duration = Duration::from_millis(1500);

/// How long after a create without an answer nobody can tell whether it takes effect.
///
/// Source: a late write may take effect 15 s after it was sent, and who has failed often with the same name waits up to 45 s
/// before it tries that again.
const UNSURE: Duration = Duration::from_secs(60);

/// How long somebody may wait who was told that it will not work.
///
/// Source: ten times the longest back-off, and a half more.
const IN_VAIN: Duration = Duration::from_secs(450);

/// INV-12, INV-19 and INV-28, where nothing happens for a moment: a process that leads, was shown everything, has nothing
/// under way and was not put off has nothing left to do.
///
/// What is due has been so since the first such moment with the same versions of the objects that it is about.
#[derive(Clone, Debug, Default)]
pub(super) struct InTime {
    setup: Setup,
    now: Mono,
    seats: BTreeMap<u8, Seat>,
    /// Kind → its last change.
    last: [Version; Kind::ALL.len()],
    /// The last change of a template, or of what is asked of a pool.
    last_make: Version,
    /// What claims say, where that was found to be right.
    told: claims::Told,
    /// Why claims that ask for something cannot have it.
    refusals: claims::Refusals,
    /// The names of all sandboxes.
    taken: BTreeSet<Key>,
    /// Whether a calendar was set anew, so that nobody can tell what the time is for whom.
    is_timeless: bool,
}

/// How controllers are set up.
#[derive(Clone, Copy, Debug, Default)]
struct Setup {
    promises: Promises,
    pace: Pace,
}

/// Whom a request is about: what it changes or makes something for, what that belongs to, and so on.
type About = [Uid; 3];

/// One process, and what it waits for.
#[derive(Clone, Debug, Default)]
struct Seat {
    leads: bool,
    /// Kinds of which it has a list, and a watch that goes on.
    listed: [bool; Kind::ALL.len()],
    /// Requests that are not answered.
    open: BTreeMap<ActionId, About>,
    /// How often something was tried in vain.
    failures: BTreeMap<(Uid, Intent), u32>,
    /// Object → until when its process may wait before it tries again what it is about.
    held: BTreeMap<Uid, Mono>,
    /// The same for writes of the object itself.
    writes_held: BTreeMap<Uid, Mono>,
    /// Sandbox that somebody may yet make, although nobody has answered → until when: its name is not free for another.
    unsure: BTreeMap<Key, Mono>,
    /// Claim or pool → since when the server refuses to create its sandbox.
    refused: BTreeMap<Uid, Mono>,
    /// Pools of which it has told that something is wrong, and not that this is over.
    warned: BTreeSet<Uid>,
    /// Until when it may wait before it does anything: it could not read something, or nobody can tell for whose sake it tried
    /// something in vain.
    waits_until: Mono,
    /// When it was looked last at what it has left.
    looked: Mono,
    /// What is due, of which versions, and since when.
    due: BTreeMap<(Uid, &'static str), (u64, Mono)>,
}

/// Something that should have been done.
#[derive(Clone, Debug)]
struct Undone {
    /// Which object is left so.
    about: Uid,
    name: Text,
    /// How it is left.
    how: &'static str,
    /// More about it.
    detail: Option<String>,
    /// A number that is another when this is about something else.
    of: u64,
    /// How long it may be left so.
    within: Duration,
}

/// What an onlooker sees who looks at what one process has left.
struct Sight<'a> {
    process: u8,
    seat: &'a Seat,
    setup: Setup,
    known: &'a Known,
    store: &'a Store,
    /// The last change of a template, or of what is asked of a pool.
    last_make: Version,
    /// Why claims that ask for something cannot have it.
    refusals: &'a claims::Refusals,
    /// Up to when nothing happens.
    until: Mono,
    /// What the calendar says then, if anybody can tell.
    today: Option<Wall>,
}

impl Sight<'_> {
    /// Returns whether its process may wait before it does anything about an object.
    fn is_held(&self, uid: Uid) -> bool {
        self.seat.held.get(&uid).is_some_and(|until| *until + AT_ONCE > self.until)
    }

    /// Returns whether its process may wait before it writes an object.
    fn is_unwritable(&self, uid: Uid) -> bool {
        self.seat.writes_held.get(&uid).is_some_and(|until| *until + AT_ONCE > self.until)
    }

    /// Returns whether an earlier attempt may yet take a name.
    fn is_unsure(&self, name: &Key) -> bool {
        self.seat.unsure.get(name).is_some_and(|until| *until + AT_ONCE > self.until)
    }

    /// Returns whether the server has refused for a while to create the sandbox of a claim or a pool.
    fn is_refused(&self, uid: Uid) -> bool {
        self.seat.refused.get(&uid).is_some_and(|since| *since + SETTLED < self.until)
    }

    /// Returns whether a date has passed, whoever is asked.
    fn has_passed(&self, date: Wall) -> bool {
        self.today.is_some_and(|today| date + INEXACT < today)
    }

    /// Returns whether a date is yet to come, whoever is asked.
    fn is_ahead(&self, date: Wall) -> bool {
        self.today.is_some_and(|today| today + INEXACT < date)
    }
}

impl Seat {
    /// Returns whether a process leads, was shown everything, and waits for no answer.
    fn waits_for_nothing(&self, process: u8, last: &[Version], known: &Known) -> bool {
        let is_shown =
            |kind: Kind| self.listed[kind.index()] && known.has_seen(process, kind, last[kind.index()]);
        self.leads && self.open.is_empty() && Kind::ALL.into_iter().all(is_shown)
    }

    /// Begins anew with what it knows, and remembers what has failed.
    fn begin(&mut self, leads: bool) {
        self.leads = leads;
        self.listed = Default::default();
        self.due.clear();
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
                self.refused.entry(owner).or_insert(now);
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

    /// Notes that it sees a sandbox: what is there is not refused any more.
    fn see(&mut self, object: &Object) {
        if object.kind() == Kind::Sandbox
            && let Some(owner) = &object.meta().owner
        {
            self.refused.remove(&owner.uid);
        }
    }

    fn on_answer(&mut self, action: &Action, outcome: &Outcome, is_missing: bool, now: Mono) {
        let Some(about) = self.open.remove(&action.id) else { return };
        self.touch(&about);
        if is_missing || !matches!(outcome, Outcome::Refused(_)) {
            self.note_refusal(about[0], action, outcome, now);
        }
        let slots = &about[..=usize::from(is_of_owner(action.intent))];
        let slots = slots.iter().map(|uid| (*uid, class(action.intent)));
        let wait = match outcome {
            Outcome::Done(_) | Outcome::Accepted if is_of_one_kind(action.intent) => {
                slots.for_each(|slot| _ = self.failures.remove(&slot));
                return;
            }
            Outcome::Done(_)
            | Outcome::Accepted
            | Outcome::Conflict
            | Outcome::AlreadyExists
            | Outcome::NotFound => return,
            Outcome::Refused(Refusal::Invalid(_) | Refusal::NamespaceEnding(_)) => IN_VAIN,
            Outcome::Unknown if matches!(*action.operation, Operation::Create(_)) => UNSURE,
            Outcome::Throttled(_) | Outcome::Unknown | Outcome::Refused(Refusal::Forbidden(_)) => {
                let failures = slots.map(|slot| {
                    let failures = self.failures.entry(slot).or_default();
                    *failures += 1;
                    *failures
                });
                let failures = failures.max().unwrap_or(0);
                let asked = if let Outcome::Throttled(delay) = outcome { *delay } else { Duration::ZERO };
                asked.max(backoff(failures))
            }
        };
        match &*action.operation {
            Operation::Get { .. } => self.waits_until = self.waits_until.max(now + wait),
            // What cannot be told is not told.
            Operation::Notify(_) => {}
            operation @ (Operation::Create(_) | Operation::Patch(_) | Operation::Delete { .. }) => {
                if action.intent == Intent::CreateClaimSandbox {
                    let unsure = self.unsure.entry(operation.key().clone()).or_default();
                    *unsure = (now + wait).max(*unsure);
                }
                // A queue goes on without those on whom nothing can be recorded.
                let is_alone = is_record(action.intent) && matches!(outcome, Outcome::Refused(_));
                let about = if is_alone { [about[0], Uid::default(), Uid::default()] } else { about };
                // It was gone already when this was sent, and so is what would tell whose it was.
                if is_of_owner(action.intent) && about[1] == Uid::default() && !is_alone {
                    self.waits_until = self.waits_until.max(now + wait);
                }
                self.hold(about, operation, now + wait);
            }
        }
    }
}

/// Returns how long somebody waits at most who has failed so often.
///
/// Source: 50 ms at first and twice as long each time, half a minute at most, and up to a half more.
fn backoff(failures: u32) -> Duration {
    let doubled = Duration::from_millis(50) * (1 << failures.saturating_sub(1).min(10));
    doubled.min(Duration::from_secs(30)) * 3 / 2
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
    is_record(intent) || matches!(intent, Intent::DeleteMember | Intent::DeleteClaimSandbox)
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

/// Returns what is wrong with a record that does not say when its claim was seen first, which nobody has noted (KEY-014).
fn undated(sent: &Sent, store: &Store) -> Option<String> {
    let claim =
        decided_on(sent, store).filter(|it| it.meta.annotation(names::FIRST_OBSERVED_AT).is_none())?;
    let Operation::Patch(patch) = &*sent.action.operation else { return None };
    let writes = |wanted: &str| {
        patch
            .changes
            .iter()
            .any(|change| matches!(change, Change::Annotation(key, Some(_)) if **key == *wanted))
    };
    let is_undated = writes(names::SANDBOX_NAME) && !writes(names::FIRST_OBSERVED_AT);
    let (who, name) = (process::name(sent.process), &claim.meta.key.name);
    is_undated.then(|| format!("{who} records a sandbox on claim {name} and not when it was seen first"))
}

/// Returns whom a request is about. A claim whose record is written stands in the queue of its pool.
fn about(action: &Action, store: &Store) -> About {
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
    if is_record(action.intent)
        && let Some(claim) = as_claim(store.find(Kind::Claim, about[0]))
    {
        let pool = store.get(Kind::Pool, &claim.meta.key.sibling(claim.pool.clone()));
        about[1] = pool.map(Object::uid).unwrap_or_default();
    }
    about
}

impl InTime {
    pub(super) fn new(promises: Promises, pace: Pace) -> Self {
        Self { setup: Setup { promises, pace }, ..Self::default() }
    }

    /// Returns what a process has left undone for too long, if it has nothing to wait for.
    fn judge(&mut self, process: u8, until: Mono, known: &Known, store: &Store) -> Judgement {
        let Some(seat) = self.seats.get_mut(&process) else { return Judgement::Silent };
        if seat.due.is_empty() && until.since(seat.looked) < LOOKED_EVERY {
            return Judgement::Silent;
        }
        if !seat.waits_for_nothing(process, &self.last, known) || seat.waits_until + AT_ONCE > until {
            return Judgement::Silent;
        }
        seat.looked = self.now;
        let today = (!self.is_timeless).then(|| scene::epoch() + until.since(Mono::default()));
        let (setup, last_make) = (self.setup, self.last_make);
        self.refusals.renew(store, last_make);
        let refusals = &self.refusals;
        let sight = Sight { process, seat, setup, known, store, last_make, refusals, until, today };
        let mut undone = Vec::new();
        claims::undone(&sight, &mut self.told, &mut undone);
        pools::undone(&sight, &mut undone);
        self.note(process, until, &undone)
    }

    /// Notes what is due, and returns what has been so for too long.
    fn note(&mut self, process: u8, until: Mono, undone: &[Undone]) -> Judgement {
        let (now, seat) = (self.now, self.seats.entry(process).or_default());
        let is_due = |key: &(Uid, &str)| undone.iter().any(|it| (it.about, it.how) == *key);
        seat.due.retain(|key, _| is_due(key));
        for it in undone {
            let due = seat.due.entry((it.about, it.how)).or_insert((it.of, now));
            if due.0 != it.of {
                *due = (it.of, now);
            }
            let late = until.since(due.1);
            if late > it.within {
                let (who, name, how) = (process::name(process), &it.name, it.how);
                let more = it.detail.as_ref().map_or_else(String::new, |more| format!(": it {more}"));
                return Judgement::Broken(format!(
                    "{who} knows everything, waits for nothing, and for {late:?} leaves {name} {how}{more}"
                ));
            }
        }
        Judgement::Holds
    }
}

impl Checker for InTime {
    fn property(&self) -> Property {
        Property {
            name: "in-time",
            about: "who knows everything and waits for nothing has left nothing undone that is due",
            class: Class::Safety,
        }
    }

    fn on_clock(&mut self, at: Mono) {
        self.now = at;
    }

    fn on_commit(&mut self, commit: &Commit, store: &Store) -> Judgement {
        let object = commit.object();
        self.last[object.kind().index()] = commit.version;
        // What pools say of themselves changes all the time, and nothing of a claim follows from that.
        let generation = |object: &Object| object.meta().generation;
        let is_asked_anew = commit.old.as_ref().map(generation) != commit.new.as_ref().map(generation)
            || object.meta().terminating;
        if object.kind() == Kind::Template || object.kind() == Kind::Pool && is_asked_anew {
            self.last_make = commit.version;
        }
        // What is there is not refused any more, and a name that is free again has not been asked for.
        if object.kind() == Kind::Sandbox && (commit.old.is_none() || commit.new.is_none()) {
            let owner = object.meta().owner.as_ref().map(|owner| owner.uid);
            let namesake = store.get(Kind::Claim, object.key()).map(Object::uid);
            for uid in owner.into_iter().chain(namesake) {
                self.seats.values_mut().for_each(|seat| _ = seat.refused.remove(&uid));
            }
            if commit.new.is_some() {
                self.taken.insert(object.key().clone());
            } else {
                self.taken.remove(object.key());
            }
        }
        Judgement::Silent
    }

    fn on_action(&mut self, sent: &Sent, store: &Store) -> Judgement {
        let seat = self.seats.entry(sent.process).or_default();
        if let Operation::Notify(Notice { regarding, warning, .. }) = &*sent.action.operation {
            let uid = regarding.uid.unwrap_or_default();
            _ = if *warning { seat.warned.insert(uid) } else { seat.warned.remove(&uid) };
        }
        let about = about(&sent.action, store);
        seat.touch(&about);
        seat.open.insert(sent.action.id, about);
        if !self.setup.promises.dates_claims {
            return Judgement::Silent;
        }
        undated(sent, store).map_or(Judgement::Silent, Judgement::Broken)
    }

    /// It asks what processes know.
    fn judges_decisions(&self) -> bool {
        true
    }

    fn on_fact(&mut self, fact: &Fact) {
        let now = self.now;
        match fact {
            Fact::Answered { process, action, outcome } => {
                // Where somebody holds the name, nothing is missing.
                let is_missing = !self.taken.contains(action.operation.key());
                self.seats.entry(*process).or_default().on_answer(action, outcome, is_missing, now);
            }
            Fact::Relisted { process, kind, objects, .. } => {
                let seat = self.seats.entry(*process).or_default();
                seat.listed[kind.index()] = true;
                objects.iter().for_each(|object| seat.see(object));
            }
            Fact::Shown { process, line: Some(Seen::Applied(object)), .. } => {
                self.seats.entry(*process).or_default().see(object);
            }
            Fact::WatchLost(process, kind) => {
                self.seats.entry(*process).or_default().listed[kind.index()] = false;
            }
            Fact::Leading { process, .. } => self.seats.entry(*process).or_default().begin(true),
            Fact::Deposed { process, .. } => self.seats.entry(*process).or_default().begin(false),
            Fact::Crashed { process, .. } | Fact::Started(process) => _ = self.seats.remove(process),
            Fact::CalendarSet(_) => self.is_timeless = true,
            Fact::Sent(_)
            | Fact::Committed(_)
            | Fact::Handled(_)
            | Fact::Listed(..)
            | Fact::Shown { .. }
            | Fact::Ran(_) => {}
        }
    }

    fn on_lull(&mut self, until: Mono, known: &Known, store: &Store) -> Judgement {
        let places: Vec<u8> = self.seats.keys().copied().collect();
        let judged = places.into_iter().map(|process| self.judge(process, until, known, store));
        let worst = judged.max_by_key(|judgement| match judgement {
            Judgement::Silent => 0,
            Judgement::Holds => 1,
            Judgement::Broken(_) => 2,
        });
        worst.unwrap_or(Judgement::Silent)
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}
