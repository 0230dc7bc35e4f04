use super::{Branch, Verdict, act, delete, target};
use crate::action::{Intent, Operation, Propagation};
use crate::id::{Kind, Uid};
use crate::mutant::Mutant;
use crate::object::{Claim, Sandbox};
use crate::time::Now;
use crate::view::{Holder, View};
use crate::wishes::ClaimShutdownPolicy;

/// Ends a claim that was told that it has expired: it goes, or it stays and its sandbox goes.
///
/// A claim that was given more time after that loses its sandbox all the same, and then gets another: what its user was
/// told has come true, whoever reads it when.
///
/// Reads: the claim, as stored; its sandbox, and the member that it has recorded.
/// Emits: [`Intent::DeleteClaim`], locked to the version that says so; [`Intent::DeleteClaimSandbox`], locked to the
/// sandbox's, after [`Intent::Look`] has shown that the claim still says so: no lock on the sandbox can tell, and it may be
/// the next one, of a claim that was given more time meanwhile.
/// Never: before the claim's user was told; somebody else's sandbox.
/// Source: LIF-010 to LIF-013, EVT-002, DEF-004, DEF-014; INV-07, INV-21.
pub(super) fn end_claim(view: &View<'_>, claim: Uid, now: Now) -> Verdict {
    let Some(claim) = view.claim(claim).map(|entry| &entry.claim) else { return Verdict::Quiet };
    if claim.expired().is_none() || claim.meta.terminating || view.is_held(claim.meta.uid) {
        return Verdict::Quiet;
    }
    let propagation = match claim.shutdown_policy() {
        ClaimShutdownPolicy::Retain => None,
        ClaimShutdownPolicy::Delete => Some(Propagation::Background),
        ClaimShutdownPolicy::DeleteForeground => Some(Propagation::Foreground),
    };
    if let Some(propagation) = propagation.filter(|_| claim.is_ended(now.wall)) {
        let (target, version) = (target(Kind::Claim, &claim.meta), Some(claim.meta.version));
        return act(Intent::DeleteClaim, Operation::Delete { target, version, propagation });
    }
    let doomed = view.owned_sandbox(claim.meta.uid).or_else(|| recorded_member(view, claim));
    let Some(sandbox) = doomed.filter(|sandbox| !sandbox.meta.terminating) else { return Verdict::Quiet };
    if view.is_held(sandbox.meta.uid) {
        return Verdict::Quiet;
    }
    if view.config.has(Mutant::EndByName) && sandbox.meta.key.name != claim.meta.key.name {
        return Verdict::Quiet;
    }
    if view.is_condemned(claim, sandbox) {
        return delete(Intent::DeleteClaimSandbox, Kind::Sandbox, &sandbox.meta);
    }
    if view.is_looked_up(Kind::Claim, &claim.meta.key) {
        return Verdict::Quiet;
    }
    view.mark(Branch::EndLook);
    act(Intent::Look, Operation::Get { kind: Kind::Claim, key: claim.meta.key.clone() })
}

/// Returns the member that a claim has recorded and not got. A transfer may be on its way that somebody sent who is dead:
/// the delete and it are locked to the same version, so one of them fails.
fn recorded_member<'a>(view: &View<'a>, claim: &'a Claim) -> Option<&'a Sandbox> {
    let name = view.assignment(claim)?;
    let sandbox = view.sandbox_named(&claim.meta.key.sibling(name.clone())).known()?;
    let owner = sandbox.meta.owner.as_ref()?;
    let is_own_name = *name == claim.meta.key.name;
    if is_own_name && (owner.name != claim.pool || claim.needs_own_sandbox()) {
        return None;
    }
    matches!(view.owning_pool(sandbox), Holder::Is(_)).then_some(&**sandbox)
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;
    use crate::rules::adopt_recorded::adopt_recorded;
    use crate::rules::give_up_assignment::give_up_assignment;
    use crate::rules::testing::check;

    /// CLM-010.
    /// LIF-010: the claim stays, its sandbox goes.
    #[test]
    fn a_claim_that_stays_loses_its_sandbox() {
        let world =
            format!("pool p\nclaim c1 {} records=s1 shows=s1\nsandbox s1 owner=c1 ready", over("Retain"));
        check(end_claim, Kind::Claim, &world, &["Look c1"]);
        check(end_claim, Kind::Claim, &format!("{world}\nasked c1"), &["DeleteClaimSandbox s1"]);
    }

    /// LIF-013: what is not stored is not decided.
    #[test]
    fn nothing_goes_before_the_user_was_told() {
        let lifecycle = r#"{"lifecycle":{"shutdownTime":"1970-01-01T00:00:01Z"}}"#;
        let world =
            format!("pool p\nclaim c1 records=s1 isready spec={lifecycle}\nsandbox s1 owner=c1 ready");
        check(end_claim, Kind::Claim, &world, &[]);
    }

    /// ACC-042, ACC-043, ACC-044, ACC-045.
    /// CLM-009, DEF-014: `check` insists on nothing here, but the lifecycle test sees uid and version.
    #[test]
    fn a_claim_that_goes_takes_its_sandbox_along() {
        for policy in ["Delete", "DeleteForeground"] {
            let world = format!("pool p\nclaim c1 {} records=s1\nsandbox s1 owner=c1 ready", over(policy));
            check(end_claim, Kind::Claim, &world, &["DeleteClaim c1"]);
            let ended = format!("{world} isexpired over=now");
            check(end_claim, Kind::Claim, &ended, &["DeleteClaim c1"]);
        }
    }

    /// DEF-004: the process that recorded it died before the transfer. The transfer itself does not happen any more.
    #[test]
    fn a_recorded_member_goes_too_and_is_then_given_up() {
        let claim = format!("claim c1 {} records=s1", over("Retain"));
        let world = format!("pool p\nsandbox s1 pool=p ready\n{claim}");
        check(end_claim, Kind::Claim, &world, &["Look c1"]);
        check(end_claim, Kind::Claim, &format!("{world}\nasked c1"), &["DeleteClaimSandbox s1"]);
        check(adopt_recorded, Kind::Claim, &world, &[]);
        let gone = format!("pool p\n{claim}\nabsent sandbox s1");
        check(end_claim, Kind::Claim, &gone, &[]);
        check(give_up_assignment, Kind::Claim, &gone, &["ClearAssignment c1 records=nothing"]);
    }

    /// LIF-010: not because it has the name that the status shows.
    #[test]
    fn a_sandbox_of_somebody_else_stays() {
        let world =
            format!("pool p\nclaim c2\nsandbox s1 owner=c2 ready\nclaim c1 {} shows=s1", over("Retain"));
        check(end_claim, Kind::Claim, &world, &[]);
    }

    /// INV-21, LIF-012: whoever is given more time afterwards gets another sandbox, not this one.
    #[test]
    fn more_time_does_not_bring_the_sandbox_back() {
        for policy in ["Delete", "Retain"] {
            let later = format!(
                r#"told=ClaimExpired@0 spec={{"lifecycle":{{"shutdownPolicy":"{policy}","shutdownTime":"1970-01-01T09:00:00Z"}}}}"#
            );
            let world = format!("pool p\nclaim c1 {later} records=s1\nsandbox s1 owner=c1 ready");
            check(end_claim, Kind::Claim, &world, &["Look c1"]);
            check(end_claim, Kind::Claim, &format!("{world}\nasked c1"), &["DeleteClaimSandbox s1"]);
        }
    }

    fn over(policy: &str) -> alloc::string::String {
        format!(
            r#"told=ClaimExpired spec={{"lifecycle":{{"shutdownPolicy":"{policy}","shutdownTime":"1970-01-01T00:00:01Z"}}}}"#
        )
    }
}
