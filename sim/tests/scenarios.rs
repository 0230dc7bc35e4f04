//! The scenario files: their schema, the library, figures that are known without a simulation, and what the command says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use agent_sandbox_core::config::Config;
use agent_sandbox_sim::run::Judges;
use agent_sandbox_sim::scenario::outcome::{Outcome, Runs, run};
use agent_sandbox_sim::scenario::{Scenario, library, plan, read};
use serde_json::Value;

/// A bit of everything that a file can say, small enough for a build without optimisation.
const EVERYTHING: &str = "
about: all arrivals and all faults
for: 5m
pools:
  - { name: a, replicas: 6, update: Recreate }
  - { name: b, replicas: 3 }
arrivals:
  - burst: { at: 30s, claims: 15, within: 1s }
  - poisson: { from: 1m, to: 4m, rate: 0.3, pool: b }
  - diurnal: { low: 0.01, high: 0.2, day: 5m, peak: 2m }
hold: { uniform: { least: 10s, most: 1m } }
patience: { percentiles: { least: 5s, p50: 20s, p90: 1m, p99: 2m, most: 3m } }
start: { exponential: { mean: 2s } }
nodes: { count: 4, pull: { fixed: 5s }, pulls_at_once: 2 }
controller: { replenish_delay: 1s, refill_rate: 2, readiness_grace: 1m }
faults:
  - quota: { from: 1m, to: 2m, pods: 12 }
  - throttling: { from: 2m, to: 150s, requests: 5 }
  - slow_server: { from: 150s, to: 3m, by: { fixed: 300ms } }
  - node_loss: { at: 190s, nodes: 1 }
  - rollout: { at: 200s }
  - crash: { at: 210s }
  - scale: { at: 220s, replicas: 4, pool: b }
";

#[test]
fn the_schema_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/schema.json");
    let fresh = format!("{:#}\n", schema());
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, &fresh).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap_or_default(), fresh, "stale: `just fix` writes it anew");
}

#[test]
fn every_file_of_the_library_is_valid_and_read() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let mut names: Vec<&str> = library::LIBRARY.iter().map(|entry| entry.name).collect();
    for entry in library::LIBRARY {
        let value: Value = serde_saphyr::from_str(entry.text).unwrap();
        if let Err(error) = validator.validate(&value) {
            panic!("{}: {error} at {}", entry.name, error.instance_path());
        }
        let scenario = read::read(entry.text).unwrap_or_else(|why| panic!("{}: {why}", entry.name));
        assert!(scenario.about.len() < 110, "{}: it should fit one line", entry.name);
    }
    names.sort_unstable();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|it| it == "yaml")).collect();
    files.sort_unstable();
    let files: Vec<_> = files.iter().map(|path| path.file_stem().unwrap().to_str().unwrap()).collect();
    assert_eq!(files, names, "each file of the folder is in the library");
}

#[test]
fn the_schema_refuses_what_the_program_refuses() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    for (from, to) in [
        ("for: 5m", "for: soon"),
        ("replicas: 3", "replicas: -3"),
        ("rate: 0.3", "rate: 0"),
        ("{ fixed: 5s }", "{ fixd: 5s }"),
        ("crash:", "crsh:"),
        ("about: all", "title: all"),
        ("update: Recreate", "update: Never"),
    ] {
        let text = EVERYTHING.replacen(from, to, 1);
        assert!(text != EVERYTHING && read::read(&text).is_err(), "{to}");
        assert!(!validator.is_valid(&serde_saphyr::from_str(&text).unwrap()), "{to}");
    }
    assert!(validator.is_valid(&serde_saphyr::from_str(EVERYTHING).unwrap()));
}

#[test]
fn everything_at_once_keeps_every_promise() {
    let scenario = read::read(EVERYTHING).unwrap();
    let outcome = play(&scenario, 2, Config::default());
    assert_eq!(outcome.violations, []);
    assert!(outcome.claims.mean > 60.0 && outcome.given_up.mean > 0.0, "{outcome:?}");
    assert!(outcome.warm_hit.unwrap().mean > 0.2, "{outcome:?}");
}

#[test]
fn the_outcome_does_not_depend_on_threads() {
    let scenario =
        read::read(&EVERYTHING.replace("for: 5m", "for: 4m").replace("day: 5m", "day: 4m")).unwrap();
    let told = |threads| {
        let runs = Runs { first_seed: 7, count: 3, threads };
        let outcome = run(&scenario, runs, &plan::config(&scenario, Config::default()), Judges::All);
        serde_json::to_string(&outcome).unwrap()
    };
    assert_eq!(told(1), told(3));
}

/// A pool whose members start anew as soon as one is taken is a telephone exchange: members that start are busy lines,
/// a claim that finds no ready member is a call that is refused. So the part of cold claims is Erlang's loss
/// formula, whatever the distribution of start times.
#[test]
fn cold_claims_follow_erlangs_loss_formula() {
    const MEMBERS: u32 = 5;
    for start in ["fixed: 4s", "lognormal: { median: 3283ms, p99: 14s }"] {
        let scenario = read::read(&format!(
            "{{about: x, for: 1100s, pools: [{{name: p, replicas: {MEMBERS}}}], start: {{{start}}},
              arrivals: [poisson: {{from: 100s, rate: 1}}], hold: {{fixed: 2s}}}}"
        ))
        .unwrap();
        // Without grace nobody waits for a member that is starting.
        let outcome = play(&scenario, 3, Config { adopt_grace: Duration::ZERO, ..Config::default() });
        assert_eq!(outcome.violations, []);
        let cold = 1.0 - outcome.warm_hit.unwrap().mean;
        let expected = erlang_b(MEMBERS, 4.03);
        assert!((cold - expected).abs() < 0.03, "{start}: {cold} of the claims were cold, not {expected}");
        // Little's law: what is in use is arrivals times the time of use, which begins a little before Ready.
        let used = outcome.pod_hours.used.mean * 3600.0 / outcome.claims.mean;
        assert!((2.0..2.0 + 4.0 * cold + 0.5).contains(&used), "{start}: a sandbox is in use for {used} s");
    }
}

#[test]
fn the_command_tells_users_and_programs() {
    let (code, told, _) = sim(&["run", "--scenario", "thundering-herd", "--runs", "2"]);
    assert_eq!(code, 0, "{told}");
    for part in
        ["claims          300 ± 0\n", "warm hits       ", "p99  ", "pod-hours ", "│", "verdict         pass"]
    {
        assert!(told.contains(part), "{part:?} is not in:\n{told}");
    }
    let (_, told, _) = sim(&["run", "--scenario", "thundering-herd", "--runs", "2", "--json"]);
    let json: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((json["verdict"].as_str(), json["claims"]["mean"].as_f64()), (Some("pass"), Some(300.0)));
    assert!(json["wait"]["p99"]["within"].is_number() && json["over_time"]["intervals"].is_array(), "{told}");
    let (code, told, _) = sim(&["run", "--scenario", "help"]);
    assert_eq!((code, told.lines().count()), (0, library::LIBRARY.len()));
    let (_, told, _) = sim(&["run", "--scenario", "schema"]);
    assert_eq!(serde_json::from_str::<Value>(&told).unwrap(), schema());
}

#[test]
fn a_wrong_file_gets_one_sentence_and_exit_code_2() {
    let path = std::env::temp_dir().join(format!("agent-sandbox-sim-scenario-{}.yaml", std::process::id()));
    fs::write(&path, EVERYTHING.replace("crash:", "crsh:")).unwrap();
    let (code, _, why) = sim(&["run", "--scenario", path.to_str().unwrap()]);
    fs::remove_file(&path).unwrap();
    assert_eq!((code, why.lines().count()), (2, 1), "{why}");
    assert!(why.contains(".yaml: line 22, column 5 (- crsh: { at: 210s }): unknown variant `crsh`"), "{why}");
    let (code, _, why) = sim(&["run", "--scenario", "no-such"]);
    assert_eq!((code, why.lines().count()), (2, 1), "{why}");
    assert!(why.contains("cannot read the scenario no-such, and the library has only steady, "), "{why}");
    assert_eq!(sim(&["run", "--scenario", "steady", "--claims", "5"]).0, 2);
    assert_eq!(sim(&["run", "--json"]).0, 2);
}

/// Returns the part of calls that an exchange with so many lines refuses.
fn erlang_b(lines: u32, load: f64) -> f64 {
    (1..=lines).fold(1.0, |blocked, line| load * blocked / (f64::from(line) + load * blocked))
}

fn play(scenario: &Scenario, count: u64, config: Config) -> Outcome {
    let runs = Runs { first_seed: 1, count, threads: 2 };
    run(scenario, runs, &plan::config(scenario, config), Judges::All)
}

fn schema() -> Value {
    schemars::schema_for!(Scenario).to_value()
}

fn sim(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_agent-sandbox-sim")).args(arguments).output();
    let output = output.expect("the program was built for this test");
    let text = |bytes| String::from_utf8(bytes).expect("it prints text");
    (output.status.code().expect("it ends by itself"), text(output.stdout), text(output.stderr))
}
