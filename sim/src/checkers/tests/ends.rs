//! What is ended, and whose it was.

use agent_sandbox_core::object::{Dependent, Json, Meta, Shutdown, ShutdownPolicy};
use agent_sandbox_core::wishes::{ClaimShutdownPolicy, Lifecycle, Wishes};

use super::*;
use crate::api_server::Writer;

/// INV-07, INV-19: unless a controller has told that its time is over, or may think so.
#[test]
fn a_sandbox_that_is_deleted_although_it_was_given_more_time_is_noticed() {
    let ends = |seconds, policy, generation| {
        let mut sandbox = expiring(seconds, policy);
        sandbox.meta.generation = generation;
        said_expired(&mut sandbox);
        judged(&[deleted(Object::Sandbox(Arc::new(sandbox)), Intent::DeleteSandbox)])
    };
    assert_eq!(ends(10, ShutdownPolicy::Delete, 2), Ok(()));
    assert_eq!(ends(10, ShutdownPolicy::Retain, 2), Err("right-end"));
    assert_eq!(ends(15, ShutdownPolicy::Delete, 2), Ok(()), "the calendar of a controller may be ahead");
    assert_eq!(ends(60, ShutdownPolicy::Delete, 2), Err("right-end"));
    assert_eq!(ends(60, ShutdownPolicy::Delete, 1), Ok(()), "it says so of what it is now");
}

/// INV-19.
#[test]
fn a_sandbox_that_is_told_over_before_its_time_is_noticed() {
    let tells = |seconds| {
        let before = expiring(seconds, ShutdownPolicy::Retain);
        let mut after = before.clone();
        said_expired(&mut after);
        let [old, new] = [before, after].map(|sandbox| Some(Object::Sandbox(Arc::new(sandbox))));
        let by = by(Intent::SetSandboxStatus);
        judged(&[Fact::Committed(Commit { version: Version(9), old, new, by })])
    };
    assert_eq!(tells(10), Ok(()));
    assert_eq!(tells(60), Err("right-end"));
}

/// INV-19, LIF-001 and LIF-002: a time that counts from an end has not begun before that.
#[test]
fn a_claim_that_is_told_over_before_its_time_is_noticed() {
    let tells = |shutdown: Option<u32>, ttl: Option<u32>, finished: Option<u32>| {
        let second = Duration::from_secs(1);
        let lifecycle = Lifecycle {
            shutdown: shutdown.map(|at| scene::epoch() + second * at),
            ttl: ttl.map(|ttl| second * ttl),
            policy: ClaimShutdownPolicy::Retain,
        };
        let wishes = Wishes { lifecycle: Some(lifecycle), ..Wishes::default() };
        let says = |kind: &str, reason: &str, at| Condition {
            kind: kind.into(),
            status: Truth::True,
            reason: reason.into(),
            message: "".into(),
            observed: 1,
            changed: scene::epoch() + second * at,
        };
        let Object::Claim(mut before) = scene::claim_that_wishes("a", "p", Some(wishes)) else {
            unreachable!("it is a claim")
        };
        let ended = finished.map(|at| says(names::FINISHED, "PodFailed", at));
        Arc::make_mut(&mut before).status.conditions.extend(ended);
        let mut after = before.clone();
        Arc::make_mut(&mut after).status.conditions.push(says(names::READY, names::CLAIM_EXPIRED, 10));
        let (old, new) = (Some(Object::Claim(before)), Some(Object::Claim(after)));
        judged(&[Fact::Committed(Commit { version: Version(9), old, new, by: by(Intent::MarkExpired) })])
    };
    assert_eq!(tells(Some(10), None, None), Ok(()));
    assert_eq!(tells(Some(60), None, None), Err("right-end"));
    assert_eq!(tells(Some(60), Some(5), Some(5)), Ok(()));
    assert_eq!(tells(None, Some(60), Some(5)), Err("right-end"));
    assert_eq!(tells(None, Some(5), None), Err("right-end"));
}

/// INV-07: a Pod goes when its sandbox is suspended, or says that it has expired.
#[test]
fn a_pod_that_is_deleted_before_its_sandbox_says_why_is_noticed() {
    let stops = |change: fn(&mut Sandbox)| {
        let mut sandbox = expiring(10, ShutdownPolicy::Retain);
        change(&mut sandbox);
        judged(&[shown(sandbox), deleted(pod("s", 4, 3), Intent::DeletePod)])
    };
    assert_eq!(stops(|_| {}), Err("right-end"));
    assert_eq!(stops(said_expired), Ok(()));
    assert_eq!(stops(|it| it.suspended = true), Ok(()));
}

/// SBX-083: a sandbox that does not say whether it wants a Service keeps the one that it has.
#[test]
fn a_service_that_is_deleted_although_nobody_asked_for_that_is_noticed() {
    let stops = |service, change: fn(&mut Sandbox)| {
        let mut sandbox = expiring(10, ShutdownPolicy::Retain);
        sandbox.service = service;
        change(&mut sandbox);
        let owner = Some(Owner::new(Kind::Sandbox, &sandbox.meta));
        let part = scene::part(Kind::Service, "s", owner, &[]);
        judged(&[shown(sandbox), deleted(part, Intent::DeleteService)])
    };
    assert_eq!(stops(None, |_| {}), Err("right-end"));
    assert_eq!(stops(Some(true), |it| it.suspended = true), Err("right-end"));
    assert_eq!(stops(Some(false), |_| {}), Ok(()));
    assert_eq!(stops(None, said_expired), Ok(()));
}

/// SBX-023, SBX-044: whatever its sandbox has come to.
#[test]
fn a_volume_that_is_thrown_away_is_noticed() {
    let mut sandbox = expiring(10, ShutdownPolicy::Delete);
    said_expired(&mut sandbox);
    let owner = Some(Owner::new(Kind::Sandbox, &sandbox.meta));
    let part = scene::part(Kind::VolumeClaim, "data-s", owner, &[]);
    assert_eq!(judged(&[shown(sandbox), deleted(part, Intent::DeleteService)]), Err("right-end"));
}

/// INV-05, META-021: of whatever others have put on an object nothing goes, and nor does the mark by which it may be taken.
#[test]
fn what_is_dropped_that_others_had_put_there_is_noticed() {
    let drops = |change: fn(&mut Meta)| {
        let mut old = owned("s", 3, 'p', 9);
        let meta = old.meta_mut();
        meta.labels.extend([("app".into(), "db".into()), (names::ADOPTABLE.into(), "true".into())]);
        meta.labels.insert(names::WARM_POOL.into(), "p".into());
        meta.annotations.insert("example.com/backup".into(), "daily".into());
        let mut new = old.clone();
        change(new.meta_mut());
        let by = by(Intent::LabelSandbox);
        judged(&[Fact::Committed(Commit { version: Version(9), old: Some(old), new: Some(new), by })])
    };
    assert_eq!(drops(|meta| _ = meta.labels.remove(names::WARM_POOL)), Ok(()));
    assert_eq!(drops(|meta| _ = meta.labels.remove("app")), Err("hands-off"));
    assert_eq!(drops(|meta| _ = meta.labels.remove(names::ADOPTABLE)), Err("hands-off"));
    assert_eq!(drops(|meta| meta.annotations.clear()), Err("hands-off"));
}

/// INV-05, TPL-003, DEF-034: a policy is its template's, or, from an older release, its claim's.
#[test]
fn a_network_policy_of_another_that_is_touched_is_noticed() {
    let drops = |owner: Option<(Kind, &str)>| {
        let mut meta = Meta::draft(scene::key(format!("t{}", names::NETWORK_POLICY_SUFFIX)));
        let of = |(kind, name): (Kind, &str)| Owner::new(kind, &Meta::draft(scene::key(name)));
        meta.owner = owner.map(of);
        let spec = Json::from(&serde_json::json!({ "podSelector": {} }));
        let policy = Object::NetworkPolicy(Arc::new(Dependent { meta, spec }));
        judged(&[deleted(policy, Intent::DeleteNetworkPolicy)])
    };
    assert_eq!(drops(Some((Kind::Template, "t"))), Ok(()));
    assert_eq!(drops(Some((Kind::Claim, "t"))), Ok(()));
    assert_eq!(drops(Some((Kind::Claim, "another"))), Err("hands-off"));
    assert_eq!(drops(None), Err("hands-off"));
}

/// A sandbox that a user has made, to end so many seconds after the beginning.
fn expiring(seconds: u64, policy: ShutdownPolicy) -> Sandbox {
    let mut sandbox = scene::sandbox("s");
    (sandbox.meta.uid, sandbox.meta.generation) = (Uid::from_bits(3), 1);
    sandbox.shutdown = Some(Shutdown { at: scene::epoch() + Duration::from_secs(seconds), policy });
    sandbox
}

/// Makes it say that it has expired, of its first generation.
fn said_expired(sandbox: &mut Sandbox) {
    sandbox.status.conditions.push(Condition {
        kind: names::READY.into(),
        status: Truth::False,
        reason: names::EXPIRED.into(),
        message: "".into(),
        observed: 1,
        changed: Wall::default(),
    });
}

const fn by(intent: Intent) -> Option<Writer> {
    Some(Writer::Process { process: 0, term: 1, intent })
}

fn shown(sandbox: Sandbox) -> Fact {
    let new = Some(Object::Sandbox(Arc::new(sandbox)));
    Fact::Committed(Commit { version: Version(8), old: None, new, by: None })
}

fn deleted(object: Object, intent: Intent) -> Fact {
    Fact::Committed(Commit { version: Version(9), old: Some(object), new: None, by: by(intent) })
}

/// Returns which property these facts break, ten seconds after the beginning.
fn judged(facts: &[Fact]) -> Result<(), &'static str> {
    let mut checkers = Checkers::of_effects().only(&["right-end", "hands-off"]);
    checkers.on_clock(Mono::from_micros(10_000_000));
    let store = Store::default();
    let judged = facts.iter().try_for_each(|fact| checkers.on_fact(fact, &store));
    judged.map_err(|violation| violation.property.name)
}
