//! `hunt`: many seeds, looked at in several ways, until something breaks.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use agent_sandbox_core::machine::Machine;
use agent_sandbox_sim::campaign::share;
use agent_sandbox_sim::choices::Choices;
use agent_sandbox_sim::controller::Controller;
use agent_sandbox_sim::engines::Engine;
use agent_sandbox_sim::faults::{Fault, Options};
use agent_sandbox_sim::run::{Broken, Case, Report, run as simulate};
use agent_sandbox_sim::saved::Saved;
use agent_sandbox_sim::story::moment;
use indicatif::{ProgressBar, ProgressStyle};

use super::campaign::{self, Asked, Counted};
use super::{HuntArgs, Verdict, config, judges, replay_command, say, short, timeline};

/// What all threads together have found.
#[derive(Debug, Default)]
struct Found {
    seeds: u64,
    steps: u64,
    marks: u64,
    struck: Vec<u64>,
    /// What each engine did, in the order of [`Engine::ALL`].
    engines: [Tally; Engine::ALL.len()],
    /// The violation with the lowest seed, and who found it.
    broken: Option<(Violated, Broken)>,
}

/// What one engine did.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    runs: u64,
    steps: u64,
    time: Duration,
    found: u64,
}

/// A run that went wrong, with the seed that led to it.
#[derive(Clone, Copy, Debug)]
struct Violated {
    seed: u64,
    engine: Engine,
    options: Options,
}

/// Runs many seeds and tells the first violation, or what was never reached.
pub(super) fn hunt(args: &HuntArgs) -> anyhow::Result<Verdict> {
    timeline::check(args.timeline.as_deref())?;
    campaign::check(args.json.as_deref())?;
    let (from, to) = args.seeds.unwrap_or_else(|| (super::run::fresh_seed() >> 16, u64::MAX));
    let (from, to) = args.shard.map_or((from, to), |shard| share((from, to), shard));
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
    tell_engines(&found);
    if let Some(path) = &args.json {
        let faults = args.faults.without(args.without_faults);
        let asked = Asked { seeds: (from, to), faults, engine: args.engine, mutant: args.mutant };
        let Found { seeds: tried, steps, marks, .. } = found;
        let broken = found.broken.as_ref().map(|(of, broken)| (of.seed, &of.options, broken));
        let counted = Counted { tried, steps, marks, struck: &found.struck, broken };
        campaign::save(path, &asked, &counted)?;
    }
    let verdict = Verdict::of(found.broken.as_ref().map(|(_, broken)| broken));
    match &found.broken {
        Some((violated, broken)) => {
            let (saved, command) = tell_violation(args, violated, broken)?;
            if let Some(path) = &args.timeline {
                let options = saved.as_ref().map_or(violated.options, |saved| saved.options);
                let case = Case { options, setup: config(args.mutant), judges: judges(args.mutant) };
                let choices = saved.map_or_else(|| options.choices(), |saved| Choices::from_tape(saved.tape));
                timeline::write(path, &case, choices, &command)?;
            }
        }
        None => tell_unreached(args, &found),
    }
    say!("");
    say!("verdict         {verdict}");
    Ok(verdict)
}

fn search(args: &HuntArgs, from: u64, to: u64) -> Found {
    let jobs = args.jobs.map_or_else(cores, |jobs| jobs as usize);
    let (next, stop) = (AtomicU64::new(from), AtomicBool::new(false));
    let found = Mutex::new(Found { struck: vec![0; Fault::ALL.len()], ..Found::default() });
    let deadline = Instant::now() + args.budget;
    let faults = args.faults.without(args.without_faults);
    let bar = progress(args.budget);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) && Instant::now() < deadline {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= to {
                        break;
                    }
                    let due = Engine::ALL
                        .into_iter()
                        .filter(|engine| args.engine.map_or(engine.has(seed), |only| only == *engine));
                    for engine in due {
                        let _ = engine.try_seed(seed, faults, &mut |options, writes| {
                            let begun = Instant::now();
                            let report =
                                simulate::<Machine>(options, config(args.mutant), judges(args.mutant), writes);
                            let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                            let is_over = found.note(Violated { seed, engine, options: *options }, report, begun.elapsed());
                            stop.fetch_or(is_over, Ordering::Relaxed);
                            if stop.load(Ordering::Relaxed) || Instant::now() >= deadline {
                                return ControlFlow::Break(());
                            }
                            ControlFlow::Continue(())
                        });
                    }
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    found.seeds += 1;
                    bar.set_message(format!("{} seeds, {} steps", found.seeds, found.steps));
                    bar.set_position(args.budget.saturating_sub(deadline - Instant::now()).as_millis() as u64);
                }
            });
        }
    });
    bar.finish_and_clear();
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

impl Found {
    /// Takes in a run; returns whether something broke in it.
    fn note(&mut self, of: Violated, report: Report, time: Duration) -> bool {
        self.steps += report.steps;
        self.marks |= report.marks;
        for (sum, count) in self.struck.iter_mut().zip(&report.struck) {
            *sum += count;
        }
        let tally = &mut self.engines[of.engine as usize];
        tally.runs += 1;
        tally.steps += report.steps;
        tally.time += time;
        let Some(broken) = report.broken else { return false };
        tally.found += 1;
        let is_first = |(best, _): &(Violated, _)| (of.seed, of.engine) < (best.seed, best.engine);
        if self.broken.as_ref().is_none_or(is_first) {
            self.broken = Some((of, broken));
        }
        true
    }
}

/// Tells what each way to look did: one that had no seed of its own is left out.
fn tell_engines(found: &Found) {
    for (engine, tally) in Engine::ALL.into_iter().zip(&found.engines).filter(|(_, tally)| tally.runs > 0) {
        let (name, seconds) = (engine.name(), tally.time.as_secs_f64());
        let what = if tally.found > 0 { "a violation" } else { "nothing" };
        say!("  {name:13} {:>8} runs, {:>10} steps, {seconds:>7.1} s: found {what}", tally.runs, tally.steps);
    }
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

fn tell_violation(
    args: &HuntArgs,
    Violated { engine, options, .. }: &Violated,
    broken: &Broken,
) -> anyhow::Result<(Option<Saved>, String)> {
    let replay = replay_command(options, args.mutant);
    let mut shortest = (None, replay.clone());
    let (property, engine) = (broken.violation.property, engine.name());
    say!("");
    say!(
        "{} broke with seed {:#x} ({engine}), at step {}, {}:",
        property.name,
        options.seed,
        broken.step,
        moment(broken.at)
    );
    say!("  {}", broken.violation.what);
    say!("  promised: {}", property.about);
    if let Some((saved, shrunk)) = short::shorten(options, args.mutant)
        && let Some(broken) = &shrunk.report.broken
    {
        short::tell_short(&saved, broken);
        let path = short::save(&saved, None, property.name)?;
        say!("");
        say!("play it again with");
        let command = format!("agent-sandbox-sim run --tape {}", path.display());
        say!("  {command}");
        shortest = (Some(saved), command);
    }
    say!("");
    say!("replay the run with");
    say!("  {replay}");
    Ok(shortest)
}

fn tell_unreached(args: &HuntArgs, found: &Found) {
    let drawn = args.faults.without(args.without_faults);
    let faults = Fault::ALL.into_iter().filter(|fault| drawn.has(*fault));
    let faults = faults.filter(|fault| found.struck[fault.index()] == 0).map(Fault::name);
    // Most ways to look leave most kinds out on purpose.
    let is_all_drawn = args.engine.is_none_or(|engine| engine == Engine::Swarm);
    let branches = (0..).zip(Machine::branches()).filter(|(bit, _)| found.marks >> bit & 1 == 0);
    if is_all_drawn {
        tell_list("faults never reached", faults.collect());
    }
    tell_list("branches never reached", branches.map(|(_, name)| name).collect());
}

pub(super) fn tell_list(what: &str, names: Vec<&str>) {
    say!("{what}: {}", if names.is_empty() { "none".to_owned() } else { names.join("; ") });
}
