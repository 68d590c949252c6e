//! What is done to a microphone's sound before it is sent: echo cancellation, noise suppression, automatic gain.
//!
//! Driven by the `audio` thread in blocks of 10 ms: [`Processing::render`] hears every block that is given to the
//! speaker, [`Processing::capture`] cleans every block that came from the microphone. It holds no device and reads no
//! clock. The algorithms are those of WebRTC's audio processing module (AEC3, the Wiener-filter noise suppressor and
//! AGC2), in Rust, by the `sonora` crate. The gain is digital: nothing here touches the system's volume.
//!
//! Speaker and microphone may be two devices whose clocks drift apart, and an adaptive filter that has to follow a
//! growing delay cancels little (at 200 ppm about 20 dB less). So [`Drift`] measures both clocks, and the reference is
//! converted to the microphone's before the canceller hears it.

mod drift;
#[cfg(test)]
mod room;
#[cfg(test)]
mod tests;

use super::resample::Resampler;
use super::{BLOCK, SAMPLE_RATE};
use crate::config::SoundProcessing;
pub use drift::Drift;
pub use sonora::config::NoiseSuppressionLevel;
use sonora::config::{
    AdaptiveDigital, EchoCanceller, GainController2, HighPassFilter, MaxProcessingRate, NoiseSuppression,
    Pipeline,
};
use sonora::{AudioProcessing, Config, StreamConfig};

/// How much noise is taken away.
const NOISE_SUPPRESSION: NoiseSuppressionLevel = NoiseSuppressionLevel::Moderate;
/// The gain that a call begins with, dB. A microphone that is set up well needs none.
const INITIAL_GAIN_DB: f32 = 0.0;
/// The most that a faint voice is raised, dB.
const MAX_GAIN_DB: f32 = 24.0;

/// How fast the conversion of the reference follows the measured drift, millionths per block: 10 ppm a second, which an
/// adaptive filter does not notice.
const DRIFT_STEP_PPM: f64 = 0.1;

/// The chain of one call.
pub struct Processing {
    chain: AudioProcessing,
    switches: SoundProcessing,
    strength: NoiseSuppressionLevel,
    to_microphone: Resampler,
    /// The drift that the conversion stands at, and what it ought to be, in millionths.
    drift_ppm: f64,
    wanted_ppm: f64,
    /// The reference in the microphone's clock: less than a block that waits for the rest.
    reference: Vec<f32>,
    scratch: [f32; BLOCK],
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
    pub fn with_noise_suppression(switches: SoundProcessing, strength: NoiseSuppressionLevel) -> Self {
        let stream = StreamConfig::new(SAMPLE_RATE, 1);
        let chain = AudioProcessing::builder()
            .config(config(switches, strength))
            .capture_config(stream)
            .render_config(stream)
            .build();
        Self {
            chain,
            switches,
            strength,
            to_microphone: Resampler::between_clocks(),
            drift_ppm: 0.0,
            wanted_ppm: 0.0,
            reference: Vec::with_capacity(2 * BLOCK),
            scratch: [0.0; BLOCK],
        }
    }

    /// What is switched on.
    pub fn switches(&self) -> SoundProcessing {
        self.switches
    }

    /// Switches, from the next block on. The canceller learns the room anew.
    pub fn switch(&mut self, switches: SoundProcessing) {
        if switches != std::mem::replace(&mut self.switches, switches) {
            self.chain.apply_config(config(switches, self.strength));
        }
    }

    /// Begins anew: another microphone or speaker has another room.
    pub fn restart(&mut self) {
        *self = Self::with_noise_suppression(self.switches, self.strength);
    }

    /// Hears 10 ms that go to the speaker, exactly as they do.
    pub fn render(&mut self, block: &[f32; BLOCK]) {
        if !self.switches.echo_cancellation {
            return;
        }
        self.drift_ppm += (self.wanted_ppm - self.drift_ppm).clamp(-DRIFT_STEP_PPM, DRIFT_STEP_PPM);
        self.to_microphone.set_ppm(self.drift_ppm);
        self.to_microphone.process(&block.map(finite), &mut self.reference);
        let mut taken = 0;
        while self.reference.len() - taken >= BLOCK {
            let source = &self.reference[taken..taken + BLOCK];
            if let Err(error) = self.chain.process_render_f32(&[source], &mut [&mut self.scratch[..]]) {
                // Cannot happen: the format never changes.
                tracing::warn!(?error, "the echo canceller did not take what is played");
            }
            taken += BLOCK;
        }
        self.reference.drain(..taken);
    }

    /// By how much the speaker's clock is faster than the microphone's, in millionths: [`Drift::ppm`].
    pub fn set_drift_ppm(&mut self, ppm: f64) {
        self.wanted_ppm = ppm;
    }

    /// Cleans 10 ms from the microphone, in place.
    pub fn capture(&mut self, block: &mut [f32; BLOCK]) {
        if self.switches == SoundProcessing::OFF {
            return;
        }
        let sane = block.map(finite);
        if let Err(error) = self.chain.process_capture_f32(&[&sane[..]], &mut [&mut block[..]]) {
            // Cannot happen: the format never changes.
            tracing::warn!(?error, "the microphone's sound could not be processed");
            *block = sane;
        }
    }

    /// The figures at this moment.
    pub fn figures(&self) -> ProcessingFigures {
        if !self.switches.echo_cancellation {
            return ProcessingFigures::default();
        }
        let stats = self.chain.statistics();
        ProcessingFigures {
            echo_return_loss_db: stats.echo_return_loss,
            echo_return_loss_enhancement_db: stats.echo_return_loss_enhancement,
            echo_delay_ms: stats.delay_ms,
            drift_ppm: self.drift_ppm,
        }
    }
}

/// One sample that is no number would stay in the filters for ever.
fn finite(sample: f32) -> f32 {
    if sample.is_finite() { sample } else { 0.0 }
}

fn config(switches: SoundProcessing, strength: NoiseSuppressionLevel) -> Config {
    let any = switches != SoundProcessing::OFF;
    Config {
        pipeline: Pipeline {
            // All of the voice: at 32 kHz everything above 16 kHz would be cut off.
            maximum_internal_processing_rate: MaxProcessingRate::Rate48kHz,
            multi_channel_render: false,
            multi_channel_capture: false,
            ..Pipeline::default()
        },
        // Hum and the thump of a desk are no speech, and would only cost the others their precision.
        high_pass_filter: any.then(HighPassFilter::default),
        echo_canceller: switches.echo_cancellation.then(EchoCanceller::default),
        noise_suppression: switches
            .noise_suppression
            .then(|| NoiseSuppression { level: strength, ..NoiseSuppression::default() }),
        gain_controller2: switches.automatic_gain.then(|| GainController2 {
            input_volume_controller: false,
            adaptive_digital: Some(AdaptiveDigital {
                initial_gain_db: INITIAL_GAIN_DB,
                max_gain_db: MAX_GAIN_DB,
                ..AdaptiveDigital::default()
            }),
            ..GainController2::default()
        }),
        ..Config::default()
    }
}
