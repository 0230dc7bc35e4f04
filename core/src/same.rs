//! Whether a sandbox is what its template would make: by meaning, not by text (STL-005).
//!
//! A member may have been written by another version of this program, or by the original, which reads a template into
//! types and writes what it has read. So two texts mean the same where one leaves out what is empty, or what a server
//! would fill in, or writes `1000m` for `1`. Where the API tells absent from empty (an empty selector selects
//! everything), so does this comparison. What is not in these lists is compared as it is: a field of the next
//! Kubernetes version counts, too.

use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Value};

use crate::names;
use crate::object::{Blueprint, Json, Sandbox, Template};

/// Switches whose absence means `false`. Of all others absence means something else, or nothing certain.
///
/// Source: the fields of `k8s.io/api/core/v1` with `omitempty` that are no pointers.
const FALSE_IS_ABSENT: &[&str] =
    &["hostIPC", "hostNetwork", "hostPID", "optional", "readOnly", "stdin", "stdinOnce", "tty"];

/// Numbers whose absence means zero. Source: as above.
const ZERO_IS_ABSENT: &[&str] = &[
    "failureThreshold",
    "hostPort",
    "initialDelaySeconds",
    "partition",
    "periodSeconds",
    "successThreshold",
    "timeoutSeconds",
];

/// Texts that may be empty on purpose: "no storage class" is not "the default one".
const EMPTY_TEXT_COUNTS: &[&str] = &["storageClassName", "volumeAttributesClassName"];

/// Structures that are written even where they say nothing.
const EMPTY_IS_ABSENT: &[&str] = &["metadata", "resources"];

/// Maps with keys of the user's own, where every entry counts.
const USER_MAPS: &[&str] =
    &["annotations", "labels", "matchLabels", "nodeSelector", "options", "volumeAttributes"];

/// Maps from a resource to a quantity.
const QUANTITY_MAPS: &[&str] = &["limits", "overhead", "requests"];

/// Quantities that stand alone. The original writes a divisor of zero, which means one, where none is given.
const QUANTITIES: &[&str] = &["divisor", "sizeLimit"];

/// What a server fills in: the field around, the field, the value.
///
/// Source: the defaults in the schema of upstream's CRDs, which both objects meet, but not always on the same server.
const DEFAULTS: &[(&str, &str, &str)] = &[
    ("azureDisk", "fsType", "ext4"),
    ("iscsi", "iscsiInterface", "default"),
    ("ports", "protocol", "TCP"),
    ("rbd", "keyring", "/etc/ceph/keyring"),
    ("rbd", "pool", "rbd"),
    ("rbd", "user", "admin"),
    ("scaleIO", "fsType", "xfs"),
    ("scaleIO", "storageMode", "ThinProvisioned"),
];

/// Returns whether a sandbox bears the mark of this very blueprint: then nobody needs to compare.
///
/// Only a mark that our own pool has put there says anything (STL-002).
pub(crate) fn bears_mark(sandbox: &Sandbox, blueprint: &Blueprint) -> bool {
    sandbox.meta.label(names::TEMPLATE_HASH) == Some(&blueprint.hash)
}

/// Returns whether a sandbox says that it was made from the template of this name (STL-001).
pub(crate) fn names_template(sandbox: &Sandbox, template: &Template) -> bool {
    let hash = names::name_hash(&template.meta.key.name);
    sandbox.meta.label(names::TEMPLATE_REF_HASH) == Some(&hash)
}

/// Returns whether a sandbox is what this blueprint makes (STL-005). Labels and annotations do not count: they change
/// hands with the sandbox.
pub(crate) fn is_made_of(sandbox: &Sandbox, blueprint: &Blueprint) -> bool {
    // Every field is named, so that a new one asks here whether it counts (STL-006).
    let Blueprint { pod: _, pod_spec, volume_claims, service, hash: _, pod_hash: _ } = blueprint;
    sandbox.service == *service
        && means_the_same(&sandbox.pod_spec, pod_spec)
        && claims(sandbox.volume_claims.as_ref()) == claims(volume_claims.as_ref())
}

fn means_the_same(one: &Json, other: &Json) -> bool {
    one == other || normal("", "spec", one.value()) == normal("", "spec", other.value())
}

/// Returns what counts of volume claims, in their order: names and specs.
fn claims(list: Option<&Json>) -> Vec<(String, Option<Value>)> {
    let Some(Value::Array(items)) = list.map(Json::value) else { return Vec::new() };
    let claim = |mut item: Value| {
        let name = item["metadata"]["name"].as_str().unwrap_or_default().into();
        (name, normal("", "spec", item["spec"].take()))
    };
    items.into_iter().map(claim).collect()
}

/// Returns the one form of all values that mean the same; `None` for those that mean no more than absence.
fn normal(around: &str, key: &str, value: Value) -> Option<Value> {
    if QUANTITIES.contains(&key) {
        return Some(quantity(value)).filter(|value| key != "divisor" || value.as_str() != Some("0n"));
    }
    match value {
        Value::Null => None,
        Value::Bool(false) if FALSE_IS_ABSENT.contains(&key) => None,
        Value::Number(number) if number.as_i64() == Some(0) && ZERO_IS_ABSENT.contains(&key) => None,
        Value::String(text) if text.is_empty() && !EMPTY_TEXT_COUNTS.contains(&key) => None,
        Value::String(text) if DEFAULTS.contains(&(around, key, &text)) => None,
        Value::Array(items) if items.is_empty() => None,
        Value::Array(items) => Some(items.into_iter().map(|item| element(key, item)).collect()),
        Value::Object(fields) if QUANTITY_MAPS.contains(&key) => {
            some(fields.into_iter().map(|(name, value)| (name, quantity(value))).collect())
        }
        Value::Object(fields) if USER_MAPS.contains(&key) => some(fields),
        Value::Object(fields) => {
            Some(structure(key, fields)).filter(|fields| !is_empty(fields) || !EMPTY_IS_ABSENT.contains(&key))
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => Some(value),
    }
}

/// An item of a list is there, however little it says.
fn element(list: &str, item: Value) -> Value {
    match item {
        Value::Object(fields) => structure(list, fields),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => item,
    }
}

fn structure(name: &str, fields: Map<String, Value>) -> Value {
    let kept = fields.into_iter().filter_map(|(key, value)| {
        let value = normal(name, &key, value)?;
        Some((key, value))
    });
    Value::Object(kept.collect())
}

fn some(fields: Map<String, Value>) -> Option<Value> {
    (!fields.is_empty()).then_some(Value::Object(fields))
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty)
}

/// Returns a quantity in billionths, or as it is where it is none.
fn quantity(value: Value) -> Value {
    let text = match &value {
        Value::Number(number) => alloc::format!("{number}"),
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return value,
    };
    match billionths(&text) {
        Some(amount) => alloc::format!("{amount}n").into(),
        None => value,
    }
}

/// Reads a Kubernetes quantity, such as `1.5Gi`, `100m` or `2e3`.
///
/// **Unit**: 1e-9; what is smaller is rounded up, as Kubernetes does.
fn billionths(text: &str) -> Option<i128> {
    let end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '+' | '-')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (times, exponent): (i128, i32) = match suffix {
        "n" => (1, -9),
        "u" => (1, -6),
        "m" => (1, -3),
        "" => (1, 0),
        "k" => (1, 3),
        "M" => (1, 6),
        "G" => (1, 9),
        "T" => (1, 12),
        "P" => (1, 15),
        "E" => (1, 18),
        "Ki" => (1 << 10, 0),
        "Mi" => (1 << 20, 0),
        "Gi" => (1 << 30, 0),
        "Ti" => (1 << 40, 0),
        "Pi" => (1 << 50, 0),
        "Ei" => (1 << 60, 0),
        _ => (1, suffix.strip_prefix(['e', 'E'])?.parse().ok().filter(|e: &i32| e.abs() <= 30)?),
    };
    let negative = number.starts_with('-');
    let (whole, part) = number
        .trim_start_matches(['+', '-'])
        .split_once('.')
        .unwrap_or((number.trim_start_matches(['+', '-']), ""));
    let digits = alloc::format!("{whole}{part}");
    let value = digits.parse::<i128>().ok()?.checked_mul(times)?;
    let shift = exponent + 9 - i32::try_from(part.len()).ok()?;
    let power = 10_i128.checked_pow(shift.unsigned_abs())?;
    let amount = if shift >= 0 { value.checked_mul(power)? } else { (value + power - 1) / power };
    Some(if negative { -amount } else { amount })
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    fn same(one: Value, other: Value) -> bool {
        normal("", "spec", one) == normal("", "spec", other)
    }

    fn with(field: &str, value: Value) -> Value {
        serde_json::json!({ "containers": [{ "name": "main", field: value }] })
    }

    /// STL-005, ACC-193: what the original leaves out when it copies a template, and what a server fills in, is no
    /// difference. ADP-012.
    #[test]
    fn what_is_absent_means_what_is_empty() {
        use serde_json::json;
        let plain = json!({ "containers": [{ "name": "main" }] });
        for (field, value) in [
            ("resources", json!({})),
            ("resources", json!({ "limits": {}, "requests": null })),
            ("command", json!([])),
            ("workingDir", json!("")),
            ("tty", json!(false)),
            ("env", Value::Null),
        ] {
            assert!(same(with(field, value.clone()), plain.clone()), "{field}={value}");
        }
        let ports = |port: Value| with("ports", json!([port]));
        assert!(same(
            ports(json!({ "containerPort": 80, "protocol": "TCP", "hostPort": 0 })),
            ports(json!({ "containerPort": 80 }))
        ));
        let field = |divisor: Value| {
            with("env", json!([{ "name": "A", "valueFrom": { "resourceFieldRef": divisor } }]))
        };
        assert!(same(
            field(json!({ "resource": "limits.cpu", "divisor": "0" })),
            field(json!({ "resource": "limits.cpu" }))
        ));
    }

    /// STL-005, STL-006: this does not compile with a field more, until somebody has said whether that counts.
    #[test]
    fn every_field_of_a_blueprint_counts_or_is_none_that_should() {
        let template = crate::rules::testing::template("tpl", &[]);
        let key = crate::id::Key::new("ns", "s1");
        let owner = crate::object::Owner::new(crate::id::Kind::Template, &template.meta);
        let made = crate::make::from_template(&template, key, owner);
        let plain = &*template.blueprint;
        assert!(is_made_of(&made, plain));
        let json = |value: Value| Json::from(&value);
        let Blueprint { pod: _, pod_spec: _, volume_claims: _, service: _, hash: _, pod_hash: _ } = plain;
        let pod_spec = json(serde_json::json!({ "hostname": "a" }));
        let volume_claims = Some(json(serde_json::json!([{ "metadata": { "name": "a" }, "spec": {} }])));
        for other in [
            Blueprint { pod_spec, ..plain.clone() },
            Blueprint { volume_claims, ..plain.clone() },
            Blueprint { service: Some(true), ..plain.clone() },
            Blueprint { service: Some(false), ..plain.clone() },
        ] {
            assert!(!is_made_of(&made, &other), "{other:?}");
        }
        let mut pod = plain.pod.clone();
        pod.labels.insert("a".into(), "b".into());
        for same in [
            Blueprint { pod, ..plain.clone() },
            Blueprint { hash: "another".into(), ..plain.clone() },
            Blueprint { pod_hash: "another".into(), ..plain.clone() },
        ] {
            assert!(is_made_of(&made, &same), "{same:?}");
        }
    }

    /// What the API tells apart stays apart: an empty selector selects everything, an empty storage class is none.
    #[test]
    fn what_may_be_empty_on_purpose_is_a_difference() {
        use serde_json::json;
        for (one, other) in [
            (json!({ "nodeSelector": { "gpu": "" } }), json!({})),
            (json!({ "storageClassName": "" }), json!({})),
            (json!({ "labelSelector": {} }), json!({})),
            (json!({ "enableServiceLinks": false }), json!({})),
            (
                json!({ "automountServiceAccountToken": true }),
                json!({ "automountServiceAccountToken": false }),
            ),
            (json!({ "dnsPolicy": "Default" }), json!({ "dnsPolicy": "ClusterFirst" })),
            (with("command", json!([""])), with("command", json!([]))),
            (with("image", json!("a:1")), with("image", json!("a:2"))),
            (with("aFieldOfNextYear", json!(1)), with("aFieldOfNextYear", json!(2))),
        ] {
            assert!(!same(one.clone(), other.clone()), "{one} {other}");
        }
    }

    #[test]
    fn quantities_are_amounts() {
        use serde_json::json;
        let limits = |cpu: Value| with("resources", json!({ "limits": { "cpu": cpu } }));
        for (one, other) in [("1", "1000m"), ("1Gi", "1024Mi"), ("0.5", "500m"), ("1e3", "1k"), ("+1", "1.0")]
        {
            assert!(same(limits(one.into()), limits(other.into())), "{one} {other}");
        }
        assert!(same(limits(json!(2)), limits("2".into())));
        for (one, other) in [("1", "1001m"), ("1G", "1Gi"), ("some", "none"), ("1", "-1")] {
            assert!(!same(limits(one.into()), limits(other.into())), "{one} {other}");
        }
    }

    /// ACC-199: volume claims are compared one by one: number, order, names and specs, but not their labels.
    #[test]
    fn volume_claims_are_compared_in_their_order() {
        let list =
            |text: &str| Json::new(serde_json::value::RawValue::from_string(text.to_string()).unwrap());
        let same = |one: &str, other: &str| claims(Some(&list(one))) == claims(Some(&list(other)));
        let a = r#"{"metadata":{"name":"a"},"spec":{"resources":{"requests":{"storage":"1Gi"}}}}"#;
        let labelled = r#"{"metadata":{"name":"a","labels":{"x":"y"}},"spec":{"resources":{"requests":{"storage":"1024Mi"}}}}"#;
        let b = r#"{"metadata":{"name":"b"},"spec":{"storageClassName":"fast"}}"#;
        let slow = r#"{"metadata":{"name":"b"},"spec":{"storageClassName":"slow"}}"#;
        assert!(same(&alloc::format!("[{a},{b}]"), &alloc::format!("[{labelled},{b}]")));
        for other in [alloc::format!("[{b},{a}]"), alloc::format!("[{a}]"), alloc::format!("[{a},{slow}]")] {
            assert!(!same(&alloc::format!("[{a},{b}]"), &other), "{other}");
        }
        assert_eq!(claims(None), claims(Some(&list("[]"))));
    }
}
