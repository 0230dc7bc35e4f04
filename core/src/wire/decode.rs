//! JSON from the API server → objects. Unknown fields are skipped without being copied.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::wishes::{WireClaimSpec, filled};
use crate::id::{Key, Kind, Text, Uid, Version};
use crate::names;
use crate::object::{
    Blueprint, Bound, Claim, ClaimStatus, Condition, Dependent, Json, Labels, Meta, Network, Object, Owner,
    OwnerKind, Phase, Pod, PodMetadata, Pool, PoolStatus, Sandbox, SandboxStatus, Shutdown, ShutdownPolicy,
    Template, Truth, Update,
};
use crate::outfit;
use crate::time::Wall;
use crate::wishes::Policy;

/// A JSON text that is no object of the expected kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Malformed {}

impl From<serde_json::Error> for Malformed {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

/// Reads one object of a kind.
///
/// # Errors
/// When the text is no JSON, or a field that every such object has is missing or of another type.
pub fn decode(kind: Kind, json: &str) -> Result<Object, Malformed> {
    Ok(match kind {
        Kind::Claim => Object::Claim(Arc::new(serde_json::from_str::<WireClaim>(json)?.read()?)),
        Kind::Pool => Object::Pool(Arc::new(serde_json::from_str::<WirePool>(json)?.read()?)),
        Kind::Template => Object::Template(Arc::new(serde_json::from_str::<WireTemplate>(json)?.read()?)),
        Kind::Sandbox => Object::Sandbox(Arc::new(serde_json::from_str::<WireSandbox>(json)?.read()?)),
        Kind::Pod => Object::Pod(Arc::new(serde_json::from_str::<WirePod>(json)?.read()?)),
        Kind::Service => Object::Service(dependent(json)?),
        Kind::VolumeClaim => Object::VolumeClaim(dependent(json)?),
        Kind::NetworkPolicy => Object::NetworkPolicy(dependent(json)?),
    })
}

/// Reads the items of a list and the version of the list.
///
/// # Errors
/// As [`decode`]; also when the list has no version.
pub fn decode_list(kind: Kind, json: &str) -> Result<(Vec<Object>, Version, Option<String>), Malformed> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct ListMeta {
        resource_version: String,
        #[serde(default, rename = "continue")]
        next: Option<String>,
    }
    #[derive(Deserialize)]
    struct List<'a> {
        metadata: ListMeta,
        #[serde(borrow, default)]
        items: Option<Vec<&'a RawValue>>,
    }
    let list: List<'_> = serde_json::from_str(json)?;
    let items = list.items.unwrap_or_default();
    let objects = items.into_iter().map(|item| decode(kind, item.get())).collect::<Result<_, _>>()?;
    let next = list.metadata.next.filter(|next| !next.is_empty());
    Ok((objects, version(&list.metadata.resource_version)?, next))
}

/// Returns the kind that an object's `apiVersion` and `kind` name, if it is one of ours.
pub fn kind_of(api_version: &str, kind: &str) -> Option<Kind> {
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    Kind::ALL.into_iter().find(|candidate| candidate.group() == group && candidate.name() == kind)
}

fn version(text: &str) -> Result<Version, Malformed> {
    text.parse().map(Version).map_err(|_| Malformed(alloc::format!("resourceVersion {text:?} is no number")))
}

fn texts(map: Option<BTreeMap<String, String>>) -> Labels {
    map.unwrap_or_default().into_iter().map(|(key, value)| (key.into(), value.into())).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMeta {
    name: String,
    namespace: String,
    uid: String,
    resource_version: String,
    #[serde(default)]
    generation: i64,
    creation_timestamp: Option<String>,
    deletion_timestamp: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<WireOwner>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireOwner {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    uid: String,
    controller: Option<bool>,
    block_owner_deletion: Option<bool>,
}

impl WireMeta {
    fn read(self) -> Result<Meta, Malformed> {
        let mut owners = self.owner_references.unwrap_or_default();
        let place = owners.iter().position(|owner| owner.controller == Some(true));
        let owner = place.map(|place| owners.remove(place));
        let co_owners =
            (!owners.is_empty()).then(|| Json::from(&owners.iter().map(WireOwner::write).collect()));
        Ok(Meta {
            key: Key::new(self.namespace, self.name),
            uid: Uid::parse(&self.uid),
            version: version(&self.resource_version)?,
            generation: self.generation,
            created: self.creation_timestamp.as_deref().and_then(Wall::parse).unwrap_or_default(),
            terminating: self.deletion_timestamp.is_some(),
            labels: texts(self.labels),
            annotations: texts(self.annotations),
            owner: owner.map(WireOwner::read),
            co_owners,
        })
    }
}

impl WireOwner {
    /// Returns it as it was written.
    fn write(&self) -> Value {
        let mut fields = json!({
            "apiVersion": self.api_version, "kind": self.kind, "name": self.name, "uid": self.uid,
        });
        for (field, value) in
            [("controller", self.controller), ("blockOwnerDeletion", self.block_owner_deletion)]
        {
            if let Some(value) = value {
                fields[field] = value.into();
            }
        }
        fields
    }

    fn read(self) -> Owner {
        let kind = kind_of(&self.api_version, &self.kind)
            .map_or_else(|| OwnerKind::Foreign(self.kind.into()), OwnerKind::Known);
        Owner { kind, name: self.name.into(), uid: Uid::parse(&self.uid) }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireCondition {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    observed_generation: i64,
    last_transition_time: Option<String>,
}

fn truth(text: &str) -> Truth {
    match text {
        "True" => Truth::True,
        "False" => Truth::False,
        _ => Truth::Unknown,
    }
}

impl WireCondition {
    fn read(self) -> Condition {
        Condition {
            kind: self.kind.into(),
            status: truth(&self.status),
            reason: self.reason.unwrap_or_default().into(),
            message: self.message.unwrap_or_default().into(),
            observed: self.observed_generation,
            changed: self.last_transition_time.as_deref().and_then(Wall::parse).unwrap_or_default(),
        }
    }
}

fn conditions(list: Option<Vec<WireCondition>>) -> Vec<Condition> {
    list.unwrap_or_default().into_iter().map(WireCondition::read).collect()
}

#[derive(Deserialize)]
pub(super) struct WireName {
    #[serde(default)]
    pub(super) name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireClaim {
    metadata: WireMeta,
    spec: WireClaimSpec,
    #[serde(default)]
    status: Option<WireClaimStatus>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireClaimStatus {
    sandbox: Option<WireBound>,
    conditions: Option<Vec<WireCondition>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireBound {
    #[serde(default)]
    name: String,
    #[serde(default, rename = "podIPs")]
    pod_ips: Option<Vec<String>>,
}

impl WireClaim {
    fn read(self) -> Result<Claim, Malformed> {
        let status = self.status.unwrap_or_default();
        let sandbox = status.sandbox.filter(|sandbox| !sandbox.name.is_empty()).map(|sandbox| Bound {
            name: sandbox.name.into(),
            pod_ips: sandbox.pod_ips.unwrap_or_default().into_iter().map(Text::from).collect(),
        });
        Ok(Claim {
            meta: self.metadata.read()?,
            pool: self.spec.warm_pool_ref.name.as_str().into(),
            wishes: self.spec.wishes()?.map(Arc::new),
            status: ClaimStatus { sandbox, conditions: conditions(status.conditions) },
        })
    }
}

#[derive(Deserialize)]
struct WirePool {
    metadata: WireMeta,
    spec: WirePoolSpec,
    #[serde(default)]
    status: Option<WirePoolStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WirePoolSpec {
    replicas: Option<u32>,
    sandbox_template_ref: WireName,
    #[serde(default)]
    update_strategy: Option<WireUpdate>,
}

#[derive(Deserialize)]
struct WireUpdate {
    #[serde(default, rename = "type")]
    kind: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WirePoolStatus {
    replicas: u32,
    ready_replicas: u32,
    selector: String,
    observed_generation: i64,
}

impl WirePool {
    fn read(self) -> Result<Pool, Malformed> {
        let status = self.status.unwrap_or_default();
        Ok(Pool {
            meta: self.metadata.read()?,
            replicas: self.spec.replicas.unwrap_or(1),
            template: self.spec.sandbox_template_ref.name.into(),
            update: match self.spec.update_strategy {
                Some(update) if update.kind == "Recreate" => Update::Recreate,
                Some(_) | None => Update::OnReplenish,
            },
            status: PoolStatus {
                replicas: status.replicas,
                ready: status.ready_replicas,
                selector: status.selector.into(),
                observed: status.observed_generation,
            },
        })
    }
}

#[derive(Deserialize)]
struct WirePodTemplate {
    #[serde(default)]
    metadata: Option<WirePodMetadata>,
    spec: Box<RawValue>,
}

#[derive(Default, Deserialize)]
pub(super) struct WirePodMetadata {
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
}

impl WirePodTemplate {
    fn read(self) -> (PodMetadata, Box<RawValue>) {
        (self.metadata.unwrap_or_default().read(), self.spec)
    }
}

impl WirePodMetadata {
    pub(super) fn read(self) -> PodMetadata {
        PodMetadata { labels: texts(self.labels), annotations: texts(self.annotations) }
    }
}

#[derive(Deserialize)]
struct WireTemplate {
    metadata: WireMeta,
    spec: WireTemplateSpec,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireTemplateSpec {
    pod_template: WirePodTemplate,
    #[serde(default)]
    volume_claim_templates: Option<Box<RawValue>>,
    service: Option<bool>,
    #[serde(default)]
    network_policy: Option<Box<RawValue>>,
    #[serde(default)]
    network_policy_management: Option<String>,
    #[serde(default)]
    env_vars_injection_policy: Option<String>,
    #[serde(default)]
    volume_claim_templates_policy: Option<String>,
}

impl WireTemplate {
    fn read(self) -> Result<Template, Malformed> {
        let (pod, pod_spec) = self.spec.pod_template.read();
        let is_unmanaged = self.spec.network_policy_management.as_deref() == Some("Unmanaged");
        let network = match self.spec.network_policy {
            _ if is_unmanaged => Network::Unmanaged,
            None => Network::Secure,
            Some(rules) => Network::Custom(Json::new(rules)),
        };
        let open_dns = network == Network::Secure;
        let volume_claims = filled(self.spec.volume_claim_templates)?;
        let flaw = volume_claims.as_ref().and_then(outfit::flaw_of_template).map(Text::from);
        let policy = |text: Option<String>| Policy::parse(&text.unwrap_or_default());
        let spec = with_secure_defaults(serde_json::from_str(pod_spec.get())?, open_dns);
        // What the network policy does to the resolvers is part of what is made, so it counts (WPL-055).
        let content = alloc::format!("{spec}{pod:?}");
        let pod_hash = names::name_hash(&content);
        let rest = volume_claims.as_ref().map_or("", Json::text);
        let hash = names::name_hash(&alloc::format!("{content}{rest}{:?}", self.spec.service));
        let pod_spec = Json::new(serde_json::value::to_raw_value(&spec)?);
        let blueprint =
            Blueprint { pod, pod_spec, volume_claims, service: self.spec.service, hash, pod_hash };
        Ok(Template {
            meta: self.metadata.read()?,
            blueprint: Arc::new(blueprint),
            network,
            env_policy: policy(self.spec.env_vars_injection_policy),
            volume_claims_policy: policy(self.spec.volume_claim_templates_policy),
            flaw,
        })
    }
}

/// What a Pod made from a template gets unless the template says otherwise (TPL-030, TPL-031).
fn with_secure_defaults(mut spec: Value, open_dns: bool) -> Value {
    let Some(fields) = spec.as_object_mut() else { return spec };
    if fields.get("automountServiceAccountToken").is_none_or(Value::is_null) {
        fields.insert("automountServiceAccountToken".into(), Value::Bool(false));
    }
    for list in ["initContainers", "containers"] {
        // The original writes this empty field, and so members look the same whoever made them (HSH-004).
        for container in fields.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(container) = container.as_object_mut() {
                container.entry("resources").or_insert_with(|| serde_json::json!({}));
            }
        }
    }
    let has_policy = fields.get("dnsPolicy").and_then(Value::as_str).is_some_and(|policy| !policy.is_empty());
    if open_dns && !has_policy {
        // The default network policy blocks the cluster's own resolvers.
        fields.insert("dnsPolicy".into(), "None".into());
        fields.insert("dnsConfig".into(), serde_json::json!({ "nameservers": ["8.8.8.8", "1.1.1.1"] }));
    }
    spec
}

#[derive(Deserialize)]
struct WireSandbox {
    metadata: WireMeta,
    spec: WireSandboxSpec,
    #[serde(default)]
    status: Option<WireSandboxStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSandboxSpec {
    pod_template: WirePodTemplate,
    #[serde(default)]
    volume_claim_templates: Option<Box<RawValue>>,
    service: Option<bool>,
    #[serde(default)]
    operating_mode: Option<String>,
    #[serde(default)]
    shutdown_time: Option<String>,
    #[serde(default)]
    shutdown_policy: Option<String>,
}

impl WireSandboxSpec {
    fn shutdown(&self) -> Option<Shutdown> {
        let policy = match self.shutdown_policy.as_deref() {
            Some("Delete") => ShutdownPolicy::Delete,
            Some(_) | None => ShutdownPolicy::Retain,
        };
        let at = self.shutdown_time.as_deref().and_then(Wall::parse)?;
        Some(Shutdown { at, policy })
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireSandboxStatus {
    conditions: Option<Vec<WireCondition>>,
    #[serde(rename = "podIPs")]
    pod_ips: Option<Vec<String>>,
    node_name: String,
    selector: String,
    service: String,
    #[serde(rename = "serviceFQDN")]
    service_fqdn: String,
}

impl WireSandbox {
    fn read(self) -> Result<Sandbox, Malformed> {
        let shutdown = self.spec.shutdown();
        let (pod, pod_spec) = self.spec.pod_template.read();
        let status = self.status.unwrap_or_default();
        Ok(Sandbox {
            meta: self.metadata.read()?,
            pod,
            pod_spec: Json::new(pod_spec),
            volume_claims: self.spec.volume_claim_templates.map(Json::new),
            service: self.spec.service,
            suspended: self.spec.operating_mode.as_deref() == Some("Suspended"),
            shutdown,
            status: SandboxStatus {
                conditions: conditions(status.conditions),
                pod_ips: status.pod_ips.unwrap_or_default().into_iter().map(Text::from).collect(),
                node: status.node_name.into(),
                selector: status.selector.into(),
                service: status.service.into(),
                service_fqdn: status.service_fqdn.into(),
            },
        })
    }
}

#[derive(Deserialize)]
struct WirePod {
    metadata: WireMeta,
    spec: WirePodSpec,
    #[serde(default)]
    status: Option<WirePodStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WirePodSpec {
    #[serde(default)]
    node_name: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WirePodStatus {
    phase: String,
    conditions: Option<Vec<WireCondition>>,
    #[serde(rename = "podIPs")]
    pod_ips: Option<Vec<WireIp>>,
}

#[derive(Deserialize)]
struct WireDependent {
    metadata: WireMeta,
    #[serde(default)]
    spec: Option<Box<RawValue>>,
}

fn dependent(json: &str) -> Result<Arc<Dependent>, Malformed> {
    let wire: WireDependent = serde_json::from_str(json)?;
    let spec = wire.spec.map_or_else(|| Json::from(&Value::Object(Map::new())), Json::new);
    Ok(Arc::new(Dependent { meta: wire.metadata.read()?, spec }))
}

#[derive(Deserialize)]
struct WireIp {
    #[serde(default)]
    ip: String,
}

impl WirePod {
    fn read(self) -> Result<Pod, Malformed> {
        let status = self.status.unwrap_or_default();
        let conditions = conditions(status.conditions);
        let condition = |kind: &str| conditions.iter().find(|condition| &*condition.kind == kind);
        Ok(Pod {
            meta: self.metadata.read()?,
            spec: None,
            phase: match &*status.phase {
                "Running" => Phase::Running,
                "Succeeded" => Phase::Succeeded,
                "Failed" => Phase::Failed,
                "Unknown" => Phase::Unknown,
                _ => Phase::Pending,
            },
            ready: condition(names::READY).is_some_and(|condition| condition.status == Truth::True),
            scheduled: condition(names::POD_SCHEDULED)
                .map(|condition| (condition.status, condition.reason.clone(), condition.message.clone())),
            ips: status.pod_ips.unwrap_or_default().into_iter().map(|ip| Text::from(ip.ip)).collect(),
            node: self.spec.node_name.into(),
        })
    }
}
