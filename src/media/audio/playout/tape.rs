//! The sound between decoder and speaker: a little of what was played, and all that is still to be.
//!
//! Time is stretched on it by overlap and add at the best-matching offset (WSOLA: Verhelst and Roelands, ICASSP
//! 1993): a whole number of pitch periods is cut out of what waits, or repeated out of what was played, so that the
//! pitch stays and no click is heard. In what is quiet anything can go unheard.

/// Shortest and longest offset, samples at 48 kHz: 2.5 to 15 ms, the pitch of voices from 400 Hz down to 67 Hz.
const LAGS: std::ops::RangeInclusive<usize> = 120..=720;
/// Length of the overlap where sound is cut out: 10 ms.
const CUT_OVERLAP: usize = 480;
/// Length of the overlap where sound is repeated: 5 ms, since little may be waiting then.
const REPEAT_OVERLAP: usize = 240;
/// Samples to look at before shortening.
pub(super) const NEEDED_TO_SHORTEN: usize = CUT_OVERLAP + *LAGS.end();
/// Samples that must wait for lengthening.
pub(super) const NEEDED_TO_LENGTHEN: usize = REPEAT_OVERLAP;
/// What is kept of the past: the longest offset.
const PAST: usize = *LAGS.end();
/// The past may grow by so much before it is moved: 100 ms.
const SPARE: usize = 4800;
/// Decimation of the coarse search.
const DECIMATION: usize = 4;
/// Sound below this mean square (-60 dBFS) matches itself at any offset.
const SILENCE: f32 = 1e-6;
/// What is this much below the voice (mean square: 25 dB) is a pause between words.
const QUIET: f32 = 0.003;
/// How fast the voice's level is forgotten, per pull of 10 ms: half in 3.5 s.
const LEVEL_MEMORY: f32 = 0.998;

/// See the module.
pub(super) struct Tape {
    samples: Vec<f32>,
    /// Where the past ends.
    head: usize,
    /// Mean square of the loudest block of late.
    loudest: f32,
}

impl Tape {
    pub(super) fn new() -> Self {
        Self { samples: vec![0.0; PAST], head: PAST, loudest: 0.0 }
    }

    /// Samples that wait.
    pub(super) fn len(&self) -> usize {
        self.samples.len() - self.head
    }

    /// Drops what waits.
    pub(super) fn clear(&mut self) {
        self.samples.truncate(self.head);
    }

    /// Appends sound.
    pub(super) fn extend(&mut self, sound: &[f32]) {
        self.samples.extend_from_slice(sound);
    }

    /// Takes as many samples as `out` has room for; there must be so many.
    pub(super) fn play(&mut self, out: &mut [f32]) {
        out.copy_from_slice(&self.samples[self.head..self.head + out.len()]);
        self.head += out.len();
        if self.head > PAST + SPARE {
            self.samples.drain(..self.head - PAST);
            self.head = PAST;
        }
        self.loudest = (self.loudest * LEVEL_MEMORY).max(mean_square(out));
    }

    /// Whether what comes next is a pause between words.
    pub(super) fn is_quiet(&self) -> bool {
        let next = &self.samples[self.head..];
        let next = &next[..next.len().min(NEEDED_TO_SHORTEN)];
        !next.is_empty() && next.chunks(REPEAT_OVERLAP).all(|part| self.is_quiet_part(part))
    }

    fn is_quiet_part(&self, part: &[f32]) -> bool {
        mean_square(part) < (self.loudest * QUIET).max(SILENCE)
    }

    /// Cuts up to `max` samples out of what waits. Returns how many; 0 if too few wait, or if no offset matches to
    /// `threshold` (normalized correlation).
    pub(super) fn shorten(&mut self, max: usize, threshold: f32) -> usize {
        let longest = max.min(*LAGS.end());
        if self.len() < NEEDED_TO_SHORTEN || longest < *LAGS.start() {
            return 0;
        }
        let next = &mut self.samples[self.head..];
        let Some(lag) = find_lag(
            longest,
            threshold,
            |lag| lag..lag + CUT_OVERLAP,
            0..CUT_OVERLAP,
            &next[..NEEDED_TO_SHORTEN],
        ) else {
            return 0;
        };
        for i in 0..CUT_OVERLAP {
            next[lag + i] = cross_fade(next[i], next[lag + i], i, CUT_OVERLAP);
        }
        self.samples.drain(self.head..self.head + lag);
        lag
    }

    /// Repeats up to `max` samples of the past before what waits. Returns how many, under the same conditions as
    /// [`Self::shorten`].
    pub(super) fn lengthen(&mut self, max: usize, threshold: f32) -> usize {
        let longest = max.min(*LAGS.end());
        if self.len() < NEEDED_TO_LENGTHEN || longest < *LAGS.start() {
            return 0;
        }
        let around = &self.samples[self.head - PAST..self.head + REPEAT_OVERLAP];
        let Some(lag) = find_lag(
            longest,
            threshold,
            |lag| PAST - lag..PAST - lag + REPEAT_OVERLAP,
            PAST..PAST + REPEAT_OVERLAP,
            around,
        ) else {
            return 0;
        };
        // What was to come fades into what was a period ago, which leads to what was to come.
        let mut repeated = around[PAST - lag..PAST].to_vec();
        for (i, sample) in repeated.iter_mut().enumerate().take(REPEAT_OVERLAP) {
            *sample = cross_fade(around[PAST + i], *sample, i, REPEAT_OVERLAP);
        }
        if lag < REPEAT_OVERLAP {
            // The fade goes on into the beginning of what waits.
            for i in lag..REPEAT_OVERLAP {
                let at = self.head + i - lag;
                self.samples[at] =
                    cross_fade(self.samples[self.head + i], self.samples[at], i, REPEAT_OVERLAP);
            }
        }
        self.samples.splice(self.head..self.head, repeated);
        lag
    }

    /// Appends sound whose beginning is faded into from `before`, another guess at the same moment.
    pub(super) fn extend_from(&mut self, before: &[f32], sound: &mut [f32]) {
        let overlap = before.len().min(sound.len());
        for (i, (sample, old)) in sound.iter_mut().zip(before).enumerate() {
            *sample = cross_fade(*old, *sample, i, overlap);
        }
        self.extend(sound);
    }
}

fn cross_fade(from: f32, to: f32, at: usize, length: usize) -> f32 {
    let share = (at as f32 + 0.5) / length as f32;
    from * (1.0 - share) + to * share
}

fn mean_square(samples: &[f32]) -> f32 {
    samples.iter().map(|s| s * s).sum::<f32>() / samples.len().max(1) as f32
}

/// The offset, up to `longest`, at which the part of `samples` that `part` names is most like the `pattern`.
fn find_lag(
    longest: usize,
    threshold: f32,
    part: impl Fn(usize) -> std::ops::Range<usize>,
    pattern: std::ops::Range<usize>,
    samples: &[f32],
) -> Option<usize> {
    if mean_square(samples) < SILENCE {
        return Some(longest);
    }
    // Coarse at 12 kHz, then every sample around the best.
    let coarse: Vec<f32> = samples.chunks_exact(DECIMATION).map(|chunk| chunk.iter().sum::<f32>()).collect();
    let scaled = |range: std::ops::Range<usize>| range.start / DECIMATION..range.end / DECIMATION;
    let coarse_lags = (*LAGS.start()..=longest).step_by(DECIMATION);
    let (best, _) = best_of(coarse_lags, |lag| scaled(part(lag)), &coarse[scaled(pattern.clone())], &coarse)?;
    let fine_lags =
        best.saturating_sub(DECIMATION - 1).max(*LAGS.start())..=(best + DECIMATION - 1).min(longest);
    let (lag, correlation) = best_of(fine_lags, part, &samples[pattern], samples)?;
    (correlation >= threshold).then_some(lag)
}

fn best_of(
    lags: impl Iterator<Item = usize>,
    part: impl Fn(usize) -> std::ops::Range<usize>,
    pattern: &[f32],
    samples: &[f32],
) -> Option<(usize, f32)> {
    let pattern_energy: f32 = pattern.iter().map(|s| s * s).sum();
    lags.map(|lag| {
        let (mut product, mut energy) = (0.0, 0.0);
        for (a, b) in pattern.iter().zip(&samples[part(lag)]) {
            product += a * b;
            energy += b * b;
        }
        (lag, product / (pattern_energy * energy).sqrt().max(f32::MIN_POSITIVE))
    })
    .max_by(|a, b| a.1.total_cmp(&b.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(hertz: f32, len: usize) -> Vec<f32> {
        (0..len).map(|i| (i as f32 * hertz * std::f32::consts::TAU / 48_000.0).sin() * 0.3).collect()
    }

    /// A tape with a second of this already played.
    fn tape(sound: &[f32], played: usize) -> Tape {
        let mut tape = Tape::new();
        tape.extend(sound);
        for _ in 0..played / 480 {
            tape.play(&mut [0.0; 480]);
        }
        tape
    }

    /// Largest step between neighbours: a click shows as a jump far above the tone's own slope.
    fn steepest(samples: &[f32]) -> f32 {
        samples.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max)
    }

    fn seam(tape: &Tape) -> &[f32] {
        &tape.samples[tape.head - 240..]
    }

    #[test]
    fn shortening_a_tone_removes_whole_periods_without_a_click() {
        let sound = sine(200.0, 14_400);
        let mut tape = tape(&sound, 9600);
        let cut = tape.shorten(720, 0.9);
        assert!(cut > 0 && cut.is_multiple_of(240), "{cut}");
        assert_eq!(tape.len(), 4800 - cut);
        assert!(steepest(seam(&tape)) < steepest(&sound) * 1.1);
    }

    #[test]
    fn lengthening_a_tone_repeats_whole_periods_without_a_click() {
        for hertz in [150.0, 200.0, 300.0] {
            let sound = sine(hertz, 14_400);
            let mut tape = tape(&sound, 9600);
            let added = tape.lengthen(720, 0.9);
            let period = (48_000.0 / hertz) as usize;
            assert!(added > 0 && added.is_multiple_of(period), "{hertz}: {added}");
            assert_eq!(tape.len(), 4800 + added);
            assert!(steepest(seam(&tape)) < steepest(&sound) * 1.1, "{hertz}");
        }
    }

    #[test]
    fn lengthening_needs_no_more_than_five_milliseconds_in_store() {
        let mut tape = tape(&sine(200.0, 9600 + 240), 9600);
        assert!(tape.lengthen(720, 0.9) > 0);
    }

    #[test]
    fn sound_without_a_period_is_left_alone_and_silence_gives_all_that_is_asked() {
        let mut state = 1u32;
        let noise: Vec<f32> = (0..9600)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / 8_388_608.0 - 1.0
            })
            .collect();
        let mut noisy = tape(&noise, 4800);
        assert_eq!((noisy.shorten(720, 0.9), noisy.lengthen(720, 0.9)), (0, 0));
        assert!(!noisy.is_quiet());
        let mut silent = tape(&[0.0; 9600], 4800);
        assert!(silent.is_quiet());
        assert_eq!((silent.shorten(333, 0.9), silent.lengthen(333, 0.9)), (333, 333));
        assert_eq!(silent.len(), 4800);
    }

    #[test]
    fn a_pause_between_words_is_known_by_its_level() {
        let mut sound = sine(200.0, 9600);
        sound.extend(sine(200.0, 4800).iter().map(|sample| sample * 0.01));
        let mut tape = tape(&sound, 4800);
        assert!(!tape.is_quiet());
        for _ in 0..10 {
            tape.play(&mut [0.0; 480]);
        }
        assert!(tape.is_quiet());
    }
}
