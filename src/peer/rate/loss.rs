//! The loss-based estimate. It replaces section 6 of draft-ietf-rmcat-gcc-02, which takes all loss for congestion and
//! so sinks to the floor on a radio link that simply loses packets.
//!
//! Loss that does not shrink when we send less is the path's own ([`LossBased::inherent`]) and is not answered; only
//! what exceeds it is.

use super::{MIN_BITS_PER_SECOND, Outcome};
use std::time::{Duration, Instant};

/// Loss is judged over at least this much time …
const WINDOW: Duration = Duration::from_millis(1_000);
/// … and this many packets, so that one lost of three is not taken for 33 %.
const MIN_PACKETS: u32 = 20;
/// Excess loss that is answered (the draft's upper bound).
const HIGH: f64 = 0.10;
/// Excess loss below which the estimate grows again (the draft's lower bound).
const LOW: f64 = 0.02;
/// Growth per window.
const GROWTH: f64 = 1.08;
/// After a decrease the loss must have fallen to this share of what it was, or it was not ours.
const RESPONSE: f64 = 0.75;
/// Standard deviations of chance that are allowed for (one-sided 95 %): few packets prove little.
const CONFIDENCE: f64 = 1.65;
/// How fast the path's own loss is believed to have become less, per window.
const INHERENT_WEIGHT: f64 = 0.1;
/// Most of the loss that is believed to be the path's own.
const MAX_INHERENT: f64 = 0.3;

/// See the module.
#[derive(Debug)]
pub(super) struct LossBased {
    max: f64,
    estimate: f64,
    /// Share of packets that the path loses whatever we do.
    inherent: f64,
    /// Loss before the last decrease, until it is seen what that did.
    before: Option<f64>,
    begun: Option<Instant>,
    packets: u32,
    lost: u32,
}

impl LossBased {
    pub(super) fn new(start: f64, max: f64) -> Self {
        Self { max, estimate: start.max(max), inherent: 0.0, before: None, begun: None, packets: 0, lost: 0 }
    }

    /// Learns of packets; `target` is the combined estimate so far. Returns the estimate in bits per second.
    pub(super) fn handle_feedback(
        &mut self,
        now: Instant,
        outcomes: &[Outcome],
        target: f64,
        throughput: Option<f64>,
    ) -> f64 {
        let begun = *self.begun.get_or_insert(now);
        self.packets += outcomes.len() as u32;
        self.lost += outcomes.iter().filter(|outcome| outcome.arrived.is_none()).count() as u32;
        if now.saturating_duration_since(begun) >= WINDOW && self.packets >= MIN_PACKETS {
            let (packets, lost) = (f64::from(self.packets), f64::from(self.lost));
            self.begun = Some(now);
            (self.packets, self.lost) = (0, 0);
            self.judge(lost / packets, packets, target, throughput);
        }
        self.estimate
    }

    fn judge(&mut self, loss: f64, packets: f64, target: f64, throughput: Option<f64>) {
        if let Some(before) = self.before.take()
            && loss >= before * RESPONSE
        {
            self.inherent = loss.min(MAX_INHERENT);
        }
        // A path that loses less than was thought is better than was thought.
        if loss < self.inherent {
            self.inherent += INHERENT_WEIGHT * (loss - self.inherent);
        }
        let chance = CONFIDENCE * (loss * (1.0 - loss) / packets).sqrt();
        let excess = loss - self.inherent;
        if excess - chance > HIGH {
            self.before = Some(loss);
            // Less than what gets through anyway would help nobody.
            let floor = throughput.unwrap_or(0.0).min(target) * (1.0 - HIGH);
            self.estimate = (target.min(self.estimate) * (1.0 - 0.5 * excess)).max(floor);
        } else if excess - chance < LOW {
            self.estimate *= GROWTH;
        }
        self.estimate = self.estimate.clamp(MIN_BITS_PER_SECOND, self.max);
    }
}
