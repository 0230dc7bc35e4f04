//! How the API server numbers what it stores.

use std::collections::BTreeMap;
use std::sync::Arc;

use agent_sandbox_core::fingerprint;
use agent_sandbox_core::id::{Key, Kind, Uid, Version};
use agent_sandbox_core::names;
use agent_sandbox_core::object::Object;

/// How identities and versions are chosen. Clients may compare both, and learn nothing else from them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Numbering {
    /// Both are counted, as a real server counts its revisions.
    #[default]
    Counted,
    /// Versions are counted. An identity follows from the name and from how many had that name before.
    Named,
    /// As [`Numbering::Named`], and a version also stands for the state of its object: equal states that were reached
    /// in different orders have versions that differ in the revision only.
    InOrder,
    /// A version stands for the state of its object and for nothing else: it is newer than the earlier versions of
    /// that object, and not comparable with those of others.
    ByState,
}

/// The bits of a version under [`Numbering::ByState`]: incarnation of the name, number of the write, digest.
const INCARNATION: u32 = 56;
/// Source: no object in a world that can be searched is written 255 times.
const WRITE: u32 = 48;
const STATE: u64 = (1 << WRITE) - 1;
/// The bits of a version under [`Numbering::InOrder`]: revision, number of the write, digest.
const REVISION: u32 = 48;
const WRITE_IN_ORDER: u32 = 40;
const STATE_IN_ORDER: u64 = (1 << WRITE_IN_ORDER) - 1;

impl Numbering {
    /// Returns the bits of a version that stand for the state of its object.
    pub const fn version_mask(self) -> u64 {
        match self {
            Self::Counted | Self::Named | Self::ByState => u64::MAX,
            Self::InOrder => (1 << REVISION) - 1,
        }
    }

    /// Returns the version of a list or a bookmark as of a revision: not older than any that was given until then.
    pub const fn of_list(self, revision: u64) -> Version {
        match self {
            Self::Counted | Self::Named => Version(revision),
            Self::InOrder => Version(revision << REVISION | ((1 << REVISION) - 1)),
            Self::ByState => Version(u64::MAX),
        }
    }

    /// Returns the version of a new state of an object.
    pub(super) fn version(self, revision: u64, old: Option<Version>, object: &Object, incarnation: u8) -> Version {
        let state = fingerprint::digest(object);
        match self {
            Self::Counted | Self::Named => Version(revision),
            Self::InOrder => {
                let write = old.map_or(0, |old| old.0 >> WRITE_IN_ORDER & 0xff) + 1;
                Version(revision << REVISION | write << WRITE_IN_ORDER | state & STATE_IN_ORDER)
            }
            Self::ByState => {
                let write = old.map_or(0, |old| old.0 >> WRITE & 0xff) + 1;
                Version(u64::from(incarnation) << INCARNATION | write << WRITE | state & STATE)
            }
        }
    }
}

/// How often each name was given to a new object.
#[derive(Clone, Debug, Default)]
pub(super) struct Incarnations(Arc<BTreeMap<(Kind, Key), u8>>);

impl Incarnations {
    /// Counts one more object of this name.
    pub(super) fn add(&mut self, kind: Kind, key: &Key) -> u8 {
        let count = Arc::make_mut(&mut self.0).entry((kind, key.clone())).or_default();
        *count = count.saturating_add(1);
        *count
    }

    /// Returns how many objects had this name so far.
    pub(super) fn of(&self, kind: Kind, key: &Key) -> u8 {
        self.0.get(&(kind, key.clone())).copied().unwrap_or_default()
    }
}

/// Returns the identity of the n-th object of a name.
pub(super) fn uid_of_name(kind: Kind, key: &Key, incarnation: u8) -> Uid {
    let text = key.name.bytes().fold(0, |hash, byte| names::mix(hash, byte.into(), 0));
    let half = |salt| u128::from(names::mix(text, (kind as u64) << 8 | u64::from(incarnation), salt));
    Uid::from_bits(half(1) << 64 | half(2))
}
