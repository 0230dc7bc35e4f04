//! A claim starts cold only when there is nothing warm for it, and gets the best that there is.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use agent_sandbox_core::action::Intent;
use agent_sandbox_core::id::{Kind, Text, Uid, Version};
use agent_sandbox_core::object::{Claim, Object, Pool};
use agent_sandbox_core::time::Mono;

use super::known::{Known, Stand, assigned, decided_on, is_stale};
use super::{Checker, Class, Judgement, Property, as_claim, as_sandbox};
use crate::api_server::Commit;
use crate::process;
use crate::step::Sent;
use crate::store::Store;

/// How many members of a pool, and how many of the latest changes of claims, are looked at. More would only cost time.
const MOST: usize = 64;

/// INV-13, as far as the process that decides knows the members.
#[derive(Clone, Debug, Default)]
pub(super) struct WarmFirst {
    now: Mono,
    /// How long a claim waits for a member that is starting (RES-020).
    grace: Duration,
    /// Claim → when it was made.
    born: BTreeMap<Uid, Mono>,
    /// The latest changes of claims.
    changes: VecDeque<Version>,
}

impl WarmFirst {
    pub(super) fn new(grace: Duration) -> Self {
        Self { grace, ..Self::default() }
    }

    fn on_cold_start(&self, process: u8, claim: &Claim, known: &Known, store: &Store) -> Judgement {
        // Who asks for something may ask for what no member has.
        let Some((pool, _)) = known.pool_of(process, claim, store).filter(|_| claim.wishes.is_none()) else {
            return Judgement::Silent;
        };
        let name = &claim.meta.key.name;
        if let Some(better) = free(process, pool, known, store).find(|(_, stand)| *stand != Stand::Starting) {
            let (member, who) = (&better.0.key().name, process::name(process));
            return Judgement::Broken(format!(
                "{who} starts claim {name} cold although it has {member} to give"
            ));
        }
        let starting = free(process, pool, known, store).count();
        let ahead = self.ahead(process, claim, known, store);
        let is_new = self.born.get(&claim.meta.uid).is_some_and(|born| self.now.since(*born) < self.grace);
        let broken = is_new && starting > ahead && self.changes.len() < MOST;
        Judgement::unless_broken(broken.then(|| {
            let who = process::name(process);
            format!(
                "{who} starts claim {name} cold although {starting} members start and {ahead} claims come before it"
            )
        }))
    }

    /// Returns how many claims there may be that a process serves before this one, as far as it knows: those that wait and
    /// are not younger, those that wait and will end, which count although they may be over, unless they say so, and those of
    /// which it has not seen the latest.
    fn ahead(&self, process: u8, claim: &Claim, known: &Known, store: &Store) -> usize {
        let pool = claim.meta.key.sibling(claim.pool.clone());
        let ends = |uid| as_claim(store.find(Kind::Claim, uid)).is_some_and(|claim| claim.wishes.is_some());
        let is_over = |uid| {
            let other = store.find(Kind::Claim, uid).filter(|other| known.knows(process, other));
            as_claim(other).is_some_and(|claim| claim.expired() == Some(claim.meta.generation))
        };
        let others = known.waiting(&pool).filter(|(_, uid)| *uid != claim.meta.uid && !is_over(*uid));
        let older = others.filter(|(created, uid)| *created <= claim.meta.created || ends(*uid)).count();
        older + self.changes.iter().filter(|at| !known.has_seen(process, Kind::Claim, **at)).count()
    }
}

/// Judges that the best member is taken, and none that nobody can reach yet; which one of several that are as good is all the
/// same.
fn on_assignment(process: u8, claim: &Claim, member: &Object, known: &Known, store: &Store) -> Judgement {
    let Some((pool, _)) = known.pool_of(process, claim, store) else { return Judgement::Silent };
    let stand = known.stand(process, member, store);
    if stand == Some(Stand::Starting) {
        let (who, member, claim) = (process::name(process), &member.key().name, &claim.meta.key.name);
        return Judgement::Broken(format!(
            "{who} gives {member}, which has no address yet, to claim {claim}"
        ));
    }
    let is_worse = stand.is_some_and(|stand| stand != Stand::Ready);
    if !is_worse || !member.meta().is_owned_by(pool.meta.uid) {
        return Judgement::unless_broken(crowded(process, pool, member, known, store));
    }
    let better = free(process, pool, known, store).find(|(_, stand)| *stand == Stand::Ready);
    Judgement::unless_broken(better.map(|(better, _)| {
        let (claim, member, better) = (&claim.meta.key.name, &member.key().name, &better.key().name);
        let who = process::name(process);
        format!("{who} gives {member}, which is not ready, to claim {claim} although {better} is")
    }))
}

/// QUE-020: among ready members the node with the most of them gives its oldest. Judged where the process knows all members;
/// who came in the same second is as old.
fn crowded(process: u8, pool: &Pool, member: &Object, known: &Known, store: &Store) -> Option<String> {
    let members = || store.owned_by(Kind::Sandbox, pool.meta.uid);
    let is_clear =
        |it: &Object| known.knows_whole(process, it, store) && !known.is_unsure(process, &it.key().name);
    let is_known = known.knows_children(process, pool.meta.uid, Kind::Sandbox) && members().all(is_clear);
    if members().count() > MOST || !is_known {
        return None;
    }
    let ready = free(process, pool, known, store).filter(|(_, stand)| *stand == Stand::Ready);
    let ready: Vec<(&Object, &Text)> =
        ready.filter_map(|(it, _)| Some((it, node_of(it.uid(), store)?))).collect();
    let (_, node) = ready.iter().find(|(it, _)| it.uid() == member.uid())?;
    let beside = |node: &Text| ready.iter().filter(|(_, it)| *it == node).count();
    let has_node = |(_, node): &&(&Object, &Text)| !node.is_empty();
    let is_better = |(it, other): &&(&Object, &Text)| {
        let is_older = *other == *node && it.meta().created < member.meta().created;
        is_older || node.is_empty() || beside(other) > beside(node)
    };
    let (better, _) = ready.iter().filter(has_node).find(is_better)?;
    let (member, better) = (&member.key().name, &better.key().name);
    let who = process::name(process);
    Some(format!("{who} gives {member} away although {better} is older on its node, or has more beside it"))
}

/// Returns the node of a member's Pod.
fn node_of(member: Uid, store: &Store) -> Option<&Text> {
    store.owned_by(Kind::Pod, member).find_map(Object::as_pod).map(|pod| &pod.node)
}

/// Returns members that a process knows to be free, and where they stand.
fn free<'a>(
    process: u8,
    pool: &'a Pool,
    known: &'a Known,
    store: &'a Store,
) -> impl Iterator<Item = (&'a Object, Stand)> {
    let members = store.owned_by(Kind::Sandbox, pool.meta.uid).take(MOST);
    members.filter_map(move |member| {
        let stand = known.stand(process, member, store)?;
        let is_fresh = !as_sandbox(Some(member)).is_some_and(|member| is_stale(member, pool, store));
        is_fresh.then_some((member, stand))
    })
}

impl Checker for WarmFirst {
    fn property(&self) -> Property {
        Property {
            name: "warm-first",
            about: "a claim starts cold only when no member is usable or about to be, a ready one is preferred, and none is given before it has an address",
            class: Class::Safety,
        }
    }

    fn on_clock(&mut self, at: Mono) {
        self.now = at;
    }

    fn on_commit(&mut self, commit: &Commit, _store: &Store) -> Judgement {
        if commit.object().kind() == Kind::Claim {
            if self.changes.len() == MOST {
                self.changes.pop_front();
            }
            self.changes.push_back(commit.version);
            let uid = commit.object().uid();
            match (&commit.old, &commit.new) {
                (None, _) => _ = self.born.insert(uid, self.now),
                (_, None) => _ = self.born.remove(&uid),
                _ => {}
            }
        }
        Judgement::Silent
    }

    fn judges_decisions(&self) -> bool {
        true
    }

    fn on_decision(&mut self, sent: &Sent, known: &Known, store: &Store) -> Judgement {
        let process = sent.process;
        let judgement = if sent.action.intent == Intent::RecordColdStart {
            decided_on(&sent.action, store).map(|claim| self.on_cold_start(process, claim, known, store))
        } else {
            assigned(sent, store).map(|(claim, member)| on_assignment(process, claim, member, known, store))
        };
        judgement.unwrap_or(Judgement::Silent)
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}
