//! The program's own sounds, synthesised: the ringtone, the ring-back tone and the speaker's test.
//!
//! Driven by the `ringer` thread, 10 ms at a time. No device, no clock: a melody is a function of its position.

use super::{BLOCK, SAMPLE_RATE};
use std::f32::consts::TAU;

/// What can be played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chime {
    /// Somebody calls us.
    Ringtone,
    /// It rings at the other side: 425 Hz, 1 s on and 4 s off, the ring-back tone of most of Europe (ITU-T E.180
    /// supplement 2).
    RingBack,
    /// Is this the right speaker, and loud enough? Played once.
    Test,
}

/// A struck note: when it begins and how high it is.
struct Note {
    at_s: f32,
    hertz: f32,
}

/// A rising chord of G, twice: heard through a wall, and no alarm.
const RINGTONE: [Note; 6] = [
    Note { at_s: 0.0, hertz: 587.33 },
    Note { at_s: 0.16, hertz: 783.99 },
    Note { at_s: 0.32, hertz: 987.77 },
    Note { at_s: 0.72, hertz: 587.33 },
    Note { at_s: 0.88, hertz: 783.99 },
    Note { at_s: 1.04, hertz: 1174.66 },
];
/// From one ring to the next.
const RINGTONE_PERIOD_S: f32 = 3.2;
const TEST: [Note; 4] = [
    Note { at_s: 0.05, hertz: 523.25 },
    Note { at_s: 0.3, hertz: 659.26 },
    Note { at_s: 0.55, hertz: 783.99 },
    Note { at_s: 0.8, hertz: 1046.5 },
];
const TEST_LENGTH_S: f32 = 2.0;
/// A bell's partials: multiple of the note's frequency, share of its height, and how fast it dies, 1/s.
const PARTIALS: [(f32, f32, f32); 3] = [(1.0, 0.72, 3.5), (2.0, 0.2, 6.0), (3.01, 0.08, 10.0)];
/// Height of one struck note, full scale 1: three that overlap stay below it.
const STRIKE: f32 = 0.3;
/// A strike's rise: against a click.
const RISE_S: f32 = 0.004;
const RING_BACK_HERTZ: f32 = 425.0;
const RING_BACK_ON_S: f32 = 1.0;
const RING_BACK_PERIOD_S: f32 = 5.0;
/// -24 dBFS.
const RING_BACK_HEIGHT: f32 = 0.09;
/// A call that is answered at once is not rung back for.
const RING_BACK_AFTER_S: f32 = 0.5;
/// Its rise and fall.
const RING_BACK_EDGE_S: f32 = 0.02;

/// A test of the ringtone ends after two rings, for nobody may be there to end it.
const TESTED_RINGS: f32 = 2.0;

/// A chime being played.
pub(super) struct Melody {
    chime: Chime,
    position: u64,
    /// Samples until it ends, if it does by itself.
    left: Option<u64>,
}

impl Melody {
    /// From its beginning; ringing goes on until somebody ends it.
    pub(super) fn new(chime: Chime) -> Self {
        let length_s = (chime == Chime::Test).then_some(TEST_LENGTH_S);
        Self { chime, position: 0, left: length_s.map(samples) }
    }

    /// As long as it takes to judge it.
    pub(super) fn tested(chime: Chime) -> Self {
        let length_s = match chime {
            Chime::Ringtone => TESTED_RINGS * RINGTONE_PERIOD_S,
            Chime::RingBack => RING_BACK_PERIOD_S,
            Chime::Test => TEST_LENGTH_S,
        };
        Self { left: Some(samples(length_s)), ..Self::new(chime) }
    }

    /// The next 10 ms; false once it is over, and the block silent.
    pub(super) fn read(&mut self, block: &mut [f32; BLOCK]) -> bool {
        for (index, out) in block.iter_mut().enumerate() {
            let at_s = (self.position + index as u64) as f32 / SAMPLE_RATE as f32;
            *out = match self.chime {
                Chime::Ringtone => struck(&RINGTONE, at_s % RINGTONE_PERIOD_S),
                Chime::Test => struck(&TEST, at_s),
                Chime::RingBack => ring_back(at_s % RING_BACK_PERIOD_S),
            };
        }
        // Nobody lets it ring for an hour; if somebody does, single precision still places a sample.
        self.position = (self.position + BLOCK as u64) % samples(RINGTONE_PERIOD_S * RING_BACK_PERIOD_S);
        self.left = self.left.map(|left| left.saturating_sub(BLOCK as u64));
        self.left != Some(0)
    }
}

fn samples(seconds: f32) -> u64 {
    (seconds * SAMPLE_RATE as f32) as u64
}

fn struck(notes: &[Note], at_s: f32) -> f32 {
    let sounding = notes.iter().filter(|note| at_s >= note.at_s);
    sounding
        .map(|note| {
            let since = at_s - note.at_s;
            let partials = PARTIALS.iter().map(|(multiple, share, decay)| {
                (TAU * note.hertz * multiple * since).sin() * share * (-decay * since).exp()
            });
            partials.sum::<f32>() * STRIKE * (since / RISE_S).min(1.0)
        })
        .sum()
}

fn ring_back(at_s: f32) -> f32 {
    let into = at_s - RING_BACK_AFTER_S;
    let inside = into.min(RING_BACK_ON_S - into).max(0.0);
    (TAU * RING_BACK_HERTZ * at_s).sin() * RING_BACK_HEIGHT * (inside / RING_BACK_EDGE_S).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn played(chime: Chime, seconds: usize) -> Vec<f32> {
        let (mut melody, mut samples) = (Melody::new(chime), Vec::new());
        for _ in 0..seconds * 100 {
            let mut block = [0.0; BLOCK];
            melody.read(&mut block);
            samples.extend(block);
        }
        samples
    }

    fn rms(samples: &[f32]) -> f32 {
        (samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32).sqrt()
    }

    #[test]
    fn the_ring_back_tone_has_its_cadence() {
        let samples = played(Chime::RingBack, 10);
        for start in [24_000, 264_000] {
            let second = &samples[start..start + 48_000];
            assert!((rms(second) - 0.0636).abs() < 0.002, "{}", rms(second));
            assert!(rms(&samples[start - 24_000..start]) < 1e-6);
            assert!(rms(&samples[start + 48_000..start + 4 * 48_000]) < 1e-6);
        }
    }

    #[test]
    fn no_chime_clips_or_clicks_and_the_ringtone_comes_again() {
        for chime in [Chime::Ringtone, Chime::RingBack, Chime::Test] {
            let samples = played(chime, 20);
            let highest = samples.iter().fold(0.0f32, |most, sample| most.max(sample.abs()));
            assert!((0.05..0.95).contains(&highest), "{chime:?}: {highest}");
            let steepest = samples.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
            assert!(steepest < 0.12, "{chime:?}: {steepest}");
        }
        let ringing = played(Chime::Ringtone, 8);
        let period = (RINGTONE_PERIOD_S * 48_000.0) as usize;
        assert!(rms(&ringing[period..period + 24_000]) > 0.03);
        assert!(rms(&ringing[period - 12_000..period]) < 0.01, "it rests between two rings");
    }

    #[test]
    fn the_test_ends_by_itself() {
        let (mut melody, mut block) = (Melody::new(Chime::Test), [0.0; BLOCK]);
        let blocks = (0..1000).take_while(|_| melody.read(&mut block)).count();
        assert_eq!(blocks, 199);
        let mut ringtone = Melody::tested(Chime::Ringtone);
        let blocks = (0..1000).take_while(|_| ringtone.read(&mut block)).count();
        assert_eq!(blocks, 639, "two rings of 3.2 s");
    }
}
