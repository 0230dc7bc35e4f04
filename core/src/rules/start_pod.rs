use alloc::format;

use super::Verdict;
use crate::action::Intent;
use crate::id::{Kind, Uid};
use crate::make;
use crate::mutant::Mutant;
use crate::object::Object;
use crate::parts::lacks_volume_name;
use crate::time::Now;
use crate::view::{Backing, View};

/// Starts the Pod of a sandbox that has none.
///
/// Reads: the sandbox, its Pods, and who holds the Pod's name.
/// Emits: [`Intent::CreatePod`], under the sandbox's name: two can never exist.
/// Never: while a Pod of the sandbox exists, a terminating one included; while another object holds the name, or the
/// sandbox notes another Pod; for a sandbox that is suspended or over, or whose deletion is under way, because that one's
/// Pods are being collected; another, where one has gone, before the server has shown that the sandbox is there; with a volume
/// that has no name, which no server takes.
/// Source: SBX-073, SBX-079, SBX-143; GAP-020, INV-04, INV-22.
pub(super) fn start_pod(view: &View<'_>, sandbox: Uid, now: Now) -> Verdict {
    let Some(sandbox) = view.sandbox(sandbox).map(|entry| &entry.sandbox) else { return Verdict::Quiet };
    let is_going = sandbox.meta.terminating || view.is_being_deleted(sandbox.meta.uid);
    if is_going || sandbox.suspended || view.is_over(sandbox, now.wall) {
        return Verdict::Quiet;
    }
    let is_missing = match view.backing(sandbox) {
        Backing::None => true,
        // What may still land has the same name, so it does no harm.
        Backing::Coming { is_free, .. } => is_free && !view.is_drafted(Kind::Pod, &sandbox.meta.key),
        Backing::Own(pod) => view.config.has(Mutant::SecondPod) && pod.meta.terminating,
        Backing::Leaving | Backing::Elsewhere { .. } | Backing::Many(_) | Backing::Other(..) => false,
    };
    if !is_missing || lacks_volume_name(sandbox) {
        return Verdict::Quiet;
    }
    let mut pod = make::pod(sandbox);
    if view.config.has(Mutant::SecondPod) && view.backing(sandbox).own().is_some() {
        pod.meta.key = pod.meta.key.sibling(format!("{}-again", pod.meta.key.name));
    }
    if view.config.has(Mutant::VolumesNotMounted) {
        pod.spec = Some(sandbox.pod_spec.clone());
    }
    super::make(view, (Kind::Sandbox, &sandbox.meta), Intent::CreatePod, Object::Pod(pod.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::check;

    /// SBX-079, CON-032.
    #[test]
    fn a_sandbox_without_a_pod_gets_one_of_its_name() {
        check(start_pod, Kind::Sandbox, "sandbox s1 nopod", &["CreatePod s1"]);
    }

    /// INV-20: its Pod may have gone with it, and the next would go as well.
    #[test]
    fn a_sandbox_whose_pod_has_gone_is_looked_up_before_it_gets_another() {
        check(start_pod, Kind::Sandbox, "sandbox s1 ready\ngone s1 pod", &["Look s1"]);
        check(start_pod, Kind::Sandbox, "sandbox s1 ready\ngone s1 pod\nasked s1", &["CreatePod s1"]);
    }

    #[test]
    fn a_sandbox_whose_deletion_is_under_way_gets_none() {
        check(start_pod, Kind::Sandbox, "sandbox s1 nopod\nleaving s1", &[]);
    }

    /// GAP-020: volume claims cannot be changed, so the server would refuse it for ever.
    #[test]
    fn a_sandbox_with_a_volume_that_has_no_name_gets_none() {
        check(start_pod, Kind::Sandbox, "sandbox s1 nopod volumes=", &[]);
        check(start_pod, Kind::Sandbox, "sandbox s1 nopod volumes=a", &["CreatePod s1"]);
    }

    /// SBX-073, SBX-078, INV-04.
    #[test]
    fn a_sandbox_with_a_pod_gets_no_other() {
        check(
            start_pod,
            Kind::Sandbox,
            "
            sandbox s1 ready
            sandbox s2 ended
        ",
            &[],
        );
    }

    /// SBX-005.
    #[test]
    fn a_sandbox_that_is_suspended_or_over_gets_none() {
        check(start_pod, Kind::Sandbox, "sandbox s1 nopod suspended", &[]);
        check(start_pod, Kind::Sandbox, "sandbox s1 nopod over=now", &[]);
        check(start_pod, Kind::Sandbox, "sandbox s1 nopod over=1s", &["CreatePod s1"]);
    }

    /// SBX-027: more time revives what was retained.
    #[test]
    fn a_sandbox_that_got_more_time_gets_a_pod_again() {
        check(start_pod, Kind::Sandbox, "sandbox s1 nopod isexpired edited over=1s", &["CreatePod s1"]);
    }

    /// INV-21: what another process has told stands, although its clock is ahead of ours.
    #[test]
    fn a_sandbox_that_was_told_that_its_time_is_over_gets_none() {
        check(start_pod, Kind::Sandbox, "sandbox s1 nopod isexpired over=1s", &[]);
    }

    /// SBX-079, SBX-143.
    #[test]
    fn a_name_that_somebody_else_holds_is_waited_for() {
        for pod in ["pod s1", "pod s1 adoptable", "pod s1 of=another", "pod s1 terminating"] {
            check(start_pod, Kind::Sandbox, &alloc::format!("sandbox s1 nopod\n{pod}"), &[]);
        }
    }

    /// INV-28: nor for as long as an attempt whose answer was lost may land, each time the server says that it is taken.
    #[test]
    fn a_name_that_will_soon_be_free_is_waited_for_beside_a_lost_create() {
        let lost = "starting s1\nlost s1";
        check(start_pod, Kind::Sandbox, &alloc::format!("sandbox s1 nopod\n{lost}"), &["CreatePod s1"]);
        check(start_pod, Kind::Sandbox, &alloc::format!("sandbox s1 nopod\npod s1 terminating\n{lost}"), &[]);
    }

    /// SACC-030.
    #[test]
    fn a_note_about_another_pod_is_believed_until_it_is_taken_back() {
        check(start_pod, Kind::Sandbox, "sandbox s1 nopod notes=other", &[]);
        check(start_pod, Kind::Sandbox, "sandbox s1 nopod notes=s1", &["CreatePod s1"]);
        check(start_pod, Kind::Sandbox, "sandbox s1 nopod notes=", &["CreatePod s1"]);
    }

    /// SACC-097.
    #[test]
    fn a_pod_that_is_going_is_waited_for() {
        check(start_pod, Kind::Sandbox, "sandbox s1 ready podgoing", &[]);
    }

    #[test]
    fn a_sandbox_that_is_going_gets_none() {
        check(start_pod, Kind::Sandbox, "sandbox s1 nopod terminating", &[]);
    }
}
