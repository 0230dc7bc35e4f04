//! A scenario and a seed → what users do and when, and what the cluster is like.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agent_sandbox_core::config::Config;
use agent_sandbox_core::id::{Kind, Text};
use agent_sandbox_core::object::Update;
use agent_sandbox_core::pace::Rate;
use agent_sandbox_core::time::Mono;

use super::{Arrivals, PerSecond, Scenario, Strategy, Trouble};
use crate::choices::Choices;
use crate::scene::{self, Act, Deed};
use crate::timed::{Conditions, Stay};
use crate::workload::Workload;

/// One run of a scenario, before its first step.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What users do.
    pub workload: Workload,
    /// What the cluster is like.
    pub conditions: Arc<Conditions>,
}

/// Draws what a seed makes of a scenario.
pub fn draw(scenario: &Scenario, choices: &mut Choices) -> Plan {
    let mut workload = Workload::default();
    let mut add = |at: Duration, act| {
        workload.script.push(Deed::new(act));
        workload.times.push(Mono::default() + at);
    };
    let micro = Duration::from_micros(1);
    add(Duration::ZERO, Act::Create(scene::template()));
    for pool in &scenario.pools {
        let update = match pool.update {
            Strategy::OnReplenish => Update::OnReplenish,
            Strategy::Recreate => Update::Recreate,
        };
        let object = scene::pool_of(&*pool.name, pool.replicas.0, scene::TEMPLATE, update);
        add(micro, Act::Create(object));
    }
    for (trouble, number) in scenario.faults.iter().zip(2..) {
        match trouble {
            Trouble::Rollout { at } => {
                let image = format!("sandbox:{number}");
                add(at.0, Act::Edit(scene::template_of(scene::TEMPLATE, &image)));
            }
            Trouble::Scale { at, replicas, pool } => {
                add(at.0, Act::Scale(scene::key(pool_name(scenario, pool)), replicas.0));
            }
            Trouble::Quota { .. }
            | Trouble::Throttling { .. }
            | Trouble::SlowServer { .. }
            | Trouble::NodeLoss { .. }
            | Trouble::Crash { .. } => {}
        }
    }
    let mut claims: Vec<(Duration, Text)> = Vec::new();
    for arrivals in &scenario.arrivals {
        let pool = pool_of(scenario, arrivals);
        claims.extend(moments(arrivals, scenario, choices).into_iter().map(|at| (at, pool.clone())));
    }
    for (number, (at, pool)) in claims.iter().enumerate() {
        add(*at, Act::Create(scene::claim(format!("claim-{number}"), pool.clone())));
    }
    let users = follow(scenario, claims.len(), &mut workload.script, choices);
    Plan { workload, conditions: Arc::new(conditions(scenario, users)) }
}

/// Adds the lines with which users leave: they have no moment before it is known when a claim is served.
fn follow(
    scenario: &Scenario,
    claims: usize,
    script: &mut Vec<Deed>,
    choices: &mut Choices,
) -> BTreeMap<Text, Stay> {
    let mut users = BTreeMap::new();
    if scenario.hold.is_none() && scenario.patience.is_none() {
        return users;
    }
    for number in 0..claims {
        let key = scene::key(format!("claim-{number}"));
        let line = u32::try_from(script.len()).unwrap_or(u32::MAX);
        let hold = scenario.hold.as_ref().map(|delay| delay.draw(choices));
        let patience = scenario.patience.as_ref().map(|delay| delay.draw(choices));
        users.insert(key.name.clone(), Stay { line, hold, patience });
        script.push(Deed::new(Act::Delete(Kind::Claim, key)));
    }
    users
}

/// Returns when the claims of one process come, in order.
fn moments(arrivals: &Arrivals, scenario: &Scenario, choices: &mut Choices) -> Vec<Duration> {
    let end = scenario.duration.0;
    match arrivals {
        Arrivals::Burst { at, claims, within, .. } => {
            let mut moments: Vec<_> = (0..claims.0).map(|_| choices.between(at.0, at.0 + within.0)).collect();
            moments.sort_unstable();
            moments
        }
        Arrivals::Poisson { from, to, rate, .. } => {
            let to = to.map_or(end, |to| to.0);
            poisson(from.0, to, *rate, choices)
        }
        Arrivals::Diurnal { low, high, day, peak, .. } => {
            let peak = peak.map_or(day.0 / 2, |peak| peak.0).as_secs_f64();
            let all = poisson(Duration::ZERO, end, *high, choices);
            let stays = |at: &Duration, choices: &mut Choices| {
                let turn = (at.as_secs_f64() - peak) / day.0.as_secs_f64();
                let wave = (1.0 + libm::cos(turn * std::f64::consts::TAU)) / 2.0;
                let share = (low.0 + (high.0 - low.0) * wave) / high.0;
                f64::from(choices.below(1 << 20)) < share * f64::from(1 << 20)
            };
            all.into_iter().filter(|at| stays(at, choices)).collect()
        }
    }
}

/// Returns the moments of a Poisson process: the times between them are exponential.
fn poisson(from: Duration, to: Duration, rate: PerSecond, choices: &mut Choices) -> Vec<Duration> {
    let mut moments = Vec::new();
    let mut at = from.as_secs_f64();
    loop {
        let part = (f64::from(choices.below(1 << 24)) + 0.5) / f64::from(1 << 24);
        at -= libm::log(1.0 - part) / rate.0;
        if at >= to.as_secs_f64() {
            return moments;
        }
        moments.push(Duration::from_micros((at * 1e6) as u64));
    }
}

fn conditions(scenario: &Scenario, users: BTreeMap<Text, Stay>) -> Conditions {
    let mut conditions = Conditions {
        start: scenario.start.clone(),
        nodes: scenario.nodes.count.0,
        pull: scenario.nodes.pull.clone().map(|pull| (pull, scenario.nodes.pulls_at_once.0)),
        quotas: Vec::new(),
        throttles: Vec::new(),
        slow: Vec::new(),
        losses: Vec::new(),
        crashes: Vec::new(),
        users,
    };
    let moment = |span: super::Span| Mono::default() + span.0;
    for trouble in &scenario.faults {
        match trouble {
            Trouble::Quota { from, to, pods } => {
                conditions.quotas.push((moment(*from), moment(*to), pods.0));
            }
            Trouble::Throttling { from, to, requests } => {
                let apart = Duration::from_secs_f64(1.0 / requests.0);
                conditions.throttles.push((moment(*from), moment(*to), apart));
            }
            Trouble::SlowServer { from, to, by } => {
                conditions.slow.push((moment(*from), moment(*to), by.clone()));
            }
            Trouble::NodeLoss { at, nodes } => conditions.losses.push((moment(*at), nodes.0)),
            Trouble::Crash { at } => conditions.crashes.push(moment(*at)),
            Trouble::Rollout { .. } | Trouble::Scale { .. } => {}
        }
    }
    conditions
}

/// Returns the configuration of the controller.
pub fn config(scenario: &Scenario, usual: Config) -> Config {
    let flags = &scenario.controller;
    let rate = |rate: PerSecond| Rate::parse(&rate.0.to_string()).unwrap_or_default();
    Config {
        replenish_delay: flags.replenish_delay.map_or(usual.replenish_delay, |delay| delay.0),
        refill_rate: flags.refill_rate.map_or(usual.refill_rate, rate),
        readiness_grace: flags.readiness_grace.map_or(usual.readiness_grace, |grace| grace.0),
        ..usual
    }
}

fn pool_of(scenario: &Scenario, arrivals: &Arrivals) -> Text {
    let (Arrivals::Burst { pool, .. } | Arrivals::Poisson { pool, .. } | Arrivals::Diurnal { pool, .. }) =
        arrivals;
    pool_name(scenario, pool).into()
}

fn pool_name<'a>(scenario: &'a Scenario, pool: &'a Option<String>) -> &'a str {
    let first = || scenario.pools.first().map_or("", |pool| &*pool.name);
    pool.as_deref().unwrap_or_else(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Span;

    fn scenario() -> Scenario {
        super::super::read::read(
            "{about: x, for: 1h, pools: [{name: p, replicas: 1}], arrivals: [], start: {fixed: 1s}}",
        )
        .expect("the text is a scenario")
    }

    const fn secs(seconds: u64) -> Span {
        Span(Duration::from_secs(seconds))
    }

    #[test]
    fn a_poisson_process_has_its_rate_and_its_spread() {
        let arrivals =
            Arrivals::Poisson { from: secs(600), to: Some(secs(1600)), rate: PerSecond(5.0), pool: None };
        let mut choices = Choices::from_seed(1);
        let counts: Vec<f64> =
            (0..200).map(|_| moments(&arrivals, &scenario(), &mut choices).len() as f64).collect();
        let mean = counts.iter().sum::<f64>() / 200.0;
        let variance = counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / 199.0;
        assert!((mean - 5000.0).abs() < 20.0 && (3500.0..7000.0).contains(&variance), "{mean} {variance}");
        let drawn = moments(&arrivals, &scenario(), &mut choices);
        assert!(drawn.is_sorted() && drawn[0] >= secs(600).0 && *drawn.last().unwrap() < secs(1600).0);
    }

    #[test]
    fn a_day_has_its_night() {
        let (low, high) = (PerSecond(0.5), PerSecond(4.5));
        let arrivals = Arrivals::Diurnal { low, high, day: secs(3600), peak: None, pool: None };
        let drawn = moments(&arrivals, &scenario(), &mut Choices::from_seed(1));
        let within = |from, to| drawn.iter().filter(|at| (secs(from).0..secs(to).0).contains(at)).count();
        // The mean of the wave in the tenth around its top and bottom is 98% and 2% of its height.
        let (day, night) = (within(1620, 1980), within(0, 180) + within(3420, 3600));
        assert!((1450..1750).contains(&day) && (150..260).contains(&night), "{day} {night}");
    }

    #[test]
    fn a_burst_is_complete() {
        let arrivals =
            Arrivals::Burst { at: secs(60), claims: super::super::Count(300), within: secs(2), pool: None };
        let drawn = moments(&arrivals, &scenario(), &mut Choices::from_seed(1));
        assert_eq!(drawn.len(), 300);
        assert!(drawn[0] >= secs(60).0 && drawn[299] <= secs(62).0);
    }
}
