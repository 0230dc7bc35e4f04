use alloc::format;
use alloc::string::String;
use core::time::Duration;

use super::{Verdict, act, target};
use crate::action::{Intent, Notice, Operation};
use crate::agenda::TimeoutReason;
use crate::id::{Kind, Uid};
use crate::members::Order;
use crate::names;
use crate::time::Now;
use crate::view::View;

/// Tells a pool's owner that it cannot get ready because no node has room for its members, or because the API server
/// refuses to create them, and when that is over.
///
/// Reads: the pool, its members that wait for room, the refusal of the last create, what was told before.
/// Emits: [`Intent::Notify`], once at the beginning and once at the end. Arms [`TimeoutReason::Stuck`] while members wait
/// for room, and [`TimeoutReason::Settle`]: a refusal that passes at once is no news.
/// Never: again while nothing has changed. A new process tells once more, for it cannot know.
/// Source: WPL-022, WPL-039, EVT-005, EVT-006; INV-10, INV-18, INV-28.
pub(super) fn report_progress(view: &View<'_>, pool: Uid, now: Now) -> Verdict {
    let Some(entry) = view.pool(pool).filter(|entry| !entry.pool.meta.terminating) else {
        return Verdict::Quiet;
    };
    let pool = &entry.pool;
    let grace = view.config.readiness_grace;
    let members = view.members(pool.meta.uid);
    let waiting = members.filter(|_| grace != Duration::MAX);
    let longest = waiting.and_then(|members| members.no_room.first()).map(|order| order.0);
    let no_room = longest.map(|since| now.mono + grace.saturating_sub(now.wall.since(since)));
    let is_short = members.map_or(0, |members| members.live) < pool.replicas;
    let refused = view.refused(pool.meta.uid, Kind::Sandbox).filter(|_| is_short);
    let timers = [
        no_room.map(|at| (at, TimeoutReason::Stuck)),
        refused.map(|refused| (refused.since + view.config.settle, TimeoutReason::Settle)),
    ];
    let next = timers.into_iter().flatten().min();
    let is_blocked = next.is_some_and(|(at, _)| at <= now.mono);
    let (reason, note) = match (is_blocked, entry.told_blocked) {
        (true, true) => return Verdict::Quiet,
        (false, false) => {
            return next.map_or(Verdict::Quiet, |(at, reason)| Verdict::Until(at, reason));
        }
        (true, false) => {
            // Those that wait for that long, the longest first: counted once an episode.
            let is_due = |order: &&Order| now.wall.since(order.0) >= grace;
            let due = waiting.map_or(0, |members| members.no_room.iter().take_while(is_due).count());
            let why = match refused {
                Some(refused) if due == 0 => refusal(pool.replicas, &refused.why),
                _ => why(due, pool.replicas, grace),
            };
            ("WarmPoolNotProgressing", why)
        }
        (false, true) => ("WarmPoolProgressing", "Warm pool is progressing again".into()),
    };
    let meta = &pool.meta;
    // Trouble may begin and be over at one moment.
    let what = names::mix(now.wall.micros() as u64, u64::from(is_blocked), 0);
    let suffix = names::mix(meta.uid.bits() as u64, what, meta.version.0);
    act(
        Intent::Notify,
        Operation::Notify(Notice {
            name: format!("{}.{suffix:016x}", meta.key.name).into(),
            regarding: target(Kind::Pool, meta),
            warning: is_blocked,
            reporter: names::POOL_REPORTER.into(),
            reason: reason.into(),
            action: "Reconciling".into(),
            note: note.into(),
        }),
    )
}

fn refusal(replicas: u32, why: &str) -> String {
    format!("fewer than {replicas} sandboxes are there, and the API server refuses to create more: {why}")
}

/// Says it in the original's words, which scripts may look for.
fn why(due: usize, replicas: u32, grace: Duration) -> String {
    let grace = match (grace.as_secs() / 3600, grace.as_secs() / 60 % 60, grace.as_secs() % 60) {
        (0, 0, _) => format!("{grace:?}"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    };
    format!(
        "{due}/{replicas} sandboxes are unschedulable past the {grace} readiness grace period; holding them instead of replacing (replacements would be equally unschedulable)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::check;

    /// What is said about a pool that was told this, with a member like that.
    #[track_caller]
    fn said(told: &str, member: &str, expected: &[&str]) {
        let world = format!("template tpl\npool p {told}\nsandbox s1 pool=p {member}");
        check(report_progress, Kind::Pool, &world, expected);
    }

    /// WPL-039, EVT-005, ACC-184.
    #[test]
    fn a_pool_whose_members_find_no_room_for_too_long_says_so() {
        said("", "unschedulable unready=299s", &["until 1s Stuck"]);
        said("", "unschedulable unready=300s", &["Notify Warning WarmPoolNotProgressing about p"]);
    }

    /// EVT-005: those that wait for a shorter time are not counted, and a time is written as Go does.
    #[test]
    fn what_is_said_is_what_the_original_says() {
        let held = "holding them instead of replacing (replacements would be equally unschedulable)";
        for (seconds, grace) in [(4, "4s"), (300, "5m0s"), (3723, "1h2m3s")] {
            let told =
                format!("2/3 sandboxes are unschedulable past the {grace} readiness grace period; {held}");
            assert_eq!(why(2, 3, Duration::from_secs(seconds)), told);
        }
    }

    /// ACC-184: one Event, however long it lasts.
    #[test]
    fn it_is_said_once() {
        said("blocked", "unschedulable unready=900s", &[]);
    }

    /// EVT-006, ACC-184.
    #[test]
    fn the_end_is_told_too() {
        said("blocked", "ready", &["Notify Normal WarmPoolProgressing about p"]);
    }

    /// INV-18: what the server says to a create that it refuses stands nowhere else than in the controller's log.
    #[test]
    fn a_pool_whose_members_are_refused_says_so() {
        let with = |what: &str| format!("starting\nrefused p sandbox s2 {what}");
        let told = ["Notify Warning WarmPoolNotProgressing about p"];
        said("replicas=2", &with("age=0s quota"), &["until 1s Settle"]);
        said("replicas=2", &with("age=1s quota"), &told);
        said("replicas=2 blocked", &with("age=9s quota"), &[]);
        // What was refused is not wanted any more.
        said("replicas=1", &with("age=9s quota"), &[]);
        said("replicas=1 blocked", &with("age=9s quota"), &["Notify Normal WarmPoolProgressing about p"]);
    }

    #[test]
    fn a_pool_that_gets_on_says_nothing() {
        said("", "starting", &[]);
    }
}
