//! A pool replaces no member for which it can do nothing better.

use std::collections::BTreeMap;
use std::time::Duration;

use agent_sandbox_core::id::{Kind, Uid, Version};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Object, Pod, Pool, Sandbox, Truth};
use agent_sandbox_core::time::Mono;

use super::known::{Known, deleted_member, is_stale, says_ready};
use super::{Checker, Class, INEXACT, Judgement, Property, as_pool, as_sandbox};
use crate::api_server::Commit;
use crate::controller::Promises;
use crate::process;
use crate::scene;
use crate::step::{Fact, Sent};
use crate::store::Store;

/// INV-10, as far as the process that decides knows the member: it is not too many, and is no older make; then it may be
/// deleted only because it has not been ready for too long, or its Pod has ended long enough ago, and not for want of room.
/// While there is no template, nothing can be made in the place of one that is ready.
#[derive(Clone, Debug, Default)]
pub(super) struct NoChurn {
    now: Mono,
    /// How long a member that is not ready is left alone.
    patience: Duration,
    /// The same for one whose Pod has ended.
    ended_patience: Duration,
    /// The last change of a claim.
    last_claim: Version,
    /// Member → when it was made.
    born: BTreeMap<Uid, Mono>,
    /// Whether a calendar was set anew while its process ran, so that no span can be told from two dates.
    is_timeless: bool,
}

impl NoChurn {
    pub(super) fn new(promises: Promises) -> Self {
        let patience = promises.patience;
        Self { patience, ended_patience: promises.ended_patience.min(patience), ..Self::default() }
    }

    fn judge(&self, process: u8, object: &Object, known: &Known, store: &Store) -> Judgement {
        if let Some(member) = irreplaceable(process, object, known, store) {
            let (who, name) = (process::name(process), &member.meta.key.name);
            return Judgement::Broken(format!(
                "{who} deletes {name}, which is ready, and its template is gone"
            ));
        }
        let Some((member, pod)) = needed(process, object, known, store) else { return Judgement::Silent };
        let name = &member.meta.key.name;
        let has_ended = pod.is_some_and(|pod| pod.phase.is_terminal());
        let may_be_recorded = || {
            let knows_claims = known.has_seen(process, Kind::Claim, self.last_claim);
            !knows_claims || known.is_recorded(name) || known.is_unsure(process, name)
        };
        if has_ended && may_be_recorded() {
            // The claim is not to wait for it (DEF-028).
            return Judgement::Silent;
        }
        if says_ready(member) {
            return Judgement::Broken(format!("{} deletes {name}, which is ready", process::name(process)));
        }
        if pod.is_some_and(|pod| pod.ready) {
            return Judgement::Broken(format!(
                "{} deletes {name}, whose Pod is ready",
                process::name(process)
            ));
        }
        if pod.is_some_and(has_no_room) {
            return Judgement::Broken(format!(
                "{} deletes {name}, for which no node has room",
                process::name(process)
            ));
        }
        let waited = self.unready_for(member).filter(|_| !self.is_timeless);
        let patience = if has_ended { self.ended_patience } else { self.patience };
        let hasty = waited.filter(|waited| *waited < patience.saturating_sub(INEXACT));
        Judgement::unless_broken(hasty.map(|waited| {
            format!(
                "{} deletes {name}, which has not been ready for {} s only",
                process::name(process),
                waited.as_secs()
            )
        }))
    }

    /// Returns how long a member has not been ready: by its own word, or else since it was made.
    fn unready_for(&self, member: &Sandbox) -> Option<Duration> {
        let since_made = self.born.get(&member.meta.uid).map(|born| self.now.since(*born));
        let told = member.status.condition(names::READY);
        let today = scene::epoch() + self.now.since(Mono::default());
        told.map_or(since_made, |condition| Some(today.since(condition.changed)))
    }
}

impl Checker for NoChurn {
    fn property(&self) -> Property {
        Property {
            name: "no-churn",
            about: "a pool deletes no member that is ready, has no room, or has not been given its time",
            class: Class::Safety,
        }
    }

    fn on_clock(&mut self, at: Mono) {
        self.now = at;
    }

    fn on_commit(&mut self, commit: &Commit, _store: &Store) -> Judgement {
        let uid = commit.object().uid();
        if commit.object().kind() == Kind::Claim {
            self.last_claim = commit.version;
        }
        match (as_sandbox(commit.old.as_ref()), as_sandbox(commit.new.as_ref())) {
            (None, Some(_)) => _ = self.born.insert(uid, self.now),
            (Some(_), None) => _ = self.born.remove(&uid),
            (Some(_), Some(_)) | (None, None) => {}
        }
        Judgement::Silent
    }

    fn judges_decisions(&self) -> bool {
        true
    }

    fn on_decision(&mut self, sent: &Sent, known: &Known, store: &Store) -> Judgement {
        let member = deleted_member(sent, store);
        member.map_or(Judgement::Silent, |member| self.judge(sent.process, member, known, store))
    }

    fn on_fact(&mut self, fact: &Fact) {
        self.is_timeless |= matches!(fact, Fact::CalendarSet(_));
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

/// Returns a member that a process knows to be wanted and of the right make, with its Pod.
fn needed<'a>(
    process: u8,
    object: &'a Object,
    known: &Known,
    store: &'a Store,
) -> Option<(&'a Sandbox, Option<&'a Pod>)> {
    let member = as_sandbox(Some(object)).filter(|_| known.knows(process, object))?;
    let pool = store.find(Kind::Pool, member.meta.owner_of_kind(Kind::Pool)?)?;
    let (pool, _) = known.settled_pool(process, pool, store)?;
    let uid = member.meta.uid;
    let is_told = known.knows_children(process, uid, Kind::Pod);
    if !is_told || !has_none_to_spare(process, pool, known, store) || is_stale(member, pool, store) {
        return None;
    }
    let mut pods = store.owned_by(Kind::Pod, uid);
    let Some(first) = pods.next() else { return Some((member, None)) };
    let pod = first.as_pod().filter(|pod| !pod.meta.terminating)?;
    (pods.next().is_none() && known.knows(process, first)).then_some((member, Some(pod)))
}

/// Returns a member that is ready and wanted, if a process knows that its pool cannot make another: its template is gone.
fn irreplaceable<'a>(process: u8, object: &'a Object, known: &Known, store: &Store) -> Option<&'a Sandbox> {
    let is_known = says_ready(as_sandbox(Some(object))?) && known.knows(process, object);
    let member = as_sandbox(Some(object)).filter(|_| is_known)?;
    let owner = store.find(Kind::Pool, member.meta.owner_of_kind(Kind::Pool)?)?;
    let pool = as_pool(Some(owner)).filter(|pool| !pool.meta.terminating && known.knows(process, owner))?;
    let template = pool.meta.key.sibling(pool.template.clone());
    let is_gone = known.knows_absent(process, (Kind::Template, &template), store);
    (is_gone && has_none_to_spare(process, pool, known, store) && is_up(process, member, known, store))
        .then_some(member)
}

/// Returns whether a process knows that the only Pod of a member is ready.
fn is_up(process: u8, member: &Sandbox, known: &Known, store: &Store) -> bool {
    let mut pods = store.owned_by(Kind::Pod, member.meta.uid);
    let is_ready = |object: &Object| {
        object.as_pod().is_some_and(|pod| pod.ready && !pod.meta.terminating) && known.knows(process, object)
    };
    let is_told = known.knows_children(process, member.meta.uid, Kind::Pod);
    is_told && pods.next().is_some_and(is_ready) && pods.next().is_none()
}

/// Returns whether a process knows that a pool has no more members than it wants, but for those that go.
fn has_none_to_spare(process: u8, pool: &Pool, known: &Known, store: &Store) -> bool {
    let owner = pool.meta.uid;
    let may_live = |other: &&Object| !known.is_leaving(process, other);
    let live = store.owned_by(Kind::Sandbox, owner).filter(may_live).count();
    known.knows_children(process, owner, Kind::Sandbox) && live <= pool.replicas as usize
}

pub(super) fn has_no_room(pod: &Pod) -> bool {
    pod.scheduled
        .as_ref()
        .is_some_and(|(status, reason, _)| *status == Truth::False && &**reason == names::UNSCHEDULABLE)
}
