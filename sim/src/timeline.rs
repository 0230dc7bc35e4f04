//! A run as one page that a browser opens without anything else: lanes for users, the API server, caches, controllers and
//! the cluster, and arrows from causes to effects.
//!
//! [`Recorder`] watches a run and notes what happened where, and because of what. [`page`] puts it together with
//! `timeline/page.html`, its style and its scripts, which draw it.

mod label;
pub mod page;
mod texts;

use std::collections::{BTreeMap, VecDeque};

use agent_sandbox_core::id::{Kind, Uid, Version};
use agent_sandbox_core::time::Mono;

use self::label::Label;
use self::texts::Texts;
use crate::api_server::Commit;
use crate::controller::Controller;
use crate::process::{RequestId, Watch};
use crate::run::Observer;
use crate::step::{Fact, Sent, Step};
use crate::world::World;

/// Most events on a page: what makes it a megabyte at most.
pub const EVENTS_MAX: usize = 10_000;

/// Where something happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// People.
    Users,
    /// The API server.
    Server,
    /// What a process sees.
    Cache(u8),
    /// What a process does.
    Process(u8),
    /// The scheduler and the kubelets.
    Nodes,
    /// The garbage collector.
    Collector,
}

/// How an event is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing special.
    Plain,
    /// A process asks for something.
    Ask,
    /// The store changes.
    Write,
    /// Something was in vain: a conflict, a name that is taken.
    Vain,
    /// A fault.
    Trouble,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) at: Mono,
    pub(crate) step: u64,
    pub(crate) lane: Lane,
    pub(crate) tone: Tone,
    /// What; `{}` stands for the object's name.
    pub(crate) text: u32,
    /// The object's name.
    pub(crate) object: u32,
    /// The object's state.
    pub(crate) state: u32,
    /// The version of the store, where one was written or shown.
    pub(crate) version: u64,
    /// The kind of object, for caches.
    pub(crate) kind: Option<Kind>,
    /// The numbers of the events that brought it about.
    pub(crate) causes: Vec<u64>,
}

/// Notes a run: its first events, and its last ones, as many as a page holds.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    first: Vec<Event>,
    last: VecDeque<Event>,
    total: u64,
    steps: u64,
    texts: Texts,
    /// The event with which each request was sent, and the one that decided its answer.
    sent: BTreeMap<RequestId, u64>,
    handled: BTreeMap<RequestId, u64>,
    /// The event and the object's name of each version.
    commits: BTreeMap<Version, (u64, u32)>,
    /// The last change of each object.
    objects: BTreeMap<Uid, u64>,
    /// Why each process lists a kind.
    listing: BTreeMap<(u8, Kind), u64>,
    /// What each process did or was told last.
    doings: BTreeMap<u8, u64>,
}

impl Recorder {
    /// Returns how many events there were.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Returns the first events, or the last ones, with the number of the first of them.
    pub(crate) fn events(&self, is_end: bool) -> (u64, Vec<&Event>) {
        let kept = EVENTS_MAX as u64;
        if is_end && self.total > kept {
            (self.total - kept, self.last.iter().collect())
        } else {
            (0, self.first.iter().collect())
        }
    }

    pub(crate) const fn texts(&self) -> &Texts {
        &self.texts
    }

    fn note(&mut self, at: Mono, label: Label, causes: impl IntoIterator<Item = u64>) -> u64 {
        let number = self.total;
        self.total += 1;
        let Label { lane, tone, text, object, state, version, kind } = label;
        let event = Event {
            at,
            step: self.steps,
            lane,
            tone,
            text: self.texts.number(&text),
            object: self.texts.number(&object),
            state: self.texts.number(&state),
            version: version.0,
            kind,
            causes: causes.into_iter().collect(),
        };
        if self.first.len() < EVENTS_MAX {
            self.first.push(event.clone());
        }
        if self.last.len() == EVENTS_MAX {
            self.last.pop_front();
        }
        self.last.push_back(event);
        number
    }

    /// Notes what a step is by itself; `None` where what follows from it tells it.
    fn note_step<C: Controller>(
        &mut self,
        at: Mono,
        step: Step,
        facts: &[Fact],
        world: &World<C>,
    ) -> Option<u64> {
        let label = label::of_step(step, facts, world)?;
        let cause = match step {
            Step::Commit(id)
            | Step::LoseRequest(id)
            | Step::Throttle(id)
            | Step::Refuse(id)
            | Step::Reject(id)
            | Step::Collide(id) => self.sent.get(&id).copied(),
            Step::Abandon(id) => self.sent.get(&id).copied(),
            Step::LoseAnswer(id) | Step::Answer(id) => self.handled.get(&id).copied(),
            Step::List(process, kind) | Step::Relist(process, kind) | Step::ExpireList(process, kind) => {
                let why = self.listing.get(&(process, kind)).copied();
                why.or_else(|| self.doings.get(&process).copied())
            }
            Step::Deliver(process, kind) => match world.process(process).watches[kind.index()] {
                Watch::Live { cursor } => self.commits.get(&cursor).map(|(event, _)| *event),
                Watch::Lost | Watch::Listed { .. } => None,
            },
            Step::Pod(uid, _) => self.objects.get(&uid).copied(),
            Step::Collect(..) | Step::User(_) | Step::Touch(..) | Step::Release(..) | Step::Sweep(_) => {
                facts.iter().find_map(|fact| self.why(fact))
            }
            Step::Lead(process) | Step::Depose(process) | Step::Crash(process) => {
                self.doings.get(&process).copied()
            }
            Step::Bookmark(..)
            | Step::BreakWatch(..)
            | Step::Compact(_)
            | Step::Timer(_)
            | Step::SetCalendar(..)
            | Step::Start(_) => None,
        };
        let mut label = label;
        if let Step::Deliver(process, kind) = step
            && let Watch::Live { cursor } = world.process(process).watches[kind.index()]
            && let Some((_, object)) = self.commits.get(&cursor)
        {
            label.object = self.texts.text(*object).to_owned();
            label.version = cursor;
        }
        Some(self.note(at, label, cause))
    }

    /// Returns why somebody changed an object: what had become of it, or of its owner.
    fn why(&self, fact: &Fact) -> Option<u64> {
        let Fact::Committed(commit) = fact else { return None };
        let owner = commit.object().meta().owner.as_ref().and_then(|owner| self.objects.get(&owner.uid));
        let itself = self.objects.get(&commit.object().uid());
        itself.max(owner).copied()
    }

    fn note_commit(&mut self, at: Mono, commit: &Commit, cause: Option<u64>) -> u64 {
        let label = label::of_commit(commit);
        let object = self.texts.number(&label.object);
        // What is written follows from what was asked for, and then from what was there before.
        let before = self.objects.get(&commit.object().uid()).copied();
        let number = self.note(at, label, cause.into_iter().chain(before));
        self.commits.insert(commit.version, (number, object));
        self.objects.insert(commit.object().uid(), number);
        number
    }

    fn note_request(&mut self, at: Mono, sent: &Sent, cause: Option<u64>) {
        let number = self.note(at, label::of_request(sent), cause);
        self.sent.insert(sent.request, number);
        self.doings.insert(sent.process, number);
    }
}

impl<C: Controller> Observer<C> for Recorder {
    fn on_step(&mut self, at: Mono, step: Step, facts: &[Fact], world: &World<C>) {
        self.steps += 1;
        let own = self.note_step(at, step, facts, world);
        let request = if let Step::Commit(id) = step { self.sent.get(&id).copied() } else { None };
        let mut decided = own;
        for fact in facts {
            if let Fact::Committed(commit) = fact {
                decided = Some(self.note_commit(at, commit, own.or(request)));
            }
        }
        match step {
            Step::Commit(id)
            | Step::LoseRequest(id)
            | Step::LoseAnswer(id)
            | Step::Throttle(id)
            | Step::Refuse(id)
            | Step::Reject(id)
            | Step::Collide(id) => _ = decided.map(|event| self.handled.insert(id, event)),
            Step::List(process, kind) | Step::ExpireList(process, kind) | Step::BreakWatch(process, kind) => {
                own.map(|event| self.listing.insert((process, kind), event));
            }
            Step::Start(process) | Step::Lead(process) | Step::Depose(process) | Step::Crash(process) => {
                self.listing.retain(|(other, _), _| *other != process);
                own.map(|event| self.doings.insert(process, event));
            }
            Step::Answer(_)
            | Step::Abandon(_)
            | Step::Relist(..)
            | Step::Deliver(..)
            | Step::Bookmark(..)
            | Step::Compact(_)
            | Step::Timer(_)
            | Step::SetCalendar(..)
            | Step::Pod(..)
            | Step::Collect(..)
            | Step::User(_)
            | Step::Touch(..)
            | Step::Release(..)
            | Step::Sweep(_) => {}
        }
        for fact in facts {
            if let Fact::Sent(sent) = fact {
                self.note_request(at, sent, own);
            }
        }
    }
}
