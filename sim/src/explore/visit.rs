//! What makes a situation the same as another.

use agent_sandbox_core::event::Outcome;
use agent_sandbox_core::fingerprint::{Sight, Walk};
use agent_sandbox_core::id::Kind;

use super::memo::Memo;
use super::scope::{FAR, Scope};
use super::state::State;
use crate::api_server::Seen;
use crate::process::{Process, Request, Watch};

impl State<Memo> {
    /// Returns what makes this situation the same as another.
    pub(super) fn fingerprint(&self, scope: &Scope) -> u64 {
        let version_mask = self.world.server().numbering().version_mask();
        let mut walk = Walk::new(Sight { now: self.world.clock(), far: FAR, version_mask });
        walk.number(self.world.server().stored());
        for place in self.world.processes() {
            self.visit_process(place, &mut walk);
        }
        walk.set(self.world.requests(), |walk, request| self.visit_request(request, scope, walk));
        self.world.done.iter().for_each(|lines| walk.number(*lines));
        let left = self.left;
        walk.number(
            u64::from(left.crashes) | u64::from(left.lost_answers) << 8 | u64::from(left.relists) << 16,
        );
        self.witnesses.visit(&mut walk);
        walk.fingerprint()
    }

    fn visit_request(&self, request: &Request, scope: &Scope, walk: &mut Walk) {
        walk.number(u64::from(request.process) | u64::from(request.abandoned) << 8 | request.term << 16);
        walk.number(request.action.id.0);
        if request.answer.is_some() {
            walk.option(self.is_overtaken(request));
        }
        match &request.answer {
            Some(Outcome::Done(object)) => {
                walk.object(object);
                // Whether a list has told more since, or is about to.
                let (kind, place) = (object.kind(), self.world.process(request.process));
                let listed = place.controller.as_ref().map(|controller| controller.listed_at(kind));
                walk.option(listed.is_some_and(|listed| object.version() <= listed));
                if let Watch::Listed { at, .. } = place.watches[kind.index()] {
                    walk.option(object.version() <= self.world.server().version_of_list(kind, at));
                }
            }
            Some(outcome) => walk.outcome(outcome),
            // Only what was lost is waited for so long that a time limit can pass.
            None if scope.lost_answers > 0 => walk.deadline(request.until),
            None => {}
        }
    }

    fn visit_process(&self, place: &Process<Memo>, walk: &mut Walk) {
        walk.number(place.controller.as_ref().map_or(0, Memo::fingerprint));
        for kind in Kind::ALL {
            match &place.watches[kind.index()] {
                Watch::Lost => walk.number(1),
                Watch::Listed { objects, at } => {
                    walk.number(2 | (objects.len() as u64) << 8);
                    objects.iter().for_each(|object| walk.object(object));
                    if let Some(controller) = &place.controller {
                        controller.visit_list(kind, self.world.server().version_of_list(kind, *at), walk);
                    }
                }
                Watch::Live { cursor } => {
                    let server = self.world.server();
                    if !server.is_behind(kind, *cursor) {
                        continue;
                    }
                    walk.number(3 + kind as u64);
                    for (_, line) in server.lines_after(kind, *cursor) {
                        match line {
                            Seen::Applied(object) => walk.object(object),
                            Seen::Deleted(object) => {
                                walk.number(1);
                                walk.object(object);
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api_server::Numbering;
    use crate::checkers::Checkers;
    use crate::explore::memo::Machines;
    use crate::explore::state::Court;
    use crate::process::RequestId;
    use crate::step::Step;

    #[test]
    fn the_order_of_steps_that_do_not_touch_each_other_leaves_no_trace() {
        let [member, status] = [RequestId(0), RequestId(1)];
        assert_eq!(after(&[member, status]), after(&[status, member]));
        assert_ne!(after(&[member]), after(&[status]));
        assert_ne!(after(&[member]), after(&[member, status]));
    }

    #[test]
    fn what_a_process_has_not_seen_is_part_of_the_situation() {
        let scope = Scope { no_shortcuts: true, ..Scope::small() };
        let (mut state, mut court) = first(&scope);
        let before = state.fingerprint(&scope);
        state.step(Step::User(2), &mut court).expect("a claim breaks nothing");
        let unseen = state.fingerprint(&scope);
        state.step(Step::Deliver(0, Kind::Claim), &mut court).expect("a line breaks nothing");
        assert!(before != unseen && unseen != state.fingerprint(&scope));
    }

    /// Returns the fingerprint after these requests were handled, with versions in that order.
    fn after(requests: &[RequestId]) -> u64 {
        let scope = Scope { no_shortcuts: true, ..Scope::small() };
        let (mut state, mut court) = first(&scope);
        for id in requests {
            state.step(Step::Commit(*id), &mut court).expect("a commit breaks nothing");
        }
        state.fingerprint(&scope)
    }

    fn first(scope: &Scope) -> (State<Memo>, Court<'static, Memo>) {
        let mut court = Court::remembering(Checkers::of_search().0, 1000);
        let machines = Machines::new(scope, Numbering::ByState.version_mask(), 1000);
        let state = State::first(scope, Numbering::ByState, machines, &mut court);
        (state.expect("the first situation breaks nothing"), court)
    }
}
