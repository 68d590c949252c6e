//! How much sound the server is asked to hold: little where it is given sound in time, more where it ran dry.
//!
//! Driven by `link`, one for each stream to a speaker; time is a parameter. It is the only cushion on the way to such a
//! speaker: the ring before it holds 5 ms, and what it lacks for a moment the server waits for.

use super::super::BLOCK;
use std::time::{Duration, Instant};

/// What the server holds ahead of the speaker's own buffer and in it, samples: 10 ms.
pub(super) const LEAST: usize = BLOCK;
/// By how much it grows, and goes back; half of it goes to the speaker's own buffer, as PulseAudio divides it. Of smaller steps
/// forwards the first would not always make an end to the silence.
const STEP: usize = BLOCK;
/// A machine that needs more than 50 ms needs fewer programs.
const MOST: usize = 5 * BLOCK;
/// It may run dry once in so long: that is no habit. But not so soon after a step back, which was made on trial.
const FORGIVEN: Duration = Duration::from_secs(20);
/// What one pause of ours costs is told of several times, and counts once.
const ONE_EVENT: Duration = Duration::from_millis(200);
/// Without running dry for so long, it goes back by a step; at first, and at most after it did so in vain. Where it was not
/// in vain, the next time comes sooner again. At most: a step in vain costs a moment of silence, and a cushion that
/// remembered longer than some minutes would hold in the second hour what a disturbance of the first one needed.
const CALM: Duration = Duration::from_secs(10);
const CALM_MOST: Duration = Duration::from_secs(240);

/// What a stream's buffer is and how it came to that.
#[derive(Debug)]
pub(super) struct Ahead {
    samples: usize,
    /// When it last ran dry; at first, when it began: a machine of which nothing is known yet is forgiven nothing.
    dry: Instant,
    changed: Instant,
    calm: Duration,
    /// The last change was a step back.
    lowered: bool,
}

impl Ahead {
    pub(super) fn new(now: Instant) -> Self {
        Self { samples: LEAST, dry: now, changed: now, calm: CALM, lowered: false }
    }

    /// What the server is to hold, at present.
    pub(super) fn samples(&self) -> usize {
        self.samples
    }

    /// The server ran dry. Gives what it is to hold from now on, if that is another size.
    pub(super) fn handle_dry(&mut self, now: Instant) -> Option<usize> {
        let since = |moment: Instant| now.saturating_duration_since(moment);
        if since(self.dry) < ONE_EVENT {
            return None;
        }
        let on_trial = self.lowered && since(self.changed) < FORGIVEN;
        let forgiven = !on_trial && since(self.dry) > FORGIVEN;
        self.dry = now;
        if forgiven || self.samples == MOST {
            return None;
        }
        if self.lowered {
            self.calm = (self.calm * 2).min(CALM_MOST);
        }
        self.change(self.samples + STEP, now)
    }

    /// Time has passed. Gives what the server is to hold from now on, if that is another size.
    pub(super) fn handle_time(&mut self, now: Instant) -> Option<usize> {
        if now.saturating_duration_since(self.dry.max(self.changed)) < self.calm {
            return None;
        }
        if std::mem::take(&mut self.lowered) {
            self.calm = (self.calm / 2).max(CALM);
        }
        (self.samples > LEAST).then(|| self.change(self.samples - STEP, now)).flatten()
    }

    fn change(&mut self, samples: usize, now: Instant) -> Option<usize> {
        self.lowered = samples < self.samples;
        (self.samples, self.changed) = (samples.clamp(LEAST, MOST), now);
        Some(self.samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A beginning, and what is so many seconds after it.
    fn clock() -> (Instant, impl Fn(f64) -> Instant) {
        let start = Instant::now();
        (start, move |seconds| start + Duration::from_secs_f64(seconds))
    }

    /// Seconds from `from` on until it goes back, if it does within half an hour.
    fn until_back(ahead: &mut Ahead, at: impl Fn(f64) -> Instant, from: f64) -> Option<(f64, usize)> {
        (0..1800).map(f64::from).find_map(|n| Some((n, ahead.handle_time(at(from + n))?)))
    }

    #[test]
    fn a_server_that_runs_dry_again_gets_more_and_less_again_in_calm() {
        let (start, at) = clock();
        let mut ahead = Ahead::new(start);
        assert_eq!(ahead.handle_dry(at(25.0)), None, "once is no habit");
        assert_eq!(ahead.handle_dry(at(25.1)), None, "the same pause");
        assert_eq!(ahead.handle_dry(at(50.0)), None, "long ago");
        assert_eq!(ahead.handle_dry(at(52.0)), Some(LEAST + STEP));
        assert_eq!(ahead.handle_dry(at(53.0)), Some(LEAST + 2 * STEP));
        assert_eq!(until_back(&mut ahead, &at, 53.0), Some((10.0, LEAST + STEP)));
        assert_eq!(until_back(&mut ahead, &at, 63.0), Some((10.0, LEAST)));
        assert_eq!(until_back(&mut ahead, &at, 73.0), None, "never less than that");
        (0..100).for_each(|n| {
            assert!(ahead.handle_dry(at(9000.0 + f64::from(n))).is_none_or(|size| size <= MOST))
        });
    }

    #[test]
    fn a_server_that_runs_dry_at_once_gets_more_at_once() {
        let (start, at) = clock();
        let mut ahead = Ahead::new(start);
        assert_eq!(ahead.handle_dry(at(3.0)), Some(LEAST + STEP));
    }

    #[test]
    fn who_went_back_in_vain_waits_longer_before_the_next_time() {
        let (start, at) = clock();
        let mut ahead = Ahead::new(start);
        ahead.handle_dry(at(2.0));
        let mut now = 2.0;
        let mut waits = Vec::new();
        for _ in 0..7 {
            let (wait, _) = until_back(&mut ahead, &at, now).unwrap();
            waits.push(wait);
            now += wait;
            now += 1.0;
            assert_eq!(ahead.handle_dry(at(now)), Some(LEAST + STEP), "what was enough before, at once");
        }
        assert_eq!(waits, [10.0, 20.0, 40.0, 80.0, 160.0, 240.0, 240.0]);
    }

    #[test]
    fn a_step_back_that_went_well_for_a_while_is_forgiven_like_any_other() {
        let (start, at) = clock();
        let mut ahead = Ahead::new(start);
        ahead.handle_dry(at(2.0));
        assert_eq!(until_back(&mut ahead, &at, 2.0), Some((10.0, LEAST)));
        assert_eq!(ahead.handle_dry(at(40.0)), None);
        assert_eq!(ahead.handle_dry(at(50.0)), Some(LEAST + STEP));
    }

    #[test]
    fn what_a_bad_hour_taught_is_forgotten_in_minutes() {
        let (start, at) = clock();
        let mut ahead = Ahead::new(start);
        let mut now = 0.0;
        while now < 3600.0 {
            now += 1.0;
            // Nothing but the most is enough.
            if ahead.handle_time(at(now)).is_some() || ahead.samples() < MOST {
                ahead.handle_dry(at(now + 1.0));
                ahead.handle_dry(at(now + 2.0));
                now += 2.0;
            }
        }
        assert_eq!((ahead.samples(), ahead.calm), (MOST, CALM_MOST));
        let began = now;
        while ahead.samples() > LEAST {
            now += 1.0;
            ahead.handle_time(at(now));
        }
        assert!(now - began < 600.0, "{} s", now - began);
    }
}
