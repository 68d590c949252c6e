//! A device that is open: whichever sound system it belongs to.

use super::present::Names;
use super::resample::Resampler;
use super::ring::Health;
use std::sync::Arc;

/// An open device.
pub(super) struct Opened<End> {
    /// The `audio` thread's end of its ring.
    pub(super) end: End,
    /// Between its rate and ours.
    pub(super) resampler: Resampler,
    /// Its rate.
    pub(super) hertz: u32,
    /// Dropping it closes the device.
    pub(super) stream: OpenStream,
}

impl<End> Opened<End> {
    pub(super) fn new(
        end: End,
        resampler: Resampler,
        hertz: u32,
        stream: Box<dyn Send>,
        health: Arc<Health>,
        names: Names,
    ) -> Self {
        Self { end, resampler, hertz, stream: OpenStream { _stream: stream, health, names } }
    }
}

/// A running stream; closed when dropped.
pub(super) struct OpenStream {
    /// Of either sound system; only ever dropped.
    _stream: Box<dyn Send>,
    /// What its callback leaves behind.
    pub(super) health: Arc<Health>,
    /// The device's names.
    pub(super) names: Names,
}
