//! How much faster one device's clock runs than another's.
//!
//! Driven by the `audio` thread, which notes when each device called and how many samples it had moved by then. Sans-IO:
//! the time is part of what is noted. A call may come late and never early, so of each half second only the call counts
//! that was least late. Each device's rate is the slope of a line through these (linear regression); the older they are,
//! the less they weigh, so that a rate that changes with the temperature is followed. A device that suddenly holds more
//! or less sound ready (a sound server does so when it ran dry) moves the line by a step, and has no other clock for that.
//!
//! Early on the line is uncertain, and how much is known from how its points scatter around it. A drift within that
//! uncertainty is taken for none, one far beyond it as it is, with a slope between (the positive-part estimator of James
//! and Stein, 1961): so a drift of 200 ppm is followed after some five seconds, and two devices on one clock, which is
//! what most people have, are left alone from the start.

use std::time::Duration;

/// Notes older than this weigh less than a third.
const MEMORY_SECONDS: f64 = 60.0;
/// Of so long a stretch the call counts that was least late.
const STRETCH_SECONDS: f64 = 0.5;
/// Nothing is said of a line with fewer points: 3 s.
const FEWEST_POINTS: f64 = 6.0;
/// From one point to the next a clock gains a quarter of a millisecond at most. More is a step.
const STEP_SECONDS: f64 = 0.001;
/// A drift within so many standard errors is taken for none.
const STANDARD_ERRORS: f64 = 3.0;
/// Crystals are off by 100 ppm at most, and two may differ in opposite ways. What is more is no drift but a fault in the
/// counting.
const MOST_PPM: f64 = 500.0;
/// A device that did not call for this long paused: its line begins anew.
const PAUSE_SECONDS: f64 = 0.5;

/// A line through one device's notes, with weights that fade.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    /// First note: seconds and samples. All else is relative to it.
    origin: Option<(f64, u64)>,
    /// Last note, seconds.
    last: f64,
    /// When this stretch began, and its call that was least late: when, and by how much the samples were ahead of the
    /// time, seconds.
    began: f64,
    best: Option<(f64, f64)>,
    /// The point before, and the sum of the steps.
    before: Option<(f64, f64)>,
    steps: f64,
    weight: f64,
    /// Weighted means, spread of the time, joint spread, and spread of the error.
    mean_time: f64,
    mean_error: f64,
    spread: f64,
    joint: f64,
    scatter: f64,
}

/// A slope and its variance.
type Slope = (f64, f64);

impl Line {
    /// Takes a note. `nominal`: samples per second by the device's own account.
    fn note(&mut self, at: f64, samples: u64, nominal: f64) {
        if self.origin.is_none() || at - self.last > PAUSE_SECONDS || at < self.last {
            *self = Self { origin: Some((at, samples)), ..Self::default() };
        }
        let Some((since, from)) = self.origin else { return };
        self.last = at;
        let time = at - since;
        // What was moved beyond what the nominal rate explains, seconds: small, so that nothing is lost to rounding.
        let error = samples.wrapping_sub(from) as f64 / nominal - time;
        if self.best.is_none_or(|(_, best)| error > best) {
            self.best = Some((time, error));
        }
        if time - self.began < STRETCH_SECONDS {
            return;
        }
        self.began = time;
        if let Some(point) = self.best.take() {
            self.add(point);
        }
    }

    fn add(&mut self, (time, error): (f64, f64)) {
        let (time_before, error_before) = self.before.replace((time, error)).unwrap_or((time, error));
        if (error - error_before).abs() > STEP_SECONDS {
            self.steps += error - error_before;
        }
        let error = error - self.steps;
        let fade = (-(time - time_before) / MEMORY_SECONDS).exp();
        self.weight = self.weight * fade + 1.0;
        let (ahead, above) = (time - self.mean_time, error - self.mean_error);
        self.mean_time += ahead / self.weight;
        self.mean_error += above / self.weight;
        self.spread = self.spread * fade + ahead * (time - self.mean_time);
        self.joint = self.joint * fade + ahead * (error - self.mean_error);
        self.scatter = self.scatter * fade + above * (error - self.mean_error);
    }

    /// By how much the device runs faster than its nominal rate, as a share, once something is known of it.
    fn slope(&self) -> Option<Slope> {
        if self.weight < FEWEST_POINTS - 0.5 || self.spread <= 0.0 {
            return None;
        }
        let slope = self.joint / self.spread;
        let around = (self.scatter - slope * self.joint).max(0.0);
        Some((slope, around / (self.weight - 2.0) / self.spread))
    }
}

/// The clocks of the speaker and the microphone of a call.
#[derive(Clone, Copy, Debug, Default)]
pub struct Drift {
    speaker: Line,
    microphone: Line,
}

impl Drift {
    /// The speaker had taken so many samples when it called at that time.
    pub fn note_speaker(&mut self, at: Duration, samples: u64, hertz: u32) {
        self.speaker.note(at.as_secs_f64(), samples, f64::from(hertz));
    }

    /// The microphone had given so many samples when it called at that time.
    pub fn note_microphone(&mut self, at: Duration, samples: u64, hertz: u32) {
        self.microphone.note(at.as_secs_f64(), samples, f64::from(hertz));
    }

    /// By how much the speaker's clock is faster than the microphone's, in millionths; 0 until it is known.
    pub fn ppm(&self) -> f64 {
        let (Some(speaker), Some(microphone)) = (self.speaker.slope(), self.microphone.slope()) else {
            return 0.0;
        };
        let drift = (1.0 + speaker.0) / (1.0 + microphone.0) - 1.0;
        let uncertain = STANDARD_ERRORS * STANDARD_ERRORS * (speaker.1 + microphone.1);
        let sure = if drift == 0.0 { 0.0 } else { (1.0 - uncertain / (drift * drift)).max(0.0) };
        let ppm = drift * sure * 1e6;
        if ppm.abs() <= MOST_PPM { ppm } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::super::room::Noise;
    use super::*;

    /// A device of that error calls every 10 ms, a little late each time, for so many seconds.
    fn run(ppm: f64, seconds: usize, seed: u64, mut note: impl FnMut(Duration, u64)) {
        let mut noise = Noise::new(seed);
        for call in 1..seconds as u64 * 100 {
            let due = call as f64 * 0.01 / (1.0 + ppm / 1e6);
            let late = f64::from(noise.next() + 1.0) * 0.002;
            note(Duration::from_secs_f64(due + late), call * 480);
        }
    }

    #[test]
    fn the_difference_of_two_clocks_is_found_within_a_minute() {
        for (speaker, microphone) in [(100.0, -100.0), (-80.0, 20.0), (0.0, 0.0), (3.0, 45.0)] {
            let mut drift = Drift::default();
            run(speaker, 60, 1, |at, samples| drift.note_speaker(at, samples, 48_000));
            assert_eq!(drift.ppm(), 0.0, "nothing is known of the microphone");
            run(microphone, 60, 2, |at, samples| drift.note_microphone(at, samples, 48_000));
            let (found, wanted) = (drift.ppm(), speaker - microphone);
            assert!((found - wanted).abs() < 5.0, "{found:.1} for {wanted} ppm");
        }
    }

    #[test]
    fn a_great_drift_is_followed_within_seconds_and_none_is_not_imagined() {
        let after = |ppm, seconds| {
            let mut drift = Drift::default();
            run(ppm, seconds, 1, |at, samples| drift.note_speaker(at, samples, 48_000));
            run(0.0, seconds, 2, |at, samples| drift.note_microphone(at, samples, 48_000));
            drift.ppm()
        };
        for sign in [-1.0, 1.0] {
            let (soon, later) = (after(sign * 200.0, 6) * sign, after(sign * 200.0, 12) * sign);
            assert!((100.0..260.0).contains(&soon) && (later - 200.0).abs() < 15.0, "{soon:.0}, {later:.0}");
        }
        for seconds in 3..30 {
            let found = after(0.0, seconds);
            assert!(found.abs() < 15.0, "{found:.1} ppm after {seconds} s");
        }
    }

    #[test]
    fn a_server_that_holds_more_sound_ready_has_no_other_clock_for_that() {
        let mut drift = Drift::default();
        run(0.0, 40, 1, |at, samples| {
            let ahead = [0, 480, 2400][(samples / 480_000).min(2) as usize];
            drift.note_speaker(at, samples + ahead, 48_000);
        });
        run(0.0, 40, 2, |at, samples| drift.note_microphone(at, samples, 48_000));
        assert!(drift.ppm().abs() < 25.0, "{:.1}", drift.ppm());
    }

    #[test]
    fn a_device_that_paused_or_miscounts_is_not_believed() {
        let mut drift = Drift::default();
        run(0.0, 20, 1, |at, samples| drift.note_speaker(at, samples, 48_000));
        run(0.0, 20, 2, |at, samples| drift.note_microphone(at, samples, 48_000));
        drift.note_speaker(Duration::from_secs(30), 960_000, 48_000);
        assert_eq!(drift.ppm(), 0.0);
        let mut drift = Drift::default();
        run(5000.0, 20, 1, |at, samples| drift.note_speaker(at, samples, 48_000));
        run(0.0, 20, 2, |at, samples| drift.note_microphone(at, samples, 48_000));
        assert_eq!(drift.ppm(), 0.0, "half a percent is no drift");
    }
}
