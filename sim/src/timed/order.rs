//! Deliveries by priorities, which change a few times: probabilistic concurrency testing.
//!
//! Every watch, and the answers of every process, is a queue with a priority. What comes from a queue with a low one
//! waits until nothing else is about to happen. A bug that needs d deliveries to be late, each behind certain others, is
//! found with d priorities and changes that happen to be right, which is likelier than that all waits happen to be.
//!
//! Source: Burckhardt et al., "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs", ASPLOS 2010.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_sandbox_core::id::Kind;
use agent_sandbox_core::time::Mono;

use super::{PLACES, Planned, What};
use crate::choices::Choices;
use crate::step::Step;
use crate::tape::{Site, Topic};

/// How many queues a process has: one for each watch, and one for answers.
const QUEUES: usize = Kind::ALL.len() + 1;

/// Priorities below this one come after everything that is no delivery.
const REST: u32 = 4;

/// How many priorities there are in the beginning.
const PRIORITIES: u32 = 8;

/// How many changes a tape may name. More of them are the business of a plan.
///
/// Source: three times what the engine draws at most.
pub(super) const CHANGES_OF_TAPE: u8 = 9;

/// The priorities of a run, and what waits because of them.
#[derive(Clone, Debug)]
pub(super) struct Order {
    /// Of each process's queues, zero being the highest.
    priorities: [[u32; QUEUES]; PLACES as usize],
    /// The numbers of the deliveries at which the queue that is served falls to the lowest priority.
    changes: Vec<u32>,
    delivered: u32,
    lowest: u32,
    /// What is about to happen within this time goes first.
    horizon: Duration,
    /// What waits, in the order in which it may go.
    waiting: BTreeMap<(u32, u64), What>,
}

impl Order {
    /// Draws priorities, and when they change. The harmless choice is that nothing waits.
    pub(super) fn draw(changes: u8, choices: &mut Choices) -> Self {
        choices.about(|| Site::new(Topic::Other, "order"));
        let mut priorities = [[0; QUEUES]; PLACES as usize];
        for priority in priorities.iter_mut().flatten() {
            *priority = choices.below(PRIORITIES);
        }
        let within = *choices.pick(&[50, 200, 1000]);
        let horizon = Duration::from_millis(*choices.pick(&[100, 10, 1000]));
        let changes = (0..changes).map(|_| choices.below(within)).collect();
        Self { priorities, changes, delivered: 0, lowest: PRIORITIES, horizon, waiting: BTreeMap::new() }
    }

    /// Returns whether a delivery that is due has to wait; then it does.
    pub(super) fn holds(&mut self, planned: Planned, process: u8, queue: usize) -> bool {
        self.delivered += 1;
        let priority = &mut self.priorities[usize::from(process)][queue];
        if self.changes.contains(&self.delivered) {
            *priority = self.lowest;
            self.lowest += 1;
        }
        let priority = *priority;
        if priority >= REST {
            self.waiting.insert((priority, planned.number), planned.what);
        }
        priority >= REST
    }

    /// Returns what has waited and may go, when this is the moment for which anything else is planned next.
    pub(super) fn release(&mut self, clock: Mono, next: Option<Mono>) -> Option<What> {
        if next.is_some_and(|next| next <= clock + self.horizon) {
            return None;
        }
        self.waiting.pop_first().map(|(_, what)| what)
    }

    /// Returns whether anything waits.
    pub(super) fn holds_any(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Returns everything that waits, first things first.
    pub(super) fn all(self) -> impl Iterator<Item = What> {
        self.waiting.into_values()
    }
}

/// Returns the queue that serves what a step delivers to a process; `process` tells whose answer it is.
pub(super) fn queue(
    step: Step,
    process: impl Fn(crate::process::RequestId) -> Option<u8>,
) -> Option<(u8, usize)> {
    if let Step::Deliver(process, kind) = step {
        return Some((process, kind.index()));
    }
    let Step::Answer(request) = step else { return None };
    Some((process(request)?, Kind::ALL.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tape::{Choice, Tape};

    /// Returns choices that are these numbers.
    fn played(draws: &[u64]) -> Choices {
        let mut tape = Tape::default();
        for (draw, value) in (0..).zip(draws) {
            tape.set(Choice { site: Site::new(Topic::Other, "order"), nth: 0, draw }, *value);
        }
        Choices::from_tape(tape)
    }

    fn planned(number: u64) -> Planned {
        Planned { at: Mono::default(), number, what: What::Elect }
    }

    #[test]
    fn zeros_let_everything_go_at_once() {
        let mut order = Order::draw(3, &mut played(&[]));
        assert!((0..100).all(|number| !order.holds(planned(number), 0, (number % 9) as usize)));
    }

    #[test]
    fn what_waits_goes_by_priority_when_nothing_else_is_near() {
        let mut order = Order::draw(0, &mut played(&[7, 4]));
        assert!(order.holds(Planned { what: What::TakeOver(0), ..planned(1) }, 0, 0));
        assert!(order.holds(Planned { what: What::TakeOver(1), ..planned(2) }, 0, 1));
        let soon = Mono::default() + Duration::from_millis(100);
        assert!(order.release(Mono::default(), Some(soon)).is_none());
        let late = Mono::default() + Duration::from_millis(101);
        let went = [order.release(Mono::default(), Some(late)), order.release(Mono::default(), None)];
        assert!(matches!(went, [Some(What::TakeOver(1)), Some(What::TakeOver(0))]), "{went:?}");
    }

    #[test]
    fn a_queue_falls_at_its_change() {
        // Eighteen priorities, two limits, then the first change at the second delivery.
        let mut tape = vec![0; QUEUES * usize::from(PLACES)];
        tape.extend([0, 0, 2]);
        let mut order = Order::draw(1, &mut played(&tape));
        assert_eq!([1, 2, 3].map(|number| order.holds(planned(number), 0, 0)), [false, true, true]);
    }
}
