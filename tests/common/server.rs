//! The standalone signaling server as a child process, on a port that the system picked.

use super::eventually;
use super::process::{self, Guarded, log_file};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;

/// A running `ahoy-server`.
pub(crate) struct Server {
    process: Guarded,
    address: SocketAddr,
    folder: TempDir,
}

impl Server {
    /// Starts a server on loopback and waits until it says where it listens.
    pub(crate) fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Starts a server at that address.
    pub(crate) fn start_at(address: SocketAddr) -> Self {
        Self::start_within(None, address)
    }

    /// The same in a network namespace.
    pub(crate) fn start_within(namespace: Option<&str>, address: SocketAddr) -> Self {
        Self::start_program(env!("CARGO_BIN_EXE_ahoy-server").as_ref(), namespace, address)
    }

    /// The same, with another program than the one built with the tests.
    pub(crate) fn start_program(program: &Path, namespace: Option<&str>, address: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (said, log) = (folder.path().join("said"), folder.path().join("server.log"));
        let mut command = process::command(namespace, program);
        command
            .args(["--listen", &address.to_string()])
            .stdin(Stdio::null())
            .stdout(log_file(&said))
            .stderr(log_file(&log));
        let mut process = Guarded::spawn(&mut command);
        let address = eventually("the server listens", Duration::from_secs(10), || {
            if let Some(status) = process.try_wait().unwrap() {
                panic!("the server ended at once ({status}): {}", std::fs::read_to_string(&log).unwrap());
            }
            // "Serving on ws://ADDRESS:PORT/"
            let text = std::fs::read_to_string(&said).ok()?;
            text.split_once("ws://")?.1.split_once('/')?.0.parse().ok()
        });
        Self { process, address, folder }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Ends the server by SIGKILL, as a crash would.
    pub(crate) fn crash(&mut self) {
        self.process.crash();
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default()
    }
}

/// A loopback address with a TCP port that was free a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
