//! Who leads: the Lease protocol as a small machine without I/O, and the fence that it gives to writes.
//!
//! The rules are those of client-go, so that this controller and the original can stand by for each other:
//!
//! - A Lease belongs to its holder until it has been *unchanged* for its duration. Only our own monotonic clock says
//!   how long that is; the times written in it are for people.
//! - The holder renews it every [`Times::retry`]. What counts is when the request was sent, since others may have
//!   seen the change that early. After [`Times::renew_deadline`] without a confirmed renewal the holder has lost.
//! - An answer that never came settles nothing: read again, then decide.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agent_sandbox_core::time::Mono;

/// The rhythm of an election. Source: the defaults of client-go and controller-runtime (OPS-051).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// How long others respect a Lease that does not change.
    pub lease: Duration,
    /// How long the holder goes on without a confirmed renewal.
    pub renew_deadline: Duration,
    /// The time between two attempts.
    pub retry: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// What the Lease says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// `spec.holderIdentity`; empty when it was released.
    pub holder: String,
    /// `spec.leaseDurationSeconds`.
    pub duration: Duration,
    /// `spec.renewTime`, as text: only whether it changes matters.
    pub renewed: String,
    /// `spec.leaseTransitions`.
    pub transitions: u32,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Nothing before this moment.
    Wait(Mono),
    /// Read the Lease; answer with [`Elector::on_read`].
    Read,
    /// Write ourselves into the Lease as it was last read or written; answer with [`Elector::on_written`].
    Write(Write),
    /// Stop everything: this process leads no longer.
    Stop(Lost),
}

/// How to write ourselves into the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// There is none: create it.
    Create,
    /// It is not ours: take it.
    Take {
        /// How often it will have changed hands.
        transitions: u32,
    },
    /// It is ours: renew it.
    Renew,
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It is ours, as of this record.
    Done(Record),
    /// Somebody else was first.
    Conflict,
    /// No answer, or a refusal.
    Failed,
}

/// Why the lead is lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// No renewal was confirmed in time.
    #[error("the lease could not be renewed for {0:?}")]
    NotRenewed(Duration),
    /// The Lease names another.
    #[error("{0} has taken the lease")]
    Taken(String),
}

/// One candidate.
#[derive(Clone, Debug)]
pub struct Elector {
    identity: String,
    times: Times,
    /// What the Lease last said, and since when.
    seen: Option<(Record, Mono)>,
    /// When the last confirmed write was sent; `None` while standing by.
    renewed: Option<Mono>,
    next: Mono,
    ask: Ask,
}

impl Elector {
    /// Returns a candidate that stands by.
    pub fn new(identity: String, times: Times, now: Mono) -> Self {
        Self { identity, times, seen: None, renewed: None, next: now, ask: Ask::Read }
    }

    /// Takes what a read showed; `None` when there is no Lease.
    pub fn on_read(&mut self, record: Option<Record>, now: Mono) {
        self.next = now;
        let Some(record) = record else {
            self.seen = None;
            self.ask = Ask::Write(Write::Create);
            return;
        };
        let since = match &self.seen {
            Some((seen, since)) if *seen == record => *since,
            _ => now,
        };
        self.ask = self.judge(&record, since, now);
        if self.ask == Ask::Read {
            self.next = (now + self.times.retry).min(since + self.patience(&record));
        }
        self.seen = Some((record, since));
    }

    /// Takes the answer to a write that was sent at `sent`.
    pub fn on_written(&mut self, written: Written, sent: Mono, now: Mono) {
        match written {
            Written::Done(record) => {
                self.seen = Some((record, now));
                // An answer that took longer than the deadline proves nothing about this moment.
                if now < sent + self.times.renew_deadline {
                    self.renewed = Some(sent);
                }
                (self.ask, self.next) = (Ask::Write(Write::Renew), sent + self.times.retry);
            }
            Written::Conflict => (self.ask, self.next) = (Ask::Read, now),
            Written::Failed => self.on_failed(now),
        }
    }

    /// Takes a read that had no answer, or a refusal.
    pub fn on_failed(&mut self, now: Mono) {
        (self.ask, self.next) = (Ask::Read, now + self.times.retry);
    }

    /// Returns what to do at `now`.
    #[must_use]
    pub fn poll(&self, now: Mono) -> Ask {
        let deadline = self.deadline();
        if deadline.is_some_and(|deadline| now >= deadline) {
            return Ask::Stop(Lost::NotRenewed(self.times.renew_deadline));
        }
        if now >= self.next || matches!(self.ask, Ask::Stop(_)) {
            return self.ask.clone();
        }
        Ask::Wait(deadline.map_or(self.next, |deadline| deadline.min(self.next)))
    }

    /// Returns whether this process leads.
    #[must_use]
    pub fn is_leading(&self) -> bool {
        self.renewed.is_some()
    }

    /// Returns when the lead is lost unless a renewal is confirmed before.
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        self.renewed.map(|renewed| renewed + self.times.renew_deadline)
    }

    /// Returns when the last confirmed write was sent.
    #[must_use]
    pub fn renewed(&self) -> Option<Mono> {
        self.renewed
    }

    /// Returns who holds the Lease, as far as is known.
    #[must_use]
    pub fn holder(&self) -> Option<&str> {
        self.seen.as_ref().map(|(record, _)| &*record.holder)
    }

    /// Returns the name of this candidate.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    fn judge(&self, record: &Record, since: Mono, now: Mono) -> Ask {
        if record.holder == self.identity {
            // Ours, by a write whose answer was lost: it counts once a renewal is confirmed.
            return Ask::Write(Write::Renew);
        }
        if self.is_leading() && !record.holder.is_empty() {
            return Ask::Stop(Lost::Taken(record.holder.clone()));
        }
        if record.holder.is_empty() || now >= since + self.patience(record) {
            return Ask::Write(Write::Take { transitions: record.transitions.saturating_add(1) });
        }
        Ask::Read
    }

    /// How long a record must be unchanged before it may be taken.
    fn patience(&self, record: &Record) -> Duration {
        if record.duration.is_zero() { self.times.lease } else { record.duration }
    }
}

/// Lets writes start only while nobody else can lead, and limits them so that they end before anybody can.
///
/// The fence saves work. Safety rests on the preconditions of each write alone, because a process can be frozen
/// between the check and the send.
#[derive(Debug)]
pub struct Fence {
    times: Times,
    /// When the last confirmed renewal was sent, in microseconds; [`Fence::SHUT`] or [`Fence::OPEN`].
    renewed: AtomicU64,
}

impl Fence {
    const SHUT: u64 = u64::MAX;
    const OPEN: u64 = u64::MAX - 1;

    /// Returns a fence that nothing passes before the first renewal.
    pub const fn shut(times: Times) -> Self {
        Self { times, renewed: AtomicU64::new(Self::SHUT) }
    }

    /// Returns a fence that everything passes: there is no election.
    pub const fn open(times: Times) -> Self {
        Self { times, renewed: AtomicU64::new(Self::OPEN) }
    }

    /// Notes a confirmed renewal that was sent at `sent`.
    pub fn renew(&self, sent: Mono) {
        self.renewed.store(sent.micros(), Ordering::Release);
    }

    /// Lets nothing pass any more.
    pub fn close(&self) {
        self.renewed.store(Self::SHUT, Ordering::Release);
    }

    /// Returns how long a write that starts at `now` may take; `None` when none may start.
    #[must_use]
    pub fn allowance(&self, now: Mono) -> Option<Duration> {
        let renewed = match self.renewed.load(Ordering::Acquire) {
            Self::SHUT => return None,
            Self::OPEN => return Some(Duration::MAX),
            micros => Mono::from_micros(micros),
        };
        let may_start = now < renewed + self.times.renew_deadline;
        may_start.then(|| (renewed + self.times.lease).since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_candidate_creates_the_lease_and_leads() {
        let mut elector = candidate();
        assert_eq!(elector.poll(at(0)), Ask::Read);
        elector.on_read(None, at(0));
        assert_eq!(elector.poll(at(0)), Ask::Write(Write::Create));
        elector.on_written(Written::Done(record("me", 1)), at(0), at(1));
        assert!(elector.is_leading());
        assert_eq!(elector.poll(at(1)), Ask::Wait(at(2)));
        assert_eq!(elector.poll(at(2)), Ask::Write(Write::Renew));
    }

    #[test]
    fn a_lease_that_keeps_changing_is_respected_for_ever() {
        let mut elector = candidate();
        for second in 0..100 {
            elector.on_read(Some(record("other", second)), at(second));
            assert!(matches!(elector.poll(at(second)), Ask::Wait(_)), "at {second}");
        }
    }

    /// OPS-051.
    #[test]
    fn a_lease_that_does_not_change_is_taken_after_its_duration() {
        let mut elector = candidate();
        elector.on_read(Some(record("other", 7)), at(100));
        elector.on_read(Some(record("other", 7)), at(114));
        assert_eq!(elector.poll(at(114)), Ask::Wait(at(115)));
        elector.on_read(Some(record("other", 7)), at(115));
        assert_eq!(elector.poll(at(115)), Ask::Write(Write::Take { transitions: 1 }));
    }

    /// OPS-052.
    #[test]
    fn a_released_lease_is_taken_at_once() {
        let mut elector = candidate();
        elector.on_read(Some(record("", 7)), at(100));
        assert_eq!(elector.poll(at(100)), Ask::Write(Write::Take { transitions: 1 }));
    }

    #[test]
    fn a_taker_that_comes_second_waits_again() {
        let mut elector = candidate();
        elector.on_read(Some(record("", 7)), at(100));
        elector.on_written(Written::Conflict, at(100), at(101));
        assert_eq!(elector.poll(at(101)), Ask::Read);
        elector.on_read(Some(record("other", 8)), at(101));
        assert_eq!(elector.poll(at(101)), Ask::Wait(at(103)));
        assert!(!elector.is_leading());
    }

    /// OPS-051.
    #[test]
    fn a_leader_without_confirmed_renewals_stops_at_the_deadline() {
        let mut elector = leader();
        for second in [2, 4, 6, 8] {
            elector.on_written(Written::Failed, at(second), at(second));
        }
        assert!(!matches!(elector.poll(at(9)), Ask::Stop(_)));
        assert_eq!(elector.poll(at(10)), Ask::Stop(Lost::NotRenewed(Duration::from_secs(10))));
    }

    #[test]
    fn a_leader_that_reads_another_name_stops_at_once() {
        let mut elector = leader();
        elector.on_written(Written::Conflict, at(2), at(2));
        elector.on_read(Some(record("other", 9)), at(3));
        assert_eq!(elector.poll(at(3)), Ask::Stop(Lost::Taken("other".into())));
    }

    #[test]
    fn a_renewal_counts_from_when_it_was_sent() {
        let mut elector = leader();
        elector.on_written(Written::Done(record("me", 2)), at(2), at(7));
        assert_eq!(elector.deadline(), Some(at(12)));
    }

    #[test]
    fn an_own_lease_after_a_lost_answer_counts_only_once_it_is_renewed() {
        let mut elector = candidate();
        elector.on_read(None, at(0));
        elector.on_written(Written::Failed, at(0), at(5));
        assert_eq!(elector.poll(at(7)), Ask::Read);
        elector.on_read(Some(record("me", 1)), at(7));
        assert!(!elector.is_leading());
        assert_eq!(elector.poll(at(7)), Ask::Write(Write::Renew));
        elector.on_written(Written::Done(record("me", 2)), at(7), at(8));
        assert!(elector.is_leading());
    }

    #[test]
    fn an_answer_that_comes_after_the_deadline_makes_no_leader() {
        let mut elector = candidate();
        elector.on_read(None, at(0));
        elector.on_written(Written::Done(record("me", 1)), at(0), at(10));
        assert!(!elector.is_leading());
    }

    #[test]
    fn a_lease_that_was_deleted_is_created_again_by_its_leader() {
        let mut elector = leader();
        elector.on_written(Written::Conflict, at(2), at(2));
        elector.on_read(None, at(2));
        assert_eq!(elector.poll(at(2)), Ask::Write(Write::Create));
        assert!(elector.is_leading());
    }

    #[test]
    fn the_fence_lets_writes_start_until_the_deadline_and_end_before_the_lease_passes_on() {
        let fence = Fence::shut(Times::default());
        assert_eq!(fence.allowance(at(0)), None);
        fence.renew(at(100));
        assert_eq!(fence.allowance(at(101)), Some(Duration::from_secs(14)));
        assert_eq!(fence.allowance(at(109)), Some(Duration::from_secs(6)));
        assert_eq!(fence.allowance(at(110)), None);
        fence.renew(at(109));
        assert_eq!(fence.allowance(at(110)), Some(Duration::from_secs(14)));
    }

    fn candidate() -> Elector {
        Elector::new("me".into(), Times::default(), at(0))
    }

    fn leader() -> Elector {
        let mut elector = candidate();
        elector.on_read(None, at(0));
        elector.on_written(Written::Done(record("me", 0)), at(0), at(0));
        elector
    }

    fn at(second: u64) -> Mono {
        Mono::from_micros(second * 1_000_000)
    }

    fn record(holder: &str, renewed: u64) -> Record {
        let duration = Times::default().lease;
        Record { holder: holder.into(), duration, renewed: renewed.to_string(), transitions: 0 }
    }
}
