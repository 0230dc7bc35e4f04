//! What is due to sandboxes that are to have no Pod.

use agent_sandbox_core::id::Kind;
use agent_sandbox_core::object::{Object, Pod, Sandbox};

use super::{AT_ONCE, Sight, Undone};

/// Adds each Pod that is to go and does not: all of a sandbox's Pods stop together, whoever of them goes first (INV-22).
pub(super) fn undone(sight: &Sight<'_>, undone: &mut Vec<Undone>) {
    let sandboxes = sight.store.list(Kind::Sandbox).iter().filter_map(Object::as_sandbox);
    let idle = sandboxes.filter(|sandbox| is_to_be_idle(sandbox, sight));
    undone.extend(idle.flat_map(|sandbox| {
        let pods = sight.store.owned_by(Kind::Pod, sandbox.meta.uid).filter_map(Object::as_pod);
        pods.filter(|pod| !pod.meta.terminating && !sight.is_held(pod.meta.uid)).map(|pod| left(pod, sandbox))
    }));
}

/// Returns whether a sandbox is to have no Pod, by its spec or because it has told that its time is over.
fn is_to_be_idle(sandbox: &Sandbox, sight: &Sight<'_>) -> bool {
    let has_ended =
        sandbox.status.is_expired() && sandbox.shutdown.is_some_and(|shutdown| sight.has_passed(shutdown.at));
    let is_idle = sandbox.suspended || has_ended;
    is_idle && !sandbox.meta.terminating && !sight.is_held(sandbox.meta.uid)
}

/// Returns what is left of a Pod.
fn left(pod: &Pod, sandbox: &Sandbox) -> Undone {
    let (about, name) = (pod.meta.uid, pod.meta.key.name.clone());
    let detail = Some(format!("belongs to sandbox {}, which is to have no Pod", sandbox.meta.key.name));
    let of = pod.meta.version.max(sandbox.meta.version).0;
    Undone { about, name, how: "running, which is to stop", detail, of, within: AT_ONCE }
}
