//! A tape as a file that plays again, and as a test.
//!
//! **Shape**: a line `case` with the size of the world, its faults, who judges and the planted defect, then one choice
//! a line as [`Tape`] writes them. Lines that begin with `#` are comments.

use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::time::Duration;

use agent_sandbox_core::config::Config;
use agent_sandbox_core::machine::Machine;
use agent_sandbox_core::mutant::Mutant;

use crate::choices::Choices;
use crate::faults::{Faults, Options};
use crate::run::{Case, Judges, Report};
use crate::tape::Tape;

/// A tape with the case that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// How large the world is. The seed says where the tape came from.
    pub options: Options,
    /// Whether everything is judged, or effects only.
    pub judges_all: bool,
    /// The defect that is built in.
    pub mutant: Option<Mutant>,
    /// The choices.
    pub tape: Tape,
}

impl Saved {
    /// Returns everything about the run but its choices.
    pub fn case(&self) -> Case<Machine> {
        let judges = if self.judges_all { Judges::All } else { Judges::Effects };
        let setup = Config { mutant: self.mutant, ..Config::default() };
        Case { options: self.options, setup, judges }
    }

    /// Plays the tape.
    pub fn play(&self) -> Report {
        self.case().play(Choices::from_tape(self.tape.clone()), &mut ())
    }

    /// Returns the same without the planted defect.
    #[must_use]
    pub fn mended(&self) -> Self {
        Self { mutant: None, ..self.clone() }
    }

    /// Returns a test that plays the tape: a file for the `tests` folder of a package that depends on this one.
    ///
    /// `property` is what the tape breaks, and `story` the sentences that tell how.
    pub fn to_test(&self, property: &str, story: &[String]) -> String {
        let name: String = self.mutant.map_or(property, |mutant| mutant.name()).replace('-', "_");
        let mut text =
            format!("//! Written by `agent-sandbox-sim run --write-test`: how `{property}` breaks.\n//!\n");
        for sentence in story {
            _ = writeln!(text, "//! - {}", sentence.trim());
        }
        _ = write!(
            text,
            "\nuse agent_sandbox_sim::saved::Saved;\n\nconst TAPE: &str = \"\\\n{}\";\n\n",
            self.to_string().replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n\\\n")
        );
        _ = write!(
            text,
            "#[test]\nfn {name}_breaks_{}() {{\n    let saved: Saved = TAPE.parse().expect(\"the tape is one\");\n    \
             let broken = saved.play().broken.expect(\"it breaks a property\");\n    \
             assert_eq!(broken.violation.property.name, \"{property}\", \"{{}}\", broken.violation.what);\n",
            property.replace('-', "_")
        );
        if self.mutant.is_some() {
            text += "    assert_eq!(saved.mended().play().broken, None, \"without the defect\");\n";
        }
        text + "}\n"
    }
}

impl fmt::Display for Saved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { seed, claims, pool, duration, faults, plan } = self.options;
        let judges = if self.judges_all { "all" } else { "effects" };
        let mutant = self.mutant.map_or("-", Mutant::name);
        let seconds = duration.as_secs();
        writeln!(f, "# agent-sandbox-sim run --tape FILE plays this again")?;
        writeln!(f, "case {seed:#x} {claims} {pool} {seconds} {faults} {plan} {judges} {mutant}")?;
        writeln!(f, "# topic what name process number nth draw value")?;
        write!(f, "{}", self.tape)
    }
}

impl FromStr for Saved {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_case = |line: &&str| line.starts_with("case ");
        let case = text.lines().find(is_case).ok_or("there is no line `case`")?;
        let wrong = || {
            format!(
                "`{case}` is no case: it should have a seed, claims, pool, seconds, faults, plan, judges and mutant"
            )
        };
        let words: Vec<&str> = case.split_whitespace().skip(1).collect();
        let [seed, claims, pool, seconds, faults, plan, judges, mutant] = words[..] else {
            return Err(wrong());
        };
        let mutant = match mutant {
            "-" => None,
            name => Some(Mutant::ALL.iter().copied().find(|it| it.name() == name).ok_or_else(wrong)?),
        };
        let seed = u64::from_str_radix(seed.trim_start_matches("0x"), 16).map_err(|_| wrong())?;
        let options = Options {
            seed,
            claims: claims.parse().map_err(|_| wrong())?,
            pool: pool.parse().map_err(|_| wrong())?,
            duration: Duration::from_secs(seconds.parse().map_err(|_| wrong())?),
            faults: Faults::parse(faults).map_err(|_| wrong())?,
            plan: plan.parse().map_err(|_| wrong())?,
        };
        let judges_all = match judges {
            "all" => true,
            "effects" => false,
            _ => return Err(wrong()),
        };
        // The line of the case becomes a comment, so that lines keep their numbers.
        let tape = text.replacen("\ncase ", "\n# ", 1);
        let tape = tape.strip_prefix("case ").map_or(tape.clone(), |rest| format!("# {rest}"));
        Ok(Self { options, judges_all, mutant, tape: tape.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_read_again() {
        let tape: Tape =
            "deed claim - - 3 0 0 1\nrequest CreatePod claim-0 1 0 2 0 lost-answer\n".parse().unwrap();
        let mutant = Some(Mutant::OwnWriteInvisible);
        let saved = Saved { options: Options::of_campaign(7), judges_all: false, mutant, tape };
        assert_eq!(saved.to_string().parse(), Ok(saved));
    }

    #[test]
    fn a_file_that_is_no_tape_is_told() {
        assert_eq!("deed claim - - 3 0 0 1".parse::<Saved>(), Err("there is no line `case`".to_owned()));
        assert!("case 1 2".parse::<Saved>().unwrap_err().contains("is no case"));
    }
}
