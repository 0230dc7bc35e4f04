//! What a scenario says about the cluster: how long Pods take to start, when users leave, and what is in the way
//! when. It stands beside the faults that a seed draws, and answers first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use agent_sandbox_core::action::Operation;
use agent_sandbox_core::id::{Kind, Text, Uid};
use agent_sandbox_core::object::{Claim, Object};
use agent_sandbox_core::time::Mono;

use super::{Timed, What};
use crate::api_server::Commit;
use crate::controller::Controller;
use crate::process::RequestId;
use crate::scenario::Delay;
use crate::step::{PodStep, Step};
use crate::store::Store;
use crate::world::is_refusable;

/// What the cluster of a scenario is like.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// How long a Pod takes from its node and its image to Ready.
    pub start: Delay,
    /// How many nodes there are.
    pub nodes: u32,
    /// How long a node takes to pull an image, and how many nodes the registry serves at a time.
    pub pull: Option<(Delay, u32)>,
    /// How many Pods may be there, from when to when.
    pub quotas: Vec<(Mono, Mono, u32)>,
    /// How far apart the requests are that the server lets through, from when to when.
    pub throttles: Vec<(Mono, Mono, Duration)>,
    /// How much longer requests take, from when to when.
    pub slow: Vec<(Mono, Mono, Delay)>,
    /// How many nodes go, and when.
    pub losses: Vec<(Mono, u32)>,
    /// When the leading process dies.
    pub crashes: Vec<Mono>,
    /// What the user of each claim does.
    pub users: BTreeMap<Text, Stay>,
}

/// How long the user of a claim stays.
#[derive(Clone, Copy, Debug)]
pub struct Stay {
    /// The line of the script that deletes the claim.
    pub line: u32,
    /// From Ready to the deletion.
    pub hold: Option<Duration>,
    /// From the creation to the deletion, unless it is Ready before.
    pub patience: Option<Duration>,
}

/// The conditions with what has become of them.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    conditions: Arc<Conditions>,
    /// The node of each Pod that has begun to start.
    placed: BTreeMap<Uid, u32>,
    /// How many nodes are gone: those with the lowest numbers.
    lost: u32,
    /// When each node has each image.
    pulled: BTreeMap<(u32, Text), Mono>,
    /// When each place at the registry is free again.
    registry: Vec<Mono>,
    /// When each throttle lets the next request through.
    next: Vec<Mono>,
}

/// How many requests a throttle lets through at once. **Unit**: what comes in this time.
const AT_ONCE: Duration = Duration::from_secs(1);

impl Cluster {
    pub(super) fn new(conditions: Arc<Conditions>) -> Self {
        let next = vec![Mono::default(); conditions.throttles.len()];
        Self {
            conditions,
            placed: BTreeMap::new(),
            lost: 0,
            pulled: BTreeMap::new(),
            registry: Vec::new(),
            next,
        }
    }

    /// Returns whether a throttle is in the way now, and counts the request if none is.
    fn is_throttled(&mut self, now: Mono) -> bool {
        for ((from, to, apart), next) in self.conditions.throttles.iter().zip(&mut self.next) {
            if now < *from || now >= *to {
                continue;
            }
            if *next > now + AT_ONCE {
                return true;
            }
            *next = (*next).max(now) + *apart;
        }
        false
    }
}

impl<C: Controller> Timed<C> {
    /// Plans what the conditions bring by themselves.
    pub(super) fn plan_conditions(&mut self) {
        let Some(cluster) = &self.cluster else { return };
        let conditions = cluster.conditions.clone();
        for (at, nodes) in &conditions.losses {
            self.plan(*at, What::LoseNodes(*nodes));
        }
        for at in &conditions.crashes {
            self.plan(*at, What::CrashLeader);
        }
    }

    /// Plans what becomes of a request, where something is in its way.
    pub(super) fn is_hindered(&mut self, request: RequestId, travel: Duration) -> bool {
        let clock = self.world.clock();
        let Some(cluster) = &mut self.cluster else { return false };
        if cluster.is_throttled(clock) {
            self.plan_step(travel, Step::Throttle(request));
            return true;
        }
        let conditions = cluster.conditions.clone();
        let is_now = |from: Mono, to: Mono| from <= clock && clock < to;
        let quota = conditions.quotas.iter().find(|(from, to, _)| is_now(*from, *to));
        if let Some((_, _, most)) = quota
            && self.exceeds(request, *most)
        {
            self.plan_step(travel, Step::Refuse(request));
            return true;
        }
        if let Some((_, _, by)) = conditions.slow.iter().find(|(from, to, _)| is_now(*from, *to)) {
            let slow = by.draw(&mut self.choices);
            self.plan_step(travel + slow, Step::Commit(request));
            return true;
        }
        false
    }

    /// Returns whether a request asks for one more Pod than a quota allows; creates under way count.
    fn exceeds(&self, request: RequestId, most: u32) -> bool {
        let asks = |id| {
            let request = self.world.request(id);
            request.is_some_and(|it| is_refusable(&it.action) && makes_pod(&it.action.operation))
        };
        if !asks(request) {
            return false;
        }
        let under_way = self.world.requests().iter().filter(|it| it.id != request && it.answer.is_none());
        let under_way = under_way.filter(|it| makes_pod(&it.action.operation)).count();
        self.world.server().store().list(Kind::Pod).len() + under_way >= most as usize
    }

    /// Returns how long a Pod takes from having a node to Ready, where a scenario says so.
    pub(super) fn start_time(&mut self, uid: Uid) -> Option<Duration> {
        let clock = self.world.clock();
        let cluster = self.cluster.as_mut()?;
        let conditions = cluster.conditions.clone();
        let node = *cluster.placed.entry(uid).or_insert_with(|| {
            cluster.lost + (uid.bits() % u128::from(conditions.nodes - cluster.lost)) as u32
        });
        let mut begin = clock;
        if let Some((pull, at_once)) = &conditions.pull {
            let image = image(self.world.server().store(), uid)?;
            begin = match cluster.pulled.get(&(node, image.clone())) {
                Some(pulled) => clock.max(*pulled),
                None => {
                    if cluster.registry.len() < *at_once as usize {
                        cluster.registry.push(clock);
                    }
                    let place = cluster.registry.iter_mut().min().expect("the registry serves somebody");
                    *place = clock.max(*place) + pull.draw(&mut self.choices);
                    cluster.pulled.insert((node, image), *place);
                    *place
                }
            };
        }
        Some(begin.since(clock) + conditions.start.draw(&mut self.choices))
    }

    /// Lets the user of a claim leave: some time after it is Ready, or when it never is.
    pub(super) fn follow_user(&mut self, commit: &Commit) {
        let Some(cluster) = &self.cluster else { return };
        let Some(Object::Claim(claim)) = &commit.new else { return };
        let Some(stay) = cluster.conditions.users.get(&claim.meta.key.name).copied() else { return };
        let was_ready = commit.old.as_ref().and_then(Object::as_claim).is_some_and(is_ready);
        if let Some(patience) = stay.patience
            && commit.old.is_none()
        {
            self.plan_in(patience, What::GiveUp(claim.meta.uid, stay.line));
        }
        if let Some(hold) = stay.hold
            && is_ready(claim)
            && !was_ready
        {
            self.plan_step(hold, Step::User(stay.line));
        }
    }

    /// Returns the step with which a user gives up, unless the claim was served.
    pub(super) fn give_up(&self, claim: Uid, line: u32) -> Option<Step> {
        let claim = self.world.server().store().find(Kind::Claim, claim).and_then(Object::as_claim)?;
        (!is_ready(claim)).then_some(Step::User(line))
    }

    /// Takes nodes away: whatever runs or starts on them fails.
    pub(super) fn lose_nodes(&mut self, nodes: u32) {
        let Some(cluster) = &mut self.cluster else { return };
        cluster.lost = (cluster.lost + nodes).min(cluster.conditions.nodes - 1);
        let lost = cluster.lost;
        let gone: Vec<Uid> =
            cluster.placed.iter().filter(|(_, node)| **node < lost).map(|(uid, _)| *uid).collect();
        for uid in gone {
            // A Pod that is starting must run before it can fail; one that is gone already is passed over.
            self.plan_step(Duration::ZERO, Step::Pod(uid, PodStep::Run));
            self.plan_step(Duration::ZERO, Step::Pod(uid, PodStep::Fail));
        }
    }
}

fn is_ready(claim: &Claim) -> bool {
    claim.status.is_ready()
}

fn makes_pod(operation: &Operation) -> bool {
    matches!(operation, Operation::Create(object) if object.kind() == Kind::Pod)
}

/// Returns the image of a Pod: what its sandbox says, since the server's Pods keep no spec.
fn image(store: &Store, pod: Uid) -> Option<Text> {
    let owner = store.find(Kind::Pod, pod)?.meta().owner_of_kind(Kind::Sandbox)?;
    let sandbox = store.find(Kind::Sandbox, owner)?.as_sandbox()?;
    Some(sandbox.pod_spec.value()["containers"][0]["image"].as_str().unwrap_or_default().into())
}
