//! Which codec each side sends, and that the packets and their repairs say so.

use super::pair::{End, PATIENCE, config, frame, receive_picture, signal_until};
use crate::media::ports::{EncodedFrame, LEVEL_31_MACROBLOCKS, LEVEL_40_MACROBLOCKS, VideoCodec};
use crate::peer::packetizer::{MAX_PAYLOAD, vp8};
use crate::peer::sdp::{self, Format};
use crate::peer::{Command, PeerConfig, PeerEvent};
use bytes::Bytes;
use proptest::prelude::*;

const BOTH: [VideoCodec; 2] = [VideoCodec::H264, VideoCodec::Vp8];
const REVERSED: [VideoCodec; 2] = [VideoCodec::Vp8, VideoCodec::H264];

async fn connected_with(a: &[VideoCodec], b: &[VideoCodec]) -> (End, End) {
    let open = |number, codecs: &[VideoCodec]| {
        End::open_with(number, PeerConfig { video_codecs: codecs.to_vec(), ..config() })
    };
    let (mut a, mut b) = (open(1, a), open(2, b));
    a.command(Command::CreateOffer { ice_restart: false });
    signal_until(&mut a, &mut b, "connecting", |a, b| a.is_connected() && b.is_connected()).await;
    (a, b)
}

/// Any octets will do: nothing looks into a VP8 frame on its way.
fn vp8_frame(number: u32, octets: usize) -> EncodedFrame {
    let data = (0..octets).map(|index| (index as u8).wrapping_mul(7).wrapping_add(number as u8));
    EncodedFrame { codec: VideoCodec::Vp8, data: data.collect(), ..frame(number, 10, number == 1) }
}

/// What the payloads of one picture carry behind their descriptors of four octets.
fn joined(payloads: impl Iterator<Item = Bytes>) -> Vec<u8> {
    payloads.flat_map(|payload| payload[4..].to_vec()).collect()
}

async fn send_vp8(from: &End, to: &End) {
    for number in 1..10 {
        let picture = vp8_frame(number, 2_500 * number as usize);
        let sent = picture.data.clone();
        from.video_out.send(picture).await.expect("the sender runs");
        let packets = receive_picture(to, number * 3000).await;
        assert!(packets.iter().all(|packet| packet.codec == Some(VideoCodec::Vp8)));
        assert_eq!(joined(packets.into_iter().map(|packet| packet.payload)), sent);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_side_sends_what_it_prefers() {
    let (a, b) = connected_with(&BOTH, &REVERSED).await;
    assert_eq!(a.control.video_codec(), Some(VideoCodec::H264));
    assert_eq!(b.control.video_codec(), Some(VideoCodec::Vp8));
    // Two of us: 1080 lines each way where there are cores enough; VP8 has no level.
    let several = std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
    assert_eq!(
        a.control.video_macroblocks(),
        if several { LEVEL_40_MACROBLOCKS } else { LEVEL_31_MACROBLOCKS }
    );
    assert_eq!(b.control.video_macroblocks(), LEVEL_40_MACROBLOCKS);
    send_vp8(&b, &a).await;
    let picture = frame(1, 5_000, true);
    a.video_out.send(picture).await.expect("the sender runs");
    let packets = receive_picture(&b, 3000).await;
    assert!(packets.iter().all(|packet| packet.codec == Some(VideoCodec::H264)));
    a.peer.close().await;
    b.peer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_side_that_has_only_vp8_gets_and_gives_vp8_whoever_calls() {
    for (a, b) in [(&BOTH[..], &[VideoCodec::Vp8][..]), (&[VideoCodec::Vp8], &BOTH)] {
        let (a, b) = connected_with(a, b).await;
        for end in [&a, &b] {
            assert_eq!(end.control.video_codec(), Some(VideoCodec::Vp8));
            assert_eq!(end.control.other_video_codec(), None);
        }
        send_vp8(&a, &b).await;
        send_vp8(&b, &a).await;
        // The interceptors know of the stream: it is counted, and the remote tells of its arrival.
        assert!(a.peer.stats().video_packets_sent > 0);
        a.peer.close().await;
        b.peer.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_may_change_between_the_codecs_that_the_other_side_takes_and_all_arrive() {
    let (a, b) = connected_with(&BOTH, &BOTH).await;
    assert_eq!(a.control.video_codec(), Some(VideoCodec::H264));
    assert_eq!(a.control.other_video_codec(), Some(VideoCodec::Vp8));
    // Behind each other, so that the pacer holds packets of both.
    for number in 1..=6 {
        let picture = if number <= 3 {
            frame(number, 3_000, number == 1)
        } else {
            EncodedFrame { keyframe: number == 4, ..vp8_frame(number, 3_000) }
        };
        a.video_out.send(picture).await.expect("the sender runs");
    }
    let mut ends = Vec::new();
    while ends.len() < 6 {
        let packet = b.video_in.recv_timeout(PATIENCE).expect("all of them arrive");
        let codec = if packet.timestamp <= 9000 { VideoCodec::H264 } else { VideoCodec::Vp8 };
        assert_eq!(packet.codec, Some(codec), "of picture {}", packet.timestamp / 3000);
        ends.extend(packet.marker.then_some(packet.timestamp / 3000));
    }
    ends.sort_unstable();
    assert_eq!(ends, [1, 2, 3, 4, 5, 6]);
    a.peer.close().await;
    b.peer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_in_another_codec_than_the_agreed_one_is_not_sent() {
    let (a, b) = connected_with(&BOTH, &[VideoCodec::Vp8]).await;
    a.video_out.send(frame(1, 500, true)).await.expect("the sender runs");
    let picture = EncodedFrame { rtp_timestamp: 6000, ..vp8_frame(1, 500) };
    a.video_out.send(picture).await.expect("the sender runs");
    let first = b.video_in.recv_timeout(PATIENCE).expect("a picture arrives");
    assert_eq!((first.timestamp, first.codec), (6000, Some(VideoCodec::Vp8)));
    a.peer.close().await;
    b.peer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offers_and_answers_have_both_codecs_and_their_repairs_in_our_order() {
    let (a, b) = connected_with(&BOTH, &REVERSED).await;
    let text = |end: &End| {
        end.seen.iter().find_map(|event| match event {
            PeerEvent::OfferCreated(made) | PeerEvent::AnswerCreated(made) => Some(made.sdp.clone()),
            _ => None,
        })
    };
    for (end, order) in [(&a, BOTH), (&b, REVERSED)] {
        let sdp = text(end).expect("a description");
        let formats: Vec<Format> = sdp::formats(&sdp).collect();
        let line = sdp.lines().find(|line| line.starts_with("m=video ")).expect("a video section");
        let types: Vec<u8> = line.split(' ').skip(3).map(|word| word.parse().expect("a number")).collect();
        assert_eq!(types.len(), 5, "{line}");
        // Parities are on a stream of their own, tied to the picture's (RFC 5956).
        let is_parity = |number: &u8| sdp.contains(&format!("a=rtpmap:{number} flexfec-03/90000"));
        assert_eq!(types.iter().filter(|number| is_parity(number)).count(), 1, "{sdp}");
        assert!(!types[..2].iter().any(is_parity), "a codec is first: {sdp}");
        assert!(sdp.contains("a=ssrc-group:FEC-FR "), "{sdp}");
        for (codec, payload_type) in order.into_iter().zip(types) {
            assert!(formats.contains(&Format::Picture(payload_type, codec)), "{sdp}");
            let repaired =
                |format: &Format| matches!(format, Format::Repair(_, original) if *original == payload_type);
            assert!(formats.iter().any(repaired), "{sdp}");
        }
    }
    a.peer.close().await;
    b.peer.close().await;
}

#[test]
fn the_order_of_preference_changes_nothing_but_the_order_of_pictures() {
    let sdp = "m=audio 9 UDP/TLS/RTP/SAVPF 111 96\r\n\
               m=video 9 UDP/TLS/RTP/SAVPF 98 96 97 102 103\r\n\
               a=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n\
               a=rtpmap:98 VP9/90000\r\na=rtpmap:102 H264/90000\r\na=fmtp:103 rtx-time=3000; apt=102\r\n";
    let reordered = sdp.replace("98 96 97 102 103", "102 96 98 97 103");
    assert_eq!(sdp::with_preference(sdp, &BOTH), reordered);
    assert_eq!(
        sdp::with_preference(&reordered, &REVERSED),
        sdp.replace("98 96 97 102 103", "96 102 98 97 103")
    );
    assert!(sdp::formats(sdp).any(|format| format == Format::Repair(103, 102)));
    assert!(sdp::offers_any(sdp, &[VideoCodec::Vp8]));
    assert!(!sdp::offers_any("a=rtpmap:98 VP9/90000\r\n", &BOTH));
}

proptest! {
    #[test]
    fn any_vp8_frame_becomes_payloads_that_fit_and_come_back_whole(
        octets in 0_usize..20_000, picture_id in 0_u16..0x8000
    ) {
        let frame: Bytes = (0..octets).map(|index| index as u8).collect();
        let payloads = vp8::packetize(&frame, picture_id);
        prop_assert!(payloads.iter().all(|payload| payload.len() <= MAX_PAYLOAD));
        for (index, payload) in payloads.iter().enumerate() {
            prop_assert_eq!(payload[0], if index == 0 { 0x90 } else { 0x80 });
            prop_assert_eq!(u16::from_be_bytes([payload[2], payload[3]]), 0x8000 | picture_id);
        }
        prop_assert_eq!(joined(payloads.into_iter()), frame);
    }

    #[test]
    fn any_text_can_be_asked_for_its_formats(text in "(a=rtpmap:|a=fmtp:|m=video |[ -~]|\n){0,40}") {
        sdp::formats(&text).count();
        sdp::with_preference(&text, &BOTH);
    }
}
