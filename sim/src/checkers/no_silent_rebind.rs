//! A user who was told Ready is never moved without being told.

use agent_sandbox_core::object::Bound;

use super::{Checker, Class, Judgement, Property, as_claim};
use crate::api_server::Commit;
use crate::store::Store;

/// INV-35: another sandbox, or another Pod, is published only after a visible Ready=False.
#[derive(Clone, Debug)]
pub(super) struct NoSilentRebind;

impl Checker for NoSilentRebind {
    fn property(&self) -> Property {
        Property {
            name: "no-silent-rebind",
            about: "a claim that is Ready never names another sandbox or address without being not Ready first",
            class: Class::Safety,
        }
    }

    fn on_commit(&mut self, commit: &Commit, _store: &Store) -> Judgement {
        let (Some(old), Some(new)) = (as_claim(commit.old.as_ref()), as_claim(commit.new.as_ref())) else {
            return Judgement::Silent;
        };
        if old.meta.uid != new.meta.uid || !old.status.is_ready() || !new.status.is_ready() {
            return Judgement::Silent;
        }
        let broken = old.status.sandbox != new.status.sandbox;
        Judgement::unless_broken(broken.then(|| {
            let [from, to] = [old, new].map(|claim| naming(claim.status.sandbox.as_ref()));
            format!("claim {} was Ready with {from} and is Ready with {to}", new.meta.key.name)
        }))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

/// Tells which sandbox a status names, and where.
fn naming(bound: Option<&Bound>) -> String {
    let told = bound.map(|bound| format!("sandbox {} at [{}]", bound.name, bound.pod_ips.join(", ")));
    told.unwrap_or_else(|| "no sandbox".to_owned())
}
