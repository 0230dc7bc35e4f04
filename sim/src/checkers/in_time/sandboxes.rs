//! What is due to sandboxes: that those which are to have no Pod have none, and that all say how they are.

use std::collections::BTreeSet;

use agent_sandbox_core::id::{Kind, Uid};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Object, Pod, Sandbox};

use super::{AT_ONCE, SETTLED, Sight, Undone};
use crate::api_server::Commit;
use crate::checkers::as_sandbox;
use crate::reference::words;
use crate::store::Store;

/// Sandboxes of which it is not known that they say how they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Unsaid(BTreeSet<Uid>);

impl Unsaid {
    /// Notes what a change is about.
    pub(super) fn on_commit(&mut self, commit: &Commit, store: &Store) {
        let object = commit.object();
        match object.kind() {
            Kind::Sandbox if commit.new.is_none() => _ = self.0.remove(&object.uid()),
            Kind::Sandbox => _ = self.0.insert(object.uid()),
            Kind::Pod | Kind::Service | Kind::VolumeClaim => {
                let owner = |object: &Object| object.meta().owner_of_kind(Kind::Sandbox);
                let owners = [commit.old.as_ref().and_then(owner), commit.new.as_ref().and_then(owner)];
                let namesake = store.get(Kind::Sandbox, object.key()).map(Object::uid);
                self.0.extend(owners.into_iter().chain([namesake]).flatten());
            }
            Kind::Claim | Kind::Pool | Kind::Template | Kind::NetworkPolicy => {}
        }
    }

    /// Adds each sandbox that does not say how it is.
    pub(super) fn undone(&mut self, sight: &Sight<'_>, undone: &mut Vec<Undone>) {
        self.0.retain(|uid| {
            let Some(sandbox) = as_sandbox(sight.store.find(Kind::Sandbox, *uid)) else { return false };
            let is_over = match sandbox.shutdown {
                None => false,
                Some(shutdown) if sight.has_passed(shutdown.at) => true,
                Some(shutdown) if sight.is_ahead(shutdown.at) => false,
                Some(_) => return true,
            };
            if sandbox.meta.terminating || sight.is_unwritable(*uid) {
                return true;
            }
            undone.extend(silenced(sandbox, sight).filter(|_| !is_over));
            // Nor is anything said of a Pod that may yet come, be it that of a former sandbox of this name.
            if sight.is_held(*uid) || sight.is_unsure(Kind::Pod, &sandbox.meta.key) {
                return true;
            }
            let wrong = words::difference(sandbox, sight.store, is_over);
            let is_right = wrong.is_none();
            undone.extend(wrong.map(|wrong| unsaid(sandbox, wrong, sight.store)));
            // What is right at one time is wrong when another has come.
            !is_right || sandbox.shutdown.is_some()
        });
    }
}

/// Returns what is left of a sandbox that does not say what of it the server refuses (SCND-041).
fn silenced(sandbox: &Sandbox, sight: &Sight<'_>) -> Option<Undone> {
    let store = sight.store;
    let ready = sandbox.status.condition(names::READY);
    let told = ready.filter(|it| &*it.reason == "ReconcilerError").map_or("", |it| &*it.message);
    let mut refused = sight.seat.refused_parts(sandbox.meta.uid, sight.until);
    let (kind, _) = refused.find(|(kind, part)| {
        words::is_missing(sandbox, (*kind, &part.key), store)
            && !without_digits(told).contains(&without_digits(&part.why))
    })?;
    let (about, name) = (sandbox.meta.uid, sandbox.meta.key.name.clone());
    let detail = Some(format!("does not say why the server refuses it a {kind}, but {told:?}"));
    let of = sandbox.meta.generation.unsigned_abs();
    Some(Undone { about, name, how: "without the word what it is refused", detail, of, within: SETTLED })
}

/// A reason that differs in its numbers only, as those of quotas do with each attempt, is the same reason (DEF-032).
fn without_digits(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_ascii_digit()).collect()
}

/// Returns what is left of a sandbox that does not say how it is.
fn unsaid(sandbox: &Sandbox, wrong: String, store: &Store) -> Undone {
    let parts = [Kind::Pod, Kind::Service, Kind::VolumeClaim];
    let own = parts.into_iter().flat_map(|kind| store.owned_by(kind, sandbox.meta.uid));
    let named = parts.into_iter().filter_map(|kind| store.get(kind, &sandbox.meta.key));
    let versions = own.chain(named).map(|object| object.version().0);
    let of = versions.fold(sandbox.meta.version.0, u64::max);
    let (about, name) = (sandbox.meta.uid, sandbox.meta.key.name.clone());
    Undone { about, name, how: "without the word how it is", detail: Some(wrong), of, within: SETTLED }
}

/// Adds each Pod that is to go and does not: all of a sandbox's Pods stop together, whoever of them goes first (INV-22).
pub(super) fn undone(sight: &Sight<'_>, undone: &mut Vec<Undone>) {
    let sandboxes = sight.store.list(Kind::Sandbox).iter().filter_map(Object::as_sandbox);
    let idle = sandboxes.filter(|sandbox| is_to_be_idle(sandbox, sight));
    undone.extend(idle.flat_map(|sandbox| {
        let pods = sight.store.owned_by(Kind::Pod, sandbox.meta.uid).filter_map(Object::as_pod);
        pods.filter(|pod| !pod.meta.terminating && !sight.is_held(pod.meta.uid)).map(|pod| left(pod, sandbox))
    }));
}

/// Returns whether a sandbox is to have no Pod, by its spec or because it has told that its time is over.
fn is_to_be_idle(sandbox: &Sandbox, sight: &Sight<'_>) -> bool {
    let has_ended =
        sandbox.status.is_expired() && sandbox.shutdown.is_some_and(|shutdown| sight.has_passed(shutdown.at));
    let is_idle = sandbox.suspended || has_ended;
    is_idle && !sandbox.meta.terminating && !sight.is_held(sandbox.meta.uid)
}

/// Returns what is left of a Pod.
fn left(pod: &Pod, sandbox: &Sandbox) -> Undone {
    let (about, name) = (pod.meta.uid, pod.meta.key.name.clone());
    let detail = Some(format!("belongs to sandbox {}, which is to have no Pod", sandbox.meta.key.name));
    let of = pod.meta.version.max(sandbox.meta.version).0;
    Undone { about, name, how: "running, which is to stop", detail, of, within: AT_ONCE }
}
