//! How long a packet may be missing and only have been overtaken. Sans-IO.
//!
//! Driven by [`super::gaps`]: it is told how every gap ended, by the packet itself coming late or by a repair. Where
//! gaps mostly are loss, asking at once is right; where packets overtake one another, most gaps close by themselves,
//! and the time in which they do is measured. (libwebrtc's NACK requester measures the same in packets; time also
//! holds for a stream whose rate changes.)

use std::time::Duration;

/// Width of a bin.
const BIN: Duration = Duration::from_millis(1);
/// Bins; also the longest wait. A packet overtaken by more is asked for: waiting longer costs more than a repair.
const BINS: usize = 40;
/// Gaps after which the past weighs 1/e.
const MEMORY: f64 = 64.0;
/// Share of gaps that must have closed by themselves before any gap is waited for: below it the wait would delay
/// many repairs to save few.
const LEAST_SHARE: f64 = 0.25;
/// Share of the packets that only were overtaken, that the wait covers.
const QUANTILE: f64 = 0.95;
/// Gaps' worth of weight before the shares are trusted.
const LEAST_WEIGHT: f64 = 4.0;

/// The estimator.
#[derive(Debug)]
pub(in crate::peer) struct Reordering {
    /// Weights of gaps that closed by themselves, by how long they took.
    overtaken: [f64; BINS],
    lost: f64,
    wait: Duration,
}

impl Default for Reordering {
    fn default() -> Self {
        Self { overtaken: [0.0; BINS], lost: 0.0, wait: Duration::ZERO }
    }
}

impl Reordering {
    /// How long to wait for a missing packet before it is asked for.
    pub(in crate::peer) fn wait(&self) -> Duration {
        self.wait
    }

    /// A missing packet came by itself, this long after the first one that overtook it.
    pub(in crate::peer) fn note_overtaken(&mut self, after: Duration) {
        self.forget();
        let bin = (after.as_secs_f64() / BIN.as_secs_f64()) as usize;
        if bin < BINS {
            self.overtaken[bin] += 1.0;
        } else {
            // No wait that is worth it would have covered this one.
            self.lost += 1.0;
        }
        self.renew();
    }

    /// A missing packet had to be repaired, or never came.
    pub(in crate::peer) fn note_lost(&mut self) {
        self.forget();
        self.lost += 1.0;
        self.renew();
    }

    fn forget(&mut self) {
        let keep = 1.0 - 1.0 / MEMORY;
        self.overtaken.iter_mut().for_each(|weight| *weight *= keep);
        self.lost *= keep;
    }

    fn renew(&mut self) {
        let overtaken: f64 = self.overtaken.iter().sum();
        let total = overtaken + self.lost;
        if total < LEAST_WEIGHT.min(MEMORY) * 0.9 || overtaken < total * LEAST_SHARE {
            self.wait = Duration::ZERO;
            return;
        }
        let mut sum = 0.0;
        let bin = self.overtaken.iter().position(|weight| {
            sum += weight;
            sum >= overtaken * QUANTILE
        });
        self.wait = BIN * (bin.unwrap_or(BINS - 1) as u32 + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn where_packets_only_are_lost_nothing_is_waited_for() {
        let mut reordering = Reordering::default();
        for _ in 0..200 {
            reordering.note_lost();
            assert_eq!(reordering.wait(), Duration::ZERO);
        }
        // One packet in ten that was overtaken is no reason to delay nine repairs.
        for n in 0..200 {
            if n % 10 == 0 { reordering.note_overtaken(20 * MS) } else { reordering.note_lost() }
        }
        assert_eq!(reordering.wait(), Duration::ZERO);
    }

    #[test]
    fn the_wait_covers_what_was_measured_and_is_forgotten_again() {
        let mut reordering = Reordering::default();
        for n in 0..200 {
            reordering.note_overtaken(MS * (n % 12));
        }
        assert!((11 * MS..=13 * MS).contains(&reordering.wait()), "{:?}", reordering.wait());
        for _ in 0..200 {
            reordering.note_lost();
        }
        assert_eq!(reordering.wait(), Duration::ZERO);
    }

    #[test]
    fn no_wait_is_longer_than_its_bound() {
        let mut reordering = Reordering::default();
        for _ in 0..200 {
            reordering.note_overtaken(MS * 39);
            reordering.note_overtaken(MS * 500);
        }
        assert_eq!(reordering.wait(), BIN * BINS as u32);
    }
}
