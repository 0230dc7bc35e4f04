//! What is remembered of claims and sandboxes: no more than what one that starts now would know.

use std::time::Duration;

use agent_sandbox_core::action::Intent;
use agent_sandbox_core::event::{Event, Outcome, Refusal};
use agent_sandbox_core::id::{Kind, Version};
use agent_sandbox_core::object::Object;
use agent_sandbox_core::wishes::ClaimShutdownPolicy;

use crate::world::World;

/// INV-27: a claim that stays as a record keeps nothing in mind of the member that it had recorded.
#[test]
fn an_expired_claim_does_not_remember_the_member_that_it_recorded() {
    let mut world = World::with_pool(1);
    world.settle();
    world.claim_until("claim", 1, ClaimShutdownPolicy::Retain);
    world.refuses = Some(|intent, _| {
        (intent == Intent::AdoptSandbox).then(|| Refusal::Forbidden("denied by a policy".into()))
    });
    world.drain();
    world.pass_seconds(60);
    world.settle();
    assert_eq!(&*world.told("claim").0, "ClaimExpired");
    assert_eq!(drift(&mut world), None);
}

/// INV-27, BUG-132: what fails for a claim that has gone meanwhile concerns nobody any more.
#[test]
fn what_fails_for_a_claim_that_is_gone_is_not_remembered() {
    let refused = || Outcome::Refused(Refusal::Forbidden("denied by a policy".into()));
    for (fails, outcome) in [
        (Intent::RecordColdStart, refused()),
        (Intent::CreateClaimSandbox, refused()),
        (Intent::CreateClaimSandbox, Outcome::Throttled(Duration::from_secs(1))),
    ] {
        let mut world = World::with_pool(0);
        world.claim("claim");
        for _ in 0..100 {
            while let Some(action) = world.machine.poll_action() {
                let outcome =
                    if action.intent == fails && world.objects.contains_key(&(Kind::Claim, "claim".into())) {
                        world.delete(Kind::Claim, "claim");
                        outcome.clone()
                    } else {
                        world.answer(&action)
                    };
                world.machine.handle_event(Event::ActionDone { id: action.id, outcome }, world.now());
            }
            world.pass(Duration::from_millis(100));
        }
        assert!(!world.objects.contains_key(&(Kind::Claim, "claim".into())), "{fails:?}");
        assert_eq!(drift(&mut world), None, "{fails:?} {outcome:?}");
    }
}

/// INV-27: nor what failed for one that went just before this process was deposed.
#[test]
fn what_failed_for_a_claim_that_went_at_the_end_of_a_term_is_not_remembered() {
    let mut world = World::with_pool(0);
    world.refuses = Some(|intent, _| {
        (intent == Intent::CreateClaimSandbox).then(|| Refusal::Forbidden("denied by a policy".into()))
    });
    world.claim("claim");
    world.settle();
    world.delete(Kind::Claim, "claim");
    world.machine.handle_event(Event::Standby, world.now());
    world.lead();
    world.settle();
    assert_eq!(drift(&mut world), None);
}

/// INV-27: nor of a sandbox that somebody else makes under its name, which has nothing to do with its end.
#[test]
fn an_expired_claim_does_not_remember_a_sandbox_that_somebody_makes_under_its_name() {
    let mut world = World::with_pool(0);
    world.claim_until("own", 60, ClaimShutdownPolicy::Retain);
    world.settle();
    world.time += Duration::from_secs(60).as_micros() as u64;
    world.machine.handle_timeout(world.now());
    while let Some(action) = world.machine.poll_action() {
        world.sent.push(action.intent);
        let outcome = world.answer(&action);
        if action.intent == Intent::DeleteClaimSandbox {
            world.own_sandbox(|_| {});
            // Somebody edits the claim, so that it is looked up when it says that its sandbox is gone.
            let claim = world.get_claim("own");
            world.put(Object::Claim(claim.into()));
        }
        world.machine.handle_event(Event::ActionDone { id: action.id, outcome }, world.now());
    }
    assert_eq!(world.count(Intent::DeleteClaimSandbox), 1);
    world.show(Object::Claim(world.get_claim("own").into()));
    world.settle();
    assert_eq!(drift(&mut world), None);
}

/// Returns what the machine remembers otherwise than one that starts now and is shown what there is.
fn drift(world: &mut World) -> Option<(&'static str, usize, usize)> {
    for kind in Kind::ALL {
        let at = Version(world.revision);
        world.machine.handle_event(Event::Progress { kind, at }, world.now());
    }
    let list = |kind| world.objects.values().filter(|object| object.kind() == kind).cloned().collect();
    world.machine.drift(list)
}
