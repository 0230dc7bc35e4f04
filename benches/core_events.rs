//! How many events a second the core takes in, and whether that depends on how much it knows.
//!
//! Claims come and go at ten a second while others stay: the calls that come of it are recorded once, and then given
//! to a copy of the machine again and again. Nothing but the machine is measured.
//!
//! The work for a claim is the same whatever else there is, so the figures for 1,000 and 10,000 sandboxes must be
//! near each other: a ratio that grows with the number says that something is O(n).

use std::hint::black_box;
use std::time::Duration;

use agent_sandbox_benches::{Cluster, enter};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

/// Members of the pool.
const POOL: u32 = 200;

/// Claims that come and go in one measurement: ten pool statuses are written meanwhile, one a second.
const TURNS: u64 = 100;

fn steady_claims(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("steady claims");
    group.sample_size(20).measurement_time(Duration::from_secs(5));
    for sandboxes in [1_000, 10_000] {
        let mut cluster = Cluster::new(POOL);
        cluster.claim(sandboxes - u64::from(POOL), Duration::from_millis(1));
        let machine = cluster.machine.clone();
        let calls = cluster.recorded(|cluster| cluster.turn_over(TURNS, Duration::from_millis(100)));
        eprintln!(
            "{sandboxes} sandboxes: {} events for a claim that comes and one that goes",
            calls.len() as u64 / TURNS
        );
        group.throughput(Throughput::Elements(calls.len() as u64));
        group.bench_function(format!("events, {sandboxes} sandboxes"), |bencher| {
            let prepare = || (machine.clone(), calls.clone());
            bencher.iter_batched(
                prepare,
                |(mut machine, calls)| {
                    for call in calls {
                        enter(&mut machine, call, |action| drop(black_box(action)));
                    }
                    machine
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, steady_claims);
criterion_main!(benches);
