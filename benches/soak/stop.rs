//! Ctrl+C and SIGTERM: the run ends early, on the ordinary way out, and is judged by what there is.

use ahoy::process::StopSignal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Builder;
use std::time::{Duration, Instant};

static WANTED: AtomicBool = AtomicBool::new(false);
const GLANCE: Duration = Duration::from_millis(200);

/// Begins to watch for signals, on a thread of its own that ends with the process.
pub(crate) fn watch() {
    let wait = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            StopSignal::new().unwrap().wait().await;
            WANTED.store(true, Ordering::Release);
        });
    };
    Builder::new().name("stop".into()).spawn(wait).unwrap();
}

/// Sleeps. False, at once, if it is time to stop.
pub(crate) fn sleep_until(end: Instant) -> bool {
    while !WANTED.load(Ordering::Acquire) {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return true;
        }
        std::thread::sleep(left.min(GLANCE));
    }
    false
}
