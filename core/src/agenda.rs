//! What to look at next: the most urgent first, in the order of arrival among equals.
//!
//! An entry names a subject, never a decision. What to do is decided when its turn comes, from the view of that moment.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::id::{Key, Kind, Uid};
use crate::rules::RuleId;
use crate::shared::Shared;
use crate::time::Mono;

/// Who waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    /// A waiting claim.
    Claim,
    /// A pool that is not full.
    Refill,
    /// Nobody: figures, labels, clean-up.
    Background,
}

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Item {
    /// Run this rule on this object.
    Rule(RuleId, Uid),
    /// Read this name from the server: a write was refused because our view of it is old.
    Look(Kind, Key),
    /// Repeat the write to this object, whose answer was lost.
    RepeatWrite(Uid),
    /// Repeat the create of this name, whose answer was lost.
    RepeatCreate(Kind, Key),
    /// Write the oldest waiting Kubernetes Event.
    Notice,
}

/// Why a machine wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimeoutReason {
    /// A claim has waited long enough for a member that is starting.
    Grace,
    /// Bad news was held back long enough.
    Settle,
    /// A pool's status may be written again.
    StatusInterval,
    /// An action failed and may be tried again.
    Backoff,
    /// An answer was lost and the write may be repeated, or can no longer take effect.
    Repeat,
}

/// Items by urgency, each once, and those that wait for their time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Agenda {
    /// Shape: (urgency, arrival) → item.
    queue: Shared<BTreeMap<(Urgency, u64), Item>>,
    places: Shared<BTreeMap<Item, (Urgency, u64)>>,
    arrivals: u64,
    timers: Shared<BTreeMap<Item, (Mono, TimeoutReason)>>,
    due: Shared<BTreeSet<(Mono, Item)>>,
    turns: u32,
}

/// Every this many turns, the least urgent item is looked at first, so that background work cannot starve.
const BACKGROUND_SHARE: u32 = 8;

impl Agenda {
    /// Adds an item, or makes it more urgent.
    pub(crate) fn add(&mut self, item: Item, urgency: Urgency) {
        if let Some(&(known, arrival)) = self.places.get(&item) {
            if known <= urgency {
                return;
            }
            self.queue.remove(&(known, arrival));
        }
        let arrival = self.arrivals;
        self.arrivals += 1;
        self.places.insert(item.clone(), (urgency, arrival));
        self.queue.insert((urgency, arrival), item);
    }

    /// Takes the next item.
    pub(crate) fn next(&mut self) -> Option<(Item, Urgency)> {
        let owed = if self.turns >= BACKGROUND_SHARE {
            self.queue.range((Urgency::Background, 0)..).next()
        } else {
            None
        };
        let Some((&(urgency, arrival), _)) = owed.or_else(|| self.queue.first_key_value()) else {
            // Nobody is kept waiting, so nobody is owed a turn.
            self.turns = 0;
            return None;
        };
        let item = self.queue.remove(&(urgency, arrival))?;
        self.places.remove(&item);
        Some((item, urgency))
    }

    /// Notes that an action of this urgency was handed out.
    pub(crate) fn took(&mut self, urgency: Urgency) {
        self.turns = if urgency == Urgency::Background { 0 } else { self.turns.saturating_add(1) };
    }

    /// Wakes an item at a time; replaces its earlier timer.
    pub(crate) fn arm(&mut self, item: Item, at: Mono, reason: TimeoutReason) {
        self.disarm(&item);
        self.due.insert((at, item.clone()));
        self.timers.insert(item, (at, reason));
    }

    /// Takes an item's timer away.
    pub(crate) fn disarm(&mut self, item: &Item) {
        if let Some((at, _)) = self.timers.remove(item) {
            self.due.remove(&(at, item.clone()));
        }
    }

    /// Takes an item whose time has come.
    pub(crate) fn due(&mut self, now: Mono) -> Option<Item> {
        let (_, item) = self.due.first().filter(|(at, _)| *at <= now)?.clone();
        self.disarm(&item);
        Some(item)
    }

    /// Returns the earliest timer.
    pub(crate) fn timeout(&self) -> Option<(Mono, TimeoutReason)> {
        let (at, item) = self.due.first()?;
        Some((*at, self.timers.get(item)?.1))
    }

    /// Returns every timer, earliest first.
    pub(crate) fn timers(&self) -> impl Iterator<Item = &(Mono, Item)> {
        self.due.iter()
    }

    /// Returns what is to be looked at, in order.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Item> {
        self.queue.values()
    }

    /// Forgets what is to be looked at, and all timers.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
