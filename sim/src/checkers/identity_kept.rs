//! A status never goes backwards.

use std::collections::BTreeMap;

use agent_sandbox_core::fingerprint::Walk;
use agent_sandbox_core::id::{Kind, Text, Uid, Version};
use agent_sandbox_core::object::Object;

use super::{Checker, Class, Judgement, Property, as_claim};
use crate::api_server::{Commit, Writer};
use crate::store::Store;

/// INV-17 and CON-010: what was published stays while it is true, and no older generation replaces a newer.
///
/// Whoever drops the name must have seen that the sandbox is gone. The write is locked to the claim's old
/// version, so a sandbox that is older than that version and still there cannot have been gone; a younger one
/// may have come in between.
#[derive(Clone, Debug, Default)]
pub(super) struct IdentityKept {
    /// Sandbox → its name, and the revision of its creation.
    births: BTreeMap<Uid, (Text, Version)>,
    /// Claim → the sandbox that it names, and the revision of the claim's last change.
    told: BTreeMap<Uid, (Text, Version)>,
}

impl Checker for IdentityKept {
    fn property(&self) -> Property {
        Property {
            name: "identity-kept",
            about: "a status keeps the sandbox that the claim owns, and never goes back to an older generation",
            class: Class::Safety,
        }
    }

    fn heeds(&self, commit: &Commit) -> bool {
        let names = |claim| as_claim(claim).is_some_and(|claim| claim.status.sandbox.is_some());
        match commit.object().kind() {
            Kind::Claim if names(commit.old.as_ref()) || names(commit.new.as_ref()) => true,
            Kind::Sandbox if commit.changes(Object::uid) => true,
            Kind::Claim | Kind::Sandbox | Kind::Pool => steps_back(commit).is_some(),
            Kind::Pod | Kind::Template | Kind::Service | Kind::VolumeClaim | Kind::NetworkPolicy => false,
        }
    }

    fn on_commit(&mut self, commit: &Commit, store: &Store) -> Judgement {
        self.note_births(commit);
        let since = self.note_claims(commit);
        let (Some(old), Some(new)) = (&commit.old, &commit.new) else { return Judgement::Silent };
        if old.uid() != new.uid() {
            return Judgement::Silent;
        }
        if commit.by == Some(Writer::User) {
            // Who clears a status says nothing that could be older than what was there.
            return Judgement::Silent;
        }
        if let Some((what, from, to)) = steps_back(commit) {
            let (kind, name) = (new.kind(), &new.key().name);
            return Judgement::Broken(format!(
                "{what} of {kind} {name} goes back from generation {from} to {to}"
            ));
        }
        let (Some(old), Some(new)) = (as_claim(Some(old)), as_claim(Some(new))) else {
            return Judgement::Silent;
        };
        let Some(bound) = &old.status.sandbox else { return Judgement::Silent };
        if new.status.sandbox.as_ref().is_some_and(|now| now.name == bound.name) {
            return Judgement::Holds;
        }
        let sandbox = store.get(Kind::Sandbox, &new.meta.key.sibling(bound.name.clone()));
        let is_kept = |sandbox: &&Object| {
            let born = self.births.get(&sandbox.uid()).map(|birth| birth.1).unwrap_or_default();
            let owned = sandbox.meta().is_owned_by(new.meta.uid) && !sandbox.meta().terminating;
            owned && since.is_none_or(|since| born < since)
        };
        let kept = sandbox.filter(is_kept);
        Judgement::unless_broken(kept.map(|_| {
            format!(
                "claim {} does not name sandbox {} any more, which it owns",
                new.meta.key.name, bound.name
            )
        }))
    }

    fn remembered(&self, walk: &mut Walk) {
        for (claim, (name, since)) in &self.told {
            let named = self.births.iter().filter(|(_, birth)| birth.0 == *name);
            walk.set(named, |walk, (sandbox, birth)| {
                walk.uid(*claim);
                walk.uid(*sandbox);
                walk.option(birth.1 < *since);
            });
        }
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

impl IdentityKept {
    fn note_births(&mut self, commit: &Commit) {
        let object = commit.object();
        if object.kind() != Kind::Sandbox {
            return;
        }
        if commit.new.is_none() {
            self.births.remove(&object.uid());
        } else if commit.old.as_ref().is_none_or(|old| old.uid() != object.uid()) {
            self.births.insert(object.uid(), (object.key().name.clone(), commit.version));
        }
    }

    /// Returns the revision of the change before this one.
    fn note_claims(&mut self, commit: &Commit) -> Option<Version> {
        let uid = commit.object().uid();
        if commit.object().kind() != Kind::Claim {
            return None;
        }
        let before = self.told.remove(&uid).map(|told| told.1);
        let bound = as_claim(commit.new.as_ref()).and_then(|claim| claim.status.sandbox.as_ref());
        if let Some(bound) = bound {
            self.told.insert(uid, (bound.name.clone(), commit.version));
        }
        before
    }
}

/// Returns which generation each part of a status belongs to.
fn observed(object: &Object) -> impl Iterator<Item = (&str, i64)> {
    let (pool, conditions) = match object {
        Object::Claim(claim) => (None, &claim.status.conditions[..]),
        Object::Sandbox(sandbox) => (None, &sandbox.status.conditions[..]),
        Object::Pool(pool) => (Some(("status", pool.status.observed)), &[][..]),
        Object::Template(_)
        | Object::Pod(_)
        | Object::Service(_)
        | Object::VolumeClaim(_)
        | Object::NetworkPolicy(_) => (None, &[][..]),
    };
    pool.into_iter().chain(conditions.iter().map(|condition| (&*condition.kind, condition.observed)))
}

/// Returns the part of a status that goes back, if one does, and from which generation to which.
fn steps_back(commit: &Commit) -> Option<(&str, i64, i64)> {
    let (Some(old), Some(new)) = (&commit.old, &commit.new) else { return None };
    if old.uid() != new.uid() {
        return None;
    }
    observed(new).find_map(|(what, to)| {
        let from = observed(old).find(|entry| entry.0 == what)?.1;
        (from > to).then_some((what, from, to))
    })
}
