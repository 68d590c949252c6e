//! Capture: one named thread that publishes the chosen source's pictures, whatever it is.
//!
//! The engine starts one per choice and drops it to release the device. Opening happens on the thread, so a slow or
//! missing camera never holds anybody up; what becomes of it is reported as [`MediaEvent`]s.

use super::frame::{Frame, Size};
use super::latest::{Latest, Next};
use super::pattern::Pattern;
use super::pool::FramePool;
use super::worker::{Stop, Worker};
use crate::config::CameraChoice;
use crate::media::event::{DeviceKind, MediaEvent, MediaEvents};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use thiserror::Error;

/// How often the stop signal is looked at while the echoed side sends nothing.
const STOP_POLL: Duration = Duration::from_millis(100);

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

/// Why there is no capture.
#[derive(Debug, Error)]
pub enum CaptureError {
    /// Nothing was chosen.
    #[error("no camera is chosen, so there is nothing to capture")]
    NothingChosen,
    /// Echo without a call.
    #[error("there is no remote picture to send back")]
    NothingToEcho,
    /// No thread.
    #[error("the system grants no thread for the camera: {0}")]
    Thread(#[source] std::io::Error),
}

/// A running capture. Dropping it releases the device.
pub struct Capture(Worker);

/// Where a source's thread puts its pictures, and what it listens to.
pub(crate) struct Sink<'a> {
    pub(crate) out: &'a Latest<Arc<Frame>>,
    pub(crate) events: &'a MediaEvents,
    pub(crate) stop: &'a Stop,
}

impl Capture {
    /// Starts the thread `video-capture`. Reports [`MediaEvent::Opened`] once the source is open; if it cannot be
    /// opened, or is lost later, [`MediaEvent::Lost`] or [`MediaEvent::Refused`], and the thread ends.
    ///
    /// `echo` is the picture that [`CameraChoice::Echo`] sends back.
    ///
    /// # Errors
    /// If nothing is chosen, or the operating system grants no thread.
    pub fn start(
        choice: CameraChoice,
        wish: CaptureWish,
        out: Latest<Arc<Frame>>,
        events: MediaEvents,
        echo: Option<Latest<Arc<Frame>>>,
    ) -> Result<Self, CaptureError> {
        match (&choice, &echo) {
            (CameraChoice::None, _) => return Err(CaptureError::NothingChosen),
            (CameraChoice::Echo, None) => return Err(CaptureError::NothingToEcho),
            _ => {}
        }
        let body = move |stop: &Stop| {
            let sink = Sink { out: &out, events: &events, stop };
            match choice {
                CameraChoice::None => {}
                CameraChoice::Pattern => run_pattern(wish, &sink),
                CameraChoice::Echo => {
                    if let Some(echo) = &echo {
                        run_echo(echo, &sink);
                    }
                }
                CameraChoice::File(path) => super::y4m::run_file(&path, &sink),
                CameraChoice::Default => super::camera::run(None, wish, &sink),
                CameraChoice::Device(name) => super::camera::run(Some(&name), wish, &sink),
            }
        };
        Worker::start("video-capture", body).map(Self).map_err(CaptureError::Thread)
    }

    /// Whether the thread has ended: the source is lost, or never opened.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Tells the thread to end, without waiting.
    pub fn signal(&self) {
        self.0.signal();
    }

    /// Ends the thread and waits for it, at most [`super::worker::JOIN_LIMIT`].
    pub fn stop(self) {}
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

fn run_pattern(wish: CaptureWish, sink: &Sink<'_>) {
    let mut pattern = Pattern::new(wish.size);
    let mut pool = FramePool::default();
    let mut pace = Pace::new(Duration::from_secs(1) / wish.fps.max(1));
    sink.report_opened("test pattern");
    for number in 0.. {
        if pace.wait(sink.stop) {
            return;
        }
        let captured = Instant::now();
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let drawn = pool.fill(wish.size, captured, |frame| {
            pattern.draw(frame, number, clock);
            Ok::<(), Infallible>(())
        });
        match drawn {
            Ok(frame) => sink.out.publish(frame),
            Err(never) => match never {},
        }
    }
}

fn run_echo(echo: &Latest<Arc<Frame>>, sink: &Sink<'_>) {
    let mut reader = echo.reader();
    sink.report_opened("echo");
    while !sink.stop.is_set() {
        match reader.wait(STOP_POLL) {
            Next::Value(frame) => sink.out.publish(frame),
            Next::Timeout => {}
            Next::Closed => return,
        }
    }
}
