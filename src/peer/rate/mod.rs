//! Send-side bandwidth estimation: Google congestion control (draft-ietf-rmcat-gcc-02). Sans-IO.
//!
//! Driven by `chain::transport`, which hears from the remote when each packet arrived; time is a parameter.
//! Two opinions, of which the lower counts: [`delay`] sees queues build up, [`loss`] sees packets dropped.

mod allocation;
mod delay;
mod loss;
#[cfg(test)]
mod tests;
mod throughput;
mod trend;

pub(super) use allocation::Allocation;

use delay::DelayBased;
use loss::LossBased;
use std::time::{Duration, Instant};
use throughput::Throughput;

/// Lowest estimate, bits per second: what sound alone needs.
const MIN_BITS_PER_SECOND: f64 = 30_000.0;
/// Without feedback for so long the path may be gone.
const SILENCE: Duration = Duration::from_secs(2);
/// And then this share of the estimate is kept for each further second.
const SILENCE_FACTOR: f64 = 0.7;
/// The estimate for a remote that gives no feedback at all: what most paths carry.
const BLIND_BITS_PER_SECOND: f64 = 800_000.0;

/// What the remote told about one of our packets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Outcome {
    /// When it left, by our clock.
    pub(super) departed: Instant,
    /// When it arrived, by the remote's clock; `None` if it was lost.
    pub(super) arrived: Option<Duration>,
    /// Octets on the wire.
    pub(super) octets: usize,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Estimator {
    max: f64,
    delay: DelayBased,
    loss: LossBased,
    throughput: Throughput,
    /// What is sent, by our clock since `epoch`.
    sent: Throughput,
    epoch: Option<Instant>,
    target: f64,
    heard: Option<Instant>,
    /// What the remote said it can receive (REMB).
    limit: f64,
}

impl Estimator {
    /// Begins at `start` and never exceeds `max`, both in bits per second.
    pub(super) fn new(start: f64, max: f64) -> Self {
        let max = max.max(MIN_BITS_PER_SECOND);
        let start = start.clamp(MIN_BITS_PER_SECOND, max);
        Self {
            max,
            delay: DelayBased::new(start, max),
            loss: LossBased::new(start, max),
            throughput: Throughput::default(),
            sent: Throughput::default(),
            epoch: None,
            target: start,
            heard: None,
            limit: f64::INFINITY,
        }
    }

    /// Learns what became of packets, in the order in which they were sent; `rtt` where known.
    pub(super) fn handle_feedback(&mut self, now: Instant, outcomes: &[Outcome], rtt: Option<Duration>) {
        if outcomes.is_empty() {
            return;
        }
        self.heard = Some(now);
        let epoch = *self.epoch.get_or_insert(outcomes[0].departed);
        for outcome in outcomes {
            self.sent.handle_packet(outcome.departed.saturating_duration_since(epoch), outcome.octets);
            if let Some(arrived) = outcome.arrived {
                self.throughput.handle_packet(arrived, outcome.octets);
            }
        }
        let throughput = self.throughput.bits_per_second();
        let delay = self.delay.handle_feedback(now, outcomes, self.sent.bits_per_second(), throughput, rtt);
        let loss = self.loss.handle_feedback(now, outcomes, self.target, throughput);
        self.target = delay.min(loss).min(self.limit).clamp(MIN_BITS_PER_SECOND, self.max);
        self.delay.limit(self.target);
    }

    /// The remote wants at most this, bits per second (draft-alvestrand-rmcat-remb-03).
    pub(super) fn handle_limit(&mut self, bits_per_second: f64) {
        if bits_per_second.is_finite() && bits_per_second > 0.0 {
            self.limit = bits_per_second;
            self.target = self.target.min(bits_per_second).max(MIN_BITS_PER_SECOND);
        }
    }

    /// The remote gives no feedback that the estimate could follow.
    pub(super) fn assume_no_feedback(&mut self) {
        self.target = BLIND_BITS_PER_SECOND.min(self.max).min(self.limit).max(MIN_BITS_PER_SECOND);
    }

    /// To be called about once a second: without feedback the estimate shrinks.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Some(heard) = self.heard
            && now.saturating_duration_since(heard) >= SILENCE
        {
            self.heard = Some(now - (SILENCE - Duration::from_secs(1)));
            self.target = (self.target * SILENCE_FACTOR).max(MIN_BITS_PER_SECOND);
            self.delay.limit(self.target);
        }
    }

    /// The estimate, bits per second.
    pub(super) fn bits_per_second(&self) -> f64 {
        self.target
    }
}
