//! `mutants`: each known bug, and how it is found.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use agent_sandbox_core::mutant::Mutant;
use agent_sandbox_sim::matrix::{Found, find};

use super::{MutantsArgs, Verdict, say};

/// How many runs may go into making one story shorter.
const SHRINK_RUNS: usize = 200;

/// Looks for every mutant, as many at once as there are cores, and tells how each was found.
pub(super) fn mutants(args: &MutantsArgs) -> Verdict {
    let list: Vec<Mutant> = match args.only {
        Some(only) => vec![only],
        None => Mutant::ALL.to_vec(),
    };
    // A defect may trip over the core's own assertions, and that is a way to be found, not news.
    std::panic::set_hook(Box::new(|_| {}));
    if !args.json {
        say!("{:28} {:18} {:6} {:>7} {:>8} {:>6}", "mutant", "found by", "engine", "seeds", "time", "steps");
    }
    let (next, missed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.map_or(cores, |jobs| jobs as usize);
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(list.len()) {
            scope.spawn(|| {
                while let Some(mutant) = list.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = find(*mutant, args.seed, args.budget_each, SHRINK_RUNS);
                    let mut missed = missed.lock().unwrap_or_else(PoisonError::into_inner);
                    tell(args.json, *mutant, &found);
                    if found.is_err() {
                        missed.push(mutant.name());
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().unwrap_or_else(PoisonError::into_inner);
    if !args.json {
        say!("");
        say!("found           {} of {}", list.len() - missed.len(), list.len());
        super::hunt::tell_list("not found", missed.clone());
    }
    if missed.is_empty() { Verdict::Pass } else { Verdict::Missed }
}

fn tell(json: bool, mutant: Mutant, found: &Result<Found, u64>) {
    let name = mutant.name();
    match (found, json) {
        (Ok(found), false) => {
            let (checker, engine, seeds) = (found.checker, found.engine.name(), found.seeds);
            let (time, steps) = (found.time.as_secs_f64(), found.steps);
            say!("{name:28} {checker:18} {engine:6} {seeds:>7} {time:>7.2}s {steps:>6}");
        }
        (Err(seeds), false) => say!("{name:28} {:18} {:6} {seeds:>7}", "NOT FOUND", ""),
        (Ok(found), true) => say!(
            "{}",
            serde_json::json!({
                "mutant": name, "about": mutant.about(), "found": true, "checker": found.checker, "what": found.what,
                "engine": found.engine.name(), "seed": found.options.seed, "seeds": found.seeds,
                "seconds": found.time.as_secs_f64(), "steps": found.steps,
            })
        ),
        (Err(seeds), true) => say!(
            "{}",
            serde_json::json!({ "mutant": name, "about": mutant.about(), "found": false, "seeds": seeds })
        ),
    }
}
