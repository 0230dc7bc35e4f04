//! Objects as the server shows them: with what the core's objects have no field for, and what the server adds by itself.

use agent_sandbox_core::id::Kind;
use agent_sandbox_core::object::Object;
use agent_sandbox_core::wire;
use serde_json::{Map, Value, json};

use super::kept::{self, ANNOTATION, Kept};

/// Writes an object as the server answers it.
pub fn body(object: &Object) -> Value {
    let mut body = wire::encode(object);
    if let Some(meta) = body["metadata"].as_object_mut() {
        put_meta(meta, object);
    }
    match object.kind() {
        Kind::Sandbox => {
            default(&mut body["spec"], "operatingMode", "Running".into());
            default(&mut body["spec"], "shutdownPolicy", "Retain".into());
        }
        Kind::Template => default(&mut body["spec"], "networkPolicyManagement", "Managed".into()),
        Kind::VolumeClaim => {
            default(&mut body["spec"], "volumeMode", "Filesystem".into());
            body["status"] = json!({ "phase": "Pending" });
        }
        Kind::Service => {
            service(&mut body["spec"]);
            body["status"] = json!({ "loadBalancer": {} });
        }
        Kind::Pod => pod(&mut body["status"]),
        Kind::Claim | Kind::Pool | Kind::NetworkPolicy => {}
    }
    body
}

fn put_meta(meta: &mut Map<String, Value>, object: &Object) {
    let kept = Kept::of(object.meta());
    if let Some(Value::Object(annotations)) = meta.get_mut("annotations") {
        annotations.remove(ANNOTATION);
        if annotations.is_empty() {
            meta.remove("annotations");
        }
    }
    if !kept.finalizers.is_empty() {
        meta.insert("finalizers".into(), json!(kept.finalizers));
    }
    if let Some(seconds) = kept::grace(object) {
        meta.insert("deletionGracePeriodSeconds".into(), seconds.into());
    }
}

/// Source: `SetDefaults_Service`, and the allocator of addresses, which gives a headless Service none.
fn service(spec: &mut Value) {
    if let Some(address) = spec.get("clusterIP").cloned() {
        default(spec, "clusterIPs", json!([address]));
    }
    for (field, value) in [
        ("internalTrafficPolicy", "Cluster"),
        ("sessionAffinity", "None"),
        ("type", "ClusterIP"),
        ("ipFamilyPolicy", "SingleStack"),
    ] {
        default(spec, field, value.into());
    }
    default(spec, "ipFamilies", json!(["IPv4"]));
    if let Some(spec) = spec.as_object_mut() {
        spec.retain(|field, value| field != "selector" || *value != json!({}));
    }
}

/// A Pod that has not run has no conditions, and no addresses.
fn pod(status: &mut Value) {
    default(status, "qosClass", "BestEffort".into());
    if let Some(status) = status.as_object_mut() {
        let not_ready = json!([{ "type": "Ready", "status": "False" }]);
        status.retain(|_, value| *value != not_ready && *value != json!([]));
    }
}

pub(super) fn default(fields: &mut Value, field: &str, value: Value) {
    if let Some(fields) = fields.as_object_mut() {
        fields.entry(field).or_insert(value);
    }
}
