//! The wiring: which task knows which.

use std::convert::Infallible;
use std::sync::Arc;

use agent_sandbox_core::config::Config;
use agent_sandbox_core::event::Event;
use agent_sandbox_core::id::Kind;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use tracing::info;

use crate::apply::Applier;
use crate::args::Args;
use crate::clock::Clock;
use crate::connect::{Clients, ConnectError};
use crate::driver::{Driver, Stopped};
use crate::floor::Floor;
use crate::watch::{WatchError, Watcher};

/// Events that may wait for the driver. Beyond that the watches wait, and the API server with them.
const EVENTS_MAX: usize = 1024;

/// Why the process ends other than by request.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no way to reach a cluster.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A watch ended the process.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// A bug: a task has panicked.
    #[error("a task has failed: {0}")]
    Task(#[from] JoinError),
    /// Signals cannot be received.
    #[error("signals: {0}")]
    Signals(#[source] std::io::Error),
}

/// Runs the controller until it is told to stop.
///
/// # Errors
/// When it must end without being told; see [`RunError`].
pub async fn run(args: Args) -> Result<(), RunError> {
    let clock = Clock::start();
    let stop = stop_on_signal().map_err(RunError::Signals)?;
    let clients = Clients::prepare(args.kubeconfig.as_deref()).await?;
    let config =
        Config { extensions: args.extensions, in_flight_max: args.in_flight_max.into(), ..Config::default() };
    let floor = Arc::new(Floor::default());
    let applier = Applier {
        client: clients.writes.clone(),
        clock,
        floor: floor.clone(),
        write_timeout: config.write_timeout,
    };
    let (sender, events) = mpsc::channel(EVENTS_MAX);
    let mut driver = tokio::spawn(Driver::new(config, clock, applier, events).run(stop));
    let _ = sender.send(Event::Leading { term: random() }).await;
    let mut watchers = watch_all(&clients, &floor, &sender, args.extensions);
    tokio::select! {
        stopped = &mut driver => {
            let stopped: Stopped = stopped?;
            info!(?stopped, "stopped");
            Ok(())
        }
        Some(failed) = watchers.join_next() => match failed? {
            Err(error) => Err(error.into()),
        },
    }
}

fn watch_all(
    clients: &Clients,
    floor: &Arc<Floor>,
    events: &mpsc::Sender<Event>,
    extensions: bool,
) -> JoinSet<Result<Infallible, WatchError>> {
    let kinds = Kind::ALL.into_iter().filter(|kind| extensions || !kind.is_extension());
    kinds
        .map(|kind| {
            let (client, events, floor) = (clients.reads.clone(), events.clone(), floor.clone());
            Watcher { kind, client, events, floor, selector: "" }.run()
        })
        .collect()
}

/// Returns a flag that the first SIGTERM or SIGINT raises. The second one ends the process.
fn stop_on_signal() -> std::io::Result<watch::Receiver<bool>> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (raise, stop) = watch::channel(false);
    tokio::spawn(async move {
        for _ in 0..2 {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            if raise.send_replace(true) {
                std::process::exit(1);
            }
        }
    });
    Ok(stop)
}

/// Returns a number that no other process has.
///
/// Source: the standard library keys each hasher with random bytes of the operating system.
fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}
