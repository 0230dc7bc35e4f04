//! Where members follow their template, a claim gets one that its template makes.

use super::known::{Known, assigned, is_stale};
use super::{Checker, Class, Judgement, Property, as_sandbox};
use crate::process;
use crate::step::Sent;
use crate::store::Store;

/// INV-14, as far as the process that decides knows the pool, its template and the member.
#[derive(Debug)]
pub(super) struct RightMake;

impl Checker for RightMake {
    fn property(&self) -> Property {
        Property {
            name: "right-make",
            about: "where members follow their template, none of an older make is given to a claim",
            class: Class::Safety,
        }
    }

    fn judges_decisions(&self) -> bool {
        true
    }

    fn on_decision(&mut self, sent: &Sent, known: &Known, store: &Store) -> Judgement {
        let process = sent.process;
        let Some((claim, object)) = assigned(sent, store) else { return Judgement::Silent };
        let Some((pool, template)) = known.pool_of(process, claim, store) else { return Judgement::Silent };
        let is_known = object.meta().is_owned_by(pool.meta.uid) && known.knows(process, object);
        let Some(member) = as_sandbox(Some(object)).filter(|_| is_known) else { return Judgement::Silent };
        Judgement::unless_broken(is_stale(member, pool, store).then(|| {
            let (claim, member) = (&claim.meta.key.name, &member.meta.key.name);
            let (template, who) = (&template.meta.key.name, process::name(process));
            format!("{who} gives {member} to claim {claim}, which template {template} does not make")
        }))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(Self)
    }
}
