//! Whoever fails waits before trying again.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use agent_sandbox_core::action::{Action, Intent, Operation};
use agent_sandbox_core::event::Outcome;
use agent_sandbox_core::id::{Key, Kind, Uid};
use agent_sandbox_core::time::Mono;

use super::{Checker, Class, Judgement, Property};
use crate::process;
use crate::step::{Fact, Sent};
use crate::store::Store;

/// How long one looks back.
const SPAN: Duration = Duration::from_secs(10);

/// How often one thing may fail in that time.
///
/// Source: who waits twice as long each time, from 50 ms on and up to a half less, fails some nine times in ten seconds, and
/// begins anew when something has changed, which users do up to six times. Who does not wait any longer fails two hundred times.
const MOST: usize = 60;

/// INV-28: what fails is tried again later and later, however it fails.
#[derive(Clone, Debug, Default)]
pub(super) struct BacksOff {
    now: Mono,
    /// What a process has tried → when that has failed, since there was a better answer.
    failed: BTreeMap<Slot, VecDeque<Mono>>,
    /// What the server has put off → until when.
    put_off: BTreeMap<Slot, Mono>,
}

/// Which process asks for what of which object, and for the sake of which.
type Slot = (u8, Intent, Kind, Key, Option<Uid>);

impl BacksOff {
    /// Returns what is wrong with a request that the server has put off, if it comes too soon.
    fn hasty(&self, sent: &Sent) -> Option<String> {
        let until = self.put_off.get(&slot(sent.process, &sent.action)).filter(|until| self.now < **until)?;
        let (who, what) = (process::name(sent.process), sent.action.intent);
        let (name, left) = (&sent.action.operation.key().name, until.since(self.now));
        Some(format!("{who} asks for {what:?} of {name} again, {left:?} before the server wants to be asked"))
    }

    /// Forgets what a process was asked to wait for: the next does not know.
    fn forget(&mut self, process: u8) {
        self.put_off.retain(|(whose, ..), _| *whose != process);
    }
}

impl Checker for BacksOff {
    fn property(&self) -> Property {
        Property {
            name: "backs-off",
            about: "nothing is tried again over and over that fails each time, nor before the server wants to be asked",
            class: Class::Safety,
        }
    }

    fn on_clock(&mut self, at: Mono) {
        self.now = at;
    }

    fn on_action(&mut self, sent: &Sent, _store: &Store) -> Judgement {
        if let Some(hasty) = self.hasty(sent) {
            return Judgement::Broken(hasty);
        }
        let Some(failed) = self.failed.get_mut(&slot(sent.process, &sent.action)) else {
            return Judgement::Silent;
        };
        while failed.front().is_some_and(|at| self.now.since(*at) > SPAN) {
            failed.pop_front();
        }
        Judgement::unless_broken((failed.len() > MOST).then(|| {
            let (who, what) = (process::name(sent.process), sent.action.intent);
            let name = &sent.action.operation.key().name;
            format!(
                "{who} asks for {what:?} of {name}, which has failed {} times within {SPAN:?}",
                failed.len()
            )
        }))
    }

    fn on_fact(&mut self, fact: &Fact) {
        if let Fact::Leading { process, .. } | Fact::Deposed { process, .. } | Fact::Crashed { process, .. } =
            fact
        {
            self.forget(*process);
        }
        let Fact::Answered { process, action, outcome } = fact else { return };
        let slot = slot(*process, action);
        if let Outcome::Throttled(delay) = outcome
            && is_of_one_kind(action.intent)
        {
            self.put_off.insert(slot.clone(), self.now + *delay);
        } else if matches!(outcome, Outcome::Done(_) | Outcome::Accepted) {
            // The server has time again for objects of this kind, whichever it is about.
            let kind = action.operation.kind();
            self.put_off.retain(|(whose, _, about, ..), _| (*whose, *about) != (*process, kind));
        }
        match outcome {
            Outcome::Throttled(_) | Outcome::Refused(_) | Outcome::Unknown => {
                self.failed.entry(slot).or_default().push_back(self.now);
            }
            // Each of these says how things are, and what to decide by.
            Outcome::Done(_)
            | Outcome::Accepted
            | Outcome::Conflict
            | Outcome::AlreadyExists
            | Outcome::NotFound => _ = self.failed.remove(&slot),
        }
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

fn slot(process: u8, action: &Action) -> Slot {
    let operation = &*action.operation;
    (process, action.intent, operation.kind(), operation.key().clone(), subject(operation))
}

/// Returns the object for whose sake something is asked: who is made for another is asked for anew.
fn subject(operation: &Operation) -> Option<Uid> {
    match operation {
        Operation::Create(object) => object.meta().owner.as_ref().map(|owner| owner.uid),
        Operation::Patch(patch) => patch.target.uid,
        Operation::Delete { target, .. } => target.uid,
        Operation::Notify(notice) => notice.regarding.uid,
        Operation::Get { .. } => None,
    }
}

/// Returns whether there is one reason only for which this is asked of an object, and one object for whose sake: who has
/// another one has not been put off.
fn is_of_one_kind(intent: Intent) -> bool {
    let such = [
        Intent::CreateClaimSandbox,
        Intent::CreateNetworkPolicy,
        Intent::CreatePod,
        Intent::CreateService,
        Intent::CreateVolumeClaim,
        Intent::LabelPod,
        Intent::LabelTemplate,
        Intent::NamePod,
        Intent::Look,
        Intent::SetPoolStatus,
        Intent::SetSandboxStatus,
        Intent::StampFirstReady,
    ];
    such.contains(&intent)
}
