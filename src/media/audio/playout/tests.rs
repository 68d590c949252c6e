//! The playout in virtual time, against seeded network traces.

use super::*;
use proptest::prelude::*;
use std::time::Duration;

mod paths;

/// A decoder of made-up packets: a head octet (1 sound, 2 a pause, else malformed), an octet that says how many packets
/// before it are carried too, then the packet's number. Decoded, every sample is that number; made up, it is -1;
/// repaired, it is half above the number of what was lost.
#[derive(Default)]
struct Numbers;

impl FrameDecoder for Numbers {
    fn samples(&self, payload: &[u8]) -> Option<usize> {
        (payload.len() == 4 && matches!(payload[0], 1 | 2)).then_some(FRAME)
    }

    fn carries_sound(&self, payload: &[u8]) -> bool {
        payload[0] == 1
    }

    fn carries_before(&mut self, payload: &[u8]) -> usize {
        usize::from(payload[1]) * FRAME
    }

    fn decode(&mut self, payload: &[u8], out: &mut [f32]) -> Option<usize> {
        out[..FRAME].fill(f32::from(u16::from_be_bytes([payload[2], payload[3]])));
        Some(FRAME)
    }

    fn repair(&mut self, later: &[u8], before: usize, out: &mut [f32]) -> bool {
        let frames = (before / FRAME) as f32;
        out.fill(f32::from(u16::from_be_bytes([later[2], later[3]])) - frames + 0.5);
        true
    }

    fn conceal(&mut self, out: &mut [f32]) -> bool {
        out.fill(-1.0);
        true
    }

    fn reset(&mut self) {}
}

struct Random(u64);

impl Random {
    /// Even, 0 to 1 (xorshift, Marsaglia 2003).
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// What a network does to the packet of this number: its delay in milliseconds, or loss.
type Network<'a> = dyn FnMut(u32) -> Option<f64> + 'a;

struct Run {
    playout: Playout<Numbers>,
    played: Vec<f32>,
    /// Buffered before each pull, milliseconds.
    buffered: Vec<f64>,
}

impl Run {
    fn mean_buffered(&self, from_second: usize) -> f64 {
        let tail = &self.buffered[from_second * 100..];
        tail.iter().sum::<f64>() / tail.len() as f64
    }

    fn concealed(&self) -> f64 {
        let stats = self.playout.stats();
        stats.concealed as f64 / stats.played.max(1) as f64
    }
}

fn packet(start: Instant, n: u32, arrived_ms: f64, repair: bool, head: u8) -> ReceivedPacket {
    let number = (n as u16).to_be_bytes();
    ReceivedPacket {
        arrived: start + Duration::from_secs_f64(arrived_ms / 1e3),
        sequence: (n as u16).wrapping_add(65_000),
        timestamp: n.wrapping_mul(FRAME as u32).wrapping_add(u32::MAX - 100_000),
        marker: false,
        ssrc: 7,
        codec: None,
        payload: Bytes::from(vec![head, u8::from(repair), number[0], number[1]]),
        capture_ntp: None,
    }
}

/// Plays `seconds` of a 20 ms stream through `network`; `skew` is how much faster the sender's clock is than ours.
fn run(
    seconds: u32,
    skew: f64,
    repair: bool,
    head: impl Fn(u32) -> Option<u8>,
    network: &mut Network,
) -> Run {
    let start = Instant::now() + Duration::from_secs(1000);
    let mut arrivals: Vec<(f64, ReceivedPacket)> = (0..seconds * 50)
        .filter_map(|n| {
            let head = head(n)?;
            let at = f64::from(n) * 20.0 / (1.0 + skew) + 50.0 + network(n)?;
            Some((at, packet(start, n, at, repair, head)))
        })
        .collect();
    arrivals.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut run = Run { playout: Playout::new(Numbers), played: Vec::new(), buffered: Vec::new() };
    let mut waiting = arrivals.into_iter().peekable();
    for tick in 0..seconds * 100 {
        let now_ms = f64::from(tick) * 10.0 + 3.0;
        while let Some((_, packet)) = waiting.next_if(|(at, _)| *at <= now_ms) {
            run.playout.insert(&packet);
        }
        run.buffered.push(run.playout.buffered_ms());
        let mut block = [0.0; BLOCK];
        run.playout.pull(start + Duration::from_secs_f64(now_ms / 1e3), &mut block);
        run.played.extend(block);
    }
    run
}

fn sound(_: u32) -> Option<u8> {
    Some(1)
}

#[test]
fn an_even_network_is_played_whole_and_with_little_delay() {
    let run = run(60, 0.0, false, sound, &mut |_| Some(0.0));
    let stats = run.playout.stats();
    assert_eq!((stats.concealed, stats.late, stats.restarts), (0, 0, 0), "{stats:?}");
    // A frame is 20 ms; the corridor allows 25 ms above it.
    assert!(run.mean_buffered(10) < 45.0, "{}", run.mean_buffered(10));
    assert!(run.playout.target_ms() <= 10.0);
    // Every packet in order, across the wrap of sequence number and timestamp.
    let mut whole: Vec<f32> = run.played.iter().copied().filter(|x| x.fract() == 0.0 && *x > 0.0).collect();
    whole.dedup();
    assert!(whole.windows(2).all(|pair| pair[1] - pair[0] == 1.0), "out of order");
    assert!(whole.len() > 2900);
}

#[test]
fn jitter_and_loss_are_absorbed_with_a_delay_near_the_jitter() {
    let seed = 0x5eed_0001;
    let mut random = Random(seed);
    let run = run(120, 0.0, false, sound, &mut |_| {
        let (delay, lost) = (random.next() * 30.0, random.next() < 0.05);
        (!lost).then_some(delay)
    });
    // 5 % lost and not repairable, at most 3 % more too late.
    assert!((0.04..0.08).contains(&run.concealed()), "seed {seed}: {}", run.concealed());
    assert!(run.mean_buffered(20) < 75.0, "seed {seed}: {} ms", run.mean_buffered(20));
}

#[test]
fn single_losses_are_repaired_from_the_packet_after() {
    let seed = 0x5eed_0002;
    let mut random = Random(seed);
    let run = run(60, 0.0, true, sound, &mut |_| {
        let (delay, lost) = (random.next() * 25.0, random.next() < 0.05);
        (!lost).then_some(delay)
    });
    let stats = run.playout.stats();
    assert!(stats.repaired > 100, "seed {seed}: {stats:?}");
    assert!(run.concealed() < 0.02, "seed {seed}: {}", run.concealed());
}

#[test]
fn after_a_burst_the_delay_comes_back_down() {
    // Every packet of a second is held up and comes at once: a mobile cell that stalls.
    let run = run(60, 0.0, false, sound, &mut |n| {
        let into = n.saturating_sub(1000);
        Some(if (1..=15).contains(&into) { 300.0 - f64::from(into) * 20.0 } else { 0.0 })
    });
    assert!(run.playout.stats().restarts == 0);
    // 300 ms are gone at most; the rest is whole.
    assert!(run.concealed() < 0.012, "{}", run.concealed());
    assert!(run.mean_buffered(45) < 60.0, "{}", run.mean_buffered(45));
}

#[test]
fn clocks_that_differ_neither_starve_nor_swell_the_buffer() {
    for skew in [200e-6, -200e-6] {
        let run = run(300, skew, false, sound, &mut |_| Some(2.0));
        let stats = run.playout.stats();
        assert!(run.concealed() < 0.001, "{skew}: {stats:?}");
        assert!(run.mean_buffered(250) < 55.0, "{skew}: {}", run.mean_buffered(250));
        // 200 ppm of 300 s are 60 ms.
        assert!(stats.shortened + stats.lengthened >= 960, "{skew}: {stats:?}");
    }
}

#[test]
fn a_pause_of_the_sender_is_no_loss() {
    // Sound for a second, then a pause with an update every 400 ms, and so on.
    let head = |n: u32| match n % 100 {
        0..50 => Some(1),
        50 | 70 | 90 => Some(2),
        _ => None,
    };
    // As in discontinuous transmission, sequence numbers go on without a gap: renumber what is sent.
    let start = Instant::now() + Duration::from_secs(1000);
    let mut playout = Playout::new(Numbers);
    let (mut sequence, mut sent) = (0u16, (0..3000u32).filter_map(|n| head(n).map(|h| (n, h))).peekable());
    for tick in 0..6000u32 {
        let now_ms = f64::from(tick) * 10.0 + 3.0;
        while let Some((n, h)) = sent.next_if(|(n, _)| f64::from(*n) * 20.0 <= now_ms) {
            let mut packet = packet(start, n, f64::from(n) * 20.0, false, h);
            packet.sequence = sequence;
            sequence = sequence.wrapping_add(1);
            playout.insert(&packet);
        }
        let mut block = [0.0; BLOCK];
        playout.pull(start + Duration::from_secs_f64(now_ms / 1e3), &mut block);
    }
    let stats = playout.stats();
    assert_eq!((stats.concealed, stats.late, stats.restarts), (0, 0, 0), "{stats:?}");
    assert!(playout.buffered_ms() < 60.0);
}

#[test]
fn sound_after_a_silent_minute_begins_at_once() {
    let head = |n: u32| (!(500..3500).contains(&n)).then_some(1);
    let run = run(90, 0.0, false, head, &mut |_| Some(0.0));
    // Packet 3500 leaves at 70 s and comes at 70.05 s.
    let first = run.played.iter().position(|x| *x == 3501.0).unwrap() as f64 / 48.0;
    assert!((70_060.0..70_150.0).contains(&first), "{first} ms");
    let silent = &run.played[12 * 48_000..70 * 48_000];
    assert!(silent.iter().all(|x| *x == 0.0), "what was made up fades out");
}

#[test]
fn the_voice_fades_out_when_packets_stop_and_fades_in_when_they_come_back() {
    let run = run(10, 0.0, false, |n| (!(200..300).contains(&n)).then_some(1), &mut |_| Some(0.0));
    let stopped = run.played.iter().rposition(|x| *x == 199.0).unwrap();
    assert_eq!(run.played[stopped + 480], -1.0, "at full strength at first");
    assert!(run.played[stopped + 6000..stopped + 6240].iter().all(|x| *x > -0.75 && *x < 0.0));
    assert!(run.played[stopped + 9700..stopped + 48_000].iter().all(|x| *x == 0.0));
}

#[test]
fn a_new_source_and_a_new_timeline_are_played_at_once() {
    let start = Instant::now();
    let mut playout = Playout::new(Numbers);
    let mut block = [0.0; BLOCK];
    let mut at = 0.0;
    let mut play =
        |playout: &mut Playout<Numbers>, ssrc: u32, sequence: u16, timestamp: u32, packets: u32| {
            let mut heard = 0;
            for n in 0..packets {
                let mut packet = packet(start, 5, at, false, 1);
                packet.ssrc = ssrc;
                packet.sequence = sequence.wrapping_add(n as u16);
                packet.timestamp = timestamp.wrapping_add(n * FRAME as u32);
                playout.insert(&packet);
                for _ in 0..2 {
                    at += 10.0;
                    playout.pull(start + Duration::from_secs_f64(at / 1e3), &mut block);
                    heard += block.iter().filter(|x| **x == 5.0).count();
                }
            }
            heard as f64 / f64::from(packets * FRAME as u32)
        };
    assert!(play(&mut playout, 1, 0, 0, 100) > 0.9);
    assert!(play(&mut playout, 2, 40_000, 1 << 31, 100) > 0.9, "another source");
    assert!(play(&mut playout, 2, 100, 1 << 31, 100) > 0.9, "sequence numbers begin anew");
    assert!(play(&mut playout, 2, 200, 77, 100) > 0.9, "timestamps jump ahead");
    assert!(play(&mut playout, 2, 300, 78, 200) > 0.6, "timestamps jump back");
}

#[test]
fn twice_the_same_packet_is_counted_and_played_once() {
    let start = Instant::now();
    let mut playout = Playout::new(Numbers);
    for n in 0..5 {
        playout.insert(&packet(start, n, f64::from(n), false, 1));
        playout.insert(&packet(start, n, f64::from(n), false, 1));
    }
    assert_eq!((playout.stats().packets, playout.stats().duplicates), (5, 5));
    assert!((playout.buffered_ms() - 100.0).abs() < 1e-9);
}

#[test]
fn real_speech_packets_survive_jitter_with_the_real_codec() {
    use crate::media::audio::codec::{Encoded, Encoder, OpusDecoder};
    let start = Instant::now();
    let (mut encoder, mut playout) = (Encoder::new().unwrap(), Playout::new(OpusDecoder::new().unwrap()));
    let mut random = Random(0x5eed_0003);
    let mut arrivals = Vec::new();
    for n in 0..500u32 {
        let frame: [f32; FRAME] = std::array::from_fn(|i| {
            let t = (n as usize * FRAME + i) as f32 / 48_000.0;
            (t * 440.0 * std::f32::consts::TAU).sin() * 0.2
        });
        let Encoded::Packet { data, .. } = encoder.encode(&frame).unwrap() else { continue };
        let mut packet = packet(start, n, f64::from(n) * 20.0 + random.next() * 30.0, false, 1);
        packet.payload = data;
        arrivals.push(packet);
    }
    arrivals.sort_by_key(|packet| packet.arrived);
    let (mut waiting, mut played) = (arrivals.into_iter().peekable(), Vec::new());
    for tick in 0..1000u32 {
        let now = start + Duration::from_millis(u64::from(tick) * 10);
        while let Some(packet) = waiting.next_if(|packet| packet.arrived <= now) {
            playout.insert(&packet);
        }
        let mut block = [0.0; BLOCK];
        playout.pull(now, &mut block);
        played.extend(block);
    }
    let tail = &played[96_000..];
    let rms = (tail.iter().map(|s| s * s).sum::<f32>() / tail.len() as f32).sqrt();
    assert!((rms / 0.141_4 - 1.0).abs() < 0.06, "{rms}");
    let steepest = tail.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
    assert!(steepest < 0.2 * 440.0 * std::f32::consts::TAU / 48_000.0 * 3.0, "a click of {steepest}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn hostile_packets_neither_panic_nor_fill_the_memory(
        packets in prop::collection::vec(
            (0u64..4000, any::<u16>(), any::<u32>(), 0u32..3, prop::collection::vec(any::<u8>(), 0..40), 0u8..4),
            1..400,
        )
    ) {
        use crate::media::audio::codec::OpusDecoder;
        let start = Instant::now();
        let mut playout = Playout::new(OpusDecoder::new().unwrap());
        let mut block = [0.0; BLOCK];
        let (mut near, mut now) = (0u32, 0);
        for (at, sequence, timestamp, ssrc, payload, kind) in packets {
            near = near.wrapping_add(1);
            let (sequence, timestamp) = match kind {
                0 => (sequence, timestamp),
                1 => (near as u16, timestamp),
                2 => (near as u16, near.wrapping_mul(960)),
                _ => (near as u16 ^ (sequence & 15), near.wrapping_mul(960).wrapping_add(timestamp & 0xffff)),
            };
            playout.insert(&ReceivedPacket {
                arrived: start + Duration::from_millis(at),
                sequence,
                timestamp,
                marker: false,
                ssrc: if ssrc == 0 { 1 } else { ssrc / 2 + 1 },
                codec: None,
                payload: payload.into(),
                capture_ntp: None,
            });
            prop_assert!(playout.packets.len() <= MAX_PACKETS);
            for _ in 0..at % 3 {
                now += 10;
                playout.pull(start + Duration::from_millis(now), &mut block);
                prop_assert!(block.iter().all(|sample| sample.is_finite()));
                prop_assert!(playout.tape.len() < 4 * MAX_PACKET_SAMPLES);
            }
        }
    }
}
