//! `explore`: every interleaving of one small world.

use std::thread::available_parallelism;

use agent_sandbox_core::machine::Machine;
use agent_sandbox_sim::checkers::Class;
use agent_sandbox_sim::controller::Controller;
use agent_sandbox_sim::explore::{Found, Report, Scope, explore as search};

use super::hunt::tell_list;
use super::{ExploreArgs, Verdict, say};

/// Searches, and tells how far it got and what it found.
pub(super) fn explore(args: &ExploreArgs) -> Verdict {
    let scope = scope(args);
    say!(
        "world           {} claims, a pool of {}, {} leading, {} crashes, {} lost answers, {} relists",
        scope.claims,
        scope.pool,
        scope.leaders,
        scope.crashes,
        scope.lost_answers,
        scope.relists
    );
    if scope.claim_deletes + scope.scale_downs > 0 {
        say!("users           delete {} claims, scale down {} times", scope.claim_deletes, scope.scale_downs);
    }
    if let Some(mutant) = scope.mutant {
        say!("defect          {}: {}", mutant.name(), mutant.about());
    }
    let jobs = args.jobs.map_or_else(|| available_parallelism().map_or(1, usize::from), |jobs| jobs as usize);
    let report = search(&scope, args.budget, jobs);
    tell_figures(&report);
    tell_left_out(&scope, &report);
    let branches = (0..).zip(Machine::branches()).filter(|(bit, _)| report.reached >> bit & 1 == 0);
    tell_list("branches never reached", branches.map(|(_, name)| name).collect());
    let verdict = match &report.found {
        None => Verdict::Pass,
        Some(found) => tell_violation(found, report.went_deep),
    };
    say!("");
    say!(
        "verdict         {verdict}{}",
        if report.closed || report.found.is_some() { "" } else { ", as far as it got" }
    );
    verdict
}

fn scope(args: &ExploreArgs) -> Scope {
    let base = args.mutant.map_or_else(Scope::small, Scope::of_mutant);
    Scope {
        claims: args.claims.unwrap_or(base.claims),
        pool: args.pool.unwrap_or(base.pool),
        leaders: args.leaders.unwrap_or(base.leaders),
        crashes: args.crashes.unwrap_or(base.crashes),
        lost_answers: args.lost_answers.unwrap_or(base.lost_answers),
        relists: args.relists.unwrap_or(base.relists),
        claim_deletes: args.claim_deletes.unwrap_or(base.claim_deletes),
        scale_downs: args.scale_downs.unwrap_or(base.scale_downs),
        late_answers: args.late_answers.unwrap_or(base.late_answers),
        no_shortcuts: args.no_shortcuts,
        any_order: args.any_order,
        ..base
    }
}

/// Tells what the search did not do: what it never came to, and what it takes as one.
fn tell_left_out(scope: &Scope, report: &Report) {
    say!("left out        steps: {}", report.kinds.missing().collect::<Vec<_>>().join("; "));
    for shortcut in scope.shortcuts() {
        say!("                {}", shortcut.about(scope));
    }
}

fn tell_figures(report: &Report) {
    let real = report.elapsed.as_secs_f64();
    let closed = match (report.closed, &report.found) {
        (true, _) => "closed: every situation was visited",
        (false, Some(_)) => "ended at the first violation",
        (false, None) => "not closed within the budget",
    };
    say!("space           {closed}");
    let deep = if report.went_deep { ", from there on depth first for lack of room" } else { "" };
    say!("states          {}, {} of them at rest; depth {}{deep}", report.states, report.rests, report.depth);
    say!(
        "transitions     {} in {real:.1} s: {:.0}/s on {}; made of {} steps: {:.0}/s",
        report.transitions,
        report.transitions as f64 / real,
        if report.workers == 1 { "one core".to_owned() } else { format!("{} cores", report.workers) },
        report.steps,
        report.steps as f64 / real
    );
    say!(
        "memory          {:.0} bytes a state visited, {} a state that waits, without what it shares; at most {} waited",
        report.bytes_visited as f64 / report.states.max(1) as f64,
        report.bytes_waiting,
        report.frontier_max
    );
    say!(
        "machines        {} situations of the core, {} reactions; {} writes to the API server",
        report.machines,
        report.reactions,
        report.writes
    );
}

fn tell_violation(found: &Found, went_deep: bool) -> Verdict {
    let property = found.violation.property;
    say!("");
    say!("{} broke after {} moves:", property.name, found.moves);
    say!("  {}", found.violation.what);
    say!("  promised: {}", property.about);
    say!("");
    say!("{}:", if went_deep { "a story that need not be the shortest" } else { "the shortest story" });
    found.story.iter().for_each(|line| say!("{line}"));
    if !found.is_confirmed {
        say!("THE SEARCH IS WRONG: the same moves break nothing in a world without its memory");
    }
    match property.class {
        Class::Liveness => Verdict::NotLive,
        Class::Safety => Verdict::Unsafe,
    }
}
