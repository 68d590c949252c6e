//! How sound comes onto the tape: decoded, repaired, made up, stretched.
//!
//! The other half of [`super::Playout`]; driven by its `pull`.

use super::delay::DelayFloor;
use super::tape;
use super::{BLOCK, FrameDecoder, MAX_PACKET_SAMPLES, Packet, Playout, ms, samples_of};
use std::time::Instant;

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
/// A late packet may raise the delay this much above its target, milliseconds: a packet of 20 ms, and the grain of the
/// clocks. Beyond that its head is skipped.
const LATE_SLACK_MS: f64 = 24.0;
/// The delay may exceed its target this much, milliseconds, before sound is shortened in a word, ...
const SLACK_MS: f64 = 20.0;
/// ... and between words by this share of the target, at least and at most so much. Where packets come evenly nothing is
/// won by more; where they do not, less costs more stretches than its delay is worth (measured together with half the
/// margin of `delay`: on 20 ms jitter 0.25 PESQ for 7 ms). Less than what lengthening overshoots would be cut away again
/// at once.
const SLACK_QUIET: f64 = 0.6;
const SLACK_QUIET_MS: (f64, f64) = (9.0, 12.0);
/// ... and fall below it this much before it is lengthened.
const SHORTAGE_QUIET_MS: f64 = 2.0;
const SHORTAGE_MS: f64 = 4.0;
/// Lengthening may overshoot up to this: a pitch period of a deep voice cannot be split.
const LENGTHEN_UP_TO_MS: f64 = 12.5;
/// Excess from which shortening hurries: more often, and at worse matches.
const HURRY_MS: f64 = 80.0;
/// Samples between two stretches: 60 ms, hurried 20 ms.
const STRETCH_PAUSE: usize = 2880;
const STRETCH_PAUSE_HURRIED: usize = 960;
/// Correlation that a seam needs (NetEq's values); hurried, less; in what is quiet, none.
const SEAM_CORRELATION: f32 = 0.9;
const SEAM_CORRELATION_HURRIED: f32 = 0.5;
const SEAM_CORRELATION_QUIET: f32 = -1.0;
const _: () = assert!(SLACK_QUIET_MS.0 > LENGTHEN_UP_TO_MS - SHORTAGE_MS);

impl<D: FrameDecoder> Playout<D> {
    /// Shortens or lengthens what waits if the delay has left its corridor.
    pub(super) fn stretch(&mut self, target: f64, wanted: usize) {
        let Some(floor) = self.floor.value() else { return };
        let excess = floor - target;
        let hurried = excess > HURRY_MS;
        let pause = if hurried { STRETCH_PAUSE_HURRIED } else { STRETCH_PAUSE };
        let slack_quiet = (target * SLACK_QUIET).clamp(SLACK_QUIET_MS.0, SLACK_QUIET_MS.1);
        if self.since_stretch < pause || (-SHORTAGE_QUIET_MS..=slack_quiet).contains(&excess) {
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
    pub(super) fn drop_stale(&mut self) {
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
    pub(super) fn produce(&mut self, now: Instant, target: f64) {
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
            let repairable = gap > 0 && gap <= self.decoder.carries_before(&next.payload);
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
        if gap <= self.decoder.carries_before(&next.payload) {
            // Whole frames back from the packet; of the first one perhaps only the tail.
            let frames = gap.div_ceil(self.frame);
            let room = &mut self.scratch[..self.frame];
            if self.decoder.repair(&next.payload, frames * self.frame, room) {
                let skip = frames * self.frame - gap;
                timeline.decoded_to += (self.frame - skip) as i64;
                self.tape.extend(&room[skip..]);
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
