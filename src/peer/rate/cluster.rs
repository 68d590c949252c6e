//! What a probe showed: packets sent at a known rate, and how fast they arrived (after libwebrtc's
//! `ProbeBitrateEstimator`, from which the constants are, but for the share that is enough at last).

use super::Outcome;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Probes remembered: more than are ever on their way. The oldest goes first.
const MAX_CLUSTERS: usize = 16;
/// Packets and octets of a probe that must have arrived before it is judged.
const MIN_RECEIVED: f64 = 0.8;
/// Once it is known that the rest is lost, this share is enough: on a path that loses so much, more is rare.
const MIN_RECEIVED_AT_LAST: f64 = 0.6;
/// Packets that are needed to tell anything.
const MIN_PACKETS: usize = 4;
/// A probe that took longer than this, here or there, tells nothing.
const MAX_INTERVAL: Duration = Duration::from_secs(1);
/// Nor does one that arrived so much faster than it was sent: something on the way saved it up.
const MAX_RATIO: f64 = 2.0;
/// One part in so many is left away at either end of what arrived.
const MARGIN: usize = 5;
/// A path is saturated when less than this share of the sent rate arrives …
const UNSATURATED: f64 = 0.9;
/// … and then only this share of what arrived is used, so that the queue that the probe made can empty.
const UTILIZATION: f64 = 0.95;

/// What a probe showed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cluster {
    pub(super) id: u32,
    /// What the path carries at least, bits per second.
    pub(super) bits_per_second: f64,
    /// It could not carry what was sent.
    pub(super) saturated: bool,
}

/// What became of a probe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    Shown(Cluster),
    /// Too much of it was lost, or it came at once: the probe of this number tells nothing.
    Spoilt(u32),
}

#[derive(Debug)]
struct Record {
    id: u32,
    /// All of it has left.
    complete: bool,
    sent_packets: usize,
    sent_octets: usize,
    lost_packets: usize,
    packets: usize,
    octets: usize,
    departed: Option<(Instant, Instant)>,
    arrivals: Vec<(Duration, usize)>,
    last_departed_octets: usize,
    judged: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Clusters {
    records: VecDeque<Record>,
}

impl Clusters {
    /// A packet of this probe left.
    pub(super) fn handle_departure(&mut self, id: u32, octets: usize) {
        if self.records.back().is_none_or(|record| record.id != id) {
            if self.records.len() == MAX_CLUSTERS {
                self.records.pop_front();
            }
            self.records.push_back(Record {
                id,
                complete: false,
                sent_packets: 0,
                sent_octets: 0,
                lost_packets: 0,
                packets: 0,
                octets: 0,
                departed: None,
                arrivals: Vec::new(),
                last_departed_octets: 0,
                judged: false,
            });
        }
        if let Some(record) = self.records.back_mut() {
            record.sent_packets += 1;
            record.sent_octets += octets;
        }
    }

    /// All of this probe has left.
    pub(super) fn complete(&mut self, id: u32) {
        if let Some(record) = self.records.iter_mut().find(|record| record.id == id) {
            record.complete = true;
        }
    }

    /// A packet arrived or was lost.
    pub(super) fn handle_outcome(&mut self, outcome: &Outcome) {
        let record = outcome.cluster.and_then(|id| self.records.iter_mut().find(|record| record.id == id));
        if let Some(record) = record {
            record.handle_outcome(outcome);
        }
    }

    /// What became of a probe, told once: as soon as enough of it is there, or there never will be.
    pub(super) fn poll_verdict(&mut self) -> Option<Verdict> {
        self.records.iter_mut().filter(|record| record.complete && !record.judged).find_map(|record| {
            let verdict = record.judge();
            record.judged = verdict.is_some();
            verdict
        })
    }
}

impl Record {
    fn handle_outcome(&mut self, outcome: &Outcome) {
        let Some(arrived) = outcome.arrived else {
            self.lost_packets += 1;
            return;
        };
        if outcome.late {
            self.lost_packets = self.lost_packets.saturating_sub(1);
        }
        self.packets += 1;
        self.octets += outcome.octets;
        let (first, last) = self.departed.get_or_insert((outcome.departed, outcome.departed));
        *first = outcome.departed.min(*first);
        if outcome.departed >= *last {
            *last = outcome.departed;
            self.last_departed_octets = outcome.octets;
        }
        self.arrivals.push((arrived, outcome.octets));
    }

    fn judge(&mut self) -> Option<Verdict> {
        let shown = self.measure().map(Verdict::Shown);
        shown.or_else(|| self.is_known().then_some(Verdict::Spoilt(self.id)))
    }

    /// What became of each packet.
    fn is_known(&self) -> bool {
        self.packets + self.lost_packets >= self.sent_packets
    }

    fn measure(&mut self) -> Option<Cluster> {
        let least = if self.is_known() { MIN_RECEIVED_AT_LAST } else { MIN_RECEIVED };
        let enough = self.packets >= MIN_PACKETS
            && self.packets as f64 >= self.sent_packets as f64 * least
            && self.octets as f64 >= self.sent_octets as f64 * least;
        if !enough {
            return None;
        }
        let (first_departed, last_departed) = self.departed?;
        let sending = last_departed.saturating_duration_since(first_departed);
        if sending.is_zero() || sending > MAX_INTERVAL {
            return None;
        }
        // The last packet's own time of sending lies outside of the interval.
        let sent = rate(self.octets - self.last_departed_octets, sending);
        let received = self.received()?;
        if received > sent * MAX_RATIO {
            return None;
        }
        let saturated = received < sent * UNSATURATED;
        let bits_per_second = if saturated { received * UTILIZATION } else { received.min(sent) };
        Some(Cluster { id: self.id, bits_per_second, saturated })
    }

    /// Bits per second of what arrived, without the first and the last fifth: those are where jitter and a receiver that
    /// reads late show.
    fn received(&mut self) -> Option<f64> {
        self.arrivals.sort_unstable();
        let margin = self.arrivals.len() / MARGIN;
        let middle = self.arrivals.get(margin..self.arrivals.len() - margin)?;
        let ((first, _), (last, _)) = (middle.first()?, middle.last()?);
        let receiving = last.saturating_sub(*first);
        if receiving.is_zero() || receiving > MAX_INTERVAL {
            return None;
        }
        // As the first packet's own time of arriving does.
        let octets = middle.iter().skip(1).map(|(_, octets)| octets).sum();
        Some(rate(octets, receiving))
    }
}

fn rate(octets: usize, time: Duration) -> f64 {
    octets as f64 * 8.0 / time.as_secs_f64()
}
