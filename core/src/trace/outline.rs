//! What a trace keeps of Pod specs and volume claims: what decisions read, and hashes of everything else.
//!
//! An outline of an outline is the same outline, and what is added to an outline has the outline that it would have had
//! in the original. So a replay of outlines decides the same, and gives the outlines of what was decided.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};

use serde_json::{Map, Value};

use crate::id::hash_text;
use crate::object::Json;

/// The field that stands for all that is not kept.
const REST: &str = "rest";

/// Returns the outline of a Pod spec.
pub(super) fn pod_spec(spec: &Json) -> Json {
    outline(spec, |spec| {
        let fields = spec.as_object_mut()?;
        let mut kept = Map::new();
        for (list, keep) in [
            ("initContainers", container as fn(Map<String, Value>) -> Map<String, Value>),
            ("containers", container),
            ("volumes", named),
        ] {
            if let Some(Value::Array(items)) = fields.remove(list) {
                kept.insert(list.into(), items.into_iter().map(|item| object(item, keep)).collect());
            }
        }
        add_rest(&mut kept, core::mem::take(fields));
        Some(Value::Object(kept))
    })
}

/// Returns the outline of a list of volume claims.
pub(super) fn volume_claims(claims: &Json) -> Json {
    outline(claims, |claims| {
        let items = claims.as_array_mut()?;
        Some(items.drain(..).map(|item| object(item, claim)).collect())
    })
}

/// Returns `#` and 32 hex digits; a text of that shape stays what it is.
pub(super) fn hashed(text: &str) -> String {
    let is_hash =
        text.len() == 33 && text.starts_with('#') && text[1..].bytes().all(|b| b.is_ascii_hexdigit());
    if is_hash { text.to_owned() } else { format!("#{:032x}", hash_text(text)) }
}

/// What is not of the expected shape becomes a hash altogether.
fn outline(json: &Json, keep: impl FnOnce(&mut Value) -> Option<Value>) -> Json {
    let mut value: Value = serde_json::from_str(json.text()).unwrap_or_default();
    let kept = keep(&mut value).unwrap_or_else(|| hash_of(&value));
    Json::new(serde_json::value::to_raw_value(&kept).expect("what was read as JSON can be written"))
}

fn object(item: Value, keep: fn(Map<String, Value>) -> Map<String, Value>) -> Value {
    if let Value::Object(fields) = item { Value::Object(keep(fields)) } else { hash_of(&item) }
}

fn container(mut fields: Map<String, Value>) -> Map<String, Value> {
    let mut kept = Map::new();
    if let Some(Value::Array(sources)) = fields.remove("envFrom") {
        kept.insert("envFrom".into(), sources.iter().map(|_| Value::Object(Map::new())).collect());
    }
    if let Some(Value::Array(env)) = fields.remove("env") {
        kept.insert("env".into(), env.into_iter().map(|entry| object(entry, variable)).collect());
    }
    // Of these a sandbox's Service is made.
    for field in ["ports", "restartPolicy"] {
        kept.extend(fields.remove(field).map(|value| (field.into(), value)));
    }
    kept.extend(named(fields));
    kept
}

/// A variable without a value has the empty one.
fn variable(mut fields: Map<String, Value>) -> Map<String, Value> {
    let mut kept = Map::new();
    if let Some(name) = fields.remove("name") {
        kept.insert("name".into(), name);
    }
    let value = match fields.remove("value") {
        Some(Value::String(value)) if fields.is_empty() => hashed(&value),
        None if fields.is_empty() => hashed(""),
        value => hashed(&format!("{value:?}{}", Value::Object(fields))),
    };
    kept.insert("value".into(), value.into());
    kept
}

/// Returns what stands for something of which nothing is kept.
pub(super) fn whole(json: &Json) -> Json {
    outline(json, |_| None)
}

/// Of a volume claim its name and its labels stay, which rules read, and hashes of its annotations and its spec: nobody
/// can say what a driver has its users write there. The volume claims that a sandbox's controller makes are copies, so a
/// trace shows the same hashes for them.
fn claim(mut fields: Map<String, Value>) -> Map<String, Value> {
    let mut kept = Map::new();
    if let Some(Value::Object(mut metadata)) = fields.remove("metadata") {
        let mut copied = Map::new();
        for field in ["name", "labels"] {
            copied.extend(metadata.remove(field).map(|value| (field.into(), value)));
        }
        if let Some(Value::Object(annotations)) = metadata.remove("annotations") {
            let hashes = annotations.into_iter().map(|(key, value)| (key, hash_of(&value))).collect();
            copied.insert("annotations".into(), Value::Object(hashes));
        }
        add_rest(&mut copied, metadata);
        kept.insert("metadata".into(), Value::Object(copied));
    }
    kept.extend(fields.remove("spec").map(|spec| ("spec".into(), hash_of(&spec))));
    add_rest(&mut kept, fields);
    kept
}

fn named(mut fields: Map<String, Value>) -> Map<String, Value> {
    let mut kept = Map::new();
    kept.extend(fields.remove("name").map(|name| ("name".into(), name)));
    add_rest(&mut kept, fields);
    kept
}

/// Adds a hash of the fields, unless they are that hash already, or nothing.
fn add_rest(kept: &mut Map<String, Value>, mut fields: Map<String, Value>) {
    if fields.is_empty() {
        return;
    }
    let rest = match (fields.len(), fields.remove(REST)) {
        (1, Some(Value::String(rest))) => rest,
        (_, rest) => {
            fields.extend(rest.map(|rest| (REST.into(), rest)));
            Value::Object(fields).to_string()
        }
    };
    kept.insert(REST.into(), hashed(&rest).into());
}

fn hash_of(value: &Value) -> Value {
    value.as_str().map_or_else(|| hashed(&value.to_string()), hashed).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_and_nothing_else_is() {
        let spec = json(
            r#"{"containers":[{"name":"main","image":"secret","envFrom":[{"secretRef":{"name":"secret"}}],
            "env":[{"name":"A","value":"secret"},{"name":"B","valueFrom":{"secretKeyRef":{"key":"secret"}}}]}],
            "volumes":[{"name":"data","hostPath":{"path":"secret"}}],"nodeName":"secret"}"#,
        );
        let kept = pod_spec(&spec);
        assert!(!kept.text().contains("secret"), "{}", kept.text());
        for name in ["main", "\"A\"", "\"B\"", "data"] {
            assert!(kept.text().contains(name), "{name}: {}", kept.text());
        }
        assert_eq!(pod_spec(&kept), kept);
    }

    #[test]
    fn what_is_added_to_an_outline_has_the_outline_that_it_would_have_had() {
        let outline = pod_spec(&json(r#"{"containers":[{"name":"main","image":"i"}],"x":1}"#));
        let mut added: Value = serde_json::from_str(outline.text()).unwrap();
        added["containers"][0]["env"] = serde_json::json!([{ "name": "A", "value": hashed("1") }]);
        let whole = pod_spec(&json(
            r#"{"containers":[{"name":"main","image":"i","env":[{"name":"A","value":"1"}]}],"x":1}"#,
        ));
        assert_eq!(pod_spec(&json(&added.to_string())), whole);
    }

    #[test]
    fn volume_claims_keep_their_names_and_labels() {
        let kept = volume_claims(&json(
            r#"[{"metadata":{"name":"b","labels":{"a":"1"},"annotations":{"c":"secret"},"x":"secret"},
            "spec":{"parameters":"secret"},"y":"secret"},{"spec":{}}]"#,
        ));
        assert!(
            kept.text().contains(r#""labels":{"a":"1"}"#) && kept.text().contains("\"c\""),
            "{}",
            kept.text()
        );
        assert!(kept.text().contains("\"b\"") && !kept.text().contains("secret"), "{}", kept.text());
        assert_eq!(volume_claims(&kept), kept);
    }

    #[test]
    fn what_has_another_shape_becomes_a_hash() {
        let kept = pod_spec(&json("[1]"));
        assert!(kept.text().starts_with("\"#"), "{}", kept.text());
        assert_eq!(pod_spec(&kept), kept);
    }

    fn json(text: &str) -> Json {
        Json::new(serde_json::from_str(text).unwrap())
    }
}
