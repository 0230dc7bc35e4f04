//! How many entries each table has.

use super::State;

impl State {
    /// Returns the number of entries of each table that follows from the objects and from writes under way, with its name.
    ///
    /// What the server itself has answered is left out: who has a name is kept as long as somebody refers to it, and what was
    /// refused as long as that for which it was to be made is there.
    pub(crate) fn sizes(&self) -> [(&'static str, usize); 14] {
        let ledger = &self.ledger;
        let objects = [
            self.claims.len(),
            self.pools.len(),
            self.templates.len(),
            self.sandboxes.len(),
            self.pods.len(),
            self.dependents.len(),
        ];
        [
            ("objects", objects.into_iter().sum()),
            ("the dead", self.tombstones.len()),
            ("condemned sandboxes", self.condemned.len()),
            ("writes", ledger.sent.len() + ledger.holds.len()),
            ("creates", ledger.drafts.len()),
            ("pools with members", self.members.len()),
            ("waiting claims", self.waiting.values().map(alloc::collections::BTreeSet::len).sum()),
            ("owners", self.children.len()),
            ("recorded sandboxes", self.reserved.len()),
            ("pools of claims", self.claims_by_pool.len()),
            ("templates of pools", self.pools_by_template.len()),
            ("noted Pods", self.noted.len()),
            ("templates of sandboxes", self.made_from.len()),
            ("Events", self.notices.len()),
        ]
    }
}
