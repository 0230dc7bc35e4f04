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
mod symmetry;
mod together;
#[cfg(test)]
mod twins;
mod visit;
mod visited;
mod witnesses;
mod worker;

use std::time::{Duration, Instant};

use agent_sandbox_core::machine::Machine;

pub use self::kinds::Kinds;
use self::moves::Moves;
pub use self::scope::Scope;
pub use self::shortcut::Shortcut;
use self::state::{Court, State};
use self::together::{End, Together};
use self::worker::{Break, Tally};
use crate::api_server::Numbering;
use crate::checkers::{Checkers, Violation};
use crate::run::Observer;
use crate::story::Story;

/// What a search found.
#[derive(Debug)]
pub struct Report {
    /// Whether every situation was visited.
    pub closed: bool,
    /// Whether so many situations were waiting that the search has gone on depth first: it goes as far, but what it finds
    /// may be nearer than it tells.
    pub went_deep: bool,
    /// What was broken, before its story is known.
    broken: Option<Violation>,
    /// How many workers have searched.
    pub workers: usize,
    /// Different situations.
    pub states: usize,
    /// Moves made: each leads from one situation to another, by one step of the world or by several.
    pub transitions: u64,
    /// Steps of the world made.
    pub steps: u64,
    /// How many moves the furthest situation is away from the first; of those that were looked at breadth first.
    pub depth: u32,
    /// How long it took.
    pub elapsed: Duration,
    /// Bytes of the visited set; after a violation, with what tells how each situation was reached.
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
    pub rests: u64,
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

/// With more situations waiting, those that are found are looked at next, so that hardly any more are added.
///
/// Source: with its part of what is shared, one takes up to ten kilobytes, so these take up to eight gigabytes.
const WAITING_MAX: usize = 800_000;

/// After so many situations of the machine a new generation of the memory begins, or with the next depth, if that is
/// earlier: two are kept.
///
/// Source: one takes some three kilobytes beyond what it shares, so two generations take a gigabyte. With 75,000 a search
/// with a crash works out two fifths more reactions, and takes a sixth longer.
const GENERATION_MAX: usize = 200_000;

/// Most writes of which a search remembers what they do; then it forgets all.
///
/// Source: one takes about a kilobyte, and of the worlds that were searched to the end none has more than 252,000.
const WRITES_MAX: usize = 300_000;

/// What a search may keep.
#[derive(Clone, Copy, Debug)]
struct Limits {
    generation_max: usize,
    writes_max: usize,
    /// At all workers.
    waiting_max: usize,
    /// Whether it is kept how each situation was reached: 6 bytes more each.
    keeps_ways: bool,
}

impl Limits {
    /// Returns what each of some workers may keep.
    const fn of(workers: usize) -> Self {
        Self {
            generation_max: GENERATION_MAX / workers,
            writes_max: WRITES_MAX / workers,
            waiting_max: WAITING_MAX,
            keeps_ways: false,
        }
    }
}

/// Searches a small world until everything was visited, something is broken, or the time is up.
///
/// With several workers, each has a thread and a memory of its own, and all share what was visited. The depth is one for
/// all, so a violation is as near as with one. It is then searched for once more by one worker, who keeps how it came
/// there: so the story is the same whatever the number of workers.
///
/// # Panics
/// When the world is too large for the numbers of its API server; or when one worker does not find again what several have
/// found.
pub fn explore(scope: &Scope, budget: Duration, workers: usize) -> Report {
    let workers = workers.max(1);
    let report = search(scope, Some(budget), Limits::of(workers), workers);
    let Some(broken) = &report.broken else { return report };
    let told = search(scope, None, Limits { keeps_ways: true, ..Limits::of(1) }, 1);
    assert!(told.found.is_some(), "{workers} workers found what one does not: {broken:?}");
    told
}

fn search(scope: &Scope, budget: Option<Duration>, limits: Limits, workers: usize) -> Report {
    let begin = Instant::now();
    let deadline = budget.and_then(|budget| begin.checked_add(budget));
    let together = Together::new(workers);
    let tallies: Vec<Tally> = std::thread::scope(|scoped| {
        let work = |number| worker::work(scope, limits, deadline, &together, number);
        let others: Vec<_> = (1..workers).map(|number| scoped.spawn(move || work(number))).collect();
        let first = work(0);
        let others = others
            .into_iter()
            .map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        std::iter::once(first).chain(others).collect()
    });
    if let Some(panic) = together.panic() {
        std::panic::resume_unwind(panic);
    }
    let elapsed = begin.elapsed();
    let end = together.ended();
    let sum = |of: fn(&Tally) -> u64| tallies.iter().map(of).sum::<u64>();
    let frontier_max = tallies.iter().map(|tally| tally.frontier_max).max().unwrap_or(0);
    let frontier_bytes = sum(|tally| tally.frontier_bytes as u64) as usize;
    let ways = tallies.iter().map(|tally| size_of_val(&*tally.ways)).sum::<usize>();
    let report = Report {
        closed: end == End::Closed,
        went_deep: tallies.iter().any(|tally| tally.went_deep),
        broken: tallies.iter().find_map(|tally| tally.broken.as_ref()).map(|broken| broken.violation.clone()),
        workers,
        states: together.visited.len(),
        transitions: sum(|tally| tally.transitions),
        steps: sum(|tally| tally.steps),
        depth: tallies.iter().map(|tally| tally.depth).max().unwrap_or(0).saturating_sub(1),
        elapsed,
        bytes_visited: together.visited.bytes() + ways,
        frontier_max,
        bytes_waiting: frontier_bytes / frontier_max.max(1),
        machines: sum(|tally| tally.machines),
        reactions: sum(|tally| tally.reactions),
        writes: sum(|tally| tally.writes),
        rests: sum(|tally| tally.rests.into()),
        reached: tallies.iter().fold(0, |reached, tally| reached | tally.reached),
        kinds: tallies.iter().fold(Kinds::default(), |kinds, tally| kinds.and(tally.kinds)),
        found: None,
    };
    let found = tallies.into_iter().find_map(|tally| limits.keeps_ways.then(|| tell(scope, tally)).flatten());
    Report { found, ..report }
}

fn forgetful(scope: &Scope) -> Checkers {
    let forgetful = Checkers::of_search().0;
    // A mutant must be found by the harm that it does.
    if scope.mutant.is_some() { forgetful } else { forgetful.and_of_form() }
}

/// Tells the way to a violation, on a world without any of the search's short cuts.
fn tell(scope: &Scope, tally: Tally) -> Option<Found> {
    let Break { number, by: last, violation } = tally.broken?;
    let mut by = Vec::from_iter(last);
    let mut at = number;
    while at != 0 {
        let way = tally.ways[at as usize];
        by.push(way.by);
        at = way.from;
    }
    by.reverse();
    let mut story = Story::last(usize::MAX);
    let replayed = replay(scope, &by, &mut story);
    let is_confirmed = replayed.err().is_some_and(|replayed| replayed.property == violation.property);
    let lines = story.lines().map(str::to_owned).collect();
    Some(Found { violation, moves: by.len(), story: lines, is_confirmed })
}

fn replay(scope: &Scope, by: &[u16], observer: &mut dyn Observer<Machine>) -> Result<(), Violation> {
    let mut court = Court::watched(forgetful(scope), observer);
    let mut state: State<Machine> = State::first(scope, Numbering::Named, scope.config(), &mut court)?;
    let mut moves = Moves::default();
    for place in by {
        state.moves(&mut moves);
        let Some(what) = moves.list.get(usize::from(*place)) else { return Ok(()) };
        state.try_make(*what, &mut court)?;
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
            let limits = Limits { generation_max, writes_max, ..Limits::of(1) };
            let report = search(&scope, None, limits, 1);
            (report.closed, report.states, report.transitions, report.depth, report.rests, report.reached)
        };
        let usual = figures(GENERATION_MAX, WRITES_MAX);
        assert_eq!(usual, figures(100, WRITES_MAX));
        assert_eq!(usual, figures(GENERATION_MAX, 0));
    }

    #[test]
    fn a_search_with_little_room_visits_as_much_and_finds_as_much() {
        let scope = Scope { claims: 1, crashes: 1, ..Scope::small() };
        let with_room = |waiting_max, scope: &Scope, workers| {
            search(
                scope,
                None,
                Limits { waiting_max, keeps_ways: workers == 1, ..Limits::of(workers) },
                workers,
            )
        };
        let figures = |report: &Report| (report.closed, report.states, report.transitions, report.rests);
        let (wide, narrow) = (with_room(WAITING_MAX, &scope, 1), with_room(50, &scope, 1));
        assert!(!wide.went_deep && narrow.went_deep && narrow.frontier_max < wide.frontier_max);
        assert_eq!(figures(&wide), figures(&narrow));
        assert_eq!(figures(&wide), figures(&with_room(50, &scope, 2)));
        let broken = Scope::of_mutant(agent_sandbox_core::mutant::Mutant::LostAnswerIsFailure);
        let found = with_room(1, &broken, 1).found.expect("a defect");
        assert!(found.is_confirmed, "{found:?}");
    }
}
