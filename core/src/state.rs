//! What is known, and the few transitions that keep it consistent.
//!
//! The view of an object is the newest version seen, from a watch or from an answer to our own write: there is no stale
//! cache to decide from. Each transition says which subjects it touched; nothing else makes a rule run.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::action::Notice;
use crate::id::{Key, Kind, Text, Uid, Version};
use crate::ledger::{Hold, Ledger, Stage};
use crate::members::{Members, Order, Place, Standing};
use crate::names;
use crate::object::{Claim, Object, Pod, Pool, Sandbox, Template};
use crate::shared::Shared;
use crate::time::Now;

/// How far the watch of one kind has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Feed {
    /// Whether a complete list was seen since this process leads.
    pub(crate) listed: bool,
    /// Whether the watch broke since.
    pub(crate) lost: bool,
    /// The version of the newest list or bookmark: what is not known and not newer is gone.
    pub(crate) at: Version,
}

#[derive(Clone, Debug)]
pub(crate) struct ClaimEntry {
    pub(crate) claim: Arc<Claim>,
    /// When this process first saw it: the start of its grace.
    pub(crate) seen: Now,
    /// The record that is on its way to the server.
    pub(crate) promised: Option<Text>,
    /// The pool in whose queue it stands.
    queued: Option<Key>,
    /// The sandbox that it has recorded, or that is being recorded.
    reserves: Option<Key>,
}

#[derive(Clone, Debug)]
pub(crate) struct PoolEntry {
    pub(crate) pool: Arc<Pool>,
    /// When its status was last sent.
    pub(crate) status_sent: Option<Now>,
}

#[derive(Clone, Debug)]
pub(crate) struct SandboxEntry {
    pub(crate) sandbox: Arc<Sandbox>,
    /// When this process first saw it.
    pub(crate) seen: Now,
    /// When its status was last sent.
    pub(crate) status_sent: Option<Now>,
    standing: Option<Standing>,
}

/// An object that is gone: late events and answers must not revive it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tombstone {
    kind: Kind,
    /// The newest version that was seen of it.
    known: Version,
    /// The version of its deletion, once a watch or a list told.
    deleted: Option<Version>,
}

impl Tombstone {
    /// Returns the newest version that was seen, and that of the deletion where it is known.
    pub(crate) const fn versions(&self) -> (Version, Option<Version>) {
        (self.known, self.deleted)
    }

    /// Returns whether a watch that has delivered everything up to `at` has told of the deletion.
    fn is_passed(&self, kind: Kind, at: Version) -> bool {
        self.kind == kind && self.deleted.is_some_and(|deleted| deleted <= at)
    }
}

/// Claims that have no sandbox, by pool.
///
/// Shape: pool → (created, name, claim), oldest first; never an empty set.
type Waiting = BTreeMap<Key, BTreeSet<Order>>;

#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) feeds: [Feed; 5],
    pub(crate) claims: Shared<BTreeMap<Uid, Shared<ClaimEntry>>>,
    pub(crate) pools: Shared<BTreeMap<Uid, PoolEntry>>,
    pub(crate) templates: Shared<BTreeMap<Uid, Arc<Template>>>,
    pub(crate) sandboxes: Shared<BTreeMap<Uid, Shared<SandboxEntry>>>,
    pub(crate) pods: Shared<BTreeMap<Uid, Arc<Pod>>>,
    pub(crate) names: Shared<BTreeMap<(Kind, Key), Uid>>,
    pub(crate) tombstones: Shared<BTreeMap<Uid, Tombstone>>,
    /// Names that the server itself said nobody holds. Only for those that somebody refers to.
    pub(crate) absent: Shared<BTreeSet<(Kind, Key)>>,
    pub(crate) ledger: Ledger,
    pub(crate) members: Shared<BTreeMap<Uid, Shared<Members>>>,
    pub(crate) waiting: Shared<Waiting>,
    /// Shape: (owner, kind of the child, child).
    pub(crate) children: Shared<BTreeSet<(Uid, Kind, Uid)>>,
    /// Shape: (sandbox, the claim that has recorded it).
    pub(crate) reserved: Shared<BTreeSet<(Key, Uid)>>,
    pub(crate) claims_by_pool: Shared<BTreeSet<(Key, Uid)>>,
    pub(crate) pools_by_template: Shared<BTreeSet<(Key, Uid)>>,
    pub(crate) notices: Shared<VecDeque<Notice>>,
    /// Subjects whose rules must run, as the transitions found them.
    touched: Vec<(Kind, Uid)>,
}

impl State {
    // ----- What enters -----

    /// Takes in a state of an object, unless a newer one is known. Returns whether the view changed.
    pub(crate) fn observe(&mut self, object: &Object, now: Now) -> bool {
        let (kind, uid, version) = (object.kind(), object.uid(), object.version());
        if self.tombstones.contains_key(&uid) || self.version(kind, uid).is_some_and(|known| known >= version)
        {
            return false;
        }
        let slot = (kind, object.key().clone());
        if let Some(&holder) = self.names.get(&slot)
            && holder != uid
        {
            if self.version(kind, holder).is_some_and(|known| known > version) {
                // The name has passed on: this is the late report of a predecessor.
                self.entomb(kind, uid, version, None);
                return false;
            }
            self.bury(kind, holder, None);
        }
        self.absent.remove(&slot);
        if self.names.get(&slot) != Some(&uid) {
            self.names.insert(slot.clone(), uid);
        }
        self.unlink(kind, uid);
        self.store(object.clone(), now);
        self.link(kind, uid);
        self.settle_hold(uid, version);
        self.settle_draft(&slot);
        self.touch_neighbours(kind, uid);
        true
    }

    /// Takes in what an answer shows, unless the watch has told since that it is gone.
    pub(crate) fn take_answer(&mut self, object: &Object, now: Now) {
        let kind = object.kind();
        let is_known = self.version(kind, object.uid()).is_some();
        if is_known || object.version() > self.feeds[kind.index()].at {
            self.observe(object, now);
        }
    }

    /// Takes in that an object is gone. `deleted` is the version of its deletion, where known.
    pub(crate) fn bury(&mut self, kind: Kind, uid: Uid, deleted: Option<Version>) {
        let known = self.version(kind, uid);
        match self.tombstones.get_mut(&uid) {
            Some(tombstone) => tombstone.deleted = tombstone.deleted.or(deleted),
            None => self.entomb(kind, uid, known.or(deleted).unwrap_or_default(), deleted),
        }
        if known.is_none() {
            return;
        }
        self.touch_neighbours(kind, uid);
        self.unlink(kind, uid);
        let Some(key) = self.discard(kind, uid) else { return };
        let slot = (kind, key);
        if self.names.get(&slot) == Some(&uid) {
            self.names.remove(&slot);
            self.note_absence(slot.0, &slot.1);
            if let Some(draft) = self.ledger.drafts.get(&slot) {
                // An attempt to create that name whose answer was lost can land again.
                self.recount_if_pool(draft.purpose.subject);
            }
        }
        if !matches!(self.ledger.holds.get(&uid), Some(Hold::Sent(_))) {
            self.ledger.holds.remove(&uid);
        }
        self.drop_members(uid);
    }

    /// Takes in a complete list: what it lacks and is not newer is gone.
    pub(crate) fn relist(&mut self, kind: Kind, objects: &[Object], at: Version, now: Now) {
        let listed: BTreeSet<Uid> = objects.iter().map(Object::uid).collect();
        for object in objects {
            self.observe(object, now);
        }
        let gone: Vec<Uid> = self
            .uids(kind)
            .into_iter()
            .filter(|uid| !listed.contains(uid) && self.version(kind, *uid).is_some_and(|known| known <= at))
            .collect();
        for uid in gone {
            self.bury(kind, uid, Some(at));
        }
        for (uid, tombstone) in self.tombstones.iter_mut() {
            if tombstone.kind == kind && tombstone.known <= at && !listed.contains(uid) {
                tombstone.deleted = tombstone.deleted.or(Some(at));
            }
        }
        let feed = &mut self.feeds[kind.index()];
        (feed.listed, feed.lost) = (true, false);
        self.progress(kind, at);
        self.touch_all(kind);
    }

    /// Takes in that a watch has delivered everything up to `at`.
    pub(crate) fn progress(&mut self, kind: Kind, at: Version) {
        let feed = &mut self.feeds[kind.index()];
        feed.at = feed.at.max(at);
        let holds = &self.ledger.holds;
        self.tombstones.retain(|uid, tombstone| holds.contains_key(uid) || !tombstone.is_passed(kind, at));
    }

    /// Returns whether that would change anything.
    pub(crate) fn is_progress(&self, kind: Kind, at: Version) -> bool {
        let holds = &self.ledger.holds;
        self.tombstones
            .iter()
            .any(|(uid, tombstone)| !holds.contains_key(uid) && tombstone.is_passed(kind, at))
    }

    /// Takes in that the server itself found nobody under this name.
    pub(crate) fn note_absence(&mut self, kind: Kind, key: &Key) {
        let slot = (kind, key.clone());
        if !self.names.contains_key(&slot) && self.is_referred_to(kind, key) {
            self.absent.insert(slot);
            self.touch_referrers(kind, key);
        }
    }

    /// Notes what a claim is about to record.
    pub(crate) fn promise(&mut self, claim: Uid, sandbox: Option<Text>) {
        self.unlink(Kind::Claim, claim);
        if let Some(entry) = self.claims.get_mut(&claim) {
            entry.promised = sandbox;
        }
        self.link(Kind::Claim, claim);
        self.touch_neighbours(Kind::Claim, claim);
    }

    /// Brings the indexes in line after a change of the ledger's holds or drafts.
    pub(crate) fn hold_changed(&mut self, uid: Uid) {
        let Some(kind) = self.kind_of(uid) else { return };
        self.unlink(kind, uid);
        self.link(kind, uid);
        self.touch_neighbours(kind, uid);
    }

    /// Counts the creates that may still make a member of this pool.
    pub(crate) fn recount_drafts(&mut self, pool: Uid) {
        let creating = self
            .ledger
            .drafts
            .iter()
            .filter(|((kind, key), draft)| {
                *kind == Kind::Sandbox
                    && draft.purpose.subject == pool
                    && (draft.stage != Stage::Ghost || draft.ghost_until.is_some())
                    && !self.names.contains_key(&(*kind, key.clone()))
            })
            .count();
        self.members.entry(pool).or_default().creating = u32::try_from(creating).unwrap_or(u32::MAX);
        self.drop_members(pool);
        self.touch(Kind::Pool, pool);
    }

    // ----- Touched subjects -----

    pub(crate) fn take_touched(&mut self) -> Vec<(Kind, Uid)> {
        core::mem::take(&mut self.touched)
    }

    pub(crate) fn touch(&mut self, kind: Kind, uid: Uid) {
        self.touched.push((kind, uid));
    }

    pub(crate) fn touch_everything(&mut self) {
        for kind in Kind::ALL {
            self.touch_all(kind);
        }
    }

    fn touch_all(&mut self, kind: Kind) {
        for uid in self.uids(kind) {
            self.touch(kind, uid);
            self.touch_neighbours(kind, uid);
        }
    }

    /// Touches an object and all whose rules read it.
    fn touch_neighbours(&mut self, kind: Kind, uid: Uid) {
        self.touch(kind, uid);
        match kind {
            Kind::Claim => {
                if let Some(entry) = self.claims.get(&uid) {
                    let pool = entry.claim.meta.key.sibling(entry.claim.pool.clone());
                    self.touch_name(Kind::Pool, &pool);
                }
            }
            Kind::Pool => {
                if let Some(entry) = self.pools.get(&uid) {
                    let key = entry.pool.meta.key.clone();
                    self.touch_referrers(Kind::Pool, &key);
                }
            }
            Kind::Template => {
                if let Some(template) = self.templates.get(&uid) {
                    let key = template.meta.key.clone();
                    self.touch_referrers(Kind::Template, &key);
                }
            }
            Kind::Sandbox => {
                if let Some(entry) = self.sandboxes.get(&uid) {
                    let sandbox = entry.sandbox.clone();
                    self.touch_owner(&sandbox);
                    self.touch_referrers(Kind::Sandbox, &sandbox.meta.key);
                }
            }
            Kind::Pod => {
                if let Some(pod) = self.pods.get(&uid).cloned() {
                    if let Some(owner) = pod.meta.owner_of_kind(Kind::Sandbox) {
                        self.restand(owner);
                    }
                    // A sandbox of that name may wait for the name.
                    self.touch_name(Kind::Sandbox, &pod.meta.key);
                }
            }
        }
    }

    fn touch_owner(&mut self, sandbox: &Sandbox) {
        for kind in [Kind::Claim, Kind::Pool] {
            if let Some(owner) = sandbox.meta.owner_of_kind(kind) {
                self.touch(kind, owner);
            }
        }
    }

    fn touch_name(&mut self, kind: Kind, key: &Key) {
        if let Some(&uid) = self.names.get(&(kind, key.clone())) {
            self.touch(kind, uid);
        }
    }

    /// Touches those that name this object in their spec or record.
    fn touch_referrers(&mut self, kind: Kind, key: &Key) {
        let (index, referrer) = match kind {
            Kind::Pool => (&self.claims_by_pool, Kind::Claim),
            Kind::Template => (&self.pools_by_template, Kind::Pool),
            Kind::Sandbox => (&self.reserved, Kind::Claim),
            Kind::Claim | Kind::Pod => return,
        };
        let referrers: Vec<Uid> = range(index, key).collect();
        for uid in referrers {
            self.touch(referrer, uid);
            if kind == Kind::Template
                && let Some(entry) = self.pools.get(&uid)
            {
                let pool = entry.pool.meta.key.clone();
                self.touch_referrers(Kind::Pool, &pool);
            }
        }
    }

    fn is_referred_to(&self, kind: Kind, key: &Key) -> bool {
        match kind {
            Kind::Pool => range(&self.claims_by_pool, key).next().is_some(),
            Kind::Template => range(&self.pools_by_template, key).next().is_some(),
            Kind::Sandbox => range(&self.reserved, key).next().is_some(),
            Kind::Claim | Kind::Pod => false,
        }
    }

    // ----- Objects -----

    pub(crate) fn version(&self, kind: Kind, uid: Uid) -> Option<Version> {
        match kind {
            Kind::Claim => self.claims.get(&uid).map(|entry| entry.claim.meta.version),
            Kind::Pool => self.pools.get(&uid).map(|entry| entry.pool.meta.version),
            Kind::Template => self.templates.get(&uid).map(|template| template.meta.version),
            Kind::Sandbox => self.sandboxes.get(&uid).map(|entry| entry.sandbox.meta.version),
            Kind::Pod => self.pods.get(&uid).map(|pod| pod.meta.version),
        }
    }

    pub(crate) fn kind_of(&self, uid: Uid) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| self.version(*kind, uid).is_some())
    }

    fn uids(&self, kind: Kind) -> Vec<Uid> {
        match kind {
            Kind::Claim => self.claims.keys().copied().collect(),
            Kind::Pool => self.pools.keys().copied().collect(),
            Kind::Template => self.templates.keys().copied().collect(),
            Kind::Sandbox => self.sandboxes.keys().copied().collect(),
            Kind::Pod => self.pods.keys().copied().collect(),
        }
    }

    fn store(&mut self, object: Object, now: Now) {
        match object {
            Object::Claim(claim) => match self.claims.get_mut(&claim.meta.uid) {
                Some(entry) => entry.claim = claim,
                None => {
                    let uid = claim.meta.uid;
                    let entry = ClaimEntry { claim, seen: now, promised: None, queued: None, reserves: None };
                    self.claims.insert(uid, entry.into());
                }
            },
            Object::Pool(pool) => match self.pools.get_mut(&pool.meta.uid) {
                Some(entry) => entry.pool = pool,
                None => {
                    self.pools.insert(pool.meta.uid, PoolEntry { pool, status_sent: None });
                }
            },
            Object::Template(template) => {
                self.templates.insert(template.meta.uid, template);
            }
            Object::Sandbox(sandbox) => match self.sandboxes.get_mut(&sandbox.meta.uid) {
                Some(entry) => entry.sandbox = sandbox,
                None => {
                    let uid = sandbox.meta.uid;
                    let entry = SandboxEntry { sandbox, seen: now, status_sent: None, standing: None };
                    self.sandboxes.insert(uid, entry.into());
                }
            },
            Object::Pod(pod) => {
                self.pods.insert(pod.meta.uid, pod);
            }
        }
    }

    fn discard(&mut self, kind: Kind, uid: Uid) -> Option<Key> {
        Some(match kind {
            Kind::Claim => self.claims.remove(&uid)?.claim.meta.key.clone(),
            Kind::Pool => self.pools.remove(&uid)?.pool.meta.key.clone(),
            Kind::Template => self.templates.remove(&uid)?.meta.key.clone(),
            Kind::Sandbox => self.sandboxes.remove(&uid)?.sandbox.meta.key.clone(),
            Kind::Pod => self.pods.remove(&uid)?.meta.key.clone(),
        })
    }

    fn entomb(&mut self, kind: Kind, uid: Uid, known: Version, deleted: Option<Version>) {
        self.tombstones.insert(uid, Tombstone { kind, known, deleted });
    }

    // ----- Indexes -----

    /// Takes an object out of the indexes, as it is known.
    fn unlink(&mut self, kind: Kind, uid: Uid) {
        match kind {
            Kind::Claim => self.unlink_claim(uid),
            Kind::Pool => {
                if let Some(entry) = self.pools.get(&uid) {
                    let template = entry.pool.meta.key.sibling(entry.pool.template.clone());
                    self.pools_by_template.remove(&(template.clone(), uid));
                    self.forget_absence(Kind::Template, template);
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
        }
    }

    /// Puts an object into the indexes, as it is known.
    fn link(&mut self, kind: Kind, uid: Uid) {
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
        }
    }

    fn link_claim(&mut self, uid: Uid) {
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
        let queued = waits.then(|| pool.clone());
        if waits {
            self.waiting.entry(pool.clone()).or_default().insert(order(&claim));
        }
        self.claims_by_pool.insert((pool, uid));
        if let Some(entry) = self.claims.get_mut(&uid) {
            (entry.queued, entry.reserves) = (queued, reserves);
        }
    }

    fn unlink_claim(&mut self, uid: Uid) {
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
            self.forget_absence(Kind::Sandbox, key);
        }
        self.forget_absence(Kind::Pool, pool);
    }

    /// Drops evidence that nobody asks for any more.
    fn forget_absence(&mut self, kind: Kind, key: Key) {
        if !self.is_referred_to(kind, &key) {
            self.absent.remove(&(kind, key));
        }
    }

    /// A claim stops or starts to wait when it gets or loses a sandbox.
    fn relink_owning_claim(&mut self, sandbox: &Sandbox) {
        if let Some(claim) = sandbox.meta.owner_of_kind(Kind::Claim) {
            self.unlink_claim(claim);
            self.link_claim(claim);
        }
    }

    fn restand_name(&mut self, sandbox: &Key) {
        if let Some(&uid) = self.names.get(&(Kind::Sandbox, sandbox.clone())) {
            self.restand(uid);
        }
    }

    /// Works out anew where a sandbox stands in its pool.
    fn restand(&mut self, uid: Uid) {
        let Some(entry) = self.sandboxes.get(&uid) else { return };
        let sandbox = entry.sandbox.clone();
        self.touch(Kind::Sandbox, uid);
        self.touch_owner(&sandbox);
        let standing = sandbox.meta.owner_of_kind(Kind::Pool).map(|pool| Standing {
            pool,
            order: (sandbox.meta.created, sandbox.meta.key.name.clone(), uid),
            place: self.place(&sandbox),
            ready: is_ready(&sandbox),
        });
        self.stand(uid, standing);
    }

    fn place(&self, sandbox: &Sandbox) -> Place {
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

    fn stand(&mut self, uid: Uid, standing: Option<Standing>) {
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

    fn drop_members(&mut self, pool: Uid) {
        if self.members.get(&pool).is_some_and(|members| members.is_empty()) {
            self.members.remove(&pool);
        }
    }

    /// Returns the oldest child of a kind: a sandbox has one Pod, a claim one sandbox.
    pub(crate) fn child(&self, owner: Uid, kind: Kind) -> Option<Uid> {
        let range = (owner, kind, Uid::UNSET)..=(owner, kind, Uid::from_bits(u128::MAX));
        self.children.range(range).next().map(|(_, _, child)| *child)
    }

    // ----- Settling -----

    /// A newer version than the one a write was locked to: the write has landed, or never can.
    fn settle_hold(&mut self, uid: Uid, version: Version) {
        let base = match self.ledger.holds.get(&uid) {
            Some(Hold::Stale(base)) => Some(*base),
            Some(Hold::Unsettled(lost)) => {
                crate::ledger::held(&lost.purpose.operation, uid).and_then(|held| held.1)
            }
            Some(Hold::Sent(_)) | None => return,
        };
        if base.is_none_or(|base| base < version) {
            self.ledger.holds.remove(&uid);
            if let Some(entry) = self.claims.get_mut(&uid) {
                entry.promised = None;
            }
            if let Some(kind) = self.kind_of(uid) {
                self.unlink(kind, uid);
                self.link(kind, uid);
            }
        }
    }

    /// Somebody holds the name of a create: a lost attempt has landed, or somebody else was first.
    fn settle_draft(&mut self, slot: &(Kind, Key)) {
        let Some(draft) = self.ledger.drafts.get_mut(slot) else { return };
        if matches!(draft.stage, Stage::Unsettled(_) | Stage::Taken) {
            draft.stage = Stage::Ghost;
        }
        let (subject, done) =
            (draft.purpose.subject, draft.stage == Stage::Ghost && draft.ghost_until.is_none());
        if done {
            self.ledger.drafts.remove(slot);
        }
        self.recount_if_pool(subject);
    }

    pub(crate) fn recount_if_pool(&mut self, subject: Uid) {
        if self.pools.contains_key(&subject) || self.members.contains_key(&subject) {
            self.recount_drafts(subject);
        } else if let Some(kind) = self.kind_of(subject) {
            self.touch(kind, subject);
        }
    }
}

/// Returns the sandbox that a claim has recorded: by annotation, or by a status from before there was one.
pub(crate) fn assignment(claim: &Claim) -> Option<&Text> {
    claim.meta.annotation(names::SANDBOX_NAME).or(claim.status.sandbox.as_ref().map(|sandbox| &sandbox.name))
}

fn order(claim: &Claim) -> Order {
    (claim.meta.created, claim.meta.key.name.clone(), claim.meta.uid)
}

/// Returns whether a sandbox's own status says Ready, and is about its current spec.
pub(crate) fn is_ready(sandbox: &Sandbox) -> bool {
    sandbox.status.condition(names::READY).is_some_and(|condition| {
        condition.status == crate::object::Truth::True && condition.observed == sandbox.meta.generation
    })
}

/// Returns the second halves of the pairs that begin with `key`, in order.
pub(crate) fn range<'a>(index: &'a BTreeSet<(Key, Uid)>, key: &Key) -> impl Iterator<Item = Uid> + use<'a> {
    let from = (key.clone(), Uid::UNSET);
    let to = (key.clone(), Uid::from_bits(u128::MAX));
    index.range(from..=to).map(|(_, uid)| *uid)
}
