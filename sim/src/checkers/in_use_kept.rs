//! No controller deletes the sandbox of a claim that is there, nor the member that one has recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use agent_sandbox_core::action::{Intent, Operation};
use agent_sandbox_core::id::{Kind, Uid, Version};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Claim, Object};
use agent_sandbox_core::time::Mono;

use super::known::{Known, deleted_member};
use super::{Checker, Class, Judgement, Property, as_claim, as_sandbox};
use crate::api_server::{Commit, Writer};
use crate::process;
use crate::step::Sent;
use crate::store::Store;

/// INV-06: a session that is in use is not destroyed.
#[derive(Clone, Debug, Default)]
pub(super) struct InUseKept {
    /// Claims that a user has made to say no more that they had expired, with the generation of which they said so: whoever
    /// read that before may still delete what they have. No world of a search has such users.
    cleared: Vec<(Uid, i64)>,
    /// Sandboxes that were to be deleted, as they stood then, while their claim said that it had expired: such a delete may
    /// land later. As with those that are cleared, no search has claims that say so no more.
    doomed: BTreeSet<(Uid, Version)>,
    /// When claims said last that they had expired.
    expired: BTreeMap<Uid, Mono>,
    now: Mono,
}

/// How long after a claim says no more that it has expired somebody may still send what follows from having read it.
///
/// Source: an answer travels 4 ms at most (`timed/reactions.rs`).
const READ_WITHIN: Duration = Duration::from_millis(10);

impl InUseKept {
    /// Returns the claim that uses a sandbox: whoever was told that it has expired does not use it any more.
    fn user<'a>(&self, sandbox: Uid, store: &'a Store) -> Option<&'a Claim> {
        let owner = store.find(Kind::Sandbox, sandbox)?.meta().owner_of_kind(Kind::Claim)?;
        self.in_use(owner, store)
    }

    fn in_use<'a>(&self, claim: Uid, store: &'a Store) -> Option<&'a Claim> {
        let claim = as_claim(store.find(Kind::Claim, claim)).filter(|claim| !claim.meta.terminating)?;
        let is_cleared = self.cleared.contains(&(claim.meta.uid, claim.meta.generation))
            || self.expired.get(&claim.meta.uid).is_some_and(|at| *at + READ_WITHIN >= self.now);
        (claim.expired().is_none() && !is_cleared).then_some(claim)
    }
}

impl Checker for InUseKept {
    fn property(&self) -> Property {
        Property {
            name: "in-use-kept",
            about: "no controller deletes the sandbox of a claim that is there and was not told that it has expired, nor a member that one has recorded and can have",
            class: Class::Safety,
        }
    }

    fn on_commit(&mut self, commit: &Commit, store: &Store) -> Judgement {
        self.cleared.extend(cleared(commit));
        let claim = as_claim(commit.old.as_ref()).filter(|claim| claim.expired().is_some());
        self.expired.extend(claim.map(|claim| (claim.meta.uid, self.now)));
        let Some(old) = as_sandbox(commit.old.as_ref()) else { return Judgement::Silent };
        let Some(Writer::Process { intent, .. }) = commit.by else { return Judgement::Silent };
        if !commit.ends_life() {
            return Judgement::Silent;
        }
        let is_late = self.doomed.remove(&(old.meta.uid, old.meta.version));
        let owner = old.meta.owner_of_kind(Kind::Claim).filter(|_| !is_late);
        let owner = owner.and_then(|uid| self.in_use(uid, store));
        Judgement::unless_broken(owner.map(|claim| {
            let (sandbox, claim) = (&old.meta.key.name, &claim.meta.key.name);
            format!("{intent:?} deleted sandbox {sandbox}, which claim {claim} owns")
        }))
    }

    fn on_clock(&mut self, at: Mono) {
        self.now = at;
    }

    fn on_action(&mut self, sent: &Sent, store: &Store) -> Judgement {
        if let Some((uid, version)) = ended(sent) {
            if self.user(uid, store).is_none() {
                self.doomed.insert((uid, version));
            } else {
                self.doomed.remove(&(uid, version));
            }
        }
        Judgement::Silent
    }

    fn on_decision(&mut self, sent: &Sent, known: &Known, store: &Store) -> Judgement {
        let who = process::name(sent.process);
        if let Some(member) = deleted_member(sent, store) {
            return Judgement::unless_broken(promised(sent, member, known, store).map(|claim| {
                let (member, claim) = (&member.key().name, &claim.meta.key.name);
                format!("{who} deletes member {member}, which claim {claim} has recorded")
            }));
        }
        let Some((sandbox, _)) = ended(sent) else { return Judgement::Silent };
        let is_seen = |claim: &&Claim| {
            store.find(Kind::Claim, claim.meta.uid).is_some_and(|claim| known.sees(sent.process, claim))
        };
        Judgement::unless_broken(self.user(sandbox, store).filter(is_seen).map(|claim| {
            let claim = &claim.meta.key.name;
            format!("{who} deletes the sandbox of claim {claim}, which it knows not to have expired")
        }))
    }

    fn judges_decisions(&self) -> bool {
        true
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

/// Returns the claim that has recorded a member which a request is to delete, and can have it, as the sender knows: its pool is
/// there, and its Pod has not ended.
fn promised<'a>(sent: &Sent, member: &Object, known: &Known, store: &'a Store) -> Option<&'a Claim> {
    let is_known = known.sees(sent.process, member);
    let member = as_sandbox(Some(member)).filter(|member| is_known && !member.meta.terminating)?;
    let pool = store.find(Kind::Pool, member.meta.owner_of_kind(Kind::Pool)?)?;
    let mut pods = store.owned_by(Kind::Pod, member.meta.uid).filter_map(Object::as_pod);
    let may_have_ended = pods.any(|pod| pod.phase.is_terminal())
        || !known.knows_children(sent.process, member.meta.uid, Kind::Pod);
    if may_have_ended || pool.meta().terminating || !known.sees(sent.process, pool) {
        return None;
    }
    let (name, namespace) = (&member.meta.key.name, &member.meta.key.namespace);
    let has_recorded = |claim: &&Claim| {
        let key = &claim.meta.key;
        claim.meta.annotation(names::SANDBOX_NAME) == Some(name)
            && key.namespace == *namespace
            && key.name != *name
            && !claim.meta.terminating
            && claim.expired().is_none()
    };
    let claims = store.list(Kind::Claim).iter().filter(|claim| known.sees(sent.process, claim));
    claims.filter_map(Object::as_claim).find(has_recorded)
}

/// Returns the sandbox of a claim that a request is to delete, and how it stands as far as the sender knows.
fn ended(sent: &Sent) -> Option<(Uid, Version)> {
    match &*sent.action.operation {
        Operation::Delete { target, version, .. } if sent.action.intent == Intent::DeleteClaimSandbox => {
            target.uid.zip(*version)
        }
        Operation::Delete { .. }
        | Operation::Create(_)
        | Operation::Patch(_)
        | Operation::Get { .. }
        | Operation::Notify(_) => None,
    }
}

fn cleared(commit: &Commit) -> Option<(Uid, i64)> {
    let (old, new) = (as_claim(commit.old.as_ref())?, as_claim(commit.new.as_ref())?);
    let is_cleared = commit.by == Some(Writer::User) && old.expired().is_some() && new.expired().is_none();
    (is_cleared && old.meta.generation == new.meta.generation).then_some((new.meta.uid, new.meta.generation))
}
