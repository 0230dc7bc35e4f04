//! What to look at next: the most urgent first, in the order of arrival among equals.
//!
//! An entry names a subject, never a decision. What to do is decided when its turn comes, from the view of that moment.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;

use crate::id::{Key, Kind, Uid};
use crate::rules::{RuleId, RuleSet};
use crate::shared::Shared;
use crate::table::Table;
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

/// A name. Few items have one, so that it does not stand in them.
pub(crate) type Slot = Arc<(Kind, Key)>;

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Item {
    /// Run this rule on this object.
    Rule(RuleId, Uid),
    /// Read this name from the server: a write was refused because our view of it is old.
    Look(Slot),
    /// Repeat the write to this object, whose answer was lost.
    RepeatWrite(Uid),
    /// Repeat the create of this name, whose answer was lost.
    RepeatCreate(Slot),
    /// Let a claim, on which nothing could be recorded, stand in its queue again.
    Unbar(Uid),
    /// Write the oldest waiting Kubernetes Event.
    Notice,
}

impl Item {
    /// Returns the item to read a name from the server.
    pub(crate) fn look(kind: Kind, key: Key) -> Self {
        Self::Look((kind, key).into())
    }

    /// Returns the item to repeat the create of a name.
    pub(crate) fn repeat_create(kind: Kind, key: Key) -> Self {
        Self::RepeatCreate((kind, key).into())
    }
}

/// Why a machine wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimeoutReason {
    /// A claim has waited long enough for a member that is starting.
    Grace,
    /// Bad news was held back long enough.
    Settle,
    /// A member has not been ready for long enough, or its Pod ended long enough ago.
    Stuck,
    /// A pool may make another member.
    Refill,
    /// A pool's status may be written again.
    StatusInterval,
    /// A life is over.
    Expiry,
    /// An action failed and may be tried again.
    Backoff,
    /// An answer was lost and the write may be repeated, or can no longer take effect.
    Repeat,
}

impl Urgency {
    /// Every urgency, the highest first, in the order of their discriminants.
    const ALL: [Self; 3] = [Self::Claim, Self::Refill, Self::Background];
}

/// Items by urgency, each once, and those that wait for their time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Agenda {
    waiting: Shared<Waiting>,
    /// What `waiting` is when all is done, shared by all copies.
    nothing: Shared<Waiting>,
    timers: Shared<Timers>,
    turns: u32,
}

/// Items that wait for their turn.
///
/// All rules of an object that are as urgent come together and stand as one: most of what happens makes all rules of a
/// few objects run.
#[derive(Clone, Debug, Default)]
struct Waiting {
    /// Shape: by urgency, in the order of arrival. What became more urgent since stands in two queues, and counts in
    /// the one that `rules` and `others` name.
    queues: [VecDeque<Turn>; 3],
    /// Shape: object → its rules that wait, by urgency. Never without any.
    rules: Table<Uid, [RuleSet; 3]>,
    others: BTreeMap<Item, Urgency>,
}

/// A place in a queue: some rules of one object, or something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Rules(Uid, RuleSet),
    Other(Item),
}

#[derive(Clone, Debug, Default)]
struct Timers {
    by_item: BTreeMap<Item, (Mono, TimeoutReason)>,
    /// Object → its rules that wait. Never without any: most never wait, and every run of rules asks.
    rules: Table<Uid, RuleSet>,
    due: BTreeSet<(Mono, Item)>,
}

/// Every this many turns, the least urgent item is looked at first, so that background work cannot starve.
const BACKGROUND_SHARE: u32 = 8;

/// Room for this many in a queue is kept when all is done; a list of a large cluster makes everything wait at once.
const ROOM_KEPT: usize = 1024;

impl Agenda {
    /// Adds an item, or makes it more urgent.
    pub(crate) fn add(&mut self, item: Item, urgency: Urgency) {
        match item {
            Item::Rule(rule, uid) => {
                let mut by_urgency = [RuleSet::default(); 3];
                by_urgency[urgency as usize] = RuleSet::of(rule);
                self.add_rules(uid, by_urgency);
            }
            Item::Look(..)
            | Item::RepeatWrite(_)
            | Item::RepeatCreate(..)
            | Item::Unbar(_)
            | Item::Notice => {
                if self.waiting.others.get(&item).is_none_or(|known| *known > urgency) {
                    let waiting = &mut *self.waiting;
                    waiting.others.insert(item.clone(), urgency);
                    waiting.queues[urgency as usize].push_back(Turn::Other(item));
                }
            }
        }
    }

    /// Adds rules of one object by their urgency, or makes them more urgent.
    pub(crate) fn add_rules(&mut self, uid: Uid, by_urgency: [RuleSet; 3]) {
        if by_urgency.iter().all(|rules| rules.is_empty()) {
            return;
        }
        let waiting = &mut *self.waiting;
        let known = waiting.rules.get_or_default(uid);
        for (urgency, rules) in by_urgency.into_iter().enumerate() {
            let (as_urgent, less_urgent) = known.split_at_mut(urgency + 1);
            let new = as_urgent.iter().fold(rules, |new, known| new.without(*known));
            if !new.is_empty() {
                less_urgent.iter_mut().for_each(|rules| *rules = rules.without(new));
                as_urgent[urgency] = as_urgent[urgency].with(new);
                waiting.queues[urgency].push_back(Turn::Rules(uid, new));
            }
        }
    }

    /// Takes what comes next.
    pub(crate) fn next(&mut self) -> Option<(Turn, Urgency)> {
        if self.waiting.is_empty() {
            if self.waiting.queues.iter().any(|queue| queue.capacity() > ROOM_KEPT) {
                self.waiting = Shared::default();
            }
            // Nobody is kept waiting, so nobody is owed a turn.
            self.turns = 0;
            return None;
        }
        let owed = if self.turns >= BACKGROUND_SHARE { self.waiting.take(Urgency::Background) } else { None };
        owed.or_else(|| Urgency::ALL.into_iter().find_map(|urgency| self.waiting.take(urgency)))
    }

    /// Gives rules of an object back the turn that was taken for them.
    pub(crate) fn put_back(&mut self, uid: Uid, rules: RuleSet, urgency: Urgency) {
        if rules.is_empty() {
            return;
        }
        let waiting = &mut *self.waiting;
        let known = &mut waiting.rules.get_or_default(uid)[urgency as usize];
        *known = known.with(rules);
        waiting.queues[urgency as usize].push_front(Turn::Rules(uid, rules));
    }

    /// Notes that an action of this urgency was handed out.
    pub(crate) fn took(&mut self, urgency: Urgency) {
        self.turns = if urgency == Urgency::Background { 0 } else { self.turns.saturating_add(1) };
    }

    /// Wakes an item at a time; replaces its earlier timer.
    pub(crate) fn arm(&mut self, item: Item, at: Mono, reason: TimeoutReason) {
        if self.is_armed(&item) && self.timers.by_item.get(&item) == Some(&(at, reason)) {
            return;
        }
        self.disarm(&item);
        if let Item::Rule(rule, uid) = item {
            let rules = self.timers.rules.get_or_default(uid);
            *rules = rules.with(RuleSet::of(rule));
        }
        self.timers.due.insert((at, item.clone()));
        self.timers.by_item.insert(item, (at, reason));
    }

    /// Takes an item's timer away.
    pub(crate) fn disarm(&mut self, item: &Item) {
        if !self.is_armed(item) {
            return;
        }
        let timers = &mut *self.timers;
        if let Some((at, _)) = timers.by_item.remove(item) {
            timers.due.remove(&(at, item.clone()));
        }
        if let Item::Rule(rule, uid) = item
            && let Some(rules) = timers.rules.get_mut(uid)
        {
            *rules = rules.without(RuleSet::of(*rule));
            if rules.is_empty() {
                timers.rules.remove(uid);
            }
        }
    }

    fn is_armed(&self, item: &Item) -> bool {
        match item {
            Item::Rule(rule, uid) => !self.armed(*uid).and(RuleSet::of(*rule)).is_empty(),
            Item::Look(..)
            | Item::RepeatWrite(_)
            | Item::RepeatCreate(..)
            | Item::Unbar(_)
            | Item::Notice => self.timers.by_item.contains_key(item),
        }
    }

    /// Returns the rules of an object that wait for their time.
    pub(crate) fn armed(&self, uid: Uid) -> RuleSet {
        self.timers.rules.get(&uid).copied().unwrap_or_default()
    }

    /// Takes an item whose time has come.
    pub(crate) fn due(&mut self, now: Mono) -> Option<Item> {
        let (_, item) = self.timers.due.first().filter(|(at, _)| *at <= now)?.clone();
        self.disarm(&item);
        Some(item)
    }

    /// Returns the earliest timer.
    pub(crate) fn timeout(&self) -> Option<(Mono, TimeoutReason)> {
        let (at, item) = self.timers.due.first()?;
        Some((*at, self.timers.by_item.get(item)?.1))
    }

    /// Returns every timer, earliest first.
    pub(crate) fn timers(&self) -> impl Iterator<Item = &(Mono, Item)> {
        self.timers.due.iter()
    }

    /// Returns what is to be looked at, in order.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = Item> {
        Urgency::ALL.into_iter().flat_map(|urgency| self.waiting.of(urgency))
    }

    /// Gives back the room that is kept for what comes next.
    pub(crate) fn shrink(&mut self) {
        if self.waiting.is_empty() {
            self.waiting = self.nothing.clone();
        }
    }

    /// Forgets what is to be looked at, and all timers.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.others.is_empty()
    }

    /// Takes what waits longest with this urgency.
    fn take(&mut self, urgency: Urgency) -> Option<(Turn, Urgency)> {
        while let Some(turn) = self.queues[urgency as usize].pop_front() {
            match turn {
                Turn::Rules(uid, rules) => {
                    let Some(waiting) = self.rules.get_mut(&uid) else { continue };
                    let rules = waiting[urgency as usize].and(rules);
                    waiting[urgency as usize] = waiting[urgency as usize].without(rules);
                    if waiting.iter().all(|rules| rules.is_empty()) {
                        self.rules.remove(&uid);
                    }
                    if !rules.is_empty() {
                        return Some((Turn::Rules(uid, rules), urgency));
                    }
                }
                Turn::Other(item) if self.others.get(&item) == Some(&urgency) => {
                    self.others.remove(&item);
                    return Some((Turn::Other(item), urgency));
                }
                Turn::Other(_) => {}
            }
        }
        None
    }

    /// Returns what waits with this urgency, in order.
    fn of(&self, urgency: Urgency) -> impl Iterator<Item = Item> {
        self.queues[urgency as usize].iter().flat_map(move |turn| {
            let (uid, rules, other) = match turn {
                Turn::Rules(uid, rules) => {
                    let waiting = self.rules.get(uid).map_or(RuleSet::default(), |all| all[urgency as usize]);
                    (*uid, waiting.and(*rules), None)
                }
                Turn::Other(item) => {
                    let is_here = self.others.get(item) == Some(&urgency);
                    (Uid::UNSET, RuleSet::default(), is_here.then(|| item.clone()))
                }
            };
            rules.iter().map(move |rule| Item::Rule(rule, uid)).chain(other)
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const A: Uid = Uid::from_bits(1);
    const B: Uid = Uid::from_bits(2);

    fn taken(agenda: &mut Agenda) -> Vec<Turn> {
        core::iter::from_fn(|| agenda.next().map(|next| next.0)).collect()
    }

    #[test]
    fn the_rules_of_an_object_run_one_after_the_other_and_again_behind_those_who_wait() {
        let mut agenda = Agenda::default();
        let trim = RuleSet::of(RuleId::Trim);
        let both = RuleSet::of(RuleId::Replenish).with(trim);
        agenda.add_rules(A, [RuleSet::default(), both, RuleSet::default()]);
        agenda.add(Item::RepeatWrite(B), Urgency::Refill);
        assert_eq!(agenda.next(), Some((Turn::Rules(A, both), Urgency::Refill)));
        agenda.put_back(A, trim, Urgency::Refill);
        agenda.add(Item::Rule(RuleId::Replenish, A), Urgency::Refill);
        agenda.add(Item::Rule(RuleId::Trim, A), Urgency::Refill);
        let rest: Vec<Item> = agenda.waiting().collect();
        assert_eq!(
            rest,
            [Item::Rule(RuleId::Trim, A), Item::RepeatWrite(B), Item::Rule(RuleId::Replenish, A)]
        );
        let again = Turn::Rules(A, RuleSet::of(RuleId::Replenish));
        assert_eq!(taken(&mut agenda), [Turn::Rules(A, trim), Turn::Other(Item::RepeatWrite(B)), again]);
    }

    /// INV-32, BUG-133.
    #[test]
    fn what_nobody_waits_for_comes_after_eight_turns_of_others() {
        let mut agenda = Agenda::default();
        let claim = |number| Item::Unbar(Uid::from_bits(number));
        agenda.add(Item::Notice, Urgency::Background);
        (1..=20).for_each(|number| agenda.add(claim(number), Urgency::Claim));
        let mut take = || {
            let (turn, urgency) = agenda.next()?;
            agenda.took(urgency);
            Some(turn)
        };
        let order: Vec<Turn> = core::iter::from_fn(&mut take).collect();
        let expected = (1..=8).map(claim).chain([Item::Notice]).chain((9..=20).map(claim));
        assert_eq!(order, expected.map(Turn::Other).collect::<Vec<_>>());
    }

    #[test]
    fn what_becomes_more_urgent_comes_earlier_and_once() {
        let rule = Turn::Rules(A, RuleSet::of(RuleId::StartPod));
        let look = Item::look(Kind::Pod, Key::new("n", "a"));
        for (item, turn) in [(Item::Rule(RuleId::StartPod, A), rule), (look.clone(), Turn::Other(look))] {
            let mut agenda = Agenda::default();
            agenda.add(Item::Rule(RuleId::StartPod, B), Urgency::Refill);
            agenda.add(item.clone(), Urgency::Background);
            agenda.add(item.clone(), Urgency::Claim);
            agenda.add(item.clone(), Urgency::Background);
            assert_eq!(agenda.waiting().collect::<Vec<_>>(), [item, Item::Rule(RuleId::StartPod, B)]);
            let other = Turn::Rules(B, RuleSet::of(RuleId::StartPod));
            assert_eq!(taken(&mut agenda), [turn, other]);
        }
    }
}
