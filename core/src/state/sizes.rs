//! How many entries each table has.

use super::State;
use crate::id::{Kind, Uid};

impl State {
    /// Returns the number of entries of each table that follows from the objects and from writes under way, with its name.
    ///
    /// What the server itself has answered counts only where nobody needs it: who has a name is kept as long as somebody
    /// refers to it, and what was refused as long as that for which it was to be made is there.
    pub(crate) fn sizes(&self) -> [(&'static str, usize); 18] {
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
            ("reads", ledger.looks.values().filter(|look| !look.is_sent).count()),
            ("refusals to what is gone", self.refusals_to_the_gone()),
            ("losses of what is gone", self.bereaved.keys().filter(|uid| self.is_gone(**uid)).count()),
            ("names that nobody refers to", self.names_without_use()),
        ]
    }

    fn is_gone(&self, uid: Uid) -> bool {
        self.kind_of(uid).is_none()
    }

    fn refusals_to_the_gone(&self) -> usize {
        let refused = self.ledger.refused.keys().map(|(subject, _)| subject);
        refused.chain(self.ledger.barred.keys()).filter(|uid| self.is_gone(**uid)).count()
    }

    fn names_without_use(&self) -> usize {
        let absent = self.absent.iter().filter(|(kind, key)| !self.is_referred_to(*kind, key)).count();
        absent + self.confirmed.keys().filter(|key| !self.is_referred_to(Kind::Sandbox, key)).count()
    }
}
