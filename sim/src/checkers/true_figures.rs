//! What a pool says of itself is so.

use agent_sandbox_core::action::Operation;
use agent_sandbox_core::id::Kind;
use agent_sandbox_core::object::{Object, Pool, PoolStatus};
use agent_sandbox_core::patch::Change;

use super::known::{Known, says_ready};
use super::{Checker, Class, Judgement, Property, as_pool};
use crate::process;
use crate::step::Sent;
use crate::store::Store;

/// INV-18, as far as the process that counts knows all members, and is about to write none of them.
#[derive(Debug)]
pub(super) struct TrueFigures;

impl Checker for TrueFigures {
    fn property(&self) -> Property {
        Property {
            name: "true-figures",
            about: "a pool says how many members it has, and how many of them are ready, of its present spec",
            class: Class::Safety,
        }
    }

    fn judges_decisions(&self) -> bool {
        true
    }

    fn on_decision(&mut self, sent: &Sent, known: &Known, store: &Store) -> Judgement {
        let Some((pool, told)) = told(sent, store) else { return Judgement::Silent };
        let (process, uid) = (sent.process, pool.meta.uid);
        let members = || store.owned_by(Kind::Sandbox, uid);
        let is_known = known.knows_children(process, uid, Kind::Sandbox)
            && members().all(|member| known.knows(process, member));
        if !is_known {
            return Judgement::Silent;
        }
        let live = || members().filter_map(Object::as_sandbox).filter(|member| !member.meta.terminating);
        let (replicas, ready) = (live().count(), live().filter(|member| says_ready(member)).count());
        let generation = pool.meta.generation;
        let is_right =
            told.replicas as usize == replicas && told.ready as usize == ready && told.observed == generation;
        Judgement::unless_broken((!is_right).then(|| {
            let (name, observed, who) = (&pool.meta.key.name, told.observed, process::name(process));
            format!(
                "{who} says of pool {name} replicas={} ready={} of generation {observed}; it knows {replicas} and {ready} of generation {generation}",
                told.replicas, told.ready
            )
        }))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(Self)
    }
}

/// Returns the pool of which a request tells the figures, if it still is as it was when that was decided.
fn told<'a>(sent: &'a Sent, store: &'a Store) -> Option<(&'a Pool, &'a PoolStatus)> {
    let Operation::Patch(patch) = &*sent.action.operation else { return None };
    let status = patch
        .changes
        .iter()
        .find_map(|change| if let Change::PoolStatus(status) = change { Some(status) } else { None })?;
    let pool = as_pool(store.find(Kind::Pool, patch.target.uid?))?;
    (Some(pool.meta.version) == patch.version).then_some((pool, status))
}
