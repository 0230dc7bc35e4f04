//! What comes too early, is given to those whose time is over, or is kept from those who may have it.

use agent_sandbox_core::action::{Notice, Part, Patch};
use agent_sandbox_core::event::Refusal;
use agent_sandbox_core::object::{ClaimStatus, Shutdown, ShutdownPolicy, Update};
use agent_sandbox_core::patch::Change;
use agent_sandbox_core::wishes::{ClaimShutdownPolicy, Lifecycle, Wishes};

use super::decisions::{condition, decided, member, pool, record, tells};
use super::*;

/// GAP-003: what has just begun may pass by itself.
#[test]
fn bad_news_about_what_has_just_begun_is_noticed() {
    let steps = |at| judged(&[(at, tells(names::SUSPENDED, "NotSuspended", |_| {}))]);
    assert_eq!(steps(999), Err("settles-first"));
    assert_eq!(steps(1000), Ok(()));
    assert_eq!(judged(&[(0, tells(names::READY, "DependenciesReady", |_| {}))]), Ok(()));
    let claim = |at, reason, is_seen: bool| {
        let list = Fact::Relisted {
            process: 0,
            term: 1,
            kind: Kind::Sandbox,
            at: Version(if is_seen { 9 } else { 1 }),
            objects: [].into(),
        };
        judged(&[(0, list), (at, tells_claim(reason, Some("s")))])
    };
    assert_eq!(claim(999, "SandboxNotReady", true), Err("settles-first"));
    assert_eq!(claim(999, "SandboxNotReady", false), Ok(()), "it tells of another of that name");
    assert_eq!(claim(999, names::CLAIM_EXPIRED, true), Ok(()));
    assert_eq!(claim(1000, "SandboxNotReady", true), Ok(()));
}

/// CND-018, WPL-039: one refusal may be the last.
#[test]
fn a_refusal_that_is_told_at_once_is_noticed() {
    let refused = |kind, owner| {
        let operation = Arc::new(Operation::Create(owned("t", 0, kind, owner)));
        let action = Action { id: ActionId(1), intent: Intent::CreateMember, operation };
        (0, Fact::Answered { process: 0, action, outcome: Outcome::Refused(Refusal::Forbidden("no".into())) })
    };
    let warns = |at| {
        let regarding = Target { kind: Kind::Pool, key: scene::key("p"), uid: Some(Uid::from_bits(9)) };
        let [name, reporter, reason, deed] = ["p.1", "us", "reason", "deed"].map(Into::into);
        let note = "the API server refuses to create more: no".into();
        let notice = Notice { name, regarding, warning: true, reporter, reason, action: deed, note };
        (at, request(Intent::Notify, Operation::Notify(notice)))
    };
    assert_eq!(judged(&[refused('p', 9), warns(999)]), Err("settles-first"));
    assert_eq!(judged(&[refused('p', 9), warns(1000)]), Ok(()));
    assert_eq!(judged(&[refused('p', 8), warns(999)]), Ok(()));
    let tells = |at| (at, tells_claim("Error seen: no", None));
    assert_eq!(judged(&[refused('c', 1), tells(999)]), Err("settles-first"));
    assert_eq!(judged(&[refused('c', 1), tells(1000)]), Ok(()));
    assert_eq!(judged(&[tells(999)]), Ok(()), "it is refused by somebody else");
}

/// CND-018: who has not tried cannot know whether it is refused still.
#[test]
fn a_refusal_that_is_taken_back_untried_is_noticed() {
    let judge = |facts: &[Fact]| {
        let mut checkers = Checkers::of_effects().and_of_setup(Promises::default(), Pace::default());
        checkers = checkers.only(&["settles-first"]);
        let mut refused = claim("c", 1, Some("c"));
        if let Object::Claim(claim) = &mut refused {
            let said = condition(Truth::False, "ReconcilerError", 0);
            let said = Condition { message: "Error seen: no".into(), ..said };
            Arc::make_mut(claim).status.conditions.push(said);
        }
        let mut store = Store::default();
        show(&mut checkers, &mut store, &[scene::template(), scene::template(), refused]);
        let facts: Vec<_> = facts.iter().map(|fact| (0, fact.clone())).collect();
        play(&mut checkers, &store, &facts)
    };
    let takes_back = || tells_claim("SandboxMissing", None);
    let operation = Arc::new(Operation::Create(owned("c", 0, 'c', 1)));
    let action = Action { id: ActionId(1), intent: Intent::CreateMember, operation };
    let tried = Fact::Answered { process: 0, action, outcome: Outcome::Unknown };
    assert_eq!(judge(&[takes_back()]), Err("settles-first"));
    assert_eq!(judge(&[tried.clone(), takes_back()]), Ok(()));
    let crashes = Fact::Crashed { process: 0, term: 1 };
    assert_eq!(judge(&[tried, crashes, takes_back()]), Err("settles-first"), "it does not know any more");
}

/// INV-10, ADP-011: without its template nothing is made in a member's place, and nobody can tell of which make it is.
#[test]
fn a_member_that_is_deleted_or_given_away_without_its_template_is_noticed() {
    let judge = |update, removed, fact: Fact| {
        let promises = Promises { patience: Duration::from_secs(300), ..Promises::default() };
        let mut checkers = Checkers::of_effects().and_of_setup(promises, Pace::default());
        let mut store = Store::default();
        let members = [claim("a", 1, None), pod("s", 4, 3), member("s", 3, true)];
        let objects = [scene::template(), pool(scene::pool_of("p", 1, scene::TEMPLATE, update))];
        show(&mut checkers, &mut store, &objects.into_iter().chain(members).collect::<Vec<_>>());
        let old = store.remove(Kind::Template, &scene::key(scene::TEMPLATE));
        let commit = Commit { version: Version(removed), old, new: None, by: None };
        play(&mut checkers, &store, &[(0, Fact::Committed(commit)), (0, fact)])
    };
    let delete = || deletion(1, true, Some(Version(5)));
    let gives = || record(Intent::RecordAssignment, "a", 1, "s");
    assert_eq!(judge(Update::Recreate, 99, delete()), Err("no-churn"));
    assert_eq!(judge(Update::Recreate, 100, delete()), Ok(()), "it does not know");
    assert_eq!(judge(Update::Recreate, 99, gives()), Err("right-make"));
    assert_eq!(judge(Update::Recreate, 100, gives()), Ok(()), "it does not know");
    assert_eq!(judge(Update::OnReplenish, 99, gives()), Ok(()));
}

/// LIF-001: told or not, what is over is served no more, if its process sees that.
#[test]
fn a_claim_that_is_served_although_it_is_over_is_noticed() {
    let serves = |over: i64, seen| {
        let lifecycle = Lifecycle {
            shutdown: Some(Wall::from_micros(scene::epoch().micros() + over * 1_000_000)),
            ttl: None,
            policy: ClaimShutdownPolicy::Retain,
        };
        let wishes = Wishes { lifecycle: Some(lifecycle), ..Wishes::default() };
        let mut over = scene::claim_that_wishes("o", "q", Some(wishes));
        over.meta_mut().uid = Uid::from_bits(6);
        let target = Target { kind: Kind::Claim, key: scene::key("o"), uid: Some(Uid::from_bits(6)) };
        let changes = vec![Change::Annotation(names::SANDBOX_NAME.into(), Some("o".into()))];
        let patch = Patch { target, version: Some(Version(5)), part: Part::Main, changes };
        decided(&[over], seen, &[request(Intent::RecordColdStart, Operation::Patch(patch))])
    };
    assert_eq!(serves(-60, 9), Err("end-stays"));
    assert_eq!(serves(-60, 4), Ok(()));
    assert_eq!(serves(60, 9), Ok(()));
    assert_eq!(serves(-1, 9), Ok(()), "not by every clock");
}

/// DEF-025, INV-15: the name is the same, the pool is not.
#[test]
fn a_member_of_a_pool_that_is_gone_given_to_a_claim_is_noticed() {
    let gives = |owner: u128, seen| {
        let mut member = owned("s", 3, 'p', owner);
        member.meta_mut().owner.iter_mut().for_each(|owner| owner.name = "p".into());
        let target = Target { kind: Kind::Sandbox, key: scene::key("s"), uid: Some(Uid::from_bits(3)) };
        let patch = Patch { target, version: Some(Version(5)), part: Part::Main, changes: Vec::new() };
        let adopts = request(Intent::AdoptSandbox, Operation::Patch(patch));
        decided(&[member, claim("c", 7, Some("s"))], seen, &[adopts])
    };
    assert_eq!(gives(9, 9), Ok(()));
    assert_eq!(gives(8, 9), Err("right-make"));
    assert_eq!(gives(8, 1), Ok(()), "it does not know the other pool");
}

/// DEF-025: whoever has recorded it.
#[test]
fn a_member_of_a_pool_that_is_going_given_to_a_claim_is_noticed() {
    let gives = |terminating, seen| {
        let mut going = pool(scene::pool("p", 2));
        going.meta_mut().terminating = terminating;
        let target = Target { kind: Kind::Sandbox, key: scene::key("s"), uid: Some(Uid::from_bits(3)) };
        let patch = Patch { target, version: Some(Version(5)), part: Part::Main, changes: Vec::new() };
        let adopts = request(Intent::AdoptSandbox, Operation::Patch(patch));
        decided(&[owned("s", 3, 'p', 9), claim("c", 7, Some("s")), going], seen, &[adopts])
    };
    assert_eq!(gives(false, 9), Ok(()));
    assert_eq!(gives(true, 9), Err("right-make"));
    assert_eq!(gives(true, 6), Ok(()), "it does not know");
}

/// WPL-037, DEF-021: of those that go anyway, those go first that are of no use.
#[test]
fn a_ready_member_of_an_older_make_that_goes_before_an_unready_one_is_noticed() {
    let follow = pool(scene::pool_of("p", 2, scene::TEMPLATE, Update::Recreate));
    let edited = scene::template_of(scene::TEMPLATE, "sandbox:2");
    let two = |other: bool| {
        let members = [member("s", 3, true), pod("s", 4, 3), member("t", 5, other), pod("t", 6, 5)];
        let objects = members.into_iter().chain([follow.clone(), edited.clone()]).collect::<Vec<_>>();
        decided(&objects, 99, &[deletion(1, true, Some(Version(5)))])
    };
    assert_eq!(two(true), Ok(()));
    assert_eq!(two(false), Err("least-first"));
}

/// RFL-010: until the server has time again, whatever it has answered to others meanwhile.
#[test]
fn another_member_that_is_asked_for_before_the_server_wants_to_be_asked_is_noticed() {
    let asks = |at, name| (at, creation(owned(name, 0, 'p', 9)));
    let answer = |at, name: &str, outcome| {
        let Fact::Sent(sent) = creation(owned(name, 0, 'p', 9)) else { unreachable!("it is a request") };
        (at, Fact::Answered { process: 0, action: sent.action, outcome })
    };
    let put_off = || answer(2, "t", Outcome::Throttled(Duration::from_secs(2)));
    let refused = || answer(3, "u", Outcome::Refused(Refusal::Forbidden("no".into())));
    let first = || vec![asks(1, "t"), asks(1, "u"), put_off(), refused()];
    let judged = |facts: Vec<(u64, Fact)>| {
        let mut checkers = Checkers::of_effects().only(&["backs-off"]);
        play(&mut checkers, &Store::default(), &facts)
    };
    assert_eq!(judged([first(), vec![asks(100, "v")]].concat()), Err("backs-off"));
    assert_eq!(judged([first(), vec![asks(100, "u")]].concat()), Ok(()), "that one may be there");
    assert_eq!(judged([first(), vec![asks(2002, "v")]].concat()), Ok(()));
    let done = answer(4, "u", Outcome::Done(owned("u", 7, 'p', 9)));
    assert_eq!(judged([first(), vec![done, asks(100, "v")]].concat()), Ok(()));
}

/// WPL-039: people act by the number.
#[test]
fn a_warning_with_another_number_than_there_are_is_noticed() {
    let warns = |words: &str, seen| {
        let mut unplaced = pod("s", 4, 3);
        if let Object::Pod(pod) = &mut unplaced {
            let pod = Arc::make_mut(pod);
            let reason = names::UNSCHEDULABLE.into();
            (pod.ready, pod.phase) = (false, Phase::Pending);
            pod.scheduled = Some((Truth::False, reason, "".into()));
        }
        let objects = [member("s", 3, false), unplaced, member("t", 5, true), pod("t", 6, 5)];
        let regarding = Target { kind: Kind::Pool, key: scene::key("p"), uid: Some(Uid::from_bits(9)) };
        let [name, reporter, reason, deed] = ["p.1", "us", "WarmPoolNotProgressing", "deed"].map(Into::into);
        let note = format!("{words} sandboxes are unschedulable past").into();
        let notice = Notice { name, regarding, warning: true, reporter, reason, action: deed, note };
        decided(&objects, seen, &[request(Intent::Notify, Operation::Notify(notice))])
    };
    assert_eq!(warns("1/2", 99), Ok(()));
    assert_eq!(warns("2/2", 99), Err("told-in-events"));
    assert_eq!(warns("1/3", 99), Err("told-in-events"));
    assert_eq!(warns("2/2", 7), Ok(()), "it does not know all of them");
}

/// SBX-053.
#[test]
fn a_service_that_is_touched_while_a_sandbox_has_several_pods_is_noticed() {
    let touches = |pods: usize, ends: bool| {
        let mut sandbox = scene::sandbox("s");
        (sandbox.meta.uid, sandbox.service) = (Uid::from_bits(3), Some(false));
        let at = Wall::from_micros(0);
        sandbox.shutdown = ends.then_some(Shutdown { at, policy: ShutdownPolicy::Retain });
        let objects = [Object::Sandbox(sandbox.into()), pod("s", 4, 3), pod("t", 5, 3)];
        let target = Target { kind: Kind::Service, key: scene::key("s"), uid: Some(Uid::from_bits(8)) };
        let (version, propagation) = (Some(Version(9)), Propagation::Background);
        let delete = request(Intent::DeleteService, Operation::Delete { target, version, propagation });
        let mut checkers = Checkers::new(Vec::new()).and_of_orders(Promises::default());
        let mut store = Store::default();
        show(&mut checkers, &mut store, &objects[..=pods]);
        play(&mut checkers, &store, &[(0, delete)])
    };
    assert_eq!(touches(1, false), Ok(()));
    assert_eq!(touches(2, false), Err("made-to-order"));
    assert_eq!(touches(2, true), Ok(()));
}

/// Returns which property is broken by these facts, each so many milliseconds after a sandbox of a claim was made, where bad
/// news waits for a second.
fn judged(facts: &[(u64, Fact)]) -> Result<(), &'static str> {
    let promises = Promises { settle: Duration::from_secs(1), ..Promises::default() };
    let mut checkers = Checkers::new(Vec::new()).and_of_setup(promises, Pace::default());
    checkers = checkers.only(&["settles-first"]);
    let mut store = Store::default();
    let objects = [scene::template(), scene::template(), claim("c", 1, Some("s")), scene::template()];
    let objects = objects.into_iter().chain([owned("s", 3, 'c', 1)]).collect::<Vec<_>>();
    for seen in numbered(objects) {
        let (version, new) = (seen.version(), seen.object().clone());
        let commit = Commit { version, old: store.put(new.clone()), new: Some(new), by: None };
        checkers.on_fact(&Fact::Committed(commit), &store).expect("an object breaks nothing");
    }
    play(&mut checkers, &store, facts)
}

/// Shows objects to checkers and to a process.
fn show(checkers: &mut Checkers, store: &mut Store, objects: &[Object]) {
    for seen in numbered(objects.iter().cloned()) {
        let (version, new) = (seen.version(), seen.object().clone());
        let commit = Commit { version, old: store.put(new.clone()), new: Some(new), by: None };
        checkers.on_fact(&Fact::Committed(commit), store).expect("an object breaks nothing");
    }
    for kind in Kind::ALL {
        let fact = Fact::Relisted { process: 0, term: 1, kind, at: Version(99), objects: [].into() };
        checkers.on_fact(&fact, store).expect("a list breaks nothing");
    }
}

/// Shows facts to checkers, each so many milliseconds after the beginning.
fn play(checkers: &mut Checkers, store: &Store, facts: &[(u64, Fact)]) -> Result<(), &'static str> {
    facts.iter().try_for_each(|(at, fact)| {
        checkers.on_clock(Mono::from_micros(at * 1000));
        checkers.on_fact(fact, store).map_err(|violation| violation.property.name)
    })
}

/// A request to say this of claim `c`, which was told nothing so far.
fn tells_claim(reason: &str, sandbox: Option<&str>) -> Fact {
    let bound = |name: &str| Bound { name: name.into(), pod_ips: Vec::new() };
    let why = if reason.starts_with("Error seen") { "ReconcilerError" } else { reason };
    let ready = Condition { message: reason.into(), ..condition(Truth::False, why, 0) };
    let status = ClaimStatus { sandbox: sandbox.map(bound), conditions: vec![ready] };
    let target = Target { kind: Kind::Claim, key: scene::key("c"), uid: Some(Uid::from_bits(1)) };
    let changes = vec![Change::ClaimStatus(status)];
    let patch = Patch { target, version: Some(Version(3)), part: Part::Status, changes };
    request(Intent::SetClaimStatus, Operation::Patch(patch))
}

fn request(intent: Intent, operation: Operation) -> Fact {
    let action = Action { id: ActionId(3), intent, operation: Arc::new(operation) };
    Fact::Sent(Sent { process: 0, term: 1, listed: true, request: RequestId(3), action })
}
