//! What every codec's encoder is told when it is made.

use super::frame::Size;

/// What an encoder is made for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct EncoderSettings {
    pub(crate) size: Size,
    pub(crate) bits_per_second: u32,
    pub(crate) fps: f64,
    /// What the encoder before it sent beyond the rate, in seconds of the rate.
    pub(crate) backlog: f64,
}
