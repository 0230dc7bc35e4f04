//! The labels and annotations that a claim asks for on its Pod: which are allowed, and how they join the template's.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::id::Text;
use crate::names;
use crate::object::{Labels, PodMetadata};

/// Domains of annotations that belong to the system.
const RESTRICTED: [&str; 3] = ["kubernetes.io", "k8s.io", "agents.x-k8s.io"];

/// The domain of labels that is allowed where the operator names none (PMD-003).
const DEFAULT_DOMAIN: &str = "sandbox.users.io";

/// Most bytes of the name in a key, and of a label's value.
///
/// Source: `k8s.io/apimachinery/pkg/api/validate/content`, as are the words below in which it is told.
const PART_MAX: usize = 63;

/// Most bytes of the domain in a key. Source: likewise.
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
    value_fault(value)
        .map(|fault| format!("invalid label value: {value:?} does not match allowed pattern: {fault}"))
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

/// Returns why a key is no qualified name, in the API server's words, which the original takes from the same library.
fn key_fault(key: &str) -> Option<String> {
    let not_a_name = || pattern(NAME, NAME_PATTERN, ["MyName", "my.name", "123-abc"]);
    let (domain, name) = key.split_once('/').map_or((None, key), |(domain, name)| (Some(domain), name));
    if name.contains('/') {
        let prefix = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
        return Some(format!("a valid label key {} {prefix}", not_a_name()));
    }
    let mut faults = domain.map_or_else(Vec::new, domain_faults);
    if name.is_empty() {
        faults.push("name part must be non-empty".into());
    } else if name.len() > PART_MAX {
        faults.push(format!("name part must be no more than {PART_MAX} bytes"));
    }
    if !is_part(name) {
        faults.push(format!("name part {}", not_a_name()));
    }
    joined(&faults)
}

/// Returns why what comes before the slash of a key is no domain.
fn domain_faults(domain: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if domain.is_empty() {
        faults.push("prefix part must be non-empty".into());
        return faults;
    }
    if domain.len() > DOMAIN_MAX {
        faults.push(format!("prefix part must be no more than {DOMAIN_MAX} bytes"));
    }
    if !names::is_subdomain(domain) {
        let what = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
        let one = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
        let why = pattern(what, &format!("{one}(\\.{one})*"), ["example.com"]);
        faults.push(format!("prefix part {why}"));
    }
    faults
}

/// Returns why a label cannot have a value, likewise.
fn value_fault(value: &str) -> Option<String> {
    let mut faults = Vec::new();
    if value.len() > PART_MAX {
        faults.push(format!("must be no more than {PART_MAX} bytes"));
    }
    if !value.is_empty() && !is_part(value) {
        let what = format!("a valid label must be an empty string or {}", NAME.trim_start_matches("must "));
        faults.push(pattern(&what, &format!("({NAME_PATTERN})?"), ["MyValue", "my_value", "12345"]));
    }
    joined(&faults)
}

const NAME: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/// What is told of [`is_part`], as a regular expression.
const NAME_PATTERN: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

/// Says that a pattern is not met, with examples of what would meet it.
fn pattern<const N: usize>(what: &str, regex: &str, examples: [&str; N]) -> String {
    let examples = examples.map(|example| format!("'{example}', ")).join(" or ");
    format!("{what} (e.g. {examples}regex used for validation is '{regex}')")
}

fn joined(faults: &[String]) -> Option<String> {
    (!faults.is_empty()).then(|| faults.join("; "))
}

/// Returns whether a text could be the name in a key, or a label's value, but for its length.
fn is_part(part: &str) -> bool {
    names::begins_and_ends(
        part,
        |byte| byte.is_ascii_alphanumeric(),
        |byte| matches!(byte, b'-' | b'_' | b'.'),
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

    /// ACC-018, ACC-020; PMD-002: a user who searches for the message finds what others have said about it.
    #[test]
    fn what_the_server_would_not_take_is_told_in_its_words() {
        let name = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
        let said = [
            ("a b", format!("name part {name}")),
            ("x/", format!("name part must be non-empty; name part {name}")),
            ("/x", "prefix part must be non-empty".into()),
            (
                "a/b/c",
                format!("a valid label key {name} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"),
            ),
            (
                "A/x",
                "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')".into(),
            ),
        ];
        for (key, why) in said {
            let told =
                format!("failed to validate annotation {key:?}: invalid annotation key: {key:?}: {why}");
            assert_eq!(annotation(key), Some(told));
        }
        let value = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
        let told = label("sandbox.users.io/x", "-").unwrap();
        assert!(
            told.ends_with(&format!("invalid label value: \"-\" does not match allowed pattern: {value}")),
            "{told}"
        );
        let long = label("sandbox.users.io/x", &"x".repeat(64)).unwrap();
        assert!(long.ends_with("does not match allowed pattern: must be no more than 63 bytes"), "{long}");
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
