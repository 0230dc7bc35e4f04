//! The simulator's model of the API server, asked the same as a real one.
//!
//! A [`sequence`] of requests is drawn from a seed. Each request goes to the model as it is, and to the real server as the
//! controller's own encoding has it; what each of them has answered before decides which uids and versions it names. The
//! outcomes and the whole objects are compared, field by field, with uids and versions numbered in the order in which they
//! were first shown. What may differ stands in a table with its reason, see [`deviations`].

pub mod deviations;
pub mod sequence;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use agent_sandbox_controller::apply::classify;
use agent_sandbox_controller::connect;
use agent_sandbox_core::action::Operation;
use agent_sandbox_core::event::Outcome;
use agent_sandbox_core::id::{Key, Kind, Version};
use agent_sandbox_core::object::Object;
use agent_sandbox_core::time::Wall;
use agent_sandbox_core::wire;
use agent_sandbox_sim::api_server::{ApiServer, Seen, Writer};
use http::Method;
use kube::Client;
use serde_json::{Value, json};

use self::deviations::{Deviation, Difference};
use self::sequence::Request;

/// How long the real server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A namespace of a real server, in which nobody but us acts.
#[derive(Clone)]
pub struct Real {
    /// Connections to it.
    pub client: Client,
    /// The namespace.
    pub namespace: String,
}

/// What became of a sequence.
#[derive(Debug, Default)]
pub struct Verdict {
    /// How often each line of the table was needed.
    pub accepted: BTreeMap<usize, u32>,
    /// The first request whose answers differ in what the table does not have, and the differences.
    pub mismatch: Option<(usize, Vec<Difference>)>,
    /// Each request with both answers.
    pub story: String,
    /// What the model's watches have shown.
    pub watched: Vec<Seen>,
}

/// One of the two servers, as a client knows it.
#[derive(Default)]
struct Side {
    /// The states that answers have shown, for each name.
    shown: BTreeMap<(Kind, u8), Vec<Object>>,
    uids: Vec<String>,
    versions: Vec<String>,
}

impl Side {
    fn operation(&self, request: &Request, key: &Key) -> Operation {
        let shown = self.shown.get(&(request.kind, request.name)).map(Vec::as_slice).unwrap_or_default();
        request.operation(key.clone(), shown)
    }

    /// Takes an answer in and returns it as the other side's may be compared with it.
    fn learn(&mut self, request: &Request, outcome: &Outcome, body: Option<Value>) -> Value {
        if let Outcome::Done(object) = outcome {
            self.shown.entry((request.kind, request.name)).or_default().push(object.clone());
        }
        let mut answer = json!({ "(answer)": name(outcome) });
        let Some(mut body) = body.filter(|_| matches!(outcome, Outcome::Done(_))) else { return answer };
        self.number(&mut body);
        if let (Value::Object(answer), Value::Object(body)) = (&mut answer, body) {
            answer.extend(body);
        }
        answer
    }

    /// Puts numbers in the place of what each server chooses for itself.
    fn number(&mut self, body: &mut Value) {
        let meta = &mut body["metadata"];
        for (field, known) in [("uid", &mut self.uids), ("resourceVersion", &mut self.versions)] {
            if let Some(text) = meta[field].as_str().map(str::to_owned) {
                let place = known.iter().position(|other| *other == text).unwrap_or_else(|| {
                    known.push(text);
                    known.len() - 1
                });
                meta[field] = format!("{field} {}", place + 1).into();
            }
        }
        for field in ["creationTimestamp", "deletionTimestamp"] {
            if !meta[field].is_null() {
                meta[field] = "some time".into();
            }
        }
        if let Value::Object(meta) = meta {
            meta.retain(|field, value| field != "managedFields" && !value.is_null());
        }
    }

    /// Returns a line of a watch as the other side's may be compared with it.
    fn line(&mut self, seen: &Seen) -> Value {
        let (what, object) = match seen {
            Seen::Applied(object) => ("Applied", object),
            Seen::Deleted(object) => ("Deleted", object),
        };
        let mut body = wire::encode(object);
        self.number(&mut body);
        body["(line)"] = what.into();
        if let (Seen::Deleted(Object::Pod(_)), Some(meta)) = (seen, body["metadata"].as_object_mut()) {
            meta.retain(|field, _| field != "generation" && field != "deletionTimestamp");
        }
        body
    }
}

/// Returns the outcome's name; what a refusal says in words is not compared.
fn name(outcome: &Outcome) -> String {
    let text = format!("{outcome:?}");
    text.split(['(', ' ']).next().unwrap_or_default().to_owned()
}

/// Asks both servers, with names that end in `suffix`, until their answers differ in what no line of the table has.
///
/// **Panics** when the real server does not answer.
pub async fn run(real: &Real, requests: &[Request], suffix: &str, table: &[Deviation]) -> Verdict {
    let mut model = ApiServer::default();
    let (mut ours, mut theirs) = (Side::default(), Side::default());
    let mut verdict = Verdict::default();
    for (place, request) in requests.iter().enumerate() {
        let key = Key::new(&*real.namespace, format!("n{}-{suffix}", request.name));
        let operation = ours.operation(request, &key);
        let (outcome, _) = model.handle(&operation, Writer::User, now());
        let body = if let Outcome::Done(object) = &outcome { Some(wire::encode(object)) } else { None };
        let our_answer = ours.learn(request, &outcome, body);

        let operation = theirs.operation(request, &key);
        let (outcome, code, body) = ask(&real.client, &operation).await;
        let their_answer = theirs.learn(request, &outcome, serde_json::from_slice(&body).ok());

        let mut found = Vec::new();
        deviations::compare(request.kind, "", Some(&our_answer), Some(&their_answer), &mut found);
        found.retain(|difference| {
            let line = table.iter().find(|deviation| deviation.covers(difference));
            line.inspect(|line| *verdict.accepted.entry(line.line).or_default() += 1).is_none()
        });
        let _ = writeln!(
            verdict.story,
            "{:>2}. {request}\n    model:  {our_answer}\n    server: {code} {}",
            place + 1,
            {
                let refused = !matches!(outcome, Outcome::Done(_) | Outcome::Accepted);
                if refused {
                    String::from_utf8_lossy(&body).trim().to_owned()
                } else {
                    their_answer.to_string()
                }
            }
        );
        if !found.is_empty() {
            verdict.mismatch = Some((place, found));
            break;
        }
    }
    for kind in Kind::ALL {
        verdict.watched.extend(model.lines_after(kind, Version(0)).map(|(_, seen)| seen.clone()));
    }
    verdict
}

/// Returns the lines about each object, in their order.
#[must_use]
pub fn by_name(lines: &[Seen]) -> BTreeMap<(Kind, Key), Vec<&Seen>> {
    let mut found = BTreeMap::<_, Vec<&Seen>>::new();
    for line in lines {
        let (Seen::Applied(object) | Seen::Deleted(object)) = line;
        found.entry((object.kind(), object.key().clone())).or_default().push(line);
    }
    found
}

/// Returns a server's lines without those that show a Pod's end right before its deletion: the model writes both at once.
fn without_ends(lines: &[&Seen]) -> Vec<Seen> {
    let is_end = |seen: &Seen, next: Option<&&Seen>| match (seen, next) {
        (Seen::Applied(Object::Pod(pod)), Some(Seen::Deleted(gone))) => {
            pod.meta.terminating && pod.meta.uid == gone.uid() && pod.node.is_empty()
        }
        _ => false,
    };
    let kept = lines.iter().enumerate().filter(|(place, seen)| !is_end(seen, lines.get(place + 1)));
    kept.map(|(_, seen)| (*seen).clone()).collect()
}

/// Returns how the two servers' watches of one name differ in what the table does not have.
#[must_use]
pub fn compare_watches(kind: Kind, ours: &[&Seen], theirs: &[&Seen], table: &[Deviation]) -> Vec<Difference> {
    let (mut model, mut server) = (Side::default(), Side::default());
    let ours: Value = ours.iter().map(|seen| model.line(seen)).collect();
    let theirs: Value = without_ends(theirs).iter().map(|seen| server.line(seen)).collect();
    let mut found = Vec::new();
    match (&ours, &theirs) {
        (Value::Array(lines), Value::Array(others)) if lines.len() == others.len() => {
            for (line, other) in lines.iter().zip(others) {
                deviations::compare(kind, "", Some(line), Some(other), &mut found);
            }
        }
        _ => found.push(Difference { kind, path: "(lines)".into(), model: Some(ours), server: Some(theirs) }),
    }
    found.retain(|difference| !table.iter().any(|deviation| deviation.covers(difference)));
    found
}

/// Makes a sequence with a mismatch as short as it gets by leaving requests out, one at a time.
pub async fn shrink(
    real: &Real,
    mut requests: Vec<Request>,
    suffix: &str,
    table: &[Deviation],
    wanted: &Difference,
) -> (Vec<Request>, Verdict) {
    let same = |verdict: &Verdict| {
        let alike = |found: &Difference| (found.kind, &found.path) == (wanted.kind, &wanted.path);
        verdict.mismatch.as_ref().is_some_and(|(_, all)| all.iter().any(alike))
    };
    let mut best = run(real, &requests, &format!("{suffix}-s"), table).await;
    let (mut place, mut tries) = (requests.len(), 0);
    while place > 0 {
        place -= 1;
        let mut fewer = requests.clone();
        fewer.remove(place);
        tries += 1;
        let verdict = run(real, &fewer, &format!("{suffix}-s{tries}"), table).await;
        if same(&verdict) {
            // What was needed before may be needless now.
            (requests, best) = (fewer, verdict);
            place = requests.len();
        }
    }
    (requests, best)
}

/// The model's clock: it dates objects, and what it says is not compared.
const fn now() -> Wall {
    Wall::from_micros(1_767_225_600_000_000)
}

async fn ask(client: &Client, operation: &Operation) -> (Outcome, u16, Vec<u8>) {
    let request = wire::request(operation, PATIENCE, now());
    let method = match request.method {
        wire::Method::Get => Method::GET,
        wire::Method::Post => Method::POST,
        wire::Method::Patch => Method::PATCH,
        wire::Method::Delete => Method::DELETE,
    };
    let request = connect::prepare(&method, &request.uri, request.body).expect("a path of ours is one");
    let reply = connect::call(client, request, PATIENCE).await.expect("the server answers");
    (classify(operation, &reply), reply.status.as_u16(), reply.body.to_vec())
}
