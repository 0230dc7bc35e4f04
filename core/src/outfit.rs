//! What a sandbox gets that is made for one claim: the template, and what the claim asks for beyond it.
//!
//! A claim may ask for what it cannot have. Then nothing is recorded or made for it, and its user is told why; it is
//! decided again when the claim, its pool or its template changes, and not before (DEF-022).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::id::Text;
use crate::object::{Json, Template};
use crate::wishes::{Policy, Variable, Wishes};

/// Why a claim cannot have what it asks for: a condition's reason and message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Objection {
    pub(crate) reason: &'static str,
    pub(crate) message: Text,
}

impl Objection {
    pub(crate) fn of_metadata(detail: &str) -> Self {
        let message = format!("invalid additionalPodMetadata: {detail}").into();
        Self { reason: "InvalidMetadata", message }
    }

    pub(crate) fn is_of_metadata(&self) -> bool {
        self.reason == "InvalidMetadata"
    }

    fn of_volumes(detail: &str) -> Self {
        Self { reason: "VolumeClaimTemplatesError", message: detail.into() }
    }

    fn of_env(detail: &str) -> Self {
        let message = format!("environment variable injection rejected: {detail}").into();
        Self { reason: "EnvVarsInjectionRejected", message }
    }

    pub(crate) fn other(detail: &str) -> Self {
        Self { reason: "ReconcilerError", message: format!("Error seen: {detail}").into() }
    }
}

// ----- Volumes -----

/// Returns what is wrong with the volume claims of a template.
pub(crate) fn flaw_of_template(claims: &Json) -> Option<String> {
    flaw(&items(claims)).map(|flaw| format!("invalid volume claim templates: {flaw}"))
}

/// Returns the volume claims of a sandbox that is made for a claim (CLD-003 to CLD-005).
pub(crate) fn volume_claims(wishes: Option<&Wishes>, template: &Template) -> Result<Option<Json>, Objection> {
    let wanted = wishes.and_then(|wishes| wishes.volume_claims.as_ref());
    if let Some(flaw) = &template.flaw {
        let what =
            if wanted.is_some() { "failed to merge volume claim templates: template" } else { IN_TEMPLATE };
        return Err(Objection::of_volumes(&format!("{what}: {flaw}")));
    }
    let given = template.blueprint.volume_claims.as_ref();
    let Some(wanted) = wanted else { return Ok(given.cloned()) };
    let refuse =
        |why: &str| Err(Objection::of_volumes(&format!("failed to merge volume claim templates: {why}")));
    let wanted = items(wanted);
    if let Some(flaw) = flaw(&wanted) {
        return refuse(&format!("claim: invalid volume claim templates: {flaw}"));
    }
    let given = given.map(items).unwrap_or_default();
    let names: BTreeSet<&str> = given.iter().map(|(name, _)| &**name).collect();
    let both = wanted.iter().find(|(name, _)| names.contains(&**name));
    match (template.volume_claims_policy, both) {
        (Policy::Disallowed, _) => return refuse("volume claim templates are disallowed by the template"),
        (Policy::Allowed, Some((name, _))) => {
            let why = "overriding volume claim templates is forbidden by the template";
            return refuse(&format!("{why}: cannot override template volume {name:?}"));
        }
        (Policy::Allowed, None) | (Policy::Overrides, _) => {}
    }
    let mut replaced: BTreeMap<&str, &RawValue> =
        wanted.iter().map(|(name, item)| (&**name, *item)).collect();
    let kept = given.iter().map(|(name, item)| replaced.remove(&**name).unwrap_or(item));
    let mut merged: Vec<&RawValue> = kept.collect();
    merged.extend(wanted.iter().filter_map(|(name, _)| replaced.remove(&**name)));
    Ok(Some(to_json(&merged)))
}

const IN_TEMPLATE: &str = "invalid volume claim templates in template";

/// Returns the items of a list of volume claims, each with its name.
fn items(claims: &Json) -> Vec<(String, &RawValue)> {
    let items: Vec<&RawValue> = serde_json::from_str(claims.text()).unwrap_or_default();
    let name = |item: &RawValue| {
        let item: Value = serde_json::from_str(item.get()).unwrap_or_default();
        item["metadata"]["name"].as_str().unwrap_or_default().into()
    };
    items.into_iter().map(|item| (name(item), item)).collect()
}

fn flaw(items: &[(String, &RawValue)]) -> Option<String> {
    let mut seen = BTreeSet::new();
    items.iter().enumerate().find_map(|(place, (name, _))| {
        if name.is_empty() {
            return Some(format!("name at index {place} is empty"));
        }
        (!seen.insert(name)).then(|| format!("duplicate name {name:?}"))
    })
}

fn to_json(value: &impl serde::Serialize) -> Json {
    Json::new(serde_json::value::to_raw_value(value).expect("what was read as JSON can be written"))
}

// ----- Environment -----

/// Returns the Pod spec of a sandbox that is made for a claim (CLD-006 to CLD-011).
pub(crate) fn pod_spec(wishes: Option<&Wishes>, template: &Template) -> Result<Json, Objection> {
    let given = &template.blueprint.pod_spec;
    let Some(env) = wishes.map(|wishes| &wishes.env).filter(|env| !env.is_empty()) else {
        return Ok(given.clone());
    };
    if template.env_policy == Policy::Disallowed {
        return Err(Objection::of_env(
            "environment variable injection is not allowed by the template policy",
        ));
    }
    let mut spec: Value = serde_json::from_str(given.text()).unwrap_or_default();
    if let Some(lost) = env.iter().find(|variable| !has_container(&spec, &variable.container)) {
        let (container, name) = (&*lost.container, &*lost.name);
        let why =
            format!("target container {container:?} not found in template for environment variable {name:?}");
        return Err(Objection::other(&why));
    }
    let named = |container: &Value| -> Vec<&Variable> {
        let name = container["name"].as_str().unwrap_or_default();
        env.iter().filter(|variable| !variable.container.is_empty() && *variable.container == *name).collect()
    };
    for container in containers(&mut spec, "initContainers") {
        let variables = named(container);
        inject(container, &variables, template.env_policy)?;
    }
    for (place, container) in containers(&mut spec, "containers").enumerate() {
        let mut variables = named(container);
        if place == 0 {
            variables.extend(env.iter().filter(|variable| variable.container.is_empty()));
        }
        inject(container, &variables, template.env_policy)?;
    }
    Ok(to_json(&spec))
}

fn containers<'a>(spec: &'a mut Value, list: &str) -> impl Iterator<Item = &'a mut Value> + use<'a> {
    spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten()
}

/// Returns whether the spec has the container that a variable names; one that names none always has one.
fn has_container(spec: &Value, name: &str) -> bool {
    let all = ["initContainers", "containers"].into_iter().filter_map(|list| spec[list].as_array()).flatten();
    name.is_empty() || all.into_iter().any(|container| container["name"].as_str() == Some(name))
}

fn inject(container: &mut Value, variables: &[&Variable], policy: Policy) -> Result<(), Objection> {
    let Some(fields) = container.as_object_mut().filter(|_| !variables.is_empty()) else { return Ok(()) };
    let has_sources =
        fields.get("envFrom").and_then(Value::as_array).is_some_and(|sources| !sources.is_empty());
    if policy == Policy::Allowed && has_sources {
        // What a source defines cannot be seen from here, so it could be replaced unnoticed.
        let name = fields.get("name").and_then(Value::as_str).unwrap_or_default();
        let why = "uses EnvFrom sources; Allowed policy cannot safely prevent overriding EnvFrom-provided variables";
        return Err(Objection::of_env(&format!("container {name:?} {why}")));
    }
    let env = fields.entry("env").or_insert_with(|| Value::Array(Vec::new()));
    if !env.is_array() {
        *env = Value::Array(Vec::new());
    }
    let Some(env) = env.as_array_mut() else { return Ok(()) };
    for variable in variables {
        let entry = entry(variable);
        let present = env.iter_mut().find(|entry| entry["name"].as_str() == Some(&*variable.name));
        match present {
            None => env.push(entry),
            Some(present) if policy == Policy::Overrides => *present = entry,
            Some(_) => {
                let why = "environment variable override is not allowed by the template policy for variable";
                return Err(Objection::other(&format!("{why} {:?}", &*variable.name)));
            }
        }
    }
    Ok(())
}

fn entry(variable: &Variable) -> Value {
    let mut entry = Map::new();
    entry.insert("name".into(), json!(variable.name));
    if !variable.value.is_empty() {
        // As Kubernetes' own clients write it.
        entry.insert("value".into(), json!(variable.value));
    }
    Value::Object(entry)
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::id::Kind;
    use crate::object::Object;
    use crate::{make, wire};

    // ----- Environment -----

    /// ACC-025, ACC-026.
    /// CLD-009, CLD-011: what is new comes after what the template says.
    #[test]
    fn a_new_variable_goes_to_the_first_container() {
        for policy in ["Allowed", "Overrides"] {
            let env = env_of(
                policy,
                r#"[{"name":"A","value":"1"}]"#,
                r#"{"containers":[{"name":"main","env":[{"name":"T","value":"t"}]},{"name":"side"}]}"#,
            );
            assert_eq!(env, ["main T=t A=1"], "{policy}");
        }
    }

    /// ACC-029, ACC-030.
    /// CLD-006.
    #[test]
    fn a_template_that_allows_nothing_refuses_any_variable() {
        let said = env_of("Disallowed", r#"[{"name":"A","value":"1"}]"#, ONE);
        let why = "environment variable injection is not allowed by the template policy";
        let message = format!("environment variable injection rejected: {why}");
        assert_eq!(said, [format!("EnvVarsInjectionRejected {message}")]);
    }

    /// ACC-035.
    /// CLD-011: the whole entry goes, a reference included.
    #[test]
    fn overriding_replaces_the_entry_in_its_place() {
        let spec = r#"{"containers":[{"name":"main",
            "env":[{"name":"A","valueFrom":{"fieldRef":{}}},{"name":"B","value":"b"}]}]}"#;
        assert_eq!(env_of("Overrides", r#"[{"name":"A","value":"1"}]"#, spec), ["main A=1 B=b"]);
    }

    /// ACC-028.
    /// CLD-011, DEF-022: an error that is told once and not tried again.
    #[test]
    fn where_replacing_is_not_allowed_the_variable_is_named() {
        let spec = r#"{"containers":[{"name":"main","env":[{"name":"A","value":"t"}]}]}"#;
        let said = env_of("Allowed", r#"[{"name":"A","value":"1"}]"#, spec);
        let why = "environment variable override is not allowed by the template policy for variable";
        assert_eq!(said, [format!("ReconcilerError Error seen: {why} \"A\"")]);
    }

    /// CLD-011: a name that the claim gives twice clashes with itself.
    #[test]
    fn a_variable_that_is_given_twice_clashes_with_itself() {
        let twice = r#"[{"name":"A","value":"1"},{"name":"A","value":"2"}]"#;
        assert!(env_of("Allowed", twice, ONE)[0].starts_with("ReconcilerError"));
        assert_eq!(env_of("Overrides", twice, ONE), ["main A=2"]);
    }

    /// ACC-036, ACC-038.
    /// CLD-007, CLD-009.
    #[test]
    fn a_named_container_gets_what_names_it_and_no_other_does() {
        let spec = r#"{"initContainers":[{"name":"init"}],"containers":[{"name":"main"},{"name":"side"}]}"#;
        let env = r#"[{"name":"D","value":"d"},{"name":"I","value":"i","containerName":"init"},
            {"name":"S","value":"s","containerName":"side"},{"name":"M","value":"m","containerName":"main"}]"#;
        assert_eq!(env_of("Allowed", env, spec), ["init I=i", "main M=m D=d", "side S=s"]);
    }

    /// ACC-037.
    /// CLD-008, DEF-022.
    #[test]
    fn a_container_that_does_not_exist_is_named() {
        let said = env_of("Allowed", r#"[{"name":"A","value":"1","containerName":"gone"}]"#, ONE);
        let why =
            "Error seen: target container \"gone\" not found in template for environment variable \"A\"";
        assert_eq!(said, [format!("ReconcilerError {why}")]);
    }

    /// ACC-031, ACC-032, ACC-033, ACC-034.
    /// CLD-010.
    #[test]
    fn sources_of_variables_forbid_adding_to_them() {
        let spec = r#"{"initContainers":[{"name":"init","envFrom":[{}]}],
            "containers":[{"name":"main","envFrom":[{}]},{"name":"side"}]}"#;
        for name in ["init", "main"] {
            let env = format!(r#"[{{"name":"A","value":"1","containerName":"{name}"}}]"#);
            let said = env_of("Allowed", &env, spec);
            assert!(said[0].starts_with("EnvVarsInjectionRejected"), "{said:?}");
            assert!(said[0].contains(&format!("container {name:?} uses EnvFrom")), "{said:?}");
            assert_eq!(env_of("Overrides", &env, spec), [format!("{name} A=1")]);
        }
        let env = r#"[{"name":"A","value":"1","containerName":"side"}]"#;
        assert_eq!(env_of("Allowed", env, spec), ["side A=1"]);
        assert!(env_of("Disallowed", "[]", spec).is_empty());
    }

    /// Returns each container's variables, or what is said instead.
    fn env_of(policy: &str, env: &str, spec: &str) -> Vec<String> {
        let template = format!(r#"{{"envVarsInjectionPolicy":"{policy}","podTemplate":{{"spec":{spec}}}}}"#);
        let sandbox = match make(&format!(r#"{{"env":{env}}}"#), &template) {
            Ok(sandbox) => sandbox,
            Err(said) => return Vec::from([said]),
        };
        let spec: Value = serde_json::from_str(sandbox.pod_spec.text()).unwrap();
        let lists = ["initContainers", "containers"].into_iter().filter_map(|list| spec[list].as_array());
        lists.flatten().filter_map(told).collect()
    }

    fn told(container: &Value) -> Option<String> {
        let mut text = String::from(container["name"].as_str()?);
        for entry in container["env"].as_array()? {
            text += &format!(" {}={}", entry["name"].as_str()?, entry["value"].as_str()?);
        }
        Some(text)
    }

    const ONE: &str = r#"{"containers":[{"name":"main"}]}"#;

    // ----- Volumes -----

    /// ACC-059.
    /// CLD-003.
    #[test]
    fn the_templates_volumes_are_copied_in_order() {
        assert_eq!(volumes_of("Disallowed", "[]", &list(&["b:1", "a:2"])), Ok("b:1 a:2".into()));
    }

    /// ACC-061.
    /// CLD-004.
    #[test]
    fn volumes_may_be_added_behind_the_templates() {
        assert_eq!(volumes_of("Allowed", &list(&["a:9"]), &list(&["b:1"])), Ok("b:1 a:9".into()));
        assert_eq!(volumes_of("Allowed", &list(&["a:9"]), "[]"), Ok("a:9".into()));
    }

    /// ACC-060.
    /// CLD-004.
    #[test]
    fn volumes_may_be_replaced_in_their_place() {
        let (wanted, given) = (list(&["new:3", "b:9"]), list(&["a:1", "b:2"]));
        assert_eq!(volumes_of("Overrides", &wanted, &given), Ok("a:1 b:9 new:3".into()));
    }

    /// ACC-063, ACC-065.
    /// CLD-004, CLD-005.
    #[test]
    fn a_template_that_allows_no_volumes_says_so() {
        for policy in ["Disallowed", ""] {
            let said = volumes_of(policy, &list(&["a:1"]), "[]");
            let why = "volume claim templates are disallowed by the template";
            assert_eq!(said, refused(&format!("failed to merge volume claim templates: {why}")), "{policy}");
        }
    }

    /// ACC-064.
    /// CLD-005.
    #[test]
    fn a_volume_that_may_not_be_replaced_is_named() {
        let said = volumes_of("Allowed", &list(&["a:1"]), &list(&["a:2"]));
        let why =
            "overriding volume claim templates is forbidden by the template: cannot override template volume";
        assert_eq!(said, refused(&format!("failed to merge volume claim templates: {why} \"a\"")));
    }

    /// ACC-066, ACC-067.
    /// CLD-005.
    #[test]
    fn what_is_wrong_with_a_claims_volumes_is_named() {
        let invalid = "failed to merge volume claim templates: claim: invalid volume claim templates";
        let said = volumes_of("Allowed", &list(&[":1"]), "[]");
        assert_eq!(said, refused(&format!("{invalid}: name at index 0 is empty")));
        let said = volumes_of("Allowed", &list(&["a:1", "a:2"]), "[]");
        assert_eq!(said, refused(&format!("{invalid}: duplicate name \"a\"")));
    }

    /// ACC-068, ACC-069.
    /// CLD-003.
    #[test]
    fn what_is_wrong_with_a_templates_volumes_is_told_to_every_claim() {
        let invalid = "invalid volume claim templates in template: invalid volume claim templates";
        let said = volumes_of("Allowed", "[]", &list(&["a:1", ":2"]));
        assert_eq!(said, refused(&format!("{invalid}: name at index 1 is empty")));
        let said = volumes_of("Allowed", "[]", &list(&["a:1", "a:2"]));
        assert_eq!(said, refused(&format!("{invalid}: duplicate name \"a\"")));
        let said = volumes_of("Allowed", &list(&["b:1"]), &list(&["a:1", "a:2"])).unwrap_err();
        assert!(said.contains("failed to merge volume claim templates: template: invalid"), "{said}");
    }

    fn refused(why: &str) -> Result<String, String> {
        Err(format!("VolumeClaimTemplatesError {why}"))
    }

    /// Returns each volume's name and mark, or what is said instead.
    fn volumes_of(policy: &str, wanted: &str, given: &str) -> Result<String, String> {
        let template = format!(
            r#"{{"volumeClaimTemplatesPolicy":"{policy}","volumeClaimTemplates":{given},"podTemplate":{{"spec":{ONE}}}}}"#
        );
        let sandbox = make(&format!(r#"{{"volumeClaimTemplates":{wanted}}}"#), &template)?;
        let claims: Vec<Value> = serde_json::from_str(sandbox.volume_claims.unwrap().text()).unwrap();
        let told = claims.iter().map(|claim| {
            format!(
                "{}:{}",
                claim["metadata"]["name"].as_str().unwrap(),
                claim["spec"]["mark"].as_str().unwrap()
            )
        });
        Ok(told.collect::<Vec<_>>().join(" "))
    }

    fn list(marks: &[&str]) -> String {
        let items = marks
            .iter()
            .filter_map(|mark| mark.split_once(':'))
            .map(|(name, mark)| json!({ "metadata": { "name": name }, "spec": { "mark": mark } }));
        Value::Array(items.collect()).to_string()
    }

    fn make(claim: &str, template: &str) -> Result<crate::object::Sandbox, String> {
        let mut spec: Value = serde_json::from_str(claim).unwrap();
        spec["warmPoolRef"] = json!({ "name": "pool" });
        let Object::Claim(claim) = read(Kind::Claim, &spec) else { unreachable!() };
        let Object::Template(template) = read(Kind::Template, &serde_json::from_str(template).unwrap())
        else {
            unreachable!()
        };
        make::cold_sandbox(&claim, &template, &[]).map_err(|said| format!("{} {}", said.reason, said.message))
    }

    fn read(kind: Kind, spec: &Value) -> Object {
        let metadata = json!({ "name": "x", "namespace": "n", "uid": "", "resourceVersion": "1" });
        wire::decode(kind, &json!({ "metadata": metadata, "spec": spec }).to_string()).unwrap()
    }
}
