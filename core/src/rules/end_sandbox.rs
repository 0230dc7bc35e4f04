use super::{Verdict, delete};
use crate::action::Intent;
use crate::agenda::TimeoutReason;
use crate::id::{Kind, Uid};
use crate::mutant::Mutant;
use crate::object::ShutdownPolicy;
use crate::time::Now;
use crate::view::View;

/// Deletes a sandbox that has expired, if its policy is Delete.
///
/// Its Pods go first, so that they stop on time even where a finalizer keeps the sandbox. Everything else is the garbage
/// collector's.
///
/// Reads: the sandbox, its own Pods.
/// Emits: [`Intent::DeleteSandbox`], locked to identity and version: who gives it more time meanwhile keeps it. Arms
/// [`TimeoutReason::Expiry`] where the status was written by a clock that is ahead of ours.
/// Never: before its status says that it has expired; while a Pod of its own is not going.
/// Source: SBX-021, SBX-024; GAP-007, INV-07, INV-19.
pub(super) fn end_sandbox(view: &View<'_>, sandbox: Uid, now: Now) -> Verdict {
    let Some(sandbox) = view.sandbox(sandbox).map(|entry| &entry.sandbox) else { return Verdict::Quiet };
    let uid = sandbox.meta.uid;
    let Some(shutdown) = sandbox.shutdown.filter(|_| sandbox.status.is_expired()) else {
        return Verdict::Quiet;
    };
    let is_kept = shutdown.policy == ShutdownPolicy::Retain && !view.config.has(Mutant::RetainedIsDeleted);
    if is_kept || sandbox.meta.terminating || view.is_held(uid) {
        return Verdict::Quiet;
    }
    if shutdown.at > now.wall {
        return Verdict::Until(now.mono_at(shutdown.at), TimeoutReason::Expiry);
    }
    if view.pods_of(uid).any(|pod| !pod.meta.terminating) {
        return Verdict::Quiet;
    }
    delete(Intent::DeleteSandbox, Kind::Sandbox, &sandbox.meta)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::check;

    /// SBX-024.
    #[test]
    fn an_expired_sandbox_goes_after_its_pod() {
        let rule = end_sandbox;
        check(rule, Kind::Sandbox, "sandbox s1 ready over=now isexpired delete", &[]);
        check(rule, Kind::Sandbox, "sandbox s1 nopod over=now isexpired delete", &["DeleteSandbox s1"]);
        let world = "
            sandbox s1 nopod over=now isexpired delete
            pod s1 of=s1 terminating
        ";
        check(rule, Kind::Sandbox, world, &["DeleteSandbox s1"]);
    }

    /// SBX-025.
    #[test]
    fn one_to_be_retained_stays() {
        check(end_sandbox, Kind::Sandbox, "sandbox s1 nopod over=now isexpired", &[]);
    }

    #[test]
    fn nothing_goes_before_its_time_or_before_it_was_told() {
        check(end_sandbox, Kind::Sandbox, "sandbox s1 nopod over=now delete", &[]);
        check(end_sandbox, Kind::Sandbox, "sandbox s1 nopod delete isexpired", &[]);
        check(end_sandbox, Kind::Sandbox, "sandbox s1 nopod over=2s delete isexpired", &["until 2s Expiry"]);
    }
}
