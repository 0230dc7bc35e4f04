//! From a failure to its shortest story: the same violation with as few choices as possible that are not harmless.
//!
//! A run ends where it breaks a property, so its tape ends there, too. From it whole kinds of trouble are taken away,
//! then whole processes, then objects with all that was decided about them, then blocks, then single choices, and what
//! is left is made smaller; a step back is taken only if it still breaks the same property in the same way. The end is
//! *1-minimal* ([`Shrunk::is_minimal`]): each choice that is left was taken away alone, and then nothing broke.

use std::collections::BTreeMap;

use agent_sandbox_core::id::Text;

use crate::choices::Choices;
use crate::controller::Controller;
use crate::run::{Broken, Case, Report};
use crate::tape::{self, Choice, Tape, Topic};

/// How much a shrinker may do. **Unit**: steps of the world, because a clock would make results differ.
///
/// Source: some two seconds of one core.
pub const STEPS_MAX: u64 = 4_000_000;

/// What came out.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The calmest run that was found, with its tape.
    pub report: Report,
    /// Whether each choice that is left is needed: without it alone, nothing breaks in the same way.
    pub is_minimal: bool,
    /// How many runs that took.
    pub runs: u64,
}

/// What may be asked of a tape beside that it breaks the same property, such as that another build passes it.
pub type Condition<'a> = &'a dyn Fn(&Tape) -> bool;

/// Returns what tells one way of breaking a property from another: the sentence without what differs from run to run.
pub fn way_of(broken: &Broken) -> (&'static str, String) {
    let words = broken.violation.what.split_whitespace().map(|word| {
        let is_name = word.contains(|letter: char| letter.is_ascii_digit() || letter == '-');
        if is_name { "*" } else { word }
    });
    (broken.violation.property.name, words.collect::<Vec<_>>().join(" "))
}

/// Makes the story of a failure shorter; returns nothing if the run does not fail.
///
/// `choices` are those of the failure: a seed, a tape or bytes. At most `steps_max` steps are made.
pub fn shrink<C: Controller>(
    case: &Case<C>,
    choices: Choices,
    steps_max: u64,
    condition: Condition<'_>,
) -> Option<Shrunk> {
    let report = case.play(choices.noted(), &mut ());
    let way = way_of(report.broken.as_ref()?);
    let play = |tape| case.play(Choices::from_tape(tape), &mut ());
    let mut shrinker = Shrinker { play, way, best: report, steps_left: steps_max, runs: 0, condition };
    let is_minimal = shrinker.work();
    Some(Shrunk { report: shrinker.best, is_minimal, runs: shrinker.runs })
}

struct Shrinker<'a, F> {
    play: F,
    way: (&'static str, String),
    best: Report,
    steps_left: u64,
    runs: u64,
    condition: Condition<'a>,
}

impl<F: Fn(Tape) -> Report> Shrinker<'_, F> {
    /// Does all there is to do; returns whether the end is known to be minimal.
    fn work(&mut self) -> bool {
        let groupings: [fn(&Choice, u64) -> Option<String>; 5] =
            [of_timing, of_topic, of_kind, of_process, of_object];
        for grouping in groupings {
            self.take_groups(grouping);
        }
        self.take_blocks();
        loop {
            if !self.take_singles() {
                return false;
            }
            let size = self.size();
            self.lower();
            if self.size().0 == size.0 {
                // Nothing was taken since every choice was tried alone, but others may be needed for smaller numbers.
                return size == self.size() || self.take_singles();
            }
        }
    }

    /// Takes away what belongs together, the largest part first.
    fn take_groups(&mut self, grouping: fn(&Choice, u64) -> Option<String>) {
        let mut groups: BTreeMap<String, usize> = BTreeMap::new();
        for group in self.best.tape.iter().filter_map(|(choice, value)| grouping(choice, value)) {
            *groups.entry(group).or_default() += 1;
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
        for (group, _) in groups {
            self.attempt(
                self.best.tape.only(|choice, value| grouping(choice, value).as_ref() != Some(&group)),
            );
        }
    }

    /// Takes away halves, quarters and so on.
    fn take_blocks(&mut self) {
        let mut size = self.best.tape.len().div_ceil(2);
        while size > 1 {
            let all = self.choices();
            for block in all.chunks(size) {
                self.attempt(self.best.tape.only(|choice, _| !block.contains(choice)));
            }
            size = size.min(self.best.tape.len()).div_ceil(2);
        }
    }

    /// Takes single choices away until none can be; returns whether the steps sufficed.
    fn take_singles(&mut self) -> bool {
        loop {
            let before = self.best.tape.len();
            for choice in self.choices().into_iter().rev() {
                if self.best.tape.get(&choice) > 0 {
                    self.attempt(self.best.tape.only(|other, _| *other != choice));
                }
            }
            if self.steps_left == 0 {
                return false;
            }
            if self.best.tape.len() == before {
                return true;
            }
        }
    }

    /// Makes each number smaller, as far as a binary search comes.
    fn lower(&mut self) {
        for choice in self.choices() {
            if tape::fault_of(choice.site.topic, choice.draw, 1).is_some() {
                continue;
            }
            let (mut least, mut most) = (0, self.best.tape.get(&choice));
            // An eighth more or less makes no better story.
            while most - least > 1 + most / 8 {
                let middle = least + (most - least) / 2;
                let mut tape = self.best.tape.clone();
                tape.set(choice.clone(), middle);
                if self.attempt(tape) {
                    most = middle.min(self.best.tape.get(&choice));
                } else {
                    least = middle;
                }
                if least >= most {
                    break;
                }
            }
        }
    }

    /// Plays a tape, and keeps it if it breaks the same property in the same way and is smaller.
    fn attempt(&mut self, tape: Tape) -> bool {
        if self.steps_left == 0 || tape == self.best.tape {
            return false;
        }
        self.runs += 1;
        let report = (self.play)(tape);
        self.steps_left = self.steps_left.saturating_sub(report.steps);
        let same = report.broken.as_ref().is_some_and(|broken| way_of(broken) == self.way);
        let better = same && size_of(&report.tape) < self.size() && (self.condition)(&report.tape);
        if better {
            self.best = report;
        }
        better
    }

    fn size(&self) -> (usize, u64) {
        size_of(&self.best.tape)
    }

    fn choices(&self) -> Vec<Choice> {
        self.best.tape.iter().map(|(choice, _)| choice.clone()).collect()
    }
}

/// What a tape has to be smaller in: the number of choices, then their sum.
fn size_of(tape: &Tape) -> (usize, u64) {
    (tape.len(), tape.iter().fold(0, |sum, (_, value)| sum.saturating_add(value)))
}

/// Everything that only takes its time.
fn of_timing(choice: &Choice, value: u64) -> Option<String> {
    let timing = match choice.site.topic {
        Topic::Deed | Topic::Trouble | Topic::Setup | Topic::Calendar | Topic::Other => false,
        Topic::Request => choice.draw == tape::TRAVEL && value > 0,
        Topic::Answer => choice.draw == tape::TRAVEL,
        Topic::Line | Topic::List | Topic::Relist | Topic::Process | Topic::Pod | Topic::Collect => true,
    };
    timing.then(String::new)
}

/// Each topic.
fn of_topic(choice: &Choice, _value: u64) -> Option<String> {
    Some(format!("{} {}", choice.site.topic.name(), choice.draw))
}

/// Each kind of deed, of trouble, of fault, of request, of line.
fn of_kind(choice: &Choice, value: u64) -> Option<String> {
    let Choice { site, draw, .. } = choice;
    Some(match tape::fault_of(site.topic, *draw, value) {
        Some(fault) => fault.name().to_owned(),
        None => format!("{} {}", site.topic.name(), site.what),
    })
}

/// Each process.
fn of_process(choice: &Choice, _value: u64) -> Option<String> {
    choice.site.process.map(|process| process.to_string())
}

/// Each object, with what was decided about it.
fn of_object(choice: &Choice, _value: u64) -> Option<String> {
    let site = &choice.site;
    let name = || site.name.as_deref().map(Text::from);
    let named = match (site.topic, &*site.what) {
        (
            Topic::Deed,
            "claim" | "wishes" | "end" | "ttl" | "moves" | "deletion" | "labels" | "recreation",
        ) => Some(format!("claim-{}", site.number).into()),
        (Topic::Deed, "left-claim" | "left-policy" | "left-claim-deletion") => {
            Some(format!("old-{}", site.number).into())
        }
        (Topic::Deed, "toggle") => name(),
        (Topic::Deed, what) => Some(format!("{what} {}", site.number).into()),
        _ => name(),
    };
    named.map(|name| name.to_string())
}

#[cfg(test)]
mod tests {
    use agent_sandbox_core::config::Config;
    use agent_sandbox_core::machine::Machine;
    use agent_sandbox_core::mutant::Mutant;

    use super::*;
    use crate::faults::Options;
    use crate::run::Judges;

    fn case(seed: u64, mutant: Option<Mutant>) -> Case<Machine> {
        let setup = Config { mutant, ..Config::default() };
        Case { options: Options::of_campaign(seed), setup, judges: Judges::Effects }
    }

    #[test]
    fn a_shrunk_failure_breaks_the_same_property_and_every_choice_is_needed() {
        let mutant = Some(Mutant::OwnWriteInvisible);
        let play = |seed: u64, mutant| case(seed, mutant).play(Choices::from_seed(seed), &mut ());
        let seed = (0..100).find(|seed| play(*seed, mutant).broken.is_some()).expect("some seed fails");
        let first = play(seed, mutant);
        let replay = |mutant, tape: &Tape| case(seed, mutant).play(Choices::from_tape(tape.clone()), &mut ());
        let passes = |tape: &Tape| replay(None, tape).broken.is_none();
        let short = shrink(&case(seed, mutant), Choices::from_seed(seed), STEPS_MAX, &passes);
        let short = short.expect("the seed fails");
        let way = |report: &Report| report.broken.as_ref().map(way_of);
        assert_eq!(way(&short.report), way(&first));
        let tape = &short.report.tape;
        assert!(short.is_minimal && !tape.is_empty() && tape.len() < 40, "{tape}");
        for (choice, _) in tape.iter() {
            let less = tape.only(|other, _| other != choice);
            // A world that breaks a property by itself, such as one with more members than were ever asked for, is no story.
            let is_story = passes(&less) && way(&replay(mutant, &less)) == way(&first);
            assert!(!is_story, "not needed: {choice:?}");
        }
    }

    #[test]
    fn a_run_that_fails_not_has_no_story() {
        let case = case(1, None);
        assert!(shrink(&case, Choices::from_seed(1), 1000, &|_| true).is_none());
    }
}
