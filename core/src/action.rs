//! What may leave a [`Machine`](crate::machine::Machine): actions, in the imperative.

use alloc::sync::Arc;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::id::{ActionId, Key, Kind, Text, Uid, Version};
use crate::object::Object;
use crate::patch::Change;

/// One thing to do, to be answered once by [`Event::ActionDone`](crate::event::Event::ActionDone).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// Names it in the answer.
    pub id: ActionId,
    /// What it is for.
    pub intent: Intent,
    /// What to send.
    pub operation: Arc<Operation>,
}

/// What an action is for: the name by which people know it in logs, metrics, stories and traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Intent {
    /// Write the chosen member's name on the claim, before anything else happens to either.
    RecordAssignment,
    /// Write the claim's own name on the claim: its sandbox will be made for it.
    RecordColdStart,
    /// Take the record off a claim whose member is lost for good.
    ClearAssignment,
    /// Make the claim the owner of the recorded member.
    AdoptSandbox,
    /// Make a sandbox for one claim.
    CreateClaimSandbox,
    /// Bring the labels of a claim's sandbox, and the metadata of its Pod, in line with the claim; or those of a member with
    /// what members have.
    LabelSandbox,
    /// Tell the claim's user.
    SetClaimStatus,
    /// Tell the claim's user that it has expired, which decides it.
    MarkExpired,
    /// Delete a claim that has expired.
    DeleteClaim,
    /// Delete the sandbox of a claim that has expired and stays.
    DeleteClaimSandbox,
    /// Note on the claim when it was first ready.
    StampFirstReady,
    /// Make one more member.
    CreateMember,
    /// Delete a member that is too many, or that nobody may adopt.
    DeleteMember,
    /// Tell the pool's owner.
    SetPoolStatus,
    /// Start a sandbox's Pod.
    CreatePod,
    /// Make a sandbox the owner of a Pod that was prepared for it.
    AdoptPod,
    /// Delete a Pod of a sandbox that is to have none.
    DeletePod,
    /// Bring a Pod's labels and annotations in line with its sandbox.
    LabelPod,
    /// Note on the sandbox which Pod is its own.
    NamePod,
    /// Tell the sandbox's user.
    SetSandboxStatus,
    /// Delete a sandbox that has expired.
    DeleteSandbox,
    /// Make a sandbox's Service.
    CreateService,
    /// Bring a Service in line with its sandbox, or make the sandbox its owner.
    SetService,
    /// Delete the Service of a sandbox that is to have none.
    DeleteService,
    /// Make a volume claim of a sandbox.
    CreateVolumeClaim,
    /// Make a sandbox the owner of a volume claim that was prepared for it.
    AdoptVolumeClaim,
    /// Label a template with the hash of its name.
    LabelTemplate,
    /// Close a template's sandboxes off from the cluster.
    CreateNetworkPolicy,
    /// Bring a network policy in line with its template.
    SetNetworkPolicy,
    /// Delete the network policy of a template that wants none.
    DeleteNetworkPolicy,
    /// Read an object from the server itself.
    Look,
    /// Write a Kubernetes Event.
    Notify,
}

impl Intent {
    /// Every intent.
    pub const ALL: [Self; 32] = [
        Self::RecordAssignment,
        Self::RecordColdStart,
        Self::ClearAssignment,
        Self::AdoptSandbox,
        Self::CreateClaimSandbox,
        Self::LabelSandbox,
        Self::SetClaimStatus,
        Self::MarkExpired,
        Self::DeleteClaim,
        Self::DeleteClaimSandbox,
        Self::StampFirstReady,
        Self::CreateMember,
        Self::DeleteMember,
        Self::SetPoolStatus,
        Self::CreatePod,
        Self::AdoptPod,
        Self::DeletePod,
        Self::LabelPod,
        Self::NamePod,
        Self::SetSandboxStatus,
        Self::DeleteSandbox,
        Self::CreateService,
        Self::SetService,
        Self::DeleteService,
        Self::CreateVolumeClaim,
        Self::AdoptVolumeClaim,
        Self::LabelTemplate,
        Self::CreateNetworkPolicy,
        Self::SetNetworkPolicy,
        Self::DeleteNetworkPolicy,
        Self::Look,
        Self::Notify,
    ];
}

/// What to ask of the API server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Create this object under the name it carries.
    Create(Object),
    /// Change one object, if it is still the one and the state that the decision saw.
    Patch(Patch),
    /// Delete one object, likewise.
    Delete {
        /// Which object.
        target: Target,
        /// The state that the decision saw; the server refuses another.
        version: Option<Version>,
        /// What goes first.
        #[serde(default)]
        propagation: Propagation,
    },
    /// Read whatever holds this name, from the server itself.
    Get {
        /// Which kind.
        kind: Kind,
        /// Which name.
        key: Key,
    },
    /// Write a Kubernetes Event.
    Notify(Notice),
}

/// In which order an object goes and what it owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    /// The object at once, what it owns after it.
    #[default]
    Background,
    /// What it owns first: until that is gone the object is there, terminating.
    Foreground,
}

/// One object: its place and its identity. A successor under the same name is another target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace and name.
    pub key: Key,
    /// Its identity; `None` only in a mutant.
    pub uid: Option<Uid>,
}

/// A locked change of one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch {
    /// Which object.
    pub target: Target,
    /// The state that the decision saw; the server refuses another. `None` only in a mutant.
    pub version: Option<Version>,
    /// Which part.
    pub part: Part,
    /// What changes.
    pub changes: Vec<Change>,
}

/// Which half of an object a patch may touch: the server ignores the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// Metadata and spec.
    Main,
    /// The `status` subresource.
    Status,
}

/// A Kubernetes Event (events.k8s.io/v1) about one of our objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The Event's own name.
    pub name: Text,
    /// The object it is about.
    pub regarding: Target,
    /// Whether something is wrong: `type` is `Warning` then, or else `Normal`.
    pub warning: bool,
    /// `reportingController`.
    pub reporter: Text,
    /// `reason`.
    pub reason: Text,
    /// `action`.
    pub action: Text,
    /// `note`.
    pub note: Text,
}

impl Operation {
    /// Returns the kind of the object it is about.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Create(object) => object.kind(),
            Self::Patch(patch) => patch.target.kind,
            Self::Delete { target, .. } => target.kind,
            Self::Get { kind, .. } => *kind,
            Self::Notify(notice) => notice.regarding.kind,
        }
    }

    /// Returns the name of the object it is about.
    pub fn key(&self) -> &Key {
        match self {
            Self::Create(object) => object.key(),
            Self::Patch(patch) => &patch.target.key,
            Self::Delete { target, .. } => &target.key,
            Self::Get { key, .. } => key,
            Self::Notify(notice) => &notice.regarding.key,
        }
    }

    /// Returns whether it tells a status.
    pub(crate) fn is_status(&self) -> bool {
        matches!(self, Self::Patch(patch) if patch.part == Part::Status)
    }

    /// Returns whether both create the same from the same. Members have names of their own, which do not count.
    pub(crate) fn makes_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Create(Object::Sandbox(a)), Self::Create(Object::Sandbox(b))) => {
                (&a.meta.labels, &a.meta.owner, &a.pod, &a.pod_spec, &a.volume_claims, a.service)
                    == (&b.meta.labels, &b.meta.owner, &b.pod, &b.pod_spec, &b.volume_claims, b.service)
            }
            (Self::Create(a), Self::Create(b)) => a == b,
            _ => false,
        }
    }

    /// Returns whether both do the same to the same object, whatever they write there.
    pub(crate) fn is_to_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Create(a), Self::Create(b)) => (a.kind(), a.key()) == (b.kind(), b.key()),
            (Self::Patch(a), Self::Patch(b)) => (a.target.uid, a.part) == (b.target.uid, b.part),
            (Self::Delete { target: a, .. }, Self::Delete { target: b, .. }) => a.uid == b.uid,
            _ => false,
        }
    }

    /// Returns whether it may change a stored object of ours.
    pub const fn is_write(&self) -> bool {
        matches!(self, Self::Create(_) | Self::Patch(_) | Self::Delete { .. })
    }
}
