//! The controller's binary: flags in, exit code out.

use agent_sandbox_controller::{args::Args, run};
use clap::Parser;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    run::run(args).await?;
    Ok(())
}
