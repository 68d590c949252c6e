//! The one writer of stdout: an event a line, each with the time at which it was seen.

use serde_json::{Value, json};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Clones write to the same stdout.
#[derive(Clone, Default)]
pub(super) struct Output {
    frames: Arc<AtomicBool>,
}

impl Output {
    /// Writes an event; `fields` is an object.
    pub(super) fn event(&self, event: &str, fields: Value) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1000.0;
        let mut line = json!({ "t": (now * 1000.0).round() / 1000.0, "event": event });
        if let (Value::Object(line), Value::Object(fields)) = (&mut line, fields) {
            line.extend(fields);
        }
        let mut stdout = std::io::stdout().lock();
        let written = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
        if let Err(error) = written {
            // Whoever listened is gone; the agent goes on, as a kiosk would want.
            tracing::debug!(%error, "stdout is closed");
        }
    }

    /// The process is up.
    pub(super) fn ready(&self) {
        self.event("ready", json!({}));
    }

    /// Something a person can act on.
    pub(super) fn error(&self, message: &str) {
        self.event("error", json!({ "message": message }));
    }

    /// Turns the report of every frame on or off.
    pub(super) fn show_frames(&self, on: bool) {
        self.frames.store(on, Ordering::Relaxed);
    }

    /// Whether every frame is to be reported.
    pub(super) fn frames_shown(&self) -> bool {
        self.frames.load(Ordering::Relaxed)
    }
}
