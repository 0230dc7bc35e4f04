//! The rules: each looks at one object and says what, if anything, to do about it.
//!
//! A rule is a function from the view to a [`Verdict`]. It keeps no state, calls no other rule and never learns which
//! event woke it. It is run again after each of its actions until it is quiet.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use crate::action::{Intent, Operation, Part, Patch, Propagation, Target};
use crate::agenda::TimeoutReason;
use crate::id::{Kind, Text, Uid};
use crate::names;
use crate::object::{Labels, Meta, Object, Owner};
use crate::patch::Change;
use crate::state::ClaimEntry;
use crate::time::{Mono, Now};
use crate::view::View;

mod adopt_pod;
mod adopt_recorded;
mod assign_own;
mod assign_waiting;
mod drop_claim_policy;
mod end_claim;
mod end_sandbox;
mod give_up_assignment;
mod isolate_template;
mod keep_service;
mod keep_volumes;
mod label_pod;
mod label_template;
mod mark_expired;
mod mark_warm;
mod migrate_record;
mod name_pod;
mod publish_claim_status;
mod publish_pool_status;
mod publish_sandbox_status;
mod replace_stale;
mod replace_stuck;
mod replenish;
mod report_progress;
mod stamp_first_ready;
mod start_cold;
mod start_pod;
mod stop_pod;
mod sync_metadata;
#[cfg(test)]
pub(crate) mod testing;
mod trim;

/// What a rule says.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// All is as it should be, or somebody else's move is next.
    Quiet,
    /// Not before this time, if nothing changes until then.
    Until(Mono, TimeoutReason),
    /// Do this.
    Act(Intent, Arc<Operation>),
}

/// A rule: the view, the object to look at, the time.
pub(crate) type Run = fn(&View<'_>, Uid, Now) -> Verdict;

/// Names a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum RuleId {
    DropClaimPolicy,
    MarkExpired,
    MigrateRecord,
    EndClaim,
    AdoptRecorded,
    GiveUpAssignment,
    StartCold,
    PublishClaimStatus,
    StampFirstReady,
    SyncMetadata,
    AssignOwn,
    AssignWaiting,
    ReplaceStale,
    ReplaceStuck,
    Replenish,
    Trim,
    ReportProgress,
    PublishPoolStatus,
    StopPod,
    EndSandbox,
    KeepVolumes,
    KeepService,
    AdoptPod,
    StartPod,
    PublishSandboxStatus,
    NamePod,
    LabelPod,
    MarkWarm,
    LabelTemplate,
    IsolateTemplate,
}

/// Who waits for what a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// A waiting claim.
    Claims,
    /// A pool that is not full.
    Pools,
    /// Whoever waits for the sandbox: a claim or its pool.
    SandboxOwner,
    /// Nobody.
    Nobody,
}

impl For {
    /// Everybody, in the order of the discriminants.
    pub(crate) const ALL: [Self; 4] = [Self::Claims, Self::Pools, Self::SandboxOwner, Self::Nobody];
}

/// The rules of each kind, in the order in which they look at an object.
pub(crate) const RULES: &[(Kind, RuleId, For, Run)] = &[
    (Kind::Claim, RuleId::MarkExpired, For::Nobody, mark_expired::mark_expired),
    (Kind::Claim, RuleId::MigrateRecord, For::Claims, migrate_record::migrate_record),
    (Kind::Claim, RuleId::EndClaim, For::Nobody, end_claim::end_claim),
    (Kind::Claim, RuleId::AdoptRecorded, For::Claims, adopt_recorded::adopt_recorded),
    (Kind::Claim, RuleId::StartCold, For::Claims, start_cold::start_cold),
    (Kind::Claim, RuleId::AssignOwn, For::Claims, assign_own::assign_own),
    (Kind::Claim, RuleId::PublishClaimStatus, For::Claims, publish_claim_status::publish_claim_status),
    (Kind::Claim, RuleId::GiveUpAssignment, For::Claims, give_up_assignment::give_up_assignment),
    (Kind::Claim, RuleId::StampFirstReady, For::Nobody, stamp_first_ready::stamp_first_ready),
    (Kind::Claim, RuleId::SyncMetadata, For::Nobody, sync_metadata::sync_metadata),
    (Kind::Pool, RuleId::AssignWaiting, For::Claims, assign_waiting::assign_waiting),
    (Kind::Pool, RuleId::ReplaceStale, For::Pools, replace_stale::replace_stale),
    (Kind::Pool, RuleId::ReplaceStuck, For::Pools, replace_stuck::replace_stuck),
    (Kind::Pool, RuleId::Replenish, For::Pools, replenish::replenish),
    (Kind::Pool, RuleId::Trim, For::Nobody, trim::trim),
    (Kind::Pool, RuleId::PublishPoolStatus, For::Nobody, publish_pool_status::publish_pool_status),
    (Kind::Pool, RuleId::ReportProgress, For::Nobody, report_progress::report_progress),
    (Kind::Sandbox, RuleId::StopPod, For::SandboxOwner, stop_pod::stop_pod),
    (Kind::Sandbox, RuleId::EndSandbox, For::Nobody, end_sandbox::end_sandbox),
    (Kind::Sandbox, RuleId::KeepVolumes, For::SandboxOwner, keep_volumes::keep_volumes),
    (Kind::Sandbox, RuleId::KeepService, For::SandboxOwner, keep_service::keep_service),
    (Kind::Sandbox, RuleId::AdoptPod, For::SandboxOwner, adopt_pod::adopt_pod),
    (Kind::Sandbox, RuleId::StartPod, For::SandboxOwner, start_pod::start_pod),
    (
        Kind::Sandbox,
        RuleId::PublishSandboxStatus,
        For::SandboxOwner,
        publish_sandbox_status::publish_sandbox_status,
    ),
    (Kind::Sandbox, RuleId::NamePod, For::Nobody, name_pod::name_pod),
    (Kind::Sandbox, RuleId::LabelPod, For::Nobody, label_pod::label_pod),
    (Kind::Sandbox, RuleId::MarkWarm, For::Nobody, mark_warm::mark_warm),
    (Kind::Template, RuleId::LabelTemplate, For::Nobody, label_template::label_template),
    (Kind::Template, RuleId::IsolateTemplate, For::Pools, isolate_template::isolate_template),
    (Kind::NetworkPolicy, RuleId::DropClaimPolicy, For::Nobody, drop_claim_policy::drop_claim_policy),
];

/// The place of each rule in [`RULES`], by its id.
const PLACES: [u8; RULES.len()] = {
    let mut places = [0; RULES.len()];
    let mut place = 0;
    while place < RULES.len() {
        places[RULES[place].1 as usize] = place as u8;
        place += 1;
    }
    places
};

/// The rules of each kind, by who waits for them: [`Kind::index`], then [`For`].
const SETS: [[RuleSet; For::ALL.len()]; Kind::ALL.len()] = {
    let mut sets = [[RuleSet(0); For::ALL.len()]; Kind::ALL.len()];
    let mut place = 0;
    while place < RULES.len() {
        let (kind, _, who, _) = RULES[place];
        sets[kind.index()][who as usize].0 |= 1 << place;
        place += 1;
    }
    sets
};

impl RuleId {
    /// Returns who waits for it.
    pub(crate) fn who(self) -> For {
        RULES[usize::from(PLACES[self as usize])].2
    }

    /// Returns what it does.
    pub(crate) fn run(self) -> Run {
        RULES[usize::from(PLACES[self as usize])].3
    }
}

/// Some rules, in the order of [`RULES`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RuleSet(u64);

impl RuleSet {
    /// Returns the set of this one.
    pub(crate) const fn of(rule: RuleId) -> Self {
        Self(1 << PLACES[rule as usize])
    }

    /// Returns the rules of a kind that somebody waits for.
    pub(crate) const fn of_kind(kind: Kind, who: For) -> Self {
        SETS[kind.index()][who as usize]
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Returns the first rule.
    pub(crate) fn first(self) -> Option<RuleId> {
        RULES.get(self.0.trailing_zeros() as usize).map(|(_, rule, ..)| *rule)
    }

    /// Returns the rules in order.
    pub(crate) fn iter(mut self) -> impl Iterator<Item = RuleId> {
        core::iter::from_fn(move || {
            let first = self.first()?;
            self.0 &= self.0 - 1;
            Some(first)
        })
    }
}

macro_rules! branches {
    ($($(#[$about:meta])* $name:ident = $text:literal,)*) => {
        /// A way through the rules of adoption and refill. A campaign that never takes one of them has not tested it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        pub enum Branch { $($(#[$about])* $name,)* }

        impl Branch {
            /// Every branch, in the order of their bits in [`Machine::reached`](crate::machine::Machine::reached).
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns the name used in reports.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

branches! {
    /// A ready member was recorded.
    AssignReady = "assign: a ready member",
    /// A member with an address that is not ready was recorded.
    AssignReachable = "assign: a member that is not ready yet",
    /// A claim waits for a member that is starting.
    AssignWait = "assign: wait for a member that is starting",
    /// A claim has waited long enough.
    AssignGraceOver = "assign: the wait is over, start cold",
    /// No member is left for a claim.
    AssignCold = "assign: no member is left, start cold",
    /// There is no template to start from.
    AssignNoTemplate = "assign: no template to start from",
    /// A claim that no member can serve gets a sandbox of its own.
    AssignOwn = "assign: it asks for what no member has, start cold",
    /// A recorded member was transferred.
    AdoptTransfer = "adopt: transfer the recorded member",
    /// A recorded member is written by somebody else of ours.
    AdoptBusy = "adopt: the member is being written",
    /// The pool of a recorded member is not known yet.
    AdoptPoolUnseen = "adopt: look who owns the member",
    /// A recorded member is gone.
    LostGone = "give up: the member is gone",
    /// A recorded member is not known: the server is asked.
    LostUnseen = "give up: look whether the member exists",
    /// Another claim has the recorded member.
    LostToAnother = "give up: another claim has the member",
    /// A recorded member is being deleted.
    LostTerminating = "give up: the member is terminating",
    /// A recorded member belongs to a pool that is gone.
    LostPoolDead = "give up: the pool is gone, delete its member",
    /// A recorded cold start was made.
    ColdCreate = "cold: make the sandbox",
    /// A cold start waits for a name that somebody else holds.
    ColdNameTaken = "cold: the name is taken",
    /// A claim has expired as far as is known: the server is asked before its sandbox goes.
    EndLook = "end: look whether the claim still says so",
    /// A bound claim's sandbox vanished.
    StatusVanished = "status: the sandbox vanished",
    /// A bound claim's sandbox is not known: the server is asked.
    StatusLook = "status: look whether the sandbox exists",
    /// A pool has lost a member, and waits.
    RefillHeld = "refill: wait after a loss",
    /// A pool has made as many members as it may for the time being.
    RefillSlow = "refill: wait for the rate",
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Writes on a claim which sandbox it will get, before anything else happens to either (ADP-020); and, unless that is
/// switched off, when it was first seen (KEY-014, CFG-010, DEF-031).
fn record(view: &View<'_>, entry: &ClaimEntry, intent: Intent, sandbox: Text) -> Verdict {
    patch(intent, Kind::Claim, &entry.claim.meta, Part::Main, record_changes(view, entry, sandbox))
}

fn record_changes(view: &View<'_>, entry: &ClaimEntry, sandbox: Text) -> Vec<Change> {
    let mut changes = Vec::from([Change::Annotation(names::SANDBOX_NAME.into(), Some(sandbox))]);
    if view.config.claim_annotations && entry.claim.meta.annotation(names::FIRST_OBSERVED_AT).is_none() {
        let seen = entry.seen.wall.rfc3339_micros().into();
        changes.push(Change::Annotation(names::FIRST_OBSERVED_AT.into(), Some(seen)));
    }
    changes
}

/// What only the mutant `transfer-first` does: a member changes hands before anything is recorded.
fn transfer_unrecorded(claim: &Meta, member: &Meta) -> Verdict {
    let changes = Vec::from([Change::Owner(Owner::new(Kind::Claim, claim))]);
    patch(Intent::AdoptSandbox, Kind::Sandbox, member, Part::Main, changes)
}

fn act(intent: Intent, operation: Operation) -> Verdict {
    Verdict::Act(intent, operation.into())
}

/// Makes something for an object. Where the like of it has gone, the server is asked first whether the object is there: it
/// may have gone with it, and the next would, too.
fn make(view: &View<'_>, (kind, owner): (Kind, &Meta), intent: Intent, made: Object) -> Verdict {
    if !view.is_bereaved(owner.uid) {
        return act(intent, Operation::Create(made));
    }
    if view.is_looked_up(kind, &owner.key) {
        return Verdict::Quiet;
    }
    act(Intent::Look, Operation::Get { kind, key: owner.key.clone() })
}

/// A change of one object, locked to the state that the rule saw.
fn patch(intent: Intent, kind: Kind, meta: &Meta, part: Part, changes: Vec<Change>) -> Verdict {
    let patch = Patch { target: target(kind, meta), version: Some(meta.version), part, changes };
    act(intent, Operation::Patch(patch))
}

/// The end of one object, locked to the state that the rule saw.
fn delete(intent: Intent, kind: Kind, meta: &Meta) -> Verdict {
    let (target, version) = (target(kind, meta), Some(meta.version));
    act(intent, Operation::Delete { target, version, propagation: Propagation::Background })
}

fn target(kind: Kind, meta: &Meta) -> Target {
    Target { kind, key: meta.key.clone(), uid: Some(meta.uid) }
}

/// Returns the changes that make `to` of `from`.
fn differences(from: &Labels, to: &Labels, change: fn(Text, Option<Text>) -> Change) -> Vec<Change> {
    if from == to {
        return Vec::new();
    }
    let removed = from.keys().filter(|key| !to.contains_key(key)).map(|key| change(key.clone(), None));
    let set = to.iter().filter(|(key, value)| from.get(key) != Some(*value));
    removed.chain(set.map(|(key, value)| change(key.clone(), Some(value.clone())))).collect()
}

#[cfg(test)]
mod tests {
    use super::testing::said;
    use super::*;

    /// CLM-004, SBX-002: whoever is going is left in peace, whatever else would be due.
    #[test]
    fn nothing_is_written_about_what_is_going() {
        let worlds = [
            "pool p\nclaim c1 terminating\nsandbox s1 pool=p ready",
            "pool p\nclaim c1 terminating records=s1 shows=s1 isready\nsandbox s1 owner=c1 ended",
            "claim c1 terminating told=ClaimExpired records=s1\nsandbox s1 owner=c1 ready\nasked c1",
            "sandbox s1 terminating nopod service=true volumes=a",
            "sandbox s1 terminating ready over=now",
            "sandbox s1 terminating starting suspended",
        ];
        for world in worlds {
            for (kind, rule, _, run) in
                RULES.iter().filter(|rule| matches!(rule.0, Kind::Claim | Kind::Sandbox))
            {
                let said = said(*run, *kind, world);
                assert!(said.iter().all(|said| !said.contains("c1")), "{rule:?}: {said:?} in {world}");
                let is_going = world.starts_with("sandbox");
                assert!(!is_going || said.is_empty(), "{rule:?}: {said:?} in {world}");
            }
        }
    }
}
