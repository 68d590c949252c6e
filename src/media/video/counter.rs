//! The burnt-in frame counter: 13 squares that say which picture this is, so that latency can be read from pixels
//! alone, with no shared code or clock channel between the two ends.
//!
//! In a 1280×720 picture the squares are 64×64 pixels, side by side from x = 224, y = 16 (scaled with the picture's
//! real size). A bright square is a 1. The first twelve are the counter modulo 4096, most significant bit first;
//! the thirteenth makes the number of bright squares even.

use super::frame::{Frame, Size};

/// How many squares.
pub const SQUARES: usize = 13;
/// The counter's range.
pub const COUNTER_MODULUS: u16 = 1 << BITS;

const BITS: u32 = 12;
const LEFT: u32 = 224;
const TOP: u32 = 16;
const EDGE: u32 = 64;
/// BT.601 white and black.
const BRIGHT: u8 = 235;
const DARK: u8 = 16;
/// Bright from here on.
const THRESHOLD: f32 = 126.0;

/// Mean luma of each square's area, left to right, 0 to 255. 0 where the picture is too small to have one.
pub fn luma_probe(frame: &Frame) -> [f32; SQUARES] {
    let width = frame.size().width as usize;
    std::array::from_fn(|index| {
        let (x0, x1, y0, y1) = square(frame.size(), index as u32);
        let mut sum = 0_u64;
        for row in frame.y().chunks_exact(width).take(y1).skip(y0) {
            sum += row[x0..x1].iter().map(|&luma| u64::from(luma)).sum::<u64>();
        }
        let count = (x1 - x0) * (y1 - y0);
        if count == 0 { 0.0 } else { sum as f32 / count as f32 }
    })
}

/// Reads the counter; `None` if the parity does not fit.
pub fn read_counter(frame: &Frame) -> Option<u16> {
    let bits = luma_probe(frame).map(|luma| u16::from(luma > THRESHOLD));
    let parity = bits.iter().sum::<u16>() % 2;
    (parity == 0).then(|| bits[..BITS as usize].iter().fold(0, |value, bit| value << 1 | bit))
}

/// Draws the counter (modulo 4096) in grey.
pub(crate) fn draw_counter(frame: &mut Frame, counter: u64) {
    let value = (counter % u64::from(COUNTER_MODULUS)) as u16;
    let size = frame.size();
    let (width, chroma_width) = (size.width as usize, size.chroma().width as usize);
    let (y, u, v) = frame.planes_mut();
    for index in 0..SQUARES as u32 {
        let bit =
            if index < BITS { value >> (BITS - 1 - index) & 1 } else { (value.count_ones() % 2) as u16 };
        let (x0, x1, y0, y1) = square(size, index);
        for row in y.chunks_exact_mut(width).take(y1).skip(y0) {
            row[x0..x1].fill(if bit == 1 { BRIGHT } else { DARK });
        }
        for plane in [&mut *u, &mut *v] {
            for row in plane.chunks_exact_mut(chroma_width).take(y1 / 2).skip(y0 / 2) {
                row[x0 / 2..x1 / 2].fill(128);
            }
        }
    }
}

/// Left, right, top and bottom of a square, in pixels of a picture of this size.
fn square(size: Size, index: u32) -> (usize, usize, usize, usize) {
    let x = |at: u32| (u64::from(at) * u64::from(size.width) / u64::from(Size::HD.width)) as usize;
    let y = |at: u32| (u64::from(at) * u64::from(size.height) / u64::from(Size::HD.height)) as usize;
    let left = LEFT + index * EDGE;
    (x(left), x(left + EDGE), y(TOP), y(TOP + EDGE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn every_counter_reads_back_at_every_size() {
        for size in [Size::HD, Size::new(320, 180), Size::new(642, 362), Size::new(1920, 1080)] {
            for counter in (0..5000).step_by(37) {
                let mut frame = Frame::black(size, Instant::now());
                draw_counter(&mut frame, counter);
                assert_eq!(read_counter(&frame), Some((counter % 4096) as u16), "{size:?}");
            }
        }
    }

    #[test]
    fn the_squares_lie_where_the_agent_promises() {
        let mut frame = Frame::black(Size::HD, Instant::now());
        draw_counter(&mut frame, 0b1000_0000_0000);
        let at = |x: usize, y: usize| frame.y()[y * 1280 + x];
        assert_eq!((at(224, 16), at(287, 79), at(288, 16), at(223, 16), at(224, 15)), (235, 235, 16, 16, 16));
        // Parity: the last square spans x = 992 to 1055.
        assert_eq!((at(992, 16), at(1055, 79), at(1056, 16)), (235, 235, 16));
    }

    #[test]
    fn one_flipped_square_is_noticed_and_a_tiny_picture_does_not_panic() {
        let mut frame = Frame::black(Size::HD, Instant::now());
        draw_counter(&mut frame, 1);
        let (y, ..) = frame.planes_mut();
        for row in y.chunks_exact_mut(1280).take(80).skip(16) {
            row[224..288].fill(235);
        }
        assert_eq!(read_counter(&frame), None);
        assert_eq!(luma_probe(&Frame::black(Size::new(2, 2), Instant::now())), [0.0; SQUARES]);
    }
}
