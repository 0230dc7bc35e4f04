//! The command line of the simulator.

mod cli;

use std::process::ExitCode;

/// A search makes and drops a million small values a second.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
