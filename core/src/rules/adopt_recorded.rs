use alloc::vec::Vec;

use super::{Branch, Verdict, act, differences, patch};
use crate::action::{Intent, Operation, Part};
use crate::id::{Kind, Text, Uid};
use crate::make;
use crate::mutant::Mutant;
use crate::names;
use crate::object::{Claim, Owner, OwnerKind, PodMetadata, Sandbox};
use crate::patch::Change;
use crate::time::Now;
use crate::view::{Holder, View};

/// Makes a claim the owner of the member that it has recorded.
///
/// Reads: the claim's record, the member and its pool.
/// Emits: [`Intent::AdoptSandbox`], one patch locked to the version on which the pool is the owner; [`Intent::Look`]
/// where the pool is not known.
/// Never: before the record is stored; from a pool that is gone or going; a second sandbox for the claim. What the claim
/// cannot have is left out (ADP-040).
/// Source: ADP-030 to ADP-041, RES-004, DEF-035; INV-01, INV-03, INV-15.
pub(super) fn adopt_recorded(view: &View<'_>, claim: Uid, now: Now) -> Verdict {
    let Some(claim) = view.claim(claim).map(|entry| &entry.claim) else { return Verdict::Quiet };
    let is_over = claim.meta.terminating || claim.is_over(now.wall);
    if is_over || view.is_held(claim.meta.uid) || view.has_sandbox(claim.meta.uid) {
        return Verdict::Quiet;
    }
    let Some(name) = view.assignment(claim) else { return Verdict::Quiet };
    let key = claim.meta.key.sibling(name.clone());
    let Some(sandbox) = view.sandbox_named(&key).known().filter(|sandbox| !sandbox.meta.terminating) else {
        return Verdict::Quiet;
    };
    let owner = sandbox.meta.owner.as_ref().filter(|owner| owner.kind == OwnerKind::Known(Kind::Pool));
    let Some(owner) = owner else { return Verdict::Quiet };
    // A claim that has recorded its own name starts cold, unless a member that may serve it is called like that.
    if *name == claim.meta.key.name && (owner.name != claim.pool || claim.needs_own_sandbox()) {
        return Verdict::Quiet;
    }
    if view.is_held(sandbox.meta.uid) {
        view.mark(Branch::AdoptBusy);
        return Verdict::Quiet;
    }
    match view.owning_pool(sandbox) {
        // It is deleted, and the claim gets another (give_up_assignment).
        Holder::Is(_) if view.has_ended(sandbox.meta.uid) => Verdict::Quiet,
        Holder::Is(_) => {
            view.mark(Branch::AdoptTransfer);
            let template = view.template_of_sandbox(claim, sandbox).map(|template| &**template);
            let domains = &view.config.label_domains;
            let (pod, _) = make::adopted_pod_metadata(claim, sandbox, template, domains);
            let mut changes = transfer(claim, sandbox, &pod);
            if view.config.has(Mutant::AdoptedUnmarked) {
                let is_mark = |key: &Text| &**key == names::CLAIM_UID;
                changes.retain(|it| !matches!(it, Change::Label(key, _) if is_mark(key)));
            }
            patch(Intent::AdoptSandbox, Kind::Sandbox, &sandbox.meta, Part::Main, changes)
        }
        // What a dead pool has left is deleted too (give_up_assignment).
        Holder::Nobody => Verdict::Quiet,
        Holder::Unseen => {
            let key = key.sibling(owner.name.clone());
            if view.is_looked_up(Kind::Pool, &key) {
                return Verdict::Quiet;
            }
            view.mark(Branch::AdoptPoolUnseen);
            act(Intent::Look, Operation::Get { kind: Kind::Pool, key })
        }
    }
}

/// Everything that changes hands, in one write.
fn transfer(claim: &Claim, sandbox: &Sandbox, pod: &PodMetadata) -> Vec<Change> {
    let mut changes: Vec<_> = Change::owned(&sandbox.meta, Owner::new(Kind::Claim, &claim.meta)).collect();
    let mut label = |key: &str, value: Option<Text>| {
        if sandbox.meta.labels.get(key) != value.as_ref() {
            changes.push(Change::Label(key.into(), value));
        }
    };
    for key in [names::WARM_POOL, names::TEMPLATE_HASH, names::POD_TEMPLATE_HASH] {
        label(key, None);
    }
    label(names::LAUNCH_TYPE, Some("warm".into()));
    label(names::CLAIM_UID, Some(alloc::format!("{}", claim.meta.uid).into()));
    label(names::CREATED_BY, claim.meta.label(names::CREATED_BY).cloned());
    let mut annotate = |key: &str, value: &Text| {
        if sandbox.meta.annotations.get(key) != Some(value) {
            changes.push(Change::Annotation(key.into(), Some(value.clone())));
        }
    };
    annotate(names::POD_NAME, &sandbox.meta.key.name);
    if let Some(context) = claim.meta.annotations.get(names::TRACE_CONTEXT) {
        annotate(names::TRACE_CONTEXT, context);
    }
    changes.extend(differences(&sandbox.pod.labels, &pod.labels, Change::PodLabel));
    changes.extend(differences(&sandbox.pod.annotations, &pod.annotations, Change::PodAnnotation));
    changes
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::String;

    use super::*;
    use crate::rules::testing::{check, said};

    /// ADP-032, ADP-035, KEY-005, KEY-007.
    #[test]
    fn a_recorded_member_changes_hands() {
        check(
            adopt_recorded,
            Kind::Claim,
            "
            template tpl
            pool p
            sandbox s1 pool=p ready
            claim c1 records=s1
        ",
            &["AdoptSandbox s1 owner=c1 launch-type=warm claim-uid=00000000-0000-0000-0000-000000000005 \
                pod:claim-uid=00000000-0000-0000-0000-000000000005 pod:sandbox-template-ref-hash=9d22159f"],
        );
    }

    /// ADP-038, ADP-040, PMD-005: what the claim asks for changes hands along with the rest, but for what it cannot have.
    #[test]
    fn the_pod_gets_what_the_claim_asks_for() {
        let mut world = String::from(
            r#"
            template tpl spec={"podTemplate":{"metadata":{"labels":{"sandbox.users.io/x":"a"}},"spec":{}}}
            pool p
            sandbox s1 pool=p ready label:sandbox-template-ref-hash=9d22159f
        "#,
        );
        let tail = "launch-type=warm claim-uid=00000000-0000-0000-0000-000000000005 \
            pod:claim-uid=00000000-0000-0000-0000-000000000005 pod:sandbox-template-ref-hash=9d22159f";
        world += r#"claim c1 records=s1 spec={"additionalPodMetadata":{"labels":{"sandbox.users.io/x":"b","sandbox.users.io/team":"a"}}}"#;
        let said = format!("AdoptSandbox s1 owner=c1 {tail} pod:team=a pod:x=a");
        check(adopt_recorded, Kind::Claim, &world, &[&said]);
    }

    /// DEF-035: the record of its own name is a cold start's, but here the name is a member's.
    #[test]
    fn a_claim_named_like_a_member_can_have_it() {
        check(
            adopt_recorded,
            Kind::Claim,
            "
            template tpl
            pool p
            sandbox s1 pool=p ready
            claim s1 records=s1
        ",
            &["AdoptSandbox s1 owner=s1 launch-type=warm claim-uid=00000000-0000-0000-0000-000000000005 \
                pod:claim-uid=00000000-0000-0000-0000-000000000005 pod:sandbox-template-ref-hash=9d22159f"],
        );
        check(
            adopt_recorded,
            Kind::Claim,
            "
            template tpl
            pool p
            pool q
            sandbox s1 pool=q ready
            claim s1 records=s1
        ",
            &[],
        );
        check(
            adopt_recorded,
            Kind::Claim,
            r#"
            template tpl
            pool p
            sandbox s1 pool=p ready
            claim s1 records=s1 spec={"env":[{"name":"A","value":"1"}]}
        "#,
            &[],
        );
    }

    /// ADP-020, INV-03.
    #[test]
    fn nothing_changes_hands_before_the_record_is_stored() {
        check(
            adopt_recorded,
            Kind::Claim,
            "
            template tpl
            pool p
            sandbox s1 pool=p ready
            claim c1
        ",
            &[],
        );
    }

    /// RES-004.
    #[test]
    fn a_member_of_a_dying_pool_is_left_alone() {
        check(
            adopt_recorded,
            Kind::Claim,
            "
            pool p terminating
            sandbox s1 pool=p ready
            claim c1 records=s1
        ",
            &[],
        );
    }

    #[test]
    fn the_owner_of_the_member_is_looked_up_where_it_is_not_known() {
        check(
            adopt_recorded,
            Kind::Claim,
            "
            sandbox s1 pool=p ready
            claim c1 records=s1
        ",
            &["Look p"],
        );
    }

    /// ADP-008, ACC-107: a record holds, whatever has become of the Pod's address and readiness.
    #[test]
    fn a_recorded_member_that_is_not_ready_any_more_changes_hands() {
        let world = |pod: &str| {
            let world = alloc::format!("pool p\nclaim c1 records=s1\nsandbox s1 pool=p {pod}");
            said(adopt_recorded, Kind::Claim, &world)
        };
        for pod in ["starting", "nopod", "ready noaddress"] {
            assert_eq!(world(pod), world("ready"), "{pod}");
        }
    }

    /// ADP-052, ACC-121.
    #[test]
    fn a_member_that_the_claim_has_already_costs_no_write() {
        check(adopt_recorded, Kind::Claim, "pool p\nclaim c1 records=s1\nsandbox s1 owner=c1 ready", &[]);
    }

    #[test]
    fn a_member_that_is_being_written_waits() {
        check(
            adopt_recorded,
            Kind::Claim,
            "
            pool p
            sandbox s1 pool=p ready
            claim c1 records=s1
            held s1
        ",
            &[],
        );
    }

    /// DEF-028: what counts is what the pool was when the record was made. The claim came first.
    #[test]
    fn a_member_that_becomes_stale_after_it_was_recorded_changes_hands() {
        check(
            adopt_recorded,
            Kind::Claim,
            "
            template tpl make=a
            pool p recreate
            sandbox s1 pool=p make=a ready
            claim c1 records=s1
            template tpl make=b
        ",
            &[concat!(
                "AdoptSandbox s1 owner=c1 launch-type=warm claim-uid=00000000-0000-0000-0000-000000000005 ",
                "pod:claim-uid=00000000-0000-0000-0000-000000000005 pod:sandbox-template-ref-hash=9d22159f",
            )],
        );
    }
}
