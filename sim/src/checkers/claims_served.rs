//! In the end every claim has what it asked for.

use agent_sandbox_core::id::Kind;
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Claim, Object};
use agent_sandbox_core::wishes::ClaimShutdownPolicy;

use super::{Checker, Class, Judgement, Property, as_pool, as_sandbox};
use crate::store::Store;

/// INV-12: when the trouble is over, nobody waits.
#[derive(Clone, Debug)]
pub(super) struct ClaimsServed;

impl Checker for ClaimsServed {
    fn property(&self) -> Property {
        Property {
            name: "claims-served",
            about: "after the trouble every claim is Ready with a sandbox of its own, has expired and says so, or says what it cannot have",
            class: Class::Liveness,
        }
    }

    fn at_rest(&mut self, store: &Store) -> Judgement {
        let mut claims = store.list(Kind::Claim).iter().filter_map(Object::as_claim);
        let waiting = claims.find_map(|claim| lack(claim, store).map(|lack| (claim, lack)));
        Judgement::unless_broken(waiting.map(|(claim, lack)| format!("claim {} {lack}", claim.meta.key.name)))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

/// Returns what a claim lacks.
fn lack(claim: &Claim, store: &Store) -> Option<String> {
    if let Some(lifecycle) = claim.wishes.as_ref().and_then(|wishes| wishes.lifecycle.as_ref()) {
        // Every end that is drawn lies in the trouble, which is over.
        let told = claim.status.condition(names::READY).map(|ready| &*ready.reason);
        let is_over = told == Some(names::CLAIM_EXPIRED) && claim.status.sandbox.is_none();
        let is_left = store.owned_by(Kind::Sandbox, claim.meta.uid).next().is_some();
        let is_right = lifecycle.policy == ClaimShutdownPolicy::Retain && is_over && !is_left;
        return (!is_right).then(|| format!("has expired ({:?}) and says {told:?}", lifecycle.policy));
    }
    if has_ended(claim, store) {
        return None;
    }
    if let Some(reason) = refusal(claim, store) {
        let told = claim.status.condition(names::READY).map(|ready| &*ready.reason);
        let got = claim.status.sandbox.as_ref().map(|bound| &*bound.name);
        let is_right = told == Some(reason) && got.is_none();
        return (!is_right).then(|| format!("cannot be served, has {got:?} and says {told:?}, not {reason}"));
    }
    let Some(bound) = claim.status.sandbox.as_ref().filter(|_| claim.status.is_ready()) else {
        let conditions = claim.status.conditions.iter();
        let said: Vec<_> =
            conditions.map(|it| format!("{}={} {}", it.kind, it.status.as_str(), it.reason)).collect();
        let said = if said.is_empty() { "nothing".to_owned() } else { said.join(", ") };
        return Some(format!("is not Ready; its status says {said}"));
    };
    let sandbox = store.get(Kind::Sandbox, &claim.meta.key.sibling(bound.name.clone()));
    let owned = sandbox.is_some_and(|sandbox| sandbox.meta().is_owned_by(claim.meta.uid));
    (!owned).then(|| format!("names sandbox {}, which it does not own", bound.name))
}

/// Returns whether a claim has a sandbox whose Pod ended. Its user was told, and nothing will be done about it.
fn has_ended(claim: &Claim, store: &Store) -> bool {
    let sandbox = store.owned_by(Kind::Sandbox, claim.meta.uid).next();
    as_sandbox(sandbox).is_some_and(|sandbox| sandbox.status.condition(names::FINISHED).is_some())
}

/// Returns the reason that a claim must give, if it asks for what it cannot have.
fn refusal(claim: &Claim, store: &Store) -> Option<&'static str> {
    let wishes = claim.wishes.as_ref()?;
    let pool = as_pool(store.get(Kind::Pool, &claim.meta.key.sibling(claim.pool.clone())))?;
    let template = store.get(Kind::Template, &claim.meta.key.sibling(pool.template.clone()))?;
    let Object::Template(template) = template else { return None };
    let spec: serde_json::Value = serde_json::from_str(template.blueprint.pod_spec.text()).ok()?;
    let (labels, annotations) = (&wishes.pod.labels, &wishes.pod.annotations);
    if labels.keys().any(|key| !key.contains('/')) || annotations.contains_key(names::POD_NAME) {
        return Some("InvalidMetadata");
    }
    let given = &template.blueprint.pod.labels;
    if labels.iter().any(|(key, value)| given.get(key).is_some_and(|given| given != value)) {
        return Some("ReconcilerError");
    }
    let has = |name: &str| {
        let containers = spec["containers"].as_array();
        containers.is_some_and(|containers| containers.iter().any(|container| container["name"] == name))
    };
    let lost = wishes.env.iter().any(|variable| !variable.container.is_empty() && !has(&variable.container));
    lost.then_some("ReconcilerError")
}
