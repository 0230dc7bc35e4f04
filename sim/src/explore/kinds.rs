//! Which kinds of step a search has made: the others it leaves out.

use agent_sandbox_core::id::Kind;

use crate::controller::Controller;
use crate::scene::{Act, Deed, Scene};
use crate::step::{PodStep, Step};

/// A set of kinds of step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds(u64);

/// What each kind is called, in the order of their bits.
const NAMES: [&str; 45] = [
    "a request is handled",
    "an answer arrives",
    "a request is lost",
    "an answer is lost",
    "a sender gives up",
    "429",
    "a list is read",
    "a list arrives",
    "a watch shows a line",
    "a bookmark",
    "a watch breaks",
    "compaction",
    "a timer is due",
    "a process starts",
    "a process leads",
    "a process is deposed",
    "a process dies",
    "a Pod gets a node",
    "a Pod runs without being ready",
    "a Pod gets ready",
    "a Pod starts at once",
    "a Pod loses readiness",
    "a Pod fails",
    "a Pod ends",
    "a sandbox is collected",
    "a Pod is collected",
    "a user creates",
    "a user deletes a claim",
    "a user deletes something else",
    "a user scales the pool",
    "a user deletes a sandbox",
    "a user deletes in the foreground",
    "something else is collected",
    "a user edits a claim",
    "a Pod succeeds",
    "a user edits a sandbox, or gives it a Pod",
    "a user edits a spec",
    "a Pod finds no node",
    "somebody else writes an object",
    "a list expires",
    "a Pod is evicted, or removed by force",
    "a Pod gets another address",
    "a calendar is set anew",
    "a finalizer is taken off",
    "a namespace is swept",
];

impl Kinds {
    /// Adds the kind of a step.
    pub(super) fn add<C: Controller>(&mut self, step: Step, scene: &Scene<C>) {
        self.0 |= 1 << bit(step, &scene.script);
    }

    /// Returns what was done in either of two searches.
    pub(super) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns what was never done.
    pub fn missing(self) -> impl Iterator<Item = &'static str> {
        (0..).zip(NAMES).filter(move |(bit, _)| self.0 >> bit & 1 == 0).map(|(_, name)| name)
    }
}

fn bit(step: Step, script: &[Deed]) -> u32 {
    match step {
        Step::Commit(_) => 0,
        Step::Answer(_) => 1,
        Step::LoseRequest(_) => 2,
        Step::LoseAnswer(_) => 3,
        Step::Abandon(_) => 4,
        Step::Throttle(_) | Step::Refuse(_) | Step::Reject(_) | Step::Collide(_) => 5,
        Step::List(..) => 6,
        Step::Relist(..) => 7,
        Step::Deliver(..) => 8,
        Step::Bookmark(..) => 9,
        Step::BreakWatch(..) => 10,
        Step::Compact(_) => 11,
        Step::Timer(_) => 12,
        Step::Start(_) => 13,
        Step::Lead(_) => 14,
        Step::Depose(_) => 15,
        Step::Crash(_) => 16,
        Step::Pod(_, PodStep::Schedule) => 17,
        Step::Pod(_, PodStep::FindNoRoom) => 37,
        Step::Pod(_, PodStep::Run | PodStep::AnswerEarly) => 18,
        Step::Pod(_, PodStep::GetReady) => 19,
        Step::Pod(_, PodStep::Start) => 20,
        Step::Pod(_, PodStep::LoseReady) => 21,
        Step::Pod(_, PodStep::Fail) => 22,
        Step::Pod(_, PodStep::FinishDelete) => 23,
        Step::Pod(_, PodStep::Succeed) => 34,
        Step::Collect(Kind::Pod, _) => 25,
        Step::Collect(Kind::Sandbox, _) => 24,
        Step::Collect(_, _) => 32,
        Step::Touch(..) => 38,
        Step::ExpireList(..) => 39,
        Step::Pod(_, PodStep::Evict | PodStep::Vanish) => 40,
        Step::Pod(_, PodStep::Move) => 41,
        Step::SetCalendar(..) => 42,
        Step::Release(..) => 43,
        Step::Sweep(_) => 44,
        Step::User(line) => match script.get(line as usize).map(|deed| &deed.act) {
            None | Some(Act::Create(_)) => 26,
            Some(Act::Delete(Kind::Claim, _)) => 27,
            Some(Act::Delete(..)) => 28,
            Some(Act::Scale(..)) => 29,
            Some(Act::DeleteAny(..)) => 30,
            Some(Act::TerminateAny(_)) => 31,
            Some(
                Act::Suspend(..)
                | Act::SuspendAny(_)
                | Act::ResumeOwned
                | Act::Serve(..)
                | Act::ShutDown(..)
                | Act::AddPod(..),
            ) => 35,
            Some(
                Act::Label(..)
                | Act::Extend(..)
                | Act::Refer(..)
                | Act::Spoil(..)
                | Act::SpoilService(..)
                | Act::ClearStatus(..)
                | Act::Relabel(..)
                | Act::Finalize(..)
                | Act::EndNamespace(_)
                | Act::Leave(..),
            ) => 33,
            Some(Act::Edit(_)) => 36,
        },
    }
}
