//! Decides what the agent-sandbox controllers do: facts in, actions out.
//!
//! There is no clock in here, no input or output, no thread, no chance and no hash order, so the same facts give the
//! same actions in a simulator, in a test, in a replay and on a cluster.
//!
//! # The story of a claim
//!
//! A *pool* keeps *members* ready: sandboxes that it owns, made from its template, each with its Pod. A *claim* names
//! a pool and wants one sandbox, now.
//!
//! 1. **Record.** Of the claims that wait, the oldest gets the best member. Its name is written on the claim first,
//!    locked to the claim's version. A claim has one record, so it can have one sandbox.
//! 2. **Transfer.** Then the member gets its new owner, locked to the version on which the pool owned it. A sandbox has
//!    one owner, so it can serve one claim. Two leaders may both try; one of the locks fails.
//! 3. **Tell.** One status write says which sandbox, which addresses, and Ready.
//! 4. **Refill.** The pool makes another member, behind the claims that still wait.
//!
//! A claim for which no member is left records *its own name* and gets a sandbox of that name. A process that dies in
//! between leaves a record that the next one reads and completes.
//!
//! # How it is decided
//!
//! [`Machine::handle_event`](machine::Machine::handle_event) takes a fact into the *state*: the newest version of each
//! object, seen by a watch or in the answer to an own write, whichever came first. So there is no stale cache to decide
//! from, and nothing to wait for after a write. What is gone leaves a tombstone, so that a late report cannot revive it.
//! Each change *touches* the objects whose rules read it.
//!
//! Touched objects stand on the *agenda*, the most urgent first: what a waiting claim needs, then refill, then figures
//! and labels. [`Machine::poll_action`](machine::Machine::poll_action) takes the next one while there is a place in
//! flight, runs a *rule* on it and hands out what the rule says. A decision is made from the view of that moment; none
//! grows old in a queue.
//!
//! An action that was handed out is on the *ledger* until it is settled. An answer settles it, except "no answer": then
//! the write may still take effect, and only the same write may be repeated, until its effect is seen or its
//! precondition cannot hold any more.
//!
//! Rules are one file each, under `rules`: what they read, what they emit, what they never do.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

// In reading order.
pub mod machine;
pub mod event;
pub mod action;
pub mod object;
mod labels;
pub mod wishes;
pub mod patch;
pub mod id;
pub mod time;
pub mod pace;
pub mod config;
mod state;
mod shared;
mod members;
mod ledger;
mod agenda;
mod view;
mod rules;
mod same;
mod make;
mod parts;
mod status;
mod table;
mod outfit;
mod metadata;
pub mod names;
pub mod wire;
pub mod trace;
pub mod fingerprint;
pub mod mutant;
