use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::{Verdict, patch};
use crate::action::{Intent, Part};
use crate::agenda::TimeoutReason;
use crate::id::{Kind, Uid};
use crate::mutant::Mutant;
use crate::names;
use crate::object::{SandboxStatus, Truth};
use crate::patch::Change;
use crate::time::Now;
use crate::view::View;

/// Tells a sandbox's user how its Pod is, and that its time is over.
///
/// Reads: the sandbox, its Pods, and who holds the Pod's name.
/// Emits: [`Intent::SetSandboxStatus`]. Arms [`TimeoutReason::Settle`]: the steps of a start are told at most once in
/// that time, so that a Pod which starts faster costs one write; [`TimeoutReason::Expiry`]: the shutdown time.
/// Never: Ready without a live Pod of its own that has an address; the same thing twice; expired before the time that
/// the version it is locked to says.
/// Source: SCND-001 to SCND-060, SBX-005, SBX-020, SBX-025, SBX-027, SBX-032, SBX-110; GAP-003, GAP-004, INV-16, INV-19,
/// INV-21, INV-22.
pub(super) fn publish_sandbox_status(view: &View<'_>, sandbox: Uid, now: Now) -> Verdict {
    let Some(entry) = view.sandbox(sandbox) else { return Verdict::Quiet };
    let sandbox = &entry.sandbox;
    if sandbox.meta.terminating || view.is_held(sandbox.meta.uid) {
        return Verdict::Quiet;
    }
    let is_over = view.is_over(sandbox, now.wall);
    let over_at = sandbox.shutdown.filter(|_| !is_over).map(|shutdown| now.mono_at(shutdown.at));
    let status = view.sandbox_status(sandbox, is_over, now.wall);
    let Cow::Owned(mut status) = status else {
        return over_at.map_or(Verdict::Quiet, |at| Verdict::Until(at, TimeoutReason::Expiry));
    };
    if view.config.has(Mutant::TimesMove) {
        status.conditions.iter_mut().for_each(|condition| condition.changed = now.wall.whole_seconds());
    }
    let is_news = is_ready(&status) || is_ready(&sandbox.status) || status.is_expired();
    let settled = entry.status_sent.unwrap_or(entry.seen.mono) + view.config.settle;
    if !is_news && now.mono < settled && !view.config.has(Mutant::TellsEachStep) {
        return match over_at {
            Some(at) if at < settled => Verdict::Until(at, TimeoutReason::Expiry),
            Some(_) | None => Verdict::Until(settled, TimeoutReason::Settle),
        };
    }
    let changes = Vec::from([Change::SandboxStatus(status)]);
    patch(Intent::SetSandboxStatus, Kind::Sandbox, &sandbox.meta, Part::Status, changes)
}

fn is_ready(status: &SandboxStatus) -> bool {
    status.condition(names::READY).is_some_and(|condition| condition.status == Truth::True)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::check;

    #[track_caller]
    fn told(world: &str, expected: &str) {
        check(publish_sandbox_status, Kind::Sandbox, world, &[expected]);
    }

    /// SBX-123.
    /// GAP-003: the original has a write for each step of a start.
    #[test]
    fn a_pod_that_starts_is_told_after_a_second() {
        told("sandbox s1 reachable", "until 1s Settle");
        told("sandbox s1 reachable age=1s", "SetSandboxStatus s1 Ready=False DependenciesNotReady");
    }

    /// SBX-110.
    #[test]
    fn a_pod_that_is_ready_is_told_at_once() {
        told("sandbox s1 ready untold", "SetSandboxStatus s1 Ready=True DependenciesReady");
        check(publish_sandbox_status, Kind::Sandbox, "sandbox s1 ready untold\nheld s1", &[]);
    }

    /// SBX-120.
    /// SBX-110, INV-28.
    #[test]
    fn a_status_that_is_true_is_not_written_again() {
        check(publish_sandbox_status, Kind::Sandbox, "sandbox s1 ready", &[]);
    }

    /// SBX-006, SBX-121, SACC-142.
    #[test]
    fn a_shutdown_time_ahead_is_waited_for() {
        told("sandbox s1 ready over=3s", "until 3s Expiry");
        told("sandbox s1 reachable over=200s", "until 1s Settle");
        told("sandbox s1 reachable over=1s age=1s", "SetSandboxStatus s1 Ready=False DependenciesNotReady");
    }

    /// SBX-033, SBX-122, SACC-051.
    #[test]
    fn the_end_is_told_at_once() {
        told("sandbox s1 ready over=now", "SetSandboxStatus s1 Ready=False SandboxExpired");
        told("sandbox s1 nopod untold over=now", "SetSandboxStatus s1 Ready=False SandboxExpired");
    }

    /// GAP-004: the original marks again, about once a millisecond, until its cache shows the mark.
    #[test]
    fn the_end_is_told_once() {
        check(publish_sandbox_status, Kind::Sandbox, "sandbox s1 nopod over=now isexpired", &[]);
    }

    /// SBX-027, INV-21: more time revives what was retained.
    #[test]
    fn more_time_makes_a_sandbox_go_on() {
        told(
            "sandbox s1 nopod isexpired edited over=90s age=9s",
            "SetSandboxStatus s1 Ready=False DependenciesNotReady",
        );
    }

    /// INV-21: it was told by another process, whose clock is ahead of ours.
    #[test]
    fn what_was_told_of_this_spec_stands() {
        check(publish_sandbox_status, Kind::Sandbox, "sandbox s1 nopod isexpired over=90s age=9s", &[]);
    }
}
