//! In the end every sandbox is what it was asked to be, and says so.

use agent_sandbox_core::id::Kind;
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Object, Phase, Pod, Sandbox, ShutdownPolicy, Truth};

use super::{Checker, Class, Judgement, Property, as_sandbox};
use crate::store::Store;

/// INV-22, INV-23 and CON-030, CON-033, CON-036, CON-039: one look at the status is enough.
///
/// Every shutdown time has passed when this is asked.
#[derive(Clone, Debug)]
pub(super) struct SandboxesSettled;

impl Checker for SandboxesSettled {
    fn property(&self) -> Property {
        Property {
            name: "sandboxes-settled",
            about: "after the trouble every sandbox runs, is suspended or has ended as asked, and says so",
            class: Class::Liveness,
        }
    }

    fn at_rest(&mut self, store: &Store) -> Judgement {
        let sandboxes = store.list(Kind::Sandbox).iter().filter_map(|object| as_sandbox(Some(object)));
        let mut wrong = sandboxes.filter_map(|sandbox| lie(sandbox, store).map(|lie| (sandbox, lie)));
        Judgement::unless_broken(
            wrong.next().map(|(sandbox, lie)| format!("sandbox {} {lie}", sandbox.meta.key.name)),
        )
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

/// Returns what is wrong with a sandbox.
fn lie(sandbox: &Sandbox, store: &Store) -> Option<String> {
    let pods: Vec<&Pod> = store.owned_by(Kind::Pod, sandbox.meta.uid).filter_map(Object::as_pod).collect();
    let status = &sandbox.status;
    let stale = status.conditions.iter().find(|it| it.observed != sandbox.meta.generation);
    if let Some(stale) = stale {
        return Some(format!("says {} of generation {}", stale.kind, stale.observed));
    }
    let said = |kind: &str| status.condition(kind).map_or("nothing", |it| &it.reason).to_owned();
    let says = |kind: &str, reason: &str| {
        (said(kind) != reason).then(|| format!("says {kind} {} instead of {reason}", said(kind)))
    };
    let is_ready = status.condition(names::READY).is_some_and(|ready| ready.status == Truth::True);
    let other =
        store.get(Kind::Pod, &sandbox.meta.key).filter(|pod| !pod.meta().is_owned_by(sandbox.meta.uid));
    if let Some(shutdown) = sandbox.shutdown {
        if shutdown.policy == ShutdownPolicy::Delete || !pods.is_empty() {
            return Some("has not ended".to_owned());
        }
        let shows = !status.pod_ips.is_empty() || !status.node.is_empty() || !status.selector.is_empty();
        let lie = shows.then(|| "has expired and still shows its Pod".to_owned());
        return says(names::READY, names::EXPIRED).or(lie);
    }
    if sandbox.suspended {
        if !pods.is_empty() || !status.pod_ips.is_empty() {
            return Some("is not suspended".to_owned());
        }
        let reason = if other.is_some() { "PodNotOwned" } else { "PodTerminated" };
        return says(names::READY, "SandboxSuspended").or_else(|| says(names::SUSPENDED, reason));
    }
    match pods[..] {
        [] if is_blocked(sandbox, store) => says(names::READY, "ReconcilerError"),
        [] => Some("has no Pod".to_owned()),
        [pod] => {
            let is_wrong = is_ready != pod.ready || status.pod_ips != pod.ips || status.node != pod.node;
            let finished = match pod.phase {
                Phase::Succeeded => "PodSucceeded",
                Phase::Failed => "PodFailed",
                Phase::Pending | Phase::Running | Phase::Unknown => "nothing",
            };
            let lie = is_wrong.then(|| format!("shows its Pod {} as it is not", pod.meta.key.name));
            lie.or_else(|| says(names::FINISHED, finished))
        }
        _ => says(names::READY, names::MULTIPLE_PODS),
    }
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
