//! Splits encoded pictures into RTP payloads, for each codec by its own payload format. Sans-IO.

pub(super) mod h264;
pub(super) mod vp8;

use crate::media::ports::VideoCodec;
use bytes::Bytes;

/// Largest RTP payload, octets: fits 1 200-octet paths (RFC 8835 section 3.4's conservative MTU) with headers,
/// extensions and the SRTP tag.
pub(super) const MAX_PAYLOAD: usize = 1_150;
/// VP8's picture identifiers have 15 bits (RFC 7741 section 4.2).
const PICTURE_IDS: u16 = 1 << 15;

/// What has to be carried on from one picture of a stream to the next.
#[derive(Debug)]
pub(super) struct Packetizer {
    /// VP8's identifier of the next picture.
    picture_id: u16,
}

impl Packetizer {
    /// Begins a stream.
    pub(super) fn new() -> Self {
        // A random start (RFC 7741 section 4.2).
        Self { picture_id: rand::random::<u16>() % PICTURE_IDS }
    }

    /// The RTP payloads of one picture, in order; the last one carries the marker bit.
    pub(super) fn packetize(&mut self, codec: VideoCodec, picture: &Bytes) -> Vec<Bytes> {
        match codec {
            VideoCodec::H264 => h264::packetize(picture),
            VideoCodec::Vp8 => {
                let id = self.picture_id;
                self.picture_id = (id + 1) % PICTURE_IDS;
                vp8::packetize(picture, id)
            }
        }
    }
}
