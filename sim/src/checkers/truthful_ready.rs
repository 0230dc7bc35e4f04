//! A claim that says Ready says which sandbox, and where, and it is true.

use agent_sandbox_core::fingerprint::Walk;
use agent_sandbox_core::id::{Kind, Text, Uid};
use agent_sandbox_core::object::{Bound, Claim, Object};

use super::{Checker, Class, Judgement, Property, as_claim};
use crate::api_server::Commit;
use crate::store::Store;

/// INV-16 and CON-012: clients act on the first version that says Ready.
///
/// The sandbox and its Pod may be gone again by the time the status is written: somebody else's delete can
/// always come in between, and so can a kubelet that gives the Pod another address. So what counts is what is there, or
/// was.
#[derive(Clone, Debug, Default)]
pub(super) struct TruthfulReady {
    /// Sandboxes of claims that are gone: claim, sandbox, name.
    sandboxes: Vec<(Uid, Uid, Text)>,
    /// Pods of sandboxes that are gone, or have other addresses now: sandbox, addresses. A claim may have adopted the
    /// sandbox before it is known.
    pods: Vec<(Uid, Vec<Text>)>,
}

impl Checker for TruthfulReady {
    fn property(&self) -> Property {
        Property {
            name: "truthful-ready",
            about: "Ready comes with the name of a sandbox that the claim owns, and with its Pod's addresses",
            class: Class::Safety,
        }
    }

    fn heeds(&self, commit: &Commit) -> bool {
        commit.new.is_none()
            || moves(commit).is_some()
            || (commit.object().kind() == Kind::Claim
                && commit.changes(|claim| as_claim(Some(claim)).map(|claim| &claim.status)))
    }

    fn on_commit(&mut self, commit: &Commit, store: &Store) -> Judgement {
        self.remember(commit);
        let Some(claim) = as_claim(commit.new.as_ref()) else { return Judgement::Silent };
        let before = as_claim(commit.old.as_ref());
        if !claim.status.is_ready() || before.is_some_and(|old| old.status == claim.status) {
            return Judgement::Silent;
        }
        Judgement::unless_broken(
            self.lie(claim, store).map(|lie| format!("claim {} is Ready {lie}", claim.meta.key.name)),
        )
    }

    fn remembered(&self, walk: &mut Walk) {
        walk.set(&self.sandboxes, |walk, (claim, sandbox, _)| {
            walk.uid(*claim);
            walk.uid(*sandbox);
        });
        walk.set(&self.pods, |walk, (sandbox, addresses)| {
            walk.uid(*sandbox);
            addresses.iter().for_each(|address| walk.text(address));
        });
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

/// Returns the addresses that a Pod had before a change that gives it others, with its sandbox.
fn moves(commit: &Commit) -> Option<(Uid, Vec<Text>)> {
    let (old, new) = (commit.old.as_ref()?.as_pod()?, commit.new.as_ref()?.as_pod()?);
    let has_moved = !old.ips.is_empty() && old.ips != new.ips;
    Some((old.meta.owner_of_kind(Kind::Sandbox)?, old.ips.clone())).filter(|_| has_moved)
}

impl TruthfulReady {
    fn remember(&mut self, commit: &Commit) {
        self.pods.extend(moves(commit));
        let (Some(old), None) = (&commit.old, &commit.new) else { return };
        match old {
            Object::Claim(claim) => self.sandboxes.retain(|entry| entry.0 != claim.meta.uid),
            Object::Sandbox(sandbox) => {
                if let Some(claim) = sandbox.meta.owner_of_kind(Kind::Claim) {
                    self.sandboxes.push((claim, sandbox.meta.uid, sandbox.meta.key.name.clone()));
                }
            }
            Object::Pod(pod) => {
                let owner = pod.meta.owner_of_kind(Kind::Sandbox);
                if let Some(sandbox) = owner {
                    self.pods.push((sandbox, pod.ips.clone()));
                }
            }
            Object::Pool(_)
            | Object::Template(_)
            | Object::Service(_)
            | Object::VolumeClaim(_)
            | Object::NetworkPolicy(_) => {}
        }
    }

    /// Returns what is wrong with a claim that says Ready.
    fn lie(&self, claim: &Claim, store: &Store) -> Option<String> {
        let Some(bound) = &claim.status.sandbox else { return Some("without a sandbox".to_owned()) };
        if bound.pod_ips.is_empty() {
            return Some("without an address".to_owned());
        }
        let sandboxes = self.sandboxes_of(claim, bound, store);
        if sandboxes.is_empty() {
            return Some(format!("with sandbox {}, which it does not own", bound.name));
        }
        let is_true =
            |sandbox: &Uid| bound.pod_ips.iter().all(|address| self.has_address(*sandbox, address, store));
        let lie = !sandboxes.iter().any(is_true);
        lie.then(|| format!("at {:?}, where no Pod of sandbox {} is", bound.pod_ips, bound.name))
    }

    /// Returns the sandboxes with the name that a claim publishes, that it owns or owned.
    fn sandboxes_of(&self, claim: &Claim, bound: &Bound, store: &Store) -> Vec<Uid> {
        let uid = claim.meta.uid;
        let here = store.get(Kind::Sandbox, &claim.meta.key.sibling(bound.name.clone()));
        let here = here.filter(|sandbox| sandbox.meta().is_owned_by(uid)).map(Object::uid);
        let gone = self.sandboxes.iter().filter(|entry| entry.0 == uid && entry.2 == bound.name);
        gone.map(|entry| entry.1).chain(here).collect()
    }

    fn has_address(&self, sandbox: Uid, address: &Text, store: &Store) -> bool {
        let mut pods = store.owned_by(Kind::Pod, sandbox).filter_map(Object::as_pod);
        let here = pods.any(|pod| pod.ips.contains(address));
        here || self.pods.iter().any(|entry| entry.0 == sandbox && entry.1.contains(address))
    }
}
