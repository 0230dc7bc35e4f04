//! What a sandbox has beside its Pod: a Service, and volume claims; and who has what stands under their names.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Number, Value, json};

use crate::id::{Key, Kind, Text};
use crate::names;
use crate::object::{Dependent, Json, Labels, Meta, Object, Owner, OwnerKind, Sandbox};
use crate::view::View;

/// Whose an object is that stands where one of a sandbox's own should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// The sandbox's own.
    Own,
    /// Nobody's, and marked for the sandbox to take (META-021).
    Free,
    /// Nobody's, without such a mark.
    Unmarked,
    /// It will soon be gone, and is not for the sandbox.
    Leaving,
    /// Somebody else's.
    Another,
}

/// Returns whose an object is: owner uids decide, never names (META-051).
pub(crate) fn whose(sandbox: &Sandbox, meta: &Meta) -> Whose {
    let name = &sandbox.meta.key.name;
    let Some(owner) = &meta.owner else {
        let is_free = meta.label(names::ADOPTABLE).is_some_and(|value| &**value == "true")
            || meta.label(names::SANDBOX_NAME_HASH) == Some(&names::name_hash(name));
        return match (meta.terminating, is_free) {
            (true, _) => Whose::Leaving,
            (false, true) => Whose::Free,
            (false, false) => Whose::Unmarked,
        };
    };
    if owner.uid == sandbox.meta.uid {
        Whose::Own
    } else if owner.kind == OwnerKind::Known(Kind::Sandbox) && owner.name == *name {
        // A sandbox of this name had it, and another has the name: that one is gone, and what it had is being collected.
        Whose::Leaving
    } else {
        Whose::Another
    }
}

/// Returns what is to be said about an object that a sandbox cannot have (ERR-001, ERR-002).
pub(crate) fn refusal(what: &str, sandbox: &Sandbox, meta: &Meta) -> String {
    let name = &*meta.key.name;
    let Some(owner) = &meta.owner else {
        return format!(
            "cannot adopt unowned {what} {name:?}: missing required pool authorization label ({:?}) or sandbox \
             tracking label ({:?})",
            names::ADOPTABLE,
            names::SANDBOX_NAME_HASH
        );
    };
    let kind = match &owner.kind {
        OwnerKind::Known(kind) => kind.name(),
        OwnerKind::Foreign(kind) => &**kind,
    };
    let (owner, uid, sandbox) = (&owner.name, owner.uid, &*sandbox.meta.key.name);
    format!("{what} {name:?} is owned by {kind}/{owner} (UID: {uid}), not by sandbox {sandbox:?}")
}

// ----- The Service -----

/// What there is of a sandbox's Service.
#[derive(Debug)]
pub(crate) enum Serving<'a> {
    /// None, as far as the sandbox is concerned.
    None,
    /// Its name is held by what will soon be gone.
    Leaving,
    /// Its own, going or not.
    Own(&'a Dependent),
    /// Nobody's, wanted, and it may be adopted.
    Free(&'a Dependent),
    /// Wanted, and it cannot be had; why.
    Barred(String),
}

/// Most letters that the name of a Service may have. Source: a DNS label, RFC 1035.
const SERVICE_NAME_MAX: usize = 63;

impl<'a> View<'a> {
    /// Returns why the server refuses what a sandbox lacks and wants: a volume claim, its Pod, its Service.
    pub(crate) fn refused_parts(&self, sandbox: &Sandbox) -> [Option<&'a str>; 3] {
        let refused = |kind| self.refused(sandbox.meta.uid, kind);
        let volume = refused(Kind::VolumeClaim)
            .filter(|refused| volumes(sandbox).iter().any(|volume| volume.key(sandbox) == refused.key));
        let pod = refused(Kind::Pod).filter(|_| !sandbox.suspended);
        let service = refused(Kind::Service).filter(|_| sandbox.service == Some(true));
        [volume, pod, service].map(|refused| refused.map(|refused| &*refused.why))
    }

    /// Returns what there is of a sandbox's Service.
    pub(crate) fn serving(&self, sandbox: &Sandbox) -> Serving<'a> {
        let wanted = sandbox.service == Some(true);
        let key = &sandbox.meta.key;
        let Some(service) = self.dependent_named(Kind::Service, key) else {
            return if wanted && !is_service_name(&key.name) {
                Serving::Barred(format!(
                    "service name {:?} is invalid: it must have no dots and at most {SERVICE_NAME_MAX} characters",
                    &*key.name
                ))
            } else {
                Serving::None
            };
        };
        match whose(sandbox, &service.meta) {
            Whose::Own => Serving::Own(service),
            Whose::Leaving => Serving::Leaving,
            // Who did not ask for a Service has nothing to do with that of another (GAP-018).
            Whose::Free | Whose::Unmarked | Whose::Another if !wanted => Serving::None,
            Whose::Free => match cluster_ip(service) {
                ip if ip.is_empty() || ip == "None" => Serving::Free(service),
                ip => Serving::Barred(format!(
                    "cannot adopt service {:?}: ClusterIP is {ip:?} (expected \"None\", field is immutable)",
                    &*key.name
                )),
            },
            Whose::Unmarked | Whose::Another => Serving::Barred(refusal("service", sandbox, &service.meta)),
        }
    }
}

fn is_service_name(name: &str) -> bool {
    name.len() <= SERVICE_NAME_MAX && !name.contains('.')
}

fn cluster_ip(service: &Dependent) -> String {
    service.spec.value()["clusterIP"].as_str().unwrap_or_default().to_string()
}

/// Returns the label by which a sandbox's objects are found.
pub(crate) fn tracking(sandbox: &Sandbox) -> (Text, Text) {
    (names::SANDBOX_NAME_HASH.into(), names::name_hash(&sandbox.meta.key.name))
}

/// Returns a sandbox's new Service: headless, a name for its Pod (SBX-080).
pub(crate) fn service(sandbox: &Sandbox) -> Object {
    let mut meta = Meta::draft(sandbox.meta.key.clone());
    meta.owner = Some(Owner::new(Kind::Sandbox, &sandbox.meta));
    let (key, hash) = tracking(sandbox);
    meta.labels.insert(key, hash);
    let mut spec = json!({ "clusterIP": "None", "selector": selector(sandbox) });
    let ports = ports(sandbox);
    if !ports.is_empty() {
        spec["ports"] = json!(ports);
    }
    Object::Service(Dependent { meta, spec: Json::from(&spec) }.into())
}

/// What we see to of a Service's spec.
#[derive(Default, Deserialize)]
struct ServiceSpec {
    #[serde(default)]
    selector: Value,
    ports: Option<Vec<ServicePort>>,
}

/// What we see to of a port of a Service.
#[derive(PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ServicePort {
    #[serde(default)]
    name: String,
    #[serde(default = "tcp")]
    protocol: String,
    port: i64,
    /// A number, or the name of a container's port.
    #[serde(default)]
    target_port: Value,
}

fn tcp() -> String {
    "TCP".into()
}

fn selector(sandbox: &Sandbox) -> Value {
    let (key, hash) = tracking(sandbox);
    json!({ &*key: &*hash })
}

/// Returns the merge patch of a Service's spec that makes it the sandbox's, if anything differs (SBX-085, SBX-086).
///
/// What else others have put there stays. Ports are only looked at where the sandbox asks for a Service.
pub(crate) fn service_drift(sandbox: &Sandbox, service: &Dependent) -> Option<Value> {
    let present: ServiceSpec = serde_json::from_str(service.spec.text()).unwrap_or_default();
    let mut change = json!({});
    let wanted = selector(sandbox);
    if present.selector != wanted {
        let keys = present.selector.as_object().into_iter().flat_map(|fields| fields.keys());
        let mut merge: serde_json::Map<String, Value> = keys.map(|key| (key.clone(), Value::Null)).collect();
        merge.extend(wanted.as_object().cloned().unwrap_or_default());
        change["selector"] = Value::Object(merge);
    }
    if sandbox.service == Some(true) {
        let ports = ports(sandbox);
        if present.ports.unwrap_or_default() != ports {
            change["ports"] = if ports.is_empty() { Value::Null } else { json!(ports) };
        }
    }
    change.as_object().is_some_and(|fields| !fields.is_empty()).then_some(change)
}

/// What the ports of a Service are made from. The rest of a Pod's spec is passed over, for it is read at each look; the
/// API server sees to the types.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Containers {
    containers: Option<Vec<Container>>,
    init_containers: Option<Vec<Container>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    restart_policy: Option<String>,
    ports: Option<Vec<ContainerPort>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerPort {
    container_port: Option<Number>,
    protocol: Option<String>,
    name: Option<String>,
}

/// Returns the ports of a sandbox's Service: those of its containers, native sidecars included, each once, in order
/// (SBX-090).
fn ports(sandbox: &Sandbox) -> Vec<ServicePort> {
    let spec: Containers = serde_json::from_str(sandbox.pod_spec.text()).unwrap_or_default();
    let sidecars = spec.init_containers.into_iter().flatten();
    let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let mut named: BTreeMap<(i64, String), String> = BTreeMap::new();
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let containers = spec.containers.into_iter().flatten().chain(sidecars);
    for port in containers.flat_map(|container| container.ports.into_iter().flatten()) {
        let Some(number) = port.container_port.and_then(|port| port.as_i64()).filter(|port| *port != 0)
        else {
            continue;
        };
        let protocol = port.protocol.filter(|text| !text.is_empty()).unwrap_or_else(tcp);
        let name = named.entry((number, protocol)).or_default();
        let wish = port.name.unwrap_or_default();
        if name.is_empty() && !wish.is_empty() && taken.insert(wish.clone()) {
            *name = wish;
        }
    }
    let ports = named.into_iter().map(|((port, protocol), name)| {
        let name = if name.is_empty() { free_name(port, &protocol, &mut taken) } else { name };
        ServicePort { name, protocol, port, target_port: port.into() }
    });
    ports.collect()
}

fn free_name(port: i64, protocol: &str, taken: &mut BTreeSet<String>) -> String {
    let base = format!("p-{port}-{}", protocol.to_lowercase());
    let mut name = base.clone();
    let mut number = 1;
    while !taken.insert(name.clone()) {
        number += 1;
        name = format!("{base}-{number}");
    }
    name
}

// ----- Volume claims -----

/// One volume claim that a sandbox wants: an item of `spec.volumeClaimTemplates`, of which only the name is read at each
/// look.
#[derive(Deserialize)]
pub(crate) struct Volume<'a> {
    #[serde(borrow)]
    metadata: Option<VolumeMetadata<'a>>,
    #[serde(borrow)]
    spec: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct VolumeMetadata<'a> {
    /// That of the Pod's volume, too.
    name: Option<String>,
    #[serde(borrow)]
    labels: Option<&'a RawValue>,
    #[serde(borrow)]
    annotations: Option<&'a RawValue>,
}

/// What there is of a sandbox's volume claims: the first that is not as it should be.
pub(crate) enum Volumes<'a> {
    /// All are there, or on their way.
    Fine,
    /// This one is missing.
    Missing(Object),
    /// Nobody's, and it may be adopted.
    Free(&'a Dependent),
    /// One cannot be had; why.
    Barred(String),
}

/// Returns the volume claims that a sandbox wants.
pub(crate) fn volumes(sandbox: &Sandbox) -> Vec<Volume<'_>> {
    let claims = sandbox.volume_claims.as_ref().map(|claims| serde_json::from_str(claims.text()));
    claims.and_then(Result::ok).unwrap_or_default()
}

/// Returns whether a sandbox wants a volume and does not say under which name.
pub(crate) fn lacks_volume_name(sandbox: &Sandbox) -> bool {
    volumes(sandbox).iter().any(|volume| volume.name().is_empty())
}

impl Volume<'_> {
    fn name(&self) -> &str {
        self.metadata.as_ref().and_then(|metadata| metadata.name.as_deref()).unwrap_or_default()
    }

    fn key(&self, sandbox: &Sandbox) -> Key {
        let name = format!("{}-{}", self.name(), sandbox.meta.key.name);
        sandbox.meta.key.sibling(name)
    }

    /// Returns the claim as it is made (SBX-043).
    fn claim(&self, sandbox: &Sandbox) -> Object {
        let given = self.metadata.as_ref();
        let mut meta = Meta::draft(self.key(sandbox));
        meta.owner = Some(Owner::new(Kind::Sandbox, &sandbox.meta));
        meta.labels = labels(given.and_then(|metadata| metadata.labels));
        let (key, hash) = tracking(sandbox);
        meta.labels.insert(key, hash);
        meta.annotations = labels(given.and_then(|metadata| metadata.annotations));
        Object::VolumeClaim(Dependent { meta, spec: Json::from(&read(self.spec)) }.into())
    }
}

fn labels(given: Option<&RawValue>) -> Labels {
    let Value::Object(pairs) = read(given) else { return Labels::default() };
    pairs.iter().filter_map(|(key, value)| Some((Text::from(&**key), Text::from(value.as_str()?)))).collect()
}

fn read(given: Option<&RawValue>) -> Value {
    given.and_then(|text| serde_json::from_str(text.get()).ok()).unwrap_or_default()
}

impl<'a> View<'a> {
    /// Returns what there is of a sandbox's volume claims.
    pub(crate) fn volumes(&self, sandbox: &Sandbox) -> Volumes<'a> {
        for (place, volume) in volumes(sandbox).iter().enumerate() {
            if volume.name().is_empty() {
                return Volumes::Barred(format!("volumeClaimTemplates[{place}] has no name"));
            }
            let key = volume.key(sandbox);
            let Some(claim) = self.dependent_named(Kind::VolumeClaim, &key) else {
                if self.is_drafted(Kind::VolumeClaim, &key) {
                    continue;
                }
                return Volumes::Missing(volume.claim(sandbox));
            };
            match whose(sandbox, &claim.meta) {
                Whose::Own | Whose::Leaving => {}
                Whose::Free => return Volumes::Free(claim),
                Whose::Unmarked | Whose::Another => {
                    return Volumes::Barred(refusal("PVC", sandbox, &claim.meta));
                }
            }
        }
        Volumes::Fine
    }
}

/// Returns the spec of a sandbox's Pod: the template's, with the volumes that are claimed in place of those of the same
/// name (META-013).
pub(crate) fn pod_spec(sandbox: &Sandbox) -> Json {
    let volumes = volumes(sandbox);
    if volumes.is_empty() {
        return sandbox.pod_spec.clone();
    }
    let mut spec = sandbox.pod_spec.value();
    let mut list = spec["volumes"].as_array().cloned().unwrap_or_default();
    list.retain(|kept| volumes.iter().all(|volume| kept["name"] != volume.name()));
    list.extend(volumes.iter().map(|volume| {
        let claim = volume.key(sandbox).name;
        json!({ "name": volume.name(), "persistentVolumeClaim": { "claimName": &*claim } })
    }));
    spec["volumes"] = list.into();
    Json::from(&spec)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::object::{PodMetadata, SandboxStatus};

    fn sandbox(pod_spec: Value, volume_claims: Option<Value>) -> Sandbox {
        Sandbox {
            meta: Meta::draft(Key::new("ns", "s1")),
            pod: PodMetadata::default(),
            pod_spec: Json::from(&pod_spec),
            volume_claims: volume_claims.as_ref().map(Json::from),
            service: Some(true),
            suspended: false,
            shutdown: None,
            status: SandboxStatus::default(),
        }
    }

    fn told(pod_spec: Value) -> Vec<String> {
        let told = |it: ServicePort| {
            assert_eq!(it.target_port, it.port);
            format!("{} {} {}", it.port, it.protocol, it.name)
        };
        ports(&sandbox(pod_spec, None)).into_iter().map(told).collect()
    }

    /// SBX-090; SACC-110, SACC-112, SACC-113, SACC-114, SACC-115, SACC-116.
    #[test]
    fn ports_are_those_of_the_containers_each_once_and_in_order() {
        assert_eq!(told(json!({ "containers": [{}] })), [""; 0]);
        let spec = json!({
            "containers": [
                { "ports": [{ "containerPort": 9090, "name": "http" }, { "containerPort": 53, "protocol": "UDP" }] },
                { "ports": [{ "containerPort": 8080 }, { "containerPort": 0, "name": "none" }] },
                { "ports": [{ "containerPort": 8080, "name": "p-53-udp" }, { "containerPort": 9090, "name": "again" }] },
                { "ports": [{ "containerPort": 53, "name": "http" }] },
            ],
            "initContainers": [
                { "ports": [{ "containerPort": 1 }] },
                { "restartPolicy": "Always", "ports": [{ "containerPort": 2 }] },
            ],
        });
        let wanted =
            ["2 TCP p-2-tcp", "53 TCP p-53-tcp", "53 UDP p-53-udp-2", "8080 TCP p-53-udp", "9090 TCP http"];
        assert_eq!(told(spec), wanted);
    }

    /// SACC-042.
    /// META-013, SACC-098.
    #[test]
    fn a_pod_mounts_the_volumes_that_are_claimed() {
        let spec =
            json!({ "volumes": [{ "name": "data", "emptyDir": {} }, { "name": "tmp", "emptyDir": {} }] });
        let claims = json!([{ "metadata": { "name": "data" }, "spec": {} }]);
        let mounted = pod_spec(&sandbox(spec.clone(), Some(claims))).value();
        let claimed = json!({ "name": "data", "persistentVolumeClaim": { "claimName": "data-s1" } });
        assert_eq!(mounted["volumes"], json!([{ "name": "tmp", "emptyDir": {} }, claimed]));
        assert_eq!(pod_spec(&sandbox(spec.clone(), None)).value(), spec);
    }

    /// SACC-042.
    /// SBX-043, META-032.
    #[test]
    fn a_volume_claim_is_what_its_template_says() {
        let claims = json!([{
            "metadata": { "name": "data", "labels": { "a": "1" }, "annotations": { "agents.x-k8s.io/b": "2" } },
            "spec": { "storageClassName": "fast" },
        }]);
        let sandbox = sandbox(json!({}), Some(claims));
        let claim = volumes(&sandbox)[0].claim(&sandbox);
        let Object::VolumeClaim(claim) = claim else { panic!("no volume claim") };
        assert_eq!(&*claim.meta.key.name, "data-s1");
        let labels: Vec<_> = claim.meta.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(labels, ["a=1", "agents.x-k8s.io/sandbox-name-hash=0851b8c9"]);
        assert_eq!(
            claim.meta.annotations.get("agents.x-k8s.io/b").map(|text| text.to_string()).as_deref(),
            Some("2")
        );
        assert_eq!(claim.spec.value(), json!({ "storageClassName": "fast" }));
    }
}
