//! What goes over the wire: the objects and patches that clients, autoscalers and the router read, field by field.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use agent_sandbox_core::action::{Action, Intent, Operation};
use agent_sandbox_core::config::Config;
use agent_sandbox_core::event::{Event, Outcome};
use agent_sandbox_core::id::{Kind, Uid, Version};
use agent_sandbox_core::machine::Machine;
use agent_sandbox_core::time::{Mono, Now, Wall};
use agent_sandbox_core::wire;
use serde_json::{Value, json};

const POOL_UID: &str = "00000000-0000-4000-8000-000000000001";
const CLAIM_UID: &str = "00000000-0000-4000-8000-000000000002";
const SANDBOX_UID: &str = "00000000-0000-4000-8000-000000000003";
const TEMPLATE_UID: &str = "00000000-0000-4000-8000-000000000005";
const POD_UID: &str = "00000000-0000-4000-8000-000000000004";

/// The moment at which everything is decided. Source: any; it has a fraction, as most moments do.
const NOW: &str = "2026-01-01T00:01:40.25Z";

// ----- Members -----

/// SACC-222.
/// CON-047.
/// WPL-043, WPL-044, KEY-001, KEY-002, KEY-003, KEY-004, KEY-005, KEY-006, KEY-008, KEY-009, KEY-011,
/// HSH-001, HSH-009.
#[test]
fn a_member_carries_its_pool_its_template_and_the_name_of_its_pod() {
    let made = body(&[template(), pool(1)], Intent::CreateMember);
    let name = made["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("pool-") && name.len() == "pool-".len() + 10, "{name}");
    let hashes = |labels: &Value| {
        let hash = |key: &str| labels[format!("agents.x-k8s.io/{key}")].clone();
        assert!(hash("sandbox-template-hash").is_string() && hash("sandbox-pod-template-hash").is_string());
        [hash("warm-pool-sandbox"), hash("sandbox-template-ref-hash")]
    };
    let (metadata, pod) = (&made["metadata"], &made["spec"]["podTemplate"]["metadata"]);
    assert_eq!(hashes(&metadata["labels"]), [name_hash("pool"), name_hash("tpl")]);
    assert_eq!(hashes(&pod["labels"]), [name_hash("pool"), name_hash("tpl")]);
    assert_eq!(metadata["labels"]["agents.x-k8s.io/launch-type"], "warm");
    assert_eq!(metadata["labels"]["agents.x-k8s.io/created-by"], "controller");
    assert_eq!(metadata["annotations"]["agents.x-k8s.io/sandbox-template-ref"], "tpl");
    assert_eq!(metadata["annotations"]["agents.x-k8s.io/pod-name"], name);
    assert_eq!(pod["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"], "true");
    assert_eq!(metadata["ownerReferences"], json!([owner("SandboxWarmPool", "pool", POOL_UID)]));
}

/// ACC-201.
/// WPL-044.
#[test]
fn what_a_template_says_about_eviction_stays() {
    let mut template = template();
    let says = json!({ "annotations": { "cluster-autoscaler.kubernetes.io/safe-to-evict": "false" } });
    template["spec"]["podTemplate"]["metadata"] = says;
    let made = body(&[template, pool(1)], Intent::CreateMember);
    let annotations = &made["spec"]["podTemplate"]["metadata"]["annotations"];
    assert_eq!(annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"], "false");
}

/// CFG-005, WPL-044.
#[test]
fn where_members_stay_where_they_are_nothing_is_said_about_eviction() {
    let config = Config { evict_members: false, ..Config::default() };
    let (_, made) = request_of(config, &[template(), pool(1)], Intent::CreateMember);
    assert_eq!(made["spec"]["podTemplate"]["metadata"].get("annotations"), None);
}

/// ACC-002.
/// ACC-010.
/// ACC-009, ACC-225: rules of its own say what Pods may reach, so the resolver is the cluster's.
/// TPL-030, TPL-031, TPL-032.
#[test]
fn a_pod_made_from_a_template_gets_no_token_and_a_resolver_that_it_can_reach() {
    let cold = claim("claim");
    for (world, intent) in [
        (vec![template(), pool(1)], Intent::CreateMember),
        (vec![template(), pool(0), cold], Intent::CreateClaimSandbox),
    ] {
        let made = body(&world, intent);
        let spec = &made["spec"]["podTemplate"]["spec"];
        assert_eq!(spec["automountServiceAccountToken"], false);
        assert_eq!(spec["dnsPolicy"], "None");
        assert_eq!(spec["dnsConfig"]["nameservers"], json!(["8.8.8.8", "1.1.1.1"]));
    }
    let mut own = template();
    own["spec"]["networkPolicy"] = json!({ "egress": [{}] });
    let made = body(&[own.clone(), pool(1)], Intent::CreateMember);
    assert_eq!(made["spec"]["podTemplate"]["spec"]["dnsPolicy"], Value::Null);
    assert_eq!(body(&[own], Intent::CreateNetworkPolicy)["spec"]["egress"], json!([{}]));
    let mut template = template();
    template["spec"]["networkPolicyManagement"] = "Unmanaged".into();
    template["spec"]["podTemplate"]["spec"]["automountServiceAccountToken"] = true.into();
    let made = body(&[template, pool(1)], Intent::CreateMember);
    let spec = &made["spec"]["podTemplate"]["spec"];
    assert_eq!(spec["automountServiceAccountToken"], true);
    assert_eq!(spec["dnsPolicy"], Value::Null);
}

// ----- Claims -----

/// CON-005, CLM-005, ACC-165.
/// CON-046.
/// KEY-012, KEY-014, ADP-020, CON-075.
#[test]
fn a_record_is_a_locked_patch_and_says_when_the_claim_was_first_seen() {
    let patch = body(&[template(), pool(1), claim("no-record"), member(), pod()], Intent::RecordAssignment);
    assert_eq!(
        patch,
        json!({ "metadata": {
            "uid": CLAIM_UID,
            "resourceVersion": "9",
            "annotations": {
                "agents.x-k8s.io/sandbox-name": "pool-abc",
                "agents.x-k8s.io/controller-first-observed-at": "2026-01-01T00:01:40.250000Z",
            },
        } })
    );
}

/// RES-015, KEY-013, KEY-014, CLM-005: it is a record like any other.
#[test]
fn the_record_of_an_older_release_is_moved_and_says_when_the_claim_was_first_seen() {
    let mut claim = claim("no-record");
    claim["metadata"]["labels"] = json!({ "agents.x-k8s.io/sandbox-name": "pool-abc" });
    let patch = body(&[template(), pool(1), claim, member(), pod()], Intent::RecordAssignment);
    assert_eq!(
        patch["metadata"],
        json!({
            "uid": CLAIM_UID,
            "resourceVersion": "9",
            "labels": { "agents.x-k8s.io/sandbox-name": null },
            "annotations": {
                "agents.x-k8s.io/sandbox-name": "pool-abc",
                "agents.x-k8s.io/controller-first-observed-at": "2026-01-01T00:01:40.250000Z",
            },
        })
    );
}

/// CON-044.
/// DEF-031, CFG-010: the original's flag keeps out one write, and the record makes the same note.
#[test]
fn a_record_notes_nothing_but_the_name_where_that_is_switched_off() {
    let config = Config { claim_annotations: false, ..Config::default() };
    let world = [template(), pool(1), claim("no-record"), member(), pod()];
    let (_, patch) = request_of(config, &world, Intent::RecordAssignment);
    assert_eq!(patch["metadata"]["annotations"], json!({ "agents.x-k8s.io/sandbox-name": "pool-abc" }));
}

/// SBX-101, ACC-087.
/// ADP-030, ADP-031, ADP-032, ADP-033, ADP-034, ADP-035, ADP-037, ADP-038, KEY-005, KEY-007, HSH-009,
/// CON-043.
#[test]
fn a_transfer_is_one_locked_patch_with_everything_that_changes_hands() {
    let mut claim = claim("pool-abc");
    claim["metadata"]["labels"] = json!({ "agents.x-k8s.io/created-by": "go-client" });
    claim["metadata"]["annotations"]["opentelemetry.io/trace-context"] = "{\"traceparent\":\"00\"}".into();
    let patch = body(&[template(), pool(1), claim, member(), pod()], Intent::AdoptSandbox);
    assert_eq!(
        patch,
        json!({
            "metadata": {
                "uid": SANDBOX_UID,
                "resourceVersion": "9",
                "ownerReferences": [owner("SandboxClaim", "claim", CLAIM_UID)],
                "labels": {
                    "agents.x-k8s.io/warm-pool-sandbox": null,
                    "agents.x-k8s.io/sandbox-template-hash": null,
                    "agents.x-k8s.io/sandbox-pod-template-hash": null,
                    "agents.x-k8s.io/created-by": "go-client",
                    "agents.x-k8s.io/claim-uid": CLAIM_UID,
                },
                "annotations": { "opentelemetry.io/trace-context": "{\"traceparent\":\"00\"}" },
            },
            "spec": { "podTemplate": { "metadata": {
                "labels": {
                    "agents.x-k8s.io/warm-pool-sandbox": null,
                    "agents.x-k8s.io/sandbox-template-hash": null,
                    "agents.x-k8s.io/sandbox-pod-template-hash": null,
                    "agents.x-k8s.io/created-by": "go-client",
                    "agents.x-k8s.io/claim-uid": CLAIM_UID,
                },
                "annotations": { "cluster-autoscaler.kubernetes.io/safe-to-evict": null },
            } } },
        })
    );
}

/// ACC-088.
/// ADP-033, ADP-035, ADP-036, ADP-037, ADP-039: a member as the original makes it, whose template is gone.
#[test]
fn a_transfer_without_a_template_takes_away_only_what_was_the_pools() {
    let mut member = member();
    member["metadata"]["annotations"] = json!({});
    member["metadata"]["labels"]["agents.x-k8s.io/created-by"] = "controller".into();
    member["spec"]["podTemplate"]["metadata"]["labels"]["own"] = "1".into();
    let patch = body(&[pool(1), claim("pool-abc"), member, pod()], Intent::AdoptSandbox);
    let labels = &patch["spec"]["podTemplate"]["metadata"]["labels"];
    assert_eq!(labels.get("own"), None, "{labels}");
    assert_eq!(labels.get("agents.x-k8s.io/sandbox-template-ref-hash"), None, "{labels}");
    let annotations = &patch["spec"]["podTemplate"]["metadata"]["annotations"];
    assert_eq!(*annotations, json!({ "cluster-autoscaler.kubernetes.io/safe-to-evict": null }));
    assert_eq!(patch["metadata"]["annotations"], json!({ "agents.x-k8s.io/pod-name": "pool-abc" }));
    assert_eq!(patch["metadata"]["labels"]["agents.x-k8s.io/created-by"], Value::Null);
}

/// ACC-014, ACC-015.
/// CON-042.
/// CLD-001, KEY-005, KEY-006, KEY-007, KEY-008, KEY-009, KEY-010, CON-041, HSH-009.
#[test]
fn a_cold_sandbox_has_the_claims_name_and_says_whose_it_is() {
    let mut claim = claim("claim");
    claim["metadata"]["labels"] = json!({ "agents.x-k8s.io/created-by": "python-client" });
    claim["metadata"]["annotations"]["opentelemetry.io/trace-context"] = "{}".into();
    let made = body(&[template(), pool(0), claim], Intent::CreateClaimSandbox);
    let (metadata, pod) = (&made["metadata"], &made["spec"]["podTemplate"]["metadata"]);
    assert_eq!(metadata["name"], "claim");
    assert_eq!(metadata["ownerReferences"], json!([owner("SandboxClaim", "claim", CLAIM_UID)]));
    let own = json!({
        "agents.x-k8s.io/claim-uid": CLAIM_UID,
        "agents.x-k8s.io/created-by": "python-client",
        "agents.x-k8s.io/sandbox-template-ref-hash": name_hash("tpl"),
    });
    assert_eq!(pod["labels"], own);
    let mut with_type = own.clone();
    with_type["agents.x-k8s.io/launch-type"] = "cold".into();
    assert_eq!(metadata["labels"], with_type);
    assert_eq!(
        metadata["annotations"],
        json!({
            "agents.x-k8s.io/sandbox-template-ref": "tpl",
            "agents.x-k8s.io/pod-name": "claim",
            "opentelemetry.io/trace-context": "{}",
        })
    );
}

/// ACC-164.
/// ACC-008.
/// CON-011, CON-012, CON-014, CON-015, CND-002, CND-023, STS-004, STS-010.
#[test]
fn a_claims_status_says_name_addresses_and_readiness_at_once() {
    let mut sandbox = adopted();
    sandbox["metadata"]["generation"] = 7.into();
    let patch = body(&[pool(0), claim("pool-abc"), sandbox, pod()], Intent::SetClaimStatus);
    assert_eq!(patch["metadata"], json!({ "uid": CLAIM_UID, "resourceVersion": "9" }));
    assert_eq!(patch["status"]["sandbox"], json!({ "name": "pool-abc", "podIPs": ["10.0.0.1"] }));
    assert_eq!(
        patch["status"]["conditions"],
        json!([{
            "type": "Ready",
            "status": "True",
            "reason": "DependenciesReady",
            "message": "Pod is Ready",
            "observedGeneration": 4,
            "lastTransitionTime": "2026-01-01T00:01:40Z",
        }])
    );
}

/// CND-001, CND-005: what the sandbox says of its end is the claim's too, and goes with it.
#[test]
fn a_claim_shows_that_its_sandbox_has_finished() {
    let mut ended = pod();
    ended["status"]["phase"] = "Failed".into();
    let patch = body(&[pool(0), claim("pool-abc"), adopted(), ended], Intent::SetClaimStatus);
    let told = |kind: &str| condition(&patch, kind);
    assert_eq!(told("Finished"), json!(["True", "PodFailed", "Pod failed"]));
    assert_eq!(told("Ready"), json!(["False", "PodFailed", "Pod failed"]));
    let conditions = patch["status"]["conditions"].as_array().unwrap();
    assert_eq!(conditions.iter().map(|it| &it["type"]).collect::<Vec<_>>(), ["Finished", "Ready"]);
}

/// CND-022, CON-018.
#[test]
fn a_claim_says_that_its_sandbox_has_expired_by_itself() {
    let mut sandbox = adopted();
    sandbox["spec"]["shutdownTime"] = "2026-01-01T00:01:00Z".into();
    sandbox["status"]["conditions"] = json!([{
        "type": "Ready", "status": "False", "reason": "SandboxExpired", "message": "Sandbox has expired",
        "observedGeneration": 4, "lastTransitionTime": "2026-01-01T00:01:00Z",
    }]);
    let patch = body(&[pool(0), claim("pool-abc"), sandbox], Intent::SetClaimStatus);
    let why = "Underlying Sandbox resource has expired independently of the Claim.";
    assert_eq!(condition(&patch, "Ready"), json!(["False", "SandboxExpired", why]));
}

/// CND-003, CND-004: the claim is not ready for as long as its sandbox is not.
#[test]
fn a_claims_readiness_has_the_time_of_its_sandboxs() {
    let mut sandbox = adopted();
    sandbox["status"]["conditions"] = json!([{
        "type": "Ready", "status": "True", "reason": "DependenciesReady", "message": "Pod is Ready",
        "observedGeneration": 4, "lastTransitionTime": "2026-01-01T00:00:07Z",
    }]);
    let patch = body(&[pool(0), claim("pool-abc"), sandbox, pod()], Intent::SetClaimStatus);
    assert_eq!(patch["status"]["conditions"][0]["lastTransitionTime"], "2026-01-01T00:00:07Z");
}

/// CND-024.
#[test]
fn a_sandbox_that_is_going_makes_its_claim_unready() {
    let mut sandbox = adopted();
    sandbox["metadata"]["deletionTimestamp"] = "2026-01-01T00:01:00Z".into();
    let patch = body(&[pool(0), claim("pool-abc"), sandbox, pod()], Intent::SetClaimStatus);
    assert_eq!(condition(&patch, "Ready"), json!(["False", "SandboxNotReady", "Sandbox is not ready"]));
}

// ----- Templates -----

/// ACC-224.
/// TPL-005, TPL-006, TPL-007, TPL-009, HSH-008, HSH-009.
#[test]
fn a_templates_policy_lets_the_router_in_and_only_the_world_out() {
    let made = body(&[template()], Intent::CreateNetworkPolicy);
    assert_eq!(made["metadata"]["name"], "tpl-network-policy");
    let owner = owner("SandboxTemplate", "tpl", TEMPLATE_UID);
    assert_eq!(made["metadata"]["ownerReferences"], json!([owner]));
    assert_eq!(made["metadata"]["labels"], Value::Null);
    let spec = &made["spec"];
    let pods = json!({ "matchLabels": { "agents.x-k8s.io/sandbox-template-ref-hash": name_hash("tpl") } });
    assert_eq!(spec["podSelector"], pods);
    assert_eq!(spec["policyTypes"], json!(["Ingress", "Egress"]));
    assert_eq!(
        spec["ingress"],
        json!([{ "from": [{
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "agent-sandbox-system" } },
            "podSelector": { "matchLabels": { "app": "sandbox-router" } },
        }] }])
    );
    let [way] = &spec["egress"].as_array().unwrap()[..] else { panic!("{spec:#}") };
    assert_eq!(way.get("ports"), None);
    let blocks: Vec<_> = way["to"].as_array().unwrap().iter().map(|peer| &peer["ipBlock"]).collect();
    assert_eq!(blocks.iter().map(|block| &block["cidr"]).collect::<Vec<_>>(), ["0.0.0.0/0", "::/0"]);
    let private = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"];
    assert_eq!(blocks[0]["except"], json!(private));
}

// ----- Deletes -----

/// WPL-038, DEF-001, GAP-007, INV-07.
#[test]
fn a_delete_names_the_uid_and_the_version_that_it_was_decided_on() {
    let mut suspended = alone();
    suspended["spec"]["operatingMode"] = "Suspended".into();
    for (world, intent, uid) in [
        (vec![template(), pool(0), member()], Intent::DeleteMember, SANDBOX_UID),
        (vec![suspended, pod()], Intent::DeletePod, POD_UID),
    ] {
        assert_eq!(
            body(&world, intent)["preconditions"],
            json!({ "uid": uid, "resourceVersion": "9" }),
            "{intent:?}"
        );
    }
}

// ----- Pods -----

/// META-052.
/// KEY-020, KEY-021, META-026, SBX-100, SACC-063, SACC-064, SACC-066, SACC-067, SACC-069, SACC-072, SACC-074.
/// META-003, META-010, META-051, CON-080.
/// SBX-079, META-020, META-022, META-023, META-024, META-030, META-031, META-033, META-034, META-050,
/// META-053, CON-032.
#[test]
fn a_pod_has_its_sandboxs_name_the_systems_labels_and_a_record_of_the_templates() {
    let mut member = member();
    let template = &mut member["spec"]["podTemplate"]["metadata"];
    template["labels"]["b"] = "2".into();
    template["labels"]["a"] = "1".into();
    template["labels"]["agents.x-k8s.io/sandbox-name-hash"] = "forged".into();
    template["annotations"] = json!({ "opentelemetry.io/trace-context": "{}" });
    let (uri, made) = request(&[template_and_pool(), vec![member]].concat(), Intent::CreatePod);
    assert!(
        uri.starts_with("/api/v1/namespaces/ns/pods?") && uri.contains("fieldManager=sandbox-controller"),
        "{uri}"
    );
    assert_eq!(made["metadata"]["name"], "pool-abc");
    assert_eq!(
        made["metadata"]["ownerReferences"],
        json!([owner_of_core("Sandbox", "pool-abc", SANDBOX_UID)])
    );
    assert_eq!(
        made["metadata"]["labels"],
        json!({
            "a": "1",
            "b": "2",
            "agents.x-k8s.io/sandbox-name-hash": name_hash("pool-abc"),
            "agents.x-k8s.io/warm-pool-sandbox": name_hash("pool"),
            "agents.x-k8s.io/sandbox-template-ref-hash": name_hash("tpl"),
            "agents.x-k8s.io/created-by": "controller",
        })
    );
    assert_eq!(made["metadata"].get("finalizers"), None);
    // No list of annotations: none came from the template.
    assert_eq!(made["metadata"]["annotations"], json!({ "agents.x-k8s.io/propagated-labels": "a,b" }));
}

/// SACC-068, SACC-089.
/// META-022, META-023, META-024: a Pod's labels follow from who has the sandbox.
#[test]
fn a_users_own_sandbox_does_not_make_its_pod_a_members() {
    let mut sandbox = member();
    sandbox["metadata"]["ownerReferences"] = json!([]);
    sandbox["metadata"]["labels"]["agents.x-k8s.io/created-by"] = "somebody".into();
    let made = body(&[sandbox], Intent::CreatePod);
    assert_eq!(
        made["metadata"]["labels"],
        json!({
            "agents.x-k8s.io/sandbox-name-hash": name_hash("pool-abc"),
            "agents.x-k8s.io/created-by": "unknown",
        })
    );
}

/// KEY-022, SBX-102, SACC-070, SACC-086.
/// SBX-074, SBX-075, META-031, META-033, META-034, CON-043, DEF-037, INV-05.
#[test]
fn an_adopted_pod_loses_the_pools_label_and_keeps_what_others_put_there() {
    let mut sandbox = adopted();
    sandbox["spec"]["podTemplate"]["metadata"]["labels"] =
        json!({ "kept": "2", "agents.x-k8s.io/claim-uid": CLAIM_UID });
    let mut pod = pod();
    pod["metadata"]["labels"]["agents.x-k8s.io/warm-pool-sandbox"] = name_hash("pool");
    pod["metadata"]["labels"]["kept"] = "1".into();
    pod["metadata"]["labels"]["dropped"] = "1".into();
    pod["metadata"]["labels"]["foreign"] = "1".into();
    pod["metadata"]["annotations"] = json!({
        "agents.x-k8s.io/propagated-labels": "dropped,kept",
        "agents.x-k8s.io/propagated-annotations": "note",
        "note": "1",
        "foreign": "1",
    });
    let patch = body(&[pool(0), claim("pool-abc"), sandbox, pod], Intent::LabelPod);
    assert_eq!(
        patch,
        json!({ "metadata": {
            "uid": POD_UID,
            "resourceVersion": "9",
            "labels": { "agents.x-k8s.io/warm-pool-sandbox": null, "dropped": null, "kept": "2" },
            "annotations": {
                "agents.x-k8s.io/propagated-labels": "kept",
                "agents.x-k8s.io/propagated-annotations": "",
                "note": null,
            },
        } })
    );
}

/// META-051, ADP-032: who owns an object without being its controller goes on doing so, whatever is adopted.
#[test]
fn owners_that_are_not_controllers_stay() {
    let other = json!({
        "apiVersion": "example.com/v1", "kind": "Session", "name": "s", "uid": "0d0ee6ae-7b1e-4c9f-93d3-3d7ab84a0d7e",
        "blockOwnerDeletion": false,
    });
    let own = |sandbox: &str| owner_of_core("Sandbox", sandbox, SANDBOX_UID);
    let prepared = |kind: &str, name: &str| {
        let mut object = object("", kind, name, POD_UID, json!({}));
        object["metadata"]["labels"] = json!({ "agents.x-k8s.io/adoptable": "true" });
        object["metadata"]["ownerReferences"] = json!([other]);
        object
    };
    let mut sandbox = alone();
    sandbox["spec"]["service"] = true.into();
    sandbox["spec"]["volumeClaimTemplates"] = json!([{ "metadata": { "name": "data" }, "spec": {} }]);
    for (kind, name, intent) in [
        ("Pod", "pool-abc", Intent::AdoptPod),
        ("Service", "pool-abc", Intent::SetService),
        ("PersistentVolumeClaim", "data-pool-abc", Intent::AdoptVolumeClaim),
    ] {
        let patch = body(&[sandbox.clone(), prepared(kind, name)], intent);
        assert_eq!(patch["metadata"]["ownerReferences"], json!([own("pool-abc"), other]), "{kind}");
    }
    let mut member = member();
    member["metadata"]["ownerReferences"] = json!([other, owner("SandboxWarmPool", "pool", POOL_UID)]);
    let patch = body(&[template(), pool(1), claim("pool-abc"), member, pod()], Intent::AdoptSandbox);
    let claim = owner("SandboxClaim", "claim", CLAIM_UID);
    assert_eq!(patch["metadata"]["ownerReferences"], json!([claim, other]));
}

/// META-023, META-024; SACC-065, SACC-071, SACC-073, SACC-075, SACC-076, SACC-088, SACC-090, SACC-091: on a Pod that is there
/// already, whatever an older controller has put there.
#[test]
fn the_system_labels_of_a_pod_follow_its_sandbox() {
    let key = |name: &str| format!("agents.x-k8s.io/{name}");
    let labels = |sandbox: Value, present: Value, recorded: &str| {
        let mut pod = pod();
        for (name, value) in present.as_object().unwrap() {
            pod["metadata"]["labels"][name] = value.clone();
        }
        pod["metadata"]["annotations"] = json!({ "agents.x-k8s.io/propagated-labels": recorded });
        body(&[template(), pool(1), sandbox, pod], Intent::LabelPod)["metadata"]["labels"].clone()
    };
    let of_pool = json!({
        key("warm-pool-sandbox"): name_hash("pool"),
        key("sandbox-template-ref-hash"): name_hash("tpl"),
        key("created-by"): "controller",
    });
    assert_eq!(labels(member(), json!({}), ""), of_pool);
    let all = json!({ key("warm-pool-sandbox"): "x", key("sandbox-template-ref-hash"): "x", key("created-by"): "x" });
    let none = json!({
        key("warm-pool-sandbox"): null,
        key("sandbox-template-ref-hash"): null,
        key("created-by"): null,
    });
    assert_eq!(labels(alone(), all.clone(), ""), none);
    let mut bare = member();
    bare["metadata"]["labels"] = json!({ key("created-by"): "go-client" });
    let mut expected = none;
    expected[key("created-by")] = "go-client".into();
    assert_eq!(labels(bare, all, ""), expected);
    let mut claimed = alone();
    claimed["spec"]["podTemplate"]["metadata"]["labels"] = json!({ key("claim-uid"): "1", "kept": "1" });
    let recorded =
        labels(claimed, json!({ key("claim-uid"): "1", "kept": "1" }), "agents.x-k8s.io/claim-uid,kept");
    assert_eq!(recorded, json!({ key("claim-uid"): null }));
}

/// ADP-033; ACC-080, ACC-081, ACC-083, ACC-084: what is wrong is put right, and what others say stays.
#[test]
fn a_transfer_corrects_the_note_and_leaves_what_the_template_says() {
    let safe = "cluster-autoscaler.kubernetes.io/safe-to-evict";
    let mut template = template();
    template["spec"]["podTemplate"]["metadata"] = json!({ "annotations": { safe: "false" } });
    let mut member = member();
    member["spec"]["podTemplate"]["metadata"]["annotations"] = json!({ safe: "false" });
    member["metadata"]["annotations"] = json!({ "agents.x-k8s.io/pod-name": "stale", "other": "1" });
    for world in [vec![template], vec![]] {
        let rest = vec![pool(1), claim("pool-abc"), member.clone(), pod()];
        let patch = body(&[world, rest].concat(), Intent::AdoptSandbox);
        assert_eq!(patch["metadata"]["annotations"], json!({ "agents.x-k8s.io/pod-name": "pool-abc" }));
        assert_eq!(patch["spec"]["podTemplate"]["metadata"].get("annotations"), None, "{patch:#}");
    }
}

// ----- Statuses -----

/// WPL-027, CON-061: also with no replicas. Zero is absence, as in the original.
#[test]
fn a_pools_status_has_its_counts_and_its_selector() {
    let patch = body(&[template(), pool(0)], Intent::SetPoolStatus);
    let selector = format!("agents.x-k8s.io/warm-pool-sandbox={}", name_hash("pool").as_str().unwrap());
    assert_eq!(
        patch["status"],
        json!({ "replicas": null, "readyReplicas": null, "selector": selector, "observedGeneration": 4 })
    );
}

/// META-015, CON-030, CON-033, CON-034, CON-039.
/// SBX-032, SBX-110, SCND-001, SCND-010, SCND-032, SCND-046, META-020.
#[test]
fn a_sandboxs_status_has_addresses_node_selector_and_conditions() {
    let patch = body(&[alone(), pod()], Intent::SetSandboxStatus);
    assert_eq!(patch["metadata"], json!({ "uid": SANDBOX_UID, "resourceVersion": "9" }));
    let status = &patch["status"];
    assert_eq!(status["podIPs"], json!(["10.0.0.1"]));
    assert_eq!(status["nodeName"], "node-1");
    let selector = format!("agents.x-k8s.io/sandbox-name-hash={}", name_hash("pool-abc").as_str().unwrap());
    assert_eq!(status["selector"], Value::from(selector));
    let conditions = status["conditions"].as_array().unwrap();
    assert!(conditions.iter().all(|condition| condition["observedGeneration"] == 4), "{conditions:#?}");
    assert_eq!(condition(&patch, "Suspended"), json!(["False", "NotSuspended", "Sandbox is not suspended"]));
    assert_eq!(condition(&patch, "PodScheduled"), json!(["True", "PodScheduled", ""]));
    assert_eq!(condition(&patch, "Ready"), json!(["True", "DependenciesReady", "Pod is Ready"]));
    assert_eq!(condition(&patch, "Finished"), Value::Null);
}

/// SACC-019.
/// SCND-004, SCND-020, SCND-032, SCND-033, SCND-043, SCND-044, SCND-046, GAP-010.
#[test]
fn the_conditions_say_how_far_the_pod_is() {
    let not_ready = |message: &str| json!(["False", "DependenciesNotReady", message]);
    type Edit = fn(&mut Value);
    let cases: [(Edit, Value); 7] = [
        (|pod| pod["status"]["phase"] = "Pending".into(), not_ready("Pod exists with phase: Pending")),
        (
            |pod| pod["status"]["conditions"][0]["status"] = "False".into(),
            not_ready("Pod is Running but not Ready"),
        ),
        (|pod| pod["status"]["podIPs"] = json!([]), not_ready("Pod is Ready but has no podIPs yet")),
        (
            |pod| pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into(),
            not_ready("Pod is terminating"),
        ),
        (|pod| pod["status"]["phase"] = "Failed".into(), json!(["False", "PodFailed", "Pod failed"])),
        (
            |pod| pod["status"]["phase"] = "Succeeded".into(),
            json!(["False", "PodSucceeded", "Pod completed successfully"]),
        ),
        (|_| {}, json!(["True", "DependenciesReady", "Pod is Ready"])),
    ];
    for (edit, ready) in cases {
        let mut pod = pod();
        edit(&mut pod);
        let patch = body(&[alone(), pod.clone()], Intent::SetSandboxStatus);
        assert_eq!(condition(&patch, "Ready"), ready, "{pod:#}");
        let finished = if ready[1].as_str().unwrap().starts_with("Pod") {
            json!(["True", ready[1], ready[2]])
        } else {
            Value::Null
        };
        assert_eq!(condition(&patch, "Finished"), finished, "{pod:#}");
    }
    let mut gated = pod();
    gated["status"]["phase"] = "Pending".into();
    let why = "Scheduling is blocked due to non-empty scheduling gates";
    gated["status"]["conditions"] = json!([
        { "type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": why },
    ]);
    let patch = body(&[alone(), gated], Intent::SetSandboxStatus);
    assert_eq!(condition(&patch, "PodScheduled"), json!(["False", "SchedulingGated", why]));
    let mut silent = pod();
    silent["status"]["conditions"] = json!([]);
    let patch = body(&[alone(), silent], Intent::SetSandboxStatus);
    let told = "Pod has not reported a PodScheduled condition yet";
    assert_eq!(condition(&patch, "PodScheduled"), json!(["Unknown", "PodSchedulingUnknown", told]));
}

/// SBX-112.
/// GAP-025.
/// SCND-002, SCND-031, SCND-044, SBX-032: what was there is updated in place, and only what changed has a new
/// time.
#[test]
fn a_lost_pod_takes_its_addresses_along_and_leaves_the_selector() {
    let mut sandbox = alone();
    let told = |kind: &str, status: &str, reason: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": "", "observedGeneration": 3,
            "lastTransitionTime": "2026-01-01T00:00:07Z",
        })
    };
    sandbox["status"] = json!({
        "podIPs": ["10.0.0.1"],
        "nodeName": "node-1",
        "selector": "agents.x-k8s.io/sandbox-name-hash=x",
        "conditions": [
            told("Ready", "True", "DependenciesReady"),
            told("PodScheduled", "True", "PodScheduled"),
            told("Suspended", "False", "NotSuspended"),
        ],
    });
    let patch = body(&[sandbox], Intent::SetSandboxStatus);
    let status = &patch["status"];
    assert_eq!(status["selector"], "agents.x-k8s.io/sandbox-name-hash=x");
    assert!(status["podIPs"].is_null() && status["nodeName"].is_null(), "{status:#}");
    let conditions = status["conditions"].as_array().unwrap();
    let kept: Vec<_> = conditions.iter().map(|condition| condition["type"].as_str().unwrap()).collect();
    assert_eq!(kept, ["Ready", "Suspended"]);
    assert_eq!(condition(&patch, "Ready"), json!(["False", "DependenciesNotReady", "Pod does not exist"]));
    assert_eq!(conditions[0]["lastTransitionTime"], "2026-01-01T00:01:40Z");
    assert_eq!(conditions[1]["lastTransitionTime"], "2026-01-01T00:00:07Z");
}

/// GAP-002: the answer to the create is enough, whatever the watches have shown.
#[test]
fn a_service_that_no_watch_has_shown_yet_is_there() {
    let mut sandbox = alone();
    sandbox["spec"]["service"] = true.into();
    let mut machine = machine(Config::default(), &[sandbox, pod()]);
    let create = machine.poll_action().unwrap();
    assert_eq!(create.intent, Intent::CreateService);
    let Operation::Create(draft) = &*create.operation else { unreachable!() };
    let mut made = draft.clone();
    (made.meta_mut().uid, made.meta_mut().version) = (Uid::from_bits(77), Version(11));
    machine.handle_event(Event::ActionDone { id: create.id, outcome: Outcome::Done(made) }, now(0));
    let next: Vec<_> = std::iter::from_fn(|| machine.poll_action()).collect();
    assert!(next.iter().all(|action| action.intent != Intent::CreateService), "{next:?}");
    let told = next.iter().find(|action| action.intent == Intent::SetSandboxStatus).unwrap();
    let (_, patch) = on_the_wire(told);
    assert_eq!(
        condition(&patch, "Ready"),
        json!(["True", "DependenciesReady", "Pod is Ready; Service Exists"])
    );
}

// ----- Worlds -----

fn template() -> Value {
    object(
        "extensions.agents.x-k8s.io",
        "SandboxTemplate",
        "tpl",
        TEMPLATE_UID,
        json!({
            "podTemplate": { "spec": { "containers": [{ "name": "main", "image": "debian" }] } },
        }),
    )
}

fn pool(replicas: u32) -> Value {
    let spec = json!({ "replicas": replicas, "sandboxTemplateRef": { "name": "tpl" } });
    object("extensions.agents.x-k8s.io", "SandboxWarmPool", "pool", POOL_UID, spec)
}

fn template_and_pool() -> Vec<Value> {
    vec![template(), pool(1)]
}

/// A claim that has recorded this sandbox; `no-record` stands for none.
fn claim(record: &str) -> Value {
    let spec = json!({ "warmPoolRef": { "name": "pool" } });
    let mut claim = object("extensions.agents.x-k8s.io", "SandboxClaim", "claim", CLAIM_UID, spec);
    if record != "no-record" {
        claim["metadata"]["annotations"] = json!({ "agents.x-k8s.io/sandbox-name": record });
    }
    claim
}

/// A sandbox as a user makes it, with the note about its Pod.
fn alone() -> Value {
    let spec = json!({ "podTemplate": { "metadata": {}, "spec": { "containers": [{ "name": "main", "image": "debian" }] } } });
    let mut sandbox = object("agents.x-k8s.io", "Sandbox", "pool-abc", SANDBOX_UID, spec);
    sandbox["metadata"]["annotations"] = json!({ "agents.x-k8s.io/pod-name": "pool-abc" });
    sandbox
}

/// A member of the pool.
fn member() -> Value {
    let mut sandbox = alone();
    let hashes = json!({
        "agents.x-k8s.io/warm-pool-sandbox": name_hash("pool"),
        "agents.x-k8s.io/sandbox-template-ref-hash": name_hash("tpl"),
        "agents.x-k8s.io/sandbox-template-hash": "1",
        "agents.x-k8s.io/sandbox-pod-template-hash": "2",
    });
    sandbox["spec"]["podTemplate"]["metadata"] = json!({
        "labels": hashes,
        "annotations": { "cluster-autoscaler.kubernetes.io/safe-to-evict": "true" },
    });
    sandbox["metadata"]["labels"] = hashes;
    sandbox["metadata"]["labels"]["agents.x-k8s.io/launch-type"] = "warm".into();
    sandbox["metadata"]["labels"]["agents.x-k8s.io/created-by"] = "controller".into();
    sandbox["metadata"]["ownerReferences"] = json!([owner("SandboxWarmPool", "pool", POOL_UID)]);
    sandbox
}

/// A sandbox that the claim has adopted.
fn adopted() -> Value {
    let mut sandbox = alone();
    sandbox["metadata"]["ownerReferences"] = json!([owner("SandboxClaim", "claim", CLAIM_UID)]);
    sandbox
}

/// The sandbox's Pod, ready.
fn pod() -> Value {
    let mut pod = object("", "Pod", "pool-abc", POD_UID, json!({ "nodeName": "node-1", "containers": [] }));
    pod["metadata"]["ownerReferences"] = json!([owner_of_core("Sandbox", "pool-abc", SANDBOX_UID)]);
    pod["metadata"]["labels"] = json!({ "agents.x-k8s.io/sandbox-name-hash": name_hash("pool-abc") });
    pod["status"] = json!({
        "phase": "Running",
        "podIPs": [{ "ip": "10.0.0.1" }],
        "conditions": [{ "type": "Ready", "status": "True" }, { "type": "PodScheduled", "status": "True" }],
    });
    pod
}

fn object(group: &str, kind: &str, name: &str, uid: &str, spec: Value) -> Value {
    let api_version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1beta1") };
    json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "namespace": "ns", "name": name, "uid": uid, "resourceVersion": "9", "generation": 4,
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": spec,
    })
}

fn owner(kind: &str, name: &str, uid: &str) -> Value {
    json!({
        "apiVersion": "extensions.agents.x-k8s.io/v1beta1", "kind": kind, "name": name, "uid": uid,
        "controller": true, "blockOwnerDeletion": true,
    })
}

fn owner_of_core(kind: &str, name: &str, uid: &str) -> Value {
    let mut owner = owner(kind, name, uid);
    owner["apiVersion"] = "agents.x-k8s.io/v1beta1".into();
    owner
}

/// FNV-1a, as in HSH-001.
fn name_hash(name: &str) -> Value {
    let hash =
        name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    format!("{hash:08x}").into()
}

/// Returns status, reason and message of a condition in a status patch.
fn condition(patch: &Value, kind: &str) -> Value {
    let conditions = patch["status"]["conditions"].as_array().unwrap();
    let found = conditions.iter().find(|condition| condition["type"] == kind);
    found.map_or(Value::Null, |told| json!([told["status"], told["reason"], told["message"]]))
}

/// Returns the body of the first request for an intent.
#[track_caller]
fn body(world: &[Value], intent: Intent) -> Value {
    request(world, intent).1
}

/// Returns path and body of the first request for an intent, which a controller that finds this world sends.
#[track_caller]
fn request(world: &[Value], intent: Intent) -> (String, Value) {
    request_of(Config::default(), world, intent)
}

#[track_caller]
fn request_of(config: Config, world: &[Value], intent: Intent) -> (String, Value) {
    let mut machine = machine(config, world);
    let mut sent = Vec::new();
    for seconds in [0, 2] {
        machine.handle_timeout(now(seconds));
        while let Some(action) = machine.poll_action() {
            if action.intent == intent {
                return on_the_wire(&action);
            }
            sent.push(action.intent);
        }
    }
    panic!("nobody asked for {intent:?}, only for {sent:?}");
}

fn on_the_wire(action: &Action) -> (String, Value) {
    let request = wire::request(&action.operation, Duration::from_secs(15), now(0).wall);
    (request.uri, serde_json::from_str(&request.body).unwrap())
}

/// A controller that leads and has just found this world.
fn machine(config: Config, world: &[Value]) -> Machine {
    let decode = |object: &Value| {
        let (api_version, kind) = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
        wire::decode(wire::kind_of(api_version, kind).unwrap(), &object.to_string()).unwrap()
    };
    let objects: Vec<_> = world.iter().map(decode).collect();
    let mut machine = Machine::new(config, now(0));
    machine.handle_event(Event::Leading { term: 1 }, now(0));
    for kind in Kind::ALL {
        let objects = objects.iter().filter(|object| object.kind() == kind).cloned().collect();
        machine.handle_event(Event::Relisted { kind, objects, at: Version(10) }, now(0));
    }
    machine
}

fn now(seconds: u64) -> Now {
    Now { mono: Mono::default() + Duration::from_secs(seconds), wall: Wall::parse(NOW).unwrap() }
}
