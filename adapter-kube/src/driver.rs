//! The loop: the one owner of the machine.
//!
//! The law: one `handle_*`, then drain. Each action becomes one task, and comes back as one event.

use std::sync::Arc;

use agent_sandbox_core::action::Action;
use agent_sandbox_core::config::Config;
use agent_sandbox_core::event::{Event, Outcome};
use agent_sandbox_core::id::ActionId;
use agent_sandbox_core::machine::Machine;
use agent_sandbox_core::time::Now;
use agent_sandbox_core::wire::Sharer;
use tokio::sync::{mpsc, watch};
use tokio::time::{Duration, Instant, sleep_until, timeout_at};
use tracing::{info, warn};

use crate::apply::Applier;
use crate::clock::Clock;
use crate::health::Health;
use crate::metrics::{EventName, Metrics};
use crate::record::Recorder;

/// The driver wakes up at least so often, to show that it is alive.
const TICK: Duration = Duration::from_secs(5);

/// How long the writes under way are waited for at the end.
///
/// Source: well below the 30 s that Kubernetes gives a Pod to stop; most answers come within one.
const GRACE: Duration = Duration::from_secs(5);

/// Drives the machine.
pub struct Driver {
    machine: Machine,
    /// What the objects of answers share; a watch has its own.
    sharer: Sharer,
    clock: Clock,
    applier: Arc<Applier>,
    events: mpsc::Receiver<Event>,
    answers: mpsc::UnboundedReceiver<(ActionId, Outcome)>,
    answered: mpsc::UnboundedSender<(ActionId, Outcome)>,
    in_flight: usize,
    recorder: Option<Recorder>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

/// Who looks on. None of them changes what is decided.
pub struct Observers {
    /// Writes the trace.
    pub recorder: Option<Recorder>,
    /// Learns that the loop turns.
    pub health: Arc<Health>,
}

/// How the driver has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Every action was answered: nothing of ours will happen any more.
    Clean,
    /// Some were not: their writes may still happen.
    Unanswered(usize),
}

impl Driver {
    /// Returns a driver for a new machine that starts at `started`.
    pub fn new(
        config: Config,
        started: Now,
        applier: Applier,
        events: mpsc::Receiver<Event>,
        observers: Observers,
    ) -> Self {
        let (answered, answers) = mpsc::unbounded_channel();
        Self {
            machine: Machine::new(config, started),
            sharer: Sharer::default(),
            clock: applier.clock,
            metrics: applier.metrics.clone(),
            applier: Arc::new(applier),
            events,
            answers,
            answered,
            in_flight: 0,
            recorder: observers.recorder,
            health: observers.health,
        }
    }

    /// Runs until `stop` says so, then waits a little for the actions under way.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Stopped {
        while !*stop.borrow() {
            let wake = self.wake_at();
            let event = tokio::select! {
                biased;
                _ = stop.changed() => break,
                // Answers first: they say what the watch will show, only earlier.
                Some((id, outcome)) = self.answers.recv() => {
                    self.in_flight -= 1;
                    Some(Event::ActionDone { id, outcome })
                }
                () = sleep_until(wake), if wake <= Instant::now() => None,
                Some(event) = self.events.recv() => Some(event),
                () = sleep_until(wake) => None,
            };
            self.step(event);
        }
        self.drain().await
    }

    /// Hands one fact to the machine and starts what it asks for.
    fn step(&mut self, mut event: Option<Event>) {
        let now = self.clock.now();
        self.health.tick(now.mono);
        if event.is_none() && !self.is_due(now) {
            return;
        }
        if let Some(Event::ActionDone { outcome: Outcome::Done(object), .. }) = &mut event {
            self.sharer.share(object);
        }
        let name = event.as_ref().map(EventName::from);
        let mut page = self.recorder.as_ref().map(|recorder| recorder.open(now, event.as_ref()));
        match event {
            Some(event) => self.machine.handle_event(event, now),
            None => self.machine.handle_timeout(now),
        }
        let mut actions = Vec::new();
        while let Some(action) = self.machine.poll_action() {
            page.iter_mut().for_each(|page| page.note(&action));
            actions.push(action);
        }
        drop(page);
        self.metrics.stepped(name, self.clock.mono().since(now.mono));
        actions.into_iter().for_each(|action| self.start(action));
    }

    fn is_due(&self, now: Now) -> bool {
        self.machine.poll_timeout().is_some_and(|(at, _)| at <= now.mono)
    }

    fn wake_at(&self) -> Instant {
        let tick = Instant::now() + TICK;
        self.machine.poll_timeout().map_or(tick, |(at, _)| self.clock.instant(at).min(tick))
    }

    fn start(&mut self, action: Action) {
        self.in_flight += 1;
        self.metrics.started(action.intent);
        let applier = self.applier.clone();
        let answer = Answer { id: action.id, outcome: Outcome::Unknown, to: self.answered.clone() };
        tokio::spawn(async move {
            let mut answer = answer;
            answer.outcome = applier.apply(&action).await;
        });
    }

    async fn drain(mut self) -> Stopped {
        let until = Instant::now() + GRACE;
        info!(in_flight = self.in_flight, "stopping: no new actions");
        while self.in_flight > 0 {
            let Ok(Some(_)) = timeout_at(until, self.answers.recv()).await else {
                warn!(in_flight = self.in_flight, "stopping: some actions are not answered");
                return Stopped::Unanswered(self.in_flight);
            };
            self.in_flight -= 1;
        }
        Stopped::Clean
    }
}

/// The answer to one action, sent when it is dropped: exactly once, whatever becomes of the task.
struct Answer {
    id: ActionId,
    outcome: Outcome,
    to: mpsc::UnboundedSender<(ActionId, Outcome)>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        let outcome = std::mem::replace(&mut self.outcome, Outcome::Unknown);
        // Nobody listens any more when the process ends; then nobody needs the answer.
        let _ = self.to.send((self.id, outcome));
    }
}
