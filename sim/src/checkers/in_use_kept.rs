//! No controller deletes the sandbox of a claim that is there.

use agent_sandbox_core::id::Kind;

use super::{Checker, Class, Judgement, Property, as_claim, as_sandbox};
use crate::api_server::{Commit, Writer};
use crate::store::Store;

/// INV-06: a session that is in use is not destroyed.
#[derive(Clone, Debug)]
pub(super) struct InUseKept;

impl Checker for InUseKept {
    fn property(&self) -> Property {
        Property {
            name: "in-use-kept",
            about: "no controller deletes the sandbox of a claim that is there and was not told that it has expired",
            class: Class::Safety,
        }
    }

    fn on_commit(&mut self, commit: &Commit, store: &Store) -> Judgement {
        let Some(old) = as_sandbox(commit.old.as_ref()) else { return Judgement::Silent };
        let Some(Writer::Process { intent, .. }) = commit.by else { return Judgement::Silent };
        if !commit.ends_life() {
            return Judgement::Silent;
        }
        let owner = old.meta.owner_of_kind(Kind::Claim).and_then(|uid| store.find(Kind::Claim, uid));
        let owner = owner.filter(|claim| !claim.meta().terminating);
        // Whoever was told that it has expired does not use it any more.
        let owner =
            owner.filter(|claim| as_claim(Some(claim)).is_some_and(|claim| claim.expired().is_none()));
        Judgement::unless_broken(owner.map(|claim| {
            let (sandbox, claim) = (&old.meta.key.name, &claim.key().name);
            format!("{intent:?} deleted sandbox {sandbox}, which claim {claim} owns")
        }))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}
