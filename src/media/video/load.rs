//! Whether the processor keeps up: how many luma samples a second it is able to encode. Sans-IO.
//!
//! Driven by the encoder's thread after each picture. The time that pictures took, set against the time that there
//! was, and the pictures that the camera made and the encoder never saw, say that the processor is the limit; the
//! network's limit shows in neither. Down after two bad spans in a row, for a hiccup is none of our business; up
//! again slowly, and more slowly each time that it did not last.

use std::time::{Duration, Instant};

/// Pictures that are judged together: two seconds at the full rate.
const SPAN: usize = 60;
/// Bad spans in a row that count.
const BAD_SPANS: u32 = 2;
/// The time that one picture in twenty takes may not exceed this share of the interval between pictures …
const SLOW_TAIL: f64 = 1.0;
/// … nor the time that every other takes this one: the rest of the call needs the processor, too.
const SLOW_MEDIAN: f64 = 0.6;
/// Captures that nobody had time for, as a share of all.
const MISSED: f64 = 0.2;
/// With the slow tail below this a larger step would fit.
const EASY_TAIL: f64 = 0.4;
/// A step down, and up again: about a step of the ladder.
const DOWN: f64 = 0.55;
const UP: f64 = 1.8;
/// How long it must be easy before it is tried again, at first and at most.
const RETRY_AFTER: Duration = Duration::from_secs(10);
const RETRY_AFTER_AT_MOST: Duration = Duration::from_secs(160);
/// More than any step of the ladder needs: no limit.
const PLENTY: f64 = 1920.0 * 1080.0 * 30.0;

/// See the module.
#[derive(Debug)]
pub(crate) struct Load {
    /// Time taken as a share of the time that there was, of the pictures of this span.
    shares: [f64; SPAN],
    count: usize,
    captured: u64,
    missed: u64,
    bad_spans: u32,
    samples_per_second: f64,
    easy_since: Option<Instant>,
    raised: Option<Instant>,
    retry_after: Duration,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            shares: [0.0; SPAN],
            count: 0,
            captured: 0,
            missed: 0,
            bad_spans: 0,
            samples_per_second: f64::INFINITY,
            easy_since: None,
            raised: None,
            retry_after: RETRY_AFTER,
        }
    }
}

impl Load {
    /// Luma samples a second that are affordable.
    pub(crate) fn samples_per_second(&self) -> f64 {
        self.samples_per_second
    }

    /// The camera made pictures that nobody looked at.
    pub(crate) fn handle_missed(&mut self, pictures: u64) {
        self.missed += pictures;
        self.captured += pictures;
    }

    /// A picture of so many luma samples took `took`; at `fps` pictures a second.
    pub(crate) fn handle_picture(&mut self, took: Duration, samples: f64, fps: f64, now: Instant) {
        self.captured += 1;
        self.shares[self.count] = took.as_secs_f64() * fps;
        self.count += 1;
        if self.count < SPAN {
            return;
        }
        self.count = 0;
        self.shares.sort_unstable_by(f64::total_cmp);
        let (tail, median) = (self.shares[SPAN * 95 / 100], self.shares[SPAN / 2]);
        let missed = self.missed as f64 / self.captured as f64;
        (self.captured, self.missed) = (0, 0);
        if tail > SLOW_TAIL || median > SLOW_MEDIAN || missed > MISSED {
            self.easy_since = None;
            self.bad_spans += 1;
            if self.bad_spans >= BAD_SPANS {
                self.bad_spans = 0;
                self.lower(samples * fps, now);
            }
            return;
        }
        self.bad_spans = 0;
        if tail > EASY_TAIL {
            self.easy_since = None;
        } else if self.samples_per_second.is_finite() {
            let since = *self.easy_since.get_or_insert(now);
            if now.saturating_duration_since(since) >= self.retry_after {
                self.raise(now);
            }
        }
    }

    fn lower(&mut self, present: f64, now: Instant) {
        if self.raised.is_some_and(|at| now.saturating_duration_since(at) < self.retry_after) {
            self.retry_after = (self.retry_after * 2).min(RETRY_AFTER_AT_MOST);
        }
        self.raised = None;
        self.samples_per_second = present * DOWN;
        tracing::info!(self.samples_per_second, "the processor is the limit: a smaller picture is sent");
    }

    fn raise(&mut self, now: Instant) {
        self.samples_per_second *= UP;
        if self.samples_per_second >= PLENTY {
            self.samples_per_second = f64::INFINITY;
        }
        self.easy_since = None;
        self.raised = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HD: f64 = 1280.0 * 720.0;
    const FRAME: Duration = Duration::from_micros(33_333);

    fn run(load: &mut Load, now: &mut Instant, seconds: u32, cost: impl Fn(f64) -> Duration) -> f64 {
        let full = HD * 30.0;
        for _ in 0..seconds * 30 {
            *now += FRAME;
            let samples = HD.min(load.samples_per_second() / 30.0);
            load.handle_picture(cost(samples), samples, 30.0, *now);
        }
        load.samples_per_second().min(full)
    }

    #[test]
    fn a_quick_processor_is_no_limit_and_hiccups_change_nothing() {
        let (mut load, mut now) = (Load::default(), Instant::now());
        run(&mut load, &mut now, 60, |_| Duration::from_millis(6));
        for second in 0..60 {
            run(&mut load, &mut now, 1, |_| Duration::from_millis(if second % 10 == 0 { 20 } else { 5 }));
        }
        assert_eq!(load.samples_per_second(), f64::INFINITY);
    }

    #[test]
    fn a_slow_processor_gets_smaller_pictures_until_they_fit() {
        let (mut load, mut now) = (Load::default(), Instant::now());
        // 720p takes 45 ms.
        let slow = |samples: f64| Duration::from_secs_f64(0.045 * samples / HD);
        let settled = run(&mut load, &mut now, 20, slow);
        assert!(settled < HD * 30.0 * 0.6, "{settled}");
        assert!(slow(settled / 30.0) < FRAME.mul_f64(0.8));
    }

    #[test]
    fn relief_is_tried_slowly_and_more_slowly_after_each_failure() {
        let (mut load, mut now) = (Load::default(), Instant::now());
        let slow = |samples: f64| Duration::from_secs_f64(if samples > HD * 0.9 { 0.045 } else { 0.008 });
        let mut changes = Vec::new();
        let start = now;
        let mut before = f64::INFINITY;
        for _ in 0..600 {
            let after = run(&mut load, &mut now, 1, slow);
            if after > before {
                changes.push(now - start);
            }
            before = after;
        }
        assert!((3..=8).contains(&changes.len()), "{changes:?}");
        assert!(changes[2] - changes[1] > (changes[1] - changes[0]).mul_f64(1.5), "{changes:?}");
    }

    #[test]
    fn captures_that_nobody_had_time_for_count() {
        let (mut load, mut now) = (Load::default(), Instant::now());
        for _ in 0..3 * SPAN {
            now += FRAME * 2;
            load.handle_missed(1);
            load.handle_picture(Duration::from_millis(10), HD, 15.0, now);
        }
        assert!(load.samples_per_second() < HD * 15.0);
    }
}
