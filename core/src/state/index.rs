//! The indexes, kept in line with the objects: each object moves from where it was known to be to where it belongs.
//!
//! Most changes of an object move it in no index, so only what differs is written, and touched.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem::replace;

use super::referrers::Uids;
use super::{ClaimEntry, ClaimPlace, State, assignment, is_ready, noted_pod, order, origin};
use crate::action::Intent;
use crate::id::{Key, Kind, Uid};
use crate::make;
use crate::members::{Place, Standing, Trouble};
use crate::mutant::Mutant;
use crate::names;
use crate::object::{Blueprint, Claim, Meta, Object, Pool, Sandbox, Template, Truth, Update};
use crate::same;
use crate::time::Wall;

impl State {
    /// Brings the indexes in line with an object as it is known; `former` is how it was known before.
    pub(super) fn relink(&mut self, kind: Kind, uid: Uid, former: Option<&Object>) {
        let from = former.and_then(|former| parent(kind, former.meta()));
        let to = self.meta(kind, uid).and_then(|meta| parent(kind, meta));
        self.move_child(uid, from, to);
        if let Some(parent) = to.filter(|_| former.is_none()) {
            // Whoever has made it, the server does not refuse it any more.
            let is_freed = self.ledger.refused.remove(&(parent, kind)).is_some();
            self.freed.extend(is_freed.then_some((parent, kind)));
        }
        match kind {
            Kind::Claim => self.relink_claim(uid),
            Kind::Pool => {
                let from =
                    if let Some(Object::Pool(former)) = former { Some(template(former)) } else { None };
                let to = self.pools.get(&uid).map(|entry| template(&entry.pool));
                self.refer_to_template(uid, from, to);
            }
            Kind::Sandbox => {
                if let Some(Object::Sandbox(former)) = former
                    && from != to
                {
                    self.touch_owner(former);
                    self.relink_owning_claim(former);
                }
                let from = if let Some(Object::Sandbox(former)) = former { noted_pod(former) } else { None };
                let to = self.sandboxes.get(&uid).and_then(|entry| noted_pod(&entry.sandbox));
                self.note_pod(uid, from, to);
                let was = if let Some(Object::Sandbox(former)) = former { origin(former) } else { None };
                let is = self.sandboxes.get(&uid).and_then(|entry| origin(&entry.sandbox));
                self.move_origin(uid, was, is);
                self.realign(kind, uid);
            }
            Kind::Pod => {
                if from != to {
                    from.into_iter().for_each(|sandbox| self.restand(sandbox));
                }
                to.into_iter().for_each(|sandbox| self.restand(sandbox));
            }
            Kind::Template | Kind::Service | Kind::VolumeClaim | Kind::NetworkPolicy => {}
        }
    }

    /// Takes an object out of the indexes.
    pub(super) fn unlink(&mut self, kind: Kind, uid: Uid) {
        let from = self.meta(kind, uid).and_then(|meta| parent(kind, meta));
        self.move_child(uid, from, None);
        match kind {
            Kind::Claim => self.move_claim(uid, ClaimPlace::default()),
            Kind::Pool => {
                let from = self.pools.get(&uid).map(|entry| template(&entry.pool));
                self.refer_to_template(uid, from, None);
            }
            Kind::Sandbox => {
                let Some(entry) = self.sandboxes.get(&uid) else { return };
                let sandbox = entry.sandbox.clone();
                self.note_pod(uid, noted_pod(&sandbox), None);
                self.move_origin(uid, origin(&sandbox), None);
                self.touch_owner(&sandbox);
                self.stand(uid, None);
                self.relink_owning_claim(&sandbox);
            }
            Kind::Pod => from.into_iter().for_each(|sandbox| self.restand(sandbox)),
            Kind::Template | Kind::Service | Kind::VolumeClaim | Kind::NetworkPolicy => {}
        }
    }

    /// Brings the indexes in line after a change of what else decides where an object stands: its children, what is
    /// promised to it, and the writes under way.
    pub(super) fn realign(&mut self, kind: Kind, uid: Uid) {
        match kind {
            Kind::Claim => self.relink_claim(uid),
            Kind::Sandbox => {
                let Some(entry) = self.sandboxes.get(&uid) else { return };
                let sandbox = entry.sandbox.clone();
                self.relink_unrecorded(&sandbox.meta.key);
                self.restand(uid);
                self.relink_owning_claim(&sandbox);
            }
            Kind::Pool
            | Kind::Template
            | Kind::Pod
            | Kind::Service
            | Kind::VolumeClaim
            | Kind::NetworkPolicy => {}
        }
    }

    fn move_child(&mut self, uid: Uid, from: Option<Uid>, to: Option<Uid>) {
        if from == to {
            return;
        }
        if let Some(parent) = from
            && let Some(children) = self.children.get_mut(&parent)
            && children.remove(uid)
        {
            self.children.remove(&parent);
        }
        if let Some(parent) = to {
            match self.children.get_mut(&parent) {
                Some(children) => children.insert(uid),
                None => {
                    self.children.insert(parent, Uids::One(uid));
                }
            }
        }
    }

    fn move_origin(&mut self, sandbox: Uid, from: Option<Key>, to: Option<Key>) {
        if from == to {
            return;
        }
        if let Some(template) = from.filter(|_| !self.has(Mutant::RemembersTheGone)) {
            self.made_from.remove(&template, sandbox);
        }
        if let Some(template) = to {
            self.made_from.insert(template, sandbox);
        }
    }

    fn refer_to_template(&mut self, pool: Uid, from: Option<Key>, to: Option<Key>) {
        if from == to {
            return;
        }
        if let Some(template) = from {
            self.pools_by_template.remove(&template, pool);
            self.unsure.push((Kind::Template, template));
        }
        if let Some(template) = to {
            self.pools_by_template.insert(template, pool);
        }
    }

    fn note_pod(&mut self, sandbox: Uid, from: Option<Key>, to: Option<Key>) {
        if from == to {
            return;
        }
        if let Some(pod) = from {
            self.noted.remove(&pod, sandbox);
            self.unsure.push((Kind::Pod, pod));
        }
        if let Some(pod) = to {
            self.noted.insert(pod, sandbox);
        }
    }

    fn relink_claim(&mut self, uid: Uid) {
        let Some(entry) = self.claims.get(&uid) else { return };
        let claim = &entry.claim;
        let recorded = entry.promised.as_ref().or(assignment(claim));
        let recorded = recorded.map(|name| claim.meta.key.sibling(name.clone()));
        // Somebody may take the record off while the member changes hands: the claim gets that one, or waits again.
        let reserves =
            recorded.or_else(|| entry.place.reserves.clone().filter(|member| self.is_given(member, uid)));
        let waits = reserves.is_none()
            && !claim.meta.terminating
            && self.child(uid).is_none()
            && !self.ledger.holds.contains_key(&uid)
            && !self.ledger.is_barred(uid)
            && !self.stands_apart(claim);
        let pool = Some(claim.meta.key.sibling(claim.pool.clone()));
        self.move_claim(uid, ClaimPlace { pool, waits, reserves });
    }

    /// Returns whether a transfer of a member to a claim may still take effect.
    fn is_given(&self, member: &Key, claim: Uid) -> bool {
        let member = self.names.get(Kind::Sandbox, member);
        member
            .and_then(|member| self.ledger.under_way(member))
            .is_some_and(|purpose| (purpose.intent, purpose.subject) == (Intent::AdoptSandbox, claim))
    }

    /// Works out anew where a claim stands that reserves a sandbox without a record.
    pub(super) fn relink_unrecorded(&mut self, sandbox: &Key) {
        let claims: Vec<Uid> = self.reserved.of(sandbox).collect();
        for claim in claims {
            let is_recorded =
                |entry: &ClaimEntry| entry.promised.is_some() || assignment(&entry.claim).is_some();
            if self.claims.get(&claim).is_some_and(|entry| !is_recorded(entry)) {
                self.relink_claim(claim);
            }
        }
    }

    /// Returns whether no member may be given to a claim: it asks for what only a sandbox of its own can have, or for
    /// what nobody can, as far as is known. Such a claim stands in no queue, so that it keeps nobody waiting (INV-32).
    fn stands_apart(&self, claim: &Claim) -> bool {
        if claim.needs_own_sandbox() || claim.expired().is_some() {
            return true;
        }
        if self.has(Mutant::RefusedWait) {
            return false;
        }
        let template = self.template_for(claim);
        let wants_metadata = claim.wishes.as_ref().is_some_and(|wishes| wishes.name_metadata());
        template.is_some_and(|template| template.flaw.is_some())
            || wants_metadata
                && template
                    .is_none_or(|template| make::objection(claim, template, &self.label_domains).is_some())
    }

    /// Returns the template of the pool that a claim refers to, where both are known.
    fn template_for(&self, claim: &Claim) -> Option<&Template> {
        let key = claim.meta.key.sibling(claim.pool.clone());
        let pool = &self.pools.get(&self.names.get(Kind::Pool, &key)?)?.pool;
        let template = self.names.get(Kind::Template, &key.sibling(pool.template.clone()))?;
        self.templates.get(&template).map(|template| &**template)
    }

    /// Puts those into the queue, or takes those out, for whom a change of their pool or template decides that.
    pub(super) fn requeue(&mut self, kind: Kind, key: &Key) {
        let pools: Vec<Key> = match kind {
            Kind::Pool => Vec::from([key.clone()]),
            Kind::Template => {
                let pools = self.pools_by_template.of(key);
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
            let claims: Vec<Uid> = self.claims_by_pool.of(&pool).collect();
            for uid in claims {
                if self.claims.get(&uid).is_some_and(|entry| entry.place.reserves.is_none()) {
                    self.relink_claim(uid);
                }
            }
        }
    }

    fn move_claim(&mut self, uid: Uid, to: ClaimPlace) {
        let Some(entry) = self.claims.get(&uid) else { return };
        if let Some(key) = entry.place.reserves.clone() {
            self.forget_sandbox(&key, uid);
        }
        let Some(entry) = self.claims.get(&uid).filter(|entry| entry.place != to) else { return };
        let order = order(&entry.claim);
        let Some(entry) = self.claims.get_mut(&uid) else { return };
        let from = replace(&mut entry.place, to.clone());
        if from.queue() != to.queue() {
            if let Some(pool) = from.queue() {
                self.touch_name(Kind::Pool, pool);
                if let Some(waiting) = self.waiting.get_mut(pool) {
                    waiting.remove(&order);
                    if waiting.is_empty() {
                        self.waiting.remove(pool);
                    }
                }
            }
            if let Some(pool) = to.queue() {
                self.touch_name(Kind::Pool, pool);
                self.waiting.entry(pool.clone()).or_default().insert(order);
            }
        }
        if from.pool != to.pool {
            if let Some(pool) = from.pool {
                self.claims_by_pool.remove(&pool, uid);
                self.unsure.push((Kind::Pool, pool));
            }
            if let Some(pool) = to.pool {
                self.claims_by_pool.insert(pool, uid);
            }
        }
        if from.reserves != to.reserves {
            if let Some(key) = from.reserves {
                self.reserved.remove(&key, uid);
                self.restand_name(&key);
            }
            if let Some(key) = to.reserves {
                self.reserved.insert(key.clone(), uid);
                self.restand_name(&key);
            }
        }
    }

    /// Drops what is known of a sandbox's name when the claim that has recorded it changes: what the server said before
    /// is no evidence about what the claim says now.
    fn forget_sandbox(&mut self, key: &Key, claim: Uid) {
        if self.confirmed.is_empty() && self.absent.is_empty() {
            return;
        }
        if self.reserved.of(key).all(|uid| uid == claim) {
            self.confirmed.remove(key);
            self.absent.remove(&(Kind::Sandbox, key.clone()));
        }
    }

    /// Drops evidence about pools, templates and Pods that nobody asks for any more.
    pub(super) fn sweep(&mut self) {
        for (kind, key) in core::mem::take(&mut self.unsure) {
            let index = match kind {
                Kind::Pool => &self.claims_by_pool,
                Kind::Template => &self.pools_by_template,
                Kind::Pod => &self.noted,
                Kind::Claim | Kind::Sandbox | Kind::Service | Kind::VolumeClaim | Kind::NetworkPolicy => {
                    continue;
                }
            };
            if !index.has(&key) {
                self.absent.remove(&(kind, key));
            }
        }
    }

    /// A claim stops or starts to wait when it gets or loses a sandbox.
    pub(super) fn relink_owning_claim(&mut self, sandbox: &Sandbox) {
        if let Some(claim) = sandbox.meta.owner_of_kind(Kind::Claim) {
            self.relink_claim(claim);
        }
    }

    pub(super) fn restand_name(&mut self, sandbox: &Key) {
        if let Some(uid) = self.names.get(Kind::Sandbox, sandbox) {
            self.restand(uid);
        }
    }

    /// Works out anew where a sandbox stands in its pool.
    pub(super) fn restand(&mut self, uid: Uid) {
        let Some(entry) = self.sandboxes.get(&uid) else { return };
        let sandbox = entry.sandbox.clone();
        self.touch(Kind::Sandbox, uid);
        self.touch_claim_of(&sandbox);
        self.stand_anew(&sandbox);
    }

    fn stand_anew(&mut self, sandbox: &Sandbox) {
        let uid = sandbox.meta.uid;
        let standing = sandbox.meta.owner_of_kind(Kind::Pool).map(|pool| {
            let place = self.place(sandbox);
            let is_spoken_for = matches!(place, Place::Leaving | Place::Reserved);
            let place = if is_spoken_for { place } else { self.judge(sandbox, pool).unwrap_or(place) };
            Standing { pool, place, ready: is_ready(sandbox), trouble: self.trouble(sandbox) }
        });
        self.stand(uid, standing);
    }

    /// Returns what keeps a member from being ready, and since when: by the word of its status, which outlives this
    /// process, or else since this process knows it. The calendar of the server, which dates its creation, may be
    /// another: a controller whose own runs ahead would find every new member stuck.
    fn trouble(&self, sandbox: &Sandbox) -> Trouble {
        let mut pods = self.children(sandbox.meta.uid).filter_map(|pod| self.pods.get(&pod));
        // Of several Pods none counts.
        let pod = pods.next().filter(|_| pods.next().is_none());
        let told = sandbox.status.condition(names::READY);
        let seen = self.sandboxes.get(&sandbox.meta.uid).map_or(Wall::default(), |entry| entry.seen.wall);
        let counts = told.filter(|_| !self.has(Mutant::AgeCounts));
        let since = counts.map_or(seen, |condition| condition.changed);
        let says_ready = told.is_some_and(|condition| condition.status == Truth::True);
        if says_ready {
            // Whatever its Pod does: since when it is not ready is known once it says so.
            return Trouble::None;
        }
        if pod.is_some_and(|pod| pod.phase.is_terminal()) {
            return Trouble::Ended(since);
        }
        if pod.is_some_and(|pod| pod.ready) {
            return Trouble::None;
        }
        let waits_for_room = pod.is_some_and(|pod| {
            let scheduled = pod.scheduled.as_ref();
            !pod.meta.terminating
                && !self.has(Mutant::NoRoomIsStuck)
                && scheduled.is_some_and(|(status, reason, _)| {
                    *status == Truth::False && &**reason == names::UNSCHEDULABLE
                })
        });
        if waits_for_room { Trouble::NoRoom(since) } else { Trouble::Unready(since) }
    }

    fn template_of(&self, pool: Uid) -> Option<Arc<Template>> {
        let pool = self.pools.get(&pool).map(|entry| &entry.pool)?;
        let key = pool.meta.key.sibling(pool.template.clone());
        self.names.get(Kind::Template, &key).and_then(|uid| self.templates.get(&uid)).cloned()
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
        let pools: Vec<Uid> = self.pools_by_template.of(template).collect();
        pools.into_iter().for_each(|pool| self.judge_members(pool));
    }

    fn judge_members(&mut self, pool: Uid) {
        let Some(entry) = self.pools.get_mut(&pool) else { return };
        let judges = entry.pool.update == Update::Recreate;
        if !replace(&mut entry.judges, judges) && !judges {
            return;
        }
        let sandboxes: Vec<Uid> = self.children(pool).collect();
        for uid in sandboxes {
            if let Some(sandbox) = self.sandboxes.get(&uid).map(|entry| entry.sandbox.clone()) {
                self.stand_anew(&sandbox);
            }
        }
        self.touch(Kind::Pool, pool);
    }

    /// Returns where a member stands that its pool would replace, or about which nobody can tell (ADP-010, ADP-011).
    fn judge(&mut self, sandbox: &Sandbox, pool: Uid) -> Option<Place> {
        if self.pools.get(&pool)?.pool.update == Update::OnReplenish {
            return None;
        }
        let Some(template) = self.template_of(pool) else { return Some(Place::Unjudged) };
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
        if self.reserved.has(&sandbox.meta.key) {
            return Place::Reserved;
        }
        if sandbox.suspended || sandbox.status.is_expired() {
            return Place::Unusable;
        }
        let mut pods = self.children(uid).filter_map(|pod| self.pods.get(&pod));
        let Some(pod) = pods.next() else { return Place::Starting };
        if pods.next().is_some() || pod.meta.terminating || pod.phase.is_terminal() {
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
        let Some(entry) = self.sandboxes.get(&uid).filter(|entry| entry.standing != standing) else { return };
        let meta = &entry.sandbox.meta;
        let order = (meta.created, meta.key.name.clone(), uid);
        let Some(entry) = self.sandboxes.get_mut(&uid) else { return };
        let before = replace(&mut entry.standing, standing.clone());
        let stays = |before: &Standing| {
            standing.as_ref().is_some_and(|now| now.pool == before.pool && now.place != Place::Leaving)
        };
        let lost = before.as_ref().filter(|before| before.place != Place::Leaving && !stays(before));
        self.bereft.extend(lost.map(|before| before.pool));
        if let Some(before) = before
            && let Some(members) = self.members.get_mut(&before.pool)
        {
            members.remove(&before, order.clone());
            self.drop_members(before.pool);
            self.touch(Kind::Pool, before.pool);
        }
        if let Some(standing) = standing {
            self.touch(Kind::Pool, standing.pool);
            self.members.get_or_default(standing.pool).add(&standing, order);
        }
    }

    pub(super) fn drop_members(&mut self, pool: Uid) {
        if self.members.get(&pool).is_some_and(|members| members.is_empty()) {
            self.members.remove(&pool);
        }
    }

    /// Returns the sandbox of a claim or pool, or the Pod of a sandbox: the first, where there are several.
    pub(crate) fn child(&self, owner: Uid) -> Option<Uid> {
        self.children(owner).next()
    }

    /// Returns the sandboxes of a claim or pool, or the Pods of a sandbox.
    pub(crate) fn children(&self, owner: Uid) -> impl Iterator<Item = Uid> + use<'_> {
        self.children.get(&owner).into_iter().flat_map(Uids::iter)
    }
}

/// Returns the claim or pool of a sandbox, or the sandbox of a Pod.
fn parent(kind: Kind, meta: &Meta) -> Option<Uid> {
    match kind {
        Kind::Sandbox => meta.owner.as_ref().map(|owner| owner.uid),
        Kind::Pod => meta.owner_of_kind(Kind::Sandbox),
        Kind::Claim
        | Kind::Pool
        | Kind::Template
        | Kind::Service
        | Kind::VolumeClaim
        | Kind::NetworkPolicy => None,
    }
}

fn template(pool: &Pool) -> Key {
    pool.meta.key.sibling(pool.template.clone())
}
