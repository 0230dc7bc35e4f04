use alloc::borrow::Cow;
use alloc::format;
use alloc::vec::Vec;

use super::{Branch, Verdict, act, patch};
use crate::action::{Intent, Operation, Part};
use crate::agenda::TimeoutReason;
use crate::id::{Key, Kind, Text, Uid};
use crate::make::{adopted_pod_metadata, invalid_metadata, objection, set_condition};
use crate::mutant::Mutant;
use crate::names;
use crate::object::{Bound, Claim, ClaimStatus, OwnerKind, Sandbox, Template, Truth};
use crate::outfit::Objection;
use crate::patch::Change;
use crate::state::SandboxEntry;
use crate::time::Now;
use crate::view::{Holder, View};

/// Reason and message while a claim waits that was told something else before.
const MISSING: (&str, &str) = ("SandboxMissing", "Sandbox does not exist");

/// Reason while something does not succeed and is tried again. Clients wait on.
const ERROR: &str = "ReconcilerError";

/// Tells a claim's user which sandbox it has, and whether it can be used.
///
/// Name, addresses and readiness come in one write. They follow from the sandbox and its Pod as they are known, not from
/// the sandbox's own status, which is written at the same time.
///
/// Reads: the claim, its sandbox and Pod; the pool and the template where there is no sandbox.
/// Emits: [`Intent::SetClaimStatus`]; [`Intent::Look`] before saying that something does not exist, since clients
/// take that for final. Arms [`TimeoutReason::Settle`]: a sandbox that is starting, or refused, is not news yet.
/// Never: Ready without name and addresses; another sandbox right after a ready one.
/// Source: CND-010, CND-011, CND-016, CND-018, CND-022 to CND-025, STS-004, CON-010 to CON-017; INV-16, INV-35.
pub(super) fn publish_claim_status(view: &View<'_>, claim: Uid, now: Now) -> Verdict {
    let Some(claim) = view.claim(claim).map(|entry| &entry.claim) else { return Verdict::Quiet };
    if claim.meta.terminating || view.is_held(claim.meta.uid) {
        return Verdict::Quiet;
    }
    if claim.expired().is_some() {
        return publish_expired(view, claim, now);
    }
    if let Some(sandbox) = view.sandbox_of(claim) {
        return publish_bound(view, claim, sandbox, now);
    }
    if let Some(bound) = &claim.status.sandbox {
        return publish_vanished(view, claim, &claim.meta.key.sibling(bound.name.clone()), now);
    }
    publish_missing(view, claim, now)
}

fn publish_bound(view: &View<'_>, claim: &Claim, entry: &SandboxEntry, now: Now) -> Verdict {
    let sandbox = &entry.sandbox;
    if view.config.has(Mutant::ForgetsNameOnConflict) && view.is_stale(sandbox.meta.uid) {
        return publish(claim, ClaimStatus { sandbox: None, ..claim.status.clone() });
    }
    let mirrored = view.sandbox_status(sandbox, sandbox.status.is_expired(), now.wall);
    let mut status = claim.status.clone();
    let name = sandbox.meta.key.name.clone();
    let told = claim.status.sandbox.as_ref().filter(|bound| bound.name == name && !bound.pod_ips.is_empty());
    let pod_ips = match told {
        Some(told) if view.config.has(Mutant::OldAddressStays) => told.pod_ips.clone(),
        _ if view.config.has(Mutant::ReadyWithoutAddress) => Vec::new(),
        _ => mirrored.pod_ips.clone(),
    };
    status.sandbox = Some(Bound { name, pod_ips });
    match mirrored.condition(names::FINISHED).filter(|_| !view.config.has(Mutant::FinishNotTold)) {
        Some(it) => {
            // Before the sandbox itself says so, it would have ended at this very moment, whenever one looks.
            let told = (it.status, (*it.reason).into(), (*it.message).into());
            // A rival may have seen a later generation of the sandbox than we have.
            let known = claim.status.condition(names::FINISHED).map_or(0, |known| known.observed);
            let observed = it.observed.max(known);
            set_condition(&mut status.conditions, names::FINISHED, told, observed, it.changed);
        }
        None => status.conditions.retain(|condition| &*condition.kind != names::FINISHED),
    }
    let told = match mirrored.condition(names::READY) {
        Some(ready) if !sandbox.meta.terminating || view.config.has(Mutant::GoingIsReady) => {
            (ready.status, Cow::Borrowed(&*ready.reason), Cow::Borrowed(&*ready.message), ready.changed)
        }
        _ => (Truth::False, "SandboxNotReady".into(), "Sandbox is not ready".into(), now.wall),
    };
    let told = if &*told.1 == names::EXPIRED {
        let message = "Underlying Sandbox resource has expired independently of the Claim.";
        (told.0, told.1, message.into(), told.3)
    } else {
        told
    };
    let objection = bound_objection(view, claim, sandbox);
    let told = match &objection {
        Some(objection) => (Truth::False, objection.reason.into(), (*objection.message).into(), now.wall),
        None => told,
    };
    let is_mixed_up = view.config.has(Mutant::GenerationOfAnother);
    let observed = if is_mixed_up { sandbox.meta.generation } else { claim.meta.generation };
    set_condition(&mut status.conditions, names::READY, (told.0, told.1, told.2), observed, told.3);
    if is_replaced(&claim.status, &status) && !view.config.has(Mutant::SilentRebind) {
        // Another Pod or sandbox under a claim that was ready: its user is told before it is offered (INV-35).
        let told = (Truth::False, "SandboxNotReady".into(), "Sandbox is not ready".into());
        set_condition(&mut status.conditions, names::READY, told, observed, now.wall);
    }
    if !status.is_ready() && (is_new(claim) || has_error(claim)) {
        let settled = entry.seen.mono + view.config.settle;
        if now.mono < settled {
            return Verdict::Until(settled, TimeoutReason::Settle);
        }
    }
    publish(claim, status)
}

/// Returns whether its user was told nothing so far.
fn is_new(claim: &Claim) -> bool {
    claim.status.sandbox.is_none() && claim.status.conditions.is_empty()
}

/// Returns whether its user was told that something does not succeed and is tried again.
fn has_error(claim: &Claim) -> bool {
    claim.status.condition(names::READY).is_some_and(|ready| &*ready.reason == ERROR)
}

/// Returns what a claim asks for since that its sandbox cannot have.
fn bound_objection(view: &View<'_>, claim: &Claim, sandbox: &Sandbox) -> Option<Objection> {
    claim.wishes.as_ref().filter(|wishes| wishes.name_metadata())?;
    let template = view.template_of_sandbox(claim, sandbox).map(|template| &**template);
    adopted_pod_metadata(claim, sandbox, template, &view.config.label_domains).1
}

/// Returns whether one ready status would follow another that is about something else.
fn is_replaced(before: &ClaimStatus, after: &ClaimStatus) -> bool {
    before.is_ready() && after.is_ready() && before.sandbox != after.sandbox
}

/// The sandbox that the claim shows is not its own any more, or not known.
fn publish_vanished(view: &View<'_>, claim: &Claim, key: &Key, now: Now) -> Verdict {
    match view.sandbox_named(key) {
        // The claim has it already, on a version that the watch has not shown: the transfer will find out.
        Holder::Is(sandbox) if sandbox.meta.owner_of_kind(Kind::Pool).is_some() => return Verdict::Quiet,
        Holder::Nobody => {}
        Holder::Is(sandbox) if view.is_confirmed(sandbox) => {}
        // The holder may be a predecessor, on a watch that lags.
        Holder::Is(_) | Holder::Unseen if view.config.has(Mutant::VanishesUnseen) => {}
        Holder::Is(_) | Holder::Unseen => {
            view.mark(Branch::StatusLook);
            return look(view, Kind::Sandbox, key.clone());
        }
    }
    view.mark(Branch::StatusVanished);
    let mut status = claim.status.clone();
    status.sandbox = None;
    status.conditions.retain(|condition| &*condition.kind != names::FINISHED);
    let told = (Truth::False, MISSING.0.into(), MISSING.1.into());
    set_condition(&mut status.conditions, names::READY, told, claim.meta.generation, now.wall);
    publish(claim, status)
}

/// A claim that has expired says so, and drops its sandbox when that is gone. What it says of how that finished stays.
fn publish_expired(view: &View<'_>, claim: &Claim, now: Now) -> Verdict {
    if view.has_sandbox(claim.meta.uid) {
        return Verdict::Quiet;
    }
    let mut status = claim.status.clone();
    if let Some(bound) = &claim.status.sandbox {
        let key = claim.meta.key.sibling(bound.name.clone());
        match view.sandbox_named(&key) {
            Holder::Is(sandbox) if sandbox.meta.owner_of_kind(Kind::Pool).is_some() => return Verdict::Quiet,
            Holder::Nobody => {}
            Holder::Is(sandbox) if view.is_confirmed(sandbox) => {
                let (reason, name) = (names::CLAIM_EXPIRED.into(), &*claim.meta.key.name);
                let why = format!("sandbox {:?} is not owned by claim {name:?}", &*bound.name);
                let message =
                    format!("Claim expired. sandbox not owned by this claim: {why}; deletion skipped.");
                let told = (Truth::False, reason, message.into());
                // What has expired is the spec of which that was said, and perhaps not the present one.
                let observed = claim.expired().unwrap_or(claim.meta.generation);
                set_condition(&mut status.conditions, names::READY, told, observed, now.wall);
            }
            Holder::Is(_) | Holder::Unseen => {
                view.mark(Branch::StatusLook);
                return look(view, Kind::Sandbox, key);
            }
        }
        status.sandbox = None;
        return publish(claim, status);
    }
    if claim.is_ended(now.wall) {
        return Verdict::Quiet;
    }
    if let Some(name) = view.assignment(claim) {
        // A member is given up first; a sandbox of its own must be gone for certain.
        let key = claim.meta.key.sibling(name.clone());
        match view.sandbox_named(&key) {
            _ if *name != claim.meta.key.name => return Verdict::Quiet,
            Holder::Is(sandbox) if sandbox.meta.owner_of_kind(Kind::Pool).is_some() => return Verdict::Quiet,
            Holder::Nobody => {}
            Holder::Is(sandbox) if view.is_confirmed(sandbox) => {}
            Holder::Is(_) | Holder::Unseen => return look(view, Kind::Sandbox, key),
        }
    }
    // It was given more time: it waits again, as it did when it came.
    status.conditions.retain(|condition| &*condition.kind != names::FINISHED);
    let told = (Truth::False, MISSING.0.into(), MISSING.1.into());
    set_condition(&mut status.conditions, names::READY, told, claim.meta.generation, now.wall);
    publish(claim, status)
}

/// A claim that waits says why only when waiting alone will not help.
fn publish_missing(view: &View<'_>, claim: &Claim, now: Now) -> Verdict {
    if let Some(objection) = invalid_metadata(claim, &view.config.label_domains) {
        return publish_not_ready(claim, objection.reason, objection.message, now);
    }
    let pool_key = claim.meta.key.sibling(claim.pool.clone());
    let pool = match view.pool_of(claim) {
        Holder::Is(pool) => pool,
        Holder::Nobody if view.config.has(Mutant::MissingPoolUntold) => return Verdict::Quiet,
        Holder::Nobody => {
            let message = format!("SandboxWarmPool {:?} not found", &*claim.pool);
            return publish_not_ready(claim, "WarmPoolNotFound", message.into(), now);
        }
        Holder::Unseen => return look(view, Kind::Pool, pool_key),
    };
    match view.template_of(pool) {
        Holder::Is(template) => match name_taken(view, claim) {
            Taken::No => publish_objection(view, claim, template, now),
            Taken::Unsure(key) => look(view, Kind::Sandbox, key),
            Taken::By(why) => publish_not_ready(claim, ERROR, why, now),
        },
        Holder::Nobody if view.config.has(Mutant::MissingTemplateUntold) => Verdict::Quiet,
        Holder::Nobody => {
            let message = format!("SandboxTemplate {:?} not found", &*pool.template);
            publish_not_ready(claim, "TemplateNotFound", message.into(), now)
        }
        Holder::Unseen => look(view, Kind::Template, pool_key.sibling(pool.template.clone())),
    }
}

/// Whether somebody else has the name under which a claim's sandbox is to be made.
enum Taken {
    No,
    Unsure(Key),
    By(Text),
}

/// A predecessor's sandbox is on its way out, and a member of the claim's own pool can be had (DEF-035).
fn name_taken(view: &View<'_>, claim: &Claim) -> Taken {
    let (key, is_own) = (&claim.meta.key, |name: &Text| *name == claim.meta.key.name);
    if !claim.meta.annotation(names::SANDBOX_NAME).is_some_and(is_own) {
        return Taken::No;
    }
    let Holder::Is(sandbox) = view.sandbox_named(key) else { return Taken::No };
    let is_passing = match &sandbox.meta.owner {
        Some(owner) if owner.kind == OwnerKind::Known(Kind::Claim) => owner.name == key.name,
        Some(owner) if owner.kind == OwnerKind::Known(Kind::Pool) => {
            owner.name == claim.pool && !claim.needs_own_sandbox()
        }
        Some(_) | None => false,
    };
    if is_passing || sandbox.meta.terminating {
        return Taken::No;
    }
    if !view.is_confirmed(sandbox) {
        return Taken::Unsure(key.clone());
    }
    let advice = "Please use a different claim name or delete the sandbox manually";
    let name = &*key.name;
    Taken::By(format!("Error seen: sandbox {name:?} is not controlled by claim {name:?}. {advice}").into())
}

/// Who asks for what it cannot have is told so. Once it can, what was told is taken back, since clients take it for final.
fn publish_objection(view: &View<'_>, claim: &Claim, template: &Template, now: Now) -> Verdict {
    match objection(claim, template, &view.config.label_domains) {
        Some(_) if view.config.has(Mutant::RefusalUntold) => Verdict::Quiet,
        Some(objection) => publish_not_ready(claim, objection.reason, objection.message, now),
        None => publish_waiting(view, claim, now),
    }
}

/// Nothing is wrong with what the claim asks for. Whether the server takes it is told when it has refused for a while.
fn publish_waiting(view: &View<'_>, claim: &Claim, now: Now) -> Verdict {
    if let Some(refused) = view.refused(claim.meta.uid, Kind::Sandbox) {
        let settled = refused.since + view.config.settle;
        if now.mono < settled {
            return Verdict::Until(settled, TimeoutReason::Settle);
        }
        return publish_not_ready(claim, ERROR, format!("Error seen: {}", refused.why).into(), now);
    }
    // A process that has just begun to lead does not know what was refused, and tries before it takes anything back.
    let is_tried = claim.meta.annotation(names::SANDBOX_NAME) == Some(&claim.meta.key.name);
    let told = claim.status.condition(names::READY);
    if told.is_none_or(|ready| &*ready.reason == MISSING.0) || (is_tried && has_error(claim)) {
        return Verdict::Quiet;
    }
    publish_not_ready(claim, MISSING.0, MISSING.1.into(), now)
}

fn look(view: &View<'_>, kind: Kind, key: Key) -> Verdict {
    if view.is_looked_up(kind, &key) {
        return Verdict::Quiet;
    }
    act(Intent::Look, Operation::Get { kind, key })
}

fn publish_not_ready(claim: &Claim, reason: &str, message: Text, now: Now) -> Verdict {
    let mut status = claim.status.clone();
    let told = (Truth::False, reason.into(), (*message).into());
    set_condition(&mut status.conditions, names::READY, told, claim.meta.generation, now.wall);
    publish(claim, status)
}

fn publish(claim: &Claim, mut status: ClaimStatus) -> Verdict {
    status.conditions.sort_by(|a, b| a.kind.cmp(&b.kind));
    if status == claim.status {
        return Verdict::Quiet;
    }
    let changes = Vec::from([Change::ClaimStatus(status)]);
    patch(Intent::SetClaimStatus, Kind::Claim, &claim.meta, Part::Status, changes)
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;
    use crate::rules::testing::check;

    /// STS-004, CON-011.
    #[test]
    fn a_ready_sandbox_is_told_at_once() {
        check(
            publish_claim_status,
            Kind::Claim,
            "
            pool p
            claim c1 records=s1
            sandbox s1 owner=c1 ready
        ",
            &["SetClaimStatus c1 Ready=True DependenciesReady"],
        );
    }

    #[test]
    fn a_sandbox_that_starts_is_no_news_for_a_second() {
        check(
            publish_claim_status,
            Kind::Claim,
            "
            pool p
            claim c1 records=s1
            sandbox s1 owner=c1 starting
        ",
            &["until 1s Settle"],
        );
    }

    /// CND-018, CON-019.
    #[test]
    fn a_sandbox_that_the_server_refuses_is_told_after_a_second() {
        let told = |why: &str, expected: &[&str]| {
            let world = format!(
                "
                template tpl
                pool p
                claim c1 records=c1
                {why}
            "
            );
            check(publish_claim_status, Kind::Claim, &world, expected);
        };
        told("", &[]);
        told("refused c1 sandbox c1 age=0s quota", &["until 1s Settle"]);
        told("refused c1 sandbox c1 age=1s quota", &["SetClaimStatus c1 Ready=False ReconcilerError"]);
        told(
            "refused c1 sandbox c1 age=1s quota\nsandbox c1 owner=c1 starting age=2s",
            &["SetClaimStatus c1 Ready=False DependenciesNotReady"],
        );
    }

    /// INV-35.
    #[test]
    fn another_address_is_not_ready_first() {
        for addresses in ["10.0.0.2", "10.0.0.1,172.0.0.2"] {
            let world = format!(
                "
                pool p
                claim c1 records=s1 shows=s1 isready
                sandbox s1 owner=c1 ready ip={addresses}
            "
            );
            let told = "SetClaimStatus c1 Ready=False SandboxNotReady";
            check(publish_claim_status, Kind::Claim, &world, &[told]);
        }
    }

    /// CND-021, INV-35.
    #[test]
    fn a_sandbox_that_vanished_is_looked_up_and_then_told() {
        check(
            publish_claim_status,
            Kind::Claim,
            "
            pool p
            claim c1 records=s1 shows=s1 isready
        ",
            &["Look s1"],
        );
        check(
            publish_claim_status,
            Kind::Claim,
            "
            pool p
            claim c1 records=s1 shows=s1 isready
            absent sandbox s1
        ",
            &["SetClaimStatus c1 Ready=False SandboxMissing"],
        );
    }

    /// CON-021, STS-006, ACC-115, ACC-130.
    /// CON-010, INV-17.
    #[test]
    fn a_view_that_lags_does_not_take_a_sandbox_away() {
        check(
            publish_claim_status,
            Kind::Claim,
            "
            pool p
            sandbox s1 pool=p ready
            claim c1 records=s1 shows=s1 isready
        ",
            &[],
        );
    }

    /// CND-011, CON-016, CON-017.
    #[test]
    fn a_missing_pool_is_looked_up_and_then_told() {
        check(publish_claim_status, Kind::Claim, "claim c1", &["Look p"]);
        check(
            publish_claim_status,
            Kind::Claim,
            "
            claim c1
            absent pool p
        ",
            &["SetClaimStatus c1 Ready=False WarmPoolNotFound"],
        );
    }

    /// API-009, CND-010, CND-011: no object has such a name, and to ask for it is to ask for something else.
    #[test]
    fn a_name_that_nothing_can_have_is_not_looked_up() {
        for name in ["p/status", "p?watch=true", "P", "..", "-p"] {
            let world = format!("claim c1 pool={name}");
            check(
                publish_claim_status,
                Kind::Claim,
                &world,
                &["SetClaimStatus c1 Ready=False WarmPoolNotFound"],
            );
            let world = format!("pool p template={name}\nclaim c1");
            check(
                publish_claim_status,
                Kind::Claim,
                &world,
                &["SetClaimStatus c1 Ready=False TemplateNotFound"],
            );
        }
    }

    /// CND-015, CND-017, CND-018, CON-018, INV-26: told before anything is recorded.
    #[test]
    fn a_claim_that_asks_for_what_it_cannot_have_is_told_so() {
        for (claim, reason) in [
            (r#"{"env":[{"name":"A","value":"1"}]}"#, "EnvVarsInjectionRejected"),
            (r#"{"volumeClaimTemplates":[{"metadata":{"name":"data"}}]}"#, "VolumeClaimTemplatesError"),
        ] {
            check(
                publish_claim_status,
                Kind::Claim,
                &format!("template tpl\npool p\nsandbox s1 pool=p ready\nclaim c1 spec={claim}"),
                &[&format!("SetClaimStatus c1 Ready=False {reason}")],
            );
        }
    }

    /// CLM-030, CND-014: said even where there is no pool.
    #[test]
    fn metadata_that_nobody_may_ask_for_is_told_first() {
        check(
            publish_claim_status,
            Kind::Claim,
            r#"
            claim c1 spec={"additionalPodMetadata":{"labels":{"team":"a"}}}
            absent pool p
        "#,
            &["SetClaimStatus c1 Ready=False InvalidMetadata"],
        );
    }

    /// CLD-003, INV-32: nobody waits for a template that can serve nobody.
    #[test]
    fn a_template_that_is_wrong_is_told_to_every_claim() {
        let world = r#"
            template tpl spec={"volumeClaimTemplates":[{"spec":{}}]}
            pool p
            claim c1
        "#;
        check(
            publish_claim_status,
            Kind::Claim,
            world,
            &["SetClaimStatus c1 Ready=False VolumeClaimTemplatesError"],
        );
        check(crate::rules::assign_waiting::assign_waiting, Kind::Pool, world, &[]);
    }

    /// CON-018: clients take what was told for final.
    #[test]
    fn what_is_not_so_any_more_is_taken_back() {
        check(
            publish_claim_status,
            Kind::Claim,
            "
            template tpl
            pool p
            claim c1 told=TemplateNotFound
            claim c2 told=SandboxMissing
        ",
            &["SetClaimStatus c1 Ready=False SandboxMissing"],
        );
    }

    /// RES-022.
    /// LIF-011, CON-020, STS-003, STS-005, DEF-017: what it says of the end stays when the sandbox is gone.
    #[test]
    fn an_expired_claim_drops_its_sandbox_when_that_is_gone() {
        let claim = r#"claim c1 told=ClaimExpired finished=9s records=s1 shows=s1 spec={"lifecycle":{"ttlSecondsAfterFinished":0}}"#;
        let world = |rest: &str| format!("pool p\n{claim}\n{rest}");
        check(publish_claim_status, Kind::Claim, &world("sandbox s1 owner=c1 ended"), &[]);
        check(publish_claim_status, Kind::Claim, &world(""), &["Look s1"]);
        let told = ["SetClaimStatus c1 Ready=False ClaimExpired"];
        check(publish_claim_status, Kind::Claim, &world("absent sandbox s1"), &told);
    }

    /// LIF-012, INV-21: it waits again when its sandbox is gone, and not before.
    #[test]
    fn a_claim_that_was_given_more_time_waits_again() {
        let claim = r#"told=ClaimExpired@0 spec={"lifecycle":{"shutdownTime":"1970-01-01T09:00:00Z"}}"#;
        let told = ["SetClaimStatus c1 Ready=False SandboxMissing"];
        let world = |rest: &str| format!("template tpl\npool p\nclaim c1 {claim} {rest}");
        check(publish_claim_status, Kind::Claim, &world(""), &told);
        check(publish_claim_status, Kind::Claim, &world("records=c1\nsandbox c1 owner=c1 ready"), &[]);
        check(publish_claim_status, Kind::Claim, &world("records=c1"), &["Look c1"]);
        check(publish_claim_status, Kind::Claim, &world("records=c1\nabsent sandbox c1"), &told);
        // While nobody has changed the spec, a clock that is behind changes nothing.
        check(publish_claim_status, Kind::Claim, &world("").replace("@0", "@1"), &[]);
    }

    /// RES-009, DEF-035: a name that others have, and will keep, is told, after the server has confirmed it.
    #[test]
    fn a_name_that_somebody_else_has_is_told() {
        let world = |holder: &str| format!("template tpl\npool p\n{holder}\nclaim c1 records=c1");
        let others = ["", "pool q\n", ""];
        for (other, of) in others.into_iter().zip(["", "pool=q", "owner=c2"]) {
            let world = world(&format!("{other}sandbox c1 {of} ready"));
            check(publish_claim_status, Kind::Claim, &world, &["Look c1"]);
            let told = ["SetClaimStatus c1 Ready=False ReconcilerError"];
            check(publish_claim_status, Kind::Claim, &format!("{world}\npresent c1"), &told);
        }
        for holder in ["sandbox c1 pool=p ready", "sandbox c1 terminating"] {
            check(publish_claim_status, Kind::Claim, &world(holder), &[]);
        }
    }

    #[test]
    fn a_claim_that_only_waits_says_nothing() {
        check(
            publish_claim_status,
            Kind::Claim,
            "
            template tpl
            pool p
            claim c1
        ",
            &[],
        );
    }
}
