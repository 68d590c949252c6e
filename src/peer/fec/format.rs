//! A parity on the wire: section 4.2 of draft-ietf-payload-flexible-fec-scheme-03, with a flexible mask (R = 0, F = 0) and
//! one protected stream.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |0|0|P|X|  CC   |M| PT recovery |        length recovery        |
//! |                          TS recovery                          |
//! | SSRC count: 1 |                   reserved                    |
//! |                      protected stream's SSRC                  |
//! |        base sequence number   |k|        mask 0..15           |
//! |k|                     mask 15..46, if k before it is 0        |
//! |k|                     mask 46..109, 64 bits, likewise         |
//! ```

use super::Media;

/// Octets of an RTP header without extensions (RFC 3550 section 5.1).
pub(in crate::peer) const RTP_HEADER: usize = 12;
/// Octets of the recovery fields.
const RECOVERY: usize = 8;
/// Octets up to the first part of the mask, and with it.
const FIXED: usize = 18;
const SHORT: usize = 20;
const MIDDLE: usize = 24;
const LONG: usize = 32;
/// Packets that the parts of a mask reach.
const SHORT_REACH: u32 = 15;
const MIDDLE_REACH: u32 = 46;
/// Packets that a mask can name, from its base on.
pub(in crate::peer) const REACH: usize = 109;
/// Where a header says that the mask ends.
const LAST: u8 = 0x80;
/// R and F bit, and version where an RTP header has it.
const VERSION: u8 = 0xc0;

/// Why octets are no parity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::peer) enum Malformed {
    /// Shorter than it says.
    #[error("the other side's parity packet ends in its header")]
    Short,
    /// Another form than that of the module.
    #[error("the other side's parity packet has a form that is not supported")]
    Form,
}

/// Which packets a parity covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::peer) struct Coverage {
    /// Sequence number of the first one that it could cover.
    pub(in crate::peer) base: u16,
    /// Bit n: it covers `base + n`. Only the lowest [`REACH`] bits are used.
    pub(in crate::peer) mask: u128,
}

impl Coverage {
    /// Sequence numbers covered, in order.
    pub(in crate::peer) fn sequences(self) -> impl Iterator<Item = u16> {
        let named = move |n: &u16| self.mask & (1 << n) != 0;
        (0..REACH as u16).filter(named).map(move |n| self.base.wrapping_add(n))
    }

    /// Octets of a header that can say so.
    fn header_octets(self) -> usize {
        match 128 - self.mask.leading_zeros() {
            reach if reach <= SHORT_REACH => SHORT,
            reach if reach <= MIDDLE_REACH => MIDDLE,
            _ => LONG,
        }
    }
}

/// XOR of packets, as recovery fields and what comes after the fixed header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    recovery: [u8; RECOVERY],
    body: Vec<u8>,
}

impl Sum {
    /// Adds a packet, or takes it out again: the two are the same. A header that is none adds nothing.
    pub(super) fn add(&mut self, media: &Media) {
        let Some((fixed, extensions)) = media.header.split_at_checked(RTP_HEADER) else { return };
        let length = (extensions.len() + media.payload.len()) as u16;
        let [high, low] = length.to_be_bytes();
        let fields = [fixed[0] & !VERSION, fixed[1], high, low, fixed[4], fixed[5], fixed[6], fixed[7]];
        xor(&mut self.recovery, &fields);
        self.add_body(0, extensions);
        self.add_body(extensions.len(), &media.payload);
    }

    /// Adds another sum.
    pub(super) fn merge(&mut self, other: &Self) {
        xor(&mut self.recovery, &other.recovery);
        self.add_body(0, &other.body);
    }

    fn add_body(&mut self, at: usize, octets: &[u8]) {
        let end = at + octets.len();
        if self.body.len() < end {
            self.body.resize(end, 0);
        }
        xor(&mut self.body[at..end], octets);
    }

    /// The parity's RTP payload.
    pub(super) fn write(&self, ssrc: u32, coverage: Coverage) -> Vec<u8> {
        let header = coverage.header_octets();
        let mut out = Vec::with_capacity(header + self.body.len());
        out.extend_from_slice(&self.recovery);
        out.extend_from_slice(&[1, 0, 0, 0]);
        out.extend_from_slice(&ssrc.to_be_bytes());
        out.extend_from_slice(&coverage.base.to_be_bytes());
        // The first packet's bit is the most significant one of its part.
        let part = |from: u32, to: u32| -> u64 {
            let width = to - from;
            let bits = (coverage.mask >> from) as u64 & ((1 << width) - 1);
            bits.reverse_bits() >> (64 - width)
        };
        let first = part(0, SHORT_REACH) as u16 | if header == SHORT { 1 << 15 } else { 0 };
        out.extend_from_slice(&first.to_be_bytes());
        if header > SHORT {
            let second = part(SHORT_REACH, MIDDLE_REACH) as u32 | if header == MIDDLE { 1 << 31 } else { 0 };
            out.extend_from_slice(&second.to_be_bytes());
        }
        if header > MIDDLE {
            let third = part(MIDDLE_REACH, REACH as u32) | 1 << 63;
            out.extend_from_slice(&third.to_be_bytes());
        }
        out.extend_from_slice(&self.body);
        out
    }

    /// The packet that this is, if it is one packet of the stream and nothing else. `None` if its length says otherwise.
    pub(super) fn restore(&self, ssrc: u32, sequence: u16) -> Option<Vec<u8>> {
        let [bits, kind, high, low, timestamp @ ..] = self.recovery;
        let length = usize::from(u16::from_be_bytes([high, low]));
        let body = self.body.get(..length)?;
        let mut out = Vec::with_capacity(RTP_HEADER + length);
        out.extend_from_slice(&[bits & !VERSION | 0x80, kind]);
        out.extend_from_slice(&sequence.to_be_bytes());
        out.extend_from_slice(&timestamp);
        out.extend_from_slice(&ssrc.to_be_bytes());
        out.extend_from_slice(body);
        Some(out)
    }
}

fn xor(sum: &mut [u8], octets: &[u8]) {
    sum.iter_mut().zip(octets).for_each(|(sum, octet)| *sum ^= octet);
}

/// What a parity's header says: the stream that it protects, what it covers, and the octets of the header.
///
/// # Errors
///
/// [`Malformed`], whoever sent it.
pub(in crate::peer) fn read_header(payload: &[u8]) -> Result<(u32, Coverage, usize), Malformed> {
    let (fixed, _) = payload.split_first_chunk::<FIXED>().ok_or(Malformed::Short)?;
    if fixed[0] & VERSION != 0 || fixed[8] != 1 {
        return Err(Malformed::Form);
    }
    let ssrc = u32::from_be_bytes([fixed[12], fixed[13], fixed[14], fixed[15]]);
    let base = u16::from_be_bytes([fixed[16], fixed[17]]);
    let (mut mask, mut at) = (0_u128, FIXED);
    for (octets, reached) in [(2, 0), (4, SHORT_REACH), (8, MIDDLE_REACH)] {
        let part = payload.get(at..at + octets).ok_or(Malformed::Short)?;
        let last = part[0] & LAST != 0;
        let value = part.iter().fold(0_u64, |value, octet| value << 8 | u64::from(*octet));
        // Without the k bit the first packet's is the most significant.
        let bits = value.reverse_bits() >> (64 - octets * 8 + 1);
        mask |= u128::from(bits) << reached;
        at += octets;
        if last {
            return Ok((ssrc, Coverage { base, mask }, at));
        }
    }
    Err(Malformed::Form)
}

/// A parity as it arrived: the stream that it protects, what it covers, and the sum.
///
/// # Errors
///
/// [`Malformed`], whoever sent it.
pub(super) fn read(payload: &[u8]) -> Result<(u32, Coverage, Sum), Malformed> {
    let (ssrc, coverage, header) = read_header(payload)?;
    let mut recovery = [0; RECOVERY];
    recovery.copy_from_slice(payload.get(..RECOVERY).ok_or(Malformed::Short)?);
    let body = payload.get(header..).ok_or(Malformed::Short)?.to_vec();
    Ok((ssrc, coverage, Sum { recovery, body }))
}
