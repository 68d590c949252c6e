//! Scaling of I420 pictures: a separable triangle filter, widened by the scale when shrinking so that nothing
//! aliases (the "bilinear, antialiased" of image libraries). Pure arithmetic, one thread.

use super::frame::{Frame, Size};

/// Sum of the weights of one output sample. 255 × 256 still fits 16 bits, which lets the compiler use wide lanes.
const UNIT: u32 = 256;

/// What the output samples of one dimension are made of: each of `count` neighbouring input samples.
struct Taps {
    count: usize,
    /// First input sample of each output sample.
    starts: Vec<u32>,
    /// `count` of each output sample; those beyond the filter are 0.
    weights: Vec<u16>,
}

/// Filter of one plane.
struct PlaneFilter {
    columns: Taps,
    rows: Taps,
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
        let targets = to.chunks_exact_mut(to_size.width as usize);
        for ((start, weights), target) in self.rows.iter().zip(targets) {
            row.fill(0);
            for (source, &weight) in from[start * stride..].chunks_exact(stride).zip(weights) {
                if weight == 0 {
                    continue;
                }
                for (sum, &sample) in row.iter_mut().zip(source) {
                    *sum += weight * u16::from(sample);
                }
            }
            // The usual counts are known to the compiler, which then needs no inner loop.
            match self.columns.count {
                2 => columns::<2>(&self.columns, row, target),
                3 => columns::<3>(&self.columns, row, target),
                4 => columns::<4>(&self.columns, row, target),
                5 => columns::<5>(&self.columns, row, target),
                6 => columns::<6>(&self.columns, row, target),
                8 => columns::<8>(&self.columns, row, target),
                _ => {
                    for ((start, weights), sample) in self.columns.iter().zip(target) {
                        *sample = weigh(&row[start..], weights);
                    }
                }
            }
        }
    }
}

impl Taps {
    fn iter(&self) -> impl Iterator<Item = (usize, &[u16])> {
        self.starts.iter().map(|&start| start as usize).zip(self.weights.chunks_exact(self.count))
    }
}

fn columns<const COUNT: usize>(taps: &Taps, row: &[u16], target: &mut [u8]) {
    let weights = taps.weights.as_chunks::<COUNT>().0;
    for ((&start, weights), sample) in taps.starts.iter().zip(weights).zip(target) {
        if let Some(inputs) = row[start as usize..].first_chunk::<COUNT>() {
            *sample = weigh(inputs, weights);
        }
    }
}

/// The weighted mean of samples that are [`UNIT`] times as large as what comes out.
fn weigh(inputs: &[u16], weights: &[u16]) -> u8 {
    let sum: u32 = inputs.iter().zip(weights).map(|(&a, &w)| u32::from(a) * u32::from(w)).sum();
    ((sum + UNIT * UNIT / 2) / (UNIT * UNIT)) as u8
}

/// The filter's taps for every output position of one dimension.
fn taps(from: u32, to: u32) -> Taps {
    let scale = f64::from(from) / f64::from(to);
    let support = scale.max(1.0);
    let spans: Vec<(i64, Vec<u16>)> = (0..to)
        .map(|position| {
            let centre = (f64::from(position) + 0.5) * scale - 0.5;
            let first = ((centre - support).floor() as i64 + 1).clamp(0, i64::from(from) - 1);
            let last = ((centre + support).ceil() as i64 - 1).clamp(first, i64::from(from) - 1);
            let raw: Vec<f64> =
                (first..=last).map(|at| (1.0 - (at as f64 - centre).abs() / support).max(0.0)).collect();
            (first, normalize(&raw))
        })
        .collect();
    let count = spans.iter().map(|(_, weights)| weights.len()).max().unwrap_or(1);
    let mut taps = Taps { count, starts: Vec::new(), weights: Vec::new() };
    for (first, weights) in spans {
        // All as long as the longest, and none beyond the end.
        let start = first.min(i64::from(from) - count as i64).max(0);
        let before = (first - start) as usize;
        taps.starts.push(start as u32);
        taps.weights.extend(std::iter::repeat_n(0, before));
        taps.weights.extend(&weights);
        taps.weights.extend(std::iter::repeat_n(0, count - before - weights.len()));
    }
    taps
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
