//! What is due is done, and soon.
//!
//! Everything else says what must not be done, or what must have been done in the end. Whoever does the right thing a
//! minute too late is noticed here alone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use agent_sandbox_core::action::Operation;
use agent_sandbox_core::id::{Key, Kind, Text, Uid, Version};
use agent_sandbox_core::names;
use agent_sandbox_core::object::Object;
use agent_sandbox_core::patch::Change;
use agent_sandbox_core::time::{Mono, Wall};

use super::known::{Known, decided_on};
use super::{Checker, Class, INEXACT, Judgement, Property, as_claim};
use crate::api_server::{Commit, Seen};
use crate::controller::{Pace, Promises};
use crate::process;
use crate::scene;
use crate::step::{Fact, Sent};
use crate::store::Store;

mod claims;
mod pools;
mod sandboxes;
mod seat;

pub(super) use self::claims::end_of;
use self::seat::{Seat, about};

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
    /// Sandboxes of which it is not known that they say how they are.
    unsaid: sandboxes::Unsaid,
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
        self.seat.is_held(uid, self.until)
    }

    /// Returns whether its process may wait before it writes an object.
    fn is_unwritable(&self, uid: Uid) -> bool {
        self.seat.is_unwritable(uid, self.until)
    }

    /// Returns whether an earlier attempt may yet take a name.
    fn is_unsure(&self, kind: Kind, name: &Key) -> bool {
        self.seat.is_unsure(kind, name, self.until)
    }

    /// Returns whether the server has refused for a while to create the sandbox of a claim or a pool.
    fn is_refused(&self, uid: Uid) -> bool {
        self.seat.is_refused(uid, self.until)
    }

    /// Returns whether the server has refused to create the sandbox of a claim or a pool, just now or for a while.
    fn is_asked_in_vain(&self, uid: Uid) -> bool {
        self.seat.was_refused(uid)
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

/// Returns whether a request writes an annotation.
fn writes(sent: &Sent, wanted: &str) -> bool {
    let Operation::Patch(patch) = &*sent.action.operation else { return false };
    let is_it = |change: &Change| matches!(change, Change::Annotation(key, Some(_)) if **key == *wanted);
    patch.changes.iter().any(is_it)
}

/// Returns what is wrong with a record that does not say when its claim was seen first, which nobody has noted (KEY-014).
fn undated(sent: &Sent, store: &Store) -> Option<String> {
    let claim = decided_on(&sent.action, store)
        .filter(|it| it.meta.annotation(names::FIRST_OBSERVED_AT).is_none())?;
    let is_undated = writes(sent, names::SANDBOX_NAME) && !writes(sent, names::FIRST_OBSERVED_AT);
    let (who, name) = (process::name(sent.process), &claim.meta.key.name);
    is_undated.then(|| format!("{who} records a sandbox on claim {name} and not when it was seen first"))
}

/// Returns what is wrong with a request that notes when a claim was seen first, which is not wanted.
fn dated(sent: &Sent) -> Option<String> {
    let (who, name) = (process::name(sent.process), &sent.action.operation.key().name);
    writes(sent, names::FIRST_OBSERVED_AT)
        .then(|| format!("{who} notes when claim {name} was seen first, and is not to note that"))
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
        if !seat.waits_for_nothing(process, &self.last, until, known) {
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
        sandboxes::undone(&sight, &mut undone);
        self.unsaid.undone(&sight, &mut undone);
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
        self.unsaid.on_commit(commit, store);
        // What pools say of themselves changes all the time, and nothing of a claim follows from that.
        let generation = |object: &Object| object.meta().generation;
        let is_asked_anew = commit.old.as_ref().map(generation) != commit.new.as_ref().map(generation)
            || object.meta().terminating;
        if let Some(claim) = as_claim(commit.new.as_ref()).filter(|_| is_asked_anew) {
            // Who records it for itself, or what an older release has recorded, does not know why it failed.
            let is_in_queue = !claim.needs_own_sandbox()
                && claim.meta.label(names::LEGACY_SANDBOX_NAME).is_none()
                && !claim.meta.terminating;
            let seats = self.seats.values_mut().filter(|_| is_in_queue);
            seats.for_each(|seat| seat.lift_bar(claim.meta.uid));
        }
        if object.kind() == Kind::Template || object.kind() == Kind::Pool && is_asked_anew {
            self.last_make = commit.version;
        }
        if commit.old.is_none() || commit.new.is_none() {
            self.seats.values_mut().for_each(|seat| seat.forget_part(object.kind(), object.key()));
        }
        // What is there is not refused any more, and a name that is free again has not been asked for.
        if object.kind() == Kind::Sandbox && (commit.old.is_none() || commit.new.is_none()) {
            let owner = object.meta().owner.as_ref().map(|owner| owner.uid);
            let namesake = store.get(Kind::Claim, object.key()).map(Object::uid);
            for uid in owner.into_iter().chain(namesake) {
                self.seats.values_mut().for_each(|seat| seat.forget_refusal(uid));
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
        seat.on_sent(&sent.action, about(&sent.action, store), self.now);
        let wrong = match self.setup.promises.dates_claims {
            Some(true) => undated(sent, store),
            Some(false) => dated(sent),
            None => None,
        };
        wrong.map_or(Judgement::Silent, Judgement::Broken)
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
                seat.note_list(*kind, true);
                objects.iter().for_each(|object| seat.see(object));
            }
            Fact::Shown { process, line: Some(Seen::Applied(object)), .. } => {
                self.seats.entry(*process).or_default().see(object);
            }
            Fact::WatchLost(process, kind) => {
                self.seats.entry(*process).or_default().note_list(*kind, false);
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
