//! No controller deletes the sandbox of a claim that is there.

use agent_sandbox_core::id::{Kind, Uid};
use agent_sandbox_core::object::Claim;

use super::{Checker, Class, Judgement, Property, as_claim, as_sandbox};
use crate::api_server::{Commit, Writer};
use crate::store::Store;

/// INV-06: a session that is in use is not destroyed.
#[derive(Clone, Debug, Default)]
pub(super) struct InUseKept {
    /// Claims that a user has made to say no more that they had expired, with the generation of which they said so: whoever
    /// read that before may still delete what they have. No world of a search has such users.
    cleared: Vec<(Uid, i64)>,
}

impl Checker for InUseKept {
    fn property(&self) -> Property {
        Property {
            name: "in-use-kept",
            about: "no controller deletes the sandbox of a claim that is there and was not told that it has expired",
            class: Class::Safety,
        }
    }

    fn on_commit(&mut self, commit: &Commit, store: &Store) -> Judgement {
        self.cleared.extend(cleared(commit));
        let Some(old) = as_sandbox(commit.old.as_ref()) else { return Judgement::Silent };
        let Some(Writer::Process { intent, .. }) = commit.by else { return Judgement::Silent };
        if !commit.ends_life() {
            return Judgement::Silent;
        }
        let owner = old.meta.owner_of_kind(Kind::Claim).and_then(|uid| store.find(Kind::Claim, uid));
        let owner = owner.filter(|claim| !claim.meta().terminating);
        // Whoever was told that it has expired does not use it any more.
        let is_in_use = |claim: &Claim| {
            let said = (claim.meta.uid, claim.meta.generation);
            claim.expired().is_none() && !self.cleared.contains(&said)
        };
        let owner = owner.filter(|claim| as_claim(Some(claim)).is_some_and(is_in_use));
        Judgement::unless_broken(owner.map(|claim| {
            let (sandbox, claim) = (&old.meta.key.name, &claim.key().name);
            format!("{intent:?} deleted sandbox {sandbox}, which claim {claim} owns")
        }))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

fn cleared(commit: &Commit) -> Option<(Uid, i64)> {
    let (old, new) = (as_claim(commit.old.as_ref())?, as_claim(commit.new.as_ref())?);
    let is_cleared = commit.by == Some(Writer::User) && old.expired().is_some() && new.expired().is_none();
    (is_cleared && old.meta.generation == new.meta.generation).then_some((new.meta.uid, new.meta.generation))
}
