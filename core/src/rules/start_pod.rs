use super::Verdict;
use crate::action::{Intent, Operation};
use crate::id::{Kind, Uid};
use crate::make;
use crate::object::Object;
use crate::time::Now;
use crate::view::View;

/// Starts the Pod of a sandbox that has none.
///
/// Reads: the sandbox, its Pods, and who holds the Pod's name.
/// Emits: [`Intent::CreatePod`], under the sandbox's name: two can never exist.
/// Never: while a Pod of the sandbox exists, a terminating one included; while another object holds the name; for a
/// sandbox whose deletion is under way, because that one's Pods are being collected.
/// Source: SBX-073, SBX-079; INV-04.
pub(super) fn start_pod(view: &View<'_>, sandbox: Uid, _now: Now) -> Verdict {
    let Some(sandbox) = view.sandbox(sandbox).map(|entry| &entry.sandbox) else { return Verdict::Quiet };
    let key = &sandbox.meta.key;
    let is_taken = view.is_pod_name_taken(key) || view.is_drafted(Kind::Pod, key);
    let is_going = sandbox.meta.terminating || view.is_being_deleted(sandbox.meta.uid);
    if is_going || is_taken || view.pod_of(sandbox.meta.uid).is_some() {
        return Verdict::Quiet;
    }
    Verdict::Act(Intent::CreatePod, Operation::Create(Object::Pod(make::pod(sandbox).into())))
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

    #[test]
    fn a_sandbox_whose_deletion_is_under_way_gets_none() {
        check(start_pod, Kind::Sandbox, "sandbox s1 nopod\nleaving s1", &[]);
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

    #[test]
    fn a_sandbox_that_is_going_gets_none() {
        check(start_pod, Kind::Sandbox, "sandbox s1 nopod terminating", &[]);
    }
}
