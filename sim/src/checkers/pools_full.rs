//! In the end every pool has as many ready members as it was asked for, and says so.

use super::{Checker, Class, Judgement, Property};
use crate::reference;
use crate::store::Store;

/// INV-09 and CON-060: clients wait for the exact number.
#[derive(Clone, Debug)]
pub(super) struct PoolsFull;

impl Checker for PoolsFull {
    fn property(&self) -> Property {
        Property {
            name: "pools-full",
            about: "after the trouble every pool has its replicas, all ready and up to date, and its status says so",
            class: Class::Liveness,
        }
    }

    fn at_rest(&mut self, store: &Store) -> Judgement {
        Judgement::unless_broken(reference::pools::difference(store))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}
