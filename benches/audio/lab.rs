//! Codec and playout in virtual time: a voice through a path made from a seed, without sound cards or clocks.

use crate::network::{Link, Path};
use ahoy::media::audio::{BLOCK, Encoded, Encoder, FRAME, OpusDecoder, Playout, PlayoutStats};
use ahoy::media::ports::ReceivedPacket;
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How what is lost comes back, besides Opus' own redundancy.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Repair {
    /// By in-band FEC alone.
    Inband,
    /// Each packet carries the one before it whole (RFC 2198).
    Red,
    /// Lost packets are asked for (RFC 4585); the round trip in milliseconds.
    Nack(f64),
}

/// One way of sending.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    pub(crate) name: &'static str,
    pub(crate) bits_per_second: u32,
    pub(crate) fec: bool,
    pub(crate) repair: Repair,
}

/// What came out.
pub(crate) struct Heard {
    /// What was said and what was heard, in one time.
    pub(crate) samples: Vec<(f32, f32)>,
    pub(crate) stats: PlayoutStats,
    /// Octets of payload a second, as sent.
    pub(crate) bits_per_second: f64,
    /// Mean of what was buffered, milliseconds.
    pub(crate) buffered_ms: f64,
}

struct Sent {
    sequence: u16,
    timestamp: u32,
    payload: Bytes,
    at_ms: f64,
    came_ms: Option<f64>,
}

/// Says it, `times` over.
pub(crate) fn run(voice: &[f32], times: usize, path: Path, way: Way, seed: u64) -> Heard {
    let mut said: Vec<f32> = Vec::new();
    for _ in 0..times {
        said.extend_from_slice(voice);
    }
    said.resize(said.len().next_multiple_of(FRAME), 0.0);
    let (sent, octets) = send(&said, path, way, seed);
    let mut arrivals = Vec::new();
    let mut last: Option<&Sent> = None;
    for packet in &sent {
        if let Some(at) = packet.came_ms {
            arrivals.push((at, packet.sequence, packet.timestamp, packet.payload.clone()));
            if way.repair == Repair::Red
                && let Some(last) = last.filter(|last| last.came_ms.is_none_or(|came| came > at))
            {
                arrivals.push((at, last.sequence, last.timestamp, last.payload.clone()));
            }
        }
        last = Some(packet);
    }
    if let Repair::Nack(rtt) = way.repair {
        ask_again(&sent, rtt, path, seed, &mut arrivals);
    }
    arrivals.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut samples, mut stats, mut buffered) =
        (Vec::with_capacity(said.len()), PlayoutStats::default(), 0.0);
    let start = Instant::now() + Duration::from_secs(10);
    let mut playout = Playout::new(OpusDecoder::new().unwrap());
    let mut waiting = arrivals.into_iter().peekable();
    for (n, block) in said.chunks_exact(BLOCK).enumerate() {
        let now_ms = n as f64 * 10.0 + 7.3;
        while let Some((at, sequence, timestamp, payload)) = waiting.next_if(|arrival| arrival.0 <= now_ms) {
            playout.insert(&ReceivedPacket {
                arrived: start + Duration::from_secs_f64(at / 1e3),
                sequence,
                timestamp,
                marker: false,
                ssrc: 1,
                codec: None,
                payload,
                capture_ntp: None,
            });
        }
        let mut out = [0.0; BLOCK];
        playout.pull(start + Duration::from_secs_f64(now_ms / 1e3), &mut out);
        samples.extend(block.iter().copied().zip(out));
        stats = playout.stats();
        buffered += playout.buffered_ms();
    }
    let seconds = said.len() as f64 / 48_000.0;
    let blocks = (said.len() / BLOCK) as f64;
    Heard { samples, stats, bits_per_second: octets as f64 * 8.0 / seconds, buffered_ms: buffered / blocks }
}

fn send(said: &[f32], path: Path, way: Way, seed: u64) -> (Vec<Sent>, usize) {
    let mut encoder = Encoder::new().unwrap();
    let mut link = Link::new(path, seed);
    // What the receiver's reports say: the loss of the second before the last.
    let mut fates: VecDeque<bool> = VecDeque::new();
    let (mut sent, mut octets) = (Vec::new(), 0);
    for (n, frame) in said.chunks_exact(FRAME).enumerate() {
        let lost = fates.iter().take(50).filter(|lost| **lost).count() as f32 / 50.0;
        encoder.adapt(way.bits_per_second, if way.fec { lost } else { 0.0 }).unwrap();
        let Encoded::Packet { data, .. } = encoder.encode(frame.try_into().unwrap()).unwrap() else {
            continue;
        };
        let at_ms = (n + 1) as f64 * 20.0 / (1.0 + path.drift);
        octets += data.len() * if way.repair == Repair::Red { 2 } else { 1 };
        let came_ms = link.carry(at_ms);
        fates.push_back(came_ms.is_none());
        if fates.len() > 100 {
            fates.pop_front();
        }
        sent.push(Sent {
            sequence: sent.len() as u16,
            timestamp: (n * FRAME) as u32,
            payload: data,
            at_ms,
            came_ms,
        });
    }
    (sent, octets)
}

/// What is lost is asked for when the packet after it has come, up to twice.
fn ask_again(sent: &[Sent], rtt: f64, path: Path, seed: u64, arrivals: &mut Vec<(f64, u16, u32, Bytes)>) {
    let mut link = Link::new(Path { burst: 1.0, ..path }, seed ^ 0xacce55);
    for (n, packet) in sent.iter().enumerate().filter(|(_, packet)| packet.came_ms.is_none()) {
        let noticed = sent[n + 1..].iter().find_map(|after| after.came_ms).unwrap_or(packet.at_ms);
        for attempt in 0..1 {
            if let Some(at) = link.carry(noticed + 5.0 + rtt * (1.0 + 1.25 * f64::from(attempt))) {
                arrivals.push((at, packet.sequence, packet.timestamp, packet.payload.clone()));
                break;
            }
        }
    }
}
