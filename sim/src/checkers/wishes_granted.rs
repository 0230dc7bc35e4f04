//! What a claim asks for beyond a sandbox is in the sandbox that it has.

use std::collections::BTreeMap;
use std::sync::Arc;

use agent_sandbox_core::id::{Kind, Uid};
use agent_sandbox_core::object::{Claim, Json, Sandbox};
use agent_sandbox_core::wishes::{Variable, Wishes};

use super::{Checker, Class, Judgement, Property, as_claim, as_sandbox};
use crate::api_server::Commit;
use crate::reference::claims::template_of_sandbox;
use crate::reference::parts::container_of;
use crate::store::Store;

/// CON-003: a sandbox without the variables that its user asked for runs the wrong program.
#[derive(Clone, Debug, Default)]
pub(super) struct WishesGranted {
    /// Claim → its wishes, and the Pod spec in which they were found last: a spec is not read twice.
    granted: BTreeMap<Uid, (Arc<Wishes>, Json)>,
}

impl Checker for WishesGranted {
    fn property(&self) -> Property {
        Property {
            name: "wishes-granted",
            about: "a claim that is Ready has the variables, volumes and in the end the metadata that it asks for",
            class: Class::Safety,
        }
    }

    fn on_commit(&mut self, commit: &Commit, store: &Store) -> Judgement {
        let Some(claim) = as_claim(commit.new.as_ref()).filter(|claim| claim.status.is_ready()) else {
            return Judgement::Silent;
        };
        let Some(wishes) = &claim.wishes else { return Judgement::Silent };
        let name = claim.status.sandbox.as_ref().map(|bound| claim.meta.key.sibling(bound.name.clone()));
        let sandbox = as_sandbox(name.as_ref().and_then(|key| store.get(Kind::Sandbox, key)));
        let owned = sandbox.filter(|sandbox| sandbox.meta.is_owned_by(claim.meta.uid));
        let lack = owned.and_then(|sandbox| self.lack(claim, wishes, sandbox).map(|lack| (sandbox, lack)));
        Judgement::unless_broken(lack.map(|(sandbox, lack)| {
            format!("claim {} is Ready with sandbox {} {lack}", claim.meta.key.name, sandbox.meta.key.name)
        }))
    }

    fn at_rest(&mut self, store: &Store) -> Judgement {
        let claims = store.list(Kind::Claim).iter().filter_map(|object| as_claim(Some(object)));
        let lack = claims.filter(|claim| claim.status.is_ready()).find_map(|claim| {
            let bound = claim.status.sandbox.as_ref()?;
            let sandbox = store.get(Kind::Sandbox, &claim.meta.key.sibling(bound.name.clone()))?;
            lack_of_metadata(claim, as_sandbox(Some(sandbox))?, store)
        });
        Judgement::unless_broken(lack)
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

impl WishesGranted {
    fn lack(&mut self, claim: &Claim, wishes: &Arc<Wishes>, sandbox: &Sandbox) -> Option<String> {
        let known = self.granted.get(&claim.meta.uid);
        if known.is_none_or(|(granted, spec)| (granted, spec) != (wishes, &sandbox.pod_spec)) {
            if let Some(variable) = missing_variable(wishes, sandbox) {
                return Some(format!("without variable {}", variable.name));
            }
            self.granted.insert(claim.meta.uid, (wishes.clone(), sandbox.pod_spec.clone()));
        }
        let is_missing = |claims: &&Json| {
            let has = sandbox.volume_claims.as_ref().map_or("", Json::text);
            !has.contains(claims.text().trim_matches(['[', ']']))
        };
        wishes.volume_claims.as_ref().filter(is_missing).map(|_| "without its volumes".to_owned())
    }
}

fn missing_variable<'a>(wishes: &'a Wishes, sandbox: &Sandbox) -> Option<&'a Variable> {
    if wishes.env.is_empty() {
        return None;
    }
    let spec = sandbox.pod_spec.value();
    let is_there = |variable: &Variable| {
        let place = container_of(&spec, variable).and_then(|place| spec.pointer(&place));
        let entry = serde_json::json!({ "name": *variable.name, "value": *variable.value });
        place.is_some_and(|container| container["env"].as_array().is_some_and(|env| env.contains(&entry)))
    };
    // Of two of one name the last counts.
    let is_last = |place: usize, variable: &Variable| {
        let mut later = wishes.env[place + 1..].iter();
        later.all(|it| (&it.name, &it.container) != (&variable.name, &variable.container))
    };
    let mut wanted = wishes.env.iter().enumerate().filter(|(place, variable)| is_last(*place, variable));
    wanted.find(|(_, variable)| !is_there(variable)).map(|(_, variable)| variable)
}

/// What a claim may ask for and ask for no more.
const GIVEN: [&str; 3] = ["sandbox.users.io/team", "eu.sandbox.users.io/zone", "note"];

/// Returns what the Pod of a claim lacks, or has too much: in the end it has what the claim asks for by then.
fn lack_of_metadata(claim: &Claim, sandbox: &Sandbox, store: &Store) -> Option<String> {
    let pod = store.owned_by(Kind::Pod, sandbox.meta.uid).next()?.meta();
    let wanted = claim.wishes.as_ref().map(|wishes| wishes.pod.clone()).unwrap_or_default();
    // Without its template nobody knows what else the Pod should have, and what is there stays (PMD-010).
    let given = &template_of_sandbox(claim, sandbox, store)?.blueprint.pod;
    let name = &claim.meta.key.name;
    for (wanted, given, has) in [
        (&wanted.labels, &given.labels, &pod.labels),
        (&wanted.annotations, &given.annotations, &pod.annotations),
    ] {
        if let Some(key) = wanted.iter().find(|(key, value)| has.get(key) != Some(*value)) {
            return Some(format!("the Pod of claim {name} lacks {}", key.0));
        }
        let is_left =
            |key: &&str| has.contains_key(key) && !wanted.contains_key(key) && !given.contains_key(key);
        if let Some(key) = GIVEN.into_iter().find(is_left) {
            return Some(format!("the Pod of claim {name} still has {key}"));
        }
    }
    None
}
