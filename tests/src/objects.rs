//! The objects that cluster tests create, and questions about what came of them.

use agent_sandbox_core::id::Kind;
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Claim, Object, Pool, Sandbox, Truth};
use agent_sandbox_sim::store::Store;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, PostParams};
use serde_json::{Value, json};

use crate::cluster::Namespace;

/// Makes a template `template`, and a pool `pool` of it.
///
/// **Panics** when the server refuses.
pub async fn create_pool(namespace: &Namespace<'_>, replicas: usize) {
    let container = json!({ "name": "main", "image": "debian" });
    let template = json!({ "podTemplate": { "spec": { "containers": [container] } } });
    create(namespace, "SandboxTemplate", "template", template).await;
    let pool = json!({ "replicas": replicas, "sandboxTemplateRef": { "name": "template" } });
    create(namespace, "SandboxWarmPool", "pool", pool).await;
}

/// Makes a claim on `pool`.
///
/// **Panics** when the server refuses.
pub fn create_claim(namespace: &Namespace<'_>, name: &str) -> impl Future<Output = ()> + use<> {
    create(namespace, "SandboxClaim", name, json!({ "warmPoolRef": { "name": "pool" } }))
}

fn create(
    namespace: &Namespace<'_>,
    kind: &str,
    name: &str,
    spec: Value,
) -> impl Future<Output = ()> + use<> {
    let object = DynamicObject::new(name, &resource(kind)).data(json!({ "spec": spec }));
    let api = extensions(namespace, kind);
    async move { drop(api.create(&PostParams::default(), &object).await.expect("the server takes the object")) }
}

/// Returns the objects of one of the kinds in `extensions.agents.x-k8s.io`.
#[must_use]
pub fn extensions(namespace: &Namespace<'_>, kind: &str) -> Api<DynamicObject> {
    Api::namespaced_with(namespace.client().clone(), namespace.name(), &resource(kind))
}

fn resource(kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("extensions.agents.x-k8s.io", "v1beta1", kind))
}

/// Returns the claims.
pub fn claims(store: &Store) -> impl Iterator<Item = &Claim> {
    store.list(Kind::Claim).iter().filter_map(Object::as_claim)
}

/// Returns how many claims are ready.
#[must_use]
pub fn ready(store: &Store) -> usize {
    claims(store).filter(|claim| claim.status.is_ready()).count()
}

/// Whether every claim is ready, the pool has so many ready members and says so, and each sandbox has its Pod.
#[must_use]
pub fn is_done(store: &Store, replicas: usize) -> bool {
    let says_so =
        |pool: &Pool| [pool.status.ready, pool.status.replicas].map(|n| n as usize) == [replicas; 2];
    let sandboxes = store.list(Kind::Sandbox).iter().filter_map(Object::as_sandbox);
    store.list(Kind::Pool).iter().filter_map(Object::as_pool).all(says_so)
        && ready(store) == claims(store).count()
        && sandboxes.filter(|sandbox| is_ready_member(sandbox)).count() == replicas
        && store.list(Kind::Pod).len() == store.list(Kind::Sandbox).len()
}

fn is_ready_member(sandbox: &Sandbox) -> bool {
    let ready = sandbox.status.condition(names::READY);
    sandbox.meta.owner_of_kind(Kind::Pool).is_some() && ready.is_some_and(|ready| ready.status == Truth::True)
}
