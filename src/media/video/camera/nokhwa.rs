//! Cameras by way of `nokhwa`: the one way on most platforms, the second on Linux. Its read has no time limit, so a
//! camera that stalls is released only when it sends again or is gone.
//!
//! A plain `Camera` on our own thread, asked for exactly one format that the device is known to have: its inexact
//! requests fail where no exact match exists, and its threaded camera spins after it is stopped.

use super::Publisher;
use super::error::CameraError;
use super::format::{Format, Pixels};
use nokhwa::Camera;
use nokhwa::utils::{
    CameraFormat, CameraIndex, FrameFormat, RequestedFormat, RequestedFormatType, Resolution,
};
use std::time::Instant;

/// Captures in the first of the formats that the camera can be opened in, until stopped.
pub(super) fn run(id: &str, formats: &[Format], publisher: &mut Publisher<'_>) -> Result<(), CameraError> {
    let mut last = CameraError::NoFormat;
    for format in formats {
        if publisher.stopped() {
            return Ok(());
        }
        let Some(wanted) = to_nokhwa(format) else { continue };
        match prepare(id, format).and_then(|()| Source::open(id, format, wanted)) {
            Ok(source) => return source.run(publisher),
            Err(error @ (CameraError::Driver(_) | CameraError::NoFormat)) => {
                tracing::debug!(%format, %error, "format refused");
                last = error;
            }
            Err(grave) => return Err(grave),
        }
    }
    Err(last)
}

/// `nokhwa` opens a Video4Linux2 device only if it understands what the device was last set to, by whatever program; so
/// it is set to what will be asked for. Elsewhere nothing outlives a program.
#[cfg(target_os = "linux")]
fn prepare(id: &str, format: &Format) -> Result<(), CameraError> {
    super::v4l::preset(id, format)
}

#[cfg(not(target_os = "linux"))]
fn prepare(_id: &str, _format: &Format) -> Result<(), CameraError> {
    Ok(())
}

/// An open camera.
struct Source {
    camera: Camera,
    format: Format,
}

impl Source {
    /// Opens the camera in this format, `wanted` in the library's own words, and takes its first picture.
    fn open(id: &str, format: &Format, wanted: CameraFormat) -> Result<Self, CameraError> {
        let number = id.trim_start_matches("/dev/video").parse();
        let index = number.map_or_else(|_path| CameraIndex::String(id.into()), CameraIndex::Index);
        let formats = [wanted.format()];
        let request = RequestedFormat::with_formats(RequestedFormatType::Exact(wanted), &formats);
        let mut camera = Camera::new(index, request).map_err(|error| from_nokhwa(&error))?;
        camera.open_stream().map_err(|error| from_nokhwa(&error))?;
        let given = camera.camera_format();
        if given.resolution() != wanted.resolution() || given.format() != wanted.format() {
            return Err(CameraError::Driver(format!("{given} given instead of {format}")));
        }
        Ok(Self { camera, format: *format })
    }

    /// Captures until stopped.
    fn run(mut self, publisher: &mut Publisher<'_>) -> Result<(), CameraError> {
        let mut opened = false;
        while !publisher.stopped() {
            let data = self.camera.frame_raw().map_err(|error| from_nokhwa(&error))?;
            let captured = Instant::now();
            if !opened {
                publisher.handle_opened(self.format, 0);
                opened = true;
            }
            publisher.handle_picture(&data, captured)?;
        }
        Ok(())
    }
}

/// `None` for what `nokhwa` cannot express: planar pictures and fractional rates, which moreover make every later
/// attempt to open the device fail.
fn to_nokhwa(format: &Format) -> Option<CameraFormat> {
    let pixels = match format.pixels {
        Pixels::Nv12 => FrameFormat::NV12,
        Pixels::Yuyv => FrameFormat::YUYV,
        Pixels::Mjpeg => FrameFormat::MJPEG,
        Pixels::I420 | Pixels::Grey | Pixels::Rgb | Pixels::Bgr => return None,
    };
    let (1, fps) = format.interval else { return None };
    Some(CameraFormat::new(Resolution::new(format.size.width, format.size.height), pixels, fps))
}

/// `nokhwa` gives the system's error as text only; its texts end in "(os error N)".
fn from_nokhwa(error: &nokhwa::NokhwaError) -> CameraError {
    let text = error.to_string();
    let number = text.rsplit_once("(os error ").and_then(|(_, rest)| rest.split(')').next()?.parse().ok());
    match number {
        Some(number) => CameraError::from_io(&std::io::Error::from_raw_os_error(number)),
        None => CameraError::Driver(text),
    }
}

/// The cameras of this machine, with all that they offer.
#[cfg(not(target_os = "linux"))]
pub(super) fn find() -> Result<Vec<super::Found>, CameraError> {
    let infos = nokhwa::query(nokhwa::utils::ApiBackend::Auto).map_err(|error| from_nokhwa(&error))?;
    Ok(infos
        .into_iter()
        .map(|info| super::Found {
            id: info.index().as_string(),
            name: info.human_name(),
            formats: formats_of(info.index()).unwrap_or_default(),
        })
        .collect())
}

#[cfg(not(target_os = "linux"))]
fn formats_of(index: &CameraIndex) -> Result<Vec<Format>, nokhwa::NokhwaError> {
    let all = [FrameFormat::NV12, FrameFormat::YUYV, FrameFormat::MJPEG];
    let request = RequestedFormat::with_formats(RequestedFormatType::AbsoluteHighestFrameRate, &all);
    let listed = Camera::new(index.clone(), request)?.compatible_camera_formats()?;
    let known = |format: CameraFormat| {
        let pixels = match format.format() {
            FrameFormat::NV12 => Pixels::Nv12,
            FrameFormat::YUYV => Pixels::Yuyv,
            FrameFormat::MJPEG => Pixels::Mjpeg,
            _ => return None,
        };
        let size = crate::media::video::frame::Size::new(format.width(), format.height());
        Some(Format { size, pixels, interval: (1, format.frame_rate()) })
    };
    Ok(listed.into_iter().filter_map(known).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::video::frame::Size;

    #[test]
    fn fractional_rates_and_planar_pictures_are_left_to_others() {
        let format = |pixels, interval| Format { size: Size::HD, pixels, interval };
        assert!(to_nokhwa(&format(Pixels::Yuyv, (1, 30))).is_some());
        assert!(to_nokhwa(&format(Pixels::Yuyv, (1001, 30_000))).is_none());
        assert!(to_nokhwa(&format(Pixels::I420, (1, 30))).is_none());
    }

    #[test]
    fn the_system_error_is_read_from_the_text() {
        let error = |text: &str| from_nokhwa(&nokhwa::NokhwaError::OpenStreamError(text.into()));
        assert!(matches!(error("Device or resource busy (os error 16)"), CameraError::Busy));
        assert!(matches!(error("No such device (os error 19)"), CameraError::Unplugged));
        assert!(matches!(error("odd"), CameraError::Driver(_)));
    }
}
