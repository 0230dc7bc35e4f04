//! Starts and stops a control plane for a developer. `--help` tells the rest.

use std::path::PathBuf;
use std::process::ExitCode;

use agent_sandbox_tests::control_plane::{self, ControlPlane, Error, Lifetime, Options};
use clap::{Parser, Subcommand};

/// A Kubernetes cluster on this machine, without containers.
///
/// The API server, etcd, the garbage collector and the scheduler are the real ones; kwok plays the nodes, so Pods
/// become Ready but run nothing. It takes about five seconds to start and 300 MB of memory.
#[derive(Parser)]
#[command(name = "control-plane", after_long_help = AFTER_HELP)]
struct Args {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Subcommand)]
enum Subcommands {
    /// Starts a cluster and prints the path of its kubeconfig.
    Up {
        /// Folder for the cluster's files, new or empty; one in /dev/shm is fastest.
        #[arg(long)]
        dir: PathBuf,
        /// Port of the API server [default: any free one].
        #[arg(long)]
        port: Option<u16>,
        /// Number of nodes, for 990 Pods each.
        #[arg(long, default_value_t = 4)]
        nodes: u32,
        /// Records each request as a line of JSON in DIR/audit.log.
        #[arg(long)]
        audit: bool,
        /// Folder with CRDs to install instead of this project's own.
        #[arg(long)]
        crds: Option<PathBuf>,
    },
    /// Stops the cluster in a folder and removes the folder.
    Down {
        /// Folder that was given to `up`.
        #[arg(long)]
        dir: PathBuf,
    },
}

const AFTER_HELP: &str = "\
Examples:
  export KUBECONFIG=$(control-plane up --dir /dev/shm/try)
  kubectl get nodes
  tail /dev/shm/try/kube-apiserver.log
  control-plane down --dir /dev/shm/try

The programs are those in $TEST_ASSET_KUBE_APISERVER and its like, in $KUBEBUILDER_ASSETS, or those
that tests/control-plane/build.sh has built.";

/// The exit code when the programs are not on this machine, which a script may take as a reason to skip.
const MISSING: u8 = 3;

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Subcommands::Up { dir, port, nodes, audit, crds } => up(dir, port, nodes, audit, crds),
        Subcommands::Down { dir } => control_plane::down(&dir),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("control-plane: {error}");
            if matches!(error, Error::Missing(_)) { ExitCode::from(MISSING) } else { ExitCode::FAILURE }
        }
    }
}

fn up(dir: PathBuf, port: Option<u16>, nodes: u32, audit: bool, crds: Option<PathBuf>) -> Result<(), Error> {
    let crds = crds.unwrap_or_else(|| Options::for_tests().crds);
    let plane = ControlPlane::start(&Options {
        nodes,
        actors: true,
        audit,
        crds,
        port,
        lifetime: Lifetime::UntilDown(dir),
    })?;
    println!("{}", plane.kubeconfig().display());
    Ok(())
}
