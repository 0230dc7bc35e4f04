//! In the end nothing outlives its owner.

use super::{Checker, Class, Judgement, Property};
use crate::cluster;
use crate::store::Store;

/// INV-20: what nobody owns costs money for ever.
#[derive(Clone, Debug)]
pub(super) struct NothingLeft;

impl Checker for NothingLeft {
    fn property(&self) -> Property {
        Property {
            name: "nothing-left",
            about: "after the trouble every sandbox has a pool or a claim, and what belongs to one has it",
            class: Class::Liveness,
        }
    }

    fn at_rest(&mut self, store: &Store) -> Judgement {
        let all = cluster::OWNED.into_iter().flat_map(|kind| store.list(kind));
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
