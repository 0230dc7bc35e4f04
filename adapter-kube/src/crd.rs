//! The four kinds as custom resource definitions, for development and tests.
//!
//! A cluster that runs agent-sandbox has its definitions already, and those stay: they spell out every field of a Pod
//! and convert an older version. The ones here are small. They have the same fields, limits, defaults and the one rule
//! about what may not change, but take the specs of Pods, volume claims and network rules as they come. The API server
//! looks at those when the controller makes something of them.
//!
//! `crds/*.yaml` is [`all`] as text. A test compares, and rewrites the files when `UPDATE_CRDS=1`.
//!
//! The controller does not read objects through these types: `serde_json::Value` is a slow way to carry a Pod.

#![expect(
    clippy::duplicated_attributes,
    reason = "each printcolumn has the same keys, which the lint takes for repeats"
)]

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Source: `SandboxSpec.volumeClaimTemplates` of agent-sandbox v1beta1, whose rule is this one. Presence counts too.
const CLAIM_TEMPLATES_IMMUTABLE: &str = "has(self.volumeClaimTemplates) == has(oldSelf.volumeClaimTemplates) && \
     (!has(self.volumeClaimTemplates) || self.volumeClaimTemplates == oldSelf.volumeClaimTemplates)";

/// What a Sandbox should be.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "agents.x-k8s.io",
    version = "v1beta1",
    kind = "Sandbox",
    doc = "One Pod with a name that stays, and optionally volumes and a Service.",
    plural = "sandboxes",
    shortname = "sandbox",
    namespaced,
    status = "SandboxStatus",
    derive = "PartialEq",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[schemars(extend("x-kubernetes-validations" = [
    { "rule": CLAIM_TEMPLATES_IMMUTABLE, "message": "volumeClaimTemplates is immutable" }
]))]
#[serde(rename_all = "camelCase")]
pub struct SandboxSpec {
    /// What the sandbox consists of.
    #[serde(flatten)]
    pub blueprint: Blueprint,
    /// Whether there should be a Pod.
    #[serde(default)]
    pub operating_mode: OperatingMode,
    /// What happens to the Sandbox object at the shutdown time.
    #[serde(default)]
    pub shutdown_policy: ShutdownPolicy,
    /// When the sandbox ends.
    #[schemars(schema_with = "date_time")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shutdown_time: Option<String>,
}

/// What the controller has seen of a Sandbox.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct SandboxStatus {
    /// The name of the Service within the cluster, with its domain.
    #[serde(rename = "serviceFQDN", skip_serializing_if = "Option::is_none")]
    pub service_fqdn: Option<String>,
    /// The name of the Service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The label selector of the Pod, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The node that the Pod is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// The Pod's addresses.
    #[serde(rename = "podIPs", skip_serializing_if = "Vec::is_empty")]
    pub pod_ips: Vec<String>,
    /// Ready, Suspended, Finished.
    #[schemars(schema_with = "conditions")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Value>,
}

/// What the sandboxes of a pool should be.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "extensions.agents.x-k8s.io",
    version = "v1beta1",
    kind = "SandboxTemplate",
    doc = "The pattern for the sandboxes of a pool.",
    shortname = "sandboxtemplate",
    namespaced,
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct SandboxTemplateSpec {
    /// What each sandbox consists of.
    #[serde(flatten)]
    pub blueprint: Blueprint,
    /// Who may talk to the sandboxes and to whom they may talk; without it, a safe default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_policy: Option<NetworkPolicy>,
    /// Whether the controller keeps a NetworkPolicy for this template.
    #[serde(default)]
    pub network_policy_management: NetworkPolicyManagement,
    /// Whether a claim may set environment variables.
    #[serde(default)]
    pub env_vars_injection_policy: InjectionPolicy,
    /// Whether a claim may bring volume claim templates.
    #[serde(default)]
    pub volume_claim_templates_policy: InjectionPolicy,
}

/// What a pool should be.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "extensions.agents.x-k8s.io",
    version = "v1beta1",
    kind = "SandboxWarmPool",
    doc = "A number of sandboxes that are ready before anybody asks for them.",
    shortname = "swp",
    namespaced,
    status = "SandboxWarmPoolStatus",
    derive = "PartialEq",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".spec.replicas"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct SandboxWarmPoolSpec {
    /// How many sandboxes to keep ready.
    #[schemars(range(min = 0))]
    #[serde(default = "one")]
    pub replicas: i32,
    /// The template of the sandboxes, in the same namespace.
    pub sandbox_template_ref: ObjectName,
    /// What happens to members when the template changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_strategy: Option<UpdateStrategy>,
}

/// What the controller has seen of a pool.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SandboxWarmPoolStatus {
    /// How many members there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// How many of them are ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// The label selector of the members, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The generation that the counts belong to.
    #[schemars(range(min = 0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

/// What a claim asks for.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "extensions.agents.x-k8s.io",
    version = "v1beta1",
    kind = "SandboxClaim",
    doc = "A wish for one sandbox of a pool.",
    shortname = "sandboxclaim",
    namespaced,
    status = "SandboxClaimStatus",
    derive = "PartialEq",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(name = "Sandbox", type_ = "string", json_path = ".status.sandbox.name"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct SandboxClaimSpec {
    /// The pool to take a sandbox from, in the same namespace.
    pub warm_pool_ref: ObjectName,
    /// When the claim ends, and what happens then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Lifecycle>,
    /// Labels and annotations for the Pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional_pod_metadata: Option<PodMetadata>,
    /// Environment variables for containers.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<EnvVar>>,
    /// Volumes in addition to, or instead of, those of the template.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_claim_templates: Option<Vec<VolumeClaimTemplate>>,
}

/// What the controller has seen of a claim.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct SandboxClaimStatus {
    /// The sandbox that the claim has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<ClaimedSandbox>,
    /// Ready, Finished.
    #[schemars(schema_with = "conditions")]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Value>,
}

/// What Sandboxes and templates have in common.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Blueprint {
    /// The Pod.
    pub pod_template: PodTemplate,
    /// The volume claims; one `data` of Sandbox `a` is named `data-a`.
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_claim_templates: Option<Vec<VolumeClaimTemplate>>,
    /// Whether there is a Service. Absent leaves a Service that is there alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<bool>,
}

/// The pattern of a Pod.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct PodTemplate {
    /// The Pod's labels and annotations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<PodMetadata>,
    /// A PodSpec of any version of Kubernetes.
    #[schemars(schema_with = "pod_spec")]
    pub spec: Value,
}

/// Labels and annotations.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct PodMetadata {
    /// The labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// The annotations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// The pattern of a PersistentVolumeClaim.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct VolumeClaimTemplate {
    /// The name by which the Pod mounts the volume, labels and annotations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<VolumeClaimMetadata>,
    /// A PersistentVolumeClaimSpec of any version of Kubernetes.
    #[schemars(schema_with = "any_object")]
    pub spec: Value,
}

/// A name, labels and annotations.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct VolumeClaimMetadata {
    /// The name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// The annotations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<BTreeMap<String, String>>,
}

/// The rules of a NetworkPolicy. A direction without rules is closed.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct NetworkPolicy {
    /// Who may talk to the sandboxes: NetworkPolicyIngressRules.
    #[schemars(schema_with = "any_objects")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Vec<Value>>,
    /// To whom the sandboxes may talk: NetworkPolicyEgressRules.
    #[schemars(schema_with = "any_objects")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Vec<Value>>,
}

/// The name of an object in the same namespace.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
pub struct ObjectName {
    /// The name.
    pub name: String,
}

/// What happens to a pool's members when the template changes.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct UpdateStrategy {
    /// The way.
    #[serde(default, rename = "type")]
    pub kind: UpdateStrategyType,
}

/// When a claim ends, and what happens then.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Lifecycle {
    /// When the claim ends at the latest.
    #[schemars(schema_with = "date_time")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shutdown_time: Option<String>,
    /// How long after its Pod finished the claim ends.
    #[schemars(range(min = 0))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_seconds_after_finished: Option<i32>,
    /// What happens to the claim at its end.
    #[serde(default)]
    pub shutdown_policy: ClaimShutdownPolicy,
}

/// One environment variable.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct EnvVar {
    /// The variable's name.
    pub name: String,
    /// The variable's value.
    pub value: String,
    /// The container that gets it; without it, the first one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_name: Option<String>,
}

/// The sandbox that a claim has.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct ClaimedSandbox {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its Pod's addresses.
    #[serde(default, rename = "podIPs", skip_serializing_if = "Vec::is_empty")]
    pub pod_ips: Vec<String>,
}

/// Whether a Sandbox should have a Pod.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the words are the API's, and a documented variant changes the schema's shape"
)]
pub enum OperatingMode {
    #[default]
    Running,
    Suspended,
}

/// What happens to a Sandbox object at its shutdown time.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "as for OperatingMode")]
pub enum ShutdownPolicy {
    Delete,
    #[default]
    Retain,
}

/// What happens to a claim at its end.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "as for OperatingMode")]
pub enum ClaimShutdownPolicy {
    Delete,
    DeleteForeground,
    #[default]
    Retain,
}

/// What happens to a pool's members when the template changes.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "as for OperatingMode")]
pub enum UpdateStrategyType {
    Recreate,
    #[default]
    OnReplenish,
}

/// Whether the controller keeps a NetworkPolicy for a template.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "as for OperatingMode")]
pub enum NetworkPolicyManagement {
    #[default]
    Managed,
    Unmanaged,
}

/// What a claim may change in the sandbox it gets.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "as for OperatingMode")]
pub enum InjectionPolicy {
    Allowed,
    Overrides,
    #[default]
    Disallowed,
}

/// Returns the four definitions, in the order in which they build on each other.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    [Sandbox::crd(), SandboxTemplate::crd(), SandboxWarmPool::crd(), SandboxClaim::crd()]
        .map(without_null)
        .into()
}

/// Returns a definition as the text of its file.
#[must_use]
pub fn to_yaml(crd: &CustomResourceDefinition) -> String {
    let mut value = serde_json::to_value(crd).expect("a definition has only text keys");
    whole_numbers(&mut value);
    serde_saphyr::to_string(&value).expect("JSON can be written as YAML")
}

/// Removes `nullable` and null among enum values, which stand for every `Option`.
///
/// With them, the API server would keep an explicit null where it should put the default.
fn without_null(crd: CustomResourceDefinition) -> CustomResourceDefinition {
    fn walk(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.remove("nullable");
                if let Some(Value::Array(values)) = fields.get_mut("enum") {
                    values.retain(|value| !value.is_null());
                }
                fields.values_mut().for_each(walk);
            }
            Value::Array(items) => items.iter_mut().for_each(walk),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut value = serde_json::to_value(crd).expect("a definition has only text keys");
    walk(&mut value);
    serde_json::from_value(value).expect("what was removed is optional")
}

/// Writes 0 where the definition's type, which knows only floating point, has 0.0.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Number(number) => {
            if let Some(float) = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 1e15) {
                *value = Value::from(float as i64);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn one() -> i32 {
    1
}

fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

fn any_objects(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": any_object(generator) })
}

fn pod_spec(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "required": ["containers"],
        "properties": { "containers": any_objects(generator) },
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

fn date_time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}

/// Source: `metav1.Condition` and its limits. The list is replaced as a whole.
fn conditions(_: &mut SchemaGenerator) -> Schema {
    const LABEL: &str = "([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?\
                         (([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])";
    json_schema!({
        "type": "array",
        "items": {
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "type": { "type": "string", "maxLength": 316, "pattern": format!("^{LABEL}$") },
                "status": { "type": "string", "enum": ["True", "False", "Unknown"] },
                "observedGeneration": { "type": "integer", "format": "int64", "minimum": 0 },
                "lastTransitionTime": { "type": "string", "format": "date-time" },
                "reason": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 1024,
                    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                },
                "message": { "type": "string", "maxLength": 32768 },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::{env, fs};

    use kube::ResourceExt;

    use super::*;

    #[test]
    fn the_files_are_what_the_types_say() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
        for crd in all() {
            let path = dir.join(format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural));
            let text = to_yaml(&crd);
            if env::var_os("UPDATE_CRDS").is_some() {
                fs::write(&path, &text).expect("the folder is writable");
            }
            let file = fs::read_to_string(&path).unwrap_or_default();
            assert!(file == text, "{} is stale: run the tests with UPDATE_CRDS=1", path.display());
        }
        let files = fs::read_dir(dir).expect("the folder is there").count();
        assert_eq!(files, all().len(), "a file for each definition and no other");
    }

    #[test]
    fn no_definition_allows_null() {
        for crd in all() {
            let text = to_yaml(&crd);
            assert!(!text.contains("nullable") && !text.contains("null"), "{}", crd.name_any());
        }
    }
}
