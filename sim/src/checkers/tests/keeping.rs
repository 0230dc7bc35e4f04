//! What is done about a sandbox, and what is said of it.

use agent_sandbox_core::action::{Notice, Part, Patch};
use agent_sandbox_core::event::Refusal;
use agent_sandbox_core::object::{Json, Shutdown, ShutdownPolicy};
use agent_sandbox_core::patch::Change;

use super::decisions::{condition, decided, decided_at, member, sandbox_that, says, tells};
use super::*;

/// INV-23: unless something has failed meanwhile, or the process is busy.
#[test]
fn who_knows_what_is_due_and_does_other_things_is_noticed() {
    let asks = |id| look(id, Kind::Pool, "p");
    let then = |objects: &[Object], seen, millis, meanwhile: &[Fact]| {
        let first = [asks(1), answered(&asks(1), Outcome::NotFound)];
        let first = first.into_iter().chain(meanwhile.iter().cloned()).map(|fact| (0, fact));
        decided_at(objects, seen, &first.chain([(millis, asks(2))]).collect::<Vec<_>>())
    };
    let unready = |member: Object| {
        let Object::Pod(mut pod) = pod("s", 4, 3) else { unreachable!("it is a Pod") };
        Arc::make_mut(&mut pod).ready = false;
        [member, Object::Pod(pod)]
    };
    let lies = unready(member("s", 3, true));
    assert_eq!(then(&lies, 9, 400, &[]), Err("acts-soon"));
    assert_eq!(then(&lies, 9, 300, &[]), Ok(()));
    assert_eq!(then(&lies, 5, 400, &[]), Ok(()), "it has not seen the Pod");
    let busy = [asks(3), asks(4), answered(&asks(3), Outcome::NotFound)];
    assert_eq!(then(&lies, 9, 400, &busy), Ok(()), "it was busy");
    let failed = [says(names::READY, "DependenciesNotReady")];
    let failed = answered(&failed[0], Outcome::Throttled(Duration::ZERO));
    assert_eq!(then(&lies, 9, 400, &[failed]), Ok(()));
    assert_eq!(then(&unready(member("s", 3, false)), 9, 400, &[]), Ok(()));
    assert_eq!(then(&[member("s", 3, false), pod("s", 4, 3)], 9, 400, &[]), Err("acts-soon"));
    assert_eq!(then(&[member("s", 3, false)], 9, 400, &[]), Err("acts-soon"), "it has no Pod");
    assert_eq!(then(&[member("s", 3, false)], 9, 400, &[look(3, Kind::Sandbox, "s")]), Ok(()));
    let paused = [sandbox_that(|it| it.suspended = true), pod("s", 4, 3)];
    assert_eq!(then(&paused[..1], 9, 400, &[]), Ok(()));
    assert_eq!(then(&paused, 9, 400, &[]), Err("acts-soon"));
    let ending = |seconds| {
        let at = scene::epoch() + Duration::from_secs(seconds);
        [sandbox_that(|it| it.shutdown = Some(Shutdown { at, policy: ShutdownPolicy::Retain }))]
    };
    let late = |objects: &[Object]| {
        let first = [asks(1), answered(&asks(1), Outcome::NotFound)].map(|fact| (10_000, fact));
        decided_at(objects, 9, &first.into_iter().chain([(10_400, asks(2))]).collect::<Vec<_>>())
    };
    assert_eq!(late(&ending(3)), Err("acts-soon"));
    assert_eq!(late(&ending(5)), Ok(()), "its calendar may be behind");
}

/// INV-21, INV-22: unless the process cannot know it.
#[test]
fn what_is_given_to_a_sandbox_that_is_to_have_none_is_noticed() {
    let made = |kind| {
        let mut part = if kind == Kind::Pod { pod("s", 0, 3) } else { scene::part(kind, "s", None, &[]) };
        let spec = scene::sandbox("s").pod_spec;
        if let Object::Pod(pod) = &mut part {
            Arc::make_mut(pod).spec = Some(spec);
        }
        let owner = Owner { kind: OwnerKind::Known(Kind::Sandbox), name: "s".into(), uid: Uid::from_bits(3) };
        part.meta_mut().owner = Some(owner);
        sends(8, Intent::CreatePod, Operation::Create(part))
    };
    let gives = |kind, seen, change: fn(&mut Sandbox)| decided(&[sandbox_that(change)], seen, &[made(kind)]);
    assert_eq!(gives(Kind::Pod, 9, |_| {}), Ok(()));
    assert_eq!(gives(Kind::Pod, 9, |it| it.suspended = true), Err("end-stays"));
    assert_eq!(gives(Kind::Pod, 4, |it| it.suspended = true), Ok(()));
    assert_eq!(gives(Kind::Service, 9, |_| {}), Err("end-stays"));
    assert_eq!(gives(Kind::Pod, 9, |it| it.meta.terminating = true), Err("end-stays"), "SBX-002");
    assert_eq!(gives(Kind::Pod, 4, |it| it.meta.terminating = true), Ok(()));
    let over: fn(&mut Sandbox) = |it| {
        let at = Wall::from_micros(1);
        it.shutdown = Some(Shutdown { at, policy: ShutdownPolicy::Retain });
    };
    assert_eq!(gives(Kind::Pod, 9, over), Err("end-stays"));
    let member = [member("s", 3, false)];
    let goes = deletion_of("s", 3, Some(Version(5)));
    let ends = |facts: &[Fact]| {
        let mut checkers = Checkers::of_effects().only(&["end-stays"]);
        let mut store = Store::default();
        store.put(member[0].clone());
        let judged = facts.iter().try_for_each(|fact| checkers.on_fact(fact, &store));
        judged.map_err(|violation| violation.property.name)
    };
    assert_eq!(ends(&[goes.clone(), made(Kind::Pod)]), Err("end-stays"));
    let lost = answered(&made(Kind::Pod), Outcome::Unknown);
    assert_eq!(ends(&[made(Kind::Pod), lost.clone(), made(Kind::Pod)]), Ok(()), "it may be there");
    assert_eq!(ends(&[made(Kind::Pod), lost, goes, made(Kind::Pod)]), Err("end-stays"));
}

/// INV-07: what a sandbox said before it was given more time counts no more.
#[test]
fn a_pod_that_is_stopped_although_its_sandbox_goes_on_is_noticed() {
    let stops = |change: fn(&mut Sandbox), seen| {
        let target = Target { kind: Kind::Pod, key: scene::key("s"), uid: Some(Uid::from_bits(4)) };
        let (version, propagation) = (Some(Version(5)), Propagation::Background);
        let delete = Operation::Delete { target, version, propagation };
        decided(&[sandbox_that(change), pod("s", 4, 3)], seen, &[sends(3, Intent::DeletePod, delete)])
    };
    assert_eq!(stops(|_| {}, 99), Err("right-end"));
    assert_eq!(stops(|_| {}, 4), Ok(()));
    assert_eq!(stops(|it| it.suspended = true, 99), Ok(()));
}

/// INV-05: nothing is ended twice, and a Pod stops before its sandbox goes.
#[test]
fn what_is_deleted_again_or_before_its_pod_is_noticed() {
    let ends = |objects: &[Object], intent, seen| {
        let target = Target { kind: Kind::Sandbox, key: scene::key("s"), uid: Some(Uid::from_bits(3)) };
        let (version, propagation) = (Some(Version(5)), Propagation::Background);
        decided(objects, seen, &[sends(3, intent, Operation::Delete { target, version, propagation })])
    };
    let going = [sandbox_that(|it| it.meta.terminating = true)];
    assert_eq!(ends(&going, Intent::DeleteSandbox, 9), Err("right-end"));
    assert_eq!(ends(&going, Intent::DeleteSandbox, 4), Ok(()));
    let with_pod = [sandbox_that(|_| {}), pod("s", 4, 3)];
    assert_eq!(ends(&with_pod, Intent::DeleteSandbox, 9), Err("right-end"));
    assert_eq!(ends(&with_pod[..1], Intent::DeleteSandbox, 9), Ok(()));
}

/// SCND-012, SCND-020, GAP-025.
#[test]
fn a_place_of_a_pod_that_is_elsewhere_or_gone_is_noticed() {
    let nothing: fn(&mut SandboxStatus) = |_| {};
    let ready = |change: fn(&mut SandboxStatus)| tells(names::READY, "DependenciesNotReady", change);
    let bare = [sandbox_that(|_| {})];
    assert_eq!(decided(&bare, 9, &[ready(nothing)]), Err("true-status"), "it is told ready");
    let paused = |change| tells(names::SUSPENDED, "PodTerminated", change);
    let suspended = [sandbox_that(|it| it.suspended = true)];
    let told = |change: fn(&mut SandboxStatus)| decided(&suspended, 9, &[paused(change)]);
    assert_eq!(told(nothing), Ok(()));
    assert_eq!(told(|it| it.node = "node".into()), Err("true-status"));
    assert_eq!(told(|it| it.pod_ips.push("10.0.0.4".into())), Err("true-status"));
    let scheduled: fn(&mut SandboxStatus) = |it| {
        let kind = names::POD_SCHEDULED.into();
        it.conditions.push(Condition { kind, ..condition(Truth::True, "PodScheduled", 1) });
    };
    assert_eq!(told(scheduled), Err("true-status"));
    let finished: fn(&mut SandboxStatus) = |it| {
        it.conditions
            .push(Condition { kind: names::FINISHED.into(), ..condition(Truth::True, "PodFailed", 1) });
    };
    assert_eq!(told(finished), Err("true-status"));
    let selects = [sandbox_that(|it| (it.suspended, it.status.selector) = (true, "a=b".into()))];
    assert_eq!(decided(&selects, 9, &[paused(nothing)]), Err("true-status"));
    let kept: fn(&mut SandboxStatus) = |it| it.selector = "a=b".into();
    assert_eq!(decided(&selects, 9, &[paused(kept)]), Ok(()));
}

/// SBX-051: unless the server has said that it is not there.
#[test]
fn a_pod_that_a_sandbox_notes_and_does_not_get_is_noticed() {
    let mut store = Store::default();
    let mut sandbox = owned("s", 3, 'p', 9);
    sandbox.meta_mut().annotations.insert(names::POD_NAME.into(), "noted".into());
    sandbox.meta_mut().version = Version(5);
    store.put(sandbox.clone());
    store.put(scene::part(Kind::Pod, "noted", None, &[]));
    let target = Target { kind: Kind::Sandbox, key: scene::key("s"), uid: Some(Uid::from_bits(3)) };
    let changes = vec![Change::Annotation(names::POD_NAME.into(), None)];
    let patch = Patch { target, version: Some(Version(5)), part: Part::Main, changes };
    let forgets = sends(3, Intent::NamePod, Operation::Patch(patch));
    let makes = sends(3, Intent::CreatePod, Operation::Create(pod("s", 0, 3)));
    let absent = answered(&look(2, Kind::Pod, "noted"), Outcome::NotFound);
    let judge_in = |store: &Store, facts: &[&Fact]| {
        let mut checkers = Checkers::of_effects().only(&["one-pod"]);
        let judged = facts.iter().try_for_each(|fact| checkers.on_fact(fact, store));
        judged.map_err(|violation| violation.property.name)
    };
    let judge = |facts: &[&Fact]| judge_in(&store, facts);
    assert_eq!(judge(&[&forgets]), Err("one-pod"));
    assert_eq!(judge(&[&makes]), Err("one-pod"));
    assert_eq!(judge(&[&absent, &forgets, &makes]), Ok(()));
    let mut edited = store.clone();
    sandbox.meta_mut().version = Version(6);
    edited.put(sandbox);
    assert_eq!(judge_in(&edited, &[&forgets]), Ok(()), "it was another then");
}

/// CON-018: clients take it for final, and a watch may be behind.
#[test]
fn a_pool_or_a_template_that_is_told_gone_unasked_is_noticed() {
    let tells = |reason| {
        let mut status = agent_sandbox_core::object::ClaimStatus::default();
        status.conditions.push(condition(Truth::False, reason, 0));
        let target = Target { kind: Kind::Claim, key: scene::key("a"), uid: Some(Uid::from_bits(1)) };
        let changes = vec![Change::ClaimStatus(status)];
        let patch = Patch { target, version: Some(Version(3)), part: Part::Status, changes };
        sends(3, Intent::SetClaimStatus, Operation::Patch(patch))
    };
    let absent = |kind, name| answered(&look(2, kind, name), Outcome::NotFound);
    let there = |kind, object: Object| Fact::Shown {
        process: 0,
        kind,
        upto: Version(9),
        line: Some(Seen::Applied(object)),
    };
    for (reason, kind, name, object) in [
        ("WarmPoolNotFound", Kind::Pool, "p", scene::pool("p", 2)),
        ("TemplateNotFound", Kind::Template, scene::TEMPLATE, scene::template()),
    ] {
        let judge = |facts: &[Fact]| decided(&[], 9, facts);
        assert_eq!(judge(&[tells(reason)]), Err("true-status"));
        assert_eq!(judge(&[absent(kind, name), tells(reason)]), Ok(()));
        assert_eq!(judge(&[absent(kind, "other"), tells(reason)]), Err("true-status"));
        let again = [absent(kind, name), there(kind, object.clone()), tells(reason)];
        assert_eq!(judge(&again), Err("true-status"));
        let mut earlier = object.clone();
        earlier.meta_mut().uid = Uid::from_bits(99);
        let [earlier, latest] = [there(kind, earlier), there(kind, object)];
        let met = [earlier.clone(), latest.clone(), absent(kind, name)];
        for late in [earlier, latest] {
            let late = [&met[..], &[late, tells(reason)]].concat();
            assert_eq!(judge(&late), Ok(()), "that one is gone for good");
        }
    }
}

/// SEVT-001, SEVT-002.
#[test]
fn several_pods_that_are_told_never_or_twice_are_noticed() {
    let writes = |at| {
        let sandbox = sandbox_that(|it| {
            let told = condition(Truth::False, names::MULTIPLE_PODS, 1);
            it.status.conditions.push(Condition { changed: Wall::from_micros(at), ..told });
        });
        answered(&says(names::READY, names::MULTIPLE_PODS), Outcome::Done(sandbox))
    };
    let tells = |name: &str| {
        let regarding = Target { kind: Kind::Sandbox, key: scene::key("s"), uid: Some(Uid::from_bits(3)) };
        let [reporter, action, note] = ["us", "Reconciling", "note"].map(Into::into);
        let (name, reason) = (name.into(), names::MULTIPLE_PODS.into());
        let notice = Notice { name, regarding, warning: true, reporter, reason, action, note };
        sends(7, Intent::Notify, Operation::Notify(notice))
    };
    let judge = |facts: &[Fact]| {
        let mut checkers = Checkers::of_effects().only(&["told-in-events"]);
        let store = Store::default();
        let leads = Fact::Leading { process: 0, term: 1 };
        let judged = [&leads].into_iter().chain(facts).try_for_each(|fact| checkers.on_fact(fact, &store));
        judged.and_then(|()| checkers.at_rest(&store)).map_err(|violation| violation.property.name)
    };
    assert_eq!(judge(&[writes(1), tells("a")]), Ok(()));
    assert_eq!(judge(&[writes(1), tells("a"), writes(1), tells("a")]), Ok(()));
    assert_eq!(judge(&[writes(1), tells("a"), writes(2), tells("b")]), Ok(()));
    assert_eq!(judge(&[writes(1)]), Err("told-in-events"));
    assert_eq!(judge(&[writes(1), tells("a"), writes(1), tells("b")]), Err("told-in-events"));
}

/// INV-05: who owns it, too, goes on to own it.
#[test]
fn an_owner_that_is_taken_off_is_noticed() {
    let by = Some(Writer::Process { process: 0, term: 1, intent: Intent::AdoptSandbox });
    let adopts = |keeps: bool| {
        let mut old = owned("s", 3, 'p', 9);
        let others = Json::from(&serde_json::json!([{ "kind": "Job", "name": "job", "uid": "1" }]));
        old.meta_mut().co_owners = Some(others.clone());
        let mut new = owned("s", 3, 'c', 1);
        new.meta_mut().co_owners = keeps.then_some(others);
        let commit = Commit { version: Version(9), old: Some(old), new: Some(new), by };
        let mut checkers = Checkers::of_effects().only(&["hands-off"]);
        let judged = checkers.on_fact(&Fact::Committed(commit), &Store::default());
        judged.map_err(|violation| violation.property.name)
    };
    assert_eq!(adopts(true), Ok(()));
    assert_eq!(adopts(false), Err("hands-off"));
}

/// META-020: unless the process has not seen what it is to bear.
#[test]
fn a_pod_that_is_made_without_its_labels_is_noticed() {
    let makes = |seen, label: Option<&str>| {
        let Object::Pod(mut pod) = pod("s", 0, 3) else { unreachable!("it is a Pod") };
        let made = Arc::make_mut(&mut pod);
        made.spec = Some(scene::sandbox("s").pod_spec);
        made.meta.labels.extend(label.map(|value| ("sandbox.users.io/tier".into(), value.into())));
        let create = sends(8, Intent::CreatePod, Operation::Create(Object::Pod(pod)));
        let mut checkers = Checkers::new(Vec::new()).and_of_orders(Promises::default());
        let mut store = Store::default();
        let mut sandbox = owned("s", 3, 'p', 9);
        sandbox.meta_mut().version = Version(5);
        store.put(sandbox);
        let kind = Kind::Sandbox;
        let list = Fact::Relisted { process: 0, term: 1, kind, at: Version(seen), objects: [].into() };
        let judged = [list, create].iter().try_for_each(|fact| checkers.on_fact(fact, &store));
        judged.map_err(|violation| violation.property.name)
    };
    assert_eq!(makes(9, Some("sandbox")), Ok(()));
    assert_eq!(makes(9, Some("mine")), Err("made-to-order"));
    assert_eq!(makes(9, None), Err("made-to-order"));
    assert_eq!(makes(4, None), Ok(()));
}

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
