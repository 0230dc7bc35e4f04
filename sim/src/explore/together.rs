//! What the workers of a search share: what was visited, and how far they are.

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex, PoisonError};

use super::visited::Visited;

/// How a search ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Closed,
    OutOfTime,
    Broken,
}

/// What all workers see. Situations stay with the worker that was the first to come to them.
#[derive(Debug)]
pub(super) struct Together {
    pub(super) visited: Visited,
    /// How many situations wait at each worker.
    waiting: Vec<AtomicUsize>,
    barrier: Barrier,
    is_over: AtomicBool,
    end: Mutex<Option<End>>,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Together {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            visited: Visited::default(),
            waiting: std::iter::repeat_with(AtomicUsize::default).take(workers).collect(),
            barrier: Barrier::new(workers),
            is_over: AtomicBool::new(false),
            end: Mutex::new(None),
            panic: Mutex::new(None),
        }
    }

    pub(super) fn workers(&self) -> usize {
        self.waiting.len()
    }

    /// Says that so many situations wait at a worker.
    pub(super) fn note_waiting(&self, worker: usize, count: usize) {
        self.waiting[worker].store(count, Ordering::Relaxed);
    }

    /// Returns how many situations wait at all workers.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// Waits until all workers are at the end of a depth, and returns how many situations wait at the next; none if the
    /// search is over.
    ///
    /// All workers are told the same, so that none waits for one that is gone: nobody goes on, and so nobody ends the
    /// search, before all have looked.
    pub(super) fn meet(&self, worker: usize, count: usize) -> usize {
        self.note_waiting(worker, count);
        self.barrier.wait();
        let waiting = if self.is_over() { 0 } else { self.waiting() };
        self.barrier.wait();
        waiting
    }

    /// Ends the search for all workers. The first reason counts, but for a violation.
    pub(super) fn end(&self, end: End) {
        let mut known = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() || end == End::Broken {
            *known = Some(end);
        }
        self.is_over.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Returns how the search has ended.
    pub(super) fn ended(&self) -> End {
        self.end.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or(End::Closed)
    }

    /// Keeps a panic until all workers are done: whoever waits at the barrier waits for all.
    pub(super) fn keep_panic(&self, panic: Box<dyn Any + Send>) {
        self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
        self.end(End::OutOfTime);
    }

    pub(super) fn panic(&self) -> Option<Box<dyn Any + Send>> {
        self.panic.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
