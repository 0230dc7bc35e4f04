//! Placeholder until the rules are in: the shape that drivers can rely on.
#![expect(
    clippy::needless_pass_by_value,
    clippy::unused_self,
    missing_docs,
    reason = "replaced by the next commit"
)]

use crate::action::Action;
use crate::config::Config;
use crate::event::Event;
use crate::time::{Mono, Now};

#[derive(Clone, Debug)]
pub struct Machine {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeoutReason {
    Backoff,
}

impl Machine {
    pub fn new(_config: Config, _now: Now) -> Self {
        Self {}
    }
    pub fn handle_event(&mut self, _event: Event, _now: Now) {}
    pub fn handle_timeout(&mut self, _now: Now) {}
    #[must_use]
    pub fn poll_action(&mut self) -> Option<Action> {
        None
    }
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Mono, TimeoutReason)> {
        None
    }
}
