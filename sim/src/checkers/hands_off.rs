//! Controllers touch only what belongs to sandboxes.

use agent_sandbox_core::id::Kind;
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Object, Owner, OwnerKind};

use super::{Checker, Class, Judgement, Property};
use crate::api_server::{Commit, Writer};
use crate::store::Store;

/// INV-05: what is somebody else's stays as it is, and what is nobody's is taken only where it was marked.
#[derive(Clone, Debug)]
pub(super) struct HandsOff;

impl Checker for HandsOff {
    fn property(&self) -> Property {
        Property {
            name: "hands-off",
            about: "controllers change and delete only what belongs to sandboxes, and take only what is marked",
            class: Class::Safety,
        }
    }

    fn on_commit(&mut self, commit: &Commit, _store: &Store) -> Judgement {
        let Some(Writer::Process { intent, .. }) = commit.by else { return Judgement::Silent };
        let is_part = |old: &&Object| matches!(old.kind(), Kind::Pod | Kind::Service | Kind::VolumeClaim);
        let Some(old) = commit.old.as_ref().filter(is_part) else {
            return Judgement::Silent;
        };
        let owner = commit.new.as_ref().and_then(|new| new.meta().owner.as_ref());
        let is_right = match &old.meta().owner {
            Some(before) => {
                is_sandbox(before) && (commit.new.is_none() || owner.is_some_and(|now| now.uid == before.uid))
            }
            None => owner.is_some_and(|now| is_sandbox(now) && is_marked(old, now)),
        };
        if let Some(key) = commit.new.as_ref().and_then(|new| dropped(old, new)) {
            let name = &old.key().name;
            return Judgement::Broken(format!(
                "{intent:?} took {key} off Pod {name}, which others had put there"
            ));
        }
        Judgement::unless_broken((!is_right).then(|| {
            let owner = old.meta().owner.as_ref().map_or("nobody", |owner| &owner.name);
            format!("{intent:?} touched {} {}, which belongs to {owner}", old.kind(), old.key().name)
        }))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

fn is_sandbox(owner: &Owner) -> bool {
    owner.kind == OwnerKind::Known(Kind::Sandbox)
}

fn is_marked(pod: &Object, sandbox: &Owner) -> bool {
    let label = |key: &str| pod.meta().label(key).map(|value| &**value);
    label(names::ADOPTABLE) == Some("true")
        || label(names::SANDBOX_NAME_HASH) == Some(&*names::name_hash(&sandbox.name))
}

/// Returns a label of a Pod that is gone and was neither the system's nor noted as given by a sandbox.
fn dropped<'a>(old: &'a Object, new: &Object) -> Option<&'a str> {
    if old.kind() != Kind::Pod {
        return None;
    }
    let given = old.meta().annotation(names::PROPAGATED_LABELS).map_or("", |keys| &**keys);
    let mut kept = old.meta().labels.keys().filter(|key| !names::is_reserved(key));
    kept.find(|key| new.meta().label(key).is_none() && !given.split(',').any(|given| given == &***key))
        .map(|key| &**key)
}
