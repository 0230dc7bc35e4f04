//! What the benches measure with: a cluster in memory where everything is done at once.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use agent_sandbox_core::action::{Action, Intent};
use agent_sandbox_core::config::Config;
use agent_sandbox_core::event::Event;
use agent_sandbox_core::id::{Kind, Text, Version};
use agent_sandbox_core::machine::Machine;
use agent_sandbox_core::object::{Object, Phase, Truth};
use agent_sandbox_core::time::{Mono, Now, Wall};
use agent_sandbox_core::wire;
use agent_sandbox_sim::api_server::{ApiServer, Commit, Deletion, Seen, Writer};
use agent_sandbox_sim::scene;

/// The pool that everybody claims from.
const POOL: &str = "pool";

/// Nodes that Pods are spread over. Source: a cluster of 10,000 Pods has at least 91 nodes, 110 Pods each.
const NODES: u64 = 100;

/// Who changes Pods.
const KUBELET: Writer = Writer::Kubelet;

/// An event with the moment at which it entered the machine; `None` for a timeout.
pub type Call = (Now, Option<Event>);

/// A machine with a server that answers at once, watches that show everything at once, and Pods that start and stop at
/// once.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// The machine.
    pub machine: Machine,
    server: ApiServer,
    now: Now,
    waiting: VecDeque<Event>,
    /// Every call of the machine, while they are kept.
    calls: Option<Vec<Call>>,
    claims: VecDeque<Text>,
    claims_made: u64,
}

impl Cluster {
    /// Returns a cluster with a pool of this size, filled.
    pub fn new(pool: u32) -> Self {
        let now = Now { mono: Mono::default(), wall: scene::epoch() };
        let mut cluster = Self {
            machine: Machine::new(Config::default(), now),
            server: ApiServer::default(),
            now,
            waiting: VecDeque::new(),
            calls: None,
            claims: VecDeque::new(),
            claims_made: 0,
        };
        cluster.waiting.push_back(Event::Leading { term: 1 });
        let relisted = |kind| Event::Relisted { kind, objects: Vec::new(), at: Version(0) };
        cluster.waiting.extend(Kind::ALL.map(relisted));
        cluster.create(&template());
        cluster.create(&scene::pool(POOL, pool));
        cluster.settle();
        cluster
    }

    /// Creates so many claims, one each `pause`, and lets each be served.
    pub fn claim(&mut self, count: u64, pause: Duration) {
        for _ in 0..count {
            self.pass(pause);
            self.claims_made += 1;
            let name: Text = format!("claim-{:08}", self.claims_made).into();
            self.claims.push_back(name.clone());
            self.create(&scene::claim(name, POOL));
            self.settle();
        }
    }

    /// Lets so many claims come and go, one of each every `pause`: the oldest goes, a new one comes.
    pub fn turn_over(&mut self, count: u64, pause: Duration) {
        for _ in 0..count {
            if let Some(oldest) = self.claims.pop_front() {
                self.delete(Kind::Claim, oldest);
            }
            self.claim(1, pause);
        }
    }

    /// Does something and returns every call of the machine that came of it.
    pub fn recorded(&mut self, deed: impl FnOnce(&mut Self)) -> Vec<Call> {
        self.calls = Some(Vec::new());
        deed(self);
        self.calls.take().unwrap_or_default()
    }

    /// Returns every object of a kind.
    pub fn list(&self, kind: Kind) -> &[Object] {
        self.server.store().list(kind)
    }

    /// Returns the moment.
    pub const fn now(&self) -> Now {
        self.now
    }

    /// Lets time pass, timers included.
    fn pass(&mut self, time: Duration) {
        let until = self.now.mono + time;
        while let Some((at, _)) = self.machine.poll_timeout().filter(|(at, _)| *at <= until) {
            self.set_clock(at.max(self.now.mono));
            self.call(None);
            self.settle();
        }
        self.set_clock(until);
    }

    fn set_clock(&mut self, mono: Mono) {
        let wall = Wall::from_micros(scene::epoch().micros() + mono.micros().cast_signed());
        self.now = Now { mono, wall };
    }

    /// Gives the machine everything that there is to know.
    fn settle(&mut self) {
        while let Some(event) = self.waiting.pop_front() {
            self.call(Some(event));
        }
    }

    fn call(&mut self, event: Option<Event>) {
        if let Some(calls) = &mut self.calls {
            calls.push((self.now, event.clone()));
        }
        let mut actions = Vec::new();
        enter(&mut self.machine, (self.now, event), |action| actions.push(action));
        for action in actions {
            let by = Writer::Process { process: 0, term: 1, intent: action.intent };
            let (outcome, commits) = self.server.handle(&action.operation, by, self.now.wall);
            self.waiting.push_back(Event::ActionDone { id: action.id, outcome });
            commits.into_iter().for_each(|commit| self.show(commit));
            if action.intent == Intent::CreatePod {
                self.start_pod(&action);
            }
        }
    }

    fn start_pod(&mut self, action: &Action) {
        let commit = self.server.update(Kind::Pod, action.operation.key(), KUBELET, |object| {
            let Object::Pod(pod) = object else { return };
            let serial = pod.meta.uid.bits() as u64 & 0xff_ffff;
            let pod = Arc::make_mut(pod);
            pod.node = format!("node-{}", serial % NODES).into();
            pod.scheduled = Some((Truth::True, "".into(), "".into()));
            pod.ips = vec![format!("10.{}.{}.{}", serial >> 16, serial >> 8 & 0xff, serial & 0xff).into()];
            (pod.phase, pod.ready) = (Phase::Running, true);
        });
        self.show(commit);
    }

    fn create(&mut self, object: &Object) {
        let operation = agent_sandbox_core::action::Operation::Create(object.clone());
        let (_, commits) = self.server.handle(&operation, Writer::User, self.now.wall);
        commits.into_iter().for_each(|commit| self.show(commit));
    }

    /// Deletes an object and, as the garbage collector would, all that it owns.
    fn delete(&mut self, kind: Kind, name: Text) {
        let key = scene::key(name);
        let Some(owner) = self.server.store().get(kind, &key).map(Object::uid) else { return };
        let commits = self.server.delete_now(kind, &key, Deletion::AT_ONCE, Writer::Collector);
        commits.into_iter().for_each(|commit| self.show(commit));
        for kind in [Kind::Sandbox, Kind::Pod] {
            let owned = self.server.store().owned_by(kind, owner);
            let names: Vec<Text> = owned.map(|object| object.key().name.clone()).collect();
            names.into_iter().for_each(|name| self.delete(kind, name));
        }
    }

    /// Shows a change on the watch.
    fn show(&mut self, commit: Option<Commit>) {
        let Some(commit) = commit else { return };
        let kind = commit.object().kind();
        self.server.trim(kind, commit.version);
        let seen = match commit.new {
            Some(object) => Seen::Applied(object),
            None => {
                let mut gone = commit.object().clone();
                gone.meta_mut().version = commit.version;
                Seen::Deleted(gone)
            }
        };
        self.waiting.push_back(match seen {
            Seen::Applied(object) => Event::Applied(object),
            Seen::Deleted(object) => Event::Deleted(object),
        });
        // A server sends bookmarks about once a minute; at that rate each would be a thousand changes late.
        if commit.version.0.is_multiple_of(1000) {
            self.waiting.push_back(Event::Progress { kind, at: commit.version });
        }
    }
}

/// Makes one call of a machine and takes every action.
pub fn enter(machine: &mut Machine, (now, event): Call, mut take: impl FnMut(Action)) {
    match event {
        Some(event) => machine.handle_event(event, now),
        None => machine.handle_timeout(now),
    }
    while let Some(action) = machine.poll_action() {
        take(action);
    }
}

/// Returns a template with a Pod of usual size: some 1.2 kB of JSON.
///
/// # Panics
/// Never: the text is a template.
pub fn template() -> Object {
    let text = include_str!("template.json");
    wire::decode(Kind::Template, text).expect("the text is a template")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_claim_is_served_and_the_pool_is_full_again() {
        let mut cluster = Cluster::new(5);
        cluster.claim(20, Duration::from_millis(10));
        let calls = cluster.recorded(|cluster| cluster.turn_over(20, Duration::from_millis(100)));
        let ready = |object: &Object| matches!(object, Object::Claim(claim) if claim.status.is_ready());
        assert_eq!(cluster.list(Kind::Claim).iter().filter(|object| ready(object)).count(), 20);
        assert_eq!(cluster.list(Kind::Sandbox).len(), 25);
        assert_eq!(cluster.list(Kind::Pod).len(), 25);
        assert!(calls.len() > 20 * 10, "{}", calls.len());
    }
}
