//! The watch log of a test: everything that happened in a namespace, as an onlooker sees it.
//!
//! It is taken with plain requests, not with the code under test, so that it can testify against that.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agent_sandbox_core::id::{Kind, Version};
use agent_sandbox_core::object::Object;
use agent_sandbox_core::wire;
use agent_sandbox_sim::api_server::Seen;
use agent_sandbox_sim::store::Store;
use http::Request;
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// Watches one namespace until it is dropped.
#[derive(Debug)]
pub struct WatchLog {
    shared: Arc<Shared>,
    _watches: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<History>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct History {
    lines: Vec<Seen>,
    store: Store,
    /// Why a watch has ended, which makes the log worthless.
    broken: Option<String>,
}

impl WatchLog {
    /// Begins to watch the five kinds in a namespace in which there is none of them yet.
    ///
    /// **Panics** when the server does not answer, or there is something already.
    pub async fn begin(client: &Client, namespace: &str) -> Self {
        let shared = Arc::<Shared>::default();
        let mut watches = JoinSet::new();
        for kind in Kind::ALL {
            let at = list(client, kind, namespace).await;
            let (client, shared, uri) = (client.clone(), shared.clone(), collection(kind, namespace));
            watches.spawn(async move {
                let why = watch(&client, kind, &uri, at, &shared).await;
                shared.seen().broken = Some(format!("the watch of {} has ended: {why}", kind.plural()));
                shared.changed.notify_waiters();
            });
        }
        Self { shared, _watches: watches }
    }

    /// Waits until `condition` holds for what is stored, as far as the watches have shown it.
    ///
    /// **Panics** with `what` and what there is when that takes longer than `patience`, or a watch ends.
    pub async fn until(&self, what: &str, patience: Duration, condition: impl Fn(&Store) -> bool) {
        let deadline = Instant::now() + patience;
        loop {
            // Asked for before the look, so that no change is missed between the look and the wait.
            let changed = self.shared.changed.notified();
            if condition(&self.history().store) {
                return;
            }
            let in_time = timeout_at(deadline, changed).await.is_ok();
            assert!(in_time, "not within {patience:?}: {what}; there are{}", summary(&self.history().store));
        }
    }

    /// Returns what `question` finds in what is stored.
    ///
    /// **Panics** when a watch has ended.
    pub fn ask<T>(&self, question: impl FnOnce(&Store) -> T) -> T {
        question(&self.history().store)
    }

    /// Returns all that was seen: each kind in its order.
    ///
    /// **Panics** when a watch has ended.
    #[must_use]
    pub fn lines(&self) -> Vec<Seen> {
        self.history().lines.clone()
    }

    fn history(&self) -> MutexGuard<'_, History> {
        let history = self.shared.seen();
        assert!(history.broken.is_none(), "{:?}", history.broken);
        history
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, History> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, seen: Seen) {
        let mut history = self.seen();
        match &seen {
            Seen::Applied(object) => drop(history.store.put(object.clone())),
            Seen::Deleted(object) => drop(history.store.remove(object.kind(), object.key())),
        }
        history.lines.push(seen);
        self.changed.notify_waiters();
    }
}

async fn list(client: &Client, kind: Kind, namespace: &str) -> Version {
    let request = Request::get(collection(kind, namespace)).body(Vec::new()).expect("the path is a URI");
    let text = client.request_text(request).await.expect("the server lists");
    let (objects, at, _) = wire::decode_list(kind, &text).expect("the server sends a list");
    assert!(objects.is_empty(), "the log would not show how {} began: {objects:?}", kind.plural());
    at
}

fn collection(kind: Kind, namespace: &str) -> String {
    let root = if kind.group().is_empty() { "/api" } else { "/apis" };
    format!("{root}/{}/namespaces/{namespace}/{}", kind.api_version(), kind.plural())
}

/// Watches until the connection ends, and returns why it has.
async fn watch(client: &Client, kind: Kind, uri: &str, at: Version, shared: &Shared) -> String {
    read_lines(client, uri, &at.to_string(), |line| read(kind, line).map(|seen| shared.take(seen))).await
}

/// Gives each line that a watch of `uri` shows after version `at` to `take`, until the connection ends or a line is no
/// good; returns why it has ended.
pub(crate) async fn read_lines(
    client: &Client,
    uri: &str,
    at: &str,
    mut take: impl FnMut(&[u8]) -> Result<(), String>,
) -> String {
    // Longer than any test runs.
    let uri = format!("{uri}?watch=true&timeoutSeconds=7200&resourceVersion={at}");
    let request = Request::get(uri).body(Body::empty()).expect("the path is a URI");
    let mut body = match client.send(request).await {
        Ok(response) => response.into_body(),
        Err(error) => return error.to_string(),
    };
    let mut rest = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame.map(|frame| frame.into_data()) {
            Ok(Ok(data)) => rest.extend_from_slice(&data),
            Ok(Err(_)) => {}
            Err(error) => return error.to_string(),
        }
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            if let Err(why) = take(&line) {
                return why;
            }
        }
    }
    "the server closed it".to_owned()
}

fn read(kind: Kind, line: &[u8]) -> Result<Seen, String> {
    #[derive(Deserialize)]
    struct Line<'a> {
        r#type: &'a str,
        #[serde(borrow)]
        object: &'a RawValue,
    }
    let line: Line<'_> = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let object = || -> Result<Object, String> {
        wire::decode(kind, line.object.get()).map_err(|error| format!("{error} in {}", line.object))
    };
    match line.r#type {
        "ADDED" | "MODIFIED" => object().map(Seen::Applied),
        "DELETED" => object().map(Seen::Deleted),
        other => Err(format!("{other}: {}", line.object)),
    }
}

/// Returns how many objects of each kind there are, and what the claims and pools say.
fn summary(store: &Store) -> String {
    let mut text = String::new();
    for kind in Kind::ALL {
        text += &format!(" {} {},", store.list(kind).len(), kind.plural());
    }
    let claims = store.list(Kind::Claim).iter().filter_map(Object::as_claim);
    let waiting = claims.filter(|claim| !claim.status.is_ready());
    let pools = store.list(Kind::Pool).iter().filter_map(Object::as_pool);
    let told = waiting
        .map(|claim| format!("{}: {:?}", claim.meta.key, claim.status))
        .chain(pools.map(|pool| format!("{}: {:?}", pool.meta.key, pool.status)));
    told.fold(text, |text, line| format!("{text}\n    {line}"))
}
