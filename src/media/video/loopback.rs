//! Tests of the whole path: pattern, encoder, packets over a bad network, receiver, picture.

use super::capture::Capture;
use super::counter::read_counter;
use super::encoder::VideoEncoder;
use super::frame::{Frame, Size};
use super::latest::{Latest, Next, Reader};
use super::pattern::Pattern;
use super::receiver::VideoReceiver;
use super::source::CaptureWish;
use super::stats::{VideoReceiveStats, VideoSendStats};
use crate::config::CameraChoice;
use crate::media::event::{DeviceKind, MediaEvent};
use crate::media::ports::{
    EncodedFrame, Feedback, ReceivedPacket, SendControl, VIDEO_RECEIVE_CAPACITY, VIDEO_SEND_CAPACITY,
    VideoCodec,
};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(20);

/// A packetizer as small as a test needs: single NAL units, and FU-A for what is longer than 1100 octets.
pub(super) fn packetize(unit: &EncodedFrame, sequence: &mut u16) -> Vec<ReceivedPacket> {
    let mut payloads: Vec<Vec<u8>> = Vec::new();
    for nal in openh264::nal_units(&unit.data) {
        let nal = &nal[if nal[2] == 1 { 3 } else { 4 }..];
        if nal.len() <= 1100 {
            payloads.push(nal.to_vec());
            continue;
        }
        let chunks: Vec<_> = nal[1..].chunks(1100).collect();
        for (index, chunk) in chunks.iter().enumerate() {
            let start = if index == 0 { 0x80 } else { 0 };
            let end = if index + 1 == chunks.len() { 0x40 } else { 0 };
            let mut payload = vec![nal[0] & 0xe0 | 28, nal[0] & 0x1f | start | end];
            payload.extend_from_slice(chunk);
            payloads.push(payload);
        }
    }
    let count = payloads.len();
    let packet = |(index, payload): (usize, Vec<u8>)| {
        let number = *sequence;
        *sequence = sequence.wrapping_add(1);
        ReceivedPacket {
            arrived: Instant::now(),
            sequence: number,
            timestamp: unit.rtp_timestamp,
            marker: index + 1 == count,
            ssrc: 7,
            codec: Some(VideoCodec::H264),
            payload: Bytes::from(payload),
            capture_ntp: None,
        }
    };
    payloads.into_iter().enumerate().map(packet).collect()
}

struct Path {
    frames: Latest<Arc<Frame>>,
    control: Arc<SendControl>,
    units: mpsc::Receiver<EncodedFrame>,
    encoder: VideoEncoder,
    sent: Arc<VideoSendStats>,
    packets: SyncSender<ReceivedPacket>,
    receiver: VideoReceiver,
    pictures: Reader<Arc<Frame>>,
    feedback: mpsc::Receiver<Feedback>,
    received: Arc<VideoReceiveStats>,
    sequence: u16,
}

impl Path {
    fn new(bits_per_second: u32) -> Self {
        let (frames, out) = (Latest::new(), Latest::new());
        let control = Arc::new(SendControl::new(bits_per_second));
        let (unit_sender, units) = mpsc::channel(VIDEO_SEND_CAPACITY);
        let (packets, packet_receiver) = sync_channel(VIDEO_RECEIVE_CAPACITY);
        let (feedback_sender, feedback) = mpsc::channel(16);
        let (sent, received) = (Arc::<VideoSendStats>::default(), Arc::<VideoReceiveStats>::default());
        let encoder =
            VideoEncoder::start(&frames, unit_sender, Arc::clone(&control), Arc::clone(&sent)).unwrap();
        let pictures = out.reader();
        let receiver = VideoReceiver::start(
            packet_receiver,
            out,
            feedback_sender,
            Arc::clone(&control),
            Arc::clone(&received),
        )
        .unwrap();
        // Wraps around soon.
        let sequence = 65_500;
        Self {
            frames,
            control,
            units,
            encoder,
            sent,
            packets,
            receiver,
            pictures,
            feedback,
            received,
            sequence,
        }
    }

    fn publish(&self, pattern: &mut Pattern, number: u64) -> Arc<Frame> {
        let mut frame = Frame::black(Size::HD, Instant::now());
        pattern.draw(&mut frame, number, Duration::from_millis(number * 33));
        let frame = Arc::new(frame);
        self.frames.publish(Arc::clone(&frame));
        frame
    }

    fn next_unit(&mut self) -> EncodedFrame {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.units.try_recv() {
                Ok(unit) => return unit,
                Err(error) => assert!(Instant::now() < deadline, "no access unit: {error}"),
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn next_picture(&mut self) -> Arc<Frame> {
        match self.pictures.wait(PATIENCE) {
            Next::Value(frame) => frame,
            other => panic!("no picture: {other:?}"),
        }
    }
}

/// Peak signal-to-noise ratio of luma, dB; of the original at the picture's size, for a busy machine sends it smaller.
fn psnr(original: &Frame, b: &Frame) -> f64 {
    let mut a = Frame::black(b.size(), original.captured);
    super::scale::scale(original, &mut a);
    let error: u64 = a.y().iter().zip(b.y()).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
    10.0 * (255.0 * 255.0 * a.y().len() as f64 / (error.max(1)) as f64).log10()
}

#[test]
fn on_a_clean_path_every_picture_comes_out_as_it_went_in() {
    let mut path = Path::new(2_000_000);
    path.control.set_sending(true);
    let mut pattern = Pattern::new(Size::HD);
    for number in 0..20 {
        let original = path.publish(&mut pattern, number);
        let unit = path.next_unit();
        assert_eq!(unit.keyframe, number == 0);
        let mut sequence = path.sequence;
        for packet in packetize(&unit, &mut sequence) {
            path.packets.send(packet).unwrap();
        }
        path.sequence = sequence;
        let picture = path.next_picture();
        assert_eq!(read_counter(&picture), Some(number as u16));
        assert!(psnr(&original, &picture) > 30.0, "picture {number}: {} dB", psnr(&original, &picture));
        std::thread::sleep(Duration::from_millis(34));
    }
    let (sent, received) = (path.sent.snapshot(), path.received.snapshot());
    assert_eq!((sent.encoded, sent.keyframes, sent.dropped), (20, 1, 0));
    assert_eq!((received.decoded, received.keyframes, received.dropped), (20, 1, 0));
    assert_eq!((sent.size, received.size), (Some(Size::HD), Some(Size::HD)));
    assert!(path.feedback.try_recv().is_err(), "nothing to ask for on a clean path");
    drop(path.packets);
    path.receiver.stop();
    path.encoder.stop();
}

#[test]
fn a_low_rate_shrinks_the_picture_and_its_counter_stays_readable() {
    let mut path = Path::new(60_000);
    path.control.set_sending(true);
    let mut pattern = Pattern::new(Size::HD);
    for number in 100..110 {
        path.publish(&mut pattern, number);
        let unit = path.next_unit();
        let mut sequence = path.sequence;
        for packet in packetize(&unit, &mut sequence) {
            path.packets.send(packet).unwrap();
        }
        path.sequence = sequence;
        let picture = path.next_picture();
        assert_eq!(picture.size(), Size::new(320, 180));
        assert_eq!(read_counter(&picture), Some(number as u16));
        let mut large = Frame::black(Size::HD, Instant::now());
        super::scale::scale(&picture, &mut large);
        assert_eq!(read_counter(&large), Some(number as u16));
        std::thread::sleep(Duration::from_millis(70));
    }
}

#[test]
fn nothing_is_encoded_before_the_gate_opens_and_then_the_present_picture_leaves_as_a_keyframe() {
    let mut path = Path::new(1_000_000);
    let mut pattern = Pattern::new(Size::HD);
    path.publish(&mut pattern, 1);
    std::thread::sleep(Duration::from_millis(50));
    assert!(path.units.try_recv().is_err());
    path.control.set_sending(true);
    // No further picture is published.
    assert!(path.next_unit().keyframe);
    // A keyframe that is asked for comes although the picture stands still, and time goes on.
    let first = path.sent.snapshot();
    path.control.want_keyframe();
    let again = path.next_unit();
    assert!(again.keyframe);
    assert_eq!((first.keyframes, path.sent.snapshot().keyframes), (1, 2));
    path.control.set_sending(false);
    std::thread::sleep(Duration::from_millis(150));
    path.publish(&mut pattern, 2);
    std::thread::sleep(Duration::from_millis(50));
    assert!(path.units.try_recv().is_err());
}

#[test]
fn a_transport_that_stands_still_costs_pictures_but_never_breaks_the_stream() {
    let mut path = Path::new(2_000_000);
    path.control.set_sending(true);
    let mut pattern = Pattern::new(Size::HD);
    for number in 0..20 {
        path.publish(&mut pattern, number);
        std::thread::sleep(Duration::from_millis(34));
    }
    assert!(path.sent.snapshot().dropped > 0);
    let mut last = None;
    for number in 20..30 {
        while let Ok(unit) = path.units.try_recv() {
            let mut sequence = path.sequence;
            for packet in packetize(&unit, &mut sequence) {
                path.packets.send(packet).unwrap();
            }
            path.sequence = sequence;
            last = Some(path.next_picture());
        }
        path.publish(&mut pattern, number);
        std::thread::sleep(Duration::from_millis(40));
    }
    assert!(read_counter(&last.unwrap()).unwrap() > 20);
    assert_eq!(path.received.snapshot().dropped, 0);
}

#[test]
fn over_a_lossy_and_reordering_network_only_whole_pictures_appear_and_keyframes_are_asked_for() {
    let seed: u64 = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand::random);
    println!("SEED={seed}");
    let mut random = Lcg(seed);
    let mut path = Path::new(1_500_000);
    path.control.set_sending(true);
    let mut pattern = Pattern::new(Size::HD);
    let mut originals = HashMap::new();
    let mut held: Vec<ReceivedPacket> = Vec::new();
    let (mut seen, mut requests) = (0, 0);
    // One seed in fifty loses nothing by itself.
    let mut lost = false;
    for number in 0..150 {
        originals.insert(number as u16, path.publish(&mut pattern, number));
        let unit = path.next_unit();
        let mut sequence = path.sequence;
        held.extend(packetize(&unit, &mut sequence));
        path.sequence = sequence;
        // Swaps neighbours, holds some back for the next round, loses 2 %.
        for index in 1..held.len() {
            if random.below(100) < 20 {
                held.swap(index - 1, index);
            }
        }
        let keep = random.below(3) as usize;
        for mut packet in held.drain(..held.len().saturating_sub(keep)) {
            if random.below(100) < 2 || number >= 75 && !lost {
                lost = true;
            } else {
                packet.arrived = Instant::now();
                path.packets.send(packet).unwrap();
            }
        }
        while let Ok(Feedback::RequestKeyframe) = path.feedback.try_recv() {
            requests += 1;
            path.control.want_keyframe();
        }
        std::thread::sleep(Duration::from_millis(34));
        while let Some(picture) = path.pictures.try_next() {
            let counter = read_counter(&picture).expect("a picture made of lost packets");
            let quality = psnr(&originals[&counter], &picture);
            assert!(quality > 28.0, "picture {counter}: {quality} dB");
            seen += 1;
        }
    }
    println!("{seen} of 150 pictures seen, {requests} keyframes asked for, {:?}", path.received.snapshot());
    assert!(seen > 10 && requests > 0);
}

#[test]
fn the_pattern_is_captured_at_its_rate_and_released_when_dropped() {
    let out = Latest::new();
    let mut reader = out.reader();
    let (events, mut reported) = mpsc::channel(4);
    let wish = CaptureWish { size: Size::new(320, 180), fps: 50 };
    let capture = Capture::start(CameraChoice::Pattern, wish, out.clone(), events.clone(), None).unwrap();
    let Next::Value(first) = reader.wait(PATIENCE) else { panic!("no picture") };
    let start = Instant::now();
    std::thread::sleep(Duration::from_millis(500));
    let (published, lasted) = (out.published() - 1, start.elapsed());
    // At 50 a second; a machine that stands still loses some, none may be made up.
    assert!(
        published >= 5 && f64::from(u32::try_from(published).unwrap()) <= lasted.as_secs_f64() * 50.0 + 3.0,
        "{published} in {lasted:?}"
    );
    assert_eq!(read_counter(&first), Some(0));
    capture.stop();
    let count = out.published();
    std::thread::sleep(Duration::from_millis(60));
    assert_eq!(out.published(), count);
    assert_eq!(
        reported.try_recv(),
        Ok(MediaEvent::Opened { kind: DeviceKind::Camera, device: "test pattern".into() })
    );
    let echoed = Latest::new();
    let mut reader = echoed.reader();
    let _echo = Capture::start(CameraChoice::Echo, wish, echoed, events.clone(), Some(out.clone())).unwrap();
    assert!(matches!(reader.wait(PATIENCE), Next::Value(_)));
    assert!(Capture::start(CameraChoice::Echo, wish, Latest::new(), events.clone(), None).is_err());
    assert!(Capture::start(CameraChoice::None, wish, Latest::new(), events, None).is_err());
}

/// A small linear congruential generator (Knuth, MMIX), so that a seed gives the same network again.
struct Lcg(u64);

impl Lcg {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}
