//! A scenario with several seeds, and what users felt and what it cost.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agent_sandbox_core::config::Config;
use agent_sandbox_core::machine::Machine;
use serde::Serialize;

use super::gauges::{Gauges, INTERVALS, Interval};
pub use super::spread::Spread;
use super::{Scenario, Trouble, plan};
use crate::choices::Choices;
use crate::controller::Controller;
use crate::run::{Judges, Observer, Report, run_scene};
use crate::step::{Fact, Step};
use crate::timed::Timed;
use crate::world::World;

/// What several runs of one scenario came to.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The seeds, the first and how many.
    pub first_seed: u64,
    /// How many runs there were.
    pub runs: u64,
    /// How long each run went on, before everything was served. **Unit**: seconds.
    pub seconds: f64,
    /// Claims that users created.
    pub claims: Spread,
    /// Of those that were served, the part that got a member of the pool, from 0 to 1.
    pub warm_hit: Option<Spread>,
    /// Claims that were deleted before they were Ready.
    pub given_up: Spread,
    /// Claims that were there in the end and never Ready.
    pub never_ready: Spread,
    /// How long claims waited for Ready.
    pub wait: Waits,
    /// The cost.
    pub pod_hours: PodHours,
    /// Writes of controllers for one claim.
    pub writes_per_claim: Spread,
    /// What was seen over time, the mean of all runs.
    pub over_time: OverTime,
    /// What broke, and in which run.
    pub violations: Vec<Violation>,
}

/// How long claims waited, of each run the percentile, then the spread over runs. **Unit**: seconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Waits {
    /// Half of the claims waited longer.
    pub p50: Option<Spread>,
    /// One in ten waited longer.
    pub p90: Option<Spread>,
    /// One in twenty waited longer.
    pub p95: Option<Spread>,
    /// One in a hundred waited longer.
    pub p99: Option<Spread>,
    /// The longest.
    pub max: Option<Spread>,
}

/// How many hours Pods were there, all Pods added up.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PodHours {
    /// In pools, or on their way in or out.
    pub idle: Spread,
    /// With a claim.
    pub used: Spread,
}

/// What was seen over time.
#[derive(Clone, Debug, Serialize)]
pub struct OverTime {
    /// How long an interval is. **Unit**: seconds.
    pub interval_seconds: f64,
    /// The intervals, in order.
    pub intervals: Vec<Interval>,
}

/// A property that broke.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The seed of the run.
    pub seed: u64,
    /// The property's name.
    pub property: &'static str,
    /// Whether something bad happened, rather than something good did not.
    #[serde(rename = "unsafe")]
    pub unsafe_: bool,
    /// How it broke.
    pub what: String,
    /// When. **Unit**: microseconds.
    pub at_micros: u64,
}

/// What one run came to.
struct One {
    seed: u64,
    report: Report,
    gauges: Gauges,
}

/// Runs a scenario once and shows every step to an observer.
pub fn run_once<C: Controller>(
    scenario: &Scenario,
    seed: u64,
    controller: C::Setup,
    judges: Judges,
    observer: &mut dyn Observer<C>,
) -> (Report, Gauges) {
    let mut choices = Choices::from_seed(seed);
    let plan = plan::draw(scenario, &mut choices);
    let timed = Timed::<C>::under(plan.conditions, &plan.workload, scenario.duration.0, controller, choices);
    let pace = C::pace(&timed.world().scene().controller);
    let slack = pace.slack(members_most(scenario)) + longest_start(scenario);
    let mut both = Both { gauges: Gauges::until(scenario.duration.0), observer };
    let report = run_scene(timed, scenario.faults.is_empty(), slack, judges, &mut both);
    (report, both.gauges)
}

struct Both<'a, C: Controller> {
    gauges: Gauges,
    observer: &'a mut dyn Observer<C>,
}

impl<C: Controller> Observer<C> for Both<'_, C> {
    fn on_step(&mut self, at: agent_sandbox_core::time::Mono, step: Step, facts: &[Fact], world: &World<C>) {
        self.gauges.on_step(at, step, facts, world);
        self.observer.on_step(at, step, facts, world);
    }
}

/// How often a scenario is played.
#[derive(Clone, Copy, Debug)]
pub struct Runs {
    /// The seed of the first run; each has the next.
    pub first_seed: u64,
    /// How many runs.
    pub count: u64,
    /// How many threads share them; the outcome does not depend on it.
    pub threads: usize,
}

/// Runs a scenario with several seeds.
pub fn run(scenario: &Scenario, runs: Runs, config: &Config, judges: Judges) -> Outcome {
    let Runs { first_seed, count, threads } = runs;
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed) as u64;
                    if number >= count {
                        break;
                    }
                    let seed = first_seed.wrapping_add(number);
                    let (report, gauges) =
                        run_once::<Machine>(scenario, seed, config.clone(), judges, &mut ());
                    let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    done.push((number, One { seed, report, gauges }));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(number, _)| *number);
    let all: Vec<One> = done.into_iter().map(|(_, one)| one).collect();
    sum_up(scenario, first_seed, &all)
}

fn sum_up(scenario: &Scenario, first_seed: u64, all: &[One]) -> Outcome {
    let spread = |what: &dyn Fn(&One) -> Option<f64>| {
        let values: Vec<f64> = all.iter().filter_map(what).collect();
        Spread::of(&values)
    };
    let count = |what: &dyn Fn(&One) -> f64| {
        spread(&|one| Some(what(one))).unwrap_or(Spread { mean: 0.0, within: None })
    };
    let wait = |quantile: f64| {
        spread(&|one| {
            let latency = &one.report.stats.latency;
            (!latency.is_empty()).then(|| latency.value_at_quantile(quantile) as f64 / 1e6)
        })
    };
    Outcome {
        first_seed,
        runs: all.len() as u64,
        seconds: scenario.duration.0.as_secs_f64(),
        claims: count(&|one| one.report.stats.claims as f64),
        warm_hit: spread(&|one| {
            let served = one.report.stats.warm + one.report.stats.cold;
            (served > 0).then(|| one.report.stats.warm as f64 / served as f64)
        }),
        given_up: count(&|one| one.report.stats.given_up as f64),
        never_ready: count(&|one| one.report.stats.unserved() as f64),
        wait: Waits { p50: wait(0.5), p90: wait(0.9), p95: wait(0.95), p99: wait(0.99), max: wait(1.0) },
        pod_hours: PodHours {
            idle: count(&|one| one.gauges.pod_hours().0),
            used: count(&|one| one.gauges.pod_hours().1),
        },
        writes_per_claim: count(&|one| {
            one.report.stats.writes() as f64 / one.report.stats.claims.max(1) as f64
        }),
        over_time: OverTime {
            interval_seconds: scenario.duration.0.as_secs_f64() / INTERVALS as f64,
            intervals: mean_over_runs(all),
        },
        violations: all.iter().filter_map(violation).collect(),
    }
}

fn mean_over_runs(all: &[One]) -> Vec<Interval> {
    let mean = |place: usize, what: fn(&Interval) -> f64| {
        all.iter().map(|one| what(&one.gauges.intervals()[place])).sum::<f64>() / all.len().max(1) as f64
    };
    let interval = |place| Interval {
        waiting: mean(place, |it| it.waiting),
        waiting_most: mean(place, |it| it.waiting_most),
        ready: mean(place, |it| it.ready),
        pods: mean(place, |it| it.pods),
        warm: mean(place, |it| it.warm),
        cold: mean(place, |it| it.cold),
    };
    (0..INTERVALS).map(interval).collect()
}

fn violation(one: &One) -> Option<Violation> {
    use crate::checkers::Class;
    let broken = one.report.broken.as_ref()?;
    Some(Violation {
        seed: one.seed,
        property: broken.violation.property.name,
        unsafe_: broken.violation.property.class == Class::Safety,
        what: broken.violation.what.clone(),
        at_micros: broken.at.micros(),
    })
}

/// Returns how many members all pools have at most.
fn members_most(scenario: &Scenario) -> u32 {
    let scaled = scenario.faults.iter().filter_map(|trouble| match trouble {
        Trouble::Scale { replicas, .. } => Some(replicas.0),
        Trouble::Quota { .. }
        | Trouble::Throttling { .. }
        | Trouble::SlowServer { .. }
        | Trouble::NodeLoss { .. }
        | Trouble::Rollout { .. }
        | Trouble::Crash { .. } => None,
    });
    let pools: u32 = scenario.pools.iter().map(|pool| pool.replicas.0).sum();
    pools.saturating_add(scaled.sum())
}

/// Returns how long a Pod takes at most, when all nodes pull first.
fn longest_start(scenario: &Scenario) -> Duration {
    let nodes = &scenario.nodes;
    let turns = nodes.count.0.div_ceil(nodes.pulls_at_once.0.max(1));
    let pulls = nodes.pull.as_ref().map_or(Duration::ZERO, |pull| pull.longest() * turns);
    // One that was under way, then the one that takes its place.
    (pulls + scenario.start.longest()) * 2
}
