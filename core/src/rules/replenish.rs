use super::Verdict;
use crate::action::{Intent, Operation};
use crate::id::{Kind, Uid};
use crate::make;
use crate::object::Object;
use crate::time::Now;
use crate::view::View;

/// Makes one more member for a pool that has too few.
///
/// Reads: the pool, its template, and the count of its members: those that live, those that are leaving, and those
/// whose creation is not settled.
/// Emits: [`Intent::CreateMember`], under a name that no other process chooses.
/// Never: more than `spec.replicas` in that count, so that a pool is never over-full; on an old view of sandboxes.
/// Source: WPL-026, WPL-030, WPL-035, WPL-043; INV-08, INV-09, INV-34.
pub(super) fn replenish(view: &View<'_>, pool: Uid, _now: Now) -> Verdict {
    let Some(pool) = view.pool(pool).map(|entry| &entry.pool).filter(|pool| !pool.meta.terminating) else {
        return Verdict::Quiet;
    };
    let count =
        view.members(pool.meta.uid).map_or(0, |members| members.live + members.leaving + members.creating);
    if count >= pool.replicas || view.is_blind(Kind::Sandbox) {
        return Verdict::Quiet;
    }
    let Some(template) = view.template_of(pool).known().filter(|template| !template.meta.terminating) else {
        return Verdict::Quiet;
    };
    let member = make::member(pool, template, view.next_member_name(pool));
    Verdict::Act(Intent::CreateMember, Operation::Create(Object::Sandbox(member.into())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::check;

    /// WPL-026, WPL-030.
    #[test]
    fn a_pool_that_is_short_gets_a_member() {
        check(
            replenish,
            Kind::Pool,
            "
            template tpl
            pool p replicas=2
            sandbox s1 pool=p ready
        ",
            &["CreateMember a member"],
        );
    }

    /// WPL-013, WPL-026, WPL-035, DEF-009, INV-08.
    #[test]
    fn a_member_that_is_leaving_still_counts() {
        check(
            replenish,
            Kind::Pool,
            "
            template tpl
            pool p replicas=2
            sandbox s1 pool=p ready
            sandbox s2 pool=p terminating
        ",
            &[],
        );
    }

    /// WPL-026.
    #[test]
    fn an_adopted_sandbox_counts_no_more() {
        check(
            replenish,
            Kind::Pool,
            "
            template tpl
            pool p
            claim c1
            sandbox s1 owner=c1 ready
        ",
            &["CreateMember a member"],
        );
    }

    /// WPL-002, WPL-042.
    #[test]
    fn nothing_is_made_without_a_template_or_for_a_dying_pool() {
        check(replenish, Kind::Pool, "pool p", &[]);
        check(
            replenish,
            Kind::Pool,
            "
            template tpl
            pool p terminating
        ",
            &[],
        );
    }
}
