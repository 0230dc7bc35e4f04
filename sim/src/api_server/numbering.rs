//! How the API server numbers what it stores.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agent_sandbox_core::fingerprint::{self, Sight, Walk};
use agent_sandbox_core::id::{Key, Kind, Uid, Version};
use agent_sandbox_core::names;
use agent_sandbox_core::object::Object;
use agent_sandbox_core::time::Mono;

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
    /// and bookmarks with all of their kind; that is enough for clients that do no more.
    ByState,
}

/// The bits of a version under [`Numbering::ByState`], from the highest: lists and bookmarks of the kind before it,
/// incarnation of the name, number of the write, digest of the state.
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
    pub(super) incarnations: Arc<BTreeMap<(Kind, Key), u8>>,
    /// The revisions of lists and bookmarks of each kind, in order, each once.
    lists: Arc<[Vec<u64>; Kind::ALL.len()]>,
    /// The sum of what stands for each incarnation of a name, and for each list and bookmark.
    pub(super) counted: u64,
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
        let uid = uid_of_name(draft.kind(), draft.key(), *count);
        self.counted = self.counted.wrapping_add(uid.bits() as u64);
        uid
    }

    /// Returns a number for a name that nobody has chosen.
    pub(super) fn name(&mut self) -> u64 {
        self.identities += 1;
        names::mix(self.identities, 0, 0)
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
        let (lists, incarnation) = (self.lists_before(object.kind(), revision), u64::from(incarnation));
        let key = object.key();
        assert!(write <= FIELD, "{key} was written {write} times, more than a version can count");
        assert!(incarnation <= FIELD, "{key} was created {incarnation} times, more than a version can count");
        assert!(lists <= LISTS_MAX, "there were {lists} lists, more than a version can count");
        Version(lists << LISTS | incarnation << INCARNATION | write << WRITE | state)
    }

    /// Returns what stands for an object in its state, as far as it matters and exactly; zeros where a version does not
    /// stand for the state.
    pub(super) fn mark(&self, object: &Object) -> [u64; 2] {
        if self.numbering != Numbering::ByState {
            return [0; 2];
        }
        let version_mask = self.numbering.version_mask();
        let mut walk = Walk::new(Sight { now: Mono::default(), far: Duration::ZERO, version_mask });
        walk.object(object);
        [walk.fingerprint(), walk.exact_fingerprint()]
    }

    /// Notes a list or a bookmark of a kind as of a revision. Its version is not older than any that the kind was given
    /// until then, and older than all that it will be.
    pub(super) fn list(&mut self, kind: Kind, revision: u64) {
        if self.numbering == Numbering::ByState && self.lists[kind.index()].last() != Some(&revision) {
            let lists = &mut Arc::make_mut(&mut self.lists)[kind.index()];
            lists.push(revision);
            let mark = names::mix((kind as u64) << 32 | lists.len() as u64, 0, 0);
            self.counted = self.counted.wrapping_add(mark);
        }
    }

    /// Returns the version of a list that was noted, or would be.
    pub(super) fn version_of_list(&self, kind: Kind, revision: u64) -> Version {
        match self.numbering {
            Numbering::Counted | Numbering::Named => Version(revision),
            Numbering::ByState => Version(self.lists_before(kind, revision) << LISTS | ((1 << LISTS) - 1)),
        }
    }

    fn lists_before(&self, kind: Kind, revision: u64) -> u64 {
        self.lists[kind.index()].partition_point(|list| *list < revision) as u64
    }
}

/// Returns the identity of the n-th object of a name.
fn uid_of_name(kind: Kind, key: &Key, incarnation: u8) -> Uid {
    let text = key.name.bytes().fold(0, |hash, byte| names::mix(hash, byte.into(), 0));
    let half = |salt| u128::from(names::mix(text, (kind as u64) << 8 | u64::from(incarnation), salt));
    Uid::from_bits(half(1) << 64 | half(2))
}
