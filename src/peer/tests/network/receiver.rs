//! The receiving end: what the interceptor and the receiver's thread do, around the real parts.

use super::{Event, MS, Seen, Wire};
use crate::media::ports::{ReceivedPacket, VideoCodec};
use crate::media::video::presentation::Presentation;
use crate::media::video::reassembly::{Limits, Output, Reassembly};
use crate::media::video::stats::FreezeMeter;
use crate::media::video::timing::Timing;
use crate::peer::chain::gaps::{Gaps, Noted};
use bytes::Bytes;
use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

const SSRC: u32 = 5;
/// Freezes count from here on.
const LEARNING: Duration = Duration::from_secs(3);

/// What came of a picture that has parities.
#[derive(Default)]
struct Block {
    here: HashSet<usize>,
    parities: Vec<(usize, usize, u16, Wire)>,
}

pub(super) struct Receiver {
    start: Instant,
    gaps: Gaps,
    reassembly: Reassembly,
    timing: Timing,
    presentation: Presentation<u32>,
    freezes: FreezeMeter,
    blocks: BTreeMap<u32, Block>,
    asked: Option<Instant>,
    feedback: Vec<Event>,
    latencies: Vec<Duration>,
    seen: Seen,
}

impl Receiver {
    pub(super) fn new(start: Instant, rtt: Duration) -> Self {
        let mut gaps = Gaps::new(true);
        gaps.set_rtt(Some(rtt));
        let mut reassembly = Reassembly::new(Limits::default());
        reassembly.set_round_trip(rtt);
        Self {
            start,
            gaps,
            reassembly,
            timing: Timing::default(),
            presentation: Presentation::default(),
            freezes: FreezeMeter::default(),
            blocks: BTreeMap::new(),
            asked: None,
            feedback: Vec::new(),
            latencies: Vec::new(),
            seen: Seen::default(),
        }
    }

    pub(super) fn handle_packet(&mut self, now: Instant, packet: Wire) {
        let block = self.blocks.entry(packet.frame).or_default();
        if let Some((parity, parities, first)) = packet.parity {
            block.parities.push((parity, parities, first, packet.clone()));
        } else {
            block.here.insert(packet.index);
        }
        let frame = packet.frame;
        if packet.parity.is_none() {
            self.take(now, packet);
        }
        self.rebuild(now, frame);
        while self.blocks.len() > 100 {
            self.blocks.pop_first();
        }
    }

    /// A parity of which exactly one packet is missing gives it back.
    fn rebuild(&mut self, now: Instant, frame: u32) {
        let Some(block) = self.blocks.get_mut(&frame) else { return };
        let mut rebuilt = Vec::new();
        for (parity, parities, first, wire) in &block.parities {
            let mut missing =
                (*parity..wire.count).step_by(*parities).filter(|index| !block.here.contains(index));
            if let (Some(index), None) = (missing.next(), missing.next()) {
                let sequence = first.wrapping_add(index as u16);
                rebuilt.push(Wire { sequence, index, parity: None, repair: true, ..wire.clone() });
            }
        }
        for packet in &rebuilt {
            block.here.insert(packet.index);
        }
        for packet in rebuilt {
            self.take(now, packet);
        }
    }

    fn take(&mut self, now: Instant, packet: Wire) {
        let limit = self.reassembly.repair_limit();
        match self.gaps.note(now, packet.sequence, packet.repair, limit) {
            Noted::Duplicate => self.seen.needless += 1,
            Noted::New | Noted::Overtaken | Noted::Repaired | Noted::Late => {}
        }
        self.asked = self.asked.or_else(|| self.gaps.poll_timeout().map(|due| due.max(now + MS)));
        let last = packet.index + 1 == packet.count;
        let kind = if packet.keyframe { 5 } else { 1 };
        let payload: Vec<u8> = match (packet.index, packet.count) {
            (0, _) if packet.keyframe && packet.count > 1 => {
                vec![0x78, 0, 2, 0x67, 1, 0, 2, 0x68, 1]
            }
            (_, 1) => vec![if packet.keyframe { 0x65 } else { 0x61 }, 9],
            (index, _) => {
                let begins = index == usize::from(packet.keyframe);
                // One fragment alone is no fragment.
                if begins && last {
                    vec![0x60 | kind, 1]
                } else {
                    let flags = if begins { 0x80 } else { 0 } | if last { 0x40 } else { 0 };
                    vec![0x7c, flags | kind, 1]
                }
            }
        };
        self.reassembly.handle_packet(ReceivedPacket {
            arrived: now,
            sequence: packet.sequence,
            timestamp: packet.frame * 3_000,
            marker: last,
            ssrc: SSRC,
            codec: Some(VideoCodec::H264),
            payload: Bytes::from(payload),
            capture_ntp: None,
        });
    }

    /// Everything that is due.
    pub(super) fn work(&mut self, now: Instant) {
        if self.reassembly.poll_timeout().is_some_and(|due| due <= now) {
            self.reassembly.handle_timeout(now);
        }
        while let Some(output) = self.reassembly.poll_output() {
            match output {
                Output::Picture(unit) => {
                    let due = self.timing.handle_picture(unit.timestamp, unit.ready);
                    self.presentation.push(due, unit.timestamp / 3_000);
                    self.show(now);
                    self.reassembly.recycle(unit);
                }
                Output::RequestKeyframe => {
                    self.seen.keyframe_requests += 1;
                    self.feedback.push(Event::KeyframeWish);
                }
            }
        }
        self.show(now);
        if self.asked.is_some_and(|due| due <= now) {
            if let Some(horizon) = self.reassembly.horizon() {
                self.gaps.abandon(horizon);
            }
            let mut wanted = Vec::new();
            self.gaps.poll_requests(now, &mut wanted);
            if !wanted.is_empty() {
                self.seen.requested += wanted.len() as u64;
                self.feedback.push(Event::Nack(wanted));
            }
            self.asked = self.gaps.poll_timeout().map(|due| due.max(now + MS));
        }
    }

    fn show(&mut self, now: Instant) {
        let Some(frame) = self.presentation.poll_picture(now) else { return };
        self.seen.shown += 1;
        self.latencies.push(now - (self.start + frame * 100 * MS / 3));
        let freeze = self.freezes.handle_picture(now);
        // Before the first interruptions nobody knows how the path is.
        if let Some(freeze) = freeze.filter(|_| now - self.start >= LEARNING) {
            self.seen.freezes += 1;
            self.seen.frozen += freeze;
            self.seen.longest = self.seen.longest.max(freeze);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.reassembly.poll_timeout(), self.presentation.poll_timeout(), self.asked]
            .into_iter()
            .flatten()
            .min()
    }

    pub(super) fn take_feedback(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.feedback)
    }

    pub(super) fn seen(mut self, overhead: f64) -> Seen {
        self.latencies.sort();
        let at = |share: f64| {
            let index = (self.latencies.len() as f64 * share) as usize;
            self.latencies.get(index.min(self.latencies.len().saturating_sub(1))).copied().unwrap_or_default()
        };
        (self.seen.median, self.seen.p95) = (at(0.5), at(0.95));
        self.seen.skipped = self.presentation.skipped();
        self.seen.dropped = self.reassembly.dropped();
        self.seen.overhead = overhead;
        self.seen
    }
}
