//! `run`: one seed, and what happened.

use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agent_sandbox_core::config::Config;
use agent_sandbox_core::machine::Machine;
use agent_sandbox_core::time::Mono;
use agent_sandbox_sim::choices::Choices;
use agent_sandbox_sim::faults::{Fault, Faults, Options};
use agent_sandbox_sim::plan::Plan;
use agent_sandbox_sim::run::{Case, Observer, Report, run as simulate, sent_by_intent};
use agent_sandbox_sim::span::whole as span;
use agent_sandbox_sim::stats::Stats;
use agent_sandbox_sim::story::{Story, moment};
use agent_sandbox_sim::trace::{Recorded, Recording, Traces};
use anyhow::Context;
use hdrhistogram::Histogram;

use super::{RunArgs, Verdict, config, judges, replay_command, say, short, timeline};

/// How many lines of the story come with a violation.
const STORY_LINES: usize = 30;

/// Runs one seed and tells what happened.
pub(super) fn run(args: &RunArgs) -> anyhow::Result<Verdict> {
    timeline::check(args.timeline.as_deref())?;
    if let Some(path) = &args.tape {
        return play(path, args);
    }
    let seed = args.seed.unwrap_or_else(fresh_seed);
    say!("seed            {seed:#018x}");
    let RunArgs { claims, pool, duration, plan, .. } = *args;
    let faults = args.faults.without(args.without_faults);
    let options = Options { seed, claims, pool, duration, faults, plan };
    let mut story = Story::last(usize::try_from(args.story).unwrap_or(usize::MAX).max(STORY_LINES));
    if let Some(word) = &args.about {
        story = story.about(word);
    }
    let started = Instant::now();
    let play = |observer: &mut dyn Observer<Machine>| {
        simulate::<Machine>(&options, setup(args), judges(args.mutant), observer)
    };
    let report = match &args.trace {
        Some(path) => record(path, args, &options, &mut story)?,
        None if args.story > 0 => play(&mut story),
        // To tell what happens takes a quarter of the time, so only what breaks something is played once more for it.
        None => play(&mut ()),
    };
    tell(args, &report, started.elapsed());
    if args.trace.is_none() && args.story == 0 && report.broken.is_some() {
        play(&mut story);
    }
    let verdict = Verdict::of(report.broken.as_ref());
    let command = replay_command(&options, args.mutant);
    let (options, report) = match args.shrink {
        true => shorten(args, &options, report, &mut story)?,
        false => (options, report),
    };
    if let Some(path) = &args.timeline {
        let case = Case { options, setup: setup(args), judges: judges(args.mutant) };
        // A run that was not shrunk has no tape.
        if report.tape.is_empty() {
            timeline::write(path, &case, options.choices(), &command)?;
        } else {
            let choices = Choices::from_tape(report.tape.clone());
            timeline::write(path, &case, choices, &format!("{command} --shrink"))?;
        }
    }
    if let Some(broken) = &report.broken {
        say!("");
        say!("{} broke at step {}, {}:", broken.violation.property.name, broken.step, moment(broken.at));
        say!("  {}", broken.violation.what);
        say!("  promised: {}", broken.violation.property.about);
    }
    if args.story > 0 || verdict != Verdict::Pass && !args.shrink {
        say!("");
        say!("the last {} things that happened:", story.lines().len());
        for line in story.lines() {
            say!("{line}");
        }
    }
    say!("");
    say!("verdict         {verdict}");
    Ok(verdict)
}

/// Returns the configuration of the processes.
fn setup(args: &RunArgs) -> Config {
    let replenish_delay = args.replenish_delay.unwrap_or_default();
    let refill_rate = args.refill_rate.unwrap_or_default();
    Config { replenish_delay, refill_rate, ..config(args.mutant) }
}

/// Looks for a shorter failure and tells that one.
fn shorten(
    args: &RunArgs,
    options: &Options,
    report: Report,
    story: &mut Story,
) -> anyhow::Result<(Options, Report)> {
    let Some((saved, short)) = short::shorten(options, args.mutant) else { return Ok((*options, report)) };
    let Some(broken) = &short.report.broken else { return Ok((*options, report)) };
    say!("");
    let minimal = if short.is_minimal { "each of them needed" } else { "not each of them tried" };
    let (choices, runs) = (saved.tape.len(), short.runs);
    say!(
        "shrunk          from {} steps to {}, by {choices} choices, {minimal}; {runs} runs",
        report.steps,
        short.report.steps
    );
    let name = broken.violation.property.name;
    let sentences = short::tell_short(&saved, broken);
    if let Some(path) = &args.save_tape {
        short::save(&saved, Some(path), name)?;
    }
    if let Some(path) = &args.write_test {
        short::write_test(&saved, path, name, &sentences)?;
    }
    story.clear();
    saved.case().play(Choices::from_tape(saved.tape.clone()), story);
    Ok((short.options, short.report))
}

/// Plays a tape and tells what it breaks.
fn play(tape: &Path, args: &RunArgs) -> anyhow::Result<Verdict> {
    let lines = args.story;
    let saved = short::load(tape)?;
    let mut story = Story::last(usize::try_from(lines).unwrap_or(usize::MAX));
    let report = saved.case().play(Choices::from_tape(saved.tape.clone()), &mut story);
    say!("tape            {} choices; {} steps", saved.tape.len(), report.steps);
    if lines > 0 {
        story.lines().for_each(|line| say!("{line}"));
    }
    if let Some(broken) = &report.broken {
        short::tell_short(&saved, broken);
    }
    if let Some(path) = &args.timeline {
        let choices = Choices::from_tape(saved.tape.clone());
        let command = format!("agent-sandbox-sim run --tape {}", tape.display());
        timeline::write(path, &saved.case(), choices, &command)?;
    }
    let verdict = Verdict::of(report.broken.as_ref());
    say!("");
    say!("verdict         {verdict}");
    Ok(verdict)
}

/// Picks a seed that nobody has tried. This is the only chance that is not in the seed.
pub(super) fn fresh_seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn record(path: &Path, args: &RunArgs, options: &Options, story: &mut Story) -> anyhow::Result<Report> {
    // Opened here first, so that a path that cannot be written is a usage error before anything runs.
    let mut first = Some(create(path)?);
    let base = path.to_owned();
    let traces = Traces::new(move |number| match first.take() {
        Some(file) => Ok(Box::new(BufWriter::new(file))),
        None => Ok(Box::new(BufWriter::new(File::create(numbered(&base, number + 1))?))),
    });
    let recording = Recording { config: setup(args), traces: traces.clone() };
    let report = simulate::<Recorded>(options, recording, judges(args.mutant), story);
    let count = traces.finish().with_context(|| format!("cannot write the trace {}", path.display()))?;
    say!("traces          {count} in {} …", path.display());
    Ok(report)
}

fn create(path: &Path) -> anyhow::Result<File> {
    let mut file =
        File::create(path).with_context(|| format!("cannot write the trace {}", path.display()))?;
    file.flush()?;
    Ok(file)
}

fn numbered(base: &Path, number: usize) -> PathBuf {
    let mut name = base.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

fn tell(args: &RunArgs, report: &Report, real: Duration) {
    let stats = &report.stats;
    let RunArgs { claims, pool, duration, .. } = args;
    let is_calm = args.faults.without(args.without_faults) == Faults::NONE && args.plan == Plan::None;
    let then = if is_calm { "without trouble, then rest" } else { "of trouble, then healing and rest" };
    say!("simulated       {claims} claims, a pool of {pool}, {} {then}", span(*duration));
    if let Some(mutant) = args.mutant {
        say!("defect          {}: {}", mutant.name(), mutant.about());
    }
    say!("faults          {}", faults(report));
    say!(
        "claims          {} created, {} ready warm, {} ready cold, {} deleted before they were ready",
        stats.claims,
        stats.warm,
        stats.cold,
        stats.given_up
    );
    if stats.unserved() > 0 {
        say!(
            "                {} never ready: they ask for what they cannot have, or ended first",
            stats.unserved()
        );
    }
    say!("create → Ready  {}", latencies(&stats.latency));
    say!("  of them warm  {}", latencies(&stats.latency_warm));
    say!("sent            {}", sent(stats));
    say!("properties      {}", properties(report));
    let virtual_time = report.elapsed.as_secs_f64();
    say!(
        "time            {} virtual in {:.2} s real, {:.0} times as fast; {} steps, {} revisions",
        span(report.elapsed),
        real.as_secs_f64(),
        virtual_time / real.as_secs_f64().max(1e-9),
        report.steps,
        stats.revisions
    );
}

fn faults(report: &Report) -> String {
    let struck = Fault::ALL.into_iter().zip(&report.struck).filter(|(_, count)| **count > 0);
    let list: Vec<_> = struck.map(|(fault, count)| format!("{} {count}", fault.name())).collect();
    if list.is_empty() { "none".to_owned() } else { wrapped(&list) }
}

fn latencies(histogram: &Histogram<u64>) -> String {
    if histogram.is_empty() {
        return "none".to_owned();
    }
    let at = |quantile| micros(histogram.value_at_quantile(quantile));
    let (p50, p90, p99) = (at(0.5), at(0.9), at(0.99));
    format!("p50 {p50}, p90 {p90}, p99 {p99}, max {}; {} claims", micros(histogram.max()), histogram.len())
}

fn sent(stats: &Stats) -> String {
    let claims = stats.claims.max(1) as f64;
    let mut list = vec![format!(
        "{:.1} writes a claim, {} came too late",
        stats.writes() as f64 / claims,
        stats.refused
    )];
    list.extend(sent_by_intent(stats).map(|(intent, count)| format!("{intent:?} {count}")));
    wrapped(&list)
}

fn properties(report: &Report) -> String {
    let list = report.checked.iter().map(|(property, count)| format!("{} {count}", property.name));
    wrapped(&list.collect::<Vec<_>>())
}

/// Joins items with commas, in lines that stand below each other.
pub(super) fn wrapped(items: &[String]) -> String {
    const WIDTH: usize = 88;
    let (mut text, mut line) = (String::new(), 0);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            text.push(',');
            if line + item.len() > WIDTH {
                text.push_str("\n               ");
                line = 0;
            }
            text.push(' ');
        }
        text.push_str(item);
        line += item.len() + 2;
    }
    text
}

fn micros(micros: u64) -> String {
    match micros {
        0..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => moment_short(Mono::from_micros(micros)),
    }
}

fn moment_short(at: Mono) -> String {
    format!("{:.2} s", at.micros() as f64 / 1e6)
}
