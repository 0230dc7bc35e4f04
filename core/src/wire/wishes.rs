//! The spec of a claim, and the parts of a template's that say what claims may ask for.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::decode::{Malformed, WireName, WirePodMetadata};
use super::encode::pod_metadata;
use crate::object::{Claim, Json, PodMetadata};
use crate::time::Wall;
use crate::wishes::{ClaimShutdownPolicy, Lifecycle, Variable, Wishes};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireClaimSpec {
    pub(super) warm_pool_ref: WireName,
    env: Option<Vec<WireVariable>>,
    volume_claim_templates: Option<Box<RawValue>>,
    additional_pod_metadata: Option<WirePodMetadata>,
    lifecycle: Option<WireLifecycle>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireVariable {
    name: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    container_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireLifecycle {
    shutdown_time: Option<String>,
    ttl_seconds_after_finished: Option<u32>,
    shutdown_policy: Option<String>,
}

impl WireClaimSpec {
    pub(super) fn wishes(self) -> Result<Option<Wishes>, Malformed> {
        let variables = self.env.unwrap_or_default().into_iter();
        let wishes = Wishes {
            env: variables.map(WireVariable::read).collect(),
            volume_claims: filled(self.volume_claim_templates)?,
            pod: self.additional_pod_metadata.map_or_else(PodMetadata::default, WirePodMetadata::read),
            lifecycle: self.lifecycle.map(WireLifecycle::read),
        };
        Ok((wishes != Wishes::default()).then_some(wishes))
    }
}

impl WireVariable {
    fn read(self) -> Variable {
        let container = self.container_name.unwrap_or_default();
        Variable { name: self.name.into(), value: self.value.into(), container: container.into() }
    }
}

impl WireLifecycle {
    fn read(self) -> Lifecycle {
        let policy = match self.shutdown_policy.as_deref() {
            Some("Delete") => ClaimShutdownPolicy::Delete,
            Some("DeleteForeground") => ClaimShutdownPolicy::DeleteForeground,
            _ => ClaimShutdownPolicy::Retain,
        };
        Lifecycle {
            shutdown: self.shutdown_time.as_deref().and_then(Wall::parse),
            ttl: self.ttl_seconds_after_finished.map(|seconds| Duration::from_secs(seconds.into())),
            policy,
        }
    }
}

/// Returns a list that has something in it.
pub(super) fn filled(list: Option<Box<RawValue>>) -> Result<Option<Json>, Malformed> {
    let Some(list) = list else { return Ok(None) };
    let items: Option<Vec<&RawValue>> = serde_json::from_str(list.get())?;
    let is_filled = items.is_some_and(|items| !items.is_empty());
    Ok(is_filled.then(|| Json::new(list)))
}

/// Writes a claim's spec.
pub(super) fn claim_spec(claim: &Claim) -> Value {
    let mut spec = Map::new();
    spec.insert("warmPoolRef".into(), json!({ "name": claim.pool }));
    let Some(wishes) = &claim.wishes else { return Value::Object(spec) };
    if !wishes.env.is_empty() {
        spec.insert("env".into(), wishes.env.iter().map(variable).collect());
    }
    if let Some(claims) = &wishes.volume_claims {
        spec.insert("volumeClaimTemplates".into(), claims.value());
    }
    let metadata = pod_metadata(&wishes.pod);
    if !metadata.is_empty() {
        spec.insert("additionalPodMetadata".into(), Value::Object(metadata));
    }
    if let Some(lifecycle) = &wishes.lifecycle {
        let mut body = Map::new();
        if let Some(at) = lifecycle.shutdown {
            body.insert("shutdownTime".into(), at.rfc3339().into());
        }
        if let Some(ttl) = lifecycle.ttl {
            body.insert("ttlSecondsAfterFinished".into(), ttl.as_secs().into());
        }
        body.insert("shutdownPolicy".into(), lifecycle.policy.as_str().into());
        spec.insert("lifecycle".into(), Value::Object(body));
    }
    Value::Object(spec)
}

fn variable(variable: &Variable) -> Value {
    let mut body = Map::new();
    body.insert("name".into(), json!(variable.name));
    body.insert("value".into(), json!(variable.value));
    if !variable.container.is_empty() {
        body.insert("containerName".into(), json!(variable.container));
    }
    Value::Object(body)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::id::Kind;
    use crate::object::Object;
    use crate::wire::{decode, encode};

    /// CON-003: every field of a claim is understood.
    #[test]
    fn what_a_claim_asks_for_survives_being_read_and_written() {
        let spec = json!({
            "warmPoolRef": { "name": "pool" },
            "env": [{ "name": "A", "value": "1" }, { "name": "B", "value": "", "containerName": "main" }],
            "volumeClaimTemplates": [{ "metadata": { "name": "data" }, "spec": { "accessModes": ["x"] } }],
            "additionalPodMetadata": { "annotations": { "n": "x" }, "labels": { "sandbox.users.io/team": "a" } },
            "lifecycle": {
                "shutdownTime": "2026-11-24T14:30:35Z", "ttlSecondsAfterFinished": 5,
                "shutdownPolicy": "DeleteForeground",
            },
        });
        let claim = read(&spec);
        assert!(claim.needs_own_sandbox());
        assert_eq!(encode(&Object::Claim(claim.into()))["spec"], spec);
    }

    #[test]
    fn empty_fields_are_no_wishes() {
        let spec = json!({
            "warmPoolRef": { "name": "pool" }, "env": [], "volumeClaimTemplates": [], "additionalPodMetadata": {},
        });
        assert_eq!(read(&spec).wishes, None);
    }

    /// A policy that is not given is Retain.
    #[test]
    fn a_lifecycle_retains_unless_it_says_otherwise() {
        let claim = read(&json!({ "warmPoolRef": { "name": "pool" }, "lifecycle": {} }));
        assert_eq!(claim.shutdown_policy(), ClaimShutdownPolicy::Retain);
    }

    fn read(spec: &Value) -> Claim {
        let metadata = json!({ "name": "c", "namespace": "n", "uid": "", "resourceVersion": "1" });
        let text = json!({ "metadata": metadata, "spec": spec }).to_string();
        let Ok(Object::Claim(claim)) = decode(Kind::Claim, &text) else { panic!("no claim: {text}") };
        (*claim).clone()
    }
}
