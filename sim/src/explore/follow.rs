//! What follows from a move without anybody's choice.

use agent_sandbox_core::action::Operation;
use agent_sandbox_core::id::{Kind, Version};
use agent_sandbox_core::object::{Object, OwnerKind};

use super::memo::Searchable;
use super::shortcut::UNCONTESTED;
use super::state::{Court, State};
use crate::api_server::Seen;
use crate::checkers::Violation;
use crate::process::{Request, RequestId, Watch};
use crate::run::spinning;
use crate::step::{PodStep, Step};

/// Most steps that follow from one move. More means that the controller spins: a world that is searched has some ten objects.
const FOLLOWS_MAX: u32 = 10_000;

impl<C: Searchable> State<C> {
    /// Does all that follows without anybody's choice.
    pub(super) fn follow(&mut self, court: &mut Court<'_, C>) -> Result<(), Violation> {
        let mut forced = Vec::new();
        let most = court.steps + u64::from(FOLLOWS_MAX);
        while court.steps < most {
            self.pass_over();
            self.forced(&mut forced);
            if forced.is_empty() {
                return Ok(());
            }
            for step in forced.drain(..) {
                self.step(step, court)?;
            }
        }
        Err(spinning(FOLLOWS_MAX))
    }

    /// Returns whether a process still takes the owner of an orphan to be there, and would make another.
    pub(super) fn is_missed(&self, orphan: &Object) -> bool {
        let Some(owner) = &orphan.meta().owner else { return false };
        let OwnerKind::Known(kind) = owner.kind else { return false };
        let mut controllers = self.world.processes().filter_map(|place| place.controller.as_ref());
        controllers.any(|controller| controller.knows(kind, owner.uid))
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
            Some((_, Seen::Applied(object))) => !controller.is_news(object),
            Some((_, Seen::Deleted(_))) | None => false,
        }
    }

    /// Adds what happens next without anybody's choice.
    fn forced(&mut self, steps: &mut Vec<Step>) {
        for request in self.world.requests() {
            if is_idle(request) || self.is_futile(request) {
                steps.push(Step::LoseRequest(request.id));
            } else if self.is_undisputed(request) {
                steps.extend([Step::Commit(request.id), Step::Answer(request.id)]);
                return;
            }
        }
        if self.rules.pod_in_one_step && self.calm != self.world.server().revision() {
            self.end_pods(steps);
        }
        for process in 0..self.world.processes().len() as u8 {
            for kind in Kind::ALL {
                steps.extend(self.idle_step(process, kind));
            }
        }
    }

    /// Adds the end of every Pod that is terminating or that nobody needs any more.
    fn end_pods(&mut self, steps: &mut Vec<Step>) {
        let server = self.world.server();
        let mut is_calm = true;
        for pod in server.store().list(Kind::Pod) {
            if pod.meta().terminating {
                steps.push(Step::Pod(pod.uid(), PodStep::FinishDelete));
            } else if !crate::collector::is_collectable(server.store(), pod) {
                continue;
            } else if !self.is_missed(pod) {
                steps.push(Step::Collect(Kind::Pod, pod.uid()));
            }
            is_calm = false;
        }
        if is_calm {
            self.calm = server.revision();
        }
    }

    /// Returns whether a request that nobody waits for comes too late: a version never comes back.
    fn is_futile(&self, request: &Request) -> bool {
        if !request.abandoned || request.answer.is_some() {
            return false;
        }
        let (target, version) = match &*request.action.operation {
            Operation::Patch(patch) => (&patch.target, patch.version),
            Operation::Delete { target, version, .. } => (target, *version),
            Operation::Create(_) | Operation::Get { .. } | Operation::Notify(_) => return false,
        };
        let stored = self.world.server().store().get(target.kind, &target.key);
        version.is_some_and(|version| stored.is_none_or(|stored| stored.version() != version))
    }

    fn is_undisputed(&self, request: &Request) -> bool {
        self.rules.at_once && !request.abandoned && UNCONTESTED.contains(&request.action.intent)
    }

    /// Returns whether nobody but the only process acts on a change, so that seeing it later is as if it came later.
    fn is_shown_at_once(&self, line: &Seen) -> bool {
        if !self.rules.shown_at_once {
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
                let is_news = match line {
                    Seen::Applied(object) => controller.is_news(object),
                    Seen::Deleted(object) => controller.knows(kind, object.uid()),
                };
                let now = !is_news || self.is_shown_at_once(line);
                now.then_some(Step::Deliver(process, kind))
            }
            None if self.world.server().is_behind(kind, *cursor) => None,
            None => {
                let server = self.world.server();
                let at = server.version_of_list(kind, server.revision());
                controller.is_progress(kind, at).then_some(Step::Bookmark(process, kind))
            }
        }
    }

    /// Returns whether it matters when an answer arrives: one that no line overtakes may as well come at once, and one
    /// that says how things were may come when they are not any more.
    pub(super) fn may_be_overtaken(&self, request: &Request) -> bool {
        let operation = &request.action.operation;
        if !self.rules.at_once || !operation.is_write() {
            return true;
        }
        match self.world.process(request.process).watches[operation.kind().index()] {
            Watch::Live { cursor } => !self.world.server().is_behind(operation.kind(), cursor),
            Watch::Listed { .. } | Watch::Lost => false,
        }
    }

    /// Shows what a write has done before its answer arrives; the answer of one that has done nothing arrives at once.
    pub(super) fn overtake(&mut self, id: RequestId, court: &mut Court<'_, C>) -> Result<(), Violation> {
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

    /// Returns the revision before which nothing overtakes an answer, while nothing has overtaken it.
    pub(super) fn waits_for_overtaking(&self, request: &Request) -> Option<Version> {
        self.late.iter().find(|(id, _)| *id == request.id).map(|late| late.1)
    }
}

/// Returns whether nothing follows from a request: nobody waits for what it reads.
fn is_idle(request: &Request) -> bool {
    request.abandoned && !request.action.operation.is_write()
}
