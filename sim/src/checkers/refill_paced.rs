//! A pool is refilled no sooner and no faster than it was set up to be.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use agent_sandbox_core::action::{Action, Intent, Operation};
use agent_sandbox_core::event::Outcome;
use agent_sandbox_core::id::{Key, Kind, Uid};
use agent_sandbox_core::object::Object;
use agent_sandbox_core::time::Mono;

use super::{Checker, Class, Judgement, Property, as_pool, as_sandbox};
use crate::api_server::Commit;
use crate::controller::Pace;
use crate::process;
use crate::step::{Fact, Sent};
use crate::store::Store;

/// How many of the latest members of a pool are looked at together. More would only cost time.
const LATEST: usize = 64;

/// RFL-003 and RFL-010, as far as an onlooker can tell what a process knows: it knows of a loss that it has brought about
/// itself, since it has the answer. Such a loss makes the pool wait from when that write was sent, or later.
#[derive(Clone, Debug)]
pub(super) struct RefillPaced {
    pace: Pace,
    now: Mono,
    processes: BTreeMap<u8, Seen>,
}

/// What one process has done in its term.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// The pools that it has seen: what others lose is no news to it.
    pools: BTreeSet<Uid>,
    /// Members that it gives away or deletes, with their pools, and since when; `None` where an earlier term of it began to.
    parting: BTreeMap<Uid, Option<(Uid, Mono)>>,
    /// Pool → since when it has known at least that it lost a member.
    lost: BTreeMap<Uid, Mono>,
    /// Pool → when it has made the latest members.
    made: BTreeMap<Uid, VecDeque<Mono>>,
    /// Pools that were asked for another number of members since: when it learned of that, nobody can tell.
    scaled: BTreeSet<Uid>,
    /// The names of the members that it has made, in any term: to repeat a create is not to make another.
    names: BTreeSet<Key>,
}

impl RefillPaced {
    pub(super) const fn new(pace: Pace) -> Self {
        Self { pace, now: Mono::from_micros(0), processes: BTreeMap::new() }
    }

    fn on_create(&mut self, process: u8, pool: Uid, name: &Key) -> Judgement {
        let (now, pace) = (self.now, self.pace);
        let seen = self.processes.entry(process).or_default();
        if !seen.names.insert(name.clone()) {
            return Judgement::Silent;
        }
        let lost = seen.lost.get(&pool).filter(|since| now.since(**since) < pace.delay);
        if let Some(since) = lost.filter(|_| !seen.scaled.contains(&pool)) {
            let (ago, delay, who) = (now.since(*since), pace.delay, process::name(process));
            return Judgement::Broken(format!(
                "{who} makes {} {ago:?} after it took a member out of the pool, not {delay:?}",
                name.name
            ));
        }
        let made = seen.made.entry(pool).or_default();
        made.push_back(now);
        if made.len() > LATEST {
            made.pop_front();
        }
        let too_many = (1..)
            .zip(made.iter().rev())
            .find(|(count, first)| *count > pace.rate.most_within(now.since(**first)));
        Judgement::unless_broken(too_many.map(|(count, first)| {
            let (span, who) = (now.since(*first), process::name(process));
            format!("{who} makes {count} members of a pool within {span:?}, {} the last", name.name)
        }))
    }

    fn on_pool(&mut self, process: u8, pool: Uid) {
        self.processes.entry(process).or_default().pools.insert(pool);
    }

    fn on_answer(&mut self, process: u8, action: &Action, outcome: &Outcome) {
        let seen = self.processes.entry(process).or_default();
        let uid = match (&*action.operation, action.intent) {
            (Operation::Patch(patch), Intent::AdoptSandbox) => patch.target.uid,
            (Operation::Delete { target, .. }, Intent::DeleteMember) => target.uid,
            (
                Operation::Create(_)
                | Operation::Patch(_)
                | Operation::Delete { .. }
                | Operation::Get { .. }
                | Operation::Notify(_),
                _,
            ) => None,
        };
        let Some(uid) = uid else { return };
        match outcome {
            Outcome::Done(_) | Outcome::Accepted => {
                if let Some((pool, since)) = seen.parting.remove(&uid).flatten() {
                    let lost = seen.lost.entry(pool).or_default();
                    *lost = since.max(*lost);
                }
            }
            // The same write may be sent again, and the member is parting all the time.
            Outcome::Unknown | Outcome::Throttled(_) => {}
            Outcome::Conflict | Outcome::AlreadyExists | Outcome::NotFound | Outcome::Refused(_) => {
                seen.parting.remove(&uid);
            }
        }
    }
}

impl Checker for RefillPaced {
    fn property(&self) -> Property {
        Property {
            name: "refill-paced",
            about: "a pool makes no member too soon after a loss, and no more in a second than it may",
            class: Class::Safety,
        }
    }

    fn on_clock(&mut self, at: Mono) {
        self.now = at;
    }

    fn on_commit(&mut self, commit: &Commit, _store: &Store) -> Judgement {
        if let (Some(old), Some(new)) = (as_pool(commit.old.as_ref()), as_pool(commit.new.as_ref()))
            && old.replicas != new.replicas
        {
            self.processes.values_mut().for_each(|seen| {
                seen.scaled.insert(new.meta.uid);
            });
        }
        Judgement::Silent
    }

    fn on_action(&mut self, sent: &Sent, store: &Store) -> Judgement {
        let (operation, intent) = (&*sent.action.operation, sent.action.intent);
        match (operation, intent) {
            (Operation::Create(object), Intent::CreateMember) => {
                let pool = object.meta().owner.as_ref().map(|owner| owner.uid);
                pool.map_or(Judgement::Silent, |pool| self.on_create(sent.process, pool, object.key()))
            }
            (Operation::Patch(_), Intent::AdoptSandbox)
            | (Operation::Delete { .. }, Intent::DeleteMember) => {
                let sandbox = as_sandbox(store.get(Kind::Sandbox, operation.key()));
                let pool = sandbox.and_then(|it| Some((it.meta.uid, it.meta.owner_of_kind(Kind::Pool)?)));
                if let Some((sandbox, pool)) = pool {
                    let seen = self.processes.entry(sent.process).or_default();
                    let loss = seen.pools.contains(&pool).then_some((pool, self.now));
                    seen.parting.entry(sandbox).or_insert(loss);
                }
                Judgement::Silent
            }
            (
                Operation::Create(_)
                | Operation::Patch(_)
                | Operation::Delete { .. }
                | Operation::Get { .. }
                | Operation::Notify(_),
                _,
            ) => Judgement::Silent,
        }
    }

    fn on_fact(&mut self, fact: &Fact) {
        match fact {
            Fact::Answered { process, action, outcome } => {
                if let Outcome::Done(Object::Pool(pool)) = outcome {
                    self.on_pool(*process, pool.meta.uid);
                }
                self.on_answer(*process, action, outcome);
            }
            Fact::Relisted { process, objects, .. } => {
                let pools = objects.iter().filter_map(Object::as_pool);
                pools.for_each(|pool| self.on_pool(*process, pool.meta.uid));
            }
            Fact::Shown { process, line: Some(line), .. } => {
                if let Object::Pool(pool) = line.object() {
                    self.on_pool(*process, pool.meta.uid);
                }
            }
            Fact::Leading { process, .. } => {
                // What was under way in an earlier term of the same process still is, and is no loss of this one.
                let Seen { names, mut parting, .. } = self.processes.remove(process).unwrap_or_default();
                parting.values_mut().for_each(|since| *since = None);
                self.processes.insert(*process, Seen { names, parting, ..Seen::default() });
            }
            Fact::Crashed { process, .. } => {
                self.processes.remove(process);
            }
            Fact::Sent(_)
            | Fact::Committed(_)
            | Fact::Handled(_)
            | Fact::Listed(..)
            | Fact::WatchLost(..)
            | Fact::Started(_)
            | Fact::Deposed { .. }
            | Fact::Shown { line: None, .. }
            | Fact::CalendarSet(_)
            | Fact::Ran(_) => {}
        }
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}
