//! What must hold: one property a file, each stated without looking at how the controllers work.
//!
//! A checker sees what an onlooker could see: changes of the store one by one, requests as they are sent, and
//! the store at rest. Most need the changes only, and therefore also judge the watch log of a real cluster
//! ([`Log`]).
//!
//! What must be true at rest is not decided here: the checkers of the end compare the store with the
//! [`reference`](crate::reference) model.
//!
//! To add one: a file with a type that implements [`Checker`], its line in [`Checkers::all`], and a mutant
//! that it alone finds.

mod acts_soon;
mod adopted_once;
mod born_whole;
mod backs_off;
mod bounded_cost;
mod bounded_flight;
mod claims_served;
mod end_stays;
mod first_come;
mod hands_off;
mod honest_times;
mod identity_kept;
mod in_time;
mod in_use_kept;
mod known;
mod leader_writes;
mod least_first;
mod locked_writes;
mod log;
mod made_to_order;
mod no_churn;
mod no_shared_sandbox;
mod no_silent_rebind;
mod nothing_left;
mod one_pod;
mod one_sandbox;
mod pools_full;
mod population;
mod recorded_first;
mod refill_paced;
mod right_end;
mod right_make;
mod rollout_paced;
mod said_as_meant;
mod sandboxes_settled;
mod settles_first;
mod shares_turns;
mod silence;
mod templates_isolated;
mod told_in_events;
mod true_figures;
mod true_status;
mod truthful_ready;
mod warm_first;
mod wishes_granted;

use std::fmt::Debug;
use std::time::Duration;

use agent_sandbox_core::fingerprint::Walk;
use agent_sandbox_core::object::{Claim, Object, Pool, Sandbox};
use agent_sandbox_core::time::Mono;

pub use self::known::Known;
pub use self::log::Log;
use crate::api_server::Commit;
use crate::controller::{Pace, Promises};
use crate::step::{Fact, Sent};
use crate::store::Store;

/// How far the calendar of a process is off at most, and a little: dates are told in whole seconds.
///
/// Source: `clock-skew` is up to 5 s.
const INEXACT: Duration = Duration::from_secs(7);

/// What a checker says of one occasion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The property says nothing about this.
    Silent,
    /// The property was at stake, and holds.
    Holds,
    /// The property is broken; a sentence says how.
    Broken(String),
}

impl Judgement {
    /// Returns whether a condition holds, or the sentence that says what is wrong.
    pub fn unless_broken(broken: Option<String>) -> Self {
        broken.map_or(Self::Holds, Self::Broken)
    }
}

/// What kind of promise a property is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Something bad never happens.
    Safety,
    /// Something good happens in the end, and then it is quiet.
    Liveness,
}

/// A property: its name, its promise, and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Property {
    /// Its name in reports.
    pub name: &'static str,
    /// One sentence that is true.
    pub about: &'static str,
    /// What kind of promise it is.
    pub class: Class,
}

/// A stage of a simulation, which some promises depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Users and faults are at work.
    Trouble,
    /// Nothing goes wrong any more, and things settle.
    Healing,
    /// Everything should be done.
    Rest,
}

/// Watches for one property.
pub trait Checker: Debug + Send + Sync {
    /// Returns which property it is.
    fn property(&self) -> Property;

    /// Returns whether a change can matter to it: one that does not is not shown to it, which spares a search the copy
    /// of what the checker remembers.
    fn heeds(&self, _commit: &Commit) -> bool {
        true
    }

    /// Judges a change of the store, which `store` already shows.
    fn on_commit(&mut self, _commit: &Commit, _store: &Store) -> Judgement {
        Judgement::Silent
    }

    /// Judges a request as it is sent.
    fn on_action(&mut self, _sent: &Sent, _store: &Store) -> Judgement {
        Judgement::Silent
    }

    /// Returns whether it judges decisions by what the process that decides knows.
    fn judges_decisions(&self) -> bool {
        false
    }

    /// Judges what a process has decided, if [`Checker::judges_decisions`]: a request as it is sent for the first time.
    /// `known` says what each process knew then.
    fn on_decision(&mut self, _sent: &Sent, _known: &Known, _store: &Store) -> Judgement {
        Judgement::Silent
    }

    /// Judges what is left undone where nothing happens up to a moment.
    fn on_lull(&mut self, _until: Mono, _known: &Known, _store: &Store) -> Judgement {
        Judgement::Silent
    }

    /// Notes anything else that an onlooker sees: processes that start, lead, list and die.
    fn on_fact(&mut self, _fact: &Fact) {}

    /// Notes what the time is.
    fn on_clock(&mut self, _at: Mono) {}

    /// Notes that a stage begins.
    fn on_stage(&mut self, _stage: Stage) {}

    /// Judges the store when everything should be done.
    fn at_rest(&mut self, _store: &Store) -> Judgement {
        Judgement::Silent
    }

    /// Visits what the checker remembers and the store does not show: two situations are the same only if that is.
    fn remembered(&self, _walk: &mut Walk) {}

    /// Returns a copy, so that a search can go back.
    fn copy(&self) -> Box<dyn Checker>;
}

/// A property that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which property.
    pub property: Property,
    /// What happened, in one sentence.
    pub what: String,
}

/// Several checkers at work, and how often each had something to judge.
#[derive(Debug)]
pub struct Checkers {
    list: Vec<(Box<dyn Checker>, u64)>,
    /// What processes know, if any of them asks.
    known: Option<Known>,
}

impl Clone for Checkers {
    fn clone(&self) -> Self {
        let list = self.list.iter().map(|(checker, count)| (checker.copy(), *count)).collect();
        Self { list, known: self.known.clone() }
    }
}

impl Checkers {
    /// Returns every checker of effects: what a defect does to users, however it came about.
    pub fn of_effects() -> Self {
        Self::new(vec![
            Box::new(adopted_once::AdoptedOnce),
            Box::new(one_sandbox::OneSandbox),
            Box::new(in_use_kept::InUseKept::default()),
            Box::new(recorded_first::RecordedFirst::default()),
            Box::new(population::Population::exact()),
            Box::new(one_pod::OnePod::default()),
            Box::new(truthful_ready::TruthfulReady::default()),
            Box::new(no_shared_sandbox::NoSharedSandbox::default()),
            Box::new(no_silent_rebind::NoSilentRebind),
            Box::<wishes_granted::WishesGranted>::default(),
            Box::new(identity_kept::IdentityKept::default()),
            Box::new(leader_writes::LeaderWrites),
            Box::new(hands_off::HandsOff),
            Box::new(right_end::RightEnd::default()),
            Box::<right_make::RightMake>::default(),
            Box::new(first_come::FirstCome),
            Box::<end_stays::EndStays>::default(),
            Box::<born_whole::BornWhole>::default(),
            Box::new(least_first::LeastFirst),
            Box::new(rollout_paced::RolloutPaced),
            Box::<honest_times::HonestTimes>::default(),
            Box::new(true_status::TrueStatus),
            Box::<backs_off::BacksOff>::default(),
            Box::<told_in_events::ToldInEvents>::default(),
            Box::<shares_turns::SharesTurns>::default(),
            Box::new(claims_served::ClaimsServed),
            Box::new(pools_full::PoolsFull),
            Box::new(sandboxes_settled::SandboxesSettled),
            Box::new(templates_isolated::TemplatesIsolated),
            Box::new(nothing_left::NothingLeft),
            Box::new(silence::Silence::default()),
        ])
    }

    /// Returns every checker that a run with faults can have.
    ///
    /// That is those of effects and one of form: writes carry preconditions. A mutant must be found by the
    /// harm that it does, so campaigns against mutants leave that one out.
    pub fn all() -> Self {
        Self::of_effects().and_of_form()
    }

    /// Returns the checkers of a search: those that look at one occasion only, and those that remember, which are part
    /// of a situation, each for itself, so that a copy of one does not copy the others.
    ///
    /// A search knows by itself whether anybody does anything in the end, so the checker of silence is not among them.
    pub fn of_search() -> (Self, Vec<Self>) {
        let forgetful = Self::new(vec![
            Box::new(adopted_once::AdoptedOnce),
            Box::new(one_sandbox::OneSandbox),
            Box::new(in_use_kept::InUseKept::default()),
            Box::new(no_silent_rebind::NoSilentRebind),
            Box::<wishes_granted::WishesGranted>::default(),
            Box::new(leader_writes::LeaderWrites),
            Box::new(claims_served::ClaimsServed),
            Box::new(pools_full::PoolsFull),
            Box::new(nothing_left::NothingLeft),
        ]);
        let remembering: Vec<Box<dyn Checker>> = vec![
            Box::new(one_pod::OnePod::default()),
            Box::new(recorded_first::RecordedFirst::default()),
            Box::new(identity_kept::IdentityKept::default()),
            Box::new(population::Population::exact()),
            Box::new(truthful_ready::TruthfulReady::default()),
            Box::new(no_shared_sandbox::NoSharedSandbox::default()),
        ];
        (forgetful, remembering.into_iter().map(|checker| Self::new(vec![checker])).collect())
    }

    /// Returns the set with the checker of form, that writes carry preconditions: see [`Checkers::all`].
    #[must_use]
    pub fn and_of_form(self) -> Self {
        self.and(Box::new(locked_writes::LockedWrites))
    }

    /// Visits what the checkers remember.
    pub fn remembered(&self, walk: &mut Walk) {
        self.list.iter().for_each(|(checker, _)| checker.remembered(walk));
    }

    /// Returns the set with the checkers to which it matters how controllers are set up: what they promise, and at what pace
    /// pools are refilled, if at any.
    #[must_use]
    pub fn and_of_setup(self, promises: Promises, pace: Pace) -> Self {
        let waiting = self
            .and(Box::new(warm_first::WarmFirst::new(promises.grace)))
            .and(Box::new(no_churn::NoChurn::new(promises)))
            .and(Box::new(settles_first::SettlesFirst::new(promises.settle)))
            .and(Box::new(true_figures::TrueFigures::new(promises.figures_apart)))
            .and(Box::new(bounded_flight::BoundedFlight::new(promises.in_flight_max)));
        if pace == Pace::default() {
            waiting
        } else {
            waiting.and(Box::new(refill_paced::RefillPaced::new(pace)))
        }
    }

    /// Returns the set with the checker to which it matters how members are marked, where that is known.
    #[must_use]
    pub fn and_of_orders(self, promises: Promises) -> Self {
        self.and(Box::new(made_to_order::MadeToOrder::new(promises.evicts_members)))
    }

    /// Returns the set with the checker that what is due of a sandbox is done soon, for controllers that keep sandboxes.
    #[must_use]
    pub fn and_of_sandboxes(self, promises: Promises) -> Self {
        self.and(Box::new(acts_soon::ActsSoon::new(promises.in_flight_max)))
    }

    /// Returns the set with the checker of what goes over the wire, which is dear: it judges the part that a seed picks, and
    /// everything where there is none.
    #[must_use]
    pub fn and_of_wire(self, seed: Option<u64>) -> Self {
        self.and(Box::new(said_as_meant::SaidAsMeant::new(seed)))
    }

    /// Returns the set with the checker to which it matters when controllers that are set up like this do what is due.
    #[must_use]
    pub fn and_of_time(self, promises: Promises, pace: Pace) -> Self {
        self.and(Box::new(in_time::InTime::new(promises, pace)))
    }

    /// Returns the checkers of a run in which nothing goes wrong: costs are bounded, too.
    pub fn of_calm() -> Self {
        Self::all().and(Box::<bounded_cost::BoundedCost>::default())
    }

    /// Returns the same without the checker of form.
    pub fn of_calm_effects() -> Self {
        Self::of_effects().and(Box::<bounded_cost::BoundedCost>::default())
    }

    /// Returns the checkers that need no more than a watch log.
    ///
    /// `surplus` is how many members there may be above `spec.replicas`: the creates that processes which
    /// died, or led at the same time, had under way.
    pub fn of_logs(surplus: u32) -> Self {
        Self::new(vec![
            Box::new(adopted_once::AdoptedOnce),
            Box::new(one_sandbox::OneSandbox),
            Box::new(recorded_first::RecordedFirst::default()),
            Box::new(population::Population::with_surplus(surplus)),
            Box::new(one_pod::OnePod::default()),
            Box::new(truthful_ready::TruthfulReady::default()),
            Box::new(no_shared_sandbox::NoSharedSandbox::default()),
            Box::new(no_silent_rebind::NoSilentRebind),
            Box::<wishes_granted::WishesGranted>::default(),
            Box::new(identity_kept::IdentityKept::default()),
            Box::new(claims_served::ClaimsServed),
            Box::new(pools_full::PoolsFull),
            Box::new(nothing_left::NothingLeft),
        ])
    }

    /// Returns a set with these checkers.
    pub fn new(list: Vec<Box<dyn Checker>>) -> Self {
        let known = list.iter().any(|checker| checker.judges_decisions()).then(Known::default);
        Self { list: list.into_iter().map(|checker| (checker, 0)).collect(), known }
    }

    /// Returns the set with one more.
    #[must_use]
    pub fn and(mut self, checker: Box<dyn Checker>) -> Self {
        if checker.judges_decisions() {
            self.known.get_or_insert_default();
        }
        self.list.push((checker, 0));
        self
    }

    /// Returns the set without the checkers whose names are not among these.
    #[must_use]
    pub fn only(mut self, names: &[&str]) -> Self {
        self.list.retain(|(checker, _)| names.contains(&checker.property().name));
        self
    }

    /// Returns whether a fact matters to any of them.
    pub fn heed(&self, fact: &Fact) -> bool {
        let Fact::Committed(commit) = fact else { return true };
        self.list.iter().any(|(checker, _)| checker.heeds(commit))
    }

    /// Shows a fact to every checker.
    ///
    /// # Errors
    /// The first violation.
    pub fn on_fact(&mut self, fact: &Fact, store: &Store) -> Result<(), Violation> {
        let list = &mut self.list;
        match fact {
            Fact::Committed(commit) => {
                if let Some(known) = &mut self.known {
                    known.on_commit(commit);
                }
                judge(list, |checker| checker.heeds(commit), |checker| checker.on_commit(commit, store))
            }
            Fact::Sent(sent) => {
                judge(list, |_| true, |checker| checker.on_action(sent, store))?;
                let Some(known) = &mut self.known else { return Ok(()) };
                if known.is_new(sent) {
                    let judges = |checker: &dyn Checker| checker.judges_decisions();
                    judge(list, judges, |checker| checker.on_decision(sent, known, store))?;
                }
                known.on_sent(sent);
                Ok(())
            }
            // Nobody outside can tell.
            Fact::Handled(_) | Fact::Ran(_) => Ok(()),
            Fact::Answered { .. }
            | Fact::Listed(..)
            | Fact::Relisted { .. }
            | Fact::WatchLost(..)
            | Fact::Started(_)
            | Fact::Leading { .. }
            | Fact::Deposed { .. }
            | Fact::Crashed { .. }
            | Fact::Shown { .. }
            | Fact::CalendarSet(_) => {
                if let Some(known) = &mut self.known {
                    known.on_fact(fact);
                }
                list.iter_mut().for_each(|(checker, _)| checker.on_fact(fact));
                Ok(())
            }
        }
    }

    /// Tells every checker what the time is.
    pub fn on_clock(&mut self, at: Mono) {
        self.list.iter_mut().for_each(|(checker, _)| checker.on_clock(at));
    }

    /// Judges what is left undone where nothing happens up to a moment.
    ///
    /// # Errors
    /// The first violation.
    pub fn on_lull(&mut self, until: Mono, store: &Store) -> Result<(), Violation> {
        let Some(known) = &self.known else { return Ok(()) };
        judge(&mut self.list, |_| true, |checker| checker.on_lull(until, known, store))
    }

    /// Tells every checker that a stage begins.
    pub fn on_stage(&mut self, stage: Stage) {
        self.list.iter_mut().for_each(|(checker, _)| checker.on_stage(stage));
    }

    /// Judges the store when everything should be done.
    ///
    /// # Errors
    /// The first violation.
    pub fn at_rest(&mut self, store: &Store) -> Result<(), Violation> {
        judge(&mut self.list, |_| true, |checker| checker.at_rest(store))
    }

    /// Returns each property with the number of occasions on which it was at stake.
    pub fn counts(&self) -> impl Iterator<Item = (Property, u64)> {
        self.list.iter().map(|(checker, count)| (checker.property(), *count))
    }
}

/// Lets those judge who heed an occasion, and counts for whom something was at stake.
fn judge(
    list: &mut [(Box<dyn Checker>, u64)],
    heeds: impl Fn(&dyn Checker) -> bool,
    judge: impl Fn(&mut dyn Checker) -> Judgement,
) -> Result<(), Violation> {
    for (checker, count) in list {
        if !heeds(&**checker) {
            continue;
        }
        match judge(&mut **checker) {
            Judgement::Silent => {}
            Judgement::Holds => *count += 1,
            Judgement::Broken(what) => return Err(Violation { property: checker.property(), what }),
        }
    }
    Ok(())
}

fn as_sandbox(object: Option<&Object>) -> Option<&Sandbox> {
    object.and_then(Object::as_sandbox)
}

fn as_claim(object: Option<&Object>) -> Option<&Claim> {
    object.and_then(Object::as_claim)
}

fn as_pool(object: Option<&Object>) -> Option<&Pool> {
    object.and_then(Object::as_pool)
}

#[cfg(test)]
mod tests;
