//! From a failure to its shortest story: the same violation with as many harmless choices as possible.
//!
//! Choice zero is always the harmless one, so a tape is shrunk by setting parts of it to zero, large parts
//! first, and by keeping what still breaks the same property.

use crate::choices::Choices;
use crate::controller::Controller;
use crate::faults::Options;
use crate::run::{Judges, Report, run_with};

/// Sets parts of a failed run's tape to zero while the same property breaks; returns the calmest run found.
///
/// `runs_max` bounds the effort. A report without a violation is returned as it is.
pub fn shrink<C: Controller>(
    options: &Options,
    controller: &C::Setup,
    judges: Judges,
    report: Report,
    runs_max: usize,
) -> Report {
    let Some(broken) = &report.broken else { return report };
    let property = broken.violation.property;
    let mut best = report;
    let mut runs = 0;
    let mut size = best.tape.len().next_power_of_two();
    while size > 0 {
        let mut start = 0;
        while start < best.tape.len() {
            let end = (start + size).min(best.tape.len());
            let part = start..end;
            start = end;
            if best.tape[part.clone()].iter().all(|choice| *choice == 0) {
                continue;
            }
            if runs == runs_max {
                return best;
            }
            runs += 1;
            let mut tape = best.tape.clone();
            tape[part].fill(0);
            let next = run_with::<C>(options, controller.clone(), judges, Choices::from_tape(tape), &mut ());
            let same = next.broken.as_ref().is_some_and(|broken| broken.violation.property == property);
            if same && next.steps <= best.steps {
                best = next;
            }
        }
        size /= 2;
    }
    best
}

#[cfg(test)]
mod tests {
    use agent_sandbox_core::config::Config;
    use agent_sandbox_core::machine::Machine;
    use agent_sandbox_core::mutant::Mutant;

    use super::*;
    use crate::run::run;

    #[test]
    fn a_shrunk_failure_breaks_the_same_property_with_less_trouble() {
        let config = Config { mutant: Some(Mutant::OwnWriteInvisible), ..Config::default() };
        let fails = |seed: &u64| {
            let options = Options::of_campaign(*seed);
            run::<Machine>(&options, config.clone(), Judges::Effects, &mut ()).broken.is_some()
        };
        let options = Options::of_campaign((0..100).find(fails).expect("some seed fails"));
        let first = run::<Machine>(&options, config.clone(), Judges::Effects, &mut ());
        let calm = shrink::<Machine>(&options, &config, Judges::Effects, first.clone(), 60);
        let property = |report: &Report| report.broken.as_ref().map(|broken| broken.violation.property);
        assert_eq!(property(&calm), property(&first));
        let trouble = |report: &Report| report.tape.iter().filter(|choice| **choice > 0).count();
        assert!(trouble(&calm) <= trouble(&first) && calm.steps <= first.steps);
    }
}
