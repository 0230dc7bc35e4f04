//! What is stored, as a value that a search goes back to.

use std::collections::BTreeMap;
use std::sync::Arc;

use agent_sandbox_core::id::{Key, Kind, Version};
use agent_sandbox_core::object::Object;

use super::{ApiServer, Commit, Line, Numbers, Seen};
use crate::store::Store;

/// What is stored, and what the numbers of the next write follow from.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    store: Store,
    marks: Marks,
    incarnations: Arc<BTreeMap<(Kind, Key), u8>>,
    /// The sum of what stands for each name that was given, and how often, and for each list and bookmark.
    counted: u64,
    revision: u64,
}

/// Sums of what stands for each stored object: one as far as it matters, and one exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) canonical: u64,
    pub(super) exact: u64,
}

impl Marks {
    pub(super) fn add(&mut self, numbers: &Numbers, object: &Object) {
        let [canonical, exact] = numbers.mark(object);
        self.canonical = self.canonical.wrapping_add(canonical);
        self.exact = self.exact.wrapping_add(exact);
    }

    pub(super) fn forget(&mut self, numbers: &Numbers, object: &Object) {
        let [canonical, exact] = numbers.mark(object);
        self.canonical = self.canonical.wrapping_sub(canonical);
        self.exact = self.exact.wrapping_sub(exact);
    }
}

impl ApiServer {
    /// Returns a number that stands for all that is stored, where a version stands for the state of its object.
    pub(crate) const fn stored(&self) -> u64 {
        self.marks.canonical
    }

    /// Returns two numbers that stand for everything from which the effect of a write follows, its number included.
    pub(crate) const fn standing(&self) -> [u64; 2] {
        [self.marks.exact, self.numbers.counted]
    }

    /// Returns what is stored.
    pub(crate) fn snapshot(&self) -> Stored {
        Stored {
            store: self.store.clone(),
            marks: self.marks,
            incarnations: self.numbers.incarnations.clone(),
            counted: self.numbers.counted,
            revision: self.revision,
        }
    }

    /// Returns the line of a watch that shows the latest change.
    pub(crate) fn line_of(&self, commit: &Commit) -> Seen {
        match (&commit.old, &commit.new) {
            (_, Some(new)) => Seen::Applied(new.clone()),
            (Some(old), None) => Seen::Deleted(self.gone(commit.version, old)),
            (None, None) => unreachable!("a commit is about an object"),
        }
    }

    /// Makes changes once more that led to this before, and were shown by these lines, each by one.
    ///
    /// They get revisions that are newer than any that was known here or there.
    pub(crate) fn redo(&mut self, stored: &Stored, lines: &[Seen]) {
        self.revision = stored.revision.max(self.revision + lines.len() as u64);
        let mut at = Version(self.revision - lines.len() as u64);
        let mut shown: Option<&Object> = None;
        for line in lines {
            let (kind, key) = (line.object().kind(), line.object().key());
            let same = shown.filter(|shown| (shown.kind(), shown.key()) == (kind, key));
            let old = same.or_else(|| self.store.get(kind, key)).cloned();
            at = Version(at.0 + 1);
            self.history_mut(kind).changes.push_back(Line { at, seen: line.clone(), old });
            shown = Some(line.object());
        }
        self.store = stored.store.clone();
        self.marks = stored.marks;
        self.numbers.incarnations = stored.incarnations.clone();
        self.numbers.counted = stored.counted;
    }
}
