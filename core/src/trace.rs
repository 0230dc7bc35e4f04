//! Traces: what entered a machine and what left it, one line of JSON for each call.
//!
//! The first line is the [`Header`], every other one a [`Step`]. A machine is a function of what enters it, so the
//! header and the events are enough to ask any build of the core for its actions again.
//!
//! A trace is made to be handed on, so it is redacted: Pod specs (with them the values of environment variables) are
//! reduced to names and hashes, and volume claims to what is copied from them. The core reads no more, so that a replay
//! of redacted events gives the redacted actions.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

mod outline;

use self::outline::hashed;
use crate::action::{Action, Operation};
use crate::config::Config;
use crate::event::{Event, Outcome};
use crate::object::{Json, Labels, Object};
use crate::patch::Change;
use crate::time::Now;

/// The version of the trace's schema. A build reads its own version only.
pub const VERSION: u32 = 1;

/// What `kubectl apply` keeps of an object's text, Pod spec included.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The first line: which build was set up how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The schema's version, [`VERSION`].
    #[serde(rename = "agent_sandbox_trace")]
    pub trace: u32,
    /// The version of the package that wrote it.
    pub version: String,
    /// The commit that it was built from, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The machine's configuration.
    pub config: Config,
    /// The moment given to [`Machine::new`](crate::machine::Machine::new).
    pub started: Now,
}

/// One call of a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The moment given to the call.
    pub now: Now,
    /// The event of a `handle_event`; `None` stands for `handle_timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Event>,
    /// The actions that followed, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Action>,
}

/// Why a trace cannot be read, or not any further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The first line is no header.
    NotATrace,
    /// The header is that of another schema.
    OtherVersion(u32),
    /// The header lacks a field, or one has another type.
    Header(String),
    /// A line ends too early: the writer was stopped, or the file was cut.
    CutOff {
        /// Its number, the first line being 1.
        line: usize,
        /// How much of it there is.
        bytes: usize,
    },
    /// A line is no step.
    Step {
        /// Its number, the first line being 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotATrace => f.write_str("line 1: not the header of a trace"),
            Self::OtherVersion(found) => {
                write!(f, "line 1: trace version {found}, but this build reads version {VERSION}")
            }
            Self::Header(what) => write!(f, "line 1: {what}"),
            Self::CutOff { line, bytes } => write!(f, "line {line}: cut off after {bytes} bytes"),
            Self::Step { line, what } => write!(f, "line {line}: {what}"),
        }
    }
}

impl core::error::Error for Damage {}

impl Header {
    /// Reads the first line.
    ///
    /// # Errors
    /// When it is no header, or one of another version.
    pub fn read(line: &str) -> Result<Self, Damage> {
        #[derive(Deserialize)]
        struct Mark {
            agent_sandbox_trace: u32,
        }
        match serde_json::from_str::<Mark>(line) {
            Ok(mark) if mark.agent_sandbox_trace == VERSION => {
                serde_json::from_str(line).map_err(|error| Damage::Header(what(&error)))
            }
            Ok(mark) => Err(Damage::OtherVersion(mark.agent_sandbox_trace)),
            Err(error) if error.is_eof() && !line.is_empty() => {
                Err(Damage::CutOff { line: 1, bytes: line.len() })
            }
            Err(_) => Err(Damage::NotATrace),
        }
    }
}

impl Step {
    /// Reads the line with this number, the header being 1.
    ///
    /// # Errors
    /// When it is cut off, or no step.
    pub fn read(text: &str, line: usize) -> Result<Self, Damage> {
        serde_json::from_str(text).map_err(|error| {
            if error.is_eof() {
                Damage::CutOff { line, bytes: text.len() }
            } else {
                Damage::Step { line, what: what(&error) }
            }
        })
    }

    /// Returns this step without what must stay in the cluster. Twice is the same as once.
    #[must_use]
    pub fn redacted(mut self) -> Self {
        if let Some(event) = &mut self.event {
            redact_event(event);
        }
        self.actions.iter_mut().for_each(redact_action);
        self
    }
}

/// Reads a whole trace: the header, and the steps up to the end or to the first damage.
///
/// # Errors
/// When there is no header. Damage further down is the last item.
pub fn read(text: &str) -> Result<(Header, impl Iterator<Item = Result<Step, Damage>>), Damage> {
    let mut lines = text.lines().enumerate();
    let header = Header::read(lines.next().map_or("", |(_, line)| line))?;
    let mut is_damaged = false;
    let steps = lines.map(|(index, line)| Step::read(line, index + 1)).take_while(move |step| {
        let goes_on = !is_damaged;
        is_damaged = step.is_err();
        goes_on
    });
    Ok((header, steps))
}

/// The error without its position: the line is that of the JSON text, which has only one.
fn what(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let column = error.column();
    text.split_once(" at line ")
        .map_or_else(|| text.clone(), |(what, _)| format!("{what} at column {column}"))
}

/// Redacts an event.
pub fn redact_event(event: &mut Event) {
    match event {
        Event::Applied(object) | Event::Deleted(object) => redact_object(object),
        Event::ActionDone { outcome: Outcome::Done(object), .. } => redact_object(object),
        Event::Relisted { objects, .. } => objects.iter_mut().for_each(redact_object),
        Event::ActionDone { .. }
        | Event::Progress { .. }
        | Event::WatchLost { .. }
        | Event::Leading { .. }
        | Event::Standby => {}
    }
}

/// Redacts an action.
pub fn redact_action(action: &mut Action) {
    match Arc::make_mut(&mut action.operation) {
        Operation::Create(object) => redact_object(object),
        Operation::Patch(patch) => patch.changes.iter_mut().for_each(redact_change),
        Operation::Delete { .. } | Operation::Get { .. } | Operation::Notify(_) => {}
    }
}

/// Redacts an object.
pub fn redact_object(object: &mut Object) {
    redact_labels(&mut object.meta_mut().annotations);
    match object {
        Object::Pool(_) => {}
        Object::Claim(claim) => {
            if let Some(wishes) = &mut Arc::make_mut(claim).wishes {
                let wishes = Arc::make_mut(wishes);
                wishes.env.iter_mut().for_each(|variable| variable.value = hashed(&variable.value).into());
                wishes.volume_claims = wishes.volume_claims.as_ref().map(outline::volume_claims);
            }
        }
        Object::Template(template) => {
            let blueprint = Arc::make_mut(&mut Arc::make_mut(template).blueprint);
            redact_labels(&mut blueprint.pod.annotations);
            redact_blueprint(&mut blueprint.pod_spec, &mut blueprint.volume_claims);
        }
        Object::Sandbox(sandbox) => {
            let sandbox = Arc::make_mut(sandbox);
            redact_labels(&mut sandbox.pod.annotations);
            redact_blueprint(&mut sandbox.pod_spec, &mut sandbox.volume_claims);
        }
        Object::Pod(pod) => {
            let spec = &mut Arc::make_mut(pod).spec;
            *spec = spec.as_ref().map(outline::pod_spec);
        }
        Object::VolumeClaim(claim) => {
            let claim = Arc::make_mut(claim);
            let hashes =
                claim.meta.annotations.iter().map(|(key, value)| (key.clone(), hashed(value).into()));
            claim.meta.annotations = hashes.collect();
            claim.spec = outline::whole(&claim.spec);
        }
        // Ports, selectors and addresses: no secrets, and rules read them.
        Object::Service(_) | Object::NetworkPolicy(_) => {}
    }
}

fn redact_blueprint(pod_spec: &mut Json, volume_claims: &mut Option<Json>) {
    *pod_spec = outline::pod_spec(pod_spec);
    *volume_claims = volume_claims.as_ref().map(outline::volume_claims);
}

fn redact_change(change: &mut Change) {
    match change {
        Change::Annotation(key, Some(value)) | Change::PodAnnotation(key, Some(value))
            if &**key == LAST_APPLIED =>
        {
            *value = hashed(value).into();
        }
        Change::Label(..)
        | Change::Annotation(..)
        | Change::Owner(_)
        | Change::CoOwners(_)
        | Change::PodLabel(..)
        | Change::PodAnnotation(..)
        | Change::Spec(_)
        | Change::ClaimStatus(_)
        | Change::PoolStatus(_)
        | Change::SandboxStatus(_) => {}
    }
}

fn redact_labels(annotations: &mut Labels) {
    if let Some(value) = annotations.get(LAST_APPLIED) {
        let hashed = hashed(value);
        annotations.insert(LAST_APPLIED.into(), hashed.into());
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::action::Intent;
    use crate::id::{ActionId, Key, Kind, Version};
    use crate::machine::Machine;
    use crate::wire;

    #[test]
    fn a_step_survives_being_written_and_read() {
        let step = mk_step();
        let line = serde_json::to_string(&step).unwrap();
        assert_eq!(Step::read(&line, 2), Ok(step));
    }

    #[test]
    fn a_timeout_has_no_event() {
        let step = Step { now: Now::default(), event: None, actions: vec![] };
        let line = serde_json::to_string(&step).unwrap();
        assert_eq!(line, r#"{"now":{"mono":0,"wall":0}}"#);
        assert_eq!(Step::read(&line, 2), Ok(step));
    }

    #[test]
    fn secrets_in_pod_specs_are_redacted() {
        let line = serde_json::to_string(&mk_step().redacted()).unwrap();
        assert!(!line.contains("hunter2"), "{line}");
    }

    #[test]
    fn redacting_twice_is_redacting_once() {
        let once = mk_step().redacted();
        assert_eq!(once.clone().redacted(), once);
    }

    #[test]
    fn what_an_action_copies_from_an_event_stays_a_copy() {
        let Step { event: Some(Event::Applied(Object::Sandbox(seen))), actions, .. } = mk_step().redacted()
        else {
            unreachable!()
        };
        let Operation::Create(Object::Sandbox(made)) = &*actions[0].operation else { unreachable!() };
        assert_eq!(made.pod_spec, seen.pod_spec);
    }

    /// A volume claim is made of what the sandbox says: what replays an outline makes the outline of what was made.
    #[test]
    fn a_volume_claim_is_as_secret_as_what_it_is_made_of() {
        let json = r#"{
            "metadata": { "namespace": "n", "name": "s", "uid": "e8c269c2-fbd0-4b83-849b-6a4e33711c92",
                "resourceVersion": "5" },
            "spec": { "podTemplate": { "spec": {} }, "volumeClaimTemplates": [{
                "metadata": { "name": "data", "labels": { "a": "1" }, "annotations": { "token": "hunter2" } },
                "spec": { "storageClassName": "hunter2" }
            }] }
        }"#;
        let decide = |sandbox: Object| {
            let mut machine = Machine::new(Config::default(), Now::default());
            machine.handle_event(Event::Leading { term: 1 }, Now::default());
            for kind in Kind::ALL {
                let objects: Vec<_> =
                    [&sandbox].into_iter().filter(|it| it.kind() == kind).cloned().collect();
                machine.handle_event(Event::Relisted { kind, objects, at: Version(9) }, Now::default());
            }
            let mut actions: Vec<_> = core::iter::from_fn(|| machine.poll_action()).collect();
            actions.iter_mut().for_each(redact_action);
            actions
        };
        let seen = wire::decode(Kind::Sandbox, json).unwrap();
        let mut outline = seen.clone();
        redact_object(&mut outline);
        let (made, replayed) = (decide(seen), decide(outline));
        assert_eq!(made, replayed);
        let text = serde_json::to_string(&made).unwrap();
        assert!(text.contains("data-s") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn a_damaged_trace_is_used_up_to_the_damage() {
        let header = serde_json::to_string(&mk_header()).unwrap();
        let step = serde_json::to_string(&mk_step()).unwrap();
        let text = format!("{header}\n{step}\n{}", &step[..100]);
        let (_, steps) = read(&text).unwrap();
        let steps: Vec<_> = steps.collect();
        assert_eq!(steps, [Ok(mk_step()), Err(Damage::CutOff { line: 3, bytes: 100 })]);
    }

    #[test]
    fn damage_is_named_with_its_place() {
        let header = serde_json::to_string(&mk_header()).unwrap();
        let other = header.replacen(":1,", ":7,", 1);
        for (text, message) in [
            ("", "line 1: not the header of a trace"),
            ("hello", "line 1: not the header of a trace"),
            ("{}", "line 1: not the header of a trace"),
            (&other, "line 1: trace version 7, but this build reads version 1"),
            (&header[..20], "line 1: cut off after 20 bytes"),
            (r#"{"agent_sandbox_trace":1}"#, "line 1: missing field `version` at column 25"),
        ] {
            assert_eq!(read(text).err().map(|damage| damage.to_string()).as_deref(), Some(message), "{text}");
        }
        let step = Step::read(r#"{"now":3}"#, 9).unwrap_err().to_string();
        assert!(step.starts_with("line 9: invalid type") && step.ends_with("at column 8"), "{step}");
    }

    fn mk_header() -> Header {
        let config = Config::default();
        Header { trace: VERSION, version: "0.1.0".into(), commit: None, config, started: Now::default() }
    }

    fn mk_step() -> Step {
        let json = r#"{
            "metadata": {
                "namespace": "n", "name": "s", "uid": "e8c269c2-fbd0-4b83-849b-6a4e33711c92", "resourceVersion": "5",
                "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "hunter2" }
            },
            "spec": { "podTemplate": { "spec": { "env": [{ "name": "PASSWORD", "value": "hunter2" }] } } }
        }"#;
        let sandbox = wire::decode(Kind::Sandbox, json).unwrap();
        let create = Action {
            id: ActionId(1),
            intent: Intent::CreateMember,
            operation: Arc::new(Operation::Create(sandbox.clone())),
        };
        let get = Operation::Get { kind: Kind::Claim, key: Key::new("n", "c") };
        let look = Action { id: ActionId(2), intent: Intent::Look, operation: Arc::new(get) };
        assert_eq!(sandbox.version(), Version(5));
        Step { now: Now::default(), event: Some(Event::Applied(sandbox)), actions: vec![create, look] }
    }
}
