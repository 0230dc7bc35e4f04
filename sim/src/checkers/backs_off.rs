//! Whoever fails waits before trying again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use agent_sandbox_core::action::{Action, Intent, Operation};
use agent_sandbox_core::event::{Outcome, Refusal};
use agent_sandbox_core::id::{Key, Kind, Uid};
use agent_sandbox_core::object::{Object, OwnerKind};
use agent_sandbox_core::time::Mono;

use super::{Checker, Class, Judgement, Property};
use crate::api_server::{Commit, Seen, Writer};
use crate::process;
use crate::step::{Fact, Sent};
use crate::store::Store;

/// How long one looks back.
const SPAN: Duration = Duration::from_secs(10);

/// How often one thing may fail in that time.
///
/// Source: who waits twice as long each time, from 50 ms on and up to a half less, fails some nine times in ten seconds, and
/// begins anew when something has changed, which users do up to six times. Who does not wait any longer fails two hundred times.
const MOST: usize = 60;

/// How long one waits at least with what the server has refused for good.
///
/// Source: the longest back-off, 30 s, and a little less.
const REFUSED_FOR: Duration = Duration::from_secs(25);

/// How often one thing may be asked for in that time, however it is answered.
///
/// Source: what is written of one object follows the cluster, which changes it a few times a second at most. Who looks again
/// because of the answer to a look does so a thousand times.
const MOST_ASKED: u32 = 100;

/// How often one thing may be made in that time for somebody who is gone.
///
/// Source: who has not seen somebody go makes it once, and once more where that was decided before it was seen to go. Where
/// answers are lost it is repeated as what fails is, some nine times. Who makes it as often as it is collected does so a
/// hundred times in a second.
const MOST_IN_VAIN: usize = 12;

/// INV-28: what fails is tried again later and later, however it fails.
#[derive(Clone, Debug, Default)]
pub(super) struct BacksOff {
    now: Mono,
    /// What a process has tried → when that has failed, since there was a better answer.
    failed: BTreeMap<Slot, VecDeque<Mono>>,
    /// What the server has put off → until when.
    put_off: BTreeMap<Slot, Mono>,
    /// Process and pool → until when the server does not want to be asked for another member of it.
    members_put_off: BTreeMap<(u8, Uid), Mono>,
    /// Process and name → members that it has asked for: to ask for one again is to repeat what may be there.
    members: BTreeSet<(u8, Key)>,
    /// What the server holds for invalid, or has no place for any more → until when it is not to be asked again.
    refused: BTreeMap<Slot, (Mono, Action)>,
    /// Which process has asked for something last.
    asks: Option<u8>,
    /// Of what it asks for something, since it alone does that → since when, and how often since then.
    asked: BTreeMap<(Kind, Key), (Mono, u32)>,
    /// What a process has made for somebody who was gone → when.
    in_vain: BTreeMap<(u8, Uid, Kind, Key), VecDeque<Mono>>,
}

/// Which process asks for what of which object, and for the sake of which.
type Slot = (u8, Intent, Kind, Key, Option<Uid>);

impl BacksOff {
    /// Returns what is wrong with a request that the server has put off, if it comes too soon.
    fn hasty(&self, slot: &Slot, sent: &Sent) -> Option<String> {
        let until = self.put_off.get(slot).filter(|until| self.now < **until)?;
        let (who, what) = (process::name(sent.process), sent.action.intent);
        let (name, left) = (&sent.action.operation.key().name, until.since(self.now));
        Some(format!("{who} asks for {what:?} of {name} again, {left:?} before the server wants to be asked"))
    }

    /// Returns what is wrong with a request for another member of a pool, if the server has put off one of them: whatever it has
    /// answered since to others that were under way.
    fn impatient(&mut self, sent: &Sent) -> Option<String> {
        let Operation::Create(member) = &*sent.action.operation else { return None };
        let pool = subject(&sent.action.operation).filter(|_| sent.action.intent == Intent::CreateMember)?;
        let is_new = self.members.insert((sent.process, member.key().clone()));
        let until = self.members_put_off.get(&(sent.process, pool)).filter(|until| self.now < **until)?;
        let (who, name, left) = (process::name(sent.process), &member.key().name, until.since(self.now));
        let wrong =
            format!("{who} asks for member {name}, {left:?} before the server wants to be asked for another");
        is_new.then_some(wrong)
    }

    /// Notes that a process asks for something, and returns what is wrong if it does that over and over. Two that lead at once
    /// may know different things, and take back what the other does.
    fn restless(&mut self, sent: &Sent) -> Option<String> {
        let operation = &*sent.action.operation;
        let name = (operation.kind(), operation.key().clone());
        if self.asks.replace(sent.process).is_some_and(|last| last != sent.process) {
            self.asked.clear();
        }
        let (since, times) = self.asked.entry(name).or_insert((self.now, 0));
        if self.now.since(*since) > SPAN {
            (*since, *times) = (self.now, 0);
        }
        *times += 1;
        (*times > MOST_ASKED).then(|| {
            let (who, what) = (process::name(sent.process), sent.action.intent);
            let (kind, name) = (operation.kind(), &operation.key().name);
            format!("{who} has asked for something of {kind} {name} {times} times within {SPAN:?}, now for {what:?}")
        })
    }

    /// Notes what a process has made for somebody who is gone, and returns what is wrong if that was done too often.
    fn vain(&mut self, commit: &Commit, store: &Store) -> Option<String> {
        let Some(Writer::Process { process, .. }) = commit.by else { return None };
        let made = commit.new.as_ref().filter(|_| commit.old.is_none())?;
        let owner = made.meta().owner.as_ref()?;
        let OwnerKind::Known(kind) = owner.kind else { return None };
        if store.find(kind, owner.uid).is_some() {
            return None;
        }
        let slot = (process, owner.uid, made.kind(), made.key().clone());
        let times = self.in_vain.entry(slot).or_default();
        times.push_back(self.now);
        while times.front().is_some_and(|at| self.now.since(*at) > SPAN) {
            times.pop_front();
        }
        (times.len() > MOST_IN_VAIN).then(|| {
            let (who, name) = (process::name(process), &made.key().name);
            let (what, owner) = (made.kind(), &owner.name);
            format!(
                "{who} has made {what} {name} {} times within {SPAN:?} for {kind} {owner}, which is gone",
                times.len()
            )
        })
    }

    /// Returns what is wrong with a request that the server has refused for good, if it is the same and comes soon. What was
    /// asked for otherwise meanwhile, or has been there, is asked for anew.
    fn stubborn(&mut self, slot: &Slot, sent: &Sent) -> Option<String> {
        let (until, refused) = self.refused.get(slot)?;
        if self.now >= *until || refused.operation != sent.action.operation {
            self.refused.remove(slot);
            return None;
        }
        let (who, what) = (process::name(sent.process), sent.action.intent);
        let name = &sent.action.operation.key().name;
        Some(format!("{who} asks for {what:?} of {name} again, which the server has just refused for good"))
    }

    /// Forgets what the server refused to a process that has seen since that it was there, or went.
    fn take_back(&mut self, seen: u8, object: &Object) {
        let (meta, kind) = (object.meta(), object.kind());
        let owner = meta.owner.as_ref().map(|owner| owner.uid);
        self.refused.retain(|(whose, _, about, name, subject), _| {
            (*whose, *about) != (seen, kind) || *name != meta.key && (subject.is_none() || *subject != owner)
        });
    }

    /// Forgets what a process was asked to wait for: the next does not know.
    fn forget(&mut self, process: u8) {
        self.put_off.retain(|(whose, ..), _| *whose != process);
        self.members_put_off.retain(|(whose, _), _| *whose != process);
        self.in_vain.retain(|(whose, ..), _| *whose != process);
        self.asks = None;
        self.asked.clear();
        self.refused.retain(|(whose, ..), _| *whose != process);
    }
}

impl Checker for BacksOff {
    fn property(&self) -> Property {
        Property {
            name: "backs-off",
            about: "nothing is asked for over and over, least of all what fails each time or goes at once, nor before the server wants to be asked",
            class: Class::Safety,
        }
    }

    fn on_clock(&mut self, at: Mono) {
        self.now = at;
    }

    fn on_commit(&mut self, commit: &Commit, store: &Store) -> Judgement {
        self.vain(commit, store).map_or(Judgement::Silent, Judgement::Broken)
    }

    fn on_action(&mut self, sent: &Sent, _store: &Store) -> Judgement {
        let slot = slot(sent.process, &sent.action);
        let hasty = self.hasty(&slot, sent).or_else(|| self.stubborn(&slot, sent));
        let hasty = hasty.or_else(|| self.impatient(sent));
        if let Some(wrong) = hasty.or_else(|| self.restless(sent)) {
            return Judgement::Broken(wrong);
        }
        let Some(failed) = self.failed.get_mut(&slot) else { return Judgement::Silent };
        while failed.front().is_some_and(|at| self.now.since(*at) > SPAN) {
            failed.pop_front();
        }
        Judgement::unless_broken((failed.len() > MOST).then(|| {
            let (who, what) = (process::name(sent.process), sent.action.intent);
            let name = &sent.action.operation.key().name;
            format!(
                "{who} asks for {what:?} of {name}, which has failed {} times within {SPAN:?}",
                failed.len()
            )
        }))
    }

    fn on_fact(&mut self, fact: &Fact) {
        if let Fact::Leading { process, .. } | Fact::Deposed { process, .. } | Fact::Crashed { process, .. } =
            fact
        {
            self.forget(*process);
        }
        if let Fact::Shown { process, line: Some(Seen::Applied(object) | Seen::Deleted(object)), .. } = fact {
            self.take_back(*process, object);
        }
        if let Fact::Relisted { process, kind, .. } = fact {
            self.refused.retain(|(whose, _, about, ..), _| (whose, about) != (process, kind));
        }
        let Fact::Answered { process, action, outcome } = fact else { return };
        let slot = slot(*process, action);
        if let (Outcome::Throttled(delay), Intent::CreateMember) = (outcome, action.intent)
            && let Some(pool) = subject(&action.operation)
        {
            let until = self.members_put_off.entry((*process, pool)).or_default();
            *until = (*until).max(self.now + *delay);
        }
        if let Outcome::Throttled(delay) = outcome
            && is_of_one_kind(action.intent)
        {
            self.put_off.insert(slot.clone(), self.now + *delay);
        } else if matches!(outcome, Outcome::Done(_) | Outcome::Accepted) {
            // The server has time again for objects of this kind, whichever it is about.
            let kind = action.operation.kind();
            if kind == Kind::Sandbox {
                self.members_put_off.retain(|(whose, _), _| whose != process);
            }
            self.put_off.retain(|(whose, _, about, ..), _| (*whose, *about) != (*process, kind));
            let key = action.operation.key();
            self.refused
                .retain(|(whose, _, about, name, _), _| (*whose, *about, name) != (*process, kind, key));
        }
        if let Outcome::Refused(Refusal::Invalid(_) | Refusal::NamespaceEnding(_)) = outcome
            && has_one_part(action.intent)
        {
            self.refused.insert(slot.clone(), (self.now + REFUSED_FOR, action.clone()));
        }
        let is_create = matches!(*action.operation, Operation::Create(_));
        match outcome {
            // Nobody holds the name, so there is nothing to decide by.
            Outcome::Conflict if is_create => self.failed.entry(slot).or_default().push_back(self.now),
            Outcome::Throttled(_) | Outcome::Refused(_) | Outcome::Unknown => {
                self.failed.entry(slot).or_default().push_back(self.now);
            }
            // Each of these says how things are, and what to decide by.
            Outcome::Done(_)
            | Outcome::Accepted
            | Outcome::Conflict
            | Outcome::AlreadyExists
            | Outcome::NotFound => _ = self.failed.remove(&slot),
        }
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

fn slot(process: u8, action: &Action) -> Slot {
    let operation = &*action.operation;
    (process, action.intent, operation.kind(), operation.key().clone(), subject(operation))
}

/// Returns the object for whose sake something is asked: who is made for another is asked for anew.
fn subject(operation: &Operation) -> Option<Uid> {
    match operation {
        Operation::Create(object) => object.meta().owner.as_ref().map(|owner| owner.uid),
        Operation::Patch(patch) => patch.target.uid,
        Operation::Delete { target, .. } => target.uid,
        Operation::Notify(notice) => notice.regarding.uid,
        Operation::Get { .. } => None,
    }
}

/// Returns whether there is one reason only for which this is asked of an object, and one object for whose sake: who has
/// another one has not been put off.
fn is_of_one_kind(intent: Intent) -> bool {
    let such = [
        Intent::CreateClaimSandbox,
        Intent::CreateNetworkPolicy,
        Intent::CreatePod,
        Intent::CreateService,
        Intent::CreateVolumeClaim,
        Intent::LabelPod,
        Intent::LabelTemplate,
        Intent::NamePod,
        Intent::Look,
        Intent::SetPoolStatus,
        Intent::SetSandboxStatus,
        Intent::StampFirstReady,
    ];
    such.contains(&intent)
}

/// Returns whether this makes something of which an object has one: where it has several, the others make it try again.
fn has_one_part(intent: Intent) -> bool {
    [Intent::CreateClaimSandbox, Intent::CreatePod, Intent::CreateService].contains(&intent)
}
