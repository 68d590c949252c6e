//! What can be read in a datagram from outside: which protocol it is of, and the plain parts of STUN and DTLS.
//!
//! Pure functions over octets that anybody may have sent; none of them trusts a length.

/// STUN's magic cookie (RFC 8489 section 5).
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const STUN_HEADER: usize = 20;
const BINDING_REQUEST: u16 = 0x0001;
const BINDING_SUCCESS: u16 = 0x0101;
/// TURN's two envelopes (RFC 8656 sections 11.3 and 12.4) and the attribute with what is in them.
const SEND_INDICATION: u16 = 0x0016;
const DATA_INDICATION: u16 = 0x0017;
const DATA: u16 = 0x0013;
const CHANNEL_HEADER: usize = 4;
/// Of DTLS records (RFC 6347 section 4.1).
const RECORD_HEADER: usize = 13;
const CHANGE_CIPHER_SPEC: u8 = 20;
const HANDSHAKE: u8 = 22;

/// An identifier of a STUN transaction.
pub(super) type Transaction = [u8; 12];

/// The datagram is none of media: a check, a handshake, or something from a relay. By its first octet
/// (RFC 7983 section 7).
pub(super) fn concerns_setup(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| *first < 128)
}

/// The datagram is of SRTP or SRTCP (RFC 7983 section 7).
pub(super) fn is_media(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| (128..192).contains(first))
}

/// The datagram itself, or what a relay's envelope holds.
pub(super) fn unwrapped(datagram: &[u8]) -> &[u8] {
    match datagram {
        [0x40..=0x4f, ..] => datagram.get(CHANNEL_HEADER..).unwrap_or_default(),
        [0x00, ..] if matches!(stun_type(datagram), Some(SEND_INDICATION | DATA_INDICATION)) => {
            attribute(datagram, DATA).unwrap_or_default()
        }
        _ => datagram,
    }
}

/// The transaction that a connectivity check begins.
pub(super) fn check(datagram: &[u8]) -> Option<Transaction> {
    (stun_type(datagram)? == BINDING_REQUEST).then(|| transaction(datagram)).flatten()
}

/// The transaction that the answer to a check ends.
pub(super) fn check_answer(datagram: &[u8]) -> Option<Transaction> {
    (stun_type(datagram)? == BINDING_SUCCESS).then(|| transaction(datagram)).flatten()
}

/// Whether a STUN message has an attribute of that type.
pub(super) fn holds(datagram: &[u8], kind: u16) -> bool {
    attribute(datagram, kind).is_some()
}

/// A record of a DTLS handshake, or the change of cipher that goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// 0 before the change of cipher.
    pub(super) epoch: u16,
    /// Within the epoch; 48 bits.
    pub(super) number: u64,
    /// The handshake message and the place in it that it begins with, where that can be read.
    pub(super) message: Option<(u16, u32)>,
    /// Part of a handshake message, and not a change of cipher.
    pub(super) is_handshake: bool,
}

/// The handshake's records in a datagram, in order; none if it is something else.
pub(super) fn handshake_records(datagram: &[u8]) -> impl Iterator<Item = Record> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let (header, body) = rest.split_at_checked(RECORD_HEADER)?;
        let kind = header[0];
        let epoch = u16::from_be_bytes([header[3], header[4]]);
        let number = header[5..11].iter().fold(0, |number, octet| number << 8 | u64::from(*octet));
        let length = usize::from(u16::from_be_bytes([header[11], header[12]]));
        let (body, after) = body.split_at_checked(length)?;
        rest = after;
        let is_handshake = kind == HANDSHAKE;
        // RFC 6347 section 4.2.2; after the change of cipher it is not to be read.
        let message = match body {
            [_, _, _, _, high, low, first, second, third, ..] if is_handshake && epoch == 0 => {
                Some((u16::from_be_bytes([*high, *low]), u32::from_be_bytes([0, *first, *second, *third])))
            }
            _ => None,
        };
        Some((kind, Record { epoch, number, message, is_handshake }))
    })
    .filter(|(kind, _)| matches!(*kind, HANDSHAKE | CHANGE_CIPHER_SPEC))
    .map(|(_, record)| record)
}

fn stun_type(datagram: &[u8]) -> Option<u16> {
    (datagram.get(4..8)? == MAGIC_COOKIE && datagram.len() >= STUN_HEADER)
        .then(|| u16::from_be_bytes([datagram[0], datagram[1]]))
}

fn transaction(datagram: &[u8]) -> Option<Transaction> {
    datagram.get(8..STUN_HEADER)?.try_into().ok()
}

/// The first attribute of that type (RFC 8489 section 14).
fn attribute(datagram: &[u8], wanted: u16) -> Option<&[u8]> {
    let mut rest = datagram.get(STUN_HEADER..)?;
    while let [type_high, type_low, length_high, length_low, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*length_high, *length_low]));
        let value = tail.get(..length)?;
        if u16::from_be_bytes([*type_high, *type_low]) == wanted {
            return Some(value);
        }
        rest = tail.get(length.next_multiple_of(4)..)?;
    }
    None
}
