//! Connections to the API server, and one call over them.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{Method, Request, StatusCode};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// How we name ourselves to the API server.
///
/// Source: the server takes the part before the slash as the field manager of writes that name none; it must stay
/// the original's, so that ownership of fields passes over to us (META-053, OPS-077).
const AGENT: &str = concat!("agent-sandbox-controller/v", env!("CARGO_PKG_VERSION"));

/// Separate connections, so that a watch never waits behind a write, nor the Lease behind either.
#[derive(Clone)]
pub struct Clients {
    /// Lists and watches.
    pub reads: Client,
    /// Actions.
    pub writes: Client,
    /// The Lease.
    pub lease: Client,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The file named, or the one found, is unusable.
    #[error("kubeconfig: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// The service account's files are unusable.
    #[error("in-cluster configuration: {0}")]
    InCluster(#[from] kube::config::InClusterError),
    /// The client could not be made, for example of bad certificates.
    #[error("client: {0}")]
    Client(#[from] kube::Error),
}

impl Clients {
    /// Prepares connections to the cluster of the kubeconfig, or to the one that this process runs in.
    ///
    /// Order: `kubeconfig`, the files in `KUBECONFIG`, in-cluster, `~/.kube/config` (OPS-075).
    ///
    /// # Errors
    /// When no configuration is found or it is unusable. The server is not asked yet.
    pub async fn prepare(kubeconfig: Option<&Path>) -> Result<Self, ConnectError> {
        let mut config = configuration(kubeconfig).await?;
        // Repeating a write is the core's decision: it knows whether it may already have happened.
        config.default_retry = false;
        config.connect_timeout = Some(Duration::from_secs(5));
        config.headers.push((USER_AGENT, HeaderValue::from_static(AGENT)));
        let client = || Client::try_from(config.clone());
        Ok(Self { reads: client()?, writes: client()?, lease: client()? })
    }
}

async fn configuration(kubeconfig: Option<&Path>) -> Result<Config, ConnectError> {
    let options = KubeConfigOptions::default();
    let file = match kubeconfig {
        Some(path) => Some(Kubeconfig::read_from(path)?),
        None => Kubeconfig::from_env()?,
    };
    if let Some(file) = file {
        return Ok(Config::from_custom_kubeconfig(file, &options).await?);
    }
    if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
        return Ok(Config::incluster()?);
    }
    Ok(Config::from_kubeconfig(&options).await?)
}

/// What the API server answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: StatusCode,
    /// `Retry-After`, in seconds on the wire.
    pub retry_after: Option<Duration>,
    /// Body, complete.
    pub body: Bytes,
}

/// Why there is no answer. The request may have been carried out all the same.
#[derive(Debug, thiserror::Error)]
pub enum NoReply {
    /// The time limit of the call has passed.
    #[error("no answer within {0:?}")]
    Late(Duration),
    /// The connection could not be made, or it broke.
    #[error("{}", chain(.0))]
    Broken(#[from] kube::Error),
}

/// Writes an error with its causes, which say more than itself: "connection refused" is the last of four.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

/// Returns a request with the headers that its method needs.
///
/// # Errors
/// When `uri` is no URI.
pub fn prepare(method: &Method, uri: &str, body: String) -> Result<Request<Body>, NoReply> {
    let builder = Request::builder().method(method).uri(uri);
    let builder = match *method {
        Method::GET => builder,
        Method::PATCH => builder.header(CONTENT_TYPE, "application/merge-patch+json"),
        _ => builder.header(CONTENT_TYPE, "application/json"),
    };
    builder.body(Body::from(body.into_bytes())).map_err(|error| kube::Error::HttpError(error).into())
}

/// Sends a request and reads the whole answer, within `limit`.
///
/// # Errors
/// When there is no complete answer in time.
pub async fn call(client: &Client, request: Request<Body>, limit: Duration) -> Result<Reply, NoReply> {
    let answer = async {
        let response = client.send(request).await?;
        let (status, retry_after) = (response.status(), retry_after(response.headers()));
        let body = response.into_body().collect_bytes().await?;
        Ok(Reply { status, retry_after, body })
    };
    tokio::time::timeout(limit, answer).await.map_err(|_| NoReply::Late(limit))?
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}
