//! H.264 from RTP payloads (RFC 6184, packetization mode 1: single NAL unit, STAP-A, FU-A). Sans-IO, safe with any
//! input: every length is checked, nothing panics, and what is odd makes the whole picture malformed.

use super::Malformed;

/// NAL unit types (ITU-T H.264 table 7-1; RFC 6184 table 1).
const NAL_IDR: u8 = 5;
const NAL_SPS: u8 = 7;
const NAL_AUD: u8 = 9;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

const TYPE_MASK: u8 = 0x1f;
/// Forbidden bit and importance of a NAL unit header.
const UPPER_MASK: u8 = 0xe0;
const FU_START: u8 = 0x80;
const FU_END: u8 = 0x40;
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// Builds one access unit from its payloads in order.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    data: Vec<u8>,
    in_fragment: bool,
    keyframe: bool,
}

impl Builder {
    /// Starts over, writing into `buffer`'s storage.
    pub(crate) fn new(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self { data: buffer, in_fragment: false, keyframe: false }
    }

    /// Adds the next payload. An empty one is padding and adds nothing.
    ///
    /// # Errors
    /// [`Malformed`]: the picture cannot be built.
    pub(crate) fn handle_payload(&mut self, payload: &[u8]) -> Result<(), Malformed> {
        let Some((&header, body)) = payload.split_first() else { return Ok(()) };
        match header & TYPE_MASK {
            FU_A => return self.handle_fragment(header, body),
            _ if self.in_fragment => return Err(Malformed),
            1..=23 => self.push_unit(payload),
            STAP_A => {
                let mut rest = body;
                if rest.is_empty() {
                    return Err(Malformed);
                }
                while !rest.is_empty() {
                    let (length, after) = rest.split_first_chunk::<2>().ok_or(Malformed)?;
                    let length = usize::from(u16::from_be_bytes(*length));
                    let (unit, after) = after.split_at_checked(length).ok_or(Malformed)?;
                    // Aggregation packets do not nest (RFC 6184 section 5.7).
                    if !matches!(unit.first().ok_or(Malformed)? & TYPE_MASK, 1..=23) {
                        return Err(Malformed);
                    }
                    self.push_unit(unit);
                    rest = after;
                }
            }
            _ => return Err(Malformed),
        }
        Ok(())
    }

    /// The access unit in Annex B format, and whether it holds an IDR picture.
    ///
    /// # Errors
    /// [`Malformed`] if it is empty or ends within a fragmented unit.
    pub(crate) fn finish(self) -> Result<(Vec<u8>, bool), Malformed> {
        if self.in_fragment || self.data.is_empty() {
            return Err(Malformed);
        }
        Ok((self.data, self.keyframe))
    }

    fn handle_fragment(&mut self, indicator: u8, body: &[u8]) -> Result<(), Malformed> {
        let (&header, fragment) = body.split_first().ok_or(Malformed)?;
        let (start, end) = (header & FU_START != 0, header & FU_END != 0);
        // A unit is never started twice, never continued unstarted, never one fragment (RFC 6184 section 5.8).
        if start == self.in_fragment || (start && end) || !matches!(header & TYPE_MASK, 1..=23) {
            return Err(Malformed);
        }
        if start {
            self.push_unit(&[indicator & UPPER_MASK | header & TYPE_MASK]);
        }
        self.data.extend_from_slice(fragment);
        self.in_fragment = !end;
        Ok(())
    }

    fn push_unit(&mut self, unit: &[u8]) {
        self.keyframe |= unit.first().is_some_and(|header| header & TYPE_MASK == NAL_IDR);
        self.data.extend_from_slice(&START_CODE);
        self.data.extend_from_slice(unit);
    }
}

/// Whether a payload can only be the first of a keyframe: it begins with a sequence parameter set (behind an access
/// unit delimiter at most).
pub(super) fn begins_keyframe(payload: &[u8]) -> bool {
    let Some((&header, body)) = payload.split_first() else { return false };
    match header & TYPE_MASK {
        NAL_SPS => true,
        STAP_A => {
            let mut rest = body;
            while let Some((length, after)) = rest.split_first_chunk::<2>() {
                let Some((unit, after)) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))
                else {
                    return false;
                };
                match unit.first().map(|header| header & TYPE_MASK) {
                    Some(NAL_SPS) => return true,
                    Some(NAL_AUD) => rest = after,
                    _ => return false,
                }
            }
            false
        }
        _ => false,
    }
}

/// Whether a payload holds an IDR picture or a part of one.
pub(super) fn holds_keyframe(payload: &[u8]) -> bool {
    let Some((&header, body)) = payload.split_first() else { return false };
    match header & TYPE_MASK {
        NAL_IDR => true,
        FU_A => body.first().is_some_and(|header| header & TYPE_MASK == NAL_IDR),
        STAP_A => {
            let mut rest = body;
            while let Some((length, after)) = rest.split_first_chunk::<2>() {
                let Some((unit, after)) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))
                else {
                    return false;
                };
                if unit.first().is_some_and(|header| header & TYPE_MASK == NAL_IDR) {
                    return true;
                }
                rest = after;
            }
            false
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn build(payloads: &[&[u8]]) -> Result<(Vec<u8>, bool), Malformed> {
        let mut builder = Builder::default();
        for payload in payloads {
            builder.handle_payload(payload)?;
        }
        builder.finish()
    }

    #[test]
    fn single_aggregated_and_fragmented_units_become_annex_b() {
        assert_eq!(build(&[&[0x41, 1, 2]]), Ok((vec![0, 0, 0, 1, 0x41, 1, 2], false)));
        assert_eq!(
            build(&[
                &[0x78, 0, 2, 0x67, 9, 0, 1, 0x68],
                &[0x7c, 0x85, 1],
                &[0x7c, 0x05, 2],
                &[0x7c, 0x45, 3]
            ]),
            Ok((vec![0, 0, 0, 1, 0x67, 9, 0, 0, 0, 1, 0x68, 0, 0, 0, 1, 0x65, 1, 2, 3], true))
        );
    }

    #[test]
    fn hostile_payloads_are_malformed() {
        for payloads in [
            &[&[24, 0, 1, 255, 0][..]][..],
            &[&[24]],
            &[&[24, 0]],
            &[&[24, 0, 0]],
            &[&[24, 0, 9, 1]],
            &[&[24, 0, 2, 24, 0]],
            &[&[0, 1]],
            &[&[25, 1]],
            &[&[29, 0x85, 0, 0, 1]],
            &[&[30, 1]],
            &[&[28]],
            &[&[28, 0x05, 1]],
            &[&[28, 0xc5, 1]],
            &[&[28, 0x85, 1]],
            &[&[28, 0x85, 1], &[28, 0x85, 1]],
            &[&[28, 0x85, 1], &[1, 1]],
            &[&[28, 0x9c, 1]],
            &[&[]],
            &[],
        ] {
            assert_eq!(build(payloads), Err(Malformed), "{payloads:?}");
        }
    }

    proptest! {
        #[test]
        fn no_payload_panics(payloads in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..40), 0..8)
        ) {
            let mut builder = Builder::default();
            for payload in &payloads {
                begins_keyframe(payload);
                holds_keyframe(payload);
                if builder.handle_payload(payload).is_err() {
                    return Ok(());
                }
            }
            if let Ok((data, _)) = builder.finish() {
                prop_assert!(data.starts_with(&START_CODE));
            }
        }
    }
}
