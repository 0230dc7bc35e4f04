//! The wiring: which task knows which, and how a run ends.

use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex};

use agent_sandbox_core::config::Config;
use agent_sandbox_core::event::Event;
use agent_sandbox_core::id::Kind;
use agent_sandbox_core::names;
use agent_sandbox_core::trace::{self, Header};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tracing::info;

use crate::apply::Applier;
use crate::args::Args;
use crate::built;
use crate::clock::Clock;
use crate::connect::{Clients, ConnectError};
use crate::domains;
use crate::driver::{Driver, Observers, Stopped};
use crate::elect::{Election, Farewell, LEASE};
use crate::floor::Floor;
use crate::health::Health;
use crate::lease::{Fence, Lost, Times};
use crate::metrics::Metrics;
use crate::record::{RecordError, Recorder};
use crate::serve::{self, ServeError};
use crate::watch::{WatchError, Watcher};

/// Events that may wait for the driver. Beyond that the watches wait, and the API server with them.
const EVENTS_MAX: usize = 1024;

/// Where a Pod reads its own namespace.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// Why a run ends other than by request.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no way to reach a cluster.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The trace cannot be begun.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// An address cannot be used.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The file of label domains is there and cannot be read.
    #[error("{file}: {0}", file = domains::FILE)]
    Domains(#[source] std::io::Error),
    /// Nobody said where the Lease is.
    #[error("--leader-election-namespace is needed outside a cluster (or --leader-elect=false)")]
    NoNamespace,
    /// Another process may lead.
    #[error("the lead is lost: {0}")]
    Lost(#[from] Lost),
    /// A watch has ended the run.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// A bug: a task has panicked.
    #[error("a task has failed: {0}")]
    Task(#[from] JoinError),
    /// Signals cannot be received.
    #[error("signals: {0}")]
    Signals(#[source] std::io::Error),
}

/// Runs the controller until a signal stops it.
///
/// # Errors
/// When it must end without being told; see [`RunError`].
pub async fn run(args: Args) -> Result<(), RunError> {
    let stop = stop_on_signal().map_err(RunError::Signals)?;
    let world = World::prepare(&args).await?;
    let mut election = world.stand(&args)?;
    let (events, waiting) = mpsc::channel(EVENTS_MAX);
    let mut driver = tokio::spawn(world.driver(&args, waiting)?.run(stop));
    let mut watchers = JoinSet::new();
    loop {
        tokio::select! {
            stopped = &mut driver => return election.leave(stopped?).await,
            lost = &mut election.task => lost??,
            Ok(()) = &mut election.led, if watchers.is_empty() => {
                world.lead();
                // The driver is alive, and takes it before anything that the watches show.
                let _ = events.send(Event::Leading { term: crate::random::number() }).await;
                watchers = world.watch_all(&args, &events);
            }
            Some(failed) = watchers.join_next() => match failed? {
                // The driver is ending, and is the one to say how.
                Err(WatchError::Closed) => return election.leave((&mut driver).await?).await,
                Err(error) => return Err(error.into()),
            },
        }
    }
}

/// What the tasks share.
struct World {
    clock: Clock,
    clients: Clients,
    kinds: Vec<Kind>,
    floor: Arc<Floor>,
    fence: Arc<Fence>,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

impl World {
    async fn prepare(args: &Args) -> Result<Self, RunError> {
        let clock = Clock::start();
        let kinds: Vec<_> =
            Kind::ALL.into_iter().filter(|kind| args.extensions || !kind.is_extension()).collect();
        let fence = if args.leader_elect { Fence::shut } else { Fence::open };
        let world = Self {
            clock,
            clients: Clients::prepare(args.kubeconfig.as_deref()).await?,
            floor: Arc::default(),
            fence: Arc::new(fence(Times::default())),
            health: Arc::new(Health::new(kinds.clone())),
            metrics: Arc::default(),
            kinds,
        };
        serve::metrics(&args.metrics_bind_address, world.metrics.clone()).await?;
        serve::probes(&args.health_probe_bind_address, world.health.clone(), clock).await?;
        Ok(world)
    }

    fn driver(&self, args: &Args, events: mpsc::Receiver<Event>) -> Result<Driver, RunError> {
        let label_domains = domains::read(Path::new(domains::FILE)).map_err(RunError::Domains)?;
        let config = Config { label_domains, ..args.config() };
        let started = self.clock.now();
        let recorder = match &args.record {
            Some(path) => Some(Recorder::begin(
                path,
                &Header {
                    trace: trace::VERSION,
                    version: built::VERSION.to_owned(),
                    commit: built::commit().map(str::to_owned),
                    config: config.clone(),
                    started,
                },
            )?),
            None => None,
        };
        let applier = Applier {
            client: self.clients.writes.clone(),
            clock: self.clock,
            floor: self.floor.clone(),
            fence: self.fence.clone(),
            metrics: self.metrics.clone(),
            write_timeout: config.write_timeout,
        };
        let observers = Observers { recorder, health: self.health.clone() };
        Ok(Driver::new(config, started, applier, events, observers))
    }

    fn stand(&self, args: &Args) -> Result<Candidacy, RunError> {
        let (led_by, led) = oneshot::channel();
        let (farewell, farewells) = watch::channel(Farewell::Stay);
        if !args.leader_elect {
            let _ = led_by.send(());
            return Ok(Candidacy {
                led,
                farewell,
                task: tokio::spawn(std::future::pending()),
                is_elected: false,
            });
        }
        let namespace = match &*args.leader_election_namespace {
            "" => std::fs::read_to_string(NAMESPACE_FILE).map_err(|_| RunError::NoNamespace)?,
            given => given.to_owned(),
        };
        let (client, fence) = (self.clients.lease.clone(), self.fence.clone());
        let namespace = namespace.trim().to_owned();
        let election = Election::new(client, self.clock, namespace, Times::default(), fence);
        self.metrics.lead(LEASE, false);
        Ok(Candidacy { led, farewell, task: tokio::spawn(election.run(led_by, farewells)), is_elected: true })
    }

    fn lead(&self) {
        self.health.lead();
        self.metrics.lead(LEASE, true);
    }

    fn watch_all(
        &self,
        args: &Args,
        events: &mpsc::Sender<Event>,
    ) -> JoinSet<Result<Infallible, WatchError>> {
        let watcher = |&kind| Watcher {
            kind,
            client: self.clients.reads.clone(),
            events: events.clone(),
            floor: self.floor.clone(),
            health: self.health.clone(),
            selector: if args.cache_label_selectors && kind == Kind::Pod {
                names::SANDBOX_NAME_HASH
            } else {
                ""
            },
            sharer: Mutex::default(),
        };
        self.kinds.iter().map(watcher).map(Watcher::run).collect()
    }
}

/// Our side of the election.
struct Candidacy {
    /// Answers once, when this process leads.
    led: oneshot::Receiver<()>,
    farewell: watch::Sender<Farewell>,
    task: JoinHandle<Result<(), Lost>>,
    is_elected: bool,
}

impl Candidacy {
    /// Ends a run that was asked to stop.
    async fn leave(self, stopped: Stopped) -> Result<(), RunError> {
        match stopped {
            Stopped::Clean if self.is_elected => {
                self.farewell.send_replace(Farewell::Release);
                self.task.await??;
            }
            // A write may still happen: whoever follows must wait until it cannot, so the Lease is left to run out.
            Stopped::Clean | Stopped::Unanswered(_) => {}
        }
        info!("stopped");
        Ok(())
    }
}

/// Returns a flag that the first SIGTERM or SIGINT raises. The second one ends the process.
fn stop_on_signal() -> std::io::Result<watch::Receiver<bool>> {
    async fn next(term: &mut Signal, int: &mut Signal) {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    }
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (raise, stop) = watch::channel(false);
    tokio::spawn(async move {
        next(&mut term, &mut int).await;
        raise.send_replace(true);
        next(&mut term, &mut int).await;
        std::process::exit(1);
    });
    Ok(stop)
}
