//! PulseAudio, and PipeWire in its place: our own client of the native protocol.
//!
//! Driven by `devices`. A [`Server`] is one connection; its thread `audio-pulse` moves sound between the socket and
//! the rings, and tells of devices that come and go the moment it happens. Nothing here waits for the server without a
//! limit: a server that hangs costs an error, and a stream or a connection is let go without its consent.
//!
//! The server converts: every stream is mono `f32` at 48 kHz, whatever the device. In its steady state the thread
//! allocates nothing, takes no lock and writes no log.

mod ahead;
mod answers;
mod buffers;
mod link;
mod place;
mod server;
mod stream;
mod wire;

pub(super) use server::{Found, Inventory, Server, Stream};

/// Why the server did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum PulseError {
    /// Nothing listens.
    #[error("no sound server runs")]
    NotRunning,
    /// It said no.
    #[error("the sound server refused: {0}")]
    Refused(pulseaudio::protocol::PulseError),
    /// It said something that it must not say.
    #[error("the sound server sent something that makes no sense: {0}")]
    Protocol(#[from] pulseaudio::protocol::ProtocolError),
    /// It did not answer in time, or the connection broke.
    #[error("the sound server does not answer; restart it")]
    Silent,
    /// No thread or no socket was to be had.
    #[error("the system gave no connection to the sound server: {0}")]
    Io(#[from] std::io::Error),
}
