//! What makes two situations the same: for searches that visit each situation once.
//!
//! Identities, versions, names and times enter by order and equality only, so that two histories which leave the same
//! situation have one fingerprint. A version stands for its whole object: the object's content enters once, where its
//! version is first met, and every other mention of it is a rank.
//!
//! A walk visits everything twice: first to find the ranks, then to mix.

use alloc::vec::Vec;
use core::time::Duration;

use crate::action::{Operation, Part};
use crate::agenda::Item;
use crate::event::Outcome;
use crate::id::{Key, Kind, Text, Uid, Version};
use crate::ledger::{Hold, Purpose, Stage};
use crate::machine::Machine;
use crate::names;
use crate::object::{Condition, Labels, Meta, Object, OwnerKind, PodMetadata};
use crate::patch::Change;
use crate::time::Mono;

/// Collects what a situation is made of.
#[derive(Clone, Debug, Default)]
pub struct Walk {
    now: Mono,
    uids: Vec<Uid>,
    versions: Vec<Version>,
    names: Vec<Text>,
    /// Versions whose content has been visited, by rank when mixing.
    visited: Vec<Version>,
    mixing: bool,
    hash: [u64; 2],
}

/// Ages beyond this are all the same: no rule looks further back.
const AGE_MAX: Duration = Duration::from_secs(10);

impl Walk {
    /// Walks through a situation and returns its fingerprint. `visit` is called twice and must do the same both times.
    pub fn fingerprint(&mut self, now: Mono, mut visit: impl FnMut(&mut Self)) -> u128 {
        self.now = now;
        self.mixing = false;
        for list in [&mut self.versions, &mut self.visited] {
            list.clear();
        }
        self.uids.clear();
        self.names.clear();
        visit(self);
        self.uids.sort_unstable();
        self.uids.dedup();
        self.versions.sort_unstable();
        self.versions.dedup();
        self.names.sort_unstable();
        self.names.dedup();
        self.visited.clear();
        self.mixing = true;
        self.hash = [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f];
        visit(self);
        u128::from(self.hash[0]) << 64 | u128::from(self.hash[1])
    }

    /// Visits a plain number.
    pub fn number(&mut self, number: u64) {
        if self.mixing {
            let [a, b] = &mut self.hash;
            *a = (a.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95);
            *b = (b.rotate_left(23) ^ number ^ 0x2545_f491_4f6c_dd1d).wrapping_mul(0x9fb2_1c65_1e98_df25);
        }
    }

    /// Visits an identity.
    pub fn uid(&mut self, uid: Uid) {
        if self.mixing {
            let rank = self.uids.binary_search(&uid).unwrap_or(usize::MAX);
            self.number(rank as u64);
        } else {
            self.uids.push(uid);
        }
    }

    /// Visits a version.
    pub fn version(&mut self, version: Version) {
        if self.mixing {
            let rank = self.versions.binary_search(&version).unwrap_or(usize::MAX);
            self.number(rank as u64);
        } else {
            self.versions.push(version);
        }
    }

    /// Visits a name.
    pub fn name(&mut self, name: &Text) {
        if self.mixing {
            let rank = self.names.binary_search(name).unwrap_or(usize::MAX);
            self.number(rank as u64);
        } else {
            self.names.push(name.clone());
        }
    }

    /// Visits a moment in the future, or a deadline that has passed.
    pub fn deadline(&mut self, at: Mono) {
        let ahead = at.since(self.now).as_micros();
        self.number(ahead as u64);
    }

    /// Visits a moment in the past.
    pub fn age(&mut self, since: Mono) {
        let age = self.now.since(since).min(AGE_MAX).as_micros();
        self.number(age as u64);
    }

    /// Visits text that is no name.
    pub fn text(&mut self, text: &str) {
        if !self.mixing {
            return;
        }
        self.number(text.len() as u64);
        for chunk in text.as_bytes().chunks(8) {
            let mut bytes = [0; 8];
            bytes[..chunk.len()].copy_from_slice(chunk);
            self.number(u64::from_le_bytes(bytes));
        }
    }

    /// Visits one state of an object: all of it the first time, its version every other time.
    pub fn object(&mut self, object: &Object) {
        let version = object.version();
        self.version(version);
        if version != Version(0) {
            if self.visited.contains(&version) {
                return;
            }
            self.visited.push(version);
        }
        self.number(object.kind() as u64);
        self.meta(object.meta());
        match object {
            Object::Claim(claim) => {
                self.name(&claim.pool);
                self.option(claim.status.sandbox.is_some());
                if let Some(bound) = &claim.status.sandbox {
                    self.name(&bound.name);
                    self.number(bound.pod_ips.len() as u64);
                }
                self.conditions(&claim.status.conditions, claim.meta.generation);
            }
            Object::Pool(pool) => {
                self.number(pool.replicas.into());
                self.name(&pool.template);
                self.number(u64::from(pool.status.replicas) << 32 | u64::from(pool.status.ready));
                self.option(pool.status.observed == pool.meta.generation);
            }
            Object::Template(template) => self.text(&template.blueprint.hash),
            Object::Sandbox(sandbox) => {
                self.pod_metadata(&sandbox.pod);
                self.conditions(&sandbox.status.conditions, sandbox.meta.generation);
                self.number(sandbox.status.pod_ips.len() as u64);
                self.text(&sandbox.status.node);
            }
            Object::Pod(pod) => {
                self.number(pod.phase as u64);
                self.number(u64::from(pod.ready) << 32 | pod.ips.len() as u64);
                self.option(pod.scheduled.is_some());
                self.text(&pod.node);
            }
        }
    }

    fn option(&mut self, is: bool) {
        self.number(u64::from(is));
    }

    fn key(&mut self, kind: Kind, key: &Key) {
        self.number(kind as u64);
        self.name(&key.name);
    }

    fn meta(&mut self, meta: &Meta) {
        self.name(&meta.key.name);
        self.uid(meta.uid);
        self.option(meta.terminating);
        self.labels(&meta.labels);
        self.labels(&meta.annotations);
        match &meta.owner {
            None => self.number(0),
            Some(owner) => {
                self.number(match &owner.kind {
                    OwnerKind::Known(kind) => 1 + *kind as u64,
                    OwnerKind::Foreign(_) => 9,
                });
                self.uid(owner.uid);
                self.name(&owner.name);
            }
        }
    }

    fn pod_metadata(&mut self, pod: &PodMetadata) {
        self.labels(&pod.labels);
        self.labels(&pod.annotations);
    }

    /// A key stands for its value where the value repeats an identity, a name or a time that enters elsewhere.
    fn labels(&mut self, labels: &Labels) {
        self.number(labels.len() as u64);
        for (key, value) in labels {
            if self.mixing {
                // Keys of one object differ in length or at the end.
                self.number(
                    key.len() as u64 ^ key.as_bytes().last().map_or(0, |last| u64::from(*last) << 32),
                );
            }
            match &**key {
                names::SANDBOX_NAME => self.name(value),
                names::CLAIM_UID
                | names::SANDBOX_NAME_HASH
                | names::POD_NAME
                | names::FIRST_OBSERVED_AT
                | names::FIRST_READY_AT => {}
                _ => self.text(value),
            }
        }
    }

    fn conditions(&mut self, conditions: &[Condition], generation: i64) {
        self.number(conditions.len() as u64);
        for condition in conditions {
            let kind = condition.kind.len() as u64;
            let current = u64::from(condition.observed == generation);
            self.number(kind << 32 | (condition.status as u64) << 8 | current);
            self.number(condition.reason.len() as u64 ^ (condition.message.len() as u64) << 32);
        }
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
                self.uid(patch.target.uid.unwrap_or_default());
                self.version(patch.version.unwrap_or_default());
                for change in &patch.changes {
                    self.change(change);
                }
            }
            Operation::Delete { target, version } => {
                self.number(3);
                self.key(target.kind, &target.key);
                self.uid(target.uid.unwrap_or_default());
                self.version(version.unwrap_or_default());
            }
            Operation::Get { kind, key } => {
                self.number(4);
                self.key(*kind, key);
            }
            Operation::Notify(_) => self.number(5),
        }
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::Label(key, value) | Change::Annotation(key, value) if &**key == names::SANDBOX_NAME => {
                self.option(value.is_some());
                if let Some(value) = value {
                    self.name(value);
                }
            }
            Change::Label(key, value) | Change::Annotation(key, value) => {
                self.number(key.len() as u64 | u64::from(value.is_some()) << 32);
            }
            Change::Owner(owner) => self.uid(owner.uid),
            Change::PodLabel(key, value) | Change::PodAnnotation(key, value) => {
                self.number(key.len() as u64 | u64::from(value.is_some()) << 33);
            }
            Change::ClaimStatus(status) => {
                if let Some(bound) = &status.sandbox {
                    self.name(&bound.name);
                    self.number(bound.pod_ips.len() as u64);
                }
                self.conditions(&status.conditions, 0);
            }
            Change::PoolStatus(status) => {
                self.number(u64::from(status.replicas) << 32 | u64::from(status.ready));
            }
            Change::SandboxStatus(status) => {
                self.conditions(&status.conditions, 0);
                self.number(status.pod_ips.len() as u64);
            }
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
            Outcome::Refused(_) => self.number(7),
            Outcome::Unknown => self.number(8),
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
            Item::Look(kind, key) => {
                self.number(2);
                self.key(*kind, key);
            }
            Item::RepeatWrite(uid) => {
                self.number(3);
                self.uid(*uid);
            }
            Item::RepeatCreate(kind, key) => {
                self.number(4);
                self.key(*kind, key);
            }
            Item::Notice => self.number(5),
        }
    }
}

impl Machine {
    /// Visits everything that decides what this machine will do. Indexes follow from it, so they are left out.
    pub fn visit(&self, walk: &mut Walk) {
        let state = self.state();
        walk.option(self.is_active());
        for feed in state.feeds {
            walk.number(u64::from(feed.listed) | u64::from(feed.lost) << 1);
        }
        for entry in state.claims.values() {
            walk.object(&Object::Claim(entry.claim.clone()));
            walk.age(entry.seen.mono);
            walk.option(entry.promised.is_some());
            if let Some(name) = &entry.promised {
                walk.name(name);
            }
        }
        for entry in state.pools.values() {
            walk.object(&Object::Pool(entry.pool.clone()));
            walk.option(entry.status_sent.is_some());
            walk.age(entry.status_sent.map(|sent| sent.mono).unwrap_or_default());
        }
        for template in state.templates.values() {
            walk.object(&Object::Template(template.clone()));
        }
        for entry in state.sandboxes.values() {
            walk.object(&Object::Sandbox(entry.sandbox.clone()));
            walk.age(entry.status_sent.unwrap_or(entry.seen).mono);
        }
        for pod in state.pods.values() {
            walk.object(&Object::Pod(pod.clone()));
        }
        walk.number(state.tombstones.len() as u64);
        for uid in state.tombstones.keys() {
            walk.uid(*uid);
        }
        for (kind, key) in &state.absent {
            walk.key(*kind, key);
        }
        for (key, uid) in &state.confirmed {
            walk.key(Kind::Sandbox, key);
            walk.uid(*uid);
        }
        self.visit_ledger(walk);
        for (at, item) in self.agenda().timers() {
            walk.deadline(*at);
            walk.item(item);
        }
        for item in self.agenda().waiting() {
            walk.item(item);
        }
        for (rule, uid, failures, until) in self.cooling() {
            walk.number(rule as u64 | u64::from(failures) << 32);
            walk.uid(uid);
            walk.deadline(until);
        }
        walk.number(state.notices.len() as u64);
    }

    fn visit_ledger(&self, walk: &mut Walk) {
        let ledger = &self.state().ledger;
        for sent in ledger.sent.values() {
            walk.number(u64::from(sent.lost));
            walk.purpose(&sent.purpose);
        }
        for (uid, hold) in &ledger.holds {
            walk.uid(*uid);
            match hold {
                Hold::Sent(_) => walk.number(1),
                Hold::Unsettled(lost) => {
                    walk.number(2 | u64::from(lost.times) << 8);
                    walk.deadline(lost.retry_at);
                    walk.purpose(&lost.purpose);
                }
                Hold::Stale(version) => {
                    walk.number(3);
                    walk.version(*version);
                }
            }
        }
        for ((kind, key), draft) in &ledger.drafts {
            walk.key(*kind, key);
            walk.purpose(&draft.purpose);
            walk.number(match draft.stage {
                Stage::Sent(_) => 1,
                Stage::Unsettled(_) => 2,
                Stage::Taken => 3,
                Stage::Ghost => 4,
            });
            if let Stage::Unsettled(at) = draft.stage {
                walk.deadline(at);
            }
            walk.option(draft.landed);
            walk.deadline(draft.ghost_until.unwrap_or_default());
        }
        for (kind, key) in ledger.looks.keys() {
            walk.key(*kind, key);
        }
    }

    /// Returns the newest version known of an object: what a watch shows up to there is no news.
    pub fn known_version(&self, kind: Kind, uid: Uid) -> Option<Version> {
        self.state().version(kind, uid)
    }
}
