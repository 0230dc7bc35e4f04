//! A seeded world around the agent-sandbox controllers: an API server, a cluster, users, and everything that
//! goes wrong between them.
//!
//! The controllers are state machines: facts in, actions out. Here they run against a model of the API server
//! in virtual time. Every moment at which something could go either way is one draw from [`choices`], so a
//! seed is a story that can be told again. The [`world`] is a value that changes by [`step`]s; drivers choose
//! the steps.

pub mod api_server;
pub mod campaign;
pub mod checkers;
pub mod choices;
mod cluster;
pub mod collector;
pub mod controller;
pub mod engines;
pub mod explore;
pub mod faults;
pub mod fuzz;
pub mod matrix;
mod namespace;
pub mod plan;
pub mod process;
pub mod reference;
pub mod replay;
pub mod run;
pub mod saved;
pub mod scenario;
pub mod scene;
pub mod shrink;
pub mod span;
pub mod stats;
pub mod step;
pub mod store;
pub mod story;
pub mod tale;
pub mod tape;
pub mod timed;
pub mod timeline;
pub mod trace;
mod users;
pub mod workload;
mod watch_law;
pub mod world;
