use alloc::vec::Vec;

use super::{Verdict, patch};
use crate::action::{Intent, Part};
use crate::agenda::TimeoutReason;
use crate::id::{Kind, Uid};
use crate::make::sandbox_status;
use crate::names;
use crate::object::{SandboxStatus, Truth};
use crate::patch::Change;
use crate::time::Now;
use crate::view::View;

/// Tells a sandbox's user how its Pod is.
///
/// Reads: the sandbox and its Pod.
/// Emits: [`Intent::SetSandboxStatus`]. Arms [`TimeoutReason::Settle`]: the steps of a start are told at most once in
/// that time, so that a Pod which starts faster costs one write.
/// Never: Ready without a live Pod of its own that has an address.
/// Source: SCND-001 to SCND-046, SBX-032, SBX-110; INV-16.
pub(super) fn publish_sandbox_status(view: &View<'_>, sandbox: Uid, now: Now) -> Verdict {
    let Some(entry) = view.sandbox(sandbox) else { return Verdict::Quiet };
    let sandbox = &entry.sandbox;
    if sandbox.meta.terminating || view.is_held(sandbox.meta.uid) {
        return Verdict::Quiet;
    }
    let status = sandbox_status(sandbox, view.pod_of(sandbox.meta.uid), now.wall);
    if status == sandbox.status {
        return Verdict::Quiet;
    }
    if !is_ready(&status) && !is_ready(&sandbox.status) {
        let settled = entry.status_sent.unwrap_or(entry.seen).mono + view.config.settle;
        if now.mono < settled {
            return Verdict::Until(settled, TimeoutReason::Settle);
        }
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

    /// SBX-110.
    #[test]
    fn a_pod_that_is_ready_is_told_at_once() {
        check(publish_sandbox_status, Kind::Sandbox, "sandbox s1 reachable", &["until 1s Settle"]);
        check(
            publish_sandbox_status,
            Kind::Sandbox,
            "
            sandbox s1 ready
            held s1
        ",
            &[],
        );
    }

    /// SBX-110, INV-28.
    #[test]
    fn a_status_that_is_true_is_not_written_again() {
        check(publish_sandbox_status, Kind::Sandbox, "sandbox s1 ready", &[]);
    }
}
