use super::{Branch, Verdict, record};
use crate::action::Intent;
use crate::id::Uid;
use crate::make;
use crate::time::Now;
use crate::view::View;

/// Records its own name on a claim that no member can serve, because it asks for variables or volumes of its own.
///
/// Reads: the claim, its pool's template.
/// Emits: [`Intent::RecordColdStart`], one locked patch. The sandbox is `start_cold`'s, once the record is stored.
/// Never: for a claim that asks for what it cannot have, nor for one that has recorded anything.
/// Source: CON-003, RES-010, CLD-002 to CLD-011, DEF-022.
pub(super) fn assign_own(view: &View<'_>, claim: Uid, now: Now) -> Verdict {
    let Some(entry) = view.claim(claim) else { return Verdict::Quiet };
    let claim = &entry.claim;
    let is_free = claim.needs_own_sandbox() && view.assignment(claim).is_none();
    let is_busy = claim.meta.terminating || view.is_held(claim.meta.uid) || view.has_sandbox(claim.meta.uid);
    if !is_free || is_busy || claim.is_over(now.wall) {
        return Verdict::Quiet;
    }
    let template = view.pool_of(claim).known().and_then(|pool| view.template_of(pool).known());
    let domains = &view.config.label_domains;
    if template.is_none_or(|template| make::cold_sandbox(claim, template, domains).is_err()) {
        return Verdict::Quiet;
    }
    view.mark(Branch::AssignOwn);
    record(view, entry, Intent::RecordColdStart, claim.meta.key.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Kind;
    use crate::rules::assign_waiting::assign_waiting;
    use crate::rules::testing::check;

    /// ACC-027.
    /// CON-003, RES-010.
    #[test]
    fn a_claim_with_variables_leaves_the_ready_member_to_others() {
        let world = r#"
            template tpl spec={"envVarsInjectionPolicy":"Allowed"}
            pool p
            sandbox s1 pool=p ready
            claim c1 spec={"env":[{"name":"A","value":"1"}]}
        "#;
        check(assign_own, Kind::Claim, world, &["RecordColdStart c1 records=c1"]);
        check(assign_waiting, Kind::Pool, world, &[]);
    }

    /// RES-010.
    #[test]
    fn a_claim_with_volumes_gets_a_sandbox_of_its_own() {
        check(
            assign_own,
            Kind::Claim,
            r#"
            template tpl spec={"volumeClaimTemplatesPolicy":"Allowed"}
            pool p
            sandbox s1 pool=p ready
            claim c1 spec={"volumeClaimTemplates":[{"metadata":{"name":"data"},"spec":{}}]}
        "#,
            &["RecordColdStart c1 records=c1"],
        );
    }

    /// INV-26: what is refused records nothing.
    #[test]
    fn nothing_is_recorded_for_a_claim_that_asks_for_what_it_cannot_have() {
        check(
            assign_own,
            Kind::Claim,
            r#"
            template tpl
            pool p
            claim c1 spec={"env":[{"name":"A","value":"1"}]}
        "#,
            &[],
        );
    }

    #[test]
    fn a_claim_that_asks_for_nothing_waits_in_the_queue() {
        check(assign_own, Kind::Claim, "template tpl\npool p\nclaim c1", &[]);
    }

    #[test]
    fn one_that_has_recorded_something_records_nothing_else() {
        check(
            assign_own,
            Kind::Claim,
            r#"
            template tpl spec={"envVarsInjectionPolicy":"Allowed"}
            pool p
            claim c1 records=s1 spec={"env":[{"name":"A","value":"1"}]}
        "#,
            &[],
        );
    }
}
