//! `--timeline`: a run as a page for a browser.

use std::path::Path;

use agent_sandbox_core::config::Config;
use agent_sandbox_core::machine::Machine;
use agent_sandbox_core::mutant::Mutant;
use agent_sandbox_sim::choices::Choices;
use agent_sandbox_sim::faults::Options;
use agent_sandbox_sim::run::{run, run_with};
use agent_sandbox_sim::timeline::Recorder;
use agent_sandbox_sim::timeline::page::{Heading, page};
use anyhow::Context;

use super::{judges, replay_command, say};

/// Opens the file, if one is asked for, so that one that cannot be written is a mistake before anything runs.
pub(super) fn check(path: Option<&Path>) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    std::fs::write(path, "").with_context(|| format!("cannot write the timeline {}", path.display()))
}

/// Plays a run once more, with the choices of its shortened story if it has one, and writes what happens.
pub(super) fn write(
    path: &Path,
    options: &Options,
    config: Config,
    mutant: Option<Mutant>,
    choices: Option<Choices>,
) -> anyhow::Result<()> {
    let mut recorder = Recorder::default();
    let judges = judges(mutant);
    let report = match choices {
        None => run::<Machine>(options, config, judges, &mut recorder),
        Some(choices) => run_with::<Machine>(options, config, judges, choices, &mut recorder),
    };
    let seed = options.seed;
    let defect = mutant.map_or(String::new(), |mutant| format!(", with the defect {}", mutant.name()));
    let heading = Heading {
        title: &format!("Seed {seed:#x}: a pool of {} and {} claims{defect}", options.pool, options.claims),
        command: &replay_command(options, mutant),
        broken: report.broken.as_ref(),
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
