//! How long packets wait in the path's queue now, and what the path carries while they do.
//!
//! The trend says whether the queue grows; it does not see one that merely stands, and after a sudden drop of the path's
//! capacity it sees it late. What stands is the least delay of a short time above the least of a long time: the measure
//! of CoDel (RFC 8289 section 3), which neither jitter nor a receiver that is not scheduled for a moment can raise. How
//! much of it is chance is learned from how unsteadily the short times follow each other.
//!
//! While packets wait, they arrive as far apart as the bottleneck takes for each: the time between two that were sent
//! closer together than that is a measure of its rate (packet trains: Jain, Routhier, "Packet Trains", 1986; Dovrolis,
//! Ramanathan, Moore, "What do packet dispersion techniques measure?", Infocom 2001).

use super::Outcome;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The present delay is the least of so long.
const SHORT: Duration = Duration::from_millis(60);
/// The path's own delay is the least of so long, in slices: the clocks of both ends drift apart meanwhile by less than
/// a millisecond.
const SLICE: Duration = Duration::from_millis(2_500);
const SLICES: usize = 4;
/// A queue of this length is none (CoDel's target: 5 ms, on links that are not busy with one packet for so long), …
const ACCEPTED_MS: f64 = 12.0;
/// … and one of this length is the work of a path that has become slower all at once.
const LONG_MS: f64 = 50.0;
/// Both are raised by so much of the chance in the measure.
const CHANCE: f64 = 3.0;
const CHANCE_MAX_MS: f64 = 40.0;
/// Weight of a new sample of it.
const CHANCE_WEIGHT: f64 = 0.05;
/// What stands above what is accepted is to be gone within this time.
const DRAIN_MS: f64 = 400.0;
/// Least share of the estimate that is sent meanwhile. Longer queues are emptied by sending no pictures at all.
const MIN_SHARE: f64 = 0.85;
/// A long queue is doubted after so long, unless it has become shorter by this share of the time: sound alone takes most
/// of a very narrow path, and then little is left to empty the queue with.
const DOUBT_AFTER: Duration = Duration::from_millis(800);
const EMPTYING: f64 = 0.15;
/// A jump of the remote's clock, or a pause, after which nothing is known.
const JUMP_MS: f64 = 10_000.0;
/// Packets of the short time kept; the oldest goes first.
const MAX_RECENT: usize = 512;
/// A packet waited if the one before it arrived later than it could have, by more than the clocks' grain (the feedback's
/// is 0.25 ms).
const WAITED_MS: f64 = 1.0;
/// Packets in a train, at least, and the time that they take.
const TRAIN_PACKETS: usize = 5;
const TRAIN_MS: f64 = 20.0;
/// A train is measured over the newest part of it that is so long.
const TRAIN_MAX_MS: f64 = 250.0;
/// The path is wider than the estimate by more than this factor if so many packets in a row say so, …
const WIDER: f64 = 2.0;
const WIDER_PACKETS: u32 = 8;
/// … by taking less time than they would over the path that was assumed, compared with those of sound, if that is long
/// enough to be told from chance.
const SMALL_OCTETS: usize = 200;
const MEASURABLE_MS: f64 = 2.0;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Queue {
    origin: Option<(Instant, Duration)>,
    recent: VecDeque<(Duration, f64)>,
    /// The least of each slice, newest last, and when the newest began.
    slices: VecDeque<f64>,
    slice_begun: Option<Instant>,
    /// The last short times' least delays, when the newest of them began, and how unsteady they are.
    windows: [Option<f64>; 3],
    window_begun: Duration,
    chance_ms: f64,
    /// Arrival of the newest packet, and time and octets of the packets that waited for the one before them.
    last: Option<Duration>,
    train: VecDeque<(f64, usize)>,
    /// When the first packet left that met a long queue, and the longest since.
    long: Option<(Instant, f64)>,
    /// How many packets in a row found the path wider than the estimate.
    eased: u32,
}

impl Queue {
    /// Learns how long a packet took; `estimate` in bits per second.
    pub(super) fn handle_packet(&mut self, outcome: &Outcome, estimate: f64) {
        let Some(arrived) = outcome.arrived else { return };
        let departed = outcome.departed;
        let (first_departed, first_arrived) = *self.origin.get_or_insert((departed, arrived));
        let sent_ms = ms(departed.saturating_duration_since(first_departed));
        let delay_ms = ms(arrived) - ms(first_arrived) - sent_ms;
        if self.recent.back().is_some_and(|(_, last)| (delay_ms - last).abs() > JUMP_MS) {
            *self = Self::default();
            return;
        }
        self.recent.push_back((arrived, delay_ms));
        while self.recent.front().is_some_and(|(at, _)| arrived.saturating_sub(*at) > SHORT)
            || self.recent.len() > MAX_RECENT
        {
            self.recent.pop_front();
        }
        if self.slice_begun.is_none_or(|begun| departed.saturating_duration_since(begun) >= SLICE) {
            self.slice_begun = Some(departed);
            self.slices.push_back(f64::INFINITY);
            if self.slices.len() > SLICES {
                self.slices.pop_front();
            }
        }
        if let Some(newest) = self.slices.back_mut() {
            *newest = newest.min(delay_ms);
        }
        self.doubt(departed);
        self.learn_chance(arrived, delay_ms);
        self.note_train(arrived, delay_ms, outcome.octets);
        self.note_ease(delay_ms - self.base_ms(), outcome.octets, estimate);
    }

    /// A large packet takes longer than a small one by what the path takes for the difference.
    fn note_ease(&mut self, waited_ms: f64, octets: usize, estimate: f64) {
        let more = octets.saturating_sub(SMALL_OCTETS);
        let service_ms = more as f64 * 8.0 * 1000.0 / (estimate * WIDER);
        if service_ms >= MEASURABLE_MS {
            self.eased = if waited_ms < service_ms { self.eased + 1 } else { 0 };
        }
    }

    /// Packets that would have taken longer did not, many times in a row: the path carries much more than the estimate.
    pub(super) fn is_wider(&self) -> bool {
        self.eased >= WIDER_PACKETS
    }

    /// That has been looked into.
    pub(super) fn forget_wider(&mut self) {
        self.eased = 0;
    }

    /// A long queue of our making empties, for we send little until it has. One that does not is somebody else's, or is
    /// none: the way became longer.
    fn doubt(&mut self, departed: Instant) {
        if !self.is_long() {
            self.long = None;
            return;
        }
        let standing_ms = self.standing_ms();
        let (since, most_ms) = *self.long.get_or_insert((departed, standing_ms));
        let elapsed = departed.saturating_duration_since(since);
        if elapsed < DOUBT_AFTER {
            self.long = Some((since, most_ms.max(standing_ms)));
        } else if standing_ms > most_ms - EMPTYING * ms(elapsed) {
            let base_ms = self.base_ms() + standing_ms;
            self.slices.clear();
            self.slices.push_back(base_ms);
            self.long = None;
        }
    }

    /// A queue changes its direction slowly; what jumps to and fro from one short time to the next is chance.
    fn learn_chance(&mut self, arrived: Duration, delay_ms: f64) {
        if arrived < self.window_begun + SHORT
            && let Some(present) = &mut self.windows[2]
        {
            *present = present.min(delay_ms);
            return;
        }
        if let [Some(first), Some(second), Some(third)] = self.windows {
            let unsteady = (second - (first + third) / 2.0).abs().min(CHANCE_MAX_MS);
            self.chance_ms += CHANCE_WEIGHT * (unsteady - self.chance_ms);
        }
        self.windows.rotate_left(1);
        self.windows[2] = Some(delay_ms);
        self.window_begun = arrived;
    }

    fn note_train(&mut self, arrived: Duration, delay_ms: f64, octets: usize) {
        let before = self.last.replace(arrived);
        let Some(gap_ms) = before.map(|before| ms(arrived) - ms(before)) else { return };
        // It would have arrived this much earlier than it did, had nothing been in its way.
        let waited_ms = delay_ms - self.base_ms();
        if gap_ms < 0.0 || waited_ms < gap_ms + WAITED_MS {
            self.train.clear();
            return;
        }
        self.train.push_back((gap_ms, octets));
        let mut length = self.train.iter().map(|(gap, _)| gap).sum::<f64>();
        while length > TRAIN_MAX_MS
            && self.train.len() > TRAIN_PACKETS
            && let Some((gap, _)) = self.train.pop_front()
        {
            length -= gap;
        }
    }

    fn base_ms(&self) -> f64 {
        self.slices.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// What stands in the queue, milliseconds.
    fn standing_ms(&self) -> f64 {
        let present = self.recent.iter().map(|(_, delay)| *delay).fold(f64::INFINITY, f64::min);
        if present.is_finite() { (present - self.base_ms()).max(0.0) } else { 0.0 }
    }

    /// What stands beyond what is accepted, milliseconds.
    pub(super) fn surplus_ms(&self) -> f64 {
        (self.standing_ms() - ACCEPTED_MS - CHANCE * self.chance_ms).max(0.0)
    }

    /// The queue is longer than it should ever become.
    pub(super) fn is_long(&self) -> bool {
        self.standing_ms() > LONG_MS + CHANCE * self.chance_ms
    }

    /// What the bottleneck gives us, bits per second, as long as packets wait there. The longest time between two of
    /// them is left out: it may be one in which the receiver did not look.
    pub(super) fn service_bits_per_second(&self) -> Option<f64> {
        let (longest, _) =
            self.train.iter().enumerate().max_by(|(_, one), (_, other)| one.0.total_cmp(&other.0))?;
        let rest = self.train.iter().enumerate().filter(|(index, _)| *index != longest);
        let (time_ms, octets) =
            rest.fold((0.0, 0), |(time, octets), (_, (gap, more))| (time + gap, octets + more));
        (self.train.len() >= TRAIN_PACKETS && time_ms >= TRAIN_MS)
            .then(|| octets as f64 * 8.0 * 1000.0 / time_ms)
    }

    /// Share of the estimate to be sent at present.
    pub(super) fn share(&self) -> f64 {
        (1.0 - self.surplus_ms() / DRAIN_MS).max(MIN_SHARE)
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
