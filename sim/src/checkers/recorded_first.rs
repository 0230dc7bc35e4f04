//! A claim says which sandbox it will get before it gets it, and sticks to it.

use std::collections::BTreeMap;

use agent_sandbox_core::fingerprint::Walk;
use agent_sandbox_core::id::{Kind, Text, Uid, Version};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Claim, Meta, Sandbox};

use super::{Checker, Class, Judgement, Property, as_claim, as_sandbox};
use crate::api_server::{Commit, Writer};
use crate::store::Store;

/// INV-03: what a dead process has begun, its successor must be able to read.
///
/// What a claim has recorded is the sandbox that was there then. A create whose answer was lost may land again under
/// the same name when that one is gone: this is another sandbox, of which the claim knows nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct RecordedFirst {
    /// Claim → what it records, and the revision that recorded it.
    records: BTreeMap<Uid, (Text, Version)>,
    /// Sandbox → its name, and the revision that created it.
    births: BTreeMap<Uid, (Text, Version)>,
}

impl Checker for RecordedFirst {
    fn property(&self) -> Property {
        Property {
            name: "recorded-first",
            about: "a claim records a sandbox before it owns it, and drops the record only when that is lost",
            class: Class::Safety,
        }
    }

    fn heeds(&self, commit: &Commit) -> bool {
        match commit.object().kind() {
            Kind::Claim => commit.changes(|claim| record(claim.meta())),
            Kind::Sandbox => commit.changes(|sandbox| &sandbox.meta().owner),
            Kind::Pool
            | Kind::Pod
            | Kind::Template
            | Kind::Service
            | Kind::VolumeClaim
            | Kind::NetworkPolicy => false,
        }
    }

    fn on_commit(&mut self, commit: &Commit, store: &Store) -> Judgement {
        self.remember(commit);
        if let Some(sandbox) = as_sandbox(commit.new.as_ref()) {
            if commit.by == Some(Writer::User) {
                // What an older release has left.
                return Judgement::Silent;
            }
            return self.judge_transfer(commit, sandbox, store);
        }
        match (as_claim(commit.old.as_ref()), as_claim(commit.new.as_ref())) {
            (Some(old), Some(new)) if commit.by != Some(Writer::User) => self.judge_record(old, new, store),
            _ => Judgement::Silent,
        }
    }

    fn remembered(&self, walk: &mut Walk) {
        for (claim, (name, since)) in &self.records {
            let named = self.births.iter().filter(|(_, birth)| birth.0 == *name);
            walk.set(named, |walk, (sandbox, birth)| {
                walk.uid(*claim);
                walk.uid(*sandbox);
                walk.option(birth.1 <= *since);
            });
        }
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

impl RecordedFirst {
    fn remember(&mut self, commit: &Commit) {
        let (uid, version) = (commit.object().uid(), commit.version);
        match (commit.object().kind(), &commit.old, &commit.new) {
            (Kind::Sandbox, None, Some(_)) => {
                self.births.insert(uid, (commit.object().key().name.clone(), version));
            }
            (Kind::Claim, old, Some(new)) => {
                let before = old.as_ref().and_then(|old| record(old.meta()));
                if let Some(recorded) = record(new.meta()).filter(|recorded| before != Some(recorded)) {
                    self.records.insert(uid, (recorded.clone(), version));
                }
            }
            (Kind::Sandbox, _, None) => {
                self.births.remove(&uid);
            }
            (Kind::Claim, _, None) => {
                self.records.remove(&uid);
            }
            _ => {}
        }
    }

    fn judge_record(&self, old: &Claim, new: &Claim, store: &Store) -> Judgement {
        let Some(recorded) = record(&old.meta) else { return Judgement::Silent };
        if record(&new.meta) == Some(recorded) || old.meta.uid != new.meta.uid {
            return Judgement::Silent;
        }
        let held = as_sandbox(store.get(Kind::Sandbox, &new.meta.key.sibling(recorded.clone())));
        let since = self.records.get(&old.meta.uid).map(|record| record.1);
        let is_older = |sandbox: &&Sandbox| self.births.get(&sandbox.meta.uid).map(|birth| birth.1) <= since;
        let broken = held.filter(is_older).is_some_and(|sandbox| is_obtainable(sandbox, new.meta.uid));
        Judgement::unless_broken(broken.then(|| {
            let claim = &new.meta.key.name;
            format!("claim {claim} dropped its record of sandbox {recorded}, which it has or could have")
        }))
    }

    fn judge_transfer(&self, commit: &Commit, sandbox: &Sandbox, store: &Store) -> Judgement {
        let Some(owner) = sandbox.meta.owner_of_kind(Kind::Claim) else { return Judgement::Silent };
        if commit.old.as_ref().is_some_and(|old| old.meta().is_owned_by(owner)) {
            return Judgement::Silent;
        }
        // A claim that is gone by now cannot be asked; its sandbox is about to be collected.
        let Some(claim) = store.find(Kind::Claim, owner) else { return Judgement::Silent };
        let (name, recorded) = (&sandbox.meta.key.name, record(claim.meta()));
        if recorded == Some(name) {
            return Judgement::Holds;
        }
        let birth = self.births.get(&sandbox.meta.uid).map(|birth| birth.1);
        if recorded.is_none()
            && self.records.get(&owner).is_some_and(|(last, since)| last == name && Some(*since) < birth)
        {
            // The record was taken off because of the one that had the name before; whoever adopts had read it until then.
            return Judgement::Silent;
        }
        let claim = &claim.key().name;
        let recorded = recorded.map_or("no sandbox", |name| &**name);
        Judgement::Broken(format!("claim {claim} owns sandbox {name} while it records {recorded}"))
    }
}

fn record(meta: &Meta) -> Option<&Text> {
    meta.annotation(names::SANDBOX_NAME)
}

/// Returns whether a claim has a sandbox, or nobody has it yet.
fn is_obtainable(sandbox: &Sandbox, claim: Uid) -> bool {
    let pooled = sandbox.meta.owner_of_kind(Kind::Pool).is_some();
    !sandbox.meta.terminating && (pooled || sandbox.meta.is_owned_by(claim))
}
