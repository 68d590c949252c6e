//! Noise suppression: the Wiener filter of WebRTC, and how much of it is heard.
//!
//! Driven by `Processing`, 10 ms at a time, with sound that is split into bands of 16 kHz. A suppressor also costs a voice
//! some of its nature, most where there is nothing to suppress. So [`Contrast`] measures how far the voice stands above
//! the room's noise, and what is heard is a mixture: of the sound as it came where that is far, of the filtered sound
//! where it is near. Both are equally late, so nothing jumps.
//!
//! # The choice
//!
//! PESQ / STOI of clean speech (espeak-ng) with noise, by `scripts/bench-echo`:
//!
//! | | as it is | 6 dB | 12 dB | 18 dB | 21 dB |
//! |---|---|---|---|---|---|
//! | clean | 3.88 / 0.984 | 3.86 / 0.983 | 3.82 / 0.982 | 3.78 / 0.982 | 3.75 / 0.981 |
//! | fan, 40 dB | 3.33 / 0.983 | 3.54 / 0.981 | **3.61** / 0.980 | 3.56 / 0.978 | 3.51 / 0.977 |
//! | fan, 30 dB | 2.58 / 0.982 | 2.97 / 0.978 | **3.15** / 0.976 | 3.13 / 0.972 | 3.03 / 0.969 |
//! | fan, 20 dB | 1.59 / 0.971 | 1.99 / 0.967 | 2.37 / 0.962 | **2.51** / 0.954 | 2.38 / 0.948 |
//! | fan, 10 dB | 1.12 / 0.928 | 1.22 / 0.927 | 1.42 / 0.916 | 1.62 / 0.902 | **1.69** / 0.889 |
//! | fan, 5 dB | 1.05 / 0.878 | 1.09 / 0.883 | 1.17 / 0.875 | 1.28 / 0.857 | **1.34** / 0.841 |
//! | voices, 20 dB | 1.67 / 0.951 | 1.86 / 0.946 | **1.88** / 0.941 | 1.87 / 0.937 | 1.85 / 0.934 |
//! | voices, 10 dB | 1.17 / 0.896 | 1.19 / 0.890 | 1.19 / 0.878 | 1.19 / 0.868 | 1.18 / 0.860 |
//!
//! 12 dB is the best or next to it wherever people call from rooms; more costs intelligibility where it is noisy. Where the
//! voice is clean anything costs a little, and there nothing is filtered.

use sonora_ns::config::{NsConfig, OVERLAP_SIZE, SuppressionLevel};
use sonora_ns::noise_suppressor::NoiseSuppressor;
use std::collections::VecDeque;

const BANDS: usize = 3;
/// Samples of 10 ms in a band.
pub(super) const PART: usize = 160;
/// Of a voice whose loudest moments are so far above the noise nothing is filtered, dB (some 10 dB more than between
/// mean levels).
const CLEAR_DB: f32 = 60.0;
/// From here on down everything is.
const NOISY_DB: f32 = 50.0;
/// The mixture follows within about 0.3 s.
const FOLLOW: f32 = 0.03;

/// Half a second, in parts of 10 ms.
const STRETCH: u32 = 50;
/// Zeros before the first sound that say nothing of the room, in parts: 0.2 s.
const START: u32 = 20;
/// The noise is the faintest moment of so many stretches: 3 s, in which everybody takes breath.
const STRETCHES: usize = 6;
/// The voice is forgotten at so many dB a part: 1 dB a second.
const FORGET_DB: f32 = 0.01;
/// Smoothing of the level: about 20 ms.
const SMOOTH: f32 = 0.5;
/// What stands for silence, dB (full scale 0).
const SILENCE_DB: f32 = -100.0;

/// How far the voice stands above the noise.
struct Contrast {
    /// Smoothed power.
    power: f32,
    /// Of this stretch and the ones before it, dB.
    faintest: f32,
    past: VecDeque<f32>,
    parts: u32,
    voice: f32,
}

impl Contrast {
    fn new() -> Self {
        Self {
            power: 0.0,
            faintest: 0.0,
            past: VecDeque::with_capacity(STRETCHES + 1),
            parts: 0,
            voice: SILENCE_DB,
        }
    }

    /// Takes the mean power of 10 ms (full scale 1) and gives the distance, dB.
    fn handle_power(&mut self, power: f32) -> f32 {
        if power == 0.0 && self.power == 0.0 && self.past.is_empty() && self.parts < START {
            // The device has not begun yet. A microphone that is silent for longer has no noise.
            self.parts += 1;
            return 0.0;
        }
        self.power += SMOOTH * (power - self.power);
        let level = (10.0 * self.power.max(1e-12).log10()).max(SILENCE_DB);
        self.faintest = self.faintest.min(level);
        self.parts += 1;
        if self.parts == STRETCH {
            self.parts = 0;
            self.past.push_back(std::mem::replace(&mut self.faintest, level));
            if self.past.len() > STRETCHES {
                self.past.pop_front();
            }
        }
        let noise = self.past.iter().copied().fold(self.faintest, f32::min);
        self.voice = (self.voice - FORGET_DB).max(level);
        self.voice - noise
    }
}

/// The suppressor and its mixture.
pub(super) struct Noise {
    filter: NoiseSuppressor,
    contrast: Contrast,
    /// Share of the filtered sound.
    share: f32,
    /// The sound as it came, as late as the filtered one.
    late: [[f32; OVERLAP_SIZE]; BANDS],
}

impl Noise {
    pub(super) fn new(strength: SuppressionLevel) -> Self {
        Self {
            filter: NoiseSuppressor::new_with_bands(NsConfig { target_level: strength }, BANDS),
            contrast: Contrast::new(),
            share: 1.0,
            late: [[0.0; OVERLAP_SIZE]; BANDS],
        }
    }

    /// Takes the noise out of 10 ms in the scale of 16 bits. `raw`: the lowest band before the echo was taken out of it, as
    /// what the canceller fills its gaps with is no noise of the room.
    pub(super) fn process(&mut self, raw: &[f32; PART], bands: [&mut [f32; PART]; BANDS]) {
        self.filter.analyze(raw);
        let full = 32_768.0 * 32_768.0 * PART as f32;
        let power =
            bands.iter().flat_map(|band| band.iter()).map(|sample| sample * sample).sum::<f32>() / full;
        let contrast = self.contrast.handle_power(power);
        let wanted = ((CLEAR_DB - contrast) / (CLEAR_DB - NOISY_DB)).clamp(0.0, 1.0);
        let from = self.share;
        self.share += FOLLOW * (wanted - self.share);
        let step = (self.share - from) / PART as f32;
        for (number, band) in bands.into_iter().enumerate() {
            let came = *band;
            if number == 0 {
                self.filter.process(band);
            } else {
                let gain = self.filter.upper_band_gain();
                self.filter.process_upper_band(band, number - 1, gain);
            }
            let late = &mut self.late[number];
            let as_it_came = late.iter().chain(&came[..PART - OVERLAP_SIZE]);
            for (at, (filtered, came)) in band.iter_mut().zip(as_it_came).enumerate() {
                let share = from + step * at as f32;
                *filtered = came + share * (*filtered - came);
            }
            late.copy_from_slice(&came[PART - OVERLAP_SIZE..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn db(level: f32) -> f32 {
        10f32.powf(level / 10.0)
    }

    #[test]
    fn the_voice_is_measured_against_the_pauses_between_its_words() {
        let mut contrast = Contrast::new();
        let mut last = 0.0;
        for part in 0..2000 {
            last = contrast.handle_power(db(if part % 100 < 70 { -25.0 } else { -70.0 }));
        }
        assert!((last - 45.0).abs() < 2.0, "{last}");
        // A fan is switched on.
        for part in 0..600 {
            last = contrast.handle_power(db(if part % 100 < 70 { -25.0 } else { -45.0 }));
        }
        assert!((last - 20.0).abs() < 2.0, "{last}");
    }

    #[test]
    fn without_a_voice_all_noise_is_filtered() {
        let mut contrast = Contrast::new();
        let last = (0..1000).map(|_| contrast.handle_power(db(-50.0))).last().unwrap();
        assert!(last < 3.0, "{last}");
    }
}
