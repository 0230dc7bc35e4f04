//! The world: an API server, a cluster, users and controller processes, as one value that changes by steps.
//!
//! [`World::enabled`] says what happens next by itself, [`World::faults`] what may go wrong, [`World::apply`]
//! makes it so. Nothing here chooses: the timed simulation, an exhaustive search, a replay and a fuzzer
//! differ only in who picks the step. The value is cheap to copy: what a step does not change stays shared
//! with the copy.

mod redo;

use std::sync::Arc;
use std::time::Duration;

use agent_sandbox_core::action::{Action, Intent, Operation};
use agent_sandbox_core::event::{Event, Outcome, Refusal};
use agent_sandbox_core::id::{Kind, Version};
use agent_sandbox_core::time::{Mono, Now, Wall};

use crate::api_server::{ApiServer, Commit, Next, Numbering, Writer, kept};
use crate::controller::Controller;
use crate::process::{Process, Request, RequestId, Role, Watch};
use crate::scene::Scene;
use crate::step::{Fact, Sent, Step};
use crate::{cluster, collector, namespace, users};

/// How long the server asks a client to wait when it answers 429.
///
/// Source: priority and fairness answers `Retry-After: 1`.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Most requests that one event may lead to. More means that the controller never has enough.
const ACTIONS_AT_ONCE_MAX: u32 = 100_000;

/// Everything there is.
#[derive(Clone, Debug)]
pub struct World<C: Controller> {
    pub(crate) scene: Arc<Scene<C>>,
    pub(crate) server: ApiServer,
    /// How long after it was sent a write may take effect.
    write_limit: Duration,
    processes: Vec<Arc<Process<C>>>,
    requests: Vec<Request>,
    requests_sent: u32,
    terms: u64,
    clock: Mono,
    /// One bit for each line of the script.
    pub(crate) done: Arc<[u64]>,
}

impl<C: Controller> World<C> {
    /// Returns the world before the first step: nothing is stored, and nothing runs.
    pub fn new(scene: Arc<Scene<C>>) -> Self {
        Self::numbered(scene, Numbering::default())
    }

    /// Returns the same with a server that numbers in its own way.
    pub fn numbered(scene: Arc<Scene<C>>, numbering: Numbering) -> Self {
        let done = vec![0; scene.script.len().div_ceil(64)].into();
        let processes = (0..scene.processes).map(|_| Arc::new(Process::empty())).collect();
        Self {
            write_limit: C::write_limit(&scene.controller),
            scene,
            server: ApiServer::new(numbering),
            processes,
            requests: Vec::new(),
            requests_sent: 0,
            terms: 0,
            clock: Mono::default(),
            done,
        }
    }

    /// Makes one step and adds to `facts` what it brought about; returns whether there was anything to do.
    ///
    /// A step that the world is past (a request that is lost, a Pod that is gone) does nothing.
    pub fn apply(&mut self, step: Step, facts: &mut Vec<Fact>) -> bool {
        match step {
            Step::Commit(id) => self.commit(id, facts),
            Step::Answer(id) => self.answer(id, facts),
            Step::LoseRequest(id) => self.lose_request(id, facts),
            Step::LoseAnswer(id) => self.lose_answer(id),
            Step::Abandon(id) => self.abandon(id, facts),
            Step::Throttle(id) => self.throttle(id, facts),
            Step::Refuse(id) => {
                let why = format!("exceeded quota, used: {}", id.0);
                self.refuse(id, Refusal::Forbidden(why.into()), facts)
            }
            Step::Reject(id) => {
                let why = format!("denied by policy {}", id.0 % 3);
                self.refuse(id, Refusal::Invalid(why.into()), facts)
            }
            Step::Collide(id) => self.collide(id, facts),
            Step::List(process, kind) => self.list(process, kind, facts),
            Step::Relist(process, kind) => self.relist(process, kind, facts),
            Step::Deliver(process, kind) => self.deliver(process, kind, facts),
            Step::Bookmark(process, kind) => self.bookmark(process, kind, facts),
            Step::ExpireList(process, kind) => self.expire_list(process, kind, facts),
            Step::BreakWatch(process, kind) => self.break_watch(process, kind, facts),
            Step::Compact(kind) => self.compact(kind),
            Step::Timer(process) => self.timer(process, facts),
            Step::Start(process) => self.start(process, facts),
            Step::Lead(process) => self.lead(process, facts),
            Step::Depose(process) => self.depose(process, facts),
            Step::Crash(process) => self.crash(process, facts),
            Step::SetCalendar(process, micros) => {
                let is_news = self.process(process).skew != micros;
                self.set_skew(process, micros);
                facts.extend(is_news.then_some(Fact::CalendarSet(process)));
                is_news
            }
            Step::User(line) => users::act(self, line, facts),
            Step::Touch(kind, uid) => {
                let commit = users::touch(&mut self.server, kind, uid);
                self.note(commit, facts)
            }
            Step::Pod(uid, what) => {
                let commits = cluster::change_pod(&mut self.server, uid, what);
                self.note_all(commits, facts)
            }
            Step::Release(kind, uid) => {
                let commit = self.server.release(kind, uid, kept::OTHERS, Writer::User);
                self.note(commit, facts)
            }
            Step::Sweep(kind) => {
                let commits = namespace::sweep(&mut self.server, kind);
                self.note_all(commits.into_iter().map(Some), facts);
                true
            }
            Step::Collect(kind, uid) => {
                let commits = collector::collect(&mut self.server, kind, uid);
                self.note_all(commits, facts)
            }
        }
    }

    /// Moves the clock on. It never goes back.
    ///
    /// Requests that nobody waits for, and that the server has not taken up within their time limit, are
    /// dropped.
    pub fn advance(&mut self, to: Mono) {
        if to > self.clock {
            self.clock = to;
            self.requests.retain(|request| !request.abandoned || request.until > to);
        }
    }

    /// Sets how far the calendar of a process is off.
    pub fn set_skew(&mut self, process: u8, micros: i64) {
        self.process_mut(process).skew = micros;
    }

    /// Returns the time that has passed since the beginning.
    pub const fn clock(&self) -> Mono {
        self.clock
    }

    /// Returns the calendar, as the API server reads it.
    pub fn wall(&self) -> Wall {
        Wall::from_micros(self.scene.epoch.micros() + self.clock.micros() as i64)
    }

    /// Returns the API server.
    pub const fn server(&self) -> &ApiServer {
        &self.server
    }

    /// Returns what was given at the beginning.
    pub fn scene(&self) -> &Scene<C> {
        &self.scene
    }

    /// Returns the places where controller processes run.
    pub fn processes(&self) -> impl ExactSizeIterator<Item = &Process<C>> {
        self.processes.iter().map(|process| &**process)
    }

    /// Returns one of the places where controller processes run.
    ///
    /// # Panics
    /// When there is no such place.
    pub fn process(&self, process: u8) -> &Process<C> {
        &self.processes[usize::from(process)]
    }

    /// Returns the requests and answers that are under way, oldest first.
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// Returns a request that is under way.
    pub fn request(&self, id: RequestId) -> Option<&Request> {
        self.requests.iter().find(|request| request.id == id)
    }

    /// Returns when the next timer of a process is due.
    pub fn timer_due(&self, process: u8) -> Option<Mono> {
        self.process(process).controller.as_ref().and_then(Controller::poll_timeout)
    }

    /// Adds to `steps` what happens by itself, sooner or later, in an order that depends on this world alone.
    pub fn enabled(&self, steps: &mut Vec<Step>) {
        for request in &self.requests {
            match request.answer {
                None => steps.push(Step::Commit(request.id)),
                Some(_) => steps.push(Step::Answer(request.id)),
            }
        }
        for (process, place) in (0..).zip(&self.processes) {
            self.enabled_at(process, place, steps);
        }
        cluster::enabled(self.server.store(), steps);
        users::enabled(self, steps);
    }

    fn enabled_at(&self, process: u8, place: &Process<C>, steps: &mut Vec<Step>) {
        let Some(controller) = &place.controller else { return steps.push(Step::Start(process)) };
        if place.role == Role::Standby {
            if !self.processes.iter().any(|other| other.is_leading()) {
                steps.push(Step::Lead(process));
            }
            return;
        }
        for kind in Kind::ALL {
            match &place.watches[kind.index()] {
                Watch::Lost => steps.push(Step::List(process, kind)),
                Watch::Listed { .. } => steps.push(Step::Relist(process, kind)),
                Watch::Live { cursor } => {
                    if self.server.is_behind(kind, *cursor) {
                        steps.push(Step::Deliver(process, kind));
                    }
                }
            }
        }
        if controller.poll_timeout().is_some() {
            steps.push(Step::Timer(process));
        }
    }

    /// Adds to `steps` what may go wrong, or happen out of turn; how much of it is up to the driver.
    pub fn faults(&self, steps: &mut Vec<Step>) {
        for request in &self.requests {
            let id = request.id;
            match (&request.answer, request.abandoned) {
                (None, true) => steps.push(Step::LoseRequest(id)),
                (None, false) => steps.extend([Step::LoseRequest(id), Step::Abandon(id), Step::Throttle(id)]),
                (Some(Outcome::Unknown), _) => {}
                (Some(_), _) => steps.push(Step::LoseAnswer(id)),
            }
        }
        for (process, place) in (0..).zip(&self.processes) {
            if place.controller.is_none() {
                continue;
            }
            steps.push(Step::Crash(process));
            steps.push(if place.is_leading() { Step::Depose(process) } else { Step::Lead(process) });
            for kind in Kind::ALL {
                if let Watch::Live { cursor } = place.watches[kind.index()] {
                    steps.push(Step::BreakWatch(process, kind));
                    if self.server.is_behind(kind, cursor) {
                        steps.push(Step::Compact(kind));
                    } else if cursor < self.server.revision() {
                        steps.push(Step::Bookmark(process, kind));
                    }
                }
            }
        }
        cluster::faults(self.server.store(), steps);
    }

    fn commit(&mut self, id: RequestId, facts: &mut Vec<Fact>) -> bool {
        let wall = self.wall();
        let Some(place) = self.requests.iter().position(|request| request.id == id) else { return false };
        let request = &self.requests[place];
        if request.answer.is_some() {
            return false;
        }
        if request.until <= self.clock {
            return self.lose_request(id, facts);
        }
        let (process, term, intent) = (request.process, request.term, request.action.intent);
        let by = Writer::Process { process, term, intent };
        let (outcome, commits) = self.server.handle(&request.action.operation, by, wall);
        if request.abandoned {
            self.requests.remove(place);
        } else {
            self.requests[place].answer = Some(outcome);
        }
        self.note_all(commits, facts);
        facts.push(Fact::Handled(id));
        true
    }

    fn answer(&mut self, id: RequestId, facts: &mut Vec<Fact>) -> bool {
        let Some(place) = self.requests.iter().position(|request| request.id == id) else { return false };
        if self.requests[place].answer.is_none() || self.requests[place].abandoned {
            return false;
        }
        let request = self.requests.remove(place);
        let outcome = request.answer.expect("just seen");
        self.tell_outcome(request.process, request.action, outcome, facts);
        true
    }

    fn tell_outcome(&mut self, process: u8, action: Action, outcome: Outcome, facts: &mut Vec<Fact>) {
        let event = Event::ActionDone { id: action.id, outcome: outcome.clone() };
        facts.push(Fact::Answered { process, action, outcome });
        self.tell(process, event, facts);
    }

    fn lose_request(&mut self, id: RequestId, facts: &mut Vec<Fact>) -> bool {
        let Some(place) = self.unhandled(id) else { return false };
        if self.requests[place].abandoned {
            self.requests.remove(place);
        } else {
            self.requests[place].answer = Some(Outcome::Unknown);
        }
        facts.push(Fact::Handled(id));
        true
    }

    fn lose_answer(&mut self, id: RequestId) -> bool {
        let Some(request) = self.requests.iter_mut().find(|request| request.id == id) else { return false };
        let answered = request.answer.as_ref().is_some_and(|outcome| *outcome != Outcome::Unknown);
        if answered {
            request.answer = Some(Outcome::Unknown);
        }
        answered
    }

    fn abandon(&mut self, id: RequestId, facts: &mut Vec<Fact>) -> bool {
        let Some(place) = self.unhandled(id) else { return false };
        let request = &mut self.requests[place];
        if request.abandoned {
            return false;
        }
        request.abandoned = true;
        let (process, action) = (request.process, request.action.clone());
        self.tell_outcome(process, action, Outcome::Unknown, facts);
        true
    }

    fn throttle(&mut self, id: RequestId, facts: &mut Vec<Fact>) -> bool {
        let Some(place) = self.unhandled(id) else { return false };
        if self.requests[place].abandoned {
            return false;
        }
        // Not the same to everybody, so that of two answers the later one may ask for less.
        let delay = RETRY_AFTER * (1 + id.0 % 3);
        self.requests[place].answer = Some(Outcome::Throttled(delay));
        facts.push(Fact::Handled(id));
        true
    }

    fn collide(&mut self, id: RequestId, facts: &mut Vec<Fact>) -> bool {
        let Some(place) = self.unhandled(id) else { return false };
        let request = &mut self.requests[place];
        if request.abandoned || !matches!(*request.action.operation, Operation::Create(_)) {
            return false;
        }
        request.answer = Some(Outcome::Conflict);
        facts.push(Fact::Handled(id));
        true
    }

    fn refuse(&mut self, id: RequestId, refusal: Refusal, facts: &mut Vec<Fact>) -> bool {
        let Some(place) = self.unhandled(id) else { return false };
        if self.requests[place].abandoned || !is_refusable(&self.requests[place].action) {
            return false;
        }
        self.requests[place].answer = Some(Outcome::Refused(refusal));
        facts.push(Fact::Handled(id));
        true
    }

    fn unhandled(&self, id: RequestId) -> Option<usize> {
        self.requests.iter().position(|request| request.id == id && request.answer.is_none())
    }

    fn list(&mut self, process: u8, kind: Kind, facts: &mut Vec<Fact>) -> bool {
        if !self.process(process).is_leading() || *self.watch(process, kind) != Watch::Lost {
            return false;
        }
        let (objects, at) = (self.server.store().list(kind).into(), self.server.read(kind));
        *self.watch_mut(process, kind) = Watch::Listed { objects, at };
        facts.push(Fact::Listed(process, kind));
        true
    }

    fn relist(&mut self, process: u8, kind: Kind, facts: &mut Vec<Fact>) -> bool {
        let Watch::Listed { objects, at } = self.watch(process, kind) else { return false };
        let (objects, at) = (objects.clone(), *at);
        *self.watch_mut(process, kind) = Watch::Live { cursor: at };
        self.process_mut(process).listed |= 1 << kind.index();
        let term = self.process(process).term();
        let list = objects.to_vec();
        facts.push(Fact::Relisted { process, term, kind, at, objects });
        let at = self.server.version_of_list(kind, at);
        self.tell(process, Event::Relisted { kind, objects: list, at }, facts);
        true
    }

    fn expire_list(&mut self, process: u8, kind: Kind, facts: &mut Vec<Fact>) -> bool {
        if !matches!(self.watch(process, kind), Watch::Listed { .. }) {
            return false;
        }
        *self.watch_mut(process, kind) = Watch::Lost;
        self.tidy(kind);
        facts.push(Fact::WatchLost(process, kind));
        true
    }

    fn deliver(&mut self, process: u8, kind: Kind, facts: &mut Vec<Fact>) -> bool {
        let Watch::Live { cursor } = *self.watch(process, kind) else { return false };
        let (cursor, seen) = match self.server.next(kind, cursor) {
            Next::Nothing => return false,
            Next::Compacted => return self.break_watch(process, kind, facts),
            Next::Seen(at, seen) => (at, seen),
        };
        *self.watch_mut(process, kind) = Watch::Live { cursor };
        self.tidy(kind);
        facts.push(Fact::Shown { process, kind, upto: cursor, line: Some(seen.clone()) });
        self.tell(process, seen.into(), facts);
        true
    }

    /// Moves a watch on by a line that is no news: the process is not told, because it would do nothing.
    pub(crate) fn pass_over(&mut self, process: u8, kind: Kind) {
        if let Watch::Live { cursor } = *self.watch(process, kind)
            && let Next::Seen(cursor, _) = self.server.next(kind, cursor)
        {
            *self.watch_mut(process, kind) = Watch::Live { cursor };
            self.tidy(kind);
        }
    }

    fn bookmark(&mut self, process: u8, kind: Kind, facts: &mut Vec<Fact>) -> bool {
        let Watch::Live { cursor } = *self.watch(process, kind) else { return false };
        if self.server.is_behind(kind, cursor) {
            return false;
        }
        let at = self.server.read(kind);
        *self.watch_mut(process, kind) = Watch::Live { cursor: at };
        facts.push(Fact::Shown { process, kind, upto: at, line: None });
        let at = self.server.version_of_list(kind, at);
        self.tell(process, Event::Progress { kind, at }, facts);
        true
    }

    fn break_watch(&mut self, process: u8, kind: Kind, facts: &mut Vec<Fact>) -> bool {
        if !matches!(self.watch(process, kind), Watch::Live { .. }) {
            return false;
        }
        *self.watch_mut(process, kind) = Watch::Lost;
        self.tidy(kind);
        facts.push(Fact::WatchLost(process, kind));
        self.tell(process, Event::WatchLost { kind }, facts);
        true
    }

    fn compact(&mut self, kind: Kind) -> bool {
        let behind = |place: &Process<C>| match place.watches[kind.index()] {
            Watch::Live { cursor } => self.server.is_behind(kind, cursor),
            Watch::Lost | Watch::Listed { .. } => false,
        };
        let matters = self.processes().any(behind);
        if matters {
            self.server.compact(kind);
        }
        matters
    }

    fn timer(&mut self, process: u8, facts: &mut Vec<Fact>) -> bool {
        let Some(due) = self.timer_due(process) else { return false };
        self.advance(due);
        let now = self.now(process);
        let Some(controller) = &mut self.process_mut(process).controller else { return false };
        controller.handle_timeout(now);
        self.drain(process, facts);
        true
    }

    fn start(&mut self, process: u8, facts: &mut Vec<Fact>) -> bool {
        if self.process(process).controller.is_some() {
            return false;
        }
        let controller = C::start(&self.scene.controller, self.now(process));
        let place = self.process_mut(process);
        place.controller = Some(controller);
        place.role = Role::Standby;
        facts.push(Fact::Started(process));
        self.drain(process, facts);
        true
    }

    fn lead(&mut self, process: u8, facts: &mut Vec<Fact>) -> bool {
        let place = self.process(process);
        if place.controller.is_none() || place.is_leading() {
            return false;
        }
        self.terms += 1;
        let term = self.terms;
        let place = self.process_mut(process);
        place.role = Role::Leading(term);
        place.forget_watches();
        facts.push(Fact::Leading { process, term });
        self.tell(process, Event::Leading { term }, facts);
        true
    }

    fn depose(&mut self, process: u8, facts: &mut Vec<Fact>) -> bool {
        if !self.process(process).is_leading() {
            return false;
        }
        let term = self.process(process).term();
        let place = self.process_mut(process);
        place.role = Role::Standby;
        place.forget_watches();
        facts.push(Fact::Deposed { process, term });
        self.tell(process, Event::Standby, facts);
        true
    }

    fn crash(&mut self, process: u8, facts: &mut Vec<Fact>) -> bool {
        let place = self.process(process);
        let Some(controller) = &place.controller else { return false };
        let (marks, term, skew) = (place.marks | controller.marks(), place.term(), place.skew);
        *self.process_mut(process) = Process { marks, skew, ..Process::empty() };
        self.requests.retain_mut(|request| {
            request.abandoned |= request.process == process;
            request.process != process || request.answer.is_none()
        });
        facts.push(Fact::Crashed { process, term });
        Kind::ALL.into_iter().for_each(|kind| self.tidy(kind));
        true
    }

    /// Notes a change of the store, if there was one.
    pub(crate) fn note(&mut self, commit: Option<Commit>, facts: &mut Vec<Fact>) -> bool {
        let Some(commit) = commit else { return false };
        self.tidy(commit.object().kind());
        facts.push(Fact::Committed(commit));
        true
    }

    /// Notes the changes of the store that one request has made; returns whether there were any.
    pub(crate) fn note_all(
        &mut self,
        commits: impl IntoIterator<Item = Option<Commit>>,
        facts: &mut Vec<Fact>,
    ) -> bool {
        let mut any = false;
        for commit in commits {
            any |= self.note(commit, facts);
        }
        any
    }

    /// Gives one event to a process, then takes every action that it wants.
    fn tell(&mut self, process: u8, event: Event, facts: &mut Vec<Fact>) {
        let now = self.now(process);
        let Some(controller) = &mut self.process_mut(process).controller else { return };
        controller.handle_event(event, now);
        self.drain(process, facts);
    }

    fn drain(&mut self, process: u8, facts: &mut Vec<Fact>) {
        let until = self.clock + self.write_limit;
        let place = Arc::make_mut(&mut self.processes[usize::from(process)]);
        let (term, listed) = (place.term(), place.has_listed_all());
        let Some(controller) = &mut place.controller else { return };
        let most = self.requests_sent + ACTIONS_AT_ONCE_MAX;
        while let Some(action) = controller.poll_action() {
            assert!(
                self.requests_sent < most,
                "one event leads to more than {ACTIONS_AT_ONCE_MAX} requests, the last {:?} of {}: `poll_action` must \
                 come to an end",
                action.intent,
                action.operation.key().name
            );
            let id = RequestId(self.requests_sent);
            self.requests_sent += 1;
            facts.push(Fact::Sent(Sent { process, term, listed, request: id, action: action.clone() }));
            self.requests.push(Request { id, process, term, action, until, answer: None, abandoned: false });
        }
        facts.push(Fact::Ran(process));
    }

    /// Forgets history that every watch of a kind has shown.
    fn tidy(&mut self, kind: Kind) {
        let cursors = self.processes.iter().filter_map(|place| match &place.watches[kind.index()] {
            Watch::Lost => None,
            Watch::Listed { at, .. } => Some(*at),
            Watch::Live { cursor } => Some(*cursor),
        });
        let shown = cursors.min().unwrap_or(Version(u64::MAX));
        self.server.trim(kind, shown);
    }

    fn now(&self, process: u8) -> Now {
        let wall = Wall::from_micros(self.wall().micros() + self.process(process).skew);
        Now { mono: self.clock, wall }
    }

    /// Returns how many bytes of memory it takes beside itself, without what it shares with copies.
    pub(crate) fn bytes(&self) -> usize {
        let of_processes = self.processes.capacity() * size_of::<Arc<Process<C>>>();
        let of_requests = self.requests.capacity() * size_of::<Request>();
        of_processes + of_requests
    }

    /// Gives everybody who runs to `visit`.
    pub(crate) fn controllers_mut(&mut self, mut visit: impl FnMut(&mut C)) {
        for place in &mut self.processes {
            if place.controller.is_some() {
                Arc::make_mut(place).controller.as_mut().into_iter().for_each(&mut visit);
            }
        }
    }

    fn process_mut(&mut self, process: u8) -> &mut Process<C> {
        Arc::make_mut(&mut self.processes[usize::from(process)])
    }

    fn watch(&self, process: u8, kind: Kind) -> &Watch {
        &self.process(process).watches[kind.index()]
    }

    fn watch_mut(&mut self, process: u8, kind: Kind) -> &mut Watch {
        &mut self.process_mut(process).watches[kind.index()]
    }
}

/// Returns whether a quota, or a policy of the cluster, may be in the way of a request: of a create, or of a record on a claim.
pub(crate) fn is_refusable(action: &Action) -> bool {
    matches!(&*action.operation, Operation::Create(_))
        || matches!(action.intent, Intent::RecordAssignment | Intent::RecordColdStart)
}
