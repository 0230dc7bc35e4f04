//! Values that copies share until one of them changes.

use alloc::sync::Arc;
use core::ops::{Deref, DerefMut};

/// A value that is shared with the copies of its holder, until it is written.
///
/// A machine that nobody copies pays one comparison for a write. A copy costs one counter for each value, whatever its
/// size: searches that go back to an earlier situation need that.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared<T>(Arc<T>);

impl<T> From<T> for Shared<T> {
    fn from(value: T) -> Self {
        Self(Arc::new(value))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}
