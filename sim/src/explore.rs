//! Every interleaving of one small world, breadth first, so that the story of a violation is the shortest.

mod fingerprints;
mod memo;
mod scope;
mod state;

use std::time::{Duration, Instant};

use agent_sandbox_core::machine::Machine;

use self::fingerprints::{Entry, Fingerprints};
use self::memo::{Machines, Memo};
pub use self::scope::Scope;
use self::state::{Court, Moves, State};
use crate::api_server::Numbering;
use crate::checkers::{Checkers, Violation};
use crate::run::Observer;
use crate::story::Story;

/// What a search found.
#[derive(Debug)]
pub struct Report {
    /// Whether every situation was visited.
    pub closed: bool,
    /// Different situations.
    pub states: u32,
    /// Moves made.
    pub transitions: u64,
    /// How many moves the furthest situation is away from the first.
    pub depth: u32,
    /// How long it took.
    pub elapsed: Duration,
    /// Bytes of the visited set and of what tells how each situation was reached.
    pub bytes_visited: usize,
    /// Most situations that were waiting to be looked at.
    pub frontier_max: usize,
    /// Different situations of the machine.
    pub machines: u64,
    /// How often a machine had to work.
    pub reactions: u64,
    /// Situations in which nothing was left to do.
    pub rests: u32,
    /// Branches of the rules that were taken, as in [`Machine::reached`].
    pub reached: u64,
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
}

/// Searches a small world until everything was visited, something is broken, or the time is up.
pub fn explore(scope: &Scope, budget: Duration) -> Report {
    let begin = Instant::now();
    let machines = Machines::new(scope.config(), scope::FAR, Numbering::ByState.version_mask());
    let mut search = Search {
        scope,
        court: Court::new(forgetful(scope), None),
        visited: Fingerprints::default(),
        ways: Vec::new(),
        frontier: Vec::new(),
        next: Vec::new(),
        moves: Moves::default(),
        transitions: 0,
        rests: 0,
    };
    let first = State::first(scope, Numbering::ByState, machines.clone(), &mut search.court);
    let first =
        first.unwrap_or_else(|violation| unreachable!("the first situation is broken: {violation:?}"));
    search.visited.insert(first.fingerprint(scope), 0);
    search.ways.push(Way { from: 0, by: 0 });
    search.next.push((0, first));
    let (mut depth, mut frontier_max, mut broken) = (0, 0, None);
    let mut closed = true;
    while !search.next.is_empty() && broken.is_none() {
        search.frontier = std::mem::take(&mut search.next);
        frontier_max = frontier_max.max(search.frontier.len());
        depth += 1;
        while let Some((number, state)) = search.frontier.pop() {
            if let Err((by, violation)) = search.expand(number, state) {
                broken = Some((number, by, violation));
                break;
            }
            if search.transitions % 256 < 8 && begin.elapsed() > budget {
                closed = false;
                break;
            }
        }
        if !closed {
            break;
        }
    }
    let found = broken.map(|(number, by, violation)| tell(scope, &search.ways, number, by, violation));
    let machines = machines.borrow();
    Report {
        closed: closed && found.is_none(),
        states: search.visited.len(),
        transitions: search.transitions,
        depth: depth - 1,
        elapsed: begin.elapsed(),
        bytes_visited: search.visited.bytes() + search.ways.capacity() * size_of::<Way>(),
        frontier_max,
        machines: machines.met(),
        reactions: machines.worked(),
        rests: search.rests,
        reached: machines.reached(),
        found,
    }
}

impl Search<'_> {
    fn expand(&mut self, number: u32, state: State<Memo>) -> Result<(), (Option<u16>, Violation)> {
        let mut moves = std::mem::take(&mut self.moves);
        state.moves(&mut moves);
        if moves.at_rest {
            self.rests += 1;
            state.judge_rest(&mut self.court).map_err(|violation| (None, violation))?;
        }
        for (by, what) in (0..).zip(moves.list.iter().copied()) {
            let mut next = state.clone();
            self.transitions += 1;
            next.make(what, &mut self.court).map_err(|violation| (Some(by), violation))?;
            let place = self.visited.len();
            if self.visited.insert(next.fingerprint(self.scope), place) == Entry::New {
                self.ways.push(Way { from: number, by });
                self.next.push((place, next));
            }
        }
        self.moves = moves;
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
    let mut lines: Vec<String> = story.lines().map(str::to_owned).collect();
    if replayed.as_ref().err().map(|violation| violation.property) != Some(violation.property) {
        lines.push(format!("REPLAY DIFFERS: {replayed:?}"));
    }
    Found { violation, moves: by.len(), story: lines }
}

fn replay(scope: &Scope, by: &[u16], observer: &mut dyn Observer<Machine>) -> Result<(), Violation> {
    let mut court = Court::new(forgetful(scope), Some(observer));
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
