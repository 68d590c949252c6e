//! The delay-based estimate: additive increase, multiplicative decrease on overuse
//! (draft-ietf-rmcat-gcc-02 section 5.5).

use super::trend::{Trend, Usage};
use super::{MIN_BITS_PER_SECOND, Outcome};
use std::time::{Duration, Instant};

/// On overuse the estimate becomes this share of what arrives.
const DECREASE: f64 = 0.85;
/// Of a queue that stands this long the estimate gives way by this share a second, and of a shorter one by less: small
/// steps by all who share the queue, as with DCTCP (RFC 8257), so that none of them has to be large.
const STANDING_MS: f64 = 50.0;
const STANDING_DECREASE: f64 = 0.15;
/// Growth per second far from the last known capacity.
const GROWTH: f64 = 1.08;
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
/// Smoothing of the known capacity and its deviation.
const CAPACITY_WEIGHT: f64 = 0.05;
/// Within so many deviations the estimate counts as near the capacity.
const NEAR_DEVIATIONS: f64 = 3.0;
/// Two decreases are at least a round trip apart; these are its bounds …
const MIN_DECREASE_INTERVAL: Duration = Duration::from_millis(100);
const MAX_DECREASE_INTERVAL: Duration = Duration::from_millis(200);
/// … unless less than this share of the estimate arrives (libwebrtc `AimdRateControl::TimeToReduceFurther`).
const COLLAPSE: f64 = 0.5;
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

/// What else is known when packets are reported.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// The application sends much less than it may.
    pub(super) supply_is_low: bool,
    /// The queue is longer than it should ever become.
    pub(super) queue_is_long: bool,
    /// What stands in the queue beyond what is accepted, milliseconds.
    pub(super) surplus_ms: f64,
    /// How much arrives, bits per second.
    pub(super) throughput: Option<f64>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct DelayBased {
    trend: Trend,
    max: f64,
    estimate: f64,
    capacity: Option<Capacity>,
    updated: Option<Instant>,
    decreased: Option<Instant>,
    usage: Usage,
}

impl DelayBased {
    pub(super) fn new(start: f64, max: f64) -> Self {
        Self {
            trend: Trend::default(),
            max,
            estimate: start,
            capacity: None,
            updated: None,
            decreased: None,
            usage: Usage::Normal,
        }
    }

    /// The estimate in bits per second.
    pub(super) fn bits_per_second(&self) -> f64 {
        self.estimate
    }

    /// The queue grew with the newest packets.
    pub(super) fn is_overused(&self) -> bool {
        self.usage == Usage::Over
    }

    /// The path was overused once, and has carried no more since.
    pub(super) fn knows_capacity(&self) -> bool {
        self.capacity.is_some()
    }

    /// The combined estimate is lower: begin from there.
    pub(super) fn limit(&mut self, target: f64) {
        self.estimate = self.estimate.min(target);
    }

    /// A probe has shown that the path carries this; where nothing was known before, also that it carries no more.
    pub(super) fn handle_probe(&mut self, bits_per_second: f64, first: bool) {
        if first || bits_per_second > self.estimate {
            self.estimate = bits_per_second.clamp(MIN_BITS_PER_SECOND, self.max);
        }
        if self.capacity.as_ref().is_some_and(|capacity| bits_per_second > capacity.limits().1) {
            self.capacity = None;
        }
    }

    /// There was a pause, or the path is another one: delays before and after it have nothing to do with each other.
    pub(super) fn forget_timing(&mut self) {
        self.trend = Trend::default();
        self.usage = Usage::Normal;
        self.updated = None;
    }

    /// Learns of packets; returns the estimate in bits per second.
    pub(super) fn handle_feedback(
        &mut self,
        now: Instant,
        outcomes: &[Outcome],
        seen: &Seen,
        rtt: Option<Duration>,
    ) -> f64 {
        let &Seen { queue_is_long, surplus_ms, throughput, .. } = seen;
        self.usage = Usage::Normal;
        for outcome in outcomes {
            let state = self.trend.handle_outcome(outcome);
            // Once over within these packets is over.
            if self.usage != Usage::Over {
                self.usage = state;
            }
        }
        if queue_is_long && self.usage == Usage::Normal {
            // The trend needs some twenty groups of packets to see it; on a path that has become slow those take long.
            self.usage = Usage::Over;
        }
        let elapsed = self.updated.map_or(Duration::ZERO, |updated| now.saturating_duration_since(updated));
        self.updated = Some(now);
        let rtt = rtt.unwrap_or(DEFAULT_RTT);
        match self.usage {
            // The trend is slow to forget a queue that is gone.
            Usage::Over if surplus_ms > 0.0 => self.decrease(now, seen, rtt),
            // A queue that neither grows nor shrinks is one too many, and takes part of the delay of everybody's sound.
            Usage::Normal if surplus_ms > 0.0 => {
                let share = (surplus_ms / STANDING_MS).min(1.0) * STANDING_DECREASE;
                self.estimate *= 1.0 - share * elapsed.as_secs_f64().min(1.0);
            }
            Usage::Normal => self.increase(elapsed.min(Duration::from_secs(1)), throughput, rtt),
            // The queue empties, or has only just: wait.
            Usage::Over | Usage::Under => {}
        }
        self.estimate = self.estimate.clamp(MIN_BITS_PER_SECOND, self.max);
        self.estimate
    }

    fn decrease(&mut self, now: Instant, seen: &Seen, rtt: Duration) {
        let &Seen { queue_is_long, throughput, .. } = seen;
        // While a queue stands, the path's own rate is what arrives, however little we have to send.
        let supply_is_low = seen.supply_is_low && !queue_is_long;
        let pause = rtt.clamp(MIN_DECREASE_INTERVAL, MAX_DECREASE_INTERVAL);
        let collapsed =
            !supply_is_low && throughput.is_some_and(|carried| carried < self.estimate * COLLAPSE);
        if !collapsed && self.decreased.is_some_and(|at| now.saturating_duration_since(at) < pause) {
            return;
        }
        self.decreased = Some(now);
        tracing::debug!(estimate = self.estimate, ?throughput, supply_is_low, "the queue grows");
        if supply_is_low {
            // What arrives is what we had to send, and tells nothing of what the path carries.
            self.estimate *= DECREASE;
            return;
        }
        let carried = throughput.unwrap_or(self.estimate);
        if queue_is_long && carried >= self.estimate {
            // What stands was sent before; the estimate is below what leaves the queue already.
            return;
        }
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
        let grown = if self.capacity.is_some() {
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
