use alloc::vec::Vec;

use super::{Verdict, make, patch};
use crate::action::{Intent, Part};
use crate::id::{Kind, Uid};
use crate::object::Owner;
use crate::parts::{Volumes, tracking};
use crate::patch::Change;
use crate::time::Now;
use crate::view::View;

/// Makes the volume claims of a sandbox, or adopts those that were prepared and marked.
///
/// They are made along with the Pod, which waits for them by itself, and they stay when it goes: they are what a
/// suspended sandbox keeps, and what is left of one that is retained.
///
/// Reads: the sandbox; who holds the names of its volume claims.
/// Emits: [`Intent::CreateVolumeClaim`]; [`Intent::AdoptVolumeClaim`], owner and label, locked to the version on which it
/// was nobody's.
/// Never: touches the claim of another; changes or deletes one; makes any for a sandbox that is over or going.
/// Source: SBX-031, SBX-040 to SBX-044, META-012, META-032; GAP-002, GAP-020, GAP-027, CON-050, INV-05.
pub(super) fn keep_volumes(view: &View<'_>, sandbox: Uid, now: Now) -> Verdict {
    let Some(sandbox) = view.sandbox(sandbox).map(|entry| &entry.sandbox) else { return Verdict::Quiet };
    let is_going = sandbox.meta.terminating || view.is_being_deleted(sandbox.meta.uid);
    if sandbox.volume_claims.is_none() || is_going || view.is_over(sandbox, now.wall) {
        return Verdict::Quiet;
    }
    match view.volumes(sandbox) {
        Volumes::Missing(claim) => {
            make(view, (Kind::Sandbox, &sandbox.meta), Intent::CreateVolumeClaim, claim)
        }
        Volumes::Free(claim) if !view.is_held(claim.meta.uid) => {
            let mut changes = Vec::new();
            let (key, hash) = tracking(sandbox);
            if claim.meta.labels.get(&key) != Some(&hash) {
                changes.push(Change::Label(key, Some(hash)));
            }
            changes.extend(Change::owned(&claim.meta, Owner::new(Kind::Sandbox, &sandbox.meta)));
            patch(Intent::AdoptVolumeClaim, Kind::VolumeClaim, &claim.meta, Part::Main, changes)
        }
        Volumes::Free(_) | Volumes::Fine | Volumes::Barred(_) => Verdict::Quiet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::check;

    #[track_caller]
    fn kept(world: &str, expected: &[&str]) {
        check(keep_volumes, Kind::Sandbox, world, expected);
    }

    /// SBX-040, SBX-043, META-012, CON-050.
    #[test]
    fn volume_claims_are_made_in_order() {
        kept("sandbox s1 nopod volumes=a,b", &["CreateVolumeClaim a-s1"]);
        kept("sandbox s1 nopod volumes=a,b\nvolume a-s1 of=s1", &["CreateVolumeClaim b-s1"]);
        kept("sandbox s1 nopod volumes=a\nvolume a-s1 of=s1", &[]);
        kept("sandbox s1 nopod", &[]);
    }

    /// SBX-044.
    #[test]
    fn a_suspended_sandbox_has_them_too() {
        kept("sandbox s1 nopod suspended volumes=a", &["CreateVolumeClaim a-s1"]);
    }

    #[test]
    fn a_sandbox_that_is_over_or_going_gets_none() {
        kept("sandbox s1 nopod over=now volumes=a", &[]);
        kept("sandbox s1 nopod terminating volumes=a", &[]);
    }

    /// SACC-141.
    /// SBX-042. GAP-027: the original does not label what it adopts.
    #[test]
    fn one_that_was_prepared_is_adopted() {
        let adopted = "AdoptVolumeClaim a-s1 sandbox-name-hash=0851b8c9 owner=s1";
        kept("sandbox s1 nopod volumes=a\nvolume a-s1 adoptable", &[adopted]);
        kept("sandbox s1 nopod volumes=a\nvolume a-s1 tracked=s1", &["AdoptVolumeClaim a-s1 owner=s1"]);
    }

    /// SACC-141.
    /// SBX-041, SBX-042: and those after it wait.
    #[test]
    fn one_of_another_is_left_alone() {
        for claim in ["volume a-s1", "volume a-s1 of=another"] {
            kept(&alloc::format!("sandbox s1 nopod volumes=a,b\n{claim}"), &[]);
        }
    }

    /// GAP-020.
    #[test]
    fn a_template_without_a_name_makes_nothing() {
        kept("sandbox s1 nopod volumes=", &[]);
    }
}
