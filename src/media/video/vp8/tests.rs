//! The codec on the test pattern: what comes out is what went in.

use super::{Decoder, Encoder, Vp8Error};
use crate::media::video::counter::read_counter;
use crate::media::video::encoder_settings::EncoderSettings;
use crate::media::video::frame::{Frame, Size};
use crate::media::video::pattern::Pattern;
use std::time::{Duration, Instant};

fn encoder(size: Size, bits_per_second: u32) -> Encoder {
    Encoder::new(EncoderSettings { size, bits_per_second, fps: 30.0, backlog: 0.0 }).unwrap()
}

fn picture(size: Size, number: u64) -> Frame {
    let mut frame = Frame::black(size, Instant::now());
    Pattern::new(size).draw(&mut frame, number, Duration::from_millis(number * 33));
    frame
}

/// Encodes the pattern's pictures from `first` on; gives the octets of each.
fn encode(encoder: &mut Encoder, numbers: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    numbers
        .map(|number| {
            let mut data = Vec::new();
            encoder.encode(&picture(encoder.size(), number), false, &mut data).unwrap();
            data
        })
        .collect()
}

fn bits_per_second(units: &[Vec<u8>]) -> f64 {
    units.iter().map(Vec::len).sum::<usize>() as f64 * 8.0 * 30.0 / units.len() as f64
}

#[test]
fn every_picture_comes_back_with_its_own_content() {
    for size in [Size::HD, Size::new(640, 360), Size::new(320, 180)] {
        let mut encoder = encoder(size, 1_500_000);
        let mut decoder = Decoder::new().unwrap();
        for number in 0..20 {
            let mut data = Vec::new();
            let keyframe = encoder.encode(&picture(size, number), false, &mut data).unwrap();
            assert_eq!(keyframe, number == 0);
            let now = Instant::now();
            let decoded = decoder.decode(&data, now, Some(number)).unwrap().unwrap();
            assert_eq!((decoded.size(), decoded.captured, decoded.capture_ntp), (size, now, Some(number)));
            assert_eq!(read_counter(&decoded), Some(number as u16));
        }
    }
}

#[test]
fn odd_sizes_keep_their_edges() {
    let size = Size::new(321, 181);
    let mut encoder = encoder(size, 2_000_000);
    let mut decoder = Decoder::new().unwrap();
    let frame = picture(size, 3);
    let mut data = Vec::new();
    encoder.encode(&frame, true, &mut data).unwrap();
    let decoded = decoder.decode(&data, Instant::now(), None).unwrap().unwrap();
    assert_eq!(decoded.size(), size);
    for (sent, got) in [(frame.y(), decoded.y()), (frame.u(), decoded.u()), (frame.v(), decoded.v())] {
        let difference: u64 = sent.iter().zip(got).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        assert!(difference < 6 * sent.len() as u64, "{}", difference / sent.len() as u64);
    }
}

#[test]
fn a_keyframe_comes_when_asked_for_and_a_stream_can_be_joined_there() {
    let mut encoder = encoder(Size::HD, 1_000_000);
    let before = encode(&mut encoder, 0..5);
    let mut data = Vec::new();
    assert!(encoder.encode(&picture(Size::HD, 5), true, &mut data).unwrap());
    let mut late = Decoder::new().unwrap();
    assert!(matches!(late.decode(&before[3], Instant::now(), None), Err(Vp8Error::Decode(_))));
    let decoded = late.decode(&data, Instant::now(), None).unwrap().unwrap();
    assert_eq!(read_counter(&decoded), Some(5));
}

#[test]
fn the_rate_follows_its_target_within_a_stream() {
    let mut encoder = encoder(Size::HD, 2_000_000);
    // The first second pays for the keyframe.
    encode(&mut encoder, 0..30);
    for (second, target) in [(1, 2_000_000), (4, 800_000), (7, 1_500_000)] {
        encoder.set_rate(target, 30.0);
        encode(&mut encoder, second * 30..(second + 1) * 30);
        let rate = bits_per_second(&encode(&mut encoder, (second + 1) * 30..(second + 3) * 30));
        assert!((rate / f64::from(target) - 1.0).abs() < 0.15, "{rate} instead of {target}");
    }
}

#[test]
fn less_rate_makes_coarser_pictures_and_a_keyframe_is_no_measure() {
    let coarseness = |rate| {
        let mut encoder = encoder(Size::new(640, 360), rate);
        encode(&mut encoder, 0..1);
        assert_eq!(encoder.coarseness(), None);
        encode(&mut encoder, 1..60);
        encoder.coarseness().unwrap()
    };
    let (little, much) = (coarseness(150_000), coarseness(600_000));
    // Four times the rate is worth about 12 steps where every picture is new, and less where much is found again.
    assert!(little > much + 3.0 && (10.0..47.0).contains(&much), "{little}, {much}");
}

#[test]
fn a_keyframe_does_not_take_more_than_its_share() {
    let mut encoder = encoder(Size::HD, 1_000_000);
    encode(&mut encoder, 0..30);
    let mut data = Vec::new();
    assert!(encoder.encode(&picture(Size::HD, 30), true, &mut data).unwrap());
    // 300 ms of the rate, and as much again for what the quantizer cannot hit.
    assert!(data.len() < 2 * 1_000_000 / 8 * 3 / 10, "{}", data.len());
}

#[test]
fn damaged_pictures_are_refused_and_the_decoder_lives_on() {
    let mut encoder = encoder(Size::HD, 1_000_000);
    let units = encode(&mut encoder, 0..2);
    let mut decoder = Decoder::new().unwrap();
    let decode = |decoder: &mut Decoder, data: &[u8]| decoder.decode(data, Instant::now(), None);
    assert!(decode(&mut decoder, &[]).is_err());
    assert!(decode(&mut decoder, &units[1]).is_err());
    assert!(decode(&mut decoder, &units[0][..9]).is_err());
    assert!(decode(&mut decoder, &units[0][..units[0].len() / 2]).is_err());
    // It claims 16383×16383.
    let mut huge = units[0].clone();
    huge[6..10].fill(0xff);
    let error = decode(&mut decoder, &huge).unwrap_err();
    assert!(error.to_string().contains("16383×16383"), "{error}");
    let decoded = decode(&mut decoder, &units[0]).unwrap().unwrap();
    assert_eq!(read_counter(&decoded), Some(0));
}

#[test]
fn a_picture_of_another_size_is_refused() {
    let mut encoder = encoder(Size::HD, 1_000_000);
    let frame = picture(Size::new(640, 360), 0);
    assert!(matches!(encoder.encode(&frame, false, &mut Vec::new()), Err(Vp8Error::Encode(_))));
}
