//! A stream whose codec changes on its way, in virtual time.

use super::deliver::Deliver;
use super::resend::Resend;
use super::unwrap::Unwrap;
use super::wire::Wire;
use crate::media::ports::SendControl;
use crate::media::ports::VideoCodec;
use bytes::Bytes;
use rtc::interceptor::{AttributedPacket, Interceptor, Packet, RTCPFeedback, StreamInfo, TaggedPacket};
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{
    TransportLayerNack, nack_pairs_from_sequence_numbers,
};
use rtc::rtp;
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

const SSRC: u32 = 11;
const REPAIR_SSRC: u32 = 13;
const H264: (u8, u8) = (102, 103);
const VP8: (u8, u8) = (96, 97);

fn info((payload_type, repair): (u8, u8), mime_type: &str) -> StreamInfo {
    StreamInfo {
        ssrc: SSRC,
        ssrc_rtx: Some(REPAIR_SSRC),
        payload_type,
        payload_type_rtx: Some(repair),
        mime_type: mime_type.into(),
        rtcp_feedback: vec![RTCPFeedback { typ: "nack".into(), parameter: String::new() }],
        ..StreamInfo::default()
    }
}

fn tagged(packet: Packet) -> TaggedPacket {
    TaggedPacket {
        now: Instant::now(),
        transport: TransportContext::default(),
        message: AttributedPacket::new(packet),
    }
}

fn media(sequence: u16, payload_type: u8) -> TaggedPacket {
    let header = rtp::Header {
        version: 2,
        ssrc: SSRC,
        sequence_number: sequence,
        payload_type,
        ..rtp::Header::default()
    };
    tagged(Packet::Rtp(rtp::Packet { header, payload: Bytes::from_static(&[9]) }))
}

fn written(interceptor: &mut impl Interceptor) -> Vec<rtp::Packet> {
    std::iter::from_fn(|| interceptor.poll_write())
        .filter_map(|tagged| match tagged.message.packet {
            Packet::Rtp(packet) => Some(packet),
            _ => None,
        })
        .collect()
}

/// A wire whose receiving half knows both codecs, as after a negotiation.
fn wire() -> Arc<Wire> {
    let wire = Arc::new(Wire::default());
    wire.estimate.store(1_000_000, Ordering::Relaxed);
    for ((payload_type, repair), codec) in [(H264, VideoCodec::H264), (VP8, VideoCodec::Vp8)] {
        wire.formats.set_codec(payload_type, codec);
        wire.formats.set_original(repair, payload_type);
    }
    wire
}

#[test]
fn a_repair_has_the_payload_type_of_its_packets_codec_and_unwraps_to_it() {
    let wire = wire();
    let mut resend = Resend::new(Arc::clone(&wire));
    resend.bind_local_stream(&info(H264, "video/H264"));
    resend.bind_local_stream(&info(VP8, "video/VP8"));
    // Bound again, as after a further negotiation: nothing is forgotten.
    resend.handle_write(media(1, H264.0)).expect("written");
    resend.bind_local_stream(&info(VP8, "video/VP8"));
    resend.handle_write(media(2, VP8.0)).expect("written");
    written(&mut resend);
    let nack = TransportLayerNack {
        sender_ssrc: 1,
        media_ssrc: SSRC,
        nacks: nack_pairs_from_sequence_numbers(&[1, 2]),
    };
    resend.handle_read(tagged(Packet::Rtcp(vec![Box::new(nack)]))).expect("read");
    let repairs = written(&mut resend);
    let types: Vec<u8> = repairs.iter().map(|repair| repair.header.payload_type).collect();
    assert_eq!(types, [H264.1, VP8.1]);

    let mut unwrap = Unwrap::new(wire);
    unwrap.bind_remote_stream(&info(H264, "video/H264"));
    for (repair, expected) in repairs.into_iter().zip([(1, H264.0), (2, VP8.0)]) {
        unwrap.handle_read(tagged(Packet::Rtp(repair))).expect("read");
        let Some(Packet::Rtp(original)) = unwrap.poll_read().map(|tagged| tagged.message.packet) else {
            panic!("nothing came out");
        };
        assert_eq!((original.header.sequence_number, original.header.payload_type), expected);
        assert_eq!(original.header.ssrc, SSRC);
    }
}

#[test]
fn packets_are_delivered_with_the_codec_of_their_payload_type_and_strangers_are_not() {
    let (video_in, video) = sync_channel(16);
    let (audio_in, _audio) = tokio::sync::mpsc::channel(16);
    let mut deliver = Deliver::new(video_in, audio_in, wire(), Arc::new(SendControl::new(0)));
    deliver.bind_remote_stream(&info(H264, "video/H264"));
    // 98 is agreed upon by nobody.
    for (sequence, payload_type) in [(1, H264.0), (2, VP8.0), (3, 98), (4, H264.0)] {
        deliver.handle_read(media(sequence, payload_type)).expect("read");
    }
    let codecs: Vec<_> = video.try_iter().map(|packet| (packet.sequence, packet.codec)).collect();
    assert_eq!(
        codecs,
        [(1, Some(VideoCodec::H264)), (2, Some(VideoCodec::Vp8)), (4, Some(VideoCodec::H264))]
    );
}
