use super::{Branch, Verdict, record, transfer_unrecorded};
use crate::action::Intent;
use crate::agenda::TimeoutReason;
use crate::id::Uid;
use crate::members::Members;
use crate::mutant::Mutant;
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
/// Source: ADP-014 to ADP-020, RES-020 to RES-022; INV-03, INV-13, INV-32.
pub(super) fn assign_waiting(view: &View<'_>, pool: Uid, now: Now) -> Verdict {
    let Some(pool) = view.pool(pool).map(|entry| &entry.pool).filter(|pool| !pool.meta.terminating) else {
        return Verdict::Quiet;
    };
    let first =
        if view.config.has(Mutant::YoungestFirst) { View::youngest_waiting } else { View::oldest_waiting };
    let Some(oldest) = first(view, &pool.meta.key, now.wall) else { return Verdict::Quiet };
    let members = view.members(pool.meta.uid);
    if let Some(worse) = worse(view, members) {
        return record_member(view, oldest, worse);
    }
    let is_passed = view.config.has(Mutant::ColdBesideReady) && view.waiting_count(&pool.meta.key) > 1;
    let members = members.filter(|_| !is_passed);
    if let Some(ready) = members.and_then(|members| members.ready.best()) {
        view.mark(Branch::AssignReady);
        return record_member(view, oldest, ready);
    }
    if let Some(reachable) = members.and_then(|members| members.reachable.best()) {
        view.mark(Branch::AssignReachable);
        return record_member(view, oldest, reachable);
    }
    if view.template_of(pool).known().is_none() {
        view.mark(Branch::AssignNoTemplate);
        return Verdict::Quiet;
    }
    let starting = members.filter(|_| !view.config.has(Mutant::StartingUncounted));
    let starting = starting.map_or(0, |members| members.starting.len());
    if view.waiting_count(&pool.meta.key) > starting {
        view.mark(Branch::AssignCold);
        let Some(youngest) = view.youngest_waiting(&pool.meta.key, now.wall) else { return Verdict::Quiet };
        return record_cold_start(view, youngest);
    }
    let grace_ends = oldest.seen.mono + view.config.adopt_grace;
    if now.mono >= grace_ends {
        view.mark(Branch::AssignGraceOver);
        return record_cold_start(view, oldest);
    }
    view.mark(Branch::AssignWait);
    Verdict::Until(grace_ends, TimeoutReason::Grace)
}

fn record_member(view: &View<'_>, claim: &ClaimEntry, member: Uid) -> Verdict {
    let Some(member) = view.sandbox(member) else { return Verdict::Quiet };
    if view.config.has(Mutant::TransferFirst) {
        return transfer_unrecorded(&claim.claim.meta, &member.sandbox.meta);
    }
    record(view, claim, Intent::RecordAssignment, member.sandbox.meta.key.name.clone())
}

/// What only mutants do: they give away a member that is not the best.
fn worse(view: &View<'_>, members: Option<&Members>) -> Option<Uid> {
    if view.config.has(Mutant::GivesAwayStale) {
        let has_address = |uid: &Uid| {
            let member = view.sandbox(*uid);
            let pod = member.and_then(|member| view.backing(&member.sandbox).own());
            pod.is_some_and(|pod| !pod.ips.is_empty())
        };
        return members?.stale().map(|victim| victim.4).find(has_address);
    }
    if view.config.has(Mutant::TakesTheUnready) {
        return members?.starting.first().copied();
    }
    None
}

fn record_cold_start(view: &View<'_>, claim: &ClaimEntry) -> Verdict {
    record(view, claim, Intent::RecordColdStart, claim.claim.meta.key.name.clone())
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;
    use crate::id::Kind;
    use crate::rules::testing::check;

    /// ADP-014, INV-32.
    #[test]
    fn the_older_of_two_claims_gets_the_only_ready_member() {
        check(
            assign_waiting,
            Kind::Pool,
            "
            template tpl
            pool p
            sandbox s1 pool=p ready
            claim c1 age=1s
            claim c2 age=0s
        ",
            &["RecordAssignment c1 records=s1"],
        );
    }

    /// ACC-076.
    /// ADP-014, ADP-017.
    #[test]
    fn a_ready_member_beats_an_older_one_that_is_not() {
        check(
            assign_waiting,
            Kind::Pool,
            "
            template tpl
            pool p
            sandbox s1 pool=p reachable
            sandbox s2 pool=p ready
            claim c1
        ",
            &["RecordAssignment c1 records=s2"],
        );
    }

    /// ACC-077, ACC-079.
    /// ADP-005, ADP-015, ADP-017.
    #[test]
    fn a_member_with_an_address_beats_waiting() {
        check(
            assign_waiting,
            Kind::Pool,
            "
            template tpl
            pool p
            sandbox s1 pool=p starting
            sandbox s2 pool=p reachable
            claim c1
        ",
            &["RecordAssignment c1 records=s2"],
        );
    }

    /// ADP-006.
    #[test]
    fn a_member_that_another_claim_has_recorded_is_taken() {
        check(
            assign_waiting,
            Kind::Pool,
            "
            template tpl
            pool p
            sandbox s1 pool=p ready
            claim c1 records=s1
            claim c2
        ",
            &["RecordColdStart c2 records=c2"],
        );
    }

    /// CRS-012.
    /// ACC-074, ACC-075: nor is it waited for.
    #[test]
    fn a_member_that_is_going_serves_nobody() {
        let world = "template tpl\npool p\nsandbox s1 pool=p ready terminating\nclaim c1";
        check(assign_waiting, Kind::Pool, world, &["RecordColdStart c1 records=c1"]);
    }

    /// ACC-062, ACC-090, ACC-091, ACC-092, ACC-093: what a template forbids to claims says nothing about its members, and whether
    /// they are still what it makes counts under Recreate alone.
    #[test]
    fn a_member_that_fits_is_given_away() {
        let forbids = r#"spec={"volumeClaimTemplatesPolicy":"Disallowed"}"#;
        for (template, pool, member) in [
            (forbids, "", ""),
            ("make=a", "recreate", "make=a"),
            ("make=a", "recreate", "make=a mark=e7ff4803"),
            ("make=b", "", "make=a"),
        ] {
            let world =
                format!("template tpl {template}\npool p {pool}\nsandbox s1 pool=p ready {member}\nclaim c1");
            check(assign_waiting, Kind::Pool, &world, &["RecordAssignment c1 records=s1"]);
        }
    }

    /// CRS-012.
    /// DEF-003.
    #[test]
    fn a_claim_that_has_recorded_a_cold_start_takes_no_member() {
        check(
            assign_waiting,
            Kind::Pool,
            "
            template tpl
            pool p
            sandbox s1 pool=p ready
            claim c1 records=c1
        ",
            &[],
        );
    }

    /// DEF-025, INV-15.
    #[test]
    fn what_a_pool_of_the_same_name_has_left_serves_nobody() {
        check(
            assign_waiting,
            Kind::Pool,
            "
            template tpl
            sandbox s1 pool=p ready
            pool p
            claim c1
        ",
            &["RecordColdStart c1 records=c1"],
        );
    }

    /// DEF-006.
    #[test]
    fn two_claims_wait_while_a_member_starts_for_each() {
        check(
            assign_waiting,
            Kind::Pool,
            "
            template tpl
            pool p
            sandbox s1 pool=p starting
            sandbox s2 pool=p starting
            claim c1
            claim c2
        ",
            &["until 2s Grace"],
        );
    }

    /// ADP-013, RES-020.
    #[test]
    fn a_claim_waits_while_a_member_starts_for_it() {
        check(
            assign_waiting,
            Kind::Pool,
            "
            template tpl
            pool p
            sandbox s1 pool=p starting
            claim c1 age=1s
        ",
            &["until 1s Grace"],
        );
    }

    /// RES-020.
    #[test]
    fn a_claim_waits_two_seconds_at_most() {
        check(
            assign_waiting,
            Kind::Pool,
            "
            template tpl
            pool p
            sandbox s1 pool=p starting
            claim c1 age=2s
        ",
            &["RecordColdStart c1 records=c1"],
        );
    }

    /// RES-021.
    #[test]
    fn the_youngest_starts_cold_when_more_wait_than_members_start() {
        check(
            assign_waiting,
            Kind::Pool,
            "
            template tpl
            pool p
            sandbox s1 pool=p starting
            claim c1
            claim c2
        ",
            &["RecordColdStart c2 records=c2"],
        );
    }

    /// ADP-007.
    /// DEF-016.
    #[test]
    fn a_member_whose_pod_has_ended_serves_nobody() {
        check(
            assign_waiting,
            Kind::Pool,
            "
            template tpl
            pool p
            sandbox s1 pool=p ended
            claim c1
        ",
            &["RecordColdStart c1 records=c1"],
        );
    }

    /// API-030: a claim that waits follows its reference from queue to queue, and one that has recorded a member keeps it.
    #[test]
    fn a_claim_may_change_its_pool_at_any_time() {
        let pools = "template tpl\npool p\npool q\nsandbox s1 pool=p ready\nsandbox s2 pool=q ready";
        let edited = format!("{pools}\nclaim c1 pool=p\nedited c1 pool=q");
        check(assign_waiting, Kind::Pool, &edited, &["RecordAssignment c1 records=s2"]);
        let recorded = format!("{pools}\nclaim c1 pool=p records=s1\nedited c1 pool=q records=s1");
        check(assign_waiting, Kind::Pool, &recorded, &[]);
        let adopted = crate::rules::adopt_recorded::adopt_recorded;
        let said = "AdoptSandbox s1 owner=c1 launch-type=warm claim-uid=00000000-0000-0000-0000-000000000008 \
            pod:claim-uid=00000000-0000-0000-0000-000000000008 pod:sandbox-template-ref-hash=9d22159f";
        check(adopted, Kind::Claim, &recorded, &[said]);
    }

    /// INV-32: who cannot be served keeps nobody waiting, whichever came first, claim or template.
    #[test]
    fn a_claim_that_stands_apart_is_passed_over() {
        check(
            assign_waiting,
            Kind::Pool,
            r#"
            claim c1 spec={"env":[{"name":"A","value":"1"}]}
            claim c2
            pool p
            template tpl
            sandbox s1 pool=p ready
        "#,
            &["RecordAssignment c2 records=s1"],
        );
    }

    /// DEF-005, PMD-006: a clash is found before anything is recorded, so no member goes round.
    #[test]
    fn a_claim_whose_metadata_clashes_records_nothing() {
        let template = r#"template tpl spec={"podTemplate":{"metadata":{"labels":{"sandbox.users.io/x":"a"}},"spec":{}}}"#;
        for (wanted, said) in [("a", &["RecordAssignment c1 records=s1"][..]), ("b", &[])] {
            let claim = format!(
                r#"claim c1 spec={{"additionalPodMetadata":{{"labels":{{"sandbox.users.io/x":"{wanted}"}}}}}}"#
            );
            let world = format!("{claim}\npool p\nsandbox s1 pool=p ready\n{template}");
            check(assign_waiting, Kind::Pool, &world, said);
        }
    }

    /// DEF-005: whether it clashes shows only when the template is known.
    #[test]
    fn a_claim_with_metadata_waits_for_the_template() {
        let claim = r#"claim c1 spec={"additionalPodMetadata":{"annotations":{"n":"x"}}}"#;
        let world = format!("{claim}\npool p\nsandbox s1 pool=p ready");
        check(assign_waiting, Kind::Pool, &world, &[]);
        let known = format!("{world}\ntemplate tpl");
        check(assign_waiting, Kind::Pool, &known, &["RecordAssignment c1 records=s1"]);
    }

    /// CLD-003: a template that is wrong takes its claims out of the queue, and one that is right puts them back.
    #[test]
    fn a_template_decides_who_stands_in_the_queue() {
        let wrong = r#"template tpl spec={"volumeClaimTemplates":[{"spec":{}}]}"#;
        let world = "claim c1\npool p\nsandbox s1 pool=p ready\n";
        check(assign_waiting, Kind::Pool, &format!("{world}{wrong}"), &[]);
        let mended = format!("{world}{wrong}\ntemplate tpl");
        check(assign_waiting, Kind::Pool, &mended, &["RecordAssignment c1 records=s1"]);
    }

    #[test]
    fn nobody_starts_cold_without_a_template() {
        check(
            assign_waiting,
            Kind::Pool,
            "
            pool p
            claim c1
        ",
            &[],
        );
    }

    /// ADP-009, ACC-089.
    /// CON-063, ADP-011: under Recreate, even where the claim must wait or start cold instead.
    #[test]
    fn a_stale_member_is_not_given_to_anybody() {
        check(
            assign_waiting,
            Kind::Pool,
            "
            template tpl make=b
            pool p recreate replicas=2
            sandbox s1 pool=p make=a ready
            sandbox s2 pool=p make=b ready
            claim c1
        ",
            &["RecordAssignment c1 records=s2"],
        );
        check(
            assign_waiting,
            Kind::Pool,
            "
            template tpl make=b
            pool p recreate
            sandbox s1 pool=p make=a ready
            claim c1
        ",
            &["RecordColdStart c1 records=c1"],
        );
    }

    /// ACC-094.
    /// ADP-010: while nobody can tell whether a member is stale, nobody gets it.
    #[test]
    fn a_member_is_not_judged_without_its_template() {
        check(
            assign_waiting,
            Kind::Pool,
            "
            pool p recreate
            sandbox s1 pool=p make=a ready
            claim c1
        ",
            &[],
        );
    }

    /// DEF-011: what was passed over while the template was another one is there again.
    #[test]
    fn a_member_that_was_stale_for_a_while_is_given_away() {
        check(
            assign_waiting,
            Kind::Pool,
            "
            template tpl make=a
            pool p recreate
            sandbox s1 pool=p make=a ready
            template tpl make=b
            claim c1
            template tpl make=a
        ",
            &["RecordAssignment c1 records=s1"],
        );
    }

    /// DEF-025, INV-15: the name is the same, the pool is not.
    #[test]
    fn what_a_former_pool_of_that_name_has_left_is_not_given_away() {
        check(
            assign_waiting,
            Kind::Pool,
            "
            template tpl
            pool p
            sandbox s1 pool=p ready
            pool p
            claim c1
        ",
            &["RecordColdStart c1 records=c1"],
        );
    }
}
