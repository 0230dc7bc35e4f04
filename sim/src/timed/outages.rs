//! Trouble that strikes several at once: a server, a node, a process that stands still.

use std::time::Duration;

use agent_sandbox_core::id::{Kind, Uid};
use agent_sandbox_core::object::{Object, Phase, Pod};
use agent_sandbox_core::time::Mono;

use super::{PLACES, Timed, What};
use crate::cluster;
use crate::controller::Controller;
use crate::faults::Fault;
use crate::step::{PodStep, Step};
use crate::tape::{Site, Topic};

/// The kinds of trouble that are told here.
pub(super) const KINDS: [Fault; 13] = [
    Fault::ServerRestart,
    Fault::Outage,
    Fault::Overload,
    Fault::LaggingServer,
    Fault::Pause,
    Fault::LeaseStolen,
    Fault::NodeLost,
    Fault::NodeDrained,
    Fault::NodePressure,
    Fault::NodeFlap,
    Fault::PodForced,
    Fault::RegistryDown,
    Fault::AddressChanged,
];

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl<C: Controller> Timed<C> {
    /// Begins what a number says of a kind of trouble, or is all of it.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the other kinds are told elsewhere, and a test draws each"
    )]
    pub(super) fn outage(&mut self, fault: Fault, number: u32) -> Option<Step> {
        if !self.rates.has(fault) {
            return None;
        }
        // Not the site of the plan: what has that on a tape is planned.
        self.choices.about(|| Site::new(Topic::Other, fault.name()).number(number));
        let clock = self.world.clock();
        let length = |timed: &mut Self, mean| clock + timed.choices.around(mean);
        match fault {
            Fault::ServerRestart => self.restart_server(),
            Fault::Outage => self.fails_until = length(self, ms(2000)),
            Fault::Overload => self.throttles_until = length(self, ms(2000)),
            // Each Pod that it hinders counts.
            Fault::RegistryDown => self.registry_down_until = clock + self.much_later(ms(10_000)),
            Fault::LaggingServer => {
                let mean = *self.choices.pick(&[ms(20), ms(200), ms(2000)]);
                let length = self.choices.around(mean);
                self.fall_behind((number % u32::from(PLACES)) as u8, length);
            }
            Fault::Pause => {
                let leader = *self.leaders().first()?;
                self.pause(fault, leader);
            }
            Fault::LeaseStolen => self.steal_lease(),
            Fault::PodForced => return self.strike_pod(fault, number, PodStep::Vanish),
            Fault::AddressChanged => return self.strike_pod(fault, number, PodStep::Move),
            Fault::NodeFlap => self.strike_node(fault, number, &[PodStep::LoseReady]),
            Fault::NodeLost => self.strike_node(fault, number, &[PodStep::LoseReady, PodStep::Vanish]),
            Fault::NodeDrained => self.strike_node(fault, number, &[PodStep::Evict]),
            Fault::NodePressure => self.strike_node(fault, number, &[PodStep::Fail]),
            other => unreachable!("{} is told elsewhere", other.name()),
        }
        None
    }

    /// Lets all watches of a process show nothing for a while.
    pub(super) fn fall_behind(&mut self, process: u8, length: Duration) {
        let until = self.world.clock() + length;
        let lane = &mut self.lanes[usize::from(process)];
        lane.lag_until = lane.lag_until.map(|lag| lag.max(until));
        self.struck[Fault::LaggingServer.index()] += 1;
    }

    /// Returns the fault that every request meets now.
    pub(super) fn server_wide(&self) -> Option<Fault> {
        let clock = self.world.clock();
        if clock < self.fails_until {
            return Some(Fault::Outage);
        }
        (clock < self.throttles_until).then_some(Fault::Overload)
    }

    /// Returns how long a Pod that starts now waits for its image.
    pub(super) fn image_late_by(&mut self) -> Duration {
        let wait = self.registry_down_until.since(self.world.clock());
        self.struck[Fault::RegistryDown.index()] += u64::from(!wait.is_zero());
        wait
    }

    /// Returns until when something waits because its process stands still.
    pub(super) fn paused(&self, what: What) -> Option<Mono> {
        let What::Step(step) = what else { return None };
        let until = self.lanes[usize::from(self.process_of(step)?)].paused_until;
        (until > self.world.clock()).then_some(until)
    }

    /// Returns the process that has to do something for a step.
    fn process_of(&self, step: Step) -> Option<u8> {
        if let Step::Answer(request) = step {
            return self.world.request(request).map(|request| request.process);
        }
        if let Step::Timer(process) | Step::Depose(process) = step {
            return Some(process);
        }
        let (Step::List(process, _)
        | Step::Relist(process, _)
        | Step::Deliver(process, _)
        | Step::Bookmark(process, _)) = step
        else {
            return None;
        };
        Some(process)
    }

    fn pause(&mut self, fault: Fault, process: u8) -> Mono {
        let mean = *self.choices.pick(&[ms(200), ms(2000)]);
        let until = self.world.clock() + self.choices.around(mean);
        let lane = &mut self.lanes[usize::from(process)];
        lane.paused_until = lane.paused_until.max(until);
        self.struck[fault.index()] += 1;
        until
    }

    /// Lets a process stand still, and another lead before it wakes up.
    fn steal_lease(&mut self) {
        let [leader] = self.leaders()[..] else { return };
        let wakes = self.pause(Fault::LeaseStolen, leader);
        let other = (leader + 1) % PLACES;
        self.plan_step(Duration::ZERO, Step::Start(other));
        self.plan_step(ms(1), Step::Lead(other));
        let notices = self.choices.around(ms(500));
        self.plan(wakes + ms(1) + notices, What::Step(Step::Depose(leader)));
    }

    fn restart_server(&mut self) {
        self.struck[Fault::ServerRestart.index()] += 1;
        for process in 0..PLACES {
            for kind in Kind::ALL {
                self.plan_step(Duration::ZERO, Step::BreakWatch(process, kind));
            }
        }
        let under_way: Vec<_> = self.world.requests().iter().map(|request| request.id).collect();
        for request in under_way {
            self.plan_step(Duration::ZERO, Step::LoseRequest(request));
            self.plan_step(Duration::ZERO, Step::LoseAnswer(request));
        }
    }

    fn strike_pod(&mut self, fault: Fault, number: u32, what: PodStep) -> Option<Step> {
        let running = |pod: &&Object| matches!(pod, Object::Pod(pod) if pod.phase == Phase::Running && cluster::is_possible(pod, what));
        let pods: Vec<Uid> =
            self.world.server().store().list(Kind::Pod).iter().filter(running).map(Object::uid).collect();
        let pod = pods[(number as usize).checked_rem(pods.len())?];
        self.struck[fault.index()] += 1;
        Some(Step::Pod(pod, what))
    }

    /// Does something to every Pod of a node: the first thing at once, the next a while later.
    fn strike_node(&mut self, fault: Fault, number: u32, what: &[PodStep]) {
        let is_there =
            |pod: &Pod| !pod.node.is_empty() && cluster::node_of(pod.meta.uid) == number % cluster::NODES;
        let pods: Vec<Uid> = self
            .world
            .server()
            .store()
            .list(Kind::Pod)
            .iter()
            .filter(|pod| matches!(pod, Object::Pod(pod) if is_there(pod)))
            .map(Object::uid)
            .collect();
        self.struck[fault.index()] += u64::from(!pods.is_empty());
        for pod in pods {
            let mut after = Duration::ZERO;
            for step in what {
                self.plan_step(after, Step::Pod(pod, *step));
                after += ms(1) + self.choices.around(ms(3000));
            }
        }
    }
}
