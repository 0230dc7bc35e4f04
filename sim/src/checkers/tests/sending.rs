//! How much is sent at once, what is told in Events, and how claims are ended.

use agent_sandbox_core::action::{Notice, Part, Patch};
use agent_sandbox_core::event::Refusal;
use agent_sandbox_core::object::Json;
use agent_sandbox_core::patch::Change;
use agent_sandbox_core::wishes::{ClaimShutdownPolicy, Lifecycle, Wishes};

use super::*;

/// INV-27: an answer, or the end of the process, makes room.
#[test]
fn a_request_more_than_may_be_under_way_is_noticed() {
    let send = |process, id| Fact::Sent(sent(process, action(id, Intent::Look, look())));
    let answer = |id| {
        let action = action(id, Intent::Look, look());
        Fact::Answered { process: 0, action, outcome: Outcome::NotFound }
    };
    let judge = |facts: &[Fact]| {
        let promises = Promises { in_flight_max: Some(2), ..Promises::default() };
        judge(Checkers::new(Vec::new()).and_of_setup(promises, Pace::default()), facts)
    };
    assert_eq!(judge(&[send(0, 1), send(0, 2), send(1, 3)]), Ok(()));
    assert_eq!(judge(&[send(0, 1), send(0, 2), send(0, 3)]), Err("bounded-flight"));
    assert_eq!(judge(&[send(0, 1), send(0, 2), answer(1), send(0, 3)]), Ok(()));
    let dies = Fact::Crashed { process: 0, term: 1 };
    assert_eq!(judge(&[send(0, 1), send(0, 2), dies, send(0, 3)]), Ok(()));
}

/// INV-28: what the server refuses for good is not asked for soon again, unless it has been there.
#[test]
fn a_create_that_was_refused_for_good_and_comes_soon_again_is_noticed() {
    let owner = Owner { kind: OwnerKind::Known(Kind::Sandbox), name: "s".into(), uid: Uid::from_bits(3) };
    let made = action(7, Intent::CreatePod, Operation::Create(pod("s", 4, 3)));
    let refused = Outcome::Refused(Refusal::Invalid("no".into()));
    let refused = Fact::Answered { process: 0, action: made.clone(), outcome: refused };
    let again = || Fact::Sent(sent(0, made.clone()));
    let gone = |process, name: &str, owner| {
        let gone = Seen::Deleted(scene::part(Kind::Pod, name, Some(owner), &[]));
        Fact::Shown { process, kind: Kind::Pod, upto: Version(9), line: Some(gone) }
    };
    let other = Owner { uid: Uid::from_bits(9), ..owner.clone() };
    let judge = |facts: &[Fact]| judge(Checkers::of_effects().only(&["backs-off"]), facts);
    assert_eq!(judge(&[refused.clone(), again()]), Err("backs-off"));
    for (seen, verdict) in [
        (gone(0, "s", owner.clone()), Ok(())),
        (gone(0, "s", other.clone()), Ok(())),
        (gone(0, "t", owner.clone()), Ok(())),
        (gone(0, "t", other), Err("backs-off")),
        (gone(1, "s", owner), Err("backs-off")),
    ] {
        assert_eq!(judge(&[refused.clone(), seen.clone(), again()]), verdict, "{seen:?}");
    }
}

/// INV-32, BUG-133: from when it knows that a claim is ready which has no note of that.
#[test]
fn a_process_that_never_does_what_nobody_waits_for_is_noticed() {
    let judge = |urgent: u64, others: u64, stamped: bool| {
        let (mut store, mut claim) = (Store::default(), ready(claim("a", 1, Some("s")), "s", "10.0.0.1"));
        if stamped {
            claim.meta_mut().annotations.insert(names::FIRST_READY_AT.into(), "then".into());
        }
        store.put(claim.clone());
        let mut checkers = Checkers::of_effects().only(&["shares-turns"]);
        let made = Commit { version: claim.version(), old: None, new: Some(claim), by: None };
        let listed =
            Fact::Relisted { process: 0, term: 1, kind: Kind::Claim, at: Version(100), objects: [].into() };
        let pod = Operation::Get { kind: Kind::Pod, key: scene::key("a") };
        let send = |id, intent| Fact::Sent(sent(0, action(id, intent, pod.clone())));
        let mut facts = vec![Fact::Committed(made), listed];
        for round in 0..2 {
            facts.extend((0..urgent).map(|id| send(100 * round + id, Intent::CreatePod)));
            facts.extend((0..others).map(|id| send(100 * round + 50 + id, Intent::LabelPod)));
        }
        let judged = facts.iter().try_for_each(|fact| checkers.on_fact(fact, &store));
        judged.map_err(|violation| violation.property.name)
    };
    assert_eq!(judge(8, 1, false), Ok(()));
    assert_eq!(judge(8, 0, false), Err("shares-turns"));
    assert_eq!(judge(8, 0, true), Ok(()));
}

/// LIF-010, BUG-84: what a claim has goes first where its user says so, and else after it.
#[test]
fn a_claim_that_is_deleted_in_another_order_than_its_policy_is_noticed() {
    use ClaimShutdownPolicy::{Delete, DeleteForeground};
    let ends = |policy, propagation| {
        let (mut store, claim) = (Store::default(), ending(policy, 0));
        store.put(claim.clone());
        let target = Target { kind: Kind::Claim, key: scene::key("a"), uid: Some(claim.uid()) };
        let operation = Operation::Delete { target, version: Some(claim.version()), propagation };
        let fact = Fact::Sent(sent(0, action(7, Intent::DeleteClaim, operation)));
        let judged = Checkers::of_effects().only(&["right-end"]).on_fact(&fact, &store);
        judged.map_err(|violation| violation.property.name)
    };
    assert_eq!(ends(Delete, Propagation::Background), Ok(()));
    assert_eq!(ends(Delete, Propagation::Foreground), Err("right-end"));
    assert_eq!(ends(DeleteForeground, Propagation::Foreground), Ok(()));
    assert_eq!(ends(DeleteForeground, Propagation::Background), Err("right-end"));
}

/// BUG-89: unless a calendar was set anew, so that nobody can tell whether its time has come.
#[test]
fn a_claim_that_is_deleted_although_it_was_given_more_time_is_noticed() {
    let by = Some(Writer::Process { process: 0, term: 1, intent: Intent::DeleteClaim });
    let ends = |seconds, before: &[Fact]| {
        let old = Some(ending(ClaimShutdownPolicy::Delete, seconds));
        let gone = Fact::Committed(Commit { version: Version(9), old, new: None, by });
        let mut checkers = Checkers::of_effects().only(&["right-end"]);
        checkers.on_clock(Mono::from_micros(10_000_000));
        let store = Store::default();
        let judged = before.iter().chain([&gone]).try_for_each(|fact| checkers.on_fact(fact, &store));
        judged.map_err(|violation| violation.property.name)
    };
    assert_eq!(ends(10, &[]), Ok(()));
    assert_eq!(ends(15, &[]), Ok(()), "the calendar of a controller may be ahead");
    assert_eq!(ends(18, &[]), Err("right-end"));
    assert_eq!(ends(18, &[Fact::CalendarSet(0)]), Ok(()));
}

/// A claim that is to end so many seconds after the beginning.
fn ending(policy: ClaimShutdownPolicy, seconds: u64) -> Object {
    let shutdown = Some(scene::epoch() + Duration::from_secs(seconds));
    let lifecycle = Some(Lifecycle { shutdown, ttl: None, policy });
    let wishes = Wishes { lifecycle, ..Wishes::default() };
    let mut claim = scene::claim_that_wishes("a", "p", Some(wishes));
    (claim.meta_mut().uid, claim.meta_mut().version) = (Uid::from_bits(1), Version(3));
    claim
}

/// INV-27: what its user asks anew of it costs anew.
#[test]
fn a_claim_that_costs_too_much_is_noticed() {
    let ends = |facts: &[Fact]| {
        let mut checkers = Checkers::of_calm().only(&["bounded-cost"]);
        let store = Store::default();
        facts.iter().try_for_each(|fact| checkers.on_fact(fact, &store)).expect("only the end is judged");
        checkers.at_rest(&store).map_err(|violation| violation.property.name)
    };
    let writes =
        |most: u64| (0..most).map(|id| Fact::Sent(sent(0, action(id, Intent::SetClaimStatus, look()))));
    let made = || committed(claim("a", 1, None));
    let changed = || {
        let (old, mut new) = (claim("a", 1, None), claim("a", 1, None));
        new.meta_mut().generation += 1;
        Fact::Committed(Commit { version: Version(9), old: Some(old), new: Some(new), by: None })
    };
    let of = |claim: &[Fact], most| claim.iter().cloned().chain(writes(most)).collect::<Vec<_>>();
    assert_eq!(ends(&of(&[made()], 8)), Ok(()));
    assert_eq!(ends(&of(&[made()], 9)), Err("bounded-cost"));
    assert_eq!(ends(&of(&[made(), changed()], 16)), Ok(()));
    assert_eq!(ends(&of(&[made(), changed()], 17)), Err("bounded-cost"));
}

/// EVT-003: unless the claim is gone, or the process that has served it.
#[test]
fn a_claim_that_is_served_without_an_event_is_noticed() {
    let there = || committed(claim("a", 1, Some("s")));
    let leads = || Fact::Leading { process: 0, term: 1 };
    let tells = |reason| notice(Kind::Claim, 1, false, reason);
    let rest = |facts: &[Fact]| rest(facts, &Store::default());
    let [dies, steps_down] = [Fact::Crashed { process: 0, term: 1 }, Fact::Deposed { process: 0, term: 1 }];
    assert_eq!(rest(&[leads(), there(), serves(), tells("SandboxAdopted")]), Ok(()));
    assert_eq!(rest(&[leads(), there(), serves()]), Err("told-in-events"));
    assert_eq!(rest(&[leads(), serves()]), Ok(()));
    assert_eq!(rest(&[leads(), there(), serves(), dies]), Ok(()));
    assert_eq!(rest(&[leads(), there(), steps_down, serves()]), Ok(()));
}

/// EVT-002: although the claim is gone by then, and although it was told that its time is over.
#[test]
fn a_claim_that_is_deleted_without_an_event_is_noticed() {
    let answered = |intent, operation, outcome| Fact::Answered {
        process: 0,
        action: action(2, intent, operation),
        outcome,
    };
    let tells = |note| noted(notice(Kind::Claim, 1, false, names::CLAIM_EXPIRED), note);
    let target = Target { kind: Kind::Claim, key: scene::key("a"), uid: Some(Uid::from_bits(1)) };
    let version = Some(Version(3));
    let delete = Operation::Delete { target, version, propagation: Propagation::Background };
    let [leads, there] = [Fact::Leading { process: 0, term: 1 }, committed(claim("a", 1, None))];
    let marks = answered(Intent::MarkExpired, look(), Outcome::Done(claim("a", 1, None)));
    let ends = answered(Intent::DeleteClaim, delete, Outcome::Accepted);
    let both = [leads, there, marks, tells("Claim expired"), ends];
    assert_eq!(rest(&both, &Store::default()), Err("told-in-events"));
    let told = [&both[..], &[tells("Deleting Claim (ShutdownPolicy=Delete)")]].concat();
    assert_eq!(rest(&told, &Store::default()), Ok(()));
    let late = [&both[..1], &both[4..]].concat();
    assert_eq!(rest(&late, &Store::default()), Err("told-in-events"), "the claim is gone");
}

/// EVT-003, EVT-005 and EVT-006: people look for these words.
#[test]
fn an_event_in_other_words_is_noticed() {
    let judge = |facts: &[Fact]| judge(Checkers::of_effects().only(&["told-in-events"]), facts);
    let adopted = |warning, note: &str| {
        judge(&[serves(), noted(notice(Kind::Claim, 1, warning, "SandboxAdopted"), note)])
    };
    assert_eq!(adopted(false, r#"Adopted warm pool Sandbox "s""#), Ok(()));
    assert_eq!(adopted(false, r#"Adopted warm pool Sandbox "a""#), Err("told-in-events"));
    assert_eq!(adopted(true, r#"Adopted warm pool Sandbox "s""#), Err("told-in-events"));
    assert_eq!(judge(&[notice(Kind::Claim, 1, false, "SandboxAdopted")]), Err("told-in-events"), "not done");
    let blocked =
        |warning, note: &str| judge(&[noted(notice(Kind::Pool, 9, warning, "WarmPoolNotProgressing"), note)]);
    assert_eq!(blocked(true, "1/2 sandboxes are unschedulable"), Ok(()));
    assert_eq!(blocked(false, "1/2 sandboxes are unschedulable"), Err("told-in-events"));
    assert_eq!(blocked(true, "the API server refuses to create more: quota"), Ok(()));
    assert_eq!(blocked(true, "the API server refuses to create more: "), Err("told-in-events"));
}

/// EVT-005, EVT-006: as long as the pool has its template.
#[test]
fn a_warning_about_a_pool_that_is_not_taken_back_is_noticed() {
    let mut store = Store::default();
    let mut pool = scene::pool("p", 1);
    pool.meta_mut().uid = Uid::from_bits(9);
    store.put(pool);
    let warns = || notice(Kind::Pool, 9, true, "WarmPoolNotProgressing");
    assert_eq!(rest(&[warns()], &store), Ok(()));
    store.put(scene::template());
    assert_eq!(rest(&[warns()], &store), Err("told-in-events"));
    assert_eq!(rest(&[warns(), notice(Kind::Pool, 9, false, "WarmPoolProgressing")], &store), Ok(()));
}

/// EVT-001, EVT-006: an Event under a name that is taken is lost. A successor does not know what was told.
#[test]
fn an_event_under_a_name_that_is_taken_is_noticed() {
    let tells = || notice(Kind::Pool, 9, true, "WarmPoolNotProgressing");
    let heard = |outcome| {
        let Fact::Sent(Sent { action, .. }) = tells() else { unreachable!("it is a request") };
        Fact::Answered { process: 0, action, outcome }
    };
    let judge = |facts: &[Fact]| judge(Checkers::of_effects().only(&["told-in-events"]), facts);
    assert_eq!(judge(&[tells(), heard(Outcome::Unknown), tells()]), Ok(()));
    assert_eq!(judge(&[tells(), heard(Outcome::Accepted), tells()]), Err("told-in-events"));
    let leads = Fact::Leading { process: 0, term: 2 };
    assert_eq!(judge(&[tells(), heard(Outcome::Accepted), leads, tells()]), Ok(()));
}

/// EVT-001: once.
#[test]
fn an_end_that_is_told_twice_is_noticed() {
    let marks = |said: Option<&str>| {
        let mut claim = ending(ClaimShutdownPolicy::Retain, 0);
        if let Object::Claim(claim) = &mut claim {
            let conditions = &mut Arc::make_mut(claim).status.conditions;
            conditions.extend(said.map(|reason| Condition {
                kind: names::READY.into(),
                status: Truth::False,
                reason: reason.into(),
                message: "".into(),
                observed: 1,
                changed: Wall::default(),
            }));
        }
        let target = Target { kind: Kind::Claim, key: scene::key("a"), uid: Some(claim.uid()) };
        let patch = Patch { target, version: Some(claim.version()), part: Part::Status, changes: Vec::new() };
        let mut store = Store::default();
        store.put(claim);
        let fact = Fact::Sent(sent(0, action(7, Intent::MarkExpired, Operation::Patch(patch))));
        let judged = Checkers::of_effects().only(&["told-in-events"]).on_fact(&fact, &store);
        judged.map_err(|violation| violation.property.name)
    };
    assert_eq!(marks(None), Ok(()));
    assert_eq!(marks(Some("SandboxNotReady")), Ok(()));
    assert_eq!(marks(Some(names::CLAIM_EXPIRED)), Err("told-in-events"));
}

fn judge(mut checkers: Checkers, facts: &[Fact]) -> Result<(), &'static str> {
    let store = Store::default();
    let judged = facts.iter().try_for_each(|fact| checkers.on_fact(fact, &store));
    judged.map_err(|violation| violation.property.name)
}

/// Returns what is broken at rest, when these facts lie behind.
fn rest(facts: &[Fact], store: &Store) -> Result<(), &'static str> {
    let mut checkers = Checkers::of_effects().only(&["told-in-events"]);
    facts.iter().try_for_each(|fact| checkers.on_fact(fact, store)).expect("only the end is judged");
    checkers.at_rest(store).map_err(|violation| violation.property.name)
}

fn committed(object: Object) -> Fact {
    Fact::Committed(Commit { version: object.version(), old: None, new: Some(object), by: None })
}

fn look() -> Operation {
    Operation::Get { kind: Kind::Sandbox, key: scene::key("s") }
}

/// Process 0 has given sandbox `s` to claim `a`.
fn serves() -> Fact {
    let action = action(2, Intent::AdoptSandbox, look());
    Fact::Answered { process: 0, action, outcome: Outcome::Done(owned("s", 3, 'c', 1)) }
}

/// The same Event with another note.
fn noted(event: Fact, note: &str) -> Fact {
    let Fact::Sent(Sent { action: told, .. }) = event else { unreachable!("it is a request") };
    let Operation::Notify(notice) = &*told.operation else { unreachable!("it is an Event") };
    let notice = Notice { note: note.into(), ..notice.clone() };
    Fact::Sent(sent(0, action(7, Intent::Notify, Operation::Notify(notice))))
}

fn notice(kind: Kind, uid: u128, warning: bool, reason: &str) -> Fact {
    let regarding = Target { kind, key: scene::key("a"), uid: Some(Uid::from_bits(uid)) };
    let words = if kind == Kind::Pool { "unschedulable" } else { r#"Adopted warm pool Sandbox "s""# };
    let [name, reporter, action_of, note] = ["a.1", "us", "Acting", words].map(Into::into);
    let notice =
        Notice { name, regarding, warning, reporter, reason: reason.into(), action: action_of, note };
    Fact::Sent(sent(0, action(7, Intent::Notify, Operation::Notify(notice))))
}

fn action(id: u64, intent: Intent, operation: Operation) -> Action {
    Action { id: ActionId(id), intent, operation: Arc::new(operation) }
}

fn sent(process: u8, action: Action) -> Sent {
    Sent { process, term: 1, listed: true, request: RequestId(3), action }
}

/// CON-001: each part of a request that the wire loses.
#[test]
fn a_request_that_says_something_else_over_the_wire_is_noticed() {
    let mut service = scene::part(Kind::Service, "s", None, &[]);
    service.meta_mut().uid = Uid::from_bits(3);
    let mut store = Store::default();
    store.put(service.clone());
    let judge = |changes: Vec<Change>| {
        let target = Target { kind: Kind::Service, key: scene::key("s"), uid: Some(service.uid()) };
        let patch = Patch { target, version: Some(service.version()), part: Part::Main, changes };
        let fact = Fact::Sent(sent(0, action(7, Intent::SetService, Operation::Patch(patch))));
        let judged = Checkers::new(Vec::new()).and_of_wire(None).on_fact(&fact, &store);
        judged.map_err(|violation| violation.property.name)
    };
    let spec = |text: &str| Change::Spec(Json::from(&serde_json::json!({ "selector": { "app": text } })));
    let nothing = || Change::Spec(Json::from(&serde_json::json!({})));
    assert_eq!(judge(vec![spec("a"), Change::Label("b".into(), None)]), Ok(()));
    assert_eq!(judge(vec![nothing(), spec("a")]), Ok(()), "the last is read");
    assert_eq!(judge(vec![spec("a"), nothing()]), Err("said-as-meant"));
}
