//! What has ended comes back only when its user wants it to.

use agent_sandbox_core::action::{Intent, Operation};
use agent_sandbox_core::id::Kind;
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Object, Sandbox};

use super::known::Known;
use super::{Checker, Class, Judgement, Property};
use crate::api_server::{Commit, Writer};
use crate::process;
use crate::step::Sent;
use crate::store::Store;

/// INV-21: clocks disagree, so what one process has told stands for all of them.
#[derive(Debug)]
pub(super) struct EndStays;

impl Checker for EndStays {
    fn property(&self) -> Property {
        Property {
            name: "end-stays",
            about: "what says that it has expired says so until its user changes it, and gets no Pod until then",
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
        let Some(object) = given_a_pod(sent, store) else { return Judgement::Silent };
        let is_wrong = has_ended(object) && known.knows(sent.process, object);
        Judgement::unless_broken(is_wrong.then(|| {
            let (who, name) = (process::name(sent.process), &object.key().name);
            format!("{who} makes a Pod for sandbox {name}, which it knows to have expired")
        }))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(Self)
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

/// Returns the sandbox that a request makes a Pod for.
fn given_a_pod<'a>(sent: &Sent, store: &'a Store) -> Option<&'a Object> {
    let Operation::Create(pod) = &*sent.action.operation else { return None };
    if sent.action.intent != Intent::CreatePod {
        return None;
    }
    store.find(Kind::Sandbox, pod.meta().owner_of_kind(Kind::Sandbox)?)
}
