//! The lives of sandboxes that nobody has claimed.

use std::sync::Arc;
use std::time::Duration;

use agent_sandbox_core::action::Intent;
use agent_sandbox_core::event::{Event, Outcome, Refusal};
use agent_sandbox_core::id::{Key, Kind, Uid, Version};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Json, Object, Owner, Phase, Shutdown, ShutdownPolicy};
use agent_sandbox_core::time::Wall;

use crate::world::{World, is_true};

/// SACC-213.
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

/// SBX-034, SBX-124.
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

/// INV-28: what the server has taken meanwhile it does not refuse, so nobody waits for that. The sandbox would not say why.
#[test]
fn a_refusal_is_over_when_such_a_pod_was_there() {
    let mut world = World::with_pool(0);
    world.own_sandbox(|_| {});
    world.settle();
    let mut late = world.objects[&(Kind::Pod, "own".into())].clone();
    world.refuses =
        Some(|intent, _| (intent == Intent::CreatePod).then(|| Refusal::Invalid("no such class".into())));
    world.delete(Kind::Pod, "own");
    world.drain();
    assert_eq!(world.count(Intent::CreatePod), 2, "it was refused");
    world.refuses = None;
    // An attempt of the leader before.
    late.meta_mut().uid = Uid::UNSET;
    world.show(late);
    world.drain();
    world.delete(Kind::Pod, "own");
    world.drain();
    assert_eq!(world.count(Intent::CreatePod), 3, "it is tried again at once");
}

/// SBX-111, SBX-115, SACC-147.
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

/// SACC-012.
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

/// A create whose answer was lost is not repeated for a sandbox that is on its way out.
#[test]
fn nothing_is_made_again_for_a_sandbox_that_is_being_deleted() {
    let mut world = World::with_pool(1);
    world.kubelet = false;
    world.lose_next = Some((Intent::CreatePod, false));
    world.drain_at_most(8);
    assert_eq!(world.count(Intent::CreatePod), 1);
    world.replicas(0);
    let sent: Vec<Intent> = std::iter::from_fn(|| world.machine.poll_action()).map(|it| it.intent).collect();
    assert!(sent.contains(&Intent::DeleteMember) && !sent.contains(&Intent::CreatePod), "{sent:?}");
    world.time += 1_000_000;
    world.machine.handle_timeout(world.now());
    let sent: Vec<Intent> = std::iter::from_fn(|| world.machine.poll_action()).map(|it| it.intent).collect();
    assert!(!sent.contains(&Intent::CreatePod), "{sent:?}");
}

/// SACC-215.
/// SBX-020, SBX-021, SBX-022, SBX-023, SBX-024, SBX-025, SBX-026, GAP-004, INV-21; SACC-046, SACC-048.
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

/// INV-12, INV-19, INV-21: whoever waits for a moment of the calendar waits no longer than that when the calendar is set. What
/// was told then stands, until its user gives it more time.
#[test]
fn a_calendar_that_is_set_anew_ends_what_is_over_and_revives_nothing() {
    let mut world = World::with_pool(0);
    let at = Wall::from_micros(world.now().wall.micros() + 600_000_000);
    world.own_sandbox(|sandbox| sandbox.shutdown = Some(Shutdown { at, policy: ShutdownPolicy::Retain }));
    world.settle();
    for (ahead, is_edited, is_over) in [(900, false, true), (0, false, true), (0, true, false)] {
        world.ahead = ahead;
        if is_edited {
            world.edit(|sandbox| sandbox.shutdown = None);
        }
        // Any news will do.
        world
            .machine
            .handle_event(Event::Progress { kind: Kind::Pod, at: Version(world.revision) }, world.now());
        world.settle();
        assert_eq!(world.sandbox("own").status.is_expired(), is_over);
        assert_eq!(world.objects.contains_key(&(Kind::Pod, "own".into())), !is_over);
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

/// SBX-077, SACC-022: a Pod stays what it was made, and conditions do not pile up.
#[test]
fn a_pod_outlives_whatever_changes_in_its_sandbox() {
    let mut world = World::with_pool(0);
    world.own_sandbox(|_| {});
    world.settle();
    let uid = world.objects[&(Kind::Pod, "own".into())].uid();
    for image in 0..20 {
        let spec =
            serde_json::json!({ "containers": [{ "name": "main", "image": format!("debian:{image}") }] });
        world.edit(|sandbox| sandbox.pod_spec = Json::from(&spec));
        world.pass_seconds(2);
    }
    assert_eq!(world.objects[&(Kind::Pod, "own".into())].uid(), uid);
    assert_eq!((world.count(Intent::CreatePod), world.count(Intent::DeletePod)), (1, 0));
    let conditions = &world.sandbox("own").status.conditions;
    let kinds: Vec<_> = conditions.iter().map(|condition| &*condition.kind).collect();
    assert_eq!(kinds, ["Suspended", "PodScheduled", "Ready"]);
}

/// SACC-016: whatever becomes of it.
#[test]
fn the_pod_of_another_finishes_nobody_elses_sandbox() {
    let mut world = World::with_pool(0);
    world.own_sandbox(|_| {});
    world.settle();
    let mut foreign = world.objects[&(Kind::Pod, "own".into())].clone();
    world.delete(Kind::Sandbox, "own");
    let Object::Pod(pod) = &mut foreign else { unreachable!() };
    let pod = Arc::make_mut(pod);
    (pod.meta.uid, pod.meta.owner, pod.phase) = (Uid::UNSET, None, Phase::Succeeded);
    pod.meta.labels.clear();
    world.kubelet = false;
    world.show(foreign);
    world.own_sandbox(|_| {});
    world.settle();
    let status = &world.sandbox("own").status;
    assert!(status.condition(names::FINISHED).is_none() && !is_true(status, names::READY));
    assert!(status.pod_ips.is_empty());
}

/// SACC-043, SACC-044, SACC-060, META-021: a Pod that was prepared for a sandbox, and is ready, is the sandbox's own, and
/// shows. Either mark will do.
#[test]
fn a_sandbox_shows_the_pod_that_was_prepared_for_it() {
    let hash = names::name_hash("own");
    for (mark, value) in [(names::ADOPTABLE, "true"), (names::SANDBOX_NAME_HASH, &*hash)] {
        shows_the_pod_that_bears(mark, value);
    }
}

fn shows_the_pod_that_bears(mark: &str, value: &str) {
    let mut world = World::with_pool(0);
    world.own_sandbox(|_| {});
    world.settle();
    let mut prepared = world.objects[&(Kind::Pod, "own".into())].clone();
    world.delete(Kind::Sandbox, "own");
    let Object::Pod(pod) = &mut prepared else { unreachable!() };
    let pod = Arc::make_mut(pod);
    (pod.meta.uid, pod.meta.owner) = (Uid::UNSET, None);
    pod.meta.labels = [(mark.into(), value.into())].into_iter().collect();
    pod.ips = vec!["10.0.0.1".into(), "fd00::1".into()];
    let prepared = prepared.clone();
    world.show(prepared);
    world.sent.clear();
    world.own_sandbox(|_| {});
    world.settle();
    let sandbox = world.sandbox("own");
    assert!(is_true(&sandbox.status, names::READY));
    assert_eq!(sandbox.status.pod_ips.iter().map(|ip| &**ip).collect::<Vec<_>>(), ["10.0.0.1", "fd00::1"]);
    assert_eq!((&*sandbox.status.node, world.count(Intent::CreatePod)), ("node", 0));
    assert_eq!(sandbox.meta.annotation(names::POD_NAME).map(|name| &**name), Some("own"));
    let pod = world.objects[&(Kind::Pod, "own".into())].meta();
    assert!(pod.is_owned_by(sandbox.meta.uid) && pod.label(names::SANDBOX_NAME_HASH).is_some());
}

/// GAP-020, SCND-041: whether a Service may begin with a digit is for the server to say, since newer ones take it. What it
/// refuses is told, and not asked again and again.
#[test]
fn a_service_that_the_server_refuses_is_told_and_hardly_tried() {
    let mut world = World::with_pool(0);
    world.refuses = Some(|intent, _| {
        (intent == Intent::CreateService)
            .then(|| Refusal::Invalid("metadata.name: Invalid value: \"7\"".into()))
    });
    world.own_sandbox(|sandbox| sandbox.service = Some(true));
    for _ in 0..300 {
        world.pass(Duration::from_secs(1));
        world.start_pods();
    }
    let ready = world.sandbox("own").status.condition(names::READY).cloned().unwrap();
    let why = "Error seen: metadata.name: Invalid value: \"7\"";
    assert_eq!((&*ready.reason, &*ready.message), ("ReconcilerError", why));
    let tries = world.count(Intent::CreateService);
    assert!((2..=5).contains(&tries), "{tries} tries in five minutes");
    world.refuses = None;
    world.settle();
    world.pass_seconds(300);
    assert!(is_true(&world.sandbox("own").status, names::READY));
}

/// GAP-019, SCND-041: a Pod that no watch has shown is found when it is in the way, told, and no trouble once it is gone.
#[test]
fn a_pod_that_no_watch_has_shown_is_found_when_it_is_in_the_way() {
    let mut world = World::with_pool(0);
    world.own_sandbox(|_| {});
    world.settle();
    let mut foreign = world.objects[&(Kind::Pod, "own".into())].clone();
    world.delete(Kind::Sandbox, "own");
    (foreign.meta_mut().uid, foreign.meta_mut().owner) = (Uid::UNSET, None);
    foreign.meta_mut().labels.clear();
    world.put(foreign);
    world.sent.clear();
    world.own_sandbox(|_| {});
    world.pass_seconds(60);
    let ready = world.sandbox("own").status.condition(names::READY).cloned().unwrap();
    assert_eq!(&*ready.reason, "ReconcilerError");
    assert!(ready.message.starts_with("Error seen: cannot adopt unowned pod \"own\""), "{}", ready.message);
    assert_eq!((world.count(Intent::CreatePod), world.count(Intent::Look)), (1, 1));
    world.delete(Kind::Pod, "own");
    world.settle();
    assert!(is_true(&world.sandbox("own").status, names::READY));
}

/// SBX-147; SACC-096: what a sandbox of the same name has left is waited for, and neither taken nor told.
#[test]
fn a_sandbox_that_is_made_again_waits_for_the_pod_of_its_predecessor() {
    let mut world = World::with_pool(0);
    world.own_sandbox(|_| {});
    world.settle();
    let mut gone = world.objects.remove(&(Kind::Sandbox, "own".into())).unwrap();
    world.revision += 1;
    gone.meta_mut().version = Version(world.revision);
    world.machine.handle_event(Event::Deleted(gone), world.now());
    world.own_sandbox(|_| {});
    world.pass_seconds(10);
    let status = world.sandbox("own").status.clone();
    assert!(!is_true(&status, names::READY) && status.pod_ips.is_empty());
    assert_ne!(&*status.condition(names::READY).unwrap().reason, "ReconcilerError");
    world.delete(Kind::Pod, "own");
    world.settle();
    assert!(is_true(&world.sandbox("own").status, names::READY));
}

/// INV-10: whether a sandbox is still there is asked about its predecessor, which had lost its Pod, too. The answer is older than
/// the sandbox that has come since, which asks for itself.
#[test]
fn a_sandbox_that_has_lost_its_pod_does_not_wait_for_what_was_asked_about_its_predecessor() {
    let mut world = World::with_pool(0);
    world.own_sandbox(|_| {});
    world.settle();
    let first = world.objects[&(Kind::Pod, "own".into())].clone();
    world.delete(Kind::Pod, "own");
    let look = world.machine.poll_action().unwrap();
    assert_eq!(look.intent, Intent::Look);
    world.delete(Kind::Sandbox, "own");
    world.own_sandbox(|_| {});
    let mut second = first;
    let successor = world.sandbox("own");
    second.meta_mut().uid = Uid::UNSET;
    second.meta_mut().owner = Some(Owner::new(Kind::Sandbox, &successor.meta));
    world.show(second);
    world.delete(Kind::Pod, "own");
    world.drain();
    assert!(!world.objects.contains_key(&(Kind::Pod, "own".into())), "it waits for the answer");
    let outcome = Outcome::NotFound;
    world.machine.handle_event(Event::ActionDone { id: look.id, outcome }, world.now());
    world.drain();
    assert!(world.objects.contains_key(&(Kind::Pod, "own".into())));
}
