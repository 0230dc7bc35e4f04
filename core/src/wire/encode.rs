//! Objects → the JSON that the API server stores: bodies of creates, and what the simulator's server answers.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::{Map, Value, json};

use super::wishes::claim_spec;
use crate::id::{Kind, Text, Uid};
use crate::object::{
    ClaimStatus, Condition, Json, Labels, Meta, Network, Object, Owner, OwnerKind, Pod, PodMetadata, Pool,
    PoolStatus, Sandbox, SandboxStatus, ShutdownPolicy, Update,
};

/// Writes an object.
pub fn encode(object: &Object) -> Value {
    let kind = object.kind();
    let mut body = Map::new();
    body.insert("apiVersion".into(), kind.api_version().into());
    body.insert("kind".into(), kind.name().into());
    body.insert("metadata".into(), meta(object.meta()));
    let (spec, status) = match object {
        Object::Claim(claim) => (claim_spec(claim), claim_status(&claim.status)),
        Object::Pool(pool) => (pool_spec(pool), pool_status(&pool.status)),
        Object::Template(template) => {
            let blueprint = &template.blueprint;
            let mut spec = blueprint_spec(
                &blueprint.pod,
                &blueprint.pod_spec,
                blueprint.volume_claims.as_ref(),
                blueprint.service,
            );
            spec["envVarsInjectionPolicy"] = template.env_policy.as_str().into();
            spec["volumeClaimTemplatesPolicy"] = template.volume_claims_policy.as_str().into();
            match &template.network {
                Network::Unmanaged => spec["networkPolicyManagement"] = "Unmanaged".into(),
                Network::Secure => {}
                Network::Custom(rules) => spec["networkPolicy"] = rules.value(),
            }
            (spec, Value::Null)
        }
        Object::Sandbox(sandbox) => (sandbox_spec(sandbox), sandbox_status(&sandbox.status)),
        Object::Pod(pod) => (pod_spec(pod), pod_status(pod)),
        Object::Service(it) | Object::VolumeClaim(it) | Object::NetworkPolicy(it) => {
            (it.spec.value(), Value::Null)
        }
    };
    body.insert("spec".into(), spec);
    let status = without_nulls(status);
    if status.as_object().is_some_and(|fields| !fields.is_empty()) {
        body.insert("status".into(), status);
    }
    Value::Object(body)
}

fn without_nulls(mut value: Value) -> Value {
    if let Value::Object(fields) = &mut value {
        let kept = core::mem::take(fields).into_iter().filter(|(_, value)| !value.is_null());
        *fields = kept.map(|(key, value)| (key, without_nulls(value))).collect();
    }
    value
}

fn meta(meta: &Meta) -> Value {
    let mut body = Map::new();
    body.insert("namespace".into(), json!(meta.key.namespace));
    body.insert("name".into(), json!(meta.key.name));
    if meta.uid != Uid::UNSET {
        body.insert("uid".into(), meta.uid.to_string().into());
        body.insert("resourceVersion".into(), meta.version.to_string().into());
        if meta.generation != 0 {
            body.insert("generation".into(), meta.generation.into());
        }
        body.insert("creationTimestamp".into(), meta.created.rfc3339().into());
    }
    if meta.terminating {
        body.insert("deletionTimestamp".into(), meta.created.rfc3339().into());
    }
    for (field, labels) in [("labels", &meta.labels), ("annotations", &meta.annotations)] {
        if !labels.is_empty() {
            body.insert(field.into(), label_map(labels));
        }
    }
    let mut owners: Vec<Value> = meta.owner.iter().map(owner).collect();
    if let Some(Value::Array(others)) = meta.co_owners.as_ref().map(Json::value) {
        owners.extend(others);
    }
    if !owners.is_empty() {
        body.insert("ownerReferences".into(), owners.into());
    }
    Value::Object(body)
}

fn label_map(labels: &Labels) -> Value {
    Value::Object(labels.iter().map(|(key, value)| (key.to_string(), Value::from(&**value))).collect())
}

/// Writes a controller reference (HSH-009, META-050).
pub(super) fn owner(owner: &Owner) -> Value {
    let (api_version, kind) = match &owner.kind {
        OwnerKind::Known(kind) => (kind.api_version(), kind.name()),
        OwnerKind::Foreign(kind) => ("v1", &**kind),
    };
    json!({
        "apiVersion": api_version, "kind": kind, "name": owner.name, "uid": owner.uid.to_string(),
        "controller": true, "blockOwnerDeletion": true,
    })
}

/// Writes what a Pod template says of labels and annotations.
pub(super) fn pod_metadata(pod: &PodMetadata) -> Map<String, Value> {
    let mut metadata = Map::new();
    for (field, labels) in [("labels", &pod.labels), ("annotations", &pod.annotations)] {
        if !labels.is_empty() {
            metadata.insert(field.into(), label_map(labels));
        }
    }
    metadata
}

fn blueprint_spec(pod: &PodMetadata, pod_spec: &Json, claims: Option<&Json>, service: Option<bool>) -> Value {
    let mut template = Map::new();
    let metadata = pod_metadata(pod);
    if !metadata.is_empty() {
        template.insert("metadata".into(), Value::Object(metadata));
    }
    template.insert("spec".into(), pod_spec.value());
    let mut spec = Map::new();
    spec.insert("podTemplate".into(), Value::Object(template));
    if let Some(claims) = claims {
        spec.insert("volumeClaimTemplates".into(), claims.value());
    }
    if let Some(service) = service {
        spec.insert("service".into(), service.into());
    }
    Value::Object(spec)
}

fn pool_spec(pool: &Pool) -> Value {
    let mut spec = json!({ "replicas": pool.replicas, "sandboxTemplateRef": { "name": pool.template } });
    if pool.update == Update::Recreate {
        spec["updateStrategy"] = json!({ "type": "Recreate" });
    }
    spec
}

/// Leaves out what the server sets by default.
fn sandbox_spec(sandbox: &Sandbox) -> Value {
    let mut spec =
        blueprint_spec(&sandbox.pod, &sandbox.pod_spec, sandbox.volume_claims.as_ref(), sandbox.service);
    if sandbox.suspended {
        spec["operatingMode"] = "Suspended".into();
    }
    if let Some(shutdown) = sandbox.shutdown {
        spec["shutdownTime"] = shutdown.at.rfc3339().into();
        spec["shutdownPolicy"] = match shutdown.policy {
            ShutdownPolicy::Retain => "Retain",
            ShutdownPolicy::Delete => "Delete",
        }
        .into();
    }
    spec
}

fn pod_spec(pod: &Pod) -> Value {
    let mut spec = pod.spec.as_ref().map_or_else(|| json!({}), Json::value);
    if let (false, Some(fields)) = (pod.node.is_empty(), spec.as_object_mut()) {
        fields.insert("nodeName".into(), json!(pod.node));
    }
    spec
}

fn pod_status(pod: &Pod) -> Value {
    if pod.meta.uid == Uid::UNSET {
        return Value::Null;
    }
    let ready = if pod.ready { "True" } else { "False" };
    let mut conditions = Vec::from([json!({ "type": "Ready", "status": ready })]);
    if let Some((status, reason, message)) = &pod.scheduled {
        let status = status.as_str();
        conditions
            .push(json!({ "type": "PodScheduled", "status": status, "reason": reason, "message": message }));
    }
    let ips: Vec<Value> = pod.ips.iter().map(|ip| json!({ "ip": ip })).collect();
    json!({ "phase": pod.phase.as_str(), "conditions": conditions, "podIPs": ips })
}

fn condition(condition: &Condition) -> Value {
    json!({
        "type": condition.kind, "status": condition.status.as_str(), "reason": condition.reason,
        "message": condition.message, "observedGeneration": condition.observed,
        "lastTransitionTime": condition.changed.rfc3339(),
    })
}

fn conditions(list: &[Condition]) -> Value {
    if list.is_empty() { Value::Null } else { list.iter().map(condition).collect() }
}

fn text(text: &Text) -> Value {
    if text.is_empty() { Value::Null } else { json!(text) }
}

fn ips(list: &[Text]) -> Value {
    if list.is_empty() { Value::Null } else { json!(list) }
}

fn count(number: impl Into<i64>) -> Value {
    match number.into() {
        0 => Value::Null,
        number => number.into(),
    }
}

/// Writes a claim's status. What is absent is null, so that a merge patch removes it.
pub(super) fn claim_status(status: &ClaimStatus) -> Value {
    let sandbox = status
        .sandbox
        .as_ref()
        .map(|sandbox| json!({ "name": sandbox.name, "podIPs": ips(&sandbox.pod_ips) }));
    json!({ "conditions": conditions(&status.conditions), "sandbox": sandbox })
}

/// Writes a pool's status; a zero count is absent there.
pub(super) fn pool_status(status: &PoolStatus) -> Value {
    json!({
        "replicas": count(status.replicas), "readyReplicas": count(status.ready),
        "selector": text(&status.selector), "observedGeneration": count(status.observed),
    })
}

/// Writes a sandbox's status.
pub(super) fn sandbox_status(status: &SandboxStatus) -> Value {
    json!({
        "conditions": conditions(&status.conditions), "podIPs": ips(&status.pod_ips),
        "nodeName": text(&status.node), "selector": text(&status.selector),
        "service": text(&status.service), "serviceFQDN": text(&status.service_fqdn),
    })
}

/// Names the kind in a reference to one of our objects.
pub(super) fn reference(kind: Kind, namespace: &str, name: &str, uid: Option<Uid>) -> Value {
    json!({
        "apiVersion": kind.api_version(), "kind": kind.name(), "namespace": namespace, "name": name,
        "uid": uid.map(|uid| uid.to_string()),
    })
}
