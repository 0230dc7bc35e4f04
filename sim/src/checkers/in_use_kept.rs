//! No controller deletes the sandbox of a claim that is there.

use std::collections::BTreeMap;

use agent_sandbox_core::action::Intent;
use agent_sandbox_core::fingerprint::Walk;
use agent_sandbox_core::id::{Key, Kind, Uid};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Claim, Object, Sandbox};

use super::{Checker, Class, Judgement, Property, as_claim, as_sandbox};
use crate::api_server::{Commit, Writer};
use crate::store::Store;

/// INV-06: a session that is in use is not destroyed, nor a member that a claim has recorded.
///
/// Another leader may have recorded it at the very moment: then the record is given up, and no harm is done.
#[derive(Clone, Debug, Default)]
pub(super) struct InUseKept {
    /// Claim → the sandbox that it has recorded, and the term that wrote it.
    records: BTreeMap<Uid, (Key, u64)>,
}

impl Checker for InUseKept {
    fn property(&self) -> Property {
        Property {
            name: "in-use-kept",
            about: "no controller deletes the sandbox of a claim that is there and was not told that it has expired",
            class: Class::Safety,
        }
    }

    fn on_commit(&mut self, commit: &Commit, store: &Store) -> Judgement {
        self.note_record(commit);
        let Some(old) = as_sandbox(commit.old.as_ref()) else { return Judgement::Silent };
        let Some(Writer::Process { intent, term, .. }) = commit.by else { return Judgement::Silent };
        if !commit.ends_life() {
            return Judgement::Silent;
        }
        let promised = if intent == Intent::DeleteMember { self.promised(old, term, store) } else { None };
        if let Some(claim) = promised {
            let (sandbox, claim) = (&old.meta.key.name, &claim.key().name);
            return Judgement::Broken(format!(
                "{intent:?} deleted sandbox {sandbox}, which the same leader had promised to claim {claim}"
            ));
        }
        let owner = old.meta.owner_of_kind(Kind::Claim).and_then(|uid| store.find(Kind::Claim, uid));
        let owner = owner.filter(|claim| !claim.meta().terminating);
        // Whoever was told that it has expired does not use it any more.
        let owner =
            owner.filter(|claim| as_claim(Some(claim)).is_some_and(|claim| claim.expired().is_none()));
        Judgement::unless_broken(owner.map(|claim| {
            let (sandbox, claim) = (&old.meta.key.name, &claim.key().name);
            format!("{intent:?} deleted sandbox {sandbox}, which claim {claim} owns")
        }))
    }

    fn remembered(&self, walk: &mut Walk) {
        walk.set(&self.records, |walk, (claim, (_, term))| {
            walk.uid(*claim);
            walk.number(*term);
        });
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

impl InUseKept {
    fn note_record(&mut self, commit: &Commit) {
        let uid = commit.object().uid();
        let record = |claim: Option<&Claim>| {
            claim.and_then(|claim| {
                let name = claim.meta.annotation(names::SANDBOX_NAME)?;
                Some(claim.meta.key.sibling(name.clone()))
            })
        };
        let (before, after) = (record(as_claim(commit.old.as_ref())), record(as_claim(commit.new.as_ref())));
        match (after, commit.by) {
            (after, _) if after == before => {}
            (Some(key), Some(Writer::Process { term, .. })) => {
                self.records.insert(uid, (key, term));
            }
            _ => {
                self.records.remove(&uid);
            }
        }
    }

    /// Returns the claim to which this leader has promised a member that is of some use.
    fn promised<'a>(&self, member: &Sandbox, term: u64, store: &'a Store) -> Option<&'a Object> {
        let pool = store.find(Kind::Pool, member.meta.owner_of_kind(Kind::Pool)?)?;
        let mut pods = store.owned_by(Kind::Pod, member.meta.uid).filter_map(Object::as_pod);
        if pool.meta().terminating || pods.any(|pod| pod.phase.is_terminal()) {
            return None;
        }
        let mut holders =
            self.records.iter().filter(|(_, record)| *record == &(member.meta.key.clone(), term));
        let claim = holders.find_map(|(claim, _)| store.find(Kind::Claim, *claim))?;
        let is_over = as_claim(Some(claim)).is_some_and(|claim| claim.expired().is_some());
        (!claim.meta().terminating && !is_over).then_some(claim)
    }
}
