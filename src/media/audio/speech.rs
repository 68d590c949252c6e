//! Whether somebody is speaking: for the hint "your microphone is off". Driven by the `audio` thread every 100 ms.

/// Speech stands out of the room's noise by so much: 12 dB, as an amplitude.
const ABOVE_NOISE: f32 = 4.0;
/// Whatever is fainter than this is no speech into this microphone: -46 dBFS.
const FAINTEST: f32 = 0.005;
/// The noise is learned up at so much a step: 6 dB in about 4 s. Down at once.
const RISE: f32 = 1.018;
/// Of the last eight steps (0.8 s) so many must stand out: a cough or a key is shorter.
const STEPS: u32 = 8;
const LOUD_STEPS: u32 = 4;

/// Follows the level of a microphone.
#[derive(Debug)]
pub(crate) struct SpeechDetector {
    noise: f32,
    /// One bit a step, the newest lowest.
    loud: u8,
}

impl Default for SpeechDetector {
    fn default() -> Self {
        Self { noise: FAINTEST, loud: 0 }
    }
}

impl SpeechDetector {
    /// Takes the root mean square of the last 100 ms, full scale 1; true while somebody speaks.
    pub(crate) fn handle_level(&mut self, level: f32) -> bool {
        let loud = level > (self.noise * ABOVE_NOISE).max(FAINTEST);
        self.noise = level.min(self.noise * RISE).max(1e-5);
        self.loud = self.loud << 1 | u8::from(loud);
        const { assert!(STEPS == u8::BITS) };
        self.loud.count_ones() >= LOUD_STEPS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_speech_and_a_steady_fan_or_a_single_knock_is_not() {
        let mut detector = SpeechDetector::default();
        for _ in 0..100 {
            assert!(!detector.handle_level(0.001));
        }
        assert!(!detector.handle_level(0.3), "a knock");
        for _ in 0..20 {
            assert!(!detector.handle_level(0.001));
        }
        let words = [0.05, 0.08, 0.01, 0.06, 0.07, 0.09, 0.002, 0.05];
        assert!(words.iter().filter(|level| detector.handle_level(**level)).count() >= 3);
        // A fan that was switched on may be taken for a voice at first, and not for long.
        let mistaken = (0..200).filter(|_| detector.handle_level(0.03)).count();
        assert!(mistaken < 130, "{mistaken}");
        assert!(!detector.handle_level(0.03));
    }
}
