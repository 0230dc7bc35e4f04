//! What the server fills in and leaves out before it stores an object, so that everybody who reads it sees that.

use std::sync::Arc;

use agent_sandbox_core::object::{Dependent, Json, Object};
use serde_json::Value;

use super::body::default;

/// Writes the spec of a Service or a network policy as the server stores it. What it adds to others, or adds to these and no
/// controller looks at, is in their [`body`](super::body()).
pub(super) fn fill(object: &mut Object) {
    match object {
        Object::Service(part) => rewrite(part, service),
        Object::NetworkPolicy(part) => rewrite(part, policy),
        Object::Claim(_)
        | Object::Pool(_)
        | Object::Template(_)
        | Object::Sandbox(_)
        | Object::Pod(_)
        | Object::VolumeClaim(_) => {}
    }
}

fn rewrite(part: &mut Arc<Dependent>, change: fn(&mut Value)) {
    let before = part.spec.value();
    let mut spec = before.clone();
    change(&mut spec);
    if spec != before {
        Arc::make_mut(part).spec = Json::from(&spec);
    }
}

/// Source: `SetDefaults_Service`.
fn service(spec: &mut Value) {
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        default(port, "protocol", "TCP".into());
        let target = port["port"].clone();
        default(port, "targetPort", target);
    }
}

/// Writes the rules of a network policy as the server stores them.
///
/// Source: `SetDefaults_NetworkPolicyPort`, and the fields of `NetworkPolicySpec` and its rules that are left out when empty.
pub(crate) fn policy(spec: &mut Value) {
    for way in ["ingress", "egress"] {
        for rule in spec.get_mut(way).and_then(Value::as_array_mut).into_iter().flatten() {
            for port in rule.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
                default(port, "protocol", "TCP".into());
            }
        }
    }
    leave_out_empty(spec);
}

/// An empty selector or rule stays, for it means everything.
fn leave_out_empty(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, value| {
                let is_empty_map = key == "matchLabels" && *value == serde_json::json!({});
                !(value.is_null() || *value == Value::Array(Vec::new()) || is_empty_map)
            });
            fields.values_mut().for_each(leave_out_empty);
        }
        Value::Array(values) => values.iter_mut().for_each(leave_out_empty),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_policy_is_stored_with_protocols_and_without_what_is_empty() {
        let mut spec = json!({
            "ingress": [{ "from": [], "ports": [{ "port": 80 }, { "port": 53, "protocol": "UDP" }] }, {}],
            "egress": [],
            "podSelector": { "matchLabels": {} },
        });
        policy(&mut spec);
        let ports = json!([{ "port": 80, "protocol": "TCP" }, { "port": 53, "protocol": "UDP" }]);
        assert_eq!(spec, json!({ "ingress": [{ "ports": ports }, {}], "podSelector": {} }));
    }

    #[test]
    fn a_port_of_a_service_leads_to_its_own_number_by_tcp() {
        let mut spec =
            json!({ "ports": [{ "port": 80 }, { "port": 81, "protocol": "UDP", "targetPort": "dns" }] });
        service(&mut spec);
        let first = json!({ "port": 80, "protocol": "TCP", "targetPort": 80 });
        assert_eq!(spec["ports"], json!([first, { "port": 81, "protocol": "UDP", "targetPort": "dns" }]));
    }
}
