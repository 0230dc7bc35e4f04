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
    /// As [`Numbering::Named`], and a version stands for the state of its object: the same state that was reached on
    /// another way has the same version. Compared are only the versions of one object or of one name, and those of lists
    /// and bookmarks with all; that is enough for clients that do no more.
    ByState,
}

/// The bits of a version under [`Numbering::ByState`], from the highest: lists and bookmarks before it, incarnation of
/// the name, number of the write, digest of the state.
const LISTS: u32 = 56;
const INCARNATION: u32 = 50;
/// Source: no object in a world that can be searched is written 63 times.
const WRITE: u32 = 44;
const FIELD: u64 = 0x3f;
const LISTS_MAX: u64 = 0xff;
const STATE: u64 = (1 << WRITE) - 1;

impl Numbering {
    /// Returns the bits of a version that stand for the state of its object; the others stand for the order of writes.
    pub const fn version_mask(self) -> u64 {
        match self {
            Self::Counted | Self::Named => u64::MAX,
            Self::ByState => (1 << LISTS) - 1,
        }
    }
}

/// What the numbers follow from.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    pub(super) numbering: Numbering,
    identities: u64,
    /// How often each name was given to a new object.
    incarnations: Arc<BTreeMap<(Kind, Key), u8>>,
    /// The revisions of lists and bookmarks, in order, each once.
    lists: Arc<Vec<u64>>,
}

impl Numbers {
    pub(super) fn new(numbering: Numbering) -> Self {
        Self { numbering, ..Self::default() }
    }

    /// Chooses the identity of a new object.
    pub(super) fn identity(&mut self, draft: &Object) -> Uid {
        self.identities += 1;
        if self.numbering == Numbering::Counted {
            return super::uid_of_serial(self.identities);
        }
        let slot = (draft.kind(), draft.key().clone());
        let count = Arc::make_mut(&mut self.incarnations).entry(slot).or_default();
        *count += 1;
        uid_of_name(draft.kind(), draft.key(), *count)
    }

    /// Chooses the version of a new state of an object.
    pub(super) fn version(&self, revision: u64, old: Option<&Object>, object: &Object) -> Version {
        if self.numbering != Numbering::ByState {
            return Version(revision);
        }
        let slot = (object.kind(), object.key().clone());
        let incarnation = self.incarnations.get(&slot).copied().unwrap_or_default();
        let write = old.map_or(0, |old| old.version().0 >> WRITE & FIELD) + 1;
        let state = fingerprint::digest(object) & STATE;
        let (lists, incarnation) = (self.lists_before(revision), u64::from(incarnation));
        let key = object.key();
        assert!(write <= FIELD, "{key} was written {write} times, more than a version can count");
        assert!(incarnation <= FIELD, "{key} was created {incarnation} times, more than a version can count");
        assert!(lists <= LISTS_MAX, "there were {lists} lists, more than a version can count");
        Version(lists << LISTS | incarnation << INCARNATION | write << WRITE | state)
    }

    /// Chooses the version of a list or a bookmark as of a revision: not older than any that was given until then, and
    /// older than all that will be.
    pub(super) fn list(&mut self, revision: u64) -> Version {
        if self.numbering != Numbering::ByState {
            return Version(revision);
        }
        if self.lists.last() != Some(&revision) {
            Arc::make_mut(&mut self.lists).push(revision);
        }
        self.version_of_list(revision)
    }

    /// Returns the version that was chosen for a list.
    pub(super) fn version_of_list(&self, revision: u64) -> Version {
        match self.numbering {
            Numbering::Counted | Numbering::Named => Version(revision),
            Numbering::ByState => Version(self.lists_before(revision) << LISTS | ((1 << LISTS) - 1)),
        }
    }

    fn lists_before(&self, revision: u64) -> u64 {
        self.lists.partition_point(|list| *list < revision) as u64
    }
}

/// Returns the identity of the n-th object of a name.
fn uid_of_name(kind: Kind, key: &Key, incarnation: u8) -> Uid {
    let text = key.name.bytes().fold(0, |hash, byte| names::mix(hash, byte.into(), 0));
    let half = |salt| u128::from(names::mix(text, (kind as u64) << 8 | u64::from(incarnation), salt));
    Uid::from_bits(half(1) << 64 | half(2))
}
