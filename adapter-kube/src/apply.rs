//! Actions → requests → outcomes.

use std::sync::Arc;
use std::time::Duration;

use agent_sandbox_core::action::{Action, Operation};
use agent_sandbox_core::event::{Outcome, Refusal};
use agent_sandbox_core::id::{Kind, Text};
use agent_sandbox_core::object::Object;
use agent_sandbox_core::wire;
use http::{Method, StatusCode};
use kube::Client;
use serde::Deserialize;
use tracing::{debug, warn};

use crate::clock::Clock;
use crate::connect::{self, NoReply, Reply};
use crate::floor::Floor;

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
    /// How long the server may work on a write.
    pub write_timeout: Duration,
}

impl Applier {
    /// Sends the request of an action and returns what became of it.
    pub async fn apply(&self, action: &Action) -> Outcome {
        let limit = self.write_timeout;
        let operation = &*action.operation;
        let request = wire::request(operation, limit, self.clock.now().wall);
        let method = method(request.method);
        let reply = match connect::prepare(&method, &request.uri, request.body) {
            Ok(request) => connect::call(&self.client, request, limit + ANSWER_MARGIN).await,
            Err(error) => Err(error),
        };
        let outcome = match reply {
            Ok(reply) => classify(operation, &reply),
            Err(error) => unanswered(action, &error),
        };
        if let Outcome::Done(object) = &outcome {
            self.floor.raise(object.kind(), object.version());
        }
        report(action, &outcome);
        outcome
    }
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
        Outcome::Done(object) => debug!(?intent, %kind, %key, version = %object.version(), "done"),
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
}

impl Status {
    /// Reads the body of an answer; what is no `Status` becomes one without a reason.
    pub(crate) fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).ok().filter(|status: &Self| status.kind == "Status").unwrap_or_else(
            || Self { message: String::from_utf8_lossy(body).trim().to_owned(), ..Self::default() },
        )
    }

    fn concerns_uid(&self) -> bool {
        let causes = self.details.as_ref().and_then(|details| details.causes.as_deref()).unwrap_or_default();
        causes.iter().any(|cause| cause.field == "metadata.uid") || self.message.contains("metadata.uid")
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
        StatusCode::NOT_FOUND if is_create => Outcome::Refused(Refusal::Invalid(status.text())),
        StatusCode::NOT_FOUND => Outcome::NotFound,
        // A create meets other conflicts too, for example two that reserve the same quota at a time.
        StatusCode::CONFLICT if is_create && status.reason == "AlreadyExists" => Outcome::AlreadyExists,
        StatusCode::CONFLICT => Outcome::Conflict,
        StatusCode::UNPROCESSABLE_ENTITY if status.concerns_uid() => Outcome::Conflict,
        StatusCode::TOO_MANY_REQUESTS => Outcome::Throttled(reply.retry_after.unwrap_or(RETRY_AFTER)),
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
