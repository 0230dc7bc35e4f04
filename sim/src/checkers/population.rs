//! A pool never has more members than it was asked for.

use agent_sandbox_core::fingerprint::Walk;
use agent_sandbox_core::id::{Kind, Uid, Version};
use agent_sandbox_core::object::Sandbox;

use super::{Checker, Class, Judgement, Property, as_pool, as_sandbox};
use crate::api_server::{Commit, Writer};
use crate::step::Fact;
use crate::store::Store;

/// INV-08: too many members would break clients that wait for an exact number, and cost money.
///
/// A process answers for what it can know: the members that were there when it listed, and those that it made
/// itself. What a dead process had under way, and what a second leader makes meanwhile, comes on top.
#[derive(Clone, Debug)]
pub(super) struct Population {
    /// How many members above `replicas` there may be where nobody can tell who made them.
    surplus: u32,
    members: Vec<Member>,
    /// Term → version at which it listed the sandboxes first.
    leaders: Vec<(u64, Version)>,
    /// Pool → most replicas that it was ever asked for.
    pools: Vec<(Uid, u32)>,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    sandbox: Uid,
    pool: Uid,
    term: u64,
    born: Version,
}

impl Population {
    /// Returns the checker for a simulation, where each write has a name on it.
    pub(super) const fn exact() -> Self {
        Self::with_surplus(0)
    }

    /// Returns the checker for a log, where nobody knows who wrote.
    pub(super) const fn with_surplus(surplus: u32) -> Self {
        Self { surplus, members: Vec::new(), leaders: Vec::new(), pools: Vec::new() }
    }

    fn most(&self, pool: Uid) -> u32 {
        self.pools.iter().find(|entry| entry.0 == pool).map_or(0, |entry| entry.1)
    }

    fn note_pool(&mut self, commit: &Commit) {
        let uid = commit.object().uid();
        match (as_pool(commit.new.as_ref()), self.pools.iter_mut().find(|entry| entry.0 == uid)) {
            (Some(pool), Some(entry)) => entry.1 = entry.1.max(pool.replicas),
            (Some(pool), None) => self.pools.push((uid, pool.replicas)),
            (None, _) => self.pools.retain(|entry| entry.0 != uid),
        }
    }

    fn on_birth(&mut self, sandbox: &Sandbox, pool: Uid, commit: &Commit) -> Judgement {
        let term = match commit.by {
            Some(Writer::Process { term, .. }) => Some(term),
            Some(_) | None => None,
        };
        let (uid, born) = (sandbox.meta.uid, commit.version);
        self.members.push(Member { sandbox: uid, pool, term: term.unwrap_or(0), born });
        if !self.pools.iter().any(|entry| entry.0 == pool) {
            return Judgement::Silent;
        }
        let listed =
            self.leaders.iter().find(|leader| Some(leader.0) == term).map_or(Version(0), |leader| leader.1);
        let is_known = |member: &&Member| {
            term.is_none_or(|term| member.term == term || member.born <= listed) && member.pool == pool
        };
        let known = self.members.iter().filter(is_known).count();
        let most = (self.most(pool) + self.surplus) as usize;
        Judgement::unless_broken((known > most).then(|| {
            let name = sandbox.meta.owner.as_ref().map_or("", |owner| &owner.name);
            format!(
                "{} is member {known} of pool {name}, which was never asked for more than {most}",
                sandbox.meta.key.name
            )
        }))
    }
}

impl Checker for Population {
    fn property(&self) -> Property {
        Property {
            name: "population",
            about: "a pool has no more members than replicas, but for what dead or rival leaders had under way",
            class: Class::Safety,
        }
    }

    fn heeds(&self, commit: &Commit) -> bool {
        match commit.object().kind() {
            Kind::Pool => commit.changes(|pool| as_pool(Some(pool)).map(|pool| pool.replicas)),
            Kind::Sandbox => commit.changes(|sandbox| &sandbox.meta().owner),
            Kind::Claim
            | Kind::Pod
            | Kind::Template
            | Kind::Service
            | Kind::VolumeClaim
            | Kind::NetworkPolicy => false,
        }
    }

    fn on_commit(&mut self, commit: &Commit, _store: &Store) -> Judgement {
        match commit.object().kind() {
            Kind::Pool => self.note_pool(commit),
            Kind::Sandbox => {
                let pool_of = |sandbox: Option<&Sandbox>| {
                    sandbox.and_then(|sandbox| sandbox.meta.owner_of_kind(Kind::Pool))
                };
                let new = as_sandbox(commit.new.as_ref());
                match (pool_of(as_sandbox(commit.old.as_ref())), new, pool_of(new)) {
                    (None, Some(sandbox), Some(pool)) => return self.on_birth(sandbox, pool, commit),
                    (Some(_), _, None) => {
                        let uid = commit.object().uid();
                        self.members.retain(|member| member.sandbox != uid);
                    }
                    (None | Some(_), _, _) => {}
                }
            }
            Kind::Claim
            | Kind::Template
            | Kind::Pod
            | Kind::Service
            | Kind::VolumeClaim
            | Kind::NetworkPolicy => {}
        }
        Judgement::Silent
    }

    fn on_fact(&mut self, fact: &Fact) {
        if let Fact::Relisted { term, kind: Kind::Sandbox, at, .. } = fact
            && !self.leaders.iter().any(|leader| leader.0 == *term)
        {
            self.leaders.push((*term, *at));
        }
        if let Fact::Crashed { term, .. } | Fact::Deposed { term, .. } = fact {
            self.leaders.retain(|leader| leader.0 != *term);
        }
    }

    fn remembered(&self, walk: &mut Walk) {
        walk.set(&self.members, |walk, member| {
            walk.uid(member.sandbox);
            walk.number(member.term);
            self.leaders.iter().for_each(|leader| walk.option(member.born <= leader.1));
        });
        self.leaders.iter().for_each(|leader| walk.number(leader.0));
        walk.set(&self.pools, |walk, (pool, most)| {
            walk.uid(*pool);
            walk.number((*most).into());
        });
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}
