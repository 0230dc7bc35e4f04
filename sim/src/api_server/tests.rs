//! What the model has in common with the real server, one sentence each.

use agent_sandbox_core::action::{Notice, Propagation};
use agent_sandbox_core::id::Text;
use agent_sandbox_core::object::{Json, Meta, Pod, Sandbox};

use super::*;
use serde_json::{Value, json};

use crate::scene;

#[test]
fn a_create_sets_identity_version_generation_and_whole_seconds() {
    let mut server = ApiServer::default();
    let object = created(&mut server, scene::claim("a", "p"));
    let meta = object.meta();
    assert!(meta.uid != Uid::UNSET && meta.version == Version(1) && meta.generation == 1);
    assert_eq!(meta.created, Wall::from_micros(5_000_000));
}

#[test]
fn a_create_sets_no_status() {
    let mut server = ApiServer::default();
    let mut draft = scene::pool("p", 3);
    if let Object::Pool(pool) = &mut draft {
        Arc::make_mut(pool).status.ready = 7;
    }
    let Object::Pool(pool) = created(&mut server, draft) else { panic!("no pool") };
    assert_eq!(pool.status, PoolStatus::default());
}

#[test]
fn a_name_is_given_once() {
    let mut server = ApiServer::default();
    created(&mut server, scene::claim("a", "p"));
    let again = Operation::Create(scene::claim("a", "p"));
    assert_eq!(handle(&mut server, &again), Outcome::AlreadyExists);
    created(&mut server, scene::pool("a", 1));
}

#[test]
fn a_name_that_is_free_again_goes_to_another_identity() {
    let mut server = ApiServer::default();
    let first = created(&mut server, scene::claim("a", "p"));
    assert_eq!(handle(&mut server, &delete(&first, None)), Outcome::Accepted);
    let second = created(&mut server, scene::claim("a", "p"));
    assert_ne!(first.uid(), second.uid());
    assert_eq!(handle(&mut server, &delete(&first, None)), Outcome::Conflict);
}

#[test]
fn a_patch_of_an_old_version_conflicts() {
    let mut server = ApiServer::default();
    let object = created(&mut server, scene::claim("a", "p"));
    let patch = annotate(&object, Some(object.version()), "1");
    assert!(matches!(handle(&mut server, &patch), Outcome::Done(_)));
    let patch = annotate(&object, Some(object.version()), "2");
    assert_eq!(handle(&mut server, &patch), Outcome::Conflict);
}

#[test]
fn a_patch_without_a_version_is_not_locked() {
    let mut server = ApiServer::default();
    let object = created(&mut server, scene::claim("a", "p"));
    for value in ["1", "2"] {
        assert!(matches!(handle(&mut server, &annotate(&object, None, value)), Outcome::Done(_)));
    }
}

#[test]
fn a_patch_for_another_identity_conflicts() {
    let mut server = ApiServer::default();
    let mut other = created(&mut server, scene::claim("a", "p"));
    other.meta_mut().uid = Uid::from_bits(99);
    assert_eq!(handle(&mut server, &annotate(&other, None, "1")), Outcome::Conflict);
}

#[test]
fn what_is_gone_is_not_found() {
    let mut server = ApiServer::default();
    let object = created(&mut server, scene::claim("a", "p"));
    handle(&mut server, &delete(&object, None));
    assert_eq!(handle(&mut server, &delete(&object, None)), Outcome::NotFound);
    assert_eq!(handle(&mut server, &annotate(&object, None, "1")), Outcome::NotFound);
    let get = Operation::Get { kind: Kind::Claim, key: scene::key("a") };
    assert_eq!(handle(&mut server, &get), Outcome::NotFound);
}

#[test]
fn a_patch_that_changes_nothing_makes_no_version() {
    let mut server = ApiServer::default();
    let object = created(&mut server, scene::claim("a", "p"));
    let Outcome::Done(first) = handle(&mut server, &annotate(&object, None, "1")) else { panic!("refused") };
    let Outcome::Done(second) = handle(&mut server, &annotate(&object, None, "1")) else { panic!("refused") };
    assert_eq!(first, second);
    assert_eq!(server.revision(), first.version());
}

#[test]
fn a_patch_of_a_service_to_the_defaults_that_it_has_makes_no_version() {
    let port = |more: Value| json!({ "ports": [{ "port": 81 }, more] });
    let mut server = ApiServer::default();
    let object = created(&mut server, scene::part(Kind::Service, "s", None, &[]));
    let mut set = |port: Value| {
        let patch = patch(&object, None, Part::Main, vec![Change::Spec(Json::from(&port))]);
        let Outcome::Done(object) = handle(&mut server, &patch) else { panic!("refused") };
        object.version()
    };
    let all = set(port(json!({ "port": 80, "protocol": "TCP", "targetPort": 80 })));
    assert_eq!(set(port(json!({ "port": 80 }))), all);
    assert_ne!(set(port(json!({ "port": 80, "targetPort": 8080 }))), all);
}

#[test]
fn a_patch_of_the_status_leaves_the_rest_alone_and_the_other_way_round() {
    let mut server = ApiServer::default();
    let object = created(&mut server, scene::pool("p", 1));
    let changes = vec![
        Change::Annotation("a".into(), Some("1".into())),
        Change::PoolStatus(PoolStatus { ready: 7, ..PoolStatus::default() }),
    ];
    let status = patch(&object, None, Part::Status, changes.clone());
    let Outcome::Done(Object::Pool(pool)) = handle(&mut server, &status) else { panic!("refused") };
    assert!(pool.meta.annotations.is_empty() && pool.status.ready == 7);
    let changes = vec![changes[0].clone(), Change::PoolStatus(PoolStatus::default())];
    let Outcome::Done(Object::Pool(pool)) = handle(&mut server, &patch(&object, None, Part::Main, changes))
    else {
        panic!("refused")
    };
    assert!(pool.meta.annotations.len() == 1 && pool.status.ready == 7);
}

#[test]
fn only_changes_of_the_spec_count_as_generations() {
    let mut server = ApiServer::default();
    let object = created(&mut server, sandbox("s"));
    let label = |key: &str| Change::PodLabel(key.into(), Some("1".into()));
    let meta = patch(&object, None, Part::Main, vec![Change::Label("a".into(), Some("1".into()))]);
    let spec = patch(&object, None, Part::Main, vec![label("a")]);
    let generation = |server: &mut ApiServer, operation| done(handle(server, operation)).meta().generation;
    assert_eq!(generation(&mut server, &meta), 1);
    assert_eq!(generation(&mut server, &spec), 2);
    assert_eq!(generation(&mut server, &spec), 2);
}

#[test]
fn services_and_volume_claims_have_no_generation() {
    let mut server = ApiServer::default();
    let object = created(&mut server, scene::part(Kind::Service, "a", None, &[]));
    assert_eq!(object.meta().generation, 0);
    let merge = Change::Spec(Json::from(&serde_json::json!({ "selector": null })));
    let changed = done(handle(&mut server, &patch(&object, None, Part::Main, vec![merge])));
    assert!(changed.version() > object.version() && changed.meta().generation == 0);
}

#[test]
fn a_patch_of_the_status_is_locked_to_the_version_alone() {
    let mut server = ApiServer::default();
    let mut other = created(&mut server, scene::pool("p", 1));
    other.meta_mut().uid = Uid::from_bits(99);
    let status = || vec![Change::PoolStatus(PoolStatus { ready: 7, ..PoolStatus::default() })];
    let old = Some(Version(99));
    assert_eq!(handle(&mut server, &patch(&other, old, Part::Status, status())), Outcome::Conflict);
    let known = Some(other.version());
    assert!(matches!(handle(&mut server, &patch(&other, known, Part::Status, status())), Outcome::Done(_)));
}

#[test]
fn the_end_counts_as_a_generation_and_begins_once() {
    let mut server = ApiServer::default();
    let object = created(&mut server, sandbox("s"));
    let foreground =
        Operation::Delete { target: target(&object), version: None, propagation: Propagation::Foreground };
    let going = done(handle(&mut server, &foreground));
    assert!(going.meta().terminating && going.meta().generation == 2);
    for again in [foreground, delete(&object, None)] {
        assert_eq!(handle(&mut server, &again), Outcome::Done(going.clone()));
    }
}

#[test]
fn a_volume_claim_is_terminating_until_the_cluster_lets_it_go() {
    let mut server = ApiServer::default();
    let object = created(&mut server, scene::part(Kind::VolumeClaim, "a", None, &[]));
    assert!(done(handle(&mut server, &delete(&object, None))).meta().terminating);
    assert!(server.store().get(Kind::VolumeClaim, object.key()).is_some());
}

#[test]
fn a_delete_shows_the_last_of_a_service_and_of_a_pod() {
    let mut server = ApiServer::default();
    for (kind, is_marked) in [(Kind::Service, false), (Kind::Pod, true)] {
        let object = created(&mut server, scene::part(kind, "a", None, &[]));
        let last = done(handle(&mut server, &delete(&object, None)));
        assert!(last.version() > object.version() && last.meta().terminating == is_marked);
        assert!(server.store().get(kind, object.key()).is_none());
    }
}

#[test]
fn a_delete_names_the_state_that_it_means() {
    let mut server = ApiServer::default();
    let object = created(&mut server, scene::claim("a", "p"));
    handle(&mut server, &annotate(&object, None, "1"));
    assert_eq!(handle(&mut server, &delete(&object, Some(object.version()))), Outcome::Conflict);
    assert_eq!(handle(&mut server, &delete(&object, Some(Version(2)))), Outcome::Accepted);
}

#[test]
fn a_pod_that_was_never_scheduled_is_terminating_for_one_revision() {
    let mut server = ApiServer::default();
    let object = created(&mut server, pod("a"));
    let answer = done(handle(&mut server, &delete(&object, None)));
    assert!(server.store().get(Kind::Pod, object.key()).is_none());
    let lines: Vec<Seen> =
        server.lines_after(Kind::Pod, object.version()).map(|(_, line)| line.clone()).collect();
    let [Seen::Applied(going), Seen::Deleted(gone)] = &lines[..] else { panic!("{lines:?}") };
    assert!(going.meta().terminating && kept::grace(going) == Some(0) && *gone == answer);
}

#[test]
fn the_grace_of_a_pod_can_only_be_shortened() {
    let mut server = ApiServer::default();
    let object = created(&mut server, pod("a"));
    server.update(Kind::Pod, object.key(), Writer::Scheduler, |object| {
        if let Object::Pod(pod) = object {
            Arc::make_mut(pod).node = "node".into();
        }
    });
    let mut grace = |seconds| {
        let deletion = Deletion { dependents: None, grace: Some(seconds) };
        let commits = server.delete_now(Kind::Pod, object.key(), deletion, Writer::User);
        commits.map(|commit| commit.map(|commit| commit.new.as_ref().and_then(kept::grace)))
    };
    assert_eq!(grace(60), [Some(Some(60)), None]);
    assert_eq!(grace(70), [None, None]);
    assert_eq!(grace(5), [Some(Some(5)), None]);
    assert_eq!(grace(0), [Some(Some(0)), Some(None)]);
}

#[test]
fn a_scheduled_pod_is_terminating_first_and_a_second_delete_changes_nothing() {
    let mut server = ApiServer::default();
    let object = created(&mut server, pod("a"));
    server.update(Kind::Pod, &scene::key("a"), Writer::Scheduler, |object| {
        if let Object::Pod(pod) = object {
            Arc::make_mut(pod).node = "node".into();
        }
    });
    let Outcome::Done(first) = handle(&mut server, &delete(&object, None)) else { panic!("refused") };
    assert!(first.meta().terminating);
    assert_eq!(handle(&mut server, &delete(&object, None)), Outcome::Done(first));
    assert_eq!(handle(&mut server, &Operation::Create(pod("a"))), Outcome::AlreadyExists);
}

/// A real server keeps `metadata.deletionTimestamp` and the object until the list of finalizers is empty.
#[test]
fn what_bears_a_finalizer_is_terminating_until_that_is_taken_off() {
    let mut server = ApiServer::default();
    let claim = created(&mut server, scene::claim("a", "p"));
    server.update(Kind::Claim, claim.key(), Writer::User, kept::put_others);
    assert_eq!(handle(&mut server, &delete(&claim, None)), Outcome::Done(stored(&server, &claim)));
    assert!(stored(&server, &claim).meta().terminating);
    let again = Operation::Create(scene::claim("a", "p"));
    assert_eq!(handle(&mut server, &again), Outcome::AlreadyExists);
    assert!(release(&mut server, &claim).is_some_and(|commit| commit.new.is_none()));
    assert!(server.store().list(Kind::Claim).is_empty());
}

#[test]
fn a_finalizer_that_is_taken_off_in_time_keeps_nothing_and_none_is_put_on_what_is_going() {
    let mut server = ApiServer::default();
    let claim = created(&mut server, scene::claim("a", "p"));
    server.update(Kind::Claim, claim.key(), Writer::User, kept::put_others);
    release(&mut server, &claim);
    server.delete_now(Kind::Claim, claim.key(), Deletion::FOREGROUND, Writer::User);
    assert!(server.update(Kind::Claim, claim.key(), Writer::User, kept::put_others).is_none());
    let end = server.release(Kind::Claim, claim.uid(), kept::FOREGROUND, Writer::Collector);
    assert!(end.is_some_and(|it| it.new.is_none()));
}

#[test]
fn nothing_is_created_in_a_namespace_that_is_going() {
    let mut server = ApiServer::default();
    let claim = created(&mut server, scene::claim("a", "p"));
    server.end_namespace(&scene::NAMESPACE.into());
    let refused = handle(&mut server, &Operation::Create(scene::claim("b", "p")));
    assert!(matches!(refused, Outcome::Refused(Refusal::NamespaceEnding(_))), "{refused:?}");
    assert_eq!(handle(&mut server, &delete(&claim, None)), Outcome::Accepted);
}

#[test]
fn a_watch_shows_every_change_of_its_kind_in_order() {
    let mut server = ApiServer::default();
    let object = created(&mut server, scene::claim("a", "p"));
    created(&mut server, scene::pool("p", 1));
    handle(&mut server, &delete(&object, None));
    let mut cursor = Version(0);
    let mut shown = Vec::new();
    while let Next::Seen(_, seen) = server.next(Kind::Claim, cursor) {
        cursor = seen.version();
        shown.push(seen);
    }
    assert!(matches!(&shown[..], [Seen::Applied(_), Seen::Deleted(_)]));
    assert_eq!(cursor, Version(3), "a deletion has a version of its own");
    assert_eq!(server.next(Kind::Claim, cursor), Next::Nothing);
}

#[test]
fn a_watch_that_lags_behind_a_compaction_is_lost() {
    let mut server = ApiServer::default();
    created(&mut server, scene::claim("a", "p"));
    server.compact(Kind::Claim);
    assert_eq!(server.next(Kind::Claim, Version(0)), Next::Compacted);
    assert_eq!(server.next(Kind::Claim, Version(1)), Next::Nothing);
}

#[test]
fn trimming_what_was_shown_is_not_noticed() {
    let mut server = ApiServer::default();
    created(&mut server, scene::claim("a", "p"));
    created(&mut server, scene::claim("b", "p"));
    server.trim(Kind::Claim, Version(1));
    assert!(matches!(server.next(Kind::Claim, Version(1)), Next::Seen(..)));
}

#[test]
fn kubernetes_events_are_taken_and_counted() {
    let mut server = ApiServer::default();
    let object = created(&mut server, scene::claim("a", "p"));
    let text = || Text::from("");
    let notice = Notice {
        warning: false,
        name: text(),
        regarding: target(&object),
        reporter: text(),
        reason: text(),
        action: text(),
        note: text(),
    };
    assert_eq!(handle(&mut server, &Operation::Notify(notice.clone())), Outcome::Accepted);
    assert_eq!(handle(&mut server, &Operation::Notify(notice)), Outcome::AlreadyExists);
    assert_eq!(server.notices(), 1);
}

#[test]
fn versions_by_state_are_newer_than_the_lists_of_their_kind_before_them() {
    let mut server = ApiServer::new(Numbering::ByState);
    let claim = created(&mut server, scene::claim("a", "p"));
    let at = server.read(Kind::Claim);
    let list = server.version_of_list(Kind::Claim, at);
    let later = done(handle(&mut server, &annotate(&claim, None, "1")));
    assert!(claim.version() <= list && list < later.version());
}

#[test]
fn a_version_by_state_does_not_depend_on_lists_of_other_kinds() {
    let version = |listed: &[Kind]| {
        let mut server = ApiServer::new(Numbering::ByState);
        for kind in listed {
            server.read(*kind);
        }
        created(&mut server, scene::claim("a", "p")).version()
    };
    assert_eq!(version(&[]), version(&[Kind::Pod, Kind::Sandbox]));
    assert_ne!(version(&[]), version(&[Kind::Claim]));
}

#[test]
fn a_change_that_is_made_once_more_leaves_what_it_left_before() {
    let mut server = ApiServer::new(Numbering::ByState);
    let (before, claim) = (server.clone(), scene::claim("a", "p"));
    let (_, [commit, _]) = server.handle(&Operation::Create(claim), Writer::User, Wall::default());
    let line = server.line_of(&commit.expect("the name is free"));
    let mut again = before.clone();
    again.redo(&server.snapshot(), std::slice::from_ref(&line));
    assert_eq!((again.standing(), again.stored()), (server.standing(), server.stored()));
    assert_ne!(again.standing(), before.standing());
    assert_eq!(again.next(Kind::Claim, before.revision()), server.next(Kind::Claim, before.revision()));
    let object = line.object().clone();
    let [left, right] = [&mut again, &mut server].map(|it| done(handle(it, &annotate(&object, None, "1"))));
    assert_eq!(left, right);
}

#[test]
fn two_changes_by_one_write_that_are_made_once_more_show_the_same() {
    let mut server = ApiServer::new(Numbering::ByState);
    let pod = created(&mut server, pod("p"));
    let before = server.clone();
    let (_, commits) = server.handle(&delete(&pod, None), Writer::User, Wall::default());
    let lines: Vec<Seen> = commits.iter().flatten().map(|commit| server.line_of(commit)).collect();
    assert_eq!(lines.len(), 2);
    let mut again = before.clone();
    again.redo(&server.snapshot(), &lines);
    let [left, right] = [&mut again, &mut server].map(|it| format!("{:?}", it.history_mut(Kind::Pod)));
    assert_eq!(left, right);
}

fn handle(server: &mut ApiServer, operation: &Operation) -> Outcome {
    server.handle(operation, Writer::User, Wall::from_micros(5_700_000)).0
}

fn release(server: &mut ApiServer, object: &Object) -> Option<Commit> {
    server.release(object.kind(), object.uid(), kept::OTHERS, Writer::User)
}

#[track_caller]
fn stored(server: &ApiServer, object: &Object) -> Object {
    server.store().find(object.kind(), object.uid()).expect("it is there").clone()
}

fn created(server: &mut ApiServer, draft: Object) -> Object {
    done(handle(server, &Operation::Create(draft)))
}

#[track_caller]
fn done(outcome: Outcome) -> Object {
    let Outcome::Done(object) = outcome else { panic!("{outcome:?}") };
    object
}

fn target(object: &Object) -> Target {
    Target { kind: object.kind(), key: object.key().clone(), uid: Some(object.uid()) }
}

fn delete(object: &Object, version: Option<Version>) -> Operation {
    Operation::Delete { target: target(object), version, propagation: Propagation::Background }
}

fn patch(object: &Object, version: Option<Version>, part: Part, changes: Vec<Change>) -> Operation {
    Operation::Patch(Patch { target: target(object), version, part, changes })
}

fn annotate(object: &Object, version: Option<Version>, value: &str) -> Operation {
    patch(object, version, Part::Main, vec![Change::Annotation("a".into(), Some(value.into()))])
}

fn sandbox(name: &str) -> Object {
    let Object::Template(template) = scene::template() else { panic!("no template") };
    Object::Sandbox(Arc::new(Sandbox {
        meta: Meta::draft(scene::key(name)),
        pod: template.blueprint.pod.clone(),
        pod_spec: template.blueprint.pod_spec.clone(),
        volume_claims: None,
        service: None,
        suspended: false,
        shutdown: None,
        status: SandboxStatus::default(),
    }))
}

fn pod(name: &str) -> Object {
    Object::Pod(Arc::new(Pod {
        meta: Meta::draft(scene::key(name)),
        spec: None,
        phase: Phase::Pending,
        ready: false,
        scheduled: None,
        ips: Vec::new(),
        node: "".into(),
    }))
}
