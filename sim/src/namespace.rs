//! A namespace that somebody has deleted: nothing can be created in it any more, and everything in it goes.

use agent_sandbox_core::id::{Key, Kind};

use crate::api_server::{ApiServer, Commit, Deletion, Writer};

/// Returns whether anything of a kind is left in the namespace that is going.
pub(crate) fn is_swept(server: &ApiServer, kind: Kind) -> bool {
    left(server, kind).is_empty()
}

/// Deletes everything of a kind in it, as its controller does again and again until nothing is left.
///
/// Source: `namespaced_resources_deleter.go`: one collection after the other, in no particular order.
pub(crate) fn sweep(server: &mut ApiServer, kind: Kind) -> Vec<Commit> {
    let keys = left(server, kind);
    let commits =
        keys.iter().flat_map(|key| server.delete_now(kind, key, Deletion::default(), Writer::Collector));
    commits.flatten().collect()
}

fn left(server: &ApiServer, kind: Kind) -> Vec<Key> {
    let Some(ending) = server.ending() else { return Vec::new() };
    let keys = server.store().list(kind).iter().map(|object| object.key());
    keys.filter(|key| key.namespace == *ending).cloned().collect()
}
