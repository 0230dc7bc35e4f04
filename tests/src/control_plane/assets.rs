//! Where the programs of a control plane come from. The first of these that is there:
//!
//! 1. `USE_EXISTING_CLUSTER=true`: no programs, but the cluster of the current kubeconfig.
//! 2. `TEST_ASSET_ETCD`, `TEST_ASSET_KUBE_APISERVER`, … or `KUBEBUILDER_ASSETS`, the variables of envtest.
//! 3. The cache folder that `tests/control-plane/build.sh` fills.
//!
//! Envtest's archives hold only etcd, kube-apiserver and kubectl. The tests need garbage collected and Pods running,
//! so what is missing there is taken from the cache folder.

use std::path::{Path, PathBuf};
use std::{env, fs};

use super::{Error, repository};

/// The module file that pins the version of Kubernetes for `build.sh`.
const GO_MOD: &str = include_str!("../../control-plane/go.mod");

/// Where a cluster comes from.
pub(super) enum Source {
    /// Somebody else runs it.
    Existing {
        /// The kubeconfig whose current context counts.
        kubeconfig: PathBuf,
        /// The program `kubectl`.
        kubectl: PathBuf,
    },
    /// We run it.
    Programs(Assets),
}

/// The programs of a control plane and the files that they need.
pub(super) struct Assets {
    pub(super) etcd: PathBuf,
    pub(super) apiserver: PathBuf,
    pub(super) controller_manager: PathBuf,
    pub(super) scheduler: PathBuf,
    pub(super) kubectl: PathBuf,
    pub(super) kwok: PathBuf,
    /// What kwok does with nodes, Pods and volumes, in the order of the file names.
    pub(super) stages: Vec<PathBuf>,
    /// The default storage class, whose volumes kwok provides.
    pub(super) storage_class: PathBuf,
}

/// Finds a cluster or the programs for one.
///
/// **Errors** with [`Error::Missing`] when something is missing.
pub(super) fn find() -> Result<Source, Error> {
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    if env::var("USE_EXISTING_CLUSTER").is_ok_and(|value| value == "true") {
        let kubeconfig = env::var_os("KUBECONFIG").map_or_else(|| home.join(".kube/config"), PathBuf::from);
        if !kubeconfig.exists() {
            let text = "USE_EXISTING_CLUSTER=true, but there is no kubeconfig";
            return Err(Error::Missing(format!("{text} {}: set KUBECONFIG", kubeconfig.display())));
        }
        let kubectl = env::var_os("TEST_ASSET_KUBECTL").map_or_else(|| "kubectl".into(), PathBuf::from);
        return Ok(Source::Existing { kubeconfig, kubectl });
    }

    let cache = env::var_os("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from);
    let built = cache.join("agent-sandbox").join(format!("control-plane-{}", kubernetes_version()));
    let envtest = env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    let mut missing = Vec::new();
    let mut program = |name: &'static str, variable: &str| {
        let named = env::var_os(variable).map(PathBuf::from);
        let candidates = [named, envtest.as_ref().map(|dir| dir.join(name)), Some(built.join(name))];
        let found = candidates.into_iter().flatten().find(|path| path.is_file());
        found.unwrap_or_else(|| {
            missing.push(name);
            PathBuf::new()
        })
    };
    let assets = Assets {
        etcd: program("etcd", "TEST_ASSET_ETCD"),
        apiserver: program("kube-apiserver", "TEST_ASSET_KUBE_APISERVER"),
        controller_manager: program("kube-controller-manager", "TEST_ASSET_KUBE_CONTROLLER_MANAGER"),
        scheduler: program("kube-scheduler", "TEST_ASSET_KUBE_SCHEDULER"),
        kubectl: program("kubectl", "TEST_ASSET_KUBECTL"),
        kwok: program("kwok", "TEST_ASSET_KWOK"),
        stages: files(&built.join("stages")),
        storage_class: built.join("storage-class.yaml"),
    };
    if missing.is_empty() && assets.stages.is_empty() {
        missing.push("stages of kwok");
    }
    if missing.is_empty() {
        return Ok(Source::Programs(assets));
    }
    let script = repository().join("tests/control-plane/build.sh");
    Err(Error::Missing(format!("no {}: run {}", missing.join(", "), script.display())))
}

/// The version of Kubernetes that `build.sh` builds, such as `v1.36.3`.
fn kubernetes_version() -> &'static str {
    let requirement = GO_MOD.lines().find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes "));
    requirement.expect("go.mod requires k8s.io/kubernetes")
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_kubernetes_is_the_one_that_go_mod_requires() {
        assert!(kubernetes_version().starts_with("v1."), "{}", kubernetes_version());
    }
}
