//! A claim costs a few writes, whatever else goes on.

use std::collections::BTreeMap;

use agent_sandbox_core::action::Intent;
use agent_sandbox_core::id::{Kind, Text};

use super::{Checker, Class, Judgement, Property};
use crate::api_server::Commit;
use crate::step::Sent;
use crate::store::Store;
use crate::tale::of_intent;

/// Most writes that a claim may cost from its creation to its end, in a run in which nothing goes wrong; and each time that
/// its user changes its mind: what was over begins anew.
///
/// Source: record, transfer, status, first-ready stamp and one more status make five; a cold start has a
/// create instead of the transfer and tells its user in between. Two more are for a member that is lost
/// meanwhile.
const WRITES_MAX: u64 = 8;

/// INV-27: the cost of a claim does not depend on the population.
#[derive(Clone, Debug, Default)]
pub(super) struct BoundedCost {
    /// How many claims were made, and how often one was changed.
    claims: u64,
    writes: u64,
    /// How often each write was asked for.
    of: BTreeMap<(Intent, Text), u64>,
}

impl Checker for BoundedCost {
    fn property(&self) -> Property {
        Property {
            name: "bounded-cost",
            about: "without faults a claim costs at most eight writes on average",
            class: Class::Liveness,
        }
    }

    fn on_commit(&mut self, commit: &Commit, _store: &Store) -> Judgement {
        let is_new = match (&commit.old, &commit.new) {
            (Some(old), Some(new)) => old.meta().generation != new.meta().generation,
            (old, _) => old.is_none(),
        };
        self.claims += u64::from(is_new && commit.object().kind() == Kind::Claim);
        Judgement::Silent
    }

    fn on_action(&mut self, sent: &Sent, _store: &Store) -> Judgement {
        let intent = sent.action.intent;
        if is_for_a_claim(intent) {
            self.writes += 1;
            *self.of.entry((intent, sent.action.operation.key().name.clone())).or_default() += 1;
        }
        Judgement::Silent
    }

    fn at_rest(&mut self, _store: &Store) -> Judgement {
        let most = self.claims * WRITES_MAX;
        let most_often = self.of.iter().max_by_key(|(_, count)| **count).filter(|_| self.writes > most);
        Judgement::unless_broken(most_often.map(|((intent, name), count)| {
            let deed = of_intent(*intent, name);
            format!(
                "{} writes for claims, {} in all, are more than {most}: {count} times a controller {deed}",
                self.writes, self.claims
            )
        }))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

const fn is_for_a_claim(intent: Intent) -> bool {
    matches!(
        intent,
        Intent::RecordAssignment
            | Intent::RecordColdStart
            | Intent::ClearAssignment
            | Intent::AdoptSandbox
            | Intent::CreateClaimSandbox
            | Intent::SetClaimStatus
            | Intent::StampFirstReady
    )
}
