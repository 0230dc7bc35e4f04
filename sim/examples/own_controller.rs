//! Checks adoption logic of your own, which looks right and is not, and prints how it fails.
//!
//! `docs/check-your-controller.md` explains it piece by piece; a test puts those pieces together and compares them with this
//! file.
//!
//! ```text
//! cargo run --release -p agent-sandbox-sim --example own_controller
//! ```

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use agent_sandbox_core::action::{Action, Intent, Operation, Part, Patch, Target};
use agent_sandbox_core::event::{Event, Outcome};
use agent_sandbox_core::id::{ActionId, Kind, Uid};
use agent_sandbox_core::object::{Meta, Object, Owner, Sandbox, SandboxStatus, Template};
use agent_sandbox_core::patch::Change;
use agent_sandbox_core::time::{Mono, Now};
use agent_sandbox_sim::api_server::Commit;
use agent_sandbox_sim::checkers::{Checker, Class, Judgement, Property};
use agent_sandbox_sim::choices::Choices;
use agent_sandbox_sim::controller::Controller;
use agent_sandbox_sim::faults::{Fault, Faults, Options};
use agent_sandbox_sim::plan::Plan;
use agent_sandbox_sim::run::{Case, Judges};
use agent_sandbox_sim::shrink::{STEPS_MAX, shrink};
use agent_sandbox_sim::store::Store;
use agent_sandbox_sim::tale::tell as story;

/// Whether a write names the state of the object that it was decided on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Lock {
    #[default]
    None,
    Version,
}

/// Keeps a pool filled, and gives each claim the first member that it sees in the pool.
#[derive(Clone, Debug, Default)]
struct Greedy {
    lock: Lock,
    term: u64,
    listed: u32,
    seen: BTreeMap<(Kind, Uid), Object>,
    is_busy: bool,
    sent: u64,
}

impl Controller for Greedy {
    type Setup = Lock;

    fn start(lock: &Lock, _now: Now) -> Self {
        Self { lock: *lock, ..Self::default() }
    }

    fn handle_event(&mut self, event: Event, _now: Now) {
        match event {
            Event::Applied(object) => self.see(object),
            Event::Deleted(object) => _ = self.seen.remove(&(object.kind(), object.uid())),
            Event::Relisted { kind, objects, .. } => {
                self.listed |= 1 << kind.index();
                self.seen.retain(|(seen, _), _| *seen != kind);
                objects.into_iter().for_each(|object| self.see(object));
            }
            Event::ActionDone { outcome, .. } => {
                self.is_busy = false;
                if let Outcome::Done(object) = outcome {
                    self.see(object);
                }
            }
            Event::Leading { term } => *self = Self { lock: self.lock, term, ..Self::default() },
            Event::Standby => *self = Self { lock: self.lock, ..Self::default() },
            Event::Progress { .. } | Event::WatchLost { .. } => {}
        }
    }

    fn poll_action(&mut self) -> Option<Action> {
        if self.is_busy || self.listed.count_ones() < 5 {
            return None;
        }
        let (intent, operation) = self.adopt().or_else(|| self.fill())?;
        self.is_busy = true;
        self.sent += 1;
        Some(Action { id: ActionId(self.sent), intent, operation: Arc::new(operation) })
    }

    fn handle_timeout(&mut self, _now: Now) {}

    fn poll_timeout(&self) -> Option<Mono> {
        None
    }
}

impl Greedy {
    fn see(&mut self, object: Object) {
        self.seen.insert((object.kind(), object.uid()), object);
    }

    fn all(&self, kind: Kind) -> impl Iterator<Item = &Object> {
        self.seen.values().filter(move |object| object.kind() == kind)
    }

    fn adopt(&self) -> Option<(Intent, Operation)> {
        let has_one = |claim: &Object| self.all(Kind::Sandbox).any(|it| it.meta().is_owned_by(claim.uid()));
        let claim = self.all(Kind::Claim).find(|claim| !has_one(claim))?;
        let free = self.all(Kind::Sandbox).find(|it| it.meta().owner_of_kind(Kind::Pool).is_some())?;
        let target = Target { kind: Kind::Sandbox, key: free.key().clone(), uid: Some(free.uid()) };
        let changes = vec![Change::Owner(Owner::new(Kind::Claim, claim.meta()))];
        let version = (self.lock == Lock::Version).then(|| free.version());
        Some((Intent::AdoptSandbox, Operation::Patch(Patch { target, version, part: Part::Main, changes })))
    }

    fn fill(&self) -> Option<(Intent, Operation)> {
        let Object::Template(template) = self.all(Kind::Template).next()? else { return None };
        let pool = self.all(Kind::Pool).find(|pool| {
            let Object::Pool(pool) = pool else { return false };
            let members = self.all(Kind::Sandbox).filter(|it| it.meta().is_owned_by(pool.meta.uid));
            members.count() < pool.replicas as usize
        })?;
        let name = format!("{}-{}-{}", pool.key().name, self.term, self.sent);
        Some((Intent::CreateMember, Operation::Create(member(template, pool, name))))
    }
}

fn member(template: &Template, pool: &Object, name: String) -> Object {
    let mut meta = Meta::draft(pool.key().sibling(name));
    meta.owner = Some(Owner::new(Kind::Pool, pool.meta()));
    let blueprint = &template.blueprint;
    Object::Sandbox(Arc::new(Sandbox {
        meta,
        pod: blueprint.pod.clone(),
        pod_spec: blueprint.pod_spec.clone(),
        volume_claims: None,
        service: None,
        suspended: false,
        shutdown: None,
        status: SandboxStatus::default(),
    }))
}

/// What a claim has, nobody takes away.
#[derive(Clone, Debug)]
struct Kept;

impl Checker for Kept {
    fn property(&self) -> Property {
        Property { name: "kept", about: "what a claim has, nobody takes away", class: Class::Safety }
    }

    fn on_commit(&mut self, commit: &Commit, _store: &Store) -> Judgement {
        let (Some(old), Some(new)) = (&commit.old, &commit.new) else { return Judgement::Silent };
        let Some(had) = old.meta().owner.as_ref().filter(|_| old.meta().owner_of_kind(Kind::Claim).is_some())
        else {
            return Judgement::Silent;
        };
        let is_taken = !new.meta().is_owned_by(had.uid);
        let name = &new.key().name;
        Judgement::unless_broken(is_taken.then(|| format!("{name} was taken away from {}", had.name)))
    }

    fn copy(&self) -> Box<dyn Checker> {
        Box::new(self.clone())
    }
}

/// How many seeds are tried.
const SEEDS: u64 = 300;

/// Returns the number of seeds that passed, and the story of the first that did not.
fn check(lock: Lock) -> (u64, Option<String>) {
    let faults = Faults::NONE.with(Fault::LostAnswer).with(Fault::WatchLag);
    for seed in 0..SEEDS {
        let duration = Duration::from_secs(20);
        let options = Options { seed, claims: 8, pool: 2, duration, faults, plan: Plan::None };
        let judges = Judges::Own(|| vec![Box::new(Kept)]);
        let case = Case::<Greedy> { options, setup: lock, judges };
        if case.play(Choices::from_seed(seed), &mut ()).broken.is_none() {
            continue;
        }
        return (seed, Some(tell(&case, seed)));
    }
    (SEEDS, None)
}

fn tell(case: &Case<Greedy>, seed: u64) -> String {
    let Some(short) = shrink(case, Choices::from_seed(seed), STEPS_MAX, None) else {
        return format!("seed {seed} passes");
    };
    let sentences: Vec<String> = story(case, &short.report.tape).iter().map(ToString::to_string).collect();
    let what = short.report.broken.map(|broken| broken.violation.what).unwrap_or_default();
    format!("seed {seed}, in {} sentences:\n{}\n{what}", sentences.len(), sentences.join("\n"))
}

fn main() -> ExitCode {
    let (passed, story) = check(Lock::None);
    let Some(story) = story else {
        println!("{passed} seeds, and the race was not found");
        return ExitCode::FAILURE;
    };
    println!("without a lock: {story}\n");
    let (passed, story) = check(Lock::Version);
    println!("with a lock: {}", story.unwrap_or_else(|| format!("{passed} seeds, all well")));
    if passed == SEEDS { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lock_keeps_what_a_claim_has() {
        assert!(check(Lock::None).1.is_some());
        assert_eq!(check(Lock::Version), (SEEDS, None));
    }
}
