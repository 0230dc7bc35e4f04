//! A claim has one sandbox at most.

use agent_sandbox_core::id::Kind;

use super::{Checker, Class, Judgement, Property, as_sandbox};
use crate::api_server::Commit;
use crate::store::Store;

/// INV-02: a second sandbox would be a leak, and a riddle for the user.
#[derive(Clone, Debug)]
pub(super) struct OneSandbox;

impl Checker for OneSandbox {
    fn property(&self) -> Property {
        Property { name: "one-sandbox", about: "no claim owns two live sandboxes", class: Class::Safety }
    }

    fn on_commit(&mut self, commit: &Commit, store: &Store) -> Judgement {
        let Some(new) = as_sandbox(commit.new.as_ref()) else { return Judgement::Silent };
        let Some(claim) = new.meta.owner_of_kind(Kind::Claim) else { return Judgement::Silent };
        if commit.old.as_ref().is_some_and(|old| old.meta().is_owned_by(claim)) {
            return Judgement::Silent;
        }
        let owned = store.owned_by(Kind::Sandbox, claim).filter(|sandbox| !sandbox.meta().terminating);
        let names: Vec<&str> = owned.map(|sandbox| &*sandbox.key().name).collect();
        let owner = new.meta.owner.as_ref().map_or("", |owner| &owner.name);
        Judgement::unless_broken(
            (names.len() > 1).then(|| format!("claim {owner} owns the sandboxes {}", names.join(" and "))),
        )
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}
