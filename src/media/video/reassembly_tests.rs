//! Tests of [`super::reassembly`], in virtual time.

use super::reassembly::{AccessUnit, Limits, MAX_SPAN, Output, Reassembly};
use crate::media::ports::{ReceivedPacket, VideoCodec};
use bytes::Bytes;
use proptest::prelude::*;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);
const LIMITS: Limits = Limits {
    repair_wait: Duration::from_millis(200),
    request_interval: Duration::from_millis(300),
    repair_limit: 400,
};

/// One sender's stream: makes packets and numbers them.
struct Stream {
    start: Instant,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
}

impl Stream {
    fn new(sequence: u16) -> Self {
        Self { start: Instant::now(), sequence, timestamp: 0, ssrc: 1 }
    }

    fn at(&self, ms: u32) -> Instant {
        self.start + ms * MS
    }

    fn packet(&mut self, ms: u32, payload: &[u8], marker: bool) -> ReceivedPacket {
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        ReceivedPacket {
            arrived: self.at(ms),
            sequence,
            timestamp: self.timestamp,
            marker,
            ssrc: self.ssrc,
            codec: Some(VideoCodec::H264),
            payload: Bytes::copy_from_slice(payload),
            capture_ntp: None,
        }
    }

    /// Parameter sets, then an IDR picture in two fragments.
    fn keyframe(&mut self, ms: u32) -> Vec<ReceivedPacket> {
        self.timestamp = self.timestamp.wrapping_add(3000);
        vec![
            self.packet(ms, &[0x78, 0, 2, 0x67, 1, 0, 2, 0x68, 1], false),
            self.packet(ms, &[0x7c, 0x85, 1], false),
            self.packet(ms, &[0x7c, 0x45, 2], true),
        ]
    }

    /// A picture that refers to the one before, in three fragments.
    fn delta(&mut self, ms: u32) -> Vec<ReceivedPacket> {
        self.timestamp = self.timestamp.wrapping_add(3000);
        vec![
            self.packet(ms, &[0x7c, 0x81, 1], false),
            self.packet(ms, &[0x7c, 0x01, 2], false),
            self.packet(ms, &[0x7c, 0x41, 3], true),
        ]
    }
}

#[derive(Default, Debug)]
struct Seen {
    pictures: Vec<AccessUnit>,
    requests: usize,
}

fn drain(reassembly: &mut Reassembly) -> Seen {
    let mut seen = Seen::default();
    while let Some(output) = reassembly.poll_output() {
        match output {
            Output::Picture(unit) => seen.pictures.push(unit),
            Output::RequestKeyframe => seen.requests += 1,
        }
    }
    seen
}

fn feed(reassembly: &mut Reassembly, packets: impl IntoIterator<Item = ReceivedPacket>) -> Seen {
    for packet in packets {
        reassembly.handle_packet(packet);
    }
    drain(reassembly)
}

fn at(packet: &ReceivedPacket, arrived: Instant) -> ReceivedPacket {
    ReceivedPacket { arrived, ..packet.clone() }
}

/// A reassembly that has just given out a keyframe.
fn started(sequence: u16) -> (Reassembly, Stream) {
    let (mut reassembly, mut stream) = (Reassembly::new(LIMITS), Stream::new(sequence));
    let seen = feed(&mut reassembly, stream.keyframe(0));
    assert_eq!((seen.pictures.len(), seen.requests), (1, 0));
    (reassembly, stream)
}

#[test]
fn a_picture_comes_out_with_its_last_packet_across_the_wrap_around() {
    let (mut reassembly, mut stream) = started(u16::MAX - 4);
    for n in 1..5 {
        let packets = stream.delta(n * 33);
        assert!(feed(&mut reassembly, packets[..2].to_vec()).pictures.is_empty());
        let seen = feed(&mut reassembly, packets[2..].to_vec());
        assert_eq!((seen.pictures.len(), seen.requests), (1, 0));
        assert_eq!(seen.pictures[0].data, [0, 0, 0, 1, 0x61, 1, 2, 3]);
    }
    assert_eq!((reassembly.dropped(), reassembly.poll_timeout()), (0, None));
}

#[test]
fn reordered_and_doubled_packets_change_nothing_even_at_the_very_start() {
    let (mut reassembly, mut stream) = (Reassembly::new(LIMITS), Stream::new(3));
    let mut packets = stream.keyframe(0);
    packets.extend(stream.delta(5));
    packets.reverse();
    packets.extend(packets.clone());
    let seen = feed(&mut reassembly, packets);
    assert_eq!((seen.pictures.len(), reassembly.dropped()), (2, 0));
    assert!(seen.pictures[0].keyframe && !seen.pictures[1].keyframe);
}

#[test]
fn a_repair_in_time_costs_nothing_and_the_pictures_behind_it_follow_at_once() {
    let (mut reassembly, mut stream) = started(10);
    let broken = stream.delta(33);
    assert!(feed(&mut reassembly, [broken[0].clone(), broken[2].clone()]).pictures.is_empty());
    assert!(feed(&mut reassembly, stream.delta(66)).pictures.is_empty());
    assert_eq!(reassembly.poll_timeout(), Some(stream.at(233)));
    let seen = feed(&mut reassembly, [at(&broken[1], stream.at(150))]);
    assert_eq!((seen.pictures.len(), seen.requests, reassembly.dropped()), (2, 0, 0));
}

#[test]
fn an_unrepaired_gap_is_given_up_in_time_and_a_keyframe_is_asked_for_at_a_limited_rate() {
    let (mut reassembly, mut stream) = started(10);
    let broken = stream.delta(33);
    feed(&mut reassembly, [broken[0].clone(), broken[2].clone()]);
    reassembly.handle_timeout(stream.at(232));
    assert_eq!(drain(&mut reassembly).requests, 0);
    reassembly.handle_timeout(stream.at(233));
    assert_eq!(drain(&mut reassembly).requests, 1);
    // The repair comes too late, and what follows cannot be decoded.
    assert!(feed(&mut reassembly, [at(&broken[1], stream.at(240))]).pictures.is_empty());
    let mut requests = 0;
    for ms in (250..1450).step_by(33) {
        let seen = feed(&mut reassembly, stream.delta(ms));
        assert!(seen.pictures.is_empty());
        requests += seen.requests;
    }
    assert!((3..=4).contains(&requests), "{requests}");
    let seen = feed(&mut reassembly, stream.keyframe(1460));
    assert_eq!((seen.pictures.len(), seen.requests), (1, 0));
    assert!(feed(&mut reassembly, stream.delta(1490)).pictures.len() == 1 && reassembly.dropped() > 30);
}

#[test]
fn a_whole_keyframe_behind_a_gap_ends_the_wait() {
    let (mut reassembly, mut stream) = started(10);
    let broken = stream.delta(33);
    feed(&mut reassembly, [broken[0].clone()]);
    let seen = feed(&mut reassembly, stream.keyframe(66));
    assert_eq!((seen.pictures.len(), seen.requests, reassembly.dropped()), (1, 0, 1));
}

#[test]
fn a_stream_joined_in_the_middle_asks_at_once_and_a_keyframe_on_its_way_is_waited_for() {
    let (mut reassembly, mut stream) = (Reassembly::new(LIMITS), Stream::new(10));
    assert_eq!(feed(&mut reassembly, stream.delta(0)).requests, 1);
    let keyframe = stream.keyframe(280);
    assert_eq!(feed(&mut reassembly, keyframe[..1].to_vec()).requests, 0);
    // A slow link: the rest takes its time, but keeps coming.
    reassembly.handle_timeout(stream.at(350));
    assert_eq!(feed(&mut reassembly, [at(&keyframe[1], stream.at(500))]).requests, 0);
    reassembly.handle_timeout(stream.at(700));
    assert_eq!(drain(&mut reassembly).requests, 0);
    assert_eq!(feed(&mut reassembly, [at(&keyframe[2], stream.at(750))]).pictures.len(), 1);
}

#[test]
fn a_stream_whose_very_first_packets_are_lost_asks_for_a_keyframe_soon() {
    let (mut reassembly, mut stream) = (Reassembly::new(LIMITS), Stream::new(10));
    let keyframe = stream.keyframe(0);
    assert_eq!(feed(&mut reassembly, keyframe[1..].to_vec()).requests, 0);
    let due = reassembly.poll_timeout().unwrap();
    assert!(due <= stream.at(50));
    reassembly.handle_timeout(due);
    assert_eq!(drain(&mut reassembly).requests, 1);
    assert_eq!(feed(&mut reassembly, stream.keyframe(66)).pictures.len(), 1);
}

#[test]
fn a_lost_beginning_of_a_keyframe_can_be_repaired() {
    let (mut reassembly, mut stream) = started(10);
    stream.delta(33);
    let keyframe = stream.keyframe(66);
    assert!(feed(&mut reassembly, keyframe[1..].to_vec()).pictures.is_empty());
    let seen = feed(&mut reassembly, [at(&keyframe[0], stream.at(120))]);
    assert_eq!((seen.pictures.len(), seen.requests), (1, 0));
}

#[test]
fn padding_is_counted_as_received_and_shown_nowhere() {
    let (mut reassembly, mut stream) = started(10);
    for n in 1..4 {
        let padding = stream.packet(n * 33, &[], false);
        assert!(feed(&mut reassembly, [padding]).pictures.is_empty());
        assert_eq!(feed(&mut reassembly, stream.delta(n * 33)).pictures.len(), 1);
    }
    assert_eq!((reassembly.dropped(), reassembly.poll_timeout()), (0, None));
}

#[test]
fn a_new_source_or_a_sender_that_starts_anew_is_followed() {
    let (mut reassembly, mut stream) = started(10);
    stream.ssrc = 2;
    stream.sequence = 40_000;
    assert_eq!(feed(&mut reassembly, stream.keyframe(33)).pictures.len(), 1);
    // The same source jumps far back: one packet is a stray, two in sequence are a restart.
    stream.sequence = 10_000;
    assert!(feed(&mut reassembly, stream.delta(66)).pictures.is_empty());
    assert_eq!(feed(&mut reassembly, stream.keyframe(99)).pictures.len(), 1);
}

#[test]
fn a_decoder_error_asks_for_a_keyframe_and_skips_to_it() {
    let (mut reassembly, mut stream) = started(10);
    reassembly.handle_decode_error(stream.at(20));
    assert_eq!(drain(&mut reassembly).requests, 1);
    assert!(feed(&mut reassembly, stream.delta(33)).pictures.is_empty());
    assert_eq!(feed(&mut reassembly, stream.keyframe(66)).pictures.len(), 1);
}

#[test]
fn so_much_missing_that_a_keyframe_is_quicker_is_not_waited_for() {
    let (mut reassembly, mut stream) = started(10);
    // The keyframe had three packets, so the least limit holds.
    let limit = reassembly.repair_limit() as u16;
    stream.sequence += limit;
    assert_eq!(feed(&mut reassembly, stream.delta(33)).requests, 0);
    assert_eq!(reassembly.horizon(), None);
    let (mut reassembly, mut stream) = started(10);
    stream.sequence += limit + 1;
    assert_eq!(feed(&mut reassembly, stream.delta(33)).requests, 1);
    // All that was missing when the first of its three packets came is given up; what comes later is not.
    let horizon = reassembly.horizon().unwrap();
    assert_eq!((horizon.ssrc, horizon.sequence), (1, stream.sequence - 2));
    assert_eq!(feed(&mut reassembly, stream.keyframe(90)).pictures.len(), 1);
}

#[test]
fn a_long_round_trip_makes_it_patient() {
    let (mut reassembly, mut stream) = started(10);
    reassembly.set_round_trip(100 * MS);
    let broken = stream.delta(33);
    feed(&mut reassembly, [broken[0].clone(), broken[2].clone()]);
    assert_eq!(reassembly.poll_timeout(), Some(stream.at(33 + 600)));
    reassembly.set_round_trip(10 * MS);
    assert_eq!(reassembly.poll_timeout(), Some(stream.at(33 + 250)));
    reassembly.set_round_trip(Duration::from_secs(9));
    assert_eq!(reassembly.poll_timeout(), Some(stream.at(33 + 1200)));
}

#[test]
fn a_picture_says_when_it_began_and_when_it_could_be_decoded() {
    let (mut reassembly, mut stream) = started(10);
    let broken = stream.delta(33);
    feed(&mut reassembly, [broken[0].clone(), broken[2].clone()]);
    feed(&mut reassembly, stream.delta(66));
    let seen = feed(&mut reassembly, [at(&broken[1], stream.at(150))]);
    let times: Vec<_> = seen.pictures.iter().map(|unit| (unit.begun, unit.ready)).collect();
    assert_eq!(times, [(stream.at(33), stream.at(150)), (stream.at(66), stream.at(150))]);
    assert_eq!(seen.pictures[1].timestamp, seen.pictures[0].timestamp + 3000);
}

#[test]
fn malformed_pictures_are_dropped_and_the_hostile_aggregate_does_no_harm() {
    let (mut reassembly, mut stream) = started(10);
    stream.timestamp += 3000;
    let hostile = stream.packet(33, &[24, 0, 1, 255, 0], true);
    let seen = feed(&mut reassembly, [hostile]);
    assert_eq!((seen.pictures.len(), seen.requests, reassembly.dropped()), (0, 1, 1));
    assert_eq!(feed(&mut reassembly, stream.keyframe(66)).pictures.len(), 1);
}

/// Every timeout given out must move things on: a receiver that obeys it may never spin.
fn obey_timeouts(reassembly: &mut Reassembly, until: Instant) -> Seen {
    let mut all = Seen::default();
    for _ in 0..10_000 {
        let seen = drain(reassembly);
        all.requests += seen.requests;
        all.pictures.extend(seen.pictures);
        match reassembly.poll_timeout() {
            Some(deadline) if deadline < until => reassembly.handle_timeout(deadline),
            _ => return all,
        }
    }
    panic!("it spins: {:?} before {until:?}", reassembly.poll_timeout());
}

proptest! {
    /// Whatever is lost, doubled and reordered: no panic, no spinning, and every picture given out is whole, in order,
    /// and decodable.
    #[test]
    fn no_network_makes_a_picture_with_a_missing_packet(
        first in any::<u16>(),
        fates in proptest::collection::vec((0_u32..100, 0_u32..400, any::<bool>()), 150..300),
        keyframe_every in 5_usize..30,
    ) {
        let (mut reassembly, mut stream) = (Reassembly::new(LIMITS), Stream::new(first));
        let mut sent = Vec::new();
        let mut wires: Vec<(u32, ReceivedPacket)> = Vec::new();
        let mut fates = fates.into_iter().cycle();
        for n in 0..100_usize {
            let now = n as u32 * 33;
            let key = n % keyframe_every == 0;
            let packets = if key { stream.keyframe(now) } else { stream.delta(now) };
            sent.push((packets[0].sequence, key));
            for packet in packets {
                let (loss, delay, double) = fates.next().unwrap();
                if loss >= 5 {
                    let late = now + if loss < 25 { delay } else { 0 };
                    wires.push((late, at(&packet, stream.at(late))));
                    if double && loss < 40 {
                        wires.push((late + 10, at(&packet, stream.at(late + 10))));
                    }
                }
            }
        }
        wires.sort_by_key(|(when, _)| *when);
        let mut pictures = Vec::new();
        for (_, packet) in wires {
            pictures.extend(obey_timeouts(&mut reassembly, packet.arrived).pictures);
            reassembly.handle_packet(packet);
        }
        pictures.extend(obey_timeouts(&mut reassembly, stream.at(10_000)).pictures);
        let mut before: Option<usize> = None;
        for unit in pictures {
            prop_assert_eq!(unit.sequences.1 - unit.sequences.0, 2);
            let index = sent.iter().position(|(sequence, _)| *sequence == unit.sequences.0 as u16);
            let index = index.expect("a picture that was never sent");
            prop_assert_eq!(sent[index].1, unit.keyframe);
            match before {
                Some(last) => prop_assert!(index == last + 1 || (index > last && unit.keyframe)),
                None => prop_assert!(unit.keyframe),
            }
            before = Some(index);
        }
    }

    /// Reordering and doubling within what is waited for changes nothing: the same pictures, each of the same octets.
    #[test]
    fn any_order_within_the_wait_gives_the_same_pictures(
        first in any::<u16>(),
        fates in proptest::collection::vec((0_u32..150, any::<bool>()), 200..300),
    ) {
        let mut stream = Stream::new(first);
        let mut straight = Vec::new();
        for n in 0..60_usize {
            let now = n as u32 * 33;
            straight.extend(if n == 0 { stream.keyframe(now) } else { stream.delta(now) });
        }
        let mut shuffled: Vec<ReceivedPacket> = Vec::new();
        for (packet, (delay, double)) in straight.iter().zip(fates.iter().cycle()) {
            // The very first must not be overtaken by so much that decoding could begin without it.
            let delay = if packet.sequence == first { 0 } else { *delay };
            shuffled.push(at(packet, packet.arrived + delay * MS));
            if *double {
                shuffled.push(at(packet, packet.arrived + (delay + 7) * MS));
            }
        }
        shuffled.sort_by_key(|packet| packet.arrived);
        let run = |packets: Vec<ReceivedPacket>| {
            let mut reassembly = Reassembly::new(LIMITS);
            let mut pictures = Vec::new();
            for packet in packets {
                pictures.extend(obey_timeouts(&mut reassembly, packet.arrived).pictures);
                reassembly.handle_packet(packet);
                pictures.extend(drain(&mut reassembly).pictures);
            }
            (pictures.into_iter().map(|unit| (unit.sequences, unit.data)).collect::<Vec<_>>(), reassembly.dropped())
        };
        let (expected, got) = (run(straight), run(shuffled));
        prop_assert_eq!(expected.0.len(), 60);
        prop_assert_eq!(expected, got);
    }

    /// Random octets, numbers and marks: no panic, no spinning, bounded memory.
    #[test]
    fn no_input_panics_or_spins(packets in proptest::collection::vec(
        (any::<u16>(), 0_u32..5, any::<bool>(), 0_u32..3, proptest::collection::vec(any::<u8>(), 0..12), 0_u32..50),
        0..300,
    )) {
        let mut reassembly = Reassembly::new(LIMITS);
        let start = Instant::now();
        let mut now = start;
        for (index, (sequence, timestamp, marker, ssrc, payload, wait)) in packets.into_iter().enumerate() {
            now += wait * MS;
            obey_timeouts(&mut reassembly, now);
            // Mostly near one another, sometimes anywhere.
            let sequence = if index % 10 == 0 { sequence } else { sequence % 64 };
            let ssrc = u32::from(ssrc == 2 && index % 20 == 0);
            reassembly.handle_packet(ReceivedPacket {
                arrived: now, sequence, timestamp, marker, ssrc,
                codec: Some(VideoCodec::H264), payload: Bytes::from(payload), capture_ntp: None,
            });
            prop_assert!(reassembly.span() <= MAX_SPAN);
        }
        obey_timeouts(&mut reassembly, now + Duration::from_secs(5));
    }
}
