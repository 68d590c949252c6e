//! One named thread with a stop signal and a bounded join: what every stage of the picture's path runs on.
//!
//! Dropping a [`Worker`] signals and joins. To end several at once, [`Worker::signal`] all, then drop all.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A join that takes longer is logged and abandoned: a hung driver must not hang the program.
pub const JOIN_LIMIT: Duration = Duration::from_secs(3);

/// How often a join looks whether the thread has ended.
const JOIN_POLL: Duration = Duration::from_millis(2);

/// The thread's end of the stop signal.
#[derive(Clone, Default)]
pub(crate) struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    /// Tells the thread to end.
    pub(crate) fn set(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Whether the thread is to end.
    pub(crate) fn is_set(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until `deadline`; true as soon as the thread is to end.
    pub(crate) fn sleep_until(&self, deadline: Instant) -> bool {
        let mut stopped = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if *stopped || left.is_zero() {
                return *stopped;
            }
            stopped = self.0.1.wait_timeout(stopped, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A running thread.
pub(crate) struct Worker {
    name: &'static str,
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts `body` on a thread of this name (at most 15 characters, Linux's limit).
    ///
    /// # Errors
    /// The operating system's, if it grants no thread.
    pub(crate) fn start(
        name: &'static str,
        body: impl FnOnce(&Stop) + Send + 'static,
    ) -> std::io::Result<Self> {
        let stop = Stop::default();
        let signal = stop.clone();
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || body(&signal))?;
        Ok(Self { name, stop, thread: Some(thread) })
    }

    /// Tells the thread to end, without waiting for it.
    pub(crate) fn signal(&self) {
        self.stop.set();
    }

    /// Whether the thread has ended.
    pub(crate) fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.signal();
        let Some(thread) = self.thread.take() else { return };
        let deadline = Instant::now() + JOIN_LIMIT;
        while !thread.is_finished() {
            if Instant::now() >= deadline {
                tracing::error!(thread = self.name, "thread did not end in time, abandoned");
                return;
            }
            std::thread::sleep(JOIN_POLL);
        }
        if thread.join().is_err() {
            tracing::error!(thread = self.name, "thread panicked");
        }
    }
}
