//! A sandbox has one Pod at most.

use std::collections::{BTreeMap, BTreeSet};

use agent_sandbox_core::action::Intent;
use agent_sandbox_core::fingerprint::Walk;
use agent_sandbox_core::id::{Kind, Uid};
use agent_sandbox_core::names;
use agent_sandbox_core::object::Object;

use super::{Checker, Class, Judgement, Property, as_sandbox};
use crate::api_server::{Commit, Writer};
use crate::store::Store;

/// INV-04: two Pods behind one identity would split a session.
///
/// What users give a sandbox may come at any time, so it does not count. Nor does a Pod that a process has begun to adopt
/// before another took the sandbox's note of it back: the two write different objects, so no lock can tell them.
#[derive(Clone, Debug, Default)]
pub(super) struct OnePod {
    given: BTreeSet<Uid>,
    /// Sandbox → who has taken back its note of a Pod last.
    unnoted: BTreeMap<Uid, (u8, u64)>,
}

impl OnePod {
    fn remember_note(&mut self, commit: &Commit) {
        let sandbox = commit.object().uid();
        match (commit.by, as_sandbox(commit.new.as_ref())) {
            (Some(Writer::Process { process, term, intent: Intent::NamePod }), Some(new))
                if new.meta.annotation(names::POD_NAME).is_none() =>
            {
                self.unnoted.insert(sandbox, (process, term));
            }
            (_, None) => _ = self.unnoted.remove(&sandbox),
            (_, Some(_)) => {}
        }
    }

    /// Returns whether a sandbox is given a Pod that it does not note any more, by somebody who could not know.
    fn is_overtaken(&self, sandbox: Uid, commit: &Commit) -> bool {
        let Some(Writer::Process { process, term, intent: Intent::AdoptPod }) = commit.by else {
            return false;
        };
        self.unnoted.get(&sandbox).is_some_and(|by| *by != (process, term))
    }
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
        let kind = commit.object().kind();
        let noted = |sandbox: &Object| sandbox.meta().annotation(names::POD_NAME).cloned();
        (kind == Kind::Pod && commit.changes(|pod| &pod.meta().owner))
            || (kind == Kind::Sandbox && commit.changes(noted))
    }

    fn on_commit(&mut self, commit: &Commit, store: &Store) -> Judgement {
        let pod = commit.object();
        if pod.kind() == Kind::Sandbox {
            self.remember_note(commit);
        }
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
        if commit.by == Some(Writer::User) || self.is_overtaken(owner, commit) {
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
        walk.set(&self.unnoted, |walk, (sandbox, (process, term))| {
            walk.uid(*sandbox);
            walk.number(u64::from(*process) << 32 | *term);
        });
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}
