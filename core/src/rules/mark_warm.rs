use alloc::vec::Vec;

use super::{Verdict, patch};
use crate::action::{Intent, Part};
use crate::id::{Kind, Uid};
use crate::names;
use crate::patch::Change;
use crate::time::Now;
use crate::view::View;

/// Labels a member that an older release has made as one that was started ahead, so that clients can tell.
///
/// Reads: the sandbox, and that its pool is there.
/// Emits: [`Intent::LabelSandbox`].
/// Never: a member that is going, or that somebody writes; what no pool owns.
/// Source: WPL-017, KEY-005, CON-043.
pub(super) fn mark_warm(view: &View<'_>, sandbox: Uid, _now: Now) -> Verdict {
    let Some(sandbox) = view.sandbox(sandbox).map(|entry| &entry.sandbox) else { return Verdict::Quiet };
    let meta = &sandbox.meta;
    let is_marked = meta.label(names::LAUNCH_TYPE).is_some_and(|value| &**value == "warm");
    if is_marked || meta.terminating || view.is_held(meta.uid) {
        return Verdict::Quiet;
    }
    if meta.owner_of_kind(Kind::Pool).and_then(|pool| view.pool(pool)).is_none() {
        return Verdict::Quiet;
    }
    let label = Change::Label(names::LAUNCH_TYPE.into(), Some("warm".into()));
    patch(Intent::LabelSandbox, Kind::Sandbox, meta, Part::Main, Vec::from([label]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::check;

    /// WPL-017, KEY-005: also in place of what is wrong. Until then it counts like any other, which the original forgets
    /// when that write fails (DEF-009).
    #[test]
    fn a_member_of_an_older_release_is_marked() {
        for label in ["", "label:launch-type=cold"] {
            let world = alloc::format!("pool p\nsandbox s1 pool=p ready {label}");
            check(mark_warm, Kind::Sandbox, &world, &["LabelSandbox s1 launch-type=warm"]);
            check(
                super::super::replenish::replenish,
                Kind::Pool,
                &alloc::format!("template tpl\n{world}"),
                &[],
            );
        }
    }

    #[test]
    fn others_are_left_as_they_are() {
        for world in [
            "pool p\nsandbox s1 pool=p ready label:launch-type=warm",
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
