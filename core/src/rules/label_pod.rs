use super::{Verdict, patch};
use crate::action::{Intent, Part};
use crate::id::{Kind, Text, Uid};
use crate::make::pod_changes;
use crate::mutant::Mutant;
use crate::names;
use crate::patch::Change;
use crate::time::Now;
use crate::view::{Backing, View};

/// Brings a Pod's labels and annotations in line with its sandbox, in place.
///
/// Reads: the sandbox, its Pod.
/// Emits: [`Intent::LabelPod`], with only the keys that differ.
/// Never: touches keys that others put there; a Pod that is going, or is about to.
/// Source: SBX-074, SBX-075, META-020 to META-034, CON-043; GAP-021, INV-05, INV-24.
pub(super) fn label_pod(view: &View<'_>, sandbox: Uid, now: Now) -> Verdict {
    let Some(sandbox) = view.sandbox(sandbox).map(|entry| &entry.sandbox) else { return Verdict::Quiet };
    let Backing::Own(pod) = view.backing(sandbox) else { return Verdict::Quiet };
    if sandbox.meta.terminating || sandbox.suspended || view.is_over(sandbox, now.wall) {
        return Verdict::Quiet;
    }
    if pod.meta.terminating || view.is_held(pod.meta.uid) {
        return Verdict::Quiet;
    }
    let mut changes = pod_changes(sandbox, &pod.meta);
    if view.config.has(Mutant::ForeignLabelsDropped) {
        let is_foreign = |key: &&Text| !names::is_reserved(key) && !sandbox.pod.labels.contains_key(key);
        changes.extend(pod.meta.labels.keys().filter(is_foreign).map(|key| Change::Label(key.clone(), None)));
    }
    if changes.is_empty() {
        return Verdict::Quiet;
    }
    patch(Intent::LabelPod, Kind::Pod, &pod.meta, Part::Main, changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::check;

    /// SBX-052.
    /// META-020, SBX-074, GAP-021.
    #[test]
    fn a_pod_that_lost_its_label_gets_it_back() {
        check(
            label_pod,
            Kind::Sandbox,
            "sandbox s1 ready unlabelled",
            &["LabelPod s1 sandbox-name-hash=0851b8c9"],
        );
    }

    #[test]
    fn a_pod_that_is_about_to_go_is_left_as_it_is() {
        check(label_pod, Kind::Sandbox, "sandbox s1 ready unlabelled suspended", &[]);
        check(label_pod, Kind::Sandbox, "sandbox s1 ready unlabelled over=now", &[]);
    }

    /// SACC-160.
    /// SBX-075.
    #[test]
    fn a_pod_in_line_is_left_alone() {
        check(label_pod, Kind::Sandbox, "sandbox s1 ready", &[]);
    }
}
