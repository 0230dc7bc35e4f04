//! What is planned for single requests or for the order of deliveries, beside what the choices say.
//!
//! A plan belongs to the [`Options`](crate::faults::Options) of a run: seed and plan together are the whole story.

use std::fmt;
use std::str::FromStr;

/// What is done on purpose in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plan {
    /// Nothing: the choices decide everything.
    #[default]
    None,
    /// This strikes one request, and perhaps that another.
    Blows(Blow, Option<Blow>),
    /// Deliveries go by priorities, which change so many times.
    Priorities(u8),
    /// The choices are the bytes of this input of the [corpus](crate::fuzz::CORPUS); the seed says which of them are
    /// others, and with seed zero none is.
    Bytes(u16),
}

/// One thing that goes wrong, with the request that it strikes. Requests are counted from zero, in the order in which
/// they are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blow {
    /// What goes wrong.
    pub trick: Trick,
    /// The number of the request.
    pub request: u32,
}

/// What can be done to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trick {
    /// The request takes effect, and its sender dies before it learns of it.
    Crash,
    /// The request takes effect, and its answer is lost.
    LoseAnswer,
    /// The server says no: a create is refused (403), and what is locked comes just after somebody else's write.
    Reject,
    /// The sender gives up waiting, and the request takes effect some time later.
    Delay,
}

impl Trick {
    /// Every trick.
    pub const ALL: [Self; 4] = [Self::Crash, Self::LoseAnswer, Self::Reject, Self::Delay];

    /// Returns the name used on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::LoseAnswer => "lose-answer",
            Self::Reject => "reject",
            Self::Delay => "delay",
        }
    }
}

impl Plan {
    /// The word for plans that let deliveries go by priorities.
    const PRIORITIES: &str = "priorities";
    /// The word for plans that take the choices from an input of the corpus.
    const BYTES: &str = "bytes";

    /// Returns what is to be done to a request.
    pub fn trick(self, request: u32) -> Option<Trick> {
        let Self::Blows(first, second) = self else { return None };
        let blows = [Some(first), second];
        blows.into_iter().flatten().find(|blow| blow.request == request).map(|blow| blow.trick)
    }
}

impl fmt::Display for Blow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.trick.name(), self.request)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Blows(first, None) => write!(f, "{first}"),
            Self::Blows(first, Some(second)) => write!(f, "{first}+{second}"),
            Self::Priorities(changes) => write!(f, "{}@{changes}", Self::PRIORITIES),
            Self::Bytes(input) => write!(f, "{}@{input}", Self::BYTES),
        }
    }
}

impl FromStr for Blow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no plan: there are crash@N, lose-answer@N, reject@N and delay@N, two of them with + between, priorities@N, bytes@N, and none"
            )
        };
        let (name, number) = text.split_once('@').ok_or_else(wrong)?;
        let trick = Trick::ALL.into_iter().find(|trick| trick.name() == name).ok_or_else(wrong)?;
        Ok(Self { trick, request: number.parse().map_err(|_| wrong())? })
    }
}

impl FromStr for Plan {
    type Err = String;

    /// Reads what [`Display`](fmt::Display) writes.
    ///
    /// # Errors
    /// A sentence that says what a plan looks like.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('@') {
            None if text == "none" => Ok(Self::None),
            Some((Self::PRIORITIES, number)) => number
                .parse()
                .map(Self::Priorities)
                .map_err(|_| "priorities@N changes them at most 255 times".to_owned()),
            Some((Self::BYTES, number)) => {
                let count = crate::fuzz::CORPUS.len();
                let input = number.parse().ok().filter(|input| usize::from(*input) < count);
                input
                    .map(Self::Bytes)
                    .ok_or_else(|| format!("bytes@N takes an input of the corpus, from 0 to {}", count - 1))
            }
            _ => match text.split_once('+') {
                None => Ok(Self::Blows(text.parse()?, None)),
                Some((first, second)) => Ok(Self::Blows(first.parse()?, Some(second.parse()?))),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use agent_sandbox_core::config::Config;
    use agent_sandbox_core::machine::Machine;

    use super::*;
    use crate::choices::Choices;
    use crate::faults::{Faults, Options};
    use crate::run::{Case, Judges};

    #[test]
    fn a_plan_survives_being_written_and_read() {
        let blow = |trick, request| Blow { trick, request };
        let plans = [
            Plan::None,
            Plan::Blows(blow(Trick::Crash, 0), None),
            Plan::Blows(blow(Trick::LoseAnswer, 17), Some(blow(Trick::Delay, 20))),
            Plan::Priorities(3),
            Plan::Bytes(1),
        ];
        for plan in plans {
            assert_eq!(plan.to_string().parse(), Ok(plan));
        }
    }

    #[test]
    fn what_is_no_plan_is_told_in_a_sentence() {
        for text in ["", "crash", "crash@", "crash@-1", "burn@1", "crash@1+", "priorities@x", "bytes@9999"] {
            assert!(text.parse::<Plan>().is_err_and(|why| why.len() > 30), "{text}");
        }
    }

    #[test]
    fn a_tape_says_what_a_plan_did() {
        let options = Options { faults: Faults::NONE, claims: 3, pool: 2, ..Options::of_campaign(6) };
        let blows = Trick::ALL.into_iter().flat_map(|trick| {
            let blow = move |request| Blow { trick, request };
            (0..30).map(move |request| Plan::Blows(blow(request), Some(blow(request + 3))))
        });
        let unplanned = {
            let case = Case::<Machine> { options, setup: Config::default(), judges: Judges::Effects };
            case.play(options.choices(), &mut ()).hash
        };
        for plan in blows.chain([1, 2, 3].map(Plan::Priorities)) {
            let case = |plan, faults| {
                let options = Options { plan, faults, ..options };
                Case::<Machine> { options, setup: Config::default(), judges: Judges::Effects }
            };
            let planned = case(plan, Faults::NONE).play(options.choices().noted(), &mut ());
            let told = case(Plan::None, Faults::ALL).play(Choices::from_tape(planned.tape), &mut ());
            assert_eq!((told.hash, told.broken), (planned.hash, None), "{plan}");
            assert_ne!(planned.hash, unplanned, "{plan}");
        }
    }

    #[test]
    fn each_blow_strikes_its_request() {
        let plan: Plan = "crash@3+reject@5".parse().expect("a plan");
        assert_eq!(
            [3, 4, 5].map(|request| plan.trick(request)),
            [Some(Trick::Crash), None, Some(Trick::Reject)]
        );
    }
}
