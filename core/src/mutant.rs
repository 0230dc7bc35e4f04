//! Known bugs of such controllers, as switches: each is what somebody once shipped.

/// One defect. The simulator must find each; a normal build contains none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mutant {
    /// A delete names no identity and no version, so it hits whatever has the name by then.
    DeleteWithoutPreconditions,
    /// A lost answer counts as "it did not happen".
    LostAnswerIsFailure,
    /// The view waits for the watch to show own writes.
    OwnWriteInvisible,
    /// The ownership patch carries no version, so the last of two adopters wins.
    AdoptWithoutLock,
    /// A refused transfer counts as a lost member, and the claim moves on.
    AbandonOnConflict,
}

impl Mutant {
    /// Every mutant.
    pub const ALL: [Self; 5] = [
        Self::DeleteWithoutPreconditions,
        Self::LostAnswerIsFailure,
        Self::OwnWriteInvisible,
        Self::AdoptWithoutLock,
        Self::AbandonOnConflict,
    ];

    /// Returns the name used on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DeleteWithoutPreconditions => "delete-without-preconditions",
            Self::LostAnswerIsFailure => "lost-answer-is-failure",
            Self::OwnWriteInvisible => "own-write-invisible",
            Self::AdoptWithoutLock => "adopt-without-lock",
            Self::AbandonOnConflict => "abandon-on-conflict",
        }
    }

    /// Returns one sentence: what it does, and whose bug it is like.
    pub const fn about(self) -> &'static str {
        match self {
            Self::DeleteWithoutPreconditions => {
                "a pool deletes a member by name although a claim has just adopted it (BUG-23)"
            }
            Self::LostAnswerIsFailure => {
                "a create whose answer is lost is forgotten and done again under another name"
            }
            Self::OwnWriteInvisible => "own writes are decided on again before the watch shows them (BUG-03)",
            Self::AdoptWithoutLock => "the later of two adopters takes the sandbox from the earlier (BUG-04)",
            Self::AbandonOnConflict => {
                "a claim drops the member that it has recorded because a write met a conflict (BUG-05)"
            }
        }
    }
}
