//! What each sandbox consists of in the end, and what it says.

use agent_sandbox_core::id::{Key, Kind, Text};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{
    Condition, Dependent, Object, OwnerKind, Phase, Pod, Sandbox, ShutdownPolicy, Truth,
};

use super::parts;
use crate::scene;
use crate::store::Store;

/// Returns what is wrong with the first sandbox that is not what it must be.
///
/// INV-22, INV-23, INV-24 and CON-030, CON-033, CON-036, CON-039: one look at the status is enough. Every shutdown time
/// has passed when this is asked.
pub fn difference(store: &Store) -> Option<String> {
    let sandboxes = store.list(Kind::Sandbox).iter().filter_map(Object::as_sandbox);
    let mut wrong = sandboxes.filter_map(|sandbox| lie(sandbox, store).map(|lie| (sandbox, lie)));
    wrong.next().map(|(sandbox, lie)| format!("sandbox {} {lie}", sandbox.meta.key.name))
}

/// Returns what is wrong with a sandbox.
fn lie(sandbox: &Sandbox, store: &Store) -> Option<String> {
    let pods: Vec<&Pod> = store.owned_by(Kind::Pod, sandbox.meta.uid).filter_map(Object::as_pod).collect();
    let status = &sandbox.status;
    let stale = status.conditions.iter().find(|it| it.observed != sandbox.meta.generation);
    if let Some(stale) = stale {
        return Some(format!("says {} of generation {}", stale.kind, stale.observed));
    }
    if let Some(unclear) = status.conditions.iter().find_map(|condition| unclear(condition, sandbox, store)) {
        return Some(unclear);
    }
    let said = |kind: &str| status.condition(kind).map_or("nothing", |it| &it.reason).to_owned();
    let says = |kind: &str, reason: &str| {
        (said(kind) != reason).then(|| format!("says {kind} {} instead of {reason}", said(kind)))
    };
    if let Some(lie) = lie_of_service(sandbox, store) {
        return Some(lie);
    }
    let is_barred = is_barred(sandbox, store);
    let other =
        store.get(Kind::Pod, &sandbox.meta.key).filter(|pod| !pod.meta().is_owned_by(sandbox.meta.uid));
    if let Some(shutdown) = sandbox.shutdown {
        if shutdown.policy == ShutdownPolicy::Delete || !pods.is_empty() {
            return Some("has not ended".to_owned());
        }
        let shows = !status.pod_ips.is_empty()
            || !status.node.is_empty()
            || !status.selector.is_empty()
            || status.condition(names::POD_SCHEDULED).is_some();
        let lie = shows.then(|| "has expired and still shows its Pod".to_owned());
        return says(names::READY, names::EXPIRED).or(lie);
    }
    if let Some(noted) = wrong_note(sandbox, store).filter(|_| pods.len() < 2) {
        return Some(format!("notes Pod {noted}, which it cannot have"));
    }
    if sandbox.suspended {
        if !pods.is_empty() || !status.pod_ips.is_empty() {
            return Some("is not suspended".to_owned());
        }
        if status.condition(names::POD_SCHEDULED).is_some() {
            return Some("is suspended and says where its Pod is to run".to_owned());
        }
        let reason = if other.is_some() { "PodNotOwned" } else { "PodTerminated" };
        let ready = if is_barred { "ReconcilerError" } else { "SandboxSuspended" };
        return says(names::READY, ready).or_else(|| says(names::SUSPENDED, reason));
    }
    if let Some(lack) = lack_of_volume(sandbox, store).or_else(|| wrong_client(sandbox, store)) {
        return Some(lack);
    }
    match pods[..] {
        [] if is_blocked(sandbox, store) => says(names::READY, "ReconcilerError"),
        [] => Some("has no Pod".to_owned()),
        [_] if is_barred => says(names::READY, "ReconcilerError"),
        [pod] => {
            let finished = match pod.phase {
                Phase::Succeeded => "PodSucceeded",
                Phase::Failed => "PodFailed",
                Phase::Pending | Phase::Running | Phase::Unknown => "nothing",
            };
            lie_of_pod(sandbox, pod)
                .or_else(|| says(names::FINISHED, finished))
                .or_else(|| lack_of_labels(sandbox, pod))
        }
        _ => says(names::READY, names::MULTIPLE_PODS),
    }
}

/// Returns what a sandbox says of its only Pod that is not so: where and how it is, and how clients find it (META-040,
/// SCND-001 to SCND-050).
fn lie_of_pod(sandbox: &Sandbox, pod: &Pod) -> Option<String> {
    let (status, name) = (&sandbox.status, &pod.meta.key.name);
    let is_ready = status.condition(names::READY).is_some_and(|ready| ready.status == Truth::True);
    if is_ready != pod.ready || status.pod_ips != pod.ips || status.node != pod.node {
        return Some(format!("shows its Pod {name} as it is not"));
    }
    let noted = sandbox.meta.annotation(names::POD_NAME);
    if noted != Some(name) {
        return Some(format!("notes Pod {noted:?} as its own, which is {name}"));
    }
    let selector = format!("{}={}", names::SANDBOX_NAME_HASH, names::name_hash(&sandbox.meta.key.name));
    if *status.selector != *selector {
        return Some(format!("says that {:?} selects its Pod", status.selector));
    }
    let wanted = match &pod.scheduled {
        Some((truth, reason, _)) if !reason.is_empty() => (*truth, &**reason),
        Some((Truth::True, ..)) => (Truth::True, "PodScheduled"),
        Some((truth @ (Truth::False | Truth::Unknown), ..)) => (*truth, "PodSchedulingUnknown"),
        None => (Truth::Unknown, "PodSchedulingUnknown"),
    };
    let told = status.condition(names::POD_SCHEDULED).map(|told| (told.status, &*told.reason));
    (told != Some(wanted)).then(|| format!("says PodScheduled {told:?} instead of {wanted:?} of Pod {name}"))
}

/// Returns what is wrong with whose a claim's sandbox says that it is (KEY-006).
fn wrong_client(sandbox: &Sandbox, store: &Store) -> Option<String> {
    let claim = store.find(Kind::Claim, sandbox.meta.owner_of_kind(Kind::Claim)?)?;
    let [wanted, has] = [claim.meta(), &sandbox.meta].map(|meta| meta.label(names::CREATED_BY));
    (wanted != has).then(|| format!("says that {has:?} has asked for it, and its claim {wanted:?}"))
}

/// Returns the Pod of another name that a sandbox notes, if it is not its own and will not be: it is not there, it is
/// somebody's, or the sandbox is to have none (SBX-051, SBX-062, SBX-070).
fn wrong_note(sandbox: &Sandbox, store: &Store) -> Option<Text> {
    let noted = sandbox.meta.annotation(names::POD_NAME).filter(|noted| **noted != sandbox.meta.key.name)?;
    let pod = store.get(Kind::Pod, &sandbox.meta.key.sibling(noted.clone()));
    let may_be_had = pod.is_some_and(|pod| match &pod.meta().owner {
        Some(owner) => owner.uid == sandbox.meta.uid,
        None => !sandbox.suspended,
    });
    (!may_be_had).then(|| noted.clone())
}

/// Returns whether a Pod that it cannot have is where its own should be.
fn is_blocked(sandbox: &Sandbox, store: &Store) -> bool {
    let name = sandbox.meta.annotation(names::POD_NAME).unwrap_or(&sandbox.meta.key.name);
    let pod = store.get(Kind::Pod, &sandbox.meta.key.sibling(name.clone()));
    pod.is_some_and(|pod| {
        let label = |key: &str| pod.meta().label(key).map(|value| &**value);
        let marked = label(names::ADOPTABLE) == Some("true")
            || label(names::SANDBOX_NAME_HASH) == Some(&*names::name_hash(&sandbox.meta.key.name));
        pod.meta().owner.is_some() || !marked
    })
}

/// Returns what is wrong with a sandbox's Service.
fn lie_of_service(sandbox: &Sandbox, store: &Store) -> Option<String> {
    if store.owned_by(Kind::Pod, sandbox.meta.uid).count() > 1 && !sandbox.suspended {
        return None;
    }
    let own = store.owned_by(Kind::Service, sandbox.meta.uid).next().and_then(Object::as_dependent);
    let told = &sandbox.status.service;
    let is_over = sandbox.shutdown.is_some();
    match own {
        Some(_) if is_over || sandbox.service == Some(false) => Some("still has a Service".to_owned()),
        Some(service) => {
            let selector = service.spec.value()["selector"].clone();
            let right =
                serde_json::json!({ names::SANDBOX_NAME_HASH: &*names::name_hash(&sandbox.meta.key.name) });
            let is_wrong = selector != right || *told != service.meta.key.name;
            let wrong = is_wrong.then(|| "has a Service that is not as it says".to_owned());
            let hash = names::name_hash(&sandbox.meta.key.name);
            let is_lost = service.meta.label(names::SANDBOX_NAME_HASH) != Some(&hash);
            let lost = || is_lost.then(|| "has a Service without the label by which it is found".to_owned());
            wrong.or_else(lost).or_else(|| lie_of_address(sandbox, service)).or_else(|| {
                parts::lack_of_service(sandbox, service).filter(|_| sandbox.service == Some(true))
            })
        }
        None if !told.is_empty() || !sandbox.status.service_fqdn.is_empty() => {
            Some("names a Service that it does not have".to_owned())
        }
        None => {
            let is_missing =
                sandbox.service == Some(true) && !is_over && !is_taken(Kind::Service, sandbox, "", store);
            is_missing.then(|| "has no Service".to_owned())
        }
    }
}

/// Returns what is wrong with the name under which clients reach a sandbox's Service: the cluster's domain is the usual one.
fn lie_of_address(sandbox: &Sandbox, service: &Dependent) -> Option<String> {
    let Key { namespace, name } = &service.meta.key;
    let (right, told) = (format!("{name}.{namespace}.svc.cluster.local"), &sandbox.status.service_fqdn);
    (**told != *right).then(|| format!("says that its Service is at {told:?} instead of {right:?}"))
}

/// Returns whether a Service or a volume claim that it needs is somebody else's.
fn is_barred(sandbox: &Sandbox, store: &Store) -> bool {
    let wants_service = sandbox.service == Some(true);
    let mut names = names_of_volumes(sandbox).into_iter().map(|volume| format!("{volume}-"));
    (wants_service && is_taken(Kind::Service, sandbox, "", store))
        || names.any(|prefix| is_taken(Kind::VolumeClaim, sandbox, &prefix, store))
}

/// Returns whether somebody else has, for good, what a sandbox wants under its name.
fn is_taken(kind: Kind, sandbox: &Sandbox, prefix: &str, store: &Store) -> bool {
    let key = sandbox.meta.key.sibling(format!("{prefix}{}", sandbox.meta.key.name));
    store.get(kind, &key).is_some_and(|holder| !holder.meta().is_owned_by(sandbox.meta.uid))
}

fn names_of_volumes(sandbox: &Sandbox) -> Vec<String> {
    sandbox.volume_claims.as_ref().map(parts::names_of).unwrap_or_default()
}

/// Returns which of a sandbox's volumes is not there. What comes after one that it cannot have is not made (SBX-043).
fn lack_of_volume(sandbox: &Sandbox, store: &Store) -> Option<String> {
    let is_had = |name: &String| !is_taken(Kind::VolumeClaim, sandbox, &format!("{name}-"), store);
    let missing = names_of_volumes(sandbox).into_iter().take_while(is_had).find(|name| {
        let key = sandbox.meta.key.sibling(format!("{name}-{}", sandbox.meta.key.name));
        store.get(Kind::VolumeClaim, &key).is_none()
    });
    missing.map(|name| format!("has no volume {name}"))
}

/// Returns what is wrong with a message of which users know what it says (SCND-010 to SCND-045).
fn unclear(told: &Condition, sandbox: &Sandbox, store: &Store) -> Option<String> {
    if let Some(untold) = untold(told, sandbox, store) {
        return Some(format!("says {:?}, and not {untold}", told.message));
    }
    let is_served =
        sandbox.service != Some(false) && store.owned_by(Kind::Service, sandbox.meta.uid).next().is_some();
    let wanted = match (&*told.kind, &*told.reason) {
        (_, "NotSuspended") => "Sandbox is not suspended",
        (_, "PodTerminated") => "Pod has been terminated. Sandbox is suspended",
        (_, "PodSucceeded") => "Pod completed successfully",
        (_, "PodFailed") => "Pod failed",
        (names::READY, names::EXPIRED) => "Sandbox has expired",
        (names::READY, "DependenciesReady") if is_served => "Pod is Ready; Service Exists",
        (names::READY, "DependenciesReady") => "Pod is Ready",
        _ => return None,
    };
    (*told.message != *wanted).then(|| format!("says {:?} instead of {wanted:?}", told.message))
}

/// Returns what a message leaves out: how many Pods there are, or which of the things that a sandbox cannot have.
fn untold(told: &Condition, sandbox: &Sandbox, store: &Store) -> Option<String> {
    if &*told.reason == names::MULTIPLE_PODS {
        let count = store.owned_by(Kind::Pod, sandbox.meta.uid).count();
        return (!told.message.contains(&format!("({count})"))).then(|| format!("that there are {count}"));
    }
    if &*told.reason != "ReconcilerError" {
        return None;
    }
    let name = &sandbox.meta.key.name;
    let is_served = (sandbox.service == Some(true) && is_taken(Kind::Service, sandbox, "", store))
        .then(|| format!("service {name:?}"));
    let volumes = names_of_volumes(sandbox).into_iter();
    let taken = volumes.filter(|volume| is_taken(Kind::VolumeClaim, sandbox, &format!("{volume}-"), store));
    // Of several volumes the first is told.
    let volume = taken.map(|volume| format!("PVC \"{volume}-{name}\"")).next();
    is_served.into_iter().chain(volume).find(|part| !told.message.contains(part))
}

/// INV-24: the network policy and the Service find a Pod by its labels.
fn lack_of_labels(sandbox: &Sandbox, pod: &Pod) -> Option<String> {
    let hash = names::name_hash(&sandbox.meta.key.name);
    let is_of_ours = sandbox
        .meta
        .owner
        .as_ref()
        .is_some_and(|owner| matches!(owner.kind, OwnerKind::Known(Kind::Claim | Kind::Pool)));
    let template = sandbox.meta.label(names::TEMPLATE_REF_HASH).filter(|_| is_of_ours);
    let own = sandbox.pod.labels.iter().filter(|(key, _)| !is_of_system(key));
    let own = own.map(|(key, value)| (&**key, value));
    let wanted = [(names::SANDBOX_NAME_HASH, &hash)].into_iter();
    let mut missing = wanted.chain(own).filter(|(key, value)| pod.meta.label(key) != Some(*value));
    if let Some((key, value)) = missing.next() {
        return Some(format!("has a Pod without {key}={value}"));
    }
    let mut notes = sandbox.pod.annotations.iter().filter(|(key, _)| !is_of_system(key));
    if let Some((key, _)) = notes.find(|(key, value)| pod.meta.annotations.get(key) != Some(*value)) {
        return Some(format!("has a Pod without annotation {key}"));
    }
    let recorded = [
        (names::PROPAGATED_LABELS, &sandbox.pod.labels),
        (names::PROPAGATED_ANNOTATIONS, &sandbox.pod.annotations),
    ];
    for (record, given) in recorded {
        let keys: Vec<&str> = given.keys().map(|key| &**key).filter(|key| !is_of_system(key)).collect();
        let has = pod.meta.annotation(record).map_or("", |keys| &**keys);
        if has != keys.join(",") {
            return Some(format!("has a Pod that notes {has:?} as given to it, and {keys:?} are"));
        }
    }
    let is_member = sandbox.meta.owner_of_kind(Kind::Pool).is_some();
    let pool = sandbox.meta.label(names::WARM_POOL).filter(|_| is_member).map(|pool| &**pool);
    // What is no client's is told of as unknown, so that nobody can make up a value that means something (META-034).
    let client = sandbox.meta.label(names::CREATED_BY).map(|client| match &**client {
        known @ ("go-client" | "python-client" | "controller") => known,
        _ => "unknown",
    });
    // The policy of a template is not for the Pods of sandboxes that users make.
    let template = template.map(|template| &**template);
    let system =
        [(names::TEMPLATE_REF_HASH, template), (names::WARM_POOL, pool), (names::CREATED_BY, client)];
    let wrong = system.into_iter().find_map(|(key, wanted)| {
        let has = pod.meta.label(key).map(|value| &**value);
        (has != wanted).then(|| format!("has a Pod with {key} {has:?} instead of {wanted:?}"))
    });
    // Users put on Pods what they like.
    let is_taken = pod.meta.annotation(scene::TAKEN).is_some();
    let ours = [
        names::SANDBOX_NAME_HASH,
        names::TEMPLATE_REF_HASH,
        names::WARM_POOL,
        names::CREATED_BY,
        names::ADOPTABLE,
    ];
    let reserved = pod.meta.labels.keys().find(|key| is_of_system(key) && !ours.contains(&&***key));
    let stray =
        reserved.filter(|_| !is_taken).map(|key| format!("has a Pod with {key}, which is not for Pods"));
    let noted = [names::PROPAGATED_LABELS, names::PROPAGATED_ANNOTATIONS];
    let mut notes = pod.meta.annotations.keys().filter(|key| is_of_system(key));
    let odd = notes.find(|key| !noted.contains(&&***key));
    let odd = odd.map(|key| format!("has a Pod with annotation {key}, which is not for Pods"));
    wrong.or(stray).or(odd)
}

/// Returns whether a label or an annotation is the controllers' own, so that no template gives it to a Pod (META-020).
fn is_of_system(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    ["agents.x-k8s.io", "extensions.agents.x-k8s.io"].contains(&domain) || key == names::TRACE_CONTEXT
}
