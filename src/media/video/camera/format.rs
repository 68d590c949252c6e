//! Picture formats of cameras, and which one to use. Sans-IO.

use crate::media::video::frame::Size;
use crate::media::video::source::CaptureWish;
use std::cmp::Reverse;
use std::fmt;

/// A layout of pixels that we can convert, the cheapest to convert first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pixels {
    I420,
    Nv12,
    Yuyv,
    Grey,
    Rgb,
    Bgr,
    Mjpeg,
}

/// One thing that a camera can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pub(crate) size: Size,
    pub(crate) pixels: Pixels,
    /// Seconds per picture, as a fraction: 1001/30000.
    pub(crate) interval: (u32, u32),
}

impl Pixels {
    /// All of them.
    pub(crate) const ALL: [Self; 7] =
        [Self::I420, Self::Nv12, Self::Yuyv, Self::Grey, Self::Rgb, Self::Bgr, Self::Mjpeg];

    /// The code of the Video4Linux2 API (`V4L2_PIX_FMT_*`).
    pub(crate) const fn fourcc(self) -> &'static [u8; 4] {
        match self {
            Self::I420 => b"YU12",
            Self::Nv12 => b"NV12",
            Self::Yuyv => b"YUYV",
            Self::Grey => b"GREY",
            Self::Rgb => b"RGB3",
            Self::Bgr => b"BGR3",
            Self::Mjpeg => b"MJPG",
        }
    }
}

impl Format {
    /// Pictures per second.
    pub(crate) fn fps(&self) -> f64 {
        f64::from(self.interval.1) / f64::from(self.interval.0.max(1))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = std::str::from_utf8(self.pixels.fourcc()).unwrap_or_default();
        let fps = (self.fps() * 100.0).round() / 100.0;
        write!(f, "{}x{} {code} {fps} fps", self.size.width, self.size.height)
    }
}

/// All usable formats, the best first.
pub(crate) fn rank(formats: &[Format], wish: CaptureWish) -> Vec<Format> {
    let mut ranked: Vec<Format> = formats.iter().copied().filter(usable).collect();
    ranked.sort_by_key(|format| cost(format, wish));
    ranked
}

fn usable(format: &Format) -> bool {
    let Size { width, height } = format.size;
    width >= 16 && height >= 16 && width % 2 == 0 && height % 2 == 0 && format.interval.1 > 0
}

/// What a format costs, the gravest first: a rate below 80 % of the wish (raw pictures of a large size often crawl over
/// USB 2), a picture smaller than wished for, its distance from the wish, grey, compressed pictures, a rate other than
/// wished for, and the cost of conversion.
fn cost(format: &Format, wish: CaptureWish) -> impl Ord + use<> {
    let fps = (format.fps() * 100.0) as u64;
    let wished = u64::from(wish.fps) * 100;
    let slow = fps * 5 < wished * 4;
    // How slow matters among slow ones: in steps, so that 7.5 and 10 fps differ but 29.97 and 30 do not.
    let slowness = if slow { Reverse(fps / 500) } else { Reverse(u64::MAX) };
    let small = format.size.width < wish.size.width || format.size.height < wish.size.height;
    let area = |size: Size| u64::from(size.width) * u64::from(size.height);
    let distance = area(format.size).abs_diff(area(wish.size));
    let grey = format.pixels == Pixels::Grey;
    let compressed = format.pixels == Pixels::Mjpeg;
    (slow, slowness, small, distance, grey, compressed, fps.abs_diff(wished), format.pixels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(width: u32, height: u32, pixels: Pixels, fps: u32) -> Format {
        Format { size: Size::new(width, height), pixels, interval: (1, fps) }
    }

    fn best(formats: &[Format]) -> String {
        rank(formats, CaptureWish::default()).first().map_or_else(|| "none".into(), ToString::to_string)
    }

    #[test]
    fn a_usual_usb_camera_gives_720p30_as_mjpeg_for_raw_is_too_slow() {
        let formats = [
            format(640, 480, Pixels::Yuyv, 30),
            format(1280, 720, Pixels::Yuyv, 10),
            format(1920, 1080, Pixels::Mjpeg, 30),
            format(1280, 720, Pixels::Mjpeg, 30),
            format(1280, 720, Pixels::Mjpeg, 15),
        ];
        assert_eq!(best(&formats), "1280x720 MJPG 30 fps");
    }

    #[test]
    fn raw_is_preferred_where_it_is_fast_enough() {
        let formats = [
            format(1280, 720, Pixels::Mjpeg, 30),
            format(1280, 720, Pixels::Yuyv, 30),
            format(1280, 720, Pixels::Nv12, 30),
            format(1280, 720, Pixels::Grey, 30),
        ];
        assert_eq!(best(&formats), "1280x720 NV12 30 fps");
    }

    #[test]
    fn a_larger_picture_is_preferred_to_a_smaller_and_the_nearest_of_them_wins() {
        let formats = [
            format(640, 360, Pixels::Yuyv, 30),
            format(1920, 1080, Pixels::Yuyv, 30),
            format(1280, 960, Pixels::Yuyv, 30),
        ];
        assert_eq!(best(&formats), "1280x960 YUYV 30 fps");
        assert_eq!(best(&formats[..1]), "640x360 YUYV 30 fps");
    }

    #[test]
    fn fractional_rates_count_as_what_they_are_and_60_is_too_much() {
        let ntsc = Format { size: Size::HD, pixels: Pixels::Yuyv, interval: (1001, 30_000) };
        let formats = [format(1280, 720, Pixels::Yuyv, 60), ntsc, format(1280, 720, Pixels::Yuyv, 25)];
        assert_eq!(best(&formats), "1280x720 YUYV 29.97 fps");
        assert_eq!(best(&formats[..1]), "1280x720 YUYV 60 fps");
    }

    #[test]
    fn what_cannot_be_used_is_not_chosen() {
        let broken = Format { size: Size::HD, pixels: Pixels::Yuyv, interval: (1, 0) };
        assert_eq!(
            best(&[broken, format(0, 0, Pixels::Yuyv, 30), format(641, 480, Pixels::Yuyv, 30)]),
            "none"
        );
        assert_eq!(best(&[]), "none");
    }
}
