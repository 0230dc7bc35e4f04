//! Decides what the agent-sandbox controllers do.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod action;
pub mod config;
pub mod event;
pub mod id;
pub mod machine;
#[cfg(feature = "mutants")]
pub mod mutant;
pub mod names;
pub mod object;
pub mod patch;
pub mod time;
pub mod trace;
pub mod wire;
