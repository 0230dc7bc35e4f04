use alloc::vec::Vec;

use super::{Verdict, patch};
use crate::action::{Intent, Part};
use crate::id::{Kind, Uid};
use crate::mutant::Mutant;
use crate::names;
use crate::patch::Change;
use crate::time::Now;
use crate::view::View;

/// Notes on a claim when it was first ready.
///
/// Reads: the claim's status as stored.
/// Emits: [`Intent::StampFirstReady`], once in a claim's life.
/// Never: before the status says Ready.
/// Source: KEY-015, FRB-005, CON-075.
pub(super) fn stamp_first_ready(view: &View<'_>, claim: Uid, now: Now) -> Verdict {
    let Some(claim) = view.claim(claim).map(|entry| &entry.claim) else { return Verdict::Quiet };
    let is_stamped = claim.meta.annotation(names::FIRST_READY_AT).is_some()
        && !(view.config.has(Mutant::StampsAgain) && now.wall.since(claim.meta.created).as_secs() < 3);
    if is_stamped || !claim.status.is_ready() || claim.meta.terminating || view.is_held(claim.meta.uid) {
        return Verdict::Quiet;
    }
    let at = now.wall.rfc3339_micros().into();
    let changes = Vec::from([Change::Annotation(names::FIRST_READY_AT.into(), Some(at))]);
    patch(Intent::StampFirstReady, Kind::Claim, &claim.meta, Part::Main, changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::check;

    /// FRB-005, KEY-015, CON-075.
    #[test]
    fn a_claim_is_stamped_when_its_status_says_ready() {
        check(stamp_first_ready, Kind::Claim, "claim c1 shows=s1 isready", &["StampFirstReady c1"]);
    }

    /// FRB-005.
    #[test]
    fn a_claim_that_is_not_ready_is_not_stamped() {
        check(stamp_first_ready, Kind::Claim, "claim c1 shows=s1", &[]);
    }
}
