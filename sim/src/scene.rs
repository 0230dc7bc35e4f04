//! What is given before a simulation begins: who runs, and what users will do.

use std::sync::Arc;

use agent_sandbox_core::id::{Key, Kind, Text};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{
    Claim, ClaimStatus, Dependent, Json, Meta, Object, Owner, Phase, Pod, PodMetadata, Pool, PoolStatus,
    Sandbox, SandboxStatus, Shutdown, Update,
};
use agent_sandbox_core::time::Wall;
use agent_sandbox_core::wire;
use agent_sandbox_core::wishes::Wishes;

use crate::controller::Controller;

/// The namespace in which everything happens.
pub const NAMESPACE: &str = "default";

/// Another namespace, which may be deleted.
pub const GUESTS: &str = "guests";

/// The annotation of what users have made look like what controllers make.
pub const TAKEN: &str = "example.com/taken";

/// The template from which sandboxes are made.
pub const TEMPLATE: &str = "template";

/// Another template.
pub const OTHER_TEMPLATE: &str = "other";

/// Everything that is fixed before the first step.
#[derive(Clone, Debug)]
pub struct Scene<C: Controller> {
    /// How each controller process is set up.
    pub controller: C::Setup,
    /// How many places there are where a controller process may run.
    pub processes: u8,
    /// What users do.
    pub script: Vec<Deed>,
    /// What the calendar says when the simulation begins.
    pub epoch: Wall,
}

/// One line of the script.
#[derive(Clone, Debug)]
pub struct Deed {
    /// What is done.
    pub act: Act,
    /// The line that must be done before.
    pub after: Option<u32>,
}

/// What a user can do.
#[derive(Clone, Debug)]
pub enum Act {
    /// Create an object.
    Create(Object),
    /// Delete whatever holds a name.
    Delete(Kind, Key),
    /// Set a pool's `spec.replicas`.
    Scale(Key, u32),
    /// Give the object of this name this spec. Of a pool, the replicas stay.
    Edit(Object),
    /// Set the labels and annotations that a claim asks for.
    Label(Key, PodMetadata),
    /// Give a claim more time: until then, or for ever.
    Extend(Key, Option<Wall>),
    /// Delete the n-th of all objects of a kind, counted round and round.
    DeleteAny(Kind, u32),
    /// Delete the n-th of all sandboxes in the foreground: it is there, terminating, until its Pod is gone.
    TerminateAny(u32),
    /// Suspend a sandbox, or let it run.
    Suspend(Key, bool),
    /// Suspend the n-th of all sandboxes.
    SuspendAny(u32),
    /// Let every sandbox of a pool or a claim run.
    ResumeOwned,
    /// Set whether a sandbox wants a Service.
    Serve(Key, Option<bool>),
    /// Set when a sandbox ends.
    ShutDown(Key, Option<Shutdown>),
    /// Give a sandbox one more Pod, of this name.
    AddPod(Key, Text),
    /// Let a claim refer to another pool.
    Refer(Key, Text),
    /// Change the n-th of all objects of a kind, as somebody does who thinks that it is his.
    Spoil(Kind, u32),
    /// Change the Service of this name likewise.
    SpoilService(Key, u32),
    /// Clear the status of the n-th of all objects of a kind.
    ClearStatus(Kind, u32),
    /// Edit the labels of the n-th of all objects of a kind.
    Relabel(Kind, u32),
    /// Put a finalizer on the n-th of all objects of a kind.
    Finalize(Kind, u32),
    /// Delete a namespace.
    EndNamespace(Text),
    /// Put an object where a controller that ran before has left it: with its status, and owned by the one of that
    /// name.
    Leave(Object, Option<(Kind, Key)>),
}

impl Deed {
    /// Returns a line that may be done at any time.
    pub const fn new(act: Act) -> Self {
        Self { act, after: None }
    }

    /// Returns the same line, to be done after another.
    #[must_use]
    pub const fn after(mut self, line: u32) -> Self {
        self.after = Some(line);
        self
    }
}

/// Returns the calendar at the beginning of every simulation: 2026-01-01T00:00:00Z.
pub const fn epoch() -> Wall {
    Wall::from_micros(1_767_225_600_000_000)
}

/// Returns the key of a name in [`NAMESPACE`].
pub fn key(name: impl Into<Text>) -> Key {
    Key::new(NAMESPACE, name)
}

/// Returns a claim as a user would create it.
pub fn claim(name: impl Into<Text>, pool: impl Into<Text>) -> Object {
    claim_that_wishes(name, pool, None)
}

/// Returns a claim as a client of this name creates it, within a trace.
pub fn claim_by(client: &str, mut claim: Object) -> Object {
    let meta = claim.meta_mut();
    meta.labels.insert(names::CREATED_BY.into(), client.into());
    meta.annotations.insert(names::TRACE_CONTEXT.into(), format!("{{\"traceparent\":\"{client}\"}}").into());
    claim
}

/// Returns a claim that asks for more than a sandbox of its pool.
pub fn claim_that_wishes(name: impl Into<Text>, pool: impl Into<Text>, wishes: Option<Wishes>) -> Object {
    let (meta, status) = (Meta::draft(key(name)), ClaimStatus::default());
    Object::Claim(Arc::new(Claim { meta, pool: pool.into(), wishes: wishes.map(Arc::new), status }))
}

/// Returns the volumes that a claim or a sandbox may ask for.
///
/// # Panics
/// Never: the text is JSON.
pub fn volume_claims() -> Json {
    let text = r#"[{"metadata":{"name":"data","labels":{"tier":"slow"},"annotations":{"owner":"team"}},"spec":{"storageClassName":"slow"}}]"#;
    Json::new(serde_json::from_str(text).expect("the text is JSON"))
}

/// Returns volumes of which one has a dash in its name, as the claims that are made from it have, too.
///
/// # Panics
/// Never: the text is JSON.
pub fn dashed_volume_claims() -> Json {
    let text = concat!(
        r#"[{"metadata":{"name":"user-data"},"spec":{"storageClassName":"slow"}},"#,
        r#"{"metadata":{"name":"data"},"spec":{"storageClassName":"slow"}}]"#
    );
    Json::new(serde_json::from_str(text).expect("the text is JSON"))
}

/// Returns who else owns something, beside its controller, and wants it gone first.
pub fn owner_beside() -> Json {
    let beside = serde_json::json!([{
        "apiVersion": "batch/v1", "kind": "Job", "name": "beside", "uid": "beside-the-controller",
        "controller": false, "blockOwnerDeletion": true
    }]);
    Json::from(&beside)
}

/// The annotation of Pods whose template says itself how they find names, and that they may talk to the API server.
pub const OWN_WAYS: &str = "example.com/own-ways";

/// What such a template says of its Pods.
const WAYS: &str = r#""dnsPolicy":"Default","automountServiceAccountToken":true,"#;

/// What a template notes on its Pods that only controllers may note there.
pub const RESERVED: &str = concat!(
    r#""agents.x-k8s.io/pod-name":"another","extensions.agents.x-k8s.io/note":"another","#,
    r#""opentelemetry.io/trace-context":"another""#
);

/// Asks for metadata of a Pod that only controllers may give it.
pub fn put_reserved(pod: &mut PodMetadata) {
    let keys = ["agents.x-k8s.io/claim-uid", "extensions.agents.x-k8s.io/mark"];
    pod.labels.extend(keys.map(|key| (key.into(), "another".into())));
    let notes = ["agents.x-k8s.io/pod-name", "extensions.agents.x-k8s.io/note", names::TRACE_CONTEXT];
    pod.annotations.extend(notes.map(|key| (key.into(), "another".into())));
}

/// Returns a volume that a claim may ask for in place of one of the template.
///
/// # Panics
/// Never: the text is JSON.
pub fn other_cache() -> Json {
    let text = r#"[{"metadata":{"name":"cache"},"spec":{"storageClassName":"slow"}}]"#;
    Json::new(serde_json::from_str(text).expect("the text is JSON"))
}

/// One letter more than the value of a label may have.
const LONG_VALUE: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// Returns one of the sets of labels and annotations that a claim may ask for; those from 2 to 4, 6, from 8 to 13
/// and the last two it cannot have.
pub fn metadata(number: u32) -> PodMetadata {
    let mut metadata = PodMetadata::default();
    let label = match number {
        0 => Some(("sandbox.users.io/team", "a")),
        1 => Some(("sandbox.users.io/tier", "sandbox")),
        2 => Some(("team", "a")),
        3 => Some(("sandbox.users.io/tier", "mine")),
        7 => Some(("eu.sandbox.users.io/zone", "a")),
        8 => Some(("sandbox.users.example/team", "a")),
        9 => Some(("fakesandbox.users.io/team", "a")),
        10 => Some(("sandbox.users.io/team", "-a")),
        13 => Some(("sandbox.users.io/team", LONG_VALUE)),
        14 => Some(("sandbox.users.io/team", "")),
        16 => Some(("sandbox.users.io/-team", "a")),
        _ => None,
    };
    metadata.labels.extend(label.map(|(key, value)| (key.into(), value.into())));
    let note = match number {
        0 | 1 => Some("note"),
        4 => Some("agents.x-k8s.io/pod-name"),
        6 => Some("container.apparmor.security.beta.kubernetes.io/main"),
        11 => Some("networking.k8s.io/ingress"),
        12 => Some("extensions.agents.x-k8s.io/note"),
        15 => Some(names::SAFE_TO_EVICT),
        17 => Some("-note"),
        _ => None,
    };
    metadata.annotations.extend(note.map(|key| (key.into(), "x".into())));
    metadata
}

/// Returns a pool as a user would create it.
pub fn pool(name: impl Into<Text>, replicas: u32) -> Object {
    pool_of(name, replicas, TEMPLATE, Update::OnReplenish)
}

/// Returns a pool with all that a user may say about it.
pub fn pool_of(name: impl Into<Text>, replicas: u32, template: &str, update: Update) -> Object {
    let (meta, status) = (Meta::draft(key(name)), PoolStatus::default());
    Object::Pool(Arc::new(Pool { meta, replicas, template: template.into(), update, status }))
}

/// Returns a sandbox as a user would create it.
pub fn sandbox(name: impl Into<Text>) -> Sandbox {
    let Object::Template(template) = template() else { unreachable!("the text is a template") };
    Sandbox {
        meta: Meta::draft(key(name)),
        pod: template.blueprint.pod.clone(),
        pod_spec: template.blueprint.pod_spec.clone(),
        volume_claims: None,
        service: None,
        suspended: false,
        shutdown: None,
        status: SandboxStatus::default(),
    }
}

/// Returns a Pod, a Service or a volume claim as a user would create it, with these labels.
pub fn part(kind: Kind, name: impl Into<Text>, owner: Option<Owner>, labels: &[(&str, Text)]) -> Object {
    let mut meta = Meta::draft(key(name));
    meta.owner = owner;
    meta.labels = labels.iter().map(|(key, value)| ((*key).into(), value.clone())).collect();
    let spec = Json::from(&serde_json::json!({ "selector": { "app": "mine" } }));
    match kind {
        Kind::Service => Object::Service(Arc::new(Dependent { meta, spec })),
        Kind::VolumeClaim => Object::VolumeClaim(Arc::new(Dependent { meta, spec })),
        Kind::Pod | Kind::Claim | Kind::Pool | Kind::Template | Kind::Sandbox | Kind::NetworkPolicy => {
            let (phase, ips, node) = (Phase::Pending, Vec::new(), "".into());
            Object::Pod(Arc::new(Pod { meta, spec: None, phase, ready: false, scheduled: None, ips, node }))
        }
    }
}

/// Returns the template as a user would create it.
pub fn template() -> Object {
    template_of(TEMPLATE, "sandbox")
}

/// Returns a template whose sandboxes run an image.
pub fn template_of(name: &str, image: &str) -> Object {
    template_that(name, &format!(r#""image":"{image}""#), ["Allowed"; 2], "")
}

/// What a container of each template listens at.
const PORTS: &str =
    r#""ports":[{"containerPort":9000,"protocol":"UDP"},{"name":"http","containerPort":8080}]"#;

/// What runs before and beside it. Only what goes on running is served.
const HELPERS: &str = r#""initContainers":[{"name":"setup","image":"setup","ports":[{"containerPort":7000}]},
    {"name":"proxy","image":"proxy","restartPolicy":"Always","ports":[{"name":"http","containerPort":8081}]}]"#;

/// What a template says whose sandboxes have a Service.
pub const SERVED: &str = r#""service":true,"#;

/// What a template says whose sandboxes have a volume.
pub const CACHED: &str = r#""volumeClaimTemplates":[{"metadata":{"name":"cache","labels":{"tier":"fast"}},
    "spec":{"storageClassName":"fast"}}],"#;

/// Returns the other template: its sandboxes have a Service and a volume of their own, and its Pods a note.
pub fn other_template() -> Object {
    let parts = format!("{SERVED}{CACHED}");
    let notes = r#""team":"other""#;
    template_noted((OTHER_TEMPLATE, notes), r#""image":"sandbox""#, ["Allowed"; 2], &parts)
}

/// Returns a template with what it says about its container, about variables and volumes of claims, and about all
/// else: that is JSON with a comma after it, or nothing.
///
/// # Panics
/// When a part is not fit for JSON.
pub fn template_that(name: &str, container: &str, policies: [&str; 2], parts: &str) -> Object {
    template_noted((name, ""), container, policies, parts)
}

/// Returns the same template with annotations for its Pods: JSON without the braces. With [`OWN_WAYS`] among them it says more
/// of its Pods than others.
///
/// # Panics
/// When a part is not fit for JSON.
pub fn template_noted(
    (name, notes): (&str, &str),
    container: &str,
    [env, volumes]: [&str; 2],
    network: &str,
) -> Object {
    let (ports, helpers) = (PORTS, HELPERS);
    let ways = if notes.contains(OWN_WAYS) { WAYS } else { "" };
    let notes = if notes.is_empty() { String::new() } else { format!(r#","annotations":{{{notes}}}"#) };
    let text = format!(
        r#"{{"metadata":{{"name":"{name}","namespace":"{NAMESPACE}","uid":"","resourceVersion":"0"}},
        "spec":{{"envVarsInjectionPolicy":"{env}","volumeClaimTemplatesPolicy":"{volumes}",{network}
        "podTemplate":{{"metadata":{{"labels":{{"sandbox.users.io/tier":"sandbox"}}{notes}}},
        "spec":{{{ways}{helpers},"volumes":[{{"name":"data","emptyDir":{{}}}},{{"name":"tmp","emptyDir":{{}}}}],
        "containers":[{{"name":"main",{ports},{container}}},{{"name":"log","image":"log","envFrom":[{{"configMapRef":{{"name":"log"}}}}]}}]}}}}}}}}"#
    );
    wire::decode(Kind::Template, &text).expect("the text is a template")
}

/// Returns the same template, with nothing left to do about it: it is labelled, and its network is nobody's business.
///
/// # Panics
/// Never: the template is one.
pub fn finished_template() -> Object {
    let network = r#""networkPolicyManagement":"Unmanaged","#;
    let mut template = template_that(TEMPLATE, r#""image":"sandbox""#, ["Allowed"; 2], network);
    let hash = names::name_hash(TEMPLATE);
    template.meta_mut().labels.insert(names::TEMPLATE_REF_HASH.into(), hash);
    template
}
