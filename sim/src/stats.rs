//! What a run was like, in figures.

use std::collections::BTreeMap;

use agent_sandbox_core::action::Intent;
use agent_sandbox_core::event::Outcome;
use agent_sandbox_core::id::{Kind, Uid};
use agent_sandbox_core::object::Object;
use agent_sandbox_core::time::Mono;
use hdrhistogram::Histogram;

use crate::api_server::Commit;
use crate::step::Fact;

/// Figures of one run, taken from its facts.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Claims that users created.
    pub claims: u64,
    /// Claims that became ready with a member of the pool.
    pub warm: u64,
    /// Claims that became ready with a sandbox made for them.
    pub cold: u64,
    /// Claims that were deleted before they were ready.
    pub given_up: u64,
    /// Time from a claim's creation to its first Ready. **Unit**: microseconds.
    pub latency: Histogram<u64>,
    /// The same, of warm claims only.
    pub latency_warm: Histogram<u64>,
    /// Requests sent, in the order of [`Intent::ALL`].
    pub sent: [u64; Intent::ALL.len()],
    /// Requests that came too late: conflicts, names taken, objects gone.
    pub refused: u64,
    /// Revisions of the store.
    pub revisions: u64,
    waiting: BTreeMap<Uid, Mono>,
}

/// Latencies are told with three digits.
const DIGITS: u8 = 3;

impl Default for Stats {
    fn default() -> Self {
        let histogram = || Histogram::new(DIGITS).expect("three digits are possible");
        Self {
            claims: 0,
            warm: 0,
            cold: 0,
            given_up: 0,
            latency: histogram(),
            latency_warm: histogram(),
            sent: [0; Intent::ALL.len()],
            refused: 0,
            revisions: 0,
            waiting: BTreeMap::new(),
        }
    }
}

impl Stats {
    /// Returns how many claims are there and were never ready.
    pub fn unserved(&self) -> u64 {
        self.waiting.len() as u64
    }

    /// Takes in one fact.
    pub fn on_fact(&mut self, at: Mono, fact: &Fact) {
        match fact {
            Fact::Sent(sent) => self.sent[sent.action.intent as usize] += 1,
            Fact::Answered { outcome, .. } => {
                let late = matches!(outcome, Outcome::Conflict | Outcome::AlreadyExists | Outcome::NotFound);
                self.refused += u64::from(late);
            }
            Fact::Committed(commit) => {
                self.revisions += 1;
                if commit.object().kind() == Kind::Claim {
                    self.on_claim(at, commit);
                }
            }
            Fact::Handled(_)
            | Fact::Listed(..)
            | Fact::Relisted { .. }
            | Fact::WatchLost(..)
            | Fact::Started(_)
            | Fact::Leading { .. }
            | Fact::Deposed { .. }
            | Fact::Crashed { .. }
            | Fact::Shown { .. }
            | Fact::CalendarSet(_)
            | Fact::Ran(_) => {}
        }
    }

    fn on_claim(&mut self, at: Mono, commit: &Commit) {
        let uid = commit.object().uid();
        match (&commit.old, &commit.new) {
            (None, _) => {
                self.claims += 1;
                self.waiting.insert(uid, at);
            }
            (_, None) => self.given_up += u64::from(self.waiting.remove(&uid).is_some()),
            (_, Some(Object::Claim(claim))) if claim.status.is_ready() => {
                let Some(since) = self.waiting.remove(&uid) else { return };
                let micros = u64::try_from(at.since(since).as_micros()).unwrap_or(u64::MAX);
                self.latency += micros;
                let own =
                    claim.status.sandbox.as_ref().is_some_and(|bound| bound.name == claim.meta.key.name);
                if own {
                    self.cold += 1;
                } else {
                    self.warm += 1;
                    self.latency_warm += micros;
                }
            }
            (_, Some(_)) => {}
        }
    }

    /// Returns how many writes of controllers were sent.
    pub fn writes(&self) -> u64 {
        let reads = self.sent[Intent::Look as usize];
        self.sent.iter().sum::<u64>() - reads
    }
}
