//! Splits H.264 access units into RTP payloads (RFC 6184, packetization mode 1). Sans-IO.

use super::MAX_PAYLOAD;
use bytes::{BufMut, Bytes, BytesMut};

const TYPE_MASK: u8 = 0x1f;
const REFERENCE_MASK: u8 = 0xe0;
const SPS: u8 = 7;
const PPS: u8 = 8;
const ACCESS_UNIT_DELIMITER: u8 = 9;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;
const FU_START: u8 = 0x80;
const FU_END: u8 = 0x40;

/// The RTP payloads of one access unit in Annex B format, in order; the last one carries the marker bit.
///
/// Parameter sets are gathered into one aggregation packet (section 5.7.1), so that losing half of them is
/// impossible; a NAL unit that does not fit is fragmented (section 5.8). Access unit delimiters are dropped.
pub(in crate::peer) fn packetize(access_unit: &Bytes) -> Vec<Bytes> {
    let mut payloads = Vec::with_capacity(access_unit.len() / MAX_PAYLOAD + 2);
    let mut sets: Vec<Bytes> = Vec::new();
    for (start, end) in nal_units(access_unit) {
        let unit = access_unit.slice(start..end);
        match unit[0] & TYPE_MASK {
            ACCESS_UNIT_DELIMITER => {}
            SPS | PPS if unit.len() <= MAX_PAYLOAD => sets.push(unit),
            _ => {
                flush_sets(&mut sets, &mut payloads);
                push_unit(unit, &mut payloads);
            }
        }
    }
    flush_sets(&mut sets, &mut payloads);
    payloads
}

/// Ranges of the NAL units between start codes (ITU-T H.264 annex B), none of them empty.
fn nal_units(data: &[u8]) -> Vec<(usize, usize)> {
    let mut units = Vec::new();
    let mut begin = None;
    let mut at = 0;
    while at + 3 <= data.len() {
        if data[at + 2] > 1 {
            at += 3;
        } else if data[at..at + 3] == [0, 0, 1] {
            if let Some(begin) = begin {
                push_range(data, begin, at, &mut units);
            }
            begin = Some(at + 3);
            at += 3;
        } else {
            at += 1;
        }
    }
    if let Some(begin) = begin {
        push_range(data, begin, data.len(), &mut units);
    }
    units
}

/// Without the zeros that belong to the next start code or trail the stream.
fn push_range(data: &[u8], begin: usize, end: usize, units: &mut Vec<(usize, usize)>) {
    let zeros = data[begin..end].iter().rev().take_while(|octet| **octet == 0).count();
    if end - zeros > begin {
        units.push((begin, end - zeros));
    }
}

fn flush_sets(sets: &mut Vec<Bytes>, payloads: &mut Vec<Bytes>) {
    let octets: usize = 1 + sets.iter().map(|set| 2 + set.len()).sum::<usize>();
    if sets.len() < 2 || octets > MAX_PAYLOAD {
        payloads.append(sets);
        return;
    }
    // The aggregate's header carries the highest importance of its parts (section 5.7).
    let importance = sets.iter().map(|set| set[0] & !TYPE_MASK & REFERENCE_MASK).max().unwrap_or_default();
    let mut aggregate = BytesMut::with_capacity(octets);
    aggregate.put_u8(importance | STAP_A);
    for set in sets.drain(..) {
        // At most MAX_PAYLOAD, which fits 16 bits.
        aggregate.put_u16(set.len() as u16);
        aggregate.put_slice(&set);
    }
    payloads.push(aggregate.freeze());
}

fn push_unit(unit: Bytes, payloads: &mut Vec<Bytes>) {
    if unit.len() <= MAX_PAYLOAD {
        payloads.push(unit);
        return;
    }
    let (indicator, kind) = (unit[0] & REFERENCE_MASK | FU_A, unit[0] & TYPE_MASK);
    let body = unit.slice(1..);
    // Pieces of equal size: a runt at the end costs a whole packet's overhead.
    let count = body.len().div_ceil(MAX_PAYLOAD - 2);
    let size = body.len().div_ceil(count);
    let mut pieces = body.chunks(size).enumerate().peekable();
    while let Some((index, piece)) = pieces.next() {
        let mut header = kind;
        if index == 0 {
            header |= FU_START;
        }
        if pieces.peek().is_none() {
            header |= FU_END;
        }
        let mut payload = BytesMut::with_capacity(2 + piece.len());
        payload.put_u8(indicator);
        payload.put_u8(header);
        payload.put_slice(piece);
        payloads.push(payload.freeze());
    }
}
