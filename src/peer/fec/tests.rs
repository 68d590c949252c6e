//! Parities by themselves: what was lost and is within reach comes back bit for bit; nothing else is ever made up.

use super::format::{self, Coverage, Malformed, REACH, Sum};
use super::{Decoder, Encoder, Media, Policy, Restored, Seen};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const SSRC: u32 = 0x1234_5678;

/// A packet whose every octet follows from its number, with a header extension on every third.
fn media(sequence: u16) -> Media {
    let extended = sequence.is_multiple_of(3);
    let mut header = vec![0x80 | if extended { 0x10 } else { 0 }, 96 | (sequence as u8 & 1) << 7];
    header.extend(sequence.to_be_bytes());
    header.extend((u32::from(sequence) * 3_001).to_be_bytes());
    header.extend(SSRC.to_be_bytes());
    if extended {
        header.extend([0xbe, 0xde, 0, 1, 0x31, sequence as u8, 7, 0]);
    }
    let length = usize::from(sequence.wrapping_mul(7_919) % 1_100) + 1;
    let payload: Vec<u8> = (0..length).map(|at| (at * 31 + usize::from(sequence) * 17) as u8).collect();
    Media { sequence, header: header.into(), payload: payload.into() }
}

fn octets(media: &Media) -> Vec<u8> {
    [&media.header[..], &media.payload[..]].concat()
}

/// Sends `pictures` (packets in each) from `first` on, with parities; `None` is media, `Some` a parity.
fn encode(first: u16, pictures: &[usize], share: f64) -> Vec<(u16, Option<Vec<u8>>)> {
    let mut encoder = Encoder::new(SSRC);
    let (mut sequence, mut sent) = (first, Vec::new());
    for &packets in pictures {
        for index in 0..packets {
            encoder.handle_packet(media(sequence), index + 1 == packets, share);
            sent.push((sequence, None));
            sequence = sequence.wrapping_add(1);
        }
        while let Some(parity) = encoder.poll_parity() {
            sent.push((sequence, Some(parity)));
        }
    }
    sent
}

/// What the receiver has back in the end, of what did not come.
fn decode(sent: &[(u16, Option<Vec<u8>>)], lost: impl Fn(usize) -> bool) -> BTreeMap<u16, Vec<u8>> {
    let mut decoder = Decoder::new(SSRC);
    let mut back = BTreeMap::new();
    for (index, (sequence, parity)) in sent.iter().enumerate() {
        if !lost(index) {
            match parity {
                None => decoder.handle_media(media(*sequence)),
                Some(parity) => decoder.handle_parity(parity).unwrap(),
            }
        }
        while let Some(Restored { sequence, octets }) = decoder.poll_restored() {
            assert!(back.insert(sequence, octets).is_none(), "{sequence} twice");
        }
    }
    back
}

#[test]
fn a_parity_is_written_as_the_draft_has_it() {
    let mut sum = Sum::default();
    sum.add(&Media {
        sequence: 5,
        header: Bytes::from_static(&[0x80, 0x60, 0, 5, 1, 2, 3, 4, 9, 9, 9, 9]),
        payload: Bytes::from_static(&[0xaa, 0xbb]),
    });
    let written = sum.write(0x0102_0304, Coverage { base: 5, mask: 1 | 1 << 14 });
    // R, F, P, X, CC; M, PT; length; timestamp; one SSRC, which; base; k with the first and the last of 15 bits.
    let header = [0, 0x60, 0, 2, 1, 2, 3, 4, 1, 0, 0, 0, 1, 2, 3, 4, 0, 5, 0xc0, 0x01];
    assert_eq!(written, [&header[..], &[0xaa, 0xbb]].concat());
    let longer = sum.write(7, Coverage { base: 5, mask: 1 | 1 << 15 | 1 << 46 | 1 << 108 });
    assert_eq!(longer[18..20], [0x40, 0]);
    assert_eq!(longer[20..24], [0x40, 0, 0, 0]);
    assert_eq!(longer[24..32], [0xc0, 0, 0, 0, 0, 0, 0, 1]);
}

#[test]
fn what_is_no_parity_is_refused() {
    let good = Sum::default().write(SSRC, Coverage { base: 0, mask: 1 });
    let refused = |change: fn(&mut Vec<u8>)| {
        let mut octets = good.clone();
        change(&mut octets);
        format::read_header(&octets).unwrap_err()
    };
    assert_eq!(refused(|octets| octets.truncate(19)), Malformed::Short);
    assert_eq!(refused(|octets| octets[0] |= 0x80), Malformed::Form, "a retransmission");
    assert_eq!(refused(|octets| octets[0] |= 0x40), Malformed::Form, "a fixed mask");
    assert_eq!(refused(|octets| octets[8] = 2), Malformed::Form, "two streams");
    assert_eq!(refused(|octets| octets[18] &= 0x7f), Malformed::Short, "a mask without an end");
    let endless = |octets: &mut Vec<u8>| {
        octets[18] &= 0x7f;
        octets.extend([0; 20]);
    };
    assert_eq!(refused(endless), Malformed::Form);
}

#[test]
fn any_one_packet_of_a_picture_comes_back_from_its_parity_also_around_the_wrap_around() {
    let sent = encode(u16::MAX - 3, &[8], 0.13);
    assert_eq!(sent.len(), 9);
    for lost in 1..8 {
        let back = decode(&sent, |index| index == lost);
        let sequence = sent[lost].0;
        assert_eq!(back, BTreeMap::from([(sequence, octets(&media(sequence)))]));
    }
}

#[test]
fn a_burst_as_long_as_there_are_parities_comes_back() {
    for parities in 1..=16_usize {
        let packets = 30;
        let sent = encode(100, &[packets], parities as f64 / packets as f64);
        assert_eq!(sent.len(), packets + parities);
        // The very first packet tells the receiver where the stream begins.
        for first in 1..=packets - parities {
            let back = decode(&sent, |index| (first..first + parities).contains(&index));
            assert_eq!(back.len(), parities, "{parities} from {first}");
            assert!(back.iter().all(|(sequence, back)| *back == octets(&media(*sequence))));
        }
    }
}

#[test]
fn what_one_parity_cannot_mend_later_ones_do() {
    // Pictures of four packets, a parity for each; two of one picture are lost.
    let sent = encode(1, &[4; 12], 0.25);
    let lost = [20, 22].map(|index| sent[index].0);
    let back = decode(&sent, |index| index == 20 || index == 22);
    assert_eq!(back.keys().copied().collect::<Vec<_>>(), lost);
}

#[test]
fn as_many_parities_are_made_as_wanted() {
    for share in [0.1, 0.2, 0.33] {
        for pictures in [vec![1; 400], vec![4; 100], vec![37; 11]] {
            let sent = encode(0, &pictures, share);
            let packets: usize = pictures.iter().sum();
            let made = (sent.len() - packets) as f64 / packets as f64;
            assert!((made - share).abs() < 0.02, "{made} for {share}, pictures of {}", pictures[0]);
        }
    }
    assert_eq!(encode(0, &[5; 20], 0.0).len(), 100);
}

#[test]
fn parities_of_another_stream_and_of_what_was_forgotten_change_nothing() {
    let sent = encode(0, &[8], 0.13);
    let Some((_, Some(parity))) = sent.last() else { panic!("a parity") };
    let mut other = Decoder::new(SSRC + 1);
    other.handle_media(media(3));
    other.handle_parity(parity).unwrap();
    let mut late = Decoder::new(SSRC);
    (1_000..1_500).for_each(|sequence| late.handle_media(media(sequence)));
    late.handle_parity(parity).unwrap();
    for mut decoder in [other, late] {
        assert_eq!((decoder.equations(), decoder.poll_restored()), (0, None));
    }
}

proptest! {
    /// Whatever is lost, what comes back is what was sent, once; with nothing lost nothing comes back.
    #[test]
    fn what_comes_back_is_what_was_sent(
        first in any::<u16>(),
        pictures in prop::collection::vec(1_usize..40, 1..30),
        share in 0.05_f64..0.6,
        losses in prop::collection::vec(prop::bool::weighted(0.15), 1_500),
    ) {
        let sent = encode(first, &pictures, share);
        // The very first packet tells the receiver where the stream begins.
        let lost = |index: usize| index > 0 && losses[index % losses.len()];
        let back = decode(&sent, lost);
        let missing: Vec<u16> = (0..sent.len())
            .filter(|index| lost(*index) && sent[*index].1.is_none())
            .map(|index| sent[index].0)
            .collect();
        for (sequence, restored) in &back {
            prop_assert!(missing.contains(sequence), "{} was not lost", sequence);
            prop_assert_eq!(restored, &octets(&media(*sequence)));
        }
        prop_assert!(decode(&sent, |_| false).is_empty());
    }

    /// Any octets are parities or are not; memory is bounded, and nothing panics.
    #[test]
    fn any_octets_can_be_taken_for_a_parity(
        parities in prop::collection::vec((any::<u16>(), prop::collection::vec(any::<u8>(), 0..80)), 0..200),
    ) {
        let mut decoder = Decoder::new(SSRC);
        for (index, (sequence, mut octets)) in (0_u16..).zip(parities) {
            decoder.handle_media(media(index * 2));
            if octets.len() >= 20 && index % 4 != 0 {
                // Most of them get past the first look.
                octets[0] &= 0x3f;
                octets[8] = 1;
                octets[12..16].copy_from_slice(&SSRC.to_be_bytes());
                octets[16..18].copy_from_slice(&(if index % 8 == 1 { sequence } else { index * 2 }).to_be_bytes());
            }
            _ = decoder.handle_parity(&octets);
            prop_assert!(decoder.equations() <= 48 && decoder.packets() <= 2 * REACH);
            while let Some(restored) = decoder.poll_restored() {
                prop_assert!(restored.octets.len() >= format::RTP_HEADER);
            }
        }
    }
}

/// A policy that has seen so many packets, of which those that `lost` names were lost.
fn seen(policy: &mut Policy, packets: u32, lost: impl Fn(u32) -> bool) {
    (0..packets).for_each(|packet| policy.handle_outcome(lost(packet)));
}

fn path(rtt_ms: u64) -> Seen {
    Seen { rtt: Some(Duration::from_millis(rtt_ms)), bits_per_second: 1e6, congested: false }
}

/// One in twenty, never two in a row.
fn scattered(packet: u32) -> bool {
    packet % 20 == 7
}

#[test]
fn parities_are_for_long_paths_that_lose_by_chance() {
    let now = Instant::now();
    let decide = |lost: fn(u32) -> bool, path: Seen| {
        let mut policy = Policy::default();
        seen(&mut policy, 1_000, lost);
        policy.decide(now, &path)
    };
    let share = decide(scattered, path(150));
    assert!((0.2..0.3).contains(&share), "{share}");
    assert!(decide(|packet| packet % 8 == 3, path(150)) > share, "more loss, more parities");
    assert_eq!(decide(|_| false, path(150)), 0.0, "a clean path");
    assert_eq!(decide(scattered, path(40)), 0.0, "asking is quick");
    assert_eq!(decide(scattered, Seen { rtt: None, ..path(0) }), 0.0);
    assert_eq!(decide(|packet| packet % 80 < 4, path(150)), 0.0, "bursts of four");
    assert_eq!(decide(scattered, Seen { congested: true, ..path(150) }), 0.0, "a full path");
    assert_eq!(decide(scattered, Seen { bits_per_second: 150e3, ..path(150) }), 0.0, "a narrow path");
}

#[test]
fn a_few_losses_at_the_beginning_conclude_nothing() {
    let mut policy = Policy::default();
    seen(&mut policy, 100, |packet| packet % 10 == 0);
    assert_eq!(policy.decide(Instant::now(), &path(200)), 0.0);
}

#[test]
fn near_the_bounds_parities_stay_as_they_are() {
    let start = Instant::now();
    let mut policy = Policy::default();
    seen(&mut policy, 1_000, scattered);
    assert_eq!(policy.decide(start, &path(70)), 0.0, "not yet long enough");
    assert!(policy.decide(start, &path(85)) > 0.0);
    let share = policy.decide(start, &path(70));
    assert!(share > 0.0, "still long enough");
    // A little more or less loss does not change the picture's rate.
    seen(&mut policy, 400, |packet| packet % 18 == 7);
    assert_eq!(policy.decide(start, &path(70)), share);
    assert_eq!(policy.decide(start, &path(50)), 0.0);
}

#[test]
fn a_full_path_ends_parities_at_once_and_for_a_while() {
    let start = Instant::now();
    let mut policy = Policy::default();
    seen(&mut policy, 1_000, scattered);
    assert!(policy.decide(start, &path(200)) > 0.0);
    assert_eq!(policy.decide(start, &Seen { congested: true, ..path(200) }), 0.0);
    assert_eq!(policy.decide(start + Duration::from_secs(2), &path(200)), 0.0);
    assert!(policy.decide(start + Duration::from_secs(4), &path(200)) > 0.0);
}

#[test]
fn packets_that_were_only_overtaken_are_no_loss() {
    let mut policy = Policy::default();
    for _ in 0..1_000 {
        policy.handle_outcome(true);
        policy.handle_late();
        (0..9).for_each(|_| policy.handle_outcome(false));
    }
    assert_eq!(policy.decide(Instant::now(), &path(200)), 0.0);
}
