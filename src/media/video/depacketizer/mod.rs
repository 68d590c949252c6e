//! Pictures from RTP payloads, for each codec by its own payload format. Sans-IO, safe with any input.
//!
//! Driven by [`super::reassembly`], which knows the order of packets but nothing of what is in them.

mod h264;

use crate::media::ports::VideoCodec;

/// The payload breaks the codec's payload format, or uses a mode that was not negotiated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Builds one picture from its payloads in order.
#[derive(Debug)]
pub(crate) enum AccessUnitBuilder {
    /// RFC 6184.
    H264(h264::Builder),
}

impl AccessUnitBuilder {
    /// Starts over, writing into `buffer`'s storage.
    pub(crate) fn new(codec: VideoCodec, buffer: Vec<u8>) -> Self {
        match codec {
            VideoCodec::H264 => Self::H264(h264::Builder::new(buffer)),
        }
    }

    /// Adds the next payload. An empty one is padding and adds nothing.
    ///
    /// # Errors
    /// [`Malformed`]: the picture cannot be built.
    pub(crate) fn handle_payload(&mut self, payload: &[u8]) -> Result<(), Malformed> {
        match self {
            Self::H264(builder) => builder.handle_payload(payload),
        }
    }

    /// The picture as its decoder takes it, and whether decoding can start with it.
    ///
    /// # Errors
    /// [`Malformed`] if it is empty or not whole.
    pub(crate) fn finish(self) -> Result<(Vec<u8>, bool), Malformed> {
        match self {
            Self::H264(builder) => builder.finish(),
        }
    }
}

/// Whether a payload can only be the first of a keyframe.
pub(crate) fn begins_keyframe(codec: VideoCodec, payload: &[u8]) -> bool {
    match codec {
        VideoCodec::H264 => h264::begins_keyframe(payload),
    }
}

/// Whether a payload holds a keyframe, or a part of one that can be known as such.
pub(crate) fn holds_keyframe(codec: VideoCodec, payload: &[u8]) -> bool {
    match codec {
        VideoCodec::H264 => h264::holds_keyframe(payload),
    }
}
