use super::{Verdict, patch, record_changes};
use crate::action::{Intent, Part};
use crate::id::{Kind, Uid};
use crate::names;
use crate::patch::Change;
use crate::time::Now;
use crate::view::View;

/// Writes the record of an older release the way this one reads it: a label becomes an annotation, which holds longer names.
///
/// Reads: the claim.
/// Emits: [`Intent::RecordAssignment`], with the sandbox that the label names; with when the claim was first seen, as any
/// record.
/// Never: over a record that is there.
/// Source: RES-002, RES-015, KEY-013, KEY-014; INV-33.
pub(super) fn migrate_record(view: &View<'_>, claim: Uid, _now: Now) -> Verdict {
    let Some(entry) = view.claim(claim) else { return Verdict::Quiet };
    let meta = &entry.claim.meta;
    let Some(name) = meta.label(names::LEGACY_SANDBOX_NAME) else { return Verdict::Quiet };
    if meta.annotation(names::SANDBOX_NAME).is_some() || meta.terminating || view.is_held(meta.uid) {
        return Verdict::Quiet;
    }
    let mut changes = record_changes(view, entry, name.clone());
    changes.push(Change::Label(names::LEGACY_SANDBOX_NAME.into(), None));
    patch(Intent::RecordAssignment, Kind::Claim, meta, Part::Main, changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::assign_waiting::assign_waiting;
    use crate::rules::testing::check;

    /// ACC-112.
    /// RES-015, KEY-013, INV-33: and until it is written, nothing else is recorded.
    #[test]
    fn a_label_of_an_older_release_becomes_the_annotation() {
        let world = "
            template tpl
            pool p
            sandbox s1 pool=p ready
            sandbox s2 pool=p ready
            claim c1 labelled=s1
        ";
        check(migrate_record, Kind::Claim, world, &["RecordAssignment c1 records=s1 sandbox-name="]);
        check(assign_waiting, Kind::Pool, world, &[]);
    }

    /// RES-002: the annotation counts.
    #[test]
    fn a_record_that_is_there_stays() {
        check(migrate_record, Kind::Claim, "pool p\nclaim c1 labelled=s1 records=s2\nclaim c2", &[]);
    }
}
