//! Why a camera cannot be used, in words that a person can act on.

use thiserror::Error;

/// What went wrong.
#[derive(Debug, Error)]
pub(crate) enum CameraError {
    #[error("no camera is connected")]
    NoCamera,
    #[error("there is no camera \"{wanted}\": {}", present(.names))]
    NotFound { wanted: String, names: Vec<String> },
    #[error(
        "this user may not use the camera: add the user to the group that owns /dev/video* (often \"video\")"
    )]
    PermissionDenied,
    #[error("the camera is in use by another program: close that program and choose the camera again")]
    Busy,
    #[error("the camera was unplugged")]
    Unplugged,
    #[error("the camera offers no picture format that can be used")]
    NoFormat,
    #[error("the camera sends no pictures: unplug it and plug it in again")]
    Silent,
    #[error("the camera failed: {0}")]
    Driver(String),
}

impl CameraError {
    pub(crate) fn not_found(wanted: &str, names: &[String]) -> Self {
        Self::NotFound { wanted: wanted.into(), names: names.to_vec() }
    }

    /// Sorts a system error by its number (errno(3)); it says whose fault it is better than its text.
    pub(crate) fn from_io(error: &std::io::Error) -> Self {
        const EIO_NO_DEVICE: [i32; 2] = [19, 6]; // ENODEV, ENXIO
        const EBUSY: i32 = 16;
        match (error.kind(), error.raw_os_error()) {
            (std::io::ErrorKind::PermissionDenied, _) => Self::PermissionDenied,
            (std::io::ErrorKind::NotFound, _) => Self::Unplugged,
            (_, Some(EBUSY)) => Self::Busy,
            (_, Some(number)) if EIO_NO_DEVICE.contains(&number) => Self::Unplugged,
            _ => Self::Driver(error.to_string()),
        }
    }
}

fn present(names: &[String]) -> String {
    if names.is_empty() {
        "no camera is connected".into()
    } else {
        format!("connected are {}", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Error;

    #[test]
    fn system_errors_say_whose_fault_it_is() {
        assert!(matches!(CameraError::from_io(&Error::from_raw_os_error(13)), CameraError::PermissionDenied));
        assert!(matches!(CameraError::from_io(&Error::from_raw_os_error(1)), CameraError::PermissionDenied));
        assert!(matches!(CameraError::from_io(&Error::from_raw_os_error(16)), CameraError::Busy));
        assert!(matches!(CameraError::from_io(&Error::from_raw_os_error(19)), CameraError::Unplugged));
        assert!(matches!(CameraError::from_io(&Error::from_raw_os_error(2)), CameraError::Unplugged));
        assert!(matches!(CameraError::from_io(&Error::from_raw_os_error(5)), CameraError::Driver(_)));
    }
}
