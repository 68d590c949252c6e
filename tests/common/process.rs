//! A child process that does not outlive its test.

use std::fs::File;
use std::ops::{Deref, DerefMut};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A child in a process group of its own; dropped, it and its children are killed and waited for.
pub(crate) struct Guarded(Child);

impl Guarded {
    /// Starts `command`.
    ///
    /// # Panics
    /// If the program is not there, saying which.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        match command.process_group(0).spawn() {
            Ok(child) => Self(child),
            Err(error) => panic!("{:?} does not start: {error}", command.get_program()),
        }
    }

    /// Asks the process to end (SIGTERM) and gives its status, or `None` if it is still there after `patience`.
    pub(crate) fn terminate(&mut self, patience: Duration) -> Option<ExitStatus> {
        send_signal("-TERM", &self.0.id().to_string());
        self.wait_for_end(patience)
    }

    /// Gives the status of the ended process, or `None` if it is still there after `patience`.
    pub(crate) fn wait_for_end(&mut self, patience: Duration) -> Option<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return Some(status);
            }
            if started.elapsed() > patience {
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Kills the process (SIGKILL) without a word to it, as a crash would.
    pub(crate) fn crash(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Deref for Guarded {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl DerefMut for Guarded {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // The group may hold helpers even after its leader has ended.
        send_signal("-KILL", &format!("-{}", self.0.id()));
        self.0.wait().ok();
    }
}

/// Sends a signal (`-STOP`, say) to one process.
pub(crate) fn signal(signal: &str, process: u32) {
    send_signal(signal, &process.to_string());
}

fn send_signal(signal: &str, target: &str) {
    Command::new("kill").args([signal, "--", target]).stderr(Stdio::null()).status().ok();
}

/// A file that a child may write its log to.
pub(crate) fn log_file(path: &Path) -> File {
    File::options().create(true).append(true).open(path).unwrap()
}

/// Runs a program to its end and gives its standard output.
///
/// # Panics
/// If it fails, with what it said.
pub(crate) fn run(command: &mut Command) -> String {
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => panic!("{:?} does not start: {error}", command.get_program()),
    };
    assert!(
        output.status.success(),
        "{command:?} failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// This program, in that network namespace if one is given. It takes the place of the command that goes there, so that
/// its id is the child's.
pub(crate) fn command(namespace: Option<&str>, program: &Path) -> Command {
    match namespace {
        None => Command::new(program),
        Some(namespace) => {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", namespace]).arg(program);
            command
        }
    }
}
