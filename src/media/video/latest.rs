//! `Latest`: a slot that holds the newest value only, for every place where a picture waits for a slower stage.
//!
//! One writer publishes, any number of readers each see the newest value once. A slow reader sees fewer values,
//! never later ones. The lock is held only to clone the value (an `Arc` in practice).

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

type Wake = Box<dyn Fn() + Send + Sync>;

struct Slot<T> {
    value: Option<T>,
    /// Counts what was published; 0 = nothing yet.
    version: u64,
    closed: bool,
}

struct Shared<T> {
    slot: Mutex<Slot<T>>,
    changed: Condvar,
    wake: Mutex<Option<Wake>>,
}

/// The slot; clones share it.
pub struct Latest<T>(Arc<Shared<T>>);

/// What a wait brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// A value that this reader has not seen.
    Value(T),
    /// Nothing new in the time given.
    Timeout,
    /// The slot is closed: nothing will come.
    Closed,
}

/// One reader's place in the slot's history.
pub struct Reader<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
    missed: u64,
}

fn lock<G>(mutex: &Mutex<G>) -> MutexGuard<'_, G> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Clone for Latest<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> std::fmt::Debug for Latest<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Latest").field("published", &lock(&self.0.slot).version).finish_non_exhaustive()
    }
}

impl<T: Clone> Default for Latest<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Clone> Latest<T> {
    /// An empty slot.
    pub fn new() -> Self {
        Self(Arc::new(Shared {
            slot: Mutex::new(Slot { value: None, version: 0, closed: false }),
            changed: Condvar::new(),
            wake: Mutex::new(None),
        }))
    }

    /// Replaces the value and wakes the readers.
    pub fn publish(&self, value: T) {
        let old = {
            let mut slot = lock(&self.0.slot);
            slot.version += 1;
            slot.value.replace(value)
        };
        // Dropped outside the lock: the last owner of a picture frees megabytes.
        drop(old);
        self.notify();
    }

    /// Forgets the value (a new reader sees nothing until the next one is published).
    pub fn clear(&self) {
        let old = lock(&self.0.slot).value.take();
        drop(old);
    }

    /// Ends it: waiting readers return [`Next::Closed`].
    pub fn close(&self) {
        lock(&self.0.slot).closed = true;
        self.notify();
    }

    /// Calls `wake` after each publish, on the publisher's thread: it must be quick and must not block.
    pub fn set_wake(&self, wake: impl Fn() + Send + Sync + 'static) {
        *lock(&self.0.wake) = Some(Box::new(wake));
    }

    /// The newest value, whether or not somebody has seen it.
    pub fn peek(&self) -> Option<T> {
        lock(&self.0.slot).value.clone()
    }

    /// How many values were published.
    pub fn published(&self) -> u64 {
        lock(&self.0.slot).version
    }

    /// A reader that sees the present value (if there is one) and all later ones.
    pub fn reader(&self) -> Reader<T> {
        let slot = lock(&self.0.slot);
        let seen = if slot.value.is_some() { slot.version - 1 } else { slot.version };
        Reader { shared: Arc::clone(&self.0), seen, missed: 0 }
    }

    fn notify(&self) {
        self.0.changed.notify_all();
        if let Some(wake) = lock(&self.0.wake).as_ref() {
            wake();
        }
    }
}

impl<T: Clone> Reader<T> {
    /// The newest value if this reader has not seen it.
    pub fn try_next(&mut self) -> Option<T> {
        let slot = lock(&self.shared.slot);
        Self::take(&slot, &mut self.seen, &mut self.missed)
    }

    /// Waits at most `timeout` for a value that this reader has not seen.
    pub fn wait(&mut self, timeout: Duration) -> Next<T> {
        let deadline = Instant::now() + timeout;
        let mut slot = lock(&self.shared.slot);
        loop {
            if slot.closed {
                return Next::Closed;
            }
            if let Some(value) = Self::take(&slot, &mut self.seen, &mut self.missed) {
                return Next::Value(value);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Next::Timeout;
            }
            slot = self.shared.changed.wait_timeout(slot, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// How many values were replaced before this reader saw them.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    fn take(slot: &Slot<T>, seen: &mut u64, missed: &mut u64) -> Option<T> {
        if slot.version == *seen {
            return None;
        }
        let value = slot.value.clone()?;
        *missed += slot.version - *seen - 1;
        *seen = slot.version;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_reader_sees_only_the_newest_and_counts_the_rest() {
        let latest = Latest::new();
        let mut reader = latest.reader();
        for n in 1..=5 {
            latest.publish(n);
        }
        assert_eq!(reader.try_next(), Some(5));
        assert_eq!(reader.try_next(), None);
        assert_eq!(reader.missed(), 4);
    }

    #[test]
    fn a_new_reader_sees_the_present_value_and_a_closed_slot_ends_the_wait() {
        let latest = Latest::new();
        latest.publish(7);
        let mut reader = latest.reader();
        assert_eq!(reader.wait(Duration::ZERO), Next::Value(7));
        assert_eq!(reader.wait(Duration::ZERO), Next::Timeout);
        latest.close();
        assert_eq!(reader.wait(Duration::from_secs(5)), Next::Closed);
    }

    #[test]
    fn a_waiting_reader_is_woken_by_a_publish_from_another_thread() {
        let latest = Latest::new();
        let mut reader = latest.reader();
        let writer = latest.clone();
        let thread =
            std::thread::Builder::new().name("writer".into()).spawn(move || writer.publish(1)).unwrap();
        assert_eq!(reader.wait(Duration::from_secs(10)), Next::Value(1));
        thread.join().unwrap();
    }
}
