//! In the end every claim has what it asked for.

use super::{Checker, Class, Judgement, Property};
use crate::reference;
use crate::store::Store;

/// INV-12: when the trouble is over, nobody waits.
#[derive(Clone, Debug)]
pub(super) struct ClaimsServed;

impl Checker for ClaimsServed {
    fn property(&self) -> Property {
        Property {
            name: "claims-served",
            about: "after the trouble every claim is Ready with a sandbox of its own, has expired and says so, or says what it cannot have",
            class: Class::Liveness,
        }
    }

    fn at_rest(&mut self, store: &Store) -> Judgement {
        Judgement::unless_broken(reference::claims::difference(store))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}
