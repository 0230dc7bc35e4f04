//! A patch means the same in the simulator, which applies it to an object, and on the wire, which carries its text.

use std::sync::Arc;

use agent_sandbox_core::action::{Part, Patch, Target};
use agent_sandbox_core::id::{Key, Kind, Text, Uid, Version};
use agent_sandbox_core::object::{
    Bound, Claim, ClaimStatus, Condition, Dependent, Json, Labels, Meta, Object, Owner, OwnerKind,
    PodMetadata, Pool, PoolStatus, Sandbox, SandboxStatus, Shutdown, ShutdownPolicy, Truth, Update,
};
use agent_sandbox_core::patch::Change;
use agent_sandbox_core::time::Wall;
use agent_sandbox_core::wire;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::value::RawValue;
use serde_json::{Value, json};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn a_patch_applied_here_is_the_patch_that_the_server_applies(object in objects(), changes in vec(changes(), 1..6)) {
        let mut changes: Vec<Change> = changes.into_iter().filter(|change| fits(change, object.kind())).collect();
        // A rule says once how the spec changes.
        let last = changes.iter().rposition(|change| matches!(change, Change::Spec(_)));
        let mut place = 0..;
        changes.retain(|change| place.next() == last || !matches!(change, Change::Spec(_)));
        let mut applied = object.clone();
        for change in &changes {
            change.apply(&mut applied);
        }
        let target = Target { kind: object.kind(), key: object.key().clone(), uid: Some(object.uid()) };
        let patch = Patch { target, version: Some(object.version()), part: Part::Main, changes };
        let mut stored = wire::encode(&object);
        merge(&mut stored, &wire::patch_body(&patch));
        let decoded = wire::decode(object.kind(), &stored.to_string()).expect("the server stores what we can read");
        prop_assert_eq!(decoded, applied);
    }

    #[test]
    fn an_object_survives_the_wire(object in objects()) {
        let text = wire::encode(&object).to_string();
        prop_assert_eq!(wire::decode(object.kind(), &text).expect("own text"), object);
    }
}

/// Merges a patch as RFC 7396 says.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    let Value::Object(target) = target else { return };
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

fn fits(change: &Change, kind: Kind) -> bool {
    match change {
        Change::Label(..) | Change::Annotation(..) | Change::Owner(_) => true,
        // Only beside the owner, which comes first.
        Change::CoOwners(_) => false,
        Change::PodLabel(..) | Change::PodAnnotation(..) | Change::SandboxStatus(_) => kind == Kind::Sandbox,
        Change::Spec(_) => matches!(kind, Kind::Service | Kind::VolumeClaim | Kind::NetworkPolicy),
        Change::ClaimStatus(_) => kind == Kind::Claim,
        Change::PoolStatus(_) => kind == Kind::Pool,
    }
}

fn objects() -> impl Strategy<Value = Object> {
    prop_oneof![
        (metas(), claim_statuses()).prop_map(|(meta, status)| {
            Object::Claim(Arc::new(Claim { meta, pool: "pool".into(), wishes: None, status }))
        }),
        (metas(), 0..5_u32, any::<bool>(), pool_statuses()).prop_map(|(meta, replicas, follows, status)| {
            let update = if follows { Update::Recreate } else { Update::OnReplenish };
            Object::Pool(Arc::new(Pool { meta, replicas, template: "template".into(), update, status }))
        }),
        (metas(), labels(), labels(), option::of(any::<bool>()), endings(), sandbox_statuses()).prop_map(
            |(meta, labels, annotations, service, (suspended, shutdown), status)| {
                let raw = RawValue::from_string(r#"{"containers":[]}"#.to_owned()).expect("JSON");
                let (pod, pod_spec) = (PodMetadata { labels, annotations }, Json::new(raw));
                Object::Sandbox(Arc::new(Sandbox {
                    meta,
                    pod,
                    pod_spec,
                    volume_claims: None,
                    service,
                    suspended,
                    shutdown,
                    status,
                }))
            }
        ),
        (metas(), specs())
            .prop_map(|(meta, spec)| { Object::NetworkPolicy(Arc::new(Dependent { meta, spec })) }),
        (metas(), specs()).prop_map(|(meta, spec)| Object::Service(Arc::new(Dependent { meta, spec }))),
        (metas(), specs()).prop_map(|(meta, spec)| Object::VolumeClaim(Arc::new(Dependent { meta, spec }))),
    ]
}

fn endings() -> impl Strategy<Value = (bool, Option<Shutdown>)> {
    let policy = prop_oneof![Just(ShutdownPolicy::Retain), Just(ShutdownPolicy::Delete)];
    let shutdown = (0..5_i64, policy)
        .prop_map(|(seconds, policy)| Shutdown { at: Wall::from_micros(seconds * 1_000_000), policy });
    (any::<bool>(), option::of(shutdown))
}

fn specs() -> impl Strategy<Value = Json> {
    let specs = [
        json!({}),
        json!({ "clusterIP": "None", "selector": { "a": "b" } }),
        json!({ "selector": { "c": "d" }, "ports": [{ "port": 80 }] }),
        json!({ "selector": { "a": { "b": 1 } }, "ports": [] }),
    ];
    proptest::sample::select(Vec::from(specs.map(|spec| Json::from(&spec))))
}

fn merges() -> impl Strategy<Value = Json> {
    let removal = Just(Json::from(&json!({ "selector": { "a": null }, "ports": null })));
    prop_oneof![specs(), removal]
}

fn changes() -> impl Strategy<Value = Change> {
    let pair = || (keys(), option::of(values()));
    prop_oneof![
        pair().prop_map(|(key, value)| Change::Label(key, value)),
        pair().prop_map(|(key, value)| Change::Annotation(key, value)),
        owners().prop_map(Change::Owner),
        pair().prop_map(|(key, value)| Change::PodLabel(key, value)),
        pair().prop_map(|(key, value)| Change::PodAnnotation(key, value)),
        merges().prop_map(Change::Spec),
        claim_statuses().prop_map(Change::ClaimStatus),
        pool_statuses().prop_map(Change::PoolStatus),
        sandbox_statuses().prop_map(Change::SandboxStatus),
    ]
}

fn metas() -> impl Strategy<Value = Meta> {
    let parts = (labels(), labels(), option::of(owners()), option::of(co_owners()), 1..9_u64);
    parts.prop_map(|(labels, annotations, owner, co_owners, version)| Meta {
        key: Key::new("ns", "name"),
        uid: Uid::from_bits(7),
        version: Version(version),
        generation: 3,
        created: Wall::from_micros(5_000_000),
        terminating: false,
        labels,
        annotations,
        owner,
        co_owners,
    })
}

/// As others write them: with fields or without.
fn co_owners() -> impl Strategy<Value = Json> {
    let one = json!({ "apiVersion": "example.com/v1", "kind": "Session", "name": "s", "uid": "u" });
    let mut other = one.clone();
    (other["controller"], other["blockOwnerDeletion"]) = (false.into(), true.into());
    proptest::sample::select(vec![Json::from(&json!([one])), Json::from(&json!([one, other]))])
}

fn owners() -> impl Strategy<Value = Owner> {
    prop_oneof![Just(Kind::Claim), Just(Kind::Pool)].prop_map(|kind| Owner {
        kind: OwnerKind::Known(kind),
        name: "owner".into(),
        uid: Uid::from_bits(9),
    })
}

fn keys() -> impl Strategy<Value = Text> {
    prop_oneof![Just("a"), Just("b"), Just("agents.x-k8s.io/c")].prop_map(Text::from)
}

fn values() -> impl Strategy<Value = Text> {
    prop_oneof![Just(""), Just("x"), Just("quoted \" < & \u{2028}")].prop_map(Text::from)
}

fn labels() -> impl Strategy<Value = Labels> {
    btree_map(keys(), values(), 0..3).prop_map(Labels::from_iter)
}

fn conditions() -> impl Strategy<Value = Vec<Condition>> {
    let truth = prop_oneof![Just(Truth::True), Just(Truth::False), Just(Truth::Unknown)];
    let condition = (truth, values(), 0..3_i64).prop_map(|(status, message, observed)| Condition {
        kind: "Ready".into(),
        status,
        reason: "Reason".into(),
        message,
        observed,
        changed: Wall::from_micros(8_000_000),
    });
    vec(condition, 0..2)
}

fn ips() -> impl Strategy<Value = Vec<Text>> {
    vec(Just(Text::from("10.0.0.1")), 0..2)
}

fn claim_statuses() -> impl Strategy<Value = ClaimStatus> {
    let bound = ips().prop_map(|pod_ips| Bound { name: "sandbox".into(), pod_ips });
    (option::of(bound), conditions()).prop_map(|(sandbox, conditions)| ClaimStatus { sandbox, conditions })
}

fn pool_statuses() -> impl Strategy<Value = PoolStatus> {
    (0..3_u32, 0..3_u32, values(), 0..3_i64).prop_map(|(replicas, ready, selector, observed)| PoolStatus {
        replicas,
        ready,
        selector,
        observed,
    })
}

fn sandbox_statuses() -> impl Strategy<Value = SandboxStatus> {
    (conditions(), ips(), values(), values(), values()).prop_map(
        |(conditions, pod_ips, node, selector, service)| SandboxStatus {
            conditions,
            pod_ips,
            node,
            selector,
            service_fqdn: service.clone(),
            service,
        },
    )
}
