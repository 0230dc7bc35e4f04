//! Identities: what is the same thing, and which state of it is newer.

use alloc::string::String;
use alloc::sync::Arc;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::names;

/// Shared text: names, label keys and values.
pub type Text = Arc<str>;

/// The kinds of object that the core reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// `SandboxClaim`: "give me a sandbox".
    Claim,
    /// `SandboxWarmPool`: sandboxes kept ready.
    Pool,
    /// `SandboxTemplate`: what a sandbox is made from.
    Template,
    /// `Sandbox`: one stateful Pod with a stable identity.
    Sandbox,
    /// `Pod`: where a sandbox runs.
    Pod,
    /// `Service`: a sandbox's name in the cluster's DNS.
    Service,
    /// `PersistentVolumeClaim`: storage that a sandbox keeps.
    VolumeClaim,
    /// `NetworkPolicy`: whom the Pods of a template's sandboxes may talk to.
    NetworkPolicy,
}

impl Kind {
    /// Every kind, in the order of [`Kind::index`].
    pub const ALL: [Self; 8] = [
        Self::Claim,
        Self::Pool,
        Self::Template,
        Self::Sandbox,
        Self::Pod,
        Self::Service,
        Self::VolumeClaim,
        Self::NetworkPolicy,
    ];

    /// Returns the position of this kind in [`Kind::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Returns the `kind` field of such objects.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Claim => "SandboxClaim",
            Self::Pool => "SandboxWarmPool",
            Self::Template => "SandboxTemplate",
            Self::Sandbox => "Sandbox",
            Self::Pod => "Pod",
            Self::Service => "Service",
            Self::VolumeClaim => "PersistentVolumeClaim",
            Self::NetworkPolicy => "NetworkPolicy",
        }
    }

    /// Returns the resource name used in paths.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Claim => "sandboxclaims",
            Self::Pool => "sandboxwarmpools",
            Self::Template => "sandboxtemplates",
            Self::Sandbox => "sandboxes",
            Self::Pod => "pods",
            Self::Service => "services",
            Self::VolumeClaim => "persistentvolumeclaims",
            Self::NetworkPolicy => "networkpolicies",
        }
    }

    /// Returns the API group; empty for core/v1.
    pub const fn group(self) -> &'static str {
        match self {
            Self::Claim | Self::Pool | Self::Template => "extensions.agents.x-k8s.io",
            Self::Sandbox => "agents.x-k8s.io",
            Self::Pod | Self::Service | Self::VolumeClaim => "",
            Self::NetworkPolicy => "networking.k8s.io",
        }
    }

    /// Returns the `apiVersion` field of such objects.
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::Claim | Self::Pool | Self::Template => "extensions.agents.x-k8s.io/v1beta1",
            Self::Sandbox => "agents.x-k8s.io/v1beta1",
            Self::Pod | Self::Service | Self::VolumeClaim => "v1",
            Self::NetworkPolicy => "networking.k8s.io/v1",
        }
    }

    /// Returns whether this kind matters only where the extensions are on.
    pub const fn is_extension(self) -> bool {
        matches!(self, Self::Claim | Self::Pool | Self::Template | Self::NetworkPolicy)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The identity of one object for its whole life: `metadata.uid`.
///
/// The API server makes UUIDs. Any other text (users may write what they like into an owner reference) becomes a
/// hash of that text, which is good for comparison and never sent.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid {
    // Two halves, because what holds a u128 is padded to sixteen bytes.
    high: u64,
    low: u64,
}

impl Uid {
    /// The uid of an object that the server has not seen yet.
    pub const UNSET: Self = Self::from_bits(0);

    /// Returns the uid with these bits.
    pub const fn from_bits(bits: u128) -> Self {
        Self { high: (bits >> 64) as u64, low: bits as u64 }
    }

    /// Returns the bits.
    pub const fn bits(self) -> u128 {
        (self.high as u128) << 64 | self.low as u128
    }

    /// Reads `metadata.uid`.
    pub fn parse(text: &str) -> Self {
        Self::from_bits(parse_uuid(text).unwrap_or_else(|| hash_text(text)))
    }
}

fn parse_uuid(text: &str) -> Option<u128> {
    let bytes = text.as_bytes();
    if bytes.len() != 36 || [8, 13, 18, 23].iter().any(|&dash| bytes[dash] != b'-') {
        return None;
    }
    let mut bits = 0;
    for &byte in bytes {
        let digit = match byte {
            b'-' => continue,
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        bits = bits << 4 | u128::from(digit);
    }
    Some(bits)
}

/// FNV-1a with 128 bits.
pub(crate) fn hash_text(text: &str) -> u128 {
    text.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, |hash, byte| {
        (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
    })
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.bits();
        let (a, b, c) = ((bits >> 96) as u32, (bits >> 80) as u16, (bits >> 64) as u16);
        write!(f, "{a:08x}-{b:04x}-{c:04x}-{:04x}-{:012x}", (bits >> 48) as u16, bits & 0xffff_ffff_ffff)
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Uid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Uid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::parse(&text))
    }
}

/// The state of an object: `metadata.resourceVersion`.
///
/// Ordered within one kind. Source: KEP-5504, comparable resource versions, guaranteed since Kubernetes 1.35.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version(pub u64);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The place of an object among those of its kind. One object at a time holds it.
///
/// Ordered by namespace, then by name.
#[derive(Clone, Debug, Eq, Serialize, Deserialize)]
pub struct Key {
    /// `metadata.namespace`.
    pub namespace: Text,
    /// `metadata.name`.
    pub name: Text,
}

impl Key {
    /// Returns the key of `name` in `namespace`.
    pub fn new(namespace: impl Into<Text>, name: impl Into<Text>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// Returns the key of another name in the same namespace.
    pub fn sibling(&self, name: impl Into<Text>) -> Self {
        Self { namespace: self.namespace.clone(), name: name.into() }
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        is_same(&self.name, &other.name) && is_same(&self.namespace, &other.namespace)
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(names::hash(names::hash(0, &self.namespace), &self.name));
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.namespace, &other.namespace) {
            return self.name.cmp(&other.name);
        }
        self.namespace.cmp(&other.namespace).then_with(|| self.name.cmp(&other.name))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Most keys that meet share their texts, so that these need not be read.
fn is_same(a: &Text, b: &Text) -> bool {
    Arc::ptr_eq(a, b) || a == b
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The number of one action. Answers name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ActionId(pub u64);

impl fmt::Display for ActionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn a_uuid_survives_being_read_and_written() {
        let text = "e8c269c2-fbd0-4b83-849b-6a4e33711c92";
        assert_eq!(Uid::parse(text).to_string(), text);
    }

    #[test]
    fn other_texts_are_told_apart() {
        assert_ne!(Uid::parse("a"), Uid::parse("b"));
        assert_ne!(Uid::parse(""), Uid::UNSET);
    }
}
