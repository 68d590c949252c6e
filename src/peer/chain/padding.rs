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
const ELEMENTS: usize = 5;
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
        header.extensions.push(rtp::header::Extension {
            id: FIRST_ID + element as u8,
            payload: Bytes::from_static(&ZEROS[..length]),
        });
        rest -= length + ELEMENT_HEADER;
    }
    rtp::Packet { header, payload: Bytes::new() }
}
