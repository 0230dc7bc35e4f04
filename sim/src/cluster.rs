//! The rest of the cluster: scheduler, kubelets and the garbage collector.
//!
//! They act on the newest state, as if they had no caches: what lags in a simulation is what the controllers
//! see.

use std::sync::Arc;

use agent_sandbox_core::id::{Kind, Text, Uid};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Object, OwnerKind, Phase, Pod, Truth};

use crate::api_server::kept::{self, FOREGROUND, Kept, ORPHAN, VOLUME};
use crate::api_server::{ApiServer, Commits, Deletion, Writer};
use crate::step::{PodStep, Step};
use crate::store::Store;

/// The kinds that have owners, so that the garbage collector may take them.
pub(crate) const OWNED: [Kind; 5] =
    [Kind::Sandbox, Kind::Pod, Kind::Service, Kind::VolumeClaim, Kind::NetworkPolicy];

/// Adds to `steps` what the scheduler, the kubelets and the garbage collector do next.
pub(crate) fn enabled(store: &Store, steps: &mut Vec<Step>) {
    steps.extend(store.list(Kind::Pod).iter().filter_map(next_of_pod));
    for kind in OWNED.into_iter().chain([Kind::Claim]) {
        let orphans = store.list(kind).iter().filter(|object| is_collectable(store, object));
        steps.extend(orphans.map(|orphan| Step::Collect(kind, orphan.uid())));
    }
}

/// Returns what happens to a Pod next when nothing goes wrong.
pub(crate) fn next_of_pod(object: &Object) -> Option<Step> {
    let Object::Pod(pod) = object else { return None };
    let next = [PodStep::FinishDelete, PodStep::Schedule, PodStep::GetReady];
    next.into_iter().find(|what| is_possible(pod, *what)).map(|what| Step::Pod(pod.meta.uid, what))
}

/// Returns whether the garbage collector has something to do about an object: an orphan goes; what belongs to an object that
/// is being deleted goes before it, or is left to nobody; and that object goes once nothing names it as its owner.
pub(crate) fn is_collectable(store: &Store, object: &Object) -> bool {
    if !object.meta().terminating {
        return store.is_orphan(object) || owner_that_waits(store, object).is_some();
    }
    match finalizer_of_cluster(object) {
        None => false,
        // The controller that protects volumes in use lets it go.
        Some(VOLUME) => true,
        Some(_) => !owns_anything(store, object),
    }
}

/// Returns the finalizer of a terminating object that the cluster takes off next.
fn finalizer_of_cluster(object: &Object) -> Option<&'static str> {
    let kept = Kept::of(object.meta());
    [FOREGROUND, ORPHAN, VOLUME].into_iter().find(|finalizer| kept.has(finalizer))
}

fn owns_anything(store: &Store, object: &Object) -> bool {
    OWNED.iter().any(|kind| store.owned_by(*kind, object.uid()).next().is_some())
}

/// Returns the owner of an object if it is being deleted and waits until this object is not its own any more.
fn owner_that_waits<'a>(store: &'a Store, object: &Object) -> Option<&'a Object> {
    let owner = owner(store, object).filter(|owner| owner.meta().terminating)?;
    finalizer_of_cluster(owner).is_some_and(|finalizer| finalizer != VOLUME).then_some(owner)
}

/// Returns the owner of an object.
fn owner<'a>(store: &'a Store, object: &Object) -> Option<&'a Object> {
    let owner = object.meta().owner.as_ref()?;
    if let OwnerKind::Known(kind) = owner.kind { store.find(kind, owner.uid) } else { None }
}

/// Returns what the garbage collector may be able to take after a change of this object.
pub(crate) fn collectable_after(store: &Store, changed: &Object) -> Vec<(Kind, Uid)> {
    let owned = OWNED.into_iter().flat_map(|kind| store.owned_by(kind, changed.uid()));
    let owner = owner(store, changed);
    let itself = store.find(changed.kind(), changed.uid());
    let near = owned.chain(owner).chain(itself);
    near.filter(|object| is_collectable(store, object)).map(|object| (object.kind(), object.uid())).collect()
}

/// Adds to `steps` what may happen to Pods out of turn.
pub(crate) fn faults(store: &Store, steps: &mut Vec<Step>) {
    for object in store.list(Kind::Pod) {
        let Object::Pod(pod) = object else { continue };
        let faults = [PodStep::FindNoRoom, PodStep::Run, PodStep::LoseReady, PodStep::Fail, PodStep::Succeed];
        let possible = faults.into_iter().filter(|what| is_possible(pod, *what));
        steps.extend(possible.map(|what| Step::Pod(pod.meta.uid, what)));
    }
}

/// Makes a step of the scheduler or a kubelet; `None` when the world is past it.
pub(crate) fn change_pod(server: &mut ApiServer, uid: Uid, what: PodStep) -> Commits {
    let Some(Object::Pod(pod)) = server.store().find(Kind::Pod, uid) else { return Commits::default() };
    if !is_possible(pod, what) {
        return Commits::default();
    }
    let key = pod.meta.key.clone();
    if what == PodStep::Evict {
        return server.delete_now(Kind::Pod, &key, Deletion::default(), Writer::User);
    }
    if what == PodStep::Vanish {
        return server.delete_now(Kind::Pod, &key, Deletion::AT_ONCE, Writer::User);
    }
    let by = if matches!(what, PodStep::Schedule | PodStep::FindNoRoom) {
        Writer::Scheduler
    } else {
        Writer::Kubelet
    };
    if what == PodStep::FinishDelete {
        return server.delete_now(Kind::Pod, &key, Deletion::AT_ONCE, by);
    }
    let commit = server.update(Kind::Pod, &key, by, |object| {
        if let Object::Pod(pod) = object {
            change(Arc::make_mut(pod), what);
        }
    });
    [commit, None]
}

pub(crate) fn is_possible(pod: &Pod, what: PodStep) -> bool {
    let (live, placed) = (!pod.meta.terminating, !pod.node.is_empty());
    match what {
        PodStep::Schedule | PodStep::Start => live && !placed,
        PodStep::FindNoRoom => live && !placed && pod.scheduled.is_none(),
        PodStep::Run => live && placed && pod.phase == Phase::Pending,
        PodStep::GetReady => live && placed && !pod.ready && !pod.phase.is_terminal(),
        PodStep::LoseReady => live && pod.ready,
        PodStep::Fail | PodStep::Succeed => live && pod.phase == Phase::Running,
        PodStep::FinishDelete => kept::is_stopping(&pod.meta),
        PodStep::Evict => live && placed,
        PodStep::Vanish => placed,
        PodStep::Move => live && pod.phase == Phase::Running && !pod.ips.is_empty(),
    }
}

fn change(pod: &mut Pod, what: PodStep) {
    match what {
        PodStep::Schedule => {
            pod.node = "node".into();
            pod.scheduled = Some((Truth::True, "".into(), "".into()));
        }
        PodStep::FindNoRoom => {
            let message = "0/1 nodes are available: 1 Insufficient cpu.";
            pod.scheduled = Some((Truth::False, names::UNSCHEDULABLE.into(), message.into()));
        }
        PodStep::Run => pod.phase = Phase::Running,
        PodStep::GetReady => {
            pod.phase = Phase::Running;
            pod.ready = true;
            if pod.ips.is_empty() {
                pod.ips.push(address(pod.meta.uid));
            }
        }
        PodStep::Start => {
            change(pod, PodStep::Schedule);
            change(pod, PodStep::GetReady);
        }
        PodStep::LoseReady => pod.ready = false,
        PodStep::Fail | PodStep::Succeed => {
            pod.phase = if what == PodStep::Fail { Phase::Failed } else { Phase::Succeeded };
            pod.ready = false;
        }
        PodStep::Move => pod.ips = pod.ips.iter().map(|address| next_address(address)).collect(),
        PodStep::FinishDelete | PodStep::Evict | PodStep::Vanish => {}
    }
}

/// Does what the garbage collector has to do about an object. It deletes as a user would: a Pod ends gracefully.
///
/// Reading the object and deleting it are one step, because the garbage collector deletes with the version
/// that it has read. Source: `garbagecollector.go`, `attemptToDeleteItem`, since Kubernetes 1.33.
pub(crate) fn collect(server: &mut ApiServer, kind: Kind, uid: Uid) -> Commits {
    let Some(object) = server.store().find(kind, uid) else { return Commits::default() };
    if !is_collectable(server.store(), object) {
        return Commits::default();
    }
    let key = object.key().clone();
    if object.meta().terminating {
        let finalizer = finalizer_of_cluster(object).unwrap_or_default();
        return [server.release(kind, uid, finalizer, Writer::Collector), None];
    }
    let waits_for = owner_that_waits(server.store(), object).and_then(finalizer_of_cluster);
    if waits_for == Some(ORPHAN) {
        let commit = server.update(kind, &key, Writer::Collector, |object| object.meta_mut().owner = None);
        return [commit, None];
    }
    // What blocks the end of its owner, and owns something itself, goes in the foreground, too.
    let is_foreground = waits_for == Some(FOREGROUND) && owns_anything(server.store(), object);
    let deletion = if is_foreground { Deletion::FOREGROUND } else { Deletion::default() };
    server.delete_now(kind, &key, deletion, Writer::Collector)
}

/// Returns the address of a Pod: no other Pod ever has it.
fn address(uid: Uid) -> Text {
    let [.., a, b, c] = uid.bits().to_be_bytes();
    format!("10.{a}.{b}.{c}").into()
}

/// Returns the address of a Pod after this one; no other Pod ever has it either.
fn next_address(address: &str) -> Text {
    let (network, rest) = address.split_once('.').unwrap_or_default();
    format!("{}.{rest}", network.parse().unwrap_or(0) + 1).into()
}

#[cfg(test)]
mod tests {
    use agent_sandbox_core::action::Operation;
    use agent_sandbox_core::time::Wall;

    use super::*;
    use crate::api_server::Dependents;
    use crate::scene;

    #[test]
    fn a_pod_is_scheduled_and_gets_ready_with_an_address() {
        let mut server = ApiServer::default();
        let uid = create(&mut server, pod("a"));
        assert_eq!(steps(&server), [Step::Pod(uid, PodStep::Schedule)]);
        assert!(change_pod(&mut server, uid, PodStep::Schedule)[0].is_some());
        assert_eq!(steps(&server), [Step::Pod(uid, PodStep::GetReady)]);
        assert!(change_pod(&mut server, uid, PodStep::GetReady)[0].is_some());
        assert_eq!(steps(&server), []);
        let Some(Object::Pod(pod)) = server.store().find(Kind::Pod, uid) else { panic!("no pod") };
        assert!(pod.ready && pod.phase == Phase::Running && *pod.ips == ["10.0.0.1".into()]);
    }

    #[test]
    fn an_address_may_come_after_the_pod_runs() {
        let mut server = ApiServer::default();
        let uid = create(&mut server, pod("a"));
        for what in [PodStep::Schedule, PodStep::Run] {
            assert!(change_pod(&mut server, uid, what)[0].is_some());
        }
        let Some(Object::Pod(pod)) = server.store().find(Kind::Pod, uid) else { panic!("no pod") };
        assert!(pod.phase == Phase::Running && pod.ips.is_empty() && !pod.ready);
        assert_eq!(steps(&server), [Step::Pod(uid, PodStep::GetReady)]);
    }

    #[test]
    fn a_scheduled_pod_stays_terminating_until_its_kubelet_has_stopped_it() {
        let mut server = ApiServer::default();
        let uid = create(&mut server, pod("a"));
        change_pod(&mut server, uid, PodStep::Schedule);
        server.delete_now(Kind::Pod, &scene::key("a"), Deletion::default(), Writer::User);
        assert_eq!(steps(&server), [Step::Pod(uid, PodStep::FinishDelete)]);
        change_pod(&mut server, uid, PodStep::FinishDelete);
        assert!(server.store().list(Kind::Pod).is_empty());
    }

    #[test]
    fn what_loses_its_owner_is_collected_and_nothing_else() {
        let mut server = ApiServer::default();
        let owner = scene::claim("c", "p");
        create(&mut server, owner);
        let owner = server.store().get(Kind::Claim, &scene::key("c")).expect("just created").clone();
        let mut child = pod("a");
        child.meta_mut().owner = Some(agent_sandbox_core::object::Owner::new(Kind::Claim, owner.meta()));
        let uid = create(&mut server, child);
        assert!(collect(&mut server, Kind::Pod, uid)[0].is_none());
        server.delete_now(Kind::Claim, &scene::key("c"), Deletion::default(), Writer::User);
        assert!(steps(&server).contains(&Step::Collect(Kind::Pod, uid)));
        assert!(collect(&mut server, Kind::Pod, uid)[0].is_some());
        assert!(server.store().list(Kind::Pod).is_empty());
    }

    #[test]
    fn what_an_object_owned_that_leaves_orphans_stays_and_belongs_to_nobody() {
        let (mut server, claim, child) = claim_with_a_pod();
        let orphan = Deletion { dependents: Some(Dependents::Orphan), grace: None };
        server.delete_now(Kind::Claim, &scene::key("c"), orphan, Writer::User);
        assert!(collect(&mut server, Kind::Claim, claim)[0].is_none(), "the Pod is still its own");
        assert!(collect(&mut server, Kind::Pod, child)[0].is_some());
        assert!(collect(&mut server, Kind::Claim, claim)[0].is_some());
        assert!(server.store().find(Kind::Claim, claim).is_none());
        let pod = server.store().find(Kind::Pod, child).expect("it stays");
        assert!(pod.meta().owner.is_none() && !pod.meta().terminating);
        assert_eq!(steps(&server), [Step::Pod(child, PodStep::Schedule)]);
    }

    #[test]
    fn what_an_object_owns_that_goes_in_the_foreground_goes_first() {
        let (mut server, claim, child) = claim_with_a_pod();
        server.delete_now(Kind::Claim, &scene::key("c"), Deletion::FOREGROUND, Writer::User);
        assert!(collect(&mut server, Kind::Claim, claim)[0].is_none(), "the Pod is still there");
        assert!(collect(&mut server, Kind::Pod, child)[0].is_some());
        assert!(collect(&mut server, Kind::Claim, claim)[0].is_some());
        assert_eq!(steps(&server), []);
    }

    fn claim_with_a_pod() -> (ApiServer, Uid, Uid) {
        let mut server = ApiServer::default();
        let claim = create(&mut server, scene::claim("c", "p"));
        let owner = server.store().find(Kind::Claim, claim).expect("just created").clone();
        let mut child = pod("a");
        child.meta_mut().owner = Some(agent_sandbox_core::object::Owner::new(Kind::Claim, owner.meta()));
        let child = create(&mut server, child);
        (server, claim, child)
    }

    fn steps(server: &ApiServer) -> Vec<Step> {
        let mut steps = Vec::new();
        enabled(server.store(), &mut steps);
        steps
    }

    fn create(server: &mut ApiServer, object: Object) -> Uid {
        let (_, [commit, _]) = server.handle(&Operation::Create(object), Writer::User, Wall::default());
        commit.expect("the name is free").object().uid()
    }

    fn pod(name: &str) -> Object {
        Object::Pod(Arc::new(Pod {
            meta: agent_sandbox_core::object::Meta::draft(scene::key(name)),
            spec: None,
            phase: Phase::Pending,
            ready: false,
            scheduled: None,
            ips: Vec::new(),
            node: "".into(),
        }))
    }
}
