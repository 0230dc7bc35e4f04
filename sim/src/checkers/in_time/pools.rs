//! What is due to pools, and to the claims that wait for their members.

use std::time::Duration;

use agent_sandbox_core::id::Kind;
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Claim, Object, Pod, Pool, Sandbox, Truth, Update};
use agent_sandbox_core::time::Wall;

use super::claims::is_in_queue;
use super::{AT_ONCE, SETTLED, Sight, Undone};
use crate::checkers::known::{Stand, is_stale, says_ready};
use crate::checkers::{as_claim, as_sandbox};
use crate::reference::claims::template_of;

/// How long after one word about its figures a pool may wait before the next.
///
/// Source: WPL-027.
const FIGURES: Duration = Duration::from_secs(1);

/// Adds what is due to each pool that its process may not wait about.
pub(super) fn undone(sight: &Sight<'_>, undone: &mut Vec<Undone>) {
    let pools = sight.store.list(Kind::Pool).iter().filter_map(Object::as_pool);
    for pool in pools.filter(|pool| !pool.meta.terminating) {
        let members: Vec<(&Object, &Sandbox)> = sight
            .store
            .owned_by(Kind::Sandbox, pool.meta.uid)
            .filter_map(|object| Some((object, as_sandbox(Some(object))?)))
            .collect();
        let crew = Crew { pool, members: &members, sight };
        undone.extend(crew.untold());
        if sight.is_held(pool.meta.uid) {
            continue;
        }
        undone.extend(crew.wrong_figures());
        undone.extend(crew.stuck());
        undone.extend(crew.surplus());
        let template = template_of(pool, sight.store).filter(|template| !template.meta.terminating);
        if template.is_some() {
            undone.extend(crew.outdated());
            undone.extend(crew.shortage());
            crew.queue(undone);
        }
    }
}

/// One pool with its members.
struct Crew<'a> {
    pool: &'a Pool,
    members: &'a [(&'a Object, &'a Sandbox)],
    sight: &'a Sight<'a>,
}

impl<'a> Crew<'a> {
    fn live(&self) -> impl Iterator<Item = (&'a Object, &'a Sandbox)> + use<'a> {
        self.members.iter().copied().filter(|(_, member)| !member.meta.terminating)
    }

    /// Returns the members that no claim has, is to get, or shows, and about which its process may not wait.
    fn free(&self) -> impl Iterator<Item = (&'a Object, &'a Sandbox)> + use<'a> {
        let sight = self.sight;
        self.live().filter(|(_, member)| is_free(member, sight))
    }

    /// Returns what is left of the pool: it is the same as long as nothing of it changes.
    fn left(&self, how: &'static str, within: Duration) -> Undone {
        let versions = self.members.iter().map(|(_, member)| member.meta.version);
        let last = versions.chain([self.pool.meta.version]).max().unwrap_or_default();
        let of = last.0 << 8 | self.members.len() as u64;
        let (about, name) = (self.pool.meta.uid, self.pool.meta.key.name.clone());
        Undone { about, name, how, detail: None, of, within }
    }

    /// WPL-039: who waits for room, or is refused its members, says so.
    fn untold(&self) -> Option<Undone> {
        let (sight, pool) = (self.sight, self.pool);
        if sight.seat.warned.contains(&pool.meta.uid) {
            return None;
        }
        let patience = sight.setup.promises.patience;
        let waits_for_room = |member: &Sandbox| {
            let mut pods = sight.store.owned_by(Kind::Pod, member.meta.uid).filter_map(Object::as_pod);
            let waits = pods.next().is_some_and(|pod| !pod.phase.is_terminal() && has_no_room(pod));
            waits && pods.next().is_none()
        };
        let no_room = self.live().find(|(_, member)| {
            unready_since(member).is_some_and(|since| self.is_impatient(since, patience))
                && waits_for_room(member)
                && is_free(member, sight)
        });
        if no_room.is_some() {
            return Some(self.left("without a warning that there is no room for its members", AT_ONCE));
        }
        let is_short = self.live().count() < pool.replicas as usize;
        let is_refused =
            is_short && template_of(pool, sight.store).is_some() && sight.is_refused(pool.meta.uid);
        is_refused.then(|| self.left("without a warning that the server refuses its members", AT_ONCE))
    }

    /// Returns whether more than this time has passed since a date. For ever is no time at all.
    fn is_impatient(&self, since: Wall, patience: Duration) -> bool {
        patience < Duration::from_secs(1 << 20) && self.sight.has_passed(since + patience)
    }

    /// WPL-027.
    fn wrong_figures(&self) -> Option<Undone> {
        let told = &self.pool.status;
        let (replicas, ready) =
            (self.live().count(), self.live().filter(|(_, member)| says_ready(member)).count());
        let is_new = told.observed != self.pool.meta.generation;
        let is_wrong = is_new || told.replicas as usize != replicas || told.ready as usize != ready;
        let within = if is_new { AT_ONCE } else { FIGURES + AT_ONCE };
        is_wrong.then(|| self.left("with figures that are not so", within))
    }

    /// WPL-023 and DEF-016: a member in trouble has its time, and no more.
    fn stuck(&self) -> Option<Undone> {
        let promises = self.sight.setup.promises;
        let (_, stuck) = self.live().find(|(_, member)| {
            let Some(since) = unready_since(member) else { return false };
            let mut pods = self.sight.store.owned_by(Kind::Pod, member.meta.uid).filter_map(Object::as_pod);
            let patience = match (pods.next(), pods.next()) {
                (Some(pod), None) if pod.ready && !pod.phase.is_terminal() => return false,
                (Some(pod), None) if has_no_room(pod) => return false,
                (Some(pod), None) if pod.phase.is_terminal() => {
                    promises.ended_patience.min(promises.patience)
                }
                (Some(_) | None, None) | (_, Some(_)) => promises.patience,
            };
            self.is_impatient(since, patience) && is_free(member, self.sight)
        })?;
        let detail = Some(format!("has {}, which has not been ready for too long", stuck.meta.key.name));
        Some(Undone { detail, ..self.left("with a member that is stuck", AT_ONCE) })
    }

    /// WPL-036.
    fn surplus(&self) -> Option<Undone> {
        let is_too_many = self.live().count() > self.pool.replicas as usize;
        (is_too_many && self.free().next().is_some()).then(|| self.left("with a member too many", AT_ONCE))
    }

    /// WPL-016 and DEF-021.
    fn outdated(&self) -> Option<Undone> {
        if self.pool.update == Update::OnReplenish {
            return None;
        }
        let ready = self.live().filter(|(_, member)| says_ready(member)).count();
        let may_lose_ready = ready > self.pool.replicas as usize / 2;
        let (_, stale) = self.free().find(|(_, member)| {
            is_stale(member, self.pool, self.sight.store) && (may_lose_ready || !says_ready(member))
        })?;
        let detail = Some(format!("has {}, which its template does not make", stale.meta.key.name));
        Some(Undone { detail, ..self.left("with a member of an older make", SETTLED) })
    }

    /// WPL-030, at the pace that was asked for.
    fn shortage(&self) -> Option<Undone> {
        let pace = self.sight.setup.pace;
        let spec = &template_of(self.pool, self.sight.store)?.blueprint.pod_spec;
        if self.sight.seat.is_refused_make(self.pool.meta.uid, spec, self.sight.until) {
            return None;
        }
        let within = pace.delay + pace.rate.interval() + AT_ONCE;
        let lost = self.sight.seat.lost_makes(self.pool.meta.uid, self.sight.store, self.sight.until);
        (self.members.len() + lost < self.pool.replicas as usize)
            .then(|| self.left("with too few members", within))
    }

    /// ADP-014, ADP-015, RES-020 and RES-021: nobody waits for what is there, nor for what will not come.
    fn queue(&self, undone: &mut Vec<Undone>) {
        let (sight, pool) = (self.sight, self.pool);
        let waiting = sight.known.waiting(&pool.meta.key);
        let waiting = waiting.filter_map(|(_, uid)| as_claim(sight.store.find(Kind::Claim, *uid)));
        let waiting: Vec<&Claim> = waiting.filter(|claim| is_in_queue(claim, sight)).collect();
        let (Some(oldest), Some(youngest)) = (waiting.first(), waiting.last()) else { return };
        let is_usable = |stand| matches!(stand, Stand::Ready | Stand::Reachable);
        let usable = self.free().find(|(object, member)| {
            let stand = sight.known.stand(sight.process, object, sight.store);
            stand.is_some_and(is_usable) && !is_stale(member, pool, sight.store)
        });
        let may_come = self.live().filter(|(_, it)| !sight.known.is_recorded(&it.meta.key.name)).count();
        let of = self.left("", AT_ONCE).of;
        let left = |claim: &Claim, how, within| {
            let (about, name) = (claim.meta.uid, claim.meta.key.name.clone());
            Undone { about, name, how, detail: None, of: of.max(claim.meta.version.0 << 8), within }
        };
        if let Some((_, member)) = usable {
            let detail = Some(format!("could have {}", member.meta.key.name));
            undone.push(Undone { detail, ..left(oldest, "without a member", AT_ONCE) });
        } else if waiting.len() > may_come {
            undone.push(left(youngest, "waiting for a member that there is not", AT_ONCE));
        }
        let grace = sight.setup.promises.grace + AT_ONCE;
        let long = |claim: &&Claim| Undone {
            of: claim.meta.version.0,
            ..left(claim, "waiting for longer than members are waited for", grace)
        };
        undone.extend(waiting.iter().map(long));
    }
}

/// Returns whether no claim has a member, is to get it, or shows it, and its process may not wait before it does anything about it.
fn is_free(member: &Sandbox, sight: &Sight<'_>) -> bool {
    sight.known.is_free(sight.process, &member.meta.key.name) && !sight.is_held(member.meta.uid)
}

/// Returns since when a member is not ready, by its own word.
fn unready_since(member: &Sandbox) -> Option<Wall> {
    let ready = member.status.condition(names::READY).filter(|ready| ready.status != Truth::True);
    ready.map(|ready| ready.changed)
}

fn has_no_room(pod: &Pod) -> bool {
    let scheduled = pod.scheduled.as_ref().filter(|_| !pod.meta.terminating);
    scheduled.is_some_and(|(status, reason, _)| *status == Truth::False && &**reason == names::UNSCHEDULABLE)
}
