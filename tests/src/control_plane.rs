//! A real control plane on this machine, without containers: etcd, kube-apiserver, the garbage collector, the
//! scheduler, and kwok, which plays the nodes and lets Pods run.
//!
//! [`ControlPlane::start`] finds the programs ([`assets`] says where), gives each a free port and starts them in the
//! one order that works quickly: the CRDs are there *before* the garbage collector, because it learns new kinds only
//! every 30 seconds. Everything the programs write is in one folder, in memory where that is possible.
//!
//! Whatever ends the test, a return, a panic, Ctrl-C or SIGKILL, also ends the programs and removes the folder:
//! [`process`] says how.

mod assets;
mod process;

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use serde_json::json;

use assets::{Assets, Source};
use process::Processes;

/// The token of the cluster's administrator, in the group `system:masters`.
///
/// Such a user is exempt from API priority and fairness; to see a 429, ask for the token of a service account.
const ADMIN_TOKEN: &str = "admin-token";

/// How long one step of the start may take. Source: about 2 s when idle; twenty times that beside a compiler.
const STEP_TIMEOUT: Duration = Duration::from_secs(60);

/// How often a state is looked at that nobody reports.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How often a start is tried again when another process was quicker to take one of the free ports.
const PORT_TRIES_MAX: u32 = 3;

/// What to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Nodes that kwok plays; each takes 990 Pods.
    pub nodes: u32,
    /// Whether anybody but the API server acts: the garbage collector, the scheduler, the nodes.
    pub actors: bool,
    /// Whether the API server records each request, see [`ControlPlane::audit_log`].
    pub audit: bool,
    /// The folder with the CRDs to install.
    pub crds: PathBuf,
    /// The API server's port, or `None` for any free one.
    pub port: Option<u16>,
    /// When the cluster goes away.
    pub lifetime: Lifetime,
}

/// When a cluster goes away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// With the [`ControlPlane`], and at the latest with this process.
    ThisProcess,
    /// At [`down`]. Its files are in this folder, which must be new or empty.
    UntilDown(PathBuf),
}

impl Options {
    /// Returns what a test usually wants: this project's CRDs, four nodes, no audit log.
    #[must_use]
    pub fn for_tests() -> Self {
        Self {
            nodes: 4,
            actors: true,
            audit: false,
            crds: repository().join("adapter-kube/crds"),
            port: None,
            lifetime: Lifetime::ThisProcess,
        }
    }
}

/// Why there is no control plane.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The programs are not on this machine. The text says which, and how to get them.
    #[error("{0}")]
    Missing(String),
    /// A program ended or did not do its part in time.
    #[error("{what}{}", indented(.log))]
    Failed {
        /// What went wrong, as one sentence.
        what: String,
        /// The last lines that the program in question wrote.
        log: String,
    },
    /// A file or process operation failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// How it failed.
        source: io::Error,
    },
}

/// A running control plane.
///
/// Dropping it stops all processes and removes all files, unless it is an existing cluster or was started with
/// [`Lifetime::UntilDown`].
#[derive(Debug)]
pub struct ControlPlane {
    kubeconfig: PathBuf,
    kubectl: PathBuf,
    server: String,
    token: Option<String>,
    audit_log: Option<PathBuf>,
    /// `None` for a cluster that somebody else runs.
    processes: Option<Processes>,
}

/// Returns a control plane for the test `name`, or `None` after a line on standard error that says why not.
///
/// `REQUIRE_APISERVER=1` forbids skipping; `REQUIRE_APISERVER=0` skips even where the programs are at hand.
///
/// **Panics** when the control plane does not start, and when skipping is forbidden.
#[must_use]
#[track_caller]
pub fn require_or_skip(name: &str) -> Option<ControlPlane> {
    require_with(name, &Options::for_tests())
}

/// Does what [`require_or_skip`] does, for a control plane of a special kind.
///
/// **Panics** as [`require_or_skip`] does.
#[must_use]
#[track_caller]
pub fn require_with(name: &str, options: &Options) -> Option<ControlPlane> {
    match start_if_wanted(options) {
        Ok(plane) => Some(plane),
        Err(error) => skip_or_panic(name, &error),
    }
}

/// Returns the control plane that all tests of this process share: a start takes seconds, a namespace does not.
///
/// **Panics** as [`require_or_skip`] does.
#[must_use]
#[track_caller]
pub fn shared_or_skip(name: &str) -> Option<&'static ControlPlane> {
    static SHARED: OnceLock<Result<ControlPlane, Error>> = OnceLock::new();
    match SHARED.get_or_init(|| start_if_wanted(&Options::for_tests())) {
        Ok(plane) => Some(plane),
        Err(error) => skip_or_panic(name, error),
    }
}

/// Stops what was started with [`Lifetime::UntilDown`] in `dir`, and removes `dir`.
///
/// **Errors** when `dir` holds no control plane, or a process does not end.
pub fn down(dir: &Path) -> Result<(), Error> {
    if !dir.join("kubeconfig").exists() {
        return Err(Error::failed(format!("no control plane in {}", dir.display())));
    }
    process::kill_recorded(dir)?;
    fs::remove_dir_all(dir).map_err(|e| Error::io(format!("cannot remove {}", dir.display()), e))
}

impl ControlPlane {
    /// Starts a control plane, or takes the one that the environment names.
    ///
    /// **Errors** with [`Error::Missing`] when the programs are not on this machine.
    pub fn start(options: &Options) -> Result<Self, Error> {
        let assets = match assets::find()? {
            Source::Existing { kubeconfig, kubectl } => return Self::existing(kubeconfig, kubectl, options),
            Source::Programs(assets) => assets,
        };
        let mut tries = 1;
        loop {
            match Self::start_once(&assets, options) {
                Err(error) if error.is_port_taken() && tries < PORT_TRIES_MAX => tries += 1,
                result => return result,
            }
        }
    }

    /// Returns the path of the kubeconfig, which is JSON and so YAML as well.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Returns the path of a kubectl that fits the server.
    #[must_use]
    pub fn kubectl_path(&self) -> &Path {
        &self.kubectl
    }

    /// Returns a kubectl command for this cluster, to which arguments can be added.
    #[must_use]
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(&self.kubectl);
        command.arg("--kubeconfig").arg(&self.kubeconfig).stdin(Stdio::null());
        // A cache would outlive the cluster, and what is learned about one on this port is wrong about the next.
        command.args(["--cache-dir", "/dev/null"]);
        command
    }

    /// Whether somebody else runs this cluster, so that a test should leave nothing behind in it.
    #[must_use]
    pub fn is_existing(&self) -> bool {
        self.processes.is_none()
    }

    /// Returns the API server's address.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Returns the administrator's token; an existing cluster may have none.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Returns the file with one JSON line for each request, if [`Options::audit`] asked for it.
    #[must_use]
    pub fn audit_log(&self) -> Option<&Path> {
        self.audit_log.as_deref()
    }

    /// Returns a client with the administrator's rights.
    ///
    /// **Panics** when the kubeconfig cannot be used: a test has nothing to do then.
    pub async fn client(&self) -> kube::Client {
        let kubeconfig =
            kube::config::Kubeconfig::read_from(&self.kubeconfig).expect("a kubeconfig that can be read");
        let options = kube::config::KubeConfigOptions::default();
        let config =
            kube::Config::from_custom_kubeconfig(kubeconfig, &options).await.expect("a complete kubeconfig");
        kube::Client::try_from(config).expect("a client for the kubeconfig")
    }

    /// Has a process killed with this control plane, whatever ends it, and does nothing in an existing cluster.
    pub(crate) fn guard(&self, pid: u32) -> Result<(), Error> {
        self.processes.as_ref().map_or(Ok(()), |processes| processes.guard(pid))
    }

    /// Forgets a process of [`ControlPlane::guard`], which has ended.
    pub(crate) fn forget(&self, pid: u32) -> Result<(), Error> {
        self.processes.as_ref().map_or(Ok(()), |processes| processes.forget(pid))
    }

    fn existing(kubeconfig: PathBuf, kubectl: PathBuf, options: &Options) -> Result<Self, Error> {
        let mut plane = Self {
            kubeconfig,
            kubectl,
            server: String::new(),
            token: None,
            audit_log: None,
            processes: None,
        };
        let view = ["config", "view", "--raw", "--minify", "--output"];
        let field = |path: &str| run(plane.kubectl().args(view).arg(format!("jsonpath={{{path}}}")), "");
        let server = field(".clusters[0].cluster.server")?;
        let token = field(".users[0].user.token")?;
        plane.server = server;
        plane.token = Some(token).filter(|token| !token.is_empty());
        // Somebody else's CRDs stay as they are: replacing a schema can break objects that are stored.
        let created = run(plane.kubectl().args(["create", "--filename"]).arg(&options.crds), "");
        match created {
            Err(Error::Failed { log, .. }) if log.contains("AlreadyExists") => {}
            result => drop(result?),
        }
        plane.wait_for("Established", "crd")?;
        Ok(plane)
    }

    fn start_once(assets: &Assets, options: &Options) -> Result<Self, Error> {
        let mut processes = Processes::new(&options.lifetime)?;
        let dir = processes.dir().to_owned();
        let port = match options.port {
            Some(port) => port,
            None => free_port()?,
        };
        let server = format!("https://127.0.0.1:{port}");
        write_files(&dir, &server)?;

        let etcd = format!("http://127.0.0.1:{}", free_port()?);
        processes.start(
            "etcd",
            &assets.etcd,
            &etcd_flags(&dir, &etcd, &format!("http://127.0.0.1:{}", free_port()?)),
        )?;
        processes.start(
            "kube-apiserver",
            &assets.apiserver,
            &apiserver_flags(&dir, &etcd, port, options.audit),
        )?;

        let mut plane = Self {
            kubeconfig: dir.join("kubeconfig"),
            kubectl: assets.kubectl.clone(),
            server,
            token: Some(ADMIN_TOKEN.to_owned()),
            audit_log: options.audit.then(|| dir.join("audit.log")),
            processes: Some(processes),
        };
        plane.wait_until_ready(port)?;
        run(plane.kubectl().args(["apply", "--server-side", "--filename"]).arg(&options.crds), "")?;
        plane.wait_for("Established", "crd")?;
        if options.actors {
            plane.start_controllers(assets)?;
            plane.start_nodes(assets, options.nodes)?;
        }
        if let Some(processes) = &mut plane.processes {
            processes.finish_start()?;
        }
        Ok(plane)
    }

    fn start_controllers(&mut self, assets: &Assets) -> Result<(), Error> {
        let Some(processes) = &mut self.processes else { return Ok(()) };
        let dir = processes.dir().to_owned();
        let kubeconfig = format!("--kubeconfig={}", self.kubeconfig.display());
        // Of some forty controllers only those whose absence would leave deleted things around for ever.
        let controllers =
            "garbage-collector-controller,namespace-controller,persistentvolumeclaim-protection-controller";
        processes.start(
            "kube-controller-manager",
            &assets.controller_manager,
            &[
                kubeconfig.clone(),
                format!("--controllers={controllers}"),
                format!("--cert-dir={}", dir.join("controller-manager").display()),
                "--leader-elect=false".into(),
                "--secure-port=0".into(),
                "--concurrent-gc-syncs=20".into(),
                "--kube-api-qps=1000".into(),
                "--kube-api-burst=2000".into(),
            ],
        )?;
        processes.start(
            "kube-scheduler",
            &assets.scheduler,
            &[
                kubeconfig,
                format!("--authentication-kubeconfig={}", self.kubeconfig.display()),
                format!("--authorization-kubeconfig={}", self.kubeconfig.display()),
                "--leader-elect=false".into(),
                "--secure-port=0".into(),
                "--kube-api-qps=2000".into(),
                "--kube-api-burst=4000".into(),
            ],
        )
    }

    fn start_nodes(&mut self, assets: &Assets, nodes: u32) -> Result<(), Error> {
        run(self.kubectl().args(["apply", "--server-side", "--filename"]).arg(&assets.storage_class), "")?;
        if nodes == 0 {
            return Ok(());
        }
        let size = json!({ "cpu": "1000", "memory": "1Ti", "pods": "990" });
        let items: Vec<_> = (1..=nodes)
            .map(|n| {
                let name = format!("node-{n}");
                json!({
                    "apiVersion": "v1",
                    "kind": "Node",
                    "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name } },
                    "status": { "allocatable": size, "capacity": size },
                })
            })
            .collect();
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
        run(self.kubectl().args(["create", "--filename", "-"]), &list.to_string())?;

        let mut flags = vec![
            format!("--kubeconfig={}", self.kubeconfig.display()),
            "--manage-all-nodes=true".into(),
            "--node-ip=127.0.0.1".into(),
            "--node-lease-duration-seconds=200".into(),
        ];
        flags.extend(assets.stages.iter().map(|stage| format!("--config={}", stage.display())));
        if let Some(processes) = &mut self.processes {
            processes.start("kwok", &assets.kwok, &flags)?;
        }
        self.wait_for("Ready", "node")
    }

    fn wait_until_ready(&mut self, port: u16) -> Result<(), Error> {
        let deadline = Instant::now() + STEP_TIMEOUT;
        loop {
            if let Some(processes) = &mut self.processes {
                processes.check()?;
            }
            // An open port is cheap to look at; kubectl costs a tenth of a second of processor time.
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
                && run(self.kubectl().args(["get", "--raw", "/readyz"]), "").is_ok()
            {
                return Ok(());
            }
            if Instant::now() > deadline {
                let what = format!("kube-apiserver is not ready after {} s", STEP_TIMEOUT.as_secs());
                return Err(Error::Failed { what, log: self.apiserver_log() });
            }
            pause();
        }
    }

    fn wait_for(&self, condition: &str, kind: &str) -> Result<(), Error> {
        let timeout = format!("--timeout={}s", STEP_TIMEOUT.as_secs());
        run(
            self.kubectl().args(["wait", &format!("--for=condition={condition}"), kind, "--all", &timeout]),
            "",
        )?;
        Ok(())
    }

    fn apiserver_log(&self) -> String {
        self.processes.as_ref().map(|processes| processes.log_tail("kube-apiserver")).unwrap_or_default()
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        let log = self.apiserver_log();
        if thread::panicking() && !log.is_empty() {
            eprintln!("the last lines of kube-apiserver:{}", indented(&log));
        }
    }
}

impl Error {
    fn failed(what: String) -> Self {
        Self::Failed { what, log: String::new() }
    }

    fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }

    fn is_port_taken(&self) -> bool {
        matches!(self, Self::Failed { log, .. } if log.contains("address already in use"))
    }
}

fn indented(log: &str) -> String {
    log.lines().map(|line| format!("\n    {line}")).collect()
}

/// The value of `REQUIRE_APISERVER`, empty when it is not set.
fn required() -> String {
    env::var("REQUIRE_APISERVER").unwrap_or_default()
}

fn start_if_wanted(options: &Options) -> Result<ControlPlane, Error> {
    if required() == "0" {
        return Err(Error::Missing("REQUIRE_APISERVER=0 asks for no cluster".into()));
    }
    ControlPlane::start(options)
}

/// Says why a test does not run, past the test harness, which would keep the output of a passing test for itself.
#[track_caller]
fn skip_or_panic<T>(name: &str, error: &Error) -> Option<T> {
    use io::Write;

    match error {
        Error::Missing(why) if required() != "1" => {
            // In one piece, because tests run side by side. If nobody reads it, there is nobody to tell.
            let _ = io::stderr().write_all(format!("skipped: {name}: {why}\n").as_bytes());
            None
        }
        Error::Missing(_) | Error::Failed { .. } | Error::Io { .. } => panic!("{name}: {error}"),
    }
}

/// The root of the repository this crate was compiled in.
fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package has a parent folder, the workspace")
}

pub(crate) fn free_port() -> Result<u16, Error> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    listener.map(|address| address.port()).map_err(|e| Error::io("no free port", e))
}

#[expect(clippy::disallowed_methods, reason = "neither a server nor another process reports to us")]
fn pause() {
    thread::sleep(POLL_INTERVAL);
}

/// Runs a command to its end with `input`, and returns what it wrote.
fn run(command: &mut Command, input: &str) -> Result<String, Error> {
    let program = command.get_program().display().to_string();
    let args: Vec<_> = command.get_args().map(|arg| arg.display().to_string()).collect();
    let failed = |e| Error::io(format!("cannot run {program}"), e);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that does not read its input says below what is wrong with it.
        let _ = io::Write::write_all(&mut stdin, input.as_bytes());
    }
    let output = child.wait_with_output().map_err(failed)?;
    if !output.status.success() {
        let what = format!("{program} {}: {}", args.join(" "), output.status);
        return Err(Error::Failed { what, log: String::from_utf8_lossy(&output.stderr).into_owned() });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn write_files(dir: &Path, server: &str) -> Result<(), Error> {
    let write = |name: &str, text: &str| {
        fs::write(dir.join(name), text)
            .map_err(|e| Error::io(format!("cannot write {name} in {}", dir.display()), e))
    };
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "test", "cluster": { "server": server, "certificate-authority": dir.join("certs/apiserver.crt") } }],
        "users": [{ "name": "admin", "user": { "token": ADMIN_TOKEN } }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "admin", "namespace": "default" } }],
        "current-context": "test",
    });
    write("kubeconfig", &kubeconfig.to_string())?;
    write("tokens.csv", &format!("{ADMIN_TOKEN},admin,admin,\"system:masters\"\n"))?;
    let policy = json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{ "level": "Metadata" }],
    });
    write("audit-policy.yaml", &policy.to_string())?;
    let key = rcgen::KeyPair::generate().expect("the system has random numbers");
    write("service-accounts.key", &key.serialize_pem())?;
    write("service-accounts.pub", &key.public_key_pem())
}

fn etcd_flags(dir: &Path, client: &str, peer: &str) -> Vec<String> {
    vec![
        format!("--data-dir={}", dir.join("etcd").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        // The data need not outlive a power cut.
        "--unsafe-no-fsync".into(),
        "--quota-backend-bytes=8589934592".into(),
        "--log-level=error".into(),
    ]
}

fn apiserver_flags(dir: &Path, etcd: &str, port: u16, audit: bool) -> Vec<String> {
    let file = |name: &str| dir.join(name).display().to_string();
    let mut flags = vec![
        format!("--etcd-servers={etcd}"),
        format!("--cert-dir={}", file("certs")),
        format!("--secure-port={port}"),
        "--bind-address=127.0.0.1".into(),
        "--advertise-address=127.0.0.1".into(),
        "--endpoint-reconciler-type=none".into(),
        "--service-cluster-ip-range=10.96.0.0/14".into(),
        "--service-account-issuer=https://kubernetes.default.svc".into(),
        format!("--service-account-key-file={}", file("service-accounts.pub")),
        format!("--service-account-signing-key-file={}", file("service-accounts.key")),
        "--authorization-mode=RBAC".into(),
        format!("--token-auth-file={}", file("tokens.csv")),
        // These two need controllers that do not run here: one that makes service accounts, one that clears taints.
        "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition".into(),
        "--allow-privileged=true".into(),
    ];
    if audit {
        flags.push(format!("--audit-policy-file={}", file("audit-policy.yaml")));
        flags.push(format!("--audit-log-path={}", file("audit.log")));
        flags.push("--audit-log-mode=batch".into());
        // Who reads the log while the cluster runs would otherwise wait half a minute for the last lines.
        flags.push("--audit-log-batch-max-wait=1s".into());
    }
    flags
}
