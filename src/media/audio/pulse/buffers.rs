//! The format of our streams, and how much of them the server is to hold.

use super::super::{BLOCK, SAMPLE_RATE};
use super::wire::SAMPLE;
use pulseaudio::protocol::stream::BufferAttr;
use pulseaudio::protocol::{SampleFormat, SampleSpec};

/// The format of all our streams.
pub(super) const SPEC: SampleSpec =
    SampleSpec { format: SampleFormat::Float32Le, channels: 1, sample_rate: SAMPLE_RATE };

/// Sound that the server hands over at once, samples: 10 ms.
const FRAGMENT: usize = BLOCK;

/// How much sound a server holds for a speaker. Its device takes at once half of what is beyond two requests (PulseAudio's
/// `fix_playback_buffer_attr`, as it is with `adjust_latency`); the rest is kept ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hold {
    /// In all, samples.
    pub(super) target: usize,
    /// What it asks for at once, samples.
    pub(super) request: usize,
}

impl Hold {
    /// What the device takes at once, samples.
    pub(super) fn block(self) -> usize {
        (self.target - 2 * self.request) / 2
    }

    /// What comes between `before` and this: as much sound as this, while the device takes no more at once than before. A
    /// device that begins to take more takes it at that moment, and finds what it was given to take less of.
    pub(super) fn filling_from(self, before: Self) -> Self {
        if self.block() <= before.block() {
            return self;
        }
        Self { target: self.target, request: self.target / 2 - before.block() }
    }
}

/// The buffer of a stream from a microphone.
pub(super) fn recording() -> BufferAttr {
    BufferAttr { fragment_size: octets(FRAGMENT), ..BufferAttr::default() }
}

/// The buffer of a stream to a speaker.
pub(super) fn playback(hold: Hold) -> BufferAttr {
    BufferAttr {
        target_length: octets(hold.target),
        minimum_request_length: octets(hold.request),
        // It plays from the first sample on, and silence rather than a pause when there is none.
        pre_buffering: 0,
        ..BufferAttr::default()
    }
}

fn octets(samples: usize) -> u32 {
    (samples * SAMPLE) as u32
}
