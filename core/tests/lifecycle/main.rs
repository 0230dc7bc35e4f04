//! Stories through the public API, in life-cycle order, against a server that answers at once.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod claims;
mod dying;
mod losing;
mod memory;
mod pacing;
mod pools;
mod sandboxes;
mod telling;
mod world;
