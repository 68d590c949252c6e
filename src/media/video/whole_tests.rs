//! Real H.264 over a bad network, in virtual time: whatever is lost, every picture that is shown is exactly the one
//! that decoding without any loss gives; and receiving allocates nothing once it runs.

use super::codec::{Decoder, Encoder};
use super::encoder_settings::EncoderSettings;
use super::frame::{Frame, Size};
use super::look::Looker;
use super::loopback::packetize;
use super::pattern::Pattern;
use super::presentation::Presentation;
use super::reassembly::{Limits, Output, Reassembly};
use super::timing::Timing;
use crate::allocations;
use crate::media::ports::{EncodedFrame, ReceivedPacket, VideoCodec};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);
const SIZE: Size = Size::new(320, 180);
/// Pictures of the stream; the first, and every so many, is a keyframe.
const PICTURES: u32 = 120;
const KEYFRAME_EVERY: u32 = 30;

/// A stream, and what its decoding without loss gives.
struct Reference {
    start: Instant,
    packets: Vec<ReceivedPacket>,
    /// By RTP timestamp.
    pictures: HashMap<u32, Vec<u8>>,
}

fn unit(encoder: &mut Encoder, pattern: &mut Pattern, number: u32, keyframe: bool) -> EncodedFrame {
    // The encoder keeps its rate by the time of capture.
    static START: OnceLock<Instant> = OnceLock::new();
    let captured = *START.get_or_init(Instant::now) + number * 33 * MS;
    let mut frame = Frame::black(SIZE, captured);
    pattern.draw(&mut frame, u64::from(number), number * 33 * MS);
    let mut data = Vec::new();
    let look = Looker::default().look(&frame);
    let keyframe = encoder.encode(&frame, keyframe, &look, &mut data).unwrap();
    EncodedFrame {
        data: Bytes::from(data),
        captured,
        rtp_timestamp: number * 3_000,
        keyframe,
        codec: VideoCodec::H264,
    }
}

fn encoder() -> Encoder {
    let settings = EncoderSettings { size: SIZE, bits_per_second: 1_500_000, fps: 30.0, backlog: 0.0 };
    Encoder::new(VideoCodec::H264, settings).unwrap()
}

/// Encoded once for all cases.
fn reference() -> &'static Reference {
    static REFERENCE: OnceLock<Reference> = OnceLock::new();
    REFERENCE.get_or_init(|| {
        let start = Instant::now();
        let (mut encoder, mut pattern) = (encoder(), Pattern::new(SIZE));
        let mut decoder = Decoder::new(VideoCodec::H264).unwrap();
        let (mut packets, mut pictures) = (Vec::new(), HashMap::new());
        let mut sequence = 65_400;
        for number in 0..PICTURES {
            let unit = unit(&mut encoder, &mut pattern, number, number % KEYFRAME_EVERY == 0);
            let picture = decoder.decode(&unit.data, start, None).unwrap().expect("a picture each");
            pictures.insert(unit.rtp_timestamp, picture.data().to_vec());
            let sent = start + number * 33 * MS;
            let made = packetize(&unit, &mut sequence);
            packets.extend(made.into_iter().map(|packet| ReceivedPacket { arrived: sent, ..packet }));
        }
        Reference { start, packets, pictures }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_shown_picture_is_one_of_the_decoding_without_loss(
        percent in 0_u32..25,
        jitter in 0_u32..80,
        fates in proptest::collection::vec((0_u32..100, 0_u32..100, 0_u32..300), 700..900),
    ) {
        let reference = reference();
        let mut arrivals: BTreeMap<(Instant, usize), &ReceivedPacket> = BTreeMap::new();
        for (index, (packet, (loss, delay, repair))) in
            reference.packets.iter().zip(fates.iter().cycle()).enumerate()
        {
            let sent = packet.arrived;
            // What is lost is repaired late, too late, or never.
            let at = if *loss >= percent {
                sent + delay * jitter / 100 * MS
            } else if loss % 3 == 0 {
                continue;
            } else {
                sent + (20 + repair) * MS
            };
            arrivals.insert((at, index), packet);
        }
        let mut decoder = Decoder::new(VideoCodec::H264).unwrap();
        let mut reassembly = Reassembly::new(Limits::default());
        let (mut timing, mut presentation) = (Timing::default(), Presentation::default());
        let (mut shown, mut last) = (0, None);
        let mut now = reference.start;
        let mut show = |presentation: &mut Presentation<(u32, Arc<Frame>)>, now| {
            if let Some((timestamp, frame)) = presentation.poll_picture(now) {
                assert!(frame.data() == reference.pictures[&timestamp], "picture {} is broken", timestamp / 3_000);
                assert!(last.replace(timestamp).is_none_or(|last| last < timestamp), "pictures run backwards");
                shown += 1;
            }
        };
        for ((at, _), packet) in arrivals {
            while let Some(due) = reassembly.poll_timeout().filter(|due| *due < at) {
                now = now.max(due);
                reassembly.handle_timeout(now);
                while reassembly.poll_output().is_some() {}
            }
            now = now.max(at);
            reassembly.handle_packet(ReceivedPacket { arrived: at, ..packet.clone() });
            while let Some(output) = reassembly.poll_output() {
                let Output::Picture(unit) = output else { continue };
                let picture = decoder.decode(&unit.data, unit.ready, None);
                let picture = picture.expect("no reference is missing").expect("a picture each");
                presentation.push(timing.handle_picture(unit.timestamp, unit.ready), (unit.timestamp, picture));
                show(&mut presentation, now);
                reassembly.recycle(unit);
            }
            show(&mut presentation, now);
        }
        show(&mut presentation, now + Duration::from_secs(1));
        prop_assert!(shown > 0 || percent > 5);
        if percent == 0 {
            prop_assert!(shown + presentation.skipped() == u64::from(PICTURES));
        }
    }
}

#[test]
fn receiving_and_decoding_allocate_nothing_once_they_run() {
    let start = Instant::now();
    let (mut encoder, mut pattern) = (encoder(), Pattern::new(SIZE));
    let mut sequence = 65_000;
    let mut packets = Vec::new();
    for number in 0..300 {
        let unit = unit(&mut encoder, &mut pattern, number, number % 100 == 0);
        let mut made = packetize(&unit, &mut sequence);
        // Every tenth picture's packets come in the wrong order, so that they wait in the buffer.
        if number % 10 == 0 {
            made.reverse();
        }
        let at = start + number * 33 * MS;
        packets.push(
            made.into_iter().map(|packet| ReceivedPacket { arrived: at, ..packet }).collect::<Vec<_>>(),
        );
    }
    let mut decoder = Decoder::new(VideoCodec::H264).unwrap();
    let mut reassembly = Reassembly::new(Limits::default());
    let (mut timing, mut presentation) = (Timing::default(), Presentation::default());
    let mut slot: Option<Arc<Frame>> = None;
    let mut shown = 0;
    let mut receive = |made: Vec<ReceivedPacket>, jitter: Duration| {
        let mut now = start;
        for packet in made {
            now = packet.arrived + jitter;
            reassembly.handle_packet(ReceivedPacket { arrived: now, ..packet });
        }
        while let Some(output) = reassembly.poll_output() {
            let Output::Picture(unit) = output else { continue };
            let frame = decoder.decode(&unit.data, unit.ready, None).unwrap().unwrap();
            presentation.push(timing.handle_picture(unit.timestamp, unit.ready), frame);
            reassembly.recycle(unit);
        }
        if let Some(frame) = presentation.poll_picture(now) {
            slot = Some(frame);
            shown += 1;
        }
    };
    // The first third warms up: a late picture now and then, as later.
    let mut rest = packets.into_iter();
    let jitter = |number: u32| if number.is_multiple_of(7) { 25 * MS } else { Duration::ZERO };
    for number in 0..100 {
        receive(rest.next().unwrap(), jitter(number));
    }
    let before = allocations::on_this_thread();
    for number in 100..300 {
        receive(rest.next().unwrap(), jitter(number));
    }
    let allocated = allocations::on_this_thread() - before;
    assert!(shown > 200, "{shown}");
    assert_eq!(allocated, 0, "allocations in 200 pictures");
    assert!(slot.is_some());
}
