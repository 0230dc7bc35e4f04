//! What each sandbox consists of in the end, and what it says.

use agent_sandbox_core::id::{Kind, Text};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Object, OwnerKind, Pod, Sandbox, ShutdownPolicy};

use super::{parts, words};
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
    if let Some(lie) = lie_of_service(sandbox, store) {
        return Some(lie);
    }
    if let Some(shutdown) = sandbox.shutdown {
        let is_left = shutdown.policy == ShutdownPolicy::Delete || !pods.is_empty();
        let left = is_left.then(|| "has not ended".to_owned());
        return left.or_else(|| words::difference(sandbox, store, true));
    }
    if let Some(noted) = wrong_note(sandbox, store).filter(|_| pods.len() < 2) {
        return Some(format!("notes Pod {noted}, which it cannot have"));
    }
    if sandbox.suspended && !pods.is_empty() {
        return Some("is not suspended".to_owned());
    }
    if let Some(lack) = lack_of_volume(sandbox, store).or_else(|| wrong_client(sandbox, store)) {
        return Some(lack);
    }
    let lack = match pods[..] {
        [] if sandbox.suspended || words::is_blocked(sandbox, store) => None,
        // The server refuses one, and volume claims cannot be changed.
        [] if parts::lacks_volume_name(sandbox) => None,
        [] => Some("has no Pod".to_owned()),
        [pod] => lie_of_note(sandbox, pod).or_else(|| lack_of_labels(sandbox, pod)),
        _ => None,
    };
    lack.or_else(|| words::difference(sandbox, store, false))
}

/// Returns what is wrong with which Pod a sandbox notes as its own (META-040).
fn lie_of_note(sandbox: &Sandbox, pod: &Pod) -> Option<String> {
    let (noted, name) = (sandbox.meta.annotation(names::POD_NAME), &pod.meta.key.name);
    (noted != Some(name)).then(|| format!("notes Pod {noted:?} as its own, which is {name}"))
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

/// Returns what is wrong with a sandbox's Service.
fn lie_of_service(sandbox: &Sandbox, store: &Store) -> Option<String> {
    if store.owned_by(Kind::Pod, sandbox.meta.uid).count() > 1 && !sandbox.suspended {
        return None;
    }
    let own = store.owned_by(Kind::Service, sandbox.meta.uid).next().and_then(Object::as_dependent);
    let is_over = sandbox.shutdown.is_some();
    let Some(service) = own else {
        let is_wanted = sandbox.service == Some(true) && !is_over;
        let is_missing = is_wanted && words::trouble_of_service(sandbox, store).is_none();
        return is_missing.then(|| "has no Service".to_owned());
    };
    if is_over || sandbox.service == Some(false) {
        return Some("still has a Service".to_owned());
    }
    // What has an address of its own leads there, and not to the Pod; that cannot be changed (ERR-003).
    if service.spec.value()["clusterIP"].as_str().is_some_and(|address| address != "None") {
        return Some("has a Service with an address of its own".to_owned());
    }
    let hash = names::name_hash(&sandbox.meta.key.name);
    if service.spec.value()["selector"] != serde_json::json!({ names::SANDBOX_NAME_HASH: &*hash }) {
        return Some("has a Service that finds other Pods than its own".to_owned());
    }
    if service.meta.label(names::SANDBOX_NAME_HASH) != Some(&hash) {
        return Some("has a Service without the label by which it is found".to_owned());
    }
    parts::lack_of_service(sandbox, service).filter(|_| sandbox.service == Some(true))
}

/// Returns which of a sandbox's volumes it does not have. What comes after one that it cannot have is not made (SBX-043).
fn lack_of_volume(sandbox: &Sandbox, store: &Store) -> Option<String> {
    let names = sandbox.volume_claims.as_ref().map(parts::names_of).unwrap_or_default();
    let missing = names.into_iter().find(|name| {
        let claim = store.get(Kind::VolumeClaim, &parts::key_of_volume(name, sandbox));
        claim.is_none_or(|claim| !claim.meta().is_owned_by(sandbox.meta.uid))
    });
    let is_barred = words::trouble_of_volumes(sandbox, store).is_some();
    missing.filter(|_| !is_barred).map(|name| format!("has no volume {name}"))
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
    let mut missing = wanted.chain(own).filter(|(key, value)| pod.meta.labels.get(key) != Some(*value));
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
