//! `replay`: the events of a trace, and whether this build answers them in the same way.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use agent_sandbox_core::action::{Action, Intent};
use agent_sandbox_core::trace::Step;
use agent_sandbox_sim::replay::{Difference, End, Replayed, replay as feed, sentence_of};
use agent_sandbox_sim::span::whole as span;
use anyhow::{Context, anyhow};

use super::run::wrapped;
use super::{ReplayArgs, Verdict, say};

/// Most actions of one step that are listed.
const ACTIONS_SHOWN: usize = 20;

/// Replays a trace and tells what was in it.
pub(super) fn replay(args: &ReplayArgs) -> anyhow::Result<Verdict> {
    let path = &args.file;
    let failed = || format!("cannot replay {}", path.display());
    let file = File::open(path).with_context(failed)?;
    let replayed = feed(BufReader::with_capacity(1 << 20, file), args.limit).with_context(failed)?;
    tell(path, &replayed);
    match &replayed.end {
        End::Complete | End::Limit => {
            say!("");
            say!("verdict         {}", "same: this build has the same actions for the same events");
            Ok(Verdict::Pass)
        }
        End::Differs(difference) => {
            tell_difference(difference, &replayed);
            say!("");
            say!("verdict         {}", Verdict::Differs);
            Ok(Verdict::Differs)
        }
        End::Damaged(damage) => {
            let before = replayed.steps;
            Err(anyhow!("{damage}; the {before} steps before it had the same actions").context(failed()))
        }
        End::Crashed { step, asked } => {
            say!("");
            say!("the core panicked at step {step}, {}: {}", moment_of(asked, &replayed), sentence_of(asked));
            Ok(Verdict::Crashed)
        }
    }
}

fn tell(path: &Path, replayed: &Replayed) {
    let header = &replayed.header;
    let commit = header.commit.as_deref().unwrap_or("that it does not name");
    say!("trace           {}", path.display());
    say!("written by      version {}, commit {commit}", header.version);
    say!("replayed by     version {}", env!("CARGO_PKG_VERSION"));
    let time = replayed.last.mono.since(header.started.mono);
    say!("span            {} from {}", span(time), header.started.wall.rfc3339_micros());
    let events: Vec<_> = replayed.events.iter().map(|(name, count)| format!("{name} {count}")).collect();
    say!("steps           {}", replayed.steps);
    say!("events          {}", listed(&events));
    let actions = Intent::ALL.into_iter().zip(replayed.actions).filter(|(_, count)| *count > 0);
    let actions: Vec<_> = actions.map(|(intent, count)| format!("{intent:?} {count}")).collect();
    say!("actions         {}", listed(&actions));
    if matches!(replayed.end, End::Limit) {
        say!("not replayed    what follows: --limit was reached");
    }
}

fn tell_difference(difference: &Difference, replayed: &Replayed) {
    let asked = &difference.asked;
    say!("");
    say!(
        "step {} (line {}), {}: {}",
        difference.step,
        difference.step + 1,
        moment_of(asked, replayed),
        sentence_of(asked)
    );
    tell_actions("expected", &asked.actions);
    tell_actions("got", &difference.got);
    if let Some(field) = difference.field() {
        say!("first difference: {}", field.path);
        say!("  expected {}", field.expected);
        say!("  got      {}", field.got);
    }
}

fn tell_actions(name: &str, actions: &[Action]) {
    say!("{name}:{}", if actions.is_empty() { " nothing" } else { "" });
    for (place, action) in actions.iter().take(ACTIONS_SHOWN).enumerate() {
        say!("  [{place}] {action} (action {})", action.id.0);
    }
    if actions.len() > ACTIONS_SHOWN {
        say!("  and {} more", actions.len() - ACTIONS_SHOWN);
    }
}

fn moment_of(step: &Step, replayed: &Replayed) -> String {
    let since = step.now.mono.since(replayed.header.started.mono);
    format!("{}.{:06} s after its start", since.as_secs(), since.subsec_micros())
}

fn listed(items: &[String]) -> String {
    if items.is_empty() { "none".to_owned() } else { wrapped(items) }
}
