//! What media threads report while they run. Losing a device is never losing the call.

use tokio::sync::mpsc;

/// Events that may wait for the engine. When full the event is dropped and logged.
pub const MEDIA_EVENT_CAPACITY: usize = 64;

/// Where media threads report to; `try_send` only.
pub type MediaEvents = mpsc::Sender<MediaEvent>;

/// A kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// Camera.
    Camera,
    /// Audio input.
    Microphone,
    /// Audio output.
    Speaker,
}

/// What happened to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaEvent {
    /// The device is open and in use.
    Opened {
        /// What it is.
        kind: DeviceKind,
        /// Its name.
        device: String,
    },
    /// The device could not be opened, or stopped in use; the call goes on without it (or with `fallback`).
    Lost {
        /// What it is.
        kind: DeviceKind,
        /// Its name.
        device: String,
        /// Why, in words a person can act on.
        reason: String,
        /// The device used instead, if any.
        fallback: Option<String>,
    },
    /// The user refused access: the same as cancelling the call.
    Refused {
        /// What it is.
        kind: DeviceKind,
    },
}
