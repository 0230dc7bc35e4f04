//! Each checker sees what it is for.

mod decisions;
mod ends;
mod keeping;
mod orders;
mod sending;
mod settling;
mod times;
mod timing;
mod wholeness;

use std::sync::Arc;
use std::time::Duration;

use agent_sandbox_core::action::{Action, Intent, Operation, Propagation, Target};
use agent_sandbox_core::event::Outcome;
use agent_sandbox_core::id::{ActionId, Kind, Uid, Version};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{
    Bound, Condition, Labels, Object, Owner, OwnerKind, Phase, Pod, Sandbox, SandboxStatus, Truth,
};
use agent_sandbox_core::pace::Rate;
use agent_sandbox_core::time::Wall;

use super::*;
use crate::api_server::{Seen, Writer};
use crate::process::RequestId;
use crate::scene;

#[test]
fn a_sandbox_that_goes_from_claim_to_claim_is_noticed() {
    let lines =
        [claim("a", 1, Some("s")), claim("b", 2, Some("s")), owned("s", 3, 'c', 1), owned("s", 3, 'c', 2)];
    assert_eq!(broken(lines), ["adopted-once"]);
}

#[test]
fn a_sandbox_that_goes_from_pool_to_claim_is_right() {
    let lines = [scene::pool("p", 1), claim("a", 2, Some("s")), owned("s", 3, 'p', 9), owned("s", 3, 'c', 2)];
    assert_eq!(broken(lines), [""; 0]);
}

#[test]
fn a_second_sandbox_of_a_claim_is_noticed() {
    let lines =
        [claim("a", 1, Some("s")), owned("s", 3, 'c', 1), claim("a", 1, Some("t")), owned("t", 4, 'c', 1)];
    assert_eq!(broken(lines), ["recorded-first", "one-sandbox"]);
}

#[test]
fn a_transfer_without_a_record_is_noticed() {
    assert_eq!(broken([claim("a", 1, None), owned("s", 3, 'c', 1)]), ["recorded-first"]);
}

/// The record was for a sandbox of the same name that is gone, and was read before it was taken off.
#[test]
fn a_transfer_of_what_came_back_under_a_recorded_name_is_right() {
    let (recorded, cleared) = (claim("a", 1, Some("s")), claim("a", 1, None));
    let (member, taken) = (owned("s", 3, 'p', 9), owned("s", 3, 'c', 1));
    assert_eq!(broken([recorded.clone(), member.clone(), cleared.clone(), taken.clone()]), [""; 0]);
    assert_eq!(broken([member, recorded, cleared, taken]), ["recorded-first"; 2]);
}

#[test]
fn a_member_too_many_is_noticed() {
    let mut pool = scene::pool("p", 1);
    pool.meta_mut().uid = Uid::from_bits(9);
    assert_eq!(broken([pool, owned("s", 3, 'p', 9), owned("t", 4, 'p', 9)]), ["population"]);
}

#[test]
fn a_second_pod_of_a_sandbox_is_noticed() {
    assert_eq!(broken([owned("s", 3, 'p', 9), pod("a", 4, 3), pod("b", 5, 3)]), ["one-pod"]);
}

#[test]
fn a_claim_that_is_ready_with_nothing_behind_it_is_noticed() {
    assert_eq!(broken([ready(claim("a", 1, Some("s")), "s", "10.0.0.4")]), ["truthful-ready"]);
    let lines = [claim("a", 1, Some("s")), owned("s", 3, 'c', 1), pod("s", 4, 3)];
    let foreign = ready(claim("a", 1, Some("s")), "s", "10.0.0.99");
    assert_eq!(broken(lines.clone().into_iter().chain([foreign])), ["truthful-ready"]);
    let truth = ready(claim("a", 1, Some("s")), "s", "10.0.0.4");
    assert_eq!(broken(lines.clone().into_iter().chain([truth.clone()])), [""; 0]);
    // The Pod got another address while that was written.
    let mut moved = pod("s", 4, 3);
    if let Object::Pod(pod) = &mut moved {
        Arc::make_mut(pod).ips = vec!["11.0.0.4".into()];
    }
    assert_eq!(broken(lines.into_iter().chain([moved, truth])), [""; 0]);
}

#[test]
fn two_claims_that_name_the_same_sandbox_are_noticed() {
    let named = |name: &str, uid| bound(claim(name, uid, Some("s")), "s");
    assert_eq!(broken([named("a", 1), named("b", 2)]), ["no-shared-sandbox"]);
}

#[test]
fn a_user_who_is_moved_without_being_told_is_noticed() {
    let at = |address| ready(claim("a", 1, Some("s")), "s", address);
    let lines = [claim("a", 1, Some("s")), owned("s", 3, 'c', 1), pod("s", 4, 3), pod("s", 5, 3)];
    let moved = broken(lines.into_iter().chain([at("10.0.0.4"), at("10.0.0.5")]));
    assert!(moved.contains(&"no-silent-rebind"), "{moved:?}");
}

#[test]
fn a_name_that_is_dropped_while_the_sandbox_is_there_is_noticed() {
    let lines = [
        claim("a", 1, Some("s")),
        owned("s", 3, 'c', 1),
        bound(claim("a", 1, Some("s")), "s"),
        claim("a", 1, Some("s")),
    ];
    assert_eq!(broken(lines), ["identity-kept"]);
}

#[test]
fn whoever_clears_a_status_takes_nothing_back_but_a_controller_does() {
    let judged = |by| {
        let commit = |old: Option<Object>, new: Object| {
            Fact::Committed(Commit { version: new.version(), old, new: Some(new), by: Some(by) })
        };
        let lines = [owned("s", 3, 'c', 1), bound(claim("a", 1, Some("s")), "s"), claim("a", 1, Some("s"))];
        let lines: Vec<Object> = numbered(lines).iter().map(|line| line.object().clone()).collect();
        let mut store = Store::default();
        store.put(lines[0].clone());
        let mut checkers = Checkers::of_effects().only(&["identity-kept"]);
        let steps = [(None, 0), (None, 1), (Some(1), 2)];
        steps.into_iter().try_for_each(|(old, new)| {
            let fact = commit(old.map(|old: usize| lines[old].clone()), lines[new].clone());
            checkers.on_fact(&fact, &store).map_err(|violation| violation.property.name)
        })
    };
    assert_eq!(judged(Writer::User), Ok(()));
    let process = Writer::Process { process: 0, term: 1, intent: Intent::SetClaimStatus };
    assert_eq!(judged(process), Err("identity-kept"));
}

#[test]
fn a_claim_that_is_ready_without_what_it_asked_for_is_noticed() {
    let text = r#"{"metadata":{"name":"a","namespace":"default","uid":"","resourceVersion":"1","annotations":{"agents.x-k8s.io/sandbox-name":"s"}},"spec":{"warmPoolRef":{"name":"p"},"env":[{"name":"A","value":"1"}]}}"#;
    let mut claim = agent_sandbox_core::wire::decode(Kind::Claim, text).expect("the text is a claim");
    claim.meta_mut().uid = Uid::from_bits(1);
    let lines = [claim.clone(), owned("s", 3, 'c', 1), pod("s", 4, 3), ready(claim, "s", "10.0.0.4")];
    assert_eq!(broken(lines), ["wishes-granted"]);
}

#[test]
fn a_controller_that_deletes_a_sandbox_in_use_is_noticed() {
    let mut store = Store::default();
    let mut claim = claim("a", 1, Some("s"));
    claim.meta_mut().uid = Uid::from_bits(1);
    store.put(claim);
    let by = Some(Writer::Process { process: 0, term: 1, intent: Intent::DeleteMember });
    let commit = Commit { version: Version(9), old: Some(owned("s", 3, 'c', 1)), new: None, by };
    let judged = Checkers::of_effects().on_fact(&Fact::Committed(commit), &store);
    assert_eq!(judged.map_err(|violation| violation.property.name), Err("in-use-kept"));
}

#[test]
fn a_write_without_a_version_before_the_lists_or_without_leading_is_noticed() {
    assert_eq!(sent(1, true, Some(Version(3))), Ok(()));
    assert_eq!(sent(1, true, None), Err("locked-writes"));
    assert_eq!(sent(1, false, Some(Version(3))), Err("leader-writes"));
    assert_eq!(sent(0, true, Some(Version(3))), Err("leader-writes"));
}

#[test]
fn a_claim_that_waits_and_a_pool_that_is_not_full_are_noticed_at_rest() {
    let rest = |objects: Vec<Object>| {
        let mut log = Log::new(0);
        log.judge_all(numbered(objects));
        log.judge_rest().map_err(|violation| violation.property.name)
    };
    assert_eq!(rest(vec![claim("a", 1, None)]), Err("claims-served"));
    assert_eq!(rest(vec![scene::pool("p", 1)]), Err("pools-full"));
    assert_eq!(rest(vec![pod("a", 4, 3)]), Err("nothing-left"));
    assert_eq!(rest(vec![]), Ok(()));
}

#[test]
fn a_request_while_everything_is_done_is_noticed() {
    let mut checkers = Checkers::of_effects();
    let fact = deletion(1, true, Some(Version(3)));
    assert!(checkers.on_fact(&fact, &Store::default()).is_ok());
    checkers.on_stage(Stage::Rest);
    let judged = checkers.on_fact(&fact, &Store::default());
    assert_eq!(judged.map_err(|violation| violation.property.name), Err("silence"));
}

/// RFL-003, RFL-010.
#[test]
fn a_pool_that_is_refilled_too_soon_or_too_fast_is_noticed() {
    let (delay, rate) = (Duration::from_secs(5), Rate::parse("1").expect("the text is a rate"));
    let refill = |sees_pool: bool, after: &[(u64, &'static str)]| {
        let mut store = Store::default();
        store.put(owned("s", 3, 'p', 9));
        let mut checkers = Checkers::new(Vec::new()).and_of_setup(Promises::default(), Pace { delay, rate });
        let delete = deletion(1, true, Some(Version(3)));
        let Fact::Sent(Sent { action, .. }) = delete.clone() else { panic!("no request") };
        let mut facts: Vec<_> = sees_pool.then(|| (0, list_of_pools())).into_iter().collect();
        facts.push((0, delete));
        facts.push((0, Fact::Answered { process: 0, action, outcome: Outcome::Accepted }));
        facts.extend(after.iter().map(|(millis, name)| (*millis, creation(owned(name, 0, 'p', 9)))));
        facts.iter().try_for_each(|(millis, fact)| {
            checkers.on_clock(Mono::from_micros(millis * 1000));
            checkers.on_fact(fact, &store).map_err(|violation| violation.property.name)
        })
    };
    assert_eq!(refill(true, &[(5000, "a"), (6000, "b")]), Ok(()));
    assert_eq!(refill(true, &[(4999, "a")]), Err("refill-paced"));
    assert_eq!(refill(true, &[(5000, "a"), (5999, "b")]), Err("refill-paced"));
    assert_eq!(refill(true, &[(5000, "a"), (5001, "a")]), Ok(()), "the same again is no other");
    assert_eq!(refill(false, &[(4999, "a")]), Ok(()), "the pool was not seen before");
}

/// RFL-003: what was deleted in one term, and is deleted again in the next because the answer was lost, is no loss of the next.
#[test]
fn a_delete_that_is_repeated_in_the_next_term_makes_nobody_wait() {
    let mut store = Store::default();
    store.put(owned("s", 3, 'p', 9));
    let delay = Duration::from_secs(5);
    let mut checkers =
        Checkers::new(Vec::new()).and_of_setup(Promises::default(), Pace { delay, rate: Rate::default() });
    let delete = deletion(1, true, Some(Version(3)));
    let Fact::Sent(Sent { action, .. }) = delete.clone() else { panic!("no request") };
    let facts = [
        list_of_pools(),
        delete.clone(),
        Fact::Answered { process: 0, action: action.clone(), outcome: Outcome::Unknown },
        Fact::Leading { process: 0, term: 2 },
        list_of_pools(),
        delete,
        Fact::Answered { process: 0, action, outcome: Outcome::Accepted },
        creation(owned("a", 0, 'p', 9)),
    ];
    assert_eq!(facts.iter().try_for_each(|fact| checkers.on_fact(fact, &store)), Ok(()));
}

/// A process sees the pool to which its members belong.
fn list_of_pools() -> Fact {
    let mut pool = scene::pool("p", 1);
    pool.meta_mut().uid = Uid::from_bits(9);
    Fact::Relisted { process: 0, term: 1, kind: Kind::Pool, at: Version(1), objects: [pool].into() }
}

/// Judges objects as a watch would show them one after the other; returns the properties that break.
fn broken(objects: impl IntoIterator<Item = Object>) -> Vec<&'static str> {
    let violations = Log::new(0).judge_all(numbered(objects));
    violations.into_iter().map(|violation| violation.property.name).collect()
}

fn numbered(objects: impl IntoIterator<Item = Object>) -> Vec<Seen> {
    let numbered = (1..).zip(objects).map(|(version, mut object)| {
        object.meta_mut().version = Version(version);
        Seen::Applied(object)
    });
    numbered.collect()
}

fn sent(term: u64, listed: bool, version: Option<Version>) -> Result<(), &'static str> {
    let judged = Checkers::all().on_fact(&deletion(term, listed, version), &Store::default());
    judged.map_err(|violation| violation.property.name)
}

fn creation(member: Object) -> Fact {
    let operation = Arc::new(Operation::Create(member));
    let action = Action { id: ActionId(2), intent: Intent::CreateMember, operation };
    Fact::Sent(Sent { process: 0, term: 1, listed: true, request: RequestId(2), action })
}

fn deletion(term: u64, listed: bool, version: Option<Version>) -> Fact {
    let Fact::Sent(sent) = deletion_of("s", 3, version) else { unreachable!("it is a request") };
    Fact::Sent(Sent { term, listed, ..sent })
}

fn deletion_of(name: &str, uid: u128, version: Option<Version>) -> Fact {
    let target = Target { kind: Kind::Sandbox, key: scene::key(name), uid: Some(Uid::from_bits(uid)) };
    let operation = Arc::new(Operation::Delete { target, version, propagation: Propagation::Background });
    let action = Action { id: ActionId(1), intent: Intent::DeleteMember, operation };
    Fact::Sent(Sent { process: 0, term: 1, listed: true, request: RequestId(1), action })
}

fn claim(name: &str, uid: u128, record: Option<&str>) -> Object {
    let mut claim = scene::claim(name, "p");
    let meta = claim.meta_mut();
    meta.uid = Uid::from_bits(uid);
    meta.annotations = record.map(|record| (names::SANDBOX_NAME.into(), record.into())).into_iter().collect();
    claim
}

fn bound(mut claim: Object, sandbox: &str) -> Object {
    if let Object::Claim(claim) = &mut claim {
        let bound = Bound { name: sandbox.into(), pod_ips: Vec::new() };
        Arc::make_mut(claim).status.sandbox = Some(bound);
    }
    claim
}

fn ready(claim: Object, sandbox: &str, address: &str) -> Object {
    let mut claim = bound(claim, sandbox);
    if let Object::Claim(claim) = &mut claim {
        let status = &mut Arc::make_mut(claim).status;
        status.sandbox.iter_mut().for_each(|bound| bound.pod_ips.push(address.into()));
        status.conditions.push(Condition {
            kind: names::READY.into(),
            status: Truth::True,
            reason: "DependenciesReady".into(),
            message: "".into(),
            observed: 1,
            changed: Wall::default(),
        });
    }
    claim
}

/// A sandbox owned by a claim ('c') or a pool ('p').
fn owned(name: &str, uid: u128, kind: char, owner: u128) -> Object {
    let Object::Template(template) = scene::template() else { panic!("no template") };
    let mut meta = agent_sandbox_core::object::Meta::draft(scene::key(name));
    let kind = if kind == 'c' { Kind::Claim } else { Kind::Pool };
    meta.uid = Uid::from_bits(uid);
    meta.owner =
        Some(Owner { kind: OwnerKind::Known(kind), name: "owner".into(), uid: Uid::from_bits(owner) });
    Object::Sandbox(Arc::new(Sandbox {
        meta,
        pod: template.blueprint.pod.clone(),
        pod_spec: template.blueprint.pod_spec.clone(),
        volume_claims: None,
        service: None,
        suspended: false,
        shutdown: None,
        status: SandboxStatus::default(),
    }))
}

/// A Pod whose address ends with its uid.
fn pod(name: &str, uid: u128, sandbox: u128) -> Object {
    let mut meta = agent_sandbox_core::object::Meta::draft(scene::key(name));
    meta.uid = Uid::from_bits(uid);
    meta.labels = Labels::new();
    meta.owner =
        Some(Owner { kind: OwnerKind::Known(Kind::Sandbox), name: "s".into(), uid: Uid::from_bits(sandbox) });
    let ips = vec![format!("10.0.0.{uid}").into()];
    let node = "node".into();
    Object::Pod(Arc::new(Pod {
        meta,
        spec: None,
        phase: Phase::Running,
        ready: true,
        scheduled: None,
        ips,
        node,
    }))
}
