//! Flags, in the original's spelling where the meaning is the same.

use std::path::PathBuf;

use clap::{ArgAction, Parser};

/// Runs the agent-sandbox controllers against a Kubernetes API server.
///
/// It finds the cluster as kubectl does: --kubeconfig, the files in KUBECONFIG, the cluster that it runs in,
/// ~/.kube/config. It needs the agent-sandbox CRDs there (version v1beta1) and waits until they are installed.
#[derive(Clone, Debug, Parser)]
#[command(version, max_term_width = 110)]
pub struct Args {
    /// Use this kubeconfig file.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Handle SandboxClaims, SandboxWarmPools and SandboxTemplates too, not only Sandboxes.
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set,
        num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub extensions: bool,

    /// Most requests that change something, under way at any time.
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub in_flight_max: u16,
}
