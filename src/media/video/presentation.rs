//! Decoded pictures that wait for the time to be shown. Sans-IO.
//!
//! Driven by the receiver's thread. On a clean network nothing waits. A picture whose time has passed is shown at
//! once, and those before it are not shown any more: lateness never adds up.

use std::collections::VecDeque;
use std::time::Instant;

/// Pictures that may wait: 0.27 s at 30 a second. When full the oldest is shown early.
pub(crate) const CAPACITY: usize = 8;

/// The pictures, oldest first.
#[derive(Debug)]
pub(crate) struct Presentation<T> {
    waiting: VecDeque<(Instant, T)>,
    skipped: u64,
}

impl<T> Default for Presentation<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::with_capacity(CAPACITY + 1), skipped: 0 }
    }
}

impl<T> Presentation<T> {
    /// Takes a picture that is to be shown at `due`, which is not before that of the last one.
    pub(crate) fn push(&mut self, due: Instant, picture: T) {
        self.waiting.push_back((due, picture));
    }

    /// The picture to show now, if one is due: the newest of those that are.
    pub(crate) fn poll_picture(&mut self, now: Instant) -> Option<T> {
        let mut shown = None;
        while let Some((due, _)) = self.waiting.front() {
            if *due > now && self.waiting.len() <= CAPACITY {
                break;
            }
            if let Some((_, picture)) = self.waiting.pop_front()
                && shown.replace(picture).is_some()
            {
                self.skipped += 1;
            }
        }
        shown
    }

    /// When the next picture is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.waiting.front().map(|(due, _)| *due)
    }

    /// Pictures that were decoded but never shown.
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn pictures_wait_for_their_time_and_late_ones_are_skipped() {
        let start = Instant::now();
        let mut presentation = Presentation::default();
        presentation.push(start, 1);
        assert_eq!(presentation.poll_picture(start), Some(1));
        presentation.push(start + 30 * MS, 2);
        presentation.push(start + 60 * MS, 3);
        presentation.push(start + 90 * MS, 4);
        assert_eq!(presentation.poll_timeout(), Some(start + 30 * MS));
        assert_eq!(presentation.poll_picture(start + 29 * MS), None);
        // The thread was away: the newest that is due is shown.
        assert_eq!(presentation.poll_picture(start + 70 * MS), Some(3));
        assert_eq!(presentation.skipped(), 1);
        assert_eq!(presentation.poll_picture(start + 90 * MS), Some(4));
        assert_eq!(presentation.poll_timeout(), None);
    }

    #[test]
    fn no_more_than_so_many_wait() {
        let start = Instant::now();
        let mut presentation = Presentation::default();
        for n in 0..20 {
            presentation.push(start + Duration::from_secs(60 + n), n);
            let shown = presentation.poll_picture(start);
            assert_eq!(shown, n.checked_sub(CAPACITY as u64));
        }
    }
}
