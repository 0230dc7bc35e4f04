//! `--timeline`: a run as a page for a browser.

use std::path::Path;

use agent_sandbox_core::machine::Machine;
use agent_sandbox_sim::choices::Choices;
use agent_sandbox_sim::faults::Options;
use agent_sandbox_sim::run::Case;
use agent_sandbox_sim::tale::tell;
use agent_sandbox_sim::timeline::Recorder;
use agent_sandbox_sim::timeline::page::{Heading, page};
use anyhow::Context;

use super::say;

/// Opens the file, if one is asked for, so that one that cannot be written is a mistake before anything runs.
pub(super) fn check(path: Option<&Path>) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    std::fs::write(path, "").with_context(|| format!("cannot write the timeline {}", path.display()))
}

/// Plays a run once more and writes what happens; `command` is what plays the same.
pub(super) fn write(
    path: &Path,
    case: &Case<Machine>,
    choices: Choices,
    command: &str,
) -> anyhow::Result<()> {
    let mut recorder = Recorder::default();
    let report = case.play(choices.noted(), &mut recorder);
    let story: Vec<String> = tell(case, &report.tape).iter().map(ToString::to_string).collect();
    let Options { seed, claims, pool, .. } = case.options;
    let defect = case.setup.mutant.map_or(String::new(), |it| format!(", with the defect {}", it.name()));
    let heading = Heading {
        title: &format!("Seed {seed:#x}: a pool of {pool} and {claims} claims{defect}"),
        command,
        broken: report.broken.as_ref(),
        story: &story,
        over_time: None,
    };
    save(path, &page(&recorder, &heading))
}

/// Writes a page.
pub(super) fn save(path: &Path, page: &str) -> anyhow::Result<()> {
    std::fs::write(path, page).with_context(|| format!("cannot write the timeline {}", path.display()))?;
    say!("timeline        {} ({} kB)", path.display(), page.len() / 1000);
    Ok(())
}
