//! The receiving end: what the interceptor and the receiver's thread do, around the real parts.

use super::sender::Sender;
use super::{Event, MS, Seen, Wire};
use crate::media::ports::{ReceivedPacket, VideoCodec};
use crate::media::video::presentation::Presentation;
use crate::media::video::reassembly::{Limits, Output, Reassembly};
use crate::media::video::stats::FreezeMeter;
use crate::media::video::timing::Timing;
use crate::peer::chain::gaps::{Gaps, Noted, Way};
use crate::peer::fec::{Decoder, format};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const SSRC: u32 = 5;
/// Freezes count from here on.
const LEARNING: Duration = Duration::from_secs(3);

pub(super) struct Receiver {
    start: Instant,
    gaps: Gaps,
    reassembly: Reassembly,
    timing: Timing,
    presentation: Presentation<u32>,
    freezes: FreezeMeter,
    decoder: Decoder,
    /// Numbers of packets that came since the last congestion feedback, and the next one to tell of.
    came: BTreeSet<u64>,
    told: u64,
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
            decoder: Decoder::new(SSRC),
            came: BTreeSet::new(),
            told: 0,
            asked: None,
            feedback: Vec::new(),
            latencies: Vec::new(),
            seen: Seen::default(),
        }
    }

    pub(super) fn handle_packet(&mut self, now: Instant, packet: Wire) {
        self.came.insert(packet.number);
        let limit = self.reassembly.repair_limit();
        match packet.parity.clone() {
            Some(parity) => {
                self.decoder.handle_parity(&parity).expect("well formed");
                self.restore(now);
                let (_, coverage, _) = format::read_header(&parity).expect("well formed");
                self.gaps.note_parity(now, coverage.sequences(), limit);
                self.renew(now);
            }
            None => {
                self.decoder.handle_media(packet.media());
                let way = if packet.repair { Way::Repair } else { Way::Itself };
                self.take(now, packet, way);
                self.restore(now);
            }
        }
    }

    fn restore(&mut self, now: Instant) {
        while let Some(restored) = self.decoder.poll_restored() {
            self.take(now, Wire::restored(&restored), Way::Parity);
        }
    }

    /// Congestion feedback: everything up to the newest that came.
    pub(super) fn report(&mut self) {
        let Some(newest) = self.came.last().copied().filter(|newest| *newest >= self.told) else { return };
        let outcomes = (self.told..=newest).map(|number| self.came.contains(&number)).collect();
        self.feedback.push(Event::Outcomes(outcomes));
        self.told = newest + 1;
        self.came.clear();
    }

    fn take(&mut self, now: Instant, packet: Wire, way: Way) {
        let limit = self.reassembly.repair_limit();
        match self.gaps.note(now, packet.sequence, way, limit) {
            Noted::Duplicate => self.seen.needless += 1,
            Noted::Restored => self.seen.restored += 1,
            Noted::New | Noted::Overtaken | Noted::Repaired | Noted::Late => {}
        }
        self.renew(now);
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

    fn renew(&mut self, now: Instant) {
        let due = self.gaps.poll_timeout().map(|due| due.max(now + MS));
        self.asked = [self.asked, due].into_iter().flatten().min();
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

    pub(super) fn seen(mut self, sender: &Sender) -> Seen {
        self.latencies.sort();
        let at = |share: f64| {
            let index = (self.latencies.len() as f64 * share) as usize;
            self.latencies.get(index.min(self.latencies.len().saturating_sub(1))).copied().unwrap_or_default()
        };
        (self.seen.median, self.seen.p95) = (at(0.5), at(0.95));
        self.seen.skipped = self.presentation.skipped();
        self.seen.dropped = self.reassembly.dropped();
        self.seen.overhead = sender.overhead();
        self.seen.protected = sender.protected();
        self.seen
    }
}
