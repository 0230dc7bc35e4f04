//! What becomes of single requests, by a plan or by chance.

use std::time::Duration;

use agent_sandbox_core::action::Operation;
use agent_sandbox_core::id::Kind;
use agent_sandbox_core::object::OwnerKind;

use super::Timed;
use crate::api_server::{Commit, Writer};
use crate::controller::Controller;
use crate::faults::Fault;
use crate::plan::Trick;
use crate::process::{Request, RequestId};
use crate::step::Step;
use crate::tape::{self, Site, Topic};
use crate::world::is_refusable;

/// In what steps a tape says how soon a process dies.
///
/// Source: a thousandth of [`CRASH_WITHIN`], as [`Choices::between`](crate::choices::Choices::between) draws.
const CRASH_STEP: Duration = Duration::from_micros(10);

/// How long after it has sent a request a process dies, at most.
pub(super) const CRASH_WITHIN: Duration = Duration::from_millis(10);

impl<C: Controller> Timed<C> {
    /// Lets the plan have its way with a request, as if it had been drawn: a tape then names it like any other choice.
    /// Returns the fault that strikes, if that is the trick.
    pub(super) fn blow(&mut self, trick: Trick, request: RequestId) -> Option<Fault> {
        let fault = match trick {
            // They strike when the request is under way, and when there is an answer.
            Trick::Crash | Trick::LoseAnswer => None,
            Trick::Delay => Some(Fault::LateCommit),
            Trick::Reject => {
                let action = &self.world.request(request)?.action;
                Some(if is_refusable(action) { Fault::Refused } else { Fault::Touched })
            }
        };
        self.choices.overrule(tape::FAULT, fault.map_or(0, |fault| fault.index() as u64 + 1));
        fault
    }

    /// Lets a process die after its request has reached the server, and before there is an answer.
    pub(super) fn crash_after(&mut self, process: u8, arrives: Duration) {
        self.struck[Fault::Crash.index()] += 1;
        let steps = arrives.as_micros() / CRASH_STEP.as_micros() + 1;
        self.choices.overrule(tape::CRASH, 1);
        self.choices.overrule(tape::CRASH_AFTER, steps as u64);
        self.plan_step(CRASH_STEP * steps as u32, Step::Crash(process));
    }

    /// Lets somebody else write the object of a request just before the request is handled.
    pub(super) fn touch(&mut self, request: RequestId, arrives: Duration) {
        let Some(request) = self.world.request(request) else { return };
        let operation = &request.action.operation;
        let (kind, store) = (operation.kind(), self.world.server().store());
        if let Some(object) = store.get(kind, operation.key()) {
            self.plan_step(arrives, Step::Touch(kind, object.uid()));
        }
    }

    /// Lets the user of what owns an object change their mind about when a delete of the object is found to be lost: it is
    /// not to be repeated then.
    pub(super) fn regret(&mut self, request: RequestId, found_out: Duration) {
        let Some(request) = self.world.request(request) else { return };
        let operation = &request.action.operation;
        if !matches!(**operation, Operation::Delete { .. }) {
            return;
        }
        let object = self.world.server().store().get(operation.kind(), operation.key());
        let owner = object.and_then(|object| object.meta().owner.clone());
        let Some((OwnerKind::Known(kind), uid)) = owner.map(|owner| (owner.kind, owner.uid)) else { return };
        let name = Some(operation.key().name.clone());
        self.choices.about(|| Site::new(Topic::Other, "regretted").named(name));
        if self.choices.chance(500) {
            let before_it_is_tried_again = self.choices.between(Duration::ZERO, Duration::from_millis(100));
            self.plan_step(found_out + before_it_is_tried_again, Step::Touch(kind, uid));
        }
    }

    /// Lets a write that its sender has given up take effect just after one of another kind, or of another sender, about the same
    /// object: by chance alone an old write seldom meets what it can spoil.
    pub(super) fn overtake(&mut self, commit: &Commit) {
        let Some(Writer::Process { process, intent, .. }) = commit.by else { return };
        if !self.rates.has(Fault::LateCommit) {
            return;
        }
        let object = commit.object();
        let is_overtaken = |request: &&Request| {
            let operation = &request.action.operation;
            let is_same = (operation.kind(), operation.key()) == (object.kind(), object.key());
            let is_another = (request.process, request.action.intent) != (process, intent);
            is_same && request.abandoned && is_another
        };
        let late: Vec<RequestId> =
            self.world.requests().iter().filter(is_overtaken).map(|request| request.id).collect();
        for request in late {
            let name = Some(object.key().name.clone());
            self.choices.about(|| Site::new(Topic::Other, "overtaken").named(name));
            if self.choices.chance(600) {
                self.plan_step(Duration::ZERO, Step::Commit(request));
            }
        }
    }

    /// Lets a rival see neither what the other has just written about a claim nor anything else for a while: what both see
    /// both decide alike.
    pub(super) fn set_apart(&mut self, commit: &Commit) {
        let Some(Writer::Process { process, .. }) = commit.by else { return };
        let object = commit.object();
        if !self.rates.has(Fault::LaggingServer) || object.kind() != Kind::Claim {
            return;
        }
        let Some(rival) = self.leaders().into_iter().find(|leader| *leader != process) else { return };
        let name = Some(object.key().name.clone());
        self.choices.about(|| Site::new(Topic::Other, "unseen-by-rival").of(rival).named(name));
        let length = self.choices.span(|choices| {
            if !choices.chance(300) {
                return Duration::ZERO;
            }
            let mean = Duration::from_millis(*choices.pick(&[5, 50, 500]));
            choices.around(mean)
        });
        if length > Duration::ZERO {
            self.fall_behind(rival, length);
        }
    }
}
