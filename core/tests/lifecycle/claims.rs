//! The lives of claims.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use agent_sandbox_core::action::{Intent, Operation};
use agent_sandbox_core::event::{Event, Outcome, Refusal};
use agent_sandbox_core::id::{Kind, Uid, Version};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Claim, ClaimStatus, Dependent, Json, Object, Owner, Phase};
use agent_sandbox_core::wishes::{ClaimShutdownPolicy, Lifecycle, Wishes};

use crate::world::{World, meta, new_claim};

/// CON-024, RES-011, RES-012, ADP-021, SBX-103, ACC-071.
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

/// ADP-003, ACC-001.
/// CLM-031, ACC-072, ACC-104.
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

/// SACC-220.
/// ACC-098.
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

/// CLM-011, ACC-102, ACC-103, ACC-106.
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

/// ACC-078, ACC-105.
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

/// INV-28: a look that the server has put off is not asked for again any sooner, whoever wants to know.
#[test]
fn a_look_that_was_put_off_waits_in_the_next_term_too() {
    let mut world = World::with_pool(0);
    world.settle();
    world.claim("claim");
    world.settle();
    world.objects.retain(|(kind, _), _| !matches!(kind, Kind::Sandbox | Kind::Pod));
    world.restart();
    let asks = |world: &mut World| {
        let mut sent = std::iter::from_fn(|| world.machine.poll_action());
        sent.find(|action| action.intent == Intent::Look)
    };
    let look = asks(&mut world).expect("it asks before it says that there is none");
    let outcome = Outcome::Throttled(Duration::from_secs(1));
    world.machine.handle_event(Event::ActionDone { id: look.id, outcome }, world.now());
    world.machine.handle_event(Event::Standby, world.now());
    world.lead();
    assert_eq!(asks(&mut world), None);
    world.time += 1_000_000;
    world.machine.handle_timeout(world.now());
    assert!(asks(&mut world).is_some());
}

/// CON-018: a read that found no pool may be older than one that has come and gone since, and its successor may be there.
#[test]
fn a_pool_that_has_come_and_gone_during_a_read_is_asked_for_again() {
    let mut world = World::with_pool(0);
    world.settle();
    let mut pool = world.pool();
    pool.meta.uid = Uid::UNSET;
    world.delete(Kind::Pool, "pool");
    world.claim("claim");
    let asks = |world: &mut World| {
        let mut sent = std::iter::from_fn(|| world.machine.poll_action());
        sent.find(|action| matches!(*action.operation, Operation::Get { kind: Kind::Pool, .. }))
    };
    let look = asks(&mut world).expect("it asks before it says that there is none");
    world.show(Object::Pool(Arc::new(pool)));
    world.delete(Kind::Pool, "pool");
    let answer = Event::ActionDone { id: look.id, outcome: Outcome::NotFound };
    world.machine.handle_event(answer, world.now());
    assert_eq!(world.machine.poll_action(), None);
    world.machine.handle_timeout(world.now());
    assert!(asks(&mut world).is_some());
}

/// INV-17: a read that found nobody may be older than the status that a rival has written since.
#[test]
fn a_sandbox_that_a_rival_has_made_and_named_is_not_forgotten_for_an_older_read() {
    let mut world = World::with_pool(0);
    world.settle();
    world.claim("claim");
    world.settle();
    let (named, mut again) = (world.get_claim("claim"), (*world.sandbox("claim")).clone());
    world.objects.retain(|(kind, _), _| !matches!(kind, Kind::Sandbox | Kind::Pod));
    world.restart();
    let mut asked = std::iter::from_fn(|| world.machine.poll_action());
    let look = asked
        .find(|action| action.intent == Intent::Look)
        .expect("it asks before it says that there is none");
    // A rival has cleared the status, made another and named it; the watch of sandboxes lags.
    world.show(Object::Claim(Arc::new(Claim { status: ClaimStatus::default(), ..named.clone() })));
    again.meta.uid = Uid::UNSET;
    world.put(Object::Sandbox(Arc::new(again)));
    world.show(Object::Claim(Arc::new(named)));
    world.statuses.clear();
    let answer = Event::ActionDone { id: look.id, outcome: Outcome::NotFound };
    world.machine.handle_event(answer, world.now());
    world.settle();
    assert!(world.statuses.iter().all(|status| status.sandbox.is_some()), "{:?}", world.statuses);
}

/// INV-03: a predecessor's write takes the record off while the answer to the transfer is lost.
#[test]
fn a_claim_whose_record_is_taken_off_while_its_member_changes_hands_is_given_no_other() {
    let mut world = World::with_pool(2);
    world.settle();
    world.lose_next = Some((Intent::AdoptSandbox, false));
    world.claim("claim");
    world.drain();
    let mut claim = world.get_claim("claim");
    let member = claim.meta.annotations.remove(names::SANDBOX_NAME).expect("it is recorded");
    world.show(Object::Claim(Arc::new(claim)));
    world.drain();
    assert_eq!(world.count(Intent::RecordAssignment), 1);
    world.settle();
    assert_eq!(world.get_claim("claim").status.sandbox.unwrap().name, member);
}

/// INV-09: nobody has seen the pool that made the member, and another has its name now.
#[test]
fn a_claim_with_a_member_of_an_unknown_pool_learns_that_another_pool_has_the_name() {
    let mut world = World::with_pool(1);
    world.settle();
    world.claim("claim");
    while world.count(Intent::RecordAssignment) == 0 {
        world.drain_at_most(1);
    }
    let (mut pool, claim) = (world.pool(), world.get_claim("claim"));
    world.put(Object::Claim(Arc::new(Claim { pool: "elsewhere".into(), ..claim })));
    world.objects.remove(&(Kind::Pool, "pool".into()));
    world.restart();
    let asked: Vec<_> = std::iter::from_fn(|| world.machine.poll_action()).collect();
    assert!(asked.iter().any(|action| *action.operation.key().name == *"pool"), "{asked:?}");
    (pool.meta.uid, pool.replicas) = (Uid::UNSET, 0);
    world.show(Object::Pool(Arc::new(pool)));
    world.drain();
    assert_eq!(world.count(Intent::DeleteMember), 1);
}

/// INV-28: what the server says counts, not what a watch that lags shows.
#[test]
fn a_sandbox_that_is_not_its_claims_any_more_is_asked_for_once() {
    let mut world = World::with_pool(0);
    world.settle();
    world.claim("claim");
    world.settle();
    assert!(world.get_claim("claim").status.is_ready());
    // A user takes it and deletes it, and no watch tells of the end.
    let mut taken = (*world.sandbox("claim")).clone();
    taken.meta.owner = None;
    world.show(Object::Sandbox(Arc::new(taken)));
    let old = world.objects.remove(&(Kind::Sandbox, "claim".into()));
    assert!(old.is_some());
    world.delete(Kind::Pod, "claim");
    world.sent.clear();
    world.settle();
    assert_eq!(world.count(Intent::Look), 1);
    assert!(world.get_claim("claim").status.is_ready());
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

/// CLM-017, ACC-004.
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

/// ADP-022, ADP-023.
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

/// A record whose answer was lost may have landed, whatever a later attempt was told: when the claim may be tried again,
/// the member is still promised to it.
#[test]
fn a_member_stays_promised_while_a_refused_record_is_repeated() {
    let mut world = World::with_pool(1);
    world.settle();
    world.claim("claim");
    world.lose_next = Some((Intent::RecordAssignment, false));
    world.drain();
    world.replicas(0);
    world.drain();
    world.refuses = Some(|intent, _| {
        (intent == Intent::RecordAssignment).then(|| Refusal::Forbidden("exceeded quota".into()))
    });
    world.pass(Duration::from_millis(100));
    assert!(world.count(Intent::RecordAssignment) > 1, "it was repeated, and refused");
    world.time += 1_000_000;
    world.machine.handle_timeout(world.now());
    let asked: Vec<Intent> = std::iter::from_fn(|| world.machine.poll_action()).map(|it| it.intent).collect();
    assert!(asked.contains(&Intent::RecordAssignment), "{asked:?}");
    assert!(!asked.contains(&Intent::DeleteMember), "{asked:?}");
}

/// A record whose answer was lost conflicts with itself. Until somebody has looked, the member is not free.
#[test]
fn a_member_stays_while_the_record_of_it_may_have_landed() {
    let mut world = World::with_pool(1);
    world.settle();
    world.claim("claim");
    world.lose_next = Some((Intent::RecordAssignment, true));
    world.drain();
    world.replicas(0);
    world.drain();
    world.time += 1_000_000;
    world.machine.handle_timeout(world.now());
    let repeated = world.machine.poll_action().unwrap();
    assert_eq!(repeated.intent, Intent::RecordAssignment);
    let outcome = world.answer(&repeated);
    assert_eq!(outcome, Outcome::Conflict);
    world.machine.handle_event(Event::ActionDone { id: repeated.id, outcome }, world.now());
    let mut asked = Vec::new();
    while let Some(action) = world.machine.poll_action() {
        asked.push(action.intent);
    }
    assert!(asked.contains(&Intent::Look) && !asked.contains(&Intent::DeleteMember), "{asked:?}");
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

/// CON-004.
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

/// CON-049.
/// EVT-001, EVT-002, CLM-009, LIF-013, DEF-012, DEF-014: the server here refuses a delete without uid and version.
#[test]
fn a_claim_whose_time_is_over_says_so_once_and_goes() {
    for policy in [ClaimShutdownPolicy::Delete, ClaimShutdownPolicy::DeleteForeground] {
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

/// LIF-010, LIF-011, CND-020, EVT-001; ACC-039, ACC-040: what it says of the end stays.
#[test]
fn a_claim_that_stays_when_its_time_is_over_loses_its_sandbox() {
    let mut world = World::with_pool(1);
    world.settle();
    world.claim_until("claim", 60, ClaimShutdownPolicy::Retain);
    world.settle();
    let name = world.get_claim("claim").status.sandbox.unwrap().name;
    world.notes.clear();
    world.pass(Duration::from_secs(60));
    world.settle();
    let claim = world.get_claim("claim");
    let ready = claim.status.condition(names::READY).unwrap();
    assert_eq!((&*ready.reason, claim.status.sandbox.is_none()), ("ClaimExpired", true));
    assert_eq!(&*ready.message, "Claim expired. Sandbox cleanup initiated.");
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
    world.claim_until("claim", 60, ClaimShutdownPolicy::Retain);
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

/// CND-018, CLD-001, CON-019, DEF-032: the user reads the server's words, once; numbers in them that change with each
/// attempt are no news.
#[test]
fn a_claim_whose_sandbox_is_refused_says_why_and_is_served_when_that_is_over() {
    let mut world = World::with_pool(0);
    world.refuses = Some(|intent, times| {
        let why = format!("sandboxes \"claim\" is forbidden: exceeded quota, used: {times}");
        (intent == Intent::CreateClaimSandbox).then(|| Refusal::Forbidden(why.into()))
    });
    world.claim("claim");
    world.pass_seconds(120);
    let tries = world.count(Intent::CreateClaimSandbox);
    assert!((5..20).contains(&tries), "{tries} tries in two minutes");
    let why = "Error seen: sandboxes \"claim\" is forbidden: exceeded quota, used: 1";
    assert_eq!(world.told("claim"), ("ReconcilerError".into(), why.into()));
    assert_eq!(world.statuses.len(), 1, "{:?}", world.statuses);
    world.refuses = None;
    world.settle();
    world.settle();
    assert!(world.get_claim("claim").status.is_ready());
    assert_eq!(world.statuses.len(), 2, "{:?}", world.statuses);
}

#[test]
fn a_refusal_that_passes_within_a_second_is_not_told() {
    let mut world = World::with_pool(0);
    world.refuses = Some(|intent, times| {
        (intent == Intent::CreateClaimSandbox && times < 4).then(|| Refusal::Forbidden("busy".into()))
    });
    world.claim("claim");
    world.settle();
    assert!(world.get_claim("claim").status.is_ready());
    assert_eq!(world.statuses.len(), 1, "{:?}", world.statuses);
}

/// CND-018: what is made from something else is tried at once, whatever was refused before.
#[test]
fn the_wait_after_a_refusal_ends_when_what_is_made_changes() {
    let mut world = World::with_pool(0);
    world.refuses = Some(|intent, _| {
        (intent == Intent::CreateClaimSandbox).then(|| Refusal::Invalid("spec.service: not here".into()))
    });
    world.edit_template(true);
    world.claim("claim");
    world.pass_seconds(600);
    let tries = world.count(Intent::CreateClaimSandbox);
    assert!(tries <= 6, "{tries} tries in ten minutes");
    world.refuses = None;
    world.pass_seconds(2);
    assert_eq!(world.count(Intent::CreateClaimSandbox), tries, "nothing has changed");
    world.edit_template(false);
    world.settle();
    assert!(world.get_claim("claim").status.is_ready());
}

/// INV-28: another process does not take back what is still true.
#[test]
fn a_new_process_does_not_take_a_refusal_back() {
    let mut world = World::with_pool(0);
    world.refuses =
        Some(|intent, _| (intent == Intent::CreateClaimSandbox).then(|| Refusal::Forbidden("quota".into())));
    world.claim("claim");
    world.pass_seconds(10);
    for _ in 0..3 {
        world.restart();
        world.pass_seconds(10);
    }
    assert_eq!(world.statuses.len(), 1, "{:?}", world.statuses);
}

/// INV-28: whatever is refused because the namespace is going goes with it, so nobody is told.
#[test]
fn a_namespace_that_is_going_is_left_in_peace() {
    let mut world = World::with_pool(2);
    world.refuses = Some(|intent, _| {
        let is_create = matches!(intent, Intent::CreateClaimSandbox | Intent::CreateMember);
        is_create.then(|| Refusal::NamespaceEnding("ns is being terminated".into()))
    });
    world.claim("claim");
    world.pass_seconds(250);
    assert_eq!(world.count(Intent::CreateClaimSandbox), 1);
    assert_eq!(world.count(Intent::CreateMember), 1);
    assert_eq!(world.statuses, []);
}

/// DEF-028: a claim had recorded a member whose Pod then ended, the member could not be deleted, and when somebody deleted
/// the Pod, nobody noticed that the member could change hands after all.
#[test]
fn a_recorded_member_that_loses_the_pod_that_had_ended_is_looked_at_again() {
    let mut world = World::with_pool(1);
    world.settle();
    let member = world.sandboxes()[0].meta.key.name.to_string();
    world.claim("claim");
    world.drain_at_most(1);
    world.refuses =
        Some(|intent, _| (intent == Intent::DeleteMember).then(|| Refusal::Forbidden("no".into())));
    let Object::Pod(mut pod) = world.objects[&(Kind::Pod, member.clone())].clone() else { unreachable!() };
    (Arc::make_mut(&mut pod).phase, Arc::make_mut(&mut pod).ready) = (Phase::Failed, false);
    world.show(Object::Pod(pod));
    world.drain();
    assert_eq!(world.count(Intent::DeleteMember), 1);
    world.delete(Kind::Pod, &member);
    world.drain();
    assert_eq!(world.count(Intent::AdoptSandbox), 1);
}

/// RES-014, ADP-063: a claim whose member is gone before it could change hands gets another.
#[test]
fn a_claim_that_was_promised_a_member_that_is_gone_gets_another() {
    let mut world = World::with_pool(2);
    world.settle();
    world.claim("claim");
    world.drain_at_most(1);
    let member = world.get_claim("claim").meta.annotation(names::SANDBOX_NAME).unwrap().clone();
    world.delete(Kind::Sandbox, &member);
    world.drain();
    let claim = world.get_claim("claim");
    assert!(claim.status.is_ready());
    assert_ne!(claim.status.sandbox.unwrap().name, member);
    assert_eq!(world.statuses.len(), 1);
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

/// CND-013, CLM-018, STS-001; ACC-070: a cold start that has happened already is found, and no trouble is told.
#[test]
fn a_cold_start_whose_answer_is_lost_is_no_error() {
    let mut world = World::with_pool(0);
    world.lose_next = Some((Intent::CreateClaimSandbox, true));
    world.claim("claim");
    world.settle();
    assert_eq!(world.count(Intent::CreateClaimSandbox), 2);
    assert!(world.get_claim("claim").status.is_ready());
    assert_eq!((world.statuses.len(), world.sandboxes().len()), (1, 1));
}

/// RES-005, ADP-051, ADP-060, ADP-061, CND-012, CND-026, CND-027; ACC-082, ACC-122, ACC-124, ACC-125: the transfer meets another
/// write, or finds nobody, and the record may be hard to take back. Nothing of it is told, since all of it passes.
#[test]
fn a_transfer_that_comes_too_late_is_decided_anew_and_not_told() {
    for is_gone in [false, true] {
        let mut world = World::with_pool(2);
        world.settle();
        world.claim("claim");
        world.drain_at_most(1);
        let member = world.get_claim("claim").meta.annotation(names::SANDBOX_NAME).unwrap().to_string();
        if is_gone {
            world.objects.remove(&(Kind::Sandbox, member.clone()));
        } else {
            let mut sandbox = (*world.sandbox(&member)).clone();
            sandbox.meta.labels.insert("note".into(), "mine".into());
            world.put(Object::Sandbox(Arc::new(sandbox)));
        }
        world.refuses = Some(|intent, times| {
            (intent == Intent::ClearAssignment && times < 4).then(|| Refusal::Forbidden("no".into()))
        });
        world.settle();
        let claim = world.get_claim("claim");
        assert!(claim.status.is_ready());
        assert_eq!(*claim.status.sandbox.unwrap().name == member, !is_gone);
        assert_eq!(world.count(Intent::ClearAssignment), if is_gone { 4 } else { 0 });
        assert_eq!(world.statuses.len(), 1, "{:?}", world.statuses);
    }
}

/// LIF-002, CLM-012, CLM-013; ACC-046, ACC-047, ACC-048, ACC-049, ACC-056, ACC-057: a claim whose sandbox finishes says so, and ends
/// so long after that.
#[test]
fn a_claim_ends_after_its_sandbox_has_finished() {
    for (ttl, policy) in [
        (0, ClaimShutdownPolicy::Retain),
        (120, ClaimShutdownPolicy::Retain),
        (0, ClaimShutdownPolicy::DeleteForeground),
    ] {
        let mut world = World::with_pool(0);
        let mut claim = new_claim("claim");
        let lifecycle = Lifecycle { shutdown: None, ttl: Some(Duration::from_secs(ttl)), policy };
        claim.wishes = Some(Arc::new(Wishes { lifecycle: Some(lifecycle), ..Wishes::default() }));
        world.show(Object::Claim(Arc::new(claim)));
        world.settle();
        world.kubelet = false;
        let Object::Pod(mut pod) = world.objects[&(Kind::Pod, "claim".into())].clone() else {
            unreachable!()
        };
        (Arc::make_mut(&mut pod).phase, Arc::make_mut(&mut pod).ready) = (Phase::Succeeded, false);
        world.show(Object::Pod(pod));
        world.settle();
        let finished = |world: &World| {
            let status = world.get_claim("claim").status;
            status.condition(names::FINISHED).map(|told| told.reason.to_string())
        };
        if ttl > 0 {
            assert_eq!(finished(&world).as_deref(), Some("PodSucceeded"));
            assert!(world.get_claim("claim").status.sandbox.is_some());
            world.pass(Duration::from_secs(ttl));
            world.settle();
        }
        assert!(world.sandboxes().is_empty(), "{policy:?}");
        if policy == ClaimShutdownPolicy::Retain {
            assert_eq!(
                (finished(&world).as_deref(), &*world.told("claim").0),
                (Some("PodSucceeded"), "ClaimExpired")
            );
        } else {
            assert!(!world.objects.contains_key(&(Kind::Claim, "claim".into())));
        }
    }
}

/// INV-32: a claim on which the server refuses to record anything keeps nobody waiting, whether there are members or not. It is
/// tried again now and then, and at once when it changes.
#[test]
fn a_claim_that_cannot_be_recorded_keeps_nobody_waiting() {
    for replicas in [0, 2] {
        let mut world = World::with_pool(replicas);
        world.settle();
        world.barred = Some("first");
        for claim in ["first", "second", "third"] {
            world.claim(claim);
            world.pass_seconds(1);
        }
        world.settle();
        for claim in ["second", "third"] {
            assert!(world.get_claim(claim).status.is_ready(), "{claim}, {replicas} members");
        }
        world.pass_seconds(300);
        let tries = world.count(Intent::RecordAssignment) + world.count(Intent::RecordColdStart);
        assert!((5..16).contains(&tries), "{tries} tries in five minutes");
        world.barred = None;
        let mut claim = world.get_claim("first");
        claim.meta.generation += 1;
        world.show(Object::Claim(Arc::new(claim)));
        world.pass(Duration::from_secs(2));
        world.start_pods();
        world.drain();
        assert!(world.get_claim("first").status.is_ready(), "{replicas} members");
    }
}

/// A claim whose sandbox the server refuses to make loses the policy that an older release has given it: the server is asked
/// whether the claim is there before that is tried again, and at once.
#[test]
fn a_claim_that_waits_for_its_sandbox_notices_that_it_has_lost_something() {
    let mut world = World::with_pool(0);
    world.refuses =
        Some(|intent, _| (intent == Intent::CreateClaimSandbox).then(|| Refusal::Forbidden("quota".into())));
    world.claim("claim");
    world.drain();
    let claim = world.get_claim("claim");
    let mut policy = meta("claim-network-policy");
    policy.owner = Some(Owner::new(Kind::Claim, &claim.meta));
    let spec = Json::from(&serde_json::json!({}));
    let looks = world.count(Intent::Look);
    world.show(Object::NetworkPolicy(Dependent { meta: policy, spec }.into()));
    world.drain();
    assert_eq!((world.count(Intent::DeleteNetworkPolicy), world.count(Intent::Look)), (1, looks + 1));
}

/// INV-06: a rival has recorded another member while our own record was under way, which cannot take effect any more.
#[test]
fn a_member_that_a_rival_has_recorded_is_spared_before_our_own_record_is_answered() {
    for place in [0, 1] {
        let mut world = World::with_pool(2);
        world.settle();
        let member = world.sandboxes()[place].meta.key.name.clone();
        world.claim("claim");
        let ours = world.machine.poll_action().unwrap();
        assert_eq!(ours.intent, Intent::RecordAssignment);
        let mut claim = world.get_claim("claim");
        claim.meta.annotations.insert(names::SANDBOX_NAME.into(), member.clone());
        world.show(Object::Claim(Arc::new(claim)));
        world.replicas(0);
        let asked = core::iter::from_fn(|| world.machine.poll_action());
        let deleted = asked.filter(|action| action.intent == Intent::DeleteMember);
        let deleted: Vec<_> = deleted.map(|action| action.operation.key().name.clone()).collect();
        assert!(deleted.len() == 1 && !deleted.contains(&member), "{deleted:?}, not {member}");
    }
}
