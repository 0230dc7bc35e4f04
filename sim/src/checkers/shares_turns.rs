//! What nobody waits for gets its turn while others wait.

use std::collections::{BTreeMap, BTreeSet};

use agent_sandbox_core::action::Intent;
use agent_sandbox_core::event::Outcome;
use agent_sandbox_core::id::{Kind, Uid};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Claim, Object};

use super::known::{Known, subject};
use super::{Checker, Class, Judgement, Property, as_claim};
use crate::api_server::Commit;
use crate::process;
use crate::step::{Fact, Sent};
use crate::store::Store;

/// How many writes for claims and pools may come before one that nobody waits for.
///
/// Source: the machine gives every eighth turn to the latter; two more, for what comes up meanwhile.
const TURNS_MAX: u32 = 10;

/// INV-32: a controller that never comes to the end of what is urgent still does what is not.
///
/// An onlooker can tell that something is due which nobody waits for by the note on a claim when it was first ready.
#[derive(Clone, Debug, Default)]
pub(super) struct SharesTurns {
    /// Claims that are ready and have no such note.
    due: BTreeSet<Uid>,
    /// Process → how many urgent writes it has made since the last other one, or since it learned of the first that is due.
    urgent: BTreeMap<u8, u32>,
    /// Process and claim → about which something has failed, so that it may wait.
    failed: BTreeSet<(u8, Uid)>,
}

impl SharesTurns {
    /// Returns the first claim of which a process knows that something is due.
    fn first_due<'a>(&self, process: u8, known: &Known, store: &'a Store) -> Option<&'a Object> {
        let due = self.due.iter().filter(|uid| !self.failed.contains(&(process, **uid)));
        let mut claims = due.filter_map(|uid| store.find(Kind::Claim, *uid));
        claims.find(|claim| known.knows(process, claim))
    }
}

impl Checker for SharesTurns {
    fn property(&self) -> Property {
        Property {
            name: "shares-turns",
            about: "what nobody waits for gets a turn, however much there is that somebody waits for",
            class: Class::Safety,
        }
    }

    fn heeds(&self, commit: &Commit) -> bool {
        commit.object().kind() == Kind::Claim
    }

    fn on_commit(&mut self, commit: &Commit, _store: &Store) -> Judgement {
        let uid = commit.object().uid();
        let claim = as_claim(commit.new.as_ref());
        if claim.is_some_and(is_due) {
            self.due.insert(uid);
        } else {
            self.due.remove(&uid);
        }
        // Who was put off waits as long, whether the claim stays ready meanwhile or not.
        if claim.is_none_or(|claim| claim.meta.annotation(names::FIRST_READY_AT).is_some()) {
            self.failed.retain(|(_, failed)| *failed != uid);
        }
        Judgement::Silent
    }

    fn on_action(&mut self, sent: &Sent, _store: &Store) -> Judgement {
        // What is repeated is no new decision, and still has its turn.
        if !is_urgent(sent.action.intent) {
            self.urgent.remove(&sent.process);
        }
        Judgement::Silent
    }

    fn judges_decisions(&self) -> bool {
        true
    }

    fn on_decision(&mut self, sent: &Sent, known: &Known, store: &Store) -> Judgement {
        let process = sent.process;
        let due = self.first_due(process, known, store).filter(|_| is_urgent(sent.action.intent));
        let Some(due) = due else {
            self.urgent.remove(&process);
            return Judgement::Silent;
        };
        let urgent = self.urgent.entry(process).or_default();
        *urgent += 1;
        if *urgent <= TURNS_MAX {
            return Judgement::Holds;
        }
        let (who, name) = (process::name(process), &due.key().name);
        Judgement::Broken(format!(
            "{who} has written {urgent} times what claims and pools wait for, and not once what nobody waits for: when claim {name} was ready first"
        ))
    }

    fn on_fact(&mut self, fact: &Fact) {
        if let Fact::Crashed { process, .. } | Fact::Leading { process, .. } | Fact::Deposed { process, .. } =
            fact
        {
            self.urgent.remove(process);
            self.failed.retain(|(whose, _)| whose != process);
        }
        let Fact::Answered { process, action, outcome } = fact else { return };
        if !matches!(outcome, Outcome::Done(_) | Outcome::Accepted)
            && let Some((uid, _)) = subject(&action.operation).filter(|(uid, _)| self.due.contains(uid))
        {
            self.failed.insert((*process, uid));
        }
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

/// Returns whether it is due to note when a claim was first ready.
fn is_due(claim: &Claim) -> bool {
    claim.status.is_ready()
        && !claim.meta.terminating
        && claim.meta.annotation(names::FIRST_READY_AT).is_none()
}

/// Returns whether a write is one that a claim or a pool waits for; of a claim's status nobody can tell.
const fn is_urgent(intent: Intent) -> bool {
    matches!(
        intent,
        Intent::RecordAssignment
            | Intent::RecordColdStart
            | Intent::AdoptSandbox
            | Intent::CreateClaimSandbox
            | Intent::CreateMember
            | Intent::CreatePod
            | Intent::SetSandboxStatus
    )
}
