//! What follows from each fact: the next step, and when.

use std::time::Duration;

use agent_sandbox_core::action::Operation;
use agent_sandbox_core::event::Outcome;
use agent_sandbox_core::id::Kind;
use agent_sandbox_core::time::Mono;

use super::blows::CRASH_WITHIN;
use super::{BOOKMARK_EVERY, Timed, What};
use crate::api_server::{Commit, Seen};
use crate::controller::Controller;
use crate::faults::Fault;
use crate::plan::Trick;
use crate::process::{RequestId, Watch};
use crate::step::{Fact, PodStep, Step};
use crate::tape::{self, Site, Topic};
use crate::world::is_refusable;
use crate::{cluster, collector};

/// How long a change takes to be shown by a watch, at most, when nothing is wrong.
const SHOW_MAX: Duration = Duration::from_millis(1);

/// How long an answer travels, at least: longer than [`SHOW_MAX`], so that without faults no process sees old
/// news.
const ANSWER_MIN: Duration = Duration::from_millis(2);

/// How long a kind is not refused after it was, at least.
const REFUSALS_APART: Duration = Duration::from_secs(10);

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

impl<C: Controller> Timed<C> {
    /// Plans what follows from the step just made.
    pub(super) fn react(&mut self, step: Step) {
        let facts = std::mem::take(&mut self.facts);
        for fact in &facts {
            match fact {
                Fact::Sent(sent) => self.plan_request(sent.process, sent.request),
                Fact::Committed(commit) => self.on_commit(commit),
                Fact::Handled(request) => self.plan_answer(*request),
                Fact::Listed(process, kind) => {
                    self.choices.about(|| Site::kind(Topic::Relist, *kind).of(*process));
                    let mut travel = self.choices.between(ms(2), ms(6));
                    if self.strikes(Fault::SlowList) {
                        travel += self.choices.around(ms(2000));
                    }
                    self.choices.draw_of(3);
                    if self.strikes(Fault::ListExpired) {
                        self.plan_step(travel, Step::ExpireList(*process, *kind));
                    }
                    self.plan_step(travel, Step::Relist(*process, *kind));
                }
                Fact::Relisted { process, kind, .. } => self.arm(*process, *kind),
                Fact::WatchLost(process, kind) => self.plan_list(*process, *kind),
                Fact::Leading { process, .. } => {
                    self.choices.about(|| Site::new(Topic::Process, "dies-at-once").of(*process));
                    if self.strikes(Fault::CrashAtStart) {
                        let after = self.choices.between(ms(1), ms(12));
                        self.plan_step(after, Step::Crash(*process));
                    }
                    Kind::ALL.into_iter().for_each(|kind| self.plan_list(*process, kind))
                }
                Fact::Started(_) => self.plan_in(ms(100), What::Elect),
                Fact::Deposed { process, .. } => self.on_deposed(*process),
                Fact::Crashed { process, .. } => self.on_crash(*process),
                Fact::Ran(process) => self.plan_timer(*process),
                Fact::Answered { .. } | Fact::Shown { .. } | Fact::CalendarSet(_) => {}
            }
        }
        self.facts = facts;
        self.follow_namespace(step);
        self.struck[Fault::Compaction.index()] += u64::from(matches!(step, Step::Compact(_)));
        if let Step::Deliver(process, kind) = step {
            self.arm_again(process, kind);
        }
    }

    /// Sees to it that nothing gets stuck behind a step that had nothing to do.
    pub(super) fn pass_over(&mut self, step: Step) {
        if let Step::Deliver(process, kind) = step {
            self.arm_again(process, kind);
        }
    }

    fn plan_list(&mut self, process: u8, kind: Kind) {
        self.choices.about(|| Site::kind(Topic::List, kind).of(process));
        let travel = self.choices.between(ms(1), ms(4));
        self.plan_step(travel, Step::List(process, kind));
    }

    fn plan_timer(&mut self, process: u8) {
        let due = self.world.timer_due(process);
        let lane = &mut self.lanes[usize::from(process)];
        if due == lane.timer {
            return;
        }
        lane.timer = due;
        if let Some(due) = due {
            self.plan(due.max(self.world.clock()), What::Step(Step::Timer(process)));
        }
    }

    fn plan_request(&mut self, process: u8, request: RequestId) {
        if self.cluster.is_some() {
            let travel = self.choices.between(ms(1), ms(4));
            if self.is_hindered(request, travel) {
                return;
            }
        }
        let faults = [
            Fault::SlowServer,
            Fault::Throttled,
            Fault::ServerError,
            Fault::LostRequest,
            Fault::LateCommit,
            Fault::Refused,
            Fault::Touched,
            Fault::Invalid,
            Fault::Contention,
        ];
        self.about_request(Topic::Request, request);
        let drawn = self.rates.strike(&faults, &mut self.choices);
        let trick = self.plan.trick(request.0);
        let fault = trick.map_or(drawn, |trick| self.blow(trick, request));
        let refusal = fault.filter(|fault| matches!(fault, Fault::Refused | Fault::Invalid));
        let fault = self.refused_as(request, refusal).or(fault.filter(|_| refusal.is_none()));
        let fault = fault.filter(|fault| *fault != Fault::Contention || self.is_create(request));
        let travel = self.choices.draw_of(tape::TRAVEL).between(ms(1), ms(4));
        let fault = self.server_wide().or(fault);
        if let Some(fault) = fault {
            self.struck[fault.index()] += 1;
        }
        self.choices.draw_of(tape::LATE);
        match fault {
            Some(Fault::Throttled | Fault::Overload) => self.plan_step(travel, Step::Throttle(request)),
            Some(Fault::Refused) => self.plan_step(travel, Step::Refuse(request)),
            Some(Fault::Invalid) => self.plan_step(travel, Step::Reject(request)),
            Some(Fault::ServerError | Fault::Outage) => {
                self.plan_step(travel, Step::LoseRequest(request));
                self.regret(request, travel);
            }
            Some(Fault::LostRequest) => {
                let found_out = self.choices.around(ms(3000)).min(ms(10_000));
                self.plan_step(travel + found_out, Step::LoseRequest(request));
                self.regret(request, travel + found_out);
            }
            Some(Fault::LateCommit) => {
                self.plan_step(travel, Step::Abandon(request));
                let limit = C::write_limit(&self.world.scene().controller) * 19 / 20;
                let late = self.choices.span(|choices| {
                    let mean = *choices.pick(&[ms(5), ms(50), ms(500), ms(5000)]);
                    choices.around(mean).min(limit)
                });
                self.plan_step(travel + late, Step::Commit(request));
            }
            Some(Fault::SlowServer) => {
                let slow = self.choices.around(ms(300)).min(ms(5000));
                self.plan_step(travel + slow, Step::Commit(request));
            }
            Some(Fault::Contention) => self.plan_step(travel, Step::Collide(request)),
            Some(Fault::Touched) => {
                self.touch(request, travel);
                self.plan_step(travel, Step::Commit(request));
            }
            Some(_) | None => self.plan_step(travel, Step::Commit(request)),
        }
        self.choices.draw_of(tape::CRASH);
        if trick == Some(Trick::Crash) {
            self.crash_after(process, travel);
        } else if self.strikes(Fault::Crash) {
            let after = self.choices.draw_of(tape::CRASH_AFTER).between(Duration::ZERO, CRASH_WITHIN);
            self.plan_step(after, Step::Crash(process));
        }
    }

    fn is_create(&self, request: RequestId) -> bool {
        let request = self.world.request(request);
        request.is_some_and(|request| matches!(*request.action.operation, Operation::Create(_)))
    }

    /// Says that the next choices are about a request that is under way.
    fn about_request(&mut self, topic: Topic, request: RequestId) {
        let world = &self.world;
        self.choices.about(|| {
            let request = world.request(request);
            request.map_or_else(
                || Site::new(topic, ""),
                |request| Site::request(topic, request.process, &request.action),
            )
        });
    }

    /// Returns as what a request is refused, if a quota or a policy is in the way: from a strike on, for a while, and for
    /// one kind. Then it is not for some time, however often it strikes: else those who try again at once keep it up for
    /// ever.
    fn refused_as(&mut self, request: RequestId, strikes: Option<Fault>) -> Option<Fault> {
        let request = self.world.request(request)?;
        if !is_refusable(&request.action) {
            return None;
        }
        let place = request.action.operation.kind().index();
        let (until, clock) = (self.refuses_until[place], self.world.clock());
        let is_over = until == Mono::default() || clock > until + REFUSALS_APART;
        let begins = strikes.filter(|_| is_over);
        if let Some(fault) = begins {
            self.refuses_as[place] = fault;
            // A plan strikes one request.
            let length = if self.rates.has(fault) {
                self.choices.draw_of(tape::REFUSED_FOR).span(|choices| {
                    let mean = *choices.pick(&[Duration::ZERO, ms(200), ms(5000)]);
                    choices.around(mean)
                })
            } else {
                Duration::ZERO
            };
            self.refuses_until[place] = clock + length;
        }
        begins.or(Some(self.refuses_as[place]).filter(|fault| self.rates.has(*fault) && until > clock))
    }

    fn plan_answer(&mut self, request: RequestId) {
        let Some(answer) = self.world.request(request).and_then(|request| request.answer.as_ref()) else {
            return;
        };
        let can_be_lost = *answer != Outcome::Unknown;
        self.about_request(Topic::Answer, request);
        let is_planned = self.plan.trick(request.0) == Some(Trick::LoseAnswer);
        if can_be_lost && is_planned {
            self.struck[Fault::LostAnswer.index()] += 1;
            self.choices.overrule(tape::LOST, 1);
        }
        if can_be_lost && (is_planned || self.strikes(Fault::LostAnswer)) {
            self.plan_step(Duration::ZERO, Step::LoseAnswer(request));
            let found_out = self.choices.draw_of(tape::LATE).around(ms(1000)).min(ms(10_000));
            self.plan_step(ANSWER_MIN + found_out, Step::Answer(request));
            return;
        }
        let travel = self.choices.draw_of(tape::TRAVEL).between(ANSWER_MIN, ANSWER_MIN * 2);
        self.plan_step(travel, Step::Answer(request));
    }

    fn on_commit(&mut self, commit: &Commit) {
        self.follow_user(commit);
        self.follow_finalizer(commit);
        self.overtake(commit);
        self.set_apart(commit);
        let object = commit.object();
        for process in 0..self.lanes.len() as u8 {
            self.arm(process, object.kind());
        }
        if let Some(new) = &commit.new {
            let before = commit.old.as_ref().and_then(cluster::next_of_pod);
            let next = cluster::next_of_pod(new);
            if let Some(Step::Pod(_, what)) = next
                && next != before
            {
                self.plan_pod(new.uid(), what);
            }
        }
        let collectable = collector::collectable_after(self.world.server().store(), commit);
        collectable.into_iter().for_each(|(kind, uid)| self.plan_collect(kind, uid));
    }

    fn plan_collect(&mut self, kind: Kind, orphan: agent_sandbox_core::id::Uid) {
        let store = self.world.server().store();
        self.choices.about(|| {
            let name = store.find(kind, orphan).map(|object| object.key().name.clone());
            Site::kind(Topic::Collect, kind).named(name)
        });
        let wait = self.wait(Fault::SlowCollector, [ms(100), ms(10_000)]);
        self.plan_step(ms(10) + wait, Step::Collect(kind, orphan));
    }

    /// Draws how long something takes: the first mean, or the second if the fault strikes.
    fn wait(&mut self, fault: Fault, means: [Duration; 2]) -> Duration {
        let rate = self.rates.of(fault);
        let mut strikes = false;
        let wait = self.choices.span(|choices| {
            strikes = rate > 0 && choices.chance(rate);
            choices.around(means[usize::from(strikes)])
        });
        self.struck[fault.index()] += u64::from(strikes);
        wait
    }

    fn plan_pod(&mut self, pod: agent_sandbox_core::id::Uid, what: PodStep) {
        let store = self.world.server().store();
        self.choices.about(|| {
            let name = store.find(Kind::Pod, pod).map(|object| object.key().name.clone());
            Site::new(Topic::Pod, what.name()).named(name)
        });
        let after = match what {
            PodStep::Schedule if self.strikes(Fault::NoRoom) => {
                self.plan_step(ms(5), Step::Pod(pod, PodStep::FindNoRoom));
                self.much_later(ms(20_000))
            }
            PodStep::Schedule => self.choices.draw_of(2).between(ms(5), ms(20)),
            PodStep::GetReady | PodStep::Start if self.strikes(Fault::StuckPod) => {
                self.plan_step(ms(100), Step::Pod(pod, PodStep::Run));
                let after = self.much_later(ms(60_000));
                return self.plan_in(after, What::Unstick(pod, what));
            }
            PodStep::GetReady | PodStep::Start if self.cluster.is_some() => {
                let Some(after) = self.start_time(pod) else { return };
                after
            }
            PodStep::GetReady | PodStep::Start => {
                self.choices.draw_of(2);
                let after =
                    ms(400) + self.wait(Fault::SlowKubelet, [ms(300), ms(8000)]) + self.image_late_by();
                if self.strikes(Fault::LateAddress) {
                    let is_early = self.choices.draw_of(6).chance(300);
                    let without = if is_early { PodStep::AnswerEarly } else { PodStep::Run };
                    self.plan_step(after / 2, Step::Pod(pod, without));
                }
                after
            }
            PodStep::FinishDelete if self.strikes(Fault::SlowStop) => self.much_later(ms(30_000)),
            PodStep::FinishDelete => {
                self.choices.draw_of(2);
                ms(50) + self.wait(Fault::SlowKubelet, [ms(500), ms(10_000)])
            }
            PodStep::FindNoRoom
            | PodStep::Run
            | PodStep::AnswerEarly
            | PodStep::LoseReady
            | PodStep::Fail
            | PodStep::Succeed
            | PodStep::Evict
            | PodStep::Vanish
            | PodStep::Move => {
                return;
            }
        };
        self.plan_step(after, Step::Pod(pod, what));
    }

    /// Draws a time that is long, but ends soon after the trouble does.
    pub(super) fn much_later(&mut self, mean: Duration) -> Duration {
        let most = self.heals_at.since(self.world.clock()) + ms(30_000);
        self.choices.span(|choices| choices.around(mean).min(most))
    }

    /// Plans when a watch shows its next line, unless that is planned, or there is none.
    fn arm(&mut self, process: u8, kind: Kind) {
        if !self.is_behind(process, kind) || self.lanes[usize::from(process)].armed[kind.index()] {
            return;
        }
        self.about_line(process, kind);
        let after = self.choices.between(Duration::ZERO, SHOW_MAX);
        self.arm_in(after, process, kind);
    }

    /// Plans the line after the one just shown: at once, for it waited long enough behind it.
    fn arm_again(&mut self, process: u8, kind: Kind) {
        self.lanes[usize::from(process)].armed[kind.index()] = false;
        if self.is_behind(process, kind) {
            self.about_line(process, kind);
            self.arm_in(Duration::ZERO, process, kind);
        }
    }

    fn arm_in(&mut self, after: Duration, process: u8, kind: Kind) {
        let clock = self.world.clock();
        let lagging = self.lanes[usize::from(process)].lag_until[kind.index()];
        let after = if self.rates.has(Fault::WatchLag) { after + self.lag() } else { after };
        self.lanes[usize::from(process)].armed[kind.index()] = true;
        self.plan((clock + after).max(lagging), What::Step(Step::Deliver(process, kind)));
    }

    /// Says that the next choices are about the next line of a watch.
    fn about_line(&mut self, process: u8, kind: Kind) {
        let world = &self.world;
        self.choices.about(|| {
            let name = match world.process(process).watches[kind.index()] {
                Watch::Live { cursor } => {
                    let next = world.server().lines_after(kind, cursor).next();
                    next.map(|(_, Seen::Applied(object) | Seen::Deleted(object))| object.key().name.clone())
                }
                Watch::Lost | Watch::Listed { .. } => None,
            };
            Site::kind(Topic::Line, kind).of(process).named(name)
        });
    }

    /// Draws how long a line of a watch lags.
    fn lag(&mut self) -> Duration {
        let rate = self.rates.of(Fault::WatchLag);
        let lag = self.choices.draw_of(1).span(|choices| {
            if !choices.chance(rate) {
                return Duration::ZERO;
            }
            let mean = *choices.pick(&[ms(3), ms(30), ms(300), ms(3000)]);
            choices.around(mean)
        });
        self.struck[Fault::WatchLag.index()] += u64::from(!lag.is_zero());
        lag
    }

    fn is_behind(&self, process: u8, kind: Kind) -> bool {
        match self.world.process(process).watches[kind.index()] {
            Watch::Live { cursor } => self.world.server().is_behind(kind, cursor),
            Watch::Lost | Watch::Listed { .. } => false,
        }
    }

    fn on_crash(&mut self, process: u8) {
        self.lanes[usize::from(process)].timer = None;
        self.choices.about(|| Site::new(Topic::Process, "restarts").of(process));
        let mut restart = ms(50) + self.choices.around(ms(1000));
        if self.strikes(Fault::SlowStart) {
            restart += self.choices.around(ms(10_000));
        }
        self.choices.draw_of(3);
        self.plan_step(restart, Step::Start(process));
        let takeover = ms(200) + self.choices.around(ms(2000));
        self.plan_in(takeover, What::Elect);
    }

    /// A process that may not lead any more exits, sooner or later, and starts again.
    fn on_deposed(&mut self, process: u8) {
        self.choices.about(|| Site::new(Topic::Process, "exits").of(process));
        let exit = self.choices.around(ms(500));
        self.choices.about(|| Site::new(Topic::Process, "leads-again").of(process));
        if self.choices.chance(300) {
            // It has not exited, and leads again if nobody else does.
            self.plan_in(exit, What::TakeOver(process));
        } else {
            self.plan_step(exit, Step::Crash(process));
        }
        self.plan_in(ms(5000), What::Elect);
    }

    /// Plans the next bookmark of a watch.
    pub(super) fn plan_bookmark(&mut self, process: u8, kind: Kind) {
        self.plan_in(BOOKMARK_EVERY, What::Bookmark(process, kind));
    }
}
