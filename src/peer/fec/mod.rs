//! Forward error correction of pictures: parities that give lost packets back without a round trip. Sans-IO.
//!
//! Driven by the chain: [`Encoder`] by `chain::protect`, which sends what it makes; [`Decoder`] by `chain::restore`, which
//! puts what it gives back among what arrived; [`Policy`] by `chain::transport`, which hears of every loss. Nothing here
//! sends, reads a clock, or knows what a packet carries.
//!
//! The format on the wire is draft-ietf-payload-flexible-fec-scheme-03 (`flexfec-03`), not the RFC 8627 that came of it
//! and that says of itself that it does not interwork with its drafts: the draft is the only one that browsers know.
//!
//! A parity is the XOR of the packets that its mask names. Which those are is [`code`]'s business, and the decoder solves
//! whatever equations it is given, so that both can change without each other.

mod code;
mod decoder;
mod encoder;
pub(in crate::peer) mod format;
mod policy;
#[cfg(test)]
mod tests;

pub(super) use decoder::Decoder;
#[cfg(test)]
pub(super) use decoder::Restored;
pub(super) use encoder::Encoder;
pub(super) use policy::{Policy, Seen};

use bytes::Bytes;

/// A packet as it is protected: what it is on the wire, but for the extensions that change on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Media {
    /// RTP sequence number.
    pub(super) sequence: u16,
    /// RTP header, extensions included; at least [`format::RTP_HEADER`] octets.
    pub(super) header: Bytes,
    /// RTP payload.
    pub(super) payload: Bytes,
}

impl Media {
    /// A whole RTP packet, cut where its payload begins as far as that can be told: it matters only that both parts
    /// together are the packet. `None` if it is shorter than a header.
    fn read(sequence: u16, octets: &[u8]) -> Option<Self> {
        let (header, payload) = octets.split_at_checked(format::RTP_HEADER)?;
        Some(Self {
            sequence,
            header: Bytes::copy_from_slice(header),
            payload: Bytes::copy_from_slice(payload),
        })
    }
}
