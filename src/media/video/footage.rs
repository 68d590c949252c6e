//! Pictures to encode in tests, the same on every run: what cameras see, made up.

use super::frame::{Frame, Size};
use super::pattern::Pattern;
use std::time::{Duration, Instant};

/// What is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scene {
    /// The test pattern.
    Pattern,
    /// A room with a person who talks and sways, under a camera with a little noise.
    Person,
    /// The same, and the camera is carried about.
    Walk,
    /// A room at night: strong noise and nothing else.
    Noise,
    /// A picture that stands still.
    Still,
}

/// Makes the pictures of a scene.
pub(super) struct Footage {
    scene: Scene,
    size: Size,
    pattern: Pattern,
    /// Smooth noise, [`TILE`] square, repeated.
    texture: Vec<u8>,
    noise: Vec<u8>,
    start: Instant,
    number: u32,
}

const TILE: usize = 512;
/// Pictures per second.
const FPS: f64 = 30.0;

/// A small linear congruential generator (Knuth, MMIX), so that a seed gives the same again.
pub(super) struct Lcg(pub(super) u64);

impl Lcg {
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

impl Footage {
    pub(super) fn new(scene: Scene, size: Size) -> Self {
        let mut random = Lcg(7);
        let raw: Vec<u8> = (0..TILE * TILE).map(|_| random.below(256) as u8).collect();
        let noise = (0..1 << 16).map(|_| (random.below(256) + random.below(256)) as u8).collect();
        let texture = smooth(&smooth(&raw, 16), 4);
        Self { scene, size, pattern: Pattern::new(size), texture, noise, start: Instant::now(), number: 0 }
    }

    /// The next picture, captured a thirtieth of a second after the one before it.
    pub(super) fn next(&mut self) -> Frame {
        let captured = self.start + Duration::from_secs_f64(f64::from(self.number) / FPS);
        let mut frame = Frame::black(self.size, captured);
        let number = if self.scene == Scene::Still { 0 } else { self.number };
        self.number += 1;
        match self.scene {
            Scene::Pattern => self.pattern.draw(
                &mut frame,
                u64::from(number),
                Duration::from_millis(u64::from(number) * 33),
            ),
            Scene::Person | Scene::Still => self.draw(&mut frame, number, 0.0, 3),
            Scene::Walk => self.draw(&mut frame, number, 5.0, 3),
            Scene::Noise => self.draw(&mut frame, 0, 0.0, 24),
        }
        if self.scene == Scene::Noise {
            self.grain(&mut frame, self.number, 24);
        }
        frame
    }

    fn draw(&self, frame: &mut Frame, number: u32, speed: f64, noise: u32) {
        let (width, height) = (f64::from(self.size.width), f64::from(self.size.height));
        let time = f64::from(number) / FPS;
        let unit = height / 720.0;
        // A walk turns round now and then.
        let turn = speed * unit * (f64::from(number) + 40.0 * (time * 1.3).sin());
        let (sway, nod) = (26.0 * unit * (time * 2.1).sin(), 9.0 * unit * (time * 5.3).sin());
        let columns = self.size.width as usize;
        let (y, u, v) = frame.planes_mut();
        for (row, line) in y.chunks_exact_mut(columns).enumerate() {
            for (column, sample) in line.iter_mut().enumerate() {
                let (x, z) = (column as f64, row as f64);
                let room = 40.0 + 60.0 * z / height + self.at((x + turn) / unit, z / unit) * 0.5;
                let (dx, dz) =
                    ((x - width / 2.0 - sway) / (150.0 * unit), (z - height * 0.5 - nod) / (220.0 * unit));
                let head = dx * dx + dz * dz < 1.0;
                let mouth = (dz - 0.5).abs() < 0.05 + 0.05 * (time * 9.0).sin() && dx.abs() < 0.25;
                *sample = match (head, mouth) {
                    (true, true) => 50,
                    (true, false) => {
                        (120.0 + self.at((x - sway) * 1.7 / unit, (z - nod) * 1.7 / unit) * 0.4) as u8
                    }
                    _ => room as u8,
                };
            }
        }
        u.fill(120);
        v.fill(136);
        if self.scene != Scene::Still {
            self.grain(frame, number, noise);
        }
    }

    /// Noise of a sensor: triangular, `strength` steps of luma wide to either side.
    fn grain(&self, frame: &mut Frame, number: u32, strength: u32) {
        let mut random = Lcg(u64::from(number));
        let columns = self.size.width as usize;
        for line in frame.planes_mut().0.chunks_exact_mut(columns) {
            let start = random.below(self.noise.len() as u64 - 4096) as usize;
            for (sample, noise) in line.iter_mut().zip(&self.noise[start..]) {
                let noise = (i32::from(*noise) - 128) * strength as i32 / 128;
                *sample = (i32::from(*sample) + noise).clamp(16, 235) as u8;
            }
        }
    }

    /// The texture between its samples.
    fn at(&self, x: f64, y: f64) -> f64 {
        let (column, row) = (x.floor(), y.floor());
        let (fx, fy) = (x - column, y - row);
        let sample = |dx: i64, dy: i64| {
            let (column, row) = (column as i64 + dx, row as i64 + dy);
            let (column, row) = (column.rem_euclid(TILE as i64), row.rem_euclid(TILE as i64));
            f64::from(self.texture[row as usize * TILE + column as usize])
        };
        let upper = sample(0, 0) * (1.0 - fx) + sample(1, 0) * fx;
        let lower = sample(0, 1) * (1.0 - fx) + sample(1, 1) * fx;
        upper * (1.0 - fy) + lower * fy
    }
}

/// Mean of `reach` samples to the right and below, stretched back to the full range of luma.
fn smooth(raw: &[u8], reach: usize) -> Vec<u8> {
    let mean = |from: &[f64], step: usize| -> Vec<f64> {
        (0..TILE * TILE)
            .map(|index| {
                let (row, column) = (index / TILE, index % TILE);
                (0..reach)
                    .map(|offset| match step {
                        1 => from[row * TILE + (column + offset) % TILE],
                        _ => from[(row + offset) % TILE * TILE + column],
                    })
                    .sum::<f64>()
                    / reach as f64
            })
            .collect()
    };
    let flat: Vec<f64> = raw.iter().map(|&sample| f64::from(sample)).collect();
    let soft = mean(&mean(&flat, 1), TILE);
    let (low, high) = soft.iter().fold((f64::MAX, f64::MIN), |(low, high), &s| (low.min(s), high.max(s)));
    soft.iter().map(|&sample| ((sample - low) / (high - low) * 255.0) as u8).collect()
}
