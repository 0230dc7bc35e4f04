//! Where a [`Mutant`] bends what enters and leaves the machine. A normal build bends nothing.

use alloc::sync::Arc;

use super::{Machine, TimeoutReason};
use crate::action::{Intent, Operation, Patch};
use crate::event::{Event, Outcome};
use crate::id::Kind;
use crate::ledger::Purpose;
use crate::mutant::Mutant;
use crate::names;
use crate::object::{Json, Object};
use crate::patch::Change;
use crate::rules::RuleId;

/// Rules that a mutant never runs.
const SKIPPED: &[(Mutant, RuleId)] = &[
    (Mutant::NeverGivesUp, RuleId::GiveUpAssignment),
    (Mutant::NeverMigrates, RuleId::MigrateRecord),
    (Mutant::NeverSyncsMetadata, RuleId::SyncMetadata),
    (Mutant::NeverMarksExpired, RuleId::MarkExpired),
    (Mutant::NeverEndsClaims, RuleId::EndClaim),
    (Mutant::NeverEndsSandboxes, RuleId::EndSandbox),
    (Mutant::NeverTrims, RuleId::Trim),
    (Mutant::NeverReplacesStale, RuleId::ReplaceStale),
    (Mutant::NeverReplacesEnded, RuleId::ReplaceStuck),
    (Mutant::NeverAdoptsPods, RuleId::AdoptPod),
    (Mutant::NeverStopsPods, RuleId::StopPod),
    (Mutant::LostPodIsError, RuleId::NamePod),
    (Mutant::PodLabelLost, RuleId::LabelPod),
    (Mutant::NeverLabelsPods, RuleId::LabelPod),
    (Mutant::NoVolumes, RuleId::KeepVolumes),
    (Mutant::NoServices, RuleId::KeepService),
    (Mutant::NeverIsolates, RuleId::IsolateTemplate),
    (Mutant::ClaimPoliciesStay, RuleId::DropClaimPolicy),
    (Mutant::TemplateUnlabelled, RuleId::LabelTemplate),
];

impl Machine {
    pub(super) fn has(&self, mutant: Mutant) -> bool {
        self.config.has(mutant)
    }

    /// Returns whether a mutant never runs this rule.
    pub(super) fn is_skipped(&self, rule: RuleId) -> bool {
        self.config.is_mutant()
            && SKIPPED.iter().any(|(mutant, skipped)| *skipped == rule && self.has(*mutant))
    }

    /// Returns whether a mutant forgets to wake up for this.
    pub(super) fn is_untimed(&self, reason: TimeoutReason) -> bool {
        match reason {
            TimeoutReason::Expiry => self.has(Mutant::NoExpiryTimer),
            TimeoutReason::Stuck => self.has(Mutant::NoStuckTimer),
            TimeoutReason::StatusInterval => self.has(Mutant::NoStatusTimer),
            TimeoutReason::Backoff => self.has(Mutant::NoBackoffTimer),
            TimeoutReason::Repeat => self.has(Mutant::NoRepeatTimer),
            TimeoutReason::Refill => self.has(Mutant::NoRefillTimer),
            TimeoutReason::Grace | TimeoutReason::Settle => false,
        }
    }

    /// Returns whether a mutant misses this event.
    pub(super) fn is_missed(&self, event: &Event) -> bool {
        match event {
            Event::Deleted(object) => match object.kind() {
                Kind::Sandbox => self.has(Mutant::MissesSandboxDeletes),
                Kind::Pod => self.has(Mutant::MissesPodDeletes),
                Kind::Claim => self.has(Mutant::MissesClaimDeletes),
                Kind::Pool | Kind::Template | Kind::Service | Kind::VolumeClaim | Kind::NetworkPolicy => {
                    false
                }
            },
            Event::Applied(new) => self.has(Mutant::MissesMetadataChanges) && self.is_about_metadata(new),
            Event::Standby => self.has(Mutant::IgnoresStandby),
            Event::WatchLost { .. }
            | Event::Relisted { .. }
            | Event::Progress { .. }
            | Event::ActionDone { .. }
            | Event::Leading { .. } => false,
        }
    }

    /// Returns whether of a sandbox neither the status has changed nor that it is going.
    fn is_about_metadata(&self, new: &Object) -> bool {
        let known = self.state.sandboxes.get(&new.uid()).map(|entry| &entry.sandbox);
        known.zip(new.as_sandbox()).is_some_and(|(known, new)| {
            known.status == new.status && known.meta.terminating == new.meta.terminating
        })
    }

    /// Returns what a mutant takes an answer for.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a mutant bends a few, and all others stay as they are"
    )]
    pub(super) fn misread(&self, purpose: &Purpose, outcome: Outcome) -> Outcome {
        let is_look = matches!(*purpose.operation, Operation::Get { .. });
        match outcome {
            Outcome::Conflict if self.has(Mutant::ConflictIsGone) => Outcome::NotFound,
            Outcome::Throttled(_) if self.has(Mutant::ThrottledIsGone) => Outcome::NotFound,
            Outcome::Unknown if self.has(Mutant::LostAnswerIsSuccess) && !is_look => Outcome::Accepted,
            Outcome::Unknown if self.has(Mutant::FailedLookIsAbsence) && is_look => Outcome::NotFound,
            outcome => outcome,
        }
    }

    /// Returns what a mutant sends instead.
    pub(super) fn mutate(&self, intent: Intent, operation: Arc<Operation>) -> Arc<Operation> {
        if !self.config.is_mutant() {
            return operation;
        }
        let mut changed = (*operation).clone();
        match &mut changed {
            Operation::Delete { target, version, .. } => {
                if self.has(Mutant::DeleteWithoutPreconditions) {
                    (target.uid, *version) = (None, None);
                }
                if self.has(Mutant::ClaimEndWithoutLock) && intent == Intent::DeleteClaim {
                    *version = None;
                }
            }
            Operation::Patch(patch) => self.mutate_patch(intent, patch),
            Operation::Create(object) => self.mutate_create(intent, object),
            Operation::Get { .. } | Operation::Notify(_) => {}
        }
        Arc::new(changed)
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "a mutant bends a few, and all others stay as they are"
    )]
    fn mutate_patch(&self, intent: Intent, patch: &mut Patch) {
        let is_unlocked = match intent {
            Intent::AdoptSandbox => self.has(Mutant::AdoptWithoutLock),
            Intent::RecordAssignment | Intent::RecordColdStart => self.has(Mutant::RecordWithoutLock),
            Intent::ClearAssignment => self.has(Mutant::ClearWithoutLock),
            Intent::SetClaimStatus | Intent::SetSandboxStatus => self.has(Mutant::StatusWithoutLock),
            _ => false,
        };
        if is_unlocked {
            patch.version = None;
        }
        let is_of_spec = patch.changes.iter().any(|change| matches!(change, Change::Spec(_)));
        if is_of_spec && self.has(Mutant::SpecLostOnWire) {
            patch.changes.push(Change::Spec(Json::from(&serde_json::json!({}))));
        }
        if intent == Intent::AdoptSandbox {
            let (unowned, marked) = (self.has(Mutant::OwnerNotWritten), self.has(Mutant::PoolMarksStay));
            patch.changes.retain(|change| match change {
                Change::Owner(_) => !unowned,
                Change::Label(key, None) => !(marked && &**key == names::WARM_POOL),
                _ => true,
            });
        }
    }

    fn mutate_create(&self, intent: Intent, object: &mut Object) {
        if intent == Intent::CreateMember && self.has(Mutant::MemberUnmarked) {
            object.meta_mut().labels.remove(names::WARM_POOL);
        }
        if intent == Intent::CreatePod && self.has(Mutant::PodLabelLost) {
            object.meta_mut().labels.remove(names::TEMPLATE_REF_HASH);
        }
        if let Object::Sandbox(sandbox) = object
            && intent == Intent::CreateClaimSandbox
            && self.has(Mutant::VolumesForgotten)
        {
            Arc::make_mut(sandbox).volume_claims = None;
        }
    }
}
