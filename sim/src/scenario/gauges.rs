//! What an onlooker of a run reads off over time: how many claims wait, how many members are ready, what runs.

use std::time::Duration;

use agent_sandbox_core::id::Kind;
use agent_sandbox_core::names::READY;
use agent_sandbox_core::object::{Object, OwnerKind, Truth};
use agent_sandbox_core::time::Mono;
use serde::Serialize;

use crate::api_server::Commit;
use crate::controller::Controller;
use crate::run::Observer;
use crate::step::{Fact, Step};
use crate::world::World;

/// How many intervals a run is divided into.
pub const INTERVALS: usize = 60;

/// What was counted in one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Interval {
    /// How many claims waited, on average.
    pub waiting: f64,
    /// How many waited at the worst moment.
    pub waiting_most: f64,
    /// How many members were ready to be taken, on average.
    pub ready: f64,
    /// How many Pods there were, on average.
    pub pods: f64,
    /// How many claims became ready with a member.
    pub warm: f64,
    /// How many became ready with a sandbox of their own.
    pub cold: f64,
}

/// The gauges of one run.
#[derive(Clone, Debug)]
pub struct Gauges {
    length: Duration,
    last: Mono,
    intervals: Vec<Interval>,
    waiting: i64,
    ready: i64,
    pods: i64,
    in_use: i64,
    /// **Unit**: Pods times seconds.
    idle_seconds: f64,
    used_seconds: f64,
}

impl Gauges {
    /// Returns gauges that are read until a moment.
    pub fn until(duration: Duration) -> Self {
        Self {
            length: duration / INTERVALS as u32,
            last: Mono::default(),
            intervals: vec![Interval::default(); INTERVALS],
            waiting: 0,
            ready: 0,
            pods: 0,
            in_use: 0,
            idle_seconds: 0.0,
            used_seconds: 0.0,
        }
    }

    /// Returns what was counted, interval by interval.
    pub fn intervals(&self) -> &[Interval] {
        &self.intervals
    }

    /// Returns how many hours Pods waited for a claim, all Pods added up, and how many they served one.
    pub fn pod_hours(&self) -> (f64, f64) {
        (self.idle_seconds / 3600.0, self.used_seconds / 3600.0)
    }

    /// Adds what stood on the gauges until a moment.
    fn advance(&mut self, to: Mono) {
        let end = Mono::default() + self.length * INTERVALS as u32;
        let to = to.min(end);
        while self.last < to {
            let place = (self.last.micros() as u128 / self.length.as_micros().max(1)) as usize;
            let Some(interval) = self.intervals.get_mut(place) else { break };
            let next = (Mono::default() + self.length * (place as u32 + 1)).min(to);
            let seconds = next.since(self.last).as_secs_f64();
            let part = seconds / self.length.as_secs_f64();
            interval.waiting += part * self.waiting as f64;
            interval.waiting_most = interval.waiting_most.max(self.waiting as f64);
            interval.ready += part * self.ready as f64;
            interval.pods += part * self.pods as f64;
            self.used_seconds += seconds * self.in_use as f64;
            self.idle_seconds += seconds * (self.pods - self.in_use).max(0) as f64;
            self.last = next;
        }
    }

    fn on_commit(&mut self, at: Mono, commit: &Commit) {
        let (old, new) = (commit.old.as_ref(), commit.new.as_ref());
        let change =
            |what: fn(&Object) -> bool| i64::from(new.is_some_and(what)) - i64::from(old.is_some_and(what));
        match commit.object().kind() {
            Kind::Claim => {
                let served = change(is_served) == 1;
                self.waiting += change(is_waiting);
                if let (true, Some(Object::Claim(claim))) = (served, new) {
                    let place = (at.micros() as u128 / self.length.as_micros().max(1)) as usize;
                    if let Some(interval) = self.intervals.get_mut(place) {
                        let own =
                            claim.status.sandbox.as_ref().is_some_and(|it| it.name == claim.meta.key.name);
                        *(if own { &mut interval.cold } else { &mut interval.warm }) += 1.0;
                    }
                }
            }
            Kind::Sandbox => {
                self.ready += change(is_ready_member);
                self.in_use += change(is_in_use);
            }
            Kind::Pod => self.pods += change(|_| true),
            Kind::Pool | Kind::Template | Kind::Service | Kind::VolumeClaim | Kind::NetworkPolicy => {}
        }
    }
}

impl<C: Controller> Observer<C> for Gauges {
    fn on_step(&mut self, at: Mono, _step: Step, facts: &[Fact], _world: &World<C>) {
        self.advance(at);
        for fact in facts {
            if let Fact::Committed(commit) = fact {
                self.on_commit(at, commit);
            }
        }
    }
}

fn is_served(object: &Object) -> bool {
    object.as_claim().is_some_and(|claim| claim.status.is_ready())
}

fn is_waiting(object: &Object) -> bool {
    object.as_claim().is_some_and(|claim| !claim.meta.terminating && !claim.status.is_ready())
}

fn is_owned_by(object: &Object, kind: Kind) -> bool {
    object.meta().owner.as_ref().is_some_and(|owner| owner.kind == OwnerKind::Known(kind))
}

fn is_ready_member(object: &Object) -> bool {
    object.as_sandbox().is_some_and(|sandbox| {
        let ready = sandbox.status.condition(READY).is_some_and(|condition| condition.status == Truth::True);
        ready && !sandbox.meta.terminating && is_owned_by(object, Kind::Pool)
    })
}

fn is_in_use(object: &Object) -> bool {
    is_owned_by(object, Kind::Claim)
}
