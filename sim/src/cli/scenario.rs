//! `run --scenario`: a load from a file, several times, and what users felt.

use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use agent_sandbox_core::config::Config;
use agent_sandbox_core::machine::Machine;
use agent_sandbox_core::time::Mono;
use agent_sandbox_sim::scenario::outcome::{Outcome, Runs, Spread, Violation, run as play, run_once};
use agent_sandbox_sim::scenario::{Scenario, library, plan, read};
use agent_sandbox_sim::span;
use agent_sandbox_sim::story::{Story, moment};
use agent_sandbox_sim::timeline::Recorder;
use agent_sandbox_sim::timeline::page::{Heading, page};
use anyhow::{Context, anyhow};

use super::{RunArgs, Verdict, chart, config, judges, say, timeline};

/// How many lines of the story come with a violation.
const STORY_LINES: usize = 30;

/// How high charts are.
const HEIGHT: usize = 6;

/// Plays a scenario, a file or one of the library, and tells what came of it.
pub(super) fn run(args: &RunArgs, name: &str) -> anyhow::Result<Verdict> {
    match name {
        "help" => return list(),
        "schema" => {
            say!("{:#}", schemars::schema_for!(Scenario).to_value());
            return Ok(Verdict::Pass);
        }
        _ => {}
    }
    timeline::check(args.timeline.as_deref())?;
    let scenario = load(name)?;
    let controller = plan::config(&scenario, config(args.mutant));
    let controller = Config {
        replenish_delay: args.replenish_delay.unwrap_or(controller.replenish_delay),
        refill_rate: args.refill_rate.unwrap_or(controller.refill_rate),
        ..controller
    };
    let seed = args.seed.unwrap_or(1);
    let threads = available_parallelism().map_or(1, usize::from);
    let (judges, runs) = (judges(args.mutant), Runs { first_seed: seed, count: args.runs.into(), threads });
    let started = Instant::now();
    let outcome = play(&scenario, runs, &controller, judges);
    let verdict = verdict(&outcome);
    if let Some(path) = &args.timeline {
        let seed = outcome.violations.first().map_or(seed, |violation| violation.seed);
        let mut recorder = Recorder::default();
        let (report, _) = run_once::<Machine>(&scenario, seed, controller.clone(), judges, &mut recorder);
        let heading = Heading {
            title: &format!("{name}: {}", scenario.about),
            command: &format!("agent-sandbox-sim run --scenario {name} --seed {seed}"),
            broken: report.broken.as_ref(),
            story: &[],
            over_time: Some(&outcome.over_time),
        };
        timeline::save(path, &page(&recorder, &heading))?;
    }
    if args.json {
        let mut json = serde_json::to_value(&outcome)?;
        json["scenario"] = name.into();
        json["about"] = scenario.about.as_str().into();
        json["verdict"] = match verdict {
            Verdict::Pass => "pass",
            Verdict::NotLive => "not live",
            Verdict::Unsafe | Verdict::Differs | Verdict::Missed | Verdict::Crashed => "unsafe",
        }
        .into();
        say!("{json:#}");
        return Ok(verdict);
    }
    tell(name, &scenario, &outcome, started.elapsed());
    let mut story = Story::last(usize::try_from(args.story).unwrap_or(usize::MAX).max(STORY_LINES));
    if let Some(word) = &args.about {
        story = story.about(word);
    }
    if let Some(violation) = outcome.violations.first() {
        tell_violation(&outcome, violation);
    }
    if args.story > 0 || verdict != Verdict::Pass {
        let seed = outcome.violations.first().map_or(seed, |violation| violation.seed);
        run_once::<Machine>(&scenario, seed, controller, judges, &mut story);
        say!("");
        say!("the last {} things that happened with seed {seed}:", story.lines().len());
        story.lines().for_each(|line| say!("{line}"));
    }
    say!("");
    say!("verdict         {verdict}");
    Ok(verdict)
}

/// Reads a file, or what the library has under this name.
fn load(name: &str) -> anyhow::Result<Scenario> {
    if let Some(entry) = library::named(name) {
        return read::read(entry.text).map_err(|why| anyhow!("the scenario {name}: {why}"));
    }
    let text = std::fs::read_to_string(name).with_context(|| {
        let names: Vec<_> = library::LIBRARY.iter().map(|entry| entry.name).collect();
        format!("cannot read the scenario {name}, and the library has only {}", names.join(", "))
    })?;
    read::read(&text).map_err(|why| anyhow!("{name}: {why}"))
}

fn list() -> anyhow::Result<Verdict> {
    for entry in library::LIBRARY {
        say!("{:<17} {}", entry.name, load(entry.name)?.about);
    }
    Ok(Verdict::Pass)
}

fn verdict(outcome: &Outcome) -> Verdict {
    match outcome.violations.iter().map(|violation| violation.unsafe_).max() {
        None => Verdict::Pass,
        Some(false) => Verdict::NotLive,
        Some(true) => Verdict::Unsafe,
    }
}

fn tell(name: &str, scenario: &Scenario, outcome: &Outcome, real: Duration) {
    let (runs, first) = (outcome.runs, outcome.first_seed);
    let length = scenario.duration.0;
    say!("scenario        {name}: {}", scenario.about);
    say!(
        "runs            {runs} of {}, seeds {first} to {}, in {:.2} s",
        span::whole(length),
        first.wrapping_add(runs - 1),
        real.as_secs_f64()
    );
    if runs > 1 {
        say!("                figures are means of the runs, with the 95% confidence interval of the mean");
    }
    say!("claims          {}", plain(Some(outcome.claims), 0));
    say!("warm hits       {}", percent(outcome.warm_hit));
    say!("gave up         {}", plain(Some(outcome.given_up), 0));
    if outcome.never_ready.mean > 0.0 {
        say!("never ready     {}", plain(Some(outcome.never_ready), 0));
    }
    let wait = &outcome.wait;
    for (name, spread) in
        [("p50", wait.p50), ("p90", wait.p90), ("p95", wait.p95), ("p99", wait.p99), ("max", wait.max)]
    {
        let title = if name == "p50" { "create → Ready" } else { "" };
        say!("{title:<15} {name}  {}", seconds(spread));
    }
    let hours = &outcome.pod_hours;
    say!(
        "pod-hours       {} idle in the pool, {} in use",
        plain(Some(hours.idle), 2),
        plain(Some(hours.used), 2)
    );
    say!("writes a claim  {}", plain(Some(outcome.writes_per_claim), 1));
    let values = |what: fn(&agent_sandbox_sim::scenario::gauges::Interval) -> f64| {
        outcome.over_time.intervals.iter().map(what).collect::<Vec<f64>>()
    };
    for (title, values) in [
        ("claims that are not Ready, the most in each interval", values(|it| it.waiting_most)),
        ("members ready, on average", values(|it| it.ready)),
    ] {
        say!("");
        say!("{title}:");
        chart::bars(&values, HEIGHT, length).iter().for_each(|line| say!("{line}"));
    }
}

fn tell_violation(outcome: &Outcome, violation: &Violation) {
    say!("");
    say!(
        "{} broke in {} of {} runs, first with seed {}, {}:",
        violation.property,
        outcome.violations.iter().filter(|other| other.property == violation.property).count(),
        outcome.runs,
        violation.seed,
        moment(Mono::from_micros(violation.at_micros))
    );
    say!("  {}", violation.what);
}

fn plain(spread: Option<Spread>, digits: usize) -> String {
    written(spread, |value| format!("{value:.digits$}"))
}

fn percent(spread: Option<Spread>) -> String {
    written(spread, |value| format!("{:.1}%", value * 100.0))
}

fn seconds(spread: Option<Spread>) -> String {
    written(spread, |value| match value {
        ..1.0 => format!("{:.1} ms", value * 1e3),
        _ => format!("{value:.2} s"),
    })
}

fn written(spread: Option<Spread>, write: impl Fn(f64) -> String) -> String {
    match spread {
        None => "none".to_owned(),
        Some(Spread { mean, within: None }) => write(mean),
        Some(Spread { mean, within: Some(within) }) => format!("{} ± {}", write(mean), write(within)),
    }
}
