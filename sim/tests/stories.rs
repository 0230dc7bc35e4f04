//! What a failure is shrunk to is told, saved, and becomes a test.

use std::time::Duration;

use agent_sandbox_core::config::Config;
use agent_sandbox_core::machine::Machine;
use agent_sandbox_core::mutant::Mutant;
use agent_sandbox_sim::choices::Choices;
use agent_sandbox_sim::faults::Options;
use agent_sandbox_sim::matrix::{Found, find};
use agent_sandbox_sim::run::{Case, Judges};
use agent_sandbox_sim::saved::Saved;
use agent_sandbox_sim::shrink::{STEPS_MAX, shrink, way_of};
use agent_sandbox_sim::tale::tell;

fn found(mutant: Mutant) -> (Found, Saved) {
    let found = find(mutant, None, 0, Duration::from_secs(60), STEPS_MAX).expect("the defect is found");
    let saved = found.told().saved().expect("it was shrunk");
    (found, saved)
}

#[test]
fn each_choice_of_a_story_is_needed_and_the_story_is_told() {
    for mutant in [Mutant::OneTooFew, Mutant::LostAnswerIsFailure, Mutant::OwnWriteInvisible] {
        let (found, saved) = found(mutant);
        let broken = saved.play().broken.expect("the tape breaks it");
        let found = found.told();
        assert_eq!(broken.violation.property.name, found.checker);
        assert!(found.shrunk.as_ref().is_some_and(|shrunk| shrunk.is_minimal), "{}", mutant.name());
        assert_eq!(saved.mended().play().broken, None, "{}", mutant.name());
        for (choice, _) in saved.tape.iter() {
            let tape = saved.tape.only(|other, _| other != choice);
            // A world that breaks a property by itself, such as one with more members than were ever asked for, is no story.
            let is_possible =
                saved.mended().case().play(Choices::from_tape(tape.clone()), &mut ()).broken.is_none();
            let less = saved.case().play(Choices::from_tape(tape), &mut ());
            let is_same = less.broken.as_ref().map(way_of) == Some(way_of(&broken));
            assert!(!(is_same && is_possible), "not needed: {choice:?}");
        }
        let story = found.story();
        assert!(!story.is_empty() && story.len() <= 40, "{}: {} sentences", mutant.name(), story.len());
    }
}

/// INV-19: where nothing happens is judged in a tape as it is in the run from which that was taken.
#[test]
fn what_was_left_undone_becomes_a_story() {
    let setup = Config { mutant: Some(Mutant::NoExpiryTimer), ..Config::default() };
    let judges = Judges::Named(&["in-time"]);
    let case = |options| Case::<Machine> { options, setup: setup.clone(), judges };
    let mut cases = (0..2000).map(|seed| case(Options::of_campaign(seed)));
    let case_found = cases.find(|case| case.play(case.options.choices(), &mut ()).broken.is_some());
    let found = case_found.expect("the defect is found");
    let short = shrink(&found, found.options.choices(), STEPS_MAX, None).expect("it breaks a property");
    assert!(short.is_minimal && short.report.tape.len() < 40, "{} choices", short.report.tape.len());
    let story = tell(&case(short.options), &short.report.tape);
    assert!(!story.is_empty() && story.len() <= 40, "{} sentences", story.len());
    story.iter().for_each(|it| println!("{it}"));
}

/// The test that is checked in is what `--write-test` writes of its tape, from which nothing can be taken.
#[test]
fn the_written_test_is_written_again() {
    let written = include_str!("story_one_too_few.rs");
    let (_, tape) = written.split_once("const TAPE: &str = \"\\\n").expect("a tape");
    let (tape, _) = tape.split_once("\";\n").expect("the end of the tape");
    let saved: Saved = tape.replace("\\n\\\n", "\n").parse().expect("the tape is one");
    let right = Some(saved.mended().case().setup);
    let short = shrink(&saved.case(), Choices::from_tape(saved.tape.clone()), STEPS_MAX, right);
    let short = short.expect("it breaks a property");
    assert!(short.is_minimal);
    let saved = Saved { tape: short.report.tape.clone(), ..saved };
    let story: Vec<String> = tell(&saved.case(), &saved.tape).iter().map(ToString::to_string).collect();
    let broken = short.report.broken.expect("it was shrunk");
    let again = saved.to_test(broken.violation.property.name, &story);
    assert_eq!(again, written, "write it again with `agent-sandbox-sim run --shrink --write-test`");
}

#[test]
fn a_saved_tape_plays_the_same_run() {
    let (_, saved) = found(Mutant::OneTooFew);
    let again: Saved = saved.to_string().parse().expect("it was just written");
    assert_eq!(again, saved);
    let (first, second) = (saved.play(), again.play());
    assert_eq!((first.hash, first.broken), (second.hash, second.broken));
}
