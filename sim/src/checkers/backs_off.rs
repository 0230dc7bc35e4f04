//! Whoever fails waits before trying again.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use agent_sandbox_core::action::{Action, Intent};
use agent_sandbox_core::event::Outcome;
use agent_sandbox_core::id::{Key, Kind};
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
    failed: BTreeMap<(u8, Intent, Kind, Key), VecDeque<Mono>>,
}

impl Checker for BacksOff {
    fn property(&self) -> Property {
        Property {
            name: "backs-off",
            about: "nothing is tried again over and over that fails each time",
            class: Class::Safety,
        }
    }

    fn on_clock(&mut self, at: Mono) {
        self.now = at;
    }

    fn on_action(&mut self, sent: &Sent, _store: &Store) -> Judgement {
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
        let Fact::Answered { process, action, outcome } = fact else { return };
        let slot = slot(*process, action);
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

fn slot(process: u8, action: &Action) -> (u8, Intent, Kind, Key) {
    (process, action.intent, action.operation.kind(), action.operation.key().clone())
}
