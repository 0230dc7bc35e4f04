//! The objects, reduced to what decisions read and write.
//!
//! An object is immutable and shared: a change makes a new one. Pod specs and volume claims stay the JSON that they
//! were, because a typed copy would drop the fields of the next Kubernetes version.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::id::{Key, Kind, Text, Uid, Version};
use crate::time::Wall;
use crate::wishes::{Policy, Wishes};

pub use crate::labels::Labels;

/// Labels and annotations of the Pods made from a template.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodMetadata {
    /// `spec.podTemplate.metadata.labels`.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// `spec.podTemplate.metadata.annotations`.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub annotations: Labels,
}

/// JSON that is passed on unread, shared between all who hold it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Json(Arc<RawValue>);

impl Json {
    /// Wraps a JSON text.
    pub fn new(raw: Box<RawValue>) -> Self {
        Self(Arc::from(raw))
    }

    /// Returns the text.
    pub fn text(&self) -> &str {
        self.0.get()
    }

    /// Reads the text.
    pub fn value(&self) -> Value {
        serde_json::from_str(self.text()).unwrap_or_default()
    }
}

impl From<&Value> for Json {
    fn from(value: &Value) -> Self {
        let text = RawValue::from_string(value.to_string());
        Self::new(text.expect("what a value prints is JSON"))
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.text() == other.text()
    }
}

impl Eq for Json {}

/// What every object carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Namespace and name.
    pub key: Key,
    /// Identity; [`Uid::UNSET`] in a draft that the server has not seen.
    pub uid: Uid,
    /// State; zero in a draft.
    pub version: Version,
    /// Counts changes of the spec.
    pub generation: i64,
    /// `metadata.creationTimestamp`, whole seconds.
    pub created: Wall,
    /// Whether `metadata.deletionTimestamp` is set.
    pub terminating: bool,
    /// `metadata.labels`.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// `metadata.annotations`.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub annotations: Labels,
    /// The owner reference with `controller: true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    /// The other owner references, an array as it was written. They belong to others, and stay when the controller changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub co_owners: Option<Json>,
}

impl Meta {
    /// Returns the metadata of an object that is about to be created.
    pub fn draft(key: Key) -> Self {
        Self {
            key,
            uid: Uid::UNSET,
            version: Version(0),
            generation: 0,
            created: Wall::default(),
            terminating: false,
            labels: Labels::new(),
            annotations: Labels::new(),
            owner: None,
            co_owners: None,
        }
    }

    /// Returns the uid of the controller, if it is of `kind`.
    pub fn owner_of_kind(&self, kind: Kind) -> Option<Uid> {
        self.owner.as_ref().filter(|owner| owner.kind == OwnerKind::Known(kind)).map(|owner| owner.uid)
    }

    /// Returns whether the controller has this uid.
    pub fn is_owned_by(&self, uid: Uid) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.uid == uid)
    }

    /// Returns the value of an annotation that is present and not empty.
    pub fn annotation(&self, key: &str) -> Option<&Text> {
        self.annotations.get(key).filter(|value| !value.is_empty())
    }

    /// Returns the value of a label that is present and not empty.
    pub fn label(&self, key: &str) -> Option<&Text> {
        self.labels.get(key).filter(|value| !value.is_empty())
    }
}

/// A controller reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Group and kind; the version does not matter.
    pub kind: OwnerKind,
    /// The owner's name, in the same namespace.
    pub name: Text,
    /// The owner's identity: this decides, never the name.
    pub uid: Uid,
}

impl Owner {
    /// Returns a reference to an object of ours.
    pub fn new(kind: Kind, meta: &Meta) -> Self {
        Self { kind: OwnerKind::Known(kind), name: meta.key.name.clone(), uid: meta.uid }
    }
}

/// Who may own an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OwnerKind {
    /// One of ours.
    Known(Kind),
    /// Somebody else's: the kind as written.
    Foreign(Text),
}

/// `True`, `False` or `Unknown`, as conditions say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Truth {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody can tell.
    Unknown,
}

impl Truth {
    /// Returns the word that Kubernetes uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// A `metav1.Condition`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// `type`.
    pub kind: Text,
    /// `status`.
    pub status: Truth,
    /// `reason`, never empty.
    pub reason: Text,
    /// `message`.
    pub message: Text,
    /// `observedGeneration`.
    pub observed: i64,
    /// `lastTransitionTime`: when `status` last changed.
    pub changed: Wall,
}

/// A claim: one user's wish for one sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Metadata.
    pub meta: Meta,
    /// `spec.warmPoolRef.name`.
    pub pool: Text,
    /// The rest of `spec`; `None` where that is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wishes: Option<Arc<Wishes>>,
    /// `status`.
    pub status: ClaimStatus,
}

/// What a claim's user reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimStatus {
    /// `status.sandbox`: the sandbox bound, if any.
    pub sandbox: Option<Bound>,
    /// `status.conditions`, sorted by type.
    pub conditions: Vec<Condition>,
}

/// The sandbox that a claim has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// Its name, in the claim's namespace.
    pub name: Text,
    /// Addresses of its Pod, primary family first.
    pub pod_ips: Vec<Text>,
}

/// A warm pool: how many sandboxes to keep ready, and of what make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Metadata.
    pub meta: Meta,
    /// `spec.replicas`, 1 when absent.
    pub replicas: u32,
    /// `spec.sandboxTemplateRef.name`.
    pub template: Text,
    /// `spec.updateStrategy.type`.
    #[serde(default)]
    pub update: Update,
    /// `status`.
    pub status: PoolStatus,
}

/// What becomes of a pool's members when its template changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Update {
    /// They stay until they are adopted or deleted; new ones follow the template (WPL-051). Also what is meant where
    /// nothing is said, or something unknown.
    #[default]
    OnReplenish,
    /// They are replaced, and none of them is adopted meanwhile (WPL-050).
    Recreate,
}

/// What a pool's owner reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolStatus {
    /// Members that are not terminating.
    pub replicas: u32,
    /// Members that are ready.
    pub ready: u32,
    /// A label selector that matches the members, for the scale subresource.
    pub selector: Text,
    /// The generation that these figures belong to.
    pub observed: i64,
}

/// A template: what sandboxes are made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Metadata.
    pub meta: Meta,
    /// What a sandbox gets, secure defaults included.
    pub blueprint: Arc<Blueprint>,
    /// Whom its sandboxes may talk to.
    pub network: Network,
    /// `spec.envVarsInjectionPolicy`.
    #[serde(default)]
    pub env_policy: Policy,
    /// `spec.volumeClaimTemplatesPolicy`.
    #[serde(default)]
    pub volume_claims_policy: Policy,
    /// What is wrong with `spec.volumeClaimTemplates`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flaw: Option<Text>,
}

/// What a template says about the traffic of its sandboxes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// `networkPolicyManagement: Unmanaged`: somebody else sees to it.
    Unmanaged,
    /// Nothing: the world, but not the cluster.
    #[default]
    Secure,
    /// `spec.networkPolicy`: rules of its own, `ingress` and `egress`.
    Custom(Json),
}

/// The part of a template that becomes a sandbox's spec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blueprint {
    /// Labels and annotations for the Pods.
    pub pod: PodMetadata,
    /// `spec.podTemplate.spec`.
    pub pod_spec: Json,
    /// `spec.volumeClaimTemplates`.
    pub volume_claims: Option<Json>,
    /// `spec.service`.
    pub service: Option<bool>,
    /// Tells blueprints apart: the value of the label `agents.x-k8s.io/sandbox-template-hash`.
    pub hash: Text,
    /// Tells pod templates apart: the value of the label `agents.x-k8s.io/sandbox-pod-template-hash`.
    pub pod_hash: Text,
}

/// A sandbox: one Pod with a stable identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// Metadata.
    pub meta: Meta,
    /// Labels and annotations for its Pod.
    pub pod: PodMetadata,
    /// `spec.podTemplate.spec`.
    pub pod_spec: Json,
    /// `spec.volumeClaimTemplates`.
    pub volume_claims: Option<Json>,
    /// `spec.service`.
    pub service: Option<bool>,
    /// `spec.operatingMode: Suspended`: it is to have no Pod.
    #[serde(default)]
    pub suspended: bool,
    /// `spec.shutdownTime` and `spec.shutdownPolicy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shutdown: Option<Shutdown>,
    /// `status`.
    pub status: SandboxStatus,
}

/// When a sandbox ends, and what is left of it then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shutdown {
    /// From this moment on it has expired.
    pub at: Wall,
    /// What then becomes of it.
    pub policy: ShutdownPolicy,
}

/// What becomes of a sandbox that has expired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShutdownPolicy {
    /// It stays, without its Pod and its Service, as a record.
    #[default]
    Retain,
    /// It is deleted.
    Delete,
}

/// What a sandbox's user reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxStatus {
    /// Conditions, in the order in which they first appeared.
    pub conditions: Vec<Condition>,
    /// Addresses of the Pod, primary family first.
    pub pod_ips: Vec<Text>,
    /// Where the Pod runs; empty when it does not.
    pub node: Text,
    /// A label selector that matches the Pod; empty before there is one.
    pub selector: Text,
    /// The Service's name; empty without one.
    #[serde(default)]
    pub service: Text,
    /// The Service's name in the cluster's DNS; empty without one.
    #[serde(default)]
    pub service_fqdn: Text,
}

/// A Pod, seen through the few fields that decisions read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Metadata.
    pub meta: Meta,
    /// `spec`, only in a draft: the core does not keep what it never reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<Json>,
    /// `status.phase`.
    pub phase: Phase,
    /// Whether the condition `Ready` is True.
    pub ready: bool,
    /// The condition `PodScheduled`: status, reason, message.
    pub scheduled: Option<(Truth, Text, Text)>,
    /// `status.podIPs`.
    pub ips: Vec<Text>,
    /// `spec.nodeName`; empty before it is scheduled.
    pub node: Text,
}

/// Where a Pod stands in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Not running yet.
    #[default]
    Pending,
    /// At least one container runs.
    Running,
    /// All containers ended well.
    Succeeded,
    /// All containers ended, one of them badly.
    Failed,
    /// Its node does not answer.
    Unknown,
}

impl Phase {
    /// Returns the word that Kubernetes uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Unknown => "Unknown",
        }
    }

    /// Returns whether the Pod will never run again.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// A Service, a PersistentVolumeClaim or a NetworkPolicy: it belongs to one of our objects, and is compared as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependent {
    /// Metadata.
    pub meta: Meta,
    /// `spec`.
    pub spec: Json,
}

/// One state of one object of any kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Object {
    /// A claim.
    Claim(Arc<Claim>),
    /// A pool.
    Pool(Arc<Pool>),
    /// A template.
    Template(Arc<Template>),
    /// A sandbox.
    Sandbox(Arc<Sandbox>),
    /// A Pod.
    Pod(Arc<Pod>),
    /// A Service.
    Service(Arc<Dependent>),
    /// A PersistentVolumeClaim.
    VolumeClaim(Arc<Dependent>),
    /// A NetworkPolicy.
    NetworkPolicy(Arc<Dependent>),
}

impl Object {
    /// Returns the kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Claim(_) => Kind::Claim,
            Self::Pool(_) => Kind::Pool,
            Self::Template(_) => Kind::Template,
            Self::Sandbox(_) => Kind::Sandbox,
            Self::Pod(_) => Kind::Pod,
            Self::Service(_) => Kind::Service,
            Self::VolumeClaim(_) => Kind::VolumeClaim,
            Self::NetworkPolicy(_) => Kind::NetworkPolicy,
        }
    }

    /// Returns the metadata.
    pub fn meta(&self) -> &Meta {
        match self {
            Self::Claim(claim) => &claim.meta,
            Self::Pool(pool) => &pool.meta,
            Self::Template(template) => &template.meta,
            Self::Sandbox(sandbox) => &sandbox.meta,
            Self::Pod(pod) => &pod.meta,
            Self::Service(it) | Self::VolumeClaim(it) | Self::NetworkPolicy(it) => &it.meta,
        }
    }

    /// Returns the metadata for a change; copies the object when somebody else holds it.
    pub fn meta_mut(&mut self) -> &mut Meta {
        match self {
            Self::Claim(claim) => &mut Arc::make_mut(claim).meta,
            Self::Pool(pool) => &mut Arc::make_mut(pool).meta,
            Self::Template(template) => &mut Arc::make_mut(template).meta,
            Self::Sandbox(sandbox) => &mut Arc::make_mut(sandbox).meta,
            Self::Pod(pod) => &mut Arc::make_mut(pod).meta,
            Self::Service(it) | Self::VolumeClaim(it) | Self::NetworkPolicy(it) => {
                &mut Arc::make_mut(it).meta
            }
        }
    }

    /// Returns the claim that this is.
    pub fn as_claim(&self) -> Option<&Claim> {
        let Self::Claim(it) = self else { return None };
        Some(it)
    }

    /// Returns the pool that this is.
    pub fn as_pool(&self) -> Option<&Pool> {
        let Self::Pool(it) = self else { return None };
        Some(it)
    }

    /// Returns the sandbox that this is.
    pub fn as_sandbox(&self) -> Option<&Sandbox> {
        let Self::Sandbox(it) = self else { return None };
        Some(it)
    }

    /// Returns the Pod that this is.
    pub fn as_pod(&self) -> Option<&Pod> {
        let Self::Pod(it) = self else { return None };
        Some(it)
    }

    /// Returns the Service, volume claim or network policy that this is.
    pub fn as_dependent(&self) -> Option<&Dependent> {
        match self {
            Self::Service(it) | Self::VolumeClaim(it) | Self::NetworkPolicy(it) => Some(it),
            Self::Claim(_) | Self::Pool(_) | Self::Template(_) | Self::Sandbox(_) | Self::Pod(_) => None,
        }
    }

    /// Returns the identity.
    pub fn uid(&self) -> Uid {
        self.meta().uid
    }

    /// Returns the state's version.
    pub fn version(&self) -> Version {
        self.meta().version
    }

    /// Returns namespace and name.
    pub fn key(&self) -> &Key {
        &self.meta().key
    }
}

impl Sandbox {
    /// Returns whether its time is over, which is decided for good when its user is told so (INV-21).
    ///
    /// While nobody has changed its spec since, no clock is asked again: that of another process may be behind.
    pub fn is_over(&self, now: Wall) -> bool {
        let is_told = self.status.is_expired()
            && self.status.condition(crate::names::READY).map(|ready| ready.observed)
                == Some(self.meta.generation);
        self.shutdown.is_some_and(|shutdown| is_told || shutdown.at <= now)
    }
}

impl SandboxStatus {
    /// Returns whether the sandbox's user was told that it has expired.
    pub fn is_expired(&self) -> bool {
        self.condition(crate::names::READY).is_some_and(|ready| &*ready.reason == crate::names::EXPIRED)
    }

    /// Returns the condition of this type.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| &*condition.kind == kind)
    }
}

impl ClaimStatus {
    /// Returns the condition of this type.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| &*condition.kind == kind)
    }

    /// Returns whether the claim's user was told that the sandbox can be used.
    pub fn is_ready(&self) -> bool {
        self.condition(crate::names::READY).is_some_and(|condition| condition.status == Truth::True)
    }
}
