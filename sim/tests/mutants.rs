//! Each known defect is found by the harm that it does, where the unbroken core does none; and no defect
//! shows while nothing goes wrong.

use agent_sandbox_core::config::Config;
use agent_sandbox_core::machine::Machine;
use agent_sandbox_core::mutant::Mutant;
use agent_sandbox_sim::faults::{Faults, Options};
use agent_sandbox_sim::run::{Judges, Report, run};

/// How many seeds may be needed to find a defect.
///
/// Source: a campaign makes some two hundred seeds a second on one core, and has ten seconds.
const SEEDS: u64 = 2000;

#[test]
fn every_mutant_is_found() {
    for mutant in Mutant::ALL {
        let breaks = |seed: &u64| play(*seed, Faults::ALL, Some(mutant)).broken.is_some();
        let passes = |seed: &u64| play(*seed, Faults::ALL, None).broken.is_none();
        let found = (0..SEEDS).find(|seed| breaks(seed) && passes(seed));
        assert!(found.is_some(), "{} was not found in {SEEDS} seeds", mutant.name());
    }
}

#[test]
fn no_mutant_shows_while_nothing_goes_wrong() {
    for mutant in Mutant::ALL {
        for seed in 0..50 {
            let report = play(seed, Faults::NONE, Some(mutant));
            assert_eq!(report.broken, None, "{} with seed {seed}", mutant.name());
        }
    }
}

fn play(seed: u64, faults: Faults, mutant: Option<Mutant>) -> Report {
    let options = Options { faults, ..Options::of_campaign(seed) };
    let config = Config { mutant, ..Config::default() };
    run::<Machine>(&options, config, Judges::Effects, &mut ())
}
