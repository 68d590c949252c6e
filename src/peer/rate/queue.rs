//! How long packets wait in the path's queue now, and how far to step below the estimate until it is empty.
//!
//! The trend says whether the queue grows; after a sudden drop of the path's capacity it has grown already, and sending
//! at 85 % of what arrives takes seconds to empty it. What stands is the least delay of a short time above the least
//! of a long time: the measure of CoDel (RFC 8289 section 3), which neither jitter nor a receiver that is not scheduled
//! for a moment can raise.

use super::Outcome;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The present delay is the least of so long (CoDel's interval).
const SHORT: Duration = Duration::from_millis(100);
/// The path's own delay is the least of so long, in slices: the clocks of both ends drift apart meanwhile by less than
/// a millisecond.
const SLICE: Duration = Duration::from_millis(2_500);
const SLICES: usize = 4;
/// A queue of this length is none: the trend keeps it short.
const ACCEPTED_MS: f64 = 50.0;
/// One of this length is the work of a path that has become slower all at once.
const LONG_MS: f64 = 80.0;
/// What stands above what is accepted is to be gone within this time.
const DRAIN_MS: f64 = 500.0;
/// Least share of the estimate that is sent meanwhile: sound, and a sign of life from the picture.
const MIN_SHARE: f64 = 0.2;
/// A jump of the remote's clock, or a pause, after which nothing is known.
const JUMP_MS: f64 = 10_000.0;
/// Packets of the short time kept; the oldest goes first.
const MAX_RECENT: usize = 512;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Queue {
    origin: Option<(Instant, Duration)>,
    recent: VecDeque<(Duration, f64)>,
    /// The least of each slice, newest last, and when the newest began.
    slices: VecDeque<f64>,
    slice_begun: Option<Instant>,
}

impl Queue {
    /// Learns how long a packet took.
    pub(super) fn handle_packet(&mut self, outcome: &Outcome) {
        let Some(arrived) = outcome.arrived else { return };
        let departed = outcome.departed;
        let (first_departed, first_arrived) = *self.origin.get_or_insert((departed, arrived));
        let sent_ms = departed.saturating_duration_since(first_departed).as_secs_f64() * 1000.0;
        let delay_ms = (arrived.as_secs_f64() - first_arrived.as_secs_f64()) * 1000.0 - sent_ms;
        if self.recent.back().is_some_and(|(_, last)| (delay_ms - last).abs() > JUMP_MS) {
            *self = Self::default();
            return;
        }
        self.recent.push_back((arrived, delay_ms));
        while self.recent.front().is_some_and(|(at, _)| arrived.saturating_sub(*at) > SHORT)
            || self.recent.len() > MAX_RECENT
        {
            self.recent.pop_front();
        }
        if self.slice_begun.is_none_or(|begun| departed.saturating_duration_since(begun) >= SLICE) {
            self.slice_begun = Some(departed);
            self.slices.push_back(f64::INFINITY);
            if self.slices.len() > SLICES {
                self.slices.pop_front();
            }
        }
        if let Some(newest) = self.slices.back_mut() {
            *newest = newest.min(delay_ms);
        }
    }

    /// What stands in the queue, milliseconds.
    fn standing_ms(&self) -> f64 {
        let base = self.slices.iter().copied().fold(f64::INFINITY, f64::min);
        let present = self.recent.iter().map(|(_, delay)| *delay).fold(f64::INFINITY, f64::min);
        if present.is_finite() { (present - base).max(0.0) } else { 0.0 }
    }

    /// The queue is longer than the trend would let it grow.
    pub(super) fn is_long(&self) -> bool {
        self.standing_ms() > LONG_MS
    }

    /// Share of the estimate to be sent at present.
    pub(super) fn share(&self) -> f64 {
        let surplus = (self.standing_ms() - ACCEPTED_MS).max(0.0);
        (1.0 - surplus / DRAIN_MS).max(MIN_SHARE)
    }
}
