//! One pool's members, kept in the orders in which decisions ask for them.

use alloc::collections::{BTreeMap, BTreeSet};
use core::cmp::Reverse;

use crate::id::{Text, Uid};
use crate::time::Wall;

/// The place of a member in a queue: older first, the name breaks ties the same way in every process.
pub(crate) type Order = (Wall, Text, Uid);

/// Members that a claim could adopt, spread over nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Candidates {
    /// Shape: node → its candidates, oldest first. Never an empty set.
    by_node: BTreeMap<Text, BTreeSet<Order>>,
    /// Shape: (most candidates first, oldest candidate, node). One entry for each named node.
    crowded: BTreeSet<(Reverse<usize>, Order, Text)>,
}

impl Candidates {
    pub(crate) fn insert(&mut self, node: &Text, order: Order) {
        self.uncount(node);
        self.by_node.entry(node.clone()).or_default().insert(order);
        self.count(node);
    }

    pub(crate) fn remove(&mut self, node: &Text, order: &Order) {
        self.uncount(node);
        if let Some(queue) = self.by_node.get_mut(node) {
            queue.remove(order);
            if queue.is_empty() {
                self.by_node.remove(node);
            }
        }
        self.count(node);
    }

    /// Returns the oldest member on a node that has the most of them, so that claims spread load (QUE-020).
    pub(crate) fn best(&self) -> Option<Uid> {
        let crowded = self.crowded.first().map(|(_, order, _)| order.2);
        crowded.or_else(|| self.by_node.get("").and_then(BTreeSet::first).map(|order| order.2))
    }

    fn entry(&self, node: &Text) -> Option<(Reverse<usize>, Order, Text)> {
        let queue = self.by_node.get(node).filter(|_| !node.is_empty())?;
        Some((Reverse(queue.len()), queue.first()?.clone(), node.clone()))
    }

    fn count(&mut self, node: &Text) {
        if let Some(entry) = self.entry(node) {
            self.crowded.insert(entry);
        }
    }

    fn uncount(&mut self, node: &Text) {
        if let Some(entry) = self.entry(node) {
            self.crowded.remove(&entry);
        }
    }
}

/// Where a member stands, as far as its pool is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// It is going, or its deletion is under way.
    Leaving,
    /// A claim has recorded it.
    Reserved,
    /// It has no address yet.
    Starting,
    /// Its Pod ended, or is going: nobody wants it.
    Unusable,
    /// Its template has changed, and its pool wants it replaced.
    Stale,
    /// Its template is gone, so nobody can tell whether it is stale.
    Unjudged,
    /// It has an address, on this node, but is not ready.
    Reachable(Text),
    /// It is ready, on this node.
    Ready(Text),
}

/// What keeps a member from being ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing, or nobody would do anything about it.
    None,
    /// It is not ready, since then.
    Unready(Wall),
    /// No node has room for it, since then.
    NoRoom(Wall),
    /// Its Pod ended and will not run again; it has not been ready since then.
    Ended(Wall),
}

/// What a member contributes to its pool's [`Members`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The pool that owns it.
    pub(crate) pool: Uid,
    /// Where it stands.
    pub(crate) place: Place,
    /// Whether its status says Ready.
    pub(crate) ready: bool,
    /// Why it is not, and since when.
    pub(crate) trouble: Trouble,
}

/// A member that may be deleted: the stale first, then the unready, then the youngest (WPL-037).
pub(crate) type Victim = (Worth, bool, Reverse<Wall>, Text, Uid);

/// Whether a member would be replaced anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Worth {
    Stale,
    Current,
}

/// The members of one pool.
#[derive(Clone, Debug, Default)]
pub(crate) struct Members {
    /// Ready, and adoptable.
    pub(crate) ready: Candidates,
    /// With an address but not ready, and adoptable.
    pub(crate) reachable: Candidates,
    /// Without an address: about to be adoptable.
    pub(crate) starting: BTreeSet<Uid>,
    /// Not ready though they could be, and recorded by nobody: the longest first.
    pub(crate) unready: BTreeSet<Order>,
    /// Likewise, but no node has room for them.
    pub(crate) no_room: BTreeSet<Order>,
    /// Those whose Pod ended, and that nobody has recorded: the longest first.
    pub(crate) ended: BTreeSet<Order>,
    /// All that no claim has recorded, in the order in which a smaller pool lets them go.
    pub(crate) victims: BTreeSet<Victim>,
    /// Members that are not leaving, reserved ones included.
    pub(crate) live: u32,
    /// Members that are leaving.
    pub(crate) leaving: u32,
    /// Live members whose status says Ready.
    pub(crate) live_ready: u32,
    /// The names of members whose creation is not known to have happened, nor to have failed.
    creating: BTreeSet<Text>,
}

impl Members {
    /// Returns how many members there may be that nobody has seen.
    pub(crate) fn creating(&self) -> u32 {
        u32::try_from(self.creating.len()).unwrap_or(u32::MAX)
    }

    /// Notes whether a member of this name may be made by a create that nobody has seen the end of.
    pub(crate) fn note_creating(&mut self, name: &Text, may_land: bool) {
        if may_land {
            self.creating.insert(name.clone());
        } else {
            self.creating.remove(name);
        }
    }

    pub(crate) fn add(&mut self, standing: &Standing, order: Order) {
        self.count(standing, 1);
        match &standing.place {
            Place::Ready(node) => self.ready.insert(node, order.clone()),
            Place::Reachable(node) => self.reachable.insert(node, order.clone()),
            Place::Starting => {
                self.starting.insert(order.2);
            }
            Place::Leaving | Place::Reserved | Place::Unusable | Place::Stale | Place::Unjudged => {}
        }
        if let Some((queue, order)) = self.queue_of(standing, &order) {
            queue.insert(order);
        }
        if !matches!(standing.place, Place::Leaving | Place::Reserved) {
            self.victims.insert(victim(standing, order));
        }
    }

    pub(crate) fn remove(&mut self, standing: &Standing, order: Order) {
        self.count(standing, -1);
        match &standing.place {
            Place::Ready(node) => self.ready.remove(node, &order),
            Place::Reachable(node) => self.reachable.remove(node, &order),
            Place::Starting => {
                self.starting.remove(&order.2);
            }
            Place::Leaving | Place::Reserved | Place::Unusable | Place::Stale | Place::Unjudged => {}
        }
        if let Some((queue, order)) = self.queue_of(standing, &order) {
            queue.remove(&order);
        }
        self.victims.remove(&victim(standing, order));
    }

    /// Returns the queue in which a member in trouble stands, and its place there.
    fn queue_of(
        &mut self,
        standing: &Standing,
        (_, name, uid): &Order,
    ) -> Option<(&mut BTreeSet<Order>, Order)> {
        if matches!(standing.place, Place::Leaving | Place::Reserved) {
            return None;
        }
        let (queue, since) = match standing.trouble {
            Trouble::None => return None,
            Trouble::Unready(since) => (&mut self.unready, since),
            Trouble::NoRoom(since) => (&mut self.no_room, since),
            Trouble::Ended(since) => (&mut self.ended, since),
        };
        Some((queue, (since, name.clone(), *uid)))
    }

    fn count(&mut self, standing: &Standing, by: i32) {
        if standing.place == Place::Leaving {
            self.leaving = self.leaving.saturating_add_signed(by);
            return;
        }
        self.live = self.live.saturating_add_signed(by);
        if standing.ready {
            self.live_ready = self.live_ready.saturating_add_signed(by);
        }
    }

    /// Returns the stale members that no claim has recorded: the unready first, then the youngest.
    pub(crate) fn stale(&self) -> impl Iterator<Item = &Victim> {
        self.victims.iter().take_while(|victim| victim.0 == Worth::Stale)
    }

    /// Returns whether nothing is known of this pool's members.
    pub(crate) fn is_empty(&self) -> bool {
        self.live + self.leaving == 0 && self.creating.is_empty()
    }
}

fn victim(standing: &Standing, (created, name, uid): Order) -> Victim {
    let worth = if standing.place == Place::Stale { Worth::Stale } else { Worth::Current };
    (worth, standing.ready, Reverse(created), name, uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// QUE-020.
    #[test]
    fn the_node_with_the_most_candidates_gives_its_oldest() {
        let mut candidates = Candidates::default();
        for (node, age, uid) in [("a", 1, 1), ("b", 2, 2), ("b", 3, 3)] {
            candidates.insert(&node.into(), order(age, uid));
        }
        assert_eq!(candidates.best(), Some(Uid::from_bits(2)));
        candidates.remove(&"b".into(), &order(2, 2));
        assert_eq!(candidates.best(), Some(Uid::from_bits(1)), "equal nodes: the older one");
    }

    /// QUE-020.
    #[test]
    fn a_candidate_without_a_node_is_the_last_resort() {
        let mut candidates = Candidates::default();
        candidates.insert(&"".into(), order(1, 1));
        assert_eq!(candidates.best(), Some(Uid::from_bits(1)));
        candidates.insert(&"a".into(), order(2, 2));
        assert_eq!(candidates.best(), Some(Uid::from_bits(2)));
    }

    /// WPL-037.
    #[test]
    fn a_smaller_pool_lets_the_unready_go_first_and_then_the_youngest() {
        let mut members = Members::default();
        for (age, uid, ready) in [(1, 1, true), (2, 2, true), (0, 3, false)] {
            let place = if ready { Place::Ready("a".into()) } else { Place::Starting };
            let standing = Standing { pool: Uid::UNSET, place, ready, trouble: Trouble::None };
            members.add(&standing, order(age, uid));
        }
        let order: alloc::vec::Vec<_> = members.victims.iter().map(|victim| victim.4.bits()).collect();
        assert_eq!(order, [3, 2, 1]);
    }

    fn order(age: i64, uid: u128) -> Order {
        (Wall::from_micros(age), alloc::format!("s{uid}").into(), Uid::from_bits(uid))
    }
}
