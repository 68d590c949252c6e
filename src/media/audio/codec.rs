//! The Opus codec (RFC 6716), as the session and the playout use it. Driven by the `audio` thread; never does I/O.
//!
//! What was chosen by measurement (PESQ of a deep and a high voice; `scripts/bench-audio --only paths` measures again):
//! at 48 kbit/s `Voip` gives 4.04 and 4.37, `Audio` 3.95 and 4.35, and the music mode 3.55 and 4.14. Wide band alone
//! would score 4.27 and 4.54, but only because the score hears nothing above 8 kHz, and people do. Discontinuous
//! transmission costs nothing. Announcing 10 % loss, for in-band FEC, costs 0.03; without it 10 % random loss takes
//! 1.5 points more.

use super::{FRAME, SAMPLE_RATE};
use crate::media::audio::playout::FrameDecoder;
use bytes::Bytes;
use opus::{Application, Bitrate, Channels};

/// Largest Opus packet that we make: 1275 octets is the limit of one frame (RFC 6716 section 3.2.1).
const MAX_PACKET_OCTETS: usize = 1275;
/// Packets up to this size carry no sound: they mark the beginning of discontinuous transmission (RFC 6716
/// section 2.1.9) and only the first of a row needs to be sent.
pub(crate) const DTX_OCTETS: usize = 2;
/// How fast a reported loss is forgotten, per frame: half in about 10 s. Reports of one second each are noisy.
const LOSS_MEMORY: f32 = 0.9986;
/// Lowest and highest bit rate that the encoder is asked for; the RFC's range for speech to full-band mono.
const BITS_PER_SECOND: std::ops::RangeInclusive<u32> = 6_000..=128_000;

/// What became of one frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Encoded {
    /// To be sent.
    Packet {
        /// The Opus packet.
        data: Bytes,
        /// The first after a silence.
        talk_spurt: bool,
    },
    /// Silence that the receiver knows of already: nothing to send.
    Silence,
}

/// The encoder: 20 ms frames, mono, variable bit rate, in-band FEC, DTX.
pub struct Encoder {
    opus: opus::Encoder,
    bits_per_second: u32,
    loss: f32,
    loss_percent: i32,
    silent: bool,
    talk_spurt: bool,
}

impl Encoder {
    /// An encoder for speech.
    pub fn new() -> Result<Self, opus::Error> {
        let mut opus = opus::Encoder::new(SAMPLE_RATE, Channels::Mono, Application::Voip)?;
        opus.set_vbr(true)?;
        opus.set_inband_fec(true)?;
        opus.set_dtx(true)?;
        let mut encoder =
            Self { opus, bits_per_second: 0, loss: 0.0, loss_percent: 0, silent: false, talk_spurt: true };
        encoder.adapt(32_000, 0.0)?;
        Ok(encoder)
    }

    /// Follows the network: bits per second to aim at, and the share of packets lost, 0 to 1, which decides how much
    /// of each frame is repeated in the next (RFC 6716 section 2.1.7).
    pub fn adapt(&mut self, bits_per_second: u32, loss: f32) -> Result<(), opus::Error> {
        let bits_per_second = bits_per_second.clamp(*BITS_PER_SECOND.start(), *BITS_PER_SECOND.end());
        if bits_per_second != self.bits_per_second {
            self.opus.set_bitrate(Bitrate::Bits(bits_per_second as i32))?;
            self.bits_per_second = bits_per_second;
        }
        self.loss = loss.clamp(0.0, 1.0).max(self.loss * LOSS_MEMORY);
        let percent = (self.loss * 100.0).round() as i32;
        if percent != self.loss_percent {
            self.opus.set_packet_loss_perc(percent)?;
            self.loss_percent = percent;
        }
        Ok(())
    }

    /// Encodes 20 ms.
    pub fn encode(&mut self, frame: &[f32; FRAME]) -> Result<Encoded, opus::Error> {
        let mut packet = [0; MAX_PACKET_OCTETS];
        let octets = self.opus.encode_float(frame, &mut packet)?;
        if octets <= DTX_OCTETS {
            self.talk_spurt = true;
            if std::mem::replace(&mut self.silent, true) {
                return Ok(Encoded::Silence);
            }
            return Ok(Encoded::Packet {
                data: Bytes::copy_from_slice(&packet[..octets]),
                talk_spurt: false,
            });
        }
        self.silent = false;
        let talk_spurt = std::mem::take(&mut self.talk_spurt);
        Ok(Encoded::Packet { data: Bytes::copy_from_slice(&packet[..octets]), talk_spurt })
    }

    /// Forgets the past: the next frame begins a new talk spurt.
    pub fn restart(&mut self) -> Result<(), opus::Error> {
        self.silent = false;
        self.talk_spurt = true;
        self.opus.reset_state()
    }
}

/// The decoder behind the playout.
pub struct OpusDecoder(opus::Decoder);

impl OpusDecoder {
    /// A mono decoder; stereo packets are mixed down by it.
    pub fn new() -> Result<Self, opus::Error> {
        opus::Decoder::new(SAMPLE_RATE, Channels::Mono).map(Self)
    }
}

impl FrameDecoder for OpusDecoder {
    fn samples(&self, payload: &[u8]) -> Option<usize> {
        opus::packet::get_nb_samples(payload, SAMPLE_RATE).ok().filter(|samples| *samples > 0)
    }

    fn carries_sound(&self, payload: &[u8]) -> bool {
        payload.len() > DTX_OCTETS
    }

    fn carries_before(&mut self, payload: &[u8]) -> usize {
        if has_low_bitrate_redundancy(payload) { self.samples(payload).unwrap_or(0) } else { 0 }
    }

    fn decode(&mut self, payload: &[u8], out: &mut [f32]) -> Option<usize> {
        // An empty slice would ask for concealment.
        if payload.is_empty() {
            return None;
        }
        self.0.decode_float(payload, out, false).ok()
    }

    fn repair(&mut self, later_payload: &[u8], before: usize, out: &mut [f32]) -> bool {
        !later_payload.is_empty()
            && before == out.len()
            && self.0.decode_float(later_payload, out, true).is_ok()
    }

    fn conceal(&mut self, out: &mut [f32]) -> bool {
        self.0.decode_float(&[], out, false).is_ok()
    }

    fn reset(&mut self) {
        if let Err(error) = self.0.reset_state() {
            tracing::warn!(%error, "the Opus decoder could not be reset");
        }
    }
}

/// Whether a packet also carries the frame before it at a low bit rate. The flag follows the voice-activity flags at
/// the head of the first SILK frame (RFC 6716 sections 4.2.3 and 4.2.4); CELT-only packets have none.
fn has_low_bitrate_redundancy(payload: &[u8]) -> bool {
    let Some((&toc, rest)) = payload.split_first() else { return false };
    if toc & 0x80 != 0 {
        return false;
    }
    // RFC 6716 table 2: hybrid modes (configurations 12 to 15) hold 10 or 20 ms, SILK modes 10, 20, 40 or 60 ms.
    let configuration = toc >> 3;
    let silk_frames = match (configuration, configuration & 3) {
        (12.., _) | (_, 0 | 1) => 1,
        (_, 2) => 2,
        _ => 3,
    };
    // Frame count codes 1 to 3 put nothing, one or two length octets, or a count octet before the first frame.
    let head = match toc & 3 {
        0 | 1 => rest.first(),
        2 => rest.get(if rest.first().is_some_and(|length| *length >= 252) { 2 } else { 1 }),
        _ => return false,
    };
    head.is_some_and(|octet| octet & (0x80 >> silk_frames) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(start: usize, amplitude: f32) -> [f32; FRAME] {
        std::array::from_fn(|i| {
            ((start + i) as f32 * 440.0 * std::f32::consts::TAU / SAMPLE_RATE as f32).sin() * amplitude
        })
    }

    /// Like a voice: many harmonics under a slow envelope.
    fn voice(start: usize) -> [f32; FRAME] {
        std::array::from_fn(|i| {
            let t = (start + i) as f32 / SAMPLE_RATE as f32 * std::f32::consts::TAU;
            let harmonics: f32 = (1..20).map(|h| (t * 130.0 * h as f32).sin() / h as f32).sum();
            0.1 * (0.5 + 0.5 * (t * 4.0).sin()) * harmonics
        })
    }

    fn rms(samples: &[f32]) -> f32 {
        (samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32).sqrt()
    }

    #[test]
    fn a_tone_keeps_its_level_and_shape_through_the_codec() {
        let (mut encoder, mut decoder) = (Encoder::new().unwrap(), OpusDecoder::new().unwrap());
        let (mut input, mut output) = (Vec::new(), Vec::new());
        for n in 0..100 {
            let frame = tone(n * FRAME, 0.2);
            input.extend(frame);
            let Encoded::Packet { data, .. } = encoder.encode(&frame).unwrap() else { panic!("silence") };
            let mut out = [0.0; FRAME];
            assert_eq!(decoder.decode(&data, &mut out), Some(FRAME));
            output.extend(out);
        }
        let input = &input[48_000..90_000];
        assert!((rms(&output[48_000..90_000]) / rms(input) - 1.0).abs() < 0.06);
        // The codec delays by its look-ahead (6.5 ms) and, by mode, a little more: the best fit counts.
        let snr = (200..500)
            .map(|delay| {
                let output = &output[48_000 + delay..90_000 + delay];
                let error: Vec<f32> = input.iter().zip(output).map(|(a, b)| a - b).collect();
                20.0 * (rms(input) / rms(&error)).log10()
            })
            .fold(f32::MIN, f32::max);
        assert!(snr > 15.0, "{snr} dB");
    }

    #[test]
    fn silence_is_sent_once_and_the_first_sound_after_it_begins_a_talk_spurt() {
        let mut encoder = Encoder::new().unwrap();
        let first = encoder.encode(&tone(0, 0.2)).unwrap();
        assert!(matches!(first, Encoded::Packet { talk_spurt: true, .. }));
        let second = encoder.encode(&tone(FRAME, 0.2)).unwrap();
        assert!(matches!(second, Encoded::Packet { talk_spurt: false, .. }));
        let packets = (0..100)
            .filter(|_| matches!(encoder.encode(&[0.0; FRAME]).unwrap(), Encoded::Packet { .. }))
            .count();
        assert!((2..40).contains(&packets), "{packets} of 100 silent frames were sent");
        let Encoded::Packet { talk_spurt, .. } = encoder.encode(&tone(0, 0.2)).unwrap() else { panic!() };
        assert!(talk_spurt);
    }

    #[test]
    fn a_reported_loss_makes_speech_carry_the_frame_before_it() {
        let mut encoder = Encoder::new().unwrap();
        let redundant = |encoder: &mut Encoder, frames: std::ops::Range<usize>| {
            frames
                .filter(|n| match encoder.encode(&voice(n * FRAME)).unwrap() {
                    Encoded::Packet { data, .. } => has_low_bitrate_redundancy(&data),
                    Encoded::Silence => false,
                })
                .count()
        };
        assert_eq!(redundant(&mut encoder, 0..100), 0);
        encoder.adapt(32_000, 0.15).unwrap();
        let with = redundant(&mut encoder, 100..200);
        assert!(with > 50, "{with} of 100 packets carry redundancy");
    }
}
