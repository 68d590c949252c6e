//! What every source of pictures has to do with: what is wished of it, where its pictures go, and when.

use super::frame::{Frame, Size};
use super::latest::Latest;
use super::worker::Stop;
use crate::media::event::{DeviceKind, MediaEvent, MediaEvents};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is wished for; a source gives what comes nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptureWish {
    /// Size of the pictures.
    pub size: Size,
    /// Pictures per second.
    pub fps: u32,
}

impl Default for CaptureWish {
    fn default() -> Self {
        Self { size: Size::HD, fps: 30 }
    }
}

/// Where a source's thread puts its pictures, and what it listens to.
pub(crate) struct Sink<'a> {
    pub(crate) out: &'a Latest<Arc<Frame>>,
    pub(crate) events: &'a MediaEvents,
    pub(crate) stop: &'a Stop,
}

impl Sink<'_> {
    /// The source is open.
    pub(crate) fn report_opened(&self, device: &str) {
        self.report(MediaEvent::Opened { kind: DeviceKind::Camera, device: device.into() });
    }

    /// The source could not be opened, or is gone.
    pub(crate) fn report_lost(&self, device: &str, reason: String) {
        self.report(MediaEvent::Lost {
            kind: DeviceKind::Camera,
            device: device.into(),
            reason,
            fallback: None,
        });
    }

    /// The user may not use the camera.
    pub(crate) fn report_refused(&self) {
        self.report(MediaEvent::Refused { kind: DeviceKind::Camera });
    }

    fn report(&self, event: MediaEvent) {
        if let Err(error) = self.events.try_send(event) {
            tracing::warn!(%error, "camera event dropped");
        }
    }
}

/// Deadlines at a fixed rate, absolute, so that a late picture does not delay those behind it.
pub(crate) struct Pace {
    start: Instant,
    interval: Duration,
    count: u32,
}

impl Pace {
    pub(crate) fn new(interval: Duration) -> Self {
        Self { start: Instant::now(), interval, count: 0 }
    }

    /// Sleeps until the next picture is due; true if the thread is to end. After a long delay (a suspended machine)
    /// it starts anew instead of catching up.
    pub(crate) fn wait(&mut self, stop: &Stop) -> bool {
        let now = Instant::now();
        let due = self.start + self.interval * self.count;
        self.count = self.count.saturating_add(1);
        if now.saturating_duration_since(due) > self.interval * 2 || self.count == u32::MAX {
            self.start = now;
            self.count = 1;
            return stop.is_set();
        }
        stop.sleep_until(due)
    }
}
