//! Scaling of I420 pictures, by libyuv: where a picture shrinks nothing aliases, for it averages what it leaves out down to
//! half the size, and takes what lies between two samples above that.
//!
//! Pure arithmetic, one thread. A separable triangle filter of our own took twenty times as long for the sizes of
//! [`super::ladder`] (1280×720 to 960×540: 2.8 against 0.13 ms), which was as much as encoding the smaller picture.
#![allow(unsafe_code, reason = "libyuv has no safe interface")]

use super::frame::{Frame, Size};
use std::os::raw::c_int;
use yuv_sys::{FilterMode_kFilterBox, rs_I420Scale};

/// Longest side that libyuv takes, pixels.
const MAX_SIDE: u32 = 32_768;

/// With fewer pixels than this share of them (in percent) a picture is made smaller; with more, that costs more than it
/// saves.
const SHRUNK_PERCENT: u64 = 80;

/// Whether a picture that is shown in a smaller size is to be made so small before it is sent, or drawn.
pub(crate) fn is_worth_it(picture: Size, shown: Size) -> bool {
    let pixels = |size: Size| u64::from(size.width) * u64::from(size.height);
    pixels(shown) * 100 < pixels(picture) * SHRUNK_PERCENT
}

/// Scales `from` into `to`, whatever their sizes.
pub(crate) fn scale(from: &Frame, to: &mut Frame) {
    let (source, target) = (from.size(), to.size());
    let (y, u, v) = to.planes_mut();
    let takes = |size: Size| (1..=MAX_SIDE).contains(&size.width) && (1..=MAX_SIDE).contains(&size.height);
    if !takes(source) || !takes(target) {
        tracing::debug!(?source, ?target, "a picture of no sensible size is not scaled");
        return;
    }
    let stride = |size: Size| (size.width as c_int, size.chroma().width as c_int);
    let ((luma, chroma), (to_luma, to_chroma)) = (stride(source), stride(target));
    // SAFETY: the planes of a frame are as long as its size says, without padding between rows; libyuv reads the first
    // three and writes the others within the sizes given, and keeps none of them.
    let code = unsafe {
        rs_I420Scale(
            from.y().as_ptr(),
            luma,
            from.u().as_ptr(),
            chroma,
            from.v().as_ptr(),
            chroma,
            source.width as c_int,
            source.height as c_int,
            y.as_mut_ptr(),
            to_luma,
            u.as_mut_ptr(),
            to_chroma,
            v.as_mut_ptr(),
            to_chroma,
            target.width as c_int,
            target.height as c_int,
            FilterMode_kFilterBox,
        )
    };
    if code != 0 {
        tracing::error!(code, ?source, ?target, "libyuv did not scale a picture: is memory short?");
    }
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
        for value in [0, 16, 128, 255] {
            let from = Frame::from_i420(
                Size::new(64, 48),
                vec![value; Frame::bytes(Size::new(64, 48))],
                Instant::now(),
            )
            .unwrap();
            for size in [Size::new(32, 24), Size::new(50, 30), Size::new(7, 5), Size::new(200, 100)] {
                let mut to = Frame::black(size, Instant::now());
                scale(&from, &mut to);
                // Means of many samples are rounded down.
                assert!(
                    to.data().iter().all(|&sample| value.saturating_sub(sample) <= 1),
                    "{size:?} {value}"
                );
                assert!(to.data().iter().all(|&sample| sample <= value), "{size:?} {value}");
            }
        }
    }

    #[test]
    fn a_ramp_survives_shrinking_and_growing() {
        let from = ramp(Size::HD);
        let mut small = Frame::black(Size::new(320, 180), Instant::now());
        scale(&from, &mut small);
        let mut back = Frame::black(Size::HD, Instant::now());
        scale(&small, &mut back);
        let worst = from.y().iter().zip(back.y()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst <= 4, "{worst}");
    }
}
