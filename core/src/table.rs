//! Tables whose keys are numbers that look random, uids, or have a hash that is one: names.
//!
//! A search tree of 100,000 uids costs a comparison for each of some seventeen levels, most of them in memory that nobody
//! else reads; a table costs one. What it gives up is the order, so nothing may depend on that: what must come in an
//! order is sorted first.

use alloc::vec::Vec;
use core::hash::{BuildHasher, Hash, Hasher};

use hashbrown::HashMap;

use crate::shared::Shared;

/// Values by uid, by name, or by the number of an action.
#[derive(Clone, Debug)]
pub(crate) struct Table<K, V>(HashMap<K, V, Spread>);

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self(HashMap::with_hasher(Spread::default()))
    }
}

impl<K: Hash + Eq, V> Table<K, V> {
    /// Returns how many values there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the value of a key.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.0.get(key)
    }

    /// Returns the value of a key for a change.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.0.get_mut(key)
    }

    /// Returns the value of a key for a change; a new one where there is none.
    pub(crate) fn get_or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        self.0.entry(key).or_default()
    }

    /// Returns whether a key is there.
    pub(crate) fn contains_key(&self, key: &K) -> bool {
        self.0.contains_key(key)
    }

    /// Sets the value of a key, and returns the one that it had.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        self.0.insert(key, value)
    }

    /// Takes a key away, and returns its value.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.0.remove(key)
    }

    /// Keeps the values of which this is true.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) {
        self.0.retain(|key, value| keep(key, value));
    }

    /// Returns all, in no order: for what comes out the same in any.
    pub(crate) fn unordered(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter()
    }

    /// Returns all for a change, in no order.
    pub(crate) fn unordered_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.0.iter_mut()
    }
}

impl<K: Hash + Eq + Ord + Copy, V> Table<K, V> {
    /// Returns the keys in their order.
    pub(crate) fn sorted_keys(&self) -> Vec<K> {
        let mut keys: Vec<K> = self.0.keys().copied().collect();
        keys.sort_unstable();
        keys
    }
}

impl<K: Hash + Eq, V> core::ops::Index<&K> for Table<K, V> {
    type Output = V;

    fn index(&self, key: &K) -> &V {
        &self.0[key]
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Shared<Table<K, V>> {
    /// As the table's own, but an absent key is no write.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        if self.is_shared() && !self.contains_key(key) {
            return None;
        }
        (**self).remove(key)
    }

    /// As the table's own, but an absent key is no write.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        if self.is_shared() && !self.contains_key(key) {
            return None;
        }
        (**self).get_mut(key)
    }
}

/// Makes a place of a number. It is the same in every process, so that a run can be repeated.
#[derive(Clone, Copy, Debug, Default)]
struct Spread(u64);

impl BuildHasher for Spread {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self::default()
    }
}

impl Hasher for Spread {
    fn write_u64(&mut self, number: u64) {
        // Source: 2⁶⁴ divided by the golden ratio. The table takes the place from the low bits, and a mark from the high.
        let product = (self.0.rotate_left(32) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ (product >> 32);
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Uid;

    #[test]
    fn a_copy_is_written_apart_and_only_when_something_changes() {
        let (a, b) = (Uid::from_bits(1), Uid::from_bits(2));
        let mut table: Shared<Table<Uid, u8>> = Shared::default();
        table.insert(a, 1);
        let copy = table.clone();
        assert_eq!((table.remove(&b), table.get_mut(&b).is_none()), (None, true));
        assert!(table.is_shared());
        *table.get_mut(&a).expect("it is there") = 2;
        table.insert(b, 3);
        assert_eq!((copy.sorted_keys(), table.sorted_keys()), ([a].to_vec(), [a, b].to_vec()));
        assert_eq!((copy[&a], table[&a]), (1, 2));
    }
}
