//! Who refers to a name.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;

use crate::id::{Key, Uid};
use crate::table::Table;

/// Objects that refer to a name: for each name a set in the order of identities, and never an empty one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Referrers(Table<Key, Uids>);

/// Some objects, in order: mostly one.
#[derive(Clone, Debug)]
pub(crate) enum Uids {
    One(Uid),
    #[expect(clippy::box_collection, reason = "few are many, so that the many need not be at hand")]
    Many(Box<BTreeSet<Uid>>),
}

impl Uids {
    /// Returns them, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Uid> + use<'_> {
        let (one, many) = match self {
            Self::One(uid) => (Some(*uid), None),
            Self::Many(uids) => (None, Some(&**uids)),
        };
        one.into_iter().chain(many.into_iter().flatten().copied())
    }

    /// Adds one.
    pub(super) fn insert(&mut self, uid: Uid) {
        match self {
            Self::One(other) if *other == uid => {}
            Self::One(other) => *self = Self::Many(Box::new([*other, uid].into())),
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

    /// Returns how many refer to names, each counted as often as it does.
    pub(super) fn len(&self) -> usize {
        self.0.unordered().map(|(_, uids)| uids.iter().count()).sum()
    }

    /// Returns whether anybody refers to a name.
    pub(crate) fn has(&self, key: &Key) -> bool {
        self.0.get(key).is_some()
    }

    pub(super) fn insert(&mut self, key: Key, uid: Uid) {
        match self.0.get_mut(&key) {
            None => {
                self.0.insert(key, Uids::One(uid));
            }
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
