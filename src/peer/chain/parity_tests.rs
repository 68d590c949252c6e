//! Parities through the chain: made, stamped, lost among, restored, and what is asked for meanwhile.

use super::protect::Protect;
use super::request::Request;
use super::restore::Restore;
use super::wire::Wire;
use crate::media::ports::SendControl;
use crate::peer::codecs::{ABS_CAPTURE_TIME_URI, ABS_SEND_TIME_URI, TRANSPORT_CC_URI};
use bytes::Bytes;
use rtc::interceptor::{
    Attribute, AttributedPacket, Interceptor, Packet, RTCPFeedback, RTPHeaderExtension, StreamInfo,
    TaggedPacket,
};
use rtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use rtc::rtp;
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use rtc::shared::marshal::{Marshal, Unmarshal};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const SSRC: u32 = 11;
const PARITY_SSRC: u32 = 17;
const CAPTURE: u8 = 2;
const TIME: u8 = 4;
const NUMBER: u8 = 5;
const MS: Duration = Duration::from_millis(1);

fn info() -> StreamInfo {
    let extension = |uri: &str, id: u8| RTPHeaderExtension { uri: uri.into(), id: id.into() };
    StreamInfo {
        ssrc: SSRC,
        ssrc_fec: Some(PARITY_SSRC),
        payload_type: 102,
        payload_type_fec: Some(104),
        mime_type: "video/H264".into(),
        rtp_header_extensions: vec![
            extension(ABS_CAPTURE_TIME_URI, CAPTURE),
            extension(ABS_SEND_TIME_URI, TIME),
            extension(TRANSPORT_CC_URI, NUMBER),
        ],
        rtcp_feedback: vec![RTCPFeedback { typ: "nack".into(), parameter: String::new() }],
        ..StreamInfo::default()
    }
}

fn tagged(now: Instant, packet: rtp::Packet) -> TaggedPacket {
    TaggedPacket {
        now,
        transport: TransportContext::default(),
        message: AttributedPacket::new(Packet::Rtp(packet)),
    }
}

fn rtp_of(tagged: TaggedPacket) -> rtp::Packet {
    match tagged.message.packet {
        Packet::Rtp(packet) => packet,
        _ => panic!("no RTP"),
    }
}

/// A picture of so many packets, as it leaves with its parities: stamped, and over the wire.
fn send(protect: &mut Protect, now: Instant, first: u16, packets: u16) -> Vec<rtp::Packet> {
    for index in 0..packets {
        let mut header = rtp::Header {
            version: 2,
            ssrc: SSRC,
            payload_type: 102,
            sequence_number: first.wrapping_add(index),
            timestamp: 90_000,
            marker: index + 1 == packets,
            ..rtp::Header::default()
        };
        if index == 0 {
            header.set_extension(CAPTURE, Bytes::from_static(&[1, 2, 3, 4, 5, 6, 7, 8])).unwrap();
        }
        let payload = Bytes::from(vec![index as u8; 200 + usize::from(index) * 7]);
        protect.handle_write(tagged(now, rtp::Packet { header, payload })).unwrap();
    }
    // The parities wait for their turn.
    for step in 0..200 {
        protect.handle_timeout(now + step * MS).unwrap();
    }
    let mut number: u16 = 700;
    std::iter::from_fn(|| protect.poll_write())
        .map(|written| {
            let mut packet = rtp_of(written);
            number += 1;
            packet.header.set_extension(TIME, Bytes::copy_from_slice(&[9, 9, number as u8])).unwrap();
            packet.header.set_extension(NUMBER, Bytes::copy_from_slice(&number.to_be_bytes())).unwrap();
            rtp::Packet::unmarshal(&mut packet.marshal().unwrap().freeze()).unwrap()
        })
        .collect()
}

fn protecting(share: f64) -> (Protect, Arc<Wire>) {
    let wire = Arc::new(Wire::default());
    wire.set_protection(share);
    wire.estimate.store(1_000_000, Ordering::Relaxed);
    let mut protect = Protect::new(Arc::clone(&wire));
    protect.bind_local_stream(&info());
    (protect, wire)
}

/// What the application would get, and what is asked for until `until`.
struct Receiving {
    restore: Restore,
    request: Request,
    wire: Arc<Wire>,
}

impl Receiving {
    fn new() -> Self {
        let wire = Arc::new(Wire::default());
        wire.set_rtt_ms(200.0);
        let mut restore = Restore::new(Arc::clone(&wire));
        let mut request = Request::new(Arc::clone(&wire), Arc::new(SendControl::new(0)), 1);
        // The parities' stream is bound in its own right, as the crate does it.
        let parities = StreamInfo { ssrc: PARITY_SSRC, ssrc_fec: None, payload_type_fec: None, ..info() };
        for info in [info(), parities] {
            restore.bind_remote_stream(&info);
            request.bind_remote_stream(&info);
        }
        Self { restore, request, wire }
    }

    fn take(&mut self, now: Instant, packet: &rtp::Packet) -> Vec<TaggedPacket> {
        self.restore.handle_read(tagged(now, packet.clone())).unwrap();
        while let Some(read) = self.restore.poll_read() {
            self.request.handle_read(read).unwrap();
        }
        std::iter::from_fn(|| self.request.poll_read()).collect()
    }

    fn asked(&mut self, now: Instant) -> Vec<u16> {
        self.request.handle_timeout(now).unwrap();
        let mut all = Vec::new();
        while let Some(written) = self.request.poll_write() {
            if let Packet::Rtcp(packets) = written.message.packet {
                for packet in packets {
                    let nack = packet.as_any().downcast_ref::<TransportLayerNack>().unwrap();
                    all.extend(nack.nacks.iter().flat_map(|pair| pair.packet_list()));
                }
            }
        }
        all
    }
}

#[test]
fn a_lost_packet_comes_back_as_it_was_but_for_its_stamps_and_is_not_asked_for() {
    let now = Instant::now();
    let (mut protect, sent_wire) = protecting(0.2);
    let mut receiving = Receiving::new();
    // The first picture's parity tells the receiver that there are parities to wait for.
    for packet in send(&mut protect, now, u16::MAX - 7, 5) {
        receiving.take(now, &packet);
    }
    let sent = send(&mut protect, now + 33 * MS, u16::MAX - 2, 5);
    assert_eq!(sent.len(), 6);
    assert_eq!(sent[5].header.ssrc, PARITY_SSRC);
    let mut got = Vec::new();
    for (index, packet) in sent.iter().enumerate().filter(|(index, _)| *index != 0) {
        got.extend(receiving.take(now + 34 * MS, packet));
        if index < 5 {
            assert!(receiving.asked(now + 36 * MS).is_empty(), "the parity may mend it");
        }
    }
    assert!(receiving.asked(now + Duration::from_secs(1)).is_empty(), "it is here");
    assert_eq!(got.len(), 5, "the parity itself goes no further");
    let restored = got.pop().unwrap();
    assert!(restored.message.has(&Attribute::RecoveredByFec));
    let (restored, lost) = (rtp_of(restored), &sent[0]);
    assert_eq!(restored.payload, lost.payload);
    assert_eq!(restored.header.get_extension(CAPTURE), lost.header.get_extension(CAPTURE));
    let key = |header: &rtp::Header| {
        (header.sequence_number, header.timestamp, header.marker, header.payload_type, header.ssrc)
    };
    assert_eq!(key(&restored.header), key(&lost.header));
    assert_eq!(receiving.wire.video_restored.load(Ordering::Relaxed), 1);
    assert_eq!(sent_wire.parities_sent.load(Ordering::Relaxed), 2);
    assert!(sent_wire.unpaced_octets.load(Ordering::Relaxed) > 400, "the pacer is charged with them");
}

#[test]
fn what_its_parity_does_not_mend_is_asked_for_at_once() {
    let now = Instant::now();
    let (mut protect, _) = protecting(0.2);
    let mut receiving = Receiving::new();
    for packet in send(&mut protect, now, 100, 5) {
        receiving.take(now, &packet);
    }
    let sent = send(&mut protect, now, 105, 5);
    for packet in [&sent[0], &sent[3], &sent[4]] {
        receiving.take(now, packet);
    }
    assert!(receiving.asked(now + 5 * MS).is_empty());
    receiving.take(now + 6 * MS, &sent[5]);
    assert_eq!(receiving.asked(now + 8 * MS), [106, 107]);
}

#[test]
fn parities_leave_behind_their_picture_and_at_the_pacers_pace() {
    let now = Instant::now();
    let (mut protect, _) = protecting(0.5);
    for index in 0..8 {
        let header = rtp::Header {
            version: 2,
            ssrc: SSRC,
            sequence_number: index,
            marker: index == 7,
            ..rtp::Header::default()
        };
        let packet = rtp::Packet { header, payload: Bytes::from(vec![1; 1_000]) };
        protect.handle_write(tagged(now, packet)).unwrap();
    }
    assert_eq!(std::iter::from_fn(|| protect.poll_write()).count(), 8);
    let mut departures = Vec::new();
    while let Some(due) = protect.poll_timeout() {
        protect.handle_timeout(due).unwrap();
        departures.extend(std::iter::from_fn(|| protect.poll_write()).map(|_| due));
    }
    assert_eq!(departures.len(), 4);
    // A packet of 1 050 octets at 2.5 Mbit/s: 3.4 ms.
    assert!(departures.windows(2).all(|pair| pair[1] - pair[0] > 3 * MS), "{departures:?}");
}

#[test]
fn who_does_not_take_parities_gets_none_and_what_is_not_protected_stays_as_it_is() {
    let now = Instant::now();
    let (mut protect, _) = protecting(0.5);
    protect.bind_local_stream(&StreamInfo { ssrc_fec: None, payload_type_fec: None, ..info() });
    assert_eq!(send(&mut protect, now, 0, 10).len(), 10);
    let (mut protect, wire) = protecting(0.0);
    assert_eq!(send(&mut protect, now, 0, 10).len(), 10);
    assert_eq!(wire.parities_sent.load(Ordering::Relaxed), 0);
}
