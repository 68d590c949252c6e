//! Send-side bandwidth estimation: Google congestion control (draft-ietf-rmcat-gcc-02). Sans-IO.
//!
//! Driven by `chain::transport`, which tells it what leaves and hears from the remote when each packet arrived; time is
//! a parameter. Two opinions, of which the lower counts: [`delay`] sees queues build up, [`loss`] sees packets dropped.
//! [`probe`] finds out quickly how much more there is room for, and tells the transport when to send padding for it.
//!
//! What the draft leaves to chance is measured besides: [`queue`] knows how much stands in the path and how fast the
//! bottleneck serves it, [`flight`] what has left and is overdue. From these follow the small corrections that keep the
//! queue short, the moment from which pictures are better not made ([`Estimator::is_congested`]), and the pace.
//!
//! It never sends anything by itself, and never knows what a packet contains.

mod allocation;
mod cluster;
mod delay;
mod fit;
mod flight;
mod interval;
mod loss;
mod probe;
mod queue;
#[cfg(test)]
mod tests;
mod throughput;
mod trend;

pub(super) use allocation::Allocation;
pub(super) use interval::ReportInterval;

use cluster::{Cluster, Clusters, Verdict};
use delay::{DelayBased, Seen};
use flight::Flight;
use loss::LossBased;
use probe::Probes;
use queue::Queue;
use std::time::{Duration, Instant};
use throughput::Throughput;

/// Lowest estimate, bits per second: what sound alone needs.
const MIN_BITS_PER_SECOND: f64 = 30_000.0;
/// Without feedback for so long the path may be gone …
const SILENCE: Duration = Duration::from_secs(1);
/// … and then this share of the estimate is kept for each further second.
const SILENCE_FACTOR: f64 = 0.5;
/// The estimate for a remote that gives no feedback at all: what most paths carry.
const BLIND_BITS_PER_SECOND: f64 = 800_000.0;
/// A sender of less than this share of the estimate has little to send (libwebrtc's `AlrDetector` says 65 %, too).
const APPLICATION_LIMITED: f64 = 0.65;
/// Pictures may leave this many times faster than the estimate, so that a keyframe does not wait for its average
/// (libwebrtc `PacedSender::kDefaultPaceMultiplier`), …
const PACE: f64 = 2.5;
/// … and over a path that is known to carry little more than the estimate at least this many times.
const LEAST_PACE: f64 = 1.25;
/// What the bottleneck was found to carry counts for so long.
const BOTTLENECK_KNOWN: Duration = Duration::from_secs(10);
/// Loss in receiver reports above which the estimate of a remote without feedback shrinks, by half the loss, and below
/// which it grows, by five percent (draft-ietf-rmcat-gcc-02 section 6).
const REPORT_HIGH: f64 = 0.10;
const REPORT_LOW: f64 = 0.02;
const REPORT_GROWTH: f64 = 1.05;

/// What the remote told about one of our packets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Outcome {
    /// When it left, by our clock.
    pub(super) departed: Instant,
    /// When it arrived, by the remote's clock; `None` if it was lost.
    pub(super) arrived: Option<Duration>,
    /// Octets on the wire.
    pub(super) octets: usize,
    /// The probe that it was part of.
    pub(super) cluster: Option<u32>,
    /// It arrived although it had been reported as lost: it was only overtaken.
    pub(super) late: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Estimator {
    max: f64,
    start: f64,
    delay: DelayBased,
    loss: LossBased,
    queue: Queue,
    flight: Flight,
    /// When packets last waited at the bottleneck, and how fast it served them, bits per second.
    bottleneck: Option<(Instant, f64)>,
    throughput: Throughput,
    /// What is sent, by our clock since `epoch`.
    sent: Throughput,
    clusters: Clusters,
    probes: Probes,
    epoch: Option<Instant>,
    target: f64,
    /// Something has left, so the probing has begun.
    begun: bool,
    /// Since when something has been on its way without any word of it.
    waiting: Option<Instant>,
    /// The estimate before the remote fell silent.
    former: Option<f64>,
    /// Since when packets take the present way, or the path is back: what became of earlier ones says nothing of it.
    way_since: Option<Instant>,
    next_decay: Option<Instant>,
    /// What the remote said it can receive (REMB).
    limit: Option<f64>,
    /// The remote gives no feedback per packet: its REMB or a guess, bounded by what its receiver reports tell.
    blind: Option<f64>,
}

impl Estimator {
    /// Begins at `start` and never exceeds `max`, both in bits per second.
    pub(super) fn new(start: f64, max: f64) -> Self {
        let max = max.max(MIN_BITS_PER_SECOND);
        let start = start.clamp(MIN_BITS_PER_SECOND, max);
        Self {
            max,
            start,
            delay: DelayBased::new(start, max),
            loss: LossBased::new(max),
            queue: Queue::default(),
            flight: Flight::default(),
            bottleneck: None,
            throughput: Throughput::default(),
            sent: Throughput::default(),
            clusters: Clusters::default(),
            probes: Probes::new(max),
            epoch: None,
            target: start,
            begun: false,
            waiting: None,
            former: None,
            way_since: None,
            next_decay: None,
            limit: None,
            blind: None,
        }
    }

    /// Learns that a packet of so many octets leaves; returns the probe that it is part of. The first one begins the
    /// probing: there is a path.
    pub(super) fn handle_departure(&mut self, now: Instant, octets: usize) -> Option<u32> {
        self.waiting.get_or_insert(now);
        self.flight.handle_departure(now, octets);
        if !self.begun {
            self.begun = true;
            if self.blind.is_none() {
                self.probes.begin(now, self.target);
            }
        }
        self.probes.handle_departure(now, octets, &mut self.clusters)
    }

    /// Learns what became of packets, in the order in which they were sent; `rtt` where known.
    pub(super) fn handle_feedback(&mut self, now: Instant, outcomes: &[Outcome], rtt: Option<Duration>) {
        let old =
            outcomes.partition_point(|outcome| self.way_since.is_some_and(|since| outcome.departed < since));
        let outcomes = &outcomes[old..];
        if outcomes.is_empty() || self.blind.is_some() {
            return;
        }
        self.waiting = None;
        self.next_decay = None;
        if let Some(former) = self.former.take() {
            // What was sent into the silence was lost with the path, or lay with a machine that slept: neither its loss
            // nor its delay says anything of what comes now.
            self.way_since = Some(now);
            return self.come_back(now, former);
        }
        if let Some(newest) = outcomes.iter().map(|outcome| outcome.departed).max() {
            self.flight.handle_report(now, newest);
        }
        let epoch = *self.epoch.get_or_insert(outcomes[0].departed);
        for outcome in outcomes {
            self.queue.handle_packet(outcome, self.target);
            self.sent.handle_packet(outcome.departed.saturating_duration_since(epoch), outcome.octets);
            if let Some(arrived) = outcome.arrived {
                self.throughput.handle_packet(arrived, outcome.octets);
            }
            self.clusters.handle_outcome(outcome);
        }
        let (mut measured, mut spoilt) = (None, None);
        while let Some(verdict) = self.clusters.poll_verdict() {
            match verdict {
                Verdict::Shown(probe) => measured = Some(probe),
                Verdict::Spoilt(id) => spoilt = Some(id),
            }
        }
        let long = self.throughput.bits_per_second();
        let queue_is_long = self.queue.is_long();
        let service = self.queue.service_bits_per_second();
        self.bottleneck = service
            .map(|service| (now, service))
            .or(self.bottleneck.filter(|(at, _)| now.saturating_duration_since(*at) < BOTTLENECK_KNOWN));
        // While a queue stands, it is the path's own pace that counts, and the newest of it.
        let short = service.or(self.throughput.short_bits_per_second()).filter(|_| queue_is_long);
        let throughput = match short {
            Some(short) => Some(long.map_or(short, |long| long.min(short))),
            None => long,
        };
        let supply_is_low = self.is_application_limited();
        let surplus_ms = self.queue.surplus_ms();
        let seen = Seen { supply_is_low, queue_is_long, surplus_ms, throughput };
        let delay = self.delay.handle_feedback(now, outcomes, &seen, rtt);
        self.loss.handle_feedback(now, outcomes, delay, throughput);
        self.combine(now);
        if let Some(probe) = measured.filter(|_| self.delay.is_overused()) {
            tracing::debug!(?probe, estimate = self.target, "a probe arrived while the queue grew");
        }
        let measured = measured.filter(|_| !self.delay.is_overused());
        if let Some(probe) = measured {
            self.handle_probe(now, probe);
        }
        if let Some(id) = spoilt {
            self.probes.handle_spoilt(now, id);
        }
        let state = probe::State {
            estimate: self.target,
            supply_is_low,
            // Jitter makes the trend see a queue where nothing waits.
            overused: self.delay.is_overused() && surplus_ms > 0.0,
            // Loss that limits is as good a sign of a full path as delay is.
            saturated: self.loss.is_limiting(delay),
        };
        self.probes.handle_state(now, &state);
        if self.queue.is_wider() {
            self.queue.forget_wider();
            self.bottleneck = None;
            self.probes.hurry(now, &mut self.clusters);
        }
    }

    fn is_application_limited(&self) -> bool {
        self.sent.bits_per_second().is_some_and(|sent| sent < self.target * APPLICATION_LIMITED)
    }

    fn handle_probe(&mut self, now: Instant, probe: Cluster) {
        tracing::debug!(?probe, estimate = self.target, "a probe arrived");
        // That the path carries less than was begun with is believed of a first probe, if packets wait there: on its own it
        // may have met jitter.
        let first = self.probes.is_first(probe.id)
            && self.queue.surplus_ms() > 0.0
            && self.queue.service_bits_per_second().is_some_and(|service| service < self.target);
        if first || self.probes.believes(&probe, self.target, self.delay.knows_capacity()) {
            self.delay.handle_probe(probe.bits_per_second, first);
            self.combine(now);
        }
        self.probes.handle_result(now, &probe, self.target);
    }

    fn come_back(&mut self, now: Instant, former: f64) {
        self.queue = Queue::default();
        self.flight = Flight::default();
        self.bottleneck = None;
        self.delay.forget_timing();
        self.throughput = Throughput::default();
        self.sent = Throughput::default();
        self.epoch = None;
        self.probes.return_to(now, former);
    }

    fn combine(&mut self, now: Instant) {
        let delay = self.delay.bits_per_second();
        let before = self.target;
        let limit = self.limit.unwrap_or(f64::INFINITY);
        let path = delay.min(self.loss.bits_per_second());
        self.target = path.min(limit).clamp(MIN_BITS_PER_SECOND, self.max);
        if path < delay {
            self.delay.limit(path);
        }
        self.probes.note_estimate(now, before, self.target);
    }

    /// The remote wants at most this, bits per second (draft-alvestrand-rmcat-remb-03). From a remote without feedback
    /// per packet it is the estimate itself.
    pub(super) fn handle_limit(&mut self, bits_per_second: f64) {
        if bits_per_second.is_finite() && bits_per_second > 0.0 {
            self.limit = Some(bits_per_second);
            match &mut self.blind {
                Some(blind) => {
                    *blind = bits_per_second;
                    self.guess();
                }
                None => self.target = self.target.min(bits_per_second).max(MIN_BITS_PER_SECOND),
            }
        }
    }

    /// A receiver report of the remote tells which share of our pictures' packets was lost, 0 to 1. Of use only where
    /// nothing better is known.
    pub(super) fn handle_report(&mut self, loss: f64) {
        if let Some(blind) = &mut self.blind {
            if loss > REPORT_HIGH {
                *blind = (*blind * (1.0 - 0.5 * loss)).max(MIN_BITS_PER_SECOND);
            } else if loss < REPORT_LOW {
                let most = self.limit.unwrap_or(BLIND_BITS_PER_SECOND);
                *blind = (*blind * REPORT_GROWTH).min(most.max(*blind));
            }
            self.guess();
        }
    }

    /// The remote gives no feedback that the estimate could follow.
    pub(super) fn assume_no_feedback(&mut self) {
        self.blind = Some(self.limit.unwrap_or(BLIND_BITS_PER_SECOND));
        self.guess();
    }

    fn guess(&mut self) {
        if let Some(blind) = self.blind {
            self.target =
                blind.min(self.limit.unwrap_or(f64::INFINITY)).min(self.max).max(MIN_BITS_PER_SECOND);
        }
    }

    /// The packets take another way from here on: what was learned of the old one is no longer true.
    pub(super) fn handle_route(&mut self, now: Instant) {
        if self.blind.is_some() || !self.begun {
            return;
        }
        let former = self.former.take().unwrap_or(self.target).max(self.probes.best());
        self.way_since = Some(now);
        self.delay = DelayBased::new(self.target.min(self.start), self.max);
        self.loss = LossBased::new(self.max);
        self.come_back(now, former);
        self.combine(now);
    }

    /// When the estimate shrinks next, if nothing is heard until then.
    fn silent_at(&self) -> Option<Instant> {
        let waiting = self.waiting.filter(|_| self.blind.is_none())?;
        Some(self.next_decay.unwrap_or(waiting + SILENCE))
    }

    /// Lets time pass: without feedback the estimate shrinks.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.silent_at().is_some_and(|at| at <= now) {
            self.next_decay = Some(now + SILENCE);
            self.former.get_or_insert(self.target);
            self.target = (self.target * SILENCE_FACTOR).max(MIN_BITS_PER_SECOND);
            self.delay.limit(self.target);
            self.probes.cancel();
        }
        self.probes.handle_timeout(now, &mut self.clusters);
    }

    /// When to call [`Self::handle_timeout`] again, and to ask for padding.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.probes.poll_timeout(), self.silent_at()].into_iter().flatten().min()
    }

    /// Octets of one packet of padding that the running probe wants to leave now.
    pub(super) fn poll_padding(&mut self, now: Instant) -> Option<usize> {
        self.probes.poll_padding(now)
    }

    /// A queue grows or is long, or losses are taken for those of a full one.
    pub(super) fn is_strained(&self) -> bool {
        self.delay.is_overused()
            || self.queue.is_long()
            || self.loss.is_limiting(self.delay.bits_per_second())
    }

    /// What to send now, bits per second: the estimate, or less while a queue is to be emptied.
    pub(super) fn send_bits_per_second(&self) -> f64 {
        (self.target * self.queue.share()).max(MIN_BITS_PER_SECOND)
    }

    /// The path does not keep up with what has left already: pictures are better not made than late. Sound goes on.
    pub(super) fn is_congested(&mut self, now: Instant) -> bool {
        // What the queue was found to be is old by its own length: what is on its way tells how much of it is left.
        let stands = self.queue.is_long() && self.flight.is_more_than_usual(self.target);
        let overdue = self.flight.is_overdue(now, self.target);
        self.blind.is_none() && (stands || overdue)
    }

    /// The estimate, bits per second.
    pub(super) fn bits_per_second(&self) -> f64 {
        self.target
    }

    /// How fast pictures are to leave, bits per second. Over a path whose limit is known no faster than it carries them:
    /// what would wait in its queue waits here, where sound overtakes it.
    pub(super) fn pace_bits_per_second(&self) -> f64 {
        let bottleneck = self.bottleneck.map_or(f64::INFINITY, |(_, service)| service);
        bottleneck.clamp(self.target * LEAST_PACE, self.target * PACE)
    }

    /// The rate of the probe that is running, bits per second: the pace has to keep up with it.
    pub(super) fn probe_bits_per_second(&self) -> Option<f64> {
        self.probes.running_bits_per_second()
    }
}
