//! The playout buffer: RTP packets in as they come, an even stream of sound out.
//!
//! Sans-IO: the `audio` thread hands packets to [`Playout::insert`] and takes blocks with [`Playout::pull`]; `now` is
//! a parameter. It never sleeps, logs or reads a clock, and holds at most [`MAX_PACKETS`] packets.
//!
//! The *point* is the timestamp of the next sample to leave. How late the point is against the fastest packets is the
//! playout delay; it is kept near the target of [`delay`] by [`stretch`]ing the sound. What is not there when its
//! turn comes is repaired from the packet after it (in-band FEC), else made up by the decoder, and skipped should it
//! come later. A gap in the timestamps without one in the sequence numbers is a pause of the sender (DTX), not loss.

mod decoder;
mod delay;
mod figures;
mod stretch;
#[cfg(test)]
mod tests;

use super::{BLOCK, FRAME};
use crate::media::ports::ReceivedPacket;
use bytes::Bytes;
pub(crate) use decoder::FrameDecoder;
use delay::{DelayEstimator, DelayFloor};
use figures::PlayoutStats;
use std::collections::BTreeMap;
use std::time::Instant;

/// Packets held: 4 s at 20 ms. When full, the oldest is dropped.
pub(crate) const MAX_PACKETS: usize = 200;
/// Longest Opus packet, samples: 120 ms (RFC 6716 section 3.2.5).
const MAX_PACKET_SAMPLES: usize = 5760;
/// Longest stretch made up at once: 20 ms.
const CONCEALED_AT_ONCE: usize = FRAME;
/// What was made up fades from here on ...
const FADE_FROM: usize = 2880;
/// ... and is silent from here on: 60 and 200 ms, after which a voice has nothing to do with its past.
const FADE_TO: usize = 9600;
/// A pause of the sender is filled with the decoder's comfort noise this long (1 s; DTX sends every 400 ms), ...
const PAUSE_FADE_FROM: usize = 48_000;
/// Length of the fade back in, so that sound does not begin with a click: 5 ms.
const FADE_IN: usize = 240;
/// The delay may exceed its target this much, milliseconds, before sound is shortened ...
const SLACK_MS: f64 = 15.0;
/// ... and fall below it this much before it is lengthened.
const SHORTAGE_MS: f64 = 5.0;
/// Excess from which shortening hurries: more often, and at worse matches.
const HURRY_MS: f64 = 80.0;
/// Excess from which sound is skipped: nobody wants to catch up with a second of it.
const SKIP_MS: f64 = 1000.0;
/// Samples between two stretches: 60 ms, hurried 20 ms.
const STRETCH_PAUSE: usize = 2880;
const STRETCH_PAUSE_HURRIED: usize = 960;
/// Correlation that a seam needs (NetEq's values); hurried, less.
const SEAM_CORRELATION: f32 = 0.9;
const SEAM_CORRELATION_HURRIED: f32 = 0.5;
/// Packets in a row that come too late before the timeline is taken to have moved, and begins anew: 0.5 s.
const LATE_RUN: u32 = 25;
/// A packet that comes this much before it can be is of a new timeline, milliseconds.
const IMPOSSIBLE_MS: f64 = -500.0;
/// Sequence numbers may jump this far (`MAX_DROPOUT` of RFC 3550 appendix A.1), or back this far (`MAX_MISORDER`).
const MAX_DROPOUT: i64 = 3000;
const MAX_MISORDER: i64 = 100;

struct Packet {
    timestamp: i64,
    samples: usize,
    payload: Bytes,
}

/// One unbroken run of a sender's clock.
struct Timeline {
    ssrc: u32,
    /// Newest packet: extended sequence number and timestamp.
    newest: (i64, i64),
    /// Sequence number that continues what was decoded.
    next_sequence: i64,
    /// Timestamp after what was decoded or made up.
    decoded_to: i64,
    /// Sequence number that would confirm a jump.
    probation: Option<u16>,
    late_run: u32,
    started: bool,
}

/// The buffer.
pub(crate) struct Playout<D> {
    decoder: D,
    delay: DelayEstimator,
    floor: DelayFloor,
    timeline: Option<Timeline>,
    packets: BTreeMap<i64, Packet>,
    /// Decoded, not yet played; ends at `decoded_to`.
    queue: Vec<f32>,
    scratch: Vec<f32>,
    /// Length of the last packet, the guess for missing ones.
    frame: usize,
    /// The sender announced a pause.
    paused: bool,
    /// Samples made up in a row.
    made_up: usize,
    since_stretch: usize,
    stats: PlayoutStats,
}

fn ms(samples: i64) -> f64 {
    samples as f64 * 1e3 / f64::from(super::SAMPLE_RATE)
}

fn samples_of(ms: f64) -> usize {
    (ms.max(0.0) * f64::from(super::SAMPLE_RATE) / 1e3) as usize
}

impl<D: FrameDecoder> Playout<D> {
    pub(crate) fn new(decoder: D) -> Self {
        Self {
            decoder,
            delay: DelayEstimator::new(),
            floor: DelayFloor::default(),
            timeline: None,
            packets: BTreeMap::new(),
            queue: Vec::new(),
            scratch: vec![0.0; MAX_PACKET_SAMPLES],
            frame: FRAME,
            paused: false,
            made_up: 0,
            since_stretch: 0,
            stats: PlayoutStats::default(),
        }
    }

    /// Figures since the beginning.
    pub(crate) fn stats(&self) -> PlayoutStats {
        self.stats
    }

    /// What waits to be played, milliseconds: decoded or not, up to the newest packet.
    pub(crate) fn buffered_ms(&self) -> f64 {
        let decoded = ms(self.queue.len() as i64);
        let Some(timeline) = &self.timeline else { return decoded };
        let end = self.packets.values().next_back().map(|last| last.timestamp + last.samples as i64);
        decoded + ms(end.map_or(0, |end| (end - timeline.decoded_to).max(0)))
    }

    /// How long sound is held back at present, milliseconds.
    #[cfg(test)]
    pub(crate) fn target_ms(&self) -> f64 {
        self.delay.target_ms()
    }

    /// Takes a packet. `arrived` in it is the time at the socket.
    pub(crate) fn insert(&mut self, packet: &ReceivedPacket) {
        let samples = self.decoder.samples(&packet.payload).unwrap_or(0);
        if samples == 0 || samples > MAX_PACKET_SAMPLES {
            self.stats.malformed += 1;
            return;
        }
        if self.timeline.as_ref().is_none_or(|timeline| timeline.ssrc != packet.ssrc) {
            self.begin(packet);
        }
        let Some((sequence, timestamp)) = self.place(packet) else { return };
        let Some(timeline) = &mut self.timeline else { return };
        if !timeline.started && sequence < timeline.next_sequence {
            // The first ones came out of order: begin with the earliest.
            timeline.next_sequence = sequence;
            timeline.decoded_to = timeline.decoded_to.min(timestamp);
        }
        if timestamp + samples as i64 <= timeline.decoded_to {
            let duplicate = sequence < timeline.next_sequence - MAX_MISORDER;
            timeline.next_sequence = timeline.next_sequence.max(sequence + 1);
            timeline.late_run += 1;
            self.stats.late += 1;
            if timeline.late_run >= LATE_RUN && !duplicate {
                self.begin(packet);
                self.store(packet, 0, 0, samples);
            }
            return;
        }
        timeline.late_run = 0;
        self.store(packet, sequence, timestamp, samples);
    }

    fn store(&mut self, packet: &ReceivedPacket, sequence: i64, timestamp: i64, samples: usize) {
        let stored = Packet { timestamp, samples, payload: packet.payload.clone() };
        if self.packets.insert(sequence, stored).is_some() {
            self.stats.duplicates += 1;
            return;
        }
        self.stats.packets += 1;
        if self.packets.len() > MAX_PACKETS {
            self.packets.pop_first();
        }
    }

    /// Extends sequence number and timestamp beyond their wrap and feeds the delay. `None`: the packet is not to be
    /// trusted yet.
    fn place(&mut self, packet: &ReceivedPacket) -> Option<(i64, i64)> {
        let timeline = self.timeline.as_mut()?;
        let (newest_sequence, newest_timestamp) = timeline.newest;
        let step = i64::from(packet.sequence.wrapping_sub(newest_sequence as u16) as i16);
        let timestamp_step = i64::from(packet.timestamp.wrapping_sub(newest_timestamp as u32) as i32);
        if !(-MAX_MISORDER..=MAX_DROPOUT).contains(&step) {
            // Two in order make the jump believable (RFC 3550 appendix A.1).
            if timeline.probation != Some(packet.sequence) {
                timeline.probation = Some(packet.sequence.wrapping_add(1));
                self.stats.malformed += 1;
                return None;
            }
            self.begin(packet);
            return self.timeline.as_ref().map(|timeline| timeline.newest);
        }
        timeline.probation = None;
        let (sequence, timestamp) = (newest_sequence + step, newest_timestamp + timestamp_step);
        if self.delay.lateness_ms(packet.arrived, timestamp) < IMPOSSIBLE_MS {
            self.begin(packet);
            return self.timeline.as_ref().map(|timeline| timeline.newest);
        }
        if step > 0 {
            timeline.newest = (sequence, timestamp);
        }
        self.delay.observe(packet.arrived, timestamp);
        Some((sequence, timestamp))
    }

    /// Begins a timeline with this packet at its head.
    fn begin(&mut self, packet: &ReceivedPacket) {
        if self.timeline.is_some() {
            self.stats.restarts += 1;
        }
        if self.timeline.as_ref().is_none_or(|timeline| timeline.ssrc != packet.ssrc) {
            self.decoder.reset();
        }
        let head = (i64::from(packet.sequence), i64::from(packet.timestamp));
        self.timeline = Some(Timeline {
            ssrc: packet.ssrc,
            newest: head,
            next_sequence: head.0,
            decoded_to: head.1,
            probation: None,
            late_run: 0,
            started: false,
        });
        self.packets.clear();
        self.queue.clear();
        self.delay = DelayEstimator::new();
        self.delay.observe(packet.arrived, head.1);
        self.floor = DelayFloor::default();
        self.paused = false;
    }

    /// Fills `out` with the next samples.
    pub(crate) fn pull(&mut self, now: Instant, out: &mut [f32]) {
        let target = self.delay.target_ms();
        let Some(timeline) = &mut self.timeline else {
            out.fill(0.0);
            return;
        };
        let point = timeline.decoded_to - self.queue.len() as i64;
        let delay = self.delay.lateness_ms(now, point);
        if !timeline.started {
            if delay < target {
                out.fill(0.0);
                return;
            }
            timeline.started = true;
        }
        if delay > target + SKIP_MS {
            let by = samples_of(delay - target);
            timeline.decoded_to = point + by as i64;
            self.queue.clear();
            self.floor = DelayFloor::default();
            self.drop_stale();
        } else {
            self.floor.observe(delay);
            self.stretch(target, out.len());
        }
        while self.queue.len() < out.len() {
            let point = self.decoded_to() - self.queue.len() as i64;
            let excess = self.delay.lateness_ms(now, point) - target;
            self.produce(excess);
        }
        out.copy_from_slice(&self.queue[..out.len()]);
        self.queue.drain(..out.len());
        self.since_stretch += out.len();
        self.stats.played += out.len() as u64;
    }

    fn decoded_to(&self) -> i64 {
        self.timeline.as_ref().map_or(0, |timeline| timeline.decoded_to)
    }

    /// Shortens or lengthens what waits if the delay has left its corridor.
    fn stretch(&mut self, target: f64, wanted: usize) {
        let Some(floor) = self.floor.value() else { return };
        let excess = floor - target;
        let hurried = excess > HURRY_MS;
        let pause = if hurried { STRETCH_PAUSE_HURRIED } else { STRETCH_PAUSE };
        if self.since_stretch < pause || (-SHORTAGE_MS..=SLACK_MS).contains(&excess) {
            return;
        }
        while self.queue.len() < stretch::NEEDED.max(wanted) && self.decode_next() {}
        let threshold = if hurried { SEAM_CORRELATION_HURRIED } else { SEAM_CORRELATION };
        let max_lag = samples_of(excess.abs());
        if excess > 0.0 {
            let cut = stretch::shorten(&mut self.queue, max_lag, threshold);
            self.account_stretch(-(cut as i64));
            self.stats.shortened += cut as u64;
        } else {
            let added = stretch::lengthen(&mut self.queue, max_lag, threshold);
            self.account_stretch(added as i64);
            self.stats.lengthened += added as u64;
        }
    }

    fn account_stretch(&mut self, samples: i64) {
        if samples != 0 {
            self.floor.shift(ms(samples));
            self.since_stretch = 0;
        }
    }

    /// Decodes the packet whose turn it is, if it is there.
    fn decode_next(&mut self) -> bool {
        self.drop_stale();
        let Some(timeline) = &self.timeline else { return false };
        match self.packets.first_key_value() {
            Some((_, packet)) if packet.timestamp <= timeline.decoded_to => {}
            _ => return false,
        }
        let Some((sequence, packet)) = self.packets.pop_first() else { return false };
        self.decode(sequence, &packet);
        true
    }

    /// Forgets packets whose time has passed altogether.
    fn drop_stale(&mut self) {
        let Some(timeline) = &mut self.timeline else { return };
        while let Some(entry) = self.packets.first_entry() {
            if entry.get().timestamp + entry.get().samples as i64 > timeline.decoded_to {
                break;
            }
            timeline.next_sequence = timeline.next_sequence.max(entry.key() + 1);
            entry.remove();
            self.stats.late += 1;
        }
    }

    fn decode(&mut self, sequence: i64, packet: &Packet) {
        let Some(timeline) = &mut self.timeline else { return };
        // What was made up already is skipped.
        let skip = (timeline.decoded_to - packet.timestamp) as usize;
        timeline.next_sequence = sequence + 1;
        timeline.decoded_to = packet.timestamp + packet.samples as i64;
        let decoded = self.decoder.decode(&packet.payload, &mut self.scratch);
        if decoded != Some(packet.samples) {
            self.stats.malformed += 1;
            self.make_up(packet.samples - skip, FADE_FROM);
            self.stats.concealed += (packet.samples - skip) as u64;
            return;
        }
        self.paused = !self.decoder.carries_sound(&packet.payload);
        self.frame = packet.samples;
        if self.made_up > FADE_FROM {
            for (i, sample) in self.scratch[skip..packet.samples].iter_mut().take(FADE_IN).enumerate() {
                *sample *= i as f32 / FADE_IN as f32;
            }
        }
        self.made_up = 0;
        self.queue.extend_from_slice(&self.scratch[skip..packet.samples]);
    }

    /// Brings at least one sample into the queue, whatever it takes. `excess`: how much the delay exceeds its target,
    /// milliseconds.
    fn produce(&mut self, excess: f64) {
        if self.decode_next() {
            return;
        }
        let Some(timeline) = &mut self.timeline else { return };
        let at_once = self.frame.min(CONCEALED_AT_ONCE);
        let Some((&sequence, next)) = self.packets.first_key_value() else {
            // Nothing at all: below the target, wait for it; else time goes on without it.
            if excess >= 0.0 {
                timeline.decoded_to += at_once as i64;
            }
            return self.fill(at_once, self.paused);
        };
        let gap = (next.timestamp - timeline.decoded_to) as usize;
        if sequence == timeline.next_sequence {
            // The sender paused. Its silence is the best place to catch up.
            let cut = samples_of(excess).min(gap.saturating_sub(1));
            let length = (gap - cut).min(at_once);
            timeline.decoded_to += (cut + length) as i64;
            return self.fill(length, true);
        }
        let length = gap.min(at_once);
        timeline.decoded_to += length as i64;
        if gap <= self.frame && self.frame <= MAX_PACKET_SAMPLES && self.decoder.carries_repair(&next.payload)
        {
            let room = &mut self.scratch[..self.frame];
            if self.decoder.repair(&next.payload, room) {
                timeline.decoded_to += (gap - length) as i64;
                self.queue.extend_from_slice(&room[self.frame - gap..]);
                self.stats.repaired += 1;
                self.made_up = 0;
                return;
            }
        }
        self.fill(length, false);
    }

    fn fill(&mut self, samples: usize, pause: bool) {
        let fade_from = if pause { PAUSE_FADE_FROM } else { FADE_FROM };
        self.make_up(samples, fade_from);
        if !pause {
            self.stats.concealed += samples as u64;
        }
    }

    /// Appends sound that never came: the decoder's guess, fading out as it goes on.
    fn make_up(&mut self, samples: usize, fade_from: usize) {
        let fade_to = fade_from + FADE_TO - FADE_FROM;
        let start = self.queue.len();
        self.queue.resize(start + samples, 0.0);
        // The decoder guesses in steps of 2.5 ms (RFC 6716 section 4.4).
        let whole = samples.next_multiple_of(120).min(MAX_PACKET_SAMPLES);
        if self.made_up < fade_to && self.decoder.conceal(&mut self.scratch[..whole]) {
            for (i, (out, guess)) in self.queue[start..].iter_mut().zip(&self.scratch[..whole]).enumerate() {
                let position = (self.made_up + i).max(fade_from).min(fade_to);
                *out = guess * (fade_to - position) as f32 / (fade_to - fade_from) as f32;
            }
        }
        self.made_up = self.made_up.saturating_add(samples);
    }
}

const _: () = assert!(BLOCK * 2 == FRAME);
