//! One controller process: its state, its watches, its requests under way.

use std::sync::Arc;

use agent_sandbox_core::action::Action;
use agent_sandbox_core::event::Outcome;
use agent_sandbox_core::id::{Kind, Version};
use agent_sandbox_core::object::Object;
use agent_sandbox_core::time::Mono;

/// Names a controller process as stories and pages do: controller A, controller B.
pub fn name(process: u8) -> String {
    format!("controller {}", letter(process))
}

/// Returns the letter of a controller process: A, B.
pub(crate) fn letter(process: u8) -> char {
    char::from(b'A' + process.min(25))
}

/// A place where a controller process runs, or will run again.
#[derive(Clone, Debug)]
pub struct Process<C> {
    /// The decision logic; `None` while nothing runs here.
    pub controller: Option<C>,
    /// What the process was told last.
    pub role: Role,
    /// How far it sees, for each kind. A process on standby does not look.
    pub watches: [Watch; Kind::ALL.len()],
    /// The kinds that it has listed since it leads, one bit each.
    pub listed: u8,
    /// How far its calendar is off. Unit: microseconds.
    pub skew: i64,
    /// Branches taken by processes that ran here before.
    pub marks: u64,
}

/// What a process was told about its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It must not write.
    Standby,
    /// It leads, in this term.
    Leading(u64),
}

/// How far a process sees the objects of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watch {
    /// It must list.
    Lost,
    /// The server has read the list; the answer travels.
    Listed {
        /// Every object of the kind.
        objects: Arc<[Object]>,
        /// As of this version.
        at: Version,
    },
    /// The watch stands.
    Live {
        /// Everything up to here was shown, by a list, a line or a bookmark.
        cursor: Version,
    },
}

impl<C> Process<C> {
    /// Returns a place where nothing runs.
    pub fn empty() -> Self {
        Self {
            controller: None,
            role: Role::Standby,
            watches: [const { Watch::Lost }; Kind::ALL.len()],
            listed: 0,
            skew: 0,
            marks: 0,
        }
    }

    /// Returns whether a process runs here and was told that it leads.
    pub const fn is_leading(&self) -> bool {
        self.controller.is_some() && matches!(self.role, Role::Leading(_))
    }

    /// Returns whether the process has listed every kind since it leads.
    pub const fn has_listed_all(&self) -> bool {
        self.listed.count_ones() as usize == Kind::ALL.len()
    }

    /// Makes the process blind until it lists again.
    pub(crate) fn forget_watches(&mut self) {
        self.watches = [const { Watch::Lost }; Kind::ALL.len()];
        self.listed = 0;
    }

    /// Returns the term that the process leads in; zero while it does not.
    pub const fn term(&self) -> u64 {
        match self.role {
            Role::Leading(term) => term,
            Role::Standby => 0,
        }
    }
}

/// Names a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u32);

/// An action on its way to the server, or an answer on its way back.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its name.
    pub id: RequestId,
    /// Who sent it.
    pub process: u8,
    /// The term in which it was sent.
    pub term: u64,
    /// What it asks for.
    pub action: Action,
    /// The server drops it when it has not taken it up by then.
    pub until: Mono,
    /// The answer, once there is one.
    pub answer: Option<Outcome>,
    /// Whether the sender is dead, or has given up waiting: the answer goes nowhere.
    pub abandoned: bool,
}
