use alloc::vec::Vec;

use super::{Verdict, patch};
use crate::action::{Intent, Part};
use crate::id::{Kind, Uid};
use crate::names;
use crate::patch::Change;
use crate::time::Now;
use crate::view::View;

/// Notes on a sandbox which Pod is its own, for clients that look it up.
///
/// Reads: the sandbox's annotation, its Pod.
/// Emits: [`Intent::NamePod`], for sandboxes that users made; those that the core makes carry the note from the start.
/// Never: over a note that is there.
/// Source: META-040, SBX-076, CON-031.
pub(super) fn name_pod(view: &View<'_>, sandbox: Uid, _now: Now) -> Verdict {
    let Some(sandbox) = view.sandbox(sandbox).map(|entry| &entry.sandbox) else { return Verdict::Quiet };
    let is_named = sandbox.meta.annotation(names::POD_NAME).is_some();
    if is_named || sandbox.meta.terminating || view.is_held(sandbox.meta.uid) {
        return Verdict::Quiet;
    }
    let Some(pod) = view.pod_of(sandbox.meta.uid) else { return Verdict::Quiet };
    let name = Some(pod.meta.key.name.clone());
    let changes = Vec::from([Change::Annotation(names::POD_NAME.into(), name)]);
    patch(Intent::NamePod, Kind::Sandbox, &sandbox.meta, Part::Main, changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::check;

    /// META-040, SBX-076, CON-031.
    #[test]
    fn a_sandbox_that_a_user_made_learns_the_name_of_its_pod() {
        check(name_pod, Kind::Sandbox, "sandbox s1 ready", &["NamePod s1"]);
    }

    /// META-040.
    #[test]
    fn a_name_that_is_there_stays() {
        check(name_pod, Kind::Sandbox, "sandbox s1 ready named", &[]);
    }

    #[test]
    fn there_is_nothing_to_name_without_a_pod() {
        check(name_pod, Kind::Sandbox, "sandbox s1 nopod", &[]);
    }
}
