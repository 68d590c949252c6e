//! Shares the estimate between sound and picture: sound first. Sans-IO.

/// Below this estimate, which is what sound alone takes, there is only sound, bits per second …
const VIDEO_OFF_BELOW: f64 = 50_000.0;
/// … and pictures come back above this. Between the two the estimate of a path of 100 kbit/s falls for a moment whenever
/// it has found the limit; pictures that went with each of these would be gone for seconds.
const VIDEO_ON_ABOVE: f64 = 60_000.0;
/// Opus targets, bits per second, by estimate.
const AUDIO_LOW: f64 = 24_000.0;
const AUDIO_NORMAL: f64 = 32_000.0;
const AUDIO_HIGH: f64 = 48_000.0;
const AUDIO_LOW_BELOW: f64 = 120_000.0;
const AUDIO_HIGH_ABOVE: f64 = 400_000.0;
/// Headers of 50 sound packets a second: 60 octets each.
const AUDIO_OVERHEAD: f64 = 50.0 * 60.0 * 8.0;
/// Share of the video rate that its packets' headers take: about 70 octets to 1 150.
const VIDEO_OVERHEAD: f64 = 0.06;

/// Most of the pictures' share that repairs may take from it.
const MAX_REPAIRS: f64 = 0.5;
/// Size of a parity by that of a packet: it is as long as the longest that it covers, and has a header of its own.
const PARITY_SIZE: f64 = 1.1;

/// Targets of the encoders, bits per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::peer) struct Shares {
    pub(in crate::peer) audio: f64,
    /// 0: no picture.
    pub(in crate::peer) video: f64,
}

/// See the module.
#[derive(Debug)]
pub(in crate::peer) struct Allocation {
    video: bool,
}

impl Default for Allocation {
    fn default() -> Self {
        Self { video: true }
    }
}

impl Allocation {
    /// The targets for this estimate, of which `now` may be sent at present and repairs take `repairs` (all in bits per
    /// second). `parities` are made for each packet of a picture, 0 to 1.
    pub(in crate::peer) fn shares(&mut self, estimate: f64, now: f64, repairs: f64, parities: f64) -> Shares {
        if estimate < VIDEO_OFF_BELOW {
            self.video = false;
        } else if estimate > VIDEO_ON_ABOVE {
            self.video = true;
        }
        let audio = if estimate < AUDIO_LOW_BELOW {
            AUDIO_LOW
        } else if estimate > AUDIO_HIGH_ABOVE {
            AUDIO_HIGH
        } else {
            AUDIO_NORMAL
        };
        let rest = (now.min(estimate) - audio - AUDIO_OVERHEAD).max(0.0);
        let rest = rest - repairs.min(rest * MAX_REPAIRS);
        let rest = rest / (1.0 + parities * PARITY_SIZE);
        Shares { audio, video: if self.video { rest * (1.0 - VIDEO_OVERHEAD) } else { 0.0 } }
    }
}
