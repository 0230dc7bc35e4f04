//! How fast the simulator is, with every property judged: events of the core a second, time in the world, and what a second
//! core is worth.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use agent_sandbox_core::config::Config;
use agent_sandbox_core::machine::Machine;
use agent_sandbox_core::time::Mono;
use agent_sandbox_sim::faults::{Faults, Options};
use agent_sandbox_sim::plan::Plan;
use agent_sandbox_sim::run::{Judges, Observer, Report, run};
use agent_sandbox_sim::step::{Fact, Step};
use agent_sandbox_sim::world::World;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// That of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Ten claims a second for a minute.
const LOAD: Options = Options {
    seed: 1,
    claims: 600,
    pool: 200,
    duration: Duration::from_secs(60),
    faults: Faults::NONE,
    plan: Plan::None,
};

/// Seeds of a campaign.
const SEEDS: u64 = 200;

/// Counts what the machines of a run take in: events and timers, one call each.
#[derive(Default)]
struct Events(u64);

impl Observer<Machine> for Events {
    fn on_step(&mut self, _at: Mono, _step: Step, facts: &[Fact], _world: &World<Machine>) {
        self.0 += facts.iter().filter(|fact| matches!(fact, Fact::Ran(_))).count() as u64;
    }
}

/// Events that the core takes in a second while a thousand sandboxes are made and ten of them are claimed each second.
fn a_thousand_sandboxes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a thousand sandboxes, ten claims a second");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    for (name, faults) in [("calm", Faults::NONE), ("with every fault", Faults::ALL)] {
        let options = Options { pool: 1000, faults, ..LOAD };
        let mut events = Events::default();
        play(&options, &mut events);
        group.throughput(Throughput::Elements(events.0));
        group.bench_function(format!("events, {name}"), |bencher| bencher.iter(|| play(&options, &mut ())));
    }
    group.finish();
}

/// Seconds in the world a second, while the load lasts: the healing and the rest that follow are simulated and judged, but
/// their minutes count for nothing.
fn ten_claims_a_second(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ten claims a second, pool of 200");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    group.throughput(Throughput::Elements(LOAD.duration.as_secs()));
    for (name, faults) in [("calm", Faults::NONE), ("with every fault", Faults::ALL)] {
        let options = Options { faults, ..LOAD };
        group.bench_function(format!("seconds, {name}"), |bencher| bencher.iter(|| play(&options, &mut ())));
    }
    group.finish();
}

/// Seeds a second on one core, and how many times that are on all.
fn campaign(criterion: &mut Criterion) {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let [alone, together] = [1, cores].map(|workers| {
        let mut times = [(); 5].map(|()| {
            let started = Instant::now();
            play_seeds(workers);
            started.elapsed()
        });
        times.sort_unstable();
        times[2].as_secs_f64()
    });
    eprintln!("campaign: {cores} cores are worth {:.2} (each the median of 5)", alone / together);
    let mut group = criterion.benchmark_group("campaign");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    group.throughput(Throughput::Elements(SEEDS));
    for workers in [1, cores] {
        let name = format!("seeds, {workers} at a time");
        group.bench_function(name, |bencher| bencher.iter(|| play_seeds(workers)));
    }
    group.finish();
}

/// Tries the seeds of a campaign, each worker the next that nobody has taken, as `hunt` does.
fn play_seeds(workers: usize) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed) as u64;
                    if seed >= SEEDS {
                        break;
                    }
                    play(&Options::of_campaign(seed), &mut ());
                }
            });
        }
    });
}

fn play(options: &Options, observer: &mut dyn Observer<Machine>) -> Report {
    let report = run::<Machine>(options, Config::default(), Judges::All, observer);
    assert_eq!(report.broken, None, "{options:?}");
    report
}

criterion_group!(benches, a_thousand_sandboxes, ten_claims_a_second, campaign);
criterion_main!(benches);
