//! A sandbox has one Pod at most.

use std::collections::BTreeSet;

use agent_sandbox_core::fingerprint::Walk;
use agent_sandbox_core::id::{Kind, Uid};

use super::{Checker, Class, Judgement, Property};
use crate::api_server::{Commit, Writer};
use crate::store::Store;

/// INV-04: two Pods behind one identity would split a session.
///
/// What users give a sandbox may come at any time, so it does not count.
#[derive(Clone, Debug, Default)]
pub(super) struct OnePod {
    given: BTreeSet<Uid>,
}

impl Checker for OnePod {
    fn property(&self) -> Property {
        Property {
            name: "one-pod",
            about: "a sandbox gets a Pod only while it has none, terminating ones included",
            class: Class::Safety,
        }
    }

    fn heeds(&self, commit: &Commit) -> bool {
        commit.object().kind() == Kind::Pod && commit.changes(|pod| &pod.meta().owner)
    }

    fn on_commit(&mut self, commit: &Commit, store: &Store) -> Judgement {
        let pod = commit.object();
        if pod.kind() != Kind::Pod {
            return Judgement::Silent;
        }
        if commit.new.is_none() {
            self.given.remove(&pod.uid());
            return Judgement::Silent;
        }
        let Some(owner) = pod.meta().owner_of_kind(Kind::Sandbox) else { return Judgement::Silent };
        let had_it = commit.old.as_ref().is_some_and(|old| old.meta().is_owned_by(owner));
        if had_it {
            return Judgement::Silent;
        }
        if commit.by == Some(Writer::User) {
            self.given.insert(pod.uid());
            return Judgement::Silent;
        }
        let own = store.owned_by(Kind::Pod, owner).filter(|pod| !self.given.contains(&pod.uid()));
        let names: Vec<&str> = own.map(|pod| &*pod.key().name).collect();
        Judgement::unless_broken((names.len() > 1).then(|| {
            let sandbox = pod.meta().owner.as_ref().map_or("", |owner| &owner.name);
            format!("sandbox {sandbox} has the Pods {}", names.join(" and "))
        }))
    }

    fn remembered(&self, walk: &mut Walk) {
        walk.set(&self.given, |walk, pod| walk.uid(*pod));
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}
