//! In the end every sandbox is what it was asked to be, and says so.

use super::{Checker, Class, Judgement, Property};
use crate::reference;
use crate::store::Store;

/// INV-22, INV-23 and INV-24: one look at the status is enough.
#[derive(Clone, Debug)]
pub(super) struct SandboxesSettled;

impl Checker for SandboxesSettled {
    fn property(&self) -> Property {
        Property {
            name: "sandboxes-settled",
            about: "after the trouble every sandbox runs, is suspended or has ended as asked, and says so",
            class: Class::Liveness,
        }
    }

    fn at_rest(&mut self, store: &Store) -> Judgement {
        Judgement::unless_broken(reference::sandboxes::difference(store))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}
