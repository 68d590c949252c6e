//! The engine: the one owner of the call and of all that a call opened. `Intent` in, `Snapshot` out.

mod handle;
mod intent;
mod snapshot;
mod stats;

pub use crate::config::{AcceptPolicy, CameraChoice, IceServer, MicrophoneChoice, Settings, SpeakerChoice};
pub use crate::media::device::{Device, Devices};
pub use crate::media::video::rgba::RgbaImage;
pub use handle::{EngineHandle, EnginePort, INTENT_CAPACITY};
pub use intent::Intent;
pub use snapshot::*;
pub use stats::*;
