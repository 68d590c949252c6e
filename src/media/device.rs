//! What there is to choose from.

use serde::Serialize;

/// The devices of this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Devices {
    /// Cameras.
    pub cameras: Vec<Device>,
    /// Audio inputs.
    pub microphones: Vec<Device>,
    /// Audio outputs.
    pub speakers: Vec<Device>,
}

/// One device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Device {
    /// Stable id: what a choice is stored and given as.
    pub id: String,
    /// Name to show.
    pub name: String,
    /// The system's default.
    pub default: bool,
    /// Formats, as text: `1280x720 YUYV 30 fps`, `48000 Hz 2 ch f32`.
    pub formats: Vec<String>,
}
