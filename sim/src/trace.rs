//! Writes the trace of each simulated process, in the format that a real controller records.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use agent_sandbox_core::action::Action;
use agent_sandbox_core::config::Config;
use agent_sandbox_core::event::Event;
use agent_sandbox_core::id::Kind;
use agent_sandbox_core::machine::Machine;
use agent_sandbox_core::object::Object;
use agent_sandbox_core::time::{Mono, Now};
use agent_sandbox_core::trace::{Header, Step, VERSION};

use crate::choices::Choices;
use crate::controller::{Controller, Pace, Promises};

/// Opens the place for the trace of the n-th process that starts, counted from zero.
type Open = Box<dyn FnMut(usize) -> io::Result<Box<dyn Write + Send>> + Send>;

/// Where traces go: one for each process that starts.
#[derive(Clone)]
pub struct Traces(Arc<Mutex<Outputs>>);

struct Outputs {
    open: Open,
    files: Vec<Box<dyn Write + Send>>,
    error: Option<io::Error>,
}

impl Traces {
    /// Returns a place for traces that opens one more with each process.
    pub fn new(open: impl FnMut(usize) -> io::Result<Box<dyn Write + Send>> + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Outputs { open: Box::new(open), files: Vec::new(), error: None })))
    }

    /// Ends every trace and returns how many there are.
    ///
    /// # Errors
    /// The first thing that went wrong since the beginning.
    pub fn finish(&self) -> io::Result<usize> {
        let mut outputs = self.outputs();
        let count = outputs.files.len();
        for mut file in std::mem::take(&mut outputs.files) {
            let flushed = file.flush();
            outputs.keep(flushed);
        }
        outputs.error.take().map_or(Ok(count), Err)
    }

    fn outputs(&self) -> MutexGuard<'_, Outputs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, header: &Header) -> usize {
        let mut outputs = self.outputs();
        let number = outputs.files.len();
        let opened = (outputs.open)(number);
        let file = outputs.keep(opened).unwrap_or_else(|| Box::new(io::sink()));
        outputs.files.push(file);
        outputs.write(number, serde_json::to_vec(header));
        number
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Traces({})", self.outputs().files.len())
    }
}

impl Outputs {
    fn write(&mut self, number: usize, line: serde_json::Result<Vec<u8>>) {
        let written = line.map_err(io::Error::from).and_then(|mut line| {
            line.push(b'\n');
            self.files[number].write_all(&line)
        });
        self.keep(written);
    }

    /// Keeps the first error for [`Traces::finish`]: a simulation does not stop because a disk is full.
    fn keep<T>(&mut self, result: io::Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.error.get_or_insert(error);
                None
            }
        }
    }
}

/// How recorded processes are set up.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The machine's configuration.
    pub config: Config,
    /// Where the traces go.
    pub traces: Traces,
}

/// A machine that writes down everything that enters and leaves it.
///
/// Copies write into the same trace, so a world of such machines is for one run, not for a search.
#[derive(Clone, Debug)]
pub struct Recorded {
    machine: Machine,
    traces: Traces,
    number: usize,
    page: Option<Step>,
}

impl Controller for Recorded {
    type Setup = Recording;

    fn start(setup: &Recording, now: Now) -> Self {
        let header = Header {
            trace: VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: None,
            config: setup.config.clone(),
            started: now,
        };
        let number = setup.traces.begin(&header);
        let machine = Machine::new(setup.config.clone(), now);
        Self { machine, traces: setup.traces.clone(), number, page: None }
    }

    fn handle_event(&mut self, event: Event, now: Now) {
        self.page = Some(Step { now, event: Some(event.clone()), actions: Vec::new() });
        self.machine.handle_event(event, now);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.page = Some(Step { now, event: None, actions: Vec::new() });
        self.machine.handle_timeout(now);
    }

    fn poll_action(&mut self) -> Option<Action> {
        let action = self.machine.poll_action();
        match (&action, &mut self.page) {
            (Some(action), Some(page)) => page.actions.push(action.clone()),
            (None, Some(_)) => {
                let page = self.page.take().map(Step::redacted);
                self.traces.outputs().write(self.number, serde_json::to_vec(&page));
            }
            (Some(_) | None, None) => {}
        }
        action
    }

    fn poll_timeout(&self) -> Option<Mono> {
        Controller::poll_timeout(&self.machine)
    }

    fn tune(setup: &mut Recording, choices: &mut Choices) {
        Machine::tune(&mut setup.config, choices);
    }

    fn pace(setup: &Recording) -> Pace {
        Machine::pace(&setup.config)
    }

    fn promises(setup: &Recording) -> Promises {
        Machine::promises(&setup.config)
    }

    fn write_limit(setup: &Recording) -> Duration {
        Machine::write_limit(&setup.config)
    }

    fn marks(&self) -> u64 {
        self.machine.marks()
    }

    fn branches() -> Vec<&'static str> {
        Machine::branches()
    }

    fn forgotten(&self) -> Vec<Action> {
        Controller::forgotten(&self.machine)
    }

    fn drift(&self, list: &dyn Fn(Kind) -> Vec<Object>) -> Option<String> {
        Controller::drift(&self.machine, list)
    }
}
