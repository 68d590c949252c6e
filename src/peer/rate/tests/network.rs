//! A network in virtual time: calls with sound, pictures, pacer and probes, that share one bottleneck.

use crate::peer::pacer::Pacer;
use crate::peer::rate::{Allocation, Estimator, Outcome};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::{Duration, Instant};

/// The clock's step.
const STEP: Duration = Duration::from_micros(500);
/// Time between two feedbacks of a receiver.
const FEEDBACK: Duration = Duration::from_millis(50);
/// Octets around a payload, on the wire.
const OVERHEAD: usize = 70;
/// Payload of one packet of a picture.
const PAYLOAD: usize = 1_100;

pub(super) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

pub(super) const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Deterministic random numbers (xorshift64*).
#[derive(Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
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
    /// Nothing gets through, either way.
    pub(super) blackouts: Vec<Range<Duration>>,
    /// The receiver's process stands still at random for up to so long, about three times a second.
    pub(super) stalls: Duration,
    busy_until: Duration,
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
            blackouts: Vec::new(),
            stalls: Duration::ZERO,
            busy_until: Duration::ZERO,
            in_burst: false,
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
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

    /// When a packet sent now arrives, if it does.
    fn carry(&mut self, now: Duration, octets: usize) -> Option<Duration> {
        let waiting = self.busy_until.saturating_sub(now);
        if self.is_black(now) || waiting > self.queue {
            return None;
        }
        let begin = self.busy_until.max(now);
        self.busy_until = begin + Duration::from_secs_f64(octets as f64 * 8.0 / self.bits_per_second(begin));
        let jitter = self.jitter.mul_f64(self.random.share());
        (!self.is_lost()).then_some(self.busy_until + self.delay + jitter)
    }
}

struct Flying {
    departed: Duration,
    arrived: Option<Duration>,
    octets: usize,
    cluster: Option<u32>,
    media: bool,
}

/// One call: a sender that follows its estimate, and its receiver.
pub(super) struct Flow {
    pub(super) estimator: Estimator,
    /// When it begins.
    from: Duration,
    /// The encoder makes no more than this, bits per second.
    pub(super) supply: f64,
    pacer: Pacer,
    allocation: Allocation,
    next_sound: Duration,
    next_picture: Duration,
    next_feedback: Duration,
    first_picture: bool,
    flying: BTreeMap<u64, Flying>,
    next_number: u64,
    /// All before this was reported, one way or the other; these of it arrived late.
    reported: u64,
    lost: BTreeMap<u64, Flying>,
    feedback: VecDeque<(Duration, Vec<Outcome>)>,
    /// When each packet of media arrived, how long it took, and its octets.
    pub(super) arrivals: Vec<(Duration, Duration, usize)>,
    /// The estimate, every 50 ms.
    pub(super) estimates: Vec<(Duration, f64)>,
    pub(super) padding: usize,
}

impl Flow {
    pub(super) fn new(from: Duration, max: f64) -> Self {
        let estimator = Estimator::new(300_000.0, max);
        Self {
            pacer: Pacer::new(estimator.bits_per_second()),
            estimator,
            from,
            supply: f64::INFINITY,
            allocation: Allocation::default(),
            next_sound: from,
            next_picture: from,
            next_feedback: from + FEEDBACK,
            first_picture: true,
            flying: BTreeMap::new(),
            next_number: 0,
            reported: 0,
            lost: BTreeMap::new(),
            feedback: VecDeque::new(),
            arrivals: Vec::new(),
            estimates: Vec::new(),
            padding: 0,
        }
    }

    /// Mean of the estimate.
    pub(super) fn mean(&self, time: Range<Duration>) -> f64 {
        let within: Vec<f64> =
            self.estimates.iter().filter(|(at, _)| time.contains(at)).map(|(_, rate)| *rate).collect();
        within.iter().sum::<f64>() / within.len() as f64
    }

    pub(super) fn at(&self, time: Duration) -> f64 {
        self.estimates.iter().rev().find(|(at, _)| *at <= time).map_or(0.0, |(_, rate)| *rate)
    }

    /// When the estimate first reached this after `since`, counted from there.
    pub(super) fn reaches(&self, since: Duration, rate: f64) -> Option<Duration> {
        self.estimates.iter().find(|(at, now)| *at >= since && *now >= rate).map(|(at, _)| *at - since)
    }

    /// Bits per second that arrived.
    pub(super) fn carried(&self, time: Range<Duration>) -> f64 {
        let octets: usize =
            self.arrivals.iter().filter(|(at, ..)| time.contains(at)).map(|(.., octets)| octets).sum();
        octets as f64 * 8.0 / (time.end - time.start).as_secs_f64()
    }

    /// A percentile of what the packets took.
    pub(super) fn delay(&self, time: Range<Duration>, percentile: usize) -> Duration {
        let mut delays: Vec<Duration> =
            self.arrivals.iter().filter(|(at, ..)| time.contains(at)).map(|(_, delay, _)| *delay).collect();
        delays.sort();
        delays
            .get((delays.len() * percentile / 100).min(delays.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    }
}

/// The calls and what they share.
pub(super) struct Network {
    pub(super) path: Path,
    pub(super) flows: Vec<Flow>,
    pub(super) epoch: Instant,
    pub(super) now: Duration,
    stalled_until: Duration,
    random: Random,
}

impl Network {
    pub(super) fn new(path: Path, flows: Vec<Flow>) -> Self {
        Self {
            path,
            flows,
            epoch: Instant::now(),
            now: Duration::ZERO,
            stalled_until: Duration::ZERO,
            random: Random(0x1234_5678_9abc_def1),
        }
    }

    pub(super) fn run(&mut self, until: Duration) {
        while self.now < until {
            self.stall();
            let mut flows = std::mem::take(&mut self.flows);
            let now = self.now;
            for flow in flows.iter_mut().filter(|flow| flow.from <= now) {
                self.produce(flow);
                self.send(flow);
                self.report(flow);
                self.hear(flow);
            }
            self.flows = flows;
            self.now += STEP;
        }
    }

    /// While the receiver stands still, what arrives is read at the end of it.
    fn stall(&mut self) {
        if self.path.stalls > Duration::ZERO
            && self.stalled_until <= self.now
            && self.random.share() < 3.0 * STEP.as_secs_f64()
        {
            self.stalled_until = self.now + self.path.stalls.mul_f64(self.random.share());
            for flow in &mut self.flows {
                for flying in flow.flying.values_mut() {
                    if let Some(arrived) = &mut flying.arrived
                        && (self.now..self.stalled_until).contains(arrived)
                    {
                        *arrived = self.stalled_until;
                    }
                }
            }
        }
    }

    fn produce(&mut self, flow: &mut Flow) {
        let now = self.epoch + self.now;
        let estimator = &flow.estimator;
        let shares =
            flow.allocation.shares(estimator.bits_per_second(), estimator.send_bits_per_second(), 0.0, 0.0);
        if flow.next_sound <= self.now {
            flow.next_sound += ms(20);
            let octets = (shares.audio / 50.0 / 8.0) as usize;
            flow.pacer.handle_unpaced(now, octets);
            self.depart(flow, octets + OVERHEAD, true);
        }
        if flow.next_picture <= self.now {
            flow.next_picture += Duration::from_micros(33_333);
            let pace = flow.estimator.bits_per_second();
            flow.pacer.set_pace(pace, flow.estimator.probe_bits_per_second());
            let video = shares.video.min(flow.supply);
            if video > 0.0 {
                let mut octets = video / 30.0 / 8.0 * (0.7 + 0.6 * self.random.share());
                if std::mem::take(&mut flow.first_picture) {
                    octets *= 6.0;
                }
                let packets = (octets as usize).div_ceil(PAYLOAD).max(1);
                let each = Bytes::from(vec![0; octets as usize / packets]);
                // A queue that is too old waits for a keyframe; here every picture is taken for one.
                let _accepted = flow.pacer.handle_frame(now, vec![each; packets], 0, now, true);
            }
        }
    }

    fn send(&mut self, flow: &mut Flow) {
        let now = self.epoch + self.now;
        while let Some(packet) = flow.pacer.poll_packet(now) {
            self.depart(flow, packet.data.len() + OVERHEAD, true);
        }
        if flow.estimator.poll_timeout().is_some_and(|at| at <= now) {
            flow.estimator.handle_timeout(now);
        }
        while let Some(octets) = flow.estimator.poll_padding(now) {
            flow.padding += octets;
            self.depart(flow, octets, false);
        }
    }

    fn depart(&mut self, flow: &mut Flow, octets: usize, media: bool) {
        let cluster = flow.estimator.handle_departure(self.epoch + self.now, octets);
        let mut arrived = self.path.carry(self.now, octets);
        if let Some(arrived) = &mut arrived
            && *arrived < self.stalled_until
        {
            *arrived = self.stalled_until;
        }
        let flying = Flying { departed: self.now, arrived, octets, cluster, media };
        flow.flying.insert(flow.next_number, flying);
        flow.next_number += 1;
    }

    /// The receiver tells what has arrived since the last time, and what is missing before it.
    fn report(&mut self, flow: &mut Flow) {
        if flow.next_feedback > self.now {
            return;
        }
        flow.next_feedback += FEEDBACK;
        let here = |flying: &Flying| flying.arrived.is_some_and(|at| at <= self.now);
        let mut outcomes = Vec::new();
        let late: Vec<u64> =
            flow.lost.iter().filter(|(_, flying)| here(flying)).map(|(number, _)| *number).collect();
        for number in late {
            if let Some(flying) = flow.lost.remove(&number) {
                outcomes.push(self.outcome(flow, &flying, true, true));
            }
        }
        let newest = flow.flying.iter().rev().find(|(_, flying)| here(flying)).map(|(number, _)| *number);
        if let Some(newest) = newest {
            let rest = flow.flying.split_off(&(newest + 1));
            for (number, flying) in std::mem::replace(&mut flow.flying, rest) {
                let arrived = here(&flying);
                outcomes.push(self.outcome(flow, &flying, arrived, false));
                if !arrived {
                    flow.lost.insert(number, flying);
                }
            }
            flow.reported = newest + 1;
        }
        outcomes.sort_by_key(|outcome| outcome.departed);
        let black = self.path.is_black(self.now);
        if !outcomes.is_empty() && !black {
            flow.feedback.push_back((self.now + self.path.delay, outcomes));
        }
    }

    fn outcome(&self, flow: &mut Flow, flying: &Flying, arrived: bool, late: bool) -> Outcome {
        let arrival = flying.arrived.filter(|_| arrived);
        if let Some(at) = arrival
            && flying.media
        {
            flow.arrivals.push((at, at - flying.departed, flying.octets));
        }
        Outcome {
            departed: self.epoch + flying.departed,
            arrived: arrival,
            octets: flying.octets,
            cluster: flying.cluster,
            late,
        }
    }

    fn hear(&mut self, flow: &mut Flow) {
        while flow.feedback.front().is_some_and(|(at, _)| *at <= self.now)
            && let Some((_, outcomes)) = flow.feedback.pop_front()
        {
            let rtt = self.path.delay * 2 + self.path.busy_until.saturating_sub(self.now);
            flow.estimator.handle_feedback(self.epoch + self.now, &outcomes, Some(rtt));
        }
        if self.now.as_millis().is_multiple_of(50) && self.now.subsec_micros().is_multiple_of(1_000) {
            flow.estimates.push((self.now, flow.estimator.bits_per_second()));
        }
    }
}

/// One call alone on this path, for so long.
pub(super) fn alone(path: Path, max: f64, time: Duration) -> Network {
    let mut network = Network::new(path, vec![Flow::new(Duration::ZERO, max)]);
    network.run(time);
    network
}
