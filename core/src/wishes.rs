//! What a claim may ask for beyond a sandbox of its pool, and what its template allows.
//!
//! Most claims ask for nothing, so a claim holds its wishes behind one shared pointer.

use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::Text;
use crate::object::{Claim, ClaimStatus, Json, PodMetadata, Truth};
use crate::time::Wall;

/// Everything that a claim asks for beyond a sandbox of its pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wishes {
    /// `spec.env`, in the claim's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<Variable>,
    /// `spec.volumeClaimTemplates`: a JSON array that is not empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_claims: Option<Json>,
    /// `spec.additionalPodMetadata`.
    #[serde(default)]
    pub pod: PodMetadata,
    /// `spec.lifecycle`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Lifecycle>,
}

/// One environment variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// `name`.
    pub name: Text,
    /// `value`.
    pub value: Text,
    /// `containerName`; empty for the first container that is no init container.
    pub container: Text,
}

/// How long a claim lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    /// `shutdownTime`.
    pub shutdown: Option<Wall>,
    /// `ttlSecondsAfterFinished`.
    pub ttl: Option<Duration>,
    /// `shutdownPolicy`.
    pub policy: ClaimShutdownPolicy,
}

/// What becomes of a claim that has expired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClaimShutdownPolicy {
    /// It goes, and what it owns after it.
    Delete,
    /// It goes after what it owns.
    DeleteForeground,
    /// It stays and says so; its sandbox goes.
    #[default]
    Retain,
}

impl ClaimShutdownPolicy {
    /// Returns the word that the API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "Delete",
            Self::DeleteForeground => "DeleteForeground",
            Self::Retain => "Retain",
        }
    }
}

/// Whether a claim may add to what a template says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Policy {
    /// It may not.
    #[default]
    Disallowed,
    /// It may add, and replace nothing.
    Allowed,
    /// It may add and replace.
    Overrides,
}

impl Policy {
    /// Reads the word that the API uses; any other means [`Policy::Disallowed`].
    pub fn parse(text: &str) -> Self {
        match text {
            "Allowed" => Self::Allowed,
            "Overrides" => Self::Overrides,
            _ => Self::Disallowed,
        }
    }

    /// Returns the word that the API uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disallowed => "Disallowed",
            Self::Allowed => "Allowed",
            Self::Overrides => "Overrides",
        }
    }
}

impl Wishes {
    /// Returns whether no member can have what is asked for: its containers and volumes are there already (CON-003).
    pub const fn need_own_sandbox(&self) -> bool {
        !self.env.is_empty() || self.volume_claims.is_some()
    }

    /// Returns whether Pods of this claim get labels or annotations of their own.
    pub fn name_metadata(&self) -> bool {
        !self.pod.labels.is_empty() || !self.pod.annotations.is_empty()
    }
}

impl Claim {
    /// Returns whether no member can have what it asks for.
    pub fn needs_own_sandbox(&self) -> bool {
        self.wishes.as_ref().is_some_and(|wishes| wishes.need_own_sandbox())
    }

    /// Returns when it expires, given this status; `None` when nothing says so yet.
    pub fn deadline(&self, status: &ClaimStatus) -> Option<Wall> {
        let lifecycle = self.wishes.as_ref()?.lifecycle.as_ref()?;
        let finished = status.condition(crate::names::FINISHED);
        let finished = finished.filter(|condition| condition.status == Truth::True);
        let finished = finished.filter(|condition| condition.changed != Wall::default());
        let after = lifecycle.ttl.zip(finished).map(|(ttl, condition)| condition.changed + ttl);
        lifecycle.shutdown.into_iter().chain(after).min()
    }

    /// Returns whether its user was told that it has expired, which decides it, and of which generation that was said
    /// (CND-025, LIF-013).
    pub fn expired(&self) -> Option<i64> {
        let ready = self.status.condition(crate::names::READY)?;
        (&*ready.reason == crate::names::CLAIM_EXPIRED).then_some(ready.observed)
    }

    /// Returns whether it gets no sandbox any more: it has expired, or is about to be told so.
    pub fn is_over(&self, now: Wall) -> bool {
        self.expired().is_some() || self.deadline(&self.status).is_some_and(|deadline| deadline <= now)
    }

    /// Returns whether it was told that it has expired, and that stands: nobody has given it more time since.
    ///
    /// While nobody has changed its spec, no clock is asked again: that of another process may be behind.
    pub fn is_ended(&self, now: Wall) -> bool {
        self.expired().is_some_and(|observed| {
            let is_due = self.deadline(&self.status).is_some_and(|deadline| deadline <= now);
            observed == self.meta.generation || is_due
        })
    }

    /// Returns what becomes of it when it has expired.
    pub fn shutdown_policy(&self) -> ClaimShutdownPolicy {
        let lifecycle = self.wishes.as_ref().and_then(|wishes| wishes.lifecycle.as_ref());
        lifecycle.map_or_else(ClaimShutdownPolicy::default, |lifecycle| lifecycle.policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_policy_allows_nothing() {
        assert_eq!(Policy::parse("Allowed"), Policy::Allowed);
        assert_eq!(Policy::parse("Overrides"), Policy::Overrides);
        assert_eq!([Policy::parse(""), Policy::parse("allowed")], [Policy::Disallowed; 2]);
    }
}
