//! Which network policies there are in the end.

use agent_sandbox_core::id::Kind;
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Network, Object, Template};

use serde_json::{Value, json};

use crate::api_server::policy_defaults;
use crate::store::Store;

/// Returns what is wrong with the first template that is not isolated as it says (INV-24, TPL-003).
pub fn difference(store: &Store) -> Option<String> {
    let mut wrong = store.list(Kind::Template).iter().filter_map(|object| {
        let Object::Template(template) = object else { return None };
        lack(template, store).map(|lack| (template, lack))
    });
    wrong.next().map(|(template, lack)| format!("template {} {lack}", template.meta.key.name))
}

fn lack(template: &Template, store: &Store) -> Option<String> {
    let name = &template.meta.key.name;
    if template.meta.label(names::TEMPLATE_REF_HASH) != Some(&names::name_hash(name)) {
        return Some("has no label by which its sandboxes are found".to_owned());
    }
    let key = template.meta.key.sibling(format!("{name}{}", names::NETWORK_POLICY_SUFFIX));
    let policy = store.get(Kind::NetworkPolicy, &key).and_then(Object::as_dependent);
    let policy = policy.filter(|policy| policy.meta.is_owned_by(template.meta.uid));
    let (spec, rules) = match (policy, &template.network) {
        (None, Network::Unmanaged) => return None,
        (Some(_), Network::Unmanaged) => return Some("has a policy, and is unmanaged".to_owned()),
        (None, Network::Secure | Network::Custom(_)) => return Some("has no policy".to_owned()),
        (Some(policy), Network::Custom(rules)) => (policy.spec.value(), Some(rules.value())),
        (Some(policy), Network::Secure) => (policy.spec.value(), None),
    };
    // One label more leaves out the Pods that do not have it: they may then talk to anybody.
    let selector = json!({ "matchLabels": { names::TEMPLATE_REF_HASH: &*names::name_hash(name) } });
    if spec["podSelector"] != selector {
        return Some("has a policy that does not select its Pods".to_owned());
    }
    let is_right = match rules {
        Some(mut rules) => {
            // The server stores rules without what is empty, and ports with their protocol.
            policy_defaults(&mut rules);
            ["ingress", "egress"].into_iter().all(|way| spec[way] == rules[way])
        }
        None => is_secure(&spec),
    };
    // Without a type, what no rule names is let through.
    let is_right = is_right && spec["policyTypes"] == json!(["Ingress", "Egress"]);
    (!is_right).then(|| format!("has a policy with other rules than it says: {spec}"))
}

/// Returns whether only the router comes in, and only the world is reached: a selector that lacks one half lets in the Pods of
/// every namespace that give themselves its label, and one rule more lets in or out whomever it names (TPL-006, TPL-007).
fn is_secure(spec: &Value) -> bool {
    let router = json!({
        "podSelector": { "matchLabels": { "app": "sandbox-router" } },
        "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "agent-sandbox-system" } },
    });
    let private = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"];
    let world = json!([
        { "ipBlock": { "cidr": "0.0.0.0/0", "except": private } },
        { "ipBlock": { "cidr": "::/0", "except": ["fc00::/7", "fe80::/10"] } },
    ]);
    spec["ingress"] == json!([{ "from": [router] }]) && spec["egress"] == json!([{ "to": world }])
}
