//! What a process makes or hands over is judged at once.

use super::*;
use crate::api_server::Writer;

/// INV-24.
#[test]
fn a_member_without_its_marks_is_noticed() {
    let whole = || Object::Sandbox(Arc::new(member()));
    assert_eq!(made(None, whole()), Ok(()));
    for key in [names::WARM_POOL, names::LAUNCH_TYPE, names::CREATED_BY, names::TEMPLATE_REF_HASH] {
        let mut member = whole();
        member.meta_mut().labels.remove(key);
        assert_eq!(made(None, member), Err("born-whole"), "{key}");
    }
    let mut unnoted = whole();
    unnoted.meta_mut().annotations.remove(names::POD_NAME);
    assert_eq!(made(None, unnoted), Err("born-whole"));
    let mut untold = member();
    untold.pod.labels.remove(names::WARM_POOL);
    assert_eq!(made(None, Object::Sandbox(Arc::new(untold))), Err("born-whole"));
}

/// INV-24: a claim's user finds its sandbox by the claim's uid, and its pool does not find it any more.
#[test]
fn a_member_that_changes_hands_without_its_marks_is_noticed() {
    let adopt = |change: fn(&mut Sandbox)| {
        let mut sandbox = member();
        let uid: agent_sandbox_core::id::Text = Uid::from_bits(1).to_string().into();
        for key in [names::WARM_POOL, names::TEMPLATE_HASH, names::POD_TEMPLATE_HASH] {
            sandbox.meta.labels.remove(key);
        }
        sandbox.meta.labels.insert(names::CLAIM_UID.into(), uid.clone());
        sandbox.pod.labels.insert(names::CLAIM_UID.into(), uid);
        let kind = OwnerKind::Known(Kind::Claim);
        sandbox.meta.owner = Some(Owner { kind, name: "a".into(), uid: Uid::from_bits(1) });
        change(&mut sandbox);
        made(Some(Object::Sandbox(Arc::new(member()))), Object::Sandbox(Arc::new(sandbox)))
    };
    assert_eq!(adopt(|_| {}), Ok(()));
    assert_eq!(adopt(|it| _ = it.meta.labels.remove(names::CLAIM_UID)), Err("born-whole"));
    assert_eq!(adopt(|it| _ = it.pod.labels.remove(names::CLAIM_UID)), Err("born-whole"));
    let keep: fn(&mut Sandbox) = |it| _ = it.meta.labels.insert(names::WARM_POOL.into(), "x".into());
    assert_eq!(adopt(keep), Err("born-whole"));
    let movable: fn(&mut Sandbox) =
        |it| _ = it.pod.annotations.insert(names::SAFE_TO_EVICT.into(), "true".into());
    assert_eq!(adopt(movable), Err("born-whole"));
}

/// INV-24: nobody finds a Pod without the label of its sandbox, and a Service that selects others is not its.
#[test]
fn a_part_without_the_label_of_its_sandbox_is_noticed() {
    let hash = names::name_hash("s");
    let mut whole = pod("s", 4, 3);
    whole.meta_mut().labels.insert(names::SANDBOX_NAME_HASH.into(), hash.clone());
    assert_eq!(made(None, whole), Ok(()));
    assert_eq!(made(None, pod("s", 4, 3)), Err("born-whole"));
    let kind = OwnerKind::Known(Kind::Sandbox);
    let owner = Owner { kind, name: "s".into(), uid: Uid::from_bits(3) };
    let labels = [(names::SANDBOX_NAME_HASH, hash)];
    for kind in [Kind::Service, Kind::VolumeClaim] {
        let judged = made(None, scene::part(kind, "s", None, &labels));
        assert_eq!(judged, Err("born-whole"), "it belongs to nobody");
    }
    assert_eq!(made(None, scene::part(Kind::VolumeClaim, "s", Some(owner.clone()), &labels)), Ok(()));
    assert_eq!(made(None, scene::part(Kind::Service, "s", Some(owner), &labels)), Err("born-whole"));
}

/// WPL-043: unless it is the same one, asked for again because the answer was lost.
#[test]
fn a_member_that_is_called_like_another_is_noticed() {
    let asks = |process| {
        let Fact::Sent(sent) = creation(owned("s", 0, 'p', 9)) else { unreachable!("it is a request") };
        Fact::Sent(Sent { process, ..sent })
    };
    let judge = |facts: &[Fact]| {
        let (mut checkers, store) = (Checkers::of_effects().only(&["born-whole"]), Store::default());
        let judged = facts.iter().try_for_each(|fact| checkers.on_fact(fact, &store));
        judged.map_err(|violation| violation.property.name)
    };
    assert_eq!(judge(&[asks(0), Fact::Deposed { process: 0, term: 1 }, asks(0)]), Ok(()));
    assert_eq!(judge(&[asks(0), asks(1)]), Err("born-whole"));
    assert_eq!(judge(&[asks(0), Fact::Started(0), asks(0)]), Err("born-whole"));
}

/// A member of the pool `p`, as it is made.
fn member() -> Sandbox {
    let Object::Sandbox(sandbox) = owned("s", 3, 'p', 9) else { panic!("no sandbox") };
    let mut sandbox = Sandbox::clone(&sandbox);
    let hash = names::name_hash("owner");
    let marks = [(names::WARM_POOL, hash), (names::TEMPLATE_REF_HASH, names::name_hash(scene::TEMPLATE))];
    for labels in [&mut sandbox.meta.labels, &mut sandbox.pod.labels] {
        labels.extend(marks.iter().map(|(key, value)| ((*key).into(), value.clone())));
    }
    let more = [(names::LAUNCH_TYPE, "warm"), (names::CREATED_BY, "controller")];
    sandbox.meta.labels.extend(more.map(|(key, value)| (key.into(), value.into())));
    sandbox.meta.annotations.insert(names::POD_NAME.into(), "s".into());
    sandbox
}

/// Returns which property is broken when a process makes something, or makes it of something.
fn made(old: Option<Object>, new: Object) -> Result<(), &'static str> {
    let by = Some(Writer::Process { process: 0, term: 1, intent: Intent::CreateMember });
    let mut store = Store::default();
    store.put(new.clone());
    let commit = Commit { version: Version(2), old, new: Some(new), by };
    let mut checkers = Checkers::of_effects().only(&["born-whole"]);
    checkers.on_fact(&Fact::Committed(commit), &store).map_err(|violation| violation.property.name)
}
