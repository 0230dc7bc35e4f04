//! What users are told, in conditions and Events, and what they are not.

use std::sync::Arc;
use std::time::Duration;

use agent_sandbox_core::action::Intent;
use agent_sandbox_core::config::Config;
use agent_sandbox_core::event::{Event, Outcome, Refusal};
use agent_sandbox_core::id::{Kind, Uid};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Bound, Condition, Object, PodMetadata, Truth};
use agent_sandbox_core::time::Wall;
use agent_sandbox_core::wishes::{ClaimShutdownPolicy, Lifecycle, Wishes};

use crate::world::{World, new_claim};

/// ACC-003.
/// CND-010, RES-030, CLM-017, CLM-034; ACC-131, ACC-004: and whoever waits is served when it comes, without being told to.
#[test]
fn a_claim_whose_template_is_missing_says_so_and_is_served_when_it_comes() {
    let mut world = World::with_pool(0);
    let template = world.objects[&(Kind::Template, "tpl".into())].clone();
    world.delete(Kind::Template, "tpl");
    world.claim("claim");
    world.settle();
    let why = "SandboxTemplate \"tpl\" not found";
    assert_eq!(world.told("claim"), ("TemplateNotFound".into(), why.into()));
    assert!(world.sandboxes().is_empty());
    let mut template = template;
    template.meta_mut().uid = Uid::UNSET;
    world.show(template);
    world.settle();
    assert!(world.get_claim("claim").status.is_ready());
}

/// EVT-003, EVT-004, EVT-008, ADP-070, CLD-014; ACC-058: one Event for each claim that got a sandbox, and none where
/// they are switched off.
#[test]
fn an_event_says_what_a_claim_got() {
    for claim_events in [true, false] {
        let mut world = World::of(Config { claim_events, ..Config::default() }, 1);
        world.settle();
        let member = world.sandboxes()[0].meta.key.name.clone();
        world.claim("warm");
        world.drain();
        world.replicas(0);
        world.settle();
        world.claim("cold");
        world.settle();
        let notes =
            [format!("Adopted warm pool Sandbox {:?}", &*member), "Created Sandbox \"cold\"".to_owned()];
        assert_eq!(world.notes, if claim_events { &notes[..] } else { &[] });
    }
}

/// CND-016; ACC-041: what is not the claim's stays, and the claim says why.
#[test]
fn an_expired_claim_does_not_delete_what_is_not_its_own() {
    let mut world = World::with_pool(0);
    world.own_sandbox(|_| {});
    world.settle();
    world.show(expired_with_the_name_of_own(Wall::default()));
    world.settle();
    let why = "Claim expired. sandbox not owned by this claim: sandbox \"own\" is not owned by claim \"claim\"; \
               deletion skipped.";
    assert_eq!(world.told("claim"), ("ClaimExpired".into(), why.into()));
    assert_eq!(world.get_claim("claim").status.sandbox, None);
    assert_eq!(world.sandboxes().len(), 1);
}

/// LIF-012: that of a claim that was given more time is still about the time that it had.
#[test]
fn a_claim_that_was_given_more_time_is_not_said_to_have_expired_again() {
    let mut world = World::with_pool(0);
    world.own_sandbox(|_| {});
    world.settle();
    let later = Wall::from_micros(world.now().wall.micros() + 3_600_000_000);
    world.show(expired_with_the_name_of_own(later));
    let mut claim = world.get_claim("claim");
    claim.meta.generation = 2;
    world.show(Object::Claim(Arc::new(claim)));
    while world.count(Intent::SetClaimStatus) == 0 {
        world.drain_at_most(1);
    }
    let status = &world.get_claim("claim").status;
    let told = status.condition(names::READY).map(|ready| (&*ready.reason, ready.observed));
    assert_eq!((told, &status.sandbox), (Some((names::CLAIM_EXPIRED, 1)), &None));
}

/// Returns a claim that says of its first generation that it has expired, and shows a sandbox that is not its own.
fn expired_with_the_name_of_own(shutdown: Wall) -> Object {
    let mut claim = new_claim("claim");
    let lifecycle = Lifecycle { shutdown: Some(shutdown), ttl: None, policy: ClaimShutdownPolicy::Retain };
    claim.wishes = Some(Arc::new(Wishes { lifecycle: Some(lifecycle), ..Wishes::default() }));
    claim.status.sandbox = Some(Bound { name: "own".into(), pod_ips: Vec::new() });
    claim.status.conditions = vec![Condition {
        kind: names::READY.into(),
        status: Truth::False,
        reason: names::CLAIM_EXPIRED.into(),
        message: "".into(),
        observed: 1,
        changed: Wall::default(),
    }];
    Object::Claim(Arc::new(claim))
}

/// LIF-003, LIF-004, CON-006: the end of a claim is the claim's, its sandbox has none of its own.
#[test]
fn a_sandbox_does_not_learn_when_its_claim_ends_and_a_claim_without_lifecycle_does_not_end() {
    let mut world = World::with_pool(0);
    world.claim_until("ends", 3600, ClaimShutdownPolicy::Delete);
    world.claim("stays");
    world.settle();
    assert_eq!(world.sandbox("ends").shutdown, None);
    world.pass(Duration::from_secs(400 * 24 * 3600));
    world.settle();
    assert!(!world.objects.contains_key(&(Kind::Claim, "ends".into())));
    assert!(world.get_claim("stays").status.is_ready());
    assert_eq!(world.count(Intent::DeleteClaim), 1);
}

/// CON-048; ACC-016, ACC-022, ACC-085: cold or adopted.
#[test]
fn a_claims_labels_and_annotations_reach_its_pod() {
    for replicas in [0, 1] {
        let mut world = World::with_pool(replicas);
        world.settle();
        let mut claim = new_claim("claim");
        let mut pod = PodMetadata::default();
        pod.labels.insert("sandbox.users.io/team".into(), "a".into());
        pod.annotations.insert(names::SAFE_TO_EVICT.into(), "true".into());
        claim.wishes = Some(Arc::new(Wishes { pod, ..Wishes::default() }));
        world.show(Object::Claim(Arc::new(claim)));
        world.settle();
        let bound = world.get_claim("claim").status.sandbox.unwrap().name;
        assert_eq!(&*bound == "claim", replicas == 0, "cold where there is no member");
        let pod = world.objects[&(Kind::Pod, bound.to_string())].meta();
        assert_eq!(pod.label("sandbox.users.io/team").map(|it| &**it), Some("a"));
        assert_eq!(pod.annotation(names::SAFE_TO_EVICT).map(|it| &**it), Some("true"));
    }
}

/// CON-051, CND-005; ACC-007, ACC-099: whatever becomes of the pool.
#[test]
fn what_a_claim_has_stays_the_same_for_as_long_as_nobody_takes_it() {
    let mut world = World::with_pool(1);
    world.settle();
    world.claim("claim");
    world.settle();
    let bound = world.get_claim("claim").status.sandbox.unwrap().name.to_string();
    let uids =
        |world: &World| [Kind::Sandbox, Kind::Pod].map(|kind| world.objects[&(kind, bound.clone())].uid());
    let before = uids(&world);
    world.edit_template(true);
    world.replicas(3);
    world.settle();
    world.replicas(0);
    world.settle();
    world.restart();
    world.delete(Kind::Template, "tpl");
    world.settle();
    world.delete(Kind::Pool, "pool");
    world.pass_seconds(600);
    assert_eq!(uids(&world), before);
    assert!(world.get_claim("claim").status.is_ready());
}

/// CLM-019, CLM-020, INV-26, DEF-022; ACC-017, ACC-018, ACC-019: told once, and nothing is tried.
#[test]
fn a_claim_that_asks_for_what_nobody_gets_costs_one_write() {
    for (label, value) in
        [("team", "a"), ("sandbox.users.io/team", &*"a".repeat(64)), ("sandbox.users.io/team", "a b")]
    {
        let mut world = World::with_pool(1);
        world.settle();
        world.sent.clear();
        let mut claim = new_claim("claim");
        let mut pod = PodMetadata::default();
        pod.labels.insert(label.into(), value.into());
        claim.wishes = Some(Arc::new(Wishes { pod, ..Wishes::default() }));
        world.show(Object::Claim(Arc::new(claim)));
        world.pass_seconds(600);
        assert_eq!(world.told("claim").0, "InvalidMetadata");
        assert_eq!(world.sent, [Intent::SetClaimStatus]);
    }
}

/// STS-014, ADP-024, ADP-025, ADP-042, ADP-050, ADP-055, ADP-057, ADP-058; ACC-120, ACC-123: whatever is refused on
/// the way to a sandbox is tried again with back-off, on the same member, and nothing is taken back.
#[test]
fn a_refused_step_is_tried_again_and_no_other_member_is_touched() {
    type Refuses = fn(Intent, usize) -> Option<Refusal>;
    fn refused(intent: Intent, what: Intent) -> Option<Refusal> {
        (intent == what).then(|| Refusal::Forbidden("no".into()))
    }
    let steps: [(Intent, Refuses); 3] = [
        (Intent::RecordAssignment, |intent, _| refused(intent, Intent::RecordAssignment)),
        (Intent::AdoptSandbox, |intent, _| refused(intent, Intent::AdoptSandbox)),
        (Intent::SetClaimStatus, |intent, _| refused(intent, Intent::SetClaimStatus)),
    ];
    for (step, refuses) in steps {
        let mut world = World::with_pool(2);
        world.settle();
        world.sent.clear();
        world.refuses = Some(refuses);
        world.claim("claim");
        world.pass_seconds(60);
        let tries = world.count(step);
        assert!((3..20).contains(&tries), "{step:?}: {tries} tries in a minute");
        let record = world.get_claim("claim").meta.annotation(names::SANDBOX_NAME).cloned();
        assert_eq!(record.is_some(), step != Intent::RecordAssignment);
        assert_eq!(world.count(Intent::ClearAssignment) + world.count(Intent::CreateClaimSandbox), 0);
        world.refuses = None;
        world.settle();
        world.settle();
        let claim = world.get_claim("claim");
        assert!(claim.status.is_ready(), "{step:?}");
        let name = claim.status.sandbox.unwrap().name;
        assert_eq!(record.unwrap_or(name.clone()), name);
        assert_eq!(world.sandboxes().len(), 3, "{step:?}");
    }
}

/// STS-011, SBX-113, SBX-146, CLM-001: nobody is left to be told, and nothing else is done.
#[test]
fn who_is_gone_before_a_status_is_written_is_forgotten() {
    for (step, kind) in [(Intent::SetClaimStatus, Kind::Claim), (Intent::SetSandboxStatus, Kind::Sandbox)] {
        let mut world = World::with_pool(0);
        world.settle();
        world.sent.clear();
        if kind == Kind::Claim {
            world.claim("own");
        } else {
            world.own_sandbox(|_| {});
        }
        let action = loop {
            world.start_pods();
            match world.machine.poll_action() {
                Some(action) if action.intent == step => break action,
                Some(action) => {
                    let outcome = world.answer(&action);
                    world.machine.handle_event(Event::ActionDone { id: action.id, outcome }, world.now());
                }
                None => {
                    world.time += 100_000;
                    world.machine.handle_timeout(world.now());
                }
            }
        };
        world.objects.clear();
        let outcome = world.answer(&action);
        assert_eq!(outcome, Outcome::NotFound);
        world.machine.handle_event(Event::ActionDone { id: action.id, outcome }, world.now());
        while let Some(action) = world.machine.poll_action() {
            assert_ne!(action.intent, step);
            let outcome = world.answer(&action);
            world.machine.handle_event(Event::ActionDone { id: action.id, outcome }, world.now());
        }
    }
}

/// STS-012, CLM-014; ACC-117, ACC-118: the lock of a status fails, and what is true by then is told.
#[test]
fn a_status_that_another_write_has_overtaken_is_decided_anew() {
    let mut world = World::with_pool(1);
    world.settle();
    world.claim("claim");
    let action = loop {
        let action = world.machine.poll_action().unwrap();
        if action.intent == Intent::SetClaimStatus {
            break action;
        }
        let outcome = world.answer(&action);
        world.machine.handle_event(Event::ActionDone { id: action.id, outcome }, world.now());
    };
    let mut claim = world.get_claim("claim");
    claim.meta.labels.insert("note".into(), "mine".into());
    claim.meta.generation += 1;
    world.put(Object::Claim(Arc::new(claim)));
    let outcome = world.answer(&action);
    assert_eq!(outcome, Outcome::Conflict);
    world.machine.handle_event(Event::ActionDone { id: action.id, outcome }, world.now());
    world.settle();
    let claim = world.get_claim("claim");
    let ready = claim.status.condition(names::READY).unwrap();
    assert_eq!((ready.status, ready.observed), (Truth::True, 2));
    assert_eq!(claim.meta.label("note").map(|it| &**it), Some("mine"));
}

/// LIF-010, LIF-013, INV-31: a rule waited for a read of its claim that the ledger did not need any more and had dropped:
/// the sandbox in question was gone. The next one, which had landed late, was never looked at.
#[test]
fn a_question_that_was_dropped_is_asked_again_when_it_comes_up_again() {
    let mut world = World::with_pool(0);
    world.claim_until("claim", 60, ClaimShutdownPolicy::Retain);
    world.settle();
    let mut late = Object::Sandbox(world.sandbox("claim"));
    late.meta_mut().uid = Uid::UNSET;
    world.time += 60_000_000;
    world.machine.handle_timeout(world.now());
    let question = loop {
        let action = world.machine.poll_action().unwrap();
        if (action.intent, action.operation.kind()) == (Intent::Look, Kind::Claim) {
            break action;
        }
        let outcome = world.answer(&action);
        world.machine.handle_event(Event::ActionDone { id: action.id, outcome }, world.now());
    };
    world.machine.handle_event(Event::ActionDone { id: question.id, outcome: Outcome::Unknown }, world.now());
    world.delete(Kind::Sandbox, "claim");
    world.show(late);
    world.settle();
    assert!(world.sandboxes().is_empty());
    assert_eq!(world.get_claim("claim").status.sandbox, None);
}
