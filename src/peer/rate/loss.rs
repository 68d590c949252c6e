//! The loss-based estimate. It replaces section 6 of draft-ietf-rmcat-gcc-02, which takes all loss for congestion and
//! so sinks to the floor on a radio link that simply loses packets.
//!
//! Losses bound the estimate only while [`super::fit`] finds that a limited bandwidth explains them; the loss that the
//! path has at any rate is not answered.

use super::fit::{Observation, explain};
use super::{MIN_BITS_PER_SECOND, Outcome};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Length of an observation (libwebrtc `ObservationDurationLowerBound`: 250 ms), by the times of sending.
const OBSERVATION: Duration = Duration::from_millis(250);
/// And the packets in it, so that one lost of three is not taken for 33 %.
const MIN_PACKETS: f64 = 10.0;
/// Observations kept: 10 s (libwebrtc `ObservationWindowSize`: 20, 5 s). The oldest goes first.
const WINDOW: usize = 40;
/// And the ones needed for an opinion (libwebrtc `MinNumObservations`).
const MIN_OBSERVATIONS: usize = 3;
/// Weighted loss below which nothing has to be explained.
const NEGLIGIBLE: f64 = 0.01;
/// Candidates for the bandwidth: these shares of the sending rates observed.
const SHARES: [f64; 4] = [0.75, 0.85, 0.93, 1.0];
/// What is sent stays below the bandwidth found by so much, so that the queue can empty.
const UTILIZATION: f64 = 0.95;
/// How long a bound stays as it is …
const HOLD: Duration = Duration::from_secs(3);
/// … and how fast it loosens then, per second: the path may have become better.
const LOOSENING: f64 = 1.03;
/// A bound this far above what is sent bounds nothing.
const IRRELEVANT: f64 = 1.5;

/// See the module.
#[derive(Debug)]
pub(super) struct LossBased {
    max: f64,
    bound: Option<Bound>,
    observations: VecDeque<Observation>,
    begun: Option<Instant>,
    newest: Option<Instant>,
    packets: f64,
    lost: f64,
    octets: usize,
}

#[derive(Debug)]
struct Bound {
    bits_per_second: f64,
    since: Instant,
    updated: Instant,
}

impl LossBased {
    pub(super) fn new(max: f64) -> Self {
        Self {
            max,
            bound: None,
            observations: VecDeque::with_capacity(WINDOW),
            begun: None,
            newest: None,
            packets: 0.0,
            lost: 0.0,
            octets: 0,
        }
    }

    /// Learns of packets; `delay_based` is the other estimate, `throughput` what arrives, both in bits per second.
    pub(super) fn handle_feedback(
        &mut self,
        now: Instant,
        outcomes: &[Outcome],
        delay_based: f64,
        throughput: Option<f64>,
    ) {
        for outcome in outcomes {
            if outcome.late {
                // Counted as lost before, when it was only overtaken.
                self.lost = (self.lost - 1.0).max(0.0);
                continue;
            }
            self.note(outcome, now, delay_based, throughput);
        }
        if let Some(bound) = &mut self.bound {
            let elapsed = now.saturating_duration_since(bound.updated).as_secs_f64();
            bound.updated = now;
            if now.saturating_duration_since(bound.since) >= HOLD {
                bound.bits_per_second *= LOOSENING.powf(elapsed);
            }
            if bound.bits_per_second > (delay_based * IRRELEVANT).min(self.max) {
                self.bound = None;
            }
        }
    }

    fn note(&mut self, outcome: &Outcome, now: Instant, delay_based: f64, throughput: Option<f64>) {
        let begun = *self.begun.get_or_insert(outcome.departed);
        let elapsed = outcome.departed.saturating_duration_since(begun);
        if elapsed >= OBSERVATION && self.packets >= MIN_PACKETS {
            let observation = Observation {
                sent_bits_per_second: self.octets as f64 * 8.0 / elapsed.as_secs_f64(),
                packets: self.packets,
                lost: self.lost,
            };
            if self.observations.len() == WINDOW {
                self.observations.pop_front();
            }
            self.observations.push_back(observation);
            self.begun = Some(outcome.departed);
            (self.packets, self.lost, self.octets) = (0.0, 0.0, 0);
            self.judge(now, delay_based, throughput);
        }
        self.newest = Some(outcome.departed);
        self.packets += 1.0;
        self.octets += outcome.octets;
        if outcome.arrived.is_none() {
            self.lost += 1.0;
        }
    }

    fn judge(&mut self, now: Instant, delay_based: f64, throughput: Option<f64>) {
        let (packets, lost) = self
            .observations
            .iter()
            .fold((0.0, 0.0), |(packets, lost), seen| (packets + seen.packets, lost + seen.lost));
        if self.observations.len() < MIN_OBSERVATIONS || lost / packets < NEGLIGIBLE {
            return;
        }
        let mut candidates: Vec<f64> = self
            .observations
            .iter()
            .flat_map(|seen| SHARES.map(|share| share * seen.sent_bits_per_second))
            .chain(throughput)
            .chain(self.bound.as_ref().map(|bound| bound.bits_per_second / UTILIZATION))
            .collect();
        candidates.sort_by(f64::total_cmp);
        candidates.dedup_by(|one, other| (*one - *other).abs() < 0.01 * *other);
        let story = explain(self.observations.make_contiguous(), &candidates);
        let Some(bandwidth) = story.bandwidth else {
            return;
        };
        let wanted = (bandwidth * UTILIZATION).max(MIN_BITS_PER_SECOND);
        if wanted < delay_based {
            // Evidence that has been answered is still in the window: it lowers the bound once, not once more with
            // every observation.
            let present = self.bound.as_ref().map_or(f64::INFINITY, |bound| bound.bits_per_second);
            if wanted < present {
                self.bound = Some(Bound { bits_per_second: wanted, since: now, updated: now });
            }
        }
    }

    /// Whether the loss-based estimate is what bounds the other one.
    pub(super) fn is_limiting(&self, delay_based: f64) -> bool {
        self.bound.as_ref().is_some_and(|bound| bound.bits_per_second <= delay_based * 1.05)
    }

    /// The estimate in bits per second.
    pub(super) fn bits_per_second(&self) -> f64 {
        self.bound.as_ref().map_or(self.max, |bound| bound.bits_per_second.min(self.max))
    }
}
