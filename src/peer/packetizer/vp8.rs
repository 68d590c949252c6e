//! Splits VP8 frames into RTP payloads (RFC 7741). Sans-IO.

use super::MAX_PAYLOAD;
use bytes::{BufMut, Bytes, BytesMut};

/// First octet of the payload descriptor (section 4.2): an extension octet follows.
const EXTENDED: u8 = 0x80;
/// The payload begins a partition: the first of the frame. We do not split at the others, so that a packet loses no
/// room; to the receiver they are all part of the first.
const PARTITION_START: u8 = 0x10;
/// The extension octet: a picture identifier follows.
const PICTURE_ID: u8 = 0x80;
/// It has 15 bits.
const LONG: u16 = 0x8000;
/// Octets of the descriptor.
const DESCRIPTOR: usize = 4;

/// The RTP payloads of one frame, in order; the last one carries the marker bit. `picture_id` is one more than that
/// of the frame before, modulo 2¹⁵.
pub(in crate::peer) fn packetize(frame: &Bytes, picture_id: u16) -> Vec<Bytes> {
    if frame.is_empty() {
        return Vec::new();
    }
    // Pieces of equal size: a runt at the end costs a whole packet's overhead.
    let count = frame.len().div_ceil(MAX_PAYLOAD - DESCRIPTOR);
    let size = frame.len().div_ceil(count);
    frame
        .chunks(size)
        .enumerate()
        .map(|(index, piece)| {
            let mut payload = BytesMut::with_capacity(DESCRIPTOR + piece.len());
            payload.put_u8(if index == 0 { EXTENDED | PARTITION_START } else { EXTENDED });
            payload.put_u8(PICTURE_ID);
            payload.put_u16(LONG | picture_id);
            payload.put_slice(piece);
            payload.freeze()
        })
        .collect()
}
