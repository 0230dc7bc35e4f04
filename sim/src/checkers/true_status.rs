//! What a claim and a sandbox say is so.

use agent_sandbox_core::action::{Operation, Patch};
use agent_sandbox_core::id::{Key, Kind, Text, Uid};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Claim, ClaimStatus, Condition, Phase, Pod, Sandbox, SandboxStatus, Truth};
use agent_sandbox_core::patch::Change;

use super::known::Known;
use super::{Checker, Class, Judgement, Property, as_claim, as_pool, as_sandbox};
use crate::api_server::is_subdomain;
use crate::process;
use crate::reference::claims;
use crate::step::Sent;
use crate::store::Store;

/// What clients are told of a sandbox that somebody else has ended (CND-016).
const EXPIRED_BY_ITSELF: &str = "Underlying Sandbox resource has expired independently of the Claim.";

/// INV-16, INV-22 and INV-23, as far as the process that says it knows the sandbox and its Pods.
///
/// Only good news and ends are judged: that something is not ready yet may be said for many reasons. Clients take it for an
/// end, too, that a pool or a template does not exist.
#[derive(Debug)]
pub(super) struct TrueStatus;

impl Checker for TrueStatus {
    fn property(&self) -> Property {
        Property {
            name: "true-status",
            about: "who says Ready, Finished or Suspended of a sandbox knows of no reason why that is not so, and who says that a pool or a template does not exist was told so",
            class: Class::Safety,
        }
    }

    fn judges_decisions(&self) -> bool {
        true
    }

    fn on_decision(&mut self, sent: &Sent, known: &Known, store: &Store) -> Judgement {
        let Operation::Patch(patch) = &*sent.action.operation else { return Judgement::Silent };
        let told = patch.changes.iter().find_map(|change| lie(sent.process, patch, change, known, store));
        let Some((kind, lie)) = told else { return Judgement::Silent };
        let name = &patch.target.key.name;
        let lie = lie.or_else(|| patch.changes.iter().find_map(|it| wrong_address(&patch.target.key, it)));
        Judgement::unless_broken(
            lie.map(|lie| format!("{} says {lie} of {kind} {name}", process::name(sent.process))),
        )
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(Self)
    }
}

/// Returns of what a change tells the status, if that still is as it was when that was decided; and what is wrong with it.
fn lie(
    process: u8,
    patch: &Patch,
    change: &Change,
    known: &Known,
    store: &Store,
) -> Option<(Kind, Option<String>)> {
    let uid = patch.target.uid?;
    if let Change::SandboxStatus(told) = change {
        let sandbox = as_sandbox(store.find(Kind::Sandbox, uid))?;
        let is_seen = Some(sandbox.meta.version) == patch.version;
        return is_seen.then(|| (Kind::Sandbox, lie_of_sandbox(process, sandbox, told, known, store)));
    }
    let Change::ClaimStatus(told) = change else { return None };
    let claim = as_claim(store.find(Kind::Claim, uid))?;
    let is_seen = Some(claim.meta.version) == patch.version;
    is_seen.then(|| (Kind::Claim, lie_of_claim(process, claim, told, known, store)))
}

/// Returns under which name clients are told to reach the Service of a sandbox, if they cannot reach it there.
fn wrong_address(sandbox: &Key, change: &Change) -> Option<String> {
    let Change::SandboxStatus(told) = change else { return None };
    let right = match &*told.service {
        "" => String::new(),
        service => format!("{service}.{}.svc.", sandbox.namespace),
    };
    let is_wrong =
        !told.service_fqdn.starts_with(&right) || told.service.is_empty() != told.service_fqdn.is_empty();
    is_wrong.then(|| format!("that its Service is at {:?}", told.service_fqdn))
}

/// Returns the Pods of a sandbox, if a process knows them all as they are.
fn pods<'a>(process: u8, sandbox: Uid, known: &Known, store: &'a Store) -> Option<Vec<&'a Pod>> {
    let pods = || store.owned_by(Kind::Pod, sandbox);
    let is_known =
        known.knows_children(process, sandbox, Kind::Pod) && pods().all(|pod| known.knows(process, pod));
    is_known.then(|| pods().filter_map(|pod| pod.as_pod()).collect())
}

/// Returns whether a process knows that a sandbox that is to have a Service has none.
fn lacks_service(process: u8, sandbox: &Sandbox, known: &Known, store: &Store) -> bool {
    let uid = sandbox.meta.uid;
    sandbox.service == Some(true)
        && store.owned_by(Kind::Service, uid).next().is_none()
        && known.knows_children(process, uid, Kind::Service)
}

fn lie_of_sandbox(
    process: u8,
    sandbox: &Sandbox,
    told: &SandboxStatus,
    known: &Known,
    store: &Store,
) -> Option<String> {
    let condition = |kind: &str| told.condition(kind);
    let is_true = |kind: &str| condition(kind).is_some_and(|condition| condition.status == Truth::True);
    if condition(names::SUSPENDED).is_some_and(|it| (&*it.reason == "NotSuspended") == sandbox.suspended) {
        return Some(format!("Suspended with spec.operatingMode suspended={}", sandbox.suspended));
    }
    if is_true(names::SUSPENDED) && known.makes_pod(process, sandbox.meta.uid) {
        return Some("Suspended, while it makes a Pod,".to_owned());
    }
    if is_true(names::READY) && lacks_service(process, sandbox, known, store) {
        return Some("Ready, although it is to have a Service and has none,".to_owned());
    }
    if told.selector.is_empty() && !sandbox.status.selector.is_empty() && !told.is_expired() {
        return Some("no more by which label its Pods are found".to_owned());
    }
    let pods = pods(process, sandbox.meta.uid, known, store);
    if let Some(lost) = lost(sandbox, told, pods.as_ref().is_some_and(Vec::is_empty)) {
        return Some(format!("that it has expired, and no more whether it is {lost},"));
    }
    let pods = pods?;
    if is_true(names::SUSPENDED) && !pods.is_empty() {
        return Some(format!("Suspended, while it has {} Pods,", pods.len()));
    }
    if let Some(lie) = lie_of_place(told, &pods) {
        return Some(lie);
    }
    if is_true(names::READY) {
        let flaw =
            if sandbox.suspended { Some("it is suspended".to_owned()) } else { flaw(&pods, &told.pod_ips) };
        return flaw.map(|flaw| format!("Ready, although {flaw},"));
    }
    if pods.is_empty() && !told.is_expired() && condition(names::FINISHED).is_some() {
        return Some("Finished of a Pod that is gone,".to_owned());
    }
    false_end(condition(names::FINISHED)?, &[sandbox.status.condition(names::FINISHED)], &pods)
}

/// Returns what a status tells of the place of a Pod that is not there, or is elsewhere.
fn lie_of_place(told: &SandboxStatus, pods: &[&Pod]) -> Option<String> {
    let (ips, node) = match (pods, told.is_expired()) {
        ([pod], false) => (&pod.ips[..], &*pod.node),
        (_, _) => (&[][..], ""),
    };
    if told.pod_ips != ips || *told.node != *node {
        let (told, is) = (told.pod_ips.join(", "), ips.join(", "));
        return Some(format!("that its Pod is at [{told}], which is at [{is}],"));
    }
    let is_placed = told.condition(names::POD_SCHEDULED).is_some_and(|it| it.status != Truth::Unknown);
    if is_placed && pods.is_empty() {
        return Some("whether there is a place for its Pod, which is gone,".to_owned());
    }
    let ready = told.condition(names::READY).filter(|ready| &*ready.message == "Sandbox is suspended");
    ready.filter(|_| !pods.is_empty()).map(|_| "that it is suspended already, while it has a Pod,".to_owned())
}

/// Returns the condition that a status does not tell any more when it tells that the sandbox has expired: that it was
/// suspended, or, where there is no Pod to tell more, how it had ended (SBX-025).
fn lost(sandbox: &Sandbox, told: &SandboxStatus, is_bare: bool) -> Option<&'static str> {
    let is_kept = |kind: &str| sandbox.status.condition(kind).is_none() || told.condition(kind).is_some();
    let kept = [(names::SUSPENDED, true), (names::FINISHED, is_bare)];
    let lost = kept.into_iter().find(|(kind, counts)| *counts && !is_kept(kind));
    lost.filter(|_| told.is_expired()).map(|(kind, _)| kind)
}

fn lie_of_claim(
    process: u8,
    claim: &Claim,
    told: &ClaimStatus,
    known: &Known,
    store: &Store,
) -> Option<String> {
    let ready = told.condition(names::READY)?;
    if &*ready.reason == names::EXPIRED && &*ready.message != EXPIRED_BY_ITSELF {
        return Some(format!("that it has expired, in other words than clients know: {:?},", ready.message));
    }
    let is_news = claim.status.condition(names::READY) != Some(ready);
    if is_news && !claims::is_clear(&ready.reason, &ready.message) {
        return Some(format!("{}, which is not what {:?} means,", ready.reason, ready.message));
    }
    if is_news && let Some(name) = unasked(process, claim, &ready.reason, (known, store)) {
        return Some(format!("{}, and has not asked the server for {name} since it saw that,", ready.reason));
    }
    if is_news && let Some(passing) = passing(process, claim, &ready.message, (known, store)) {
        return Some(format!(
            "that it cannot have its name, which its predecessor's {passing} leaves to it,"
        ));
    }
    let Some(bound) = told.sandbox.as_ref() else { return left_over(claim, told) };
    let object = store.get(Kind::Sandbox, &claim.meta.key.sibling(bound.name.clone()))?;
    let sandbox = as_sandbox(Some(object)).filter(|sandbox| sandbox.meta.is_owned_by(claim.meta.uid))?;
    if !known.knows(process, object) {
        return None;
    }
    if told.is_ready() && sandbox.meta.terminating {
        return Some(format!("Ready, although sandbox {} is being deleted,", bound.name));
    }
    let pods = pods(process, sandbox.meta.uid, known, store)?;
    if told.is_ready() {
        return flaw(&pods, &bound.pod_ips).map(|flaw| format!("Ready, although {flaw},"));
    }
    let said = [claim.status.condition(names::FINISHED), sandbox.status.condition(names::FINISHED)];
    false_end(told.condition(names::FINISHED)?, &said, &pods)
}

/// Returns the name that nobody has, as a claim is told, although the process that says so was not told so by the server since
/// it was shown somebody who had it: a watch that lags shows the end of a predecessor long after a successor is there. What is no
/// name nobody can have.
fn unasked(process: u8, claim: &Claim, reason: &str, (known, store): (&Known, &Store)) -> Option<Text> {
    let pool = claim.meta.key.sibling(claim.pool.clone());
    let absent = match reason {
        "WarmPoolNotFound" => Some((Kind::Pool, pool)),
        "TemplateNotFound" => {
            let object = store.get(Kind::Pool, &pool).filter(|pool| known.sees(process, pool));
            as_pool(object).map(|it| (Kind::Template, pool.sibling(it.template.clone())))
        }
        _ => None,
    };
    let absent = absent.filter(|(_, key)| is_subdomain(&key.name));
    let (_, key) = absent.filter(|(kind, key)| !known.was_told_absent(process, *kind, key))?;
    Some(key.name)
}

/// Returns the sandbox that has the name of a claim's own, as the claim is told, if it is that of a former claim of the name and
/// will be collected: that passes by itself.
fn passing<'a>(
    process: u8,
    claim: &Claim,
    message: &str,
    (known, store): (&Known, &'a Store),
) -> Option<&'a Text> {
    let object =
        store.get(Kind::Sandbox, &claim.meta.key).filter(|_| message.contains("is not controlled"))?;
    let owner = object.meta().owner_of_kind(Kind::Claim).filter(|_| known.sees(process, object))?;
    let is_of_namesake = object.meta().owner.as_ref().is_some_and(|it| it.name == claim.meta.key.name);
    (is_of_namesake && owner != claim.meta.uid).then_some(&object.key().name)
}

/// What a sandbox has come to is nothing to the claim any more that has lost it, or was given more time. One that has
/// expired says how it ended.
fn left_over(claim: &Claim, told: &ClaimStatus) -> Option<String> {
    let is_over = |status: &ClaimStatus| {
        status.condition(names::READY).is_some_and(|ready| &*ready.reason == names::CLAIM_EXPIRED)
    };
    let is_lost = claim.status.sandbox.is_some() || is_over(&claim.status);
    told.condition(names::FINISHED).filter(|_| is_lost && !is_over(told))?;
    Some("Finished of a sandbox that it has not any more,".to_owned())
}

/// Returns why a sandbox with these Pods is not ready at these addresses.
fn flaw(pods: &[&Pod], told: &[Text]) -> Option<String> {
    let [pod] = pods else { return Some(format!("it has {} Pods", pods.len())) };
    let name = &pod.meta.key.name;
    if pod.meta.terminating {
        return Some(format!("Pod {name} is being deleted"));
    }
    if pod.phase != Phase::Running || !pod.ready {
        return Some(format!(
            "Pod {name} is {} and {}ready",
            pod.phase.as_str(),
            if pod.ready { "" } else { "not " }
        ));
    }
    (pod.ips.is_empty() || pod.ips != *told).then(|| format!("Pod {name} is at [{}]", pod.ips.join(", ")))
}

/// Returns whether it is news that a sandbox has finished, and no Pod has ended by itself: one that is being deleted ends on
/// the way, which says nothing about its work.
fn false_end(told: &Condition, said: &[Option<&Condition>], pods: &[&Pod]) -> Option<String> {
    let is_news = said.iter().flatten().all(|said| said.reason != told.reason);
    let has_ended = pods.iter().any(|pod| pod.phase.is_terminal() && !pod.meta.terminating);
    (is_news && !has_ended).then(|| "Finished, although no Pod has ended by itself,".to_owned())
}
