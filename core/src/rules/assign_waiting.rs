use alloc::vec::Vec;

use super::{Branch, Verdict, patch};
use crate::action::{Intent, Part};
use crate::agenda::TimeoutReason;
use crate::id::{Kind, Text, Uid};
use crate::names;
use crate::patch::Change;
use crate::state::ClaimEntry;
use crate::time::Now;
use crate::view::View;

/// Records on a pool's waiting claims which sandbox each will get: the oldest first, the best member first.
///
/// A ready member beats one that only has an address. Each member without an address is promised to one waiting claim,
/// the oldest first, for as long as the grace lasts; a claim for which nothing is left gets a sandbox of its own at
/// once, since a new member would be no faster.
///
/// Reads: the claims that wait, oldest first; the pool's candidates, best first (QUE-020); the template.
/// Emits: [`Intent::RecordAssignment`] or [`Intent::RecordColdStart`], one locked patch of the claim each. The transfer
/// is `adopt_recorded`'s, once the record is stored. Arms [`TimeoutReason::Grace`].
/// Never: one member to two claims, nor a member to a claim that has recorded anything.
/// Source: ADP-014 to ADP-020, RES-020 to RES-022, INV-03, INV-13, INV-32.
pub(super) fn assign_waiting(view: &View<'_>, pool: Uid, now: Now) -> Verdict {
    let Some(pool) = view.pool(pool).map(|entry| &entry.pool).filter(|pool| !pool.meta.terminating) else {
        return Verdict::Quiet;
    };
    let Some(oldest) = view.oldest_waiting(&pool.meta.key) else { return Verdict::Quiet };
    let members = view.members(pool.meta.uid);
    if let Some(ready) = members.and_then(|members| members.ready.best()) {
        view.mark(Branch::AssignReady);
        return record(view, oldest, Intent::RecordAssignment, ready);
    }
    if let Some(reachable) = members.and_then(|members| members.reachable.best()) {
        view.mark(Branch::AssignReachable);
        return record(view, oldest, Intent::RecordAssignment, reachable);
    }
    if view.template_of(pool).known().is_none() {
        view.mark(Branch::AssignNoTemplate);
        return Verdict::Quiet;
    }
    let starting = members.map_or(0, |members| members.starting.len());
    if view.waiting_count(&pool.meta.key) > starting {
        view.mark(Branch::AssignCold);
        let Some(youngest) = view.youngest_waiting(&pool.meta.key) else { return Verdict::Quiet };
        return record_cold_start(youngest);
    }
    let grace_ends = oldest.seen.mono + view.config.adopt_grace;
    if now.mono >= grace_ends {
        view.mark(Branch::AssignGraceOver);
        return record_cold_start(oldest);
    }
    view.mark(Branch::AssignWait);
    Verdict::Until(grace_ends, TimeoutReason::Grace)
}

fn record(view: &View<'_>, claim: &ClaimEntry, intent: Intent, member: Uid) -> Verdict {
    let Some(member) = view.sandbox(member) else { return Verdict::Quiet };
    stamp(claim, intent, member.sandbox.meta.key.name.clone())
}

fn record_cold_start(claim: &ClaimEntry) -> Verdict {
    stamp(claim, Intent::RecordColdStart, claim.claim.meta.key.name.clone())
}

fn stamp(entry: &ClaimEntry, intent: Intent, sandbox: Text) -> Verdict {
    let meta = &entry.claim.meta;
    let mut changes = Vec::from([Change::Annotation(names::SANDBOX_NAME.into(), Some(sandbox))]);
    if meta.annotation(names::FIRST_OBSERVED_AT).is_none() {
        let seen = entry.seen.wall.rfc3339_micros().into();
        changes.push(Change::Annotation(names::FIRST_OBSERVED_AT.into(), Some(seen)));
    }
    patch(intent, Kind::Claim, meta, Part::Main, changes)
}
