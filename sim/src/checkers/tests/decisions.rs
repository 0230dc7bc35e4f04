//! What a process decides is judged by what it knew.

use std::slice::from_ref;

use agent_sandbox_core::action::{Part, Patch};
use agent_sandbox_core::object::{Dependent, Json, Meta, PoolStatus, Shutdown, ShutdownPolicy, Update};
use agent_sandbox_core::patch::Change;
use agent_sandbox_core::wishes::{Variable, Wishes};

use super::*;

/// INV-13: unless the process has not seen that the member is ready, or has given it to another.
#[test]
fn a_claim_that_starts_cold_beside_a_member_for_it_is_noticed() {
    let cold = || record(Intent::RecordColdStart, "a", 1, "a");
    let ready = [member("s", 3, true), pod("s", 4, 3)];
    assert_eq!(decided(&ready, 9, &[cold()]), Err("warm-first"));
    assert_eq!(decided(&ready, 1, &[cold()]), Ok(()));
    let given = record(Intent::RecordAssignment, "a", 1, "s");
    let other = record(Intent::RecordColdStart, "b", 2, "b");
    assert_eq!(decided(&ready, 9, &[given, other]), Ok(()));
    assert_eq!(decided(&[], 9, &[cold()]), Ok(()));
    // Two wait, and one starts: it is for the one that came first.
    let starting = [member("s", 3, false)];
    assert_eq!(decided(&starting, 9, &[cold()]), Err("warm-first"));
    assert_eq!(decided(&starting, 9, &[record(Intent::RecordColdStart, "b", 2, "b")]), Ok(()));
    let two = [member("s", 3, false), member("t", 5, false)];
    assert_eq!(decided(&two, 9, &[cold()]), Err("warm-first"));
    // One is there longer, and takes none from others once it was told that it is over.
    let other = |reason| {
        let mut other = claim("o", 7, None);
        if let Object::Claim(claim) = &mut other {
            Arc::make_mut(claim).status.conditions.push(condition(Truth::False, reason, 0));
        }
        [member("s", 3, false), other]
    };
    assert_eq!(decided(&other("SandboxMissing"), 9, &[cold()]), Ok(()));
    assert_eq!(decided(&other(names::CLAIM_EXPIRED), 9, &[cold()]), Err("warm-first"));
    assert_eq!(decided(&other(names::CLAIM_EXPIRED), 5, &[cold()]), Ok(()), "it does not know");
}

/// INV-13.
#[test]
fn a_member_that_is_not_ready_given_away_before_one_that_is_is_noticed() {
    let members = [member("s", 3, true), pod("s", 4, 3), member("t", 5, false)];
    assert_eq!(decided(&members, 9, &[record(Intent::RecordAssignment, "a", 1, "t")]), Err("warm-first"));
    assert_eq!(decided(&members, 9, &[record(Intent::RecordAssignment, "a", 1, "s")]), Ok(()));
    let alone =
        |objects: &[Object], seen| decided(objects, seen, &[record(Intent::RecordAssignment, "a", 1, "t")]);
    let other = [member("t", 5, false), pod("t", 6, 5)];
    assert_eq!(alone(&other[..1], 9), Err("warm-first"), "it has no address");
    assert_eq!(alone(&other[..1], 4), Ok(()), "it does not know it");
    assert_eq!(alone(&other, 9), Ok(()));
}

/// QUE-020: unless the process does not know all members.
#[test]
fn a_member_given_from_a_node_with_fewer_of_them_is_noticed() {
    let at = |name: &str, uid: u128, node: &str| {
        let Object::Pod(mut pod) = pod(name, uid + 1, uid) else { unreachable!("it is a Pod") };
        Arc::make_mut(&mut pod).node = node.into();
        [member(name, uid, true), Object::Pod(pod)]
    };
    let three = [pool(scene::pool("p", 3))];
    let mut members = [&three[..], &at("s", 3, "x"), &at("t", 5, "y"), &at("u", 7, "y")].concat();
    members[5].meta_mut().created = Wall::from_micros(1_000_000);
    let gives = |name, seen| decided(&members, seen, &[record(Intent::RecordAssignment, "a", 1, name)]);
    assert_eq!(gives("t", 99), Ok(()));
    assert_eq!(gives("s", 99), Err("warm-first"), "there are two on the other node");
    assert_eq!(gives("u", 99), Err("warm-first"), "it is younger");
    assert_eq!(gives("s", 9), Ok(()));
}

/// INV-14: unless members stay as they are, or the process has not seen the template's change.
#[test]
fn a_member_of_an_older_make_given_away_is_noticed() {
    let give = || [record(Intent::RecordAssignment, "a", 1, "s")];
    let follow = scene::pool_of("p", 2, scene::TEMPLATE, Update::Recreate);
    let edited = scene::template_of(scene::TEMPLATE, "sandbox:2");
    let member = || [member("s", 3, true), pod("s", 4, 3)].into_iter();
    let of = |changes: &[Object]| member().chain(changes.iter().cloned()).collect::<Vec<_>>();
    assert_eq!(decided(&of(&[pool(follow.clone())]), 9, &give()), Ok(()));
    let both = [pool(follow), edited.clone()];
    assert_eq!(decided(&of(&both), 9, &give()), Err("right-make"));
    assert_eq!(decided(&of(&both), 7, &give()), Ok(()));
    assert_eq!(decided(&of(&[edited]), 9, &give()), Ok(()));
}

/// DEF-028: unless the process does not know that its Pod has ended.
#[test]
fn a_member_that_has_ended_or_is_going_given_away_is_noticed() {
    let give = || [record(Intent::RecordAssignment, "a", 1, "s")];
    let with = |change: fn(&mut Object, &mut Pod)| {
        let (mut member, Object::Pod(mut pod)) = (member("s", 3, true), pod("s", 4, 3)) else {
            unreachable!()
        };
        change(&mut member, Arc::make_mut(&mut pod));
        [member, Object::Pod(pod)]
    };
    let ended = with(|_, pod| pod.phase = Phase::Failed);
    assert_eq!(decided(&with(|_, _| {}), 9, &give()), Ok(()));
    assert_eq!(decided(&ended, 9, &give()), Err("right-make"));
    assert_eq!(decided(&ended, 5, &give()), Ok(()));
    assert_eq!(
        decided(&with(|member, _| member.meta_mut().terminating = true), 9, &give()),
        Err("right-make")
    );
    let adopts = |version| {
        let target = Target { kind: Kind::Sandbox, key: scene::key("s"), uid: Some(Uid::from_bits(3)) };
        let version = Some(Version(version));
        let patch = Patch { target, version, part: Part::Main, changes: Vec::new() };
        let operation = Arc::new(Operation::Patch(patch));
        let action = Action { id: ActionId(3), intent: Intent::AdoptSandbox, operation };
        [Fact::Sent(Sent { process: 0, term: 1, listed: true, request: RequestId(3), action })]
    };
    let promised = ended.into_iter().chain([claim("a", 1, Some("s"))]).collect::<Vec<_>>();
    assert_eq!(decided(&promised, 9, &adopts(5)), Err("right-make"));
    assert_eq!(decided(&promised, 9, &adopts(4)), Ok(()), "it was another then");
}

/// ADP-006: nobody can use it. What was promised before is handed over all the same (ADP-008).
#[test]
fn a_member_that_nobody_can_use_given_away_is_noticed() {
    let gives = |change: fn(&mut Sandbox, &mut Pod)| {
        let (Object::Sandbox(mut sandbox), Object::Pod(mut pod)) = (member("s", 3, true), pod("s", 4, 3))
        else {
            unreachable!("they are a member and its Pod")
        };
        change(Arc::make_mut(&mut sandbox), Arc::make_mut(&mut pod));
        let objects = [Object::Sandbox(sandbox), Object::Pod(pod)];
        decided(&objects, 9, &[record(Intent::RecordAssignment, "a", 1, "s")])
    };
    assert_eq!(gives(|_, _| {}), Ok(()));
    assert_eq!(gives(|it, _| it.suspended = true), Err("right-make"));
    assert_eq!(gives(|_, pod| pod.meta.terminating = true), Err("right-make"));
}

/// Unless the process does not know that the pool or the template is going.
#[test]
fn a_pool_or_a_template_that_is_going_and_still_used_is_noticed() {
    let going = |mut object: Object| {
        object.meta_mut().terminating = true;
        object
    };
    let make = || [creation(owned("t", 0, 'p', 9))];
    let cold = || [record(Intent::RecordColdStart, "a", 1, "a")];
    let gone = [going(pool(scene::pool("p", 2)))];
    assert_eq!(decided(&[], 9, &make()), Ok(()));
    assert_eq!(decided(&gone, 9, &make()), Err("right-make"));
    assert_eq!(decided(&gone, 4, &make()), Ok(()));
    assert_eq!(decided(&[going(scene::template())], 9, &make()), Err("right-make"));
    let shown = || {
        let objects = [going(scene::template())].into();
        Fact::Relisted { process: 0, term: 1, kind: Kind::Template, at: Version(9), objects }
    };
    let makes = |name| creation(owned(name, 0, 'p', 9));
    let meanwhile = |name| decided(&[going(scene::template())], 4, &[makes("t"), shown(), makes(name)]);
    assert_eq!(meanwhile("u"), Err("right-make"));
    assert_eq!(meanwhile("t"), Ok(()), "the same again is no other");
    assert_eq!(decided(&[], 9, &cold()), Ok(()));
    assert_eq!(decided(&gone, 9, &cold()), Err("right-make"));
    assert_eq!(decided(&gone, 4, &cold()), Ok(()));
}

/// A claim that has lost its sandbox does not say any more how that ended, unless the claim has expired itself.
#[test]
fn an_end_of_a_sandbox_that_a_claim_has_not_any_more_is_noticed() {
    let tells = |reason, ends: bool| {
        let target = Target { kind: Kind::Claim, key: scene::key("a"), uid: Some(Uid::from_bits(1)) };
        let mut status = agent_sandbox_core::object::ClaimStatus::default();
        let finished = Condition { kind: names::FINISHED.into(), ..condition(Truth::True, "PodFailed", 0) };
        status.conditions.extend(ends.then_some(finished));
        let is_over = reason == names::CLAIM_EXPIRED;
        let words =
            if is_over { "Claim expired. Sandbox cleanup initiated." } else { "Sandbox does not exist" };
        let ready = condition(Truth::False, reason, 0);
        status.conditions.push(Condition { message: words.into(), ..ready });
        let changes = vec![Change::ClaimStatus(status)];
        let patch = Patch { target, version: Some(Version(5)), part: Part::Status, changes };
        let operation = Arc::new(Operation::Patch(patch));
        let action = Action { id: ActionId(3), intent: Intent::SetClaimStatus, operation };
        [Fact::Sent(Sent { process: 0, term: 1, listed: true, request: RequestId(3), action })]
    };
    let lost = [bound(claim("a", 1, Some("s")), "s")];
    assert_eq!(decided(&lost, 9, &tells("SandboxMissing", false)), Ok(()));
    assert_eq!(decided(&lost, 9, &tells("SandboxMissing", true)), Err("true-status"));
    assert_eq!(decided(&lost, 9, &tells(names::CLAIM_EXPIRED, true)), Ok(()));
    let left = [told("SandboxMissing")];
    assert_eq!(decided(&left, 9, &tells("SandboxMissing", true)), Ok(()), "so it was left");
}

/// INV-32.
#[test]
fn a_claim_that_overtakes_an_older_one_is_noticed() {
    let members = [member("s", 3, true), pod("s", 4, 3)];
    let serve = |name, uid| [record(Intent::RecordAssignment, name, uid, "s")];
    assert_eq!(decided(&members, 9, &serve("a", 1)), Ok(()));
    assert_eq!(decided(&members, 9, &serve("b", 2)), Err("first-come"));
}

/// INV-10: unless it is one too many.
#[test]
fn a_pool_that_replaces_a_member_for_no_good_reason_is_noticed() {
    let delete = || [deletion(1, true, Some(Version(5)))];
    let placed = |change: fn(&mut Pod)| {
        let mut pod = pod("s", 4, 3);
        if let Object::Pod(pod) = &mut pod {
            change(Arc::make_mut(pod));
        }
        [member("s", 3, false), pod]
    };
    let unplaced = placed(|pod| {
        let reason = names::UNSCHEDULABLE.into();
        (pod.ready, pod.scheduled) = (false, Some((Truth::False, reason, "".into())));
    });
    let ended = placed(|pod| (pod.ready, pod.phase) = (false, Phase::Failed));
    assert_eq!(decided(&unplaced, 9, &delete()), Err("no-churn"));
    assert_eq!(decided(&placed(|pod| pod.ready = false), 9, &delete()), Err("no-churn"), "too soon");
    assert_eq!(decided(&ended, 9, &delete()), Err("no-churn"), "too soon");
    let given = [&ended[..], &[claim("c", 8, Some("s"))]].concat();
    assert_eq!(decided(&given, 9, &delete()), Ok(()), "the claim is not to wait for it");
    let after = |objects: &[Object], at| decided_at(objects, 9, &[(at, delete()[0].clone())]);
    assert_eq!(after(&ended, 40_000), Ok(()));
    let late = |objects: &[Object]| after(objects, 400_000);
    assert_eq!(late(&placed(|pod| pod.ready = false)), Ok(()));
    assert_eq!(late(&placed(|_| {})), Err("no-churn"), "its Pod is ready, whatever it lacks");
    assert_eq!(decided(&[member("s", 3, true), pod("s", 4, 3)], 9, &delete()), Err("no-churn"));
    let surplus = unplaced.into_iter().chain([member("t", 5, false), pool(scene::pool("p", 1))]);
    assert_eq!(decided(&surplus.collect::<Vec<_>>(), 9, &delete()), Ok(()));
}

/// INV-06: unless the process does not know that, or nobody can have it any more.
#[test]
fn a_recorded_member_that_its_pool_lets_go_is_noticed() {
    let delete = || [deletion(1, true, Some(Version(5)))];
    let with = |pod: Object| [member("s", 3, true), pod, pool(scene::pool("p", 0)), claim("c", 8, Some("s"))];
    let mut ended = pod("s", 4, 3);
    if let Object::Pod(pod) = &mut ended {
        Arc::make_mut(pod).phase = Phase::Failed;
    }
    assert_eq!(decided(&with(pod("s", 4, 3)), 9, &delete()), Err("in-use-kept"));
    assert_eq!(decided(&with(pod("s", 4, 3)), 7, &delete()), Ok(()), "it does not know the claim");
    assert_eq!(decided(&with(ended), 9, &delete()), Ok(()), "its Pod has ended");
}

/// WPL-037: unless the process does not know the other one, or a claim has it.
#[test]
fn a_ready_member_that_goes_before_one_that_is_worth_less_is_noticed() {
    let delete = || [deletion(1, true, Some(Version(5)))];
    let small = || pool(scene::pool("p", 1));
    let with = |other: Object| [member("s", 3, true), pod("s", 4, 3), small(), other];
    assert_eq!(decided(&with(member("t", 5, false)), 9, &delete()), Err("least-first"));
    assert_eq!(decided(&with(member("t", 5, false)), 7, &delete()), Ok(()));
    assert_eq!(decided(&with(member("t", 5, true)), 9, &delete()), Ok(()), "of the same age");
    let mut younger = member("t", 5, true);
    younger.meta_mut().created = Wall::from_micros(1_000_000);
    assert_eq!(decided(&with(younger), 9, &delete()), Err("least-first"));
    let given = with(member("t", 5, false)).into_iter().chain([claim("a", 1, Some("t"))]);
    assert_eq!(decided(&given.collect::<Vec<_>>(), 9, &delete()), Ok(()));
}

/// INV-09, DEF-021: what is going does not count, what is being made does not either.
#[test]
fn a_rollout_that_takes_the_ready_ones_at_once_is_noticed() {
    let follow = pool(scene::pool_of("p", 2, scene::TEMPLATE, Update::Recreate));
    let edited = scene::template_of(scene::TEMPLATE, "sandbox:2");
    let with = |other: Object| {
        [member("s", 3, true), pod("s", 4, 3), other, pod("t", 6, 5), follow.clone(), edited.clone()]
    };
    let new = || {
        let (Object::Template(edited), Object::Sandbox(mut new)) = (&edited, member("t", 5, false)) else {
            unreachable!("they are a template and a member")
        };
        Arc::make_mut(&mut new).pod_spec = edited.blueprint.pod_spec.clone();
        Object::Sandbox(new)
    };
    let delete = [deletion(1, true, Some(Version(5)))];
    assert_eq!(decided(&with(member("t", 5, true)), 11, &delete), Ok(()));
    assert_eq!(decided(&with(new()), 11, &delete), Err("rollout-paced"));
    assert_eq!(decided(&with(new()), 9, &delete), Ok(()), "it does not know");
    let both = [deletion_of("t", 5, Some(Version(7))), delete[0].clone()];
    assert_eq!(decided(&with(member("t", 5, true)), 11, &both), Err("rollout-paced"));
}

/// INV-21: unless its user has changed it since, or the process does not know.
#[test]
fn a_pod_for_what_has_expired_is_noticed() {
    let over = |edits: i64| {
        let mut sandbox = owned("s", 3, 'p', 9);
        if let Object::Sandbox(sandbox) = &mut sandbox {
            let sandbox = Arc::make_mut(sandbox);
            let at = scene::epoch() + Duration::from_secs(60);
            sandbox.shutdown = Some(Shutdown { at, policy: ShutdownPolicy::Retain });
            sandbox.status.conditions.push(condition(Truth::False, names::EXPIRED, sandbox.meta.generation));
            sandbox.meta.generation += edits;
        }
        [sandbox]
    };
    let create = || {
        let mut pod = pod("s", 0, 3);
        if let Object::Pod(pod) = &mut pod {
            Arc::make_mut(pod).spec = Some(scene::sandbox("s").pod_spec);
        }
        let operation = Arc::new(Operation::Create(pod));
        let action = Action { id: ActionId(3), intent: Intent::CreatePod, operation };
        [Fact::Sent(Sent { process: 0, term: 1, listed: true, request: RequestId(3), action })]
    };
    assert_eq!(decided(&over(0), 9, &create()), Err("end-stays"));
    assert_eq!(decided(&over(1), 9, &create()), Ok(()));
    assert_eq!(decided(&over(0), 4, &create()), Ok(()));
}

/// INV-16, INV-22: unless the process has not seen how the Pod stands.
#[test]
fn a_sandbox_that_is_told_ready_of_a_pod_that_is_not_is_noticed() {
    let pod_that = |change: fn(&mut Pod)| {
        let Object::Pod(mut pod) = pod("s", 4, 3) else { unreachable!() };
        change(Arc::make_mut(&mut pod));
        [owned("s", 3, 'p', 9), Object::Pod(pod)]
    };
    let told = |objects: &[Object], seen| decided(objects, seen, &[says(names::READY, "DependenciesReady")]);
    assert_eq!(told(&pod_that(|_| {}), 9), Ok(()));
    assert_eq!(told(&pod_that(|pod| pod.ready = false), 9), Err("true-status"));
    assert_eq!(told(&pod_that(|pod| pod.ready = false), 5), Ok(()));
    assert_eq!(told(&pod_that(|pod| pod.meta.terminating = true), 9), Err("true-status"));
    assert_eq!(told(&pod_that(|pod| pod.ips.clear()), 9), Err("true-status"));
    assert_eq!(told(&[owned("s", 3, 'p', 9)], 9), Err("true-status"));
    let told = || says(names::READY, "DependenciesReady");
    let list = |kind| Fact::Relisted { process: 0, term: 1, kind, at: Version(9), objects: [].into() };
    let again = [told(), list(Kind::Sandbox), list(Kind::Pod), told()];
    assert_eq!(decided(&pod_that(|pod| pod.ready = false), 5, &again), Err("true-status"), "decided anew");
}

/// INV-22, GAP-009: what ends because it is deleted has not finished, and what runs is not suspended.
#[test]
fn an_end_or_a_pause_that_is_none_is_noticed() {
    let runs = [owned("s", 3, 'p', 9), pod("s", 4, 3)];
    assert_eq!(decided(&runs, 9, &[says(names::FINISHED, "PodFailed")]), Err("true-status"));
    assert_eq!(decided(&runs, 9, &[says(names::SUSPENDED, "PodTerminated")]), Err("true-status"));
    let mut ended = runs;
    if let Object::Pod(pod) = &mut ended[1] {
        Arc::make_mut(pod).phase = Phase::Failed;
    }
    assert_eq!(decided(&ended, 9, &[says(names::FINISHED, "PodFailed")]), Ok(()));
    ended[1].meta_mut().terminating = true;
    assert_eq!(decided(&ended, 9, &[says(names::FINISHED, "PodFailed")]), Err("true-status"));
}

/// META-014, SBX-087: of its own namespace, and none where there is no Service.
#[test]
fn a_service_that_is_told_of_at_another_address_is_noticed() {
    let told = |service: &str, address: &str| {
        let says = tells("Other", "Unclear", |status| {
            (status.service, status.service_fqdn) = (service.into(), address.into());
        });
        decided(&[sandbox_that(|_| {})], 9, &[says])
    };
    assert_eq!(told("s", "s.default.svc.cluster.local"), Ok(()));
    assert_eq!(told("s", "s.guests.svc.cluster.local"), Err("true-status"));
    assert_eq!(told("s", ""), Err("true-status"));
    assert_eq!(told("", "s.default.svc.cluster.local"), Err("true-status"));
}

/// INV-05: unless the process has not seen that it is going.
#[test]
fn a_pod_that_is_taken_while_it_goes_is_noticed() {
    let mut pod = pod("s", 4, 3);
    (pod.meta_mut().owner, pod.meta_mut().terminating) = (None, true);
    let target = Target { kind: Kind::Pod, key: pod.key().clone(), uid: Some(pod.uid()) };
    let Object::Sandbox(of) = owned("s", 3, 'p', 9) else { unreachable!("it is a sandbox") };
    let changes = vec![Change::Owner(Owner::new(Kind::Sandbox, &of.meta))];
    let operation = Arc::new(Operation::Patch(Patch { target, version: None, part: Part::Main, changes }));
    let action = Action { id: ActionId(3), intent: Intent::LabelPod, operation };
    let take = Fact::Sent(Sent { process: 0, term: 1, listed: true, request: RequestId(3), action });
    let taken = |pod: &Object, seen| decided(from_ref(pod), seen, from_ref(&take));
    assert_eq!(taken(&pod, 99), Err("hands-off"));
    assert_eq!(taken(&pod, 0), Ok(()));
    pod.meta_mut().terminating = false;
    assert_eq!(taken(&pod, 99), Ok(()));
}

/// INV-05: a policy goes with its template, and the next template of that name gets its own.
#[test]
fn a_network_policy_of_a_template_that_is_gone_is_left_to_the_collector() {
    let uid = Uid::from_bits(7);
    let key = scene::key(format!("{}{}", scene::TEMPLATE, names::NETWORK_POLICY_SUFFIX));
    let touch = |owner, seen| {
        let mut meta = Meta::draft(key.clone());
        let (kind, name) = (OwnerKind::Known(Kind::Template), scene::TEMPLATE.into());
        (meta.uid, meta.owner) = (uid, Some(Owner { kind, name, uid: owner }));
        let spec = Json::from(&serde_json::json!({ "podSelector": {} }));
        let policy = Object::NetworkPolicy(Arc::new(Dependent { meta, spec }));
        let target = Target { kind: Kind::NetworkPolicy, key: key.clone(), uid: Some(uid) };
        let (version, propagation) = (Some(Version(5)), Propagation::Background);
        let operation = Arc::new(Operation::Delete { target, version, propagation });
        let action = Action { id: ActionId(3), intent: Intent::DeleteNetworkPolicy, operation };
        let sent = Sent { process: 0, term: 1, listed: true, request: RequestId(3), action };
        decided(&[policy], seen, &[Fact::Sent(sent)])
    };
    let other = Uid::from_bits(8);
    assert_eq!(touch(scene::template().uid(), 9), Ok(()));
    assert_eq!(touch(other, 9), Err("hands-off"));
    assert_eq!(touch(other, 0), Ok(()), "it does not know the other template");
}

/// SCND-045: unless the process may not have seen that the Service is gone.
#[test]
fn a_sandbox_that_is_told_ready_without_its_service_is_noticed() {
    let told = |parts: &[Object]| {
        let served = [sandbox_that(|it| it.service = Some(true)), pod("s", 4, 3)];
        let objects: Vec<Object> = served.iter().chain(parts).cloned().collect();
        decided(&objects, 9, &[says(names::READY, "DependenciesReady")])
    };
    let Object::Sandbox(of) = owned("s", 3, 'p', 9) else { unreachable!("it is a sandbox") };
    let service = scene::part(Kind::Service, "s", Some(Owner::new(Kind::Sandbox, &of.meta)), &[]);
    assert_eq!(told(&[]), Err("true-status"));
    assert_eq!(told(&[service]), Ok(()));
}

/// SCND-012: until the server has answered, the Pod may still come.
#[test]
fn a_pause_while_a_pod_is_made_is_noticed() {
    let suspended = [sandbox_that(|it| it.suspended = true)];
    let operation = Arc::new(Operation::Create(pod("s", 0, 3)));
    let action = Action { id: ActionId(4), intent: Intent::CreatePod, operation };
    let request = RequestId(4);
    let create = Fact::Sent(Sent { process: 0, term: 1, listed: true, request, action: action.clone() });
    let refused = Fact::Answered { process: 0, action, outcome: Outcome::Unknown };
    // It did not know then that there was to be none.
    let paused = || tells(names::SUSPENDED, "PodTerminated", |_| {});
    assert_eq!(decided(&suspended, 4, &[create.clone(), paused()]), Err("true-status"));
    assert_eq!(decided(&suspended, 4, &[create, refused, paused()]), Ok(()));
}

/// SBX-025: what was known of a sandbox that has expired stays known.
#[test]
fn an_end_that_makes_a_sandbox_forget_how_it_was_is_noticed() {
    let told = |kind: &str, parts: &[Object]| {
        let said = |it: &mut Sandbox| {
            let said = condition(Truth::True, "SaidBefore", 0);
            it.status.conditions.push(Condition { kind: kind.into(), ..said });
        };
        let objects: Vec<Object> = [sandbox_that(said)].iter().chain(parts).cloned().collect();
        decided(&objects, 9, &[tells(names::READY, names::EXPIRED, |_| {})])
    };
    assert_eq!(told(names::FINISHED, &[]), Err("true-status"));
    assert_eq!(told(names::FINISHED, &[pod("s", 4, 3)]), Ok(()), "it has a Pod that has not finished");
    assert_eq!(told(names::SUSPENDED, &[pod("s", 4, 3)]), Err("true-status"));
    assert_eq!(told(names::POD_SCHEDULED, &[pod("s", 4, 3)]), Ok(()));
}

/// CND-014 to CND-021: people act by what they are told.
#[test]
fn a_message_that_does_not_go_with_its_reason_is_noticed() {
    let tells = |reason, message: &str| {
        let target = Target { kind: Kind::Claim, key: scene::key("a"), uid: Some(Uid::from_bits(1)) };
        let mut status = agent_sandbox_core::object::ClaimStatus::default();
        let ready = Condition { message: message.into(), ..condition(Truth::False, reason, 0) };
        status.conditions.push(ready);
        let changes = vec![Change::ClaimStatus(status)];
        let patch = Patch { target, version: Some(Version(5)), part: Part::Status, changes };
        let operation = Arc::new(Operation::Patch(patch));
        let action = Action { id: ActionId(3), intent: Intent::SetClaimStatus, operation };
        let request = RequestId(3);
        decided(
            &[told("NoMoreThanThat")],
            9,
            &[Fact::Sent(Sent { process: 0, term: 1, listed: true, request, action })],
        )
    };
    let right = [
        ("InvalidMetadata", "invalid additionalPodMetadata: no"),
        ("EnvVarsInjectionRejected", "environment variable injection rejected: no"),
        ("VolumeClaimTemplatesError", "failed to merge volume claim templates: no"),
        ("ReconcilerError", "Error seen: no"),
        ("SandboxMissing", "Sandbox does not exist"),
        (names::CLAIM_EXPIRED, "Claim expired. Sandbox cleanup initiated."),
    ];
    for (reason, message) in right {
        assert_eq!(tells(reason, message), Ok(()), "{reason}");
        assert_eq!(tells(reason, "no"), Err("true-status"), "{reason}");
    }
}

/// INV-18: unless the process has not seen all of the members.
#[test]
fn a_pool_that_tells_wrong_figures_is_noticed() {
    let members = [member("s", 3, true), member("t", 5, false)];
    assert_eq!(decided(&members, 9, &[figures(2, 1)]), Ok(()));
    assert_eq!(decided(&members, 9, &[figures(2, 2)]), Err("true-figures"));
    assert_eq!(decided(&members, 9, &[figures(1, 1)]), Err("true-figures"));
    assert_eq!(decided(&members, 5, &[figures(1, 1)]), Ok(()));
}

/// WPL-027: unless another process has told them before.
#[test]
fn figures_that_are_told_again_at_once_are_noticed() {
    let again = |millis, between: &[Fact]| {
        let first = [figures(0, 0)];
        let before = first.iter().chain(between).map(|fact| (0, fact.clone()));
        let facts: Vec<_> = before.chain([(millis, figures(0, 0))]).collect();
        decided_at(&[], 9, &facts)
    };
    assert_eq!(again(1000, &[]), Ok(()));
    assert_eq!(again(999, &[]), Err("true-figures"));
    assert_eq!(again(999, &[Fact::Crashed { process: 0, term: 1 }]), Ok(()));
}

/// INV-08: even where it is the same again.
#[test]
fn a_member_for_a_pool_that_has_all_of_them_is_noticed() {
    let two = [member("s", 3, true), member("t", 5, false)];
    let make = || [creation(owned("u", 0, 'p', 9))];
    assert_eq!(decided(&two, 9, &make()), Err("right-make"));
    assert_eq!(decided(&two[..1], 9, &make()), Ok(()));
    assert_eq!(decided(&two, 5, &make()), Ok(()), "it does not know them all");
}

/// INV-08: nobody knows then what has gone, nor what others have made. What was asked for before may be there.
#[test]
fn a_member_that_is_made_blindly_is_noticed() {
    let make = || creation(owned("t", 0, 'p', 9));
    let loses = |kind| Fact::WatchLost(0, kind);
    assert_eq!(decided(&[], 9, &[loses(Kind::Sandbox), make()]), Err("right-make"));
    assert_eq!(decided(&[], 9, &[loses(Kind::Pool), make()]), Ok(()));
    assert_eq!(decided(&[], 9, &[make(), loses(Kind::Sandbox), make()]), Ok(()));
}

/// INV-26: unless its process does not know what its template allows.
#[test]
fn a_record_for_a_claim_that_cannot_be_served_is_noticed() {
    let variable = |container: &str| {
        let env = vec![Variable { name: "A".into(), value: "1".into(), container: container.into() }];
        let mut claim = scene::claim_that_wishes("o", "p", Some(Wishes { env, ..Wishes::default() }));
        claim.meta_mut().uid = Uid::from_bits(3);
        [claim]
    };
    let cold = || [record(Intent::RecordColdStart, "o", 3, "o")];
    assert_eq!(decided(&variable(""), 9, &cold()), Ok(()));
    assert_eq!(decided(&variable("nobody"), 9, &cold()), Err("right-make"));
    assert_eq!(decided(&variable("nobody"), 0, &cold()), Ok(()));
}

/// Claim `a`, which was told that it is not ready for this reason.
fn told(reason: &str) -> Object {
    let mut claim = claim("a", 1, None);
    if let Object::Claim(claim) = &mut claim {
        Arc::make_mut(claim).status.conditions.push(condition(Truth::False, reason, 0));
    }
    claim
}

/// Returns which property is broken by requests of a process that has seen everything up to a version: a template, a pool
/// of two, claim `a` and, a second later, claim `b`, then these objects, each with the version of its place.
pub(super) fn decided(objects: &[Object], seen: u64, requests: &[Fact]) -> Result<(), &'static str> {
    let at_once: Vec<_> = requests.iter().map(|fact| (0, fact.clone())).collect();
    decided_at(objects, seen, &at_once)
}

/// The same of requests each of which comes so many milliseconds after the beginning.
pub(super) fn decided_at(
    objects: &[Object],
    seen: u64,
    requests: &[(u64, Fact)],
) -> Result<(), &'static str> {
    let (grace, patience) = (Duration::from_secs(2), Duration::from_secs(300));
    let promises = Promises {
        grace,
        patience,
        ended_patience: Duration::from_secs(30),
        settle: Duration::ZERO,
        figures_apart: Duration::from_secs(1),
        in_flight_max: Some(2),
        evicts_members: Some(true),
        dates_claims: None,
    };
    let mut checkers =
        Checkers::of_effects().and_of_setup(promises, Pace::default()).and_of_sandboxes(promises);
    let mut store = Store::default();
    let mut later = claim("b", 2, None);
    later.meta_mut().created = Wall::from_micros(1_000_000);
    let first = [scene::template(), pool(scene::pool("p", 2)), claim("a", 1, None), later];
    for seen in numbered(first.into_iter().chain(objects.iter().cloned())) {
        let (version, new) = (seen.version(), seen.object().clone());
        let commit = Commit { version, old: store.put(new.clone()), new: Some(new), by: None };
        checkers.on_fact(&Fact::Committed(commit), &store).expect("the objects are right");
    }
    for kind in Kind::ALL {
        let fact = Fact::Relisted { process: 0, term: 1, kind, at: Version(seen), objects: [].into() };
        checkers.on_fact(&fact, &store).expect("a list breaks nothing");
    }
    requests
        .iter()
        .try_for_each(|(at, fact)| {
            checkers.on_clock(Mono::from_micros(at * 1000));
            checkers.on_fact(fact, &store)
        })
        .map_err(|violation| violation.property.name)
}

/// The first sandbox, `s`, that is otherwise.
pub(super) fn sandbox_that(change: impl FnOnce(&mut Sandbox)) -> Object {
    let Object::Sandbox(mut sandbox) = owned("s", 3, 'p', 9) else { unreachable!("it is a sandbox") };
    change(Arc::make_mut(&mut sandbox));
    Object::Sandbox(sandbox)
}

/// A request to record a sandbox on a claim: `a` is of version 3, `b` of version 4.
pub(super) fn record(intent: Intent, claim: &str, uid: u128, sandbox: &str) -> Fact {
    let target = Target { kind: Kind::Claim, key: scene::key(claim), uid: Some(Uid::from_bits(uid)) };
    let changes = vec![Change::Annotation(names::SANDBOX_NAME.into(), Some(sandbox.into()))];
    let version = Some(Version(uid as u64 + 2));
    let operation = Arc::new(Operation::Patch(Patch { target, version, part: Part::Main, changes }));
    let action = Action { id: ActionId(3), intent, operation };
    Fact::Sent(Sent { process: 0, term: 1, listed: true, request: RequestId(3), action })
}

/// A request to say this of the first sandbox, `s`, whose Pod is at 10.0.0.4.
pub(super) fn says(kind: &str, reason: &str) -> Fact {
    tells(kind, reason, |status| {
        (status.pod_ips, status.node) = (vec!["10.0.0.4".into()], "node".into());
    })
}

/// A request to say this of the first sandbox, `s`, which has no Pod, and something else.
pub(super) fn tells(kind: &str, reason: &str, change: impl FnOnce(&mut SandboxStatus)) -> Fact {
    let target = Target { kind: Kind::Sandbox, key: scene::key("s"), uid: Some(Uid::from_bits(3)) };
    let mut status = SandboxStatus::default();
    change(&mut status);
    status.conditions.push(Condition {
        kind: kind.into(),
        status: if reason == names::EXPIRED { Truth::False } else { Truth::True },
        reason: reason.into(),
        message: "".into(),
        observed: 1,
        changed: Wall::default(),
    });
    let changes = vec![Change::SandboxStatus(status)];
    let patch = Patch { target, version: Some(Version(5)), part: Part::Status, changes };
    let action = Action {
        id: ActionId(3),
        intent: Intent::SetSandboxStatus,
        operation: Arc::new(Operation::Patch(patch)),
    };
    Fact::Sent(Sent { process: 0, term: 1, listed: true, request: RequestId(3), action })
}

/// A request to say of the pool, as it is first, how many members it has, and how many of them are ready.
fn figures(replicas: u32, ready: u32) -> Fact {
    let target = Target { kind: Kind::Pool, key: scene::key("p"), uid: Some(Uid::from_bits(9)) };
    let status = PoolStatus { replicas, ready, selector: "".into(), observed: 0 };
    let changes = vec![Change::PoolStatus(status)];
    let patch = Patch { target, version: Some(Version(2)), part: Part::Status, changes };
    let operation = Arc::new(Operation::Patch(patch));
    let action = Action { id: ActionId(3), intent: Intent::SetPoolStatus, operation };
    Fact::Sent(Sent { process: 0, term: 1, listed: true, request: RequestId(3), action })
}

pub(super) fn pool(mut pool: Object) -> Object {
    pool.meta_mut().uid = Uid::from_bits(9);
    pool
}

/// A member of the pool, made from the template.
pub(super) fn member(name: &str, uid: u128, ready: bool) -> Object {
    let mut member = owned(name, uid, 'p', 9);
    if let Object::Sandbox(sandbox) = &mut member {
        let sandbox = Arc::make_mut(sandbox);
        let hash = names::name_hash(scene::TEMPLATE);
        sandbox.meta.labels.insert(names::TEMPLATE_REF_HASH.into(), hash);
        let told = ready.then(|| condition(Truth::True, "DependenciesReady", 0));
        sandbox.status.conditions.extend(told);
    }
    member
}

pub(super) fn condition(status: Truth, reason: &str, observed: i64) -> Condition {
    let (kind, reason) = (names::READY.into(), reason.into());
    Condition { kind, status, reason, message: "".into(), observed, changed: Wall::default() }
}
