//! The only chance in the controller: numbers that no other process has.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Returns such a number.
///
/// Source: the standard library keys each thread's hashers with random bytes of the operating system.
pub(crate) fn number() -> u64 {
    RandomState::new().build_hasher().finish()
}
