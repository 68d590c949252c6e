//! Cameras: finds them, opens the one chosen in the format that suits best, and publishes its pictures.
//!
//! Driven by [`super::capture`]'s thread, which blocks in here until it is told to stop or the camera is gone. `nokhwa`
//! is the way to the camera, with a format that the device is known to have. On Linux `v4l` goes first: it waits for
//! pictures with a time limit, so that a camera that stalls is told and let go, and it knows every format and rate;
//! `nokhwa` is what is left where `v4l` cannot start the device.

mod convert;
mod error;
mod format;
mod nokhwa;
#[cfg(target_os = "linux")]
mod v4l;

use super::pool::FramePool;
use super::source::{CaptureWish, Sink};
use crate::media::device::Device;
use convert::Converter;
use error::CameraError;
use format::{Format, rank};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

/// Pictures in a row that may be damaged before the camera counts as lost. USB cameras begin with a few.
const DAMAGED_LIMIT: u32 = 60;

/// A camera that is there.
#[derive(Clone, Debug)]
struct Found {
    /// Where: `/dev/video0` on Linux, an index elsewhere.
    id: String,
    name: String,
    /// Everything it offers that we can use.
    formats: Vec<Format>,
}

/// The cameras of this machine, the default one first. Empty, and never a panic, if there is none or none may be used.
pub fn list_cameras() -> Vec<Device> {
    let found = find().unwrap_or_else(|error| {
        tracing::debug!(%error, "no camera listed");
        Vec::new()
    });
    found
        .into_iter()
        .enumerate()
        .map(|(index, camera)| Device {
            id: camera.id,
            name: camera.name,
            default: index == 0,
            formats: camera.formats.iter().map(ToString::to_string).collect(),
        })
        .collect()
}

/// Captures from the camera of this name or id (`None`: the first) until stopped, and reports what becomes of it.
pub(crate) fn run(wanted: Option<&str>, wish: CaptureWish, sink: &Sink<'_>) {
    let mut name = wanted.unwrap_or("camera").to_owned();
    // Both camera libraries panic when a device vanishes at the wrong moment (on release, for example).
    let result = catch_unwind(AssertUnwindSafe(|| capture(wanted, wish, sink, &mut name)));
    match result.unwrap_or(Err(CameraError::Driver("its driver failed unexpectedly".into()))) {
        Ok(()) => {}
        Err(CameraError::PermissionDenied) => {
            tracing::warn!(camera = name, "{}", CameraError::PermissionDenied);
            sink.report_refused();
        }
        Err(error) => sink.report_lost(&name, error.to_string()),
    }
}

fn capture(
    wanted: Option<&str>,
    wish: CaptureWish,
    sink: &Sink<'_>,
    name: &mut String,
) -> Result<(), CameraError> {
    let wanted = wanted.map(resolve);
    let wanted = wanted.as_deref();
    let camera = match select(find()?, wanted) {
        Err(CameraError::NotFound { .. }) if wanted.is_some_and(is_refused) => {
            return Err(CameraError::PermissionDenied);
        }
        selected => selected?,
    };
    name.clone_from(&camera.name);
    let mut publisher = Publisher { sink, name, pool: FramePool::default(), converter: None, damaged: 0 };
    let formats = rank(&camera.formats, wish);
    #[cfg(target_os = "linux")]
    match v4l::run(&camera.id, &formats, &mut publisher) {
        // Once it has run, another way would meet the same fault. In use, gone or refused: likewise.
        Err(error @ (CameraError::Driver(_) | CameraError::NoFormat)) if !publisher.opened() => {
            tracing::warn!(%error, "opening the camera another way");
        }
        result => return result,
    }
    nokhwa::run(&camera.id, &formats, &mut publisher)
}

fn find() -> Result<Vec<Found>, CameraError> {
    #[cfg(target_os = "linux")]
    return v4l::find();
    #[cfg(not(target_os = "linux"))]
    return nokhwa::find();
}

/// The device behind a link such as `/dev/v4l/by-id/usb-...`; every other name stays as it is.
fn resolve(wanted: &str) -> String {
    if !wanted.starts_with("/dev/") {
        return wanted.into();
    }
    std::fs::canonicalize(wanted).map_or_else(|_broken| wanted.into(), |path| path.display().to_string())
}

/// Whether this is a device that is there, but not for this user: it is missing among those found.
fn is_refused(path: &str) -> bool {
    let opened = path.starts_with("/dev/").then(|| std::fs::File::open(path));
    matches!(opened, Some(Err(error)) if error.kind() == std::io::ErrorKind::PermissionDenied)
}

fn select(cameras: Vec<Found>, wanted: Option<&str>) -> Result<Found, CameraError> {
    let names: Vec<String> = cameras.iter().map(|camera| camera.name.clone()).collect();
    let mut cameras = cameras.into_iter();
    let Some(wanted) = wanted else { return cameras.next().ok_or(CameraError::NoCamera) };
    cameras
        .find(|camera| camera.id == wanted || camera.name.eq_ignore_ascii_case(wanted))
        .ok_or_else(|| CameraError::not_found(wanted, &names))
}

/// Turns raw pictures into published ones.
struct Publisher<'a> {
    sink: &'a Sink<'a>,
    name: &'a str,
    pool: FramePool,
    converter: Option<Converter>,
    damaged: u32,
}

impl Publisher<'_> {
    /// The camera is open in this format; `stride` is the length of a row in octets, 0 if rows have no padding.
    fn handle_opened(&mut self, format: Format, stride: usize) {
        tracing::info!(camera = self.name, %format, "camera open");
        self.converter = Some(Converter::new(format.pixels, format.size, stride));
        self.sink.report_opened(self.name);
    }

    /// A raw picture.
    fn handle_picture(&mut self, data: &[u8], captured: Instant) -> Result<(), CameraError> {
        let Some(converter) = &mut self.converter else { return Ok(()) };
        match self.pool.fill(converter.size(), captured, |frame| converter.convert(data, frame)) {
            Ok(frame) => {
                self.damaged = 0;
                self.sink.out.publish(frame);
                Ok(())
            }
            Err(damage) => {
                self.damaged += 1;
                tracing::debug!(%damage, "camera picture left out");
                if self.damaged < DAMAGED_LIMIT { Ok(()) } else { Err(CameraError::Driver(damage)) }
            }
        }
    }

    #[cfg(target_os = "linux")]
    fn opened(&self) -> bool {
        self.converter.is_some()
    }

    fn stopped(&self) -> bool {
        self.sink.stop.is_set()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn camera(id: &str, name: &str) -> Found {
        Found { id: id.into(), name: name.into(), formats: Vec::new() }
    }

    #[test]
    fn a_camera_is_found_by_name_or_path_and_the_first_is_the_default() {
        let cameras = vec![camera("/dev/video0", "HD Webcam"), camera("/dev/video2", "Capture Card")];
        assert_eq!(select(cameras.clone(), None).unwrap().id, "/dev/video0");
        assert_eq!(select(cameras.clone(), Some("capture card")).unwrap().id, "/dev/video2");
        assert_eq!(select(cameras.clone(), Some("/dev/video2")).unwrap().name, "Capture Card");
        let error = select(cameras, Some("Other")).unwrap_err().to_string();
        assert!(
            error.contains("Other") && error.contains("HD Webcam") && error.contains("Capture Card"),
            "{error}"
        );
        assert!(matches!(select(Vec::new(), None), Err(CameraError::NoCamera)));
        assert!(select(Vec::new(), Some("x")).unwrap_err().to_string().contains("no camera"));
    }

    #[test]
    fn a_link_among_the_devices_is_followed_and_a_name_is_left_alone() {
        #[cfg(target_os = "linux")]
        assert!(resolve("/dev/fd").starts_with("/proc/"));
        assert_eq!(resolve("HD Webcam"), "HD Webcam");
        assert_eq!(resolve("/dev/no such camera"), "/dev/no such camera");
        assert!(!is_refused("/dev/null") && !is_refused("/dev/no such camera") && !is_refused("HD Webcam"));
    }

    #[test]
    fn listing_never_panics_whatever_the_machine_has() {
        for device in list_cameras() {
            assert!(!device.id.is_empty());
        }
    }
}
