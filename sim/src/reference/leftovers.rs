//! What may be there at all in the end.

use agent_sandbox_core::id::Kind;
use agent_sandbox_core::names;
use agent_sandbox_core::object::Object;

use crate::collector;
use crate::scene;
use crate::store::Store;

/// Returns the first object that nobody owns or wants any more.
///
/// INV-20: what nobody owns costs money for ever.
pub fn difference(store: &Store) -> Option<String> {
    let all = collector::OWNED.into_iter().flat_map(|kind| store.list(kind));
    // Users make sandboxes and Pods for themselves, and those have no owner.
    let is_made = |object: &&Object| {
        let meta = object.meta();
        meta.label(names::LAUNCH_TYPE).is_some() && meta.annotation(scene::TAKEN).is_none()
    };
    let mut left = all.filter(|object| match object.meta().owner {
        None => is_made(object),
        Some(_) => store.is_orphan(object) || is_of_claim(object),
    });
    left.next().map(|object| {
        let owner = object.meta().owner.as_ref().map_or("nobody", |owner| &owner.name);
        format!("{} {} is left over, owned by {owner}", object.kind(), object.key().name)
    })
}

/// An older release made a network policy for each claim (DEF-034).
fn is_of_claim(object: &Object) -> bool {
    let claim = object.meta().owner.as_ref().filter(|_| object.meta().owner_of_kind(Kind::Claim).is_some());
    let name = claim.map(|claim| format!("{}{}", claim.name, names::NETWORK_POLICY_SUFFIX));
    object.kind() == Kind::NetworkPolicy && name.is_some_and(|name| *name == *object.key().name)
}
