//! What is due to claims.

use std::collections::BTreeMap;

use agent_sandbox_core::id::{Kind, Text, Uid, Version};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Claim, Object, Pod, Sandbox, Truth};
use agent_sandbox_core::time::Wall;
use agent_sandbox_core::wishes::ClaimShutdownPolicy;

use super::{AT_ONCE, SETTLED, Sight, Undone};
use crate::reference::claims;
use crate::store::Store;

/// Reasons why a claim is not ready that clients do not wait for to pass.
const FINAL: [&str; 5] = [
    "InvalidMetadata",
    "WarmPoolNotFound",
    "TemplateNotFound",
    "EnvVarsInjectionRejected",
    "VolumeClaimTemplatesError",
];

/// Adds what is due to each claim that its process may not wait about. What is due to those that stand in a queue is told of
/// their pool.
pub(super) fn undone(sight: &Sight<'_>, told: &mut Told, undone: &mut Vec<Undone>) {
    let claims = sight.store.list(Kind::Claim).iter().filter_map(Object::as_claim);
    undone.extend(claims.clone().filter_map(|claim| of_refused(claim, sight)));
    let free = claims.filter(|claim| !claim.meta.terminating && !sight.is_held(claim.meta.uid));
    undone.extend(free.filter_map(|claim| of_claim(claim, sight, told)));
}

/// Claim → the last change of all that its status follows from, when it was found to be right: it is not read twice.
pub(super) type Told = BTreeMap<Uid, Version>;

/// Claim that asks for something → the last change of all from which it follows whether it can have that, and why it cannot.
/// That is not found out twice: it may take a look into the spec of a Pod.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusals(BTreeMap<Uid, (Version, Option<&'static str>)>);

impl Refusals {
    /// Brings them in line with the store. `last_make` is the last change of what claims are measured by.
    pub(super) fn renew(&mut self, store: &Store, last_make: Version) {
        let claims = store.list(Kind::Claim).iter().filter_map(Object::as_claim);
        let mut count = 0;
        for claim in claims.filter(|claim| claim.wishes.is_some()) {
            count += 1;
            let (uid, of) = (claim.meta.uid, claim.meta.version.max(last_make));
            if self.0.get(&uid).is_none_or(|known| known.0 != of) {
                self.0.insert(uid, (of, claims::refusal(claim, store)));
            }
        }
        if count < self.0.len() {
            let claim = |uid| store.find(Kind::Claim, uid).and_then(Object::as_claim);
            self.0.retain(|uid, _| claim(*uid).is_some_and(|claim| claim.wishes.is_some()));
        }
    }

    /// Returns why a claim cannot be served, if it cannot.
    fn of(&self, claim: &Claim, store: &Store) -> Option<&'static str> {
        match self.0.get(&claim.meta.uid) {
            Some((_, refusal)) => *refusal,
            // Whether there is something for one that asks for nothing is seen at once, and changes with each member.
            None => claims::refusal(claim, store),
        }
    }
}

fn of_claim(claim: &Claim, sight: &Sight<'_>, told_right: &mut Told) -> Option<Undone> {
    let mut owned = sight.store.owned_by(Kind::Sandbox, claim.meta.uid).filter_map(Object::as_sandbox);
    let owned = owned.next();
    if owned.is_some_and(|sandbox| sight.is_held(sandbox.meta.uid)) {
        return None;
    }
    let (end, told) = (end_of(claim), claim.expired());
    if end.is_some_and(|end| sight.has_passed(end)) && told != Some(claim.meta.generation) {
        return Some(left(claim, "without a word that its time is over"));
    }
    if let Some(told) = told {
        return of_expired(claim, owned, told, sight);
    }
    // The next moment it may be over, whoever is asked.
    if end.is_some_and(|end| !sight.is_ahead(end)) {
        return None;
    }
    match owned {
        Some(sandbox) => of_served(claim, sandbox, sight, told_right),
        None => of_unserved(claim, sight),
    }
}

/// Returns what is left of a claim.
fn left(claim: &Claim, how: &'static str) -> Undone {
    let (about, name, of) = (claim.meta.uid, claim.meta.key.name.clone(), claim.meta.version.0);
    Undone { about, name, how, detail: None, of, within: AT_ONCE }
}

/// LIF-001 and LIF-002: a claim ends at its time, or some time after its sandbox, whichever is earlier.
pub(in crate::checkers) fn end_of(claim: &Claim) -> Option<Wall> {
    let lifecycle = claim.wishes.as_ref()?.lifecycle.as_ref()?;
    let finished = claim.status.condition(names::FINISHED).filter(|it| it.status == Truth::True);
    let after = finished.and_then(|finished| Some(finished.changed + lifecycle.ttl?));
    match (lifecycle.shutdown, after) {
        (Some(one), Some(other)) if other < one => Some(other),
        (one, other) => one.or(other),
    }
}

/// LIF-010 to LIF-013: what a claim was told comes true; and one that was given more time since then begins anew.
fn of_expired(claim: &Claim, owned: Option<&Sandbox>, told: i64, sight: &Sight<'_>) -> Option<Undone> {
    let policy = claim.wishes.as_ref().and_then(|it| it.lifecycle.as_ref()).map(|it| it.policy);
    let is_kept = matches!(policy, None | Some(ClaimShutdownPolicy::Retain));
    if told == claim.meta.generation && !is_kept {
        return Some(left(claim, "there, which was told that its time is over"));
    }
    if let Some(sandbox) = owned {
        let how = "with its sandbox, which was told that its time is over";
        return (!sandbox.meta.terminating).then(|| left(claim, how));
    }
    if claim.status.sandbox.as_ref().is_some_and(|bound| is_free(claim, &bound.name, sight.store)) {
        return Some(left(claim, "with the name of a sandbox that is gone"));
    }
    let promised = recorded(claim).filter(|name| **name != claim.meta.key.name);
    if let Some(name) = promised {
        return (!is_member_held(claim, name, sight)).then(|| left(claim, "with a record that is of no use"));
    }
    let is_reborn = told != claim.meta.generation && end_of(claim).is_none_or(|end| sight.is_ahead(end));
    let is_bare = recorded(claim).is_none_or(|name| is_free(claim, name, sight.store));
    (is_reborn && is_bare)
        .then(|| left(claim, "with the word that its time is over, which was given more time"))
}

/// Returns the name of the sandbox that a claim records.
pub(super) fn recorded(claim: &Claim) -> Option<&Text> {
    claim.meta.annotation(names::SANDBOX_NAME).or_else(|| claim.meta.label(names::LEGACY_SANDBOX_NAME))
}

/// Returns whether no sandbox has a name.
fn is_free(claim: &Claim, name: &Text, store: &Store) -> bool {
    store.get(Kind::Sandbox, &claim.meta.key.sibling(name.clone())).is_none()
}

/// CND-023 and STS-004: a claim says what its sandbox is like, and FRB-005: when that was ready first.
fn of_served(claim: &Claim, sandbox: &Sandbox, sight: &Sight<'_>, told_right: &mut Told) -> Option<Undone> {
    if claim.status.is_ready() && claim.meta.annotation(names::FIRST_READY_AT).is_none() {
        return Some(left(claim, "without a note of when it was ready first"));
    }
    let pod = settled_pod(sandbox, sight)?;
    // Its Pod is not all that it needs: another may have the name of its Service.
    let says_ready = sandbox.status.condition(names::READY).is_some_and(|it| it.status == Truth::True);
    if pod.ready != says_ready {
        return None;
    }
    let of = [&claim.meta, &sandbox.meta, &pod.meta].map(|meta| meta.version).into_iter().max()?;
    let follows_from = of.max(sight.last_make);
    if told_right.get(&claim.meta.uid) == Some(&follows_from) {
        return None;
    }
    let Some(detail) = claims::of_bound(claim, sandbox, sight.store) else {
        told_right.insert(claim.meta.uid, follows_from);
        return None;
    };
    let undone = left(claim, "with a status that is not so");
    Some(Undone { detail: Some(detail), of: of.0, within: SETTLED, ..undone })
}

/// Returns the only Pod of a sandbox that is there to stay.
fn settled_pod<'a>(sandbox: &Sandbox, sight: &Sight<'a>) -> Option<&'a Pod> {
    let is_sound = !sandbox.meta.terminating && !sandbox.suspended && !sandbox.status.is_expired();
    let mut pods = sight.store.owned_by(Kind::Pod, sandbox.meta.uid).filter_map(Object::as_pod);
    let pod = pods.next().filter(|pod| is_sound && !pod.meta.terminating && !sight.is_held(pod.meta.uid));
    pod.filter(|_| pods.next().is_none())
}

/// Returns what is due to a claim that has no sandbox, and does not only wait for its turn.
fn of_unserved(claim: &Claim, sight: &Sight<'_>) -> Option<Undone> {
    let store = sight.store;
    if let Some(name) = recorded(claim).filter(|name| **name != claim.meta.key.name) {
        let member = store.get(Kind::Sandbox, &claim.meta.key.sibling(name.clone()));
        let undone = left(claim, "with a record of a sandbox that it does not get");
        let of = undone.of.max(member.map_or(0, |member| member.version().0));
        return (!is_member_held(claim, name, sight)).then_some(Undone { of, ..undone });
    }
    if let Some(bound) = &claim.status.sandbox {
        let how = "with the name of a sandbox that is gone";
        return is_free(claim, &bound.name, store).then(|| left(claim, how));
    }
    let pool = store.get(Kind::Pool, &claim.meta.key.sibling(claim.pool.clone())).and_then(Object::as_pool);
    let template = pool.and_then(|pool| claims::template_of(pool, store));
    if pool.is_some_and(|pool| pool.meta.terminating) || template.is_some_and(|it| it.meta.terminating) {
        return None;
    }
    let is_begun = recorded(claim).is_some();
    let is_taken = is_begun && !is_free(claim, &claim.meta.key.name, store);
    // What is wrong before it comes to a name is told first, all else after that.
    let early = ["InvalidMetadata", "WarmPoolNotFound", "TemplateNotFound"];
    let refusal = sight.refusals.of(claim, store);
    if let Some(reason) = refusal.filter(|reason| !is_taken || early.contains(reason)) {
        let told = claim.status.condition(names::READY).map_or("nothing", |ready| &*ready.reason);
        let undone = left(claim, "without a word of what it cannot have");
        let detail = Some(format!("says {told} instead of {reason}"));
        let of = undone.of.max(pool.map_or(0, |pool| pool.meta.version.0));
        return (told != reason).then_some(Undone { detail, of, within: SETTLED, ..undone });
    }
    // Without a template, whether a member is left for it is a matter of who comes first.
    if let Some(undone) = of_pardoned(claim, sight).filter(|_| refusal.is_none() && template.is_some()) {
        return Some(undone);
    }
    if is_begun {
        return (!is_taken && !sight.is_unsure(Kind::Sandbox, &claim.meta.key))
            .then(|| left(claim, "without the sandbox of its own that it has recorded"));
    }
    claim.needs_own_sandbox().then(|| left(claim, "without a record, which needs a sandbox of its own"))
}

/// CON-018: what a claim was told that it cannot have is taken back when it can, since clients take it for final. Whether the
/// server refuses its sandbox instead is told after a while.
fn of_pardoned(claim: &Claim, sight: &Sight<'_>) -> Option<Undone> {
    let told = claim.status.condition(names::READY).filter(|told| FINAL.contains(&&*told.reason))?;
    let undone = left(claim, "with a word of what it cannot have, which it can");
    let within = if sight.is_asked_in_vain(claim.meta.uid) { SETTLED } else { AT_ONCE };
    let of = undone.of.max(sight.last_make.0);
    Some(Undone { detail: Some(format!("says {}", told.reason)), of, within, ..undone })
}

/// CND-018: that the server refuses to make its sandbox is told while that lasts.
fn of_refused(claim: &Claim, sight: &Sight<'_>) -> Option<Undone> {
    let store = sight.store;
    if !sight.is_refused(claim.meta.uid) || sight.is_unwritable(claim.meta.uid) {
        return None;
    }
    let is_over = claim.expired().is_some() || end_of(claim).is_some_and(|end| !sight.is_ahead(end));
    let waits = recorded(claim) == Some(&claim.meta.key.name) && is_free(claim, &claim.meta.key.name, store);
    let pool = store.get(Kind::Pool, &claim.meta.key.sibling(claim.pool.clone())).and_then(Object::as_pool);
    let template = claims::template_of(pool.filter(|pool| !pool.meta.terminating)?, store)?;
    let is_asked = waits && !claim.meta.terminating && !is_over && claim.status.sandbox.is_none();
    let could = is_asked && !template.meta.terminating && sight.refusals.of(claim, store).is_none();
    let told = claim.status.condition(names::READY).map_or("nothing", |ready| &*ready.reason);
    let undone = left(claim, "without a word that the server refuses to make its sandbox");
    let detail = Some(format!("says {told}"));
    (could && told != "ReconcilerError").then_some(Undone { detail, ..undone })
}

/// Returns whether a process may wait before it does anything about a member that a claim has recorded.
fn is_member_held(claim: &Claim, name: &Text, sight: &Sight<'_>) -> bool {
    let key = claim.meta.key.sibling(name.clone());
    let is_held = |member: &Object| {
        let owner = member.meta().owner.as_ref();
        sight.is_held(member.uid()) || owner.is_some_and(|owner| sight.is_held(owner.uid))
    };
    match sight.store.get(Kind::Sandbox, &key) {
        Some(member) => is_held(member),
        // It has gone, and may be made again.
        None => sight.is_unsure(Kind::Sandbox, &key),
    }
}

/// Returns whether a claim only waits for its turn: a member may serve it.
pub(super) fn is_in_queue(claim: &Claim, sight: &Sight<'_>) -> bool {
    let is_over = claim.expired().is_some() || end_of(claim).is_some_and(|end| !sight.is_ahead(end));
    !claim.meta.terminating
        && !is_over
        && !claim.needs_own_sandbox()
        && !sight.is_held(claim.meta.uid)
        && sight.store.owned_by(Kind::Sandbox, claim.meta.uid).next().is_none()
        && sight.refusals.of(claim, sight.store).is_none()
}
