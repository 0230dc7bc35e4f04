//! Trouble that takes a while: rival leaders, watches that fall behind, Pods that flap.

use std::time::Duration;

use agent_sandbox_core::id::{Kind, Uid};
use agent_sandbox_core::object::{Object, Owner, OwnerKind, Phase};
use agent_sandbox_core::time::Mono;

use super::{PLACES, Timed, What};
use crate::controller::Controller;
use crate::faults::Fault;
use crate::process::Watch;
use crate::step::{PodStep, Step};
use crate::tape::{Site, Topic};
use crate::workload::Workload;

/// A calendar that is off by less is not set, but runs a little faster or slower for a while. Unit: microseconds.
///
/// Source: `STEPT` of ntpd, 128 ms.
const STEPPED_FROM: u64 = 128_000;

/// How long a pool waits at most for a member whose Pod is stuck for good: then all is well soon after the trouble.
const PATIENCE_SHORT: Duration = Duration::from_secs(60);

/// After what time it is looked again at a Pod that is stuck for good.
const UNSTUCK_AGAIN: Duration = Duration::from_secs(10);

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl<C: Controller> Timed<C> {
    /// Plans the trouble that does not hang on a request or a Pod.
    pub(super) fn plan_trouble(&mut self, workload: &Workload) {
        if self.rates.has(Fault::ClockSkew) {
            for process in 0..PLACES {
                self.choices.about(|| Site::new(Topic::Calendar, "").of(process));
                let skew = self.draw_skew(5_000_000);
                self.world.set_skew(process, skew);
                self.struck[Fault::ClockSkew.index()] += u64::from(skew != 0);
            }
        }
        for fault in [
            Fault::TwoLeaders,
            Fault::Failover,
            Fault::WatchLag,
            Fault::WatchLoss,
            Fault::Compaction,
            Fault::ReadinessFlap,
            Fault::MemberEnded,
            Fault::PodEnded,
            Fault::SessionEnded,
            Fault::ClockJump,
        ]
        .into_iter()
        .chain(super::outages::KINDS)
        {
            if !self.rates.has(fault) {
                continue;
            }
            let (site, most) = (Site::new(Topic::Trouble, fault.name()), 1 + self.rates.of(fault) / 30);
            for number in self.choices.each(&site, |choices| 1 + choices.below(most)) {
                self.choices.about(|| site.clone().number(number));
                let at = workload.moment(&mut self.choices, self.heals_at);
                let what = self.draw_trouble(fault);
                self.plan(at, what);
            }
        }
        if self.rates.has(Fault::TwoLeaders) {
            let site = Site::new(Topic::Trouble, "rivals-with-claims");
            for number in self.choices.each(&site, |choices| choices.below(4)) {
                self.choices.about(|| site.clone().number(number));
                let at = workload.rush(&mut self.choices, self.heals_at);
                self.plan(at, What::Rival);
            }
        }
    }

    fn draw_trouble(&mut self, fault: Fault) -> What {
        if super::outages::KINDS.contains(&fault) {
            return What::Outage(fault, self.choices.below(1 << 16));
        }
        if fault == Fault::TwoLeaders {
            return What::Rival;
        }
        if fault == Fault::Failover {
            return What::Failover;
        }
        if fault == Fault::ReadinessFlap {
            return What::Flap(self.choices.below(1 << 16));
        }
        if fault == Fault::MemberEnded {
            return What::EndMember(self.choices.below(1 << 16));
        }
        if fault == Fault::PodEnded {
            return What::End(self.choices.below(1 << 16));
        }
        if fault == Fault::SessionEnded {
            return What::EndSession(self.choices.below(1 << 16));
        }
        if fault == Fault::ClockJump {
            let process = self.choices.below(u32::from(PLACES)) as u8;
            return What::Step(Step::SetCalendar(process, self.draw_skew(20_000_000)));
        }
        let (process, kind) = self.draw_watch();
        if fault == Fault::WatchLoss {
            return What::Step(Step::BreakWatch(process, kind));
        }
        let length = self.choices.span(|choices| {
            let mean = *choices.pick(&[ms(20), ms(200), ms(2000)]);
            choices.around(mean)
        });
        What::Lag { process, kind, length, compact: fault == Fault::Compaction }
    }

    /// Draws by how many microseconds a calendar is ahead or behind, at most so many.
    fn draw_skew(&mut self, most: u32) -> i64 {
        let folded = self.choices.number(|choices| {
            let skew = i64::from(choices.below(2 * most + 1)) - i64::from(most);
            skew.unsigned_abs() << 1 | u64::from(skew < 0)
        });
        (folded >> 1) as i64 * if folded & 1 == 1 { -1 } else { 1 }
    }

    fn draw_watch(&mut self) -> (u8, Kind) {
        (self.choices.below(u32::from(PLACES)) as u8, *self.choices.pick(&Kind::ALL))
    }

    /// Turns a plan into a step, if the time for it has come and it is still possible.
    pub(super) fn step_of(&mut self, what: What) -> Option<Step> {
        if let Some(until) = self.paused(what) {
            self.plan(until, what);
            return None;
        }
        match what {
            What::Outage(fault, number) => self.outage(fault, number),
            What::Step(step @ Step::Timer(process)) => {
                let clock = self.world.clock();
                let due = self.world.timer_due(process).filter(|due| *due <= clock)?;
                let lane = &mut self.lanes[usize::from(process)];
                if lane.timer == Some(due) {
                    lane.timer = None;
                }
                Some(step)
            }
            What::Step(step @ Step::BreakWatch(process, kind)) => {
                let live = matches!(self.world.process(process).watches[kind.index()], Watch::Live { .. });
                self.struck[Fault::WatchLoss.index()] += u64::from(live);
                Some(step)
            }
            What::Step(step @ Step::SetCalendar(process, micros)) => {
                let is_stepped = self.world.process(process).skew.abs_diff(micros) >= STEPPED_FROM;
                self.struck[Fault::ClockJump.index()] += u64::from(is_stepped);
                is_stepped.then_some(step)
            }
            What::Step(step) => Some(step),
            What::Unstick(pod, step) => self.unstick(pod, step),
            What::Elect => self.elect(),
            What::TakeOver(process) => self.leaders().is_empty().then_some(Step::Lead(process)),
            What::RivalLeads(process) => self.rates.has(Fault::TwoLeaders).then_some(Step::Lead(process)),
            What::Rival => self.raise_rival(),
            What::EndRivalry => self.end_rivalry(),
            What::Failover => self.fail_over(),
            What::Lag { process, kind, length, compact } => self.begin_lag(process, kind, length, compact),
            What::Flap(number) => self.flap(number),
            What::EndMember(number) => self.end_member(number),
            What::End(number) => self.end(Fault::PodEnded, number, |owner| owner.is_none()),
            What::EndSession(number) => self.end(Fault::SessionEnded, number, |owner| {
                owner.is_some_and(|owner| owner.kind == OwnerKind::Known(Kind::Claim))
            }),
            What::LoseNodes(nodes) => {
                self.lose_nodes(nodes);
                None
            }
            What::CrashLeader => self.leaders().first().map(|leader| Step::Crash(*leader)),
            What::GiveUp(claim, line) => self.give_up(claim, line),
            What::Bookmark(process, kind) => {
                self.plan_bookmark(process, kind);
                let site = Site::new(Topic::Trouble, Fault::NoBookmarks.name()).of(process);
                self.choices.about(|| site);
                if self.strikes(Fault::NoBookmarks) {
                    return None;
                }
                Some(Step::Bookmark(process, kind))
            }
        }
    }

    pub(super) fn leaders(&self) -> Vec<u8> {
        let places = (0..).zip(self.world.processes());
        places.filter(|(_, place)| place.is_leading()).map(|(process, _)| process).collect()
    }

    fn elect(&mut self) -> Option<Step> {
        if !self.leaders().is_empty() {
            return None;
        }
        let mut places = (0..).zip(self.world.processes());
        places.find(|(_, place)| place.controller.is_some()).map(|(process, _)| Step::Lead(process))
    }

    fn other_place(&self) -> Option<u8> {
        let [leader] = self.leaders()[..] else { return None };
        Some((leader + 1) % PLACES)
    }

    /// Lets another place lead while one does: a pause, a partition, a Lease that was taken too early.
    pub(super) fn raise_rival(&mut self) -> Option<Step> {
        if !self.rates.has(Fault::TwoLeaders) {
            return None;
        }
        let other = self.other_place()?;
        self.struck[Fault::TwoLeaders.index()] += 1;
        self.choices.about(|| Site::new(Topic::Process, "rivals"));
        let length = self.choices.around(ms(5000));
        self.plan_in(ms(1) + length, What::EndRivalry);
        self.plan_step(Duration::ZERO, Step::Start(other));
        self.plan_in(ms(1), What::RivalLeads(other));
        None
    }

    fn end_rivalry(&mut self) -> Option<Step> {
        let leaders = self.leaders();
        if leaders.len() < 2 {
            return None;
        }
        self.choices.about(|| Site::new(Topic::Process, "yields"));
        let process = *self.choices.pick(&leaders);
        Some(if self.choices.chance(500) { Step::Crash(process) } else { Step::Depose(process) })
    }

    fn fail_over(&mut self) -> Option<Step> {
        if !self.rates.has(Fault::Failover) {
            return None;
        }
        let other = self.other_place()?;
        self.struck[Fault::Failover.index()] += 1;
        self.choices.about(|| Site::new(Topic::Process, "follows"));
        let takeover = self.choices.around(ms(500));
        self.plan_step(takeover, Step::Start(other));
        self.plan_in(takeover + ms(1), What::TakeOver(other));
        let (leader, _) = (0..).zip(self.world.processes()).find(|(_, place)| place.is_leading())?;
        Some(Step::Depose(leader))
    }

    fn begin_lag(&mut self, process: u8, kind: Kind, length: Duration, compact: bool) -> Option<Step> {
        let fault = if compact { Fault::Compaction } else { Fault::WatchLag };
        if !self.rates.has(fault) {
            return None;
        }
        let until: Mono = self.world.clock() + length;
        let lag = &mut self.lanes[usize::from(process)].lag_until[kind.index()];
        *lag = (*lag).max(until);
        self.struck[fault.index()] += u64::from(!compact);
        if compact {
            self.plan(until, What::Step(Step::Compact(kind)));
        }
        None
    }

    /// Ends the n-th Pod of the sandboxes with such an owner.
    fn end(&mut self, fault: Fault, number: u32, whose: fn(Option<&Owner>) -> bool) -> Option<Step> {
        if !self.rates.has(fault) {
            return None;
        }
        let store = self.world.server().store();
        let sandboxes = store.list(Kind::Sandbox).iter().filter(|it| whose(it.meta().owner.as_ref()));
        let pods: Vec<_> = sandboxes
            .flat_map(|it| store.owned_by(Kind::Pod, it.uid()))
            .filter(|pod| matches!(pod, Object::Pod(pod) if pod.phase == Phase::Running))
            .map(Object::uid)
            .collect();
        let pod = pods[(number as usize / 2).checked_rem(pods.len())?];
        self.struck[fault.index()] += 1;
        Some(Step::Pod(pod, if number.is_multiple_of(2) { PodStep::Fail } else { PodStep::Succeed }))
    }

    /// Lets a Pod go on that was stuck; that of a member stays so as long as it is one, if its pool soon loses patience.
    fn unstick(&mut self, pod: Uid, step: PodStep) -> Option<Step> {
        let store = self.world.server().store();
        let sandbox = store.find(Kind::Pod, pod).and_then(|pod| pod.meta().owner_of_kind(Kind::Sandbox));
        let sandbox = sandbox.and_then(|uid| store.find(Kind::Sandbox, uid));
        let is_member = sandbox.is_some_and(|sandbox| sandbox.meta().owner_of_kind(Kind::Pool).is_some());
        let patience = C::promises(&self.world.scene().controller).patience;
        if is_member && !patience.is_zero() && patience <= PATIENCE_SHORT {
            self.plan_in(UNSTUCK_AGAIN, What::Unstick(pod, step));
            return None;
        }
        Some(Step::Pod(pod, step))
    }

    fn flap(&mut self, number: u32) -> Option<Step> {
        if !self.rates.has(Fault::ReadinessFlap) {
            return None;
        }
        let pods = self.world.server().store().list(Kind::Pod);
        let place = (number as usize).checked_rem(pods.len())?;
        let Object::Pod(pod) = &pods[place] else { return None };
        let ready = pod.ready && !pod.meta.terminating;
        let step = Step::Pod(pod.meta.uid, PodStep::LoseReady);
        self.struck[Fault::ReadinessFlap.index()] += u64::from(ready);
        ready.then_some(step)
    }

    fn end_member(&mut self, number: u32) -> Option<Step> {
        if !self.rates.has(Fault::MemberEnded) {
            return None;
        }
        let store = self.world.server().store();
        let is_members = |pod: &&Object| {
            let owner =
                pod.meta().owner_of_kind(Kind::Sandbox).and_then(|uid| store.find(Kind::Sandbox, uid));
            owner.is_some_and(|owner| owner.meta().owner_of_kind(Kind::Pool).is_some())
        };
        let pods: Vec<_> = store.list(Kind::Pod).iter().filter(is_members).map(Object::uid).collect();
        let place = (number as usize).checked_rem(pods.len())?;
        self.struck[Fault::MemberEnded.index()] += 1;
        Some(Step::Pod(pods[place], PodStep::Fail))
    }
}
