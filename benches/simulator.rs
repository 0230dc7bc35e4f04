//! How fast the simulator is: steps a second, with every property judged, and how much time that is in the world.

use std::time::{Duration, Instant};

use agent_sandbox_core::config::Config;
use agent_sandbox_core::machine::Machine;
use agent_sandbox_sim::faults::{Faults, Options};
use agent_sandbox_sim::plan::Plan;
use agent_sandbox_sim::run::{Judges, Report, run};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Ten claims a second on a pool of 200, for a minute.
const LOAD: Options = Options {
    seed: 1,
    claims: 600,
    pool: 200,
    duration: Duration::from_secs(60),
    faults: Faults::ALL,
    plan: Plan::None,
};

fn ten_claims_a_second(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ten claims a second, pool of 200");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    for (name, faults) in [("calm", Faults::NONE), ("with every fault", Faults::ALL)] {
        let options = Options { faults, ..LOAD };
        let started = Instant::now();
        let report = play(&options);
        // Healing and rest are left out: they are long and nearly nothing happens.
        let ratio = options.duration.as_secs_f64() / started.elapsed().as_secs_f64();
        eprintln!("{name}: {} steps, {ratio:.0} times as fast as the world", report.steps);
        group.throughput(Throughput::Elements(report.steps));
        group.bench_function(format!("steps, {name}"), |bencher| bencher.iter(|| play(&options)));
    }
    group.finish();
}

fn campaign(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("campaign");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    let seeds: Vec<Options> = (0..100).map(Options::of_campaign).collect();
    group.throughput(Throughput::Elements(seeds.len() as u64));
    group.bench_function("seeds", |bencher| {
        bencher.iter(|| seeds.iter().map(|options| play(options).steps).sum::<u64>());
    });
    group.finish();
}

fn play(options: &Options) -> Report {
    let report = run::<Machine>(options, Config::default(), Judges::All, &mut ());
    assert_eq!(report.broken, None, "{options:?}");
    report
}

criterion_group!(benches, ten_claims_a_second, campaign);
criterion_main!(benches);
