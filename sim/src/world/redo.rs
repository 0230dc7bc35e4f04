//! Steps of which is known what they do.

use std::rc::Rc;
use std::sync::Arc;

use agent_sandbox_core::event::Outcome;

use super::World;
use crate::api_server::{Seen, Stored};
use crate::controller::Controller;
use crate::step::Step;

impl<C: Controller> World<C> {
    /// Makes a step that only writes: its answer, and the changes that it makes, where there are any, are known.
    ///
    /// The step must be possible. Of the facts nothing is told: whoever knows what it does has judged them before.
    pub(crate) fn redo(
        &mut self,
        step: Step,
        answer: Option<&Outcome>,
        change: Option<&(Stored, Rc<[Seen]>)>,
    ) {
        if let Step::Commit(id) = step
            && let Some(place) = self.requests.iter().position(|request| request.id == id)
        {
            if self.requests[place].abandoned {
                self.requests.remove(place);
            } else {
                self.requests[place].answer = answer.cloned();
            }
        }
        if let Step::User(line) = step {
            Arc::make_mut(&mut self.done)[line as usize / 64] |= 1 << (line % 64);
        }
        if let Some((stored, lines)) = change {
            self.server.redo(stored, lines);
            lines.iter().for_each(|line| self.tidy(line.object().kind()));
        }
    }
}
