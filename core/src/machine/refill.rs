//! When pools are refilled: what is noted for [`replenish`](crate::rules), which decides.
//!
//! * A pool that has lost a member and is short waits from then on. One that is full again waits for nothing.
//! * A term begins without memory: what was lost before is nobody's news, and a first fill is not held up.

use core::time::Duration;

use super::Machine;
use crate::id::Uid;
use crate::mutant::Mutant;
use crate::pace::Pace;

impl Machine {
    /// Begins anew with the pools as they are found.
    pub(super) fn begin_paces(&mut self) {
        self.state.bereft.clear();
        if self.is_paced() {
            self.state.pools.unordered_mut().for_each(|(_, entry)| entry.pace = Pace::default());
        }
    }

    /// Makes the pools that have just lost a member wait.
    pub(super) fn hold_refills(&mut self) {
        if self.state.bereft.is_empty() {
            return;
        }
        let delay =
            if self.has(Mutant::RefillsAtOnce) { Duration::ZERO } else { self.config.replenish_delay };
        let until = self.now.mono + delay;
        for pool in core::mem::take(&mut self.state.bereft) {
            if until > self.now.mono
                && let Some(entry) = self.state.pools.get_mut(&pool)
            {
                entry.pace.hold(until);
            }
        }
    }

    /// Lets a pool that has all its members wait no longer.
    pub(super) fn release_refill(&mut self, pool: Uid) {
        if self.config.replenish_delay.is_zero() {
            return;
        }
        let live = self.state.members.get(&pool).map_or(0, |members| members.live);
        if let Some(entry) = self.state.pools.get_mut(&pool).filter(|entry| live >= entry.pool.replicas) {
            entry.pace.release();
        }
    }

    /// Counts a member that a pool makes. One that is not made after all counts too: the rate is there to spare the
    /// server.
    pub(super) fn spend(&mut self, pool: Uid) {
        let (rate, now) = (self.config.refill_rate, self.now.mono);
        if rate.is_limited()
            && !self.has(Mutant::RefillUncounted)
            && let Some(entry) = self.state.pools.get_mut(&pool)
        {
            entry.pace.spend(rate, now);
        }
    }

    fn is_paced(&self) -> bool {
        self.config.refill_rate.is_limited() || !self.config.replenish_delay.is_zero()
    }
}
