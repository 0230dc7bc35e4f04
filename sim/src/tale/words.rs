//! The words of short stories.

use std::fmt::Write as _;

use agent_sandbox_core::action::Intent;
use agent_sandbox_core::id::Kind;
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Object, ShutdownPolicy, Update};
use agent_sandbox_core::wishes::Policy;

use crate::api_server::Commit;
use crate::step::PodStep;

/// Names a kind as people do.
pub(super) const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Claim => "claim",
        Kind::Pool => "pool",
        Kind::Template => "template",
        Kind::Sandbox => "sandbox",
        Kind::Pod => "Pod",
        Kind::Service => "Service",
        Kind::VolumeClaim => "volume claim",
        Kind::NetworkPolicy => "network policy",
    }
}

/// Says what a controller does to the object of a name.
pub(crate) fn of_intent(intent: Intent, name: &str) -> String {
    match intent {
        Intent::RecordAssignment => format!("records on claim {name} which member it gets"),
        Intent::RecordColdStart => format!("records on claim {name} that it gets a new sandbox"),
        Intent::ClearAssignment => format!("clears the record of claim {name}"),
        Intent::AdoptSandbox => format!("hands sandbox {name} over to its claim"),
        Intent::CreateClaimSandbox => format!("creates sandbox {name} for its claim"),
        Intent::LabelSandbox => format!("labels sandbox {name}"),
        Intent::SetClaimStatus => format!("sets the status of claim {name}"),
        Intent::MarkExpired => format!("marks claim {name} as expired"),
        Intent::DeleteClaim => format!("deletes claim {name}"),
        Intent::DeleteClaimSandbox => format!("deletes sandbox {name} of a claim"),
        Intent::StampFirstReady => format!("notes on claim {name} when it was ready first"),
        Intent::CreateMember => format!("creates member {name}"),
        Intent::DeleteMember => format!("deletes member {name}"),
        Intent::SetPoolStatus => format!("sets the status of pool {name}"),
        Intent::CreatePod => format!("creates Pod {name}"),
        Intent::AdoptPod => format!("makes Pod {name} its sandbox's own"),
        Intent::DeletePod => format!("deletes Pod {name}"),
        Intent::LabelPod => format!("labels Pod {name}"),
        Intent::NamePod => format!("notes on sandbox {name} which Pod it has"),
        Intent::SetSandboxStatus => format!("sets the status of sandbox {name}"),
        Intent::DeleteSandbox => format!("deletes sandbox {name}"),
        Intent::CreateService => format!("creates Service {name}"),
        Intent::SetService => format!("changes Service {name}"),
        Intent::DeleteService => format!("deletes Service {name}"),
        Intent::CreateVolumeClaim => format!("creates volume claim {name}"),
        Intent::AdoptVolumeClaim => format!("makes volume claim {name} its sandbox's own"),
        Intent::LabelTemplate => format!("labels template {name}"),
        Intent::CreateNetworkPolicy => format!("creates network policy {name}"),
        Intent::SetNetworkPolicy => format!("changes network policy {name}"),
        Intent::DeleteNetworkPolicy => format!("deletes network policy {name}"),
        Intent::Look => format!("asks the server for {name}"),
        Intent::Notify => format!("writes an Event about {name}"),
    }
}

/// Says what a change is.
pub(super) fn of_change(commit: &Commit) -> String {
    let object = commit.object();
    let (kind, name) = (kind(object.kind()), &object.key().name);
    match (&commit.old, &commit.new) {
        (None, Some(Object::Pool(pool))) => {
            format!("creates {kind} {name} of {}{}", pool.replicas, wishes(object))
        }
        (None, Some(_)) => format!("creates {kind} {name}{}", wishes(object)),
        (Some(old), Some(new)) if new.meta().terminating && !old.meta().terminating => {
            format!("begins to delete {kind} {name} (change {})", commit.version.0)
        }
        (Some(_), Some(_)) => {
            let details = details(commit);
            let what = if details.is_empty() { format!(": {}", edited(commit)) } else { details };
            format!("changes {kind} {name} (change {}{what})", commit.version.0)
        }
        (_, None) => format!("deletes {kind} {name} (change {})", commit.version.0),
    }
}

/// Says what is special about a new object.
fn wishes(object: &Object) -> String {
    match object {
        Object::Claim(claim) => {
            let mut text = String::new();
            if let Some(record) = claim.meta.annotation(names::SANDBOX_NAME) {
                _ = write!(text, " with a record of {record}");
            }
            if let Some(wishes) = &claim.wishes {
                if !wishes.env.is_empty() {
                    text += " with variables of its own";
                }
                if wishes.volume_claims.is_some() {
                    text += " with volumes of its own";
                }
                if let Some(lifecycle) = &wishes.lifecycle {
                    text += if lifecycle.ttl.is_some() {
                        " that ends after its sandbox"
                    } else {
                        " that ends at a time"
                    };
                }
                if !wishes.pod.labels.is_empty() || !wishes.pod.annotations.is_empty() {
                    text += " with labels for its Pod";
                }
            }
            text
        }
        Object::Sandbox(sandbox) => {
            let mut text =
                sandbox.meta.owner.as_ref().map_or(String::new(), |owner| format!(" of {}", owner.name));
            if sandbox.suspended {
                text += " that is to be suspended";
            }
            if let Some(shutdown) = &sandbox.shutdown {
                text += match shutdown.policy {
                    ShutdownPolicy::Retain => " that ends at a time and stays",
                    ShutdownPolicy::Delete => " that ends at a time and goes",
                };
            }
            text
        }
        Object::Template(template) => {
            let mut text = String::new();
            if template.flaw.is_some() {
                text += " with volumes that nobody can have";
            }
            let has = |policy: Policy| policy != Policy::default();
            text += match (has(template.env_policy), has(template.volume_claims_policy)) {
                (false, false) => "",
                (true, false) => " that lets claims have variables",
                (false, true) => " that lets claims have volumes",
                (true, true) => " that lets claims have variables and volumes",
            };
            text
        }
        Object::Pool(pool) if pool.update == Update::Recreate => " that replaces its members".to_owned(),
        Object::Pod(_) | Object::Service(_) | Object::VolumeClaim(_) | Object::NetworkPolicy(_) => {
            object.meta().owner.as_ref().map_or(String::new(), |owner| format!(" of {}", owner.name))
        }
        Object::Pool(_) => String::new(),
    }
}

/// Says what a change changed, as far as it matters.
pub(super) fn details(commit: &Commit) -> String {
    let mut text = String::new();
    let Some(new) = &commit.new else {
        return ": it is gone".to_owned();
    };
    let mut tell = |name: &str, old: Option<String>, new: Option<String>| {
        if old != new {
            let new = new.unwrap_or_else(|| "none".to_owned());
            _ = write!(text, "{} {name} {new}", if text.is_empty() { ":" } else { "," });
        }
    };
    let old = commit.old.as_ref();
    let owner = |object: &Object| object.meta().owner.as_ref().map(|owner| owner.name.to_string());
    tell("owner", old.and_then(owner), owner(new));
    let record = |object: &Object| object.meta().annotation(names::SANDBOX_NAME).map(ToString::to_string);
    if new.kind() == Kind::Claim {
        tell("record", old.and_then(record), record(new));
    }
    let bound = |object: &Object| {
        let Object::Claim(claim) = object else { return None };
        claim.status.sandbox.as_ref().map(|bound| bound.name.to_string())
    };
    tell("sandbox", old.and_then(bound), bound(new));
    let address = |object: &Object| {
        let Object::Claim(claim) = object else { return None };
        let bound = claim.status.sandbox.as_ref().filter(|bound| !bound.pod_ips.is_empty())?;
        Some(bound.pod_ips.join(", "))
    };
    tell("address", old.and_then(address), address(new));
    let replicas = |object: &Object| {
        let Object::Pool(pool) = object else { return None };
        Some(pool.replicas.to_string())
    };
    if old.is_some() {
        tell("replicas", old.and_then(replicas), replicas(new));
    }
    let ready = |object: &Object| {
        let conditions = if let Object::Claim(claim) = object {
            &claim.status.conditions
        } else if let Object::Sandbox(sandbox) = object {
            &sandbox.status.conditions
        } else {
            return None;
        };
        let ready = conditions.iter().find(|condition| &*condition.kind == "Ready")?;
        Some(ready.status.as_str().to_owned())
    };
    tell("Ready", old.and_then(ready), ready(new));
    if old.is_some_and(|old| !old.meta().terminating) && new.meta().terminating {
        text += if text.is_empty() { ": it is being deleted" } else { ", it is being deleted" };
    }
    text
}

/// Says what a user has edited that is nobody's record and nobody's status.
fn edited(commit: &Commit) -> &'static str {
    let (Some(old), Some(new)) = (&commit.old, &commit.new) else { return "all of it" };
    match (old, new) {
        (Object::Sandbox(old), Object::Sandbox(new)) if old.suspended != new.suspended => {
            return if new.suspended { "it is to be suspended" } else { "it is to run again" };
        }
        (Object::Sandbox(old), Object::Sandbox(new)) if old.shutdown != new.shutdown => return "when it ends",
        (Object::Pool(old), Object::Pool(new)) if old.template != new.template => return "another template",
        (Object::Pool(old), Object::Pool(new)) if old.update != new.update => return "another way to update",
        (Object::Template(old), Object::Template(new)) if old.blueprint != new.blueprint => {
            return "what its sandboxes get";
        }
        (Object::Template(old), Object::Template(new)) if old.network != new.network => {
            return "whom its sandboxes may talk to";
        }
        (Object::Template(old), Object::Template(new)) if old.env_policy != new.env_policy => {
            return "which variables claims may have";
        }
        (Object::Template(old), Object::Template(new))
            if old.volume_claims_policy != new.volume_claims_policy =>
        {
            return "which volumes claims may have";
        }
        (Object::Claim(old), Object::Claim(new)) if old.pool != new.pool => return "another pool",
        _ => {}
    }
    let (old, new) = (old.meta(), new.meta());
    if old.generation != new.generation {
        "its spec"
    } else if old.labels != new.labels {
        "its labels"
    } else if old.annotations != new.annotations {
        "its annotations"
    } else {
        "its status or metadata"
    }
}

/// Says what happens to a Pod.
pub(super) const fn of_pod(what: PodStep) -> &'static str {
    match what {
        PodStep::Schedule => "gets a node",
        PodStep::FindNoRoom => "finds no node that has room",
        PodStep::Run => "runs, without an address",
        PodStep::AnswerEarly => "gets ready, without an address",
        PodStep::GetReady | PodStep::Start => "gets ready",
        PodStep::LoseReady => "is not ready any more",
        PodStep::Fail => "fails",
        PodStep::Succeed => "ends well",
        PodStep::FinishDelete => "has stopped",
        PodStep::Evict => "is evicted",
        PodStep::Vanish => "is removed by force",
        PodStep::Move => "gets another address",
    }
}
