//! What is done about a sandbox, and what is said of it.

use agent_sandbox_core::event::Refusal;
use super::*;

/// INV-28: whatever the answer, and unless somebody else takes it back each time.
#[test]
fn what_is_asked_over_and_over_is_noticed() {
    let asks = |others: bool| {
        let mut checkers = Checkers::of_effects().only(&["backs-off"]);
        let store = Store::default();
        (0..150).try_for_each(|_| {
            let Fact::Sent(other) = look(1, Kind::Pool, "p") else { unreachable!("it is a request") };
            let other = others.then_some(Fact::Sent(Sent { process: 1, ..other }));
            let facts = [look(1, Kind::Pool, "p"), answered(&look(1, Kind::Pool, "p"), Outcome::NotFound)];
            let judged = facts.iter().chain(&other).try_for_each(|fact| checkers.on_fact(fact, &store));
            judged.map_err(|violation| violation.property.name)
        })
    };
    assert_eq!(asks(false), Err("backs-off"));
    assert_eq!(asks(true), Ok(()));
}

/// INV-28: unless something else is asked for.
#[test]
fn what_the_server_holds_for_invalid_and_gets_again_is_noticed() {
    let makes = |name: &str| {
        let mut made = pod("s", 0, 3);
        made.meta_mut().labels.insert("app".into(), name.into());
        sends(8, Intent::CreatePod, Operation::Create(made))
    };
    let again = |name, millis: u64, refusal| {
        let mut checkers = Checkers::of_effects().only(&["backs-off"]);
        let store = Store::default();
        let refused = answered(&makes("a"), Outcome::Refused(refusal));
        [makes("a"), refused]
            .iter()
            .try_for_each(|fact| checkers.on_fact(fact, &store))
            .expect("once is fine");
        checkers.on_clock(Mono::from_micros(millis * 1000));
        checkers.on_fact(&makes(name), &store).map_err(|violation| violation.property.name)
    };
    assert_eq!(again("a", 20_000, Refusal::Invalid("no".into())), Err("backs-off"));
    assert_eq!(again("a", 20_000, Refusal::NamespaceEnding("no".into())), Err("backs-off"));
    assert_eq!(again("a", 20_000, Refusal::Forbidden("no".into())), Ok(()));
    assert_eq!(again("b", 20_000, Refusal::Invalid("no".into())), Ok(()));
    assert_eq!(again("a", 30_000, Refusal::Invalid("no".into())), Ok(()));
}

fn sends(id: u64, intent: Intent, operation: Operation) -> Fact {
    let action = Action { id: ActionId(id), intent, operation: Arc::new(operation) };
    Fact::Sent(Sent { process: 0, term: 1, listed: true, request: RequestId(id as u32), action })
}

fn look(id: u64, kind: Kind, name: &str) -> Fact {
    sends(id, Intent::Look, Operation::Get { kind, key: scene::key(name) })
}

/// The answer to a request.
fn answered(sent: &Fact, outcome: Outcome) -> Fact {
    let Fact::Sent(sent) = sent else { unreachable!("it is a request") };
    Fact::Answered { process: sent.process, action: sent.action.clone(), outcome }
}
