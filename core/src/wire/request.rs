//! Actions → requests: verb, path, query and body.

use alloc::format;
use alloc::string::{String, ToString};
use core::time::Duration;

use serde_json::{Map, Value, json};

use super::encode::{claim_status, encode, owner, pool_status, reference, sandbox_status};
use crate::action::{Notice, Operation, Part, Patch, Propagation};
use crate::id::{Key, Kind, Text};
use crate::patch::Change;
use crate::time::Wall;

/// An HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Read.
    Get,
    /// Create.
    Post,
    /// Change: `application/merge-patch+json`.
    Patch,
    /// Delete.
    Delete,
}

/// What to send to the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Path and query.
    pub uri: String,
    /// Body, JSON; empty for reads.
    pub body: String,
}

/// Returns the wire form of an operation.
///
/// `time_limit` is how long the server may work on a write; `now` dates Kubernetes Events.
pub fn request(operation: &Operation, time_limit: Duration, now: Wall) -> Request {
    let limit = format!("timeout={}s", time_limit.as_secs());
    match operation {
        Operation::Create(object) => {
            // What belongs to a sandbox keeps the field manager that the original creates it with (META-053).
            let manager = match object.kind() {
                Kind::Pod | Kind::Service | Kind::VolumeClaim => "&fieldManager=sandbox-controller",
                Kind::Claim | Kind::Pool | Kind::Template | Kind::Sandbox | Kind::NetworkPolicy => "",
            };
            let path = collection(object.kind(), &object.key().namespace);
            let uri = format!("{path}?{limit}{manager}");
            Request { method: Method::Post, uri, body: encode(object).to_string() }
        }
        Operation::Patch(patch) => {
            let part = if patch.part == Part::Status { "/status" } else { "" };
            let uri = format!("{}{part}?{limit}", path(patch.target.kind, &patch.target.key));
            Request { method: Method::Patch, uri, body: patch_body(patch).to_string() }
        }
        Operation::Delete { target, version, propagation } => {
            let mut preconditions = Map::new();
            if let Some(uid) = target.uid {
                preconditions.insert("uid".into(), uid.to_string().into());
            }
            if let Some(version) = version {
                preconditions.insert("resourceVersion".into(), version.to_string().into());
            }
            let mut body =
                json!({ "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions });
            if *propagation == Propagation::Foreground {
                body["propagationPolicy"] = "Foreground".into();
            }
            let uri = format!("{}?{limit}", path(target.kind, &target.key));
            Request { method: Method::Delete, uri, body: body.to_string() }
        }
        Operation::Get { kind, key } => {
            Request { method: Method::Get, uri: path(*kind, key), body: String::new() }
        }
        Operation::Notify(notice) => {
            let namespace = &notice.regarding.key.namespace;
            let uri = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events?{limit}");
            Request { method: Method::Post, uri, body: notice_body(notice, now).to_string() }
        }
    }
}

fn collection(kind: Kind, namespace: &str) -> String {
    let root = if kind.group().is_empty() { "/api/" } else { "/apis/" };
    format!("{root}{}/namespaces/{namespace}/{}", kind.api_version(), kind.plural())
}

fn path(kind: Kind, key: &Key) -> String {
    format!("{}/{}", collection(kind, &key.namespace), key.name)
}

/// Returns the RFC 7396 merge patch: the preconditions and the changes.
pub fn patch_body(patch: &Patch) -> Value {
    let mut body = Value::Object(Map::new());
    if let Some(uid) = patch.target.uid {
        put(&mut body, &["metadata", "uid"], uid.to_string().into());
    }
    if let Some(version) = patch.version {
        put(&mut body, &["metadata", "resourceVersion"], version.to_string().into());
    }
    for change in &patch.changes {
        match change {
            Change::Label(key, value) => put(&mut body, &["metadata", "labels", key], or_null(value)),
            Change::Annotation(key, value) => {
                put(&mut body, &["metadata", "annotations", key], or_null(value))
            }
            Change::Owner(reference) => {
                put(&mut body, &["metadata", "ownerReferences"], json!([owner(reference)]));
            }
            Change::CoOwners(others) => {
                if let (Value::Array(all), Value::Array(others)) =
                    (&mut body["metadata"]["ownerReferences"], others.value())
                {
                    all.extend(others);
                }
            }
            Change::PodLabel(key, value) => {
                put(&mut body, &["spec", "podTemplate", "metadata", "labels", key], or_null(value));
            }
            Change::PodAnnotation(key, value) => {
                put(&mut body, &["spec", "podTemplate", "metadata", "annotations", key], or_null(value));
            }
            Change::Spec(merge) => put(&mut body, &["spec"], merge.value()),
            Change::ClaimStatus(status) => put(&mut body, &["status"], claim_status(status)),
            Change::PoolStatus(status) => put(&mut body, &["status"], pool_status(status)),
            Change::SandboxStatus(status) => put(&mut body, &["status"], sandbox_status(status)),
        }
    }
    body
}

fn or_null(value: &Option<Text>) -> Value {
    value.as_deref().map_or(Value::Null, Value::from)
}

fn put(body: &mut Value, path: &[&str], value: Value) {
    let Some((&last, parents)) = path.split_last() else { return };
    let parent = parents.iter().fold(body, |body, &field| {
        if !body[field].is_object() {
            body[field] = Value::Object(Map::new());
        }
        &mut body[field]
    });
    parent[last] = value;
}

/// Returns the body of a Kubernetes Event.
pub fn notice_body(notice: &Notice, now: Wall) -> Value {
    let key = &notice.regarding.key;
    let kind = if notice.warning { "Warning" } else { "Normal" };
    json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event",
        "metadata": { "namespace": key.namespace, "name": notice.name },
        "eventTime": now.rfc3339_micros(), "reportingController": notice.reporter,
        "reportingInstance": notice.reporter, "type": kind, "reason": notice.reason, "action": notice.action,
        "note": notice.note,
        "regarding": reference(notice.regarding.kind, &key.namespace, &key.name, notice.regarding.uid),
    })
}
