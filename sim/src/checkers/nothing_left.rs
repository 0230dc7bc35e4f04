//! In the end nothing outlives its owner.

use super::{Checker, Class, Judgement, Property};
use crate::reference;
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
        Judgement::unless_broken(reference::leftovers::difference(store))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}
