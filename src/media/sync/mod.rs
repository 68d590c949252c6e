//! Sound and picture at the same time (lip sync), and the remote's clock. Sans-IO.
//!
//! Driven by the video receiver, which sees both: its own pictures, and what the speaker is at, by
//! [`super::reception::Reception`]. Sender reports (RFC 3550 section 6.4.1) tell which capture time an RTP timestamp
//! means; how much later than the sound the picture of the same moment is shown is the *skew*. It is kept where nobody
//! notices it by holding back what comes earlier, within bounds: a conversation suffers from delay sooner than from
//! lips.

mod clock;

pub(crate) use clock::RemoteClock;

use super::ntp;
use super::reception::{ClockReport, SoundPosition};
use std::time::{Duration, Instant};

/// Clock of video timestamps.
pub(crate) const VIDEO_HZ: u32 = 90_000;
/// Clock of Opus timestamps (RFC 7587 section 4.1).
const AUDIO_HZ: u32 = 48_000;
/// Sound may be ahead of the picture this much before it is noticed (ITU-R BT.1359-1: detectability).
const SOUND_AHEAD: i64 = 45_000;
/// And behind it this much (the same).
const SOUND_BEHIND: i64 = -125_000;
/// What a correction aims at, within those, so that it does not end at their edge.
const AIM: (i64, i64) = (-100_000, 30_000);
/// Longest holding back of the sound for the picture's sake.
const MAX_SOUND_HOLD: Duration = Duration::from_millis(120);
/// Longest holding back of the picture for the sound's sake.
const MAX_PICTURE_HOLD: Duration = Duration::from_millis(150);
/// One correction changes a hold by this much at most, so that the playout can follow without a jump.
const MAX_STEP: i64 = 20_000;
/// A hold that is not needed is given back in steps of this.
const RELAX_STEP: i64 = 4_000;
/// Corrections wait for each other: what one does must be measured before the next.
const INTERVAL: Duration = Duration::from_millis(500);
/// Weight of a new measurement of the skew.
const WEIGHT: f64 = 0.25;
/// A skew beyond this is two clocks that have nothing to do with each other, microseconds.
const PLAUSIBLE: i64 = 5_000_000;

/// The capture time, in the sender's clock, of what has this RTP timestamp.
pub(crate) fn capture_ntp(report: &ClockReport, rtp_timestamp: u32, clock_hz: u32) -> u64 {
    let ticks = i64::from(rtp_timestamp.wrapping_sub(report.rtp_timestamp) as i32);
    ntp::shifted(report.ntp, ticks * 1_000_000 / i64::from(clock_hz))
}

/// The capture time of what the speaker is at, if its clock is known.
pub(crate) fn sound_ntp(report: Option<ClockReport>, sound: &SoundPosition) -> Option<u64> {
    let report = report.filter(|report| report.ssrc == sound.ssrc)?;
    Some(capture_ntp(&report, sound.rtp_timestamp, AUDIO_HZ))
}

/// How long to hold back whom.
#[derive(Debug, Default)]
pub(crate) struct LipSync {
    /// Smoothed, microseconds: positive when the picture is later than its sound.
    skew: Option<f64>,
    sound_hold: Duration,
    picture_hold: Duration,
    corrected: Option<Instant>,
}

impl LipSync {
    /// How long sound is to be held back beyond its own needs.
    pub(crate) fn sound_hold(&self) -> Duration {
        self.sound_hold
    }

    /// How long pictures are to be held back beyond their own needs.
    pub(crate) fn picture_hold(&self) -> Duration {
        self.picture_hold
    }

    /// The skew, if both sides were measured: positive when the picture is later than its sound, microseconds.
    pub(crate) fn skew_micros(&self) -> Option<i64> {
        self.skew.map(|skew| skew as i64)
    }

    /// Takes a measurement: a picture captured at `picture.0` was shown at `picture.1`; sound captured at `sound.0`
    /// was heard at `sound.1`.
    pub(crate) fn handle_positions(&mut self, now: Instant, picture: (u64, Instant), sound: (u64, Instant)) {
        let shown_later = signed_micros(picture.1, sound.1);
        let captured_later = ntp::difference_micros(picture.0, sound.0);
        let skew = shown_later.saturating_sub(captured_later);
        if skew.abs() > PLAUSIBLE {
            *self = Self::default();
            return;
        }
        let skew = skew as f64;
        self.skew = Some(self.skew.map_or(skew, |old| old + WEIGHT * (skew - old)));
        let due = self.corrected.is_none_or(|at| now.saturating_duration_since(at) >= INTERVAL);
        if due {
            self.corrected = Some(now);
            self.correct();
        }
    }

    /// There is no sound, or no picture, to agree with: nothing is held back.
    pub(crate) fn release(&mut self) {
        *self = Self::default();
    }

    fn correct(&mut self) {
        let Some(skew) = self.skew else { return };
        let skew = skew as i64;
        // Later by: positive moves the sound back, negative the picture. Whoever is held back already is let go first.
        let by = if skew > SOUND_AHEAD {
            (skew - AIM.1).min(MAX_STEP)
        } else if skew < SOUND_BEHIND {
            (skew - AIM.0).max(-MAX_STEP)
        } else {
            self.relax(skew);
            return;
        };
        let (give, take, limit) = if by > 0 {
            (&mut self.picture_hold, &mut self.sound_hold, MAX_SOUND_HOLD)
        } else {
            (&mut self.sound_hold, &mut self.picture_hold, MAX_PICTURE_HOLD)
        };
        let by = Duration::from_micros(by.unsigned_abs());
        let given = by.min(*give);
        *give -= given;
        *take = (*take + (by - given)).min(limit);
    }

    /// Gives a hold back as far as nobody will notice.
    fn relax(&mut self, skew: i64) {
        let sound = (AIM.1 - skew).clamp(0, RELAX_STEP);
        let picture = (skew - AIM.0).clamp(0, RELAX_STEP);
        self.sound_hold = self.sound_hold.saturating_sub(Duration::from_micros(sound.unsigned_abs()));
        self.picture_hold = self.picture_hold.saturating_sub(Duration::from_micros(picture.unsigned_abs()));
    }
}

/// `later` − `earlier` in microseconds.
pub(crate) fn signed_micros(later: Instant, earlier: Instant) -> i64 {
    match later.checked_duration_since(earlier) {
        Some(after) => after.as_micros() as i64,
        None => -(earlier.duration_since(later).as_micros() as i64),
    }
}

#[cfg(test)]
mod tests;
