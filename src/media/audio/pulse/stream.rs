//! A stream of sound from or to the server, as the link sees it.

use super::super::ring::{CaptureWriter, Health, PlaybackReader};
use super::ahead::Ahead;
use std::sync::Arc;

/// What a stream carries.
pub(super) enum End {
    Capture(CaptureWriter),
    Playback(PlaybackReader),
}

/// A stream that the server made.
pub(super) struct Stream {
    pub(super) channel: u32,
    pub(super) end: End,
    pub(super) health: Arc<Health>,
    /// Octets that the server asked for and has not got.
    pub(super) wanted: usize,
    /// What it holds, for a stream to a speaker.
    pub(super) ahead: Ahead,
}

impl Stream {
    pub(super) fn is_playback(&self) -> bool {
        matches!(self.end, End::Playback(_))
    }
}

/// The stream of this number; those from microphones and those to speakers are numbered apart.
pub(super) fn find(streams: &mut [Stream], channel: u32, playback: bool) -> Option<&mut Stream> {
    streams.iter_mut().find(|stream| stream.channel == channel && stream.is_playback() == playback)
}
