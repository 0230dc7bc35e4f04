//! Whether the process is well (`/healthz`) and ready (`/readyz`).

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use agent_sandbox_core::id::Kind;
use agent_sandbox_core::time::Mono;

/// A loop that has not turned for so long hangs. It turns every few seconds when it has nothing to do.
const STALL_MAX: Duration = Duration::from_secs(30);

/// What the probes look at.
#[derive(Debug)]
pub struct Health {
    kinds: Vec<Kind>,
    /// When the loop last turned, in microseconds.
    ticked: AtomicU64,
    is_leading: AtomicBool,
    /// One bit for each kind.
    listed: AtomicU8,
}

impl Health {
    /// Returns the health of a process that has just started and will list these kinds.
    pub fn new(kinds: Vec<Kind>) -> Self {
        let (ticked, is_leading, listed) = (AtomicU64::new(0), AtomicBool::new(false), AtomicU8::new(0));
        Self { kinds, ticked, is_leading, listed }
    }

    /// Notes that the loop has turned.
    pub fn tick(&self, now: Mono) {
        self.ticked.store(now.micros(), Ordering::Relaxed);
    }

    /// Notes that this process leads.
    pub fn lead(&self) {
        self.is_leading.store(true, Ordering::Relaxed);
    }

    /// Notes that a kind was listed.
    pub fn list(&self, kind: Kind) {
        self.listed.fetch_or(1 << kind.index(), Ordering::Relaxed);
    }

    /// Returns whether the loop turns.
    ///
    /// # Errors
    /// With the reason, when it does not.
    pub fn live(&self, now: Mono) -> Result<&'static str, String> {
        let stalled = now.since(Mono::from_micros(self.ticked.load(Ordering::Relaxed)));
        if stalled > STALL_MAX { Err(format!("the loop has not turned for {stalled:?}")) } else { Ok("ok") }
    }

    /// Returns whether the process does what its role is: a leader once it has listed everything, others at once.
    ///
    /// # Errors
    /// With the reason, when it does not.
    pub fn ready(&self) -> Result<&'static str, String> {
        if !self.is_leading.load(Ordering::Relaxed) {
            return Ok("standing by");
        }
        let listed = self.listed.load(Ordering::Relaxed);
        let missing: Vec<_> = self.kinds.iter().filter(|kind| listed & (1 << kind.index()) == 0).collect();
        if missing.is_empty() { Ok("leading") } else { Err(format!("not listed yet: {missing:?}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_hangs_is_not_healthy() {
        let health = Health::new(vec![]);
        health.tick(Mono::from_micros(5_000_000));
        assert!(health.live(Mono::from_micros(35_000_000)).is_ok());
        assert!(health.live(Mono::from_micros(36_000_000)).is_err());
    }

    /// GAP-016.
    #[test]
    fn a_leader_is_ready_once_it_has_listed_everything() {
        let health = Health::new(vec![Kind::Sandbox, Kind::Pod]);
        assert_eq!(health.ready(), Ok("standing by"));
        health.lead();
        health.list(Kind::Pod);
        assert_eq!(health.ready(), Err("not listed yet: [Sandbox]".into()));
        health.list(Kind::Sandbox);
        assert_eq!(health.ready(), Ok("leading"));
    }
}
