//! What a sandbox's status says, given what stands where its Pod should be.

use alloc::borrow::{Cow, ToOwned};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::make::{Told, says, set_condition};
use crate::names;
use crate::object::{Dependent, Phase, Pod, Sandbox, SandboxStatus, Truth};
use crate::parts::{Serving, Volumes, Whose, refusal};
use crate::time::Wall;
use crate::view::Backing;

/// What a sandbox consists of.
pub(crate) struct Parts<'a> {
    pub(crate) backing: Backing<'a>,
    pub(crate) serving: Serving<'a>,
    pub(crate) volumes: Volumes<'a>,
    /// Why the server refuses a volume claim, the Pod and the Service, where it does.
    pub(crate) refused: [Option<&'a str>; 3],
    /// [`Config::cluster_domain`](crate::config::Config::cluster_domain).
    pub(crate) domain: &'a str,
}

impl<'a> Parts<'a> {
    /// Returns the sandbox's own Service, if it is to have one.
    fn service(&self, sandbox: &Sandbox) -> Option<&'a Dependent> {
        let Serving::Own(service) = &self.serving else { return None };
        Some(*service).filter(|_| sandbox.service != Some(false))
    }
}

/// Returns the status that a sandbox should show (SCND-001 to SCND-050, SBX-032): borrowed while that is what it shows.
///
/// `expired` says whether its time is over, which is a matter of whose clock counts.
pub(crate) fn sandbox_status<'a>(
    sandbox: &'a Sandbox,
    parts: &Parts<'_>,
    expired: bool,
    now: Wall,
) -> Cow<'a, SandboxStatus> {
    let (backing, shown) = (&parts.backing, &sandbox.status);
    let mut status = Cow::Borrowed(shown);
    let told = [
        (names::SUSPENDED, suspended(sandbox, backing, expired)),
        (names::FINISHED, finished(sandbox, backing, expired)),
        (names::POD_SCHEDULED, if expired { None } else { scheduled(sandbox, parts) }),
        (names::READY, Some(readiness(sandbox, parts, expired))),
    ];
    let generation = sandbox.meta.generation;
    for (kind, told) in told {
        match told {
            Some(told) if !says(&shown.conditions, kind, &told, generation) => {
                set_condition(&mut status.to_mut().conditions, kind, told, generation, now);
            }
            None if shown.condition(kind).is_some() => {
                status.to_mut().conditions.retain(|condition| &*condition.kind != kind);
            }
            Some(_) | None => {}
        }
    }
    let pod = backing.own().filter(|_| !expired);
    let pod_ips = pod.map_or(&[][..], |pod| &pod.ips);
    if shown.pod_ips != pod_ips {
        status.to_mut().pod_ips = pod_ips.to_vec();
    }
    if pod.map_or("", |pod| &pod.node) != &*shown.node {
        status.to_mut().node = pod.map_or_else(|| "".into(), |pod| pod.node.clone());
    }
    if expired {
        if !shown.selector.is_empty() {
            status.to_mut().selector = "".into();
        }
    } else if (pod.is_some() || (sandbox.suspended && is_seen(backing)))
        // It names whatever Pod there will be, so it stays when one is gone (GAP-025).
        && !names::is_hash_selector(&shown.selector, names::SANDBOX_NAME_HASH, &sandbox.meta.key.name)
    {
        status.to_mut().selector = names::hash_selector(names::SANDBOX_NAME_HASH, &sandbox.meta.key.name);
    }
    let service = parts.service(sandbox).filter(|_| !expired).map(|service| &service.meta.key);
    let name = service.map_or("", |key| &key.name);
    let fqdn = service.map_or_else(
        || Cow::Borrowed(""),
        |key| format!("{}.{}.svc.{}", key.name, key.namespace, parts.domain).into(),
    );
    if (&*shown.service, &*shown.service_fqdn) != (name, &*fqdn) {
        let status = status.to_mut();
        (status.service, status.service_fqdn) = (name.into(), fqdn.into());
    }
    status
}

/// Returns whether there is a Pod, of whomever.
const fn is_seen(backing: &Backing<'_>) -> bool {
    matches!(backing, Backing::Own(_) | Backing::Many(_) | Backing::Other(..))
}

fn suspended(sandbox: &Sandbox, backing: &Backing<'_>, expired: bool) -> Option<Told<'static>> {
    if expired && sandbox.status.condition(names::SUSPENDED).is_none() {
        return None;
    }
    let (status, reason, message) = match backing {
        _ if !sandbox.suspended => (Truth::False, "NotSuspended", "Sandbox is not suspended"),
        Backing::Own(_) | Backing::Many(_) | Backing::Coming { is_own: true, .. } => {
            (Truth::False, "PodTerminating", "Pod is terminating. Sandbox is suspending")
        }
        Backing::Other(..) => {
            (Truth::False, "PodNotOwned", "Refused to delete pod because it is not owned by this sandbox")
        }
        Backing::None
        | Backing::Leaving
        | Backing::Elsewhere { .. }
        | Backing::Coming { is_own: false, .. } => {
            (Truth::True, "PodTerminated", "Pod has been terminated. Sandbox is suspended")
        }
    };
    Some((status, reason.into(), message.into()))
}

fn finished<'a>(sandbox: &'a Sandbox, backing: &Backing<'a>, expired: bool) -> Option<Told<'a>> {
    let pod = backing.own();
    let kept = match pod {
        // A Pod that is being deleted ends on the way, which says nothing about its work (GAP-009).
        Some(pod) => pod.meta.terminating,
        None => expired,
    };
    if kept {
        let known = sandbox.status.condition(names::FINISHED)?;
        return Some((known.status, (*known.reason).into(), (*known.message).into()));
    }
    ending(pod?)
}

fn ending(pod: &Pod) -> Option<Told<'static>> {
    match pod.phase {
        Phase::Succeeded => Some((Truth::True, "PodSucceeded".into(), "Pod completed successfully".into())),
        Phase::Failed => Some((Truth::True, "PodFailed".into(), "Pod failed".into())),
        Phase::Pending | Phase::Running | Phase::Unknown => None,
    }
}

fn scheduled<'a>(sandbox: &Sandbox, parts: &Parts<'a>) -> Option<Told<'a>> {
    let backing = &parts.backing;
    let unknown =
        |message: &'static str| Some((Truth::Unknown, "PodSchedulingUnknown".into(), message.into()));
    let Some(pod) = backing.own() else {
        let is_unclear = matches!(backing, Backing::Many(_)) && !sandbox.suspended;
        let is_refused = is_unclear || pod_trouble(sandbox, parts).is_some();
        return unknown("Pod state is unknown. Pod scheduling cannot be determined").filter(|_| is_refused);
    };
    let Some((status, reason, message)) = &pod.scheduled else {
        return unknown("Pod has not reported a PodScheduled condition yet");
    };
    let reason = match (reason.is_empty(), status) {
        (false, _) => (**reason).into(),
        (true, Truth::True) => "PodScheduled".into(),
        (true, Truth::False | Truth::Unknown) => "PodSchedulingUnknown".into(),
    };
    Some((*status, reason, (**message).into()))
}

fn readiness(sandbox: &Sandbox, parts: &Parts<'_>, expired: bool) -> Told<'static> {
    let backing = &parts.backing;
    if expired {
        return (Truth::False, names::EXPIRED.into(), "Sandbox has expired".into());
    }
    if let (Backing::Many(count), false) = (backing, sandbox.suspended) {
        let message = format!(
            "multiple Pods ({count}) are controlled by this Sandbox; refusing to choose or create a Pod"
        );
        return (Truth::False, names::MULTIPLE_PODS.into(), message.into());
    }
    let troubles = [volume_trouble(parts), pod_trouble(sandbox, parts), service_trouble(parts)];
    let troubles: Vec<String> = troubles.into_iter().flatten().collect();
    if !troubles.is_empty() {
        let message = format!("Error seen: {}", troubles.join("\n"));
        return (Truth::False, "ReconcilerError".into(), message.into());
    }
    if sandbox.suspended {
        let is_going = is_seen(backing) || matches!(backing, Backing::Coming { is_own: true, .. });
        let message = if is_going { "Sandbox is suspending" } else { "Sandbox is suspended" };
        return (Truth::False, "SandboxSuspended".into(), message.into());
    }
    with_service(pod_readiness(backing.own()), sandbox, parts)
}

/// Returns what is wrong with a volume claim.
fn volume_trouble(parts: &Parts<'_>) -> Option<String> {
    match &parts.volumes {
        Volumes::Barred(why) => Some(why.clone()),
        Volumes::Fine | Volumes::Missing(_) | Volumes::Free(_) => parts.refused[0].map(ToOwned::to_owned),
    }
}

/// Returns what is wrong with the Pod that stands in the way of the sandbox's own, or why there can be none.
fn pod_trouble(sandbox: &Sandbox, parts: &Parts<'_>) -> Option<String> {
    let Backing::Other(pod, Whose::Unmarked | Whose::Another) = &parts.backing else {
        return parts.refused[1].filter(|_| parts.backing.own().is_none()).map(ToOwned::to_owned);
    };
    (!sandbox.suspended).then(|| refusal("pod", sandbox, &pod.meta))
}

/// Returns what is wrong with the Service.
fn service_trouble(parts: &Parts<'_>) -> Option<String> {
    match &parts.serving {
        Serving::Barred(why) => Some(why.clone()),
        Serving::None | Serving::Leaving | Serving::Own(_) | Serving::Free(_) => {
            parts.refused[2].map(ToOwned::to_owned)
        }
    }
}

/// Adds to what is said of the Pod whether the Service is there, where there should be one (SCND-045).
fn with_service(told: Told<'static>, sandbox: &Sandbox, parts: &Parts<'_>) -> Told<'static> {
    let (status, reason, message) = told;
    let has_ended = reason.starts_with("Pod");
    let exists = parts.service(sandbox).is_some();
    if has_ended || !sandbox.service.unwrap_or(exists) {
        return (status, reason, message);
    }
    if exists {
        return (status, reason, format!("{message}; Service Exists").into());
    }
    let message = format!("{message}; Service does not exist");
    (Truth::False, "DependenciesNotReady".into(), message.into())
}

fn pod_readiness(pod: Option<&Arc<Pod>>) -> Told<'static> {
    let not_ready = |message: Cow<'static, str>| (Truth::False, "DependenciesNotReady".into(), message);
    let Some(pod) = pod else { return not_ready("Pod does not exist".into()) };
    if pod.meta.terminating {
        // A Pod that is going may still report Ready, but nobody should begin to use it (GAP-010).
        return not_ready("Pod is terminating".into());
    }
    if let Some((_, reason, message)) = ending(pod) {
        return (Truth::False, reason, message);
    }
    match (pod.phase, pod.ready, pod.ips.is_empty()) {
        (Phase::Running, true, false) => (Truth::True, "DependenciesReady".into(), "Pod is Ready".into()),
        (Phase::Running, true, true) => not_ready("Pod is Ready but has no podIPs yet".into()),
        (Phase::Running, false, _) => not_ready("Pod is Running but not Ready".into()),
        (phase, _, _) => not_ready(format!("Pod exists with phase: {}", phase.as_str()).into()),
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use crate::rules::testing::check_status;

    const NOT_SUSPENDED: &str = "Suspended=False NotSuspended: Sandbox is not suspended";
    const UNREPORTED: &str =
        "PodScheduled=Unknown PodSchedulingUnknown: Pod has not reported a PodScheduled condition yet";
    const UNKNOWN: &str = "PodScheduled=Unknown PodSchedulingUnknown: Pod state is unknown. Pod scheduling cannot be \
                           determined";
    const PLACE: &str = "10.0.0.1 node agents.x-k8s.io/sandbox-name-hash=0851b8c9";
    const SELECTOR: &str = "agents.x-k8s.io/sandbox-name-hash=0851b8c9";

    /// SACC-045.
    /// SCND-003, SCND-010, SCND-031, SCND-044; SACC-013.
    #[test]
    fn a_pod_on_its_way_is_told_step_by_step() {
        let not_ready = |message: &str| format!("Ready=False DependenciesNotReady: {message}");
        check_status("sandbox s1 nopod", &[NOT_SUSPENDED, &not_ready("Pod does not exist")]);
        let told = [NOT_SUSPENDED, UNREPORTED, &not_ready("Pod exists with phase: Pending"), SELECTOR];
        check_status("sandbox s1 starting", &told);
        let told = [NOT_SUSPENDED, UNREPORTED, &not_ready("Pod is Running but not Ready"), PLACE];
        check_status("sandbox s1 reachable", &told);
        let place = "node agents.x-k8s.io/sandbox-name-hash=0851b8c9";
        let told = [NOT_SUSPENDED, UNREPORTED, &not_ready("Pod is Ready but has no podIPs yet"), place];
        check_status("sandbox s1 ready untold noaddress", &told);
        let ready = "Ready=True DependenciesReady: Pod is Ready";
        check_status("sandbox s1 ready untold", &[NOT_SUSPENDED, UNREPORTED, ready, PLACE]);
    }

    /// SCND-032, SCND-033; SACC-018, SACC-020.
    #[test]
    fn what_the_scheduler_says_is_passed_on() {
        let ready = "Ready=True DependenciesReady: Pod is Ready";
        let told = [NOT_SUSPENDED, "PodScheduled=True PodScheduled: ", ready, PLACE];
        check_status("sandbox s1 ready untold scheduled", &told);
        let pending = "Ready=False DependenciesNotReady: Pod exists with phase: Pending";
        let told = [NOT_SUSPENDED, "PodScheduled=False Unschedulable: 0/3 nodes", pending, SELECTOR];
        check_status("sandbox s1 starting unschedulable", &told);
    }

    /// SCND-020, SCND-043; SACC-014, SACC-015.
    #[test]
    fn a_pod_that_has_ended_finishes_its_sandbox() {
        for (pod, reason, message) in [
            ("ended", "PodFailed", "Pod failed"),
            ("succeeded", "PodSucceeded", "Pod completed successfully"),
        ] {
            let finished = format!("Finished=True {reason}: {message}");
            let ready = format!("Ready=False {reason}: {message}");
            let told = [NOT_SUSPENDED, &finished, UNREPORTED, &ready, SELECTOR];
            check_status(&format!("sandbox s1 {pod}"), &told);
        }
    }

    /// GAP-009: the original says Finished of a Pod that ends because it is deleted, and claims then count down to their
    /// end. GAP-010: it says Ready of a Pod that is going.
    #[test]
    fn a_pod_that_is_going_is_neither_finished_nor_ready() {
        let going = "Ready=False DependenciesNotReady: Pod is terminating";
        check_status("sandbox s1 ended podgoing", &[NOT_SUSPENDED, UNREPORTED, going, SELECTOR]);
        check_status("sandbox s1 ready untold podgoing", &[NOT_SUSPENDED, UNREPORTED, going, PLACE]);
    }

    /// SACC-052, SACC-053, SACC-144.
    /// SCND-012, SCND-013, SCND-014, SCND-042, SCND-060, SBX-032; SACC-006, SACC-009.
    #[test]
    fn a_suspended_sandbox_says_how_far_it_is() {
        let suspending = "Suspended=False PodTerminating: Pod is terminating. Sandbox is suspending";
        let ready = "Ready=False SandboxSuspended: Sandbox is suspending";
        check_status("sandbox s1 ready untold suspended", &[suspending, UNREPORTED, ready, PLACE]);
        let suspended = "Suspended=True PodTerminated: Pod has been terminated. Sandbox is suspended";
        let ready = "Ready=False SandboxSuspended: Sandbox is suspended";
        check_status("sandbox s1 nopod suspended", &[suspended, ready]);
    }

    /// INV-22: a create whose answer was lost may still make a Pod.
    #[test]
    fn a_sandbox_is_not_suspended_while_a_pod_of_it_may_come() {
        let suspending = "Suspended=False PodTerminating: Pod is terminating. Sandbox is suspending";
        let ready = "Ready=False SandboxSuspended: Sandbox is suspending";
        for note in ["", " notes=another"] {
            let world = format!("sandbox s1 nopod suspended{note}\nstarting s1");
            check_status(&world, &[suspending, ready]);
        }
    }

    /// SCND-012: the Pod of a former sandbox of its name, which may still land, is nothing to it.
    #[test]
    fn a_suspended_sandbox_does_not_wait_for_the_pod_of_its_predecessor() {
        let suspended = "Suspended=True PodTerminated: Pod has been terminated. Sandbox is suspended";
        let ready = "Ready=False SandboxSuspended: Sandbox is suspended";
        check_status("sandbox s1 nopod suspended\nstarting s1 former\nlost s1", &[suspended, ready]);
    }

    /// SCND-013, SBX-032, SHAZ-005; SACC-007, SACC-099. GAP-017: the end of such a Pod touches the sandbox.
    #[test]
    fn the_pod_of_another_is_told_and_shows_nothing() {
        let not_owned =
            "Suspended=False PodNotOwned: Refused to delete pod because it is not owned by this sandbox";
        let ready = "Ready=False SandboxSuspended: Sandbox is suspending";
        for pod in ["pod s1", "pod s1 of=another"] {
            let world = format!("sandbox s1 nopod suspended\n{pod}");
            check_status(&world, &[not_owned, ready, SELECTOR]);
        }
    }

    /// SCND-030, SCND-041, ERR-001, ERR-002.
    #[test]
    fn a_pod_that_cannot_be_had_is_told() {
        let refused = "Ready=False ReconcilerError: Error seen: cannot adopt unowned pod \"s1\": missing required pool \
                       authorization label (\"agents.x-k8s.io/adoptable\") or sandbox tracking label \
                       (\"agents.x-k8s.io/sandbox-name-hash\")";
        check_status("sandbox s1 nopod\npod s1", &[NOT_SUSPENDED, UNKNOWN, refused]);
        let foreign = "Ready=False ReconcilerError: Error seen: pod \"s1\" is owned by ReplicaSet/another (UID: \
                       00000000-0000-0000-0000-0000000003e7), not by sandbox \"s1\"";
        check_status("sandbox s1 nopod\npod s1 of=another", &[NOT_SUSPENDED, UNKNOWN, foreign]);
    }

    /// SCND-041, SACC-011: each in the server's words.
    #[test]
    fn what_the_server_refuses_is_told() {
        let world = "
            sandbox s1 nopod service=true volumes=a
            refused s1 service s1 age=0s no services
            refused s1 pod s1 age=0s no pods
            refused s1 volumeclaim a-s1 age=0s no volumes
        ";
        let ready = "Ready=False ReconcilerError: Error seen: no volumes\nno pods\nno services";
        check_status(world, &[NOT_SUSPENDED, UNKNOWN, ready]);
    }

    #[test]
    fn what_was_refused_and_is_there_or_not_wanted_is_not_told() {
        let ready = "Ready=True DependenciesReady: Pod is Ready";
        let told = [NOT_SUSPENDED, UNREPORTED, ready, PLACE];
        check_status("sandbox s1 ready untold\nrefused s1 pod s1 age=9s no pods", &told);
        check_status("sandbox s1 ready untold\nrefused s1 service s1 age=9s no services", &told);
        check_status(
            "sandbox s1 ready untold volumes=b\nrefused s1 volumeclaim a-s1 age=9s no volumes",
            &told,
        );
        let suspended = "Suspended=True PodTerminated: Pod has been terminated. Sandbox is suspended";
        let ready = "Ready=False SandboxSuspended: Sandbox is suspended";
        check_status("sandbox s1 nopod suspended\nrefused s1 pod s1 age=9s no pods", &[suspended, ready]);
    }

    #[test]
    fn a_pod_that_will_be_had_is_no_trouble() {
        let ready = "Ready=False DependenciesNotReady: Pod does not exist";
        for pod in ["pod s1 adoptable", "pod s1 terminating"] {
            check_status(&format!("sandbox s1 nopod\n{pod}"), &[NOT_SUSPENDED, ready]);
        }
    }

    /// SCND-040; SACC-021, SACC-095.
    #[test]
    fn several_pods_are_told_and_none_is_chosen() {
        let ready = "Ready=False MultiplePods: multiple Pods (2) are controlled by this Sandbox; refusing to choose or \
                     create a Pod";
        check_status("sandbox s1 starting\npod p2 of=s1", &[NOT_SUSPENDED, UNKNOWN, ready]);
        let world = "sandbox s1 starting volumes=a\npod p2 of=s1\nvolume a-s1 of=another";
        check_status(world, &[NOT_SUSPENDED, UNKNOWN, ready]);
    }

    /// SBX-088: the Service is told as before.
    #[test]
    fn a_service_is_told_beside_several_pods() {
        let ready = "Ready=False MultiplePods: multiple Pods (2) are controlled by this Sandbox; refusing to choose or \
                     create a Pod";
        let world = "sandbox s1 starting service=true\npod p2 of=s1\nservice s1 of=s1";
        check_status(world, &[NOT_SUSPENDED, UNKNOWN, ready, "s1 s1.ns.svc.cluster.local"]);
    }

    /// GAP-024.
    #[test]
    fn several_pods_can_be_suspended() {
        let suspending = "Suspended=False PodTerminating: Pod is terminating. Sandbox is suspending";
        let ready = "Ready=False SandboxSuspended: Sandbox is suspending";
        check_status("sandbox s1 starting suspended\npod p2 of=s1", &[suspending, ready, SELECTOR]);
    }

    /// SACC-216.
    /// SCND-050, SBX-020, SBX-025, SBX-026; SACC-046, SACC-143.
    #[test]
    fn an_expired_sandbox_keeps_what_it_was_and_shows_no_pod() {
        let ready = "Ready=False SandboxExpired: Sandbox has expired";
        check_status("sandbox s1 nopod over=now", &[ready]);
        check_status("sandbox s1 ready over=now", &[NOT_SUSPENDED, ready]);
        let finished = "Finished=True PodFailed: Pod failed";
        check_status("sandbox s1 ended over=now", &[finished, ready]);
    }

    /// CON-035, SBX-087, META-014.
    /// SCND-045; SACC-001, SACC-002, SACC-003, SACC-004, SACC-005, SACC-133.
    #[test]
    fn a_service_is_told_where_there_is_or_should_be_one() {
        let not_ready = |message: &str| format!("Ready=False DependenciesNotReady: {message}");
        let lacks = not_ready("Pod does not exist; Service does not exist");
        check_status("sandbox s1 nopod service=true", &[NOT_SUSPENDED, &lacks]);
        let place = "s1 s1.ns.svc.cluster.local";
        let exists = not_ready("Pod does not exist; Service Exists");
        check_status("sandbox s1 nopod\nservice s1 of=s1", &[NOT_SUSPENDED, &exists, place]);
        let lacks = not_ready("Pod is Ready; Service does not exist");
        check_status("sandbox s1 ready untold service=true", &[NOT_SUSPENDED, UNREPORTED, &lacks, PLACE]);
        let ready = "Ready=True DependenciesReady: Pod is Ready; Service Exists";
        let place = format!("{PLACE} s1 s1.ns.svc.cluster.local");
        let world = "sandbox s1 ready untold service=true\nservice s1 of=s1";
        check_status(world, &[NOT_SUSPENDED, UNREPORTED, ready, &place]);
        let world = "sandbox s1 ready untold service=false\nservice s1 of=s1";
        let ready = "Ready=True DependenciesReady: Pod is Ready";
        check_status(world, &[NOT_SUSPENDED, UNREPORTED, ready, PLACE]);
    }

    /// SCND-041, ERR-001, ERR-002, ERR-003, SBX-031; SACC-017.
    #[test]
    fn what_cannot_be_had_is_told_in_order() {
        let volume = "PVC \"a-s1\" is owned by ReplicaSet/another (UID: 00000000-0000-0000-0000-0000000003e7), not by \
                      sandbox \"s1\"";
        let service =
            "cannot adopt service \"s1\": ClusterIP is \"10.0.0.9\" (expected \"None\", field is immutable)";
        let ready = format!("Ready=False ReconcilerError: Error seen: {volume}\n{service}");
        let world = "
            sandbox s1 ready untold service=true volumes=a
            service s1 adoptable spec={\"clusterIP\":\"10.0.0.9\"}
            volume a-s1 of=another
        ";
        check_status(world, &[NOT_SUSPENDED, UNREPORTED, &ready, PLACE]);
    }

    /// GAP-018: the original is in error for ever beside a Service that it never asked for.
    #[test]
    fn the_service_of_another_is_no_trouble_unless_one_is_wanted() {
        let ready = "Ready=True DependenciesReady: Pod is Ready";
        let told = [NOT_SUSPENDED, UNREPORTED, ready, PLACE];
        check_status("sandbox s1 ready untold\nservice s1 of=another", &told);
    }

    /// GAP-020.
    #[test]
    fn a_name_that_no_service_can_have_is_told() {
        let ready = "Ready=False ReconcilerError: Error seen: service name \"s.1\" is invalid: it must have no dots and \
                     at most 63 characters";
        check_status("sandbox s.1 nopod service=true", &[NOT_SUSPENDED, ready]);
    }
}
