use alloc::vec::Vec;

use super::{Verdict, patch};
use crate::action::{Intent, Part};
use crate::agenda::TimeoutReason;
use crate::id::{Kind, Uid};
use crate::make::set_condition;
use crate::names;
use crate::object::Truth;
use crate::patch::Change;
use crate::time::Now;
use crate::view::View;

/// Tells a claim's user that its time is over. What is written here decides it: nothing is deleted before.
///
/// Reads: the claim's lifecycle, and when its sandbox finished.
/// Emits: [`Intent::MarkExpired`], one status patch locked to the version that says so; [`Intent::SetClaimStatus`] where it
/// is said again, of an edited spec. Arms [`TimeoutReason::Expiry`].
/// Never: before the deadline that the stored spec names (INV-19); twice, so that there is one Kubernetes Event.
/// Source: LIF-001 to LIF-004, LIF-013, LIF-014, CND-020, EVT-001, DEF-012.
pub(super) fn mark_expired(view: &View<'_>, claim: Uid, now: Now) -> Verdict {
    let Some(claim) = view.claim(claim).map(|entry| &entry.claim) else { return Verdict::Quiet };
    let Some(deadline) = claim.deadline(&claim.status) else { return Verdict::Quiet };
    let is_told = claim.expired() == Some(claim.meta.generation);
    if is_told || claim.meta.terminating || view.is_held(claim.meta.uid) {
        return Verdict::Quiet;
    }
    if now.wall < deadline {
        return Verdict::Until(now.mono + (deadline - now.wall), TimeoutReason::Expiry);
    }
    let mut status = claim.status.clone();
    let told =
        (Truth::False, names::CLAIM_EXPIRED.into(), "Claim expired. Sandbox cleanup initiated.".into());
    set_condition(&mut status.conditions, names::READY, told, claim.meta.generation, now.wall);
    status.conditions.sort_by(|a, b| a.kind.cmp(&b.kind));
    let changes = Vec::from([Change::ClaimStatus(status)]);
    // Said again of another generation, it is no news.
    let intent = if claim.expired().is_some() { Intent::SetClaimStatus } else { Intent::MarkExpired };
    patch(intent, Kind::Claim, &claim.meta, Part::Status, changes)
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;
    use crate::rules::assign_waiting::assign_waiting;
    use crate::rules::testing::check;

    /// CLM-007, CLM-008, CLM-016.
    /// LIF-001, LIF-013: the calendar of these tests says 00:01:40.
    #[test]
    fn a_claim_is_told_when_its_time_is_over() {
        let world = |time: &str| {
            let spec = format!(r#"{{"lifecycle":{{"shutdownTime":"1970-01-01T{time}Z"}}}}"#);
            format!("pool p\nclaim c1 records=s1 shows=s1 isready spec={spec}\nsandbox s1 owner=c1 ready")
        };
        let told = ["MarkExpired c1 Ready=False ClaimExpired"];
        check(mark_expired, Kind::Claim, &world("00:01:40"), &told);
        check(mark_expired, Kind::Claim, &world("00:01:45"), &["until 5s Expiry"]);
    }

    /// ACC-050, ACC-051, ACC-052, ACC-053, ACC-054.
    /// LIF-001, LIF-002: the earlier of both counts, and a claim whose sandbox has not finished has no end.
    #[test]
    fn a_claim_ends_so_long_after_its_sandbox_has_finished() {
        let world = |lifecycle: &str, finished: &str| {
            format!("pool p\nclaim c1 records=s1 {finished} spec={{\"lifecycle\":{lifecycle}}}")
        };
        let told = ["MarkExpired c1 Ready=False ClaimExpired"];
        let ttl = |seconds: u32| format!(r#"{{"ttlSecondsAfterFinished":{seconds}}}"#);
        check(mark_expired, Kind::Claim, &world(&ttl(0), "finished=0s"), &told);
        check(mark_expired, Kind::Claim, &world(&ttl(120), "finished=30s"), &["until 90s Expiry"]);
        check(mark_expired, Kind::Claim, &world(&ttl(0), ""), &[]);
        check(mark_expired, Kind::Claim, &world("{}", "finished=30s"), &[]);
        let both = r#"{"ttlSecondsAfterFinished":120,"shutdownTime":"1970-01-01T00:01:50Z"}"#;
        check(mark_expired, Kind::Claim, &world(both, "finished=30s"), &["until 10s Expiry"]);
        check(mark_expired, Kind::Claim, &world(both, "finished=115s"), &["until 5s Expiry"]);
    }

    /// CND-025.
    /// DEF-012: said once.
    #[test]
    fn nobody_is_told_twice() {
        check(mark_expired, Kind::Claim, &format!("pool p\nclaim c1 told=ClaimExpired {OVER}"), &[]);
    }

    /// LIF-014, INV-19: nor does the claim hold up the one behind it.
    #[test]
    fn a_claim_that_is_over_when_it_comes_gets_no_sandbox() {
        let world = format!("template tpl\npool p\nsandbox s1 pool=p ready\nclaim c1 {OVER}\nclaim c2");
        check(mark_expired, Kind::Claim, &world, &["MarkExpired c1 Ready=False ClaimExpired"]);
        check(assign_waiting, Kind::Pool, &world, &["RecordAssignment c2 records=s1"]);
    }

    const OVER: &str = r#"spec={"lifecycle":{"shutdownTime":"1970-01-01T00:00:01Z"}}"#;
}
