//! Reads a small world, its users and all its trouble from bytes; every property must hold.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| agent_sandbox_sim::fuzz::check(bytes));
