//! A sandbox has one Pod at most.

use agent_sandbox_core::id::Kind;

use super::{Checker, Class, Judgement, Property};
use crate::api_server::Commit;
use crate::store::Store;

/// INV-04: two Pods behind one identity would split a session.
#[derive(Clone, Debug)]
pub(super) struct OnePod;

impl Checker for OnePod {
    fn property(&self) -> Property {
        Property {
            name: "one-pod",
            about: "a Pod is created only while its sandbox has none, terminating ones included",
            class: Class::Safety,
        }
    }

    fn on_commit(&mut self, commit: &Commit, store: &Store) -> Judgement {
        let (None, Some(pod)) = (&commit.old, &commit.new) else { return Judgement::Silent };
        if pod.kind() != Kind::Pod {
            return Judgement::Silent;
        }
        let Some(owner) = pod.meta().owner_of_kind(Kind::Sandbox) else { return Judgement::Silent };
        let names: Vec<&str> = store.owned_by(Kind::Pod, owner).map(|pod| &*pod.key().name).collect();
        Judgement::unless_broken((names.len() > 1).then(|| {
            let sandbox = pod.meta().owner.as_ref().map_or("", |owner| &owner.name);
            format!("sandbox {sandbox} has the Pods {}", names.join(" and "))
        }))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}
