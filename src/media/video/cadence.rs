//! The rate of pictures: thins them out to a wanted rate, and measures what is left. Sans-IO.

use std::time::{Duration, Instant};

/// Weight of the newest interval in the measured rate.
const SMOOTHING: f64 = 0.1;
/// Intervals longer than this are pauses, not a frame rate.
const PAUSE: Duration = Duration::from_secs(1);
/// A picture that comes early by up to this share of an interval still counts as on time: cameras jitter.
const TOLERANCE: f64 = 0.4;

/// Thins out and measures.
#[derive(Debug, Default)]
pub(crate) struct Cadence {
    due: Option<Instant>,
    last: Option<Instant>,
    interval: Option<f64>,
}

impl Cadence {
    /// Whether the picture captured at `captured` is to be used, at no more than `fps` pictures a second.
    pub(crate) fn admit(&mut self, captured: Instant, fps: u32) -> bool {
        let interval = Duration::from_secs(1) / fps.max(1);
        if let Some(due) = self.due {
            if captured + interval.mul_f64(TOLERANCE) < due {
                return false;
            }
            // From the due time, so that jitter does not add up; anew after a pause.
            self.due = Some((due + interval).max(captured));
        } else {
            self.due = Some(captured + interval);
        }
        if let Some(last) = self.last.replace(captured) {
            let passed = captured.saturating_duration_since(last);
            if !passed.is_zero() && passed < PAUSE {
                let passed = passed.as_secs_f64();
                let before = self.interval.unwrap_or(passed);
                self.interval = Some(before + SMOOTHING * (passed - before));
            }
        }
        true
    }

    /// Admitted pictures per second, lately. `None` before there were two.
    pub(crate) fn rate(&self) -> Option<f64> {
        self.interval.map(|interval| 1.0 / interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(source_fps: f64, wanted: u32) -> (usize, f64) {
        let mut cadence = Cadence::default();
        let start = Instant::now();
        let count = (0..(source_fps * 10.0) as u32)
            .filter(|&n| {
                // 5 ms of jitter.
                let jitter = f64::from(n * 7919 % 11) / 11.0 * 0.005;
                cadence.admit(start + Duration::from_secs_f64(f64::from(n) / source_fps + jitter), wanted)
            })
            .count();
        (count, cadence.rate().unwrap())
    }

    #[test]
    fn every_picture_passes_if_the_source_is_no_faster_than_wanted() {
        assert_eq!(admitted(30.0, 30).0, 300);
        assert_eq!(admitted(15.0, 30).0, 150);
        assert!((admitted(15.0, 30).1 - 15.0).abs() < 1.0);
    }

    #[test]
    fn a_faster_source_is_thinned_out_evenly() {
        for (wanted, expected) in [(15, 150), (10, 100)] {
            let (count, rate) = admitted(30.0, wanted);
            assert!(count.abs_diff(expected) <= 2, "{wanted}: {count}");
            assert!((rate - f64::from(wanted)).abs() < 1.0, "{rate}");
        }
        assert!(admitted(60.0, 30).0.abs_diff(300) <= 3);
    }
}
