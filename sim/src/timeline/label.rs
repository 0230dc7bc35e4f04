//! What an event is called: a few words and the name of an object.

use agent_sandbox_core::action::Operation;
use agent_sandbox_core::event::Outcome;
use agent_sandbox_core::id::{Kind, Version};

use super::{Lane, Tone};
use crate::api_server::{Commit, Writer};
use crate::controller::Controller;
use crate::process;
use crate::scene::Act;
use crate::step::{Fact, PodStep, Sent, Step};
use crate::story::state;
use crate::world::World;

/// What an event is called, and where it stands. In `text`, `{}` is where the object's name goes.
#[derive(Clone, Debug)]
pub(crate) struct Label {
    pub(crate) lane: Lane,
    pub(crate) tone: Tone,
    pub(crate) text: String,
    pub(crate) object: String,
    pub(crate) state: String,
    pub(crate) version: Version,
    pub(crate) kind: Option<Kind>,
}

impl Label {
    fn new(lane: Lane, tone: Tone, text: impl Into<String>) -> Self {
        Self {
            lane,
            tone,
            text: text.into(),
            object: String::new(),
            state: String::new(),
            version: Version(0),
            kind: None,
        }
    }

    fn of(mut self, kind: Kind, name: &str) -> Self {
        self.kind = Some(kind);
        name.clone_into(&mut self.object);
        self
    }
}

/// Names a step; `None` where what follows from it says it, or where nothing comes of it.
pub(crate) fn of_step<C: Controller>(step: Step, facts: &[Fact], world: &World<C>) -> Option<Label> {
    use Tone::{Plain, Trouble};
    let acts = facts.iter().any(|fact| matches!(fact, Fact::Sent(_)));
    Some(match step {
        Step::Commit(id) => return answered_without_change(id, facts, world),
        Step::Answer(_) => of_answer(facts, Plain)?,
        Step::Abandon(_) => of_answer(facts, Trouble)?,
        Step::LoseRequest(id) => of_message(id, "request lost", world),
        Step::LoseAnswer(id) => of_message(id, "answer lost", world),
        Step::Throttle(id) => of_message(id, "put off (429)", world),
        Step::Refuse(id) => of_message(id, "refused (403)", world),
        Step::Reject(id) => of_message(id, "refused (422)", world),
        Step::Collide(id) => of_message(id, "in conflict (409)", world),
        Step::List(process, kind) => {
            Label::new(Lane::Server, Plain, format!("lists every {kind} for {}", process::name(process)))
        }
        Step::Relist(process, kind) => {
            Label::new(Lane::Cache(process), Plain, format!("has listed every {kind}")).of(kind, "")
        }
        Step::Deliver(process, kind) => {
            Label::new(Lane::Cache(process), Plain, format!("sees {kind} {{}}")).of(kind, "")
        }
        Step::Bookmark(process, kind) if acts => {
            Label::new(Lane::Cache(process), Plain, format!("bookmark of every {kind}")).of(kind, "")
        }
        Step::Timer(process) if acts => Label::new(Lane::Process(process), Plain, "a timer is due"),
        Step::Bookmark(..) | Step::Timer(_) => return None,
        Step::SetCalendar(process, micros) => Label::new(
            Lane::Process(process),
            Trouble,
            format!("calendar is set to {:+.1} s", micros as f64 / 1e6),
        ),
        Step::ExpireList(process, kind) => {
            Label::new(Lane::Cache(process), Trouble, format!("list of every {kind} expires (410)"))
                .of(kind, "")
        }
        Step::BreakWatch(process, kind) => {
            Label::new(Lane::Cache(process), Trouble, format!("watch of every {kind} breaks")).of(kind, "")
        }
        Step::Compact(kind) => {
            Label::new(Lane::Server, Trouble, format!("forgets the history of every {kind}")).of(kind, "")
        }
        Step::Start(process) => Label::new(Lane::Process(process), Plain, "starts"),
        Step::Lead(process) => Label::new(Lane::Process(process), Plain, "leads"),
        Step::Depose(process) => Label::new(Lane::Process(process), Trouble, "is told to stop leading"),
        Step::Crash(process) => Label::new(Lane::Process(process), Trouble, "dies"),
        Step::Pod(uid, what) => {
            let tone = if is_trouble(what) { Trouble } else { Plain };
            let name = world.server().store().find(Kind::Pod, uid).or_else(|| committed(facts));
            let name = name.map_or("", |pod| &pod.key().name);
            Label::new(Lane::Nodes, tone, of_pod(what)).of(Kind::Pod, name)
        }
        Step::Collect(kind, _) => of_deed(Lane::Collector, Plain, &format!("takes {kind} {{}}"), facts)?,
        Step::Sweep(kind) => {
            of_deed(Lane::Collector, Plain, &format!("sweeps {kind} {{}} out of the namespace"), facts)?
        }
        Step::Release(kind, _) => {
            of_deed(Lane::Users, Plain, &format!("takes the finalizer off {kind} {{}}"), facts)?
        }
        Step::Touch(kind, _) => {
            of_deed(Lane::Users, Trouble, &format!("writes {kind} {{}} meanwhile"), facts)?
        }
        Step::User(line) => {
            let object = committed(facts)?;
            let what = world.scene().script.get(line as usize).map_or("acts on", |deed| of_act(&deed.act));
            let kind = object.kind();
            Label::new(Lane::Users, Plain, format!("{what} {kind} {{}}")).of(kind, &object.key().name)
        }
    })
}

fn committed(facts: &[Fact]) -> Option<&agent_sandbox_core::object::Object> {
    facts.iter().find_map(|fact| {
        let Fact::Committed(commit) = fact else { return None };
        Some(commit.object())
    })
}

/// Names what the server says to a request that changes nothing.
fn answered_without_change<C: Controller>(
    id: process::RequestId,
    facts: &[Fact],
    world: &World<C>,
) -> Option<Label> {
    if committed(facts).is_some() {
        return None;
    }
    let request = world.request(id)?;
    let (tone, text) = of_outcome(request.answer.as_ref()?);
    let key = request.action.operation.key();
    Some(
        Label::new(Lane::Server, tone, format!("{:?} of {{}} {text}", request.action.intent))
            .of(request.action.operation.kind(), &key.name),
    )
}

fn of_message<C: Controller>(id: process::RequestId, text: &str, world: &World<C>) -> Label {
    let label = Label::new(Lane::Server, Tone::Trouble, text);
    match world.request(id) {
        None => label,
        Some(request) => {
            let operation = &request.action.operation;
            let intent = format!("{text}: {:?} of {{}}", request.action.intent);
            Label { text: intent, ..label }.of(operation.kind(), &operation.key().name)
        }
    }
}

fn of_answer(facts: &[Fact], usual: Tone) -> Option<Label> {
    facts.iter().find_map(|fact| {
        let Fact::Answered { process, action, outcome } = fact else { return None };
        let (tone, text) = of_outcome(outcome);
        let tone = if tone == Tone::Plain { usual } else { tone };
        let label = Label::new(Lane::Process(*process), tone, format!("{:?} of {{}} {text}", action.intent));
        Some(label.of(action.operation.kind(), &action.operation.key().name))
    })
}

fn of_outcome(outcome: &Outcome) -> (Tone, String) {
    match outcome {
        Outcome::Done(_) | Outcome::Accepted => (Tone::Plain, "is done".to_owned()),
        Outcome::Conflict => (Tone::Vain, "conflicts".to_owned()),
        Outcome::AlreadyExists => (Tone::Vain, "finds the name taken".to_owned()),
        Outcome::NotFound => (Tone::Vain, "finds nothing".to_owned()),
        Outcome::Throttled(_) => (Tone::Trouble, "is put off".to_owned()),
        Outcome::Refused(_) => (Tone::Trouble, "is refused".to_owned()),
        Outcome::Unknown => (Tone::Trouble, "has no answer".to_owned()),
    }
}

/// Names a change of the store.
pub(crate) fn of_commit(commit: &Commit) -> Label {
    let object = commit.object();
    let kind = object.kind();
    let what = match (&commit.old, &commit.new) {
        (None, _) => "created",
        (_, None) => "deleted",
        (Some(old), Some(new)) if new.meta().terminating && !old.meta().terminating => "begins to end",
        (Some(_), Some(_)) => "changed",
    };
    let why = match commit.by {
        Some(Writer::Process { intent, .. }) => format!(" by {intent:?}"),
        _ => String::new(),
    };
    let full = state(object);
    // The version stands beside it, and would make each state another text.
    let state = full.split_once(", ").map_or("", |(_, state)| state).to_owned();
    let label = Label::new(Lane::Server, Tone::Write, format!("{kind} {{}} {what}{why}"));
    Label { state, version: commit.version, ..label }.of(kind, &object.key().name)
}

/// Names a request.
pub(crate) fn of_request(sent: &Sent) -> Label {
    let operation = &*sent.action.operation;
    let version = match operation {
        Operation::Patch(patch) => patch.version,
        Operation::Delete { version, .. } => *version,
        Operation::Create(_) | Operation::Get { .. } | Operation::Notify(_) => None,
    };
    let state = match (operation, version) {
        (_, Some(version)) => format!("only at version {}", version.0),
        (Operation::Patch(_), None) => "at any version".to_owned(),
        _ => String::new(),
    };
    let label =
        Label::new(Lane::Process(sent.process), Tone::Ask, format!("asks: {:?} of {{}}", sent.action.intent));
    Label { state, ..label }.of(operation.kind(), &operation.key().name)
}

/// Names what somebody does to an object, if something came of it.
fn of_deed(lane: Lane, tone: Tone, what: &str, facts: &[Fact]) -> Option<Label> {
    let object = committed(facts)?;
    Some(Label::new(lane, tone, what).of(object.kind(), &object.key().name))
}

const fn is_trouble(what: PodStep) -> bool {
    matches!(
        what,
        PodStep::FindNoRoom
            | PodStep::LoseReady
            | PodStep::Fail
            | PodStep::Evict
            | PodStep::Vanish
            | PodStep::Move
    )
}

const fn of_pod(what: PodStep) -> &'static str {
    match what {
        PodStep::Schedule => "Pod {} gets a node",
        PodStep::FindNoRoom => "no node has room for Pod {}",
        PodStep::Run => "Pod {} runs, without an address",
        PodStep::AnswerEarly => "Pod {} is ready, without an address",
        PodStep::GetReady | PodStep::Start => "Pod {} is ready",
        PodStep::LoseReady => "Pod {} is not ready any more",
        PodStep::Fail => "Pod {} fails",
        PodStep::Succeed => "Pod {} is done",
        PodStep::FinishDelete => "Pod {} has stopped",
        PodStep::Evict => "Pod {} is evicted",
        PodStep::Vanish => "Pod {} is removed by force",
        PodStep::Move => "Pod {} gets another address",
    }
}

const fn of_act(act: &Act) -> &'static str {
    match act {
        Act::Create(_) => "creates",
        Act::Delete(..) | Act::DeleteAny(..) | Act::TerminateAny(_) => "deletes",
        Act::Scale(..) => "scales",
        Act::Suspend(..) | Act::SuspendAny(_) => "suspends or resumes",
        Act::ResumeOwned => "resumes",
        Act::AddPod(..) => "adds",
        Act::Leave(..) => "finds, from an older release,",
        Act::Spoil(..) | Act::SpoilService(..) => "meddles with",
        Act::ClearStatus(..) => "clears the status of",
        Act::Relabel(..) => "edits the labels of",
        Act::Finalize(..) => "puts a finalizer on",
        Act::EndNamespace(_) => "deletes the namespace of",
        Act::Edit(_)
        | Act::Label(..)
        | Act::Extend(..)
        | Act::Serve(..)
        | Act::ShutDown(..)
        | Act::Refer(..) => "edits",
    }
}
