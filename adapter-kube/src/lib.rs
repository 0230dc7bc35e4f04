//! The agent-sandbox controllers for a real API server: a thin shell around `agent-sandbox-core`.
//!
//! One task, the [`driver`], owns the core's machine. [`watch`] tasks turn what the API server shows into events for
//! it. Each action that it hands out becomes one task that [`apply`] turns into one request, and the answer goes back
//! as one event. There is no queue and no retry out here: the core bounds, orders and repeats its actions itself, so
//! that the simulator sees all of it.
//!
//! Around that loop stand leadership, metrics, probes, logs and the recorder. None of them decides
//! anything about an object.
#![forbid(unsafe_code)]

pub mod apply;
pub mod args;
pub mod built;
pub mod clock;
pub mod connect;
pub mod crd;
pub mod domains;
pub mod driver;
pub mod elect;
pub mod floor;
pub mod health;
pub mod lease;
pub mod logs;
pub mod metrics;
mod process;
mod random;
pub mod record;
pub mod run;
pub mod serve;
pub mod spans;
pub mod watch;
