//! Conversion for the screen, off the window's thread, at the size at which the screen shows it.
//!
//! A picture that is shown smaller than it is shrinks here, before it is converted: less to convert, to upload and to
//! draw, and it looks better than what a graphics card makes of it. Where there is no graphics card one that is shown
//! larger grows here, too: the driver takes several times as long for it.

use super::frame::{Frame, Size};
use super::latest::{Latest, Next};
use super::pool::FramePool;
use super::scale;
use super::worker::{Stop, Worker};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use thiserror::Error;
use yuv::{YuvError, YuvPlanarImage, YuvRange, YuvStandardMatrix};

/// How often the stop signal is looked at while no picture comes.
const STOP_POLL: Duration = Duration::from_millis(100);
/// Converted pictures kept for use again: one in the slot, one or two with the window, one being written. When all
/// are in use a new one is made and the oldest leaves.
const POOL_CAPACITY: usize = 4;

/// Pictures are not enlarged beyond this, pixels: what any driver takes as one.
const MAX_SIDE: u32 = 4096;

/// The order of a pixel's octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PixelOrder {
    /// Red, green, blue, opacity.
    #[default]
    Rgba,
    /// Blue, green, red, opacity: what most windows are made of.
    Bgra,
}

/// How a picture is drawn: written by the window, read by the converter.
#[derive(Debug, Default)]
pub struct DrawnSize {
    size: AtomicU64,
    bgra: AtomicBool,
    exact: AtomicBool,
}

impl DrawnSize {
    /// It is drawn with so many pixels of the screen.
    pub fn set(&self, width: u32, height: u32) {
        self.size.store(u64::from(width) << 32 | u64::from(height), Ordering::Relaxed);
    }

    /// With how many pixels of the screen it is drawn, across and down; `None` before it was.
    pub fn size(&self) -> Option<(u16, u16)> {
        let size = self.size.load(Ordering::Relaxed);
        let side = |side: u64| u16::try_from(side & u64::from(u32::MAX)).ok().filter(|side| *side > 0);
        Some((side(size >> 32)?, side(size)?))
    }

    /// The order that its pixels are wanted in; RGBA before anybody said.
    pub fn set_order(&self, order: PixelOrder) {
        self.bgra.store(order == PixelOrder::Bgra, Ordering::Relaxed);
    }

    /// Whether it is wanted with just as many pixels as it is drawn with, be it enlarged; not before anybody said.
    pub fn set_exact(&self, exact: bool) {
        self.exact.store(exact, Ordering::Relaxed);
    }

    fn order(&self) -> PixelOrder {
        if self.bgra.load(Ordering::Relaxed) { PixelOrder::Bgra } else { PixelOrder::Rgba }
    }

    /// The size for a picture of this size; never larger, unless just that is wanted. It stays as it is until it was
    /// drawn once.
    fn fit(&self, picture: Size) -> Size {
        let drawn = self.size.load(Ordering::Relaxed);
        let (width, height) = ((drawn >> 32) as u32, drawn as u32);
        if self.exact.load(Ordering::Relaxed)
            && (1..=MAX_SIDE).contains(&width)
            && (1..=MAX_SIDE).contains(&height)
        {
            return Size::new(width, height);
        }
        let shown = Size::new(width, height);
        let inside = (1..=picture.width).contains(&width) && (1..=picture.height).contains(&height);
        if inside && scale::is_worth_it(picture, shown) { shown } else { picture }
    }
}

/// One converted picture.
#[derive(Clone, Default)]
pub struct RgbaImage {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// Width and height before it was shrunk to the size at which it is drawn.
    pub original: (usize, usize),
    /// The order of each pixel's octets.
    pub order: PixelOrder,
    /// Red, green, blue and opacity, 8 bits each, opaque, row by row.
    pub pixels: Vec<u8>,
}

/// Why there is no converter.
#[derive(Debug, Error)]
#[error("the system grants no thread to convert pictures: {0}")]
pub struct RgbaConverterError(#[source] std::io::Error);

/// The running converter. Dropping it ends the thread.
pub struct RgbaConverter(Worker);

impl RgbaConverter {
    /// Starts the thread `video-rgba`, which ends when stopped or when `frames` is closed; pictures come as large as
    /// `drawn` says.
    ///
    /// # Errors
    /// If the operating system grants no thread.
    pub fn start(
        frames: &Latest<Arc<Frame>>,
        out: Latest<Arc<RgbaImage>>,
        drawn: Arc<DrawnSize>,
    ) -> Result<Self, RgbaConverterError> {
        let mut reader = frames.reader();
        let body = move |stop: &Stop| {
            let mut pool = Vec::new();
            let mut small = FramePool::default();
            while !stop.is_set() {
                match reader.wait(STOP_POLL) {
                    Next::Value(frame) => {
                        let original = frame.size();
                        let frame = shrink(frame, drawn.fit(original), &mut small);
                        match convert(&mut pool, &frame, original, drawn.order()) {
                            Ok(image) => out.publish(image),
                            Err(error) => tracing::error!(%error, "picture not converted"),
                        }
                    }
                    Next::Timeout => {}
                    Next::Closed => return,
                }
            }
        };
        Worker::start("video-rgba", body).map(Self).map_err(RgbaConverterError)
    }

    /// Tells the thread to end, without waiting.
    pub fn signal(&self) {
        self.0.signal();
    }

    /// Ends the thread and waits for it, at most [`super::worker::JOIN_LIMIT`].
    pub fn stop(self) {}
}

fn shrink(frame: Arc<Frame>, size: Size, pool: &mut FramePool) -> Arc<Frame> {
    if frame.size() == size {
        return frame;
    }
    let shrunk = pool.fill(size, frame.captured, |small| {
        scale::scale(&frame, small);
        Ok::<(), Infallible>(())
    });
    match shrunk {
        Ok(small) => small,
        Err(never) => match never {},
    }
}

fn convert(
    pool: &mut Vec<Arc<RgbaImage>>,
    frame: &Frame,
    original: Size,
    order: PixelOrder,
) -> Result<Arc<RgbaImage>, YuvError> {
    let index = match pool.iter_mut().position(|image| Arc::get_mut(image).is_some()) {
        Some(index) => index,
        None => {
            if pool.len() >= POOL_CAPACITY {
                pool.remove(0);
            }
            pool.push(Arc::default());
            pool.len() - 1
        }
    };
    // Nobody else holds it, so this never clones.
    let image = Arc::make_mut(&mut pool[index]);
    image.order = order;
    write_pixels(frame, image)?;
    image.original = (original.width as usize, original.height as usize);
    Ok(Arc::clone(&pool[index]))
}

fn write_pixels(frame: &Frame, image: &mut RgbaImage) -> Result<(), YuvError> {
    let size = frame.size();
    image.width = size.width as usize;
    image.height = size.height as usize;
    image.pixels.resize(image.width * image.height * 4, 255);
    let chroma_stride = size.chroma().width;
    let planes = YuvPlanarImage {
        y_plane: frame.y(),
        y_stride: size.width,
        u_plane: frame.u(),
        u_stride: chroma_stride,
        v_plane: frame.v(),
        v_stride: chroma_stride,
        width: size.width,
        height: size.height,
    };
    let convert = match image.order {
        PixelOrder::Rgba => yuv::yuv420_to_rgba,
        PixelOrder::Bgra => yuv::yuv420_to_bgra,
    };
    convert(&planes, &mut image.pixels, size.width * 4, YuvRange::Limited, YuvStandardMatrix::Bt601)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn half_white(size: Size) -> Frame {
        let mut frame = Frame::black(size, Instant::now());
        for row in frame.planes_mut().0.chunks_exact_mut(size.width as usize) {
            row[..size.width as usize / 2].fill(235);
        }
        frame
    }

    #[test]
    fn white_and_black_become_opaque_white_and_black_at_odd_sizes_too() {
        for size in [Size::HD, Size::new(321, 181), Size::new(2, 2), Size::new(1, 1)] {
            let mut pool = Vec::new();
            let image = convert(&mut pool, &half_white(size), size, PixelOrder::Rgba).unwrap();
            assert_eq!(image.pixels.len(), size.width as usize * size.height as usize * 4);
            if size.width > 1 {
                assert_eq!(image.pixels[..4], [255; 4]);
            }
            assert_eq!(image.pixels[image.pixels.len() - 4..], [0, 0, 0, 255]);
        }
    }

    #[test]
    fn the_octets_of_a_pixel_come_in_the_order_that_is_wanted() {
        let mut blue = Frame::black(Size::new(64, 48), Instant::now());
        blue.planes_mut().1.fill(240);
        let mut pool = Vec::new();
        let mut pixel = |order| {
            let image = convert(&mut pool, &blue, blue.size(), order).unwrap();
            assert_eq!(image.order, order);
            <[u8; 4]>::try_from(&image.pixels[..4]).unwrap()
        };
        let [red, green, blue, opacity] = pixel(PixelOrder::Rgba);
        assert!(blue > 200 && red < 50 && opacity == 255);
        assert_eq!(pixel(PixelOrder::Bgra), [blue, green, red, opacity]);
    }

    #[test]
    fn the_thread_converts_the_newest_picture_and_ends_when_the_slot_closes() {
        let (frames, out) = (Latest::new(), Latest::new());
        let mut reader = out.reader();
        let converter = RgbaConverter::start(&frames, out, Arc::default()).unwrap();
        frames.publish(Arc::new(half_white(Size::HD)));
        let Next::Value(image) = reader.wait(Duration::from_secs(10)) else { panic!("no picture came") };
        assert_eq!((image.width, image.height), (1280, 720));
        frames.close();
        converter.stop();
    }

    #[test]
    fn a_picture_that_is_wanted_exactly_is_enlarged_too_within_reason() {
        let drawn = DrawnSize::default();
        drawn.set_exact(true);
        assert_eq!(drawn.fit(Size::HD), Size::HD, "nobody knows yet how it is drawn");
        for (size, expected) in [
            ((832, 468), Size::new(832, 468)),
            ((1270, 715), Size::new(1270, 715)),
            ((1920, 1080), Size::FULL_HD),
            ((0, 10), Size::HD),
            ((7680, 4320), Size::HD),
        ] {
            drawn.set(size.0, size.1);
            assert_eq!(drawn.fit(Size::HD), expected);
        }
    }

    #[test]
    fn a_picture_comes_as_large_as_it_is_drawn_but_never_larger() {
        let (frames, out, drawn) = (Latest::new(), Latest::new(), Arc::new(DrawnSize::default()));
        let mut reader = out.reader();
        let _converter = RgbaConverter::start(&frames, out, Arc::clone(&drawn)).unwrap();
        for (wanted, expected) in [
            ((320, 180), (320, 180)),
            ((0, 0), (1280, 720)),
            ((1920, 1080), (1280, 720)),
            ((1270, 715), (1280, 720)),
            ((641, 361), (641, 361)),
        ] {
            drawn.set(wanted.0, wanted.1);
            frames.publish(Arc::new(half_white(Size::HD)));
            let Next::Value(image) = reader.wait(Duration::from_secs(10)) else { panic!("no picture came") };
            assert_eq!((image.width, image.height), expected);
            assert_eq!(image.original, (1280, 720));
            assert_eq!(image.pixels.len(), image.width * image.height * 4);
            assert_eq!(image.pixels[..4], [255; 4]);
        }
    }
}
