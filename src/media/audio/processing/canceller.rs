//! Echo cancellation: WebRTC's AEC3, tuned for people who talk at the same time.
//!
//! Driven by `Processing`, with sound that is already split into bands of 16 kHz. An adaptive filter subtracts what the
//! speaker's signal becomes on its way to the microphone; a suppressor then lowers, frequency by frequency, what the
//! filter left. It knows no device and no clock, and finds the delay between both sides by itself.
//!
//! Blocks of AEC3 have 64 samples, and five of them are one frame of 20 ms. So a whole frame goes through at once, and
//! nothing has to be held back: that saves the 4 ms that AEC3 costs in frames of 10 ms.
//!
//! # The tuning
//!
//! AEC3 as it comes is made for the worst room and the worst loudspeaker: it takes the filter's result to be at most 6 dB
//! (below 750 Hz) and 2 dB better than nothing, and so silences whoever talks into the other's voice. What follows was
//! chosen on speech (espeak-ng, English, both voices at -23 LUFS) over four simulated ways from speaker to microphone,
//! in dB less echo from the third second on / STOI of the near voice while both talk:
//!
//! | | 60 ms, -10 dB | furnished room, -10 dB | and a loudspeaker that distorts | furnished room, 0 dB |
//! |---|---|---|---|---|
//! | as it comes | 54 / 0.76 | 54 / 0.75 | 43 / 0.75 | 61 / 0.55 |
//! | the fast filter's result unused | 54 / 0.81 | 54 / 0.79 | 40 / 0.80 | 61 / 0.58 |
//! | and what is left measured | 52 / 0.86 | 47 / 0.82 | 39 / 0.82 | 52 / 0.60 |
//! | and the near voice let through | 51 / 0.92 | 44 / 0.92 | 32 / 0.92 | 43 / 0.81 |
//!
//! A filter that is surer of itself (its floor a tenth) keeps 0.94 of the near voice, but after somebody has moved the
//! laptop needs seven seconds for 15 dB, with the floor below two; and where two clocks drift 50 ppm apart it gives the
//! echo back after six seconds (13 dB), with the floor below it holds (46 dB).

use super::Bands;
use sonora_aec3::block::Block;
use sonora_aec3::block_processor::{BlockProcessor, BlockProcessorMetricsOutput};
use sonora_aec3::common::BLOCK_SIZE;
use sonora_aec3::config::{EchoCanceller3Config, MaskingThresholds};

/// Bands of a signal of 48 kHz.
const BANDS: usize = 3;
/// Length of the adaptive filters in blocks of 4 ms: 100 ms of a room's reflections, twice what is usual.
const FILTER_BLOCKS: usize = 25;
/// The least step of the filter: never so sure of itself that a moved laptop takes it ten seconds.
const ERROR_FLOOR: f32 = 0.01;
/// How much better than nothing the filter may be taken to be, below 750 Hz and above, in power: 15 and 10 dB. AEC3
/// measures it all the time; this is only the most that it believes.
const MOST_ENHANCEMENT_LOW: f32 = 30.0;
const MOST_ENHANCEMENT_HIGH: f32 = 10.0;
/// The near voice is there when what is left of the echo has less than this share of the low frequencies' power.
const ECHO_TO_NEAR: f32 = 0.25;
/// What is let through while the near voice is there: echo up to so many times the near voice's power, at frequencies
/// where that is weak for a moment. It is masked by the frequencies around.
const NEAR_LOW: MaskingThresholds =
    MaskingThresholds { enr_transparent: 6.0, enr_suppress: 10.0, emr_transparent: 0.3 };
const NEAR_HIGH: MaskingThresholds =
    MaskingThresholds { enr_transparent: 2.0, enr_suppress: 5.0, emr_transparent: 0.3 };

/// One room's canceller.
pub(super) struct Canceller {
    processor: BlockProcessor,
    block: Block,
    /// Of each band of the reference: less than a block that waits for the rest.
    reference: [Vec<f32>; BANDS],
    rendered: bool,
}

impl Canceller {
    pub(super) fn new() -> Self {
        Self {
            processor: BlockProcessor::new(&tuning(), super::SAMPLE_RATE as usize, 1, 1),
            block: Block::new(BANDS, 1),
            reference: std::array::from_fn(|_| Vec::with_capacity(4 * BLOCK_SIZE)),
            rendered: false,
        }
    }

    /// Hears what goes to the speaker.
    pub(super) fn render<const LENGTH: usize>(&mut self, bands: &[[f32; LENGTH]; BANDS]) {
        self.rendered = true;
        for (waiting, band) in self.reference.iter_mut().zip(bands) {
            waiting.extend_from_slice(band);
        }
        while self.reference[0].len() >= BLOCK_SIZE {
            for (number, waiting) in self.reference.iter_mut().enumerate() {
                self.block.view_mut(number, 0).copy_from_slice(&waiting[..BLOCK_SIZE]);
                waiting.drain(..BLOCK_SIZE);
            }
            self.processor.buffer_render(&self.block);
        }
    }

    /// Takes the echo out of 20 ms. `saturated`: the microphone's sound reached full scale.
    pub(super) fn capture(&mut self, bands: &mut Bands, saturated: bool) {
        const { assert!((super::FRAME / BANDS).is_multiple_of(BLOCK_SIZE)) };
        for at in (0..bands[0].len()).step_by(BLOCK_SIZE) {
            for (number, band) in bands.iter().enumerate() {
                self.block.view_mut(number, 0).copy_from_slice(&band[at..at + BLOCK_SIZE]);
            }
            self.processor.process_capture(false, saturated, None, &mut self.block);
            for (number, band) in bands.iter_mut().enumerate() {
                band[at..at + BLOCK_SIZE].copy_from_slice(self.block.view(number, 0));
            }
        }
    }

    /// What it knows of the way from speaker to microphone, once there was something to hear.
    pub(super) fn metrics(&self) -> Option<BlockProcessorMetricsOutput> {
        self.rendered.then(|| self.processor.get_metrics())
    }
}

fn tuning() -> EchoCanceller3Config {
    let mut config = EchoCanceller3Config::default();
    config.filter.refined.length_blocks = FILTER_BLOCKS;
    config.filter.coarse.length_blocks = FILTER_BLOCKS;
    config.filter.refined.error_floor = ERROR_FLOOR;
    // Of its two filters the fast one follows the near voice too, and takes part of it away when its result is used.
    config.filter.enable_coarse_filter_output_usage = false;
    config.erle.max_l = MOST_ENHANCEMENT_LOW;
    config.erle.max_h = MOST_ENHANCEMENT_HIGH;
    // Else the first moment of each word of the far voice is taken for an echo that the filter does not reach.
    config.erle.onset_detection = false;
    config.ep_strength.use_conservative_tail_frequency_response = false;
    let suppressor = &mut config.suppressor;
    suppressor.nearend_tuning.mask_lf = NEAR_LOW;
    suppressor.nearend_tuning.mask_hf = NEAR_HIGH;
    suppressor.dominant_nearend_detection.enr_threshold = ECHO_TO_NEAR;
    // Else everything above 2 kHz is lowered as far as the frequencies around 2 kHz.
    suppressor.high_frequency_suppression.bands_in_limiting_gain = 0;
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tuning_is_within_what_the_canceller_takes() {
        assert!(tuning().validate());
    }
}
