//! Written by `agent-sandbox-sim run --write-test`: how `in-time` breaks.
//!
//! - 0.000000s controller A starts
//! - 0.000000s users create template template that lets claims have variables and volumes, pool pool of 1
//! - 0.100000s controller A leads and lists everything
//! - 0.103000s controller A sets the status of pool pool (change 4)

use agent_sandbox_sim::saved::Saved;

const TAPE: &str = "\
# agent-sandbox-sim run --tape FILE plays this again\n\
case 0x0 30 3 20 all none effects one-too-few\n\
# topic what name process number nth draw value\n\
deed pool - - 0 0 0 1\n\
deed pool - - 0 1 0 1\n\
deed template - - 0 0 0 1\n\
";

#[test]
fn one_too_few_breaks_in_time() {
    let saved: Saved = TAPE.parse().expect("the tape is one");
    let broken = saved.play().broken.expect("it breaks a property");
    assert_eq!(broken.violation.property.name, "in-time", "{}", broken.violation.what);
    assert_eq!(saved.mended().play().broken, None, "without the defect");
}
