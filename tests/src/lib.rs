//! What the cluster tests share: a real Kubernetes control plane, started for the test and gone after it.
//!
//! The tests themselves are in `tests/tests/*.rs`. Each begins with
//!
//! ```no_run
//! # use agent_sandbox_tests::control_plane;
//! let Some(plane) = control_plane::shared_or_skip("the_name_of_the_test") else { return };
//! ```
//!
//! so that it runs where the programs are at hand and says how to get them where they are not. It then works in a
//! namespace of its own, see [`cluster::Namespace`].

pub mod apicheck;
pub mod cluster;
pub mod control_plane;
pub mod controller;
pub mod documents;
pub mod objects;
pub mod watch_log;
