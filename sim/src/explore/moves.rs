//! What may happen next in a situation.

use agent_sandbox_core::id::Kind;
use agent_sandbox_core::machine::TimeoutReason;
use agent_sandbox_core::time::Mono;

use super::memo::Searchable;
use super::state::{State, TICK};
use crate::process::{Request, RequestId, Watch};
use crate::step::{PodStep, Step};

/// Something that happens in a search: one step of the world, or several between which nobody can come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// This step.
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

/// What may happen in a situation.
#[derive(Debug, Default)]
pub(super) struct Moves {
    pub(super) list: Vec<Move>,
    /// Whether nothing happens unless a user acts or something goes wrong.
    pub(super) at_rest: bool,
}

impl<C: Searchable> State<C> {
    /// Adds what may happen.
    pub(super) fn moves(&self, moves: &mut Moves) {
        moves.list.clear();
        let list = &mut moves.list;
        let mut late = Vec::new();
        let answered = self.world.requests().iter().filter(|request| request.answer.is_some()).count();
        for request in self.world.requests() {
            match request.answer {
                None if self.waits_for_its_like(request) => {}
                None if request.abandoned => late.push(request.id),
                None => {
                    list.push(Move::Handle(request.id));
                    if answered < usize::from(self.rules.late_max) && self.may_be_overtaken(request) {
                        list.push(Move::Delay(request.id));
                    }
                }
                Some(_) if self.waits_for_overtaking(request).is_none() => {
                    list.push(Move::Step(Step::Answer(request.id)))
                }
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
        self.moves_of_faults(list);
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
        list.extend(steps.into_iter().filter_map(|step| self.move_of_cluster(step)).map(Move::Step));
    }

    fn move_of_cluster(&self, step: Step) -> Option<Step> {
        let in_one_step = self.rules.pod_in_one_step;
        if let Step::Collect(kind, uid) = step {
            let orphan = self.world.server().store().find(kind, uid)?;
            // That of Pods follows by itself.
            let is_choice = kind != Kind::Pod || !in_one_step;
            return (is_choice && !self.is_missed(orphan)).then_some(step);
        }
        if let Step::Pod(uid, PodStep::Schedule) = step {
            if self.rules.in_order && self.comes_after_its_like(uid) {
                return None;
            }
            if in_one_step {
                return Some(Step::Pod(uid, PodStep::Start));
            }
        }
        Some(step)
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

    fn moves_of_faults(&self, list: &mut Vec<Move>) {
        if self.left.lost_answers > 0 {
            list.extend(self.world.requests().iter().filter_map(|request| match request.answer {
                None if request.abandoned || self.waits_for_its_like(request) => None,
                None => Some(Move::Step(Step::Abandon(request.id))),
                Some(_) => Some(Move::LoseAnswer(request.id)),
            }));
            let unhandled = |request: &&Request| {
                request.answer.is_none() && !request.abandoned && !self.waits_for_its_like(request)
            };
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
}

/// Returns whether a timer only holds back what is no news: it never matters when it rings.
const fn is_quiet(reason: TimeoutReason) -> bool {
    match reason {
        TimeoutReason::Settle | TimeoutReason::StatusInterval => true,
        TimeoutReason::Grace
        | TimeoutReason::Stuck
        | TimeoutReason::Refill
        | TimeoutReason::Expiry
        | TimeoutReason::Backoff
        | TimeoutReason::Repeat => false,
    }
}
