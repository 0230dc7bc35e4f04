//! What is known, and the few transitions that keep it consistent.
//!
//! The view of an object is the newest version seen, from a watch or from an answer to our own write: there is no stale
//! cache to decide from. Each transition says which subjects it touched; nothing else makes a rule run.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem::replace;

use self::holders::Holders;
use self::referrers::{Referrers, Uids};
use crate::action::Notice;
use crate::config::Config;
use crate::id::{Key, Kind, Text, Uid, Version};
use crate::ledger::{Hold, Ledger, Stage};
use crate::members::{Members, Order, Standing};
use crate::mutant::Mutant;
use crate::names;
use crate::object::{Blueprint, Claim, Meta, Object, OwnerKind, Pod, Pool, Sandbox, Template};
use crate::pace::Pace;
use crate::shared::Shared;
use crate::table::Table;
use crate::time::{Mono, Now};

mod holders;
mod index;
mod referrers;
mod sizes;
mod touch;

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
    place: ClaimPlace,
}

/// Where a claim stands in the indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ClaimPlace {
    /// The pool that it refers to.
    pool: Option<Key>,
    /// Whether it stands in that pool's queue.
    waits: bool,
    /// The sandbox that it has recorded, or that is being recorded.
    reserves: Option<Key>,
}

impl ClaimPlace {
    /// Returns the pool in whose queue it stands.
    fn queue(&self) -> Option<&Key> {
        self.pool.as_ref().filter(|_| self.waits)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct PoolEntry {
    pub(crate) pool: Arc<Pool>,
    /// When its status was last sent.
    pub(crate) status_sent: Option<Mono>,
    /// Whether its members are compared with its template.
    judges: bool,
    /// Whether its owner was told that it waits for room.
    pub(crate) told_blocked: bool,
    /// What it may make, and from when on.
    pub(crate) pace: Pace,
}

#[derive(Clone, Debug)]
pub(crate) struct SandboxEntry {
    pub(crate) sandbox: Arc<Sandbox>,
    /// When this process first saw it.
    pub(crate) seen: Now,
    /// When its status was last sent.
    pub(crate) status_sent: Option<Mono>,
    /// Which conflict its users were told of last.
    pub(crate) told_conflict: Option<u64>,
    /// What a comparison with a blueprint has told: of which generation, with which blueprint, and whether they agree.
    likeness: Option<(i64, Arc<Blueprint>, bool)>,
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
    pub(crate) feeds: [Feed; Kind::ALL.len()],
    pub(crate) claims: Shared<Table<Uid, Shared<ClaimEntry>>>,
    pub(crate) pools: Shared<Table<Uid, PoolEntry>>,
    pub(crate) templates: Shared<Table<Uid, Arc<Template>>>,
    pub(crate) sandboxes: Shared<Table<Uid, Shared<SandboxEntry>>>,
    pub(crate) pods: Shared<Table<Uid, Arc<Pod>>>,
    /// Services, volume claims and network policies.
    pub(crate) dependents: Shared<Table<Uid, Object>>,
    pub(crate) names: Holders,
    pub(crate) tombstones: Shared<Table<Uid, Tombstone>>,
    /// Names that the server itself said nobody holds. Only for those that somebody refers to.
    pub(crate) absent: Shared<BTreeSet<(Kind, Key)>>,
    /// Sandbox names with the holder that the server itself named. Likewise.
    pub(crate) confirmed: Shared<BTreeMap<Key, Uid>>,
    /// Sandboxes of claims that have expired, and whether the server itself has said since that the claim still says so.
    /// Such a sandbox goes before the claim can get another one, so whoever has seen that may delete it at any time.
    ///
    /// Shape: (claim, sandbox) → whether the server was asked after the sandbox was seen.
    pub(crate) condemned: Shared<BTreeMap<(Uid, Uid), bool>>,
    /// Objects that have lost what was made for them: a claim its own sandbox, a sandbox its Pod. It may be gone because they
    /// are, which a watch that lags has yet to show: whoever made another would do so as often as it is collected.
    ///
    /// Shape: object → whether the server is being asked since whether it is there.
    pub(crate) bereaved: Shared<BTreeMap<Uid, bool>>,
    pub(crate) ledger: Ledger,
    pub(crate) members: Shared<Table<Uid, Shared<Members>>>,
    pub(crate) waiting: Shared<Waiting>,
    /// Shape: claim or pool → its sandboxes; sandbox → its Pods.
    children: Shared<Table<Uid, Uids>>,
    /// Shape: sandbox → the claims that have recorded it.
    pub(crate) reserved: Shared<Referrers>,
    pub(crate) claims_by_pool: Shared<Referrers>,
    pub(crate) pools_by_template: Shared<Referrers>,
    /// Shape: Pod → the sandboxes of another name that note it.
    pub(crate) noted: Shared<Referrers>,
    /// Shape: template, or the hash of its name → the claims' sandboxes that were made from it.
    made_from: Shared<Referrers>,
    /// [`Config::label_domains`](crate::config::Config::label_domains).
    pub(crate) label_domains: Arc<[Text]>,
    pub(crate) notices: Shared<VecDeque<Notice>>,
    /// Subjects whose rules must run, as the transitions found them.
    touched: Vec<(Kind, Uid)>,
    /// Names of pools and templates that somebody has ceased to refer to.
    unsure: Vec<(Kind, Key)>,
    /// Creates that were settled by what a watch showed, while an attempt may still land.
    pub(crate) settled: Vec<(Kind, Key)>,
    /// Subjects of creates that were refused, with the kind: such a thing was seen since, so there is nothing to wait for.
    pub(crate) freed: Vec<(Uid, Kind)>,
    /// Pools that have lost a member.
    pub(crate) bereft: Vec<Uid>,
    #[cfg(feature = "mutants")]
    mutant: Option<Mutant>,
}

impl State {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            label_domains: config.label_domains.clone().into(),
            #[cfg(feature = "mutants")]
            mutant: config.mutant,
            ..Self::default()
        }
    }

    /// As [`Config::has`].
    #[cfg(feature = "mutants")]
    fn has(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// As [`Config::has`].
    #[cfg(not(feature = "mutants"))]
    #[expect(clippy::unused_self, reason = "the mutants' build reads it")]
    const fn has(&self, _: Mutant) -> bool {
        false
    }

    // ----- What enters -----

    /// Takes in a state of an object, unless a newer one is known. Returns whether the view changed.
    pub(crate) fn observe(&mut self, object: &Object, now: Now) -> bool {
        let (kind, uid, version) = (object.kind(), object.uid(), object.version());
        if self.tombstones.contains_key(&uid) || self.version(kind, uid).is_some_and(|known| known >= version)
        {
            return false;
        }
        let key = object.key();
        let holder = self.names.get(kind, key);
        if let Some(holder) = holder.filter(|holder| *holder != uid) {
            if self.version(kind, holder).is_some_and(|known| known > version) {
                // The name has passed on: this is the late report of a predecessor.
                self.entomb(kind, uid, version, None);
                return false;
            }
            self.bury(kind, holder, None);
        }
        // Those who refer to a pool read its spec, not the figures that it shows.
        let is_only_status = kind == Kind::Pool
            && self.meta(kind, uid).is_some_and(|known| {
                let new = object.meta();
                (known.generation, known.terminating) == (new.generation, new.terminating)
            });
        let slot = (kind, key.clone());
        self.absent.remove(&slot);
        if holder != Some(uid) {
            self.names.insert(kind, slot.1.clone(), uid);
            self.freed.extend(self.ledger.forget_refusal_of(kind, &slot.1));
        }
        if let Object::Claim(claim) = object
            && claim.expired().is_none()
        {
            self.condemn(uid, false);
        }
        let former = self.store(object.clone(), now);
        if let Object::Claim(claim) = object {
            self.note_named(claim, former.as_ref().and_then(Object::as_claim));
        }
        if kind == Kind::Claim
            && former.as_ref().is_some_and(|former| former.meta().generation != object.meta().generation)
        {
            self.ledger.barred.remove(&uid);
        }
        self.relink(kind, uid, former.as_ref());
        if let Object::Claim(claim) = object {
            self.release_condemned(claim);
        } else if kind == Kind::Sandbox && !self.condemned.is_empty() {
            let claims = self.condemned.keys().filter(|(_, sandbox)| *sandbox == uid);
            let claims = claims.filter_map(|(claim, _)| Some(self.claims.get(claim)?.claim.clone()));
            claims.collect::<Vec<_>>().iter().for_each(|claim| self.release_condemned(claim));
        }
        self.settle_hold(kind, uid, version);
        self.settle_draft(&slot);
        if is_only_status {
            self.touch(kind, uid);
        } else {
            self.requeue(kind, &slot.1);
            self.judge_again(kind, uid);
            self.touch_neighbours(kind, uid);
        }
        if kind == Kind::Pool && holder != Some(uid) {
            self.touch_members(uid);
            // Who had the name before is gone, whether it was ever seen or not.
            self.touch_recorders_of_unknown(&slot.1);
        }
        true
    }

    /// Takes in what an answer shows, unless a list or a bookmark has told since that it is gone.
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
        if kind == Kind::Claim {
            self.condemn(uid, false);
        }
        if let Some(claim) = self.meta(kind, uid).and_then(|meta| meta.owner_of_kind(Kind::Claim)) {
            self.condemned.remove(&(claim, uid));
        }
        self.bereave(kind, uid);
        self.unlink(kind, uid);
        let Some(key) = self.discard(kind, uid) else { return };
        let slot = (kind, key);
        if self.names.get(kind, &slot.1) == Some(uid) {
            self.names.remove(kind, &slot.1);
            // Who was asked before this one was seen knows nothing of who comes after it.
            if let Some(look) = self.ledger.looks.get_mut(&slot)
                && look.is_sent
                && look.holder != Some(uid)
            {
                look.is_outdated = true;
            }
            if kind == Kind::Sandbox {
                self.confirmed.remove(&slot.1);
                self.relink_unrecorded(&slot.1);
            }
            if self.is_never_reused(&slot) {
                self.note_absence(slot.0, &slot.1);
            }
            self.requeue(kind, &slot.1);
            self.touch_referrers(kind, &slot.1);
            if kind == Kind::Template {
                self.judge_members_of(&slot.1);
            }
            if let Some(draft) = self.ledger.drafts.get(&slot) {
                // An attempt to create that name whose answer was lost can land again.
                let subject = draft.purpose.subject;
                self.draft_changed(&slot, subject);
            }
        }
        if !matches!(self.ledger.holds.get(&uid), Some(Hold::Sent(_))) {
            self.ledger.holds.remove(&uid);
        }
        if !self.ledger.refused.is_empty() || !self.ledger.barred.is_empty() {
            self.ledger.forget_refusals(uid);
        }
        self.drop_members(uid);
    }

    /// Takes in a complete list: what it lacks and is not newer is gone.
    pub(crate) fn relist(&mut self, kind: Kind, objects: &[Object], at: Version, now: Now) {
        let mut listed: Vec<Uid> = objects.iter().map(Object::uid).collect();
        listed.sort_unstable();
        for object in objects {
            self.observe(object, now);
        }
        let gone: Vec<Uid> = self
            .uids(kind)
            .into_iter()
            .filter(|uid| {
                listed.binary_search(uid).is_err()
                    && !self.has(Mutant::ListKeepsTheAbsent)
                    && self.version(kind, *uid).is_some_and(|known| known <= at)
            })
            .collect();
        for uid in gone {
            self.bury(kind, uid, Some(at));
        }
        for (uid, tombstone) in self.tombstones.unordered_mut() {
            if tombstone.kind == kind && tombstone.known <= at && listed.binary_search(uid).is_err() {
                tombstone.deleted = tombstone.deleted.or(Some(at));
            }
        }
        let feed = &mut self.feeds[kind.index()];
        let was_lost = replace(feed, Feed { listed: true, lost: false, ..*feed }).lost;
        self.progress(kind, at);
        self.touch_all(kind);
        if was_lost {
            // What was put off while blind.
            self.touch_all(Kind::Pool);
        }
    }

    /// Takes in that a watch has delivered everything up to `at`.
    pub(crate) fn progress(&mut self, kind: Kind, at: Version) {
        let feed = &mut self.feeds[kind.index()];
        feed.at = feed.at.max(at);
        if self.is_progress(kind, at) {
            let holds = &self.ledger.holds;
            self.tombstones
                .retain(|uid, tombstone| holds.contains_key(uid) || !tombstone.is_passed(kind, at));
        }
    }

    /// Returns whether that would change anything.
    pub(crate) fn is_progress(&self, kind: Kind, at: Version) -> bool {
        let holds = &self.ledger.holds;
        self.tombstones
            .unordered()
            .any(|(uid, tombstone)| !holds.contains_key(uid) && tombstone.is_passed(kind, at))
    }

    /// Takes in that the server is asked who holds a name.
    pub(crate) fn note_look(&mut self, kind: Kind, key: &Key) {
        let holder = self.names.get(kind, key);
        if let Some(look) = self.ledger.looks.get_mut(&(kind, key.clone())) {
            (look.holder, look.is_outdated) = (holder, false);
        }
        if let Some(holder) = holder.filter(|holder| self.bereaved.contains_key(holder)) {
            self.bereaved.insert(holder, true);
        }
    }

    /// Takes in that a claim has come to name a sandbox: whoever wrote that has seen it, after all that is known of its absence.
    fn note_named(&mut self, claim: &Claim, former: Option<&Claim>) {
        let name_of = |claim: &Claim| claim.status.sandbox.as_ref().map(|bound| bound.name.clone());
        let Some(name) = name_of(claim).filter(|name| former.and_then(name_of).as_ref() != Some(name)) else {
            return;
        };
        let slot = (Kind::Sandbox, claim.meta.key.sibling(name));
        self.absent.remove(&slot);
        if let Some(look) = self.ledger.looks.get_mut(&slot) {
            look.is_outdated = true;
        }
    }

    /// Takes in that the server itself found nobody under this name.
    pub(crate) fn note_absence(&mut self, kind: Kind, key: &Key) {
        let slot = (kind, key.clone());
        if self.names.get(kind, key).is_none() && self.is_referred_to(kind, key) {
            self.absent.insert(slot);
            self.touch_referrers(kind, key);
            if kind == Kind::Pool {
                self.touch_recorders_of_unknown(key);
            }
        }
    }

    /// Returns whether a deletion that a watch shows, however late, says that nobody will hold the name again.
    ///
    /// So it is with members, whose names are chosen once, unless an attempt to create one may still land. A claim's own
    /// name may pass to a successor, which a watch that lags has yet to show.
    fn is_never_reused(&self, slot: &(Kind, Key)) -> bool {
        let (kind, key) = slot;
        *kind == Kind::Sandbox
            && self.names.get(Kind::Claim, key).is_none()
            && !self.ledger.drafts.contains_key(slot)
    }

    /// Takes in that the server itself found this sandbox under its name.
    pub(crate) fn note_presence(&mut self, key: &Key, uid: Uid) {
        if self.names.get(Kind::Sandbox, key) == Some(uid) && self.reserved.has(key) {
            self.confirmed.insert(key.clone(), uid);
            self.touch_referrers(Kind::Sandbox, key);
        }
    }

    /// Takes in that whoever owns an object has lost it. A pool loses members all the time, and makes others of other names.
    fn bereave(&mut self, kind: Kind, uid: Uid) {
        self.bereaved.remove(&uid);
        let Some(owner) = self.meta(kind, uid).and_then(|meta| meta.owner.as_ref()) else { return };
        let (owner, is_of_pool) = (owner.uid, owner.kind == OwnerKind::Known(Kind::Pool));
        if let Some(kind) = self.kind_of(owner).filter(|_| !is_of_pool) {
            self.bereaved.insert(owner, false);
            self.touch(kind, owner);
        }
    }

    /// Takes in that the server itself found an object, after it was asked.
    pub(crate) fn console(&mut self, uid: Uid) {
        let Some(is_asked) = self.bereaved.get(&uid).copied() else { return };
        if is_asked {
            self.bereaved.remove(&uid);
        }
        // Its rules may have waited for a look that somebody else has asked for, before the loss or after it.
        if let Some(kind) = self.kind_of(uid) {
            self.touch(kind, uid);
        }
    }

    /// Notes that the server is being asked about a claim, and which sandboxes it may have.
    pub(crate) fn suspect(&mut self, key: &Key) {
        let Some(uid) = self.names.get(Kind::Claim, key) else { return };
        let Some(claim) = self.claims.get(&uid).map(|entry| entry.claim.clone()) else { return };
        if claim.expired().is_none() {
            return;
        }
        for sandbox in self.had_by(&claim) {
            self.condemned.entry((uid, sandbox)).or_insert(false);
        }
    }

    /// Returns the sandbox that a claim has, and the member of a pool that it has recorded: whoever else has that name has
    /// nothing to do with the claim's end.
    fn had_by(&self, claim: &Claim) -> impl Iterator<Item = Uid> + use<> {
        let recorded = assignment(claim).map(|name| claim.meta.key.sibling(name.clone()));
        let recorded = recorded.and_then(|key| self.names.get(Kind::Sandbox, &key));
        let member = recorded.filter(|uid| {
            let entry = self.sandboxes.get(uid);
            entry.is_some_and(|entry| entry.sandbox.meta.owner_of_kind(Kind::Pool).is_some())
        });
        self.child(claim.meta.uid).into_iter().chain(member)
    }

    /// Forgets the sandboxes that a claim does not have any more.
    fn release_condemned(&mut self, claim: &Claim) {
        let mut released = self.condemned_of(claim.meta.uid);
        if !released.is_empty() {
            let had: Vec<Uid> = self.had_by(claim).collect();
            released.retain(|sandbox| !had.contains(sandbox));
        }
        for sandbox in released {
            self.condemned.remove(&(claim.meta.uid, sandbox));
        }
    }

    fn condemned_of(&self, claim: Uid) -> Vec<Uid> {
        let of_claim = (claim, Uid::UNSET)..=(claim, Uid::from_bits(u128::MAX));
        self.condemned.range(of_claim).map(|((_, sandbox), _)| *sandbox).collect()
    }

    /// Takes in what the server said of a claim: has it expired, then so have the sandboxes that it had before.
    pub(crate) fn condemn(&mut self, claim: Uid, has_expired: bool) {
        for sandbox in self.condemned_of(claim) {
            if has_expired {
                self.condemned.insert((claim, sandbox), true);
            } else {
                self.condemned.remove(&(claim, sandbox));
            }
        }
    }

    /// Notes what a claim is about to record, and that it is being written.
    pub(crate) fn promise(&mut self, claim: Uid, sandbox: Option<Text>) {
        let Some(entry) = self.claims.get(&claim) else { return };
        let is_news = entry.promised != sandbox;
        let is_kept = || self.ledger.under_way(claim).is_none_or(|purpose| !purpose.is_record());
        assert!(sandbox.is_some() || is_kept(), "the sandbox of {claim} is free while its record may land");
        if is_news && let Some(entry) = self.claims.get_mut(&claim) {
            entry.promised = sandbox;
        }
        self.realign(Kind::Claim, claim);
        if is_news {
            self.touch_neighbours(Kind::Claim, claim);
        }
    }

    /// What a claim was about to record it has recorded, or cannot any more: a later version was shown. What it says now
    /// counts, whoever has written it.
    fn drop_promise(&mut self, claim: Uid) {
        if let Some(entry) = self.claims.get_mut(&claim)
            && entry.promised.take().is_some()
        {
            self.realign(Kind::Claim, claim);
            self.touch_neighbours(Kind::Claim, claim);
        }
    }

    /// Brings the indexes in line after a change of the ledger's holds or drafts.
    pub(crate) fn hold_changed(&mut self, kind: Kind, uid: Uid) {
        if self.version(kind, uid).is_none() {
            return;
        }
        if kind == Kind::Pool {
            // Nobody but its own rules asks whether a pool is being written.
            self.touch(kind, uid);
            return;
        }
        self.realign(kind, uid);
        self.touch_neighbours(kind, uid);
        // Its pool passes over a member that is being written.
        if let Some(sandbox) = self.sandboxes.get(&uid).map(|entry| entry.sandbox.clone()) {
            self.touch_owner(&sandbox);
        }
    }

    /// Takes in whether a create may still make a member of this pool.
    ///
    /// One whose name a member holds is that member. One whose name an adopted sandbox holds may land when that sandbox
    /// is gone, so it counts.
    fn recount_draft(&mut self, pool: Uid, slot: &(Kind, Key)) {
        let draft = self.ledger.drafts.get(slot).filter(|draft| draft.purpose.subject == pool);
        let is_under_way =
            draft.is_some_and(|draft| draft.stage != Stage::Ghost || draft.ghost_until.is_some());
        let holder = self.names.get(slot.0, &slot.1).and_then(|uid| self.meta(slot.0, uid));
        let may_land = is_under_way && !holder.is_some_and(|meta| meta.is_owned_by(pool));
        self.members.get_or_default(pool).note_creating(&slot.1.name, may_land);
        self.drop_members(pool);
        self.touch(Kind::Pool, pool);
    }

    // ----- Objects -----

    pub(crate) fn version(&self, kind: Kind, uid: Uid) -> Option<Version> {
        self.meta(kind, uid).map(|meta| meta.version)
    }

    pub(crate) fn meta(&self, kind: Kind, uid: Uid) -> Option<&Meta> {
        match kind {
            Kind::Claim => self.claims.get(&uid).map(|entry| &entry.claim.meta),
            Kind::Pool => self.pools.get(&uid).map(|entry| &entry.pool.meta),
            Kind::Template => self.templates.get(&uid).map(|template| &template.meta),
            Kind::Sandbox => self.sandboxes.get(&uid).map(|entry| &entry.sandbox.meta),
            Kind::Pod => self.pods.get(&uid).map(|pod| &pod.meta),
            Kind::Service | Kind::VolumeClaim | Kind::NetworkPolicy => {
                self.dependents.get(&uid).filter(|it| it.kind() == kind).map(Object::meta)
            }
        }
    }

    /// Returns the newest known version of each object of a kind, and of those that are gone, in no order.
    pub(crate) fn versions(&self, kind: Kind) -> impl Iterator<Item = Version> {
        let known = self.uids(kind).into_iter().filter_map(move |uid| self.version(kind, uid));
        let gone = self.tombstones.unordered().map(|(_, tombstone)| tombstone);
        let gone = gone.filter(move |tombstone| tombstone.kind == kind);
        known.chain(gone.map(|tombstone| tombstone.known))
    }

    pub(crate) fn kind_of(&self, uid: Uid) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| self.version(*kind, uid).is_some())
    }

    fn uids(&self, kind: Kind) -> Vec<Uid> {
        match kind {
            Kind::Claim => self.claims.sorted_keys(),
            Kind::Pool => self.pools.sorted_keys(),
            Kind::Template => self.templates.sorted_keys(),
            Kind::Sandbox => self.sandboxes.sorted_keys(),
            Kind::Pod => self.pods.sorted_keys(),
            Kind::Service | Kind::VolumeClaim | Kind::NetworkPolicy => {
                let mut uids = self.dependents.sorted_keys();
                uids.retain(|uid| self.dependents[uid].kind() == kind);
                uids
            }
        }
    }

    /// Takes an object for what is known, and returns what was known before.
    fn store(&mut self, object: Object, now: Now) -> Option<Object> {
        let uid = object.uid();
        match object {
            Object::Claim(claim) => match self.claims.get_mut(&uid) {
                Some(entry) => Some(Object::Claim(replace(&mut entry.claim, claim))),
                None => {
                    let entry = ClaimEntry { claim, seen: now, promised: None, place: ClaimPlace::default() };
                    self.claims.insert(uid, entry.into());
                    None
                }
            },
            Object::Pool(pool) => match self.pools.get_mut(&uid) {
                Some(entry) => Some(Object::Pool(replace(&mut entry.pool, pool))),
                None => {
                    let entry = PoolEntry {
                        pool,
                        status_sent: None,
                        judges: false,
                        told_blocked: false,
                        pace: Pace::default(),
                    };
                    self.pools.insert(uid, entry);
                    None
                }
            },
            Object::Template(template) => self.templates.insert(uid, template).map(Object::Template),
            Object::Sandbox(sandbox) => match self.sandboxes.get_mut(&uid) {
                Some(entry) => Some(Object::Sandbox(replace(&mut entry.sandbox, sandbox))),
                None => {
                    let entry = SandboxEntry {
                        sandbox,
                        seen: now,
                        status_sent: None,
                        told_conflict: None,
                        likeness: None,
                        standing: None,
                    };
                    self.sandboxes.insert(uid, entry.into());
                    None
                }
            },
            Object::Pod(pod) => self.pods.insert(uid, pod).map(Object::Pod),
            Object::Service(_) | Object::VolumeClaim(_) | Object::NetworkPolicy(_) => {
                self.dependents.insert(uid, object)
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
            Kind::Service | Kind::VolumeClaim | Kind::NetworkPolicy => {
                self.dependents.remove(&uid)?.key().clone()
            }
        })
    }

    fn entomb(&mut self, kind: Kind, uid: Uid, known: Version, deleted: Option<Version>) {
        self.tombstones.insert(uid, Tombstone { kind, known, deleted });
    }

    // ----- Settling -----

    /// A newer version than the one a write was locked to: the write has landed, or never can.
    fn settle_hold(&mut self, kind: Kind, uid: Uid, version: Version) {
        let base = match self.ledger.holds.get(&uid) {
            Some(Hold::Stale(base, _)) => Some(*base),
            Some(Hold::Unsettled(lost)) => {
                crate::ledger::held(&lost.purpose.operation, uid).and_then(|held| held.1)
            }
            Some(Hold::Sent(id)) => {
                let sent = self.ledger.sent.get(id);
                let base = sent.and_then(|sent| crate::ledger::held(&sent.purpose.operation, uid)?.1);
                if base.is_some_and(|base| base < version) {
                    self.drop_promise(uid);
                }
                return;
            }
            None => return,
        };
        if base.is_none_or(|base| base < version) {
            self.ledger.holds.remove(&uid);
            if let Some(entry) = self.claims.get_mut(&uid) {
                entry.promised = None;
            }
            self.hold_changed(kind, uid);
        }
    }

    /// Somebody holds the name of a create: a lost attempt has landed, or somebody else was first.
    fn settle_draft(&mut self, slot: &(Kind, Key)) {
        if !self.ledger.drafts.contains_key(slot) {
            return;
        }
        let holder = self.names.get(slot.0, &slot.1).and_then(|uid| self.meta(slot.0, uid));
        let owner = holder.and_then(|meta| meta.owner.clone());
        let Some(draft) = self.ledger.drafts.get_mut(slot) else { return };
        match draft.stage {
            Stage::Unsettled(_) => {
                draft.stage = Stage::Ghost;
                self.settled.push(slot.clone());
            }
            Stage::Sent(_) => draft.landed |= owner.is_some_and(|owner| owner.uid == draft.purpose.subject),
            // The server is being asked. What a watch shows may be the holder before the one that is asked about.
            Stage::Taken | Stage::Ghost => {}
        }
        let (subject, done) =
            (draft.purpose.subject, draft.stage == Stage::Ghost && draft.ghost_until.is_none());
        if done {
            self.ledger.drafts.remove(slot);
        }
        self.draft_changed(slot, subject);
    }

    /// Touches all who wait for the end of a create: the object for which it was made, and any other that wants the name.
    pub(crate) fn draft_changed(&mut self, slot: &(Kind, Key), subject: Uid) {
        let (kind, key) = slot;
        match kind {
            Kind::Sandbox => self.touch_referrers(Kind::Sandbox, key),
            Kind::Pod | Kind::Service | Kind::VolumeClaim | Kind::NetworkPolicy => {
                self.touch_name_wanters(*kind, key);
            }
            Kind::Claim | Kind::Pool | Kind::Template => {}
        }
        if self.pools.contains_key(&subject) || self.members.contains_key(&subject) {
            self.recount_draft(subject, slot);
        } else if let Some(kind) = self.kind_of(subject) {
            self.touch(kind, subject);
        }
    }
}

/// Returns the template that a claim's sandbox was made from, by its name or by the hash of its name.
fn origin(sandbox: &Sandbox) -> Option<Key> {
    sandbox.meta.owner_of_kind(Kind::Claim)?;
    let said = sandbox.meta.annotation(names::TEMPLATE_REF);
    let said = said.or_else(|| sandbox.meta.label(names::TEMPLATE_REF_HASH));
    said.map(|name| sandbox.meta.key.sibling(name.clone()))
}

/// Returns the sandbox that a claim has recorded: by annotation, by the label of an older release, or by a status from
/// before there was either.
pub(crate) fn assignment(claim: &Claim) -> Option<&Text> {
    let recorded = claim.meta.annotation(names::SANDBOX_NAME);
    let recorded = recorded.or_else(|| claim.meta.label(names::LEGACY_SANDBOX_NAME));
    recorded.or(claim.status.sandbox.as_ref().map(|sandbox| &sandbox.name))
}

/// Returns the Pod that a sandbox notes, if that has another name than its own.
pub(crate) fn noted_pod(sandbox: &Sandbox) -> Option<Key> {
    let noted = sandbox.meta.annotation(names::POD_NAME)?;
    (*noted != sandbox.meta.key.name).then(|| sandbox.meta.key.sibling(noted.clone()))
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
