use super::{Verdict, delete};
use crate::action::Intent;
use crate::agenda::TimeoutReason;
use crate::id::{Kind, Uid};
use crate::mutant::Mutant;
use crate::object::Update;
use crate::time::Now;
use crate::view::View;

/// Deletes one stale member of a pool whose members follow its template, so that a new one can take its place.
///
/// A stale member that is not ready goes at once, or a moment after it has come: it is of no use to anybody. The moment is
/// for two leaders of which one has not seen that the template has changed: what the one makes the other deletes, and
/// without it as fast as the server answers. Of the others so many stay that at least
/// half of the replicas are ready, the new ones included, until the new ones are. A template that does not start
/// therefore costs half of the pool, and taking it back makes the other half current again. No member is made ahead of
/// its time, because clients wait for exact numbers (CON-060).
///
/// Reads: the pool, its members: which are stale, how many are ready.
/// Emits: [`Intent::DeleteMember`], locked to identity and version: a member that a claim adopts first survives. Arms
/// [`TimeoutReason::Settle`].
/// Never: a member that a claim has recorded, nor one that is being written; nor any while the template is gone.
/// Source: WPL-016, WPL-050, ADP-010, DEF-021; INV-06, INV-07.
pub(super) fn replace_stale(view: &View<'_>, pool: Uid, now: Now) -> Verdict {
    let Some(pool) = view.pool(pool).map(|entry| &entry.pool).filter(|pool| !pool.meta.terminating) else {
        return Verdict::Quiet;
    };
    if pool.update != Update::Recreate {
        return Verdict::Quiet;
    }
    let Some(members) = view.members(pool.meta.uid) else { return Verdict::Quiet };
    let may_lose_ready = members.live_ready > pool.replicas / 2 || view.config.has(Mutant::RolloutAtOnce);
    // A member that a claim has recorded is not among them. The unready come first.
    for (_, is_ready, .., uid) in members.stale() {
        let Some(entry) = view.sandbox(*uid) else { continue };
        let settled = entry.seen.mono + view.config.settle;
        if !is_ready && now.mono < settled {
            return Verdict::Until(settled, TimeoutReason::Settle);
        }
        if (!is_ready || may_lose_ready) && !view.is_held(*uid) {
            return delete(Intent::DeleteMember, Kind::Sandbox, &entry.sandbox.meta);
        }
    }
    Verdict::Quiet
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;
    use crate::rules::testing::check;

    /// What is said about a pool like that, whose template is of this make, with these members.
    #[track_caller]
    fn said(make: &str, pool: &str, members: &str, expected: &[&str]) {
        check(
            replace_stale,
            Kind::Pool,
            &format!("template tpl make={make}\npool p {pool}\n{members}"),
            expected,
        );
    }

    /// WPL-016, WPL-050.
    #[test]
    fn a_member_of_another_make_is_deleted() {
        said("b", "recreate", "sandbox s1 pool=p make=a ready", &["DeleteMember s1"]);
    }

    /// ACC-190.
    /// WPL-051.
    #[test]
    fn a_pool_that_follows_as_it_refills_deletes_nothing() {
        said("b", "", "sandbox s1 pool=p make=a ready", &[]);
    }

    /// ADP-012, STL-003, STL-005, BUG-122: a mark that somebody else has made says nothing; what was made does.
    #[test]
    fn a_member_of_the_same_make_stays_whatever_mark_it_bears() {
        let members = "sandbox s1 pool=p make=a mark=e7ff4803 ready\nsandbox s2 pool=p make=a ready";
        said("a", "recreate replicas=2", members, &[]);
    }

    /// ACC-191.
    /// STL-001, WPL-054: another template, although of the same make.
    #[test]
    fn a_member_of_another_template_is_deleted() {
        said("a", "recreate", "sandbox s1 pool=p make=a from=other ready", &["DeleteMember s1"]);
    }

    /// DEF-021: the original deletes all of them at once, down to none.
    #[test]
    fn half_of_the_pool_stays_until_the_new_members_are_ready() {
        let members =
            "sandbox s1 pool=p make=a ready\nsandbox s2 pool=p make=a ready\nsandbox s3 pool=p make=b";
        said("b", "recreate replicas=4", &format!("{members} starting"), &[]);
        said("b", "recreate replicas=4", &format!("{members} ready"), &["DeleteMember s2"]);
    }

    #[test]
    fn a_stale_member_that_is_not_ready_goes_at_once() {
        let members = "sandbox s1 pool=p make=a ready age=9s\nsandbox s2 pool=p make=a starting age=1s";
        said("b", "recreate replicas=2", members, &["DeleteMember s2"]);
    }

    /// Another leader makes it that does not know the template as it is now.
    #[test]
    fn a_stale_member_that_has_just_come_stays_for_a_moment() {
        let members = "sandbox s1 pool=p make=a ready age=9s\nsandbox s2 pool=p make=a starting";
        said("b", "recreate replicas=2", members, &["until 1s Settle"]);
    }

    /// DEF-028, WPL-052: the claim had recorded it before it became stale.
    #[test]
    fn a_member_that_a_claim_has_recorded_is_spared() {
        said("b", "recreate", "sandbox s1 pool=p make=a ready\nclaim c1 records=s1", &[]);
    }

    /// STL-004.
    /// ADP-010: nobody can tell.
    #[test]
    fn nothing_is_deleted_while_the_template_is_gone() {
        check(replace_stale, Kind::Pool, "pool p recreate\nsandbox s1 pool=p make=a ready", &[]);
    }

    /// DEF-011: the way there and back leaves what was there.
    #[test]
    fn a_template_that_is_changed_back_makes_its_members_current_again() {
        let members = "sandbox s1 pool=p make=a ready\ntemplate tpl make=b\ntemplate tpl make=a";
        said("a", "recreate", members, &[]);
    }
}
