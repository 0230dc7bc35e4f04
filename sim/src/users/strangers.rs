//! What people do to the metadata of objects that others keep.

use agent_sandbox_core::names;
use agent_sandbox_core::object::Object;

use crate::scene;
use crate::workload::POOL;

/// Edits the labels of an object: takes all or one of them away, or makes it look like another, and notes an owner beside its
/// controller.
pub(super) fn relabel(object: &mut Object, number: u32) {
    let meta = object.meta_mut();
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
