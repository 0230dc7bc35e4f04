//! What belongs to a name, and who refers to it.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::id::{Key, Uid};
use crate::names;
use crate::table::Table;

/// Values by name.
///
/// A search compares hashes, and reads a text only when it has found one: texts lie all over the memory. The hash is the
/// same in every process, and nobody sees the order.
#[derive(Clone, Debug)]
pub(crate) struct NameMap<V> {
    by_hash: Table<u64, (Key, V)>,
    /// Names whose hash another name has in `by_hash`.
    clashes: BTreeMap<(u64, Key), V>,
}

impl<V> Default for NameMap<V> {
    fn default() -> Self {
        Self { by_hash: Table::default(), clashes: BTreeMap::new() }
    }
}

impl<V> NameMap<V> {
    /// Returns the value of a name.
    pub(crate) fn get(&self, key: &Key) -> Option<&V> {
        self.get_at(hash(key), key)
    }

    /// Returns the value of a name for a change.
    pub(crate) fn get_mut(&mut self, key: &Key) -> Option<&mut V> {
        let hash = hash(key);
        let (known, value) = self.by_hash.get_mut(&hash)?;
        if known == key { Some(value) } else { self.clashes.get_mut(&(hash, key.clone())) }
    }

    /// Sets the value of a name.
    pub(crate) fn insert(&mut self, key: Key, value: V) {
        self.insert_at(hash(&key), key, value);
    }

    /// Takes the value of a name away.
    pub(crate) fn remove(&mut self, key: &Key) {
        self.remove_at(hash(key), key);
    }

    /// Returns all values.
    #[cfg(test)]
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.by_hash.unordered().map(|(_, (_, value))| value).chain(self.clashes.values())
    }

    fn get_at(&self, hash: u64, key: &Key) -> Option<&V> {
        let (known, value) = self.by_hash.get(&hash)?;
        if known == key { Some(value) } else { self.clashes.get(&(hash, key.clone())) }
    }

    fn insert_at(&mut self, hash: u64, key: Key, value: V) {
        match self.by_hash.get_mut(&hash) {
            None => {
                self.by_hash.insert(hash, (key, value));
            }
            Some((known, known_value)) if *known == key => *known_value = value,
            Some(_) => {
                self.clashes.insert((hash, key), value);
            }
        }
    }

    fn remove_at(&mut self, hash: u64, key: &Key) {
        let Some((known, _)) = self.by_hash.get(&hash) else { return };
        if known != key {
            self.clashes.remove(&(hash, key.clone()));
            return;
        }
        self.by_hash.remove(&hash);
        let next = self.clashes.keys().find(|(other, _)| *other == hash).cloned();
        if let Some(next) = next
            && let Some(value) = self.clashes.remove(&next)
        {
            self.by_hash.insert(hash, (next.1, value));
        }
    }
}

fn hash(key: &Key) -> u64 {
    names::hash(names::hash(0, &key.namespace), &key.name)
}

/// Objects that refer to a name: for each name a set in the order of identities, and never an empty one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Referrers(NameMap<Uids>);

/// Some objects, in order: mostly one.
#[derive(Clone, Debug)]
pub(crate) enum Uids {
    One(Uid),
    Many(BTreeSet<Uid>),
}

impl Uids {
    /// Returns them, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Uid> + use<'_> {
        let (one, many) = match self {
            Self::One(uid) => (Some(*uid), None),
            Self::Many(uids) => (None, Some(uids)),
        };
        one.into_iter().chain(many.into_iter().flatten().copied())
    }

    /// Adds one.
    pub(super) fn insert(&mut self, uid: Uid) {
        match self {
            Self::One(other) if *other == uid => {}
            Self::One(other) => *self = Self::Many([*other, uid].into()),
            Self::Many(uids) => {
                uids.insert(uid);
            }
        }
    }

    /// Takes one away, and returns whether none is left.
    pub(super) fn remove(&mut self, uid: Uid) -> bool {
        match self {
            Self::One(only) => *only == uid,
            Self::Many(uids) => {
                uids.remove(&uid);
                uids.is_empty()
            }
        }
    }
}

impl Referrers {
    /// Returns those who refer to a name.
    pub(crate) fn of(&self, key: &Key) -> impl Iterator<Item = Uid> + use<'_> {
        self.0.get(key).into_iter().flat_map(Uids::iter)
    }

    /// Returns whether anybody refers to a name.
    pub(crate) fn has(&self, key: &Key) -> bool {
        self.0.get(key).is_some()
    }

    pub(super) fn insert(&mut self, key: Key, uid: Uid) {
        match self.0.get_mut(&key) {
            None => self.0.insert(key, Uids::One(uid)),
            Some(uids) => uids.insert(uid),
        }
    }

    pub(super) fn remove(&mut self, key: &Key, uid: Uid) {
        if self.0.get_mut(key).is_some_and(|uids| uids.remove(uid)) {
            self.0.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn names_with_the_same_hash_are_told_apart() {
        let [a, b, c] = ["a", "b", "c"].map(|name| Key::new("n", name));
        let mut map = NameMap::default();
        for (value, key) in [&a, &b, &c].into_iter().enumerate() {
            map.insert_at(7, key.clone(), value);
        }
        map.insert_at(7, b.clone(), 11);
        assert_eq!([&a, &b, &c].map(|key| map.get_at(7, key).copied()), [Some(0), Some(11), Some(2)]);
        map.remove_at(7, &a);
        assert_eq!([&a, &b, &c].map(|key| map.get_at(7, key).copied()), [None, Some(11), Some(2)]);
        map.remove_at(7, &c);
        map.remove_at(7, &b);
        assert_eq!(map.values().count(), 0);
    }

    #[test]
    fn a_name_has_those_who_refer_to_it_in_order_until_the_last_one_stops() {
        let (key, [a, b]) = (Key::new("n", "a"), [1, 2].map(Uid::from_bits));
        let mut referrers = Referrers::default();
        for uid in [b, b, a] {
            referrers.insert(key.clone(), uid);
        }
        assert_eq!(referrers.of(&key).collect::<Vec<_>>(), [a, b]);
        referrers.remove(&key, b);
        referrers.remove(&key, b);
        assert_eq!(referrers.of(&key).collect::<Vec<_>>(), [a]);
        referrers.remove(&key, a);
        assert!(!referrers.has(&key));
    }
}
