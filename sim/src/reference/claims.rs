//! What each claim has in the end.

use std::collections::BTreeMap;

use agent_sandbox_core::id::{Kind, Text};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{
    Claim, Condition, Labels, Object, Phase, Pod, Pool, Sandbox, Template, Truth, Update,
};
use agent_sandbox_core::wishes::{ClaimShutdownPolicy, Policy, Wishes};

use super::parts::{container_of, names_of};
use crate::scene;
use crate::store::Store;

/// What a claim must have come to.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// Its time is over, and it is not there any more.
    Gone,
    /// Its time is over, and it says so; it has no sandbox.
    Expired,
    /// It has this sandbox, and says where its Pod is and whether it can be used.
    Has(&'a Sandbox),
    /// It can have none, for this reason.
    Refused(&'static str),
    /// It should have got a sandbox, and has not.
    Owed,
}

/// Returns what is wrong with the first claim that is not what it must be.
pub fn difference(store: &Store) -> Option<String> {
    let claims = store.list(Kind::Claim).iter().filter_map(Object::as_claim);
    let mut wrong = claims.filter_map(|claim| of_claim(claim, store).map(|what| (claim, what)));
    wrong.next().map(|(claim, what)| format!("claim {} {what}", claim.meta.key.name))
}

/// Returns what a claim must have come to.
pub fn outcome<'a>(claim: &Claim, store: &'a Store) -> Outcome<'a> {
    let mut owned = store.owned_by(Kind::Sandbox, claim.meta.uid).filter_map(Object::as_sandbox);
    let owned = owned.next();
    if has_expired(claim, owned, store) {
        let policy = claim.wishes.as_ref().and_then(|wishes| wishes.lifecycle.as_ref()).map(|it| it.policy);
        return if policy == Some(ClaimShutdownPolicy::Retain) { Outcome::Expired } else { Outcome::Gone };
    }
    if let Some(sandbox) = owned {
        return Outcome::Has(sandbox);
    }
    let refusal = match refusal(claim, store) {
        // What is wrong before it comes to a name.
        Some(why @ ("InvalidMetadata" | "WarmPoolNotFound" | "TemplateNotFound")) => Some(why),
        _ if is_name_taken(claim, store) => Some("ReconcilerError"),
        why => why,
    };
    refusal.map_or(Outcome::Owed, Outcome::Refused)
}

/// Returns whether a claim that is to have a sandbox of its own cannot, because another has the name.
fn is_name_taken(claim: &Claim, store: &Store) -> bool {
    let is_own = claim.meta.annotation(names::SANDBOX_NAME) == Some(&claim.meta.key.name);
    is_own && store.get(Kind::Sandbox, &claim.meta.key).is_some()
}

fn of_claim(claim: &Claim, store: &Store) -> Option<String> {
    let ready = claim.status.condition(names::READY);
    let told = ready.map(|ready| &*ready.reason);
    let got = claim.status.sandbox.as_ref().map(|bound| &*bound.name);
    let (says, has) = (told.unwrap_or("nothing"), got.unwrap_or("no sandbox"));
    if let Some(stale) = ready.filter(|ready| ready.observed != claim.meta.generation) {
        let (is, said) = (claim.meta.generation, stale.observed);
        return Some(format!("is of generation {is}, and its Ready is still about generation {said}"));
    }
    match outcome(claim, store) {
        Outcome::Gone => Some("is there although it has expired".to_owned()),
        Outcome::Expired => {
            let is_left = store.owned_by(Kind::Sandbox, claim.meta.uid).next().is_some();
            let is_right = told == Some(names::CLAIM_EXPIRED) && got.is_none() && !is_left;
            (!is_right)
                .then(|| format!("has expired, has {has} and says {says}"))
                .or_else(|| promised(claim).map(|name| format!("has expired, and still records {name}")))
        }
        Outcome::Refused(reason) => {
            let is_right = told == Some(reason) && got.is_none();
            (!is_right)
                .then(|| format!("cannot be served, has {has} and says {says} instead of {reason}"))
                .or_else(|| unclear(claim, reason, store))
        }
        Outcome::Owed => Some(format!("is not Ready; it names {has} and its status says {says}")),
        Outcome::Has(sandbox) => of_bound(claim, sandbox, store),
    }
}

/// Returns the member that a claim has recorded. Its own name stands for a sandbox of its own.
fn promised(claim: &Claim) -> Option<&Text> {
    claim.meta.annotation(names::SANDBOX_NAME).filter(|name| **name != claim.meta.key.name)
}

/// Returns whether the time of a claim is over. Every time that was set has passed; one that counts from the end of the
/// sandbox has begun if that has ended, or if the claim still says that it had.
fn has_expired(claim: &Claim, owned: Option<&Sandbox>, store: &Store) -> bool {
    let Some(lifecycle) = claim.wishes.as_ref().and_then(|wishes| wishes.lifecycle.as_ref()) else {
        return false;
    };
    let ended = owned.and_then(|sandbox| pod_of(sandbox, store)).is_some_and(|pod| pod.phase.is_terminal());
    let had_ended = owned.is_none() && claim.status.condition(names::FINISHED).is_some();
    lifecycle.shutdown.is_some() || lifecycle.ttl.is_some() && (ended || had_ended)
}

/// A claim that has a sandbox names it, says where its Pod is, whether it is ready, and how it ended.
pub(crate) fn of_bound(claim: &Claim, sandbox: &Sandbox, store: &Store) -> Option<String> {
    let name = &sandbox.meta.key.name;
    let Some(bound) = claim.status.sandbox.as_ref().filter(|bound| bound.name == *name) else {
        return Some(format!("does not name sandbox {name}, which it owns"));
    };
    let recorded = claim.meta.annotation(names::SANDBOX_NAME);
    if let Some(recorded) = recorded.filter(|recorded| *recorded != name) {
        return Some(format!("has sandbox {name} and records {recorded}"));
    }
    let is_taken = sandbox.meta.annotation(scene::TAKEN).is_some();
    if sandbox.meta.label(names::WARM_POOL).is_some() && !is_taken {
        return Some(format!("has {name}, which a pool's selector matches"));
    }
    if let Some(lie) = wrong_mark(claim, sandbox).filter(|_| !is_taken) {
        return Some(format!("has {name}, {lie}"));
    }
    if let Some(lie) = wrong_origin(sandbox, store).filter(|_| !is_taken) {
        return Some(format!("has {name}, {lie}"));
    }
    let wishes =
        claim.wishes.as_ref().is_some_and(|it| it.pod.annotations.get(names::SAFE_TO_EVICT).is_some());
    if !wishes && sandbox.pod.annotations.get(names::SAFE_TO_EVICT).is_some_and(|it| **it == *"true") {
        return Some(format!("has {name}, whose Pod an autoscaler may still move"));
    }
    let uid = claim.meta.uid.to_string();
    let is_told = sandbox.pod.labels.get(names::CLAIM_UID).is_some_and(|told| **told == *uid);
    // Without the template that it was made from, what is there stays (PMD-010).
    if !is_told && has_template(claim, sandbox, store) {
        return Some(format!("has {name}, whose Pods are not told who has them"));
    }
    let Some(pod) = pod_of(sandbox, store) else { return Some(format!("has {name}, which has no Pod")) };
    if bound.pod_ips != pod.ips {
        let [told, right] = [&bound.pod_ips, &pod.ips].map(|ips| ips.join(", "));
        return Some(format!("is told that {name} is at [{told}]; it is at [{right}]"));
    }
    if let Some(reason) = objection(claim, sandbox, store) {
        let said = claim.status.condition(names::READY).map_or("nothing", |ready| &*ready.reason);
        return (said != reason)
            .then(|| format!("says {said} instead of {reason}: its Pod cannot have its metadata"));
    }
    if let Some(other) = other_metadata(claim, sandbox, store) {
        return Some(format!("has {name}, {other}"));
    }
    if let Some(other) = other_words(claim, sandbox) {
        return Some(other);
    }
    if claim.status.is_ready() != pod.ready {
        let said = claim.status.condition(names::READY).map_or("nothing", |ready| &*ready.reason);
        return Some(format!("says {said}, and its Pod is {}ready", if pod.ready { "" } else { "not " }));
    }
    let finished = match pod.phase {
        Phase::Succeeded => Some("PodSucceeded"),
        Phase::Failed => Some("PodFailed"),
        Phase::Pending | Phase::Running | Phase::Unknown => None,
    };
    let said = claim.status.condition(names::FINISHED).map(|condition| &*condition.reason);
    (said != finished).then(|| format!("says that its Pod has finished {said:?}; it has {finished:?}"))
}

/// PMD-010: the Pods of a claim's sandbox have what its own template says and what the claim asks for, and nothing else but the
/// controllers' own, whichever template the pool has by then.
fn other_metadata(claim: &Claim, sandbox: &Sandbox, store: &Store) -> Option<String> {
    let template = template_of_sandbox(claim, sandbox, store)?;
    let own = |labels: &Labels| -> BTreeMap<Text, Text> {
        let own = labels.iter().filter(|(key, _)| !names::is_reserved(key));
        own.map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    let wishes = claim.wishes.as_ref().map(|wishes| wishes.pod.clone()).unwrap_or_default();
    let (given, has) = (&template.blueprint.pod, &sandbox.pod);
    let sides = [
        ("labels", &given.labels, &wishes.labels, &has.labels),
        ("annotations", &given.annotations, &wishes.annotations, &has.annotations),
    ];
    sides.into_iter().find_map(|(what, given, wished, has)| {
        let (mut wanted, has) = (own(wished), own(has));
        wanted.extend(own(given));
        (has != wanted).then(|| format!("whose Pods are to have {what} {wanted:?}; it says {has:?}"))
    })
}

/// CND-005 and CND-023: what a claim says of its sandbox it says in the sandbox's words. How its work has finished is of a
/// generation of the sandbox.
fn other_words(claim: &Claim, sandbox: &Sandbox) -> Option<String> {
    let word = |condition: &Condition| {
        let Condition { kind, status, reason, message, .. } = condition;
        let observed = if **kind == *names::FINISHED { condition.observed } else { 0 };
        (*status, reason.clone(), message.clone(), observed)
    };
    let both = |kind| (claim.status.condition(kind), sandbox.status.condition(kind));
    let pairs = [names::READY, names::FINISHED].map(both);
    let is_other = |(says, hears): &(Option<&Condition>, Option<&Condition>)| {
        hears.is_some() && says.map(word) != hears.map(word)
    };
    // What has ended by itself is told in words for claims.
    let (says, hears) = pairs.into_iter().find(is_other).filter(|_| !sandbox.status.is_expired())?;
    let told = |it: &Condition| {
        let Condition { status, reason, message, observed, .. } = it;
        format!("{} {reason} {message:?} of generation {observed}", status.as_str())
    };
    let [says, hears] = [says, hears].map(|it| it.map_or_else(|| "nothing".to_owned(), told));
    Some(format!("says {says}, and its sandbox says {hears}"))
}

/// Returns the reason that a claim with a sandbox must give, if it asks for metadata that its Pod cannot have.
pub(crate) fn objection(claim: &Claim, sandbox: &Sandbox, store: &Store) -> Option<&'static str> {
    let wishes = claim.wishes.as_deref()?;
    if is_forbidden(wishes) {
        return Some("InvalidMetadata");
    }
    let template = template_of_sandbox(claim, sandbox, store)?;
    clashes(wishes, template).then_some("ReconcilerError")
}

/// Returns which label of a claim's sandbox does not say how it came to be, and for whom (KEY-005, KEY-006).
fn wrong_mark(claim: &Claim, sandbox: &Sandbox) -> Option<String> {
    let launch = if sandbox.meta.key.name == claim.meta.key.name { "cold" } else { "warm" };
    let wanted = [
        (names::LAUNCH_TYPE, Some(launch)),
        (names::CREATED_BY, claim.meta.label(names::CREATED_BY).map(|client| &**client)),
    ];
    wanted.into_iter().find_map(|(key, wanted)| {
        let has = sandbox.meta.label(key).map(|value| &**value);
        (has != wanted).then(|| format!("whose label {key} is {has:?} instead of {wanted:?}"))
    })
}

/// Returns whether a claim's sandbox bears the label of another template than the one that it was made from, whichever its pool
/// has by then: it is in that one's network (RES-016, DEF-019).
fn wrong_origin(sandbox: &Sandbox, store: &Store) -> Option<String> {
    let name = sandbox.meta.annotation(names::TEMPLATE_REF)?;
    store.get(Kind::Template, &sandbox.meta.key.sibling(name.clone()))?;
    let has = sandbox.meta.label(names::TEMPLATE_REF_HASH);
    (has != Some(&names::name_hash(name)))
        .then(|| format!("which was made from template {name} and bears {has:?} as that one's label"))
}

/// Returns whether a message is one that goes with a reason why a claim is not ready (CND-014 to CND-021): people act by it.
pub(crate) fn is_clear(reason: &str, message: &str) -> bool {
    let says = |start: &str| message.strip_prefix(start).is_some_and(|rest| !rest.is_empty());
    match reason {
        "InvalidMetadata" => says("invalid additionalPodMetadata: "),
        "EnvVarsInjectionRejected" => says("environment variable injection rejected: "),
        "VolumeClaimTemplatesError" => message.contains("volume claim templates"),
        "ReconcilerError" => says("Error seen: "),
        "SandboxMissing" => message == "Sandbox does not exist",
        names::CLAIM_EXPIRED => {
            message == "Claim expired. Sandbox cleanup initiated."
                || message.starts_with("Claim expired. ") && message.ends_with("; deletion skipped.")
        }
        _ => true,
    }
}

/// Returns what is wrong with the message that goes with the name of something that does not exist (CND-018).
fn unclear(claim: &Claim, reason: &str, store: &Store) -> Option<String> {
    let pool = store.get(Kind::Pool, &claim.meta.key.sibling(claim.pool.clone())).and_then(Object::as_pool);
    let wanted = match (reason, pool) {
        ("WarmPoolNotFound", _) => format!("SandboxWarmPool {:?} not found", &*claim.pool),
        ("TemplateNotFound", Some(pool)) => format!("SandboxTemplate {:?} not found", &*pool.template),
        _ => return None,
    };
    let told = claim.status.condition(names::READY).map_or("", |ready| &*ready.message);
    (told != wanted).then(|| format!("says {told:?} instead of {wanted:?}"))
}

/// Returns whether the template that a claim's sandbox was made from is there.
pub(crate) fn has_template(claim: &Claim, sandbox: &Sandbox, store: &Store) -> bool {
    template_of_sandbox(claim, sandbox, store).is_some()
}

/// Returns the template that a claim's sandbox was made from: the one that it names, whatever somebody has made of its labels;
/// else the one whose label it bears, and its pool's where it bears none.
pub(crate) fn template_of_sandbox<'a>(
    claim: &Claim,
    sandbox: &Sandbox,
    store: &'a Store,
) -> Option<&'a Template> {
    if let Some(name) = sandbox.meta.annotation(names::TEMPLATE_REF) {
        let object = store.get(Kind::Template, &sandbox.meta.key.sibling(name.clone()))?;
        return if let Object::Template(template) = object { Some(template) } else { None };
    }
    let Some(hash) = sandbox.meta.label(names::TEMPLATE_REF_HASH) else {
        let pool = store.get(Kind::Pool, &claim.meta.key.sibling(claim.pool.clone()))?.as_pool()?;
        return template_of(pool, store);
    };
    store.list(Kind::Template).iter().find_map(|object| {
        let Object::Template(template) = object else { return None };
        let key = &template.meta.key;
        let is_it = key.namespace == claim.meta.key.namespace && names::name_hash(&key.name) == *hash;
        is_it.then_some(&**template)
    })
}

fn pod_of<'a>(sandbox: &Sandbox, store: &'a Store) -> Option<&'a Pod> {
    store.owned_by(Kind::Pod, sandbox.meta.uid).find_map(Object::as_pod)
}

/// Returns the reason that a claim must give, if it asks for what it cannot have: the first in this order.
pub fn refusal(claim: &Claim, store: &Store) -> Option<&'static str> {
    let wishes = claim.wishes.as_deref();
    if wishes.is_some_and(is_forbidden) {
        return Some("InvalidMetadata");
    }
    let pool = store.get(Kind::Pool, &claim.meta.key.sibling(claim.pool.clone())).and_then(Object::as_pool);
    let Some(pool) = pool else { return Some("WarmPoolNotFound") };
    let Some(template) = template_of(pool, store) else {
        return (!has_for(claim, pool, store)).then_some("TemplateNotFound");
    };
    wishes.and_then(|wishes| refusal_by_template(wishes, template))
}

/// Returns whether a pool whose template is gone has a member for a claim all the same, which asks for nothing more and is
/// not to have one of its own. Where members follow their template, nobody can tell whether they are of the right make.
fn has_for(claim: &Claim, pool: &Pool, store: &Store) -> bool {
    let is_open = claim.wishes.is_none() && claim.meta.annotation(names::SANDBOX_NAME).is_none();
    let is_easy = is_open && pool.update == Update::OnReplenish && !pool.meta.terminating;
    let mut members = store.owned_by(Kind::Sandbox, pool.meta.uid).filter_map(Object::as_sandbox);
    is_easy && members.any(|member| is_ready(member) && is_free(member, store))
}

fn is_ready(member: &Sandbox) -> bool {
    let ready = member.status.condition(names::READY).filter(|_| !member.meta.terminating);
    !member.suspended && ready.is_some_and(|ready| ready.status == Truth::True)
}

/// Returns whether no claim records or shows a member.
fn is_free(member: &Sandbox, store: &Store) -> bool {
    let key = &member.meta.key;
    let mut claims = store.list(Kind::Claim).iter().filter_map(Object::as_claim);
    !claims.any(|claim| {
        let shown = claim.status.sandbox.as_ref().map(|bound| &bound.name);
        let noted =
            [claim.meta.annotation(names::SANDBOX_NAME), claim.meta.label(names::LEGACY_SANDBOX_NAME)];
        claim.meta.key.namespace == key.namespace
            && noted.into_iter().chain([shown]).flatten().any(|name| *name == key.name)
    })
}

/// Labels need a domain of the users', and no annotation may be one of the system's (PMD-003, PMD-004).
fn is_forbidden(wishes: &Wishes) -> bool {
    let domain = |key: &str| format!(".{}", key.split_once('/').map_or("", |(domain, _)| domain));
    let is_of_users = |key: &str| domain(key).ends_with(".sandbox.users.io");
    let is_of_system = |key: &str| {
        let domain = domain(key);
        [".kubernetes.io", ".k8s.io", ".agents.x-k8s.io"].iter().any(|system| domain.ends_with(system))
    };
    // Who has a sandbox may say whether an autoscaler may move it.
    let mut notes = wishes.pod.annotations.keys().filter(|key| ***key != *names::SAFE_TO_EVICT);
    let mut labels = wishes.pod.labels.iter();
    labels.any(|(key, value)| !is_of_users(key) || !is_key(key) || !is_value(value))
        || notes.any(|key| is_of_system(key) || !is_key(key))
}

/// Returns whether a label or an annotation can have a key, as far as its name goes.
fn is_key(key: &str) -> bool {
    let name = key.split_once('/').map_or(key, |(_, name)| name);
    !name.is_empty() && is_value(name)
}

/// Returns whether a label can have a value.
fn is_value(value: &str) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric();
    let ends = [value.as_bytes().first(), value.as_bytes().last()];
    value.len() <= 63
        && ends.into_iter().flatten().all(is_letter)
        && value.bytes().all(|byte| is_letter(&byte) || matches!(byte, b'-' | b'_' | b'.'))
}

pub(crate) fn template_of<'a>(pool: &Pool, store: &'a Store) -> Option<&'a Template> {
    match store.get(Kind::Template, &pool.meta.key.sibling(pool.template.clone()))? {
        Object::Template(template) => Some(template),
        Object::Claim(_)
        | Object::Pool(_)
        | Object::Sandbox(_)
        | Object::Pod(_)
        | Object::Service(_)
        | Object::VolumeClaim(_)
        | Object::NetworkPolicy(_) => None,
    }
}

/// Returns whether a claim wants labels or annotations that its template has otherwise.
fn clashes(wishes: &Wishes, template: &Template) -> bool {
    let (wanted, given) = (&wishes.pod, &template.blueprint.pod);
    let both = [(&wanted.labels, &given.labels), (&wanted.annotations, &given.annotations)];
    both.into_iter().any(|(wanted, given)| {
        wanted.iter().any(|(key, value)| given.get(key).is_some_and(|given| given != value))
    })
}

fn refusal_by_template(wishes: &Wishes, template: &Template) -> Option<&'static str> {
    let names = wishes.volume_claims.as_ref().map(names_of).unwrap_or_default();
    let replaces = || {
        let given = template.blueprint.volume_claims.as_ref().map(names_of).unwrap_or_default();
        names.iter().any(|name| given.contains(name))
    };
    let is_unclear =
        names.iter().enumerate().any(|(place, name)| name.is_empty() || names[..place].contains(name));
    let is_refused = is_unclear
        || match template.volume_claims_policy {
            Policy::Disallowed => wishes.volume_claims.is_some(),
            Policy::Allowed => replaces(),
            Policy::Overrides => false,
        };
    if is_refused {
        return Some("VolumeClaimTemplatesError");
    }
    if clashes(wishes, template) {
        return Some("ReconcilerError");
    }
    if !wishes.env.is_empty() && template.env_policy == Policy::Disallowed {
        return Some("EnvVarsInjectionRejected");
    }
    if wishes.env.is_empty() {
        return None;
    }
    let spec = template.blueprint.pod_spec.value();
    wishes.env.iter().enumerate().find_map(|(place, variable)| {
        let container = container_of(&spec, variable).and_then(|place| spec.pointer(&place));
        let Some(container) = container else { return Some("ReconcilerError") };
        // What a source defines cannot be seen, and might be replaced.
        if container["envFrom"].is_array() && template.env_policy == Policy::Allowed {
            return Some("EnvVarsInjectionRejected");
        }
        let mut given = container["env"].as_array().into_iter().flatten();
        let has = given.any(|it| it["name"] == *variable.name) || has_before(wishes, place);
        (has && template.env_policy != Policy::Overrides).then_some("ReconcilerError")
    })
}

/// Returns whether a claim has asked for a variable of this name before, in the same container.
fn has_before(wishes: &Wishes, place: usize) -> bool {
    let variable = &wishes.env[place];
    wishes.env[..place].iter().any(|it| (&it.name, &it.container) == (&variable.name, &variable.container))
}
