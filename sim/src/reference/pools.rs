//! What each pool has in the end.

use agent_sandbox_core::id::Kind;
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Blueprint, Object, Pool, Sandbox, Truth, Update};

use super::claims::template_of;
use crate::store::Store;

/// Returns what is wrong with the first pool that is not what it must be.
///
/// INV-09, INV-18 and CON-060: clients wait for the exact number.
pub fn difference(store: &Store) -> Option<String> {
    let pools = store.list(Kind::Pool).iter().filter_map(Object::as_pool);
    let mut wrong = pools.filter_map(|pool| lack(pool, store).map(|lack| (pool, lack)));
    wrong.next().map(|(pool, lack)| format!("pool {} {lack}", pool.meta.key.name))
}

fn lack(pool: &Pool, store: &Store) -> Option<String> {
    let members: Vec<&Sandbox> =
        store.owned_by(Kind::Sandbox, pool.meta.uid).filter_map(Object::as_sandbox).collect();
    // Without a template there is nothing to make members from; those that are there stay (WPL-053).
    let has_template = template_of(pool, store).is_some();
    let want = if has_template { pool.replicas } else { pool.replicas.min(members.len() as u32) };
    let ready = members.iter().filter(|member| is_ready(member)).count();
    if members.len() != want as usize || ready != members.len() {
        return Some(format!("has {} members, {ready} of them ready, instead of {want}", members.len()));
    }
    let stale =
        members.iter().find(|member| pool.update == Update::Recreate && is_stale(member, pool, store));
    if let Some(stale) = stale {
        return Some(format!("still has {}, which its template does not make", stale.meta.key.name));
    }
    let mark = names::name_hash(&pool.meta.key.name);
    if let Some(odd) = members.iter().find(|member| member.meta.label(names::WARM_POOL) != Some(&mark)) {
        return Some(format!("has {}, which its selector does not match", odd.meta.key.name));
    }
    let is_warm = |member: &&Sandbox| member.meta.label(names::LAUNCH_TYPE).is_some_and(|it| &**it == "warm");
    if let Some(odd) = members.iter().find(|member| !is_warm(member)) {
        return Some(format!("has {}, which clients do not find as warm", odd.meta.key.name));
    }
    let told = &pool.status;
    let wrong = told.replicas != want || told.ready != want || told.observed != pool.meta.generation;
    let (replicas, ready, observed, generation) =
        (told.replicas, told.ready, told.observed, pool.meta.generation);
    if wrong {
        return Some(format!(
            "says replicas={replicas} ready={ready} of generation {observed}; true is {want} of generation {generation}"
        ));
    }
    let selector = format!("{}={mark}", names::WARM_POOL);
    (*told.selector != *selector).then(|| format!("says that {:?} selects its members", told.selector))
}

/// CON-063: a pool whose members follow its template has none of another make. Both texts are the simulator's own.
pub fn is_stale(member: &Sandbox, pool: &Pool, store: &Store) -> bool {
    template_of(pool, store).is_some_and(|template| {
        let name = names::name_hash(&template.meta.key.name);
        let Blueprint { pod: _, pod_spec, volume_claims, service, hash: _, pod_hash: _ } =
            &*template.blueprint;
        (&member.pod_spec, &member.volume_claims, &member.service) != (pod_spec, volume_claims, service)
            || member.meta.label(names::TEMPLATE_REF_HASH) != Some(&name)
    })
}

fn is_ready(member: &Sandbox) -> bool {
    member.status.condition(names::READY).is_some_and(|condition| condition.status == Truth::True)
}
