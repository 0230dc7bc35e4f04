//! Stamps the commit into the binary: from `GIT_COMMIT`, or from the working tree that is built.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=GIT_COMMIT");
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    let given = std::env::var("GIT_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = given.or_else(|| git(&["rev-parse", "--short=12", "HEAD"]));
    println!("cargo::rustc-env=AGENT_SANDBOX_COMMIT={}", commit.unwrap_or_default());
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
