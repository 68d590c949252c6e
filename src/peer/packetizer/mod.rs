//! Splits encoded pictures into RTP payloads, for each codec by its own payload format. Sans-IO.

pub(super) mod h264;

use crate::media::ports::VideoCodec;
use bytes::Bytes;

/// Largest RTP payload, octets: fits 1 200-octet paths (RFC 8835 section 3.4's conservative MTU) with headers,
/// extensions and the SRTP tag.
pub(super) const MAX_PAYLOAD: usize = 1_150;

/// The RTP payloads of one picture, in order; the last one carries the marker bit.
pub(super) fn packetize(codec: VideoCodec, picture: &Bytes) -> Vec<Bytes> {
    match codec {
        VideoCodec::H264 => h264::packetize(picture),
    }
}
