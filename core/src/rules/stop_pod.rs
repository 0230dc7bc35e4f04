use super::{Verdict, delete};
use crate::action::Intent;
use crate::agenda::TimeoutReason;
use crate::id::{Kind, Uid};
use crate::time::Now;
use crate::view::View;

/// Deletes the Pods of a sandbox that is to have none: it is suspended, or has expired.
///
/// All of them go, also where somebody gave it several; a Pod that is gone already is as good as deleted.
///
/// Reads: the sandbox and its own Pods, by uid.
/// Emits: [`Intent::DeletePod`], locked to identity and version. Arms [`TimeoutReason::Expiry`] where the status was
/// written by a clock that is ahead of ours.
/// Never: a Pod that is not its own; one that is going already; for an expired sandbox before its status says so.
/// Source: SBX-021, SBX-022, SBX-060, SBX-061; GAP-005, GAP-006, GAP-007, GAP-024, INV-05, INV-07, INV-19.
pub(super) fn stop_pod(view: &View<'_>, sandbox: Uid, now: Now) -> Verdict {
    let Some(sandbox) = view.sandbox(sandbox).map(|entry| &entry.sandbox) else { return Verdict::Quiet };
    if sandbox.meta.terminating {
        return Verdict::Quiet;
    }
    if !sandbox.suspended {
        let Some(shutdown) = sandbox.shutdown.filter(|_| sandbox.status.is_expired()) else {
            return Verdict::Quiet;
        };
        if shutdown.at > now.wall {
            return Verdict::Until(now.mono_at(shutdown.at), TimeoutReason::Expiry);
        }
    }
    let mut pods = view.pods_of(sandbox.meta.uid);
    let Some(pod) = pods.find(|pod| !pod.meta.terminating && !view.is_held(pod.meta.uid)) else {
        return Verdict::Quiet;
    };
    delete(Intent::DeletePod, Kind::Pod, &pod.meta)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::check;

    /// SACC-077, SACC-078.
    /// SBX-060, CON-036.
    #[test]
    fn a_suspended_sandbox_loses_its_pod() {
        check(stop_pod, Kind::Sandbox, "sandbox s1 ready suspended", &["DeletePod s1"]);
        check(stop_pod, Kind::Sandbox, "sandbox s1 ready", &[]);
        check(stop_pod, Kind::Sandbox, "sandbox s1 nopod suspended", &[]);
    }

    /// SBX-061.
    /// GAP-006: the original deletes again with each event of a Pod that is going.
    #[test]
    fn a_pod_that_is_going_is_not_deleted_again() {
        let world = "
            sandbox s1 nopod suspended
            pod s1 of=s1 terminating
        ";
        check(stop_pod, Kind::Sandbox, world, &[]);
        let world = "
            sandbox s1 nopod suspended
            pod mine of=s1
            held mine
        ";
        check(stop_pod, Kind::Sandbox, world, &[]);
    }

    /// GAP-024: the original deletes nothing while there are several Pods, so that such a sandbox cannot be suspended.
    /// GAP-005: nor does it look for more than one Pod when a sandbox expires.
    #[test]
    fn all_pods_of_a_sandbox_go() {
        for why in ["suspended", "over=now isexpired"] {
            let world = alloc::format!(
                "
                sandbox s1 nopod {why}
                pod s1 of=s1 terminating
                pod stray of=s1
            "
            );
            check(stop_pod, Kind::Sandbox, &world, &["DeletePod stray"]);
        }
    }

    /// SACC-049, SACC-050.
    /// SBX-022, SBX-062.
    #[test]
    fn a_pod_of_somebody_else_stays() {
        let world = "
            sandbox s1 nopod suspended
            pod s1
        ";
        check(stop_pod, Kind::Sandbox, world, &[]);
        for pod in ["pod s1", "pod s1 of=another"] {
            let world = alloc::format!("sandbox s1 nopod over=now isexpired\n{pod}");
            check(stop_pod, Kind::Sandbox, &world, &[]);
        }
    }

    /// CND-025.
    /// SBX-021.
    #[test]
    fn an_expired_sandbox_loses_its_pod_once_its_status_says_so() {
        check(stop_pod, Kind::Sandbox, "sandbox s1 ready over=now", &[]);
        check(stop_pod, Kind::Sandbox, "sandbox s1 ready over=now isexpired", &["DeletePod s1"]);
    }

    #[test]
    fn a_clock_that_is_behind_the_one_that_marked_it_waits() {
        check(stop_pod, Kind::Sandbox, "sandbox s1 ready over=3s isexpired", &["until 3s Expiry"]);
    }

    #[test]
    fn a_sandbox_that_got_more_time_keeps_its_pod() {
        check(stop_pod, Kind::Sandbox, "sandbox s1 ready isexpired", &[]);
    }
}
