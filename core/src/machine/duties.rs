//! The ledger's own duties: looking after a refusal, repeating what was lost, forgetting what can no longer land.

use super::{Machine, TimeoutReason};
use crate::action::{Action, Intent, Operation};
use crate::agenda::{Item, Urgency};
use crate::id::{Key, Kind, Uid};
use crate::ledger::{Bar, Draft, Hold, Purpose, Stage};
use crate::mutant::Mutant;
use alloc::vec::Vec;

impl Machine {
    /// Plans again what is left to do about writes of an earlier term, which the end of that term took off the agenda.
    pub(super) fn resume_duties(&mut self) {
        for ((kind, key), draft) in self.state.ledger.drafts.iter() {
            let at = match draft.stage {
                Stage::Unsettled(at) => Some(at),
                Stage::Ghost => draft.ghost_until,
                Stage::Taken => {
                    self.agenda.add(Item::look(*kind, key.clone()), draft.purpose.urgency);
                    None
                }
                // Its answer is still to come.
                Stage::Sent(_) => None,
            };
            if let Some(at) = at {
                self.agenda.arm(Item::repeat_create(*kind, key.clone()), at, TimeoutReason::Repeat);
            }
        }
        for ((kind, key), look) in self.state.ledger.looks.iter() {
            if !look.is_sent {
                self.agenda.add(Item::look(*kind, key.clone()), look.urgency.unwrap_or(Urgency::Claim));
            }
        }
        for (uid, bar) in self.state.ledger.barred.iter() {
            if let Some(until) = bar.until {
                self.agenda.arm(Item::Unbar(*uid), until, TimeoutReason::Backoff);
            }
        }
        for uid in &self.state.ledger.holds.sorted_keys() {
            match &self.state.ledger.holds[uid] {
                Hold::Unsettled(lost) => {
                    self.agenda.arm(Item::RepeatWrite(*uid), lost.retry_at, TimeoutReason::Repeat);
                }
                Hold::Stale(..) => {
                    let Some(kind) = self.state.kind_of(*uid) else { continue };
                    if let Some(meta) = self.state.meta(kind, *uid) {
                        self.agenda.add(Item::look(kind, meta.key.clone()), Urgency::Claim);
                    }
                }
                Hold::Sent(_) => {}
            }
        }
        self.schedule_notices();
    }

    /// Reads a name because a write was refused, or because an earlier read failed, if that is still needed.
    pub(super) fn look(&mut self, kind: Kind, key: Key, urgency: Urgency) -> Option<Action> {
        let slot = (kind, key);
        let ledger = &self.state.ledger;
        let holder = self.state.names.get(slot.0, &slot.1);
        let is_stale = holder.is_some_and(|uid| matches!(ledger.holds.get(&uid), Some(Hold::Stale(..))));
        let is_taken = ledger.drafts.get(&slot).is_some_and(|draft| draft.stage == Stage::Taken);
        let pending = ledger.looks.get(&slot).copied();
        if pending.is_some_and(|look| look.is_sent) {
            return None;
        }
        let is_asked = pending.is_some() && self.state.is_referred_to(slot.0, &slot.1);
        if !(is_stale || is_taken || is_asked) {
            self.state.ledger.looks.remove(&slot);
            if let Some(uid) = self.state.names.get(slot.0, &slot.1) {
                // A rule may have relied on it.
                self.state.touch(slot.0, uid);
                self.schedule_touched();
            }
            return None;
        }
        if let Some(until) = pending.and_then(|look| look.until).filter(|until| *until > self.now.mono) {
            self.agenda.arm(Item::look(slot.0, slot.1), until, TimeoutReason::Backoff);
            return None;
        }
        let subject = holder.unwrap_or_default();
        let urgency = pending.and_then(|look| look.urgency).unwrap_or(urgency);
        let (kind, key) = slot;
        let operation = Operation::Get { kind, key }.into();
        let purpose = Purpose { rule: None, subject, intent: Intent::Look, operation, urgency };
        Some(self.hand_out(purpose, 0))
    }

    /// Lets a claim on which nothing could be recorded stand in its queue again, when the time has come.
    pub(super) fn unbar(&mut self, claim: Uid) {
        let now = self.now.mono;
        match self.state.ledger.barred.get_mut(&claim) {
            Some(Bar { until: Some(until), .. }) if *until > now => {
                self.agenda.arm(Item::Unbar(claim), *until, TimeoutReason::Backoff);
            }
            Some(bar) => {
                bar.until = None;
                self.state.hold_changed(Kind::Claim, claim);
                self.schedule_touched();
            }
            None => {}
        }
    }

    pub(super) fn repeat_write(&mut self, uid: Uid) -> Option<Action> {
        let Some(Hold::Unsettled(lost)) = self.state.ledger.holds.get(&uid) else { return None };
        if lost.retry_at > self.now.mono {
            self.agenda.arm(Item::RepeatWrite(uid), lost.retry_at, TimeoutReason::Repeat);
            return None;
        }
        let lost = lost.clone();
        if self.is_decided_anew(&lost.purpose.operation) {
            self.state.ledger.holds.remove(&uid);
            self.doubt(&lost.purpose, uid);
            self.state.hold_changed(lost.purpose.operation.kind(), uid);
            self.schedule_touched();
            return None;
        }
        Some(self.hand_out(lost.purpose, lost.times))
    }

    /// The sandbox of a claim that has expired is not deleted yet: when that is tried again, its user may have taken back the
    /// end, and no lock on the sandbox can tell.
    pub(super) fn doubt(&mut self, purpose: &Purpose, sandbox: Uid) {
        if purpose.intent == Intent::DeleteClaimSandbox {
            self.state.condemned.remove(&(purpose.subject, sandbox));
        }
    }

    /// Returns whether a write is decided anew when its answer was lost, and not repeated: what is true by then is told, and
    /// nothing is deleted that need not go any more. Locked to a version, at most one of two attempts can land.
    pub(super) fn is_decided_anew(&self, operation: &Operation) -> bool {
        let is_delete = matches!(operation, Operation::Delete { .. });
        operation.is_status() || is_delete && !self.has(Mutant::DeletesAgain)
    }

    pub(super) fn repeat_create(&mut self, slot: &(Kind, Key)) -> Option<Action> {
        let mut draft = self.state.ledger.drafts.get(slot)?.clone();
        let item = Item::repeat_create(slot.0, slot.1.clone());
        match draft.stage {
            Stage::Unsettled(at) if at > self.now.mono => {
                self.agenda.arm(item, at, TimeoutReason::Repeat);
                None
            }
            Stage::Unsettled(_) if self.is_wanted(&draft.purpose) => {
                Some(self.hand_out(draft.purpose.clone(), draft.lost))
            }
            Stage::Unsettled(_) => {
                // Nobody wants it any more; what may still land is counted until it cannot.
                let subject = draft.purpose.subject;
                draft.stage = Stage::Ghost;
                self.state.ledger.drafts.remove(slot);
                self.keep_draft(slot.clone(), draft);
                self.state.draft_changed(slot, subject);
                self.schedule_touched();
                None
            }
            Stage::Ghost => {
                self.drop_ghosts();
                if let Some(until) = draft.ghost_until.filter(|until| *until > self.now.mono) {
                    self.agenda.arm(item, until, TimeoutReason::Repeat);
                }
                None
            }
            Stage::Sent(_) | Stage::Taken => None,
        }
    }

    /// Returns whether the object for which something was to be created is still there to have it, and lacks it.
    pub(super) fn is_wanted(&self, purpose: &Purpose) -> bool {
        let subject = purpose.subject;
        let kind = self.state.kind_of(subject);
        let meta = kind.and_then(|kind| self.state.meta(kind, subject));
        if meta.is_none_or(|meta| meta.terminating) || self.state.ledger.is_being_deleted(subject) {
            return false;
        }
        if self.state.claims.get(&subject).is_some_and(|entry| entry.claim.is_over(self.now.wall)) {
            return false;
        }
        if let Some(entry) = self.state.sandboxes.get(&subject) {
            let sandbox = &entry.sandbox;
            let is_missing = match purpose.operation.kind() {
                Kind::Pod => self.state.child(subject).is_none() && !sandbox.suspended,
                Kind::Service => sandbox.service == Some(true),
                Kind::VolumeClaim => true,
                Kind::Claim | Kind::Pool | Kind::Template | Kind::Sandbox | Kind::NetworkPolicy => false,
            };
            return is_missing && !sandbox.is_over(self.now.wall);
        }
        let Some(entry) = self.state.pools.get(&subject) else { return true };
        // Another leader may have filled the pool meanwhile.
        let members = self.state.members.get(&subject);
        members
            .is_none_or(|members| members.live + members.leaving + members.creating() <= entry.pool.replicas)
    }

    /// Forgets attempts that can no longer land. Whether one has landed meanwhile, unseen by a watch that lags, only the
    /// server can say; it is asked where a pool would count one member too few. A look that is under way already may
    /// have been answered before.
    pub(super) fn drop_ghosts(&mut self) {
        let now = self.now.mono;
        let expired =
            |draft: &Draft| draft.stage == Stage::Ghost && draft.ghost_until.is_none_or(|until| until <= now);
        let drafts = self.state.ledger.drafts.iter().filter(|(_, draft)| expired(draft));
        let gone: Vec<_> = drafts.map(|(slot, draft)| (slot.clone(), draft.purpose.subject)).collect();
        for (slot, subject) in gone {
            let is_counted = self.state.pools.contains_key(&subject);
            let is_looked_up = self.state.ledger.looks.get(&slot).is_some_and(|look| look.is_sent);
            match self.state.ledger.drafts.get_mut(&slot) {
                Some(draft) if is_counted && is_looked_up => {
                    let later = now + self.config.write_timeout;
                    draft.ghost_until = Some(later);
                    self.agenda.arm(Item::repeat_create(slot.0, slot.1), later, TimeoutReason::Repeat);
                }
                Some(draft) if is_counted => {
                    (draft.stage, draft.ghost_until) = (Stage::Taken, None);
                    self.agenda.add(Item::look(slot.0, slot.1), Urgency::Refill);
                }
                _ => {
                    self.state.ledger.drafts.remove(&slot);
                    self.state.draft_changed(&slot, subject);
                }
            }
        }
    }
}
