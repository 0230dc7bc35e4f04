//! A tape: every choice of a run that was not the harmless one, under the name of what it was about.
//!
//! A choice is named by its *site* (which kind of decision, of which process, about which object), by how many
//! decisions of that site came before, and by its place among the draws of one decision. So a tape says what happens to
//! whom, and taking one choice away leaves the meaning of the others alone. What a tape does not name is harmless: a user
//! who does nothing, a message that is not late, a server that does not fail.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use agent_sandbox_core::action::Action;
use agent_sandbox_core::id::{Kind, Text};

use crate::faults::Fault;

/// The kinds of decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Whatever nobody has named.
    #[default]
    Other,
    /// Something that users do, or that was there before: whether, when, and how.
    Deed,
    /// Trouble that hangs on no request and on no Pod: whether, when, and how.
    Trouble,
    /// The limits that the controllers are set up with.
    Setup,
    /// How far the calendar of a process is off.
    Calendar,
    /// What happens to a request, and how long it travels.
    Request,
    /// What happens to an answer, and how long it travels.
    Answer,
    /// How long a line of a watch travels.
    Line,
    /// How long it takes until the server has read a list.
    List,
    /// How long a list travels.
    Relist,
    /// How long a process takes to start, to take over, or to exit.
    Process,
    /// What a Pod takes its time for, and how long.
    Pod,
    /// How long the garbage collector takes.
    Collect,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 13] = [
        Self::Other,
        Self::Deed,
        Self::Trouble,
        Self::Setup,
        Self::Calendar,
        Self::Request,
        Self::Answer,
        Self::Line,
        Self::List,
        Self::Relist,
        Self::Process,
        Self::Pod,
        Self::Collect,
    ];

    /// Returns the name used in files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Other => "other",
            Self::Deed => "deed",
            Self::Trouble => "trouble",
            Self::Setup => "setup",
            Self::Calendar => "calendar",
            Self::Request => "request",
            Self::Answer => "answer",
            Self::Line => "line",
            Self::List => "list",
            Self::Relist => "relist",
            Self::Process => "process",
            Self::Pod => "pod",
            Self::Collect => "collect",
        }
    }
}

/// The draw of a request that says which fault strikes it: one more than its index.
pub const FAULT: u32 = 0;

/// The draw of a request that says for how long such creates are refused.
pub const REFUSED_FOR: u32 = 1;

/// The draw of a request or an answer that says how long it travels.
pub const TRAVEL: u32 = 2;

/// The draw of a request or an answer that says how late its fault takes effect.
pub const LATE: u32 = 3;

/// The draw of a request that says whether its process dies.
pub const CRASH: u32 = 4;

/// The draw of a request that says how soon its process dies.
pub const CRASH_AFTER: u32 = 5;

/// The draw of an answer that says whether it is lost.
pub const LOST: u32 = 0;

/// What a decision is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    /// Which kind of decision.
    pub topic: Topic,
    /// What is decided: a deed, an intent, a kind of object. One word.
    pub what: Cow<'static, str>,
    /// The how manieth, where things are numbered.
    pub number: u32,
    /// Whose process.
    pub process: Option<u8>,
    /// Which object.
    pub name: Option<Text>,
}

impl Site {
    /// Returns a site that is known by its topic and one word.
    pub const fn new(topic: Topic, what: &'static str) -> Self {
        Self { topic, what: Cow::Borrowed(what), number: 0, process: None, name: None }
    }

    /// Returns the site of something that users do.
    pub const fn deed(what: &'static str) -> Self {
        Self::new(Topic::Deed, what)
    }

    /// Returns the site of what is decided about a request of a process.
    pub fn request(topic: Topic, process: u8, action: &Action) -> Self {
        let what = Cow::Owned(format!("{:?}", action.intent));
        let name = Some(action.operation.key().name.clone());
        Self { topic, what, number: 0, process: Some(process), name }
    }

    /// Returns the site of what is decided about objects of a kind.
    pub const fn kind(topic: Topic, kind: Kind) -> Self {
        Self::new(topic, kind.name())
    }

    /// Returns the same with a number.
    #[must_use]
    pub const fn number(mut self, number: u32) -> Self {
        self.number = number;
        self
    }

    /// Returns the same with a process.
    #[must_use]
    pub const fn of(mut self, process: u8) -> Self {
        self.process = Some(process);
        self
    }

    /// Returns the same with the name of an object.
    #[must_use]
    pub fn named(mut self, name: Option<Text>) -> Self {
        self.name = name;
        self
    }
}

/// One choice among the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Choice {
    /// What it is about.
    pub site: Site,
    /// How many decisions about the same came before.
    pub nth: u32,
    /// Its place among the draws of one decision.
    pub draw: u32,
}

/// The choices of a run that are not harmless.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tape(BTreeMap<Choice, u64>);

impl Tape {
    /// Returns what was chosen; zero is harmless.
    pub fn get(&self, choice: &Choice) -> u64 {
        self.0.get(choice).copied().unwrap_or(0)
    }

    /// Chooses.
    pub fn set(&mut self, choice: Choice, value: u64) {
        if value == 0 {
            self.0.remove(&choice);
        } else {
            self.0.insert(choice, value);
        }
    }

    /// Returns how many choices are not harmless.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether all choices are harmless.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the choices that are not harmless, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&Choice, u64)> {
        self.0.iter().map(|(choice, value)| (choice, *value))
    }

    /// Returns the tape with only those choices of which this holds.
    #[must_use]
    pub fn only(&self, keeps: impl Fn(&Choice, u64) -> bool) -> Self {
        Self(
            self.iter()
                .filter(|(choice, value)| keeps(choice, *value))
                .map(|(c, v)| (c.clone(), v))
                .collect(),
        )
    }

    /// Returns the numbers under which a tape has something of a kind, in order.
    pub(crate) fn numbers(&self, site: &Site) -> Vec<u32> {
        let from = Choice { site: site.clone(), ..Choice::default() };
        let of_kind = self
            .0
            .range(from..)
            .take_while(|(choice, _)| (choice.site.topic, &choice.site.what) == (site.topic, &site.what));
        let present = of_kind.filter(|(choice, _)| {
            let of = (choice.site.process, &choice.site.name) == (site.process, &site.name);
            of && (choice.nth, choice.draw) == (0, 0)
        });
        present.map(|(choice, _)| choice.site.number).collect()
    }
}

/// One choice a line: topic, what, name, process, number, nth, draw, value; `-` is for what there is none of.
impl fmt::Display for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (Choice { site, nth, draw }, value) in self.iter() {
            let what = if site.what.is_empty() { "-" } else { &site.what };
            let name = site.name.as_deref().unwrap_or("-");
            write!(f, "{} {what} {name} ", site.topic.name())?;
            match site.process {
                Some(process) => write!(f, "{process}")?,
                None => f.write_str("-")?,
            }
            write!(f, " {} {nth} {draw} ", site.number)?;
            match fault_of(site.topic, *draw, value) {
                Some(fault) => writeln!(f, "{}", fault.name())?,
                None => writeln!(f, "{value}")?,
            }
        }
        Ok(())
    }
}

impl std::str::FromStr for Tape {
    type Err = String;

    /// Reads what [`Tape`] writes; empty lines and those that begin with `#` are passed over.
    fn from_str(text: &str) -> Result<Self, String> {
        let mut tape = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let (choice, value) = parse(line).ok_or_else(|| {
                format!("line {number} is no choice: it should have a topic, what, name, process, number, nth, draw and value")
            })?;
            tape.set(choice, value);
        }
        Ok(tape)
    }
}

fn parse(line: &str) -> Option<(Choice, u64)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [topic, what, name, process, number, nth, draw, value] = words[..] else { return None };
    let topic = Topic::ALL.into_iter().find(|it| it.name() == topic)?;
    let process = if process == "-" { None } else { Some(process.parse().ok()?) };
    let site = Site {
        topic,
        what: if what == "-" { Cow::Borrowed("") } else { Cow::Owned(what.to_owned()) },
        number: number.parse().ok()?,
        process,
        name: (name != "-").then(|| name.into()),
    };
    let draw = draw.parse().ok()?;
    let value = if topic == Topic::Request && draw == FAULT {
        Fault::named(value)?.index() as u64 + 1
    } else {
        value.parse().ok()?
    };
    Some((Choice { site, nth: nth.parse().ok()?, draw }, value))
}

/// Returns the fault that a choice stands for.
pub(crate) fn fault_of(topic: Topic, draw: u32, value: u64) -> Option<Fault> {
    let place = usize::try_from(value).ok()?.checked_sub(1)?;
    if topic == Topic::Request && draw == FAULT { Fault::ALL.get(place).copied() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tape_survives_being_written_and_read() {
        let mut tape = Tape::default();
        let site = Site::new(Topic::Request, "CreatePod").of(1).named(Some("claim-0".into()));
        let choice = Choice { site, nth: 2, draw: 0 };
        tape.set(choice, Fault::LostAnswer.index() as u64 + 1);
        tape.set(Choice { site: Site::deed("claim").number(3), nth: 0, draw: 0 }, 1);
        let text = tape.to_string();
        assert_eq!(text, "deed claim - - 3 0 0 1\nrequest CreatePod claim-0 1 0 2 0 lost-answer\n");
        assert_eq!(text.parse(), Ok(tape));
    }

    #[test]
    fn a_line_that_is_no_choice_is_said_with_its_number() {
        let error = "# a tape\n\ndeed claim - - 3 0 0\n".parse::<Tape>().unwrap_err();
        assert!(error.starts_with("line 3 is no choice"), "{error}");
        assert!("request CreatePod claim-0 1 0 2 0 bad-luck".parse::<Tape>().is_err());
    }

    #[test]
    fn things_are_found_by_their_numbers() {
        let mut tape = Tape::default();
        for number in [4, 1] {
            tape.set(Choice { site: Site::deed("claim").number(number), ..Choice::default() }, 1);
        }
        tape.set(Choice { site: Site::deed("claim").number(4), nth: 1, draw: 0 }, 9);
        tape.set(Choice { site: Site::deed("scaling"), ..Choice::default() }, 1);
        assert_eq!(tape.numbers(&Site::deed("claim")), [1, 4]);
        assert!(tape.numbers(&Site::deed("nothing")).is_empty());
    }
}
