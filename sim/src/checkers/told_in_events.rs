//! What happens to a claim or a pool stands in Events.

use std::collections::{BTreeMap, BTreeSet};

use agent_sandbox_core::action::{Action, Intent, Notice, Operation, Propagation};
use agent_sandbox_core::event::Outcome;
use agent_sandbox_core::id::{Kind, Text, Uid};
use agent_sandbox_core::names;
use agent_sandbox_core::object::{Object, Sandbox};
use agent_sandbox_core::time::Wall;

use super::known::{Known, decided_on};
use super::no_churn::has_no_room;
use super::{Checker, Class, Judgement, Property, as_pool};
use crate::api_server::Commit;
use crate::process;
use crate::step::{Fact, Sent};
use crate::store::Store;

/// EVT-001, EVT-002, EVT-005 and EVT-006: people who look for the cause of something read Events, and an Event that
/// says that something is wrong is followed by one that says that it is over.
///
/// A process that dies or steps down takes what it has not told yet with it, and what it hears afterwards.
#[derive(Clone, Debug, Default)]
pub(super) struct ToldInEvents {
    /// Processes that lead.
    leaders: BTreeSet<u8>,
    /// Claims that are there.
    claims: BTreeSet<Uid>,
    /// Process and claim, and in which words it is to be told → what it has done and not told yet.
    untold: BTreeMap<(u8, Uid, String), Intent>,
    /// Process, claim and reason → what is to be told, of all that it has done since it runs.
    words: BTreeMap<(u8, Uid, &'static str), BTreeSet<String>>,
    /// Process and pool → what is wrong, as it has told last.
    warned: BTreeMap<(u8, Uid), Notice>,
    /// Process and name → Events that it knows to be there.
    named: BTreeSet<(u8, Text)>,
    /// Process and sandbox → since when it had several Pods, as often as the process has written that on it; and the names of
    /// the Events about it.
    several: BTreeMap<(u8, Uid), (BTreeSet<Wall>, BTreeSet<Text>)>,
}

impl ToldInEvents {
    fn forget(&mut self, process: u8) {
        self.leaders.remove(&process);
        self.untold.retain(|(whose, ..), _| *whose != process);
        self.warned.retain(|(whose, _), _| *whose != process);
        self.named.retain(|(whose, _)| *whose != process);
    }

    /// A name that is taken is an Event that is there already: a second one under it is lost.
    ///
    /// What is told of a sandbox has its name from what it is about, so that it is there once.
    fn lost(&self, process: u8, notice: &Notice) -> Option<String> {
        let is_lost =
            notice.regarding.kind != Kind::Sandbox && self.named.contains(&(process, notice.name.clone()));
        is_lost.then(|| {
            let (who, name) = (process::name(process), &notice.regarding.key.name);
            format!(
                "{who} writes Event {} of {name} under the name of one that it has written",
                notice.reason
            )
        })
    }

    /// What is told once that a sandbox has several Pods is not told again, whatever else is written on it (SEVT-001).
    fn told_twice(&mut self, process: u8, notice: &Notice) -> Option<String> {
        let sandbox = notice.regarding.uid.filter(|_| &*notice.reason == names::MULTIPLE_PODS)?;
        let (times, names) = self.several.get_mut(&(process, sandbox))?;
        names.insert(notice.name.clone());
        (names.len() > times.len()).then(|| {
            let (who, name) = (process::name(process), &notice.regarding.key.name);
            format!("{who} writes another Event that sandbox {name} has several Pods, which has not changed")
        })
    }

    /// EVT-001 to EVT-006: people look for these words, and alerts are for warnings.
    fn wrong(&self, process: u8, notice: &Notice) -> Option<String> {
        let uid = notice.regarding.uid?;
        let is_right = match notice.regarding.kind {
            Kind::Claim => {
                let mut known = self.words.iter().filter(|((whose, claim, reason), _)| {
                    *whose == process && [uid, Uid::default()].contains(claim) && **reason == *notice.reason
                });
                !notice.warning && known.any(|(_, words)| words.contains(&*notice.note))
            }
            Kind::Pool => {
                let is_bad = &*notice.reason == "WarmPoolNotProgressing";
                notice.warning == is_bad && (!is_bad || says_why(&notice.note))
            }
            Kind::Template
            | Kind::Sandbox
            | Kind::Pod
            | Kind::Service
            | Kind::VolumeClaim
            | Kind::NetworkPolicy => true,
        };
        let (who, name) = (process::name(process), &notice.regarding.key.name);
        let kind = if notice.warning { "warning" } else { "Event" };
        let (reason, note) = (&notice.reason, &notice.note);
        (!is_right).then(|| format!("{who} writes {kind} {reason} of {name}, {note:?}, which is not so"))
    }

    fn on_notice(&mut self, process: u8, notice: &Notice) {
        let Some(uid) = notice.regarding.uid else { return };
        match notice.regarding.kind {
            Kind::Claim => _ = self.untold.remove(&(process, uid, (*notice.note).to_owned())),
            Kind::Pool if notice.warning => _ = self.warned.insert((process, uid), notice.clone()),
            Kind::Pool => _ = self.warned.remove(&(process, uid)),
            Kind::Template
            | Kind::Sandbox
            | Kind::Pod
            | Kind::Service
            | Kind::VolumeClaim
            | Kind::NetworkPolicy => {}
        }
    }
}

impl Checker for ToldInEvents {
    fn property(&self) -> Property {
        Property {
            name: "told-in-events",
            about: "who serves or ends a claim, or finds several Pods of a sandbox, writes an Event that says so, once, and who has warned about a pool says when that is over",
            class: Class::Liveness,
        }
    }

    fn heeds(&self, commit: &Commit) -> bool {
        commit.object().kind() == Kind::Claim
    }

    fn on_commit(&mut self, commit: &Commit, _store: &Store) -> Judgement {
        let claim = commit.object().uid();
        if commit.new.is_none() {
            self.claims.remove(&claim);
        } else {
            self.claims.insert(claim);
        }
        Judgement::Silent
    }

    fn on_action(&mut self, sent: &Sent, store: &Store) -> Judgement {
        if let Operation::Notify(notice) = &*sent.action.operation {
            self.on_notice(sent.process, notice);
            let wrong = self.lost(sent.process, notice).or_else(|| self.wrong(sent.process, notice));
            let twice = self.told_twice(sent.process, notice);
            return Judgement::unless_broken(wrong.or(twice));
        }
        told_before(sent, store).map_or(Judgement::Silent, Judgement::Broken)
    }

    fn judges_decisions(&self) -> bool {
        true
    }

    fn on_decision(&mut self, sent: &Sent, known: &Known, store: &Store) -> Judgement {
        let Operation::Notify(notice) = &*sent.action.operation else { return Judgement::Silent };
        let wrong = miscounted(sent.process, notice, known, store);
        let who = process::name(sent.process);
        wrong.map_or(Judgement::Silent, |wrong| Judgement::Broken(format!("{who} writes {wrong}")))
    }

    fn on_fact(&mut self, fact: &Fact) {
        if let Fact::Answered { process, action, outcome: Outcome::Done(Object::Sandbox(sandbox)) } = fact
            && let Some(since) = has_several(sandbox).filter(|_| action.intent == Intent::SetSandboxStatus)
        {
            self.several.entry((*process, sandbox.meta.uid)).or_default().0.insert(since);
        }
        if let Fact::Answered { process, action, outcome: outcome @ (Outcome::Done(_) | Outcome::Accepted) } =
            fact
            && let Some((claim, reason)) = news(action, outcome).or_else(|| unnamed(action))
        {
            self.words.entry((*process, claim, reason)).or_default().extend(words(action));
        }
        match fact {
            Fact::Answered { process, action, outcome: Outcome::Accepted | Outcome::AlreadyExists }
                if action.intent == Intent::Notify =>
            {
                if let Operation::Notify(notice) = &*action.operation {
                    self.named.insert((*process, notice.name.clone()));
                }
            }
            Fact::Answered { process, action, outcome: outcome @ (Outcome::Done(_) | Outcome::Accepted) }
                if self.leaders.contains(process) =>
            {
                // Of a claim that is gone only its end is told, which is why it is.
                let is_end = action.intent == Intent::DeleteClaim;
                let told = news(action, outcome).filter(|(claim, _)| is_end || self.claims.contains(claim));
                let told = told.zip(words(action));
                let told = told.map(|((claim, _), words)| ((*process, claim, words), action.intent));
                self.untold.extend(told);
            }
            // It may come to the same moment again, and tell of the same thing.
            Fact::CalendarSet(process) => self.named.retain(|(whose, _)| whose != process),
            Fact::Leading { process, .. } => {
                self.named.retain(|(whose, _)| whose != process);
                self.leaders.insert(*process);
            }
            Fact::Deposed { process, .. } => self.forget(*process),
            Fact::Crashed { process, .. } => {
                self.forget(*process);
                self.several.retain(|(whose, _), _| whose != process);
                self.words.retain(|(whose, ..), _| whose != process);
            }
            Fact::Answered { .. }
            | Fact::Committed(_)
            | Fact::Sent(_)
            | Fact::Handled(_)
            | Fact::Ran(_)
            | Fact::Listed(..)
            | Fact::Relisted { .. }
            | Fact::WatchLost(..)
            | Fact::Started(_)
            | Fact::Shown { .. } => {}
        }
    }

    fn at_rest(&mut self, store: &Store) -> Judgement {
        if let Some(((process, _, words), intent)) = self.untold.first_key_value() {
            let who = process::name(*process);
            return Judgement::Broken(format!("{who} has done {intent:?} and written no Event {words:?}"));
        }
        let is_untold = |((process, _), (times, names)): &(&(u8, Uid), &(BTreeSet<_>, BTreeSet<_>))| {
            names.len() < times.len() && self.leaders.contains(process)
        };
        if let Some(((process, _), _)) = self.several.iter().find(is_untold) {
            let who = process::name(*process);
            return Judgement::Broken(format!(
                "{who} has seen several Pods of a sandbox and written no Event"
            ));
        }
        // A pool that has lost its template makes no progress.
        let goes_on = |pool| {
            let pool = as_pool(store.find(Kind::Pool, pool))?;
            store.get(Kind::Template, &pool.meta.key.sibling(pool.template.clone()))
        };
        let mut warned = self.warned.iter().filter(|((_, pool), _)| goes_on(*pool).is_some());
        Judgement::unless_broken(warned.next().map(|((process, _), notice)| {
            let (who, name) = (process::name(*process), &notice.regarding.key.name);
            format!("{who} has written Event {} of pool {name}, and not that it is over", notice.reason)
        }))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

/// Returns since when a sandbox says that it has several Pods.
fn has_several(sandbox: &Sandbox) -> Option<Wall> {
    let ready = sandbox.status.condition(names::READY)?;
    (&*ready.reason == names::MULTIPLE_PODS).then_some(ready.changed)
}

/// Returns what is wrong where news are made of what a claim has said before: that its time is over.
fn told_before(sent: &Sent, store: &Store) -> Option<String> {
    let claim = decided_on(&sent.action, store).filter(|_| sent.action.intent == Intent::MarkExpired)?;
    let ready =
        claim.status.condition(names::READY).filter(|ready| &*ready.reason == names::CLAIM_EXPIRED)?;
    let (who, name) = (process::name(sent.process), &claim.meta.key.name);
    let since = ready.observed;
    Some(format!("{who} tells again that claim {name} has expired, which it says since generation {since}"))
}

/// Returns of which claim an Event must tell what has been done, and its reason.
fn news(action: &Action, outcome: &Outcome) -> Option<(Uid, &'static str)> {
    let reasons = [
        (Intent::AdoptSandbox, "SandboxAdopted"),
        (Intent::CreateClaimSandbox, "SandboxProvisioned"),
        (Intent::MarkExpired, names::CLAIM_EXPIRED),
        (Intent::DeleteClaim, names::CLAIM_EXPIRED),
    ];
    let (_, reason) = reasons.into_iter().find(|(intent, _)| *intent == action.intent)?;
    let claim = match (&*action.operation, outcome) {
        (Operation::Delete { target, .. }, _) => target.uid,
        (_, Outcome::Done(Object::Claim(claim))) => Some(claim.meta.uid),
        (_, Outcome::Done(object)) => object.meta().owner_of_kind(Kind::Claim),
        (_, _) => None,
    };
    Some((claim?, reason))
}

/// Returns nobody's uid and the reason for a delete that does not say whom it means.
fn unnamed(action: &Action) -> Option<(Uid, &'static str)> {
    let Operation::Delete { target, .. } = &*action.operation else { return None };
    (action.intent == Intent::DeleteClaim && target.uid.is_none())
        .then(|| (Uid::default(), names::CLAIM_EXPIRED))
}

/// Returns in which words an Event tells of what has been done.
fn words(action: &Action) -> Option<String> {
    let name = &*action.operation.key().name;
    let words = [
        (Intent::AdoptSandbox, format!("Adopted warm pool Sandbox {name:?}")),
        (Intent::CreateClaimSandbox, format!("Created Sandbox {name:?}")),
        (Intent::MarkExpired, "Claim expired".to_owned()),
    ];
    if let Operation::Delete { propagation, .. } = &*action.operation {
        let policy = if *propagation == Propagation::Foreground { "DeleteForeground" } else { "Delete" };
        return Some(format!("Deleting Claim (ShutdownPolicy={policy})"));
    }
    words.into_iter().find(|(intent, _)| *intent == action.intent).map(|(_, words)| words)
}

/// Returns what is wrong with a warning that no node has room for so many of so many members, as far as its process knows the
/// pool and all that is in it.
fn miscounted(process: u8, notice: &Notice, known: &Known, store: &Store) -> Option<String> {
    let (due, wanted) = notice.note.split_once(" sandboxes are unschedulable")?.0.split_once('/')?;
    let object = store.find(Kind::Pool, notice.regarding.uid?)?;
    let pool = as_pool(Some(object)).filter(|_| known.sees(process, object))?;
    let name = &pool.meta.key.name;
    if wanted != pool.replicas.to_string() {
        return Some(format!("that pool {name} wants {wanted} members, which wants {}", pool.replicas));
    }
    let members = || store.owned_by(Kind::Sandbox, pool.meta.uid);
    let is_known = known.knows_children(process, pool.meta.uid, Kind::Sandbox)
        && members().all(|member| known.knows_whole(process, member, store));
    let waits = |member: &&Object| {
        let mut pods = store.owned_by(Kind::Pod, member.uid()).filter_map(Object::as_pod);
        !member.meta().terminating && pods.next().is_some_and(has_no_room) && pods.next().is_none()
    };
    let most = members().filter(waits).count();
    let is_right = due.parse().is_ok_and(|due: usize| (1..=most).contains(&due));
    (is_known && !is_right)
        .then(|| format!("that no node has room for {due} members of pool {name}: it knows of {most}"))
}

/// Returns whether a note says why a pool makes no progress: there is no room for its members, or the server's reason.
fn says_why(note: &str) -> bool {
    let why = note.split_once("the API server refuses to create more: ").map(|(_, why)| why);
    note.contains("unschedulable") || why.is_some_and(|why| !why.is_empty())
}
