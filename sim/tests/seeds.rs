//! Seeds that have shown a bug stay right.

use std::path::Path;
use std::process::Command;

#[test]
fn what_once_broke_the_core_breaks_it_no_more() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/regressions.txt");
    let text = std::fs::read_to_string(path).expect("the file is part of the package");
    let (mut name, mut faults, mut count) = ("", "all", 0);
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            name = comment;
        } else if let Some(list) = line.strip_prefix("faults ") {
            faults = list;
        } else if !line.is_empty() && line != "#" {
            play(name, line, faults);
            play(name, line, "all");
            count += 1;
        }
    }
    assert!(count >= 10, "only {count} seeds are left");
}

#[track_caller]
fn play(name: &str, options: &str, faults: &str) {
    let mut run = Command::new(env!("CARGO_BIN_EXE_agent-sandbox-sim"));
    let output = run.arg("run").args(options.split_whitespace()).args(["--faults", faults]).output();
    let output = output.expect("the program was built for this test");
    let told = String::from_utf8_lossy(&output.stdout);
    let why = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{name}\n{options} --faults {faults}\n{told}{why}");
}
