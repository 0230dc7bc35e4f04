//! The controller's binary: flags in, exit code out.

use std::process::ExitCode;

use agent_sandbox_controller::args::CommandLine;
use agent_sandbox_controller::{built, logs, run};
use anyhow::Context;

fn main() -> anyhow::Result<ExitCode> {
    let CommandLine { args, without_effect } = CommandLine::read();
    if args.version {
        println!("{}", built::describe());
        return Ok(ExitCode::SUCCESS);
    }
    logs::start(args.log_format, &args.log_level).context("RUST_LOG")?;
    for flag in without_effect {
        tracing::info!(flag, "this flag changes nothing here");
    }
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    match runtime.block_on(run::run(args)) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(run::RunError::Task(task)) if task.is_panic() => std::panic::resume_unwind(task.into_panic()),
        Err(error) => {
            tracing::error!(%error, "giving up");
            Ok(ExitCode::FAILURE)
        }
    }
}
