//! Packets without a meaning, for probes: what there is to send is rarely as much as a probe needs.
//!
//! A padding packet travels on the retransmission stream with an empty payload, as libwebrtc's do, so that no gap and no
//! picture comes of it: every receiver discards it after it has counted for congestion feedback. Its octets are in header
//! extension elements with identifiers that nobody negotiated, which receivers skip (RFC 8285 section 4.2, the two-octet
//! form): the crate's own padding field reaches no further than three octets.

use bytes::Bytes;
use rtc::rtp;
use rtc::rtp::header::EXTENSION_PROFILE_TWO_BYTE;

/// Identifier of the first element; the next ones count up. Far from those that negotiation hands out.
const FIRST_ID: u8 = 240;
/// Longest element (RFC 8285 section 4.3).
const ELEMENT: usize = 255;
/// And its own header.
const ELEMENT_HEADER: usize = 2;
/// Elements at most.
const ELEMENTS: u8 = 5;
/// RTP header, header of the extension block, the crate's padding, and the elements that the chain adds (sequence number
/// and time).
const FIXED: usize = 12 + 4 + 4 + (2 + 2) + (2 + 3);

/// Where padding goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Repair {
    /// SSRC of the retransmission stream.
    pub(super) ssrc: u32,
    /// And its payload type.
    pub(super) payload_type: u8,
}

/// One packet of about so many octets, from RTP header to padding.
pub(super) fn padding(to: Repair, sequence_number: u16, timestamp: u32, octets: usize) -> rtp::Packet {
    static ZEROS: [u8; ELEMENT] = [0; ELEMENT];
    let mut header = rtp::Header {
        version: 2,
        padding: true,
        extension: true,
        extension_profile: EXTENSION_PROFILE_TWO_BYTE,
        payload_type: to.payload_type,
        sequence_number,
        timestamp,
        ssrc: to.ssrc,
        ..rtp::Header::default()
    };
    let mut rest = octets.saturating_sub(FIXED);
    for element in 0..ELEMENTS {
        if rest <= ELEMENT_HEADER {
            break;
        }
        let length = (rest - ELEMENT_HEADER).min(ELEMENT);
        // By the crate's own function, which counts the block's padding with it.
        if header.set_extension(FIRST_ID + element, Bytes::from_static(&ZEROS[..length])).is_err() {
            break;
        }
        rest -= length + ELEMENT_HEADER;
    }
    rtp::Packet { header, payload: Bytes::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rtc::shared::marshal::{Marshal, MarshalSize, Unmarshal};

    #[test]
    fn padding_has_the_size_asked_for_and_arrives_without_a_payload() {
        for octets in 50..1_300 {
            let mut packet = padding(Repair { ssrc: 7, payload_type: 103 }, 1, 2, octets);
            packet.header.set_extension(4, Bytes::from_static(&[1, 2, 3])).expect("fits");
            packet.header.set_extension(5, Bytes::from_static(&[9, 8])).expect("fits");
            let wire = packet.marshal().expect("marshals");
            assert_eq!(wire.len(), packet.marshal_size());
            assert!(wire.len().abs_diff(octets) <= 8, "{} for {octets}", wire.len());
            let read = rtp::Packet::unmarshal(&mut wire.freeze()).expect("unmarshals");
            assert!(read.payload.is_empty(), "{octets}: {:?}", read.payload);
            assert_eq!(read.header.get_extension(5), Some(Bytes::from_static(&[9, 8])), "{octets}");
        }
    }
}
