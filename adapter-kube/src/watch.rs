//! Lists and watches → events, one task for each kind.
//!
//! A list without `resourceVersion` shows everything that was committed when it was asked for; the watch goes on from
//! there. After an ordinary end of the connection the watch resumes where it was. Only when the server cannot do that
//! (410) or stays away, the core is told that it may be blind, and everything is listed afresh.
//!
//! A watch from a version that the store does not have yet shows nothing at all, not even bookmarks. That is what
//! resuming would be after the store was restored from a backup, so the store's version is asked for first.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use agent_sandbox_core::event::Event;
use agent_sandbox_core::id::{Kind, Version};
use agent_sandbox_core::object::Object;
use agent_sandbox_core::wire::{self, Sharer};
use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use crate::apply::Status;
use crate::connect::{self, NoReply, Reply};
use crate::floor::Floor;
use crate::health::Health;

/// Objects in one page of a list. Source: what kubectl and client-go ask for.
const PAGE: u32 = 500;

/// How long one page may take. Source: half of the API server's own limit for a request.
const PAGE_LIMIT: Duration = Duration::from_secs(30);

/// How long the server keeps a watch open. Source: client-go draws 5 to 10 minutes; kinds start apart anyway.
const WATCH_SECONDS: u32 = 420;

/// A watch that says nothing for so long is broken: the server sends a bookmark about once a minute.
const SILENCE_MAX: Duration = Duration::from_secs(90);

/// How long a watch is given to show what an answer has shown, before it counts as broken.
const LAG_MAX: Duration = Duration::from_secs(10);

/// How long a watch may be tried to be resumed before the core is told that it may be blind.
const RESUME_MAX: Duration = Duration::from_secs(10);

/// How often to say what is missing.
const REMIND: Duration = Duration::from_secs(10);

/// Why a process that watches must end.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// What the process remembers never happened in this store.
    #[error("the list of {} is at version {at}, but version {shown} was shown before: the store was restored from a backup; starting anew", kind.plural())]
    StoreRestored {
        /// The kind listed.
        kind: Kind,
        /// The version of the list.
        at: Version,
        /// The newest version shown before the list was asked for.
        shown: Version,
    },
    /// Nobody takes the events any more: the process is ending.
    #[error("nobody takes the events")]
    Closed,
}

/// Watches one kind in all namespaces.
pub struct Watcher {
    /// Which kind.
    pub kind: Kind,
    /// Connections for reads.
    pub client: Client,
    /// Where the events go.
    pub events: mpsc::Sender<Event>,
    /// Learns the versions shown.
    pub floor: Arc<Floor>,
    /// Learns that the kind was listed.
    pub health: Arc<Health>,
    /// A label selector; empty for every object.
    pub selector: &'static str,
    /// What the objects share, so that many fit into memory.
    pub sharer: Mutex<Sharer>,
}

/// Why a list has failed.
#[derive(Debug, thiserror::Error)]
enum ListError {
    #[error("{} in {} is not served", kind.plural(), kind.api_version())]
    NotServed { kind: Kind },
    #[error("the list is too old to be continued")]
    Expired,
    #[error("{status}: {message}")]
    Refused { status: StatusCode, message: String },
    #[error("{0}")]
    NoReply(#[from] NoReply),
    #[error("{0}")]
    Malformed(#[from] serde_json::Error),
    #[error("resourceVersion {0:?} is no number")]
    Version(String),
}

struct Listed {
    objects: Vec<Object>,
    at: Version,
}

/// How a watch connection has ended.
enum End {
    /// As connections do.
    Closed,
    /// The server cannot go on from where we are.
    Gone(String),
    /// It could not be opened, or it broke.
    Failed(String),
}

impl Watcher {
    /// Lists and watches until nobody takes the events.
    ///
    /// # Errors
    /// When the process must end; see [`WatchError`].
    pub async fn run(self) -> Result<Infallible, WatchError> {
        let mut pause = Backoff::default();
        loop {
            let began = Instant::now();
            let Listed { objects, at } = self.list_until_done().await?;
            let count = objects.len();
            info!(kind = %self.kind, count, version = %at, "listed");
            self.send(Event::Relisted { kind: self.kind, objects, at }).await?;
            self.health.list(self.kind);
            let reason = self.follow(at).await?;
            warn!(kind = %self.kind, reason, "the watch is lost, listing afresh");
            self.send(Event::WatchLost { kind: self.kind }).await?;
            if began.elapsed() > RESUME_MAX {
                pause = Backoff::default();
            }
            sleep(pause.next()).await;
        }
    }

    async fn send(&self, event: Event) -> Result<(), WatchError> {
        self.events.send(event).await.map_err(|_| WatchError::Closed)
    }

    async fn list_until_done(&self) -> Result<Listed, WatchError> {
        let mut pause = Backoff::default();
        let mut told = None::<Instant>;
        loop {
            let shown = self.floor.of(self.kind);
            match self.list().await {
                Ok(listed) => {
                    self.compare(listed.at, shown)?;
                    self.floor.raise(self.kind, listed.at);
                    return Ok(listed);
                }
                Err(error) => {
                    // To ask for what is not served costs nobody anything, and somebody may be installing it.
                    if matches!(error, ListError::NotServed { .. }) {
                        pause = Backoff::default();
                    }
                    if told.is_none_or(|at| at.elapsed() >= REMIND) {
                        told = Some(Instant::now());
                        self.tell(&error);
                    }
                    sleep(pause.next()).await;
                }
            }
        }
    }

    /// Compares the version of a list with the newest that was shown before it was asked for.
    fn compare(&self, at: Version, shown: Version) -> Result<(), WatchError> {
        let kind = self.kind;
        if at < shown { Err(WatchError::StoreRestored { kind, at, shown }) } else { Ok(()) }
    }

    fn tell(&self, error: &ListError) {
        let kind = self.kind;
        if matches!(error, ListError::NotServed { .. }) {
            warn!(%kind, "waiting for the CRD {}.{} with version v1beta1", kind.plural(), kind.group());
        } else {
            warn!(%kind, %error, "cannot list, trying again");
        }
    }

    /// Reads all pages of one list.
    async fn list(&self) -> Result<Listed, ListError> {
        let mut objects = Vec::new();
        let mut next = None::<String>;
        loop {
            let reply = self.page(PAGE, next.as_deref()).await?;
            let page: Page<'_> = serde_json::from_slice(&reply.body)?;
            objects.extend(page.items.into_iter().flatten().filter_map(|item| self.decode(item.get())));
            let at = page.metadata.resource_version;
            match page.metadata.next.filter(|next| !next.is_empty()) {
                Some(token) => next = Some(token),
                None => return Ok(Listed { objects, at: version(&at).ok_or(ListError::Version(at))? }),
            }
        }
    }

    /// Asks for the version that the store is at.
    async fn store_version(&self) -> Result<Version, ListError> {
        let reply = self.page(1, None).await?;
        let at = serde_json::from_slice::<Page<'_>>(&reply.body)?.metadata.resource_version;
        version(&at).ok_or(ListError::Version(at))
    }

    async fn page(&self, limit: u32, next: Option<&str>) -> Result<Reply, ListError> {
        let request = connect::prepare(&Method::GET, &self.list_uri(limit, next), String::new())?;
        let reply = connect::call(&self.client, request, PAGE_LIMIT).await?;
        match reply.status {
            status if status.is_success() => Ok(reply),
            StatusCode::NOT_FOUND => Err(ListError::NotServed { kind: self.kind }),
            StatusCode::GONE => Err(ListError::Expired),
            status => Err(ListError::Refused { status, message: Status::read(&reply.body).message }),
        }
    }

    fn collection(&self) -> String {
        let root = if self.kind.group().is_empty() { "/api/" } else { "/apis/" };
        format!("{root}{}/{}", self.kind.api_version(), self.kind.plural())
    }

    fn list_uri(&self, limit: u32, next: Option<&str>) -> String {
        let mut uri = format!("{}?limit={limit}", self.collection());
        if let Some(next) = next {
            uri += &parameter("continue", next);
        }
        self.with_selector(uri)
    }

    fn watch_uri(&self, at: Version) -> String {
        self.with_selector(format!(
            "{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={at}",
            self.collection()
        ))
    }

    fn with_selector(&self, mut uri: String) -> String {
        if !self.selector.is_empty() {
            uri += &parameter("labelSelector", self.selector);
        }
        uri
    }

    fn decode(&self, json: &str) -> Option<Object> {
        match wire::decode(self.kind, json) {
            Ok(mut object) => {
                self.sharer.lock().unwrap_or_else(PoisonError::into_inner).share(&mut object);
                Some(object)
            }
            Err(error) => {
                let (namespace, name) = name_of(json);
                warn!(kind = %self.kind, namespace, name, %error, "skipping an object that cannot be read");
                None
            }
        }
    }

    /// Watches from `at` on, over as many connections as it takes. Returns why that came to an end.
    async fn follow(&self, mut at: Version) -> Result<String, WatchError> {
        let mut pause = Backoff::default();
        let mut broken_since = None::<Instant>;
        let (mut began, mut before) = (Instant::now(), at);
        let mut end = self.stream(&mut at).await?;
        loop {
            if at > before || began.elapsed() > SILENCE_MAX {
                (pause, broken_since) = (Backoff::default(), None);
            }
            match end {
                End::Gone(reason) => return Ok(reason),
                End::Closed => debug!(kind = %self.kind, version = %at, "the watch ended, resuming"),
                End::Failed(reason) => {
                    debug!(kind = %self.kind, version = %at, reason, "the watch broke, resuming");
                    if broken_since.get_or_insert(began).elapsed() > RESUME_MAX {
                        return Ok(reason);
                    }
                }
            }
            sleep(pause.next()).await;
            (began, before) = (Instant::now(), at);
            end = self.resume(&mut at).await?;
        }
    }

    /// Watches over one more connection, if the store still is the one that the watch was on.
    async fn resume(&self, at: &mut Version) -> Result<End, WatchError> {
        let shown = self.floor.of(self.kind);
        match self.store_version().await {
            Ok(store) => self.compare(store, shown)?,
            Err(error @ ListError::NotServed { .. }) => return Ok(End::Gone(error.to_string())),
            Err(error) => return Ok(End::Failed(error.to_string())),
        }
        self.stream(at).await
    }

    /// Watches over one connection. `at` follows what was shown.
    async fn stream(&self, at: &mut Version) -> Result<End, WatchError> {
        let mut body = match self.open(*at).await {
            Ok(body) => body,
            Err(end) => return Ok(end),
        };
        let mut lines = Lines::default();
        let mut silence = Silence::default();
        loop {
            let frame = match timeout(LAG_MAX, body.frame()).await {
                Err(_) => match silence.judge(*at, self.expected()) {
                    Some(reason) => return Ok(End::Failed(reason)),
                    None => continue,
                },
                Ok(None) => return Ok(End::Closed),
                Ok(Some(Err(error))) => return Ok(End::Failed(error.to_string())),
                Ok(Some(Ok(frame))) => frame,
            };
            silence = Silence::default();
            let Ok(data) = frame.into_data() else { continue };
            lines.push(&data);
            while let Some(line) = lines.next() {
                if let Some(end) = self.take(&line, at).await? {
                    return Ok(end);
                }
            }
        }
    }

    /// Returns the version that a watch has shown or must show soon. With a selector nobody can tell.
    fn expected(&self) -> Version {
        if self.selector.is_empty() { self.floor.of(self.kind) } else { Version(0) }
    }

    async fn open(&self, at: Version) -> Result<Body, End> {
        let failed = |error: &dyn std::error::Error| End::Failed(connect::chain(error));
        let request =
            connect::prepare(&Method::GET, &self.watch_uri(at), String::new()).map_err(|e| failed(&e))?;
        let response = match timeout(PAGE_LIMIT, self.client.send(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(failed(&error)),
            Err(_) => return Err(End::Failed(format!("no answer within {PAGE_LIMIT:?}"))),
        };
        let status = response.status();
        if status.is_success() {
            return Ok(response.into_body());
        }
        let body = timeout(PAGE_LIMIT, response.into_body().collect_bytes()).await;
        let message =
            body.ok().and_then(Result::ok).map(|body| Status::read(&body).message).unwrap_or_default();
        let reason = format!("{status}: {message}");
        Err(match status {
            StatusCode::GONE | StatusCode::NOT_FOUND => End::Gone(reason),
            _ => End::Failed(reason),
        })
    }

    /// Takes one line of a watch: an event for the core, or the end.
    async fn take(&self, line: &[u8], at: &mut Version) -> Result<Option<End>, WatchError> {
        let frame: Frame<'_> = match serde_json::from_slice(line) {
            Ok(frame) => frame,
            Err(error) => return Ok(Some(End::Failed(format!("not a watch event: {error}")))),
        };
        let json = frame.object.get();
        let event = match &*frame.kind {
            "ADDED" | "MODIFIED" => self.decode(json).map(Event::Applied),
            "DELETED" => self.decode(json).map(Event::Deleted),
            "BOOKMARK" => version_of(json).map(|at| Event::Progress { kind: self.kind, at }),
            "ERROR" => return Ok(Some(failure(&Status::read(json.as_bytes())))),
            other => return Ok(Some(End::Failed(format!("unknown watch event {other:?}")))),
        };
        // An object that cannot be read is passed over, and so is its version.
        let shown = match &event {
            Some(Event::Applied(object) | Event::Deleted(object)) => Some(object.version()),
            _ => version_of(json),
        };
        if let Some(shown) = shown {
            *at = shown.max(*at);
            self.floor.raise(self.kind, shown);
        }
        if let Some(event) = event {
            self.send(event).await?;
        }
        Ok(None)
    }
}

fn failure(status: &Status) -> End {
    let reason = format!("{} {}: {}", status.code, status.reason, status.message);
    let is_gone = status.code == StatusCode::GONE.as_u16() || matches!(&*status.reason, "Expired" | "Gone");
    if is_gone { End::Gone(reason) } else { End::Failed(reason) }
}

/// One page of a list, its items unread.
#[derive(Deserialize)]
struct Page<'a> {
    metadata: PageMeta,
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageMeta {
    resource_version: String,
    #[serde(default, rename = "continue")]
    next: Option<String>,
}

/// One line of a watch, its object unread.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Deserialize)]
struct Head {
    metadata: HeadMeta,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct HeadMeta {
    namespace: String,
    name: String,
    resource_version: String,
}

fn version(text: &str) -> Option<Version> {
    text.parse().ok().map(Version)
}

fn version_of(json: &str) -> Option<Version> {
    serde_json::from_str::<Head>(json).ok().and_then(|head| version(&head.metadata.resource_version))
}

fn name_of(json: &str) -> (String, String) {
    serde_json::from_str::<Head>(json)
        .map(|head| (head.metadata.namespace, head.metadata.name))
        .unwrap_or_default()
}

/// Writes one more query parameter. Source: the unreserved characters of RFC 3986, section 2.3.
fn parameter(name: &str, value: &str) -> String {
    let mut text = format!("&{name}=");
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte))
            }
            _ => text += &format!("%{byte:02X}"),
        }
    }
    text
}

/// Cuts a stream of bytes into lines.
#[derive(Default)]
struct Lines {
    buffer: BytesMut,
    /// How much of the buffer holds no line end: a long line is searched once.
    searched: usize,
}

impl Lines {
    fn push(&mut self, data: &[u8]) {
        self.buffer.extend_from_slice(data);
    }

    fn next(&mut self) -> Option<Bytes> {
        let Some(end) = self.buffer[self.searched..].iter().position(|&byte| byte == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let line = self.buffer.split_to(self.searched + end + 1);
        self.searched = 0;
        Some(line.freeze())
    }
}

/// Tells a quiet watch from a broken one.
struct Silence {
    since: Instant,
    /// What answers had shown already when the watch was last found behind.
    behind: Option<Version>,
}

impl Default for Silence {
    fn default() -> Self {
        Self { since: Instant::now(), behind: None }
    }
}

impl Silence {
    /// Judges a watch that has shown nothing for [`LAG_MAX`] and more. Returns why it counts as broken.
    fn judge(&mut self, at: Version, shown: Version) -> Option<String> {
        if self.behind.is_some_and(|behind| behind > at) {
            return Some(format!("still at version {at} although answers show {shown}"));
        }
        self.behind = Some(shown);
        let silent = self.since.elapsed();
        (silent > SILENCE_MAX).then(|| format!("silent for {silent:?}"))
    }
}

/// Pauses that double, for what the core knows nothing of: lists and watches.
struct Backoff {
    pause: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { pause: Duration::from_millis(100) }
    }
}

impl Backoff {
    /// Source: long enough to spare a server in trouble, short enough that nobody waits long after it.
    const MAX: Duration = Duration::from_secs(5);

    fn next(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(Self::MAX);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_wherever_the_stream_is_cut() {
        let text = b"{\"a\":1}\n\n{\"b\":2}\nrest";
        for size in 1..text.len() {
            let (mut lines, mut found) = (Lines::default(), Vec::new());
            for chunk in text.chunks(size) {
                lines.push(chunk);
                found.extend(std::iter::from_fn(|| lines.next()));
            }
            assert_eq!(found, ["{\"a\":1}\n", "\n", "{\"b\":2}\n"], "cut into {size}");
        }
    }

    #[test]
    fn a_continue_token_survives_the_query() {
        assert_eq!(parameter("continue", "eyJ2+/ ="), "&continue=eyJ2%2B%2F%20%3D");
    }

    #[test]
    fn only_what_the_server_cannot_resume_is_gone() {
        let end = |json: &str| failure(&Status::read(json.as_bytes()));
        let expired =
            r#"{"kind":"Status","code":410,"reason":"Expired","message":"too old resource version"}"#;
        assert!(matches!(end(expired), End::Gone(_)));
        assert!(matches!(end(r#"{"kind":"Status","code":500,"reason":"InternalError"}"#), End::Failed(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_stays_behind_answers_is_broken() {
        let mut silence = Silence::default();
        assert_eq!(silence.judge(Version(5), Version(5)), None);
        assert_eq!(silence.judge(Version(5), Version(7)), None);
        assert!(silence.judge(Version(5), Version(9)).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_without_bookmarks_is_broken() {
        let mut silence = Silence::default();
        sleep(SILENCE_MAX).await;
        assert_eq!(silence.judge(Version(5), Version(5)), None);
        sleep(LAG_MAX).await;
        assert!(silence.judge(Version(5), Version(5)).is_some());
    }
}
