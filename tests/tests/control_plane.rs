//! The control plane itself: the parts that every other cluster test relies on do their work.

use agent_sandbox_tests::cluster::{Namespace, block_on, create, eventually};
use agent_sandbox_tests::control_plane;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace as NamespaceObject, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, ListParams};
use kube::{Resource, ResourceExt};
use serde_json::json;

#[test]
fn a_pod_runs_and_goes_away_with_its_owner() {
    let Some(plane) = control_plane::shared_or_skip("a_pod_runs_and_goes_away_with_its_owner") else {
        return;
    };
    block_on(async {
        let namespace = Namespace::new(plane, "owner").await;
        let pods: Api<Pod> = namespace.api();
        let owners: Api<ConfigMap> = namespace.api();

        let owner = create(&owners, json!({ "metadata": { "name": "owner" } })).await;
        let reference = owner.owner_ref(&()).expect("an object from the server has a uid");
        let metadata = json!({ "name": "owned", "ownerReferences": [reference] });
        let spec = json!({ "containers": [{ "name": "main", "image": "none" }] });
        create(&pods, json!({ "metadata": metadata, "spec": spec })).await;
        eventually("the pod runs", async || {
            let pod = pods.get("owned").await.expect("the pod is there");
            pod.status.and_then(|status| status.phase).is_some_and(|phase| phase == "Running")
        })
        .await;

        owners.delete("owner", &DeleteParams::default()).await.expect("the owner can be deleted");
        eventually("the garbage collector removes the pod", async || {
            pods.get_opt("owned").await.expect("the server answers").is_none()
        })
        .await;
    });
}

#[test]
fn a_deleted_namespace_goes_away_with_what_is_in_it() {
    let Some(plane) = control_plane::shared_or_skip("a_deleted_namespace_goes_away_with_what_is_in_it")
    else {
        return;
    };
    block_on(async {
        let namespace = Namespace::new(plane, "deleted").await;
        create(&namespace.api::<ConfigMap>(), json!({ "metadata": { "name": "inside" } })).await;

        let namespaces: Api<NamespaceObject> = Api::all(namespace.client().clone());
        namespaces
            .delete(namespace.name(), &DeleteParams::default())
            .await
            .expect("the namespace can be deleted");
        eventually("the namespace is gone", async || {
            namespaces.get_opt(namespace.name()).await.expect("the server answers").is_none()
        })
        .await;
    });
}

/// CON-001.
#[test]
fn the_four_kinds_are_served() {
    let Some(plane) = control_plane::shared_or_skip("the_four_kinds_are_served") else { return };
    block_on(async {
        let crds: Api<CustomResourceDefinition> = Api::all(plane.client().await);
        let list = crds.list(&ListParams::default()).await.expect("the server lists definitions");
        let established = list.iter().filter(|crd| {
            let conditions = crd.status.as_ref().and_then(|status| status.conditions.as_ref());
            conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Established" && c.status == "True"))
        });
        let names: Vec<_> = established.map(ResourceExt::name_any).collect();
        for ours in [
            "sandboxclaims.extensions.agents.x-k8s.io",
            "sandboxes.agents.x-k8s.io",
            "sandboxtemplates.extensions.agents.x-k8s.io",
            "sandboxwarmpools.extensions.agents.x-k8s.io",
        ] {
            assert!(names.iter().any(|name| name == ours), "{ours} is not among {names:?}");
        }
    });
}
