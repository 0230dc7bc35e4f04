//! What the core makes: sandboxes from templates, and Pods from sandboxes.

use alloc::borrow::Cow;
use alloc::format;
use alloc::vec::Vec;

use crate::config::Config;
use crate::id::{Key, Kind, Text, Uid};
use crate::metadata;
use crate::names;
use crate::object::{
    Claim, Condition, Labels, Meta, Owner, OwnerKind, Phase, Pod, PodMetadata, Pool, Sandbox, SandboxStatus,
    Template, Truth,
};
use crate::outfit::{self, Objection};
use crate::parts::pod_spec;
use crate::patch::Change;
use crate::time::Wall;

// ----- Sandboxes -----

/// Returns a new member of a pool (WPL-043, WPL-044, CFG-005).
pub(crate) fn member(pool: &Pool, template: &Template, key: Key, config: &Config) -> Sandbox {
    let blueprint = &template.blueprint;
    let shared = [
        (names::WARM_POOL, names::name_hash(&pool.meta.key.name)),
        (names::TEMPLATE_REF_HASH, names::name_hash(&pool.template)),
        (names::TEMPLATE_HASH, blueprint.hash.clone()),
        (names::POD_TEMPLATE_HASH, blueprint.pod_hash.clone()),
    ];
    let mut sandbox = from_template(template, key, Owner::new(Kind::Pool, &pool.meta));
    put(&mut sandbox.meta.labels, &shared);
    put(
        &mut sandbox.meta.labels,
        &[(names::LAUNCH_TYPE, "warm".into()), (names::CREATED_BY, "controller".into())],
    );
    put(&mut sandbox.pod.labels, &shared);
    if config.evict_members {
        sandbox.pod.annotations.insert_if_absent(names::SAFE_TO_EVICT, "true");
    }
    sandbox
}

/// Returns a sandbox made for one claim, or why there can be none (CLD-001, CLD-002).
///
/// `domains` are those of [`Config::label_domains`](crate::config::Config::label_domains).
pub(crate) fn cold_sandbox(
    claim: &Claim,
    template: &Template,
    domains: &[Text],
) -> Result<Sandbox, Objection> {
    if let Some(objection) = invalid_metadata(claim, domains) {
        return Err(objection);
    }
    let wishes = claim.wishes.as_deref();
    let mut sandbox = from_template(template, claim.meta.key.clone(), Owner::new(Kind::Claim, &claim.meta));
    sandbox.volume_claims = outfit::volume_claims(wishes, template)?;
    let hash = names::name_hash(&template.meta.key.name);
    put(&mut sandbox.meta.labels, &[(names::LAUNCH_TYPE, "cold".into())]);
    for labels in [&mut sandbox.meta.labels, &mut sandbox.pod.labels] {
        put(
            labels,
            &[
                (names::TEMPLATE_REF_HASH, hash.clone()),
                (names::CLAIM_UID, format!("{}", claim.meta.uid).into()),
            ],
        );
        if let Some(created_by) = claim.meta.label(names::CREATED_BY) {
            put(labels, &[(names::CREATED_BY, created_by.clone())]);
        }
    }
    if let Some(context) = claim.meta.annotations.get(names::TRACE_CONTEXT) {
        put(&mut sandbox.meta.annotations, &[(names::TRACE_CONTEXT, context.clone())]);
    }
    join_metadata(&mut sandbox.pod, claim)?;
    sandbox.pod_spec = outfit::pod_spec(wishes, template)?;
    Ok(sandbox)
}

/// Returns why a claim cannot have a sandbox of this template, neither a member nor one of its own.
pub(crate) fn objection(claim: &Claim, template: &Template, domains: &[Text]) -> Option<Objection> {
    if claim.wishes.is_none() && template.flaw.is_none() {
        return None;
    }
    cold_sandbox(claim, template, domains).err()
}

/// Returns why no sandbox whatever can have the metadata that a claim asks for (CLM-030).
pub(crate) fn invalid_metadata(claim: &Claim, domains: &[Text]) -> Option<Objection> {
    let wanted = claim.wishes.as_ref().filter(|wishes| wishes.name_metadata())?;
    metadata::fault(&wanted.pod, domains).map(|fault| Objection::of_metadata(&fault))
}

fn join_metadata(pod: &mut PodMetadata, claim: &Claim) -> Result<(), Objection> {
    let Some(wishes) = &claim.wishes else { return Ok(()) };
    metadata::join(pod, &wishes.pod).map_err(|clash| Objection::other(&clash))
}

pub(crate) fn from_template(template: &Template, key: Key, owner: Owner) -> Sandbox {
    let blueprint = &template.blueprint;
    let mut meta = Meta::draft(key);
    meta.owner = Some(owner);
    // The Pod's name is the sandbox's, so the note about it can be there from the start and costs no write.
    let pod_name = meta.key.name.clone();
    put(
        &mut meta.annotations,
        &[(names::TEMPLATE_REF, template.meta.key.name.clone()), (names::POD_NAME, pod_name)],
    );
    Sandbox {
        meta,
        pod: blueprint.pod.clone(),
        pod_spec: blueprint.pod_spec.clone(),
        volume_claims: blueprint.volume_claims.clone(),
        service: blueprint.service,
        suspended: false,
        shutdown: None,
        status: SandboxStatus::default(),
    }
}

/// Returns the pod metadata that a claim's sandbox must have (ADP-035 to ADP-040, PMD-010): the template's, the system's
/// and the claim's, or its own without what belongs to the pool when the template is gone. What the claim cannot have is
/// left out, and comes back as an objection.
pub(crate) fn adopted_pod_metadata(
    claim: &Claim,
    sandbox: &Sandbox,
    template: Option<&Template>,
    domains: &[Text],
) -> (PodMetadata, Option<Objection>) {
    let mut pod = template.map_or_else(|| sandbox.pod.clone(), |template| template.blueprint.pod.clone());
    if template.is_none() && pod.annotations.get(names::SAFE_TO_EVICT).is_some_and(|value| &**value == "true")
    {
        pod.annotations.remove(names::SAFE_TO_EVICT);
    }
    let created_by = claim.meta.label(names::CREATED_BY);
    if created_by.is_none() {
        pod.labels.remove(names::CREATED_BY);
    }
    let hash = sandbox
        .meta
        .label(names::TEMPLATE_REF_HASH)
        .cloned()
        .or_else(|| template.map(|template| names::name_hash(&template.meta.key.name)));
    let uid = claim_uid(claim, sandbox.pod.labels.get(names::CLAIM_UID));
    let pairs = [
        (names::TEMPLATE_REF_HASH, hash),
        (names::CLAIM_UID, Some(uid)),
        (names::CREATED_BY, created_by.cloned()),
    ];
    pod.labels
        .extend(pairs.into_iter().filter_map(|(key, value)| Some((sandbox.pod.labels.key(key), value?))));
    let objection = invalid_metadata(claim, domains).or_else(|| join_metadata(&mut pod, claim).err());
    // What is there without a template may be what the claim asked for before.
    (pod, objection.filter(|objection| template.is_some() || objection.is_of_metadata()))
}

/// Returns a claim's uid as a label value; the one that is there, where it says that.
fn claim_uid(claim: &Claim, known: Option<&Text>) -> Text {
    let known = known.filter(|known| Uid::parse(known) == claim.meta.uid);
    known.cloned().unwrap_or_else(|| format!("{}", claim.meta.uid).into())
}

fn put(labels: &mut Labels, pairs: &[(&str, Text)]) {
    let is_new = |(key, value): &&(&str, Text)| labels.get(key) != Some(value);
    let new: Vec<_> =
        pairs.iter().filter(is_new).map(|(key, value)| (Text::from(*key), value.clone())).collect();
    labels.extend(new);
}

// ----- Pods -----

/// Returns a sandbox's new Pod (SBX-079).
pub(crate) fn pod(sandbox: &Sandbox) -> Pod {
    let mut meta = Meta::draft(sandbox.meta.key.clone());
    meta.owner = Some(Owner::new(Kind::Sandbox, &sandbox.meta));
    let drift = pod_drift(sandbox, &meta);
    [meta.labels, meta.annotations] =
        drift.map(|drift| drift.into_iter().filter_map(|(key, value)| Some((key, value?))).collect());
    let spec = Some(pod_spec(sandbox));
    Pod { meta, spec, phase: Phase::Pending, ready: false, scheduled: None, ips: Vec::new(), node: "".into() }
}

/// Returns what must change about a Pod's labels and annotations: what goes first, then by key.
pub(crate) fn pod_changes(sandbox: &Sandbox, pod: &Meta) -> Vec<Change> {
    let [labels, annotations] = pod_drift(sandbox, pod);
    let labels = labels.into_iter().map(|(key, value)| Change::Label(key, value));
    labels.chain(annotations.into_iter().map(|(key, value)| Change::Annotation(key, value))).collect()
}

/// Returns what must change about a Pod's labels, and about its annotations (SBX-074, META-020 to META-034). Keys that
/// others put there stay.
fn pod_drift(sandbox: &Sandbox, pod: &Meta) -> [Vec<(Text, Option<Text>)>; 2] {
    let mut labels = Drift { present: &pod.labels, all: Vec::new() };
    let mut annotations = Drift { present: &pod.annotations, all: Vec::new() };
    labels.propagate(&sandbox.pod.labels, pod.annotations.get(names::PROPAGATED_LABELS));
    annotations.propagate(&sandbox.pod.annotations, pod.annotations.get(names::PROPAGATED_ANNOTATIONS));
    let name = &*sandbox.meta.key.name;
    if pod.labels.get(names::SANDBOX_NAME_HASH).is_none_or(|hash| !names::is_name_hash(hash, name)) {
        labels.set(names::SANDBOX_NAME_HASH, Some(&names::name_hash(name)));
    }
    for (key, value) in system_labels(sandbox) {
        labels.set(key, value.as_deref());
    }
    annotations.record(names::PROPAGATED_LABELS, &sandbox.pod.labels);
    annotations.record(names::PROPAGATED_ANNOTATIONS, &sandbox.pod.annotations);
    [labels, annotations].map(|mut drift| {
        drift.all.sort_by(|(a, old), (b, new)| (old.is_some(), a).cmp(&(new.is_some(), b)));
        drift.all
    })
}

/// What must change about labels or annotations.
struct Drift<'a> {
    present: &'a Labels,
    all: Vec<(Text, Option<Text>)>,
}

impl Drift<'_> {
    /// Sets or removes a key, whatever was said of it before.
    fn set(&mut self, key: &str, value: Option<&Text>) {
        self.all.retain(|(known, _)| &**known != key);
        if self.present.get(key) != value {
            self.all.push((key.into(), value.cloned()));
        }
    }

    /// Sets what the template wants, and removes what it once set and wants no more.
    fn propagate(&mut self, wanted: &Labels, recorded: Option<&Text>) {
        // What is recorded is what is wanted, nearly always.
        let former = recorded.filter(|recorded| !names_just(recorded, propagated(wanted)));
        for key in former.into_iter().flat_map(|former| former.split(',')) {
            let is_own = key == names::PROPAGATED_LABELS
                || key == names::PROPAGATED_ANNOTATIONS
                || key == names::SANDBOX_NAME_HASH;
            let is_kept = wanted.contains_key(key) && !names::is_reserved(key);
            if !is_own && !is_kept {
                self.set(key, None);
            }
        }
        for (key, value) in propagated(wanted) {
            self.set(key, Some(value));
        }
    }

    /// Records what the template wants. Absent equals empty, but what was once recorded stays, empty.
    fn record(&mut self, key: &str, wanted: &Labels) {
        let recorded = self.present.get(key).map_or("", |record| record);
        if !names_just(recorded, propagated(wanted)) {
            let record: Vec<&str> = propagated(wanted).map(|(key, _)| &**key).collect();
            self.set(key, Some(&record.join(",").into()));
        }
    }
}

/// Returns what travels from a pod template to the Pod.
fn propagated(wanted: &Labels) -> impl Iterator<Item = (&Text, &Text)> {
    wanted.iter().filter(|(key, _)| !names::is_reserved(key))
}

/// Returns whether a record names the keys of these pairs, in their order, and no other.
fn names_just<'a>(record: &str, mut pairs: impl Iterator<Item = (&'a Text, &'a Text)>) -> bool {
    let Some((first, _)) = pairs.next() else { return record.is_empty() };
    let rest = pairs.try_fold(record.strip_prefix(&**first), |rest, (key, _)| {
        Some(rest?.strip_prefix(',')?.strip_prefix(&**key))
    });
    rest.flatten() == Some("")
}

/// Labels that a Pod takes from its sandbox while the owner is the right one; `None` removes them.
fn system_labels(sandbox: &Sandbox) -> [(&'static str, Option<Cow<'_, Text>>); 3] {
    let owner = sandbox.meta.owner.as_ref().map(|owner| &owner.kind);
    let of_pool = matches!(owner, Some(OwnerKind::Known(Kind::Pool)));
    let of_extensions = matches!(owner, Some(OwnerKind::Known(kind)) if kind.is_extension());
    let label = |key, wanted: bool| sandbox.meta.label(key).filter(|_| wanted).map(Cow::Borrowed);
    let created_by = sandbox.meta.label(names::CREATED_BY).map(|value| match &**value {
        "go-client" | "python-client" | "controller" => Cow::Borrowed(value),
        _ => Cow::Owned("unknown".into()),
    });
    [
        (names::WARM_POOL, label(names::WARM_POOL, of_pool)),
        (names::TEMPLATE_REF_HASH, label(names::TEMPLATE_REF_HASH, of_extensions)),
        (names::CREATED_BY, created_by),
    ]
}

// ----- Conditions -----

/// Status, reason and message of a condition.
pub(crate) type Told<'a> = (Truth, Cow<'a, str>, Cow<'a, str>);

/// Returns whether a condition already says this, of this generation.
pub(crate) fn says(list: &[Condition], kind: &str, told: &Told<'_>, observed: i64) -> bool {
    list.iter().find(|condition| &*condition.kind == kind).is_some_and(|known| {
        (known.status, &*known.reason, &*known.message, known.observed)
            == (told.0, &*told.1, &*told.2, observed)
    })
}

/// Sets a condition; the transition time moves only when the status does (SCND-002, CND-003).
pub(crate) fn set_condition(list: &mut Vec<Condition>, kind: &str, told: Told<'_>, observed: i64, now: Wall) {
    if says(list, kind, &told, observed) {
        return;
    }
    let (status, reason, message) = told;
    let (reason, message) = (reason.into(), message.into());
    match list.iter_mut().find(|condition| &*condition.kind == kind) {
        Some(condition) => {
            let changed = if condition.status == status { condition.changed } else { now.whole_seconds() };
            *condition =
                Condition { kind: condition.kind.clone(), status, reason, message, observed, changed };
        }
        None => {
            let changed = now.whole_seconds();
            list.push(Condition { kind: kind.into(), status, reason, message, observed, changed });
        }
    }
}
