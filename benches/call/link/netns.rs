//! Network namespaces: each participant has a network of its own, with a loopback and one end of the link.

use super::system;
use std::fs::{self, File};
use std::io::{Error, Result};
use std::path::Path;
use std::process::Command;

/// Where `ip netns` keeps them.
const FOLDER: &str = "/run/netns";
/// Every name begins so, then comes the process that made it.
const PREFIX: &str = "link-";

/// A network namespace of our own; gone when dropped, with the processes that are left in it.
pub(crate) struct Namespace {
    name: String,
    file: File,
}

impl Namespace {
    /// Makes a namespace with nothing but its loopback.
    ///
    /// # Errors
    /// What `ip` said: without the right to do this it fails here.
    pub(crate) fn create(suffix: &str) -> Result<Self> {
        let name = format!("{PREFIX}{}-{suffix}", std::process::id());
        ip(&["netns", "add", &name])?;
        let file = File::open(Path::new(FOLDER).join(&name))?;
        let namespace = Self { name, file };
        namespace.ip(&["link", "set", "lo", "up"])?;
        namespace.run(turn_off_ipv6)?;
        Ok(namespace)
    }

    /// Runs `task` on a thread inside. Whatever it opens or starts stays inside: sockets, threads, processes.
    ///
    /// # Panics
    /// If the task does, with its words.
    pub(crate) fn run<T: Send>(&self, task: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let inside = || system::enter_network(&self.file).and_then(|()| task());
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name(self.name.clone()).spawn_scoped(scope, inside)?;
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs `ip` inside.
    pub(crate) fn ip(&self, arguments: &[&str]) -> Result<()> {
        ip(&[&["-n", &self.name], arguments].concat())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Removes what an earlier process left behind because it was killed.
pub(crate) fn remove_stale() {
    for entry in fs::read_dir(FOLDER).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let maker = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')?.0.parse::<u32>().ok());
        if maker.is_some_and(|maker| !Path::new(&format!("/proc/{maker}")).exists()) {
            remove(&name);
        }
    }
}

/// Automatic addresses would offer paths that nobody asked for. A kernel without IPv6 has none to turn off.
fn turn_off_ipv6() -> Result<()> {
    let settings = Path::new("/proc/sys/net/ipv6/conf");
    if settings.exists() {
        for which in ["all", "default"] {
            fs::write(settings.join(which).join("disable_ipv6"), "1")?;
        }
    }
    Ok(())
}

fn remove(name: &str) {
    end_processes(name);
    if let Err(error) = ip(&["netns", "del", name]) {
        // Nothing can be done about it here; the next run tries again.
        tracing::warn!(%error, name, "the network namespace stays");
    }
}

fn end_processes(name: &str) {
    let Ok(found) = Command::new("ip").args(["netns", "pids", name]).output() else { return };
    for process in String::from_utf8_lossy(&found.stdout).split_whitespace() {
        Command::new("kill").args(["-KILL", process]).status().ok();
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(arguments).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::other(format!("ip {}: {}", arguments.join(" "), said.trim())))
}
