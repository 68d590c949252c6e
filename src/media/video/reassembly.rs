//! Reassembly: RTP packets in any order in, whole pictures in order out. Sans-IO: no clock, no thread, no codec.
//!
//! Driven by the receiver's thread: [`Reassembly::handle_packet`] for each packet, [`Reassembly::handle_timeout`] at
//! [`Reassembly::poll_timeout`], then [`Reassembly::poll_output`] until it is empty.
//!
//! A picture is given out the moment its last packet is there and all before it are given out: on a clean network
//! this adds no delay. A missing packet is waited for, [`Limits::repair_wait`] long (the transport asks for it
//! again); then, or as soon as a whole keyframe has come behind the gap, what cannot be decoded is skipped. While a
//! keyframe is needed it is asked for at a limited rate. A picture with a missing packet is never given out.

use super::depacketizer::{self, AccessUnitBuilder};
use crate::media::ports::{ReceivedPacket, VideoCodec};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Sequence numbers that the buffer may span. Packets further ahead are a restart of the sender, or hostile.
pub(crate) const MAX_SPAN: usize = 2048;
/// Payload octets that may wait (about 30 s at 2 Mbit/s). When full everything is dropped and a keyframe asked for.
const MAX_OCTETS: usize = 8 << 20;

/// How patient to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How long a missing packet is waited for after the first one behind it has come.
    pub(crate) repair_wait: Duration,
    /// Least time between two requests for a keyframe.
    pub(crate) request_interval: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { repair_wait: Duration::from_millis(200), request_interval: Duration::from_millis(300) }
    }
}

/// One whole picture.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AccessUnit {
    /// What it is coded with; where that changes, a keyframe follows.
    pub(crate) codec: VideoCodec,
    /// As the decoder takes it: for H.264 an Annex B byte stream.
    pub(crate) data: Vec<u8>,
    /// Decoding can start here.
    pub(crate) keyframe: bool,
    /// When its last packet came.
    pub(crate) arrived: Instant,
    /// Capture time in the sender's clock, if the sender gave it.
    pub(crate) capture_ntp: Option<u64>,
    /// Extended sequence numbers of its first and last packet.
    pub(crate) sequences: (u64, u64),
}

/// What the receiver is to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Decode this.
    Picture(AccessUnit),
    /// Ask the remote sender for a keyframe.
    RequestKeyframe,
}

/// The buffer of one stream.
#[derive(Debug, Default)]
pub(crate) struct Reassembly {
    limits: Limits,
    ssrc: Option<u32>,
    /// Packets from `next` on; `None` is missing. The last one is never missing.
    slots: VecDeque<Option<ReceivedPacket>>,
    /// Of the last whole picture.
    codec: Option<VideoCodec>,
    octets: usize,
    /// Extended sequence number of `slots[0]`.
    next: u64,
    /// `slots[0]` is known to begin a picture.
    at_boundary: bool,
    /// Nothing can be decoded before a keyframe.
    needs_keyframe: bool,
    /// Nothing was given out or skipped yet: packets from before the first one may still come.
    fresh: bool,
    /// The sequence number that would confirm a restart (RFC 3550 appendix A.1).
    restart: Option<u16>,
    /// A keyframe is to be asked for.
    request: bool,
    requested: Option<Instant>,
    ready: VecDeque<AccessUnit>,
    dropped: u64,
    now: Option<Instant>,
}

impl Reassembly {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, needs_keyframe: true, fresh: true, ..Self::default() }
    }

    /// Pictures of which something came, but that were never given out.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Slots in use, at most [`MAX_SPAN`].
    #[cfg(test)]
    pub(crate) fn span(&self) -> usize {
        self.slots.len()
    }

    /// Takes a packet; its arrival is the present time.
    pub(crate) fn handle_packet(&mut self, packet: ReceivedPacket) {
        let now = self.advance_clock(packet.arrived);
        if packet.codec.is_none() {
            return;
        }
        if self.ssrc != Some(packet.ssrc) {
            self.restart_at(&packet);
        }
        if !self.insert(packet) {
            return;
        }
        if self.octets > MAX_OCTETS {
            self.skip_all();
        }
        self.advance(now);
    }

    /// The time given out by [`Self::poll_timeout`] has come.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let now = self.advance_clock(now);
        self.advance(now);
    }

    /// The decoder failed: nothing can be decoded before a keyframe.
    pub(crate) fn handle_decode_error(&mut self, now: Instant) {
        let now = self.advance_clock(now);
        self.ready.clear();
        self.lose();
        self.advance(now);
    }

    /// When [`Self::handle_timeout`] is to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let packets = if self.needs_keyframe && self.keyframe_start(0).is_none() {
            self.slots.iter().flatten().next().map(|packet| packet.arrived + self.limits.repair_wait)
        } else {
            self.gap_deadline()
        };
        [packets, self.request_deadline()].into_iter().flatten().min()
    }

    /// What to do next.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        if let Some(unit) = self.ready.pop_front() {
            return Some(Output::Picture(unit));
        }
        let now = self.now?;
        let allowed =
            self.requested.is_none_or(|at| now.saturating_duration_since(at) >= self.limits.request_interval);
        if self.request && allowed {
            self.request = false;
            self.requested = Some(now);
            return Some(Output::RequestKeyframe);
        }
        None
    }

    /// Arrival stamps of different sockets may be slightly out of order; time does not run backwards.
    fn advance_clock(&mut self, now: Instant) -> Instant {
        let now = self.now.map_or(now, |last| last.max(now));
        self.now = Some(now);
        now
    }

    fn restart_at(&mut self, packet: &ReceivedPacket) {
        if self.ssrc.is_some() {
            tracing::debug!(ssrc = packet.ssrc, "video stream restarts");
            self.request = true;
        }
        self.dropped += self.pictures_in(self.slots.len());
        self.slots.clear();
        self.octets = 0;
        self.ssrc = Some(packet.ssrc);
        // Far from 0, so that packets from before the first one have a place.
        self.next = 1 << 32 | u64::from(packet.sequence);
        self.at_boundary = false;
        self.needs_keyframe = true;
        self.fresh = true;
        self.restart = None;
    }

    /// Puts a packet into its slot. False if it is of no use.
    fn insert(&mut self, packet: ReceivedPacket) -> bool {
        let offset = i64::from(packet.sequence.wrapping_sub(self.next as u16) as i16);
        let too_far = offset >= MAX_SPAN as i64 || offset < -(MAX_SPAN as i64);
        if too_far {
            // One stray packet is ignored; two in sequence are a sender that started anew (RFC 3550 appendix A.1).
            if self.restart == Some(packet.sequence) {
                self.restart_at(&packet);
                return self.insert(packet);
            }
            self.restart = Some(packet.sequence.wrapping_add(1));
            return false;
        }
        self.restart = None;
        let index = match usize::try_from(offset) {
            Ok(index) => index,
            Err(_) => {
                let missing = offset.unsigned_abs();
                if !self.fresh || missing as usize + self.slots.len() > MAX_SPAN {
                    return false;
                }
                for _ in 0..missing {
                    self.slots.push_front(None);
                }
                self.next -= missing;
                self.at_boundary = false;
                0
            }
        };
        if index >= self.slots.len() {
            self.slots.resize(index + 1, None);
        }
        let slot = &mut self.slots[index];
        if slot.is_some() {
            return false;
        }
        self.octets += packet.payload.len();
        *slot = Some(packet);
        true
    }

    /// Gives out and skips all that can be at this time.
    fn advance(&mut self, now: Instant) {
        loop {
            if self.needs_keyframe {
                if !self.seek_keyframe(now) {
                    break;
                }
            } else if self.take_picture() {
                continue;
            } else if self.gap_deadline().is_some_and(|deadline| now >= deadline)
                || self.whole_keyframe_behind_gap()
            {
                self.lose();
            } else {
                break;
            }
        }
        self.request |= self.request_deadline().is_some_and(|deadline| now >= deadline);
    }

    /// When a keyframe is to be asked for again: not while one is on its way.
    fn request_deadline(&self) -> Option<Instant> {
        let asked = self.requested.filter(|_| self.needs_keyframe)?;
        let coming = self.keyframe_start(0).and_then(|_| self.slots.back()?.as_ref());
        Some(coming.map_or(asked, |packet| asked.max(packet.arrived)) + self.limits.request_interval)
    }

    /// Moves to the first keyframe in the buffer and gives it out if it is whole. False if there is nothing to do.
    fn seek_keyframe(&mut self, now: Instant) -> bool {
        if let Some(start) = self.keyframe_start(0) {
            self.skip(start);
            self.at_boundary = true;
            // A whole keyframe further on is better than a broken one here.
            if self.picture_length(0).is_err()
                && let Some(later) = self.whole_keyframe_after(1)
            {
                self.skip(later);
                self.at_boundary = true;
            }
            if self.take_picture() {
                return true;
            }
            if self.gap_deadline().is_some_and(|deadline| now >= deadline) {
                // The keyframe itself is beyond repair.
                self.skip(1);
                self.request = true;
                return true;
            }
            self.request = false;
            return false;
        }
        // A stream that begins, or goes on, in the middle: its keyframe must be asked for. The beginning of one may
        // still be repaired if a part of it is here.
        let parts = self.slots.iter().flatten().any(holds_keyframe);
        if !parts && !self.slots.is_empty() && self.requested.is_none() {
            self.request = true;
        }
        let wait = self.limits.repair_wait;
        let old = |slot: &Option<ReceivedPacket>| {
            slot.as_ref().is_none_or(|packet| now.saturating_duration_since(packet.arrived) >= wait)
        };
        let stale = self.slots.iter().take_while(|slot| old(slot)).count();
        // Missing packets directly in front of a young one may be the beginning of its picture.
        let kept = self.slots.iter().take(stale).rev().take_while(|slot| slot.is_none()).count();
        let kept = if stale == self.slots.len() { 0 } else { kept };
        if stale > kept {
            if parts {
                self.request = true;
            }
            self.skip(stale - kept);
        }
        false
    }

    /// Where the first keyframe from `from` on begins.
    fn keyframe_start(&self, from: usize) -> Option<usize> {
        (from..self.slots.len()).find(|&index| {
            let Some(packet) = &self.slots[index] else { return false };
            begins_keyframe(packet) || (holds_keyframe(packet) && self.begins_picture(index))
        })
    }

    /// Whether the packet at `index` is known to be the first of its picture.
    fn begins_picture(&self, index: usize) -> bool {
        let Some(packet) = &self.slots[index] else { return false };
        match index.checked_sub(1) {
            None => self.at_boundary,
            Some(before) => self.slots[before]
                .as_ref()
                .is_some_and(|before| before.marker || before.timestamp != packet.timestamp),
        }
    }

    /// Packets of the picture that begins at `start` if all are there; else where the first missing one is.
    fn picture_length(&self, start: usize) -> Result<usize, usize> {
        let mut timestamp = None;
        for (index, slot) in self.slots.iter().enumerate().skip(start) {
            let packet = slot.as_ref().ok_or(index)?;
            if *timestamp.get_or_insert(packet.timestamp) != packet.timestamp {
                // A sender that sets no marker: the next picture's first packet ends this one.
                return Ok(index - start);
            }
            if packet.marker {
                return Ok(index + 1 - start);
            }
        }
        Err(self.slots.len())
    }

    fn whole_keyframe_after(&self, from: usize) -> Option<usize> {
        let mut at = from;
        while let Some(start) = self.keyframe_start(at) {
            match self.picture_length(start) {
                Ok(_) => return Some(start),
                Err(missing) => at = missing + 1,
            }
        }
        None
    }

    fn whole_keyframe_behind_gap(&self) -> bool {
        self.slots.iter().any(Option::is_none) && self.whole_keyframe_after(1).is_some()
    }

    /// Gives out the picture at the head if it is whole; true if anything moved.
    fn take_picture(&mut self) -> bool {
        // Padding between pictures (empty payloads) belongs to none.
        let padding = |slot: &Option<ReceivedPacket>| {
            slot.as_ref().is_some_and(|packet| packet.payload.is_empty() && !packet.marker)
        };
        let paddings =
            if self.at_boundary { self.slots.iter().take_while(|slot| padding(slot)).count() } else { 0 };
        if paddings > 0 {
            self.discard(paddings);
            return true;
        }
        let Ok(length) = self.picture_length(0) else { return false };
        let Some(codec) = self.slots.front().and_then(|slot| slot.as_ref()?.codec) else { return false };
        // A sender may change its codec at any picture: the new one has nothing to refer to.
        self.needs_keyframe |= self.codec.replace(codec).is_some_and(|last| last != codec);
        let first = self.next;
        let mut builder = AccessUnitBuilder::new(codec, Vec::new());
        let (mut arrived, mut capture_ntp, mut good) = (None, None, true);
        for packet in self.slots.iter().take(length).flatten() {
            good = good && packet.codec == Some(codec) && builder.handle_payload(&packet.payload).is_ok();
            arrived = arrived.max(Some(packet.arrived));
            capture_ntp = capture_ntp.or(packet.capture_ntp);
        }
        let built = if good { builder.finish().ok() } else { None };
        self.discard(length);
        self.at_boundary = true;
        self.fresh = false;
        match (built, arrived) {
            (Some((data, keyframe)), Some(arrived)) if keyframe || !self.needs_keyframe => {
                self.needs_keyframe = false;
                self.request = false;
                let sequences = (first, self.next - 1);
                self.ready.push_back(AccessUnit { codec, data, keyframe, arrived, capture_ntp, sequences });
            }
            _ => {
                self.dropped += 1;
                self.lose();
            }
        }
        true
    }

    /// Nothing can be decoded before a keyframe: ask for one.
    fn lose(&mut self) {
        self.needs_keyframe = true;
        self.request = true;
    }

    /// When the first gap is given up: some time after the first packet behind it came.
    fn gap_deadline(&self) -> Option<Instant> {
        let gap = self.slots.iter().position(Option::is_none)?;
        let behind = self.slots.iter().skip(gap).flatten().next()?;
        Some(behind.arrived + self.limits.repair_wait)
    }

    fn skip_all(&mut self) {
        self.skip(self.slots.len());
        self.lose();
    }

    /// Gives packets up; what they were part of counts as dropped.
    fn skip(&mut self, count: usize) {
        if count > 0 {
            self.dropped += self.pictures_in(count);
            self.discard(count);
            self.at_boundary = false;
            self.fresh = false;
        }
    }

    /// Pictures of which the first `count` slots hold a packet.
    fn pictures_in(&self, count: usize) -> u64 {
        let mut last = None;
        let packets = self.slots.iter().take(count).flatten().filter(|packet| !packet.payload.is_empty());
        packets.filter(|packet| last.replace(packet.timestamp) != Some(packet.timestamp)).count() as u64
    }

    fn discard(&mut self, count: usize) {
        for slot in self.slots.drain(..count) {
            self.octets -= slot.map_or(0, |packet| packet.payload.len());
        }
        self.next += count as u64;
    }
}

fn begins_keyframe(packet: &ReceivedPacket) -> bool {
    packet.codec.is_some_and(|codec| depacketizer::begins_keyframe(codec, &packet.payload))
}

fn holds_keyframe(packet: &ReceivedPacket) -> bool {
    packet.codec.is_some_and(|codec| depacketizer::holds_keyframe(codec, &packet.payload))
}
