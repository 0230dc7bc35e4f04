//! Labels and annotations: small maps that many objects share.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::Text;

/// Labels or annotations: key → value, in key order.
///
/// A copy shares the pairs. A change copies them: objects are read far more often than they change, and the members of
/// a pool have the same labels.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Labels(Arc<[(Text, Text)]>);

/// Up to so many are looked through one by one: most have another length, so that no text need be read.
const FEW: usize = 16;

/// The pairs of [`Labels`], in key order.
pub(crate) type Iter<'a> =
    core::iter::Map<core::slice::Iter<'a, (Text, Text)>, fn(&'a (Text, Text)) -> (&'a Text, &'a Text)>;

impl Labels {
    /// Returns no labels.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the value of a key.
    pub fn get(&self, key: &str) -> Option<&Text> {
        if self.len() > FEW {
            return self.place(key).ok().map(|place| &self.0[place].1);
        }
        self.0.iter().find(|(other, _)| **other == *key).map(|(_, value)| value)
    }

    /// Returns a key's text: the one that is there, where there is one.
    pub(crate) fn key(&self, key: &str) -> Text {
        self.place(key).map_or_else(|_| key.into(), |place| self.0[place].0.clone())
    }

    /// Returns whether a key is there.
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Returns the pairs, in key order.
    pub fn iter(&self) -> Iter<'_> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// Returns the keys, in order.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Text> {
        self.0.iter().map(|(key, _)| key)
    }

    /// Sets a key, and returns the value that it had.
    pub fn insert(&mut self, key: Text, value: Text) -> Option<Text> {
        let former = self.get(&key).cloned();
        self.extend([(key, value)]);
        former
    }

    /// Sets a key that is not there.
    pub fn insert_if_absent(&mut self, key: &str, value: &str) {
        if !self.contains_key(key) {
            self.insert(key.into(), value.into());
        }
    }

    /// Takes a key away, and returns the value that it had.
    pub fn remove(&mut self, key: &str) -> Option<Text> {
        let former = self.get(key)?.clone();
        self.retain(|other, _| other != key);
        Some(former)
    }

    /// Keeps the pairs of which this is true.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &Text) -> bool) {
        let kept: Vec<_> = self.0.iter().filter(|(key, value)| keep(key, value)).cloned().collect();
        if kept.len() < self.len() {
            self.0 = kept.into();
        }
    }

    /// Takes all away.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Shows each key and value for a change that keeps what it says.
    pub(crate) fn for_each_text(&mut self, mut change: impl FnMut(&mut Text)) {
        for (key, value) in Arc::make_mut(&mut self.0) {
            change(key);
            change(value);
        }
    }

    fn place(&self, key: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| (**other).cmp(key))
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a Text, &'a Text);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl Extend<(Text, Text)> for Labels {
    fn extend<I: IntoIterator<Item = (Text, Text)>>(&mut self, pairs: I) {
        let mut changed: Option<Vec<(Text, Text)>> = None;
        for (key, value) in pairs {
            if changed.is_none() && self.get(&key) == Some(&value) {
                continue;
            }
            let all = changed.get_or_insert_with(|| self.0.to_vec());
            match all.binary_search_by(|(other, _)| other.cmp(&key)) {
                Ok(place) => all[place].1 = value,
                Err(place) => all.insert(place, (key, value)),
            }
        }
        if let Some(all) = changed {
            self.0 = all.into();
        }
    }
}

impl FromIterator<(Text, Text)> for Labels {
    fn from_iter<I: IntoIterator<Item = (Text, Text)>>(pairs: I) -> Self {
        let mut labels = Self::default();
        labels.extend(pairs);
        labels
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for Labels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(deserializer).map(Self::from_iter)
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn a_copy_does_not_change_with_the_original() {
        let labels: Labels = [("b".into(), "2".into()), ("a".into(), "1".into())].into_iter().collect();
        let mut changed = labels.clone();
        assert_eq!(changed.insert("b".into(), "3".into()).as_deref(), Some("2"));
        assert_eq!(changed.remove("a").as_deref(), Some("1"));
        changed.insert_if_absent("b", "4");
        assert_eq!(format!("{labels:?} {changed:?}"), r#"{"a": "1", "b": "2"} {"b": "3"}"#);
    }

    #[test]
    fn of_two_values_for_a_key_the_last_one_counts() {
        let labels: Labels = [("a".into(), "1".into()), ("a".into(), "2".into())].into_iter().collect();
        assert_eq!(serde_json::to_string(&labels).unwrap(), r#"{"a":"2"}"#);
        assert_eq!(serde_json::from_str::<Labels>(r#"{"a":"2"}"#).unwrap(), labels);
    }
}
