//! How long to hold packets back: the delays of the past, as a histogram that forgets.
//!
//! Driven by the playout. The delay of a packet is measured against the fastest of the recent ones, so that neither
//! the path's constant part nor the offset between both clocks matters, and their drift is followed.
//!
//! Packets that come out of order were overtaken or were asked for again. To wait for them costs all the others delay, so
//! they have to be a larger share to be waited for (NetEq weighs so, too: its reorder optimizer).

use std::time::Instant;

/// Packets among which the fastest is sought: 2.5 s at 20 ms.
const WINDOW: usize = 128;
/// Width of a histogram bin, milliseconds.
const BIN_MS: f64 = 2.0;
/// Bins: delays up to 1 s; longer ones count as the last.
const BINS: usize = 501;
/// Share of packets that shall be in time, of those in order, ...
const QUANTILE: f64 = 0.99;
/// ... and of all.
const QUANTILE_OF_ALL: f64 = 0.97;
/// Packets after which the past weighs 1/e: 5 s at 20 ms.
const MEMORY: f64 = 250.0;
/// What is assumed before packets tell, and for how many packets' worth it counts: a second's worth of packets
/// outweighs it.
const PRIOR_MS: f64 = 30.0;
const PRIOR_WEIGHT: f64 = 0.4;
/// Added to the quantile: a quarter of it, at least the grain of the callers' clocks, and at most so much, milliseconds.
const MARGIN_MS: (f64, f64) = (3.0, 6.0);
/// Longest holding back, milliseconds. A conversation with more is no conversation; later packets are lost ones.
const MAX_TARGET_MS: f64 = 500.0;

/// Samples that are pulled while the smallest delay counts, twice: 0.25 to 0.5 s.
const DELAY_WINDOW: usize = 12_000;

/// The estimator.
pub(super) struct DelayEstimator {
    origin: Option<(Instant, i64)>,
    /// Arrival minus timestamp of the last packets, milliseconds, as a ring.
    transits: Vec<f64>,
    oldest: usize,
    fastest: f64,
    in_order: Histogram,
    all: Histogram,
    target: f64,
}

/// How a packet came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// After all that were sent before it, or as part of such a packet.
    InOrder,
    /// Later than one that was sent after it.
    OutOfOrder,
}

impl DelayEstimator {
    pub(super) fn new() -> Self {
        let mut estimator = Self {
            origin: None,
            transits: Vec::with_capacity(WINDOW),
            oldest: 0,
            fastest: 0.0,
            in_order: Histogram::new(),
            all: Histogram::new(),
            target: 0.0,
        };
        estimator.aim();
        estimator
    }

    /// Takes note of a packet: when and how it came, and its timestamp in samples (48 kHz).
    pub(super) fn observe(&mut self, arrived: Instant, timestamp: i64, arrival: Arrival) {
        let origin = *self.origin.get_or_insert((arrived, timestamp));
        let transit = transit_ms(origin, arrived, timestamp);
        if self.transits.len() < WINDOW {
            self.transits.push(transit);
        } else {
            self.transits[self.oldest] = transit;
            self.oldest = (self.oldest + 1) % WINDOW;
        }
        self.fastest = self.transits.iter().copied().fold(f64::INFINITY, f64::min);
        self.count(transit, arrival);
    }

    /// Takes note of a packet that was lost but is carried by another one: it came when that one did.
    pub(super) fn observe_repair(&mut self, arrived: Instant, timestamp: i64) {
        if let Some(origin) = self.origin {
            self.count(transit_ms(origin, arrived, timestamp), Arrival::InOrder);
        }
    }

    fn count(&mut self, transit: f64, arrival: Arrival) {
        let late = (transit - self.fastest).max(0.0);
        self.all.count(late);
        if arrival == Arrival::InOrder {
            self.in_order.count(late);
        }
        self.aim();
    }

    fn aim(&mut self) {
        let needed = self.in_order.quantile(QUANTILE).max(self.all.quantile(QUANTILE_OF_ALL));
        let margin = (needed / 4.0).clamp(MARGIN_MS.0, MARGIN_MS.1);
        self.target = (needed + margin).min(MAX_TARGET_MS);
    }

    /// How late sound of this timestamp is at this moment, milliseconds, against a packet on the fastest path.
    /// Negative: not even a packet on the fastest path can be here.
    pub(super) fn lateness_ms(&self, now: Instant, timestamp: i64) -> f64 {
        self.origin.map_or(0.0, |origin| transit_ms(origin, now, timestamp) - self.fastest)
    }

    /// How long to hold sound back, milliseconds.
    pub(super) fn target_ms(&self) -> f64 {
        self.target
    }
}

/// Delays, the newer ones with more weight.
struct Histogram {
    bins: [f64; BINS],
    weight: f64,
}

impl Histogram {
    fn new() -> Self {
        let mut bins = [0.0; BINS];
        bins[(PRIOR_MS / BIN_MS) as usize - 1] = 1.0;
        Self { bins, weight: PRIOR_WEIGHT }
    }

    fn count(&mut self, late_ms: f64) {
        self.weight = (self.weight + 1.0).min(MEMORY);
        let share = 1.0 / self.weight;
        for count in &mut self.bins {
            *count *= 1.0 - share;
        }
        self.bins[((late_ms / BIN_MS) as usize).min(BINS - 1)] += share;
    }

    /// The end of the bin up to which this share of them lies, milliseconds.
    fn quantile(&self, share: f64) -> f64 {
        let mut sum = 0.0;
        let bin = self.bins.iter().position(|count| {
            sum += count;
            sum >= share
        });
        (bin.unwrap_or(BINS - 1) + 1) as f64 * BIN_MS
    }
}

fn transit_ms(origin: (Instant, i64), at: Instant, timestamp: i64) -> f64 {
    let elapsed = match at.checked_duration_since(origin.0) {
        Some(after) => after.as_secs_f64(),
        None => -origin.0.duration_since(at).as_secs_f64(),
    };
    (elapsed - (timestamp - origin.1) as f64 / f64::from(crate::media::audio::SAMPLE_RATE)) * 1e3
}

/// How late recent packets were needed, at the earliest. The earliest, because pulls come in the grain of the device,
/// and a stretched packet is needed at another point of a pull than the one before.
#[derive(Default)]
pub(super) struct DelayFloor {
    present: Option<f64>,
    past: Option<f64>,
    pulled: usize,
}

impl DelayFloor {
    pub(super) fn observe(&mut self, delay_ms: f64, pulled: usize) {
        self.present = Some(self.present.map_or(delay_ms, |floor| floor.min(delay_ms)));
        self.pulled += pulled;
        if self.pulled >= DELAY_WINDOW {
            self.past = self.present.take();
            self.pulled = 0;
        }
    }

    /// Known once a whole window has passed.
    pub(super) fn value(&self) -> Option<f64> {
        let past = self.past?;
        Some(self.present.map_or(past, |present| present.min(past)))
    }

    pub(super) fn shift(&mut self, by_ms: f64) {
        for floor in [&mut self.present, &mut self.past] {
            *floor = floor.map(|value| value + by_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn feed(estimator: &mut DelayEstimator, from: i64, packets: i64, delay_ms: impl Fn(i64) -> f64) {
        let start = estimator.origin.map_or_else(Instant::now, |origin| origin.0 - Duration::from_secs(1));
        for n in from..from + packets {
            let arrived = start + Duration::from_secs_f64(1.0 + n as f64 * 0.02 + delay_ms(n) / 1e3);
            estimator.observe(arrived, n * 960, Arrival::InOrder);
        }
    }

    #[test]
    fn an_even_path_needs_no_more_than_the_grain() {
        let mut estimator = DelayEstimator::new();
        feed(&mut estimator, 0, 50, |_| 0.0);
        assert_eq!(estimator.target_ms(), BIN_MS + MARGIN_MS.0, "within the first second");
    }

    #[test]
    fn the_target_covers_the_jitter_and_forgets_it_again() {
        let mut estimator = DelayEstimator::new();
        feed(&mut estimator, 0, 500, |n| (n * 7 % 31) as f64);
        assert!((30.0..40.0).contains(&estimator.target_ms()), "{}", estimator.target_ms());
        feed(&mut estimator, 500, 1500, |_| 0.0);
        assert_eq!(estimator.target_ms(), BIN_MS + MARGIN_MS.0);
    }

    #[test]
    fn a_step_of_the_path_is_followed_and_then_counts_as_the_new_normal() {
        let mut estimator = DelayEstimator::new();
        feed(&mut estimator, 0, 500, |_| 0.0);
        feed(&mut estimator, 500, 20, |_| 200.0);
        assert!(estimator.target_ms() >= 200.0, "{}", estimator.target_ms());
        feed(&mut estimator, 520, 2000, |_| 200.0);
        assert_eq!(estimator.target_ms(), BIN_MS + MARGIN_MS.0);
    }

    #[test]
    fn packets_out_of_order_are_waited_for_where_they_are_many() {
        let start = Instant::now() + Duration::from_secs(1);
        for (every, waits) in [(50, false), (20, true)] {
            let mut estimator = DelayEstimator::new();
            for n in 0..500_u32 {
                let repaired = n % every == 7;
                let late = Duration::from_millis(if repaired { 60 } else { 0 });
                let arrival = if repaired { Arrival::OutOfOrder } else { Arrival::InOrder };
                let arrived = start + Duration::from_millis(u64::from(n) * 20) + late;
                estimator.observe(arrived, i64::from(n) * 960, arrival);
            }
            assert_eq!(estimator.target_ms() > 60.0, waits, "one in {every}: {}", estimator.target_ms());
        }
    }

    #[test]
    fn packets_that_only_another_one_carries_are_waited_for_where_they_are_many() {
        let start = Instant::now() + Duration::from_secs(1);
        let mut estimator = DelayEstimator::new();
        for n in 0..500_u32 {
            let arrived = start + Duration::from_millis(u64::from(n) * 20);
            if n % 10 == 1 {
                estimator.observe_repair(arrived, i64::from(n - 1) * 960);
            }
            if n % 10 != 0 {
                estimator.observe(arrived, i64::from(n) * 960, Arrival::InOrder);
            }
        }
        assert_eq!(estimator.target_ms(), (20.0 + BIN_MS) * 1.25);
    }
}
