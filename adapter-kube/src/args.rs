//! Flags, in the original's spelling where the meaning is the same.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Parser};

use crate::logs::Format;

/// Runs the agent-sandbox controllers against a Kubernetes API server.
///
/// It finds the cluster as kubectl does: --kubeconfig, the files in KUBECONFIG, the cluster that it runs in,
/// ~/.kube/config. It needs the agent-sandbox CRDs there (version v1beta1), and waits until they are installed.
/// A flag may be written with one dash or two, and its value after a space or an equals sign; a BOOL needs the
/// equals sign.
#[derive(Clone, Debug, Parser)]
#[command(disable_version_flag = true, max_term_width = 110, after_help = AFTER_HELP)]
pub struct Args {
    /// Use this kubeconfig file.
    #[arg(long, value_name = "FILE", help_heading = "Cluster")]
    pub kubeconfig: Option<PathBuf>,

    /// Handle SandboxClaims, SandboxWarmPools and SandboxTemplates too, not only Sandboxes.
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set,
        num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Behaviour")]
    pub extensions: bool,

    /// Write no Kubernetes Events about SandboxClaims.
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set,
        num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Behaviour")]
    pub disable_claim_events: bool,

    /// Read only the Pods that carry a controller's label. Takes less memory where many other Pods run; a foreign
    /// Pod that has a Sandbox's name is then found late.
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set,
        num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Behaviour")]
    pub cache_label_selectors: bool,

    /// The most requests that may be under way at any time. Each takes one connection.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..),
        help_heading = "Behaviour")]
    pub in_flight_max: u16,

    /// Let one of several controllers lead, by a Lease; the others stand by.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set,
        num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Leadership")]
    pub leader_elect: bool,

    /// The Lease's namespace. Inside a cluster it is that of the Pod, unless given.
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true,
        help_heading = "Leadership"
    )]
    pub leader_election_namespace: String,

    /// Serve /metrics here; 0 for nowhere.
    #[arg(long, value_name = "ADDRESS", default_value = ":8080", help_heading = "Observation")]
    pub metrics_bind_address: String,

    /// Serve /healthz and /readyz here; 0 for nowhere.
    #[arg(long, value_name = "ADDRESS", default_value = ":8081", help_heading = "Observation")]
    pub health_probe_bind_address: String,

    /// Write a trace that `agent-sandbox-sim replay` reads: every fact and every decision. Pod specs are hashed.
    #[arg(long, value_name = "FILE", help_heading = "Observation")]
    pub record: Option<PathBuf>,

    /// How log lines look; auto is text on a terminal and json otherwise.
    #[arg(long, value_name = "FORMAT", default_value = "auto", value_enum, help_heading = "Observation")]
    pub log_format: Format,

    /// What to log: error, warn, info, debug or trace. RUST_LOG overrules it.
    #[arg(long, value_name = "LEVEL", default_value = "info", help_heading = "Observation")]
    pub log_level: String,

    /// Print the version.
    #[arg(long)]
    pub version: bool,
}

const AFTER_HELP: &str = "\
Examples:
  agent-sandbox-controller --extensions --leader-elect=false      try it on the cluster of your kubeconfig
  agent-sandbox-controller --extensions --record run.trace        keep what happened, to replay it later

Exit codes: 0 stopped by a signal, 1 failed or lost the lead, 2 bad flags.";

impl Args {
    /// Reads the command line. Prints help or what is wrong with it, and exits, where that is asked for.
    pub fn from_command_line() -> Self {
        Self::parse_from(std::env::args_os().map(two_dashes))
    }
}

/// Rewrites `-flag` as `--flag`, since Go programs take both.
fn two_dashes(arg: OsString) -> OsString {
    let is_long = arg
        .to_str()
        .and_then(|text| text.strip_prefix('-'))
        .is_some_and(|name| name.len() > 1 && name.starts_with(|first: char| first.is_ascii_alphabetic()));
    if !is_long {
        return arg;
    }
    let mut long = OsString::from("-");
    long.push(arg);
    long
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_originals() {
        let args = parse("").unwrap();
        assert!(!args.extensions && args.leader_elect);
        assert_eq!((&*args.metrics_bind_address, &*args.health_probe_bind_address), (":8080", ":8081"));
    }

    #[test]
    fn a_flag_is_written_as_in_go() {
        for line in ["--extensions", "-extensions", "--extensions=true", "-extensions=true"] {
            assert!(parse(line).unwrap().extensions, "{line}");
        }
        assert!(!parse("-leader-elect=false").unwrap().leader_elect);
        for line in ["-metrics-bind-address :1", "--metrics-bind-address=:1"] {
            assert_eq!(parse(line).unwrap().metrics_bind_address, ":1", "{line}");
        }
    }

    #[test]
    fn what_is_no_flag_or_no_value_is_refused() {
        for line in ["--extension", "--extensions=maybe", "--leader-elect false", "--in-flight-max=0", "run"]
        {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    fn parse(line: &str) -> Result<Args, clap::Error> {
        let words = ["agent-sandbox-controller"].into_iter().chain(line.split_whitespace());
        Args::try_parse_from(words.map(OsString::from).map(two_dashes))
    }
}
