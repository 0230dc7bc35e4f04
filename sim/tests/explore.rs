//! Small worlds are searched to the end, by one worker or by several, each defect is found, and what a search leaves out
//! makes no difference where that can be tried.

use std::time::Duration;

use agent_sandbox_core::mutant::Mutant;
use agent_sandbox_sim::checkers::Class;
use agent_sandbox_sim::explore::{Report, Scope, explore};

/// Longer than any search here takes.
const BUDGET: Duration = Duration::from_secs(600);

#[test]
fn small_worlds_are_closed_and_nothing_breaks() {
    let one = Scope { claims: 1, ..Scope::small() };
    let worlds = [
        Scope::small(),
        Scope { pool: 2, ..one.clone() },
        Scope { crashes: 1, ..one.clone() },
        Scope { lost_answers: 1, ..one.clone() },
        Scope { relists: 1, ..one.clone() },
        Scope { claim_deletes: 1, ..one.clone() },
        Scope { scale_downs: 1, ..one },
    ];
    for world in worlds {
        let report = explore(&world, BUDGET, 1);
        assert!(report.found.is_none(), "{world:?}: {:?}", report.found);
        assert!(report.closed && report.rests > 0, "{world:?}");
    }
}

#[test]
fn every_mutant_is_found_and_its_story_can_be_told_again() {
    let small = [
        Mutant::DeleteWithoutPreconditions,
        Mutant::LostAnswerIsFailure,
        Mutant::OwnWriteInvisible,
        Mutant::AdoptWithoutLock,
        Mutant::AbandonOnConflict,
    ];
    for mutant in small {
        let report = explore(&Scope::of_mutant(mutant), BUDGET, 1);
        let found = report.found.unwrap_or_else(|| panic!("{} was not found", mutant.name()));
        assert_eq!(found.violation.property.class, Class::Safety, "{found:?}");
        assert!(found.is_confirmed, "{found:?}");
        assert!(!breaks_unbroken(mutant), "{} needs no mutant", mutant.name());
    }
}

#[test]
fn the_same_search_gives_the_same_report() {
    let scope = Scope { claims: 1, crashes: 1, ..Scope::small() };
    assert_eq!(figures(&explore(&scope, BUDGET, 1)), figures(&explore(&scope, BUDGET, 1)));
}

#[test]
fn workers_find_together_what_one_finds() {
    let one = Scope { claims: 1, ..Scope::small() };
    for scope in [Scope { crashes: 1, ..one.clone() }, Scope { relists: 1, ..one }] {
        let [one, three] = [1, 3].map(|workers| explore(&scope, BUDGET, workers));
        assert!(three.closed);
        assert_eq!(figures(&one), figures(&three));
    }
    let broken = Scope::of_mutant(Mutant::LostAnswerIsFailure);
    let [one, three] = [1, 3].map(|workers| explore(&broken, BUDGET, workers).found.map(|found| found.story));
    assert!(one.is_some());
    assert_eq!(one, three);
}

/// Short cuts, of every defect: with one claim and one member.
#[test]
fn without_short_cuts_the_same_is_found() {
    let empty = Scope { claims: 0, no_shortcuts: true, ..Scope::small() };
    assert!(explore(&empty, BUDGET, 1).closed);
    for mutant in [Mutant::LostAnswerIsFailure, Mutant::OwnWriteInvisible] {
        assert!(is_same_without_short_cuts(Scope::of_mutant(mutant)), "{}", mutant.name());
    }
    // All defects take many minutes in debug.
    if cfg!(debug_assertions) {
        return;
    }
    assert_differing(&Scope { claims: 1, ..Scope::small() });
}

/// The same with two claims and a pool of one, which makes two members and more.
#[test]
#[ignore = "takes a quarter of an hour of one core, in release"]
fn without_short_cuts_the_same_is_found_with_two_claims() {
    assert_differing(&Scope { late_answers: 0, ..Scope::small() });
}

/// With short cuts a sandbox's status takes effect at once, so the claim hears of it by another way. And a circle that goes on for
/// ever is one move then, which spins; without them it is a circle of many, which no search sees.
fn assert_differing(scope: &Scope) {
    let mut differing = Mutant::ALL.to_vec();
    differing.retain(|mutant| !is_same_without_short_cuts(Scope { mutant: Some(*mutant), ..scope.clone() }));
    assert_eq!(differing, [Mutant::DeafToSandboxes, Mutant::StampsAgain]);
}

fn is_same_without_short_cuts(short: Scope) -> bool {
    let verdict = |scope: &Scope| {
        let report = explore(scope, BUDGET, 1);
        (report.closed, report.found.map(|found| found.violation.property))
    };
    verdict(&short) == verdict(&Scope { no_shortcuts: true, ..short })
}

/// The order of claims and of members, of every defect: what breaks with two claims and two members breaks in the reduced search,
/// too.
#[test]
fn in_each_order_of_names_the_same_is_found() {
    // All defects, and the larger world, take many minutes in debug.
    let few = [
        Mutant::OwnWriteInvisible,
        Mutant::AdoptWithoutLock,
        Mutant::ColdBesideReady,
        Mutant::WritesBeforeListed,
        Mutant::StampsAgain,
    ];
    let (pool, mutants) = if cfg!(debug_assertions) { (1, &few[..]) } else { (2, Mutant::ALL) };
    for mutant in mutants.iter().copied().map(Some).chain([None]) {
        let in_order = Scope { pool, mutant, late_answers: 0, ..Scope::small() };
        let any_order = Scope { any_order: true, ..in_order.clone() };
        let [in_order, any_order] = [in_order, any_order].map(|scope| explore(&scope, BUDGET, 1));
        let verdict =
            |report: &Report| (report.closed, report.found.as_ref().map(|found| found.violation.property));
        assert_eq!(verdict(&in_order), verdict(&any_order), "{mutant:?}");
        assert!(any_order.closed || any_order.found.is_some(), "{mutant:?} has no verdict");
        assert!(!any_order.closed || in_order.states < any_order.states, "{mutant:?}");
    }
}

#[test]
fn what_a_search_leaves_out_follows_from_its_scope() {
    let calm = explore(&Scope { claims: 1, ..Scope::small() }, BUDGET, 1);
    let crash = explore(&Scope { claims: 1, crashes: 1, ..Scope::small() }, BUDGET, 1);
    let dies = |report: &Report| !report.kinds.missing().any(|kind| kind == "a process dies");
    assert!(!dies(&calm) && dies(&crash));
    let all = Scope { no_shortcuts: true, ..Scope::small() };
    assert!(all.shortcuts().count() < Scope::small().shortcuts().count());
}

/// Returns whether the unbroken core breaks anything in the world in which a defect is looked for.
fn breaks_unbroken(mutant: Mutant) -> bool {
    let scope = Scope { mutant: None, ..Scope::of_mutant(mutant) };
    // The larger of these worlds are searched to the end in release only: see docs/sim.md.
    explore(&scope, Duration::from_secs(2), 1).found.is_some()
}

fn figures(report: &Report) -> impl PartialEq + std::fmt::Debug + use<> {
    (report.states, report.transitions, report.steps, report.depth, report.rests, report.reached)
}
