//! When to tell the remote what has arrived: often while a sender begins or sends much, rarely where telling would take
//! the room of what the other direction has to say. Sans-IO.
//!
//! The interval follows what arrives, at five percent of it (the share that RFC 3550 section 6.2 grants to RTCP, and
//! libwebrtc's `RemoteEstimatorProxy` to this feedback), on the assumption that both directions are alike.

use std::time::{Duration, Instant};

/// Share of the rate that telling may take.
const SHARE: f64 = 0.05;
/// Octets of one report on the wire, with all headers.
const REPORT_OCTETS: f64 = 100.0;
/// Bounds: sooner says no more, for a picture is a burst and comes every 33 ms; later a sender that follows is blind.
const LEAST: Duration = Duration::from_millis(20);
const MOST: Duration = Duration::from_millis(100);
/// At the beginning, and after a pause, the sender knows nothing and every report counts, so that telling may take more. But
/// not all: on a path of 100 kbit/s a report every 20 ms would take two fifths of what the other direction has, which
/// then takes the path for so much narrower …
const BEGINNING: Duration = Duration::from_secs(1);
const BEGINNING_SHARE: f64 = 0.2;
/// … a pause being so long without a packet.
const PAUSE: Duration = Duration::from_secs(1);
/// Weight of a new sample of the rate.
const WEIGHT: f64 = 0.2;

/// See the module.
#[derive(Debug, Default)]
pub(in crate::peer) struct ReportInterval {
    begun: Option<Instant>,
    last_packet: Option<Instant>,
    octets: usize,
    /// Smoothed, bits per second.
    rate: Option<f64>,
    reported: Option<Instant>,
    due: Option<Instant>,
}

impl ReportInterval {
    /// A packet of so many octets arrived, headers included.
    pub(in crate::peer) fn handle_packet(&mut self, now: Instant, octets: usize) {
        let paused = self.last_packet.is_none_or(|last| now.saturating_duration_since(last) > PAUSE);
        self.last_packet = Some(now);
        if paused {
            *self = Self { begun: Some(now), last_packet: Some(now), reported: Some(now), ..Self::default() };
        }
        self.octets += octets;
        self.due.get_or_insert(now + LEAST);
    }

    /// When [`Self::handle_timeout`] is to be called; `None` before anything arrived.
    pub(in crate::peer) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Whether a report is due, which counts as given with that.
    pub(in crate::peer) fn handle_timeout(&mut self, now: Instant) -> bool {
        if self.due.is_none_or(|due| due > now) {
            return false;
        }
        if let Some(before) = self.reported.replace(now) {
            let elapsed = now.saturating_duration_since(before).as_secs_f64().max(0.001);
            let sample = self.octets as f64 * 8.0 / elapsed;
            self.rate = Some(self.rate.map_or(sample, |rate| rate + WEIGHT * (sample - rate)));
        }
        self.octets = 0;
        let begins = self.begun.is_some_and(|begun| now.saturating_duration_since(begun) < BEGINNING);
        let share = if begins { BEGINNING_SHARE } else { SHARE };
        let next = match self.rate {
            Some(rate) => {
                let seconds = REPORT_OCTETS * 8.0 / (share * rate.max(1.0));
                Duration::from_secs_f64(seconds.min(MOST.as_secs_f64())).max(LEAST)
            }
            None => LEAST,
        };
        self.due = Some(now + next);
        true
    }
}
