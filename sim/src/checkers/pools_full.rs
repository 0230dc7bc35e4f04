//! In the end every pool has as many ready members as it was asked for, and says so.

use agent_sandbox_core::id::Kind;
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Object, Pool, Truth, Update};

use super::{Checker, Class, Judgement, Property, as_pool, as_sandbox};
use crate::store::Store;

/// INV-09 and CON-060: clients wait for the exact number.
#[derive(Clone, Debug)]
pub(super) struct PoolsFull;

impl Checker for PoolsFull {
    fn property(&self) -> Property {
        Property {
            name: "pools-full",
            about: "after the trouble every pool has its replicas, all ready and up to date, and its status says so",
            class: Class::Liveness,
        }
    }

    fn at_rest(&mut self, store: &Store) -> Judgement {
        let pools = store.list(Kind::Pool).iter().filter_map(|object| as_pool(Some(object)));
        let mut pools = pools.map(|pool| (pool, lack(pool, store)));
        let lacking = pools.find_map(|(pool, lack)| lack.map(|lack| (pool, lack)));
        Judgement::unless_broken(lacking.map(|(pool, lack)| format!("pool {} {lack}", pool.meta.key.name)))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

fn lack(pool: &Pool, store: &Store) -> Option<String> {
    let want = pool.replicas;
    let members: Vec<&Object> = store.owned_by(Kind::Sandbox, pool.meta.uid).collect();
    let ready = members.iter().filter(|member| is_ready(member)).count();
    if members.len() != want as usize || ready != members.len() {
        return Some(format!("has {} members, {ready} of them ready, instead of {want}", members.len()));
    }
    let stale =
        members.iter().find(|member| pool.update == Update::Recreate && is_stale(member, pool, store));
    if let Some(stale) = stale {
        return Some(format!("still has {}, which its template does not make", stale.key().name));
    }
    let told = &pool.status;
    let wrong = told.replicas != want || told.ready != want || told.observed != pool.meta.generation;
    wrong.then(|| {
        let (replicas, ready, observed, generation) = (told.replicas, told.ready, told.observed, pool.meta.generation);
        format!(
            "says replicas={replicas} ready={ready} of generation {observed}; true is {want} of generation {generation}"
        )
    })
}

/// CON-063: a pool whose members follow its template has none of another make. Both texts are the simulator's own.
fn is_stale(member: &Object, pool: &Pool, store: &Store) -> bool {
    let template = store.get(Kind::Template, &pool.meta.key.sibling(pool.template.clone()));
    let (Some(Object::Template(template)), Object::Sandbox(sandbox)) = (template, member) else {
        return false;
    };
    let name = names::name_hash(&template.meta.key.name);
    sandbox.pod_spec != template.blueprint.pod_spec
        || sandbox.meta.label(names::TEMPLATE_REF_HASH) != Some(&name)
}

fn is_ready(member: &Object) -> bool {
    let condition = as_sandbox(Some(member)).and_then(|sandbox| sandbox.status.condition(names::READY));
    condition.is_some_and(|condition| condition.status == Truth::True)
}
