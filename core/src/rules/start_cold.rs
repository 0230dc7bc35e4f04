use super::{Branch, Verdict, make};
use crate::action::Intent;
use crate::id::{Kind, Uid};
use crate::make::cold_sandbox;
use crate::mutant::Mutant;
use crate::names;
use crate::object::Object;
use crate::time::Now;
use crate::view::{Holder, View};

/// Makes a sandbox for a claim that has recorded its own name.
///
/// Reads: the claim's record and status, the name, the pool's template.
/// Emits: [`Intent::CreateClaimSandbox`], under the claim's name: a repeated create meets its own result.
/// Never: before the record is stored (a lost create that lands late would give the claim two); while the claim still
/// shows a sandbox of that name (INV-35); another, where one has gone, before the server has shown that the claim is there.
/// Source: CLD-001, CLD-013, RES-009; INV-03.
pub(super) fn start_cold(view: &View<'_>, claim: Uid, now: Now) -> Verdict {
    let Some(claim) = view.claim(claim).map(|entry| &entry.claim) else { return Verdict::Quiet };
    let is_recorded = claim.meta.annotation(names::SANDBOX_NAME) == Some(&claim.meta.key.name)
        || view.config.has(Mutant::ColdUnrecorded);
    if !is_recorded
        || claim.meta.terminating
        || claim.is_over(now.wall)
        || claim.status.sandbox.is_some()
        || view.is_held(claim.meta.uid)
    {
        return Verdict::Quiet;
    }
    let key = &claim.meta.key;
    if view.has_sandbox(claim.meta.uid) || view.is_drafted(Kind::Sandbox, key) {
        return Verdict::Quiet;
    }
    if let Holder::Is(_) = view.sandbox_named(key) {
        view.mark(Branch::ColdNameTaken);
        return Verdict::Quiet;
    }
    let Some(template) = view.pool_of(claim).known().and_then(|pool| view.template_of(pool).known()) else {
        return Verdict::Quiet;
    };
    // What the claim cannot have is told by its status.
    let Ok(mut sandbox) = cold_sandbox(claim, template, &view.config.label_domains) else {
        return Verdict::Quiet;
    };
    if view.config.has(Mutant::ColdWithoutWishes) {
        sandbox.pod_spec = template.blueprint.pod_spec.clone();
    }
    view.mark(Branch::ColdCreate);
    make(view, (Kind::Claim, &claim.meta), Intent::CreateClaimSandbox, Object::Sandbox(sandbox.into()))
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;
    use crate::rules::testing::check;

    /// CLD-001, CON-041.
    #[test]
    fn a_recorded_cold_start_is_made_under_the_claims_name() {
        check(
            start_cold,
            Kind::Claim,
            "
            template tpl
            pool p
            claim c1 records=c1
        ",
            &["CreateClaimSandbox c1"],
        );
    }

    /// KEY-012, INV-03.
    #[test]
    fn nothing_is_made_before_the_record_is_stored() {
        check(
            start_cold,
            Kind::Claim,
            "
            template tpl
            pool p
            claim c1
        ",
            &[],
        );
    }

    /// CLD-013, RES-009.
    #[test]
    fn a_name_that_somebody_holds_is_waited_for() {
        check(
            start_cold,
            Kind::Claim,
            "
            template tpl
            pool p
            sandbox c1 ready
            claim c1 records=c1
        ",
            &[],
        );
    }

    /// INV-35.
    #[test]
    fn a_claim_that_still_shows_a_sandbox_gets_no_other() {
        check(
            start_cold,
            Kind::Claim,
            "
            template tpl
            pool p
            claim c1 records=c1 shows=c1 isready
        ",
            &[],
        );
    }

    /// INV-20: it may have gone with its claim, and each that is made for one that is gone goes as well.
    #[test]
    fn another_is_made_when_the_server_has_shown_that_the_claim_is_there() {
        let world = |then: &str| {
            format!("template tpl\npool p\nclaim c1 records=c1\nsandbox c1 owner=c1 ready\ngone c1\n{then}")
        };
        check(start_cold, Kind::Claim, &world(""), &["Look c1"]);
        check(start_cold, Kind::Claim, &world("asked c1"), &["CreateClaimSandbox c1"]);
        let twice = "asked c1\nsandbox c1 owner=c1 starting\ngone c1";
        check(start_cold, Kind::Claim, &world(twice), &["Look c1"]);
    }
}
