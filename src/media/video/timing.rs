//! When to show a picture: the adaptive playout delay of the picture's path. Sans-IO.
//!
//! Driven by the receiver's thread with each whole picture. How much later than the quickest of the last seconds a
//! picture came is its *lateness*: jitter of the path, its own size, and waiting for repairs, all in one, and without
//! the clocks' offset. A histogram that forgets (as NetEq has for sound) tells which delay would have had most
//! pictures in time; all pictures are held back to that delay, so that movement is even. What is too small to be seen
//! is not paid for with delay: on a clean path pictures are shown as they come.
//!
//! libwebrtc estimates the same by a Kalman filter over frame size and inter-frame delay, and adds a round trip where
//! there are many repairs. The histogram needs no model of the link and sees repairs as what they are: late pictures.
//! Slow changes, a queue that fills, are followed by the baseline and not held back for: they do not make movement
//! uneven.

use std::time::{Duration, Instant};

/// Width of a bin.
const BIN: Duration = Duration::from_millis(4);
/// Bins; what is later than all of them counts as the last.
const BINS: usize = 150;
/// Share of pictures that shall be shown at an even pace.
const QUANTILE: f64 = 0.95;
/// Share of pictures that shall not be missed for so long that it counts as a freeze. Two in the memory count, one
/// does not: a single keyframe on a narrow link must not delay what follows it.
const FREEZE_QUANTILE: f64 = 0.995;
/// How late a picture may be without a freeze: 150 ms (the W3C statistics' `freezeCount`), and some room for it.
const FREEZE_MARGIN: Duration = Duration::from_millis(125);
/// Pictures after which the past weighs 1/e: 8 s at 30 a second.
const MEMORY: f64 = 240.0;
/// Weight of the assumption, before pictures tell, that none is late.
const PRIOR_WEIGHT: f64 = 30.0;
/// Unevenness that is not worth a delay: less than a screen's refresh at 60 Hz, in which any picture waits anyway.
const TOLERANCE: Duration = Duration::from_millis(16);
/// Longest holding back for the sake of evenness. Beyond, delay hurts a conversation more than uneven movement
/// (ITU-T G.114: 400 ms mouth to ear in all).
const MAX_DELAY: Duration = Duration::from_millis(250);
/// Interruptions within so long are one: a path that becomes slow holds up a few pictures one after the other, once.
const ONE_INTERRUPTION: Duration = Duration::from_secs(1);
/// A picture later than this met an outage, not jitter: no delay would have helped.
const OUTAGE: Duration = Duration::from_secs(1);
/// And is over when pictures are no later than this again.
const RECOVERED: Duration = Duration::from_millis(50);
/// The quickest picture counts for this long, to twice that.
const BASELINE_WINDOW: Duration = Duration::from_secs(2);
/// The quickest picture may change by this much by chance alone.
const LONGER_WAY: Duration = Duration::from_millis(30);
/// The delay changes by this much a picture at most, up and down: a jump would be the freeze that it is to prevent.
const STEP_UP: Duration = Duration::from_millis(8);
const STEP_DOWN: Duration = Duration::from_millis(2);
/// Timestamps that jump by more than this are a new stream.
const JUMP_TICKS: i64 = 90_000 * 10;
/// Ticks of the RTP clock a second.
const HZ: i64 = 90_000;

/// The smallest value of the last one to two windows.
#[derive(Debug, Default)]
struct Baseline {
    present: Option<i64>,
    past: Option<i64>,
    begun: Option<Instant>,
}

impl Baseline {
    /// Takes a value and gives the smallest.
    fn observe(&mut self, now: Instant, value: i64) -> i64 {
        let begun = *self.begun.get_or_insert(now);
        if now.saturating_duration_since(begun) >= BASELINE_WINDOW {
            self.begun = Some(now);
            self.past = self.present.take();
        }
        let present = self.present.map_or(value, |least| least.min(value));
        self.present = Some(present);
        self.past.map_or(present, |past| past.min(present))
    }
}

/// How late pictures were, with a memory that fades.
#[derive(Debug)]
struct Histogram {
    /// Shares of all pictures, 1 in all.
    bins: [f64; BINS],
    weight: f64,
}

impl Default for Histogram {
    fn default() -> Self {
        let mut bins = [0.0; BINS];
        bins[0] = 1.0;
        Self { bins, weight: PRIOR_WEIGHT }
    }
}

impl Histogram {
    fn learn(&mut self, lateness: Duration) {
        let bin = (lateness.as_micros() / BIN.as_micros()) as usize;
        self.weight = (self.weight + 1.0).min(MEMORY);
        let share = 1.0 / self.weight;
        self.bins.iter_mut().for_each(|weight| *weight *= 1.0 - share);
        self.bins[bin.min(BINS - 1)] += share;
    }

    /// All that was learned was later by so much than it would be called now.
    fn shift(&mut self, earlier: Duration) {
        let by = ((earlier.as_micros() / BIN.as_micros()) as usize).min(BINS - 1);
        let in_time = self.bins[..=by].iter().sum();
        self.bins.copy_within(by.., 0);
        self.bins[BINS - by..].fill(0.0);
        self.bins[0] = in_time;
    }

    fn quantile(&self, share: f64) -> Duration {
        let mut sum = 0.0;
        let bin = self.bins.iter().position(|weight| {
            sum += weight;
            sum >= share
        });
        BIN * bin.unwrap_or(BINS - 1) as u32
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Timing {
    origin: Option<Instant>,
    /// Timestamp of the last picture, extended beyond its wrap-around.
    newest: Option<i64>,
    baseline: Baseline,
    /// The baseline's last value.
    quickest: Option<i64>,
    /// Of all pictures.
    lateness: Histogram,
    /// Of those later than the one before them: pictures that waited for the same repair are one interruption.
    interruptions: Histogram,
    before: Duration,
    /// Since when interruptions count as one, and the longest of them.
    interruption: Option<(Instant, Duration)>,
    /// What was held up by an outage is still arriving.
    recovering: bool,
    delay: Duration,
    hold: Duration,
    last: Option<Instant>,
}

impl Timing {
    /// How long pictures are held back at present, against the quickest.
    pub(crate) fn delay(&self) -> Duration {
        self.delay + self.hold
    }

    /// Holds pictures back by so much more than evenness asks for, so that they agree with their sound.
    pub(crate) fn set_hold(&mut self, hold: Duration) {
        self.hold = hold;
    }

    /// A picture with this RTP timestamp became whole, all before it being there. Gives the time to show it at, which
    /// may have passed, and is never before the one given for the last picture.
    pub(crate) fn handle_picture(&mut self, rtp_timestamp: u32, ready: Instant) -> Instant {
        let step = self.newest.map(|newest| i64::from(rtp_timestamp.wrapping_sub(newest as u32) as i32));
        if step.is_none_or(|step| step.abs() > JUMP_TICKS) {
            *self = Self { hold: self.hold, ..Self::default() };
        }
        let origin = *self.origin.get_or_insert(ready);
        let extended = match (self.newest, step) {
            (Some(newest), Some(step)) => newest + step,
            _ => i64::from(rtp_timestamp),
        };
        self.newest = Some(extended);
        let capture = extended * 1_000_000 / HZ;
        let transit = ready.saturating_duration_since(origin).as_micros() as i64 - capture;
        let quickest = self.baseline.observe(ready, transit);
        let longer = Duration::from_micros(
            (quickest - self.quickest.replace(quickest).unwrap_or(quickest)).max(0) as u64,
        );
        if longer >= LONGER_WAY {
            // The way has become longer: whoever came over it was not late.
            self.lateness.shift(longer);
            self.interruptions.shift(longer);
        }
        let lateness = Duration::from_micros((transit - quickest).unsigned_abs());
        self.learn(ready, lateness);
        let wanted = self.wanted();
        self.delay = wanted.clamp(self.delay.saturating_sub(STEP_DOWN), self.delay + STEP_UP);
        let in_time = ready.checked_sub(lateness).unwrap_or(ready);
        let due = in_time + self.delay();
        let due = self.last.map_or(due, |last| due.max(last));
        // A due time far ahead can only be left over from before a jump of the path.
        let due = due.min(ready + MAX_DELAY + self.hold);
        self.last = Some(due);
        due
    }

    fn learn(&mut self, ready: Instant, lateness: Duration) {
        let before = std::mem::replace(&mut self.before, lateness);
        self.recovering = lateness >= OUTAGE || (self.recovering && lateness >= RECOVERED);
        if self.recovering {
            return;
        }
        self.lateness.learn(lateness);
        let more = if lateness > before { lateness } else { Duration::ZERO };
        let (begun, worst) = *self.interruption.get_or_insert((ready, more));
        if ready.saturating_duration_since(begun) < ONE_INTERRUPTION {
            self.interruption = Some((begun, worst.max(more)));
            self.interruptions.learn(Duration::ZERO);
        } else {
            self.interruption = Some((ready, more));
            self.interruptions.learn(worst);
        }
    }

    /// The delay that makes movement even, and prevents freezes.
    fn wanted(&self) -> Duration {
        let even = self.lateness.quantile(QUANTILE).saturating_sub(TOLERANCE);
        let unbroken = self.interruptions.quantile(FREEZE_QUANTILE).saturating_sub(FREEZE_MARGIN);
        even.max(unbroken).min(MAX_DELAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Feeds pictures 33 ms apart with the given extra delays (ms), from `first` on, and gives how long each is held.
    fn feed(timing: &mut Timing, start: Instant, first: u32, delays: &[u32]) -> Vec<Duration> {
        let hold = |(n, delay): (u32, &u32)| {
            let index = first + n;
            // Close to the wrap-around.
            let timestamp = (u32::MAX - 30_000).wrapping_add(index * 2_970);
            let ready = start + MS * (index * 33 + delay);
            timing.handle_picture(timestamp, ready).saturating_duration_since(ready)
        };
        delays.iter().enumerate().map(|(n, delay)| (n as u32, delay)).map(hold).collect()
    }

    #[test]
    fn on_a_clean_path_and_with_small_unevenness_nothing_is_held_back() {
        let (mut timing, start) = (Timing::default(), Instant::now());
        let delays: Vec<u32> = (0..600).map(|n| n * 7 % 16).collect();
        let held = feed(&mut timing, start, 0, &delays);
        assert!(held.iter().all(Duration::is_zero), "{:?}", held.iter().max());
    }

    #[test]
    fn jitter_is_smoothed_by_little_more_than_itself_and_forgotten() {
        let (mut timing, start) = (Timing::default(), Instant::now());
        let delays: Vec<u32> = (0..600).map(|n| n * 17 % 41).collect();
        let held = feed(&mut timing, start, 0, &delays);
        let shown: Vec<_> =
            delays.iter().zip(&held).map(|(delay, held)| MS * *delay + *held).skip(300).collect();
        let (least, most) = (shown.iter().min().unwrap(), shown.iter().max().unwrap());
        assert!(*most <= 45 * MS, "held for {most:?}");
        assert!(*most - *least <= TOLERANCE + 2 * BIN, "uneven by {:?}", *most - *least);
        feed(&mut timing, start, 600, &[0; 900]);
        assert_eq!(timing.delay(), Duration::ZERO);
    }

    #[test]
    fn a_rare_late_picture_and_an_outage_delay_nobody_else() {
        let (mut timing, start) = (Timing::default(), Instant::now());
        let delays: Vec<u32> = (0..900).map(|n| if n % 60 == 59 { 120 } else { 0 }).collect();
        feed(&mut timing, start, 0, &delays);
        assert_eq!(timing.delay(), Duration::ZERO);
        // Five seconds without a packet, all of them delivered at once.
        let outage: Vec<u32> = (0..150).map(|n| (150 - n) * 33).collect();
        feed(&mut timing, start, 900, &outage);
        assert!(timing.delay() <= 2 * STEP_UP * 30, "{:?}", timing.delay());
        feed(&mut timing, start, 1050, &[0; 400]);
        assert_eq!(timing.delay(), Duration::ZERO);
    }

    #[test]
    fn a_queue_that_fills_slowly_is_not_held_back_for() {
        let (mut timing, start) = (Timing::default(), Instant::now());
        // 200 ms more within 20 s, and back.
        let up: Vec<u32> = (0..600).map(|n| n / 3).collect();
        let down: Vec<u32> = (0..600).map(|n| 200 - n / 3).collect();
        feed(&mut timing, start, 0, &up);
        assert!(timing.delay() <= 40 * MS, "{:?}", timing.delay());
        feed(&mut timing, start, 600, &down);
        assert!(timing.delay() <= 40 * MS, "{:?}", timing.delay());
    }

    #[test]
    fn a_way_that_becomes_longer_is_not_held_back_for_once_that_is_known() {
        let (mut timing, start) = (Timing::default(), Instant::now());
        feed(&mut timing, start, 0, &[0; 300]);
        feed(&mut timing, start, 300, &[150; 240]);
        assert!(timing.delay() < 20 * MS, "{:?}", timing.delay());
        // And jitter on the longer way is.
        let jitter: Vec<u32> = (0..300).map(|n| 150 + n * 17 % 41).collect();
        feed(&mut timing, start, 540, &jitter);
        assert!(timing.delay() > 10 * MS, "{:?}", timing.delay());
    }

    #[test]
    fn pictures_keep_their_order_and_a_new_stream_starts_anew() {
        let (mut timing, start) = (Timing::default(), Instant::now());
        let delays: Vec<u32> = (0..300).map(|n| n * 31 % 97).collect();
        let mut last = start;
        for (index, delay) in (0_u32..).zip(&delays) {
            let due = timing.handle_picture(index * 2_970, start + MS * (index * 33 + delay));
            assert!(due >= last);
            last = due;
        }
        let later = start + Duration::from_secs(20);
        assert_eq!(timing.handle_picture(1 << 31, later), later);
    }

    #[test]
    fn a_hold_for_the_sounds_sake_is_kept() {
        let (mut timing, start) = (Timing::default(), Instant::now());
        timing.set_hold(50 * MS);
        let held = feed(&mut timing, start, 0, &[0; 60]);
        assert!(held.iter().skip(1).all(|held| held.abs_diff(50 * MS) < MS), "{held:?}");
    }
}
