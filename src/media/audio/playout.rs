//! The playout buffer: RTP packets in as they come, an even stream of sound out.
//!
//! Sans-IO: the `audio` thread hands packets to [`Playout::insert`] and takes blocks with [`Playout::pull`]; `now` is
//! a parameter. It never sleeps, logs or reads a clock, and holds at most [`MAX_PACKETS`] packets.
//!
//! The *point* is the timestamp of the next sample to leave. How late the point is against the fastest packets is the
//! playout delay; it is kept near the target of [`delay`].
//!
//! * A packet that is not there when its turn comes may be lost or late, and nobody knows which. The decoder makes up
//!   sound meanwhile, which is *owed*: if the packet still comes and the delay allows it, it is played whole and the
//!   delay has grown; else as much of it is skipped as was made up.
//! * A loss is repaired from the packet after it (in-band FEC, RFC 6716 section 2.1.7) if that came in time.
//! * A gap in the timestamps without one in the sequence numbers is a pause of the sender (DTX), not loss. Within it
//!   the delay goes to its target unheard. Elsewhere the [`tape`] is stretched, best between words.

mod decoder;
mod delay;
mod figures;
mod tape;
#[cfg(test)]
mod tests;
mod timeline;

use super::{BLOCK, FRAME, SAMPLE_RATE};
use crate::media::ports::ReceivedPacket;
use bytes::Bytes;
pub use decoder::FrameDecoder;
use delay::{DelayEstimator, DelayFloor};
pub use figures::PlayoutStats;
use std::collections::BTreeMap;
use std::time::Instant;
use tape::Tape;
use timeline::{Place, Timeline};

/// Packets held: 4 s at 20 ms. When full, the oldest is dropped.
pub const MAX_PACKETS: usize = 200;
/// Most that [`Playout::set_extra_delay_ms`] adds: what a listener bears for the sake of lips in time with words.
pub const MAX_EXTRA_DELAY_MS: f64 = 500.0;
/// Longest Opus packet, samples: 120 ms (RFC 6716 section 3.2.5).
const MAX_PACKET_SAMPLES: usize = 5760;
/// What is made up at once: 10 ms, the grain of the pulls.
const MADE_UP_AT_ONCE: usize = BLOCK;
/// What was made up fades from here on ...
const FADE_FROM: usize = 2880;
/// ... and is silent from here on: 60 and 200 ms, after which a voice has nothing to do with its past.
const FADE_TO: usize = 9600;
/// A pause of the sender is filled with the decoder's comfort noise this long (1 s; DTX sends every 400 ms), ...
const PAUSE_FADE_FROM: usize = 48_000;
/// Length of the fade back in, so that sound does not begin with a click: 5 ms.
const FADE_IN: usize = 240;
/// Length of the fade from what was made up to what came late: 5 ms.
const MERGE: usize = 240;
/// A late packet may raise the delay this much above its target, milliseconds; beyond that its head is skipped.
const LATE_SLACK_MS: f64 = 20.0;
/// The delay may exceed its target this much, milliseconds, before sound is shortened: in a pause between words, and
/// in a word ...
const SLACK_QUIET_MS: f64 = 6.0;
const SLACK_MS: f64 = 30.0;
/// ... and fall below it this much before it is lengthened.
const SHORTAGE_QUIET_MS: f64 = 2.0;
const SHORTAGE_MS: f64 = 4.0;
/// Lengthening may overshoot up to this: a pitch period of a deep voice cannot be split.
const LENGTHEN_UP_TO_MS: f64 = 12.5;
/// Excess from which shortening hurries: more often, and at worse matches.
const HURRY_MS: f64 = 80.0;
/// Excess from which sound is skipped: nobody wants to catch up with a second of it.
const SKIP_MS: f64 = 1000.0;
/// Samples between two stretches: 60 ms, hurried 20 ms.
const STRETCH_PAUSE: usize = 2880;
const STRETCH_PAUSE_HURRIED: usize = 960;
/// Correlation that a seam needs (NetEq's values); hurried, less; in what is quiet, none.
const SEAM_CORRELATION: f32 = 0.9;
const SEAM_CORRELATION_HURRIED: f32 = 0.5;
const SEAM_CORRELATION_QUIET: f32 = -1.0;
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

    /// How long sound is held back at present, milliseconds; `None` until that is known.
    pub fn delay_ms(&self) -> Option<f64> {
        self.floor.value()
    }

    /// What leaves with the next [`Self::pull`]; `None` while nothing is played.
    pub fn playing(&self) -> Option<Playing> {
        let timeline = self.timeline.as_ref().filter(|timeline| timeline.started)?;
        let point = timeline.decoded_to - self.tape.len() as i64;
        Some(Playing { ssrc: timeline.ssrc, timestamp: point as u32 })
    }

    /// Holds sound back for so much longer than the network needs, milliseconds, up to [`MAX_EXTRA_DELAY_MS`]: sound
    /// waits for a picture that comes later. The delay moves there gently, up to 15 ms every 60 ms.
    pub fn set_extra_delay_ms(&mut self, extra_ms: f64) {
        self.extra_ms = if extra_ms.is_finite() { extra_ms.clamp(0.0, MAX_EXTRA_DELAY_MS) } else { 0.0 };
    }

    /// Takes a packet. `arrived` in it is the time at the socket.
    pub fn insert(&mut self, packet: &ReceivedPacket) {
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
        let repairs = self.decoder.carries_repair(&packet.payload);
        let stored = Packet { timestamp, samples, payload: packet.payload.clone() };
        if self.packets.insert(sequence, stored).is_some() {
            self.stats.duplicates += 1;
            return;
        }
        self.stats.packets += 1;
        let missing = self.timeline.as_ref().is_some_and(|timeline| timeline.next_sequence < sequence)
            && !self.packets.contains_key(&(sequence - 1));
        if repairs && missing {
            self.delay.observe_repair(packet.arrived, timestamp - samples as i64);
        }
        if self.packets.len() > MAX_PACKETS {
            self.packets.pop_first();
        }
    }

    /// Extends sequence number and timestamp beyond their wrap and feeds the delay. `None`: the packet is not to be
    /// trusted yet.
    fn place(&mut self, packet: &ReceivedPacket) -> Option<(i64, i64)> {
        let timeline = self.timeline.as_mut()?;
        match timeline.place(packet.sequence, packet.timestamp) {
            Place::At(sequence, timestamp)
                if self.delay.lateness_ms(packet.arrived, timestamp) >= IMPOSSIBLE_MS =>
            {
                timeline.advance(sequence, timestamp);
                self.delay.observe(packet.arrived, timestamp);
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
        self.delay.observe(packet.arrived, timeline.head().1);
        self.floor = DelayFloor::default();
        self.timeline = Some(timeline);
        self.packets.clear();
        self.tape.clear();
        self.paused = false;
        self.owed = 0;
    }

    /// Fills `out` with the next samples.
    pub fn pull(&mut self, now: Instant, out: &mut [f32]) {
        let target = self.target_ms();
        let Some(timeline) = &mut self.timeline else {
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
            self.floor.observe(delay);
            self.stretch(target, out.len());
        }
        while self.tape.len() < out.len() {
            self.produce(now, target);
        }
        self.tape.play(out);
        self.since_stretch += out.len();
        self.stats.played += out.len() as u64;
    }

    /// Shortens or lengthens what waits if the delay has left its corridor.
    fn stretch(&mut self, target: f64, wanted: usize) {
        let Some(floor) = self.floor.value() else { return };
        let excess = floor - target;
        let hurried = excess > HURRY_MS;
        let pause = if hurried { STRETCH_PAUSE_HURRIED } else { STRETCH_PAUSE };
        if self.since_stretch < pause || (-SHORTAGE_QUIET_MS..=SLACK_QUIET_MS).contains(&excess) {
            return;
        }
        let needed = if excess > 0.0 { tape::NEEDED_TO_SHORTEN } else { tape::NEEDED_TO_LENGTHEN };
        while self.tape.len() < needed.max(wanted) && self.decode_next() {}
        let quiet = self.tape.is_quiet();
        if !quiet && (-SHORTAGE_MS..=SLACK_MS).contains(&excess) {
            return;
        }
        let threshold = match (quiet, hurried) {
            (true, _) => SEAM_CORRELATION_QUIET,
            (false, true) => SEAM_CORRELATION_HURRIED,
            (false, false) => SEAM_CORRELATION,
        };
        let change = if excess > 0.0 {
            let cut = self.tape.shorten(samples_of(excess), threshold);
            self.stats.shortened += cut as u64;
            -(cut as i64)
        } else {
            let most = if quiet { -excess } else { LENGTHEN_UP_TO_MS.max(-excess) };
            let added = self.tape.lengthen(samples_of(most), threshold);
            self.stats.lengthened += added as u64;
            added as i64
        };
        if change != 0 {
            self.floor.shift(ms(change));
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
        // What was given up already is skipped.
        let skip = (timeline.decoded_to - packet.timestamp) as usize;
        timeline.next_sequence = sequence + 1;
        timeline.decoded_to = packet.timestamp + packet.samples as i64;
        // What is still owed has become delay.
        let late = std::mem::take(&mut self.owed);
        self.floor.shift(ms(late as i64));
        let mut guess = [0.0; MERGE];
        let merges = late > 0 && self.made_up < FADE_TO && !self.paused && self.decoder.conceal(&mut guess);
        let decoded = self.decoder.decode(&packet.payload, &mut self.scratch);
        if decoded != Some(packet.samples) {
            self.stats.malformed += 1;
            self.make_up(packet.samples - skip, FADE_FROM);
            self.stats.concealed += (packet.samples - skip) as u64;
            return;
        }
        self.paused = !self.decoder.carries_sound(&packet.payload);
        self.frame = packet.samples;
        let sound = &mut self.scratch[skip..packet.samples];
        let faded = fade(self.made_up, FADE_FROM, FADE_TO);
        if merges {
            guess.iter_mut().for_each(|sample| *sample *= faded);
            self.tape.extend_from(&guess, sound);
        } else if self.made_up > FADE_FROM {
            self.tape.extend_from(&[0.0; FADE_IN], sound);
        } else {
            self.tape.extend(sound);
        }
        self.made_up = 0;
    }

    /// Brings at least one sample onto the tape, whatever it takes.
    fn produce(&mut self, now: Instant, target: f64) {
        self.drop_stale();
        let Some(timeline) = &mut self.timeline else { return };
        let Some((&sequence, next)) = self.packets.first_key_value() else {
            // Late or lost: nobody knows.
            return self.wait();
        };
        let gap = (next.timestamp - timeline.decoded_to).max(0) as usize;
        if gap > 0 && (self.paused || sequence == timeline.next_sequence) {
            // The sender paused. Its sound begins when the delay is what it should be.
            let early = samples_of(target - self.delay.lateness_ms(now, next.timestamp));
            if early > 0 {
                let length = early.min(MADE_UP_AT_ONCE);
                self.owed += length;
                return self.make_up(length, PAUSE_FADE_FROM);
            }
            timeline.decoded_to = next.timestamp;
            self.owed = 0;
            self.floor = DelayFloor::default();
        } else if self.owed > 0 {
            // It came late, or is the one after a lost one. What was made up is skipped where the delay needs it.
            let point = timeline.decoded_to - self.tape.len() as i64;
            let excess = self.delay.lateness_ms(now, point) - (target + LATE_SLACK_MS);
            let repairable = gap > 0 && gap <= self.frame && self.decoder.carries_repair(&next.payload);
            let skip = if repairable { samples_of(excess) } else { samples_of(excess).max(gap) };
            let skip = skip.min(self.owed);
            timeline.decoded_to += skip as i64;
            self.owed -= skip;
            self.drop_stale();
        }
        if !self.decode_next() {
            self.fill_gap();
        }
    }

    /// Repairs or makes up what is missing before the next packet.
    fn fill_gap(&mut self) {
        let Some(timeline) = &mut self.timeline else { return };
        let Some((_, next)) = self.packets.first_key_value() else { return self.wait() };
        let gap = (next.timestamp - timeline.decoded_to) as usize;
        if gap <= self.frame && self.decoder.carries_repair(&next.payload) {
            let room = &mut self.scratch[..self.frame];
            if self.decoder.repair(&next.payload, room) {
                timeline.decoded_to += gap as i64;
                self.tape.extend(&room[self.frame - gap..]);
                self.stats.repaired += 1;
                self.made_up = 0;
                self.floor.shift(ms(std::mem::take(&mut self.owed) as i64));
                return;
            }
        }
        let length = gap.min(self.frame);
        timeline.decoded_to += length as i64;
        self.stats.concealed += length as u64;
        self.make_up(length, FADE_FROM);
    }

    /// Makes up sound for a packet that may still come.
    fn wait(&mut self) {
        self.owed = self.owed.saturating_add(MADE_UP_AT_ONCE);
        if self.paused {
            return self.make_up(MADE_UP_AT_ONCE, PAUSE_FADE_FROM);
        }
        self.stats.concealed += MADE_UP_AT_ONCE as u64;
        self.make_up(MADE_UP_AT_ONCE, FADE_FROM);
    }

    /// Appends sound that never came: the decoder's guess, fading out as it goes on.
    fn make_up(&mut self, samples: usize, fade_from: usize) {
        let fade_to = fade_from + FADE_TO - FADE_FROM;
        // The decoder guesses in steps of 2.5 ms (RFC 6716 section 4.4).
        let whole = samples.next_multiple_of(120).min(MAX_PACKET_SAMPLES);
        let guess = &mut self.scratch[..whole];
        if self.made_up < fade_to && self.decoder.conceal(guess) {
            for (i, sample) in guess.iter_mut().enumerate() {
                *sample *= fade(self.made_up + i, fade_from, fade_to);
            }
        } else {
            guess.fill(0.0);
        }
        self.tape.extend(&self.scratch[..samples]);
        self.made_up = self.made_up.saturating_add(samples);
    }
}

/// How loud made-up sound is after so many samples of it, 0 to 1.
fn fade(made_up: usize, from: usize, to: usize) -> f32 {
    let position = made_up.clamp(from, to);
    (to - position) as f32 / (to - from) as f32
}

const _: () = assert!(BLOCK * 2 == FRAME);
