//! Decides what the agent-sandbox controllers do.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod action;
pub mod config;
pub mod event;
pub mod fingerprint;
pub mod id;

mod agenda;
mod ledger;
pub mod machine;
mod make;
mod members;
#[cfg(feature = "mutants")]
pub mod mutant;
pub mod names;
pub mod object;
pub mod patch;
mod rules;
mod shared;
mod state;
pub mod time;
pub mod trace;
mod view;
pub mod wire;
