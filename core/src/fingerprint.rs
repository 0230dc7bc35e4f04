//! What makes two situations the same: for searches that visit each situation once.
//!
//! Everything that decides what comes next enters, once and in a defined order; what is a set enters as a set. Moments
//! enter by their distance from the present. Identities and versions enter as the server gave them, so it is up to the
//! server to number alike what is alike: the simulator's can make an identity of a name, and a version of the
//! [`digest`] of the state that it stands for. Then two histories that leave the same situation have one fingerprint.

use core::time::Duration;

use crate::action::{Operation, Part};
use crate::agenda::Item;
use crate::event::{Event, Outcome, Refusal};
use crate::id::{ActionId, Key, Kind, Text, Uid, Version};
use crate::ledger::{Hold, Purpose, Stage};
use crate::machine::Machine;
use crate::names;
use crate::object::{
    ClaimStatus, Condition, Json, Labels, Meta, Network, Object, OwnerKind, PodMetadata, SandboxStatus,
    Shutdown,
};
use crate::patch::Change;
use crate::time::Mono;
use crate::wishes::Wishes;

/// Collects what a situation is made of, in two ways at once: as it is, and as far as it matters.
#[derive(Clone, Copy, Debug)]
pub struct Walk {
    sight: Sight,
    canonical: u64,
    exact: u64,
}

/// What a walk has come to: it stands for all that was visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest {
    canonical: u64,
    exact: u64,
}

impl Digest {
    /// Returns what stands for what matters.
    pub const fn canonical(self) -> u64 {
        self.canonical
    }
}

/// What a walk tells apart.
#[derive(Clone, Copy, Debug)]
pub struct Sight {
    /// The present.
    pub now: Mono,
    /// Moments further ahead than this are all the same.
    pub far: Duration,
    /// The bits of a version that stand for a state; the others stand for the order of writes.
    pub version_mask: u64,
}

/// Source: the first digits of pi and of e, as odd numbers; any would do.
const SEED: [u64; 2] = [0x243f_6a88_85a3_08d3, 0xb7e1_5162_8aed_2a6b];
const FACTORS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93];

impl Walk {
    /// Returns a walk that has visited nothing.
    pub const fn new(sight: Sight) -> Self {
        Self { sight, canonical: SEED[0], exact: SEED[1] }
    }

    /// Returns the fingerprint of what matters: of versions, the bits that stand for a state.
    pub const fn fingerprint(&self) -> u64 {
        self.canonical
    }

    /// Returns the fingerprint of everything as it is.
    pub const fn exact_fingerprint(&self) -> u64 {
        self.exact
    }

    /// Returns what stands for all that was visited.
    pub const fn digest(&self) -> Digest {
        Digest { canonical: self.canonical, exact: self.exact }
    }

    /// Visits what another walk has visited.
    pub const fn digested(&mut self, digest: Digest) {
        self.two_numbers(digest.canonical, digest.exact);
    }

    /// Visits a plain number.
    #[inline]
    pub const fn number(&mut self, number: u64) {
        self.two_numbers(number, number);
    }

    #[inline]
    const fn two_numbers(&mut self, canonical: u64, exact: u64) {
        self.canonical = fold(self.canonical ^ canonical, FACTORS[0]);
        self.exact = fold(self.exact ^ exact, FACTORS[1]);
    }

    /// Visits two alternatives.
    pub const fn option(&mut self, is: bool) {
        self.number(is as u64);
    }

    /// Visits an identity.
    pub const fn uid(&mut self, uid: Uid) {
        self.number((uid.bits() >> 64) as u64);
        self.number(uid.bits() as u64);
    }

    /// Visits a version.
    pub const fn version(&mut self, version: Version) {
        self.two_numbers(version.0 & self.sight.version_mask, version.0);
    }

    /// Visits a version that only says what was written later.
    const fn order(&mut self, version: Version) {
        self.two_numbers(0, version.0);
    }

    /// Visits a moment ahead. Those that have passed are all the same.
    pub fn deadline(&mut self, at: Mono) {
        let ahead = at.since(self.sight.now);
        self.number(if ahead > self.sight.far { u64::MAX } else { ahead.as_micros() as u64 });
    }

    /// Visits a text.
    pub fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        let mut words = names::words(text);
        while let Some(word) = words.next() {
            self.pair(word, words.next().unwrap_or_default());
        }
    }

    /// Visits two numbers at once.
    #[inline]
    const fn pair(&mut self, a: u64, b: u64) {
        self.canonical = fold(self.canonical ^ a, FACTORS[0] ^ b);
        self.exact = fold(self.exact ^ a, FACTORS[1] ^ b);
    }

    /// Visits things whose order means nothing.
    pub fn set<T>(&mut self, things: impl IntoIterator<Item = T>, mut visit: impl FnMut(&mut Self, T)) {
        let (mut count, mut canonical, mut exact) = (0, 0_u64, 0_u64);
        for thing in things {
            let mut walk = Self::new(self.sight);
            visit(&mut walk, thing);
            count += 1;
            canonical = canonical.wrapping_add(walk.canonical);
            exact = exact.wrapping_add(walk.exact);
        }
        self.number(count);
        self.two_numbers(canonical, exact);
    }

    /// Visits one state of an object: its version stands for all of it, unless it is a draft.
    pub fn object(&mut self, object: &Object) {
        let version = object.version();
        self.version(version);
        if version == Version(0) {
            self.content(object);
        } else {
            self.uid(object.uid());
        }
    }

    fn content(&mut self, object: &Object) {
        self.number(object.kind() as u64);
        self.meta(object.meta());
        match object {
            Object::Claim(claim) => {
                self.text(&claim.pool);
                self.option(claim.wishes.is_some());
                if let Some(wishes) = &claim.wishes {
                    self.wishes(wishes);
                }
                self.claim_status(&claim.status);
            }
            Object::Pool(pool) => {
                self.number(pool.replicas.into());
                self.text(&pool.template);
                self.number(pool.update as u64);
                self.number(u64::from(pool.status.replicas) << 32 | u64::from(pool.status.ready));
                self.number(pool.status.observed as u64);
            }
            Object::Template(template) => {
                self.text(&template.blueprint.hash);
                self.number((template.env_policy as u64) << 8 | template.volume_claims_policy as u64);
                match &template.network {
                    Network::Unmanaged => self.number(1),
                    Network::Secure => self.number(2),
                    Network::Custom(rules) => self.text(rules.text()),
                }
            }
            Object::Service(it) | Object::VolumeClaim(it) | Object::NetworkPolicy(it) => {
                self.text(it.spec.text());
            }
            Object::Sandbox(sandbox) => {
                self.pod_metadata(&sandbox.pod);
                self.number(sandbox.service.map_or(0, |service| 1 + u64::from(service)));
                self.option(sandbox.suspended);
                self.option(sandbox.shutdown.is_some());
                if let Some(Shutdown { at, policy }) = sandbox.shutdown {
                    self.number(at.micros() as u64);
                    self.number(policy as u64);
                }
                self.text(sandbox.pod_spec.text());
                self.text(sandbox.volume_claims.as_ref().map_or("", Json::text));
                self.sandbox_status(&sandbox.status);
            }
            Object::Pod(pod) => {
                self.number(pod.phase as u64);
                self.option(pod.ready);
                self.texts(&pod.ips);
                self.option(pod.scheduled.is_some());
                if let Some((status, reason, _)) = &pod.scheduled {
                    self.number(*status as u64);
                    self.text(reason);
                }
                self.text(&pod.node);
            }
        }
    }

    /// Visits the place of an object.
    pub fn key(&mut self, kind: Kind, key: &Key) {
        self.number(kind as u64);
        self.text(&key.namespace);
        self.text(&key.name);
    }

    fn texts(&mut self, texts: &[Text]) {
        self.number(texts.len() as u64);
        texts.iter().for_each(|text| self.text(text));
    }

    /// The version stands for all of this, and the time of creation for nothing but the order of creation.
    fn meta(&mut self, meta: &Meta) {
        self.text(&meta.key.name);
        self.uid(meta.uid);
        self.number(meta.generation as u64);
        self.option(meta.terminating);
        self.labels(&meta.labels);
        self.labels(&meta.annotations);
        self.text(meta.co_owners.as_ref().map_or("", Json::text));
        match &meta.owner {
            None => self.number(0),
            Some(owner) => {
                match &owner.kind {
                    OwnerKind::Known(kind) => self.number(1 + *kind as u64),
                    OwnerKind::Foreign(kind) => self.text(kind),
                }
                self.uid(owner.uid);
                self.text(&owner.name);
            }
        }
    }

    fn wishes(&mut self, wishes: &Wishes) {
        self.number(wishes.env.len() as u64);
        for variable in &wishes.env {
            self.text(&variable.name);
            self.text(&variable.value);
            self.text(&variable.container);
        }
        self.text(wishes.volume_claims.as_ref().map_or("", Json::text));
        self.pod_metadata(&wishes.pod);
        self.option(wishes.lifecycle.is_some());
        if let Some(lifecycle) = &wishes.lifecycle {
            self.number(lifecycle.shutdown.map_or(0, |at| at.micros() as u64));
            self.number(lifecycle.ttl.map_or(u64::MAX, |ttl| ttl.as_secs()));
            self.number(lifecycle.policy as u64);
        }
    }

    fn pod_metadata(&mut self, pod: &PodMetadata) {
        self.labels(&pod.labels);
        self.labels(&pod.annotations);
    }

    fn labels(&mut self, labels: &Labels) {
        self.number(labels.len() as u64);
        for (key, value) in labels {
            self.label(key, Some(value));
        }
    }

    /// Nobody decides by the times that are noted in annotations: it matters whether they are there.
    fn label(&mut self, key: &str, value: Option<&Text>) {
        self.text(key);
        self.option(value.is_some());
        if let Some(value) = value.filter(|_| key != names::FIRST_OBSERVED_AT && key != names::FIRST_READY_AT)
        {
            self.text(value);
        }
    }

    fn conditions(&mut self, conditions: &[Condition]) {
        self.number(conditions.len() as u64);
        for condition in conditions {
            self.text(&condition.kind);
            self.number(condition.status as u64);
            self.text(&condition.reason);
            self.text(&condition.message);
            self.number(condition.observed as u64);
        }
    }

    fn claim_status(&mut self, status: &ClaimStatus) {
        self.option(status.sandbox.is_some());
        if let Some(bound) = &status.sandbox {
            self.text(&bound.name);
            self.texts(&bound.pod_ips);
        }
        self.conditions(&status.conditions);
    }

    fn sandbox_status(&mut self, status: &SandboxStatus) {
        self.conditions(&status.conditions);
        self.texts(&status.pod_ips);
        self.text(&status.node);
        self.option(status.selector.is_empty());
        self.text(&status.service);
        self.text(&status.service_fqdn);
    }

    /// Visits what an action asks for.
    pub fn operation(&mut self, operation: &Operation) {
        match operation {
            Operation::Create(object) => {
                self.number(1);
                self.object(object);
            }
            Operation::Patch(patch) => {
                self.number(2 | u64::from(patch.part == Part::Status) << 8);
                self.key(patch.target.kind, &patch.target.key);
                self.uid(patch.target.uid.unwrap_or_default());
                self.version(patch.version.unwrap_or_default());
                self.number(patch.changes.len() as u64);
                patch.changes.iter().for_each(|change| self.change(change));
            }
            Operation::Delete { target, version, propagation } => {
                self.number(3 | (*propagation as u64) << 8);
                self.key(target.kind, &target.key);
                self.uid(target.uid.unwrap_or_default());
                self.version(version.unwrap_or_default());
            }
            Operation::Get { kind, key } => {
                self.number(4);
                self.key(*kind, key);
            }
            Operation::Notify(notice) => {
                self.number(5);
                self.text(&notice.name);
            }
        }
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::Label(key, value) => {
                self.number(1);
                self.label(key, value.as_ref());
            }
            Change::Annotation(key, value) => {
                self.number(2);
                self.label(key, value.as_ref());
            }
            Change::Owner(owner) => self.uid(owner.uid),
            Change::CoOwners(others) => {
                self.number(6);
                self.text(others.text());
            }
            Change::PodLabel(key, value) => {
                self.number(3);
                self.label(key, value.as_ref());
            }
            Change::PodAnnotation(key, value) => {
                self.number(4);
                self.label(key, value.as_ref());
            }
            Change::Spec(merge) => {
                self.number(5);
                self.text(merge.text());
            }
            Change::ClaimStatus(status) => self.claim_status(status),
            Change::PoolStatus(status) => {
                self.number(u64::from(status.replicas) << 32 | u64::from(status.ready));
                self.number(status.observed as u64);
            }
            Change::SandboxStatus(status) => self.sandbox_status(status),
        }
    }

    /// Visits an answer.
    pub fn outcome(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Done(object) => {
                self.number(1);
                self.object(object);
            }
            Outcome::Accepted => self.number(2),
            Outcome::Conflict => self.number(3),
            Outcome::AlreadyExists => self.number(4),
            Outcome::NotFound => self.number(5),
            Outcome::Throttled(_) => self.number(6),
            Outcome::Refused(refusal) => {
                let (number, why) = match refusal {
                    Refusal::Forbidden(why) => (7, why),
                    Refusal::Invalid(why) => (9, why),
                    Refusal::NamespaceEnding(why) => (10, why),
                };
                self.number(number);
                self.text(why);
            }
            Outcome::Unknown => self.number(8),
        }
    }

    /// Visits a fact.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::Applied(object) => {
                self.number(1);
                self.object(object);
            }
            Event::Deleted(object) => {
                self.number(2);
                self.object(object);
            }
            Event::Relisted { kind, objects, at } => {
                self.number(3 | (*kind as u64) << 8 | (objects.len() as u64) << 32);
                objects.iter().for_each(|object| self.object(object));
                self.version(*at);
            }
            Event::Progress { kind, at } => {
                self.number(4 | (*kind as u64) << 8);
                self.version(*at);
            }
            Event::WatchLost { kind } => self.number(5 | (*kind as u64) << 8),
            Event::ActionDone { id, outcome } => {
                self.number(6);
                self.number(id.0);
                self.outcome(outcome);
            }
            Event::Leading { term } => {
                self.number(7);
                self.number(*term);
            }
            Event::Standby => self.number(8),
        }
    }

    fn purpose(&mut self, purpose: &Purpose) {
        self.number(purpose.intent as u64);
        self.uid(purpose.subject);
        self.operation(&purpose.operation);
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Rule(rule, uid) => {
                self.number(1 | (*rule as u64) << 8);
                self.uid(*uid);
            }
            Item::Look(slot) => {
                self.number(2);
                self.key(slot.0, &slot.1);
            }
            Item::RepeatWrite(uid) => {
                self.number(3);
                self.uid(*uid);
            }
            Item::RepeatCreate(slot) => {
                self.number(4);
                self.key(slot.0, &slot.1);
            }
            Item::Unbar(uid) => {
                self.number(6);
                self.uid(*uid);
            }
            Item::Notice => self.number(5),
        }
    }
}

/// Multiplies in 128 bits and folds the halves together.
///
/// Source: the mixing step of wyhash (Wang Yi, 2019).
const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    (product >> 64) as u64 ^ product as u64
}

/// Returns a number that stands for the content of an object: everything but its version and the time.
pub fn digest(object: &Object) -> u64 {
    let mut walk = Walk::new(Sight { now: Mono::default(), far: Duration::ZERO, version_mask: u64::MAX });
    walk.content(object);
    walk.fingerprint()
}

impl Machine {
    /// Visits everything that decides what this machine will do. Indexes follow from it, so they are left out.
    ///
    /// `sent` says what a walk over each action under way comes to: whoever asks has seen it go, so it need not be made
    /// of the same operation again and again.
    pub fn visit(&self, walk: &mut Walk, sent: impl Fn(ActionId) -> Digest) {
        self.visit_role(walk);
        self.visit_objects(walk);
        self.visit_ledger(walk, sent);
        walk.set(self.agenda().timers(), |walk, (at, item)| {
            walk.deadline(*at);
            walk.item(item);
        });
        for item in self.agenda().waiting() {
            walk.item(&item);
        }
        for ((rule, uid), cooling) in self.cooling() {
            walk.number(*rule as u64 | u64::from(cooling.failures) << 32);
            walk.number(cooling.refusals.into());
            walk.uid(*uid);
            walk.deadline(cooling.until);
            walk.option(cooling.refused.is_some());
            walk.number(cooling.put_off.len() as u64);
            for (operation, until) in cooling.refused.iter().chain(&cooling.put_off) {
                walk.operation(operation);
                walk.deadline(*until);
            }
        }
        walk.number(self.state().notices.len() as u64);
    }

    fn visit_role(&self, walk: &mut Walk) {
        walk.option(self.is_active());
        let (term, names_given) = self.naming();
        walk.number(term);
        walk.number(names_given);
        for feed in &self.state().feeds {
            walk.number(u64::from(feed.listed) << 1 | u64::from(feed.lost));
            walk.version(feed.at);
        }
    }

    fn visit_objects(&self, walk: &mut Walk) {
        let state = self.state();
        let config = self.config();
        walk.set(state.claims.unordered(), |walk, (uid, entry)| {
            walk.uid(*uid);
            walk.version(entry.claim.meta.version);
            walk.deadline(entry.seen.mono + config.adopt_grace);
            walk.text(entry.promised.as_deref().unwrap_or_default());
        });
        // Who came first, where the calendar tells it.
        for queue in state.waiting.values() {
            queue.iter().for_each(|order| walk.uid(order.2));
        }
        walk.set(state.pools.unordered(), |walk, (uid, entry)| {
            walk.uid(*uid);
            walk.version(entry.pool.meta.version);
            let next = entry.status_sent.map(|sent| sent + config.pool_status_interval);
            walk.deadline(next.unwrap_or_default());
            walk.option(entry.told_blocked);
            walk.deadline(entry.pace.held_until().unwrap_or_default());
            if let Some(left) = entry.pace.left(config.refill_rate, walk.sight.now) {
                walk.number((left >> 64) as u64);
                walk.number(left as u64);
            }
        });
        walk.set(state.templates.unordered(), |walk, (uid, template)| {
            walk.uid(*uid);
            walk.version(template.meta.version);
        });
        walk.set(state.sandboxes.unordered(), |walk, (uid, entry)| {
            walk.uid(*uid);
            walk.number(entry.told_conflict.unwrap_or_default());
            walk.version(entry.sandbox.meta.version);
            walk.deadline(entry.status_sent.unwrap_or(entry.seen.mono) + config.settle);
        });
        walk.set(state.members.unordered(), |walk, (_, members)| {
            members.victims.iter().for_each(|victim| walk.uid(victim.4));
            let stale = members.stale().filter_map(|victim| state.sandboxes.get(&victim.4));
            stale.for_each(|entry| walk.deadline(entry.seen.mono + config.settle));
        });
        walk.set(state.pods.unordered(), |walk, (uid, pod)| {
            walk.uid(*uid);
            walk.version(pod.meta.version);
        });
        walk.set(state.dependents.unordered(), |walk, (uid, object)| {
            walk.uid(*uid);
            walk.version(object.version());
        });
        walk.set(state.tombstones.unordered(), |walk, (uid, tombstone)| {
            walk.uid(*uid);
            let (known, deleted) = tombstone.versions();
            walk.order(known);
            walk.option(deleted.is_some());
            walk.order(deleted.unwrap_or_default());
        });
        for (kind, key) in state.absent.iter() {
            walk.key(*kind, key);
        }
        for (key, uid) in state.confirmed.iter() {
            walk.key(Kind::Sandbox, key);
            walk.uid(*uid);
        }
        for ((claim, sandbox), is_asked) in state.condemned.iter() {
            walk.uid(*claim);
            walk.uid(*sandbox);
            walk.option(*is_asked);
        }
        for (uid, is_asked) in state.bereaved.iter() {
            walk.uid(*uid);
            walk.option(*is_asked);
        }
    }

    /// Actions have no order: each is answered for itself.
    fn visit_ledger(&self, walk: &mut Walk, digest: impl Fn(ActionId) -> Digest) {
        let ledger = &self.state().ledger;
        walk.set(ledger.sent.unordered(), |walk, (id, sent)| {
            walk.number(u64::from(sent.lost));
            walk.number(sent.purpose.intent as u64);
            walk.uid(sent.purpose.subject);
            walk.digested(digest(*id));
        });
        walk.set(ledger.holds.unordered(), |walk, (uid, hold)| {
            walk.uid(*uid);
            match hold {
                Hold::Sent(_) => walk.number(1),
                Hold::Unsettled(lost) => {
                    walk.number(2 | u64::from(lost.times) << 8);
                    walk.deadline(lost.retry_at);
                    walk.purpose(&lost.purpose);
                }
                // Which write it was matters where a server refuses what is the newest, which none of a search does.
                Hold::Stale(version, _) => {
                    walk.number(3);
                    walk.version(*version);
                }
            }
        });
        for ((kind, key), draft) in ledger.drafts.iter() {
            walk.key(*kind, key);
            match draft.stage {
                // It is among those that were sent.
                Stage::Sent(id) => walk.digested(digest(id)),
                Stage::Unsettled(_) | Stage::Taken | Stage::Ghost => walk.purpose(&draft.purpose),
            }
            walk.number(match draft.stage {
                Stage::Sent(_) => 1,
                Stage::Unsettled(_) => 2,
                Stage::Taken => 3,
                Stage::Ghost => 4,
            });
            if let Stage::Unsettled(at) = draft.stage {
                walk.deadline(at);
            }
            walk.number(u64::from(draft.landed) | u64::from(draft.lost) << 1);
            walk.option(draft.ghost_until.is_some());
            walk.deadline(draft.ghost_until.unwrap_or_default());
        }
        for ((uid, kind), refused) in ledger.refused.iter() {
            walk.uid(*uid);
            walk.key(*kind, &refused.key);
            walk.text(&refused.why);
            walk.deadline(refused.since + self.config().settle);
        }
        for (uid, bar) in ledger.barred.iter() {
            walk.uid(*uid);
            walk.number(u64::from(bar.failures));
            walk.option(bar.until.is_some());
            walk.deadline(bar.until.unwrap_or_default());
        }
        for ((kind, key), look) in ledger.looks.iter() {
            walk.key(*kind, key);
            walk.number(u64::from(look.is_sent) | u64::from(look.failures) << 1);
            walk.option(look.until.is_some());
            walk.deadline(look.until.unwrap_or_default());
            walk.option(look.is_outdated);
            walk.option(look.holder.is_some());
            walk.uid(look.holder.unwrap_or_default());
        }
    }

    /// Visits what a list as of `at` is too old to tell: what it lacks and is not newer is gone.
    pub fn visit_list(&self, kind: Kind, at: Version, walk: &mut Walk) {
        walk.set(self.state().versions(kind), |walk, version| walk.option(version <= at));
    }

    /// Returns whether this machine takes an object to be there.
    pub fn knows(&self, kind: Kind, uid: Uid) -> bool {
        self.state().version(kind, uid).is_some()
    }

    /// Returns the version of the newest list or bookmark of a kind: older answers do not revive what is gone.
    pub fn listed_at(&self, kind: Kind) -> Version {
        self.state().feeds[kind.index()].at
    }

    /// Returns whether a state of an object tells this machine anything: news is what it does not know from an answer.
    pub fn is_news(&self, object: &Object) -> bool {
        let known = self.state().version(object.kind(), object.uid());
        let is_old = known.is_some_and(|known| known >= object.version());
        !is_old && !self.state().tombstones.contains_key(&object.uid())
    }

    /// Returns whether a bookmark tells this machine anything.
    pub fn is_progress(&self, kind: Kind, at: Version) -> bool {
        self.state().is_progress(kind, at)
    }
}
