//! Scaling of I420 pictures: a separable triangle filter, widened by the scale when shrinking so that nothing
//! aliases (the "bilinear, antialiased" of image libraries). Pure arithmetic, one thread.

use super::frame::{Frame, Size};

/// Sum of the weights of one output sample. 255 × 256 still fits 16 bits, which lets the compiler use wide lanes.
const UNIT: u32 = 256;

/// One output sample: which input samples it is made of.
struct Taps {
    start: usize,
    weights: Vec<u16>,
}

/// Filter of one plane.
struct PlaneFilter {
    columns: Vec<Taps>,
    rows: Vec<Taps>,
}

/// Scales pictures of one size to another; keeps its tables until the sizes change.
#[derive(Default)]
pub(crate) struct Scaler {
    tables: Option<(Size, Size, PlaneFilter, PlaneFilter)>,
    row: Vec<u16>,
}

impl Scaler {
    /// Scales `from` into `to`, whatever their sizes.
    pub(crate) fn scale(&mut self, from: &Frame, to: &mut Frame) {
        let (source, target) = (from.size(), to.size());
        let (y, u, v) = to.planes_mut();
        if source == target {
            y.copy_from_slice(from.y());
            u.copy_from_slice(from.u());
            v.copy_from_slice(from.v());
            return;
        }
        if self.tables.as_ref().is_none_or(|(s, t, ..)| (*s, *t) != (source, target)) {
            let luma = PlaneFilter::new(source, target);
            let chroma = PlaneFilter::new(source.chroma(), target.chroma());
            self.tables = Some((source, target, luma, chroma));
        }
        let Some((_, _, luma, chroma)) = &self.tables else { return };
        luma.apply(from.y(), source, y, target, &mut self.row);
        chroma.apply(from.u(), source.chroma(), u, target.chroma(), &mut self.row);
        chroma.apply(from.v(), source.chroma(), v, target.chroma(), &mut self.row);
    }
}

impl PlaneFilter {
    fn new(from: Size, to: Size) -> Self {
        Self { columns: taps(from.width, to.width), rows: taps(from.height, to.height) }
    }

    fn apply(&self, from: &[u8], from_size: Size, to: &mut [u8], to_size: Size, row: &mut Vec<u16>) {
        let stride = from_size.width as usize;
        row.resize(stride, 0);
        for (taps, target) in self.rows.iter().zip(to.chunks_exact_mut(to_size.width as usize)) {
            row.fill((UNIT / 2) as u16 - 1);
            for (index, &weight) in taps.weights.iter().enumerate() {
                let start = (taps.start + index) * stride;
                for (sum, &sample) in row.iter_mut().zip(&from[start..start + stride]) {
                    *sum += weight * u16::from(sample);
                }
            }
            for (taps, sample) in self.columns.iter().zip(target) {
                let inputs = &row[taps.start..taps.start + taps.weights.len()];
                let sum: u32 =
                    inputs.iter().zip(&taps.weights).map(|(&a, &w)| u32::from(a >> 8) * u32::from(w)).sum();
                *sample = ((sum + UNIT / 2) / UNIT).min(255) as u8;
            }
        }
    }
}

/// The filter's taps for every output position of one dimension.
fn taps(from: u32, to: u32) -> Vec<Taps> {
    let scale = f64::from(from) / f64::from(to);
    let support = scale.max(1.0);
    (0..to)
        .map(|position| {
            let centre = (f64::from(position) + 0.5) * scale - 0.5;
            let first = ((centre - support).floor() as i64 + 1).clamp(0, i64::from(from) - 1);
            let last = ((centre + support).ceil() as i64 - 1).clamp(first, i64::from(from) - 1);
            let raw: Vec<f64> =
                (first..=last).map(|at| (1.0 - (at as f64 - centre).abs() / support).max(0.0)).collect();
            Taps { start: first as usize, weights: normalize(&raw) }
        })
        .collect()
}

/// Integer weights that sum up to [`UNIT`] exactly; what rounding leaves goes to the heaviest.
fn normalize(raw: &[f64]) -> Vec<u16> {
    let sum: f64 = raw.iter().sum();
    if sum <= 0.0 {
        let mut weights = vec![0; raw.len()];
        weights[0] = UNIT as u16;
        return weights;
    }
    let mut weights: Vec<i32> = raw.iter().map(|w| (w / sum * f64::from(UNIT)).round() as i32).collect();
    let rest = UNIT as i32 - weights.iter().sum::<i32>();
    if let Some(heaviest) = weights.iter_mut().max() {
        *heaviest += rest;
    }
    weights.into_iter().map(|w| w.clamp(0, UNIT as i32) as u16).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn ramp(size: Size) -> Frame {
        let mut frame = Frame::black(size, Instant::now());
        let (y, ..) = frame.planes_mut();
        for (index, sample) in y.iter_mut().enumerate() {
            *sample = (16 + (index as u32 % size.width) * 200 / size.width) as u8;
        }
        frame
    }

    #[test]
    fn a_flat_picture_stays_flat_at_every_size() {
        let mut scaler = Scaler::default();
        for value in [0, 16, 128, 255] {
            let from = Frame::from_i420(
                Size::new(64, 48),
                vec![value; Frame::bytes(Size::new(64, 48))],
                Instant::now(),
            )
            .unwrap();
            for size in [Size::new(32, 24), Size::new(50, 30), Size::new(7, 5), Size::new(200, 100)] {
                let mut to = Frame::black(size, Instant::now());
                scaler.scale(&from, &mut to);
                assert!(to.data().iter().all(|&sample| sample == value), "{size:?} {value}");
            }
        }
    }

    #[test]
    fn a_ramp_survives_shrinking_and_growing() {
        let mut scaler = Scaler::default();
        let from = ramp(Size::HD);
        let mut small = Frame::black(Size::new(320, 180), Instant::now());
        scaler.scale(&from, &mut small);
        let mut back = Frame::black(Size::HD, Instant::now());
        scaler.scale(&small, &mut back);
        let worst = from.y().iter().zip(back.y()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst <= 4, "{worst}");
    }
}
