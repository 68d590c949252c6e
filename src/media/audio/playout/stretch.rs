//! Time stretching by overlap and add at the best-matching offset (WSOLA: Verhelst and Roelands, ICASSP 1993).
//!
//! Pure functions on the samples that wait to be played. A whole number of pitch periods is cut out or repeated, so
//! the pitch stays and no click is heard.

/// Shortest and longest offset, samples at 48 kHz: 2.5 to 15 ms, the pitch of voices from 400 Hz down to 67 Hz.
const LAGS: std::ops::RangeInclusive<usize> = 120..=720;
/// Length of the overlap: 10 ms.
const OVERLAP: usize = 480;
/// Samples that either operation needs.
pub(super) const NEEDED: usize = OVERLAP + *LAGS.end();
/// Decimation of the coarse search.
const DECIMATION: usize = 4;
/// Sound below this mean square (-60 dBFS) matches itself at any offset: nobody hears the seam.
const SILENCE: f32 = 1e-6;

/// Cuts one or more pitch periods, at most `max_lag` samples, out of the head of `samples`. Returns how many samples
/// were cut; 0 if there are too few, or if no offset matches to `threshold` (normalized correlation).
pub(super) fn shorten(samples: &mut Vec<f32>, max_lag: usize, threshold: f32) -> usize {
    let Some(lag) = find_lag(samples, max_lag, threshold) else { return 0 };
    let mut seam = [0.0; OVERLAP];
    for (i, out) in seam.iter_mut().enumerate() {
        let fade = (i as f32 + 0.5) / OVERLAP as f32;
        *out = samples[i] * (1.0 - fade) + samples[lag + i] * fade;
    }
    samples[lag..lag + OVERLAP].copy_from_slice(&seam);
    samples.drain(..lag);
    lag
}

/// Repeats one or more pitch periods, at most `max_lag` samples, at the head of `samples`. Returns how many samples
/// were added, under the same conditions as [`shorten`].
pub(super) fn lengthen(samples: &mut Vec<f32>, max_lag: usize, threshold: f32) -> usize {
    let Some(lag) = find_lag(samples, max_lag, threshold) else { return 0 };
    let mut head = Vec::with_capacity(samples.len() + lag);
    head.extend_from_slice(&samples[..lag]);
    for i in 0..OVERLAP {
        let fade = (i as f32 + 0.5) / OVERLAP as f32;
        head.push(samples[lag + i] * (1.0 - fade) + samples[i] * fade);
    }
    head.extend_from_slice(&samples[OVERLAP..]);
    *samples = head;
    lag
}

fn find_lag(samples: &[f32], max_lag: usize, threshold: f32) -> Option<usize> {
    let longest = max_lag.min(*LAGS.end());
    if samples.len() < NEEDED || longest < *LAGS.start() {
        return None;
    }
    let energy = |range: &[f32]| range.iter().map(|s| s * s).sum::<f32>();
    if energy(&samples[..NEEDED]) / (NEEDED as f32) < SILENCE {
        return Some(longest);
    }
    // Coarse at 12 kHz, then every sample around the best.
    let coarse: Vec<f32> =
        samples[..NEEDED].chunks_exact(DECIMATION).map(|chunk| chunk.iter().sum::<f32>()).collect();
    let coarse_lags = LAGS.start().div_ceil(DECIMATION)..=longest / DECIMATION;
    let (best, _) = best_of(coarse_lags, &coarse, OVERLAP / DECIMATION)?;
    let around = best * DECIMATION;
    let fine_lags =
        around.saturating_sub(DECIMATION - 1).max(*LAGS.start())..=(around + DECIMATION - 1).min(longest);
    let (lag, correlation) = best_of(fine_lags, samples, OVERLAP)?;
    (correlation >= threshold).then_some(lag)
}

/// The offset of the highest normalized correlation between the head and what follows it.
fn best_of(lags: std::ops::RangeInclusive<usize>, samples: &[f32], overlap: usize) -> Option<(usize, f32)> {
    let head = &samples[..overlap];
    let head_energy: f32 = head.iter().map(|s| s * s).sum();
    lags.map(|lag| {
        let shifted = &samples[lag..lag + overlap];
        let (mut product, mut energy) = (0.0, 0.0);
        for (a, b) in head.iter().zip(shifted) {
            product += a * b;
            energy += b * b;
        }
        (lag, product / (head_energy * energy).sqrt().max(f32::MIN_POSITIVE))
    })
    .max_by(|a, b| a.1.total_cmp(&b.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(hertz: f32, len: usize) -> Vec<f32> {
        (0..len).map(|i| (i as f32 * hertz * std::f32::consts::TAU / 48_000.0).sin() * 0.3).collect()
    }

    /// Largest step between neighbours: a click shows as a jump far above the tone's own slope.
    fn steepest(samples: &[f32]) -> f32 {
        samples.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max)
    }

    fn crossings(samples: &[f32]) -> usize {
        samples.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count()
    }

    #[test]
    fn shortening_a_tone_removes_whole_periods_without_a_click() {
        let mut samples = sine(200.0, 4800);
        let before = steepest(&samples);
        let cut = shorten(&mut samples, 720, 0.9);
        assert!(cut > 0 && cut.is_multiple_of(240), "{cut}");
        assert_eq!(samples.len(), 4800 - cut);
        assert!(steepest(&samples) < before * 1.1);
        assert_eq!(crossings(&samples), (4800 - cut) / 240 - 1);
    }

    #[test]
    fn lengthening_a_tone_repeats_whole_periods_without_a_click() {
        let mut samples = sine(200.0, 4800);
        let before = steepest(&samples);
        let added = lengthen(&mut samples, 720, 0.9);
        assert!(added > 0 && added.is_multiple_of(240), "{added}");
        assert_eq!(samples.len(), 4800 + added);
        assert!(steepest(&samples) < before * 1.1);
    }

    #[test]
    fn sound_without_a_period_is_left_alone_and_silence_gives_all_that_is_asked() {
        let mut state = 1u32;
        let mut noise: Vec<f32> = (0..2000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / 8_388_608.0 - 1.0
            })
            .collect();
        assert_eq!(shorten(&mut noise, 720, 0.9), 0);
        assert_eq!(noise.len(), 2000);
        let mut silence = vec![0.0; 2000];
        assert_eq!(shorten(&mut silence, 333, 0.9), 333);
        assert_eq!(lengthen(&mut silence, 333, 0.9), 333);
        assert_eq!(silence.len(), 2000);
    }
}
