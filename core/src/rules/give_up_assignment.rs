use alloc::vec::Vec;

use super::{Branch, Verdict, act, delete, patch};
use crate::action::{Intent, Operation, Part};
use crate::id::{Key, Kind, Uid};
use crate::mutant::Mutant;
use crate::names;
use crate::object::{Claim, OwnerKind, Sandbox};
use crate::patch::Change;
use crate::time::Now;
use crate::view::{Holder, View};

/// Takes the record off a claim whose member is lost for good, so that it waits again.
///
/// Reads: the claim's record, the member and its owner.
/// Emits: [`Intent::ClearAssignment`]; [`Intent::DeleteMember`] for one whose pool is dead or whose Pod has ended (DEF-028);
/// [`Intent::Look`] where the watch has not shown the member.
/// Never: on suspicion. The member must be gone, going, or owned by no pool: by another claim, by nobody, by a stranger. And
/// first the claim's user must have been told, where the status shows a sandbox (INV-35).
/// Source: RES-006 to RES-008, ADP-056, DEF-010, DEF-027, DEF-028; INV-03.
pub(super) fn give_up_assignment(view: &View<'_>, claim: Uid, _now: Now) -> Verdict {
    let Some(claim) = view.claim(claim).map(|entry| &entry.claim) else { return Verdict::Quiet };
    // The claim's own name stands for a cold start, whose sandbox is no member and need not exist yet.
    let recorded = claim.meta.annotation(names::SANDBOX_NAME).filter(|name| **name != claim.meta.key.name);
    let Some(name) = recorded else { return Verdict::Quiet };
    if claim.meta.terminating || view.is_held(claim.meta.uid) {
        return Verdict::Quiet;
    }
    let key = claim.meta.key.sibling(name.clone());
    match view.sandbox_named(&key) {
        Holder::Is(sandbox) if sandbox.meta.is_owned_by(claim.meta.uid) => Verdict::Quiet,
        Holder::Is(sandbox) if sandbox.meta.terminating => {
            view.mark(Branch::LostTerminating);
            clear(claim)
        }
        Holder::Is(sandbox) => give_up_member(view, claim, sandbox),
        Holder::Nobody => {
            view.mark(Branch::LostGone);
            clear(claim)
        }
        Holder::Unseen if view.config.has(Mutant::GivesUpUnseen) => clear(claim),
        Holder::Unseen if view.is_looked_up(Kind::Sandbox, &key) => Verdict::Quiet,
        Holder::Unseen => {
            view.mark(Branch::LostUnseen);
            act(Intent::Look, Operation::Get { kind: Kind::Sandbox, key })
        }
    }
}

fn give_up_member(view: &View<'_>, claim: &Claim, sandbox: &Sandbox) -> Verdict {
    if view.config.has(Mutant::AbandonOnConflict) && view.is_stale(sandbox.meta.uid) {
        return clear(claim);
    }
    let is_members = matches!(&sandbox.meta.owner, Some(owner) if owner.kind == OwnerKind::Known(Kind::Pool));
    if !is_members {
        view.mark(Branch::LostToAnother);
        return clear(claim);
    }
    match view.owning_pool(sandbox) {
        // adopt_recorded asks for the pool, while the claim may have the member.
        Holder::Unseen => pool_of_expired(view, claim, sandbox)
            .map_or(Verdict::Quiet, |key| act(Intent::Look, Operation::Get { kind: Kind::Pool, key })),
        // It can be had: adopt_recorded transfers it.
        Holder::Is(_) if !view.has_ended(sandbox.meta.uid) => Verdict::Quiet,
        Holder::Is(_) | Holder::Nobody if view.is_held(sandbox.meta.uid) => Verdict::Quiet,
        Holder::Is(_) => delete(Intent::DeleteMember, Kind::Sandbox, &sandbox.meta),
        Holder::Nobody => {
            view.mark(Branch::LostPoolDead);
            delete(Intent::DeleteMember, Kind::Sandbox, &sandbox.meta)
        }
    }
}

/// Returns the pool of a member that an expired claim has recorded, if nobody asks for it.
fn pool_of_expired(view: &View<'_>, claim: &Claim, member: &Sandbox) -> Option<Key> {
    let owner = member.meta.owner.as_ref().filter(|_| claim.expired().is_some())?;
    let key = member.meta.key.sibling(owner.name.clone());
    (!view.is_looked_up(Kind::Pool, &key)).then_some(key)
}

fn clear(claim: &Claim) -> Verdict {
    if claim.status.sandbox.is_some() {
        // The user is told first.
        return Verdict::Quiet;
    }
    let changes = Vec::from([Change::Annotation(names::SANDBOX_NAME.into(), None)]);
    patch(Intent::ClearAssignment, Kind::Claim, &claim.meta, Part::Main, changes)
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;
    use crate::rules::testing::check;

    /// RES-008.
    #[test]
    fn a_member_that_is_gone_for_certain_is_given_up() {
        check(
            give_up_assignment,
            Kind::Claim,
            "
            pool p
            claim c1 records=s1
            absent sandbox s1
        ",
            &["ClearAssignment c1 records=nothing"],
        );
    }

    /// RES-008, DEF-010.
    #[test]
    fn a_member_that_no_watch_has_shown_is_looked_up_first() {
        check(
            give_up_assignment,
            Kind::Claim,
            "
            pool p
            claim c1 records=s1
        ",
            &["Look s1"],
        );
    }

    /// ADP-053, ACC-111.
    /// RES-006.
    #[test]
    fn a_member_of_another_claim_is_given_up() {
        check(
            give_up_assignment,
            Kind::Claim,
            "
            pool p
            claim c2
            sandbox s1 owner=c2 ready
            claim c1 records=s1
        ",
            &["ClearAssignment c1 records=nothing"],
        );
    }

    /// RES-007.
    /// DEF-027.
    #[test]
    fn a_sandbox_that_nobody_owns_is_given_up() {
        check(
            give_up_assignment,
            Kind::Claim,
            "
            pool p
            sandbox s1 ready
            claim c1 records=s1
        ",
            &["ClearAssignment c1 records=nothing"],
        );
    }

    /// ADP-008.
    /// ADP-056.
    #[test]
    fn a_member_that_still_belongs_to_its_pool_is_kept() {
        check(
            give_up_assignment,
            Kind::Claim,
            "
            pool p
            sandbox s1 pool=p ready
            claim c1 records=s1
        ",
            &[],
        );
    }

    #[test]
    fn a_member_of_a_dying_pool_is_deleted_before_it_is_given_up() {
        check(
            give_up_assignment,
            Kind::Claim,
            "
            pool p terminating
            sandbox s1 pool=p ready
            claim c1 records=s1
        ",
            &["DeleteMember s1"],
        );
    }

    /// INV-19: nobody adopts for a claim that has expired, so nobody else asks.
    #[test]
    fn the_owner_of_a_member_that_an_expired_claim_has_recorded_is_looked_up() {
        let world = |told: &str| format!("sandbox s1 pool=p ready\nclaim c1 records=s1{told}");
        check(give_up_assignment, Kind::Claim, &world(" told=ClaimExpired@1"), &["Look p"]);
        check(give_up_assignment, Kind::Claim, &world(""), &[]);
    }

    /// ADP-054.
    /// INV-35.
    /// DEF-028: a claim would be finished before it began. The delete stops a transfer that may be on its way.
    #[test]
    fn a_member_whose_pod_has_ended_meanwhile_is_deleted_and_not_transferred() {
        let world = "pool p\nsandbox s1 pool=p ended\nclaim c1 records=s1";
        check(give_up_assignment, Kind::Claim, world, &["DeleteMember s1"]);
        check(crate::rules::adopt_recorded::adopt_recorded, Kind::Claim, world, &[]);
    }

    #[test]
    fn the_user_is_told_first() {
        check(
            give_up_assignment,
            Kind::Claim,
            "
            pool p
            claim c1 records=s1 shows=s1 isready
            absent sandbox s1
        ",
            &[],
        );
    }
}
