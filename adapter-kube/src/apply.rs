//! Actions → requests → outcomes.

use std::sync::Arc;
use std::time::Duration;

use agent_sandbox_core::action::{Action, Intent, Operation};
use agent_sandbox_core::event::{Outcome, Refusal};
use agent_sandbox_core::id::{Kind, Text};
use agent_sandbox_core::object::Object;
use agent_sandbox_core::wire;
use http::{Method, StatusCode};
use kube::Client;
use serde::Deserialize;
use tracing::{debug, info, warn};

use crate::clock::Clock;
use crate::connect::{self, NoReply, Reply};
use crate::floor::Floor;
use crate::lease::Fence;
use crate::metrics::Metrics;

/// The wait after a 429 that names none.
///
/// Source: what the API server's own `Retry-After` says.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How much longer than the server's own limit the client waits: its answer must have time to arrive.
const ANSWER_MARGIN: Duration = Duration::from_secs(1);

/// Carries out actions, each once.
#[derive(Clone)]
pub struct Applier {
    /// Connections for writes.
    pub client: Client,
    /// Dates Kubernetes Events.
    pub clock: Clock,
    /// Learns the versions in answers.
    pub floor: Arc<Floor>,
    /// Says whether a write may start, and how long it may take.
    pub fence: Arc<Fence>,
    /// Counts answers.
    pub metrics: Arc<Metrics>,
    /// How long the server may work on a write.
    pub write_timeout: Duration,
}

impl Applier {
    /// Carries out an action and returns what became of it.
    pub async fn apply(&self, action: &Action) -> Outcome {
        let started = self.clock.mono();
        let outcome = match self.fence.allowance(started) {
            Some(allowance) => self.send(action, allowance).await,
            // Nothing was sent. The process ends as soon as the election finds out.
            None => Outcome::Throttled(RETRY_AFTER),
        };
        if let Outcome::Done(object) = &outcome {
            self.floor.raise(object.kind(), object.version());
        }
        self.metrics.answered(action, &outcome, self.clock.mono().since(started));
        report(action, &outcome);
        outcome
    }

    async fn send(&self, action: &Action, allowance: Duration) -> Outcome {
        let operation = &*action.operation;
        let limit = server_limit(self.write_timeout, allowance);
        let request = wire::request(operation, limit, self.clock.now().wall);
        let reply = match connect::prepare(&method(request.method), &request.uri, request.body) {
            Ok(request) => connect::call(&self.client, request, limit + ANSWER_MARGIN).await,
            Err(error) => Err(error),
        };
        match reply {
            Ok(reply) => classify(operation, &reply),
            Err(error) => unanswered(action, &error),
        }
    }
}

/// Returns how long the server may work, in whole seconds, so that the client's limit fits the allowance too.
fn server_limit(wanted: Duration, allowance: Duration) -> Duration {
    let left = allowance.saturating_sub(ANSWER_MARGIN).as_secs();
    Duration::from_secs(left.clamp(1, wanted.as_secs().max(1)))
}

const fn method(method: wire::Method) -> Method {
    match method {
        wire::Method::Get => Method::GET,
        wire::Method::Post => Method::POST,
        wire::Method::Patch => Method::PATCH,
        wire::Method::Delete => Method::DELETE,
    }
}

fn unanswered(action: &Action, error: &NoReply) -> Outcome {
    let (kind, key) = (action.operation.kind(), action.operation.key());
    warn!(intent = ?action.intent, %kind, %key, %error, "no answer: it may have happened");
    Outcome::Unknown
}

fn report(action: &Action, outcome: &Outcome) {
    let (intent, kind, key) = (action.intent, action.operation.kind(), action.operation.key());
    match outcome {
        Outcome::Refused(Refusal::Forbidden(message) | Refusal::Invalid(message)) => {
            warn!(?intent, %kind, %key, %message, "the API server refuses");
        }
        // Each object in it would say so again and again, and nobody can do anything about it.
        Outcome::Refused(Refusal::NamespaceEnding(message)) => {
            debug!(?intent, %kind, %key, %message, "the namespace is going");
        }
        Outcome::Done(object) => match (action.intent, &object.meta().owner) {
            (Intent::AdoptSandbox, Some(claim)) => info!(claim = %claim.name, %key, "a claim has a member"),
            (Intent::CreateClaimSandbox, Some(claim)) => {
                info!(claim = %claim.name, %key, "a claim has a sandbox of its own");
            }
            _ => debug!(?intent, %kind, %key, version = %object.version(), "done"),
        },
        Outcome::Accepted
        | Outcome::Conflict
        | Outcome::AlreadyExists
        | Outcome::NotFound
        | Outcome::Throttled(_)
        | Outcome::Unknown => debug!(?intent, %kind, %key, ?outcome, "answered"),
    }
}

/// The parts of a `metav1.Status` that tell failures apart.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Status {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) reason: String,
    #[serde(default)]
    pub(crate) code: u16,
    #[serde(default)]
    details: Option<Details>,
}

#[derive(Debug, Deserialize)]
struct Details {
    #[serde(default)]
    causes: Option<Vec<Cause>>,
}

#[derive(Debug, Deserialize)]
struct Cause {
    #[serde(default)]
    field: String,
    #[serde(default)]
    reason: String,
}

impl Status {
    /// Reads the body of an answer; what is no `Status` becomes one without a reason.
    pub(crate) fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).ok().filter(|status: &Self| status.kind == "Status").unwrap_or_else(
            || Self { message: String::from_utf8_lossy(body).trim().to_owned(), ..Self::default() },
        )
    }

    fn causes(&self) -> &[Cause] {
        self.details.as_ref().and_then(|details| details.causes.as_deref()).unwrap_or_default()
    }

    /// Source: `NamespaceTerminatingCause` of k8s.io/api.
    fn concerns_ending_namespace(&self) -> bool {
        self.causes().iter().any(|cause| cause.reason == "NamespaceTerminating")
    }

    fn concerns_uid(&self) -> bool {
        self.causes().iter().any(|cause| cause.field == "metadata.uid")
            || self.message.contains("metadata.uid")
    }

    fn text(self) -> Text {
        self.message.into()
    }
}

/// Sorts an answer by what it says about the write.
pub fn classify(operation: &Operation, reply: &Reply) -> Outcome {
    if reply.status.is_success() {
        return success(operation, &reply.body);
    }
    let status = Status::read(&reply.body);
    let is_create = matches!(operation, Operation::Create(_) | Operation::Notify(_));
    match reply.status {
        StatusCode::NOT_FOUND if status.reason != "NotFound" => {
            // No object is missing but the whole resource is not served, so nothing happened. CRDs come back.
            Outcome::Throttled(RETRY_AFTER)
        }
        // Nothing else can be missing.
        StatusCode::NOT_FOUND if is_create => Outcome::Refused(Refusal::NamespaceEnding(status.text())),
        StatusCode::NOT_FOUND => Outcome::NotFound,
        // A create meets other conflicts too, for example two that reserve the same quota at a time.
        StatusCode::CONFLICT if is_create && status.reason == "AlreadyExists" => Outcome::AlreadyExists,
        StatusCode::CONFLICT => Outcome::Conflict,
        StatusCode::UNPROCESSABLE_ENTITY if status.concerns_uid() => Outcome::Conflict,
        StatusCode::TOO_MANY_REQUESTS => Outcome::Throttled(reply.retry_after.unwrap_or(RETRY_AFTER)),
        StatusCode::FORBIDDEN if status.concerns_ending_namespace() => {
            Outcome::Refused(Refusal::NamespaceEnding(status.text()))
        }
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => {
            Outcome::Refused(Refusal::Forbidden(status.text()))
        }
        StatusCode::REQUEST_TIMEOUT => Outcome::Unknown,
        code if code.is_client_error() => Outcome::Refused(Refusal::Invalid(status.text())),
        code => {
            warn!(%code, message = status.message, uri = %operation.key(), "the API server fails");
            Outcome::Unknown
        }
    }
}

fn success(operation: &Operation, body: &[u8]) -> Outcome {
    match operation {
        Operation::Notify(_) => Outcome::Accepted,
        Operation::Delete { .. } if is_status(body) => Outcome::Accepted,
        Operation::Create(_) | Operation::Patch(_) | Operation::Delete { .. } => {
            // It happened, but how it looks is not known: that is for a look to find out.
            decode(operation.kind(), body).map_or(Outcome::Unknown, Outcome::Done)
        }
        Operation::Get { .. } => decode(operation.kind(), body)
            .map_or_else(|error| Outcome::Refused(Refusal::Invalid(error.into())), Outcome::Done),
    }
}

fn is_status(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Head {
        kind: String,
    }
    serde_json::from_slice::<Head>(body).is_ok_and(|head| head.kind == "Status")
}

fn decode(kind: Kind, body: &[u8]) -> Result<Object, String> {
    let text = std::str::from_utf8(body).map_err(|error| error.to_string())?;
    wire::decode(kind, text).map_err(|error| {
        warn!(%kind, %error, "cannot read the answer");
        error.to_string()
    })
}

#[cfg(test)]
mod tests {
    use agent_sandbox_core::action::{Notice, Propagation, Target};
    use agent_sandbox_core::id::Key;
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_name_that_is_taken_is_told_from_other_conflicts() {
        check(create(), 409, &status("AlreadyExists", "pods \"p\" already exists"), Outcome::AlreadyExists);
        check(create(), 409, &status("Conflict", "the quota has been modified"), Outcome::Conflict);
        check(
            delete(),
            409,
            &status("Conflict", "Precondition failed: UID in precondition"),
            Outcome::Conflict,
        );
    }

    #[test]
    fn another_identity_under_the_name_is_a_conflict() {
        let body = r#"{"kind":"Status","message":"p is invalid","reason":"Invalid",
            "details":{"causes":[{"field":"metadata.uid","message":"field is immutable"}]}}"#;
        check(delete(), 422, body, Outcome::Conflict);
        check(delete(), 422, &status("Invalid", "spec.x: Required"), invalid("spec.x: Required"));
    }

    #[test]
    fn an_object_that_is_gone_is_told_from_a_resource_that_is_not_served() {
        let gone = status("NotFound", "pods \"p\" not found");
        check(delete(), 404, &gone, Outcome::NotFound);
        check(delete(), 404, "404 page not found", Outcome::Throttled(RETRY_AFTER));
    }

    #[test]
    fn a_namespace_that_is_going_is_told_from_what_is_forbidden_in_it() {
        let ending = |message: &str| Outcome::Refused(Refusal::NamespaceEnding(message.into()));
        check(
            create(),
            404,
            &status("NotFound", "namespaces \"n\" not found"),
            ending("namespaces \"n\" not found"),
        );
        let body = r#"{"kind":"Status","message":"n is being terminated","reason":"Forbidden",
            "details":{"causes":[{"reason":"NamespaceTerminating","field":"metadata.namespace"}]}}"#;
        check(create(), 403, body, ending("n is being terminated"));
    }

    #[test]
    fn who_may_act_next_follows_from_the_status() {
        check(create(), 403, &status("Forbidden", "exceeded quota"), forbidden("exceeded quota"));
        check(create(), 401, &status("Unauthorized", "Unauthorized"), forbidden("Unauthorized"));
        for code in [400, 413, 415, 422] {
            check(create(), code, &status("BadRequest", "no"), invalid("no"));
        }
        for code in [408, 500, 502, 503, 504] {
            check(create(), code, &status("InternalError", "oh"), Outcome::Unknown);
        }
    }

    #[test]
    fn the_server_says_how_long_to_wait() {
        let mut reply = mk_reply(429, "");
        assert_eq!(classify(&create(), &reply), Outcome::Throttled(RETRY_AFTER));
        reply.retry_after = Some(Duration::from_secs(7));
        assert_eq!(classify(&create(), &reply), Outcome::Throttled(Duration::from_secs(7)));
    }

    #[test]
    fn a_deletion_is_done_or_under_way() {
        check(delete(), 200, &status("", ""), Outcome::Accepted);
        check(delete(), 200, POD, Outcome::Done(pod()));
    }

    #[test]
    fn a_write_whose_answer_cannot_be_read_is_to_be_looked_at() {
        check(create(), 201, POD, Outcome::Done(pod()));
        check(create(), 201, "{}", Outcome::Unknown);
        check(notify(), 201, "{}", Outcome::Accepted);
        let get = Operation::Get { kind: Kind::Pod, key: key() };
        assert!(matches!(classify(&get, &mk_reply(200, "{}")), Outcome::Refused(Refusal::Invalid(_))));
    }

    #[test]
    fn the_limits_of_a_write_end_before_the_lease_can_pass_on() {
        let limit = |allowance| server_limit(Duration::from_secs(10), Duration::from_millis(allowance));
        assert_eq!(limit(15_000), Duration::from_secs(10));
        assert_eq!(limit(5_100), Duration::from_secs(4));
        assert_eq!(server_limit(Duration::from_secs(10), Duration::MAX), Duration::from_secs(10));
    }

    const POD: &str = r#"{"kind":"Pod","metadata":{"namespace":"n","name":"p",
        "uid":"e8c269c2-fbd0-4b83-849b-6a4e33711c92","resourceVersion":"5"},"spec":{}}"#;

    #[track_caller]
    fn check(operation: Operation, code: u16, body: &str, expected: Outcome) {
        assert_eq!(classify(&operation, &mk_reply(code, body)), expected, "{code} {body}");
    }

    fn mk_reply(code: u16, body: &str) -> Reply {
        let body = Bytes::copy_from_slice(body.as_bytes());
        Reply { status: StatusCode::from_u16(code).unwrap(), retry_after: None, body }
    }

    fn status(reason: &str, message: &str) -> String {
        serde_json::json!({ "kind": "Status", "reason": reason, "message": message }).to_string()
    }

    fn invalid(message: &str) -> Outcome {
        Outcome::Refused(Refusal::Invalid(message.into()))
    }

    fn forbidden(message: &str) -> Outcome {
        Outcome::Refused(Refusal::Forbidden(message.into()))
    }

    fn key() -> Key {
        Key::new("n", "p")
    }

    fn pod() -> Object {
        wire::decode(Kind::Pod, POD).unwrap()
    }

    fn target() -> Target {
        Target { kind: Kind::Pod, key: key(), uid: Some(pod().uid()) }
    }

    fn create() -> Operation {
        Operation::Create(pod())
    }

    fn delete() -> Operation {
        Operation::Delete { target: target(), version: None, propagation: Propagation::Background }
    }

    fn notify() -> Operation {
        let text = || Text::from("x");
        Operation::Notify(Notice {
            warning: false,
            name: text(),
            regarding: target(),
            reporter: text(),
            reason: text(),
            action: text(),
            note: text(),
        })
    }
}
