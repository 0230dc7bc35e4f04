//! Every name that users and other programs see: keys, reasons, and the names that the core chooses.

use alloc::format;
use alloc::string::String;

use crate::id::{Text, Uid};

/// Label: the tracking hash of a sandbox's name, on its Pod.
pub const SANDBOX_NAME_HASH: &str = "agents.x-k8s.io/sandbox-name-hash";
/// Label: the hash of the pool's name, on members and their Pods.
pub const WARM_POOL: &str = "agents.x-k8s.io/warm-pool-sandbox";
/// Label: the hash of the template's name.
pub const TEMPLATE_REF_HASH: &str = "agents.x-k8s.io/sandbox-template-ref-hash";
/// Label: the hash of the template's content, on members.
pub const TEMPLATE_HASH: &str = "agents.x-k8s.io/sandbox-template-hash";
/// Label: the hash of the template's pod template, on members.
pub const POD_TEMPLATE_HASH: &str = "agents.x-k8s.io/sandbox-pod-template-hash";
/// Label: `warm` or `cold`.
pub const LAUNCH_TYPE: &str = "agents.x-k8s.io/launch-type";
/// Label: who asked for it.
pub const CREATED_BY: &str = "agents.x-k8s.io/created-by";
/// Label: the uid of the claim that has the sandbox.
pub const CLAIM_UID: &str = "agents.x-k8s.io/claim-uid";
/// Annotation on a sandbox: its template's name.
pub const TEMPLATE_REF: &str = "agents.x-k8s.io/sandbox-template-ref";
/// Annotation on a sandbox: its Pod's name.
pub const POD_NAME: &str = "agents.x-k8s.io/pod-name";
/// Annotation on a claim: the sandbox that it will get. Written before anything else happens.
pub const SANDBOX_NAME: &str = "agents.x-k8s.io/sandbox-name";
/// Label on a claim: what the annotation of the same name says, from a time when names were shorter.
pub const LEGACY_SANDBOX_NAME: &str = SANDBOX_NAME;
/// Annotation on a claim: when a controller first saw it.
pub const FIRST_OBSERVED_AT: &str = "agents.x-k8s.io/controller-first-observed-at";
/// Annotation on a claim: when it was first ready.
pub const FIRST_READY_AT: &str = "agents.x-k8s.io/claim-first-ready-at";
/// Annotation: a W3C trace context, as JSON.
pub const TRACE_CONTEXT: &str = "opentelemetry.io/trace-context";
/// Label on a Pod that belongs to nobody: the sandbox that names it may have it.
pub const ADOPTABLE: &str = "agents.x-k8s.io/adoptable";
/// Annotation on a Pod: which labels came from its sandbox's pod template.
pub const PROPAGATED_LABELS: &str = "agents.x-k8s.io/propagated-labels";
/// Annotation on a Pod: which annotations came from its sandbox's pod template.
pub const PROPAGATED_ANNOTATIONS: &str = "agents.x-k8s.io/propagated-annotations";
/// Annotation on a Pod: the cluster autoscaler may move it.
pub const SAFE_TO_EVICT: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";

/// What a template's NetworkPolicy is called after the template's name (HSH-008).
pub const NETWORK_POLICY_SUFFIX: &str = "-network-policy";

/// Condition type: can be used.
pub const READY: &str = "Ready";
/// Condition type: stopped on request.
pub const SUSPENDED: &str = "Suspended";
/// Condition type: the Pod has a node.
pub const POD_SCHEDULED: &str = "PodScheduled";
/// Condition type: the Pod ran to its end.
pub const FINISHED: &str = "Finished";

/// Reason of a claim's Ready condition: its time is over.
pub const CLAIM_EXPIRED: &str = "ClaimExpired";
/// Why a Pod has no node: none has room.
pub const UNSCHEDULABLE: &str = "Unschedulable";

/// The reporting controller of Events about pools.
pub const POOL_REPORTER: &str = "sandboxwarmpool-controller";
/// Reason: the sandbox has reached its shutdown time.
pub const EXPIRED: &str = "SandboxExpired";
/// Reason: several Pods belong to one sandbox.
pub const MULTIPLE_PODS: &str = "MultiplePods";

/// The reporting controller of Events about sandboxes.
pub const SANDBOX_REPORTER: &str = "sandbox-controller";
/// The reporting controller of Events about claims.
pub const CLAIM_REPORTER: &str = "sandboxclaim-controller";

/// Returns whether a label or annotation key is the controllers' own, which users cannot set on Pods.
pub fn is_reserved(key: &str) -> bool {
    key.starts_with("agents.x-k8s.io/")
        || key.starts_with("extensions.agents.x-k8s.io/")
        || key == TRACE_CONTEXT
}

/// Returns the hash that stands for a name in label values: FNV-1a, 32 bits, 8 hex digits (HSH-001).
pub fn name_hash(name: &str) -> Text {
    digits(&hash_digits(name)).into()
}

/// Returns whether a label value is the hash of a name.
pub(crate) fn is_name_hash(value: &str, name: &str) -> bool {
    value.as_bytes() == hash_digits(name)
}

fn hash_digits(name: &str) -> [u8; 8] {
    let hash =
        name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    core::array::from_fn(|place| b"0123456789abcdef"[(hash >> (28 - 4 * place) & 0xf) as usize])
}

fn digits(digits: &[u8; 8]) -> &str {
    core::str::from_utf8(digits).expect("digits are ASCII")
}

/// Returns the label selector of what bears the hash of a name.
pub(crate) fn hash_selector(label: &str, name: &str) -> Text {
    [label, "=", digits(&hash_digits(name))].concat().into()
}

/// Returns whether a label selector is that of what bears the hash of a name.
pub(crate) fn is_hash_selector(selector: &str, label: &str, name: &str) -> bool {
    let hash = selector.strip_prefix(label).and_then(|rest| rest.strip_prefix('='));
    hash.is_some_and(|hash| is_name_hash(hash, name))
}

/// Returns whether an object can have this name, as far as its characters go: a DNS subdomain in lower case.
///
/// What users refer to by name may be any text. One with a slash or a question mark would ask the server for something
/// else than was meant, and an empty one for all there is.
///
/// Source: `k8s.io/apimachinery/pkg/api/validate/content`.
pub(crate) fn is_subdomain(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.split('.').all(|label| begins_and_ends(label, is_inner, |byte| byte == b'-'))
}

/// Returns whether a text begins and ends with an inner byte and has only inner and joining bytes.
pub(crate) fn begins_and_ends(
    text: &str,
    is_inner: impl Fn(u8) -> bool,
    is_joint: impl Fn(u8) -> bool,
) -> bool {
    let ends = text.bytes().next().zip(text.bytes().next_back());
    ends.is_some_and(|(first, last)| is_inner(first) && is_inner(last))
        && text.bytes().all(|byte| is_inner(byte) || is_joint(byte))
}

/// Returns the name of a pool's next member: the pool's name, cut to fit, and ten letters that no other process
/// and no other call will choose.
///
/// Source: `term` is unique to the process, `counter` to the call. A Pod's name is its sandbox's, so 63 is the limit.
pub fn member_name(pool: Uid, pool_name: &str, term: u64, counter: u64) -> Text {
    const SUFFIX: usize = 10;
    let mut end = pool_name.len().min(63 - SUFFIX - 1);
    while !pool_name.is_char_boundary(end) {
        end -= 1;
    }
    let suffix = letters(mix(pool.bits() as u64 ^ (pool.bits() >> 64) as u64, term, counter), SUFFIX);
    format!("{}-{suffix}", &pool_name[..end]).into()
}

/// Returns a number that looks random and is the same for the same arguments: jitter.
pub fn mix(a: u64, b: u64, c: u64) -> u64 {
    [b, c].into_iter().fold(scramble(a), |hash, part| scramble(hash ^ scramble(part)))
}

/// Returns a number that stands for what was read so far and a text, the same in every process.
pub(crate) fn hash(so_far: u64, text: &str) -> u64 {
    let (words, rest) = text.as_bytes().as_chunks();
    let mut hash = so_far ^ text.len() as u64;
    for word in words {
        hash = scramble(hash ^ u64::from_le_bytes(*word));
    }
    if rest.is_empty() { hash } else { scramble(hash ^ last_word(rest)) }
}

/// Returns the bytes of a text, eight at a time, the last ones filled up with zeros.
pub(crate) fn words(text: &str) -> impl Iterator<Item = u64> {
    let (words, rest) = text.as_bytes().as_chunks();
    let rest = (!rest.is_empty()).then(|| last_word(rest));
    words.iter().map(|word| u64::from_le_bytes(*word)).chain(rest)
}

fn last_word(rest: &[u8]) -> u64 {
    rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// Source: the finaliser of SplitMix64 (Steele, Lea, Flood 2014).
const fn scramble(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Source: the alphabet of `k8s.io/apimachinery/pkg/util/rand`, which spells no words.
fn letters(mut value: u64, count: usize) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut text = String::with_capacity(count);
    for _ in 0..count {
        text.push(ALPHABET[(value % ALPHABET.len() as u64) as usize] as char);
        value /= ALPHABET.len() as u64;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SACC-031, ACC-230.
    /// META-001, META-002.
    /// HSH-001.
    #[test]
    fn the_hash_of_a_name_is_the_one_that_clients_know() {
        for (name, hash) in [
            ("", "811c9dc5"),
            ("a", "e40c292c"),
            ("my-sandbox", "374de8f5"),
            ("pool", "91dd7983"),
            ("my-warm-pool", "034dafb4"),
        ] {
            assert_eq!(&*name_hash(name), hash, "{name}");
        }
    }

    /// WPL-043, CON-040.
    #[test]
    fn a_member_keeps_its_pools_name_as_a_prefix_and_fits_a_pod_name() {
        let name = member_name(Uid::from_bits(7), "pool", 1, 0);
        assert!(name.starts_with("pool-") && name.len() == 15, "{name}");
        let long = "p".repeat(200);
        assert_eq!(member_name(Uid::from_bits(7), &long, 1, 0).len(), 63);
    }

    /// WPL-043.
    #[test]
    fn two_processes_choose_different_names() {
        let name = |term, counter| member_name(Uid::from_bits(7), "pool", term, counter);
        assert_ne!(name(1, 0), name(2, 0));
        assert_ne!(name(1, 0), name(1, 1));
    }
}
