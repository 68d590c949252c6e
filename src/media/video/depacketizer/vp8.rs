//! VP8 from RTP payloads (RFC 7741). Sans-IO, safe with any input: every length is checked, nothing panics, and what
//! is odd makes the whole picture malformed.

use super::Malformed;

/// First octet of the payload descriptor (RFC 7741 section 4.2).
const EXTENDED: u8 = 0x80;
const PARTITION_START: u8 = 0x10;
const PARTITION_MASK: u8 = 0x07;
/// Its extension octet: which optional fields follow.
const PICTURE_ID: u8 = 0x80;
const TL0_PICTURE_INDEX: u8 = 0x40;
const TEMPORAL_ID: u8 = 0x20;
const KEY_INDEX: u8 = 0x10;
/// The picture identifier has 15 bits instead of 7.
const LONG_PICTURE_ID: u8 = 0x80;
/// Inverse keyframe flag in the first octet of the picture itself (section 4.3).
const NO_KEYFRAME: u8 = 0x01;

/// What a payload descriptor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Descriptor {
    /// The payload begins a partition.
    partition_start: bool,
    partition: u8,
    /// 7 or 15 bits; the same in all packets of a picture.
    picture_id: Option<u16>,
}

/// Splits a payload into its descriptor and its part of the picture.
fn parse(payload: &[u8]) -> Result<(Descriptor, &[u8]), Malformed> {
    let (&first, mut rest) = payload.split_first().ok_or(Malformed)?;
    let mut picture_id = None;
    if first & EXTENDED != 0 {
        let (&fields, after) = rest.split_first().ok_or(Malformed)?;
        rest = after;
        if fields & PICTURE_ID != 0 {
            let (&high, after) = rest.split_first().ok_or(Malformed)?;
            rest = after;
            if high & LONG_PICTURE_ID != 0 {
                let (&low, after) = rest.split_first().ok_or(Malformed)?;
                rest = after;
                picture_id = Some(u16::from_be_bytes([high & !LONG_PICTURE_ID, low]));
            } else {
                picture_id = Some(u16::from(high));
            }
        }
        if fields & TL0_PICTURE_INDEX != 0 {
            rest = rest.get(1..).ok_or(Malformed)?;
        }
        // Temporal layer and key index share an octet.
        if fields & (TEMPORAL_ID | KEY_INDEX) != 0 {
            rest = rest.get(1..).ok_or(Malformed)?;
        }
    }
    if rest.is_empty() {
        return Err(Malformed);
    }
    let partition_start = first & PARTITION_START != 0;
    Ok((Descriptor { partition_start, partition: first & PARTITION_MASK, picture_id }, rest))
}

/// Builds one picture from its payloads in order.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    data: Vec<u8>,
    /// Of the newest payload.
    last: Option<Descriptor>,
}

impl Builder {
    /// Starts over, writing into `buffer`'s storage.
    pub(crate) fn new(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self { data: buffer, last: None }
    }

    /// Adds the next payload. An empty one is padding and adds nothing.
    ///
    /// # Errors
    /// [`Malformed`]: the picture cannot be built.
    pub(crate) fn handle_payload(&mut self, payload: &[u8]) -> Result<(), Malformed> {
        if payload.is_empty() {
            return Ok(());
        }
        let (descriptor, part) = parse(payload)?;
        let begins = descriptor.partition_start && descriptor.partition == 0;
        let fits = match self.last {
            None => begins,
            // Partitions come in order, each begun once (RFC 7741 section 4.4), all of one picture.
            Some(last) => {
                !begins && last.picture_id == descriptor.picture_id && last.partition <= descriptor.partition
            }
        };
        if !fits {
            return Err(Malformed);
        }
        self.data.extend_from_slice(part);
        self.last = Some(descriptor);
        Ok(())
    }

    /// The picture as RFC 6386 section 9 has it, and whether it is a keyframe.
    ///
    /// # Errors
    /// [`Malformed`] if nothing came.
    pub(crate) fn finish(self) -> Result<(Vec<u8>, bool), Malformed> {
        let keyframe = self.data.first().ok_or(Malformed)? & NO_KEYFRAME == 0;
        Ok((self.data, keyframe))
    }
}

/// Whether a payload is the first of a keyframe.
pub(crate) fn begins_keyframe(payload: &[u8]) -> bool {
    parse(payload).is_ok_and(|(descriptor, part)| {
        descriptor.partition_start
            && descriptor.partition == 0
            && part.first().is_some_and(|octet| octet & NO_KEYFRAME == 0)
    })
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
    fn descriptors_of_every_length_are_taken_off() {
        for descriptor in [
            &[0x10][..],
            &[0x90, 0x00],
            &[0x90, 0x80, 0x11],
            &[0x90, 0x80, 0x91, 0x22],
            &[0x90, 0x40, 0x07],
            &[0x90, 0x20, 0x60],
            &[0x90, 0x10, 0x03],
            &[0x90, 0x30, 0x63],
            &[0x90, 0xf0, 0x91, 0x22, 0x07, 0x63],
            // Non-reference picture, reserved bits set: to be ignored (RFC 7741 section 4.2).
            &[0xf8, 0x8f, 0x11],
        ] {
            let payload = [descriptor, &[0x01, 7, 8, 9]].concat();
            assert_eq!(build(&[&payload]), Ok((vec![0x01, 7, 8, 9], false)), "{descriptor:02x?}");
            assert!(!begins_keyframe(&payload));
            let payload = [descriptor, &[0x00, 7, 8, 9]].concat();
            assert_eq!(build(&[&payload]), Ok((vec![0x00, 7, 8, 9], true)), "{descriptor:02x?}");
            assert!(begins_keyframe(&payload));
            // Nothing behind the descriptor, or not even all of it.
            for length in 0..=descriptor.len() {
                assert!(!begins_keyframe(&payload[..length]));
                assert_eq!(build(&[&payload[..length]]), Err(Malformed), "{descriptor:02x?}");
            }
        }
    }

    #[test]
    fn the_partitions_of_a_picture_are_joined() {
        let payloads =
            [&[0x90, 0x80, 5, 0, 1][..], &[0x80, 0x80, 5, 2], &[0x91, 0x80, 5, 3], &[0x81, 0x80, 5, 4], &[]];
        assert_eq!(build(&payloads), Ok((vec![0, 1, 2, 3, 4], true)));
    }

    #[test]
    fn parts_of_different_pictures_are_malformed() {
        for payloads in [
            // The beginning is missing.
            &[&[0x00, 1][..]][..],
            &[&[0x11, 1]],
            // Two beginnings.
            &[&[0x10, 1], &[0x10, 1]],
            // Another picture's identifier.
            &[&[0x90, 0x80, 5, 1], &[0x80, 0x80, 6, 1]],
            &[&[0x90, 0x80, 5, 1], &[0x00, 1]],
            // Partitions out of order.
            &[&[0x10, 1], &[0x12, 1], &[0x11, 1]],
            &[],
            &[&[]],
        ] {
            assert_eq!(build(payloads), Err(Malformed), "{payloads:02x?}");
        }
    }

    proptest! {
        #[test]
        fn no_payload_panics(payloads in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..40), 0..8)
        ) {
            let mut builder = Builder::default();
            let mut octets = 0;
            for payload in &payloads {
                begins_keyframe(payload);
                octets += payload.len();
                if builder.handle_payload(payload).is_err() {
                    return Ok(());
                }
            }
            if let Ok((data, keyframe)) = builder.finish() {
                prop_assert!(data.len() < octets);
                prop_assert_eq!(keyframe, data[0] & 1 == 0);
            }
        }
    }
}
