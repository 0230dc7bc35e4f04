//! No two users are sent to the same sandbox.

use std::collections::BTreeMap;

use agent_sandbox_core::id::{Key, Kind, Uid};
use agent_sandbox_core::object::Claim;

use super::{Checker, Class, Judgement, Property, as_claim};
use crate::api_server::Commit;
use crate::store::Store;

/// INV-01, as users see it: what two claims publish is never the same.
#[derive(Clone, Debug, Default)]
pub(super) struct NoSharedSandbox {
    /// Sandbox → claim whose status names it.
    published: BTreeMap<Key, Uid>,
}

impl Checker for NoSharedSandbox {
    fn property(&self) -> Property {
        Property {
            name: "no-shared-sandbox",
            about: "no two claims name the same sandbox in their status",
            class: Class::Safety,
        }
    }

    fn heeds(&self, commit: &Commit) -> bool {
        let named = |object| as_claim(Some(object)).and_then(|claim| claim.status.sandbox.as_ref());
        commit.changes(|object| named(object).map(|bound| &bound.name))
            && commit.object().kind() == Kind::Claim
    }

    fn on_commit(&mut self, commit: &Commit, _store: &Store) -> Judgement {
        let before = as_claim(commit.old.as_ref()).and_then(published);
        let after = as_claim(commit.new.as_ref()).and_then(published);
        if before == after {
            return Judgement::Silent;
        }
        let uid = commit.object().uid();
        if let Some(key) = before
            && self.published.get(&key) == Some(&uid)
        {
            self.published.remove(&key);
        }
        let Some(key) = after else { return Judgement::Silent };
        let other = self.published.insert(key.clone(), uid).filter(|other| *other != uid);
        Judgement::unless_broken(other.map(|_| {
            format!("claim {} names sandbox {}, and so does another", commit.object().key().name, key.name)
        }))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

fn published(claim: &Claim) -> Option<Key> {
    claim.status.sandbox.as_ref().map(|bound| claim.meta.key.sibling(bound.name.clone()))
}
