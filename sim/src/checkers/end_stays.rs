//! What has ended comes back only when its user wants it to.

use agent_sandbox_core::action::{Intent, Operation};
use agent_sandbox_core::id::Kind;
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Object, OwnerKind, Sandbox};
use agent_sandbox_core::patch::Change;
use agent_sandbox_core::time::Mono;

use super::in_time::end_of;
use super::known::Known;
use super::{Checker, Class, INEXACT, Judgement, Property};
use crate::api_server::{Commit, Writer};
use crate::process;
use crate::scene;
use crate::step::{Fact, Sent};
use crate::store::Store;

/// INV-21: clocks disagree, so what one process has told stands for all of them.
///
/// What was wanted when it was first asked for, and is not any more, is not asked for again after its answer was lost.
#[derive(Clone, Debug, Default)]
pub(super) struct EndStays {
    now: Mono,
    /// Whether a calendar was set anew while its process ran, so that nobody can tell what the time is for it.
    is_timeless: bool,
}

impl EndStays {
    /// Returns why a process that sees a sandbox as it is must not give it something of this kind.
    fn objection(&self, (sent, kind): (&Sent, Kind), object: &Object, known: &Known) -> Option<&'static str> {
        let sandbox = object.as_sandbox()?;
        if has_ended(object) {
            return known.knows(sent.process, object).then_some("knows to have expired");
        }
        if known.is_leaving(sent.process, object) {
            return Some("deletes");
        }
        if !known.sees(sent.process, object) {
            return None;
        }
        if kind == Kind::Pod && sandbox.suspended {
            return Some("knows to be suspended");
        }
        if kind == Kind::Service && sandbox.service != Some(true) {
            return Some("knows to want none");
        }
        let today = scene::epoch() + self.now.since(Mono::default());
        let is_over = sandbox.shutdown.is_some_and(|shutdown| shutdown.at + INEXACT <= today);
        (is_over && !self.is_timeless).then_some("knows to be over")
    }

    /// Returns what a request changes, or makes something for, that is going as its process knows (CLM-004, SBX-002, TPL-003).
    fn going<'a>(&self, sent: &Sent, known: &Known, store: &'a Store) -> Option<&'a Object> {
        let (kind, uid) = match &*sent.action.operation {
            Operation::Patch(patch) => (patch.target.kind, patch.target.uid?),
            Operation::Create(made) => {
                let owner = made.meta().owner.as_ref()?;
                let OwnerKind::Known(kind) = owner.kind else { return None };
                (kind, owner.uid)
            }
            Operation::Delete { .. } | Operation::Get { .. } | Operation::Notify(_) => return None,
        };
        let about = store.find(kind, uid)?;
        let served = served(sent, store);
        [Some(about), served]
            .into_iter()
            .flatten()
            .find(|it| it.meta().terminating && known.sees(sent.process, it))
    }

    /// Returns whether the time of a claim is over for everybody, told or not, as a process knows that would serve it.
    fn is_over(&self, sent: &Sent, object: &Object, known: &Known) -> bool {
        let Object::Claim(claim) = object else { return false };
        let today = scene::epoch() + self.now.since(Mono::default());
        let has_passed = end_of(claim).is_some_and(|end| end + INEXACT < today) && !self.is_timeless;
        known.sees(sent.process, object) && (has_passed || has_ended(object))
    }
}

impl Checker for EndStays {
    fn property(&self) -> Property {
        Property {
            name: "end-stays",
            about: "what says that it has expired says so until its user changes it, and nothing is given to what is over, going or suspended",
            class: Class::Safety,
        }
    }

    fn on_commit(&mut self, commit: &Commit, _store: &Store) -> Judgement {
        let (Some(Writer::Process { .. }), Some(old), Some(new)) = (commit.by, &commit.old, &commit.new)
        else {
            return Judgement::Silent;
        };
        if !has_ended(old) || old.meta().generation != new.meta().generation {
            return Judgement::Silent;
        }
        let what = || format!("{} {} does not say any more that it has expired", new.kind(), new.key().name);
        Judgement::unless_broken((!has_ended(new)).then(what))
    }

    fn judges_decisions(&self) -> bool {
        true
    }

    fn on_decision(&mut self, sent: &Sent, known: &Known, store: &Store) -> Judgement {
        if let Some(object) = self.going(sent, known, store) {
            let (who, kind, name) = (process::name(sent.process), object.kind(), &object.key().name);
            let what = sent.action.intent;
            return Judgement::Broken(format!(
                "{who} asks for {what:?} of {kind} {name}, which it knows to be going"
            ));
        }
        if let Some(claim) = served(sent, store) {
            let wrong = self.is_over(sent, claim, known).then(|| {
                let (who, name) = (process::name(sent.process), &claim.key().name);
                format!("{who} serves claim {name} by {:?}, which it knows to be over", sent.action.intent)
            });
            return Judgement::unless_broken(wrong);
        }
        let Some((kind, object)) = given(sent, store) else { return Judgement::Silent };
        let why = self.objection((sent, kind), object, known);
        Judgement::unless_broken(why.map(|why| {
            let (who, name) = (process::name(sent.process), &object.key().name);
            format!("{who} gives a {kind} to sandbox {name}, which it {why}")
        }))
    }

    fn on_clock(&mut self, at: Mono) {
        self.now = at;
    }

    fn on_fact(&mut self, fact: &Fact) {
        self.is_timeless |= matches!(fact, Fact::CalendarSet(_));
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

/// Returns whether an object says that the time is over which its present spec gives it.
fn has_ended(object: &Object) -> bool {
    let is_current = |observed: i64| observed == object.meta().generation;
    match object {
        Object::Claim(claim) => claim.expired().is_some_and(is_current),
        Object::Sandbox(sandbox) => sandbox.shutdown.is_some() && expired(sandbox).is_some_and(is_current),
        Object::Pool(_)
        | Object::Template(_)
        | Object::Pod(_)
        | Object::Service(_)
        | Object::VolumeClaim(_)
        | Object::NetworkPolicy(_) => false,
    }
}

/// Returns the generation of which a sandbox says that it has expired.
fn expired(sandbox: &Sandbox) -> Option<i64> {
    let ready = sandbox.status.condition(names::READY).filter(|_| sandbox.status.is_expired())?;
    Some(ready.observed)
}

/// Returns the claim to which a request promises, makes or gives a sandbox. Whose record is taken over from an older release
/// has been served before.
fn served<'a>(sent: &Sent, store: &'a Store) -> Option<&'a Object> {
    let operation = &*sent.action.operation;
    let uid = match operation {
        Operation::Create(Object::Sandbox(made)) => made.meta.owner_of_kind(Kind::Claim),
        Operation::Patch(patch)
            if [Intent::RecordAssignment, Intent::RecordColdStart].contains(&sent.action.intent) =>
        {
            patch.target.uid
        }
        Operation::Patch(patch) => patch.changes.iter().find_map(|change| {
            let Change::Owner(owner) = change else { return None };
            (owner.kind == OwnerKind::Known(Kind::Claim)).then_some(owner.uid)
        }),
        Operation::Create(_) | Operation::Delete { .. } | Operation::Get { .. } | Operation::Notify(_) => {
            None
        }
    };
    let object = store.find(Kind::Claim, uid?)?;
    let Object::Claim(claim) = object else { return None };
    let had = claim.meta.label(names::LEGACY_SANDBOX_NAME).is_some() || claim.status.sandbox.is_some();
    (!had).then_some(object)
}

/// Returns what a request makes or takes for a sandbox, and that sandbox.
fn given<'a>(sent: &Sent, store: &'a Store) -> Option<(Kind, &'a Object)> {
    let operation = &*sent.action.operation;
    let owner = match operation {
        Operation::Create(part) => part.meta().owner.as_ref(),
        Operation::Patch(patch) => patch
            .changes
            .iter()
            .find_map(|change| if let Change::Owner(owner) = change { Some(owner) } else { None }),
        Operation::Delete { .. } | Operation::Get { .. } | Operation::Notify(_) => None,
    };
    let owner = owner.filter(|owner| owner.kind == OwnerKind::Known(Kind::Sandbox))?;
    Some((operation.kind(), store.find(Kind::Sandbox, owner.uid)?))
}
