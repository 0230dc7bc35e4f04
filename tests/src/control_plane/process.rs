//! The processes of a control plane, and the promise that none of them outlives its test.
//!
//! A destructor alone cannot promise that: a test can be killed. So a small shell, the *guardian*, reads the process
//! ids from a pipe whose other end only this process holds. When the pipe closes, for whatever reason, the guardian
//! kills them and removes the folder. [`Drop`] just closes the pipe, so there is one way to stop and every test run
//! exercises it. (`PR_SET_PDEATHSIG` would act when the *thread* ends that started the process, and keeps the files.)

use std::env;
use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::{Error, Lifetime, STEP_TIMEOUT, pause};

/// Reads process ids until its input ends. The word `release` lets the processes go on instead, and a minus before an
/// id means that its process has ended: the number may soon be another's.
///
/// The removal is repeated because a process that was just killed may still be creating a file.
const GUARDIAN: &str = r#"
    pids=
    while read -r pid; do
        case $pid in
            release) exit 0 ;;
            -*)
                rest=
                for each in $pids; do
                    [ "-$each" = "$pid" ] || rest="$rest $each"
                done
                pids=$rest
                ;;
            *) pids="$pids $pid" ;;
        esac
    done
    [ -z "$pids" ] || kill -KILL $pids
    for try in 1 2 3 4 5 6 7 8 9 10; do
        rm -rf "$1" && break
        sleep 0.1
    done
"#;

/// How many lines of a log are worth showing: an error of kube-apiserver with what led to it.
const LOG_LINES: usize = 20;

/// Running programs with one folder for everything they write.
#[derive(Debug)]
pub(super) struct Processes {
    dir: PathBuf,
    lifetime: Lifetime,
    /// In the order of their start.
    children: Vec<(&'static str, Child)>,
    /// `None` once the processes were let go.
    guardian: Option<Child>,
}

impl Processes {
    /// Makes the folder and its guardian.
    pub(super) fn new(lifetime: &Lifetime) -> Result<Self, Error> {
        let dir = match lifetime {
            Lifetime::ThisProcess => temporary_dir()?,
            Lifetime::UntilDown(dir) => empty_dir(dir)?,
        };
        let guardian = Command::new("sh")
            .args(["-c", GUARDIAN, "guardian"])
            .arg(&dir)
            // Not in `dir` and not in the terminal's process group: Ctrl-C must not reach it.
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| Error::io("cannot run sh", e))?;
        Ok(Self { dir, lifetime: lifetime.clone(), children: Vec::new(), guardian: Some(guardian) })
    }

    /// Returns the folder.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Starts `program`; its output goes to `<name>.log`.
    pub(super) fn start(
        &mut self,
        name: &'static str,
        program: &Path,
        flags: &[String],
    ) -> Result<(), Error> {
        let failed = |e| Error::io(format!("cannot start {}", program.display()), e);
        let log = File::create(self.log_path(name)).map_err(failed)?;
        let child = Command::new(program)
            .args(flags)
            .current_dir(&self.dir)
            .env("HOME", &self.dir)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed)?)
            .stderr(log)
            .spawn()
            .map_err(failed)?;
        let pid = child.id();
        self.children.push((name, child));
        self.tell_guardian(&pid.to_string())?;
        if self.lifetime != Lifetime::ThisProcess {
            fs::write(self.dir.join(name).with_extension("pid"), pid.to_string()).map_err(failed)?;
        }
        Ok(())
    }

    /// Checks that all processes still run.
    ///
    /// **Errors** with the log's end when one does not.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        for (name, child) in &mut self.children {
            if let Some(status) =
                child.try_wait().map_err(|e| Error::io(format!("cannot wait for {name}"), e))?
            {
                let what = format!("{name} ended: {status}");
                let log = log_tail(&self.dir.join(name).with_extension("log"));
                return Err(Error::Failed { what, log });
            }
        }
        Ok(())
    }

    /// Checks the processes a last time, and lets them go if they are to outlive this process.
    pub(super) fn finish_start(&mut self) -> Result<(), Error> {
        self.check()?;
        if self.lifetime != Lifetime::ThisProcess {
            self.tell_guardian("release")?;
            self.guardian = None;
        }
        Ok(())
    }

    /// Has a process killed at the end that somebody else has started.
    pub(super) fn guard(&self, pid: u32) -> Result<(), Error> {
        self.tell_guardian(&pid.to_string())
    }

    /// Forgets a process of [`Processes::guard`], which has ended.
    pub(super) fn forget(&self, pid: u32) -> Result<(), Error> {
        self.tell_guardian(&format!("-{pid}"))
    }

    /// Returns the last lines that the process `name` wrote.
    pub(super) fn log_tail(&self, name: &str) -> String {
        log_tail(&self.log_path(name))
    }

    fn log_path(&self, name: &str) -> PathBuf {
        self.dir.join(name).with_extension("log")
    }

    fn tell_guardian(&self, line: &str) -> Result<(), Error> {
        let pipe = self.guardian.as_ref().and_then(|guardian| guardian.stdin.as_ref());
        let mut pipe = pipe.expect("the pipe is open until the processes are let go or dropped");
        writeln!(pipe, "{line}").map_err(|e| Error::io("the guardian is gone", e))
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        let Some(mut guardian) = self.guardian.take() else { return };
        drop(guardian.stdin.take());
        // A failure leaves a process or a folder behind, about which a destructor can do nothing.
        let _ = guardian.wait();
        for (_, child) in &mut self.children {
            let _ = child.wait();
        }
    }
}

/// Kills the processes whose ids are in `dir`.
///
/// A number alone may by now be somebody else's process; ours have `dir` in their arguments.
pub(super) fn kill_recorded(dir: &Path) -> Result<(), Error> {
    let dir = dir.canonicalize().map_err(|e| Error::io(format!("cannot open {}", dir.display()), e))?;
    let entries = fs::read_dir(&dir).map_err(|e| Error::io(format!("cannot read {}", dir.display()), e))?;
    let pid_files = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "pid"));
    let pids: Vec<String> = pid_files.filter_map(|path| fs::read_to_string(path).ok()).collect();
    let is_ours = |pid: &String| {
        let ps = Command::new("ps").args(["-ww", "-o", "args=", "-p", pid]).output();
        ps.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(&*dir.to_string_lossy()))
    };
    let deadline = Instant::now() + STEP_TIMEOUT;
    loop {
        let running: Vec<_> = pids.iter().filter(|pid| is_ours(pid)).collect();
        if running.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(Error::failed(format!("processes {running:?} do not end")));
        }
        Command::new("kill")
            .arg("-KILL")
            .args(running)
            .status()
            .map_err(|e| Error::io("cannot run kill", e))?;
        pause();
    }
}

/// Makes a new folder, in memory where the system offers that: etcd writes much and keeps nothing.
fn temporary_dir() -> Result<PathBuf, Error> {
    let shm = PathBuf::from("/dev/shm");
    let base = if shm.is_dir() { shm } else { env::temp_dir() };
    // A folder of this name can only be left over from a machine that went down, so the next number is free.
    for number in 0_u32.. {
        let dir = base.join(format!("agent-sandbox-{}-{number}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&dir) {
            Ok(()) => return Ok(dir),
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Error::io(format!("cannot make {}", dir.display()), e)),
        }
    }
    unreachable!("the numbers do not run out before the memory does")
}

fn empty_dir(dir: &Path) -> Result<PathBuf, Error> {
    let failed = |e| Error::io(format!("cannot use {}", dir.display()), e);
    DirBuilder::new().mode(0o700).recursive(true).create(dir).map_err(failed)?;
    if fs::read_dir(dir).map_err(failed)?.next().is_some() {
        return Err(Error::failed(format!(
            "{} is not empty: is a control plane running there?",
            dir.display()
        )));
    }
    dir.canonicalize().map_err(failed)
}

fn log_tail(path: &Path) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outlives_the_pipe_to_the_guardian() {
        let mut processes = Processes::new(&Lifetime::ThisProcess).expect("a folder and a shell");
        processes.start("sleep", Path::new("sleep"), &["1000".into()]).expect("every system can sleep");
        let dir = processes.dir().to_owned();
        assert!(dir.join("sleep.log").exists());

        // This is all that happens when this process is killed.
        drop(processes.guardian.as_mut().and_then(|guardian| guardian.stdin.take()));
        let status = processes.children[0].1.wait().expect("it is our child");
        assert!(!status.success(), "it was killed, long before its time");
        drop(processes);
        assert!(!dir.exists());
    }

    #[test]
    fn the_guardian_kills_guests_but_none_that_have_left() {
        let sleep =
            || Command::new("sleep").arg("1000").process_group(0).spawn().expect("every system can sleep");
        let (mut guest, mut left) = (sleep(), sleep());
        let processes = Processes::new(&Lifetime::ThisProcess).expect("a folder and a shell");
        for pid in [left.id(), guest.id()] {
            processes.guard(pid).expect("the guardian listens");
        }
        processes.forget(left.id()).expect("the guardian listens");
        drop(processes);
        assert!(!guest.wait().expect("it is our child").success());
        assert!(left.try_wait().expect("it is our child").is_none());
        left.kill().and_then(|()| left.wait()).expect("it is our child");
    }

    #[test]
    fn a_cluster_for_a_developer_needs_a_folder_of_its_own() {
        let dir = temporary_dir().expect("there is memory");
        fs::write(dir.join("thesis.txt"), "").expect("the folder is writable");
        let refusal =
            Processes::new(&Lifetime::UntilDown(dir.clone())).expect_err("there is something in it");
        assert!(refusal.to_string().contains("is not empty"), "{refusal}");
        assert!(dir.join("thesis.txt").exists());
        fs::remove_dir_all(dir).expect("it is ours");
    }
}
