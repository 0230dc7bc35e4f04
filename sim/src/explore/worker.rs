//! One worker of a search: it looks at the situations that it was the first to come to, depth by depth.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Instant;

use super::kinds::Kinds;
use super::memo::{Machines, Memo};
use super::moves::{Move, Moves};
use super::state::{Court, State};
use super::together::{End, Together};
use super::visited::Visited;
use super::{Limits, Scope, forgetful};
use crate::api_server::Numbering;
use crate::checkers::Violation;

/// How a situation was reached: from which, and by which of its moves.
#[derive(Clone, Copy, Debug)]
#[repr(C, packed(2))]
pub(super) struct Way {
    pub(super) from: u32,
    pub(super) by: u16,
}

/// Where something broke.
#[derive(Debug)]
pub(super) struct Break {
    /// The number of the situation, if ways are kept.
    pub(super) number: u32,
    /// By which of its moves; `None`: by doing nothing.
    pub(super) by: Option<u16>,
    pub(super) violation: Violation,
}

/// What a worker has done.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) transitions: u64,
    pub(super) steps: u64,
    pub(super) kinds: Kinds,
    pub(super) rests: u32,
    pub(super) depth: u32,
    pub(super) went_deep: bool,
    pub(super) machines: u64,
    pub(super) reactions: u64,
    pub(super) writes: u64,
    pub(super) reached: u64,
    /// Most situations that waited, at all workers.
    pub(super) frontier_max: usize,
    /// The bytes of those that waited here then.
    pub(super) frontier_bytes: usize,
    pub(super) ways: Vec<Way>,
    pub(super) broken: Option<Break>,
}

pub(super) struct Worker<'a> {
    scope: &'a Scope,
    limits: Limits,
    deadline: Option<Instant>,
    together: &'a Together,
    visited: &'a Visited,
    machines: Rc<RefCell<Machines>>,
    court: Court<'a, Memo>,
    frontier: Vec<(u32, State<Memo>)>,
    next: Vec<(u32, State<Memo>)>,
    moves: Moves,
    looked_at: u32,
    /// Whether each worker is at its own part. Before, all must find the same, so nothing hangs on how far another is.
    is_divided: bool,
    /// Whether there is no room for more that wait: what is found is looked at next.
    goes_deep: bool,
    tally: Tally,
}

/// After how many situations the clock is read.
const LOOK_AT_THE_CLOCK_EVERY: u32 = 64;

/// So many situations are found before the work is divided, for each worker.
///
/// Source: enough that no worker is long without any; by then the worlds of the table in the documentation have made less
/// than a thousandth of their moves.
const SEEDS: usize = 32;

/// Searches as one of some workers, and returns what was done.
pub(super) fn work(
    scope: &Scope,
    limits: Limits,
    deadline: Option<Instant>,
    together: &Together,
    number: usize,
) -> Tally {
    // All go the first steps, each for itself; those of the first one count.
    let own = Visited::default();
    let visited = if number == 0 { &together.visited } else { &own };
    let machines = Machines::new(scope, Numbering::ByState.version_mask(), limits.generation_max);
    let mut worker = Worker {
        scope,
        limits,
        deadline,
        together,
        visited,
        machines,
        court: Court::remembering(forgetful(scope), limits.writes_max),
        frontier: Vec::new(),
        next: Vec::new(),
        moves: Moves::default(),
        looked_at: 0,
        is_divided: false,
        goes_deep: false,
        tally: Tally::default(),
    };
    worker.guarded(Worker::begin);
    if number > 0 {
        worker.forget();
    }
    worker.divide(number);
    worker.visited = &together.visited;
    worker.go_on(number);
    worker.tally()
}

impl Worker<'_> {
    /// Does something, unless the search is over; a panic ends it.
    fn guarded(&mut self, what: impl FnOnce(&mut Self)) {
        if !self.together.is_over() {
            catch_unwind(AssertUnwindSafe(|| what(self)))
                .unwrap_or_else(|panic| self.together.keep_panic(panic));
        }
    }

    /// Takes the first steps, until there is enough to do for all.
    fn begin(&mut self) {
        let first = State::first(self.scope, Numbering::ByState, self.machines.clone(), &mut self.court);
        let first = match first {
            Ok(first) => first,
            Err(violation) => {
                self.tally.broken = Some(Break { number: 0, by: None, violation });
                return self.together.end(End::Broken);
            }
        };
        self.visited.insert(first.fingerprint(self.scope));
        self.keep_way(0, 0);
        self.next.push((0, first));
        if self.together.workers() == 1 {
            return;
        }
        while !self.next.is_empty() && self.next.len() < self.together.workers() * SEEDS {
            self.tally.depth += 1;
            self.look_at_all(0);
            if self.together.is_over() {
                return;
            }
        }
    }

    /// Takes its share of what was found together.
    fn divide(&mut self, number: usize) {
        let (count, workers) = (self.next.len(), self.together.workers());
        let from = count * number / workers;
        self.next.truncate(count * (number + 1) / workers);
        self.next.drain(..from);
        self.is_divided = true;
    }

    /// Forgets what was done, but for where it has led: who finds something broken first ends it for all.
    fn forget(&mut self) {
        let Tally { depth, broken, .. } = std::mem::take(&mut self.tally);
        self.tally = Tally { depth, broken, ..Tally::default() };
        self.court.steps = 0;
    }

    /// Looks at one depth after the other, together with the others.
    fn go_on(&mut self, number: usize) {
        loop {
            let waiting = self.together.meet(number, self.next.len());
            if waiting == 0 {
                return;
            }
            self.tally.depth += 1;
            if waiting > self.tally.frontier_max {
                self.tally.frontier_max = waiting;
                self.tally.frontier_bytes = self.next.iter().map(|(_, state)| state.bytes()).sum();
            }
            self.guarded(|worker| worker.look_at_all(number));
        }
    }

    /// Looks at all situations that wait, and collects those that they lead to.
    fn look_at_all(&mut self, number: usize) {
        self.frontier = std::mem::take(&mut self.next);
        while let Some((place, state)) = self.frontier.pop() {
            if let Err((by, violation)) = self.expand(place, state) {
                self.tally.broken = Some(Break { number: place, by, violation });
                return self.together.end(End::Broken);
            }
            self.looked_at += 1;
            if self.looked_at.is_multiple_of(LOOK_AT_THE_CLOCK_EVERY) {
                if self.together.is_over() {
                    return;
                }
                if self.deadline.is_some_and(|deadline| Instant::now() > deadline) {
                    return self.together.end(End::OutOfTime);
                }
                if self.is_divided {
                    self.together.note_waiting(number, self.frontier.len() + self.next.len());
                    self.goes_deep = self.together.waiting() > self.limits.waiting_max;
                    self.tally.went_deep |= self.goes_deep;
                }
            }
        }
        self.machines.borrow_mut().age();
    }

    fn expand(&mut self, number: u32, state: State<Memo>) -> Result<(), (Option<u16>, Violation)> {
        let mut moves = std::mem::take(&mut self.moves);
        state.moves(&mut moves);
        if moves.at_rest {
            self.tally.rests += 1;
            state.judge_rest(&mut self.court).map_err(|violation| (None, violation))?;
        }
        let last = moves.list.len().saturating_sub(1);
        for (by, what) in moves.list.iter().copied().enumerate().take(last) {
            self.go(number, by as u16, what, state.clone())?;
        }
        if let Some(what) = moves.list.last() {
            self.go(number, last as u16, *what, state)?;
        }
        self.moves = moves;
        Ok(())
    }

    /// Makes a move in a situation, or in a copy of it.
    fn go(
        &mut self,
        from: u32,
        by: u16,
        what: Move,
        mut state: State<Memo>,
    ) -> Result<(), (Option<u16>, Violation)> {
        self.tally.transitions += 1;
        state.try_make(what, &mut self.court).map_err(|violation| (Some(by), violation))?;
        if self.visited.insert(state.fingerprint(self.scope)) {
            let number = self.keep_way(from, by);
            let waiting = if self.goes_deep { &mut self.frontier } else { &mut self.next };
            waiting.push((number, state));
        }
        Ok(())
    }

    /// Keeps how a situation was reached, if that is wanted, and returns its number.
    fn keep_way(&mut self, from: u32, by: u16) -> u32 {
        if self.limits.keeps_ways {
            self.tally.ways.push(Way { from, by });
        }
        self.tally.ways.len().saturating_sub(1) as u32
    }

    fn tally(self) -> Tally {
        let machines = self.machines.borrow();
        Tally {
            steps: self.court.steps,
            kinds: self.court.kinds,
            machines: machines.met(),
            reactions: machines.worked(),
            writes: self.court.writes(),
            reached: machines.reached(),
            ..self.tally
        }
    }
}
