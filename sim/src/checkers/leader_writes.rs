//! Only a leader writes, and only when it has looked at everything.

use agent_sandbox_core::action::Operation;

use super::{Checker, Class, Judgement, Property};
use crate::process;
use crate::step::Sent;
use crate::store::Store;
use crate::tale::of_intent;

/// INV-31: a process decides nothing before it has seen the world that it decides about.
#[derive(Clone, Debug)]
pub(super) struct LeaderWrites;

impl Checker for LeaderWrites {
    fn property(&self) -> Property {
        Property {
            name: "leader-writes",
            about: "a process writes only while it was told to lead, and after it has listed every kind",
            class: Class::Safety,
        }
    }

    fn on_action(&mut self, sent: &Sent, _store: &Store) -> Judgement {
        if matches!(*sent.action.operation, Operation::Get { .. }) {
            return Judgement::Silent;
        }
        let why = match (sent.term, sent.listed) {
            (0, _) => Some("without leading"),
            (_, false) => Some("before it has listed every kind"),
            (_, true) => None,
        };
        Judgement::unless_broken(why.map(|why| {
            let deed = of_intent(sent.action.intent, &sent.action.operation.key().name);
            format!("{} {deed} {why}", process::name(sent.process))
        }))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}
