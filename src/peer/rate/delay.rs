//! The delay-based estimate: additive increase, multiplicative decrease on overuse
//! (draft-ietf-rmcat-gcc-02 section 5.5).

use super::trend::{Trend, Usage};
use super::{MIN_BITS_PER_SECOND, Outcome};
use std::time::{Duration, Instant};

/// On overuse the estimate becomes this share of what arrives.
const DECREASE: f64 = 0.85;
/// Growth per second far from the last known capacity.
const GROWTH: f64 = 1.08;
/// Growth per second before the first sign of congestion. Not in the draft, whose implementations probe instead: a
/// call should not look bad for half a minute.
const START_GROWTH: f64 = 1.7;
/// The estimate does not run away from what is really sent: it is at most this multiple of what arrives, …
const HEADROOM: f64 = 1.5;
/// … plus this many bits per second.
const HEADROOM_BITS: f64 = 10_000.0;
/// Smallest additive increase, bits per second each second.
const MIN_ADDITIVE: f64 = 4_000.0;
/// The additive increase is one average packet per response time; pictures of this rate in packets of at most this
/// many bits tell how large that is.
const PICTURES_PER_SECOND: f64 = 30.0;
const PACKET_BITS: f64 = 1_200.0 * 8.0;
/// What a response takes beyond the round trip.
const RESPONSE: Duration = Duration::from_millis(100);
/// A sender of less than this share of the estimate has little to send (libwebrtc's `AlrDetector` says 65 %, too).
const APPLICATION_LIMITED: f64 = 0.65;
/// With so little on the way, delay that rises for less than this is somebody else's doing: a busy processor, another
/// flow. Sending less would not help, and what was learned would be lost.
const OTHERS_DOING: Duration = Duration::from_secs(2);
/// Smoothing of the known capacity and its deviation.
const CAPACITY_WEIGHT: f64 = 0.05;
/// Within so many deviations the estimate counts as near the capacity.
const NEAR_DEVIATIONS: f64 = 3.0;
/// Two decreases are at least a round trip apart; this is its lower bound.
const MIN_DECREASE_INTERVAL: Duration = Duration::from_millis(150);
/// Round trip that is assumed until it is measured.
const DEFAULT_RTT: Duration = Duration::from_millis(100);

/// What the path carried when it was overused, kbit/s, and how much that varies.
#[derive(Debug)]
struct Capacity {
    kilobits: f64,
    deviation: f64,
}

impl Capacity {
    fn limits(&self) -> (f64, f64) {
        // The deviation is normalized by the square root of the mean (libwebrtc `LinkCapacityEstimator`).
        let spread = NEAR_DEVIATIONS * (self.deviation * self.kilobits).sqrt();
        ((self.kilobits - spread) * 1000.0, (self.kilobits + spread) * 1000.0)
    }

    fn update(&mut self, bits_per_second: f64) {
        let sample = bits_per_second / 1000.0;
        let error = self.kilobits - sample;
        self.kilobits += CAPACITY_WEIGHT * (sample - self.kilobits);
        let normalized = error * error / self.kilobits.max(1.0);
        self.deviation =
            ((1.0 - CAPACITY_WEIGHT) * self.deviation + CAPACITY_WEIGHT * normalized).clamp(0.4, 2.5);
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct DelayBased {
    trend: Trend,
    max: f64,
    estimate: f64,
    capacity: Option<Capacity>,
    starting: bool,
    updated: Option<Instant>,
    decreased: Option<Instant>,
    /// Since when the path has been overused without a break.
    over_since: Option<Instant>,
}

impl DelayBased {
    pub(super) fn new(start: f64, max: f64) -> Self {
        Self {
            trend: Trend::default(),
            max,
            estimate: start,
            capacity: None,
            starting: true,
            updated: None,
            decreased: None,
            over_since: None,
        }
    }

    /// The combined estimate is lower: begin from there. Ends the quick start.
    pub(super) fn limit(&mut self, target: f64) {
        if target < self.estimate {
            self.estimate = target;
            self.starting = false;
        }
    }

    /// Learns of packets, of how much was sent and how much arrives (bits per second, where known); returns the
    /// estimate in bits per second.
    pub(super) fn handle_feedback(
        &mut self,
        now: Instant,
        outcomes: &[Outcome],
        sent: Option<f64>,
        throughput: Option<f64>,
        rtt: Option<Duration>,
    ) -> f64 {
        let mut usage = Usage::Normal;
        for outcome in outcomes {
            let state = self.trend.handle_outcome(outcome);
            // Once over within these packets is over.
            if usage != Usage::Over {
                usage = state;
            }
        }
        let elapsed = self.updated.map_or(Duration::ZERO, |updated| now.saturating_duration_since(updated));
        self.updated = Some(now);
        let rtt = rtt.unwrap_or(DEFAULT_RTT);
        if usage != Usage::Over {
            self.over_since = None;
        }
        match usage {
            Usage::Over if self.is_others_doing(now, sent) => {}
            Usage::Over => self.decrease(now, throughput, rtt),
            Usage::Normal => self.increase(elapsed.min(Duration::from_secs(1)), throughput, rtt),
            // The queue empties: wait until it has.
            Usage::Under => {}
        }
        self.estimate = self.estimate.clamp(MIN_BITS_PER_SECOND, self.max);
        self.estimate
    }

    fn is_others_doing(&mut self, now: Instant, sent: Option<f64>) -> bool {
        let since = *self.over_since.get_or_insert(now);
        sent.is_some_and(|sent| sent < self.estimate * APPLICATION_LIMITED)
            && now.saturating_duration_since(since) < OTHERS_DOING
    }

    fn decrease(&mut self, now: Instant, throughput: Option<f64>, rtt: Duration) {
        self.starting = false;
        let pause = rtt.max(MIN_DECREASE_INTERVAL);
        if self.decreased.is_some_and(|at| now.saturating_duration_since(at) < pause) {
            return;
        }
        self.decreased = Some(now);
        let carried = throughput.unwrap_or(self.estimate);
        self.estimate = (carried * DECREASE).min(self.estimate);
        let (low, high) = self.capacity.as_ref().map_or((0.0, f64::INFINITY), Capacity::limits);
        match &mut self.capacity {
            Some(capacity) if (low..=high).contains(&carried) => capacity.update(carried),
            // A different path, or the first overuse.
            _ => self.capacity = Some(Capacity { kilobits: carried / 1000.0, deviation: 0.4 }),
        }
    }

    fn increase(&mut self, elapsed: Duration, throughput: Option<f64>, rtt: Duration) {
        if let (Some(capacity), Some(carried)) = (&self.capacity, throughput)
            && carried > capacity.limits().1
        {
            self.capacity = None;
        }
        let seconds = elapsed.as_secs_f64();
        let grown = if self.starting {
            self.estimate * START_GROWTH.powf(seconds)
        } else if self.capacity.is_some() {
            let response = (rtt + RESPONSE).as_secs_f64();
            let picture = self.estimate / PICTURES_PER_SECOND;
            let packet = picture / (picture / PACKET_BITS).ceil();
            self.estimate + (packet / response).max(MIN_ADDITIVE) * seconds
        } else {
            self.estimate * GROWTH.powf(seconds)
        };
        let limit = throughput.map_or(f64::INFINITY, |carried| carried * HEADROOM + HEADROOM_BITS);
        // A sender that has little to send does not lose what it once learned.
        self.estimate = grown.min(limit.max(self.estimate));
    }
}
