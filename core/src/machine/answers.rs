//! What becomes of an action, and what follows from it.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use super::{Cooling, Machine, NOTICES_MAX, TimeoutReason};
use crate::action::{Intent, Notice, Operation, Propagation, Target};
use crate::agenda::{Item, Urgency};
use crate::event::{Outcome, Refusal};
use crate::id::{ActionId, Key, Kind, Uid, Version};
use crate::ledger::{Bar, Draft, Hold, Look, Lost, Purpose, Sent, Stage, held};
use crate::mutant::Mutant;
use crate::names;
use crate::object::{Object, Sandbox};
use crate::rules::RULES;
use crate::shared::Shared;
use crate::time::Mono;
use crate::wishes::ClaimShutdownPolicy;

impl Machine {
    pub(super) fn on_action_done(&mut self, id: ActionId, outcome: Outcome) {
        let Some(sent) = self.state.ledger.sent.remove(&id) else { return };
        let outcome = self.misread(&sent.purpose, outcome);
        match &*sent.purpose.operation.clone() {
            Operation::Create(object) => {
                self.on_create_done(object.kind(), object.key().clone(), sent, outcome)
            }
            Operation::Patch(_) | Operation::Delete { .. } => self.on_write_done(sent, outcome),
            Operation::Get { kind, key } => self.on_look_done(*kind, key, &sent, outcome),
            Operation::Notify(_) => {}
        }
        self.schedule_notices();
    }

    pub(super) fn schedule_notices(&mut self) {
        if !self.state.notices.is_empty() {
            self.agenda.add(Item::Notice, Urgency::Background);
        }
    }

    pub(super) fn on_create_done(&mut self, kind: Kind, key: Key, sent: Sent, outcome: Outcome) {
        let slot = (kind, key);
        let subject = sent.purpose.subject;
        let Some(mut draft) = self.state.ledger.drafts.remove(&slot) else { return };
        let name = slot.clone();
        match outcome {
            Outcome::Done(object) => {
                self.succeeded(&sent.purpose);
                self.state.ledger.refused.remove(&(subject, slot.0));
                draft.stage = Stage::Ghost;
                self.keep_draft(slot, draft);
                self.observe_own(&object);
                self.announce(&sent.purpose, Some(&object));
            }
            Outcome::AlreadyExists | Outcome::Conflict | Outcome::Unknown if draft.landed => {
                // Seen already. Where an earlier attempt was lost too, one of the two may still land.
                draft.stage = Stage::Ghost;
                if draft.lost > 0 && outcome == Outcome::Unknown {
                    draft.ghost_until =
                        Some(self.now.mono + self.config.write_timeout + self.config.write_margin);
                }
                self.keep_draft(slot, draft);
            }
            Outcome::AlreadyExists => {
                draft.stage = Stage::Taken;
                let urgency = sent.purpose.urgency;
                self.state.ledger.drafts.insert(slot.clone(), draft);
                self.agenda.add(Item::look(slot.0, slot.1), urgency);
            }
            Outcome::Unknown if !self.has(Mutant::LostAnswerIsFailure) => {
                draft.lost += 1;
                let limit = self.config.write_timeout + self.config.write_margin;
                draft.ghost_until = Some(self.now.mono + limit);
                draft.stage = Stage::Unsettled(self.now.mono + self.backoff(draft.lost));
                self.keep_draft(slot, draft);
            }
            Outcome::Refused(refusal) => {
                self.note_refusal(&slot, &sent.purpose, &refusal);
                // The rule decides again, for what it is made from may change; an earlier attempt may have landed.
                draft.stage = Stage::Ghost;
                self.keep_draft(slot, draft);
            }
            // A conflict is about something else than the name, as when two creates count against one quota at a time.
            Outcome::Accepted
            | Outcome::Conflict
            | Outcome::NotFound
            | Outcome::Throttled(_)
            | Outcome::Unknown => {
                let delay = self.failed(&sent.purpose, &outcome);
                // This attempt did not happen, but an earlier one may have. What was seen is not made again.
                draft.stage = if draft.ghost_until.is_some() && !draft.landed {
                    Stage::Unsettled(self.now.mono + delay)
                } else {
                    Stage::Ghost
                };
                self.keep_draft(slot, draft);
            }
        }
        self.state.draft_changed(&name, subject);
    }

    /// Keeps why the server refuses a create, for the user who waits for it and for a pool's owner, and what it refused.
    fn note_refusal(&mut self, slot: &(Kind, Key), purpose: &Purpose, refusal: &Refusal) {
        let waits = purpose.rule.map(|rule| (rule, purpose.subject));
        let put_off = waits.and_then(|waits| self.cooling.get(&waits)).map(|cooling| cooling.until);
        self.failed(purpose, &Outcome::Refused(refusal.clone()));
        let (Refusal::Forbidden(why) | Refusal::Invalid(why)) = refusal else { return };
        let subject = purpose.subject;
        let state = &self.state;
        let is_told = state.claims.contains_key(&subject) || state.sandboxes.contains_key(&subject);
        // Where somebody holds the name, nothing is missing; but a pool waits with all that it makes in the same way.
        let is_there = is_told && state.names.get(slot.0, &slot.1).is_some();
        if (is_told || state.pools.contains_key(&subject)) && !is_there {
            self.state.ledger.refuse(subject, slot, why, self.now.mono);
        }
        if let Some(cooling) = waits.and_then(|waits| self.cooling.get_mut(&waits)) {
            // Only this create waits for so long; whatever the server has put off waits as before.
            cooling.refused = (!is_there).then(|| (purpose.operation.clone(), cooling.until));
            cooling.until = put_off.unwrap_or_default();
        }
    }

    /// Keeps a create for as long as an attempt may still land, and arms what must happen next.
    pub(super) fn keep_draft(&mut self, slot: (Kind, Key), draft: Shared<Draft>) {
        let retry = match draft.stage {
            Stage::Unsettled(at) => Some(at),
            Stage::Sent(_) | Stage::Taken | Stage::Ghost => draft.ghost_until,
        };
        let Some(at) = retry else { return };
        if !self.is_untimed(TimeoutReason::Repeat) {
            self.agenda.arm(Item::repeat_create(slot.0, slot.1.clone()), at, TimeoutReason::Repeat);
        }
        self.state.ledger.drafts.insert(slot, draft);
    }

    pub(super) fn on_write_done(&mut self, sent: Sent, outcome: Outcome) {
        let Some((uid, base)) = held(&sent.purpose.operation, sent.purpose.subject) else { return };
        let kind = sent.purpose.operation.kind();
        self.state.ledger.holds.remove(&uid);
        if !matches!(outcome, Outcome::Done(_) | Outcome::Accepted | Outcome::NotFound) {
            self.doubt(&sent.purpose, uid);
        }
        match outcome {
            Outcome::Done(object) => {
                self.succeeded(&sent.purpose);
                if sent.purpose.is_record() {
                    self.state.ledger.barred.remove(&uid);
                }
                self.observe_own(&object);
                self.announce(&sent.purpose, Some(&object));
            }
            Outcome::Accepted | Outcome::NotFound => {
                self.succeeded(&sent.purpose);
                if outcome == Outcome::Accepted {
                    self.announce(&sent.purpose, None);
                }
                if !self.has(Mutant::OwnWriteInvisible) {
                    self.state.bury(kind, uid, None);
                }
            }
            Outcome::Conflict | Outcome::AlreadyExists => {
                let known = self.state.version(kind, uid);
                if let Some(base) = base.filter(|base| known.is_some_and(|known| known <= *base)) {
                    let (key, urgency) = (sent.purpose.operation.key().clone(), sent.purpose.urgency);
                    self.state.ledger.holds.insert(uid, Hold::Stale(base, sent.purpose));
                    self.agenda.add(Item::look(kind, key), urgency);
                }
            }
            Outcome::Unknown if !self.has(Mutant::LostAnswerIsFailure) => {
                // It is decided anew instead of repeated, so its rule must count.
                let is_anew = self.is_decided_anew(&sent.purpose.operation);
                let delay = is_anew.then(|| self.failed(&sent.purpose, &outcome));
                self.lose(uid, sent, delay);
            }
            Outcome::Throttled(_) | Outcome::Refused(_) | Outcome::Unknown => {
                let delay = if let Outcome::Refused(refusal) = &outcome
                    && sent.purpose.is_record()
                {
                    // The queue goes on without it.
                    self.bar(uid, refusal)
                } else {
                    self.failed(&sent.purpose, &outcome)
                };
                if sent.lost > 0 {
                    // This attempt did not happen, but an earlier one may have.
                    self.lose(uid, sent, Some(delay));
                }
            }
        }
        // A conflict may be that of an earlier attempt: what was promised stays until somebody has looked.
        if !matches!(self.state.ledger.holds.get(&uid), Some(Hold::Unsettled(_) | Hold::Stale(..))) {
            self.state.promise(uid, None);
        }
        self.state.hold_changed(kind, uid);
    }

    /// Keeps a write whose answer was lost, unless evidence has settled it meanwhile.
    pub(super) fn lose(&mut self, uid: Uid, sent: Sent, delay: Option<Duration>) {
        let kind = sent.purpose.operation.kind();
        let base = held(&sent.purpose.operation, uid).and_then(|held| held.1);
        if self.state.version(kind, uid).is_none_or(|known| base.is_some_and(|base| known > base)) {
            return;
        }
        let times = sent.lost + u32::from(delay.is_none());
        let retry_at = self.now.mono + delay.unwrap_or_else(|| self.backoff(times));
        if !self.is_untimed(TimeoutReason::Repeat) {
            self.agenda.arm(Item::RepeatWrite(uid), retry_at, TimeoutReason::Repeat);
        }
        self.state.ledger.holds.insert(uid, Hold::Unsettled(Lost { purpose: sent.purpose, times, retry_at }));
    }

    pub(super) fn on_look_done(&mut self, kind: Kind, key: &Key, sent: &Sent, outcome: Outcome) {
        let slot = (kind, key.clone());
        let look = self.state.ledger.looks.remove(&slot).unwrap_or_default();
        match outcome {
            Outcome::Done(object) => {
                let (uid, version) = (object.uid(), object.version());
                self.state.take_answer(&object, self.now);
                if kind == Kind::Sandbox {
                    self.state.note_presence(key, uid);
                }
                if let Object::Claim(claim) = &object {
                    self.state.condemn(uid, claim.expired().is_some());
                }
                self.state.console(uid);
                // Who relied on this read asks again: it may be older than a deletion that a watch has shown.
                self.state.touch_referrers(kind, key);
                self.after_look(&slot, Some((uid, version)));
            }
            Outcome::NotFound if look.is_outdated => self.look_again(slot, look, Duration::ZERO),
            Outcome::NotFound => {
                match self.state.names.get(kind, key) {
                    // Who held the name when the server was asked is gone, whatever a watch that lags still shows.
                    Some(holder) if look.holder == Some(holder) => self.state.bury(kind, holder, None),
                    // The answer says nothing about who has come since, and may have waited for it.
                    Some(holder) => self.state.touch(kind, holder),
                    None => {}
                }
                self.state.note_absence(kind, key);
                self.after_look(&slot, None);
            }
            Outcome::Throttled(delay) => self.look_again(slot, look, delay),
            Outcome::Accepted
            | Outcome::Conflict
            | Outcome::AlreadyExists
            | Outcome::Refused(_)
            | Outcome::Unknown => {
                let delay = self.backoff(look.failures + 1);
                self.look_again(slot, look, delay);
            }
        }
        if let Some(kind) = self.state.kind_of(sent.purpose.subject) {
            self.state.touch(kind, sent.purpose.subject);
        }
    }

    /// All who wait for a look wait on: the ledger asks again.
    fn look_again(&mut self, slot: (Kind, Key), look: Look, delay: Duration) {
        let at = self.now.mono + delay;
        self.agenda.arm(Item::look(slot.0, slot.1.clone()), at, TimeoutReason::Backoff);
        let (failures, until) = (look.failures + 1, Some(at));
        self.state.ledger.looks.insert(slot, Look { is_sent: false, failures, until, ..look });
    }

    /// What a look says about the writes that asked for it.
    pub(super) fn after_look(&mut self, slot: &(Kind, Key), found: Option<(Uid, Version)>) {
        if let Some(mut draft) = self.state.ledger.drafts.remove(slot) {
            let subject = draft.purpose.subject;
            if draft.stage == Stage::Taken {
                draft.stage = Stage::Ghost;
            }
            if draft.stage == Stage::Ghost {
                self.keep_draft(slot.clone(), draft);
            } else {
                self.state.ledger.drafts.insert(slot.clone(), draft);
            }
            self.state.draft_changed(slot, subject);
        }
        let Some(holder) = self.state.names.get(slot.0, &slot.1) else { return };
        let Some(Hold::Stale(base, refused)) = self.state.ledger.holds.get(&holder) else { return };
        match found {
            // The server refused our version and shows the same one: it was busy, not newer. Decide again, and later each
            // time.
            Some((uid, version)) if uid == holder && version == *base => {
                let refused = refused.clone();
                self.state.ledger.holds.remove(&holder);
                self.failed(&refused, &Outcome::Conflict);
                self.state.promise(holder, None);
                self.state.hold_changed(slot.0, holder);
            }
            // It was there when we wrote, and is not there now.
            None => self.state.bury(slot.0, holder, None),
            Some(_) => {}
        }
    }

    /// Own writes are visible at once: the answer is the newest version.
    pub(super) fn observe_own(&mut self, object: &Object) {
        if !self.has(Mutant::OwnWriteInvisible) {
            self.state.take_answer(object, self.now);
        }
    }

    /// The way is free again: the rule need not wait any longer, save with what the server itself has put off, or refused,
    /// and that was something else.
    pub(super) fn succeeded(&mut self, purpose: &Purpose) {
        let Some(rule) = purpose.rule else { return };
        let slot = (rule, purpose.subject);
        let Some(cooling) = self.cooling.remove(&slot) else { return };
        let (now, done) = (self.now.mono, &purpose.operation);
        let refused = cooling.refused.filter(|(it, until)| *until > now && !it.makes_the_same(done));
        let mut put_off = cooling.put_off;
        put_off.retain(|(it, until)| *until > now && !it.is_to_the_same(done));
        if refused.is_some() || !put_off.is_empty() {
            let refusals = if refused.is_some() { cooling.refusals } else { 0 };
            // Which object comes next follows from which are being written, and nobody is woken when that changes.
            let writes = put_off.iter().filter(|(it, _)| !matches!(**it, Operation::Create(_)));
            let until = writes.map(|(_, until)| *until).max().unwrap_or_default();
            self.cooling.insert(slot, Cooling { failures: 0, refusals, until, refused, put_off });
        }
        let item = Item::Rule(rule, purpose.subject);
        let urgency = self.urgency(&item);
        self.agenda.add(item, urgency);
    }

    /// Lets who waits because a create was refused try again: what the server took from anybody it may take from them, and they
    /// do not say any more why they wait.
    pub(super) fn free(&mut self, subject: Uid, kind: Kind) {
        for (_, rule, ..) in RULES {
            if let Some(cooling) = self.cooling.get_mut(&(*rule, subject))
                && cooling.refused.as_ref().is_some_and(|(refused, _)| refused.kind() == kind)
            {
                cooling.refused = None;
            }
        }
    }

    /// Notes a failure and returns how long to wait.
    pub(super) fn failed(&mut self, purpose: &Purpose, outcome: &Outcome) -> Duration {
        let Some(rule) = purpose.rule else { return self.config.backoff_min };
        let slot = (rule, purpose.subject);
        let is_invalid = matches!(outcome, Outcome::Refused(Refusal::Invalid(_)));
        let before = self.cooling.get(&slot);
        // What was under way together counts once: nothing is sent while the rule waits.
        let is_counted = before.is_some_and(|cooling| cooling.last() > self.now.mono);
        let (failures, refusals) = before.map_or((0, 0), |cooling| (cooling.failures, cooling.refusals));
        let failures = failures + u32::from(!is_counted);
        let refusals = refusals + u32::from(is_invalid && !(is_counted && refusals > 0));
        let delay = match outcome {
            Outcome::Throttled(delay) => *delay,
            // Until the object changes; and now and then, since what is wrong may be elsewhere.
            Outcome::Refused(Refusal::Invalid(_)) => {
                let doubled = self.config.backoff_max.saturating_mul(1 << (refusals - 1).min(4));
                doubled.min(self.config.backoff_max * 10)
            }
            // The namespace will not be back, and what is in it is being deleted.
            Outcome::Refused(Refusal::NamespaceEnding(_)) => self.config.backoff_max * 10,
            Outcome::Refused(Refusal::Forbidden(_))
            | Outcome::Unknown
            | Outcome::Done(_)
            | Outcome::Accepted
            | Outcome::Conflict
            | Outcome::AlreadyExists
            | Outcome::NotFound => self.backoff(failures),
        };
        // No rule looks at what is gone, so nothing would take its failures away.
        let Some(kind) = self.state.kind_of(purpose.subject) else { return delay };
        // Another answer to the same rule does not make it come sooner.
        let until = before.map_or(Mono::default(), |cooling| cooling.until).max(self.now.mono + delay);
        let refused = before.and_then(|cooling| cooling.refused.clone());
        let mut put_off = before.map_or_else(Vec::new, |cooling| cooling.put_off.clone());
        put_off.retain(|(_, until)| *until > self.now.mono);
        if let Outcome::Throttled(_) = outcome {
            put_off.push((purpose.operation.clone(), self.now.mono + delay));
        }
        self.cooling.insert(slot, Cooling { failures, refusals, until, refused, put_off });
        self.state.touch(kind, purpose.subject);
        delay
    }

    /// Takes a claim on which nothing can be recorded out of its queue for a while, and returns for how long.
    fn bar(&mut self, claim: Uid, refusal: &Refusal) -> Duration {
        let failures = self.state.ledger.barred.get(&claim).map_or(0, |bar| bar.failures) + 1;
        let delay = match refusal {
            Refusal::Forbidden(_) => self.backoff(failures),
            Refusal::Invalid(_) | Refusal::NamespaceEnding(_) => self.config.backoff_max,
        };
        // One that has gone meanwhile stands in no queue.
        if self.state.claims.contains_key(&claim) {
            let until = self.now.mono + delay;
            self.state.ledger.barred.insert(claim, Bar { failures, until: Some(until) });
            self.agenda.arm(Item::Unbar(claim), until, TimeoutReason::Backoff);
        }
        delay
    }

    /// Doubles with each failure, spread by up to a half so that many do not come back together.
    pub(super) fn backoff(&self, failures: u32) -> Duration {
        let failures = if self.has(Mutant::NeverBacksOff) { 1 } else { failures };
        let doubled = self.config.backoff_min.saturating_mul(1 << failures.saturating_sub(1).min(16));
        let capped = doubled.min(self.config.backoff_max);
        let jitter =
            names::mix(self.term.unwrap_or(0), self.state.ledger.sent.len() as u64, u64::from(failures))
                % 512;
        capped + capped * u32::try_from(jitter).unwrap_or(0) / 1024
    }

    /// Queues the Kubernetes Event that tells what an action has done; `object` is what came of it.
    pub(super) fn announce(&mut self, purpose: &Purpose, object: Option<&Object>) {
        if let (Intent::SetSandboxStatus, Some(Object::Sandbox(sandbox))) = (purpose.intent, object) {
            return self.announce_conflict(sandbox);
        }
        if purpose.intent == Intent::AdoptSandbox && self.has(Mutant::TellsNoEvent) {
            return;
        }
        let key = purpose.operation.key();
        let (reason, action, note) = if purpose.intent == Intent::AdoptSandbox {
            ("SandboxAdopted", "Adoption", format!("Adopted warm pool Sandbox {:?}", &*key.name))
        } else if purpose.intent == Intent::CreateClaimSandbox {
            ("SandboxProvisioned", "Provisioning", format!("Created Sandbox {:?}", &*key.name))
        } else if purpose.intent == Intent::MarkExpired {
            (names::CLAIM_EXPIRED, "Claim Expired", "Claim expired".to_owned())
        } else if purpose.intent == Intent::DeleteClaim {
            (names::CLAIM_EXPIRED, "Deleting", format!("Deleting Claim (ShutdownPolicy={})", policy(purpose)))
        } else {
            return;
        };
        // A watch may have shown already that the claim is gone which this is about.
        let key = match self.state.claims.get(&purpose.subject) {
            Some(entry) => entry.claim.meta.key.clone(),
            None if purpose.intent == Intent::DeleteClaim => key.clone(),
            None => return,
        };
        if !self.config.claim_events || self.state.notices.len() >= NOTICES_MAX {
            return;
        }
        let claim = purpose.subject;
        let (uid, version) = object.map_or((claim, Version(0)), |object| (object.uid(), object.version()));
        let suffix = notice_suffix(claim, uid, version, purpose.intent);
        self.state.notices.push_back(Notice {
            name: format!("{}.{suffix:016x}", key.name).into(),
            regarding: Target { kind: Kind::Claim, key, uid: Some(claim) },
            warning: false,
            reporter: names::CLAIM_REPORTER.into(),
            reason: reason.into(),
            action: action.into(),
            note: note.into(),
        });
    }

    /// Queues the Kubernetes Event that tells that a sandbox has several Pods (SEVT-001, SEVT-002).
    ///
    /// Its name follows from what it is about, so that another status of the same sandbox tells nothing new.
    fn announce_conflict(&mut self, sandbox: &Sandbox) {
        let ready = sandbox.status.condition(names::READY);
        let Some(ready) = ready.filter(|ready| &*ready.reason == names::MULTIPLE_PODS) else { return };
        if self.state.notices.len() >= NOTICES_MAX {
            return;
        }
        let meta = &sandbox.meta;
        let suffix = names::mix(meta.uid.bits() as u64, ready.changed.micros() as u64, 0);
        // Two leaders that do not see the same Pods may tell it and take it back over and over.
        let Some(entry) = self.state.sandboxes.get_mut(&meta.uid) else { return };
        if entry.told_conflict.replace(suffix) == Some(suffix) {
            return;
        }
        self.state.notices.push_back(Notice {
            name: format!("{}.{suffix:016x}", meta.key.name).into(),
            regarding: Target { kind: Kind::Sandbox, key: meta.key.clone(), uid: Some(meta.uid) },
            reporter: names::SANDBOX_REPORTER.into(),
            reason: names::MULTIPLE_PODS.into(),
            action: "Reconciling".into(),
            note: ready.message.clone(),
            warning: true,
        });
    }
}

/// Returns what tells one Kubernetes Event about a claim from another: a name that is taken already is an Event that was
/// told. So each part is mixed in by itself: a version and an intent, combined first, are easily those of another Event.
fn notice_suffix(claim: Uid, object: Uid, version: Version, intent: Intent) -> u64 {
    let what = names::mix(object.bits() as u64, version.0, intent as u64);
    names::mix(claim.bits() as u64, what, 0)
}

/// Returns the policy by which a claim was deleted.
fn policy(purpose: &Purpose) -> &'static str {
    let policy = match &*purpose.operation {
        Operation::Delete { propagation: Propagation::Foreground, .. } => {
            ClaimShutdownPolicy::DeleteForeground
        }
        Operation::Delete { .. }
        | Operation::Create(_)
        | Operation::Patch(_)
        | Operation::Get { .. }
        | Operation::Notify(_) => ClaimShutdownPolicy::Delete,
    };
    policy.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// EVT-001, EVT-002: versions follow each other closely, and so do intents.
    #[test]
    fn no_two_events_about_a_claim_have_the_same_name() {
        let claim = Uid::from_bits(1);
        let name = |version: u64, intent| notice_suffix(claim, claim, Version(version), intent);
        for told in 1..64 {
            for deleted in told..told + 16 {
                assert_ne!(name(told, Intent::MarkExpired), name(deleted, Intent::DeleteClaim));
            }
        }
    }
}
