//! In the end nobody does anything.

use super::{Checker, Class, Judgement, Property, Stage};
use crate::process;
use crate::step::Sent;
use crate::store::Store;
use crate::tale::of_intent;

/// INV-28: while the world does not change nothing is written, and nothing is asked for either.
#[derive(Clone, Debug, Default)]
pub(super) struct Silence {
    at_rest: bool,
}

impl Checker for Silence {
    fn property(&self) -> Property {
        Property {
            name: "silence",
            about: "when everything is done no process sends anything for minutes",
            class: Class::Liveness,
        }
    }

    fn on_action(&mut self, sent: &Sent, _store: &Store) -> Judgement {
        if !self.at_rest {
            return Judgement::Silent;
        }
        let deed = of_intent(sent.action.intent, &sent.action.operation.key().name);
        Judgement::Broken(format!("{} {deed} long after the end", process::name(sent.process)))
    }

    fn on_stage(&mut self, stage: Stage) {
        self.at_rest = stage == Stage::Rest;
    }

    fn at_rest(&mut self, _store: &Store) -> Judgement {
        Judgement::Holds
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}
