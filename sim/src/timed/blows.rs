//! What a plan does to single requests.

use std::time::Duration;

use super::Timed;
use crate::controller::Controller;
use crate::faults::Fault;
use crate::plan::Trick;
use crate::process::RequestId;
use crate::step::Step;
use crate::world::is_refusable;

impl<C: Controller> Timed<C> {
    /// Lets the plan have its way with a request that will reach the server at `arrives`; returns the fault by which it
    /// goes on, if that is not the usual way.
    pub(super) fn blow(
        &mut self,
        trick: Trick,
        process: u8,
        request: RequestId,
        arrives: Duration,
    ) -> Option<Fault> {
        match trick {
            Trick::Crash => {
                self.struck[Fault::Crash.index()] += 1;
                // After the write, which is planned first, and before its answer.
                self.plan_step(arrives + Duration::from_micros(1), Step::Crash(process));
                None
            }
            // It strikes when there is an answer.
            Trick::LoseAnswer => None,
            Trick::Delay => Some(Fault::LateCommit),
            Trick::Reject => {
                let action = &self.world.request(request)?.action;
                Some(if is_refusable(action) { Fault::Refused } else { Fault::Touched })
            }
        }
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
