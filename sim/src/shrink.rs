//! From a failure to its shortest story: the same violation with as few choices as possible that are not harmless.
//!
//! A run ends where it breaks a property, so its tape ends there, too. From it whole kinds of trouble are taken away,
//! then whole processes, then objects with all that was decided about them, then blocks, then single choices, and what
//! is left is made smaller; a step back is taken only if it still breaks the same property in the same way. The end is
//! *1-minimal* ([`Shrunk::is_minimal`]): each choice that is left was taken away alone, and then nothing broke.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use agent_sandbox_core::id::Text;

use crate::choices::Choices;
use crate::controller::Controller;
use crate::faults::{Faults, Options};
use crate::plan::Plan;
use crate::run::{Broken, Case, Limits, Report};
use crate::tape::{self, Choice, Tape, Topic};

/// How much a shrinker may do. **Unit**: steps of the world, because a clock would make results differ.
///
/// Source: a guess: one defect made 115,000 steps a second on a busy machine, so some nine seconds of one core.
pub const STEPS_MAX: u64 = 1_000_000;

/// How many times as long as the best run a try may take, before the last look.
///
/// Source: a run with less trouble rarely breaks the same later; one that does not break goes on to the end for nothing.
const LONGER_MAX: u64 = 2;

/// How long a try may take to settle, and how long it must be quiet then, before the last look: see [`Limits`].
///
/// Source: the longest back-off is 30 s, and with little trouble nothing else takes longer. A controller that spins makes
/// a thousand steps a second, so that waiting as long as usual would cost a second of real time for each try.
const BRIEFLY: Duration = Duration::from_secs(60);

/// To how long the time of users and faults is cut, if that does.
const DURATIONS: [u64; 3] = [1, 5, 20];

/// Up to how many choices pairs of them are taken away, too.
///
/// Source: a guess: 24 choices have 276 pairs.
const PAIRS_MAX: usize = 24;

/// What came out.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// How large the world is, and what is planned in it: nothing, if the tape could say it all.
    pub options: Options,
    /// The calmest run that was found, with its tape.
    pub report: Report,
    /// Whether each choice that is left is needed: without it alone, nothing breaks in the same way.
    pub is_minimal: bool,
    /// How many runs that took.
    pub runs: u64,
    /// How many steps they made.
    pub steps: u64,
}

/// Returns what tells one way of breaking a property from another: the sentence without what differs from run to run.
pub fn way_of(broken: &Broken) -> (&'static str, String) {
    let words = broken.violation.what.split_whitespace().map(|word| {
        let is_controller =
            matches!(word.trim_matches(|letter: char| !letter.is_alphanumeric()).as_bytes(), [b'A'..=b'Z']);
        let is_name = is_controller || word.contains(|letter: char| letter.is_ascii_digit() || letter == '-');
        if is_name { "*" } else { word }
    });
    (broken.violation.property.name, words.collect::<Vec<_>>().join(" "))
}

/// Makes the story of a failure shorter; returns nothing if the run does not fail.
///
/// `choices` are those of the failure: a seed, a tape or bytes. Some `steps_max` steps are made at most. If there is a
/// setup that is `right`, it must pass what the other fails.
pub fn shrink<C: Controller>(
    case: &Case<C>,
    choices: Choices,
    steps_max: u64,
    right: Option<C::Setup>,
) -> Option<Shrunk> {
    let report = case.play(choices.noted(), &mut ());
    let way = way_of(report.broken.as_ref()?);
    let (case, tried) = (case.clone(), BTreeSet::new());
    let mut shrinker = Shrinker {
        case,
        way,
        best: report,
        steps_left: steps_max,
        runs: 0,
        right,
        tried,
        is_brief: true,
        is_last: false,
    };
    let is_minimal = shrinker.work();
    let Shrinker { case, best, runs, steps_left, .. } = shrinker;
    Some(Shrunk { options: case.options, report: best, is_minimal, runs, steps: steps_max - steps_left })
}

struct Shrinker<C: Controller> {
    case: Case<C>,
    way: (&'static str, String),
    best: Report,
    steps_left: u64,
    runs: u64,
    right: Option<C::Setup>,
    /// What was tried in vain.
    tried: BTreeSet<u64>,
    /// Whether tries end sooner after the trouble than they should.
    is_brief: bool,
    /// Whether each try may take as long as it takes, because what is left now stays.
    is_last: bool,
}

/// What belongs together, by a name; nothing if a choice is in no group.
type Grouping = fn(&Choice, u64) -> Option<String>;

impl<C: Controller> Shrinker<C> {
    /// Does all there is to do; returns whether the end is known to be minimal.
    fn work(&mut self) -> bool {
        self.put_plan_on_tape();
        let whole = (self.best.clone(), self.case.options);
        self.cut_duration();
        self.take_away();
        if !self.holds() {
            // What takes long to settle looked like what never does.
            (self.best, self.case.options) = whole;
            self.is_brief = false;
            self.tried.clear();
            self.take_away();
        }
        self.is_last = true;
        self.put_plan_on_tape();
        let before = (self.best.clone(), self.case.options);
        let is_minimal = self.take_singles();
        if self.holds() {
            return is_minimal;
        }
        (self.best, self.case.options) = before;
        false
    }

    /// Takes away whatever can go.
    fn take_away(&mut self) {
        let groupings: [Grouping; 6] = [of_timing, of_topic, of_kind, of_process, of_object, of_deed];
        for grouping in groupings {
            self.take_groups(grouping);
        }
        self.take_blocks();
        loop {
            let before = self.size();
            self.take_singles();
            // What was needed by something that has gone since can go now.
            groupings.into_iter().for_each(|grouping| self.take_groups(grouping));
            self.take_pairs();
            self.cut_duration();
            self.lower();
            if self.size() == before || self.steps_left == 0 {
                break;
            }
        }
    }

    /// Returns whether the best tape breaks the same property when it is played as long as any.
    fn holds(&mut self) -> bool {
        let report = self.case.play(Choices::from_tape(self.best.tape.clone()), &mut ());
        self.runs += 1;
        self.steps_left = self.steps_left.saturating_sub(report.steps);
        let holds = self.is_same(&report);
        if holds {
            self.best = report;
        }
        holds
    }

    /// Lets users and faults come to their end sooner.
    fn cut_duration(&mut self) {
        for seconds in DURATIONS {
            let duration = Duration::from_secs(seconds);
            if self.steps_left > 0 && duration < self.case.options.duration {
                let options = Options { duration, ..self.case.options };
                if self.attempt_with(options) {
                    break;
                }
            }
        }
    }

    /// Plays what was planned as choices, so that it can be taken away and told like all others.
    fn put_plan_on_tape(&mut self) {
        if self.case.options.plan != Plan::None && self.steps_left > 0 {
            // A tape says what strikes; that anything may tells it from a run in which nothing was meant to go wrong.
            self.attempt_with(Options { plan: Plan::None, faults: Faults::ALL, ..self.case.options });
        }
    }

    /// Plays the tape in another case, and keeps that if the same breaks.
    fn attempt_with(&mut self, options: Options) -> bool {
        let before = std::mem::replace(&mut self.case.options, options);
        let report = self.play(self.best.tape.clone());
        let same = self.is_same(&report) && self.is_right(&report.tape);
        if same {
            self.best = report;
            self.tried.clear();
        } else {
            self.case.options = before;
        }
        same
    }

    /// Takes away what belongs together, the largest part first.
    fn take_groups(&mut self, grouping: Grouping) {
        // A tape may have thousands of choices and as many groups, so each choice is asked once where it belongs.
        let mut groups: BTreeMap<String, BTreeSet<Choice>> = BTreeMap::new();
        for (choice, value) in self.best.tape.iter() {
            if let Some(group) = grouping(choice, value) {
                groups.entry(group).or_default().insert(choice.clone());
            }
        }
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
        for group in groups {
            self.attempt_without(|choice| group.contains(choice));
        }
    }

    /// Takes away halves, quarters and so on.
    fn take_blocks(&mut self) {
        let mut size = self.best.tape.len().div_ceil(2);
        while size > 1 {
            let all = self.choices();
            for block in all.chunks(size) {
                // In the order of the tape.
                self.attempt_without(|choice| block.binary_search(choice).is_ok());
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
                    self.attempt_without(|other| *other == choice);
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

    /// Takes two choices away at a time, where neither can go without the other.
    fn take_pairs(&mut self) {
        if self.best.tape.len() > PAIRS_MAX {
            return;
        }
        let all = self.choices();
        for (place, first) in all.iter().enumerate() {
            for second in &all[place + 1..] {
                let tape = &self.best.tape;
                if tape.get(first) > 0 && tape.get(second) > 0 {
                    self.attempt_without(|other| other == first || other == second);
                }
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

    /// Plays the best tape without some of its choices, and keeps that if it is better.
    fn attempt_without(&mut self, goes: impl Fn(&Choice) -> bool) -> bool {
        // With no steps left nothing is played, and a long tape takes time to copy.
        self.steps_left > 0 && self.attempt(self.best.tape.only(|choice, _| !goes(choice)))
    }

    /// Plays a tape, and keeps it if it breaks the same property in the same way and is smaller.
    fn attempt(&mut self, tape: Tape) -> bool {
        if self.steps_left == 0 || tape == self.best.tape || !self.tried.insert(self.fingerprint(&tape)) {
            return false;
        }
        let report = self.play(tape);
        let better =
            self.is_same(&report) && size_of(&report.tape) < self.size() && self.is_right(&report.tape);
        if better {
            self.best = report;
        }
        better
    }

    fn play(&mut self, tape: Tape) -> Report {
        let mut limits = Limits::WHOLE;
        if self.is_brief {
            (limits.settles_within, limits.quiet_for) = (BRIEFLY, BRIEFLY);
        }
        if !self.is_last {
            limits.steps = LONGER_MAX * self.best.steps + 100;
        }
        let report = self.case.play_within(limits, Choices::from_tape(tape));
        self.runs += 1;
        self.steps_left = self.steps_left.saturating_sub(report.steps);
        report
    }

    fn is_same(&self, report: &Report) -> bool {
        report.broken.as_ref().is_some_and(|broken| way_of(broken) == self.way)
    }

    /// Returns whether the setup that is right passes a tape.
    fn is_right(&mut self, tape: &Tape) -> bool {
        let Some(right) = &self.right else { return true };
        let case = Case { setup: right.clone(), ..self.case.clone() };
        let limits = Limits { quiet_for: BRIEFLY, ..Limits::WHOLE };
        let report = case.play_within(limits, Choices::from_tape(tape.clone()));
        self.runs += 1;
        self.steps_left = self.steps_left.saturating_sub(report.steps);
        report.broken.is_none()
    }

    /// Returns a number that stands for a tape and for how long it may be played.
    fn fingerprint(&self, tape: &Tape) -> u64 {
        let mut hasher = DefaultHasher::new();
        (tape, self.is_last).hash(&mut hasher);
        hasher.finish()
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

/// Each deed and each trouble, with when and how.
fn of_deed(choice: &Choice, _value: u64) -> Option<String> {
    let Choice { site, nth, .. } = choice;
    let is_one = matches!(site.topic, Topic::Deed | Topic::Trouble | Topic::Request | Topic::Answer);
    is_one.then(|| format!("{site:?} {nth}"))
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
    use agent_sandbox_core::time::Mono;

    use super::*;
    use crate::checkers::{Class, Property, Violation};
    use crate::faults::Options;
    use crate::process;
    use crate::run::Judges;

    fn case(seed: u64, mutant: Option<Mutant>) -> Case<Machine> {
        let setup = Config { mutant, ..Config::default() };
        Case { options: Options::of_campaign(seed), setup, judges: Judges::Effects }
    }

    #[test]
    fn a_shrunk_failure_breaks_the_same_property_and_every_choice_is_needed() {
        let mutant = Some(Mutant::OwnWriteInvisible);
        let play = |seed: u64, mutant| case(seed, mutant).play(Choices::from_seed(seed), &mut ());
        let right = Some(Config::default());
        let shorten = |seed| shrink(&case(seed, mutant), Choices::from_seed(seed), STEPS_MAX, right.clone());
        // Not every story is shortened to the end; that of a short run is, and soon.
        let played = (0..100).map(|seed| (seed, play(seed, mutant))).filter(|(_, run)| run.broken.is_some());
        let mut failing: Vec<(u64, u64)> = played.map(|(seed, run)| (run.steps, seed)).take(8).collect();
        failing.sort_unstable();
        let mut shortened = failing.into_iter().filter_map(|(_, seed)| Some((seed, shorten(seed)?)));
        let found = shortened.find(|(_, it)| it.is_minimal && it.report.tape.len() < 40);
        let (seed, short) = found.expect("one of several is shortened to the end");
        let first = play(seed, mutant);
        let replay = |mutant, tape: &Tape| case(seed, mutant).play(Choices::from_tape(tape.clone()), &mut ());
        let passes = |tape: &Tape| replay(None, tape).broken.is_none();
        let way = |report: &Report| report.broken.as_ref().map(way_of);
        assert_eq!(way(&short.report), way(&first));
        let tape = &short.report.tape;
        assert!(!tape.is_empty());
        for (choice, _) in tape.iter() {
            let less = tape.only(|other, _| other != choice);
            // A world that breaks a property by itself, such as one with more members than were ever asked for, is no story.
            let is_story = passes(&less) && way(&replay(mutant, &less)) == way(&first);
            assert!(!is_story, "not needed: {choice:?}");
        }
    }

    #[test]
    fn whoever_breaks_it_breaks_it_in_the_same_way() {
        let broken = |what: &str| {
            let property = Property { name: "a", about: "b", class: Class::Safety };
            Broken { violation: Violation { property, what: what.to_owned() }, step: 1, at: Mono::default() }
        };
        let [first, second, other] = [
            format!("{} deletes pool-1, which is ready", process::name(0)),
            format!("{} deletes pool-2, which is ready", process::name(1)),
            format!("{} deletes pool-2, which starts", process::name(1)),
        ]
        .map(|what| way_of(&broken(&what)));
        assert_eq!(first, second);
        assert_ne!(second, other);
    }

    #[test]
    fn a_run_that_fails_not_has_no_story() {
        let case = case(1, None);
        assert!(shrink(&case, Choices::from_seed(1), 1000, None).is_none());
    }
}
