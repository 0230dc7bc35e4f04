//! The rest of the cluster: scheduler and kubelets. The garbage collector is in [`collector`].
//!
//! They act on the newest state, as if they had no caches: what lags in a simulation is what the controllers
//! see.

use std::sync::Arc;

use agent_sandbox_core::id::{Kind, Text, Uid};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Object, Phase, Pod, Truth};

use crate::api_server::{ApiServer, Commits, Deletion, Writer, kept};
use crate::collector;
use crate::step::{PodStep, Step};
use crate::store::Store;

/// Adds to `steps` what the scheduler, the kubelets and the garbage collector do next.
pub(crate) fn enabled(store: &Store, steps: &mut Vec<Step>) {
    steps.extend(store.list(Kind::Pod).iter().filter_map(next_of_pod));
    collector::enabled(store, steps);
}

/// Returns what happens to a Pod next when nothing goes wrong.
pub(crate) fn next_of_pod(object: &Object) -> Option<Step> {
    let Object::Pod(pod) = object else { return None };
    let next = [PodStep::FinishDelete, PodStep::Schedule, PodStep::GetReady];
    next.into_iter().find(|what| is_possible(pod, *what)).map(|what| Step::Pod(pod.meta.uid, what))
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
        PodStep::AnswerEarly => live && placed && !pod.ready && pod.phase == Phase::Pending,
        PodStep::GetReady => live && placed && !pod.phase.is_terminal() && (!pod.ready || pod.ips.is_empty()),
        PodStep::LoseReady => live && pod.ready,
        PodStep::Fail | PodStep::Succeed => live && pod.phase == Phase::Running,
        PodStep::FinishDelete => kept::is_stopping(&pod.meta),
        PodStep::Evict => live && placed,
        PodStep::Vanish => placed,
        PodStep::Move => live && pod.phase == Phase::Running && !pod.ips.is_empty(),
    }
}

/// How many nodes there are.
pub(crate) const NODES: u32 = 3;

fn change(pod: &mut Pod, what: PodStep) {
    match what {
        PodStep::Schedule => {
            pod.node = format!("node-{}", node_of(pod.meta.uid)).into();
            pod.scheduled = Some((Truth::True, "".into(), "".into()));
        }
        PodStep::FindNoRoom => {
            let message = "0/1 nodes are available: 1 Insufficient cpu.";
            pod.scheduled = Some((Truth::False, names::UNSCHEDULABLE.into(), message.into()));
        }
        PodStep::Run => pod.phase = Phase::Running,
        PodStep::AnswerEarly => {
            pod.phase = Phase::Running;
            pod.ready = true;
        }
        PodStep::GetReady => {
            pod.phase = Phase::Running;
            pod.ready = true;
            if pod.ips.is_empty() {
                pod.ips = addresses(pod.meta.uid);
            }
        }
        PodStep::Start => {
            change(pod, PodStep::Schedule);
            // A search has one node: which of several a Pod comes to would only make more situations.
            pod.node = "node".into();
            change(pod, PodStep::GetReady);
        }
        PodStep::LoseReady => pod.ready = false,
        PodStep::Fail | PodStep::Succeed => {
            pod.phase = if what == PodStep::Fail { Phase::Failed } else { Phase::Succeeded };
            pod.ready = false;
        }
        PodStep::Move => {
            // Of two addresses the first may stay.
            let kept = usize::from(pod.ips.len() > 1 && pod.meta.uid.bits() % 8 == 3);
            pod.ips.iter_mut().skip(kept).for_each(|address| *address = next_address(address));
        }
        PodStep::FinishDelete | PodStep::Evict | PodStep::Vanish => {}
    }
}

/// Returns which node a Pod comes to: that follows from its identity.
pub(crate) fn node_of(uid: Uid) -> u32 {
    (uid.bits() % u128::from(NODES)) as u32
}

/// Returns the addresses of a Pod: no other Pod ever has them. Some Pods have one in each of two networks.
fn addresses(uid: Uid) -> Vec<Text> {
    let [.., a, b, c] = uid.bits().to_be_bytes();
    let networks: &[u8] = if c % 4 == 3 { &[10, 172] } else { &[10] };
    networks.iter().map(|network| format!("{network}.{a}.{b}.{c}").into()).collect()
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
