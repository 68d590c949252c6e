//! Rate control of H.264: which quantizer makes a picture as large as the rate allows. Sans-IO: looks, sizes and
//! times in, quantizers out.
//!
//! Driven by [`super::h264::Encoder`] before and after each picture. A leaky bucket holds what was sent beyond the
//! rate; its level decides what the next picture may cost, so that what one picture overspends the next ones save,
//! and the rate holds over a second whatever the pictures are. How large a picture will be is foretold from those
//! before it: in H.264 the quantizer's step doubles every 6 (ITU-T H.264 section 8.5.9), and the logarithm of a
//! picture's size falls about linearly with it, with a slope that is learned, for noise vanishes at once where edges
//! fade slowly (the ρ-domain's observation: He, Mitra, "A unified rate-distortion analysis framework for transform
//! coding", 2001).

use super::coarseness::Coarseness;
use super::look::Look;
use std::time::{Duration, Instant};

/// A finer quantizer than this spends bits that no eye sees …
const FINEST: f64 = 18.0;
/// … nor does it this one where a large picture moves: the benches' clip of 1280×720 comes to 36.6 dB at 1.8 Mbit/s,
/// two dB above what Chromium makes of 2 Mbit/s. Coarser ones save little: of a participant's processor time two steps 3 %
/// and four 11 %, while SSIM falls from 0.94 to 0.91 and 0.88 …
const FINEST_MOVING: f64 = 26.0;
/// … large: of more pixels than this, as in a window that shows it as it is. A smaller one is enlarged on the screen, and
/// its bits are few …
const LARGE_PIXELS: f64 = 250_000.0;
/// … and a keyframe may begin coarser, for the pictures after it refine it.
const FINEST_KEYFRAME: f64 = 22.0;
/// The coarsest of H.264.
const COARSEST: f64 = 51.0;
/// The quantizer that the models' guesses are made for.
const REFERENCE: f64 = 30.0;
/// Bits per pixel of a keyframe at [`REFERENCE`] for each step of [`Look::detail`]; measured on camera-like pictures.
const KEYFRAME_BITS_PER_DETAIL: f64 = 0.125;
/// A first guess for the picture after a keyframe, as a share of the keyframe's bits at the same quantizer.
const FIRST_SHARE: f64 = 0.1;
/// What a keyframe may cost: so much time of the rate. It must not build up a longer queue than this.
const KEYFRAME_SECONDS: f64 = 0.14;
/// The same when the bucket is full already, so that a keyframe stays recognizable.
const KEYFRAME_SECONDS_LEAST: f64 = 0.07;
/// A keyframe that came out this much larger than allowed is made anew with a coarser quantizer.
const KEYFRAME_EXCESS: f64 = 1.3;
/// The bucket's content is spent back over this time, seconds.
const HORIZON: f64 = 0.4;
/// Unused rate that may be spent later, seconds of rate.
const CREDIT: f64 = 0.15;
/// With more than this in the bucket, in seconds of rate, a picture is skipped: the last resort, after cuts.
const SKIP_ABOVE: f64 = 0.4;
/// A picture may get so much of the plain share of the rate, at least and at most.
const SHARE: (f64, f64) = (0.2, 1.6);
/// The quantizer gets finer by no more than this from one picture to the next …
const FINER: f64 = 3.0;
/// … and by this where nothing changes: what is refined there comes all at once when its time has come.
const FINER_STILL: f64 = 1.0;
/// Changes below this are none.
const STILL: f64 = 0.3;
/// A picture that used less than this share of its budget counts as having used so much: nothing can be foretold from
/// pictures that are empty.
const LEAST_SHARE: f64 = 0.15;
/// A pause longer than this counts as this.
const PAUSE: Duration = Duration::from_secs(1);
/// Weight of the newest picture in the models.
const WEIGHT: f64 = 0.15;
/// Slope of log2(bits) per quantizer step that is taken for granted until the pictures show another …
const SLOPE: f64 = 1.0 / 6.0;
/// … within these bounds.
const SLOPES: (f64, f64) = (1.0 / 10.0, 1.0 / 1.5);
/// How much the assumed slope weighs against what was seen, in quantizer steps squared.
const SLOPE_PRIOR: f64 = 2.0;
/// The size follows the change to the picture before with this exponent: most of it is found again by the motion
/// search.
const CHANGE_EXPONENT: f64 = 0.7;
/// Sensor noise, added to changes before they are compared.
const CHANGE_FLOOR: f64 = 1.0;

/// What the sizes of one kind of picture depend on: log2(bits) around the mean of the last ones.
#[derive(Clone, Copy, Debug)]
struct Model {
    quantizer: f64,
    log_bits: f64,
    log_change: f64,
    /// Variance of the quantizer and covariance with the size.
    variance: f64,
    covariance: f64,
}

impl Model {
    fn new(quantizer: f64, bits: f64, change: f64) -> Self {
        Self {
            quantizer,
            log_bits: bits.max(1.0).log2(),
            log_change: change.log2(),
            variance: 0.0,
            covariance: 0.0,
        }
    }

    fn slope(&self) -> f64 {
        let seen = (-self.covariance + SLOPE * SLOPE_PRIOR) / (self.variance + SLOPE_PRIOR);
        seen.clamp(SLOPES.0, SLOPES.1)
    }

    /// The quantizer that makes a picture with this change so large.
    fn quantizer_for(&self, bits: f64, change: f64) -> f64 {
        let surplus = (change.log2() - self.log_change).clamp(-3.0, 4.0) * CHANGE_EXPONENT;
        self.quantizer + (self.log_bits + surplus - bits.max(1.0).log2()) / self.slope()
    }

    fn learn(&mut self, quantizer: f64, bits: f64, change: f64) {
        let surplus = (change.log2() - self.log_change).clamp(-3.0, 4.0) * CHANGE_EXPONENT;
        let log_bits = bits.max(1.0).log2() - surplus;
        let (dq, db) = (quantizer - self.quantizer, log_bits - self.log_bits);
        self.variance = (1.0 - WEIGHT) * (self.variance + WEIGHT * dq * dq);
        self.covariance = (1.0 - WEIGHT) * (self.covariance + WEIGHT * dq * db);
        self.quantizer += WEIGHT * dq;
        self.log_bits += WEIGHT * (bits.max(1.0).log2() - self.log_bits);
        self.log_change += WEIGHT * (change.log2() - self.log_change);
    }
}

/// What to do with a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Leave it out.
    Skip,
    /// Encode it with this quantizer.
    Encode(u8),
}

/// The rate control of one encoder.
#[derive(Debug)]
pub(crate) struct RateControl {
    pixels: f64,
    bits_per_second: f64,
    fps: f64,
    /// Bits beyond the rate; below zero: credit.
    bucket: f64,
    last: Option<Instant>,
    /// The quantizer of the last picture, before rounding.
    quantizer: f64,
    /// What rounding has left over.
    rounding: f64,
    keyframe: Option<Model>,
    inter: Option<Model>,
    coarseness: Coarseness,
}

impl RateControl {
    /// For pictures of so many pixels, `fps` a second; `backlog` is what was sent beyond the rate before, in seconds.
    pub(crate) fn new(pixels: f64, bits_per_second: f64, fps: f64, backlog: f64) -> Self {
        Self {
            pixels,
            bits_per_second,
            fps,
            bucket: backlog * bits_per_second,
            last: None,
            quantizer: REFERENCE,
            rounding: 0.0,
            keyframe: None,
            inter: None,
            coarseness: Coarseness::default(),
        }
    }

    /// Aims at another rate from the next picture on.
    pub(crate) fn set_rate(&mut self, bits_per_second: f64, fps: f64) {
        // What lies in the bucket takes longer to send at a lower rate, but it is not this rate's fault.
        if bits_per_second < self.bits_per_second {
            self.bucket *= bits_per_second / self.bits_per_second;
        }
        self.bits_per_second = bits_per_second;
        self.fps = fps;
    }

    /// What to do with a picture captured at `captured`.
    pub(crate) fn choose(&mut self, captured: Instant, keyframe: bool, look: &Look) -> Choice {
        self.drain(captured);
        if keyframe {
            let quantizer = self.keyframe_quantizer(look);
            self.rounding = 0.0;
            return Choice::Encode(quantizer.round() as u8);
        }
        if self.bucket > SKIP_ABOVE * self.bits_per_second {
            return Choice::Skip;
        }
        let budget = self.budget();
        let wished = match &self.inter {
            Some(model) => model.quantizer_for(budget, change(look)),
            None => {
                let guess = self.guess_keyframe_bits(look) * FIRST_SHARE;
                REFERENCE + (guess / budget).log2() / SLOPE
            }
        };
        let still = look.change.is_some_and(|change| change < STILL);
        let finer = if still { FINER_STILL } else { FINER };
        let finest = if still || self.pixels < LARGE_PIXELS { FINEST } else { FINEST_MOVING };
        self.quantizer = wished.max(self.quantizer - finer).clamp(finest, COARSEST);
        // Between two quantizers their mixture meets the rate.
        let rounded = (self.quantizer + self.rounding).round().clamp(finest, COARSEST);
        self.rounding = (self.quantizer + self.rounding - rounded).clamp(-0.5, 0.5);
        Choice::Encode(rounded as u8)
    }

    /// A coarser quantizer for a keyframe that came out too large; `None` if it may stay.
    pub(crate) fn again(&self, quantizer: u8, bits: f64) -> Option<u8> {
        let limit = self.keyframe_limit();
        if bits <= limit * KEYFRAME_EXCESS || f64::from(quantizer) >= COARSEST {
            return None;
        }
        let coarser = f64::from(quantizer) + ((bits / limit).log2() / SLOPE).ceil();
        Some(coarser.min(COARSEST) as u8)
    }

    /// A picture was encoded.
    pub(crate) fn handle_encoded(&mut self, keyframe: bool, quantizer: u8, bits: f64, look: &Look) {
        self.bucket += bits;
        let quantizer = f64::from(quantizer);
        if keyframe {
            // Detail is what a keyframe's size depends on, as change is with the others.
            let detail = look.detail + CHANGE_FLOOR;
            match &mut self.keyframe {
                Some(model) => model.learn(quantizer, bits, detail),
                None => self.keyframe = Some(Model::new(quantizer, bits, detail)),
            }
            self.quantizer = quantizer;
            return;
        }
        self.coarseness.add(quantizer);
        let bits = bits.max(LEAST_SHARE * self.bits_per_second / self.fps);
        let change = change(look);
        match &mut self.inter {
            Some(model) => model.learn(quantizer, bits, change),
            None => self.inter = Some(Model::new(quantizer, bits, change)),
        }
    }

    /// Mean quantizer of the last pictures, keyframes left out. `None` before there was one.
    pub(crate) fn coarseness(&self) -> Option<f64> {
        self.coarseness.mean()
    }

    /// What waits in the bucket, in seconds of the rate.
    pub(crate) fn backlog(&self) -> f64 {
        self.bucket.max(0.0) / self.bits_per_second
    }

    fn drain(&mut self, captured: Instant) {
        let passed = match self.last {
            Some(last) => captured.saturating_duration_since(last).min(PAUSE).as_secs_f64(),
            None => 0.0,
        };
        self.last = Some(self.last.map_or(captured, |last| last.max(captured)));
        self.bucket = (self.bucket - passed * self.bits_per_second).max(-CREDIT * self.bits_per_second);
    }

    fn budget(&self) -> f64 {
        // The share of this picture lies in the bucket already, as room: half a picture on the mean.
        let plain = self.bits_per_second / self.fps;
        plain * (1.0 - (self.bucket + plain) / (HORIZON * self.bits_per_second)).clamp(SHARE.0, SHARE.1)
    }

    fn keyframe_limit(&self) -> f64 {
        let seconds = (KEYFRAME_SECONDS - self.backlog() * 0.5).max(KEYFRAME_SECONDS_LEAST);
        seconds * self.bits_per_second
    }

    fn keyframe_quantizer(&self, look: &Look) -> f64 {
        let limit = self.keyframe_limit();
        let quantizer = match &self.keyframe {
            Some(model) => model.quantizer_for(limit, look.detail + CHANGE_FLOOR),
            None => REFERENCE + (self.guess_keyframe_bits(look) / limit).log2() / SLOPE,
        };
        quantizer.clamp(FINEST_KEYFRAME, COARSEST)
    }

    /// Bits of a keyframe at [`REFERENCE`].
    fn guess_keyframe_bits(&self, look: &Look) -> f64 {
        // A smaller picture of the same has more detail in each sample: about as the root of its scale.
        let scale = (look.pixels / self.pixels).max(1.0).sqrt();
        KEYFRAME_BITS_PER_DETAIL * look.detail.max(0.2) * scale.sqrt() * self.pixels
    }
}

fn change(look: &Look) -> f64 {
    look.change.unwrap_or(0.0) + CHANGE_FLOOR
}
