//! A network in virtual time: calls with sound, pictures, pacer and probes, that share one bottleneck.

use super::camera::Camera;
use super::path::{Path, Random};
use super::viewer::Viewer;
use crate::media::ports::VideoCodec;
use crate::peer::pacer::{Accepted, Pacer, Payload, Picture};
use crate::peer::rate::{Allocation, Estimator, Outcome, ReportInterval};
use bytes::Bytes;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
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

/// Which packet of which picture.
type Part = (u32, usize);

struct Flying {
    departed: Duration,
    arrived: Option<Duration>,
    octets: usize,
    cluster: Option<u32>,
    media: bool,
    part: Option<Part>,
}

/// One call: a sender that follows its estimate, and its receiver.
pub(super) struct Flow {
    pub(super) estimator: Estimator,
    /// When it begins.
    from: Duration,
    /// The encoder makes no more than this, bits per second.
    pub(super) supply: f64,
    /// Pictures as a real encoder makes them; without it they are made up.
    camera: Option<Camera>,
    pub(super) viewer: Viewer,
    /// When each packet of sound left, and how long it took, if it arrived.
    pub(super) sound: Vec<(Duration, Option<Duration>)>,
    pacer: Pacer,
    allocation: Allocation,
    next_sound: Duration,
    next_picture: Duration,
    interval: ReportInterval,
    arriving: BinaryHeap<Reverse<(Duration, usize)>>,
    first_picture: bool,
    flying: BTreeMap<u64, Flying>,
    next_number: u64,
    /// All before this was reported, one way or the other; these of it arrived late.
    reported: u64,
    lost: BTreeMap<u64, Flying>,
    feedback: VecDeque<(Duration, Vec<Outcome>)>,
    /// Parts of pictures on their way, by arrival.
    parts: BinaryHeap<Reverse<(Duration, Part)>>,
    /// Parts that are asked for again, and when that is heard.
    requests: VecDeque<(Duration, Part, usize)>,
    numbers: u32,
    keyframe: u32,
    held: bool,
    given_up: u32,
    /// When a wish for a keyframe is heard.
    wish: Option<Duration>,
    /// The part that the pacer gave last.
    last: Part,
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
            pacer: Pacer::new(estimator.pace_bits_per_second()),
            estimator,
            from,
            supply: f64::INFINITY,
            camera: None,
            viewer: Viewer::default(),
            sound: Vec::new(),
            allocation: Allocation::default(),
            next_sound: from,
            next_picture: from,
            interval: ReportInterval::default(),
            arriving: BinaryHeap::new(),
            first_picture: true,
            flying: BTreeMap::new(),
            next_number: 0,
            reported: 0,
            lost: BTreeMap::new(),
            feedback: VecDeque::new(),
            parts: BinaryHeap::new(),
            requests: VecDeque::new(),
            numbers: 0,
            keyframe: 0,
            held: false,
            given_up: 0,
            wish: None,
            last: (0, 0),
            arrivals: Vec::new(),
            estimates: Vec::new(),
            padding: 0,
        }
    }

    /// A whole call: what the encoder makes, and what is seen of it.
    pub(super) fn with_camera(from: Duration, max: f64, seed: u64) -> Self {
        Self { camera: Some(Camera::new(seed)), ..Self::new(from, max) }
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
    next_chatter: Duration,
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
            next_chatter: Duration::ZERO,
            random: Random::new(1),
        }
    }

    pub(super) fn run(&mut self, until: Duration) {
        while self.now < until {
            self.stall();
            self.chatter();
            let mut flows = std::mem::take(&mut self.flows);
            let now = self.now;
            for flow in flows.iter_mut().filter(|flow| flow.from <= now) {
                self.produce(flow);
                self.send(flow);
                self.report(flow);
                self.hear(flow);
                self.view(flow);
            }
            self.flows = flows;
            self.now += STEP;
        }
    }

    /// What the other direction's receiver says, and checks of the path.
    fn chatter(&mut self) {
        if self.path.chatter > 0 && self.now >= self.next_chatter {
            self.next_chatter = self.now + FEEDBACK;
            let octets = self.path.chatter;
            let _lost_or_not = self.path.carry(self.now, octets);
        }
    }

    fn view(&mut self, flow: &mut Flow) {
        while flow.parts.peek().is_some_and(|Reverse((at, _))| *at <= self.now)
            && let Some(Reverse((at, (number, index)))) = flow.parts.pop()
        {
            flow.viewer.handle_packet(self.epoch, at, number, index);
        }
        flow.viewer.show(self.epoch, self.now);
        if flow.viewer.wants_keyframe(self.now) {
            flow.wish = self.path.back(self.now).map(|back| self.now + back).or(flow.wish);
        }
        if flow.wish.is_some_and(|at| at <= self.now) {
            flow.wish = None;
            flow.camera.iter_mut().for_each(Camera::want_keyframe);
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
            let arrived = self.depart(flow, octets + OVERHEAD, true, None);
            flow.sound.push((self.now, arrived.map(|at| at - self.now)));
        }
        if flow.next_picture <= self.now {
            flow.next_picture += Duration::from_micros(33_333);
            let pace = flow.estimator.pace_bits_per_second();
            flow.pacer.set_pace(pace, flow.estimator.probe_bits_per_second());
            let video = shares.video.min(flow.supply);
            if flow.camera.is_some() {
                self.capture(flow, video);
            } else if video > 0.0 {
                let mut octets = video / 30.0 / 8.0 * (0.7 + 0.6 * self.random.share());
                if std::mem::take(&mut flow.first_picture) {
                    octets *= 6.0;
                }
                // A queue that is too old waits for a keyframe; here every picture is taken for one.
                let _accepted = flow.pacer.handle_frame(now, packets(octets as usize), picture(0, now), true);
            }
        }
    }

    fn capture(&mut self, flow: &mut Flow, bits_per_second: f64) {
        let now = self.epoch + self.now;
        let Some(camera) = &mut flow.camera else { return };
        let held = flow.estimator.is_congested(now);
        if !std::mem::replace(&mut flow.held, held) && held {
            flow.given_up = flow.numbers;
        }
        let Some(picture) = camera.capture(now, bits_per_second, held) else { return };
        let packets = packets(picture.octets);
        let (number, count) = (flow.numbers, packets.len());
        match flow.pacer.handle_frame(now, packets, self::picture(number, now), picture.keyframe) {
            Accepted::Queued => {
                flow.numbers += 1;
                flow.keyframe = if picture.keyframe { number } else { flow.keyframe };
                flow.viewer.expect(number, self.now, picture.height, picture.keyframe, count);
            }
            Accepted::NeedsKeyframe => camera.want_keyframe(),
        }
    }

    fn send(&mut self, flow: &mut Flow) {
        let now = self.epoch + self.now;
        while let Some(packet) = flow.pacer.poll_packet(now) {
            let Payload { data, picture: Picture { timestamp, .. }, first, .. } = packet;
            flow.last = if first { (timestamp, 0) } else { (flow.last.0, flow.last.1 + 1) };
            let part = flow.camera.is_some().then_some(flow.last);
            self.depart(flow, data.len() + OVERHEAD, true, part);
        }
        while flow.requests.front().is_some_and(|(at, ..)| *at <= self.now)
            && let Some((_, part, octets)) = flow.requests.pop_front()
        {
            // Whoever has the keyframe asks for nothing before it, and what was lost to congestion is not sent again.
            if part.0 < flow.keyframe || part.0 < flow.given_up || flow.estimator.is_congested(now) {
                continue;
            }
            flow.pacer.handle_unpaced(now, octets);
            self.depart(flow, octets, true, Some(part));
        }
        if flow.estimator.poll_timeout().is_some_and(|at| at <= now) {
            flow.estimator.handle_timeout(now);
        }
        while let Some(octets) = flow.estimator.poll_padding(now) {
            flow.padding += octets;
            self.depart(flow, octets, false, None);
        }
    }

    fn depart(
        &mut self,
        flow: &mut Flow,
        octets: usize,
        media: bool,
        part: Option<Part>,
    ) -> Option<Duration> {
        let cluster = flow.estimator.handle_departure(self.epoch + self.now, octets);
        let mut arrived = self.path.carry(self.now, octets);
        if let Some(arrived) = &mut arrived
            && *arrived < self.stalled_until
        {
            *arrived = self.stalled_until;
        }
        let flying = Flying { departed: self.now, arrived, octets, cluster, media, part };
        flow.flying.insert(flow.next_number, flying);
        flow.next_number += 1;
        if let Some(at) = arrived {
            flow.arriving.push(Reverse((at, octets)));
        }
        if let (Some(at), Some(part)) = (arrived, part) {
            flow.parts.push(Reverse((at, part)));
        }
        arrived
    }

    /// The receiver tells what has arrived since the last time, and what is missing before it.
    fn report(&mut self, flow: &mut Flow) {
        while flow.arriving.peek().is_some_and(|Reverse((at, _))| *at <= self.now)
            && let Some(Reverse((at, octets))) = flow.arriving.pop()
        {
            flow.interval.handle_packet(self.epoch + at, octets);
        }
        if !flow.interval.handle_timeout(self.epoch + self.now) {
            return;
        }
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
                    if let Some(part) = flying.part {
                        flow.requests.push_back((self.now + self.path.delay, part, flying.octets));
                    }
                    flow.lost.insert(number, flying);
                }
            }
            flow.reported = newest + 1;
        }
        outcomes.sort_by_key(|outcome| outcome.departed);
        if let Some(back) = self.path.back(self.now).filter(|_| !outcomes.is_empty()) {
            flow.feedback.push_back((self.now + back, outcomes));
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

fn picture(timestamp: u32, captured: Instant) -> Picture {
    Picture { codec: VideoCodec::H264, timestamp, captured }
}

/// The packets of a picture.
fn packets(octets: usize) -> Vec<Bytes> {
    let count = octets.div_ceil(PAYLOAD).max(1);
    vec![Bytes::from(vec![0; octets / count]); count]
}
