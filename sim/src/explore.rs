//! Every interleaving of one small world, breadth first, so that the story of a violation is the shortest.

mod deeds;
mod fingerprints;
mod follow;
mod kinds;
mod memo;
mod moves;
mod scope;
mod shortcut;
mod state;
mod visit;
mod witnesses;

use std::cell::RefCell;
use std::time::{Duration, Instant};

use agent_sandbox_core::machine::Machine;

use self::fingerprints::{Entry, Fingerprints};
pub use self::kinds::Kinds;
use self::memo::{Machines, Memo};
use self::moves::{Move, Moves};
pub use self::scope::Scope;
pub use self::shortcut::Shortcut;
use self::state::{Court, State};
use crate::api_server::Numbering;
use crate::checkers::{Checkers, Violation};
use crate::run::Observer;
use crate::story::Story;

/// What a search found.
#[derive(Debug)]
pub struct Report {
    /// Whether every situation was visited.
    pub closed: bool,
    /// Whether more situations were waiting than there is room for.
    pub is_too_large: bool,
    /// Different situations.
    pub states: u32,
    /// Moves made: each leads from one situation to another, by one step of the world or by several.
    pub transitions: u64,
    /// Steps of the world made.
    pub steps: u64,
    /// How many moves the furthest situation is away from the first.
    pub depth: u32,
    /// How long it took.
    pub elapsed: Duration,
    /// Bytes of the visited set and of what tells how each situation was reached.
    pub bytes_visited: usize,
    /// Most situations that were waiting to be looked at.
    pub frontier_max: usize,
    /// Bytes of a waiting situation, on average, without what it shares with others.
    pub bytes_waiting: usize,
    /// Different situations of the machine.
    pub machines: u64,
    /// How often a machine had to work.
    pub reactions: u64,
    /// How often the API server had to work, and the checkers with it.
    pub writes: u64,
    /// Situations in which nothing was left to do.
    pub rests: u32,
    /// Branches of the rules that were taken, as in [`Machine::reached`].
    pub reached: u64,
    /// Which kinds of step were made.
    pub kinds: Kinds,
    /// What was broken, and the shortest way there.
    pub found: Option<Found>,
}

/// A violation and its story.
#[derive(Debug)]
pub struct Found {
    /// What was broken.
    pub violation: Violation,
    /// How many moves lead there.
    pub moves: usize,
    /// What happened, a sentence a line.
    pub story: Vec<String>,
    /// Whether the same moves break the same property in a world without a memory of machines, and with versions that
    /// are counted. If not, the search is wrong.
    pub is_confirmed: bool,
}

/// How a situation was reached: from which, and by which of its moves.
#[derive(Clone, Copy)]
#[repr(C, packed(2))]
struct Way {
    from: u32,
    by: u16,
}

struct Search<'a> {
    scope: &'a Scope,
    court: Court<'a, Memo>,
    visited: Fingerprints,
    ways: Vec<Way>,
    frontier: Vec<(u32, State<Memo>)>,
    next: Vec<(u32, State<Memo>)>,
    moves: Moves,
    transitions: u64,
    rests: u32,
    depth: u32,
    frontier_max: usize,
    bytes_waiting: usize,
}

/// How a search ends.
enum End {
    Closed,
    OutOfTime,
    OutOfSpace,
    /// In this situation, by this of its moves, or by doing nothing.
    Broken(u32, Option<u16>, Violation),
}

/// Most situations that may wait; with more the search ends, and is not closed.
///
/// Source: with its part of what is shared, one takes up to ten kilobytes, so these take up to ten gigabytes.
const WAITING_MAX: usize = 1_000_000;

/// After how many situations the clock is read.
const LOOK_AT_THE_CLOCK_EVERY: u32 = 64;

/// After so many situations of the machine a new generation of the memory begins, or with the next depth, if that is
/// earlier: two are kept.
///
/// Source: one takes some ten kilobytes, and a search must leave room for others.
const GENERATION_MAX: usize = 75_000;

/// Most writes of which a search remembers what they do; then it forgets all.
///
/// Source: one takes about a kilobyte, and of the worlds that were searched to the end none has a fifth of these.
const WRITES_MAX: usize = 100_000;

/// Searches a small world until everything was visited, something is broken, or the time is up.
///
/// # Panics
/// When the world is broken before anything can happen in it, or too large for the numbers of its API server.
pub fn explore(scope: &Scope, budget: Duration) -> Report {
    search(scope, budget, GENERATION_MAX, WRITES_MAX)
}

fn search(scope: &Scope, budget: Duration, generation_max: usize, writes_max: usize) -> Report {
    let begin = Instant::now();
    let machines = Machines::new(scope, Numbering::ByState.version_mask(), generation_max);
    let mut search = Search {
        scope,
        court: Court::remembering(forgetful(scope), writes_max),
        visited: Fingerprints::default(),
        ways: Vec::new(),
        frontier: Vec::new(),
        next: Vec::new(),
        moves: Moves::default(),
        transitions: 0,
        rests: 0,
        depth: 0,
        frontier_max: 0,
        bytes_waiting: 0,
    };
    let first = State::first(scope, Numbering::ByState, machines.clone(), &mut search.court);
    let first =
        first.unwrap_or_else(|violation| unreachable!("the first situation is broken: {violation:?}"));
    search.visited.insert(first.fingerprint(scope), 0);
    search.ways.push(Way { from: 0, by: 0 });
    search.next.push((0, first));
    let end = search.run(&machines, || begin.elapsed() > budget);
    let elapsed = begin.elapsed();
    let (closed, is_too_large) = (matches!(end, End::Closed), matches!(end, End::OutOfSpace));
    let found = match end {
        End::Broken(number, by, violation) => Some(tell(scope, &search.ways, number, by, violation)),
        End::Closed | End::OutOfTime | End::OutOfSpace => None,
    };
    let machines = machines.borrow();
    Report {
        closed,
        is_too_large,
        states: search.visited.len(),
        transitions: search.transitions,
        steps: search.court.steps,
        depth: search.depth,
        elapsed,
        bytes_visited: search.visited.bytes() + search.ways.capacity() * size_of::<Way>(),
        frontier_max: search.frontier_max,
        bytes_waiting: search.bytes_waiting,
        kinds: search.court.kinds,
        machines: machines.met(),
        reactions: machines.worked(),
        writes: search.court.writes(),
        rests: search.rests,
        reached: machines.reached(),
        found,
    }
}

impl Search<'_> {
    /// Looks at one situation after the other, the nearest first.
    fn run(&mut self, machines: &RefCell<Machines>, is_over: impl Fn() -> bool) -> End {
        let mut looked_at = 0_u32;
        while !self.next.is_empty() {
            self.frontier = std::mem::take(&mut self.next);
            if self.frontier.len() > self.frontier_max {
                self.frontier_max = self.frontier.len();
                let bytes: usize = self.frontier.iter().map(|(_, state)| state.bytes()).sum();
                self.bytes_waiting = bytes / self.frontier.len();
            }
            while let Some((number, state)) = self.frontier.pop() {
                if let Err((by, violation)) = self.expand(number, state) {
                    return End::Broken(number, by, violation);
                }
                looked_at += 1;
                if looked_at.is_multiple_of(LOOK_AT_THE_CLOCK_EVERY) {
                    if is_over() {
                        return End::OutOfTime;
                    }
                    if self.frontier.len() + self.next.len() > WAITING_MAX {
                        return End::OutOfSpace;
                    }
                }
            }
            self.depth += u32::from(!self.next.is_empty());
            machines.borrow_mut().age();
        }
        End::Closed
    }

    fn expand(&mut self, number: u32, state: State<Memo>) -> Result<(), (Option<u16>, Violation)> {
        let mut moves = std::mem::take(&mut self.moves);
        state.moves(&mut moves);
        if moves.at_rest {
            self.rests += 1;
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
        self.transitions += 1;
        state.make(what, &mut self.court).map_err(|violation| (Some(by), violation))?;
        let place = self.visited.len();
        if self.visited.insert(state.fingerprint(self.scope), place) == Entry::New {
            self.ways.push(Way { from, by });
            self.next.push((place, state));
        }
        Ok(())
    }
}

fn forgetful(scope: &Scope) -> Checkers {
    let forgetful = Checkers::of_search().0;
    // A mutant must be found by the harm that it does.
    if scope.mutant.is_some() { forgetful } else { forgetful.and_of_form() }
}

/// Tells the way to a violation, on a world without any of the search's short cuts.
fn tell(scope: &Scope, ways: &[Way], number: u32, last: Option<u16>, violation: Violation) -> Found {
    let mut by = Vec::from_iter(last);
    let mut at = number;
    while at != 0 {
        let way = ways[at as usize];
        by.push(way.by);
        at = way.from;
    }
    by.reverse();
    let mut story = Story::last(usize::MAX);
    let replayed = replay(scope, &by, &mut story);
    let is_confirmed = replayed.err().is_some_and(|replayed| replayed.property == violation.property);
    let lines = story.lines().map(str::to_owned).collect();
    Found { violation, moves: by.len(), story: lines, is_confirmed }
}

fn replay(scope: &Scope, by: &[u16], observer: &mut dyn Observer<Machine>) -> Result<(), Violation> {
    let mut court = Court::watched(forgetful(scope), observer);
    let mut state: State<Machine> = State::first(scope, Numbering::Named, scope.config(), &mut court)?;
    let mut moves = Moves::default();
    for place in by {
        state.moves(&mut moves);
        let Some(what) = moves.list.get(usize::from(*place)) else { return Ok(()) };
        state.make(*what, &mut court)?;
    }
    state.moves(&mut moves);
    if moves.at_rest { state.judge_rest(&mut court) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_with_a_short_memory_finds_the_same_space() {
        let scope = Scope { claims: 1, crashes: 1, ..Scope::small() };
        let figures = |generation_max, writes_max| {
            let report = search(&scope, Duration::MAX, generation_max, writes_max);
            (report.closed, report.states, report.transitions, report.depth, report.rests, report.reached)
        };
        let usual = figures(GENERATION_MAX, WRITES_MAX);
        assert_eq!(usual, figures(100, WRITES_MAX));
        assert_eq!(usual, figures(GENERATION_MAX, 0));
    }
}
