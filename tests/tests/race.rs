//! The test that matters: a burst of claims on a real API server, while controllers die and rival with each other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use agent_sandbox_core::id::{Kind, Uid};
use agent_sandbox_core::trace::Damage;
use agent_sandbox_sim::checkers::Log;
use agent_sandbox_sim::replay::{End, replay};
use agent_sandbox_sim::store::Store;
use agent_sandbox_tests::cluster::{Namespace, block_on};
use agent_sandbox_tests::control_plane::{self, ControlPlane};
use agent_sandbox_tests::controller::Controller;
use agent_sandbox_tests::objects::{claims, create_claim, create_pool, is_done, ready};
use agent_sandbox_tests::watch_log::WatchLog;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use tokio::task::JoinSet;

/// Members of the pool.
const POOL: usize = 10;

/// Claims of the burst.
const CLAIMS: usize = 60;

/// How long anything may take. Source: seconds when idle; a tenth of that speed beside a compiler.
const PATIENCE: Duration = Duration::from_secs(120);

/// Members that there may be above the pool's replicas.
///
/// Source: besides the controller that knows best, its rival and its predecessor may each have all creates that a
/// pool of ten wants under way.
const SURPLUS: u32 = 2 * POOL as u32;

/// Requests that each controller may have under way: few enough that the burst lasts while they die one by one.
const IN_FLIGHT: &str = "--in-flight-max=2";

/// OPS-050, OPS-051, CRS-007, CRS-008, CON-045, INV-31.
#[test]
fn sixty_claims_get_sixty_sandboxes_while_controllers_are_killed_and_a_rival_leads() {
    const NAME: &str = "sixty_claims_get_sixty_sandboxes_while_controllers_are_killed_and_a_rival_leads";
    let Some(plane) = control_plane::require_or_skip(NAME) else { return };
    if plane.is_existing() {
        eprintln!("skipped: {NAME}: a controller of all namespaces does not belong into an existing cluster");
        return;
    }
    let dir = fresh_dir("race");
    block_on(async {
        let namespace = Namespace::new(&plane, "race").await;
        let log = WatchLog::begin(namespace.client(), namespace.name()).await;
        let traces = race(&plane, &namespace, &dir, &log).await;
        log.ask(each_claim_has_a_sandbox_of_its_own);
        log.ask(nothing_is_left_over);
        the_simulators_checkers_find_nothing(&log);
        for trace in traces {
            the_core_does_again_what_it_did(&trace);
        }
    });
}

/// Lets controllers race until everything is done and they have stopped, and returns their recordings.
async fn race(plane: &ControlPlane, namespace: &Namespace<'_>, dir: &Path, log: &WatchLog) -> Vec<PathBuf> {
    let elected = |life| {
        let lease = ["--leader-election-namespace", namespace.name()];
        start(plane, dir, &format!("leader-{life}"), &lease)
    };
    let mut leader = elected(1);
    leader.leads().await;
    create_pool(namespace, POOL).await;
    log.until("the pool is full", PATIENCE, |store| is_done(store, POOL)).await;
    // It believes to lead, as a process does that was suspended while its Lease went to another.
    let mut rival = start(plane, dir, "rival", &["--leader-elect=false"]);
    rival.leads().await;

    burst(namespace).await;
    let mut traces = Vec::new();
    for life in 2..=4 {
        let progress = (life - 1) * CLAIMS / 4;
        log.until(&format!("{progress} claims are Ready"), PATIENCE, |store| ready(store) >= progress).await;
        traces.push(leader.kill());
        free_lease(namespace).await;
        leader = elected(life);
        leader.leads().await;
    }
    traces.push(rival.stop().await);
    log.until("every claim is Ready and the pool is full", PATIENCE, |store| is_done(store, POOL)).await;
    traces.push(leader.stop().await);
    traces
}

fn start<'a>(plane: &'a ControlPlane, dir: &Path, name: &str, flags: &[&str]) -> Controller<'a> {
    let program = Path::new(env!("CARGO_BIN_EXE_controller-under-test"));
    Controller::start(plane, program, dir, name, &[&["--extensions", IN_FLIGHT], flags].concat())
}

/// Gives the Lease of a killed process to whoever comes next, instead of letting it run out in 15 s.
async fn free_lease(namespace: &Namespace<'_>) {
    let leases: Api<Lease> = namespace.api();
    let free = Patch::Merge(json!({ "spec": { "holderIdentity": "" } }));
    let patched = leases.patch("a3317529.agent-sandbox.x-k8s.io", &PatchParams::default(), &free).await;
    patched.expect("the dead leader has left a Lease");
}

async fn burst(namespace: &Namespace<'_>) {
    let creates: JoinSet<()> =
        (0..CLAIMS).map(|number| create_claim(namespace, &format!("claim-{number:02}"))).collect();
    creates.join_all().await;
}

fn each_claim_has_a_sandbox_of_its_own(store: &Store) {
    let bound: BTreeSet<Uid> = claims(store)
        .map(|claim| {
            let bound = claim.status.sandbox.as_ref().expect("a claim that is Ready names a sandbox");
            let sandbox = store.get(Kind::Sandbox, &claim.meta.key.sibling(bound.name.clone()));
            let sandbox = sandbox
                .unwrap_or_else(|| panic!("{} names {}, which is not there", claim.meta.key, bound.name));
            assert!(
                sandbox.meta().is_owned_by(claim.meta.uid),
                "{} does not own {}",
                claim.meta.key,
                bound.name
            );
            let owned = store.owned_by(Kind::Sandbox, claim.meta.uid).count();
            assert_eq!(owned, 1, "{} owns {owned} sandboxes", claim.meta.key);
            sandbox.uid()
        })
        .collect();
    assert_eq!(bound.len(), CLAIMS);
}

fn nothing_is_left_over(store: &Store) {
    let counts = [Kind::Claim, Kind::Pool, Kind::Sandbox, Kind::Pod].map(|kind| store.list(kind).len());
    assert_eq!(counts, [CLAIMS, 1, CLAIMS + POOL, CLAIMS + POOL], "claims, pools, sandboxes, pods");
    for object in store.list(Kind::Sandbox).iter().chain(store.list(Kind::Pod)) {
        assert!(object.meta().owner.is_some() && !store.is_orphan(object), "nobody owns {}", object.key());
    }
}

fn the_simulators_checkers_find_nothing(log: &WatchLog) {
    let mut judge = Log::new(SURPLUS);
    let broken = judge.judge_all(log.lines());
    assert!(broken.is_empty(), "{broken:#?}");
    judge.judge_rest().unwrap_or_else(|broken| panic!("{broken:#?}"));
    for (property, count) in judge.checkers().counts() {
        assert!(count > 0, "{} was never at stake", property.name);
    }
}

/// Feeds a recording to the core of this build, and demands the actions that were recorded.
fn the_core_does_again_what_it_did(trace: &Path) {
    let name = trace.display();
    let text = fs::read(trace).unwrap_or_else(|error| panic!("{name}: {error}"));
    let replayed = replay(&*text, None).unwrap_or_else(|why| panic!("{name}: {why}"));
    match replayed.end {
        // A process that is killed does not finish its line.
        End::Complete | End::Damaged(Damage::CutOff { .. }) => {}
        End::Limit | End::Damaged(_) | End::Differs(_) | End::Crashed { .. } => {
            panic!("{name}: after {} steps: {:#?}", replayed.steps, replayed.end)
        }
    }
    assert!(replayed.actions.iter().sum::<u64>() > 0, "{name} shows no action");
}

fn fresh_dir(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).expect("the target folder is writable");
    dir
}
