//! Nothing ends before its time.

use agent_sandbox_core::id::{Kind, Uid};
use agent_sandbox_core::object::{Claim, Sandbox, ShutdownPolicy};
use agent_sandbox_core::wishes;

use super::{Checker, Class, Judgement, Property, as_claim, as_sandbox};
use crate::api_server::{Commit, Writer};
use crate::store::Store;

/// INV-07 and INV-19: what cannot be undone is done only to a sandbox that asks for it.
#[derive(Clone, Debug, Default)]
pub(super) struct RightEnd {
    /// Sandboxes that were ever to stop: what was decided then may take effect later.
    stopped: Vec<Uid>,
}

impl Checker for RightEnd {
    fn property(&self) -> Property {
        Property {
            name: "right-end",
            about: "controllers stop the Pod of a sandbox, say that it has expired or end it only if it says so",
            class: Class::Safety,
        }
    }

    fn on_commit(&mut self, commit: &Commit, _store: &Store) -> Judgement {
        let sandbox = as_sandbox(commit.new.as_ref());
        if let Some(sandbox) = sandbox.filter(|it| it.suspended || it.shutdown.is_some()) {
            let uid = sandbox.meta.uid;
            if !self.stopped.contains(&uid) {
                self.stopped.push(uid);
            }
        }
        let Some(Writer::Process { .. }) = commit.by else { return Judgement::Silent };
        if let Some(claim) = as_claim(commit.old.as_ref()) {
            return if commit.ends_life() { judge_claim(claim) } else { Judgement::Silent };
        }
        match (commit.old.as_ref(), as_sandbox(commit.old.as_ref())) {
            (_, Some(before)) => judge_sandbox(before, sandbox),
            (Some(pod), None) if pod.kind() == Kind::Pod && commit.ends_life() => {
                let owner = pod.meta().owner_of_kind(Kind::Sandbox).unwrap_or_default();
                let is_right = self.stopped.contains(&owner);
                let what = || format!("Pod {} was deleted, whose sandbox was to run", pod.key().name);
                Judgement::unless_broken((!is_right).then(what))
            }
            (Some(_) | None, None) => Judgement::Silent,
        }
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }

    fn remembered(&self, walk: &mut agent_sandbox_core::fingerprint::Walk) {
        walk.set(&self.stopped, |walk, uid| walk.uid(*uid));
    }
}

/// A claim goes only while its user wants it to go at some time.
fn judge_claim(claim: &Claim) -> Judgement {
    let lifecycle = claim.wishes.as_ref().and_then(|wishes| wishes.lifecycle.as_ref());
    let is_right = lifecycle.is_some_and(|it| it.policy != wishes::ClaimShutdownPolicy::Retain);
    let what = || format!("claim {} was deleted, which was not to be", claim.meta.key.name);
    Judgement::unless_broken((!is_right).then(what))
}

fn judge_sandbox(before: &Sandbox, after: Option<&Sandbox>) -> Judgement {
    let name = &before.meta.key.name;
    // A pool lets go of its members for reasons of its own.
    let Some(after) = after else {
        let is_alone = before.meta.owner.is_none();
        let is_right = before.shutdown.is_some_and(|shutdown| shutdown.policy == ShutdownPolicy::Delete);
        let what = || format!("sandbox {name} was deleted, which was not to be");
        return Judgement::unless_broken((is_alone && !is_right).then(what));
    };
    if before.status.is_expired() || !after.status.is_expired() {
        return Judgement::Silent;
    }
    let what = || format!("sandbox {name} says that it has expired, and has no shutdown time");
    Judgement::unless_broken(before.shutdown.is_none().then(what))
}
