//! A claim costs a few writes, whatever else goes on.

use agent_sandbox_core::action::Intent;
use agent_sandbox_core::id::Kind;

use super::{Checker, Class, Judgement, Property};
use crate::api_server::Commit;
use crate::step::Sent;
use crate::store::Store;

/// Most writes that a claim may cost from its creation to its end, in a run in which nothing goes wrong.
///
/// Source: record, transfer, status, first-ready stamp and one more status make five; a cold start has a
/// create instead of the transfer and tells its user in between. Two more are for a member that is lost
/// meanwhile.
const WRITES_MAX: u64 = 8;

/// INV-27: the cost of a claim does not depend on the population.
#[derive(Clone, Debug, Default)]
pub(super) struct BoundedCost {
    claims: u64,
    writes: u64,
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
        self.claims += u64::from(commit.old.is_none() && commit.object().kind() == Kind::Claim);
        Judgement::Silent
    }

    fn on_action(&mut self, sent: &Sent, _store: &Store) -> Judgement {
        self.writes += u64::from(is_for_a_claim(sent.action.intent));
        Judgement::Silent
    }

    fn at_rest(&mut self, _store: &Store) -> Judgement {
        let most = self.claims * WRITES_MAX;
        let broken = self.writes > most;
        Judgement::unless_broken(
            broken.then(|| format!("{} claims cost {} writes, more than {most}", self.claims, self.writes)),
        )
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
