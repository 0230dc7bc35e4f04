//! The definitions as the API server understands them: what it fills in, what it refuses, what it leaves alone.

use agent_sandbox_tests::cluster::{Namespace, block_on};
use agent_sandbox_tests::control_plane;
use kube::ResourceExt;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

const CORE: &str = "agents.x-k8s.io";
const EXTENSIONS: &str = "extensions.agents.x-k8s.io";

#[test]
fn the_server_fills_in_the_defaults() {
    let Some(plane) = control_plane::shared_or_skip("the_server_fills_in_the_defaults") else { return };
    block_on(async {
        let namespace = Namespace::new(plane, "crds").await;
        let pod = json!({ "spec": { "containers": [{ "name": "main", "image": "none" }] } });

        let sandbox = create(&namespace, CORE, "Sandbox", json!({ "podTemplate": pod })).await;
        assert_eq!(
            sandbox,
            Ok(json!({ "podTemplate": pod, "operatingMode": "Running", "shutdownPolicy": "Retain" }))
        );
        let template = create(&namespace, EXTENSIONS, "SandboxTemplate", json!({ "podTemplate": pod })).await;
        assert_eq!(
            template,
            Ok(json!({
                "podTemplate": pod,
                "networkPolicyManagement": "Managed",
                "envVarsInjectionPolicy": "Disallowed",
                "volumeClaimTemplatesPolicy": "Disallowed",
            }))
        );
        let pool = json!({ "sandboxTemplateRef": { "name": "t" }, "updateStrategy": {} });
        assert_eq!(
            create(&namespace, EXTENSIONS, "SandboxWarmPool", pool).await,
            Ok(
                json!({ "sandboxTemplateRef": { "name": "t" }, "updateStrategy": { "type": "OnReplenish" }, "replicas": 1 })
            )
        );
        let claim = json!({ "warmPoolRef": { "name": "p" }, "lifecycle": {} });
        assert_eq!(
            create(&namespace, EXTENSIONS, "SandboxClaim", claim).await,
            Ok(json!({ "warmPoolRef": { "name": "p" }, "lifecycle": { "shutdownPolicy": "Retain" } }))
        );
    });
}

#[test]
fn the_server_keeps_every_field_of_a_pod_and_no_other() {
    let Some(plane) = control_plane::shared_or_skip("the_server_keeps_every_field_of_a_pod_and_no_other")
    else {
        return;
    };
    if plane.is_existing() {
        return; // Upstream's definitions list the fields that they know, and drop others.
    }
    block_on(async {
        let namespace = Namespace::new(plane, "crds").await;
        let pod = json!({
            "metadata": { "labels": { "a": "b" }, "name": "pruned" },
            "spec": { "containers": [{ "name": "main", "fieldOfTomorrow": { "x": 1 } }], "fieldOfTomorrow": true },
        });
        let spec = json!({ "podTemplate": pod, "fieldOfTomorrow": true, "service": false });
        let stored =
            create(&namespace, CORE, "Sandbox", spec).await.expect("the server prunes, but takes it");
        assert_eq!(stored["podTemplate"]["metadata"], json!({ "labels": { "a": "b" } }));
        assert_eq!(stored["podTemplate"]["spec"], pod["spec"]);
        assert_eq!(stored["fieldOfTomorrow"], Value::Null);
        assert_eq!(stored["service"], json!(false));
    });
}

#[test]
fn the_server_refuses_what_upstream_refuses() {
    let Some(plane) = control_plane::shared_or_skip("the_server_refuses_what_upstream_refuses") else {
        return;
    };
    block_on(async {
        let namespace = Namespace::new(plane, "crds").await;
        let name = json!({ "name": "n" });
        for (group, kind, spec, complaint) in [
            (CORE, "Sandbox", json!({}), "spec.podTemplate: Required"),
            (CORE, "Sandbox", json!({ "podTemplate": {} }), "spec.podTemplate.spec: Required"),
            (
                CORE,
                "Sandbox",
                json!({ "podTemplate": { "spec": {} } }),
                "spec.podTemplate.spec.containers: Required",
            ),
            (
                EXTENSIONS,
                "SandboxWarmPool",
                json!({ "sandboxTemplateRef": {} }),
                "sandboxTemplateRef.name: Required",
            ),
            (
                EXTENSIONS,
                "SandboxWarmPool",
                json!({ "sandboxTemplateRef": name, "replicas": -1 }),
                "spec.replicas",
            ),
            (EXTENSIONS, "SandboxClaim", json!({}), "spec.warmPoolRef: Required"),
            (
                EXTENSIONS,
                "SandboxClaim",
                json!({ "warmPoolRef": name, "lifecycle": { "ttlSecondsAfterFinished": -1 } }),
                "ttlSecondsAfterFinished",
            ),
            (
                EXTENSIONS,
                "SandboxClaim",
                json!({ "warmPoolRef": name, "lifecycle": { "shutdownPolicy": "Later" } }),
                "Unsupported value",
            ),
            (
                EXTENSIONS,
                "SandboxClaim",
                json!({ "warmPoolRef": name, "lifecycle": { "shutdownTime": "tomorrow" } }),
                "shutdownTime",
            ),
        ] {
            let refusal = create(&namespace, group, kind, spec.clone()).await.expect_err(&spec.to_string());
            assert!(refusal.contains(complaint), "{kind} {spec}: {refusal}");
        }
    });
}

#[test]
fn the_volume_claim_templates_of_a_sandbox_cannot_be_changed() {
    let Some(plane) =
        control_plane::shared_or_skip("the_volume_claim_templates_of_a_sandbox_cannot_be_changed")
    else {
        return;
    };
    block_on(async {
        let namespace = Namespace::new(plane, "crds").await;
        let volume =
            |size: &str| json!([{ "metadata": { "name": "data" }, "spec": { "storageClassName": size } }]);
        let pod = json!({ "spec": { "containers": [] } });
        let sandboxes = api(&namespace, CORE, "Sandbox");
        let create = async |spec: Value| {
            let sandbox = mk_object(CORE, "Sandbox", spec);
            sandboxes.create(&PostParams::default(), &sandbox).await.expect("the sandbox is valid").name_any()
        };
        let patch = async |name: &str, spec: Value| {
            let patch = Patch::Merge(json!({ "spec": spec }));
            sandboxes.patch(name, &PatchParams::default(), &patch).await.map_err(|error| error.to_string())
        };
        let with = create(json!({ "podTemplate": pod, "volumeClaimTemplates": volume("small") })).await;
        let without = create(json!({ "podTemplate": pod })).await;
        for (name, templates) in [(&with, volume("large")), (&with, Value::Null), (&without, volume("small"))]
        {
            let refusal = patch(name, json!({ "volumeClaimTemplates": templates })).await;
            let refusal = refusal.expect_err(&templates.to_string());
            assert!(refusal.contains("volumeClaimTemplates is immutable"), "{templates}: {refusal}");
        }
        for name in [&with, &without] {
            patch(name, json!({ "operatingMode": "Suspended" })).await.expect("the rest can be changed");
        }
    });
}

fn api(namespace: &Namespace<'_>, group: &str, kind: &str) -> Api<DynamicObject> {
    Api::namespaced_with(namespace.client().clone(), namespace.name(), &resource(group, kind))
}

fn resource(group: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1beta1", kind))
}

fn mk_object(group: &str, kind: &str, spec: Value) -> DynamicObject {
    let mut object = DynamicObject::new("", &resource(group, kind)).data(json!({ "spec": spec }));
    object.metadata.name = None;
    object.metadata.generate_name = Some("test-".into());
    object
}

/// Creates an object and returns its spec as stored, or the server's complaint.
async fn create(namespace: &Namespace<'_>, group: &str, kind: &str, spec: Value) -> Result<Value, String> {
    let object = mk_object(group, kind, spec);
    let stored = api(namespace, group, kind).create(&PostParams::default(), &object).await;
    stored.map(|object| object.data["spec"].clone()).map_err(|error| error.to_string())
}
