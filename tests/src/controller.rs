//! One process of `agent-sandbox-controller`, started and ended as a test wants it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::cluster::eventually;
use crate::control_plane::{ControlPlane, free_port};

/// How much of a log is shown when something is wrong with its process.
const LOG_LINES: usize = 30;

/// How long a probe may take. Source: a tenth of a second on a busy machine.
const PROBE_MAX: Duration = Duration::from_secs(5);

/// A running controller. Killed when dropped, and with its control plane.
#[derive(Debug)]
pub struct Controller<'a> {
    plane: &'a ControlPlane,
    name: String,
    child: Child,
    probes: u16,
    trace: PathBuf,
    log: PathBuf,
}

impl<'a> Controller<'a> {
    /// Starts `program` for the cluster `plane`, with these flags besides those that say where it finds what.
    ///
    /// Its log and its recording go to `<name>.log` and `<name>.trace` in `dir`.
    ///
    /// **Panics** when the program cannot be started.
    #[track_caller]
    pub fn start(plane: &'a ControlPlane, program: &Path, dir: &Path, name: &str, flags: &[&str]) -> Self {
        let (trace, log) = (dir.join(name).with_extension("trace"), dir.join(name).with_extension("log"));
        let output = File::create(&log).expect("the test's folder is writable");
        let probes = free_port().expect("a port is free");
        let child = Command::new(program)
            .arg("--kubeconfig")
            .arg(plane.kubeconfig())
            .args(["--metrics-bind-address", "0", "--health-probe-bind-address"])
            .arg(format!("127.0.0.1:{probes}"))
            .arg("--record")
            .arg(&trace)
            .args(flags)
            // Not in the terminal's process group: the guardian ends it, and in the right order.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("one more handle"))
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
        plane.guard(child.id()).expect("the guardian listens");
        Self { plane, name: name.to_owned(), child, probes, trace, log }
    }

    /// Waits until it leads and has listed every kind.
    ///
    /// **Panics** when that takes too long, or the process ends.
    pub async fn leads(&mut self) {
        eventually(&format!("{} leads", self.name), async || {
            let ended = self.ended();
            assert!(ended.is_none(), "{} has ended, {ended:?}:\n{}", self.name, tail(&self.log));
            probe(self.probes).is_ok_and(|answer| answer.ends_with("leading"))
        })
        .await;
    }

    /// Kills it as a crash or a lost node would, without a chance to tidy up, and returns its recording.
    ///
    /// **Panics** when it has ended before.
    #[track_caller]
    pub fn kill(mut self) -> PathBuf {
        let ended = self.ended();
        assert!(ended.is_none(), "{} had ended already, {ended:?}:\n{}", self.name, tail(&self.log));
        self.end();
        self.trace.clone()
    }

    /// Asks it to stop, as Kubernetes does, waits until it has, and returns its recording.
    ///
    /// **Panics** when it does not stop, or not cleanly.
    pub async fn stop(mut self) -> PathBuf {
        let pid = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status().expect("every system has kill");
        assert!(asked.success(), "{} cannot be asked to stop", self.name);
        let mut ended = None;
        eventually(&format!("{} stops", self.name), async || {
            ended = self.ended();
            ended.is_some()
        })
        .await;
        let clean = ended.is_some_and(|status| status.success());
        assert!(clean, "{} did not stop cleanly, {ended:?}:\n{}", self.name, tail(&self.log));
        self.trace.clone()
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is our child")
    }

    fn end(&mut self) {
        // What cannot be killed has ended; and nobody is left to be told about either.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Controller<'_> {
    fn drop(&mut self) {
        self.end();
        let _ = self.plane.forget(self.child.id());
        if std::thread::panicking() {
            eprintln!("the last lines of {}:\n{}", self.log.display(), tail(&self.log));
        }
    }
}

fn probe(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PROBE_MAX))?;
    stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
