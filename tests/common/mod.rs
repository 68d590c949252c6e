//! Fixtures of the scenario tests: real processes, screens, sound cards, browsers and relays, each ended on drop.
//!
//! Everything is started anew by the test that needs it, on ports that the system picks, and ended by process id.

// Every test crate compiles this module and uses its own part of it.
#![allow(dead_code)]
// `clippy.toml` lets tests unwrap, but not the functions that they share.
#![allow(clippy::unwrap_used)]

pub(crate) mod agent;
pub(crate) mod browser;
pub(crate) mod clip;
pub(crate) mod devtools;
pub(crate) mod display;
pub(crate) mod firefox;
pub(crate) mod netns;
pub(crate) mod page;
pub(crate) mod pair;
pub(crate) mod proc_fs;
pub(crate) mod process;
pub(crate) mod pulse;
pub(crate) mod recorder;
pub(crate) mod scene;
pub(crate) mod server;
pub(crate) mod studio;
pub(crate) mod turn;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Calls with media want the machine for themselves: the tests of one crate hold this in turn.
pub(crate) fn exclusive() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks `probe` every 20 ms until it gives something.
///
/// # Panics
/// If it gives nothing within `patience`.
pub(crate) fn eventually<T>(what: &str, patience: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(started.elapsed() < patience, "{what}: not within {patience:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Unix time in milliseconds.
pub(crate) fn unix_ms() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64() * 1000.0
}
