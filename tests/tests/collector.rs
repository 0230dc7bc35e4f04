//! The simulator's garbage collector leaves what the real one leaves: both get the same objects, and the same deletes.
//!
//! `COLLECTOR_FAMILIES` says how many families of objects, `COLLECTOR_SEED` which is the first.

use std::env;
use std::time::Duration;

use agent_sandbox_tests::apicheck::ownership::Case;
use agent_sandbox_tests::cluster::block_on;
use agent_sandbox_tests::control_plane::{self, Options};

/// How many families, unless told otherwise. Source: each pair of a policy and a place in a family comes several times.
const FAMILIES: u64 = 60;

/// How long the real collector is given to see what there is. It keeps a graph of it, which lags: a dependent that it has not
/// seen when its owner leaves orphans is deleted instead.
const SIGHT: Duration = Duration::from_secs(3);

#[test]
fn the_collector_leaves_what_the_real_one_leaves() {
    const NAME: &str = "the_collector_leaves_what_the_real_one_leaves";
    let Some(plane) = control_plane::require_with(NAME, &Options { nodes: 0, ..Options::for_tests() }) else {
        return;
    };
    if plane.is_existing() {
        eprintln!("skipped: {NAME}: in an existing cluster others act on what the test creates");
        return;
    }
    let (first, count) = (number("COLLECTOR_SEED", 1), number("COLLECTOR_FAMILIES", FAMILIES));
    block_on(async {
        let client = plane.client().await;
        let mut cases = Vec::new();
        for seed in first..first.saturating_add(count) {
            cases.push((seed, Case::begin(&client, seed, format!("collector-{seed}")).await));
        }
        tokio::time::sleep(SIGHT).await;
        let mut differ = Vec::new();
        for (seed, case) in &mut cases {
            for delete in 0..case.family.deletes() {
                if let Some([ours, theirs]) = case.delete(&client, delete).await {
                    let family = &case.family;
                    differ.push(format!(
                        "seed {seed}, after delete {delete}:\n{family}the model leaves {ours}\nthe server {theirs}"
                    ));
                    break;
                }
            }
            assert!(differ.len() < 3, "{}", differ.join("\n\n"));
        }
        assert!(differ.is_empty(), "{}", differ.join("\n\n"));
    });
}

fn number(variable: &str, otherwise: u64) -> u64 {
    env::var(variable).map_or(otherwise, |text| {
        text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {text:?}"))
    })
}
