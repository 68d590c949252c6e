//! Sound: microphone to Opus packets, Opus packets to speaker.
//!
//! An [`AudioSession`] runs two threads. `audio` paces everything in 10 ms blocks: it takes what the microphone
//! gathered, encodes it, decodes what arrived and keeps the speaker's ring filled. `audio-devices` opens, watches and
//! closes the devices, which may block for seconds. Device callbacks only move samples through rings, and wake `audio`.
//!
//! ```text
//! microphone callback ─▶ ring ─▶ resample ─▶ processing ─▶ Opus ─▶ AudioPorts::out
//!                                                ▲ reference
//! AudioPorts::packets ─▶ playout (sans-IO) ──────┴─▶ resample ─▶ ring ─▶ speaker callback
//! ```
//!
//! What sounds outside a call's sound, ringing and the tests in the settings, is a [`Ringer`]'s.
//!
//! Sound inside is 48 kHz mono `f32`, full scale ±1. Nothing here knows of networks or windows.

mod codec;
mod devices;
mod gain;
mod keeper;
mod melody;
mod native;
mod opened;
mod pace;
mod playout;
mod ports;
mod present;
pub mod processing;
#[cfg(target_os = "linux")]
mod pulse;
pub mod redundancy;
mod resample;
mod ring;
mod ringer;
mod sender;
mod session;
mod slot;
mod speech;
mod stats;
mod streams;
mod switches;
mod tone;
mod urgency;
mod wav;
mod worker;

pub use codec::{Encoded, Encoder, OpusDecoder};
pub use devices::list_devices;
pub use melody::Chime;
pub use playout::{FrameDecoder, Playout, PlayoutStats};
pub use ports::AudioPorts;
pub use ringer::{Ringer, SoundTest};
pub use session::{AudioSession, SoundChoice};
pub use stats::{AudioStats, SoundLevels};

use std::path::PathBuf;

/// Sample rate inside, hertz; also the RTP clock of Opus (RFC 7587 section 4.1).
pub const SAMPLE_RATE: u32 = 48_000;
/// Samples in a block of 10 ms, the step in which sound is moved.
pub const BLOCK: usize = 480;
/// Samples in an Opus frame of 20 ms.
pub const FRAME: usize = 960;

/// Why there is no sound.
#[derive(Debug, thiserror::Error)]
pub enum AudioError {
    /// The codec library refused to start.
    #[error("the Opus codec could not be started: {0}")]
    Codec(#[from] opus::Error),
    /// The system gave no thread.
    #[error("the system gave no thread for sound; close other programs: {0}")]
    Thread(#[from] std::io::Error),
    /// A WAV file is not usable.
    #[error("the sound file {path} cannot be used: {reason}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// There is no such device, or none at all.
    #[error("{0}")]
    NoDevice(String),
    /// The user, or the system's settings, forbid access.
    #[error("access to {0} was refused; allow it in the system's privacy settings")]
    Refused(String),
    /// The device is there but does not work.
    #[error("{device} cannot be used: {reason}")]
    Device {
        /// Its name.
        device: String,
        /// Why.
        reason: String,
    },
}
