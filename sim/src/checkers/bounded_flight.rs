//! No process asks for too much at once.

use std::collections::{BTreeMap, BTreeSet};

use agent_sandbox_core::id::ActionId;

use super::{Checker, Class, Judgement, Property};
use crate::process;
use crate::step::{Fact, Sent};
use crate::store::Store;

/// INV-27: whoever sets up a controller says how much it may ask of the API server at once.
#[derive(Clone, Debug)]
pub(super) struct BoundedFlight {
    /// How many requests of a process are unanswered at most.
    most: Option<usize>,
    /// Process → its requests without an answer.
    sent: BTreeMap<u8, BTreeSet<ActionId>>,
}

impl BoundedFlight {
    pub(super) const fn new(most: Option<usize>) -> Self {
        Self { most, sent: BTreeMap::new() }
    }
}

impl Checker for BoundedFlight {
    fn property(&self) -> Property {
        Property {
            name: "bounded-flight",
            about: "no process has more requests under way than its setup allows",
            class: Class::Safety,
        }
    }

    fn on_action(&mut self, sent: &Sent, _store: &Store) -> Judgement {
        let Some(most) = self.most else { return Judgement::Silent };
        let under_way = self.sent.entry(sent.process).or_default();
        under_way.insert(sent.action.id);
        let count = under_way.len();
        Judgement::unless_broken((count > most).then(|| {
            let who = process::name(sent.process);
            format!("{who} has {count} requests under way, and may have {most}")
        }))
    }

    fn on_fact(&mut self, fact: &Fact) {
        match fact {
            Fact::Answered { process, action, .. } => {
                if let Some(under_way) = self.sent.get_mut(process) {
                    under_way.remove(&action.id);
                }
            }
            Fact::Crashed { process, .. } => _ = self.sent.remove(process),
            Fact::Committed(_)
            | Fact::Sent(_)
            | Fact::Handled(_)
            | Fact::Ran(_)
            | Fact::Listed(..)
            | Fact::Relisted { .. }
            | Fact::WatchLost(..)
            | Fact::Started(_)
            | Fact::Leading { .. }
            | Fact::Deposed { .. }
            | Fact::Shown { .. }
            | Fact::CalendarSet(_) => {}
        }
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}
