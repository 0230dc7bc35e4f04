//! Where members follow their template, a claim gets one that its template makes.

use super::known::{Known, assigned, is_stale};
use super::{Checker, Class, Judgement, Property, as_sandbox};
use crate::api_server::Commit;
use crate::step::{Fact, Sent};
use crate::store::Store;

/// INV-14, as far as the process that decides knows the pool, its template and the member.
#[derive(Clone, Debug, Default)]
pub(super) struct RightMake(Known);

impl Checker for RightMake {
    fn property(&self) -> Property {
        Property {
            name: "right-make",
            about: "where members follow their template, none of an older make is given to a claim",
            class: Class::Safety,
        }
    }

    fn on_commit(&mut self, commit: &Commit, _store: &Store) -> Judgement {
        self.0.on_commit(commit);
        Judgement::Silent
    }

    fn on_action(&mut self, sent: &Sent, store: &Store) -> Judgement {
        let judgement = self.judge(sent, store);
        if self.0.on_sent(sent) { judgement } else { Judgement::Silent }
    }

    fn on_fact(&mut self, fact: &Fact) {
        self.0.on_fact(fact);
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

impl RightMake {
    fn judge(&self, sent: &Sent, store: &Store) -> Judgement {
        let process = sent.process;
        let Some((claim, object)) = assigned(sent, store) else { return Judgement::Silent };
        let Some((pool, template)) = self.0.pool_of(process, claim, store) else { return Judgement::Silent };
        let is_known = object.meta().is_owned_by(pool.meta.uid) && self.0.knows(process, object);
        let Some(member) = as_sandbox(Some(object)).filter(|_| is_known) else { return Judgement::Silent };
        Judgement::unless_broken(is_stale(member, pool, store).then(|| {
            let (claim, member) = (&claim.meta.key.name, &member.meta.key.name);
            let template = &template.meta.key.name;
            format!(
                "process {process} gives {member} to claim {claim}, which template {template} does not make"
            )
        }))
    }
}
