//! What controllers make, or hand over, is whole from the first moment.

use std::collections::{BTreeMap, BTreeSet};

use agent_sandbox_core::action::{Intent, Operation};
use agent_sandbox_core::id::{Key, Kind, Text, Uid};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Dependent, Labels, Object, OwnerKind, Pod, Sandbox};

use super::{Checker, Class, Judgement, Property, as_claim};
use crate::api_server::{Commit, Writer};
use crate::process;
use crate::reference::parts;
use crate::step::{Fact, Sent};
use crate::store::Store;

/// INV-24: clients, network policies and the garbage collector find things by these marks, and look at once.
///
/// What somebody changes later is judged in the end.
///
/// A member has a name that no other process has chosen, or will: then a name that is gone is gone for good.
#[derive(Clone, Debug, Default)]
pub(super) struct BornWhole {
    /// Process → how often another was started in its place.
    lives: BTreeMap<u8, u32>,
    /// Member that was asked for → the process that chose its name, and in which life.
    names: BTreeMap<Key, (u8, u32)>,
    /// Claims of which somebody has said later who has made them: what was decided before may take effect after that.
    signed: BTreeSet<Uid>,
}

impl Checker for BornWhole {
    fn property(&self) -> Property {
        Property {
            name: "born-whole",
            about: "what controllers make or hand over has its owner, its labels and its network from the start, and a member a name that no other had",
            class: Class::Safety,
        }
    }

    fn on_commit(&mut self, commit: &Commit, store: &Store) -> Judgement {
        if let (Some(old @ Object::Claim(_)), Some(new)) = (&commit.old, &commit.new)
            && old.meta().label(names::CREATED_BY) != new.meta().label(names::CREATED_BY)
        {
            self.signed.insert(new.uid());
        }
        let (Some(Writer::Process { .. }), Some(new)) = (commit.by, &commit.new) else {
            return Judgement::Silent;
        };
        let owner = |object: &Object| object.meta().owner.as_ref().map(|owner| owner.uid);
        let is_handed_over = commit.old.as_ref().is_none_or(|old| owner(old) != owner(new));
        if !is_handed_over {
            return Judgement::Silent;
        }
        let lack = match new {
            Object::Sandbox(sandbox) => self.lack_of_sandbox(sandbox, commit.old.is_none(), store),
            Object::Pod(pod) => lack_of_pod(pod),
            Object::Service(part) | Object::VolumeClaim(part) => {
                lack_of_part(new.kind(), part, commit.old.is_none())
            }
            Object::NetworkPolicy(policy) => {
                policy.meta.owner_of_kind(Kind::Template).is_none().then(|| "no template".to_owned())
            }
            Object::Claim(_) | Object::Pool(_) | Object::Template(_) => return Judgement::Silent,
        };
        Judgement::unless_broken(lack.map(|lack| {
            let is_new = if commit.old.is_none() { "made" } else { "handed over" };
            format!("{} {} was {is_new} with {lack}", new.kind(), new.key().name)
        }))
    }

    fn on_action(&mut self, sent: &Sent, _store: &Store) -> Judgement {
        let Operation::Create(member) = &*sent.action.operation else { return Judgement::Silent };
        if sent.action.intent != Intent::CreateMember {
            return Judgement::Silent;
        }
        let life = (sent.process, self.lives.get(&sent.process).copied().unwrap_or_default());
        let first = *self.names.entry(member.key().clone()).or_insert(life);
        Judgement::unless_broken((first != life).then(|| {
            let (who, other) = (process::name(sent.process), process::name(first.0));
            format!("{who} calls a member {}, as {other} has called one before", member.key().name)
        }))
    }

    fn on_fact(&mut self, fact: &Fact) {
        if let Fact::Started(process) = fact {
            *self.lives.entry(*process).or_default() += 1;
        }
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

impl BornWhole {
    fn lack_of_sandbox(&self, sandbox: &Sandbox, is_new: bool, store: &Store) -> Option<String> {
        let meta = &sandbox.meta;
        let owner = meta.owner.as_ref()?;
        let mut marks: Vec<(&str, Option<Text>)> = Vec::new();
        match owner.kind {
            OwnerKind::Known(Kind::Claim) => {
                let uid: Text = owner.uid.to_string().into();
                let launch = if is_new { "cold" } else { "warm" };
                marks.extend([
                    (names::CLAIM_UID, Some(uid.clone())),
                    (names::LAUNCH_TYPE, Some(launch.into())),
                ]);
                let pools = [names::WARM_POOL, names::TEMPLATE_HASH, names::POD_TEMPLATE_HASH];
                marks.extend(pools.map(|key| (key, None)));
                if sandbox.pod.labels.get(names::CLAIM_UID) != Some(&uid) {
                    return Some("a Pod that is not told whose it is".to_owned());
                }
                if !is_new && bears_pools_mark(sandbox, store) {
                    return Some("a Pod that an autoscaler may still move".to_owned());
                }
                if let Some(claim) = as_claim(store.find(Kind::Claim, owner.uid)) {
                    let client = claim.meta.label(names::CREATED_BY);
                    let is_signed = self.signed.contains(&owner.uid);
                    if sandbox.pod.labels.get(names::CREATED_BY) != client && !is_signed {
                        return Some("a Pod that is not told who asked for it".to_owned());
                    }
                    marks.extend((!is_signed).then(|| (names::CREATED_BY, client.cloned())));
                    let context = claim.meta.annotation(names::TRACE_CONTEXT);
                    if context.is_some() && meta.annotation(names::TRACE_CONTEXT) != context {
                        return Some("no word of its claim's trace".to_owned());
                    }
                }
            }
            OwnerKind::Known(Kind::Pool) => {
                let pool: Text = parts::hash_of(&owner.name).into();
                marks.extend([
                    (names::WARM_POOL, Some(pool.clone())),
                    (names::LAUNCH_TYPE, Some("warm".into())),
                    (names::CREATED_BY, Some("controller".into())),
                ]);
                let is_told = sandbox.pod.labels.get(names::WARM_POOL) == Some(&pool)
                    && sandbox.pod.labels.contains_key(names::TEMPLATE_REF_HASH);
                if !is_told {
                    return Some("a Pod that is not told its pool and template".to_owned());
                }
            }
            OwnerKind::Known(_) | OwnerKind::Foreign(_) => return None,
        }
        if is_new && meta.label(names::TEMPLATE_REF_HASH).is_none() {
            return Some("no mark of its template".to_owned());
        }
        if meta.annotation(names::POD_NAME) != Some(&meta.key.name) {
            return Some("no note of its Pod".to_owned());
        }
        wrong_label(&marks, |key| meta.label(key))
    }
}

/// Returns whether a sandbox says that an autoscaler may move its Pod, and its template does not: members may be moved.
fn bears_pools_mark(sandbox: &Sandbox, store: &Store) -> bool {
    let may_move = |labels: &Labels| labels.get(names::SAFE_TO_EVICT).is_some_and(|value| **value == *"true");
    let template = sandbox.meta.annotation(names::TEMPLATE_REF);
    let template =
        template.and_then(|name| store.get(Kind::Template, &sandbox.meta.key.sibling(name.clone())));
    let is_of_template = match template {
        Some(Object::Template(template)) => may_move(&template.blueprint.pod.annotations),
        Some(_) | None => false,
    };
    may_move(&sandbox.pod.annotations) && !is_of_template
}

fn lack_of_pod(pod: &Pod) -> Option<String> {
    let Some(owner) = &pod.meta.owner else { return Some("no owner".to_owned()) };
    let marks = [(names::SANDBOX_NAME_HASH, Some(parts::hash_of(&owner.name).into()))];
    wrong_label(&marks, |key| pod.meta.label(key))
}

/// A Service gives a name to one Pod, and needs no address of its own; one that is adopted may not have been given any yet.
fn lack_of_part(kind: Kind, part: &Dependent, is_new: bool) -> Option<String> {
    let owner = part.meta.owner.as_ref().filter(|owner| owner.kind == OwnerKind::Known(Kind::Sandbox));
    let Some(owner) = owner else { return Some("no sandbox as its owner".to_owned()) };
    let hash = names::name_hash(&owner.name);
    if kind == Kind::Service {
        let spec = part.spec.value();
        if is_new && spec["clusterIP"] != "None" {
            return Some("an address of its own".to_owned());
        }
        if spec["selector"][names::SANDBOX_NAME_HASH] != *hash {
            return Some("a selector of other Pods".to_owned());
        }
    }
    wrong_label(&[(names::SANDBOX_NAME_HASH, Some(hash))], |key| part.meta.label(key))
}

fn wrong_label<'a>(
    marks: &[(&str, Option<Text>)],
    label: impl Fn(&str) -> Option<&'a Text>,
) -> Option<String> {
    let (key, wanted) = marks.iter().find(|(key, wanted)| label(key) != wanted.as_ref())?;
    Some(format!("label {key} {:?} instead of {wanted:?}", label(key)))
}
