use alloc::vec::Vec;

use super::{Verdict, patch};
use crate::action::{Intent, Part};
use crate::id::{Kind, Uid};
use crate::names;
use crate::patch::Change;
use crate::time::Now;
use crate::view::View;

/// Labels a member as one of its pool that was started ahead, where an older release or a user has not, so that clients
/// can tell and the pool's selector matches it.
///
/// Reads: the sandbox, and that its pool is there.
/// Emits: [`Intent::LabelSandbox`].
/// Never: a member that is going, or that somebody writes; what no pool owns.
/// Source: WPL-017, KEY-005, CON-043.
pub(super) fn mark_warm(view: &View<'_>, sandbox: Uid, _now: Now) -> Verdict {
    let Some(sandbox) = view.sandbox(sandbox).map(|entry| &entry.sandbox) else { return Verdict::Quiet };
    let meta = &sandbox.meta;
    if meta.terminating || view.is_held(meta.uid) {
        return Verdict::Quiet;
    }
    let Some(pool) = meta.owner_of_kind(Kind::Pool).and_then(|pool| view.pool(pool)) else {
        return Verdict::Quiet;
    };
    let mut changes = Vec::new();
    if meta.label(names::LAUNCH_TYPE).is_none_or(|value| &**value != "warm") {
        changes.push(Change::Label(names::LAUNCH_TYPE.into(), Some("warm".into())));
    }
    if meta.label(names::WARM_POOL).is_none_or(|value| !names::is_name_hash(value, &pool.pool.meta.key.name))
    {
        changes
            .push(Change::Label(names::WARM_POOL.into(), Some(names::name_hash(&pool.pool.meta.key.name))));
    }
    if changes.is_empty() {
        return Verdict::Quiet;
    }
    patch(Intent::LabelSandbox, Kind::Sandbox, meta, Part::Main, changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::check;

    /// WPL-017, KEY-005: also in place of what is wrong. Until then it counts like any other, which the original forgets
    /// when that write fails (DEF-009).
    #[test]
    fn a_member_of_an_older_release_is_marked() {
        let mark = names::name_hash("p");
        for label in ["", "label:launch-type=cold"] {
            let world =
                alloc::format!("pool p\nsandbox s1 pool=p ready {label} label:warm-pool-sandbox={mark}");
            check(mark_warm, Kind::Sandbox, &world, &["LabelSandbox s1 launch-type=warm"]);
            check(
                super::super::replenish::replenish,
                Kind::Pool,
                &alloc::format!("template tpl\n{world}"),
                &[],
            );
        }
    }

    /// KEY-001, INV-18: somebody has taken the label off by which the pool's selector finds it, or put another there.
    #[test]
    fn a_member_is_matched_by_its_pools_selector() {
        let mark = names::name_hash("p");
        for label in ["", "label:warm-pool-sandbox=other"] {
            let world = alloc::format!("pool p\nsandbox s1 pool=p ready label:launch-type=warm {label}");
            let said = alloc::format!("LabelSandbox s1 warm-pool-sandbox={mark}");
            check(mark_warm, Kind::Sandbox, &world, &[&said]);
        }
    }

    #[test]
    fn others_are_left_as_they_are() {
        let mark = names::name_hash("p");
        let marked = alloc::format!(
            "pool p\nsandbox s1 pool=p ready label:launch-type=warm label:warm-pool-sandbox={mark}"
        );
        for world in [
            &*marked,
            "pool p\nsandbox s1 pool=p ready terminating",
            "pool p\nsandbox s1 pool=p ready\nheld s1",
            "sandbox s1 pool=p ready",
            "sandbox s1 ready",
            "claim c1\nsandbox s1 owner=c1 ready",
        ] {
            check(mark_warm, Kind::Sandbox, world, &[]);
        }
    }
}
