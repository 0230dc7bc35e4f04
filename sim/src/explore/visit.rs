//! What makes a situation the same as another.

use agent_sandbox_core::event::Outcome;
use agent_sandbox_core::fingerprint::{Sight, Walk};
use agent_sandbox_core::id::{Kind, Version};

use super::memo::{Memo, Searchable as _};
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
        if let Some(before) = self.waits_for_overtaking(request) {
            self.visit_overtaking(request.process, before, walk);
        }
        match &request.answer {
            Some(Outcome::Done(object)) => {
                walk.object(object);
                let (kind, place) = (object.kind(), self.world.process(request.process));
                // One that is not known and not known to be gone is news, unless a list has told more since, or is about to.
                if let Some(controller) = &place.controller
                    && !controller.knows(kind, object.uid())
                    && controller.is_news(object)
                {
                    walk.option(object.version() <= controller.listed_at(kind));
                    if let Watch::Listed { at, .. } = place.watches[kind.index()] {
                        walk.option(object.version() <= self.world.server().version_of_list(kind, at));
                    }
                }
            }
            Some(outcome) => walk.outcome(outcome),
            // Only what nobody hears of is under way for so long that its time limit can pass.
            None if scope.crashes > 0 || scope.lost_answers > 0 => walk.deadline(request.until),
            None => {}
        }
    }

    /// Visits what would overtake an answer, and what would not.
    fn visit_overtaking(&self, process: u8, before: Version, walk: &mut Walk) {
        for kind in Kind::ALL {
            match &self.world.process(process).watches[kind.index()] {
                Watch::Lost => walk.number(1),
                Watch::Listed { .. } => walk.number(2),
                Watch::Live { cursor } => {
                    let lines = self.world.server().lines_after(kind, *cursor);
                    walk.number(3 | (lines.filter(|(at, _)| *at <= before).count() as u64) << 8);
                }
            }
        }
    }

    fn visit_process(&self, place: &Process<Memo>, walk: &mut Walk) {
        let server = self.world.server();
        walk.number(place.controller.as_ref().map_or(0, Memo::fingerprint));
        for kind in Kind::ALL {
            match &place.watches[kind.index()] {
                Watch::Lost => walk.number(1),
                Watch::Listed { objects, at } => {
                    walk.number(2 | (objects.len() as u64) << 8);
                    objects.iter().for_each(|object| walk.object(object));
                    if let Some(controller) = &place.controller {
                        controller.visit_list(kind, server.version_of_list(kind, *at), walk);
                    }
                    self.visit_lines(kind, *at, walk);
                }
                Watch::Live { cursor } => {
                    if server.is_behind(kind, *cursor) {
                        walk.number(3 + kind as u64);
                        self.visit_lines(kind, *cursor, walk);
                    }
                }
            }
        }
    }

    /// Visits what a watch has yet to show.
    fn visit_lines(&self, kind: Kind, cursor: Version, walk: &mut Walk) {
        for (_, line) in self.world.server().lines_after(kind, cursor) {
            walk.option(matches!(line, Seen::Deleted(_)));
            walk.object(line.object());
        }
        walk.number(u64::MAX);
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
