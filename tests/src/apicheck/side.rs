//! One of the two servers, as a client knows it, and its answers in a form in which they can be compared.

use std::collections::BTreeMap;

use agent_sandbox_core::id::{Kind, Uid, Version};
use agent_sandbox_core::object::Object;
use agent_sandbox_core::wire;
use serde_json::Value;

use super::sequence::Seen;

/// The number of the name that the server chooses.
pub(super) const GENERATED: u8 = 9;

/// What one of the servers has shown.
#[derive(Default)]
pub(super) struct Side {
    /// The states that answers have shown, for each name.
    shown: BTreeMap<(Kind, u8), Vec<Object>>,
    /// The last of them, as it was written.
    bodies: BTreeMap<(Kind, u8), Value>,
    /// The names that the server has chosen, in their order.
    generated: BTreeMap<Kind, Vec<String>>,
    uids: Vec<String>,
    versions: Vec<String>,
}

impl Side {
    pub(super) fn shown(&self, kind: Kind, name: u8) -> &[Object] {
        self.shown.get(&(kind, name)).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn body(&self, kind: Kind, name: u8) -> Option<&Value> {
        self.bodies.get(&(kind, name))
    }

    pub(super) fn uid(&self, kind: Kind, name: u8, seen: Seen) -> Option<Uid> {
        seen.uid(self.shown(kind, name))
    }

    pub(super) fn version(&self, kind: Kind, name: u8, seen: Seen) -> Option<Version> {
        seen.version(self.shown(kind, name))
    }

    /// Returns the name that has a number.
    pub(super) fn name(&self, kind: Kind, name: u8) -> String {
        let generated = self.generated.get(&kind).filter(|_| name == GENERATED);
        generated.and_then(|names| names.last()).cloned().unwrap_or_else(|| format!("n{name}"))
    }

    /// Returns a side that has seen no state, and knows the names that the server has chosen.
    pub(super) fn of_names(&self) -> Self {
        Self { generated: self.generated.clone(), ..Self::default() }
    }

    /// Notes what an answer shows of an object.
    pub(super) fn learn(&mut self, kind: Kind, name: u8, body: &Value) {
        let Ok(object) = wire::decode(kind, &body.to_string()) else { return };
        let text = object.key().name.to_string();
        let names = self.generated.entry(kind).or_default();
        if name == GENERATED && !names.contains(&text) {
            names.push(text);
        }
        self.shown.entry((kind, name)).or_default().push(object);
        self.bodies.insert((kind, name), body.clone());
    }

    /// Puts numbers in the place of what each server chooses for itself.
    pub(super) fn number(&mut self, kind: Kind, body: &mut Value) {
        let meta = &mut body["metadata"];
        for (field, known) in [("uid", &mut self.uids), ("resourceVersion", &mut self.versions)] {
            if let Some(text) = meta[field].as_str().map(str::to_owned) {
                let place = known.iter().position(|other| *other == text).unwrap_or_else(|| {
                    known.push(text);
                    known.len() - 1
                });
                meta[field] = format!("{field} {}", place + 1).into();
            }
        }
        for field in ["creationTimestamp", "deletionTimestamp"] {
            if !meta[field].is_null() {
                meta[field] = "some time".into();
            }
        }
        let names = self.generated.get(&kind).map(Vec::as_slice).unwrap_or_default();
        if let Some(place) = names.iter().position(|name| meta["name"] == **name) {
            meta["name"] = format!("generated {}", place + 1).into();
        }
        if let Value::Object(meta) = meta {
            meta.retain(|field, value| field != "managedFields" && !value.is_null());
        }
    }
}
