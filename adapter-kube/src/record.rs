//! `--record`: writes the trace of a run.
//!
//! A thread of its own redacts and writes, so that the loop waits neither for the hash of a Pod spec nor for a disk.
//! The file is flushed whenever nothing more waits to be written: a killed process loses the last moments at most.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use agent_sandbox_core::action::Action;
use agent_sandbox_core::event::Event;
use agent_sandbox_core::time::Now;
use agent_sandbox_core::trace::{Header, Step};
use tracing::{error, info};

/// Steps that may wait to be written. Beyond that the loop waits: a trace with holes is worth nothing.
const STEPS_MAX: usize = 65_536;

/// Why a trace cannot be begun.
#[derive(Debug, thiserror::Error)]
#[error("cannot record to {}: {source}", path.display())]
pub struct RecordError {
    path: PathBuf,
    source: std::io::Error,
}

/// A trace that is being written. It is complete once this is dropped.
#[derive(Debug)]
pub struct Recorder {
    steps: Option<SyncSender<Step>>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Begins a trace in `path`, in place of what the file held.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn begin(path: &Path, header: &Header) -> Result<Self, RecordError> {
        let failed = |source| RecordError { path: path.to_owned(), source };
        let mut file = BufWriter::new(File::create(path).map_err(failed)?);
        write_line(&mut file, header).and_then(|()| file.flush()).map_err(failed)?;
        let (steps, waiting) = sync_channel(STEPS_MAX);
        let path = path.to_owned();
        info!(file = %path.display(), "recording");
        let thread = std::thread::Builder::new().name("recorder".into()).spawn(move || {
            if let Err(error) = write_all(file, &waiting) {
                error!(file = %path.display(), %error, "the recording ends here, the controller goes on");
            }
        });
        Ok(Self { steps: Some(steps), thread: Some(thread.map_err(failed)?) })
    }

    /// Opens the record of one call.
    pub fn open(&self, now: Now, event: Option<&Event>) -> Page<'_> {
        Page { recorder: self, step: Step { now, event: event.cloned(), actions: Vec::new() } }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        drop(self.steps.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there was reported by its own thread.
            let _ = thread.join();
        }
    }
}

/// The record of one call, written when it is dropped: also when the machine panics, which is when it is needed.
#[derive(Debug)]
pub struct Page<'a> {
    recorder: &'a Recorder,
    step: Step,
}

impl Page<'_> {
    /// Notes an action that the machine has handed out.
    pub fn note(&mut self, action: &Action) {
        self.step.actions.push(action.clone());
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        let empty = Step { now: Now::default(), event: None, actions: Vec::new() };
        let step = std::mem::replace(&mut self.step, empty);
        if let Some(steps) = &self.recorder.steps {
            // The writer has gone after an error that it reported.
            let _ = steps.send(step);
        }
    }
}

fn write_all(mut file: BufWriter<File>, steps: &Receiver<Step>) -> std::io::Result<()> {
    while let Ok(step) = steps.recv() {
        write_line(&mut file, &step.redacted())?;
        while let Ok(step) = steps.try_recv() {
            write_line(&mut file, &step.redacted())?;
        }
        file.flush()?;
    }
    Ok(())
}

fn write_line(file: &mut BufWriter<File>, line: &impl serde::Serialize) -> std::io::Result<()> {
    serde_json::to_writer(&mut *file, line)?;
    file.write_all(b"\n")
}

#[cfg(test)]
mod tests {
    use agent_sandbox_core::config::Config;
    use agent_sandbox_core::trace;

    use super::*;

    #[test]
    fn what_is_recorded_can_be_read() {
        let path = std::env::temp_dir().join(format!("recorder-{}.trace", std::process::id()));
        let header = Header {
            trace: trace::VERSION,
            version: "0.1.0".into(),
            commit: None,
            config: Config::default(),
            started: Now::default(),
        };
        let recorder = Recorder::begin(&path, &header).unwrap();
        for term in 0..3 {
            drop(recorder.open(Now::default(), Some(&Event::Leading { term })));
        }
        drop(recorder.open(Now::default(), None));
        drop(recorder);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let (read, steps) = trace::read(&text).unwrap();
        let events: Vec<_> = steps.map(|step| step.unwrap().event).collect();
        assert_eq!(read, header);
        let leading = |term| Some(Event::Leading { term });
        assert_eq!(events, [leading(0), leading(1), leading(2), None]);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_named() {
        let config = Config::default();
        let started = Now::default();
        let header = Header { trace: trace::VERSION, version: String::new(), commit: None, config, started };
        let error = Recorder::begin(Path::new("/no/such/place"), &header).unwrap_err().to_string();
        assert!(error.starts_with("cannot record to /no/such/place: "), "{error}");
    }
}
