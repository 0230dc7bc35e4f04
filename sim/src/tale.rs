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
    /// A process starts or takes the lead.
    Rise,
    /// A controller writes.
    Write(Intent),
    /// A Pod gets a node, or runs, or is ready.
    PodRises,
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
    let kept = causes_of(recorder.events(), broken);
    let mut sentences = fold::fold(recorder.events(), &kept);
    if tape.iter().any(|(choice, _)| choice.site.topic == Topic::Setup) {
        let text = "the controllers are set up with other limits than usual".to_owned();
        sentences.insert(0, Sentence { at: Mono::default(), text, events: Vec::new() });
    }
    sentences
}

/// Returns which events are causes of a violation, or disturb.
fn causes_of(events: &[Event], broken: &Broken) -> Vec<bool> {
    let mut kept: Vec<bool> = events.iter().map(|event| event.disturbs).collect();
    let what = &broken.violation.what;
    let names = |event: &Event| {
        let name = event.subject.as_ref().map(|(_, name)| &**name);
        name.is_some_and(|name| what.split([' ', ',', ':', '"', '(', ')', '/']).any(|word| word == name))
    };
    // The violation is what the last step did; at rest it is how the objects stand that it names.
    let last: Vec<usize> = (0..events.len()).filter(|place| events[*place].at == broken.at).collect();
    let mut roots: Vec<usize> = last.last().copied().into_iter().collect();
    let mut seen: Vec<&(Kind, Text)> = Vec::new();
    for (place, event) in events.iter().enumerate().rev() {
        if let Some(subject) = &event.subject
            && names(event)
            && !seen.contains(&subject)
        {
            seen.push(subject);
            roots.push(place);
        }
    }
    for root in &roots {
        kept[*root] = true;
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
