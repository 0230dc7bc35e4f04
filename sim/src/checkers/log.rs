//! The watch log of a real cluster, judged by the same checkers.

use agent_sandbox_core::object::Object;

use super::{Checkers, Violation};
use crate::api_server::{Commit, Seen};
use crate::step::Fact;
use crate::store::Store;

/// Rebuilds a cluster's history from its watches and judges each change.
#[derive(Clone, Debug)]
pub struct Log {
    store: Store,
    checkers: Checkers,
}

impl Log {
    /// Returns a judge that has seen nothing.
    ///
    /// `surplus` is explained at [`Checkers::of_logs`].
    pub fn new(surplus: u32) -> Self {
        Self { store: Store::default(), checkers: Checkers::of_logs(surplus) }
    }

    /// Judges one line of a watch. Lines of all kinds come in the order of their versions; see
    /// [`Log::judge_all`].
    ///
    /// # Errors The first property that this line breaks.
    pub fn judge(&mut self, seen: Seen) -> Result<(), Violation> {
        let version = seen.version();
        let (old, new) = match seen {
            Seen::Applied(object) => (self.store.put(object.clone()), Some(object)),
            Seen::Deleted(object) => (self.store.remove(object.kind(), object.key()), None),
        };
        if old.is_none() && new.is_none() {
            return Ok(());
        }
        let commit = Commit { version, old, new, by: None };
        self.checkers.on_fact(&Fact::Committed(commit), &self.store)
    }

    /// Judges the lines of several watches, each in its order, by merging them in the order of their
    /// versions.
    ///
    /// The API server takes all versions from one counter, so this is the order in which things happened.
    pub fn judge_all(&mut self, mut lines: Vec<Seen>) -> Vec<Violation> {
        lines.sort_by_key(Seen::version);
        lines.into_iter().filter_map(|line| self.judge(line).err()).collect()
    }

    /// Judges what is stored when everything should be done.
    ///
    /// # Errors
    /// The first property that does not hold.
    pub fn judge_rest(&mut self) -> Result<(), Violation> {
        self.checkers.at_rest(&self.store)
    }

    /// Returns the checkers, for their counts.
    pub const fn checkers(&self) -> &Checkers {
        &self.checkers
    }

    /// Returns the objects of a kind as of the last line.
    pub fn list(&self, kind: agent_sandbox_core::id::Kind) -> &[Object] {
        self.store.list(kind)
    }
}
