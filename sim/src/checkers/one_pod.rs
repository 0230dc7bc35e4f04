//! A sandbox has one Pod at most.

use std::collections::{BTreeMap, BTreeSet};

use agent_sandbox_core::action::{Intent, Operation};
use agent_sandbox_core::event::Outcome;
use agent_sandbox_core::fingerprint::Walk;
use agent_sandbox_core::id::{Key, Kind, Uid};
use agent_sandbox_core::names;
use agent_sandbox_core::object::Object;
use agent_sandbox_core::patch::Change;

use super::{Checker, Class, Judgement, Property, as_sandbox};
use crate::api_server::{Commit, Writer};
use crate::process;
use crate::step::{Fact, Sent};
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
    /// Process and Pod → the server has told it that nobody has this name.
    absent: BTreeSet<(u8, Key)>,
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

    /// Returns the Pod of another name that a sandbox notes and gets no more, because a request takes the note back or makes
    /// another Pod, although it is there, may be had, and nobody has asked the server whether it is: a watch may lag.
    fn forsaken(&self, sent: &Sent, store: &Store) -> Option<Key> {
        let is_note =
            |change: &Change| matches!(change, Change::Annotation(key, None) if **key == *names::POD_NAME);
        let (sandbox, version) = match &*sent.action.operation {
            Operation::Patch(patch) if patch.changes.iter().any(is_note) => (patch.target.uid, patch.version),
            Operation::Create(made) if made.kind() == Kind::Pod => {
                (made.meta().owner_of_kind(Kind::Sandbox), None)
            }
            Operation::Patch(_)
            | Operation::Create(_)
            | Operation::Delete { .. }
            | Operation::Get { .. }
            | Operation::Notify(_) => (None, None),
        };
        let sandbox = as_sandbox(store.find(Kind::Sandbox, sandbox?)).filter(|it| !it.suspended)?;
        if version.is_some_and(|version| version != sandbox.meta.version) {
            // Its user may have let it run again since.
            return None;
        }
        let noted = sandbox.meta.key.sibling(sandbox.meta.annotation(names::POD_NAME)?.clone());
        let pod = store.get(Kind::Pod, &noted)?.meta();
        let is_other = noted.name != sandbox.meta.key.name;
        let may_be_had = is_other && pod.owner.is_none() && !pod.terminating;
        (may_be_had && !self.absent.contains(&(sent.process, noted.clone()))).then_some(noted)
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
            about: "a sandbox gets a Pod only while it has none, terminating ones included, and gives up none that was prepared for it",
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

    fn on_action(&mut self, sent: &Sent, store: &Store) -> Judgement {
        self.forsaken(sent, store).map_or(Judgement::Silent, |pod| {
            let who = process::name(sent.process);
            Judgement::Broken(format!(
                "{who} gives up Pod {}, which a sandbox notes and which is there",
                pod.name
            ))
        })
    }

    fn on_fact(&mut self, fact: &Fact) {
        if let Fact::Answered { process, action, outcome: Outcome::NotFound } = fact
            && let Operation::Get { kind: Kind::Pod, key } = &*action.operation
        {
            self.absent.insert((*process, key.clone()));
        }
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
