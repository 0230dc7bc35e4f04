//! What happened, in sentences: one line for each step, and one for each thing that followed from it.

use std::collections::VecDeque;
use std::fmt::Write as _;

use agent_sandbox_core::action::Operation;
use agent_sandbox_core::event::Outcome;
use agent_sandbox_core::id::{Kind, Uid};
use agent_sandbox_core::names;
use agent_sandbox_core::object::Object;
use agent_sandbox_core::time::Mono;

use crate::api_server::{Commit, Writer};
use crate::controller::Controller;
use crate::process;
use crate::run::Observer;
use crate::step::{Fact, PodStep, Sent, Step};
use crate::world::World;

/// Keeps the last lines of a run's story.
#[derive(Clone, Debug)]
pub struct Story {
    lines: VecDeque<String>,
    lines_max: usize,
    only: Option<String>,
}

impl Story {
    /// Returns a story that keeps so many lines.
    pub const fn last(lines_max: usize) -> Self {
        Self { lines: VecDeque::new(), lines_max, only: None }
    }

    /// Keeps only lines in which a word occurs: an object's name, say.
    #[must_use]
    pub fn about(mut self, word: impl Into<String>) -> Self {
        self.only = Some(word.into());
        self
    }

    /// Begins anew.
    pub fn clear(&mut self) {
        self.lines.clear();
    }

    /// Returns the lines, oldest first.
    pub fn lines(&self) -> impl ExactSizeIterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    fn tell(&mut self, at: Mono, sentence: &str) {
        if self.only.as_ref().is_some_and(|word| !sentence.contains(word)) {
            return;
        }
        if self.lines.len() == self.lines_max {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("{:>12} {sentence}", moment(at)));
    }
}

impl<C: Controller> Observer<C> for Story {
    fn on_step(&mut self, at: Mono, step: Step, facts: &[Fact], world: &World<C>) {
        if let Some(sentence) = of_step(step, world) {
            self.tell(at, &sentence);
        }
        for fact in facts {
            if let Some(sentence) = of_fact(fact) {
                self.tell(at, &sentence);
            }
        }
    }
}

/// Writes a moment as seconds with six digits.
pub fn moment(at: Mono) -> String {
    format!("{}.{:06}s", at.micros() / 1_000_000, at.micros() % 1_000_000)
}

/// Tells a step, unless what follows from it tells it better.
fn of_step<C: Controller>(step: Step, world: &World<C>) -> Option<String> {
    let store = world.server().store();
    Some(match step {
        Step::Commit(_) | Step::Answer(_) | Step::User(_) | Step::Start(_) | Step::Lead(_) => return None,
        Step::Touch(..) | Step::Release(..) | Step::Sweep(_) => return None,
        Step::Depose(_) | Step::Crash(_) | Step::List(..) | Step::Relist(..) | Step::Collect(..) => {
            return None;
        }
        Step::Abandon(_) => return None,
        Step::LoseRequest(id) => format!("request {} is lost", id.0),
        Step::LoseAnswer(id) => format!("the answer to request {} is lost", id.0),
        Step::Throttle(id) => format!("the server puts request {} off (429)", id.0),
        Step::Refuse(id) => format!("the server refuses request {} (403)", id.0),
        Step::Reject(id) => format!("the server rejects request {} as invalid (422)", id.0),
        Step::Collide(id) => {
            format!("the server answers request {} with a conflict, for the quota is in use (409)", id.0)
        }
        Step::Deliver(process, kind) => {
            format!("{} sees the next line of its {kind} watch", process::name(process))
        }
        Step::Bookmark(process, kind) => {
            format!("{} gets a bookmark of its {kind} watch", process::name(process))
        }
        Step::ExpireList(process, kind) => {
            format!("the {kind} list of {} expires (410)", process::name(process))
        }
        Step::BreakWatch(process, kind) => {
            format!("the {kind} watch of {} breaks", process::name(process))
        }
        Step::Compact(kind) => format!("the server forgets the history of {kind}"),
        Step::SetCalendar(process, micros) => {
            format!("the calendar of {} is set to {:+.1} s", process::name(process), micros as f64 / 1e6)
        }
        Step::Timer(process) => format!("a timer of {} is due", process::name(process)),
        Step::Pod(uid, what) => {
            let name = store.find(Kind::Pod, uid).map_or("that is gone", |pod| &pod.key().name);
            format!("pod {name} {}", of_pod(what))
        }
    })
}

const fn of_pod(what: PodStep) -> &'static str {
    match what {
        PodStep::Schedule => "gets a node",
        PodStep::FindNoRoom => "finds no node that has room",
        PodStep::Run => "runs, without an address",
        PodStep::AnswerEarly => "is ready, without an address",
        PodStep::GetReady => "is ready",
        PodStep::Start => "starts and is ready",
        PodStep::LoseReady => "is not ready any more",
        PodStep::Fail => "fails",
        PodStep::Succeed => "is done",
        PodStep::FinishDelete => "has stopped",
        PodStep::Evict => "is evicted",
        PodStep::Vanish => "is removed by force",
        PodStep::Move => "gets another address",
    }
}

/// Tells what followed from a step, if it is news.
fn of_fact(fact: &Fact) -> Option<String> {
    Some(match fact {
        Fact::Sent(sent) => of_request(sent),
        Fact::Committed(commit) => of_commit(commit),
        Fact::Answered { process, action, outcome } => {
            let key = action.operation.key();
            format!(
                "{} hears that {:?} of {} {}",
                process::name(*process),
                action.intent,
                key.name,
                of_outcome(outcome)
            )
        }
        Fact::Relisted { process, kind, at, .. } => {
            format!("{} lists every {kind} as of {at}", process::name(*process))
        }
        Fact::WatchLost(process, kind) => {
            format!("{} has lost its {kind} watch", process::name(*process))
        }
        Fact::Started(process) => format!("{} starts", process::name(*process)),
        Fact::Leading { process, term } => format!("{} leads, term {term}", process::name(*process)),
        Fact::Deposed { process, term } => {
            format!("{} is told to stop leading, term {term}", process::name(*process))
        }
        Fact::Crashed { process, term } => format!("{} dies, term {term}", process::name(*process)),
        Fact::Handled(_) | Fact::Listed(..) | Fact::Shown { .. } | Fact::CalendarSet(_) | Fact::Ran(_) => {
            return None;
        }
    })
}

fn of_request(sent: &Sent) -> String {
    let mut text = format!("{} asks for {:?}", process::name(sent.process), sent.action.intent);
    let operation = &*sent.action.operation;
    let _ = write!(text, " of {} {}", operation.kind(), operation.key().name);
    match operation {
        Operation::Patch(patch) => match patch.version {
            Some(version) => _ = write!(text, " at version {version}"),
            None => text.push_str(" at any version"),
        },
        Operation::Delete { target, version, .. } => {
            if target.uid.is_none() {
                text.push_str(" whoever it is");
            }
            if let Some(version) = version {
                let _ = write!(text, " at version {version}");
            }
        }
        Operation::Create(_) | Operation::Get { .. } | Operation::Notify(_) => {}
    }
    let _ = write!(text, " (request {})", sent.request.0);
    text
}

fn of_outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done(object) => format!("is done: {}", state(object)),
        Outcome::Accepted => "is done".to_owned(),
        Outcome::Conflict => "conflicts".to_owned(),
        Outcome::AlreadyExists => "finds the name taken".to_owned(),
        Outcome::NotFound => "finds nothing".to_owned(),
        Outcome::Throttled(after) => format!("is to be tried again in {after:?}"),
        Outcome::Refused(why) => format!("is refused: {why:?}"),
        Outcome::Unknown => "has no answer".to_owned(),
    }
}

fn of_commit(commit: &Commit) -> String {
    let who = match commit.by {
        Some(Writer::Process { process, term, intent }) => {
            format!("{} (term {term}, {intent:?})", process::name(process))
        }
        Some(Writer::User) => "a user".to_owned(),
        Some(Writer::Scheduler) => "the scheduler".to_owned(),
        Some(Writer::Kubelet) => "the kubelet".to_owned(),
        Some(Writer::Collector) => "the garbage collector".to_owned(),
        None => "somebody".to_owned(),
    };
    let object = commit.object();
    let (kind, name) = (object.kind(), &object.key().name);
    let what = match (&commit.old, &commit.new) {
        (None, Some(new)) => format!("created {kind} {name}: {}", state(new)),
        (Some(old), Some(new)) if new.meta().terminating && !old.meta().terminating => {
            format!("began to delete {kind} {name}")
        }
        (Some(_), Some(new)) => format!("changed {kind} {name}: {}", state(new)),
        (_, None) => format!("deleted {kind} {name}"),
    };
    format!("[{}] {who} {what}", commit.version)
}

/// Returns the few fields of an object that matter in a story.
pub fn state(object: &Object) -> String {
    let mut text = format!("version {}", object.version());
    if let Some(owner) = &object.meta().owner {
        let _ = write!(text, ", owner {}", owner.name);
    }
    match object {
        Object::Claim(claim) => {
            if let Some(record) = claim.meta.annotation(names::SANDBOX_NAME) {
                let _ = write!(text, ", records {record}");
            }
            if let Some(bound) = &claim.status.sandbox {
                let _ = write!(text, ", has {} at {:?}", bound.name, bound.pod_ips);
            }
            for condition in &claim.status.conditions {
                let _ = write!(text, ", {}={}", condition.kind, condition.status.as_str());
            }
        }
        Object::Pool(pool) => {
            let status = &pool.status;
            let _ = write!(
                text,
                ", replicas {} ({} there, {} ready)",
                pool.replicas, status.replicas, status.ready
            );
        }
        Object::Sandbox(sandbox) => {
            for condition in &sandbox.status.conditions {
                let _ = write!(text, ", {}={}", condition.kind, condition.status.as_str());
            }
            let _ = write!(text, ", at {:?}", sandbox.status.pod_ips);
        }
        Object::Pod(pod) => {
            let _ = write!(text, ", {}{}", pod.phase.as_str(), if pod.ready { ", ready" } else { "" });
        }
        Object::Template(_) | Object::Service(_) | Object::VolumeClaim(_) | Object::NetworkPolicy(_) => {}
    }
    if object.uid() == Uid::UNSET {
        text.push_str(" (a draft)");
    }
    text
}
