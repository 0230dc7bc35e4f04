//! Who came first is served first.

use agent_sandbox_core::id::{Kind, Uid};
use agent_sandbox_core::object::Claim;

use super::known::{Known, assigned};
use super::{Checker, Class, Judgement, Property, as_claim};
use crate::process;
use crate::step::Sent;
use crate::store::Store;

/// INV-32, as far as the process that decides knows who waits. Who came in the same second came together: the API server
/// tells no more. That one claim holds up no other is for `claims-served` to judge.
#[derive(Debug)]
pub(super) struct FirstCome;

impl Checker for FirstCome {
    fn property(&self) -> Property {
        Property {
            name: "first-come",
            about: "a member goes to no claim while one waits that came earlier",
            class: Class::Safety,
        }
    }

    fn judges_decisions(&self) -> bool {
        true
    }

    fn on_decision(&mut self, sent: &Sent, known: &Known, store: &Store) -> Judgement {
        assigned(sent, store).map_or(Judgement::Silent, |(claim, _)| judge(sent.process, claim, known, store))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(Self)
    }
}

fn judge(process: u8, claim: &Claim, known: &Known, store: &Store) -> Judgement {
    let pool = claim.meta.key.sibling(claim.pool.clone());
    let older = known.waiting(&pool).take_while(|(created, _)| *created < claim.meta.created);
    let passed = older.filter_map(|(_, uid)| waits(process, *uid, known, store)).next();
    Judgement::unless_broken(passed.map(|passed| {
        let (claim, passed) = (&claim.meta.key.name, &passed.meta.key.name);
        let who = process::name(process);
        format!("{who} serves claim {claim} before claim {passed}, which came earlier")
    }))
}

/// Returns a claim that a process knows to wait for a member, and to ask for nothing that a member may not have.
fn waits<'a>(process: u8, uid: Uid, known: &Known, store: &'a Store) -> Option<&'a Claim> {
    let object = store.find(Kind::Claim, uid).filter(|object| known.knows(process, object))?;
    let claim = as_claim(Some(object)).filter(|claim| claim.wishes.is_none() && !claim.meta.terminating)?;
    known.was_never_served(uid).then_some(claim)
}
