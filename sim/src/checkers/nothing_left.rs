//! In the end nothing outlives its owner.

use agent_sandbox_core::names;
use agent_sandbox_core::object::Object;

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
            about: "after the trouble nothing has an owner that is gone, and what controllers made has one",
            class: Class::Liveness,
        }
    }

    fn at_rest(&mut self, store: &Store) -> Judgement {
        let all = cluster::OWNED.into_iter().flat_map(|kind| store.list(kind));
        // Users make sandboxes and Pods for themselves, and those have no owner.
        let is_made = |object: &&Object| object.meta().label(names::LAUNCH_TYPE).is_some();
        let mut left = all.filter(|object| match object.meta().owner {
            None => is_made(object),
            Some(_) => store.is_orphan(object),
        });
        Judgement::unless_broken(left.next().map(|object| {
            let owner = object.meta().owner.as_ref().map_or("nobody", |owner| &owner.name);
            format!("{} {} is left over, owned by {owner}", object.kind(), object.key().name)
        }))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}
