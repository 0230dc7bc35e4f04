//! How fast pools are refilled.

use std::sync::Arc;
use std::time::Duration;

use agent_sandbox_core::action::{Action, Intent};
use agent_sandbox_core::event::{Event, Outcome, Refusal};
use agent_sandbox_core::id::{Kind, Uid};
use agent_sandbox_core::object::{Json, Object};

use crate::world::World;

/// RFL-001, RFL-003, WPL-028, WPL-029.
#[test]
fn a_pool_that_has_lost_a_member_waits_before_it_makes_another() {
    let mut world = World::paced(5, "0", 2);
    world.settle();
    world.claim("claim");
    world.drain();
    assert!(world.get_claim("claim").status.is_ready());
    assert_eq!(world.members_by_second(6), [1, 1, 1, 1, 2, 2]);
}

/// RFL-002: nobody has seen a loss.
#[test]
fn a_first_fill_and_what_a_new_process_finds_are_not_held_up() {
    let mut world = World::paced(60, "0", 2);
    world.drain();
    assert_eq!(world.members(), 2);
    world.settle();
    world.claim("claim");
    world.drain();
    assert_eq!(world.members(), 1);
    world.restart();
    world.drain();
    assert_eq!(world.members(), 2);
}

/// RFL-002: what went while another led is nobody's news.
#[test]
fn a_process_that_leads_again_begins_anew() {
    let mut world = World::paced(60, "1", 2);
    world.settle();
    world.machine.handle_event(Event::Standby, world.now());
    let gone = world.sandboxes()[0].meta.key.name.to_string();
    world.objects.remove(&(Kind::Sandbox, gone));
    world.lead();
    world.drain();
    assert_eq!(world.members(), 2);
}

/// WPL-001, RFL-001.
#[test]
fn another_pool_of_the_same_name_begins_anew() {
    let mut world = World::paced(60, "1", 2);
    world.settle();
    world.claim("claim");
    world.settle();
    assert_eq!(world.members(), 1);
    let mut pool = world.pool();
    world.delete(Kind::Pool, "pool");
    (pool.meta.uid, pool.replicas) = (Uid::UNSET, 1);
    let pool = world.put(Object::Pool(Arc::new(pool)));
    world.machine.handle_event(Event::Applied(pool), world.now());
    world.drain();
    assert_eq!(world.members(), 1);
}

/// RFL-005: as in the original, on purpose.
#[test]
fn each_loss_begins_the_wait_anew() {
    let mut world = World::paced(5, "0", 3);
    world.settle();
    world.claim("first");
    world.drain();
    assert_eq!(world.members_by_second(4), [2, 2, 2, 2]);
    world.claim("second");
    world.drain();
    assert_eq!(world.members_by_second(6), [1, 1, 1, 1, 3, 3]);
}

/// RFL-003: the wait is for what was lost, not for what was never there.
#[test]
fn a_pool_that_is_full_again_or_grows_does_not_wait() {
    let mut world = World::paced(60, "0", 2);
    world.settle();
    world.replicas(1);
    world.drain();
    assert_eq!(world.members(), 1);
    world.replicas(3);
    world.drain();
    assert_eq!(world.members(), 3);
}

/// RFL-004: an own create is known from its answer, so it never looks like a loss. In the original its cache may be older
/// than the count, which then reads as a drop.
#[test]
fn own_creates_are_no_losses_whatever_becomes_of_them() {
    for landed in [true, false] {
        let mut world = World::paced(3600, "0", 2);
        world.lose_next = Some((Intent::CreateMember, landed));
        world.settle();
        assert_eq!(world.members(), 2, "landed: {landed}");
    }
    let mut world = World::paced(3600, "0", 1);
    let create = std::iter::from_fn(|| world.machine.poll_action())
        .find(|action| action.intent == Intent::CreateMember)
        .unwrap();
    let outcome = Outcome::Refused(Refusal::Forbidden("quota".into()));
    world.machine.handle_event(Event::ActionDone { id: create.id, outcome }, world.now());
    world.settle();
    assert_eq!(world.members(), 1);
}

/// RFL-006: a member that is stuck goes, and the status says so, while the pool waits.
#[test]
fn what_is_not_a_refill_goes_on_while_a_pool_waits() {
    let mut world = World::paced(3600, "0", 3);
    world.settle();
    world.claim("claim");
    world.settle();
    assert_eq!((world.pool().status.replicas, world.pool().status.ready), (2, 2));
    let member =
        world.sandboxes().into_iter().find(|sandbox| sandbox.meta.is_owned_by(world.pool().meta.uid));
    world.kubelet = false;
    world.delete(Kind::Pod, &member.unwrap().meta.key.name.clone());
    world.settle();
    assert_eq!((world.pool().status.replicas, world.pool().status.ready), (2, 1));
    world.pass(Duration::from_secs(301));
    world.pass(Duration::from_secs(1));
    assert_eq!((world.members(), world.pool().status.replicas), (1, 1));
}

/// RES-021: a member that is not being made is none to wait for.
#[test]
fn claims_do_not_wait_for_a_pool_that_waits() {
    let mut world = World::paced(60, "0", 1);
    world.settle();
    for claim in ["first", "second", "third"] {
        world.claim(claim);
    }
    world.drain();
    world.start_pods();
    world.drain();
    assert!(["first", "second", "third"].iter().all(|claim| world.get_claim(claim).status.is_ready()));
    assert_eq!(world.members(), 0);
}

/// RFL-010, RFL-011, WPL-030, WPL-031. In the original the rest of a batch has no timer of its own: an early one would
/// meet a cache that is behind, and stall for half a minute.
#[test]
fn a_pool_makes_those_of_one_second_at_once_and_the_rest_one_by_one() {
    let mut world = World::paced(0, "2", 7);
    world.drain();
    assert_eq!(world.members(), 2);
    assert_eq!(world.members_by_second(3), [4, 6, 7]);
    world.pass(Duration::from_secs(60));
    world.replicas(20);
    world.drain();
    assert_eq!(world.members(), 9, "no more than those of one second are saved up");
}

/// WPL-034: the rate spares the server, which has worked on a create that it refused, too.
#[test]
fn a_create_that_fails_counts_against_the_rate() {
    let mut world = World::paced(0, "1", 2);
    let create = std::iter::from_fn(|| world.machine.poll_action())
        .find(|action| action.intent == Intent::CreateMember)
        .unwrap();
    let outcome = Outcome::Refused(Refusal::Forbidden("quota".into()));
    world.machine.handle_event(Event::ActionDone { id: create.id, outcome }, world.now());
    world.pass(Duration::from_millis(999));
    assert_eq!(world.members(), 0, "although its back-off is long over");
    world.pass(Duration::from_millis(1));
    assert_eq!(world.members(), 1);
}

/// RFL-014: the wait postpones the start, and the rate shapes what follows.
#[test]
fn a_pool_that_has_waited_begins_with_a_full_second() {
    let mut world = World::paced(5, "3", 6);
    world.settle();
    for number in 0..6 {
        world.claim(&format!("claim-{number}"));
    }
    world.drain();
    assert_eq!(world.members_by_second(7), [0, 0, 0, 0, 3, 6, 6]);
}

/// INV-28: the server puts one create off, and refuses another of the same pool: that one does not make it ask sooner.
#[test]
fn a_pool_that_was_put_off_waits_although_another_create_of_its_fails() {
    let mut world = World::with_pool(2);
    let creates = |world: &mut World| {
        let sent = std::iter::from_fn(|| world.machine.poll_action());
        sent.filter(|action| action.intent == Intent::CreateMember).collect::<Vec<_>>()
    };
    let sent = creates(&mut world);
    let outcomes =
        [Outcome::Throttled(Duration::from_secs(1)), Outcome::Refused(Refusal::Forbidden("quota".into()))];
    assert_eq!(sent.len(), outcomes.len());
    for (action, outcome) in sent.iter().zip(outcomes) {
        world.machine.handle_event(Event::ActionDone { id: action.id, outcome }, world.now());
    }
    world.time += 900_000;
    world.machine.handle_timeout(world.now());
    assert_eq!(creates(&mut world), []);
    world.time += 100_000;
    world.machine.handle_timeout(world.now());
    assert_eq!(creates(&mut world).len(), 2);
}

/// INV-28: the server puts the create of one volume off, or refuses it, and then makes another, which was under way: that
/// does not make it ask sooner.
#[test]
fn a_volume_that_was_put_off_or_refused_waits_although_another_of_its_sandbox_is_made() {
    let put_off = Outcome::Throttled(Duration::from_secs(1));
    for outcome in [put_off, Outcome::Refused(Refusal::Invalid("no such class".into()))] {
        let mut world = World::with_pool(0);
        own_sandbox_with_two_volumes(&mut world);
        let sent = volumes_created(&mut world);
        world.machine.handle_event(Event::ActionDone { id: sent[0].id, outcome }, world.now());
        let made = world.answer(&sent[1]);
        world.machine.handle_event(Event::ActionDone { id: sent[1].id, outcome: made }, world.now());
        world.time += 900_000;
        world.machine.handle_timeout(world.now());
        assert_eq!(names(&volumes_created(&mut world)), [""; 0]);
        world.time += 60_000_000;
        world.machine.handle_timeout(world.now());
        assert_eq!(names(&volumes_created(&mut world)), ["data-own"]);
    }
}

fn own_sandbox_with_two_volumes(world: &mut World) {
    world.own_sandbox(|sandbox| {
        let claim = |name: &str| serde_json::json!({ "metadata": { "name": name }, "spec": {} });
        sandbox.volume_claims = Some(Json::from(&serde_json::json!([claim("data"), claim("logs")])));
    });
}

fn volumes_created(world: &mut World) -> Vec<Action> {
    let sent = std::iter::from_fn(|| world.machine.poll_action());
    sent.filter(|action| action.intent == Intent::CreateVolumeClaim).collect()
}

fn names(sent: &[Action]) -> Vec<String> {
    sent.iter().map(|action| action.operation.key().name.to_string()).collect()
}

/// INV-28: the server puts the create of one volume off, and refuses that of another, which is another request: neither
/// makes the other be asked for sooner, nor later.
#[test]
fn a_volume_that_was_put_off_waits_although_another_of_its_sandbox_is_refused() {
    let mut world = World::with_pool(0);
    own_sandbox_with_two_volumes(&mut world);
    let sent = volumes_created(&mut world);
    assert_eq!(names(&sent), ["data-own", "logs-own"]);
    let invalid = Refusal::Invalid("no such class".into());
    for (action, outcome) in
        sent.iter().zip([Outcome::Throttled(Duration::from_secs(1)), Outcome::Refused(invalid)])
    {
        world.machine.handle_event(Event::ActionDone { id: action.id, outcome }, world.now());
    }
    world.time += 900_000;
    world.machine.handle_timeout(world.now());
    assert_eq!(names(&volumes_created(&mut world)), [""; 0]);
    world.time += 100_000;
    world.machine.handle_timeout(world.now());
    assert_eq!(names(&volumes_created(&mut world)), ["data-own"]);
}

/// INV-28: as where many use one quota at a time. Nobody else is to blame, so looking does not help.
#[test]
fn what_the_server_refuses_with_a_conflict_each_time_is_asked_for_later_each_time() {
    for intent in
        [Intent::CreateMember, Intent::RecordAssignment, Intent::AdoptSandbox, Intent::SetClaimStatus]
    {
        let mut world = World::with_pool(1);
        if intent != Intent::CreateMember {
            world.settle();
        }
        world.conflicts = Some(intent);
        world.claim("claim");
        for _ in 0..100 {
            world.pass(Duration::from_millis(100));
        }
        let times = world.count(intent);
        assert!((4..=9).contains(&times), "{intent:?} {times} times");
        world.conflicts = None;
        world.pass_seconds(60);
        world.settle();
        assert!(world.get_claim("claim").status.is_ready(), "{intent:?}");
    }
}
