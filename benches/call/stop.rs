//! Ctrl+C and SIGTERM: the run that is under way ends as a failed one, so that everything it made is cleaned up on
//! the ordinary way out.

use crate::link::netns;
use ahoy::process::StopSignal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Builder;

static WANTED: AtomicBool = AtomicBool::new(false);

/// Begins to watch for signals, on a thread of its own that ends with the process.
pub(crate) fn watch() {
    let wait = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut signal = StopSignal::new().unwrap();
            loop {
                signal.wait().await;
                WANTED.store(true, Ordering::Release);
                // Whoever waits for a participant gives up when it is gone.
                netns::end_all_processes();
            }
        });
    };
    Builder::new().name("stop".into()).spawn(wait).unwrap();
}

/// Whether to stop.
pub(crate) fn wanted() -> bool {
    WANTED.load(Ordering::Acquire)
}

/// Ends the present run if it is to stop.
pub(crate) fn panic_if_wanted() {
    assert!(!wanted(), "interrupted");
}
