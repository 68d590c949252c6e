//! A real TURN relay (coturn) on loopback.

use super::eventually;
use super::process::{Guarded, log_file};
use super::server::free_address;
use std::net::{TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const USERNAME: &str = "guest";
const CREDENTIAL: &str = "secret";

/// A running relay.
pub(crate) struct Turn {
    _process: Guarded,
    folder: TempDir,
    port: u16,
}

impl Turn {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("turn.log");
        // The port must be free for UDP and TCP alike.
        let port = eventually("a port for the relay", Duration::from_secs(5), || {
            let port = free_address().port();
            UdpSocket::bind(("127.0.0.1", port)).ok().map(|_| port)
        });
        let mut command = Command::new("turnserver");
        command
            // An empty configuration file: the one of the system is for services.
            .args(["-c", "/dev/null", "--listening-ip", "127.0.0.1", "--relay-ip", "127.0.0.1"])
            .args(["--listening-port", &port.to_string(), "--min-port", "40000", "--max-port", "49999"])
            .args(["--lt-cred-mech", "--user", &format!("{USERNAME}:{CREDENTIAL}"), "--realm", "ahoy.test"])
            .args([
                "--allow-loopback-peers",
                "--no-cli",
                "--no-tls",
                "--no-dtls",
                "--simple-log",
                "--verbose",
            ])
            .args(["--no-stdout-log", "--log-file"])
            .arg(&log)
            .arg("--pidfile")
            .arg(folder.path().join("turn.pid"))
            .arg("--userdb")
            .arg(folder.path().join("turn.db"))
            .stdin(Stdio::null())
            .stdout(log_file(&folder.path().join("stdout.log")))
            .stderr(log_file(&folder.path().join("stderr.log")));
        let mut process = Guarded::spawn(&mut command);
        eventually("the relay listens", Duration::from_secs(10), || {
            if let Some(status) = process.try_wait().unwrap() {
                panic!(
                    "the relay ended at once ({status}): {}",
                    std::fs::read_to_string(&log).unwrap_or_default()
                );
            }
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Self { _process: process, folder, port }
    }

    /// The relay as `--ice-server` takes it.
    pub(crate) fn ice_server(&self) -> String {
        format!("turn:127.0.0.1:{},{USERNAME},{CREDENTIAL}", self.port)
    }

    /// The relay as a page's `iceServers` take it.
    pub(crate) fn ice_server_json(&self) -> serde_json::Value {
        serde_json::json!([{
            "urls": format!("turn:127.0.0.1:{}", self.port), "username": USERNAME, "credential": CREDENTIAL,
        }])
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("turn.log")).unwrap_or_default()
    }
}
