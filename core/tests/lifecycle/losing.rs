//! Answers that are lost.

use std::sync::Arc;
use std::time::Duration;

use agent_sandbox_core::action::Intent;
use agent_sandbox_core::id::Kind;
use agent_sandbox_core::object::Object;
use agent_sandbox_core::time::Wall;
use agent_sandbox_core::wishes::{ClaimShutdownPolicy, Lifecycle, Wishes};

use crate::world::World;

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

/// INV-06: its sandbox is not deleted at once, its user takes back that it has expired, and the watch lags.
#[test]
fn a_claim_that_was_saved_in_time_keeps_its_sandbox() {
    for is_lost in [true, false] {
        let mut world = World::with_pool(0);
        world.claim_until("claim", 60, ClaimShutdownPolicy::Retain);
        world.settle();
        let sandbox = world.sandbox("claim").meta.uid;
        if is_lost {
            world.lose_next = Some((Intent::DeleteClaimSandbox, false));
        } else {
            world.conflicts = Some(Intent::DeleteClaimSandbox);
        }
        while world.count(Intent::DeleteClaimSandbox) == 0 {
            world.pass(Duration::from_secs(1));
        }
        let mut claim = world.get_claim("claim");
        let shutdown = Some(Wall::from_micros(world.now().wall.micros() + 3_600_000_000));
        let lifecycle = Some(Lifecycle { shutdown, ttl: None, policy: ClaimShutdownPolicy::Retain });
        claim.wishes = Some(Arc::new(Wishes { lifecycle, ..Wishes::default() }));
        claim.status = Default::default();
        claim.meta.generation += 1;
        world.put(Object::Claim(Arc::new(claim)));
        world.conflicts = None;
        world.settle();
        assert!(world.get_claim("claim").status.is_ready());
        assert_eq!(world.sandbox("claim").meta.uid, sandbox);
    }
}

/// The delete of its Pod is lost, and need not be repeated.
#[test]
fn a_sandbox_that_runs_again_keeps_its_pod() {
    let mut world = World::with_pool(0);
    world.own_sandbox(|_| {});
    world.settle();
    let pod = world.objects[&(Kind::Pod, "own".into())].uid();
    world.lose_next = Some((Intent::DeletePod, false));
    world.edit(|sandbox| sandbox.suspended = true);
    world.drain();
    assert_eq!(world.lose_next, None);
    world.edit(|sandbox| sandbox.suspended = false);
    world.settle();
    assert_eq!(world.objects[&(Kind::Pod, "own".into())].uid(), pod);
    assert_eq!(world.count(Intent::DeletePod), 1);
}

/// The delete of one is lost, and it is not one too many any more.
#[test]
fn a_pool_that_grows_again_keeps_its_members() {
    let mut world = World::with_pool(2);
    world.settle();
    world.lose_next = Some((Intent::DeleteMember, false));
    world.replicas(1);
    world.drain();
    assert_eq!(world.lose_next, None);
    world.replicas(2);
    world.settle();
    let all = [Intent::CreateMember, Intent::DeleteMember].map(|intent| world.count(intent));
    assert_eq!((all, world.sandboxes().len()), ([2, 1], 2));
}
