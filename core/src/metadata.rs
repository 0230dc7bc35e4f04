//! The labels and annotations that a claim asks for on its Pod: which are allowed, and how they join the template's.

use alloc::format;
use alloc::string::String;

use crate::id::Text;
use crate::names;
use crate::object::{Labels, PodMetadata};

/// Domains of annotations that belong to the system.
const RESTRICTED: [&str; 3] = ["kubernetes.io", "k8s.io", "agents.x-k8s.io"];

/// The domain of labels that is allowed where the operator names none (PMD-003).
const DEFAULT_DOMAIN: &str = "sandbox.users.io";

/// Most characters of the name in a key, and of a label's value.
///
/// Source: `k8s.io/apimachinery/pkg/util/validation`.
const PART_MAX: usize = 63;

/// Most characters of the domain in a key. Source: likewise.
const DOMAIN_MAX: usize = 253;

/// Returns what is wrong with the metadata that a claim asks for (PMD-001 to PMD-004).
pub(crate) fn fault(wanted: &PodMetadata, domains: &[Text]) -> Option<String> {
    let labels = wanted.labels.iter().find_map(|(key, value)| {
        let fault = label_fault(key, value, domains)?;
        Some(format!("failed to validate label {:?}: {fault}", &**key))
    });
    labels.or_else(|| {
        wanted.annotations.keys().find_map(|key| {
            let fault = annotation_fault(key)?;
            Some(format!("failed to validate annotation {:?}: {fault}", &**key))
        })
    })
}

/// Joins what a claim asks for to what is there, which nothing of it replaces; returns the first that would (PMD-005,
/// PMD-006).
pub(crate) fn join(there: &mut PodMetadata, wanted: &PodMetadata) -> Result<(), String> {
    let labels = join_map(&mut there.labels, &wanted.labels, "label");
    let annotations = join_map(&mut there.annotations, &wanted.annotations, "annotation");
    labels.and(annotations)
}

fn join_map(there: &mut Labels, wanted: &Labels, what: &str) -> Result<(), String> {
    let mut clash = Ok(());
    for (key, value) in wanted {
        let Some(present) = there.get(key) else {
            there.insert(key.clone(), value.clone());
            continue;
        };
        if present != value && clash.is_ok() {
            let (key, present, value) = (&**key, &**present, &**value);
            clash = Err(format!(
                "metadata override conflict: {what} {key:?} is defined in template with value {present:?}, but claim requests {value:?}"
            ));
        }
    }
    clash
}

fn label_fault(key: &str, value: &str, domains: &[Text]) -> Option<String> {
    if let Some(fault) = key_fault(key) {
        return Some(format!("invalid label key: {key:?}: {fault}"));
    }
    if key.eq_ignore_ascii_case("app") && value.eq_ignore_ascii_case("sandbox-router") {
        // Network policies let the router's Pods in.
        let what = "is not allowed in AdditionalPodMetadata";
        return Some(format!("restricted system label value: {key:?}={value:?} {what}"));
    }
    let Some((domain, _)) = key.split_once('/') else {
        let why = "(e.g. 'sandbox.users.io/my-label') to prevent opting into unintended policy domains";
        return Some(format!("label {key:?} must have a domain prefix {why}"));
    };
    let domain = domain.to_ascii_lowercase();
    let is_allowed = if domains.is_empty() {
        is_within(&domain, DEFAULT_DOMAIN)
    } else {
        domains.iter().any(|allowed| is_within(&domain, allowed))
    };
    if !is_allowed {
        return Some(format!("label domain {domain:?} is not in the allowlist"));
    }
    let fault = if value.is_empty() { None } else { part_fault(value) };
    fault.map(|fault| format!("invalid label value: {value:?} does not match allowed pattern: {fault}"))
}

fn annotation_fault(key: &str) -> Option<String> {
    if let Some(fault) = key_fault(key) {
        return Some(format!("invalid annotation key: {key:?}: {fault}"));
    }
    let (domain, _) = key.split_once('/')?;
    let domain = domain.to_ascii_lowercase();
    let is_restricted = RESTRICTED.iter().any(|restricted| is_within(&domain, restricted));
    (is_restricted && key != names::SAFE_TO_EVICT)
        .then(|| format!("restricted system domain: {key:?} is not allowed in AdditionalPodMetadata"))
}

fn is_within(domain: &str, parent: &str) -> bool {
    domain.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Returns why a key is no qualified name.
fn key_fault(key: &str) -> Option<&'static str> {
    let (domain, name) = key.split_once('/').map_or((None, key), |(domain, name)| (Some(domain), name));
    if name.is_empty() {
        return Some("name part must be non-empty");
    }
    let is_label = |label: &str| {
        let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let ends = label.bytes().next().zip(label.bytes().next_back());
        ends.is_some_and(|(first, last)| is_inner(first) && is_inner(last))
            && label.bytes().all(|byte| is_inner(byte) || byte == b'-')
    };
    match domain {
        Some("") => Some("prefix part must be non-empty"),
        Some(domain) if domain.len() > DOMAIN_MAX => Some("prefix part must be no more than 253 characters"),
        Some(domain) if !domain.split('.').all(is_label) => {
            Some("prefix part must be a DNS subdomain in lower case, such as 'example.com'")
        }
        Some(_) | None => part_fault(name),
    }
}

fn part_fault(part: &str) -> Option<&'static str> {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric();
    let ends = part.bytes().next().zip(part.bytes().next_back());
    if part.len() > PART_MAX {
        return Some("must be no more than 63 characters");
    }
    let is_valid = ends.is_some_and(|(first, last)| is_inner(first) && is_inner(last))
        && part.bytes().all(|byte| is_inner(byte) || matches!(byte, b'-' | b'_' | b'.'));
    (!is_valid).then_some(
        "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ACC-016, ACC-022.
    /// PMD-002, PMD-004: what tells one team's Pods from another's, and the one system key that users may set.
    #[test]
    fn labels_of_an_allowed_domain_and_free_annotations_are_right() {
        assert_eq!(label("sandbox.users.io/team", "a"), None);
        assert_eq!(label("x.sandbox.users.io/team", ""), None);
        for key in ["note", "example.com/note", names::SAFE_TO_EVICT] {
            assert_eq!(annotation(key), None, "{key}");
        }
    }

    /// ACC-017.
    /// PMD-002.
    #[test]
    fn a_label_without_a_domain_is_refused_in_the_originals_words() {
        let why = "label \"team\" must have a domain prefix (e.g. 'sandbox.users.io/my-label') to prevent opting into unintended policy domains";
        assert_eq!(label("team", "a"), Some(format!("failed to validate label \"team\": {why}")));
    }

    /// ACC-021, ACC-024.
    /// PMD-002, PMD-003.
    #[test]
    fn a_label_of_another_domain_is_refused() {
        for key in ["kubernetes.io/x", "evil.com/x", "notsandbox.users.io/x"] {
            assert!(label(key, "a").unwrap().ends_with("is not in the allowlist"), "{key}");
        }
        let allowed = [Text::from("corp.example")];
        let wanted = one("a.corp.example/x", "1");
        let labels = PodMetadata { labels: wanted, ..PodMetadata::default() };
        assert_eq!(fault(&labels, &allowed), None);
        assert!(label("a.corp.example/x", "1").is_some());
    }

    /// ACC-023.
    /// PMD-002: network policies let the router's Pods in.
    #[test]
    fn nobody_may_pass_for_the_router() {
        let said = label("app", "Sandbox-Router").unwrap();
        assert!(said.contains("\"app\"=\"Sandbox-Router\" is not allowed"), "{said}");
    }

    /// ACC-018, ACC-019, ACC-020.
    /// PMD-002.
    #[test]
    fn keys_and_values_must_be_such_that_the_server_takes_them() {
        let long = "x".repeat(64);
        for value in [&*long, "a b", "-a", "a."] {
            assert!(label("sandbox.users.io/x", value).unwrap().contains("invalid label value"), "{value}");
        }
        for key in ["", "a/b/c", "/x", "UPPER.io/x", "sandbox.users.io/", "sandbox.users.io/-x"] {
            assert!(label(key, "a").unwrap().contains("invalid label key"), "{key}");
            assert!(annotation(key).unwrap().contains("invalid annotation key"), "{key}");
        }
    }

    /// PMD-004.
    #[test]
    fn annotations_of_system_domains_are_refused() {
        for key in ["agents.x-k8s.io/pod-name", "x.kubernetes.io/y", "k8s.io/z"] {
            assert!(annotation(key).unwrap().contains("restricted system domain"), "{key}");
        }
    }

    /// PMD-005, PMD-006.
    #[test]
    fn what_is_there_stays_and_the_first_clash_is_named() {
        let mut there = PodMetadata { labels: one("a", "1"), ..PodMetadata::default() };
        let wanted = PodMetadata { labels: one("a", "1"), annotations: one("n", "x") };
        assert_eq!(join(&mut there, &wanted), Ok(()));
        assert_eq!(there, wanted);
        let other = PodMetadata { labels: one("a", "2"), annotations: one("n", "y") };
        let clash = "metadata override conflict: label \"a\" is defined in template with value \"1\", but claim requests \"2\"";
        assert_eq!(join(&mut there, &other), Err(clash.into()));
        assert_eq!(there, wanted);
    }

    fn label(key: &str, value: &str) -> Option<String> {
        fault(&PodMetadata { labels: one(key, value), ..PodMetadata::default() }, &[])
    }

    fn annotation(key: &str) -> Option<String> {
        fault(&PodMetadata { annotations: one(key, "x"), ..PodMetadata::default() }, &[])
    }

    fn one(key: &str, value: &str) -> Labels {
        [(key.into(), value.into())].into_iter().collect()
    }
}
