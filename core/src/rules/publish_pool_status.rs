use alloc::vec::Vec;

use super::{Verdict, patch};
use crate::action::{Intent, Part};
use crate::agenda::TimeoutReason;
use crate::id::{Kind, Uid};
use crate::mutant::Mutant;
use crate::names;
use crate::object::PoolStatus;
use crate::patch::Change;
use crate::time::Now;
use crate::view::View;

/// Tells a pool's owner how many members there are, and how many of them are ready.
///
/// Reads: the pool, the count of its members.
/// Emits: [`Intent::SetPoolStatus`]. Arms [`TimeoutReason::StatusInterval`].
/// Never: more often than [`Config::pool_status_interval`](crate::config::Config::pool_status_interval), except when
/// the spec has changed since.
/// Source: WPL-027, CON-060, CON-061; INV-18.
pub(super) fn publish_pool_status(view: &View<'_>, pool: Uid, now: Now) -> Verdict {
    let Some(entry) = view.pool(pool) else { return Verdict::Quiet };
    let pool = &entry.pool;
    if pool.meta.terminating || view.is_held(pool.meta.uid) {
        return Verdict::Quiet;
    }
    let members = view.members(pool.meta.uid);
    let (shown, name) = (&pool.status.selector, &pool.meta.key.name);
    let selector = if names::is_hash_selector(shown, names::WARM_POOL, name) {
        shown.clone()
    } else {
        names::hash_selector(names::WARM_POOL, name)
    };
    let mut status = PoolStatus {
        replicas: members.map_or(0, |members| members.live),
        ready: members.map_or(0, |members| members.live_ready),
        selector,
        observed: pool.meta.generation,
    };
    if view.config.has(Mutant::AllCountAsReady) {
        status.ready = status.replicas;
    }
    if view.config.has(Mutant::ZeroUntold) && status.replicas == 0 {
        (status.replicas, status.ready) = (pool.status.replicas, pool.status.ready);
    }
    let is_told = view.config.has(Mutant::PoolStatusOnce) && pool.status.observed == pool.meta.generation;
    if status == pool.status || is_told {
        return Verdict::Quiet;
    }
    if let Some(sent) = entry.status_sent.filter(|_| pool.status.observed == pool.meta.generation) {
        let next = sent + view.config.pool_status_interval;
        if now.mono < next {
            return Verdict::Until(next, TimeoutReason::StatusInterval);
        }
    }
    let changes = Vec::from([Change::PoolStatus(status)]);
    patch(Intent::SetPoolStatus, Kind::Pool, &pool.meta, Part::Status, changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::check;

    /// WPL-027.
    #[test]
    fn a_pool_counts_its_members() {
        check(
            publish_pool_status,
            Kind::Pool,
            "
            pool p replicas=2
            sandbox s1 pool=p ready
            sandbox s2 pool=p starting
        ",
            &["SetPoolStatus p 2 there, 1 ready"],
        );
    }

    /// WPL-027, INV-18.
    #[test]
    fn an_empty_pool_says_so_too() {
        check(publish_pool_status, Kind::Pool, "pool p replicas=0", &["SetPoolStatus p 0 there, 0 ready"]);
    }

    #[test]
    fn a_pool_that_is_being_written_waits() {
        check(
            publish_pool_status,
            Kind::Pool,
            "
            pool p
            held p
        ",
            &[],
        );
    }
}
