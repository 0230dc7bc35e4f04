//! What people do to the metadata of objects that others keep, and to Services.

use agent_sandbox_core::names;
use agent_sandbox_core::object::{Meta, Object};
use serde_json::{Value, json};

use crate::scene;
use crate::workload::POOL;

/// Changes what a Service says: whom it leads to, which ports it has, or what its first port is.
pub(super) fn spoil_service(spec: &mut Value, number: u32) {
    let what = number / 4 % 4;
    if !number.is_multiple_of(4) && spec["ports"].is_array() {
        spoil_ports(&mut spec["ports"], what);
    } else if what.is_multiple_of(2) && spec["selector"].is_object() {
        spec["selector"]["app"] = "mine".into();
    } else {
        *spec = json!({ "selector": { "app": "mine" } });
    }
}

fn spoil_ports(ports: &mut Value, what: u32) {
    let more = json!({ "name": "more", "protocol": "TCP", "port": 1, "targetPort": 1 });
    let Some(list) = ports.as_array_mut() else { return };
    match list.first_mut() {
        Some(port) if what == 0 => port["name"] = "mine".into(),
        Some(port) if what == 1 => {
            let is_udp = port["protocol"] == "UDP";
            port["protocol"] = if is_udp { "TCP" } else { "UDP" }.into();
        }
        Some(port) if what == 2 => port["targetPort"] = 1.into(),
        Some(_) | None => list.push(more),
    }
}

/// Edits the labels of an object: takes all or one of them away, or makes it look like another, and notes an owner beside its
/// controller. Of a claim only who has made it.
pub(super) fn relabel(object: &mut Object, number: u32) {
    let is_claim = object.as_claim().is_some();
    let meta = object.meta_mut();
    if is_claim {
        return sign(meta, number);
    }
    if number % 3 == 2 {
        meta.annotations.insert(scene::TAKEN.into(), "true".into());
        meta.co_owners.get_or_insert_with(scene::owner_beside);
    }
    let labels = &mut meta.labels;
    match number % 3 {
        0 => labels.clear(),
        1 => {
            let place = (number as usize / 3).checked_rem(labels.len());
            let key = place.and_then(|place| labels.keys().nth(place).cloned());
            key.map(|key| labels.remove(&key));
        }
        _ => labels.extend([
            (names::WARM_POOL.into(), names::name_hash(POOL)),
            (names::SANDBOX_NAME_HASH.into(), names::name_hash("own-0")),
            (names::TEMPLATE_REF_HASH.into(), names::name_hash(scene::OTHER_TEMPLATE)),
            (names::LAUNCH_TYPE.into(), "cold".into()),
            (names::CLAIM_UID.into(), "somebody".into()),
            (names::ADOPTABLE.into(), "true".into()),
        ]),
    }
}

/// Says of a claim that another client has made it, or none.
fn sign(claim: &mut Meta, number: u32) {
    match [None, Some("go-client"), Some("somebody")][number as usize % 3] {
        Some(client) => _ = claim.labels.insert(names::CREATED_BY.into(), client.into()),
        None => _ = claim.labels.remove(names::CREATED_BY),
    }
}
