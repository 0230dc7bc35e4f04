use alloc::vec::Vec;

use super::{Verdict, differences, patch};
use crate::action::{Intent, Part};
use crate::id::{Kind, Text, Uid};
use crate::make;
use crate::names;
use crate::object::{Claim, Sandbox};
use crate::patch::Change;
use crate::time::Now;
use crate::view::View;

/// Brings the labels of a claim's sandbox, and the metadata of its Pod, in line with the claim and the template.
///
/// The template is the one that the sandbox was made from, whichever the pool uses by then: its Pod runs what that
/// template says, so that template's network policy must go on to select it (DEF-019). The Pod follows in place, without
/// a restart.
///
/// Reads: the claim, its sandbox, the template that it was made from.
/// Emits: [`Intent::LabelSandbox`], one locked patch.
/// Never: while the claim asks for what it cannot have, or the template is gone: then what is there stays.
/// Source: PMD-010 to PMD-014, RES-016, KEY-002, KEY-005, KEY-006, CON-037, DEF-018, DEF-019.
pub(super) fn sync_metadata(view: &View<'_>, claim: Uid, _now: Now) -> Verdict {
    let Some(claim) = view.claim(claim).map(|entry| &entry.claim) else { return Verdict::Quiet };
    let Some(sandbox) = view.sandbox_of(claim).map(|entry| &entry.sandbox) else { return Verdict::Quiet };
    let is_going = claim.meta.terminating || sandbox.meta.terminating;
    if is_going || view.is_held(sandbox.meta.uid) {
        return Verdict::Quiet;
    }
    let mut changes = labels(view, claim, sandbox);
    let template = view.template_of_sandbox(claim, sandbox);
    if template.is_some() {
        let domains = &view.config.label_domains;
        let (pod, objection) = make::adopted_pod_metadata(claim, sandbox, template.map(|it| &**it), domains);
        if objection.is_none() {
            changes.extend(differences(&sandbox.pod.labels, &pod.labels, Change::PodLabel));
            changes.extend(differences(&sandbox.pod.annotations, &pod.annotations, Change::PodAnnotation));
        }
    }
    if changes.is_empty() {
        return Verdict::Quiet;
    }
    patch(Intent::LabelSandbox, Kind::Sandbox, &sandbox.meta, Part::Main, changes)
}

/// The sandbox's own labels. What is there already stays, except for who asked for it.
fn labels(view: &View<'_>, claim: &Claim, sandbox: &Sandbox) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut label = |key: &str, value: Option<Text>| {
        if sandbox.meta.labels.get(key) != value.as_ref() {
            changes.push(Change::Label(key.into(), value));
        }
    };
    label(names::CREATED_BY, claim.meta.label(names::CREATED_BY).cloned());
    if !sandbox.meta.labels.contains_key(names::LAUNCH_TYPE) {
        let is_cold = sandbox.meta.key.name == claim.meta.key.name;
        label(names::LAUNCH_TYPE, Some(if is_cold { "cold" } else { "warm" }.into()));
    }
    if sandbox.meta.label(names::TEMPLATE_REF_HASH).is_none()
        && let Some(template) = view.template_of_sandbox(claim, sandbox)
    {
        label(names::TEMPLATE_REF_HASH, Some(names::name_hash(&template.meta.key.name)));
    }
    changes
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;
    use crate::rules::publish_claim_status::publish_claim_status;
    use crate::rules::testing::check;

    const HASH: &str = "sandbox-template-ref-hash";

    /// CLM-033.
    /// PMD-014.
    /// PMD-010, PMD-013, CON-037.
    #[test]
    fn what_a_bound_claim_asks_for_later_reaches_its_sandbox() {
        let world = r#"
            template test-template
            pool p template=test-template
            claim c1 records=s1 spec={"additionalPodMetadata":{"labels":{"sandbox.users.io/team":"a"},"annotations":{"n":"x"}}}
            sandbox s1 owner=c1 ready label:sandbox-template-ref-hash=69155462 label:launch-type=warm
        "#;
        let uid = "claim-uid=00000000-0000-0000-0000-000000000003";
        let said = format!("LabelSandbox s1 pod:{uid} pod:{HASH}=69155462 pod:team=a pod:n=x");
        check(sync_metadata, Kind::Claim, world, &[&said]);
    }

    /// PMD-011: what neither the template nor the claim says any more goes.
    #[test]
    fn what_nobody_asks_for_any_more_goes() {
        check(
            sync_metadata,
            Kind::Claim,
            "
            template tpl
            pool p
            claim c1 records=s1
            sandbox s1 owner=c1 ready label:sandbox-template-ref-hash=9d22159f label:launch-type=warm pod:claim-uid=00000000-0000-0000-0000-000000000003 pod:sandbox-template-ref-hash=9d22159f pod:old=1
        ",
            &["LabelSandbox s1 pod:old="],
        );
    }

    /// RES-003, ACC-006.
    /// RES-016, KEY-002: sandboxes from before there were such labels. What is there stays.
    #[test]
    fn labels_that_are_missing_are_added() {
        check(
            sync_metadata,
            Kind::Claim,
            "
            pool p
            claim c1 records=s1
            sandbox s1 owner=c1 ready
            claim c2 records=c2
            sandbox c2 owner=c2 ready
            claim c3 records=c3
            sandbox c3 owner=c3 ready label:launch-type=warm
        ",
            &["LabelSandbox s1 launch-type=warm", "LabelSandbox c2 launch-type=cold"],
        );
    }

    /// PMD-012.
    /// KEY-006: who asked for it is who asked for the claim.
    #[test]
    fn the_pool_did_not_ask_for_a_claims_sandbox() {
        check(
            sync_metadata,
            Kind::Claim,
            "
            pool p
            claim c1 records=s1
            sandbox s1 owner=c1 ready label:launch-type=warm label:created-by=controller
        ",
            &["LabelSandbox s1 created-by="],
        );
    }

    /// DEF-019: the network policy of the template that the Pod was made from must go on to select it.
    #[test]
    fn a_sandbox_keeps_the_template_that_it_was_made_from() {
        let world = r#"
            template new spec={"podTemplate":{"metadata":{"labels":{"new":"1"}},"spec":{}}}
            template old spec={"podTemplate":{"metadata":{"labels":{"old":"1"}},"spec":{}}}
            pool p template=new
            claim c1 records=s1
            sandbox s1 owner=c1 ready made-from=old label:sandbox-template-ref-hash=h label:launch-type=warm
        "#;
        let uid = "claim-uid=00000000-0000-0000-0000-000000000004";
        check(
            sync_metadata,
            Kind::Claim,
            world,
            &[&format!("LabelSandbox s1 pod:{uid} pod:{HASH}=h pod:old=1")],
        );
    }

    /// DEF-019: an older release has not noted the template's name, but its label.
    #[test]
    fn a_sandbox_that_bears_the_label_of_a_template_was_made_from_it() {
        let world = |template: &str| {
            format!(
                r#"
                template new spec={{"podTemplate":{{"metadata":{{"labels":{{"new":"1"}}}},"spec":{{}}}}}}
                {template}
                pool p template=new
                claim c1 records=s1
                sandbox s1 owner=c1 ready label:sandbox-template-ref-hash=bd2b9bd6 label:launch-type=warm
            "#
            )
        };
        let old = r#"template old spec={"podTemplate":{"metadata":{"labels":{"old":"1"}},"spec":{}}}"#;
        let uid = "claim-uid=00000000-0000-0000-0000-000000000004";
        let said = format!("LabelSandbox s1 pod:{uid} pod:{HASH}=bd2b9bd6 pod:old=1");
        check(sync_metadata, Kind::Claim, &world(old), &[&said]);
        check(sync_metadata, Kind::Claim, &world(""), &[]);
    }

    /// CLM-032.
    /// DEF-018: with metadata of its own, too, a claim keeps working without its pool and template.
    #[test]
    fn a_bound_claim_with_metadata_stays_ready_without_pool_and_template() {
        let world = r#"
            claim c1 records=s1 spec={"additionalPodMetadata":{"annotations":{"n":"x"}}}
            sandbox s1 owner=c1 ready label:launch-type=warm
            absent pool p
        "#;
        check(sync_metadata, Kind::Claim, world, &[]);
        check(publish_claim_status, Kind::Claim, world, &["SetClaimStatus c1 Ready=True DependenciesReady"]);
    }

    /// PMD-001, PMD-006, DEF-022: nothing of it is applied, the user is told, the sandbox stays.
    #[test]
    fn a_bound_claim_that_asks_for_what_it_cannot_have_keeps_what_it_has() {
        for (wanted, reason) in
            [(r#""team":"a""#, "InvalidMetadata"), (r#""sandbox.users.io/x":"b""#, "ReconcilerError")]
        {
            let world = format!(
                r#"
                template tpl spec={{"podTemplate":{{"metadata":{{"labels":{{"sandbox.users.io/x":"a"}}}},"spec":{{}}}}}}
                pool p
                claim c1 records=s1 shows=s1 isready spec={{"additionalPodMetadata":{{"labels":{{{wanted}}}}}}}
                sandbox s1 owner=c1 ready label:launch-type=warm label:sandbox-template-ref-hash=9d22159f
            "#
            );
            check(sync_metadata, Kind::Claim, &world, &[]);
            let said = format!("SetClaimStatus c1 Ready=False {reason}");
            check(publish_claim_status, Kind::Claim, &world, &[&said]);
        }
    }
}
