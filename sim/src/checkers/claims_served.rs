//! In the end every claim has what it asked for.

use agent_sandbox_core::id::Kind;
use agent_sandbox_core::object::{Claim, Object};

use super::{Checker, Class, Judgement, Property};
use crate::store::Store;

/// INV-12: when the trouble is over, nobody waits.
#[derive(Clone, Debug)]
pub(super) struct ClaimsServed;

impl Checker for ClaimsServed {
    fn property(&self) -> Property {
        Property {
            name: "claims-served",
            about: "after the trouble every claim is Ready with a sandbox of its own",
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
