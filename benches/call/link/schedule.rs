//! What a link is like, and when it changes.

use super::loss::Loss;
use std::time::Duration;

/// Octets that any queue holds at least: ten full packets. Fewer would not hold one picture.
const MIN_QUEUE: usize = 15_000;
/// How long a queue's worth of packets takes to leave. Home routers have more, mobile networks less.
const QUEUE_TIME: Duration = Duration::from_millis(300);

/// What a link is like, one way, for a while.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shape {
    /// Whether anything passes at all.
    pub(crate) up: bool,
    pub(crate) rate: Option<Rate>,
    pub(crate) loss: Loss,
    /// One way.
    pub(crate) delay: Duration,
    /// Standard deviation of the delay, normally distributed, cut off at three of them and at no delay at all.
    pub(crate) jitter: Duration,
    /// Whether jitter lets a packet overtake another. Most paths keep the order; then a late packet holds up the rest.
    pub(crate) reorders: bool,
}

/// What a link carries, and what waits for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    /// IP packets with their headers.
    pub(crate) bits_per_second: u64,
    /// Octets that wait at most, not counting the packet on its way; whatever comes then is dropped (drop-tail).
    pub(crate) queue: usize,
}

impl Rate {
    /// A rate with the queue that such links have.
    pub(crate) fn of(bits_per_second: u64) -> Self {
        let octets = bits_per_second as f64 / 8.0 * QUEUE_TIME.as_secs_f64();
        Self { bits_per_second, queue: (octets as usize).max(MIN_QUEUE) }
    }

    /// How long a packet of so many octets takes.
    pub(super) fn time_for(self, octets: usize) -> Duration {
        let nanoseconds = octets as u128 * 8 * 1_000_000_000 / u128::from(self.bits_per_second);
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }
}

impl Shape {
    /// Everything passes at once.
    pub(crate) const CLEAN: Self = Self {
        up: true,
        rate: None,
        loss: Loss::None,
        delay: Duration::ZERO,
        jitter: Duration::ZERO,
        reorders: false,
    };
    /// Nothing passes.
    pub(crate) const DOWN: Self = Self { up: false, ..Self::CLEAN };
}

/// Shapes one after the other. Times count from the schedule's beginning.
#[derive(Clone, Debug)]
pub(crate) struct Schedule(Vec<(Duration, Shape)>);

impl Schedule {
    /// The same all the time.
    pub(crate) fn steady(shape: Shape) -> Self {
        Self(vec![(Duration::ZERO, shape)])
    }

    /// Another shape from then on; times come in order.
    pub(crate) fn then(mut self, at: Duration, shape: Shape) -> Self {
        assert!(self.0.last().is_some_and(|(last, _)| *last < at), "out of order: {at:?} after {self:?}");
        self.0.push((at, shape));
        self
    }

    /// The shape at that time.
    pub(crate) fn at(&self, now: Duration) -> &Shape {
        let later = self.0.partition_point(|(from, _)| *from <= now);
        // There is a first phase, and it begins at zero.
        &self.0[later.saturating_sub(1)].1
    }
}
