//! The interceptors by themselves, in virtual time.

use super::repeat::Repeat;
use super::request::Request;
use super::resend::Resend;
use super::unwrap::Unwrap;
use super::wire::Wire;
use crate::media::audio::redundancy::Redundancy;
use crate::media::ports::SendControl;
use bytes::Bytes;
use rtc::interceptor::{AttributedPacket, Interceptor, Packet, RTCPFeedback, StreamInfo, TaggedPacket};
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{
    TransportLayerNack, nack_pairs_from_sequence_numbers,
};
use rtc::rtp;
use rtc::shared::TransportContext;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const SSRC: u32 = 11;
const REPAIR_SSRC: u32 = 13;

fn info() -> StreamInfo {
    StreamInfo {
        ssrc: SSRC,
        ssrc_rtx: Some(REPAIR_SSRC),
        payload_type: 102,
        payload_type_rtx: Some(103),
        mime_type: "video/H264".into(),
        rtcp_feedback: vec![RTCPFeedback { typ: "nack".into(), parameter: String::new() }],
        ..StreamInfo::default()
    }
}

fn media(now: Instant, ssrc: u32, sequence: u16, payload: &[u8]) -> TaggedPacket {
    let header = rtp::Header {
        version: 2,
        ssrc,
        sequence_number: sequence,
        payload_type: if ssrc == SSRC { 102 } else { 103 },
        ..rtp::Header::default()
    };
    tagged(now, Packet::Rtp(rtp::Packet { header, payload: Bytes::copy_from_slice(payload) }))
}

fn tagged(now: Instant, packet: Packet) -> TaggedPacket {
    TaggedPacket { now, transport: TransportContext::default(), message: AttributedPacket::new(packet) }
}

fn nack(now: Instant, sequences: &[u16]) -> TaggedPacket {
    let nack = TransportLayerNack {
        sender_ssrc: 1,
        media_ssrc: SSRC,
        nacks: nack_pairs_from_sequence_numbers(sequences),
    };
    tagged(now, Packet::Rtcp(vec![Box::new(nack)]))
}

/// RTP that the interceptor wrote.
fn written(interceptor: &mut impl Interceptor) -> Vec<rtp::Packet> {
    std::iter::from_fn(|| interceptor.poll_write())
        .filter_map(|tagged| match tagged.message.packet {
            Packet::Rtp(packet) => Some(packet),
            _ => None,
        })
        .collect()
}

/// Sequence numbers that the interceptor asked for.
fn asked(interceptor: &mut Request) -> Vec<u16> {
    let mut all = Vec::new();
    while let Some(tagged) = rtc::sansio::Protocol::poll_write(interceptor) {
        if let Packet::Rtcp(packets) = tagged.message.packet {
            for packet in packets {
                let nack = packet.as_any().downcast_ref::<TransportLayerNack>().expect("only NACK");
                all.extend(nack.nacks.iter().flat_map(|pair| pair.packet_list()));
            }
        }
    }
    all
}

#[test]
fn a_gap_is_asked_for_a_few_times_and_not_after_it_is_filled() {
    use rtc::sansio::Protocol;
    let start = Instant::now();
    let mut request = Request::new(Arc::new(Wire::default()), Arc::new(SendControl::new(0)), 1);
    request.bind_remote_stream(&info());
    for sequence in [65_534, 65_535, 2] {
        request.handle_read(media(start, SSRC, sequence, &[1])).expect("read");
    }
    let mut times = [0; 2];
    for millisecond in 0..2_000 {
        let now = start + Duration::from_millis(millisecond);
        request.handle_timeout(now).expect("time");
        for sequence in asked(&mut request) {
            times[usize::from(sequence)] += 1;
        }
        if millisecond == 50 {
            request.handle_read(media(now, SSRC, 0, &[1])).expect("read");
        }
    }
    // 0 was filled after the first request and its repetition; 1 never came.
    assert_eq!(times, [2, 18]);
    assert_eq!(request.poll_timeout(), None, "the timer still runs");
}

#[test]
fn an_outage_is_not_asked_for() {
    use rtc::sansio::Protocol;
    let start = Instant::now();
    let mut request = Request::new(Arc::new(Wire::default()), Arc::new(SendControl::new(0)), 1);
    request.bind_remote_stream(&info());
    request.handle_read(media(start, SSRC, 0, &[1])).expect("read");
    request.handle_read(media(start, SSRC, 5_000, &[1])).expect("read");
    request.handle_timeout(start + Duration::from_millis(20)).expect("time");
    assert!(asked(&mut request).is_empty());
}

#[test]
fn a_repair_carries_the_original_and_unwraps_to_it() {
    use rtc::sansio::Protocol;
    let now = Instant::now();
    let wire = Arc::new(Wire::default());
    wire.estimate.store(1_000_000, Ordering::Relaxed);
    let mut resend = Resend::new(Arc::clone(&wire));
    resend.bind_local_stream(&info());
    for sequence in [65_535, 0, 1] {
        resend.handle_write(media(now, SSRC, sequence, &[sequence as u8, 7])).expect("written");
    }
    written(&mut resend);
    resend.handle_read(nack(now, &[65_535, 1, 9])).expect("read");
    let repairs = written(&mut resend);
    assert_eq!(repairs.len(), 2);
    assert_eq!(wire.retransmitted.load(Ordering::Relaxed), 2);

    let mut unwrap = Unwrap::new(Arc::default());
    unwrap.bind_remote_stream(&info());
    for (repair, sequence) in repairs.into_iter().zip([65_535_u16, 1]) {
        assert_eq!((repair.header.ssrc, repair.header.payload_type), (REPAIR_SSRC, 103));
        unwrap.handle_read(tagged(now, Packet::Rtp(repair))).expect("read");
        let Some(Packet::Rtp(original)) = unwrap.poll_read().map(|tagged| tagged.message.packet) else {
            panic!("nothing came out");
        };
        assert_eq!((original.header.ssrc, original.header.sequence_number), (SSRC, sequence));
        assert_eq!(original.header.payload_type, 102);
        assert_eq!(&original.payload[..], [sequence as u8, 7]);
    }
}

#[test]
fn repairs_without_a_payload_end_at_the_unwrapper() {
    use rtc::sansio::Protocol;
    let now = Instant::now();
    let mut unwrap = Unwrap::new(Arc::default());
    unwrap.bind_remote_stream(&info());
    for payload in [&[][..], &[1], &[0, 1]] {
        unwrap.handle_read(media(now, REPAIR_SSRC, 5, payload)).expect("read");
        assert!(unwrap.poll_read().is_none(), "{payload:?}");
    }
}

#[test]
fn repairs_stay_within_their_budget_and_repetition_within_its_cap() {
    use rtc::sansio::Protocol;
    let start = Instant::now();
    let wire = Arc::new(Wire::default());
    wire.estimate.store(1_000_000, Ordering::Relaxed);
    let mut resend = Resend::new(wire);
    resend.bind_local_stream(&info());
    for sequence in 0..500 {
        resend.handle_write(media(start, SSRC, sequence, &[1; 1_000])).expect("written");
    }
    written(&mut resend);
    let all: Vec<u16> = (0..500).collect();
    let mut octets = 0;
    for millisecond in (0..1_000).step_by(10) {
        resend.handle_read(nack(start + Duration::from_millis(millisecond), &all)).expect("read");
        octets += written(&mut resend).iter().map(|packet| packet.payload.len()).sum::<usize>();
    }
    // Half of 1 Mbit/s for a second, and half a second's worth saved up.
    assert!((60_000..104_000).contains(&octets), "{octets}");

    let once = start + Duration::from_secs(60);
    let mut count = 0;
    for second in 0..20 {
        resend.handle_read(nack(once + Duration::from_secs(second), &[499])).expect("read");
        count += written(&mut resend).len();
    }
    assert_eq!(count, 12);
}

#[test]
fn what_was_lost_to_congestion_is_not_sent_into_it_again() {
    use rtc::sansio::Protocol;
    let start = Instant::now();
    let wire = Arc::new(Wire::default());
    wire.estimate.store(1_000_000, Ordering::Relaxed);
    let mut resend = Resend::new(Arc::clone(&wire));
    resend.bind_local_stream(&info());
    resend.handle_write(media(start, SSRC, 7, &[1; 100])).expect("written");
    written(&mut resend);
    wire.congested.store(true, Ordering::Relaxed);
    let later = start + Duration::from_millis(10);
    resend.handle_write(media(later, SSRC, 8, &[1; 100])).expect("written");
    written(&mut resend);
    let asked = later + Duration::from_millis(100);
    resend.handle_read(nack(asked, &[7])).expect("read");
    assert!(written(&mut resend).is_empty());
    // But a picture that left since then is mended, and the one before it not even afterwards.
    resend.handle_read(nack(asked, &[8])).expect("read");
    assert_eq!(written(&mut resend).len(), 1);
    wire.congested.store(false, Ordering::Relaxed);
    resend.handle_read(nack(asked + Duration::from_millis(100), &[7])).expect("read");
    assert!(written(&mut resend).is_empty());
}

/// As [`info`], for sound: no retransmission stream.
fn sound() -> StreamInfo {
    StreamInfo { ssrc_rtx: None, payload_type_rtx: None, mime_type: "audio/opus".into(), ..info() }
}

#[test]
fn sound_is_asked_for_once_and_only_on_a_short_path() {
    use rtc::sansio::Protocol;
    let start = Instant::now();
    for (rtt_ms, wanted) in [(40.0, vec![1]), (200.0, vec![])] {
        let wire = Arc::new(Wire::default());
        wire.set_rtt_ms(rtt_ms);
        let mut request = Request::new(wire, Arc::new(SendControl::new(0)), 1);
        request.bind_remote_stream(&sound());
        request.handle_read(media(start, SSRC, 0, &[1])).expect("read");
        request.handle_read(media(start, SSRC, 2, &[1])).expect("read");
        let mut all = Vec::new();
        for millisecond in (0..1_500).step_by(5) {
            request.handle_timeout(start + Duration::from_millis(millisecond)).expect("time");
            all.extend(asked(&mut request));
        }
        assert_eq!(all, wanted, "round trip {rtt_ms} ms");
        assert_eq!(request.poll_timeout(), None, "the timer still runs");
    }
}

#[test]
fn sound_that_comes_with_other_sound_is_not_asked_for() {
    use rtc::sansio::Protocol;
    let start = Instant::now();
    let wire = Arc::new(Wire::default());
    wire.set_rtt_ms(40.0);
    let mut request = Request::new(wire, Arc::new(SendControl::new(0)), 1);
    request.bind_remote_stream(&sound());
    let mut redundancy = Redundancy::default();
    // One in five is lost; from the sixth second on packets carry others, and from the eleventh no more. Neither then nor
    // in a pause of five seconds is it forgotten at once that they do.
    let mut all = Vec::new();
    for n in 0..750_u16 {
        let pause = Duration::from_secs(if n < 400 { 0 } else { 5 });
        let now = start + Duration::from_millis(u64::from(n) * 20) + pause;
        let packet = Bytes::from_static(&[0x78, 1, 2, 3]);
        let packet = redundancy.wrap(packet, u32::from(n) * 960, (250..500).contains(&n));
        if n % 5 != 3 {
            request.handle_read(media(now, SSRC, n, &packet)).expect("read");
        }
        request.handle_timeout(now + Duration::from_millis(5)).expect("time");
        all.extend(asked(&mut request));
    }
    let within = |range: std::ops::Range<u16>| all.iter().filter(|n| range.contains(*n)).count();
    assert_eq!((within(0..248), within(252..560), within(566..748)), (49, 0, 36), "{all:?}");
}

#[test]
fn sound_is_repeated_to_the_last_bit_and_once() {
    use rtc::sansio::Protocol;
    let now = Instant::now();
    let wire = Arc::new(Wire::default());
    let mut repeat = Repeat::new(Arc::clone(&wire));
    repeat.bind_local_stream(&sound());
    let mut sent = Vec::new();
    for sequence in [65_535, 0, 1] {
        let mut packet = media(now, SSRC, sequence, &[sequence as u8, 7]);
        if let Packet::Rtp(packet) = &mut packet.message.packet {
            packet.header.set_extension(3, Bytes::from_static(&[1, 2])).expect("it fits");
        }
        repeat.handle_write(packet).expect("written");
        sent.extend(written(&mut repeat));
    }
    for answers in [vec![sent[0].clone(), sent[2].clone()], vec![]] {
        repeat.handle_read(nack(now, &[65_535, 1, 9])).expect("read");
        assert_eq!(written(&mut repeat), answers);
    }
    assert_eq!(wire.sound_requested.load(Ordering::Relaxed), 2);
    // Who has a retransmission stream is answered there.
    let mut repeat = Repeat::new(Arc::default());
    repeat.bind_local_stream(&info());
    repeat.handle_write(media(now, SSRC, 5, &[1])).expect("written");
    written(&mut repeat);
    repeat.handle_read(nack(now, &[5])).expect("read");
    assert_eq!(written(&mut repeat), []);
}
