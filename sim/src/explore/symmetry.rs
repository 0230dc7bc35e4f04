//! Members that differ in nothing but their names.

use agent_sandbox_core::action::Intent;
use agent_sandbox_core::id::{Key, Kind, Uid};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Condition, Pod, Sandbox};

use super::memo::Searchable;
use super::state::State;
use crate::process::Request;

impl<C: Searchable> State<C> {
    /// Returns whether a Pod that could start is that of a member to which another, of an earlier name, is alike. With the two
    /// names exchanged the situation is the same, so whatever follows when this Pod is the first to start follows when the
    /// other is.
    pub(super) fn comes_after_its_like(&self, uid: Uid) -> bool {
        let Some(this) = self.fresh(uid) else { return false };
        let pods = self.world.server().store().list(Kind::Pod).iter();
        pods.filter_map(|pod| self.fresh(pod.uid()))
            .any(|other| other.sandbox.meta.key.name < this.sandbox.meta.key.name && other.is_like(&this))
    }

    /// Returns whether a request asks for a member while another, of an earlier name, is asked for in the same way: in a search no
    /// template changes, so all are made alike.
    pub(super) fn waits_for_its_like(&self, request: &Request) -> bool {
        self.rules.in_order
            && request.action.intent == Intent::CreateMember
            && self.world.requests().iter().any(|other| {
                let of =
                    |request: &Request| (request.process, request.term, request.abandoned, request.until);
                other.action.intent == Intent::CreateMember
                    && other.answer.is_none()
                    && of(other) == of(request)
                    && other.action.operation.key().name < request.action.operation.key().name
            })
    }

    /// Returns a member whose Pod has not started, if nobody is about to do anything with it in particular.
    fn fresh(&self, pod: Uid) -> Option<Fresh<'_>> {
        let store = self.world.server().store();
        let pod = store.find(Kind::Pod, pod)?;
        let owner = store.find(Kind::Sandbox, pod.meta().owner.as_ref()?.uid)?;
        let (objects, pod, sandbox) = ([pod, owner], pod.as_pod()?, owner.as_sandbox()?);
        let mut controllers = self.world.processes().filter_map(|place| place.controller.as_ref());
        let is_fresh = sandbox.meta.owner_of_kind(Kind::Pool).is_some()
            && !sandbox.meta.terminating
            && !self.is_meant(&sandbox.meta.key)
            && controllers.all(|controller| objects.iter().all(|object| !controller.is_news(object)));
        is_fresh.then_some(Fresh { pod, sandbox })
    }

    /// Returns whether a request or a claim is about a name.
    fn is_meant(&self, name: &Key) -> bool {
        let mut requests = self.world.requests().iter();
        let mut claims = self.world.server().store().list(Kind::Claim).iter();
        let records = Intent::RecordAssignment;
        requests.any(|request| request.action.intent == records || request.action.operation.key() == name)
            || claims.any(|claim| claim.meta().annotation(names::SANDBOX_NAME) == Some(&name.name))
    }
}

/// A member whose Pod has not started.
struct Fresh<'a> {
    pod: &'a Pod,
    sandbox: &'a Sandbox,
}

impl Fresh<'_> {
    fn is_like(&self, other: &Self) -> bool {
        let of_pod = |pod: &Pod| (pod.meta.generation, pod.phase, pod.meta.terminating);
        let of_condition = |it: &Condition| (it.kind.clone(), it.status, it.reason.clone());
        let (these, those) = (&self.sandbox.status.conditions, &other.sandbox.status.conditions);
        self.sandbox.meta.owner == other.sandbox.meta.owner
            && self.sandbox.meta.generation == other.sandbox.meta.generation
            && of_pod(self.pod) == of_pod(other.pod)
            && these.iter().map(of_condition).eq(those.iter().map(of_condition))
    }
}
