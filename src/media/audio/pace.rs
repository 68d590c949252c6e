//! How often, and how far ahead: the clock of sources and sinks that have none, and the sound kept ready for a speaker.
//!
//! Driven by the `audio` thread; time is a parameter.

use super::BLOCK;
use super::ring::Health;
use std::time::{Duration, Instant};

/// Length of a block.
pub(crate) const BLOCK_TIME: Duration = Duration::from_millis(10);
/// A timer that fell behind this much (the machine slept) starts anew instead of catching up.
const MAX_BEHIND: Duration = Duration::from_secs(10);
/// Sound kept ready for the speaker beyond its largest callback, samples: 1 ms for a thread that is woken late.
const CUSHION: usize = 48;
/// Grows by a step with every underrun and shrinks again, a step at a time, without one.
const CUSHION_STEP: usize = 240;
const CUSHION_MAX: usize = 2880;
const CUSHION_CALM: Duration = Duration::from_secs(20);
/// What a device takes at once is looked at in stretches of 0.5 s, 20 s of them. What happened in three of them is its
/// habit; once is a machine that stumbled, and more sound ahead would not have helped.
const CUSHION_LOOK: Duration = Duration::from_millis(500);
const CUSHION_LOOKS: usize = 40;
const HABIT: usize = 3;
/// Up to so many frames, what happened in this stretch or the one before it counts as well.
const HASTY: usize = 2 * BLOCK;

/// Counts the blocks that are due.
pub(crate) struct Timer {
    start: Instant,
    blocks: u32,
}

impl Timer {
    pub(crate) fn new(start: Instant) -> Self {
        Self { start, blocks: 0 }
    }

    /// When the next block was due, if it was; call until it is not.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Instant> {
        let mut next = self.start + BLOCK_TIME * self.blocks;
        if next > now {
            return None;
        }
        if now.saturating_duration_since(next) > MAX_BEHIND || self.blocks == u32::MAX {
            *self = Self::new(now);
            next = now;
        }
        self.blocks += 1;
        Some(next)
    }
}

/// How much sound a speaker's ring is kept filled with.
pub(crate) struct Cushion {
    extra: usize,
    glitched: u64,
    changed: Instant,
    /// Largest callback in each stretch of [`CUSHION_LOOK`], frames, as a ring.
    largest: [u16; CUSHION_LOOKS],
    at: usize,
    looked: Instant,
}

impl Cushion {
    pub(crate) fn new(now: Instant) -> Self {
        Self { extra: CUSHION, glitched: 0, changed: now, largest: [0; CUSHION_LOOKS], at: 0, looked: now }
    }

    /// Frames that the device takes at once these days.
    pub(crate) fn at_once(&mut self, health: &Health, now: Instant) -> usize {
        let largest = u16::try_from(health.largest()).unwrap_or(u16::MAX);
        self.largest[self.at] = self.largest[self.at].max(largest);
        let before = (self.at + CUSHION_LOOKS - 1) % CUSHION_LOOKS;
        let recent = self.largest[self.at].max(self.largest[before]);
        let mut sorted = self.largest;
        let (_, habit, _) = sorted.select_nth_unstable_by(HABIT - 1, |a, b| b.cmp(a));
        let at_once = usize::from(recent).min(HASTY).max(usize::from(*habit));
        if now.saturating_duration_since(self.looked) > CUSHION_LOOK {
            self.looked = now;
            self.at = (self.at + 1) % CUSHION_LOOKS;
            self.largest[self.at] = 0;
            health.take_largest();
        }
        at_once
    }

    /// Samples to hold beyond that.
    pub(crate) fn adapt(&mut self, glitched: u64, now: Instant) -> usize {
        if glitched != std::mem::replace(&mut self.glitched, glitched) {
            self.extra = (self.extra + CUSHION_STEP).min(CUSHION_MAX);
            self.changed = now;
        } else if now.saturating_duration_since(self.changed) > CUSHION_CALM {
            self.extra = self.extra.saturating_sub(CUSHION_STEP).max(CUSHION);
            self.changed = now;
        }
        self.extra
    }
}

#[cfg(test)]
mod tests {
    use super::super::ring;
    use super::*;

    #[test]
    fn a_timer_gives_every_block_once_and_starts_anew_after_the_machine_slept() {
        let start = Instant::now();
        let mut timer = Timer::new(start);
        let due = |timer: &mut Timer, ms: u64| {
            std::iter::from_fn(|| timer.due(start + Duration::from_millis(ms))).count()
        };
        assert_eq!((due(&mut timer, 35), due(&mut timer, 39), due(&mut timer, 40)), (4, 0, 1));
        assert_eq!(due(&mut timer, 60_000), 1, "a minute of sleep is not made up for");
    }

    #[test]
    fn a_speaker_that_stumbles_gets_more_sound_ahead_and_less_again_in_calm() {
        let start = Instant::now();
        let mut cushion = Cushion::new(start);
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        assert_eq!(cushion.adapt(0, at(0)), CUSHION);
        assert_eq!(cushion.adapt(10, at(1)), CUSHION + CUSHION_STEP);
        assert_eq!(cushion.adapt(20, at(2)), CUSHION + 2 * CUSHION_STEP);
        assert_eq!(cushion.adapt(20, at(21)), CUSHION + 2 * CUSHION_STEP);
        assert_eq!(cushion.adapt(20, at(23)), CUSHION + CUSHION_STEP);
        assert_eq!(cushion.adapt(20, at(44)), CUSHION);
        assert_eq!(cushion.adapt(20, at(90)), CUSHION);
        (21..200).for_each(|glitch| assert!(cushion.adapt(glitch, at(91)) <= CUSHION_MAX));
    }

    #[test]
    fn what_a_speaker_takes_at_once_is_its_habit_and_no_accident() {
        let start = Instant::now();
        let (mut writer, mut to_device, health) = ring::playback(48_000, 1);
        let mut cushion = Cushion::new(start);
        let mut ask = |frames: usize, seconds: f64| {
            writer.push(&vec![0.1; frames]);
            to_device.pop(&mut vec![0.0f32; frames]);
            cushion.at_once(&health, start + Duration::from_secs_f64(seconds))
        };
        ask(10, 0.0);
        assert_eq!(ask(960, 0.1), 960, "at once, up to that");
        let mut now = 0.1;
        let mut ask_for = |frames: usize, seconds: f64| {
            let end = now + seconds;
            let mut last = 0;
            while now < end {
                now += 0.05;
                last = ask(frames, now);
            }
            last
        };
        assert_eq!(ask_for(240, 2.0), 240, "what it took at its start is forgotten");
        ask_for(7200, 0.05);
        assert_eq!(ask_for(240, 2.0), 240, "a stumble");
        assert_eq!(ask_for(2048, 2.5), 2048, "a device of another kind");
        assert_eq!(ask_for(240, 15.0), 2048, "it may do so again");
        assert_eq!(ask_for(240, 10.0), 240);
    }
}
