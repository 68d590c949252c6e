//! A cheap look at a picture before it is encoded: how much detail it has and how much has changed. Sans-IO.
//!
//! Driven by the encoder's thread with each picture. Every eighth row of luma is read once, which takes some tens of
//! microseconds at 720p. Tells the rate control what a picture may cost, the ladder whether motion or detail counts,
//! and finds the picture that is the same as the last one.

use super::frame::{Frame, Size};

/// One row of so many is looked at.
const ROW_STEP: usize = 8;
/// Rows whose mean difference is above this have moved: sensor noise stays below, even in poor light.
const MOVED: u64 = 3;

/// What the look shows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Look {
    /// Mean difference between neighbouring luma samples of a row, in steps of luma: detail.
    pub(crate) detail: f64,
    /// Mean difference to the last picture, in steps of luma. `None`: there is none to compare with.
    pub(crate) change: Option<f64>,
    /// Luma samples of the picture.
    pub(crate) pixels: f64,
    /// Share of the picture's blocks (a row's sixteenths) that moved, 0 to 1.
    pub(crate) moving: f64,
}

/// Remembers the rows of the last picture.
#[derive(Default)]
pub(crate) struct Looker {
    size: Option<Size>,
    rows: Vec<u8>,
}

impl Looker {
    /// Looks at `frame` and keeps it for the comparison with the next one.
    pub(crate) fn look(&mut self, frame: &Frame) -> Look {
        let size = frame.size();
        let width = size.width as usize;
        if width < 2 {
            return Look::default();
        }
        let count = (size.height as usize).div_ceil(ROW_STEP);
        let known = self.size == Some(size);
        if !known {
            self.size = Some(size);
            self.rows.clear();
            self.rows.resize(count * width, 0);
        }
        let block = (width / 16).max(1);
        let (mut gradient, mut change, mut blocks, mut moved) = (0_u64, 0_u64, 0_u64, 0_u64);
        let rows = frame.y().chunks_exact(width).step_by(ROW_STEP);
        for (row, kept) in rows.zip(self.rows.chunks_exact_mut(width)) {
            gradient += distance(&row[1..], &row[..width - 1]);
            if known {
                for (new, old) in row.chunks(block).zip(kept.chunks(block)) {
                    let distance = distance(new, old);
                    change += distance;
                    blocks += 1;
                    moved += u64::from(distance > MOVED * new.len() as u64);
                }
            }
            kept.copy_from_slice(row);
        }
        let samples = (count * width) as f64;
        Look {
            detail: gradient as f64 / samples,
            change: known.then(|| change as f64 / samples),
            pixels: f64::from(size.width) * f64::from(size.height),
            moving: moved as f64 / blocks.max(1) as f64,
        }
    }
}

/// Sum of absolute differences. In pieces that fit 16 bits, which lets the compiler use wide lanes.
fn distance(a: &[u8], b: &[u8]) -> u64 {
    const PIECE: usize = 256;
    a.chunks(PIECE)
        .zip(b.chunks(PIECE))
        .map(|(a, b)| u64::from(a.iter().zip(b).map(|(a, b)| u16::from(a.abs_diff(*b))).sum::<u16>()))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn stripes(size: Size, offset: u32) -> Frame {
        let mut frame = Frame::black(size, Instant::now());
        let width = size.width;
        for (index, sample) in frame.planes_mut().0.iter_mut().enumerate() {
            let stripe = (index as u32 % width + offset) / 8;
            *sample = if stripe.is_multiple_of(2) { 50 } else { 200 };
        }
        frame
    }

    #[test]
    fn the_same_picture_has_not_changed_and_a_shifted_one_has() {
        let mut looker = Looker::default();
        let size = Size::new(321, 181);
        let first = looker.look(&stripes(size, 0));
        assert_eq!((first.change, first.moving), (None, 0.0));
        assert!(first.detail > 10.0, "{first:?}");
        let same = looker.look(&stripes(size, 0));
        assert_eq!((same.change, same.moving), (Some(0.0), 0.0));
        let shifted = looker.look(&stripes(size, 4));
        assert!(shifted.change > Some(50.0) && shifted.moving > 0.9, "{shifted:?}");
    }

    #[test]
    fn another_size_is_not_compared_and_a_flat_picture_has_no_detail() {
        let mut looker = Looker::default();
        looker.look(&stripes(Size::HD, 0));
        let other = looker.look(&Frame::black(Size::new(640, 480), Instant::now()));
        assert_eq!((other.change, other.detail), (None, 0.0));
        assert_eq!(looker.look(&Frame::black(Size::new(1, 1), Instant::now())), Look::default());
    }

    #[test]
    fn the_greatest_possible_difference_does_not_overflow() {
        assert_eq!(distance(&[0; 1000], &[255; 1000]), 255_000);
    }
}
