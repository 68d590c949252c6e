//! The sans-IO parts: packetizer, pacer, SDP.

use crate::media::ports::VideoCodec;
use crate::peer::pacer::{Accepted, Pacer, Picture};
use crate::peer::packetizer::MAX_PAYLOAD;
use crate::peer::packetizer::h264::packetize;
use crate::peer::sdp::{self, Sending, Setup};
use bytes::Bytes;
use proptest::prelude::*;
use std::time::{Duration, Instant};

fn payloads(count: usize) -> Vec<Bytes> {
    vec![Bytes::from(vec![1; 1_100]); count]
}

fn picture(timestamp: u32, captured: Instant) -> Picture {
    Picture { codec: VideoCodec::H264, timestamp, captured }
}

/// Sends what waits in virtual time; returns when each packet left.
fn drain(pacer: &mut Pacer, mut now: Instant) -> Vec<Instant> {
    let mut times = Vec::new();
    while let Some(due) = pacer.poll_timeout() {
        now = now.max(due);
        while pacer.poll_packet(now).is_some() {
            times.push(now);
        }
    }
    times
}

/// A pacer whose head start was used up long before `now`.
fn under_way(pace: f64, now: Instant) -> Pacer {
    let mut pacer = Pacer::new(pace);
    pacer.handle_unpaced(now - Duration::from_secs(10), 14_600);
    pacer
}

#[test]
fn the_first_picture_leaves_at_once_as_far_as_the_initial_window_reaches() {
    let start = Instant::now();
    let mut pacer = Pacer::new(100_000.0);
    pacer.handle_frame(start, payloads(40), picture(0, start), true);
    let times = drain(&mut pacer, start);
    // 14 600 octets are 12 packets of 1 170 and a part of the next; the burst lets that one go, too.
    assert_eq!(times.iter().filter(|at| **at == start).count(), 13);
    pacer.reset();
    assert_eq!(pacer.handle_frame(start, payloads(12), picture(0, start), true), Accepted::Queued);
    assert!(drain(&mut pacer, start).iter().all(|at| *at == start), "no head start after a reset");
}

#[test]
fn a_keyframe_is_spread_at_the_pace() {
    let start = Instant::now();
    let mut pacer = under_way(2_500_000.0, start);
    assert_eq!(pacer.handle_frame(start, payloads(40), picture(0, start), true), Accepted::Queued);
    let times = drain(&mut pacer, start);
    assert_eq!(times.len(), 40);
    // 40 packets of 1 170 octets at 2.5 Mbit/s: 150 ms, less one packet and the burst.
    let spread = times[39] - start;
    assert!((Duration::from_millis(135)..Duration::from_millis(150)).contains(&spread), "{spread:?}");
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] < Duration::from_millis(8)));
}

#[test]
fn sound_is_charged_so_that_pictures_make_room_for_it() {
    let start = Instant::now();
    let (mut silent, mut speaking) = (under_way(100_000.0, start), under_way(100_000.0, start));
    for pacer in [&mut silent, &mut speaking] {
        pacer.handle_frame(start, payloads(5), picture(0, start), true);
    }
    speaking.handle_unpaced(start, 1_100);
    let (without, with) = (drain(&mut silent, start), drain(&mut speaking, start));
    assert!(with[4] > without[4]);
}

#[test]
fn a_queue_that_is_too_old_is_dropped_up_to_the_next_keyframe() {
    let start = Instant::now();
    let mut pacer = Pacer::new(30_000.0);
    assert_eq!(pacer.handle_frame(start, payloads(20), picture(0, start), true), Accepted::Queued);
    assert!(pacer.poll_packet(start).is_some());
    let later = start + Duration::from_millis(450);
    assert_eq!(pacer.handle_frame(later, payloads(1), picture(3000, later), false), Accepted::NeedsKeyframe);
    assert_eq!(pacer.poll_timeout(), None, "something still waits");
    assert_eq!(pacer.handle_frame(later, payloads(1), picture(6000, later), false), Accepted::NeedsKeyframe);
    assert_eq!(pacer.handle_frame(later, payloads(1), picture(9000, later), true), Accepted::Queued);
    let times = drain(&mut pacer, later);
    assert_eq!(times.len(), 1);
}

#[test]
fn the_first_picture_has_to_be_a_keyframe() {
    let now = Instant::now();
    let mut pacer = Pacer::new(1_000_000.0);
    assert_eq!(pacer.handle_frame(now, payloads(1), picture(0, now), false), Accepted::NeedsKeyframe);
    assert!(pacer.poll_packet(now).is_none());
}

#[test]
fn first_and_last_packet_of_a_picture_are_marked() {
    let now = Instant::now();
    let mut pacer = Pacer::new(100_000_000.0);
    pacer.handle_frame(now, payloads(3), picture(42, now), true);
    let mut packets = Vec::new();
    let mut at = now;
    while let Some(due) = pacer.poll_timeout() {
        at = at.max(due);
        packets.extend(pacer.poll_packet(at));
    }
    let marks: Vec<(bool, bool)> = packets.iter().map(|packet| (packet.first, packet.marker)).collect();
    assert_eq!(marks, [(true, false), (false, false), (false, true)]);
}

#[test]
fn parameter_sets_travel_together_and_delimiters_do_not_travel() {
    let unit = Bytes::from_static(&[
        0, 0, 0, 1, 9, 0xf0, 0, 0, 0, 1, 0x67, 1, 2, 3, 0, 0, 1, 0x68, 4, 0, 0, 0, 1, 0x65, 5, 6,
    ]);
    let out = packetize(&unit);
    assert_eq!(out.len(), 2);
    assert_eq!(&out[0][..], [0x78, 0, 4, 0x67, 1, 2, 3, 0, 2, 0x68, 4]);
    assert_eq!(&out[1][..], [0x65, 5, 6]);
}

proptest! {
    #[test]
    fn any_octets_become_payloads_that_fit(data in prop::collection::vec(any::<u8>(), 0..8_000)) {
        for payload in packetize(&Bytes::from(data)) {
            prop_assert!(!payload.is_empty() && payload.len() <= MAX_PAYLOAD);
        }
    }

    #[test]
    fn a_big_unit_is_cut_and_can_be_put_together(body in prop::collection::vec(2..=255_u8, 1_200..20_000)) {
        let mut data = vec![0, 0, 0, 1, 0x65];
        data.extend_from_slice(&body);
        let out = packetize(&Bytes::from(data));
        let mut joined = Vec::new();
        for (index, payload) in out.iter().enumerate() {
            prop_assert_eq!(payload[0], 0x7c);
            prop_assert_eq!(payload[1] & 0x80 != 0, index == 0);
            prop_assert_eq!(payload[1] & 0x40 != 0, index == out.len() - 1);
            prop_assert_eq!(payload[1] & 0x1f, 5);
            joined.extend_from_slice(&payload[2..]);
        }
        prop_assert_eq!(joined, body);
    }

    #[test]
    fn any_text_can_be_asked_as_a_description(text in "(?s).{0,400}") {
        let _ = sdp::sending(&text);
        let _ = sdp::fingerprint(&text);
        let _ = sdp::setup(&text);
        let _ = sdp::is_usable_candidate(&text);
        let _ = sdp::with_setup(&text, Setup::Active);
    }
}

#[test]
fn directions_and_rejected_sections_tell_what_the_other_side_sends() {
    let audio = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n";
    let video = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n";
    let both = |sdp: String| sdp::sending(&sdp);
    assert_eq!(both(format!("{audio}{video}")), Sending { audio: true, video: true });
    assert_eq!(
        both(format!("{audio}a=recvonly\r\n{video}a=sendonly\r\n")),
        Sending { audio: false, video: true }
    );
    assert_eq!(both("m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=sendrecv\r\n".into()), Sending::default());
    assert_eq!(
        both("m=video 0 UDP/TLS/RTP/SAVPF 96\r\na=bundle-only\r\n".into()),
        Sending { audio: false, video: true }
    );
    assert_eq!(both(format!("a=recvonly\r\n{video}")), Sending::default());
    // The sample page's second offer: the first pair only receives, the second sends.
    let four =
        format!("{audio}a=recvonly\r\n{video}a=recvonly\r\n{audio}a=sendrecv\r\n{video}a=sendrecv\r\n");
    assert_eq!(both(four), Sending { audio: true, video: true });
}

#[test]
fn both_ends_compute_the_same_verification_and_another_certificate_changes_it() {
    let (one, other, third) = ([1; 32], [2; 32], [3; 32]);
    assert_eq!(sdp::verification(one, other), sdp::verification(other, one));
    assert_ne!(sdp::verification(one, other), sdp::verification(one, third));
    let text: Vec<String> = (0..32).map(|octet| format!("{octet:02X}")).collect();
    let line = format!("a=fingerprint:SHA-256 {}\r\n", text.join(":"));
    assert_eq!(sdp::fingerprint(&line), Some(std::array::from_fn(|index| index as u8)));
    assert_eq!(sdp::fingerprint("a=fingerprint:sha-256 AA:BB\r\n"), None);
}

#[test]
fn candidates_that_ice_cannot_use_are_passed_over() {
    let usable = "candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host";
    assert!(sdp::is_usable_candidate(usable));
    assert!(sdp::is_usable_candidate("candidate:1 1 UDP 2130706431 2001:db8::1 5000 typ host"));
    for other in [
        "",
        "candidate:1 1 udp 1 d5d2c9cd-6c7e-4f3a.local 5000 typ host",
        "candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype active",
        "candidate:1 1 udp 1 192.0.2.1 0 typ host",
    ] {
        assert!(!sdp::is_usable_candidate(other), "{other}");
    }
}

#[test]
fn an_answers_role_is_written_into_every_section() {
    let sdp = "v=0\r\nm=audio 9\r\na=setup:passive\r\nm=video 9\r\na=setup:passive\r\n";
    let changed = sdp::with_setup(sdp, Setup::Active);
    assert_eq!(changed.matches("a=setup:active\r\n").count(), 2);
    assert_eq!(sdp::setup(&changed), Some(Setup::Active));
}
