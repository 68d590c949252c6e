//! The sending half behind the microphone: mutes, gathers frames of 20 ms, encodes them and hands them to the transport.
//!
//! Driven by the `audio` thread, 10 ms at a time.

use super::codec::{Encoded, Encoder};
use super::gain::slope;
use super::pace::BLOCK_TIME;
use super::ports::AudioPorts;
use super::redundancy::Redundancy;
use super::stats::{AudioStats, Loudness};
use super::{AudioError, BLOCK, FRAME, SAMPLE_RATE};
use crate::media::ports::EncodedAudio;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::error::TrySendError;

/// Sound that is missing for longer than this has a gap in the RTP timestamps too.
const GAP: Duration = Duration::from_millis(100);

/// The sending half behind the microphone.
pub(crate) struct Sender {
    encoder: Encoder,
    redundancy: Redundancy,
    frame: [f32; FRAME],
    pub(crate) filled: usize,
    /// When the frame's first sample was captured.
    captured: Instant,
    /// When the next frame would begin if sound went on without a gap.
    expected: Option<Instant>,
    timestamp: u32,
    gain: f32,
    /// Before it was muted.
    pub(crate) heard: Loudness,
    pub(crate) loudness: Loudness,
}

impl Sender {
    /// Begins with silence (muted) or with sound.
    pub(crate) fn new(now: Instant, muted: bool) -> Result<Self, AudioError> {
        Ok(Self {
            encoder: Encoder::new()?,
            redundancy: Redundancy::default(),
            frame: [0.0; FRAME],
            filled: 0,
            captured: now,
            expected: None,
            timestamp: rand::random(),
            gain: if muted { 0.0 } else { 1.0 },
            heard: Loudness::default(),
            loudness: Loudness::default(),
        })
    }

    /// Takes 10 ms whose first sample was captured at `captured`.
    pub(crate) fn send(
        &mut self,
        block: &mut [f32; BLOCK],
        captured: Instant,
        ports: &AudioPorts,
        muted: bool,
        stats: &mut AudioStats,
    ) {
        self.heard.add(block);
        self.apply_mute(block, muted);
        self.loudness.add(block);
        if !ports.control.sending() {
            self.filled = 0;
            return;
        }
        if self.filled == 0 {
            self.captured = captured;
        }
        self.frame[self.filled..self.filled + BLOCK].copy_from_slice(block);
        self.filled += BLOCK;
        if self.filled < FRAME {
            return;
        }
        self.filled = 0;
        if let Err(error) = self.encode(ports, stats) {
            // Cannot happen with frames of 20 ms and a buffer of full size; if it does, the frame is lost, not the call.
            tracing::warn!(%error, "a frame of sound could not be encoded");
        }
    }

    fn encode(&mut self, ports: &AudioPorts, stats: &mut AudioStats) -> Result<(), opus::Error> {
        let missing = self.expected.map(|expected| self.captured.saturating_duration_since(expected));
        if missing.is_none_or(|missing| missing > GAP) {
            let samples = missing.unwrap_or_default().as_secs_f64() * f64::from(SAMPLE_RATE);
            self.timestamp = self.timestamp.wrapping_add(samples as u64 as u32);
            self.encoder.restart()?;
            self.redundancy.clear();
        }
        self.expected = Some(self.captured + 2 * BLOCK_TIME);
        self.encoder.adapt(ports.control.audio_bits_per_second(), ports.control.audio_loss())?;
        let rtp_timestamp = self.timestamp;
        self.timestamp = self.timestamp.wrapping_add(FRAME as u32);
        if let Encoded::Packet { data, talk_spurt } = self.encoder.encode(&self.frame)? {
            let data = self.redundancy.wrap(data, rtp_timestamp, ports.control.audio_twice());
            let octets = data.len() as u64;
            let packet = EncodedAudio { data, captured: self.captured, rtp_timestamp, talk_spurt };
            match ports.out.try_send(packet) {
                Ok(()) => {
                    stats.sent_packets += 1;
                    stats.sent_octets += octets;
                }
                Err(TrySendError::Full(_) | TrySendError::Closed(_)) => {
                    // It gets no sequence number, so it cannot be told by one either.
                    self.redundancy.clear();
                    stats.sent_dropped += 1;
                }
            }
        }
        Ok(())
    }

    /// Silences the block, or lets it through; a change is a slope over the block, so that nobody hears a click.
    fn apply_mute(&mut self, block: &mut [f32; BLOCK], muted: bool) {
        let wanted = if muted { 0.0 } else { 1.0 };
        slope(block, std::mem::replace(&mut self.gain, wanted), wanted);
    }
}
