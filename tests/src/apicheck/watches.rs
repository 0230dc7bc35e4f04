//! What the watches of the real server have shown, compared with the model's lines.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use agent_sandbox_core::id::{Key, Kind};
use agent_sandbox_sim::api_server::{Seen, body};
use http::Request;
use kube::Client;
use serde_json::Value;
use tokio::task::JoinSet;

use super::Verdict;
use super::deviations::{self, Deviation, Difference};
use super::side::Side;
use crate::cluster::eventually;
use crate::watch_log::read_lines;

/// The lines about each object, in their order.
type Lines = BTreeMap<(Kind, Key), Vec<Value>>;

/// Watches all namespaces until it is dropped.
#[derive(Debug)]
pub struct Watches {
    shared: Arc<Mutex<Shared>>,
    _tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Shared {
    lines: Lines,
    count: usize,
    /// Why a watch has ended, which makes the rest worthless.
    broken: Option<String>,
}

impl Watches {
    /// Begins to watch every kind.
    ///
    /// **Panics** when the server does not answer.
    pub async fn begin(client: &Client) -> Self {
        let shared = Arc::<Mutex<Shared>>::default();
        let mut tasks = JoinSet::new();
        for kind in Kind::ALL {
            let uri = collection(kind);
            let list = list(client, &uri).await;
            let at = list["metadata"]["resourceVersion"].as_str().expect("a list has a version").to_owned();
            let (client, shared) = (client.clone(), shared.clone());
            tasks.spawn(async move {
                let why = watch(&client, kind, &uri, &at, &shared).await;
                lock(&shared).broken = Some(format!("the watch of {} has ended: {why}", kind.plural()));
            });
        }
        Self { shared, _tasks: tasks }
    }

    /// Returns how many lines there were.
    ///
    /// **Panics** when a watch has ended.
    #[must_use]
    pub fn count(&self) -> usize {
        let shared = lock(&self.shared);
        assert!(shared.broken.is_none(), "{:?}", shared.broken);
        shared.count
    }

    /// Returns how the lines about the objects of a sequence differ in what the table does not have, with the name of each,
    /// and adds to `accepted` how often a line of the table was needed.
    #[must_use]
    pub fn compare(
        &self,
        verdict: &Verdict,
        table: &[Deviation],
        accepted: &mut BTreeMap<usize, u32>,
    ) -> Vec<(Kind, String, Difference)> {
        let [model, server] = &verdict.sides;
        let ours = verdict.lines(model);
        let theirs = self.of_namespace(&verdict.namespace, server);
        let mut all: Vec<_> = ours.keys().chain(theirs.keys()).cloned().collect();
        all.sort();
        all.dedup();
        let mut told = Vec::new();
        for (kind, name) in all {
            let none = Vec::new();
            let [ours, theirs] =
                [&ours, &theirs].map(|side| side.get(&(kind, name.clone())).unwrap_or(&none));
            let mut found = Vec::new();
            if ours.len() == theirs.len() {
                for (line, other) in ours.iter().zip(theirs) {
                    deviations::compare(kind, "", Some(line), Some(other), &mut found);
                }
            } else {
                let [model, server] = [ours, theirs].map(|lines| Some(Value::from(lines.clone())));
                found.push(Difference { kind, path: "(lines)".into(), model, server });
            }
            found.retain(|difference| {
                let line = table.iter().find(|deviation| deviation.covers(difference));
                line.inspect(|line| *accepted.entry(line.line).or_default() += 1).is_none()
            });
            told.extend(found.into_iter().map(|found| (kind, name.clone(), found)));
        }
        told
    }

    fn of_namespace(&self, namespace: &str, side: &Side) -> BTreeMap<(Kind, String), Vec<Value>> {
        let shared = lock(&self.shared);
        let mut found = BTreeMap::new();
        for kind in Kind::ALL {
            let of_kind = shared.lines.range((kind, Key::new(namespace, ""))..);
            for ((_, key), lines) in
                of_kind.take_while(|((it, key), _)| (*it, &*key.namespace) == (kind, namespace))
            {
                let lines = lines.iter().map(|line| (line["type"].clone(), line["object"].clone()));
                found.extend(compared(kind, &key.name, side, lines));
            }
        }
        found
    }
}

impl Verdict {
    /// Returns how many lines the model's watches have shown.
    #[must_use]
    pub fn lines_watched(&self) -> usize {
        self.watched.len()
    }

    fn lines(&self, side: &Side) -> BTreeMap<(Kind, String), Vec<Value>> {
        let mut of_names = BTreeMap::<(Kind, &Key), Vec<&Seen>>::new();
        for seen in &self.watched {
            of_names.entry((seen.object().kind(), seen.object().key())).or_default().push(seen);
        }
        let mut found = BTreeMap::new();
        for ((kind, key), lines) in of_names {
            let mut last = None;
            let lines = lines.into_iter().map(|seen| {
                let what = match seen {
                    Seen::Deleted(_) => "DELETED",
                    Seen::Applied(object) if last.replace(object.uid()) != Some(object.uid()) => "ADDED",
                    Seen::Applied(_) => "MODIFIED",
                };
                (Value::from(what), body(seen.object()))
            });
            found.extend(compared(kind, &key.name, side, lines));
        }
        found
    }
}

/// Returns the lines about one name as the other side's may be compared with them, and the name likewise.
fn compared(
    kind: Kind,
    name: &str,
    side: &Side,
    lines: impl Iterator<Item = (Value, Value)>,
) -> Option<((Kind, String), Vec<Value>)> {
    let (mut side, mut shown) = (side.of_names(), name.to_owned());
    let mut all = Vec::new();
    for (what, mut object) in lines {
        side.number(kind, &mut object);
        object["(line)"] = what;
        shown = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        all.push(object);
    }
    (!all.is_empty()).then_some(((kind, shown), all))
}

/// Lists a kind, whose storage may have to be made ready first.
async fn list(client: &Client, uri: &str) -> Value {
    let mut found = Value::Null;
    eventually("the server lists", async || {
        let request = Request::get(uri).body(Vec::new()).expect("the path is a URI");
        found = client.request(request).await.unwrap_or_default();
        !found.is_null()
    })
    .await;
    found
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn collection(kind: Kind) -> String {
    let root = if kind.group().is_empty() { "/api" } else { "/apis" };
    format!("{root}/{}/{}", kind.api_version(), kind.plural())
}

/// Watches until the connection ends, and returns why it has.
async fn watch(client: &Client, kind: Kind, uri: &str, at: &str, shared: &Mutex<Shared>) -> String {
    read_lines(client, uri, at, |line| {
        let line: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let meta = &line["object"]["metadata"];
        let (Some(namespace), Some(name)) = (meta["namespace"].as_str(), meta["name"].as_str()) else {
            return Err(line.to_string());
        };
        let key = Key::new(namespace, name);
        let mut shared = lock(shared);
        shared.lines.entry((kind, key)).or_default().push(line);
        shared.count += 1;
        Ok(())
    })
    .await
}
