//! Nothing ends before its time.

use std::time::Duration;

use agent_sandbox_core::action::{Intent, Operation, Propagation};
use agent_sandbox_core::id::{Kind, Uid};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Claim, Sandbox, ShutdownPolicy};
use agent_sandbox_core::time::Mono;
use agent_sandbox_core::wishes;

use super::{Checker, Class, Judgement, Property, as_claim, as_sandbox};
use crate::api_server::{Commit, Writer};
use crate::process;
use crate::scene;
use crate::step::{Fact, Sent};
use crate::store::Store;

/// INV-07 and INV-19: what cannot be undone is done only to a sandbox that asks for it.
#[derive(Clone, Debug, Default)]
pub(super) struct RightEnd {
    /// Sandboxes that were ever to stop: what was decided then may take effect later.
    stopped: Vec<Uid>,
    now: Mono,
    /// Whether a calendar was set anew while its process ran, so that nobody can tell what the time is for it.
    is_timeless: bool,
}

/// How far the calendar by which a process judges a date is ahead at most, and a little.
///
/// Source: `clock-skew` is up to 5 s.
const INEXACT: Duration = Duration::from_secs(6);

impl RightEnd {
    /// A claim goes only when its user wants it to go, and not before.
    fn judge_claim(&self, claim: &Claim) -> Judgement {
        let name = &claim.meta.key.name;
        let lifecycle = claim.wishes.as_ref().and_then(|wishes| wishes.lifecycle.as_ref());
        let Some(lifecycle) = lifecycle.filter(|it| it.policy != wishes::ClaimShutdownPolicy::Retain) else {
            return Judgement::Broken(format!("claim {name} was deleted, which was not to be"));
        };
        // What a claim says it has come to, of its present spec, is so by the clock of whoever has said it.
        let is_told = claim.status.condition(names::READY).is_some_and(|ready| {
            &*ready.reason == names::CLAIM_EXPIRED && ready.observed == claim.meta.generation
        });
        let latest = scene::epoch() + self.now.since(Mono::default()) + INEXACT;
        let is_due = lifecycle.ttl.is_some() || lifecycle.shutdown.is_some_and(|at| at <= latest);
        Judgement::unless_broken(
            (!is_told && !is_due && !self.is_timeless)
                .then(|| format!("claim {name} was deleted, which was given more time")),
        )
    }
}

impl Checker for RightEnd {
    fn property(&self) -> Property {
        Property {
            name: "right-end",
            about: "controllers end what says that it is to end, when and as it says, and stop nothing else",
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
            return if commit.ends_life() { self.judge_claim(claim) } else { Judgement::Silent };
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

    fn on_clock(&mut self, at: Mono) {
        self.now = at;
    }

    fn on_fact(&mut self, fact: &Fact) {
        self.is_timeless |= matches!(fact, Fact::CalendarSet(_));
    }

    fn on_action(&mut self, sent: &Sent, store: &Store) -> Judgement {
        if sent.action.intent != Intent::DeleteClaim {
            return Judgement::Silent;
        }
        let (who, name) = (process::name(sent.process), &sent.action.operation.key().name);
        Judgement::unless_broken(
            is_wrong_way(sent, store)
                .then(|| format!("{who} deletes claim {name} in another order than its policy")),
        )
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }

    fn remembered(&self, walk: &mut agent_sandbox_core::fingerprint::Walk) {
        walk.set(&self.stopped, |walk, uid| walk.uid(*uid));
    }
}

/// Returns whether a request ends a claim otherwise than its user wants: what it has goes before it, or after it.
fn is_wrong_way(sent: &Sent, store: &Store) -> bool {
    let Operation::Delete { target, version, propagation } = &*sent.action.operation else { return false };
    let claim = target.uid.and_then(|uid| as_claim(store.find(Kind::Claim, uid)));
    let claim = claim.filter(|claim| Some(claim.meta.version) == *version);
    let lifecycle = claim.and_then(|claim| claim.wishes.as_ref()?.lifecycle.as_ref());
    lifecycle.is_some_and(|it| {
        (it.policy == wishes::ClaimShutdownPolicy::DeleteForeground)
            != (*propagation == Propagation::Foreground)
    })
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
