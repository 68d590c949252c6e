//! The playout buffer: RTP packets in as they come, an even stream of sound out.
//!
//! Sans-IO: the `audio` thread hands packets to [`Playout::insert`] and takes blocks with [`Playout::pull`]; `now` is
//! a parameter. It never sleeps, logs or reads a clock, and holds at most `MAX_PACKETS` packets.
//!
//! The *point* is the timestamp of the next sample to leave. How late the point is against the fastest packets is the
//! playout delay; it is kept near the target of [`delay`].
//!
//! * A packet that is not there when its turn comes may be lost or late, and nobody knows which. The decoder makes up
//!   sound meanwhile, which is *owed*: if the packet still comes and the delay allows it, it is played whole and the
//!   delay has grown; else as much of it is skipped as was made up.
//! * A loss is repaired from the packet after it (in-band FEC, RFC 6716 section 2.1.7) if that came in time.
//! * Where much is lost, a packet carries another one whole ([`redundancy`]): if that is missing, it has come now.
//! * A gap in the timestamps without one in the sequence numbers is a pause of the sender (DTX), not loss. Within it
//!   the delay goes to its target unheard. Elsewhere the [`tape`] is stretched, best between words.

mod decoder;
mod delay;
mod figures;
mod production;
mod tape;
#[cfg(test)]
mod tests;
mod timeline;

use super::{BLOCK, FRAME, SAMPLE_RATE, redundancy};
use crate::media::ports::ReceivedPacket;
use bytes::Bytes;
pub use decoder::FrameDecoder;
use delay::{Arrival, DelayEstimator, DelayFloor};
pub use figures::PlayoutStats;
use std::collections::BTreeMap;
use std::time::Instant;
use tape::Tape;
use timeline::{Place, Timeline};

/// Packets held: 4 s at 20 ms. When full, the oldest is dropped.
pub(crate) const MAX_PACKETS: usize = 200;
/// Most that [`Playout::set_extra_delay_ms`] adds: what a listener bears for the sake of lips in time with words.
pub(crate) const MAX_EXTRA_DELAY_MS: f64 = 500.0;
/// Longest Opus packet, samples: 120 ms (RFC 6716 section 3.2.5).
const MAX_PACKET_SAMPLES: usize = 5760;
/// Excess from which sound is skipped: nobody wants to catch up with a second of it.
const SKIP_MS: f64 = 1000.0;
/// A packet that comes this much before it can be is of a new timeline, milliseconds.
const IMPOSSIBLE_MS: f64 = -500.0;

struct Packet {
    timestamp: i64,
    samples: usize,
    payload: Bytes,
}

/// What leaves the buffer next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Playing {
    /// Of the stream.
    pub ssrc: u32,
    /// RTP timestamp of the next sample.
    pub timestamp: u32,
}

/// The buffer.
pub struct Playout<D> {
    decoder: D,
    delay: DelayEstimator,
    floor: DelayFloor,
    timeline: Option<Timeline>,
    packets: BTreeMap<i64, Packet>,
    /// Decoded; ends at `decoded_to`.
    tape: Tape,
    scratch: Vec<f32>,
    /// Length of the last packet, the guess for missing ones.
    frame: usize,
    /// The sender announced a pause.
    paused: bool,
    /// Samples made up in a row.
    made_up: usize,
    /// Of them, those for which time has not gone on yet.
    owed: usize,
    since_stretch: usize,
    /// How late the point was at the last pull.
    held_ms: Option<f64>,
    extra_ms: f64,
    stats: PlayoutStats,
}

fn ms(samples: i64) -> f64 {
    samples as f64 * 1e3 / f64::from(SAMPLE_RATE)
}

fn samples_of(ms: f64) -> usize {
    (ms.max(0.0) * f64::from(SAMPLE_RATE) / 1e3) as usize
}

impl<D: FrameDecoder> Playout<D> {
    /// A buffer that decodes with `decoder`.
    pub fn new(decoder: D) -> Self {
        Self {
            decoder,
            delay: DelayEstimator::new(),
            floor: DelayFloor::default(),
            timeline: None,
            packets: BTreeMap::new(),
            tape: Tape::new(),
            scratch: vec![0.0; MAX_PACKET_SAMPLES],
            frame: FRAME,
            paused: false,
            made_up: 0,
            owed: 0,
            since_stretch: 0,
            held_ms: None,
            extra_ms: 0.0,
            stats: PlayoutStats::default(),
        }
    }

    /// Figures since the beginning.
    pub fn stats(&self) -> PlayoutStats {
        self.stats
    }

    /// What waits to be played, milliseconds: decoded or not, up to the newest packet.
    pub fn buffered_ms(&self) -> f64 {
        let decoded = ms(self.tape.len() as i64);
        let Some(timeline) = &self.timeline else { return decoded };
        let end = self.packets.values().next_back().map(|last| last.timestamp + last.samples as i64);
        decoded + ms(end.map_or(0, |end| (end - timeline.decoded_to).max(0)))
    }

    /// How long sound is to be held back after the fastest packets' arrival, milliseconds.
    pub fn target_ms(&self) -> f64 {
        self.delay.target_ms() + self.extra_ms
    }

    /// How long sound is held back at present, milliseconds; `None` before anything was played.
    pub fn delay_ms(&self) -> Option<f64> {
        self.held_ms
    }

    /// What leaves with the next [`Self::pull`]; `None` while nothing is played.
    pub fn playing(&self) -> Option<Playing> {
        let timeline = self.timeline.as_ref().filter(|timeline| timeline.started)?;
        let point = timeline.decoded_to - self.tape.len() as i64;
        Some(Playing { ssrc: timeline.ssrc, timestamp: point as u32 })
    }

    /// Holds sound back for so much longer than the network needs, milliseconds, up to 500: sound
    /// waits for a picture that comes later. The delay moves there gently, up to 15 ms every 60 ms.
    pub fn set_extra_delay_ms(&mut self, extra_ms: f64) {
        self.extra_ms = if extra_ms.is_finite() { extra_ms.clamp(0.0, MAX_EXTRA_DELAY_MS) } else { 0.0 };
    }

    /// Takes a packet, and the earlier one that it may carry. `arrived` in it is the time at the socket.
    pub fn insert(&mut self, packet: &ReceivedPacket) {
        let Some((own, earlier)) = redundancy::unwrap(&packet.payload) else {
            return self.insert_one(packet, false);
        };
        self.insert_one(&ReceivedPacket { payload: own, ..packet.clone() }, false);
        if earlier.timestamp > redundancy::REACH {
            return;
        }
        let earlier = ReceivedPacket {
            sequence: packet.sequence.wrapping_sub(earlier.packets),
            timestamp: packet.timestamp.wrapping_sub(earlier.timestamp),
            payload: earlier.payload,
            ..packet.clone()
        };
        if self.misses(&earlier) {
            self.stats.carried += 1;
            self.insert_one(&earlier, true);
        }
    }

    /// Whether this packet has not come and may still be played.
    fn misses(&mut self, packet: &ReceivedPacket) -> bool {
        let Some(timeline) = self.timeline.as_mut().filter(|timeline| timeline.ssrc == packet.ssrc) else {
            return false;
        };
        match timeline.place(packet.sequence, packet.timestamp) {
            Place::At(sequence, timestamp) => {
                timestamp >= timeline.decoded_to && !self.packets.contains_key(&sequence)
            }
            Place::Doubtful | Place::Elsewhere => false,
        }
    }

    fn insert_one(&mut self, packet: &ReceivedPacket, carried: bool) {
        let samples = self.decoder.samples(&packet.payload).unwrap_or(0);
        if samples == 0 || samples > MAX_PACKET_SAMPLES {
            self.stats.malformed += 1;
            return;
        }
        if self.timeline.as_ref().is_none_or(|timeline| timeline.ssrc != packet.ssrc) {
            self.begin(packet);
        }
        let Some((sequence, timestamp)) = self.place(packet, carried) else { return };
        let Some(timeline) = &mut self.timeline else { return };
        timeline.begin_earlier(sequence, timestamp);
        if timestamp + samples as i64 <= timeline.decoded_to {
            self.stats.late += 1;
            if timeline.note_late(sequence) {
                self.begin(packet);
                let head = self.timeline.as_ref().map_or((0, 0), Timeline::head);
                self.store(packet, head.0, head.1, samples);
            }
            return;
        }
        timeline.note_in_time();
        self.store(packet, sequence, timestamp, samples);
    }

    fn store(&mut self, packet: &ReceivedPacket, sequence: i64, timestamp: i64, samples: usize) {
        let carried = self.decoder.carries_before(&packet.payload) as i64;
        let stored = Packet { timestamp, samples, payload: packet.payload.clone() };
        if self.packets.insert(sequence, stored).is_some() {
            self.stats.duplicates += 1;
            return;
        }
        self.stats.packets += 1;
        let next_sequence = self.timeline.as_ref().map_or(sequence, |timeline| timeline.next_sequence);
        let mut lost = sequence - 1;
        while lost >= next_sequence
            && (sequence - lost) * samples as i64 <= carried
            && !self.packets.contains_key(&lost)
        {
            self.delay.observe_repair(packet.arrived, timestamp - (sequence - lost) * samples as i64);
            lost -= 1;
        }
        if self.packets.len() > MAX_PACKETS {
            self.packets.pop_first();
        }
    }

    /// Extends sequence number and timestamp beyond their wrap and feeds the delay. `None`: the packet is not to be
    /// trusted yet.
    fn place(&mut self, packet: &ReceivedPacket, carried: bool) -> Option<(i64, i64)> {
        let timeline = self.timeline.as_mut()?;
        let newest = timeline.head().0;
        match timeline.place(packet.sequence, packet.timestamp) {
            Place::At(sequence, timestamp)
                if self.delay.lateness_ms(packet.arrived, timestamp) >= IMPOSSIBLE_MS =>
            {
                timeline.advance(sequence, timestamp);
                if carried || sequence > newest {
                    self.delay.observe(packet.arrived, timestamp, Arrival::InOrder);
                } else if self.decoder.carries_sound(&packet.payload) {
                    self.delay.observe(packet.arrived, timestamp, Arrival::OutOfOrder);
                }
                Some((sequence, timestamp))
            }
            Place::Doubtful => {
                self.stats.malformed += 1;
                None
            }
            Place::At(..) | Place::Elsewhere => {
                self.begin(packet);
                self.timeline.as_ref().map(Timeline::head)
            }
        }
    }

    /// Begins a timeline with this packet at its head.
    fn begin(&mut self, packet: &ReceivedPacket) {
        if self.timeline.is_some() {
            self.stats.restarts += 1;
        }
        if self.timeline.as_ref().is_none_or(|timeline| timeline.ssrc != packet.ssrc) {
            self.decoder.reset();
        }
        let timeline = Timeline::new(packet.ssrc, packet.sequence, packet.timestamp);
        self.delay = DelayEstimator::new();
        self.delay.observe(packet.arrived, timeline.head().1, Arrival::InOrder);
        self.floor = DelayFloor::default();
        self.timeline = Some(timeline);
        self.packets.clear();
        self.tape.clear();
        self.paused = false;
        self.owed = 0;
        self.held_ms = None;
    }

    /// Fills `out` with the next samples.
    pub fn pull(&mut self, now: Instant, out: &mut [f32]) {
        let target = self.target_ms();
        let Some(timeline) = self.timeline.as_mut().filter(|_| !out.is_empty()) else {
            out.fill(0.0);
            return;
        };
        let point = timeline.decoded_to - self.tape.len() as i64;
        let delay = self.delay.lateness_ms(now, point);
        if !timeline.started {
            if delay < target {
                out.fill(0.0);
                return;
            }
            timeline.started = true;
        }
        if delay > target + SKIP_MS && !self.packets.is_empty() {
            let by = samples_of(delay - target);
            timeline.decoded_to = point + by as i64;
            self.tape.clear();
            self.owed = 0;
            self.floor = DelayFloor::default();
            self.drop_stale();
        } else if self.owed == 0 {
            // What is owed has no delay: nobody knows yet whether it was lost.
            self.held_ms = Some(delay);
            // The next packet is needed by the pull that what is on the tape does not suffice for.
            let enough_for = self.tape.len() / out.len() * out.len();
            let needed = self.delay.lateness_ms(now, timeline.decoded_to) + ms(enough_for as i64);
            self.floor.observe(needed, out.len());
            self.stretch(target, out.len());
        }
        while self.tape.len() < out.len() {
            self.produce(now, target);
        }
        self.tape.play(out);
        self.since_stretch += out.len();
        self.stats.played += out.len() as u64;
    }
}

const _: () = assert!(BLOCK * 2 == FRAME);
