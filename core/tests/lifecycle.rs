//! Stories through the public API, in life-cycle order, against a server that answers at once.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use agent_sandbox_core::action::{Action, Intent, Operation, Part};
use agent_sandbox_core::config::Config;
use agent_sandbox_core::event::{Event, Outcome, Refusal};
use agent_sandbox_core::id::{Key, Kind, Uid, Version};
use agent_sandbox_core::machine::Machine;
use agent_sandbox_core::names;
use agent_sandbox_core::object::{
    self, Blueprint, Claim, ClaimStatus, Json, Meta, Network, Object, Owner, Phase, PodMetadata, Pool,
    PoolStatus, Sandbox, SandboxStatus, Shutdown, Template, Truth, Update,
};
use agent_sandbox_core::pace::Rate;
use agent_sandbox_core::time::{Mono, Now, Wall};
use agent_sandbox_core::wishes::{Lifecycle, Policy, ShutdownPolicy, Wishes};

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

/// ADP-020, ADP-030, ADP-041, STS-004, CON-012, CON-013.
#[test]
fn a_claim_adopts_a_ready_member_with_three_writes_before_it_is_ready() {
    let mut world = World::with_pool(1);
    world.settle();
    let member = world.sandboxes()[0].meta.key.name.clone();
    world.sent.clear();
    world.claim("claim");
    world.drain();
    assert_eq!(world.sent[..3], [Intent::RecordAssignment, Intent::AdoptSandbox, Intent::SetClaimStatus]);
    world.settle();
    let claim = world.get_claim("claim");
    assert!(claim.status.is_ready());
    let bound = claim.status.sandbox.unwrap();
    assert_eq!((bound.name, bound.pod_ips.len()), (member.clone(), 1));
    assert_eq!(world.sandboxes().len(), 2, "the pool is full again");
    assert!(world.sandbox(&member).meta.is_owned_by(claim.meta.uid));
}

/// CLD-001, CON-041, RES-021.
#[test]
fn a_claim_on_an_empty_pool_starts_a_sandbox_of_its_own_name() {
    let mut world = World::with_pool(0);
    world.claim("claim");
    world.settle();
    let claim = world.get_claim("claim");
    assert_eq!(&*claim.status.sandbox.as_ref().unwrap().name, "claim");
    assert!(claim.status.is_ready());
    assert_eq!(world.sandboxes().len(), 1);
}

/// CON-045, INV-01, INV-02.
#[test]
fn more_claims_than_members_are_all_served_with_different_sandboxes() {
    let mut world = World::with_pool(2);
    world.settle();
    let claims: Vec<_> = (0..5).map(|i| format!("claim-{i}")).collect();
    for claim in &claims {
        world.claim(claim);
    }
    world.settle();
    let names: BTreeSet<_> =
        claims.iter().map(|claim| world.get_claim(claim).status.sandbox.unwrap().name).collect();
    assert_eq!(names.len(), 5);
    assert_eq!(world.sandboxes().len(), 7);
}

/// RES-020, RES-022.
#[test]
fn a_claim_waits_for_a_member_that_is_starting_and_takes_it() {
    let mut world = World::with_pool(1);
    world.kubelet = false;
    world.drain();
    world.claim("claim");
    world.drain();
    assert_eq!(world.get_claim("claim").status, ClaimStatus::default());
    world.kubelet = true;
    world.settle();
    assert_ne!(&*world.get_claim("claim").status.sandbox.unwrap().name, "claim");
}

/// RES-020, DEF-030: woken when the time is over, by a clock of its own.
#[test]
fn a_claim_waits_at_most_two_seconds() {
    let mut world = World::with_pool(1);
    world.kubelet = false;
    world.drain();
    world.claim("claim");
    world.drain();
    world.sent.clear();
    world.pass(Duration::from_millis(1999));
    assert!(!world.sent.contains(&Intent::RecordColdStart));
    world.pass(Duration::from_millis(2));
    assert!(world.sent.contains(&Intent::RecordColdStart));
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

/// CND-021, INV-35.
#[test]
fn a_bound_sandbox_that_vanishes_is_told_before_another_is_given() {
    let mut world = World::with_pool(1);
    world.settle();
    world.claim("claim");
    world.settle();
    let first = world.get_claim("claim").status.sandbox.unwrap().name;
    world.statuses.clear();
    world.delete(Kind::Sandbox, &first);
    world.settle();
    assert!(!world.statuses.first().unwrap().is_ready());
    assert!(world.get_claim("claim").status.is_ready());
    assert_ne!(world.get_claim("claim").status.sandbox.unwrap().name, first);
}

/// INV-31, INV-34.
#[test]
fn a_lost_answer_is_settled_by_repeating_the_same_write() {
    for intent in [Intent::RecordAssignment, Intent::AdoptSandbox, Intent::SetClaimStatus] {
        for landed in [true, false] {
            let mut world = World::with_pool(1);
            world.settle();
            world.lose_next = Some((intent, landed));
            world.claim("claim");
            world.settle();
            assert!(world.get_claim("claim").status.is_ready(), "{intent:?} landed: {landed}");
            assert_eq!(world.sandboxes().len(), 2, "{intent:?} landed: {landed}");
        }
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

/// CRS-001, CRS-002, CRS-003.
/// KEY-012, RES-001, RES-002, INV-31.
#[test]
fn a_new_process_finishes_what_the_old_one_had_recorded() {
    for cut in 0..12 {
        let mut world = World::with_pool(1);
        world.settle();
        world.claim("claim");
        world.drain_at_most(cut);
        world.restart();
        world.settle();
        assert!(world.get_claim("claim").status.is_ready(), "cut after {cut}");
        assert_eq!(world.sandboxes().len(), 2, "cut after {cut}");
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

#[test]
fn a_record_stays_while_a_late_create_may_bring_its_sandbox_back() {
    let mut world = World::with_pool(1);
    world.lose_next = Some((Intent::CreateMember, false));
    world.drain();
    world.pass(Duration::from_millis(200));
    world.start_pods();
    let name = world.sandboxes()[0].meta.key.name.to_string();
    let claim =
        Claim { meta: meta("claim"), pool: "pool".into(), wishes: None, status: ClaimStatus::default() };
    let object = world.put(Object::Claim(Arc::new(claim)));
    world.machine.handle_event(Event::Applied(object), world.now());
    let record = world.machine.poll_action().unwrap();
    assert_eq!(record.intent, Intent::RecordAssignment);
    let outcome = world.answer(&record);
    world.machine.handle_event(Event::ActionDone { id: record.id, outcome }, world.now());
    world.delete(Kind::Sandbox, &name);
    let next: Vec<_> =
        std::iter::from_fn(|| world.machine.poll_action()).map(|action| action.intent).collect();
    assert!(next.contains(&Intent::Look) && !next.contains(&Intent::ClearAssignment), "{next:?}");
}

#[test]
fn an_answer_that_arrives_after_the_deletion_revives_nothing() {
    let mut world = World::with_pool(1);
    let create = world.machine.poll_action().unwrap();
    let Operation::Create(draft) = &*create.operation else { unreachable!() };
    let member = world.put(draft.clone());
    world.machine.handle_event(Event::Applied(member.clone()), world.now());
    world.delete(Kind::Sandbox, &member.key().name);
    let at = Version(world.revision);
    world.machine.handle_event(Event::Progress { kind: Kind::Sandbox, at }, world.now());
    let done = Event::ActionDone { id: create.id, outcome: Outcome::Done(member) };
    world.machine.handle_event(done, world.now());
    let next = world.machine.poll_action().unwrap();
    assert_eq!(next.intent, Intent::CreateMember);
}

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

/// CND-011, CON-016.
#[test]
fn a_claim_for_a_missing_pool_says_so_and_recovers() {
    let mut world = World::with_pool(1);
    let pool = world.objects.remove(&(Kind::Pool, "pool".into())).unwrap();
    world.restart();
    world.claim("claim");
    world.drain();
    let told = world.get_claim("claim").status.conditions;
    assert_eq!(
        (&*told[0].reason, &*told[0].message),
        ("WarmPoolNotFound", "SandboxWarmPool \"pool\" not found")
    );
    let pool = world.put(pool);
    world.machine.handle_event(Event::Applied(pool), world.now());
    world.settle();
    assert!(world.get_claim("claim").status.is_ready());
}

#[test]
fn a_process_that_leads_again_settles_what_it_had_left_unsettled() {
    for intent in [Intent::CreateMember, Intent::CreatePod, Intent::SetPoolStatus] {
        let mut world = World::with_pool(2);
        world.lose_next = Some((intent, false));
        while world.lose_next.is_some() {
            world.drain_at_most(1);
            world.start_pods();
        }
        world.machine.handle_event(Event::Standby, world.now());
        world.lead();
        world.settle();
        assert_eq!(world.sandboxes().len(), 2, "{intent:?}");
        assert_eq!(world.pool().status.ready, 2, "{intent:?}");
    }
}

/// INV-31.
#[test]
fn a_standby_writes_nothing() {
    let mut world = World::with_pool(1);
    world.machine.handle_event(Event::Standby, world.now());
    world.claim("claim");
    world.drain();
    assert_eq!(world.sent, []);
}

#[test]
fn a_claim_that_loses_a_sandbox_it_never_recorded_wakes_its_pool() {
    let mut world = World::with_pool(1);
    world.settle();
    world.kubelet = false;
    let claim =
        Claim { meta: meta("claim"), pool: "pool".into(), wishes: None, status: ClaimStatus::default() };
    let claim = world.put(Object::Claim(Arc::new(claim)));
    let mut sandbox = (*world.sandboxes()[0]).clone();
    sandbox.meta = meta("owned");
    sandbox.meta.owner = Some(Owner::new(Kind::Claim, claim.meta()));
    world.put(Object::Sandbox(Arc::new(sandbox)));
    world.restart();
    world.drain();
    world.sent.clear();
    world.delete(Kind::Sandbox, "owned");
    world.drain();
    assert!(world.sent.contains(&Intent::RecordAssignment), "{:?}", world.sent);
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

/// DEF-011.
#[test]
fn a_member_that_was_recorded_in_vain_serves_the_next_claim() {
    let mut world = World::with_pool(1);
    world.settle();
    let member = world.sandboxes()[0].meta.key.name.clone();
    world.claim("first");
    world.drain_at_most(1);
    assert_eq!(world.get_claim("first").meta.annotation(names::SANDBOX_NAME), Some(&member));
    world.delete(Kind::Claim, "first");
    world.claim("second");
    world.settle();
    assert_eq!(world.get_claim("second").status.sandbox.unwrap().name, member);
}

/// DEF-013: what a claim's user changes in the meantime is looked at before it gets anything.
#[test]
fn a_claim_that_has_changed_since_is_decided_anew() {
    let mut world = World::with_pool(1);
    world.settle();
    world.claim("claim");
    let record = world.machine.poll_action().unwrap();
    assert_eq!(record.intent, Intent::RecordAssignment);
    let mut claim = world.get_claim("claim");
    claim.pool = "another".into();
    let changed = world.put(Object::Claim(Arc::new(claim)));
    let outcome = world.answer(&record);
    assert_eq!(outcome, Outcome::Conflict);
    world.machine.handle_event(Event::ActionDone { id: record.id, outcome }, world.now());
    world.machine.handle_event(Event::Applied(changed), world.now());
    world.settle();
    let claim = world.get_claim("claim");
    assert_eq!(&*claim.status.conditions[0].reason, "WarmPoolNotFound");
    assert_eq!(claim.meta.annotation(names::SANDBOX_NAME), None);
}

/// Claims that have recorded members of a pool wait to know what has become of it, whichever pool they name by then.
#[test]
fn claims_that_were_moved_learn_that_the_pool_of_their_members_is_gone() {
    let mut world = World::with_pool(2);
    world.settle();
    for (number, member) in world.sandboxes().into_iter().enumerate() {
        let mut claim = Claim {
            meta: meta(&format!("claim-{number}")),
            pool: "another".into(),
            wishes: None,
            status: ClaimStatus::default(),
        };
        claim.meta.annotations.insert(names::SANDBOX_NAME.into(), member.meta.key.name.clone());
        world.put(Object::Claim(Arc::new(claim)));
    }
    world.objects.remove(&(Kind::Pool, "pool".into()));
    world.restart();
    let mut last = None;
    while let Some(action) = world.machine.poll_action() {
        if (action.operation.kind(), &*action.operation.key().name) == (Kind::Pool, "pool") {
            last = Some(action);
            continue;
        }
        let outcome = world.answer(&action);
        world.machine.handle_event(Event::ActionDone { id: action.id, outcome }, world.now());
    }
    let id = last.expect("one of them asks").id;
    world.machine.handle_event(Event::ActionDone { id, outcome: Outcome::NotFound }, world.now());
    world.settle();
    assert!(world.sandboxes().is_empty(), "{:?}", world.sandboxes());
}

/// DEF-029: who finishes what another process has begun says so, too.
#[test]
fn an_adoption_that_a_dead_process_had_recorded_has_its_event() {
    let mut world = World::with_pool(1);
    world.settle();
    world.claim("claim");
    world.drain_at_most(1);
    world.restart();
    world.sent.clear();
    world.settle();
    assert!(world.sent.contains(&Intent::AdoptSandbox) && world.sent.contains(&Intent::Notify));
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

/// INV-28: how it ended is known from its Pod before the sandbox says so itself, and the time of that is when it was first
/// told. With the present moment in its place the claim would be written anew at each look.
#[test]
fn a_claim_says_once_how_its_sandbox_ended_however_long_that_cannot_say_so() {
    let mut world = World::with_pool(1);
    world.settle();
    world.claim("claim");
    world.settle();
    let name = world.get_claim("claim").status.sandbox.unwrap().name;
    let Object::Pod(pod) = &world.objects[&(Kind::Pod, name.to_string())] else { unreachable!() };
    let mut pod = (**pod).clone();
    (pod.phase, pod.ready) = (Phase::Succeeded, false);
    let ended = world.put(Object::Pod(Arc::new(pod)));
    world.machine.handle_event(Event::Applied(ended), world.now());
    world.statuses.clear();
    for _ in 0..20 {
        while let Some(action) = world.machine.poll_action() {
            let outcome = if action.intent == Intent::SetSandboxStatus {
                Outcome::Refused(Refusal::Forbidden("not now".into()))
            } else {
                world.execute(&action.operation)
            };
            world.machine.handle_event(Event::ActionDone { id: action.id, outcome }, world.now());
        }
        world.time += 1_000_000;
        world.machine.handle_timeout(world.now());
    }
    let told = world.statuses.iter().filter(|status| status.condition(names::FINISHED).is_some()).count();
    assert_eq!((told, world.statuses.len()), (1, 1));
}

/// RES-013.
#[test]
fn a_claim_that_has_a_sandbox_works_without_its_pool() {
    let mut world = World::with_pool(1);
    world.settle();
    world.claim("claim");
    world.settle();
    let bound = world.get_claim("claim").status.sandbox.unwrap().name;
    world.delete(Kind::Pool, "pool");
    world.delete(Kind::Pod, &bound);
    world.settle();
    let claim = world.get_claim("claim");
    assert!(claim.status.is_ready());
    assert_eq!(claim.status.sandbox.unwrap().name, bound);
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

/// DEF-035, INV-12.
#[test]
fn a_claim_named_like_a_member_is_served() {
    let mut world = World::with_pool(1);
    world.settle();
    let member = world.sandboxes()[0].meta.key.name.clone();
    world.claim(&member);
    world.settle();
    let claim = world.get_claim(&member);
    assert!(claim.status.is_ready());
    assert!(world.sandbox(&member).meta.is_owned_by(claim.meta.uid));
}

/// EVT-001, EVT-002, CLM-009, LIF-013, DEF-012, DEF-014: the server here refuses a delete without uid and version.
#[test]
fn a_claim_whose_time_is_over_says_so_once_and_goes() {
    for policy in [ShutdownPolicy::Delete, ShutdownPolicy::DeleteForeground] {
        let mut world = World::with_pool(1);
        world.settle();
        world.claim_until("claim", 60, policy);
        world.settle();
        assert!(world.get_claim("claim").status.is_ready());
        world.notes.clear();
        world.pass(Duration::from_secs(60));
        world.settle();
        let deleting = format!("Deleting Claim (ShutdownPolicy={})", policy.as_str());
        assert_eq!(world.notes, ["Claim expired", &deleting]);
        assert!(!world.objects.contains_key(&(Kind::Claim, "claim".into())));
    }
}

/// LIF-010, LIF-011, EVT-001: what it says of the end stays.
#[test]
fn a_claim_that_stays_when_its_time_is_over_loses_its_sandbox() {
    let mut world = World::with_pool(1);
    world.settle();
    world.claim_until("claim", 60, ShutdownPolicy::Retain);
    world.settle();
    let name = world.get_claim("claim").status.sandbox.unwrap().name;
    world.notes.clear();
    world.pass(Duration::from_secs(60));
    world.settle();
    let claim = world.get_claim("claim");
    let ready = claim.status.condition(names::READY).unwrap();
    assert_eq!((&*ready.reason, claim.status.sandbox.is_none()), ("ClaimExpired", true));
    assert!(world.sandboxes().iter().all(|sandbox| sandbox.meta.key.name != name));
    assert_eq!(world.notes, ["Claim expired"]);
    assert_eq!(world.sandboxes().len(), 1, "the pool is full, and nothing else is left");
}

/// LIF-012, INV-21, INV-07: a process that has not seen that the claim was given more time does not touch its next
/// sandbox: it asks, and learns.
#[test]
fn a_process_that_is_behind_spares_the_sandbox_of_a_claim_that_was_given_more_time() {
    let mut world = World::with_pool(0);
    world.settle();
    world.claim_until("claim", 60, ShutdownPolicy::Retain);
    world.settle();
    world.pass(Duration::from_secs(60));
    world.settle();
    let mut behind = world.machine.clone();
    let mut claim = world.get_claim("claim");
    claim.wishes = None;
    claim.meta.generation += 1;
    let object = world.put(Object::Claim(Arc::new(claim)));
    world.machine.handle_event(Event::Applied(object), world.now());
    world.settle();
    assert!(world.get_claim("claim").status.is_ready());
    let sandbox = Object::Sandbox(world.sandbox("claim"));
    behind.handle_event(Event::Applied(sandbox), world.now());
    let mut asked = false;
    while let Some(action) = behind.poll_action() {
        assert_ne!(action.intent, Intent::DeleteClaimSandbox);
        asked |= action.intent == Intent::Look && action.operation.kind() == Kind::Claim;
        let outcome = world.answer(&action);
        behind.handle_event(Event::ActionDone { id: action.id, outcome }, world.now());
    }
    assert!(asked);
}

/// CND-005, INV-17: two leaders, one of which has not seen the sandbox's latest generation.
#[test]
fn a_process_that_is_behind_does_not_take_back_the_generation_of_how_a_claim_finished() {
    let mut world = World::with_pool(1);
    world.settle();
    world.claim("claim");
    world.settle();
    world.kubelet = false;
    let name = world.get_claim("claim").status.sandbox.unwrap().name;
    let Object::Pod(mut pod) = world.objects[&(Kind::Pod, name.to_string())].clone() else { unreachable!() };
    (Arc::make_mut(&mut pod).phase, Arc::make_mut(&mut pod).ready) = (Phase::Succeeded, false);
    let pod = world.put(Object::Pod(pod));
    world.machine.handle_event(Event::Applied(pod), world.now());
    world.settle();
    let observed =
        |world: &World| world.get_claim("claim").status.condition(names::FINISHED).unwrap().observed;
    let before = observed(&world);
    let mut behind = world.machine.clone();
    let mut sandbox = (*world.sandbox(&name)).clone();
    sandbox.meta.generation += 1;
    let sandbox = world.put(Object::Sandbox(Arc::new(sandbox)));
    world.machine.handle_event(Event::Applied(sandbox), world.now());
    world.settle();
    assert_eq!(observed(&world), before + 1);
    behind.handle_event(Event::Applied(Object::Claim(Arc::new(world.get_claim("claim")))), world.now());
    while let Some(action) = behind.poll_action() {
        let outcome = world.answer(&action);
        behind.handle_event(Event::ActionDone { id: action.id, outcome }, world.now());
    }
    assert_eq!(observed(&world), before + 1);
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
    for policy in [object::ShutdownPolicy::Retain, object::ShutdownPolicy::Delete] {
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
            object::ShutdownPolicy::Retain => {
                assert_eq!(world.sent, [Intent::SetSandboxStatus, Intent::DeletePod, Intent::DeleteService]);
                let status = world.sandbox("own").status.clone();
                assert!(status.is_expired() && status.pod_ips.is_empty() && status.service.is_empty());
            }
            object::ShutdownPolicy::Delete => {
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

fn is_true(status: &SandboxStatus, kind: &str) -> bool {
    status.condition(kind).is_some_and(|condition| condition.status == Truth::True)
}

/// A server that answers at once, and its watches.
struct World {
    config: Config,
    machine: Machine,
    objects: BTreeMap<(Kind, String), Object>,
    revision: u64,
    time: u64,
    term: u64,
    kubelet: bool,
    sent: Vec<Intent>,
    statuses: Vec<ClaimStatus>,
    /// What Kubernetes Events say.
    notes: Vec<String>,
    lose_next: Option<(Intent, bool)>,
}

impl World {
    fn with_pool(replicas: u32) -> Self {
        Self::of(Config::default(), replicas)
    }

    /// A pool that is refilled so long after a loss, and with so many members a second.
    fn paced(delay: u64, rate: &str, replicas: u32) -> Self {
        let refill_rate = Rate::parse(rate).unwrap();
        let replenish_delay = Duration::from_secs(delay);
        Self::of(Config { replenish_delay, refill_rate, ..Config::default() }, replicas)
    }

    fn of(config: Config, replicas: u32) -> Self {
        let mut world = Self {
            machine: Machine::new(config.clone(), Now::default()),
            config,
            objects: BTreeMap::new(),
            revision: 0,
            time: 1_000_000,
            term: 0,
            kubelet: true,
            sent: Vec::new(),
            statuses: Vec::new(),
            notes: Vec::new(),
            lose_next: None,
        };
        let blueprint = Blueprint {
            pod: PodMetadata::default(),
            pod_spec: Json::new(serde_json::value::RawValue::from_string("{}".into()).unwrap()),
            volume_claims: None,
            service: None,
            hash: "h".into(),
            pod_hash: "p".into(),
        };
        let mut meta_of_template = meta("tpl");
        let hash = names::name_hash("tpl");
        meta_of_template.labels.insert(names::TEMPLATE_REF_HASH.into(), hash);
        world.put(Object::Template(Arc::new(Template {
            meta: meta_of_template,
            blueprint: Arc::new(blueprint),
            network: Network::Unmanaged,
            env_policy: Policy::default(),
            volume_claims_policy: Policy::default(),
            flaw: None,
        })));
        let status = PoolStatus { selector: "".into(), ..PoolStatus::default() };
        world.put(Object::Pool(Arc::new(Pool {
            meta: meta("pool"),
            replicas,
            template: "tpl".into(),
            update: Update::OnReplenish,
            status,
        })));
        world.restart();
        world
    }

    fn now(&self) -> Now {
        Now { mono: Mono::from_micros(self.time), wall: Wall::from_micros(self.time as i64) }
    }

    fn restart(&mut self) {
        self.machine = Machine::new(self.config.clone(), self.now());
        self.lead();
    }

    fn lead(&mut self) {
        self.term += 1;
        self.machine.handle_event(Event::Leading { term: self.term }, self.now());
        for kind in Kind::ALL {
            let objects = self.objects.values().filter(|object| object.kind() == kind).cloned().collect();
            let at = Version(self.revision);
            self.machine.handle_event(Event::Relisted { kind, objects, at }, self.now());
        }
    }

    fn claim(&mut self, name: &str) {
        let claim =
            Claim { meta: meta(name), pool: "pool".into(), wishes: None, status: ClaimStatus::default() };
        let object = self.put(Object::Claim(Arc::new(claim)));
        self.machine.handle_event(Event::Applied(object), self.now());
    }

    fn claim_until(&mut self, name: &str, seconds: u64, policy: ShutdownPolicy) {
        let shutdown = Some(self.now().wall + Duration::from_secs(seconds));
        let lifecycle = Some(Lifecycle { shutdown, ttl: None, policy });
        let wishes = Some(Arc::new(Wishes { lifecycle, ..Wishes::default() }));
        let claim = Claim { meta: meta(name), pool: "pool".into(), wishes, status: ClaimStatus::default() };
        let object = self.put(Object::Claim(Arc::new(claim)));
        self.machine.handle_event(Event::Applied(object), self.now());
    }

    /// A sandbox called `own`, as a user makes it.
    fn own_sandbox(&mut self, change: impl FnOnce(&mut Sandbox)) {
        let mut sandbox = Sandbox {
            meta: meta("own"),
            pod: PodMetadata::default(),
            pod_spec: Json::from(&serde_json::json!({})),
            volume_claims: None,
            service: None,
            suspended: false,
            shutdown: None,
            status: SandboxStatus::default(),
        };
        change(&mut sandbox);
        let object = self.put(Object::Sandbox(Arc::new(sandbox)));
        self.machine.handle_event(Event::Applied(object), self.now());
    }

    fn edit(&mut self, change: impl FnOnce(&mut Sandbox)) {
        let mut sandbox = (*self.sandbox("own")).clone();
        change(&mut sandbox);
        sandbox.meta.generation += 1;
        let object = self.put(Object::Sandbox(Arc::new(sandbox)));
        self.machine.handle_event(Event::Applied(object), self.now());
    }

    fn template(&self) -> Template {
        let Object::Template(template) = &self.objects[&(Kind::Template, "tpl".into())] else {
            unreachable!()
        };
        (**template).clone()
    }

    /// Makes it, or edits the one that is there.
    fn make_template(&mut self, template: &Template) {
        let mut template = template.clone();
        if !self.objects.contains_key(&(Kind::Template, "tpl".into())) {
            template.meta.uid = Uid::UNSET;
        }
        let object = self.put(Object::Template(Arc::new(template)));
        self.machine.handle_event(Event::Applied(object), self.now());
    }

    fn replicas(&mut self, replicas: u32) {
        let mut pool = self.pool();
        pool.replicas = replicas;
        pool.meta.generation += 1;
        let object = self.put(Object::Pool(Arc::new(pool)));
        self.machine.handle_event(Event::Applied(object), self.now());
    }

    fn delete(&mut self, kind: Kind, name: &str) {
        let mut object = self.objects.remove(&(kind, name.into())).unwrap();
        self.revision += 1;
        object.meta_mut().version = Version(self.revision);
        self.machine.handle_event(Event::Deleted(object.clone()), self.now());
        let children: Vec<_> =
            self.objects.values().filter(|child| child.meta().is_owned_by(object.uid())).cloned().collect();
        for child in children {
            self.delete(child.kind(), &child.key().name.clone());
        }
    }

    fn put(&mut self, mut object: Object) -> Object {
        self.revision += 1;
        let (revision, now) = (self.revision, self.now().wall);
        let meta = object.meta_mut();
        if meta.uid == Uid::UNSET {
            (meta.uid, meta.generation, meta.created) =
                (Uid::from_bits(revision.into()), 1, now.whole_seconds());
        }
        meta.version = Version(revision);
        self.objects.insert((object.kind(), object.key().name.to_string()), object.clone());
        object
    }

    fn drain(&mut self) {
        self.drain_at_most(usize::MAX);
    }

    fn drain_at_most(&mut self, most: usize) {
        for _ in 0..most {
            let Some(action) = self.machine.poll_action() else { break };
            assert!(self.sent.len() < 10_000, "does not come to rest");
            self.sent.push(action.intent);
            let outcome = self.answer(&action);
            self.machine.handle_event(Event::ActionDone { id: action.id, outcome }, self.now());
        }
        if most == usize::MAX {
            assert_eq!(self.machine.forgotten(), [], "a full pass finds more to do");
        }
    }

    fn answer(&mut self, action: &Action) -> Outcome {
        match self.lose_next {
            Some((intent, landed)) if intent == action.intent => {
                self.lose_next = None;
                if landed {
                    self.execute(&action.operation);
                }
                Outcome::Unknown
            }
            _ => self.execute(&action.operation),
        }
    }

    fn execute(&mut self, operation: &Operation) -> Outcome {
        let slot = (operation.kind(), operation.key().name.to_string());
        match operation {
            Operation::Create(_) if self.objects.contains_key(&slot) => Outcome::AlreadyExists,
            Operation::Create(object) => Outcome::Done(self.put(object.clone())),
            Operation::Get { .. } => {
                self.objects.get(&slot).cloned().map_or(Outcome::NotFound, Outcome::Done)
            }
            Operation::Notify(notice) => {
                self.notes.push(notice.note.to_string());
                Outcome::Accepted
            }
            Operation::Patch(patch) => {
                let Some(mut object) = self.objects.get(&slot).cloned() else { return Outcome::NotFound };
                if Some(object.version()) != patch.version || Some(object.uid()) != patch.target.uid {
                    return Outcome::Conflict;
                }
                for change in &patch.changes {
                    change.apply(&mut object);
                }
                if patch.changes.iter().any(|change| change.is_spec()) {
                    object.meta_mut().generation += 1;
                }
                if let (Part::Status, Object::Claim(claim)) = (patch.part, &object) {
                    self.statuses.push(claim.status.clone());
                }
                Outcome::Done(self.put(object))
            }
            Operation::Delete { target, version, .. } => {
                let Some(object) = self.objects.get(&slot) else { return Outcome::NotFound };
                if Some(object.version()) != *version || Some(object.uid()) != target.uid {
                    return Outcome::Conflict;
                }
                let key = object.key().name.clone();
                self.delete(slot.0, &key);
                Outcome::Accepted
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.time += time.as_micros() as u64;
        self.machine.handle_timeout(self.now());
        self.drain();
    }

    /// Runs Pods and timers until nothing happens for a while.
    fn settle(&mut self) {
        for _ in 0..200 {
            self.drain();
            self.start_pods();
            self.drain();
            self.pass(Duration::from_millis(200));
        }
    }

    fn start_pods(&mut self) {
        let pods: Vec<_> =
            self.objects.values().filter(|object| object.kind() == Kind::Pod).cloned().collect();
        for mut object in pods {
            let Object::Pod(pod) = &mut object else { continue };
            if !self.kubelet || pod.ready {
                continue;
            }
            let pod = Arc::make_mut(pod);
            (pod.phase, pod.ready, pod.node) = (Phase::Running, true, "node".into());
            pod.ips = vec!["10.0.0.1".into()];
            pod.scheduled = Some((Truth::True, "".into(), "".into()));
            let object = self.put(object);
            self.machine.handle_event(Event::Applied(object), self.now());
        }
    }

    /// Returns how many members the pool has.
    fn members(&self) -> usize {
        let pool = self.pool().meta.uid;
        self.sandboxes().iter().filter(|sandbox| sandbox.meta.is_owned_by(pool)).count()
    }

    /// Lets time pass second by second, Pods start, and returns how many members there are after each.
    fn members_by_second(&mut self, seconds: usize) -> Vec<usize> {
        let second = |world: &mut Self| {
            world.start_pods();
            world.pass(Duration::from_secs(1));
            world.members()
        };
        (0..seconds).map(|_| second(self)).collect()
    }

    fn pool(&self) -> Pool {
        let Object::Pool(pool) = &self.objects[&(Kind::Pool, "pool".into())] else { unreachable!() };
        (**pool).clone()
    }

    fn get_claim(&self, name: &str) -> Claim {
        let Object::Claim(claim) = &self.objects[&(Kind::Claim, name.into())] else { unreachable!() };
        (**claim).clone()
    }

    fn sandbox(&self, name: &str) -> Arc<Sandbox> {
        let Object::Sandbox(sandbox) = &self.objects[&(Kind::Sandbox, name.into())] else { unreachable!() };
        sandbox.clone()
    }

    fn sandboxes(&self) -> Vec<Arc<Sandbox>> {
        let of_kind = self.objects.keys().filter(|(kind, _)| *kind == Kind::Sandbox);
        of_kind.map(|(_, name)| self.sandbox(name)).collect()
    }
}

fn meta(name: &str) -> Meta {
    Meta::draft(Key::new("ns", name))
}
