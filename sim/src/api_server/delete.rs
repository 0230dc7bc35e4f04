//! Deletion: at once, after a Pod's grace, or when the last finalizer is taken off.
//!
//! Source: `Store.Delete` and `updateForGracefulDeletionAndFinalizers` in k8s.io/apiserver, `registry/generic/registry/store.go`.

use agent_sandbox_core::action::{Propagation, Target};
use agent_sandbox_core::event::Outcome;
use agent_sandbox_core::id::{Key, Kind, Text, Uid, Version};
use agent_sandbox_core::object::Object;

use super::kept::{self, FOREGROUND, Kept, ORPHAN};
use super::{ApiServer, Commit, Commits, Seen, Writer, counts_generations};

/// How a delete is to go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deletion {
    /// What becomes of what the object owns; `None` leaves it at what is under way, or else at the background.
    pub dependents: Option<Dependents>,
    /// `gracePeriodSeconds`: only Pods have time to end.
    pub grace: Option<u32>,
}

/// What becomes of what an object owns that is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dependents {
    /// It goes after the object.
    Background,
    /// It goes before the object.
    Foreground,
    /// It stays, and belongs to nobody.
    Orphan,
}

impl From<Propagation> for Deletion {
    /// The core's requests name no policy when the background will do.
    fn from(propagation: Propagation) -> Self {
        let dependents = match propagation {
            Propagation::Background => None,
            Propagation::Foreground => Some(Dependents::Foreground),
        };
        Self { dependents, grace: None }
    }
}

impl Deletion {
    /// Of a Pod whose time is over, or that is to go at once.
    pub const AT_ONCE: Self = Self { dependents: None, grace: Some(0) };

    /// Of an object that is to go after what it owns.
    pub const FOREGROUND: Self = Self { dependents: Some(Dependents::Foreground), grace: None };

    /// Returns whether it takes the last finalizer off an object, which goes at once then.
    fn frees(self, old: &Object) -> bool {
        let finalizers = Kept::of(old.meta()).finalizers;
        let has_time = old.kind() == Kind::Pod && kept::grace(old) != Some(0);
        !has_time && !finalizers.is_empty() && self.finalizers(&finalizers).is_empty()
    }

    /// Source: `deletionFinalizersForGarbageCollection`.
    fn finalizers(self, now: &[Text]) -> Vec<Text> {
        let wanted = match self.dependents {
            None => return now.to_vec(),
            Some(Dependents::Background) => None,
            Some(Dependents::Foreground) => Some(FOREGROUND),
            Some(Dependents::Orphan) => Some(ORPHAN),
        };
        let others = now.iter().filter(|name| ![FOREGROUND, ORPHAN].contains(&&***name)).cloned();
        let finalizers: Vec<Text> = others.chain(wanted.map(Text::from)).collect();
        let is_same = finalizers.len() == now.len() && finalizers.iter().all(|name| now.contains(name));
        if is_same { now.to_vec() } else { finalizers }
    }
}

impl ApiServer {
    pub(super) fn delete(
        &mut self,
        target: &Target,
        version: Option<Version>,
        deletion: Deletion,
        by: Writer,
    ) -> (Outcome, Commits) {
        let old = match self.check(target, version) {
            Ok(object) => object.clone(),
            Err(outcome) => return (outcome, Commits::default()),
        };
        if version.is_some() && deletion.frees(&old) {
            // The server looks for the version on what it would have written, and has written nothing.
            return (Outcome::Conflict, Commits::default());
        }
        let commits = self.delete_now(target.kind, &target.key, deletion, by);
        let outcome = match commits.iter().flatten().last() {
            None => Outcome::Done(old),
            Some(Commit { new: Some(object), .. }) => Outcome::Done(object.clone()),
            Some(_) => self.last_words(target.kind).map_or(Outcome::Accepted, Outcome::Done),
        };
        (outcome, commits)
    }

    /// Deletes whatever holds a name.
    ///
    /// A Pod that goes at once is terminating first, for everybody to see.
    pub fn delete_now(&mut self, kind: Kind, key: &Key, deletion: Deletion, by: Writer) -> Commits {
        let Some(old) = self.store.get(kind, key).cloned() else { return Commits::default() };
        let grace = match (kept::grace(&old), deletion.grace) {
            (None, wanted) => kept::grace_of_delete(&old, wanted),
            (Some(0), _) => None,
            (Some(now), Some(wanted)) if wanted < now => Some(wanted),
            // It is going, and that is all that can be asked.
            (Some(_), _) => return Commits::default(),
        };
        let mut kept = Kept::of(old.meta());
        kept.finalizers = deletion.finalizers(&kept.finalizers);
        let is_free = kept.finalizers.is_empty();
        if grace.is_none() && is_free {
            return [self.erase(kind, key, by), None];
        }
        let mut object = old.clone();
        kept.put(object.meta_mut());
        kept::age(&mut object);
        terminate(&mut object);
        if let Some(seconds) = grace {
            kept::give_grace(&mut object, seconds);
        }
        let marked = (object != old).then(|| self.write(Some(old), object, by));
        let gone = if is_free && grace == Some(0) { self.erase(kind, key, by) } else { None };
        [marked, gone]
    }

    /// Takes a finalizer off an object, and the object away if it is going and nothing else keeps it.
    pub fn release(&mut self, kind: Kind, uid: Uid, finalizer: &str, by: Writer) -> Option<Commit> {
        let key = self.store.find(kind, uid)?.key().clone();
        self.update(kind, &key, by, |object| {
            let mut kept = Kept::of(object.meta());
            kept.take(finalizer);
            kept.put(object.meta_mut());
        })
    }

    /// Returns what the answer to a delete shows of the object that was just removed; of most kinds nothing.
    ///
    /// Source: `ReturnDeletedObject` in the registries of Pods, Services and volume claims.
    fn last_words(&self, kind: Kind) -> Option<Object> {
        if !matches!(kind, Kind::Pod | Kind::Service | Kind::VolumeClaim) {
            return None;
        }
        match &self.histories[kind.index()].changes.back()?.seen {
            Seen::Deleted(gone) => Some(gone.clone()),
            Seen::Applied(_) => None,
        }
    }
}

/// Returns whether an object goes when it looks like this next.
///
/// Source: `ShouldDeleteDuringUpdate`.
pub(super) fn ends(old: &Object, object: &Object) -> bool {
    old.meta().terminating && kept::grace(old) == Some(0) && Kept::of(object.meta()).finalizers.is_empty()
}

/// Marks an object that is there until somebody has done what is left to do: the end counts as a change of the spec.
fn terminate(object: &mut Object) {
    let counts = counts_generations(object.kind());
    let meta = object.meta_mut();
    meta.generation += i64::from(counts && !meta.terminating);
    meta.terminating = true;
}
