//! In the end nothing outlives its owner.

use agent_sandbox_core::id::Kind;

use super::{Checker, Class, Judgement, Property};
use crate::store::Store;

/// INV-20: what nobody owns costs money for ever.
#[derive(Clone, Debug)]
pub(super) struct NothingLeft;

impl Checker for NothingLeft {
    fn property(&self) -> Property {
        Property {
            name: "nothing-left",
            about: "after the trouble every sandbox has a pool or a claim, and every Pod a sandbox",
            class: Class::Liveness,
        }
    }

    fn at_rest(&mut self, store: &Store) -> Judgement {
        let all = store.list(Kind::Sandbox).iter().chain(store.list(Kind::Pod));
        let mut left = all.filter(|object| object.meta().owner.is_none() || store.is_orphan(object));
        Judgement::unless_broken(left.next().map(|object| {
            let owner = object.meta().owner.as_ref().map_or("nobody", |owner| &owner.name);
            format!("{} {} is left over, owned by {owner}", object.kind(), object.key().name)
        }))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}
