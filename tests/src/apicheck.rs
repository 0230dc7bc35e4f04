//! The simulator's model of the API server, asked the same as a real one.
//!
//! A [`sequence`] of requests is drawn from a seed. Those of a controller go to the model as they are, and to the real server
//! as the controller's own encoding has them; those of users ([`ask`]) are JSON for both. What each of them has answered
//! before decides which uids and versions it names. The answers and the whole objects are compared, field by field, with
//! uids and versions numbered in the order in which they were first shown, and so is what watches have shown in the end
//! ([`watches`]). What may differ stands in a table with its reason, see [`deviations`].

pub mod ask;
pub mod deviations;
pub mod ownership;
pub mod sequence;
mod side;
pub mod watches;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use agent_sandbox_controller::apply::classify;
use agent_sandbox_controller::connect::{self, Reply};
use agent_sandbox_core::action::Operation;
use agent_sandbox_core::event::Outcome;
use agent_sandbox_core::id::{Key, Kind, Version};
use agent_sandbox_core::time::Wall;
use agent_sandbox_core::wire;
use agent_sandbox_sim::api_server::{ApiServer, Continue, Moment, Seen, Writer, body};
use http::Method;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use self::ask::Ask;
use self::deviations::{Deviation, Difference};
use self::sequence::{Request, What};
use self::side::Side;

/// How long the real server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a namespace is looked at that is going: its server takes milliseconds to notice.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A real server, on which nobody but us acts.
#[derive(Clone)]
pub struct Real {
    /// Connections to it.
    pub client: Client,
    /// What the names of our namespaces begin with: each sequence has one of its own.
    pub prefix: String,
}

/// What became of a sequence.
#[derive(Default)]
pub struct Verdict {
    /// How often each line of the table was needed.
    pub accepted: BTreeMap<usize, u32>,
    /// The first request whose answers differ in what the table does not have, and the differences.
    pub mismatch: Option<(usize, Vec<Difference>)>,
    /// Each request with both answers.
    pub story: String,
    /// How many answers were compared.
    pub answers: usize,
    namespace: String,
    /// What the model's watches have shown.
    watched: Vec<Seen>,
    sides: [Side; 2],
}

/// Returns the outcome's name; what a refusal says in words is not compared.
fn name(outcome: &Outcome) -> String {
    let text = format!("{outcome:?}");
    text.split(['(', ' ']).next().unwrap_or_default().to_owned()
}

/// The model, and where its lists go on.
#[derive(Default)]
struct Model {
    server: ApiServer,
    side: Side,
    next: BTreeMap<Kind, Continue>,
}

/// The real server, and where its lists go on.
struct Server<'a> {
    real: &'a Real,
    side: Side,
    next: BTreeMap<Kind, String>,
}

/// Asks both servers, in a namespace whose name ends in `suffix`, until their answers differ in what no line of the table has.
///
/// **Panics** when the real server does not answer.
pub async fn run(real: &Real, requests: &[Request], suffix: &str, table: &[Deviation]) -> Verdict {
    let namespace = format!("{}-{suffix}", real.prefix);
    let mut ours = Model::default();
    let mut theirs = Server { real, side: Side::default(), next: BTreeMap::new() };
    theirs.begin(&namespace).await;
    let mut verdict = Verdict { namespace: namespace.clone(), ..Verdict::default() };
    for (place, request) in requests.iter().enumerate() {
        let our_answer = ours.answer(request, &namespace);
        let (their_answer, told) = theirs.answer(request, &namespace).await;
        verdict.answers += 1;
        let mut found = Vec::new();
        deviations::compare(request.kind, "", Some(&our_answer), Some(&their_answer), &mut found);
        // An item of a list is an object like any other.
        for difference in &mut found {
            if let Some(path) = difference.path.strip_prefix("(page)[].") {
                difference.path = path.to_owned();
            }
        }
        found.retain(|difference| {
            let line = table.iter().find(|deviation| deviation.covers(difference));
            line.inspect(|line| *verdict.accepted.entry(line.line).or_default() += 1).is_none()
        });
        let _ = writeln!(
            verdict.story,
            "{:>2}. {request}\n    model:  {our_answer}\n    server: {told}",
            place + 1
        );
        if !found.is_empty() {
            verdict.mismatch = Some((place, found));
            break;
        }
    }
    for kind in Kind::ALL {
        verdict.watched.extend(ours.server.lines_after(kind, Version(0)).map(|(_, seen)| seen.clone()));
    }
    verdict.sides = [ours.side, theirs.side];
    verdict
}

impl Model {
    fn answer(&mut self, request: &Request, namespace: &str) -> Value {
        let Request { kind, name: number, what } = request;
        let (kind, number) = (*kind, *number);
        let key = Key::new(namespace, self.side.name(kind, number));
        if let Some(operation) = request.operation(key, self.side.shown(kind, number)) {
            let (outcome, _) = self.server.handle(&operation, Writer::User, now());
            let shown = if let Outcome::Done(object) = &outcome { Some(body(object)) } else { None };
            return learn(&mut self.side, request, name(&outcome), shown);
        }
        let What::User(ask) = what else { unreachable!("it is a controller's or a user's") };
        let page = match ask {
            Ask::List { moment, limit } => {
                self.server.list(kind, namespace, moment.moment(&self.side, kind, number), *limit)
            }
            Ask::GoOn { limit } => match self.next.get(&kind) {
                Some(next) => self.server.go_on(kind, next, *limit),
                None => return Value::Null,
            },
            Ask::EndNamespace => {
                self.server.end_namespace(&namespace.into());
                return Value::Null;
            }
            Ask::Create(_) | Ask::Generate(_) | Ask::Change { .. } | Ask::Delete { .. } => {
                let wanted = ask::request(ask, &self.side, kind, number, namespace).expect("it is no list");
                let (answer, _) = self.server.ask(&wanted, Writer::User, now());
                return match answer {
                    Ok((code, shown)) => learn(&mut self.side, request, code.to_string(), shown),
                    Err(refused) => learn(&mut self.side, request, refused.code.to_string(), None),
                };
            }
        };
        match page {
            Err(refused) => learn(&mut self.side, request, refused.code.to_string(), None),
            Ok(page) => {
                self.next.remove(&kind);
                let is_more = page.next.is_some();
                self.next.extend(page.next.map(|next| (kind, next)));
                let items = page.objects.iter().map(body).collect();
                listed(&mut self.side, kind, items, is_more, page.remaining)
            }
        }
    }
}

impl Server<'_> {
    async fn begin(&self, namespace: &str) {
        let body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
        let reply = self.ask("POST", "application/json", "/api/v1/namespaces", &body).await;
        assert!(reply.status.is_success(), "{}", String::from_utf8_lossy(&reply.body));
    }

    /// Returns the answer as it is compared, and as it is told.
    async fn answer(&mut self, request: &Request, namespace: &str) -> (Value, String) {
        let Request { kind, name: number, what } = request;
        let (kind, number) = (*kind, *number);
        let key = Key::new(namespace, self.side.name(kind, number));
        if let Some(operation) = request.operation(key, self.side.shown(kind, number)) {
            let (outcome, reply) = self.operate(&operation).await;
            let shown = matches!(outcome, Outcome::Done(_)).then(|| json(&reply));
            let is_refused = !matches!(outcome, Outcome::Done(_) | Outcome::Accepted);
            let answer = learn(&mut self.side, request, name(&outcome), shown);
            let told = if is_refused { text(&reply) } else { answer.to_string() };
            return (answer, format!("{} {told}", reply.status.as_u16()));
        }
        let What::User(ask) = what else { unreachable!("it is a controller's or a user's") };
        let collection = ask::collection(kind, namespace);
        let reply = match ask {
            Ask::List { moment, limit } => {
                let moment = moment.moment(&self.side, kind, number);
                if matches!(moment, Moment::NotOlderThan(_)) {
                    // The server may answer from a cache that is behind. A list of now waits until it is not.
                    self.ask("GET", "", &collection, &Value::Null).await;
                }
                let query = ask::query(moment, *limit);
                self.ask("GET", "", &format!("{collection}?{query}"), &Value::Null).await
            }
            Ask::GoOn { limit } => match self.next.get(&kind) {
                Some(next) => {
                    let uri = format!("{collection}?limit={limit}&continue={next}");
                    self.ask("GET", "", &uri, &Value::Null).await
                }
                None => return (Value::Null, "nothing to go on with".to_owned()),
            },
            Ask::EndNamespace => {
                self.end(namespace).await;
                return (Value::Null, "nothing is created any more".to_owned());
            }
            Ask::Create(_) | Ask::Generate(_) | Ask::Change { .. } | Ask::Delete { .. } => {
                let wanted = ask::request(ask, &self.side, kind, number, namespace).expect("it is no list");
                let (method, media, uri, body) = ask::on_the_wire(&wanted);
                let reply = self.ask(method, media, &uri, &body).await;
                let shown = reply.status.is_success().then(|| json(&reply));
                let shown = shown.filter(|shown| shown["kind"] != "Status");
                let answer = learn(&mut self.side, request, reply.status.as_u16().to_string(), shown);
                return told(answer, &reply);
            }
        };
        if !reply.status.is_success() {
            return told(learn(&mut self.side, request, reply.status.as_u16().to_string(), None), &reply);
        }
        let mut list = json(&reply);
        self.next.remove(&kind);
        let next = list["metadata"]["continue"].as_str().filter(|next| !next.is_empty()).map(str::to_owned);
        let (is_more, remaining) = (next.is_some(), list["metadata"]["remainingItemCount"].as_u64());
        self.next.extend(next.map(|next| (kind, next)));
        let mut items = list["items"].take().as_array().cloned().unwrap_or_default();
        for item in &mut items {
            // Items of the kinds that the server knows do not say their kind.
            item["apiVersion"] = kind.api_version().into();
            item["kind"] = kind.name().into();
        }
        told(listed(&mut self.side, kind, items, is_more, remaining.map(|count| count as usize)), &reply)
    }

    async fn operate(&self, operation: &Operation) -> (Outcome, Reply) {
        let request = wire::request(operation, PATIENCE, now());
        let method = match request.method {
            wire::Method::Get => Method::GET,
            wire::Method::Post => Method::POST,
            wire::Method::Patch => Method::PATCH,
            wire::Method::Delete => Method::DELETE,
        };
        let request = connect::prepare(&method, &request.uri, request.body).expect("a path of ours is one");
        let reply = connect::call(&self.real.client, request, PATIENCE).await.expect("the server answers");
        (classify(operation, &reply), reply)
    }

    async fn ask(&self, method: &str, media: &str, uri: &str, body: &Value) -> Reply {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = http::Request::builder().method(method).uri(uri).header("content-type", media);
        let request = request.body(Body::from(body)).expect("a path of ours is one");
        connect::call(&self.real.client, request, PATIENCE).await.expect("the server answers")
    }

    /// Deletes the namespace and waits until the server has noticed.
    async fn end(&self, namespace: &str) {
        self.ask("DELETE", "application/json", &format!("/api/v1/namespaces/{namespace}"), &json!({})).await;
        let uri = format!("/api/v1/namespaces/{namespace}/configmaps?dryRun=All");
        let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "probe" } });
        while self.ask("POST", "application/json", &uri, &map).await.status.is_success() {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

/// Takes an answer in and returns it as the other side's may be compared with it.
fn learn(side: &mut Side, request: &Request, answer: String, shown: Option<Value>) -> Value {
    let mut compared = json!({ "(answer)": answer });
    let Some(mut shown) = shown else { return compared };
    side.learn(request.kind, request.name, &shown);
    side.number(request.kind, &mut shown);
    if let (Value::Object(compared), Value::Object(shown)) = (&mut compared, shown) {
        compared.extend(shown);
    }
    compared
}

/// Returns a page as the other side's may be compared with it.
fn listed(side: &mut Side, kind: Kind, items: Vec<Value>, is_more: bool, remaining: Option<usize>) -> Value {
    let mut items = items;
    items.iter_mut().for_each(|item| side.number(kind, item));
    json!({ "(answer)": "200", "(page)": items, "(more)": is_more, "(remaining)": remaining })
}

fn told(answer: Value, reply: &Reply) -> (Value, String) {
    let told = if reply.status.is_success() { answer.to_string() } else { text(reply) };
    (answer, format!("{} {told}", reply.status.as_u16()))
}

fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(&reply.body).trim().to_owned()
}

fn json(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).unwrap_or_default()
}

/// Makes a sequence with a mismatch as short as it gets by leaving requests out, one at a time; `None` when the servers
/// differ in `wanted` no more.
pub async fn shrink(
    real: &Real,
    mut requests: Vec<Request>,
    suffix: &str,
    table: &[Deviation],
    wanted: &Difference,
) -> Option<(Vec<Request>, Verdict)> {
    let same = |verdict: &Verdict| {
        let alike = |found: &Difference| (found.kind, &found.path) == (wanted.kind, &wanted.path);
        verdict.mismatch.as_ref().is_some_and(|(_, all)| all.iter().any(alike))
    };
    let mut best = run(real, &requests, &format!("{suffix}-s"), table).await;
    if !same(&best) {
        return None;
    }
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
    Some((requests, best))
}

/// The model's clock: it dates objects, and what it says is not compared.
const fn now() -> Wall {
    Wall::from_micros(1_767_225_600_000_000)
}
