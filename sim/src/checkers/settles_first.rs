//! Bad news about what has just begun is no news yet: it may pass by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use agent_sandbox_core::action::{Intent, Notice, Operation, Patch};
use agent_sandbox_core::event::{Outcome, Refusal};
use agent_sandbox_core::id::{Kind, Text, Uid};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Claim, ClaimStatus, Object, Sandbox, SandboxStatus, Truth};
use agent_sandbox_core::patch::Change;
use agent_sandbox_core::time::Mono;

use super::known::Known;
use super::{Checker, Class, Judgement, Property, as_claim, as_sandbox};
use crate::api_server::Commit;
use crate::process;
use crate::step::{Fact, Sent};
use crate::store::Store;

/// GAP-003: whoever tells each step of a start writes several times what could be written once, and whoever tells of each
/// refusal alarms people for nothing. What was told of a refusal stays told until the process that takes it back has tried.
///
/// When a process has seen first what it tells of, nobody else knows; it was not before that was there.
#[derive(Clone, Debug)]
pub(super) struct SettlesFirst {
    /// For how long bad news is held back.
    settle: Duration,
    now: Mono,
    sandboxes: BTreeMap<Uid, Told>,
    /// Process and claim or pool → when the server has refused to make its sandbox first, and why.
    refused: BTreeMap<(u8, Uid), (Mono, Text)>,
    /// Process and claim or pool → whether the server has answered that process about a sandbox for it.
    tried: BTreeSet<(u8, Uid)>,
}

/// What was said of a sandbox.
#[derive(Clone, Debug)]
struct Told {
    /// When it was made.
    made: Mono,
    /// Process → when it has sent its status last.
    last: BTreeMap<u8, Mono>,
}

impl SettlesFirst {
    pub(super) const fn new(settle: Duration) -> Self {
        Self {
            settle,
            now: Mono::from_micros(0),
            sandboxes: BTreeMap::new(),
            refused: BTreeMap::new(),
            tried: BTreeSet::new(),
        }
    }

    /// Returns how long ago something was, if that is not long enough.
    fn lately(&self, since: Option<Mono>) -> Option<Duration> {
        since.map(|since| self.now.since(since)).filter(|ago| *ago < self.settle)
    }

    /// Returns what is wrong with the status of a sandbox: each step of a start may be told, but not each at once.
    fn of_sandbox(&self, process: u8, sandbox: &Sandbox, told: &SandboxStatus) -> Option<String> {
        let is_ready = |status: &SandboxStatus| {
            status.condition(names::READY).is_some_and(|ready| ready.status == Truth::True)
        };
        if is_ready(told) || is_ready(&sandbox.status) || told.is_expired() {
            return None;
        }
        let known = self.sandboxes.get(&sandbox.meta.uid)?;
        let last = known.last.get(&process).copied();
        let since = Some(known.made).max(last);
        let ago = self.lately(since)?;
        let what = if last.is_some() && last == since { "told of it last" } else { "was made" };
        Some(format!("says what sandbox {} lacks {ago:?} after it {what}", sandbox.meta.key.name))
    }

    /// Returns what is wrong with the status of a claim: of one that was told nothing, or that it fails, bad news waits.
    fn of_claim(
        &self,
        process: u8,
        claim: &Claim,
        told: &ClaimStatus,
        (known, store): (&Known, &Store),
    ) -> Option<String> {
        let ready = told.condition(names::READY).filter(|ready| ready.status != Truth::True)?;
        let (name, reason) = (&claim.meta.key.name, &ready.reason);
        let said = claim.status.condition(names::READY).map(|said| &*said.reason);
        let is_new = claim.status.sandbox.is_none() && claim.status.conditions.is_empty();
        if &**reason == names::CLAIM_EXPIRED || !(is_new || said == Some("ReconcilerError")) {
            return None;
        }
        if &**reason == "SandboxMissing" && is_new {
            return Some(format!(
                "says that claim {name} has no sandbox, which was told nothing and just waits"
            ));
        }
        if &**reason == "SandboxMissing" && self.is_untried(process, claim) {
            return Some(format!("takes back that claim {name} is refused its sandbox, and has not tried"));
        }
        let Some(bound) = &told.sandbox else {
            let (since, why) = self.refused.get(&(process, claim.meta.uid))?;
            let ago = self.lately(Some(*since)).filter(|_| ready.message.contains(&**why))?;
            return Some(format!("says that claim {name} is refused its sandbox {ago:?} after that began"));
        };
        // What it tells of may be a predecessor of the one that has the name.
        let sandbox = store.get(Kind::Sandbox, &claim.meta.key.sibling(bound.name.clone()))?;
        let since = self.sandboxes.get(&sandbox.uid()).filter(|_| known.sees(process, sandbox));
        let ago = self.lately(since.map(|told| told.made))?;
        Some(format!("says {reason} of claim {name} {ago:?} after its sandbox was made"))
    }

    /// Returns whether a claim says that it is refused a sandbox of its own, which a process has not tried to make.
    fn is_untried(&self, process: u8, claim: &Claim) -> bool {
        let ready = claim.status.condition(names::READY);
        let is_refused = ready.is_some_and(|said| {
            &*said.reason == "ReconcilerError" && said.message.starts_with("Error seen: ")
        });
        let is_own = claim.meta.annotation(names::SANDBOX_NAME) == Some(&claim.meta.key.name);
        let is_tried = self.tried.contains(&(process, claim.meta.uid));
        is_refused && is_own && claim.status.sandbox.is_none() && !is_tried
    }

    /// Returns what is wrong with a warning that a pool is refused its members.
    fn of_pool(&self, process: u8, notice: &Notice) -> Option<String> {
        let (since, _) = self.refused.get(&(process, notice.regarding.uid?))?;
        let ago = self.lately(Some(*since)).filter(|_| notice.warning && notice.note.contains("refuses"))?;
        let name = &notice.regarding.key.name;
        Some(format!("warns that pool {name} is refused its members {ago:?} after that began"))
    }

    /// Returns what is wrong with a change, if what it changes still is as it was when that was decided.
    fn of_change(
        &self,
        process: u8,
        patch: &Patch,
        change: &Change,
        (known, store): (&Known, &Store),
    ) -> Option<String> {
        let object = store.find(patch.target.kind, patch.target.uid?)?;
        if Some(object.version()) != patch.version {
            return None;
        }
        if let Change::SandboxStatus(told) = change {
            return self.of_sandbox(process, as_sandbox(Some(object))?, told);
        }
        let Change::ClaimStatus(told) = change else { return None };
        self.of_claim(process, as_claim(Some(object))?, told, (known, store))
    }
}

fn is_status(change: &Change) -> bool {
    matches!(change, Change::SandboxStatus(_) | Change::ClaimStatus(_))
}

impl Checker for SettlesFirst {
    fn property(&self) -> Property {
        Property {
            name: "settles-first",
            about: "bad news about what has just begun, or just been refused, is told only when it has lasted for a while, and a refusal is taken back only by who has tried",
            class: Class::Safety,
        }
    }

    fn heeds(&self, commit: &Commit) -> bool {
        commit.object().kind() == Kind::Sandbox && (commit.old.is_none() || commit.new.is_none())
    }

    fn on_clock(&mut self, at: Mono) {
        self.now = at;
    }

    fn on_commit(&mut self, commit: &Commit, _store: &Store) -> Judgement {
        let uid = commit.object().uid();
        if commit.new.is_some() {
            self.sandboxes.insert(uid, Told { made: self.now, last: BTreeMap::new() });
        } else {
            self.sandboxes.remove(&uid);
        }
        Judgement::Silent
    }

    fn judges_decisions(&self) -> bool {
        true
    }

    fn on_decision(&mut self, sent: &Sent, known: &Known, store: &Store) -> Judgement {
        let wrong = match &*sent.action.operation {
            Operation::Notify(notice) => self.of_pool(sent.process, notice),
            Operation::Patch(patch) => {
                let mut told = patch.changes.iter().filter(|change| is_status(change)).peekable();
                if told.peek().is_none() {
                    return Judgement::Silent;
                }
                let wrong =
                    told.find_map(|change| self.of_change(sent.process, patch, change, (known, store)));
                if let (Intent::SetSandboxStatus, Some(uid)) = (sent.action.intent, patch.target.uid)
                    && let Some(told) = self.sandboxes.get_mut(&uid)
                {
                    told.last.insert(sent.process, self.now);
                }
                wrong
            }
            Operation::Create(_) | Operation::Delete { .. } | Operation::Get { .. } => {
                return Judgement::Silent;
            }
        };
        Judgement::unless_broken(wrong.map(|wrong| format!("{} {wrong}", process::name(sent.process))))
    }

    fn on_fact(&mut self, fact: &Fact) {
        if let Fact::Crashed { process, .. } = fact {
            self.sandboxes.values_mut().for_each(|told| _ = told.last.remove(process));
            self.refused.retain(|(whose, _), _| whose != process);
            self.tried.retain(|(whose, _)| whose != process);
        }
        let Fact::Answered { process, action, outcome } = fact else { return };
        let Operation::Create(Object::Sandbox(made)) = &*action.operation else { return };
        let Some(owner) = &made.meta.owner else { return };
        self.tried.insert((*process, owner.uid));
        if let Outcome::Refused(Refusal::Forbidden(why) | Refusal::Invalid(why)) = outcome {
            self.refused.entry((*process, owner.uid)).or_insert_with(|| (self.now, why.clone()));
        }
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}
