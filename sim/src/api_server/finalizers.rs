//! Finalizers of others: what bears one stays until they take it off, however it is deleted.
//!
//! The core knows nothing of finalizers, so an annotation stands for one. Its value says whether anything else keeps the
//! object.

use agent_sandbox_core::object::{Meta, Object};

use super::terminate;

/// The annotation that stands for a finalizer.
pub(crate) const FINALIZER: &str = "example.com/finalizer";

/// Its value while the object lives, or something else has to happen before it goes.
const PUT: &str = "put";

/// Its value when nothing else keeps the object.
const LAST: &str = "last";

/// Puts a finalizer on an object, unless it is going: the server refuses that.
pub(crate) fn put(object: &mut Object) {
    let meta = object.meta_mut();
    if !meta.terminating && !bears_one(meta) {
        meta.annotations.insert(FINALIZER.into(), PUT.into());
    }
}

/// Returns whether an object bears a finalizer.
pub(crate) fn bears_one(meta: &Meta) -> bool {
    meta.annotations.contains_key(FINALIZER)
}

/// Returns whether nothing but a finalizer keeps an object.
pub(crate) fn is_last(meta: &Meta) -> bool {
    meta.annotation(FINALIZER).is_some_and(|value| &**value == LAST)
}

/// Does to an object that bears a finalizer what its removal is to others.
pub(crate) fn leave(object: &mut Object) {
    terminate(object);
    object.meta_mut().annotations.insert(FINALIZER.into(), LAST.into());
}
