//! The garbage collector of the simulator and the real one, given the same objects and the same deletes.
//!
//! What an object owns is drawn from a seed, and so is who is deleted, and how. After each delete both have time to do all
//! that is to be done; then the same objects must be left, with the same owners and finalizers.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use agent_sandbox_controller::connect::{self, Reply};
use agent_sandbox_core::action::Target;
use agent_sandbox_core::id::{Key, Kind};
use agent_sandbox_core::time::Wall;
use agent_sandbox_sim::api_server::{ApiServer, Deletion, Dependents, Request, Writer, body};
use agent_sandbox_sim::choices::Choices;
use agent_sandbox_sim::collector;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::ask::{collection, on_the_wire};
use super::sequence::draft;

/// How long the real collector may take. Source: a second when idle.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often what is left is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The finalizer of somebody else.
const FINALIZER: &str = "example.com/kept";

/// Some objects, and what is deleted.
#[derive(Clone, Debug)]
pub struct Family {
    /// Each with its owner, which comes before it.
    members: Vec<Member>,
    /// Which are deleted, one after the other, and how.
    deletes: Vec<(usize, Deletion)>,
}

#[derive(Clone, Debug)]
struct Member {
    kind: Kind,
    owner: Option<usize>,
    is_kept: bool,
    body: Value,
}

/// What is left: the name of each object, with its owners, its finalizers, and whether it is going.
type Left = BTreeMap<String, String>;

impl Family {
    /// Returns the family that belongs to a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut choices = Choices::from_seed(seed);
        let count = 3 + choices.below(5) as usize;
        let members: Vec<Member> = (0..count).map(|place| member(&mut choices, place)).collect();
        let deletes = (0..1 + choices.below(3)).map(|_| {
            let policies =
                [None, Some(Dependents::Background), Some(Dependents::Foreground), Some(Dependents::Orphan)];
            // Who owns most is deleted most.
            let place = choices.below(count as u32).min(choices.below(count as u32)) as usize;
            (place, Deletion { dependents: *choices.pick(&policies), grace: None })
        });
        let deletes = deletes.collect();
        Self { members, deletes }
    }

    /// Returns how many deletes there are.
    #[must_use]
    pub fn deletes(&self) -> usize {
        self.deletes.len()
    }

    fn name(&self, place: usize) -> String {
        format!("{}-{place}", self.members[place].kind.plural())
    }
}

fn member(choices: &mut Choices, place: usize) -> Member {
    let kinds = [Kind::Sandbox, Kind::Claim, Kind::Pod, Kind::Service, Kind::Pool, Kind::NetworkPolicy];
    let kind = if place == 0 { Kind::Claim } else { *choices.pick(&kinds) };
    let owner = (place > 0 && choices.chance(850)).then(|| choices.below(place as u32) as usize);
    let mut body = body(&draft(choices, kind));
    if kind == Kind::Pod {
        body["spec"].as_object_mut().map(|spec| spec.remove("nodeName"));
    }
    Member { kind, owner, is_kept: choices.chance(100), body }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, member) in self.members.iter().enumerate() {
            write!(f, "    {}", self.name(place))?;
            if let Some(owner) = member.owner {
                write!(f, " of {}", self.name(owner))?;
            }
            writeln!(f, "{}", if member.is_kept { ", with a finalizer" } else { "" })?;
        }
        for (place, deletion) in &self.deletes {
            writeln!(f, "    delete {} ({:?})", self.name(*place), deletion.dependents)?;
        }
        Ok(())
    }
}

/// A family at both servers.
pub struct Case {
    /// What it is.
    pub family: Family,
    namespace: String,
    model: ApiServer,
    choices: Choices,
    keys: Vec<Key>,
}

impl Case {
    /// Creates a family at both, in a namespace of this name.
    ///
    /// **Panics** when one of them refuses.
    pub async fn begin(client: &Client, seed: u64, namespace: String) -> Self {
        let family = Family::draw(seed);
        let body = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } });
        send(client, "POST", "/api/v1/namespaces", &body).await;
        let mut case = Self {
            model: ApiServer::default(),
            choices: Choices::from_seed(seed ^ 1),
            keys: (0..family.members.len()).map(|place| Key::new(&*namespace, family.name(place))).collect(),
            family,
            namespace,
        };
        let mut uids: Vec<[String; 2]> = Vec::new();
        for place in 0..case.keys.len() {
            let request = |side: usize| case.create(place, &uids, side);
            let reply = ask(client, &request(1)).await;
            let theirs = uid(&serde_json::from_slice(&reply.body).unwrap_or_default());
            let (answer, _) = case.model.ask(&request(0), Writer::User, Wall::default());
            let (_, shown) = answer.expect("the model takes it");
            uids.push([uid(&shown.unwrap_or_default()), theirs]);
        }
        case
    }

    fn create(&self, place: usize, uids: &[[String; 2]], side: usize) -> Request {
        let member = &self.family.members[place];
        let mut body = member.body.clone();
        let mut meta = json!({ "name": self.keys[place].name });
        if let Some(owner) = member.owner {
            let kind = self.family.members[owner].kind;
            meta["ownerReferences"] = json!([{
                "apiVersion": kind.api_version(), "kind": kind.name(), "name": self.keys[owner].name,
                "uid": uids[owner][side], "controller": true, "blockOwnerDeletion": true,
            }]);
        }
        if member.is_kept {
            meta["finalizers"] = json!([FINALIZER]);
        }
        body["metadata"] = meta;
        Request::Create { kind: member.kind, namespace: self.namespace.as_str().into(), body }
    }

    /// Makes the delete with this number at both, lets the model's collector do all that it finds, and asks the real server
    /// until the same is left there; returns what is left of both when it is not in time.
    pub async fn delete(&mut self, client: &Client, number: usize) -> Option<[String; 2]> {
        let (place, deletion) = self.family.deletes[number];
        let target =
            Target { kind: self.family.members[place].kind, key: self.keys[place].clone(), uid: None };
        let request = Request::Delete { target, version: None, deletion };
        ask(client, &request).await;
        let _ = self.model.ask(&request, Writer::User, Wall::default());
        let choices = &mut self.choices;
        collector::collect_all(&mut self.model, |count| choices.below(count as u32) as usize);
        let ours = self.left_at_the_model();
        let begin = Instant::now();
        loop {
            let theirs = self.left_at_the_server(client).await;
            if ours == theirs {
                return None;
            }
            if begin.elapsed() > PATIENCE {
                return Some([format!("{ours:#?}"), format!("{theirs:#?}")]);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    fn left_at_the_model(&self) -> Left {
        let all = Kind::ALL.into_iter().flat_map(|kind| self.model.store().list(kind));
        all.map(|object| told(&body(object))).collect()
    }

    async fn left_at_the_server(&self, client: &Client) -> Left {
        let mut left = Left::new();
        for kind in Kind::ALL {
            let reply = send(client, "GET", &collection(kind, &self.namespace), &Value::Null).await;
            let list: Value = serde_json::from_slice(&reply.body).expect("a list is JSON");
            left.extend(list["items"].as_array().into_iter().flatten().map(told));
        }
        left
    }
}

fn told(body: &Value) -> (String, String) {
    let meta = &body["metadata"];
    let owners = meta["ownerReferences"].as_array().into_iter().flatten();
    let owners: Vec<_> = owners.map(|owner| owner["name"].as_str().unwrap_or_default()).collect();
    let going = if meta["deletionTimestamp"].is_null() { "" } else { ", going" };
    let name = meta["name"].as_str().unwrap_or_default().to_owned();
    (name, format!("of {owners:?}, kept by {}{going}", meta["finalizers"]))
}

fn uid(body: &Value) -> String {
    body["metadata"]["uid"].as_str().expect("what is created has a uid").to_owned()
}

async fn ask(client: &Client, request: &Request) -> Reply {
    let (method, _, uri, body) = on_the_wire(request);
    send(client, method, &uri, &body).await
}

async fn send(client: &Client, method: &str, uri: &str, body: &Value) -> Reply {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let request = http::Request::builder().method(method).uri(uri).header("content-type", "application/json");
    let request = request.body(Body::from(body)).expect("a path of ours is one");
    connect::call(client, request, PATIENCE).await.expect("the server answers")
}
