//! Who holds each name.

use crate::id::{Key, Kind, Uid};
use crate::shared::Shared;
use crate::table::Table;

/// The holder of each name, by kind: one object at a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holders(Shared<[Shared<Table<Key, Uid>>; Kind::ALL.len()]>);

impl Holders {
    /// Returns the object that holds a name.
    pub(crate) fn get(&self, kind: Kind, key: &Key) -> Option<Uid> {
        self.0[kind.index()].get(key).copied()
    }

    /// Gives a name to an object.
    pub(super) fn insert(&mut self, kind: Kind, key: Key, uid: Uid) {
        self.0[kind.index()].insert(key, uid);
    }

    /// Takes a name from whoever holds it.
    pub(super) fn remove(&mut self, kind: Kind, key: &Key) {
        self.0[kind.index()].remove(key);
    }

    /// Returns the holders of all names of a kind, by name.
    #[cfg(test)]
    pub(crate) fn of(&self, kind: Kind) -> impl Iterator<Item = Uid> {
        self.0[kind.index()].unordered().map(|(_, uid)| *uid)
    }
}
