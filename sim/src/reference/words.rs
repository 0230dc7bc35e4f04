//! What a sandbox says where nothing of it is on its way, word for word (SCND-001 to SCND-060).

use agent_sandbox_core::id::{Key, Kind};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Condition, Meta, Object, OwnerKind, Phase, Pod, Sandbox, Truth};

use super::parts;
use crate::store::Store;

/// Status, reason and message of a condition.
pub type Word = (Truth, String, String);

/// What stands where a sandbox's Pod should be.
#[derive(Clone, Copy)]
enum Place<'a> {
    /// Nothing, or what will be gone by itself.
    Nothing,
    /// Its own Pod, going or not.
    Own(&'a Pod),
    /// So many of its own.
    Many(usize),
    /// A Pod that it may take.
    Free,
    /// A Pod that it cannot have.
    Foreign(&'a Meta),
}

/// Whose an object is that has the name of one of a sandbox's own.
enum Whose {
    Own,
    Free,
    /// It will be gone by itself.
    Leaving,
    Foreign,
}

/// Returns what is not as it must be of what a sandbox says, whose time is over or not, as the caller says.
pub fn difference(sandbox: &Sandbox, store: &Store, is_over: bool) -> Option<String> {
    let place = place(sandbox, store);
    let stale = sandbox.status.conditions.iter().find(|it| it.observed != sandbox.meta.generation);
    if let Some(stale) = stale {
        return Some(format!("says {} of generation {}", stale.kind, stale.observed));
    }
    let wanted = conditions(sandbox, store, is_over);
    let said = |kind: &str| sandbox.status.condition(kind).map(word);
    let wrong = wanted.into_iter().find(|(kind, wanted)| said(kind) != *wanted);
    wrong
        .map(|(kind, wanted)| format!("says {kind} {} instead of {}", text(said(kind)), text(wanted)))
        .or_else(|| wrong_address(sandbox, place, is_over))
        .or_else(|| wrong_service(sandbox, store, is_over))
}

/// Returns which conditions a sandbox must have and, of the kinds that it must not have, none.
pub fn conditions(sandbox: &Sandbox, store: &Store, is_over: bool) -> [(&'static str, Option<Word>); 4] {
    let place = place(sandbox, store);
    [
        (names::SUSPENDED, suspended(sandbox, place, is_over)),
        (names::FINISHED, finished(sandbox, place, is_over)),
        (names::POD_SCHEDULED, scheduled(sandbox, place).filter(|_| !is_over)),
        (names::READY, Some(readiness(sandbox, place, store, is_over))),
    ]
}

/// Returns what is wrong with where a sandbox says that its Pod is, and how it is found.
fn wrong_address(sandbox: &Sandbox, place: Place<'_>, is_over: bool) -> Option<String> {
    let status = &sandbox.status;
    let (ips, node) = match place {
        Place::Own(pod) if !is_over => (&pod.ips[..], &*pod.node),
        Place::Nothing | Place::Own(_) | Place::Many(_) | Place::Free | Place::Foreign(_) => (&[][..], ""),
    };
    if status.pod_ips != ips || *status.node != *node {
        let [told, is] = [&status.pod_ips[..], ips].map(|ips| ips.join(", "));
        return Some(format!(
            "says that its Pod is at [{told}] on {:?}, and not at [{is}] on {node:?}",
            status.node
        ));
    }
    let own = format!("{}={}", names::SANDBOX_NAME_HASH, names::name_hash(&sandbox.meta.key.name));
    // It names whatever Pod there will be, so it stays when one is gone.
    let is_right = match place {
        _ if is_over => status.selector.is_empty(),
        Place::Own(_) => *status.selector == *own,
        Place::Many(_) | Place::Free | Place::Foreign(_) if sandbox.suspended => *status.selector == *own,
        Place::Nothing | Place::Many(_) | Place::Free | Place::Foreign(_) => {
            status.selector.is_empty() || *status.selector == *own
        }
    };
    (!is_right).then(|| format!("says that {:?} selects its Pod", status.selector))
}

/// Returns what is wrong with which Service a sandbox says that it has: the cluster's domain is the usual one.
fn wrong_service(sandbox: &Sandbox, store: &Store, is_over: bool) -> Option<String> {
    let key = &sandbox.meta.key;
    let is_told = has_service(sandbox, store) && sandbox.service != Some(false) && !is_over;
    let (name, address) = if is_told {
        (&*key.name, format!("{}.{}.svc.cluster.local", key.name, key.namespace))
    } else {
        ("", String::new())
    };
    let (told, told_address) = (&sandbox.status.service, &sandbox.status.service_fqdn);
    let is_wrong = **told != *name || **told_address != *address;
    is_wrong.then(|| {
        format!("says that its Service is {told:?} at {told_address:?}, and not {name:?} at {address:?}")
    })
}

fn has_service(sandbox: &Sandbox, store: &Store) -> bool {
    let service = store.get(Kind::Service, &sandbox.meta.key);
    service.is_some_and(|it| it.meta().is_owned_by(sandbox.meta.uid))
}

/// Returns whether a Pod that a sandbox cannot have is where its own should be.
pub(super) fn is_blocked(sandbox: &Sandbox, store: &Store) -> bool {
    matches!(place(sandbox, store), Place::Foreign(_))
}

/// Returns whether a part is wanted by a sandbox that lacks it, and nothing else stands in its way.
pub fn is_missing(sandbox: &Sandbox, (kind, key): (Kind, &Key), store: &Store) -> bool {
    let place = place(sandbox, store);
    let is_wanted = match kind {
        Kind::Pod => !sandbox.suspended && matches!(place, Place::Nothing),
        Kind::Service => sandbox.service == Some(true) && trouble_of_service(sandbox, store).is_none(),
        Kind::VolumeClaim => {
            let names = sandbox.volume_claims.as_ref().map(parts::names_of).unwrap_or_default();
            let is_of = |name: &String| *key == parts::key_of_volume(name, sandbox);
            names.iter().any(is_of) && trouble_of_volumes(sandbox, store).is_none()
        }
        Kind::Claim | Kind::Pool | Kind::Template | Kind::Sandbox | Kind::NetworkPolicy => false,
    };
    is_wanted && store.get(kind, key).is_none() && !matches!(place, Place::Many(_))
}

fn text(word: Option<Word>) -> String {
    word.map_or("nothing".to_owned(), |(status, reason, message)| format!("{status:?} {reason}: {message:?}"))
}

fn word(condition: &Condition) -> Word {
    (condition.status, condition.reason.to_string(), condition.message.to_string())
}

fn new(status: Truth, reason: &str, message: impl Into<String>) -> Word {
    (status, reason.to_owned(), message.into())
}

fn place<'a>(sandbox: &Sandbox, store: &'a Store) -> Place<'a> {
    let mut pods = store.owned_by(Kind::Pod, sandbox.meta.uid).filter_map(Object::as_pod);
    if let Some(first) = pods.next() {
        let more = pods.count();
        return if more == 0 { Place::Own(first) } else { Place::Many(more + 1) };
    }
    let name = sandbox.meta.annotation(names::POD_NAME).unwrap_or(&sandbox.meta.key.name);
    let Some(holder) = store.get(Kind::Pod, &sandbox.meta.key.sibling(name.clone())) else {
        return Place::Nothing;
    };
    match whose(sandbox, holder.meta()) {
        Whose::Own | Whose::Leaving => Place::Nothing,
        Whose::Free => Place::Free,
        Whose::Foreign => Place::Foreign(holder.meta()),
    }
}

fn whose(sandbox: &Sandbox, meta: &Meta) -> Whose {
    let name = &sandbox.meta.key.name;
    let label = |key: &str| meta.label(key).map(|value| &**value);
    let is_marked = label(names::ADOPTABLE) == Some("true")
        || label(names::SANDBOX_NAME_HASH) == Some(&*names::name_hash(name));
    match &meta.owner {
        None if meta.terminating => Whose::Leaving,
        None if is_marked => Whose::Free,
        Some(owner) if owner.uid == sandbox.meta.uid => Whose::Own,
        // That of a former sandbox of this name.
        Some(owner) if owner.kind == OwnerKind::Known(Kind::Sandbox) && owner.name == *name => Whose::Leaving,
        None | Some(_) => Whose::Foreign,
    }
}

fn suspended(sandbox: &Sandbox, place: Place<'_>, is_over: bool) -> Option<Word> {
    if is_over && sandbox.status.condition(names::SUSPENDED).is_none() {
        return None;
    }
    Some(match place {
        _ if !sandbox.suspended => new(Truth::False, "NotSuspended", "Sandbox is not suspended"),
        Place::Own(_) | Place::Many(_) => {
            new(Truth::False, "PodTerminating", "Pod is terminating. Sandbox is suspending")
        }
        Place::Free | Place::Foreign(_) => {
            let message = "Refused to delete pod because it is not owned by this sandbox";
            new(Truth::False, "PodNotOwned", message)
        }
        Place::Nothing => new(Truth::True, "PodTerminated", "Pod has been terminated. Sandbox is suspended"),
    })
}

fn finished(sandbox: &Sandbox, place: Place<'_>, is_over: bool) -> Option<Word> {
    let said = || sandbox.status.condition(names::FINISHED).map(word);
    match place {
        // One that is being deleted ends on the way, which says nothing about its work.
        Place::Own(pod) if pod.meta.terminating => said(),
        Place::Own(pod) => ending(pod),
        Place::Nothing | Place::Many(_) | Place::Free | Place::Foreign(_) if is_over => said(),
        Place::Nothing | Place::Many(_) | Place::Free | Place::Foreign(_) => None,
    }
}

fn ending(pod: &Pod) -> Option<Word> {
    match pod.phase {
        Phase::Succeeded => Some(new(Truth::True, "PodSucceeded", "Pod completed successfully")),
        Phase::Failed => Some(new(Truth::True, "PodFailed", "Pod failed")),
        Phase::Pending | Phase::Running | Phase::Unknown => None,
    }
}

fn scheduled(sandbox: &Sandbox, place: Place<'_>) -> Option<Word> {
    const UNKNOWN: &str = "PodSchedulingUnknown";
    let pod = match place {
        Place::Own(pod) => pod,
        Place::Many(_) | Place::Foreign(_) if !sandbox.suspended => {
            let message = "Pod state is unknown. Pod scheduling cannot be determined";
            return Some(new(Truth::Unknown, UNKNOWN, message));
        }
        Place::Nothing | Place::Many(_) | Place::Free | Place::Foreign(_) => return None,
    };
    let Some((status, reason, message)) = &pod.scheduled else {
        let message = "Pod has not reported a PodScheduled condition yet";
        return Some(new(Truth::Unknown, UNKNOWN, message));
    };
    let reason = match (&**reason, status) {
        ("", Truth::True) => "PodScheduled",
        ("", Truth::False | Truth::Unknown) => UNKNOWN,
        (reason, _) => reason,
    };
    Some(new(*status, reason, &**message))
}

fn readiness(sandbox: &Sandbox, place: Place<'_>, store: &Store, is_over: bool) -> Word {
    let no = |reason: &str, message: String| new(Truth::False, reason, message);
    if is_over {
        return no(names::EXPIRED, "Sandbox has expired".to_owned());
    }
    if let Place::Many(count) = place
        && !sandbox.suspended
    {
        let message = "are controlled by this Sandbox; refusing to choose or create a Pod";
        return no(names::MULTIPLE_PODS, format!("multiple Pods ({count}) {message}"));
    }
    let in_the_way = match place {
        Place::Foreign(meta) if !sandbox.suspended => Some(refusal("pod", sandbox, meta)),
        Place::Nothing | Place::Own(_) | Place::Many(_) | Place::Free | Place::Foreign(_) => None,
    };
    let troubles = [trouble_of_volumes(sandbox, store), in_the_way, trouble_of_service(sandbox, store)];
    let troubles: Vec<String> = troubles.into_iter().flatten().collect();
    if !troubles.is_empty() {
        return no("ReconcilerError", format!("Error seen: {}", troubles.join("\n")));
    }
    if sandbox.suspended {
        let how = if matches!(place, Place::Nothing) { "suspended" } else { "suspending" };
        return no("SandboxSuspended", format!("Sandbox is {how}"));
    }
    with_service(of_pod(place), sandbox, store)
}

fn of_pod(place: Place<'_>) -> Word {
    let no = |message: String| new(Truth::False, "DependenciesNotReady", message);
    let Place::Own(pod) = place else { return no("Pod does not exist".to_owned()) };
    if pod.meta.terminating {
        return no("Pod is terminating".to_owned());
    }
    if let Some((_, reason, message)) = ending(pod) {
        return new(Truth::False, &reason, message);
    }
    match (pod.phase, pod.ready, pod.ips.is_empty()) {
        (Phase::Running, true, false) => new(Truth::True, "DependenciesReady", "Pod is Ready"),
        (Phase::Running, true, true) => no("Pod is Ready but has no podIPs yet".to_owned()),
        (Phase::Running, false, _) => no("Pod is Running but not Ready".to_owned()),
        (phase @ (Phase::Pending | Phase::Unknown | Phase::Succeeded | Phase::Failed), _, _) => {
            no(format!("Pod exists with phase: {}", phase.as_str()))
        }
    }
}

fn with_service((status, reason, message): Word, sandbox: &Sandbox, store: &Store) -> Word {
    if reason == "PodSucceeded" || reason == "PodFailed" || sandbox.service == Some(false) {
        return (status, reason, message);
    }
    match (has_service(sandbox, store), sandbox.service) {
        (true, _) => (status, reason, format!("{message}; Service Exists")),
        (false, Some(true)) => {
            new(Truth::False, "DependenciesNotReady", format!("{message}; Service does not exist"))
        }
        (false, Some(false) | None) => (status, reason, message),
    }
}

/// Returns why a sandbox cannot have a volume that it claims: of the first that is not its own.
pub(super) fn trouble_of_volumes(sandbox: &Sandbox, store: &Store) -> Option<String> {
    let names = sandbox.volume_claims.as_ref().map(parts::names_of).unwrap_or_default();
    for (place, name) in names.iter().enumerate() {
        if name.is_empty() {
            return Some(format!("volumeClaimTemplates[{place}] has no name"));
        }
        let meta = store.get(Kind::VolumeClaim, &parts::key_of_volume(name, sandbox))?.meta();
        match whose(sandbox, meta) {
            Whose::Own | Whose::Leaving => {}
            Whose::Free => return None,
            Whose::Foreign => return Some(refusal("PVC", sandbox, meta)),
        }
    }
    None
}

/// Returns why a sandbox cannot have the Service that it asks for.
pub(super) fn trouble_of_service(sandbox: &Sandbox, store: &Store) -> Option<String> {
    if sandbox.service != Some(true) {
        return None;
    }
    let name = &*sandbox.meta.key.name;
    let Some(service) = store.get(Kind::Service, &sandbox.meta.key) else {
        let why = "it must have no dots and at most 63 characters";
        return (!parts::can_be_served(name)).then(|| format!("service name {name:?} is invalid: {why}"));
    };
    match whose(sandbox, service.meta()) {
        Whose::Own | Whose::Leaving => None,
        Whose::Free => {
            let ip =
                service.as_dependent()?.spec.value()["clusterIP"].as_str().unwrap_or_default().to_owned();
            let why = "(expected \"None\", field is immutable)";
            let is_headless = ip.is_empty() || ip == "None";
            (!is_headless).then(|| format!("cannot adopt service {name:?}: ClusterIP is {ip:?} {why}"))
        }
        Whose::Foreign => Some(refusal("service", sandbox, service.meta())),
    }
}

/// Returns what is said about an object that a sandbox cannot have.
fn refusal(what: &str, sandbox: &Sandbox, meta: &Meta) -> String {
    let (name, sandbox) = (&*meta.key.name, &*sandbox.meta.key.name);
    let Some(owner) = &meta.owner else {
        let (pool, own) = (names::ADOPTABLE, names::SANDBOX_NAME_HASH);
        let labels =
            format!("required pool authorization label ({pool:?}) or sandbox tracking label ({own:?})");
        return format!("cannot adopt unowned {what} {name:?}: missing {labels}");
    };
    let kind = match &owner.kind {
        OwnerKind::Known(kind) => kind.name(),
        OwnerKind::Foreign(kind) => &**kind,
    };
    let owned_by = format!("{kind}/{} (UID: {})", owner.name, owner.uid);
    format!("{what} {name:?} is owned by {owned_by}, not by sandbox {sandbox:?}")
}
