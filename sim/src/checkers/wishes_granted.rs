//! What a claim asks for beyond a sandbox is in the sandbox that it has.

use agent_sandbox_core::id::Kind;
use agent_sandbox_core::object::{Claim, Json, Sandbox};

use super::{Checker, Class, Judgement, Property, as_claim, as_sandbox};
use crate::api_server::Commit;
use crate::store::Store;

/// CON-003: a sandbox without the variables that its user asked for runs the wrong program.
#[derive(Clone, Debug)]
pub(super) struct WishesGranted;

impl Checker for WishesGranted {
    fn property(&self) -> Property {
        Property {
            name: "wishes-granted",
            about: "a claim that is Ready has the variables and volumes that it asked for",
            class: Class::Safety,
        }
    }

    fn on_commit(&mut self, commit: &Commit, store: &Store) -> Judgement {
        let Some(claim) = as_claim(commit.new.as_ref()).filter(|claim| claim.status.is_ready()) else {
            return Judgement::Silent;
        };
        if claim.wishes.is_none() {
            return Judgement::Silent;
        }
        let name = claim.status.sandbox.as_ref().map(|bound| claim.meta.key.sibling(bound.name.clone()));
        let sandbox = as_sandbox(name.as_ref().and_then(|key| store.get(Kind::Sandbox, key)));
        let owned = sandbox.filter(|sandbox| sandbox.meta.is_owned_by(claim.meta.uid));
        let lack = owned.and_then(|sandbox| lack(claim, sandbox).map(|lack| (sandbox, lack)));
        Judgement::unless_broken(lack.map(|(sandbox, lack)| {
            format!("claim {} is Ready with sandbox {} {lack}", claim.meta.key.name, sandbox.meta.key.name)
        }))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

fn lack(claim: &Claim, sandbox: &Sandbox) -> Option<String> {
    let wishes = claim.wishes.as_ref()?;
    let spec = sandbox.pod_spec.text();
    let variable = wishes.env.iter().find(|variable| {
        let entry = serde_json::json!({ "name": *variable.name, "value": *variable.value });
        !spec.contains(&entry.to_string())
    });
    if let Some(variable) = variable {
        return Some(format!("without variable {}", variable.name));
    }
    let is_missing = |claims: &&Json| {
        let has = sandbox.volume_claims.as_ref().map_or("", Json::text);
        !has.contains(claims.text().trim_matches(['[', ']']))
    };
    wishes.volume_claims.as_ref().filter(is_missing).map(|_| "without its volumes".to_owned())
}
