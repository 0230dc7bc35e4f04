//! What a user reads when the API server refuses what the controller makes, and that it goes on when that is over.

use std::fs;
use std::path::Path;

use agent_sandbox_core::id::Kind;
use agent_sandbox_core::names;
use agent_sandbox_tests::cluster::{Namespace, block_on, create, eventually};
use agent_sandbox_tests::control_plane;
use agent_sandbox_tests::controller::Controller;
use agent_sandbox_tests::objects::{claims, create_claim, create_pool, extensions, ready};
use agent_sandbox_tests::watch_log::WatchLog;
use k8s_openapi::api::core::v1::{ConfigMap, ResourceQuota};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

/// How long anything may take. Source: the longest back-off is 45 s.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

/// CND-018, CON-019.
#[test]
fn a_claim_says_that_a_quota_is_used_up_and_is_served_when_it_is_lifted() {
    const NAME: &str = "a_claim_says_that_a_quota_is_used_up_and_is_served_when_it_is_lifted";
    let Some(plane) = control_plane::shared_or_skip(NAME) else { return };
    block_on(async {
        let namespace = Namespace::new(plane, "refusals").await;
        let log = WatchLog::begin(namespace.client(), namespace.name()).await;
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("refusals");
        fs::create_dir_all(&dir).expect("the target folder is writable");
        let program = Path::new(env!("CARGO_BIN_EXE_controller-under-test"));
        let flags = ["--extensions", "--leader-elect=false"];
        let mut controller = Controller::start(plane, program, &dir, "controller", &flags);
        controller.leads().await;
        let quotas: Api<ResourceQuota> = namespace.api();
        allow_no_sandboxes(&namespace, &quotas).await;
        create_pool(&namespace, 0).await;
        create_claim(&namespace, "claim").await;
        log.until("the claim says why it is not served", PATIENCE, |store| {
            claims(store).any(|claim| {
                let told = claim.status.condition(names::READY);
                told.is_some_and(|told| {
                    &*told.reason == "ReconcilerError"
                        && told.message.starts_with("Error seen: ")
                        && told.message.contains("exceeded quota: quota")
                })
            })
        })
        .await;
        // The pool's owner reads it too (WPL-039).
        let pools = extensions(&namespace, "SandboxWarmPool");
        let wanted = json!({ "spec": { "replicas": 1 } });
        let patched = pools.patch("pool", &PatchParams::default(), &Patch::Merge(&wanted)).await;
        patched.expect("a pool can be scaled");
        let events: Api<Event> = namespace.api();
        eventually("the pool says why it is not full", async || {
            let events = events.list(&ListParams::default()).await.expect("events can be listed");
            events.iter().any(|event| {
                event.reason.as_deref() == Some("WarmPoolNotProgressing")
                    && event.note.as_ref().is_some_and(|note| note.contains("exceeded quota: quota"))
            })
        })
        .await;
        quotas.delete("quota", &DeleteParams::default()).await.expect("the quota can be deleted");
        log.until("the claim is served", PATIENCE, |store| ready(store) == 1).await;
        let own = log.ask(|store| store.list(Kind::Sandbox).first().map(|it| it.key().name.to_string()));
        assert_eq!(own.as_deref(), Some("claim"));
        controller.stop().await;
    });
}

/// Makes a quota, as its controller would: a limit, and what is used of it.
async fn allow_no_sandboxes(namespace: &Namespace<'_>, quotas: &Api<ResourceQuota>) {
    let counts = json!({ "count/sandboxes.agents.x-k8s.io": "0", "count/configmaps": "0" });
    let quota = json!({ "metadata": { "name": "quota" }, "spec": { "hard": counts } });
    create(quotas, quota).await;
    let status = json!({ "status": { "hard": counts, "used": counts } });
    let patch = Patch::Merge(&status);
    let patched = quotas.patch_status("quota", &PatchParams::default(), &patch).await;
    patched.expect("the status can be written");
    let maps: Api<ConfigMap> = namespace.api();
    eventually("the server counts", async || {
        let probe = serde_json::from_value(json!({ "metadata": { "generateName": "probe-" } }));
        let refused = maps.create(&PostParams::default(), &probe.expect("an object")).await;
        refused.is_err_and(|error| error.to_string().contains("exceeded quota: quota"))
    })
    .await;
}
