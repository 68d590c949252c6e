//! One way of a link. Sans-IO: [`Direction::handle_packet`] in, [`Direction::poll_packet`] out, the time a parameter
//! of both (since the schedule began). It never drops silently: every packet is in one of the [`Counts`].

use super::loss::Losses;
use super::random::Random;
use super::schedule::{Schedule, Shape};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

/// Beyond so many standard deviations jitter is cut off.
const JITTER_LIMIT: f64 = 3.0;

/// What became of the packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) entered: u64,
    pub(crate) left: u64,
    /// Octets of those that left.
    pub(crate) octets_left: u64,
    /// By [`super::loss::Loss`].
    pub(crate) lost: u64,
    /// The queue was full.
    pub(crate) overflowed: u64,
    /// The link was down.
    pub(crate) cut: u64,
}

/// One way of a link.
#[derive(Debug)]
pub(crate) struct Direction {
    schedule: Schedule,
    losses: Losses,
    jitter: Random,
    queue: VecDeque<Vec<u8>>,
    octets_queued: usize,
    /// The packet that the rate is busy with, and when it is through.
    sending: Option<(Duration, Vec<u8>)>,
    flying: BinaryHeap<Reverse<Flight>>,
    flights: u64,
    /// When the last one in order arrives: nothing arrives before it unless the link reorders.
    last_arrival: Duration,
    counts: Counts,
}

/// A packet on its way, in the order of arrival; those that arrive together in the order of departure.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    arrives: Duration,
    number: u64,
    packet: Vec<u8>,
}

impl Direction {
    /// A link whose randomness comes from `seed` alone. Loss and jitter have sequences of their own, so that one may
    /// be changed and the other stays as it was.
    pub(crate) fn new(schedule: Schedule, seed: u64) -> Self {
        let random = Random::new(seed);
        Self {
            schedule,
            losses: Losses::new(random.split(1)),
            jitter: random.split(2),
            queue: VecDeque::new(),
            octets_queued: 0,
            sending: None,
            flying: BinaryHeap::new(),
            flights: 0,
            last_arrival: Duration::ZERO,
            counts: Counts::default(),
        }
    }

    /// A packet enters.
    pub(crate) fn handle_packet(&mut self, now: Duration, packet: Vec<u8>) {
        self.advance(now);
        self.counts.entered += 1;
        let shape = *self.schedule.at(now);
        if !shape.up {
            self.counts.cut += 1;
            return;
        }
        let limit = shape.rate.map_or(usize::MAX, |rate| rate.queue);
        if self.sending.is_some() && self.octets_queued + packet.len() > limit {
            self.counts.overflowed += 1;
            return;
        }
        self.octets_queued += packet.len();
        self.queue.push_back(packet);
        if self.sending.is_none() {
            self.send_next(now);
            self.advance(now);
        }
    }

    /// The next packet that has arrived by now, with the time at which it did.
    pub(crate) fn poll_packet(&mut self, now: Duration) -> Option<(Duration, Vec<u8>)> {
        self.advance(now);
        if self.flying.peek()?.0.arrives > now {
            return None;
        }
        let Reverse(flight) = self.flying.pop()?;
        self.counts.left += 1;
        self.counts.octets_left += flight.packet.len() as u64;
        Some((flight.arrives, flight.packet))
    }

    /// When to poll again, if nothing enters before.
    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        let sent = self.sending.as_ref().map(|(at, _)| *at);
        let arrives = self.flying.peek().map(|Reverse(flight)| flight.arrives);
        sent.into_iter().chain(arrives).min()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Does what the rate has done by now.
    fn advance(&mut self, now: Duration) {
        while let Some((at, packet)) = self.sending.take_if(|(at, _)| *at <= now) {
            self.depart(at, packet);
            // From the moment in which the last one was through, not from now: so the rate is exact.
            self.send_next(at);
        }
    }

    fn send_next(&mut self, at: Duration) {
        let Some(packet) = self.queue.pop_front() else { return };
        self.octets_queued -= packet.len();
        let takes = self.schedule.at(at).rate.map_or(Duration::ZERO, |rate| rate.time_for(packet.len()));
        self.sending = Some((at + takes, packet));
    }

    fn depart(&mut self, at: Duration, packet: Vec<u8>) {
        let shape = *self.schedule.at(at);
        if !shape.up {
            self.counts.cut += 1;
            return;
        }
        if self.losses.takes_next(shape.loss) {
            self.counts.lost += 1;
            return;
        }
        let mut arrives = at + self.draw_delay(&shape);
        if !shape.reorders {
            arrives = arrives.max(self.last_arrival);
            self.last_arrival = arrives;
        }
        self.flights += 1;
        self.flying.push(Reverse(Flight { arrives, number: self.flights, packet }));
    }

    fn draw_delay(&mut self, shape: &Shape) -> Duration {
        if shape.jitter.is_zero() {
            return shape.delay;
        }
        let deviations = self.jitter.normal().clamp(-JITTER_LIMIT, JITTER_LIMIT);
        let seconds = shape.delay.as_secs_f64() + deviations * shape.jitter.as_secs_f64();
        Duration::from_secs_f64(seconds.max(0.0))
    }
}
