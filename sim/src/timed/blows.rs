//! What a plan does to single requests.

use std::time::Duration;

use super::Timed;
use crate::controller::Controller;
use crate::faults::Fault;
use crate::plan::Trick;
use crate::process::RequestId;
use crate::step::Step;
use crate::tape;
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
}
