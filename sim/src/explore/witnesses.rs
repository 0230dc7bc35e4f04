//! The checkers that remember: what they know is part of a situation.

use std::rc::Rc;
use std::time::Duration;

use agent_sandbox_core::fingerprint::{Sight, Walk};
use agent_sandbox_core::id::Kind;
use agent_sandbox_core::time::Mono;

use crate::checkers::{Checkers, Violation};
use crate::step::Fact;
use crate::store::Store;

/// Checkers that remember, each for itself, so that a copy of one does not copy the others.
#[derive(Clone, Debug)]
pub(super) struct Witnesses(Rc<[Witness]>);

/// A checker, and what stands for all that it remembers: situations are compared far more often than it learns anything.
#[derive(Clone, Debug)]
struct Witness {
    checkers: Rc<Checkers>,
    fingerprint: u64,
}

impl Witnesses {
    pub(super) fn new(checkers: Vec<Checkers>) -> Self {
        let witness = |checkers| Witness { fingerprint: remembered(&checkers), checkers: Rc::new(checkers) };
        Self(checkers.into_iter().map(witness).collect())
    }

    /// Shows a fact to those to whom it matters.
    ///
    /// # Errors
    /// The first violation.
    pub(super) fn on_fact(&mut self, fact: &Fact, store: &Store) -> Result<(), Violation> {
        let is_heeded = |witness: &Witness| witness.checkers.heed(fact);
        if !is_memorable(fact) || !self.0.iter().any(is_heeded) {
            return Ok(());
        }
        for witness in Rc::make_mut(&mut self.0).iter_mut().filter(|witness| is_heeded(witness)) {
            let checkers = Rc::make_mut(&mut witness.checkers);
            checkers.on_fact(fact, store)?;
            witness.fingerprint = remembered(checkers);
        }
        Ok(())
    }

    /// Visits what they remember.
    pub(super) fn visit(&self, walk: &mut Walk) {
        self.0.iter().for_each(|witness| walk.number(witness.fingerprint));
    }
}

/// Returns a number that stands for what checkers remember: no time, and no version as it is.
fn remembered(checkers: &Checkers) -> u64 {
    let mut walk = Walk::new(Sight { now: Mono::default(), far: Duration::ZERO, version_mask: 0 });
    checkers.remembered(&mut walk);
    walk.fingerprint()
}

/// Returns whether a checker that remembers may want to know.
const fn is_memorable(fact: &Fact) -> bool {
    match fact {
        Fact::Committed(_) | Fact::Relisted { kind: Kind::Sandbox, .. } => true,
        Fact::Crashed { .. } | Fact::Deposed { .. } => true,
        Fact::Sent(_)
        | Fact::Handled(_)
        | Fact::Answered { .. }
        | Fact::Listed(..)
        | Fact::Relisted { .. }
        | Fact::WatchLost(..)
        | Fact::Started(_)
        | Fact::Leading { .. }
        | Fact::Shown { .. }
        | Fact::CalendarSet(_)
        | Fact::Ran(_) => false,
    }
}
