use alloc::format;
use alloc::string::String;

use serde_json::{Value, json};

use super::{Verdict, delete, make, patch};
use crate::action::{Intent, Part};
use crate::id::{Kind, Uid};
use crate::mutant::Mutant;
use crate::names;
use crate::object::{Dependent, Json, Meta, Network, Object, Owner, Template};
use crate::patch::{Change, merge_difference};
use crate::time::Now;
use crate::view::View;

/// Keeps the network policy of a template: whom the Pods of its sandboxes may talk to.
///
/// Reads: the template; who holds the policy's name.
/// Emits: [`Intent::CreateNetworkPolicy`], [`Intent::SetNetworkPolicy`] with what differs,
/// [`Intent::DeleteNetworkPolicy`] when the template is unmanaged.
/// Never: touches a policy that the template does not own; writes what means the same to the server (DEF-026).
/// Source: TPL-003 to TPL-010; DEF-026.
pub(super) fn isolate_template(view: &View<'_>, template: Uid, _now: Now) -> Verdict {
    let Some(template) = view.template(template) else { return Verdict::Quiet };
    let name = format!("{}{}", template.meta.key.name, names::NETWORK_POLICY_SUFFIX);
    let key = template.meta.key.sibling(name);
    if template.meta.terminating || view.is_drafted(Kind::NetworkPolicy, &key) {
        return Verdict::Quiet;
    }
    let wanted = wanted(template);
    match (view.dependent_named(Kind::NetworkPolicy, &key), wanted) {
        (None, None) => Verdict::Quiet,
        (None, Some(spec)) => {
            let mut meta = Meta::draft(key);
            meta.owner = Some(Owner::new(Kind::Template, &template.meta));
            let policy = Object::NetworkPolicy(Dependent { meta, spec: Json::from(&spec) }.into());
            make(view, (Kind::Template, &template.meta), Intent::CreateNetworkPolicy, policy)
        }
        (Some(policy), wanted) => keep(view, template, policy, wanted),
    }
}

fn keep(view: &View<'_>, template: &Template, policy: &Dependent, wanted: Option<Value>) -> Verdict {
    let meta = &policy.meta;
    if !meta.is_owned_by(template.meta.uid) || meta.terminating || view.is_held(meta.uid) {
        return Verdict::Quiet;
    }
    let Some(wanted) = wanted else {
        return delete(Intent::DeleteNetworkPolicy, Kind::NetworkPolicy, meta);
    };
    if view.config.has(Mutant::PolicyDriftStays) {
        return Verdict::Quiet;
    }
    let present = policy.spec.value();
    if present == wanted || plain(present.clone()) == plain(wanted.clone()) {
        return Verdict::Quiet;
    }
    let Some(merge) = merge_difference(&present, &wanted) else { return Verdict::Quiet };
    let changes = [Change::Spec(Json::from(&merge))].into();
    patch(Intent::SetNetworkPolicy, Kind::NetworkPolicy, meta, Part::Main, changes)
}

/// Returns the spec that a template's policy should have; `None` when it should have none.
pub(super) fn wanted(template: &Template) -> Option<Value> {
    let mut spec = match &template.network {
        Network::Unmanaged => return None,
        Network::Secure => secure(),
        Network::Custom(rules) => rules.value(),
    };
    let hash = names::name_hash(&template.meta.key.name);
    spec["podSelector"] = json!({ "matchLabels": { names::TEMPLATE_REF_HASH: hash } });
    spec["policyTypes"] = json!(["Ingress", "Egress"]);
    Some(spec)
}

/// In from the router, out to the world: not to the cluster, its resolvers included (TPL-006, TPL-007).
fn secure() -> Value {
    json!({
        "ingress": [{ "from": [{
            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": "agent-sandbox-system" } },
            "podSelector": { "matchLabels": { "app": "sandbox-router" } },
        }] }],
        "egress": [{ "to": [
            { "ipBlock": { "cidr": "0.0.0.0/0",
                "except": ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"] } },
            { "ipBlock": { "cidr": "::/0", "except": ["fc00::/7", "fe80::/10"] } },
        ] }],
    })
}

/// Returns the same rules, written as the server stores them: a port has a protocol, and what is empty is not there.
/// An empty selector stays, for it selects everything.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(fields.into_iter().filter_map(plain_field).collect()),
        Value::Array(values) => values.into_iter().map(plain).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

fn plain_field((key, mut value): (String, Value)) -> Option<(String, Value)> {
    if key == "ports" {
        for port in value.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            port.entry("protocol").or_insert("TCP".into());
        }
    }
    let is_empty = match &value {
        Value::Null => true,
        Value::Array(values) => values.is_empty(),
        Value::Object(fields) => key == "matchLabels" && fields.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    (!is_empty).then(|| (key, plain(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::check;

    /// TPL-009.
    #[test]
    fn a_template_gets_its_policy() {
        check(isolate_template, Kind::Template, "template tpl", &["CreateNetworkPolicy tpl-network-policy"]);
    }

    /// TPL-003.
    #[test]
    fn a_template_that_is_going_gets_none() {
        check(isolate_template, Kind::Template, "template tpl terminating", &[]);
    }

    /// TPL-010.
    #[test]
    fn a_policy_in_line_is_left_alone() {
        check(isolate_template, Kind::Template, "template tpl\npolicy tpl-network-policy template=tpl", &[]);
    }

    /// ACC-226, ACC-229.
    /// TPL-004.
    #[test]
    fn an_unmanaged_template_loses_its_policy_and_only_its_own() {
        let own = "template tpl unmanaged\npolicy tpl-network-policy template=tpl";
        check(isolate_template, Kind::Template, own, &["DeleteNetworkPolicy tpl-network-policy"]);
        check(isolate_template, Kind::Template, "template tpl unmanaged\npolicy tpl-network-policy", &[]);
        check(isolate_template, Kind::Template, "template tpl unmanaged", &[]);
    }

    /// ACC-227.
    /// TPL-008.
    #[test]
    fn a_policy_that_differs_is_brought_in_line_and_a_strangers_is_not() {
        let own = "template tpl\npolicy tpl-network-policy template=tpl open";
        check(isolate_template, Kind::Template, own, &["SetNetworkPolicy tpl-network-policy"]);
        check(isolate_template, Kind::Template, "template tpl\npolicy tpl-network-policy open", &[]);
        let held = "template tpl\npolicy tpl-network-policy template=tpl open\nheld tpl-network-policy";
        check(isolate_template, Kind::Template, held, &[]);
    }

    /// DEF-026: the original compares with what it sent, and so writes again at every look.
    #[test]
    fn what_the_server_adds_is_no_difference() {
        let sent = json!({ "ingress": [{ "ports": [{ "port": 80 }], "from": [] }], "egress": [] });
        let stored = json!({ "ingress": [{ "ports": [{ "port": 80, "protocol": "TCP" }] }] });
        assert_eq!(plain(sent), plain(stored));
        let all = json!({ "ingress": [{ "from": [{ "podSelector": {} }] }] });
        assert_ne!(
            plain(all),
            plain(json!({ "ingress": [{ "from": [{}] }] })),
            "an empty selector means all"
        );
    }
}
