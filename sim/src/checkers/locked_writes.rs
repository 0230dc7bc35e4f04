//! Every write says which object it means, and in which state.

use agent_sandbox_core::action::{Intent, Operation};

use super::{Checker, Class, Judgement, Property};
use crate::step::Sent;
use crate::store::Store;

/// INV-07: nothing is changed or destroyed on the grounds of what is not so any more.
#[derive(Clone, Debug)]
pub(super) struct LockedWrites;

impl Checker for LockedWrites {
    fn property(&self) -> Property {
        Property {
            name: "locked-writes",
            about: "every patch names identity and version, every delete an identity, and a member's its version",
            class: Class::Safety,
        }
    }

    fn on_action(&mut self, sent: &Sent, _store: &Store) -> Judgement {
        let missing = match &*sent.action.operation {
            Operation::Patch(patch) => missing(patch.target.uid.is_some(), patch.version.is_some()),
            Operation::Delete { target, version, .. } => {
                let by_name = sent.action.intent != Intent::DeleteMember;
                missing(target.uid.is_some(), version.is_some() || by_name)
            }
            Operation::Create(_) | Operation::Get { .. } | Operation::Notify(_) => return Judgement::Silent,
        };
        Judgement::unless_broken(missing.map(|what| {
            format!("{:?} of {} names no {what}", sent.action.intent, sent.action.operation.key().name)
        }))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

const fn missing(has_uid: bool, has_version: bool) -> Option<&'static str> {
    match (has_uid, has_version) {
        (false, _) => Some("identity"),
        (true, false) => Some("version"),
        (true, true) => None,
    }
}
