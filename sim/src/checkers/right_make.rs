//! Claims get sound members of the right make, from pools and templates that are there to stay.

use std::collections::BTreeSet;

use agent_sandbox_core::action::{Action, Intent, Operation};
use agent_sandbox_core::id::{Key, Kind};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Claim, Object, Update};

use super::known::{Known, assigned, decided_on, is_stale};
use super::{Checker, Class, Judgement, Property, as_claim, as_pool, as_sandbox};
use crate::process;
use crate::reference::claims;
use crate::step::{Fact, Sent};
use crate::store::Store;

/// What gives a claim its sandbox.
const SERVES: [Intent; 3] = [Intent::RecordAssignment, Intent::RecordColdStart, Intent::AdoptSandbox];

/// INV-14, DEF-028, as far as the process that decides knows the pool, its template, the member and its Pods.
#[derive(Clone, Debug, Default)]
pub(super) struct RightMake {
    /// Process and name → members that it has asked for: where the answer was lost, it asks for the same again.
    made: BTreeSet<(u8, Key)>,
    /// Processes whose watch of sandboxes is broken.
    blind: BTreeSet<u8>,
}

impl Checker for RightMake {
    fn property(&self) -> Property {
        Property {
            name: "right-make",
            about: "a claim gets no member that has ended, or is of an older make or one that nobody can tell, and nothing of a pool that is going, and no member is made for one that has all",
            class: Class::Safety,
        }
    }

    fn judges_decisions(&self) -> bool {
        true
    }

    fn on_decision(&mut self, sent: &Sent, known: &Known, store: &Store) -> Judgement {
        let makes = sent.action.intent == Intent::CreateMember;
        let is_again = makes && !self.made.insert((sent.process, sent.action.operation.key().clone()));
        if !makes && !SERVES.contains(&sent.action.intent) {
            return Judgement::Silent;
        }
        let is_blind = makes && !is_again && self.blind.contains(&sent.process);
        let flaws = [
            is_blind.then(|| "makes a member while it does not see which there are".to_owned()),
            old_make(sent, known, store),
            unknown_make(sent, known, store),
            given(sent, store).and_then(|given| unsound(sent, given, known, store)),
            given(sent, store).and_then(|given| of_namesake(sent, given, known, store)),
            given(sent, store).and_then(|given| of_the_going(sent, given, known, store)),
            made_for_the_going(sent, known, store),
            made_from_the_going(sent, known, store).filter(|_| !is_again),
            made_for_the_full(sent, known, store),
            served_by_the_going(sent, known, store),
            impossible(sent, known, store),
            made_of_nothing(sent, known, store),
        ];
        let Some(flaw) = flaws.into_iter().flatten().next() else { return Judgement::Holds };
        Judgement::Broken(format!("{} {flaw}", process::name(sent.process)))
    }

    /// INV-08: what went meanwhile, and what others have made, comes with the next list.
    fn on_fact(&mut self, fact: &Fact) {
        match fact {
            Fact::WatchLost(process, Kind::Sandbox) => _ = self.blind.insert(*process),
            Fact::Relisted { process, kind: Kind::Sandbox, .. }
            | Fact::Crashed { process, .. }
            | Fact::Started(process) => _ = self.blind.remove(process),
            Fact::WatchLost(..)
            | Fact::Relisted { .. }
            | Fact::Sent(_)
            | Fact::Committed(_)
            | Fact::Handled(_)
            | Fact::Answered { .. }
            | Fact::Listed(..)
            | Fact::Shown { .. }
            | Fact::Leading { .. }
            | Fact::Deposed { .. }
            | Fact::CalendarSet(_)
            | Fact::Ran(_) => {}
        }
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

/// Where members follow their template, a claim gets one that its template makes.
fn old_make(sent: &Sent, known: &Known, store: &Store) -> Option<String> {
    let process = sent.process;
    let (claim, object) = assigned(sent, store)?;
    let (pool, template) = known.pool_of(process, claim, store)?;
    let is_known = object.meta().is_owned_by(pool.meta.uid) && known.knows(process, object);
    let member = as_sandbox(Some(object)).filter(|_| is_known)?;
    is_stale(member, pool, store).then(|| {
        let (claim, member, template) =
            (&claim.meta.key.name, &member.meta.key.name, &template.meta.key.name);
        format!("gives {member} to claim {claim}, which template {template} does not make")
    })
}

/// Where members follow their template, nobody can tell of which make they are while there is none (ADP-011).
fn unknown_make(sent: &Sent, known: &Known, store: &Store) -> Option<String> {
    let (claim, member) = assigned(sent, store)?;
    let owner = store.find(Kind::Pool, member.meta().owner_of_kind(Kind::Pool)?)?;
    let pool = as_pool(Some(owner)).filter(|pool| pool.update == Update::Recreate)?;
    let template = pool.meta.key.sibling(pool.template.clone());
    let is_known = known.sees(sent.process, owner)
        && known.knows_absent(sent.process, (Kind::Template, &template), store);
    is_known.then(|| {
        let (claim, member, template) = (&claim.meta.key.name, &member.key().name, &template.name);
        format!(
            "gives {member} to claim {claim} without template {template}, which says what members are like"
        )
    })
}

/// Returns the member that a request gives to a claim: promises it, or hands it over.
fn given<'a>(sent: &'a Sent, store: &'a Store) -> Option<(&'a Claim, &'a Object)> {
    if sent.action.intent != Intent::AdoptSandbox {
        // What an older release has promised is only written down elsewhere.
        let is_new = |claim: &Claim| claim.meta.label(names::LEGACY_SANDBOX_NAME).is_none();
        return assigned(sent, store).filter(|(claim, _)| is_new(claim));
    }
    let Operation::Patch(patch) = &*sent.action.operation else { return None };
    let member = store.find(Kind::Sandbox, patch.target.uid?)?;
    let mut claims = store.list(Kind::Claim).iter().filter_map(|object| as_claim(Some(object)));
    let name = &member.key().name;
    let claim = claims.find(|claim| claim.meta.annotation(names::SANDBOX_NAME) == Some(name))?;
    (Some(member.version()) == patch.version).then_some((claim, member))
}

/// Who asks for what it cannot have is told so, takes no member from others, and gets nothing that would only be there to say
/// so (INV-26).
fn impossible(sent: &Sent, known: &Known, store: &Store) -> Option<String> {
    if ![Intent::RecordAssignment, Intent::RecordColdStart].contains(&sent.action.intent) {
        return None;
    }
    let claim =
        decided_on(&sent.action, store).filter(|it| it.meta.label(names::LEGACY_SANDBOX_NAME).is_none())?;
    let refusal = claims::refusal(claim, store)?;
    let is_known = refusal == "InvalidMetadata" || known.pool_of(sent.process, claim, store).is_some();
    let (claim, what) = (&claim.meta.key.name, sent.action.intent);
    is_known
        .then(|| format!("serves claim {claim} by {what:?}, which cannot have what it asks for: {refusal}"))
}

/// Without a template there is nothing that a claim's own sandbox could be made from, and a member may come before there is.
fn made_of_nothing(sent: &Sent, known: &Known, store: &Store) -> Option<String> {
    let claim = decided_on(&sent.action, store).filter(|_| sent.action.intent == Intent::RecordColdStart)?;
    let object = store.get(Kind::Pool, &claim.meta.key.sibling(claim.pool.clone()))?;
    let pool = as_pool(Some(object)).filter(|_| known.sees(sent.process, object))?;
    let template = pool.meta.key.sibling(pool.template.clone());
    let (claim, name) = (&claim.meta.key.name, &template.name);
    known
        .knows_absent(sent.process, (Kind::Template, &template), store)
        .then(|| format!("starts claim {claim} cold without template {name}, from which it would be made"))
}

/// A member that has ended, or is going, is of no use to anybody.
fn unsound(sent: &Sent, (claim, member): (&Claim, &Object), known: &Known, store: &Store) -> Option<String> {
    let (process, is_news) = (sent.process, sent.action.intent == Intent::RecordAssignment);
    let (claim, name) = (&claim.meta.key.name, &member.key().name);
    if member.meta().terminating && known.knows(process, member) {
        return Some(format!("gives {name} to claim {claim}, which it knows to be going"));
    }
    if let Some(why) = unusable(process, member, known, store).filter(|_| is_news) {
        return Some(format!("gives {name} to claim {claim}, {why}"));
    }
    let mut pods = store.owned_by(Kind::Pod, member.uid());
    let has_ended = |pod: &Object| pod.as_pod().is_some_and(|pod| pod.phase.is_terminal());
    let ended = pods.find(|pod| has_ended(pod) && known.knows(process, pod))?;
    let pod = &ended.key().name;
    Some(format!("gives {name} to claim {claim}, whose Pod {pod} it knows to have ended"))
}

/// What a pool that is gone has left serves nobody, even if another has the pool's name since (DEF-025, INV-15).
fn of_namesake(
    sent: &Sent,
    (claim, member): (&Claim, &Object),
    known: &Known,
    store: &Store,
) -> Option<String> {
    let owner = member.meta().owner.as_ref()?;
    let former = member.meta().owner_of_kind(Kind::Pool)?;
    let pool = store.get(Kind::Pool, &member.key().sibling(owner.name.clone()))?;
    let is_known = known.sees(sent.process, pool) && known.sees(sent.process, member);
    (is_known && pool.uid() != former).then(|| {
        let (claim, name, pool) = (&claim.meta.key.name, &member.key().name, &owner.name);
        format!("gives {name} to claim {claim}, which a pool has left whose name another {pool} has")
    })
}

/// A pool that is going takes its members along, whoever has recorded one: another is had sooner than that one is lost.
fn of_the_going(
    sent: &Sent,
    (claim, member): (&Claim, &Object),
    known: &Known,
    store: &Store,
) -> Option<String> {
    let pool = store.find(Kind::Pool, member.meta().owner_of_kind(Kind::Pool)?)?;
    let is_known = is_going(pool, sent, known) && known.sees(sent.process, member);
    let (claim, name, pool) = (&claim.meta.key.name, &member.key().name, &pool.key().name);
    is_known.then(|| format!("gives {name} to claim {claim}, whose pool {pool} it knows to be going"))
}

/// Returns why a member is of no use as it is, as far as a process knows it whole. What was promised before is kept.
fn unusable(process: u8, member: &Object, known: &Known, store: &Store) -> Option<&'static str> {
    let sandbox = as_sandbox(Some(member)).filter(|_| known.knows_whole(process, member, store))?;
    let pods = || store.owned_by(Kind::Pod, member.uid());
    let why = [
        ("which is suspended", sandbox.suspended),
        ("which has expired", sandbox.status.is_expired()),
        ("whose Pod is going", pods().any(|pod| pod.meta().terminating)),
        ("which has several Pods", pods().count() > 1),
    ];
    why.into_iter().find(|(_, is_so)| *is_so).map(|(why, _)| why)
}

/// No member is made for a pool that is going.
fn made_for_the_going(sent: &Sent, known: &Known, store: &Store) -> Option<String> {
    let pool = made_for(&sent.action, store)?;
    is_going(pool, sent, known)
        .then(|| format!("makes a member for pool {}, which it knows to be going", pool.key().name))
}

/// Nor is one made from a template that is going, unless it was asked for before and may be there.
fn made_from_the_going(sent: &Sent, known: &Known, store: &Store) -> Option<String> {
    let pool = made_for(&sent.action, store)?;
    let it = as_pool(Some(pool)).filter(|_| known.knows(sent.process, pool))?;
    let template = store.get(Kind::Template, &it.meta.key.sibling(it.template.clone()))?;
    is_going(template, sent, known).then(|| {
        let (pool, template) = (&pool.key().name, &template.key().name);
        format!("makes a member for pool {pool} from template {template}, which it knows to be going")
    })
}

/// No member is made for a pool that has all of them, as others may see to by the time at which what was lost is asked for again.
fn made_for_the_full(sent: &Sent, known: &Known, store: &Store) -> Option<String> {
    let object = made_for(&sent.action, store).filter(|pool| known.sees(sent.process, pool))?;
    let pool = as_pool(Some(object))?;
    let members = || store.owned_by(Kind::Sandbox, pool.meta.uid);
    let is_known = known.knows_children(sent.process, pool.meta.uid, Kind::Sandbox)
        && members().all(|member| known.sees(sent.process, member));
    let is_full = is_known && members().count() >= pool.replicas as usize;
    let (name, all) = (&pool.meta.key.name, pool.replicas);
    is_full.then(|| format!("makes a member for pool {name}, which it knows to have all of its {all}"))
}

/// Nobody is served from a pool that is going.
fn served_by_the_going(sent: &Sent, known: &Known, store: &Store) -> Option<String> {
    let (claim, what) = (decided_on(&sent.action, store)?, sent.action.intent);
    // Whose record is taken over has been served before, and who asks for variables or volumes takes nothing of the pool's.
    let is_new = claim.meta.label(names::LEGACY_SANDBOX_NAME).is_none() && claim.wishes.is_none();
    let pool = store.get(Kind::Pool, &claim.meta.key.sibling(claim.pool.clone())).filter(|_| is_new)?;
    is_going(pool, sent, known).then(|| {
        let (claim, pool) = (&claim.meta.key.name, &pool.key().name);
        format!("serves claim {claim} by {what:?} from pool {pool}, which it knows to be going")
    })
}

/// Returns whether who sends a request knows that an object is going.
fn is_going(object: &Object, sent: &Sent, known: &Known) -> bool {
    object.meta().terminating && known.knows(sent.process, object)
}

/// Returns the pool for which a request makes a member.
fn made_for<'a>(action: &Action, store: &'a Store) -> Option<&'a Object> {
    let Operation::Create(member) = &*action.operation else { return None };
    let pool = member.meta().owner_of_kind(Kind::Pool).filter(|_| action.intent == Intent::CreateMember)?;
    store.find(Kind::Pool, pool)
}
