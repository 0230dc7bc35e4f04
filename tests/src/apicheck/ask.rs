//! What users ask for, beside what the controller does: JSON that may be wrong, lists, Events, the end of the namespace.

use std::fmt;

use agent_sandbox_core::action::{Part, Target};
use agent_sandbox_core::id::{Key, Kind, Text, Version};
use agent_sandbox_sim::api_server::{self as model, Deletion, Dependents, Document, Moment};
use agent_sandbox_sim::choices::Choices;
use serde_json::{Map, Value, json};

use super::sequence::{Seen, draft, status};
use super::side::Side;

/// A request of a user.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Create it like this; what is absent of the name is filled in.
    Create(Value),
    /// Create it under a name that the server chooses.
    Generate(Value),
    /// Change it.
    Change {
        /// Whose identity it names.
        uid: Seen,
        /// Whose version it names.
        version: Seen,
        /// Which half.
        part: Part,
        /// How that is written.
        form: Form,
        /// What changes: a merge patch, or the operations of a JSON patch.
        edit: Value,
    },
    /// Delete it.
    Delete {
        /// Whose identity it names.
        uid: Seen,
        /// Whose version it names.
        version: Seen,
        /// How.
        deletion: Deletion,
    },
    /// List the kind.
    List {
        /// As of which moment.
        moment: When,
        /// How many at most; zero is all.
        limit: usize,
    },
    /// Get the next page of the list before.
    GoOn {
        /// How many at most.
        limit: usize,
    },
    /// Delete the namespace.
    EndNamespace,
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(body) => write!(f, "create {body}"),
            Self::Generate(body) => write!(f, "create under a name of the server's {body}"),
            Self::Change { uid, version, part, form, edit } => {
                write!(f, "{form:?} ({part:?}, uid: {uid:?}, version: {version:?}) {edit}")
            }
            Self::Delete { uid, version, deletion } => {
                let Deletion { dependents, grace } = deletion;
                write!(f, "delete ({dependents:?}, grace: {grace:?}, uid: {uid:?}, version: {version:?})")
            }
            Self::List { moment, limit } => write!(f, "list {moment:?}, at most {limit}"),
            Self::GoOn { limit } => write!(f, "list the next {limit}"),
            Self::EndNamespace => f.write_str("delete the namespace"),
        }
    }
}

/// How a change is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// PUT, of what was shown last with the edit in it.
    Whole,
    /// `application/merge-patch+json`.
    Merge,
    /// `application/json-patch+json`.
    Json,
}

/// As of which moment a list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Now.
    Now,
    /// Not before that state of this object.
    NotBefore(Seen),
    /// Just after that state of this object was written.
    JustThen(Seen),
}

impl When {
    /// Returns the moment as one of the servers knows it.
    pub(super) fn moment(self, side: &Side, kind: Kind, name: u8) -> Moment {
        match self {
            Self::Now => Moment::Latest,
            Self::NotBefore(seen) => {
                side.version(kind, name, seen).map_or(Moment::Latest, Moment::NotOlderThan)
            }
            Self::JustThen(seen) => side.version(kind, name, seen).map_or(Moment::Latest, Moment::Exact),
        }
    }
}

/// Returns the request as the model takes it; `None` for lists and the end of a namespace.
pub(super) fn request(
    ask: &Ask,
    side: &Side,
    kind: Kind,
    name: u8,
    namespace: &str,
) -> Option<model::Request> {
    let key = Key::new(namespace, side.name(kind, name));
    let target = |uid: Seen| Target { kind, key: key.clone(), uid: side.uid(kind, name, uid) };
    Some(match ask {
        Ask::Create(body) | Ask::Generate(body) => {
            let mut body = body.clone();
            if matches!(ask, Ask::Create(_)) && body["metadata"]["name"].is_null() {
                body["metadata"]["name"] = (*key.name).into();
            }
            model::Request::Create { kind, namespace: Text::from(namespace), body }
        }
        Ask::Change { uid, version, part, form, edit } => {
            let uid = side.uid(kind, name, *uid).map(|uid| uid.to_string());
            let version = side.version(kind, name, *version).map(|version| version.to_string());
            let whole = side.body(kind, name).cloned();
            let whole = whole.unwrap_or_else(|| json!({ "metadata": { "name": key.name } }));
            // To a Service that is not there a PUT is a create, which nobody here asks for.
            let form = if kind == Kind::Service && *form == Form::Whole { Form::Merge } else { *form };
            let change = document(form, edit, uid, version, whole);
            model::Request::Change { kind, key, part: *part, change }
        }
        Ask::Delete { uid, version, deletion } => model::Request::Delete {
            target: target(*uid),
            version: side.version(kind, name, *version),
            deletion: *deletion,
        },
        Ask::List { .. } | Ask::GoOn { .. } | Ask::EndNamespace => return None,
    })
}

fn document(
    form: Form,
    edit: &Value,
    uid: Option<String>,
    version: Option<String>,
    whole: Value,
) -> Document {
    let mut locks = Map::new();
    locks.extend(uid.map(|uid| ("uid".into(), uid.into())));
    locks.extend(version.map(|version| ("resourceVersion".into(), version.into())));
    match form {
        Form::Json => {
            let tests = locks.into_iter().map(|(field, value)| {
                json!({ "op": "test", "path": format!("/metadata/{field}"), "value": value })
            });
            Document::Patch(tests.chain(edit.as_array().into_iter().flatten().cloned()).collect())
        }
        Form::Merge => {
            let mut patch = edit.clone();
            if !locks.is_empty() {
                agent_sandbox_core::patch::merge(&mut patch, &json!({ "metadata": locks }));
            }
            Document::Merge(patch)
        }
        Form::Whole => {
            let mut body = whole;
            agent_sandbox_core::patch::merge(&mut body, edit);
            if let Some(meta) = body["metadata"].as_object_mut() {
                meta.remove("resourceVersion");
                meta.remove("uid");
                meta.extend(locks);
            }
            Document::Whole(body)
        }
    }
}

/// Returns the method, the media type, the path with its query, and the body of a request.
pub(super) fn on_the_wire(request: &model::Request) -> (&'static str, &'static str, String, Value) {
    const JSON: &str = "application/json";
    match request {
        model::Request::Create { kind, namespace, body } => {
            ("POST", JSON, collection(*kind, namespace), typed(*kind, body))
        }
        model::Request::Change { kind, key, part, change } => {
            let part = if *part == Part::Status { "/status" } else { "" };
            let uri = format!("{}/{}{part}", collection(*kind, &key.namespace), key.name);
            match change {
                Document::Whole(body) => ("PUT", JSON, uri, typed(*kind, body)),
                Document::Merge(patch) => ("PATCH", "application/merge-patch+json", uri, patch.clone()),
                Document::Patch(patch) => ("PATCH", "application/json-patch+json", uri, patch.clone()),
            }
        }
        model::Request::Delete { target, version, deletion } => {
            let mut options = json!({ "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {} });
            if let Some(uid) = target.uid {
                options["preconditions"]["uid"] = uid.to_string().into();
            }
            if let Some(version) = version {
                options["preconditions"]["resourceVersion"] = version.to_string().into();
            }
            if let Some(dependents) = deletion.dependents {
                options["propagationPolicy"] = format!("{dependents:?}").into();
            }
            if let Some(seconds) = deletion.grace {
                options["gracePeriodSeconds"] = seconds.into();
            }
            let uri = format!("{}/{}", collection(target.kind, &target.key.namespace), target.key.name);
            ("DELETE", JSON, uri, options)
        }
    }
}

/// Returns the query of a list.
pub(super) fn query(moment: Moment, limit: usize) -> String {
    let limit = if limit == 0 { String::new() } else { format!("limit={limit}&") };
    match moment {
        Moment::Latest => limit,
        Moment::NotOlderThan(Version(at)) => {
            format!("{limit}resourceVersion={at}&resourceVersionMatch=NotOlderThan")
        }
        Moment::Exact(Version(at)) => format!("{limit}resourceVersion={at}&resourceVersionMatch=Exact"),
    }
}

/// Returns where the objects of a kind are.
pub(super) fn collection(kind: Kind, namespace: &str) -> String {
    let root = if kind.group().is_empty() { "/api" } else { "/apis" };
    format!("{root}/{}/namespaces/{namespace}/{}", kind.api_version(), kind.plural())
}

fn typed(kind: Kind, body: &Value) -> Value {
    let mut body = body.clone();
    body["apiVersion"] = kind.api_version().into();
    body["kind"] = kind.name().into();
    body
}

/// Draws a request of a user.
pub(super) fn draw(choices: &mut Choices, kind: Kind) -> Ask {
    match choices.below(20) {
        0..3 => create(choices, kind),
        3..11 => change(choices, kind),
        11..15 => {
            let dependents =
                [None, Some(Dependents::Background), Some(Dependents::Foreground), Some(Dependents::Orphan)];
            let grace = *choices.pick(&[None, None, Some(0), Some(1), Some(5), Some(60)]);
            let deletion = Deletion { dependents: *choices.pick(&dependents), grace };
            Ask::Delete { uid: seen(choices), version: seen(choices), deletion }
        }
        15..18 => {
            let moment = match choices.below(4) {
                0 | 1 => When::Now,
                2 => When::NotBefore(known(choices)),
                _ => When::JustThen(known(choices)),
            };
            Ask::List { moment, limit: choices.below(3) as usize }
        }
        18 => Ask::GoOn { limit: choices.below(3) as usize },
        _ if choices.chance(300) => Ask::EndNamespace,
        _ => Ask::GoOn { limit: 1 },
    }
}

/// Most requests of users name no state.
fn seen(choices: &mut Choices) -> Seen {
    *choices.pick(&[
        Seen::None,
        Seen::None,
        Seen::None,
        Seen::Latest,
        Seen::Latest,
        Seen::Before,
        Seen::First,
        Seen::Never,
    ])
}

fn known(choices: &mut Choices) -> Seen {
    *choices.pick(&[Seen::Latest, Seen::Before, Seen::First])
}

fn create(choices: &mut Choices, kind: Kind) -> Ask {
    let draft = draft(choices, kind);
    let mut body = model::body(&draft);
    let meta = &mut body["metadata"];
    *meta = json!({});
    if choices.chance(400) {
        agent_sandbox_core::patch::merge(&mut body, &metadata(choices));
    }
    if choices.chance(300) {
        agent_sandbox_core::patch::merge(&mut body, &spec(choices, kind));
    }
    let meta = &mut body["metadata"];
    meta.as_object_mut().map(|meta| meta.remove("generation"));
    match choices.below(10) {
        0 => meta["name"] = (*choices.pick(&["Upper", "a..b", "-a", "a_b", ""])).into(),
        1 => meta["name"] = "a".repeat(*choices.pick(&[63, 64, 253, 254])).into(),
        2 => meta["resourceVersion"] = "1".into(),
        3 => meta["namespace"] = "elsewhere".into(),
        4 | 5 => {
            meta["generateName"] = (*choices.pick(&["g-", "g", "Upper-"])).into();
            if choices.chance(800) {
                return Ask::Generate(body);
            }
        }
        _ => {}
    }
    Ask::Create(body)
}

fn change(choices: &mut Choices, kind: Kind) -> Ask {
    let has_status = matches!(kind, Kind::Claim | Kind::Pool | Kind::Sandbox);
    let part = if has_status && choices.chance(250) { Part::Status } else { Part::Main };
    let form = *choices.pick(&[Form::Merge, Form::Merge, Form::Json, Form::Whole]);
    let (uid, version) = (seen(choices), seen(choices));
    let edit = if form == Form::Json {
        operations(choices)
    } else {
        let mut edit = json!({});
        if choices.chance(700) {
            edit = metadata(choices);
        }
        if choices.chance(400) {
            agent_sandbox_core::patch::merge(&mut edit, &spec(choices, kind));
        }
        if has_status && (part == Part::Status || choices.chance(150)) {
            edit["status"] = status_of(choices, kind);
        }
        edit
    };
    Ask::Change { uid, version, part, form, edit }
}

fn status_of(choices: &mut Choices, kind: Kind) -> Value {
    let mut object = draft(choices, kind);
    status(choices, kind).iter().for_each(|change| change.apply(&mut object));
    model::body(&object)["status"].clone()
}

/// Draws a merge patch of the metadata, right or wrong.
fn metadata(choices: &mut Choices) -> Value {
    let owner = json!({ "apiVersion": "extensions.agents.x-k8s.io/v1beta1", "kind": "SandboxClaim", "name": "o",
        "uid": "00000000-0000-4000-8000-000000000009", "controller": true, "blockOwnerDeletion": true });
    let foreign = json!({ "apiVersion": "example.com/v1", "kind": "Session", "name": "s", "uid": "u" });
    let edits = [
        json!({ "labels": { "a": "x" } }),
        json!({ "labels": { "a": null } }),
        json!({ "labels": { "a": "y", "b": "" } }),
        json!({ "annotations": { "a": "x" } }),
        json!({ "annotations": null }),
        json!({ "finalizers": ["example.com/a"] }),
        json!({ "finalizers": ["example.com/b", "example.com/a"] }),
        json!({ "finalizers": [] }),
        json!({ "finalizers": null }),
        json!({ "ownerReferences": [owner] }),
        json!({ "ownerReferences": [owner, foreign] }),
        json!({ "ownerReferences": null }),
        json!({ "labels": { "a": "not a value" } }),
        json!({ "labels": { "not a key": "x" } }),
        json!({ "annotations": { "a/b/c": "x" } }),
        json!({ "finalizers": ["plain"] }),
        json!({ "finalizers": ["orphan", "foregroundDeletion"] }),
        json!({ "ownerReferences": [{ "apiVersion": "example.com/v1", "kind": "Session", "name": "s", "uid": "" }] }),
        json!({ "ownerReferences": [owner, { "apiVersion": "example.com/v1", "kind": "Session", "name": "s", "uid": "u",
            "controller": true }] }),
        json!({ "generation": 7, "creationTimestamp": null }),
        json!({ "name": "other" }),
    ];
    json!({ "metadata": choices.pick(&edits) })
}

/// Draws a merge patch of the spec, right or wrong.
fn spec(choices: &mut Choices, kind: Kind) -> Value {
    let edits = match kind {
        Kind::Claim => vec![json!({ "warmPoolRef": { "name": "other" } }), json!({ "warmPoolRef": null })],
        Kind::Pool => vec![
            json!({ "replicas": 5 }),
            json!({ "replicas": 0 }),
            json!({ "replicas": -1 }),
            json!({ "replicas": "many" }),
            json!({ "updateStrategy": { "type": "Recreate" } }),
            json!({ "updateStrategy": { "type": "Never" } }),
            json!({ "sandboxTemplateRef": null }),
        ],
        Kind::Template => vec![
            json!({ "networkPolicyManagement": "Unmanaged" }),
            json!({ "networkPolicyManagement": "Sometimes" }),
            json!({ "podTemplate": null }),
        ],
        Kind::Sandbox => vec![
            json!({ "operatingMode": "Suspended" }),
            json!({ "operatingMode": "Running" }),
            json!({ "operatingMode": "Sleeping" }),
            json!({ "podTemplate": { "spec": { "containers": null } } }),
            json!({ "volumeClaimTemplates": [{ "metadata": { "name": "v" }, "spec": {} }] }),
        ],
        Kind::Pod => vec![json!({ "nodeName": "elsewhere" })],
        Kind::Service => {
            vec![json!({ "selector": { "c": "d" } }), json!({ "ports": [{ "name": "q", "port": 81 }] })]
        }
        Kind::VolumeClaim => {
            vec![json!({ "accessModes": ["ReadWriteMany"] }), json!({ "accessModes": null })]
        }
        Kind::NetworkPolicy => vec![json!({ "podSelector": { "matchLabels": { "c": "d" } } })],
    };
    json!({ "spec": choices.pick(&edits) })
}

/// Draws the operations of a JSON patch.
fn operations(choices: &mut Choices) -> Value {
    let all = [
        json!({ "op": "add", "path": "/metadata/labels", "value": { "a": "x" } }),
        json!({ "op": "add", "path": "/metadata/labels/a", "value": "x" }),
        json!({ "op": "add", "path": "/metadata/annotations", "value": { "a": "y" } }),
        json!({ "op": "replace", "path": "/metadata/labels/a", "value": "z" }),
        json!({ "op": "remove", "path": "/metadata/labels/a" }),
        json!({ "op": "test", "path": "/metadata/labels/a", "value": "x" }),
        json!({ "op": "test", "path": "/metadata/labels/a", "value": null }),
        json!({ "op": "add", "path": "/metadata/finalizers", "value": ["example.com/a"] }),
        json!({ "op": "add", "path": "/metadata/finalizers/-", "value": "example.com/b" }),
        json!({ "op": "remove", "path": "/metadata/finalizers/0" }),
        json!({ "op": "remove", "path": "/metadata/finalizers" }),
        json!({ "op": "add", "path": "/metadata/labels/b", "value": "not a value" }),
        json!({ "op": "turn", "path": "/metadata/labels" }),
    ];
    (0..=choices.below(2)).map(|_| choices.pick(&all).clone()).collect()
}
