//! What happened, with what followed from what.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_sandbox_core::event::Outcome;
use agent_sandbox_core::id::{Kind, Text, Version};
use agent_sandbox_core::time::Mono;

use super::{Event, Sort, Who, words};
use crate::api_server::{Commit, Writer};
use crate::controller::Controller;
use crate::process::{self, RequestId, Watch};
use crate::run::Observer;
use crate::step::{Fact, PodStep, Sent, Step};
use crate::world::World;

/// What takes longer than this is late.
///
/// Source: undisturbed, a change is shown within a millisecond and a request is there within four.
const IN_TIME: Duration = Duration::from_millis(10);

/// How long a Pod takes to start, to be called slow.
const POD_IN_TIME: Duration = Duration::from_millis(1000);

/// One change of the store.
#[derive(Clone, Debug)]
struct Change {
    at: Mono,
    version: Version,
    subject: (Kind, Text),
    event: usize,
    process: Option<u8>,
}

/// Writes down the events of a run.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    events: Vec<Event>,
    /// In the order of their versions.
    changes: Vec<Change>,
    /// Kind → its changes: places in `changes`.
    of_kind: BTreeMap<Kind, Vec<usize>>,
    /// Object → its changes, likewise.
    of_object: BTreeMap<(Kind, Text), Vec<usize>>,
    requests: BTreeMap<RequestId, (usize, Mono)>,
    /// Who gave up waiting for which request.
    abandoned: Vec<RequestId>,
    /// How far each process saw each kind.
    cursors: BTreeMap<(u8, Kind), Version>,
    /// When each watch showed something late.
    late: BTreeMap<(u8, Kind), Mono>,
    /// The events of the last step, with those that it went on with.
    last_step: Vec<usize>,
    /// When it was.
    last_at: Mono,
}

impl Recorder {
    /// Returns a recorder that has seen these events, all by its last step.
    #[cfg(test)]
    pub(super) fn of(events: Vec<Event>, last_at: Mono) -> Self {
        let last_step = events.len().checked_sub(1).into_iter().collect();
        Self { events, last_step, last_at, ..Self::default() }
    }

    /// Returns the events so far, oldest first.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Returns the places of the events that the last step made, or went on with.
    pub(super) fn last_step(&self) -> &[usize] {
        &self.last_step
    }

    /// Returns when the last step was.
    pub(super) const fn last_at(&self) -> Mono {
        self.last_at
    }

    fn add(&mut self, at: Mono, who: Who, text: String) -> usize {
        let (causes, subject, sort) = (Vec::new(), None, Sort::Other);
        self.events.push(Event { at, who, text, causes, subject, disturbs: true, sort });
        self.last_step.push(self.events.len() - 1);
        self.events.len() - 1
    }

    fn append(&mut self, request: RequestId, text: &str, disturbs: bool) {
        let Some((event, _)) = self.requests.get(&request) else { return };
        self.last_step.push(*event);
        let event = &mut self.events[*event];
        if text.starts_with(';') {
            // A clause about what was not seen ends where the sentence ends.
            event.text.truncate(event.text.trim_end_matches(',').len());
        }
        event.text += text;
        event.disturbs |= disturbs;
    }

    /// Returns the newest change of an object that a process has seen, or made.
    fn known(&self, process: u8, subject: &(Kind, Text)) -> Option<&Change> {
        let cursor = self.cursors.get(&(process, subject.0)).copied().unwrap_or_default();
        let seen = |change: &&Change| change.version <= cursor || change.process == Some(process);
        self.changes_of(subject).find(seen)
    }

    /// Returns what a process that writes an object has not been shown: the oldest change of that object, or else the
    /// oldest of all that it should have been shown by now.
    fn unseen(&self, process: u8, at: Mono, subject: &(Kind, Text)) -> Option<&Change> {
        if let Some(cursor) = self.cursors.get(&(process, subject.0))
            && let Some(change) = self
                .changes_of(subject)
                .take_while(|change| change.version > *cursor)
                .filter(|change| change.process != Some(process))
                .last()
        {
            return Some(change);
        }
        let of_kind = Kind::ALL.into_iter().filter_map(|kind| {
            let cursor = *self.cursors.get(&(process, kind))?;
            let mut changes = self.after(kind, cursor).take_while(|change| at.since(change.at) > IN_TIME);
            changes.find(|change| change.process != Some(process))
        });
        of_kind.min_by_key(|change| change.version)
    }

    /// Returns the changes of an object, the newest first.
    fn changes_of(&self, subject: &(Kind, Text)) -> impl Iterator<Item = &Change> {
        self.of_object.get(subject).into_iter().flatten().rev().map(|place| &self.changes[*place])
    }

    /// Returns the changes of a kind after a version, the oldest first.
    fn after(&self, kind: Kind, version: Version) -> impl DoubleEndedIterator<Item = &Change> {
        let places = self.of_kind.get(&kind).map_or(&[][..], Vec::as_slice);
        let first = places.partition_point(|place| self.changes[*place].version <= version);
        places[first..].iter().map(|place| &self.changes[*place])
    }

    fn on_sent(&mut self, at: Mono, sent: &Sent, trigger: Option<usize>) {
        let operation = &*sent.action.operation;
        let subject = (operation.kind(), operation.key().name.clone());
        let mut text =
            format!("{} {}", process::name(sent.process), words::of_intent(sent.action.intent, &subject.1));
        if let Some(change) = self.unseen(sent.process, at, &subject) {
            text += &format!(
                ", which has not seen change {} (of {} {}) yet,",
                change.version.0,
                words::kind(change.subject.0),
                change.subject.1
            );
        }
        let known = self.known(sent.process, &subject).map(|change| change.event);
        let place = self.add(at, Who::Controller(sent.process), text);
        let event = &mut self.events[place];
        event.causes = trigger.into_iter().chain(known).collect();
        event.subject = Some(subject);
        (event.disturbs, event.sort) = (false, Sort::Write(sent.action.intent));
        self.requests.insert(sent.request, (place, at));
    }

    fn on_commit(&mut self, at: Mono, step: Step, commit: &Commit) {
        let object = commit.object();
        let subject = (object.kind(), object.key().name.clone());
        let before = self.changes_of(&subject).next();
        let before = before.map(|change| (change.event, change.at));
        let (event, process) = match (commit.by, step) {
            (Some(Writer::Process { process, .. }), Step::Commit(request)) => {
                (self.on_write(at, request, commit), Some(process))
            }
            (Some(Writer::User) | None | Some(Writer::Process { .. }), _) => {
                let place = self.add(at, Who::Users, format!("a user {}", words::of_change(commit)));
                let is_going = commit.old.as_ref().is_some_and(|old| old.meta().terminating);
                let goes = commit.new.as_ref().is_none_or(|new| new.meta().terminating && !is_going);
                if commit.old.is_none() {
                    self.events[place].sort = Sort::Creation;
                } else if goes {
                    self.events[place].sort = Sort::Ends;
                }
                (place, None)
            }
            (Some(Writer::Scheduler | Writer::Kubelet), _) => (self.on_pod(at, step, commit, before), None),
            (Some(Writer::Collector), _) => {
                let text = format!("the garbage collector {}", words::of_change(commit));
                let place = self.add(at, Who::Cluster, text);
                self.events[place].disturbs = false;
                (place, None)
            }
        };
        let entry = &mut self.events[event];
        entry.causes.extend(before.map(|(event, _)| event).filter(|before| *before < event));
        entry.subject = Some(subject.clone());
        self.of_kind.entry(subject.0).or_default().push(self.changes.len());
        self.of_object.entry(subject.clone()).or_default().push(self.changes.len());
        self.changes.push(Change { at, version: commit.version, subject, event, process });
    }

    fn on_write(&mut self, at: Mono, request: RequestId, commit: &Commit) -> usize {
        let sent = self.requests.get(&request).copied();
        let details = words::details(commit);
        let Some((place, sent)) = sent else { return self.add(at, Who::Cluster, words::of_change(commit)) };
        let waited = at.since(sent);
        if self.abandoned.contains(&request) {
            let told = self.events[place].text.split(';').next().unwrap_or_default().to_owned();
            let text = format!(
                "the server carries out a request {:.3} s old: {told} (change {}{details})",
                waited.as_secs_f64(),
                commit.version.0
            );
            let late = self.add(at, self.events[place].who, text);
            self.events[late].causes = vec![place];
            return late;
        }
        let late = waited > IN_TIME;
        let when = if late {
            format!("; it takes effect {:.3} s later", waited.as_secs_f64())
        } else {
            String::new()
        };
        self.append(request, &format!("{when} (change {}{details})", commit.version.0), late);
        place
    }

    fn on_pod(&mut self, at: Mono, step: Step, commit: &Commit, before: Option<(usize, Mono)>) -> usize {
        let Step::Pod(_, what) = step else { return self.add(at, Who::Cluster, words::of_change(commit)) };
        let waited = before.map_or(Duration::ZERO, |(_, before)| at.since(before));
        let slow = waited > POD_IN_TIME;
        let mut text = format!("Pod {} {}", commit.object().key().name, words::of_pod(what));
        if slow {
            text += &format!(" after {:.1} s", waited.as_secs_f64());
        }
        let place = self.add(at, Who::Cluster, text);
        let rises = matches!(what, PodStep::Schedule | PodStep::Run | PodStep::GetReady | PodStep::Start);
        let event = &mut self.events[place];
        event.sort = if what == PodStep::FinishDelete {
            Sort::Ends
        } else if rises {
            Sort::PodRises
        } else {
            Sort::Other
        };
        event.disturbs = slow || !(rises || what == PodStep::FinishDelete);
        place
    }

    fn on_deliver(&mut self, at: Mono, process: u8, kind: Kind, cursor: Version) -> Option<usize> {
        let before = self.cursors.insert((process, kind), cursor).unwrap_or_default();
        let shown = self.after(kind, before).take_while(|change| change.version <= cursor).last()?;
        let (event, lag, shown) = (shown.event, at.since(shown.at), shown.clone());
        if lag <= IN_TIME {
            return Some(event);
        }
        let first = self.late.insert((process, kind), at) != Some(at);
        let text = format!(
            "{} sees change {} (of {} {}) only now, {:.3} s late",
            process::name(process),
            shown.version.0,
            words::kind(kind),
            shown.subject.1,
            lag.as_secs_f64()
        );
        let place = self.add(at, Who::Controller(process), text);
        (self.events[place].disturbs, self.events[place].causes) = (first, vec![event]);
        Some(place)
    }

    fn on_fact<C: Controller>(
        &mut self,
        (at, step): (Mono, Step),
        fact: &Fact,
        trigger: Option<usize>,
        world: &World<C>,
    ) {
        let rise = |this: &mut Self, process: u8, text: &str| {
            let text = format!("{} {text}", process::name(process));
            let place = this.add(at, Who::Controller(process), text);
            this.events[place].sort = Sort::Rise;
        };
        match fact {
            Fact::Sent(sent) => self.on_sent(at, sent, trigger),
            Fact::Committed(commit) => self.on_commit(at, step, commit),
            Fact::Answered { outcome, .. } => self.on_answer(step, outcome),
            Fact::Relisted { process, kind, at: seen, .. } => {
                self.cursors.insert((*process, *kind), *seen);
            }
            Fact::WatchLost(process, kind) => {
                self.cursors.remove(&(*process, *kind));
                let text = format!("the {} watch of {} breaks", words::kind(*kind), process::name(*process));
                self.add(at, Who::Controller(*process), text);
            }
            Fact::Started(process) => {
                rise(self, *process, "starts");
                let skew = world.process(*process).skew as f64 / 1e6;
                if skew != 0.0 {
                    let side = if skew > 0.0 { "ahead" } else { "behind" };
                    rise(self, *process, &format!("has a calendar that is {:.1} s {side}", skew.abs()));
                }
            }
            Fact::Leading { process, .. } => rise(self, *process, "leads and lists everything"),
            Fact::Deposed { process, .. } => rise(self, *process, "is told to stop leading"),
            Fact::Crashed { process, .. } => {
                Kind::ALL.into_iter().for_each(|kind| _ = self.cursors.remove(&(*process, kind)));
                rise(self, *process, "dies");
            }
            Fact::Handled(_)
            | Fact::Listed(..)
            | Fact::Shown { .. }
            | Fact::CalendarSet(_)
            | Fact::Ran(_) => {}
        }
    }

    fn on_trouble(&mut self, at: Mono, step: Step) {
        let mut tell = |request, text| self.append(request, text, true);
        if let Step::LoseRequest(request) = step {
            tell(request, "; the request never arrives");
        } else if let Step::LoseAnswer(request) = step {
            tell(request, "; the answer is lost");
        } else if let Step::Throttle(request) = step {
            tell(request, "; the server puts it off (429)");
        } else if let Step::Refuse(request) = step {
            tell(request, "; the server refuses it (403)");
        } else if let Step::Reject(request) = step {
            tell(request, "; the server rejects it as invalid (422)");
        } else if let Step::Collide(request) = step {
            tell(request, "; another counts against the same quota (409)");
        } else if let Step::Abandon(request) = step {
            tell(request, "; it waits in vain for an answer");
        }
        if let Step::Abandon(request) = step {
            self.abandoned.push(request);
        }
        if let Step::SetCalendar(process, micros) = step {
            let side = if micros > 0 { "ahead" } else { "behind" };
            let text = format!(
                "the calendar of {} is set anew and is {:.1} s {side}",
                process::name(process),
                micros.unsigned_abs() as f64 / 1e6
            );
            self.add(at, Who::Controller(process), text);
        }
        if let Step::Compact(kind) = step {
            let text = format!("the server forgets the history of {}", words::kind(kind));
            self.add(at, Who::Cluster, text);
        }
    }

    fn on_answer(&mut self, step: Step, outcome: &Outcome) {
        let (Step::Answer(request) | Step::Abandon(request)) = step else { return };
        match outcome {
            Outcome::Done(_)
            | Outcome::Accepted
            | Outcome::Unknown
            | Outcome::Throttled(_)
            | Outcome::Refused(_) => {}
            Outcome::Conflict => self.append(request, "; the server answers that it has changed", false),
            Outcome::AlreadyExists => {
                self.append(request, "; the server answers that the name is taken", false)
            }
            Outcome::NotFound => self.append(request, "; the server answers that it is not there", false),
        }
    }
}

impl<C: Controller> Observer<C> for Recorder {
    fn on_step(&mut self, at: Mono, step: Step, facts: &[Fact], world: &World<C>) {
        self.last_step.clear();
        self.last_at = at;
        let trigger = if let Step::Deliver(process, kind) = step
            && let Watch::Live { cursor } = world.process(process).watches[kind.index()]
        {
            self.on_deliver(at, process, kind, cursor)
        } else if let Step::Answer(request) = step {
            self.requests.get(&request).map(|(event, _)| *event)
        } else {
            None
        };
        self.on_trouble(at, step);
        for fact in facts {
            self.on_fact((at, step), fact, trigger, world);
        }
    }
}
