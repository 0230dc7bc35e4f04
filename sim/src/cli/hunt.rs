//! `hunt`: many seeds, until something breaks.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use agent_sandbox_core::machine::Machine;
use agent_sandbox_sim::controller::Controller;
use agent_sandbox_sim::faults::{Fault, Options};
use agent_sandbox_sim::run::{Broken, run as simulate};
use agent_sandbox_sim::story::{Story, moment};
use indicatif::{ProgressBar, ProgressStyle};

use super::{HuntArgs, Verdict, config, judges, replay_command, say};

/// How many lines of the story come with a violation.
const STORY_LINES: usize = 20;

/// What all threads together have found.
#[derive(Debug, Default)]
struct Found {
    seeds: u64,
    steps: u64,
    marks: u64,
    struck: Vec<u64>,
    /// The violation with the lowest seed.
    broken: Option<(Options, Broken)>,
}

/// Runs many seeds and tells the first violation, or what was never reached.
pub(super) fn hunt(args: &HuntArgs) -> Verdict {
    let (from, to) = args.seeds.unwrap_or_else(|| (super::run::fresh_seed() >> 16, u64::MAX));
    match args.seeds {
        Some(_) => say!("seeds           {from:#x} to {to:#x}, at most {:?}", args.budget),
        None => say!("seeds           from {from:#x}, for {:?}", args.budget),
    }
    if let Some(mutant) = args.mutant {
        say!("defect          {}: {}", mutant.name(), mutant.about());
    }
    let started = Instant::now();
    let found = search(args, from, to);
    let real = started.elapsed().as_secs_f64();
    say!(
        "ran             {} seeds, {} steps in {real:.1} s: {:.0} seeds/s, {:.0} steps/s",
        found.seeds,
        found.steps,
        found.seeds as f64 / real,
        found.steps as f64 / real
    );
    let verdict = Verdict::of(found.broken.as_ref().map(|(_, broken)| broken));
    match &found.broken {
        Some((options, broken)) => tell_violation(args, options, broken),
        None => tell_unreached(args, &found),
    }
    say!("");
    say!("verdict         {verdict}");
    verdict
}

fn search(args: &HuntArgs, from: u64, to: u64) -> Found {
    let jobs = args.jobs.map_or_else(cores, |jobs| jobs as usize);
    let (next, stop) = (AtomicU64::new(from), AtomicBool::new(false));
    let found = Mutex::new(Found { struck: vec![0; Fault::ALL.len()], ..Found::default() });
    let deadline = Instant::now() + args.budget;
    let bar = progress(args.budget);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) && Instant::now() < deadline {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= to {
                        break;
                    }
                    let options = Options { faults: args.faults, ..Options::of_campaign(seed) };
                    let report =
                        simulate::<Machine>(&options, config(args.mutant), judges(args.mutant), &mut ());
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    found.seeds += 1;
                    found.steps += report.steps;
                    found.marks |= report.marks;
                    for (sum, count) in found.struck.iter_mut().zip(&report.struck) {
                        *sum += count;
                    }
                    if let Some(broken) = report.broken {
                        stop.store(true, Ordering::Relaxed);
                        if found.broken.as_ref().is_none_or(|(best, _)| options.seed < best.seed) {
                            found.broken = Some((options, broken));
                        }
                    }
                    bar.set_message(format!("{} seeds, {} steps", found.seeds, found.steps));
                    bar.set_position(args.budget.saturating_sub(deadline - Instant::now()).as_millis() as u64);
                }
            });
        }
    });
    bar.finish_and_clear();
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A bar on stderr that fills with the budget; nothing where stderr is no terminal.
fn progress(budget: Duration) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:40} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(budget.as_millis() as u64).with_style(style)
}

fn tell_violation(args: &HuntArgs, options: &Options, broken: &Broken) {
    let mut story = Story::last(STORY_LINES);
    // The same seed again, this time with somebody who writes it down.
    simulate::<Machine>(options, config(args.mutant), judges(args.mutant), &mut story);
    let violation = &broken.violation;
    say!("");
    say!(
        "{} broke with seed {:#x}, at step {}, {}:",
        violation.property.name,
        options.seed,
        broken.step,
        moment(broken.at)
    );
    say!("  {}", violation.what);
    say!("  promised: {}", violation.property.about);
    say!("");
    say!("the last {} things that happened:", story.lines().len());
    for line in story.lines() {
        say!("{line}");
    }
    say!("");
    say!("replay it with");
    say!("  {}", replay_command(options, args.mutant));
}

fn tell_unreached(args: &HuntArgs, found: &Found) {
    let faults = Fault::ALL.into_iter().filter(|fault| args.faults.has(*fault));
    let faults = faults.filter(|fault| found.struck[fault.index()] == 0).map(Fault::name);
    let branches = (0..).zip(Machine::branches()).filter(|(bit, _)| found.marks >> bit & 1 == 0);
    tell_list("faults never reached", faults.collect());
    tell_list("branches never reached", branches.map(|(_, name)| name).collect());
}

pub(super) fn tell_list(what: &str, names: Vec<&str>) {
    say!("{what}: {}", if names.is_empty() { "none".to_owned() } else { names.join("; ") });
}
