//! What a pool says of itself is so.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_sandbox_core::action::{Intent, Operation};
use agent_sandbox_core::id::{Kind, Uid};
use agent_sandbox_core::object::{Object, Pool, PoolStatus};
use agent_sandbox_core::patch::Change;
use agent_sandbox_core::time::Mono;

use super::known::{Known, says_ready, subject};
use super::{Checker, Class, Judgement, Property, as_pool};
use crate::process;
use crate::step::{Fact, Sent};
use crate::store::Store;

/// INV-18, as far as the process that counts knows all members, and is about to write none of them.
///
/// WPL-027: a pool whose members come and go all the time is not written each time.
#[derive(Clone, Debug)]
pub(super) struct TrueFigures {
    /// How long after it was told something is told again, at least.
    apart: Duration,
    now: Mono,
    /// Process and pool → when that was told last.
    last: BTreeMap<(u8, Uid), Mono>,
}

impl TrueFigures {
    pub(super) const fn new(apart: Duration) -> Self {
        Self { apart, now: Mono::from_micros(0), last: BTreeMap::new() }
    }

    /// Notes that figures are told, and returns what is wrong if they were told just before that, of the same spec.
    fn hasty(&mut self, sent: &Sent, store: &Store) -> Option<String> {
        let uid = subject(&sent.action.operation)?.0;
        let last = self.last.insert((sent.process, uid), self.now)?;
        let (pool, _) = told(sent, store).filter(|(pool, _)| pool.status.observed == pool.meta.generation)?;
        let (who, name, ago) = (process::name(sent.process), &pool.meta.key.name, self.now.since(last));
        (ago < self.apart).then(|| format!("{who} tells the figures of pool {name} again after {ago:?}"))
    }
}

impl Checker for TrueFigures {
    fn property(&self) -> Property {
        Property {
            name: "true-figures",
            about: "a pool says how many members it has, and how many of them are ready, of its present spec, and not over and over",
            class: Class::Safety,
        }
    }

    fn judges_decisions(&self) -> bool {
        true
    }

    fn on_decision(&mut self, sent: &Sent, known: &Known, store: &Store) -> Judgement {
        if sent.action.intent != Intent::SetPoolStatus {
            return Judgement::Silent;
        }
        if let Some(wrong) = self.hasty(sent, store) {
            return Judgement::Broken(wrong);
        }
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

    fn on_clock(&mut self, at: Mono) {
        self.now = at;
    }

    fn on_fact(&mut self, fact: &Fact) {
        if let Fact::Crashed { process, .. } = fact {
            self.last.retain(|(whose, _), _| whose != process);
        }
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
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
