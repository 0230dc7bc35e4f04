//! What goes over the wire is what was decided.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use agent_sandbox_core::action::{Action, Notice, Operation, Part, Patch, Propagation};
use agent_sandbox_core::id::{Key, Kind, Uid, Version};
use agent_sandbox_core::object::{Condition, Object, Owner};
use agent_sandbox_core::patch::{Change, merge};
use agent_sandbox_core::time::Wall;
use agent_sandbox_core::wire::{self, Method};
use serde_json::Value;

use super::{Checker, Class, Judgement, Property};
use crate::api_server::{Commit, Writer, is_subdomain};
use crate::process;
use crate::step::Sent;
use crate::store::Store;
use crate::tale::of_intent;

/// CON-001: the simulated server takes up what a process has decided and shows objects as they are, a real one reads and
/// writes text. So what the adapter would send is written and read again, and so is what others have stored; both must come
/// to the same.
///
/// That is dear, so of what is alike only the first of a run is judged, and of that the part that its seed picks.
#[derive(Clone, Debug)]
pub(super) struct SaidAsMeant {
    seed: Option<u64>,
    met: BTreeSet<u64>,
}

/// Of so many things that differ, one is judged.
///
/// Source: a campaign in which all were judged took two fifths longer.
const ONE_OF: u64 = 16;

impl SaidAsMeant {
    /// Returns one that judges what a seed picks; everything without one.
    pub(super) const fn new(seed: Option<u64>) -> Self {
        Self { seed, met: BTreeSet::new() }
    }

    /// Returns whether something that looks like this is to be judged.
    fn is_due(&mut self, look: u64) -> bool {
        self.met.insert(look) && self.seed.is_none_or(|seed| hash(&(seed, look)).is_multiple_of(ONE_OF))
    }
}

impl Checker for SaidAsMeant {
    fn property(&self) -> Property {
        Property {
            name: "said-as-meant",
            about: "a request says over the wire what was decided, to the right address, and what is stored is read as it is",
            class: Class::Safety,
        }
    }

    fn on_commit(&mut self, commit: &Commit, _store: &Store) -> Judgement {
        let is_own = matches!(commit.by, Some(Writer::Process { .. }));
        let Some(new) = commit.new.as_ref().filter(|_| !is_own) else { return Judgement::Silent };
        if !self.is_due(form(new)) {
            return Judgement::Silent;
        }
        let elsewhere = with_other_zone(wire::encode(new)).and_then(|body| misread(new, body));
        Judgement::unless_broken(
            misread(new, wire::encode(new))
                .or(elsewhere)
                .map(|what| format!("{} {} is not read as it is: {what}", new.kind(), new.key().name)),
        )
    }

    fn on_action(&mut self, sent: &Sent, store: &Store) -> Judgement {
        let name = &sent.action.operation.key().name;
        if matches!(*sent.action.operation, Operation::Get { .. }) && !is_subdomain(name) {
            let who = process::name(sent.process);
            return Judgement::Broken(format!("{who} asks for {name:?}, which no object can be called"));
        }
        if !self.is_due(shape(&sent.action)) {
            return Judgement::Silent;
        }
        Judgement::unless_broken(difference(&sent.action.operation, store).map(|what| {
            let deed = of_intent(sent.action.intent, &sent.action.operation.key().name);
            format!("{} {deed}, but over the wire {what}", process::name(sent.process))
        }))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

/// Returns a number that two objects share which are written in the same way.
fn form(object: &Object) -> u64 {
    let mut hasher = DefaultHasher::new();
    hash_object(object, &mut hasher);
    object.meta().terminating.hash(&mut hasher);
    match object {
        Object::Pod(pod) => {
            std::mem::discriminant(&pod.phase).hash(&mut hasher);
            (pod.ready, pod.ips.len(), pod.scheduled.is_some()).hash(&mut hasher);
        }
        Object::Claim(claim) => {
            if let Some(wishes) = &claim.wishes {
                (wishes.env.len(), wishes.volume_claims.is_some()).hash(&mut hasher);
                wishes.lifecycle.as_ref().map(|end| (end.ttl, end.shutdown.is_some())).hash(&mut hasher);
            }
        }
        Object::Template(template) => {
            std::mem::discriminant(&template.network).hash(&mut hasher);
            let blueprint = &template.blueprint;
            (blueprint.service, blueprint.volume_claims.is_some()).hash(&mut hasher);
            let policies = [template.env_policy, template.volume_claims_policy];
            policies.map(|policy| policy.as_str()).hash(&mut hasher);
        }
        Object::Pool(pool) => (pool.replicas, &pool.template).hash(&mut hasher),
        Object::Sandbox(_) | Object::Service(_) | Object::VolumeClaim(_) | Object::NetworkPolicy(_) => {}
    }
    hasher.finish()
}

fn hash(what: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

fn hash_object(object: &Object, hasher: &mut DefaultHasher) {
    let meta = object.meta();
    object.kind().hash(hasher);
    meta.labels.keys().for_each(|key| key.hash(hasher));
    meta.annotations.keys().for_each(|key| key.hash(hasher));
    (meta.owner.is_some(), meta.co_owners.is_some()).hash(hasher);
    if let Object::Sandbox(sandbox) = object {
        (sandbox.service, sandbox.volume_claims.is_some()).hash(hasher);
        (sandbox.suspended, sandbox.shutdown.is_some()).hash(hasher);
    }
}

/// Returns a number that two requests share which are written in the same way.
fn shape(action: &Action) -> u64 {
    let mut hasher = DefaultHasher::new();
    action.intent.hash(&mut hasher);
    match &*action.operation {
        Operation::Create(object) => hash_object(object, &mut hasher),
        Operation::Patch(patch) => patch.changes.iter().for_each(|change| hash_change(change, &mut hasher)),
        Operation::Delete { target, version, propagation } => {
            let is_foreground = *propagation == Propagation::Foreground;
            (target.kind, target.uid.is_some(), version.is_some(), is_foreground).hash(&mut hasher);
        }
        Operation::Get { kind, .. } => kind.hash(&mut hasher),
        Operation::Notify(notice) => (&notice.reason, notice.warning).hash(&mut hasher),
    }
    hasher.finish()
}

fn hash_change(change: &Change, hasher: &mut DefaultHasher) {
    std::mem::discriminant(change).hash(hasher);
    match change {
        Change::Label(key, value)
        | Change::Annotation(key, value)
        | Change::PodLabel(key, value)
        | Change::PodAnnotation(key, value) => (key, value.is_some()).hash(hasher),
        Change::Owner(_) | Change::CoOwners(_) | Change::Spec(_) => {}
        Change::ClaimStatus(status) => {
            status.sandbox.as_ref().map(|bound| bound.pod_ips.len()).hash(hasher);
            hash_conditions(&status.conditions, hasher);
        }
        Change::PoolStatus(status) => (status.replicas == 0, status.ready == 0).hash(hasher),
        Change::SandboxStatus(status) => {
            (status.pod_ips.len(), status.node.is_empty(), status.selector.is_empty()).hash(hasher);
            (status.service.is_empty(), status.service_fqdn.is_empty()).hash(hasher);
            hash_conditions(&status.conditions, hasher);
        }
    }
}

fn hash_conditions(conditions: &[Condition], hasher: &mut DefaultHasher) {
    for condition in conditions {
        (&condition.kind, condition.status.as_str(), &condition.reason).hash(hasher);
    }
}

/// Returns what a server would understand that was not meant.
fn difference(operation: &Operation, store: &Store) -> Option<String> {
    let request = wire::request(operation, Duration::from_secs(30), Wall::default());
    let (address, options) = request.uri.split_once('?').unwrap_or((&request.uri, ""));
    if address != address_of(operation) {
        return Some(format!("it goes to {address}"));
    }
    let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
    let (method, wrong) = match operation {
        Operation::Create(object) => (Method::Post, not_created(object, body)),
        Operation::Patch(patch) => (Method::Patch, not_changed(patch, body, store)),
        Operation::Delete { target, version, propagation } => {
            let is_foreground = body["propagationPolicy"] == "Foreground";
            let is_right = is_locked(&body["preconditions"], target.uid, *version)
                && is_foreground == (*propagation == Propagation::Foreground);
            (Method::Delete, (!is_right).then(|| format!("its options are {body}")))
        }
        Operation::Get { .. } => (Method::Get, None),
        Operation::Notify(notice) => {
            (Method::Post, (!is_told(notice, &body)).then(|| format!("the Event is {body}")))
        }
    };
    if request.method != method || options != options_of(operation) {
        return Some(format!("it is {:?} {}", request.method, request.uri));
    }
    wrong
}

/// Returns the path of the object, or of its collection.
///
/// Source: the original's CRDs, and Kubernetes' API reference.
fn address_of(operation: &Operation) -> String {
    let collection = match operation.kind() {
        _ if matches!(operation, Operation::Notify(_)) => ["apis/events.k8s.io/v1", "events"],
        Kind::Claim => ["apis/extensions.agents.x-k8s.io/v1beta1", "sandboxclaims"],
        Kind::Pool => ["apis/extensions.agents.x-k8s.io/v1beta1", "sandboxwarmpools"],
        Kind::Template => ["apis/extensions.agents.x-k8s.io/v1beta1", "sandboxtemplates"],
        Kind::Sandbox => ["apis/agents.x-k8s.io/v1beta1", "sandboxes"],
        Kind::Pod => ["api/v1", "pods"],
        Kind::Service => ["api/v1", "services"],
        Kind::VolumeClaim => ["api/v1", "persistentvolumeclaims"],
        Kind::NetworkPolicy => ["apis/networking.k8s.io/v1", "networkpolicies"],
    };
    let [root, plural] = collection;
    let Key { namespace, name } = operation.key();
    let of_all = format!("/{root}/namespaces/{namespace}/{plural}");
    match operation {
        Operation::Create(_) | Operation::Notify(_) => of_all,
        Operation::Patch(Patch { part: Part::Status, .. }) => format!("{of_all}/{name}/status"),
        Operation::Patch(_) | Operation::Delete { .. } | Operation::Get { .. } => format!("{of_all}/{name}"),
    }
}

/// Returns how the server is to take a request: for how long it may work on it, and of what belongs to a sandbox under whose
/// name it keeps the fields, which is that of the original (META-053).
fn options_of(operation: &Operation) -> &'static str {
    let is_part = matches!(operation.kind(), Kind::Pod | Kind::Service | Kind::VolumeClaim);
    match operation {
        Operation::Get { .. } => "",
        Operation::Create(_) if is_part => "timeout=30s&fieldManager=sandbox-controller",
        Operation::Create(_) | Operation::Patch(_) | Operation::Delete { .. } | Operation::Notify(_) => {
            "timeout=30s"
        }
    }
}

/// Returns what is wrong with how an object says whose it is: what belongs to somebody keeps it there when it is deleted in the
/// foreground (META-050).
fn loose(owner: &Owner, metadata: &Value) -> Option<String> {
    let owners = metadata["ownerReferences"].as_array().map(Vec::as_slice).unwrap_or_default();
    let own = owners.iter().find(|it| it["uid"] == *owner.uid.to_string());
    let is_firm = own.is_some_and(|own| own["controller"] == true && own["blockOwnerDeletion"] == true);
    (!is_firm).then(|| format!("its owner is {}", metadata["ownerReferences"]))
}

/// Returns what is wrong with what a server makes that reads this.
fn not_created(meant: &Object, mut body: Value) -> Option<String> {
    let mut meant = meant.clone();
    if let Object::Pod(pod) = &mut meant {
        // What of a Pod's spec the core never reads again it does not read at all.
        let spec = Arc::make_mut(pod).spec.take().map(|spec| spec.value());
        if let Some(what) = spec.and_then(|spec| difference_of(&body["spec"], &spec)) {
            return Some(format!("spec{what}"));
        }
    }
    let owner = meant.meta().owner.as_ref();
    if let Some(what) = owner.and_then(|owner| loose(owner, &body["metadata"])) {
        return Some(what);
    }
    // What the server gives.
    body["metadata"]["uid"] = meant.uid().to_string().into();
    body["metadata"]["resourceVersion"] = meant.version().to_string().into();
    misread(&meant, body)
}

/// Returns what is wrong with what a server that reads this makes of what is stored.
fn not_changed(patch: &Patch, mut body: Value, store: &Store) -> Option<String> {
    if !is_locked(&body["metadata"], patch.target.uid, patch.version) {
        return Some(format!("it is meant for what {} says", body["metadata"]));
    }
    let mut changes = patch.changes.iter();
    let owner = changes.find_map(|change| if let Change::Owner(owner) = change { Some(owner) } else { None });
    if let Some(what) = owner.and_then(|owner| loose(owner, &body["metadata"])) {
        return Some(what);
    }
    let old = store.get(patch.target.kind, &patch.target.key)?;
    let mut meant = old.clone();
    patch.changes.iter().for_each(|change| change.apply(&mut meant));
    if let Some(meta) = body["metadata"].as_object_mut() {
        meta.retain(|field, _| !matches!(&**field, "uid" | "resourceVersion"));
    }
    let mut stored = wire::encode(old);
    merge(&mut stored, &body);
    misread(&meant, stored)
}

/// Returns where a body is read as something else than was meant. Fields may stand in another order.
fn misread(meant: &Object, body: Value) -> Option<String> {
    match wire::decode(meant.kind(), &body.to_string()) {
        Ok(read) if read == *meant => None,
        Ok(read) => difference_of(&wire::encode(&read), &wire::encode(meant)),
        Err(error) => Some(error.to_string()),
    }
}

/// Returns what is stored as a user writes it who gives a time in another zone, and the fraction of its second: the server keeps
/// both as they are.
fn with_other_zone(mut body: Value) -> Option<Value> {
    let fields = ["/spec/lifecycle/shutdownTime", "/spec/shutdownTime"];
    let field = fields.into_iter().find(|field| body.pointer(field).is_some_and(Value::is_string))?;
    let text = body.pointer(field)?.as_str()?;
    let (date, hour, rest) = (text.get(..11)?, text.get(11..13)?.parse::<u8>().ok()?, text.get(13..19)?);
    let (hour, zone) = if hour < 23 { (hour + 1, "+01:00") } else { (hour - 1, "-01:00") };
    let elsewhere = format!("{date}{hour:02}{rest}.0{zone}");
    *body.pointer_mut(field)? = elsewhere.into();
    Some(body)
}

/// Returns the first field that is not what was meant, and how.
fn difference_of(read: &Value, meant: &Value) -> Option<String> {
    if let (Value::Object(read), Value::Object(meant)) = (read, meant) {
        let fields: BTreeSet<&String> = read.keys().chain(meant.keys()).collect();
        return fields.into_iter().find_map(|field| {
            let of = |object: &serde_json::Map<String, Value>| object.get(field).cloned().unwrap_or_default();
            difference_of(&of(read), &of(meant)).map(|what| format!(".{field}{what}"))
        });
    }
    (read != meant).then(|| format!(" is {read} instead of {meant}"))
}

/// Returns whether these preconditions are those that were meant.
fn is_locked(preconditions: &Value, uid: Option<Uid>, version: Option<Version>) -> bool {
    let says = |field: &str, meant: Option<String>| preconditions[field].as_str() == meant.as_deref();
    says("uid", uid.map(|uid| uid.to_string()))
        && says("resourceVersion", version.map(|version| version.to_string()))
}

/// Returns whether a time is written as the API server wants it of an Event: to the microsecond.
///
/// Source: `MicroTime` in k8s.io/apimachinery, which reads no other form.
fn is_precise(time: &str) -> bool {
    let fraction = time.strip_suffix('Z').and_then(|time| time.split_once('.')).map(|(_, fraction)| fraction);
    fraction.is_some_and(|fraction| fraction.len() == 6)
}

/// Returns whether a Kubernetes Event says what was meant.
fn is_told(notice: &Notice, body: &Value) -> bool {
    let about = &notice.regarding;
    let kind = if notice.warning { "Warning" } else { "Normal" };
    body["metadata"]["name"] == *notice.name
        && body["type"] == kind
        && body["reason"] == *notice.reason
        && body["action"] == *notice.action
        && body["note"] == *notice.note
        && body["reportingController"] == *notice.reporter
        && body["reportingInstance"].as_str().is_some_and(|instance| !instance.is_empty())
        && body["eventTime"].as_str().is_some_and(is_precise)
        && body["regarding"]["apiVersion"] == about.kind.api_version()
        && body["regarding"]["kind"] == about.kind.name()
        && body["regarding"]["name"] == *about.key.name
        && body["regarding"]["namespace"] == *about.key.namespace
        && body["regarding"]["uid"].as_str() == about.uid.map(|uid| uid.to_string()).as_deref()
}
