//! Whether the media path works: what ICE says, weighed against what is heard.
//!
//! Sans-IO; driven by the task that owns the connection. ICE notices a silence by itself, and counts media as a sign of
//! life; but it looks only now and then, and a program that was kept from running for a while sees a silence that there
//! was not. Never reads a clock and never sends.

use crate::call::Connectivity;
use std::time::{Duration, Instant};

/// How often [`Path::poll`] is to be called while [`Path::is_in_doubt`].
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How long a silence that ICE reports is doubted: what waits in the sockets of a program that was not running is read
/// within this time.
const DOUBT: Duration = Duration::from_millis(120);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Path {
    /// ICE reports a silence: since when, and what had been heard by then.
    silence: Option<(Instant, u64)>,
    /// The silence was reported.
    reported: bool,
}

impl Path {
    /// ICE (with DTLS) reports a state, when so many packets had been heard. What is to be reported on, if anything.
    pub(super) fn handle_ice(
        &mut self,
        state: Connectivity,
        heard: u64,
        now: Instant,
    ) -> Option<Connectivity> {
        if state == Connectivity::Disconnected {
            self.silence = Some((now, heard));
            self.reported = false;
            return None;
        }
        *self = Self::default();
        Some(state)
    }

    /// A silence is doubted, or its end awaited.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.silence.is_some()
    }

    /// So many packets have been heard by now. What is to be reported, if anything.
    pub(super) fn poll(&mut self, heard: u64, now: Instant) -> Option<Connectivity> {
        let (since, before) = self.silence?;
        if heard != before {
            self.silence = None;
            return std::mem::take(&mut self.reported).then_some(Connectivity::Connected);
        }
        if !self.reported && now.saturating_duration_since(since) >= DOUBT {
            self.reported = true;
            return Some(Connectivity::Disconnected);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_is_reported_and_ends_with_the_first_packet() {
        let (mut path, start) = (Path::default(), Instant::now());
        assert_eq!(path.handle_ice(Connectivity::Connected, 0, start), Some(Connectivity::Connected));
        assert!(!path.is_in_doubt());
        assert_eq!(path.handle_ice(Connectivity::Disconnected, 7, start), None);
        assert_eq!(path.poll(7, start + DOUBT / 2), None);
        assert_eq!(path.poll(7, start + DOUBT), Some(Connectivity::Disconnected));
        assert_eq!(path.poll(7, start + DOUBT * 2), None, "once");
        assert!(path.is_in_doubt());
        assert_eq!(path.poll(8, start + DOUBT * 3), Some(Connectivity::Connected));
        assert!(!path.is_in_doubt());
        assert_eq!(path.poll(9, start + DOUBT * 4), None);
    }

    #[test]
    fn a_silence_that_was_none_is_not_mentioned() {
        let (mut path, start) = (Path::default(), Instant::now());
        path.handle_ice(Connectivity::Disconnected, 7, start);
        assert_eq!(path.poll(9, start + DOUBT * 2), None);
        assert_eq!(path.poll(9, start + DOUBT * 3), None);
    }

    #[test]
    fn what_ice_says_otherwise_goes_on_as_it_is() {
        let (mut path, start) = (Path::default(), Instant::now());
        path.handle_ice(Connectivity::Disconnected, 7, start);
        for state in [Connectivity::Connecting, Connectivity::Connected, Connectivity::Failed] {
            assert_eq!(path.handle_ice(state, 7, start), Some(state));
        }
        assert_eq!(path.poll(7, start + DOUBT * 2), None);
    }
}
