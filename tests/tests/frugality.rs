//! How many writes one warm claim costs on a real API server, its refill included, as the server itself counts them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use std::{env, fs};

use agent_sandbox_core::id::Kind;
use agent_sandbox_sim::store::Store;
use agent_sandbox_tests::cluster::{Namespace, block_on, eventually};
use agent_sandbox_tests::control_plane::{self, ControlPlane, Options};
use agent_sandbox_tests::controller::Controller;
use agent_sandbox_tests::objects::{claims, create_claim, create_pool, extensions, is_done};
use agent_sandbox_tests::watch_log::WatchLog;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams};
use serde::Deserialize;

/// Claims that live one after the other: enough for the seconds in which a pool status is due.
const LIVES: usize = 50;

/// Members of the pool.
const POOL: usize = 2;

/// Object writes that one life may cost. Source: record, transfer, claim status, first-ready stamp, Pod labels, sandbox
/// status, and for the refill sandbox, Pod and one or two sandbox statuses.
const WRITES_MAX: usize = 10;

/// How long anything may take. Source: seconds when idle; a tenth of that speed beside a compiler.
const PATIENCE: Duration = Duration::from_secs(120);

/// A line of the audit log, as far as it is read here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    verb: String,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: ObjectRef,
    /// When the server had it. **Unit**: RFC 3339 with six digits after the second, so that texts compare as times.
    request_received_timestamp: String,
}

/// What a request was about.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

impl Request {
    fn row(&self) -> String {
        let ObjectRef { resource, subresource, .. } = &self.object_ref;
        let gap = if subresource.is_empty() { "" } else { "/" };
        format!("{} {resource}{gap}{subresource}", self.verb)
    }

    fn is_write_of_ours(&self) -> bool {
        self.user_agent.starts_with("agent-sandbox-controller/")
            && ["create", "update", "patch", "delete"].contains(&&*self.verb)
    }
}

/// INV-27, CON-013, OPS-077: our requests are found by their User-Agent.
#[test]
fn a_warm_claims_whole_life_costs_the_server_at_most_ten_writes() {
    const NAME: &str = "a_warm_claims_whole_life_costs_the_server_at_most_ten_writes";
    let options = Options { audit: true, ..Options::for_tests() };
    let Some(plane) = control_plane::require_with(NAME, &options) else { return };
    let Some(audit) = plane.audit_log() else {
        eprintln!("skipped: {NAME}: an existing cluster's audit log is not ours to read");
        return;
    };
    block_on(async {
        let namespace = Namespace::new(&plane, "frugality").await;
        let log = WatchLog::begin(namespace.client(), namespace.name()).await;
        let mut controller = start(&plane);
        controller.leads().await;
        create_pool(&namespace, POOL).await;
        log.until("the pool is full", PATIENCE, |store| is_done(store, POOL)).await;

        let before = requests(audit, &namespace, "before").await;
        let began = tokio::time::Instant::now();
        let mut sandboxes = Vec::new();
        for life in 0..LIVES {
            sandboxes.push(live(&namespace, &log, &format!("claim-{life}")).await);
        }
        let seconds = began.elapsed().as_secs() as usize;
        let during = requests(audit, &namespace, "after").await.split_off(before.len());
        controller.stop().await;

        each_is_ready_after_three_writes(&during, &sandboxes);
        the_lives_cost_what_they_may(&during, seconds);
    });
}

fn start(plane: &ControlPlane) -> Controller<'_> {
    let program = Path::new(env!("CARGO_BIN_EXE_controller-under-test"));
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("frugality");
    fs::create_dir_all(&dir).expect("the target folder is writable");
    Controller::start(plane, program, &dir, "controller", &["--extensions", "--leader-elect=false"])
}

/// Lets one claim live from its creation until its sandbox is gone and the pool full, and returns the sandbox's name.
async fn live(namespace: &Namespace<'_>, log: &WatchLog, name: &str) -> String {
    create_claim(namespace, name).await;
    log.until("the claim is Ready and the pool is full", PATIENCE, |store| {
        claims(store).count() == 1 && is_done(store, POOL) && store.list(Kind::Sandbox).len() == POOL + 1
    })
    .await;
    log.until("it is stamped, and its Pod has no label of the pool", PATIENCE, is_at_rest).await;
    let bound = |store: &Store| claims(store).find_map(|claim| claim.status.sandbox.clone());
    let sandbox = log.ask(bound).expect("a claim that is Ready names a sandbox").name;
    let deleted = extensions(namespace, "SandboxClaim").delete(name, &DeleteParams::default()).await;
    deleted.expect("the claim can be deleted");
    log.until("the sandbox is gone", PATIENCE, |store| {
        [Kind::Claim, Kind::Sandbox, Kind::Pod].map(|kind| store.list(kind).len()) == [0, POOL, POOL]
    })
    .await;
    sandbox.to_string()
}

fn is_at_rest(store: &Store) -> bool {
    let stamped =
        claims(store).all(|claim| claim.meta.annotation("agents.x-k8s.io/claim-first-ready-at").is_some());
    let pods = store.list(Kind::Pod).iter();
    let pods = pods.filter(|pod| pod.meta().labels.contains_key("agents.x-k8s.io/warm-pool-sandbox"));
    stamped && pods.count() == POOL
}

/// Returns what the log has about a namespace, once it has everything that was answered so far.
async fn requests(audit: &Path, namespace: &Namespace<'_>, mark: &str) -> Vec<Request> {
    let maps: Api<ConfigMap> = namespace.api();
    maps.get_opt(mark).await.expect("the server answers");
    let mut found = Vec::new();
    eventually("the log has the last request", async || {
        let text = fs::read_to_string(audit).expect("the server has written its log");
        // The last line may be under way.
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        found = lines.map(|line| serde_json::from_str::<Request>(line).expect("a line of JSON")).collect();
        found.retain(|request| request.object_ref.namespace == namespace.name());
        found.iter().any(|request| request.object_ref.name == mark)
    })
    .await;
    found
}

/// A claim's record comes before the transfer, that before the only status, and that says Ready. What else is written
/// about its sandbox may overtake the status on its way, so only the simulator can tell that it was sent later.
fn each_is_ready_after_three_writes(requests: &[Request], sandboxes: &[String]) {
    for (life, sandbox) in sandboxes.iter().enumerate() {
        let claim = format!("claim-{life}");
        let about = |resource: &str, name: &str| {
            let ours = requests.iter().filter(|request| request.is_write_of_ours());
            let mut own: Vec<_> = ours
                .filter(|request| request.object_ref.resource == resource && request.object_ref.name == name)
                .map(|request| (&request.request_received_timestamp, request.row()))
                .collect();
            own.sort();
            own
        };
        let of_claim = about("sandboxclaims", &claim);
        let rows: Vec<_> = of_claim.iter().map(|(_, row)| &**row).collect();
        assert_eq!(
            rows,
            ["patch sandboxclaims", "patch sandboxclaims/status", "patch sandboxclaims"],
            "{claim}"
        );
        let of_sandbox = about("sandboxes", sandbox);
        let transfers: Vec<_> = of_sandbox.iter().filter(|(_, row)| row == "patch sandboxes").collect();
        let [(transferred, _)] = transfers[..] else { panic!("{claim}: not one transfer: {of_sandbox:#?}") };
        let (recorded, told) = (of_claim[0].0, of_claim[1].0);
        assert!(recorded < *transferred && *transferred < told, "{claim}: {of_claim:#?} {of_sandbox:#?}");
    }
}

fn the_lives_cost_what_they_may(requests: &[Request], seconds: usize) {
    let mut rows = BTreeMap::<String, usize>::new();
    for request in requests.iter().filter(|request| request.is_write_of_ours()) {
        *rows.entry(request.row()).or_default() += 1;
    }
    println!("writes of one warm claim's life, its refill included, {LIVES} lives in {seconds} s");
    for (row, count) in &rows {
        println!("{row:36} {:5.2}", *count as f64 / LIVES as f64);
    }
    let pool_statuses = rows.remove("patch sandboxwarmpools/status").unwrap_or_default();
    let events = rows.remove("create events").unwrap_or_default();
    let writes: usize = rows.values().sum();
    println!("{:36} {:5.2}", "all, without Events and pool status", writes as f64 / LIVES as f64);
    assert!(writes <= WRITES_MAX * LIVES, "{writes} writes in {LIVES} lives: {rows:#?}");
    assert!(events <= LIVES, "{events} Events in {LIVES} lives");
    assert!(pool_statuses > 0, "nobody was told of the refills");
    assert!(pool_statuses <= seconds + 2, "{pool_statuses} pool statuses in {seconds} s");
}
