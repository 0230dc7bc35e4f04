//! Actions sent and not settled. Sent is not done: until an answer or evidence settles it, a write may take effect.
//!
//! * At most one unsettled write per object, and one unsettled create per name.
//! * A lost answer settles nothing. What was to be kept is repeated, until its effect is seen or its precondition cannot
//!   hold any more; a status or a delete is decided anew after a while, locked to the same version.
//! * A create has no precondition but its name. It may land until the server's own time limit has passed.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::action::{Intent, Operation};
use crate::agenda::Urgency;
use crate::id::{ActionId, Key, Kind, Text, Uid, Version};
use crate::rules::RuleId;
use crate::shared::Shared;
use crate::table::Table;
use crate::time::Mono;

/// What an action was for: enough to send it again.
#[derive(Clone, Debug)]
pub(crate) struct Purpose {
    /// The rule that decided it; `None` for the ledger's own looks.
    pub(crate) rule: Option<RuleId>,
    /// The object that the rule was run on.
    pub(crate) subject: Uid,
    pub(crate) intent: Intent,
    pub(crate) operation: Arc<Operation>,
    pub(crate) urgency: Urgency,
}

impl Purpose {
    /// Returns whether it records on a claim which sandbox it gets.
    pub(crate) fn is_record(&self) -> bool {
        self.rule == Some(RuleId::AssignWaiting)
    }
}

/// An action that was handed out and not answered.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) purpose: Purpose,
    /// How many times the same write was sent before and its answer lost.
    pub(crate) lost: u32,
}

/// Why an object must not be written.
#[derive(Clone, Debug)]
pub(crate) enum Hold {
    /// A write is on its way.
    Sent(ActionId),
    /// The answer was lost.
    Unsettled(Lost),
    /// The server knows a newer state than this one, it says; the write that was locked to it.
    Stale(Version, Purpose),
}

/// A write whose answer was lost.
#[derive(Clone, Debug)]
pub(crate) struct Lost {
    pub(crate) purpose: Purpose,
    /// How many answers were lost.
    pub(crate) times: u32,
    /// When it may be repeated.
    pub(crate) retry_at: Mono,
}

/// A create that is not settled.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) purpose: Purpose,
    pub(crate) stage: Stage,
    /// Until when an attempt whose answer was lost may still land.
    pub(crate) ghost_until: Option<Mono>,
    pub(crate) lost: u32,
    /// Whether the object was seen while the latest attempt was under way.
    pub(crate) landed: bool,
}

/// How far a create has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// On its way.
    Sent(ActionId),
    /// The answer was lost; it may be repeated then.
    Unsettled(Mono),
    /// Somebody holds the name: look who.
    Taken,
    /// Settled, but an earlier attempt may still land.
    Ghost,
}

/// A read of a name from the server, until it is answered well.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Look {
    pub(crate) is_sent: bool,
    /// How many times it got no good answer.
    pub(crate) failures: u32,
    /// Until when it is not to be asked again, whoever else wants to know.
    pub(crate) until: Option<Mono>,
    pub(crate) urgency: Option<Urgency>,
    /// Who held the name, as far as was known, when the read was sent: an answer that nobody does is about that one.
    pub(crate) holder: Option<Uid>,
    /// Whether a claim has named a holder since, or another was seen to come and go: an answer that nobody holds the name may
    /// be older than that.
    pub(crate) is_outdated: bool,
}

/// A create that the server refused, for all that is known still does.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    /// The name under which it was to be made.
    pub(crate) key: Key,
    /// When it was first refused.
    pub(crate) since: Mono,
    /// Why, in the server's words.
    pub(crate) why: Text,
}

/// A claim on which the server refuses to record a sandbox.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bar {
    /// How often it has.
    pub(crate) failures: u32,
    /// Until when the claim stands in no queue; `None` when it may be tried again.
    pub(crate) until: Option<Mono>,
}

/// Most bytes of a refusal that are told. The server allows 32 KiB, which nobody reads in a list.
const WHY_MAX: usize = 1024;

/// All of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) sent: Shared<Table<ActionId, Sent>>,
    pub(crate) holds: Shared<Table<Uid, Hold>>,
    pub(crate) drafts: Shared<BTreeMap<(Kind, Key), Shared<Draft>>>,
    pub(crate) looks: Shared<BTreeMap<(Kind, Key), Look>>,
    /// Shape: (the object for which it was to be made, kind) → the latest of its creates that was refused.
    pub(crate) refused: Shared<BTreeMap<(Uid, Kind), Refused>>,
    /// Claims on which the server refuses to record anything. Nobody waits for them (INV-32).
    pub(crate) barred: Shared<BTreeMap<Uid, Bar>>,
    next: u64,
}

impl Ledger {
    /// Records an action before it leaves.
    pub(crate) fn send(&mut self, purpose: Purpose, lost: u32) -> ActionId {
        let id = ActionId(self.next);
        self.next += 1;
        match &*purpose.operation {
            Operation::Create(object) => {
                let slot = (object.kind(), object.key().clone());
                let ghost_until = self.drafts.get(&slot).and_then(|draft| draft.ghost_until);
                let draft = Draft {
                    purpose: purpose.clone(),
                    stage: Stage::Sent(id),
                    ghost_until,
                    lost,
                    landed: false,
                };
                self.drafts.insert(slot, draft.into());
            }
            Operation::Patch(patch) => {
                self.holds.insert(patch.target.uid.unwrap_or(purpose.subject), Hold::Sent(id));
            }
            Operation::Delete { target, .. } => {
                self.holds.insert(target.uid.unwrap_or(purpose.subject), Hold::Sent(id));
            }
            Operation::Get { kind, key } => {
                let look = self.looks.entry((*kind, key.clone())).or_default();
                (look.is_sent, look.until, look.urgency) = (true, None, Some(purpose.urgency));
            }
            Operation::Notify(_) => {}
        }
        self.sent.insert(id, Sent { purpose, lost });
        id
    }

    /// Notes that the server refuses a create. A reason that differs in its numbers only, as the reasons of quotas do with
    /// each attempt, is the same reason: what is told of it stays as it is (DEF-032).
    pub(crate) fn refuse(&mut self, subject: Uid, (kind, key): &(Kind, Key), why: &Text, now: Mono) {
        let mut end = why.len().min(WHY_MAX);
        while !why.is_char_boundary(end) {
            end -= 1;
        }
        let why = &why[..end];
        let refused = self.refused.entry((subject, *kind)).or_insert_with(|| Refused {
            key: key.clone(),
            since: now,
            why: why.into(),
        });
        refused.key = key.clone();
        if !without_digits(&refused.why).eq(without_digits(why)) {
            refused.why = why.into();
        }
    }

    /// Returns whether the server refuses to record anything on a claim.
    pub(crate) fn is_barred(&self, claim: Uid) -> bool {
        self.barred.get(&claim).is_some_and(|bar| bar.until.is_some())
    }

    /// Forgets the refusal of what is there now, whoever has made it; returns to whom it was refused.
    pub(crate) fn forget_refusal_of(&mut self, kind: Kind, key: &Key) -> Vec<(Uid, Kind)> {
        let is_of =
            |(of, refused): (&(Uid, Kind), &Refused)| (of.1 == kind && refused.key == *key).then_some(*of);
        let freed: Vec<_> = self.refused.iter().filter_map(is_of).collect();
        for of in &freed {
            self.refused.remove(of);
        }
        freed
    }

    /// Forgets what was refused to an object that is gone.
    pub(crate) fn forget_refusals(&mut self, subject: Uid) {
        self.barred.remove(&subject);
        for kind in Kind::ALL {
            self.refused.remove(&(subject, kind));
        }
    }

    /// Returns whether a deletion of this object is on its way, or may be.
    pub(crate) fn is_being_deleted(&self, uid: Uid) -> bool {
        self.under_way(uid).is_some_and(|purpose| matches!(*purpose.operation, Operation::Delete { .. }))
    }

    /// Returns the write to this object that is on its way, or may be.
    pub(crate) fn under_way(&self, uid: Uid) -> Option<&Purpose> {
        match self.holds.get(&uid)? {
            Hold::Sent(id) => self.sent.get(id).map(|sent| &sent.purpose),
            Hold::Unsettled(lost) => Some(&lost.purpose),
            Hold::Stale(..) => None,
        }
    }
}

fn without_digits(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(|letter| !letter.is_ascii_digit())
}

/// Returns the object that a write holds.
pub(crate) fn held(operation: &Operation, subject: Uid) -> Option<(Uid, Option<Version>)> {
    match operation {
        Operation::Patch(patch) => Some((patch.target.uid.unwrap_or(subject), patch.version)),
        Operation::Delete { target, version, .. } => Some((target.uid.unwrap_or(subject), *version)),
        Operation::Create(_) | Operation::Get { .. } | Operation::Notify(_) => None,
    }
}
