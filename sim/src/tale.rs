//! A failure as a handful of sentences: what users did, what went wrong, and what led to the violation.
//!
//! The full story ([`crate::story`]) has a line for everything. This one folds a request, its effect and its answer into
//! one sentence, leaves out what is shown and told in time, and keeps of the rest only what is a cause of the violation,
//! and every disturbance. A cause of a write is what its sender was told just before, and the change of the same object
//! that it had seen; a cause of a change by the cluster is the change of the same object before it.

mod fold;
mod record;
mod words;

use agent_sandbox_core::action::Intent;
use agent_sandbox_core::id::{Kind, Text};
use agent_sandbox_core::time::Mono;

use crate::choices::Choices;
use crate::controller::Controller;
use crate::run::{Broken, Case};
use crate::story::moment;
use crate::tape::{Tape, Topic};

pub use self::record::Recorder;
pub(crate) use self::words::of_intent;

/// Who does something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// People, and those who were there before.
    Users,
    /// A controller process.
    Controller(u8),
    /// The scheduler, the kubelets, the garbage collector.
    Cluster,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// When.
    pub at: Mono,
    /// Who did it, or to whom it happened.
    pub who: Who,
    /// What, in one sentence.
    pub text: String,
    /// The events that it followed from: places in [`Recorder::events`], each before its own.
    pub causes: Vec<usize>,
    /// The object that it changed or was about.
    pub subject: Option<(Kind, Text)>,
    /// Whether users or the faults brought it about: such events are always told.
    pub disturbs: bool,
    /// What it is like: events of one sort are folded.
    pub sort: Sort,
}

/// What events are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// A user creates something.
    Creation,
    /// A user does something else, or something goes wrong.
    Other,
    /// A process starts, takes the lead, loses it, or dies.
    Rise,
    /// A controller writes.
    Write(Intent),
    /// A Pod gets a node, or runs, or is ready.
    PodRises,
    /// A user deletes something, or it is gone.
    Ends,
}

/// One sentence of a short story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// When.
    pub at: Mono,
    /// What happened.
    pub text: String,
    /// The events that it tells.
    pub events: Vec<usize>,
}

impl std::fmt::Display for Sentence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>12} {}", moment(self.at), self.text)
    }
}

/// Tells the short story of a tape that breaks a property, sentence by sentence; empty if it breaks none.
pub fn tell<C: Controller>(case: &Case<C>, tape: &Tape) -> Vec<Sentence> {
    let mut recorder = Recorder::default();
    let report = case.play(Choices::from_tape(tape.clone()), &mut recorder);
    let Some(broken) = &report.broken else { return Vec::new() };
    let mut sentences = sentences_of(&recorder, broken);
    if tape.iter().any(|(choice, _)| choice.site.topic == Topic::Setup) {
        let text = "the controllers are set up with other limits than usual".to_owned();
        sentences.insert(0, Sentence { at: Mono::default(), text, events: Vec::new() });
    }
    sentences
}

/// Makes sentences of what led to a violation, and of all that disturbs as long as that fits on a screen; if it does not,
/// of what led to it and is about the objects that the violation names.
fn sentences_of(recorder: &Recorder, broken: &Broken) -> Vec<Sentence> {
    let events = recorder.events();
    let causes = causes_of(recorder, broken);
    let of = |keeps: &dyn Fn(usize, &Event) -> bool| {
        let kept: Vec<bool> = (0..).zip(events).map(|(place, event)| keeps(place, event)).collect();
        fold::fold(events, &kept)
    };
    let all = of(&|place, event| event.disturbs || causes[place]);
    if all.len() <= fold::SCREEN {
        return all;
    }
    let acts = |who: Who| (0..).zip(events).any(|(place, event)| causes[place] && event.who == who);
    let lives = |event: &Event| event.sort == Sort::Rise && acts(event.who);
    let led = of(&|place, event| causes[place] || lives(event));
    let is_short = led.len() <= fold::SCREEN;
    let mut told = if is_short {
        led
    } else {
        of(&|place, event| causes[place] && names(broken, event) || lives(event))
    };
    let why =
        if is_short { "they did not lead to the end" } else { "the end does not name what they are about" };
    let left_out = all.len().saturating_sub(told.len());
    if left_out > 0 {
        let text = format!("{left_out} more sentences are left out: {why}");
        told.insert(0, Sentence { at: Mono::default(), text, events: Vec::new() });
    }
    told
}

/// Returns whether a violation names the object of an event.
fn names(broken: &Broken, event: &Event) -> bool {
    let name = event.subject.as_ref().map(|(_, name)| &**name);
    let mut words = broken.violation.what.split([' ', ',', ':', ';', '"', '(', ')', '/']);
    name.is_some_and(|name| words.any(|word| word == name))
}

/// Returns which events are causes of a violation.
fn causes_of(recorder: &Recorder, broken: &Broken) -> Vec<bool> {
    let events = recorder.events();
    let mut kept = vec![false; events.len()];
    // The violation is what the last step did, if that is about what it names; at rest it is how these objects stand.
    let step = recorder.last_step();
    let mut roots: Vec<usize> = Vec::new();
    if recorder.last_at() == broken.at {
        roots.extend(step.iter().filter(|place| names(broken, &events[**place])));
        if roots.is_empty() {
            roots.extend(step.last().copied().or(events.len().checked_sub(1)));
        }
    }
    let is_now = !roots.is_empty();
    for root in &roots {
        kept[*root] = true;
    }
    let mut seen: Vec<&(Kind, Text)> = Vec::new();
    for (place, event) in events.iter().enumerate().rev() {
        if let Some(subject) = &event.subject
            && names(broken, event)
            && !seen.contains(&subject)
        {
            seen.push(subject);
            roots.push(place);
            kept[place] |= !is_now || !is_bookkeeping(event);
        }
    }
    let mut open = roots.clone();
    let mut visited = vec![false; events.len()];
    while let Some(place) = open.pop() {
        if std::mem::replace(&mut visited[place], true) {
            continue;
        }
        kept[place] |= !is_bookkeeping(&events[place]);
        open.extend(&events[place].causes);
    }
    kept
}

/// Returns whether a write only says or marks what others can see for themselves.
fn is_bookkeeping(event: &Event) -> bool {
    let Sort::Write(intent) = event.sort else { return false };
    matches!(
        intent,
        Intent::SetPoolStatus
            | Intent::SetSandboxStatus
            | Intent::StampFirstReady
            | Intent::LabelTemplate
            | Intent::LabelPod
            | Intent::NamePod
            | Intent::CreateNetworkPolicy
            | Intent::SetNetworkPolicy
            | Intent::Notify
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use agent_sandbox_core::config::Config;
    use agent_sandbox_core::machine::Machine;
    use agent_sandbox_core::mutant::Mutant;

    use super::*;
    use crate::checkers::{Class, Property, Violation};
    use crate::faults::{Faults, Options};
    use crate::run::Judges;

    const PROPERTY: Property = Property { name: "a", about: "b", class: Class::Safety };

    fn event(at: u64, text: String, name: &str, disturbs: bool, causes: Vec<usize>) -> Event {
        let (at, subject) = (Mono::from_micros(at), Some((Kind::Claim, name.into())));
        Event { at, who: Who::Users, text, causes, subject, disturbs, sort: Sort::Other }
    }

    /// A claim is changed, others are disturbed, and the claim is changed again, because of the first.
    fn told(others: u64) -> Vec<String> {
        let change = |at, causes| event(at, format!("it changes claim-1 at {at}"), "claim-1", false, causes);
        let other = |at| event(at, format!("it disturbs name-{at}"), &format!("name-{at}"), true, Vec::new());
        let first = [change(0, Vec::new())].into_iter();
        let events: Vec<Event> = first.chain((1..=others).map(other)).chain([change(99, vec![0])]).collect();
        let at = Mono::from_micros(99);
        let violation = Violation { property: PROPERTY, what: "claim claim-1 is wrong".to_owned() };
        let told = sentences_of(&Recorder::of(events, at), &Broken { violation, step: 1, at });
        told.into_iter().map(|sentence| sentence.text).collect()
    }

    #[test]
    fn what_disturbs_is_told_as_long_as_it_fits_on_a_screen() {
        assert_eq!(told(3).len(), 5);
        assert_eq!(
            told(50),
            [
                "50 more sentences are left out: they did not lead to the end",
                "it changes claim-1 at 0",
                "it changes claim-1 at 99",
            ]
        );
    }

    #[test]
    fn claims_that_cost_too_much_are_told_by_what_is_written_most() {
        let setup = Config { mutant: Some(Mutant::OwnerNotWritten), ..Config::default() };
        let duration = Duration::from_secs(20);
        let found = (0..20).find_map(|seed| {
            let of_campaign = Options::of_campaign(seed);
            let options = Options { faults: Faults::NONE, claims: 2, pool: 2, duration, ..of_campaign };
            let judges = Judges::Named(&["bounded-cost"]);
            let case = Case::<Machine> { options, setup: setup.clone(), judges };
            let report = case.play(options.choices().noted(), &mut ());
            report.broken.map(|broken| (tell(&case, &report.tape), broken.violation.what))
        });
        let (story, what) = found.expect("some seed breaks it");
        assert!(what.contains(" times a controller hands sandbox "), "{what}");
        assert!(story.iter().any(|sentence| sentence.text.contains(" hands sandbox ")), "{story:?}");
    }
}
