use super::{Branch, Verdict, act};
use crate::action::{Intent, Operation};
use crate::agenda::TimeoutReason;
use crate::id::{Kind, Uid};
use crate::make;
use crate::mutant::Mutant;
use crate::object::Object;
use crate::time::Now;
use crate::view::View;

/// Makes one more member for a pool that has too few.
///
/// Reads: the pool, its template, and the count of its members: those that live, those that are leaving, and those
/// whose creation is not settled; since when it is short, and how many it has made lately.
/// Emits: [`Intent::CreateMember`], under a name that no other process chooses. Arms [`TimeoutReason::Refill`].
/// Never: more than `spec.replicas` in that count, so that a pool is never over-full; on an old view of sandboxes;
/// within `replenish_delay` of a loss, nor more than `refill_rate` allows.
/// Source: WPL-026, WPL-028 to WPL-031, WPL-035, WPL-043, RFL-003, RFL-010, RFL-014; INV-08, INV-09, INV-34.
pub(super) fn replenish(view: &View<'_>, pool: Uid, now: Now) -> Verdict {
    let Some(entry) = view.pool(pool).filter(|entry| !entry.pool.meta.terminating) else {
        return Verdict::Quiet;
    };
    let pool = &entry.pool;
    let count = view.members(pool.meta.uid).map_or(0, |members| {
        let creating = if view.config.has(Mutant::CreatesUncounted) { 0 } else { members.creating() };
        let leaving = if view.config.has(Mutant::LeavingUncounted) { 0 } else { members.leaving };
        members.live + creating + leaving
    });
    let wanted = if view.config.has(Mutant::OneTooMany) {
        pool.replicas + 1
    } else {
        pool.replicas.saturating_sub(view.config.has(Mutant::OneTooFew).into())
    };
    if count >= wanted || view.is_blind(Kind::Sandbox) {
        return Verdict::Quiet;
    }
    let Some(template) = view.template_of(pool).known().filter(|template| !template.meta.terminating) else {
        return Verdict::Quiet;
    };
    if let Some(at) = entry.pace.held(now.mono) {
        view.mark(Branch::RefillHeld);
        return Verdict::Until(at, TimeoutReason::Refill);
    }
    if let Some(at) = entry.pace.spent(view.config.refill_rate, now.mono) {
        view.mark(Branch::RefillSlow);
        return Verdict::Until(at, TimeoutReason::Refill);
    }
    let member = make::member(pool, template, view.next_member_name(pool), view.config);
    act(Intent::CreateMember, Operation::Create(Object::Sandbox(member.into())))
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

    /// WPL-013, WPL-014, WPL-026, WPL-035, DEF-009, INV-08: from when its deletion is sent until it is gone.
    #[test]
    fn a_member_that_is_leaving_still_counts() {
        for s2 in ["sandbox s2 pool=p terminating", "sandbox s2 pool=p ready\nleaving s2"] {
            let world = alloc::format!("template tpl\npool p replicas=2\nsandbox s1 pool=p ready\n{s2}");
            check(replenish, Kind::Pool, &world, &[]);
        }
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

    /// WPL-029: the timer stands while the pool is short, also when the last member that leaves is gone. The original
    /// guards against a deficit that counts those, which loses the wake-up.
    #[test]
    fn a_pool_that_waits_is_woken() {
        for (leaving, said) in [("", &["until 3s Refill"][..]), ("sandbox s2 pool=p terminating", &[])] {
            let world = alloc::format!(
                "
                template tpl
                pool p replicas=2 held=3s
                sandbox s1 pool=p ready
                {leaving}
            "
            );
            check(replenish, Kind::Pool, &world, said);
        }
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

    /// ACC-086.
    /// WPL-012, WPL-018, STL-002, DEF-015: what has no owner is nobody's business, whatever label it bears. The original
    /// takes it in, and deletes what it does not like of it.
    /// ACC-086.
    #[test]
    fn a_sandbox_without_an_owner_is_no_member() {
        for (make, mark) in [("a", ""), ("b", "mark=mark-of-b")] {
            leaves_alone(&alloc::format!(
                "
                template tpl make=b
                pool p recreate
                sandbox s1 make={make} {mark} label:warm-pool-sandbox=f50c43ef starting unready=900s
            "
            ));
        }
    }

    /// ACC-073.
    /// WPL-012, WPL-015: nor is another's, by its uid. That a label says so means nothing.
    #[test]
    fn a_sandbox_of_another_is_no_member() {
        for owner in ["pool=q", "pool=gone", "owner=c1"] {
            leaves_alone(&alloc::format!(
                "
                template tpl make=b
                pool p recreate
                pool q template=none
                claim c1 records=s1
                sandbox s1 {owner} make=a label:warm-pool-sandbox=f50c43ef ready
            "
            ));
        }
    }

    /// The pool `p` makes a member beside what is there, and does nothing about that.
    #[track_caller]
    fn leaves_alone(world: &str) {
        use super::super::{replace_stale::replace_stale, replace_stuck::replace_stuck, trim::trim};
        check(replenish, Kind::Pool, world, &["CreateMember a member"]);
        for rule in [trim, replace_stale, replace_stuck] {
            check(rule, Kind::Pool, world, &[]);
        }
    }
}
