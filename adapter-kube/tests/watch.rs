//! A watcher against an API server that answers from a script.
#![expect(clippy::unwrap_used, reason = "helpers of a test may fail as the test may")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use agent_sandbox_controller::floor::Floor;
use agent_sandbox_controller::health::Health;
use agent_sandbox_controller::watch::{WatchError, Watcher};
use agent_sandbox_core::event::Event;
use agent_sandbox_core::id::{Kind, Version};
use axum::Router;
use axum::http::{StatusCode, Uri};
use kube::{Client, Config};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

#[tokio::test]
async fn the_pages_of_a_list_become_one_event() {
    let mut world = World::start([
        ("?limit=500", 200, list(7, "next/1", &["a", "b"])),
        ("?limit=500&continue=next%2F1", 200, list(7, "", &["c"])),
    ])
    .await;
    assert_eq!(world.next().await, "Relisted a b c at 7");
}

#[tokio::test]
async fn a_list_that_expires_between_its_pages_begins_again() {
    let mut world = World::start([
        ("?limit=500", 200, list(7, "next", &["a"])),
        ("&continue=next", 410, status(410, "Expired")),
        ("?limit=500", 200, list(9, "", &["b"])),
    ])
    .await;
    assert_eq!(world.next().await, "Relisted b at 9");
}

#[tokio::test]
async fn a_watch_goes_on_from_the_list_and_is_resumed_where_it_ended() {
    let mut world = World::start([
        ("?limit=500", 200, list(7, "", &[])),
        ("&resourceVersion=7", 200, [frame("ADDED", "a", 8), bookmark(9)].concat()),
        ("?limit=1", 200, list(9, "", &[])),
        ("&resourceVersion=9", 200, frame("DELETED", "a", 10)),
    ])
    .await;
    assert_eq!(world.next().await, "Relisted at 7");
    assert_eq!(world.next().await, "Applied a at 8");
    assert_eq!(world.next().await, "Progress at 9");
    assert_eq!(world.next().await, "Deleted a at 10");
}

#[tokio::test]
async fn a_watch_that_cannot_be_resumed_is_told_before_the_new_list() {
    let expired = format!("{{\"type\":\"ERROR\",\"object\":{}}}\n", status(410, "Expired"));
    let mut world = World::start([
        ("?limit=500", 200, list(7, "", &["a"])),
        ("&resourceVersion=7", 200, expired),
        ("?limit=500", 200, list(20, "", &["b"])),
    ])
    .await;
    assert_eq!(world.next().await, "Relisted a at 7");
    assert_eq!(world.next().await, "WatchLost");
    assert_eq!(world.next().await, "Relisted b at 20");
}

#[tokio::test]
async fn a_missing_crd_is_waited_for() {
    let mut world = World::start([
        ("?limit=500", 404, "404 page not found".to_owned()),
        ("?limit=500", 404, "404 page not found".to_owned()),
        ("?limit=500", 200, list(7, "", &[])),
    ])
    .await;
    assert_eq!(world.next().await, "Relisted at 7");
}

#[tokio::test]
async fn an_object_that_cannot_be_read_is_passed_over() {
    let nonsense = r#"{"type":"MODIFIED","object":{"metadata":{"name":"a","resourceVersion":"8"},"spec":3}}"#;
    let mut world = World::start([
        ("?limit=500", 200, list(7, "", &[])),
        ("&resourceVersion=7", 200, format!("{nonsense}\n{}", frame("MODIFIED", "b", 9))),
    ])
    .await;
    assert_eq!(world.next().await, "Relisted at 7");
    assert_eq!(world.next().await, "Applied b at 9");
}

#[tokio::test]
async fn a_list_below_what_was_shown_ends_the_process() {
    let world = World::start([("?limit=500", 200, list(7, "", &[]))]).await;
    world.floor.raise(Kind::Pod, Version(6));
    let mut world = world;
    assert_eq!(world.next().await, "Relisted at 7");

    let world = World::start_at(Version(8), [("?limit=500", 200, list(7, "", &[]))]).await;
    assert_eq!(world.end().await, "the list of pods is at version 7, but version 8 was shown before");
}

#[tokio::test]
async fn a_watch_is_not_resumed_on_an_older_store() {
    let mut world = World::start([
        ("?limit=500", 200, list(7, "", &[])),
        ("&resourceVersion=7", 200, frame("ADDED", "a", 9)),
        ("?limit=1", 200, list(8, "", &[])),
    ])
    .await;
    assert_eq!(world.next().await, "Relisted at 7");
    assert_eq!(world.next().await, "Applied a at 9");
    assert_eq!(world.end().await, "the list of pods is at version 8, but version 9 was shown before");
}

/// A part of the URI that the request must have, the status, and the body.
type Answer = (&'static str, u16, String);

/// A watcher of Pods and its API server.
struct World {
    floor: Arc<Floor>,
    events: mpsc::Receiver<Event>,
    watcher: JoinHandle<Result<std::convert::Infallible, WatchError>>,
}

impl World {
    async fn start<const N: usize>(script: [Answer; N]) -> Self {
        Self::start_at(Version(0), script).await
    }

    async fn start_at<const N: usize>(shown: Version, script: [Answer; N]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = Config::new(format!("http://{}", listener.local_addr().unwrap()).parse().unwrap());
        let script = Arc::new(Mutex::new(VecDeque::from(script)));
        let routes = Router::new().fallback(move |uri: Uri| answer(script.clone(), uri));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let (sender, events) = mpsc::channel(16);
        let floor = Arc::new(Floor::default());
        floor.raise(Kind::Pod, shown);
        let watcher = Watcher {
            kind: Kind::Pod,
            client: Client::try_from(config).unwrap(),
            events: sender,
            floor: floor.clone(),
            health: Arc::new(Health::new(vec![])),
            selector: "",
            sharer: Mutex::default(),
        };
        Self { floor, events, watcher: tokio::spawn(watcher.run()) }
    }

    async fn next(&mut self) -> String {
        let event = timeout(Duration::from_secs(20), self.events.recv()).await.unwrap().unwrap();
        let names =
            |objects: &[_]| -> String { objects.iter().map(|pod| format!("{} ", name(pod))).collect() };
        match &event {
            Event::Relisted { objects, at, .. } => format!("Relisted {}at {at}", names(objects)),
            Event::Applied(pod) => format!("Applied {} at {}", name(pod), pod.version()),
            Event::Deleted(pod) => format!("Deleted {} at {}", name(pod), pod.version()),
            Event::Progress { at, .. } => format!("Progress at {at}"),
            Event::WatchLost { .. } => "WatchLost".into(),
            Event::ActionDone { .. } | Event::Leading { .. } | Event::Standby => {
                panic!("a watcher never says {event:?}")
            }
        }
    }

    async fn end(self) -> String {
        let end = timeout(Duration::from_secs(20), self.watcher).await.unwrap().unwrap();
        let error = end.map(|_| ()).unwrap_err().to_string();
        error.split_once(": the store").map(|(what, _)| what.to_owned()).unwrap_or(error)
    }
}

fn name(object: &agent_sandbox_core::object::Object) -> &str {
    &object.key().name
}

/// Answers with the next line of the script; after the last one it keeps the connection open and says nothing.
async fn answer(script: Arc<Mutex<VecDeque<Answer>>>, uri: Uri) -> (StatusCode, String) {
    let next = script.lock().unwrap().pop_front();
    let Some((part, code, body)) = next else { return std::future::pending().await };
    let text = uri.to_string();
    let is_expected = text.starts_with("/api/v1/pods?") && text.contains(part);
    assert!(is_expected, "{text} came instead of {part}");
    (StatusCode::from_u16(code).unwrap(), body)
}

fn list(at: u64, next: &str, names: &[&str]) -> String {
    let items: Vec<_> = names.iter().map(|name| pod(name, at)).collect();
    let items = items.join(",");
    format!(r#"{{"metadata":{{"resourceVersion":"{at}","continue":"{next}"}},"items":[{items}]}}"#)
}

fn pod(name: &str, version: u64) -> String {
    format!(
        r#"{{"metadata":{{"namespace":"n","name":"{name}","uid":"{name}","resourceVersion":"{version}"}},"spec":{{}}}}"#
    )
}

fn frame(kind: &str, name: &str, version: u64) -> String {
    format!("{{\"type\":\"{kind}\",\"object\":{}}}\n", pod(name, version))
}

fn bookmark(version: u64) -> String {
    let object = format!(r#"{{"kind":"Pod","metadata":{{"resourceVersion":"{version}"}}}}"#);
    format!("{{\"type\":\"BOOKMARK\",\"object\":{object}}}\n")
}

fn status(code: u16, reason: &str) -> String {
    format!(r#"{{"kind":"Status","code":{code},"reason":"{reason}","message":"no"}}"#)
}
