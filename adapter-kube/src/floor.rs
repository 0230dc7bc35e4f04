//! The newest version that the API server has shown of each kind. A list below it comes from an older store.

use std::sync::atomic::{AtomicU64, Ordering};

use agent_sandbox_core::id::{Kind, Version};

/// Kind → the newest version shown in any answer or watch. Only rises.
///
/// Versions of a store rise for ever, and a list without `resourceVersion` reflects at least everything that was
/// committed when it was asked for. So a list below the floor means that the store was set back to a backup, and
/// that what the process remembers of it never happened.
#[derive(Debug, Default)]
pub struct Floor([AtomicU64; Kind::ALL.len()]);

impl Floor {
    /// Notes that the server has shown `version`.
    pub fn raise(&self, kind: Kind, version: Version) {
        self.0[kind.index()].fetch_max(version.0, Ordering::Relaxed);
    }

    /// Returns the newest version shown.
    pub fn of(&self, kind: Kind) -> Version {
        Version(self.0[kind.index()].load(Ordering::Relaxed))
    }
}
