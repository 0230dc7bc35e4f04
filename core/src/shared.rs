//! Values that copies share until one of them changes.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use core::borrow::Borrow;
use core::ops::{Deref, DerefMut};

/// A value that is shared with the copies of its holder, until it is written.
///
/// A machine that nobody copies pays a comparison for a write. A copy costs one counter for each value, whatever its
/// size: searches that go back to an earlier situation need that. So what would change nothing is no write.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared<T>(Arc<T>);

impl<T> From<T> for Shared<T> {
    fn from(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

impl<T> Shared<T> {
    /// Returns whether a write would copy the value.
    pub(crate) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl<K: Ord + Clone, V: Clone> Shared<BTreeMap<K, V>> {
    /// As the map's own, but an absent key is no write.
    pub(crate) fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        if self.is_shared() && !self.0.contains_key(key) {
            return None;
        }
        Arc::make_mut(&mut self.0).remove(key)
    }

    /// As the map's own, but an absent key is no write.
    pub(crate) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        if self.is_shared() && !self.0.contains_key(key) {
            return None;
        }
        Arc::make_mut(&mut self.0).get_mut(key)
    }
}

impl<T: Ord + Clone> Shared<BTreeSet<T>> {
    /// As the set's own, but an absent value is no write.
    pub(crate) fn remove(&mut self, value: &T) -> bool {
        (!self.is_shared() || self.0.contains(value)) && Arc::make_mut(&mut self.0).remove(value)
    }

    /// As the set's own, but a value that is there is no write.
    pub(crate) fn insert(&mut self, value: T) -> bool {
        (!self.is_shared() || !self.0.contains(&value)) && Arc::make_mut(&mut self.0).insert(value)
    }
}
