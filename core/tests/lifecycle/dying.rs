//! What a process leaves that dies after any of its writes, and what the next one makes of it.

use std::time::Duration;

use agent_sandbox_core::id::{Kind, Uid};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Json, Shutdown, ShutdownPolicy};
use agent_sandbox_core::wishes::ClaimShutdownPolicy;

use crate::world::{World, is_true};

/// More writes than any of these stories takes.
const WRITES_MAX: usize = 12;

/// CRS-005, CRS-012, INV-31, RES-009; ACC-005: warm and cold.
#[test]
fn a_claim_gets_one_sandbox_whenever_its_controller_dies() {
    for replicas in [0, 1] {
        for writes in 0..WRITES_MAX {
            let mut world = World::with_pool(replicas);
            rest(&mut world);
            world.claim("claim");
            die_after(&mut world, writes);
            let claim = world.get_claim("claim");
            assert!(claim.status.is_ready(), "{writes} writes");
            let owned = world.sandboxes().iter().filter(|it| it.meta.is_owned_by(claim.meta.uid)).count();
            assert_eq!((owned, world.sandboxes().len()), (1, replicas as usize + 1), "{writes} writes");
        }
    }
}

/// CRS-006, LIF-013, INV-31: who finds the mark goes on from there.
#[test]
fn a_claim_ends_whenever_its_controller_dies() {
    for policy in [ClaimShutdownPolicy::Delete, ClaimShutdownPolicy::Retain] {
        for writes in 0..WRITES_MAX {
            let mut world = World::with_pool(0);
            world.claim_until("claim", 60, policy);
            rest(&mut world);
            world.time += Duration::from_secs(60).as_micros() as u64;
            world.machine.handle_timeout(world.now());
            die_after(&mut world, writes);
            assert!(world.sandboxes().is_empty(), "{writes} writes");
            let is_there = world.objects.contains_key(&(Kind::Claim, "claim".into()));
            assert_eq!(is_there, policy == ClaimShutdownPolicy::Retain, "{writes} writes");
            if is_there {
                assert_eq!(world.told("claim").0, "ClaimExpired");
            }
        }
    }
}

/// SBX-140, SBX-145, INV-31; SACC-210, SACC-217: volume claim, Pod, Service and note.
#[test]
fn a_sandbox_gets_its_parts_once_whenever_its_controller_dies() {
    for writes in 0..WRITES_MAX {
        let mut world = world_with_parts();
        die_after(&mut world, writes);
        assert!(is_true(&world.sandbox("own").status, names::READY), "{writes} writes");
        for kind in [Kind::Pod, Kind::Service, Kind::VolumeClaim] {
            let parts = world.objects.keys().filter(|(of, _)| *of == kind).count();
            assert_eq!(parts, 1, "{kind}, {writes} writes");
        }
        let noted = world.sandbox("own").meta.annotation(names::POD_NAME).cloned();
        assert_eq!(noted.as_deref(), Some("own"), "{writes} writes");
    }
}

/// CRS-009, WPL-027, INV-08, INV-31; ACC-167: never more, and in the end as many as there should be.
#[test]
fn a_pool_is_filled_whenever_its_controller_dies() {
    for writes in 0..WRITES_MAX {
        let mut world = World::with_pool(3);
        die_after(&mut world, writes);
        assert_eq!(world.sandboxes().len(), 3, "{writes} writes");
        assert_eq!((world.pool().status.replicas, world.pool().status.ready), (3, 3), "{writes} writes");
    }
}

/// SBX-141, INV-31: adopted, then noted.
#[test]
fn a_prepared_pod_is_adopted_once_whenever_the_controller_dies() {
    for writes in 0..WRITES_MAX {
        let mut world = World::with_pool(0);
        world.own_sandbox(|_| {});
        rest(&mut world);
        let mut prepared = world.objects[&(Kind::Pod, "own".into())].clone();
        world.delete(Kind::Sandbox, "own");
        (prepared.meta_mut().uid, prepared.meta_mut().owner) = (Uid::UNSET, None);
        world.show(prepared);
        world.own_sandbox(|_| {});
        die_after(&mut world, writes);
        let sandbox = world.sandbox("own");
        assert!(is_true(&sandbox.status, names::READY), "{writes} writes");
        assert!(world.objects[&(Kind::Pod, "own".into())].meta().is_owned_by(sandbox.meta.uid));
        assert_eq!(sandbox.meta.annotation(names::POD_NAME).map(|name| &**name), Some("own"));
    }
}

/// SBX-142, SBX-145, INV-31.
#[test]
fn a_sandbox_is_suspended_whenever_its_controller_dies() {
    for writes in 0..WRITES_MAX {
        let mut world = world_with_parts();
        rest(&mut world);
        world.edit(|sandbox| sandbox.suspended = true);
        die_after(&mut world, writes);
        let sandbox = world.sandbox("own");
        assert!(is_true(&sandbox.status, names::SUSPENDED), "{writes} writes");
        assert!(!world.objects.contains_key(&(Kind::Pod, "own".into())), "{writes} writes");
        assert!(world.objects.contains_key(&(Kind::VolumeClaim, "data-own".into())), "{writes} writes");
    }
}

/// SBX-028, SBX-144, INV-31; SACC-047: a suspended sandbox ends like any other.
#[test]
fn a_sandbox_ends_whenever_its_controller_dies() {
    for suspended in [false, true] {
        for writes in 0..WRITES_MAX {
            let mut world = world_with_parts();
            let at = world.now().wall + Duration::from_secs(60);
            world.edit(|sandbox| {
                sandbox.shutdown = Some(Shutdown { at, policy: ShutdownPolicy::Retain });
                sandbox.suspended = suspended;
            });
            rest(&mut world);
            world.time += Duration::from_secs(60).as_micros() as u64;
            world.machine.handle_timeout(world.now());
            die_after(&mut world, writes);
            assert!(world.sandbox("own").status.is_expired(), "{writes} writes");
            for kind in [Kind::Pod, Kind::Service] {
                assert!(!world.objects.contains_key(&(kind, "own".into())), "{kind}, {writes} writes");
            }
        }
    }
}

/// Lets the controller make so many writes, starts another, and waits until nothing happens.
fn die_after(world: &mut World, writes: usize) {
    for _ in 0..writes {
        world.drain_at_most(1);
        world.start_pods();
    }
    world.restart();
    rest(world);
}

fn rest(world: &mut World) {
    for _ in 0..8 {
        world.drain();
        world.start_pods();
        world.pass(Duration::from_secs(3));
    }
}

/// A sandbox that wants a Service and a volume.
fn world_with_parts() -> World {
    let mut world = World::with_pool(0);
    rest(&mut world);
    world.own_sandbox(|sandbox| {
        sandbox.service = Some(true);
        let claim = serde_json::json!([{ "metadata": { "name": "data" }, "spec": {} }]);
        sandbox.volume_claims = Some(Json::from(&claim));
    });
    world
}
