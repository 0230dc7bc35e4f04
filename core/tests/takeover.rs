//! What the original has written is taken over as it is: BUG-122, INV-33.
//!
//! The objects here have the shapes that the original writes: its marks, its names, its way to copy a Pod spec.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;

use agent_sandbox_core::action::{Action, Intent, Operation};
use agent_sandbox_core::config::Config;
use agent_sandbox_core::event::Event;
use agent_sandbox_core::id::{Kind, Version};
use agent_sandbox_core::machine::Machine;
use agent_sandbox_core::time::{Mono, Now, Wall};
use agent_sandbox_core::wire;
use serde_json::{Value, json};

/// What a user has written.
const POD: &str = r#"{
    "hostNetwork": false, "restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "nodeSelector": {},
    "containers": [{
        "name": "main", "image": "debian:12", "command": ["sleep", "inf"], "args": [], "tty": false,
        "ports": [{"containerPort": 8080}],
        "env": [{"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}],
        "resources": {"limits": {"cpu": 1, "memory": "1024Mi"}, "requests": {}},
        "readinessProbe": {"initialDelaySeconds": 0, "grpc": {"port": 8080}}
    }]
}"#;

/// What the original makes of it.
const COPIED: &str = r#"{
    "automountServiceAccountToken": false,
    "containers": [{
        "command": ["sleep", "inf"],
        "env": [{"name": "CPUS", "valueFrom": {"resourceFieldRef": {"divisor": "0", "resource": "limits.cpu"}}}],
        "image": "debian:12", "name": "main",
        "ports": [{"containerPort": 8080, "protocol": "TCP"}],
        "readinessProbe": {"grpc": {"port": 8080, "service": ""}},
        "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}
    }],
    "dnsConfig": {"nameservers": ["8.8.8.8", "1.1.1.1"]}, "dnsPolicy": "None",
    "restartPolicy": "Never", "terminationGracePeriodSeconds": 1
}"#;

/// BUG-122, INV-33: a controller that trusted its own mark alone would empty the pool.
#[test]
fn no_member_of_an_unchanged_template_is_deleted() {
    let asked =
        first_actions(&[template(POD), pool(3), member("p-8bf64", COPIED), member("p-x2x2x", COPIED)]);
    assert_eq!(asked.get(&Intent::DeleteMember), None, "{asked:?}");
    assert_eq!(asked[&Intent::CreateMember].len(), 1, "the two count: {asked:?}");
}

/// STL-005, ACC-197: but an image that has changed while no controller ran is noticed.
#[test]
fn a_member_of_a_template_that_was_edited_meanwhile_is_replaced() {
    let asked = first_actions(&[
        template(&POD.replace("debian:12", "debian:13")),
        pool(1),
        member("p-8bf64", COPIED),
    ]);
    assert_eq!(asked[&Intent::DeleteMember], ["p-8bf64"]);
}

/// WPL-055: what claims may ask for is not what members are made of. Who closes the network off is, as far as the Pod asks
/// other resolvers then.
#[test]
fn the_policies_of_a_template_make_nobody_stale_but_for_the_resolvers() {
    let asked = |policy: &str, value: &str| {
        let mut template = template(POD);
        template["spec"][policy] = value.into();
        first_actions(&[template, pool(1), member("p-8bf64", COPIED)])
    };
    for policy in ["envVarsInjectionPolicy", "volumeClaimTemplatesPolicy"] {
        assert_eq!(asked(policy, "Allowed").get(&Intent::DeleteMember), None, "{policy}");
    }
    assert_eq!(asked("networkPolicyManagement", "Unmanaged")[&Intent::DeleteMember], ["p-8bf64"]);
}

/// INV-33: the original had recorded the member on the claim, and died.
#[test]
fn an_adoption_that_the_original_began_is_finished() {
    let mut claim = object(
        "extensions.agents.x-k8s.io/v1beta1",
        "SandboxClaim",
        "claim",
        json!({ "warmPoolRef": { "name": "p" } }),
    );
    claim["metadata"]["annotations"] = json!({ "agents.x-k8s.io/sandbox-name": "p-8bf64" });
    let asked = first_actions(&[template(POD), pool(1), member("p-8bf64", COPIED), claim]);
    assert_eq!(asked[&Intent::AdoptSandbox], ["p-8bf64"]);
}

/// Returns what a machine asks for that has seen this world a moment ago: purpose → names.
fn first_actions(world: &[Value]) -> BTreeMap<Intent, Vec<String>> {
    let mut machine = Machine::new(Config::default(), Now::default());
    machine.handle_event(Event::Leading { term: 1 }, Now::default());
    for kind in Kind::ALL {
        let of_kind = world.iter().filter(|object| object["kind"] == kind.name());
        let objects = of_kind.map(|object| wire::decode(kind, &object.to_string()).unwrap()).collect();
        machine.handle_event(Event::Relisted { kind, objects, at: Version(99) }, Now::default());
    }
    // A member that does not fit may be news that will pass.
    let moment = Config::default().settle;
    machine.handle_timeout(Now { mono: Mono::default() + moment, wall: Wall::default() + moment });
    let mut asked = BTreeMap::<Intent, Vec<String>>::new();
    while let Some(Action { intent, operation, .. }) = machine.poll_action() {
        // A new member's name is nobody's choice.
        let is_new = matches!(*operation, Operation::Create(_));
        let name = if is_new { String::new() } else { operation.key().name.to_string() };
        asked.entry(intent).or_default().push(name);
    }
    asked
}

fn object(api_version: &str, kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": api_version, "kind": kind, "spec": spec,
        "metadata": {
            "name": name, "namespace": "ns", "uid": uid(name), "resourceVersion": "7", "generation": 1,
            "creationTimestamp": "2026-11-23T23:23:58Z",
        },
    })
}

fn uid(name: &str) -> String {
    let number = name.bytes().fold(0_u64, |hash, byte| hash.wrapping_mul(31) + u64::from(byte));
    format!("1b6481be-0906-476b-b2c4-{:012x}", number & 0xffff_ffff_ffff)
}

fn template(pod: &str) -> Value {
    let pod: Value = serde_json::from_str(pod).unwrap();
    let spec = json!({ "podTemplate": { "spec": pod } });
    object("extensions.agents.x-k8s.io/v1beta1", "SandboxTemplate", "tpl", spec)
}

fn pool(replicas: u32) -> Value {
    let spec = json!({
        "replicas": replicas, "sandboxTemplateRef": { "name": "tpl" }, "updateStrategy": { "type": "Recreate" },
    });
    object("extensions.agents.x-k8s.io/v1beta1", "SandboxWarmPool", "p", spec)
}

fn member(name: &str, pod: &str) -> Value {
    let pod: Value = serde_json::from_str(pod).unwrap();
    let marks = json!({
        "agents.x-k8s.io/sandbox-pod-template-hash": "de6ec94c", "agents.x-k8s.io/sandbox-template-hash": "e7ff4803",
        "agents.x-k8s.io/sandbox-template-ref-hash": "9d22159f", "agents.x-k8s.io/warm-pool-sandbox": "f50c43ef",
    });
    let spec = json!({
        "operatingMode": "Running", "shutdownPolicy": "Retain",
        "podTemplate": {
            "metadata": {
                "annotations": { "cluster-autoscaler.kubernetes.io/safe-to-evict": "true" }, "labels": marks,
            },
            "spec": pod,
        },
    });
    let mut member = object("agents.x-k8s.io/v1beta1", "Sandbox", name, spec);
    member["metadata"]["labels"] = marks;
    member["metadata"]["labels"]["agents.x-k8s.io/launch-type"] = "warm".into();
    member["metadata"]["labels"]["agents.x-k8s.io/created-by"] = "controller".into();
    member["metadata"]["annotations"] = json!({ "agents.x-k8s.io/sandbox-template-ref": "tpl" });
    member["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "extensions.agents.x-k8s.io/v1beta1", "kind": "SandboxWarmPool", "name": "p", "uid": uid("p"),
        "controller": true, "blockOwnerDeletion": true,
    }]);
    member
}
