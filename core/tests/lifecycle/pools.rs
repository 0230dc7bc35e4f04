//! The lives of pools and of their members.

use std::sync::Arc;
use std::time::Duration;

use agent_sandbox_core::action::{Intent, Operation};
use agent_sandbox_core::config::Config;
use agent_sandbox_core::event::{Event, Outcome, Refusal};
use agent_sandbox_core::id::Kind;
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Json, Object, Owner, Phase, PoolStatus, Sandbox, Update};

use crate::world::{World, new_claim};

/// WPL-027, CON-060, CON-061.
#[test]
fn a_pool_fills_to_its_replicas_and_says_so() {
    let mut world = World::with_pool(3);
    world.settle();
    assert_eq!(world.sandboxes().len(), 3);
    let selector = "agents.x-k8s.io/warm-pool-sandbox=91dd7983".into();
    assert_eq!(world.pool().status, PoolStatus { replicas: 3, ready: 3, selector, observed: 1 });
}

/// CON-042.
/// ADP-031, ADP-035, KEY-005, KEY-009, CON-031, CON-043.
#[test]
fn the_labels_that_clients_read_are_there() {
    let mut world = World::with_pool(1);
    world.settle();
    let member = world.sandboxes()[0].clone();
    assert_eq!(member.meta.label(names::LAUNCH_TYPE).map(|value| &**value), Some("warm"));
    assert_eq!(member.meta.annotation(names::POD_NAME), Some(&member.meta.key.name));
    world.claim("claim");
    world.settle();
    let adopted = world.sandbox(&member.meta.key.name);
    assert_eq!(adopted.meta.label(names::WARM_POOL), None);
    assert!(adopted.meta.label(names::CLAIM_UID).is_some());
}

/// WPL-036, WPL-038.
#[test]
fn a_smaller_pool_deletes_what_is_too_much() {
    let mut world = World::with_pool(4);
    world.settle();
    world.replicas(1);
    world.settle();
    assert_eq!(world.sandboxes().len(), 1);
    assert_eq!(world.pool().status.replicas, 1);
}

/// INV-08: what was lost and has been seen is not made again because the server had no time for the repetition.
#[test]
fn a_create_that_was_seen_while_it_was_repeated_is_not_repeated_again() {
    for outcome in [Outcome::Throttled(Duration::from_secs(2)), Outcome::Unknown] {
        let mut world = World::with_pool(2);
        let mut attempts = Vec::new();
        for _ in 0..20 {
            while let Some(action) = world.machine.poll_action() {
                if action.intent == Intent::SetSandboxStatus {
                    // It is under way all the time, so nothing shows the member again.
                    continue;
                }
                if action.intent != Intent::CreateMember || world.members() == 0 {
                    let outcome = world.answer(&action);
                    world.machine.handle_event(Event::ActionDone { id: action.id, outcome }, world.now());
                    continue;
                }
                attempts.push(action.clone());
                if attempts.len() > 1 {
                    // The first takes effect while the second is under way.
                    let Operation::Create(member) = &*action.operation else { unreachable!() };
                    world.show(member.clone());
                }
                let outcome = if attempts.len() > 1 { outcome.clone() } else { Outcome::Unknown };
                world.machine.handle_event(Event::ActionDone { id: action.id, outcome }, world.now());
            }
            world.time += Duration::from_millis(500).as_micros() as u64;
            world.machine.handle_timeout(world.now());
        }
        assert_eq!(attempts.len(), 2, "{outcome:?}");
    }
}

/// WPL-043, GAP-001, INV-34.
#[test]
fn a_create_whose_answer_is_lost_makes_one_object() {
    for intent in [Intent::CreateMember, Intent::CreatePod] {
        for landed in [true, false] {
            let mut world = World::with_pool(2);
            world.lose_next = Some((intent, landed));
            world.settle();
            assert_eq!(world.sandboxes().len(), 2, "{intent:?} landed: {landed}");
            assert_eq!(world.pool().status.ready, 2, "{intent:?} landed: {landed}");
        }
    }
}

#[test]
fn a_create_that_may_have_landed_late_is_looked_for_before_the_pool_refills() {
    let mut world = World::with_pool(1);
    world.lose_next = Some((Intent::CreateMember, false));
    world.drain();
    world.pass(Duration::from_millis(200));
    world.start_pods();
    world.claim("claim");
    world.drain();
    world.sent.clear();
    world.pass(Duration::from_secs(16));
    assert_eq!(world.sent[..2], [Intent::Look, Intent::CreateMember]);
}

#[test]
fn a_watch_does_not_answer_what_the_server_is_being_asked() {
    let mut world = World::with_pool(1);
    world.lose_next = Some((Intent::CreateMember, false));
    world.drain();
    world.pass(Duration::from_millis(200));
    world.start_pods();
    world.pass(Duration::from_secs(2));
    let member = world.sandboxes()[0].clone();
    world.time += Duration::from_secs(16).as_micros() as u64;
    world.machine.handle_timeout(world.now());
    let look = world.machine.poll_action().unwrap();
    assert_eq!(look.intent, Intent::Look);
    // A claim of another process has taken the member; whether the late create has landed since, only the look says.
    let mut adopted = (*member).clone();
    adopted.meta.owner = None;
    let object = world.put(Object::Sandbox(Arc::new(adopted)));
    world.machine.handle_event(Event::Applied(object), world.now());
    let next: Vec<_> =
        std::iter::from_fn(|| world.machine.poll_action()).map(|action| action.intent).collect();
    assert!(!next.contains(&Intent::CreateMember), "{next:?}");
    let outcome = world.answer(&look);
    world.machine.handle_event(Event::ActionDone { id: look.id, outcome }, world.now());
    let next: Vec<_> =
        std::iter::from_fn(|| world.machine.poll_action()).map(|action| action.intent).collect();
    assert!(next.contains(&Intent::CreateMember), "{next:?}");
}

/// CRS-011.
/// DEF-001, DEF-002, WPL-038: the lock of the delete fails, and the pool neither waits for its effect nor repeats it.
#[test]
fn a_member_that_is_adopted_first_survives_its_pools_delete_and_the_pool_goes_on() {
    let mut world = World::with_pool(1);
    world.settle();
    world.replicas(0);
    let delete = std::iter::from_fn(|| world.machine.poll_action())
        .find(|action| action.intent == Intent::DeleteMember)
        .unwrap();
    // A claim of another process has taken the member.
    let mut adopted = (*world.sandboxes()[0]).clone();
    adopted.meta.owner = None;
    let name = adopted.meta.key.name.to_string();
    let object = world.put(Object::Sandbox(Arc::new(adopted)));
    let outcome = world.answer(&delete);
    assert_eq!(outcome, Outcome::Conflict);
    world.machine.handle_event(Event::ActionDone { id: delete.id, outcome }, world.now());
    world.machine.handle_event(Event::Applied(object), world.now());
    world.replicas(2);
    world.settle();
    assert!(world.objects.contains_key(&(Kind::Sandbox, name)));
    assert_eq!((world.sandboxes().len(), world.pool().status.ready), (3, 2));
}

/// DEF-008, INV-18.
#[test]
fn a_pool_whose_members_are_refused_still_says_what_it_has() {
    let mut world = World::with_pool(1);
    world.settle();
    world.replicas(3);
    while let Some(action) = world.machine.poll_action() {
        let outcome = if action.intent == Intent::CreateMember {
            Outcome::Refused(Refusal::Forbidden("quota".into()))
        } else {
            world.execute(&action.operation)
        };
        world.machine.handle_event(Event::ActionDone { id: action.id, outcome }, world.now());
    }
    let status = world.pool().status;
    assert_eq!((status.replicas, status.ready, status.observed), (1, 1, world.pool().meta.generation));
}

/// WPL-039, INV-18, INV-28: whoever looks at the pool reads why it does not get full, once, and when that is over.
#[test]
fn a_pool_whose_members_are_refused_says_why_and_when_that_is_over() {
    let mut world = World::with_pool(1);
    world.settle();
    world.refuses = Some(|intent, times| {
        let why = format!("exceeded quota, used: {times}");
        (intent == Intent::CreateMember).then(|| Refusal::Forbidden(why.into()))
    });
    world.replicas(2);
    world.pass_seconds(60);
    let why = "fewer than 2 sandboxes are there, and the API server refuses to create more: exceeded quota, used: 2";
    assert_eq!(world.notes, [why]);
    world.refuses = None;
    world.pass_seconds(60);
    assert_eq!(world.notes, [why, "Warm pool is progressing again"]);
    assert_eq!(world.members(), 2);
}

/// INV-09: what the server holds for invalid is tried less and less often, but not because of what failed before.
#[test]
fn a_first_refusal_for_good_counts_as_the_first_whatever_came_before() {
    let mut world = World::with_pool(1);
    world.refuses = Some(|intent, times| match times {
        _ if intent != Intent::CreateMember => None,
        1..=4 => Some(Refusal::Forbidden("exceeded quota".into())),
        5 => Some(Refusal::Invalid("denied by a policy".into())),
        _ => None,
    });
    world.pass_seconds(10);
    assert_eq!((world.count(Intent::CreateMember), world.members()), (5, 0));
    world.pass(Config::default().backoff_max);
    assert_eq!((world.count(Intent::CreateMember), world.members()), (6, 1));
}

/// INV-18: what was refused has been made after all, by an earlier attempt, was given to a claim, and is gone.
#[test]
fn a_refusal_is_over_when_somebody_has_the_name_and_does_not_come_back_with_its_end() {
    let mut world = World::with_pool(1);
    let create = world.machine.poll_action().expect("a member");
    let Operation::Create(member) = &*create.operation else { panic!("no create") };
    let outcome = Outcome::Refused(Refusal::Invalid("denied by a policy".into()));
    world.machine.handle_event(Event::ActionDone { id: create.id, outcome }, world.now());
    world.pass_seconds(2);
    world.show(member.clone());
    world.drain();
    assert_eq!(world.notes.last().unwrap(), "Warm pool is progressing again");
    let mut given = world.objects[&(Kind::Sandbox, member.key().name.to_string())].clone();
    given.meta_mut().owner = Some(Owner::new(Kind::Claim, &new_claim("claim").meta));
    world.show(given);
    world.drain();
    world.delete(Kind::Sandbox, &member.key().name);
    world.drain();
    assert_eq!(world.notes.len(), 2, "{:?}", world.notes);
}

/// WPL-039: the server refuses to make a member again that had come after all. When that is gone, the pool waits, and says why.
#[test]
fn a_pool_that_waits_because_of_a_member_that_had_come_after_all_says_so() {
    let mut world = World::with_pool(1);
    let create = world.machine.poll_action().expect("a member");
    let Operation::Create(member) = &*create.operation else { panic!("no create") };
    world.show(member.clone());
    let outcome = Outcome::Refused(Refusal::Invalid("denied by a policy".into()));
    world.machine.handle_event(Event::ActionDone { id: create.id, outcome }, world.now());
    world.drain();
    world.delete(Kind::Sandbox, &member.key().name);
    world.pass_seconds(2);
    let why =
        "fewer than 1 sandboxes are there, and the API server refuses to create more: denied by a policy";
    assert_eq!((world.members(), &world.notes[..]), (0, &[why.to_owned()][..]));
}

/// INV-18: what was refused is no news when the pool is short again, for another process has made the member meanwhile.
#[test]
fn a_refusal_is_over_when_another_process_has_made_a_member() {
    let mut world = World::with_pool(1);
    let create = world.machine.poll_action().expect("a member");
    let Operation::Create(Object::Sandbox(member)) = &*create.operation else { panic!("no create") };
    let outcome = Outcome::Refused(Refusal::Forbidden("exceeded quota".into()));
    world.machine.handle_event(Event::ActionDone { id: create.id, outcome }, world.now());
    let mut member = (**member).clone();
    member.meta.key = member.meta.key.sibling("another");
    world.show(Object::Sandbox(member.into()));
    world.pass_seconds(60);
    world.delete(Kind::Sandbox, "another");
    let wanted: Vec<_> = std::iter::from_fn(|| world.machine.poll_action()).map(|it| it.intent).collect();
    assert!(wanted.contains(&Intent::CreateMember) && !wanted.contains(&Intent::Notify), "{wanted:?}");
}

/// INV-09: what was under way together fails together.
#[test]
fn members_that_are_refused_together_are_one_failure_of_their_pool() {
    let mut world = World::with_pool(6);
    let under_way: Vec<_> = std::iter::from_fn(|| world.machine.poll_action()).collect();
    let creates = under_way.iter().filter(|action| action.intent == Intent::CreateMember);
    for action in creates {
        let outcome = Outcome::Refused(Refusal::Invalid("denied by a policy".into()));
        world.machine.handle_event(Event::ActionDone { id: action.id, outcome }, world.now());
    }
    world.pass(Config::default().backoff_max);
    assert_eq!((world.count(Intent::CreateMember), world.members()), (6, 6));
}

/// DEF-033, WPL-030: one request each, and none waits for another.
#[test]
fn a_pool_makes_as_many_members_at_once_as_may_be_under_way() {
    let mut world = World::with_pool(300);
    let under_way: Vec<_> = std::iter::from_fn(|| world.machine.poll_action()).collect();
    let creates = under_way.iter().filter(|action| action.intent == Intent::CreateMember).count();
    // Every eighth place is kept for what is not urgent.
    assert!(creates >= Config::default().in_flight_max * 7 / 8, "{creates}");
}

/// WPL-053: it comes, is edited, goes and comes again.
#[test]
fn a_template_that_changes_wakes_its_pools_and_one_that_goes_takes_nobody_along() {
    let mut world = World::with_pool(2);
    let first = world.template();
    world.delete(Kind::Template, "tpl");
    world.settle();
    assert_eq!(world.members(), 0);
    world.make_template(&first);
    world.drain();
    assert_eq!(world.members(), 2);
    world.settle();

    let mut pool = world.pool();
    pool.update = Update::Recreate;
    let pool = world.put(Object::Pool(Arc::new(pool)));
    world.machine.handle_event(Event::Applied(pool), world.now());
    let mut edited = world.template();
    let blueprint = Arc::make_mut(&mut edited.blueprint);
    (blueprint.hash, blueprint.pod_spec) =
        ("other".into(), Json::from(&serde_json::json!({ "hostname": "a" })));
    world.make_template(&edited);
    world.settle();
    let is_new = |sandbox: &Arc<Sandbox>| sandbox.pod_spec.text().contains("hostname");
    assert_eq!((world.members(), world.sandboxes().iter().filter(|it| is_new(it)).count()), (2, 2));

    world.delete(Kind::Template, "tpl");
    world.settle();
    assert_eq!(world.members(), 2);
    let name = world.sandboxes()[0].meta.key.name.clone();
    world.delete(Kind::Sandbox, &name);
    world.settle();
    assert_eq!(world.members(), 1);
    world.make_template(&edited);
    world.drain();
    assert_eq!(world.members(), 2);
}

/// DEF-016, CFG-004, WPL-020: a member whose Pod ended is not ready either, so it goes when that grace is over, where that
/// is the shorter one. It counts from when the member was not ready any more, not from when it got ready.
#[test]
fn a_member_whose_pod_ended_is_given_no_more_time_than_one_that_is_not_ready() {
    let mut world = World::of(Config { readiness_grace: Duration::from_secs(4), ..Config::default() }, 1);
    world.settle();
    world.kubelet = false;
    let pod = world.objects.values().find(|object| object.kind() == Kind::Pod).cloned();
    let Some(Object::Pod(mut pod)) = pod else { unreachable!() };
    (Arc::make_mut(&mut pod).phase, Arc::make_mut(&mut pod).ready) = (Phase::Succeeded, false);
    let pod = world.put(Object::Pod(pod));
    world.show(pod);
    world.drain();
    world.pass(Duration::from_secs(2));
    world.drain();
    assert_eq!(world.count(Intent::DeleteMember), 0);
    world.pass(Duration::from_secs(3));
    world.drain();
    assert_eq!(world.count(Intent::DeleteMember), 1);
}

/// INV-28: a status is decided anew each time, and so nothing told how often its write had been lost.
#[test]
fn a_status_that_never_arrives_is_told_again_later_and_later() {
    let mut world = World::with_pool(1);
    for _ in 0..3000 {
        world.lose_next = Some((Intent::SetPoolStatus, false));
        world.pass(Duration::from_millis(20));
        world.drain();
    }
    let tries = world.count(Intent::SetPoolStatus);
    assert!((8..=14).contains(&tries), "{tries} tries in a minute");
    world.lose_next = None;
    world.settle();
    assert_eq!(world.pool().status.ready, 1);
}

/// WPL-017: the watch of pools may lag behind that of sandboxes.
#[test]
fn a_member_is_marked_as_soon_as_its_pool_is_seen() {
    let mut world = World::with_pool(1);
    world.settle();
    let mut member = world.sandboxes()[0].clone();
    Arc::make_mut(&mut member).meta.labels.remove(names::LAUNCH_TYPE);
    world.put(Object::Sandbox(member));
    let pool = world.objects.remove(&(Kind::Pool, "pool".into())).unwrap();
    world.restart();
    world.drain();
    assert_eq!(world.count(Intent::LabelSandbox), 0);
    world.show(pool);
    world.drain();
    assert_eq!(world.count(Intent::LabelSandbox), 1);
}
