//! A pool is scaled as `kubectl scale` and a HorizontalPodAutoscaler do it, on a real API server.

use std::fs;
use std::path::Path;
use std::time::Duration;

use agent_sandbox_core::id::Kind;
use agent_sandbox_core::names;
use agent_sandbox_core::object::Object;
use agent_sandbox_sim::store::Store;
use agent_sandbox_tests::cluster::{Namespace, block_on};
use agent_sandbox_tests::control_plane::{self, ControlPlane};
use agent_sandbox_tests::controller::Controller;
use agent_sandbox_tests::objects::{claims, create_claim, create_pool, extensions, is_done};
use agent_sandbox_tests::watch_log::WatchLog;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use serde_json::json;

/// How long anything may take. Source: seconds when idle; a tenth of that speed beside a compiler.
const PATIENCE: Duration = Duration::from_secs(120);

/// What an autoscaler reads of a pool.
#[derive(Debug, PartialEq, Eq)]
struct Scale {
    wanted: i32,
    there: i32,
    selector: String,
}

/// CON-061, CON-062, WPL-027. An autoscaler lists the Pods that the selector selects, and asks each for its load: those
/// that claims use by then are none of its business.
#[test]
fn a_pool_follows_its_scale_and_its_selector_selects_its_members_alone() {
    const NAME: &str = "a_pool_follows_its_scale_and_its_selector_selects_its_members_alone";
    let Some(plane) = control_plane::require_or_skip(NAME) else { return };
    if plane.is_existing() {
        eprintln!("skipped: {NAME}: a controller of all namespaces does not belong into an existing cluster");
        return;
    }
    block_on(async {
        let namespace = Namespace::new(&plane, "scale").await;
        let log = WatchLog::begin(namespace.client(), namespace.name()).await;
        let mut controller = start(&plane, "scale", &[]);
        controller.leads().await;

        create_pool(&namespace, 0).await;
        log.until("an empty pool says so", PATIENCE, |store| says(store, 0)).await;
        let selector = format!("agents.x-k8s.io/warm-pool-sandbox={}", names::name_hash("pool"));
        let pools = extensions(&namespace, "SandboxWarmPool");
        assert_eq!(scale(&pools).await, Scale { wanted: 0, there: 0, selector: selector.clone() });

        for wanted in [3, 1, 2] {
            let patch = json!({ "spec": { "replicas": wanted } });
            let patched = pools.patch_scale("pool", &PatchParams::default(), &Patch::Merge(&patch)).await;
            patched.expect("the server takes a scale");
            log.until("the pool has followed", PATIENCE, |store| is_done(store, wanted)).await;
            let there = i32::try_from(wanted).expect("few");
            assert_eq!(scale(&pools).await, Scale { wanted: there, there, selector: selector.clone() });
            assert_eq!(selected(&namespace, &selector).await, members(&log));
        }

        create_claim(&namespace, "claim").await;
        log.until("the claim has a member, and its Pod no label of the pool", PATIENCE, |store| {
            claims(store).count() == 1 && is_done(store, 2) && labelled(store) == 2
        })
        .await;
        assert_eq!(selected(&namespace, &selector).await, members(&log));
        controller.stop().await;
    });
}

/// CFG-007, RFL-010: the whole way from the flag to what the server has stored.
#[test]
fn a_pool_fills_no_faster_than_the_flag_says() {
    const NAME: &str = "a_pool_fills_no_faster_than_the_flag_says";
    let Some(plane) = control_plane::require_or_skip(NAME) else { return };
    if plane.is_existing() {
        eprintln!("skipped: {NAME}: a controller of all namespaces does not belong into an existing cluster");
        return;
    }
    block_on(async {
        let namespace = Namespace::new(&plane, "pace").await;
        let log = WatchLog::begin(namespace.client(), namespace.name()).await;
        let mut controller = start(&plane, "pace", &["--sandbox-warm-pool-max-refill-rate=1"]);
        controller.leads().await;
        create_pool(&namespace, 4).await;
        log.until("the pool is full", PATIENCE, |store| is_done(store, 4)).await;
        let made = log.ask(|store| {
            let sandboxes = store.list(Kind::Sandbox).iter();
            let made: Vec<_> = sandboxes.map(|sandbox| sandbox.meta().created).collect();
            made.iter().max().copied().zip(made.iter().min().copied())
        });
        let (last, first) = made.expect("the pool has members");
        // The server counts whole seconds.
        assert!(last.since(first) >= Duration::from_secs(2), "from {first} to {last}");
        controller.stop().await;
    });
}

fn start<'a>(plane: &'a ControlPlane, name: &str, flags: &[&str]) -> Controller<'a> {
    let program = Path::new(env!("CARGO_BIN_EXE_controller-under-test"));
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&dir).expect("the target folder is writable");
    let flags = [&["--extensions", "--leader-elect=false"], flags].concat();
    Controller::start(plane, program, &dir, "controller", &flags)
}

async fn scale(pools: &Api<DynamicObject>) -> Scale {
    let scale = pools.get_scale("pool").await.expect("a pool has a scale");
    let status = scale.status.expect("and it says what is there");
    let wanted = scale.spec.and_then(|spec| spec.replicas).unwrap_or_default();
    Scale { wanted, there: status.replicas, selector: status.selector.unwrap_or_default() }
}

/// Returns the names of the Pods that the server selects.
async fn selected(namespace: &Namespace<'_>, selector: &str) -> Vec<String> {
    let pods = namespace.api::<Pod>().list(&ListParams::default().labels(selector)).await;
    let pods = pods.expect("the server reads the selector");
    // Those of members that are gone stop for a while.
    let live = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
    let mut names: Vec<_> = live.map(ResourceExt::name_any).collect();
    names.sort();
    names
}

/// Returns the names of the pool's members, which are those of their Pods.
fn members(log: &WatchLog) -> Vec<String> {
    log.ask(|store| {
        let sandboxes = store.list(Kind::Sandbox).iter().filter_map(Object::as_sandbox);
        let members = sandboxes.filter(|sandbox| sandbox.meta.owner_of_kind(Kind::Pool).is_some());
        let mut names: Vec<_> = members.map(|sandbox| sandbox.meta.key.name.to_string()).collect();
        names.sort();
        names
    })
}

fn says(store: &Store, replicas: u32) -> bool {
    let mut pools = store.list(Kind::Pool).iter().filter_map(Object::as_pool);
    pools.any(|pool| pool.status.replicas == replicas && pool.status.observed == pool.meta.generation)
}

fn labelled(store: &Store) -> usize {
    store.list(Kind::Pod).iter().filter(|pod| pod.meta().label(names::WARM_POOL).is_some()).count()
}
