//! What is in a sandbox's Pod, its Service and its volume claims.

use std::collections::BTreeSet;

use agent_sandbox_core::id::Key;
use agent_sandbox_core::object::{Dependent, Json, Labels, Sandbox};
use agent_sandbox_core::wishes::Variable;
use serde_json::Value;

/// Returns what is wrong with a Service that a sandbox asks for: it leads to each port at which something listens for
/// good, once, and each port has a name (SBX-090).
pub fn lack_of_service(sandbox: &Sandbox, service: &Dependent) -> Option<String> {
    let spec = sandbox.pod_spec.value();
    let list = |name: &str| spec[name].as_array().cloned().unwrap_or_default();
    let helpers = list("initContainers").into_iter().filter(|it| it["restartPolicy"] == "Always");
    let listens: Vec<Value> = list("containers")
        .into_iter()
        .chain(helpers)
        .flat_map(|container| container["ports"].as_array().cloned().unwrap_or_default())
        .collect();
    let place = |port: &Value, number: &str| {
        (port[number].as_i64(), port["protocol"].as_str().unwrap_or("TCP").to_owned())
    };
    let wanted: BTreeSet<_> = listens.iter().map(|port| place(port, "containerPort")).collect();
    let spec = service.spec.value();
    let served = spec["ports"].as_array().cloned().unwrap_or_default();
    let has: BTreeSet<_> = served.iter().map(|port| place(port, "port")).collect();
    let goes_astray = served.iter().any(|port| port["targetPort"] != port["port"]);
    if has != wanted || served.len() != has.len() || goes_astray {
        return Some(format!("has a Service with other ports than its containers: {}", spec["ports"]));
    }
    let names: BTreeSet<&str> = served.iter().filter_map(|port| port["name"].as_str()).collect();
    // Who comes first has the name.
    let given = listens.iter().find_map(|port| Some((port["name"].as_str()?, place(port, "containerPort"))));
    let is_kept =
        |(name, at): (&str, _)| served.iter().any(|port| port["name"] == name && place(port, "port") == at);
    let is_right = names.len() == served.len()
        && given.is_none_or(is_kept)
        && served.iter().all(|port| is_named(port, &listens));
    (!is_right).then(|| format!("has a Service whose ports are not told apart: {}", spec["ports"]))
}

/// Returns whether a port of a Service is called as a container calls it, or as it is called where none does.
fn is_named(served: &Value, listens: &[Value]) -> bool {
    let (number, name) = (&served["port"], served["name"].as_str().unwrap_or_default());
    let protocol = |port: &Value| port["protocol"].as_str().unwrap_or("TCP").to_owned();
    let mut same =
        listens.iter().filter(|it| it["containerPort"] == *number && protocol(it) == protocol(served));
    let made = format!("p-{number}-{}", protocol(served).to_lowercase());
    // What another port is called already gets a number.
    same.any(|it| it["name"] == name) || name == made || name.starts_with(&format!("{made}-"))
}

/// Returns whether a Service can have this name: that is one label of a domain, of at most 63 letters (GAP-020).
pub fn can_be_served(name: &str) -> bool {
    name.len() <= 63 && !name.contains('.')
}

/// Returns what is wrong with a volume claim that is made for a sandbox (SBX-043).
pub fn lack_of_volume_claim(sandbox: &Sandbox, claim: &Dependent) -> Option<String> {
    let name = claim.meta.key.name.strip_suffix(&format!("-{}", sandbox.meta.key.name));
    let templates = templates(sandbox);
    let Some(template) = templates.iter().find(|template| template["metadata"]["name"].as_str() == name)
    else {
        return Some("that it does not ask for".to_owned());
    };
    let has = |labels: &Labels, what: &str| {
        let wanted = template["metadata"][what].as_object().into_iter().flatten();
        wanted.into_iter().all(|(key, value)| labels.get(key).map(|has| &**has) == value.as_str())
    };
    let is_right = claim.spec.value() == template["spec"]
        && has(&claim.meta.labels, "labels")
        && has(&claim.meta.annotations, "annotations");
    (!is_right).then(|| format!("other than its template: {}", claim.spec.text()))
}

/// Returns what is wrong with the spec of a Pod that is made for a sandbox: that has what the sandbox says, and each volume
/// that it claims in place of one of the same name (META-013).
pub fn lack_of_pod_spec(sandbox: &Sandbox, spec: &Json) -> Option<String> {
    if sandbox.volume_claims.is_none() && *spec == sandbox.pod_spec {
        return None;
    }
    let (mut wanted, mut has) = (sandbox.pod_spec.value(), spec.value());
    let mut volumes = wanted["volumes"].as_array().cloned().unwrap_or_default();
    for name in sandbox.volume_claims.as_ref().map(names_of).unwrap_or_default() {
        volumes.retain(|volume| volume["name"] != *name);
        let claim = format!("{name}-{}", sandbox.meta.key.name);
        volumes.push(serde_json::json!({ "name": name, "persistentVolumeClaim": { "claimName": claim } }));
    }
    let mut shown = has["volumes"].as_array().cloned().unwrap_or_default();
    for (list, of) in [(&mut volumes, &mut wanted), (&mut shown, &mut has)] {
        list.sort_by_key(|volume| volume["name"].as_str().map(str::to_owned));
        of["volumes"] = Value::Null;
    }
    if volumes != shown {
        return Some(format!("with other volumes than it claims: {}", Value::from(shown)));
    }
    (wanted != has).then(|| format!("with another spec than it says: {}", spec.text()))
}

/// Returns what stands for a name in labels. Clients and other controllers work it out, too (HSH-001).
///
/// Source: FNV-1a, 32 bits, as eight hexadecimal digits.
pub fn hash_of(name: &str) -> String {
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(16_777_619);
    format!("{:08x}", name.bytes().fold(2_166_136_261, step))
}

/// Returns the key of the claim for a volume of a sandbox.
pub fn key_of_volume(name: &str, sandbox: &Sandbox) -> Key {
    sandbox.meta.key.sibling(format!("{name}-{}", sandbox.meta.key.name))
}

/// Returns whether the volumes of a sandbox are those of its template with those of a claim, each in place of the one of its
/// name (CLD-003 to CLD-005).
pub fn has_volumes(made: Option<&Json>, template: Option<&Json>, wanted: &Json) -> bool {
    let items = |json: &Json| json.value().as_array().cloned().unwrap_or_default();
    let [made, given] = [made, template].map(|json| json.map(items).unwrap_or_default());
    let (wanted, names) = (items(wanted), names_of(wanted));
    let is_kept = |item: &&Value| !names.iter().any(|name| item["metadata"]["name"] == **name);
    let kept: Vec<&Value> = given.iter().filter(is_kept).collect();
    made.len() == kept.len() + wanted.len() && kept.into_iter().chain(&wanted).all(|item| made.contains(item))
}

/// Returns whether a volume of a sandbox has no name: no server takes a Pod with such a volume (GAP-020).
pub fn lacks_volume_name(sandbox: &Sandbox) -> bool {
    sandbox.volume_claims.as_ref().is_some_and(|claims| names_of(claims).iter().any(String::is_empty))
}

/// Returns the names of the volumes in a list.
pub fn names_of(volumes: &Json) -> Vec<String> {
    let names = |item: &Value| item["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    volumes.value().as_array().into_iter().flatten().map(names).collect()
}

/// Returns whether a Pod spec is that of a template with the variables of a claim: each is in the container that it names,
/// instead of the one of its name there, or in the first if it names none, and in no other (CLD-006 to CLD-011).
pub fn has_variables(spec: &Json, template: &Json, variables: &[Variable]) -> bool {
    let (mut wanted, mut has) = (template.value(), spec.value());
    for variable in variables {
        let place = container_of(&wanted, variable);
        let Some(place) = place.and_then(|place| wanted.pointer_mut(&place)) else { return false };
        let Variable { name, value, container: _ } = variable;
        let mut list = place["env"].as_array().cloned().unwrap_or_default();
        list.retain(|entry| entry["name"] != **name);
        list.push(serde_json::json!({ "name": **name, "value": **value }));
        place["env"] = list.into();
    }
    for spec in [&mut wanted, &mut has] {
        for list in ["containers", "initContainers"] {
            let of_any = spec[list].as_array_mut().into_iter().flatten();
            let lists = of_any.filter_map(|container| container.get_mut("env")?.as_array_mut());
            lists.for_each(|list| list.sort_by_key(|entry| entry["name"].as_str().map(str::to_owned)));
        }
    }
    wanted == has
}

/// Returns where in a Pod spec the container is that a variable is for, as a JSON pointer: the first that works for good if
/// the variable names none.
pub fn container_of(spec: &Value, variable: &Variable) -> Option<String> {
    let name = &*variable.container;
    let all = ["containers", "initContainers"];
    all.into_iter().take(if name.is_empty() { 1 } else { all.len() }).find_map(|list| {
        let mut containers = spec[list].as_array()?.iter();
        let place = containers.position(|container| name.is_empty() || container["name"] == *name)?;
        Some(format!("/{list}/{place}"))
    })
}

fn templates(sandbox: &Sandbox) -> Vec<Value> {
    let claims = sandbox.volume_claims.as_ref().map(|claims| claims.value());
    claims.and_then(|claims| claims.as_array().cloned()).unwrap_or_default()
}
