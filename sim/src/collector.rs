//! The garbage collector: it takes what belongs to nobody any more, and sees to what is deleted before or after its owner.
//!
//! It acts on the newest state, as if it had no cache. The real one keeps a graph that lags, but reads an object and its owners
//! again before it deletes. `tests/tests/collector.rs` gives both the same objects and the same deletes.

use agent_sandbox_core::id::{Kind, Uid};
use agent_sandbox_core::object::{Object, OwnerKind};

use crate::api_server::kept::{FOREGROUND, Kept, ORPHAN, VOLUME};
use crate::api_server::{ApiServer, Commit, Commits, Deletion, Writer};
use crate::step::Step;
use crate::store::Store;

/// The kinds that have owners, so that the garbage collector may take them.
pub(crate) const OWNED: [Kind; 5] =
    [Kind::Sandbox, Kind::Pod, Kind::Service, Kind::VolumeClaim, Kind::NetworkPolicy];

/// Adds to `steps` what the garbage collector does next.
pub(crate) fn enabled(store: &Store, steps: &mut Vec<Step>) {
    for kind in Kind::ALL {
        let found = store.list(kind).iter().filter(|object| is_collectable(store, object));
        steps.extend(found.map(|object| Step::Collect(kind, object.uid())));
    }
}

/// Does all that the garbage collector has to do, one after the other: `choose` says which of so many comes next.
pub fn collect_all(server: &mut ApiServer, mut choose: impl FnMut(usize) -> usize) {
    let mut steps = Vec::new();
    loop {
        steps.clear();
        enabled(server.store(), &mut steps);
        if steps.is_empty() {
            return;
        }
        if let Step::Collect(kind, uid) = steps[choose(steps.len())] {
            collect(server, kind, uid);
        }
    }
}

/// Returns whether the garbage collector has something to do about an object: an orphan goes; what belongs to an object that
/// is being deleted goes before it, or is left to nobody; and that object goes once nothing names it as its owner.
pub(crate) fn is_collectable(store: &Store, object: &Object) -> bool {
    if !object.meta().terminating {
        return store.is_orphan(object) || owner_that_waits(store, object).is_some();
    }
    match finalizer_of_cluster(object) {
        None => false,
        // The controller that protects volumes in use lets it go.
        Some(VOLUME) => true,
        Some(_) => !owns_anything(store, object),
    }
}

/// Returns the finalizer of a terminating object that the cluster takes off next.
fn finalizer_of_cluster(object: &Object) -> Option<&'static str> {
    let kept = Kept::of(object.meta());
    [FOREGROUND, ORPHAN, VOLUME].into_iter().find(|finalizer| kept.has(finalizer))
}

fn owns_anything(store: &Store, object: &Object) -> bool {
    Kind::ALL.iter().any(|kind| store.owned_by(*kind, object.uid()).next().is_some())
}

/// Returns the owner of an object if it is being deleted and waits until this object is not its own any more.
fn owner_that_waits<'a>(store: &'a Store, object: &Object) -> Option<&'a Object> {
    let owner = owner(store, object).filter(|owner| owner.meta().terminating)?;
    finalizer_of_cluster(owner).is_some_and(|finalizer| finalizer != VOLUME).then_some(owner)
}

/// Returns the owner of an object.
fn owner<'a>(store: &'a Store, object: &Object) -> Option<&'a Object> {
    let owner = object.meta().owner.as_ref()?;
    if let OwnerKind::Known(kind) = owner.kind { store.find(kind, owner.uid) } else { None }
}

/// Returns what the garbage collector may be able to take after a change: the object, what it owns, and who owns it, or did
/// before.
pub(crate) fn collectable_after(store: &Store, change: &Commit) -> Vec<(Kind, Uid)> {
    let changed = change.object();
    let itself = store.find(changed.kind(), changed.uid());
    // What an object owns that stays goes only if that is deleted itself: a pool has a thousand that are not, and changes often.
    let stays = itself.is_some_and(|object| !object.meta().terminating);
    let owned = Kind::ALL.into_iter().flat_map(|kind| store.owned_by(kind, changed.uid()));
    let owned = owned.filter(|object| !stays || object.meta().terminating);
    let owner = owner(store, changed);
    let was_owned = change.old.as_ref().filter(|old| old.meta().owner != changed.meta().owner);
    let former = was_owned.and_then(|old| self::owner(store, old));
    let near = owned.chain(owner).chain(former).chain(itself);
    near.filter(|object| is_collectable(store, object)).map(|object| (object.kind(), object.uid())).collect()
}

/// Does what the garbage collector has to do about an object. It deletes as a user would: a Pod ends gracefully.
///
/// Reading the object and deleting it are one step, because the garbage collector deletes with the version
/// that it has read. Source: `garbagecollector.go`, `attemptToDeleteItem`, since Kubernetes 1.33.
pub(crate) fn collect(server: &mut ApiServer, kind: Kind, uid: Uid) -> Commits {
    let Some(object) = server.store().find(kind, uid) else { return Commits::default() };
    if !is_collectable(server.store(), object) {
        return Commits::default();
    }
    let key = object.key().clone();
    if object.meta().terminating {
        let finalizer = finalizer_of_cluster(object).unwrap_or_default();
        return [server.release(kind, uid, finalizer, Writer::Collector), None];
    }
    let waits_for = owner_that_waits(server.store(), object).and_then(finalizer_of_cluster);
    if waits_for == Some(ORPHAN) {
        let commit = server.update(kind, &key, Writer::Collector, |object| object.meta_mut().owner = None);
        return [commit, None];
    }
    // What blocks the end of its owner, and owns something itself, goes in the foreground, too.
    let is_foreground = waits_for == Some(FOREGROUND) && owns_anything(server.store(), object);
    let deletion = if is_foreground { Deletion::FOREGROUND } else { Deletion::default() };
    server.delete_now(kind, &key, deletion, Writer::Collector)
}

#[cfg(test)]
mod tests {
    use agent_sandbox_core::action::Operation;
    use agent_sandbox_core::object::Owner;
    use agent_sandbox_core::time::Wall;

    use super::*;
    use crate::api_server::Dependents;
    use crate::scene;

    #[test]
    fn what_loses_its_owner_is_collected_and_nothing_else() {
        let (mut server, _, child) = claim_with_a_pod();
        assert!(collect(&mut server, Kind::Pod, child)[0].is_none());
        server.delete_now(Kind::Claim, &scene::key("c"), Deletion::default(), Writer::User);
        assert_eq!(steps(&server), [Step::Collect(Kind::Pod, child)]);
        assert!(collect(&mut server, Kind::Pod, child)[0].is_some());
        assert!(server.store().list(Kind::Pod).is_empty());
    }

    #[test]
    fn what_an_object_owned_that_leaves_orphans_stays_and_belongs_to_nobody() {
        let (mut server, claim, child) = claim_with_a_pod();
        let orphan = Deletion { dependents: Some(Dependents::Orphan), grace: None };
        server.delete_now(Kind::Claim, &scene::key("c"), orphan, Writer::User);
        assert!(collect(&mut server, Kind::Claim, claim)[0].is_none(), "the Pod is still its own");
        assert!(collect(&mut server, Kind::Pod, child)[0].is_some());
        assert!(collect(&mut server, Kind::Claim, claim)[0].is_some());
        assert!(server.store().find(Kind::Claim, claim).is_none());
        let pod = server.store().find(Kind::Pod, child).expect("it stays");
        assert!(pod.meta().owner.is_none() && !pod.meta().terminating);
        assert_eq!(steps(&server), []);
    }

    #[test]
    fn what_an_object_owns_that_goes_in_the_foreground_goes_first() {
        let (mut server, claim, child) = claim_with_a_pod();
        server.delete_now(Kind::Claim, &scene::key("c"), Deletion::FOREGROUND, Writer::User);
        assert!(collect(&mut server, Kind::Claim, claim)[0].is_none(), "the Pod is still there");
        assert!(collect(&mut server, Kind::Pod, child)[0].is_some());
        assert!(collect(&mut server, Kind::Claim, claim)[0].is_some());
        assert_eq!(steps(&server), []);
    }

    fn claim_with_a_pod() -> (ApiServer, Uid, Uid) {
        let mut server = ApiServer::default();
        let claim = create(&mut server, scene::claim("c", "p"));
        let owner = server.store().find(Kind::Claim, claim).expect("just created").clone();
        let owner = Owner::new(Kind::Claim, owner.meta());
        let child = create(&mut server, scene::part(Kind::Pod, "a", Some(owner), &[]));
        (server, claim, child)
    }

    fn steps(server: &ApiServer) -> Vec<Step> {
        let mut steps = Vec::new();
        enabled(server.store(), &mut steps);
        steps
    }

    fn create(server: &mut ApiServer, object: Object) -> Uid {
        let (_, [commit, _]) = server.handle(&Operation::Create(object), Writer::User, Wall::default());
        commit.expect("the name is free").object().uid()
    }
}
