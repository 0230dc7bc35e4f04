//! One situation of the world, and how it becomes another.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use agent_sandbox_core::id::{Kind, Version};
use agent_sandbox_core::time::Mono;

use super::deeds::Deeds;
use super::kinds::Kinds;
use super::memo::Searchable;
use super::moves::Move;
use super::scope::{QUIET, SETTING, Scope};
use super::shortcut::Shortcut;
use super::witnesses::Witnesses;
use crate::api_server::Numbering;
use crate::checkers::{Checkers, Violation};
use crate::process::{RequestId, Watch};
use crate::run::Observer;
use crate::scene::{self, Scene};
use crate::step::{Fact, Step};
use crate::world::World;

/// A situation.
#[derive(Debug)]
pub(super) struct State<C: Searchable> {
    pub(super) world: World<C>,
    /// What the checkers remember.
    pub(super) witnesses: Witnesses,
    pub(super) left: Left,
    /// Answers that something has yet to overtake: the request, and the revision before it was handled.
    pub(super) late: Vec<(RequestId, Version)>,
    /// The latest revision as of which nothing followed for any Pod.
    pub(super) calm: Version,
    pub(super) rules: Rules,
}

impl<C: Searchable> Clone for State<C> {
    fn clone(&self) -> Self {
        Self {
            world: self.world.clone(),
            witnesses: self.witnesses.clone(),
            left: self.left,
            late: self.late.clone(),
            calm: self.calm,
            rules: self.rules,
        }
    }
}

/// How much may still go wrong.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    pub(super) crashes: u8,
    pub(super) lost_answers: u8,
    pub(super) relists: u8,
}

/// What the scope says about how the world moves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Most answers at a time that are overtaken.
    pub(super) late_max: u8,
    pub(super) at_once: bool,
    pub(super) pod_in_one_step: bool,
    pub(super) shown_at_once: bool,
    pub(super) in_order: bool,
}

/// What judges a search, and lets somebody watch.
pub(super) struct Court<'a, C: Searchable> {
    pub(super) forgetful: Checkers,
    pub(super) observer: Option<&'a mut dyn Observer<C>>,
    /// Which kinds of step were made.
    pub(super) kinds: Kinds,
    /// How many steps were made.
    pub(super) steps: u64,
    deeds: Option<Deeds>,
    facts: Vec<Fact>,
}

impl<'a, C: Searchable> Court<'a, C> {
    /// Returns one that judges each write once, and remembers so many at most.
    pub(super) fn remembering(forgetful: Checkers, writes_max: usize) -> Self {
        Self::new(forgetful, None, Some(Deeds::new(writes_max)))
    }

    /// Returns one that lets somebody watch, and remembers nothing.
    pub(super) fn watched(forgetful: Checkers, observer: &'a mut dyn Observer<C>) -> Self {
        Self::new(forgetful, Some(observer), None)
    }

    /// Returns how many writes were not remembered.
    pub(super) fn writes(&self) -> u64 {
        self.deeds.as_ref().map_or(0, Deeds::worked)
    }

    fn new(forgetful: Checkers, observer: Option<&'a mut dyn Observer<C>>, deeds: Option<Deeds>) -> Self {
        Self { forgetful, observer, kinds: Kinds::default(), steps: 0, deeds, facts: Vec::new() }
    }
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
            witnesses: Witnesses::new(Checkers::of_search().1),
            left: Left { crashes: scope.crashes, lost_answers: scope.lost_answers, relists: scope.relists },
            late: Vec::new(),
            calm: Version(0),
            rules: Rules {
                late_max: scope.late_answers,
                at_once: Shortcut::AtOnce.is_taken(scope),
                pod_in_one_step: Shortcut::PodInOneStep.is_taken(scope),
                shown_at_once: Shortcut::ShownAtOnce.is_taken(scope),
                in_order: Shortcut::InOrder.is_taken(scope),
            },
        };
        for line in 0..SETTING {
            state.make(Move::Step(Step::User(line)), court)?;
        }
        for process in 0..scope.leaders {
            state.make(Move::Restart(process), court)?;
        }
        Ok(state)
    }

    /// Makes a move; an assertion of the core that does not hold breaks something as well.
    pub(super) fn try_make(&mut self, what: Move, court: &mut Court<'_, C>) -> Result<(), Violation> {
        catch_unwind(AssertUnwindSafe(|| self.make(what, court)))
            .unwrap_or_else(|panic| Err(crate::run::asserted(&*panic)))
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
                if self.rules.at_once {
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
        self.follow(court)?;
        let world = &self.world;
        self.late.retain(|(id, _)| world.request(*id).is_some());
        Ok(())
    }

    /// An answer that something has overtaken once may arrive from then on: a line of what came after it, or any list or
    /// bookmark.
    fn let_overtaken_go(&mut self, step: Step) {
        let (by, after) = if let Step::Deliver(process, kind) = step {
            let Watch::Live { cursor } = self.world.process(process).watches[kind.index()] else { return };
            (process, cursor)
        } else if let Step::Relist(process, _) | Step::Bookmark(process, _) = step {
            (process, Version(u64::MAX))
        } else {
            return;
        };
        let world = &self.world;
        self.late.retain(|(id, before)| {
            after <= *before || world.request(*id).is_none_or(|request| request.process != by)
        });
    }

    pub(super) fn step(&mut self, step: Step, court: &mut Court<'_, C>) -> Result<(), Violation> {
        court.steps += 1;
        court.kinds.add(step, self.world.scene());
        let asked = court.deeds.as_ref().and_then(|_| self.asked(step));
        if let (Some(deeds), Some(asked)) = (&court.deeds, asked)
            && let Some(deed) = deeds.get(asked)
        {
            deed.redo(step, &mut self.world, &mut self.witnesses);
            return Ok(());
        }
        let mut facts = std::mem::take(&mut court.facts);
        facts.clear();
        self.world.apply(step, &mut facts);
        if !self.late.is_empty() {
            self.let_overtaken_go(step);
        }
        if let Some(observer) = &mut court.observer {
            observer.on_step(self.world.clock(), step, &facts, &self.world);
        }
        let store = self.world.server().store();
        let mut judged = Ok(());
        for fact in &facts {
            judged = court.forgetful.on_fact(fact, store).and_then(|()| self.witnesses.on_fact(fact, store));
            if judged.is_err() {
                break;
            }
        }
        if let (Some(deeds), Some(asked), Ok(())) = (&mut court.deeds, asked, &judged) {
            deeds.add(asked, self.deed(step, &facts));
        }
        court.facts = facts;
        judged
    }

    /// Returns how many bytes it takes, without what it shares with others.
    pub(super) fn bytes(&self) -> usize {
        let late = self.late.capacity() * size_of::<(RequestId, Version)>();
        size_of::<Self>() + late + self.world.bytes()
    }

    /// Judges what is stored, when everything should be done.
    pub(super) fn judge_rest(&self, court: &mut Court<'_, C>) -> Result<(), Violation> {
        court.forgetful.at_rest(self.world.server().store())
    }
}

/// The shortest time that passes.
pub(super) const TICK: Duration = Duration::from_micros(1);
