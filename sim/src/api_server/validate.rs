//! What the server refuses because of what it says: 422, and the field would be named.
//!
//! Source: `ValidateObjectMeta` and `ValidateObjectMetaUpdate` in k8s.io/apimachinery, and the schemas of the kinds, of both
//! as far as anybody here gets them wrong.

use agent_sandbox_core::id::Kind;
use agent_sandbox_core::object::{Meta, Object};
use serde_json::Value;

use super::Refused;
use super::kept::{FOREGROUND, Kept, ORPHAN};

/// Source: `DNS1123SubdomainMaxLength`, `DNS1123LabelMaxLength`, and the lengths of labels.
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// Judges the name, labels, annotations, owners and finalizers of an object.
pub(super) fn meta(kind: Kind, meta: &Meta) -> Result<(), Refused> {
    let kept = Kept::of(meta);
    let is_right = is_name(kind, &meta.key.name)
        && meta.labels.iter().all(|(key, value)| is_qualified(key) && is_label_value(value))
        && meta.annotations.iter().all(|(key, _)| is_qualified(&key.to_lowercase()))
        && meta.owner.as_ref().is_none_or(|owner| !owner.name.is_empty())
        && meta.co_owners.as_ref().is_none_or(|others| are_owners(&others.value()))
        && kept.finalizers.iter().all(|name| is_finalizer(kind, name))
        && !(kept.has(FOREGROUND) && kept.has(ORPHAN));
    if is_right { Ok(()) } else { Err(Refused::INVALID) }
}

/// Judges how the metadata of an object changes.
pub(super) fn change(old: &Meta, new: &Meta) -> Result<(), Refused> {
    let (before, after) = (Kept::of(old), Kept::of(new));
    let is_new = |name: &&_| !before.finalizers.contains(name);
    if old.terminating && after.finalizers.iter().any(|name| is_new(&name)) {
        return Err(Refused::INVALID);
    }
    Ok(())
}

/// Judges the spec of an object.
pub(super) fn spec(kind: Kind, spec: &Value) -> Result<(), Refused> {
    let text = |path: &str| spec.pointer(path).is_some_and(Value::is_string);
    let list = |path: &str| spec.pointer(path).is_some_and(Value::is_array);
    let one_of = |path: &str, values: &[&str]| {
        spec.pointer(path).is_none_or(|value| value.as_str().is_some_and(|value| values.contains(&value)))
    };
    let is_right = match kind {
        Kind::Claim => text("/warmPoolRef/name"),
        Kind::Pool => {
            text("/sandboxTemplateRef/name")
                && spec.get("replicas").is_none_or(|replicas| replicas.as_u64().is_some())
                && one_of("/updateStrategy/type", &["Recreate", "OnReplenish"])
        }
        Kind::Template => {
            list("/podTemplate/spec/containers")
                && one_of("/networkPolicyManagement", &["Managed", "Unmanaged"])
        }
        Kind::Sandbox => {
            list("/podTemplate/spec/containers")
                && one_of("/operatingMode", &["Running", "Suspended"])
                && one_of("/shutdownPolicy", &["Delete", "Retain"])
        }
        Kind::VolumeClaim => list("/accessModes") && text("/resources/requests/storage"),
        Kind::Pod | Kind::Service | Kind::NetworkPolicy => true,
    };
    if is_right { Ok(()) } else { Err(Refused::INVALID) }
}

/// Judges how the spec of an object changes.
pub(super) fn change_of_spec(kind: Kind, old: &Value, new: &Value) -> Result<(), Refused> {
    let same = |path: &str| old.pointer(path) == new.pointer(path);
    let is_right = match kind {
        Kind::Pod | Kind::VolumeClaim => old == new,
        Kind::Service => same("/clusterIP"),
        Kind::Sandbox => same("/volumeClaimTemplates"),
        Kind::Claim | Kind::Pool | Kind::Template | Kind::NetworkPolicy => true,
    };
    if is_right { Ok(()) } else { Err(Refused::INVALID) }
}

/// Returns whether names may begin like this: a dash at its end will not be at theirs.
pub(super) fn begins_name(kind: Kind, base: &str) -> bool {
    base.strip_suffix('-').map_or_else(|| is_name(kind, base), |rest| is_name(kind, &format!("{rest}a")))
}

/// Returns which field of an object that is to be created is wrong, of those that controllers could get wrong.
pub(super) fn flaw(draft: &Object) -> Option<&'static str> {
    if !is_name(draft.kind(), &draft.key().name) {
        return Some("metadata.name");
    }
    let spec = draft.as_pod()?.spec.as_ref()?;
    // Few have such a text anywhere, and to read a whole spec takes its time.
    let may_lack = spec.text().contains(r#""name":"""#);
    let volumes = may_lack.then(|| spec.value()["volumes"].take())?;
    let lacks = volumes.as_array()?.iter().any(|volume| volume["name"] == "");
    lacks.then_some("spec.volumes.name")
}

fn is_name(kind: Kind, name: &str) -> bool {
    if kind == Kind::Service {
        return is_dns_label(name);
    }
    is_subdomain(name)
}

fn is_dns_label(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty()
        && text.len() <= LABEL_MAX
        && text.bytes().all(is_inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Returns whether an object of most kinds can have a name.
pub(crate) fn is_subdomain(text: &str) -> bool {
    let is_part = |part: &str| {
        let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !part.is_empty() && part.bytes().all(is_inner) && !part.starts_with('-') && !part.ends_with('-')
    };
    text.len() <= NAME_MAX && text.split('.').all(is_part)
}

/// Returns whether a text is a name of letters, digits and `-_.`, with a domain before it or not.
fn is_qualified(text: &str) -> bool {
    match text.split_once('/') {
        None => is_plain(text),
        Some((domain, name)) => is_subdomain(domain) && is_plain(name),
    }
}

fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_plain(text)
}

fn is_plain(text: &str) -> bool {
    let is_end = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    text.len() <= LABEL_MAX
        && is_end(text.bytes().next())
        && is_end(text.bytes().last())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn is_finalizer(kind: Kind, name: &str) -> bool {
    let is_ours = matches!(kind, Kind::Claim | Kind::Pool | Kind::Template | Kind::Sandbox);
    // Of the kinds that it knows the server wants a domain before the name.
    is_qualified(name) && (is_ours || name.contains('/') || [FOREGROUND, ORPHAN].contains(&name))
}

fn are_owners(others: &Value) -> bool {
    let others = others.as_array().map(Vec::as_slice).unwrap_or_default();
    others.iter().all(|owner| {
        let is_set = |field: &str| owner[field].as_str().is_some_and(|text| !text.is_empty());
        // Another controller beside the one, where `true` is not taken out of the list.
        ["apiVersion", "kind", "name", "uid"].into_iter().all(is_set) && owner["controller"] != true
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_domains_and_of_services_labels() {
        let long = "a".repeat(LABEL_MAX + 1);
        for (kind, name, is_right) in [
            (Kind::Claim, "a.b-c", true),
            (Kind::Claim, &*long, true),
            (Kind::Claim, "A", false),
            (Kind::Claim, "a..b", false),
            (Kind::Claim, "-a", false),
            (Kind::Service, "a.b", false),
            (Kind::Service, &*long, false),
        ] {
            assert_eq!(is_name(kind, name), is_right, "{kind} {name}");
        }
        assert!(!is_name(Kind::Claim, &"a".repeat(NAME_MAX + 1)));
    }

    #[test]
    fn labels_are_short_and_plain() {
        for (text, is_right) in
            [("a/b", true), ("a_b.C", true), ("", false), ("a/b/c", false), ("a b", false)]
        {
            assert_eq!(is_qualified(text), is_right, "{text:?}");
        }
        assert!(is_label_value("") && !is_label_value("a/b") && !is_label_value("-a"));
    }
}
