//! Each known defect is found by the harm that it does, where the unbroken core does none; and each checker catches one.

use std::time::Duration;

use agent_sandbox_core::config::Config;
use agent_sandbox_core::machine::Machine;
use agent_sandbox_core::mutant::Mutant;
use agent_sandbox_sim::checkers::Checkers;
use agent_sandbox_sim::controller::{Pace, Promises};
use agent_sandbox_sim::faults::{Fault, Faults, Options};
use agent_sandbox_sim::matrix::find;
use agent_sandbox_sim::run::{Judges, Report, run};

/// Those that this test looks for: one for each place where a defect can be.
const SAMPLE: [Mutant; 20] = [
    Mutant::DeleteWithoutPreconditions,
    Mutant::RecordWithoutLock,
    Mutant::StatusWithoutLock,
    Mutant::LostAnswerIsFailure,
    Mutant::OwnWriteInvisible,
    Mutant::AbandonOnConflict,
    Mutant::ThrottledIsGone,
    Mutant::LostAnswerIsSuccess,
    Mutant::WritesBeforeListed,
    Mutant::MissesPodDeletes,
    Mutant::DeafToServices,
    Mutant::NoRepeatTimer,
    Mutant::ColdUnrecorded,
    Mutant::ColdWithoutWishes,
    Mutant::SilentRebind,
    Mutant::VanishesUnseen,
    Mutant::NeverEndsClaims,
    Mutant::CreatesUncounted,
    Mutant::AnyPodWillDo,
    Mutant::PolicyDriftStays,
];

/// What makes two processes decide about one claim at once.
const RIVALS: Faults =
    Faults::of(&[Fault::TwoLeaders, Fault::WatchLag, Fault::SlowServer, Fault::LostAnswer, Fault::Inherited]);

/// Which defect each checker catches by itself.
const CAUGHT: [(&str, Mutant, Faults); 45] = [
    ("adopted-once", Mutant::AdoptWithoutLock, RIVALS),
    ("one-sandbox", Mutant::ThrottledIsGone, Faults::ALL),
    ("in-use-kept", Mutant::DeleteWithoutPreconditions, Faults::ALL),
    ("recorded-first", Mutant::ColdUnrecorded, Faults::ALL),
    ("population", Mutant::CreatesUncounted, Faults::ALL),
    ("one-pod", Mutant::SecondPod, Faults::ALL),
    ("truthful-ready", Mutant::ReadyWithoutAddress, Faults::ALL),
    ("no-shared-sandbox", Mutant::PublishesRecorded, RIVALS),
    ("no-silent-rebind", Mutant::SilentRebind, Faults::ALL),
    ("wishes-granted", Mutant::ColdWithoutWishes, Faults::ALL),
    ("identity-kept", Mutant::VanishesUnseen, Faults::ALL),
    ("leader-writes", Mutant::WritesBeforeListed, Faults::ALL),
    ("hands-off", Mutant::AnyPodWillDo, Faults::ALL),
    ("right-end", Mutant::RetainedIsDeleted, Faults::ALL),
    ("warm-first", Mutant::TakesTheUnready, Faults::ALL),
    ("right-make", Mutant::GivesAwayStale, Faults::ALL),
    ("first-come", Mutant::YoungestFirst, Faults::ALL),
    ("end-stays", Mutant::AnyClockRevives, Faults::ALL),
    ("acts-soon", Mutant::SandboxStatusOnce, Faults::ALL),
    ("born-whole", Mutant::AdoptedUnmarked, Faults::ALL),
    ("true-figures", Mutant::AllCountAsReady, Faults::ALL),
    ("least-first", Mutant::OldestGoFirst, Faults::ALL),
    ("rollout-paced", Mutant::RolloutAtOnce, Faults::ALL),
    ("honest-times", Mutant::TimesMove, Faults::ALL),
    ("made-to-order", Mutant::VolumesNotMounted, Faults::ALL),
    ("true-status", Mutant::GoingIsReady, Faults::ALL),
    ("backs-off", Mutant::NeverBacksOff, Faults::ALL),
    ("settles-first", Mutant::TellsEachStep, Faults::ALL),
    ("bounded-flight", Mutant::OneMoreInFlight, Faults::ALL),
    ("shares-turns", Mutant::BackgroundStarves, Faults::ALL),
    ("told-in-events", Mutant::TellsNoEvent, Faults::ALL),
    ("said-as-meant", Mutant::SpecLostOnWire, Faults::ALL),
    ("in-time", Mutant::NoExpiryTimer, Faults::ALL),
    ("keeps-nothing", Mutant::RemembersTheGone, Faults::ALL),
    ("no-churn", Mutant::NoRoomIsStuck, Faults::ALL),
    ("refill-paced", Mutant::RefillUncounted, Faults::ALL),
    ("claims-served", Mutant::NeverGivesUp, Faults::ALL),
    ("pools-full", Mutant::OneTooFew, Faults::ALL),
    ("sandboxes-settled", Mutant::NeverStopsPods, Faults::ALL),
    ("templates-isolated", Mutant::NeverIsolates, Faults::ALL),
    ("nothing-left", Mutant::ClaimPoliciesStay, Faults::ALL),
    ("silence", Mutant::OwnerNotWritten, Faults::ALL),
    ("locked-writes", Mutant::AdoptWithoutLock, Faults::ALL),
    ("bounded-cost", Mutant::StampsAgain, Faults::NONE),
    ("forgets-nothing", Mutant::DeafToPods, Faults::ALL),
];

/// How many seeds may be needed.
///
/// Source: a campaign makes some two hundred seeds a second on one core, and has ten seconds.
const SEEDS: u64 = 2000;

#[test]
fn a_sample_of_the_mutants_is_found_within_seconds() {
    for mutant in SAMPLE {
        // Others may keep the machine busy: the bound is on time, and generous.
        let found = find(mutant, None, 0, Duration::from_secs(60), 0);
        assert!(found.is_ok(), "{} was not found in {:?} runs", mutant.name(), found.err());
    }
}

#[test]
fn every_checker_catches_a_defect_that_the_unbroken_core_does_not_have() {
    for (checker, mutant, faults) in CAUGHT {
        let judges = Judges::Named(Box::leak(Box::new([checker])));
        let play = |seed: u64, mutant| {
            let options = Options { faults, ..Options::of_campaign(seed) };
            play(&options, mutant, judges).broken
        };
        let found =
            (0..SEEDS).find(|seed| play(*seed, Some(mutant)).is_some() && play(*seed, None).is_none());
        assert!(found.is_some(), "{checker} did not catch {} in {SEEDS} seeds", mutant.name());
    }
}

#[test]
fn no_checker_is_without_a_mutant() {
    let pace = Pace { delay: Duration::from_secs(1), ..Pace::default() };
    let all = Checkers::of_calm()
        .and_of_setup(Promises::default(), pace)
        .and_of_orders(Promises::default())
        .and_of_sandboxes(Promises::default())
        .and_of_wire(None)
        .and_of_time(Promises::default(), pace);
    let names = all.counts().map(|(property, _)| property.name).chain(["forgets-nothing", "keeps-nothing"]);
    let lacking: Vec<_> = names.filter(|name| CAUGHT.iter().all(|caught| caught.0 != *name)).collect();
    assert_eq!(lacking, [""; 0]);
}

/// CND-003, INV-09, INV-10, INV-13, INV-14, INV-16, INV-27, INV-28, INV-32, META-013, RFL-003, RFL-010: decisions that do no harm which others would notice.
#[test]
fn what_one_checker_alone_catches_is_caught_by_no_other() {
    let alone = [
        ("warm-first", Mutant::ColdBesideReady),
        ("warm-first", Mutant::StartingUncounted),
        ("warm-first", Mutant::TakesTheUnready),
        ("right-make", Mutant::GivesAwayStale),
        ("first-come", Mutant::YoungestFirst),
        ("least-first", Mutant::OldestGoFirst),
        ("rollout-paced", Mutant::RolloutAtOnce),
        ("honest-times", Mutant::TimesMove),
        ("made-to-order", Mutant::VolumesNotMounted),
        ("true-status", Mutant::GoingIsReady),
        ("backs-off", Mutant::NeverBacksOff),
        ("bounded-flight", Mutant::OneMoreInFlight),
        ("told-in-events", Mutant::TellsNoEvent),
        ("said-as-meant", Mutant::SpecLostOnWire),
        ("keeps-nothing", Mutant::RemembersTheGone),
        ("no-churn", Mutant::NoRoomIsStuck),
        ("refill-paced", Mutant::RefillsAtOnce),
        ("refill-paced", Mutant::RefillUncounted),
    ];
    for (checker, mutant) in alone {
        let names = CAUGHT.iter().map(|caught| caught.0).filter(|name| *name != checker);
        let others: Vec<&str> = names.filter(|name| *name != "bounded-cost").collect();
        let judges = Judges::Named(Box::leak(others.into_boxed_slice()));
        for seed in 0..30 {
            let broken = play(&Options::of_campaign(seed), Some(mutant), judges).broken;
            assert_eq!(broken, None, "{} with seed {seed}", mutant.name());
        }
    }
}

/// The defects that only trouble brings to light: no user would have noticed them.
#[test]
fn no_race_shows_while_nothing_goes_wrong() {
    let races = [
        Mutant::DeleteWithoutPreconditions,
        Mutant::LostAnswerIsFailure,
        Mutant::OwnWriteInvisible,
        Mutant::AdoptWithoutLock,
        Mutant::AbandonOnConflict,
    ];
    for mutant in races {
        for seed in 0..50 {
            let options = Options { faults: Faults::NONE, ..Options::of_campaign(seed) };
            let report = play(&options, Some(mutant), Judges::Effects);
            assert_eq!(report.broken, None, "{} with seed {seed}", mutant.name());
        }
    }
}

fn play(options: &Options, mutant: Option<Mutant>, judges: Judges) -> Report {
    let config = Config { mutant, ..Config::default() };
    run::<Machine>(options, config, judges, &mut ())
}
