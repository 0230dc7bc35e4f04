//! The short story of a failure, and what is left of it: a tape, a test.

use std::path::{Path, PathBuf};

use agent_sandbox_core::mutant::Mutant;
use agent_sandbox_sim::faults::Options;
use agent_sandbox_sim::run::{Broken, Judges};
use agent_sandbox_sim::saved::Saved;
use agent_sandbox_sim::shrink::{STEPS_MAX, Shrunk, shrink};
use agent_sandbox_sim::tale::tell;
use anyhow::Context;

use super::{judges, moment, say};

/// Shrinks a failed run; where a defect is built in, nothing may break without it.
pub(super) fn shorten(options: &Options, mutant: Option<Mutant>) -> Option<(Saved, Shrunk)> {
    let judges_all = matches!(judges(mutant), Judges::All);
    let mut saved = Saved { options: *options, judges_all, mutant, tape: Default::default() };
    let right = mutant.map(|_| saved.mended().case().setup);
    // Many of the runs may panic where the core's own assertions are at stake: that is no news.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let shrunk = shrink(&saved.case(), options.choices(), STEPS_MAX, right);
    std::panic::set_hook(hook);
    let shrunk = shrunk?;
    (saved.options, saved.tape) = (shrunk.options, shrunk.report.tape.clone());
    Some((saved, shrunk))
}

/// Tells what was broken, and the short story of it.
pub(super) fn tell_short(saved: &Saved, broken: &Broken) -> Vec<String> {
    let sentences: Vec<String> = tell(&saved.case(), &saved.tape).iter().map(ToString::to_string).collect();
    say!("");
    say!("the story, in {} sentences:", sentences.len());
    for sentence in &sentences {
        say!("{sentence}");
    }
    say!("{:>12} {} breaks: {}", moment(broken.at), broken.violation.property.name, broken.violation.what);
    say!("{:>12} promised: {}", "", broken.violation.property.about);
    sentences
}

/// Writes a tape; returns where it is.
pub(super) fn save(saved: &Saved, path: Option<&Path>, property: &str) -> anyhow::Result<PathBuf> {
    let path = path.map_or_else(
        || {
            let subject = saved.mutant.map_or(property, |mutant| mutant.name());
            std::env::temp_dir().join(format!("agent-sandbox-{subject}-{:x}.tape", saved.options.seed))
        },
        Path::to_owned,
    );
    std::fs::write(&path, saved.to_string())
        .with_context(|| format!("cannot write the tape {}", path.display()))?;
    Ok(path)
}

/// Reads a tape.
pub(super) fn load(path: &Path) -> anyhow::Result<Saved> {
    let failed = || format!("cannot read the tape {}", path.display());
    let text = std::fs::read_to_string(path).with_context(failed)?;
    text.parse().map_err(|error: String| anyhow::anyhow!(error)).with_context(failed)
}

/// Writes a test that demands the violation.
pub(super) fn write_test(saved: &Saved, path: &Path, property: &str, story: &[String]) -> anyhow::Result<()> {
    std::fs::write(path, saved.to_test(property, story))
        .with_context(|| format!("cannot write the test {}", path.display()))
}
