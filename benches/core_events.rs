//! How many events a second the core takes in, and whether that depends on how much it knows.
//!
//! Claims come and go at ten a second while others stay: the calls that come of it are recorded once, and then given
//! to a copy of the machine again and again. Nothing but the machine is measured.
//!
//! The work for a claim is the same whatever else there is, so the figures for 1,000, 10,000 and 100,000 sandboxes must
//! be near each other: a ratio that grows with the number says that something is O(n). `just instructions` counts what
//! the clock cannot tell on a busy machine.

use std::hint::black_box;
use std::time::Duration;

use agent_sandbox_benches::{Call, Cluster, enter};
use agent_sandbox_core::machine::Machine;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

/// Members of the pool.
const POOL: u32 = 200;

/// Claims that come and go in one measurement: ten pool statuses are written meanwhile, one a second.
const TURNS: u64 = 100;

/// Claims that come and go before each: a copy of a machine shares its tables until it writes them.
const TURNS_BEFORE: u64 = 10;

fn steady_claims(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("steady claims");
    group.sample_size(20).measurement_time(Duration::from_secs(5));
    for sandboxes in sizes() {
        let (machine, before, calls) = prepare(sandboxes);
        group.throughput(Throughput::Elements(calls.len() as u64));
        group.bench_function(format!("events, {sandboxes} sandboxes"), |bencher| {
            let copy = || {
                let mut machine = machine.clone();
                play(&mut machine, before.clone());
                (machine, calls.clone())
            };
            let run = |(mut machine, calls)| {
                play_measured(&mut machine, calls);
                machine
            };
            bencher.iter_batched(copy, run, BatchSize::PerIteration);
        });
    }
    group.finish();
}

/// Returns how many sandboxes there are, claimed ones and members: those of `SANDBOXES`, or the usual ones.
fn sizes() -> Vec<u64> {
    let text = std::env::var("SANDBOXES").unwrap_or_else(|_| "1000 10000 100000".to_owned());
    text.split_whitespace().map(|size| size.parse().expect("SANDBOXES are numbers")).collect()
}

/// Returns a machine that knows so many sandboxes, and what happens to it before the measurement and in it.
fn prepare(sandboxes: u64) -> (Machine, Vec<Call>, Vec<Call>) {
    const PAUSE: Duration = Duration::from_millis(100);
    let mut cluster = Cluster::new(POOL);
    cluster.claim(sandboxes - u64::from(POOL), Duration::from_millis(1));
    let machine = cluster.machine.clone();
    let before = cluster.recorded(|cluster| cluster.turn_over(TURNS_BEFORE, PAUSE));
    let calls = cluster.recorded(|cluster| cluster.turn_over(TURNS, PAUSE));
    println!("{sandboxes} sandboxes: {} events while {TURNS} claims come and as many go", calls.len());
    (machine, before, calls)
}

/// Gives a machine every call, where `just instructions` counts.
#[inline(never)]
fn play_measured(machine: &mut Machine, calls: Vec<Call>) {
    play(machine, calls);
}

fn play(machine: &mut Machine, calls: Vec<Call>) {
    for call in calls {
        enter(machine, call, |action| drop(black_box(action)));
    }
}

criterion_group!(benches, steady_claims);
criterion_main!(benches);
