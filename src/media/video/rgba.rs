//! Conversion for the screen, off the window's thread.

use super::frame::Frame;
use super::latest::{Latest, Next};
use super::worker::{Stop, Worker};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use yuv::{YuvError, YuvPlanarImage, YuvRange, YuvStandardMatrix};

/// How often the stop signal is looked at while no picture comes.
const STOP_POLL: Duration = Duration::from_millis(100);
/// Converted pictures kept for use again: one in the slot, one or two with the window, one being written. When all
/// are in use a new one is made and the oldest leaves.
const POOL_CAPACITY: usize = 4;

/// One converted picture.
#[derive(Clone, Default)]
pub struct RgbaImage {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// RGBA, 8 bits each, opaque, row by row.
    pub pixels: Vec<u8>,
}

/// Why there is no converter.
#[derive(Debug, Error)]
#[error("the system grants no thread to convert pictures: {0}")]
pub struct RgbaConverterError(#[source] std::io::Error);

/// The running converter. Dropping it ends the thread.
pub struct RgbaConverter(Worker);

impl RgbaConverter {
    /// Starts the thread `video-rgba`, which ends when stopped or when `frames` is closed.
    ///
    /// # Errors
    /// If the operating system grants no thread.
    pub fn start(
        frames: &Latest<Arc<Frame>>,
        out: Latest<Arc<RgbaImage>>,
    ) -> Result<Self, RgbaConverterError> {
        let mut reader = frames.reader();
        let body = move |stop: &Stop| {
            let mut pool = Vec::new();
            while !stop.is_set() {
                match reader.wait(STOP_POLL) {
                    Next::Value(frame) => match convert(&mut pool, &frame) {
                        Ok(image) => out.publish(image),
                        Err(error) => tracing::error!(%error, "picture not converted"),
                    },
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

fn convert(pool: &mut Vec<Arc<RgbaImage>>, frame: &Frame) -> Result<Arc<RgbaImage>, YuvError> {
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
    write_rgba(frame, image)?;
    Ok(Arc::clone(&pool[index]))
}

fn write_rgba(frame: &Frame, image: &mut RgbaImage) -> Result<(), YuvError> {
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
    yuv::yuv420_to_rgba(
        &planes,
        &mut image.pixels,
        size.width * 4,
        YuvRange::Limited,
        YuvStandardMatrix::Bt601,
    )
}

#[cfg(test)]
mod tests {
    use super::super::frame::Size;
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
            let image = convert(&mut pool, &half_white(size)).unwrap();
            assert_eq!(image.pixels.len(), size.width as usize * size.height as usize * 4);
            if size.width > 1 {
                assert_eq!(image.pixels[..4], [255; 4]);
            }
            assert_eq!(image.pixels[image.pixels.len() - 4..], [0, 0, 0, 255]);
        }
    }

    #[test]
    fn the_thread_converts_the_newest_picture_and_ends_when_the_slot_closes() {
        let (frames, out) = (Latest::new(), Latest::new());
        let mut reader = out.reader();
        let converter = RgbaConverter::start(&frames, out).unwrap();
        frames.publish(Arc::new(half_white(Size::HD)));
        let Next::Value(image) = reader.wait(Duration::from_secs(10)) else { panic!("no picture came") };
        assert_eq!((image.width, image.height), (1280, 720));
        frames.close();
        converter.stop();
    }
}
