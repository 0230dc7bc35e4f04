//! Where the switchable defects of [`Mutant`](crate::mutant::Mutant) sit. A normal build has none of them.

use alloc::sync::Arc;

use super::Machine;
use crate::action::{Intent, Operation};

impl Machine {
    #[cfg(feature = "mutants")]
    pub(super) fn is_mutant(&self, mutant: crate::mutant::Mutant) -> bool {
        self.config.mutant == Some(mutant)
    }

    pub(super) fn is_mutant_own_write(&self) -> bool {
        #[cfg(feature = "mutants")]
        return self.is_mutant(crate::mutant::Mutant::OwnWriteInvisible);
        #[cfg(not(feature = "mutants"))]
        false
    }

    pub(super) fn is_mutant_lost_answer(&self) -> bool {
        #[cfg(feature = "mutants")]
        return self.is_mutant(crate::mutant::Mutant::LostAnswerIsFailure);
        #[cfg(not(feature = "mutants"))]
        false
    }

    #[cfg(not(feature = "mutants"))]
    #[expect(clippy::unused_self, reason = "the mutants' build reads the configuration")]
    pub(super) fn mutate(&self, _intent: Intent, operation: Arc<Operation>) -> Arc<Operation> {
        operation
    }

    #[cfg(feature = "mutants")]
    pub(super) fn mutate(&self, intent: Intent, operation: Arc<Operation>) -> Arc<Operation> {
        use crate::mutant::Mutant;
        if self.config.mutant.is_none() {
            return operation;
        }
        let mut changed = (*operation).clone();
        match (&mut changed, intent) {
            (Operation::Delete { target, version, .. }, _)
                if self.is_mutant(Mutant::DeleteWithoutPreconditions) =>
            {
                (target.uid, *version) = (None, None);
            }
            (Operation::Patch(patch), Intent::AdoptSandbox) if self.is_mutant(Mutant::AdoptWithoutLock) => {
                patch.version = None;
            }
            _ => return operation,
        }
        Arc::new(changed)
    }
}
