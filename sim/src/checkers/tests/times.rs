//! What a condition says of its time is judged with each write.

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
