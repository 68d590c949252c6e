//! Video4Linux2 (Linux): finds the cameras and captures from them. Waits with a time limit, so that a camera that
//! stalls can still be released.

use super::error::CameraError;
use super::format::{Format, Pixels};
use super::{Found, Publisher};
use crate::media::video::frame::Size;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use v4l::buffer::Type;
use v4l::capability::Flags;
use v4l::frameinterval::FrameIntervalEnum;
use v4l::framesize::{FrameSizeEnum, Stepwise};
use v4l::io::mmap::Stream as MmapStream;
use v4l::io::traits::{CaptureStream, Stream};
use v4l::video::Capture;
use v4l::video::capture::Parameters;
use v4l::{Device, FourCC, Fraction};

/// Buffers shared with the driver: one being filled, one being read, two for when this thread is late.
const BUFFERS: u32 = 4;
/// How long one wait for a picture lasts; the stop signal is looked at in between.
const WAIT_MS: i32 = 100;
/// A camera that sends nothing for this long is lost. The first picture of slow ones takes over a second.
const SILENCE: Duration = Duration::from_secs(5);
/// `POLLIN` of poll(2).
const POLLIN: i16 = 1;
/// Sizes tried of a camera that offers any size within limits.
const USUAL_SIZES: [Size; 6] = [
    Size::HD,
    Size::new(1920, 1080),
    Size::new(960, 540),
    Size::new(640, 480),
    Size::new(640, 360),
    Size::new(320, 240),
];
/// Rates tried of a camera that offers any rate within limits, and of one that lists none.
const USUAL_RATES: [u32; 4] = [60, 30, 25, 15];

/// The cameras, by the number of their device.
///
/// # Errors
/// [`CameraError::PermissionDenied`] if there are devices but none of them may be opened.
pub(super) fn find() -> Result<Vec<Found>, CameraError> {
    let mut nodes: Vec<(u32, PathBuf)> = fs::read_dir("/dev")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.strip_prefix("video")?.parse().ok()?;
            Some((number, entry.path()))
        })
        .collect();
    nodes.sort_unstable();
    let (mut found, mut denied) = (Vec::new(), false);
    for (_, path) in nodes {
        match describe(&path) {
            Ok(Some(camera)) => found.push(camera),
            Ok(None) => {}
            Err(error) => {
                denied |= error.kind() == std::io::ErrorKind::PermissionDenied;
                tracing::debug!(path = %path.display(), %error, "no camera there");
            }
        }
    }
    if found.is_empty() && denied { Err(CameraError::PermissionDenied) } else { Ok(found) }
}

/// Captures in the first of the formats that the driver accepts, until stopped.
pub(super) fn run(id: &str, formats: &[Format], publisher: &mut Publisher<'_>) -> Result<(), CameraError> {
    let device = Device::with_path(id).map_err(|error| CameraError::from_io(&error))?;
    let (format, stride) = negotiate(&device, formats)?;
    let mut stream = MmapStream::with_buffers(&device, Type::VideoCapture, BUFFERS)
        .map_err(|error| CameraError::from_io(&error))?;
    // `next` gives the buffer that it holds (number 0 at first) back before it takes one: the others start out queued.
    for index in 1..BUFFERS as usize {
        if let Err(error) = CaptureStream::queue(&mut stream, index) {
            tracing::debug!(%error, index, "the driver gave fewer buffers");
            break;
        }
    }
    stream.start().map_err(|error| CameraError::from_io(&error))?;
    stream.set_timeout(SILENCE);
    let handle = stream.handle();
    let mut last = Instant::now();
    let mut opened = false;
    while !publisher.stopped() {
        match handle.poll(POLLIN, WAIT_MS) {
            Ok(0) if last.elapsed() > SILENCE => return Err(CameraError::Silent),
            Ok(0) => continue,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(CameraError::from_io(&error)),
        }
        let (data, meta) = stream.next().map_err(|error| CameraError::from_io(&error))?;
        last = Instant::now();
        let used = (meta.bytesused as usize).min(data.len());
        if !opened {
            publisher.handle_opened(format, stride);
            opened = true;
        }
        publisher.handle_picture(&data[..used], last)?;
    }
    Ok(())
}

/// Leaves the device set to this format, for whoever opens it next.
///
/// # Errors
/// [`CameraError::NoFormat`] if the driver does not take it.
pub(super) fn preset(id: &str, format: &Format) -> Result<(), CameraError> {
    let device = Device::with_path(id).map_err(|error| CameraError::from_io(&error))?;
    negotiate(&device, std::slice::from_ref(format)).map(|_given| ())
}

/// A node that is a camera with at least one format we can use.
fn describe(path: &std::path::Path) -> std::io::Result<Option<Found>> {
    let device = Device::with_path(path)?;
    let caps = device.query_caps()?;
    if !caps.capabilities.contains(Flags::VIDEO_CAPTURE | Flags::STREAMING) {
        return Ok(None);
    }
    let mut formats = Vec::new();
    for description in device.enum_formats()? {
        let Some(pixels) = Pixels::ALL.into_iter().find(|p| *p.fourcc() == description.fourcc.repr) else {
            continue;
        };
        for size in sizes(&device, description.fourcc) {
            for interval in intervals(&device, description.fourcc, size) {
                let format = Format { size, pixels, interval };
                if !formats.contains(&format) {
                    formats.push(format);
                }
            }
        }
    }
    // The second node of a USB camera carries metadata, no pictures.
    if formats.is_empty() {
        return Ok(None);
    }
    Ok(Some(Found { id: path.display().to_string(), name: caps.card, formats }))
}

fn sizes(device: &Device, code: FourCC) -> Vec<Size> {
    let listed = device.enum_framesizes(code).unwrap_or_default();
    listed
        .into_iter()
        .flat_map(|entry| match entry.size {
            FrameSizeEnum::Discrete(size) => vec![Size::new(size.width, size.height)],
            FrameSizeEnum::Stepwise(range) => stepwise_sizes(&range),
        })
        .collect()
}

/// The usual sizes within the range, and its largest.
fn stepwise_sizes(range: &Stepwise) -> Vec<Size> {
    let on_step = |value: u32, least: u32, most: u32, step: u32| {
        (least..=most).contains(&value) && (value - least).is_multiple_of(step.max(1))
    };
    let mut sizes: Vec<Size> = USUAL_SIZES
        .into_iter()
        .filter(|size| {
            on_step(size.width, range.min_width, range.max_width, range.step_width)
                && on_step(size.height, range.min_height, range.max_height, range.step_height)
        })
        .collect();
    if sizes.is_empty() {
        sizes.push(Size::new(range.max_width, range.max_height));
    }
    sizes
}

fn intervals(device: &Device, code: FourCC, size: Size) -> Vec<(u32, u32)> {
    let listed = device.enum_frameintervals(code, size.width, size.height).unwrap_or_default();
    if listed.is_empty() {
        // Some drivers list none; they are asked for the usual one and give what they can.
        return vec![(1, 30)];
    }
    listed
        .into_iter()
        .flat_map(|entry| match entry.interval {
            FrameIntervalEnum::Discrete(interval) => vec![(interval.numerator, interval.denominator)],
            FrameIntervalEnum::Stepwise(range) => {
                let seconds = |f: &Fraction| f64::from(f.numerator) / f64::from(f.denominator.max(1));
                let (shortest, longest) = (seconds(&range.min), seconds(&range.max));
                let within =
                    |fps: &u32| (shortest - 1e-6..=longest + 1e-6).contains(&(1.0 / f64::from(*fps)));
                USUAL_RATES.into_iter().filter(within).map(|fps| (1, fps)).collect()
            }
        })
        .collect()
}

/// Sets the first format that the driver takes exactly. Gives it and the length of its rows.
fn negotiate(device: &Device, formats: &[Format]) -> Result<(Format, usize), CameraError> {
    for wanted in formats {
        let asked =
            v4l::Format::new(wanted.size.width, wanted.size.height, FourCC::new(wanted.pixels.fourcc()));
        let given = match device.set_format(&asked) {
            Ok(given) => given,
            Err(error) => match CameraError::from_io(&error) {
                CameraError::Driver(reason) => {
                    tracing::debug!(%wanted, reason, "format refused");
                    continue;
                }
                grave => return Err(grave),
            },
        };
        if (given.width, given.height, given.fourcc.repr) != (asked.width, asked.height, asked.fourcc.repr) {
            tracing::debug!(%wanted, %given, "another format given");
            continue;
        }
        let interval = Fraction::new(wanted.interval.0, wanted.interval.1);
        let interval = match device.set_params(&Parameters::new(interval)) {
            Ok(given) => (given.interval.numerator, given.interval.denominator),
            Err(error) => {
                // Pictures at another rate are better than none.
                tracing::debug!(%wanted, %error, "rate refused");
                wanted.interval
            }
        };
        return Ok((Format { interval, ..*wanted }, given.stride as usize));
    }
    Err(CameraError::NoFormat)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_sizes_gives_the_usual_ones_on_its_steps() {
        let range = |max_width, max_height, step| Stepwise {
            min_width: 32,
            max_width,
            step_width: step,
            min_height: 16,
            max_height,
            step_height: step,
        };
        assert_eq!(stepwise_sizes(&range(1280, 720, 16))[0], Size::HD);
        assert!(!stepwise_sizes(&range(1280, 720, 1)).contains(&Size::new(1920, 1080)));
        assert_eq!(stepwise_sizes(&range(100, 100, 1)), [Size::new(100, 100)]);
        assert!(!stepwise_sizes(&range(1920, 1080, 0)).is_empty());
    }
}
