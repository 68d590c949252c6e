//! A real window that rings on a real sound server: what is heard while somebody calls, and that it stops.

#![allow(clippy::unwrap_used, reason = "a helper that fails is a test that fails, and says why")]

mod common;

use common::agent::{Agent, Options};
use common::display::Display;
use common::eventually;
use common::process::{Guarded, log_file};
use common::pulse::{Pulse, RATE};
use common::server::Server;
use serde_json::json;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
/// Root mean square above which somebody would hear it: -46 dBFS.
const AUDIBLE: f64 = 0.005;
/// What a silent sound card gives.
const SILENT: f64 = 1e-4;

/// Root mean square of the newest `seconds` of a recording of 16 bits that is still being written.
fn newest(file: &Path, seconds: f64) -> Option<f64> {
    let bytes = std::fs::read(file).ok()?;
    let samples =
        bytes.get(44..)?.chunks_exact(2).map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]])));
    let wanted = (seconds * f64::from(RATE)) as usize;
    let samples: Vec<f64> = samples.collect();
    let last = samples.get(samples.len().checked_sub(wanted)?..)?;
    Some((last.iter().map(|sample| (sample / 32768.0).powi(2)).sum::<f64>() / wanted as f64).sqrt())
}

/// A window that is signed in as `ada`, whose sound goes to `pulse`.
fn window(display: &Display, pulse: &Pulse, server: &Server, folder: &Path) -> Guarded {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ahoy"));
    command
        .args(["--server", &server.url(), "--name", "ada", "--camera", "none", "--microphone", "none"])
        .env("DISPLAY", display.name())
        .env_remove("WAYLAND_DISPLAY")
        .env("LIBGL_ALWAYS_SOFTWARE", "1")
        .env("PULSE_SERVER", pulse.address())
        .env("PULSE_COOKIE", pulse.cookie())
        .env("XDG_CONFIG_HOME", folder)
        .env("XDG_DATA_HOME", folder)
        .stdin(Stdio::null())
        .stderr(log_file(&folder.join("ahoy.log")));
    Guarded::spawn(&mut command)
}

#[test]
fn a_window_rings_while_somebody_calls_and_is_silent_the_moment_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (display, pulse, server) = (Display::start(), Pulse::start(), Server::start());
    pulse.add_null_sink("card", &["mono"]);
    pulse.pactl(&["set-default-sink", "card"]);
    let heard = folder.path().join("heard.wav");
    let _recording = pulse.record("card.monitor", &["mono"], &heard);
    let window = window(&display, &pulse, &server, folder.path());
    display.wait_window(window.id(), PATIENCE);
    let mut bob = Agent::start(&server.url(), "bob", Options::default());
    bob.wait_user("ada");

    // Ringing, and the caller thinks better of it; then once more, for the first time must not be the only one.
    for _ in 0..2 {
        eventually("silence before the call", PATIENCE, || {
            newest(&heard, 0.3).filter(|level| *level < SILENT)
        });
        bob.call("ada");
        eventually("it rings", PATIENCE, || newest(&heard, 0.3).filter(|level| *level > AUDIBLE));
        bob.hang_up();
        bob.wait_ended(PATIENCE);
        // Two rests of the ringtone are shorter than this silence.
        eventually("it stops", PATIENCE, || newest(&heard, 4.0).filter(|level| *level < SILENT));
    }
    // Nobody keeps the sound card while nothing rings.
    eventually("the sound card is let go", PATIENCE, || {
        pulse.pactl(&["list", "short", "sink-inputs"]).is_empty().then_some(())
    });
    bob.send(json!({"command": "quit"}));
}
