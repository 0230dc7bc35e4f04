//! A new template does not empty a pool.

use agent_sandbox_core::id::Kind;
use agent_sandbox_core::object::Object;

use super::known::{Known, Stand, deleted_member, is_stale, says_ready};
use super::{Checker, Class, Judgement, Property, as_sandbox};
use crate::process;
use crate::step::Sent;
use crate::store::Store;

/// INV-09 while members follow their template (DEF-021), as far as the process that decides knows the members.
#[derive(Debug)]
pub(super) struct RolloutPaced;

impl Checker for RolloutPaced {
    fn property(&self) -> Property {
        Property {
            name: "rollout-paced",
            about: "a ready member of an older make goes only while more than half of the replicas are ready",
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
    let pool = pool.and_then(|pool| known.settled_pool(process, pool, store));
    let Some((pool, _)) = pool.filter(|(pool, _)| {
        as_sandbox(Some(object)).is_some_and(|member| is_stale(member, pool, store))
            && known.stand(process, object, store) == Some(Stand::Ready)
            && known.knows_children(process, pool.meta.uid, Kind::Sandbox)
    }) else {
        return Judgement::Silent;
    };
    let members = || store.owned_by(Kind::Sandbox, pool.meta.uid);
    let may_live = |member: &&Object| !known.is_leaving(process, member);
    let is_unready = |member: &Object| {
        known.knows(process, member) && as_sandbox(Some(member)).is_some_and(|member| !says_ready(member))
    };
    // One too many is let go for another reason.
    if members().filter(may_live).count() > pool.replicas as usize {
        return Judgement::Silent;
    }
    let ready = members().filter(may_live).filter(|member| !is_unready(member)).count();
    let (name, replicas) = (&object.key().name, pool.replicas);
    Judgement::unless_broken((ready <= replicas as usize / 2).then(|| {
        let who = process::name(process);
        format!(
            "{who} deletes {name}, which is ready, for its older make, although only {ready} of {replicas} are ready"
        )
    }))
}
