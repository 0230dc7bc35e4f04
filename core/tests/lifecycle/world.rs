//! A world for stories.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agent_sandbox_core::action::{Action, Intent, Operation, Part};
use agent_sandbox_core::config::Config;
use agent_sandbox_core::event::{Event, Outcome, Refusal};
use agent_sandbox_core::id::{Key, Kind, Uid, Version};
use agent_sandbox_core::machine::Machine;
use agent_sandbox_core::names;
use agent_sandbox_core::object::{
    Blueprint, Claim, ClaimStatus, Json, Meta, Network, Object, Phase, PodMetadata, Pool, PoolStatus,
    Sandbox, SandboxStatus, Template, Truth, Update,
};
use agent_sandbox_core::pace::Rate;
use agent_sandbox_core::time::{Mono, Now, Wall};
use agent_sandbox_core::wishes::{ClaimShutdownPolicy, Lifecycle, Policy, Wishes};

/// A server that answers at once, and its watches.
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) machine: Machine,
    pub(crate) objects: BTreeMap<(Kind, String), Object>,
    pub(crate) revision: u64,
    pub(crate) time: u64,
    /// How far the calendar is ahead. Unit: seconds.
    pub(crate) ahead: i64,
    pub(crate) term: u64,
    pub(crate) kubelet: bool,
    pub(crate) sent: Vec<Intent>,
    pub(crate) statuses: Vec<ClaimStatus>,
    /// What Kubernetes Events say.
    pub(crate) notes: Vec<String>,
    pub(crate) lose_next: Option<(Intent, bool)>,
    /// What the server refuses with a conflict, though nothing has changed.
    pub(crate) conflicts: Option<Intent>,
    /// The claim on which the server refuses to record anything.
    pub(crate) barred: Option<&'static str>,
    /// What the server says to what it is asked, if it refuses; it may count how often that was.
    pub(crate) refuses: Option<fn(Intent, usize) -> Option<Refusal>>,
}

impl World {
    pub(crate) fn with_pool(replicas: u32) -> Self {
        Self::of(Config::default(), replicas)
    }

    /// A pool that is refilled so long after a loss, and with so many members a second.
    pub(crate) fn paced(delay: u64, rate: &str, replicas: u32) -> Self {
        let refill_rate = Rate::parse(rate).unwrap();
        let replenish_delay = Duration::from_secs(delay);
        Self::of(Config { replenish_delay, refill_rate, ..Config::default() }, replicas)
    }

    pub(crate) fn of(config: Config, replicas: u32) -> Self {
        let mut world = Self {
            machine: Machine::new(config.clone(), Now::default()),
            config,
            objects: BTreeMap::new(),
            revision: 0,
            time: 1_000_000,
            ahead: 0,
            term: 0,
            kubelet: true,
            sent: Vec::new(),
            statuses: Vec::new(),
            notes: Vec::new(),
            lose_next: None,
            conflicts: None,
            barred: None,
            refuses: None,
        };
        let blueprint = Blueprint {
            pod: PodMetadata::default(),
            pod_spec: Json::new(serde_json::value::RawValue::from_string("{}".into()).unwrap()),
            volume_claims: None,
            service: None,
            hash: "h".into(),
            pod_hash: "p".into(),
        };
        let mut meta_of_template = meta("tpl");
        let hash = names::name_hash("tpl");
        meta_of_template.labels.insert(names::TEMPLATE_REF_HASH.into(), hash);
        world.put(Object::Template(Arc::new(Template {
            meta: meta_of_template,
            blueprint: Arc::new(blueprint),
            network: Network::Unmanaged,
            env_policy: Policy::default(),
            volume_claims_policy: Policy::default(),
            flaw: None,
        })));
        let status = PoolStatus { selector: "".into(), ..PoolStatus::default() };
        world.put(Object::Pool(Arc::new(Pool {
            meta: meta("pool"),
            replicas,
            template: "tpl".into(),
            update: Update::OnReplenish,
            status,
        })));
        world.restart();
        world
    }

    pub(crate) fn now(&self) -> Now {
        let wall = Wall::from_micros(self.time as i64 + self.ahead * 1_000_000);
        Now { mono: Mono::from_micros(self.time), wall }
    }

    pub(crate) fn restart(&mut self) {
        self.machine = Machine::new(self.config.clone(), self.now());
        self.lead();
    }

    pub(crate) fn lead(&mut self) {
        self.term += 1;
        self.machine.handle_event(Event::Leading { term: self.term }, self.now());
        for kind in Kind::ALL {
            let objects = self.objects.values().filter(|object| object.kind() == kind).cloned().collect();
            let at = Version(self.revision);
            self.machine.handle_event(Event::Relisted { kind, objects, at }, self.now());
        }
    }

    pub(crate) fn claim(&mut self, name: &str) {
        self.show(Object::Claim(Arc::new(new_claim(name))));
    }

    /// Stores an object and lets the watch show it.
    pub(crate) fn show(&mut self, object: Object) {
        let object = self.put(object);
        self.machine.handle_event(Event::Applied(object), self.now());
    }

    pub(crate) fn claim_until(&mut self, name: &str, seconds: u64, policy: ClaimShutdownPolicy) {
        let shutdown = Some(self.now().wall + Duration::from_secs(seconds));
        let lifecycle = Some(Lifecycle { shutdown, ttl: None, policy });
        let wishes = Some(Arc::new(Wishes { lifecycle, ..Wishes::default() }));
        let claim = Claim { meta: meta(name), pool: "pool".into(), wishes, status: ClaimStatus::default() };
        self.show(Object::Claim(Arc::new(claim)));
    }

    /// A sandbox called `own`, as a user makes it.
    pub(crate) fn own_sandbox(&mut self, change: impl FnOnce(&mut Sandbox)) {
        let mut sandbox = Sandbox {
            meta: meta("own"),
            pod: PodMetadata::default(),
            pod_spec: Json::from(&serde_json::json!({})),
            volume_claims: None,
            service: None,
            suspended: false,
            shutdown: None,
            status: SandboxStatus::default(),
        };
        change(&mut sandbox);
        self.show(Object::Sandbox(Arc::new(sandbox)));
    }

    pub(crate) fn edit(&mut self, change: impl FnOnce(&mut Sandbox)) {
        let mut sandbox = (*self.sandbox("own")).clone();
        change(&mut sandbox);
        sandbox.meta.generation += 1;
        self.show(Object::Sandbox(Arc::new(sandbox)));
    }

    pub(crate) fn template(&self) -> Template {
        let Object::Template(template) = &self.objects[&(Kind::Template, "tpl".into())] else {
            unreachable!()
        };
        (**template).clone()
    }

    /// Makes it, or edits the one that is there.
    pub(crate) fn make_template(&mut self, template: &Template) {
        let mut template = template.clone();
        if !self.objects.contains_key(&(Kind::Template, "tpl".into())) {
            template.meta.uid = Uid::UNSET;
        }
        let object = self.put(Object::Template(Arc::new(template)));
        self.machine.handle_event(Event::Applied(object), self.now());
    }

    pub(crate) fn replicas(&mut self, replicas: u32) {
        let mut pool = self.pool();
        pool.replicas = replicas;
        pool.meta.generation += 1;
        self.show(Object::Pool(Arc::new(pool)));
    }

    pub(crate) fn delete(&mut self, kind: Kind, name: &str) {
        let mut object = self.objects.remove(&(kind, name.into())).unwrap();
        self.revision += 1;
        object.meta_mut().version = Version(self.revision);
        self.machine.handle_event(Event::Deleted(object.clone()), self.now());
        let children: Vec<_> =
            self.objects.values().filter(|child| child.meta().is_owned_by(object.uid())).cloned().collect();
        for child in children {
            self.delete(child.kind(), &child.key().name.clone());
        }
    }

    pub(crate) fn put(&mut self, mut object: Object) -> Object {
        self.revision += 1;
        let (revision, now) = (self.revision, self.now().wall);
        let meta = object.meta_mut();
        if meta.uid == Uid::UNSET {
            (meta.uid, meta.generation, meta.created) =
                (Uid::from_bits(revision.into()), 1, now.whole_seconds());
        }
        meta.version = Version(revision);
        self.objects.insert((object.kind(), object.key().name.to_string()), object.clone());
        object
    }

    pub(crate) fn drain(&mut self) {
        self.drain_at_most(usize::MAX);
    }

    pub(crate) fn drain_at_most(&mut self, most: usize) {
        for _ in 0..most {
            let Some(action) = self.machine.poll_action() else { break };
            assert!(self.sent.len() < 10_000, "does not come to rest");
            self.sent.push(action.intent);
            let outcome = self.answer(&action);
            self.machine.handle_event(Event::ActionDone { id: action.id, outcome }, self.now());
        }
        if most == usize::MAX {
            assert_eq!(self.machine.forgotten(), [], "a full pass finds more to do");
        }
    }

    pub(crate) fn answer(&mut self, action: &Action) -> Outcome {
        let times = self.count(action.intent);
        if let Some(refusal) = self.refuses.and_then(|refuses| refuses(action.intent, times)) {
            return Outcome::Refused(refusal);
        }
        let is_record = matches!(action.intent, Intent::RecordAssignment | Intent::RecordColdStart);
        if is_record && self.barred == Some(&*action.operation.key().name) {
            return Outcome::Refused(Refusal::Invalid("not this one".into()));
        }
        if self.conflicts == Some(action.intent) {
            return Outcome::Conflict;
        }
        match self.lose_next {
            Some((intent, landed)) if intent == action.intent => {
                self.lose_next = None;
                if landed {
                    self.execute(&action.operation);
                }
                Outcome::Unknown
            }
            _ => self.execute(&action.operation),
        }
    }

    pub(crate) fn execute(&mut self, operation: &Operation) -> Outcome {
        let slot = (operation.kind(), operation.key().name.to_string());
        match operation {
            Operation::Create(_) if self.objects.contains_key(&slot) => Outcome::AlreadyExists,
            Operation::Create(object) => Outcome::Done(self.put(object.clone())),
            Operation::Get { .. } => {
                self.objects.get(&slot).cloned().map_or(Outcome::NotFound, Outcome::Done)
            }
            Operation::Notify(notice) => {
                self.notes.push(notice.note.to_string());
                Outcome::Accepted
            }
            Operation::Patch(patch) => {
                let Some(mut object) = self.objects.get(&slot).cloned() else { return Outcome::NotFound };
                if Some(object.version()) != patch.version || Some(object.uid()) != patch.target.uid {
                    return Outcome::Conflict;
                }
                for change in &patch.changes {
                    change.apply(&mut object);
                }
                if patch.changes.iter().any(|change| change.is_spec()) {
                    object.meta_mut().generation += 1;
                }
                if let (Part::Status, Object::Claim(claim)) = (patch.part, &object) {
                    self.statuses.push(claim.status.clone());
                }
                Outcome::Done(self.put(object))
            }
            Operation::Delete { target, version, .. } => {
                let Some(object) = self.objects.get(&slot) else { return Outcome::NotFound };
                if Some(object.version()) != *version || Some(object.uid()) != target.uid {
                    return Outcome::Conflict;
                }
                let key = object.key().name.clone();
                self.delete(slot.0, &key);
                Outcome::Accepted
            }
        }
    }

    /// Returns how often something was asked for.
    pub(crate) fn count(&self, intent: Intent) -> usize {
        self.sent.iter().filter(|sent| **sent == intent).count()
    }

    /// Lets seconds pass, one after the other.
    pub(crate) fn pass_seconds(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.pass(Duration::from_secs(1));
        }
    }

    /// What the claim says of itself: reason and message.
    pub(crate) fn told(&self, claim: &str) -> (String, String) {
        let status = self.get_claim(claim).status;
        let ready = status.condition(names::READY).cloned().unwrap();
        (ready.reason.to_string(), ready.message.to_string())
    }

    /// Gives the template's sandboxes a Service or none.
    pub(crate) fn edit_template(&mut self, service: bool) {
        let mut template = self.template();
        let blueprint = (*template.blueprint).clone();
        template.blueprint = Arc::new(Blueprint { service: Some(service), ..blueprint });
        template.meta.generation += 1;
        self.show(Object::Template(Arc::new(template)));
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.time += time.as_micros() as u64;
        self.machine.handle_timeout(self.now());
        self.drain();
    }

    /// Runs Pods and timers until nothing happens for a while.
    pub(crate) fn settle(&mut self) {
        for _ in 0..200 {
            self.drain();
            self.start_pods();
            self.drain();
            self.pass(Duration::from_millis(200));
        }
    }

    pub(crate) fn start_pods(&mut self) {
        let pods: Vec<_> =
            self.objects.values().filter(|object| object.kind() == Kind::Pod).cloned().collect();
        for mut object in pods {
            let Object::Pod(pod) = &mut object else { continue };
            if !self.kubelet || pod.ready {
                continue;
            }
            let pod = Arc::make_mut(pod);
            (pod.phase, pod.ready, pod.node) = (Phase::Running, true, "node".into());
            pod.ips = vec!["10.0.0.1".into()];
            pod.scheduled = Some((Truth::True, "".into(), "".into()));
            let object = self.put(object);
            self.machine.handle_event(Event::Applied(object), self.now());
        }
    }

    /// Returns how many members the pool has.
    pub(crate) fn members(&self) -> usize {
        let pool = self.pool().meta.uid;
        self.sandboxes().iter().filter(|sandbox| sandbox.meta.is_owned_by(pool)).count()
    }

    /// Lets time pass second by second, Pods start, and returns how many members there are after each.
    pub(crate) fn members_by_second(&mut self, seconds: usize) -> Vec<usize> {
        let second = |world: &mut Self| {
            world.start_pods();
            world.pass(Duration::from_secs(1));
            world.members()
        };
        (0..seconds).map(|_| second(self)).collect()
    }

    pub(crate) fn pool(&self) -> Pool {
        let Object::Pool(pool) = &self.objects[&(Kind::Pool, "pool".into())] else { unreachable!() };
        (**pool).clone()
    }

    pub(crate) fn get_claim(&self, name: &str) -> Claim {
        let Object::Claim(claim) = &self.objects[&(Kind::Claim, name.into())] else { unreachable!() };
        (**claim).clone()
    }

    pub(crate) fn sandbox(&self, name: &str) -> Arc<Sandbox> {
        let Object::Sandbox(sandbox) = &self.objects[&(Kind::Sandbox, name.into())] else { unreachable!() };
        sandbox.clone()
    }

    pub(crate) fn sandboxes(&self) -> Vec<Arc<Sandbox>> {
        let of_kind = self.objects.keys().filter(|(kind, _)| *kind == Kind::Sandbox);
        of_kind.map(|(_, name)| self.sandbox(name)).collect()
    }
}

/// A claim on `pool` that asks for nothing else.
pub(crate) fn new_claim(name: &str) -> Claim {
    Claim { meta: meta(name), pool: "pool".into(), wishes: None, status: ClaimStatus::default() }
}

pub(crate) fn meta(name: &str) -> Meta {
    Meta::draft(Key::new("ns", name))
}

pub(crate) fn is_true(status: &SandboxStatus, kind: &str) -> bool {
    status.condition(kind).is_some_and(|condition| condition.status == Truth::True)
}
