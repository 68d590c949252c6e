//! The figures of a session, and how loud sound is.

use super::SAMPLE_RATE;
use super::processing::ProcessingFigures;

/// Figures since the session began, except the two levels. Renewed every 100 ms.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct AudioStats {
    /// Packets handed to the transport.
    pub sent_packets: u64,
    /// Their octets.
    pub sent_octets: u64,
    /// Packets that the transport had no room for.
    pub sent_dropped: u64,
    /// Root mean square of what the microphone gave in the last 100 ms (silence while muted), 0 to 1 of full scale.
    pub sent_level: f64,
    /// Sum of its squares and number of samples, for levels over longer times: see [`Self::sent_level_since`].
    pub sent_energy: f64,
    /// Samples that the microphone gave.
    pub sent_samples: u64,
    /// Root mean square of what the microphone gave in the last 100 ms, after the processing and before it was muted:
    /// tells that somebody speaks while muted.
    pub microphone_level: f64,
    /// Packets accepted by the playout.
    pub received_packets: u64,
    /// Root mean square of what was played in the last 100 ms, 0 to 1 of full scale.
    pub received_level: f64,
    /// Sum of its squares, for levels over longer times: see [`Self::received_level_since`].
    pub received_energy: f64,
    /// Samples given to the speaker.
    pub received_samples: u64,
    /// Packets that came after their turn.
    pub late_packets: u64,
    /// Packets that came twice.
    pub duplicate_packets: u64,
    /// Packets that no decoder could read.
    pub malformed_packets: u64,
    /// Packets that were lost and repaired from the one after (in-band FEC).
    pub repaired_packets: u64,
    /// Samples played since the first packet.
    pub played_samples: u64,
    /// Of them made up.
    pub concealed_samples: u64,
    /// Samples cut out to catch up.
    pub shortened_samples: u64,
    /// Samples put in to fall back.
    pub lengthened_samples: u64,
    /// What waits in the microphone's device and in the sound system behind it, milliseconds; 0 where it is not told.
    pub microphone_device_ms: f64,
    /// What waits in the ring from the microphone and for the rest of its frame of 20 ms, milliseconds.
    pub microphone_ring_ms: f64,
    /// What waits in the sound system before the speaker and in its device, milliseconds; 0 where it is not told.
    pub speaker_device_ms: f64,
    /// What waits in the playout buffer, milliseconds.
    pub buffer_ms: f64,
    /// What waits in the ring to the speaker, milliseconds.
    pub speaker_ring_ms: f64,
    /// What the echo canceller knows of the room.
    pub processing: ProcessingFigures,
    /// Frames that the microphone gave and nobody took in time.
    pub microphone_overruns: u64,
    /// Frames that the speaker wanted and nobody had.
    pub speaker_underruns: u64,
    /// How often the sound system had nothing for the speaker because it was given sound too late; counted where it
    /// tells.
    pub speaker_starvations: u64,
}

/// How loud the last 100 ms were, root mean square with full scale 1: what a level meter shows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SoundLevels {
    /// What the microphone hears, also while it is muted.
    pub microphone: f32,
    /// What the speaker is given.
    pub speaker: f32,
    /// Somebody speaks into the microphone.
    pub speaking: bool,
}

impl AudioStats {
    /// Share of the samples played that were made up, 0 to 1.
    pub fn concealed_ratio(&self) -> f64 {
        self.concealed_samples as f64 / self.played_samples.max(1) as f64
    }

    /// Root mean square of what was sent since `earlier`, 0 to 1 of full scale.
    pub fn sent_level_since(&self, earlier: &Self) -> f64 {
        level(self.sent_energy - earlier.sent_energy, self.sent_samples.saturating_sub(earlier.sent_samples))
    }

    /// Root mean square of what was played since `earlier`, 0 to 1 of full scale.
    pub fn received_level_since(&self, earlier: &Self) -> f64 {
        level(
            self.received_energy - earlier.received_energy,
            self.received_samples.saturating_sub(earlier.received_samples),
        )
    }
}

fn level(energy: f64, samples: u64) -> f64 {
    (energy.max(0.0) / samples.max(1) as f64).sqrt()
}

/// Measures one direction.
#[derive(Default)]
pub(crate) struct Loudness {
    energy: f64,
    samples: u64,
    before: (f64, u64),
}

impl Loudness {
    pub(crate) fn add(&mut self, samples: &[f32]) {
        self.energy += samples.iter().map(|s| f64::from(*s) * f64::from(*s)).sum::<f64>();
        self.samples += samples.len() as u64;
    }

    pub(crate) fn totals(&self) -> (f64, u64) {
        (self.energy, self.samples)
    }

    /// Level since the last call; 0 if there was no sound.
    pub(crate) fn take_level(&mut self) -> f64 {
        let level = level(self.energy - self.before.0, self.samples - self.before.1);
        self.before = (self.energy, self.samples);
        level
    }
}

/// Milliseconds of so many samples.
pub(crate) fn samples_ms(samples: usize) -> f64 {
    samples as f64 * 1e3 / f64::from(SAMPLE_RATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_over_the_time_asked_for() {
        let mut loudness = Loudness::default();
        loudness.add(&[0.5; 100]);
        assert!((loudness.take_level() - 0.5).abs() < 1e-6);
        loudness.add(&[0.1; 100]);
        assert!((loudness.take_level() - 0.1).abs() < 1e-6);
        assert_eq!(loudness.take_level(), 0.0);
        let early = AudioStats { sent_energy: 25.0, sent_samples: 100, ..AudioStats::default() };
        let (energy, samples) = loudness.totals();
        let late = AudioStats { sent_energy: energy, sent_samples: samples, ..AudioStats::default() };
        assert!((late.sent_level_since(&early) - 0.1).abs() < 1e-6);
        assert_eq!(late.concealed_ratio(), 0.0);
    }
}
