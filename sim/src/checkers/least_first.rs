//! A pool that has too many lets go of those first that are worth least.

use agent_sandbox_core::id::Kind;
use agent_sandbox_core::object::{Object, Sandbox, Update};

use super::known::{Known, Stand, deleted_member, is_stale, says_ready};
use super::{Checker, Class, Judgement, Property, as_pool, as_sandbox};
use crate::process;
use crate::step::Sent;
use crate::store::Store;

/// WPL-037, as far as the process that decides knows the members: whose age in whole seconds is the same are worth the same.
#[derive(Debug)]
pub(super) struct LeastFirst;

impl Checker for LeastFirst {
    fn property(&self) -> Property {
        Property {
            name: "least-first",
            about: "a pool lets go of a ready member only when it has no older make, none unready and none younger; of an older make the unready go first",
            class: Class::Safety,
        }
    }

    fn judges_decisions(&self) -> bool {
        true
    }

    fn on_decision(&mut self, sent: &Sent, known: &Known, store: &Store) -> Judgement {
        let member = deleted_member(sent, store);
        member.map_or(Judgement::Silent, |member| judge(sent.process, member, known, store))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(Self)
    }
}

fn judge(process: u8, object: &Object, known: &Known, store: &Store) -> Judgement {
    let pool = object.meta().owner_of_kind(Kind::Pool).and_then(|pool| store.find(Kind::Pool, pool));
    let Some((object_of_pool, pool)) = pool.and_then(|object| Some((object, as_pool(Some(object))?))) else {
        return Judgement::Silent;
    };
    // Whether a member is of an older make, the process tells by the template that it knows.
    let is_known = known.knows(process, object_of_pool)
        && (pool.update == Update::OnReplenish
            || known.settled_pool(process, object_of_pool, store).is_some());
    let Some(member) = as_sandbox(Some(object)).filter(|_| is_known) else { return Judgement::Silent };
    let goes_anyway = is_stale(member, pool, store);
    if known.stand(process, object, store) != Some(Stand::Ready) {
        return Judgement::Silent;
    }
    let others = store.owned_by(Kind::Sandbox, pool.meta.uid).filter(|other| other.uid() != object.uid());
    let mut worse = others.filter_map(|other| {
        let sandbox = as_sandbox(Some(other))?;
        let is_there = !sandbox.meta.terminating
            && known.knows(process, other)
            && known.is_free(process, &sandbox.meta.key.name);
        let is_old = is_stale(sandbox, pool, store);
        let why = if goes_anyway {
            (is_old && !says_ready(sandbox)).then_some("is of an older make, too, and is not")
        } else {
            fault(sandbox, member).or(is_old.then_some("is of an older make"))
        };
        Some((sandbox, why.filter(|_| is_there)?))
    });
    Judgement::unless_broken(worse.next().map(|(other, why)| {
        let (name, other) = (&member.meta.key.name, &other.meta.key.name);
        let who = process::name(process);
        format!("{who} deletes {name}, which is ready, before {other}, which {why}")
    }))
}

/// Returns why one is to go before another that is ready.
fn fault(other: &Sandbox, member: &Sandbox) -> Option<&'static str> {
    let is_unready = !says_ready(other);
    let is_younger = other.meta.created > member.meta.created;
    is_unready.then_some("is not").or(is_younger.then_some("is younger"))
}
