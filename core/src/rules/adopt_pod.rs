use super::{Verdict, patch};
use crate::action::{Intent, Part};
use crate::id::{Kind, Uid};
use crate::make::pod_changes;
use crate::mutant::Mutant;
use crate::object::Owner;
use crate::parts::Whose;
use crate::patch::Change;
use crate::time::Now;
use crate::view::{Backing, View};

/// Gives a sandbox without a Pod the one that was prepared for it.
///
/// Such a Pod belongs to nobody, has the sandbox's name or is noted by it, and carries the adoptable label or the
/// sandbox's tracking label. The original asks for no lock here, so two sandboxes may both believe that they have it.
///
/// Reads: the sandbox, and the Pod that holds its name or its note.
/// Emits: [`Intent::AdoptPod`]: owner and metadata in one write, locked to the version on which it was nobody's.
/// Never: a Pod that somebody owns, or without a mark; for a sandbox that is suspended, over or going.
/// Source: SBX-070 to SBX-072, SBX-075, META-021; GAP-008, INV-05.
pub(super) fn adopt_pod(view: &View<'_>, sandbox: Uid, now: Now) -> Verdict {
    let Some(sandbox) = view.sandbox(sandbox).map(|entry| &entry.sandbox) else { return Verdict::Quiet };
    let is_going = sandbox.meta.terminating || view.is_being_deleted(sandbox.meta.uid);
    if is_going || sandbox.suspended || view.is_over(sandbox, now.wall) {
        return Verdict::Quiet;
    }
    let Backing::Other(pod, whose) = view.backing(sandbox) else { return Verdict::Quiet };
    if whose != Whose::Free && !view.config.has(Mutant::AnyPodWillDo) {
        return Verdict::Quiet;
    }
    if view.is_held(pod.meta.uid) {
        return Verdict::Quiet;
    }
    let mut changes = pod_changes(sandbox, &pod.meta);
    changes.extend(Change::owned(&pod.meta, Owner::new(Kind::Sandbox, &sandbox.meta)));
    patch(Intent::AdoptPod, Kind::Pod, &pod.meta, Part::Main, changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::check;

    /// SACC-061, SACC-062.
    /// SBX-072.
    /// META-021: either mark permits it. GAP-008: the write is locked, as `check` makes sure.
    #[test]
    fn a_pod_that_was_prepared_is_adopted() {
        let world = "
            sandbox s1 nopod
            pod s1 adoptable
        ";
        check(adopt_pod, Kind::Sandbox, world, &["AdoptPod s1 sandbox-name-hash=0851b8c9 owner=s1"]);
        let world = "
            sandbox s1 nopod
            pod s1 tracked=s1
        ";
        check(adopt_pod, Kind::Sandbox, world, &["AdoptPod s1 owner=s1"]);
    }

    /// SACC-079.
    #[test]
    fn a_pod_of_another_name_is_adopted_by_the_sandbox_that_notes_it() {
        let world = "
            sandbox s1 nopod notes=other
            pod other adoptable
        ";
        check(adopt_pod, Kind::Sandbox, world, &["AdoptPod other sandbox-name-hash=0851b8c9 owner=s1"]);
    }

    /// SACC-140.
    /// SACC-080.
    /// SBX-071.
    #[test]
    fn other_pods_are_left_alone() {
        for pod in
            ["pod s1", "pod s1 adoptable of=another", "pod s1 adoptable terminating", "pod s1 tracked=s2"]
        {
            check(adopt_pod, Kind::Sandbox, &alloc::format!("sandbox s1 nopod\n{pod}"), &[]);
        }
    }

    /// SACC-093: a Pod of its own counts more than any note.
    #[test]
    fn a_sandbox_with_a_pod_adopts_no_other() {
        let world = "
            sandbox s1 ready notes=other
            pod other adoptable
        ";
        check(adopt_pod, Kind::Sandbox, world, &[]);
    }

    #[test]
    fn a_sandbox_that_is_to_have_none_adopts_none() {
        for why in ["suspended", "over=now", "terminating"] {
            check(adopt_pod, Kind::Sandbox, &alloc::format!("sandbox s1 nopod {why}\npod s1 adoptable"), &[]);
        }
    }
}
