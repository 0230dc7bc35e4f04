//! Who came first is served first.

use agent_sandbox_core::id::{Kind, Uid};
use agent_sandbox_core::object::Claim;

use super::known::{Known, assigned};
use super::{Checker, Class, Judgement, Property, as_claim};
use crate::api_server::Commit;
use crate::step::{Fact, Sent};
use crate::store::Store;

/// INV-32, as far as the process that decides knows who waits. Who came in the same second came together: the API server
/// tells no more. That one claim holds up no other is for `claims-served` to judge.
#[derive(Clone, Debug, Default)]
pub(super) struct FirstCome(Known);

impl Checker for FirstCome {
    fn property(&self) -> Property {
        Property {
            name: "first-come",
            about: "a member goes to no claim while one waits that came earlier",
            class: Class::Safety,
        }
    }

    fn on_commit(&mut self, commit: &Commit, _store: &Store) -> Judgement {
        self.0.on_commit(commit);
        Judgement::Silent
    }

    fn on_action(&mut self, sent: &Sent, store: &Store) -> Judgement {
        let judgement = assigned(sent, store)
            .map_or(Judgement::Silent, |(claim, _)| self.judge(sent.process, claim, store));
        if self.0.on_sent(sent) { judgement } else { Judgement::Silent }
    }

    fn on_fact(&mut self, fact: &Fact) {
        self.0.on_fact(fact);
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

impl FirstCome {
    fn judge(&self, process: u8, claim: &Claim, store: &Store) -> Judgement {
        let pool = claim.meta.key.sibling(claim.pool.clone());
        let older = self.0.waiting(&pool).take_while(|(created, _)| *created < claim.meta.created);
        let passed = older.filter_map(|(_, uid)| self.waits(process, *uid, store)).next();
        Judgement::unless_broken(passed.map(|passed| {
            let (claim, passed) = (&claim.meta.key.name, &passed.meta.key.name);
            format!("process {process} serves claim {claim} before claim {passed}, which came earlier")
        }))
    }

    /// Returns a claim that a process knows to wait for a member, and to ask for nothing that a member may not have.
    fn waits<'a>(&self, process: u8, uid: Uid, store: &'a Store) -> Option<&'a Claim> {
        let object = store.find(Kind::Claim, uid).filter(|object| self.0.knows(process, object))?;
        let claim =
            as_claim(Some(object)).filter(|claim| claim.wishes.is_none() && !claim.meta.terminating)?;
        self.0.was_never_served(uid).then_some(claim)
    }
}
