//! A sandbox passes from its pool to one claim, once, and to nobody else.

use agent_sandbox_core::id::Kind;
use agent_sandbox_core::object::Owner;

use super::{Checker, Class, Judgement, Property, as_sandbox};
use crate::api_server::Commit;
use crate::store::Store;

/// INV-01: whoever has a sandbox keeps it.
#[derive(Clone, Debug)]
pub(super) struct AdoptedOnce;

impl Checker for AdoptedOnce {
    fn property(&self) -> Property {
        Property {
            name: "adopted-once",
            about: "a sandbox passes from its pool to one claim, once, and to nobody else",
            class: Class::Safety,
        }
    }

    fn on_commit(&mut self, commit: &Commit, _store: &Store) -> Judgement {
        let (Some(old), Some(new)) = (as_sandbox(commit.old.as_ref()), as_sandbox(commit.new.as_ref()))
        else {
            return Judgement::Silent;
        };
        if old.meta.uid != new.meta.uid || old.meta.owner == new.meta.owner {
            return Judgement::Silent;
        }
        let from_pool = old.meta.owner_of_kind(Kind::Pool).is_some();
        let to_claim = new.meta.owner_of_kind(Kind::Claim).is_some();
        let broken = !(from_pool && to_claim);
        Judgement::unless_broken(broken.then(|| {
            let (from, to) = (old.meta.owner.as_ref(), new.meta.owner.as_ref());
            let name = |owner: Option<&Owner>| owner.map_or("nobody", |owner| &owner.name).to_string();
            // Whoever is made again has the name of the one before.
            let another = if name(from) == name(to) { "another " } else { "" };
            format!("sandbox {} was {}'s and is {another}{}'s", new.meta.key.name, name(from), name(to))
        }))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}
