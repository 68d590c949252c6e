//! What is done to a microphone's sound before it is sent: echo cancellation, noise suppression, automatic gain.
//!
//! Driven by the `audio` thread: [`Processing::render`] hears every block of 10 ms that is given to the speaker,
//! [`Processing::capture`] cleans every frame of 20 ms that came from the microphone, the same that is then encoded, so
//! that nothing waits for a frame twice. It holds no device and reads no clock. The algorithms are those of WebRTC's audio
//! processing module (AEC3, the Wiener-filter noise suppressor and AGC2), in Rust, by the `sonora` crates; how they are
//! put together and tuned is ours. The gain is digital: nothing here touches the system's volume.
//!
//! Speaker and microphone may be two devices whose clocks drift apart, and an adaptive filter that has to follow a
//! growing delay cancels little (at 200 ppm about 20 dB less). So [`Drift`] measures both clocks, and the reference is
//! converted to the microphone's before the canceller hears it.

mod canceller;
mod drift;
mod high_pass;
mod noise;
#[cfg(test)]
mod room;
#[cfg(test)]
mod tests;

use super::resample::Resampler;
use super::{BLOCK, FRAME, SAMPLE_RATE};
use crate::config::SoundProcessing;
use canceller::Canceller;
pub use drift::Drift;
use high_pass::HighPass;
use noise::{Noise, PART};
use sonora::config::{AdaptiveDigital, GainController2, MaxProcessingRate, Pipeline};
use sonora::three_band_filter_bank::ThreeBandFilterBank;
use sonora::{AudioProcessing, Config, StreamConfig};
pub use sonora_ns::config::SuppressionLevel;

/// 20 ms in bands of 16 kHz, the lowest first, in the scale of 16 bits.
type Bands = [[f32; FRAME / 3]; 3];

/// The most that noise is lowered.
const NOISE_SUPPRESSION: SuppressionLevel = SuppressionLevel::K12dB;
/// The gain that a call begins with, dB. A microphone that is set up well needs none.
const INITIAL_GAIN_DB: f32 = 0.0;
/// The most that a faint voice is raised, dB.
const MAX_GAIN_DB: f32 = 24.0;
/// Full scale of the algorithms, which are made for samples of 16 bits.
const FULL_SCALE: f32 = 32_768.0;
/// A microphone that gives this much is overdriven, and its echo no longer what a filter can tell.
const OVERDRIVEN: f32 = 32_700.0;

/// How fast the conversion of the reference follows the measured drift, millionths per block: 100 ppm a second. The filter
/// does not notice the steps, and every second with the wrong drift costs it more.
const DRIFT_STEP_PPM: f64 = 1.0;

/// The chain of one call.
pub struct Processing {
    switches: SoundProcessing,
    strength: SuppressionLevel,
    canceller: Option<Canceller>,
    noise: Option<Noise>,
    gain: Option<AudioProcessing>,
    high_pass: HighPass,
    filtered: Vec<f32>,
    split: ThreeBandFilterBank,
    split_reference: ThreeBandFilterBank,
    merge: ThreeBandFilterBank,
    to_microphone: Resampler,
    /// The drift that the conversion stands at, and what it ought to be, in millionths.
    drift_ppm: f64,
    wanted_ppm: f64,
    /// The reference in the microphone's clock: less than a block that waits for the rest.
    reference: Vec<f32>,
}

/// What the chain knows of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessingFigures {
    /// How much weaker the echo is than what the speaker plays, dB; unknown until there was some.
    pub echo_return_loss_db: Option<f64>,
    /// By how much the adaptive filter lowers it further, dB.
    pub echo_return_loss_enhancement_db: Option<f64>,
    /// From the reference to its echo, milliseconds.
    pub echo_delay_ms: Option<i32>,
    /// By how much the speaker's clock is taken to be faster than the microphone's, in millionths.
    pub drift_ppm: f64,
}

impl Processing {
    /// A chain that does what is switched on.
    pub fn new(switches: SoundProcessing) -> Self {
        Self::with_noise_suppression(switches, NOISE_SUPPRESSION)
    }

    /// The same with another strength of the noise suppression: what the measurements compare.
    pub fn with_noise_suppression(switches: SoundProcessing, strength: SuppressionLevel) -> Self {
        let mut processing = Self {
            switches: SoundProcessing::OFF,
            strength,
            canceller: None,
            noise: None,
            gain: None,
            high_pass: HighPass::new(),
            filtered: Vec::with_capacity(FRAME),
            split: ThreeBandFilterBank::new(),
            split_reference: ThreeBandFilterBank::new(),
            merge: ThreeBandFilterBank::new(),
            to_microphone: Resampler::between_clocks(),
            drift_ppm: 0.0,
            wanted_ppm: 0.0,
            reference: Vec::with_capacity(2 * BLOCK),
        };
        processing.switch(switches);
        processing
    }

    /// What is switched on.
    pub fn switches(&self) -> SoundProcessing {
        self.switches
    }

    /// Switches, from the next frame on. What is switched on begins anew, the rest goes on.
    pub fn switch(&mut self, switches: SoundProcessing) {
        let before = std::mem::replace(&mut self.switches, switches);
        if switches.echo_cancellation != before.echo_cancellation {
            self.canceller = switches.echo_cancellation.then(Canceller::new);
        }
        if switches.noise_suppression != before.noise_suppression {
            self.noise = switches.noise_suppression.then(|| Noise::new(self.strength));
        }
        if switches.automatic_gain != before.automatic_gain {
            self.gain = switches.automatic_gain.then(gain_control);
        }
    }

    /// Begins anew: another microphone or speaker has another room.
    pub fn restart(&mut self) {
        *self = Self::with_noise_suppression(self.switches, self.strength);
    }

    /// Hears 10 ms that go to the speaker, exactly as they do.
    pub fn render(&mut self, block: &[f32; BLOCK]) {
        let Some(canceller) = &mut self.canceller else { return };
        self.drift_ppm += (self.wanted_ppm - self.drift_ppm).clamp(-DRIFT_STEP_PPM, DRIFT_STEP_PPM);
        self.to_microphone.set_ppm(self.drift_ppm);
        self.to_microphone.process(&block.map(finite), &mut self.reference);
        let mut taken = 0;
        while self.reference.len() - taken >= BLOCK {
            let source = std::array::from_fn(|at| self.reference[taken + at] * FULL_SCALE);
            let mut bands = [[0.0; PART]; 3];
            self.split_reference.analysis(&source, &mut bands);
            canceller.render(&bands);
            taken += BLOCK;
        }
        self.reference.drain(..taken);
    }

    /// By how much the speaker's clock is faster than the microphone's, in millionths: [`Drift::ppm`].
    pub fn set_drift_ppm(&mut self, ppm: f64) {
        self.wanted_ppm = ppm;
    }

    /// Cleans 20 ms from the microphone, in place.
    pub fn capture(&mut self, frame: &mut [f32; FRAME]) {
        if self.switches == SoundProcessing::OFF {
            return;
        }
        let filtered = &mut self.filtered;
        filtered.clear();
        filtered.extend(frame.iter().map(|sample| finite(*sample) * FULL_SCALE));
        let overdriven = filtered.iter().any(|sample| sample.abs() >= OVERDRIVEN);
        self.high_pass.process(filtered);
        if self.canceller.is_some() || self.noise.is_some() {
            self.clean(overdriven);
        }
        for (sample, filtered) in frame.iter_mut().zip(&self.filtered) {
            *sample = filtered / FULL_SCALE;
        }
        if let Some(gain) = &mut self.gain {
            for block in frame.chunks_exact_mut(BLOCK) {
                let mut source = [0.0; BLOCK];
                source.copy_from_slice(block);
                if let Err(error) = gain.process_capture_f32(&[&source[..]], &mut [block]) {
                    // Cannot happen: the format never changes.
                    tracing::warn!(?error, "the level of the microphone's sound could not be set");
                }
            }
        }
    }

    /// What works in bands.
    fn clean(&mut self, overdriven: bool) {
        let sound = &mut self.filtered;
        let mut bands: Bands = [[0.0; FRAME / 3]; 3];
        for (at, block) in sound.as_chunks::<BLOCK>().0.iter().enumerate() {
            let mut part = [[0.0; PART]; 3];
            self.split.analysis(block, &mut part);
            for (band, part) in bands.iter_mut().zip(&part) {
                band[at * PART..][..PART].copy_from_slice(part);
            }
        }
        let raw = bands[0];
        if let Some(canceller) = &mut self.canceller {
            canceller.capture(&mut bands, overdriven);
        }
        for (at, block) in sound.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
            let mut part = [[0.0; PART]; 3];
            for (part, band) in part.iter_mut().zip(&bands) {
                part.copy_from_slice(&band[at * PART..][..PART]);
            }
            if let Some(noise) = &mut self.noise {
                let mut before = [0.0; PART];
                before.copy_from_slice(&raw[at * PART..][..PART]);
                noise.process(&before, part.each_mut());
            }
            self.merge.synthesis(&part, block);
        }
    }

    /// The figures at this moment.
    pub fn figures(&self) -> ProcessingFigures {
        let Some(canceller) = &self.canceller else { return ProcessingFigures::default() };
        let metrics = canceller.metrics();
        ProcessingFigures {
            echo_return_loss_db: metrics.map(|metrics| metrics.echo_return_loss),
            echo_return_loss_enhancement_db: metrics.map(|metrics| metrics.echo_return_loss_enhancement),
            echo_delay_ms: metrics.map(|metrics| metrics.delay_ms),
            drift_ppm: self.drift_ppm,
        }
    }
}

/// One sample that is no number would stay in the filters for ever.
fn finite(sample: f32) -> f32 {
    if sample.is_finite() { sample } else { 0.0 }
}

/// The automatic gain: AGC2, without its handle on the system's volume.
fn gain_control() -> AudioProcessing {
    let config = Config {
        pipeline: Pipeline {
            // All of the voice: at 32 kHz everything above 16 kHz would be cut off.
            maximum_internal_processing_rate: MaxProcessingRate::Rate48kHz,
            ..Pipeline::default()
        },
        gain_controller2: Some(GainController2 {
            input_volume_controller: false,
            adaptive_digital: Some(AdaptiveDigital {
                initial_gain_db: INITIAL_GAIN_DB,
                max_gain_db: MAX_GAIN_DB,
                ..AdaptiveDigital::default()
            }),
            ..GainController2::default()
        }),
        ..Config::default()
    };
    let stream = StreamConfig::new(SAMPLE_RATE, 1);
    AudioProcessing::builder().config(config).capture_config(stream).render_config(stream).build()
}
