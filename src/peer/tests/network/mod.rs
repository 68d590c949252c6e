//! A picture's whole way over a bad network, in virtual time: packets, loss, delay and a narrow link, repairs, then the
//! real request list, reassembly, timing and presentation. Seeded, so that every run can be had again.

mod decision;
mod receiver;
mod rules;
mod sender;

use crate::peer::fec::{Media, Restored};
use bytes::Bytes;
use receiver::Receiver;
use sender::{Scheme, Sender};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);
/// Between two congestion feedbacks, as the chain gives them.
const REPORTS: Duration = Duration::from_millis(50);

/// How packets are lost.
#[derive(Clone, Copy, Debug)]
enum Loss {
    /// Each by itself, with this chance in percent.
    Random(f64),
    /// In bursts of so many packets on average, this many percent of all (Gilbert's model).
    Bursts(f64, f64),
}

/// A path, the same in both directions but for the rate.
#[derive(Clone, Copy, Debug)]
struct Path {
    rtt: Duration,
    /// Each packet is delayed by up to this much more; packets overtake one another.
    jitter: Duration,
    loss: Loss,
    /// Of the link towards the receiver, bits per second.
    link: f64,
}

impl Path {
    fn new(rtt_ms: u32, loss: Loss) -> Self {
        Self { rtt: rtt_ms * MS, jitter: Duration::ZERO, loss, link: 20e6 }
    }
}

/// What the viewer sees.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    shown: u64,
    skipped: u64,
    dropped: u64,
    freezes: u64,
    frozen: Duration,
    longest: Duration,
    median: Duration,
    p95: Duration,
    keyframe_requests: u64,
    requested: u64,
    needless: u64,
    /// Packets that parities gave back.
    restored: u64,
    /// Share of the time that the sender made parities.
    protected: f64,
    /// Octets on the wire beyond the first sending of media, as a share of it.
    overhead: f64,
}

/// A packet on the wire.
#[derive(Clone, Debug)]
struct Wire {
    sequence: u16,
    frame: u32,
    /// Of how many, which.
    index: usize,
    count: usize,
    keyframe: bool,
    repair: bool,
    /// The payload of a parity, which is no packet of a frame then.
    parity: Option<Bytes>,
    octets: usize,
    /// For congestion feedback, in the order of sending.
    number: u64,
}

impl Wire {
    /// As parities see it: an RTP header, and what tells the receiver which packet this is. Sizes are those of
    /// `octets` in spirit: what a real packet would carry does not matter here.
    fn media(&self) -> Media {
        let mut header = vec![0x80, 96 | u8::from(self.index + 1 == self.count) << 7];
        header.extend(self.sequence.to_be_bytes());
        header.extend((self.frame * 3_000).to_be_bytes());
        header.extend(5_u32.to_be_bytes());
        let mut payload = self.frame.to_be_bytes().to_vec();
        payload.extend((self.index as u16).to_be_bytes());
        payload.extend((self.count as u16).to_be_bytes());
        payload.push(u8::from(self.keyframe));
        payload.resize(9 + self.index % 5, 7);
        Media { sequence: self.sequence, header: header.into(), payload: payload.into() }
    }

    /// The packet that parities gave back.
    fn restored(restored: &Restored) -> Self {
        let field = |at: usize| u16::from_be_bytes([restored.octets[at], restored.octets[at + 1]]);
        Self {
            sequence: restored.sequence,
            frame: u32::from(field(12)) << 16 | u32::from(field(14)),
            index: usize::from(field(16)),
            count: usize::from(field(18)),
            keyframe: restored.octets[20] != 0,
            repair: false,
            parity: None,
            octets: 0,
            number: 0,
        }
    }
}

#[derive(Clone, Debug)]
enum Event {
    Capture(u32),
    Arrive(Wire),
    Nack(Vec<u16>),
    KeyframeWish,
    /// What became of the packets sent next: whether they came, as congestion feedback tells it.
    Outcomes(Vec<bool>),
    /// The receiver's congestion feedback is due.
    Report,
    Wake,
}

/// A small linear congruential generator (Knuth, MMIX).
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / (1_u64 << 31) as f64
    }
}

/// One direction's state of loss.
struct Lossy {
    loss: Loss,
    bad: bool,
}

impl Lossy {
    fn loses(&mut self, random: &mut Random) -> bool {
        match self.loss {
            Loss::Random(percent) => random.unit() * 100.0 < percent,
            Loss::Bursts(percent, length) => {
                let leave = 1.0 / length;
                let enter = leave * percent / (100.0 - percent);
                let change = if self.bad { leave } else { enter };
                self.bad ^= random.unit() < change;
                self.bad
            }
        }
    }
}

/// Events in the order of time, then of making.
struct Agenda {
    heap: BinaryHeap<Reverse<(Instant, u64)>>,
    events: std::collections::HashMap<u64, Event>,
    made: u64,
}

impl Agenda {
    fn new() -> Self {
        Self { heap: BinaryHeap::new(), events: std::collections::HashMap::new(), made: 0 }
    }

    fn at(&mut self, when: Instant, event: Event) {
        self.made += 1;
        self.events.insert(self.made, event);
        self.heap.push(Reverse((when, self.made)));
    }

    fn next(&mut self) -> Option<(Instant, Event)> {
        let Reverse((when, number)) = self.heap.pop()?;
        Some((when, self.events.remove(&number).expect("made once")))
    }
}

/// Sends `seconds` of a picture at 30 a second and `bits_per_second` over the path.
fn run(path: Path, scheme: Scheme, bits_per_second: f64, seconds: u32, seed: u64) -> Seen {
    let start = Instant::now();
    let mut random = Random(seed);
    let mut agenda = Agenda::new();
    let (mut forth, mut back) =
        (Lossy { loss: path.loss, bad: false }, Lossy { loss: path.loss, bad: false });
    let mut sender = Sender::new(scheme, bits_per_second, path.rtt);
    let mut receiver = Receiver::new(start, path.rtt);
    let mut link_free = start;
    let mut awake: Option<Instant> = None;
    for frame in 0..seconds * 30 {
        agenda.at(start + frame * 100 * MS / 3, Event::Capture(frame));
    }
    let end = start + seconds * 1_000 * MS + 2_000 * MS;
    agenda.at(start + REPORTS, Event::Report);
    let mut number = 0;
    while let Some((now, event)) = agenda.next() {
        if now > end {
            break;
        }
        let mut sent = Vec::new();
        match event {
            Event::Capture(frame) => sender.capture(frame, &mut random, &mut sent),
            Event::Nack(sequences) => sender.answer(now, &sequences, &mut sent),
            Event::KeyframeWish => sender.wish_keyframe(now),
            Event::Arrive(packet) => receiver.handle_packet(now, packet),
            Event::Outcomes(outcomes) => sender.learn(now, &outcomes),
            Event::Report => {
                receiver.report();
                agenda.at(now + REPORTS, Event::Report);
            }
            Event::Wake => {}
        }
        for mut packet in sent {
            packet.number = number;
            number += 1;
            link_free = link_free.max(now) + Duration::from_secs_f64(packet.octets as f64 * 8.0 / path.link);
            if !forth.loses(&mut random) {
                let jitter = path.jitter.mul_f64(random.unit());
                agenda.at(link_free + path.rtt / 2 + jitter, Event::Arrive(packet));
            }
        }
        receiver.work(now);
        for event in receiver.take_feedback() {
            if !back.loses(&mut random) {
                agenda.at(now + path.rtt / 2, event);
            }
        }
        // A timer that is due at once still takes a moment, as in a real thread.
        let due = receiver.poll_timeout().map(|due| due.max(now + MS / 2));
        if let Some(due) = due.filter(|due| awake.is_none_or(|at| at <= now || *due < at)) {
            awake = Some(due);
            agenda.at(due, Event::Wake);
        }
    }
    receiver.seen(&sender)
}
