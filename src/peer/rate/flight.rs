//! What has left and not been reported yet, and when its report is overdue: the soonest sign of a path that has become
//! slow, for it needs no word from the other side.
//!
//! Before the first report it is the number of octets that counts, as in TCP's initial window (RFC 6928); after it the
//! age of the oldest packet, against what reports usually take: their smoothed delay and its mean deviation, as in TCP's
//! retransmission timer (RFC 6298 section 2). While one is overdue, what is allowed grows little with the reports that come
//! from within the queue: not before something has come that left since then.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What may be on its way before anything was reported: a first picture and the sound beside it.
const FIRST_OCTETS: usize = 4_000;
/// And what has to be reported before the path counts as known.
const KNOWN_OCTETS: usize = 2_500;
/// Weights of a new sample in the mean and in its deviation (RFC 6298 section 2).
const MEAN_WEIGHT: f64 = 0.125;
const DEVIATION_WEIGHT: f64 = 0.25;
/// A report is overdue by this many deviations (RFC 6298 section 2 has K = 4; but here a mistake costs one picture) …
const DEVIATIONS: f64 = 2.0;
/// … and so many intervals between reports, for one may be lost …
const INTERVALS: f64 = 1.5;
/// … and this much: a picture's interval, and what a busy machine takes.
const SLACK_MS: f64 = 35.0;
/// What is allowed grows by this much at most while a report is overdue, or by what so many octets take: on a narrow path
/// a few packets are a queue that nobody can avoid.
const LATE_GROWTH_MS: f64 = 50.0;
const LATE_GROWTH_OCTETS: f64 = 3.0 * 1_200.0;
/// The least that a report took is forgotten by so much with every report.
const LEAST_GROWTH_MS: f64 = 0.1;
/// What may stand in the queue when pictures go on.
const ACCEPTED_MS: f64 = 25.0;
/// Packets remembered: as many as their reports can tell of. The oldest goes first.
const MAX_FLYING: usize = 4096;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Flight {
    flying: VecDeque<(Instant, usize)>,
    octets: usize,
    /// Up to [`KNOWN_OCTETS`].
    reported_octets: usize,
    /// How long the newest reported packet's report took, milliseconds: mean and mean deviation.
    taking: Option<(f64, f64)>,
    /// The least that it took, which may grow by as much as the clock's wander only.
    least_ms: f64,
    /// Mean time between two reports, milliseconds.
    interval_ms: f64,
    reported: Option<Instant>,
    /// Since when it has been overdue, and what is allowed at most meanwhile, milliseconds.
    late: Option<(Instant, f64)>,
}

impl Flight {
    /// A packet leaves.
    pub(super) fn handle_departure(&mut self, now: Instant, octets: usize) {
        self.flying.push_back((now, octets));
        self.octets += octets;
        if self.flying.len() > MAX_FLYING
            && let Some((_, octets)) = self.flying.pop_front()
        {
            self.octets -= octets;
        }
    }

    /// A report tells of packets up to the one that left at `newest`.
    pub(super) fn handle_report(&mut self, now: Instant, newest: Instant) {
        while let Some((departed, octets)) = self.flying.front().copied()
            && departed <= newest
        {
            self.flying.pop_front();
            self.octets -= octets;
            self.reported_octets = (self.reported_octets + octets).min(KNOWN_OCTETS);
        }
        self.late = self.late.filter(|(since, _)| newest < *since);
        // One that was overdue says that the path is slow, not that it is always so: it counts as far as was allowed.
        let sample =
            ms(now.saturating_duration_since(newest)).min(self.allowed_ms().unwrap_or(f64::INFINITY));
        self.least_ms = match self.taking {
            None => sample,
            Some(_) => sample.min(self.least_ms + LEAST_GROWTH_MS),
        };
        self.taking = Some(match self.taking {
            None => (sample, sample / 2.0),
            Some((mean, deviation)) => (
                mean + MEAN_WEIGHT * (sample - mean),
                deviation + DEVIATION_WEIGHT * ((sample - mean).abs() - deviation),
            ),
        });
        if let Some(before) = self.reported.replace(now) {
            let interval = ms(now.saturating_duration_since(before));
            self.interval_ms += MEAN_WEIGHT * (interval - self.interval_ms);
        }
    }

    /// What a report may take, if there was one before.
    fn allowed_ms(&self) -> Option<f64> {
        let (mean, deviation) = self.taking?;
        let allowed = mean + DEVIATIONS * deviation + INTERVALS * self.interval_ms + SLACK_MS;
        Some(self.late.map_or(allowed, |(_, most)| allowed.min(most)))
    }

    /// More is on its way than the path, as it was known, would leave unreported. It is thought to carry so many bits per
    /// second.
    pub(super) fn is_overdue(&mut self, now: Instant, bits_per_second: f64) -> bool {
        let Some(allowed) = self.allowed_ms().filter(|_| self.reported_octets >= KNOWN_OCTETS) else {
            return self.octets > FIRST_OCTETS;
        };
        let overdue = |departed: Instant| ms(now.saturating_duration_since(departed)) > allowed;
        let late = self.flying.front().is_some_and(|(departed, _)| overdue(*departed));
        let growth_ms = (LATE_GROWTH_OCTETS * 8.0 * 1000.0 / bits_per_second.max(1.0)).max(LATE_GROWTH_MS);
        self.late = late.then(|| self.late.unwrap_or((now, allowed + growth_ms)));
        late
    }

    /// It takes longer to carry what is on its way, at this rate, than reports take without a queue.
    pub(super) fn is_more_than_usual(&self, bits_per_second: f64) -> bool {
        let usual = self.least_ms + INTERVALS * self.interval_ms + ACCEPTED_MS;
        self.octets as f64 * 8.0 * 1000.0 / bits_per_second.max(1.0) > usual
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
