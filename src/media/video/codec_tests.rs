//! A stream whose codec changes with one of its pictures, from the encoder's octets to the decoder's pixels.

use super::codec::{Decoder, Encoder};
use super::counter::read_counter;
use super::encoder_settings::EncoderSettings;
use super::frame::{Frame, Size};
use super::look::Looker;
use super::loopback::packetize;
use super::pattern::Pattern;
use super::reassembly::{AccessUnit, Limits, Output, Reassembly};
use crate::media::ports::{EncodedFrame, ReceivedPacket, VideoCodec};
use bytes::Bytes;
use std::time::{Duration, Instant};

const SIZE: Size = Size::new(640, 360);

/// The pictures `numbers` in one codec, each in its packets. Only the first is a keyframe.
fn packets(codec: VideoCodec, numbers: std::ops::Range<u32>, sequence: &mut u16) -> Vec<ReceivedPacket> {
    let settings = EncoderSettings { size: SIZE, bits_per_second: 1_000_000, fps: 30.0, backlog: 0.0 };
    let mut encoder = Encoder::new(codec, settings).unwrap();
    assert_eq!(encoder.codec(), codec);
    let (mut pattern, mut looker) = (Pattern::new(SIZE), Looker::default());
    let mut all = Vec::new();
    for number in numbers {
        let mut frame = Frame::black(SIZE, Instant::now());
        pattern.draw(&mut frame, u64::from(number), Duration::from_millis(u64::from(number) * 33));
        let mut data = Vec::new();
        let keyframe = encoder.encode(&frame, false, &looker.look(&frame), &mut data).unwrap();
        let unit = EncodedFrame {
            codec,
            data: Bytes::from(data),
            captured: Instant::now(),
            rtp_timestamp: number * 3000,
            keyframe,
        };
        all.extend(match codec {
            VideoCodec::H264 => packetize(&unit, sequence),
            VideoCodec::Vp8 => packetize_vp8(&unit, sequence),
        });
    }
    all
}

/// A packetizer as small as a test needs: the shortest descriptor there is (RFC 7741 section 4.2).
fn packetize_vp8(unit: &EncodedFrame, sequence: &mut u16) -> Vec<ReceivedPacket> {
    let count = unit.data.len().div_ceil(1100);
    let packet = |(index, piece): (usize, &[u8])| {
        let number = *sequence;
        *sequence = sequence.wrapping_add(1);
        let descriptor = if index == 0 { 0x10 } else { 0x00 };
        ReceivedPacket {
            arrived: Instant::now(),
            sequence: number,
            timestamp: unit.rtp_timestamp,
            marker: index + 1 == count,
            ssrc: 7,
            codec: Some(VideoCodec::Vp8),
            payload: [&[descriptor], piece].concat().into(),
            capture_ntp: None,
        }
    };
    unit.data.chunks(1100).enumerate().map(packet).collect()
}

/// What comes out of the buffer: the pictures, and how often a keyframe was asked for.
fn reassemble(packets: Vec<ReceivedPacket>) -> (Vec<AccessUnit>, usize) {
    let mut reassembly = Reassembly::new(Limits::default());
    let (mut pictures, mut requests) = (Vec::new(), 0);
    for packet in packets {
        reassembly.handle_packet(packet);
        while let Some(output) = reassembly.poll_output() {
            match output {
                Output::Picture(unit) => pictures.push(unit),
                Output::RequestKeyframe => requests += 1,
            }
        }
    }
    (pictures, requests)
}

fn decode(pictures: &[AccessUnit]) -> Vec<u16> {
    let mut decoder = Decoder::new(pictures[0].codec).unwrap();
    let mut counters = Vec::new();
    for unit in pictures {
        if decoder.codec() != unit.codec {
            decoder = Decoder::new(unit.codec).unwrap();
        }
        let frame = decoder.decode(&unit.data, Instant::now(), None).unwrap().unwrap();
        counters.push(read_counter(&frame).unwrap());
    }
    counters
}

#[test]
fn no_picture_is_lost_where_a_stream_changes_its_codec_and_changes_back() {
    let mut sequence = 65_500;
    let mut all = packets(VideoCodec::H264, 0..5, &mut sequence);
    all.extend(packets(VideoCodec::Vp8, 5..10, &mut sequence));
    all.extend(packets(VideoCodec::H264, 10..15, &mut sequence));
    let (pictures, requests) = reassemble(all);
    let keyframes: Vec<usize> = (0..pictures.len()).filter(|&index| pictures[index].keyframe).collect();
    assert_eq!(keyframes, [0, 5, 10]);
    assert_eq!(requests, 0);
    assert_eq!(decode(&pictures), (0..15).collect::<Vec<_>>());
}

#[test]
fn a_new_codec_that_does_not_begin_with_a_keyframe_is_asked_for_one() {
    let mut sequence = 1;
    let mut all = packets(VideoCodec::H264, 0..3, &mut sequence);
    let mut next = packets(VideoCodec::Vp8, 3..9, &mut sequence);
    // The keyframe is lost, and so that it leaves no gap the sequence numbers close up.
    let keyframe = next[0].timestamp;
    next.retain(|packet| packet.timestamp != keyframe);
    for (packet, sequence) in next.iter_mut().zip(all.last().unwrap().sequence + 1..) {
        packet.sequence = sequence;
    }
    all.extend(next);
    let (pictures, requests) = reassemble(all);
    assert_eq!(decode(&pictures), [0, 1, 2]);
    assert!(requests > 0);
}
