//! Codec and playout in virtual time: a voice through a link made from a seed, without sound cards or clocks.
//!
//! The link is that of the whole calls ([`crate::link`]), and what travels on it does so in both directions: sound one
//! way, requests for what is missing and the receiver's reports the other. So a row has the same network here as there.

use crate::link::direction::Direction;
use crate::link::random::Random;
use crate::link::schedule::Schedule;
use ahoy::media::audio::redundancy::Redundancy;
use ahoy::media::audio::{BLOCK, Encoded, Encoder, FRAME, OpusDecoder, Playout, PlayoutStats};
use ahoy::media::ports::ReceivedPacket;
use bytes::Bytes;
use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

/// Step of the virtual clock.
const STEP: Duration = Duration::from_millis(1);
/// What an IP packet holds besides the Opus packet: IP, UDP, RTP with its extensions, SRTP's tag.
const OVERHEAD: usize = 70;
/// A report of the receiver is sent this often, ...
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// ... and is an IP packet of so many octets, as is a request.
const FEEDBACK: usize = 80;
/// When, after the start of a step of 10 ms, the speaker asks: neither with the packets nor just before them.
const PULL_PHASE: Duration = Duration::from_micros(7_000);

/// One way of sending.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    pub(crate) name: &'static str,
    pub(crate) bits_per_second: u32,
    /// In-band FEC, as much of it as the reports of loss ask for.
    pub(crate) fec: bool,
    /// Packets carry an earlier one, whole, once the reports tell of loss.
    pub(crate) carries: bool,
    /// A lost packet is asked for so often (RFC 4585).
    pub(crate) requests: u8,
}

/// What the sound goes through.
pub(crate) struct Path {
    pub(crate) name: &'static str,
    pub(crate) schedule: Schedule,
    /// How much faster the sender's clock is than the receiver's.
    pub(crate) drift: f64,
}

/// What came out.
pub(crate) struct Heard {
    /// What was said and what was heard, in one time.
    pub(crate) samples: Vec<(f32, f32)>,
    pub(crate) stats: PlayoutStats,
    /// Bits of payload a second, as sent, repairs included.
    pub(crate) bits_per_second: f64,
}

struct Sent {
    timestamp: u32,
    payload: Bytes,
    repeated: bool,
}

/// What the receiver knows of what is missing.
#[derive(Default)]
struct Missing {
    next: u32,
    /// When it was asked for last, and how often.
    asked: BTreeMap<u32, (Duration, u8)>,
    came: HashSet<u32>,
}

/// Says it, `times` over.
pub(crate) fn run(voice: &[f32], times: usize, path: &Path, way: Way, seed: u64) -> Heard {
    let mut said: Vec<f32> = Vec::new();
    for _ in 0..times {
        said.extend_from_slice(voice);
    }
    said.resize(said.len().next_multiple_of(FRAME), 0.0);
    let random = Random::new(seed);
    let [mut forth, mut back] =
        [1, 2].map(|way| Direction::new(path.schedule.clone(), random.split(way).next()));
    let mut encoder = Encoder::new().unwrap();
    let mut redundancy = Redundancy::default();
    let mut playout = Playout::new(OpusDecoder::new().unwrap());
    let start = Instant::now() + Duration::from_secs(10);
    let mut frames = said.chunks_exact(FRAME).enumerate().peekable();
    let mut blocks = said.chunks_exact(BLOCK).enumerate().peekable();
    let (mut sent, mut missing): (Vec<Sent>, Missing) = (Vec::new(), Missing::default());
    let (mut reported, mut next_report, mut loss) = ((0, 0), REPORT_INTERVAL, 0.0);
    let (mut samples, mut octets, mut round_trip) = (Vec::with_capacity(said.len()), 0, Duration::ZERO);
    let mut now = Duration::ZERO;
    while blocks.peek().is_some() {
        // A frame can leave when its last sample was spoken.
        while let Some((n, frame)) = frames
            .next_if(|(n, _)| Duration::from_secs_f64((n + 1) as f64 * 0.02 / (1.0 + path.drift)) <= now)
        {
            encoder.adapt(way.bits_per_second, if way.fec { loss } else { 0.0 }).unwrap();
            let Encoded::Packet { data, .. } = encoder.encode(frame.try_into().unwrap()).unwrap() else {
                continue;
            };
            let number = sent.len() as u32;
            let timestamp = (n * FRAME) as u32;
            let data = redundancy.wrap(data, timestamp, way.carries && loss > 0.0);
            octets += data.len();
            forth.handle_packet(now, packet(number, data.len()));
            sent.push(Sent { timestamp, payload: data, repeated: false });
        }
        while let Some((at, packet)) = forth.poll_packet(now) {
            let number = u32::from_be_bytes([packet[1], packet[2], packet[3], packet[4]]);
            if missing.came.insert(number) {
                if let Some((asked, 1)) = missing.asked.remove(&number) {
                    round_trip = at.saturating_sub(asked).max(round_trip);
                }
                insert(&mut playout, start + at, number, &sent[number as usize]);
            }
            for lost in missing.next..number.max(missing.next) {
                if !missing.came.contains(&lost) {
                    missing.asked.insert(lost, (Duration::ZERO, 0));
                }
            }
            missing.next = missing.next.max(number + 1);
        }
        for (number, (asked, times)) in &mut missing.asked {
            if *times < way.requests && (*times == 0 || now > *asked + round_trip + Duration::from_millis(5))
            {
                (*asked, *times) = (now, *times + 1);
                back.handle_packet(now, request(*number));
            }
        }
        if now >= next_report {
            next_report += REPORT_INTERVAL;
            let (due, came) = (missing.next, missing.came.len() as u32);
            let share = 1.0 - f64::from(came - reported.1) / f64::from((due - reported.0).max(1));
            reported = (due, came);
            back.handle_packet(now, report(share.clamp(0.0, 1.0)));
        }
        while let Some((_, packet)) = back.poll_packet(now) {
            let value = u32::from_be_bytes([packet[1], packet[2], packet[3], packet[4]]);
            if packet[0] == 0 {
                loss = value as f32 / 256.0;
            } else if let Some(asked) = sent.get_mut(value as usize).filter(|sent| !sent.repeated) {
                asked.repeated = way.requests == 1;
                octets += asked.payload.len();
                forth.handle_packet(now, self::packet(value, asked.payload.len()));
            }
        }
        while let Some((_, block)) = blocks.next_if(|(n, _)| *n as u32 * 10 * STEP + PULL_PHASE <= now) {
            let mut out = [0.0; BLOCK];
            playout.pull(start + now, &mut out);
            samples.extend(block.iter().copied().zip(out));
        }
        now += STEP;
    }
    let seconds = said.len() as f64 / 48_000.0;
    Heard { samples, stats: playout.stats(), bits_per_second: octets as f64 * 8.0 / seconds }
}

fn insert(playout: &mut Playout<OpusDecoder>, arrived: Instant, number: u32, sent: &Sent) {
    playout.insert(&ReceivedPacket {
        arrived,
        sequence: number as u16,
        timestamp: sent.timestamp,
        marker: false,
        ssrc: 1,
        codec: None,
        payload: sent.payload.clone(),
        capture_ntp: None,
    });
}

/// An IP packet: its number, and as long as the real one.
fn packet(number: u32, octets: usize) -> Vec<u8> {
    padded(0, number, octets + OVERHEAD)
}

fn report(loss: f64) -> Vec<u8> {
    padded(0, (loss * 256.0) as u32, FEEDBACK)
}

fn request(number: u32) -> Vec<u8> {
    padded(1, number, FEEDBACK)
}

fn padded(head: u8, value: u32, octets: usize) -> Vec<u8> {
    let mut packet = vec![0; octets];
    packet[0] = head;
    packet[1..5].copy_from_slice(&value.to_be_bytes());
    packet
}
