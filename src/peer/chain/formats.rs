//! What the payload types of received pictures mean: a remote may change its codec with any picture, by the payload
//! type alone (RFC 3264 section 5.1). Lock-free: written after each negotiation, read for every packet.

use crate::media::ports::{CodecCell, VideoCodec};
use std::sync::atomic::{AtomicU8, Ordering};

/// Payload types have 7 bits.
const TYPES: usize = 128;
/// No payload type repairs another by this name: its own is outside of the range.
const NONE: u8 = 0xff;

/// One meaning per payload type.
#[derive(Debug)]
pub(in crate::peer) struct Formats {
    codecs: [CodecCell; TYPES],
    /// Which payload type a retransmission carries (RFC 4588 section 8.1, `apt`).
    originals: [AtomicU8; TYPES],
}

impl Default for Formats {
    fn default() -> Self {
        Self {
            codecs: std::array::from_fn(|_| CodecCell::default()),
            originals: std::array::from_fn(|_| AtomicU8::new(NONE)),
        }
    }
}

impl Formats {
    /// A picture's payload type.
    pub(in crate::peer) fn set_codec(&self, payload_type: u8, codec: VideoCodec) {
        if let Some(cell) = self.codecs.get(usize::from(payload_type)) {
            cell.set(Some(codec));
        }
    }

    /// A retransmission's payload type.
    pub(in crate::peer) fn set_original(&self, payload_type: u8, original: u8) {
        if let Some(cell) = self.originals.get(usize::from(payload_type)) {
            cell.store(original, Ordering::Relaxed);
        }
    }

    /// The codec of a picture with this payload type.
    pub(in crate::peer) fn codec(&self, payload_type: u8) -> Option<VideoCodec> {
        self.codecs.get(usize::from(payload_type))?.value()
    }

    /// The payload type of what a retransmission with this one repairs.
    pub(in crate::peer) fn original(&self, payload_type: u8) -> Option<u8> {
        let original = self.originals.get(usize::from(payload_type))?.load(Ordering::Relaxed);
        (original != NONE).then_some(original)
    }
}
