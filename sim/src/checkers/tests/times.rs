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
