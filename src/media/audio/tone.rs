//! Sounds that need no device: a test tone, and the echo of what came in. Driven by the `audio` thread.

use super::{BLOCK, SAMPLE_RATE};
use std::collections::VecDeque;
use std::f32::consts::TAU;

/// Two notes in turn, hertz (a' and c sharp'': a major third is easy on the ear and easy to recognize).
const NOTES: [f32; 2] = [440.0, 554.37];
/// Length of a note: 1 s.
const NOTE_SAMPLES: u64 = 48_000;
/// Root mean square of the tone: -20 dBFS.
const LEVEL: f32 = 0.1;
/// Rise and fall of a note, samples: 10 ms, against clicks.
const EDGE: u64 = 480;
/// How much later the echo comes back: 1 s.
const ECHO_SAMPLES: usize = SAMPLE_RATE as usize;

/// The test tone.
#[derive(Default)]
pub(crate) struct Tone {
    position: u64,
    phase: f32,
}

impl Tone {
    /// The next 10 ms.
    pub(crate) fn read(&mut self, block: &mut [f32; BLOCK]) {
        for out in block {
            let note = NOTES[(self.position / NOTE_SAMPLES) as usize % NOTES.len()];
            let into = self.position % NOTE_SAMPLES;
            let edge = (into.min(NOTE_SAMPLES - into) as f32 / EDGE as f32).min(1.0);
            *out = self.phase.sin() * edge * LEVEL * std::f32::consts::SQRT_2;
            self.phase = (self.phase + note * TAU / SAMPLE_RATE as f32) % TAU;
            self.position += 1;
        }
    }
}

/// The echo: what is played comes back a second later.
pub(crate) struct Echo(VecDeque<f32>);

impl Echo {
    /// Begins with a second of silence.
    pub(crate) fn new() -> Self {
        Self(std::iter::repeat_n(0.0, ECHO_SAMPLES).collect())
    }

    /// Takes 10 ms of what is played and gives back what was played a second ago.
    pub(crate) fn exchange(&mut self, played: &[f32; BLOCK]) -> [f32; BLOCK] {
        self.0.extend(played);
        std::array::from_fn(|_| self.0.pop_front().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tone_has_its_level_and_no_clicks() {
        let (mut tone, mut block, mut samples) = (Tone::default(), [0.0; BLOCK], Vec::new());
        for _ in 0..400 {
            tone.read(&mut block);
            samples.extend(block);
        }
        let rms = (samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32).sqrt();
        assert!((20.0 * rms.log10() + 20.0).abs() < 0.2, "{rms}");
        let steepest = samples.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
        assert!(steepest < 0.1415 * NOTES[1] * TAU / 48_000.0 * 1.05, "{steepest}");
        let rising = samples.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count();
        assert!((1985..=1991).contains(&rising), "{rising} periods in 4 s");
    }

    #[test]
    fn the_echo_comes_back_one_second_later() {
        let mut echo = Echo::new();
        let loud = echo.exchange(&[0.5; BLOCK]);
        assert_eq!(loud, [0.0; BLOCK]);
        for _ in 0..99 {
            assert_eq!(echo.exchange(&[0.0; BLOCK]), [0.0; BLOCK]);
        }
        assert_eq!(echo.exchange(&[0.0; BLOCK]), [0.5; BLOCK]);
        assert_eq!(echo.exchange(&[0.0; BLOCK]), [0.0; BLOCK]);
    }
}
