use alloc::vec::Vec;

use super::{Verdict, patch};
use crate::action::{Intent, Part};
use crate::id::{Kind, Uid};
use crate::names;
use crate::patch::Change;
use crate::time::Now;
use crate::view::View;

/// Labels a template with the hash of its name, by which its sandboxes are labelled too.
///
/// Reads: the template.
/// Emits: [`Intent::LabelTemplate`].
/// Never: touches other labels; a template that is going.
/// Source: TPL-002, KEY-002.
pub(super) fn label_template(view: &View<'_>, template: Uid, _now: Now) -> Verdict {
    let Some(template) = view.template(template) else { return Verdict::Quiet };
    let meta = &template.meta;
    let hash = names::name_hash(&meta.key.name);
    if meta.terminating || view.is_held(meta.uid) || meta.labels.get(names::TEMPLATE_REF_HASH) == Some(&hash)
    {
        return Verdict::Quiet;
    }
    let label = Change::Label(names::TEMPLATE_REF_HASH.into(), Some(hash));
    patch(Intent::LabelTemplate, Kind::Template, meta, Part::Main, Vec::from([label]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::check;

    /// TPL-002, TPL-003, HSH-002.
    #[test]
    fn a_template_is_labelled_with_the_hash_of_its_name() {
        let expected = ["LabelTemplate test-template sandbox-template-ref-hash=69155462"];
        check(label_template, Kind::Template, "template test-template", &expected);
        check(label_template, Kind::Template, "template test-template terminating", &[]);
        check(label_template, Kind::Template, "template test-template\nheld test-template", &[]);
    }

    /// ACC-228.
    /// TPL-010: a second pass writes nothing.
    #[test]
    fn a_template_that_has_its_label_is_left_alone() {
        check(label_template, Kind::Template, "template test-template labelled", &[]);
    }
}
