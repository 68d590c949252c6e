//! Whether the path's delay grows: packet groups, a line fitted through their delays, an adaptive threshold
//! (draft-ietf-rmcat-gcc-02 sections 5.1 to 5.4; the line fit replaces the draft's Kalman filter, as in libwebrtc's
//! `TrendlineEstimator`, from which the constants are).

use super::Outcome;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Packets sent within this time are one group (section 5.2).
const GROUP: Duration = Duration::from_millis(5);
/// Packets that arrive within this time of each other, and sooner than they were sent apart, belong to one group as
/// well, up to this length in all (section 5.2: bursts). So a receiver that was not scheduled for a while, and then
/// reads all that has come meanwhile, counts with the last packet, which did not wait, and not with the first.
const BURST_GAP_MS: f64 = 5.0;
const BURST_LENGTH_MS: f64 = 100.0;
/// Groups in the line fit.
const WINDOW: usize = 20;
/// Smoothing of the accumulated delay.
const SMOOTHING: f64 = 0.9;
/// Slope to threshold units.
const GAIN: f64 = 4.0;
/// Groups up to which the gain grows.
const MAX_COUNT: u32 = 60;
/// The threshold's start and bounds, milliseconds.
const THRESHOLD_START: f64 = 12.5;
const THRESHOLD_MIN: f64 = 6.0;
const THRESHOLD_MAX: f64 = 600.0;
/// How fast the threshold follows upwards and downwards, per millisecond (section 5.4).
const THRESHOLD_UP: f64 = 0.0087;
const THRESHOLD_DOWN: f64 = 0.039;
/// Outliers beyond the threshold by this much do not move it.
const THRESHOLD_OUTLIER: f64 = 15.0;
/// Milliseconds of growth that are overuse (section 5.4).
const OVERUSE_MS: f64 = 10.0;
/// A jump of the remote's clock, or a pause, after which the groups begin anew.
const JUMP_MS: f64 = 3_000.0;

/// What the delay says about the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Usage {
    /// The queue neither grows nor shrinks.
    #[default]
    Normal,
    /// The queue grows: we send more than the path carries.
    Over,
    /// The queue empties.
    Under,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    first_departed: Instant,
    departed: Instant,
    /// Arrival of the first packet of the burst that it ends with.
    first_arrived: Duration,
    arrived: Duration,
}

impl Group {
    fn of(departed: Instant, arrived: Duration) -> Self {
        Self { first_departed: departed, departed, first_arrived: arrived, arrived }
    }

    fn includes(&self, departed: Instant, arrived: Duration) -> bool {
        if departed.saturating_duration_since(self.first_departed) <= GROUP {
            return true;
        }
        let receive_ms = signed_ms(arrived, self.arrived);
        let send_ms = departed.saturating_duration_since(self.departed).as_secs_f64() * 1000.0;
        receive_ms < send_ms
            && receive_ms <= BURST_GAP_MS
            && signed_ms(arrived, self.first_arrived) < BURST_LENGTH_MS
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Trend {
    group: Option<Group>,
    previous: Option<Group>,
    first_arrival: Option<Duration>,
    count: u32,
    accumulated: f64,
    smoothed: f64,
    points: VecDeque<(f64, f64)>,
    previous_slope: f64,
    threshold: f64,
    threshold_updated: Option<Duration>,
    over_ms: Option<f64>,
    over_count: u32,
    usage: Usage,
}

impl Default for Trend {
    fn default() -> Self {
        Self {
            group: None,
            previous: None,
            first_arrival: None,
            count: 0,
            accumulated: 0.0,
            smoothed: 0.0,
            points: VecDeque::with_capacity(WINDOW + 1),
            previous_slope: 0.0,
            threshold: THRESHOLD_START,
            threshold_updated: None,
            over_ms: None,
            over_count: 0,
            usage: Usage::Normal,
        }
    }
}

impl Trend {
    /// Learns of one packet; lost ones say nothing about delay. Returns the state, new or old.
    pub(super) fn handle_outcome(&mut self, outcome: &Outcome) -> Usage {
        let Some(arrived) = outcome.arrived else {
            return self.usage;
        };
        match &mut self.group {
            None => self.group = Some(Group::of(outcome.departed, arrived)),
            Some(group) if group.includes(outcome.departed, arrived) => {
                if signed_ms(arrived, group.arrived) > BURST_GAP_MS {
                    group.first_arrived = arrived;
                }
                group.departed = group.departed.max(outcome.departed);
                group.arrived = group.arrived.max(arrived);
            }
            Some(group) => {
                let complete = std::mem::replace(group, Group::of(outcome.departed, arrived));
                self.handle_group(complete);
            }
        }
        self.usage
    }

    fn handle_group(&mut self, group: Group) {
        let Some(previous) = self.previous.replace(group) else {
            return;
        };
        let send_ms = group.departed.saturating_duration_since(previous.departed).as_secs_f64() * 1000.0;
        let receive_ms = signed_ms(group.arrived, previous.arrived);
        if receive_ms.abs() > JUMP_MS || send_ms > JUMP_MS {
            let threshold = self.threshold;
            *self = Self { threshold, ..Self::default() };
            return;
        }
        let first = *self.first_arrival.get_or_insert(group.arrived);
        self.count = (self.count + 1).min(MAX_COUNT);
        self.accumulated += receive_ms - send_ms;
        self.smoothed = SMOOTHING * self.smoothed + (1.0 - SMOOTHING) * self.accumulated;
        self.points.push_back((signed_ms(group.arrived, first), self.smoothed));
        if self.points.len() > WINDOW {
            self.points.pop_front();
        }
        let slope = if self.points.len() == WINDOW {
            slope(&self.points).unwrap_or(self.previous_slope)
        } else {
            self.previous_slope
        };
        self.detect(slope, send_ms, group.arrived);
    }

    fn detect(&mut self, slope: f64, send_ms: f64, arrived: Duration) {
        let modified = f64::from(self.count) * slope * GAIN;
        if modified > self.threshold {
            let over_ms = self.over_ms.map_or(send_ms / 2.0, |over| over + send_ms);
            self.over_ms = Some(over_ms);
            self.over_count += 1;
            if over_ms > OVERUSE_MS && self.over_count > 1 && slope >= self.previous_slope {
                self.over_ms = Some(0.0);
                self.over_count = 0;
                self.usage = Usage::Over;
            }
        } else {
            self.over_ms = None;
            self.over_count = 0;
            self.usage = if modified < -self.threshold { Usage::Under } else { Usage::Normal };
        }
        self.previous_slope = slope;
        self.adapt_threshold(modified.abs(), arrived);
    }

    fn adapt_threshold(&mut self, modified: f64, arrived: Duration) {
        let last = self.threshold_updated.replace(arrived).unwrap_or(arrived);
        if modified > self.threshold + THRESHOLD_OUTLIER {
            return;
        }
        let gain = if modified < self.threshold { THRESHOLD_DOWN } else { THRESHOLD_UP };
        let elapsed_ms = signed_ms(arrived, last).clamp(0.0, 100.0);
        self.threshold += gain * (modified - self.threshold) * elapsed_ms;
        self.threshold = self.threshold.clamp(THRESHOLD_MIN, THRESHOLD_MAX);
    }
}

fn signed_ms(later: Duration, earlier: Duration) -> f64 {
    (later.as_secs_f64() - earlier.as_secs_f64()) * 1000.0
}

/// Slope of the least-squares line through the points; `None` if they share one instant.
fn slope(points: &VecDeque<(f64, f64)>) -> Option<f64> {
    let count = points.len() as f64;
    let (sum_x, sum_y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let (mut numerator, mut denominator) = (0.0, 0.0);
    for (x, y) in points {
        numerator += (x - mean_x) * (y - mean_y);
        denominator += (x - mean_x) * (x - mean_x);
    }
    (denominator > 0.0).then(|| numerator / denominator)
}
