//! The world as a value: what it says is possible is possible, and a copy goes its own way.

use std::sync::Arc;

use agent_sandbox_core::config::Config;
use agent_sandbox_core::id::Kind;
use agent_sandbox_core::machine::Machine;
use agent_sandbox_sim::choices::Choices;
use agent_sandbox_sim::scene::{self, Act, Deed, Scene};
use agent_sandbox_sim::step::Step;
use agent_sandbox_sim::world::World;

#[test]
fn every_step_that_is_offered_does_something() {
    for seed in 0..30 {
        let mut choices = Choices::from_seed(seed);
        let mut world = small_world();
        for _ in 0..300 {
            let steps = offered(&world, choices.chance(200));
            if steps.is_empty() {
                break;
            }
            let step = *choices.pick(&steps);
            assert!(world.apply(step, &mut Vec::new()), "seed {seed}: {step:?} was offered and does nothing");
        }
    }
}

#[test]
fn a_copy_takes_the_same_steps_to_the_same_place_and_leaves_the_other_alone() {
    let mut choices = Choices::from_seed(1);
    let mut world = small_world();
    for _ in 0..200 {
        let before = offered(&world, true);
        let mut copy = world.clone();
        let step = *choices.pick(&before);
        copy.apply(step, &mut Vec::new());
        assert_eq!(offered(&world, true), before, "the original changed with its copy");
        world.apply(step, &mut Vec::new());
        assert_eq!(offered(&world, true), offered(&copy, true), "after {step:?}");
        assert_eq!(world.server().revision(), copy.server().revision());
    }
}

#[test]
fn left_to_itself_the_world_comes_to_rest_with_every_claim_served() {
    let mut world = small_world();
    for _ in 0..2000 {
        // The first that is possible, timers last: nothing is late, and nothing is forgotten.
        let steps = offered(&world, false);
        let step = steps.iter().find(|step| !matches!(step, Step::Timer(_))).or(steps.first());
        let Some(step) = step else { break };
        world.apply(*step, &mut Vec::new());
    }
    let store = world.server().store();
    assert_eq!(offered(&world, false), []);
    assert_eq!(store.list(Kind::Claim).len(), 2);
    let mut checkers = agent_sandbox_sim::checkers::Checkers::all();
    assert_eq!(checkers.at_rest(store), Ok(()));
}

fn offered(world: &World<Machine>, with_faults: bool) -> Vec<Step> {
    let mut steps = Vec::new();
    world.enabled(&mut steps);
    if with_faults {
        world.faults(&mut steps);
    }
    steps
}

/// A pool of one, two claims, one place for a controller.
fn small_world() -> World<Machine> {
    let script = vec![
        Deed::new(Act::Create(scene::template())),
        Deed::new(Act::Create(scene::pool("pool", 1))).after(0),
        Deed::new(Act::Create(scene::claim("a", "pool"))).after(1),
        Deed::new(Act::Create(scene::claim("b", "pool"))).after(1),
    ];
    let scene = Scene { controller: Config::default(), processes: 1, script, epoch: scene::epoch() };
    World::new(Arc::new(scene))
}
