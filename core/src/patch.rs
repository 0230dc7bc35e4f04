//! Changes: applied to an object here, rendered for the wire in [`wire`](crate::wire).

use alloc::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::Text;
use crate::object::{ClaimStatus, Json, Labels, Meta, Object, Owner, PoolStatus, SandboxStatus};

/// One change of one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Set a label, or remove it.
    Label(Text, Option<Text>),
    /// Set an annotation, or remove it.
    Annotation(Text, Option<Text>),
    /// Replace all owner references by this controller.
    Owner(Owner),
    /// Keep these beside the controller: those that were there beside the former one.
    CoOwners(Json),
    /// Set a label of the sandbox's pod template, or remove it.
    PodLabel(Text, Option<Text>),
    /// Set an annotation of the sandbox's pod template, or remove it.
    PodAnnotation(Text, Option<Text>),
    /// Merge this into the spec of a Service, a volume claim or a network policy (RFC 7396).
    Spec(Json),
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
        matches!(self, Self::PodLabel(..) | Self::PodAnnotation(..) | Self::Spec(_))
    }

    /// Returns what makes an object somebody's who is not its controller so far. References of others stay.
    pub fn owned(meta: &Meta, by: Owner) -> impl Iterator<Item = Self> {
        [Self::Owner(by)].into_iter().chain(meta.co_owners.clone().map(Self::CoOwners))
    }

    /// Makes the change. One that does not fit the object's kind changes nothing, as on the server.
    pub fn apply(&self, object: &mut Object) {
        match (self, &mut *object) {
            (Self::Label(key, value), object) => set(&mut object.meta_mut().labels, key, value.as_ref()),
            (Self::Annotation(key, value), object) => {
                set(&mut object.meta_mut().annotations, key, value.as_ref())
            }
            (Self::Owner(owner), object) => {
                let meta = object.meta_mut();
                (meta.owner, meta.co_owners) = (Some(owner.clone()), None);
            }
            (Self::CoOwners(others), object) => object.meta_mut().co_owners = Some(others.clone()),
            (Self::PodLabel(key, value), Object::Sandbox(sandbox)) => {
                set(&mut Arc::make_mut(sandbox).pod.labels, key, value.as_ref());
            }
            (Self::PodAnnotation(key, value), Object::Sandbox(sandbox)) => {
                set(&mut Arc::make_mut(sandbox).pod.annotations, key, value.as_ref());
            }
            (
                Self::Spec(patch),
                Object::Service(it) | Object::VolumeClaim(it) | Object::NetworkPolicy(it),
            ) => {
                let mut spec = it.spec.value();
                merge(&mut spec, &patch.value());
                Arc::make_mut(it).spec = Json::from(&spec);
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

/// Merges a patch into a value as RFC 7396 says: null removes, objects are merged, everything else is replaced.
pub fn merge(value: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *value = patch.clone();
        return;
    };
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let Some(fields) = value.as_object_mut() else { return };
    for (key, change) in patch {
        if change.is_null() {
            fields.remove(key);
        } else {
            merge(fields.entry(key.clone()).or_insert(Value::Null), change);
        }
    }
}

/// Returns the merge patch that makes `to` of `from`; `None` when they are the same.
pub(crate) fn merge_difference(from: &Value, to: &Value) -> Option<Value> {
    if from == to {
        return None;
    }
    let (Value::Object(before), Value::Object(after)) = (from, to) else { return Some(to.clone()) };
    let removed = before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let changed = after.iter().filter_map(|(key, value)| {
        let change = before.get(key).map_or_else(|| Some(value.clone()), |old| merge_difference(old, value));
        Some((key.clone(), change?))
    });
    Some(Value::Object(removed.chain(changed).collect()))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_difference_merged_into_the_old_value_makes_the_new_one() {
        let values = [
            json!({}),
            json!({ "a": 1, "b": { "c": [1, 2], "d": 3 } }),
            json!({ "a": [1], "b": { "c": [2] } }),
            json!({ "b": "text" }),
        ];
        for from in &values {
            for to in &values {
                let mut merged = from.clone();
                match merge_difference(from, to) {
                    None => assert_eq!(from, to),
                    Some(patch) => merge(&mut merged, &patch),
                }
                assert_eq!(&merged, to, "from {from}");
            }
        }
    }

    #[test]
    fn a_difference_names_only_what_differs() {
        let from = json!({ "same": { "x": 1 }, "gone": 1, "list": [1] });
        let to = json!({ "same": { "x": 1 }, "list": [2] });
        assert_eq!(merge_difference(&from, &to), Some(json!({ "gone": null, "list": [2] })));
    }
}
