//! A simulated room for the tests: voices, a speaker, a microphone, and the path between them. Seeded; no files.

use super::super::{BLOCK, FRAME, SAMPLE_RATE};
use std::collections::VecDeque;
use std::f32::consts::TAU;
use std::time::Duration;

/// A small generator (xorshift64*): the tests need the same noise every time.
pub(super) struct Noise(u64);

impl Noise {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Evenly spread over ±1.
    pub(super) fn next(&mut self) -> f32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    }
}

/// Something like a voice: syllables of a buzz with formants and of hiss, with pauses between words and sentences.
pub(super) struct Voice {
    noise: Noise,
    pitch: f32,
    phase: f32,
    /// Samples left of this syllable, its length, and its loudness (0: a pause).
    left: usize,
    length: usize,
    loudness: f32,
    hiss: bool,
    formants: [Resonance; 3],
}

#[derive(Clone, Copy, Default)]
struct Resonance {
    a: [f32; 2],
    y: [f32; 2],
}

impl Resonance {
    fn tune(&mut self, hertz: f32, width: f32) {
        let radius = (-std::f32::consts::PI * width / SAMPLE_RATE as f32).exp();
        self.a = [2.0 * radius * (TAU * hertz / SAMPLE_RATE as f32).cos(), -radius * radius];
    }

    fn step(&mut self, x: f32) -> f32 {
        let y = (1.0 - self.a[0] - self.a[1]) * x + self.a[0] * self.y[0] + self.a[1] * self.y[1];
        self.y = [y, self.y[0]];
        y
    }
}

impl Voice {
    /// A voice of that pitch, hertz.
    pub(super) fn new(seed: u64, pitch: f32) -> Self {
        Self {
            noise: Noise::new(seed),
            pitch,
            phase: 0.0,
            left: 0,
            length: 1,
            loudness: 0.0,
            hiss: false,
            formants: [Resonance::default(); 3],
        }
    }

    fn begin_syllable(&mut self) {
        let chance = self.noise.next();
        let spread = |noise: &mut Noise, low: f32, high: f32| low + (noise.next() + 1.0) / 2.0 * (high - low);
        let seconds = spread(&mut self.noise, 0.08, 0.25);
        self.length = (seconds * SAMPLE_RATE as f32) as usize;
        self.left = self.length;
        self.loudness = if chance < -0.6 { 0.0 } else { spread(&mut self.noise, 0.5, 1.0) };
        self.hiss = chance > 0.6;
        for (formant, (low, high)) in
            self.formants.iter_mut().zip([(300.0, 800.0), (900.0, 2200.0), (2400.0, 3500.0)])
        {
            formant.tune(spread(&mut self.noise, low, high), 120.0);
        }
    }

    pub(super) fn next(&mut self) -> f32 {
        if self.left == 0 {
            self.begin_syllable();
        }
        let into = 1.0 - self.left as f32 / self.length as f32;
        self.left -= 1;
        // A rise and a fall, and a pitch that sinks through the syllable.
        let edge = (into.min(1.0 - into) * 8.0).min(1.0);
        self.phase += self.pitch * (1.1 - 0.2 * into) / SAMPLE_RATE as f32;
        let pulse = if self.phase >= 1.0 { 1.0 } else { 0.0 };
        self.phase %= 1.0;
        let breath = self.noise.next() * 0.02;
        if self.hiss {
            return self.noise.next() * 0.06 * edge * self.loudness;
        }
        let source = (pulse * 8.0 + breath) * edge * self.loudness;
        let mut sum = 0.0;
        for (formant, weight) in self.formants.iter_mut().zip([1.0, 0.6, 0.3]) {
            sum += formant.step(source) * weight;
        }
        sum.clamp(-0.9, 0.9)
    }

    pub(super) fn block(&mut self) -> [f32; BLOCK] {
        std::array::from_fn(|_| self.next())
    }

    pub(super) fn frame(&mut self) -> [f32; FRAME] {
        std::array::from_fn(|_| self.next())
    }
}

/// How long a sound lingers, samples.
const LONGEST: i64 = 2000;

/// From the speaker to the microphone: a delay, the walls, and two clocks that differ.
pub(super) struct Room {
    /// What was played and may still be heard, oldest first.
    played: VecDeque<f32>,
    /// Reflections: how much later than the first sound, samples, and how loud.
    walls: Vec<(i64, f32)>,
    delay: f64,
    /// Samples that the microphone's clock gains on the speaker's with every sample.
    drift: f64,
    slipped: f64,
    heard: u64,
    late: Noise,
}

impl Room {
    /// `gain`: of the echo as a whole. `drift_ppm`: by how much the speaker's clock is the slower one.
    pub(super) fn new(seed: u64, delay_ms: f64, gain: f32, drift_ppm: f64) -> Self {
        let mut noise = Noise::new(seed);
        // 40 ms of decaying reflections behind the direct sound: a desk in a furnished room.
        let mut walls: Vec<(i64, f32)> =
            (1..=60).map(|i| (i * 32, noise.next() * 0.5 * (-(i as f32) / 15.0).exp())).collect();
        walls.insert(0, (0, 1.0));
        let energy = walls.iter().map(|(_, weight)| weight * weight).sum::<f32>().sqrt();
        walls.iter_mut().for_each(|(_, weight)| *weight *= gain / energy);
        Self {
            played: VecDeque::new(),
            walls,
            delay: delay_ms * f64::from(SAMPLE_RATE) / 1e3,
            drift: drift_ppm / 1e6,
            slipped: 0.0,
            heard: 0,
            late: Noise::new(seed ^ 0xFF),
        }
    }

    /// The speaker plays this.
    pub(super) fn play(&mut self, block: &[f32; BLOCK]) {
        self.played.extend(block);
    }

    /// Whether the speaker has already played what the microphone hears next.
    pub(super) fn can_hear(&self) -> bool {
        self.played.len() as f64 > self.slipped + 2.0 * BLOCK as f64
    }

    /// When the speaker had taken so many samples: by its own clock, and up to 4 ms late.
    pub(super) fn speaker_time(&mut self, samples: u64) -> Duration {
        let seconds = samples as f64 / f64::from(SAMPLE_RATE) / (1.0 - self.drift);
        Duration::from_secs_f64(seconds + f64::from(self.late.next() + 1.0) * 0.002)
    }

    /// When the microphone gave what was heard so far: by its own clock, which is the true one, and up to 4 ms late.
    pub(super) fn microphone_time(&mut self) -> Duration {
        let seconds = self.heard as f64 / f64::from(SAMPLE_RATE);
        Duration::from_secs_f64(seconds + f64::from(self.late.next() + 1.0) * 0.002)
    }

    /// What the microphone hears of it in 10 ms of its own clock.
    pub(super) fn hear(&mut self) -> [f32; BLOCK] {
        let mut heard = [0.0; BLOCK];
        for sample in &mut heard {
            // The echo's newest sample, in samples of the speaker from the start of `played`.
            let position = self.slipped - self.delay;
            let whole = position.floor();
            let part = (position - whole) as f32;
            for (later, weight) in &self.walls {
                let at = whole as i64 - later;
                *sample += weight * (self.at(at) * (1.0 - part) + self.at(at + 1) * part);
            }
            self.slipped += 1.0 - self.drift;
        }
        self.heard += BLOCK as u64;
        // What no reflection reaches any more is forgotten.
        let done = (self.slipped - self.delay) as i64 - LONGEST;
        for _ in 0..done.max(0) {
            self.played.pop_front();
            self.slipped -= 1.0;
        }
        heard
    }

    fn at(&self, index: i64) -> f32 {
        usize::try_from(index).ok().and_then(|index| self.played.get(index)).copied().unwrap_or(0.0)
    }
}
