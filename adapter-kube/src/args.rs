//! Flags, in the original's spelling where the meaning is the same.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use agent_sandbox_core::config::Config;
use agent_sandbox_core::pace::Rate;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches, Parser};

use crate::logs::Format;
use crate::spans;

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

    /// Do not note on SandboxClaims when they were first seen.
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set,
        num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Behaviour")]
    pub disable_claim_observability_annotations: bool,

    /// Read only the Pods that carry a controller's label. Takes less memory where many other Pods run; a foreign
    /// Pod that has a Sandbox's name is then found late.
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set,
        num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Behaviour")]
    pub cache_label_selectors: bool,

    /// The most requests that may be under way at any time. Each takes one connection.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..),
        help_heading = "Behaviour")]
    pub in_flight_max: u16,

    /// How long a pool that has lost a member, to a claim or otherwise, makes no other, so that a burst of claims has
    /// the API server and the nodes for itself; 0 makes it at once. Each loss begins the wait anew: a pool of which a
    /// claim takes one more often than that is not refilled until the claims pause, and those that find none start
    /// cold. A first fill and a pool that is scaled up do not wait.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = spans::parse,
        allow_negative_numbers = true, help_heading = "Pools")]
    pub sandbox_warm_pool_replenish_delay: Duration,

    /// How many members a second each pool makes at most, first fills included: 50, or 0.5 for one every other second; 0
    /// is for as many as --in-flight-max lets through. Those of one second are made at once, the others one by
    /// one, and what a pool has not used is not saved up beyond that second.
    #[arg(long, value_name = "RATE", default_value = "0", value_parser = Rate::parse,
        allow_negative_numbers = true, help_heading = "Pools")]
    pub sandbox_warm_pool_max_refill_rate: Rate,

    /// How long a member may be not ready before its pool deletes it and makes another. It counts from when its status
    /// says so, and not while no node has room for its Pod.
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = spans::parse_some,
        allow_negative_numbers = true, help_heading = "Pools")]
    pub sandbox_warm_pool_readiness_grace_period: Duration,

    /// Let the cluster autoscaler move members that no claim has yet to remove their node: new members are annotated
    /// cluster-autoscaler.kubernetes.io/safe-to-evict=true, unless their template says otherwise.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set,
        num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Pools")]
    pub enable_warm_pool_eviction: bool,

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

    /// The domain of the cluster's DNS, in which the Services of sandboxes have their names.
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local", help_heading = "Cluster")]
    pub cluster_domain: String,

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

    /// How much to log. RUST_LOG overrules it.
    #[arg(long, value_name = "LEVEL", default_value = "info", value_parser = ["error", "warn", "info", "debug", "trace"], help_heading = "Observation")]
    pub log_level: String,

    /// Print the version.
    #[arg(long)]
    pub version: bool,
}

impl Args {
    /// Returns what the core is told; what else it needs to know is not in flags.
    pub fn config(&self) -> Config {
        Config {
            extensions: self.extensions,
            in_flight_max: self.in_flight_max.into(),
            cluster_domain: self.cluster_domain.as_str().into(),
            claim_events: !self.disable_claim_events,
            claim_annotations: !self.disable_claim_observability_annotations,
            replenish_delay: self.sandbox_warm_pool_replenish_delay,
            refill_rate: self.sandbox_warm_pool_max_refill_rate,
            readiness_grace: self.sandbox_warm_pool_readiness_grace_period,
            evict_members: self.enable_warm_pool_eviction,
            ..Config::default()
        }
    }
}

const AFTER_HELP: &str = "\
Examples:
  agent-sandbox-controller --extensions --leader-elect=false      try it on the cluster of your kubeconfig
  agent-sandbox-controller --extensions --record run.trace        keep what happened, to replay it later

Flags of the original that tune its queues and caches are taken and change nothing, since there are none here.

Exit codes: 0 stopped by a signal, 1 failed or lost the lead, 2 bad flags.";

/// Flags that tune what the original has and this controller does not: work queues, workers, batches, looks at the
/// clock, write-behind, one cache client, and that client's own limit, which is off there unless given. Deployments that set them must start (CON-072).
const WITHOUT_EFFECT: [&str; 11] = [
    "api-connections",
    "kube-api-burst",
    "kube-api-qps",
    "sandbox-claim-concurrent-workers",
    "sandbox-concurrent-workers",
    "sandbox-template-concurrent-workers",
    "sandbox-warm-pool-concurrent-workers",
    "sandbox-warm-pool-max-batch-size",
    "sandbox-warm-pool-unschedulable-recheck-interval",
    "sandbox-write-behind-window",
    "separate-watch-connection",
];

/// A command line that was read.
#[derive(Clone, Debug)]
pub struct CommandLine {
    /// What it asks for.
    pub args: Args,
    /// The flags that were given and change nothing.
    pub without_effect: Vec<&'static str>,
}

impl CommandLine {
    /// Reads this process's command line. Prints help or what is wrong with it, and exits, where that is asked for.
    pub fn read() -> Self {
        Self::parse(std::env::args_os()).unwrap_or_else(|error| error.exit())
    }

    fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let matches = command().try_get_matches_from(words.into_iter().map(two_dashes))?;
        let is_given = |flag: &&str| matches.value_source(flag).is_some();
        let without_effect = WITHOUT_EFFECT.into_iter().filter(is_given).collect();
        Ok(Self { args: from(&matches)?, without_effect })
    }
}

fn command() -> Command {
    let flag = |name: &'static str| Arg::new(name).long(name).hide(true);
    let flags = WITHOUT_EFFECT.into_iter().map(|name| match name {
        "separate-watch-connection" => flag(name).num_args(0..=1).require_equals(true),
        "kube-api-qps" => flag(name).allow_negative_numbers(true),
        _ => flag(name),
    });
    Args::command().args(flags)
}

fn from(matches: &ArgMatches) -> Result<Args, clap::Error> {
    Args::from_arg_matches(matches).map_err(|error| error.format(&mut command()))
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

    /// OPS-062, OPS-063.
    #[test]
    fn the_defaults_are_the_originals() {
        let args = parse("").unwrap();
        assert!(!args.extensions && args.leader_elect);
        assert_eq!((&*args.metrics_bind_address, &*args.health_probe_bind_address), (":8080", ":8081"));
    }

    /// OPS-060.
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

    /// OPS-060.
    #[test]
    fn what_is_no_flag_or_no_value_is_refused() {
        for line in ["--extension", "--extensions=maybe", "--leader-elect false", "--in-flight-max=0", "run"]
        {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    /// CON-072.
    #[test]
    fn flags_for_what_does_not_exist_here_change_nothing() {
        let line = "--sandbox-concurrent-workers 400 -separate-watch-connection --extensions";
        let CommandLine { args, without_effect } = read(line).unwrap();
        assert!(args.extensions);
        assert_eq!(without_effect, ["sandbox-concurrent-workers", "separate-watch-connection"]);
        assert!(read("").unwrap().without_effect.is_empty());
    }

    /// CFG-004, CFG-005, CFG-006, CFG-007: by default nothing is held back.
    #[test]
    fn pools_are_set_up_as_in_the_original() {
        let (default, core) = (config(""), Config::default());
        assert_eq!((default.replenish_delay, default.refill_rate), (Duration::ZERO, Rate::UNLIMITED));
        assert_eq!((default.readiness_grace, default.evict_members), (core.readiness_grace, true));
        let line = "--sandbox-warm-pool-replenish-delay 1m30s -sandbox-warm-pool-max-refill-rate=0.5 \
            --sandbox-warm-pool-readiness-grace-period=10m --enable-warm-pool-eviction=false";
        let set = config(line);
        assert_eq!((set.replenish_delay, set.refill_rate.interval()), (secs(90), secs(2)));
        assert_eq!((set.readiness_grace, set.evict_members), (secs(600), false));
    }

    /// CFG-004, CFG-006, CFG-007: what cannot be meant ends the process before it has done anything.
    #[test]
    fn a_pace_that_cannot_be_meant_is_refused() {
        let flags = [
            ("replenish-delay", &["-1s", "30", "soon", ""][..]),
            ("max-refill-rate", &["-1", "NaN", "inf", "fast", ""]),
            ("readiness-grace-period", &["0", "0s", "-5m", "5"]),
        ];
        for (flag, values) in flags {
            for value in values {
                for between in ["=", " "] {
                    let line = format!("--sandbox-warm-pool-{flag}{between}{value}");
                    assert_eq!(parse(&line).unwrap_err().exit_code(), 2, "{line}");
                }
            }
        }
    }

    /// CFG-001, CFG-009, CFG-010.
    #[test]
    fn what_is_switched_on_or_off_reaches_the_core() {
        let (off, on) = (config(""), config("--extensions --disable-claim-events"));
        assert!(!off.extensions && off.claim_events && off.claim_annotations);
        assert!(on.extensions && !on.claim_events);
        assert!(!config("--disable-claim-observability-annotations").claim_annotations);
    }

    /// CFG-002, CFG-003, CFG-004, CFG-008: there are no workers, no batches, no looks at the clock and no client with a
    /// limit of its own to tune.
    #[test]
    fn flags_that_tune_what_is_not_there_are_taken() {
        let line = "--sandbox-claim-concurrent-workers=50 --sandbox-warm-pool-concurrent-workers=1 \
            --sandbox-template-concurrent-workers=1 --sandbox-warm-pool-max-batch-size=300 \
            --sandbox-warm-pool-unschedulable-recheck-interval=1m --kube-api-qps -1 --kube-api-burst=10 \
            --api-connections=1 --separate-watch-connection=false";
        assert_eq!(read(line).unwrap().without_effect.len(), 9);
    }

    fn config(line: &str) -> Config {
        parse(line).unwrap().config()
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn parse(line: &str) -> Result<Args, clap::Error> {
        read(line).map(|line| line.args)
    }

    fn read(line: &str) -> Result<CommandLine, clap::Error> {
        let words = ["agent-sandbox-controller"].into_iter().chain(line.split_whitespace());
        CommandLine::parse(words.map(OsString::from))
    }
}
