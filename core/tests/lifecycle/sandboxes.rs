//! The lives of sandboxes that nobody has claimed.

use std::time::Duration;

use agent_sandbox_core::action::Intent;
use agent_sandbox_core::event::{Event, Outcome, Refusal};
use agent_sandbox_core::id::{Key, Kind, Uid};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Json, Shutdown, ShutdownPolicy};
use agent_sandbox_core::time::Wall;

use crate::world::{World, is_true};

/// SBX-078, INV-23.
#[test]
fn a_pod_that_is_deleted_comes_back() {
    let mut world = World::with_pool(0);
    world.claim("claim");
    world.settle();
    world.delete(Kind::Pod, "claim");
    world.settle();
    assert!(world.get_claim("claim").status.is_ready());
}

/// DEF-032, GAP-022, INV-28.
#[test]
fn a_refusal_whose_text_varies_makes_no_write_of_its_own() {
    let mut world = World::with_pool(1);
    let mut refused = 0;
    for _ in 0..20 {
        while let Some(action) = world.machine.poll_action() {
            let outcome = if action.intent == Intent::CreatePod {
                refused += 1;
                Outcome::Refused(Refusal::Forbidden(format!("quota {refused}").into()))
            } else {
                world.sent.push(action.intent);
                world.execute(&action.operation)
            };
            world.machine.handle_event(Event::ActionDone { id: action.id, outcome }, world.now());
        }
        world.time += Duration::from_millis(500).as_micros() as u64;
        world.machine.handle_timeout(world.now());
    }
    let told = world.sent.iter().filter(|intent| **intent == Intent::SetSandboxStatus).count();
    assert_eq!(told, 1, "{:?}", world.sent);
    assert!((2..10).contains(&refused), "{refused} tries in ten seconds");
}

/// SBX-110: while its steps are told at most once a second.
#[test]
fn a_sandbox_whose_pod_is_ready_within_a_second_costs_one_status_write() {
    let mut world = World::with_pool(0);
    world.settle();
    world.sent.clear();
    world.own_sandbox(|sandbox| sandbox.service = Some(true));
    world.settle();
    let mut sent = world.sent.clone();
    sent.sort_unstable();
    let wanted = [Intent::CreatePod, Intent::NamePod, Intent::SetSandboxStatus, Intent::CreateService];
    assert_eq!(sent, wanted);
    let status = world.sandbox("own").status.clone();
    assert_eq!((&*status.service, &*status.service_fqdn), ("own", "own.ns.svc.cluster.local"));
    assert!(is_true(&status, names::READY));
}

/// SCND-060, SBX-143, CON-036, INV-22.
#[test]
fn a_suspended_sandbox_loses_its_pod_and_gets_another_when_it_runs_again() {
    let mut world = World::with_pool(0);
    world.own_sandbox(|_| {});
    world.settle();
    let before = world.objects[&(Kind::Pod, "own".into())].uid();
    world.edit(|sandbox| sandbox.suspended = true);
    world.settle();
    assert!(!world.objects.contains_key(&(Kind::Pod, "own".into())));
    let status = world.sandbox("own").status.clone();
    assert!(is_true(&status, names::SUSPENDED) && !is_true(&status, names::READY));
    assert!(status.pod_ips.is_empty() && !status.selector.is_empty());
    world.edit(|sandbox| sandbox.suspended = false);
    world.settle();
    assert_ne!(world.objects[&(Kind::Pod, "own".into())].uid(), before);
    let status = world.sandbox("own").status.clone();
    assert!(is_true(&status, names::READY) && !is_true(&status, names::SUSPENDED));
}

/// INV-22: a create whose answer was lost may land after the sandbox was suspended.
#[test]
fn a_pod_that_lands_late_does_not_outlive_the_suspension() {
    let mut world = World::with_pool(0);
    world.settle();
    world.lose_next = Some((Intent::CreatePod, true));
    world.own_sandbox(|_| {});
    world.drain_at_most(1);
    world.edit(|sandbox| sandbox.suspended = true);
    world.drain();
    assert!(!is_true(&world.sandbox("own").status, names::SUSPENDED), "a Pod may be there");
    let pod = world.objects[&(Kind::Pod, "own".into())].clone();
    world.machine.handle_event(Event::Applied(pod), world.now());
    world.settle();
    assert!(!world.objects.contains_key(&(Kind::Pod, "own".into())));
    assert!(is_true(&world.sandbox("own").status, names::SUSPENDED));
}

/// SBX-020 to SBX-026, GAP-004, INV-21; SACC-046, SACC-048.
#[test]
fn a_sandbox_ends_at_its_time_with_one_write_that_says_so() {
    for policy in [ShutdownPolicy::Retain, ShutdownPolicy::Delete] {
        let mut world = World::with_pool(0);
        let at = Wall::from_micros(world.now().wall.micros() + 60_000_000);
        world.own_sandbox(|sandbox| {
            sandbox.service = Some(true);
            sandbox.shutdown = Some(Shutdown { at, policy });
        });
        world.settle();
        assert!(is_true(&world.sandbox("own").status, names::READY));
        world.sent.clear();
        world.pass(Duration::from_secs(60));
        world.settle();
        assert!(!world.objects.contains_key(&(Kind::Pod, "own".into())));
        assert!(!world.objects.contains_key(&(Kind::Service, "own".into())));
        match policy {
            ShutdownPolicy::Retain => {
                assert_eq!(world.sent, [Intent::SetSandboxStatus, Intent::DeletePod, Intent::DeleteService]);
                let status = world.sandbox("own").status.clone();
                assert!(status.is_expired() && status.pod_ips.is_empty() && status.service.is_empty());
            }
            ShutdownPolicy::Delete => {
                assert_eq!(world.sent[0], Intent::SetSandboxStatus);
                assert_eq!(world.sent.last(), Some(&Intent::DeleteSandbox));
                assert!(!world.objects.contains_key(&(Kind::Sandbox, "own".into())));
            }
        }
    }
}

/// SCND-040, SEVT-001, SEVT-002, SHAZ-002; SACC-094, SACC-095.
#[test]
fn several_pods_of_a_sandbox_are_told_once_and_left_alone() {
    let mut world = World::with_pool(0);
    world.own_sandbox(|_| {});
    world.settle();
    world.sent.clear();
    let mut second = world.objects[&(Kind::Pod, "own".into())].clone();
    let meta = second.meta_mut();
    (meta.uid, meta.key) = (Uid::UNSET, Key::new("ns", "second"));
    let second = world.put(second);
    world.machine.handle_event(Event::Applied(second), world.now());
    world.settle();
    assert_eq!(world.sent, [Intent::SetSandboxStatus, Intent::Notify]);
    let ready = world.sandbox("own").status.condition(names::READY).cloned().unwrap();
    assert_eq!(&*ready.reason, names::MULTIPLE_PODS);
    world.delete(Kind::Pod, "second");
    world.settle();
    assert!(is_true(&world.sandbox("own").status, names::READY));
}

/// GAP-002: a name that turns out to be taken by its own is no trouble.
#[test]
fn a_service_that_is_there_already_never_makes_a_sandbox_unready() {
    let mut world = World::with_pool(0);
    world.settle();
    world.lose_next = Some((Intent::CreateService, true));
    world.own_sandbox(|sandbox| {
        sandbox.service = Some(true);
        let claim = serde_json::json!([{ "metadata": { "name": "data" }, "spec": {} }]);
        sandbox.volume_claims = Some(Json::from(&claim));
    });
    world.settle();
    let status = world.sandbox("own").status.clone();
    assert!(is_true(&status, names::READY));
    assert!(world.objects.contains_key(&(Kind::VolumeClaim, "data-own".into())));
    assert_eq!(world.objects.keys().filter(|(kind, _)| *kind == Kind::Service).count(), 1);
}
