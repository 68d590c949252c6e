//! Reassembly: RTP packets in any order in, whole pictures in order out. Sans-IO: no clock, no thread, no codec.
//!
//! Driven by the receiver's thread: [`Reassembly::handle_packet`] for each packet, [`Reassembly::handle_timeout`] at
//! [`Reassembly::poll_timeout`], then [`Reassembly::poll_output`] until it is empty.
//!
//! A picture is given out the moment its last packet is there and all before it are given out: on a clean network
//! this adds no delay. A missing packet is waited for, [`Limits::repair_wait`] long (the transport asks for it
//! again); then, or as soon as a whole keyframe has come behind the gap, or at once if so much is missing that a
//! keyframe is quicker, what cannot be decoded is skipped. While a keyframe is needed it is asked for at a limited
//! rate, and not while one is arriving. A picture with a missing packet is never given out.

mod buffer;
mod patience;

#[cfg(test)]
pub(crate) use buffer::MAX_SPAN;
pub(crate) use patience::Limits;

use super::depacketizer::AccessUnitBuilder;
use crate::media::ports::{ReceivedPacket, VideoCodec};
use crate::media::reception::Horizon;
use buffer::{Buffer, Inserted};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Access units' buffers kept to be filled again. More are in use only while pictures that waited come at once.
const SPARE_BUFFERS: usize = 4;

/// How long a stream's very first packets are waited for when others came before them.
const START_WAIT: Duration = Duration::from_millis(40);

/// One whole picture.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AccessUnit {
    /// What it is coded with; where that changes, a keyframe follows.
    pub(crate) codec: VideoCodec,
    /// As the decoder takes it: for H.264 an Annex B byte stream.
    pub(crate) data: Vec<u8>,
    /// Decoding can start here.
    pub(crate) keyframe: bool,
    /// RTP timestamp, 90 kHz.
    pub(crate) timestamp: u32,
    /// Whose it is.
    pub(crate) ssrc: u32,
    /// When its first packet came.
    pub(crate) begun: Instant,
    /// When it was whole and everything before it, too.
    pub(crate) ready: Instant,
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
    buffer: Buffer,
    /// Of the last whole picture.
    codec: Option<VideoCodec>,
    /// Nothing can be decoded before a keyframe.
    needs_keyframe: bool,
    /// A keyframe is to be asked for.
    request: bool,
    requested: Option<Instant>,
    ready: VecDeque<AccessUnit>,
    spare: Vec<Vec<u8>>,
    dropped: u64,
    now: Option<Instant>,
    /// What is missing before this extended sequence number is given up.
    horizon: Option<u64>,
}

impl Reassembly {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, needs_keyframe: true, ..Self::default() }
    }

    /// Pictures of which something came, but that were never given out.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes note of the path's round trip, which decides how long a repair and a keyframe are waited for.
    pub(crate) fn set_round_trip(&mut self, rtt: Duration) {
        self.limits.set_round_trip(rtt);
    }

    /// Gives the buffer of an access unit back.
    pub(crate) fn recycle(&mut self, unit: AccessUnit) {
        if self.spare.len() < SPARE_BUFFERS {
            self.spare.push(unit.data);
        }
    }

    /// What is missing before this sequence number of this stream is given up.
    pub(crate) fn horizon(&self) -> Option<Horizon> {
        Some(Horizon { ssrc: self.ssrc?, sequence: self.horizon? as u16 })
    }

    /// More missing packets than this are left to a keyframe.
    pub(crate) fn repair_limit(&self) -> usize {
        self.limits.repair_limit
    }

    /// Slots in use, at most [`MAX_SPAN`].
    #[cfg(test)]
    pub(crate) fn span(&self) -> usize {
        self.buffer.len()
    }

    /// Takes a packet; its arrival is the present time.
    pub(crate) fn handle_packet(&mut self, packet: ReceivedPacket) {
        let now = self.advance_clock(packet.arrived);
        if packet.codec.is_none() {
            return;
        }
        let restart = if self.ssrc == Some(packet.ssrc) {
            match self.buffer.insert(packet) {
                Inserted::Kept => None,
                Inserted::Ignored => return,
                Inserted::Restart(packet) => Some(packet),
            }
        } else {
            Some(packet)
        };
        if let Some(packet) = restart {
            self.restart_at(&packet);
            self.buffer.insert(packet);
        }
        if self.buffer.is_overfull() {
            self.skip(self.buffer.len());
            self.lose();
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
        let packets = if self.needs_keyframe && self.buffer.keyframe_start(0).is_none() {
            self.buffer.packets().next().map(|packet| packet.arrived + self.beginning_wait())
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
        self.dropped += self.buffer.pictures_in(self.buffer.len());
        self.buffer.restart(packet.sequence);
        self.ssrc = Some(packet.ssrc);
        self.needs_keyframe = true;
        self.horizon = None;
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
                || self.beyond_repair()
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
        let coming = self.buffer.keyframe_start(0).and_then(|_| self.buffer.last());
        Some(coming.map_or(asked, |packet| asked.max(packet.arrived)) + self.limits.request_interval)
    }

    /// Moves to the first keyframe in the buffer and gives it out if it is whole. False if there is nothing to do.
    fn seek_keyframe(&mut self, now: Instant) -> bool {
        if let Some(start) = self.buffer.keyframe_start(0) {
            self.skip(start);
            self.buffer.set_boundary();
            // A whole keyframe further on is better than a broken one here.
            if self.buffer.picture_length(0).is_err()
                && let Some(later) = self.buffer.whole_keyframe_after(1)
            {
                self.skip(later);
                self.buffer.set_boundary();
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
        let parts = self.buffer.holds_keyframe();
        if !parts && self.buffer.len() > 0 && self.requested.is_none() {
            self.request = true;
        }
        let wait = self.beginning_wait();
        let stale = self.buffer.stale(|packet| now.saturating_duration_since(packet.arrived) < wait);
        if stale > 0 {
            if parts {
                self.request = true;
            }
            self.skip(stale);
        }
        false
    }

    /// How long the missing beginning of a keyframe is waited for. What was lost before the very first packet that came
    /// is known to nobody and not asked for: it can only have been overtaken.
    fn beginning_wait(&self) -> Duration {
        if self.buffer.is_fresh() { START_WAIT } else { self.limits.repair_wait }
    }

    fn whole_keyframe_behind_gap(&self) -> bool {
        self.buffer.gap_since().is_some() && self.buffer.whole_keyframe_after(1).is_some()
    }

    /// So much is missing that a keyframe is quicker than its repair.
    fn beyond_repair(&self) -> bool {
        let limit = self.limits.repair_limit;
        self.buffer.len() > limit && self.buffer.missing() > limit
    }

    /// Gives out the picture at the head if it is whole; true if anything moved.
    fn take_picture(&mut self) -> bool {
        let padding = self.buffer.padding();
        if padding > 0 {
            self.buffer.discard(padding);
            return true;
        }
        let Ok(length) = self.buffer.picture_length(0) else { return false };
        let Some((codec, begun)) =
            self.buffer.first().and_then(|packet| Some((packet.codec?, packet.arrived)))
        else {
            return false;
        };
        // A sender may change its codec at any picture: the new one has nothing to refer to.
        self.needs_keyframe |= self.codec.replace(codec).is_some_and(|last| last != codec);
        let mut builder = AccessUnitBuilder::new(codec, self.spare.pop().unwrap_or_default());
        let (mut begun, mut ready, mut timestamp, mut ssrc) = (begun, begun, 0, 0);
        let (mut capture_ntp, mut good) = (None, true);
        for packet in self.buffer.picture(length) {
            good = good && packet.codec == Some(codec) && builder.handle_payload(&packet.payload).is_ok();
            begun = begun.min(packet.arrived);
            ready = ready.max(packet.arrived);
            (timestamp, ssrc) = (packet.timestamp, packet.ssrc);
            capture_ntp = capture_ntp.or(packet.capture_ntp);
        }
        let built = if good { builder.finish().ok() } else { None };
        let taken = self.buffer.take_picture(length);
        let sequences = (taken.start, taken.end - 1);
        match built {
            Some((data, keyframe)) if keyframe || !self.needs_keyframe => {
                self.needs_keyframe = false;
                self.request = false;
                if keyframe {
                    self.limits.set_keyframe_packets(length);
                }
                // What waited for an earlier one became ready with that one's repair, which is now.
                let ready = self.now.map_or(ready, |now| now.max(ready));
                self.ready.push_back(AccessUnit {
                    codec,
                    data,
                    keyframe,
                    timestamp,
                    ssrc,
                    begun,
                    ready,
                    capture_ntp,
                    sequences,
                });
            }
            _ => {
                self.dropped += 1;
                self.lose();
            }
        }
        true
    }

    /// Nothing can be decoded before a keyframe: ask for one. What is missing before it is of no use any more.
    fn lose(&mut self) {
        self.needs_keyframe = true;
        self.request = true;
        let end = self.buffer.keyframe_start(0).unwrap_or(self.buffer.len());
        self.horizon = Some(self.buffer.next() + end as u64);
    }

    /// When the first gap is given up: some time after the first packet behind it came.
    fn gap_deadline(&self) -> Option<Instant> {
        Some(self.buffer.gap_since()? + self.limits.repair_wait)
    }

    /// Gives packets up; what they were part of counts as dropped.
    fn skip(&mut self, count: usize) {
        self.dropped += self.buffer.skip(count);
    }
}
