//! Changes: applied to an object here, rendered for the wire in [`wire`](crate::wire).

use alloc::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::Text;
use crate::object::{ClaimStatus, Labels, Object, Owner, PoolStatus, SandboxStatus};

/// One change of one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Set a label, or remove it.
    Label(Text, Option<Text>),
    /// Set an annotation, or remove it.
    Annotation(Text, Option<Text>),
    /// Replace all owner references by this controller.
    Owner(Owner),
    /// Set a label of the sandbox's pod template, or remove it.
    PodLabel(Text, Option<Text>),
    /// Set an annotation of the sandbox's pod template, or remove it.
    PodAnnotation(Text, Option<Text>),
    /// Replace a claim's status.
    ClaimStatus(ClaimStatus),
    /// Replace a pool's status.
    PoolStatus(PoolStatus),
    /// Replace a sandbox's status.
    SandboxStatus(SandboxStatus),
}

impl Change {
    /// Returns whether the change concerns the spec, whose changes the server counts in `metadata.generation`.
    pub const fn is_spec(&self) -> bool {
        matches!(self, Self::PodLabel(..) | Self::PodAnnotation(..))
    }

    /// Makes the change. One that does not fit the object's kind changes nothing, as on the server.
    pub fn apply(&self, object: &mut Object) {
        match (self, &mut *object) {
            (Self::Label(key, value), object) => set(&mut object.meta_mut().labels, key, value.as_ref()),
            (Self::Annotation(key, value), object) => {
                set(&mut object.meta_mut().annotations, key, value.as_ref())
            }
            (Self::Owner(owner), object) => object.meta_mut().owner = Some(owner.clone()),
            (Self::PodLabel(key, value), Object::Sandbox(sandbox)) => {
                set(&mut Arc::make_mut(sandbox).pod.labels, key, value.as_ref());
            }
            (Self::PodAnnotation(key, value), Object::Sandbox(sandbox)) => {
                set(&mut Arc::make_mut(sandbox).pod.annotations, key, value.as_ref());
            }
            (Self::ClaimStatus(status), Object::Claim(claim)) => Arc::make_mut(claim).status = status.clone(),
            (Self::PoolStatus(status), Object::Pool(pool)) => Arc::make_mut(pool).status = status.clone(),
            (Self::SandboxStatus(status), Object::Sandbox(sandbox)) => {
                Arc::make_mut(sandbox).status = status.clone();
            }
            _ => {}
        }
    }
}

fn set(labels: &mut Labels, key: &Text, value: Option<&Text>) {
    match value {
        Some(value) => {
            labels.insert(key.clone(), value.clone());
        }
        None => {
            labels.remove(key);
        }
    }
}
