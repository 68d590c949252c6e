//! Capture: one named thread that publishes the chosen source's pictures, whatever it is.
//!
//! The engine starts one per choice and drops it to release the device. Opening happens on the thread, so a slow or
//! missing camera never holds anybody up; what becomes of it is reported as [`MediaEvent`]s.

use super::frame::Frame;
use super::latest::{Latest, Next};
use super::pattern::Pattern;
use super::pool::FramePool;
use super::source::{CaptureWish, Pace, Sink};
use super::worker::{Stop, Worker};
use crate::config::CameraChoice;
use crate::media::event::MediaEvents;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use thiserror::Error;

/// How often the stop signal is looked at while the echoed side sends nothing.
const STOP_POLL: Duration = Duration::from_millis(100);

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
