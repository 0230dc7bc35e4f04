use super::{Verdict, delete};
use crate::action::Intent;
use crate::id::{Kind, Uid};
use crate::mutant::Mutant;
use crate::time::Now;
use crate::view::View;

/// Deletes one member of a pool that has too many.
///
/// Reads: the pool and its members in the order in which they may go: the stale first, then the unready, then the
/// youngest.
/// Emits: [`Intent::DeleteMember`], locked to identity and version: a member that a claim adopts first survives.
/// Never: a member that a claim has recorded, nor one that is being written.
/// Source: WPL-036 to WPL-038, DEF-001; INV-06, INV-07.
pub(super) fn trim(view: &View<'_>, pool: Uid, _now: Now) -> Verdict {
    let Some(pool) = view.pool(pool).map(|entry| &entry.pool).filter(|pool| !pool.meta.terminating) else {
        return Verdict::Quiet;
    };
    let Some(members) = view.members(pool.meta.uid).filter(|members| members.live > pool.replicas) else {
        return Verdict::Quiet;
    };
    let mut order = members.victims.iter().map(|victim| victim.4).filter(|uid| !view.is_held(*uid));
    let victim = if view.config.has(Mutant::OldestGoFirst) { order.next_back() } else { order.next() };
    let Some(victim) = victim.and_then(|uid| view.sandbox(uid)) else { return Verdict::Quiet };
    let meta = &victim.sandbox.meta;
    delete(Intent::DeleteMember, Kind::Sandbox, meta)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::check;

    /// WPL-011: it needs no template for that, nor for what follows.
    #[test]
    fn a_pool_without_its_template_goes_on_as_far_as_it_can() {
        let world = "
            pool p recreate replicas=1
            sandbox s1 pool=p ready
            sandbox s2 pool=p starting unready=300s
        ";
        check(trim, Kind::Pool, world, &["DeleteMember s2"]);
        check(super::super::replace_stuck::replace_stuck, Kind::Pool, world, &["DeleteMember s2"]);
        check(super::super::replace_stale::replace_stale, Kind::Pool, world, &[]);
        let told = "SetPoolStatus p 2 there, 1 ready";
        check(super::super::publish_pool_status::publish_pool_status, Kind::Pool, world, &[told]);
    }

    /// WPL-036, WPL-037.
    #[test]
    fn the_unready_goes_first_and_then_the_youngest() {
        check(
            trim,
            Kind::Pool,
            "
            pool p replicas=1
            sandbox s1 pool=p ready
            sandbox s2 pool=p ready
        ",
            &["DeleteMember s2"],
        );
        check(
            trim,
            Kind::Pool,
            "
            pool p replicas=1
            sandbox s1 pool=p starting
            sandbox s2 pool=p ready
        ",
            &["DeleteMember s1"],
        );
    }

    /// WPL-037, INV-06.
    #[test]
    fn a_stale_member_goes_before_any_other() {
        check(
            trim,
            Kind::Pool,
            "
            template tpl make=b
            pool p recreate replicas=1
            sandbox s1 pool=p make=a ready
            sandbox s2 pool=p make=b starting
        ",
            &["DeleteMember s1"],
        );
    }

    #[test]
    fn a_member_that_a_claim_has_recorded_is_spared() {
        check(
            trim,
            Kind::Pool,
            "
            pool p replicas=0
            sandbox s1 pool=p ready
            claim c1 records=s1
        ",
            &[],
        );
    }

    #[test]
    fn a_pool_of_the_right_size_loses_nobody() {
        check(
            trim,
            Kind::Pool,
            "
            pool p replicas=1
            sandbox s1 pool=p ready
        ",
            &[],
        );
    }
}
