//! How well the machine serves a thread of ordinary priority: one that wants to run every few milliseconds, and notes how
//! late it was.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// How often it wants to run.
const BEAT: Duration = Duration::from_millis(5);
const SECOND_MS: f64 = 1000.0;

/// The thread, until dropped.
pub(crate) struct Metronome {
    /// Unix time in milliseconds at the end of each second, and the longest delay in it, milliseconds.
    seconds: Arc<Mutex<Vec<(f64, f64)>>>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Metronome {
    pub(crate) fn start() -> Self {
        let (seconds, stopping) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (noted, stop) = (Arc::clone(&seconds), Arc::clone(&stopping));
        let beat = move || {
            let (mut since, mut worst) = (crate::common::unix_ms(), 0.0_f64);
            while !stop.load(Ordering::Relaxed) {
                let wanted = Instant::now() + BEAT;
                std::thread::sleep(BEAT);
                worst = worst.max(wanted.elapsed().as_secs_f64() * 1e3);
                let now = crate::common::unix_ms();
                if now - since >= SECOND_MS {
                    noted.lock().unwrap().push((now, worst));
                    (since, worst) = (now, 0.0);
                }
            }
        };
        let thread = Builder::new().name("metronome".into()).spawn(beat).unwrap();
        Self { seconds, stopping, thread: Some(thread) }
    }

    /// The longest delay between two moments (Unix time in milliseconds), milliseconds.
    pub(crate) fn worst(&self, from: f64, to: f64) -> f64 {
        let seconds = self.seconds.lock().unwrap();
        // A second that ends after `to` may hold something of the time before it.
        let within = seconds.iter().filter(|(end, _)| *end >= from && *end - SECOND_MS <= to);
        within.map(|(_, late)| *late).fold(0.0, f64::max)
    }
}

impl Drop for Metronome {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}
