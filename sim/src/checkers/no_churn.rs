//! A pool replaces no member for which it can do nothing better.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use agent_sandbox_core::action::{Intent, Operation};
use agent_sandbox_core::id::{Kind, Uid};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Object, Pod, Sandbox, Truth};
use agent_sandbox_core::time::Mono;

use super::known::{Known, is_stale, says_ready};
use super::{Checker, Class, Judgement, Property, as_sandbox};
use crate::api_server::{Commit, Writer};
use crate::step::{Fact, Sent};
use crate::store::Store;

/// How much earlier than an onlooker a process may count a member as not ready: it says so in a status that takes effect up
/// to 15 s later, by a calendar that is off by 5 s to the one side, and judges by one that is off by as much to the other.
const INEXACT: Duration = Duration::from_secs(30);

/// INV-10, as far as the process that decides knows the member: it is not too many, is no older make, and its Pod has not
/// ended; then it may be deleted only because it has not been ready for too long, and not for want of room.
#[derive(Clone, Debug, Default)]
pub(super) struct NoChurn {
    known: Known,
    now: Mono,
    /// How long a member that is not ready is left alone.
    patience: Duration,
    /// Member → since when it has not been ready.
    unready: BTreeMap<Uid, Mono>,
    /// What others have made, or whose status they have edited: how long that has not been ready, nobody here has seen.
    edited: BTreeSet<Uid>,
    /// Whether a calendar was set anew while its process ran, so that no span can be told from two dates.
    is_timeless: bool,
}

impl NoChurn {
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, ..Self::default() }
    }

    fn judge(&self, process: u8, object: &Object, store: &Store) -> Judgement {
        let Some((member, pod)) = self.needed(process, object, store) else { return Judgement::Silent };
        let name = &member.meta.key.name;
        if says_ready(member) {
            return Judgement::Broken(format!("process {process} deletes {name}, which is ready"));
        }
        if pod.is_some_and(has_no_room) {
            return Judgement::Broken(format!(
                "process {process} deletes {name}, for which no node has room"
            ));
        }
        let is_dated = !self.is_timeless && !self.edited.contains(&member.meta.uid);
        let since = self.unready.get(&member.meta.uid).filter(|_| is_dated);
        let waited = since.map(|since| self.now.since(*since));
        let hasty = waited.filter(|waited| *waited < self.patience.saturating_sub(INEXACT));
        Judgement::unless_broken(hasty.map(|waited| {
            format!(
                "process {process} deletes {name}, which has not been ready for {} s only",
                waited.as_secs()
            )
        }))
    }

    /// Returns a member that a process knows to be wanted, of the right make and not ended, with its Pod.
    fn needed<'a>(
        &self,
        process: u8,
        object: &'a Object,
        store: &'a Store,
    ) -> Option<(&'a Sandbox, Option<&'a Pod>)> {
        let member = as_sandbox(Some(object)).filter(|_| self.known.knows(process, object))?;
        let pool = store.find(Kind::Pool, member.meta.owner_of_kind(Kind::Pool)?)?;
        let (pool, _) = self.known.settled_pool(process, pool, store)?;
        let (owner, uid) = (pool.meta.uid, member.meta.uid);
        let is_told = self.known.knows_children(process, owner, Kind::Sandbox)
            && self.known.knows_children(process, uid, Kind::Pod);
        let may_live = |other: &&Object| !(other.meta().terminating && self.known.knows(process, other));
        let live = store.owned_by(Kind::Sandbox, owner).filter(may_live).count();
        if !is_told || live > pool.replicas as usize || is_stale(member, pool, store) {
            return None;
        }
        let mut pods = store.owned_by(Kind::Pod, uid);
        let Some(first) = pods.next() else { return Some((member, None)) };
        let pod = first.as_pod().filter(|pod| !pod.meta.terminating && !pod.phase.is_terminal())?;
        (pods.next().is_none() && self.known.knows(process, first)).then_some((member, Some(pod)))
    }
}

impl Checker for NoChurn {
    fn property(&self) -> Property {
        Property {
            name: "no-churn",
            about: "a pool deletes no member that is ready, has no room, or has not been given its time",
            class: Class::Safety,
        }
    }

    fn on_clock(&mut self, at: Mono) {
        self.now = at;
    }

    fn on_commit(&mut self, commit: &Commit, _store: &Store) -> Judgement {
        self.known.on_commit(commit);
        let uid = commit.object().uid();
        match (as_sandbox(commit.old.as_ref()), as_sandbox(commit.new.as_ref())) {
            (old, Some(new)) => {
                if commit.by == Some(Writer::User) && old.is_none_or(|old| old.status != new.status) {
                    self.edited.insert(uid);
                }
                if says_ready(new) {
                    self.unready.remove(&uid);
                } else {
                    self.unready.entry(uid).or_insert(self.now);
                }
            }
            (Some(_), None) => {
                self.unready.remove(&uid);
                self.edited.remove(&uid);
            }
            (None, None) => {}
        }
        Judgement::Silent
    }

    fn on_action(&mut self, sent: &Sent, store: &Store) -> Judgement {
        let deleted = if let Operation::Delete { target, .. } = &*sent.action.operation
            && sent.action.intent == Intent::DeleteMember
        {
            target.uid
        } else {
            None
        };
        let member = deleted.and_then(|uid| store.find(Kind::Sandbox, uid));
        let judgement = member.map_or(Judgement::Silent, |member| self.judge(sent.process, member, store));
        if self.known.on_sent(sent) { judgement } else { Judgement::Silent }
    }

    fn on_fact(&mut self, fact: &Fact) {
        self.is_timeless |= matches!(fact, Fact::CalendarSet(_));
        self.known.on_fact(fact);
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

fn has_no_room(pod: &Pod) -> bool {
    pod.scheduled
        .as_ref()
        .is_some_and(|(status, reason, _)| *status == Truth::False && &**reason == names::UNSCHEDULABLE)
}
