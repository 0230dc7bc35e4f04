//! How many bytes the core keeps for a sandbox: a member of a pool with its Pod, and one with its claim and Pod.
//!
//! The objects come to the machine as in the controller: from JSON, each with its own copy of everything, and through
//! what lets them share. What the process has grown by is divided by the number of sandboxes. That counts all that the
//! machine keeps: the objects, its indexes, and what the allocator loses.

use std::process::Command;
use std::time::Duration;

use agent_sandbox_benches::Cluster;
use agent_sandbox_core::config::Config;
use agent_sandbox_core::event::Event;
use agent_sandbox_core::id::{Kind, Version};
use agent_sandbox_core::machine::Machine;
use agent_sandbox_core::wire;

/// Sandboxes of each measurement.
const SANDBOXES: u32 = 10_000;

/// What is measured, and a cluster that is full of it.
type Case = (&'static str, fn() -> Cluster);

const CASES: [Case; 2] =
    [("a member of a pool with its Pod", filled), ("a sandbox with its claim and Pod", claimed)];

/// Measures each case in a process of its own: one that has freed memory would not grow.
fn main() {
    match std::env::args().nth(1).and_then(|case| case.parse::<usize>().ok()) {
        Some(case) => measure(CASES[case].0, CASES[case].1),
        None => {
            let own = std::env::current_exe().expect("a process knows its program");
            for case in 0..CASES.len() {
                let run = Command::new(&own).arg(case.to_string()).status().expect("a program runs twice");
                assert!(run.success(), "{run}");
            }
        }
    }
}

fn filled() -> Cluster {
    Cluster::new(SANDBOXES)
}

fn claimed() -> Cluster {
    let mut cluster = Cluster::new(0);
    cluster.claim(SANDBOXES.into(), Duration::from_millis(1));
    cluster
}

/// Says what a machine takes that is told of all that a cluster holds.
fn measure(what: &str, cluster: fn() -> Cluster) {
    let cluster = cluster();
    let text = |kind| cluster.list(kind).iter().map(|object| wire::encode(object).to_string()).collect();
    let texts: Vec<Vec<String>> = Kind::ALL.map(text).into();
    let bytes: usize = texts.iter().flatten().map(String::len).sum();
    let now = cluster.now();
    let mut machine = Machine::new(Config::default(), now);
    let Some(before) = resident() else {
        println!("{what}: unknown, /proc/self/statm cannot be read");
        return;
    };
    let mut sharer = wire::Sharer::default();
    machine.handle_event(Event::Leading { term: 2 }, now);
    for (kind, texts) in Kind::ALL.into_iter().zip(&texts) {
        let decode = |text: &String| {
            let mut object = wire::decode(kind, text).expect("what was encoded can be decoded");
            sharer.share(&mut object);
            object
        };
        let objects = texts.iter().map(decode).collect();
        machine.handle_event(Event::Relisted { kind, objects, at: Version(u64::MAX) }, now);
    }
    let actions = std::iter::from_fn(|| machine.poll_action()).count();
    let grown = resident().map_or(0, |after| after.saturating_sub(before));
    println!(
        "{what}: {} bytes, {} as JSON; {actions} actions",
        grown / u64::from(SANDBOXES),
        bytes / SANDBOXES as usize,
    );
    drop(machine);
}

/// Returns the bytes of this process that are in memory.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
    // Source: the page size of every platform on which this file exists, but for a few of the large ones.
    Some(pages * 4096)
}
