//! What a condition says of its time is judged with each write.

use agent_sandbox_core::action::{Part, Patch};
use agent_sandbox_core::object::ClaimStatus;
use agent_sandbox_core::patch::Change;

use super::*;
use crate::api_server::Writer;

/// CND-003, SCND-002.
#[test]
fn a_time_that_moves_without_its_status_is_noticed() {
    let says = |status, seconds| said(status, 1, scene::epoch() + Duration::from_secs(seconds));
    assert_eq!(told(says(Truth::False, 0), says(Truth::False, 0), 60), Ok(()));
    assert_eq!(told(says(Truth::False, 0), says(Truth::False, 60), 60), Err("honest-times"));
    assert_eq!(told(says(Truth::False, 0), says(Truth::True, 60), 60), Ok(()));
    assert_eq!(told(says(Truth::False, 0), says(Truth::True, 0), 60), Err("honest-times"));
    assert_eq!(told(says(Truth::False, 0), says(Truth::True, 90), 60), Err("honest-times"));
}

/// INV-17.
#[test]
fn a_generation_of_the_future_is_noticed() {
    let says = |status, observed| said(status, observed, scene::epoch());
    assert_eq!(told(says(Truth::False, 1), says(Truth::True, 1), 0), Ok(()));
    assert_eq!(told(says(Truth::False, 1), says(Truth::True, 2), 0), Err("honest-times"));
}

/// INV-28: an answer that says how things are ends the count.
#[test]
fn what_is_tried_over_and_over_is_noticed() {
    let tried = |pause: Duration, outcome: fn(usize) -> Outcome| {
        let operation = Arc::new(Operation::Get { kind: Kind::Claim, key: scene::key("a") });
        let action = Action { id: ActionId(3), intent: Intent::Look, operation };
        let mut checkers = Checkers::of_effects().only(&["backs-off"]);
        (0..100).try_for_each(|time| {
            checkers.on_clock(Mono::default() + pause * time);
            let request = RequestId(3);
            let sent = Sent { process: 0, term: 1, listed: true, request, action: action.clone() };
            let outcome = outcome(time as usize);
            let answered = Fact::Answered { process: 0, action: action.clone(), outcome };
            let facts = [Fact::Sent(sent), answered];
            let store = Store::default();
            let judged = facts.iter().try_for_each(|fact| checkers.on_fact(fact, &store));
            judged.map_err(|violation| violation.property.name)
        })
    };
    let often = Duration::from_millis(50);
    assert_eq!(tried(often, |_| Outcome::Unknown), Err("backs-off"));
    assert_eq!(tried(often, |_| Outcome::Throttled(Duration::ZERO)), Err("backs-off"));
    assert_eq!(tried(Duration::from_secs(1), |_| Outcome::Unknown), Ok(()));
    assert_eq!(
        tried(often, |time| if time % 20 == 0 { Outcome::NotFound } else { Outcome::Unknown }),
        Ok(())
    );
}

/// INV-28: what is made for somebody who is gone goes at once, however often.
#[test]
fn what_is_made_over_and_over_for_somebody_who_is_gone_is_noticed() {
    let by = Some(Writer::Process { process: 0, term: 1, intent: Intent::CreateClaimSandbox });
    let makes = |pause: Duration, store: &Store| {
        let mut checkers = Checkers::of_effects().only(&["backs-off"]);
        (0..30).try_for_each(|time| {
            checkers.on_clock(Mono::default() + pause * time);
            let new = Some(owned("a", 3, 'c', 1));
            let made = Fact::Committed(Commit { version: Version(9), old: None, new, by });
            checkers.on_fact(&made, store).map_err(|violation| violation.property.name)
        })
    };
    let mut there = Store::default();
    there.put(claim("a", 1, Some("a")));
    assert_eq!(makes(Duration::from_millis(10), &Store::default()), Err("backs-off"));
    assert_eq!(makes(Duration::from_secs(1), &Store::default()), Ok(()));
    assert_eq!(makes(Duration::from_millis(10), &there), Ok(()));
}

/// INV-28: who is asked to wait waits, unless it leads anew and does not know.
#[test]
fn what_is_asked_again_before_the_server_wants_it_is_noticed() {
    let operation = Arc::new(Operation::Get { kind: Kind::Claim, key: scene::key("a") });
    let action = Action { id: ActionId(3), intent: Intent::Look, operation };
    let sent =
        Fact::Sent(Sent { process: 0, term: 1, listed: true, request: RequestId(3), action: action.clone() });
    let answered = Fact::Answered { process: 0, action, outcome: Outcome::Throttled(Duration::from_secs(2)) };
    let asks = |millis: u64, meanwhile: &[Fact]| {
        let (mut checkers, store) = (Checkers::of_effects().only(&["backs-off"]), Store::default());
        let before = [sent.clone(), answered.clone()];
        before
            .iter()
            .chain(meanwhile)
            .try_for_each(|fact| checkers.on_fact(fact, &store))
            .map_err(|_| "early")?;
        checkers.on_clock(Mono::from_micros(millis * 1000));
        checkers.on_fact(&sent, &store).map_err(|violation| violation.property.name)
    };
    assert_eq!(asks(1999, &[]), Err("backs-off"));
    assert_eq!(asks(2000, &[]), Ok(()));
    assert_eq!(asks(1999, &[Fact::Leading { process: 0, term: 2 }]), Ok(()));
}

/// FRB-005, CON-075: once, and when it was.
#[test]
fn a_stamp_of_another_moment_is_noticed() {
    let at = |seconds| (scene::epoch() + Duration::from_secs(seconds)).rfc3339_micros();
    let notes = |key: &'static str, seconds, claim: Object| {
        let change = Change::Annotation(key.into(), Some(at(seconds).into()));
        noted(claim, None, change)
    };
    let stamped = |key: &'static str| {
        let mut claim = ready(claim("a", 1, Some("s")), "s", "10.0.0.4");
        claim.meta_mut().annotations.insert(key.into(), at(60).into());
        claim
    };
    let usable = || ready(claim("a", 1, Some("s")), "s", "10.0.0.4");
    assert_eq!(notes(names::FIRST_READY_AT, 60, usable()), Ok(()));
    assert_eq!(notes(names::FIRST_READY_AT, 30, usable()), Err("honest-times"));
    assert_eq!(notes(names::FIRST_READY_AT, 90, usable()), Err("honest-times"));
    assert_eq!(notes(names::FIRST_READY_AT, 60, claim("a", 1, None)), Err("honest-times"));
    assert_eq!(notes(names::FIRST_READY_AT, 60, stamped(names::FIRST_READY_AT)), Err("honest-times"));
    assert_eq!(notes(names::FIRST_OBSERVED_AT, 30, claim("a", 1, None)), Ok(()));
    assert_eq!(notes(names::FIRST_OBSERVED_AT, 0, claim("a", 1, None)), Err("honest-times"), "before it ran");
    assert_eq!(notes(names::FIRST_OBSERVED_AT, 90, claim("a", 1, None)), Err("honest-times"));
    assert_eq!(notes(names::FIRST_OBSERVED_AT, 60, stamped(names::FIRST_OBSERVED_AT)), Err("honest-times"));
}

/// CND-003 and CND-004: the work has ended, and all is ready, since the sandbox says so, whenever the claim is told.
#[test]
fn another_time_than_that_of_the_sandbox_is_noticed() {
    let since = |kind: &str, seconds| Condition {
        kind: kind.into(),
        status: Truth::True,
        reason: "Reason".into(),
        message: "".into(),
        observed: 1,
        changed: scene::epoch() + Duration::from_secs(seconds),
    };
    let tells = |kind, seconds| {
        let Object::Sandbox(mut sandbox) = owned("s", 3, 'c', 1) else { panic!("no sandbox") };
        Arc::make_mut(&mut sandbox).status.conditions.push(since(kind, 40));
        let bound = Some(Bound { name: "s".into(), pod_ips: Vec::new() });
        let status = ClaimStatus { sandbox: bound, conditions: vec![since(kind, seconds)] };
        noted(claim("a", 1, Some("s")), Some(Object::Sandbox(sandbox)), Change::ClaimStatus(status))
    };
    for kind in [names::FINISHED, names::READY] {
        assert_eq!(tells(kind, 40), Ok(()), "{kind}");
        assert_eq!(tells(kind, 60), Err("honest-times"), "{kind}");
    }
}

/// Returns which property is broken when a process that has started after 25 seconds, and has seen everything, changes a claim
/// after 60.
fn noted(mut claim: Object, sandbox: Option<Object>, change: Change) -> Result<(), &'static str> {
    claim.meta_mut().version = Version(1);
    claim.meta_mut().created = scene::epoch();
    let target = Target { kind: Kind::Claim, key: scene::key("a"), uid: Some(claim.uid()) };
    let patch = Patch { target, version: Some(Version(1)), part: Part::Main, changes: vec![change] };
    let action = Action {
        id: ActionId(3),
        intent: Intent::SetClaimStatus,
        operation: Arc::new(Operation::Patch(patch)),
    };
    let mut store = Store::default();
    [Some(claim), sandbox].into_iter().flatten().for_each(|object| _ = store.put(object));
    let mut checkers = Checkers::of_effects().only(&["honest-times"]);
    let lists = Kind::ALL.map(|kind| Fact::Relisted {
        process: 0,
        term: 1,
        kind,
        at: Version(9),
        objects: [].into(),
    });
    let sent = Fact::Sent(Sent { process: 0, term: 1, listed: true, request: RequestId(3), action });
    let facts = [(25, Fact::Started(0))].into_iter().chain(lists.map(|fact| (25, fact))).chain([(60, sent)]);
    facts.into_iter().try_for_each(|(seconds, fact)| {
        checkers.on_clock(Mono::from_micros(seconds * 1_000_000));
        checkers.on_fact(&fact, &store).map_err(|violation| violation.property.name)
    })
}

/// A sandbox of generation 1 that says this of whether it is ready.
fn said(status: Truth, observed: i64, changed: Wall) -> Object {
    let Object::Sandbox(mut sandbox) = owned("s", 3, 'p', 9) else { panic!("no sandbox") };
    let (kind, reason) = (names::READY.into(), "DependenciesReady".into());
    let inner = Arc::make_mut(&mut sandbox);
    inner.meta.generation = 1;
    let message = "".into();
    inner.status.conditions.push(Condition { kind, status, reason, message, observed, changed });
    Object::Sandbox(sandbox)
}

/// Returns which property is broken when a process writes the second over the first, so many seconds after the beginning.
fn told(old: Object, new: Object, seconds: u64) -> Result<(), &'static str> {
    let by = Some(Writer::Process { process: 0, term: 1, intent: Intent::SetSandboxStatus });
    let mut store = Store::default();
    store.put(new.clone());
    let commit = Commit { version: Version(2), old: Some(old), new: Some(new), by };
    let mut checkers = Checkers::of_effects().only(&["honest-times"]);
    checkers.on_clock(Mono::from_micros(seconds * 1_000_000));
    checkers.on_fact(&Fact::Committed(commit), &store).map_err(|violation| violation.property.name)
}
