//! When to find out, with a few packets at a higher rate, how much more the path carries, and how much of that rate is
//! still to be filled with padding.
//!
//! The draft (draft-ietf-rmcat-gcc-02) leaves ramp-up open; this follows the published behaviour of libwebrtc's
//! `ProbeController`: a probe at 3 times the first estimate, then doubling as long as at least 70 % of what
//! was probed arrives; probes of twice the estimate while the application has little to send, and after a drop.
//! Unlike it, an estimate that never met a limit is probed as well, so that a first probe spoilt by a busy machine
//! does not cost half a minute.

use super::cluster::{Cluster, Clusters};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The first probe, as a multiple of the first estimate. A second, higher one waits for its result: over a narrow path it
/// would only fill the queue.
const FIRST_SCALE: f64 = 3.0;
/// Every other one, as a multiple of what is known.
const SCALE: f64 = 2.0;
/// At least this share of the probed rate has to arrive for the next, higher probe.
const FURTHER: f64 = 0.7;
/// Probes go so far beyond the highest estimate: what is measured is always a little less than what was tried.
const BEYOND_MAX: f64 = 1.1;
/// Length of a probe, and its least number of packets: enough to see a queue grow, too little to fill it.
const LENGTH: Duration = Duration::from_millis(15);
const PACKETS: usize = 6;
/// Jitter smears a short probe: after each failure the next one is twice as long, up to this.
const MAX_LENGTH: Duration = Duration::from_millis(60);
/// Where another flow may be beside ours, a probe lasts for more than one of its pictures, so as not to fall into the
/// gap between two.
const SHARED_LENGTH: Duration = Duration::from_millis(50);
/// A probe that has not left after so many times its length (a busy machine) is taken as it is.
const GIVE_UP: u32 = 4;
/// More than what the division of a length into parts may lose.
const ROUNDING: Duration = Duration::from_micros(1);
/// Bounds of a padding packet, octets on the wire.
const MIN_OCTETS: usize = 120;
const MAX_OCTETS: usize = 1_150;
/// After so long without a result, a probe is taken for failed.
const RESULT_TIMEOUT: Duration = Duration::from_secs(1);
/// Time between attempts: doubles with each failure (libwebrtc: always 5 s).
const MIN_PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// No attempt for so long after the last sign of congestion …
const CALM: Duration = Duration::from_millis(1_500);
/// … and none is needed for a reason after so long without: near a limit the estimate would have met it again.
const LONG_CALM: Duration = Duration::from_secs(4);
/// An estimate that fell below this share of its best is worth an attempt (libwebrtc `kBitrateDropThreshold`).
const DROPPED: f64 = 0.66;
/// The best is forgotten by so much with each failed attempt.
const FORGETTING: f64 = 0.95;
/// A probe that meets a limit near which we already were proves room only from this factor on: with another flow beside
/// ours, it shows the larger share that pushing harder would take.
const PROOF: f64 = 1.5;
/// Nothing is gained by a probe closer to the maximum than this.
const NEAR_MAX: f64 = 0.95;

/// What decides about probing, after each feedback.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    /// Bits per second.
    pub(super) estimate: f64,
    /// The application sends much less than it may.
    pub(super) supply_is_low: bool,
    /// The queue grows.
    pub(super) overused: bool,
    /// Packets are lost because of what we send.
    pub(super) saturated: bool,
}

#[derive(Debug)]
struct Running {
    id: u32,
    bits_per_second: f64,
    length: Duration,
    since: Instant,
    sent_octets: usize,
    sent_packets: usize,
    /// Parts of its length in which something has left.
    slots: usize,
}

impl Running {
    fn budget(&self) -> usize {
        (self.bits_per_second * self.length.as_secs_f64() / 8.0) as usize
    }

    /// Octets of one padding packet.
    fn size(&self) -> usize {
        let rest = self.budget().saturating_sub(self.sent_octets);
        (self.budget() / PACKETS).min(rest).clamp(MIN_OCTETS, MAX_OCTETS)
    }

    fn is_complete(&self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.since);
        let sent = self.sent_octets >= self.budget() && self.sent_packets >= PACKETS;
        (sent && elapsed >= self.length * 2 / 3) || elapsed >= self.length * GIVE_UP
    }

    /// When the next packet of padding is due: when the octets fall behind the rate, or the packets behind their number.
    /// A picture may fill a probe at one stroke, but what it shows has to last for its length.
    fn due(&self) -> Instant {
        let by_octets = Duration::from_secs_f64(self.sent_octets as f64 * 8.0 / self.bits_per_second);
        let by_packets = self.length * (self.slots as u32) / PACKETS as u32;
        self.since + by_octets.min(by_packets)
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Probes {
    max: f64,
    next_id: u32,
    waiting: VecDeque<f64>,
    running: Option<Running>,
    /// Probes below this number are the first ones, or the first after the path was gone.
    first_until: u32,
    /// How long the next one will be.
    length: Duration,
    /// The rate of the newest probe, and until when its result is waited for.
    expected: Option<(f64, Instant)>,
    pause: Duration,
    next_attempt: Option<Instant>,
    state: Option<State>,
    troubled: Option<Instant>,
    /// The path has shown a limit.
    limited: bool,
    best: f64,
}

impl Probes {
    pub(super) fn new(max: f64) -> Self {
        Self {
            max,
            next_id: 0,
            waiting: VecDeque::new(),
            running: None,
            first_until: 0,
            length: LENGTH,
            expected: None,
            pause: MIN_PAUSE,
            next_attempt: None,
            state: None,
            troubled: None,
            limited: false,
            best: 0.0,
        }
    }

    /// The path is there: probes from the first estimate upwards.
    pub(super) fn begin(&mut self, now: Instant, estimate: f64) {
        self.push(estimate, estimate * FIRST_SCALE);
        self.first_until = self.next_id + self.waiting.len() as u32;
        self.next_attempt = Some(now + MIN_PAUSE);
    }

    /// The path is there again, and once carried `former`.
    pub(super) fn return_to(&mut self, now: Instant, former: f64) {
        self.cancel();
        self.best = self.best.max(former);
        self.length = LENGTH;
        self.push(0.0, former / 2.0);
        self.push(0.0, former);
        self.pause = MIN_PAUSE;
        self.next_attempt = Some(now + MIN_PAUSE);
        self.troubled = None;
    }

    /// The highest estimate, as far as it is remembered: bits per second.
    pub(super) fn best(&self) -> f64 {
        self.best
    }

    fn push(&mut self, estimate: f64, bits_per_second: f64) {
        let rate = bits_per_second.min(self.max * BEYOND_MAX);
        let highest = self.waiting.back().copied().unwrap_or(0.0);
        if estimate < self.max * NEAR_MAX && rate > highest {
            self.waiting.push_back(rate);
        }
    }

    /// Nothing of what was planned is sent.
    pub(super) fn cancel(&mut self) {
        self.waiting.clear();
        self.running = None;
        self.expected = None;
    }

    /// A packet of so many octets leaves; returns the probe that it is part of.
    pub(super) fn handle_departure(
        &mut self,
        now: Instant,
        octets: usize,
        clusters: &mut Clusters,
    ) -> Option<u32> {
        self.advance(now, clusters);
        let running = self.running.as_mut()?;
        running.sent_octets += octets;
        running.sent_packets += 1;
        let elapsed = now.saturating_duration_since(running.since) + ROUNDING;
        let part = elapsed.as_secs_f64() / running.length.as_secs_f64();
        running.slots = running.slots.max((part * PACKETS as f64) as usize + 1);
        let id = running.id;
        clusters.handle_departure(id, octets);
        Some(id)
    }

    /// Ends the running probe when it is complete, and begins the next one.
    fn advance(&mut self, now: Instant, clusters: &mut Clusters) {
        if self.running.as_ref().is_some_and(|running| running.is_complete(now))
            && let Some(running) = self.running.take()
        {
            clusters.complete(running.id);
            self.expected = Some((running.bits_per_second, now + RESULT_TIMEOUT));
        }
        if self.running.is_none()
            && let Some(bits_per_second) = self.waiting.pop_front()
        {
            let id = self.next_id;
            self.next_id = self.next_id.wrapping_add(1);
            let length = if self.limited { self.length.max(SHARED_LENGTH) } else { self.length };
            self.running = Some(Running {
                id,
                bits_per_second,
                length,
                since: now,
                sent_octets: 0,
                sent_packets: 0,
                slots: 0,
            });
        }
    }

    /// Lets time pass.
    pub(super) fn handle_timeout(&mut self, now: Instant, clusters: &mut Clusters) {
        self.advance(now, clusters);
        if let Some((_, until)) = self.expected
            && now >= until
        {
            self.fail(now);
        }
        if self.running.is_none()
            && self.expected.is_none()
            && self.next_attempt.is_some_and(|attempt| attempt <= now)
        {
            self.next_attempt = Some(now + self.pause);
            self.attempt(now, clusters);
        }
    }

    /// There are signs that the path carries more: the next attempt is made now, whatever went before.
    pub(super) fn hurry(&mut self, now: Instant, clusters: &mut Clusters) {
        let Some(state) = self.state.filter(|state| !state.overused && !state.saturated) else { return };
        if self.running.is_none() && self.expected.is_none() && self.waiting.is_empty() {
            self.next_attempt = Some(now + self.pause);
            self.push(state.estimate, state.estimate * SCALE);
            self.advance(now, clusters);
        }
    }

    fn attempt(&mut self, now: Instant, clusters: &mut Clusters) {
        let Some(state) = self.state else { return };
        let calm = |time| self.troubled.is_none_or(|at| now.saturating_duration_since(at) >= time);
        let worthwhile = state.supply_is_low || calm(LONG_CALM) || state.estimate < self.best * DROPPED;
        if calm(CALM) && worthwhile {
            self.push(state.estimate, state.estimate * SCALE);
            self.advance(now, clusters);
        }
    }

    /// Octets of one packet of padding that should leave now; to be asked again until there is none.
    pub(super) fn poll_padding(&mut self, now: Instant) -> Option<usize> {
        let running = self.running.as_ref()?;
        (running.due() <= now && !running.is_complete(now)).then(|| running.size())
    }

    /// When something is to be done.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match &self.running {
            Some(running) => {
                let full = running.sent_octets >= running.budget() && running.sent_packets >= PACKETS;
                let end = if full { running.length * 2 / 3 } else { running.length * GIVE_UP };
                Some(running.due().min(running.since + end))
            }
            None => self.expected.map_or(self.next_attempt, |(_, until)| {
                Some(self.next_attempt.map_or(until, |attempt| attempt.max(until)))
            }),
        }
    }

    /// What is known after a feedback.
    pub(super) fn handle_state(&mut self, now: Instant, state: &State) {
        if state.overused || state.saturated {
            self.troubled = Some(now);
            self.limited = true;
            self.waiting.clear();
        }
        self.state = Some(*state);
    }

    /// The estimate changed.
    pub(super) fn note_estimate(&mut self, now: Instant, before: f64, after: f64) {
        self.best = self.best.max(after);
        if after < before * DROPPED {
            self.pause = MIN_PAUSE;
            self.next_attempt = Some(now + CALM);
        }
    }

    /// Whether what a probe showed is to be followed.
    pub(super) fn believes(&self, probe: &Cluster, estimate: f64, knows_capacity: bool) -> bool {
        let proof = if probe.saturated && knows_capacity { PROOF } else { 1.0 };
        probe.bits_per_second > estimate * proof
    }

    /// The probe is one of those before anything was known of the path.
    pub(super) fn is_first(&self, id: u32) -> bool {
        id < self.first_until
    }

    /// A probe's result has been used, or not; `estimate` is the one after it.
    pub(super) fn handle_result(&mut self, now: Instant, probe: &Cluster, estimate: f64) {
        if !self.is_newest(probe.id) {
            return;
        }
        let Some((tried, _)) = self.expected.take() else { return };
        if probe.bits_per_second >= tried * FURTHER && estimate >= probe.bits_per_second * FURTHER {
            (self.pause, self.length) = (MIN_PAUSE, LENGTH);
            self.push(estimate, estimate * SCALE);
            self.next_attempt = Some(now + MIN_PAUSE);
        } else {
            self.fail(now);
        }
    }

    /// So much of a probe was lost that it tells nothing.
    pub(super) fn handle_spoilt(&mut self, now: Instant, id: u32) {
        if self.is_newest(id) && self.expected.is_some() {
            tracing::debug!(id, "a probe is lost");
            self.fail(now);
        }
    }

    /// With more of them on their way the newest decides.
    fn is_newest(&self, id: u32) -> bool {
        self.running.is_none() && self.waiting.is_empty() && id.wrapping_add(1) == self.next_id
    }

    fn fail(&mut self, now: Instant) {
        self.expected = None;
        self.best *= FORGETTING;
        // A path that has shown no limit is only hard to measure.
        self.next_attempt = Some(now + if self.limited { self.pause } else { self.pause / 4 });
        self.pause = (self.pause * 2).min(MAX_PAUSE);
        self.length = if self.limited { (self.length * 2).min(MAX_LENGTH) } else { MAX_LENGTH };
    }

    /// The rate of the probe that is running, bits per second.
    pub(super) fn running_bits_per_second(&self) -> Option<f64> {
        self.running.as_ref().map(|running| running.bits_per_second)
    }
}
