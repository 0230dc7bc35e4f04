//! `mutants`: each known bug, and how it is found.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use agent_sandbox_core::mutant::Mutant;
use agent_sandbox_sim::engines::Engine;
use agent_sandbox_sim::matrix::{Found, find};
use agent_sandbox_sim::shrink::STEPS_MAX;

use super::{MutantsArgs, Verdict, replay_command, say};

/// Looks for every mutant, as many at once as there are cores, and tells how each was found.
pub(super) fn mutants(args: &MutantsArgs) -> Verdict {
    let list: Vec<Mutant> = match args.only {
        Some(only) => vec![only],
        None => Mutant::ALL.to_vec(),
    };
    // A defect may trip over the core's own assertions, and that is a way to be found, not news.
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(engines) = &args.engines {
        return each_engine(args, &list, &engines.0);
    }
    if !args.json {
        say!(
            "{:28} {:18} {:12} {:>7} {:>8} {:>9} {:>7} {:>5}",
            "mutant",
            "found by",
            "engine",
            "runs",
            "CPU time",
            "shrunk in",
            "choices",
            "story"
        );
    }
    let missed = Mutex::new((Vec::new(), Vec::new()));
    in_parallel(args, &list, |mutant| {
        let found = find(mutant, None, args.seed, args.budget_each, STEPS_MAX);
        let mut missed = missed.lock().unwrap_or_else(PoisonError::into_inner);
        tell(args.json, mutant, &found);
        match &found {
            Ok(found) => missed.1.push(found.told().story().len()),
            Err(_) => missed.0.push(mutant.name()),
        }
    });
    let (missed, mut lengths) = missed.into_inner().unwrap_or_else(PoisonError::into_inner);
    if !args.json {
        say!("");
        say!("found           {} of {}", list.len() - missed.len(), list.len());
        lengths.sort_unstable();
        let median = lengths.get(lengths.len() / 2).copied().unwrap_or_default();
        let most = lengths.last().copied().unwrap_or_default();
        say!("story, median   {median} sentences, at most {most}");
        super::hunt::tell_list("not found", missed.clone());
    }
    if missed.is_empty() { Verdict::Pass } else { Verdict::Missed }
}

/// Looks for every mutant with each engine alone, and tells a table of times: one row for each mutant.
fn each_engine(args: &MutantsArgs, list: &[Mutant], engines: &[Engine]) -> Verdict {
    let cells = |cells: Vec<String>| cells.iter().map(|cell| format!(" {cell:>12}")).collect::<String>();
    if !args.json {
        let names = engines.iter().map(|engine| engine.name().to_owned()).collect();
        say!("{:28}{}", "mutant", cells(names));
    }
    let missed = Mutex::new((Vec::new(), vec![0; engines.len()]));
    in_parallel(args, list, |mutant| {
        let look = |engine: &Engine| find(mutant, Some(*engine), args.seed, args.budget_each, 0).ok();
        let found: Vec<Option<Found>> = engines.iter().map(look).collect();
        let mut missed = missed.lock().unwrap_or_else(PoisonError::into_inner);
        if found.iter().all(Option::is_none) {
            missed.0.push(mutant.name());
        }
        for (count, found) in missed.1.iter_mut().zip(&found) {
            *count += usize::from(found.is_some());
        }
        let seconds = |found: &Option<Found>| found.as_ref().map(|found| found.time.as_secs_f64());
        if args.json {
            let times =
                engines.iter().zip(&found).map(|(engine, found)| (engine.name(), seconds(found).into()));
            let times: serde_json::Map<String, serde_json::Value> =
                times.map(|(name, time)| (name.to_owned(), time)).collect();
            say!("{}", serde_json::json!({ "mutant": mutant.name(), "cpu_seconds": times }));
        } else {
            let time = |found| seconds(found).map_or("-".to_owned(), |seconds| format!("{seconds:.2}s"));
            say!("{:28}{}", mutant.name(), cells(found.iter().map(time).collect()));
        }
    });
    let (missed, counts) = missed.into_inner().unwrap_or_else(PoisonError::into_inner);
    if !args.json {
        let counts = counts.iter().map(ToString::to_string).collect();
        say!("{:28}{}", format!("found, of {}", list.len()), cells(counts));
        say!("");
        super::hunt::tell_list("found by none", missed.clone());
    }
    if missed.is_empty() { Verdict::Pass } else { Verdict::Missed }
}

/// Does something for every mutant, as many at once as the user wants, or as there are cores.
fn in_parallel(args: &MutantsArgs, list: &[Mutant], work: impl Fn(Mutant) + Sync) {
    let next = AtomicUsize::new(0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.map_or(cores, |jobs| jobs as usize);
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(list.len()) {
            scope.spawn(|| {
                while let Some(mutant) = list.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(*mutant);
                }
            });
        }
    });
}

fn tell(json: bool, mutant: Mutant, found: &Result<Found, u64>) {
    let name = mutant.name();
    match (found, json) {
        (Ok(found), false) => {
            let (checker, engine, runs) = (found.checker, found.engine.name(), found.runs);
            let (time, shrunk) = (found.time.as_secs_f64(), found.shrink_time.as_secs_f64());
            let (choices, story) = (found.told().choices(), found.told().story().len());
            say!(
                "{name:28} {checker:18} {engine:12} {runs:>7} {time:>7.2}s {shrunk:>8.2}s {choices:>7} {story:>5}"
            );
        }
        (Err(runs), false) => say!("{name:28} {:18} {:12} {runs:>7}", "NOT FOUND", ""),
        (Ok(found), true) => {
            let told = found.told();
            let shrunk = told.shrunk.as_ref();
            let command = |found: &Found| replay_command(&found.options, Some(mutant));
            say!(
                "{}",
                serde_json::json!({
                    "mutant": name, "about": mutant.about(), "found": true, "checker": found.checker, "what": found.what,
                    "engine": found.engine.name(), "seed": found.options.seed, "runs": found.runs, "command": command(found),
                    "cpu_seconds": found.time.as_secs_f64(), "shrink_cpu_seconds": found.shrink_time.max(told.shrink_time).as_secs_f64(),
                    "choices": told.choices(), "minimal": shrunk.is_some_and(|shrunk| shrunk.is_minimal),
                    "story_of": command(told),
                    "story": told.story().iter().map(ToString::to_string).collect::<Vec<_>>(),
                })
            );
        }
        (Err(runs), true) => say!(
            "{}",
            serde_json::json!({ "mutant": name, "about": mutant.about(), "found": false, "runs": runs })
        ),
    }
}
