//! What few users ask for, and what makes a difference all the same.

use std::sync::Arc;
use std::time::Duration;

use agent_sandbox_core::id::{Key, Kind, Text};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Json, Object, Sandbox};
use agent_sandbox_core::time::{Mono, Wall};
use agent_sandbox_core::wishes::{ClaimShutdownPolicy, Lifecycle, Variable, Wishes};
use serde_json::Value;

use super::{Workload, wall};
use crate::choices::Choices;
use crate::faults::{Fault, Rates};
use crate::scene::{self, Act};
use crate::tape::Site;

/// A time that has passed for everybody when it is written down, as in a manifest that somebody has copied.
const LONG_AGO: Wall = Wall::from_micros(scene::epoch().micros() - 60_000_000);

/// What no pool can be called, and what would ask the server for something else.
const NO_NAME: &str = "pool/status?pretty";

impl Workload {
    /// Draws whether the user of a claim lets it refer to what is no name.
    pub(super) fn draw_odd_pool(
        &mut self,
        key: &Key,
        (number, at): (u32, Mono),
        rates: &Rates,
        choices: &mut Choices,
    ) {
        choices.about(|| Site::deed("odd-pool").number(number));
        if rates.has(Fault::ClaimMoved) && choices.chance(60) {
            let moved = at + choices.around(Duration::from_millis(200));
            self.add(moved, Act::Refer(key.clone(), NO_NAME.into()));
        }
    }

    /// Draws what is unusual about the end of a claim: it is over when it comes or just after that, or it ends by itself and
    /// some time after its sandbox, too.
    pub(super) fn draw_odd_end(
        &mut self,
        (key, wishes): (&Key, &mut Option<Wishes>),
        (number, at, end): (u32, Mono, Mono),
        rates: &Rates,
        choices: &mut Choices,
    ) {
        choices.about(|| Site::deed("both-ends").number(number));
        let ends = wishes.as_mut().and_then(|wishes| wishes.lifecycle.as_mut());
        if let Some(lifecycle) = ends.filter(|it| it.ttl.is_some() != it.shutdown.is_some())
            && rates.has(Fault::SessionEnded)
            && choices.chance(500)
        {
            let later = wall((at + choices.around(Duration::from_secs(30))).min(end));
            lifecycle.shutdown.get_or_insert(later);
            lifecycle.ttl.get_or_insert(Duration::from_secs(u64::from(choices.below(30))));
        }
        choices.about(|| Site::deed("past-end").number(number));
        if choices.chance(30) {
            let policy = *choices.pick(&[ClaimShutdownPolicy::Retain, ClaimShutdownPolicy::Delete]);
            let over = Lifecycle { shutdown: Some(LONG_AGO), ttl: None, policy };
            wishes.get_or_insert_default().lifecycle = Some(over);
        }
        choices.about(|| Site::deed("cut-short").number(number));
        let ends = wishes.as_ref().is_some_and(|wishes| wishes.lifecycle.is_some());
        if ends && choices.chance(150) {
            let ended = at + choices.around(Duration::from_millis(10));
            self.add(ended, Act::Extend(key.clone(), Some(LONG_AGO)));
        }
    }

    /// Draws whether somebody meddles with the Service that a sandbox asks for.
    pub(super) fn draw_spoiled_service(
        &mut self,
        sandbox: &Sandbox,
        (number, at, end): (u32, Mono, Mono),
        rates: &Rates,
        choices: &mut Choices,
    ) {
        choices.about(|| Site::deed("spoiled-Service").number(number));
        if sandbox.service == Some(true) && choices.chance(rates.of(Fault::PartEdited) * 3) {
            let spoiled = at + choices.around(Duration::from_secs(10));
            let what = choices.below(16);
            self.add(spoiled.min(end), Act::SpoilService(sandbox.meta.key.clone(), what));
        }
    }

    /// Draws whether the Pod that was prepared for a sandbox which is born suspended is deleted, and the sandbox resumed while that
    /// Pod is still stopping.
    pub(super) fn draw_late_resume(
        &mut self,
        (sandbox, pod): (&Key, Text),
        (number, at): (u32, Mono),
        choices: &mut Choices,
    ) {
        choices.about(|| Site::deed("late-resume").number(number));
        if !choices.chance(500) {
            return;
        }
        let gone = at + choices.around(Duration::from_secs(1));
        self.add(gone, Act::Delete(Kind::Pod, scene::key(pod)));
        let resumed = gone + choices.around(Duration::from_millis(100));
        self.add(resumed, Act::Suspend(sandbox.clone(), false));
    }

    /// Draws whether the user of a sandbox deletes it and makes it anew at once, while what it had is still there.
    pub(super) fn draw_renewal(
        &mut self,
        sandbox: &Sandbox,
        (number, at, end): (u32, Mono, Mono),
        choices: &mut Choices,
    ) {
        choices.about(|| Site::deed("renewal").number(number));
        if !choices.chance(150) {
            return;
        }
        let key = &sandbox.meta.key;
        let gone = (at + choices.around(Duration::from_secs(5))).min(end);
        self.add(gone, Act::Delete(Kind::Sandbox, key.clone()));
        let mut next = sandbox.clone();
        choices.about(|| Site::deed("renewed-otherwise").number(number));
        if choices.chance(300) {
            next.suspended = !next.suspended;
        }
        let again = (gone + choices.around(Duration::from_millis(100))).min(end);
        self.add(again, Act::Create(Object::Sandbox(next.into())));
    }

    /// Draws whether somebody gives a sandbox one more Pod, for a while or for good, and whether both are to stop then. Returns
    /// how many were added.
    pub(super) fn draw_more_pods(
        &mut self,
        sandbox: &Sandbox,
        (number, end): (u32, Mono),
        rates: &Rates,
        choices: &mut Choices,
    ) -> u32 {
        choices.about(|| Site::deed("more-Pods").number(number));
        if !choices.chance(rates.of(Fault::PodAdded) * 3) {
            return 0;
        }
        let key = &sandbox.meta.key;
        let (pod, added): (Text, _) = (format!("{}-more", key.name).into(), self.moment(choices, end));
        self.add(added, Act::AddPod(key.clone(), pod.clone()));
        if choices.chance(500) {
            let gone = added + choices.around(Duration::from_secs(3));
            self.add(gone.min(end), Act::Delete(Kind::Pod, scene::key(pod)));
        }
        choices.about(|| Site::deed("suspends-both").number(number));
        if rates.has(Fault::SandboxSuspended) && choices.chance(500) {
            let suspended = added + choices.around(Duration::from_secs(1));
            self.add(suspended.min(end), Act::Suspend(key.clone(), true));
        }
        1
    }
}

/// Draws the name of a sandbox that a user makes: few have one that no Service can have, because it has a dot or more letters
/// than those may have, or one with as many letters as just go.
pub(super) fn draw_name(number: u32, choices: &mut Choices) -> Text {
    choices.about(|| Site::deed("odd-name").number(number));
    if !choices.chance(120) {
        return format!("own-{number}").into();
    }
    if choices.chance(500) {
        return format!("own.{number}").into();
    }
    choices.about(|| Site::deed("long-name").number(number));
    format!("{:l<1$}", format!("own-{number}-"), [66, 63, 64][choices.below(3) as usize]).into()
}

/// Rules that a template may have for its network, as its users write them: the server stores some of them otherwise.
const RULES: [&str; 6] = [
    r#"{"egress":[{"ports":[{"port":443}]}]}"#,
    r#"{"ingress":[{"from":[{"podSelector":{}}],"ports":[{"port":80}]}]}"#,
    r#"{"ingress":[{}],"egress":[{}]}"#,
    r#"{"ingress":[{"from":[],"ports":[{"port":53,"protocol":"UDP"},{"port":80}]}],"egress":[]}"#,
    r#"{"egress":[{"to":[{"podSelector":{"matchLabels":{}}}]},{"ports":[{"port":53,"protocol":"UDP"}]}]}"#,
    "{}",
];

/// Draws the rules of a template that has its own.
pub(super) fn draw_rules(number: u32, choices: &mut Choices) -> String {
    choices.about(|| Site::deed("policy-rules").number(number));
    format!(r#""networkPolicy":{},"#, choices.pick(&RULES))
}

/// Draws whether a template says itself how its Pods find names, beside what it notes on them.
pub(super) fn draw_own_ways(notes: &str, number: u32, choices: &mut Choices) -> String {
    choices.about(|| Site::deed("own-ways").number(number));
    if !choices.chance(150) {
        return notes.to_owned();
    }
    let comma = if notes.is_empty() { "" } else { "," };
    format!(r#"{notes}{comma}"{}":"true""#, scene::OWN_WAYS)
}

/// Draws of which system's domain the annotation is that a claim asks for and cannot have.
pub(super) fn draw_system_note(number: u32, claim: u32, choices: &mut Choices) -> u32 {
    choices.about(|| Site::deed("system-note").number(claim));
    if [4, 6].contains(&number) { [number, 11, 12][choices.below(3) as usize] } else { number }
}

/// Lets a claim that asks for a variable ask for another, in the same container, or once more for the same.
pub(super) fn draw_second_variable(wishes: &mut Wishes, number: u32, choices: &mut Choices) {
    choices.about(|| Site::deed("second-variable").number(number));
    if let Some(first) = wishes.env.first().cloned()
        && choices.chance(500)
    {
        choices.about(|| Site::deed("same-variable").number(number));
        let name = if choices.chance(200) { first.name.clone() } else { "B".into() };
        choices.about(|| Site::deed("same-container").number(number));
        let is_elsewhere = name != first.name && choices.chance(300);
        // The first container may be named or not.
        let container = match &*first.container {
            "" if is_elsewhere => "main".into(),
            "main" if is_elsewhere => "".into(),
            _ => first.container,
        };
        wishes.env.push(Variable { name, value: "2".into(), container });
    }
}

/// Lets a claim that asks for volumes ask for one that has no name, or that has the name of another.
pub(super) fn draw_odd_volume(wishes: &mut Wishes, number: u32, choices: &mut Choices) {
    choices.about(|| Site::deed("odd-volume").number(number));
    if let Some(volumes) = wishes.volume_claims.as_mut().filter(|_| choices.chance(150)) {
        let mut list = volumes.value().as_array().cloned().unwrap_or_default();
        let mut odd = list[0].clone();
        if choices.chance(500) {
            odd["metadata"] = serde_json::json!({});
        }
        list.push(odd);
        *volumes = Json::from(&Value::from(list));
    }
}

/// Draws what the second edit of a claim asks for: nothing any more, something else, or, after what was granted, what it cannot
/// have.
pub(super) fn draw_second_note(claim: u32, choices: &mut Choices) -> u32 {
    choices.about(|| Site::deed("second-note").number(claim));
    *choices.pick(&[5, 5, 2, 4, 7, 1])
}

/// Draws whether a claim asks for metadata that few ask for: a value that is too long, or empty, a key that is none, or the one
/// annotation of a system's domain that is for users, too.
pub(super) fn draw_rare_note(number: u32, claim: u32, choices: &mut Choices) -> u32 {
    choices.about(|| Site::deed("rare-note").number(claim));
    if choices.chance(150) { *choices.pick(&[13, 14, 15, 16, 17]) } else { number }
}

/// Draws the same for a claim that asks for it from the beginning.
pub(super) fn draw_system_wish(wishes: &mut Wishes, claim: u32, choices: &mut Choices) {
    if wishes.name_metadata() {
        choices.about(|| Site::deed("rare-wish").number(claim));
        if choices.chance(200) {
            wishes.pod = scene::metadata(*choices.pick(&[13, 14, 15, 16, 17]));
        }
    }
    let first = [4, 6].into_iter().find(|number| wishes.pod == scene::metadata(*number));
    if let Some(first) = first {
        wishes.pod = scene::metadata(draw_system_note(first, claim, choices));
    }
}

/// Draws what few ask of a sandbox of their own: volumes whose names have dashes, containers that listen at nothing, and
/// metadata for its Pod that is not theirs to give.
pub(super) fn draw_odd_parts(sandbox: &mut Sandbox, number: u32, choices: &mut Choices) {
    choices.about(|| Site::deed("long-name-served").number(number));
    if sandbox.meta.key.name.len() > 60 && choices.chance(700) {
        sandbox.service = Some(true);
    }
    choices.about(|| Site::deed("volume-name").number(number));
    if sandbox.volume_claims.is_some() && choices.chance(400) {
        sandbox.volume_claims = Some(scene::dashed_volume_claims());
    }
    choices.about(|| Site::deed("unnamed-volume").number(number));
    if let Some(volumes) = sandbox.volume_claims.as_mut().filter(|_| choices.chance(150)) {
        let mut list = volumes.value().as_array().cloned().unwrap_or_default();
        let place = choices.below(2) as usize * list.len();
        list.insert(place, serde_json::json!({ "metadata": {}, "spec": { "storageClassName": "slow" } }));
        *volumes = Json::from(&Value::from(list));
    }
    choices.about(|| Site::deed("no-ports").number(number));
    if choices.chance(150) {
        sandbox.pod_spec = without_ports(&sandbox.pod_spec);
    }
    choices.about(|| Site::deed("reserved").number(number));
    if choices.chance(150) {
        scene::put_reserved(&mut sandbox.pod);
    }
    choices.about(|| Site::deed("odd-ports").number(number));
    if choices.chance(150) {
        sandbox.pod_spec = with_odd_ports(&sandbox.pod_spec);
    }
}

/// Lets a sandbox ask for a Service or a volume claim.
pub(super) fn want(sandbox: &mut Sandbox, kind: Kind) {
    if kind == Kind::Service {
        sandbox.service = Some(true);
    } else {
        sandbox.volume_claims.get_or_insert_with(scene::volume_claims);
    }
}

/// Draws what the name of one of a sandbox's volume claims begins with: the first, or the other of two.
pub(super) fn draw_volume_prefix(sandbox: &Sandbox, number: u32, choices: &mut Choices) -> &'static str {
    choices.about(|| Site::deed("prepared-which").number(number));
    let is_dashed = sandbox.volume_claims.as_ref() == Some(&scene::dashed_volume_claims());
    if is_dashed && !choices.chance(400) { "user-data-" } else { "data-" }
}

/// Draws whether something that was prepared has an owner beside the controller that it has not: then it belongs to nobody
/// yet, and will go with that owner.
pub(super) fn draw_beside(part: &mut Object, choices: &mut Choices) {
    choices.about(|| Site::deed("beside").named(Some(part.key().name.clone())));
    if part.meta().owner.is_none() && choices.chance(300) {
        part.meta_mut().co_owners = Some(scene::owner_beside());
    }
}

/// Draws whether something that was prepared looks like the sandbox's own, and is not: it bears the mark of another sandbox, or
/// belongs to somebody who is called like this one; and whether a Service has an address, as the server gives it to those that
/// are not to be headless.
pub(super) fn draw_likeness(part: &mut Object, sandbox: &str, choices: &mut Choices) {
    choices.about(|| Site::deed("likeness").named(Some(part.key().name.clone())));
    let is_alike = choices.chance(500);
    let meta = part.meta_mut();
    match &mut meta.owner {
        Some(owner) if is_alike => owner.name = sandbox.into(),
        None if is_alike && meta.labels.is_empty() => {
            meta.labels.insert(names::SANDBOX_NAME_HASH.into(), names::name_hash("another"));
        }
        Some(_) | None => {}
    }
    choices.about(|| Site::deed("address").named(Some(part.key().name.clone())));
    if let Object::Service(service) = part
        && choices.chance(500)
    {
        let mut spec = service.spec.value();
        spec["clusterIP"] = "10.0.0.9".into();
        Arc::make_mut(service).spec = Json::from(&spec);
    }
}

/// Returns a Pod spec whose container listens at the same number in two ways, and at another number under the name that the
/// Service would give to one of them. The next one says that it listens there, too, and calls that otherwise.
fn with_odd_ports(spec: &Json) -> Json {
    let mut spec = spec.value();
    spec["containers"][0]["ports"] = serde_json::json!([
        { "containerPort": 9000, "protocol": "UDP" },
        { "containerPort": 9000 },
        { "containerPort": 8080, "name": "p-9000-udp" },
    ]);
    spec["containers"][1]["ports"] = serde_json::json!([{ "containerPort": 8080, "name": "again" }]);
    Json::from(&spec)
}

/// Returns a Pod spec whose containers listen at nothing.
fn without_ports(spec: &Json) -> Json {
    let mut spec = spec.value();
    for list in ["containers", "initContainers"] {
        let containers = spec[list].as_array_mut().into_iter().flatten();
        containers.filter_map(|container| container.as_object_mut()).for_each(|it| _ = it.remove("ports"));
    }
    Json::from(&spec)
}
