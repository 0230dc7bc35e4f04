//! One situation of the world, what may happen next in it, and what makes it the same as another.

use std::rc::Rc;
use std::sync::Arc;

use agent_sandbox_core::action::{Intent, Operation};
use agent_sandbox_core::event::{Event, Outcome};
use agent_sandbox_core::fingerprint::{Sight, Walk};
use agent_sandbox_core::id::{Kind, Version};
use agent_sandbox_core::machine::TimeoutReason;
use agent_sandbox_core::object::Object;
use agent_sandbox_core::time::Mono;

use super::memo::{Memo, Searchable};
use super::scope::{FAR, QUIET, SETTING, Scope};
use crate::api_server::{Numbering, Seen};
use crate::checkers::{Checkers, Violation};
use crate::process::{Process, Request, RequestId, Watch};
use crate::run::Observer;
use crate::scene::{self, Scene};
use crate::step::{Fact, PodStep, Step};
use crate::world::World;

/// A situation.
#[derive(Debug)]
pub(super) struct State<C: Searchable> {
    pub(super) world: World<C>,
    /// What the checkers remember.
    memory: Rc<Checkers>,
    left: Left,
    /// Answers that something must overtake: the request, and the revision before it was handled.
    late: Vec<(RequestId, Version)>,
    late_max: u8,
    split: bool,
}

impl<C: Searchable> Clone for State<C> {
    fn clone(&self) -> Self {
        Self {
            world: self.world.clone(),
            memory: self.memory.clone(),
            left: self.left,
            late: self.late.clone(),
            late_max: self.late_max,
            split: self.split,
        }
    }
}

/// How much may still go wrong.
#[derive(Clone, Copy, Debug)]
struct Left {
    crashes: u8,
    lost_answers: u8,
    relists: u8,
}

/// Something that happens in a search: one step of the world, or several between which nobody can come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    Step(Step),
    /// A process starts, leads and lists every kind.
    Restart(u8),
    /// The answer is lost, and its sender gives up.
    LoseAnswer(RequestId),
    /// The server handles a request, and its sender hears of it at once.
    Handle(RequestId),
    /// The server handles a request; something will overtake the answer.
    Delay(RequestId),
    /// So much time passes that everything is told that was held back.
    Settle,
    /// Time passes, until just before the next timer of a process.
    Wait(u8),
}

/// What judges a search, and lets somebody watch.
pub(super) struct Court<'a, C: Searchable> {
    pub(super) forgetful: Checkers,
    pub(super) observer: Option<&'a mut dyn Observer<C>>,
    facts: Vec<Fact>,
}

impl<'a, C: Searchable> Court<'a, C> {
    pub(super) fn new(forgetful: Checkers, observer: Option<&'a mut dyn Observer<C>>) -> Self {
        Self { forgetful, observer, facts: Vec::new() }
    }
}

/// What may happen in a situation.
#[derive(Debug, Default)]
pub(super) struct Moves {
    pub(super) list: Vec<Move>,
    /// Whether nothing happens unless a user acts or something goes wrong.
    pub(super) at_rest: bool,
}

impl<C: Searchable> State<C> {
    /// Returns the situation from which a search begins: the pool is there and has no members, and all processes lead.
    pub(super) fn first(
        scope: &Scope,
        numbering: Numbering,
        controller: C::Setup,
        court: &mut Court<'_, C>,
    ) -> Result<Self, Violation> {
        let scene =
            Scene { controller, processes: scope.leaders, script: scope.script(), epoch: scene::epoch() };
        let mut state = Self {
            world: World::numbered(Arc::new(scene), numbering),
            memory: Rc::new(Checkers::of_search().1),
            left: Left { crashes: scope.crashes, lost_answers: scope.lost_answers, relists: scope.relists },
            late: Vec::new(),
            late_max: scope.late_answers,
            split: scope.split_writes,
        };
        for line in 0..SETTING {
            state.make(Move::Step(Step::User(line)), court)?;
        }
        for process in 0..scope.leaders {
            state.make(Move::Restart(process), court)?;
        }
        Ok(state)
    }

    /// Adds what may happen.
    pub(super) fn moves(&self, moves: &mut Moves) {
        moves.list.clear();
        let list = &mut moves.list;
        let mut late = Vec::new();
        for request in self.world.requests() {
            match request.answer {
                None if request.abandoned => late.push(request.id),
                None => {
                    list.push(Move::Handle(request.id));
                    if self.late.len() < usize::from(self.late_max) && self.may_be_overtaken(request) {
                        list.push(Move::Delay(request.id));
                    }
                }
                Some(_) if self.is_overtaken(request) => list.push(Move::Step(Step::Answer(request.id))),
                Some(_) => {}
            }
        }
        self.moves_of_processes(list);
        self.moves_of_cluster(list);
        moves.at_rest = list.is_empty();
        if list.is_empty() {
            self.moves_of_rest(&late, moves);
        }
        let list = &mut moves.list;
        list.extend(late.into_iter().map(|id| Move::Step(Step::Commit(id))));
        let mut steps = Vec::new();
        crate::users::enabled(&self.world, &mut steps);
        list.extend(steps.into_iter().map(Move::Step));
        self.faults(list);
    }

    fn moves_of_processes(&self, list: &mut Vec<Move>) {
        for (process, place) in (0..).zip(self.world.processes()) {
            let Some(controller) = &place.controller else {
                list.push(Move::Restart(process));
                continue;
            };
            for kind in Kind::ALL {
                match &place.watches[kind.index()] {
                    Watch::Lost => list.push(Move::Step(Step::List(process, kind))),
                    Watch::Listed { .. } => list.push(Move::Step(Step::Relist(process, kind))),
                    Watch::Live { cursor } => {
                        if self.world.server().is_behind(kind, *cursor) {
                            list.push(Move::Step(Step::Deliver(process, kind)));
                        }
                    }
                }
            }
            if let Some((at, reason)) = controller.timeout()
                && !is_quiet(reason)
                && self.may_pass(at)
            {
                list.push(Move::Step(Step::Timer(process)));
                if self.left.lost_answers > 0 && at > self.world.clock() + TICK {
                    list.push(Move::Wait(process));
                }
            }
        }
    }

    /// The server takes up within its time limit whatever somebody waits for.
    fn may_pass(&self, at: Mono) -> bool {
        let is_late =
            |request: &Request| request.answer.is_none() && !request.abandoned && request.until <= at;
        !self.world.requests().iter().any(is_late)
    }

    fn moves_of_cluster(&self, list: &mut Vec<Move>) {
        let mut steps = Vec::new();
        crate::cluster::enabled(self.world.server().store(), &mut steps);
        list.extend(steps.into_iter().map(|step| {
            if let Step::Pod(uid, PodStep::Schedule) = step {
                Move::Step(Step::Pod(uid, PodStep::Start))
            } else {
                Move::Step(step)
            }
        }));
    }

    /// When nothing else happens, what was held back is told, and what is lost on its way is lost.
    fn moves_of_rest(&self, late: &[RequestId], moves: &mut Moves) {
        let answers = self.world.requests().iter().filter(|request| request.answer.is_some());
        moves.list.extend(answers.map(|request| Move::Step(Step::Answer(request.id))));
        if !moves.list.is_empty() {
            moves.at_rest = false;
            return;
        }
        let mut places = self.world.processes();
        if places.any(|place| place.controller.as_ref().and_then(Searchable::timeout).is_some()) {
            moves.list.push(Move::Settle);
        } else {
            moves.list.extend(late.iter().map(|id| Move::Step(Step::LoseRequest(*id))));
        }
        moves.at_rest = moves.list.is_empty();
    }

    fn faults(&self, list: &mut Vec<Move>) {
        if self.left.lost_answers > 0 {
            list.extend(self.world.requests().iter().filter_map(|request| match request.answer {
                None if request.abandoned => None,
                None => Some(Move::Step(Step::Abandon(request.id))),
                Some(_) => Some(Move::LoseAnswer(request.id)),
            }));
            let unhandled = |request: &&Request| request.answer.is_none() && !request.abandoned;
            list.extend(
                self.world.requests().iter().filter(unhandled).map(|request| Move::LoseAnswer(request.id)),
            );
        }
        for (process, place) in (0..).zip(self.world.processes()) {
            if place.controller.is_none() {
                continue;
            }
            if self.left.crashes > 0 {
                list.push(Move::Step(Step::Crash(process)));
            }
            if self.left.relists > 0 {
                let live = |kind: &Kind| matches!(place.watches[kind.index()], Watch::Live { .. });
                list.extend(
                    Kind::ALL
                        .into_iter()
                        .filter(live)
                        .map(|kind| Move::Step(Step::BreakWatch(process, kind))),
                );
            }
        }
    }

    /// Makes a move, and everything that follows from it without anybody's choice.
    pub(super) fn make(&mut self, what: Move, court: &mut Court<'_, C>) -> Result<(), Violation> {
        let clock = self.world.clock();
        match what {
            Move::Step(step) => {
                self.left.lost_answers -= u8::from(matches!(step, Step::Abandon(_)));
                self.left.crashes -= u8::from(matches!(step, Step::Crash(_)));
                self.left.relists -= u8::from(matches!(step, Step::BreakWatch(..)));
                self.step(step, court)?;
            }
            Move::Handle(id) => {
                self.step(Step::Commit(id), court)?;
                self.step(Step::Answer(id), court)?;
            }
            Move::Delay(id) => {
                self.late.push((id, self.world.server().revision()));
                self.step(Step::Commit(id), court)?;
                if !self.split {
                    self.overtake(id, court)?;
                }
            }
            Move::LoseAnswer(id) => {
                self.left.lost_answers -= 1;
                self.step(Step::Commit(id), court)?;
                self.step(Step::LoseAnswer(id), court)?;
                self.step(Step::Answer(id), court)?;
            }
            Move::Settle => {
                self.world.advance(self.world.clock() + QUIET * 2);
                let processes = self.world.processes().len() as u8;
                for process in 0..processes {
                    self.step(Step::Timer(process), court)?;
                }
            }
            Move::Wait(process) => {
                if let Some(at) = self.world.timer_due(process) {
                    self.world.advance(Mono::from_micros(at.micros() - TICK.as_micros() as u64));
                }
            }
            Move::Restart(process) => {
                self.step(Step::Start(process), court)?;
                self.step(Step::Lead(process), court)?;
                for kind in Kind::ALL {
                    self.step(Step::List(process, kind), court)?;
                }
                for kind in Kind::ALL {
                    self.step(Step::Relist(process, kind), court)?;
                }
            }
        }
        if self.world.clock() != clock {
            let clock = self.world.clock();
            self.world.controllers_mut(|controller| controller.pass(clock));
        }
        self.catch_up(court)?;
        let world = &self.world;
        self.late.retain(|(id, _)| world.request(*id).is_some());
        Ok(())
    }

    /// Returns whether it matters when an answer arrives: one that no line overtakes may as well come at once, and one
    /// that says how things were may come when they are not any more.
    fn may_be_overtaken(&self, request: &Request) -> bool {
        let operation = &request.action.operation;
        if self.split || !operation.is_write() {
            return true;
        }
        match self.world.process(request.process).watches[operation.kind().index()] {
            Watch::Live { cursor } => !self.world.server().is_behind(operation.kind(), cursor),
            Watch::Listed { .. } | Watch::Lost => false,
        }
    }

    /// Shows what a write has done before its answer arrives; the answer of one that has done nothing arrives at once.
    fn overtake(&mut self, id: RequestId, court: &mut Court<'_, C>) -> Result<(), Violation> {
        let Some(request) = self.world.request(id) else { return Ok(()) };
        let (process, operation) = (request.process, request.action.operation.clone());
        if !operation.is_write() {
            return Ok(());
        }
        let before = self.late.last().map_or(Version(0), |late| late.1);
        let is_done = self.world.server().revision() > before;
        let step = if is_done { Step::Deliver(process, operation.kind()) } else { Step::Answer(id) };
        self.step(step, court)
    }

    fn is_overtaken(&self, request: &Request) -> bool {
        let Some(&(_, before)) = self.late.iter().find(|(id, _)| *id == request.id) else { return true };
        self.world.process(request.process).watches.iter().any(|watch| match watch {
            Watch::Live { cursor } => *cursor > before,
            Watch::Listed { .. } | Watch::Lost => false,
        })
    }

    fn step(&mut self, step: Step, court: &mut Court<'_, C>) -> Result<(), Violation> {
        let mut facts = std::mem::take(&mut court.facts);
        facts.clear();
        self.world.apply(step, &mut facts);
        if let Some(observer) = &mut court.observer {
            observer.on_step(self.world.clock(), step, &facts, &self.world);
        }
        let store = self.world.server().store();
        let mut judged = Ok(());
        for fact in &facts {
            judged = court.forgetful.on_fact(fact, store);
            if judged.is_ok() && is_memorable(fact) {
                judged = Rc::make_mut(&mut self.memory).on_fact(fact, store);
            }
            if judged.is_err() {
                break;
            }
        }
        court.facts = facts;
        judged
    }

    /// Does all that follows without anybody's choice.
    fn catch_up(&mut self, court: &mut Court<'_, C>) -> Result<(), Violation> {
        let mut forced = Vec::new();
        loop {
            self.pass_over();
            self.forced(&mut forced);
            if forced.is_empty() {
                return Ok(());
            }
            for step in forced.drain(..) {
                self.step(step, court)?;
            }
        }
    }

    /// Moves watches on over what is no news.
    fn pass_over(&mut self) {
        let processes = self.world.processes().len() as u8;
        for process in 0..processes {
            for kind in Kind::ALL {
                while self.is_no_news(process, kind) {
                    self.world.pass_over(process, kind);
                }
            }
        }
    }

    fn is_no_news(&self, process: u8, kind: Kind) -> bool {
        let place = self.world.process(process);
        let (Some(controller), Watch::Live { cursor }) = (&place.controller, &place.watches[kind.index()])
        else {
            return false;
        };
        match self.world.server().lines_after(kind, *cursor).next() {
            Some((_, line @ Seen::Applied(_))) => !controller.is_news(&line.clone().into()),
            Some((_, Seen::Deleted(_))) | None => false,
        }
    }

    /// Adds what happens next without anybody's choice.
    fn forced(&self, steps: &mut Vec<Step>) {
        for request in self.world.requests() {
            if is_idle(request) || self.is_futile(request) {
                steps.push(Step::LoseRequest(request.id));
            } else if self.is_undisputed(request) {
                steps.extend([Step::Commit(request.id), Step::Answer(request.id)]);
                return;
            }
        }
        if !self.split {
            let store = self.world.server().store();
            for pod in store.list(Kind::Pod) {
                if pod.meta().terminating {
                    steps.push(Step::Pod(pod.uid(), PodStep::FinishDelete));
                } else if crate::cluster::is_collectable(store, pod) {
                    steps.push(Step::Collect(Kind::Pod, pod.uid()));
                }
            }
        }
        for process in 0..self.world.processes().len() as u8 {
            for kind in Kind::ALL {
                steps.extend(self.idle_step(process, kind));
            }
        }
    }

    /// Returns whether a request that nobody waits for comes too late: a version never comes back.
    fn is_futile(&self, request: &Request) -> bool {
        if self.split || !request.abandoned || request.answer.is_some() {
            return false;
        }
        let (target, version) = match &*request.action.operation {
            Operation::Patch(patch) => (&patch.target, patch.version),
            Operation::Delete { target, version } => (target, *version),
            Operation::Create(_) | Operation::Get { .. } | Operation::Notify(_) => return false,
        };
        let stored = self.world.server().store().get(target.kind, &target.key);
        version.is_some_and(|version| stored.is_none_or(|stored| stored.version() != version))
    }

    fn is_undisputed(&self, request: &Request) -> bool {
        let intent = request.action.intent;
        !self.split
            && !request.abandoned
            && matches!(
                intent,
                Intent::CreatePod
                    | Intent::LabelPod
                    | Intent::StampFirstReady
                    | Intent::SetPoolStatus
                    | Intent::SetSandboxStatus
            )
    }

    /// Returns whether nobody but the only process acts on a change, so that seeing it later is as if it came later.
    fn is_shown_at_once(&self, line: &Seen) -> bool {
        if self.split || self.world.processes().len() > 1 {
            return false;
        }
        match line {
            Seen::Applied(Object::Claim(claim)) => {
                let stored = self.world.server().store().find(Kind::Claim, claim.meta.uid);
                claim.meta.annotations.is_empty()
                    && claim.status == Default::default()
                    && stored.is_some_and(|stored| stored.version() == claim.meta.version)
            }
            Seen::Applied(Object::Pod(_) | Object::Pool(_)) | Seen::Deleted(Object::Pod(_)) => true,
            Seen::Applied(_) | Seen::Deleted(_) => false,
        }
    }

    fn idle_step(&self, process: u8, kind: Kind) -> Option<Step> {
        let place = self.world.process(process);
        let (Some(controller), Watch::Live { cursor }) = (&place.controller, &place.watches[kind.index()])
        else {
            return None;
        };
        match self.world.server().lines_after(kind, *cursor).next() {
            Some((_, line)) => {
                let event = line.clone().into();
                let now = !controller.is_news(&event) || self.is_shown_at_once(line);
                now.then_some(Step::Deliver(process, kind))
            }
            None if self.world.server().is_behind(kind, *cursor) => None,
            None => {
                let server = self.world.server();
                let bookmark = Event::Progress { kind, at: server.version_of_list(server.revision()) };
                controller.is_news(&bookmark).then_some(Step::Bookmark(process, kind))
            }
        }
    }

    /// Judges what is stored, when everything should be done.
    pub(super) fn judge_rest(&self, court: &mut Court<'_, C>) -> Result<(), Violation> {
        court.forgetful.at_rest(self.world.server().store())
    }
}

impl State<Memo> {
    /// Returns what makes this situation the same as another.
    pub(super) fn fingerprint(&self, scope: &Scope) -> u64 {
        let version_mask = self.world.server().numbering().version_mask();
        let mut walk = Walk::new(Sight { now: self.world.clock(), far: FAR, version_mask });
        for kind in Kind::ALL {
            let objects = self.world.server().store().list(kind);
            walk.number(objects.len() as u64);
            objects.iter().for_each(|object| walk.object(object));
        }
        for place in self.world.processes() {
            self.visit_process(place, &mut walk);
        }
        walk.set(self.world.requests(), |walk, request| {
            walk.number(u64::from(request.process) | u64::from(request.abandoned) << 8 | request.term << 16);
            walk.number(request.action.id.0);
            if request.answer.is_some() {
                walk.option(self.is_overtaken(request));
            }
            match &request.answer {
                Some(Outcome::Done(object)) => {
                    let controller = &self.world.process(request.process).controller;
                    let listed = controller.as_ref().map(|controller| controller.listed_at(object.kind()));
                    walk.option(listed.is_some_and(|listed| object.version() <= listed));
                    walk.object(object);
                }
                Some(outcome) => walk.outcome(outcome),
                None if scope.lost_answers > 0 => walk.deadline(request.until),
                None => {}
            }
        });
        self.world.done.iter().for_each(|lines| walk.number(*lines));
        let left = self.left;
        walk.number(
            u64::from(left.crashes) | u64::from(left.lost_answers) << 8 | u64::from(left.relists) << 16,
        );
        self.memory.remembered(&mut walk);
        walk.fingerprint()
    }

    fn visit_process(&self, place: &Process<Memo>, walk: &mut Walk) {
        walk.number(place.controller.as_ref().map_or(0, Memo::fingerprint));
        for kind in Kind::ALL {
            match &place.watches[kind.index()] {
                Watch::Lost => walk.number(1),
                Watch::Listed { objects, at } => {
                    walk.number(2 | (objects.len() as u64) << 8);
                    objects.iter().for_each(|object| walk.object(object));
                    // What the list is too old to tell.
                    let newer = self.world.server().store().list(kind).iter();
                    let at = self.world.server().version_of_list(*at);
                    newer.for_each(|object| walk.option(object.version() <= at));
                }
                Watch::Live { cursor } => {
                    let server = self.world.server();
                    if !server.is_behind(kind, *cursor) {
                        continue;
                    }
                    walk.number(3 + kind as u64);
                    for (_, line) in server.lines_after(kind, *cursor) {
                        match line {
                            Seen::Applied(object) => walk.object(object),
                            Seen::Deleted(object) => {
                                walk.number(1);
                                walk.object(object);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Returns whether nothing follows from a request: nobody waits for what it reads.
fn is_idle(request: &Request) -> bool {
    request.abandoned && !request.action.operation.is_write()
}

/// The shortest time that passes.
const TICK: std::time::Duration = std::time::Duration::from_micros(1);

/// Returns whether a timer only holds back what is no news: it never matters when it rings.
const fn is_quiet(reason: TimeoutReason) -> bool {
    match reason {
        TimeoutReason::Settle | TimeoutReason::StatusInterval => true,
        TimeoutReason::Grace | TimeoutReason::Backoff | TimeoutReason::Repeat => false,
    }
}

/// Returns whether a checker that remembers may want to know.
const fn is_memorable(fact: &Fact) -> bool {
    match fact {
        Fact::Committed(_) | Fact::Relisted { kind: Kind::Sandbox, .. } => true,
        Fact::Crashed { .. } | Fact::Deposed { .. } => true,
        Fact::Sent(_)
        | Fact::Handled(_)
        | Fact::Answered { .. }
        | Fact::Listed(..)
        | Fact::Relisted { .. }
        | Fact::WatchLost(..)
        | Fact::Started(_)
        | Fact::Leading { .. }
        | Fact::Ran(_) => false,
    }
}
