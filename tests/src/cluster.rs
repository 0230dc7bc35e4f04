//! What tests do with a cluster once they have one.

use std::fmt::Debug;
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use kube::api::{Api, PostParams};
use kube::{Client, Resource};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::control_plane::ControlPlane;

/// How long a cluster may take for anything. Source: a second when idle; tests share the machine with compilers.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a state is looked at that the test does not watch.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A namespace for one test, so that tests can share a cluster. Goes away when dropped.
pub struct Namespace<'a> {
    plane: &'a ControlPlane,
    client: Client,
    name: String,
}

impl<'a> Namespace<'a> {
    /// Makes a namespace whose name tells what it is for and differs from all others.
    ///
    /// **Panics** when the server refuses.
    pub async fn new(plane: &'a ControlPlane, purpose: &str) -> Self {
        let client = plane.client().await;
        let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client.clone());
        let object = serde_json::json!({ "metadata": { "generateName": format!("test-{purpose}-") } });
        let name = create(&namespaces, object).await.metadata.name.expect("the server gives a name");
        Self { plane, client, name }
    }

    /// Returns the namespace's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns a client with the administrator's rights.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Returns the objects of one type in this namespace.
    #[must_use]
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        // Our own control plane goes away as a whole; only in somebody else's cluster things would pile up.
        if self.plane.is_existing() {
            let _ = self
                .plane
                .kubectl()
                .args(["delete", "namespace", &self.name, "--wait=false", "--ignore-not-found"])
                .output();
        }
    }
}

/// Runs a test's asynchronous part.
///
/// **Panics** when no runtime starts.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime starts").block_on(future)
}

/// Creates an object that is written as JSON, and returns it as stored.
///
/// **Panics** when the server refuses.
#[track_caller]
pub fn create<K>(api: &Api<K>, object: Value) -> impl Future<Output = K>
where
    K: Clone + Debug + Serialize + DeserializeOwned,
{
    let object = serde_json::from_value(object).expect("the test writes a well-formed object");
    async move { api.create(&PostParams::default(), &object).await.expect("the server takes the object") }
}

/// Waits until `condition` is true.
///
/// **Panics** with `what` when that takes too long.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let poll = async {
        while !condition().await {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    let result = tokio::time::timeout(PATIENCE, poll).await;
    assert!(result.is_ok(), "not within {} s: {what}", PATIENCE.as_secs());
}
