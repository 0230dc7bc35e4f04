//! Tests adoption logic of your own: implement [`Controller`], pick the promises that it makes, and let seeds
//! run.
//!
//! The sixty lines of `Greedy` below keep a pool filled and give each claim a member. They look right, and
//! they are right as long as every answer arrives. The bug: the ownership patch names no version, so that
//! whoever writes last has the sandbox. This program finds that out, shrinks the failure, and tells its
//! story:
//!
//! ```text
//! cargo run --release --example own_controller
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
use agent_sandbox_sim::choices::Choices;
use agent_sandbox_sim::controller::Controller;
use agent_sandbox_sim::faults::{Fault, Faults, Options};
use agent_sandbox_sim::plan::Plan;
use agent_sandbox_sim::run::{Case, Judges, run};
use agent_sandbox_sim::shrink::{STEPS_MAX, shrink};
use agent_sandbox_sim::story::Story;

/// Gives each claim the first member that it sees in the pool.
#[derive(Clone, Debug, Default)]
struct Greedy {
    term: u64,
    listed: u32,
    seen: BTreeMap<(Kind, Uid), Object>,
    busy: bool,
    sent: u64,
}

impl Controller for Greedy {
    type Setup = ();

    fn start((): &(), _now: Now) -> Self {
        Self::default()
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
                self.busy = false;
                if let Outcome::Done(object) = outcome {
                    self.see(object);
                }
            }
            Event::Leading { term } => *self = Self { term, ..Self::default() },
            Event::Standby => *self = Self::default(),
            Event::Progress { .. } | Event::WatchLost { .. } => {}
        }
    }

    fn poll_action(&mut self) -> Option<Action> {
        if self.busy || self.listed.count_ones() < 5 {
            return None;
        }
        let (intent, operation) = self.adopt().or_else(|| self.fill())?;
        self.busy = true;
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
        // The bug. It should be `Some(free.version())`: the member may be somebody else's by now.
        let version = None;
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

/// What `Greedy` promises. It writes no status and starts no Pods, so most properties are not its own.
const PROMISES: Judges = Judges::Named(&["adopted-once"]);

fn main() -> ExitCode {
    let faults = Faults::NONE.with(Fault::LostAnswer).with(Fault::LateCommit).with(Fault::WatchLag);
    for seed in 0..1000 {
        let duration = Duration::from_secs(20);
        let options = Options { seed, claims: 4, pool: 2, duration, faults, plan: Plan::None };
        let report = run::<Greedy>(&options, (), PROMISES, &mut ());
        if report.broken.is_none() {
            continue;
        }
        let steps = report.steps;
        let case = Case::<Greedy> { options, setup: (), judges: PROMISES };
        let short = shrink(&case, Choices::from_seed(seed), STEPS_MAX, &|_| true);
        let calm = short.map_or(report, |short| short.report);
        let mut story = Story::last(25);
        case.play(Choices::from_tape(calm.tape.clone()), &mut story);
        println!("seed {seed} breaks a promise after {steps} steps; shrunk to {}:", calm.steps);
        for line in story.lines() {
            println!("{line}");
        }
        if let Some(broken) = calm.broken {
            println!("{}: {}", broken.violation.property.name, broken.violation.what);
        }
        return ExitCode::SUCCESS;
    }
    println!("the bug was not found");
    ExitCode::FAILURE
}
