use alloc::collections::BTreeSet;
use core::time::Duration;

use super::{Verdict, delete};
use crate::action::Intent;
use crate::agenda::TimeoutReason;
use crate::id::{Kind, Uid};
use crate::members::Order;
use crate::time::Now;
use crate::view::View;

/// Deletes one member that has not been ready for too long, or whose Pod ended, so that a new one can take its place.
///
/// What counts is how long it has not been ready, by its own status, so that a probe that fails once costs an old
/// member nothing. A member for which no node has room is left alone: another would find no room either.
///
/// Reads: the pool, its members in trouble, the longest first.
/// Emits: [`Intent::DeleteMember`], locked to identity and version. Arms [`TimeoutReason::Stuck`].
/// Never: a member that a claim has recorded, nor one that is being written.
/// Source: WPL-020 to WPL-025, DEF-016, DEF-020; INV-06, INV-07, INV-10.
pub(super) fn replace_stuck(view: &View<'_>, pool: Uid, now: Now) -> Verdict {
    let Some(pool) = view.pool(pool).map(|entry| &entry.pool).filter(|pool| !pool.meta.terminating) else {
        return Verdict::Quiet;
    };
    let Some(members) = view.members(pool.meta.uid) else { return Verdict::Quiet };
    // Neither queue has members that a claim has recorded. One whose Pod ended is not ready either.
    let ended_grace = view.config.ended_grace.min(view.config.readiness_grace);
    let ended = first(view, &members.ended, ended_grace, now);
    let unready = first(view, &members.unready, view.config.readiness_grace, now);
    let Some((left, uid)) = ended.into_iter().chain(unready).min() else { return Verdict::Quiet };
    if !left.is_zero() {
        return Verdict::Until(now.mono + left, TimeoutReason::Stuck);
    }
    let Some(victim) = view.sandbox(uid) else { return Verdict::Quiet };
    let meta = &victim.sandbox.meta;
    delete(Intent::DeleteMember, Kind::Sandbox, meta)
}

/// Returns which member of a queue is due first, and in how long.
fn first(view: &View<'_>, queue: &BTreeSet<Order>, grace: Duration, now: Now) -> Option<(Duration, Uid)> {
    if grace == Duration::MAX {
        return None;
    }
    let (since, _, uid) = queue.iter().find(|order| !view.is_held(order.2))?;
    Some((grace.saturating_sub(now.wall.since(*since)), *uid))
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;
    use crate::rules::testing::check;

    /// What is said about a pool with these members.
    #[track_caller]
    fn said(members: &str, expected: &[&str]) {
        check(replace_stuck, Kind::Pool, &format!("template tpl\npool p\n{members}"), expected);
    }

    /// WPL-021, WPL-023, ACC-182, ACC-183, ACC-187.
    #[test]
    fn a_member_that_does_not_get_ready_is_replaced_after_the_grace() {
        said("sandbox s1 pool=p starting unready=299s", &["until 1s Stuck"]);
        said("sandbox s1 pool=p starting unready=300s", &["DeleteMember s1"]);
    }

    /// WPL-024, DEF-020: the original counts from the member's creation, and deletes an old one at once.
    #[test]
    fn an_old_member_that_was_ready_until_just_now_is_given_time() {
        said("sandbox s1 pool=p reachable age=90s unready=1s", &["until 299s Stuck"]);
    }

    /// WPL-024: by a calendar that runs ahead of the server's, every member is old when it is made. It counts from when it
    /// was first seen, as long as its own status says nothing.
    #[test]
    fn a_calendar_that_runs_ahead_makes_no_new_member_stuck() {
        said("sandbox s1 pool=p starting created=3600s age=0s", &["until 300s Stuck"]);
        said("sandbox s1 pool=p starting created=3600s age=9s", &["until 291s Stuck"]);
    }

    /// WPL-041, ACC-187.
    #[test]
    fn a_pool_is_woken_at_the_first_deadline() {
        check(
            replace_stuck,
            Kind::Pool,
            "
            template tpl
            pool p replicas=4
            sandbox s1 pool=p starting unready=100s
            sandbox s2 pool=p starting unready=200s
            sandbox s3 pool=p ended unready=9s
            sandbox s4 pool=p unschedulable unready=290s
        ",
            &["until 21s Stuck"],
        );
        check(
            replace_stuck,
            Kind::Pool,
            "
            template tpl
            pool p replicas=2
            sandbox s1 pool=p starting unready=100s
            sandbox s2 pool=p starting unready=200s
        ",
            &["until 100s Stuck"],
        );
    }

    /// WPL-022, WPL-025, ACC-184, INV-10.
    #[test]
    fn a_member_for_which_there_is_no_room_is_left_alone() {
        said("sandbox s1 pool=p unschedulable unready=900s", &[]);
    }

    /// WPL-025, ACC-186.
    #[test]
    fn a_member_without_a_pod_is_replaced_too() {
        said("sandbox s1 pool=p nopod unready=300s", &["DeleteMember s1"]);
    }

    /// DEF-016: nobody can use it, and it will not come back.
    #[test]
    fn a_member_whose_pod_ended_is_replaced_sooner() {
        said("sandbox s1 pool=p ended unready=29s", &["until 1s Stuck"]);
        said("sandbox s1 pool=p ended unready=30s", &["DeleteMember s1"]);
    }

    #[test]
    fn a_member_that_a_claim_has_recorded_is_spared() {
        said("sandbox s1 pool=p reachable unready=300s\nclaim c1 records=s1", &[]);
    }

    /// WPL-020, ACC-187: one whose Pod is ready is not in trouble either, although its status does not say so yet.
    #[test]
    fn a_pool_of_ready_members_waits_for_nothing() {
        said("sandbox s1 pool=p ready age=90s\nsandbox s2 pool=p ready untold unready=900s", &[]);
    }
}
