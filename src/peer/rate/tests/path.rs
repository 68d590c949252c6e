//! What lies between two ends, in virtual time, and the chance in it.

use super::network::ms;
use std::ops::Range;
use std::time::Duration;

/// Deterministic random numbers (xorshift64*).
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// From 0 to 1.
    pub(super) fn share(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// What lies between the two ends.
pub(super) struct Path {
    /// Bits per second, from these times on.
    pub(super) capacity: Vec<(Duration, f64)>,
    /// Each way.
    pub(super) delay: Duration,
    /// What may wait at the bottleneck; the rest is dropped.
    pub(super) queue: Duration,
    /// Share of packets lost at random.
    pub(super) loss: f64,
    /// Losses come in runs of this many packets on average.
    pub(super) burst: f64,
    /// Up to so much more delay, at random, for each packet by itself: packets overtake each other.
    pub(super) jitter: Duration,
    /// From these times on the way there is longer by so much.
    pub(super) detours: Vec<(Duration, Duration)>,
    /// Packets keep their order all the same: a late one holds up those behind it. The jitter is then about normal.
    pub(super) ordered: bool,
    /// Nothing gets through, either way.
    pub(super) blackouts: Vec<Range<Duration>>,
    /// The receiver's machine sleeps: what arrives meanwhile is read when it wakes.
    pub(super) sleeps: Vec<Range<Duration>>,
    /// The receiver's process stands still at random for up to so long, about three times a second.
    pub(super) stalls: Duration,
    /// The way back is as busy as the way there, as in a call between two alike.
    pub(super) symmetric: bool,
    /// Octets of a packet of the other direction's feedback, which takes its room twenty times a second.
    pub(super) chatter: usize,
    pub(super) busy_until: Duration,
    last: Duration,
    in_burst: bool,
    random: Random,
}

impl Path {
    pub(super) fn new(bits_per_second: f64, seed: u64) -> Self {
        Self {
            capacity: vec![(Duration::ZERO, bits_per_second)],
            delay: ms(25),
            queue: ms(300),
            loss: 0.0,
            burst: 1.0,
            jitter: Duration::ZERO,
            detours: Vec::new(),
            ordered: false,
            last: Duration::ZERO,
            blackouts: Vec::new(),
            sleeps: Vec::new(),
            stalls: Duration::ZERO,
            symmetric: false,
            chatter: 0,
            busy_until: Duration::ZERO,
            in_burst: false,
            random: Random::new(seed),
        }
    }

    fn bits_per_second(&self, now: Duration) -> f64 {
        self.capacity.iter().rev().find(|(from, _)| *from <= now).map_or(1.0, |(_, rate)| *rate)
    }

    fn is_black(&self, now: Duration) -> bool {
        self.blackouts.iter().any(|range| range.contains(&now))
    }

    fn is_lost(&mut self) -> bool {
        if self.burst <= 1.0 {
            return self.random.share() < self.loss;
        }
        // Gilbert's model: everything is lost in the bad state, which is left with probability 1 / burst.
        let leave = 1.0 / self.burst;
        let enter = leave * self.loss / (1.0 - self.loss);
        let chance = self.random.share();
        self.in_burst = if self.in_burst { chance >= leave } else { chance < enter };
        self.in_burst
    }

    /// How long the way back takes at present, if anything gets through.
    pub(super) fn back(&self, now: Duration) -> Option<Duration> {
        let waiting = if self.symmetric { self.busy_until.saturating_sub(now) } else { Duration::ZERO };
        (!self.is_black(now) && waiting <= self.queue).then_some(self.delay + waiting)
    }

    /// When a packet sent now arrives, if it does.
    pub(super) fn carry(&mut self, now: Duration, octets: usize) -> Option<Duration> {
        let waiting = self.busy_until.saturating_sub(now);
        if self.is_black(now) || waiting > self.queue {
            return None;
        }
        let begin = self.busy_until.max(now);
        self.busy_until = begin + Duration::from_secs_f64(octets as f64 * 8.0 / self.bits_per_second(begin));
        let share = if self.ordered {
            // The sum of twelve has a deviation of one (Irwin-Hall); the delay is at least three of them long.
            ((0..12).map(|_| self.random.share()).sum::<f64>() - 3.0).clamp(0.0, 6.0)
        } else {
            self.random.share()
        };
        let detours = self.detours.iter().rev();
        let detour = detours.clone().find(|(from, _)| *from <= now).map_or(Duration::ZERO, |(_, by)| *by);
        let mut arrives = self.busy_until + self.delay + detour + self.jitter.mul_f64(share);
        if self.ordered {
            arrives = arrives.max(self.last);
            self.last = arrives;
        }
        let woken = self.sleeps.iter().find(|sleep| sleep.contains(&arrives)).map(|sleep| sleep.end);
        (!self.is_lost()).then_some(woken.unwrap_or(arrives))
    }
}
