//! The election's I/O: reads and writes the Lease as the [`Elector`] asks.

use std::sync::Arc;
use std::time::Duration;

use agent_sandbox_core::id::Uid;
use agent_sandbox_core::time::Mono;
use http::{Method, StatusCode};
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio::time::sleep_until;
use tracing::{info, warn};

use crate::apply::Status;
use crate::clock::Clock;
use crate::connect::{self, Reply};
use crate::lease::{Ask, Elector, Fence, Lost, Record, Times, Write, Written};

/// The Lease's name. Source: the original's (OPS-050); another one would let both lead at a time.
pub const LEASE: &str = "a3317529.agent-sandbox.x-k8s.io";

/// How long one request for the Lease may take. Source: half the renew deadline, as in client-go.
const CALL_MAX: Duration = Duration::from_secs(5);

/// Whether the leader may give the Lease to others when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// Not yet: go on renewing.
    Stay,
    /// Nothing of ours will happen any more.
    Release,
}

/// A candidate with its connection.
pub struct Election {
    client: Client,
    clock: Clock,
    namespace: String,
    times: Times,
    elector: Elector,
    fence: Arc<Fence>,
    /// The Lease as last read or written: what others put there is kept.
    lease: Value,
}

impl Election {
    /// Returns a candidate in `namespace`. Confirmed renewals go to `fence`.
    pub fn new(client: Client, clock: Clock, namespace: String, times: Times, fence: Arc<Fence>) -> Self {
        let elector = Elector::new(identity(), times, clock.mono());
        Self { client, clock, namespace, times, elector, fence, lease: Value::Null }
    }

    /// Stands for election, says once through `led` that it leads, and holds the Lease until the farewell.
    ///
    /// # Errors
    /// When the lead is lost.
    pub async fn run(
        mut self,
        led: oneshot::Sender<()>,
        mut farewell: watch::Receiver<Farewell>,
    ) -> Result<(), Lost> {
        let mut led = Some(led);
        let mut holder = None::<String>;
        info!(
            identity = self.elector.identity(),
            lease = LEASE,
            namespace = self.namespace,
            "standing for election"
        );
        while *farewell.borrow() == Farewell::Stay {
            match self.elector.poll(self.clock.mono()) {
                Ask::Wait(until) => {
                    tokio::select! {
                        () = sleep_until(self.clock.instant(until)) => {}
                        _ = farewell.changed() => {}
                    }
                }
                Ask::Read => self.read().await,
                Ask::Write(write) => self.write(&write).await,
                Ask::Stop(lost) => {
                    self.fence.close();
                    return Err(lost);
                }
            }
            self.tell(&mut led, &mut holder);
        }
        if self.elector.is_leading() {
            self.release().await;
        }
        Ok(())
    }

    fn tell(&self, led: &mut Option<oneshot::Sender<()>>, holder: &mut Option<String>) {
        if self.elector.is_leading() {
            if let Some(led) = led.take() {
                info!(identity = self.elector.identity(), "leading");
                let _ = led.send(());
            }
        } else if self.elector.holder() != holder.as_deref() {
            *holder = self.elector.holder().map(str::to_owned);
            info!(holder = holder.as_deref().unwrap_or("nobody"), "standing by");
        }
    }

    async fn read(&mut self) {
        let reply = self.call(&Method::GET, &format!("{}/{LEASE}", self.collection()), String::new()).await;
        let now = self.clock.mono();
        match reply {
            Ok(reply) if reply.status.is_success() => match serde_json::from_slice(&reply.body) {
                Ok(lease) => {
                    self.lease = lease;
                    self.elector.on_read(Some(record(&self.lease)), now);
                }
                Err(error) => self.fail(&error.to_string(), now),
            },
            Ok(reply) if reply.status == StatusCode::NOT_FOUND => self.elector.on_read(None, now),
            Ok(reply) => self.fail(&refusal(&reply), now),
            Err(error) => self.fail(&error, now),
        }
    }

    async fn write(&mut self, write: &Write) {
        let sent = self.clock.mono();
        let lease = self.filled(write);
        let (method, uri) = match write {
            Write::Create => (Method::POST, self.collection()),
            Write::Take { .. } | Write::Renew => (Method::PUT, format!("{}/{LEASE}", self.collection())),
        };
        let reply = self.call(&method, &uri, lease.to_string()).await;
        let now = self.clock.mono();
        let written = match reply {
            Ok(reply) if reply.status.is_success() => match serde_json::from_slice(&reply.body) {
                Ok(lease) => {
                    self.lease = lease;
                    Written::Done(record(&self.lease))
                }
                Err(_) => Written::Failed,
            },
            Ok(reply) if reply.status == StatusCode::CONFLICT => Written::Conflict,
            Ok(reply) => {
                warn!(reason = refusal(&reply), "cannot write the lease");
                Written::Failed
            }
            Err(reason) => {
                warn!(reason, "cannot write the lease");
                Written::Failed
            }
        };
        self.elector.on_written(written, sent, now);
        if let Some(renewed) = self.elector.renewed() {
            self.fence.renew(renewed);
        }
    }

    /// Gives the Lease up, so that the next leader need not wait for its end.
    async fn release(&mut self) {
        let now = self.clock.now().wall.rfc3339_micros();
        let spec = &mut self.lease["spec"];
        spec["holderIdentity"] = "".into();
        spec["leaseDurationSeconds"] = 1.into();
        spec["renewTime"] = now.clone().into();
        spec["acquireTime"] = now.into();
        let uri = format!("{}/{LEASE}", self.collection());
        match self.call(&Method::PUT, &uri, self.lease.to_string()).await {
            Ok(reply) if reply.status.is_success() => info!("released the lease"),
            Ok(reply) => warn!(reason = refusal(&reply), "cannot release the lease"),
            Err(reason) => warn!(reason, "cannot release the lease"),
        }
    }

    fn fail(&mut self, reason: &str, now: Mono) {
        warn!(reason, "cannot read the lease");
        self.elector.on_failed(now);
    }

    async fn call(&self, method: &Method, uri: &str, body: String) -> Result<Reply, String> {
        // An answer after the deadline is of no use, and to wait for it would delay the stop.
        let left = self.elector.deadline().map_or(CALL_MAX, |deadline| deadline.since(self.clock.mono()));
        let request = connect::prepare(method, uri, body).map_err(|error| error.to_string())?;
        connect::call(&self.client, request, left.min(CALL_MAX)).await.map_err(|error| error.to_string())
    }

    fn collection(&self) -> String {
        format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", self.namespace)
    }

    /// Returns the Lease with ourselves in it.
    fn filled(&self, write: &Write) -> Value {
        // The server takes exactly six digits of a second here.
        let now = self.clock.now().wall.rfc3339_micros();
        let mut lease = match write {
            Write::Create => json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": { "name": LEASE, "namespace": self.namespace },
            }),
            Write::Take { .. } | Write::Renew => self.lease.clone(),
        };
        let spec = &mut lease["spec"];
        match write {
            Write::Create => spec["leaseTransitions"] = 0.into(),
            Write::Take { transitions } => spec["leaseTransitions"] = (*transitions).into(),
            Write::Renew => {}
        }
        if *write != Write::Renew {
            spec["acquireTime"] = now.clone().into();
        }
        spec["holderIdentity"] = self.elector.identity().into();
        spec["leaseDurationSeconds"] = self.times.lease.as_secs().into();
        spec["renewTime"] = now.into();
        lease
    }
}

fn record(lease: &Value) -> Record {
    let spec = &lease["spec"];
    let text = |field: &str| spec[field].as_str().unwrap_or_default().to_owned();
    let number = |field: &str| spec[field].as_u64().unwrap_or_default();
    Record {
        holder: text("holderIdentity"),
        duration: Duration::from_secs(number("leaseDurationSeconds")),
        renewed: text("renewTime"),
        transitions: u32::try_from(number("leaseTransitions")).unwrap_or(u32::MAX),
    }
}

fn refusal(reply: &Reply) -> String {
    format!("{}: {}", reply.status, Status::read(&reply.body).message)
}

/// Returns a name that no other process has: `<hostname>_<uuid>`.
fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    let (high, low) = (crate::random::number(), crate::random::number());
    let id = Uid::from_bits(u128::from(high) << 64 | u128::from(low));
    format!("{}_{id}", host.trim())
}
