//! A camera and its encoder in virtual time: the real ladder, cadence and rate control, around pictures that are only
//! sizes.

use super::path::Random;
use crate::media::ports::VideoCodec;
use crate::media::video::cadence::Cadence;
use crate::media::video::frame::Size;
use crate::media::video::ladder::{Ladder, Rung, Situation};
use crate::media::video::look::Look;
use crate::media::video::quantizer::{Choice, RateControl};
use std::time::{Duration, Instant};

/// Bits per sample at quantizer 30 of a lively picture, and of a keyframe: those of the benches' clip.
const INTER_BITS: f64 = 0.07;
const KEYFRAME_BITS: f64 = 0.50;
/// Bits that a picture costs however coarse it is: headers, and a bit here and there.
const LEAST_BITS: f64 = 400.0;
/// While the path does not keep up, a picture leaves only so often.
const HELD_INTERVAL: Duration = Duration::from_millis(700);
const HELD_KEYFRAME_INTERVAL: Duration = Duration::from_millis(300);
const FIRST_BACKLOG: f64 = 0.2;
const SOURCE: Size = Size::HD;

/// A picture that was encoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Picture {
    pub(super) octets: usize,
    pub(super) keyframe: bool,
    pub(super) height: u32,
}

/// See the module.
pub(super) struct Camera {
    ladder: Ladder,
    cadence: Cadence,
    rate: Option<(Size, RateControl)>,
    random: Random,
    paused: bool,
    keyframe: bool,
    number: u32,
    last: Option<Instant>,
}

impl Camera {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            ladder: Ladder::default(),
            cadence: Cadence::default(),
            rate: None,
            random: Random::new(seed),
            paused: false,
            keyframe: true,
            number: 0,
            last: None,
        }
    }

    /// Something was thrown away, or somebody asked.
    pub(super) fn want_keyframe(&mut self) {
        self.keyframe = true;
    }

    /// A picture is captured: what the encoder makes of it at this rate, if anything.
    pub(super) fn capture(&mut self, now: Instant, bits_per_second: f64, held: bool) -> Option<Picture> {
        self.number += 1;
        if bits_per_second < 1.0 {
            self.paused = true;
            return None;
        }
        self.keyframe |= std::mem::take(&mut self.paused);
        let pixels = f64::from(SOURCE.width * SOURCE.height);
        let look = Look { detail: 4.0, change: Some(6.0), pixels, moving: 0.5 };
        let Rung { size, fps } = self.ladder.choose(
            &Situation {
                codec: VideoCodec::H264,
                source: SOURCE,
                bits_per_second: bits_per_second as u32,
                look,
                coarseness: self.rate.as_ref().and_then(|(_, rate)| rate.coarseness()),
                samples_per_second: f64::INFINITY,
                macroblocks: 3600,
                view: None,
            },
            now,
        );
        if !self.cadence.admit(now, fps) && !self.keyframe {
            return None;
        }
        let interval = if self.keyframe { HELD_KEYFRAME_INTERVAL } else { HELD_INTERVAL };
        if held && self.last.is_some_and(|last| now.saturating_duration_since(last) < interval) {
            return None;
        }
        self.last = Some(now);
        let measured = self.cadence.rate().unwrap_or(f64::from(fps)).clamp(1.0, f64::from(fps));
        let pixels = f64::from(size.width * size.height);
        let rate = match &mut self.rate {
            Some((present, rate)) if *present == size => {
                rate.set_rate(bits_per_second, measured);
                rate
            }
            slot => {
                let backlog = slot.as_ref().map_or(FIRST_BACKLOG, |(_, rate)| rate.backlog());
                self.keyframe = true;
                &mut slot.insert((size, RateControl::new(pixels, bits_per_second, measured, backlog))).1
            }
        };
        let keyframe = self.keyframe;
        let Choice::Encode(mut quantizer) = rate.choose(now, keyframe, &look) else { return None };
        // What is seen changes slowly, and a little from picture to picture.
        let lively = 1.0 + 0.3 * (f64::from(self.number) / 70.0).sin() + 0.3 * (self.random.share() - 0.5);
        let per_sample = if keyframe { KEYFRAME_BITS } else { INTER_BITS * lively };
        let size_at =
            |quantizer: u8| LEAST_BITS + pixels * per_sample * ((30.0 - f64::from(quantizer)) / 6.0).exp2();
        if keyframe && let Some(coarser) = rate.again(quantizer, size_at(quantizer)) {
            quantizer = coarser;
        }
        let bits = size_at(quantizer);
        rate.handle_encoded(keyframe, quantizer, bits, &look);
        self.keyframe = false;
        Some(Picture { octets: (bits / 8.0) as usize, keyframe, height: size.height })
    }
}
