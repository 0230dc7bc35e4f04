//! What may enter a [`Machine`](crate::machine::Machine): facts, in the past tense.

use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{ActionId, Kind, Text, Version};
use crate::object::Object;

/// A fact about the cluster, about an action, or about our own role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A watch showed this state of an object.
    Applied(Object),
    /// A watch showed that the object is gone. Its version is that of the deletion.
    Deleted(Object),
    /// A list showed every object of a kind, as of `at`.
    Relisted {
        /// Which kind was listed.
        kind: Kind,
        /// All of them, in the server's order.
        objects: Vec<Object>,
        /// The version of the list.
        at: Version,
    },
    /// A bookmark: everything up to `at` was delivered.
    Progress {
        /// Whose watch.
        kind: Kind,
        /// Up to where.
        at: Version,
    },
    /// The watch broke and cannot be resumed: what is known of this kind may be old until the next list.
    WatchLost {
        /// Whose watch.
        kind: Kind,
    },
    /// An action was answered. Each action is, exactly once.
    ActionDone {
        /// Which action.
        id: ActionId,
        /// How.
        outcome: Outcome,
    },
    /// This process leads, and must list every kind afresh before it writes.
    Leading {
        /// Unique to this process: it tells the names that it chooses from those of others.
        term: u64,
    },
    /// This process does not lead (any more), and writes nothing.
    Standby,
}

/// What became of an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Written or read, and this is the object now.
    Done(Object),
    /// Done, and there is no object to show: a deletion took effect at once, or a Kubernetes Event was taken.
    Accepted,
    /// Another writer was first (409; 422 on the uid): look, then decide again.
    Conflict,
    /// The name is taken: by ourselves earlier, or by somebody else. Look.
    AlreadyExists,
    /// Gone at the server, whatever the watch says so far.
    NotFound,
    /// Not now (429): the same action again after that time.
    Throttled(Duration),
    /// The server will not do it.
    Refused(Refusal),
    /// No answer (time-out, 5xx, broken connection): it may have happened, or still will.
    Unknown,
}

/// Why the server will not do it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// 403: quota or rights, which others may change. Again with back-off.
    Forbidden(Text),
    /// 400, 413, 422: not until what it is made from changes.
    Invalid(Text),
    /// 403, 404: the namespace is going, or gone. What is in it goes too, so there is nothing to tell and little to try.
    NamespaceEnding(Text),
}
