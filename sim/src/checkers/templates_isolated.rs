//! In the end the Pods of every template talk only to whom it says.

use super::{Checker, Class, Judgement, Property};
use crate::reference;
use crate::store::Store;

/// INV-24: a policy that is not there isolates nobody.
#[derive(Clone, Debug)]
pub(super) struct TemplatesIsolated;

impl Checker for TemplatesIsolated {
    fn property(&self) -> Property {
        Property {
            name: "templates-isolated",
            about: "after the trouble every template has the network policy that it asks for, and no other",
            class: Class::Liveness,
        }
    }

    fn at_rest(&mut self, store: &Store) -> Judgement {
        Judgement::unless_broken(reference::templates::difference(store))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}
