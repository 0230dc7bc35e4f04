//! The indexes, kept in line with the objects: an object is unlinked as it was known, and linked as it is known.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{State, assignment, is_ready, order, range};
use crate::id::{Key, Kind, Uid};
use crate::members::{Place, Standing};
use crate::object::{Blueprint, Claim, Sandbox, Template, Update};
use crate::same;

impl State {
    /// Takes an object out of the indexes, as it is known.
    pub(super) fn unlink(&mut self, kind: Kind, uid: Uid) {
        match kind {
            Kind::Claim => self.unlink_claim(uid),
            Kind::Pool => {
                if let Some(entry) = self.pools.get(&uid) {
                    let template = entry.pool.meta.key.sibling(entry.pool.template.clone());
                    self.pools_by_template.remove(&(template.clone(), uid));
                    self.unsure.push((Kind::Template, template));
                }
            }
            Kind::Template => {}
            Kind::Sandbox => {
                let Some(entry) = self.sandboxes.get(&uid) else { return };
                let sandbox = entry.sandbox.clone();
                if let Some(owner) = &sandbox.meta.owner {
                    self.children.remove(&(owner.uid, kind, uid));
                }
                self.touch_owner(&sandbox);
                self.stand(uid, None);
                self.relink_owning_claim(&sandbox);
            }
            Kind::Pod => {
                if let Some(owner) = self.pods.get(&uid).and_then(|pod| pod.meta.owner_of_kind(Kind::Sandbox))
                {
                    self.children.remove(&(owner, kind, uid));
                    self.restand(owner);
                }
            }
            Kind::Service | Kind::VolumeClaim | Kind::NetworkPolicy => {
                if let Some(owner) = self.meta(kind, uid).and_then(|meta| meta.owner.as_ref()) {
                    self.children.remove(&(owner.uid, kind, uid));
                }
            }
        }
    }

    /// Puts an object into the indexes, as it is known.
    pub(super) fn link(&mut self, kind: Kind, uid: Uid) {
        match kind {
            Kind::Claim => self.link_claim(uid),
            Kind::Pool => {
                if let Some(entry) = self.pools.get(&uid) {
                    let template = entry.pool.meta.key.sibling(entry.pool.template.clone());
                    self.pools_by_template.insert((template, uid));
                }
            }
            Kind::Template => {}
            Kind::Sandbox => {
                let Some(entry) = self.sandboxes.get(&uid) else { return };
                let sandbox = entry.sandbox.clone();
                if let Some(owner) = &sandbox.meta.owner {
                    self.children.insert((owner.uid, kind, uid));
                }
                self.restand(uid);
                self.relink_owning_claim(&sandbox);
            }
            Kind::Pod => {
                if let Some(owner) = self.pods.get(&uid).and_then(|pod| pod.meta.owner_of_kind(Kind::Sandbox))
                {
                    self.children.insert((owner, kind, uid));
                    self.restand(owner);
                }
            }
            Kind::Service | Kind::VolumeClaim | Kind::NetworkPolicy => {
                if let Some(owner) = self.meta(kind, uid).and_then(|meta| meta.owner.as_ref()) {
                    self.children.insert((owner.uid, kind, uid));
                }
            }
        }
    }

    pub(super) fn link_claim(&mut self, uid: Uid) {
        let Some(entry) = self.claims.get(&uid) else { return };
        let (claim, recorded) =
            (entry.claim.clone(), entry.promised.as_ref().or(assignment(&entry.claim)).cloned());
        let pool = claim.meta.key.sibling(claim.pool.clone());
        let reserves = recorded.map(|name| claim.meta.key.sibling(name));
        if let Some(key) = &reserves {
            self.reserved.insert((key.clone(), uid));
            self.restand_name(key);
        }
        let waits = reserves.is_none()
            && !claim.meta.terminating
            && self.child(uid, Kind::Sandbox).is_none()
            && !self.ledger.holds.contains_key(&uid);
        let waits = waits && !self.stands_apart(&claim);
        let queued = waits.then(|| pool.clone());
        if waits {
            self.waiting.entry(pool.clone()).or_default().insert(order(&claim));
            self.touch_name(Kind::Pool, &pool);
        }
        self.claims_by_pool.insert((pool, uid));
        if let Some(entry) = self.claims.get_mut(&uid) {
            (entry.queued, entry.reserves) = (queued, reserves);
        }
    }

    /// Returns whether no member may be given to a claim: it asks for what only a sandbox of its own can have, or for
    /// what nobody can. Such a claim stands in no queue, so that it keeps nobody waiting (INV-32).
    fn stands_apart(&self, claim: &Claim) -> bool {
        claim.needs_own_sandbox() || self.template_for(claim).is_some_and(|template| template.flaw.is_some())
    }

    /// Returns the template of the pool that a claim refers to, where both are known.
    fn template_for(&self, claim: &Claim) -> Option<&Template> {
        let key = claim.meta.key.sibling(claim.pool.clone());
        let pool = &self.pools.get(self.names.get(&(Kind::Pool, key.clone()))?)?.pool;
        let template = self.names.get(&(Kind::Template, key.sibling(pool.template.clone())))?;
        self.templates.get(template).map(|template| &**template)
    }

    /// Puts those into the queue, or takes those out, for whom a change of their pool or template decides that.
    pub(super) fn requeue(&mut self, kind: Kind, key: &Key) {
        let pools: Vec<Key> = match kind {
            Kind::Pool => Vec::from([key.clone()]),
            Kind::Template => {
                let pools = range(&self.pools_by_template, key);
                pools.filter_map(|uid| Some(self.pools.get(&uid)?.pool.meta.key.clone())).collect()
            }
            Kind::Claim
            | Kind::Sandbox
            | Kind::Pod
            | Kind::Service
            | Kind::VolumeClaim
            | Kind::NetworkPolicy => return,
        };
        for pool in pools {
            let waiting: Vec<Uid> = range(&self.claims_by_pool, &pool).collect();
            for uid in waiting {
                let Some(entry) = self.claims.get(&uid).filter(|entry| entry.reserves.is_none()) else {
                    continue;
                };
                if entry.queued.is_some() == self.stands_apart(&entry.claim) {
                    self.unlink_claim(uid);
                    self.link_claim(uid);
                }
            }
        }
    }

    pub(super) fn unlink_claim(&mut self, uid: Uid) {
        let Some(entry) = self.claims.get_mut(&uid) else { return };
        let (claim, queued, reserves) = (entry.claim.clone(), entry.queued.take(), entry.reserves.take());
        let pool = claim.meta.key.sibling(claim.pool.clone());
        self.claims_by_pool.remove(&(pool.clone(), uid));
        if let Some(queue) = queued {
            self.touch_name(Kind::Pool, &queue);
            if let Some(waiting) = self.waiting.get_mut(&queue) {
                waiting.remove(&order(&claim));
                if waiting.is_empty() {
                    self.waiting.remove(&queue);
                }
            }
        }
        if let Some(key) = reserves {
            self.reserved.remove(&(key.clone(), uid));
            self.restand_name(&key);
            self.forget_sandbox(key);
        }
        self.unsure.push((Kind::Pool, pool));
    }

    /// Drops what is known of a sandbox's name when a claim that has recorded it changes: what the server said before
    /// is no evidence about what the claim says now.
    fn forget_sandbox(&mut self, key: Key) {
        if !self.is_referred_to(Kind::Sandbox, &key) {
            self.confirmed.remove(&key);
            self.absent.remove(&(Kind::Sandbox, key));
        }
    }

    /// Drops evidence about pools and templates that nobody asks for any more.
    pub(super) fn sweep(&mut self) {
        for (kind, key) in core::mem::take(&mut self.unsure) {
            let index = if kind == Kind::Pool { &self.claims_by_pool } else { &self.pools_by_template };
            if range(index, &key).next().is_none() {
                self.absent.remove(&(kind, key));
            }
        }
    }

    /// A claim stops or starts to wait when it gets or loses a sandbox.
    pub(super) fn relink_owning_claim(&mut self, sandbox: &Sandbox) {
        if let Some(claim) = sandbox.meta.owner_of_kind(Kind::Claim) {
            self.unlink_claim(claim);
            self.link_claim(claim);
        }
    }

    pub(super) fn restand_name(&mut self, sandbox: &Key) {
        if let Some(&uid) = self.names.get(&(Kind::Sandbox, sandbox.clone())) {
            self.restand(uid);
        }
    }

    /// Works out anew where a sandbox stands in its pool.
    pub(super) fn restand(&mut self, uid: Uid) {
        let Some(entry) = self.sandboxes.get(&uid) else { return };
        let sandbox = entry.sandbox.clone();
        self.touch(Kind::Sandbox, uid);
        self.touch_owner(&sandbox);
        self.stand_anew(&sandbox);
    }

    fn stand_anew(&mut self, sandbox: &Sandbox) {
        let uid = sandbox.meta.uid;
        let standing = sandbox.meta.owner_of_kind(Kind::Pool).map(|pool| {
            let place = self.place(sandbox);
            let is_spoken_for = matches!(place, Place::Leaving | Place::Reserved);
            let place = if is_spoken_for { place } else { self.judge(sandbox, pool).unwrap_or(place) };
            let order = (sandbox.meta.created, sandbox.meta.key.name.clone(), uid);
            Standing { pool, order, place, ready: is_ready(sandbox) }
        });
        self.stand(uid, standing);
    }

    /// Works out anew where the members stand that are judged by this pool or template.
    pub(super) fn judge_again(&mut self, kind: Kind, uid: Uid) {
        if kind == Kind::Pool {
            self.judge_members(uid);
        } else if let Some(template) = self.templates.get(&uid) {
            let key = template.meta.key.clone();
            self.judge_members_of(&key);
        }
    }

    /// Works out anew where the members of all pools of this template stand.
    pub(super) fn judge_members_of(&mut self, template: &Key) {
        let pools: Vec<Uid> = range(&self.pools_by_template, template).collect();
        pools.into_iter().for_each(|pool| self.judge_members(pool));
    }

    fn judge_members(&mut self, pool: Uid) {
        let Some(entry) = self.pools.get_mut(&pool) else { return };
        let judges = entry.pool.update == Update::Recreate;
        if !core::mem::replace(&mut entry.judges, judges) && !judges {
            return;
        }
        let range = (pool, Kind::Sandbox, Uid::UNSET)..=(pool, Kind::Sandbox, Uid::from_bits(u128::MAX));
        let members: Vec<Uid> = self.children.range(range).map(|(_, _, member)| *member).collect();
        for member in members {
            if let Some(sandbox) = self.sandboxes.get(&member).map(|entry| entry.sandbox.clone()) {
                self.stand_anew(&sandbox);
            }
        }
        self.touch(Kind::Pool, pool);
    }

    /// Returns where a member stands that its pool would replace, or about which nobody can tell (ADP-010, ADP-011).
    fn judge(&mut self, sandbox: &Sandbox, pool: Uid) -> Option<Place> {
        let pool = self.pools.get(&pool).map(|entry| &entry.pool)?;
        if pool.update == Update::OnReplenish {
            return None;
        }
        let key = pool.meta.key.sibling(pool.template.clone());
        let template = self.names.get(&(Kind::Template, key)).and_then(|uid| self.templates.get(uid));
        let Some(template) = template.cloned() else { return Some(Place::Unjudged) };
        let is_current = same::names_template(sandbox, &template)
            && (same::bears_mark(sandbox, &template.blueprint)
                || self.is_made_of(sandbox, &template.blueprint));
        (!is_current).then_some(Place::Stale)
    }

    /// Compares once for each generation of a sandbox and each blueprint: most changes of a sandbox are of its status.
    fn is_made_of(&mut self, sandbox: &Sandbox, blueprint: &Arc<Blueprint>) -> bool {
        let Some(entry) = self.sandboxes.get_mut(&sandbox.meta.uid) else { return false };
        let generation = sandbox.meta.generation;
        if let Some((of, with, told)) = &entry.likeness
            && *of == generation
            && Arc::ptr_eq(with, blueprint)
        {
            return *told;
        }
        let told = same::is_made_of(sandbox, blueprint);
        entry.likeness = Some((generation, blueprint.clone(), told));
        told
    }

    pub(super) fn place(&self, sandbox: &Sandbox) -> Place {
        let uid = sandbox.meta.uid;
        if sandbox.meta.terminating || self.ledger.is_being_deleted(uid) {
            return Place::Leaving;
        }
        if range(&self.reserved, &sandbox.meta.key).next().is_some() {
            return Place::Reserved;
        }
        let Some(pod) = self.child(uid, Kind::Pod).and_then(|pod| self.pods.get(&pod)) else {
            return Place::Starting;
        };
        if pod.meta.terminating || pod.phase.is_terminal() {
            Place::Unusable
        } else if pod.ips.is_empty() {
            Place::Starting
        } else if pod.ready && is_ready(sandbox) {
            Place::Ready(pod.node.clone())
        } else {
            Place::Reachable(pod.node.clone())
        }
    }

    pub(super) fn stand(&mut self, uid: Uid, standing: Option<Standing>) {
        let Some(entry) = self.sandboxes.get_mut(&uid) else { return };
        if entry.standing == standing {
            return;
        }
        let before = core::mem::replace(&mut entry.standing, standing.clone());
        if let Some(before) = before
            && let Some(members) = self.members.get_mut(&before.pool)
        {
            members.remove(&before);
            self.drop_members(before.pool);
        }
        if let Some(standing) = standing {
            self.members.entry(standing.pool).or_default().add(&standing);
        }
    }

    pub(super) fn drop_members(&mut self, pool: Uid) {
        if self.members.get(&pool).is_some_and(|members| members.is_empty()) {
            self.members.remove(&pool);
        }
    }

    /// Returns the oldest child of a kind: a sandbox has one Pod, a claim one sandbox.
    pub(crate) fn child(&self, owner: Uid, kind: Kind) -> Option<Uid> {
        let range = (owner, kind, Uid::UNSET)..=(owner, kind, Uid::from_bits(u128::MAX));
        self.children.range(range).next().map(|(_, _, child)| *child)
    }
}
