//! Nothing ends before its time.

use std::collections::BTreeSet;

use agent_sandbox_core::action::{Intent, Operation, Propagation};
use agent_sandbox_core::id::{Kind, Uid};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Claim, Object, Sandbox, Shutdown, ShutdownPolicy};
use agent_sandbox_core::time::{Mono, Wall};
use agent_sandbox_core::wishes;

use super::known::Known;
use super::{Checker, Class, INEXACT, Judgement, Property, as_claim, as_sandbox};
use crate::api_server::{Commit, Writer};
use crate::process;
use crate::scene;
use crate::step::{Fact, Sent};
use crate::store::Store;

/// INV-07 and INV-19: what cannot be undone is done only to a sandbox that asks for it.
#[derive(Clone, Debug, Default)]
pub(super) struct RightEnd {
    /// Sandboxes that ever were to have no Pod: what was decided then may take effect later.
    stopped: BTreeSet<Uid>,
    /// Sandboxes that ever were to have no Service.
    unserved: BTreeSet<Uid>,
    now: Mono,
    /// Whether a calendar was set anew while its process ran, so that nobody can tell what the time is for it.
    is_timeless: bool,
}

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
        let is_due = lifecycle.ttl.is_some() || lifecycle.shutdown.is_some_and(|at| self.has_come(at));
        Judgement::unless_broken(
            (!is_told && !is_due).then(|| format!("claim {name} was deleted, which was given more time")),
        )
    }

    /// A claim says that its time is over only when it is (LIF-001, LIF-002).
    fn judge_word(&self, before: &Claim, after: &Claim) -> Judgement {
        if after.expired().is_none() || after.expired() == before.expired() {
            return Judgement::Silent;
        }
        let lifecycle = before.wishes.as_ref().and_then(|wishes| wishes.lifecycle.as_ref());
        let finished = before.status.condition(names::FINISHED);
        let after_end = lifecycle.and_then(|it| it.ttl).zip(finished).map(|(ttl, it)| it.changed + ttl);
        let shutdown = lifecycle.and_then(|it| it.shutdown);
        let is_due = [shutdown, after_end].into_iter().flatten().any(|at| self.has_come(at));
        let what = || format!("claim {} says that it has expired, which it has not", before.meta.key.name);
        Judgement::unless_broken((!is_due).then(what))
    }

    /// Returns whether somebody may think that it is as late as this.
    fn has_come(&self, at: Wall) -> bool {
        self.is_timeless || at <= scene::epoch() + self.now.since(Mono::default()) + INEXACT
    }

    /// Notes what a sandbox is to have no more. A sandbox that has expired says so before it loses anything.
    fn note(&mut self, sandbox: &Sandbox) {
        let has_ended = sandbox.shutdown.is_some() && sandbox.status.is_expired();
        if sandbox.suspended || has_ended {
            self.stopped.insert(sandbox.meta.uid);
        }
        if sandbox.service == Some(false) || has_ended {
            self.unserved.insert(sandbox.meta.uid);
        }
    }

    /// A Pod and a Service go only when their sandbox is to have none.
    fn judge_part(&self, part: &Object) -> Judgement {
        let (goes, why) = match part.kind() {
            Kind::Pod => (&self.stopped, "was to run"),
            Kind::Service => (&self.unserved, "was to keep it"),
            // What a user has stored is never thrown away (SBX-023, SBX-044).
            Kind::VolumeClaim => {
                return Judgement::Broken(format!("volume claim {} was deleted", part.key().name));
            }
            Kind::Claim | Kind::Pool | Kind::Template | Kind::Sandbox | Kind::NetworkPolicy => {
                return Judgement::Silent;
            }
        };
        let owner = part.meta().owner_of_kind(Kind::Sandbox).unwrap_or_default();
        let what = || format!("{} {} was deleted, whose sandbox {why}", part.kind(), part.key().name);
        Judgement::unless_broken((!goes.contains(&owner)).then(what))
    }

    /// Returns whether a Pod or a Service belongs to a sandbox that is to have it, as a process sees: what it said before it was
    /// given more time counts no more.
    fn is_kept(&self, process: u8, part: &Object, known: &Known, store: &Store) -> bool {
        let owner = part.meta().owner_of_kind(Kind::Sandbox);
        let owner = owner.and_then(|uid| store.find(Kind::Sandbox, uid));
        let owner = owner.filter(|owner| known.sees(process, owner));
        let Some(sandbox) = as_sandbox(owner).filter(|it| !it.meta.terminating) else { return false };
        let is_told = told_expired(sandbox) == Some(sandbox.meta.generation);
        let has_ended = sandbox.shutdown.is_some_and(|shutdown| is_told || self.has_come(shutdown.at));
        let is_wanted = match part.kind() {
            Kind::Pod => !sandbox.suspended,
            Kind::Service => sandbox.service != Some(false),
            Kind::Claim
            | Kind::Pool
            | Kind::Template
            | Kind::Sandbox
            | Kind::VolumeClaim
            | Kind::NetworkPolicy => false,
        };
        is_wanted && !has_ended
    }

    /// A sandbox goes only when its user wants it to go, and not before. A pool lets go of its members for reasons of its own.
    fn judge_end(&self, before: &Sandbox, intent: Intent) -> Judgement {
        let name = &before.meta.key.name;
        if before.meta.owner.is_some() && intent != Intent::DeleteSandbox {
            return Judgement::Silent;
        }
        let Some(shutdown) = before.shutdown.filter(|it| it.policy == ShutdownPolicy::Delete) else {
            return Judgement::Broken(format!("sandbox {name} was deleted, which was not to be"));
        };
        let is_told = told_expired(before) == Some(before.meta.generation);
        let what = || format!("sandbox {name} was deleted, which was given more time");
        Judgement::unless_broken((!is_told && !self.has_come(shutdown.at)).then(what))
    }

    /// A sandbox says that it has expired only when it has.
    fn judge_news(&self, before: &Sandbox, after: &Sandbox) -> Judgement {
        let name = &before.meta.key.name;
        let told = told_expired(after);
        if told.is_none() || told == told_expired(before) {
            return Judgement::Silent;
        }
        Judgement::unless_broken(match before.shutdown {
            None => Some(format!("sandbox {name} says that it has expired, and has no shutdown time")),
            Some(Shutdown { at, .. }) if !self.has_come(at) => {
                Some(format!("sandbox {name} says that it has expired, and was given more time"))
            }
            Some(_) => None,
        })
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
        if let Some(sandbox) = sandbox {
            self.note(sandbox);
        }
        let (Some(Writer::Process { intent, .. }), Some(old)) = (commit.by, commit.old.as_ref()) else {
            return Judgement::Silent;
        };
        let before = as_sandbox(Some(old));
        if !commit.ends_life() {
            if let Some((before, after)) = as_claim(Some(old)).zip(as_claim(commit.new.as_ref())) {
                return self.judge_word(before, after);
            }
            let change = before.zip(sandbox);
            return change.map_or(Judgement::Silent, |(before, after)| self.judge_news(before, after));
        }
        match (as_claim(Some(old)), before) {
            (Some(claim), _) => self.judge_claim(claim),
            (None, Some(before)) => self.judge_end(before, intent),
            (None, None) => self.judge_part(old),
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

    fn judges_decisions(&self) -> bool {
        true
    }

    fn on_decision(&mut self, sent: &Sent, known: &Known, store: &Store) -> Judgement {
        let Operation::Delete { target, .. } = &*sent.action.operation else { return Judgement::Silent };
        let object = target.uid.and_then(|uid| store.find(target.kind, uid));
        // It may be about to delete it already: that is decided anew each time.
        let Some(object) = object.filter(|object| known.sees(sent.process, object)) else {
            return Judgement::Silent;
        };
        let (kind, name) = (object.kind(), &object.key().name);
        // Pods stop on time even where something keeps their sandbox.
        let runs = || {
            let mut pods = store.owned_by(Kind::Pod, object.uid());
            let is_running = |pod: &Object| !pod.meta().terminating && known.sees(sent.process, pod);
            pods.any(is_running).then_some("whose Pod it has not stopped")
        };
        let flaw = if object.meta().terminating {
            Some("which is going already")
        } else if sent.action.intent == Intent::DeleteSandbox {
            runs()
        } else if self.is_kept(sent.process, object, known, store) {
            Some("which its sandbox is to keep")
        } else {
            None
        };
        let who = process::name(sent.process);
        Judgement::unless_broken(flaw.map(|flaw| format!("{who} deletes {kind} {name}, {flaw}")))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }

    fn remembered(&self, walk: &mut agent_sandbox_core::fingerprint::Walk) {
        for uids in [&self.stopped, &self.unserved] {
            walk.set(uids, |walk, uid| walk.uid(*uid));
        }
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

/// Returns the generation of which a sandbox says that it has expired.
fn told_expired(sandbox: &Sandbox) -> Option<i64> {
    sandbox.status.condition(names::READY).filter(|_| sandbox.status.is_expired()).map(|ready| ready.observed)
}
