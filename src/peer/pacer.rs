//! Spreads video packets over time, so that a keyframe does not burst into a slow link's queue. Sans-IO.
//!
//! Driven by `send`: packets in with [`Pacer::handle_frame`], out with [`Pacer::poll_packet`]; `now` is a parameter.
//! Audio never waits here: it goes out at once and is charged to the same budget, so video makes room for it.

use crate::media::ports::VideoCodec;
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Slowest pace, bits per second: below it a single packet would hold up everything behind it.
const MIN_BITS_PER_SECOND: f64 = 80_000.0;
/// Idle time that may be made up for in one burst: the granularity of timers.
const BURST: Duration = Duration::from_millis(5);
/// What may leave at once when sending begins, before anything is known of the path, so that the first picture does
/// not wait for the first estimate: TCP's initial window (RFC 6928 section 2).
const HEAD_START_OCTETS: usize = 14_600;
/// When the oldest packet has waited for this long, everything queued is thrown away up to the next keyframe:
/// by then the picture is too late to be of use.
const MAX_AGE: Duration = Duration::from_millis(400);
/// Octets that may wait: about half a second at the highest rate. Beyond it the same happens as with age.
const MAX_OCTETS: usize = 400_000;
/// Octets around each payload: RTP header with extensions, SRTP tag, UDP and IP headers.
const OVERHEAD: usize = 70;

/// What all packets of one picture have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Picture {
    /// What it is coded with.
    pub(super) codec: VideoCodec,
    /// RTP timestamp.
    pub(super) timestamp: u32,
    /// When it was captured.
    pub(super) captured: Instant,
}

/// One RTP packet to be, without sequence number: those are given when it leaves, so that what is thrown away leaves
/// no gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Payload {
    /// RTP payload.
    pub(super) data: Bytes,
    /// What it belongs to.
    pub(super) picture: Picture,
    /// First packet of its picture.
    pub(super) first: bool,
    /// Last packet of its picture.
    pub(super) marker: bool,
}

/// What became of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accepted {
    /// It will be sent.
    Queued,
    /// It, or one before it, was thrown away: only a keyframe helps.
    NeedsKeyframe,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Pacer {
    queue: VecDeque<(Instant, Payload)>,
    octets: usize,
    bits_per_second: f64,
    /// When the budget is back at zero.
    free_at: Option<Instant>,
    waiting_for_keyframe: bool,
    /// Octets of the head start that are left.
    head_start: usize,
}

impl Pacer {
    /// Waits for a keyframe; begins with this pace in bits per second.
    pub(super) fn new(pace: f64) -> Self {
        let mut pacer = Self {
            queue: VecDeque::new(),
            octets: 0,
            bits_per_second: MIN_BITS_PER_SECOND,
            free_at: None,
            waiting_for_keyframe: true,
            head_start: HEAD_START_OCTETS,
        };
        pacer.set_pace(pace, None);
        pacer
    }

    /// Sets the pace and the rate of the probe that is running, bits per second: pictures are better than padding to
    /// probe with.
    pub(super) fn set_pace(&mut self, pace: f64, probe: Option<f64>) {
        self.bits_per_second = pace.max(probe.unwrap_or(0.0)).max(MIN_BITS_PER_SECOND);
    }

    /// Takes the payloads of one picture.
    pub(super) fn handle_frame(
        &mut self,
        now: Instant,
        payloads: Vec<Bytes>,
        picture: Picture,
        keyframe: bool,
    ) -> Accepted {
        if keyframe && self.waiting_for_keyframe {
            self.waiting_for_keyframe = false;
        } else if !self.waiting_for_keyframe && self.is_late(now) {
            self.flush();
            self.waiting_for_keyframe = !keyframe;
        }
        if self.waiting_for_keyframe {
            return Accepted::NeedsKeyframe;
        }
        let last = payloads.len().saturating_sub(1);
        for (index, data) in payloads.into_iter().enumerate() {
            self.octets += data.len();
            let payload = Payload { data, picture, first: index == 0, marker: index == last };
            self.queue.push_back((now, payload));
        }
        Accepted::Queued
    }

    /// Throws away what waits and starts again with the next keyframe, as at the beginning.
    pub(super) fn reset(&mut self) {
        self.flush();
        self.free_at = None;
        self.head_start = HEAD_START_OCTETS;
        self.waiting_for_keyframe = true;
    }

    /// Charges what does not wait here, sound and repairs, `octets` of payload, to the budget.
    pub(super) fn handle_unpaced(&mut self, now: Instant, octets: usize) {
        self.charge(now, octets);
    }

    /// The next packet that may leave now.
    pub(super) fn poll_packet(&mut self, now: Instant) -> Option<Payload> {
        if self.free_at.is_some_and(|free_at| free_at > now) {
            return None;
        }
        let (_, payload) = self.queue.pop_front()?;
        self.octets -= payload.data.len();
        self.charge(now, payload.data.len());
        Some(payload)
    }

    /// When to poll again; `None` if nothing waits.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let (queued, _) = self.queue.front()?;
        Some(self.free_at.map_or(*queued, |free_at| free_at.max(*queued)))
    }

    fn is_late(&self, now: Instant) -> bool {
        self.octets > MAX_OCTETS
            || self.queue.front().is_some_and(|(queued, _)| now.saturating_duration_since(*queued) > MAX_AGE)
    }

    fn flush(&mut self) {
        self.queue.clear();
        self.octets = 0;
    }

    fn charge(&mut self, now: Instant, octets: usize) {
        let whole = octets + OVERHEAD;
        let free = whole.min(self.head_start);
        self.head_start -= free;
        let bits = ((whole - free) * 8) as f64;
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let from = self.free_at.map_or(earliest, |free_at| free_at.max(earliest));
        self.free_at = Some(from + Duration::from_secs_f64(bits / self.bits_per_second));
    }
}
