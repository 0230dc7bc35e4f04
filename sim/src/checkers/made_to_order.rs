//! What controllers make is what was asked for.

use std::collections::BTreeSet;

use agent_sandbox_core::action::{Intent, Operation};
use agent_sandbox_core::id::{Key, Kind, Text};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Claim, Labels, Meta, Network, Object, Sandbox, Template};
use agent_sandbox_core::patch::Change;

use super::known::Known;
use super::{Checker, Class, Judgement, Property, as_claim, as_sandbox};
use crate::process;
use crate::reference::{claims, parts};
use crate::scene;
use crate::step::Sent;
use crate::store::Store;

/// WPL-043, CLD-001, META-013, SBX-043 and SBX-090: a sandbox is what its template says, as far as the process that makes it
/// knows that, and a Pod, a Service and a volume claim are what their sandbox says.
#[derive(Clone, Debug, Default)]
pub(super) struct MadeToOrder {
    /// Sandboxes and Pods that a process has wanted to make before: it repeats what it has decided then.
    made: BTreeSet<(u8, Kind, Key)>,
    /// Whether the Pods of members say that an autoscaler may move them.
    evicts: Option<bool>,
}

impl MadeToOrder {
    pub(super) fn new(evicts: Option<bool>) -> Self {
        Self { evicts, ..Self::default() }
    }

    /// Returns whether a sandbox has no mark for autoscalers that its template does not have, or has one (KEY-011).
    fn is_marked_right(&self, made: &Sandbox, template: &Template, claim: Option<&Claim>) -> bool {
        let marked = |labels: &Labels| labels.get(names::SAFE_TO_EVICT).cloned();
        let of_template = marked(&template.blueprint.pod.annotations);
        let is_member = made.meta.owner_of_kind(Kind::Pool).is_some();
        let own = self.evicts.filter(|_| is_member).map(|evicts| evicts.then(|| "true".into()));
        let wished = claim.and_then(|claim| marked(&claim.wishes.as_ref()?.pod.annotations));
        own.is_none_or(|own| marked(&made.pod.annotations) == of_template.or(own).or(wished))
    }

    /// Returns whether a member says of which make it is, by which its pool tells it from others (CON-063). How other
    /// people's controllers sum up a template is not known.
    fn is_of_make(&self, made: &Sandbox, template: &Template) -> bool {
        let (has, of) = (|key| made.meta.label(key), &template.blueprint);
        let is_member = made.meta.owner_of_kind(Kind::Pool).is_some();
        let is_right = has(names::TEMPLATE_HASH) == Some(&of.hash)
            && has(names::POD_TEMPLATE_HASH) == Some(&of.pod_hash);
        is_right || !is_member || self.evicts.is_none()
    }
}

impl Checker for MadeToOrder {
    fn property(&self) -> Property {
        Property {
            name: "made-to-order",
            about: "sandboxes are made as their template says, and Pods, Services and volume claims as their sandbox does",
            class: Class::Safety,
        }
    }

    fn on_action(&mut self, sent: &Sent, store: &Store) -> Judgement {
        let Operation::Create(made) = &*sent.action.operation else { return Judgement::Silent };
        let owner = made.meta().owner_of_kind(Kind::Sandbox).and_then(|uid| store.find(Kind::Sandbox, uid));
        let Some(sandbox) = as_sandbox(owner) else { return Judgement::Silent };
        let lack = match made {
            Object::Pod(pod) => match &pod.spec {
                Some(spec) => parts::lack_of_pod_spec(sandbox, spec),
                None => Some("without a spec".to_owned()),
            },
            Object::VolumeClaim(part) => parts::lack_of_volume_claim(sandbox, part),
            Object::Service(part) if !parts::can_be_served(&part.meta.key.name) => {
                Some("under a name that no Service can have".to_owned())
            }
            Object::Service(part) if sandbox.service == Some(true) => parts::lack_of_service(sandbox, part),
            Object::Service(_)
            | Object::Claim(_)
            | Object::Pool(_)
            | Object::Template(_)
            | Object::Sandbox(_)
            | Object::NetworkPolicy(_) => return Judgement::Silent,
        };
        Judgement::unless_broken(lack.map(|lack| {
            let name = &sandbox.meta.key.name;
            format!("{} makes a {} for sandbox {name} {lack}", process::name(sent.process), made.kind())
        }))
    }

    fn judges_decisions(&self) -> bool {
        true
    }

    fn on_decision(&mut self, sent: &Sent, known: &Known, store: &Store) -> Judgement {
        let made = if let Operation::Create(made) = &*sent.action.operation { Some(made) } else { None };
        let is_again =
            made.is_some_and(|it| self.made.contains(&(sent.process, it.kind(), it.key().clone())));
        if let Some(sandbox) = unasked_ports(sent, known, store) {
            let (who, name) = (process::name(sent.process), &sandbox.meta.key.name);
            return Judgement::Broken(format!(
                "{who} changes the ports of the Service of sandbox {name}, which has not asked for one"
            ));
        }
        if let Some((claim, sandbox)) = objectionable(sent, known, store) {
            let (who, name) = (process::name(sent.process), &sandbox.meta.key.name);
            return Judgement::Broken(format!(
                "{who} changes the metadata of the Pods of {name} for claim {}, which asks for what they cannot have",
                claim.meta.key.name
            ));
        }
        if let Some(sandbox) = of_many(sent, known, store).filter(|_| !is_again) {
            let (who, name) = (process::name(sent.process), &sandbox.meta.key.name);
            return Judgement::Broken(format!(
                "{who} touches the Service of sandbox {name}, of which it knows several Pods"
            ));
        }
        let Some(made) = made else { return Judgement::Silent };
        if !self.made.insert((sent.process, made.kind(), made.key().clone())) {
            return Judgement::Silent;
        }
        if let Some((sandbox, key)) = bare_pod(sent, known, store) {
            let who = process::name(sent.process);
            return Judgement::Broken(format!("{who} makes a Pod for sandbox {sandbox} without its {key}"));
        }
        let Object::Sandbox(made) = made else { return Judgement::Silent };
        let claim = claim_of(&made.meta, sent.process, known, store);
        let template = if let Some(claim) = claim {
            known.pool_of(sent.process, claim, store)
        } else {
            let pool = made.meta.owner_of_kind(Kind::Pool).and_then(|pool| store.find(Kind::Pool, pool));
            pool.and_then(|pool| known.settled_pool(sent.process, pool, store))
        };
        let Some((_, template)) = template else { return Judgement::Silent };
        if let Some((claim, why)) = claim.and_then(|claim| Some((claim, claims::refusal(claim, store)?))) {
            let (name, who) = (&claim.meta.key.name, process::name(sent.process));
            return Judgement::Broken(format!(
                "{who} makes a sandbox for claim {name}, which cannot have one: {why}"
            ));
        }
        let marked = (!self.is_marked_right(made, template, claim)).then_some("another mark for autoscalers");
        let of_make = (!self.is_of_make(made, template)).then_some("the mark of another make");
        Judgement::unless_broken(lack(made, template, claim).or(marked).or(of_make).map(|lack| {
            let (name, template) = (&made.meta.key.name, &template.meta.key.name);
            let who = process::name(sent.process);
            format!("{who} makes sandbox {name} with {lack} than template {template} says")
        }))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

/// Returns the sandbox whose Service a request makes, changes or deletes although its process sees that it has several Pods,
/// and it is not to end: which of them counts is not clear (SBX-053).
fn of_many<'a>(sent: &Sent, known: &Known, store: &'a Store) -> Option<&'a Sandbox> {
    let operation = &*sent.action.operation;
    let is_write = operation.kind() == Kind::Service && !matches!(operation, Operation::Get { .. });
    let object = store.get(Kind::Sandbox, operation.key()).filter(|_| is_write)?;
    let sandbox = as_sandbox(Some(object)).filter(|sandbox| sandbox.shutdown.is_none())?;
    let pods = store.owned_by(Kind::Pod, sandbox.meta.uid).filter(|pod| known.sees(sent.process, pod));
    (known.sees(sent.process, object) && pods.count() > 1).then_some(sandbox)
}

/// Returns the sandbox of whose Service a request changes the ports, although it is not to have one: then they are those of
/// whoever has put them there (SBX-085).
fn unasked_ports<'a>(sent: &Sent, known: &Known, store: &'a Store) -> Option<&'a Sandbox> {
    let Operation::Patch(patch) = &*sent.action.operation else { return None };
    let object =
        store.get(Kind::Sandbox, &patch.target.key).filter(|_| patch.target.kind == Kind::Service)?;
    let sandbox =
        as_sandbox(Some(object)).filter(|it| it.service != Some(true) && known.sees(sent.process, object))?;
    let is_of_ports =
        |change: &Change| matches!(change, Change::Spec(spec) if spec.value().get("ports").is_some());
    patch.changes.iter().any(is_of_ports).then_some(sandbox)
}

/// Returns the claim, and its sandbox, whose Pods a request gives other metadata although the claim asks for what they cannot
/// have, as its process sees: what they had they keep.
fn objectionable<'a>(sent: &Sent, known: &Known, store: &'a Store) -> Option<(&'a Claim, &'a Sandbox)> {
    let Operation::Patch(patch) = &*sent.action.operation else { return None };
    let is_of_pods = |change: &Change| matches!(change, Change::PodLabel(..) | Change::PodAnnotation(..));
    let (is_label, uid) = (sent.action.intent == Intent::LabelSandbox, patch.target.uid?);
    let object =
        store.find(Kind::Sandbox, uid).filter(|it| is_label && Some(it.version()) == patch.version)?;
    let sandbox = as_sandbox(Some(object)).filter(|_| patch.changes.iter().any(is_of_pods))?;
    let of = store.find(Kind::Claim, sandbox.meta.owner_of_kind(Kind::Claim)?)?;
    let claim = as_claim(Some(of)).filter(|_| known.sees(sent.process, of))?;
    let template = claims::template_of_sandbox(claim, sandbox, store)?;
    let template = store.find(Kind::Template, template.meta.uid)?;
    let is_refused = claims::objection(claim, sandbox, store).is_some();
    (is_refused && known.sees(sent.process, template)).then_some((claim, sandbox))
}

/// Returns which label or annotation of its sandbox a Pod lacks that is made by a process which sees the sandbox as it is.
fn bare_pod(sent: &Sent, known: &Known, store: &Store) -> Option<(Text, Text)> {
    let Operation::Create(Object::Pod(pod)) = &*sent.action.operation else { return None };
    let object = store.find(Kind::Sandbox, pod.meta.owner_of_kind(Kind::Sandbox)?)?;
    let sandbox = as_sandbox(Some(object)).filter(|_| known.sees(sent.process, object))?;
    let pairs = [(&sandbox.pod.labels, &pod.meta.labels), (&sandbox.pod.annotations, &pod.meta.annotations)];
    let mut lacking = pairs.into_iter().flat_map(|(wanted, has)| {
        wanted.iter().filter(|(key, value)| !names::is_reserved(key) && has.get(key) != Some(*value))
    });
    lacking.next().map(|(key, _)| (sandbox.meta.key.name.clone(), key.clone()))
}

/// Returns the claim for which a sandbox is made, if the process knows it.
fn claim_of<'a>(made: &Meta, process: u8, known: &Known, store: &'a Store) -> Option<&'a Claim> {
    let claim = store.find(Kind::Claim, made.owner_of_kind(Kind::Claim)?)?;
    as_claim(Some(claim)).filter(|_| known.knows(process, claim))
}

/// Returns what a sandbox has otherwise than its template says. What its claim asks for beyond that is for `wishes-granted`.
fn lack(made: &Sandbox, template: &Template, claim: Option<&Claim>) -> Option<&'static str> {
    let blueprint = &template.blueprint;
    let wishes = claim.and_then(|claim| claim.wishes.as_deref());
    let is_spec_right = match wishes {
        Some(wishes) if !wishes.env.is_empty() => {
            parts::has_variables(&made.pod_spec, &blueprint.pod_spec, &wishes.env)
        }
        Some(_) | None => made.pod_spec == blueprint.pod_spec,
    };
    let added = wishes.and_then(|wishes| wishes.volume_claims.as_ref());
    let name = &template.meta.key.name;
    let hash: Text = parts::hash_of(name).into();
    let right = [
        ("another Pod spec", is_spec_right),
        ("other ways to find names, or to the API server,", has_right_ways(made, template)),
        (
            "other volume claims",
            match added {
                None => made.volume_claims == blueprint.volume_claims,
                Some(added) => {
                    parts::has_volumes(made.volume_claims.as_ref(), blueprint.volume_claims.as_ref(), added)
                }
            },
        ),
        ("another Service", made.service == blueprint.service),
        (
            "other Pod labels",
            blueprint.pod.labels.iter().all(|(key, it)| made.pod.labels.get(key) == Some(it)),
        ),
        (
            "other Pod annotations",
            blueprint.pod.annotations.iter().all(|(key, it)| made.pod.annotations.get(key) == Some(it)),
        ),
        ("another template's name", made.meta.annotation(names::TEMPLATE_REF) == Some(name)),
        ("another template's label", made.meta.label(names::TEMPLATE_REF_HASH) == Some(&hash)),
        ("Pods of another template", made.pod.labels.get(names::TEMPLATE_REF_HASH) == Some(&hash)),
        ("an end or a pause", made.shutdown.is_none() && !made.suspended),
    ];
    right.into_iter().find(|(_, is_right)| !is_right).map(|(lack, _)| lack)
}

/// Returns whether the Pods of a sandbox find names, and may talk to the API server, as its template says. Where it says
/// nothing they get no token, and resolvers outside of the cluster if its network lets them reach no others (TPL-030, TPL-031).
fn has_right_ways(made: &Sandbox, template: &Template) -> bool {
    let spec = made.pod_spec.value();
    let says_itself = template.blueprint.pod.annotations.contains_key(scene::OWN_WAYS);
    let has_resolvers = spec["dnsConfig"]["nameservers"].as_array().is_some_and(|list| !list.is_empty());
    let wanted = match &template.network {
        _ if says_itself => (Some("Default"), false),
        Network::Secure => (Some("None"), true),
        Network::Unmanaged | Network::Custom(_) => (None, false),
    };
    (spec["dnsPolicy"].as_str(), has_resolvers) == wanted
        && spec["automountServiceAccountToken"] == says_itself
}
