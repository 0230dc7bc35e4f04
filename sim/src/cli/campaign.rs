//! `hunt --json` and `merge`: what campaigns found, as files.

use std::path::{Path, PathBuf};

use agent_sandbox_core::machine::Machine;
use agent_sandbox_core::mutant::Mutant;
use agent_sandbox_sim::campaign::{Campaign, Violation, merge as merge_all};
use agent_sandbox_sim::checkers::Class;
use agent_sandbox_sim::controller::Controller;
use agent_sandbox_sim::engines::Engine;
use agent_sandbox_sim::faults::{Fault, Faults, Options};
use agent_sandbox_sim::run::Broken;
use anyhow::{Context, anyhow};

use super::hunt::tell_list;
use super::{MergeArgs, Verdict, replay_command, say};

/// What a campaign was asked to do.
pub(super) struct Asked {
    pub(super) seeds: (u64, u64),
    pub(super) faults: Faults,
    pub(super) engine: Option<Engine>,
    pub(super) mutant: Option<Mutant>,
}

/// What it counted.
pub(super) struct Counted<'a> {
    pub(super) tried: u64,
    pub(super) steps: u64,
    pub(super) marks: u64,
    pub(super) struck: &'a [u64],
    pub(super) broken: Option<(u64, &'a Options, &'a Broken)>,
}

/// Opens the file, so that one that cannot be written is a mistake before anything runs.
pub(super) fn check(path: Option<&Path>) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    std::fs::write(path, "").with_context(|| format!("cannot write the result {}", path.display()))
}

/// Writes what a campaign found.
pub(super) fn save(path: &Path, asked: &Asked, counted: &Counted<'_>) -> anyhow::Result<()> {
    let names = Fault::ALL.into_iter().zip(counted.struck).filter(|(fault, _)| asked.faults.has(*fault));
    let branches = (0..).zip(Machine::branches());
    let violation = |(seed, options, broken): (u64, &Options, &Broken)| Violation {
        seed,
        property: broken.violation.property.name.to_owned(),
        is_unsafe: broken.violation.property.class == Class::Safety,
        what: broken.violation.what.clone(),
        step: broken.step,
        command: replay_command(options, asked.mutant),
    };
    let campaign = Campaign {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        defect: asked.mutant.map(|mutant| mutant.name().to_owned()),
        faults: asked.faults.to_string(),
        engine: asked.engine.map_or("all", Engine::name).to_owned(),
        seeds: vec![asked.seeds],
        tried: counted.tried,
        steps: counted.steps,
        struck: names.map(|(fault, count)| (fault.name().to_owned(), *count)).collect(),
        branches: branches.map(|(bit, name)| (name.to_owned(), counted.marks >> bit & 1)).collect(),
        violations: counted.broken.map(violation).into_iter().collect(),
    };
    write(path, &campaign)
}

fn write(path: &Path, campaign: &Campaign) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(campaign)? + "\n";
    std::fs::write(path, text).with_context(|| format!("cannot write the result {}", path.display()))
}

/// Merges the files of campaigns and tells what they found together.
pub(super) fn merge(args: &MergeArgs) -> anyhow::Result<Verdict> {
    let campaigns: Vec<Campaign> = args.files.iter().map(read).collect::<anyhow::Result<_>>()?;
    let all = merge_all(campaigns).map_err(|why| anyhow!("cannot merge: {why}"))?;
    if let Some(path) = &args.json {
        write(path, &all)?;
    }
    let ranges: Vec<_> = all.seeds.iter().map(|(from, to)| format!("{from:#x}..{to:#x}")).collect();
    say!("merged          {} files, version {}", args.files.len(), all.version);
    say!("seeds           {}", ranges.join(", "));
    say!("ran             {} seeds, {} steps", all.tried, all.steps);
    for violation in &all.violations {
        say!("");
        say!("{} broke with seed {:#x}, at step {}:", violation.property, violation.seed, violation.step);
        say!("  {}", violation.what);
        say!("  {}", violation.command);
    }
    let none = |counts: &std::collections::BTreeMap<String, u64>| {
        counts.iter().filter(|(_, count)| **count == 0).map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    let (faults, branches) = (none(&all.struck), none(&all.branches));
    say!("");
    tell_list("faults never reached", faults.iter().map(String::as_str).collect());
    tell_list("branches never reached", branches.iter().map(String::as_str).collect());
    let verdict = match all.violations.iter().map(|violation| violation.is_unsafe).max() {
        None => Verdict::Pass,
        Some(false) => Verdict::NotLive,
        Some(true) => Verdict::Unsafe,
    };
    say!("");
    say!("verdict         {verdict}");
    Ok(verdict)
}

fn read(path: &PathBuf) -> anyhow::Result<Campaign> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text)
        .map_err(|why| anyhow!("{} is not the result of a campaign: {why}", path.display()))
}
