//! [`Reception`]: what transport, playout and the video receiver tell one another about what arrives.
//!
//! Each value has one writer and is read by whoever needs it; newest wins, nobody waits. Lives beside
//! [`super::ports::SendControl`], which hands it out.

use super::video::latest::Latest;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Missing packets that may be asked for until the first keyframe has shown what a keyframe costs.
const DEFAULT_REPAIR_LIMIT: u32 = 200;

/// The clock of a remote stream, from a sender report (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockReport {
    /// Whose it is.
    pub ssrc: u32,
    /// NTP 64-bit time in the sender's clock, at which ...
    pub ntp: u64,
    /// ... this was the RTP timestamp.
    pub rtp_timestamp: u32,
    /// When the report left the socket here.
    pub arrived: Instant,
}

/// What the speaker is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoundPosition {
    /// Whose sound it is.
    pub ssrc: u32,
    /// RTP timestamp (48 kHz) of the sample that is heard at ...
    pub rtp_timestamp: u32,
    /// ... this time.
    pub at: Instant,
}

/// The first packet of a video stream that is still of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// The stream.
    pub ssrc: u32,
    /// Sequence number: what is missing before it is no longer wanted.
    pub sequence: u16,
}

/// See the module.
#[derive(Debug)]
pub struct Reception {
    /// Written by the transport. 0: not measured.
    rtt_us: AtomicU32,
    /// Written by the transport.
    audio_clock: Latest<ClockReport>,
    /// Written by the transport.
    video_clock: Latest<ClockReport>,
    /// Written by the audio playout.
    sound: Latest<SoundPosition>,
    /// Written by the video receiver, for the audio playout.
    sound_hold_us: AtomicU32,
    /// Written by the video receiver: SSRC and sequence number with a mark that they are set.
    horizon: AtomicU64,
    /// Written by the video receiver.
    repair_limit: AtomicU32,
}

impl Default for Reception {
    fn default() -> Self {
        Self {
            rtt_us: AtomicU32::new(0),
            audio_clock: Latest::new(),
            video_clock: Latest::new(),
            sound: Latest::new(),
            sound_hold_us: AtomicU32::new(0),
            horizon: AtomicU64::new(0),
            repair_limit: AtomicU32::new(DEFAULT_REPAIR_LIMIT),
        }
    }
}

/// Marks a horizon that is set.
const SET: u64 = 1 << 63;

impl Reception {
    /// Round-trip time, if measured.
    pub fn rtt(&self) -> Option<Duration> {
        match self.rtt_us.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Duration::from_micros(u64::from(micros))),
        }
    }

    /// Sets the round-trip time in microseconds; 0 = not measured.
    pub fn set_rtt_us(&self, micros: u32) {
        self.rtt_us.store(micros, Ordering::Relaxed);
    }

    /// The newest clock report of the remote's sound.
    pub fn audio_clock(&self) -> Option<ClockReport> {
        self.audio_clock.peek()
    }

    /// Sets it.
    pub fn set_audio_clock(&self, report: ClockReport) {
        self.audio_clock.publish(report);
    }

    /// The newest clock report of the remote's picture.
    pub fn video_clock(&self) -> Option<ClockReport> {
        self.video_clock.peek()
    }

    /// Sets it.
    pub fn set_video_clock(&self, report: ClockReport) {
        self.video_clock.publish(report);
    }

    /// What the speaker is at.
    pub fn sound(&self) -> Option<SoundPosition> {
        self.sound.peek()
    }

    /// Sets it.
    pub fn set_sound(&self, position: SoundPosition) {
        self.sound.publish(position);
    }

    /// How much longer sound is to be held back than its own jitter asks for, so that lips and voice agree.
    pub fn sound_hold(&self) -> Duration {
        Duration::from_micros(u64::from(self.sound_hold_us.load(Ordering::Relaxed)))
    }

    /// Sets it; in whole microseconds.
    pub fn set_sound_hold(&self, hold: Duration) {
        self.sound_hold_us.store(u32::try_from(hold.as_micros()).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// What the picture has given up.
    pub fn horizon(&self) -> Option<Horizon> {
        let value = self.horizon.load(Ordering::Relaxed);
        (value & SET != 0).then_some(Horizon { ssrc: (value >> 16) as u32, sequence: value as u16 })
    }

    /// Sets it.
    pub fn set_horizon(&self, horizon: Horizon) {
        let value = SET | u64::from(horizon.ssrc) << 16 | u64::from(horizon.sequence);
        self.horizon.store(value, Ordering::Relaxed);
    }

    /// More missing packets than this are not repaired: a keyframe is quicker.
    pub fn repair_limit(&self) -> usize {
        self.repair_limit.load(Ordering::Relaxed) as usize
    }

    /// Sets it.
    pub fn set_repair_limit(&self, packets: usize) {
        self.repair_limit.store(u32::try_from(packets).unwrap_or(u32::MAX), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_horizon_is_kept_whole() {
        let reception = Reception::default();
        assert_eq!(reception.horizon(), None);
        for horizon in [Horizon { ssrc: u32::MAX, sequence: u16::MAX }, Horizon { ssrc: 0, sequence: 0 }] {
            reception.set_horizon(horizon);
            assert_eq!(reception.horizon(), Some(horizon));
        }
    }
}
