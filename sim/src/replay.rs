//! Feeds the events of a trace to the core of this build, and demands the actions that the trace has.
//!
//! A trace is read line by line, so its length does not matter: only the machine's state is kept.

mod difference;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead};
use std::panic::{AssertUnwindSafe, catch_unwind};

use agent_sandbox_core::action::{Action, Intent};
use agent_sandbox_core::event::{Event, Outcome};
use agent_sandbox_core::machine::Machine;
use agent_sandbox_core::time::Now;
use agent_sandbox_core::trace::{Damage, Header, Step};

pub use difference::{Difference, Field};

/// The longest first line that is read.
///
/// Source: a header has some 400 bytes; a file that is no trace may have no line break at all.
const HEADER_BYTES_MAX: u64 = 64 * 1024;

/// Why nothing can be replayed.
#[derive(Debug)]
pub enum Unreadable {
    /// The file cannot be read.
    Io(io::Error),
    /// There is no header that this build understands.
    Damage(Damage),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Damage(damage) => damage.fmt(f),
        }
    }
}

impl std::error::Error for Unreadable {}

impl From<io::Error> for Unreadable {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What a replay came to.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// Who wrote the trace, and how its machine was set up.
    pub header: Header,
    /// How many steps were replayed, the one that ended the replay included.
    pub steps: u64,
    /// How many of them had an event of each name; `Timeout` stands for none.
    pub events: BTreeMap<&'static str, u64>,
    /// How many actions the trace has for each intent, in the order of [`Intent::ALL`].
    pub actions: [u64; Intent::ALL.len()],
    /// The moment of the last step.
    pub last: Now,
    /// Why the replay ended.
    pub end: End,
}

/// Why a replay ended.
#[derive(Clone, Debug)]
pub enum End {
    /// The trace is used up, and every step was the same.
    Complete,
    /// As many steps as were asked for were the same.
    Limit,
    /// Every step before the damage was the same.
    Damaged(Damage),
    /// A step was not the same.
    Differs(Box<Difference>),
    /// The core panicked; its message is on standard error.
    Crashed {
        /// The number of the step, the first being 1.
        step: u64,
        /// The step.
        asked: Box<Step>,
    },
}

/// Replays a trace until it ends, is damaged, or differs, but at most `limit` steps.
///
/// # Errors
/// When the trace cannot be read at all. Damage further down is an [`End`].
pub fn replay(mut input: impl BufRead, limit: Option<u64>) -> Result<Replayed, Unreadable> {
    let header = read_header(&mut input)?;
    let mut machine = Machine::new(header.config.clone(), header.started);
    let mut replayed = Replayed {
        last: header.started,
        header,
        steps: 0,
        events: BTreeMap::new(),
        actions: [0; Intent::ALL.len()],
        end: End::Complete,
    };
    let mut line = Vec::new();
    loop {
        if limit == Some(replayed.steps) {
            replayed.end = End::Limit;
            break;
        }
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let step = match read_step(&line, replayed.steps as usize + 2) {
            Ok(step) => step,
            Err(damage) => {
                replayed.end = End::Damaged(damage);
                break;
            }
        };
        if let Some(end) = replayed.take(&mut machine, step) {
            replayed.end = end;
            break;
        }
    }
    Ok(replayed)
}

fn read_header(input: &mut impl BufRead) -> Result<Header, Unreadable> {
    let mut line = Vec::new();
    io::Read::take(&mut *input, HEADER_BYTES_MAX).read_until(b'\n', &mut line)?;
    let text = text_of(&line).map_err(|_| Unreadable::Damage(Damage::NotATrace))?;
    Header::read(text).map_err(Unreadable::Damage)
}

fn read_step(line: &[u8], number: usize) -> Result<Step, Damage> {
    let text = text_of(line).map_err(|error| {
        // A character that lacks its last bytes is where the text ends, any other one is wrong.
        if error.error_len().is_none() && !line.ends_with(b"\n") {
            return Damage::CutOff { line: number, bytes: line.len() };
        }
        Damage::Step { line: number, what: format!("not UTF-8 at column {}", error.valid_up_to() + 1) }
    })?;
    Step::read(text, number)
}

fn text_of(line: &[u8]) -> Result<&str, std::str::Utf8Error> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line))
}

impl Replayed {
    /// Replays one step; returns why it must be the last.
    fn take(&mut self, machine: &mut Machine, step: Step) -> Option<End> {
        self.steps += 1;
        self.last = step.now;
        *self.events.entry(step.event.as_ref().map_or("Timeout", name_of)).or_default() += 1;
        for action in &step.actions {
            self.actions[action.intent as usize] += 1;
        }
        let step = step.redacted();
        match catch_unwind(AssertUnwindSafe(|| answer(machine, &step))) {
            Err(_) => Some(End::Crashed { step: self.steps, asked: Box::new(step) }),
            Ok(got) if got == step.actions => None,
            Ok(got) => Some(End::Differs(Box::new(Difference { step: self.steps, asked: step, got }))),
        }
    }
}

/// Asks the machine for its redacted actions.
fn answer(machine: &mut Machine, step: &Step) -> Vec<Action> {
    match &step.event {
        Some(event) => machine.handle_event(event.clone(), step.now),
        None => machine.handle_timeout(step.now),
    }
    let actions = std::iter::from_fn(|| machine.poll_action()).collect();
    Step { now: step.now, event: None, actions }.redacted().actions
}

/// Returns the name of an event, as it stands in the trace.
pub const fn name_of(event: &Event) -> &'static str {
    match event {
        Event::Applied(_) => "Applied",
        Event::Deleted(_) => "Deleted",
        Event::Relisted { .. } => "Relisted",
        Event::Progress { .. } => "Progress",
        Event::WatchLost { .. } => "WatchLost",
        Event::ActionDone { .. } => "ActionDone",
        Event::Leading { .. } => "Leading",
        Event::Standby => "Standby",
    }
}

/// Tells what entered the machine, in one line.
pub fn sentence_of(step: &Step) -> String {
    let Some(event) = &step.event else { return "Timeout".to_owned() };
    let name = name_of(event);
    match event {
        Event::Applied(object) | Event::Deleted(object) => {
            format!("{name} {} {}, version {}", object.kind(), object.key(), object.version().0)
        }
        Event::Relisted { kind, objects, at } => {
            format!("{name} {kind}: {} objects at version {}", objects.len(), at.0)
        }
        Event::Progress { kind, at } => format!("{name} {kind} up to version {}", at.0),
        Event::WatchLost { kind } => format!("{name} {kind}"),
        Event::ActionDone { id, outcome: Outcome::Done(object) } => {
            let (kind, key, version) = (object.kind(), object.key(), object.version().0);
            format!("{name} {}: Done, {kind} {key} is at version {version}", id.0)
        }
        Event::ActionDone { id, outcome } => format!("{name} {}: {outcome:?}", id.0),
        Event::Leading { term } => format!("{name}, term {term}"),
        Event::Standby => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use agent_sandbox_core::config::Config;
    use agent_sandbox_core::mutant::Mutant;

    use super::*;
    use crate::faults::Options;
    use crate::run::{Judges, run};
    use crate::trace::{Recorded, Recording, Traces};

    #[test]
    fn a_simulated_process_is_replayed_to_the_end() {
        for seed in 0..20 {
            for trace in traces_of(seed, None) {
                let replayed = replay(&trace[..], None).unwrap();
                assert!(matches!(replayed.end, End::Complete), "seed {seed}: {:?}", replayed.end);
                let lines = trace.iter().filter(|byte| **byte == b'\n').count();
                assert_eq!(replayed.steps as usize + 1, lines);
                assert_eq!(replayed.events.values().sum::<u64>(), replayed.steps);
            }
        }
    }

    #[test]
    fn a_defect_shows_at_the_first_step_where_it_acts() {
        let traces = (0..20).flat_map(|seed| traces_of(seed, Some(Mutant::DeleteWithoutPreconditions)));
        let ends = traces.map(|trace| replay(&trace[..], None).unwrap().end);
        let fields = ends.filter_map(|end| match end {
            End::Differs(difference) => difference.field(),
            End::Complete | End::Limit | End::Damaged(_) | End::Crashed { .. } => None,
        });
        let fields: Vec<_> = fields.map(|field| (field.path, field.expected)).collect();
        assert!(!fields.is_empty());
        for (path, expected) in fields {
            assert!(path.ends_with(".operation.Delete.target.uid"), "{path}");
            assert_eq!(expected, "null");
        }
    }

    #[test]
    fn as_many_steps_are_replayed_as_are_asked_for() {
        let replayed = replay(&long_trace()[..], Some(7)).unwrap();
        assert!(matches!(replayed.end, End::Limit));
        assert_eq!(replayed.steps, 7);
    }

    #[test]
    fn a_line_that_is_no_text_is_damage() {
        let mut trace = long_trace();
        let third = trace.split_inclusive(|byte| *byte == b'\n').take(2).map(<[u8]>::len).sum::<usize>();
        trace[third + 4] = 0xff;
        let end = replay(&trace[..], None).unwrap().end;
        let End::Damaged(damage) = end else { unreachable!("{end:?}") };
        assert_eq!(damage.to_string(), "line 3: not UTF-8 at column 5");
    }

    /// Returns a trace of more than a few steps: in some worlds a process dies at once.
    fn long_trace() -> Vec<u8> {
        (0..4).flat_map(|seed| traces_of(seed, None)).max_by_key(Vec::len).unwrap()
    }

    /// Returns the traces of all processes of a small world.
    fn traces_of(seed: u64, mutant: Option<Mutant>) -> Vec<Vec<u8>> {
        let pages: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let shared = pages.clone();
        let traces = Traces::new(move |number| {
            shared.lock().unwrap().push(Vec::new());
            Ok(Box::new(Page(shared.clone(), number)))
        });
        let recording = Recording { config: Config { mutant, ..Config::default() }, traces: traces.clone() };
        run::<Recorded>(&Options::of_campaign(seed), recording, Judges::Effects, &mut ());
        traces.finish().unwrap();
        std::mem::take(&mut *pages.lock().unwrap())
    }

    struct Page(Arc<Mutex<Vec<Vec<u8>>>>, usize);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap()[self.1].extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
