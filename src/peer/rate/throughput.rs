//! How much is sent, or arrives: octets over a sliding window of one clock.

use std::collections::VecDeque;
use std::time::Duration;

/// Length of the window (draft-ietf-rmcat-gcc-02 section 5.5: 0.5 to 1 s).
const WINDOW: Duration = Duration::from_millis(500);
/// Length of the short one.
const SHORT_WINDOW: Duration = Duration::from_millis(150);
/// Shorter than this, what arrived says nothing yet.
const MIN_SPAN: Duration = Duration::from_millis(150);
/// Packets kept at most: 500 ms at far more than the highest rate. The oldest goes first.
const MAX_PACKETS: usize = 4096;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Throughput {
    arrivals: VecDeque<(Duration, usize)>,
    octets: usize,
    newest: Duration,
}

impl Throughput {
    /// Notes a packet that left, or arrived, at this time.
    pub(super) fn handle_packet(&mut self, at: Duration, octets: usize) {
        // The remote's clock jumped (or its 24-bit reference time wrapped): begin anew.
        if at + WINDOW * 4 < self.newest {
            *self = Self::default();
        }
        self.newest = self.newest.max(at);
        self.arrivals.push_back((at, octets));
        self.octets += octets;
        while let Some((oldest, octets)) = self.arrivals.front().copied()
            && (self.newest.saturating_sub(oldest) > WINDOW || self.arrivals.len() > MAX_PACKETS)
        {
            self.arrivals.pop_front();
            self.octets -= octets;
        }
    }

    /// Bits per second, if enough has arrived to tell.
    pub(super) fn bits_per_second(&self) -> Option<f64> {
        let (oldest, _) = self.arrivals.front()?;
        let span = self.newest.saturating_sub(*oldest);
        (span >= MIN_SPAN).then(|| self.octets as f64 * 8.0 / span.as_secs_f64())
    }

    /// The same over the newest [`SHORT_WINDOW`]: while a queue empties at the path's own pace, that is steady enough,
    /// and says sooner that the path has become slower.
    pub(super) fn short_bits_per_second(&self) -> Option<f64> {
        let since = self.newest.checked_sub(SHORT_WINDOW)?;
        let (octets, oldest) = self
            .arrivals
            .iter()
            .rev()
            .take_while(|(at, _)| *at >= since)
            .fold((0, self.newest), |(octets, oldest), (at, more)| (octets + more, oldest.min(*at)));
        let span = self.newest.saturating_sub(oldest);
        (span >= SHORT_WINDOW / 2).then(|| octets as f64 * 8.0 / span.as_secs_f64())
    }
}
