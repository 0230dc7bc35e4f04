//! What is left undone is judged where nothing happens.

use agent_sandbox_core::action::{Notice, Part, Patch};
use agent_sandbox_core::event::Refusal;
use agent_sandbox_core::object::{Claim, Json, PoolStatus, Update};
use agent_sandbox_core::patch::Change;
use agent_sandbox_core::wishes::{ClaimShutdownPolicy, Lifecycle, Wishes};

use super::decisions::{condition, member, pool};
use super::*;
use crate::reference::words;

const SECOND: Duration = Duration::from_secs(1);

/// RES-020, RES-021 and ADP-014.
#[test]
fn a_claim_that_waits_for_nothing_is_noticed() {
    let waits = || claim("a", 1, None);
    let crew = |members: &[Object]| {
        [vec![told(2, members.len(), 0), waits()], members.to_vec(), vec![starting("t", 7)]].concat()
    };
    assert_eq!(left(&[told(0, 0, 0), waits()], SECOND), Err("in-time"), "nobody will come");
    assert_eq!(left(&[told(1, 1, 0), waits(), starting("s", 3)], SECOND), Ok(()), "somebody may come");
    assert_eq!(left(&[told(1, 1, 0), waits(), starting("s", 3)], SECOND * 3), Err("in-time"), "for so long");
    let ready = [member("s", 3, true), pod("s", 4, 3)];
    assert_eq!(left(&crew(&ready), SECOND), Err("in-time"), "one is there");
    assert_eq!(left(&[told(1, 1, 0), starting("s", 3)], SECOND * 3), Ok(()), "nobody waits");
}

/// LIF-001 and LIF-002: the earlier of two ends counts.
#[test]
fn a_claim_that_outlives_its_time_is_noticed() {
    let lives = |shutdown: Option<u64>, ttl: Option<u64>| {
        let at = |seconds| scene::epoch() + SECOND * seconds as u32;
        let lifecycle = Lifecycle {
            shutdown: shutdown.map(at),
            ttl: ttl.map(Duration::from_secs),
            policy: ClaimShutdownPolicy::Retain,
        };
        let wishes = Wishes { lifecycle: Some(lifecycle), ..Wishes::default() };
        let ends = |claim: &mut Claim| {
            let finished = condition(Truth::True, "PodFailed", 0);
            claim.wishes = Some(wishes.into());
            claim.status.conditions.push(Condition { kind: names::FINISHED.into(), ..finished });
            claim.status.conditions[0].changed = scene::epoch();
        };
        left(&[told(0, 0, 0), changed(claim("a", 1, Some("s")), ends)], SECOND * 20)
    };
    assert_eq!(lives(Some(5), None), Err("in-time"));
    assert_eq!(lives(Some(5), Some(100)), Err("in-time"));
    assert_eq!(lives(Some(100), Some(5)), Err("in-time"));
    assert_eq!(lives(Some(18), Some(100)), Ok(()), "calendars may be off");
}

/// WPL-030, WPL-036 and WPL-027.
#[test]
fn a_pool_that_is_left_too_small_or_too_large_or_says_so_is_noticed() {
    let members = [starting("s", 3), starting("t", 5)];
    let judge = |pool| left(&[vec![pool], members.to_vec()].concat(), SECOND * 2);
    assert_eq!(judge(told(2, 2, 0)), Ok(()));
    assert_eq!(judge(told(3, 2, 0)), Err("in-time"));
    assert_eq!(judge(told(1, 2, 0)), Err("in-time"));
    assert_eq!(judge(told(2, 1, 0)), Err("in-time"));
    let within = |span| left(&[vec![told(2, 1, 0)], members.to_vec()].concat(), span);
    assert_eq!(within(SECOND), Ok(()), "figures come once a second");
}

/// WPL-016 and WPL-023.
#[test]
fn a_member_that_is_left_although_it_is_of_no_use_is_noticed() {
    let unready = |seconds: u32| {
        let mut member = starting("s", 3);
        if let Object::Sandbox(it) = &mut member {
            let mut ready = condition(Truth::False, "DependenciesNotReady", 0);
            ready.changed = scene::epoch() + SECOND * seconds;
            Arc::make_mut(it).status.conditions.push(ready);
        }
        member
    };
    assert_eq!(left(&[told(1, 1, 0), unready(0)], SECOND * 320), Err("in-time"));
    assert_eq!(left(&[told(1, 1, 0), unready(30)], SECOND * 320), Ok(()));
    let follow = |object: Object| {
        let mut object = object;
        if let Object::Pool(pool) = &mut object {
            Arc::make_mut(pool).update = Update::Recreate;
        }
        object
    };
    let mut older = starting("s", 3);
    older.meta_mut().labels.clear();
    assert_eq!(left(&[follow(told(1, 1, 0)), older.clone()], SECOND), Ok(()), "for a moment");
    assert_eq!(left(&[follow(told(1, 1, 0)), older.clone()], SECOND * 2), Err("in-time"));
    assert_eq!(left(&[told(1, 1, 0), older], SECOND * 2), Ok(()));
}

/// STS-004 and FRB-005.
#[test]
fn a_claim_that_is_not_told_of_its_sandbox_is_noticed() {
    let parts = || {
        let Object::Sandbox(mut sandbox) = owned("s", 3, 'c', 1) else { unreachable!("it is a sandbox") };
        let ready = condition(Truth::True, "DependenciesReady", 0);
        Arc::make_mut(&mut sandbox).status.conditions.push(ready);
        vec![told(0, 0, 0), Object::Sandbox(sandbox), pod("s", 4, 3)]
    };
    let with = |claim: Object, span| left(&[parts(), vec![claim]].concat(), span);
    assert_eq!(with(claim("a", 1, Some("s")), SECOND), Ok(()), "bad news may wait");
    assert_eq!(with(claim("a", 1, Some("s")), SECOND * 2), Err("in-time"));
    let ready = ready(claim("a", 1, Some("s")), "s", "10.0.0.4");
    assert_eq!(with(ready, SECOND), Err("in-time"), "nobody has noted when");
}

/// SCND-010, SCND-044, SCND-045: whatever it is that it does not say.
#[test]
fn a_sandbox_that_does_not_say_how_it_is_is_noticed() {
    let says = |change: fn(&mut Sandbox), span| {
        lull_of(&[told(1, 1, 0), starting("s", 3)], &[], (Mono::default(), Mono::default() + span), change)
    };
    assert_eq!(says(|_| {}, SECOND * 2), Ok(()));
    let changes: [fn(&mut Sandbox); 5] = [
        |it| it.status.conditions[0].message = "Fine".into(),
        |it| it.status.conditions.truncate(1),
        |it| it.status.service = "s".into(),
        |it| it.status.pod_ips = vec!["10.0.0.1".into()],
        |it| it.meta.generation += 1,
    ];
    for change in changes {
        assert_eq!(says(change, SECOND), Ok(()), "bad news may wait");
        assert_eq!(says(change, SECOND * 2), Err("in-time"));
    }
}

/// SCND-041: however long it will take until that is tried again.
#[test]
fn a_sandbox_that_does_not_say_what_it_is_refused_is_noticed() {
    let mut member = starting("s", 3);
    if let Object::Sandbox(it) = &mut member {
        Arc::make_mut(it).service = Some(true);
    }
    let owner = Owner { kind: OwnerKind::Known(Kind::Sandbox), name: "s".into(), uid: Uid::from_bits(3) };
    let operation = Arc::new(Operation::Create(scene::part(Kind::Service, "s", Some(owner), &[])));
    let action = Action { id: ActionId(7), intent: Intent::CreateService, operation };
    let outcome = Outcome::Refused(Refusal::Invalid("no room for 3".into()));
    let facts = [request(action.clone(), RequestId(7)), Fact::Answered { process: 0, action, outcome }];
    let says = |change: fn(&mut Sandbox), seconds| {
        let span = (Mono::default(), Mono::default() + SECOND * seconds);
        lull_of(&[told(1, 1, 0), member.clone()], &facts, span, change)
    };
    assert_eq!(says(|_| {}, 1), Ok(()));
    assert_eq!(says(|_| {}, 9), Err("in-time"));
    let told: fn(&mut Sandbox) = |it| {
        let ready = it.status.conditions.iter_mut().find(|told| &*told.kind == names::READY);
        let ready = ready.expect("it says whether it is ready");
        (ready.reason, ready.message) = ("ReconcilerError".into(), "Error seen: no room for 4".into());
    };
    assert_eq!(says(told, 9), Ok(()), "other numbers are no other reason");
}

/// INV-28: who was put off may wait, as long as that takes, and who waits for an answer or was not shown everything.
#[test]
fn whoever_has_to_wait_is_left_in_peace() {
    let objects = [told(0, 0, 0), claim("a", 1, None)];
    let asks = || request(record(), RequestId(7));
    let fails = |outcome| vec![asks(), Fact::Answered { process: 0, action: record(), outcome }];
    let judge = |facts: &[Fact], from, until| lull(&objects, facts, (from, until));
    let second = |count: u32| Mono::default() + SECOND * count;
    assert_eq!(judge(&[asks()], second(0), second(60)), Ok(()));
    let refused = || fails(Outcome::Refused(Refusal::Forbidden("quota".into())));
    let soon = Mono::default() + Duration::from_millis(300);
    assert_eq!(judge(&refused(), Mono::default(), soon), Ok(()));
    assert_eq!(judge(&refused(), Mono::default(), second(1)), Err("in-time"));
    assert_eq!(judge(&fails(Outcome::Throttled(SECOND * 9)), second(0), second(9)), Ok(()));
    assert_eq!(judge(&fails(Outcome::Refused(Refusal::Invalid("no".into()))), second(0), second(60)), Ok(()));
    let lost = Fact::WatchLost(0, Kind::Claim);
    assert_eq!(judge(&[lost], second(0), second(60)), Ok(()));
    assert_eq!(judge(&[Fact::Deposed { process: 0, term: 1 }], second(0), second(60)), Ok(()));
}

/// INV-28: who was put off for one member does not hurry with the next.
#[test]
fn a_claim_whose_member_was_lost_while_it_was_put_off_is_left_in_peace() {
    let objects = [told(1, 1, 1), claim("a", 1, Some("s")), member("s", 3, true), pod("s", 4, 3)];
    let claim = Owner { kind: OwnerKind::Known(Kind::Claim), name: "a".into(), uid: Uid::from_bits(1) };
    let target = Target { kind: Kind::Sandbox, key: scene::key("t"), uid: Some(Uid::from_bits(7)) };
    let patch =
        Patch { target, version: Some(Version(3)), part: Part::Main, changes: vec![Change::Owner(claim)] };
    let operation = Arc::new(Operation::Patch(patch));
    let adopts = Action { id: ActionId(7), intent: Intent::AdoptSandbox, operation };
    let put_off =
        Fact::Answered { process: 0, action: adopts.clone(), outcome: Outcome::Throttled(SECOND * 3) };
    let judge = |facts: &[Fact], seconds| {
        lull(&objects, facts, (Mono::default(), Mono::default() + SECOND * seconds))
    };
    assert_eq!(judge(&[], 3), Err("in-time"));
    let facts = [request(adopts, RequestId(7)), put_off];
    assert_eq!(judge(&facts, 3), Ok(()));
    assert_eq!(judge(&facts, 4), Err("in-time"));
}

/// CON-018: clients take it for final.
#[test]
fn a_claim_that_was_told_what_is_not_so_any_more_is_noticed() {
    let told = |reason: &str| {
        changed(claim("a", 1, Some("a")), |claim| {
            claim.status.conditions.push(condition(Truth::False, reason, 0));
        })
    };
    let lists = |claim| left(&[told_pool(), claim], SECOND);
    assert_eq!(lists(told("TemplateNotFound")), Err("in-time"));
    let soon = Mono::default() + SECOND / 5;
    let judged = lull(&[told_pool(), told("TemplateNotFound")], &[], (Mono::default(), soon));
    assert_eq!(judged, Ok(()), "it has only just changed");
}

/// INV-22: whichever of them goes first.
#[test]
fn a_pod_that_runs_on_beside_one_that_stops_is_noticed() {
    let with = |suspended, terminating: bool| {
        let mut sandbox = scene::sandbox("s");
        (sandbox.meta.uid, sandbox.suspended) = (Uid::from_bits(3), suspended);
        let mut pods = [pod("s", 4, 3), pod("more", 5, 3)];
        pods[0].meta_mut().terminating = true;
        pods[1].meta_mut().terminating = terminating;
        let [first, second] = pods;
        left(&[Object::Sandbox(sandbox.into()), first, second], SECOND)
    };
    assert_eq!(with(true, false), Err("in-time"));
    assert_eq!(with(true, true), Ok(()));
    assert_eq!(with(false, false), Ok(()));
}

/// WPL-039.
#[test]
fn a_pool_that_does_not_say_that_it_is_refused_its_members_is_noticed() {
    let objects = [told(1, 0, 0)];
    let action = |intent, operation| Action { id: ActionId(7), intent, operation: Arc::new(operation) };
    let create = action(Intent::CreateMember, Operation::Create(owned("s", 0, 'p', 9)));
    // It need not try again so soon.
    let refused = Outcome::Refused(Refusal::Invalid("no".into()));
    let answered = Fact::Answered { process: 0, action: create.clone(), outcome: refused };
    let facts = vec![request(create, RequestId(7)), answered];
    let regarding = Target { kind: Kind::Pool, key: scene::key("p"), uid: Some(Uid::from_bits(9)) };
    let [name, reporter, reason, deed, note] = ["p.1", "us", "reason", "deed", "note"].map(Into::into);
    let notice = Notice { name, regarding, warning: true, reporter, reason, action: deed, note };
    let told = action(Intent::Notify, Operation::Notify(notice));
    let answered = Fact::Answered { process: 0, action: told.clone(), outcome: Outcome::Accepted };
    let warned = [facts.clone(), vec![request(told, RequestId(8)), answered]].concat();
    let judge = |facts: &[Fact], span| lull(&objects, facts, (Mono::default(), Mono::default() + span));
    assert_eq!(judge(&warned, SECOND * 3), Ok(()));
    assert_eq!(judge(&facts, SECOND), Ok(()), "it may pass");
    assert_eq!(judge(&facts, SECOND * 3), Err("in-time"));
}

/// INV-28: what is made from something else need not wait, and what may have been made counts until then.
#[test]
fn a_pool_that_waits_with_what_was_not_refused_is_noticed() {
    let after = |member: Object, outcome: Outcome, wanted: u32| {
        let operation = Arc::new(Operation::Create(member));
        let create = Action { id: ActionId(7), intent: Intent::CreateMember, operation };
        let answered = Fact::Answered { process: 0, action: create.clone(), outcome };
        let facts = [request(create, RequestId(7)), answered];
        let span = (Mono::default(), Mono::default() + SECOND);
        lull(&[told(wanted, 0, 0)], &facts, span)
    };
    let refused = || Outcome::Refused(Refusal::Invalid("no".into()));
    let mut other = owned("s", 0, 'p', 9);
    if let Object::Sandbox(sandbox) = &mut other {
        let Object::Template(template) = scene::template_of(scene::TEMPLATE, "sandbox:2") else {
            unreachable!("it is a template")
        };
        Arc::make_mut(sandbox).pod_spec = template.blueprint.pod_spec.clone();
    }
    assert_eq!(after(owned("s", 0, 'p', 9), refused(), 1), Ok(()));
    assert_eq!(after(other, refused(), 1), Err("in-time"));
    assert_eq!(after(owned("s", 0, 'p', 9), Outcome::Unknown, 1), Ok(()));
    assert_eq!(after(owned("s", 0, 'p', 9), Outcome::Unknown, 2), Err("in-time"));
}

/// INV-28: each failure makes the next wait longer, that of another make, too.
#[test]
fn a_pool_may_wait_for_as_long_as_it_has_failed_often() {
    let invalid = || Outcome::Refused(Refusal::Invalid("no".into()));
    let forbidden = || Outcome::Refused(Refusal::Forbidden("no".into()));
    let after = |outcomes: &[Outcome]| {
        let answers = outcomes.iter().zip(7_u32..).flat_map(|(outcome, id)| {
            let mut member = owned("s", 0, 'p', 9);
            if let (Object::Sandbox(sandbox), true) = (&mut member, *outcome == invalid()) {
                Arc::make_mut(sandbox).pod_spec = Json::from(&serde_json::json!({ "another": 1 }));
            }
            let operation = Arc::new(Operation::Create(member));
            let create = Action { id: ActionId(id.into()), intent: Intent::CreateMember, operation };
            let answered = Fact::Answered { process: 0, action: create.clone(), outcome: outcome.clone() };
            [request(create, RequestId(id)), answered]
        });
        let span = (Mono::default(), Mono::default() + SECOND * 12 / 10);
        lull(&[told(1, 0, 0)], &answers.collect::<Vec<_>>(), span)
    };
    let thrice = [forbidden(), forbidden(), forbidden()];
    assert_eq!(after(&[&thrice[..], &[forbidden()]].concat()), Err("in-time"));
    assert_eq!(after(&[&[invalid()], &thrice[..], &[forbidden()]].concat()), Ok(()));
    assert_eq!(after(&[&thrice[..], &[Outcome::Conflict, forbidden()]].concat()), Ok(()));
}

/// KEY-014: where that is to be noted, and nowhere else.
#[test]
fn a_record_that_says_when_its_claim_was_seen_first_is_judged_by_the_setup() {
    let records = |dates_claims, is_dated: bool| {
        let promises = Promises { dates_claims, ..Promises::default() };
        let mut checkers = Checkers::new(Vec::new()).and_of_time(promises, Pace::default());
        let mut store = Store::default();
        let seen = numbered([claim("a", 1, None)]);
        store.put(seen[0].object().clone());
        let target = Target { kind: Kind::Claim, key: scene::key("a"), uid: Some(Uid::from_bits(1)) };
        let note = |key: &str| Change::Annotation(key.into(), Some("a".into()));
        let dated = is_dated.then(|| note(names::FIRST_OBSERVED_AT));
        let changes = [note(names::SANDBOX_NAME)].into_iter().chain(dated).collect();
        let patch = Patch { target, version: Some(Version(1)), part: Part::Main, changes };
        let operation = Arc::new(Operation::Patch(patch));
        let action = Action { id: ActionId(3), intent: Intent::RecordColdStart, operation };
        let judged = checkers.on_fact(&request(action, RequestId(3)), &store);
        judged.map_err(|violation| violation.property.name)
    };
    assert_eq!(records(Some(true), true), Ok(()));
    assert_eq!(records(Some(true), false), Err("in-time"));
    assert_eq!(records(Some(false), true), Err("in-time"));
    assert_eq!(records(Some(false), false), Ok(()));
    assert_eq!([records(None, true), records(None, false)], [Ok(()), Ok(())]);
}

/// Returns which property is broken when a process leaves all as it is for so long: a template, and these objects.
fn left(objects: &[Object], span: Duration) -> Result<(), &'static str> {
    lull(objects, &[], (Mono::default(), Mono::default() + span))
}

/// The same when it has done this before.
fn lull(objects: &[Object], facts: &[Fact], span: (Mono, Mono)) -> Result<(), &'static str> {
    lull_of(objects, facts, span, |_| {})
}

/// The same where sandboxes are otherwise than they say.
fn lull_of(
    objects: &[Object],
    facts: &[Fact],
    (from, until): (Mono, Mono),
    change: fn(&mut Sandbox),
) -> Result<(), &'static str> {
    let promises = Promises {
        grace: SECOND * 2,
        patience: SECOND * 300,
        ended_patience: SECOND * 30,
        ..Promises::default()
    };
    let mut checkers = Checkers::new(Vec::new()).and_of_time(promises, Pace::default());
    let mut store = Store::default();
    for seen in numbered([scene::template()].into_iter().chain(objects.iter().cloned())) {
        let (version, new) = (seen.version(), seen.object().clone());
        let commit = Commit { version, old: store.put(new.clone()), new: Some(new), by: None };
        checkers.on_fact(&Fact::Committed(commit), &store).expect("an object breaks nothing");
    }
    for object in store.list(Kind::Sandbox).to_vec() {
        let mut said = saying(object, &store);
        if let Object::Sandbox(sandbox) = &mut said {
            change(Arc::make_mut(sandbox));
        }
        store.put(said);
    }
    let leads = [Fact::Leading { process: 0, term: 1 }].into_iter();
    let lists = Kind::ALL.map(|kind| {
        let (at, objects) = (Version(99), [].into());
        Fact::Relisted { process: 0, term: 1, kind, at, objects }
    });
    checkers.on_clock(from);
    for fact in leads.chain(lists).chain(facts.iter().cloned()) {
        checkers.on_fact(&fact, &store).expect("only what is left is judged");
    }
    checkers.on_lull(until, &store).map_err(|violation| violation.property.name)
}

/// Returns a sandbox that says how it is.
fn saying(mut object: Object, store: &Store) -> Object {
    let Object::Sandbox(sandbox) = &mut object else { unreachable!("it is a sandbox") };
    let sandbox = Arc::make_mut(sandbox);
    let words = words::conditions(sandbox, store, false);
    let changed = sandbox.status.condition(names::READY).map_or_else(scene::epoch, |ready| ready.changed);
    sandbox.status.conditions.clear();
    for (kind, word) in words {
        let Some((status, reason, message)) = word else { continue };
        let said = Condition {
            kind: kind.into(),
            message: message.into(),
            changed,
            ..condition(status, &reason, sandbox.meta.generation)
        };
        sandbox.status.conditions.push(said);
    }
    if let Some(pod) = store.owned_by(Kind::Pod, sandbox.meta.uid).next().and_then(Object::as_pod) {
        (sandbox.status.pod_ips, sandbox.status.node) = (pod.ips.clone(), pod.node.clone());
        let hash = names::name_hash(&sandbox.meta.key.name);
        sandbox.status.selector = format!("{}={hash}", names::SANDBOX_NAME_HASH).into();
    }
    object
}

fn request(action: Action, request: RequestId) -> Fact {
    Fact::Sent(Sent { process: 0, term: 1, listed: true, request, action })
}

/// A request to record that claim `a` starts cold.
fn record() -> Action {
    let target = Target { kind: Kind::Claim, key: scene::key("a"), uid: Some(Uid::from_bits(1)) };
    let changes = vec![Change::Annotation(names::SANDBOX_NAME.into(), Some("a".into()))];
    let patch = Patch { target, version: Some(Version(3)), part: Part::Main, changes };
    let operation = Arc::new(Operation::Patch(patch));
    Action { id: ActionId(7), intent: Intent::RecordColdStart, operation }
}

/// The pool that wants so many members, and says that it has so many, of which so many are ready.
fn told(wanted: u32, replicas: usize, ready: u32) -> Object {
    let mut pool = pool(scene::pool("p", wanted));
    if let Object::Pool(pool) = &mut pool {
        let replicas = replicas.try_into().expect("they are few");
        Arc::make_mut(pool).status = PoolStatus { replicas, ready, selector: "".into(), observed: 0 };
    }
    pool
}

/// A pool that wants nothing, and says so.
fn told_pool() -> Object {
    told(0, 0, 0)
}

/// A member without a Pod.
fn starting(name: &str, uid: u128) -> Object {
    member(name, uid, false)
}

fn changed(mut object: Object, change: impl FnOnce(&mut Claim)) -> Object {
    if let Object::Claim(claim) = &mut object {
        change(Arc::make_mut(claim));
    }
    object
}
