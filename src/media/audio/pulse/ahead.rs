//! How much sound the server is asked to hold: little where it is given sound in time, more where it ran dry.
//!
//! Driven by `link`, one for each stream to a speaker; time is a parameter. It is the only cushion on the way to such a
//! speaker: the ring before it holds 5 ms, and what it lacks for a moment the server waits for.

use super::super::BLOCK;
use std::time::{Duration, Instant};

/// What the server holds ahead of the speaker's own buffer and in it, samples: 10 ms.
pub(super) const LEAST: usize = BLOCK;
/// By how much it grows; half of it goes to the speaker's own buffer, as PulseAudio divides it.
const STEP: usize = BLOCK;
/// A machine that needs more than 50 ms needs fewer programs.
const MOST: usize = 5 * BLOCK;
/// It may run dry once in so long: that is no habit.
const FORGIVEN: Duration = Duration::from_secs(10);
/// What one pause of ours costs is told of several times, and counts once.
const ONE_EVENT: Duration = Duration::from_millis(200);
/// Without running dry for so long, it goes back by a step; at first, and at most after it did so in vain. Where it was not
/// in vain, the next time comes sooner again.
const CALM: Duration = Duration::from_secs(10);
const CALM_MOST: Duration = Duration::from_secs(480);

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
        let forgiven = since(self.dry) > FORGIVEN;
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

    #[test]
    fn a_server_that_runs_dry_again_gets_more_and_less_again_in_calm() {
        let start = Instant::now();
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let mut ahead = Ahead::new(start);
        assert_eq!(ahead.handle_dry(at(15.0)), None, "once is no habit");
        assert_eq!(ahead.handle_dry(at(15.1)), None, "the same pause");
        assert_eq!(ahead.handle_dry(at(30.0)), None, "long ago");
        assert_eq!(ahead.handle_dry(at(32.0)), Some(LEAST + STEP));
        assert_eq!(ahead.handle_dry(at(33.0)), Some(LEAST + 2 * STEP));
        assert_eq!(ahead.handle_time(at(42.0)), None);
        assert_eq!(ahead.handle_time(at(43.0)), Some(LEAST + STEP));
        assert_eq!(ahead.handle_time(at(44.0)), None);
        assert_eq!(ahead.handle_time(at(53.0)), Some(LEAST));
        assert_eq!(ahead.handle_time(at(900.0)), None, "never less than that");
        (0..100).for_each(|n| {
            assert!(ahead.handle_dry(at(1000.0 + f64::from(n))).is_none_or(|size| size <= MOST))
        });
    }

    #[test]
    fn a_server_that_runs_dry_at_once_gets_more_at_once() {
        let start = Instant::now();
        let mut ahead = Ahead::new(start);
        assert_eq!(ahead.handle_dry(start + Duration::from_secs(3)), Some(LEAST + STEP));
    }

    #[test]
    fn who_went_back_in_vain_waits_longer_before_the_next_time() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut ahead = Ahead::new(start);
        ahead.handle_dry(at(2));
        let mut now = 2;
        let mut waits = Vec::new();
        for _ in 0..8 {
            let before = now;
            while ahead.handle_time(at(now)).is_none() {
                now += 1;
            }
            waits.push(now - before);
            ahead.handle_dry(at(now + 1));
            now += 2;
            assert_eq!(ahead.handle_dry(at(now)), Some(LEAST + STEP));
        }
        assert_eq!(waits, [10, 20, 40, 80, 160, 320, 480, 480]);
        // The machine is left alone: it goes back, and what it learned of the bad times fades.
        let mut moves = Vec::new();
        for _ in 0..3 {
            let before = now;
            while ahead.handle_time(at(now)).is_none() && now - before < 2000 {
                now += 1;
            }
            moves.push(now - before);
            assert_eq!(ahead.handle_time(at(now + 3000)), None, "that is the least");
            ahead.handle_dry(at(now + 4000));
            now += 4001;
            assert_eq!(ahead.handle_dry(at(now)), Some(LEAST + STEP));
        }
        assert_eq!(moves, [480, 240, 120]);
    }
}
