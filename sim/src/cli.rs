//! Commands, their flags, and what they exit with.

mod campaign;
mod chart;
mod explore;
mod hunt;
mod mutants;
mod parse;
mod replay;
mod run;
mod short;
mod scenario;
mod timeline;

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use agent_sandbox_core::config::Config;
use agent_sandbox_core::mutant::Mutant;
use agent_sandbox_core::pace::Rate;
use agent_sandbox_sim::checkers::Class;
use agent_sandbox_sim::engines::Engine;
use agent_sandbox_sim::faults::{Faults, Options};
use agent_sandbox_sim::plan::Plan;
use agent_sandbox_sim::run::{Broken, Judges};
use agent_sandbox_sim::story::moment;
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

/// Prints a line to standard output. A reader who has gone away (`| head`) is no reason to stop with a panic.
macro_rules! say {
    ($($part:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($part)*);
    }};
}
use say;

/// Simulates the agent-sandbox controllers in a cluster where everything goes wrong.
///
/// A seed decides everything: how long each message travels, what fails, what users do. The same seed, flags
/// and build give the same run, step for step, on every machine.
///
/// Exit codes: 0 every property held, or a replay was the same; 2 bad usage or input; 10 something good did not
/// happen in the end (not live); 11 something bad happened (unsafe); 12 a replay was not the same; 13 a planted defect was not found; 101 a panic.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs one seed and tells what happened, or plays a scenario several times and tells what users felt.
    ///
    /// Users create and delete claims in bursts that exhaust the pool, while faults strike. Then the trouble
    /// ends: every claim must be served, the pool full, and after that nothing may be sent.
    ///
    /// With --scenario a file says who claims how much when, and what goes wrong: see docs/scenarios.md.
    Run(RunArgs),
    /// Runs many seeds on all cores until a property breaks or the budget is used up.
    ///
    /// Each seed is a small world with faults of its own. A violation is made as short as it gets and told in sentences;
    /// its tape is written to the folder for temporary files. Without one, what was never reached is listed.
    Hunt(HuntArgs),
    /// Searches every interleaving of one small world.
    ///
    /// The same core and the same API server as everywhere, breadth first, so that the story of a violation is the
    /// shortest. A space is closed when nothing is left to visit. What the search leaves out is listed.
    ///
    /// Without flags: two claims, a pool of one, one leader, and nothing goes wrong.
    Explore(ExploreArgs),
    /// Merges what the shards of a campaign found, in any order: see docs/campaigns.md.
    Merge(MergeArgs),
    /// Looks for every known bug that can be built in, and tells how each is found.
    ///
    /// A defect is looked for by the harm that it does, in seeds that the unbroken core passes. One line each: which
    /// property it broke, which way of looking found it, after how many seeds and how long, and how many steps its
    /// shortened story has. The exit code is 13 if one is not found.
    Mutants(MutantsArgs),
    /// Feeds the events of a trace to the core of this build and demands the same actions.
    ///
    /// Traces come from the controller's --record, or from run --trace. The first step with other actions is
    /// shown, and the exit code is 12. A damaged trace is used up to the damage: what is wrong is said with its
    /// line, and the exit code is 2.
    Replay(ReplayArgs),
}

/// The flags of `run`.
#[derive(Args, Debug)]
struct RunArgs {
    /// Where all choices come from, decimal or 0x…; one is picked and printed if there is none.
    #[arg(long, value_parser = parse::seed, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// How many claims users create.
    #[arg(long, default_value_t = 200, value_parser = parse::count, allow_negative_numbers = true)]
    claims: u32,
    /// How many members the pool keeps ready (`spec.replicas`).
    #[arg(long, default_value_t = 10, value_parser = parse::count, allow_negative_numbers = true)]
    pool: u32,
    /// How long the trouble lasts, in virtual time: 90s, 10m, 1h30m.
    #[arg(long = "for", default_value = "1h", value_parser = parse::duration)]
    duration: Duration,
    /// What may go wrong: all, none, races (what makes processes disagree), or names with commas between them; a wrong name
    /// lists them.
    #[arg(long, visible_alias = "only-faults", default_value = "all", value_name = "NAMES", value_parser = parse::faults)]
    faults: Faults,
    /// What may not go wrong: names with commas between them.
    #[arg(long, default_value = "none", hide_default_value = true, value_name = "NAMES", value_parser = parse::faults)]
    without_faults: Faults,
    /// What is done on purpose: crash@17, lose-answer@17, reject@17 or delay@17 strike request 17, two of them with +
    /// between strike two; priorities@3 delivers by priorities that change 3 times; bytes@2 takes the choices from an
    /// input of the fuzzer.
    #[arg(long, default_value = "none", hide_default_value = true, value_name = "PLAN")]
    plan: Plan,
    /// How long a pool that has lost a member makes no other, such as 5s; what the controller's
    /// --sandbox-warm-pool-replenish-delay is. Without this and --refill-rate the seed draws them, as part of the fault
    /// `tuned`.
    #[arg(long, value_name = "DURATION", value_parser = parse::duration)]
    replenish_delay: Option<Duration>,
    /// How many members a second a pool makes at most, such as 2 or 0.5; what --sandbox-warm-pool-max-refill-rate is.
    #[arg(long, value_name = "RATE", value_parser = Rate::parse, allow_negative_numbers = true)]
    refill_rate: Option<Rate>,
    /// One defect to build in; `help` lists them.
    #[arg(long, value_parser = parse::mutant)]
    mutant: Option<Mutant>,
    /// Records what entered and left the first controller process; those that follow it get FILE.2, FILE.3, …
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// After a violation, looks for a shorter story that breaks the same property, and prints that one.
    #[arg(long, conflicts_with_all = ["trace", "replenish_delay", "refill_rate"])]
    shrink: bool,
    /// Writes the tape of a violation that was shrunk: every choice that it needs, one a line.
    #[arg(long, value_name = "FILE", requires = "shrink")]
    save_tape: Option<PathBuf>,
    /// Writes a Rust test that plays the tape of a violation that was shrunk, and demands the violation.
    #[arg(long, value_name = "FILE", requires = "shrink")]
    write_test: Option<PathBuf>,
    /// Plays a tape in place of a seed, and tells the short story of what it breaks; --story tells everything.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "claims", "pool", "duration", "faults", "trace", "shrink", "mutant", "replenish_delay", "refill_rate", "scenario"])]
    tape: Option<PathBuf>,
    /// How many lines of the story to print; a violation always comes with its last 30.
    #[arg(long, default_value_t = 0, value_name = "LINES", value_parser = parse::number, allow_negative_numbers = true)]
    story: u64,
    /// Keeps only lines of the story in which this word occurs, such as the name of a claim.
    #[arg(long, value_name = "WORD")]
    about: Option<String>,
    /// Writes the run, or the first of a scenario, as a page for a browser: what happened where, and because of what.
    #[arg(long, value_name = "FILE.html")]
    timeline: Option<PathBuf>,
    /// Plays a load from a file, or one of the library: who claims how much when, which pools there are, how long Pods
    /// take to start, and what goes wrong. `help` lists the library, `schema` prints the JSON schema of files.
    #[arg(long, value_name = "FILE|NAME", conflicts_with_all = ["claims", "pool", "duration", "faults", "trace", "shrink"])]
    scenario: Option<String>,
    /// How many times a scenario is played, with one seed after the other, the first being that of --seed, or 1.
    #[arg(long, value_name = "N", default_value_t = 5, requires = "scenario", value_parser = clap::value_parser!(u32).range(1..=10_000), allow_negative_numbers = true)]
    runs: u32,
    /// Prints what came of a scenario as one JSON object.
    #[arg(long, requires = "scenario")]
    json: bool,
}

/// The flags of `hunt`.
#[derive(Args, Debug)]
struct HuntArgs {
    /// How long to look for a violation, in real time.
    #[arg(long, default_value = "30s", value_parser = parse::duration)]
    budget: Duration,
    /// One defect to build in, which must then be found; `help` lists them.
    #[arg(long, value_parser = parse::mutant)]
    mutant: Option<Mutant>,
    /// Which seeds to run, such as 0..1000; without it, seeds that nobody has tried.
    #[arg(long, value_name = "A..B", value_parser = parse::seeds)]
    seeds: Option<(u64, u64)>,
    /// The one way to look, for every seed; without it all share the seeds.
    #[arg(long, value_name = "NAME", value_parser = parse::engine)]
    engine: Option<Engine>,
    /// Which part of the seeds: 0/16 is the first of sixteen, 15/16 the last.
    #[arg(long, value_name = "NUMBER/COUNT", requires = "seeds", value_parser = parse::shard)]
    shard: Option<(u32, u32)>,
    /// Writes what was found, for `merge`.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// How many threads to use; one for each core if there is none.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024), allow_negative_numbers = true)]
    jobs: Option<u32>,
    /// What may go wrong: all, none, races (what makes processes disagree), or names with commas between them; a wrong name
    /// lists them.
    #[arg(long, visible_alias = "only-faults", default_value = "all", value_name = "NAMES", value_parser = parse::faults)]
    faults: Faults,
    /// What may not go wrong: names with commas between them.
    #[arg(long, default_value = "none", hide_default_value = true, value_name = "NAMES", value_parser = parse::faults)]
    without_faults: Faults,
    /// Writes the violation that is found as a page for a browser: what happened where, and because of what.
    #[arg(long, value_name = "FILE.html")]
    timeline: Option<PathBuf>,
}

/// The flags of `merge`.
#[derive(Args, Debug)]
struct MergeArgs {
    /// What `hunt --json` or `merge --json` wrote.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Writes what they found together.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The flags of `mutants`.
#[derive(Args, Debug)]
struct MutantsArgs {
    /// How long to look for each, in time of the processor: what others do on the machine does not count.
    #[arg(long, default_value = "60s", value_parser = parse::duration)]
    budget_each: Duration,
    /// Only this one; `help` lists them.
    #[arg(long, value_name = "NAME", value_parser = parse::mutant)]
    only: Option<Mutant>,
    /// The ways to look, with commas between them, each for itself and with the whole budget, or all of them: a table of
    /// times. Without it all look together.
    #[arg(long, value_name = "NAMES", value_parser = parse::engines)]
    engines: Option<parse::Engines>,
    /// The first seed to try.
    #[arg(long, default_value = "0", value_parser = parse::seed, allow_negative_numbers = true)]
    seed: u64,
    /// How many to look for at the same time; one for each core if there is none.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024), allow_negative_numbers = true)]
    jobs: Option<u32>,
    /// Prints one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// The flags of `explore`.
#[derive(Args, Debug)]
struct ExploreArgs {
    /// How many claims users create.
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=8))]
    claims: Option<u32>,
    /// How many members the pool keeps ready.
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=8))]
    pool: Option<u32>,
    /// How many processes lead at the same time.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=2))]
    leaders: Option<u8>,
    /// How many times a process dies.
    #[arg(long)]
    crashes: Option<u8>,
    /// How many answers never arrive: the write has taken effect, or does so later, or never.
    #[arg(long)]
    lost_answers: Option<u8>,
    /// How many answers at a time are overtaken by what a watch shows.
    #[arg(long)]
    late_answers: Option<u8>,
    /// How many watches break, so that a process must list again.
    #[arg(long)]
    relists: Option<u8>,
    /// How many claims their users delete.
    #[arg(long)]
    claim_deletes: Option<u32>,
    /// How many times a user makes the pool smaller by one.
    #[arg(long)]
    scale_downs: Option<u32>,
    /// Lets everything take its time, even where that should make no difference: the space grows much.
    #[arg(long)]
    no_shortcuts: bool,
    /// Tries claims and members that differ in nothing but their names in any order: up to twice the space with two of them.
    #[arg(long)]
    any_order: bool,
    /// One defect to build in; without other flags the search is one that finds it.
    #[arg(long, value_parser = parse::mutant)]
    mutant: Option<Mutant>,
    /// How many threads to use; one for each core if there is none.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024), allow_negative_numbers = true)]
    jobs: Option<u32>,
    /// How long to search, in real time.
    #[arg(long, default_value = "60s", value_parser = parse::duration)]
    budget: Duration,
}

/// The flags of `replay`.
#[derive(Args, Debug)]
struct ReplayArgs {
    /// The trace.
    file: PathBuf,
    /// How many steps to replay; all if there is none.
    #[arg(long, value_name = "STEPS", value_parser = parse::number, allow_negative_numbers = true)]
    limit: Option<u64>,
}

/// What a command ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Every property held.
    Pass,
    /// Something good did not happen in the end.
    NotLive,
    /// Something bad happened.
    Unsafe,
    /// A replay has other actions than its trace.
    Differs,
    /// A planted defect was not found.
    Missed,
    /// The core panicked.
    Crashed,
}

impl Verdict {
    fn of(broken: Option<&Broken>) -> Self {
        match broken.map(|broken| broken.violation.property.class) {
            None => Self::Pass,
            Some(Class::Liveness) => Self::NotLive,
            Some(Class::Safety) => Self::Unsafe,
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Pass => 0,
            Self::NotLive => 10,
            Self::Unsafe => 11,
            Self::Differs => 12,
            Self::Missed => 13,
            // What Rust's own panics exit with.
            Self::Crashed => 101,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "pass: every property held",
            Self::NotLive => "NOT LIVE: something good did not happen in the end",
            Self::Unsafe => "UNSAFE: something bad happened",
            Self::Differs => "DIFFERS: this build has other actions for the same events",
            Self::Missed => "MISSED: a planted defect was not found",
            Self::Crashed => "CRASHED: the core panicked",
        })
    }
}

/// Reads the command line, does what it says, and returns the exit code.
pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return explain(&error),
    };
    let verdict = match cli.command {
        Command::Run(args) => match &args.scenario {
            Some(name) => scenario::run(&args, name),
            None => run::run(&args),
        },
        Command::Hunt(args) => hunt::hunt(&args),
        Command::Merge(args) => campaign::merge(&args),
        Command::Mutants(args) => Ok(mutants::mutants(&args)),
        Command::Explore(args) => Ok(explore::explore(&args)),
        Command::Replay(args) => replay::replay(&args),
    };
    match verdict {
        Ok(verdict) => ExitCode::from(verdict.code()),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Prints help as it is, and a mistake as one sentence.
fn explain(error: &clap::Error) -> ExitCode {
    let help = [
        ErrorKind::DisplayHelp,
        ErrorKind::DisplayVersion,
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
    ];
    if help.contains(&error.kind()) {
        let _ = error.print();
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
    }
    let text = error.to_string();
    let sentence = text.split("\n\n").next().unwrap_or(&text);
    let lines: Vec<&str> = sentence.lines().map(str::trim).collect();
    eprintln!("{}", lines.join(" "));
    ExitCode::from(2)
}

/// Returns the machine's configuration, with a defect if one is asked for.
fn config(mutant: Option<Mutant>) -> Config {
    Config { mutant, ..Config::default() }
}

/// Returns who judges: a defect must be found by the harm that it does.
const fn judges(mutant: Option<Mutant>) -> Judges {
    if mutant.is_some() { Judges::Effects } else { Judges::All }
}

/// Returns the command that makes a run again.
fn replay_command(options: &Options, mutant: Option<Mutant>) -> String {
    let Options { seed, claims, pool, duration, faults, plan } = options;
    let mut command = format!(
        "agent-sandbox-sim run --seed {seed:#x} --claims {claims} --pool {pool} --for {}s --faults {faults}",
        duration.as_secs()
    );
    if *plan != Plan::None {
        command.push_str(&format!(" --plan {plan}"));
    }
    if let Some(mutant) = mutant {
        command.push_str(&format!(" --mutant {}", mutant.name()));
    }
    command
}
