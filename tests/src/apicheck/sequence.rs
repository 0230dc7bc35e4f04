//! Sequences of requests, drawn from a seed.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use agent_sandbox_core::action::{Notice, Operation, Part, Patch, Propagation, Target};
use agent_sandbox_core::id::{Key, Kind, Text, Uid, Version};
use agent_sandbox_core::object::{
    Bound, ClaimStatus, Condition, Dependent, Json, Labels, Meta, Object, Owner, OwnerKind, Phase, Pod,
    PoolStatus, Sandbox, SandboxStatus, Truth,
};
use agent_sandbox_core::patch::Change;
use agent_sandbox_core::time::Wall;
use agent_sandbox_core::wire;
use agent_sandbox_sim::choices::Choices;
use agent_sandbox_sim::scene;
use serde_json::{Value, json};

use super::ask::{self, Ask};
use super::side::GENERATED;

/// Requests of a sequence. Source: enough for a name that is used, given up and used again, and short to read.
const LENGTH: u32 = 14;

/// One request, before anybody has answered the ones before it.
#[derive(Clone, Debug)]
pub struct Request {
    /// The kind of the object.
    pub kind: Kind,
    /// Which of the names that a sequence uses.
    pub name: u8,
    /// What is to be done with it.
    pub what: What,
}

/// What a request asks for.
#[derive(Clone, Debug)]
pub enum What {
    /// Create it like this; the key is filled in.
    Create(Object),
    /// Change it.
    Patch {
        /// Whose identity it names.
        uid: Seen,
        /// Whose version it names.
        version: Seen,
        /// Which half.
        part: Part,
        /// How.
        changes: Vec<Change>,
    },
    /// Delete it.
    Delete {
        /// Whose identity it names.
        uid: Seen,
        /// Whose version it names.
        version: Seen,
        /// What goes first.
        propagation: Propagation,
    },
    /// Read it.
    Get,
    /// Write a Kubernetes Event about it.
    Notify(u8),
    /// What a user does.
    User(Ask),
}

/// A state of the object that the answers have shown. What was not shown is not named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// No state: no precondition.
    None,
    /// The latest.
    Latest,
    /// The one before.
    Before,
    /// The first of this name: another identity, if the name was given up since.
    First,
    /// One that never was.
    Never,
}

impl Request {
    /// Returns the request of a controller for a server that has shown these states of its object; `None` where users ask.
    #[must_use]
    pub fn operation(&self, key: Key, shown: &[Object]) -> Option<Operation> {
        let kind = self.kind;
        let target = |uid: Seen| Target { kind, key: key.clone(), uid: uid.uid(shown) };
        Some(match &self.what {
            What::User(_) => return None,
            What::Notify(number) => Operation::Notify(Notice {
                name: format!("e{number}").into(),
                regarding: target(Seen::Latest),
                warning: false,
                reporter: "agent-sandbox".into(),
                reason: "Tested".into(),
                action: "Test".into(),
                note: "a test".into(),
            }),
            What::Create(draft) => {
                let mut object = draft.clone();
                object.meta_mut().key = key;
                Operation::Create(object)
            }
            What::Patch { uid, version, part, changes } => Operation::Patch(Patch {
                target: target(*uid),
                version: version.version(shown),
                part: *part,
                changes: asked(changes, shown.last()),
            }),
            What::Delete { uid, version, propagation } => Operation::Delete {
                target: target(*uid),
                version: version.version(shown),
                propagation: *propagation,
            },
            What::Get => Operation::Get { kind, key },
        })
    }
}

/// Returns what of a patch may be asked. The core never asks to remove from a sandbox's Pod template what is not there: for
/// that the server stores an empty map, which the model's objects cannot show.
fn asked(changes: &[Change], shown: Option<&Object>) -> Vec<Change> {
    let sandbox = shown.and_then(Object::as_sandbox);
    let has =
        |labels: fn(&Sandbox) -> &Labels, key: &str| sandbox.is_some_and(|it| labels(it).get(key).is_some());
    let is_asked = |change: &&Change| match change {
        Change::PodLabel(key, None) => has(|sandbox| &sandbox.pod.labels, key),
        Change::PodAnnotation(key, None) => has(|sandbox| &sandbox.pod.annotations, key),
        Change::Label(..)
        | Change::Annotation(..)
        | Change::Owner(_)
        | Change::CoOwners(_)
        | Change::PodLabel(..)
        | Change::PodAnnotation(..)
        | Change::Spec(_)
        | Change::ClaimStatus(_)
        | Change::PoolStatus(_)
        | Change::SandboxStatus(_) => true,
    };
    changes.iter().filter(is_asked).cloned().collect()
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, what } = self;
        match what {
            What::Create(draft) => {
                let mut body = wire::encode(draft);
                for field in ["apiVersion", "kind"] {
                    body.as_object_mut().map(|body| body.remove(field));
                }
                write!(f, "create {kind} {name} {body}")
            }
            What::Patch { uid, version, part, changes } => {
                let target = Target { kind: *kind, key: scene::key("-"), uid: None };
                let body =
                    wire::patch_body(&Patch { target, version: None, part: *part, changes: changes.clone() });
                write!(f, "patch {kind} {name} ({part:?}, uid: {uid:?}, version: {version:?}) {body}")
            }
            What::Delete { uid, version, propagation } => {
                write!(f, "delete {kind} {name} ({propagation:?}, uid: {uid:?}, version: {version:?})")
            }
            What::Get => write!(f, "get {kind} {name}"),
            What::Notify(number) => write!(f, "write Event {number} about {kind} {name}"),
            What::User(ask) => write!(f, "user, {kind} {name}: {ask}"),
        }
    }
}

impl Seen {
    fn of(self, shown: &[Object]) -> Option<&Object> {
        match self {
            Self::None | Self::Never => None,
            Self::Latest => shown.last(),
            Self::Before => shown.iter().rev().nth(1),
            Self::First => shown.first(),
        }
    }

    pub(super) fn uid(self, shown: &[Object]) -> Option<Uid> {
        if self == Self::Never { Some(Uid::from_bits(77)) } else { self.of(shown).map(Object::uid) }
    }

    pub(super) fn version(self, shown: &[Object]) -> Option<Version> {
        // Higher than any that a server of a test gets to.
        if self == Self::Never { Some(Version(1 << 40)) } else { self.of(shown).map(Object::version) }
    }
}

/// Returns the sequence that belongs to a seed: mostly about one name of one kind, with some others between.
///
/// The last requests read everything once more.
#[must_use]
pub fn draw(seed: u64) -> Vec<Request> {
    let mut choices = Choices::from_seed(seed);
    let main = *choices.pick(&Kind::ALL);
    // Some sequences are a controller's alone, as most are in life.
    let users = *choices.pick(&[0, 300, 600]);
    let (mut sequence, mut generated) = (Vec::new(), BTreeSet::new());
    for place in 0..LENGTH {
        let kind = if choices.chance(100) { *choices.pick(&Kind::ALL) } else { main };
        let is_users = place > 0 && choices.chance(users);
        let what = match place {
            0 => create(&mut choices, kind),
            _ if is_users => What::User(ask::draw(&mut choices, kind)),
            _ => draw_what(&mut choices, kind),
        };
        let is_generated = matches!(what, What::User(Ask::Generate(_)))
            || matches!(what, What::User(_)) && choices.chance(80);
        let name = if is_generated { GENERATED } else { u8::from(choices.chance(150)) };
        let is_again = matches!(what, What::User(Ask::Generate(_))) && !generated.insert(kind);
        // In which order a list has two names of the server's nobody can say.
        sequence.push(Request { kind, name, what: if is_again { What::Get } else { what } });
    }
    let mut last: Vec<Request> = Vec::new();
    for request in &sequence {
        if !last.iter().any(|other| (other.kind, other.name) == (request.kind, request.name)) {
            last.push(Request { what: What::Get, ..request.clone() });
        }
    }
    sequence.extend(last);
    sequence
}

fn draw_what(choices: &mut Choices, kind: Kind) -> What {
    match choices.below(20) {
        0..4 => create(choices, kind),
        4..13 => patch(choices, kind),
        13..18 => {
            let (uid, version) = (seen(choices), seen(choices));
            let propagation = if is_ours(kind) && choices.chance(300) {
                Propagation::Foreground
            } else {
                Propagation::Background
            };
            What::Delete { uid, version, propagation }
        }
        18 => What::Notify(choices.below(3) as u8),
        _ => What::Get,
    }
}

const fn is_ours(kind: Kind) -> bool {
    matches!(kind, Kind::Claim | Kind::Pool | Kind::Template | Kind::Sandbox)
}

fn seen(choices: &mut Choices) -> Seen {
    let often = [Seen::Latest; 4];
    let rare = [Seen::None, Seen::None, Seen::Before, Seen::First, Seen::Never];
    *choices.pick(&[&often[..], &rare[..]].concat())
}

fn create(choices: &mut Choices, kind: Kind) -> What {
    let mut draft = draft(choices, kind);
    let owner = choices.chance(300).then(|| owner(choices));
    let others = choices.chance(150).then(others);
    let (labels, annotations) = (labels(choices), labels(choices));
    let meta = draft.meta_mut();
    meta.labels.extend(labels.iter().map(|(key, value)| (key.clone(), value.clone())));
    meta.annotations.extend(annotations.iter().map(|(key, value)| (key.clone(), value.clone())));
    (meta.owner, meta.co_owners) = (owner, others);
    What::Create(draft)
}

pub(super) fn draft(choices: &mut Choices, kind: Kind) -> Object {
    let mut draft = match kind {
        Kind::Pod => return pod(choices),
        Kind::Service => {
            let specs = [
                json!({ "clusterIP": "None", "selector": { "a": "b" } }),
                json!({ "clusterIP": "None", "selector": { "a": "b" }, "ports": [{ "name": "p", "port": 80 }] }),
            ];
            return Object::Service(dependent(choices.pick(&specs)));
        }
        Kind::VolumeClaim => {
            let resources = json!({ "requests": { "storage": "1Gi" } });
            let spec = json!({ "accessModes": ["ReadWriteOnce"], "resources": resources });
            return Object::VolumeClaim(dependent(&spec));
        }
        Kind::NetworkPolicy => {
            let peer = json!({ "from": [{ "podSelector": { "matchLabels": { "a": "b" } } }] });
            let specs = [
                json!({ "podSelector": { "matchLabels": { "a": "b" } }, "policyTypes": ["Ingress", "Egress"] }),
                json!({ "podSelector": {}, "policyTypes": ["Ingress"], "ingress": [peer] }),
            ];
            return Object::NetworkPolicy(dependent(choices.pick(&specs)));
        }
        Kind::Claim | Kind::Pool | Kind::Template | Kind::Sandbox => {
            let specs = specs_of_ours(kind);
            let body = json!({
                "metadata": { "namespace": "-", "name": "-", "uid": "", "resourceVersion": "0" },
                "spec": choices.pick(&specs),
            });
            let mut draft = wire::decode(kind, &body.to_string()).expect("an object of ours");
            draft.meta_mut().uid = Uid::UNSET;
            draft
        }
    };
    // A create that brings its status, as a restored backup does: the server drops it.
    if choices.chance(100) {
        status(choices, kind).iter().for_each(|change| change.apply(&mut draft));
    }
    draft
}

fn specs_of_ours(kind: Kind) -> Vec<Value> {
    let container = json!({ "name": "main", "image": "debian" });
    let template = json!({ "spec": { "containers": [container] } });
    match kind {
        Kind::Claim => vec![
            json!({ "warmPoolRef": { "name": "pool" } }),
            json!({ "warmPoolRef": { "name": "pool" }, "env": [{ "name": "A", "value": "b" }],
                "additionalPodMetadata": { "labels": { "a": "b" } } }),
            json!({ "warmPoolRef": { "name": "pool" },
                "lifecycle": { "ttlSecondsAfterFinished": 60, "shutdownPolicy": "Delete" } }),
        ],
        Kind::Pool => vec![
            json!({ "sandboxTemplateRef": { "name": "template" }, "replicas": 0 }),
            json!({ "sandboxTemplateRef": { "name": "template" }, "replicas": 3,
                "updateStrategy": { "type": "Recreate" } }),
        ],
        Kind::Template => vec![
            json!({ "podTemplate": template }),
            json!({ "podTemplate": template, "networkPolicyManagement": "Unmanaged", "service": true,
                "envVarsInjectionPolicy": "Allowed" }),
        ],
        Kind::Sandbox => {
            let labelled =
                json!({ "metadata": { "labels": { "a": "b" } }, "spec": { "containers": [container] } });
            vec![
                json!({ "podTemplate": template }),
                json!({ "podTemplate": labelled, "service": true, "operatingMode": "Suspended" }),
                json!({ "podTemplate": template, "shutdownTime": "2031-01-01T00:00:00Z", "shutdownPolicy": "Delete" }),
            ]
        }
        Kind::Pod | Kind::Service | Kind::VolumeClaim | Kind::NetworkPolicy => Vec::new(),
    }
}

/// A Pod that nobody schedules, or one on a node where no kubelet runs, so that nobody but the test changes it.
fn pod(choices: &mut Choices) -> Object {
    let spec = json!({ "containers": [{ "name": "main", "image": "debian" }] });
    let node = if choices.chance(400) { "nowhere" } else { "" };
    Object::Pod(Arc::new(Pod {
        meta: Meta::draft(scene::key("-")),
        spec: Some(Json::from(&spec)),
        phase: Phase::Pending,
        ready: false,
        scheduled: None,
        ips: Vec::new(),
        node: node.into(),
    }))
}

fn dependent(spec: &Value) -> Arc<Dependent> {
    Arc::new(Dependent { meta: Meta::draft(scene::key("-")), spec: Json::from(spec) })
}

fn patch(choices: &mut Choices, kind: Kind) -> What {
    let (uid, version) = (seen(choices), seen(choices));
    let has_status = matches!(kind, Kind::Claim | Kind::Pool | Kind::Sandbox);
    let part = if has_status && choices.chance(400) { Part::Status } else { Part::Main };
    let mut changes = Vec::new();
    if part == Part::Status || has_status && choices.chance(100) {
        changes.extend(status(choices, kind));
    }
    // Of the other half the server takes nothing, whatever the patch says.
    if part == Part::Main || choices.chance(200) {
        for _ in 0..=choices.below(2) {
            let more = change(choices, kind);
            // A rule says once how the spec changes.
            changes.retain(|change| !matches!((change, &more[0]), (Change::Spec(_), Change::Spec(_))));
            changes.extend(more);
        }
    }
    What::Patch { uid, version, part, changes }
}

fn change(choices: &mut Choices, kind: Kind) -> Vec<Change> {
    let key = Text::from(*choices.pick(&["a", "agents.x-k8s.io/b"]));
    let value = choices.chance(700).then(|| Text::from(*choices.pick(&["x", ""])));
    match (choices.below(6), kind) {
        (0 | 1, _) => vec![Change::Label(key, value)],
        (2, _) => vec![Change::Annotation(key, value)],
        (3, _) => {
            let others = choices.chance(300).then(others);
            [Change::Owner(owner(choices))].into_iter().chain(others.map(Change::CoOwners)).collect()
        }
        (4, Kind::Sandbox) => vec![Change::PodLabel(key, value)],
        (5, Kind::Sandbox) => vec![Change::PodAnnotation(key, value)],
        (_, Kind::Service) => {
            let merges = [
                json!({ "selector": { "c": "d" } }),
                json!({ "selector": { "a": null } }),
                json!({ "ports": [{ "name": "q", "port": 81 }] }),
                json!({ "ports": null }),
            ];
            vec![Change::Spec(Json::from(choices.pick(&merges)))]
        }
        (_, Kind::NetworkPolicy) => {
            let merges = [
                json!({ "podSelector": { "matchLabels": { "c": "d" } } }),
                json!({ "egress": [{ "to": [{ "ipBlock": { "cidr": "0.0.0.0/0" } }] }] }),
                json!({ "egress": null, "ingress": null }),
            ];
            vec![Change::Spec(Json::from(choices.pick(&merges)))]
        }
        _ => vec![Change::Annotation(key, value)],
    }
}

pub(super) fn status(choices: &mut Choices, kind: Kind) -> Option<Change> {
    let ips =
        |choices: &mut Choices| choices.chance(500).then(|| Text::from("10.0.0.1")).into_iter().collect();
    Some(match kind {
        Kind::Claim => {
            let sandbox =
                choices.chance(600).then(|| Bound { name: "sandbox".into(), pod_ips: ips(choices) });
            Change::ClaimStatus(ClaimStatus { sandbox, conditions: conditions(choices) })
        }
        Kind::Pool => Change::PoolStatus(PoolStatus {
            replicas: choices.below(3),
            ready: choices.below(2),
            selector: (*choices.pick(&["a=b", "c=d"])).into(),
            observed: choices.below(3).into(),
        }),
        Kind::Sandbox => Change::SandboxStatus(SandboxStatus {
            conditions: conditions(choices),
            pod_ips: ips(choices),
            node: (*choices.pick(&["", "node"])).into(),
            selector: (*choices.pick(&["", "a=b"])).into(),
            service: (*choices.pick(&["", "service"])).into(),
            service_fqdn: "".into(),
        }),
        Kind::Template | Kind::Pod | Kind::Service | Kind::VolumeClaim | Kind::NetworkPolicy => return None,
    })
}

fn conditions(choices: &mut Choices) -> Vec<Condition> {
    let kinds = &["Ready", "Finished"][..=choices.below(2) as usize];
    let mut condition = |kind: &&str| Condition {
        kind: (*kind).into(),
        status: *choices.pick(&[Truth::True, Truth::False, Truth::Unknown]),
        reason: "Reason".into(),
        message: (*choices.pick(&["", "what \"happened\" < & >"])).into(),
        observed: choices.below(3).into(),
        changed: Wall::from_micros(8_000_000),
    };
    kinds.iter().map(&mut condition).collect()
}

fn labels(choices: &mut Choices) -> Labels {
    let keys = &["a", "agents.x-k8s.io/b"][..choices.below(3) as usize];
    keys.iter().map(|key| (Text::from(*key), Text::from(*choices.pick(&["x", ""])))).collect()
}

fn owner(choices: &mut Choices) -> Owner {
    let kind = *choices.pick(&[Kind::Claim, Kind::Pool, Kind::Sandbox]);
    Owner { kind: OwnerKind::Known(kind), name: "owner".into(), uid: Uid::from_bits(9) }
}

fn others() -> Json {
    let other = json!({ "apiVersion": "example.com/v1", "kind": "Session", "name": "s", "uid": "u" });
    Json::from(&json!([other]))
}
