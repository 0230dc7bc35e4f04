//! Controllers touch only what belongs to sandboxes.

use agent_sandbox_core::action::Operation;
use agent_sandbox_core::id::{Kind, Text};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Object, Owner, OwnerKind};
use agent_sandbox_core::patch::Change;

use super::known::Known;
use super::{Checker, Class, Judgement, Property};
use crate::api_server::{Commit, Writer};
use crate::process;
use crate::step::Sent;
use crate::store::Store;

/// INV-05: what is somebody else's stays as it is, and what is nobody's is taken only where it was marked.
#[derive(Clone, Debug)]
pub(super) struct HandsOff;

impl Checker for HandsOff {
    fn property(&self) -> Property {
        Property {
            name: "hands-off",
            about: "controllers change and delete only what belongs to sandboxes and templates, and take only what is marked",
            class: Class::Safety,
        }
    }

    fn on_commit(&mut self, commit: &Commit, _store: &Store) -> Judgement {
        let Some(Writer::Process { intent, .. }) = commit.by else { return Judgement::Silent };
        if let Some(old) = commit.old.as_ref().filter(|old| old.kind() == Kind::NetworkPolicy) {
            let owner = old.meta().owner.as_ref().map_or("nobody", |owner| &owner.name);
            let what =
                || format!("{intent:?} touched network policy {}, which belongs to {owner}", old.key().name);
            return Judgement::unless_broken((!is_policy_of_ours(old)).then(what));
        }
        if let Some(kind) = parted(commit) {
            let name = &commit.object().key().name;
            return Judgement::Broken(format!(
                "{intent:?} took an owner off {kind} {name}, whom others had put there"
            ));
        }
        if let (Some(old), Some(new)) = (&commit.old, &commit.new)
            && let Some(key) = dropped(old, new)
        {
            let (kind, name) = (old.kind(), &old.key().name);
            return Judgement::Broken(format!(
                "{intent:?} took {key} off {kind} {name}, which others had put there"
            ));
        }
        let is_part = |old: &&Object| matches!(old.kind(), Kind::Pod | Kind::Service | Kind::VolumeClaim);
        let Some(old) = commit.old.as_ref().filter(is_part) else {
            return Judgement::Silent;
        };
        let owner = commit.new.as_ref().and_then(|new| new.meta().owner.as_ref());
        let is_right = match &old.meta().owner {
            Some(before) => {
                is_sandbox(before) && (commit.new.is_none() || owner.is_some_and(|now| now.uid == before.uid))
            }
            None => owner.is_some_and(|now| is_sandbox(now) && is_marked(old, now) && !has_address(old)),
        };
        Judgement::unless_broken((!is_right).then(|| {
            let owner = old.meta().owner.as_ref().map_or("nobody", |owner| &owner.name);
            format!("{intent:?} touched {} {}, which belongs to {owner}", old.kind(), old.key().name)
        }))
    }

    fn judges_decisions(&self) -> bool {
        true
    }

    fn on_decision(&mut self, sent: &Sent, known: &Known, store: &Store) -> Judgement {
        let who = process::name(sent.process);
        if let Some(part) = taken_late(sent, known, store) {
            let (kind, name) = (part.kind(), &part.key().name);
            return Judgement::Broken(format!("{who} takes {kind} {name}, which it sees going"));
        }
        let Some(policy) = policy_of_another(sent, known, store) else { return Judgement::Silent };
        Judgement::Broken(format!(
            "{who} touches network policy {policy}, which belongs to a template that is gone"
        ))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

/// Returns whether a network policy is that of a template; of a claim, as an older release made them (DEF-034).
fn is_policy_of_ours(policy: &Object) -> bool {
    let Some(owner) = &policy.meta().owner else { return false };
    let is_ours = matches!(owner.kind, OwnerKind::Known(Kind::Template | Kind::Claim));
    is_ours && *policy.key().name == *format!("{}{}", owner.name, names::NETWORK_POLICY_SUFFIX)
}

/// Returns the name of a network policy that a request changes or deletes although it is not that of the template which has
/// its owner's name by now, as far as the process knows.
fn policy_of_another<'a>(sent: &Sent, known: &Known, store: &'a Store) -> Option<&'a Text> {
    let target = match &*sent.action.operation {
        Operation::Patch(patch) => &patch.target,
        Operation::Delete { target, .. } => target,
        Operation::Create(_) | Operation::Get { .. } | Operation::Notify(_) => return None,
    };
    let policy =
        store.find(Kind::NetworkPolicy, target.uid.filter(|_| target.kind == Kind::NetworkPolicy)?)?;
    let owner = policy.meta().owner.as_ref()?;
    let former = policy.meta().owner_of_kind(Kind::Template)?;
    let template = store.get(Kind::Template, &policy.key().sibling(owner.name.clone()))?;
    let is_of_another = template.uid() != former && known.knows(sent.process, template);
    is_of_another.then_some(&policy.key().name)
}

/// Returns what a request takes although it is going, as its process sees: it would be lost at once.
fn taken_late<'a>(sent: &Sent, known: &Known, store: &'a Store) -> Option<&'a Object> {
    let Operation::Patch(patch) = &*sent.action.operation else { return None };
    let takes = patch.changes.iter().any(|change| matches!(change, Change::Owner(_)));
    let object = store.find(patch.target.kind, patch.target.uid.filter(|_| takes)?)?;
    (object.meta().terminating && known.sees(sent.process, object)).then_some(object)
}

fn is_sandbox(owner: &Owner) -> bool {
    owner.kind == OwnerKind::Known(Kind::Sandbox)
}

fn is_marked(pod: &Object, sandbox: &Owner) -> bool {
    let label = |key: &str| pod.meta().label(key).map(|value| &**value);
    label(names::ADOPTABLE) == Some("true")
        || label(names::SANDBOX_NAME_HASH) == Some(&*names::name_hash(&sandbox.name))
}

/// Returns whether a Service has an address of its own: it cannot be made headless any more (ERR-003).
fn has_address(part: &Object) -> bool {
    let service = part.as_dependent().filter(|_| part.kind() == Kind::Service);
    let address = service.map(|service| service.spec.value()["clusterIP"].take());
    address.is_some_and(|address| !address.is_null() && address != "None")
}

/// Returns the kind of an object that has not the same owners any more beside the controller of its own.
fn parted(commit: &Commit) -> Option<Kind> {
    let (old, new) = (commit.old.as_ref()?, commit.new.as_ref()?);
    let is_kept = old.meta().co_owners.is_none() || old.meta().co_owners == new.meta().co_owners;
    (!is_kept).then(|| new.kind())
}

/// Returns a label or an annotation that is gone and was neither the system's nor noted as given by a sandbox; nor does the
/// system take off by which mark it may take something (META-021).
fn dropped<'a>(old: &'a Object, new: &Object) -> Option<&'a str> {
    let (old, new) = (old.meta(), new.meta());
    let given = |record: &str| old.annotation(record).map_or("", |keys| &**keys);
    let given = [given(names::PROPAGATED_LABELS), given(names::PROPAGATED_ANNOTATIONS)];
    let is_given = |key: &str, record: usize| given[record].split(',').any(|given| given == key);
    let is_ours = |key: &str| names::is_reserved(key) && key != names::ADOPTABLE;
    let mut labels = old.labels.keys().filter(|key| new.label(key).is_none() && !is_given(key, 0));
    let mut notes = old.annotations.keys().filter(|key| new.annotation(key).is_none() && !is_given(key, 1));
    let lost = labels.find(|key| !is_ours(key)).or_else(|| notes.find(|key| !is_ours(key)));
    lost.map(|key| &**key)
}
