//! What a condition says of when it changed is so.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_sandbox_core::action::Operation;
use agent_sandbox_core::id::Kind;
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Claim, ClaimStatus, Condition, Object, Truth};
use agent_sandbox_core::patch::Change;
use agent_sandbox_core::time::{Mono, Wall};

use super::known::{Known, decided_on};
use super::{Checker, Class, INEXACT, Judgement, Property, as_sandbox};
use crate::api_server::{Commit, Writer};
use crate::process;
use crate::scene;
use crate::step::{Fact, Sent};
use crate::store::Store;

/// How long ago a change may have been decided that is stored now, and a little.
///
/// Source: a late write may take effect 15 s after it was sent.
const LATE: Duration = Duration::from_secs(30);

/// CND-003, SCND-002, FRB-005 and CON-075: who waits for something asks since when it is so. What a claim says of its sandbox
/// is as old as what the sandbox says.
#[derive(Clone, Debug, Default)]
pub(super) struct HonestTimes {
    now: Mono,
    /// Process → when it started, and had seen nothing.
    started: BTreeMap<u8, Mono>,
    /// Whether a calendar was set anew, so that it may be anywhere.
    is_timeless: bool,
}

impl Checker for HonestTimes {
    fn property(&self) -> Property {
        Property {
            name: "honest-times",
            about: "a condition's time moves when its status does and not otherwise, what is noted of a moment is noted once and is that, and no generation is of the future",
            class: Class::Safety,
        }
    }

    fn on_clock(&mut self, at: Mono) {
        self.now = at;
    }

    fn on_commit(&mut self, commit: &Commit, _store: &Store) -> Judgement {
        let (Some(Writer::Process { .. }), Some(old), Some(new)) = (commit.by, &commit.old, &commit.new)
        else {
            return Judgement::Silent;
        };
        let (before, after) = (conditions(old), conditions(new));
        if before == after {
            return Judgement::Silent;
        }
        let lie = after.iter().find_map(|condition| {
            let known = before.iter().find(|known| known.kind == condition.kind);
            let lie = self.lie(known, condition, new)?;
            Some(format!("{} {} says {} {lie}", new.kind(), new.key().name, condition.kind))
        });
        Judgement::unless_broken(lie)
    }

    fn on_fact(&mut self, fact: &Fact) {
        self.is_timeless |= matches!(fact, Fact::CalendarSet(_));
        if let Fact::Started(process) = fact {
            self.started.insert(*process, self.now);
        }
    }

    fn judges_decisions(&self) -> bool {
        true
    }

    fn on_decision(&mut self, sent: &Sent, known: &Known, store: &Store) -> Judgement {
        let Some(claim) = decided_on(&sent.action, store) else { return Judgement::Silent };
        let Operation::Patch(patch) = &*sent.action.operation else { return Judgement::Silent };
        let mut lies = patch.changes.iter().filter_map(|change| {
            if let Change::Annotation(key, Some(at)) = change {
                self.wrong_stamp(sent.process, claim, (key, at))
            } else if let Change::ClaimStatus(told) = change {
                wrong_end(sent.process, claim, told, known, store)
                    .or_else(|| wrong_start(sent.process, claim, told, known, store))
            } else {
                None
            }
        });
        let (who, name) = (process::name(sent.process), &claim.meta.key.name);
        Judgement::unless_broken(lies.next().map(|lie| format!("{who} notes on claim {name} {lie}")))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

impl HonestTimes {
    /// Returns what is wrong with the moment that a request notes on a claim: when that was seen first, or ready first.
    fn wrong_stamp(&self, process: u8, claim: &Claim, (key, at): (&str, &str)) -> Option<String> {
        let is_ready = key == names::FIRST_READY_AT;
        if !is_ready && key != names::FIRST_OBSERVED_AT {
            return None;
        }
        if claim.meta.annotation(key).is_some() {
            return Some(format!("{key} again"));
        }
        if is_ready && !claim.status.is_ready() {
            return Some("when it was ready first, and it is not".to_owned());
        }
        let today = scene::epoch() + self.now.since(Mono::default());
        let started = self.started.get(&process).copied().unwrap_or_default();
        let started = scene::epoch() + started.since(Mono::default());
        let earliest = if is_ready { today } else { claim.meta.created.max(started) };
        let is_right = Wall::parse(at).is_some_and(|at| at <= today + INEXACT && at + INEXACT >= earliest);
        (!is_right && !self.is_timeless).then(|| format!("{key} {at}, which is not when that was"))
    }

    /// Returns what is wrong with a condition, given what was said before.
    fn lie(&self, known: Option<&Condition>, told: &Condition, object: &Object) -> Option<String> {
        let generation = object.meta().generation;
        // How its work has finished is told of a claim's sandbox, in the generations of that.
        let is_own = object.as_sandbox().is_some() || &*told.kind == names::READY;
        if is_own && told.observed > generation {
            return Some(format!("of generation {}, and it is of {generation}", told.observed));
        }
        if let Some(known) = known.filter(|known| known.status == told.status) {
            let lie = || "since another time, although its status is the same".to_owned();
            return (known.changed != told.changed).then(lie);
        }
        let today: Wall = scene::epoch() + self.now.since(Mono::default());
        let is_early = told.changed > today + INEXACT;
        // What else a claim says is told of its sandbox, with the times of that.
        let is_own = object.as_sandbox().is_some() || &*told.reason == names::CLAIM_EXPIRED;
        let is_late = is_own && today.since(told.changed) > INEXACT + LATE;
        let lie = || "since a time at which it has not changed".to_owned();
        ((is_early || is_late) && !self.is_timeless).then(lie)
    }
}

/// Returns what is wrong with when a claim says that its sandbox has finished, which says so itself.
fn wrong_end(process: u8, claim: &Claim, told: &ClaimStatus, known: &Known, store: &Store) -> Option<String> {
    let is_true = |it: &&Condition| it.status == Truth::True;
    let end = told.condition(names::FINISHED).filter(is_true)?;
    let is_news = claim.status.condition(names::FINISHED).is_none();
    let name = told.sandbox.as_ref().filter(|_| is_news)?.name.clone();
    let object = store.get(Kind::Sandbox, &claim.meta.key.sibling(name))?;
    let sandbox = as_sandbox(Some(object)).filter(|it| it.meta.is_owned_by(claim.meta.uid))?;
    let says = sandbox.status.condition(names::FINISHED).filter(is_true)?;
    let is_wrong = says.changed != end.changed && known.knows(process, object);
    is_wrong.then(|| {
        let (at, says) = (end.changed.rfc3339(), says.changed.rfc3339());
        format!("that its sandbox has finished at {at}, which says {says}")
    })
}

/// Returns what is wrong with since when a claim says that its sandbox is ready, which says so itself (CND-004).
fn wrong_start(
    process: u8,
    claim: &Claim,
    told: &ClaimStatus,
    known: &Known,
    store: &Store,
) -> Option<String> {
    let is_true = |it: &&Condition| it.status == Truth::True;
    let ready = told.condition(names::READY).filter(is_true).filter(|_| !claim.status.is_ready())?;
    let object = store.get(Kind::Sandbox, &claim.meta.key.sibling(told.sandbox.as_ref()?.name.clone()))?;
    let sandbox = as_sandbox(Some(object)).filter(|it| it.meta.is_owned_by(claim.meta.uid))?;
    let says = sandbox.status.condition(names::READY).filter(is_true)?;
    let is_wrong = says.changed != ready.changed && known.knows(process, object);
    is_wrong.then(|| {
        let (at, says) = (ready.changed.rfc3339(), says.changed.rfc3339());
        format!("that its sandbox is ready since {at}, which says {says}")
    })
}

fn conditions(object: &Object) -> &[Condition] {
    match object {
        Object::Claim(claim) => &claim.status.conditions,
        Object::Sandbox(sandbox) => &sandbox.status.conditions,
        Object::Pool(_)
        | Object::Template(_)
        | Object::Pod(_)
        | Object::Service(_)
        | Object::VolumeClaim(_)
        | Object::NetworkPolicy(_) => &[],
    }
}
