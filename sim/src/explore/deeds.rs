//! The API server, with a memory: what a write does to what is stored is worked out, and judged, once.
//!
//! Situations differ far more in what the processes know than in what is stored. So almost every write was made before:
//! the same, to the same objects, in front of checkers that remembered the same. Then nothing new comes of it.

use std::rc::Rc;
use std::time::Duration;

use agent_sandbox_core::action::Operation;
use agent_sandbox_core::event::Outcome;
use agent_sandbox_core::fingerprint::{Sight, Walk};
use agent_sandbox_core::time::Mono;

use super::fingerprints::Fingerprints;
use super::memo::Searchable;
use super::state::State;
use super::witnesses::Witnesses;
use crate::api_server::{Commit, Seen, Stored};
use crate::step::{Fact, Step};
use crate::world::World;

/// What was ever written.
#[derive(Debug)]
pub(super) struct Deeds {
    known_max: usize,
    worked: u64,
    /// What was asked for, and of what → its place in `known`.
    asked: Fingerprints,
    known: Vec<Deed>,
}

/// What came of one write that broke nothing.
#[derive(Clone, Debug)]
pub(super) struct Deed {
    /// `None` when nobody waits for an answer.
    answer: Option<Outcome>,
    /// What was stored then, and the lines that showed it, one after the other; `None` when nothing changed.
    change: Option<(Stored, Rc<[Seen]>)>,
    witnesses: Witnesses,
}

impl Deeds {
    /// Returns a memory of so many writes at most; with one more, all are forgotten.
    pub(super) fn new(known_max: usize) -> Self {
        Self { known_max, worked: 0, asked: Fingerprints::default(), known: Vec::new() }
    }

    /// Returns how many writes were added, those that were forgotten included.
    pub(super) const fn worked(&self) -> u64 {
        self.worked
    }

    pub(super) fn get(&self, asked: u64) -> Option<&Deed> {
        self.asked.get(asked).map(|place| &self.known[place as usize])
    }

    pub(super) fn add(&mut self, asked: u64, deed: Deed) {
        if self.known.len() >= self.known_max {
            *self = Self { worked: self.worked, ..Self::new(self.known_max) };
        }
        self.worked += 1;
        self.asked.insert(asked, self.known.len() as u32);
        self.known.push(deed);
    }
}

impl<C: Searchable> State<C> {
    /// Returns what stands for a write and all that its effect follows from; `None` for a step that is none.
    pub(super) fn asked(&self, step: Step) -> Option<u64> {
        let mut walk = Walk::new(Sight { now: Mono::default(), far: Duration::ZERO, version_mask: u64::MAX });
        match step {
            Step::Commit(id) => {
                let request = self.world.request(id)?;
                let version = match &*request.action.operation {
                    Operation::Patch(patch) => patch.version,
                    Operation::Delete { version, .. } => *version,
                    Operation::Create(_) | Operation::Get { .. } => None,
                    Operation::Notify(_) => return None,
                };
                if request.answer.is_some() || request.until <= self.world.clock() {
                    return None;
                }
                walk.number(1 | u64::from(request.abandoned) << 8 | u64::from(request.process) << 16);
                walk.number(request.term);
                // It stands for what the action asks for, but for the order of writes that is in the version.
                walk.number(request.action.id.0);
                walk.version(version.unwrap_or_default());
            }
            Step::Pod(uid, what) => {
                walk.number(2 | (what as u64) << 8);
                walk.uid(uid);
            }
            Step::Collect(kind, uid) => {
                walk.number(3 | (kind as u64) << 8);
                walk.uid(uid);
            }
            Step::User(line) => walk.number(4 | u64::from(line) << 8),
            Step::Answer(_)
            | Step::LoseRequest(_)
            | Step::LoseAnswer(_)
            | Step::Abandon(_)
            | Step::Throttle(_)
            | Step::Refuse(_)
            | Step::List(..)
            | Step::Relist(..)
            | Step::Deliver(..)
            | Step::Bookmark(..)
            | Step::ExpireList(..)
            | Step::BreakWatch(..)
            | Step::Compact(_)
            | Step::Timer(_)
            | Step::Start(_)
            | Step::Lead(_)
            | Step::Depose(_)
            | Step::Crash(_)
            | Step::SetCalendar(..)
            | Step::Reject(_)
            | Step::Collide(_)
            | Step::Release(..)
            | Step::Sweep(_)
            | Step::Touch(..) => return None,
        }
        walk.number(self.world.wall().whole_seconds().micros() as u64);
        self.world.server().standing().into_iter().for_each(|number| walk.number(number));
        self.witnesses.visit(&mut walk);
        Some(walk.exact_fingerprint())
    }

    /// Returns what has just come of a write.
    pub(super) fn deed(&self, step: Step, facts: &[Fact]) -> Deed {
        let request = if let Step::Commit(id) = step { self.world.request(id) } else { None };
        let answer = request.and_then(|request| request.answer.clone());
        let server = self.world.server();
        let lines: Rc<[Seen]> =
            facts.iter().filter_map(as_commit).map(|commit| server.line_of(commit)).collect();
        let change = (!lines.is_empty()).then(|| (server.snapshot(), lines));
        Deed { answer, change, witnesses: self.witnesses.clone() }
    }
}

impl Deed {
    /// Does the same again.
    pub(super) fn redo<C: Searchable>(&self, step: Step, world: &mut World<C>, witnesses: &mut Witnesses) {
        world.redo(step, self.answer.as_ref(), self.change.as_ref());
        *witnesses = self.witnesses.clone();
    }
}

const fn as_commit(fact: &Fact) -> Option<&Commit> {
    if let Fact::Committed(commit) = fact { Some(commit) } else { None }
}
