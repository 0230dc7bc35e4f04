//! What may happen next.

use std::sync::Arc;

use agent_sandbox_core::action::Action;
use agent_sandbox_core::event::Outcome;
use agent_sandbox_core::id::{Kind, Uid, Version};
use agent_sandbox_core::object::Object;

use crate::api_server::{Commit, Seen};
use crate::process::RequestId;

/// One thing that happens. Everything in the world changes by steps, one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The server handles a request.
    Commit(RequestId),
    /// The answer reaches the process.
    Answer(RequestId),
    /// The request never reaches the server; its sender sees no answer.
    LoseRequest(RequestId),
    /// The answer is lost on its way; its sender sees no answer.
    LoseAnswer(RequestId),
    /// The sender gives up waiting; the request may still be handled later.
    Abandon(RequestId),
    /// The server answers 429: not now.
    Throttle(RequestId),
    /// The server refuses a create, or a record on a claim (403): a quota is used up, or a policy of the cluster objects.
    Refuse(RequestId),
    /// The server refuses such a request because it holds it for invalid (422).
    Reject(RequestId),
    /// The server answers a create with a conflict though nobody holds the name (409): another counts against the same quota
    /// at that moment.
    Collide(RequestId),
    /// The server reads a list for a process.
    List(u8, Kind),
    /// The list reaches the process, and a watch begins where it ends.
    Relist(u8, Kind),
    /// The next line of a watch reaches the process.
    Deliver(u8, Kind),
    /// A bookmark reaches the process: there was nothing else up to here.
    Bookmark(u8, Kind),
    /// A list that travels is worth nothing, because its next page has expired: the process lists again.
    ExpireList(u8, Kind),
    /// A watch breaks and cannot be resumed.
    BreakWatch(u8, Kind),
    /// The server drops the history of a kind.
    Compact(Kind),
    /// The next timer of a process is due; the clock moves on to it.
    Timer(u8),
    /// A process starts, on standby.
    Start(u8),
    /// A process is told that it leads.
    Lead(u8),
    /// A process is told that it does not lead any more.
    Depose(u8),
    /// A process dies.
    Crash(u8),
    /// The calendar of a process is set anew: from now on it is so many microseconds ahead.
    SetCalendar(u8, i64),
    /// Something happens to a Pod.
    Pod(Uid, PodStep),
    /// The garbage collector takes an object of this kind whose owner is gone.
    Collect(Kind, Uid),
    /// Somebody who is no controller of ours writes an object of this kind: only its version is another then.
    Touch(Kind, Uid),
    /// Somebody takes the finalizer off an object of this kind.
    Release(Kind, Uid),
    /// The controller of namespaces deletes everything of this kind in the namespace that is going.
    Sweep(Kind),
    /// A user does what stands in this line of the script.
    User(u32),
}

/// What may happen to a Pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PodStep {
    /// The scheduler finds a node for it.
    Schedule,
    /// The scheduler finds none, because none has room.
    FindNoRoom,
    /// It runs, but is not ready and has no address.
    Run,
    /// It runs and is ready, and has no address yet.
    AnswerEarly,
    /// It runs, is ready and has an address.
    GetReady,
    /// It gets a node, runs, is ready and has an address, all at once.
    Start,
    /// It is not ready any more.
    LoseReady,
    /// It ends badly.
    Fail,
    /// It ends well.
    Succeed,
    /// It was terminating, and its kubelet has stopped it.
    FinishDelete,
    /// It is evicted: somebody deletes it, with grace.
    Evict,
    /// It is removed at once, by force.
    Vanish,
    /// It gets another address: its kubelet has made its sandbox anew.
    Move,
}

impl PodStep {
    /// Returns the name used on tapes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::FindNoRoom => "find-no-room",
            Self::Run => "run",
            Self::AnswerEarly => "answer-early",
            Self::GetReady => "get-ready",
            Self::Start => "start",
            Self::LoseReady => "lose-ready",
            Self::Fail => "fail",
            Self::Succeed => "succeed",
            Self::FinishDelete => "finish-delete",
            Self::Evict => "evict",
            Self::Vanish => "vanish",
            Self::Move => "move",
        }
    }
}

/// A request that was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Which process sent it.
    pub process: u8,
    /// The term in which it decided; zero while it does not lead.
    pub term: u64,
    /// Whether it had listed every kind since it leads.
    pub listed: bool,
    /// The request's name.
    pub request: RequestId,
    /// What to do.
    pub action: Action,
}

/// What a step brought about: for checkers, statistics, stories, and drivers that plan what follows.
#[derive(Clone, Debug)]
pub enum Fact {
    /// A process decided to do something; the request is on its way.
    Sent(Sent),
    /// The store changed.
    Committed(Commit),
    /// A request was handled, or cannot be any more: its answer may travel.
    Handled(RequestId),
    /// An answer reached its process.
    Answered {
        /// Which process.
        process: u8,
        /// The action that is answered.
        action: Action,
        /// How.
        outcome: Outcome,
    },
    /// The server has read a list.
    Listed(u8, Kind),
    /// A process has seen a list.
    Relisted {
        /// Which process.
        process: u8,
        /// Its term.
        term: u64,
        /// Which kind.
        kind: Kind,
        /// As of this version.
        at: Version,
        /// All of them.
        objects: Arc<[Object]>,
    },
    /// A watch has shown a process everything of a kind up to a version.
    Shown {
        /// Which process.
        process: u8,
        /// Which kind.
        kind: Kind,
        /// Up to this version.
        upto: Version,
        /// The line; `None` for a bookmark.
        line: Option<Seen>,
    },
    /// A process has lost a watch and must list.
    WatchLost(u8, Kind),
    /// A process started.
    Started(u8),
    /// A process leads.
    Leading {
        /// Which process.
        process: u8,
        /// Its term.
        term: u64,
    },
    /// A process does not lead any more.
    Deposed {
        /// Which process.
        process: u8,
        /// The term that ended.
        term: u64,
    },
    /// A process died.
    Crashed {
        /// Which process.
        process: u8,
        /// The term that ended; zero when it did not lead.
        term: u64,
    },
    /// The calendar of a process was set anew.
    CalendarSet(u8),
    /// A process has run, so its next timer may be another.
    Ran(u8),
}
