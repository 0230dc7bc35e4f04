//! The simulator's API server is like the real one: both are asked the same, and answer the same.
//!
//! `APICHECK_SEQUENCES` says how many sequences of requests, `APICHECK_SEED` which is the first. What a run finds is told as
//! the shortest sequence that shows it. docs/api-server-model.md has the deviations that are accepted.

use std::collections::{BTreeMap, VecDeque};
use std::env;
use std::time::{Duration, Instant};

use agent_sandbox_controller::connect::Clients;
use agent_sandbox_tests::apicheck::deviations::{self, Deviation};
use agent_sandbox_tests::apicheck::watches::Watches;
use agent_sandbox_tests::apicheck::{Real, Verdict, run, sequence, shrink};
use agent_sandbox_tests::cluster::block_on;
use agent_sandbox_tests::control_plane::{self, Options};
use agent_sandbox_tests::documents;
use tokio::task::JoinSet;

/// The table.
const DOCUMENT: &str = "docs/api-server-model.md";

/// How many sequences, unless told otherwise. Source: every line of the table occurs in them.
const SEQUENCES: u64 = 3000;

/// How many sequences run at a time. Source: enough that the server, not the test, is what is waited for.
const AT_A_TIME: usize = 16;

/// How long the watches are waited for at a time.
const LULL: Duration = Duration::from_secs(1);

/// How often that is waited for.
const LULLS_MAX: usize = 15;

/// How many mismatches are told, of those that differ from each other.
const TOLD_MAX: usize = 8;

#[test]
fn the_model_answers_as_the_real_server_does() {
    const NAME: &str = "the_model_answers_as_the_real_server_does";
    let Some(plane) = control_plane::require_with(NAME, &Options { actors: false, ..Options::for_tests() })
    else {
        return;
    };
    if plane.is_existing() {
        eprintln!("skipped: {NAME}: in an existing cluster others act on what the test creates");
        return;
    }
    let table = deviations::read(&documents::read(DOCUMENT));
    let (first, count) = (number("APICHECK_SEED", 1), number("APICHECK_SEQUENCES", SEQUENCES));
    block_on(async {
        let clients = Clients::prepare(Some(plane.kubeconfig())).await.expect("a client");
        let real = Real { client: clients.writes, prefix: "apicheck".to_owned() };
        let log = Watches::begin(&real.client).await;
        let begin = Instant::now();
        let verdicts = ask_all(&real, first..first.saturating_add(count), &table).await;
        let answers: usize = verdicts.values().map(|verdict| verdict.answers).sum();
        let mut accepted = BTreeMap::<usize, u32>::new();
        let watches = watches_that_differ(&log, &verdicts, &table, &mut accepted).await;
        eprintln!(
            "{count} sequences from seed {first}: {answers} answers and {} lines of watches compared in {:.0?}",
            log.count(),
            begin.elapsed()
        );
        let mut failed = BTreeMap::new();
        for (seed, verdict) in verdicts {
            for (line, times) in &verdict.accepted {
                *accepted.entry(*line).or_default() += times;
            }
            if let Some((_, found)) = &verdict.mismatch {
                let key = (found[0].kind.name(), found[0].path.clone());
                failed.entry(key).or_insert_with(|| (Vec::new(), verdict)).0.push(seed);
            }
        }
        watches.iter().take(TOLD_MAX).for_each(|told| eprintln!("{told}\n"));
        let mut lasting: Vec<_> = failed.iter().skip(TOLD_MAX).map(|(what, _)| what).collect();
        for (what, (seeds, verdict)) in failed.iter().take(TOLD_MAX) {
            let (seed, others) = (seeds[0], seeds.len() - 1);
            let (_, found) = verdict.mismatch.as_ref().expect("it has failed");
            let requests = sequence::draw(seed);
            let again = shrink(&real, requests, &seed.to_string(), &table, &found[0]).await;
            if again.is_some() || others > 0 {
                lasting.push(what);
            }
            let (enough, verdict) = match &again {
                Some((requests, verdict)) => (format!("{} requests are enough", requests.len()), verdict),
                None => ("not so when asked again".to_owned(), verdict),
            };
            eprintln!("seed {seed} and {others} more, {enough}:\n{}", verdict.story);
            for difference in verdict.mismatch.iter().flat_map(|(_, found)| found) {
                eprintln!("    {difference}");
            }
            eprintln!();
        }
        // The server is a busy one, and may once answer as it does not otherwise: that is told, and no fault of the model.
        assert!(
            lasting.is_empty(),
            "the model differs from the server in what {DOCUMENT} does not have: {lasting:#?}"
        );
        assert!(
            watches.is_empty(),
            "the watches of {} sequences differ in what {DOCUMENT} does not have",
            watches.len()
        );
        let idle: Vec<_> =
            table.iter().map(|line| line.line).filter(|line| !accepted.contains_key(line)).collect();
        let is_usual = (first, count) == (1, SEQUENCES);
        assert!(!is_usual || idle.is_empty(), "{DOCUMENT}: nothing is like this any more: lines {idle:?}");
    });
}

/// Tells of each sequence whose answers were the same while what was watched was not.
async fn watches_that_differ(
    log: &Watches,
    verdicts: &BTreeMap<u64, Verdict>,
    table: &[Deviation],
    accepted: &mut BTreeMap<usize, u32>,
) -> Vec<String> {
    let least: usize = verdicts.values().map(Verdict::lines_watched).sum();
    let mut seen = log.count();
    for _ in 0..LULLS_MAX {
        if seen >= least {
            break;
        }
        tokio::time::sleep(LULL).await;
        seen = log.count();
    }
    let mut told = Vec::new();
    for (seed, verdict) in verdicts.iter().filter(|(_, verdict)| verdict.mismatch.is_none()) {
        for (kind, name, difference) in log.compare(verdict, table, accepted) {
            let requests = sequence::draw(*seed).into_iter().filter(|request| request.kind == kind);
            let text = requests.fold(String::new(), |text, request| format!("{text}    {request}\n"));
            told.push(format!("seed {seed}:\n{text}the watch of {name}: {difference}"));
        }
    }
    told
}

fn number(variable: &str, otherwise: u64) -> u64 {
    env::var(variable).map_or(otherwise, |text| {
        text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {text:?}"))
    })
}

/// Asks both servers every sequence, some at a time, and returns what became of each, in order.
async fn ask_all(real: &Real, seeds: std::ops::Range<u64>, table: &[Deviation]) -> BTreeMap<u64, Verdict> {
    let mut waiting: VecDeque<u64> = seeds.collect();
    let (mut running, mut verdicts) = (JoinSet::new(), BTreeMap::new());
    loop {
        while let Some(seed) = if running.len() < AT_A_TIME { waiting.pop_front() } else { None } {
            let (real, table) = (real.clone(), table.to_vec());
            running.spawn(async move {
                (seed, run(&real, &sequence::draw(seed), &seed.to_string(), &table).await)
            });
        }
        let Some(done) = running.join_next().await else { return verdicts };
        let (seed, verdict) = done.expect("a sequence ends");
        verdicts.insert(seed, verdict);
    }
}
