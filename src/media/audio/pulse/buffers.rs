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
/// Sound that the server asks for at once, samples: with 10 ms in all and 5 ms at once it gives its device 5 ms and keeps
/// 5 ms ready.
const REQUEST: usize = 240;

/// The buffer of a stream from a microphone.
pub(super) fn recording() -> BufferAttr {
    BufferAttr { fragment_size: octets(FRAGMENT), ..BufferAttr::default() }
}

/// The buffer of a stream to a speaker that holds so many samples ahead.
pub(super) fn playback(ahead: usize) -> BufferAttr {
    BufferAttr {
        target_length: octets(ahead),
        minimum_request_length: octets(REQUEST),
        // It plays from the first sample on, and silence rather than a pause when there is none.
        pre_buffering: 0,
        ..BufferAttr::default()
    }
}

fn octets(samples: usize) -> u32 {
    (samples * SAMPLE) as u32
}
