//! The engine: the one owner of the call and of all that a call opened. `Intent` in, `Snapshot` out.

mod active_call;
mod board;
mod core;
mod device_news;
mod echo;
mod figures;
mod handle;
mod hosting;
mod intent;
mod media_desk;
mod network;
mod options;
mod rings;
pub mod settings_file;
mod snapshot;
mod stats;
mod verification;
mod wishes;

pub use crate::call::Direction;
pub use crate::config::{
    AcceptPolicy, CameraChoice, IceServer, MicrophoneChoice, RingtoneVolume, Settings, SoundProcessing,
    SpeakerChoice,
};
pub use crate::media::audio::{SoundLevels, SoundTest};
pub use crate::media::device::{Device, Devices};
pub use crate::media::video::rgba::{DrawnSize, PixelOrder, RgbaImage};
pub use core::start;
pub use echo::ECHO_NAME;
pub use handle::{EngineHandle, EnginePort, INTENT_CAPACITY};
pub use intent::{Intent, TestedSound};
pub use media_desk::list_devices;
pub use options::EngineOptions;
pub use snapshot::*;
pub use stats::*;
pub use wishes::NOTHING_TO_CALL_WITH;
