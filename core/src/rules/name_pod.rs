use alloc::vec::Vec;

use super::{Verdict, act, patch};
use crate::action::{Intent, Operation, Part};
use crate::id::{Kind, Text, Uid};
use crate::names;
use crate::object::Sandbox;
use crate::parts::Whose;
use crate::patch::Change;
use crate::time::Now;
use crate::view::{Backing, View};

/// Notes on a sandbox which Pod is its own, for clients that look it up, and takes back a note about another.
///
/// A note of the sandbox's own name stays where there is no Pod: it says what the next one will be called, and to take it
/// away would cost two writes each time (GAP-001, GAP-026).
///
/// Reads: the sandbox's annotation, its Pod, and the Pod that it notes.
/// Emits: [`Intent::NamePod`], for sandboxes that users made; those that the core makes carry the note from the start.
/// [`Intent::Look`] before it takes back a note because the Pod does not exist.
/// Never: over a note that may yet come true: of a Pod that is nobody's, and may get the mark that it lacks, or that is
/// being adopted, for the sandbox would get a second one.
/// Source: META-040, SBX-051, SBX-054, SBX-062, SBX-070, SBX-076; CON-031.
pub(super) fn name_pod(view: &View<'_>, sandbox: Uid, now: Now) -> Verdict {
    let Some(sandbox) = view.sandbox(sandbox).map(|entry| &entry.sandbox) else { return Verdict::Quiet };
    if sandbox.meta.terminating || view.is_held(sandbox.meta.uid) || view.is_over(sandbox, now.wall) {
        return Verdict::Quiet;
    }
    let noted = sandbox.meta.annotation(names::POD_NAME);
    let is_other = noted.is_some_and(|noted| *noted != sandbox.meta.key.name);
    match view.backing(sandbox) {
        Backing::Own(pod) if noted != Some(&pod.meta.key.name) => {
            note(sandbox, Some(pod.meta.key.name.clone()))
        }
        Backing::Elsewhere { is_absent: true, .. } => note(sandbox, None),
        Backing::Elsewhere { noted, is_absent: false } => {
            if view.is_looked_up(Kind::Pod, &noted) {
                return Verdict::Quiet;
            }
            act(Intent::Look, Operation::Get { kind: Kind::Pod, key: noted })
        }
        Backing::Other(_, Whose::Another) if is_other => note(sandbox, None),
        Backing::Other(pod, _) if is_other && sandbox.suspended && !view.is_held(pod.meta.uid) => {
            note(sandbox, None)
        }
        Backing::None
        | Backing::Coming { .. }
        | Backing::Leaving
        | Backing::Own(_)
        | Backing::Many(_)
        | Backing::Other(..) => Verdict::Quiet,
    }
}

fn note(sandbox: &Sandbox, name: Option<Text>) -> Verdict {
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
        check(name_pod, Kind::Sandbox, "sandbox s1 ready", &["NamePod s1 notes=s1"]);
    }

    /// META-040.
    #[test]
    fn a_name_that_is_there_stays() {
        check(name_pod, Kind::Sandbox, "sandbox s1 ready notes=s1", &[]);
    }

    #[test]
    fn there_is_nothing_to_name_without_a_pod() {
        check(name_pod, Kind::Sandbox, "sandbox s1 nopod", &[]);
    }

    /// SBX-063, SACC-083.
    /// GAP-001, GAP-026: the original takes the note back whenever it sees no Pod, if only because a watch lags.
    #[test]
    fn a_note_of_the_own_name_stays_without_a_pod() {
        check(name_pod, Kind::Sandbox, "sandbox s1 nopod notes=s1", &[]);
        check(name_pod, Kind::Sandbox, "sandbox s1 nopod notes=s1 suspended", &[]);
    }

    /// SACC-092, SBX-054.
    #[test]
    fn a_note_that_is_wrong_is_put_right() {
        let world = "
            sandbox s1 ready notes=other
            pod other adoptable
        ";
        check(name_pod, Kind::Sandbox, world, &["NamePod s1 notes=s1"]);
    }

    /// SBX-051.
    #[test]
    fn a_noted_pod_that_nobody_has_seen_is_looked_up_before_the_note_goes() {
        check(name_pod, Kind::Sandbox, "sandbox s1 nopod notes=other", &["Look other"]);
        let world = "
            sandbox s1 nopod notes=other
            absent pod other
        ";
        check(name_pod, Kind::Sandbox, world, &["NamePod s1 notes=nothing"]);
    }

    /// SBX-062, SBX-070; SACC-081, SACC-082, SACC-084, SACC-085, SACC-087.
    #[test]
    fn a_note_of_a_pod_that_cannot_be_had_goes() {
        let world = |mode: &str, pod: &str| alloc::format!("sandbox s1 nopod notes=other {mode}\n{pod}");
        check(name_pod, Kind::Sandbox, &world("", "pod other of=another"), &["NamePod s1 notes=nothing"]);
        check(name_pod, Kind::Sandbox, &world("suspended", "pod other"), &["NamePod s1 notes=nothing"]);
        check(name_pod, Kind::Sandbox, &world("", "pod other"), &[]);
        check(name_pod, Kind::Sandbox, &world("", "pod other adoptable"), &[]);
        // Its adoption may still take effect (INV-04).
        check(name_pod, Kind::Sandbox, &world("suspended", "pod other adoptable\nheld other"), &[]);
    }
}
