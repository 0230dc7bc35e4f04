//! What a rule may ask. Answers are ordered and read-only.

use alloc::borrow::Cow;
use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use core::cell::{Cell, RefCell};

use crate::config::Config;
use crate::id::{Key, Kind, Text, Uid};
use crate::ledger::Refused;
use crate::members::Members;
use crate::mutant::Mutant;
use crate::names;
use crate::object::{Claim, Dependent, Object, OwnerKind, Pod, Pool, Sandbox, SandboxStatus, Template};
use crate::parts::{Whose, whose};
use crate::rules::Branch;
use crate::same::names_template;
use crate::state::{ClaimEntry, PoolEntry, SandboxEntry, State, assignment, noted_pod};
use crate::status::{Parts, sandbox_status};
use crate::time::Wall;

/// Everything known, at one moment.
pub(crate) struct View<'a> {
    state: &'a State,
    pub(crate) config: &'a Config,
    term: u64,
    names_given: u64,
    reached: &'a Cell<u64>,
    /// The sandbox about which that was asked last, and the answer: its rules ask one after the other.
    backing: RefCell<Option<(Uid, Backing<'a>)>>,
}

/// What stands where a sandbox's Pod should be.
#[derive(Clone)]
pub(crate) enum Backing<'a> {
    /// No Pod.
    None,
    /// No Pod yet, but a create of one may still land.
    Coming {
        /// Whether it could land now: nothing of the name is there that will soon be gone.
        is_free: bool,
        /// Whether it is made for this sandbox, and not for a former one of the name.
        is_own: bool,
    },
    /// A Pod of this name that will soon be gone, and was never the sandbox's own.
    Leaving,
    /// The sandbox notes a Pod of another name that is not there, as far as is known.
    Elsewhere {
        /// Its name.
        noted: Key,
        /// Whether the server itself said so.
        is_absent: bool,
    },
    /// Its own, going or not.
    Own(&'a Arc<Pod>),
    /// Its own, so many.
    Many(usize),
    /// Not its own.
    Other(&'a Arc<Pod>, Whose),
}

impl<'a> Backing<'a> {
    /// Returns the Pod, if it is the sandbox's own and the only one.
    pub(crate) const fn own(&self) -> Option<&'a Arc<Pod>> {
        match self {
            Self::Own(pod) => Some(pod),
            Self::None
            | Self::Coming { .. }
            | Self::Leaving
            | Self::Elsewhere { .. }
            | Self::Many(_)
            | Self::Other(..) => None,
        }
    }
}

/// What is known about the holder of a name.
pub(crate) enum Holder<T> {
    /// This object.
    Is(T),
    /// The server itself said: nobody.
    Nobody,
    /// Nobody as far as the watch has told: look before acting on it.
    Unseen,
}

impl<'a> View<'a> {
    pub(crate) fn new(
        state: &'a State,
        config: &'a Config,
        (term, names_given): (u64, u64),
        reached: &'a Cell<u64>,
    ) -> Self {
        Self { state, config, term, names_given, reached, backing: RefCell::default() }
    }

    /// Notes that a rule came this way, for the simulator's coverage.
    pub(crate) fn mark(&self, branch: Branch) {
        self.reached.set(self.reached.get() | 1 << branch as u32);
    }

    // ----- Objects -----

    pub(crate) fn claim(&self, uid: Uid) -> Option<&'a ClaimEntry> {
        self.state.claims.get(&uid).map(|entry| &**entry)
    }

    pub(crate) fn pool(&self, uid: Uid) -> Option<&'a PoolEntry> {
        self.state.pools.get(&uid)
    }

    pub(crate) fn sandbox(&self, uid: Uid) -> Option<&'a SandboxEntry> {
        self.state.sandboxes.get(&uid).map(|entry| &**entry)
    }

    /// Returns whether a sandbox's time is over.
    pub(crate) fn is_over(&self, sandbox: &Sandbox, now: Wall) -> bool {
        if self.config.has(Mutant::AnyClockRevives) {
            return sandbox.shutdown.is_some_and(|shutdown| shutdown.at <= now);
        }
        sandbox.is_over(now)
    }

    /// Returns a sandbox's own Pods, going or not: one, save where somebody gave it more.
    pub(crate) fn pods_of(&self, sandbox: Uid) -> impl Iterator<Item = &'a Arc<Pod>> + use<'a> {
        let state = self.state;
        state.children(sandbox).filter_map(|pod| state.pods.get(&pod))
    }

    /// Returns whether the Pod of a sandbox has run to its end.
    pub(crate) fn has_ended(&self, sandbox: Uid) -> bool {
        self.pods_of(sandbox).any(|pod| pod.phase.is_terminal())
    }

    /// Returns what stands where a sandbox's Pod should be. Owner uids decide; the name only says where to look for one
    /// that it may adopt.
    pub(crate) fn backing(&self, sandbox: &Sandbox) -> Backing<'a> {
        let mut known = self.backing.borrow_mut();
        if let Some((uid, backing)) = &*known
            && *uid == sandbox.meta.uid
        {
            return backing.clone();
        }
        let backing = self.find_backing(sandbox);
        *known = Some((sandbox.meta.uid, backing.clone()));
        backing
    }

    fn find_backing(&self, sandbox: &Sandbox) -> Backing<'a> {
        let key = &sandbox.meta.key;
        let mut own = self.pods_of(sandbox.meta.uid);
        if let Some(first) = own.next() {
            let more = own.count();
            return if more == 0 { Backing::Own(first) } else { Backing::Many(more + 1) };
        }
        let noted = noted_pod(sandbox);
        let holder = self.holder(Kind::Pod, noted.as_ref().unwrap_or(key));
        let backing = match (holder, noted) {
            (Holder::Is(uid), _) => {
                let pod = &self.state.pods[&uid];
                match whose(sandbox, &pod.meta) {
                    Whose::Own => Backing::Own(pod),
                    Whose::Leaving => Backing::Leaving,
                    whose @ (Whose::Free | Whose::Unmarked | Whose::Another) => Backing::Other(pod, whose),
                }
            }
            (Holder::Nobody, Some(noted)) => Backing::Elsewhere { noted, is_absent: true },
            (Holder::Unseen, Some(noted)) => Backing::Elsewhere { noted, is_absent: false },
            (Holder::Nobody | Holder::Unseen, None) => Backing::None,
        };
        let is_none = matches!(backing, Backing::None | Backing::Leaving | Backing::Elsewhere { .. });
        match self.state.ledger.drafts.get(&(Kind::Pod, key.clone())).filter(|_| is_none) {
            Some(draft) => Backing::Coming {
                is_free: matches!(backing, Backing::None),
                is_own: draft.purpose.subject == sandbox.meta.uid,
            },
            None => backing,
        }
    }

    /// Returns the status that a sandbox should show. `expired` says whether its time is over.
    pub(crate) fn sandbox_status<'s>(
        &self,
        sandbox: &'s Sandbox,
        expired: bool,
        now: Wall,
    ) -> Cow<'s, SandboxStatus> {
        let parts = Parts {
            backing: self.backing(sandbox),
            serving: self.serving(sandbox),
            volumes: self.volumes(sandbox),
            refused: self.refused_parts(sandbox),
            domain: &self.config.cluster_domain,
        };
        let mut status = sandbox_status(sandbox, &parts, expired, now);
        if self.config.has(Mutant::StatusOutlivesPod) && expired {
            status.to_mut().pod_ips = sandbox.status.pod_ips.clone();
            if *status == sandbox.status {
                status = Cow::Borrowed(&sandbox.status);
            }
        }
        if self.config.has(Mutant::SandboxStatusOnce) && crate::state::is_ready(sandbox) && !expired {
            status = Cow::Borrowed(&sandbox.status);
        }
        status
    }

    pub(crate) fn template(&self, uid: Uid) -> Option<&'a Arc<Template>> {
        self.state.templates.get(&uid)
    }

    /// Returns a Service, volume claim or network policy.
    pub(crate) fn dependent(&self, uid: Uid) -> Option<&'a Dependent> {
        self.state.dependents.get(&uid).and_then(Object::as_dependent)
    }

    /// Returns the Service, volume claim or network policy of this name.
    pub(crate) fn dependent_named(&self, kind: Kind, key: &Key) -> Option<&'a Dependent> {
        let uid = self.state.names.get(kind, key)?;
        self.state.dependents.get(&uid).and_then(Object::as_dependent)
    }

    /// Returns whether a claim owns a sandbox, as far as is known.
    pub(crate) fn has_sandbox(&self, claim: Uid) -> bool {
        self.state.child(claim).is_some()
    }

    /// Returns the sandbox that a claim owns, recorded or not.
    pub(crate) fn owned_sandbox(&self, claim: Uid) -> Option<&'a Sandbox> {
        let uid = self.state.child(claim)?;
        self.sandbox(uid).map(|entry| &*entry.sandbox)
    }

    /// Returns the sandbox that a claim owns and, where there is a record, has recorded. Another one is a former
    /// sandbox that a watch which lags still shows.
    pub(crate) fn sandbox_of(&self, claim: &Claim) -> Option<&'a SandboxEntry> {
        let uid = match claim.meta.annotation(names::SANDBOX_NAME) {
            Some(recorded) => {
                self.holder(Kind::Sandbox, &claim.meta.key.sibling(recorded.clone())).known()?
            }
            None => self.state.child(claim.meta.uid)?,
        };
        let is_shown = self.config.has(Mutant::PublishesRecorded);
        self.sandbox(uid).filter(|entry| is_shown || entry.sandbox.meta.is_owned_by(claim.meta.uid))
    }

    fn holder(&self, kind: Kind, key: &Key) -> Holder<Uid> {
        match self.state.names.get(kind, key) {
            Some(uid) => Holder::Is(uid),
            None if !names::is_subdomain(&key.name) => Holder::Nobody,
            None if self.state.absent.contains(&(kind, key.clone())) => Holder::Nobody,
            None => Holder::Unseen,
        }
    }

    /// Returns the pool that a claim refers to.
    pub(crate) fn pool_of(&self, claim: &Claim) -> Holder<&'a Arc<Pool>> {
        self.holder(Kind::Pool, &claim.meta.key.sibling(claim.pool.clone()))
            .map(|uid| &self.state.pools[&uid].pool)
    }

    /// Returns the template that a pool refers to.
    pub(crate) fn template_of(&self, pool: &Pool) -> Holder<&'a Arc<Template>> {
        let key = pool.meta.key.sibling(pool.template.clone());
        self.holder(Kind::Template, &key).map(|uid| &self.state.templates[&uid])
    }

    /// Returns the template that a claim's sandbox was made from: the one that it names; the one whose label it bears, where an
    /// older release has made it; the pool's where it says nothing.
    pub(crate) fn template_of_sandbox(&self, claim: &Claim, sandbox: &Sandbox) -> Option<&'a Arc<Template>> {
        if let Some(name) = sandbox.meta.annotation(names::TEMPLATE_REF) {
            let key = sandbox.meta.key.sibling(name.clone());
            return self.holder(Kind::Template, &key).known().map(|uid| &self.state.templates[&uid]);
        }
        let of_pool = self.pool_of(claim).known().and_then(|pool| self.template_of(pool).known());
        let is_own = |template: &&Arc<Template>| names_template(sandbox, template);
        if sandbox.meta.label(names::TEMPLATE_REF_HASH).is_none() || of_pool.as_ref().is_some_and(is_own) {
            return of_pool;
        }
        // Pools seldom change their template, and such sandboxes are few.
        let namespace = &sandbox.meta.key.namespace;
        let near = self
            .state
            .templates
            .unordered()
            .map(|(_, template)| template)
            .filter(|it| it.meta.key.namespace == *namespace);
        near.filter(is_own).min_by_key(|template| &template.meta.key)
    }

    /// Returns the sandbox of this name.
    pub(crate) fn sandbox_named(&self, key: &Key) -> Holder<&'a Arc<Sandbox>> {
        self.holder(Kind::Sandbox, key).map(|uid| &self.state.sandboxes[&uid].sandbox)
    }

    /// Returns whether the server itself named this sandbox as the holder of its name.
    pub(crate) fn is_confirmed(&self, sandbox: &Sandbox) -> bool {
        self.state.confirmed.get(&sandbox.meta.key) == Some(&sandbox.meta.uid)
    }

    /// Returns whether a sandbox goes because the claim that has it, or has recorded it, has expired: the server itself
    /// has said so after the sandbox was seen.
    pub(crate) fn is_condemned(&self, claim: &Claim, sandbox: &Sandbox) -> bool {
        self.state.condemned.get(&(claim.meta.uid, sandbox.meta.uid)) == Some(&true)
    }

    /// Returns whether an object has lost what was made for it, and the server has not said since that it is still there.
    pub(crate) fn is_bereaved(&self, uid: Uid) -> bool {
        self.state.bereaved.contains_key(&uid)
    }

    /// Returns the pool that owns a member: itself while it lives, nobody once it is known to be dead or dying.
    pub(crate) fn owning_pool(&self, sandbox: &Sandbox) -> Holder<&'a Arc<Pool>> {
        let Some(owner) =
            sandbox.meta.owner.as_ref().filter(|owner| owner.kind == OwnerKind::Known(Kind::Pool))
        else {
            return Holder::Nobody;
        };
        match self.holder(Kind::Pool, &sandbox.meta.key.sibling(owner.name.clone())) {
            Holder::Is(uid) if uid == owner.uid => {
                let pool = &self.state.pools[&uid].pool;
                if pool.meta.terminating { Holder::Nobody } else { Holder::Is(pool) }
            }
            Holder::Is(_) | Holder::Nobody => Holder::Nobody,
            Holder::Unseen if self.state.tombstones.contains_key(&owner.uid) => Holder::Nobody,
            Holder::Unseen => Holder::Unseen,
        }
    }

    // ----- Claims -----

    /// Returns the sandbox that a claim has recorded.
    pub(crate) fn assignment<'c>(&self, claim: &'c Claim) -> Option<&'c Text> {
        assignment(claim)
    }

    /// Returns how many claims of this pool wait.
    pub(crate) fn waiting_count(&self, pool: &Key) -> usize {
        self.state.waiting.get(pool).map_or(0, BTreeSet::len)
    }

    /// Returns the claim of this pool that waits longest. One whose time is over leaves the queue when it is told so, and
    /// is passed over until then.
    pub(crate) fn oldest_waiting(&self, pool: &Key, now: Wall) -> Option<&'a ClaimEntry> {
        let mut waiting = self.state.waiting.get(pool)?.iter().filter_map(|order| self.claim(order.2));
        waiting.find(|entry| !entry.claim.is_over(now))
    }

    /// Returns the claim of this pool that came last, likewise.
    pub(crate) fn youngest_waiting(&self, pool: &Key, now: Wall) -> Option<&'a ClaimEntry> {
        let mut waiting = self.state.waiting.get(pool)?.iter().rev().filter_map(|order| self.claim(order.2));
        waiting.find(|entry| !entry.claim.is_over(now))
    }

    // ----- Pools -----

    /// Returns a pool's members.
    pub(crate) fn members(&self, pool: Uid) -> Option<&'a Members> {
        self.state.members.get(&pool).map(|members| &**members)
    }

    /// Returns the name for the next member.
    pub(crate) fn next_member_name(&self, pool: &Pool) -> Key {
        let name = names::member_name(pool.meta.uid, &pool.meta.key.name, self.term, self.names_given);
        pool.meta.key.sibling(name)
    }

    /// Returns whether the watch of a kind may have missed something.
    pub(crate) fn is_blind(&self, kind: Kind) -> bool {
        self.state.feeds[kind.index()].lost
    }

    // ----- Writes under way -----

    /// Returns whether a write to this object is not settled: then it must not be written.
    pub(crate) fn is_held(&self, uid: Uid) -> bool {
        self.state.ledger.holds.contains_key(&uid)
    }

    /// Returns whether a deletion of this object is on its way, or may be.
    pub(crate) fn is_being_deleted(&self, uid: Uid) -> bool {
        self.state.ledger.is_being_deleted(uid)
    }

    /// Returns whether a write to this object was refused because another was first.
    pub(crate) fn is_stale(&self, uid: Uid) -> bool {
        matches!(self.state.ledger.holds.get(&uid), Some(crate::ledger::Hold::Stale(..)))
    }

    /// Returns whether a create of this name is not settled.
    pub(crate) fn is_drafted(&self, kind: Kind, key: &Key) -> bool {
        self.state
            .ledger
            .drafts
            .get(&(kind, key.clone()))
            .is_some_and(|draft| draft.stage != crate::ledger::Stage::Ghost)
    }

    /// Returns the create for an object that the server refuses.
    pub(crate) fn refused(&self, subject: Uid, kind: Kind) -> Option<&'a Refused> {
        self.state.ledger.refused.get(&(subject, kind))
    }

    /// Returns whether this name is being looked up at the server.
    pub(crate) fn is_looked_up(&self, kind: Kind, key: &Key) -> bool {
        self.state.ledger.looks.contains_key(&(kind, key.clone()))
    }
}

impl<T> Holder<T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> Holder<U> {
        match self {
            Self::Is(value) => Holder::Is(change(value)),
            Self::Nobody => Holder::Nobody,
            Self::Unseen => Holder::Unseen,
        }
    }

    /// Returns the holder, if there is one.
    pub(crate) fn known(self) -> Option<T> {
        match self {
            Self::Is(value) => Some(value),
            Self::Nobody | Self::Unseen => None,
        }
    }
}
