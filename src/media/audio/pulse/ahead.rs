//! How much sound the server is asked to hold: little where it is given sound in time, more where it ran dry.
//!
//! Driven by `link`, one for each stream to a speaker; time is a parameter. It is the only cushion on the way to such a
//! speaker: the ring before it holds 5 ms, and what it lacks for a moment the server waits for.
//!
//! What a server asks for it mostly has after 0.1 ms. A stream runs dry where a machine stands still for a moment, or the
//! server itself is late: then it takes several times at once what its device takes.

use super::super::BLOCK;
use super::buffers::Hold;
use std::time::{Duration, Instant};

/// What it may be, the least first: 10, 15, 20, 30 and 40 ms. Each lets an answer take longer than the one before it (7.5 to
/// 30 ms), which is not so of all sizes: what the device takes at once grows with them, and must be there at once. With 10
/// ms in requests of 5 ms the device would take half a millisecond at once, 2000 times a second. A machine that needs more
/// than the last needs fewer programs.
const HOLDS: [Hold; 5] = [
    Hold { target: BLOCK, request: BLOCK / 4 },
    Hold { target: BLOCK * 3 / 2, request: BLOCK / 2 },
    Hold { target: 2 * BLOCK, request: BLOCK / 2 },
    Hold { target: 3 * BLOCK, request: BLOCK / 2 },
    Hold { target: 4 * BLOCK, request: BLOCK },
];
/// What a stream begins with.
pub(super) const LEAST: Hold = HOLDS[0];
/// It may run dry once in so long: that is no habit. But not so soon after a step back, which was made on trial.
const FORGIVEN: Duration = Duration::from_secs(20);
/// What one pause of ours costs is told of several times, and counts once.
const ONE_EVENT: Duration = Duration::from_millis(200);
/// Twice in so long, and the machine stands still again and again, as it does while something starts or is written out: two
/// steps, for a third time would be heard as a run of them.
const RUN: Duration = Duration::from_secs(10);
const STEPS_IN_RUN: usize = 2;
/// After so long at least a server that is to hold more has it, and its device may take more at once.
const FILLED: Duration = Duration::from_millis(200);
/// Without running dry for so long, it goes back by a step; at first, and at most after it did so in vain. Where it was not
/// in vain, the next time comes sooner again. At most: a step in vain costs a moment of silence, and a cushion that
/// remembered longer than some minutes would hold in the second hour what a disturbance of the first one needed. At first:
/// whoever goes back much sooner holds less in the first minutes of a call than in the rest of it.
const CALM: Duration = Duration::from_secs(60);
const CALM_MOST: Duration = Duration::from_secs(180);

/// What a stream's buffer is and how it came to that.
#[derive(Debug)]
pub(super) struct Ahead {
    /// Which of [`HOLDS`].
    level: usize,
    /// What the server was told: that, or what leads to it.
    hold: Hold,
    /// When it last ran dry; at first, when it began: a machine of which nothing is known yet is forgiven nothing.
    dry: Instant,
    /// It has run dry at all.
    ran_dry: bool,
    changed: Instant,
    calm: Duration,
    /// The last change was a step back.
    lowered: bool,
}

impl Ahead {
    pub(super) fn new(now: Instant) -> Self {
        Self { level: 0, hold: LEAST, dry: now, ran_dry: false, changed: now, calm: CALM, lowered: false }
    }

    /// What the server is to hold, at present.
    pub(super) fn hold(&self) -> Hold {
        self.hold
    }

    /// The server ran dry. Gives what it is to hold from now on, if that is something else.
    pub(super) fn handle_dry(&mut self, now: Instant) -> Option<Hold> {
        let since = |moment: Instant| now.saturating_duration_since(moment);
        if since(self.dry) < ONE_EVENT {
            return None;
        }
        let on_trial = self.lowered && since(self.changed) < FORGIVEN;
        let forgiven = !on_trial && since(self.dry) > FORGIVEN;
        // When it began it was not dry, whatever it knew.
        let in_run = self.ran_dry && since(self.dry) < RUN;
        (self.dry, self.ran_dry) = (now, true);
        let level = (self.level + if in_run { STEPS_IN_RUN } else { 1 }).min(HOLDS.len() - 1);
        if forgiven || level == self.level {
            return None;
        }
        if self.lowered {
            self.calm = (self.calm * 2).min(CALM_MOST);
        }
        Some(self.change(level, now))
    }

    /// Time has passed. Gives what the server is to hold from now on, if that is something else.
    pub(super) fn handle_time(&mut self, now: Instant) -> Option<Hold> {
        let since = |moment: Instant| now.saturating_duration_since(moment);
        if self.hold != HOLDS[self.level] && since(self.changed) >= FILLED {
            self.hold = HOLDS[self.level];
            return Some(self.hold);
        }
        if since(self.dry.max(self.changed)) < self.calm {
            return None;
        }
        if std::mem::take(&mut self.lowered) {
            self.calm = (self.calm / 2).max(CALM);
        }
        (self.level > 0).then(|| self.change(self.level - 1, now))
    }

    fn change(&mut self, level: usize, now: Instant) -> Hold {
        self.lowered = level < self.level;
        (self.level, self.changed) = (level, now);
        self.hold = HOLDS[level].filling_from(self.hold);
        self.hold
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

    /// Seconds from `from` on until it goes back, if it does within half an hour, and to which level.
    fn until_back(ahead: &mut Ahead, at: impl Fn(f64) -> Instant, from: f64) -> Option<(f64, usize)> {
        let before = ahead.level;
        (0..1800).map(f64::from).find_map(|n| {
            ahead.handle_time(at(from + n))?;
            (ahead.level < before).then_some((n, ahead.level))
        })
    }

    /// To which level it goes, if to another.
    fn level_after_dry(ahead: &mut Ahead, now: Instant) -> Option<usize> {
        ahead.handle_dry(now).map(|_| ahead.level)
    }

    fn milliseconds(samples: usize) -> f64 {
        samples as f64 / 48.0
    }

    /// What the device takes at once, and what is kept ready for it, milliseconds.
    fn divided(hold: Hold) -> (f64, f64) {
        (milliseconds(hold.block()), milliseconds(hold.target - hold.block()))
    }

    /// How long an answer may take before the device finds nothing, milliseconds, if the server is in time itself.
    fn patience(hold: Hold) -> f64 {
        let (block, ready) = divided(hold);
        let taken = (milliseconds(hold.request) / block).ceil() * block;
        (((ready - taken) / block).floor() + 1.0) * block
    }

    #[test]
    fn more_sound_lets_an_answer_take_longer_and_the_server_be_later() {
        assert_eq!(HOLDS.map(|hold| divided(hold).0), [2.5, 2.5, 5.0, 10.0, 10.0]);
        assert_eq!(HOLDS.map(|hold| divided(hold).1), [7.5, 12.5, 15.0, 20.0, 30.0]);
        assert_eq!(HOLDS.map(patience), [7.5, 10.0, 15.0, 20.0, 30.0]);
        // What these sizes avoid: an answer may take no longer with 40 ms in requests of 5 ms than with 20 ms.
        assert_eq!(patience(Hold { target: 4 * BLOCK, request: BLOCK / 2 }), 15.0);
    }

    #[test]
    fn a_server_that_runs_dry_again_gets_more_and_less_again_in_calm() {
        let (start, at) = clock();
        let mut ahead = Ahead::new(start);
        assert_eq!(ahead.handle_dry(at(25.0)), None, "once is no habit");
        assert_eq!(ahead.handle_dry(at(25.1)), None, "the same pause");
        assert_eq!(ahead.handle_dry(at(50.0)), None, "long ago");
        assert_eq!(level_after_dry(&mut ahead, at(65.0)), Some(1));
        assert_eq!(level_after_dry(&mut ahead, at(80.0)), Some(2));
        assert_eq!(until_back(&mut ahead, &at, 80.0), Some((60.0, 1)));
        assert_eq!(until_back(&mut ahead, &at, 140.0), Some((60.0, 0)));
        assert_eq!(until_back(&mut ahead, &at, 200.0), None, "never less than that");
        (0..100).for_each(|n| _ = ahead.handle_dry(at(9000.0 + f64::from(n))));
        assert_eq!(ahead.level, HOLDS.len() - 1, "never more than that");
    }

    #[test]
    fn the_device_takes_more_at_once_only_when_the_server_has_more() {
        let (start, at) = clock();
        for (before, after) in
            (0..HOLDS.len()).flat_map(|after| (0..after).map(move |before| (before, after)))
        {
            let mut ahead = Ahead::new(start);
            (ahead.level, ahead.hold) = (before, HOLDS[before]);
            let filling = ahead.change(after, at(0.0));
            assert_eq!(filling, ahead.hold());
            assert_eq!(
                (filling.target, filling.block()),
                (HOLDS[after].target, HOLDS[before].block().min(HOLDS[after].block()))
            );
            // The server has so much ready at least when the device begins to take more.
            let least = filling.target - filling.block() - filling.request;
            assert!(least >= HOLDS[after].block(), "{before} to {after}");
            assert_eq!(ahead.handle_time(at(0.1)), None);
            let full = ahead.handle_time(at(0.3));
            assert_eq!(full, (filling != HOLDS[after]).then_some(HOLDS[after]));
            assert_eq!(ahead.handle_time(at(0.4)), None);
        }
    }

    #[test]
    fn a_server_that_runs_dry_at_once_gets_more_at_once() {
        let (start, at) = clock();
        let mut ahead = Ahead::new(start);
        assert_eq!(level_after_dry(&mut ahead, at(3.0)), Some(1));
    }

    #[test]
    fn what_runs_dry_twice_in_short_gets_two_steps_more() {
        let (start, at) = clock();
        let mut ahead = Ahead::new(start);
        assert_eq!(ahead.handle_dry(at(100.0)), None);
        assert_eq!(level_after_dry(&mut ahead, at(104.0)), Some(2));
        assert_eq!(level_after_dry(&mut ahead, at(105.0)), Some(4));
        assert_eq!(ahead.handle_dry(at(106.0)), None, "never more than that");
    }

    #[test]
    fn who_went_back_in_vain_waits_longer_before_the_next_time() {
        let (start, at) = clock();
        let mut ahead = Ahead::new(start);
        ahead.handle_dry(at(2.0));
        let mut now = 2.0;
        let mut waits = Vec::new();
        for _ in 0..6 {
            let (wait, _) = until_back(&mut ahead, &at, now).unwrap();
            waits.push(wait);
            now += wait + 1.0;
            assert_eq!(level_after_dry(&mut ahead, at(now)), Some(1), "what was enough before, at once");
        }
        assert_eq!(waits, [60.0, 120.0, 180.0, 180.0, 180.0, 180.0]);
    }

    #[test]
    fn a_step_back_that_went_well_for_a_while_is_forgiven_like_any_other() {
        let (start, at) = clock();
        let mut ahead = Ahead::new(start);
        ahead.handle_dry(at(2.0));
        assert_eq!(until_back(&mut ahead, &at, 2.0), Some((60.0, 0)));
        assert_eq!(ahead.handle_dry(at(90.0)), None);
        assert_eq!(level_after_dry(&mut ahead, at(105.0)), Some(1));
    }

    #[test]
    fn what_a_bad_hour_taught_is_forgotten_in_minutes() {
        let (start, at) = clock();
        let mut ahead = Ahead::new(start);
        let most = HOLDS.len() - 1;
        let mut now = 0.0;
        while now < 3600.0 {
            now += 1.0;
            // Nothing but the most is enough.
            if ahead.handle_time(at(now)).is_some() || ahead.level < most {
                ahead.handle_dry(at(now + 1.0));
                ahead.handle_dry(at(now + 2.0));
                now += 2.0;
            }
        }
        assert_eq!((ahead.level, ahead.calm), (most, CALM_MOST));
        let began = now;
        while ahead.level > 0 {
            now += 1.0;
            ahead.handle_time(at(now));
        }
        assert!(now - began < 600.0, "{} s", now - began);
    }
}
