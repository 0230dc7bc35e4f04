//! What the program says and exits with, right and wrong.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A world whose trace has a few hundred lines.
const SMALL: &[&str] =
    &["run", "--seed", "5", "--claims", "12", "--pool", "2", "--for", "60s", "--faults", "none"];

#[test]
fn a_trace_is_replayed_to_the_same_actions() {
    let place = Place::new("same");
    let trace = place.record();
    let (code, told, why) = sim(&["replay", name(&trace)]);
    assert_eq!((code, why.as_str()), (0, ""), "{told}");
    for part in ["written by      version 0.1.0", "Applied", "AdoptSandbox", "verdict         same"] {
        assert!(told.contains(part), "{part:?} is not in:\n{told}");
    }
}

#[test]
fn a_run_says_whether_there_was_trouble() {
    let (code, told, _) = sim(SMALL);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("a pool of 2, 1m00s without trouble, then rest\n"), "{told}");
    let (_, told, _) = sim(&["run", "--seed", "5", "--claims", "2", "--for", "20s", "--faults", "crash"]);
    assert!(told.contains(" of trouble, then healing and rest\n"), "{told}");
}

#[test]
fn a_hunt_says_what_each_way_of_looking_did() {
    let (code, told, _) = sim(&["hunt", "--seeds", "30..44", "--budget", "5m"]);
    assert_eq!(code, 0, "{told}");
    for engine in ["swarm", "calm", "single-fault", "pct", "bytes"] {
        assert!(
            told.lines().any(|line| line.starts_with(&format!("  {engine} "))),
            "{engine} is not in:\n{told}"
        );
    }
    let (_, told, _) = sim(&["hunt", "--engine", "pct", "--seeds", "0..3"]);
    assert!(told.contains("  pct                  3 runs"), "{told}");
}

/// What any way of looking finds is played again by the command that comes with it.
#[test]
fn the_command_that_comes_with_a_violation_replays_it() {
    for (engine, mutant) in [("single-fault", "lost-answer-is-failure"), ("bytes", "never-ends-claims")] {
        let (code, told, _) =
            sim(&["hunt", "--engine", engine, "--mutant", mutant, "--seeds", "0..3000", "--jobs", "1"]);
        assert_ne!(code, 0, "{told}");
        let property = told.lines().find_map(|line| line.split_once(" broke with")).expect("a violation").0;
        let commands: Vec<&str> =
            told.lines().filter(|line| line.contains("agent-sandbox-sim run --")).collect();
        assert!(commands.iter().any(|it| it.contains("--tape")), "the short story has none: {told}");
        assert!(commands.iter().any(|it| it.contains("--plan")), "the run has none: {told}");
        for command in commands {
            let (again, told_again, why) = sim(&command.split_whitespace().skip(1).collect::<Vec<_>>());
            assert_eq!(again, code, "{command}\n{told_again}{why}");
            let is_told = told_again.contains(&format!("{property} broke"))
                || told_again.contains(&format!("{property} breaks"));
            assert!(is_told, "{command}\n{told_again}");
        }
    }
}

#[test]
fn kinds_of_trouble_are_left_out_by_name() {
    let small = ["run", "--seed", "5", "--claims", "2", "--for", "20s"];
    let (code, told, _) =
        sim(&[&small[..], &["--only-faults", "crash,lost-answer", "--without-faults", "crash,lost-answer"]]
            .concat());
    assert!(code == 0 && told.contains("\nfaults          none\n"), "{told}");
}

#[test]
fn every_claim_of_a_run_is_accounted_for() {
    let (code, told, _) = sim(&["run", "--seed", "0xeb39041de6c47809", "--claims", "200", "--for", "1h"]);
    assert_eq!(code, 0, "{told}");
    let from = told.find("\nclaims ").expect("a line about claims");
    let about = &told[from..told.find("\ncreate ").expect("a line about latencies")];
    let numbers: Vec<u32> = about.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [created, fates @ ..] = &*numbers else { panic!("{about}") };
    assert_eq!((fates.len(), fates.iter().sum()), (4, *created), "{about}");
}

#[test]
fn a_changed_action_is_shown_with_its_step_and_field() {
    let place = Place::new("changed");
    let trace = place.record();
    let text = std::fs::read_to_string(&trace).unwrap();
    let (before, after) = text.split_once("\"AdoptSandbox\"").expect("somebody adopts");
    std::fs::write(&trace, format!("{before}\"LabelPod\"{after}")).unwrap();
    let line = before.lines().count();
    let (code, told, _) = sim(&["replay", name(&trace)]);
    assert_eq!(code, 12, "{told}");
    let step = format!("\nstep {} (line {line}), ", line - 1);
    for part in [step.as_str(), "  expected \"LabelPod\"", "  got      \"AdoptSandbox\"", "].intent"] {
        assert!(told.contains(part), "{part:?} is not in:\n{told}");
    }
}

#[test]
fn a_trace_that_was_cut_is_used_up_to_there() {
    let place = Place::new("cut");
    let trace = place.record();
    let text = std::fs::read(&trace).unwrap();
    std::fs::write(&trace, &text[..text.len() - 9]).unwrap();
    let lines = text.iter().filter(|byte| **byte == b'\n').count();
    let (code, told, why) = sim(&["replay", name(&trace)]);
    assert_eq!(code, 2);
    assert!(told.contains(&format!("steps           {}", lines - 2)), "{told}");
    let sentence = format!(": line {lines}: cut off after ");
    assert!(why.contains(&sentence) && why.lines().count() == 1, "{why}");
}

#[test]
fn a_difference_before_the_damage_counts() {
    let place = Place::new("both");
    let trace = place.record();
    let text = std::fs::read_to_string(&trace).unwrap().replace("\"AdoptSandbox\"", "\"LabelPod\"");
    std::fs::write(&trace, &text[..text.len() - 9]).unwrap();
    assert_eq!(sim(&["replay", name(&trace)]).0, 12);
}

#[test]
fn what_is_no_trace_is_refused_in_one_sentence() {
    let place = Place::new("foreign");
    let trace = place.record();
    let text = std::fs::read_to_string(&trace).unwrap();
    let other = text.replacen("\"agent_sandbox_trace\":1", "\"agent_sandbox_trace\":7", 1);
    for (content, sentence) in [
        ("", "line 1: not the header of a trace"),
        ("hello\n", "line 1: not the header of a trace"),
        ("{\"a\":1}\n", "line 1: not the header of a trace"),
        (other.as_str(), "line 1: trace version 7, but this build reads version 1"),
    ] {
        std::fs::write(&trace, content).unwrap();
        let (code, told, why) = sim(&["replay", name(&trace)]);
        let whole = format!("error: cannot replay {}: {sentence}\n", trace.display());
        assert_eq!((code, told.as_str(), why.as_str()), (2, "", whole.as_str()));
    }
}

#[test]
fn bad_input_to_any_command_gets_one_sentence_and_exit_code_2() {
    for (line, part) in [
        ("run --seed abc", "a seed is a number below 2^64"),
        ("run --seed -1", "a seed is a number below 2^64"),
        ("run --seed 18446744073709551616", "a seed is a number below 2^64"),
        ("run --claims -1", "a whole number from 0 to 100000"),
        ("run --claims 100001", "a whole number from 0 to 100000"),
        ("run --pool many", "a whole number from 0 to 100000"),
        ("run --for 5", "a duration looks like"),
        ("run --for 0s", "a duration of nothing"),
        ("run --for 721h", "more than 30 days"),
        ("run --faults crash,typo", "there is no fault \"typo\""),
        ("run --faults crash,", "there is no fault \"\""),
        ("run --refill-rate -1", "a rate is a number of members a second"),
        ("run --replenish-delay soon", "a duration looks like"),
        ("run --mutant typo", "there is no mutant \"typo\""),
        ("run --story many", "a whole number"),
        ("run --for 1s --trace /no/such/place", "cannot write the trace /no/such/place"),
        ("run --shrink --trace x", "cannot be used with"),
        ("run --seed", "a value is required"),
        ("run extra", "'extra'"),
        ("hunt --seeds 5", "a range of seeds looks like 0..1000"),
        ("hunt --seeds 5..", "a seed is a number"),
        ("hunt --seeds a..b", "a seed is a number"),
        ("hunt --seeds 9..5", "the range is empty"),
        ("hunt --shard 1/4", "--seeds"),
        ("hunt --seeds 0..9 --shard 4/4", "the last of 4 shards is 3/4"),
        ("hunt --seeds 0..9 --shard 4", "a shard looks like 3/16"),
        ("hunt --seeds 0..1 --json /no/such/place", "cannot write the result /no/such/place"),
        ("merge", "<FILES>"),
        ("merge no-such-file", "cannot read no-such-file"),
        ("merge Cargo.toml", "Cargo.toml is not the result of a campaign"),
        ("hunt --jobs 0", "1..=1024"),
        ("hunt --budget soon", "a duration looks like"),
        ("hunt --mutant typo", "there is no mutant \"typo\""),
        ("hunt --faults typo", "there is no fault \"typo\""),
        ("replay", "<FILE>"),
        ("replay no-such-file", "cannot replay no-such-file: No such file"),
        ("replay x --limit -1", "a whole number"),
        ("sleep", "'sleep'"),
    ] {
        let (code, _, why) = sim(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(code, 2, "{line}: {why}");
        assert!(why.contains(part), "{line}: {why}");
        assert_eq!(why.lines().count(), 1, "{line}: {why}");
    }
}

#[test]
fn shards_find_together_what_one_machine_finds() {
    let place = Place::new("shards");
    let file = |name: &str| place.0.join(name).to_str().expect("a plain name").to_owned();
    let hunt = |more: &[&str]| {
        let arguments = ["hunt", "--seeds", "5..14", "--budget", "10m", "--json"];
        assert_eq!(sim(&arguments.iter().chain(more).copied().collect::<Vec<_>>()).0, 0);
    };
    hunt(&[&file("whole")]);
    for shard in ["0/3", "1/3", "2/3"] {
        hunt(&[&file(&shard[..1]), "--shard", shard]);
    }
    let merge = |from: &[&str], to: &str| {
        let files: Vec<String> = from.iter().map(|name| file(name)).collect();
        let mut arguments = vec!["merge"];
        arguments.extend(files.iter().map(String::as_str));
        let to = file(to);
        arguments.extend(["--json", &to]);
        sim(&arguments)
    };
    let (code, told, why) = merge(&["2", "0", "1"], "one");
    assert_eq!(code, 0, "{why}");
    assert!(told.contains("seeds           0x5..0xe\nran             9 seeds"), "{told}");
    merge(&["1", "2"], "part");
    merge(&["0", "part"], "other");
    let read = |name: &str| std::fs::read_to_string(file(name)).expect("it was written");
    assert_eq!(read("one"), read("other"));
    let json = |name| serde_json::from_str::<serde_json::Value>(&read(name)).expect("it is JSON");
    for field in ["seeds", "tried", "steps", "struck", "violations"] {
        assert_eq!(json("one")[field], json("whole")[field], "{field}");
    }
    let (code, _, why) = merge(&["0", "whole"], "never");
    assert_eq!(
        (code, why.as_str()),
        (2, "error: cannot merge: the seeds from 0x5 on were tried by two of them\n")
    );
}

#[test]
fn nothing_to_simulate_is_no_mistake() {
    assert_eq!(sim(&["run", "--seed", "1", "--claims", "0", "--pool", "0", "--for", "1s"]).0, 0);
}

fn sim(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_agent-sandbox-sim")).args(arguments).output();
    let output = output.expect("the program was built for this test");
    let text = |bytes| String::from_utf8(bytes).expect("it prints text");
    (output.status.code().expect("it ends by itself"), text(output.stdout), text(output.stderr))
}

fn name(path: &Path) -> &str {
    path.to_str().expect("temporary directories have plain names")
}

/// A directory for one test, gone with it.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("agent-sandbox-sim-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("there is a place for temporary files");
        Self(path)
    }

    fn record(&self) -> PathBuf {
        let path = self.0.join("small.trace");
        let arguments: Vec<_> = SMALL.iter().copied().chain(["--trace", name(&path)]).collect();
        let (code, told, why) = sim(&arguments);
        assert_eq!(code, 0, "{told}{why}");
        path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
