//! How many bytes the core keeps for a sandbox, with the claim that has it and its Pod.
//!
//! The objects come to the machine as they would from a server: as JSON, each with its own copy of everything. What
//! the process has grown by is divided by the number of sandboxes.

use std::time::Duration;

use agent_sandbox_benches::Cluster;
use agent_sandbox_core::config::Config;
use agent_sandbox_core::event::Event;
use agent_sandbox_core::id::{Kind, Version};
use agent_sandbox_core::machine::Machine;
use agent_sandbox_core::wire;

/// Sandboxes, one claim each.
const SANDBOXES: u64 = 10_000;

fn main() {
    let mut cluster = Cluster::new(0);
    cluster.claim(SANDBOXES, Duration::from_millis(1));
    let text = |kind| cluster.list(kind).iter().map(|object| wire::encode(object).to_string()).collect();
    let texts: Vec<Vec<String>> = Kind::ALL.map(text).into();
    let bytes: usize = texts.iter().flatten().map(String::len).sum();
    let mut machine = Machine::new(Config::default(), cluster.now());
    let Some(before) = resident() else {
        println!("bytes per sandbox: unknown, /proc/self/statm cannot be read");
        return;
    };
    machine.handle_event(Event::Leading { term: 2 }, cluster.now());
    for (kind, texts) in Kind::ALL.into_iter().zip(&texts) {
        let decode = |text: &String| wire::decode(kind, text).expect("what was encoded can be decoded");
        let objects = texts.iter().map(decode).collect();
        machine.handle_event(Event::Relisted { kind, objects, at: Version(u64::MAX) }, cluster.now());
    }
    let actions = std::iter::from_fn(|| machine.poll_action()).count();
    let grown = resident().map_or(0, |after| after.saturating_sub(before));
    println!(
        "bytes per sandbox: {}, with its claim and Pod, which are {} as JSON; {actions} actions",
        grown / SANDBOXES,
        bytes as u64 / SANDBOXES,
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
